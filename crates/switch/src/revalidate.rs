//! Megaflows after their birth: counted for the rules, translated again when anything changed, removed when idle.
//!
//! Where it sits: `vswitchd` calls [`Switch::run_due`] when it said so, and after changes.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use datapath::{Command, FlowInfo, FlowPut, FlowStats, PutMode};
use flow::{FlowKey, Match, Wildcards};
use odp::netlink::key::as_read;
use odp::{Action, Ufid};
use packet::{Instant, Now};
use xlate::Credit;

use crate::adopt::Keep;
use crate::core::{BridgeState, Pass, Shared, Switch, View, locked};
use crate::upcall::Batch;

/// Idle time after which a megaflow goes.
const MAX_IDLE: Duration = Duration::from_secs(10);
/// Dumps that may miss a megaflow before it is forgotten.
const MAX_MISSING: u8 = 4;

/// What the switch knows of a megaflow.
#[derive(Debug)]
pub(crate) struct Megaflow {
    pub key: FlowKey,
    pub wc: Wildcards,
    pub actions: Vec<Action>,
    pub credits: Vec<Credit>,
    pub frozen: Vec<u32>,
    pub generation: u64,
    /// Packets and bytes counted already.
    pub pushed: (u64, u64),
    pub created: Instant,
    pub missing: u8,
    /// It is of an earlier life of the switch.
    pub adopted: bool,
}

/// What is to become of a megaflow.
enum Fate {
    Keep,
    Modify(Vec<Action>),
    Delete,
}

/// Time between two passes over the megaflows.
const REVALIDATE: Duration = Duration::from_millis(500);
/// Time between two looks at addresses that age, while nothing else is to be done.
const AGING: Duration = Duration::from_secs(1);

impl Switch {
    /// Does what is due; returns when to call again, or `None` if nothing will be due until something happens, of which
    /// the waker tells.
    pub fn run_due(&self, now: Now) -> Option<Instant> {
        self.send_requests();
        if self.shared.underlay_mut(|u| u.expire(now.mono)) {
            self.shared.generation.fetch_add(1, Relaxed);
        }
        let generation = self.shared.generation.load(Relaxed);
        let last = *locked(&self.shared.last_pass);
        self.shared.asleep.store(true, Relaxed);
        let busy = self.looks_after();
        if busy.is_some() {
            self.shared.asleep.store(false, Relaxed);
        }
        if generation != last.generation || busy.is_some_and(|period| now.mono >= last.at + period) {
            *locked(&self.shared.last_pass) = Pass { at: now.mono, generation };
            self.run(now);
        } else {
            self.shared.tell_time(now);
            self.carry_out_rule_changes();
            self.deliver_packet_ins();
        }
        let last = *locked(&self.shared.last_pass);
        if self.shared.generation.load(Relaxed) != last.generation {
            // What was learned meanwhile.
            return Some(now.mono);
        }
        busy.map(|period| last.at + period)
    }

    /// How often there is something to look after; `None` without megaflows, timeouts and aging addresses.
    fn looks_after(&self) -> Option<Duration> {
        if !locked(&self.shared.megaflows).is_empty() || self.dpif.stats().flows != 0 {
            return Some(REVALIDATE);
        }
        let state = locked(&self.shared.state);
        if state.bridges.values().any(|b| b.ofproto.has_timeouts()) {
            return Some(REVALIDATE);
        }
        let ages = |b: &BridgeState| b.fdb.read().is_ok_and(|fdb| fdb.ages());
        state.bridges.values().any(ages).then_some(AGING)
    }

    /// Everything, whether it is due or not: statistics, revalidation, timeouts of rules, aging addresses, packet-ins.
    pub fn run(&self, now: Now) {
        self.shared.tell_time(now);
        if !self.shared.paused.load(Relaxed) {
            self.revalidate(now.mono);
        }
        self.carry_out_rule_changes();
        self.expire(now);
        self.deliver_packet_ins();
    }

    /// Counts the datapath's packets for the rules, and brings megaflows up to date.
    pub fn revalidate(&self, now: Instant) {
        let view = self.shared.view();
        let generation = self.shared.generation.load(Relaxed);
        let keep = self.shared.keeping(now);
        let mut seen = HashSet::new();
        let mut flows = Vec::new();
        self.dpif.for_each_flow(&mut |info| flows.push(info));
        self.adopt(&view, &flows, keep, now);
        let mut condemned = Vec::new();
        for info in &flows {
            seen.insert(info.ufid);
            match self.shared.judge(&view, info, generation, now, keep) {
                Fate::Keep => {}
                Fate::Modify(actions) => {
                    let mut put =
                        FlowPut { ufid: info.ufid, matched: info.matched, actions, mode: PutMode::Modify };
                    if self.dpif.apply(Command::PutFlow(&mut put)).is_err() {
                        self.delete(&view, info.ufid);
                    }
                }
                Fate::Delete => condemned.push(info.ufid),
            }
        }
        // Behind those that were changed: packets must not be sent to an id whose megaflows are gone.
        condemned.into_iter().for_each(|ufid| self.delete(&view, ufid));
        let mut megaflows = locked(&self.shared.megaflows);
        megaflows.retain(|ufid, m| {
            m.missing = if seen.contains(ufid) { 0 } else { m.missing + 1 };
            m.missing < MAX_MISSING
        });
        let named: HashSet<u32> = megaflows.values().flat_map(|m| m.frozen.iter().copied()).collect();
        drop(megaflows);
        locked(&self.shared.recirc).sweep(|id| named.contains(&id), now);
    }

    /// Takes over the megaflows of an earlier life: first those of packets that are new, then those behind the
    /// recirculation ids that the former name.
    fn adopt(&self, view: &View, flows: &[FlowInfo], keep: Keep, now: Instant) {
        if keep == Keep::Restoring {
            return;
        }
        let mut unknown: Vec<&FlowInfo> = {
            let megaflows = locked(&self.shared.megaflows);
            flows.iter().filter(|info| !megaflows.contains_key(&info.ufid)).collect()
        };
        let mut left = usize::MAX;
        while unknown.len() < left {
            left = unknown.len();
            unknown.retain(|info| !self.shared.adopt(view, info, now));
        }
    }

    /// Counts the datapath's packets for the rules, and does nothing else.
    pub(crate) fn collect(&self) {
        let view = self.shared.view();
        let mut flows = Vec::new();
        self.dpif.for_each_flow(&mut |info| flows.push(info));
        for info in flows {
            self.shared.push(&view, info.ufid, &info.stats);
        }
    }

    fn delete(&self, view: &View, ufid: Ufid) {
        if let Ok(reply) = self.dpif.apply(Command::DelFlow(ufid))
            && let Some(last) = reply.into_flow()
        {
            self.shared.push(view, ufid, &last.stats);
        }
        locked(&self.shared.megaflows).remove(&ufid);
    }

    /// Removes every megaflow (`revalidator/purge`).
    pub fn purge(&self) {
        let view = self.shared.view();
        let mut ufids = Vec::new();
        self.dpif.for_each_flow(&mut |info| ufids.push(info.ufid));
        ufids.into_iter().for_each(|ufid| self.delete(&view, ufid));
    }

    /// Stops (`revalidator/pause`) or resumes revalidation.
    pub fn set_paused(&self, paused: bool) {
        self.shared.paused.store(paused, Relaxed);
    }

    /// Changes of rules that packets asked for while the state was taken.
    fn carry_out_rule_changes(&self) {
        let waiting: Vec<_> = locked(&self.shared.rule_changes).drain(..).collect();
        if waiting.is_empty() {
            return;
        }
        let mut state = locked(&self.shared.state);
        for (bridge, credit, used) in waiting {
            self.shared.change_rules_now(&mut state, &bridge, &credit, used);
        }
    }

    fn expire(&self, now: Now) {
        let mut state = locked(&self.shared.state);
        let mut changed = false;
        for bridge in state.bridges.values_mut() {
            let gone = bridge.ofproto.expire(now.mono);
            changed |= !gone.is_empty();
            bridge.tell_changes(&gone, None, now);
            if bridge.fdb.write().is_ok_and(|mut f| f.expire(now.mono)) {
                self.shared.generation.fetch_add(1, Relaxed);
            }
        }
        if changed {
            self.shared.publish(&mut state);
        }
    }
}

impl Shared {
    /// Counts what a megaflow carried since the last time.
    pub(crate) fn push(&self, view: &View, ufid: Ufid, stats: &FlowStats) {
        let mut megaflows = locked(&self.megaflows);
        let Some(m) = megaflows.get_mut(&ufid) else { return };
        let packets = stats.packets.saturating_sub(m.pushed.0);
        let bytes = stats.bytes.saturating_sub(m.pushed.1);
        m.pushed = (stats.packets, stats.bytes);
        if packets == 0 {
            return;
        }
        let credits = m.credits.clone();
        drop(megaflows);
        let used = Instant::from_millis(stats.used_ms);
        self.credit(view, &credits, Batch { packets, bytes, used, tcp_flags: stats.tcp_flags });
    }

    fn judge(&self, view: &View, info: &FlowInfo, generation: u64, now: Instant, keep: Keep) -> Fate {
        self.push(view, info.ufid, &info.stats);
        let (key, wc, current, adopted) = {
            let megaflows = locked(&self.megaflows);
            // Nobody understands it: of an earlier life, or made by hand.
            let unknown = if keep == Keep::No { Fate::Delete } else { Fate::Keep };
            let Some(m) = megaflows.get(&info.ufid) else { return unknown };
            let used = Instant::from_millis(info.stats.used_ms).max(m.created);
            if keep != Keep::Restoring && now.since(used) >= MAX_IDLE {
                return Fate::Delete;
            }
            (m.key, m.wc, m.generation == generation, m.adopted)
        };
        let kept = adopted && keep != Keep::No;
        if current {
            return Fate::Keep;
        }
        let Some(outcome) = self.translate(view, &key) else {
            return if kept { Fate::Keep } else { Fate::Delete };
        };
        if kept {
            if let Some(m) = locked(&self.megaflows).get_mut(&info.ufid) {
                (m.generation, m.credits, m.frozen) = (generation, outcome.credits, outcome.frozen);
            }
            return Fate::Keep;
        }
        // A megaflow that matches more than it may would answer for packets that now differ. Of one that was adopted is known
        // what the datapath has read of its mask.
        let read = adopted.then(|| as_read(&Match::new(&key, &outcome.wc)).ok()).flatten();
        if !wc.covers(read.as_ref().map_or(&outcome.wc, |m| &m.wc)) {
            return Fate::Delete;
        }
        let actions = outcome.megaflow_actions();
        let mut megaflows = locked(&self.megaflows);
        let Some(m) = megaflows.get_mut(&info.ufid) else { return Fate::Delete };
        m.generation = generation;
        m.credits = outcome.credits;
        m.frozen = outcome.frozen;
        if m.actions == actions {
            return Fate::Keep;
        }
        m.actions.clone_from(&actions);
        Fate::Modify(actions)
    }
}
