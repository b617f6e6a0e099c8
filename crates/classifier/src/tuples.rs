//! Megaflow lookup: masks to hash tables of ids, first hit wins.
//!
//! Where it sits: `datapath` keeps its megaflows in a slab and finds them through this; the slab's owner compares.
//!
//! I1  Overlapping megaflows agree, so the order of subtables changes speed, never the answer.
//! I2  A subtable without entries is removed, so that deleted masks cost nothing.

use alloc::vec::Vec;

use flow::{FlowKey, Wildcards};
use hashbrown::HashTable;

use crate::CompactMask;

struct Subtable {
    mask: CompactMask,
    entries: HashTable<(u64, u32)>,
    /// Weight in the next sorting.
    hits: u64,
}

/// Finds ids by key, each under one of many masks.
#[derive(Default)]
pub struct TupleTable {
    subtables: Vec<Subtable>,
    seed: u64,
}

/// Memory was short; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl TupleTable {
    /// An empty table whose hashes depend on `seed`.
    pub fn new(seed: u64) -> TupleTable {
        TupleTable { subtables: Vec::new(), seed }
    }

    /// How many distinct masks there are.
    pub fn masks(&self) -> usize {
        self.subtables.len()
    }

    /// Adds `id` under `key` (already masked) and `wc`.
    pub fn insert(&mut self, key: &FlowKey, wc: &Wildcards, id: u32) -> Result<(), NoMemory> {
        let at = match self.subtables.iter().position(|s| s.mask.is(wc)) {
            Some(at) => at,
            None => self.add_subtable(wc)?,
        };
        let Some(subtable) = self.subtables.get_mut(at) else { return Err(NoMemory) };
        if subtable.entries.try_reserve(1, |(hash, _)| *hash).is_err() {
            if subtable.entries.is_empty() {
                self.subtables.swap_remove(at);
            }
            return Err(NoMemory);
        }
        let hash = subtable.mask.hash(key, self.seed);
        subtable.entries.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        Ok(())
    }

    fn add_subtable(&mut self, wc: &Wildcards) -> Result<usize, NoMemory> {
        let mask = CompactMask::try_new(wc).ok_or(NoMemory)?;
        self.subtables.try_reserve(1).map_err(|_| NoMemory)?;
        self.subtables.push(Subtable { mask, entries: HashTable::new(), hits: 0 });
        Ok(self.subtables.len() - 1)
    }

    /// Removes `id`, which was inserted under `key` and `wc`.
    pub fn remove(&mut self, key: &FlowKey, wc: &Wildcards, id: u32) {
        let Some(at) = self.subtables.iter().position(|s| s.mask.is(wc)) else { return };
        let Some(subtable) = self.subtables.get_mut(at) else { return };
        let hash = subtable.mask.hash(key, self.seed);
        if let Ok(entry) = subtable.entries.find_entry(hash, |(_, other)| *other == id) {
            entry.remove();
        }
        if subtable.entries.is_empty() {
            self.subtables.swap_remove(at);
        }
    }

    /// The id under which `key` is found, and how many subtables were searched; `rule` gives an id's key.
    pub fn lookup<'k>(&self, key: &FlowKey, rule: impl Fn(u32) -> Option<&'k FlowKey>) -> (Option<u32>, u32) {
        let mut searched = 0;
        for subtable in &self.subtables {
            searched += 1;
            let hash = subtable.mask.hash(key, self.seed);
            let found = subtable
                .entries
                .find(hash, |(h, id)| *h == hash && rule(*id).is_some_and(|r| subtable.mask.matches(r, key)));
            if let Some((_, id)) = found {
                return (Some(*id), searched);
            }
        }
        (None, searched)
    }

    /// The id inserted under exactly this key and mask.
    pub fn find<'k>(
        &self,
        key: &FlowKey,
        wc: &Wildcards,
        rule: impl Fn(u32) -> Option<&'k FlowKey>,
    ) -> Option<u32> {
        let subtable = self.subtables.iter().find(|s| s.mask.is(wc))?;
        let hash = subtable.mask.hash(key, self.seed);
        let same = |id: u32| rule(id).is_some_and(|r| subtable.mask.matches(r, key));
        subtable.entries.find(hash, |(h, id)| *h == hash && same(*id)).map(|(_, id)| *id)
    }

    /// Adds to the weight that [`TupleTable::sort`] gives the subtable with mask `wc`.
    pub fn credit(&mut self, wc: &Wildcards, hits: u64) {
        if let Some(s) = self.subtables.iter_mut().find(|s| s.mask.is(wc)) {
            s.hits = s.hits.saturating_add(hits);
        }
    }

    /// Moves the subtables with the most weight to the front and forgets the weights.
    pub fn sort(&mut self) {
        // by neighbours' swaps: few subtables, mostly in order already, and a library sort's scratch is too large a frame
        for end in 1..self.subtables.len() {
            for at in (1..=end).rev() {
                match self.subtables.get_mut(at - 1..=at) {
                    Some([before, after]) if before.hits < after.hits => core::mem::swap(before, after),
                    _ => break,
                }
            }
        }
        self.subtables.iter_mut().for_each(|s| s.hits = 0);
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.subtables.clear();
    }
}
