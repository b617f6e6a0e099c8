//! A datapath in another process, over the socket of its device.
//!
//! Where it sits: beside `dpif-netdev`, for a switch whose datapath outlives it: `ovsextd` is at the other end. It opens no
//! real device; it only looks at those that the other process has opened.
//!
//! ~~~text
//!   switch ─ Dpif ─► messages (netlink bytes) ─► Connection ─ SOCK_SEQPACKET ─► ovsextd
//!     ▲                                                                            │
//!     ├─ UpcallHandler ◄─ receiver threads, each a handle that subscribed ◄─ READ_PACKET
//!     └─ what came and went ◄─ a listener with a handle of its own ◄─ READ_EVENT
//! ~~~
//!
//! Invariants
//! I1  Upcalls of one flow come to one thread, and are answered in their order.
//! I2  Ports, flows and connections are the datapath's: what this process forgets, it can read again.
//! I3  When the other process goes, every call fails at once and [`DpifDevice::is_alive`] says so.
//!
//! Spec: ovsext sections 1 and 2. Reading order: `connection`, `message`, `host`, `host/calls`, `handle_thread`, `receiver`,
//! `listener`.
#![cfg(target_os = "linux")]

mod connection;
mod handle_thread;
mod host;
mod listener;
mod message;
mod receiver;
mod tracking;

pub use connection::OpenError;
pub use host::{Clock, DpifDevice, Setup, Waker};
