//! IPv4 (RFC 791).
//!
//! Where it sits: read by key extraction and conntrack, rewritten in place through the `OFF_` offsets.
//!
//! ~~~text
//!  0: version, IHL | TOS   2: total length
//!  4: identification       6: flags (3), fragment offset (13)
//!  8: TTL | protocol      10: header checksum
//! 12: source              16: destination          20: options
//! ~~~

use crate::{bytes, checksum};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Offset of TOS.
pub const OFF_TOS: usize = 1;
/// Offset of the total length.
pub const OFF_TOTAL_LEN: usize = 2;
/// Offset of flags and fragment offset.
pub const OFF_FRAG: usize = 6;
/// Offset of TTL.
pub const OFF_TTL: usize = 8;
/// Offset of the protocol.
pub const OFF_PROTO: usize = 9;
/// Offset of the header checksum.
pub const OFF_CHECKSUM: usize = 10;
/// Offset of the source address.
pub const OFF_SRC: usize = 12;
/// Offset of the destination address.
pub const OFF_DST: usize = 16;

/// Don't fragment.
pub const FLAG_DF: u16 = 0x4000;
/// More fragments follow.
pub const FLAG_MF: u16 = 0x2000;
/// The fragment offset's bits, in units of 8 bytes.
pub const FRAG_OFFSET_MASK: u16 = 0x1fff;

/// A view of a header: at least 20 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Ref<'a> {
    fixed: &'a [u8; HEADER_LEN],
    all: &'a [u8],
}

impl<'a> Ipv4Ref<'a> {
    /// The header at the start of `bytes`; `None` if fewer than 20 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Option<Ipv4Ref<'a>> {
        Some(Ipv4Ref { fixed: bytes.first_chunk()?, all: bytes })
    }

    /// Version: 4 if the packet is what its Ethernet type says.
    pub const fn version(&self) -> u8 {
        self.fixed[0] >> 4
    }

    /// Bytes of the header with options, as the header says; may be less than 20 or more than there are.
    pub const fn header_len(&self) -> usize {
        (self.fixed[0] & 0x0f) as usize * 4
    }

    /// Type of service.
    pub const fn tos(&self) -> u8 {
        self.fixed[OFF_TOS]
    }

    /// Bytes of header and payload, as the header says.
    pub const fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// Identification.
    pub const fn id(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// Flags and fragment offset, as one word.
    pub const fn frag(&self) -> u16 {
        u16::from_be_bytes([self.fixed[6], self.fixed[7]])
    }

    /// True for any fragment.
    pub const fn is_fragment(&self) -> bool {
        self.frag() & (FLAG_MF | FRAG_OFFSET_MASK) != 0
    }

    /// True for a fragment that is not the first: it has no transport header.
    pub const fn is_later_fragment(&self) -> bool {
        self.frag() & FRAG_OFFSET_MASK != 0
    }

    /// Time to live.
    pub const fn ttl(&self) -> u8 {
        self.fixed[OFF_TTL]
    }

    /// Protocol of the payload.
    pub const fn proto(&self) -> u8 {
        self.fixed[OFF_PROTO]
    }

    /// Header checksum.
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.fixed[10], self.fixed[11]])
    }

    /// Source address.
    pub const fn src(&self) -> u32 {
        u32::from_be_bytes([self.fixed[12], self.fixed[13], self.fixed[14], self.fixed[15]])
    }

    /// Destination address.
    pub const fn dst(&self) -> u32 {
        u32::from_be_bytes([self.fixed[16], self.fixed[17], self.fixed[18], self.fixed[19]])
    }

    /// The whole header with its options; `None` if its length makes no sense or bytes are missing.
    pub fn header(&self) -> Option<&'a [u8]> {
        if self.header_len() < HEADER_LEN { None } else { self.all.get(..self.header_len()) }
    }

    /// True if the header is whole and its checksum right.
    pub fn checksum_ok(&self) -> bool {
        self.header().is_some_and(|h| checksum::checksum(h) == 0)
    }
}

/// A header without options, to be emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ipv4 {
    /// Type of service.
    pub tos: u8,
    /// Bytes of header and payload.
    pub total_len: u16,
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset.
    pub frag: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub proto: u8,
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
}

impl Ipv4 {
    /// The header's bytes, checksum filled in.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = 0x45;
        out[OFF_TOS] = self.tos;
        out[OFF_TTL] = self.ttl;
        out[OFF_PROTO] = self.proto;
        // Every offset below is within the array, so `put` cannot fail.
        let _ = bytes::put(&mut out, OFF_TOTAL_LEN, &self.total_len.to_be_bytes());
        let _ = bytes::put(&mut out, 4, &self.id.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_FRAG, &self.frag.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_SRC, &self.src.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_DST, &self.dst.to_be_bytes());
        let sum = checksum::checksum(&out);
        let _ = bytes::put(&mut out, OFF_CHECKSUM, &sum.to_be_bytes());
        out
    }
}

impl From<Ipv4Ref<'_>> for Ipv4 {
    fn from(h: Ipv4Ref<'_>) -> Ipv4 {
        Ipv4 {
            tos: h.tos(),
            total_len: h.total_len(),
            id: h.id(),
            frag: h.frag(),
            ttl: h.ttl(),
            proto: h.proto(),
            src: h.src(),
            dst: h.dst(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let h = Ipv4 {
            tos: 1,
            total_len: 99,
            id: 7,
            frag: FLAG_MF,
            ttl: 64,
            proto: 6,
            src: 0x0a00_0001,
            dst: 0x0a00_0002,
        };
        let b = h.emit();
        let r = Ipv4Ref::parse(&b).unwrap();
        assert_eq!(Ipv4::from(r), h);
        assert!(r.checksum_ok() && r.is_fragment() && !r.is_later_fragment());
        assert_eq!((r.version(), r.header_len()), (4, 20));
        assert!(Ipv4Ref::parse(&b[..19]).is_none());
    }

    #[test]
    fn a_nonsensical_length_has_no_header() {
        let mut b = Ipv4::default().emit();
        b[0] = 0x44;
        assert!(Ipv4Ref::parse(&b).unwrap().header().is_none());
        b[0] = 0x46;
        assert!(Ipv4Ref::parse(&b).unwrap().header().is_none());
    }
}
