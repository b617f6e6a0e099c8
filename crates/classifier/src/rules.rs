//! Prioritised rules with cheap snapshots: an OpenFlow table's lookup structure.
//!
//! Where it sits: `ofproto` inserts and removes on one thread and clones the table for readers; translation looks up
//! in the clone.
//!
//! ~~~text
//! RuleTable ── Arc<Subtable(coarse mask, highest priority)> ── shards ── bucket by hash of the masked key ── rules by priority
//! ~~~
//!
//! A clone copies the list of subtables. A later change copies one subtable's list of shards and one shard of a few
//! dozen buckets, however many rules there are.
//!
//! I1  Subtables are in order of falling highest priority, and so are the rules of a bucket, so a lookup stops once no later
//!     one can win.
//! I2  A rule is in the subtable of one of its shape's levels ([`Shape`]): those of a bucket agree in the subtable's mask,
//!     and are compared under their own.
//! I3  Wildcards are collected when the answer is known, from what might have had another: each subtable with rules of
//!     higher priority, or of the same and met before, has its mask added, up to the stage at which the search ended (a stage of metadata, L2, L3 or L4
//!     whose prefix hash is unknown cannot match, whatever the later stages hold); each such rule that was met adds what
//!     told the packet from it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use flow::slot::STAGES;
use flow::{FLOW_WORDS, FlowKey, Match, Wildcards};

use crate::CompactMask;
use crate::shape::{Shape, Values};
use crate::sharded::{Ranked, Sharded};

/// Rules of a bucket at which further ones are entered under a finer mask.
const CROWDED: usize = 8;

/// A rule as the table holds it.
#[derive(Clone, Debug)]
pub struct Ruled<T> {
    shape: Arc<Shape>,
    values: Values,
    /// Higher wins.
    pub priority: u32,
    /// What was inserted.
    pub value: T,
}

impl<T> Ruled<T> {
    fn is(&self, (shape, values): (&Arc<Shape>, &Values), priority: u32) -> bool {
        self.priority == priority && Arc::ptr_eq(&self.shape, shape) && self.values == *values
    }

    fn to_match(&self) -> Match {
        Match { key: self.values.to_key(&self.shape.mask), wc: self.shape.mask.wildcards() }
    }
}

/// Rules whose keys agree under a subtable's mask, those of highest priority first.
#[derive(Clone)]
struct Bucket<T>(Vec<Ruled<T>>);

impl<T> Ranked for Bucket<T> {
    fn rank(&self) -> u32 {
        self.0.first().map_or(0, |r| r.priority)
    }
}

/// A number of rules.
#[derive(Clone)]
struct Count(usize);

impl Ranked for Count {
    fn rank(&self) -> u32 {
        0
    }
}

/// A shape with its number of rules.
#[derive(Clone)]
struct Shaped(Arc<Shape>, usize);

impl Ranked for Shaped {
    fn rank(&self) -> u32 {
        0
    }
}

#[derive(Clone)]
struct Subtable<T> {
    mask: CompactMask,
    /// For each of the first three stages that the mask reaches beyond: the hashes of the masked keys up to the
    /// stage's end, with the number of rules that have it.
    stages: [Option<Sharded<Count>>; 3],
    buckets: Sharded<Bucket<T>>,
}

/// Rules by match and priority.
#[derive(Clone)]
pub struct RuleTable<T> {
    /// Each with its highest priority.
    subtables: Vec<(u32, Arc<Subtable<T>>)>,
    shapes: Sharded<Shaped>,
    seed: u64,
    len: usize,
}

impl<T> Default for RuleTable<T> {
    fn default() -> Self {
        RuleTable { subtables: Vec::new(), shapes: Sharded::default(), seed: 0, len: 0 }
    }
}

impl<T: Clone> Subtable<T> {
    fn new(mask: CompactMask) -> Subtable<T> {
        let stage = |i: usize| {
            let end = STAGES.get(i).copied().unwrap_or(FLOW_WORDS);
            let start = i.checked_sub(1).and_then(|p| STAGES.get(p)).copied().unwrap_or(0);
            (mask.any_in(start, end) && mask.any_in(end, FLOW_WORDS)).then(Sharded::default)
        };
        let stages = [stage(0), stage(1), stage(2)];
        Subtable { mask, stages, buckets: Sharded::default() }
    }

    fn bucket(&self, hash: u64) -> &[Ruled<T>] {
        self.buckets.find(hash, |_| true).map_or(&[], |b| &b.0)
    }

    fn insert(&mut self, key: &FlowKey, seed: u64, rule: Ruled<T>) {
        let hash = self.mask.hash(key, seed);
        self.count_stages(key, seed, 1);
        match self.buckets.change(
            hash,
            |_| true,
            |bucket| {
                let at = bucket.0.partition_point(|r| r.priority >= rule.priority);
                bucket.0.insert(at, rule.clone());
            },
        ) {
            Some(()) => {}
            None => self.buckets.insert(hash, Bucket(alloc::vec![rule])),
        }
    }

    /// Removes what is there: the rule at `at` of the bucket under `hash`.
    fn remove(&mut self, key: &FlowKey, seed: u64, (hash, at): (u64, usize)) -> Option<T> {
        self.count_stages(key, seed, -1);
        if self.bucket(hash).len() == 1 {
            return self.buckets.remove(hash, |_| true)?.0.pop().map(|r| r.value);
        }
        self.buckets.change(hash, |_| true, |bucket| bucket.0.remove(at).value)
    }

    fn count_stages(&mut self, key: &FlowKey, seed: u64, by: isize) {
        let mut hash = seed;
        let mut start = 0;
        for (stage, end) in self.stages.iter_mut().zip(STAGES) {
            hash = self.mask.hash_words(key, hash, start, end);
            start = end;
            let Some(counts) = stage else { continue };
            let left = counts.change(
                hash,
                |_| true,
                |n| {
                    n.0 = n.0.saturating_add_signed(by);
                    n.0
                },
            );
            match left {
                None => counts.insert(hash, Count(1)),
                Some(0) => drop(counts.remove(hash, |_| true)),
                Some(_) => {}
            }
        }
    }

    /// Adds to `wc` what keeps the rules that are `above` the answer, those first in their bucket, from being it.
    fn unwildcard(&self, key: &FlowKey, seed: u64, above: impl Fn(&Ruled<T>) -> bool, wc: &mut Wildcards) {
        let mut hash = seed;
        let mut start = 0;
        for (stage, end) in self.stages.iter().zip(STAGES) {
            hash = self.mask.hash_words(key, hash, start, end);
            start = end;
            if let Some(counts) = stage
                && counts.find(hash, |_| true).is_none()
            {
                return self.mask.fold_into(wc, end);
            }
        }
        self.mask.fold_into(wc, FLOW_WORDS);
        let hash = self.mask.hash_words(key, hash, start, FLOW_WORDS);
        for rule in self.bucket(hash).iter().take_while(|r| above(r)) {
            rule.values.decide(&rule.shape.mask, key, wc);
        }
    }
}

/// Where a rule is: its subtable, and its bucket's hash and place there.
struct Place {
    subtable: usize,
    hash: u64,
    at: usize,
}

impl<T: Clone> RuleTable<T> {
    /// An empty table whose hashes depend on `seed`.
    pub fn new(seed: u64) -> RuleTable<T> {
        RuleTable { seed, ..RuleTable::default() }
    }

    /// Rules in the table.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no rules.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a rule; returns the one of the same match and priority that it replaced.
    pub fn insert(&mut self, m: &Match, priority: u32, value: T) -> Option<T> {
        let shape = self.shape(&m.wc).unwrap_or_else(|| Arc::new(Shape::new(&m.wc)));
        let values = Values::of(&m.key, &shape.mask);
        if let Some(place) = self.place((&shape, &values), &m.key, priority) {
            let (_, subtable) = self.subtables.get_mut(place.subtable)?;
            let change = |bucket: &mut Bucket<T>| {
                bucket.0.get_mut(place.at).map(|r| core::mem::replace(&mut r.value, value.clone()))
            };
            return Arc::make_mut(subtable).buckets.change(place.hash, |_| true, change)?;
        }
        let known = self.shapes.change(hash_mask(&m.wc), |s| Arc::ptr_eq(&s.0, &shape), |s| s.1 += 1);
        if known.is_none() {
            self.shapes.insert(hash_mask(&m.wc), Shaped(shape.clone(), 1));
        }
        let at = self.roomy(&shape, &m.key);
        let (_, subtable) = self.subtables.get_mut(at)?;
        Arc::make_mut(subtable).insert(&m.key, self.seed, Ruled { shape, values, priority, value });
        self.rank(at);
        self.len += 1;
        None
    }

    /// Removes the rule with exactly this match and priority.
    pub fn remove(&mut self, m: &Match, priority: u32) -> Option<T> {
        let shape = self.shape(&m.wc)?;
        let values = Values::of(&m.key, &shape.mask);
        let place = self.place((&shape, &values), &m.key, priority)?;
        let (_, subtable) = self.subtables.get_mut(place.subtable)?;
        let removed = Arc::make_mut(subtable).remove(&m.key, self.seed, (place.hash, place.at));
        self.rank(place.subtable);
        let same = |s: &Shaped| Arc::ptr_eq(&s.0, &shape);
        let left = self.shapes.change(hash_mask(&m.wc), same, |s| {
            s.1 -= 1;
            s.1
        });
        if left == Some(0) {
            self.shapes.remove(hash_mask(&m.wc), same);
        }
        self.len = self.len.saturating_sub(1);
        removed
    }

    /// The rule with exactly this match and priority.
    pub fn find(&self, m: &Match, priority: u32) -> Option<&T> {
        let shape = self.shape(&m.wc)?;
        let place = self.place((&shape, &Values::of(&m.key, &shape.mask)), &m.key, priority)?;
        let (_, subtable) = self.subtables.get(place.subtable)?;
        subtable.bucket(place.hash).get(place.at).map(|r| &r.value)
    }

    /// The shape of rules with this mask, if there are any.
    fn shape(&self, wc: &Wildcards) -> Option<Arc<Shape>> {
        self.shapes.find(hash_mask(wc), |s| s.0.mask.is(wc)).map(|s| s.0.clone())
    }

    fn subtable(&self, mask: &CompactMask) -> Option<usize> {
        self.subtables.iter().position(|(_, s)| s.mask == *mask)
    }

    /// Where the rule with exactly these values and this priority is.
    fn place(&self, (shape, values): (&Arc<Shape>, &Values), key: &FlowKey, priority: u32) -> Option<Place> {
        shape.levels.iter().find_map(|level| {
            let index = self.subtable(level)?;
            let (_, subtable) = self.subtables.get(index)?;
            let hash = level.hash(key, self.seed);
            let at = subtable.bucket(hash).iter().position(|r| r.is((shape, values), priority))?;
            Some(Place { subtable: index, hash, at })
        })
    }

    /// The subtable for a further rule: that of the coarsest mask under which few rules are met.
    fn roomy(&mut self, shape: &Shape, key: &FlowKey) -> usize {
        let (own, coarser) = match shape.levels.split_last() {
            Some((own, coarser)) => (own, coarser),
            None => (&shape.mask, &[][..]),
        };
        let mut chosen = own;
        for level in coarser {
            let is_roomy = self
                .subtable(level)
                .and_then(|i| self.subtables.get(i))
                .is_none_or(|(_, s)| s.bucket(level.hash(key, self.seed)).len() < CROWDED);
            if is_roomy {
                chosen = level;
                break;
            }
        }
        self.subtable(chosen).unwrap_or_else(|| {
            self.subtables.push((0, Arc::new(Subtable::new(chosen.clone()))));
            self.subtables.len() - 1
        })
    }

    /// Puts a changed subtable at its place by highest priority (I1), or away if it is empty.
    fn rank(&mut self, at: usize) {
        let Some((old, subtable)) = self.subtables.get(at) else { return };
        let (old, new, is_empty) = (*old, subtable.buckets.rank(), subtable.buckets.is_empty());
        if is_empty {
            self.subtables.remove(at);
        } else if old != new || at + 1 == self.subtables.len() {
            let (_, subtable) = self.subtables.remove(at);
            let to = self.subtables.partition_point(|(highest, _)| *highest >= new);
            self.subtables.insert(to, (new, subtable));
        }
    }

    /// The rule of highest priority that matches `key`. With `wc`, adds every bit that could have changed the answer.
    pub fn lookup(&self, key: &FlowKey, wc: Option<&mut Wildcards>) -> Option<&Ruled<T>> {
        self.lookup_accepted(key, wc, |_| true)
    }

    /// Like [`RuleTable::lookup`], but only among rules that `accept` takes. It is asked of every matching rule of higher
    /// priority than the answer's, and perhaps of others.
    pub fn lookup_accepted(
        &self,
        key: &FlowKey,
        wc: Option<&mut Wildcards>,
        mut accept: impl FnMut(&Ruled<T>) -> bool,
    ) -> Option<&Ruled<T>> {
        // The best rule so far, and its subtable's place.
        let mut best: Option<(usize, &Ruled<T>)> = None;
        for (at, (highest, table)) in self.subtables.iter().enumerate() {
            if best.is_some_and(|(_, best)| best.priority >= *highest) {
                break;
            }
            let bucket = table.bucket(table.mask.hash(key, self.seed)).iter();
            let mut better = bucket.take_while(|r| best.is_none_or(|(_, best)| r.priority > best.priority));
            if let Some(hit) = better.find(|r| r.values.match_under(&r.shape.mask, key) && accept(r)) {
                best = Some((at, hit));
            }
        }
        if let Some(wc) = wc {
            self.unwildcard(key, best, wc);
        }
        best.map(|(_, best)| best)
    }

    /// Adds to `wc` what makes the answer that it is. Of rules of one priority the first that is met is the answer.
    fn unwildcard(&self, key: &FlowKey, best: Option<(usize, &Ruled<T>)>, wc: &mut Wildcards) {
        let Some((place, best)) = best else {
            return self.subtables.iter().for_each(|(_, s)| s.unwildcard(key, self.seed, |_| true, wc));
        };
        best.shape.mask.fold_into(wc, FLOW_WORDS);
        for (at, (highest, table)) in self.subtables.iter().enumerate() {
            match at.cmp(&place) {
                Ordering::Less => table.unwildcard(key, self.seed, |r| r.priority >= best.priority, wc),
                Ordering::Equal => table.unwildcard(key, self.seed, |r| !core::ptr::eq(r, best), wc),
                Ordering::Greater if *highest > best.priority => {
                    table.unwildcard(key, self.seed, |r| r.priority > best.priority, wc);
                }
                Ordering::Greater => break,
            }
        }
    }

    fn rules(&self) -> impl Iterator<Item = &Ruled<T>> {
        self.subtables.iter().flat_map(|(_, s)| s.buckets.iter().flat_map(|b| &b.0))
    }

    /// Every rule with its match, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Match, &Ruled<T>)> {
        self.rules().map(|r| (r.to_match(), r))
    }

    /// The rules only, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.rules().map(|r| &r.value)
    }

    /// Rules whose match overlaps `m` at `priority`: some packet would match both.
    pub fn overlapping<'a>(&'a self, m: &'a Match, priority: u32) -> impl Iterator<Item = &'a T> {
        let meets =
            move |r: &&Ruled<T>| r.priority == priority && r.values.meet(&r.shape.mask, (&m.key, &m.wc));
        self.rules().filter(meets).map(|r| &r.value)
    }
}

/// Hash of a mask, for the table of shapes; that of a key, which it is not, but for its seed.
fn hash_mask(wc: &Wildcards) -> u64 {
    crate::hash_key(&wc.0, 0)
}

#[cfg(test)]
mod tests;
