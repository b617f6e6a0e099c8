//! The headers of a message: from bytes to a row of the table and a body, and back.
//!
//! Where it sits: the first step of decoding and the frame of every encoder. It knows lengths and numbers, no bodies.
//!
//! ~~~text
//! ofp_header 8 ─┬─ vendor 8 (type 4)
//!               └─ statistics: type, flags (1.0: 4 bytes, 1.1+: 8) ── vendor (1.0: 12 bytes, 1.1+: 8), if type 0xffff
//! ~~~
//!
//! I1  HELLO, ERROR and ECHO are understood under every version byte but zero.
//! I2  A body that a decoder sees has at least the length of its row.

use crate::{NX_VENDOR, ONF_VENDOR, OfpError, PutBytes};

use super::raw::{Class, Raw, Step};
use super::{PutBody, Reader, Result};

/// Length of the header that every message has.
pub const HEADER_LEN: usize = 8;
/// Set in the flags of each part of a multipart message but the last.
pub const MORE: u16 = 1;

/// What the headers of a message say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version byte.
    pub version: u8,
    /// The transaction id.
    pub xid: u32,
    /// The row of the table.
    pub raw: Raw,
    /// Flags of a statistics message, otherwise zero.
    pub flags: u16,
}

impl Header {
    /// True if another part of a multipart message follows.
    pub fn more(&self) -> bool {
        self.flags & MORE != 0
    }
}

/// The length that the header at the start of `bytes` gives; `None` before 8 bytes are there.
pub fn message_len(bytes: &[u8]) -> Option<usize> {
    wire::bytes::u16_at(bytes, 2).filter(|_| bytes.len() >= HEADER_LEN).map(usize::from)
}

/// The transaction id of the message at the start of `bytes`, or zero.
pub fn message_xid(bytes: &[u8]) -> u32 {
    wire::bytes::u32_at(bytes, 4).unwrap_or(0)
}

/// The complete messages that `bytes` holds one after another; a truncated last one is left out.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let len = message_len(bytes)?.max(HEADER_LEN);
        let (head, tail) = bytes.split_at_checked(len)?;
        bytes = tail;
        Some(head)
    })
}

/// Finds the row of a message whose headers are there, whatever its length; the body is what follows them.
pub fn peek(message: &[u8]) -> Result<(Header, &[u8])> {
    let mut r = Reader::new(message);
    let version = r.u8()?;
    let kind = r.u8()?;
    r.skip(2)?;
    let xid = r.u32()?;
    let (class, flags) = class(version, kind, &mut r)?;
    let raw = Raw::find(class, version).ok_or(unknown(class))?;
    Ok((Header { version, xid, raw, flags }, r.rest()))
}

/// Finds the row of one whole message and its body.
pub fn parse(message: &[u8]) -> Result<(Header, &[u8])> {
    if message_len(message) != Some(message.len()) {
        return Err(OfpError::OFPBRC_BAD_LEN);
    }
    let (header, body) = peek(message)?;
    let r = Reader::new(body);
    let def = header.raw.def();
    let extra = r.len().checked_sub(def.min_body).ok_or(OfpError::OFPBRC_BAD_LEN)?;
    let fits = match def.step {
        Step::Exact => extra == 0,
        Step::AtLeast => true,
        Step::Multiple(k) => extra.is_multiple_of(k),
    };
    if !fits {
        return Err(OfpError::OFPBRC_BAD_LEN);
    }
    Ok((header, body))
}

fn class(version: u8, kind: u8, r: &mut Reader<'_>) -> Result<(Class, u16)> {
    match (version, kind) {
        (_, 4) => {
            let (vendor, subtype) = (r.u32()?, r.u32()?);
            check_vendor(vendor)?;
            Ok((Class::Vendor(vendor, subtype), 0))
        }
        (1, 16 | 17) | (2.., 18 | 19) => stat_class(version, kind.is_multiple_of(2), r),
        _ => Ok((Class::Std(kind), 0)),
    }
}

fn stat_class(version: u8, request: bool, r: &mut Reader<'_>) -> Result<(Class, u16)> {
    let (kind, flags) = (r.u16()?, r.u16()?);
    if version > 1 {
        r.skip(4)?;
    }
    let class = if kind == 0xffff {
        let (vendor, subtype) = (r.u32()?, r.u32()?);
        if version == 1 {
            r.skip(4)?;
        }
        check_vendor(vendor)?;
        if version == 1 && vendor != NX_VENDOR {
            return Err(OfpError::OFPBRC_BAD_VENDOR);
        }
        if request {
            Class::VendorStatRequest(vendor, subtype)
        } else {
            Class::VendorStatReply(vendor, subtype)
        }
    } else if request {
        Class::StatRequest(kind)
    } else {
        Class::StatReply(kind)
    };
    Ok((class, flags))
}

fn check_vendor(vendor: u32) -> Result<()> {
    if matches!(vendor, NX_VENDOR | ONF_VENDOR) { Ok(()) } else { Err(OfpError::OFPBRC_BAD_VENDOR) }
}

fn unknown(class: Class) -> OfpError {
    match class {
        Class::Std(_) => OfpError::OFPBRC_BAD_TYPE,
        Class::StatRequest(_) | Class::StatReply(_) => OfpError::OFPBRC_BAD_STAT,
        Class::Vendor(..) | Class::VendorStatRequest(..) | Class::VendorStatReply(..) => {
            OfpError::OFPBRC_BAD_SUBTYPE
        }
    }
}

/// Appends the headers of `raw` and returns where the message starts; [`finish`] completes it.
pub fn start(out: &mut Vec<u8>, raw: Raw, version: u8, xid: u32) -> usize {
    let at = out.len();
    out.put_u8(version);
    let (request, reply) = if version == 1 { (16, 17) } else { (18, 19) };
    let class = raw.def().class;
    out.put_u8(match class {
        Class::Std(kind) => kind,
        Class::Vendor(..) => 4,
        Class::StatRequest(_) | Class::VendorStatRequest(..) => request,
        Class::StatReply(_) | Class::VendorStatReply(..) => reply,
    });
    out.put_u16(0);
    out.put_u32(xid);
    match class {
        Class::Std(_) => {}
        Class::Vendor(vendor, subtype) => {
            out.put_u32(vendor);
            out.put_u32(subtype);
        }
        Class::StatRequest(kind) | Class::StatReply(kind) => put_stat(out, kind, version),
        Class::VendorStatRequest(vendor, subtype) | Class::VendorStatReply(vendor, subtype) => {
            put_stat(out, 0xffff, version);
            out.put_u32(vendor);
            out.put_u32(subtype);
            out.put_zeros(if version == 1 { 4 } else { 0 });
        }
    }
    at
}

fn put_stat(out: &mut Vec<u8>, kind: u16, version: u8) {
    out.put_u16(kind);
    out.put_u16(0);
    out.put_zeros(if version == 1 { 0 } else { 4 });
}

/// Writes the length of the message that starts at `at` and ends at the end of `out`.
pub fn finish(out: &mut Vec<u8>, at: usize) {
    out.set_len16(at + 2, at);
}

/// A multipart reply being written: one message as long as its records fit, then more of them with the MORE flag.
pub struct Parts<'a> {
    out: &'a mut Vec<u8>,
    raw: Raw,
    version: u8,
    xid: u32,
    at: usize,
    header_len: usize,
}

impl<'a> Parts<'a> {
    /// Starts the first message.
    pub fn new(out: &'a mut Vec<u8>, raw: Raw, version: u8, xid: u32) -> Parts<'a> {
        let at = start(out, raw, version, xid);
        let header_len = out.len() - at;
        Parts { out, raw, version, xid, at, header_len }
    }

    /// Appends one record, in a new message if it does not fit in this one.
    pub fn record<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.out.len();
        let result = write(self.out);
        if self.out.len() - self.at > usize::from(u16::MAX) && before - self.at > self.header_len {
            let record = self.out.split_off(before);
            finish(self.out, self.at);
            self.out[self.at + 11] |= MORE as u8;
            self.at = start(self.out, self.raw, self.version, self.xid);
            self.out.extend_from_slice(&record);
        }
        result
    }

    /// Completes the last message.
    pub fn finish(self) {
        finish(self.out, self.at);
    }
}
