//! Declarations of NDIS and of the Windows kernel: the few that the driver and its simulator use.
//!
//! Where it sits: below `ndis` (which makes them safe) and `hyperv-sim` (which implements the functions on Linux). It holds
//! no code but a handful of accessors for bit fields.
//!
//! Names are Windows' own, as the Windows Driver Kit documents them, so that its documentation can be looked up.
//!
//! I1  Everything is `extern "win64"`: on Windows that is the platform's own convention; elsewhere the same declarations
//!     link against the simulator.
//! I2  Every structure's size, alignment and offsets are asserted at compile time (`layout.rs`), from numbers that were
//!     read out of the real headers by a compiler; a test compares the assertions with those numbers.
//! I3  The layouts are those of NDIS 6.40 on x64. Where later systems append, the declaration ends where 6.40 does and its
//!     size is nowhere used (`NET_BUFFER_LIST`).
//!
//! Next: `structs.rs`, then `functions.rs`.
#![no_std]
#![allow(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_code,
    missing_docs,
    reason = "Windows' own names, documented by Microsoft, and functions outside this crate"
)]

mod bits;
mod consts;
mod functions;
mod layout;
mod netio;
mod policies;
mod structs;

pub use bits::*;
pub use consts::*;
pub use functions::*;
pub use netio::*;
pub use policies::*;
pub use structs::*;
