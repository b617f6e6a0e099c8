//! A hash table that is cheap to copy and then to change: shards behind reference counts.
//!
//! Where it sits: inside each subtable of [`crate::RuleTable`].
//!
//! I1  A copy shares all shards; a change to either copies one shard of about [`SHARD_ENTRIES`] entries.
//! I2  The caller hashes; an entry is stored with its hash, so growing never rehashes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashTable;

/// Entries per shard at which the number of shards doubles.
const SHARD_ENTRIES: usize = 32;

type Shard<E> = HashTable<(u64, E)>;

#[derive(Clone)]
pub(crate) struct Sharded<E> {
    /// A power of two of them, chosen by the hash's upper bits.
    shards: Vec<Arc<Shard<E>>>,
    len: usize,
}

impl<E> Default for Sharded<E> {
    fn default() -> Self {
        Sharded { shards: Vec::new(), len: 0 }
    }
}

impl<E: Clone> Sharded<E> {
    fn index(&self, hash: u64) -> usize {
        (hash >> 32) as usize & self.shards.len().wrapping_sub(1)
    }

    fn shard_mut(&mut self, hash: u64) -> Option<&mut Shard<E>> {
        let at = self.index(hash);
        self.shards.get_mut(at).map(Arc::make_mut)
    }

    /// The entries under `hash` that satisfy `same`.
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(&E) -> bool) -> impl Iterator<Item = &E> {
        let shard = self.shards.get(self.index(hash));
        let hits = shard.into_iter().flat_map(move |s| s.iter_hash(hash));
        hits.filter(move |(h, e)| *h == hash && same(e)).map(|(_, e)| e)
    }

    /// One entry under `hash`, to be changed.
    pub(crate) fn get_mut(&mut self, hash: u64, mut same: impl FnMut(&E) -> bool) -> Option<&mut E> {
        let shard = self.shard_mut(hash)?;
        shard.find_mut(hash, |(h, e)| *h == hash && same(e)).map(|(_, e)| e)
    }

    pub(crate) fn insert(&mut self, hash: u64, entry: E) {
        if self.len >= self.shards.len() * SHARD_ENTRIES {
            self.grow();
        }
        if let Some(shard) = self.shard_mut(hash) {
            shard.insert_unique(hash, (hash, entry), |(h, _)| *h);
            self.len += 1;
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, mut same: impl FnMut(&E) -> bool) -> Option<E> {
        let shard = self.shard_mut(hash)?;
        let entry = shard.find_entry(hash, |(h, e)| *h == hash && same(e)).ok()?;
        let ((_, removed), _) = entry.remove();
        self.len -= 1;
        Some(removed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &E> {
        self.shards.iter().flat_map(|s| s.iter()).map(|(_, e)| e)
    }

    fn grow(&mut self) {
        let count = (self.shards.len() * 2).max(1);
        let mut shards: Vec<Shard<E>> = Vec::new();
        shards.resize_with(count, HashTable::new);
        for shard in self.shards.drain(..) {
            for (hash, entry) in Arc::unwrap_or_clone(shard) {
                if let Some(to) = shards.get_mut((hash >> 32) as usize & (count - 1)) {
                    to.insert_unique(hash, (hash, entry), |(h, _)| *h);
                }
            }
        }
        self.shards = shards.into_iter().map(Arc::new).collect();
    }
}
