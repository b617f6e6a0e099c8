//! Translation: a packet and a snapshot of the rules become datapath actions and wildcards.
//!
//! Where it sits: `switch` calls [`translate()`] for upcalls, revalidation, packet-outs and traces; it looks rules up
//! in `ofproto`'s snapshots. Pure: what it needs to know comes as arguments ([`Network`], [`Memory`]), what is to be
//! done comes back as data ([`Outcome`]).
//!
//! ~~~text
//! key ─► table 0 ─► rule ─► actions ─► resubmit, goto, NORMAL, patch ports …      flow: the packet as rules see it
//!                              │                                                  base: as the datapath has it now
//!                              └─ output ─► commit: set actions turn base into flow ─► odp actions
//! ~~~
//!
//! I1  Every bit of the key that was looked at is in the outcome's wildcards: a packet that differs only in other bits
//!     has the same outcome.
//! I2  Datapath actions before an output leave the packet as the rules see it; nothing is set that nobody receives.
//! I3  Depth, number of lookups, stack and list of actions are bounded.
//!
//! Spec: ovs-actions(7), ovs-fields(7). Next: `network.rs`, `translate.rs`, `act.rs`.
#![forbid(unsafe_code)]

mod act;
mod choose;
mod commit;
mod credit;
mod encap;
mod freeze;
mod group;
mod hash;
mod learn;
mod network;
mod normal;
mod output;
mod resume;
mod sample;
mod trace;
mod translate;
mod tunnel;

pub use credit::{Credit, LearnedFlow};
pub use freeze::{Frozen, FrozenTable, metadata_of};
pub use network::{Bridge, Bundle, Memory, Network, Port, PortCounters, Sampling, VlanMode};
pub use trace::{NodeKind, Trace, ct_state_text, flow_text, megaflow_text};
pub use translate::{Fork, Outcome, Request, SideEffects, XlateError, translate};
pub use tunnel::{Fixed, Outer, Route, Tunnel, TunnelEntry};
