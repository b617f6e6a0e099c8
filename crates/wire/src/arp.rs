//! ARP and RARP for Ethernet and IPv4 (RFC 826).
//!
//! Where it sits: read by key extraction, built by translation and tests.
//!
//! ~~~text
//!  0: hardware type | protocol type   4: hardware, protocol address length | operation
//!  8: sender hardware (6) | sender protocol (4)   18: target hardware (6) | target protocol (4)
//! ~~~

use crate::{EthAddr, bytes, eth};

/// Bytes of a packet.
pub const HEADER_LEN: usize = 28;
/// Hardware type: Ethernet.
pub const HARDWARE_ETHERNET: u16 = 1;
/// Operation: request.
pub const REQUEST: u16 = 1;
/// Operation: reply.
pub const REPLY: u16 = 2;
/// Offset of the operation.
pub const OFF_OP: usize = 6;
/// Offset of the sender's hardware address.
pub const OFF_SHA: usize = 8;
/// Offset of the sender's protocol address.
pub const OFF_SPA: usize = 14;
/// Offset of the target's hardware address.
pub const OFF_THA: usize = 18;
/// Offset of the target's protocol address.
pub const OFF_TPA: usize = 24;

/// A view of a packet.
#[derive(Clone, Copy, Debug)]
pub struct ArpRef<'a>(&'a [u8; HEADER_LEN]);

impl<'a> ArpRef<'a> {
    /// The packet at the start of `bytes`; `None` if fewer than 28 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Option<ArpRef<'a>> {
        bytes.first_chunk().map(ArpRef)
    }

    /// True if it resolves between Ethernet and IPv4: the other fields have a meaning only then.
    pub const fn is_ethernet_ipv4(&self) -> bool {
        matches!(self.0, [0, 1, 8, 0, 6, 4, ..])
    }

    /// Operation.
    pub const fn op(&self) -> u16 {
        u16::from_be_bytes([self.0[6], self.0[7]])
    }

    /// Sender hardware address.
    pub const fn sha(&self) -> EthAddr {
        EthAddr([self.0[8], self.0[9], self.0[10], self.0[11], self.0[12], self.0[13]])
    }

    /// Sender protocol address.
    pub const fn spa(&self) -> u32 {
        u32::from_be_bytes([self.0[14], self.0[15], self.0[16], self.0[17]])
    }

    /// Target hardware address.
    pub const fn tha(&self) -> EthAddr {
        EthAddr([self.0[18], self.0[19], self.0[20], self.0[21], self.0[22], self.0[23]])
    }

    /// Target protocol address.
    pub const fn tpa(&self) -> u32 {
        u32::from_be_bytes([self.0[24], self.0[25], self.0[26], self.0[27]])
    }
}

/// A packet, to be emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arp {
    /// Operation.
    pub op: u16,
    /// Sender hardware address.
    pub sha: EthAddr,
    /// Sender protocol address.
    pub spa: u32,
    /// Target hardware address.
    pub tha: EthAddr,
    /// Target protocol address.
    pub tpa: u32,
}

impl Arp {
    /// The packet's bytes.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        // Every offset below is within the array, so `put` cannot fail.
        let _ = bytes::put(&mut out, 0, &HARDWARE_ETHERNET.to_be_bytes());
        let _ = bytes::put(&mut out, 2, &eth::TYPE_IPV4.to_be_bytes());
        let _ = bytes::put(&mut out, 4, &[6, 4]);
        let _ = bytes::put(&mut out, OFF_OP, &self.op.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_SHA, &self.sha.0);
        let _ = bytes::put(&mut out, OFF_SPA, &self.spa.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_THA, &self.tha.0);
        let _ = bytes::put(&mut out, OFF_TPA, &self.tpa.to_be_bytes());
        out
    }
}

impl From<ArpRef<'_>> for Arp {
    fn from(h: ArpRef<'_>) -> Arp {
        Arp { op: h.op(), sha: h.sha(), spa: h.spa(), tha: h.tha(), tpa: h.tpa() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let h = Arp { op: REPLY, sha: EthAddr([1; 6]), spa: 2, tha: EthAddr([3; 6]), tpa: 4 };
        let b = h.emit();
        let r = ArpRef::parse(&b).unwrap();
        assert_eq!(Arp::from(r), h);
        assert!(r.is_ethernet_ipv4());
        assert!(ArpRef::parse(&b[..27]).is_none());
    }
}
