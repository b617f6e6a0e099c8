//! The datapath core: shared tables, and the worker that runs packets through them.
//!
//! Where it sits: every host drives it (Linux threads, the Windows driver, the simulator); `dpif` commands it. It knows
//! no OpenFlow, no devices, no clock and no sockets.
//!
//! ~~~text
//!             ┌──────── Datapath (shared): megaflows, connections, counters ◄── apply(Command)
//! batch ──►  Worker (one per CPU): extract ► cache ► megaflows ► execute ──► Egress: transmits, upcalls, drops
//!                                     ▲__________ recirculate __________│
//! ~~~
//!
//! Invariants
//! I1  Nothing is sent from inside [`Worker::process`]: the host drains [`Worker::egress`] afterwards.
//! I2  Every packet that comes in leaves exactly once, or is counted under a [`packet::DropReason`].
//! I3  The packet path allocates nothing: worklists have a fixed capacity, and what does not fit is dropped and counted.
//!
//! Next: `worker.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;

mod worker;

mod cache;
mod carry;
mod edit;
mod encap;
mod execute;
mod fragments;
mod meter;
mod patch;
mod place;
mod plan;
mod quick;
mod rewrite;

mod command;
mod core;
mod counters;
mod egress;
mod flows;
mod host;
mod ways;

pub use self::core::{Config, Datapath};
pub use command::{Command, CommandError, FlowInfo, FlowPut, FlowStats, PutMode, Reply, Stats};
pub use counters::DropCounts;
pub use egress::{Egress, More, Upcall, UpcallKind};
pub use host::{Exit, Host, NextHop, PlainHost, TunnelDst};
pub use meter::{BandKind, MAX_BANDS, MAX_METERS, MeterBand, MeterConfig, MeterCount, MeterInfo, MeterUnit};
pub use ways::{Address, End, Way, Ways};
pub use worker::Worker;
