//! STT: a frame becomes one large segment that looks like TCP's, so that whatever cuts TCP's cuts it; on receive each
//! segment says which part of which frame it is.
//!
//! Where it sits: pushed by the datapath's `tnl_push` and its tunnel ports in place of [`crate::push`]; a received segment
//! is read by [`parse`], frames are put together by [`crate::Reassembly`], and [`strip`] takes the last header off.
//!
//! ~~~text
//! Ethernet | IP | "TCP": SEQ = frame length, offset  ACK = frame id | STT: what is known of the frame | frame
//! ~~~
//!
//! I1  What is known of the inner packet (checksum, segment size, VLAN tag) travels in STT's header, and is known again
//!     at the other end.
//!
//! Spec: draft-davie-stt-08 sections 3 and 4.

use core::ops::Range;

use odp::TunnelKind;
use packet::{L4Checksum, Offload, PacketBuf, Segmentation, SegmentationKind, Segments, TunnelKey};
use wire::checksum::{Sum, pseudo_v4, pseudo_v6};
use wire::tunnel::stt;
use wire::{bytes, eth, ip, ipv4, ipv6, tcp, udp};

use crate::PushError;
use crate::build::Header;
use crate::pop::{outer, total_len};
use crate::push::{complete, finish, transport};

/// Bytes of payload that a segment has at least, however small the way's MTU is said to be.
const MIN_SEGMENT: usize = 64;
/// The bit of the TCI that says that there is a tag.
const TAG_PRESENT: u16 = eth::VLAN_CFI;

/// Appends the TCP-like header and STT's own, without what depends on the packet.
pub(crate) fn build(h: &mut Header, key: &TunnelKey, dst_port: u16) -> Option<()> {
    h.put(&[0; 2])?;
    h.put(&dst_port.to_be_bytes())?;
    h.put(&[0; 8])?;
    h.put(&((tcp::HEADER_LEN as u16 / 4) << 12 | tcp::PSH | tcp::ACK).to_be_bytes())?;
    h.put(&[0xff, 0xff, 0, 0, 0, 0])?;
    h.put(&[0; stt::OFF_KEY])?;
    h.put(&key.id.to_be_bytes())?;
    h.put(&[0; 2])
}

/// True if the packet can go as one frame: others are cut up first, for the header has no place for datagrams' size, and
/// no more than 16 bits for a frame's length.
pub fn carries<B: PacketBuf>(packet: &B) -> bool {
    let offload = packet.offload();
    packet.len() + stt::LEN <= usize::from(u16::MAX)
        && offload.segment.is_none_or(|s| s.kind != SegmentationKind::Udp)
}

/// Pushes `header` onto a packet that [`carries`], and has it cut up to fit `mtu` bytes of IP. `id` is the frame's own.
pub fn push<B: PacketBuf>(
    packet: &mut B,
    header: &[u8],
    src_port: u16,
    id: u32,
    mtu: u16,
) -> Result<(), PushError> {
    if packet.offload().outer != 0 && packet.offload().segment.is_some() {
        return Err(PushError::Nested);
    }
    let l4 = transport(header).filter(|(proto, _)| *proto == ip::PROTO_TCP).ok_or(PushError::Malformed)?.1;
    let at = l4 + tcp::HEADER_LEN;
    if header.len() != at + stt::LEN {
        return Err(PushError::Malformed);
    }
    let tci = untag(packet).ok_or(PushError::Malformed)?;
    let known = describe(packet).ok_or(PushError::Malformed)?;
    let total = u16::try_from(packet.len() + stt::LEN).map_err(|_| PushError::Malformed)?;
    packet.push_front(header.len()).ok_or(PushError::NoHeadroom)?.copy_from_slice(header);
    if !packet.pull_up(header.len()) {
        return Err(PushError::NoHeadroom);
    }
    let whole = packet.len();
    let head = packet.head_mut();
    let write = |head: &mut [u8]| {
        bytes::put(head, l4 + tcp::OFF_SRC, &src_port.to_be_bytes())?;
        bytes::put(head, l4 + tcp::OFF_SEQ, &(u32::from(total) << 16).to_be_bytes())?;
        bytes::put(head, l4 + tcp::OFF_ACK, &id.to_be_bytes())?;
        bytes::put(head, at + 1, &[known.flags, known.l4])?;
        bytes::put(head, at + stt::OFF_MSS, &known.mss.to_be_bytes())?;
        bytes::put(head, at + stt::OFF_TCI, &tci.to_be_bytes())?;
        finish(head, whole)?;
        let sum = pseudo(head, l4, whole)?.fold();
        bytes::put(head, l4 + tcp::OFF_CHECKSUM, &sum.to_be_bytes())
    };
    write(head).ok_or(PushError::Malformed)?;
    let ip_and_tcp = at - eth::HEADER_LEN;
    let size = usize::from(mtu).saturating_sub(ip_and_tcp).max(MIN_SEGMENT);
    let kind = if l4 == eth::HEADER_LEN + ipv6::HEADER_LEN {
        SegmentationKind::TcpV6
    } else {
        SegmentationKind::TcpV4
    };
    let is_large = usize::from(total) > size;
    let segment = is_large.then_some(Segmentation { kind, size: size as u16, ecn: false });
    let l4 = L4Checksum::Partial { start: l4 as u16, offset: tcp::OFF_CHECKSUM as u16 };
    *packet.offload_mut() = Offload { l4, segment, outer: 0 };
    Ok(())
}

/// The sum over the pseudo header of a frame of `whole` bytes whose transport header is at `l4`.
fn pseudo(head: &[u8], l4: usize, whole: usize) -> Option<Sum> {
    let (l3, rest) = (eth::HEADER_LEN, u16::try_from(whole.checked_sub(l4)?).ok()?);
    if bytes::u16_at(head, l3 - 2)? == eth::TYPE_IPV4 {
        let (src, dst) = (bytes::u32_at(head, l3 + ipv4::OFF_SRC)?, bytes::u32_at(head, l3 + ipv4::OFF_DST)?);
        return Some(pseudo_v4(src, dst, ip::PROTO_TCP, rest));
    }
    let (src, dst) = (bytes::u128_at(head, l3 + ipv6::OFF_SRC)?, bytes::u128_at(head, l3 + ipv6::OFF_DST)?);
    Some(pseudo_v6(src, dst, ip::PROTO_TCP, rest.into()))
}

/// A sum with those bytes of the packet added.
fn summed<B: PacketBuf>(packet: &B, range: Range<usize>, mut sum: Sum) -> Option<Sum> {
    if let Some(all) = packet.head().get(range.clone()) {
        return Some(sum.bytes(all));
    }
    /// An even number, as each part of a sum has but the last.
    const PART: usize = 128;
    let mut part = [0; PART];
    let (mut at, end) = (range.start, range.end);
    while at < end {
        let part = part.get_mut(..(end - at).min(PART))?;
        (packet.copy_out(at, part) == part.len()).then_some(())?;
        sum = sum.bytes(part);
        at += part.len();
    }
    Some(sum)
}

/// Takes a frame's outer 802.1Q tag off, for it goes into STT's header; zero without one.
fn untag<B: PacketBuf>(packet: &mut B) -> Option<u16> {
    let addresses = eth::HEADER_LEN - 2;
    let head = packet.head_mut();
    if bytes::u16_at(head, addresses) != Some(eth::TYPE_VLAN) {
        return Some(0);
    }
    let tci = bytes::u16_at(head, addresses + 2)?;
    head.get_mut(..addresses + eth::VLAN_LEN)?.copy_within(..addresses, eth::VLAN_LEN);
    packet.pull_front(eth::VLAN_LEN).then_some(tci | TAG_PRESENT)
}

/// What STT's header says of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Description {
    flags: u8,
    l4: u8,
    mss: u16,
}

/// Finds what there is to say of a packet, and completes what there is no way to say.
fn describe<B: PacketBuf>(packet: &mut B) -> Option<Description> {
    let mut d = Description::default();
    let offload = *packet.offload();
    let is_v4 = bytes::u16_at(packet.head(), eth::HEADER_LEN - 2) == Some(eth::TYPE_IPV4);
    let family = if is_v4 { stt::FLAG_IPV4 } else { 0 };
    match offload.l4 {
        L4Checksum::Partial { start, offset } => match (u8::try_from(start), usize::from(offset)) {
            (Ok(l4), tcp::OFF_CHECKSUM) => {
                (d.l4, d.flags) = (l4, stt::FLAG_CSUM_PARTIAL | stt::FLAG_TCP | family);
            }
            (Ok(l4), udp::OFF_CHECKSUM) => (d.l4, d.flags) = (l4, stt::FLAG_CSUM_PARTIAL | family),
            _ if offload.segment.is_some() => return None,
            _ => {
                complete(packet)?;
                d.flags = stt::FLAG_CSUM_VERIFIED;
            }
        },
        L4Checksum::Good => d.flags = stt::FLAG_CSUM_VERIFIED,
        L4Checksum::Unknown | L4Checksum::Bad => {}
    }
    if let Some(how) = offload.segment {
        let cuts = Segments::of(packet.head(), packet.len(), &offload)?;
        (d.l4, d.mss) = (u8::try_from(cuts.transport()).ok()?, how.size);
        d.flags |= stt::FLAG_TCP | if how.kind == SegmentationKind::TcpV4 { stt::FLAG_IPV4 } else { 0 };
    }
    Some(d)
}

/// A received segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SttSegment {
    /// The tunnel's fields, but for the key, which is the frame's.
    pub key: TunnelKey,
    /// Which frame of the sender's this is part of.
    pub id: u32,
    /// Bytes of the frame with STT's header.
    pub total: u16,
    /// Where in the frame the part belongs.
    pub offset: u16,
    /// Where in the packet it begins.
    pub start: usize,
    /// Bytes of the part; never zero.
    pub len: usize,
}

/// The tunnel's fields of a packet that looks like a segment, but for the key, which is the frame's.
pub fn ends(head: &[u8]) -> Option<TunnelKey> {
    let mut key = TunnelKey::default();
    let (proto, l4) = outer(head, &mut key)?;
    (proto == ip::PROTO_TCP).then_some(())?;
    (key.tp_src, key.tp_dst) =
        (bytes::u16_at(head, l4 + tcp::OFF_SRC)?, bytes::u16_at(head, l4 + tcp::OFF_DST)?);
    Some(key)
}

/// Reads a segment's headers; `None` if it is none. Its checksum is verified unless that has been done, or the segment
/// never was on a wire.
// apart from its caller: the key is large, and kernel frames are small
#[inline(never)]
pub fn parse<B: PacketBuf>(packet: &mut B) -> Option<SttSegment> {
    let mut key = TunnelKey::default();
    let (proto, l4) = outer(packet.head(), &mut key)?;
    (proto == ip::PROTO_TCP).then_some(())?;
    let end = total_len(packet.head())?;
    (end <= packet.len()).then_some(())?;
    match packet.offload().l4 {
        L4Checksum::Bad => return None,
        L4Checksum::Unknown => {
            // Only here all of the packet is looked at.
            let head = packet.head();
            let l3 = if eth::is_vlan(bytes::u16_at(head, eth::HEADER_LEN - 2)?) { eth::VLAN_LEN } else { 0 };
            let sum = pseudo(head.get(l3..)?, l4.checked_sub(l3)?, end.checked_sub(l3)?)?;
            (summed(packet, l4..end, sum)?.finish() == 0).then_some(())?;
        }
        L4Checksum::Good | L4Checksum::Partial { .. } => {}
    }
    let h = tcp::TcpRef::parse(packet.head().get(l4..)?)?;
    (h.header_len() == tcp::HEADER_LEN).then_some(())?;
    (key.tp_src, key.tp_dst) = (h.src(), h.dst());
    let (total, offset) = ((h.seq() >> 16) as u16, h.seq() as u16);
    let start = l4 + tcp::HEADER_LEN;
    let len = end.checked_sub(start).filter(|n| *n != 0)?;
    let fits = usize::from(total) > stt::LEN && usize::from(offset) + len <= usize::from(total);
    fits.then_some(SttSegment { key, id: h.ack(), total, offset, start, len })
}

/// Takes STT's header off a whole frame and has what it says known of the frame; `None` if it says nonsense. Returns the
/// key.
pub fn strip<B: PacketBuf>(packet: &mut B) -> Option<u64> {
    let addresses = eth::HEADER_LEN - 2;
    if !packet.pull_up(stt::LEN + eth::HEADER_LEN) {
        return None;
    }
    let head = packet.head_mut();
    let [version, flags, l4] = bytes::array(head, 0)?;
    (version == 0).then_some(())?;
    let (mss, tci) = (bytes::u16_at(head, stt::OFF_MSS)?, bytes::u16_at(head, stt::OFF_TCI)?);
    let id = bytes::u64_at(head, stt::OFF_KEY)?;
    let (mut off, mut start) = (stt::LEN, u16::from(l4));
    if tci & TAG_PRESENT != 0 {
        off -= eth::VLAN_LEN;
        start += eth::VLAN_LEN as u16;
        head.get_mut(off..off + addresses + eth::VLAN_LEN)?.copy_within(eth::VLAN_LEN.., 0);
        bytes::put(head, off + addresses, &eth::TYPE_VLAN.to_be_bytes())?;
        bytes::put(head, off + addresses + 2, &(tci & !TAG_PRESENT).to_be_bytes())?;
    }
    packet.pull_front(off).then_some(())?;
    *packet.offload_mut() = offload(packet, (flags, start, mss))?;
    Some(id)
}

fn offload<B: PacketBuf>(packet: &B, (flags, start, mss): (u8, u16, u16)) -> Option<Offload> {
    let is_tcp = flags & stt::FLAG_TCP != 0;
    let mut offload = Offload::default();
    if flags & stt::FLAG_CSUM_PARTIAL != 0 {
        let offset = if is_tcp { tcp::OFF_CHECKSUM } else { udp::OFF_CHECKSUM } as u16;
        let fits = usize::from(start) > eth::HEADER_LEN
            && usize::from(start) + usize::from(offset) + 2 <= packet.len();
        fits.then_some(())?;
        offload.l4 = L4Checksum::Partial { start, offset };
    } else if flags & stt::FLAG_CSUM_VERIFIED != 0 {
        offload.l4 = L4Checksum::Good;
    }
    if mss != 0 && is_tcp {
        let kind =
            if flags & stt::FLAG_IPV4 != 0 { SegmentationKind::TcpV4 } else { SegmentationKind::TcpV6 };
        offload.segment = Some(Segmentation { kind, size: mss, ecn: false });
        // Headers that are not those of the segmentation: it would not leave again.
        let cuts = Segments::of(packet.head(), packet.len(), &offload)?;
        if cuts.count() == 1 {
            offload.segment = None;
        }
    }
    Some(offload)
}

const _: () = assert!(TunnelKind::Stt as u32 == 106 && stt::OFF_KEY + 8 + 2 == stt::LEN);

#[cfg(test)]
mod tests;
