//! NDIS made safe: packets, blocks, requests, timers, levels, devices.
//!
//! Where it sits: between `ndis-sys`'s declarations and `ovsext`'s callbacks. It has no opinion about what is done with
//! packets.
//!
//! Each module turns one of NDIS's contracts into types: a packet that one owns is an [`Nbl`] and is given away by value;
//! a [`View`] of its bytes keeps it from being given away; a [`Level`] holds the processor where locks may be taken.
//! An image that links this crate has its heap and its panics from here, too (`runtime.rs`).
//!
//! Next: `packet.rs`, `block.rs`, `switch.rs`, `oid.rs`, `irp.rs`.
#![no_std]
#![allow(unsafe_code, reason = "NDIS's functions and memory; each block says what it relies on")]
#![allow(non_upper_case_globals, reason = "Windows' own names in patterns")]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;

mod packet;

mod block;
mod device;
mod host;
mod irp;
mod level;
mod memory;
mod oid;
mod partial;
#[cfg(windows)]
mod runtime;
mod switch;
mod text;
mod timer;
mod work;

pub use block::{BLOCK, Block, BlockPool, LONG_BLOCK};
pub use device::{Device, Dispatch};
pub use host::{HostWatch, IpAddress, NextHop, NoHop, addresses, interface, next_hop};
pub use irp::{Irp, Waiting};
pub use level::{Level, interrupt_time, pause, processor, processors, system_time};
pub use memory::{KernelPool, TAG};
pub use oid::{Answer, Ask, OidKind, OidRequest, SpareRequest, ask, forward_oid, oid_answered};
pub use packet::{Chain, Nbl, View};
pub use switch::{Origin, PortNic, Shared, Switch, SwitchError};
pub use text::{Utf16, unicode};
pub use timer::Timer;
pub use work::WorkItem;

/// Ends the system: a rule that everything here stands on was broken.
pub fn bugcheck(what: Broken) -> ! {
    // SAFETY: takes any values and does not return.
    unsafe { ndis_sys::KeBugCheckEx(BUGCHECK, what as usize, 0, 0, 0) }
}

/// The code of our bug checks: "oxvs".
pub const BUGCHECK: u32 = 0x6f78_7673;

/// Rules whose breach ends the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A packet was given away while something could still read it.
    PacketIsViewed = 1,
    /// A block was freed twice, or is none of ours.
    ForeignBlock = 2,
}
