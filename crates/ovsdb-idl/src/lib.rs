//! The OVSDB client: a replica of a database, and transactions on it.
