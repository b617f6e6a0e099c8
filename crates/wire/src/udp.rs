//! UDP (RFC 768).
//!
//! Where it sits: the smallest header here and the pattern for the others: constants, a view, an owned form.
//!
//! ~~~text
//! 0: source port   2: destination port   4: length   6: checksum (zero: none)
//! ~~~

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;
/// Offset of the source port.
pub const OFF_SRC: usize = 0;
/// Offset of the destination port.
pub const OFF_DST: usize = 2;
/// Offset of the length.
pub const OFF_LEN: usize = 4;
/// Offset of the checksum.
pub const OFF_CHECKSUM: usize = 6;

/// A view of a header.
#[derive(Clone, Copy, Debug)]
pub struct UdpRef<'a>(&'a [u8; HEADER_LEN]);

impl<'a> UdpRef<'a> {
    /// The header at the start of `bytes`; `None` if fewer than 8 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Option<UdpRef<'a>> {
        bytes.first_chunk().map(UdpRef)
    }

    /// Source port.
    pub const fn src(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// Destination port.
    pub const fn dst(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Bytes of header and payload, as the header says.
    pub const fn length(&self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// Checksum; zero means that there is none.
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.0[6], self.0[7]])
    }
}

/// A header, to be emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Bytes of header and payload.
    pub length: u16,
    /// Checksum.
    pub checksum: u16,
}

impl Udp {
    /// The header's bytes.
    pub const fn emit(&self) -> [u8; HEADER_LEN] {
        let ([a, b], [c, d]) = (self.src.to_be_bytes(), self.dst.to_be_bytes());
        let ([e, f], [g, h]) = (self.length.to_be_bytes(), self.checksum.to_be_bytes());
        [a, b, c, d, e, f, g, h]
    }
}

impl From<UdpRef<'_>> for Udp {
    fn from(h: UdpRef<'_>) -> Udp {
        Udp { src: h.src(), dst: h.dst(), length: h.length(), checksum: h.checksum() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let h = Udp { src: 53, dst: 0, length: 9, checksum: 0xbeef };
        let b = h.emit();
        assert_eq!(Udp::from(UdpRef::parse(&b).unwrap()), h);
        assert!(UdpRef::parse(&b[..7]).is_none());
    }
}
