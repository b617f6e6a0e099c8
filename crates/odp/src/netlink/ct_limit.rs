//! Limits of connections (`OVS_CT_LIMIT_ATTR_*`).
//!
//! Where it sits: requests and replies of the limit family.

use netlink::{Attr, Attrs, Builder};

use super::{AttrError, AttrErrorKind};

/// An array of limits: the only attribute of Open vSwitch's.
const ZONE_LIMIT: u16 = 1;
/// u16, in a request for a list: the zone that it begins with. Ours: more zones may be limited than fit a message.
const FIRST_ZONE: u16 = 2;
/// Bytes of an entry.
const ENTRY: usize = 12;

/// The zone number that means the limit of zones without one of their own.
pub const DEFAULT_ZONE: i32 = -1;

/// A zone's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneLimit {
    /// The zone, or [`DEFAULT_ZONE`].
    pub zone: i32,
    /// The limit.
    pub limit: u32,
    /// Connections in the zone.
    pub count: u32,
}

/// The bytes of the array; `None` if the message has none.
pub fn decode(attrs: Attrs<'_>) -> Result<Option<&[u8]>, AttrError> {
    let mut found: Option<Attr<'_>> = None;
    for a in attrs {
        let a = a?;
        if a.kind == ZONE_LIMIT {
            found = Some(a);
        }
    }
    let whole = |a: Attr<'_>| a.payload.len().is_multiple_of(ENTRY);
    match found {
        Some(a) if !whole(a) => Err(AttrErrorKind::Size.of(a.kind)),
        other => Ok(other.map(|a| a.payload)),
    }
}

/// The most limits of one list.
pub const MAX_LISTED: usize = 4096;

/// Asks for the list of zones with a limit of their own from `zone` on.
pub fn put_first_zone(b: &mut Builder, zone: u16) {
    b.put_u16(FIRST_ZONE, zone);
}

/// The zone that a list begins with.
pub fn first_zone(attrs: &Attrs<'_>) -> u16 {
    attrs.find(FIRST_ZONE).and_then(Attr::u16).unwrap_or(0)
}

/// The entries of an array.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = ZoneLimit> {
    bytes.chunks_exact(ENTRY).map(|e| {
        let word = |at: usize| {
            e.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b: &[u8; 4]| u32::from_ne_bytes(*b))
        };
        ZoneLimit { zone: word(0) as i32, limit: word(4), count: word(8) }
    })
}

/// Adds the array.
pub fn put(b: &mut Builder, limits: impl Iterator<Item = ZoneLimit>) {
    let nest = b.begin_plain_nest(ZONE_LIMIT);
    for l in limits {
        b.put_raw([l.zone.to_ne_bytes(), l.limit.to_ne_bytes(), l.count.to_ne_bytes()].as_flattened());
    }
    b.end_nest(nest);
}
