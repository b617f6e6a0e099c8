//! The writer's side: the tables as they are now, their configuration, and the snapshot that readers have.
//!
//! Where it sits: one per bridge, owned by `switch` behind its lock. The requests are in `flow_mod.rs`, `group.rs`
//! and `expiry.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flow::Field;
use openflow::actions::options_named;
use openflow::msg::TlvTableMod;
use openflow::{OfpError, field};
use packet::Now;

use crate::{Rule, RuleSpec, RuleState, Snapshot, TableMiss};

/// How a table is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableConfig {
    /// Its name, if not `tableN`.
    pub name: Option<String>,
    /// The most rules that it takes.
    pub max_flows: Option<usize>,
    /// When full, the least important rule makes room: the configuration says so.
    pub evict: bool,
    /// A controller says so.
    pub evict_by_controller: bool,
    /// In percent of free room: told below the first, and above the second.
    pub vacancy: Option<(u8, u8)>,
    /// What is told next; `None` before anything was: the table's filling below the first.
    pub vacancy_event: Option<VacancyEvent>,
}

/// What a table tells of its free room next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VacancyEvent {
    /// That it is below the lower threshold.
    Down,
    /// That it is above the upper one.
    Up,
}

impl TableConfig {
    /// True if the least important rule makes room.
    pub fn evicts(&self) -> bool {
        self.evict || self.evict_by_controller
    }
}

/// A bit for each number below 64.
fn bits(numbers: impl IntoIterator<Item = u8>) -> u64 {
    numbers.into_iter().fold(0, |all, n| all | 1 << n)
}

/// The tables, groups and meters as they were.
pub struct Checkpoint {
    current: Snapshot,
    mortal: HashMap<u64, Arc<Rule>>,
}

/// An OpenFlow switch.
#[derive(Default)]
pub struct Ofproto {
    /// The tables as they are now.
    pub(crate) current: Snapshot,
    published: Option<Arc<Snapshot>>,
    pub(crate) config: BTreeMap<u8, TableConfig>,
    /// Rules with a timeout, by id: what expiry looks at.
    pub(crate) mortal: HashMap<u64, Arc<Rule>>,
    pub(crate) next_rule: u64,
    /// One more than the largest port that actions may name.
    pub max_ports: u32,
}

impl Ofproto {
    /// A switch without rules that controllers see.
    pub fn new(now: Now) -> Ofproto {
        let mut switch = Ofproto { max_ports: openflow::OfpPort::MAX.0, ..Ofproto::default() };
        switch.add_internal_rules(now);
        switch
    }

    /// Takes actions for debugging (`debug_recirc`, `debug_slow`) from now on.
    pub fn take_debugging(&mut self) {
        self.current.debugging = true;
    }

    /// The tables as readers may have them: a new version if anything changed since the last call.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        let current = &self.current;
        self.published.get_or_insert_with(|| Arc::new(current.clone())).clone()
    }

    /// The tables as they are now, for the writer's own questions.
    pub fn current(&self) -> &Snapshot {
        &self.current
    }

    /// Everything as it is, to go back to.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { current: self.current.clone(), mortal: self.mortal.clone() }
    }

    /// Goes back: nothing since then has happened.
    pub fn restore(&mut self, before: Checkpoint) {
        (self.current, self.mortal) = (before.current, before.mortal);
        self.touch();
    }

    /// How much of a table is free, in percent; all of one without a limit.
    pub fn vacancy(&self, table: u8) -> u8 {
        let rules = self.current.table(table).map_or(0, |t| t.rules.len());
        match self.table_config(table).max_flows {
            Some(max) if max > 0 => (max.saturating_sub(rules) * 100 / max) as u8,
            Some(_) => 0,
            None => 100,
        }
    }

    /// Tables that passed a threshold of free room since the last call; true for the lower one.
    pub fn vacancy_events(&mut self) -> Vec<(u8, bool)> {
        let watched: Vec<u8> =
            self.config.iter().filter(|(_, c)| c.vacancy.is_some()).map(|(id, _)| *id).collect();
        let mut events = Vec::new();
        for id in watched {
            let free = self.vacancy(id);
            let Some(config) = self.config.get_mut(&id) else { continue };
            let Some((down, up)) = config.vacancy else { continue };
            match config.vacancy_event {
                None | Some(VacancyEvent::Down) if free < down => {
                    config.vacancy_event = Some(VacancyEvent::Up);
                    events.push((id, true));
                }
                Some(VacancyEvent::Up) if free > up => {
                    config.vacancy_event = Some(VacancyEvent::Down);
                    events.push((id, false));
                }
                _ => {}
            }
        }
        events
    }

    /// Notes a change: the next snapshot is a new one.
    pub(crate) fn touch(&mut self) {
        self.current.version += 1;
        self.published = None;
    }

    /// A table's configuration.
    pub fn table_config(&self, table: u8) -> TableConfig {
        self.config.get(&table).cloned().unwrap_or_default()
    }

    /// Configures a table. Rules beyond a new limit stay until they go by themselves.
    pub fn set_table_config(&mut self, table: u8, config: TableConfig) {
        self.config.insert(table, config);
    }

    /// Changes which tunnel option is which field; a field that rules or groups name stays.
    pub fn change_options(&mut self, change: &TlvTableMod) -> Result<(), OfpError> {
        let rules = self.current.tables().flat_map(|(_, table)| table.rules.values());
        let in_rules = rules.fold(0, |used, rule| {
            let matched = field::options(&rule.spec.matcher).filter_map(Field::option);
            used | bits(matched) | bits(options_named(&rule.spec.actions).into_keys())
        });
        let buckets = self.current.groups().flat_map(|group| &group.buckets);
        let used = buckets.fold(in_rules, |used, b| used | bits(options_named(&b.actions).into_keys()));
        self.current.options = Arc::new(self.current.options.changed(change, used)?);
        self.touch();
        Ok(())
    }

    /// Sets what happens to packets without a rule in `table`, or in every table that controllers see (255).
    pub fn set_table_miss(&mut self, table: u8, miss: TableMiss) {
        for id in 0..crate::N_VISIBLE_TABLES {
            if (table == 255 || table == id)
                && let Some(t) = self.current.table_mut(id)
            {
                t.miss = miss;
            }
        }
        self.touch();
    }

    /// Adds a rule that controllers cannot see, replacing one of the same match and priority.
    pub fn add_hidden(&mut self, spec: RuleSpec, now: Now) {
        let rule = self.make_rule(spec, now, 0, 0);
        self.put(Arc::new(rule));
    }

    /// Removes a rule that controllers cannot see: the one of this match and priority.
    pub fn remove_hidden(&mut self, spec: &RuleSpec) {
        let table = self.current.table(spec.table);
        if let Some(rule) = table.and_then(|t| t.rules.find(&spec.matcher, spec.priority)).cloned() {
            self.take(&rule);
        }
    }

    pub(crate) fn make_rule(&mut self, spec: RuleSpec, now: Now, idle: u16, hard: u16) -> Rule {
        self.next_rule += 1;
        let state = Arc::new(RuleState::new(now.mono, idle, hard));
        Rule { id: self.next_rule, spec, created: now, modified: now.mono, state }
    }

    /// Puts a rule into its table, in the place of one of the same match and priority.
    pub(crate) fn put(&mut self, rule: Arc<Rule>) {
        self.watch_timeouts(&rule);
        let part = usize::from(rule.conjunctions().next().is_some());
        let Some(table) = self.current.table_mut(rule.spec.table) else { return };
        let old = table.rules.insert(&rule.spec.matcher, rule.spec.priority, rule.clone());
        let old_part = old.as_ref().map_or(0, |o| usize::from(o.conjunctions().next().is_some()));
        table.conjunctive = (table.conjunctive + part).saturating_sub(old_part);
        if let Some(old) = &old
            && old.id != rule.id
        {
            self.mortal.remove(&old.id);
        }
        self.touch();
    }

    /// Takes a rule out of its table.
    pub(crate) fn take(&mut self, rule: &Rule) {
        self.mortal.remove(&rule.id);
        if let Some(table) = self.current.table_mut(rule.spec.table) {
            let gone = table.rules.remove(&rule.spec.matcher, rule.spec.priority);
            let part = gone.is_some_and(|g| g.conjunctions().next().is_some());
            table.conjunctive = table.conjunctive.saturating_sub(usize::from(part));
        }
        self.touch();
    }

    /// Rules of the internal table: packets that lost their recirculation id are dropped, and register 0 tells the
    /// ways in which a packet without a rule is answered.
    fn add_internal_rules(&mut self, now: Now) {
        use flow::{Match, slot};
        let spec = |priority, matcher, actions: Vec<openflow::Action>| RuleSpec {
            table: crate::INTERNAL_TABLE,
            priority,
            matcher,
            cookie: 0,
            flags: openflow::FlowModFlags::empty(),
            importance: 0,
            actions: actions.into(),
        };
        let mut no_recirc = Match::ANY;
        no_recirc.set_exact(slot::recirc_id, 0);
        self.add_hidden(spec(2, no_recirc, Vec::new()), now);
        let to_controller = openflow::actions::Controller {
            max_len: u16::MAX,
            controller_id: 0,
            reason: openflow::actions::PacketInReason::ImplicitMiss,
            userdata: Vec::new(),
            pause: false,
            meter_id: 0,
            extended: false,
        };
        for (id, actions) in [(1, vec![to_controller.into()]), (2, Vec::new()), (3, Vec::new())] {
            let mut m = Match::ANY;
            m.set_exact(slot::reg0, id);
            self.add_hidden(spec(0, m, actions), now);
        }
    }
}
