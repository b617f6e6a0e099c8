//! Putting headers before a packet, and finishing what depends on the packet.
//!
//! Where it sits: the datapath's `tnl_push`; software segmentation finishes each segment with it.
//!
//! I1  A partial checksum is the inner packet's; the device completes it whatever is in front. Where an outer checksum
//!     covers it, it is completed first.
//! I2  A super-packet stays one: [`packet::Offload::outer`] says where its inner frame begins, and segmentation
//!     finishes the outer headers of each segment.

use packet::{L4Checksum, PacketBuf};
use wire::checksum::{Sum, checksum, pseudo_v4, pseudo_v6};
use wire::tunnel::{gre, gtpu, vxlan};
use wire::{bytes, eth, ip, ipv4, ipv6, udp};

/// Why headers were not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// There is no room for them.
    NoHeadroom,
    /// They are no headers, or the packet becomes too long.
    Malformed,
    /// A super-packet in two tunnels, which nothing could cut up.
    Nested,
}

/// Pushes `header` onto `packet`. `src_port` is the outer UDP source port, where there is one.
pub fn push<B: PacketBuf>(packet: &mut B, header: &[u8], src_port: u16) -> Result<(), PushError> {
    let is_super = packet.offload().segment.is_some();
    if packet.offload().outer != 0 && is_super {
        return Err(PushError::Nested);
    }
    if !is_super && covers(header) {
        complete(packet).ok_or(PushError::Malformed)?;
    }
    let len = u16::try_from(header.len()).map_err(|_| PushError::Malformed)?;
    packet.push_front(header.len()).ok_or(PushError::NoHeadroom)?.copy_from_slice(header);
    if is_super {
        packet.offload_mut().outer = len;
    }
    if let Some(at) = udp_at(header) {
        bytes::put(packet.head_mut(), at, &src_port.to_be_bytes()).ok_or(PushError::Malformed)?;
    }
    let whole = packet.len();
    // Only a checksum over the packet needs all of it in one piece.
    let ready = if covers(header) { packet.pull_up(whole) } else { packet.pull_up(header.len()) };
    if !ready {
        return Err(PushError::NoHeadroom);
    }
    if is_super {
        return Ok(());
    }
    finish(packet.head_mut(), whole).ok_or(PushError::Malformed)
}

/// True if the headers have a checksum that covers what follows.
fn covers(header: &[u8]) -> bool {
    match udp_at(header) {
        Some(at) => bytes::u16_at(header, at + udp::OFF_CHECKSUM).is_some_and(|sum| sum != 0),
        None => gre_at(header)
            .and_then(|at| bytes::u16_at(header, at))
            .is_some_and(|flags| flags & gre::FLAG_CSUM != 0),
    }
}

/// Protocol and place of what follows the outer IP header.
pub(crate) fn transport(header: &[u8]) -> Option<(u8, usize)> {
    let l3 = eth::HEADER_LEN;
    match bytes::u16_at(header, l3 - 2)? {
        eth::TYPE_IPV4 => Some((bytes::u8_at(header, l3 + ipv4::OFF_PROTO)?, l3 + ipv4::HEADER_LEN)),
        eth::TYPE_IPV6 => Some((bytes::u8_at(header, l3 + ipv6::OFF_NEXT)?, l3 + ipv6::HEADER_LEN)),
        _ => None,
    }
}

fn udp_at(header: &[u8]) -> Option<usize> {
    transport(header).and_then(|(proto, at)| (proto == ip::PROTO_UDP).then_some(at))
}

fn gre_at(header: &[u8]) -> Option<usize> {
    transport(header).and_then(|(proto, at)| (proto == ip::PROTO_GRE).then_some(at))
}

/// Where a GRE or ERSPAN header has its sequence number, if it has one.
pub fn sequence_at(header: &[u8]) -> Option<usize> {
    let at = gre_at(header)?;
    let flags = bytes::u16_at(header, at)?;
    (flags & gre::FLAG_SEQ != 0).then_some(at + gre::header_len(flags) - 4)
}

/// Completes a partial transport checksum; `None` if the packet does not become one piece.
pub fn complete<B: PacketBuf>(packet: &mut B) -> Option<()> {
    let L4Checksum::Partial { start, offset } = packet.offload().l4 else { return Some(()) };
    let len = packet.len();
    packet.pull_up(len).then_some(())?;
    let segment = packet.head_mut().get_mut(usize::from(start)..)?;
    let sum = match checksum(segment) {
        0 if usize::from(offset) == udp::OFF_CHECKSUM => 0xffff,
        sum => sum,
    };
    bytes::put(segment, usize::from(offset), &sum.to_be_bytes())?;
    packet.offload_mut().l4 = L4Checksum::Good;
    Some(())
}

/// Fills in the lengths and checksums of the outer headers at the start of a frame of `len` bytes. `head` is all of
/// it if a checksum covers the packet. `None` if these are no headers.
pub fn finish(head: &mut [u8], len: usize) -> Option<()> {
    let l3 = eth::HEADER_LEN;
    let (proto, l4) = transport(head)?;
    let rest = u16::try_from(len.checked_sub(l4)?).ok()?;
    let pseudo = if bytes::u16_at(head, l3 - 2)? == eth::TYPE_IPV4 {
        let total = u16::try_from(len.checked_sub(l3)?).ok()?;
        bytes::put(head, l3 + ipv4::OFF_TOTAL_LEN, &total.to_be_bytes())?;
        bytes::put(head, l3 + ipv4::OFF_CHECKSUM, &[0, 0])?;
        let sum = checksum(head.get(l3..l4)?);
        bytes::put(head, l3 + ipv4::OFF_CHECKSUM, &sum.to_be_bytes())?;
        let (src, dst) = (bytes::u32_at(head, l3 + ipv4::OFF_SRC)?, bytes::u32_at(head, l3 + ipv4::OFF_DST)?);
        pseudo_v4(src, dst, proto, rest)
    } else {
        bytes::put(head, l3 + ipv6::OFF_PAYLOAD_LEN, &rest.to_be_bytes())?;
        let (src, dst) =
            (bytes::u128_at(head, l3 + ipv6::OFF_SRC)?, bytes::u128_at(head, l3 + ipv6::OFF_DST)?);
        pseudo_v6(src, dst, proto, rest.into())
    };
    match proto {
        ip::PROTO_UDP => finish_udp(head.get_mut(l4..)?, rest, pseudo),
        ip::PROTO_GRE => finish_gre(head.get_mut(l4..)?),
        _ => Some(()),
    }
}

fn finish_udp(datagram: &mut [u8], len: u16, pseudo: Sum) -> Option<()> {
    bytes::put(datagram, udp::OFF_LEN, &len.to_be_bytes())?;
    if bytes::u16_at(datagram, udp::OFF_DST)? == gtpu::PORT {
        let inside = len.checked_sub((udp::HEADER_LEN + gtpu::LEN) as u16)?;
        bytes::put(datagram, udp::HEADER_LEN + 2, &inside.to_be_bytes())?;
    }
    if bytes::u16_at(datagram, udp::OFF_CHECKSUM)? == 0 {
        return Some(());
    }
    bytes::put(datagram, udp::OFF_CHECKSUM, &[0, 0])?;
    let sum = match pseudo.bytes(datagram).finish() {
        0 => 0xffff,
        sum => sum,
    };
    bytes::put(datagram, udp::OFF_CHECKSUM, &sum.to_be_bytes())
}

fn finish_gre(packet: &mut [u8]) -> Option<()> {
    if bytes::u16_at(packet, 0)? & gre::FLAG_CSUM == 0 {
        return Some(());
    }
    bytes::put(packet, gre::LEN, &[0, 0])?;
    let sum = checksum(packet);
    bytes::put(packet, gre::LEN, &sum.to_be_bytes())
}

const _: () = assert!(vxlan::LEN == 8 && gtpu::LEN == 8);
