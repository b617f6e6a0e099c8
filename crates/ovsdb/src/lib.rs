//! OVSDB's notation: JSON, schemas, atoms, datums, conditions and errors (RFC 7047).
//!
//! Where it sits: shared by the server (`ovsdb-engine`, `ovsdb-server`), the replica (`ovsdb-idl`) and the tools. It holds no
//! rows, knows no transport and does no I/O.
//!
//! Reading order: `atom` the smallest value, `base_type` and `column_type` what a schema says about it,
//! `datum` sets and maps, `schema` tables and columns, `condition` and `mutation` what operations do with them, `text` how people
//! write values, `table` how tools print them.

pub mod atom;
pub mod base_type;
pub mod column_type;
pub mod condition;
pub mod datum;
pub mod error;
pub mod hash;
pub mod json;
pub mod members;
pub mod mutation;
pub mod schema;
pub mod table;
pub mod text;
pub mod uuid;

pub use atom::{Atom, AtomicType, Names};
pub use base_type::{BaseType, Limits, RefType};
pub use column_type::ColumnType;
pub use condition::{Clause, Condition, Function};
pub use datum::Datum;
pub use error::{Error, Result};
pub use hash::HashMap;
pub use mutation::{Mutation, Mutator};
pub use schema::{ColumnSchema, DbSchema, TableSchema};
pub use smol_str::SmolStr;
pub use uuid::Uuid;
