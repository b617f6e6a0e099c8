//! The OVSDB client: a replica of a database, and transactions on it.
//!
//! Where it sits: between a JSON-RPC session, which its owner drives, and programs that read rows and change them (`ovs-vswitchd`,
//! `ovs-vsctl`). Pure: messages in, messages out; no sockets, no clock, no randomness of its own.
//!
//! ~~~text
//! connected ─► (_Server) ─► get_schema ─► monitor_cond_since ─► rows ─► Synced ◄─ update3
//!                                                                          │
//!                                           Txn (an overlay on the rows) ──┴─► transact ─► Outcome
//! ~~~
//!
//! I1  The replica is always a state that the database had: an update is applied whole.
//! I2  After a lost connection the replica goes on from its last commit if the server knows that, and begins anew otherwise.
//! I3  A transaction reads its own changes, and changes nothing in the replica; what was committed comes back as an update.
//!
//! Spec: RFC 7047 section 4.1; ovsdb-server(7) sections 4.1.12 to 4.1.15 (`monitor_cond_since`).
//! Reading order: `replica`, `index`, `txn`, `conditions`, `idl`, `cluster`.

mod cluster;
mod conditions;
mod idl;
mod index;
mod replica;
mod txn;

pub use cluster::Fitness;
pub use idl::{Choice, Columns, Idl, Incoming, Monitor, Outgoing, State, Wanted};
pub use replica::{Replica, Row, TableReplica};
pub use txn::{Outcome, Txn};

#[cfg(test)]
mod tests;
