//! Packets that the datapath cannot decide: translated, answered, and their megaflow remembered.
//!
//! Where it sits: called by the datapath's threads, several at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use datapath::{FlowInfo, FlowPut, PutMode, UpcallKind};
use dpif::{Upcall, UpcallHandler, Verdict};
use flow::{FlowKey, Match};
use odp::Ufid;
use odp::cookie::{Controller, Cookie};
use packet::{Instant, Now, PacketBuf};
use xlate::{Credit, Frozen, Memory, Outcome, Request, SideEffects};

use crate::core::{BridgeState, Shared, State, View, ViewMemory, locked};
use crate::revalidate::Megaflow;

/// Most packet-ins waiting for the switch.
const MAX_PACKET_INS: usize = 1000;
/// Most changes of rules waiting for the switch.
const MAX_RULE_CHANGES: usize = 10_000;

/// A packet on its way to controllers.
pub(crate) struct PendingPacketIn {
    pub controller: Controller,
    pub frozen: Arc<Frozen>,
    pub key: FlowKey,
    pub data: Vec<u8>,
}

/// Packets of one flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub packets: u64,
    pub bytes: u64,
    /// When the last of them passed.
    pub used: Instant,
    /// Union of their TCP flags.
    pub tcp_flags: u16,
}

/// FIN and RST: flags that end a connection.
const ENDS: u16 = 0b101;

impl UpcallHandler for Shared {
    fn handle(&self, upcall: &Upcall, now: Now) -> Verdict {
        match &upcall.kind {
            UpcallKind::Miss => self.miss(upcall, now),
            UpcallKind::Action { userdata, .. } => {
                match Cookie::decode(userdata) {
                    Some(Cookie::Controller(controller)) => self.to_controller(upcall, controller),
                    Some(Cookie::SlowPath(_)) => return self.slow(upcall, now),
                    // Samples go to collectors, to which nothing is exported.
                    Some(Cookie::FlowSample(_)) | None => {}
                }
                Verdict::default()
            }
        }
    }

    fn evicted(&self, flow: &FlowInfo) {
        self.push(&self.view(), flow.ufid, &flow.stats);
        locked(&self.megaflows).remove(&flow.ufid);
    }
}

impl Shared {
    /// True if another megaflow may be asked for: the datapath makes room for it, or there is some.
    fn has_room(&self) -> bool {
        let limit = self.flow_limit.load(Relaxed);
        // Of some that made way it is not told: they are forgotten when dumps lack them.
        let most = if self.evicts.load(Relaxed) { limit.saturating_mul(2) } else { limit };
        (locked(&self.megaflows).len() as u64) < most
    }

    fn miss(&self, upcall: &Upcall, now: Now) -> Verdict {
        let view = self.view();
        let generation = view.network.generation;
        let Some(outcome) = self.translate(&view, &upcall.key) else {
            // No bridge has the port: drop, without a megaflow that might outlive the port's coming.
            return Verdict::default();
        };
        let len = upcall.packet.len() as u64;
        let tcp_flags = upcall.key.tcp_flags();
        self.credit(&view, &outcome.credits, Batch { packets: 1, bytes: len, used: now.mono, tcp_flags });
        let megaflow = self.has_room().then(|| self.remember(upcall, &outcome, generation, now));
        Verdict { actions: outcome.actions, megaflow }
    }

    /// A packet whose megaflow, which counts it, leaves the rest to us.
    fn slow(&self, upcall: &Upcall, now: Now) -> Verdict {
        let view = self.view();
        let Some(outcome) = self.translate(&view, &upcall.key) else { return Verdict::default() };
        let tcp_flags = upcall.key.tcp_flags();
        self.credit(&view, &outcome.credits, Batch { packets: 0, bytes: 0, used: now.mono, tcp_flags });
        Verdict { actions: outcome.actions, megaflow: None }
    }

    /// Translates a datapath's key; `None` if no bridge has its port.
    pub(crate) fn translate(&self, view: &View, key: &FlowKey) -> Option<Outcome> {
        self.translate_with(view, &ViewMemory { shared: self, view }, key)
    }

    /// The same with a memory of the caller's.
    pub(crate) fn translate_with(&self, view: &View, memory: &dyn Memory, key: &FlowKey) -> Option<Outcome> {
        let (bridge, key) = view.network.key_from_datapath(key)?;
        Some(xlate::translate(&Request {
            network: &view.network,
            memory,
            bridge,
            key: &key,
            actions: None,
            effects: SideEffects::Allowed,
            trace: false,
        }))
    }

    fn remember(&self, upcall: &Upcall, outcome: &Outcome, generation: u64, now: Now) -> FlowPut {
        let ufid = Ufid(u128::from(self.next_ufid.fetch_add(1, Relaxed)) << 64 | u128::from(now.mono.0));
        let matched = Match::new(&upcall.key, &outcome.wc);
        let actions = outcome.megaflow_actions();
        let megaflow = Megaflow {
            key: upcall.key,
            wc: outcome.wc,
            actions: actions.clone(),
            credits: outcome.credits.clone(),
            frozen: outcome.frozen.clone(),
            generation,
            pushed: (0, 0),
            created: now.mono,
            missing: 0,
            adopted: false,
        };
        locked(&self.megaflows).insert(ufid, megaflow);
        self.wake_if_asleep();
        FlowPut { ufid, matched, actions, mode: PutMode::Create }
    }

    /// Counts packets for everything that a translation hit, and carries out what they teach.
    pub(crate) fn credit(&self, view: &View, credits: &[Credit], batch: Batch) {
        let used = batch.used;
        for credit in credits {
            credit.count(batch.packets, batch.bytes, used);
            match credit {
                Credit::Mac { bridge, vlan, mac, port } => {
                    let fdb = view.fdbs.get(*bridge).and_then(|f| f.write().ok());
                    if fdb.is_some_and(|mut f| f.learn(*vlan, *mac, *port, used)) {
                        self.generation.fetch_add(1, Relaxed);
                    }
                }
                Credit::FinTimeout { .. } if batch.tcp_flags & ENDS == 0 => {}
                Credit::Resolve { .. } | Credit::Neighbour { .. } => {
                    self.neighbour_credit(view, credit, batch.used)
                }
                Credit::Learn { .. } | Credit::FinTimeout { .. } => self.change_rules(view, credit, used),
                _ => {}
            }
        }
    }

    /// Carries out what changes rules: at once if the state is free, else when the switch runs next. The datapath's
    /// threads hold its ports while they are here; who holds the state may be waiting for just those.
    fn change_rules(&self, view: &View, credit: &Credit, used: Instant) {
        let (Credit::Learn { bridge, .. } | Credit::FinTimeout { bridge, .. }) = credit else { return };
        let Some(bridge) = view.network.bridges.get(*bridge) else { return };
        match self.state.try_lock() {
            Ok(mut state) => self.change_rules_now(&mut state, &bridge.name, credit, used),
            Err(_) => {
                let mut waiting = locked(&self.rule_changes);
                if waiting.len() < MAX_RULE_CHANGES {
                    waiting.push_back((bridge.name.clone(), credit.clone(), used));
                    self.wake();
                }
            }
        }
    }

    pub(crate) fn change_rules_now(&self, state: &mut State, bridge: &str, credit: &Credit, used: Instant) {
        let Some(b) = state.bridges.get_mut(bridge) else { return };
        match credit {
            Credit::FinTimeout { rule, idle, hard, .. } => b.ofproto.reduce_timeouts(rule, *idle, *hard),
            Credit::Learn { learned, .. } if learn(b, learned, used) => self.publish(state),
            _ => {}
        }
    }

    fn to_controller(&self, upcall: &Upcall, controller: Controller) {
        let Some(frozen) = locked(&self.recirc).thaw(controller.recirc_id) else { return };
        if controller.dont_send {
            return;
        }
        let mut queue = locked(&self.packet_ins);
        if queue.len() >= MAX_PACKET_INS {
            self.packet_ins_lost.fetch_add(1, Relaxed);
            return;
        }
        let mut data = vec![0; upcall.packet.len()];
        upcall.packet.copy_out(0, &mut data);
        queue.push_back(PendingPacketIn { controller, frozen, key: upcall.key, data });
        drop(queue);
        self.wake();
    }
}

/// Adds or refreshes a learned flow; true if the rules changed. One that is there with the same actions only counts
/// as used.
fn learn(b: &mut BridgeState, learned: &xlate::LearnedFlow, used: Instant) -> bool {
    let fm = &learned.flow_mod;
    let current = b.ofproto.current();
    // Rules have tunnel metadata in the bridge's places.
    let bound = current.options.bound(&fm.matcher).ok().flatten();
    let (matcher, table) = (bound.as_ref().unwrap_or(&fm.matcher), current.table(fm.table_id));
    if let Some(rule) = table.and_then(|t| t.rules.find(matcher, u32::from(fm.priority)))
        && *rule.spec.actions == *fm.actions
        && rule.spec.cookie == fm.new_cookie
    {
        rule.state.credit(0, 0, used);
        return false;
    }
    if learned.limit != 0 {
        let selection = ofproto::RuleSelection {
            table: fm.table_id,
            cookie: fm.new_cookie,
            cookie_mask: u64::MAX,
            ..ofproto::RuleSelection::all()
        };
        if selection.rules(b.ofproto.current()).len() >= learned.limit as usize {
            return false;
        }
    }
    // A flow that the switch refuses is not learned.
    b.ofproto.flow_mod(fm, Now { mono: used, wall_ms: 0 }).is_ok()
}
