//! Timeouts of rules, in the caller's time.
//!
//! Where it sits: `switch` credits the datapath's counters to rules, then asks which rules ran out.

use std::sync::Arc;
use std::time::Duration;

use packet::Instant;

use crate::{FlowChange, Ofproto, RemovedReason, Rule};

impl Ofproto {
    /// True if any rule has a timeout.
    pub fn has_timeouts(&self) -> bool {
        !self.mortal.is_empty()
    }

    /// Removes every rule whose timeout ran out, and says which.
    pub fn expire(&mut self, now: Instant) -> Vec<FlowChange> {
        let mut due: Vec<(Arc<Rule>, RemovedReason)> =
            self.mortal.values().filter_map(|r| Some((r.clone(), expired(r, now)?))).collect();
        due.sort_by_key(|(r, _)| r.id);
        due.into_iter().map(|(rule, reason)| self.remove_rule(&rule, reason)).collect()
    }

    /// Puts a rule under the watch of [`Ofproto::expire`] if it has a timeout.
    pub(crate) fn watch_timeouts(&mut self, rule: &Arc<Rule>) {
        let can_time_out = rule.state.idle_timeout() != 0 || rule.state.hard_timeout() != 0;
        if can_time_out {
            self.mortal.insert(rule.id, rule.clone());
        } else {
            self.mortal.remove(&rule.id);
        }
    }

    /// Shortens a rule's timeouts (`fin_timeout`). Nothing happens if the rule is gone.
    pub fn reduce_timeouts(&mut self, rule: &Arc<Rule>, idle: u16, hard: u16) {
        rule.state.reduce_timeouts(idle, hard);
        let in_table = self
            .current
            .table(rule.spec.table)
            .and_then(|t| t.rules.find(&rule.spec.matcher, rule.spec.priority))
            .filter(|r| r.id == rule.id)
            .cloned();
        if let Some(rule) = in_table {
            self.watch_timeouts(&rule);
        }
    }
}

fn expired(rule: &Rule, now: Instant) -> Option<RemovedReason> {
    let over = |timeout: u16, since: Instant| {
        timeout != 0 && now.since(since) >= Duration::from_secs(u64::from(timeout))
    };
    if over(rule.state.hard_timeout(), rule.modified) {
        Some(RemovedReason::HardTimeout)
    } else if over(rule.state.idle_timeout(), rule.state.used()) {
        Some(RemovedReason::IdleTimeout)
    } else {
        None
    }
}
