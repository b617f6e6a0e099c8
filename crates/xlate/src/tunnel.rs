//! Tunnel ports: which of them a packet came in by, and the headers that sending through one pushes.
//!
//! Where it sits: `switch` puts a [`Tunnel`] on each tunnel port; sending and receiving come here. Headers are the
//! `tunnel` crate's; routes and neighbours are the [`crate::Memory`]'s.
//!
//! ~~~text
//! send to tunnel port ─► route to its end point ─► neighbour's address ─► tnl_push ─► the underlay bridge's tables
//!                                                       └ unknown: Credit::Resolve asks, the packet is dropped
//!  where the datapath finds the way: ─► set(tunnel(…)), output to the datapath's port, unless the fields do not tell all
//! underlay bridge sends to its own port a packet for a tunnel ─► tnl_pop ─► (datapath) ─► tunnel port
//! ~~~
//!
//! Spec: ovs-vswitchd.conf.db(5), "Tunnel Options"; RFC 6040.

use std::net::{IpAddr, Ipv6Addr};

use flow::{FlowKey, Wildcards, slot, tun_metadata};
use odp::{Action as OdpAction, Header, TnlPush, TunnelKind};
use ofproto::OptionMap;
use openflow::OfpPort;
use packet::{OdpPort, TunnelKey};
use wire::{eth, ip};

use crate::translate::{Xlate, XlateError};
use crate::{Credit, NodeKind};

/// ARP's operation of an answer.
const ARP_REPLY: u16 = 2;
/// ICMPv6's type of an answer.
const NEIGHBOUR_ADVERT: u16 = 136;

/// A value that is fixed, or that each packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed<T> {
    /// Always this.
    To(T),
    /// As the flow says.
    Flow,
}

/// TTL or TOS of the outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// This.
    Value(u8),
    /// The inner packet's.
    Inherit,
}

/// What a tunnel port is asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Protocol.
    pub kind: TunnelKind,
    /// The other end.
    pub remote: Fixed<IpAddr>,
    /// This end; any without.
    pub local: Option<Fixed<IpAddr>>,
    /// Key of received packets; none is zero.
    pub in_key: Option<Fixed<u64>>,
    /// Key of sent packets; without, the header has none.
    pub out_key: Option<Fixed<u64>>,
    /// UDP port of the other end, of STT the TCP port; zero without ports.
    pub dst_port: u16,
    /// Outer TOS.
    pub tos: Outer,
    /// Outer TTL.
    pub ttl: Outer,
    /// The outer header says "don't fragment".
    pub df: bool,
    /// Checksums of the outer transport: as asked for.
    pub csum: Option<bool>,
    /// VXLAN: group policy.
    pub gbp: bool,
    /// VXLAN: generic protocol extension.
    pub gpe: bool,
    /// GRE: sequence numbers.
    pub sequence: bool,
    /// ERSPAN: version, index, direction and hardware id.
    pub erspan: (u8, u32, u8, u8),
    /// Packets inside have no Ethernet header.
    pub is_l3: bool,
    /// Mark of packets sent.
    pub egress_mark: Option<u32>,
    /// SRv6: the segments.
    pub segments: Vec<Ipv6Addr>,
}

/// The way to a tunnel's other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The device: a bridge's own port.
    pub device: String,
    /// The next hop, unless the end is on the link.
    pub gateway: Option<IpAddr>,
    /// The address to send from.
    pub source: IpAddr,
}

/// A tunnel port as receiving finds it.
#[derive(Clone, Debug)]
pub struct TunnelEntry {
    /// Its bridge, an index into the network's.
    pub bridge: usize,
    /// Its OpenFlow number.
    pub ofp: OfpPort,
    /// The datapath's port, which it may share.
    pub odp: OdpPort,
    /// What it is.
    pub tunnel: std::sync::Arc<Tunnel>,
}

fn addresses(key: &FlowKey) -> (IpAddr, IpAddr) {
    if key.tun_dst() != 0 {
        (IpAddr::V4(key.tun_src().into()), IpAddr::V4(key.tun_dst().into()))
    } else {
        (IpAddr::V6(key.tun_ipv6_src().into()), IpAddr::V6(key.tun_ipv6_dst().into()))
    }
}

impl Tunnel {
    /// True if the fields of `set(tunnel(…))` tell all of the header that its packets get.
    fn is_told_by_fields(&self) -> bool {
        !self.gpe && !self.sequence && self.segments.is_empty()
    }
}

impl TunnelEntry {
    /// How specifically the port asks for a received packet; `None` if it does not. Lower is more specific.
    pub fn rank(&self, odp: OdpPort, key: &FlowKey) -> Option<(bool, bool, u8)> {
        let t = &*self.tunnel;
        let (remote, local) = addresses(key);
        let key_fits = match t.in_key {
            None => key.tun_id() == 0,
            Some(Fixed::To(id)) => id == key.tun_id(),
            Some(Fixed::Flow) => true,
        };
        let remote_fits = matches!(t.remote, Fixed::Flow) || t.remote == Fixed::To(remote);
        let (local_fits, local_rank) = match t.local {
            Some(Fixed::To(l)) => (l == local, 0),
            None => (true, 1),
            Some(Fixed::Flow) => (true, 2),
        };
        (self.odp == odp && key_fits && remote_fits && local_fits).then_some((
            matches!(t.in_key, Some(Fixed::Flow)),
            t.remote == Fixed::Flow,
            local_rank,
        ))
    }
}

/// True if the packet came out of a tunnel.
pub(crate) fn is_tunnelled(key: &FlowKey) -> bool {
    key.tun_dst() != 0 || key.tun_ipv6_dst() != 0
}

/// Words of a key that only tunnels have.
const TUNNEL_WORDS: usize = 8;

/// Bits that the choice of a tunnel port looked at; nothing of a tunnel for a packet that came out of none.
pub(crate) fn received(key: &FlowKey, wc: &mut Wildcards) {
    if !is_tunnelled(key) {
        return;
    }
    for s in [slot::tun_id, slot::tun_tos] {
        wc.unwildcard(s);
    }
    let ends = if key.tun_dst() != 0 {
        [slot::tun_src, slot::tun_dst]
    } else {
        [slot::tun_ipv6_src, slot::tun_ipv6_dst]
    };
    ends.iter().for_each(|s| wc.unwildcard(*s));
    let flags = wc.tun_flags() | TunnelKey::KEY;
    wc.set_tun_flags(flags);
}

/// Takes a tunnel's fields out of the wildcards of a packet that came out of none: its port says so.
pub(crate) fn forget(key: &FlowKey, wc: &mut Wildcards) {
    if is_tunnelled(key) {
        return;
    }
    wc.words_mut().iter_mut().take(TUNNEL_WORDS).for_each(|word| *word = 0);
    for s in [slot::tun_gtpu_flags, slot::tun_gtpu_msgtype, slot::tun_opts_len] {
        wc.set(s, 0);
    }
    slot::TUN_OPTS.iter().for_each(|s| wc.set(*s, 0));
}

/// Why a tunnel does not carry a packet: its number in a `drop` action (`enum xlate_error`).
#[derive(Clone, Copy)]
enum Fault {
    /// There is no way to the other end.
    Route = 12,
    /// The next hop's address is not known yet.
    Neighbour = 14,
    /// The header has no place for what the flow says.
    Header = 15,
}

fn is_ip(key: &FlowKey) -> bool {
    matches!(key.eth_type(), eth::TYPE_IPV4 | eth::TYPE_IPV6)
}

impl Xlate<'_> {
    /// Goes on in a bridge whose tunnel options are mapped otherwise.
    pub(crate) fn change_options(&mut self, from: &OptionMap, to: &OptionMap) {
        if from == to {
            return;
        }
        from.close(self.packet, &mut self.out.wc);
        self.set_aside_options();
        for key in [&mut self.flow, &mut self.base] {
            // More than a header takes leave by no tunnel.
            let options = from.options(key).unwrap_or_default();
            tun_metadata::clear(key);
            flow::extract::options(&options, key);
            to.open(key);
        }
    }

    /// Is back from there; `base` is what the datapath's packet was.
    pub(crate) fn return_options(&mut self, base: &FlowKey, from: &OptionMap, to: &OptionMap) {
        if from == to {
            return;
        }
        from.close(self.packet, &mut self.out.wc);
        self.set_aside_options();
        tun_metadata::clear(&mut self.base);
        tun_metadata::copy(base, &mut self.base);
    }

    /// Moves what was looked at of the packet's options out of the wildcards, where a bridge's places are.
    fn set_aside_options(&mut self) {
        tun_metadata::copy(&self.out.wc, &mut self.options);
        tun_metadata::clear(&mut self.out.wc);
    }

    /// Applies an outer congestion mark to the packet that came out of a tunnel (RFC 6040); false if it is dropped.
    pub(crate) fn process_ecn(&mut self) -> bool {
        if !is_tunnelled(&self.flow) || !is_ip(&self.flow) || self.flow.tun_tos() & ip::ECN_MASK != ip::ECN_CE
        {
            return true;
        }
        let looked = self.out.wc.nw_tos() | ip::ECN_MASK;
        self.out.wc.set_nw_tos(looked);
        if self.flow.nw_tos() & ip::ECN_MASK == ip::ECN_NOT_ECT {
            self.note(NodeKind::Warning, || {
                "dropping tunnel packet marked ECN CE but is not ECN capable".into()
            });
            return false;
        }
        self.flow.set_nw_tos(self.flow.nw_tos() | ip::ECN_CE);
        true
    }

    /// Drops what a tunnel cannot carry, for a reason that the datapath counts.
    fn tunnel_fails(&mut self, fault: Fault) {
        match fault {
            Fault::Route => self.note(NodeKind::Warning, || "native tunnel routing failed".into()),
            Fault::Header => self.note(NodeKind::Warning, || "native tunnel header build failed".into()),
            Fault::Neighbour => {}
        }
        let is_last = self.last;
        self.isolated(is_last, |x| x.out.actions.push(OdpAction::Drop(fault as u32)));
    }

    /// The address that a tunnel's packets are from, if the tunnel says so.
    fn own_address(&self, t: &Tunnel) -> Option<IpAddr> {
        match t.local {
            Some(Fixed::To(addr)) => Some(addr),
            Some(Fixed::Flow) => Some(addresses(&self.flow).0),
            None => None,
        }
    }

    /// Sends out of a tunnel port.
    pub(crate) fn send_to_tunnel(&mut self, t: &Tunnel, odp: OdpPort) {
        self.note(NodeKind::Detail, || "output to native tunnel".into());
        let Some(key) = self.tunnel_key(t) else { return self.tunnel_fails(Fault::Header) };
        let remote = match t.remote {
            Fixed::To(addr) => addr,
            Fixed::Flow => addresses(&self.flow).1,
        };
        if self.network.routes_tunnels && t.is_told_by_fields() {
            return self.leave_the_way_to_the_datapath(t, odp, key, remote);
        }
        let mark = t.egress_mark.unwrap_or(self.flow.pkt_mark());
        let own = self.own_address(t);
        let Some(route) = self.memory.route(remote, mark, own.filter(|addr| !addr.is_unspecified())) else {
            return self.tunnel_fails(Fault::Route);
        };
        self.note(NodeKind::Detail, || format!("tunneling to {remote} via {}", route.device));
        let network = self.network;
        let Some((index, bridge)) = network.bridge(&route.device) else {
            return self.tunnel_fails(Fault::Route);
        };
        let source = own.unwrap_or(route.source);
        let hop = route.gateway.unwrap_or(remote);
        let Some(eth_dst) = self.memory.neighbour(&route.device, hop) else {
            let asking = if hop.is_ipv4() { "ARP" } else { "ND" };
            self.note(NodeKind::Detail, || {
                format!("neighbor cache miss for {hop} on bridge {}, sending {asking} request", route.device)
            });
            self.out.credits.push(Credit::Resolve { bridge: index, source, target: hop });
            return self.tunnel_fails(Fault::Neighbour);
        };
        self.note(NodeKind::Detail, || {
            format!("tunneling from {} {source} to {eth_dst} {remote}", bridge.hw_addr)
        });
        let outer = ::tunnel::Outer {
            eth_src: bridge.hw_addr,
            eth_dst,
            src: bits(source),
            dst: bits(remote),
            is_ipv6: remote.is_ipv6(),
        };
        self.push_tunnel(t, odp, &key, &outer, index);
    }

    /// Says what the header is to have; the datapath makes it when it knows the way.
    fn leave_the_way_to_the_datapath(
        &mut self,
        t: &Tunnel,
        odp: OdpPort,
        mut key: TunnelKey,
        remote: IpAddr,
    ) {
        let local = self.own_address(t);
        match remote {
            IpAddr::V4(addr) => key.dst = addr.to_bits(),
            IpAddr::V6(addr) => key.ipv6_dst = addr.to_bits(),
        }
        match local {
            Some(IpAddr::V4(addr)) => key.src = addr.to_bits(),
            Some(IpAddr::V6(addr)) => key.ipv6_src = addr.to_bits(),
            None => {}
        }
        key.tp_dst = t.dst_port;
        let is_last = self.last;
        self.isolated(is_last, |x| {
            if let Some(mark) = t.egress_mark {
                x.flow.set_pkt_mark(mark);
            }
            x.commit();
            if t.is_l3 && x.flow.packet_type() == 0 {
                x.out.actions.push(OdpAction::PopEth);
            }
            x.out.actions.push(OdpAction::Set(Header::Tunnel(Box::new(key))));
            x.out.actions.push(OdpAction::Output(odp));
        });
    }

    fn push_tunnel(
        &mut self,
        t: &Tunnel,
        odp: OdpPort,
        key: &TunnelKey,
        outer: &::tunnel::Outer,
        underlay: usize,
    ) {
        let network = self.network;
        let Some(bridge) = network.bridges.get(underlay) else { return };
        let Some(out_port) = bridge.ports.get(&OfpPort::LOCAL).and_then(|p| p.odp) else { return };
        let segments: Vec<u128> = t.segments.iter().map(|s| s.to_bits()).collect();
        let packet_type = if t.is_l3 && self.flow.packet_type() == 0 {
            1 << 16 | u32::from(self.flow.eth_type())
        } else {
            self.flow.packet_type()
        };
        let shape = ::tunnel::Shape {
            dst_port: t.dst_port,
            gbp: t.gbp,
            gpe: t.gpe,
            sequence: t.sequence,
            packet_type,
            segments: &segments,
            label: 0,
        };
        let Some(header) = ::tunnel::build(t.kind, outer, key, &shape) else {
            return self.tunnel_fails(Fault::Header);
        };
        if !self.may_nest() {
            return;
        }
        let header = header.bytes().to_vec();
        let wc = self.out.wc;
        let above = (self.bridge_index, self.bridge, self.table, self.rule.take());
        let (stack, set) = (std::mem::take(&mut self.stack), std::mem::take(&mut self.action_set));
        let is_last = self.last;
        self.isolated(is_last, |x| {
            x.commit();
            if t.is_l3 && x.flow.packet_type() == 0 {
                x.out.actions.push(OdpAction::PopEth);
            }
            x.out.actions.push(OdpAction::TnlPush(Box::new(TnlPush {
                tnl_port: odp,
                out_port,
                kind: t.kind,
                header,
            })));
            (x.bridge_index, x.bridge) = (underlay, bridge);
            x.enter(NodeKind::Bridge, || format!("bridge(\"{}\")", bridge.name));
            x.flow = outer_flow(t, key, outer);
            x.base = x.flow;
            if let Some(mark) = t.egress_mark {
                x.flow.set_pkt_mark(mark);
            }
            x.table(0, OfpPort::LOCAL, true);
            x.run_action_set();
            x.leave();
        });
        // What the underlay's rules looked at is the outer packet's, which is the same for all.
        self.out.wc = wc;
        (self.bridge_index, self.bridge, self.table, self.rule) = above;
        (self.stack, self.action_set) = (stack, set);
        self.end_nest();
    }

    /// Looks at what a packet in the tunnel would inherit.
    pub(crate) fn look_at_inherited(&mut self, t: &Tunnel) {
        self.tunnel_key(t);
    }

    /// The tunnel fields to send with; looks at what it inherits. `None` if the options are more than a header takes.
    fn tunnel_key(&mut self, t: &Tunnel) -> Option<TunnelKey> {
        let f = &self.flow;
        let mut key = TunnelKey {
            gbp_id: f.tun_gbp_id(),
            gbp_flags: f.tun_gbp_flags(),
            gtpu_flags: f.tun_gtpu_flags(),
            gtpu_msgtype: f.tun_gtpu_msgtype(),
            ..TunnelKey::default()
        };
        (key.erspan_ver, key.erspan_idx, key.erspan_dir, key.erspan_hwid) = match t.erspan {
            (0, ..) => (f.tun_erspan_ver(), f.tun_erspan_idx(), f.tun_erspan_dir(), f.tun_erspan_hwid()),
            fixed => fixed,
        };
        match t.out_key {
            Some(Fixed::To(id)) => (key.id, key.flags) = (id, TunnelKey::KEY),
            Some(Fixed::Flow) => (key.id, key.flags) = (f.tun_id(), TunnelKey::KEY),
            None => {}
        }
        if t.kind == TunnelKind::Geneve {
            let map = &self.bridge.rules.options;
            map.look_at_all(f, &mut self.out.wc);
            key.options = map.options(f)?;
        }
        if t.df {
            key.flags |= TunnelKey::DF;
        }
        let udp6 =
            t.dst_port != 0 && t.kind != TunnelKind::Stt && matches!(t.remote, Fixed::To(IpAddr::V6(_)));
        if t.csum.unwrap_or(udp6) {
            key.flags |= TunnelKey::CSUM;
        }
        let inner_ip = is_ip(f);
        let (inner_ttl, inner_tos) = (f.nw_ttl(), f.nw_tos());
        key.ttl = match t.ttl {
            Outer::Inherit if inner_ip => {
                self.out.wc.unwildcard(slot::nw_ttl);
                inner_ttl
            }
            Outer::Inherit => 64,
            Outer::Value(ttl) => ttl,
        };
        key.tos = match t.tos {
            Outer::Inherit if inner_ip => {
                self.out.wc.unwildcard(slot::nw_tos);
                inner_tos & ip::DSCP_MASK
            }
            Outer::Inherit => 0,
            Outer::Value(tos) => tos & ip::DSCP_MASK,
        };
        if inner_ip {
            // Congestion marks are for the way that is left; the outer header starts without one.
            let looked = self.out.wc.nw_tos() | ip::ECN_MASK;
            self.out.wc.set_nw_tos(looked);
            key.tos |= if inner_tos & ip::ECN_MASK == ip::ECN_CE { 2 } else { inner_tos & ip::ECN_MASK };
        }
        Some(key)
    }

    /// A packet for the bridge's own port that belongs to a tunnel: the datapath's tunnel port.
    pub(crate) fn terminates(&mut self) -> Option<OdpPort> {
        let network = self.network;
        if network.tunnels.is_empty() || self.bridge.addresses.is_empty() {
            return None;
        }
        let dst = match self.flow.eth_type() {
            eth::TYPE_IPV4 => IpAddr::V4(self.flow.nw_dst().into()),
            eth::TYPE_IPV6 => IpAddr::V6(self.flow.ipv6_dst().into()),
            _ => return None,
        };
        for s in [slot::eth_dst, slot::nw_proto, slot::nw_frag] {
            self.out.wc.unwildcard(s);
        }
        self.out.wc.unwildcard(if dst.is_ipv4() { slot::nw_dst } else { slot::ipv6_dst });
        if self.flow.eth_dst() != self.bridge.hw_addr
            || self.flow.nw_frag() != 0
            || !self.bridge.addresses.contains(&dst)
        {
            return None;
        }
        let proto = self.flow.nw_proto();
        let has_stt = || network.tunnels.iter().any(|e| e.tunnel.kind == TunnelKind::Stt);
        if proto == ip::PROTO_UDP || proto == ip::PROTO_TCP && has_stt() {
            self.out.wc.unwildcard(slot::tp_dst);
        }
        let found = network.tunnels.iter().find(|e| match e.tunnel.kind {
            TunnelKind::Gre | TunnelKind::Erspan | TunnelKind::Ip6Gre | TunnelKind::Ip6Erspan => {
                proto == ip::PROTO_GRE
            }
            TunnelKind::Srv6 => matches!(proto, 4 | 41),
            TunnelKind::Stt => proto == ip::PROTO_TCP && self.flow.tp_dst() == e.tunnel.dst_port,
            _ => proto == ip::PROTO_UDP && self.flow.tp_dst() == e.tunnel.dst_port,
        });
        found.map(|e| e.odp)
    }

    /// Remembers the address in an ARP or neighbour reply to the bridge's own port.
    pub(crate) fn snoop_neighbour(&mut self) {
        let network = self.network;
        if network.tunnels.is_empty() {
            return;
        }
        let f = &self.flow;
        let wc = &mut self.out.wc;
        let (address, mac) = match f.eth_type() {
            eth::TYPE_ARP => {
                wc.unwildcard(slot::nw_proto);
                wc.unwildcard(slot::nw_dst);
                // Only what is told to us, not what others are told.
                let ours = self.bridge.addresses.contains(&IpAddr::V4(f.nw_dst().into()));
                if u16::from(f.nw_proto()) != ARP_REPLY || !ours {
                    return;
                }
                wc.unwildcard(slot::nw_src);
                wc.unwildcard(slot::arp_sha);
                (IpAddr::V4(f.nw_src().into()), f.arp_sha())
            }
            eth::TYPE_IPV6 => {
                wc.unwildcard(slot::nw_proto);
                if f.nw_proto() != ip::PROTO_ICMPV6 {
                    return;
                }
                wc.unwildcard(slot::tp_src);
                wc.unwildcard(slot::tp_dst);
                if f.tp_src() != NEIGHBOUR_ADVERT {
                    return;
                }
                wc.unwildcard(slot::nd_target);
                wc.unwildcard(slot::arp_tha);
                (IpAddr::V6(f.nd_target().into()), f.arp_tha())
            }
            _ => return,
        };
        if mac != wire::EthAddr::ZERO {
            self.out.credits.push(Credit::Neighbour { bridge: self.bridge_index, address, mac });
        }
    }

    /// Fails the translation of a packet that no tunnel port wants.
    pub(crate) fn refuse_congested(&mut self) {
        self.fail(XlateError::Congestion);
    }
}

fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The packet that a header makes, as the underlay's rules see it.
fn outer_flow(t: &Tunnel, key: &TunnelKey, outer: &::tunnel::Outer) -> FlowKey {
    let mut f = FlowKey::ZERO;
    f.set_in_port(OfpPort::LOCAL.0);
    f.set_actset_output(OfpPort::UNSET.0);
    f.set_eth_src(outer.eth_src);
    f.set_eth_dst(outer.eth_dst);
    if outer.is_ipv6 {
        f.set_eth_type(eth::TYPE_IPV6);
        f.set_ipv6_src(outer.src);
        f.set_ipv6_dst(outer.dst);
    } else {
        f.set_eth_type(eth::TYPE_IPV4);
        f.set_nw_src(outer.src as u32);
        f.set_nw_dst(outer.dst as u32);
    }
    f.set_nw_tos(key.tos);
    f.set_nw_ttl(key.ttl);
    f.set_nw_proto(match t.kind {
        TunnelKind::Gre | TunnelKind::Erspan | TunnelKind::Ip6Gre | TunnelKind::Ip6Erspan => ip::PROTO_GRE,
        TunnelKind::Srv6 => ip::EXT_ROUTING,
        TunnelKind::Stt => ip::PROTO_TCP,
        _ => ip::PROTO_UDP,
    });
    f.set_tp_dst(t.dst_port);
    f
}
