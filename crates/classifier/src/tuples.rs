//! Megaflow lookup: masks to hash tables of ids, first hit wins, readers never wait.
//!
//! Where it sits: `datapath` keeps its megaflows in an arena and finds them through this; the arena's owner compares.
//!
//! ~~~text
//! list of subtables (replaced when a mask comes or goes) ─► mask, index (replaced when it grows) ─► slots of tag and id
//! ~~~
//!
//! I1  Overlapping megaflows agree, so the order of subtables changes speed, never the answer.
//! I2  A subtable without entries is removed, so that deleted masks cost nothing.
//! I3  Slots change one by one and in place: a reader that comes by sees an entry that is there throughout. A slot of
//!     a removed entry stays in the way of none behind it.
//! I4  Changes are made by one at a time; the owner sees to that.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use flow::{FlowKey, PlainKey, Wildcards};
use sync::{Guard, Published, Qsbr, Shared, try_box};

use crate::TupleMask;

/// Memory was short; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// A key to look up: the short one, and the whole one if it is there.
#[derive(Clone, Copy)]
pub struct Sought<'a> {
    /// The short key.
    pub short: &'a PlainKey,
    /// The whole key; without it the packet is plain.
    pub whole: Option<&'a FlowKey>,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<R> {
    /// This.
    Hit(R),
    /// Nothing.
    Miss,
    /// Nothing so far: some masks need the whole key.
    NeedsWhole,
}

impl<R> Found<R> {
    /// True if the lookup has to be done again, with the whole key.
    pub const fn needs_whole(&self) -> bool {
        matches!(self, Found::NeedsWhole)
    }
}

/// Finds ids by key, each under one of many masks.
pub struct TupleTable {
    subtables: Published<Subtables>,
    seed: u64,
}

type Subtables = Vec<Shared<Subtable>>;

struct Subtable {
    mask: Shared<TupleMask>,
    index: Published<Index>,
    /// Weight in the next sorting.
    hits: AtomicU64,
}

fn boxed<T>(value: T) -> Result<Box<T>, NoMemory> {
    try_box(value).ok_or(NoMemory)
}

impl TupleTable {
    /// An empty table for the readers of `domain`, whose hashes depend on `seed`; `None` if memory is short.
    pub fn try_new<L>(domain: &Qsbr<L>, seed: u64) -> Option<TupleTable> {
        Some(TupleTable { subtables: Published::new(domain, try_box(Vec::new())?), seed })
    }

    fn list<'g>(&'g self, guard: &'g Guard<'_>) -> &'g [Shared<Subtable>] {
        self.subtables.load(guard).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many distinct masks there are.
    pub fn masks(&self, guard: &Guard<'_>) -> usize {
        self.list(guard).len()
    }

    fn subtable<'g>(&'g self, guard: &'g Guard<'_>, wc: &Wildcards) -> Option<&'g Shared<Subtable>> {
        let short = PlainKey::of(wc);
        self.list(guard).iter().find(|s| s.mask.is(&short, wc))
    }

    /// The shared form of `wc`: that of its subtable, or a new one.
    pub fn mask(&self, guard: &Guard<'_>, wc: &Wildcards) -> Result<Shared<TupleMask>, NoMemory> {
        match self.subtable(guard, wc) {
            Some(subtable) => Ok(subtable.mask.clone()),
            None => TupleMask::try_new(wc).and_then(Shared::try_new).ok_or(NoMemory),
        }
    }

    /// Adds `id` under `key` (already masked) and `mask`, which [`TupleTable::mask`] gave.
    pub fn insert<L>(
        &self,
        domain: &Qsbr<L>,
        guard: &Guard<'_>,
        (key, mask): (&FlowKey, &Shared<TupleMask>),
        id: u32,
    ) -> Result<(), NoMemory> {
        let tag = mask.tag(&PlainKey::of(key), key, self.seed);
        if let Some(subtable) = self.list(guard).iter().find(|s| Shared::is_same(&s.mask, mask)) {
            return subtable.insert(domain, guard, tag, id);
        }
        let index = Index::with_size(Index::LEAST)?;
        index.insert(tag, id);
        let index = Published::new(domain, boxed(index)?);
        let fresh = Subtable { mask: mask.clone(), index, hits: AtomicU64::new(0) };
        let fresh = Shared::try_new(fresh).ok_or(NoMemory)?;
        self.change(domain, guard, 1, |list| list.push(fresh))
    }

    /// Publishes a changed list of subtables, of at most `more` more.
    fn change<L>(
        &self,
        domain: &Qsbr<L>,
        guard: &Guard<'_>,
        more: usize,
        f: impl FnOnce(&mut Subtables),
    ) -> Result<(), NoMemory> {
        let old = self.list(guard);
        let mut list = Vec::new();
        list.try_reserve_exact(old.len() + more).map_err(|_| NoMemory)?;
        list.extend(old.iter().cloned());
        f(&mut list);
        self.subtables.replace(domain, boxed(list)?).map_err(|_| NoMemory)
    }

    /// Removes `id`, which was inserted under `key` and `mask`. The subtable of a last one may stay while memory is
    /// short.
    pub fn remove<L>(
        &self,
        domain: &Qsbr<L>,
        guard: &Guard<'_>,
        (key, mask): (&FlowKey, &Shared<TupleMask>),
        id: u32,
    ) {
        let tag = mask.tag(&PlainKey::of(key), key, self.seed);
        let Some(subtable) = self.list(guard).iter().find(|s| Shared::is_same(&s.mask, mask)) else { return };
        let left = subtable.index.load(guard).map_or(0, |index| index.remove(tag, id));
        if left == 0 {
            let _ = self.change(domain, guard, 0, |list| list.retain(|s| !Shared::is_same(&s.mask, mask)));
        }
    }

    /// Asks for the places that the short key of a plain packet leads to under the first masks.
    pub fn prefetch(&self, guard: &Guard<'_>, short: &PlainKey) {
        for (index, tag) in self.first(guard, short) {
            if let Some(slot) = index.slot(tag as usize) {
                sync::prefetch(slot);
            }
        }
    }

    /// The ids at those places: which of them match is for [`TupleTable::lookup`] to say.
    pub fn proposed<'g>(
        &'g self,
        guard: &'g Guard<'_>,
        short: &'g PlainKey,
    ) -> impl Iterator<Item = u32> + 'g {
        self.first(guard, short).flat_map(|(index, tag)| index.candidates(tag).next())
    }

    fn first<'g>(
        &'g self,
        guard: &'g Guard<'_>,
        short: &'g PlainKey,
    ) -> impl Iterator<Item = (&'g Index, u32)> {
        let some = self.list(guard).iter().filter(|s| s.mask.serves_plain()).take(FIRST_MASKS);
        some.filter_map(move |s| Some((s.index.load(guard)?, s.mask.tag_of_plain(short, self.seed))))
    }

    /// The first id that `hit` takes among those whose hash is the key's, and how many subtables were searched.
    #[inline]
    pub fn lookup<'g, R>(
        &'g self,
        guard: &'g Guard<'_>,
        key: Sought<'_>,
        hit: impl Fn(u32) -> Option<R>,
    ) -> (Found<R>, u32) {
        let (mut searched, mut missed) = (0, Found::Miss);
        for subtable in self.list(guard) {
            let mask = &subtable.mask;
            let tag = match key.whole {
                None if !mask.serves_plain() => {
                    missed = Found::NeedsWhole;
                    continue;
                }
                None => mask.tag_of_plain(key.short, self.seed),
                Some(whole) => mask.tag(key.short, whole, self.seed),
            };
            searched += 1;
            let found = subtable.index.load(guard).and_then(|index| index.candidates(tag).find_map(&hit));
            if let Some(found) = found {
                return (Found::Hit(found), searched);
            }
        }
        (missed, searched)
    }

    /// The first id that `hit` takes among those that were inserted under exactly this key and mask, or share the hash
    /// with it.
    pub fn find<R>(
        &self,
        guard: &Guard<'_>,
        (key, wc): (&FlowKey, &Wildcards),
        hit: impl Fn(u32) -> Option<R>,
    ) -> Option<R> {
        let subtable = self.subtable(guard, wc)?;
        let tag = subtable.mask.tag(&PlainKey::of(key), key, self.seed);
        subtable.index.load(guard)?.candidates(tag).find_map(hit)
    }

    /// Adds to the weight that [`TupleTable::sort`] gives the subtable with `mask`.
    pub fn credit(&self, guard: &Guard<'_>, mask: &Shared<TupleMask>, hits: u64) {
        if let Some(s) = self.list(guard).iter().find(|s| Shared::is_same(&s.mask, mask)) {
            s.hits.fetch_add(hits, Ordering::Relaxed);
        }
    }

    /// Moves the subtables with the most weight to the front and forgets the weights.
    pub fn sort<L>(&self, domain: &Qsbr<L>, guard: &Guard<'_>) -> Result<(), NoMemory> {
        let hits = |s: &Shared<Subtable>| s.hits.load(Ordering::Relaxed);
        let sorted = self.change(domain, guard, 0, |list| {
            // by neighbours' swaps: mostly in order already, and a library sort's scratch is too large a frame
            for end in 1..list.len() {
                for at in (1..=end).rev() {
                    match list.get_mut(at - 1..=at) {
                        Some([before, after]) if hits(before) < hits(after) => core::mem::swap(before, after),
                        _ => break,
                    }
                }
            }
        });
        self.list(guard).iter().for_each(|s| s.hits.store(0, Ordering::Relaxed));
        sorted
    }

    /// Removes everything.
    pub fn clear<L>(&self, domain: &Qsbr<L>) -> Result<(), NoMemory> {
        self.subtables.replace(domain, boxed(Vec::new())?).map_err(|_| NoMemory)
    }
}

impl Subtable {
    fn insert<L>(&self, domain: &Qsbr<L>, guard: &Guard<'_>, tag: u32, id: u32) -> Result<(), NoMemory> {
        let index = self.index.load(guard).ok_or(NoMemory)?;
        if index.insert(tag, id) {
            return Ok(());
        }
        let larger = index.rebuilt()?;
        larger.insert(tag, id);
        self.index.replace(domain, boxed(larger)?).map_err(|_| NoMemory)
    }
}

/// Open addressing with linear probing, scanned forward; its size is a power of two.
struct Index {
    /// Upper half: the tag. Lower: [`EMPTY`], [`DEAD`], or the id and [`FIRST`].
    slots: Vec<AtomicU64>,
    /// Ids in it; the writer's, as the next.
    used: AtomicUsize,
    /// Slots that are not empty.
    taken: AtomicUsize,
}

/// Masks whose tables are asked for before a lookup: most packets match one of those with most traffic.
const FIRST_MASKS: usize = 4;

const EMPTY: u64 = 0;
const DEAD: u64 = 1;
const FIRST: u32 = 2;

fn entry(tag: u32, id: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(id.wrapping_add(FIRST))
}

impl Index {
    const LEAST: usize = 8;

    fn with_size(size: usize) -> Result<Index, NoMemory> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(size).map_err(|_| NoMemory)?;
        slots.resize_with(size, AtomicU64::default);
        Ok(Index { slots, used: AtomicUsize::new(0), taken: AtomicUsize::new(0) })
    }

    fn slot(&self, at: usize) -> Option<&AtomicU64> {
        self.slots.get(at & self.slots.len().wrapping_sub(1))
    }

    /// The slots from a tag's own to the first empty one, with what they hold.
    #[inline]
    fn chain(&self, tag: u32) -> impl Iterator<Item = (&AtomicU64, u64)> {
        (0..self.slots.len())
            .map_while(move |i| self.slot((tag as usize).wrapping_add(i)))
            .map(|slot| (slot, slot.load(Ordering::Acquire)))
            .take_while(|(_, held)| *held != EMPTY)
    }

    /// The ids under `tag`.
    #[inline]
    fn candidates(&self, tag: u32) -> impl Iterator<Item = u32> {
        let ids = self
            .chain(tag)
            .map(|(_, held)| held)
            .filter(move |held| (held >> 32) as u32 == tag && *held as u32 >= FIRST);
        ids.map(|held| (held as u32).wrapping_sub(FIRST))
    }

    /// Enters `id`; false if the table is crowded.
    fn insert(&self, tag: u32, id: u32) -> bool {
        let (used, taken) = (self.used.load(Ordering::Relaxed), self.taken.load(Ordering::Relaxed));
        let dead = self.chain(tag).find(|(_, held)| *held == DEAD).map(|(slot, _)| slot);
        let place = match dead {
            Some(slot) => Some(slot),
            None if (taken + 1) * 4 > self.slots.len() * 3 => None,
            None => self.slot((tag as usize).wrapping_add(self.chain(tag).count())),
        };
        let Some(place) = place else { return false };
        place.store(entry(tag, id), Ordering::Release);
        self.used.store(used + 1, Ordering::Relaxed);
        self.taken.store(taken + usize::from(dead.is_none()), Ordering::Relaxed);
        true
    }

    /// Removes `id`; returns how many are left.
    fn remove(&self, tag: u32, id: u32) -> usize {
        let used = self.used.load(Ordering::Relaxed);
        let Some((slot, _)) = self.chain(tag).find(|(_, held)| *held == entry(tag, id)) else { return used };
        slot.store(DEAD, Ordering::Release);
        self.used.store(used.saturating_sub(1), Ordering::Relaxed);
        used.saturating_sub(1)
    }

    /// The same without dead slots, and with room.
    fn rebuilt(&self) -> Result<Index, NoMemory> {
        let used = self.used.load(Ordering::Relaxed);
        let size = if used * 2 > self.slots.len() { self.slots.len() * 2 } else { self.slots.len() };
        let fresh = Index::with_size(size)?;
        for held in self.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|held| *held > DEAD) {
            fresh.insert((held >> 32) as u32, (held as u32).wrapping_sub(FIRST));
        }
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests;
