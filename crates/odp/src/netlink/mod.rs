//! The netlink form: what keys, masks, actions and statistics are as attributes, for every family of the datapath.
//!
//! Where it sits: `device` decodes requests and encodes replies with it, `dpif`'s device carrier does the opposite. It knows
//! attributes, not messages' headers, and no tables.
//!
//! ~~~text
//! FlowKey, Wildcards ⇄ OVS_KEY_ATTR_*      key, tunnel     (a mask has the structure of its key)
//! Vec<Action>        ⇄ OVS_ACTION_ATTR_*   actions, ct
//! a family's payload ⇄ one struct each     flow, vport, packet, datapath, meter, ct_limit
//! ~~~
//!
//! Invariants
//! I1  Decoding is total; unknown attributes of a request are skipped, unknown ones inside keys and actions are errors.
//! I2  What is encoded decodes to the same value (for keys: to the same value in the normal form that `key` states).
//! I3  Attribute numbers are those of linux/openvswitch.h.
//!
//! Next: `key.rs`.

pub mod actions;
mod ct;
pub mod ct_limit;
pub mod datapath;
pub mod flow;
mod header;
pub mod ids;
pub mod key;
mod layout;
pub mod meter;
pub mod packet;
pub(crate) mod tunnel;
pub mod vport;

use netlink::{Attr, Builder};

pub use ids::OVS_HEADER_LEN;

/// Why attributes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttrError {
    /// What is wrong.
    pub kind: AttrErrorKind,
    /// Number of the attribute, zero if none is to blame.
    pub attr: u16,
}

/// What is wrong with an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrErrorKind {
    /// The attributes' framing is broken.
    Framing,
    /// The payload has another size than the attribute has.
    Size,
    /// A value that the attribute cannot have.
    Value,
    /// There is no such attribute here.
    Unknown,
    /// An attribute that this one needs is missing, or says otherwise.
    Prerequisite,
    /// It nests too deep.
    TooDeep,
    /// It is missing.
    Missing,
    /// Memory is short.
    NoMemory,
}

impl AttrErrorKind {
    pub(crate) const fn of(self, attr: u16) -> AttrError {
        AttrError { kind: self, attr }
    }
}

impl core::fmt::Display for AttrError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let what = match self.kind {
            AttrErrorKind::Framing => "broken framing",
            AttrErrorKind::Size => "unexpected size",
            AttrErrorKind::Value => "invalid value",
            AttrErrorKind::Unknown => "unknown attribute",
            AttrErrorKind::Prerequisite => "missing prerequisite",
            AttrErrorKind::TooDeep => "nests too deep",
            AttrErrorKind::Missing => "missing attribute",
            AttrErrorKind::NoMemory => "out of memory",
        };
        write!(f, "{what} (attribute {})", self.attr)
    }
}

impl core::error::Error for AttrError {}

impl From<netlink::DecodeError> for AttrError {
    fn from(_: netlink::DecodeError) -> AttrError {
        AttrErrorKind::Framing.of(0)
    }
}

/// The value of an attribute, or the error that its size is wrong.
pub(crate) fn sized<T>(attr: Attr<'_>, value: Option<T>) -> Result<T, AttrError> {
    value.ok_or(AttrErrorKind::Size.of(attr.kind))
}

/// Adds a list of attributes under `kind`.
pub(crate) fn nest(b: &mut Builder, kind: u16, fill: impl FnOnce(&mut Builder)) {
    let nest = b.begin_plain_nest(kind);
    fill(b);
    b.end_nest(nest);
}

#[cfg(test)]
pub(crate) mod tests;
