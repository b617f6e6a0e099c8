//! TABLE_FEATURES (1.3 and later): what each table can match and do.
//!
//! Where it sits: answered by the switch, mostly with [`TableFeatures::of_switch`]; tools ask for it to learn tables'
//! names before they send flows.
//!
//! A reply has both what holds for flows and what holds for a table miss; a missing property of the miss is the same
//! as that of flows. Spec: OpenFlow 1.5.1 section 7.3.5.18.

use flow::Field;

use crate::matches::oxm::{self, Numbering};
use crate::{OfpError, PutBytes, Version};

use super::header::Parts;
use super::raw::Raw;
use super::{PutBody, Reader, Result, props};

/// What a list of actions can hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionFeatures {
    /// Action types, a bit each.
    pub actions: u32,
    /// Fields that set_field can set.
    pub set_fields: Vec<Field>,
}

/// What flows, or a miss, can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstructionFeatures {
    /// Instruction types, a bit each.
    pub instructions: u32,
    /// Tables that goto_table can name.
    pub next: Vec<u8>,
    /// In write_actions.
    pub write: ActionFeatures,
    /// In apply_actions.
    pub apply: ActionFeatures,
}

/// What one table can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFeatures {
    /// The table.
    pub table_id: u8,
    /// 1.5's command: replace, modify, enable, disable.
    pub command: u8,
    /// It has no properties, which 1.5 allows: what follows `max_entries` here is not said.
    pub bare: bool,
    /// Its name.
    pub name: String,
    /// Bits of metadata that can be matched.
    pub metadata_match: u64,
    /// Bits of metadata that can be written.
    pub metadata_write: u64,
    /// Capabilities: eviction and vacancy events (1.4 and later).
    pub capabilities: u32,
    /// Flows that it can hold.
    pub max_entries: u32,
    /// What flows can do.
    pub flows: InstructionFeatures,
    /// What a miss can do.
    pub miss: InstructionFeatures,
    /// Fields that can be matched, and whether under any mask.
    pub matches: Vec<(Field, bool)>,
    /// Fields that can be left out.
    pub wildcards: Vec<Field>,
}

/// Bits of the standard actions of 1.2 and later.
const ACTIONS: u32 = 0x03ff_8001;

impl TableFeatures {
    /// What every table of this switch can do; `last` is the highest table that flows can go to.
    pub fn of_switch(table_id: u8, last: u8, version: Version) -> TableFeatures {
        let all = || Field::all().filter(|d| !d.headers.is_empty());
        let set_fields: Vec<Field> = all().filter(|d| d.writable).map(|d| d.field).collect();
        let actions = ActionFeatures { actions: ACTIONS, set_fields };
        let next: Vec<u8> = (table_id.saturating_add(1)..=last).collect();
        let meter = if version == Version::V15 { 0 } else { 1 << 6 };
        let goto = if next.is_empty() { 0 } else { 1 << 1 };
        let both = InstructionFeatures {
            instructions: 0x3c | meter | goto,
            next,
            write: actions.clone(),
            apply: actions,
        };
        TableFeatures {
            table_id,
            metadata_match: u64::MAX,
            metadata_write: u64::MAX,
            max_entries: 1_000_000,
            miss: both.clone(),
            flows: both,
            matches: all().map(|d| (d.field, d.maskable)).collect(),
            wildcards: all().map(|d| d.field).collect(),
            ..TableFeatures::default()
        }
    }

    fn decode(r: &mut Reader<'_>, version: Version, unknown: Unknown) -> Result<TableFeatures> {
        let start = *r;
        let len = usize::from(r.u16().map_err(|_| OfpError::OFPBPC_BAD_LEN)?);
        if len < 64 || !len.is_multiple_of(8) {
            return Err(OfpError::OFPBPC_BAD_LEN);
        }
        let mut body = { start }.sub(len).map_err(|_| OfpError::OFPBPC_BAD_LEN)?;
        *r = start;
        r.skip(len)?;
        body.skip(2)?;
        let mut t = TableFeatures { table_id: body.u8()?, command: body.u8()?, ..TableFeatures::default() };
        if t.table_id == 0xff {
            return Err(OfpError::OFPTFFC_BAD_TABLE);
        }
        if version < Version::V15 {
            t.command = 0;
        } else if t.command > 3 {
            return Err(OfpError::OFPTFFC_BAD_COMMAND);
        }
        body.skip(4)?;
        t.name = body.string::<32>()?;
        (t.metadata_match, t.metadata_write) = (body.u64()?, body.u64()?);
        (t.capabilities, t.max_entries) = (body.u32()?, body.u32()?);
        let mut seen = 0u32;
        while !body.is_empty() {
            let prop = props::next(&mut body, &[0xfffe, 0xffff])?;
            if !t.take(&prop)? {
                if unknown == Unknown::Refused {
                    return Err(prop.unknown());
                }
                continue;
            }
            if seen & 1 << prop.kind != 0 {
                return Err(OfpError::OFPBPC_DUP_TYPE);
            }
            seen |= 1 << prop.kind;
        }
        t.bare = seen == 0 && version == Version::V15;
        if !t.bare {
            t.complete(seen)?;
        }
        Ok(t)
    }

    /// Reads a property; false if there is none of that type.
    fn take(&mut self, prop: &props::Prop<'_>) -> Result<bool> {
        let side = if prop.kind.is_multiple_of(2) { &mut self.flows } else { &mut self.miss };
        let mut v = prop.payload;
        match prop.kind {
            0 | 1 => side.instructions = types(&mut v)?,
            2 | 3 => side.next = v.take_rest().to_vec(),
            4 | 5 => side.write.actions = types(&mut v)?,
            6 | 7 => side.apply.actions = types(&mut v)?,
            8 => self.matches = fields(&mut v)?,
            10 => self.wildcards = fields(&mut v)?.into_iter().map(|(f, _)| f).collect(),
            12 | 13 => side.write.set_fields = fields(&mut v)?.into_iter().map(|(f, _)| f).collect(),
            14 | 15 => side.apply.set_fields = fields(&mut v)?.into_iter().map(|(f, _)| f).collect(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Checks that nothing necessary is missing, and fills in what was left out of the miss.
    fn complete(&mut self, seen: u32) -> Result<()> {
        const NECESSARY: u32 = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 12 | 1 << 14;
        if seen & NECESSARY != NECESSARY {
            return Err(OfpError::OFPTFFC_BAD_TABLE);
        }
        let missing = |kind: u32| seen & 1 << kind == 0;
        if missing(1) {
            self.miss.instructions = self.flows.instructions;
        }
        if missing(3) {
            self.miss.next = self.flows.next.clone();
        }
        if missing(5) {
            self.miss.write.actions = self.flows.write.actions;
        }
        if missing(7) {
            self.miss.apply.actions = self.flows.apply.actions;
        }
        if missing(13) {
            self.miss.write.set_fields = self.flows.write.set_fields.clone();
        }
        if missing(15) {
            self.miss.apply.set_fields = self.flows.apply.set_fields.clone();
        }
        Ok(())
    }

    fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let at = out.len();
        out.put_u16(0);
        out.put(&[self.table_id, self.command]);
        out.put_zeros(4);
        out.put_string(&self.name, 32);
        out.put_u64(self.metadata_match);
        out.put_u64(self.metadata_write);
        out.put_u32(self.capabilities);
        out.put_u32(self.max_entries);
        if self.bare {
            return out.set_len16(at, at);
        }
        for (miss, side) in [(0, &self.flows), (1, &self.miss)] {
            put_types(out, miss, side.instructions);
            props::put(out, 2 + miss, &side.next);
            put_types(out, 4 + miss, side.write.actions);
            put_fields(out, 12 + miss, version, side.write.set_fields.iter().map(|f| (*f, false)));
            put_types(out, 6 + miss, side.apply.actions);
            put_fields(out, 14 + miss, version, side.apply.set_fields.iter().map(|f| (*f, false)));
        }
        put_fields(out, 8, version, self.matches.iter().copied());
        put_fields(out, 10, version, self.wildcards.iter().map(|f| (*f, false)));
        out.set_len16(at, at);
    }
}

/// What is done with properties that are not known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Ignored,
    Refused,
}

/// A list of types with their lengths, as bits.
fn types(v: &mut Reader<'_>) -> Result<u32> {
    let mut bits = 0;
    while !v.is_empty() {
        let kind = v.u16().map_err(|_| OfpError::OFPBPC_BAD_LEN)?;
        let len = usize::from(v.u16().map_err(|_| OfpError::OFPBPC_BAD_LEN)?);
        let rest = len.checked_sub(4).ok_or(OfpError::OFPBPC_BAD_LEN)?;
        v.skip(rest).map_err(|_| OfpError::OFPBPC_BAD_LEN)?;
        if kind < 32 {
            bits |= 1 << kind;
        }
    }
    Ok(bits)
}

fn put_types(out: &mut Vec<u8>, kind: u16, bits: u32) {
    let at = props::begin(out, kind);
    for n in (0..32).filter(|n| bits >> n & 1 != 0) {
        out.put_u16(n);
        out.put_u16(4);
    }
    props::end(out, at);
}

/// A list of headers: the fields that are known, and whether each has its mask bit.
fn fields(v: &mut Reader<'_>) -> Result<Vec<(Field, bool)>> {
    let mut all = Vec::new();
    while !v.is_empty() {
        match oxm::pull_header(v.rest()) {
            Ok((field, masked, len)) => {
                all.push((field, masked));
                v.skip(len)?;
            }
            Err(OfpError::OFPBMC_BAD_LEN) => return Err(OfpError::OFPBPC_BAD_LEN),
            Err(_) => {
                let experimenter = v.u16()? == 0xffff;
                v.skip(if experimenter { 6 } else { 2 }).map_err(|_| OfpError::OFPBPC_BAD_LEN)?;
            }
        }
    }
    Ok(all)
}

fn put_fields(out: &mut Vec<u8>, kind: u16, version: Version, fields: impl Iterator<Item = (Field, bool)>) {
    let at = props::begin(out, kind);
    for (field, masked) in fields {
        let start = out.len();
        oxm::put_header(field, Numbering::Oxm(version), out);
        if masked && let Some([_, _, mask, len]) = out.get_mut(start..start + 4) {
            *mask |= 1;
            *len += field.def().bytes;
        }
    }
    props::end(out, at);
}

/// Decodes the tables of a reply or a request.
pub(super) fn decode(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<Vec<TableFeatures>> {
    let unknown = if raw == Raw::Ofpst13TableFeaturesReply { Unknown::Ignored } else { Unknown::Refused };
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(TableFeatures::decode(&mut r, version, unknown)?);
    }
    Ok(all)
}

/// Appends the message, split into as many as it takes.
pub(super) fn encode(tables: &[TableFeatures], raw: Raw, version: Version, xid: u32, out: &mut Vec<u8>) {
    let mut parts = Parts::new(out, raw, version.wire(), xid);
    for table in tables {
        parts.record(|out| table.encode(version, out));
    }
    parts.finish();
}
