//! Properties: the type-length-value lists of OpenFlow 1.3 and later.
//!
//! Where it sits: under ports, tables, queues, packet-ins, asynchronous configuration. Length excludes the padding
//! to 8 that follows each.
//!
//! Spec: OpenFlow 1.5.1 section 7.2.1.3 (generic properties).

use crate::{OfpError, PutBytes};

use super::{PutBody, Reader, Result};

/// One property.
#[derive(Clone, Copy, Debug)]
pub struct Prop<'a> {
    /// Its type.
    pub kind: u16,
    /// Vendor and vendor's type, of an experimenter property.
    pub experimenter: Option<(u32, u32)>,
    /// What follows type and length (and, in an experimenter's, vendor and type).
    pub payload: Reader<'a>,
}

/// Takes the next property off `r`. `experimenters` are the types that carry a vendor.
pub fn next<'a>(r: &mut Reader<'a>, experimenters: &[u16]) -> Result<Prop<'a>> {
    let bad = |_| OfpError::OFPBPC_BAD_LEN;
    let kind = r.u16().map_err(bad)?;
    let len = usize::from(r.u16().map_err(bad)?);
    let mut payload = r.sub(len.checked_sub(4).ok_or(OfpError::OFPBPC_BAD_LEN)?).map_err(bad)?;
    r.skip(len.next_multiple_of(8) - len).map_err(bad)?;
    let experimenter = if experimenters.contains(&kind) {
        let vendor = payload.u32().map_err(bad)?;
        if vendor == 0 {
            return Err(OfpError::OFPBPC_BAD_EXPERIMENTER);
        }
        Some((vendor, payload.u32().map_err(bad)?))
    } else {
        None
    };
    Ok(Prop { kind, experimenter, payload })
}

impl<'a> Prop<'a> {
    /// The error for a property that is not known.
    pub fn unknown(&self) -> OfpError {
        if self.experimenter.is_some() { OfpError::OFPBPC_BAD_EXP_TYPE } else { OfpError::OFPBPC_BAD_TYPE }
    }

    /// A byte; what follows it is ignored.
    pub fn u8(mut self) -> Result<u8> {
        self.payload.u8().map_err(|_| OfpError::OFPBPC_BAD_LEN)
    }

    /// A 16-bit number; what follows it is ignored.
    pub fn u16(mut self) -> Result<u16> {
        self.payload.u16().map_err(|_| OfpError::OFPBPC_BAD_LEN)
    }

    /// A 128-bit number; what follows it is ignored.
    pub fn u128(mut self) -> Result<u128> {
        self.payload.array().map(u128::from_be_bytes).map_err(|_| OfpError::OFPBPC_BAD_LEN)
    }

    /// A 32-bit number.
    pub fn u32(mut self) -> Result<u32> {
        if self.payload.len() == 4 { self.payload.u32() } else { Err(OfpError::OFPBPC_BAD_LEN) }
    }

    /// A 64-bit number after padding.
    pub fn u64(mut self) -> Result<u64> {
        if self.payload.len() != 12 {
            return Err(OfpError::OFPBPC_BAD_LEN);
        }
        self.payload.skip(4)?;
        self.payload.u64()
    }

    /// The payload after 4 bytes of padding.
    pub fn nested(mut self) -> Result<Reader<'a>> {
        self.payload.skip(4).map_err(|_| OfpError::OFPBPC_BAD_LEN)?;
        Ok(self.payload)
    }
}

/// Starts a property; [`end`] completes it.
pub fn begin(out: &mut Vec<u8>, kind: u16) -> usize {
    let at = out.len();
    out.put_u16(kind);
    out.put_u16(0);
    at
}

/// Writes the length of the property that started at `at`, and its padding.
pub fn end(out: &mut Vec<u8>, at: usize) {
    out.set_len16(at + 2, at);
    out.pad8(at);
}

/// A property of bytes.
pub fn put(out: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let at = begin(out, kind);
    out.put(payload);
    end(out, at);
}

/// A property of one byte.
pub fn put_u8(out: &mut Vec<u8>, kind: u16, n: u8) {
    put(out, kind, &[n]);
}

/// A property of 16 bits and as much padding, which its length counts.
pub fn put_u16(out: &mut Vec<u8>, kind: u16, n: u16) {
    put_u32(out, kind, u32::from(n) << 16);
}

/// A property of 32 bits.
pub fn put_u32(out: &mut Vec<u8>, kind: u16, n: u32) {
    put(out, kind, &n.to_be_bytes());
}

/// A property of 64 bits, aligned.
pub fn put_u64(out: &mut Vec<u8>, kind: u16, n: u64) {
    let at = begin(out, kind);
    out.put_zeros(4);
    out.put_u64(n);
    end(out, at);
}
