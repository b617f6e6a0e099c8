//! One running switch: bridges, ports, learning, upcalls, revalidation and controllers' requests.
//!
//! Where it sits: `vswitchd` configures it, gives it the time, carries its controllers' bytes and registers its texts as
//! commands; the datapath's threads call its upcall handler. It has no sockets, no threads and no clock.
//!
//! ~~~text
//! vswitchd ─ set_bridge, add_port … ─► Switch ── publish ──► View (immutable) ──► upcalls on any thread
//!            controllers' bytes          │  ▲                                         │
//!                                        │  └── learned flows, packet-ins ◄───────────┤
//!                                        └── revalidate: Dpif ◄── megaflows, credits ─┘
//! ~~~
//!
//! I1  Locks are taken in the order state, view, megaflows, memory; upcalls never hold one while translating.
//! I2  Queues of packet-ins, states and megaflows are bounded.
//!
//! Next: `config.rs`, `core.rs`, `upcall.rs`, `revalidate.rs`, `adopt.rs`, `requests.rs`, `report.rs`, `trace.rs`.
#![forbid(unsafe_code)]

mod adopt;
mod bundles;
mod config;
mod connections;
mod core;
mod ct_flush;
mod describe;
mod fdb;
mod flows;
mod memory;
mod meters;
mod monitors;
mod packets;
mod report;
mod requests;
mod revalidate;
mod routes;
mod tables;
mod trace;
mod tunnels;
mod underlay;
mod upcall;

pub use adopt::Keep;
pub use config::{BridgeConfig, BundleConfig, FailMode, PortConfig, PortStatus, Takeover};
pub use core::{ConnId, ControllerKind, FLOW_LIMIT, Switch, Waker};
pub use fdb::{Fdb, FdbStats};
pub use routes::{RouteEntry, RouteRule, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN, masked};
pub use underlay::{Addresses, NewRoute, Underlay};
