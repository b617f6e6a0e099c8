//! A part of the table under one lock: an index and the connections whose original direction hashes here.
//!
//! Where it sits: `table.rs` holds 256 of them; the upper byte of a tuple's hash says which.
//!
//! A connection whose addresses are translated has a second entry, for its replies, in the index of the shard to
//! which those hash; so an index may name connections of other shards.
//!
//! I1  Locks of two shards are taken in the order of their numbers.
//! I2  An index entry may outlive its connection for the moment between two locks: whoever follows one compares
//!     tuples under the lock of the connection's shard.

use packet::Now;

use crate::config::NoMemory;
use crate::conn::{Body, Conn4, Conn6, NewConn};
use crate::entry::Entry;
use crate::index::Index;
use crate::plain::Headers;
use crate::slab::{Chunk, ConnRef, Slab};
use crate::tcp::Side;
use crate::tuple::Tuple;

/// Slots of a new shard's index.
const FIRST_INDEX: usize = 32;

/// Checksums that were verified of plain packets: here, where no two workers count at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct VerifiedCounts {
    pub l3: u64,
    pub l4: u64,
}

/// One part of the table.
#[derive(Debug)]
pub(crate) struct Shard {
    number: u8,
    pub verified: VerifiedCounts,
    pub index: Index,
    v4: Slab<Conn4>,
    v6: Slab<Conn6>,
}

/// Where the search for a tuple ended within one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Here.
    Here(ConnRef, Side),
    /// Nowhere, or with this connection of another shard.
    Elsewhere(ConnRef),
    /// Nowhere.
    No,
}

/// Memory that a shard lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub v4: usize,
    pub v6: usize,
    /// Slots of a larger index, or zero.
    pub index: usize,
}

impl Shortage {
    pub(crate) const fn is_none(&self) -> bool {
        self.v4 == 0 && self.v6 == 0 && self.index == 0
    }
}

/// A connection that was taken out of its shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removed {
    pub entry: Entry,
    pub zone: u16,
    pub wants_event: bool,
}

impl Shard {
    pub(crate) fn new(number: u8) -> Result<Shard, NoMemory> {
        let mut shard = Shard {
            number,
            verified: VerifiedCounts::default(),
            index: Index::with_size(FIRST_INDEX)?,
            v4: Slab::new(),
            v6: Slab::new(),
        };
        shard.v4.add(Slab::<Conn4>::chunk()?)?;
        shard.v6.add(Slab::<Conn6>::chunk()?)?;
        Ok(shard)
    }

    /// Looks `t` up among what has its tag; passes over the first `skip` of what may be it in other shards.
    pub(crate) fn find(&self, tag: u32, t: &Tuple, skip: usize) -> Found {
        let mut elsewhere = None;
        let mut skip = skip;
        for conn in self.index.candidates(tag) {
            if conn.shard() == self.number {
                if let Some(side) = self.side(conn, t) {
                    return Found::Here(conn, side);
                }
            } else if let Some(less) = skip.checked_sub(1) {
                skip = less;
            } else {
                elsewhere = elsewhere.or(Some(conn));
            }
        }
        elsewhere.map_or(Found::No, Found::Elsewhere)
    }

    /// Looks a plain packet up: a connection that is here, and its direction.
    #[inline(always)]
    pub(crate) fn find_v4(&self, tag: u32, h: &Headers, zone: u16) -> Option<(ConnRef, Side)> {
        self.index.candidates(tag).find_map(|conn| {
            let here = conn.shard() == self.number && !conn.is_ipv6();
            let entry = if here { self.v4.get(conn.index())? } else { return None };
            entry.side_v4(h, zone).map(|side| (conn, side))
        })
    }

    /// Asks for the connections over IPv4 that have this tag.
    #[inline]
    pub(crate) fn prefetch(&self, tag: u32) {
        let here = self.index.candidates(tag).filter(|c| c.shard() == self.number && !c.is_ipv6());
        here.for_each(|conn| self.v4.prefetch(conn.index()));
    }

    /// A connection over IPv4 of this shard.
    #[inline]
    pub(crate) fn v4_mut(&mut self, conn: ConnRef) -> Option<&mut Conn4> {
        self.v4.get_mut(conn.index())
    }

    /// Counts the verified checksums of a plain packet: always the header's, perhaps the transport's.
    #[inline]
    pub(crate) fn count_verified(&mut self, transport: bool) {
        self.verified.l3 = self.verified.l3.wrapping_add(1);
        self.verified.l4 = self.verified.l4.wrapping_add(transport.into());
    }

    /// Which direction of `conn`, if it is here and in use, `t` is of.
    pub(crate) fn side(&self, conn: ConnRef, t: &Tuple) -> Option<Side> {
        if conn.shard() != self.number || conn.is_ipv6() != t.is_ipv6 {
            None
        } else if conn.is_ipv6() {
            self.v6.get(conn.index())?.side(t)
        } else {
            self.v4.get(conn.index())?.side(t)
        }
    }

    /// The state of a connection of this shard.
    pub(crate) fn body(&mut self, conn: ConnRef) -> Option<&mut Body> {
        if conn.is_ipv6() {
            self.v6.get_mut(conn.index()).map(|c| &mut c.body)
        } else {
            self.v4.get_mut(conn.index()).map(|c| &mut c.body)
        }
    }

    /// Both directions' tuples.
    pub(crate) fn tuples(&self, conn: ConnRef) -> Option<(Tuple, Tuple)> {
        if conn.is_ipv6() {
            self.v6.get(conn.index()).map(|c| (c.orig(), c.reply()))
        } else {
            self.v4.get(conn.index()).map(|c| (c.orig(), c.reply()))
        }
    }

    /// A copy for dumps and events.
    pub(crate) fn entry(&self, conn: ConnRef, now: Now) -> Option<Entry> {
        if conn.is_ipv6() {
            self.v6.get(conn.index()).map(|c| c.entry(now))
        } else {
            self.v4.get(conn.index()).map(|c| c.entry(now))
        }
    }

    /// Stores a connection; the index does not know it yet. `None` without memory.
    pub(crate) fn store(&mut self, new: &NewConn<'_>) -> Option<ConnRef> {
        let is_ipv6 = new.orig.is_ipv6;
        let n = if is_ipv6 {
            self.v6.insert(|old| Conn6::new(new, old))?
        } else {
            self.v4.insert(|old| Conn4::new(new, old))?
        };
        ConnRef::new(self.number, is_ipv6, n)
    }

    /// Frees a connection's memory; its index entries are the caller's.
    pub(crate) fn free(&mut self, conn: ConnRef, now: Now) -> Option<Removed> {
        let (entry, body) = if conn.is_ipv6() {
            self.v6.remove(conn.index()).map(|c| (c.entry(now), c.body))?
        } else {
            self.v4.remove(conn.index()).map(|c| (c.entry(now), c.body))?
        };
        let entry = Entry { stop_ms: now.wall_ms, ..entry };
        Some(Removed { entry, zone: body.zone, wants_event: body.wants_destroy_event() })
    }

    /// One step of a walk over all entries: the connection at `at`, if it is in use, and where to go on. `None` at the
    /// end. Entries keep their place, also when the shard grows.
    pub(crate) fn step(&self, at: u32) -> Option<(Option<ConnRef>, u32)> {
        const FIRST_V6: u32 = ConnRef::MAX_INDEX + 1;
        if at < self.v4.len() {
            let conn = self.v4.get(at).and_then(|_| ConnRef::new(self.number, false, at));
            return Some((conn, at + 1));
        }
        let n = at.saturating_sub(FIRST_V6);
        if n >= self.v6.len() {
            return None;
        }
        let conn = self.v6.get(n).and_then(|_| ConnRef::new(self.number, true, n));
        Some((conn, FIRST_V6 + n + 1))
    }

    /// What has to be added for the packet path to find room.
    pub(crate) fn shortage(&self) -> Shortage {
        Shortage {
            v4: self.v4.shortage(),
            v6: self.v6.shortage(),
            index: if self.index.is_crowded() { self.index.size() * 2 } else { 0 },
        }
    }

    /// Adds a chunk for IPv4 connections.
    pub(crate) fn add_v4(&mut self, chunk: Chunk<Conn4>) -> Result<(), NoMemory> {
        self.v4.add(chunk)
    }

    /// Adds a chunk for IPv6 connections.
    pub(crate) fn add_v6(&mut self, chunk: Chunk<Conn6>) -> Result<(), NoMemory> {
        self.v6.add(chunk)
    }
}
