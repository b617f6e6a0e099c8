//! What is given hostile bytes.
//!
//! Where it sits: the list; each kind of reader has a file.

mod databases;
mod lists;
mod messages;
mod packets;
mod texts;

/// Takes bytes, and comes back.
pub type Run = Box<dyn FnMut(&[u8])>;

/// A reader of bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Bytes that mean something to it.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Makes what takes the bytes; it may remember them.
    pub prepare: fn() -> Run,
}

/// Every target.
pub const TARGETS: [Target; 11] = [
    Target { name: "extract", seeds: packets::frames, prepare: packets::extract },
    Target { name: "tunnels", seeds: packets::tunnelled, prepare: packets::tunnels },
    Target { name: "fragments", seeds: packets::fragments, prepare: packets::tracked },
    Target { name: "tracking", seeds: packets::dialogue, prepare: packets::tracked },
    Target { name: "messages", seeds: messages::seeds, prepare: messages::device },
    Target { name: "keys", seeds: messages::keys, prepare: messages::matches },
    Target { name: "actions", seeds: lists::seeds, prepare: lists::execute },
    Target { name: "texts", seeds: texts::seeds, prepare: texts::parse },
    Target { name: "json", seeds: databases::texts, prepare: databases::parse },
    Target { name: "requests", seeds: databases::requests, prepare: databases::answer },
    Target { name: "files", seeds: databases::files, prepare: databases::open },
];
