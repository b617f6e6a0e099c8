//! OVSDB's notation: JSON, schemas, atoms, datums, conditions and errors (RFC 7047).

pub mod json;
