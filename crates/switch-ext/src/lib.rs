//! The Hyper-V switch extension without NDIS: life, ports, requests, and the way of packets.
//!
//! Where it sits: `ovsext` calls it from NDIS's callbacks and gives it NDIS's services as a [`Platform`]; it drives the
//! core's workers, and is the host of the device's ports. It knows no NDIS structure and no clock.
//!
//! ~~~text
//! switch ─ packets ─► Extension::ingress ─► lane of this processor: Frame views ─► Worker ─► Plan
//!                                                                                             │
//!   unchanged: the packet itself, with destinations ◄─────────────────────────────────────────┤
//!   changed:   a packet of ours with the bytes, one destination; the received one is completed ◄┤
//!              (of a long one with the first bytes: the received one is kept for the rest)      │
//!   missed:    a message of the device for the switch in user space                         ◄──┘
//! ~~~
//!
//! A packet's bytes stay where they are. The first 256 are copied into a block of our own, because guests can write to
//! theirs while we read; the core decides on that copy. What it does not change is sent as it came, so most packets are
//! never copied whole; nor are long ones whose headers change.
//!
//! Invariants
//! I1  Every received packet is given back exactly once: sent on, or completed. Both happen after the core is done with
//!     the batch and no lock is held, because the switch may call back from inside.
//! I2  A packet of ours is counted before the state is looked at, and until it is freed: a pause cannot end while one is out.
//! I3  What a guest could still change, of what was decided on, is not sent on unchanged.
//! I4  A received packet whose data a packet of ours shares goes nowhere itself, and is given back when the last of those
//!     is freed.
//!
//! A tunnel's packets are the host's: with their outer headers they go through the flows as if one of its adapters had sent
//! them, and those that flows give to such an adapter are taken out of their headers, and come in by the tunnel's port.
//!
//! Not here yet: segmentation in software but into tunnels.
//!
//! Next: `platform.rs`, `life.rs`, `ports.rs`, `policy.rs`, `oid.rs`, `frame.rs`, `lane.rs`, `extension.rs`, `vports.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;

mod platform;

mod life;
mod oid;
mod policy;
mod ports;

mod frame;
mod info;
mod lane;
mod plan;

mod extension;
mod vports;

pub use extension::{Extension, Setup};
pub use frame::Frame;
pub use info::Info;
pub use life::{Event, Life, Pause, State};
pub use oid::{After, Decision, Oid, Veto};
pub use platform::{
    Block, Chain, Destination, Facts, Hop, NoHop, Outcome, Platform, Reason, SendFlags, Snapshot, View,
};
pub use policy::{Policy, PolicyKind, Security, VlanPolicy, VlanSet};
pub use ports::{NicId, NicInfo, NicKind, PortInfo, PortKind};
