//! Rewriting headers in place, with their checksums.
//!
//! Where it sits: the byte work of `execute`. It knows actions and layers, nothing of flows.
//!
//! Checksums are updated incrementally (RFC 1624), so a wrong one stays wrong and a right one stays right. A partial
//! transport checksum ([`L4Checksum::Partial`]) is a sum over the pseudo header only, not complemented: addresses
//! change it, ports and payload do not.
//!
//! Next: `wire/src/checksum.rs`.

use flow::{FlowKey, Frag};
use odp::Header;
use packet::{DropReason, L4Checksum, PacketBuf};
use wire::checksum::{update_u16, update_u32, update_u128};
use wire::{EthAddr, arp, bytes, eth, icmp, icmpv6, ip, ipv4, ipv6, nsh, sctp, tcp, udp};

use crate::execute::Packet;

type Done = Result<(), DropReason>;

/// The header that the action writes is not there, or memory is short.
const MISFIT: DropReason = DropReason::InvalidAction;

/// Puts `new` where `mask` has ones.
macro_rules! blend {
    ($old:expr, $new:expr, $mask:expr) => {
        $old & !$mask | $new & $mask
    };
}

/// Writes the fields of `value` under `mask` (all of them without one). `key` tells what the packet is.
pub(crate) fn set<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    value: &Header,
    mask: Option<&Header>,
) -> Done {
    match (value, mask) {
        (Header::Priority(v), _) => p.meta.skb_priority = *v,
        (Header::Mark(v), Some(Header::Mark(m))) => p.meta.skb_mark = blend!(p.meta.skb_mark, v, m),
        (Header::Mark(v), _) => p.meta.skb_mark = *v,
        _ => return bytes_of(p, key, value, mask).ok_or(MISFIT),
    }
    Ok(())
}

fn bytes_of<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    value: &Header,
    mask: Option<&Header>,
) -> Option<()> {
    match (value, mask) {
        (Header::Ethernet { src, dst }, m) => {
            let (ms, md) = match m {
                Some(Header::Ethernet { src, dst }) => (*src, *dst),
                _ => (EthAddr::BROADCAST, EthAddr::BROADCAST),
            };
            let head = p.buf.head_mut();
            put_eth(head, 0, *dst, md)?;
            put_eth(head, 6, *src, ms)
        }
        (Header::Vlan { tci }, m) => {
            let mask = if let Some(Header::Vlan { tci }) = m { *tci } else { !eth::VLAN_CFI };
            // In a key the CFI bit means "tag present"; in the frame it stays as it is.
            put_u16(p.buf.head_mut(), eth::HEADER_LEN, *tci, mask & !eth::VLAN_CFI).map(|_| ())
        }
        (Header::Mpls { lse }, m) => {
            let mask = if let Some(Header::Mpls { lse }) = m { *lse } else { u32::MAX };
            let l3 = usize::from(p.layers.l3?);
            eth::is_mpls(key.eth_type()).then_some(())?;
            put_u32(p.buf.head_mut(), l3, *lse, mask).map(|_| ())
        }
        (Header::Ipv4 { .. }, m) => set_ipv4(p, key, value, m),
        (Header::Ipv6 { .. }, m) => set_ipv6(p, key, value, m),
        (Header::Tcp { src, dst }, m) => {
            let mask = if let Some(Header::Tcp { src, dst }) = m { (*src, *dst) } else { (0xffff, 0xffff) };
            set_ports(p, key, ip::PROTO_TCP, (*src, *dst), mask)
        }
        (Header::Udp { src, dst }, m) => {
            let mask = if let Some(Header::Udp { src, dst }) = m { (*src, *dst) } else { (0xffff, 0xffff) };
            set_ports(p, key, ip::PROTO_UDP, (*src, *dst), mask)
        }
        (Header::Sctp { src, dst }, m) => {
            let mask = if let Some(Header::Sctp { src, dst }) = m { (*src, *dst) } else { (0xffff, 0xffff) };
            set_ports(p, key, ip::PROTO_SCTP, (*src, *dst), mask)
        }
        (Header::Icmp { kind, code }, m) => {
            let mask = if let Some(Header::Icmp { kind, code }) = m { [*kind, *code] } else { [0xff; 2] };
            set_icmp(p, key, ip::PROTO_ICMP, [*kind, *code], mask)
        }
        (Header::Icmpv6 { kind, code }, m) => {
            let mask = if let Some(Header::Icmpv6 { kind, code }) = m { [*kind, *code] } else { [0xff; 2] };
            set_icmp(p, key, ip::PROTO_ICMPV6, [*kind, *code], mask)
        }
        (Header::Arp { .. }, m) => set_arp(p, key, value, m),
        (Header::Nd { .. }, m) => set_nd(p, key, value, m),
        (Header::NdExtensions { .. }, m) => set_nd_extensions(p, key, value, m),
        (Header::Nsh(fields), m) => {
            let mask = if let Some(Header::Nsh(m)) = m { Some(m) } else { None };
            set_nsh(p, key, fields, mask)
        }
        (Header::Priority(_) | Header::Mark(_) | Header::Tunnel(_), _) => Some(()),
    }
}

/// Blends a 16-bit field; returns old and new.
fn put_u16(head: &mut [u8], at: usize, new: u16, mask: u16) -> Option<(u16, u16)> {
    let old = bytes::u16_at(head, at)?;
    let new = blend!(old, new, mask);
    bytes::put(head, at, &new.to_be_bytes())?;
    Some((old, new))
}

fn put_u32(head: &mut [u8], at: usize, new: u32, mask: u32) -> Option<(u32, u32)> {
    let old = bytes::u32_at(head, at)?;
    let new = blend!(old, new, mask);
    bytes::put(head, at, &new.to_be_bytes())?;
    Some((old, new))
}

fn put_u128(head: &mut [u8], at: usize, new: u128, mask: u128) -> Option<(u128, u128)> {
    let old = bytes::u128_at(head, at)?;
    let new = blend!(old, new, mask);
    bytes::put(head, at, &new.to_be_bytes())?;
    Some((old, new))
}

fn put_eth(head: &mut [u8], at: usize, new: EthAddr, mask: EthAddr) -> Option<()> {
    if mask == EthAddr::BROADCAST {
        return bytes::put(head, at, &new.0);
    }
    let old = EthAddr(bytes::array(head, at)?).to_u64();
    let new = blend!(old, new.to_u64(), mask.to_u64());
    bytes::put(head, at, &EthAddr::from_u64(new).0)
}

/// Updates the checksum at `at`.
fn fix(head: &mut [u8], at: usize, update: impl FnOnce(u16) -> u16) -> Option<()> {
    let sum = bytes::u16_at(head, at)?;
    bytes::put(head, at, &update(sum).to_be_bytes())
}

/// Where the transport's checksum is, if the transport has one that covers the addresses or ports.
fn l4_checksum(key: &FlowKey, l4: usize) -> Option<usize> {
    match key.nw_proto() {
        ip::PROTO_TCP => Some(l4 + tcp::OFF_CHECKSUM),
        ip::PROTO_UDP => Some(l4 + udp::OFF_CHECKSUM),
        ip::PROTO_ICMPV6 if key.eth_type() == eth::TYPE_IPV6 => Some(l4 + icmp::OFF_CHECKSUM),
        _ => None,
    }
}

/// What a transport checksum is updated for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Covers {
    /// An address: part of the pseudo header.
    Pseudo,
    /// Bytes of the segment itself.
    Segment,
}

/// Updates the transport checksum of the packet, whatever state it is in.
fn fix_l4<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    covers: Covers,
    update: impl FnOnce(u16) -> u16,
) -> Option<()> {
    let (Some(l4), false) = (p.layers.l4, key.nw_frag() & Frag::LATER != 0) else { return Some(()) };
    let Some(at) = l4_checksum(key, usize::from(l4)) else { return Some(()) };
    let partial = matches!(p.buf.offload().l4, L4Checksum::Partial { start, .. } if start == l4);
    let udp = key.nw_proto() == ip::PROTO_UDP;
    let head = p.buf.head_mut();
    match (partial, covers) {
        (true, Covers::Segment) => Some(()),
        // The stored sum is not complemented.
        (true, Covers::Pseudo) => fix(head, at, |sum| !update(!sum)),
        // UDP's zero: none was computed.
        (false, _) if udp && bytes::u16_at(head, at)? == 0 => Some(()),
        (false, _) => fix(head, at, |sum| match update(sum) {
            0 if udp => 0xffff,
            sum => sum,
        }),
    }
}

fn set_ipv4<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    value: &Header,
    mask: Option<&Header>,
) -> Option<()> {
    let Header::Ipv4 { src, dst, tos, ttl, .. } = *value else { return None };
    let (ms, md, mtos, mttl) = match mask {
        Some(Header::Ipv4 { src, dst, tos, ttl, .. }) => (*src, *dst, *tos, *ttl),
        _ => (u32::MAX, u32::MAX, 0xff, 0xff),
    };
    // An address says that the header was read whole.
    (key.eth_type() == eth::TYPE_IPV4 && ipv4_was_read(p, key)).then_some(())?;
    let l3 = usize::from(p.layers.l3?);
    for (off, new, mask) in [(ipv4::OFF_SRC, src, ms), (ipv4::OFF_DST, dst, md)] {
        if mask == 0 {
            continue;
        }
        let head = p.buf.head_mut();
        let (old, new) = put_u32(head, l3 + off, new, mask)?;
        fix(head, l3 + ipv4::OFF_CHECKSUM, |sum| update_u32(sum, old, new))?;
        fix_l4(p, key, Covers::Pseudo, |sum| update_u32(sum, old, new))?;
    }
    let head = p.buf.head_mut();
    if mtos != 0 {
        let (old, new) = put_u16(head, l3, u16::from(tos), u16::from(mtos))?;
        fix(head, l3 + ipv4::OFF_CHECKSUM, |sum| update_u16(sum, old, new))?;
    }
    let (old, new) = put_u16(head, l3 + ipv4::OFF_TTL, u16::from(ttl) << 8, u16::from(mttl) << 8)?;
    fix(head, l3 + ipv4::OFF_CHECKSUM, |sum| update_u16(sum, old, new))
}

/// False for a header that contradicts itself: extraction left its fields out.
fn ipv4_was_read<B: PacketBuf>(p: &Packet<B>, key: &FlowKey) -> bool {
    key.nw_proto() != 0 || key.nw_ttl() != 0 || key.nw_src() != 0 || p.layers.l4.is_some()
}

fn set_ipv6<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    value: &Header,
    mask: Option<&Header>,
) -> Option<()> {
    let Header::Ipv6 { src, dst, label, tclass, hlimit, .. } = *value else { return None };
    let (ms, md, ml, mt, mh) = match mask {
        Some(Header::Ipv6 { src, dst, label, tclass, hlimit, .. }) => (*src, *dst, *label, *tclass, *hlimit),
        _ => (u128::MAX, u128::MAX, ipv6::LABEL_MASK, 0xff, 0xff),
    };
    let l3 = usize::from(p.layers.l3?);
    (key.eth_type() == eth::TYPE_IPV6 && p.buf.head().len() >= l3 + ipv6::HEADER_LEN).then_some(())?;
    for (off, new, mask) in [(ipv6::OFF_SRC, src, ms), (ipv6::OFF_DST, dst, md)] {
        if mask == 0 {
            continue;
        }
        let (old, new) = put_u128(p.buf.head_mut(), l3 + off, new, mask)?;
        fix_l4(p, key, Covers::Pseudo, |sum| update_u128(sum, old, new))?;
    }
    let head = p.buf.head_mut();
    let first = u32::from(tclass) << 20 | label & ipv6::LABEL_MASK;
    let mask = u32::from(mt) << 20 | ml & ipv6::LABEL_MASK;
    put_u32(head, l3, first, mask)?;
    put_u16(head, l3 + ipv6::OFF_NEXT, u16::from(hlimit), u16::from(mh)).map(|_| ())
}

fn set_ports<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    proto: u8,
    (src, dst): (u16, u16),
    (ms, md): (u16, u16),
) -> Option<()> {
    let l4 = usize::from(p.layers.l4?);
    (key.nw_proto() == proto).then_some(())?;
    for (off, new, mask) in [(tcp::OFF_SRC, src, ms), (tcp::OFF_DST, dst, md)] {
        let (old, new) = put_u16(p.buf.head_mut(), l4 + off, new, mask)?;
        fix_l4(p, key, Covers::Segment, |sum| update_u16(sum, old, new))?;
    }
    if proto == ip::PROTO_SCTP { recompute_sctp(p, l4) } else { Some(()) }
}

/// SCTP's CRC has no incremental form that is worth having.
fn recompute_sctp<B: PacketBuf>(p: &mut Packet<B>, l4: usize) -> Option<()> {
    let end = usize::from(p.layers.end);
    p.buf.pull_up(end).then_some(())?;
    let head = p.buf.head_mut();
    let segment = head.get_mut(l4..end)?;
    let crc = sctp::crc32c(segment);
    bytes::put(segment, sctp::OFF_CHECKSUM, &crc.to_le_bytes())
}

fn set_icmp<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    proto: u8,
    new: [u8; 2],
    mask: [u8; 2],
) -> Option<()> {
    let l4 = usize::from(p.layers.l4?);
    (key.nw_proto() == proto).then_some(())?;
    let head = p.buf.head_mut();
    let (old, new) = put_u16(head, l4, u16::from_be_bytes(new), u16::from_be_bytes(mask))?;
    let partial = matches!(p.buf.offload().l4, L4Checksum::Partial { .. });
    if partial {
        return Some(());
    }
    fix(p.buf.head_mut(), l4 + icmp::OFF_CHECKSUM, |sum| update_u16(sum, old, new))
}

fn set_arp<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    value: &Header,
    mask: Option<&Header>,
) -> Option<()> {
    let Header::Arp { sip, tip, op, sha, tha } = *value else { return None };
    let all = EthAddr::BROADCAST;
    let (ms, mt, mo, msha, mtha) = match mask {
        Some(Header::Arp { sip, tip, op, sha, tha }) => (*sip, *tip, *op, *sha, *tha),
        _ => (u32::MAX, u32::MAX, u16::MAX, all, all),
    };
    matches!(key.eth_type(), eth::TYPE_ARP | eth::TYPE_RARP).then_some(())?;
    let l3 = usize::from(p.layers.l3?);
    let head = p.buf.head_mut();
    head.get(l3..l3 + arp::HEADER_LEN)?;
    put_u16(head, l3 + arp::OFF_OP, op, mo)?;
    put_eth(head, l3 + arp::OFF_SHA, sha, msha)?;
    put_u32(head, l3 + arp::OFF_SPA, sip, ms)?;
    put_eth(head, l3 + arp::OFF_THA, tha, mtha)?;
    put_u32(head, l3 + arp::OFF_TPA, tip, mt).map(|_| ())
}

fn set_nd<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    value: &Header,
    mask: Option<&Header>,
) -> Option<()> {
    let Header::Nd { target, sll, tll } = *value else { return None };
    let all = EthAddr::BROADCAST;
    let (mt, ms, mtll) = match mask {
        Some(Header::Nd { target, sll, tll }) => (*target, *sll, *tll),
        _ => (u128::MAX, all, all),
    };
    let l4 = usize::from(p.layers.l4?);
    let is_nd = key.nw_proto() == ip::PROTO_ICMPV6 && icmpv6::is_nd(key.tp_src() as u8, key.tp_dst() as u8);
    is_nd.then_some(())?;
    let (old, new) = put_u128(p.buf.head_mut(), l4 + icmpv6::OFF_ND_TARGET, target, mt)?;
    fix_l4(p, key, Covers::Segment, |sum| update_u128(sum, old, new))?;
    for (kind, new, mask) in
        [(icmpv6::OPT_SOURCE_LINK_ADDR, sll, ms), (icmpv6::OPT_TARGET_LINK_ADDR, tll, mtll)]
    {
        if mask == EthAddr::ZERO {
            continue;
        }
        let Some(at) = nd_option(p, l4, kind) else { continue };
        let old = EthAddr(bytes::array(p.buf.head(), l4 + at)?);
        put_eth(p.buf.head_mut(), l4 + at, new, mask)?;
        let new = EthAddr(bytes::array(p.buf.head(), l4 + at)?);
        // Options are 8-byte aligned and the address is at an even offset in them: three whole words.
        let words = |a: EthAddr| u128::from(a.to_u64());
        fix_l4(p, key, Covers::Segment, |sum| update_u128(sum, words(old), words(new)))?;
    }
    Some(())
}

fn set_nd_extensions<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    value: &Header,
    mask: Option<&Header>,
) -> Option<()> {
    let Header::NdExtensions { reserved, kind } = *value else { return None };
    let (mr, mk) = match mask {
        Some(Header::NdExtensions { reserved, kind }) => (*reserved, *kind),
        _ => (u32::MAX, 0xff),
    };
    let l4 = usize::from(p.layers.l4?);
    let is_nd = key.nw_proto() == ip::PROTO_ICMPV6 && icmpv6::is_nd(key.tp_src() as u8, key.tp_dst() as u8);
    is_nd.then_some(())?;
    let (old, new) = put_u32(p.buf.head_mut(), l4 + icmpv6::OFF_ND_RESERVED, reserved, mr)?;
    fix_l4(p, key, Covers::Segment, |sum| update_u32(sum, old, new))?;
    let option = l4 + icmpv6::ND_HEADER_LEN;
    if mk == 0 || usize::from(p.layers.end) < option + 2 {
        return Some(());
    }
    let (old, new) = put_u16(p.buf.head_mut(), option, u16::from(kind) << 8, u16::from(mk) << 8)?;
    fix_l4(p, key, Covers::Segment, |sum| update_u16(sum, old, new))
}

fn set_nsh<B: PacketBuf>(
    p: &mut Packet<B>,
    key: &FlowKey,
    new: &odp::NshFields,
    mask: Option<&odp::NshFields>,
) -> Option<()> {
    let mask = mask.unwrap_or(&odp::NshFields::ALL);
    (key.eth_type() == eth::TYPE_NSH).then_some(())?;
    let l3 = usize::from(p.layers.l3?);
    let md1 = nsh::NshRef::parse(p.buf.head().get(l3..)?)?.context().is_some();
    let head = p.buf.head_mut();
    let first = |f: &odp::NshFields| u16::from(f.flags & 3) << 12 | u16::from(f.ttl & 0x3f) << 6;
    put_u16(head, l3, first(new), first(mask))?;
    let path = |f: &odp::NshFields| f.spi << 8 | u32::from(f.si);
    put_u32(head, l3 + 4, path(new), path(mask))?;
    if !md1 {
        return Some(());
    }
    for (i, (word, mask)) in new.context.iter().zip(mask.context).enumerate() {
        put_u32(head, l3 + nsh::BASE_LEN + 4 * i, *word, mask)?;
    }
    Some(())
}

/// Writes the TOS byte or traffic class of an IP packet; others stay as they are.
pub(crate) fn set_tos<B: PacketBuf>(p: &mut Packet<B>, key: &FlowKey, tos: u8) -> Option<()> {
    let all = match key.eth_type() {
        eth::TYPE_IPV4 => (
            Header::Ipv4 { src: 0, dst: 0, proto: 0, tos, ttl: 0, frag: 0 },
            Header::Ipv4 { src: 0, dst: 0, proto: 0, tos: 0xff, ttl: 0, frag: 0 },
        ),
        eth::TYPE_IPV6 => (
            Header::Ipv6 { src: 0, dst: 0, label: 0, proto: 0, tclass: tos, hlimit: 0, frag: 0 },
            Header::Ipv6 { src: 0, dst: 0, label: 0, proto: 0, tclass: 0xff, hlimit: 0, frag: 0 },
        ),
        _ => return Some(()),
    };
    bytes_of(p, key, &all.0, Some(&all.1))
}

/// Where the address of a link-layer address option is, from the ICMPv6 header on.
fn nd_option<B: PacketBuf>(p: &Packet<B>, l4: usize, wanted: u8) -> Option<usize> {
    let message = p.buf.head().get(l4..usize::from(p.layers.end).min(p.buf.head().len()))?;
    icmpv6::NdRef::parse(message)?.options().find_map(|o| match o {
        icmpv6::NdOption::LinkAddr { kind, at, .. } if kind == wanted => Some(at),
        _ => None,
    })
}

/// Pushes a tag behind the addresses. `tci` carries the "present" bit of a key, which the frame does not.
pub(crate) fn push_vlan<B: PacketBuf>(buf: &mut B, tpid: u16, tci: u16) -> Done {
    let addresses: [u8; 12] = bytes::array(buf.head(), 0).ok_or(MISFIT)?;
    buf.push_front(eth::VLAN_LEN).ok_or(DropReason::NoHeadroom)?;
    let head = buf.head_mut();
    let tag = (u32::from(tpid) << 16 | u32::from(tci & !eth::VLAN_CFI)).to_be_bytes();
    bytes::put(head, 0, &addresses).and_then(|()| bytes::put(head, 12, &tag)).ok_or(MISFIT)
}

/// Pops the outer tag; a frame without one stays as it is.
pub(crate) fn pop_vlan<B: PacketBuf>(buf: &mut B) -> Done {
    if !bytes::u16_at(buf.head(), 12).is_some_and(eth::is_vlan) || buf.len() < eth::HEADER_LEN + eth::VLAN_LEN
    {
        return Ok(());
    }
    let addresses: [u8; 12] = bytes::array(buf.head(), 0).ok_or(MISFIT)?;
    bytes::put(buf.head_mut(), eth::VLAN_LEN, &addresses).ok_or(MISFIT)?;
    if buf.pull_front(eth::VLAN_LEN) { Ok(()) } else { Err(MISFIT) }
}

#[cfg(test)]
mod tests;
