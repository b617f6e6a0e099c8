//! ovsext.sys: NDIS's callbacks, each of which is one call of the extension.
//!
//! Where it sits: above `switch-ext` (what is done) and `ndis` (with what). Windows loads the image that `main.rs` is; the
//! simulator links this crate and calls [`driver_entry`], or loads the image.
//!
//! Nothing is decided here: callbacks translate NDIS's arguments, requests and answers, and user space's requests at the device.
//!
//! I1  A module's memory lives from FilterAttach to FilterDetach; NDIS calls back only in between.
//!
//! Next: `driver.rs`, `door.rs`, `module.rs`, `host.rs`, `oid.rs`, `policy.rs`.
#![no_std]
#![allow(unsafe_code, reason = "callbacks that the kernel calls")]
#![allow(non_upper_case_globals, reason = "Windows' own names in patterns")]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;

mod door;
mod driver;

mod host;
mod module;
mod oid;
mod policy;

pub use driver::driver_entry;
