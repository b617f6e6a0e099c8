//! From a packet's bytes to what the tracker needs: its tuple, its segment, the packet it quotes.
//!
//! Where it sits: the first step of `process.rs`. Total: whatever the bytes are, the answer is facts or "cannot be
//! tracked", which makes the packet `inv`.
//!
//! An ICMP error has no tuple of its own: it is looked up by the reverse of the packet that it quotes, which is
//! what a packet of the error's own direction would have.
//!
//! Fragments cannot be tracked: datagrams can, which `fragments.rs` makes of them.

use packet::L4Checksum;
use wire::checksum::{Sum, pseudo_v4, pseudo_v6};
use wire::icmp::IcmpRef;
use wire::icmpv6::Icmpv6Ref;
use wire::ipv4::Ipv4Ref;
use wire::ipv6::Ipv6Ref;
use wire::sctp::SctpRef;
use wire::tcp::TcpRef;
use wire::udp::UdpRef;
use wire::{eth, icmp, icmpv6, ip, ipv4, ipv6, sctp, tcp, udp};

use crate::action::CtPacket;
use crate::counters::Counter;
use crate::tcp::TcpSegment;
use crate::tuple::Tuple;

/// Where the headers of a packet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The IP header.
    pub l3: usize,
    /// The transport header.
    pub l4: usize,
    /// The end of the packet, by its IP header.
    pub end: usize,
}

/// What a packet is to the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The tuple to look up.
    pub tuple: Tuple,
    pub layout: Layout,
    pub kind: Kind,
}

/// What kind of packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp(TcpSegment),
    Icmp,
    Other,
    /// An error that quotes a packet; where the quoted headers are.
    Error(Layout),
}

/// A packet that cannot be tracked, and the counter of why, if there is one.
pub(crate) type Untrackable = Option<Counter>;

/// Whether checksums are verified: not in quoted packets, which are cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Quoted,
}

/// Which checksums were verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    pub l3: bool,
    pub l4: bool,
}

/// Reads a packet in `zone`.
pub(crate) fn extract(packet: &CtPacket<'_>, zone: u16, seen: &mut Verified) -> Result<Facts, Untrackable> {
    let head: &[u8] = packet.head;
    let (tuple, layout) = network(head, packet.l3, packet.eth_type, packet.len, Part::Whole, seen)?;
    let tuple = Tuple { zone, ..tuple };
    if packet.l4_checksum == L4Checksum::Bad {
        return Err(Some(Counter::L4csumErr));
    }
    let facts = transport(head, tuple, layout)?;
    let verify = packet.l4_checksum == L4Checksum::Unknown && head.len() >= layout.end;
    if verify && has_checksum(&tuple, head, layout) {
        seen.l4 = true;
        if !checksum_ok(&tuple, head, layout) {
            return Err(Some(Counter::L4csumErr));
        }
    }
    Ok(facts)
}

/// Reads an IP header at `l3`: addresses and protocol, and where the payload is.
fn network(
    head: &[u8],
    l3: usize,
    eth_type: u16,
    limit: usize,
    part: Part,
    seen: &mut Verified,
) -> Result<(Tuple, Layout), Untrackable> {
    let bytes = head.get(l3..).ok_or(None)?;
    match eth_type {
        eth::TYPE_IPV4 => {
            let h = Ipv4Ref::parse(bytes).filter(|h| h.version() == 4).ok_or(None)?;
            let header = h.header().ok_or(None)?;
            let end = l3.saturating_add(usize::from(h.total_len()));
            if h.is_fragment() || usize::from(h.total_len()) < header.len() {
                return Err(None);
            }
            if part == Part::Whole {
                seen.l3 = true;
                if !h.checksum_ok() {
                    return Err(Some(Counter::L3csumErr));
                }
            }
            let tuple =
                Tuple { src: h.src().into(), dst: h.dst().into(), proto: h.proto(), ..Tuple::default() };
            bounded(tuple, Layout { l3, l4: l3.saturating_add(header.len()), end }, limit, part)
        }
        eth::TYPE_IPV6 => {
            let h = Ipv6Ref::parse(bytes).filter(|h| h.version() == 6).ok_or(None)?;
            let after = ipv6::walk_extensions(bytes, h.next_header());
            if !after.complete || after.frag.is_some_and(|f| f.is_fragment()) {
                return Err(None);
            }
            let end = l3.saturating_add(ipv6::HEADER_LEN).saturating_add(usize::from(h.payload_len()));
            let tuple =
                Tuple { src: h.src(), dst: h.dst(), proto: after.proto, is_ipv6: true, ..Tuple::default() };
            bounded(tuple, Layout { l3, l4: l3.saturating_add(after.offset), end }, limit, part)
        }
        _ => Err(None),
    }
}

/// Refuses a packet whose headers run past its end, or, unless it is quoted, whose end is past the frame's.
fn bounded(tuple: Tuple, layout: Layout, limit: usize, part: Part) -> Result<(Tuple, Layout), Untrackable> {
    if layout.l4 > layout.end || part == Part::Whole && layout.end > limit {
        return Err(None);
    }
    Ok((tuple, layout))
}

/// Reads the transport header of a whole packet.
fn transport(head: &[u8], tuple: Tuple, layout: Layout) -> Result<Facts, Untrackable> {
    let bytes = head.get(layout.l4..).ok_or(None)?;
    let len = layout.end.saturating_sub(layout.l4);
    let facts =
        |src_port, dst_port, kind| Ok(Facts { tuple: Tuple { src_port, dst_port, ..tuple }, layout, kind });
    match tuple.proto {
        ip::PROTO_TCP => {
            let h = TcpRef::parse(bytes).ok_or(None)?;
            let segment = TcpSegment::read(&h, len).ok_or(None)?;
            facts(h.src(), h.dst(), Kind::Tcp(segment))
        }
        ip::PROTO_UDP => {
            let h = UdpRef::parse(bytes).ok_or(None)?;
            if usize::from(h.length()) < udp::HEADER_LEN || usize::from(h.length()) != len {
                return Err(None);
            }
            facts(h.src(), h.dst(), Kind::Other)
        }
        ip::PROTO_SCTP => {
            let h = SctpRef::parse(bytes).filter(|_| len >= sctp::HEADER_LEN).ok_or(None)?;
            facts(h.src(), h.dst(), Kind::Other)
        }
        _ if tuple.is_icmp() => icmp_message(head, tuple, layout),
        _ => facts(0, 0, Kind::Other),
    }
}

fn icmp_message(head: &[u8], tuple: Tuple, layout: Layout) -> Result<Facts, Untrackable> {
    let bytes = head.get(layout.l4..).ok_or(None)?;
    if layout.end - layout.l4 < icmp::HEADER_LEN {
        return Err(None);
    }
    if let Some(query) = icmp_query(bytes, &tuple) {
        return Ok(Facts { tuple: query, layout, kind: Kind::Icmp });
    }
    let h = IcmpRef::parse(bytes).ok_or(None)?;
    let (is_error, eth_type) = if tuple.is_ipv6 {
        (icmpv6::is_error(h.icmp_type()), eth::TYPE_IPV6)
    } else {
        (icmp::is_error(h.icmp_type()), eth::TYPE_IPV4)
    };
    if !is_error {
        return Err(None);
    }
    let quoted = layout.l4.saturating_add(icmp::HEADER_LEN);
    let (inner, inner_layout) =
        network(head, quoted, eth_type, layout.end, Part::Quoted, &mut Verified::default())?;
    // An error goes to whoever sent the packet that it quotes.
    if inner.src != tuple.dst {
        return Err(None);
    }
    let inner = quoted_ports(head.get(inner_layout.l4..).ok_or(None)?, Tuple { zone: tuple.zone, ..inner })?;
    Ok(Facts { tuple: inner.reversed(), layout, kind: Kind::Error(inner_layout) })
}

/// The tuple of a query or its answer; `None` for other messages.
fn icmp_query(bytes: &[u8], tuple: &Tuple) -> Option<Tuple> {
    let is_query = |t: u8| match tuple.is_ipv6 {
        true => matches!(t, icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY),
        false => matches!(
            t,
            icmp::ECHO_REQUEST
                | icmp::ECHO_REPLY
                | icmp::TIMESTAMP
                | icmp::TIMESTAMP_REPLY
                | icmp::INFO_REQUEST
                | icmp::INFO_REPLY
        ),
    };
    let h = Icmpv6Ref::parse(bytes).filter(|h| is_query(h.icmp_type()))?;
    let id = h.id()?;
    Some(Tuple { src_port: id, dst_port: id, icmp_type: h.icmp_type(), icmp_code: h.code(), ..*tuple })
}

/// The tuple of a quoted packet, of which errors must carry only the first eight bytes of transport.
fn quoted_ports(bytes: &[u8], tuple: Tuple) -> Result<Tuple, Untrackable> {
    if tuple.is_icmp() {
        return icmp_query(bytes, &tuple).ok_or(None);
    }
    if !tuple.has_ports() {
        return Ok(tuple);
    }
    let h = UdpRef::parse(bytes).ok_or(None)?;
    Ok(Tuple { src_port: h.src(), dst_port: h.dst(), ..tuple })
}

/// True if the transport has a checksum, and this packet uses it.
fn has_checksum(tuple: &Tuple, head: &[u8], layout: Layout) -> bool {
    match tuple.proto {
        ip::PROTO_TCP | ip::PROTO_SCTP => true,
        ip::PROTO_UDP => {
            head.get(layout.l4..).and_then(UdpRef::parse).is_some_and(|h| h.checksum() != 0 || tuple.is_ipv6)
        }
        _ => tuple.is_icmp(),
    }
}

fn checksum_ok(tuple: &Tuple, head: &[u8], layout: Layout) -> bool {
    let Some(bytes) = head.get(layout.l4..layout.end) else { return false };
    if tuple.proto == ip::PROTO_SCTP {
        return SctpRef::parse(bytes).is_some_and(|h| h.checksum() == sctp::crc32c(bytes));
    }
    let pseudo = if tuple.is_ipv6 {
        pseudo_v6(tuple.src, tuple.dst, tuple.proto, bytes.len() as u32)
    } else if tuple.is_icmp() {
        Sum::new()
    } else {
        pseudo_v4(tuple.src as u32, tuple.dst as u32, tuple.proto, bytes.len() as u16)
    };
    pseudo.bytes(bytes).finish() == 0
}

/// Where in the transport header its checksum is, if its kind covers addresses or ports by sums.
pub(crate) const fn checksum_offset(tuple: &Tuple) -> Option<usize> {
    match tuple.proto {
        ip::PROTO_TCP => Some(tcp::OFF_CHECKSUM),
        ip::PROTO_UDP => Some(udp::OFF_CHECKSUM),
        _ if tuple.is_icmp() => Some(icmp::OFF_CHECKSUM),
        _ => None,
    }
}

/// Where in the IP header source and destination are, and how long each is.
pub(crate) const fn address_offsets(is_ipv6: bool) -> (usize, usize) {
    if is_ipv6 { (ipv6::OFF_SRC, ipv6::OFF_DST) } else { (ipv4::OFF_SRC, ipv4::OFF_DST) }
}
