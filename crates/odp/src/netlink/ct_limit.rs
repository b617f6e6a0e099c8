//! Limits of connections (`OVS_CT_LIMIT_ATTR_*`).
//!
//! Where it sits: requests and replies of the limit family.

use netlink::{Attr, Attrs, Builder};

use super::{AttrError, AttrErrorKind};

/// The only attribute: an array of limits.
const ZONE_LIMIT: u16 = 1;
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
