//! Attributes: type, length, payload.
//!
//! Where it sits: what follows a message's family header, and the payload of a nested attribute.

use crate::{DecodeError, DecodeErrorKind, align, array};

/// Bytes of an attribute's header.
pub(crate) const ATTR_HEADER_LEN: usize = 4;
/// The payload is attributes.
pub(crate) const NESTED: u16 = 0x8000;
/// The payload is in network byte order.
const NET_BYTEORDER: u16 = 0x4000;

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr<'a> {
    /// Its type, without the flags.
    pub kind: u16,
    /// Its payload, without padding.
    pub payload: &'a [u8],
}

impl<'a> Attr<'a> {
    fn exactly<const N: usize>(self) -> Option<[u8; N]> {
        self.payload.try_into().ok()
    }

    /// The payload as a number of eight bits; `None` if it has another size.
    pub fn u8(self) -> Option<u8> {
        self.exactly().map(u8::from_ne_bytes)
    }

    /// As a number of 16 bits.
    pub fn u16(self) -> Option<u16> {
        self.exactly().map(u16::from_ne_bytes)
    }

    /// As a number of 32 bits.
    pub fn u32(self) -> Option<u32> {
        self.exactly().map(u32::from_ne_bytes)
    }

    /// As a number of 64 bits.
    pub fn u64(self) -> Option<u64> {
        self.exactly().map(u64::from_ne_bytes)
    }

    /// As a big-endian number of 16 bits.
    pub fn be16(self) -> Option<u16> {
        self.exactly().map(u16::from_be_bytes)
    }

    /// As a big-endian number of 32 bits.
    pub fn be32(self) -> Option<u32> {
        self.exactly().map(u32::from_be_bytes)
    }

    /// As a big-endian number of 64 bits.
    pub fn be64(self) -> Option<u64> {
        self.exactly().map(u64::from_be_bytes)
    }

    /// As a big-endian number of 128 bits, such as an IPv6 address.
    pub fn be128(self) -> Option<u128> {
        self.exactly().map(u128::from_be_bytes)
    }

    /// As a string that ends at a zero byte or with the payload; `None` if it is not UTF-8.
    pub fn str(self) -> Option<&'a str> {
        let end = self.payload.iter().position(|b| *b == 0).unwrap_or(self.payload.len());
        core::str::from_utf8(self.payload.get(..end)?).ok()
    }

    /// The attributes that the payload holds.
    pub fn nested(self) -> Attrs<'a> {
        Attrs::new(self.payload)
    }
}

/// Attributes in a row. Ends after an error.
#[derive(Clone, Debug)]
pub struct Attrs<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Attrs<'a> {
    /// The attributes in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Attrs<'a> {
        Attrs { bytes, offset: 0 }
    }

    /// The last attribute of a type, as in the kernel's parser; `None` if there is none or the bytes are bad before it.
    pub fn find(&self, kind: u16) -> Option<Attr<'a>> {
        self.clone().map_while(Result::ok).filter(|a| a.kind == kind).last()
    }

    fn read(&mut self) -> Result<Attr<'a>, DecodeErrorKind> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let len = array(rest, 0).map(u16::from_ne_bytes).ok_or(DecodeErrorKind::Truncated)?;
        let kind = array(rest, 2).map(u16::from_ne_bytes).ok_or(DecodeErrorKind::Truncated)?;
        let payload = rest.get(ATTR_HEADER_LEN..usize::from(len)).ok_or(DecodeErrorKind::BadLength)?;
        self.offset = self.offset.saturating_add(align(usize::from(len)));
        Ok(Attr { kind: kind & !(NESTED | NET_BYTEORDER), payload })
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let offset = self.offset;
        Some(self.read().map_err(|kind| {
            self.offset = self.bytes.len();
            DecodeError { kind, offset }
        }))
    }
}
