//! Published tables, rings and per-CPU counters: the concurrency the packet path stands on.
//!
//! Where it sits: the lowest layer beside `wire`. It holds all the unsafe code that the kernel set has.
//!
//! Next: `lock.rs`.
#![no_std]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
#![allow(
    unsafe_code,
    reason = "shared mutation is this crate's purpose; each block names what makes it sound"
)]
#[cfg(test)]
extern crate std;

mod lock;

pub use lock::{SpinGuard, SpinLock};
