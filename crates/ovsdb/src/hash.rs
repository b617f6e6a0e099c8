//! The hash map of schemas and rows.
//!
//! Where it sits: what is looked up by name, by row or by index hashes with it. Clients choose names and UUIDs, so each process
//! hashes with secrets of its own.

/// A map with a hash that is quick for UUIDs and short strings.
pub type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
