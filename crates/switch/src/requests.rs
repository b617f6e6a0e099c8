//! Controllers: their requests carried out, their events told.
//!
//! Where it sits: `vswitchd` hands in the messages of each connection and writes what [`Switch::take_output`] gives.
//!
//! Spec: OpenFlow 1.5.1 section 7.3.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use flow::{FlowKey, Match, slot};
use ofproto::{FlowChange, FlowChangeKind, RemovedReason, Rule, RuleSelection};
use openflow::actions::PacketInReason;
use openflow::conn::{Request, SwitchConn};
use openflow::msg::{
    Age, AggregateStats, AsyncKind, BundleAdd, BundleControl, BundleCtrl, Capabilities, FlowRemoved,
    FlowRemovedReason, FlowStats, FlowStatsRequest, FragMode, LinkFeatures, Message, PacketIn, PacketOut,
    PortConfig as PortFlags, PortDesc, PortMod, PortReason, PortState as LinkState, PortStats, PortStatus,
    Rfc2819, Role, RoleMessage, SwitchConfig, SwitchDesc, SwitchFeatures, TableCaps, TableFeatures,
    TableStats,
};
use openflow::{FlowModFlags, OfpError, OfpPort, Version};
use packet::{FlatPacket, Instant, Now, OdpPort, PacketMeta};
use wire::EthAddr;
use xlate::SideEffects;

use crate::core::{BridgeState, Conn, ConnId, ControllerKind, PortState, Switch, ViewMemory, locked};

/// Most bundles that one connection may have open.
const MAX_BUNDLES: usize = 16;

impl Switch {
    /// A controller connected to a bridge; its HELLO is in the output. `None` if there is no such bridge.
    pub fn connect(&self, bridge: &str, kind: ControllerKind) -> Option<ConnId> {
        let mut state = locked(&self.shared.state);
        state.next_conn += 1;
        let id = ConnId(state.next_conn);
        let b = state.bridges.get_mut(bridge)?;
        let mut conn = SwitchConn::new(b.config.versions, id.0 as u32);
        conn.set_limits(OfpPort::MAX.0, ofproto::N_VISIBLE_TABLES);
        let miss_send_len = if kind == ControllerKind::Primary { 128 } else { 0 };
        let config = SwitchConfig { frag: FragMode::Normal, invalid_ttl_to_controller: false, miss_send_len };
        let conn = Conn { conn, role: Role::Equal, kind, config, bundles: BTreeMap::new() };
        b.conns.insert(id, conn);
        Some(id)
    }

    /// A controller went.
    pub fn disconnect(&self, id: ConnId) {
        let mut state = locked(&self.shared.state);
        for bridge in state.bridges.values_mut() {
            bridge.conns.remove(&id);
        }
        self.shared.publish(&mut state);
    }

    /// Bytes to be sent to a controller.
    pub fn take_output(&self, id: ConnId) -> Vec<u8> {
        let mut state = locked(&self.shared.state);
        let conn = state.bridges.values_mut().find_map(|b| b.conns.get_mut(&id));
        conn.map(|c| c.conn.take_output()).unwrap_or_default()
    }

    /// True if a connection cannot go on, or is none of the switch's.
    pub fn is_broken(&self, id: ConnId) -> bool {
        let state = locked(&self.shared.state);
        state.bridges.values().find_map(|b| b.conns.get(&id)).is_none_or(|c| c.conn.is_broken())
    }

    /// The version that a connection agreed on.
    pub fn version(&self, id: ConnId) -> Option<Version> {
        let state = locked(&self.shared.state);
        state.bridges.values().find_map(|b| b.conns.get(&id)).and_then(|c| c.conn.version())
    }

    /// Asks a silent controller whether it is there.
    pub fn probe(&self, id: ConnId) {
        let mut state = locked(&self.shared.state);
        if let Some(c) = state.bridges.values_mut().find_map(|b| b.conns.get_mut(&id)) {
            c.conn.probe();
        }
    }

    /// The role of a controller.
    pub fn role(&self, id: ConnId) -> Option<Role> {
        let state = locked(&self.shared.state);
        state.bridges.values().find_map(|b| b.conns.get(&id)).map(|c| c.role)
    }

    /// One whole message of a controller.
    pub fn handle_message(&self, id: ConnId, bytes: &[u8], now: Now) {
        self.shared.tell_time(now);
        let mut state = locked(&self.shared.state);
        let Some(name) =
            state.bridges.iter().find(|(_, b)| b.conns.contains_key(&id)).map(|(n, _)| n.clone())
        else {
            return;
        };
        let Some(c) = state.bridges.get_mut(&name).and_then(|b| b.conns.get_mut(&id)) else { return };
        let before = c.conn.version();
        let request = c.conn.handle_message(bytes, now.mono);
        if before != c.conn.version() {
            // An old controller wants packets without a rule.
            self.shared.publish(&mut state);
        }
        drop(state);
        let Some(request) = request else { return };
        if matches!(request.message, Message::FlowStatsRequest(_) | Message::AggregateRequest(_)) {
            self.collect();
        }
        let answer = match &request.message {
            Message::PacketOut(po) => self.packet_out(&name, po).map(|()| None),
            message => self.answer(&name, id, message, &request, now),
        };
        let mut state = locked(&self.shared.state);
        let Some(c) = state.bridges.get_mut(&name).and_then(|b| b.conns.get_mut(&id)) else { return };
        match answer {
            Ok(Some(reply)) => {
                if let Err(e) = c.conn.reply(&request, &reply) {
                    c.conn.refuse(&request, e);
                }
            }
            Ok(None) => {}
            Err(e) => c.conn.refuse(&request, e),
        }
    }

    fn answer(
        &self,
        name: &str,
        id: ConnId,
        message: &Message,
        request: &Request,
        now: Now,
    ) -> Result<Option<Message>, OfpError> {
        let mut state = locked(&self.shared.state);
        let bridge = state.bridges.get_mut(name).ok_or(OfpError::OFPBRC_EPERM)?;
        let version = Version::from_wire(request.header.version).unwrap_or(Version::V10);
        let changes = |m: &Message| {
            matches!(
                m,
                Message::FlowMod(_) | Message::PortMod(_) | Message::BundleControl(_) | Message::BundleAdd(_)
            )
        };
        if changes(message) && bridge.conns.get(&id).is_some_and(|c| c.role == Role::Secondary) {
            return Err(if version < Version::V12 {
                OfpError::OFPBRC_EPERM
            } else {
                OfpError::OFPBRC_IS_SECONDARY
            });
        }
        let reply = match message {
            Message::FlowMod(fm) => {
                let changes = bridge.ofproto.flow_mod(fm, now)?;
                Switch::tell_changes(bridge, &changes, now);
                self.shared.publish(&mut state);
                return Ok(None);
            }
            Message::PortMod(pm) => {
                bridge.port_mod(pm)?;
                self.shared.publish(&mut state);
                return Ok(None);
            }
            Message::BundleControl(ctrl) => {
                let reply = bridge.bundle_control(id, ctrl, now)?;
                self.shared.publish(&mut state);
                Some(reply)
            }
            Message::BundleAdd(add) => {
                bridge.bundle_add(id, add)?;
                None
            }
            Message::PortStatsRequest(port) => {
                Some(Message::PortStatsReply(self.port_stats(bridge, *port, now)?))
            }
            other => bridge.answer(id, other, version, now)?,
        };
        Ok(reply)
    }

    /// Carries out a packet-out: translated as if a rule with its actions had matched.
    fn packet_out(&self, name: &str, po: &PacketOut) -> Result<(), OfpError> {
        if po.buffer_id != u32::MAX {
            return Err(OfpError::OFPBRC_BUFFER_UNKNOWN);
        }
        let view = self.shared.view();
        let (index, bridge) = view.network.bridge(name).ok_or(OfpError::OFPBRC_EPERM)?;
        let in_port = po.in_port();
        let known = bridge.ports.get(&in_port);
        if known.is_none() && in_port.is_ordinary() && in_port.0 != 0 {
            return Err(OfpError::OFPBRC_BAD_PORT);
        }
        let odp = known.and_then(|p| p.odp).unwrap_or(OdpPort::NONE);
        let meta = PacketMeta { in_port: odp, ..PacketMeta::default() };
        let mut key = FlowKey::ZERO;
        flow::extract(&meta, &po.data, po.data.len(), 1, &mut key);
        key.set_in_port(in_port.0);
        let mut with_metadata = po.metadata.key;
        with_metadata.set_in_port(0);
        for ((to, from), wc) in
            key.words_mut().iter_mut().zip(with_metadata.words()).zip(po.metadata.wc.words()).take(26)
        {
            *to = *to & !wc | from & wc;
        }
        let outcome = xlate::translate(&xlate::Request {
            network: &view.network,
            memory: &ViewMemory { shared: &self.shared, view: &view },
            bridge: index,
            key: &key,
            actions: Some(&po.actions),
            effects: SideEffects::Allowed,
            trace: false,
        });
        let packet = FlatPacket::try_from_frame(&po.data).ok_or(OfpError::OFPBRC_EPERM)?;
        self.shared.credit(&view, &outcome.credits, 1, po.data.len() as u64, self.shared.last_time());
        // The actions are the switch's own; a datapath that refuses them has dropped the packet.
        let _ = self.dpif.execute(meta, packet, &outcome.actions);
        Ok(())
    }

    fn port_stats(&self, bridge: &BridgeState, port: OfpPort, now: Now) -> Result<Vec<PortStats>, OfpError> {
        if port != OfpPort::NONE && !bridge.ports.contains_key(&port) {
            return Err(OfpError::OFPBRC_BAD_PORT);
        }
        let wanted = bridge.ports.iter().filter(|(ofp, _)| port == OfpPort::NONE || **ofp == port);
        Ok(wanted.map(|(ofp, p)| self.one_port_stats(*ofp, p, now)).collect())
    }

    fn one_port_stats(&self, ofp: OfpPort, p: &PortState, now: Now) -> PortStats {
        let counters = &p.counters;
        let patch = dpif::PortStats {
            rx_packets: Some(counters.rx.0.load(Relaxed)),
            rx_bytes: Some(counters.rx.1.load(Relaxed)),
            tx_packets: Some(counters.tx.0.load(Relaxed)),
            tx_bytes: Some(counters.tx.1.load(Relaxed)),
            ..dpif::PortStats::default()
        };
        let s = p.odp.map_or(patch, |odp| self.dpif.port_stats(odp).unwrap_or_default());
        let known = |n: Option<u64>| n.unwrap_or(u64::MAX);
        PortStats {
            port: ofp,
            duration: age(now.mono.since(p.added.mono)),
            rx_packets: known(s.rx_packets),
            tx_packets: known(s.tx_packets),
            rx_bytes: known(s.rx_bytes),
            tx_bytes: known(s.tx_bytes),
            rx_dropped: known(s.rx_dropped),
            tx_dropped: known(s.tx_dropped),
            rx_errors: known(s.rx_errors),
            tx_errors: known(s.tx_errors),
            rx_frame_err: known(s.rx_frame_err),
            rx_over_err: known(s.rx_over_err),
            rx_crc_err: u64::MAX,
            collisions: known(s.collisions),
            rfc2819: [u64::MAX; Rfc2819::COUNT],
            custom: Vec::new(),
        }
    }

    /// Hands waiting packet-ins to the controllers that want them.
    pub fn deliver_packet_ins(&self) {
        let pending: Vec<_> = locked(&self.shared.packet_ins).drain(..).collect();
        if pending.is_empty() {
            return;
        }
        let mut state = locked(&self.shared.state);
        for p in pending {
            let Some(bridge) = state.bridges.get_mut(&p.bridge) else { continue };
            let reason = reason(p.controller.reason);
            let packet_in = PacketIn {
                total_len: p.data.len() as u32,
                data: p.data,
                buffer_id: u32::MAX,
                reason,
                table_id: p.table,
                cookie: p.controller.rule_cookie,
                metadata: metadata(&p.metadata, &p.key),
                userdata: p.userdata,
                continuation: Vec::new(),
            };
            for c in bridge.conns.values_mut() {
                let addressed = c.conn.controller_id() == p.controller.controller_id;
                if addressed
                    && c.config.miss_send_len != 0
                    && c.wants(AsyncKind::PacketIn, reason_bit(reason))
                {
                    // A packet-in that the connection's version cannot carry is not sent.
                    let _ = c.conn.send(&Message::PacketIn(packet_in.clone()));
                }
            }
        }
    }
}

/// A bit of the asynchronous configuration: both kinds of miss are misses.
fn reason_bit(reason: PacketInReason) -> u32 {
    match reason {
        PacketInReason::ExplicitMiss | PacketInReason::ImplicitMiss => 0,
        r => r as u32,
    }
}

fn reason(n: u8) -> PacketInReason {
    use PacketInReason as R;
    [
        R::NoMatch,
        R::Action,
        R::InvalidTtl,
        R::ActionSet,
        R::Group,
        R::PacketOut,
        R::ExplicitMiss,
        R::ImplicitMiss,
    ]
    .into_iter()
    .find(|r| *r as u8 == n)
    .unwrap_or(R::Action)
}

/// What a packet-in tells beside the frame: everything of the metadata that is not zero, and the ingress port.
fn metadata(frozen: &FlowKey, key: &FlowKey) -> Match {
    let mut m = Match::ANY;
    m.set_exact(slot::in_port, u128::from(frozen.in_port()));
    let mut put = |s, from: &FlowKey| {
        if from.get(s) != 0 {
            m.set_exact(s, from.get(s));
        }
    };
    put(slot::metadata, frozen);
    for n in 0..32u8 {
        let s =
            flow::Slot { word: slot::reg0.word + n / 2, shift: if n % 2 == 0 { 32 } else { 0 }, bits: 32 };
        put(s, frozen);
    }
    for s in [slot::tun_id, slot::tun_src, slot::tun_dst, slot::pkt_mark, slot::ct_state, slot::ct_zone] {
        put(s, key);
    }
    for s in [slot::ct_mark, slot::ct_label, slot::ct_nw_src, slot::ct_nw_dst, slot::ct_nw_proto] {
        put(s, key);
    }
    m
}

/// To the millisecond, as Open vSwitch tells ages.
fn age(d: Duration) -> Age {
    Age { sec: u32::try_from(d.as_secs()).unwrap_or(u32::MAX), nsec: d.subsec_millis() * 1_000_000 }
}

impl Conn {
    fn wants(&self, kind: AsyncKind, reason: u32) -> bool {
        let config = self.conn.async_config();
        let masks = if self.role == Role::Secondary { &config.secondary } else { &config.primary };
        self.conn.version().is_some() && masks.get(kind as usize).is_some_and(|m| m >> reason & 1 != 0)
    }
}

impl BridgeState {
    fn answer(
        &mut self,
        id: ConnId,
        message: &Message,
        version: Version,
        now: Now,
    ) -> Result<Option<Message>, OfpError> {
        Ok(Some(match message {
            Message::FeaturesRequest => Message::FeaturesReply(self.features()),
            Message::BarrierRequest => Message::BarrierReply,
            Message::GetConfigRequest => Message::GetConfigReply(self.conn(id)?.config),
            Message::SetConfig(config) => {
                self.conn(id)?.config = *config;
                return Ok(None);
            }
            Message::DescRequest => Message::DescReply(self.desc()),
            Message::FlowStatsRequest(r) => {
                let rules = selection(r).rules(self.ofproto.current());
                Message::FlowStatsReply(rules.iter().map(|r| flow_stats(r, now)).collect())
            }
            Message::AggregateRequest(r) => {
                let rules = selection(r).rules(self.ofproto.current());
                Message::AggregateReply(AggregateStats {
                    packet_count: rules.iter().map(|r| r.state.packets()).sum(),
                    byte_count: rules.iter().map(|r| r.state.bytes()).sum(),
                    flow_count: rules.len() as u32,
                })
            }
            Message::TableStatsRequest => Message::TableStatsReply(self.table_stats(version)),
            Message::TableFeaturesRequest(wanted) if wanted.is_empty() => {
                let tables = 0..ofproto::N_VISIBLE_TABLES;
                let last = ofproto::N_VISIBLE_TABLES - 1;
                Message::TableFeaturesReply(
                    tables.map(|id| TableFeatures::of_switch(id, last, version)).collect(),
                )
            }
            Message::PortDescRequest(port) => Message::PortDescReply(
                self.ports
                    .iter()
                    .filter(|(ofp, _)| *port == OfpPort::NONE || *ofp == port)
                    .map(|(ofp, p)| port_desc(*ofp, p))
                    .collect(),
            ),
            Message::RoleRequest(r) => Message::RoleReply(self.set_role(id, r)?),
            Message::GetAsyncRequest => Message::GetAsyncReply(*self.conn(id)?.conn.async_config()),
            // The connection itself acted on these; or they need no answer.
            Message::SetAsync(_)
            | Message::SetFlowFormat(_)
            | Message::FlowModTableId(_)
            | Message::SetPacketInFormat(_)
            | Message::SetControllerId(_)
            | Message::FlowAge
            | Message::Error(_)
            | Message::EchoReply(_)
            | Message::BarrierReply => return Ok(None),
            _ => return Err(OfpError::OFPBRC_BAD_TYPE),
        }))
    }

    fn conn(&mut self, id: ConnId) -> Result<&mut Conn, OfpError> {
        self.conns.get_mut(&id).ok_or(OfpError::OFPBRC_EPERM)
    }

    fn features(&self) -> SwitchFeatures {
        SwitchFeatures {
            datapath_id: self.config.datapath_id,
            n_buffers: 0,
            n_tables: ofproto::N_VISIBLE_TABLES,
            auxiliary_id: 0,
            capabilities: Capabilities::FLOW_STATS
                | Capabilities::TABLE_STATS
                | Capabilities::PORT_STATS
                | Capabilities::QUEUE_STATS
                | Capabilities::ARP_MATCH_IP
                | Capabilities::GROUP_STATS
                | Capabilities::BUNDLES,
            actions: 0xfff,
            ports: self.ports.iter().map(|(ofp, p)| port_desc(*ofp, p)).collect(),
        }
    }

    fn desc(&self) -> SwitchDesc {
        SwitchDesc {
            manufacturer: "Nicira, Inc.".into(),
            hardware: "Open vSwitch".into(),
            software: "3.7.1".into(),
            serial: self.config.dp_sn.clone(),
            datapath: self.config.dp_desc.clone(),
        }
    }

    fn table_stats(&self, version: Version) -> Vec<TableStats> {
        let tables = self.ofproto.current().tables();
        let stats = tables.filter(|(id, _)| *id < ofproto::N_VISIBLE_TABLES).map(|(id, t)| TableStats {
            table_id: id,
            name: self.ofproto.table_config(id).name.unwrap_or_else(|| format!("table{id}")),
            max_entries: 1_000_000,
            active_count: t.rules.len() as u32,
            lookup_count: t.counters.lookups(),
            matched_count: t.counters.matched(),
            caps: TableCaps::of_switch(version, id + 1 == ofproto::N_VISIBLE_TABLES),
        });
        stats.collect()
    }

    fn set_role(&mut self, id: ConnId, r: &RoleMessage) -> Result<RoleMessage, OfpError> {
        if let Some(generation) = r.generation_id
            && r.role != Role::NoChange
        {
            if self.generation.is_some_and(|g| (generation.wrapping_sub(g) as i64) < 0) {
                return Err(OfpError::OFPRRFC_STALE);
            }
            self.generation = Some(generation);
        }
        if r.role == Role::Primary {
            for (_, other) in self.conns.iter_mut().filter(|(i, c)| **i != id && c.role == Role::Primary) {
                other.role = Role::Secondary;
            }
        }
        let generation_id = self.generation;
        let c = self.conn(id)?;
        if r.role != Role::NoChange {
            c.role = r.role;
        }
        Ok(RoleMessage { role: c.role, generation_id })
    }

    fn port_mod(&mut self, pm: &PortMod) -> Result<(), OfpError> {
        let p = self.ports.get_mut(&pm.port).ok_or(OfpError::OFPPMFC_BAD_PORT)?;
        if pm.hw_addr != EthAddr::ZERO && pm.hw_addr != p.config.hw_addr {
            return Err(OfpError::OFPPMFC_BAD_HW_ADDR);
        }
        p.flags = p.flags & !pm.mask | pm.config & pm.mask;
        let port = pm.port;
        self.tell_port(port, PortReason::Modify);
        Ok(())
    }

    fn bundle_control(&mut self, id: ConnId, ctrl: &BundleControl, now: Now) -> Result<Message, OfpError> {
        let number = ctrl.bundle_id;
        let bundles = &mut self.conn(id)?.bundles;
        match ctrl.ctrl {
            BundleCtrl::OpenRequest if bundles.contains_key(&number) => {
                bundles.remove(&number);
                return Err(OfpError::OFPBFC_BAD_ID);
            }
            BundleCtrl::OpenRequest if bundles.len() >= MAX_BUNDLES => {
                return Err(OfpError::OFPBFC_OUT_OF_BUNDLES);
            }
            BundleCtrl::OpenRequest => {
                bundles.insert(number, Vec::new());
            }
            BundleCtrl::CloseRequest if !bundles.contains_key(&number) => {
                return Err(OfpError::OFPBFC_BAD_ID);
            }
            BundleCtrl::CloseRequest => {}
            BundleCtrl::DiscardRequest => {
                bundles.remove(&number).ok_or(OfpError::OFPBFC_BAD_ID)?;
            }
            BundleCtrl::CommitRequest => {
                let mods = bundles.remove(&number).ok_or(OfpError::OFPBFC_BAD_ID)?;
                let changes = self.ofproto.bundle(&mods, now).map_err(|(_, e)| e)?;
                Switch::tell_changes(self, &changes, now);
            }
            _ => return Err(OfpError::OFPBFC_BAD_TYPE),
        }
        let reply = ctrl.ctrl.reply().ok_or(OfpError::OFPBFC_BAD_TYPE)?;
        Ok(Message::BundleControl(BundleControl { ctrl: reply, ..*ctrl }))
    }

    fn bundle_add(&mut self, id: ConnId, add: &BundleAdd) -> Result<(), OfpError> {
        let (_, inner) = openflow::msg::decode(&add.message, &openflow::msg::Limits::default())?;
        let Message::FlowMod(fm) = inner else { return Err(OfpError::OFPBFC_MSG_UNSUP) };
        // A bundle need not have been opened.
        self.conn(id)?.bundles.entry(add.bundle_id).or_default().push(fm);
        Ok(())
    }

    pub(crate) fn tell_port(&mut self, ofp: OfpPort, reason: PortReason) {
        let Some(p) = self.ports.get(&ofp) else { return };
        let bit = reason as u32;
        let status = Message::PortStatus(PortStatus { desc: port_desc(ofp, p), reason });
        for c in self
            .conns
            .values_mut()
            .filter(|c| c.kind == ControllerKind::Primary || c.config.miss_send_len != 0)
        {
            if c.wants(AsyncKind::PortStatus, bit) {
                let _ = c.conn.send(&status);
            }
        }
    }

    pub(crate) fn tell_flow(&mut self, change: &FlowChange, now: Now) {
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

fn selection(r: &FlowStatsRequest) -> RuleSelection {
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

fn flow_stats(rule: &Rule, now: Now) -> FlowStats {
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

fn port_desc(ofp: OfpPort, p: &PortState) -> PortDesc {
    let none = LinkFeatures::empty();
    let down = p.flags.contains(PortFlags::PORT_DOWN) || !p.up;
    PortDesc {
        port: ofp,
        hw_addr: p.config.hw_addr,
        name: p.config.name.clone(),
        config: p.flags,
        state: if down { LinkState::LINK_DOWN } else { LinkState::LIVE },
        curr: none,
        advertised: none,
        supported: none,
        peer: none,
        curr_speed: 0,
        max_speed: 0,
    }
}
