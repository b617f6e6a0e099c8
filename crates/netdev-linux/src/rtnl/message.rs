//! What messages about addresses, routes and neighbours have in common: a fixed part, and attributes with IP addresses.
//!
//! Where it sits: under `route`, `neighbour` and `way`.

use std::net::IpAddr;

use netlink::{Attrs, Message};

pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

/// Splits a message of `kind` into its fixed part and its attributes.
pub(super) fn split<'a>(m: &Message<'a>, kind: u16, len: usize) -> Option<(&'a [u8], Attrs<'a>)> {
    (m.header.kind == kind).then_some(())?;
    let (fixed, rest) = m.payload.split_at_checked(len)?;
    Some((fixed, Attrs::new(rest)))
}

/// The address in an attribute.
pub(super) fn ip(family: u8, attrs: &Attrs<'_>, kind: u16) -> Option<IpAddr> {
    let attr = attrs.find(kind)?;
    match family {
        AF_INET => Some(IpAddr::V4(attr.be32()?.into())),
        AF_INET6 => Some(IpAddr::V6(attr.be128()?.into())),
        _ => None,
    }
}

/// An address's family, and its bytes.
pub(super) fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(a) => (AF_INET, a.octets().to_vec()),
        IpAddr::V6(a) => (AF_INET6, a.octets().to_vec()),
    }
}
