//! Tunnel ports of the switch: the datapath's ports that they share, requests for neighbours, and texts.
//!
//! Where it sits: part of [`Switch`]; what lies under tunnels is `underlay`'s.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::Ordering::Relaxed;

use datapath::Command;
use dpif::DpifError;
use flow::FlowKey;
use openflow::OfpPort;
use openflow::actions::Output;
use packet::{FlatPacket, OdpPort, PacketMeta};
use wire::{EthAddr, eth, ip};
use xlate::{Credit, Fixed, Outer, SideEffects, Tunnel};

use crate::Underlay;
use crate::core::{Shared, State, Switch, View, ViewMemory, locked};
use crate::upcall::Batch;

/// Most requests waiting to be sent.
const MAX_REQUESTS: usize = 256;

/// A request for a neighbour's Ethernet address.
pub(crate) struct NeighbourRequest {
    bridge: String,
    source: IpAddr,
    target: IpAddr,
}

/// Name of the datapath's port for tunnels of a kind.
pub(crate) fn datapath_name(t: &Tunnel) -> String {
    use odp::TunnelKind as K;
    match t.kind {
        K::Vxlan => format!("vxlan_sys_{}", t.dst_port),
        K::Geneve => format!("genev_sys_{}", t.dst_port),
        K::Gtpu => format!("gtpu_sys_{}", t.dst_port),
        K::BareUdp => format!("bareudp_sys_{}", t.dst_port),
        K::Gre => "gre_sys".into(),
        K::Ip6Gre => "ip6gre_sys".into(),
        K::Erspan => "erspan_sys".into(),
        K::Ip6Erspan => "ip6erspan_sys".into(),
        K::Srv6 => "srv6_sys".into(),
        K::Stt => format!("stt_sys_{}", t.dst_port),
    }
}

impl Shared {
    /// Carries out what a translation learned about neighbours, or wants to know.
    pub(crate) fn neighbour_credit(&self, view: &View, credit: &Credit, used: packet::Instant) {
        match credit {
            Credit::Neighbour { bridge, address, mac } => {
                let Some(bridge) = view.network.bridges.get(*bridge) else { return };
                if self.underlay_mut(|u| u.learn(&bridge.name, *address, *mac, used)) {
                    self.generation.fetch_add(1, Relaxed);
                    self.wake();
                }
            }
            Credit::Resolve { bridge, source, target } => {
                let Some(bridge) = view.network.bridges.get(*bridge) else { return };
                let mut queue = locked(&self.requests);
                if queue.len() < MAX_REQUESTS {
                    queue.push_back(NeighbourRequest {
                        bridge: bridge.name.clone(),
                        source: *source,
                        target: *target,
                    });
                }
                drop(queue);
                self.wake();
            }
            _ => {}
        }
    }

    pub(crate) fn underlay_mut<T>(&self, f: impl FnOnce(&mut Underlay) -> T) -> T {
        f(&mut self.underlay.write().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// True if another port receives the same packets: nobody could say which of the two they came in by.
pub(crate) fn is_taken(state: &State, t: &Tunnel, name: &str) -> bool {
    let same = |other: &Tunnel| {
        (other.kind, other.remote, other.local, other.in_key, other.dst_port)
            == (t.kind, t.remote, t.local, t.in_key, t.dst_port)
    };
    let mut ports = state.bridges.values().flat_map(|b| b.ports.values());
    ports.any(|p| p.config.name != name && p.config.tunnel.as_deref().is_some_and(same))
}

impl Switch {
    /// Finds or makes the datapath's port for a tunnel.
    pub(crate) fn tunnel_port(&self, t: &Tunnel) -> Result<OdpPort, DpifError> {
        let name = datapath_name(t);
        // One that could not be asked before can now, or has no port for tunnels either.
        self.shared.routes_tunnels.store(self.dpif.routes_tunnels(), Relaxed);
        if let Some(port) = self.dpif.port_by_name(&name) {
            return Ok(port.number);
        }
        let odp = self.dpif.add_port(&name, t.kind.name(), None)?;
        self.dpif.apply(Command::SetTunnel { port: odp, kind: Some(t.kind) }).map_err(DpifError::Command)?;
        Ok(odp)
    }

    /// Removes a port from the datapath, unless another of the switch's ports shares it.
    pub(crate) fn release(&self, state: &State, odp: OdpPort) {
        let mut ports = state.bridges.values().flat_map(|b| b.ports.values());
        if ports.any(|p| p.odp == Some(odp)) {
            return;
        }
        // A port that is gone already needs no removal.
        let _ = self.dpif.del_port(odp);
        let _ = self.dpif.apply(Command::SetTunnel { port: odp, kind: None });
    }

    /// Changes what lies under tunnels; what depends on it is translated anew if `f` says so.
    pub fn change_underlay(&self, f: impl FnOnce(&mut Underlay) -> bool) -> bool {
        let changed = self.shared.underlay_mut(f);
        if changed {
            let mut state = locked(&self.shared.state);
            self.shared.publish(&mut state);
        }
        changed
    }

    /// Looks at what lies under tunnels.
    pub fn underlay<T>(&self, f: impl FnOnce(&Underlay) -> T) -> T {
        f(&self.shared.underlay.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Sends the requests for neighbours that wait.
    pub fn send_requests(&self) {
        let waiting: Vec<NeighbourRequest> = locked(&self.shared.requests).drain(..).collect();
        for request in waiting {
            self.send_request(&request);
        }
    }

    fn send_request(&self, request: &NeighbourRequest) {
        let view = self.shared.view();
        let Some((index, bridge)) = view.network.bridge(&request.bridge) else { return };
        let Some(key) = request_key(bridge.hw_addr, request) else { return };
        let Some(frame) = flow::compose(&key, &[]) else { return };
        let local = bridge.ports.get(&OfpPort::LOCAL).and_then(|p| p.odp).unwrap_or(OdpPort::NONE);
        let meta = PacketMeta { in_port: local, ..PacketMeta::default() };
        let mut key = FlowKey::ZERO;
        flow::extract(&meta, &frame, frame.len(), 1, &mut key);
        key.set_in_port(OfpPort::LOCAL.0);
        let outcome = xlate::translate(&xlate::Request {
            network: &view.network,
            memory: &ViewMemory { shared: &self.shared, view: &view },
            bridge: index,
            key: &key,
            actions: Some(&[Output { port: OfpPort::TABLE, max_len: 0 }.into()]),
            effects: SideEffects::Allowed,
            trace: false,
        });
        let used = self.shared.last_time();
        let batch = Batch { packets: 1, bytes: frame.len() as u64, used, tcp_flags: 0 };
        // A request that a tunnel would take along, because the bridge floods it, waits for nobody: it would ask for ever.
        let credits: Vec<Credit> =
            outcome.credits.into_iter().filter(|c| !matches!(c, Credit::Resolve { .. })).collect();
        self.shared.credit(&view, &credits, batch);
        if let Some(packet) = FlatPacket::try_from_frame(&frame) {
            // The actions are the switch's own; a datapath that refuses them has dropped the packet.
            let _ = self.dpif.execute(meta, packet, &outcome.actions);
        }
    }

    /// `ofproto/list-tunnels`.
    pub fn list_tunnels(&self) -> String {
        let view = self.shared.view();
        let mut out = String::new();
        for e in &view.network.tunnels {
            let name =
                view.network.bridges.get(e.bridge).and_then(|b| b.ports.get(&e.ofp)).map_or("", |p| &p.name);
            out += &format!("port {}: {name} ({})\n", e.odp, describe(&e.tunnel, e.odp));
        }
        out
    }

    /// `tnl/ports/show`.
    pub fn show_tunnel_ports(&self) -> String {
        let view = self.shared.view();
        let mut out = String::from("Listening ports:\n");
        let mut seen = std::collections::BTreeMap::new();
        for e in &view.network.tunnels {
            seen.entry(e.odp).or_insert_with(|| (datapath_name(&e.tunnel), e.tunnel.clone()));
        }
        for bridge in &view.network.bridges {
            for address in &bridge.addresses {
                for (odp, (name, t)) in &seen {
                    out +=
                        &format!("{name} ({odp}) : eth(dst={}),{}\n", bridge.hw_addr, listening(address, t));
                }
            }
        }
        out
    }
}

fn listening(address: &IpAddr, t: &Tunnel) -> String {
    let (eth_type, ip) = if address.is_ipv4() { ("0x0800", "ipv4") } else { ("0x86dd", "ipv6") };
    let (proto, tail) = match t.dst_port {
        0 => (47, String::new()),
        port if t.kind == odp::TunnelKind::Stt => (ip::PROTO_TCP, format!(",tcp(dst={port})")),
        port => (17, format!(",udp(dst={port})")),
    };
    format!("eth_type({eth_type}),{ip}(dst={address},proto={proto},frag=no){tail}")
}

fn describe(t: &Tunnel, odp: OdpPort) -> String {
    let end = |e: &Fixed<IpAddr>| match e {
        Fixed::To(a) => a.to_string(),
        Fixed::Flow => "flow".into(),
    };
    let key = |k: Option<Fixed<u64>>| match k {
        None => "0".into(),
        Some(Fixed::To(id)) => format!("{id:#x}"),
        Some(Fixed::Flow) => "flow".into(),
    };
    let local = t.local.as_ref().map_or("::".into(), end);
    let keys = if t.in_key == t.out_key {
        format!("key={}", key(t.in_key))
    } else {
        format!("in_key={}, out_key={}", key(t.in_key), key(t.out_key))
    };
    let layer = if t.is_l3 { "legacy_l3" } else { "legacy_l2" };
    let ttl = match t.ttl {
        Outer::Inherit => "inherit".into(),
        Outer::Value(ttl) => ttl.to_string(),
    };
    let tos = match t.tos {
        Outer::Inherit => ", tos=inherit".into(),
        Outer::Value(0) => String::new(),
        Outer::Value(tos) => format!(", tos={tos:#x}"),
    };
    let df = if t.df { "" } else { ", df=false" };
    let csum = t.csum.map_or(String::new(), |on| format!(", csum={on}"));
    format!(
        "{}: {local}->{}, {keys}, {layer}, dp port={odp}, ttl={ttl}{tos}{df}{csum}",
        t.kind.name(),
        end(&t.remote)
    )
}

/// An ARP request or a neighbour solicitation.
fn request_key(mac: EthAddr, request: &NeighbourRequest) -> Option<FlowKey> {
    let mut key = FlowKey::ZERO;
    key.set_eth_src(mac);
    match (request.source, request.target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => arp(&mut key, mac, source, target),
        (IpAddr::V6(source), IpAddr::V6(target)) => solicit(&mut key, mac, source, target),
        _ => return None,
    }
    Some(key)
}

fn arp(key: &mut FlowKey, mac: EthAddr, source: Ipv4Addr, target: Ipv4Addr) {
    key.set_eth_dst(EthAddr::BROADCAST);
    key.set_eth_type(eth::TYPE_ARP);
    key.set_nw_proto(1);
    key.set_nw_src(source.to_bits());
    key.set_nw_dst(target.to_bits());
    key.set_arp_sha(mac);
}

fn solicit(key: &mut FlowKey, mac: EthAddr, source: Ipv6Addr, target: Ipv6Addr) {
    let target = target.to_bits();
    let low = target & 0xff_ffff;
    // The solicited-node address, and Ethernet's for it (RFC 4291 section 2.7.1, RFC 2464 section 7).
    key.set_eth_dst(EthAddr::from_u64(0x3333_ff00_0000 | low as u64));
    key.set_eth_type(eth::TYPE_IPV6);
    key.set_ipv6_src(source.to_bits());
    key.set_ipv6_dst(0xff02 << 112 | 0x0001_ff00_0000 | low);
    key.set_nw_proto(ip::PROTO_ICMPV6);
    key.set_nw_ttl(255);
    key.set_tp_src(135);
    key.set_nd_target(target);
    key.set_arp_sha(mac);
}
