//! ICMP (RFC 792).
//!
//! Where it sits: read by key extraction, conntrack (queries by id, errors by the packet they quote), built by
//! translation (TTL exceeded) and tests.
//!
//! ~~~text
//! 0: type | code | checksum   4: id | sequence number, or other data by type   8: payload; errors quote a packet here
//! ~~~

use crate::bytes;

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;
/// Offset of the type.
pub const OFF_TYPE: usize = 0;
/// Offset of the code.
pub const OFF_CODE: usize = 1;
/// Offset of the checksum.
pub const OFF_CHECKSUM: usize = 2;
/// Offset of the id of queries.
pub const OFF_ID: usize = 4;

/// Echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Destination unreachable.
pub const DST_UNREACH: u8 = 3;
/// Source quench.
pub const SOURCE_QUENCH: u8 = 4;
/// Redirect.
pub const REDIRECT: u8 = 5;
/// Echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Router advertisement.
pub const ROUTER_ADVERT: u8 = 9;
/// Router solicitation.
pub const ROUTER_SOLICIT: u8 = 10;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Parameter problem.
pub const PARAM_PROBLEM: u8 = 12;
/// Timestamp request.
pub const TIMESTAMP: u8 = 13;
/// Timestamp reply.
pub const TIMESTAMP_REPLY: u8 = 14;
/// Information request.
pub const INFO_REQUEST: u8 = 15;
/// Information reply.
pub const INFO_REPLY: u8 = 16;

/// True for the types that quote the packet they are about.
pub const fn is_error(icmp_type: u8) -> bool {
    matches!(icmp_type, DST_UNREACH | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAM_PROBLEM)
}

/// A view of a header.
#[derive(Clone, Copy, Debug)]
pub struct IcmpRef<'a>(&'a [u8; HEADER_LEN]);

impl<'a> IcmpRef<'a> {
    /// The header at the start of `bytes`; `None` if fewer than 8 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Option<IcmpRef<'a>> {
        bytes.first_chunk().map(IcmpRef)
    }

    /// Type.
    pub const fn icmp_type(&self) -> u8 {
        self.0[OFF_TYPE]
    }

    /// Code.
    pub const fn code(&self) -> u8 {
        self.0[OFF_CODE]
    }

    /// Checksum.
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Id of a query.
    pub const fn id(&self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// Sequence number of a query.
    pub const fn seq(&self) -> u16 {
        u16::from_be_bytes([self.0[6], self.0[7]])
    }
}

/// A header, to be emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Icmp {
    /// Type.
    pub icmp_type: u8,
    /// Code.
    pub code: u8,
    /// Checksum.
    pub checksum: u16,
    /// Id of a query, or the high half of the type's data.
    pub id: u16,
    /// Sequence number of a query, or the low half of the type's data.
    pub seq: u16,
}

impl Icmp {
    /// The header's bytes.
    pub const fn emit(&self) -> [u8; HEADER_LEN] {
        let ([a, b], [c, d], [e, f]) =
            (self.checksum.to_be_bytes(), self.id.to_be_bytes(), self.seq.to_be_bytes());
        [self.icmp_type, self.code, a, b, c, d, e, f]
    }
}

impl From<IcmpRef<'_>> for Icmp {
    fn from(h: IcmpRef<'_>) -> Icmp {
        Icmp { icmp_type: h.icmp_type(), code: h.code(), checksum: h.checksum(), id: h.id(), seq: h.seq() }
    }
}

/// IGMP's group address, which has ICMP's first four bytes before it (RFC 3376); `None` if fewer than 8 bytes are there.
pub fn igmp_group(igmp: &[u8]) -> Option<u32> {
    bytes::u32_at(igmp, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let h = Icmp { icmp_type: ECHO_REQUEST, code: 1, checksum: 2, id: 3, seq: 4 };
        let b = h.emit();
        assert_eq!(Icmp::from(IcmpRef::parse(&b).unwrap()), h);
        assert!(IcmpRef::parse(&b[..7]).is_none());
    }
}
