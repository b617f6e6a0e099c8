//! HELLO and ERROR: agreeing on a version, and saying what was wrong.
//!
//! Where it sits: `conn.rs` negotiates with it; every refusal of the switch leaves through [`ErrorMessage`].
//!
//! I1  HELLO elements that are unknown, and trailing bytes, do not fail negotiation.
//! I2  The bitmap is sent only when the versions are not 1.0 up to the highest without gaps.

use crate::{ErrorCode, NX_VENDOR, OfpError, PutBytes, Version};

use super::{PutBody, Reader, Result};

/// A set of versions: bit *n* is the version with wire number *n*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VersionSet(pub u32);

impl VersionSet {
    /// Every version that this crate speaks.
    pub const ALL: VersionSet = VersionSet(0x7e);

    /// The set of one version.
    pub const fn one(version: Version) -> VersionSet {
        VersionSet(1 << version.wire())
    }

    /// True if `version` is in the set.
    pub const fn contains(self, version: Version) -> bool {
        self.0 & 1 << version.wire() != 0
    }

    /// The versions of either.
    pub const fn union(self, other: VersionSet) -> VersionSet {
        VersionSet(self.0 | other.0)
    }

    /// The highest version in both.
    pub fn highest_common(self, other: VersionSet) -> Option<Version> {
        Version::ALL.into_iter().rev().find(|v| self.contains(*v) && other.contains(*v))
    }

    /// The highest version of the set as wire number, zero if it is empty.
    pub fn highest(self) -> u8 {
        31u32.saturating_sub(self.0.leading_zeros()) as u8
    }

    /// The numbers in the set as logs show them: `0x01, 0x04`.
    pub fn numbers(self) -> String {
        let each: Vec<String> =
            (0..32).filter(|n| self.0 >> n & 1 != 0).map(|n| format!("{n:#04x}")).collect();
        each.join(", ")
    }

    /// The names as logs of negotiation show them: `version 0x01`, `version 0x04 and earlier`,
    /// `versions 0x01, 0x04`.
    pub fn describe(self) -> String {
        let highest = self.highest();
        let up_to = |n: u8| ((1u64 << (n + 1)) - 1) as u32 & !1;
        if self.0.count_ones() == 1 {
            format!("version {highest:#04x}")
        } else if self.0 & !1 == up_to(highest) {
            format!("version {highest:#04x} and earlier")
        } else {
            format!("versions {}", self.numbers())
        }
    }
}

impl FromIterator<Version> for VersionSet {
    fn from_iter<I: IntoIterator<Item = Version>>(versions: I) -> VersionSet {
        versions.into_iter().fold(VersionSet(0), |set, v| set.union(VersionSet::one(v)))
    }
}

/// What a peer says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The versions it speaks.
    pub versions: VersionSet,
    /// Every element was understood.
    pub complete: bool,
}

impl Hello {
    /// The HELLO of who speaks `versions`.
    pub fn new(versions: VersionSet) -> Hello {
        Hello { versions, complete: true }
    }

    /// The version byte that its message has.
    pub fn header_version(&self) -> u8 {
        self.versions.highest()
    }

    pub(super) fn decode(version: u8, mut r: Reader<'_>) -> Hello {
        let up_to = if version >= 31 { u32::MAX } else { (1 << (version + 1)) - 1 };
        let mut hello = Hello { versions: VersionSet(up_to & !1), complete: true };
        while !r.is_empty() {
            let Ok((kind, len, mut payload)) = element(&mut r) else {
                hello.complete = false;
                break;
            };
            match payload.u32() {
                Ok(bitmap) if kind == 1 && len % 4 == 0 => {
                    if bitmap & !1 != 0 {
                        hello.versions = VersionSet(bitmap & !1);
                    } else {
                        hello.complete = false;
                    }
                }
                _ => hello.complete = false,
            }
        }
        hello
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let highest = self.header_version();
        if self.versions.0 != (2u32 << highest) - 2 {
            out.put_u16(1);
            out.put_u16(8);
            out.put_u32(self.versions.0);
        }
    }
}

/// Type, length and payload of one element; the padding is passed over, as far as it is there.
fn element<'a>(r: &mut Reader<'a>) -> Result<(u16, usize, Reader<'a>)> {
    let (kind, len) = (r.u16()?, usize::from(r.u16()?));
    let payload = r.sub(len.checked_sub(4).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
    r.skip(r.len().min(len.next_multiple_of(8) - len))?;
    Ok((kind, len, payload))
}

/// An ERROR message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMessage {
    /// The numbers as they came; to send, those of the error in the connection's version.
    pub code: ErrorCode,
    /// The error, if it is known.
    pub error: Option<OfpError>,
    /// The message that failed, or its start; text for OFPET_HELLO_FAILED.
    pub data: Vec<u8>,
}

/// The 1.0 and 1.1 numbers of a vendor error.
const VENDOR_KIND: u16 = 0xb0c2;

impl ErrorMessage {
    /// The message that refuses `request` with `error`. An error that `version` cannot say is said as
    /// NXBRC_UNENCODABLE_ERROR.
    pub fn of(error: OfpError, version: Version, request: &[u8]) -> ErrorMessage {
        let unencodable = (OfpError::NXBRC_UNENCODABLE_ERROR, ErrorCode::Standard { kind: 1, code: 0 });
        let (error, code) = match error.code(version) {
            Some(code) => (error, code),
            None => (unencodable.0, unencodable.0.code(version).unwrap_or(unencodable.1)),
        };
        ErrorMessage { code, error: Some(error), data: request.to_vec() }
    }

    pub(super) fn decode(version: u8, mut r: Reader<'_>) -> Result<ErrorMessage> {
        let (kind, code) = (r.u16()?, r.u16()?);
        let code = if kind == VENDOR_KIND {
            if code != 0 {
                ErrorCode::Standard { kind, code }
            } else {
                ErrorCode::Vendor { vendor: r.u32()?, kind: r.u16()?, code: r.u16()? }
            }
        } else if kind == 0xffff && version >= 3 {
            ErrorCode::Experimenter { vendor: r.u32()?, kind: code }
        } else {
            ErrorCode::Standard { kind, code }
        };
        let error = Version::from_wire(version).and_then(|v| OfpError::from_code(v, code));
        Ok(ErrorMessage { code, error, data: r.take_rest().to_vec() })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>, at: usize) {
        match self.code {
            ErrorCode::Standard { kind, code } => {
                out.put_u16(kind);
                out.put_u16(code);
            }
            ErrorCode::Vendor { vendor, kind, code } => {
                out.put_u16(VENDOR_KIND);
                out.put_u16(0);
                out.put_u32(vendor);
                out.put_u16(kind);
                out.put_u16(code);
            }
            ErrorCode::Experimenter { vendor, kind } => {
                out.put_u16(0xffff);
                out.put_u16(kind);
                out.put_u32(vendor);
            }
        }
        let room = usize::from(u16::MAX) - (out.len() - at);
        out.put(self.data.get(..room).unwrap_or(&self.data));
    }

    /// True for Nicira's form of an error.
    pub fn is_nicira(&self) -> bool {
        matches!(
            self.code,
            ErrorCode::Vendor { vendor: NX_VENDOR, .. } | ErrorCode::Experimenter { vendor: NX_VENDOR, .. }
        )
    }
}
