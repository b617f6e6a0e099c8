//! Megaflows (`OVS_FLOW_ATTR_*`).
//!
//! Where it sits: requests and replies of the flow family.

use flow::Match;
use netlink::{Attr, Attrs, Builder};

use super::{AttrError, AttrErrorKind, actions, key, nest, sized};
use crate::{Action, Ufid};

mod attr {
    pub const KEY: u16 = 1;
    pub const ACTIONS: u16 = 2;
    pub const STATS: u16 = 3;
    pub const TCP_FLAGS: u16 = 4;
    pub const USED: u16 = 5;
    pub const CLEAR: u16 = 6;
    pub const MASK: u16 = 7;
    pub const PROBE: u16 = 8;
    pub const UFID: u16 = 9;
    pub const UFID_FLAGS: u16 = 10;
}

/// Parts that a reply may leave out for a flow that is named by its identifier.
pub mod omit {
    /// The key.
    pub const KEY: u32 = 1;
    /// The mask.
    pub const MASK: u32 = 2;
    /// The actions.
    pub const ACTIONS: u32 = 4;
}

/// Counters as messages have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Monotonic milliseconds of the last packet; zero if there was none.
    pub used_ms: u64,
    /// TCP flags seen.
    pub tcp_flags: u8,
}

/// The attributes of a message about a flow, as far as they are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowAttrs<'a> {
    /// Nested key.
    pub key: Option<Attr<'a>>,
    /// Nested mask.
    pub mask: Option<Attr<'a>>,
    /// Nested actions.
    pub actions: Option<Attr<'a>>,
    /// Its identifier.
    pub ufid: Option<Ufid>,
    /// [`omit`].
    pub omit: u32,
    /// Counters are to be zeroed.
    pub clear: bool,
    /// Only to see whether it would be accepted.
    pub probe: bool,
    /// Packets and bytes.
    pub stats: Option<(u64, u64)>,
    /// Last use.
    pub used_ms: Option<u64>,
    /// TCP flags seen.
    pub tcp_flags: Option<u8>,
}

impl<'a> FlowAttrs<'a> {
    /// Reads a message's attributes.
    pub fn decode(attrs: Attrs<'a>) -> Result<FlowAttrs<'a>, AttrError> {
        let mut out = FlowAttrs::default();
        for a in attrs {
            let a = a?;
            match a.kind {
                attr::KEY => out.key = Some(a),
                attr::MASK => out.mask = Some(a),
                attr::ACTIONS => out.actions = Some(a),
                attr::UFID => out.ufid = Some(ufid(a)?),
                attr::UFID_FLAGS => out.omit = sized(a, a.u32())?,
                attr::CLEAR => out.clear = true,
                attr::PROBE => out.probe = true,
                attr::STATS => out.stats = Some(sized(a, pair(a))?),
                attr::USED => out.used_ms = Some(sized(a, a.u64())?),
                attr::TCP_FLAGS => out.tcp_flags = Some(sized(a, a.u8())?),
                _ => {}
            }
        }
        Ok(out)
    }

    /// True if the message has none of what names or makes a flow.
    pub fn is_empty(&self) -> bool {
        self.key.is_none() && self.mask.is_none() && self.actions.is_none() && self.ufid.is_none()
    }

    /// The counters of a reply.
    pub fn counters(&self) -> FlowCounters {
        let (packets, bytes) = self.stats.unwrap_or_default();
        FlowCounters {
            packets,
            bytes,
            used_ms: self.used_ms.unwrap_or(0),
            tcp_flags: self.tcp_flags.unwrap_or(0),
        }
    }

    /// Reads the match; there must be a key.
    pub fn take_match(&self, out: &mut Match) -> Result<(), AttrError> {
        let key = self.key.ok_or(AttrErrorKind::Missing.of(attr::KEY))?;
        key::take_match(key.nested(), self.mask.map(Attr::nested), out)
    }
}

fn pair(a: Attr<'_>) -> Option<(u64, u64)> {
    let (first, second) = a.payload.split_at_checked(8)?;
    Some((u64::from_ne_bytes(first.try_into().ok()?), u64::from_ne_bytes(second.try_into().ok()?)))
}

/// One to sixteen bytes; a shorter identifier is filled up with zeros.
fn ufid(a: Attr<'_>) -> Result<Ufid, AttrError> {
    let mut bytes = [0; 16];
    let to = bytes.get_mut(..a.payload.len()).filter(|to| !to.is_empty());
    to.ok_or(AttrErrorKind::Size.of(a.kind))?.copy_from_slice(a.payload);
    Ok(Ufid(u128::from_be_bytes(bytes)))
}

/// Adds a flow's identifier.
pub fn put_ufid(b: &mut Builder, ufid: Ufid) {
    b.put(attr::UFID, &ufid.0.to_be_bytes());
}

/// Adds which parts a reply may leave out.
pub fn put_omit(b: &mut Builder, parts: u32) {
    b.put_u32(attr::UFID_FLAGS, parts);
}

/// Adds a key.
pub fn put_key(b: &mut Builder, m: &Match) {
    nest(b, attr::KEY, |b| key::put_key(b, &m.key));
}

/// Adds a mask.
pub fn put_mask(b: &mut Builder, m: &Match) {
    nest(b, attr::MASK, |b| key::put_mask(b, m));
}

/// Adds actions.
pub fn put_actions(b: &mut Builder, list: &[Action]) {
    nest(b, attr::ACTIONS, |b| actions::put_actions(b, list));
}

/// Asks for counters to be zeroed.
pub fn put_clear(b: &mut Builder) {
    b.put_flag(attr::CLEAR);
}

/// Says that the flow is only to be tried.
pub fn put_probe(b: &mut Builder) {
    b.put_flag(attr::PROBE);
}

/// Adds counters.
pub fn put_counters(b: &mut Builder, c: &FlowCounters) {
    if c.used_ms != 0 {
        b.put_u64(attr::USED, c.used_ms);
    }
    b.put(attr::STATS, [c.packets.to_ne_bytes(), c.bytes.to_ne_bytes()].as_flattened());
    if c.tcp_flags != 0 {
        b.put_u8(attr::TCP_FLAGS, c.tcp_flags);
    }
}
