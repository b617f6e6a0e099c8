//! A hash table that is cheap to copy and then to change: shards behind reference counts.
//!
//! Where it sits: inside [`crate::RuleTable`] and each of its subtables.
//!
//! I1  A copy shares all shards; a change to either copies one shard of about [`SHARD_ENTRIES`] entries.
//! I2  The caller hashes; an entry is stored with its hash, so growing never rehashes.
//! I3  Each shard's highest rank is beside it, so that the table's is known without looking at entries.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashTable;

/// Entries per shard at which the number of shards doubles.
const SHARD_ENTRIES: usize = 32;

/// What has a rank.
pub(crate) trait Ranked {
    /// The rank: zero is the least.
    fn rank(&self) -> u32;
}

type Shard<E> = HashTable<(u64, E)>;

#[derive(Clone)]
pub(crate) struct Sharded<E> {
    /// A power of two of them, chosen by the hash's upper bits.
    shards: Vec<Arc<Shard<E>>>,
    /// The highest rank in each.
    ranks: Vec<u32>,
    len: usize,
}

impl<E> Default for Sharded<E> {
    fn default() -> Self {
        Sharded { shards: Vec::new(), ranks: Vec::new(), len: 0 }
    }
}

impl<E: Clone + Ranked> Sharded<E> {
    #[inline]
    fn index(&self, hash: u64) -> usize {
        (hash >> 32) as usize & self.shards.len().wrapping_sub(1)
    }

    /// Changes the shard of `hash`, in which some entry had the rank `old`.
    fn with_shard<R>(&mut self, hash: u64, f: impl FnOnce(&mut Shard<E>) -> Option<(u32, R)>) -> Option<R> {
        let at = self.index(hash);
        let (shard, rank) = (self.shards.get_mut(at)?, self.ranks.get_mut(at)?);
        let shard = Arc::make_mut(shard);
        let (old, result) = f(shard)?;
        if old >= *rank && old != 0 {
            *rank = shard.iter().map(|(_, e)| e.rank()).max().unwrap_or(0);
        }
        Some(result)
    }

    /// The entry under `hash` that satisfies `same`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(&E) -> bool) -> Option<&E> {
        let shard = self.shards.get(self.index(hash))?;
        shard.find(hash, |(h, e)| *h == hash && same(e)).map(|(_, e)| e)
    }

    /// Changes the entry under `hash` that satisfies `same`, if there is one.
    pub(crate) fn change<R>(
        &mut self,
        hash: u64,
        mut same: impl FnMut(&E) -> bool,
        change: impl FnOnce(&mut E) -> R,
    ) -> Option<R> {
        self.with_shard(hash, |shard| {
            let (_, entry) = shard.find_mut(hash, |(h, e)| *h == hash && same(e))?;
            let old = entry.rank();
            let result = change(entry);
            Some((old.max(entry.rank()), result))
        })
    }

    pub(crate) fn insert(&mut self, hash: u64, entry: E) {
        if self.len >= self.shards.len() * SHARD_ENTRIES {
            self.grow();
        }
        let rank = entry.rank();
        self.with_shard(hash, |shard| {
            shard.insert_unique(hash, (hash, entry), |(h, _)| *h);
            Some((rank, ()))
        });
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, hash: u64, mut same: impl FnMut(&E) -> bool) -> Option<E> {
        let removed = self.with_shard(hash, |shard| {
            let entry = shard.find_entry(hash, |(h, e)| *h == hash && same(e)).ok()?;
            let ((_, removed), _) = entry.remove();
            Some((removed.rank(), removed))
        })?;
        self.len -= 1;
        Some(removed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The highest rank.
    pub(crate) fn rank(&self) -> u32 {
        self.ranks.iter().copied().max().unwrap_or(0)
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
        self.ranks = shards.iter().map(|s| s.iter().map(|(_, e)| e.rank()).max().unwrap_or(0)).collect();
        self.shards = shards.into_iter().map(Arc::new).collect();
    }
}
