//! The frame of a translation: where it starts, how tables are looked up, what comes out.
//!
//! Where it sits: the entry of the crate. Actions are in `act.rs`.

use std::sync::Arc;

use flow::{FlowKey, Frag, Wildcards, slot, tun_metadata};
use odp::cookie::{Cookie, SlowPath};
use ofproto::{Rule, TableMiss};
use openflow::{Action, Bits, OfpPort, actions, matches};

use crate::encap::Pending;
use crate::freeze::{Frozen, FrozenTable, clear_metadata};
use crate::resume::Interruption;
use crate::{Bridge, Credit, Memory, Network, NodeKind, Trace};

/// Deepest nesting of tables, groups and bridges.
const MAX_DEPTH: u32 = 64;
/// Most lookups by resubmit in one translation.
const MAX_RESUBMITS: u32 = 64 * 64;

/// Why a packet is dropped whatever its rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XlateError {
    /// The datapath's port, or the bridge, is gone.
    NoBridge,
    /// Nested too deeply.
    RecursionTooDeep,
    /// Too many lookups.
    TooManyResubmits,
    /// The stack is too deep.
    StackTooDeep,
    /// The recirculation id means nothing.
    NoRecirculationContext,
    /// No recirculation id is left.
    NoRecirculationIds,
    /// An action that this switch does not carry out.
    UnsupportedAction,
    /// A congestion mark on a packet that cannot carry it.
    Congestion,
    /// More labels than a key has.
    TooManyMplsLabels,
    /// A header put before or taken from a packet that it does not fit.
    UnsupportedPacketType,
}

impl XlateError {
    /// Its words in a trace.
    pub const fn text(self) -> &'static str {
        match self {
            XlateError::NoBridge => "Bridge not found",
            XlateError::RecursionTooDeep => "Recursion too deep",
            XlateError::TooManyResubmits => "Too many resubmits",
            XlateError::StackTooDeep => "Stack too deep",
            XlateError::NoRecirculationContext => "No recirculation context",
            XlateError::NoRecirculationIds => "Recirculation conflict",
            XlateError::Congestion => "Congestion experienced",
            XlateError::UnsupportedAction => "Unsupported action",
            XlateError::TooManyMplsLabels => "Too many MPLS labels",
            XlateError::UnsupportedPacketType => "Unsupported packet type",
        }
    }

    /// Its number in a `drop` action, by which the datapath counts (`enum xlate_error`).
    pub const fn code(self) -> u32 {
        match self {
            XlateError::NoBridge => 1,
            XlateError::RecursionTooDeep => 2,
            XlateError::TooManyResubmits => 3,
            XlateError::StackTooDeep => 4,
            XlateError::NoRecirculationContext => 5,
            XlateError::NoRecirculationIds => 6,
            XlateError::TooManyMplsLabels => 7,
            XlateError::UnsupportedAction | XlateError::UnsupportedPacketType => 9,
            XlateError::Congestion => 10,
        }
    }
}

/// Whether a translation may have consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideEffects {
    /// It is for a packet, or to count packets.
    Allowed,
    /// It is a trace: nothing is learned, no controller is told.
    Suppressed,
}

/// What is to be translated.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The switch.
    pub network: &'a Network,
    /// Its memory.
    pub memory: &'a dyn Memory,
    /// The bridge where the packet is, an index into the network's.
    pub bridge: usize,
    /// The packet, `in_port` being OpenFlow's.
    pub key: &'a FlowKey,
    /// Actions to carry out in place of looking up table 0 (packet-out).
    pub actions: Option<&'a [Action]>,
    /// Whether it has consequences.
    pub effects: SideEffects,
    /// A trace is wanted.
    pub trace: bool,
}

/// A copy of the packet that the connection tracker sends round again.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The recirculation id.
    pub id: u32,
    /// The packet as it was.
    pub flow: FlowKey,
    /// The tracker's zone.
    pub zone: u16,
    /// The translation that was asked for.
    pub nat: Option<odp::Nat>,
}

/// What became of a packet.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// For the datapath.
    pub actions: Vec<odp::Action>,
    /// Every bit of the key that mattered.
    pub wc: Wildcards,
    /// What packets like it count for.
    pub credits: Vec<Credit>,
    /// Why the datapath cannot do it alone.
    pub slow: SlowPath,
    /// Why it is dropped.
    pub error: Option<XlateError>,
    /// Ids of states that the actions name.
    pub frozen: Vec<u32>,
    /// Copies that go round again.
    pub forks: Vec<Fork>,
    /// The packet as it was at the end.
    pub flow: FlowKey,
    /// What happened.
    pub trace: Option<Trace>,
}

impl Outcome {
    /// What packets like it are to meet in the datapath: the actions, or the way to user space.
    pub fn megaflow_actions(&self) -> Vec<odp::Action> {
        if self.slow == SlowPath::default() || self.error.is_some() {
            return self.actions.clone();
        }
        let userdata = Cookie::SlowPath(self.slow).encode();
        vec![odp::Action::Userspace(Box::new(odp::Userspace { userdata, ..odp::Userspace::default() }))]
    }
}

/// A translation under way.
pub(crate) struct Xlate<'a> {
    pub network: &'a Network,
    pub memory: &'a dyn Memory,
    pub effects: SideEffects,
    pub bridge_index: usize,
    pub bridge: &'a Bridge,
    /// The packet as rules see it.
    pub flow: FlowKey,
    /// The packet as the datapath has it.
    pub base: FlowKey,
    /// The packet as it came.
    pub packet: &'a FlowKey,
    /// What was looked at of its tunnel options, in bridges that are done with.
    pub options: Wildcards,
    pub out: Outcome,
    pub rule: Option<Arc<Rule>>,
    /// The cookie of the rule, or all-ones without one.
    pub cookie: u64,
    pub table: u8,
    pub stack: Vec<Bits>,
    pub action_set: Vec<Action>,
    pub conntracked: bool,
    /// A label was popped, and what lies under it is not known.
    pub under_label: bool,
    /// A header that the datapath does not know of yet.
    pub pending: Option<Pending>,
    /// Nothing follows the action that is carried out.
    pub last: bool,
    /// Stop carrying out actions.
    pub exit: bool,
    pub interruption: Option<Interruption>,
    depth: u32,
    resubmits: u32,
}

/// Translates a packet.
pub fn translate(request: &Request<'_>) -> Outcome {
    let Some(bridge) = request.network.bridges.get(request.bridge) else {
        return Outcome { error: Some(XlateError::NoBridge), ..Outcome::default() };
    };
    let mut x = Xlate {
        network: request.network,
        memory: request.memory,
        effects: request.effects,
        bridge_index: request.bridge,
        bridge,
        flow: *request.key,
        base: *request.key,
        packet: request.key,
        options: Wildcards::NONE,
        out: Outcome { trace: request.trace.then(Trace::default), ..Outcome::default() },
        rule: None,
        cookie: u64::MAX,
        table: 0,
        stack: Vec::new(),
        action_set: Vec::new(),
        conntracked: request.key.recirc_id() != 0,
        under_label: false,
        pending: None,
        last: false,
        exit: false,
        interruption: None,
        depth: 0,
        resubmits: 0,
    };
    x.out.wc = always_matched(request.key);
    crate::tunnel::received(request.key, &mut x.out.wc);
    x.run(request);
    x.finish(request.key)
}

/// Bits that every megaflow matches.
fn always_matched(key: &FlowKey) -> Wildcards {
    let mut wc = Wildcards::NONE;
    for s in [slot::recirc_id, slot::in_port, slot::packet_type, slot::eth_type] {
        wc.unwildcard(s);
    }
    // Presence of a tag is part of what the Ethernet type says.
    wc.set(slot::vlan_tci.part(12, 1), 1);
    if key.vlan_tci() != 0 {
        wc.unwildcard(slot::vlan_tpid);
    }
    if matches!(key.eth_type(), wire::eth::TYPE_IPV4 | wire::eth::TYPE_IPV6) {
        wc.set_nw_frag(Frag::ANY | Frag::LATER);
    }
    wc
}

impl<'a> Xlate<'a> {
    fn run(&mut self, request: &Request<'a>) {
        let frozen = match request.key.recirc_id() {
            0 => None,
            id => match self.memory.thaw(id) {
                Some(frozen) => Some(frozen),
                None => return self.fail(XlateError::NoRecirculationContext),
            },
        };
        if let Some(frozen) = &frozen
            && let Some((index, bridge)) = request.network.bridge(&frozen.bridge)
        {
            (self.bridge_index, self.bridge) = (index, bridge);
        } else if frozen.is_none() {
            clear_metadata_unless_given(&mut self.flow);
        }
        self.bridge.rules.options.open(&mut self.flow);
        self.bridge.rules.options.open(&mut self.base);
        self.enter(NodeKind::Bridge, || format!("bridge(\"{}\")", self_name(request, frozen.as_deref())));
        match (&frozen, request.actions) {
            (Some(frozen), _) => self.resume(frozen),
            (None, Some(list)) => self.actions(list, true),
            (None, None) => {
                let in_port = OfpPort(self.flow.in_port());
                let refused = self.bridge.ports.get(&in_port).is_some_and(|p| p.no_receive);
                if !refused && !self.process_ecn() {
                    self.refuse_congested();
                } else if !refused {
                    self.table(0, in_port, true);
                }
            }
        }
        if self.interruption.is_none() && !self.action_set.is_empty() && self.out.error.is_none() {
            self.run_action_set();
        }
        self.finish_interruption();
        self.leave();
    }

    fn resume(&mut self, frozen: &Frozen) {
        frozen.restore(&mut self.flow);
        self.stack.clone_from(&frozen.stack);
        self.action_set.clone_from(&frozen.action_set);
        self.conntracked = frozen.conntracked;
        self.enter(NodeKind::Thaw, || "thaw".into());
        match frozen.table {
            FrozenTable::Table(table) => {
                self.note(NodeKind::Text, || format!("Resuming from table {table}"));
                self.leave();
                self.table(table, frozen.in_port(), true);
            }
            FrozenTable::Actions => {
                self.note(NodeKind::Text, || format!("Resuming from table {}", frozen.rule_table));
                let text = self.remaining_text(&frozen.frames);
                self.note(NodeKind::Text, || format!("Restoring actions: {text}"));
                self.leave();
                self.run_remaining(&frozen.frames);
            }
        }
    }

    fn finish(mut self, key: &FlowKey) -> Outcome {
        if let Some(error) = self.out.error {
            self.out.actions = vec![odp::Action::Drop(error.code())];
        }
        self.end_in_drop_if_sampled();
        let wc = &mut self.out.wc;
        // A packet that is only told of has its options as fields.
        if tun_metadata::places(key).next().is_none() || key.tun_opts_len() != 0 {
            self.bridge.rules.options.close(key, wc);
        }
        wc.fold(&self.options);
        crate::tunnel::forget(key, wc);
        // Registers and the like start from known values: they are no part of a megaflow.
        clear_metadata(wc);
        wc.set_actset_output(0);
        wc.set_in_port(u32::MAX);
        // A frame without tag is one case, not one for each bit of a tag.
        if key.vlan_tci() == 0 {
            wc.set_vlan_tci(u16::MAX);
            wc.set_vlan_tpid(u16::MAX);
        }
        // Headers that only rules put on are no part of it either.
        if !wire::eth::is_mpls(key.eth_type()) {
            crate::encap::LABELS.iter().for_each(|s| wc.set(*s, 0));
        }
        if key.eth_type() != wire::eth::TYPE_NSH {
            slot::NSH.iter().for_each(|s| wc.set(*s, 0));
        }
        if wc.vlan_tci() != 0 {
            let tci = wc.vlan_tci() | wire::eth::VLAN_CFI;
            wc.set_vlan_tci(tci);
        }
        if wc.vlan2_tci() != 0 {
            wc.set_vlan2_tci(u16::MAX);
        }
        self.flow.set_recirc_id(key.recirc_id());
        self.flow.set_actset_output(key.actset_output());
        self.out.flow = self.flow;
        self.out
    }

    pub(crate) fn fail(&mut self, error: XlateError) {
        self.out.error.get_or_insert(error);
        self.exit = true;
    }

    pub(crate) fn note(&mut self, kind: NodeKind, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.out.trace {
            trace.add(kind, text());
        }
    }

    pub(crate) fn enter(&mut self, kind: NodeKind, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.out.trace {
            trace.enter(kind, text());
        }
    }

    pub(crate) fn leave(&mut self) {
        if let Some(trace) = &mut self.out.trace {
            trace.leave();
        }
    }

    /// Looks up `table` as if the packet came in by `in_port`, and carries out what is found. `last`: nothing follows.
    pub(crate) fn table(&mut self, table: u8, in_port: OfpPort, last: bool) {
        // Only a way back, or round, is a level: forward it ends by itself.
        let deeper = u32::from(self.rule.is_some() && table <= self.table);
        if !self.may_nest() {
            return;
        }
        self.depth = self.depth - 1 + deeper;
        let (own_port, own_table) = (self.flow.in_port(), self.table);
        self.table = table;
        let bridge = self.bridge;
        let mut at = table;
        loop {
            // Only the search is made as if the packet had come in elsewhere.
            self.flow.set_in_port(in_port.0);
            let found = bridge.rules.lookup(at, &self.flow, &mut self.out.wc);
            self.flow.set_in_port(own_port);
            let Some(t) = bridge.rules.table(at) else { break };
            self.table = at;
            if let Some(found) = found {
                self.out.credits.push(Credit::TableHit(t.counters.clone()));
                self.rule_found(&found, at, last);
                break;
            }
            self.out.credits.push(Credit::TableMiss(t.counters.clone()));
            self.enter(NodeKind::Table, || format!("{at:2}. No match."));
            match t.miss {
                TableMiss::Continue if at + 1 < ofproto::N_VISIBLE_TABLES => {
                    self.leave();
                    at += 1;
                    continue;
                }
                TableMiss::Controller => self.miss_to_controller(),
                TableMiss::Default if bridge.miss_to_controller => self.miss_to_controller(),
                TableMiss::Default | TableMiss::Drop | TableMiss::Continue => {
                    self.note(NodeKind::Action, || "drop".into());
                }
            }
            self.leave();
            break;
        }
        self.table = own_table;
        self.depth -= deeper;
    }

    /// Counts a level of nesting in; false, and an error, if there are too many.
    pub(crate) fn may_nest(&mut self) -> bool {
        if self.depth >= MAX_DEPTH {
            self.note(NodeKind::Error, || format!("over max translation depth {MAX_DEPTH}"));
            self.fail(XlateError::RecursionTooDeep);
            return false;
        }
        if self.resubmits >= MAX_RESUBMITS {
            self.note(NodeKind::Error, || format!("over {MAX_RESUBMITS} resubmit actions"));
            self.fail(XlateError::TooManyResubmits);
            return false;
        }
        self.depth += 1;
        self.resubmits += 1;
        true
    }

    pub(crate) fn end_nest(&mut self) {
        self.depth -= 1;
    }

    fn rule_found(&mut self, found: &ofproto::Found<'_>, table: u8, last: bool) {
        let rule = found.rule.clone();
        let bridge = self.bridge;
        if let Some(conj) = found.conj {
            self.note(NodeKind::Detail, || format!("conj_id={conj}"));
        }
        self.enter(NodeKind::Table, || rule_text(&rule, table, &bridge.names));
        for part in &found.conj_rules {
            self.note(NodeKind::Detail, || {
                let text = matches::format(&part.spec.matcher, part.spec.priority as u16, &bridge.names);
                format!("conj. {text}")
            });
        }
        self.out.credits.push(Credit::Rule(rule.clone()));
        let above = (self.rule.replace(rule.clone()), self.cookie);
        self.cookie = rule.spec.cookie;
        self.actions(&rule.spec.actions, last);
        (self.rule, self.cookie) = above;
        self.leave();
    }

    fn miss_to_controller(&mut self) {
        let action = actions::Controller {
            max_len: u16::MAX,
            controller_id: 0,
            reason: actions::PacketInReason::ImplicitMiss,
            userdata: Vec::new(),
            pause: false,
            meter_id: 0,
            extended: false,
        };
        self.note(NodeKind::Action, || "CONTROLLER:65535".into());
        self.controller(&action);
    }
}

fn self_name<'s>(request: &'s Request<'_>, frozen: Option<&'s Frozen>) -> &'s str {
    match frozen {
        Some(f) => &f.bridge,
        None => request.network.bridges.get(request.bridge).map_or("", |b| &b.name),
    }
}

/// Packets start without an output in their action set; registers are kept, as packet-outs and traces may give them.
fn clear_metadata_unless_given(key: &mut FlowKey) {
    if key.actset_output() == 0 {
        key.set_actset_output(OfpPort::UNSET.0);
    }
}

fn rule_text(rule: &Rule, table: u8, names: &openflow::Names) -> String {
    let spec = &rule.spec;
    let mut text = format!("{table:2}. ");
    let matched = matches::format(&spec.matcher, 0x8000, names);
    if !matched.is_empty() {
        text += &format!("{matched}, ");
    }
    text += &format!("priority {}", spec.priority);
    if spec.cookie != 0 {
        text += &format!(", cookie {:#x}", spec.cookie);
    }
    text
}
