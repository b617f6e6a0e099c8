//! Total key extraction: any bytes become a key.
//!
//! Where it sits: the first thing the datapath does with a packet; translation, tracing and conntrack of inner packets
//! use it too. The frame's headers must be contiguous ([`HEADER_BYTES`] of them, or the whole frame).
//!
//! ~~~text
//! Ethernet → VLAN tags → MPLS | ARP | IPv4 | IPv6 (extension headers, fragments) → TCP | UDP | SCTP | ICMP | ICMPv6/ND
//! ~~~
//!
//! Invariants
//! I1  A header that is cut short or contradicts itself ends the key: its fields stay zero, and so does all behind it. A
//!     switch forwards what an end point would refuse (port 0, a bad checksum, an unknown type).
//! I2  Bytes behind the IP packet's own length are padding and never looked at.
//!
//! Spec: ovs-fields(7). Next: `datapath/src/worker.rs`.

use packet::{PacketMeta, TunnelKey, TunnelOptions};
use wire::icmpv6::{NdOption, NdRef};
use wire::{EthAddr, arp, bytes, eth, icmp, icmpv6, ip, ipv4, ipv6, nsh, sctp, tcp, udp};

use crate::{FlowKey, Frag};

/// Contiguous bytes that hold every header which extraction reads of ordinary packets.
pub const HEADER_BYTES: usize = 256;

/// Open vSwitch's default for how many VLAN tags are parsed (`other_config:vlan-limit`).
pub const DEFAULT_VLAN_LIMIT: u8 = 1;

/// Where the headers of a frame begin, in bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// The network header (or MPLS label stack), after any VLAN tags; `None` without a type.
    pub l3: Option<u16>,
    /// The transport header; `None` if the packet has none that can be read.
    pub l4: Option<u16>,
    /// The end of the IP packet: what follows is padding.
    pub end: u16,
}

struct Extract<'a> {
    /// The contiguous head of the frame.
    head: &'a [u8],
    /// Bytes of the whole frame; not less than `head`.
    len: usize,
    key: &'a mut FlowKey,
    layers: Layers,
}

/// Fills `key` with what is known of the packet; returns where its headers are.
///
/// `head` is the contiguous start of the frame, `len` the length of all of it. At most `vlan_limit` VLAN tags (0, 1 or
/// 2) are taken as such.
pub fn extract(meta: &PacketMeta, head: &[u8], len: usize, vlan_limit: u8, key: &mut FlowKey) -> Layers {
    *key = FlowKey::ZERO;
    metadata(meta, key);
    let end = u16::try_from(len).unwrap_or(u16::MAX);
    let mut x = Extract { head, len: len.max(head.len()), key, layers: Layers { end, ..Layers::default() } };
    let _ = match meta.packet_type {
        0 => x.ethernet(vlan_limit),
        other => x.bare(other),
    };
    x.layers
}

fn metadata(meta: &PacketMeta, key: &mut FlowKey) {
    key.set_in_port(meta.in_port.0);
    key.set_recirc_id(meta.recirc_id);
    key.set_dp_hash(meta.dp_hash);
    key.set_skb_priority(meta.skb_priority);
    key.set_pkt_mark(meta.skb_mark);
    key.set_packet_type(meta.packet_type);
    if meta.ct_state != 0 {
        connection(meta, key);
    }
    if meta.tunnel.is_set() {
        tunnel(meta, key);
    }
}

pub(crate) fn connection(meta: &PacketMeta, key: &mut FlowKey) {
    key.set_ct_state(meta.ct_state);
    key.set_ct_zone(meta.ct_zone);
    key.set_ct_mark(meta.ct_mark);
    key.set_ct_label(meta.ct_label);
    let Some(tuple) = &meta.ct_tuple else { return };
    if tuple.is_ipv6 {
        key.set_ct_ipv6_src(tuple.src);
        key.set_ct_ipv6_dst(tuple.dst);
    } else {
        key.set_ct_nw_src(tuple.src as u32);
        key.set_ct_nw_dst(tuple.dst as u32);
    }
    key.set_ct_nw_proto(tuple.proto);
    key.set_ct_tp_src(tuple.tp_src);
    key.set_ct_tp_dst(tuple.tp_dst);
}

pub(crate) fn tunnel(meta: &PacketMeta, key: &mut FlowKey) {
    let t = &meta.tunnel;
    key.set_tun_id(t.id);
    key.set_tun_src(t.src);
    key.set_tun_dst(t.dst);
    key.set_tun_ipv6_src(t.ipv6_src);
    key.set_tun_ipv6_dst(t.ipv6_dst);
    key.set_tun_flags(t.flags & !TunnelKey::SEND);
    key.set_tun_ttl(t.ttl);
    key.set_tun_tos(t.tos);
    key.set_tun_tp_src(t.tp_src);
    key.set_tun_tp_dst(t.tp_dst);
    key.set_tun_gbp_id(t.gbp_id);
    key.set_tun_gbp_flags(t.gbp_flags);
    key.set_tun_erspan_ver(t.erspan_ver);
    key.set_tun_erspan_idx(t.erspan_idx);
    key.set_tun_erspan_dir(t.erspan_dir);
    key.set_tun_erspan_hwid(t.erspan_hwid);
    key.set_tun_gtpu_flags(t.gtpu_flags);
    key.set_tun_gtpu_msgtype(t.gtpu_msgtype);
    options(&t.options, key);
}

/// Stores a tunnel's options as the datapath has them.
pub fn options(options: &TunnelOptions, key: &mut FlowKey) {
    let bytes = options.bytes().len();
    if bytes == 0 {
        return;
    }
    key.set_tun_opts_len(bytes as u8);
    for (slot, word) in crate::slot::TUN_OPTS.iter().zip(options.words()).take(bytes.div_ceil(16)) {
        key.set(*slot, word);
    }
}

/// The options of a key as the datapath has it; of a mask, as much as there is room for.
pub fn options_of(key: &FlowKey) -> TunnelOptions {
    TunnelOptions::from_words(crate::slot::TUN_OPTS.iter().map(|slot| key.get(*slot)), key.tun_opts_len())
}

/// Offsets fit 16 bits, or the layer counts as unreadable.
fn offset(at: usize) -> Option<u16> {
    u16::try_from(at).ok()
}

/// Every step returns `None` where the key ends early (I1).
impl Extract<'_> {
    fn ethernet(&mut self, vlan_limit: u8) -> Option<()> {
        self.key.set_eth_dst(EthAddr(bytes::array(self.head, 0)?));
        self.key.set_eth_src(EthAddr(bytes::array(self.head, 6)?));
        let mut at = eth::HEADER_LEN - 2;
        if vlan_limit > 0 && self.is_tag(at) {
            self.key.set_vlan_tpid(bytes::u16_at(self.head, at)?);
            self.key.set_vlan_tci(bytes::u16_at(self.head, at + 2)? | eth::VLAN_CFI);
            at += eth::VLAN_LEN;
            if vlan_limit > 1 && self.is_tag(at) {
                self.key.set_vlan2_tpid(bytes::u16_at(self.head, at)?);
                self.key.set_vlan2_tci(bytes::u16_at(self.head, at + 2)? | eth::VLAN_CFI);
                at += eth::VLAN_LEN;
            }
        }
        let (eth_type, l3) = self.ether_type(at)?;
        self.network(eth_type, l3)
    }

    /// A packet that begins with its network header: of namespace 1, whose types are Ethernet's.
    fn bare(&mut self, packet_type: u32) -> Option<()> {
        (packet_type >> 16 == 1).then_some(())?;
        self.network(packet_type as u16, 0)
    }

    fn network(&mut self, eth_type: u16, l3: usize) -> Option<()> {
        self.key.set_eth_type(eth_type);
        self.layers.l3 = offset(l3);
        match eth_type {
            eth::TYPE_IPV4 => self.ipv4(l3),
            eth::TYPE_IPV6 => self.ipv6(l3),
            eth::TYPE_ARP | eth::TYPE_RARP => self.arp(l3),
            eth::TYPE_NSH => self.nsh(l3),
            t if eth::is_mpls(t) => self.mpls(l3),
            _ => None,
        }
    }

    fn nsh(&mut self, l3: usize) -> Option<()> {
        let h = nsh::NshRef::parse(self.head.get(l3..)?)?;
        let context = h.context();
        if h.version() != 0 || (h.md_type() == nsh::MD_TYPE1 && context.is_none()) {
            return None;
        }
        self.key.set_nsh_flags(h.flags());
        self.key.set_nsh_ttl(h.ttl());
        self.key.set_nsh_mdtype(h.md_type());
        self.key.set_nsh_np(h.next_proto());
        self.key.set_nsh_spi(h.spi());
        self.key.set_nsh_si(h.si());
        if let Some([c1, c2, c3, c4]) = context {
            self.key.set_nsh_c1(c1);
            self.key.set_nsh_c2(c2);
            self.key.set_nsh_c3(c3);
            self.key.set_nsh_c4(c4);
        }
        None
    }

    /// A tag counts only if the type behind it is there too.
    fn is_tag(&self, at: usize) -> bool {
        bytes::u16_at(self.head, at).is_some_and(eth::is_vlan) && self.head.len() >= at + eth::VLAN_LEN + 2
    }

    /// The type at `at` and where the payload begins; LLC/SNAP frames carry it further in (RFC 1042).
    fn ether_type(&self, at: usize) -> Option<(u16, usize)> {
        let first = bytes::u16_at(self.head, at)?;
        if first >= eth::TYPE_MIN {
            return Some((first, at + 2));
        }
        if bytes::array::<6>(self.head, at + 2) == Some([0xaa, 0xaa, 3, 0, 0, 0])
            && let Some(snap) = bytes::u16_at(self.head, at + 8)
            && snap >= eth::TYPE_MIN
        {
            return Some((snap, at + 10));
        }
        Some((eth::TYPE_NONE, at + 2))
    }

    fn mpls(&mut self, l3: usize) -> Option<()> {
        const BOTTOM: u32 = 0x100;
        let first = bytes::u32_at(self.head, l3)?;
        self.key.set_mpls_lse0(first);
        if first & BOTTOM != 0 {
            return None;
        }
        let second = bytes::u32_at(self.head, l3 + 4)?;
        self.key.set_mpls_lse1(second);
        if second & BOTTOM == 0 {
            self.key.set_mpls_lse2(bytes::u32_at(self.head, l3 + 8)?);
        }
        None
    }

    fn arp(&mut self, l3: usize) -> Option<()> {
        let arp = arp::ArpRef::parse(self.head.get(l3..)?)?;
        if !arp.is_ethernet_ipv4() {
            return None;
        }
        self.key.set_nw_proto(u8::try_from(arp.op()).unwrap_or(0));
        self.key.set_nw_src(arp.spa());
        self.key.set_nw_dst(arp.tpa());
        self.key.set_arp_sha(arp.sha());
        self.key.set_arp_tha(arp.tha());
        Some(())
    }

    fn ipv4(&mut self, l3: usize) -> Option<()> {
        let h = ipv4::Ipv4Ref::parse(self.head.get(l3..)?)?;
        let (header, total) = (h.header_len(), usize::from(h.total_len()));
        if h.version() != 4 || header < ipv4::HEADER_LEN || total < header || l3 + total > self.len {
            return None;
        }
        self.head.get(l3..l3 + header)?;
        self.layers.end = offset(l3 + total)?;
        self.key.set_nw_src(h.src());
        self.key.set_nw_dst(h.dst());
        self.key.set_nw_proto(h.proto());
        self.key.set_nw_tos(h.tos());
        self.key.set_nw_ttl(h.ttl());
        if h.is_fragment() {
            let later = h.is_later_fragment();
            self.key.set_nw_frag(if later { Frag::Later } else { Frag::First } as u8);
            if later {
                return None;
            }
        }
        self.transport(l3 + header, h.proto())
    }

    fn ipv6(&mut self, l3: usize) -> Option<()> {
        let packet = self.head.get(l3..)?;
        let h = ipv6::Ipv6Ref::parse(packet)?;
        let total = ipv6::HEADER_LEN + usize::from(h.payload_len());
        if h.version() != 6 || l3 + total > self.len {
            return None;
        }
        self.layers.end = offset(l3 + total)?;
        let packet = packet.get(..total).unwrap_or(packet);
        let payload = ipv6::walk_extensions(packet, h.next_header());
        if !payload.complete {
            return None;
        }
        self.key.set_ipv6_src(h.src());
        self.key.set_ipv6_dst(h.dst());
        self.key.set_ipv6_label(h.label());
        self.key.set_nw_proto(payload.proto);
        self.key.set_nw_tos(h.traffic_class());
        self.key.set_nw_ttl(h.hop_limit());
        if let Some(frag) = payload.frag.filter(|f| f.is_fragment()) {
            self.key.set_nw_frag(if frag.is_later() { Frag::Later } else { Frag::First } as u8);
            if frag.is_later() {
                return None;
            }
        }
        self.transport(l3 + payload.offset, payload.proto)
    }

    fn transport(&mut self, l4: usize, proto: u8) -> Option<()> {
        let end = usize::from(self.layers.end).min(self.head.len());
        let segment = self.head.get(l4..end)?;
        let ipv6 = self.key.eth_type() == eth::TYPE_IPV6;
        let least = match proto {
            ip::PROTO_TCP => tcp::HEADER_LEN,
            ip::PROTO_UDP => udp::HEADER_LEN,
            ip::PROTO_SCTP => sctp::HEADER_LEN,
            ip::PROTO_ICMP if !ipv6 => icmp::HEADER_LEN,
            ip::PROTO_ICMPV6 if ipv6 => icmp::HEADER_LEN,
            _ => {
                self.layers.l4 = offset(l4);
                return None;
            }
        };
        if segment.len() < least {
            return None;
        }
        self.layers.l4 = offset(l4);
        if matches!(proto, ip::PROTO_ICMP | ip::PROTO_ICMPV6) {
            self.key.set_tp_src(u16::from(bytes::u8_at(segment, icmp::OFF_TYPE)?));
            self.key.set_tp_dst(u16::from(bytes::u8_at(segment, icmp::OFF_CODE)?));
            return if ipv6 { self.neighbour(l4, end) } else { Some(()) };
        }
        self.key.set_tp_src(bytes::u16_at(segment, tcp::OFF_SRC)?);
        self.key.set_tp_dst(bytes::u16_at(segment, tcp::OFF_DST)?);
        if proto == ip::PROTO_TCP {
            self.key.set_tcp_flags(bytes::u16_at(segment, tcp::OFF_FLAGS)? & tcp::FLAGS_MASK);
        }
        Some(())
    }

    /// Target and link-layer addresses of neighbour discovery; a broken option leaves them all out.
    fn neighbour(&mut self, l4: usize, end: usize) -> Option<()> {
        let (kind, code) = (self.key.tp_src() as u8, self.key.tp_dst() as u8);
        if !icmpv6::is_nd(kind, code) {
            return Some(());
        }
        let nd = NdRef::parse(self.head.get(l4..end)?)?;
        let (mut sll, mut tll) = (EthAddr::ZERO, EthAddr::ZERO);
        let mut first_option = 0;
        for option in nd.options() {
            let seen = match option {
                NdOption::LinkAddr { kind: icmpv6::OPT_SOURCE_LINK_ADDR, addr, .. } => {
                    if sll != EthAddr::ZERO {
                        return None;
                    }
                    sll = addr;
                    icmpv6::OPT_SOURCE_LINK_ADDR
                }
                NdOption::LinkAddr { kind, addr, .. } => {
                    if tll != EthAddr::ZERO {
                        return None;
                    }
                    tll = addr;
                    kind
                }
                NdOption::Other { kind, .. } => kind,
                NdOption::Broken => return None,
            };
            if first_option == 0 {
                first_option = seen;
            }
        }
        self.key.set_nd_target(nd.target());
        self.key.set_nd_reserved(nd.reserved());
        self.key.set_nd_options_type(first_option);
        self.key.set_arp_sha(sll);
        self.key.set_arp_tha(tll);
        Some(())
    }
}

#[cfg(test)]
mod tests;
