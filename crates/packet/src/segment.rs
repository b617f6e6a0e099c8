//! Segmentation: where a super-packet is cut, and what each segment's headers say.
//!
//! Where it sits: used by whoever must have packets that fit the wire: transmit queues of devices that cannot cut them, and
//! the datapath's device, whose messages hold packets. It copies nothing: its caller brings a segment's bytes together.
//!
//! Each segment repeats the headers with its own lengths, identification, sequence number, flags and checksums. What
//! the headers say is only trusted as far as the frame reaches.
//!
//! Spec: RFC 9293 (sequence, flags), RFC 6864 (identification), RFC 3168 §6.1.2 (CWR on the first segment only).

use core::ops::Range;

use wire::checksum::{Sum, checksum, pseudo_v4, pseudo_v6};
use wire::{bytes, eth};

use crate::{L4Checksum, Offload, SegmentationKind};

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;
/// IPv6 extension headers walked at most.
const MAX_EXTENSIONS: usize = 8;

/// How one super-packet is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    layout: Layout,
    /// Bytes of the whole frame.
    len: usize,
    size: usize,
    has_checksum: bool,
}

impl Segments {
    /// The cuts that `offload` asks for in a frame of `len` bytes that begins with `head`; `None` if it asks for none, or if
    /// the headers are not those of the segmentation asked for.
    pub fn of(head: &[u8], len: usize, offload: &Offload) -> Option<Segments> {
        let how = offload.segment?;
        let layout = Layout::of(head, how.kind, offload.outer)?;
        let has_checksum = layout.proto == IPPROTO_TCP
            || offload.l4 != L4Checksum::Unknown
            || bytes::u16_at(head, layout.l4 + 6) != Some(0);
        Some(Segments { layout, len, size: usize::from(how.size.max(1)), has_checksum })
    }

    /// How many segments there are; at least one.
    pub fn count(&self) -> usize {
        self.len.saturating_sub(self.layout.payload).div_ceil(self.size).max(1)
    }

    /// Bytes of the headers, with which every segment begins.
    pub fn headers(&self) -> usize {
        self.layout.payload
    }

    /// Where the transport header begins.
    pub fn transport(&self) -> usize {
        self.layout.l4
    }

    /// Which bytes of the frame segment `index` has after the headers.
    pub fn body(&self, index: usize) -> Range<usize> {
        let start = self.layout.payload.saturating_add(index.saturating_mul(self.size)).min(self.len);
        start..start.saturating_add(self.size).min(self.len)
    }

    /// Makes the headers of segment `index` its own; `None` if it cannot be one.
    pub fn finish(&self, segment: &mut [u8], index: usize) -> Option<L4Checksum> {
        let last = index.saturating_add(1) == self.count();
        let piece = Piece { index, offset: index.saturating_mul(self.size), last };
        fix_headers(segment, &self.layout, &piece, self.has_checksum)?;
        Some(if self.has_checksum { L4Checksum::Good } else { L4Checksum::Unknown })
    }
}

/// Where the headers of a super-packet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    l3: usize,
    l4: usize,
    payload: usize,
    version: u8,
    proto: u8,
}

impl Layout {
    /// `outer`: bytes of tunnel headers in front.
    fn of(frame: &[u8], kind: SegmentationKind, outer: u16) -> Option<Layout> {
        let mut l3 = usize::from(outer) + eth::HEADER_LEN;
        while eth::is_vlan(bytes::u16_at(frame, l3 - 2)?) {
            l3 += eth::VLAN_LEN;
        }
        let (version, proto, l4) = match bytes::u16_at(frame, l3 - 2)? {
            eth::TYPE_IPV4 => ipv4(frame, l3)?,
            eth::TYPE_IPV6 => ipv6(frame, l3)?,
            _ => return None,
        };
        let payload = match proto {
            IPPROTO_TCP => {
                let len = usize::from(bytes::u8_at(frame, l4 + 12)? >> 4) * 4;
                if len < 20 {
                    return None;
                }
                l4 + len
            }
            IPPROTO_UDP => l4 + 8,
            _ => return None,
        };
        let as_asked = match kind {
            SegmentationKind::TcpV4 => version == 4 && proto == IPPROTO_TCP,
            SegmentationKind::TcpV6 => version == 6 && proto == IPPROTO_TCP,
            SegmentationKind::Udp => proto == IPPROTO_UDP,
        };
        (as_asked && payload <= frame.len()).then_some(Layout { l3, l4, payload, version, proto })
    }
}

fn ipv4(frame: &[u8], l3: usize) -> Option<(u8, u8, usize)> {
    let ihl = usize::from(bytes::u8_at(frame, l3)? & 0xf) * 4;
    (ihl >= 20).then_some((4, bytes::u8_at(frame, l3 + 9)?, l3 + ihl))
}

fn ipv6(frame: &[u8], l3: usize) -> Option<(u8, u8, usize)> {
    let mut proto = bytes::u8_at(frame, l3 + 6)?;
    let mut at = l3 + 40;
    for _ in 0..MAX_EXTENSIONS {
        // Hop-by-hop, routing and destination options; a fragment is no super-packet.
        if !matches!(proto, 0 | 43 | 60) {
            return Some((6, proto, at));
        }
        proto = bytes::u8_at(frame, at)?;
        at += (usize::from(bytes::u8_at(frame, at + 1)?) + 1) * 8;
    }
    None
}

/// What one segment is of its super-packet.
struct Piece {
    index: usize,
    offset: usize,
    last: bool,
}

fn fix_headers(f: &mut [u8], at: &Layout, piece: &Piece, has_checksum: bool) -> Option<()> {
    let l4_len = f.len().checked_sub(at.l4)?;
    let pseudo = if at.version == 4 { fix_ipv4(f, at, piece, l4_len)? } else { fix_ipv6(f, at, l4_len)? };
    let checksum_at = if at.proto == IPPROTO_TCP {
        let sequence = bytes::u32_at(f, at.l4 + 4)?.wrapping_add(piece.offset as u32);
        bytes::put(f, at.l4 + 4, &sequence.to_be_bytes())?;
        let flags = bytes::u8_at(f, at.l4 + 13)?
            & !(if piece.last { 0 } else { TCP_FIN | TCP_PSH })
            & !(if piece.index == 0 { 0 } else { TCP_CWR });
        bytes::put(f, at.l4 + 13, &[flags])?;
        at.l4 + 16
    } else {
        bytes::put(f, at.l4 + 4, &u16::try_from(l4_len).ok()?.to_be_bytes())?;
        at.l4 + 6
    };
    if !has_checksum {
        return Some(());
    }
    bytes::put(f, checksum_at, &[0, 0])?;
    let sum = match pseudo.bytes(f.get(at.l4..)?).finish() {
        0 if at.proto == IPPROTO_UDP => 0xffff,
        sum => sum,
    };
    bytes::put(f, checksum_at, &sum.to_be_bytes())
}

fn fix_ipv4(f: &mut [u8], at: &Layout, piece: &Piece, l4_len: usize) -> Option<Sum> {
    let total = u16::try_from(f.len() - at.l3).ok()?;
    bytes::put(f, at.l3 + 2, &total.to_be_bytes())?;
    let id = bytes::u16_at(f, at.l3 + 4)?.wrapping_add(piece.index as u16);
    bytes::put(f, at.l3 + 4, &id.to_be_bytes())?;
    bytes::put(f, at.l3 + 10, &[0, 0])?;
    let sum = checksum(f.get(at.l3..at.l4)?);
    bytes::put(f, at.l3 + 10, &sum.to_be_bytes())?;
    let (src, dst) = (bytes::u32_at(f, at.l3 + 12)?, bytes::u32_at(f, at.l3 + 16)?);
    Some(pseudo_v4(src, dst, at.proto, u16::try_from(l4_len).ok()?))
}

fn fix_ipv6(f: &mut [u8], at: &Layout, l4_len: usize) -> Option<Sum> {
    let payload = u16::try_from(f.len().checked_sub(at.l3 + 40)?).ok()?;
    bytes::put(f, at.l3 + 4, &payload.to_be_bytes())?;
    let (src, dst) = (bytes::u128_at(f, at.l3 + 8)?, bytes::u128_at(f, at.l3 + 24)?);
    Some(pseudo_v6(src, dst, at.proto, u32::try_from(l4_len).ok()?))
}
