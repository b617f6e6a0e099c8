//! OVSDB's notation: JSON, schemas, atoms, datums, conditions and errors (RFC 7047).
