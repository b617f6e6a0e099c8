//! ovsdb-server: the Open vSwitch database server.
//!
//! Where it sits: `ovsdb-engine` decides what requests do, `stream` carries messages, `daemon` makes it a service; this crate joins them.
//!
//! Reading order: `served` a database and its file, `server` the state, `requests` the protocol's methods, `watchers` which
//! monitors a commit matters to, `mailbox` and
//! `connection` how messages travel, `remotes` where clients come from, `source` how copies follow other servers, `control` what users
//! arrange, `compaction` files without their history, `config_file` and `options` how they say it, `commands` run-time control.

mod commands;
mod compaction;
mod config_file;
mod connection;
mod control;
pub mod mailbox;
mod options;
mod pki;
mod remotes;
mod requests;
pub mod run;
pub mod served;
pub mod server;
mod server_db;
mod source;
mod status;
mod watchers;

pub use server::Server;
