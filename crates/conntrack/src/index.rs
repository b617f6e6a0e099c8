//! From hash to connection: a small open table of numbers, scanned forward.
//!
//! Where it sits: one in each shard. It knows neither tuples nor connections, only the low half of their hash (the
//! tag) and their place; who looks up compares the tuples of all that have the tag.
//!
//! Slots hold eight bytes, so a probe is one cache line nearly always. Removal shifts followers back: there are no
//! tombstones, and a table that was full once does not stay slow.

use alloc::vec::Vec;

use crate::NoMemory;
use crate::slab::ConnRef;

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    conn: ConnRef,
}

const EMPTY: Slot = Slot { tag: 0, conn: ConnRef::NONE };

/// Open addressing with linear probing; its size is a power of two.
#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: Vec<Slot>,
    used: usize,
}

impl Index {
    /// An empty table with `size` slots, a power of two.
    pub(crate) fn with_size(size: usize) -> Result<Index, NoMemory> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(size).map_err(|_| NoMemory)?;
        slots.resize(size, EMPTY);
        Ok(Index { slots, used: 0 })
    }

    /// Slots.
    pub(crate) fn size(&self) -> usize {
        self.slots.len()
    }

    /// True if a larger table should take over.
    pub(crate) fn is_crowded(&self) -> bool {
        self.used * 8 > self.slots.len() * 5
    }

    /// True if `n` more would leave probes too long.
    pub(crate) fn is_full_for(&self, n: usize) -> bool {
        (self.used + n) * 8 > self.slots.len() * 7
    }

    fn slot(&self, at: usize) -> Slot {
        self.slots.get(at & self.slots.len().wrapping_sub(1)).copied().unwrap_or(EMPTY)
    }

    /// Where the table is in memory: a hint to whoever asks for a part of it.
    pub(crate) fn address(&self) -> usize {
        self.slots.as_ptr().addr()
    }

    /// Where in a table of `size` slots at `address` the search for a tag begins.
    pub(crate) const fn home(address: usize, size: usize, tag: u32) -> usize {
        address.wrapping_add((tag as usize & size.wrapping_sub(1)) * size_of::<Slot>())
    }

    /// What has this tag.
    #[inline]
    pub(crate) fn candidates(&self, tag: u32) -> impl Iterator<Item = ConnRef> + '_ {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = tag as usize & mask;
        // Ends: the table has an empty slot.
        core::iter::from_fn(move || {
            while let Some(slot) = self.slots.get(at).filter(|slot| slot.conn != ConnRef::NONE) {
                at = (at + 1) & mask;
                if slot.tag == tag {
                    return Some(slot.conn);
                }
            }
            None
        })
    }

    /// Enters `conn`; false, and no change, if the table is full.
    #[must_use]
    pub(crate) fn insert(&mut self, tag: u32, conn: ConnRef) -> bool {
        if self.is_full_for(1) {
            return false;
        }
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = tag as usize & mask;
        // Ends: the table has an empty slot.
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.conn == ConnRef::NONE {
                *slot = Slot { tag, conn };
                self.used += 1;
                return true;
            }
            at = (at + 1) & mask;
        }
        false
    }

    /// Removes one entry of `conn` with `tag`; false if there is none.
    pub(crate) fn remove(&mut self, tag: u32, conn: ConnRef) -> bool {
        let mask = self.slots.len().wrapping_sub(1);
        let home = tag as usize;
        let Some(mut hole) = (0..self.slots.len())
            .map(|i| home.wrapping_add(i) & mask)
            .take_while(|&at| self.slot(at).conn != ConnRef::NONE)
            .find(|&at| self.slot(at).conn == conn && self.slot(at).tag == tag)
        else {
            return false;
        };
        // Whatever could have been stored in the hole moves there, which moves the hole, until nothing follows.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slot(at);
            if slot.conn == ConnRef::NONE {
                break;
            }
            let from_home = at.wrapping_sub(slot.tag as usize) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.store(hole, slot);
                hole = at;
            }
        }
        self.store(hole, EMPTY);
        self.used -= 1;
        true
    }

    fn store(&mut self, at: usize, slot: Slot) {
        if let Some(s) = self.slots.get_mut(at) {
            *s = slot;
        }
    }

    /// Moves all entries to the empty and larger `to`, and takes its place; returns the old memory.
    pub(crate) fn move_to(&mut self, mut to: Index) -> Index {
        for slot in self.slots.iter().filter(|s| s.conn != ConnRef::NONE) {
            let moved = to.insert(slot.tag, slot.conn);
            debug_assert!(moved, "a larger table takes all");
        }
        core::mem::replace(self, to)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_list(ops in prop::collection::vec((any::<bool>(), 0u32..24, 0u32..12), 0..300)) {
            let mut index = Index::with_size(32).unwrap();
            let mut list: Vec<(u32, ConnRef)> = Vec::new();
            for (insert, tag, n) in ops {
                // Tags near the end of the table wrap around.
                let (tag, conn) = (tag.wrapping_sub(8), ConnRef::new(0, false, n).unwrap());
                if insert {
                    let fits = !index.is_full_for(1);
                    prop_assert_eq!(index.insert(tag, conn), fits);
                    if fits { list.push((tag, conn)); }
                } else {
                    let at = list.iter().position(|&e| e == (tag, conn));
                    prop_assert_eq!(index.remove(tag, conn), at.is_some());
                    if let Some(at) = at { list.swap_remove(at); }
                }
                for &(tag, _) in &list {
                    let mut want: Vec<_> = list.iter().filter(|e| e.0 == tag).map(|e| e.1).collect();
                    let mut got: Vec<_> = index.candidates(tag).collect();
                    want.sort();
                    got.sort();
                    prop_assert_eq!(got, want);
                }
            }
            let bigger = Index::with_size(64).unwrap();
            drop(index.move_to(bigger));
            prop_assert!(list.iter().all(|&(tag, conn)| index.candidates(tag).any(|c| c == conn)));
        }
    }
}
