//! The datapath's pseudo device: netlink messages in and out, over the typed commands of the core.
//!
//! Where it sits: above `datapath`, below every carrier: DeviceIoControl of the Windows driver, a socket of `ovsextd`, a call
//! in process. It knows no sockets, no clock and no device; real ports are its host's ([`VportHost`]).
//!
//! ~~~text
//!  open ─► Handle ─┬─ transact(message) ─► reply           one request, one answer
//!                  ├─ write(dump) ─ read ─ read ─ … 0      a dump, in as many parts as it takes
//!                  ├─ write(subscribe) ─ read_event        events, queued for each handle
//!                  └─ write(subscribe) ─ read_packet       upcalls, queued for each handle
//!                                │
//!        request.rs: family, command, attributes ─► families/*.rs ─► datapath::Command, conntrack, VportHost
//! ~~~
//!
//! Invariants
//! I1  Any bytes on any handle are answered: by a reply, an error inside a reply, or a [`Status`]. Nothing panics.
//! I2  A dump neither skips nor repeats what exists throughout.
//! I3  Queues have bounds in bytes; what does not fit is lost and counted, and what was queued keeps its order.
//! I4  Queueing an upcall allocates nothing.
//! I5  No lock is held while the host is called.
//!
//! Context: any thread; up to DISPATCH_LEVEL on Windows. Spec: ovsext sections 1, 2 and 6.9 to 6.10.
//! Next: `device.rs`, then `families/mod.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod device;
mod handle;
mod host;
mod request;
mod status;

pub mod carrier;
pub mod counts;
pub mod ct;
pub mod ct_setting;
mod families;
pub mod flows;
mod ports;
mod ring;

pub use device::{Config, Counters, Device, Env, Outcome, Written};
pub use handle::Handle;
pub use host::{NetdevInfo, PortRef, Progress, Queue, Ticket, VportHost};
pub use status::{Errno, Status};

/// Name of the only datapath, and of its local port.
pub const DATAPATH_NAME: &str = "ovs-system";

#[cfg(test)]
mod tests;
