//! Packets from controllers and packets to them: packet-outs, packet-ins, paused packets that go on.
//!
//! Where it sits: translation has packets for controllers handed up by the datapath (`upcall.rs` queues them); here they
//! become messages. What controllers send is translated first and sent when nothing is locked: the datapath's threads
//! may be waiting for the lock.
//!
//! Spec: OpenFlow 1.5.1 sections 7.3.6 and 7.4.1; ovs-actions(7), "controller".

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use flow::{Field, FlowKey, Match, slot, tun_metadata};
use ofproto::OptionMap;
use openflow::actions::PacketInReason;
use openflow::msg::{AsyncKind, Continuation, Message, PacketIn, PacketOut};
use openflow::{Bits, OfpError, OfpPort, Version, field};
use packet::{FlatPacket, OdpPort, PacketMeta};
use xlate::{Frozen, FrozenTable, Outcome, SideEffects};

use crate::core::{Switch, View, ViewMemory, locked};
use crate::requests::Asked;
use crate::upcall::Batch;

/// Words of a key that packets do not carry: metadata, registers, the tunnel.
const METADATA_WORDS: usize = 26;

/// A packet that was translated, and is yet to be sent.
pub(crate) struct Prepared {
    view: Arc<View>,
    meta: PacketMeta,
    packet: FlatPacket,
    len: usize,
    key: FlowKey,
    outcome: Outcome,
}

impl Switch {
    /// Translates a packet-out as if a rule with its actions had matched.
    pub(crate) fn prepare_packet_out(
        &self,
        view: Arc<View>,
        bridge: &str,
        po: &PacketOut,
    ) -> Result<Prepared, OfpError> {
        if po.buffer_id != u32::MAX {
            return Err(OfpError::OFPBRC_BUFFER_UNKNOWN);
        }
        let (index, bridge) = view.network.bridge(bridge).ok_or(OfpError::OFPBRC_EPERM)?;
        let in_port = po.in_port();
        let known = bridge.ports.get(&in_port);
        if known.is_none() && in_port.is_ordinary() && in_port.0 != 0 {
            return Err(OfpError::OFPBRC_BAD_PORT);
        }
        bridge.rules.check_debugging(&po.actions)?;
        bridge.rules.check_references(&po.actions)?;
        let odp = known.and_then(|p| p.odp).unwrap_or(OdpPort::NONE);
        let (meta, key) = received(odp, in_port, &po.data, &po.metadata);
        self.prepare(view, index, (meta, key), &po.data, Some(&po.actions))
    }

    /// Translates what remained to be done with a packet that a controller looked at.
    pub(crate) fn prepare_resumed(
        &self,
        view: Arc<View>,
        asked: &Asked<'_>,
        pin: &PacketIn,
    ) -> Result<Prepared, OfpError> {
        let c = Continuation::decode(&pin.continuation, asked.version)?;
        let at = view.network.bridges.iter().position(|b| bridge_id(&b.name) == c.bridge);
        let index = at.ok_or(OfpError::NXR_STALE)?;
        let bridge = view.network.bridges.get(index).ok_or(OfpError::NXR_STALE)?;
        let in_port = OfpPort(pin.metadata.key.in_port());
        let odp = bridge.ports.get(&in_port).and_then(|p| p.odp).or(c.odp_port.map(OdpPort));
        let (meta, mut key) = received(odp.unwrap_or(OdpPort::NONE), in_port, &pin.data, &pin.metadata);
        let number = |bytes: &Vec<u8>| Bits::from_be_bytes(bytes.iter().copied());
        let state = Frozen {
            bridge: bridge.name.clone(),
            table: FrozenTable::Actions,
            metadata: xlate::metadata_of(&key),
            tunnel: Match::ANY,
            conntracked: c.conntracked,
            stack: c.stack.iter().rev().map(number).collect(),
            action_set: c.action_set,
            userdata: Vec::new(),
            rule_table: 0,
            frames: c.frames,
        };
        let id = locked(&self.shared.recirc).freeze(state).ok_or(OfpError::NXR_STALE)?;
        key.set_recirc_id(id);
        self.prepare(view, index, (meta, key), &pin.data, None)
    }

    fn prepare(
        &self,
        view: Arc<View>,
        bridge: usize,
        (meta, key): (PacketMeta, FlowKey),
        data: &[u8],
        actions: Option<&[openflow::Action]>,
    ) -> Result<Prepared, OfpError> {
        let outcome = xlate::translate(&xlate::Request {
            network: &view.network,
            memory: &ViewMemory { shared: &self.shared, view: &view },
            bridge,
            key: &key,
            actions,
            effects: SideEffects::Allowed,
            trace: false,
        });
        let packet = FlatPacket::try_from_frame(data).ok_or(OfpError::OFPBRC_EPERM)?;
        Ok(Prepared { view, meta, packet, len: data.len(), key, outcome })
    }

    /// Counts a packet and has the datapath carry out what was translated.
    pub(crate) fn send_packet(&self, p: Prepared) {
        let batch = Batch {
            packets: 1,
            bytes: p.len as u64,
            used: self.shared.last_time(),
            tcp_flags: p.key.tcp_flags(),
        };
        self.shared.credit(&p.view, &p.outcome.credits, batch);
        // The actions are the switch's own; a datapath that refuses them has dropped the packet.
        let _ = self.dpif.execute(p.meta, p.packet, &p.outcome.actions);
    }

    /// Hands waiting packet-ins to the controllers that want them.
    pub fn deliver_packet_ins(&self) {
        let pending: Vec<_> = locked(&self.shared.packet_ins).drain(..).collect();
        if pending.is_empty() {
            return;
        }
        let mut state = locked(&self.shared.state);
        for p in pending {
            let Some(bridge) = state.bridges.get_mut(&p.frozen.bridge) else { continue };
            let reason = reason(p.controller.reason);
            let packet_in = PacketIn {
                total_len: p.data.len() as u32,
                data: p.data,
                buffer_id: u32::MAX,
                reason,
                table_id: p.frozen.rule_table,
                cookie: p.controller.rule_cookie,
                metadata: metadata(&p.frozen, p.key, &bridge.ofproto.current().options),
                userdata: p.frozen.userdata.clone(),
                continuation: Vec::new(),
            };
            for c in bridge.conns.values_mut() {
                let addressed = c.conn.controller_id() == p.controller.controller_id;
                if addressed
                    && c.config.miss_send_len != 0
                    && c.wants(AsyncKind::PacketIn, reason_bit(reason))
                {
                    let mut packet_in = packet_in.clone();
                    if p.controller.continuation
                        && let Some(version) = c.conn.version()
                    {
                        let odp_port = Some(p.key.in_port());
                        packet_in.continuation =
                            continuation(&p.frozen, version, odp_port).unwrap_or_default();
                    }
                    // A packet-in that the connection's version cannot carry is not sent.
                    let _ = c.conn.send(&Message::PacketIn(packet_in));
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
fn metadata(state: &Frozen, mut key: FlowKey, options: &OptionMap) -> Match {
    let mut m = Match::ANY;
    options.open(&mut key);
    state.restore_tunnel(&mut key);
    openflow::matches::with_options(&mut m, &key);
    let (frozen, key) = (&state.metadata, &key);
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

/// The metadata of a packet and its key, as if it had come in by a port.
fn received(odp: OdpPort, in_port: OfpPort, data: &[u8], metadata: &Match) -> (PacketMeta, FlowKey) {
    let meta = PacketMeta { in_port: odp, ..PacketMeta::default() };
    let mut key = FlowKey::ZERO;
    flow::extract(&meta, data, data.len(), 1, &mut key);
    let mut given = metadata.key;
    given.set_in_port(0);
    let words = key.words_mut().iter_mut().zip(given.words()).zip(metadata.wc.words());
    for ((to, from), wc) in words.take(METADATA_WORDS) {
        *to = *to & !wc | from & wc;
    }
    tun_metadata::copy(&metadata.key, &mut key);
    field::options(metadata)
        .filter_map(Field::option)
        .for_each(|n| tun_metadata::set_present(&mut key, n, true));
    key.set_in_port(in_port.0);
    (meta, key)
}

/// An entry of the stack, as wide as it must be.
fn stack_entry(n: &Bits) -> Vec<u8> {
    n.be_bytes(usize::from(n.len()).div_ceil(8).max(1)).collect()
}

/// What a bridge is called in continuations, which only this switch reads.
fn bridge_id(name: &str) -> [u8; 16] {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, name).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    (half(0) << 64 | half(1)).to_be_bytes()
}

/// Where a paused packet goes on, as bytes for the controller to give back.
fn continuation(frozen: &Frozen, version: Version, odp_port: Option<u32>) -> Result<Vec<u8>, OfpError> {
    let c = Continuation {
        bridge: bridge_id(&frozen.bridge),
        stack: frozen.stack.iter().rev().map(stack_entry).collect(),
        mirrors: 0,
        conntracked: frozen.conntracked,
        frames: frozen.frames.clone(),
        action_set: frozen.action_set.clone(),
        odp_port,
    };
    c.encode(version)
}
