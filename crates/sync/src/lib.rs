//! The concurrency that the packet path stands on: all the unsafe code of the kernel set.
//!
//! Where it sits: the lowest layer, beside `wire`. The tables of `datapath` and `conntrack` are built with it. It
//! knows nothing of packets.
//!
//! Locks here spin: they guard work of a few microseconds and are taken once a batch, or for one connection. Whoever
//! waits calls the host's relax hook ([`set_relax`]): a yield where there are threads, a pause in a kernel, a scheduling
//! point under a simulator.
//!
//! Next: `lock.rs`, then `rw.rs`.
#![no_std]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
#![allow(
    unsafe_code,
    reason = "shared mutation is this crate's purpose; each block names what makes it sound"
)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod arena;
mod atomic;
mod boxed;
mod lock;
mod prefetch;
mod published;
mod qsbr;
mod relax;
mod rw;
mod shared;

pub use arena::{Arena, ArenaWriter};
pub use boxed::{try_box, try_box_with};
pub use lock::{SpinGuard, SpinLock};
pub use prefetch::{matching, prefetch, prefetch_at};
pub use published::Published;
pub use qsbr::{Grace, Guard, Qsbr, Reader};
pub use relax::{relax, set_relax};
pub use rw::{ReadGuard, RwSpin, WriteGuard};
pub use shared::Shared;
