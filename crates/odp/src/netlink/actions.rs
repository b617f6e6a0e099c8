//! Lists of actions as `OVS_ACTION_ATTR_*`.
//!
//! Where it sits: flows and packets to be executed carry them. What decodes is not yet valid: [`crate::validate()`] says
//! that, as it does for lists from elsewhere.

use alloc::boxed::Box;
use alloc::vec::Vec;

use netlink::{Attr, Attrs, Builder};
use packet::OdpPort;
use wire::EthAddr;

use super::{AttrError, AttrErrorKind, ct, header, nest, sized};
use crate::action::{MplsLayer, Psample, PushNsh, TnlPush, TunnelKind};
use crate::{Action, HashAlg, MAX_DEPTH, Userspace};

mod attr {
    pub const OUTPUT: u16 = 1;
    pub const USERSPACE: u16 = 2;
    pub const SET: u16 = 3;
    pub const PUSH_VLAN: u16 = 4;
    pub const POP_VLAN: u16 = 5;
    pub const SAMPLE: u16 = 6;
    pub const RECIRC: u16 = 7;
    pub const HASH: u16 = 8;
    pub const PUSH_MPLS: u16 = 9;
    pub const POP_MPLS: u16 = 10;
    pub const SET_MASKED: u16 = 11;
    pub const CT: u16 = 12;
    pub const TRUNC: u16 = 13;
    pub const PUSH_ETH: u16 = 14;
    pub const POP_ETH: u16 = 15;
    pub const CT_CLEAR: u16 = 16;
    pub const PUSH_NSH: u16 = 17;
    pub const POP_NSH: u16 = 18;
    pub const METER: u16 = 19;
    pub const CLONE: u16 = 20;
    pub const CHECK_PKT_LEN: u16 = 21;
    pub const ADD_MPLS: u16 = 22;
    pub const DEC_TTL: u16 = 23;
    pub const DROP: u16 = 24;
    pub const PSAMPLE: u16 = 25;
    pub const TNL_PUSH: u16 = 26;
    pub const TNL_POP: u16 = 27;
    pub const LB_OUTPUT: u16 = 28;
}

mod user {
    pub const PID: u16 = 1;
    pub const USERDATA: u16 = 2;
    pub const EGRESS_TUN_PORT: u16 = 3;
    pub const ACTIONS: u16 = 4;
}

mod sample {
    pub const PROBABILITY: u16 = 1;
    pub const ACTIONS: u16 = 2;
}

mod check {
    pub const PKT_LEN: u16 = 1;
    pub const IF_GREATER: u16 = 2;
    pub const IF_LESS_EQUAL: u16 = 3;
}

/// Adds the actions of a list.
pub fn put_actions(b: &mut Builder, actions: &[Action]) {
    for action in actions {
        put(b, action);
    }
}

fn put(b: &mut Builder, action: &Action) {
    match action {
        Action::Output(port) => b.put_u32(attr::OUTPUT, port.0),
        Action::Userspace(u) => nest(b, attr::USERSPACE, |b| put_userspace(b, u)),
        Action::Set(h) => nest(b, attr::SET, |b| header::put(b, h)),
        Action::SetMasked { value, mask } => {
            nest(b, attr::SET_MASKED, |b| header::put_masked(b, value, mask));
        }
        Action::PushVlan { tpid, tci } => {
            b.put(attr::PUSH_VLAN, [tpid.to_be_bytes(), tci.to_be_bytes()].as_flattened());
        }
        Action::PopVlan => b.put_flag(attr::POP_VLAN),
        Action::Sample { probability, actions } => nest(b, attr::SAMPLE, |b| {
            b.put_u32(sample::PROBABILITY, *probability);
            nest(b, sample::ACTIONS, |b| put_actions(b, actions));
        }),
        Action::Recirc(id) => b.put_u32(attr::RECIRC, *id),
        Action::Hash { alg, basis } => {
            let alg: u32 = match alg {
                HashAlg::L4 => 0,
                HashAlg::SymL4 => 1,
            };
            b.put(attr::HASH, [alg.to_ne_bytes(), basis.to_ne_bytes()].as_flattened());
        }
        Action::Trunc(len) => b.put_u32(attr::TRUNC, *len),
        Action::Ct(ct) => nest(b, attr::CT, |b| ct::put(b, ct)),
        Action::CtClear => b.put_flag(attr::CT_CLEAR),
        Action::Clone(actions) => nest(b, attr::CLONE, |b| put_actions(b, actions)),
        Action::Meter(id) => b.put_u32(attr::METER, *id),
        Action::CheckPktLen { len, if_greater, if_less_equal } => nest(b, attr::CHECK_PKT_LEN, |b| {
            b.put_u16(check::PKT_LEN, *len);
            nest(b, check::IF_GREATER, |b| put_actions(b, if_greater));
            nest(b, check::IF_LESS_EQUAL, |b| put_actions(b, if_less_equal));
        }),
        Action::Drop(reason) => b.put_u32(attr::DROP, *reason),
        other => put_more(b, other),
    }
}

/// The network header's push in `add_mpls`.
const MPLS_L3: u16 = 1;
/// `OVS_NSH_KEY_ATTR_MD2`.
const NSH_MD2: u16 = 3;
/// `OVS_DEC_TTL_ATTR_ACTION`.
const DEC_TTL_ACTION: u16 = 1;
/// `OVS_PSAMPLE_ATTR_*`.
const PSAMPLE_GROUP: u16 = 1;
const PSAMPLE_COOKIE: u16 = 2;

/// Headers of other layers, and what only some datapaths have.
fn put_more(b: &mut Builder, action: &Action) {
    match action {
        Action::PushMpls { lse, eth_type } => b.put(attr::PUSH_MPLS, &mpls(*lse, *eth_type, 0)),
        Action::PopMpls { eth_type } => b.put_be16(attr::POP_MPLS, *eth_type),
        Action::AddMpls { lse, eth_type, layer } => {
            let flags = if *layer == MplsLayer::Network { MPLS_L3 } else { 0 };
            b.put(attr::ADD_MPLS, &mpls(*lse, *eth_type, flags));
        }
        Action::PushEth { src, dst } => b.put(attr::PUSH_ETH, [src.0, dst.0].as_flattened()),
        Action::PopEth => b.put_flag(attr::POP_ETH),
        Action::PushNsh(n) => nest(b, attr::PUSH_NSH, |b| {
            header::put_nsh(b, &n.header, None);
            if !n.md2.is_empty() {
                b.put(NSH_MD2, &n.md2);
            }
        }),
        Action::PopNsh => b.put_flag(attr::POP_NSH),
        Action::DecTtl(list) => {
            nest(b, attr::DEC_TTL, |b| nest(b, DEC_TTL_ACTION, |b| put_actions(b, list)));
        }
        Action::Psample(p) => nest(b, attr::PSAMPLE, |b| {
            b.put_u32(PSAMPLE_GROUP, p.group);
            if !p.cookie.is_empty() {
                b.put(PSAMPLE_COOKIE, &p.cookie);
            }
        }),
        Action::TnlPush(t) => put_tnl_push(b, t),
        Action::TnlPop(port) => b.put_u32(attr::TNL_POP, port.0),
        Action::LbOutput(bond) => b.put_u32(attr::LB_OUTPUT, *bond),
        _ => {}
    }
}

fn mpls(lse: u32, eth_type: u16, flags: u16) -> [u8; 8] {
    let ([l0, l1, l2, l3], [e0, e1], [f0, f1]) =
        (lse.to_be_bytes(), eth_type.to_be_bytes(), flags.to_ne_bytes());
    [l0, l1, l2, l3, e0, e1, f0, f1]
}

/// `struct ovs_action_push_tnl`, as long as its header is: tunnel port, output port, length, type, headers.
fn put_tnl_push(b: &mut Builder, t: &TnlPush) {
    let len = u32::try_from(t.header.len()).unwrap_or(u32::MAX);
    let head = [t.tnl_port.0, t.out_port.0, len, t.kind as u32].map(u32::to_ne_bytes);
    let head = head.as_flattened();
    b.put_with(attr::TNL_PUSH, head.len().saturating_add(t.header.len()), |to| {
        to.iter_mut().zip(head.iter().chain(&t.header)).for_each(|(to, from)| *to = *from);
    });
}

fn put_userspace(b: &mut Builder, u: &Userspace) {
    b.put_u32(user::PID, u.pid);
    if !u.userdata.is_empty() {
        b.put(user::USERDATA, &u.userdata);
    }
    if let Some(port) = u.tunnel_out_port {
        b.put_u32(user::EGRESS_TUN_PORT, port.0);
    }
    if u.actions {
        b.put_flag(user::ACTIONS);
    }
}

/// Reads a list.
pub fn take_actions(attrs: Attrs<'_>) -> Result<Vec<Action>, AttrError> {
    list(attrs, 0)
}

// apart from what it calls, as those are from each other: kernel frames are small
#[inline(never)]
fn list(attrs: Attrs<'_>, depth: usize) -> Result<Vec<Action>, AttrError> {
    if depth > MAX_DEPTH {
        return Err(AttrErrorKind::TooDeep.of(0));
    }
    let mut actions = Vec::new();
    actions.try_reserve_exact(attrs.clone().count()).map_err(|_| AttrErrorKind::NoMemory.of(0))?;
    for a in attrs {
        actions.push(one(a?, depth)?);
    }
    Ok(actions)
}

#[inline(never)]
fn one(a: Attr<'_>, depth: usize) -> Result<Action, AttrError> {
    Ok(match a.kind {
        attr::OUTPUT => Action::Output(OdpPort(sized(a, a.u32())?)),
        attr::USERSPACE => Action::Userspace(boxed(a, userspace(a)?)?),
        attr::SET => Action::Set(header::take(only(a)?)?),
        attr::SET_MASKED => {
            let (value, mask) = header::take_masked(only(a)?)?;
            Action::SetMasked { value, mask }
        }
        attr::PUSH_VLAN => {
            let both = sized(a, a.be32())?;
            Action::PushVlan { tpid: (both >> 16) as u16, tci: both as u16 }
        }
        attr::POP_VLAN => Action::PopVlan,
        attr::SAMPLE => sampled(a, depth)?,
        attr::RECIRC => Action::Recirc(sized(a, a.u32())?),
        attr::HASH => hash(a)?,
        attr::TRUNC => Action::Trunc(sized(a, a.u32())?),
        attr::CT => Action::Ct(boxed(a, ct::take(a)?)?),
        attr::CT_CLEAR => Action::CtClear,
        attr::CLONE => Action::Clone(list(a.nested(), depth.saturating_add(1))?),
        attr::METER => Action::Meter(sized(a, a.u32())?),
        attr::CHECK_PKT_LEN => checked(a, depth)?,
        attr::DROP => Action::Drop(sized(a, a.u32())?),
        _ => more(a, depth)?,
    })
}

#[inline(never)]
fn more(a: Attr<'_>, depth: usize) -> Result<Action, AttrError> {
    Ok(match a.kind {
        attr::PUSH_MPLS => {
            let (lse, eth_type, _) = sized(a, take_mpls(a))?;
            Action::PushMpls { lse, eth_type }
        }
        attr::POP_MPLS => Action::PopMpls { eth_type: sized(a, a.be16())? },
        attr::ADD_MPLS => {
            let (lse, eth_type, flags) = sized(a, take_mpls(a))?;
            let layer = if flags & MPLS_L3 != 0 { MplsLayer::Network } else { MplsLayer::Ethernet };
            Action::AddMpls { lse, eth_type, layer }
        }
        attr::PUSH_ETH => {
            let both: Option<&[u8; 12]> = a.payload.try_into().ok();
            let [s0, s1, s2, s3, s4, s5, d0, d1, d2, d3, d4, d5] = *sized(a, both)?;
            let (src, dst) = (EthAddr([s0, s1, s2, s3, s4, s5]), EthAddr([d0, d1, d2, d3, d4, d5]));
            Action::PushEth { src, dst }
        }
        attr::POP_ETH => Action::PopEth,
        attr::PUSH_NSH => {
            let md2 = a.nested().find(NSH_MD2).map_or(Ok(Vec::new()), |md2| bytes(a, md2.payload))?;
            Action::PushNsh(boxed(a, PushNsh { header: header::take_nsh(a)?, md2 })?)
        }
        attr::POP_NSH => Action::PopNsh,
        attr::DEC_TTL => {
            let inner = a.nested().find(DEC_TTL_ACTION).ok_or(AttrErrorKind::Missing.of(a.kind))?;
            Action::DecTtl(list(inner.nested(), depth.saturating_add(1))?)
        }
        attr::PSAMPLE => {
            let group = a.nested().find(PSAMPLE_GROUP).ok_or(AttrErrorKind::Missing.of(a.kind))?;
            let cookie = a.nested().find(PSAMPLE_COOKIE).map_or(Ok(Vec::new()), |c| bytes(a, c.payload))?;
            Action::Psample(boxed(a, Psample { group: sized(group, group.u32())?, cookie })?)
        }
        attr::TNL_PUSH => Action::TnlPush(boxed(a, tnl_push(a)?)?),
        attr::TNL_POP => Action::TnlPop(OdpPort(sized(a, a.u32())?)),
        attr::LB_OUTPUT => Action::LbOutput(sized(a, a.u32())?),
        kind => return Err(AttrErrorKind::Unknown.of(kind)),
    })
}

/// A parameter on the heap.
#[inline(never)]
fn boxed<T>(a: Attr<'_>, value: T) -> Result<Box<T>, AttrError> {
    sync::try_box(value).ok_or(AttrErrorKind::NoMemory.of(a.kind))
}

/// A copy of an attribute's bytes.
fn bytes(a: Attr<'_>, from: &[u8]) -> Result<Vec<u8>, AttrError> {
    let mut out = Vec::new();
    out.try_reserve_exact(from.len()).map_err(|_| AttrErrorKind::NoMemory.of(a.kind))?;
    out.extend_from_slice(from);
    Ok(out)
}

fn take_mpls(a: Attr<'_>) -> Option<(u32, u16, u16)> {
    let [l0, l1, l2, l3, e0, e1, f0, f1] = *<&[u8; 8]>::try_from(a.payload).ok()?;
    let lse = u32::from_be_bytes([l0, l1, l2, l3]);
    Some((lse, u16::from_be_bytes([e0, e1]), u16::from_ne_bytes([f0, f1])))
}

#[inline(never)]
fn tnl_push(a: Attr<'_>) -> Result<TnlPush, AttrError> {
    let (head, rest) = a.payload.split_at_checked(16).ok_or(AttrErrorKind::Size.of(a.kind))?;
    let mut words = head.chunks_exact(4).map(|w| w.try_into().map_or(0, u32::from_ne_bytes));
    let mut word = || words.next().unwrap_or(0);
    let (tnl_port, out_port, len, kind) = (OdpPort(word()), OdpPort(word()), word(), word());
    let header = rest.get(..len as usize).ok_or(AttrErrorKind::Size.of(a.kind))?;
    let kind = TunnelKind::from_number(kind).ok_or(AttrErrorKind::Value.of(a.kind))?;
    Ok(TnlPush { tnl_port, out_port, kind, header: bytes(a, header)? })
}

/// The one attribute inside another.
fn only(a: Attr<'_>) -> Result<Attr<'_>, AttrError> {
    let mut inner = a.nested();
    match (inner.next(), inner.next()) {
        (Some(only), None) => Ok(only?),
        _ => Err(AttrErrorKind::Value.of(a.kind)),
    }
}

fn hash(a: Attr<'_>) -> Result<Action, AttrError> {
    let (alg, basis) = a.payload.split_at_checked(4).ok_or(AttrErrorKind::Size.of(a.kind))?;
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).ok();
    let alg = match sized(a, number(alg))? {
        0 => HashAlg::L4,
        1 => HashAlg::SymL4,
        _ => return Err(AttrErrorKind::Value.of(a.kind)),
    };
    Ok(Action::Hash { alg, basis: sized(a, number(basis))? })
}

#[inline(never)]
fn userspace(attr: Attr<'_>) -> Result<Userspace, AttrError> {
    let mut u = Userspace::default();
    for a in attr.nested() {
        let a = a?;
        match a.kind {
            user::PID => u.pid = sized(a, a.u32())?,
            user::USERDATA => {
                u.userdata.clear();
                let room = u.userdata.try_reserve_exact(a.payload.len());
                room.map_err(|_| AttrErrorKind::NoMemory.of(a.kind))?;
                u.userdata.extend_from_slice(a.payload);
            }
            user::EGRESS_TUN_PORT => u.tunnel_out_port = Some(OdpPort(sized(a, a.u32())?)),
            user::ACTIONS => u.actions = true,
            kind => return Err(AttrErrorKind::Unknown.of(kind)),
        }
    }
    Ok(u)
}

#[inline(never)]
fn sampled(attr: Attr<'_>, depth: usize) -> Result<Action, AttrError> {
    let (mut probability, mut actions) = (None, None);
    for a in attr.nested() {
        let a = a?;
        match a.kind {
            sample::PROBABILITY => probability = Some(sized(a, a.u32())?),
            sample::ACTIONS => actions = Some(a),
            kind => return Err(AttrErrorKind::Unknown.of(kind)),
        }
    }
    let missing = AttrErrorKind::Missing;
    let actions = actions.ok_or(missing.of(sample::ACTIONS))?;
    Ok(Action::Sample {
        probability: probability.ok_or(missing.of(sample::PROBABILITY))?,
        actions: list(actions.nested(), depth.saturating_add(1))?,
    })
}

#[inline(never)]
fn checked(attr: Attr<'_>, depth: usize) -> Result<Action, AttrError> {
    let (mut len, mut greater, mut less) = (None, None, None);
    for a in attr.nested() {
        let a = a?;
        match a.kind {
            check::PKT_LEN => len = Some(sized(a, a.u16())?),
            check::IF_GREATER => greater = Some(a),
            check::IF_LESS_EQUAL => less = Some(a),
            kind => return Err(AttrErrorKind::Unknown.of(kind)),
        }
    }
    let missing = AttrErrorKind::Missing;
    let greater = greater.ok_or(missing.of(check::IF_GREATER))?;
    let less = less.ok_or(missing.of(check::IF_LESS_EQUAL))?;
    Ok(Action::CheckPktLen {
        len: len.ok_or(missing.of(check::PKT_LEN))?,
        if_greater: list(greater.nested(), depth.saturating_add(1))?,
        if_less_equal: list(less.nested(), depth.saturating_add(1))?,
    })
}
