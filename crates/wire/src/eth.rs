//! Ethernet: addresses and the numbers of its type field (IEEE 802.3, 802.1Q).
//!
//! Where it sits: every other protocol here rides on it.

use core::fmt;
use core::str::FromStr;

/// A 48-bit IEEE 802 address, in the order of the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EthAddr(pub [u8; 6]);

impl EthAddr {
    /// All bytes zero.
    pub const ZERO: EthAddr = EthAddr([0; 6]);
    /// All bits one: every station.
    pub const BROADCAST: EthAddr = EthAddr([0xff; 6]);

    /// The address as the low 48 bits of a number.
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// The address in the low 48 bits of `n`.
    pub const fn from_u64(n: u64) -> EthAddr {
        let [_, _, a, b, c, d, e, f] = n.to_be_bytes();
        EthAddr([a, b, c, d, e, f])
    }

    /// True for a group address (the lowest bit of the first byte), broadcast included.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// True for an address that somebody made up: the second lowest bit of the first byte.
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// True for `01:80:c2:00:00:0X`, which an IEEE 802.1D bridge must not forward.
    pub const fn is_reserved(self) -> bool {
        self.to_u64() & 0xffff_ffff_fff0 == 0x0180_c200_0000
    }
}

impl fmt::Display for EthAddr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for EthAddr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The text was not six hexadecimal bytes joined by colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseEthAddrError;

impl FromStr for EthAddr {
    type Err = ParseEthAddrError;

    fn from_str(text: &str) -> Result<EthAddr, ParseEthAddrError> {
        let mut addr = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut addr {
            let part = parts.next().ok_or(ParseEthAddrError)?;
            if part.is_empty() || part.len() > 2 || part.starts_with('+') {
                return Err(ParseEthAddrError);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| ParseEthAddrError)?;
        }
        if parts.next().is_some() { Err(ParseEthAddrError) } else { Ok(EthAddr(addr)) }
    }
}

/// Bytes of an untagged Ethernet header.
pub const HEADER_LEN: usize = 14;
/// Bytes of an 802.1Q tag (TPID and TCI).
pub const VLAN_LEN: usize = 4;
/// The smallest type number; smaller values are 802.3 lengths.
pub const TYPE_MIN: u16 = 0x600;
/// What a flow key holds as type for a frame that has none (802.3 without SNAP).
pub const TYPE_NONE: u16 = 0x05ff;
/// IPv4.
pub const TYPE_IPV4: u16 = 0x0800;
/// ARP.
pub const TYPE_ARP: u16 = 0x0806;
/// Transparent Ethernet bridging (the inner frame of GRE and Geneve).
pub const TYPE_TEB: u16 = 0x6558;
/// RARP.
pub const TYPE_RARP: u16 = 0x8035;
/// 802.1Q tag.
pub const TYPE_VLAN: u16 = 0x8100;
/// IPv6.
pub const TYPE_IPV6: u16 = 0x86dd;
/// LACP and marker (slow protocols).
pub const TYPE_LACP: u16 = 0x8809;
/// MPLS.
pub const TYPE_MPLS: u16 = 0x8847;
/// MPLS, upstream-assigned label.
pub const TYPE_MPLS_MCAST: u16 = 0x8848;
/// 802.1ad service tag.
pub const TYPE_VLAN_8021AD: u16 = 0x88a8;
/// NSH (RFC 8300).
pub const TYPE_NSH: u16 = 0x894f;

/// In a flow key's TCI: the CFI bit, set when a tag is present.
pub const VLAN_CFI: u16 = 0x1000;
/// The VLAN identifier's bits of a TCI.
pub const VLAN_VID_MASK: u16 = 0x0fff;
/// The priority's bits of a TCI.
pub const VLAN_PCP_MASK: u16 = 0xe000;

/// True if `eth_type` is a VLAN tag's TPID.
pub const fn is_vlan(eth_type: u16) -> bool {
    matches!(eth_type, TYPE_VLAN | TYPE_VLAN_8021AD)
}

/// True if `eth_type` is MPLS.
pub const fn is_mpls(eth_type: u16) -> bool {
    matches!(eth_type, TYPE_MPLS | TYPE_MPLS_MCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_round_trip() {
        let a: EthAddr = "aa:bb:cc:00:01:2".parse().unwrap();
        assert_eq!(a, EthAddr([0xaa, 0xbb, 0xcc, 0, 1, 2]));
        assert_eq!(EthAddr::from_u64(a.to_u64()), a);
        assert_eq!("1:2:3:4:5".parse::<EthAddr>(), Err(ParseEthAddrError));
        assert_eq!("1:2:3:4:5:6:7".parse::<EthAddr>(), Err(ParseEthAddrError));
    }
}
