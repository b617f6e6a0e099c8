//! Copies of actions where memory may be short.
//!
//! Where it sits: used by whoever hands a flow's actions out. `Clone` is for hosts on which running out of memory ends the
//! process anyway; a kernel's answers an error.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use sync::try_box_with;

use crate::header::Header;
use crate::{Action, CtAction, Psample, PushNsh, TnlPush, Userspace};

/// A copy of a list; `None` if memory is short.
pub fn try_copy(actions: &[Action]) -> Option<Vec<Action>> {
    let mut out = Vec::new();
    out.try_reserve_exact(actions.len()).ok()?;
    for action in actions {
        out.push(one(action)?);
    }
    Some(out)
}

fn bytes(from: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    out.try_reserve_exact(from.len()).ok()?;
    out.extend_from_slice(from);
    Some(out)
}

/// A copy of a text that may not be there; the outer `None` if memory is short.
fn text(from: Option<&str>) -> Option<Option<Box<str>>> {
    let Some(from) = from else { return Some(None) };
    let mut out = String::new();
    out.try_reserve_exact(from.len()).ok()?;
    out.push_str(from);
    // There is no room to spare, so nothing is moved.
    Some(Some(out.into_boxed_str()))
}

#[inline(never)]
fn header(from: &Header) -> Option<Header> {
    match from {
        Header::Tunnel(key) => try_box_with(|| Some(**key)).map(Header::Tunnel),
        // All others are plain.
        other => Some(other.clone()),
    }
}

#[inline(never)]
fn ct(from: &CtAction) -> Option<CtAction> {
    let CtAction { commit, force, zone, mark, label, nat, eventmask, .. } = *from;
    let (helper, timeout) = (text(from.helper.as_deref())?, text(from.timeout.as_deref())?);
    Some(CtAction { commit, force, zone, mark, label, helper, nat, timeout, eventmask })
}

#[inline(never)]
fn one(action: &Action) -> Option<Action> {
    Some(match action {
        Action::Set(value) => Action::Set(header(value)?),
        Action::SetMasked { value, mask } => Action::SetMasked { value: header(value)?, mask: header(mask)? },
        Action::Userspace(u) => Action::Userspace(try_box_with(|| {
            let Userspace { pid, tunnel_out_port, actions, .. } = **u;
            Some(Userspace { pid, userdata: bytes(&u.userdata)?, tunnel_out_port, actions })
        })?),
        Action::Ct(c) => Action::Ct(try_box_with(|| ct(c))?),
        Action::Clone(list) => Action::Clone(try_copy(list)?),
        Action::DecTtl(list) => Action::DecTtl(try_copy(list)?),
        Action::Sample { probability, actions } => {
            Action::Sample { probability: *probability, actions: try_copy(actions)? }
        }
        Action::CheckPktLen { len, if_greater, if_less_equal } => Action::CheckPktLen {
            len: *len,
            if_greater: try_copy(if_greater)?,
            if_less_equal: try_copy(if_less_equal)?,
        },
        Action::PushNsh(n) => {
            Action::PushNsh(try_box_with(|| Some(PushNsh { header: n.header, md2: bytes(&n.md2)? }))?)
        }
        Action::Psample(p) => {
            Action::Psample(try_box_with(|| Some(Psample { group: p.group, cookie: bytes(&p.cookie)? }))?)
        }
        Action::TnlPush(t) => Action::TnlPush(try_box_with(|| {
            let TnlPush { tnl_port, out_port, kind, .. } = **t;
            Some(TnlPush { tnl_port, out_port, kind, header: bytes(&t.header)? })
        })?),
        // All others are plain.
        plain => plain.clone(),
    })
}
