//! IPv6 (RFC 8200) and the walk over its extension headers.
//!
//! Where it sits: read by key extraction and conntrack, rewritten in place through the `OFF_` offsets.
//!
//! ~~~text
//!  0: version (4), traffic class (8), flow label (20)
//!  4: payload length   6: next header | hop limit
//!  8: source          24: destination             40: extension headers, payload
//! ~~~

use crate::{bytes, ip};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Offset of the payload length.
pub const OFF_PAYLOAD_LEN: usize = 4;
/// Offset of the next header.
pub const OFF_NEXT: usize = 6;
/// Offset of the hop limit.
pub const OFF_HOP_LIMIT: usize = 7;
/// Offset of the source address.
pub const OFF_SRC: usize = 8;
/// Offset of the destination address.
pub const OFF_DST: usize = 24;
/// The flow label's bits.
pub const LABEL_MASK: u32 = 0x000f_ffff;

/// More fragments follow, in a fragment header's word.
pub const FRAG_MORE: u16 = 1;
/// The offset's bits, in bytes, in a fragment header's word.
pub const FRAG_OFFSET_MASK: u16 = 0xfff8;
/// Bytes of a fragment header.
pub const FRAG_HEADER_LEN: usize = 8;

/// A view of the fixed header.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6Ref<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Ipv6Ref<'a> {
    /// The header at the start of `bytes`; `None` if fewer than 40 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Option<Ipv6Ref<'a>> {
        bytes.first_chunk().map(Ipv6Ref)
    }

    const fn first_word(&self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    /// Version: 6 if the packet is what its Ethernet type says.
    pub const fn version(&self) -> u8 {
        self.0[0] >> 4
    }

    /// Traffic class.
    pub const fn traffic_class(&self) -> u8 {
        (self.first_word() >> 20) as u8
    }

    /// Flow label.
    pub const fn label(&self) -> u32 {
        self.first_word() & LABEL_MASK
    }

    /// Bytes after the fixed header, as the header says.
    pub const fn payload_len(&self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// Type of what follows the fixed header.
    pub const fn next_header(&self) -> u8 {
        self.0[OFF_NEXT]
    }

    /// Hop limit.
    pub const fn hop_limit(&self) -> u8 {
        self.0[OFF_HOP_LIMIT]
    }

    /// Source address.
    pub fn src(&self) -> u128 {
        bytes::u128_at(self.0, OFF_SRC).unwrap_or(0)
    }

    /// Destination address.
    pub fn dst(&self) -> u128 {
        bytes::u128_at(self.0, OFF_DST).unwrap_or(0)
    }
}

/// A fixed header, to be emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ipv6 {
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label; only 20 bits are emitted.
    pub label: u32,
    /// Bytes after the fixed header.
    pub payload_len: u16,
    /// Type of what follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
}

impl Ipv6 {
    /// The header's bytes.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.label & LABEL_MASK;
        // Every offset below is within the array, so `put` cannot fail.
        let _ = bytes::put(&mut out, 0, &first.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_PAYLOAD_LEN, &self.payload_len.to_be_bytes());
        out[OFF_NEXT] = self.next_header;
        out[OFF_HOP_LIMIT] = self.hop_limit;
        let _ = bytes::put(&mut out, OFF_SRC, &self.src.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_DST, &self.dst.to_be_bytes());
        out
    }
}

impl From<Ipv6Ref<'_>> for Ipv6 {
    fn from(h: Ipv6Ref<'_>) -> Ipv6 {
        Ipv6 {
            traffic_class: h.traffic_class(),
            label: h.label(),
            payload_len: h.payload_len(),
            next_header: h.next_header(),
            hop_limit: h.hop_limit(),
            src: h.src(),
            dst: h.dst(),
        }
    }
}

/// A fragment header that was met on the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Frag {
    /// Offset (bytes, a multiple of 8) and [`FRAG_MORE`], as one word.
    pub word: u16,
    /// Identification.
    pub id: u32,
    /// Where the fragment header begins, from the start of the IPv6 header.
    pub at: usize,
}

impl Ipv6Frag {
    /// True unless the header is of a packet sent whole (an "atomic fragment", RFC 6946).
    pub const fn is_fragment(&self) -> bool {
        self.word & (FRAG_OFFSET_MASK | FRAG_MORE) != 0
    }

    /// True for a fragment that is not the first: it has no transport header.
    pub const fn is_later(&self) -> bool {
        self.word & FRAG_OFFSET_MASK != 0
    }
}

/// Where a walk over extension headers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Payload {
    /// Type of the first header that is none of the known extensions (or of the later fragment's content).
    pub proto: u8,
    /// Its offset from the start of the IPv6 header.
    pub offset: usize,
    /// The last fragment header met.
    pub frag: Option<Ipv6Frag>,
    /// False if the bytes ended within an extension header: `proto` is then that extension's type.
    pub complete: bool,
}

/// Walks the extension headers of `packet`, which begins with a header that `Ipv6Ref` has parsed.
///
/// Hop-by-hop, routing and destination options, authentication and fragment headers are walked, in any order. The
/// walk ends at the first other header, behind the fragment header of a later fragment, or where bytes end.
pub fn walk_extensions(packet: &[u8], first: u8) -> Ipv6Payload {
    let mut at = Ipv6Payload { proto: first, offset: HEADER_LEN, frag: None, complete: true };
    loop {
        let ext = packet.get(at.offset..).unwrap_or_default();
        let len = match at.proto {
            ip::EXT_HOP_BY_HOP | ip::EXT_ROUTING | ip::EXT_DEST_OPTIONS => {
                bytes::u8_at(ext, 1).map(|n| (usize::from(n) + 1) * 8)
            }
            ip::EXT_AH => bytes::u8_at(ext, 1).map(|n| (usize::from(n) + 2) * 4),
            ip::EXT_FRAGMENT => Some(FRAG_HEADER_LEN),
            _ => return at,
        };
        let (Some(next), Some(len)) = (bytes::u8_at(ext, 0), len.filter(|&n| n <= ext.len())) else {
            return Ipv6Payload { complete: false, ..at };
        };
        if at.proto == ip::EXT_FRAGMENT {
            let (word, id) = (bytes::u16_at(ext, 2).unwrap_or(0), bytes::u32_at(ext, 4).unwrap_or(0));
            let frag = Ipv6Frag { word, id, at: at.offset };
            at.frag = Some(frag);
            if frag.is_later() {
                return Ipv6Payload { proto: next, offset: at.offset + len, ..at };
            }
        }
        at.proto = next;
        at.offset += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(parts: &[&[u8]]) -> [u8; 80] {
        let mut out = [0; 80];
        let mut at = HEADER_LEN;
        for p in parts {
            out[at..at + p.len()].copy_from_slice(p);
            at += p.len();
        }
        out
    }

    #[test]
    fn what_is_emitted_is_parsed() {
        let h = Ipv6 {
            traffic_class: 0xa5,
            label: 0xbcdef,
            payload_len: 8,
            next_header: 17,
            hop_limit: 3,
            src: 1,
            dst: 2 << 100,
        };
        let b = h.emit();
        assert_eq!(Ipv6::from(Ipv6Ref::parse(&b).unwrap()), h);
        assert!(Ipv6Ref::parse(&b[..39]).is_none());
    }

    #[test]
    fn extensions_are_walked() {
        // Hop-by-hop (8), AH (12: length 1), then UDP.
        let b = packet(&[&[51, 0, 0, 0, 0, 0, 0, 0], &[17, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]);
        let end = walk_extensions(&b, ip::EXT_HOP_BY_HOP);
        assert_eq!(end, Ipv6Payload { proto: 17, offset: 60, frag: None, complete: true });
    }

    #[test]
    fn a_later_fragment_ends_the_walk() {
        // What follows looks like a routing header but is payload.
        let b = packet(&[&[43, 0, 0x05, 0xa9, 0, 0, 0, 9], &[6, 0, 0, 0]]);
        let end = walk_extensions(&b, ip::EXT_FRAGMENT);
        assert_eq!((end.proto, end.offset, end.complete), (43, 48, true));
        assert!(end.frag.is_some_and(|f| f.is_later() && f.id == 9 && f.at == 40));
        let first = packet(&[&[6, 0, 0, 1, 0, 0, 0, 9]]);
        let end = walk_extensions(&first, ip::EXT_FRAGMENT);
        assert!(end.proto == 6 && end.frag.is_some_and(|f| f.is_fragment() && !f.is_later()));
    }

    #[test]
    fn cut_extensions_are_reported() {
        let b = packet(&[&[60, 0, 0, 0, 0, 0, 0, 0], &[17, 9]]);
        let end = walk_extensions(&b, ip::EXT_HOP_BY_HOP);
        assert_eq!((end.proto, end.offset, end.complete), (60, 48, false));
        let end = walk_extensions(&b[..40], ip::EXT_ROUTING);
        assert_eq!((end.proto, end.offset, end.complete), (43, 40, false));
    }
}
