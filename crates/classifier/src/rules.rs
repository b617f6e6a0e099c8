//! Prioritised rules with cheap snapshots: an OpenFlow table's lookup structure.
//!
//! Where it sits: `ofproto` inserts and removes on one thread and clones the table for readers; translation looks up
//! in the clone.
//!
//! ~~~text
//! RuleTable ── Arc<Subtable(mask, highest priority)> ── Arc<Shard> ── entries by hash of the masked key
//! ~~~
//!
//! A clone copies the list of subtables. A later change copies one subtable's list of shards and one shard of a few
//! dozen entries, however many rules there are.
//!
//! I1  Subtables are in order of falling highest priority, so a lookup stops once no later one can win.
//! I2  Every subtable that was searched has its mask added to the wildcards, up to the stage at which the search ended:
//!     a stage (metadata, L2, L3, L4) whose prefix hash is unknown cannot match, whatever the later stages hold.

use alloc::sync::Arc;
use alloc::vec::Vec;

use flow::slot::STAGES;
use flow::{FLOW_WORDS, FlowKey, Match, Wildcards};

use crate::CompactMask;
use crate::sharded::Sharded;

/// A rule as the table holds it.
#[derive(Clone, Debug)]
pub struct Ruled<T> {
    key: FlowKey,
    /// Higher wins.
    pub priority: u32,
    /// What was inserted.
    pub value: T,
}

#[derive(Clone)]
struct Subtable<T> {
    mask: CompactMask,
    /// For each of the first three stages that the mask reaches beyond: the hashes of the masked keys up to the
    /// stage's end, with the number of rules that have it.
    stages: [Option<Sharded<usize>>; 3],
    rules: Sharded<Ruled<T>>,
    /// Each priority in use with its number of rules, highest first.
    priorities: Vec<(u32, usize)>,
}

/// Rules by match and priority.
#[derive(Clone)]
pub struct RuleTable<T> {
    subtables: Vec<Arc<Subtable<T>>>,
    seed: u64,
    len: usize,
}

impl<T> Default for RuleTable<T> {
    fn default() -> Self {
        RuleTable { subtables: Vec::new(), seed: 0, len: 0 }
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
        Subtable { mask, stages, rules: Sharded::default(), priorities: Vec::new() }
    }

    fn highest(&self) -> u32 {
        self.priorities.first().map_or(0, |(p, _)| *p)
    }

    /// Counts a rule of `priority` in (`by` 1) or out (`by` -1).
    fn count_priority(&mut self, priority: u32, by: isize) {
        let at = self.priorities.binary_search_by(|(p, _)| priority.cmp(p));
        match at {
            Ok(i) => {
                if let Some((_, n)) = self.priorities.get_mut(i) {
                    *n = n.saturating_add_signed(by);
                }
                self.priorities.retain(|(_, n)| *n != 0);
            }
            Err(i) => self.priorities.insert(i, (priority, 1)),
        }
    }

    fn count_stages(&mut self, key: &FlowKey, seed: u64, by: isize) {
        let mut hash = seed;
        let mut start = 0;
        for (stage, end) in self.stages.iter_mut().zip(STAGES) {
            hash = self.mask.hash_words(key, hash, start, end);
            start = end;
            if let Some(counts) = stage {
                match counts.get_mut(hash, |_| true) {
                    Some(n) if *n == 1 && by < 0 => drop(counts.remove(hash, |_| true)),
                    Some(n) => *n = n.saturating_add_signed(by),
                    None => counts.insert(hash, 1),
                }
            }
        }
    }

    /// The best rule for `key`; adds to `wc` what decided.
    fn lookup(
        &self,
        key: &FlowKey,
        seed: u64,
        wc: Option<&mut Wildcards>,
        accept: &mut impl FnMut(&Ruled<T>) -> bool,
    ) -> Option<&Ruled<T>> {
        let mut hash = seed;
        let mut start = 0;
        for (stage, end) in self.stages.iter().zip(STAGES) {
            hash = self.mask.hash_words(key, hash, start, end);
            start = end;
            if let Some(counts) = stage
                && counts.find(hash, |_| true).next().is_none()
            {
                if let Some(wc) = wc {
                    self.mask.fold_into(wc, end);
                }
                return None;
            }
        }
        if let Some(wc) = wc {
            self.mask.fold_into(wc, FLOW_WORDS);
        }
        let hash = self.mask.hash_words(key, hash, start, FLOW_WORDS);
        let hits = self.rules.find(hash, |r| self.mask.matches(&r.key, key) && accept(r));
        hits.max_by_key(|r| r.priority)
    }
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
        let old = self.remove(m, priority);
        let at = self.subtables.iter().position(|s| s.mask.is(&m.wc));
        let mut subtable = match at {
            Some(at) => self.subtables.remove(at),
            None => Arc::new(Subtable::new(CompactMask::try_new(&m.wc).unwrap_or_default())),
        };
        let table = Arc::make_mut(&mut subtable);
        let hash = table.mask.hash_words(&m.key, self.seed, 0, FLOW_WORDS);
        table.count_stages(&m.key, self.seed, 1);
        table.count_priority(priority, 1);
        table.rules.insert(hash, Ruled { key: m.key, priority, value });
        self.place(subtable);
        self.len += 1;
        old
    }

    /// Removes the rule with exactly this match and priority.
    pub fn remove(&mut self, m: &Match, priority: u32) -> Option<T> {
        let at = self.subtables.iter().position(|s| s.mask.is(&m.wc))?;
        let table = self.subtables.get(at)?;
        let hash = table.mask.hash_words(&m.key, self.seed, 0, FLOW_WORDS);
        let same = |r: &Ruled<T>| r.priority == priority && r.key == m.key;
        table.rules.find(hash, same).next()?;
        let mut subtable = self.subtables.remove(at);
        let table = Arc::make_mut(&mut subtable);
        let removed = table.rules.remove(hash, same)?;
        table.count_stages(&m.key, self.seed, -1);
        table.count_priority(priority, -1);
        if !table.priorities.is_empty() {
            self.place(subtable);
        }
        self.len = self.len.saturating_sub(1);
        Some(removed.value)
    }

    /// Puts a subtable at its place by highest priority (I1).
    fn place(&mut self, subtable: Arc<Subtable<T>>) {
        let at = self.subtables.partition_point(|s| s.highest() >= subtable.highest());
        self.subtables.insert(at, subtable);
    }

    /// The rule with exactly this match and priority.
    pub fn find(&self, m: &Match, priority: u32) -> Option<&T> {
        let table = self.subtables.iter().find(|s| s.mask.is(&m.wc))?;
        let hash = table.mask.hash_words(&m.key, self.seed, 0, FLOW_WORDS);
        table.rules.find(hash, |r| r.priority == priority && r.key == m.key).next().map(|r| &r.value)
    }

    /// The rule of highest priority that matches `key`. With `wc`, adds every bit that could have changed the answer.
    pub fn lookup(&self, key: &FlowKey, wc: Option<&mut Wildcards>) -> Option<&Ruled<T>> {
        self.lookup_accepted(key, wc, |_| true)
    }

    /// Like [`RuleTable::lookup`], but only among rules that `accept` takes.
    pub fn lookup_accepted(
        &self,
        key: &FlowKey,
        mut wc: Option<&mut Wildcards>,
        mut accept: impl FnMut(&Ruled<T>) -> bool,
    ) -> Option<&Ruled<T>> {
        let mut best: Option<&Ruled<T>> = None;
        for table in &self.subtables {
            if best.is_some_and(|b| b.priority >= table.highest()) {
                break;
            }
            let hit = table.lookup(key, self.seed, wc.as_deref_mut(), &mut accept);
            if let Some(hit) = hit
                && best.is_none_or(|b| hit.priority > b.priority)
            {
                best = Some(hit);
            }
        }
        best
    }

    /// Every rule with its match, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Match, &Ruled<T>)> {
        self.subtables.iter().flat_map(|s| s.rules.iter().map(|r| (s.mask.to_match(&r.key), r)))
    }

    /// The rules only, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.subtables.iter().flat_map(|s| s.rules.iter().map(|r| &r.value))
    }

    /// Rules whose match overlaps `m` at `priority`: some packet would match both.
    pub fn overlapping<'a>(&'a self, m: &'a Match, priority: u32) -> impl Iterator<Item = &'a T> {
        self.subtables.iter().flat_map(move |s| {
            let mut both = s.mask.wildcards();
            for (mine, theirs) in both.words_mut().iter_mut().zip(m.wc.words()) {
                *mine &= theirs;
            }
            s.rules
                .iter()
                .filter(move |r| r.priority == priority && both.equal(&r.key, &m.key))
                .map(|r| &r.value)
        })
    }
}

#[cfg(test)]
mod tests;
