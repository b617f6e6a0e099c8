//! Reading a tunnel packet's headers.
//!
//! Where it sits: the datapath's `tnl_pop`. The frame's headers are contiguous; what is inside is not looked at.
//!
//! Spec: see `build.rs`; RFC 6935 for zero checksums over IPv6.

use odp::TunnelKind;
use packet::{TunnelKey, TunnelOptions};
use wire::tunnel::{erspan, geneve, gre, gtpu, srh, vni_at, vxlan};
use wire::{bytes, eth, ip, ipv4, ipv6, udp};

/// What a tunnel packet's headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Popped {
    /// The tunnel's fields.
    pub key: TunnelKey,
    /// Bytes of headers in front of what is inside.
    pub len: usize,
    /// Namespace and type of what is inside; zero is Ethernet.
    pub packet_type: u32,
}

/// Reads the headers of a packet of `kind`; `None` if it is none, or a fragment of one.
pub fn pop(kind: TunnelKind, head: &[u8]) -> Option<Popped> {
    let mut key = TunnelKey::default();
    let (len, packet_type) = read(kind, head, &mut key)?;
    Some(Popped { key, len, packet_type })
}

/// Bytes of headers, and what is inside.
type Inside = (usize, u32);

/// Reads the headers into a key, which is large, and therefore never on the way.
fn read(kind: TunnelKind, head: &[u8], key: &mut TunnelKey) -> Option<Inside> {
    let (proto, at) = outer(head, key)?;
    let wants = match kind {
        TunnelKind::Gre | TunnelKind::Erspan | TunnelKind::Ip6Gre | TunnelKind::Ip6Erspan => ip::PROTO_GRE,
        TunnelKind::Vxlan | TunnelKind::Geneve | TunnelKind::Gtpu | TunnelKind::BareUdp => ip::PROTO_UDP,
        // What follows the routing header; without one, what is inside follows at once.
        TunnelKind::Srv6 => return segments(head, at, proto),
        // What a segment carries is mostly no packet: `stt` reads them.
        TunnelKind::Stt => return None,
    };
    (proto == wants).then_some(())?;
    if proto == ip::PROTO_GRE {
        return gre(head, at, key);
    }
    let h = udp::UdpRef::parse(head.get(at..)?)?;
    (key.tp_src, key.tp_dst) = (h.src(), h.dst());
    if h.checksum() != 0 {
        key.flags |= TunnelKey::CSUM;
    }
    let at = at + udp::HEADER_LEN;
    match kind {
        TunnelKind::Vxlan => vxlan(head, at, key),
        TunnelKind::Geneve => geneve(head, at, key),
        TunnelKind::Gtpu => gtpu(head, at, key),
        _ => bare(head, at),
    }
}

/// Where the outer IP header is.
fn network_at(head: &[u8]) -> Option<usize> {
    let l3 = eth::HEADER_LEN;
    Some(if eth::is_vlan(bytes::u16_at(head, l3 - 2)?) { l3 + eth::VLAN_LEN } else { l3 })
}

/// Reads the outer Ethernet and IP headers: stores the tunnel's fields that they have; the protocol, and where it begins.
pub(crate) fn outer(head: &[u8], key: &mut TunnelKey) -> Option<(u8, usize)> {
    let l3 = network_at(head)?;
    let (proto, at) = match bytes::u16_at(head, l3 - 2)? {
        eth::TYPE_IPV4 => outer_v4(head.get(l3..)?, key)?,
        eth::TYPE_IPV6 => outer_v6(head.get(l3..)?, key)?,
        _ => return None,
    };
    Some((proto, l3 + at))
}

/// Bytes of the frame as its IP header says: without what Ethernet padded it with.
pub(crate) fn total_len(head: &[u8]) -> Option<usize> {
    let l3 = network_at(head)?;
    match bytes::u16_at(head, l3 - 2)? {
        eth::TYPE_IPV4 => Some(l3 + usize::from(bytes::u16_at(head, l3 + ipv4::OFF_TOTAL_LEN)?)),
        _ => Some(l3 + ipv6::HEADER_LEN + usize::from(bytes::u16_at(head, l3 + ipv6::OFF_PAYLOAD_LEN)?)),
    }
}

fn outer_v4(packet: &[u8], key: &mut TunnelKey) -> Option<(u8, usize)> {
    let h = ipv4::Ipv4Ref::parse(packet)?;
    if h.version() != 4 || h.header_len() < ipv4::HEADER_LEN || h.is_fragment() || !h.checksum_ok() {
        return None;
    }
    (key.src, key.dst, key.tos, key.ttl) = (h.src(), h.dst(), h.tos(), h.ttl());
    if h.frag() & ipv4::FLAG_DF != 0 {
        key.flags |= TunnelKey::DF;
    }
    Some((h.proto(), h.header_len()))
}

fn outer_v6(packet: &[u8], key: &mut TunnelKey) -> Option<(u8, usize)> {
    let h = ipv6::Ipv6Ref::parse(packet)?;
    (h.version() == 6).then_some(())?;
    (key.ipv6_src, key.ipv6_dst, key.tos, key.ttl) = (h.src(), h.dst(), h.traffic_class(), h.hop_limit());
    Some((h.next_header(), ipv6::HEADER_LEN))
}

/// Packet type of an Ethernet type inside.
fn typed(eth_type: u16) -> u32 {
    if eth_type == eth::TYPE_TEB { 0 } else { 1 << 16 | u32::from(eth_type) }
}

fn vxlan(head: &[u8], at: usize, key: &mut TunnelKey) -> Option<Inside> {
    let first = bytes::u32_at(head, at)?;
    (first & vxlan::FLAG_VNI != 0).then_some(())?;
    key.id = vni_at(head, at + 4)?.into();
    key.flags |= TunnelKey::KEY;
    let mut packet_type = 0;
    if first & vxlan::FLAG_GBP != 0 {
        key.gbp_id = first as u16;
        key.gbp_flags = (first >> 16) as u8;
    } else if first & vxlan::FLAG_NEXT_PROTO != 0 {
        (first & vxlan::GPE_VERSION == 0).then_some(())?;
        packet_type = match first as u8 {
            vxlan::NP_ETHERNET => 0,
            vxlan::NP_IPV4 => typed(eth::TYPE_IPV4),
            vxlan::NP_IPV6 => typed(eth::TYPE_IPV6),
            vxlan::NP_NSH => typed(eth::TYPE_NSH),
            vxlan::NP_MPLS => typed(eth::TYPE_MPLS),
            _ => return None,
        };
    }
    Some((at + vxlan::LEN, packet_type))
}

fn geneve(head: &[u8], at: usize, key: &mut TunnelKey) -> Option<Inside> {
    let [first, flags] = bytes::array(head, at)?;
    (first >> 6 == 0).then_some(())?;
    let options = usize::from(first & 0x3f) * 4;
    let start = at + geneve::LEN;
    key.options = TunnelOptions::new(head.get(start..start + options)?)?;
    key.id = vni_at(head, at + 4)?.into();
    key.flags |= TunnelKey::KEY;
    if flags & geneve::FLAG_OAM != 0 {
        key.flags |= TunnelKey::OAM;
    }
    Some((start + options, typed(bytes::u16_at(head, at + 2)?)))
}

fn gre(head: &[u8], at: usize, key: &mut TunnelKey) -> Option<Inside> {
    let (flags, proto) = (bytes::u16_at(head, at)?, bytes::u16_at(head, at + 2)?);
    (flags & (gre::FLAG_ROUTING | gre::VERSION) == 0).then_some(())?;
    let end = at + gre::header_len(flags);
    head.get(..end)?;
    if matches!(proto, gre::PROTO_ERSPAN1 | gre::PROTO_ERSPAN2) {
        return erspan(head, end, proto, key);
    }
    let mut next = at + gre::LEN;
    if flags & gre::FLAG_CSUM != 0 {
        key.flags |= TunnelKey::CSUM;
        next += 4;
    }
    if flags & gre::FLAG_KEY != 0 {
        key.flags |= TunnelKey::KEY;
        key.id = bytes::u32_at(head, next)?.into();
    }
    Some((end, typed(proto)))
}

fn erspan(head: &[u8], at: usize, proto: u16, key: &mut TunnelKey) -> Option<Inside> {
    let version = bytes::u16_at(head, at)? >> 12;
    key.id = u64::from(bytes::u16_at(head, at + 2)? & erspan::SESSION_MASK);
    key.flags |= TunnelKey::KEY;
    let len = match (version, proto) {
        (1, gre::PROTO_ERSPAN1) => {
            key.erspan_ver = 1;
            key.erspan_idx = bytes::u32_at(head, at + 4)? & 0xf_ffff;
            erspan::V1_LEN
        }
        (2, gre::PROTO_ERSPAN2) => {
            let last = bytes::u16_at(head, at + 10)?;
            key.erspan_ver = 2;
            key.erspan_dir = (last >> 3 & 1) as u8;
            key.erspan_hwid = (last >> 4 & 0x3f) as u8;
            // The last bit announces a subheader of eight bytes.
            erspan::V2_LEN + if last & 1 != 0 { 8 } else { 0 }
        }
        _ => return None,
    };
    let len = at + erspan::LEN + len;
    head.get(..len)?;
    Some((len, 0))
}

fn gtpu(head: &[u8], at: usize, key: &mut TunnelKey) -> Option<Inside> {
    let [flags, kind] = bytes::array(head, at)?;
    (flags & gtpu::FLAGS_FIXED == gtpu::FLAGS_DEFAULT).then_some(())?;
    (key.gtpu_flags, key.gtpu_msgtype) = (flags, kind);
    key.id = bytes::u32_at(head, at + 4)?.into();
    key.flags |= TunnelKey::KEY;
    let mut len = at + gtpu::LEN;
    // Only users' packets have one inside; the rest is for the switch to look at whole.
    if flags & gtpu::FLAGS_OPTIONS != 0 {
        len += gtpu::OPTIONS_LEN;
    }
    let version = bytes::u8_at(head, len)? >> 4;
    let inside = if version == 6 { eth::TYPE_IPV6 } else { eth::TYPE_IPV4 };
    Some((len, typed(inside)))
}

fn bare(head: &[u8], at: usize) -> Option<Inside> {
    let inside = match bytes::u8_at(head, at)? >> 4 {
        4 => eth::TYPE_IPV4,
        6 => eth::TYPE_IPV6,
        _ => eth::TYPE_MPLS,
    };
    Some((at, typed(inside)))
}

fn segments(head: &[u8], at: usize, proto: u8) -> Option<Inside> {
    let (next, len) = if proto == ip::EXT_ROUTING {
        let [next, words, kind, left] = bytes::array(head, at)?;
        // Segments left: the packet is on its way to somebody else.
        (kind == srh::TYPE && left == 0).then_some(())?;
        (next, at + 8 * (usize::from(words) + 1))
    } else {
        (proto, at)
    };
    head.get(..len)?;
    let inside = match next {
        4 => eth::TYPE_IPV4,
        41 => eth::TYPE_IPV6,
        _ => return None,
    };
    Some((len, typed(inside)))
}
