//! Flow monitors: controllers that watch the flows of tables.
//!
//! Where it sits: every change of rules is told to the monitors that it concerns, in one message for each request.
//!
//! Spec: ovs-ofctl(8), "monitor ... watch:"; OpenFlow 1.5.1 section 7.4.7.

use std::sync::Arc;

use ofproto::{FlowChange, FlowChangeKind, Rule, RuleSelection};
use openflow::msg::group::ANY_GROUP;
use openflow::msg::{
    FlowEvent, FlowMonitorRequest, FlowUpdate, FlowUpdateFull, Message, MonitorCommand, MonitorFlags,
};
use openflow::{OfpError, OfpPort};

use crate::core::{BridgeState, Conn, ConnId};

/// The request that changed rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    pub conn: ConnId,
    pub xid: u32,
}

/// Most monitors of one connection.
const MAX_MONITORS: usize = 1024;

impl BridgeState {
    /// Adds, changes or removes monitors; the flows that new ones want to see at once are the answer.
    pub(crate) fn add_monitors(
        &mut self,
        id: ConnId,
        wanted: &[FlowMonitorRequest],
    ) -> Result<Vec<FlowUpdate>, OfpError> {
        let conn = self.conns.get(&id).ok_or(OfpError::OFPBRC_EPERM)?;
        let mut monitors = conn.monitors.clone();
        let mut initial = Vec::new();
        for m in wanted {
            match m.command {
                MonitorCommand::Add if monitors.contains_key(&m.id) => {
                    return Err(OfpError::OFPMOFC_MONITOR_EXISTS);
                }
                MonitorCommand::Modify if !monitors.contains_key(&m.id) => {
                    return Err(OfpError::OFPMOFC_UNKNOWN_MONITOR);
                }
                MonitorCommand::Delete => {
                    monitors.remove(&m.id).ok_or(OfpError::OFPMOFC_UNKNOWN_MONITOR)?;
                }
                MonitorCommand::Add | MonitorCommand::Modify => {
                    if m.table_id != 255 && m.table_id >= ofproto::N_VISIBLE_TABLES {
                        return Err(OfpError::OFPBRC_BAD_TABLE_ID);
                    }
                    let mut m = m.clone();
                    if let Some(bound) = self.ofproto.current().options.bound(&m.matcher)? {
                        m.matcher = bound;
                    }
                    if m.flags.contains(MonitorFlags::INITIAL) {
                        initial.push(m.clone());
                    }
                    monitors.insert(m.id, m);
                }
            }
        }
        if monitors.len() > MAX_MONITORS {
            return Err(OfpError::OFPMOFC_UNKNOWN);
        }
        self.conn(id)?.monitors = monitors;
        Ok(self.initial_updates(&initial))
    }

    /// The flows that monitors begin with, each once.
    fn initial_updates(&self, monitors: &[FlowMonitorRequest]) -> Vec<FlowUpdate> {
        let mut seen: Vec<(Arc<Rule>, MonitorFlags)> = Vec::new();
        for m in monitors {
            for rule in selected(m).rules(self.ofproto.current()) {
                match seen.iter_mut().find(|(r, _)| r.id == rule.id) {
                    Some((_, flags)) => *flags |= m.flags,
                    None => seen.push((rule, m.flags)),
                }
            }
        }
        seen.iter().map(|(rule, flags)| full(FlowEvent::Initial, 0, rule, *flags)).collect()
    }

    /// Ends a monitor.
    pub(crate) fn cancel_monitor(&mut self, id: ConnId, monitor: u32) -> Result<(), OfpError> {
        let removed = self.conn(id)?.monitors.remove(&monitor);
        removed.map(drop).ok_or(OfpError::OFPMOFC_UNKNOWN_MONITOR)
    }

    /// Tells monitors of changes that one request, or the switch itself, made.
    pub(crate) fn tell_monitors(&mut self, changes: &[FlowChange], cause: Option<Cause>) {
        for (id, conn) in self.conns.iter_mut().filter(|(_, c)| !c.monitors.is_empty()) {
            let own = cause.filter(|c| c.conn == *id).map(|c| c.xid);
            let mut updates = Vec::new();
            for change in changes {
                conn.update(change, own, &mut updates);
            }
            if !updates.is_empty() {
                // A version without monitors has none.
                let _ = conn.conn.send(&Message::FlowMonitorReply(updates));
            }
        }
    }
}

impl Conn {
    /// Adds what the monitors want to hear of a change; `own` is the request's number if the controller itself made it.
    fn update(&self, change: &FlowChange, own: Option<u32>, updates: &mut Vec<FlowUpdate>) {
        let rule = &change.rule;
        if rule.is_hidden() {
            return;
        }
        let (event, wanted, reason) = match change.kind {
            FlowChangeKind::Added | FlowChangeKind::Replaced => (FlowEvent::Added, MonitorFlags::ADD, 0),
            FlowChangeKind::Modified => (FlowEvent::Modified, MonitorFlags::MODIFY, 0),
            FlowChangeKind::Removed(reason) => (FlowEvent::Deleted, MonitorFlags::DELETE, reason as u16),
        };
        let table = rule.spec.table;
        let concerned = |m: &&FlowMonitorRequest| {
            m.flags.contains(wanted)
                && matches!(m.table_id, t if t == 255 || t == table)
                && selected(m).accepts(rule)
        };
        let concerned = self.monitors.values().filter(concerned);
        let Some(flags) = concerned.map(|m| m.flags).reduce(|a, b| a | b) else { return };
        match own {
            Some(xid) if !flags.contains(MonitorFlags::OWN) => {
                // Once for the whole request.
                if !updates.contains(&FlowUpdate::Abbrev(xid)) {
                    updates.push(FlowUpdate::Abbrev(xid));
                }
            }
            _ => updates.push(full(event, reason, rule, flags)),
        }
    }
}

/// The flows that a monitor looks at.
fn selected(m: &FlowMonitorRequest) -> RuleSelection {
    RuleSelection {
        table: m.table_id,
        matcher: m.matcher,
        out_port: (m.out_port != OfpPort::NONE).then_some(m.out_port),
        out_group: (m.out_group != ANY_GROUP).then_some(m.out_group),
        ..RuleSelection::all()
    }
}

fn full(event: FlowEvent, reason: u16, rule: &Rule, flags: MonitorFlags) -> FlowUpdate {
    let tells_actions = flags.contains(MonitorFlags::ACTIONS);
    FlowUpdate::Full(Box::new(FlowUpdateFull {
        event,
        reason,
        priority: rule.spec.priority as u16,
        idle_timeout: rule.state.idle_timeout(),
        hard_timeout: rule.state.hard_timeout(),
        table_id: rule.spec.table,
        cookie: rule.spec.cookie,
        matcher: rule.spec.matcher,
        actions: if tells_actions { rule.spec.actions.to_vec() } else { Vec::new() },
    }))
}
