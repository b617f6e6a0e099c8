//! The Linux host of the datapath: threads that poll ports and run workers.
//!
//! Where it sits: a daemon makes one [`DpifNetdev`] for each type of datapath and hands it to the switch as a
//! [`dpif::Dpif`]. It opens devices through a [`netdev::Registry`] and knows no OpenFlow.
//!
//! ~~~text
//!   ports with a descriptor ──► polling threads: epoll, sleep when idle  ─┐
//!   ports with rings ──► poll-mode threads, each bound to a core (pmd)     ├─► Pump: a Worker, its buffers,
//!   ports in memory (dummies) ──► whoever calls poll_ports()               │        transmits, upcalls
//!   execute() ──► whoever calls it                                        ─┘
//! ~~~
//!
//! A pump takes a batch from one port, runs it, sends what came out, and then answers upcalls one by one: the
//! megaflow is installed, the packet is executed, and what that puts out is sent before the next. A call that feeds a
//! dummy and then polls has therefore seen the packet through to its end when it returns.
//!
//! Invariants
//! I1  No lock is held while an upcall is answered: the handler may take whatever it likes, and use this datapath.
//! I2  A port's receive queue is locked only to receive, its transmit queue only to transmit.
//! I3  An idle datapath uses no processor.
//! I4  Time comes from the clock that the daemon gives, never from the system.
//!
//! Next: `pump.rs`.
#![cfg(target_os = "linux")]

mod datapath_host;
mod pace;
mod poller;
mod ports;
mod pump;

mod balance;
mod cores;
mod pmd;
mod schedule;

mod commands;
mod config;
mod metrics;
mod perf;
mod show;
mod sys;
mod usage;

pub use commands::{COMMANDS, ThreadCommand};
pub use config::is_about_threads;
pub use cores::Cores;
pub use datapath_host::{Class, Clock, DpifNetdev, FindWays, OpenError, Setup};

#[cfg(test)]
mod tests;
