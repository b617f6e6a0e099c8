//! Tunnel headers: built, pushed onto packets, read and popped. One pipeline for every protocol and both IP versions.
//!
//! Where it sits: translation builds a [`Header`] once for a megaflow; the datapath pushes it onto each packet and
//! finishes lengths and checksums; on receive it reads the headers into a [`packet::TunnelKey`]. It knows no ports,
//! routes or flows.
//!
//! ~~~text
//! build: Ethernet | IPv4 or IPv6 | UDP | protocol's own      push: + packet, finish()
//!        \______ shared ______________/  one function each    pop:  the same steps backwards
//! ~~~
//!
//! Invariants
//! I1  Each protocol only builds and reads its own header.
//! I2  Reading is total: bytes that are no tunnel packet of the kind are `None`.
//!
//! STT's headers carry parts of frames: `stt` reads and writes them, `reassembly` puts frames together.
//!
//! Next: `build.rs`, `push.rs`, `pop.rs`, `stt.rs`, `reassembly.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;

mod build;
mod pop;
mod push;
mod reassembly;
pub mod stt;

pub use build::{Header, MAX_HEADER, Outer, Shape, build, build_into};
pub use pop::{Popped, pop};
pub use push::{PushError, complete, finish, push, sequence_at};
pub use reassembly::{Lost, Reassembled, Reassembly};
pub use stt::SttSegment;

#[cfg(test)]
mod tests;
