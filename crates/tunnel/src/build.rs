//! Building a tunnel's headers from a tunnel key.
//!
//! Where it sits: called by translation for `tnl_push`; lengths and checksums come when a packet is there.
//!
//! Spec: RFC 7348, RFC 8926, RFC 2890, draft-foschiano-erspan, 3GPP TS 29.281, RFC 7510, RFC 8754,
//! draft-davie-stt-08.

use odp::TunnelKind;
use packet::TunnelKey;
use wire::tunnel::{erspan, geneve, gre, gtpu, srh, vxlan};
use wire::{EthAddr, eth, ip, ipv4, ipv6, udp};

use crate::stt;

/// Most bytes of headers: Ethernet, IPv6, and six segments or a Geneve header with options.
pub const MAX_HEADER: usize = 328;

/// Headers under construction, and then done.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

impl Default for Header {
    fn default() -> Self {
        Header { bytes: [0; MAX_HEADER], len: 0 }
    }
}

impl Header {
    /// The headers' bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len.checked_add(bytes.len())?;
        self.bytes.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }
}

/// The addresses of the outer Ethernet and IP headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Source of the frame.
    pub eth_src: EthAddr,
    /// Destination of the frame.
    pub eth_dst: EthAddr,
    /// Source of the packet: of an IPv4 tunnel in the low 32 bits.
    pub src: u128,
    /// Destination of the packet.
    pub dst: u128,
    /// The addresses are IPv6.
    pub is_ipv6: bool,
}

/// What a tunnel port's configuration says of its headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape<'a> {
    /// UDP destination port; STT's TCP port.
    pub dst_port: u16,
    /// VXLAN with a group policy.
    pub gbp: bool,
    /// VXLAN with the generic protocol extension.
    pub gpe: bool,
    /// GRE with sequence numbers.
    pub sequence: bool,
    /// Namespace and type of what is inside; zero is Ethernet.
    pub packet_type: u32,
    /// SRv6: the segments, first to last; empty for the end point alone.
    pub segments: &'a [u128],
    /// IPv6 flow label.
    pub label: u32,
}

/// Builds all headers; `None` if the protocol cannot carry the packet, or has no place for what the key says.
pub fn build(kind: TunnelKind, outer: &Outer, key: &TunnelKey, shape: &Shape<'_>) -> Option<Header> {
    let mut h = Header::default();
    build_into(&mut h, kind, outer, key, shape).then_some(h)
}

/// The same into headers that are empty; false for `None`, and then they are of no use.
pub fn build_into(
    h: &mut Header,
    kind: TunnelKind,
    outer: &Outer,
    key: &TunnelKey,
    shape: &Shape<'_>,
) -> bool {
    try_build(h, kind, outer, key, shape).is_some()
}

fn try_build(
    h: &mut Header,
    kind: TunnelKind,
    outer: &Outer,
    key: &TunnelKey,
    shape: &Shape<'_>,
) -> Option<()> {
    h.put(&outer.eth_dst.0)?;
    h.put(&outer.eth_src.0)?;
    h.put(&if outer.is_ipv6 { eth::TYPE_IPV6 } else { eth::TYPE_IPV4 }.to_be_bytes())?;
    let proto = match kind {
        TunnelKind::Gre | TunnelKind::Erspan | TunnelKind::Ip6Gre | TunnelKind::Ip6Erspan => ip::PROTO_GRE,
        TunnelKind::Vxlan | TunnelKind::Geneve | TunnelKind::Gtpu | TunnelKind::BareUdp => ip::PROTO_UDP,
        TunnelKind::Srv6 => ip::EXT_ROUTING,
        TunnelKind::Stt => ip::PROTO_TCP,
    };
    network(h, outer, key, shape, proto)?;
    if proto == ip::PROTO_UDP {
        let checksum = if key.flags & TunnelKey::CSUM != 0 { 0xffff } else { 0 };
        h.put(&udp::Udp { src: 0, dst: shape.dst_port, length: 0, checksum }.emit())?;
    }
    match kind {
        TunnelKind::Vxlan => vxlan(h, key, shape)?,
        TunnelKind::Geneve => geneve(h, key, shape)?,
        TunnelKind::Gre | TunnelKind::Ip6Gre => gre(h, key, shape)?,
        TunnelKind::Erspan | TunnelKind::Ip6Erspan => erspan(h, key)?,
        TunnelKind::Gtpu => gtpu(h, key)?,
        TunnelKind::Srv6 => segments(h, outer, shape)?,
        TunnelKind::BareUdp => {}
        TunnelKind::Stt if shape.packet_type != 0 => return None,
        TunnelKind::Stt => stt::build(h, key, shape.dst_port)?,
    }
    Some(())
}

fn network(h: &mut Header, outer: &Outer, key: &TunnelKey, shape: &Shape<'_>, proto: u8) -> Option<()> {
    if outer.is_ipv6 {
        let dst = shape.segments.first().copied().unwrap_or(outer.dst);
        let header = ipv6::Ipv6 {
            traffic_class: key.tos,
            label: shape.label & ipv6::LABEL_MASK,
            payload_len: 0,
            next_header: proto,
            hop_limit: key.ttl,
            src: outer.src,
            dst,
        };
        return h.put(&header.emit());
    }
    let header = ipv4::Ipv4 {
        tos: key.tos,
        total_len: 0,
        id: 0,
        frag: if key.flags & TunnelKey::DF != 0 { ipv4::FLAG_DF } else { 0 },
        ttl: key.ttl,
        proto,
        src: outer.src as u32,
        dst: outer.dst as u32,
    };
    h.put(&header.emit())
}

/// The Ethernet type that says what is inside.
fn inner_type(packet_type: u32) -> Option<u16> {
    match packet_type >> 16 {
        0 => Some(eth::TYPE_TEB),
        1 => Some(packet_type as u16),
        _ => None,
    }
}

fn vxlan(h: &mut Header, key: &TunnelKey, shape: &Shape<'_>) -> Option<()> {
    let mut first = vxlan::FLAG_VNI;
    if shape.gpe {
        let next = match inner_type(shape.packet_type)? {
            eth::TYPE_TEB => vxlan::NP_ETHERNET,
            eth::TYPE_IPV4 => vxlan::NP_IPV4,
            eth::TYPE_IPV6 => vxlan::NP_IPV6,
            eth::TYPE_NSH => vxlan::NP_NSH,
            eth::TYPE_MPLS => vxlan::NP_MPLS,
            _ => return None,
        };
        first |= vxlan::FLAG_NEXT_PROTO | u32::from(next);
    } else if shape.packet_type != 0 {
        return None;
    }
    if shape.gbp && (key.gbp_id, key.gbp_flags) != (0, 0) {
        first |= vxlan::FLAG_GBP | u32::from(key.gbp_flags) << 16 | u32::from(key.gbp_id);
    }
    h.put(&first.to_be_bytes())?;
    h.put(&((key.id as u32) << 8).to_be_bytes())
}

fn geneve(h: &mut Header, key: &TunnelKey, shape: &Shape<'_>) -> Option<()> {
    let options = key.options.bytes();
    let critical = key.options.iter().any(|o| o.kind & geneve::CRITICAL != 0);
    let flags = if key.flags & TunnelKey::OAM != 0 { geneve::FLAG_OAM } else { 0 }
        | if critical { geneve::FLAG_CRITICAL } else { 0 };
    h.put(&[(options.len() / 4) as u8, flags])?;
    h.put(&inner_type(shape.packet_type)?.to_be_bytes())?;
    h.put(&((key.id as u32) << 8).to_be_bytes())?;
    h.put(options)
}

fn gre(h: &mut Header, key: &TunnelKey, shape: &Shape<'_>) -> Option<()> {
    let bits = [
        (key.flags & TunnelKey::CSUM != 0, gre::FLAG_CSUM),
        (key.flags & TunnelKey::KEY != 0, gre::FLAG_KEY),
        (shape.sequence, gre::FLAG_SEQ),
    ];
    let flags = bits.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
    h.put(&flags.to_be_bytes())?;
    h.put(&inner_type(shape.packet_type)?.to_be_bytes())?;
    if flags & gre::FLAG_CSUM != 0 {
        h.put(&[0; 4])?;
    }
    if flags & gre::FLAG_KEY != 0 {
        h.put(&(key.id as u32).to_be_bytes())?;
    }
    if flags & gre::FLAG_SEQ != 0 {
        h.put(&[0; 4])?;
    }
    Some(())
}

fn erspan(h: &mut Header, key: &TunnelKey) -> Option<()> {
    let (version, proto) = match key.erspan_ver {
        1 => (1u16, gre::PROTO_ERSPAN1),
        2 => (2, gre::PROTO_ERSPAN2),
        _ => return None,
    };
    h.put(&gre::FLAG_SEQ.to_be_bytes())?;
    h.put(&proto.to_be_bytes())?;
    h.put(&[0; 4])?;
    h.put(&(version << 12).to_be_bytes())?;
    h.put(&(key.id as u16 & erspan::SESSION_MASK).to_be_bytes())?;
    if version == 1 {
        return h.put(&(key.erspan_idx & 0xf_ffff).to_be_bytes());
    }
    h.put(&[0; 6])?;
    h.put(&(u16::from(key.erspan_hwid & 0x3f) << 4 | u16::from(key.erspan_dir & 1) << 3).to_be_bytes())
}

fn gtpu(h: &mut Header, key: &TunnelKey) -> Option<()> {
    // Options are the packet's own matter: the flags say that there are none.
    let kind = if key.gtpu_msgtype == 0 { gtpu::MSG_GPDU } else { key.gtpu_msgtype };
    h.put(&[gtpu::FLAGS_DEFAULT, kind, 0, 0])?;
    h.put(&(key.id as u32).to_be_bytes())
}

fn segments(h: &mut Header, outer: &Outer, shape: &Shape<'_>) -> Option<()> {
    let own = [outer.dst];
    let list = if shape.segments.is_empty() { &own[..] } else { shape.segments };
    if list.len() > srh::MAX_SEGMENTS || !outer.is_ipv6 {
        return None;
    }
    let next = match inner_type(shape.packet_type)? {
        eth::TYPE_IPV4 => 4,
        eth::TYPE_IPV6 => 41,
        _ => return None,
    };
    let last = list.len().checked_sub(1)? as u8;
    h.put(&[next, 2 * (last + 1), srh::TYPE, last, last, 0, 0, 0])?;
    list.iter().rev().try_for_each(|segment| h.put(&segment.to_be_bytes()))
}
