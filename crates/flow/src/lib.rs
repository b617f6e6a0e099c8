//! The match-field registry, the flow key, wildcards, and total key extraction.
//!
//! Where it sits: above `wire` and `packet`; every table in every layer is keyed by it. One key serves OpenFlow and
//! the datapath; one registry ([`Field`]) drives text, OXM and NXM, and prerequisites.
//!
//! ~~~text
//! packet + PacketMeta ── extract ──► FlowKey   (what the packet is)
//!                                    Wildcards (which of its bits were looked at)
//!                                    Match     (both: what a rule or megaflow matches)
//! ~~~
//!
//! Next: `key.rs`, then `extract.rs`, then `datapath/src/worker.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;

mod compose;
pub mod extract;
mod fields;
mod key;
pub mod plain;
mod wildcards;

pub mod ct_state;
pub mod slot;
pub mod tun_metadata;

pub use compose::{compose, usual_payload};
pub use extract::{DEFAULT_VLAN_LIMIT, Layers, extract};
pub use fields::{Field, FieldDef, Format, Of1x, Prereq, Usable};
pub use key::{FLOW_WORDS, FlowKey, Frag};
pub use plain::PlainKey;
pub use slot::Slot;
pub use wildcards::{Match, Wildcards};
