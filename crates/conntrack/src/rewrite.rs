//! Translation of a packet's bytes: addresses, ports, and every checksum that covers them.
//!
//! Where it sits: called by `process.rs` with the tuple that the packet shall have.
//!
//! Checksums are updated, not computed anew (RFC 1624): an error in the packet stays an error. One that is only
//! partial (offload) covers addresses but no ports. An ICMP error is translated twice, outside and in the packet
//! that it quotes, and its own checksum covers all that changed inside.

use packet::L4Checksum;
use wire::checksum::Sum;
use wire::{bytes, ip, ipv4, sctp, udp};

use crate::action::CtPacket;
use crate::extract::{Facts, Kind, Layout, address_offsets, checksum_offset};
use crate::tuple::Tuple;

/// Gives the packet the tuple `to` (of an ICMP error: gives the quoted packet its reverse). False if that cannot be
/// done because bytes are missing; the packet is then unusable.
#[must_use]
pub(crate) fn translate(packet: &mut CtPacket<'_>, facts: &Facts, to: &Tuple) -> bool {
    let from = &facts.tuple;
    match facts.kind {
        Kind::Error(inner) => translate_error(packet, facts.layout, inner, from, to),
        _ => translate_whole(packet, facts.layout, from, to),
    }
}

fn translate_whole(packet: &mut CtPacket<'_>, at: Layout, from: &Tuple, to: &Tuple) -> bool {
    let state = checksum_state(packet.l4_checksum, at.l4);
    if !translate_headers(packet.head, at, from, to, state) {
        return false;
    }
    let ports_changed = (from.src_port, from.dst_port) != (to.src_port, to.dst_port);
    if from.proto != ip::PROTO_SCTP || !ports_changed || state == Stored::Partial {
        return true;
    }
    let Some(whole) = packet.head.get(at.l4..at.end) else { return false };
    let crc = sctp::crc32c(whole);
    bytes::put(packet.head, at.l4.saturating_add(sctp::OFF_CHECKSUM), &crc.to_le_bytes()).is_some()
}

fn translate_error(
    packet: &mut CtPacket<'_>,
    outer: Layout,
    inner: Layout,
    from: &Tuple,
    to: &Tuple,
) -> bool {
    let state = checksum_state(packet.l4_checksum, outer.l4);
    let before = sum_of(packet.head, inner);
    // What is quoted went the other way.
    let (inner_from, inner_to) = (from.reversed(), to.reversed());
    if !translate_headers(packet.head, inner, &inner_from, &inner_to, Stored::Complete) {
        return false;
    }
    let mut delta = Delta::default();
    delta.replace(before, sum_of(packet.head, inner));
    let Some(outer_now) = addresses(packet.head, outer.l3, from.is_ipv6) else { return false };
    // Of the outer addresses only what the translation is about changes: the sender may be a router in between.
    let outer_from = Tuple {
        src: outer_now.0,
        dst: outer_now.1,
        proto: icmp_proto(from.is_ipv6),
        is_ipv6: from.is_ipv6,
        ..Tuple::default()
    };
    let outer_to = Tuple {
        src: if from.src == to.src { outer_from.src } else { to.src },
        dst: if from.dst == to.dst { outer_from.dst } else { to.dst },
        ..outer_from
    };
    let Some(address_delta) = put_addresses(packet.head, outer.l3, &outer_from, &outer_to) else {
        return false;
    };
    if from.is_ipv6 {
        delta = delta.and(address_delta);
    }
    if state == Stored::Partial {
        // The sum over the message is still to come; only the pseudo header is in it.
        delta = if from.is_ipv6 { address_delta } else { Delta::default() };
    }
    update(packet.head, outer.l4.saturating_add(wire::icmp::OFF_CHECKSUM), delta, state).is_some()
}

const fn icmp_proto(is_ipv6: bool) -> u8 {
    if is_ipv6 { ip::PROTO_ICMPV6 } else { ip::PROTO_ICMP }
}

/// The one's complement sum of the quoted headers' bytes that translation may touch.
fn sum_of(head: &[u8], at: Layout) -> Sum {
    let end = at.l4.saturating_add(wire::tcp::HEADER_LEN).min(at.end).min(head.len());
    Sum::new().bytes(head.get(at.l3..end).unwrap_or_default())
}

fn addresses(head: &[u8], l3: usize, is_ipv6: bool) -> Option<(u128, u128)> {
    let (src, dst) = address_offsets(is_ipv6);
    let read = |off: usize| {
        let at = l3.saturating_add(off);
        if is_ipv6 { bytes::u128_at(head, at) } else { bytes::u32_at(head, at).map(u128::from) }
    };
    Some((read(src)?, read(dst)?))
}

/// How a checksum is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Complemented, over everything.
    Complete,
    /// Not complemented, over the pseudo header only.
    Partial,
}

pub(crate) fn checksum_state(offload: L4Checksum, l4: usize) -> Stored {
    match offload {
        L4Checksum::Partial { start, .. } if usize::from(start) == l4 => Stored::Partial,
        _ => Stored::Complete,
    }
}

/// What to add to a sum whose words changed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Delta(Sum);

impl Delta {
    fn addresses(&mut self, is_ipv6: bool, old: u128, new: u128) {
        self.0 =
            if is_ipv6 { self.0.u128(!old).u128(new) } else { self.0.u32(!(old as u32)).u32(new as u32) };
    }

    fn word(&mut self, old: u16, new: u16) {
        self.0 = self.0.u16(!old).u16(new);
    }

    pub fn number(&mut self, old: u32, new: u32) {
        self.0 = self.0.u32(!old).u32(new);
    }

    pub fn replace(&mut self, old: Sum, new: Sum) {
        self.0 = self.0.u16(old.finish()).u16(new.fold());
    }

    fn and(self, other: Delta) -> Delta {
        Delta(self.0.u16(other.0.fold()))
    }
}

/// Stores addresses and, for IPv4, the header's checksum; tells what changed.
fn put_addresses(head: &mut [u8], l3: usize, from: &Tuple, to: &Tuple) -> Option<Delta> {
    let (src, dst) = address_offsets(from.is_ipv6);
    let mut delta = Delta::default();
    for (off, old, new) in [(src, from.src, to.src), (dst, from.dst, to.dst)] {
        if old != new {
            let at = l3.saturating_add(off);
            let all = new.to_be_bytes();
            let stored = if from.is_ipv6 { all.as_slice() } else { all.get(12..)? };
            bytes::put(head, at, stored)?;
            delta.addresses(from.is_ipv6, old, new);
        }
    }
    if !from.is_ipv6 {
        update(head, l3.saturating_add(ipv4::OFF_CHECKSUM), delta, Stored::Complete)?;
    }
    Some(delta)
}

/// Brings a stored checksum up to date.
pub(crate) fn update(head: &mut [u8], at: usize, delta: Delta, stored: Stored) -> Option<()> {
    let old = bytes::u16_at(head, at)?;
    let new = match stored {
        Stored::Complete => Sum::new().u16(!old).u16(delta.0.fold()).finish(),
        Stored::Partial => Sum::new().u16(old).u16(delta.0.fold()).fold(),
    };
    bytes::put(head, at, &new.to_be_bytes())
}

/// Rewrites an IP header and the ports behind it. The checksum of a quoted transport header may be missing.
fn translate_headers(head: &mut [u8], at: Layout, from: &Tuple, to: &Tuple, stored: Stored) -> bool {
    let Some(mut delta) = put_addresses(head, at.l3, from, to) else { return false };
    if from.is_icmp() && !from.is_ipv6 {
        // No pseudo header, and the id is not translated.
        return true;
    }
    if from.has_ports() {
        let ports = [(0, from.src_port, to.src_port), (2, from.dst_port, to.dst_port)];
        for (off, old, new) in ports.into_iter().filter(|(_, old, new)| old != new) {
            if bytes::put(head, at.l4.saturating_add(off), &new.to_be_bytes()).is_none() {
                return false;
            }
            if stored == Stored::Complete {
                delta.word(old, new);
            }
        }
    }
    let Some(off) = checksum_offset(from) else { return true };
    let at = at.l4.saturating_add(off);
    let without = from.proto == ip::PROTO_UDP && stored == Stored::Complete;
    if without && bytes::u16_at(head, at) == Some(0) {
        return true;
    }
    if update(head, at, delta, stored).is_some() && without && bytes::u16_at(head, at) == Some(0) {
        // Zero would mean that there is none (RFC 768); both are zero to a one's complement sum.
        debug_assert_eq!(off, udp::OFF_CHECKSUM);
        return bytes::put(head, at, &[0xff; 2]).is_some();
    }
    true
}
