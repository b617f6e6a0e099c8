//! Flow mods and bundles of them: what each command does, and what came of it.
//!
//! Where it sits: `switch` passes decoded requests in; the changes go to flow-removed messages and monitors.
//!
//! Spec: OpenFlow 1.5.1 section 6.4; ovs-ofctl(8) on cookies; the errors are Open vSwitch's.

use std::sync::Arc;

use openflow::{Action, FlowMod, FlowModCommand, FlowModFlags, OfpError};
use packet::Now;

use crate::{INTERNAL_TABLE, Ofproto, Rule, RuleSelection, RuleSpec, RuleState, Snapshot};

/// Why a rule went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovedReason {
    /// No packets for its idle timeout.
    IdleTimeout = 0,
    /// Its hard timeout passed.
    HardTimeout = 1,
    /// A controller deleted it.
    Delete = 2,
    /// Its group was deleted.
    GroupDelete = 3,
    /// Its meter was deleted.
    MeterDelete = 4,
    /// It made room for others.
    Eviction = 5,
}

/// What happened to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowChangeKind {
    /// It is new.
    Added,
    /// It replaced one of the same match and priority.
    Replaced,
    /// Its actions or cookie are new.
    Modified,
    /// It is gone.
    Removed(RemovedReason),
}

/// A change of one rule.
#[derive(Clone, Debug)]
pub struct FlowChange {
    /// What happened.
    pub kind: FlowChangeKind,
    /// The rule as it is, or was at the end.
    pub rule: Arc<Rule>,
}

/// Flags that a rule keeps.
const KEPT: FlowModFlags = FlowModFlags::SEND_FLOW_REM
    .union(FlowModFlags::CHECK_OVERLAP)
    .union(FlowModFlags::RESET_COUNTS)
    .union(FlowModFlags::NO_PKT_COUNTS)
    .union(FlowModFlags::NO_BYT_COUNTS);

impl Ofproto {
    /// Carries out a flow mod, or changes nothing.
    pub fn flow_mod(&mut self, fm: &FlowMod, now: Now) -> Result<Vec<FlowChange>, OfpError> {
        let bound = self.current.options.bound(&fm.matcher)?.map(|matcher| FlowMod { matcher, ..fm.clone() });
        let fm = bound.as_ref().unwrap_or(fm);
        match fm.command {
            FlowModCommand::Add => self.add(fm, now),
            FlowModCommand::Modify | FlowModCommand::ModifyStrict => self.modify(fm, now),
            FlowModCommand::Delete | FlowModCommand::DeleteStrict => self.delete(fm),
        }
    }

    fn add(&mut self, fm: &FlowMod, now: Now) -> Result<Vec<FlowChange>, OfpError> {
        let table_id = if fm.table_id == FlowMod::ANY_TABLE { 0 } else { fm.table_id };
        check_table(table_id)?;
        let actions = self.checked_actions(fm, table_id)?;
        let table = self.current.table(table_id).ok_or(OfpError::OFPBRC_BAD_TABLE_ID)?;
        let priority = u32::from(fm.priority);
        let old = table.rules.find(&fm.matcher, priority).cloned();
        if fm.flags.contains(FlowModFlags::CHECK_OVERLAP)
            && table.rules.overlapping(&fm.matcher, priority).next().is_some()
        {
            return Err(OfpError::OFPFMFC_OVERLAP);
        }
        let mut changes = Vec::new();
        if old.is_none() {
            changes.extend(self.make_room(table_id)?);
        }
        let spec = RuleSpec {
            table: table_id,
            priority,
            matcher: fm.matcher,
            cookie: fm.new_cookie,
            flags: fm.flags & KEPT,
            importance: fm.importance,
            actions,
        };
        let rule = self.make_rule(spec, now, fm.idle_timeout, fm.hard_timeout);
        if let Some(old) = &old
            && !fm.flags.contains(FlowModFlags::RESET_COUNTS)
        {
            rule.state.credit(old.state.packets(), old.state.bytes(), now.mono);
        }
        let kind = if old.is_some() { FlowChangeKind::Replaced } else { FlowChangeKind::Added };
        changes.push(self.put_and_tell(rule, kind));
        Ok(changes)
    }

    fn put_and_tell(&mut self, rule: Rule, kind: FlowChangeKind) -> FlowChange {
        let rule = Arc::new(rule);
        self.put(rule.clone());
        FlowChange { kind, rule }
    }

    /// Makes room for one rule more in a table with a limit.
    fn make_room(&mut self, table_id: u8) -> Result<Option<FlowChange>, OfpError> {
        let config = self.table_config(table_id);
        let table = self.current.table(table_id).ok_or(OfpError::OFPBRC_BAD_TABLE_ID)?;
        if config.max_flows.is_none_or(|max| table.rules.len() < max) {
            return Ok(None);
        }
        // Of rules with timeouts, the least important that ends soonest goes; others are never evicted.
        let victim = table
            .rules
            .values()
            .filter(|r| config.evicts() && self.mortal.contains_key(&r.id))
            .min_by_key(|r| (r.spec.importance, r.state.used(), r.id))
            .cloned()
            .ok_or(OfpError::OFPFMFC_TABLE_FULL)?;
        Ok(Some(self.remove_rule(&victim, RemovedReason::Eviction)))
    }

    fn modify(&mut self, fm: &FlowMod, now: Now) -> Result<Vec<FlowChange>, OfpError> {
        check_table(fm.table_id)?;
        let actions = self.checked_actions(fm, fm.table_id)?;
        let rules = RuleSelection::of_flow_mod(fm).rules(&self.current);
        if rules.is_empty() {
            // Without a condition on the cookie, a change of nothing adds a rule, where the version allows it.
            let adds = fm.cookie_mask == 0 && fm.new_cookie != u64::MAX;
            return if adds { self.add(fm, now) } else { Ok(Vec::new()) };
        }
        let change = |old: &Arc<Rule>, this: &mut Ofproto| {
            let mut spec = RuleSpec { actions: actions.clone(), ..old.spec.clone() };
            if fm.modify_cookie && fm.new_cookie != u64::MAX {
                spec.cookie = fm.new_cookie;
            }
            let state = if fm.flags.contains(FlowModFlags::RESET_COUNTS) {
                let (idle, hard) = (old.state.idle_timeout(), old.state.hard_timeout());
                Arc::new(RuleState::new(old.state.used(), idle, hard))
            } else {
                old.state.clone()
            };
            let rule = Rule { id: old.id, spec, created: old.created, modified: now.mono, state };
            this.put_and_tell(rule, FlowChangeKind::Modified)
        };
        Ok(rules.iter().map(|old| change(old, self)).collect())
    }

    fn delete(&mut self, fm: &FlowMod) -> Result<Vec<FlowChange>, OfpError> {
        check_table(fm.table_id)?;
        let rules = RuleSelection::of_flow_mod(fm).rules(&self.current);
        Ok(rules.iter().map(|r| self.remove_rule(r, RemovedReason::Delete)).collect())
    }

    /// Removes every rule that controllers see.
    pub fn flush(&mut self) -> Vec<FlowChange> {
        let rules = RuleSelection::all().rules(&self.current);
        rules.iter().map(|r| self.remove_rule(r, RemovedReason::Delete)).collect()
    }

    pub(crate) fn remove_rule(&mut self, rule: &Arc<Rule>, reason: RemovedReason) -> FlowChange {
        self.take(rule);
        FlowChange { kind: FlowChangeKind::Removed(reason), rule: rule.clone() }
    }

    /// The actions of a flow mod, checked against its match, the ports, tables and groups of the switch.
    fn checked_actions(&self, fm: &FlowMod, table_id: u8) -> Result<Arc<[Action]>, OfpError> {
        let mut actions = fm.actions.clone();
        let cx = openflow::actions::CheckContext {
            matcher: &fm.matcher,
            max_ports: self.max_ports,
            table_id,
            n_tables: crate::N_VISIBLE_TABLES,
        };
        self.current.check_debugging(&actions)?;
        openflow::actions::check(&mut actions, &cx, openflow::Protocols::ANY)?;
        self.current.check_references(&actions)?;
        self.current.options.check(&actions)?;
        Ok(actions.into())
    }
}

impl Snapshot {
    /// Refuses actions for debugging where they are not taken.
    pub fn check_debugging(&self, actions: &[Action]) -> Result<(), OfpError> {
        if !self.debugging && openflow::actions::has_debugging(actions) {
            return Err(OfpError::OFPBAC_BAD_VENDOR_TYPE);
        }
        Ok(())
    }

    /// Refuses actions that name groups or meters that are not there.
    pub fn check_references(&self, actions: &[Action]) -> Result<(), OfpError> {
        actions.iter().try_for_each(|a| match a {
            Action::Group(g) if self.group(g.0).is_none() => Err(OfpError::OFPBAC_BAD_OUT_GROUP),
            Action::WriteActions(list) => self.check_references(&list.0),
            Action::CloneActions(list) => self.check_references(&list.0),
            Action::Meter(m) if self.meter(m.0).is_none() => Err(OfpError::OFPMMFC_INVALID_METER),
            _ => Ok(()),
        })
    }
}

/// Modifications and deletions may name all tables; the hidden one is nobody's to change.
fn check_table(table_id: u8) -> Result<(), OfpError> {
    if table_id == INTERNAL_TABLE { Err(OfpError::OFPBRC_EPERM) } else { Ok(()) }
}
