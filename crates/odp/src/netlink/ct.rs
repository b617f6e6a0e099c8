//! The `ct` action as attributes (`OVS_CT_ATTR_*`, `OVS_NAT_ATTR_*`).
//!
//! Where it sits: under `actions.rs`.

use alloc::boxed::Box;
use alloc::string::String;

use netlink::{Attr, Builder};

use super::{AttrError, AttrErrorKind, nest, sized};
use crate::{CtAction, Nat, NatKind};

mod attr {
    pub const COMMIT: u16 = 1;
    pub const ZONE: u16 = 2;
    pub const MARK: u16 = 3;
    pub const LABELS: u16 = 4;
    pub const HELPER: u16 = 5;
    pub const NAT: u16 = 6;
    pub const FORCE_COMMIT: u16 = 7;
    pub const EVENTMASK: u16 = 8;
    pub const TIMEOUT: u16 = 9;
}

mod nat_attr {
    pub const SRC: u16 = 1;
    pub const DST: u16 = 2;
    pub const IP_MIN: u16 = 3;
    pub const IP_MAX: u16 = 4;
    pub const PROTO_MIN: u16 = 5;
    pub const PROTO_MAX: u16 = 6;
    pub const PERSISTENT: u16 = 7;
    pub const PROTO_HASH: u16 = 8;
    pub const PROTO_RANDOM: u16 = 9;
}

/// Adds the payload of a `ct` action.
pub(super) fn put(b: &mut Builder, ct: &CtAction) {
    if ct.commit && !ct.force {
        b.put_flag(attr::COMMIT);
    }
    if ct.force {
        b.put_flag(attr::FORCE_COMMIT);
    }
    if ct.zone != 0 {
        b.put_u16(attr::ZONE, ct.zone);
    }
    if let Some((value, mask)) = ct.mark {
        let [a, b0] = [value.to_ne_bytes(), mask.to_ne_bytes()];
        b.put(attr::MARK, [a, b0].as_flattened());
    }
    if let Some((value, mask)) = ct.label {
        b.put(attr::LABELS, [value.to_ne_bytes(), mask.to_ne_bytes()].as_flattened());
    }
    if let Some(helper) = &ct.helper {
        b.put_str(attr::HELPER, helper);
    }
    if let Some(nat) = &ct.nat {
        nest(b, attr::NAT, |b| put_nat(b, nat));
    }
    if let Some(mask) = ct.eventmask {
        b.put_u32(attr::EVENTMASK, mask);
    }
    if let Some(timeout) = &ct.timeout {
        b.put_str(attr::TIMEOUT, timeout);
    }
}

fn put_nat(b: &mut Builder, nat: &Nat) {
    match nat.kind {
        Some(NatKind::Src) => b.put_flag(nat_attr::SRC),
        Some(NatKind::Dst) => b.put_flag(nat_attr::DST),
        None => {}
    }
    if let Some((low, high)) = nat.addr {
        for (kind, address) in [(nat_attr::IP_MIN, low), (nat_attr::IP_MAX, high)] {
            if nat.is_ipv6 {
                b.put_be128(kind, address);
            } else {
                b.put_be32(kind, address as u32);
            }
        }
    }
    if let Some((low, high)) = nat.port {
        b.put_u16(nat_attr::PROTO_MIN, low);
        b.put_u16(nat_attr::PROTO_MAX, high);
    }
    let flags = [
        (nat.persistent, nat_attr::PERSISTENT),
        (nat.hash, nat_attr::PROTO_HASH),
        (nat.random, nat_attr::PROTO_RANDOM),
    ];
    flags.into_iter().filter(|(on, _)| *on).for_each(|(_, kind)| b.put_flag(kind));
}

fn text(a: Attr<'_>) -> Result<Box<str>, AttrError> {
    let text = a.str().ok_or(AttrErrorKind::Value.of(a.kind))?;
    let mut out = String::new();
    out.try_reserve_exact(text.len()).map_err(|_| AttrErrorKind::NoMemory.of(a.kind))?;
    out.push_str(text);
    Ok(out.into_boxed_str())
}

/// The two halves of a payload: value and mask.
fn halves<const N: usize>(a: Attr<'_>) -> Option<([u8; N], [u8; N])> {
    let (value, mask) = a.payload.split_at_checked(N)?;
    Some((value.try_into().ok()?, mask.try_into().ok()?))
}

/// Reads the payload of a `ct` action.
pub(super) fn take(attr: Attr<'_>) -> Result<CtAction, AttrError> {
    let mut ct = CtAction::default();
    for a in attr.nested() {
        let a = a?;
        match a.kind {
            attr::COMMIT => ct.commit = true,
            attr::FORCE_COMMIT => (ct.commit, ct.force) = (true, true),
            attr::ZONE => ct.zone = sized(a, a.u16())?,
            attr::MARK => {
                let (value, mask) = sized(a, halves(a))?;
                ct.mark = Some((u32::from_ne_bytes(value), u32::from_ne_bytes(mask)));
            }
            attr::LABELS => {
                let (value, mask) = sized(a, halves(a))?;
                ct.label = Some((u128::from_ne_bytes(value), u128::from_ne_bytes(mask)));
            }
            attr::HELPER => ct.helper = Some(text(a)?),
            attr::NAT => ct.nat = Some(take_nat(a)?),
            attr::EVENTMASK => ct.eventmask = Some(sized(a, a.u32())?),
            attr::TIMEOUT => ct.timeout = Some(text(a)?),
            kind => return Err(AttrErrorKind::Unknown.of(kind)),
        }
    }
    Ok(ct)
}

/// An address and whether it is IPv6's.
fn address(a: Attr<'_>) -> Result<(u128, bool), AttrError> {
    let v4 = a.be32().map(|a| (u128::from(a), false));
    sized(a, v4.or_else(|| a.be128().map(|a| (a, true))))
}

fn take_nat(attr: Attr<'_>) -> Result<Nat, AttrError> {
    let mut nat = Nat::default();
    let (mut ip_min, mut ip_max, mut port_min, mut port_max) = (None, None, None, None);
    for a in attr.nested() {
        let a = a?;
        match a.kind {
            nat_attr::SRC | nat_attr::DST => {
                let kind = if a.kind == nat_attr::SRC { NatKind::Src } else { NatKind::Dst };
                if nat.kind.is_some_and(|other| other != kind) {
                    return Err(AttrErrorKind::Value.of(a.kind));
                }
                nat.kind = Some(kind);
            }
            nat_attr::IP_MIN => ip_min = Some(address(a)?),
            nat_attr::IP_MAX => ip_max = Some(address(a)?),
            nat_attr::PROTO_MIN => port_min = Some(sized(a, a.u16())?),
            nat_attr::PROTO_MAX => port_max = Some(sized(a, a.u16())?),
            nat_attr::PERSISTENT => nat.persistent = true,
            nat_attr::PROTO_HASH => nat.hash = true,
            nat_attr::PROTO_RANDOM => nat.random = true,
            kind => return Err(AttrErrorKind::Unknown.of(kind)),
        }
    }
    if let Some((low, is_ipv6)) = ip_min {
        let (high, other) = ip_max.unwrap_or((low, is_ipv6));
        if is_ipv6 != other {
            return Err(AttrErrorKind::Value.of(nat_attr::IP_MAX));
        }
        (nat.addr, nat.is_ipv6) = (Some((low, high)), is_ipv6);
    }
    if let Some(low) = port_min {
        nat.port = Some((low, port_max.unwrap_or(low)));
    }
    Ok(nat)
}
