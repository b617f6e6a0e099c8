//! Groups of header fields as `set` and `set_masked` carry them.
//!
//! Where it sits: under `actions.rs`. A masked set has the value's bytes and then the mask's in one attribute.

use alloc::boxed::Box;

use netlink::{Attr, Builder};
use packet::TunnelKey;
use wire::EthAddr;
use wire::bytes::{array, u8_at, u16_at, u32_at};

use super::layout::{Mode, attr};
use super::{AttrError, AttrErrorKind, nest, sized, tunnel};
use crate::Header;
use crate::header::NshFields;

/// Bytes of the largest group.
const MAX: usize = 40;

/// A group's bytes.
struct Bytes {
    kind: u16,
    bytes: [u8; MAX],
    len: usize,
}

impl Bytes {
    fn new(kind: u16) -> Bytes {
        Bytes { kind, bytes: [0; MAX], len: 0 }
    }

    fn add(mut self, more: &[u8]) -> Bytes {
        let end = self.len.saturating_add(more.len());
        if let Some(to) = self.bytes.get_mut(self.len..end) {
            to.copy_from_slice(more);
            self.len = end;
        }
        self
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn ports(kind: u16, src: u16, dst: u16) -> Bytes {
    Bytes::new(kind).add(&src.to_be_bytes()).add(&dst.to_be_bytes())
}

/// A group's bytes; `None` for a tunnel, which is attributes.
fn emit(header: &Header) -> Option<Bytes> {
    Some(match header {
        Header::Tunnel(_) | Header::Nsh(_) => return None,
        Header::Priority(n) => Bytes::new(attr::PRIORITY).add(&n.to_ne_bytes()),
        Header::Mark(n) => Bytes::new(attr::SKB_MARK).add(&n.to_ne_bytes()),
        Header::Ethernet { src, dst } => Bytes::new(attr::ETHERNET).add(&src.0).add(&dst.0),
        Header::Vlan { tci } => Bytes::new(attr::VLAN).add(&tci.to_be_bytes()),
        Header::Mpls { lse } => Bytes::new(attr::MPLS).add(&lse.to_be_bytes()),
        Header::Ipv4 { src, dst, proto, tos, ttl, frag } => Bytes::new(attr::IPV4)
            .add(&src.to_be_bytes())
            .add(&dst.to_be_bytes())
            .add(&[*proto, *tos, *ttl, *frag]),
        Header::Ipv6 { src, dst, label, proto, tclass, hlimit, frag } => Bytes::new(attr::IPV6)
            .add(&src.to_be_bytes())
            .add(&dst.to_be_bytes())
            .add(&label.to_be_bytes())
            .add(&[*proto, *tclass, *hlimit, *frag]),
        Header::Tcp { src, dst } => ports(attr::TCP, *src, *dst),
        Header::Udp { src, dst } => ports(attr::UDP, *src, *dst),
        Header::Sctp { src, dst } => ports(attr::SCTP, *src, *dst),
        Header::Icmp { kind, code } => Bytes::new(attr::ICMP).add(&[*kind, *code]),
        Header::Icmpv6 { kind, code } => Bytes::new(attr::ICMPV6).add(&[*kind, *code]),
        Header::Arp { sip, tip, op, sha, tha } => Bytes::new(attr::ARP)
            .add(&sip.to_be_bytes())
            .add(&tip.to_be_bytes())
            .add(&op.to_be_bytes())
            .add(&sha.0)
            .add(&tha.0)
            .add(&[0; 2]),
        Header::Nd { target, sll, tll } => {
            Bytes::new(attr::ND).add(&target.to_be_bytes()).add(&sll.0).add(&tll.0)
        }
        Header::NdExtensions { reserved, kind } => {
            Bytes::new(attr::ND_EXTENSIONS).add(&reserved.to_be_bytes()).add(&[*kind, 0, 0, 0])
        }
    })
}

/// Adds the attribute of a `set`.
pub(super) fn put(b: &mut Builder, header: &Header) {
    match (emit(header), header) {
        (Some(bytes), _) => b.put(bytes.kind, bytes.get()),
        (None, Header::Tunnel(key)) => tunnel::put(b, attr::TUNNEL, &**key),
        (None, Header::Nsh(n)) => nest(b, attr::NSH, |b| put_nsh(b, n, None)),
        _ => {}
    }
}

/// `OVS_NSH_KEY_ATTR_*`.
const NSH_BASE: u16 = 1;
const NSH_MD1: u16 = 2;

fn nsh_base(n: &NshFields) -> [u8; 8] {
    let [p0, p1, p2, p3] = (n.spi << 8 | u32::from(n.si)).to_be_bytes();
    [n.flags, n.ttl, n.md_type, n.next_proto, p0, p1, p2, p3]
}

/// Adds the fields; with a mask, each attribute has the value's bytes and then the mask's.
pub(super) fn put_nsh(b: &mut Builder, n: &NshFields, mask: Option<&NshFields>) {
    let context = |n: &NshFields| n.context.map(u32::to_be_bytes);
    match mask {
        None => {
            b.put(NSH_BASE, &nsh_base(n));
            b.put(NSH_MD1, context(n).as_flattened());
        }
        Some(m) => {
            b.put(NSH_BASE, [nsh_base(n), nsh_base(m)].as_flattened());
            b.put(NSH_MD1, [context(n), context(m)].as_flattened().as_flattened());
        }
    }
}

/// Reads one attribute of a header's; `None` if it has another size.
fn take_nsh_attr(kind: u16, p: &[u8], n: &mut NshFields) -> Option<()> {
    match kind {
        NSH_BASE => {
            let [flags, ttl, md_type, next_proto, p0, p1, p2, si] = *<&[u8; 8]>::try_from(p).ok()?;
            (n.flags, n.ttl, n.md_type, n.next_proto) = (flags, ttl, md_type, next_proto);
            (n.spi, n.si) = (u32::from_be_bytes([0, p0, p1, p2]), si);
        }
        NSH_MD1 if p.len() == 16 => {
            for (to, from) in n.context.iter_mut().zip(p.chunks_exact(4)) {
                *to = u32::from_be_bytes(from.try_into().ok()?);
            }
        }
        _ => return None,
    }
    Some(())
}

/// Reads the fields; other attributes are left to the caller.
pub(super) fn take_nsh(a: Attr<'_>) -> Result<NshFields, AttrError> {
    let mut n = NshFields::default();
    for inner in a.nested() {
        let inner = inner?;
        if matches!(inner.kind, NSH_BASE | NSH_MD1) {
            sized(inner, take_nsh_attr(inner.kind, inner.payload, &mut n))?;
        }
    }
    Ok(n)
}

fn take_masked_nsh(a: Attr<'_>) -> Result<(Header, Header), AttrError> {
    let (mut value, mut mask) = (NshFields::default(), NshFields::default());
    for inner in a.nested() {
        let inner = inner?;
        let (v, m) = inner.payload.split_at_checked(inner.payload.len() / 2).unwrap_or_default();
        sized(inner, take_nsh_attr(inner.kind, v, &mut value))?;
        sized(inner, take_nsh_attr(inner.kind, m, &mut mask))?;
    }
    Ok((Header::Nsh(value), Header::Nsh(mask)))
}

/// Adds the attribute of a `set_masked`.
pub(super) fn put_masked(b: &mut Builder, value: &Header, mask: &Header) {
    if let (Header::Nsh(value), Header::Nsh(mask)) = (value, mask) {
        return nest(b, attr::NSH, |b| put_nsh(b, value, Some(mask)));
    }
    let (Some(value), Some(mask)) = (emit(value), emit(mask)) else { return };
    let mut both = [0; 2 * MAX];
    let bytes = value.get().iter().chain(mask.get());
    let n = value.len.saturating_add(mask.len);
    both.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    b.put(value.kind, both.get(..n).unwrap_or_default());
}

/// Reads the attribute of a `set`.
pub(super) fn take(a: Attr<'_>) -> Result<Header, AttrError> {
    match a.kind {
        attr::TUNNEL => take_tunnel(a).map(Header::Tunnel),
        attr::NSH => take_nsh(a).map(Header::Nsh),
        kind => parse(kind, a.payload),
    }
}

// apart, for the key is large, and kernel frames are small
#[inline(never)]
pub(super) fn take_tunnel(a: Attr<'_>) -> Result<Box<TunnelKey>, AttrError> {
    let mut key = sync::try_box(TunnelKey::default()).ok_or(AttrErrorKind::NoMemory.of(a.kind))?;
    tunnel::take(a.nested(), &mut *key, Mode::Value)?;
    Ok(key)
}

/// Reads the attribute of a `set_masked`: value and mask.
pub(super) fn take_masked(a: Attr<'_>) -> Result<(Header, Header), AttrError> {
    if a.kind == attr::NSH {
        return take_masked_nsh(a);
    }
    let half = a.payload.len() / 2;
    let (value, mask) = a.payload.split_at_checked(half).unwrap_or_default();
    if value.len() != mask.len() {
        return Err(AttrErrorKind::Size.of(a.kind));
    }
    Ok((parse(a.kind, value)?, parse(a.kind, mask)?))
}

fn parse(kind: u16, p: &[u8]) -> Result<Header, AttrError> {
    let size = match kind {
        attr::PRIORITY | attr::SKB_MARK | attr::MPLS | attr::TCP | attr::UDP | attr::SCTP => 4,
        attr::ETHERNET | attr::IPV4 => 12,
        attr::VLAN | attr::ICMP | attr::ICMPV6 => 2,
        attr::IPV6 => 40,
        attr::ARP => 24,
        attr::ND => 28,
        attr::ND_EXTENSIONS => 8,
        _ => return Err(AttrErrorKind::Unknown.of(kind)),
    };
    if p.len() != size {
        return Err(AttrErrorKind::Size.of(kind));
    }
    read(kind, p).ok_or(AttrErrorKind::Size.of(kind))
}

fn read(kind: u16, p: &[u8]) -> Option<Header> {
    let mac = |at| array(p, at).map(EthAddr);
    let address = |at| array(p, at).map(u128::from_be_bytes);
    Some(match kind {
        attr::PRIORITY => Header::Priority(u32::from_ne_bytes(array(p, 0)?)),
        attr::SKB_MARK => Header::Mark(u32::from_ne_bytes(array(p, 0)?)),
        attr::ETHERNET => Header::Ethernet { src: mac(0)?, dst: mac(6)? },
        attr::VLAN => Header::Vlan { tci: u16_at(p, 0)? },
        attr::MPLS => Header::Mpls { lse: u32_at(p, 0)? },
        attr::IPV4 => Header::Ipv4 {
            src: u32_at(p, 0)?,
            dst: u32_at(p, 4)?,
            proto: u8_at(p, 8)?,
            tos: u8_at(p, 9)?,
            ttl: u8_at(p, 10)?,
            frag: u8_at(p, 11)?,
        },
        attr::IPV6 => Header::Ipv6 {
            src: address(0)?,
            dst: address(16)?,
            label: u32_at(p, 32)?,
            proto: u8_at(p, 36)?,
            tclass: u8_at(p, 37)?,
            hlimit: u8_at(p, 38)?,
            frag: u8_at(p, 39)?,
        },
        attr::TCP => Header::Tcp { src: u16_at(p, 0)?, dst: u16_at(p, 2)? },
        attr::UDP => Header::Udp { src: u16_at(p, 0)?, dst: u16_at(p, 2)? },
        attr::SCTP => Header::Sctp { src: u16_at(p, 0)?, dst: u16_at(p, 2)? },
        attr::ICMP => Header::Icmp { kind: u8_at(p, 0)?, code: u8_at(p, 1)? },
        attr::ICMPV6 => Header::Icmpv6 { kind: u8_at(p, 0)?, code: u8_at(p, 1)? },
        attr::ARP => Header::Arp {
            sip: u32_at(p, 0)?,
            tip: u32_at(p, 4)?,
            op: u16_at(p, 8)?,
            sha: mac(10)?,
            tha: mac(16)?,
        },
        attr::ND_EXTENSIONS => Header::NdExtensions { reserved: u32_at(p, 0)?, kind: u8_at(p, 4)? },
        attr::ND => Header::Nd { target: address(0)?, sll: mac(16)?, tll: mac(22)? },
        _ => return None,
    })
}
