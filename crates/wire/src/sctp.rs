//! SCTP's common header (RFC 9260).
//!
//! Where it sits: read by key extraction and conntrack. Its CRC32c covers no pseudo header, so address translation
//! leaves it alone; a rewritten port needs it anew ([`crc32c`]).
//!
//! ~~~text
//! 0: source port | destination port   4: verification tag   8: checksum
//! ~~~

/// Bytes of the common header.
pub const HEADER_LEN: usize = 12;
/// Offset of the source port.
pub const OFF_SRC: usize = 0;
/// Offset of the destination port.
pub const OFF_DST: usize = 2;
/// Offset of the checksum.
pub const OFF_CHECKSUM: usize = 8;

/// A view of a common header.
#[derive(Clone, Copy, Debug)]
pub struct SctpRef<'a>(&'a [u8; HEADER_LEN]);

impl<'a> SctpRef<'a> {
    /// The header at the start of `bytes`; `None` if fewer than 12 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Option<SctpRef<'a>> {
        bytes.first_chunk().map(SctpRef)
    }

    /// Source port.
    pub const fn src(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// Destination port.
    pub const fn dst(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Verification tag.
    pub const fn vtag(&self) -> u32 {
        u32::from_be_bytes([self.0[4], self.0[5], self.0[6], self.0[7]])
    }

    /// Checksum: the CRC32c as it is stored, that is little-endian.
    pub const fn checksum(&self) -> u32 {
        u32::from_le_bytes([self.0[8], self.0[9], self.0[10], self.0[11]])
    }
}

/// A common header, to be emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sctp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Verification tag.
    pub vtag: u32,
    /// Checksum.
    pub checksum: u32,
}

impl Sctp {
    /// The header's bytes.
    pub const fn emit(&self) -> [u8; HEADER_LEN] {
        let ([a, b], [c, d]) = (self.src.to_be_bytes(), self.dst.to_be_bytes());
        let ([e, f, g, h], [i, j, k, l]) = (self.vtag.to_be_bytes(), self.checksum.to_le_bytes());
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

impl From<SctpRef<'_>> for Sctp {
    fn from(h: SctpRef<'_>) -> Sctp {
        Sctp { src: h.src(), dst: h.dst(), vtag: h.vtag(), checksum: h.checksum() }
    }
}

/// An unfinished CRC32c (Castagnoli), over pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Self {
        Crc32c(!0)
    }
}

impl Crc32c {
    /// A nibble at a time: 64 bytes of table stay in the cache of a path that seldom needs them.
    const TABLE: [u32; 16] = {
        const fn entry(mut crc: u32) -> u32 {
            let mut bit = 0;
            while bit < 4 {
                crc = if crc & 1 != 0 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
                bit += 1;
            }
            crc
        }
        [
            entry(0),
            entry(1),
            entry(2),
            entry(3),
            entry(4),
            entry(5),
            entry(6),
            entry(7),
            entry(8),
            entry(9),
            entry(10),
            entry(11),
            entry(12),
            entry(13),
            entry(14),
            entry(15),
        ]
    };

    fn nibble(crc: u32, n: u8) -> u32 {
        crc >> 4 ^ Self::TABLE.get(usize::from((crc as u8 ^ n) & 0xf)).copied().unwrap_or(0)
    }

    /// Adds `bytes`.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Crc32c {
        Crc32c(bytes.iter().fold(self.0, |crc, &b| Self::nibble(Self::nibble(crc, b), b >> 4)))
    }

    /// The checksum.
    pub const fn finish(self) -> u32 {
        !self.0
    }
}

/// The checksum of a whole SCTP packet: its checksum field counts as zero.
pub fn crc32c(packet: &[u8]) -> u32 {
    let head = packet.get(..OFF_CHECKSUM).unwrap_or(packet);
    let rest = packet.get(HEADER_LEN..).unwrap_or_default();
    Crc32c::default().bytes(head).bytes(&[0; 4]).bytes(rest).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let h = Sctp { src: 1, dst: 2, vtag: 3, checksum: 4 };
        let b = h.emit();
        assert_eq!(Sctp::from(SctpRef::parse(&b).unwrap()), h);
        assert!(SctpRef::parse(&b[..11]).is_none());
    }

    #[test]
    fn crc_check_value() {
        assert_eq!(Crc32c::default().bytes(b"123456789").finish(), 0xe306_9283);
    }
}
