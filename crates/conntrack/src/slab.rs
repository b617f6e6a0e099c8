//! Connections in memory that never moves: chunks of a few, with a list of the free.
//!
//! Where it sits: two in each shard, one for IPv4 and one for IPv6, whose entries are half as large again.
//!
//! Chunks are added off the packet path ([`crate::Conntrack::maintain`]); taking and freeing an entry only follows a
//! link. Dumps and the sweep walk entries by number.

use alloc::boxed::Box;
use alloc::vec::Vec;

use sync::prefetch_at;

use crate::NoMemory;

/// Entries of a chunk.
pub(crate) const CHUNK: usize = 16;

/// Where a connection is: shard, address family and number in that slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnRef(u32);

impl ConnRef {
    /// No connection.
    pub(crate) const NONE: ConnRef = ConnRef(u32::MAX);
    /// Numbers that a slab of one shard may have.
    pub(crate) const MAX_INDEX: u32 = (1 << 23) - 1;

    /// A reference; `None` if the number is too large.
    pub(crate) fn new(shard: u8, is_ipv6: bool, index: u32) -> Option<ConnRef> {
        (index < ConnRef::MAX_INDEX)
            .then_some(ConnRef(u32::from(shard) << 24 | u32::from(is_ipv6) << 23 | index))
    }

    pub(crate) const fn shard(self) -> u8 {
        (self.0 >> 24) as u8
    }

    pub(crate) const fn is_ipv6(self) -> bool {
        self.0 >> 23 & 1 != 0
    }

    pub(crate) const fn index(self) -> u32 {
        self.0 & ConnRef::MAX_INDEX
    }

    /// As a number, for a packet's note; see [`ConnRef::from_number`].
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_number(n: u32) -> ConnRef {
        ConnRef(n)
    }
}

/// What a slab holds: it tells whether it is in use, and can hold a link while it is not.
pub(crate) trait Entry: Copy {
    /// An entry that is not in use.
    const FREE: Self;
    /// True while it is in use.
    fn is_used(&self) -> bool;
    /// The link of an entry that is not.
    fn link(&self) -> u32;
    /// Marks it as not in use, with a link.
    fn set_free(&mut self, link: u32);
}

/// Memory for a slab to grow by.
pub(crate) type Chunk<E> = Box<[E; CHUNK]>;

/// Entries of one kind.
#[derive(Debug)]
pub(crate) struct Slab<E> {
    chunks: Vec<Chunk<E>>,
    free_head: u32,
    used: u32,
}

const END: u32 = u32::MAX;

impl<E: Entry> Slab<E> {
    pub(crate) const fn new() -> Slab<E> {
        Slab { chunks: Vec::new(), free_head: END, used: 0 }
    }

    /// Memory for one chunk.
    pub(crate) fn chunk() -> Result<Chunk<E>, NoMemory> {
        let mut entries = Vec::new();
        entries.try_reserve_exact(CHUNK).map_err(|_| NoMemory)?;
        entries.resize(CHUNK, E::FREE);
        entries.into_boxed_slice().try_into().map_err(|_| NoMemory)
    }

    /// Entries, used or not.
    pub(crate) fn len(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// Chunks to be added now, so that the packet path finds free entries.
    pub(crate) fn shortage(&self) -> usize {
        let free = self.len().saturating_sub(self.used);
        if free > 8 + self.used / 16 { 0 } else { 1 + self.used as usize / (8 * CHUNK) }
    }

    /// Takes `chunk`; the list of chunks may have to grow, which is done here too.
    pub(crate) fn add(&mut self, chunk: Chunk<E>) -> Result<(), NoMemory> {
        self.chunks.try_reserve(1).map_err(|_| NoMemory)?;
        let first = self.len();
        if first as usize + CHUNK > ConnRef::MAX_INDEX as usize {
            return Err(NoMemory);
        }
        self.chunks.push(chunk);
        for n in (first..first + CHUNK as u32).rev() {
            let link = core::mem::replace(&mut self.free_head, n);
            if let Some(e) = self.entry_mut(n) {
                e.set_free(link);
            }
        }
        Ok(())
    }

    /// Asks for an entry's memory.
    #[inline]
    pub(crate) fn prefetch(&self, n: u32) {
        if let Some(entry) = self.entry(n) {
            let at = core::ptr::from_ref(entry).addr();
            (0..size_of::<E>()).step_by(64).for_each(|line| prefetch_at(at.wrapping_add(line)));
        }
    }

    fn entry(&self, n: u32) -> Option<&E> {
        self.chunks.get(n as usize / CHUNK)?.get(n as usize % CHUNK)
    }

    fn entry_mut(&mut self, n: u32) -> Option<&mut E> {
        self.chunks.get_mut(n as usize / CHUNK)?.get_mut(n as usize % CHUNK)
    }

    /// The entry of that number, if in use.
    pub(crate) fn get(&self, n: u32) -> Option<&E> {
        self.entry(n).filter(|e| e.is_used())
    }

    /// The entry of that number, if in use, to be changed.
    pub(crate) fn get_mut(&mut self, n: u32) -> Option<&mut E> {
        self.entry_mut(n).filter(|e| e.is_used())
    }

    /// Stores what `make` builds out of the entry's last content; `None` without a free entry.
    pub(crate) fn insert(&mut self, make: impl FnOnce(&E) -> E) -> Option<u32> {
        let n = self.free_head;
        let e = self.entry_mut(n)?;
        let link = e.link();
        *e = make(e);
        self.free_head = link;
        self.used += 1;
        // For the next one.
        self.prefetch(link);
        Some(n)
    }

    /// Frees an entry and returns what it held.
    pub(crate) fn remove(&mut self, n: u32) -> Option<E> {
        let link = self.free_head;
        let e = self.get_mut(n)?;
        let old = *e;
        e.set_free(link);
        self.free_head = n;
        self.used -= 1;
        Some(old)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Number(bool, u32);

    impl Entry for Number {
        const FREE: Number = Number(false, 0);
        fn is_used(&self) -> bool {
            self.0
        }
        fn link(&self) -> u32 {
            self.1
        }
        fn set_free(&mut self, link: u32) {
            *self = Number(false, link);
        }
    }

    #[test]
    fn entries_come_and_go() {
        let mut slab = Slab::new();
        assert_eq!(slab.insert(|_| Number(true, 0)), None);
        assert_eq!(slab.shortage(), 1);
        slab.add(Slab::<Number>::chunk().unwrap()).unwrap();
        let all: Vec<u32> = (0..16).map(|i| slab.insert(|_| Number(true, i)).unwrap()).collect();
        assert_eq!(all, (0..16).collect::<Vec<_>>());
        assert_eq!(slab.insert(|_| Number(true, 99)), None);
        assert_eq!(slab.remove(5), Some(Number(true, 5)));
        assert_eq!(slab.remove(5), None);
        assert_eq!(slab.get(5), None);
        assert_eq!(slab.insert(|_| Number(true, 7)), Some(5));
        assert_eq!((slab.used, slab.len()), (16, 16));
    }

    #[test]
    fn references_hold_their_parts() {
        let r = ConnRef::new(255, true, 77).unwrap();
        assert_eq!((r.shard(), r.is_ipv6(), r.index()), (255, true, 77));
        assert_ne!(ConnRef::new(255, true, ConnRef::MAX_INDEX - 1).unwrap(), ConnRef::NONE);
        assert!(ConnRef::new(0, false, ConnRef::MAX_INDEX).is_none());
    }
}
