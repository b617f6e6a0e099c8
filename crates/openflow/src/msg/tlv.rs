//! The TLV table: which Geneve option is which `tun_metadata` field.
//!
//! Where it sits: `add-tlv-map`, `del-tlv-map` and `dump-tlv-map` on both sides. Spec: ovs-fields(7), "TUNNEL FIELDS".

use crate::{OfpError, PutBytes};

use super::{Reader, Result};

/// One row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlvMap {
    /// The option's class.
    pub class: u16,
    /// The option's type.
    pub kind: u8,
    /// Its length in bytes.
    pub len: u8,
    /// The field's number.
    pub index: u16,
}

/// What is done to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs, reason = "named after the messages")]
pub enum TlvCommand {
    Add = 0,
    Delete = 1,
    Clear = 2,
}

/// Body of NXT_TLV_TABLE_MOD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTableMod {
    /// What is done.
    pub command: TlvCommand,
    /// With which rows.
    pub maps: Vec<TlvMap>,
}

/// Body of NXT_TLV_TABLE_REPLY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlvTable {
    /// Bytes that all options together may take.
    pub max_option_space: u32,
    /// How many fields there are.
    pub max_fields: u16,
    /// The rows.
    pub maps: Vec<TlvMap>,
}

/// How many fields this switch has.
const N_FIELDS: u16 = 64;

fn decode_maps(mut r: Reader<'_>, n_fields: u16) -> Result<Vec<TlvMap>> {
    let mut maps = Vec::new();
    while !r.is_empty() {
        let map = TlvMap { class: r.u16()?, kind: r.u8()?, len: r.u8()?, index: r.u16()? };
        r.skip(2)?;
        if !map.len.is_multiple_of(4) || map.len > 124 {
            return Err(OfpError::NXTTMFC_BAD_OPT_LEN);
        }
        if map.index >= n_fields {
            return Err(OfpError::NXTTMFC_BAD_FIELD_IDX);
        }
        maps.push(map);
    }
    Ok(maps)
}

fn encode_maps(maps: &[TlvMap], out: &mut Vec<u8>) {
    for map in maps {
        out.put_u16(map.class);
        out.put_u8(map.kind);
        out.put_u8(map.len);
        out.put_u16(map.index);
        out.put_zeros(2);
    }
}

impl TlvTableMod {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<TlvTableMod> {
        let command = match r.u16()? {
            0 => TlvCommand::Add,
            1 => TlvCommand::Delete,
            2 => TlvCommand::Clear,
            _ => return Err(OfpError::NXTTMFC_BAD_COMMAND),
        };
        r.skip(6)?;
        Ok(TlvTableMod { command, maps: decode_maps(r, N_FIELDS)? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u16(self.command as u16);
        out.put_zeros(6);
        encode_maps(&self.maps, out);
    }
}

impl TlvTable {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<TlvTable> {
        let (max_option_space, max_fields) = (r.u32()?, r.u16()?);
        r.skip(10)?;
        Ok(TlvTable { max_option_space, max_fields, maps: decode_maps(r, max_fields)? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.max_option_space);
        out.put_u16(self.max_fields);
        out.put_zeros(10);
        encode_maps(&self.maps, out);
    }
}
