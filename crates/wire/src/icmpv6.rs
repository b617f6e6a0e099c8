//! ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861).
//!
//! Where it sits: read by key extraction and conntrack, built by translation and tests. Its checksum covers the IPv6
//! pseudo header, unlike ICMP's.
//!
//! ~~~text
//! 0: type | code | checksum   4: id | sequence number, or other data by type   8: payload; errors quote a packet here
//! ND solicitation and advertisement:   4: flags, reserved   8: target (16)   24: options (type | length/8 | data)
//! ~~~

use crate::{EthAddr, bytes};

pub use crate::icmp::{HEADER_LEN, OFF_CHECKSUM, OFF_CODE, OFF_ID, OFF_TYPE};

/// Destination unreachable.
pub const DST_UNREACH: u8 = 1;
/// Packet too big.
pub const PACKET_TOO_BIG: u8 = 2;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Parameter problem.
pub const PARAM_PROBLEM: u8 = 4;
/// Echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Multicast listener query.
pub const MLD_QUERY: u8 = 130;
/// Multicast listener report.
pub const MLD_REPORT: u8 = 131;
/// Multicast listener done.
pub const MLD_DONE: u8 = 132;
/// Router solicitation.
pub const ROUTER_SOLICIT: u8 = 133;
/// Router advertisement.
pub const ROUTER_ADVERT: u8 = 134;
/// Neighbour solicitation.
pub const NEIGHBOR_SOLICIT: u8 = 135;
/// Neighbour advertisement.
pub const NEIGHBOR_ADVERT: u8 = 136;
/// Redirect.
pub const REDIRECT: u8 = 137;
/// Multicast listener report, version 2.
pub const MLD2_REPORT: u8 = 143;

/// ND option: source link-layer address.
pub const OPT_SOURCE_LINK_ADDR: u8 = 1;
/// ND option: target link-layer address.
pub const OPT_TARGET_LINK_ADDR: u8 = 2;
/// Bytes of a link-layer address option.
pub const LINK_ADDR_OPT_LEN: usize = 8;
/// Bytes of a solicitation or advertisement before its options.
pub const ND_HEADER_LEN: usize = 24;
/// Offset of ND's flags and reserved bits.
pub const OFF_ND_RESERVED: usize = 4;
/// Offset of ND's target.
pub const OFF_ND_TARGET: usize = 8;

/// True for the types that quote the packet they are about.
pub const fn is_error(icmp_type: u8) -> bool {
    matches!(icmp_type, DST_UNREACH | PACKET_TOO_BIG | TIME_EXCEEDED | PARAM_PROBLEM)
}

/// True for neighbour solicitation and advertisement, by type and code.
pub const fn is_nd(icmp_type: u8, code: u8) -> bool {
    code == 0 && matches!(icmp_type, NEIGHBOR_SOLICIT | NEIGHBOR_ADVERT)
}

/// A view of a header: at least the first 4 bytes, which every type has.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6Ref<'a> {
    fixed: &'a [u8; 4],
    all: &'a [u8],
}

impl<'a> Icmpv6Ref<'a> {
    /// The header at the start of `bytes`; `None` if fewer than 4 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Option<Icmpv6Ref<'a>> {
        Some(Icmpv6Ref { fixed: bytes.first_chunk()?, all: bytes })
    }

    /// Type.
    pub const fn icmp_type(&self) -> u8 {
        self.fixed[OFF_TYPE]
    }

    /// Code.
    pub const fn code(&self) -> u8 {
        self.fixed[OFF_CODE]
    }

    /// Checksum.
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// Id of a query, if the bytes are there.
    pub fn id(&self) -> Option<u16> {
        bytes::u16_at(self.all, OFF_ID)
    }
}

/// A header, to be emitted: type, code, checksum and four bytes of data.
pub type Icmpv6 = crate::icmp::Icmp;

/// A view of a neighbour solicitation or advertisement.
#[derive(Clone, Copy, Debug)]
pub struct NdRef<'a> {
    fixed: &'a [u8; ND_HEADER_LEN],
    options: &'a [u8],
}

impl<'a> NdRef<'a> {
    /// The message at the start of `bytes` (the ICMPv6 header); `None` if fewer than 24 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Option<NdRef<'a>> {
        let (fixed, options) = bytes.split_first_chunk()?;
        Some(NdRef { fixed, options })
    }

    /// Flags and reserved bits.
    pub const fn reserved(&self) -> u32 {
        u32::from_be_bytes([self.fixed[4], self.fixed[5], self.fixed[6], self.fixed[7]])
    }

    /// Target address.
    pub fn target(&self) -> u128 {
        bytes::u128_at(self.fixed, OFF_ND_TARGET).unwrap_or(0)
    }

    /// The options, up to the first that is broken: each yields [`NdOption::Broken`] or what it holds.
    pub fn options(&self) -> NdOptions<'a> {
        NdOptions { rest: self.options, at: ND_HEADER_LEN }
    }
}

/// One option of a neighbour discovery message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdOption<'a> {
    /// A source or target link-layer address of an Ethernet link.
    LinkAddr {
        /// [`OPT_SOURCE_LINK_ADDR`] or [`OPT_TARGET_LINK_ADDR`].
        kind: u8,
        /// The address.
        addr: EthAddr,
        /// Where the address is, from the start of the ICMPv6 header.
        at: usize,
    },
    /// Any other option, with the bytes after type and length.
    Other {
        /// Type.
        kind: u8,
        /// Data.
        data: &'a [u8],
    },
    /// A length of zero, or more than there are bytes; nothing follows.
    Broken,
}

/// Iterates over options.
#[derive(Clone, Debug)]
pub struct NdOptions<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for NdOptions<'a> {
    type Item = NdOption<'a>;

    fn next(&mut self) -> Option<NdOption<'a>> {
        let whole = core::mem::take(&mut self.rest);
        if whole.is_empty() {
            return None;
        }
        let len = bytes::u8_at(whole, 1).map_or(0, |n| usize::from(n) * 8);
        let (Some((option, rest)), true) = (whole.split_at_checked(len), len > 0) else {
            return Some(NdOption::Broken);
        };
        let at = self.at;
        (self.rest, self.at) = (rest, at + len);
        match *option {
            [kind @ (OPT_SOURCE_LINK_ADDR | OPT_TARGET_LINK_ADDR), 1, a, b, c, d, e, f] => {
                Some(NdOption::LinkAddr { kind, addr: EthAddr([a, b, c, d, e, f]), at: at + 2 })
            }
            [kind, _, ref data @ ..] => Some(NdOption::Other { kind, data }),
            _ => Some(NdOption::Broken),
        }
    }
}

/// A neighbour solicitation or advertisement with one link-layer address, to be emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nd {
    /// [`NEIGHBOR_SOLICIT`] or [`NEIGHBOR_ADVERT`].
    pub icmp_type: u8,
    /// Flags and reserved bits.
    pub reserved: u32,
    /// Target address.
    pub target: u128,
    /// Source (solicitation) or target (advertisement) link-layer address.
    pub link_addr: EthAddr,
}

impl Nd {
    /// The message's bytes; its checksum is left zero.
    pub fn emit(&self) -> [u8; ND_HEADER_LEN + LINK_ADDR_OPT_LEN] {
        let mut out = [0; ND_HEADER_LEN + LINK_ADDR_OPT_LEN];
        out[OFF_TYPE] = self.icmp_type;
        // Every offset below is within the array, so `put` cannot fail.
        let _ = bytes::put(&mut out, OFF_ND_RESERVED, &self.reserved.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_ND_TARGET, &self.target.to_be_bytes());
        out[24] =
            if self.icmp_type == NEIGHBOR_SOLICIT { OPT_SOURCE_LINK_ADDR } else { OPT_TARGET_LINK_ADDR };
        out[25] = 1;
        let _ = bytes::put(&mut out, 26, &self.link_addr.0);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let nd = Nd {
            icmp_type: NEIGHBOR_ADVERT,
            reserved: 0x6000_0000,
            target: 7,
            link_addr: EthAddr([1, 2, 3, 4, 5, 6]),
        };
        let b = nd.emit();
        let h = Icmpv6Ref::parse(&b).unwrap();
        assert!(is_nd(h.icmp_type(), h.code()));
        let r = NdRef::parse(&b).unwrap();
        assert_eq!((r.reserved(), r.target()), (nd.reserved, 7));
        let mut options = r.options();
        let addr = NdOption::LinkAddr { kind: OPT_TARGET_LINK_ADDR, addr: nd.link_addr, at: 26 };
        assert_eq!((options.next(), options.next()), (Some(addr), None));
    }

    #[test]
    fn broken_options_end_the_list() {
        let mut b = [0; 40];
        b[24..26].copy_from_slice(&[5, 1]);
        let mut options = NdRef::parse(&b).unwrap().options();
        assert_eq!(options.next(), Some(NdOption::Other { kind: 5, data: &[0; 6] }));
        assert_eq!(options.next(), Some(NdOption::Broken));
        assert_eq!(options.next(), None);
        b[33] = 9;
        assert_eq!(NdRef::parse(&b).unwrap().options().last(), Some(NdOption::Broken));
    }
}
