//! ovsextd: a datapath in a process of its own, which outlives the switch.
//!
//! Where it sits: beside `ovs-vswitchd`, which finds it by its socket. It has the core and the ports of `dpif-netdev`, and
//! offers them as the device that the Hyper-V extension offers, over a socket. It knows no OpenFlow and no database.
//!
//! ~~~text
//!   ports ─► dpif-netdev's threads ─► core ─► ports
//!                                      │ ways of tunnels: Finder, which asks the kernel
//!                                      │ upcalls                 requests │
//!                                      ▼                                  ▼
//!               Host: VportHost ─► device::Device ◄─ carrier: one thread for each connection
//! ~~~
//!
//! I1  Whatever a client does or leaves undone, packets of installed flows go on.
//! I2  A client that goes leaves its ports, flows and connections; only its queues go with it.
//! I3  A client has what the interface gives it, and nothing of this process: it may be any program that may open the socket.
//!
//! Spec: ovsext section 1. Reading order: `run`, `host`, `carrier`, `ways`, `handover`, `commands`, `options`.
#![cfg(target_os = "linux")]

mod carrier;
mod commands;
mod handover;
mod host;
mod options;
mod run;
mod ways;

pub use run::main;
