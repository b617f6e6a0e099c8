//! The connection table: protocol machines, NAT, zones, marks and labels.
//!
//! Where it sits: called by `datapath::execute` for every `ct` action; one table is shared by all workers of a
//! datapath, because replies arrive on other processors. It knows packets' bytes but no flows, ports or OpenFlow.
//!
//! ~~~text
//! packet ── extract ──► Tuple ── hash ──► shard ── index ──► connection ── tcp │ other │ icmp ──► ct_state
//!                                            └─ no entry: new ── commit ──► nat ──► two entries
//! ~~~
//!
//! Next: `table.rs`, then `tcp.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
mod alg;
mod commit;
mod extract;
mod fragments;
mod icmp;
mod maintain;
mod nat;
mod other;
mod plain;
mod process;
mod rewrite;
mod save;
mod table;
mod tcp;
mod walk;

mod conn;
mod counters;
mod entry;
mod events;
mod hash;
mod index;
mod limits;
mod shard;
mod slab;

mod config;
mod filter;
mod settings;
mod text;
mod timeout;
mod tuple;

pub use action::{Alg, Commit, CtAction, CtPacket, CtVerdict, Nat, NatKind, PortChoice, Rewrite};
pub use alg::{Edit, Expectation, MAX_TEXT};
pub use config::{Config, CtStats, DEFAULT_MAX_CONNS, DEFAULT_SWEEP_MS, NoMemory, ZoneLimit};
pub use entry::{Counters, DumpCursor, Entry, Event, EventKind, TcpInfo, TcpState};
pub use filter::{TupleError, TupleMatch};
pub use fragments::{
    FragmentCounts, FragmentRef, FragmentStatus, Fragments, Held, Ipf, LEAST_MIN_FRAG, MAX_NFRAGS, Name,
    Piece, Waiting,
};
pub use plain::{Headers, PlainFrame, Tracked};
pub use save::{Record, SAVED_LEN};
pub use settings::Setting;
pub use table::{Conntrack, Place};
pub use text::{Detail, EntryText, Extent, ProtocolCounts};
pub use timeout::{MAX_TIMEOUT_POLICIES, TIMEOUTS, Timeout, TimeoutPolicy};
pub use tuple::Tuple;
pub use walk::Flush;
