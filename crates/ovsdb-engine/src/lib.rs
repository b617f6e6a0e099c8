//! OVSDB's engine: tables, transactions, constraints, monitors and log files.
//!
//! Where it sits: under ovsdb-server, which gives it requests and carries its answers, and under ovsdb-tool. It knows no
//! sockets and no clock: time and identifiers are arguments. Only `storage` touches files.
//!
//! Reading order: `row`, `database`, `transaction`, `integrity`, `execute`, `operations`, `query`, then what follows a commit:
//! `record` and `log` (disk), `monitor` and `history` (clients), `mirror` (copies of other servers); `lock` and `rbac` stand alone.

pub mod database;
pub mod entropy;
pub mod execute;
pub mod history;
mod integrity;
pub mod lock;
pub mod log;
pub mod mirror;
pub mod monitor;
mod operations;
mod query;
pub mod rbac;
pub mod record;
pub mod row;
mod sha1;
pub mod storage;
pub mod transaction;

pub use database::Database;
pub use entropy::UuidSource;
pub use execute::{Access, Outcome, Request, Waiting, execute, execute_as};
pub use history::History;
pub use monitor::Monitor;
pub use rbac::Role;
pub use row::{Change, Changes, Row};
pub use storage::Storage;
pub use transaction::{Prepared, Transaction};
