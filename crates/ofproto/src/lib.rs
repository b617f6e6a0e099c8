//! The OpenFlow switch: tables, rules, groups, and snapshots of them for readers.
//!
//! Where it sits: `switch` hands it decoded requests and the time, and publishes its snapshots; `xlate` looks rules up
//! in a snapshot. Pure: no clock, no sockets, no datapath.
//!
//! ~~~text
//! FlowMod ──► Ofproto (one writer) ──► Changes (flow-removed, monitors)
//!                │ publish
//!                ▼
//!             Snapshot (immutable) ──► xlate, on any thread ──► RuleState (atomic counters, shared by all versions)
//! ~~~
//!
//! Invariants
//! I1  A request that fails changes nothing; a bundle is one request.
//! I2  A rule never changes: a modification makes a new rule that shares the old one's counters.
//! I3  A snapshot never changes; what it costs is said in `snapshot.rs`.
//!
//! Next: `rule.rs`, `snapshot.rs`, `flow_mod.rs`.
#![forbid(unsafe_code)]

mod choice;
mod expiry;
mod flow_mod;
mod group;
mod meter;
mod options;
mod rule;
mod select;
mod snapshot;
mod switch;

pub use choice::{Choice, HashTable};
pub use flow_mod::{FlowChange, FlowChangeKind, RemovedReason};
pub use group::{Bucket, Group, Tally, group_features};
pub use meter::MeterRule;
pub use options::OptionMap;
pub use rule::{Rule, RuleSpec, RuleState};
pub use select::{RuleSelection, Strictness};
pub use snapshot::{Found, Lookup, Snapshot, Table, TableCounters, TableMiss};
pub use switch::{Checkpoint, Ofproto, TableConfig};

/// Tables of a switch, hidden ones included.
pub const N_TABLES: u8 = 255;

/// The table that controllers cannot see.
pub const INTERNAL_TABLE: u8 = 254;

/// Tables that controllers see.
pub const N_VISIBLE_TABLES: u8 = 254;

/// To the millisecond, as Open vSwitch tells ages.
pub fn age(d: core::time::Duration) -> openflow::msg::Age {
    openflow::msg::Age {
        sec: u32::try_from(d.as_secs()).unwrap_or(u32::MAX),
        nsec: d.subsec_millis() * 1_000_000,
    }
}

#[cfg(test)]
mod tests;
