//! What readers see: an immutable version of all tables, groups and meters.
//!
//! Where it sits: `Ofproto` makes one after a change, translation looks up in it on any thread.
//!
//! What it costs: a snapshot shares each table that did not change. A changed table costs one copy of its list of
//! subtables (one per distinct mask), and, of the one subtable touched, its list of shards and one shard of a few
//! dozen rules ([`classifier::RuleTable`]). Rules themselves are never copied. A thousand flow mods between two
//! publications pay for one snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use classifier::RuleTable;
use flow::{FlowKey, Wildcards};

use crate::{Group, MeterRule, N_TABLES, OptionMap, Rule};

/// What happens to a packet that no rule of a table matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableMiss {
    /// What the protocol's versions of the connected controllers want.
    #[default]
    Default,
    /// On in the next table.
    Continue,
    /// To the controllers.
    Controller,
    /// Dropped.
    Drop,
}

/// Lookups in a table, and how many found a rule.
#[derive(Debug, Default)]
pub struct TableCounters {
    lookups: AtomicU64,
    matched: AtomicU64,
}

impl TableCounters {
    /// Counts packets that found a rule.
    pub fn credit_match(&self, packets: u64) {
        self.lookups.fetch_add(packets, Relaxed);
        self.matched.fetch_add(packets, Relaxed);
    }

    /// Counts packets that found none.
    pub fn credit_miss(&self, packets: u64) {
        self.lookups.fetch_add(packets, Relaxed);
    }

    /// Packets looked up.
    pub fn lookups(&self) -> u64 {
        self.lookups.load(Relaxed)
    }

    /// Packets that found a rule.
    pub fn matched(&self) -> u64 {
        self.matched.load(Relaxed)
    }
}

/// A table.
#[derive(Clone)]
pub struct Table {
    /// Its rules by priority.
    pub rules: RuleTable<Arc<Rule>>,
    /// For packets without a rule.
    pub miss: TableMiss,
    /// Rules that are parts of conjunctions.
    pub(crate) conjunctive: usize,
    /// Counted lookups.
    pub counters: Arc<TableCounters>,
}

impl Table {
    pub(crate) fn new(id: u8) -> Table {
        Table {
            rules: RuleTable::new(u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            miss: TableMiss::Default,
            conjunctive: 0,
            counters: Arc::default(),
        }
    }
}

/// A rule found, and how.
#[derive(Debug)]
pub struct Found<'a> {
    /// The rule.
    pub rule: &'a Arc<Rule>,
    /// The conjunction that led to it.
    pub conj: Option<u32>,
    /// The rules that made up the conjunction.
    pub conj_rules: Vec<Arc<Rule>>,
}

/// The answer of a lookup.
pub type Lookup<'a> = Option<Found<'a>>;

/// An immutable version of all tables and groups.
#[derive(Clone)]
pub struct Snapshot {
    /// Grows with each change.
    pub version: u64,
    tables: Vec<Arc<Table>>,
    groups: Arc<BTreeMap<u32, Arc<Group>>>,
    meters: Arc<BTreeMap<u32, Arc<MeterRule>>>,
    /// Which tunnel option is which field.
    pub options: Arc<OptionMap>,
    /// Actions for debugging are taken.
    pub(crate) debugging: bool,
}

impl Default for Snapshot {
    fn default() -> Self {
        let tables = (0..N_TABLES).map(|id| Arc::new(Table::new(id))).collect();
        Snapshot {
            version: 0,
            tables,
            groups: Arc::default(),
            meters: Arc::default(),
            options: Arc::default(),
            debugging: false,
        }
    }
}

impl Snapshot {
    /// Table `id`, if it exists.
    pub fn table(&self, id: u8) -> Option<&Table> {
        self.tables.get(usize::from(id)).map(|t| &**t)
    }

    /// Table `id`, to be changed: copied if other snapshots share it.
    pub(crate) fn table_mut(&mut self, id: u8) -> Option<&mut Table> {
        self.tables.get_mut(usize::from(id)).map(Arc::make_mut)
    }

    /// Every table with its number.
    pub fn tables(&self) -> impl Iterator<Item = (u8, &Table)> {
        (0..N_TABLES).zip(self.tables.iter().map(|t| &**t))
    }

    /// Group `id`.
    pub fn group(&self, id: u32) -> Option<&Arc<Group>> {
        self.groups.get(&id)
    }

    /// Every group, by number.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    pub(crate) fn groups_mut(&mut self) -> &mut BTreeMap<u32, Arc<Group>> {
        Arc::make_mut(&mut self.groups)
    }

    /// Meter `id`.
    pub fn meter(&self, id: u32) -> Option<&Arc<MeterRule>> {
        self.meters.get(&id)
    }

    /// Every meter, by number.
    pub fn meters(&self) -> impl Iterator<Item = &Arc<MeterRule>> {
        self.meters.values()
    }

    pub(crate) fn meters_mut(&mut self) -> &mut BTreeMap<u32, Arc<MeterRule>> {
        Arc::make_mut(&mut self.meters)
    }

    /// Rules of all tables that controllers see.
    pub fn n_rules(&self) -> usize {
        self.tables().filter(|(id, _)| *id < crate::N_VISIBLE_TABLES).map(|(_, t)| t.rules.len()).sum()
    }

    /// The rule of table `id` for `key`; adds to `wc` every bit that could have changed the answer.
    pub fn lookup(&self, id: u8, key: &FlowKey, wc: &mut Wildcards) -> Lookup<'_> {
        let table = self.table(id)?;
        if table.conjunctive == 0 {
            return table.rules.lookup(key, Some(wc)).map(|r| plain(&r.value));
        }
        lookup_conjunctive(table, key, wc)
    }
}

fn plain(rule: &Arc<Rule>) -> Found<'_> {
    Found { rule, conj: None, conj_rules: Vec::new() }
}

/// A lookup where some rules are parts of conjunctions. Those that match are collected while a rule of its own right
/// is looked for; a conjunction all of whose dimensions are collected at one priority above that rule's sets
/// `conj_id`, and a second lookup finds the rule for it.
fn lookup_conjunctive<'a>(table: &'a Table, key: &FlowKey, wc: &mut Wildcards) -> Lookup<'a> {
    let mut parts: Vec<Arc<Rule>> = Vec::new();
    let hard = table.rules.lookup_accepted(key, Some(wc), |r| {
        let part = r.value.conjunctions().next().is_some();
        if part {
            parts.push(r.value.clone());
        }
        !part
    });
    let floor = hard.map(|r| r.priority);
    parts.retain(|p| floor.is_none_or(|floor| p.spec.priority > floor));
    parts.sort_by_key(|p| std::cmp::Reverse(p.spec.priority));
    for at_priority in parts.chunk_by(|a, b| a.spec.priority == b.spec.priority) {
        for id in complete_conjunctions(at_priority) {
            let mut with_id = *key;
            with_id.set_conj_id(id);
            let mut looked_at = *wc;
            let found = table
                .rules
                .lookup_accepted(&with_id, Some(&mut looked_at), |r| r.value.conjunctions().next().is_none());
            *wc = looked_at;
            if let Some(rule) = found {
                let made_by = |r: &&Arc<Rule>| r.conjunctions().any(|c| c.id == id);
                let conj_rules = at_priority.iter().filter(made_by).cloned().collect();
                return Some(Found { rule: &rule.value, conj: Some(id), conj_rules });
            }
        }
    }
    hard.map(|r| plain(&r.value))
}

/// Conjunctions, by ascending id, all of whose dimensions `parts` have.
fn complete_conjunctions(parts: &[Arc<Rule>]) -> Vec<u32> {
    let mut seen: BTreeMap<(u32, u8), u64> = BTreeMap::new();
    for c in parts.iter().flat_map(|p| p.conjunctions()) {
        *seen.entry((c.id, c.n_clauses)).or_default() |= 1u64.checked_shl(u32::from(c.clause)).unwrap_or(0);
    }
    let complete =
        |((_, n), have): &(&(u32, u8), &u64)| **have == u64::MAX >> 64u32.saturating_sub(u32::from(*n));
    seen.iter().filter(complete).map(|((id, _), _)| *id).collect()
}
