//! OVSDB's engine: tables, transactions, constraints, monitors and log files.
//!
//! Where it sits: under ovsdb-server, which gives it requests and carries its answers, and under ovsdb-tool. It knows no
//! sockets and no clock: time and identifiers are arguments. Only `storage` touches files.
//!
//! Reading order: `row`, `database`, `transaction`, `integrity`, `execute`, `operations`, `query`, then what follows a commit:
//! `record` and `log` (disk), `monitor` (clients); `lock` stands alone.

pub mod database;
pub mod entropy;
pub mod execute;
mod integrity;
pub mod lock;
pub mod log;
pub mod monitor;
mod operations;
mod query;
pub mod record;
pub mod row;
mod sha1;
pub mod storage;
pub mod transaction;

pub use database::Database;
pub use entropy::UuidSource;
pub use execute::{Access, Outcome, Request, Waiting, execute};
pub use monitor::Monitor;
pub use row::{Change, Changes, Row};
pub use storage::Storage;
pub use transaction::{Prepared, Transaction};
