//! Network Service Header (RFC 8300).
//!
//! Where it sits: read by key extraction, built and rewritten by the NSH actions.
//!
//! ~~~text
//!  0: version (2), O, U, TTL (6), length in words (6)   2: U (4), MD type (4) | next protocol
//!  4: service path (24) | service index (8)             8: MD type 1: four words of context; type 2: TLVs
//! ~~~

use crate::bytes;

/// Bytes of the base and service path headers.
pub const BASE_LEN: usize = 8;
/// Bytes of a header with MD type 1.
pub const MD1_LEN: usize = 24;
/// Most bytes of a header.
pub const MAX_LEN: usize = 0x3f * 4;
/// MD type with a fixed context of four words.
pub const MD_TYPE1: u8 = 1;
/// MD type with a list of TLVs.
pub const MD_TYPE2: u8 = 2;
/// Next protocol: IPv4.
pub const NP_IPV4: u8 = 1;
/// Next protocol: IPv6.
pub const NP_IPV6: u8 = 2;
/// Next protocol: Ethernet.
pub const NP_ETHERNET: u8 = 3;
/// Next protocol: NSH.
pub const NP_NSH: u8 = 4;
/// Next protocol: MPLS.
pub const NP_MPLS: u8 = 5;
/// Bits of the first 16 that are flags.
pub const FLAGS_MASK: u16 = 0x3000;
/// Bits of the first 16 that are the TTL.
pub const TTL_MASK: u16 = 0x0fc0;

/// A view of a header.
#[derive(Clone, Copy, Debug)]
pub struct NshRef<'a>(&'a [u8]);

impl<'a> NshRef<'a> {
    /// The header at the start of `bytes`; `None` if it is cut short or claims less than a base header.
    pub fn parse(bytes: &'a [u8]) -> Option<NshRef<'a>> {
        let first = bytes::u16_at(bytes, 0)?;
        let len = usize::from(first & 0x3f) * 4;
        let header = bytes.get(..len)?;
        (len >= BASE_LEN).then_some(NshRef(header))
    }

    fn first(&self) -> u16 {
        bytes::u16_at(self.0, 0).unwrap_or(0)
    }

    /// Version; zero.
    pub fn version(&self) -> u8 {
        (self.first() >> 14) as u8
    }

    /// The O and U bits.
    pub fn flags(&self) -> u8 {
        (self.first() >> 12 & 3) as u8
    }

    /// TTL.
    pub fn ttl(&self) -> u8 {
        (self.first() >> 6 & 0x3f) as u8
    }

    /// Bytes of the whole header.
    pub fn header_len(&self) -> usize {
        self.0.len()
    }

    /// MD type.
    pub fn md_type(&self) -> u8 {
        bytes::u8_at(self.0, 2).unwrap_or(0) & 0xf
    }

    /// Next protocol.
    pub fn next_proto(&self) -> u8 {
        bytes::u8_at(self.0, 3).unwrap_or(0)
    }

    /// Service path.
    pub fn spi(&self) -> u32 {
        bytes::u32_at(self.0, 4).unwrap_or(0) >> 8
    }

    /// Service index.
    pub fn si(&self) -> u8 {
        bytes::u8_at(self.0, 7).unwrap_or(0)
    }

    /// The context of MD type 1; `None` for other types, and if the length does not fit.
    pub fn context(&self) -> Option<[u32; 4]> {
        if self.md_type() != MD_TYPE1 || self.0.len() != MD1_LEN {
            return None;
        }
        let at = |i: usize| bytes::u32_at(self.0, BASE_LEN + 4 * i);
        Some([at(0)?, at(1)?, at(2)?, at(3)?])
    }
}

/// A base and service path header, to be emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NshBase {
    /// The O and U bits.
    pub flags: u8,
    /// TTL (6 bits).
    pub ttl: u8,
    /// Bytes of the whole header, a multiple of 4.
    pub header_len: u8,
    /// MD type.
    pub md_type: u8,
    /// Next protocol.
    pub next_proto: u8,
    /// Service path (24 bits).
    pub spi: u32,
    /// Service index.
    pub si: u8,
}

impl NshBase {
    /// The header's bytes.
    pub const fn emit(&self) -> [u8; BASE_LEN] {
        let first =
            (self.flags as u16 & 3) << 12 | (self.ttl as u16 & 0x3f) << 6 | self.header_len as u16 >> 2;
        let [a, b] = first.to_be_bytes();
        let [c, d, e, f] = (self.spi << 8 | self.si as u32).to_be_bytes();
        [a, b, self.md_type & 0xf, self.next_proto, c, d, e, f]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let base =
            NshBase { flags: 2, ttl: 63, header_len: 24, md_type: 1, next_proto: 3, spi: 0x123456, si: 255 };
        let mut bytes = [7u8; MD1_LEN];
        bytes[..BASE_LEN].copy_from_slice(&base.emit());
        let h = NshRef::parse(&bytes).unwrap();
        assert_eq!((h.version(), h.flags(), h.ttl(), h.header_len()), (0, 2, 63, 24));
        assert_eq!((h.md_type(), h.next_proto(), h.spi(), h.si()), (1, 3, 0x123456, 255));
        assert_eq!(h.context(), Some([0x0707_0707; 4]));
        assert!((0..MD1_LEN).all(|n| NshRef::parse(&bytes[..n]).is_none()));
    }
}
