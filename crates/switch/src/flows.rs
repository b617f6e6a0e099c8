//! Flows asked about, and flows that went.
//!
//! Where it sits: statistics for `requests.rs`; flow-removed messages for every change of rules.

use ofproto::{FlowChange, FlowChangeKind, RemovedReason, Rule, RuleSelection, age};
use openflow::msg::{AsyncKind, FlowRemoved, FlowRemovedReason, FlowStats, FlowStatsRequest, Message};
use openflow::{FlowModFlags, OfpPort};
use packet::{Instant, Now};

use crate::core::BridgeState;
use crate::monitors::Cause;

impl BridgeState {
    /// Tells controllers of changes of rules, which `cause` made or the switch itself.
    pub(crate) fn tell_changes(&mut self, changes: &[FlowChange], cause: Option<Cause>, now: Now) {
        for change in changes {
            self.tell_flow(change, now);
        }
        self.tell_monitors(changes, cause);
        self.tell_vacancy();
    }

    fn tell_flow(&mut self, change: &FlowChange, now: Now) {
        let FlowChangeKind::Removed(reason) = change.kind else { return };
        let rule = &change.rule;
        if !rule.spec.flags.contains(FlowModFlags::SEND_FLOW_REM) || rule.is_hidden() {
            return;
        }
        let removed = FlowRemoved {
            matcher: rule.spec.matcher,
            priority: rule.spec.priority as u16,
            cookie: rule.spec.cookie,
            reason: match reason {
                RemovedReason::IdleTimeout => FlowRemovedReason::IdleTimeout,
                RemovedReason::HardTimeout => FlowRemovedReason::HardTimeout,
                RemovedReason::Delete => FlowRemovedReason::Delete,
                RemovedReason::GroupDelete => FlowRemovedReason::GroupDelete,
                RemovedReason::MeterDelete => FlowRemovedReason::MeterDelete,
                RemovedReason::Eviction => FlowRemovedReason::Eviction,
            },
            table_id: rule.spec.table,
            duration: age(now.mono.since(rule.created.mono)),
            idle_timeout: rule.state.idle_timeout(),
            hard_timeout: rule.state.hard_timeout(),
            packet_count: rule.state.packets(),
            byte_count: rule.state.bytes(),
        };
        for c in self.conns.values_mut().filter(|c| c.wants(AsyncKind::FlowRemoved, reason as u32)) {
            let _ = c.conn.send(&Message::FlowRemoved(removed.clone()));
        }
    }
}

pub(crate) fn selection(r: &FlowStatsRequest) -> RuleSelection {
    RuleSelection {
        table: r.table_id,
        matcher: r.matcher,
        strictness: ofproto::Strictness::Loose,
        cookie: r.cookie,
        cookie_mask: r.cookie_mask,
        out_port: (r.out_port != OfpPort::NONE).then_some(r.out_port),
        out_group: (r.out_group != u32::MAX).then_some(r.out_group),
    }
}

pub(crate) fn flow_stats(rule: &Rule, now: Now) -> FlowStats {
    let seconds = |since: Instant| Some(u32::try_from(now.mono.since(since).as_secs()).unwrap_or(u32::MAX));
    FlowStats {
        table_id: rule.spec.table,
        priority: rule.spec.priority as u16,
        matcher: rule.spec.matcher,
        cookie: rule.spec.cookie,
        duration: age(now.mono.since(rule.created.mono)),
        idle_timeout: rule.state.idle_timeout(),
        hard_timeout: rule.state.hard_timeout(),
        idle_age: seconds(rule.state.used()),
        hard_age: seconds(rule.modified),
        packet_count: rule.state.packets(),
        byte_count: rule.state.bytes(),
        flags: rule.spec.flags,
        importance: rule.spec.importance,
        actions: rule.spec.actions.to_vec(),
    }
}
