//! Netlink, generic netlink and nfnetlink messages: framing and attributes only.
//!
//! Where it sits: below `odp` (which gives attributes their meaning), `device` (the datapath's netlink side) and
//! `netdev-linux` (links by rtnetlink). It knows no family's messages and does no I/O.
//!
//! ~~~text
//! ┌─ nlmsghdr 16 ─┬─ family header ─┬─ attribute ─┬─ attribute ─┐ next message
//! │ len type flags│ genlmsghdr 4 or │ len type    │ …           │
//! │ seq pid       │ nfgenmsg 4 or … │ payload pad │             │
//! ~~~
//!
//! Numbers are in the byte order of the machine unless a family says otherwise (`be16` and so on). Everything is
//! padded to four bytes, and lengths do not count the padding.
//!
//! Invariants
//! I1  Reading is total: any bytes give messages and attributes until the first that does not fit, and then an error.
//! I2  A [`Builder`] grows fallibly and remembers a failure: no call in between needs to be checked.
//!
//! Spec: RFC 3549, the kernel's userspace-api/netlink. Next: `odp/src/lib.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;

mod attr;
mod build;
mod family;
mod message;

pub use attr::{Attr, Attrs};
pub use build::{Builder, Nest};
pub use family::{GENL_HEADER_LEN, GenlHeader, NFGEN_HEADER_LEN, NfgenHeader};
pub use message::{ErrorReply, HEADER_LEN, Header, Message, Messages, flags, kinds};

/// Why bytes are not netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Where it starts, from the start of what was being read.
    pub offset: usize,
}

/// What is wrong with bytes that are not netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The bytes end inside a header.
    Truncated,
    /// A length is smaller than its own header, or reaches beyond the end.
    BadLength,
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::Truncated => "truncated",
            DecodeErrorKind::BadLength => "bad length",
        };
        write!(f, "{what} at offset {}", self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// `n` rounded up to the alignment of messages and attributes.
pub(crate) const fn align(n: usize) -> usize {
    n.saturating_add(3) & !3
}

/// The `N` bytes at `off`.
pub(crate) fn array<const N: usize>(bytes: &[u8], off: usize) -> Option<[u8; N]> {
    bytes.get(off..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests;
