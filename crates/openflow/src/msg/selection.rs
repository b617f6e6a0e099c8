//! The selection method of a select group: which fields its hash looks at.
//!
//! Where it sits: a property of GROUP_MOD and of group descriptions in the layout of OpenFlow 1.5.
//!
//! Spec: Netronome's group property 1; ovs-ofctl(8), "Group Syntax".

use flow::Field;

use crate::matches::oxm;
use crate::{Bits, OfpError, PutBytes, Version, field};

use super::group::{GroupCommand, GroupType};
use super::{PutBody, Reader, Result, props};

const NTR: u32 = 0x154d;
/// What Open vSwitch 2.4 sent by mistake.
const NTR_COMPAT: u32 = 0x1540;

/// How a select group chooses its bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectionMethod {
    /// `hash`, `dp_hash`, or empty for the switch's own way.
    pub name: String,
    /// Its parameter, the basis of the hash.
    pub param: u64,
    /// The hashed fields, each with the bits that count.
    pub fields: Vec<(Field, Bits)>,
}

impl SelectionMethod {
    /// Reads group properties; `command` is that of a group mod, `None` in a description.
    pub(super) fn decode_properties(
        mut r: Reader<'_>,
        kind: u8,
        command: Option<u16>,
    ) -> Result<SelectionMethod> {
        let mut found = SelectionMethod::default();
        while !r.is_empty() {
            let prop = props::next(&mut r, &[0xffff])?;
            match prop.experimenter {
                Some((NTR | NTR_COMPAT, 1)) => found = decode(prop.payload, kind, command)?,
                _ => return Err(prop.unknown()),
            }
        }
        Ok(found)
    }

    /// Appends the property, if there is something to say.
    pub(super) fn encode_property(&self, out: &mut Vec<u8>) {
        if self.name.is_empty() {
            return;
        }
        let at = props::begin(out, 0xffff);
        out.put_u32(NTR);
        out.put_u32(1);
        out.put_zeros(4);
        out.put_string(&self.name, 16);
        out.put_u64(self.param);
        for (field, mask) in &self.fields {
            oxm::put_entry_as(*field, mask, None, oxm::Numbering::Oxm(Version::V15), out);
        }
        props::end(out, at);
    }
}

fn decode(mut r: Reader<'_>, kind: u8, command: Option<u16>) -> Result<SelectionMethod> {
    let bad = |_| OfpError::OFPBPC_BAD_LEN;
    let takes = |c: &u16| {
        [GroupCommand::Add, GroupCommand::Modify, GroupCommand::AddOrModify].iter().any(|k| *k as u16 == *c)
    };
    if kind != GroupType::Select as u8 || !command.as_ref().is_none_or(takes) {
        return Err(OfpError::OFPBPC_BAD_VALUE);
    }
    r.skip(4).map_err(bad)?;
    let raw: [u8; 16] = r.array().map_err(bad)?;
    let param = r.u64().map_err(bad)?;
    let end = raw.iter().position(|b| *b == 0).ok_or(OfpError::OFPBPC_BAD_VALUE)?;
    let name = String::from_utf8_lossy(raw.get(..end).unwrap_or_default()).into_owned();
    if !matches!(name.as_str(), "hash" | "dp_hash") {
        return Err(OfpError::OFPBPC_BAD_VALUE);
    }
    if name != "hash" && !r.is_empty() {
        return Err(OfpError::OFPBPC_BAD_VALUE);
    }
    Ok(SelectionMethod { name, param, fields: decode_fields(r.take_rest())? })
}

/// Entries without masks, whose values are masks.
fn decode_fields(mut data: &[u8]) -> Result<Vec<(Field, Bits)>> {
    let mut fields: Vec<(Field, Bits)> = Vec::new();
    while !data.is_empty() {
        let (field, masked, _) = oxm::pull_header(data)?;
        if masked {
            return Err(OfpError::OFPBMC_BAD_WILDCARDS);
        }
        let (oxm::Entry { value: mask, .. }, len) = oxm::pull_entry(data)?;
        if fields.iter().any(|(f, _)| *f == field) {
            return Err(OfpError::OFPBMC_DUP_FIELD);
        }
        if !field.def().maskable && !mask.is_empty() && mask != field::full_mask(field) {
            return Err(OfpError::OFPBMC_BAD_MASK);
        }
        fields.push((field, mask));
        data = data.get(len..).unwrap_or_default();
    }
    fields.sort_by_key(|(f, _)| *f);
    Ok(fields)
}
