//! Actions as bytes: headers, the rows that name every wire form, and lists.
//!
//! Where it sits: each family of actions gives its [`Wire`] rows and encodes itself with an [`Encoder`].
//!
//! ~~~text
//! standard    be16 type · be16 len · …
//! extension   be16 0xffff · be16 len · be32 vendor · be16 subtype · …
//! ~~~
//!
//! Spec: ovs-actions(7); OpenFlow 1.5.1 section 7.2.6.

use flow::Field;
use wire::bytes;

use super::{Act, Action, FAMILIES, Subfield};
use crate::matches::oxm::{self, Numbering};
use crate::{NX_VENDOR, OfpError, OfpPort, PutBytes, Version};

/// How deep actions may lie within actions.
pub const MAX_DEPTH: usize = 64;

/// How long an action's bytes may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Len {
    /// Exactly so.
    Exact(u16),
    /// So, or longer by multiples of 8.
    AtLeast(u16),
}

/// One wire form of an action.
pub struct Wire {
    /// The vendor; zero: a standard action.
    pub vendor: u32,
    /// The type, or the vendor's subtype.
    pub kind: u16,
    /// The first and the last version that have it.
    pub versions: (Version, Version),
    /// Its length.
    pub len: Len,
    /// Reads it.
    pub decode: fn(&Raw) -> Result<Action, OfpError>,
}

/// A standard action.
pub const fn standard(kind: u16, versions: (Version, Version), len: Len, decode: Decode) -> Wire {
    Wire { vendor: 0, kind, versions, len, decode }
}

/// A Nicira action of every version.
pub const fn nicira(kind: u16, len: Len, decode: Decode) -> Wire {
    Wire { vendor: NX_VENDOR, kind, versions: EVERY, len, decode }
}

/// A Nicira action of some versions.
pub const fn nicira_in(kind: u16, versions: (Version, Version), len: Len, decode: Decode) -> Wire {
    Wire { vendor: NX_VENDOR, kind, versions, len, decode }
}

/// Reads an action.
pub type Decode = fn(&Raw) -> Result<Action, OfpError>;

/// All versions.
pub const EVERY: (Version, Version) = (Version::V10, Version::V15);
/// Only 1.0.
pub const V10: (Version, Version) = (Version::V10, Version::V10);
/// 1.1 and later.
pub const V11_UP: (Version, Version) = (Version::V11, Version::V15);
/// 1.3 and later.
pub const V13_UP: (Version, Version) = (Version::V13, Version::V15);
/// All but 1.5.
pub const TO_V14: (Version, Version) = (Version::V10, Version::V14);

/// The bytes of one action, header included. Its length has been checked against its row.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The version.
    pub version: Version,
    /// How many actions it lies within.
    pub depth: usize,
}

impl<'a> Raw<'a> {
    /// The byte at `off`.
    pub fn u8(&self, off: usize) -> u8 {
        bytes::u8_at(self.bytes, off).unwrap_or(0)
    }

    /// The 16-bit number at `off`.
    pub fn u16(&self, off: usize) -> u16 {
        bytes::u16_at(self.bytes, off).unwrap_or(0)
    }

    /// The 32-bit number at `off`.
    pub fn u32(&self, off: usize) -> u32 {
        bytes::u32_at(self.bytes, off).unwrap_or(0)
    }

    /// The 64-bit number at `off`.
    pub fn u64(&self, off: usize) -> u64 {
        bytes::u64_at(self.bytes, off).unwrap_or(0)
    }

    /// The 16-bit port at `off`.
    pub fn port16(&self, off: usize) -> OfpPort {
        OfpPort::from_of10(self.u16(off))
    }

    /// What follows `off`.
    pub fn rest(&self, off: usize) -> &'a [u8] {
        self.bytes.get(off..).unwrap_or(&[])
    }

    /// An error unless the bytes from `off` on are zero.
    pub fn zeros(&self, off: usize) -> Result<(), OfpError> {
        zeros(self.rest(off), OfpError::NXBRC_MUST_BE_ZERO)
    }

    /// An error unless the `n` bytes at `off` are zero.
    pub fn zeros_in(&self, off: usize, n: usize) -> Result<(), OfpError> {
        zeros(self.bytes.get(off..off + n).unwrap_or(&[]), OfpError::NXBRC_MUST_BE_ZERO)
    }

    /// The field whose header is at `off`, without mask, and where the header ends.
    pub fn field(&self, off: usize) -> Result<(Field, usize), OfpError> {
        let (field, masked, len) = oxm::pull_header(self.rest(off))?;
        if masked { Err(OfpError::OFPBMC_BAD_MASK) } else { Ok((field, off + len)) }
    }

    /// Bits of the field whose header is at `header`, as the 16-bit number at `ofs_nbits` says.
    pub fn subfield(&self, header: usize, ofs_nbits: usize) -> Result<(Subfield, usize), OfpError> {
        // A has-mask bit here means nothing.
        let (field, _, len) =
            oxm::pull_header(self.rest(header)).map_err(|_| OfpError::OFPBAC_BAD_SET_TYPE)?;
        Ok((bits_of(field, self.u16(ofs_nbits))?, header + len))
    }

    /// The actions from `off` on.
    pub fn actions(&self, off: usize) -> Result<Vec<Action>, OfpError> {
        decode_list(self.rest(off), self.version, self.depth + 1)
    }
}

/// The bits of `field` that a number `(ofs << 6) | (n_bits - 1)` names.
pub fn bits_of(field: Field, ofs_nbits: u16) -> Result<Subfield, OfpError> {
    Subfield { field, ofs: ofs_nbits >> 6, n_bits: (ofs_nbits & 0x3f) + 1 }.checked()
}

/// `error` unless all bytes are zero.
pub fn zeros(bytes: &[u8], error: OfpError) -> Result<(), OfpError> {
    if bytes.iter().all(|b| *b == 0) { Ok(()) } else { Err(error) }
}

/// Decodes a list of actions that lies within `depth` others.
pub fn decode_list(mut data: &[u8], version: Version, depth: usize) -> Result<Vec<Action>, OfpError> {
    if depth > MAX_DEPTH {
        return Err(OfpError::OFPBAC_TOO_MANY);
    }
    let mut actions = Vec::new();
    while !data.is_empty() {
        // Whether it is known is asked before whether it is whole.
        let row = find_row(&Raw { bytes: data, version, depth })?;
        let len = bytes::u16_at(data, 2).map(usize::from).ok_or(OfpError::OFPBAC_BAD_LEN)?;
        let fits = match row.len {
            Len::Exact(n) => len == usize::from(n),
            Len::AtLeast(n) => len >= usize::from(n) && len.is_multiple_of(8),
        };
        let (this, rest) = data.split_at_checked(len).filter(|_| fits).ok_or(OfpError::OFPBAC_BAD_LEN)?;
        actions.push((row.decode)(&Raw { bytes: this, version, depth })?);
        data = rest;
    }
    Ok(actions)
}

/// The row of the action at the start of the bytes.
fn find_row(raw: &Raw) -> Result<&'static Wire, OfpError> {
    let (vendor, kind) = match raw.u16(0) {
        _ if raw.bytes.len() < 4 => return Err(OfpError::OFPBAC_BAD_LEN),
        0xffff if raw.bytes.len() < 16 => return Err(OfpError::OFPBAC_BAD_LEN),
        0xffff if raw.u32(4) == 0 => return Err(OfpError::OFPBAC_BAD_VENDOR),
        0xffff => (raw.u32(4), raw.u16(8)),
        kind => (0, kind),
    };
    let rows = || FAMILIES.iter().flat_map(|family| family.wire.iter());
    let row = rows().find(|row| {
        (row.vendor, row.kind) == (vendor, kind) && (row.versions.0..=row.versions.1).contains(&raw.version)
    });
    row.ok_or_else(|| match vendor {
        0 => OfpError::OFPBAC_BAD_TYPE,
        _ if rows().any(|row| row.vendor == vendor) => OfpError::OFPBAC_BAD_VENDOR_TYPE,
        _ => OfpError::OFPBAC_BAD_VENDOR,
    })
}

/// Writes actions for one version.
pub struct Encoder<'a> {
    /// The bytes.
    pub out: &'a mut Vec<u8>,
    /// The version.
    pub version: Version,
    /// An action became too long for its 16-bit length.
    overflow: bool,
}

impl Encoder<'_> {
    /// Appends a standard action; `body` appends what follows the header.
    pub fn standard(&mut self, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len();
        self.out.put_u16(kind);
        self.out.put_u16(0);
        body(self.out);
        self.finish(start, 8);
    }

    /// Appends a vendor's action.
    pub fn vendor(&mut self, vendor: u32, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.open_vendor(vendor, kind);
        body(self.out);
        self.finish(start, 16);
    }

    /// Appends a Nicira action.
    pub fn nicira(&mut self, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
        self.vendor(NX_VENDOR, kind, body);
    }

    /// Appends a Nicira action of at least `least` bytes.
    pub fn nicira_of(&mut self, kind: u16, least: usize, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.open_vendor(NX_VENDOR, kind);
        body(self.out);
        self.finish(start, least);
    }

    /// Begins a Nicira action that ends at [`Encoder::finish`]; for those that hold actions.
    pub fn open_nicira(&mut self, kind: u16) -> usize {
        self.open_vendor(NX_VENDOR, kind)
    }

    fn open_vendor(&mut self, vendor: u32, kind: u16) -> usize {
        let start = self.out.len();
        self.out.put_u16(0xffff);
        self.out.put_u16(0);
        self.out.put_u32(vendor);
        self.out.put_u16(kind);
        start
    }

    /// Ends the action that began at `start`: pads it and fills its length in.
    pub fn finish(&mut self, start: usize, least: usize) {
        let used = self.out.len() - start;
        self.out.put_zeros(least.saturating_sub(used));
        self.out.pad8(start);
        let len = self.out.len() - start;
        self.overflow |= len > usize::from(u16::MAX);
        self.out.set_u16(start + 2, len as u16);
    }

    /// Appends a list of actions.
    pub fn list(&mut self, actions: &[Action]) -> Result<(), OfpError> {
        for action in actions {
            action.encode(self)?;
        }
        Ok(())
    }

    /// Appends an entry of a field as standard actions hold it.
    pub fn numbering(&self) -> Numbering {
        Numbering::Oxm(self.version)
    }
}

/// Appends a list of actions.
pub fn encode_list(actions: &[Action], version: Version, out: &mut Vec<u8>) -> Result<(), OfpError> {
    let mut encoder = Encoder { out, version, overflow: false };
    encoder.list(actions)?;
    if encoder.overflow { Err(OfpError::OFPBAC_BAD_LEN) } else { Ok(()) }
}

/// The 32-bit header of a field, or zero for one that has none so short.
pub fn header32(field: Field) -> Result<u32, OfpError> {
    oxm::header32(field).ok_or(OfpError::OFPBAC_BAD_SET_TYPE)
}

/// Appends a field's header as Nicira's actions hold it.
pub fn put_header(field: Field, out: &mut Vec<u8>) {
    oxm::put_header(field, Numbering::Nxm, out);
}
