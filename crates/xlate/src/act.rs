//! Carrying out actions, one after the other.
//!
//! Where it sits: the heart of translation. A list of actions is a rule's, a group bucket's, a clone's, the action
//! set's.
//!
//! Every action that reads or writes a field makes the bits significant; so a set action may be left out where the
//! packet has the value already.

use flow::{FlowKey, Match, slot};
use odp::cookie::SlowPath;
use odp::{Action as OdpAction, CtAction};
use openflow::actions::{Ct, CtZone, Nat, NatAddrs, NatKind, PacketInReason};
use openflow::{Action, Bits, OfpPort, Subfield, actions, field};
use wire::eth::{self, VLAN_CFI};
use wire::ip;

use crate::freeze::FrozenTable;
use crate::learn::{self, look_at, read};
use crate::resume::Why;
use crate::translate::{Fork, SideEffects, Xlate, XlateError};
use crate::{Credit, LearnedFlow, NodeKind};

const TCP: u8 = 6;
/// Deepest stack.
const MAX_STACK: usize = 4096;

impl Xlate<'_> {
    /// Carries out a list. `last`: nothing follows it.
    pub(crate) fn actions(&mut self, list: &[Action], last: bool) {
        if list.is_empty() {
            return self.note(NodeKind::Action, || "drop".into());
        }
        let names = &self.bridge.names;
        for (i, action) in list.iter().enumerate() {
            if self.must_see_inside(action) {
                self.interrupt(Why::UnderLabel);
                return self.note_remaining(list, i);
            }
            self.note(NodeKind::Action, || actions::format(std::slice::from_ref(action), names));
            if let Action::CheckPktLarger(a) = action {
                return self.check_pkt_larger(a, list.get(i + 1..).unwrap_or_default(), last);
            }
            self.action(action, last && i + 1 == list.len());
            if self.exit {
                return self.note_remaining(list, i);
            }
        }
    }

    fn action(&mut self, action: &Action, last: bool) {
        self.last = last;
        match action {
            Action::Output(a) => self.output(a.port, a.max_len),
            Action::OutputReg(a) => {
                look_at(a.src, &self.flow, &mut self.out.wc);
                let value = read(a.src, &self.flow);
                if let Some(port) = value.narrow().and_then(|n| u16::try_from(n).ok()) {
                    self.note(NodeKind::Detail, || format!("output port is {port}"));
                    self.output(OfpPort::from_of10(port), a.max_len);
                }
            }
            Action::OutputTrunc(a) => self.output_truncated(a.port, a.max_len),
            Action::Controller(a) if a.pause => self.interrupt(Why::Pause(Box::new(a.clone()))),
            Action::Controller(a) => self.controller(a),
            Action::Enqueue(a) => self.enqueue(a.port, a.queue),
            Action::Group(a) => self.group(a.0, last),
            Action::SetField(a) => self.set_field(a.field, &a.value, &a.mask),
            Action::DeleteField(a) => {
                self.set_whole(a.0, 0_u8);
                if let Some(n) = a.0.option() {
                    flow::tun_metadata::set_present(&mut self.flow, n, false);
                }
            }
            Action::Move(a) => {
                look_at(a.src, &self.flow, &mut self.out.wc);
                let value = read(a.src, &self.flow);
                self.store(a.dst, &value);
            }
            Action::StackPush(a) => {
                look_at(a.0, &self.flow, &mut self.out.wc);
                let value = read(a.0, &self.flow);
                if self.stack.len() >= MAX_STACK {
                    return self.fail(XlateError::StackTooDeep);
                }
                self.stack.push(value);
            }
            Action::StackPop(a) => match self.stack.pop() {
                Some(value) => self.store(a.0, &value),
                None => self.note(NodeKind::Error, || "stack underflow".into()),
            },
            Action::Resubmit(a) => {
                let port =
                    if a.in_port == OfpPort::IN_PORT { OfpPort(self.flow.in_port()) } else { a.in_port };
                let table = if a.table == 255 { self.table } else { a.table };
                if a.with_ct {
                    self.resubmit_original(table, port, last)
                } else {
                    self.table(table, port, last)
                }
            }
            Action::GotoTable(a) => self.table(a.0, OfpPort(self.flow.in_port()), last),
            Action::WriteMetadata(a) => {
                self.set_field(flow::Field::Metadata, &a.metadata.into(), &a.mask.into());
            }
            Action::WriteActions(a) => self.write_actions(&a.0),
            Action::ClearActions(_) => self.clear_actions(),
            Action::CloneActions(a) => self.cloned(|x| x.actions(&a.0, false)),
            Action::Exit(_) => self.exit = true,
            Action::Ct(ct) => self.ct(ct),
            Action::CtClear(_) if self.conntracked => {
                self.out.actions.push(OdpAction::CtClear);
                self.clear_conntrack();
            }
            Action::Learn(a) => self.learn(a),
            Action::FinTimeout(a) => self.fin_timeout(a.idle, a.hard),
            Action::Multipath(a) => self.multipath(a),
            Action::Bundle(a) => self.bundle(a),
            Action::Meter(a) => {
                if let Some(meter) = self.bridge.rules.meter(a.0) {
                    self.out.actions.push(OdpAction::Meter(meter.datapath_id));
                }
            }
            Action::Sample(a) => self.sample(a),
            Action::DebugRecirc(_) => self.interrupt(Why::Asked),
            Action::DebugSlow(_) => self.out.slow.0 |= SlowPath::ACTION,
            // Part of what was done already, or without effect here.
            Action::Nat(_) | Action::Note(_) | Action::Conjunction(_) | Action::CtClear(_) => {}
            _ => self.header_action(action),
        }
    }

    fn header_action(&mut self, action: &Action) {
        use flow::Field;
        let is_ip = matches!(self.flow.eth_type(), eth::TYPE_IPV4 | eth::TYPE_IPV6);
        match action {
            Action::SetVlanVid(a) if self.flow.vlan_tci() != 0 || a.push_vlan_if_needed => {
                self.out.wc.unwildcard(slot::vlan_tci);
                let pcp = self.flow.vlan_tci() & 0xe000;
                self.set_tag(pcp | a.vid | VLAN_CFI);
            }
            Action::SetVlanPcp(a) if self.flow.vlan_tci() != 0 || a.push_vlan_if_needed => {
                self.out.wc.unwildcard(slot::vlan_tci);
                let vid = self.flow.vlan_tci() & 0x0fff;
                self.set_tag(vid | u16::from(a.pcp) << 13 | VLAN_CFI);
            }
            Action::StripVlan(_) => self.pop_vlan(),
            Action::PushVlan(tpid) => self.push_vlan(tpid.0),
            Action::SetEthSrc(a) => self.set_whole(Field::EthSrc, a.0.to_u64()),
            Action::SetEthDst(a) => self.set_whole(Field::EthDst, a.0.to_u64()),
            Action::SetIpv4Src(a) => self.set_whole(Field::IpSrc, a.0),
            Action::SetIpv4Dst(a) => self.set_whole(Field::IpDst, a.0),
            Action::SetIpDscp(a) if is_ip => self.set_whole(Field::NwTos, a.0),
            Action::SetIpEcn(a) if is_ip => self.set_whole(Field::NwEcn, a.0),
            Action::SetIpTtl(a) if is_ip => self.set_whole(Field::NwTtl, a.0),
            Action::SetTpSrc(a) => self.set_port(slot::tp_src, a.port),
            Action::SetTpDst(a) => self.set_port(slot::tp_dst, a.port),
            Action::SetTunnel(a) => self.set_whole(Field::TunId, a.id),
            Action::SetQueue(a) => self.flow.set_skb_priority(a.0),
            Action::PopQueue(_) => {
                self.flow.set_skb_priority(0);
                self.note(NodeKind::Detail, || "queue = 0".into());
            }
            Action::DecTtl(a) if is_ip => self.dec_ttl(&a.ids),
            Action::PushMpls(a) => self.push_mpls(a.0),
            Action::PopMpls(a) => self.pop_mpls(a.0),
            Action::SetMplsLabel(a) => self.set_label_field(Field::MplsLabel, a.0),
            Action::SetMplsTc(a) => self.set_label_field(Field::MplsTc, a.0.into()),
            Action::SetMplsTtl(a) => self.set_label_field(Field::MplsTtl, a.0.into()),
            Action::DecMplsTtl(_) => self.dec_mpls_ttl(),
            Action::Encap(a) => self.encap(a),
            Action::Decap(_) => self.decap(),
            Action::DecNshTtl(_) => self.dec_nsh_ttl(),
            Action::SetVlanVid(_)
            | Action::SetVlanPcp(_)
            | Action::SetIpDscp(_)
            | Action::SetIpEcn(_)
            | Action::SetIpTtl(_)
            | Action::DecTtl(_) => {}
            _ => self.fail(XlateError::UnsupportedAction),
        }
    }

    fn set_port(&mut self, port: flow::Slot, value: u16) {
        self.out.wc.unwildcard(slot::nw_proto);
        let has_ports = matches!(self.flow.eth_type(), eth::TYPE_IPV4 | eth::TYPE_IPV6)
            && matches!(self.flow.nw_proto(), 6 | 17 | 132)
            && self.flow.nw_frag() & flow::Frag::LATER == 0;
        if has_ports {
            self.out.wc.unwildcard(port);
            self.flow.set(port, u128::from(value));
        }
    }

    /// Stores bits in a field that the packet has.
    pub(crate) fn set_field(&mut self, f: flow::Field, value: &Bits, mask: &Bits) {
        let def = f.def();
        let mask = mask & &field::full_mask(f);
        // Prerequisites of fields of the packet are looked at here: the match need not have them all (VLAN, ND).
        self.look_at_prerequisites(def.prereq);
        let asks = !matches!(def.prereq, flow::Prereq::None | flow::Prereq::VlanVid);
        if asks && !field::prereqs_ok(f, &exact(&self.flow)) {
            return;
        }
        field::look_at(f, &self.flow, &mask, &mut self.out.wc);
        if matches!(
            f,
            flow::Field::DlVlan | flow::Field::VlanVid | flow::Field::DlVlanPcp | flow::Field::VlanPcp
        ) {
            self.out.wc.unwildcard(slot::vlan_tci);
            if self.flow.vlan_tpid() == 0 {
                self.flow.set_vlan_tpid(eth::TYPE_VLAN);
            }
        }
        let value = field::get(f, &self.flow).with(value, &mask);
        field::set(f, &mut self.flow, value);
    }

    /// Stores the whole of a field that the packet has.
    pub(crate) fn set_whole(&mut self, f: flow::Field, value: impl Into<Bits>) {
        self.set_field(f, &value.into(), &field::full_mask(f));
    }

    fn look_at_prerequisites(&mut self, prereq: flow::Prereq) {
        use flow::Prereq as P;
        let wc = &mut self.out.wc;
        match prereq {
            P::Ipv4 | P::Ipv6 | P::Ip | P::Tcp | P::Udp | P::Sctp | P::Icmpv4 | P::Icmpv6 | P::Arp => {
                wc.unwildcard(slot::nw_proto);
            }
            P::Nd | P::NdSolicit | P::NdAdvert => {
                for s in [slot::nw_proto, slot::tp_src, slot::tp_dst] {
                    wc.unwildcard(s);
                }
            }
            P::VlanVid => wc.unwildcard(slot::vlan_tci),
            P::None | P::Ethernet | P::Mpls | P::Nsh | P::Ct => {}
        }
    }

    pub(crate) fn write(&mut self, dst: Subfield, value: &Bits) {
        self.set_field(dst.field, &dst.place(value), &dst.mask());
    }

    fn set_tag(&mut self, tci: u16) {
        if self.flow.vlan_tpid() == 0 {
            self.flow.set_vlan_tpid(eth::TYPE_VLAN);
        }
        self.flow.set_vlan_tci(tci);
    }

    fn push_vlan(&mut self, tpid: u16) {
        self.out.wc.unwildcard(slot::vlan_tci);
        self.out.wc.unwildcard(slot::vlan_tpid);
        let (inner_tci, inner_tpid) = (self.flow.vlan_tci(), self.flow.vlan_tpid());
        self.flow.set_vlan2_tci(inner_tci);
        self.flow.set_vlan2_tpid(inner_tpid);
        self.flow.set_vlan_tpid(tpid);
        self.flow.set_vlan_tci(VLAN_CFI);
    }

    fn pop_vlan(&mut self) {
        for s in [slot::vlan_tci, slot::vlan_tpid] {
            self.out.wc.unwildcard(s);
        }
        if self.flow.vlan_tci() == 0 {
            return;
        }
        for s in [slot::vlan2_tci, slot::vlan2_tpid] {
            self.out.wc.unwildcard(s);
        }
        self.flow.set_vlan_tci(self.flow.vlan2_tci());
        self.flow.set_vlan_tpid(self.flow.vlan2_tpid());
        self.flow.set_vlan2_tci(0);
        self.flow.set_vlan2_tpid(0);
    }

    fn dec_ttl(&mut self, ids: &[u16]) {
        self.out.wc.unwildcard(slot::nw_ttl);
        self.out.wc.unwildcard(slot::nw_proto);
        let ttl = self.flow.nw_ttl();
        if ttl > 1 {
            return self.flow.set_nw_ttl(ttl - 1);
        }
        ids.iter().for_each(|id| self.invalid_ttl(*id));
        self.exit = true;
    }

    /// Tells a controller of a TTL that is at its end.
    pub(crate) fn invalid_ttl(&mut self, controller_id: u16) {
        self.controller(&actions::Controller {
            max_len: u16::MAX,
            controller_id,
            reason: PacketInReason::InvalidTtl,
            userdata: Vec::new(),
            pause: false,
            meter_id: 0,
            extended: false,
        });
    }

    /// `resubmit(,table,ct)`: addresses and ports are those of the connection's original direction while looking up.
    fn resubmit_original(&mut self, table: u8, port: OfpPort, last: bool) {
        self.out.wc.unwildcard(slot::ct_state);
        if self.flow.ct_state() & flow::ct_state::TRK == 0 || self.flow.ct_nw_proto() == 0 {
            return self.table(table, port, last);
        }
        let pairs = [
            (slot::ct_nw_proto, slot::nw_proto),
            (slot::ct_nw_src, slot::nw_src),
            (slot::ct_nw_dst, slot::nw_dst),
            (slot::ct_ipv6_src, slot::ipv6_src),
            (slot::ct_ipv6_dst, slot::ipv6_dst),
            (slot::ct_tp_src, slot::tp_src),
            (slot::ct_tp_dst, slot::tp_dst),
        ];
        let own: Vec<u128> = pairs.iter().map(|(_, s)| self.flow.get(*s)).collect();
        for (from, to) in pairs {
            self.out.wc.unwildcard(from);
            self.flow.set(to, self.flow.get(from));
        }
        self.table(table, port, last);
        for ((_, to), value) in pairs.iter().zip(own) {
            self.flow.set(*to, value);
        }
    }

    pub(crate) fn clear_conntrack(&mut self) {
        clear_conntrack(&mut self.flow);
        self.conntracked = false;
    }

    fn ct(&mut self, ct: &Ct) {
        self.commit();
        let zone = match ct.zone {
            CtZone::Number(n) => n,
            CtZone::Field(sub) => {
                look_at(sub, &self.flow, &mut self.out.wc);
                read(sub, &self.flow).low() as u16
            }
        };
        let mut odp = CtAction { commit: ct.commit, force: ct.force, zone, ..CtAction::default() };
        self.ct_exec(ct, &mut odp);
        odp.helper = match ct.alg {
            21 => Some("ftp".into()),
            69 => Some("tftp".into()),
            _ => None,
        };
        if ct.commit
            && let Some(policy) = self.network.timeout_policies.get(&zone)
        {
            // Others live as long as the datapath says.
            self.out.wc.unwildcard(slot::nw_proto);
            if matches!(
                self.flow.nw_proto(),
                ip::PROTO_TCP | ip::PROTO_UDP | ip::PROTO_ICMP | ip::PROTO_ICMPV6
            ) {
                odp.timeout = Some(policy.to_string().into());
            }
        }
        let translation = odp.nat;
        let mut forked = self.flow;
        for (s, stored) in
            [(slot::ct_mark, odp.mark.map(|(v, m)| (v.into(), m.into()))), (slot::ct_label, odp.label)]
        {
            let (value, mask) = stored.unwrap_or((0, 0));
            forked.set(s, forked.get(s) & !mask | value & mask);
        }
        self.out.actions.push(OdpAction::Ct(Box::new(odp)));
        if let Some(table) = ct.table {
            self.note(NodeKind::Detail, || {
                format!(
                    "A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table {table}."
                )
            });
            self.conntracked = true;
            let state = self.frozen(FrozenTable::Table(table));
            if let Some(id) = self.freeze(state) {
                self.out.actions.push(OdpAction::Recirc(id));
                self.out.forks.push(Fork { id, flow: forked, zone, nat: translation });
            }
        }
        self.note(NodeKind::Detail, || {
            "Sets the packet to an untracked state, and clears all the conntrack fields.".into()
        });
        self.clear_conntrack();
    }

    /// What `exec(…)` and `nat(…)` ask for. Marks and labels are seen only after recirculation.
    fn ct_exec(&mut self, ct: &Ct, odp: &mut CtAction) {
        let marked = [slot::ct_mark, slot::ct_label];
        let own = marked.map(|s| (self.flow.get(s), self.out.wc.get(s)));
        for s in marked {
            self.out.wc.set(s, 0);
        }
        self.actions(&ct.actions, false);
        let [mark, label] = marked.map(|s| (self.flow.get(s) & self.out.wc.get(s), self.out.wc.get(s)));
        odp.mark = (mark.1 != 0).then_some((mark.0 as u32, mark.1 as u32));
        odp.label = (label.1 != 0).then_some(label);
        for (s, (value, mask)) in marked.into_iter().zip(own) {
            self.flow.set(s, value);
            self.out.wc.set(s, mask);
        }
        // What was stored is not the packet's; what was read is.
        for action in &ct.actions {
            if let Action::Move(m) = action {
                look_at(m.src, &self.flow, &mut self.out.wc);
            }
        }
        odp.nat = ct.actions.iter().find_map(|a| match a {
            Action::Nat(n) => Some(nat(n)),
            _ => None,
        });
    }

    fn learn(&mut self, a: &actions::Learn) {
        for spec in &a.specs {
            if let actions::LearnSource::Field(sub) = &spec.src {
                self.look_at_prerequisites(sub.field.def().prereq);
                look_at(*sub, &self.flow, &mut self.out.wc);
            }
        }
        if self.effects == SideEffects::Suppressed {
            return self
                .note(NodeKind::Warning, || "suppressing side effects, so learn action ignored".into());
        }
        let flow_mod = learn::flow_mod(a, &self.flow);
        let names = &self.bridge.names;
        self.note(NodeKind::Detail, || {
            let matched = openflow::matches::format(&flow_mod.matcher, 0x8000, names);
            let list = actions::format(&flow_mod.actions, names);
            format!("table={} {matched} priority={} actions={list}", flow_mod.table_id, flow_mod.priority)
        });
        let learned = Box::new(LearnedFlow { flow_mod, limit: a.limit });
        self.out.credits.push(Credit::Learn { bridge: self.bridge_index, learned });
    }

    fn fin_timeout(&mut self, idle: u16, hard: u16) {
        self.out.wc.unwildcard(slot::nw_proto);
        if self.flow.nw_proto() != TCP {
            return;
        }
        // Which packets end a connection is seen from what each batch of packets carried.
        if self.effects == SideEffects::Allowed
            && let Some(rule) = self.rule.clone()
        {
            self.out.credits.push(Credit::FinTimeout { bridge: self.bridge_index, rule, idle, hard });
        }
    }

    /// Carries out what follows twice: for packets longer than the limit, and for the others.
    fn check_pkt_larger(&mut self, a: &actions::CheckPktLarger, rest: &[Action], last: bool) {
        self.commit();
        let before = std::mem::take(&mut self.out.actions);
        let (stack, set) = (self.stack.clone(), self.action_set.clone());
        let branch = |x: &mut Self, larger: u8| {
            let (flow, base, exit, conntracked) = (x.flow, x.base, x.exit, x.conntracked);
            let (under_label, pending) = (x.under_label, x.pending.clone());
            x.stack.clone_from(&stack);
            x.action_set.clone_from(&set);
            x.write(a.dst, &larger.into());
            if !rest.is_empty() {
                x.actions(rest, last);
            }
            if x.interruption.is_none() && last {
                x.run_action_set();
            }
            x.finish_interruption();
            (x.flow, x.base, x.exit, x.conntracked) = (flow, base, exit, conntracked);
            (x.under_label, x.pending) = (under_label, pending);
            std::mem::take(&mut x.out.actions)
        };
        let if_greater = branch(self, 1);
        let if_less_equal = branch(self, 0);
        self.out.actions = before;
        self.out.actions.push(OdpAction::CheckPktLen { len: a.pkt_len, if_greater, if_less_equal });
        if last {
            self.action_set.clear();
        }
    }

    /// Sends with a priority of its own.
    fn enqueue(&mut self, port: OfpPort, queue: u32) {
        let before = self.flow.skb_priority();
        self.flow.set_skb_priority(queue);
        self.output(port, 0);
        self.flow.set_skb_priority(before);
    }

    fn clear_actions(&mut self) {
        let set = ordered(&std::mem::take(&mut self.action_set));
        let names = &self.bridge.names;
        self.note(NodeKind::Detail, || match set.as_slice() {
            [] => "action set was empty".into(),
            set => format!("action set was: {}", actions::format(set, names)),
        });
    }

    fn write_actions(&mut self, list: &[Action]) {
        list.iter().for_each(|action| put_into_set(&mut self.action_set, action));
        let set = ordered(&self.action_set);
        let names = &self.bridge.names;
        self.note(NodeKind::Detail, || format!("action set is: {}", actions::format(&set, names)));
    }

    pub(crate) fn run_action_set(&mut self) {
        let set = ordered(&std::mem::take(&mut self.action_set));
        if set.is_empty() {
            return;
        }
        self.exit = false;
        let reopened = self.out.trace.as_mut().is_some_and(crate::Trace::reopen);
        self.enter(NodeKind::Table, || "--. Executing action set:".into());
        self.actions(&set, true);
        self.leave();
        if reopened {
            self.leave();
        }
    }
}

pub(crate) fn clear_conntrack(key: &mut FlowKey) {
    for s in [
        slot::ct_state,
        slot::ct_zone,
        slot::ct_mark,
        slot::ct_label,
        slot::ct_nw_proto,
        slot::ct_nw_src,
        slot::ct_nw_dst,
        slot::ct_ipv6_src,
        slot::ct_ipv6_dst,
        slot::ct_tp_src,
        slot::ct_tp_dst,
    ] {
        key.set(s, 0);
    }
}

fn nat(n: &Nat) -> odp::Nat {
    let addrs = n.addrs.map(|a| match a {
        NatAddrs::V4 { min, max } => (u128::from(min), u128::from(max.unwrap_or(min)), false),
        NatAddrs::V6 { min, max } => (min, max.unwrap_or(min), true),
    });
    odp::Nat {
        kind: match n.kind {
            NatKind::Existing => None,
            NatKind::Src => Some(odp::NatKind::Src),
            NatKind::Dst => Some(odp::NatKind::Dst),
        },
        addr: addrs.map(|(lo, hi, _)| (lo, hi)),
        is_ipv6: addrs.is_some_and(|(_, _, v6)| v6),
        port: n.ports.map(|(lo, hi)| (lo, hi.unwrap_or(lo))),
        persistent: n.persistent,
        hash: n.choice == actions::NatPortChoice::Hash,
        random: n.choice == actions::NatPortChoice::Random,
    }
}

/// True if an action set holds only one of the two.
fn same_kind(a: &Action, b: &Action) -> bool {
    match (a, b) {
        // Each may write other bits of a field.
        (Action::SetField(_), Action::SetField(_)) | (Action::Move(_), Action::Move(_)) => false,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// The action set in the order in which it is carried out; of what sends, only the first kind. What has no place in the
/// order is left out.
fn ordered(set: &[Action]) -> Vec<Action> {
    let rank = |a: &Action| match a {
        Action::StripVlan(_) => 0,
        Action::PopMpls(_) => 1,
        Action::PushMpls(_) => 4,
        Action::PushVlan(_) => 5,
        Action::DecTtl(_) => 6,
        Action::DecMplsTtl(_) => 7,
        Action::SetQueue(_) => 9,
        Action::Group(_) => 10,
        Action::Output(_) => 11,
        Action::Resubmit(_) => 12,
        Action::Ct(_) => 13,
        _ => 8,
    };
    let has_place = |a: &&Action| actions::may_be_in_set(a) && !matches!(a, Action::CtClear(_));
    let mut out: Vec<Action> = set.iter().filter(has_place).cloned().collect();
    out.sort_by_key(rank);
    if let Some(first) = out.iter().position(|a| rank(a) >= 10) {
        out.truncate(first + 1);
    }
    out
}

/// The actions of a bucket, as an action set orders them.
pub(crate) fn as_action_set(list: &[Action]) -> Vec<Action> {
    let mut set = Vec::new();
    list.iter().for_each(|action| put_into_set(&mut set, action));
    ordered(&set)
}

/// Puts an action into a set, in the place of one of its kind.
fn put_into_set(set: &mut Vec<Action>, action: &Action) {
    set.retain(|a| !same_kind(a, action));
    set.push(action.clone());
}

/// A match on every bit of a packet.
pub(crate) fn exact(key: &FlowKey) -> Match {
    Match { key: *key, wc: all_ones() }
}

/// A remark on a field that was written.
pub(crate) fn is_now(dst: Subfield, value: &Bits) -> String {
    format!("{} is now {}", subfield_text(dst), hex(value))
}

fn subfield_text(sub: Subfield) -> String {
    let def = sub.field.def();
    let name = def.headers.first().map_or(def.name, |h| h.name);
    if sub.ofs == 0 && u32::from(sub.n_bits) == u32::from(def.bits) {
        format!("{name}[]")
    } else if sub.n_bits == 1 {
        format!("{name}[{}]", sub.ofs)
    } else {
        format!("{name}[{}..{}]", sub.ofs, sub.ofs + sub.n_bits - 1)
    }
}

pub(crate) fn hex(value: &Bits) -> String {
    if value.is_empty() { "0".into() } else { format!("{value:#x}") }
}

fn all_ones() -> flow::Wildcards {
    let mut wc = flow::Wildcards::NONE;
    wc.words_mut().fill(u64::MAX);
    wc
}
