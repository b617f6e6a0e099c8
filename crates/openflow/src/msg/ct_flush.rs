//! NXT_CT_FLUSH: which connections to forget.
//!
//! Where it sits: `ct-flush` on both sides. Spec: ovs-ofctl(8), "ct-flush".

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{OfpError, PutBytes};

use super::{Reader, Result, props};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// One direction of a connection; zero means any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtTuple {
    /// Source address, IPv4 addresses mapped.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Source port, or ICMP's identifier.
    pub src_port: u16,
    /// Destination port, or ICMP's code and type.
    pub dst_port: u16,
}

impl Default for CtTuple {
    fn default() -> CtTuple {
        CtTuple { src: Ipv6Addr::UNSPECIFIED, dst: Ipv6Addr::UNSPECIFIED, src_port: 0, dst_port: 0 }
    }
}

impl CtTuple {
    /// ICMP's type.
    pub fn icmp_type(&self) -> u8 {
        self.dst_port as u8
    }

    /// ICMP's code.
    pub fn icmp_code(&self) -> u8 {
        (self.dst_port >> 8) as u8
    }

    /// Sets ICMP's type.
    pub fn set_icmp_type(&mut self, n: u8) {
        self.dst_port = self.dst_port & 0xff00 | u16::from(n);
    }

    /// Sets ICMP's code.
    pub fn set_icmp_code(&mut self, n: u8) {
        self.dst_port = self.dst_port & 0xff | u16::from(n) << 8;
    }

    /// True if an address is IPv4's.
    pub fn is_ipv4(&self) -> bool {
        self.src.to_ipv4_mapped().is_some() || self.dst.to_ipv4_mapped().is_some()
    }

    fn decode(t: &mut CtTuple, mut r: Reader<'_>) -> Result<()> {
        let mut family = None;
        while !r.is_empty() {
            let prop = props::next(&mut r, &[0xffff])?;
            match prop.kind {
                0 | 1 => {
                    let address = Ipv6Addr::from(prop.u128()?);
                    let ipv4 = address.to_ipv4_mapped().is_some();
                    if *family.get_or_insert(ipv4) != ipv4 {
                        return Err(OfpError::OFPBPC_BAD_VALUE);
                    }
                    *if prop.kind == 0 { &mut t.src } else { &mut t.dst } = address;
                }
                2 | 4 => t.src_port = prop.u16()?,
                3 => t.dst_port = prop.u16()?,
                5 => t.set_icmp_type(prop.u8()?),
                6 => t.set_icmp_code(prop.u8()?),
                _ => return Err(prop.unknown()),
            }
        }
        Ok(())
    }

    fn encode(&self, kind: u16, protocol: u8, out: &mut Vec<u8>) {
        let at = props::begin(out, kind);
        out.put_zeros(4);
        for (kind, address) in [(0, self.src), (1, self.dst)] {
            if address != Ipv6Addr::UNSPECIFIED {
                props::put(out, kind, &address.octets());
            }
        }
        if matches!(protocol, ICMP | ICMPV6) {
            props::put_u16(out, 4, self.src_port);
            props::put_u8(out, 5, self.icmp_type());
            props::put_u8(out, 6, self.icmp_code());
        } else {
            for (kind, port) in [(2, self.src_port), (3, self.dst_port)] {
                if port != 0 {
                    props::put_u16(out, kind, port);
                }
            }
        }
        props::end(out, at);
    }

    /// An IPv4 address as it stands here.
    pub fn mapped(address: Ipv4Addr) -> Ipv6Addr {
        address.to_ipv6_mapped()
    }
}

/// Which connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtFlush {
    /// The transport protocol; zero: any.
    pub protocol: u8,
    /// The zone; `None`: any.
    pub zone: Option<u16>,
    /// The mark, under a mask.
    pub mark: Option<(u32, u32)>,
    /// The label, under a mask.
    pub labels: Option<(u128, u128)>,
    /// The original direction.
    pub orig: CtTuple,
    /// The reply direction.
    pub reply: CtTuple,
}

impl CtFlush {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<CtFlush> {
        let mut f = CtFlush { protocol: r.u8()?, ..CtFlush::default() };
        r.zeros(7)?;
        let (mut mark_mask, mut labels_mask) = (None, None);
        while !r.is_empty() {
            let prop = props::next(&mut r, &[0xffff])?;
            match prop.kind {
                0 => CtTuple::decode(&mut f.orig, prop.nested()?)?,
                1 => CtTuple::decode(&mut f.reply, prop.nested()?)?,
                2 => f.zone = Some(prop.u16()?),
                3 => f.mark = Some((prop.u32()?, u32::MAX)),
                4 => mark_mask = Some(prop.u32()?),
                5 => f.labels = Some((prop.u128()?, u128::MAX)),
                6 => labels_mask = Some(prop.u128()?),
                _ => return Err(prop.unknown()),
            }
        }
        if let (Some((_, place)), Some(mask)) = (&mut f.mark, mark_mask) {
            *place = mask;
        }
        if let (Some((_, place)), Some(mask)) = (&mut f.labels, labels_mask) {
            *place = mask;
        }
        Ok(f)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.protocol);
        out.put_zeros(7);
        for (kind, tuple) in [(0, &self.orig), (1, &self.reply)] {
            if *tuple != CtTuple::default() || matches!(self.protocol, ICMP | ICMPV6) {
                tuple.encode(kind, self.protocol, out);
            }
        }
        if let Some(zone) = self.zone {
            props::put_u16(out, 2, zone);
        }
        if let Some((mark, mask)) = self.mark {
            props::put_u32(out, 3, mark);
            props::put_u32(out, 4, mask);
        }
        if let Some((labels, mask)) = self.labels {
            props::put(out, 5, &labels.to_be_bytes());
            props::put(out, 6, &mask.to_be_bytes());
        }
    }
}
