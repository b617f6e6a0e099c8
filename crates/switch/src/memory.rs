//! Recirculation ids: frozen states, found again by id, equal states under one id.
//!
//! Where it sits: translation freezes and thaws; revalidation says which ids are still named by a megaflow.
//!
//! An id lives while a megaflow names it, and for a while after it was last handed out: a packet may be on its way.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use packet::Instant;
use xlate::Frozen;

/// Most states.
const MAX: usize = 100_000;
/// How long an id outlives its last use.
const GRACE: Duration = Duration::from_secs(30);

/// Frozen states by id.
#[derive(Debug, Default)]
pub struct RecircTable {
    by_id: HashMap<u32, (Arc<Frozen>, u64, Instant)>,
    by_hash: HashMap<u64, Vec<u32>>,
    next: u32,
    /// Ids that megaflows of an earlier life name.
    reserved: HashSet<u32>,
    hasher: RandomState,
    now: Instant,
}

impl RecircTable {
    /// The id of a state.
    pub fn freeze(&mut self, state: Frozen) -> Option<u32> {
        let hash = self.hash(&state);
        self.known(hash, &state).or_else(|| {
            if self.by_id.len() >= MAX {
                return None;
            }
            // Ids have 28 bits; zero means none.
            loop {
                self.next = (self.next + 1) & 0x0fff_ffff;
                let taken = self.by_id.contains_key(&self.next) || self.reserved.contains(&self.next);
                if self.next != 0 && !taken {
                    break;
                }
            }
            Some(self.insert(self.next, hash, state))
        })
    }

    /// The id of a state, which is `wanted` unless the state has one or `wanted` is another's.
    pub fn freeze_as(&mut self, state: Frozen, wanted: u32) -> Option<u32> {
        let hash = self.hash(&state);
        if let Some(id) = self.known(hash, &state) {
            return Some(id);
        }
        if wanted == 0 || self.by_id.contains_key(&wanted) || self.by_id.len() >= MAX {
            return self.freeze(state);
        }
        Some(self.insert(wanted, hash, state))
    }

    /// Gives these ids to no state but by [`RecircTable::freeze_as`]: megaflows of an earlier life name them.
    pub fn reserve(&mut self, ids: HashSet<u32>) {
        self.reserved = ids;
    }

    fn hash(&self, state: &Frozen) -> u64 {
        self.hasher.hash_one((&state.bridge, state.table, state.metadata, &state.stack))
    }

    fn known(&mut self, hash: u64, state: &Frozen) -> Option<u32> {
        let now = self.now;
        for id in self.by_hash.get(&hash).into_iter().flatten() {
            if let Some((s, _, used)) = self.by_id.get_mut(id)
                && **s == *state
            {
                *used = now;
                return Some(*id);
            }
        }
        None
    }

    fn insert(&mut self, id: u32, hash: u64, state: Frozen) -> u32 {
        self.by_id.insert(id, (Arc::new(state), hash, self.now));
        self.by_hash.entry(hash).or_default().push(id);
        id
    }

    /// The state of an id.
    pub fn thaw(&self, id: u32) -> Option<Arc<Frozen>> {
        self.by_id.get(&id).map(|(s, ..)| s.clone())
    }

    /// Keeps the ids that are named; forgets others after a while.
    pub fn sweep(&mut self, named: impl Fn(u32) -> bool, now: Instant) {
        self.now = now;
        let by_hash = &mut self.by_hash;
        self.by_id.retain(|id, (_, hash, used)| {
            if named(*id) {
                *used = now;
            }
            let keep = now.since(*used) < GRACE;
            if !keep && let Some(ids) = by_hash.get_mut(hash) {
                ids.retain(|i| i != id);
            }
            keep
        });
        by_hash.retain(|_, ids| !ids.is_empty());
    }
}
