//! TABLE statistics.
//!
//! Where it sits: `dump-tables` on both sides.
//!
//! The versions before 1.3 mix counters with what a table can do; that part is kept as the version's own bitmaps
//! ([`TableCaps`]). Spec: OpenFlow 1.5.1 section 7.3.5.6; 1.2 section A.3.5.3.

use crate::{PutBytes, Version};

use super::header::Parts;
use super::raw::Raw;
use super::{PutBody, Reader, Result};

/// Counters of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// The table.
    pub table_id: u8,
    /// Its name; 1.0 to 1.2 carry it.
    pub name: String,
    /// Flows that it can hold; 1.0 to 1.2 carry it.
    pub max_entries: u32,
    /// Flows in it.
    pub active_count: u32,
    /// Packets looked up.
    pub lookup_count: u64,
    /// Packets that found a flow.
    pub matched_count: u64,
    /// What it can do; 1.0 to 1.2 carry it.
    pub caps: TableCaps,
}

/// What a table can do, in the bitmaps of 1.2; 1.0 and 1.1 have some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCaps {
    /// Fields that can be wildcarded: 1.0's and 1.1's wildcard bits, 1.2's OXM numbers.
    pub wildcards: u64,
    /// Fields that can be matched (1.1, 1.2).
    pub matches: u64,
    /// Actions in write-actions (1.1, 1.2).
    pub write_actions: u32,
    /// Actions in apply-actions (1.1, 1.2).
    pub apply_actions: u32,
    /// Fields that write-actions can set (1.2).
    pub write_setfields: u64,
    /// Fields that apply-actions can set (1.2).
    pub apply_setfields: u64,
    /// Bits of metadata that can be matched (1.2).
    pub metadata_match: u64,
    /// Bits of metadata that can be written (1.2).
    pub metadata_write: u64,
    /// Instructions (1.1, 1.2).
    pub instructions: u32,
    /// What happens on a miss (1.1, 1.2).
    pub config: u32,
}

impl TableCaps {
    /// What every table of this switch can do, as `version` says it; `last` is the table that no other follows.
    pub fn of_switch(version: Version, last: bool) -> TableCaps {
        let instructions = if last { 0x3c } else { 0x3e };
        match version {
            Version::V10 => TableCaps { wildcards: 0x3f_ffff, ..TableCaps::default() },
            Version::V11 => TableCaps {
                wildcards: 0xfbff,
                matches: 0xfbff,
                write_actions: 0x01ff_e7ff,
                apply_actions: 0x01ff_e7ff,
                instructions,
                ..TableCaps::default()
            },
            Version::V12 => TableCaps {
                wildcards: 0x101f_ffff_fffd,
                matches: 0x101f_ffff_fffd,
                write_actions: 0x03ff_8001,
                apply_actions: 0x03ff_8001,
                write_setfields: 0xf_ffff_fbdd,
                apply_setfields: 0xf_ffff_fbdd,
                metadata_match: u64::MAX,
                metadata_write: u64::MAX,
                instructions,
                config: 0,
            },
            Version::V13 | Version::V14 | Version::V15 => TableCaps::default(),
        }
    }
}

impl TableStats {
    fn decode(version: Version, r: &mut Reader<'_>) -> Result<TableStats> {
        let mut ts = TableStats { table_id: r.u8()?, ..TableStats::default() };
        let caps = &mut ts.caps;
        match version {
            Version::V10 => {
                r.skip(3)?;
                ts.name = r.string::<32>()?;
                caps.wildcards = u64::from(r.u32()?);
            }
            Version::V11 => {
                r.skip(7)?;
                ts.name = r.string::<32>()?;
                (caps.wildcards, caps.matches) = (u64::from(r.u32()?), u64::from(r.u32()?));
                (caps.instructions, caps.write_actions) = (r.u32()?, r.u32()?);
                (caps.apply_actions, caps.config) = (r.u32()?, r.u32()?);
            }
            Version::V12 => {
                r.skip(7)?;
                ts.name = r.string::<32>()?;
                (caps.matches, caps.wildcards) = (r.u64()?, r.u64()?);
                (caps.write_actions, caps.apply_actions) = (r.u32()?, r.u32()?);
                (caps.write_setfields, caps.apply_setfields) = (r.u64()?, r.u64()?);
                (caps.metadata_match, caps.metadata_write) = (r.u64()?, r.u64()?);
                (caps.instructions, caps.config) = (r.u32()?, r.u32()?);
            }
            Version::V13 | Version::V14 | Version::V15 => r.skip(3)?,
        }
        if version < Version::V13 {
            ts.max_entries = r.u32()?;
        }
        (ts.active_count, ts.lookup_count, ts.matched_count) = (r.u32()?, r.u64()?, r.u64()?);
        Ok(ts)
    }

    fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let caps = &self.caps;
        out.put_u8(self.table_id);
        out.put_zeros(if matches!(version, Version::V11 | Version::V12) { 7 } else { 3 });
        if version < Version::V13 {
            out.put_string(&self.name, 32);
        }
        match version {
            Version::V10 => out.put_u32(caps.wildcards as u32),
            Version::V11 => {
                for n in [caps.wildcards as u32, caps.matches as u32, caps.instructions] {
                    out.put_u32(n);
                }
                for n in [caps.write_actions, caps.apply_actions, caps.config] {
                    out.put_u32(n);
                }
            }
            Version::V12 => {
                out.put_u64(caps.matches);
                out.put_u64(caps.wildcards);
                out.put_u32(caps.write_actions);
                out.put_u32(caps.apply_actions);
                for n in
                    [caps.write_setfields, caps.apply_setfields, caps.metadata_match, caps.metadata_write]
                {
                    out.put_u64(n);
                }
                out.put_u32(caps.instructions);
                out.put_u32(caps.config);
            }
            Version::V13 | Version::V14 | Version::V15 => {}
        }
        if version < Version::V13 {
            out.put_u32(self.max_entries);
        }
        out.put_u32(self.active_count);
        out.put_u64(self.lookup_count);
        out.put_u64(self.matched_count);
    }
}

/// Decodes all records of a reply.
pub(super) fn decode(version: Version, mut r: Reader<'_>) -> Result<Vec<TableStats>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(TableStats::decode(version, &mut r)?);
    }
    Ok(all)
}

/// Appends the reply, split into as many messages as it takes.
pub(super) fn encode(tables: &[TableStats], version: Version, xid: u32, out: &mut Vec<u8>) {
    let raw = match version {
        Version::V10 => Raw::Ofpst10TableReply,
        Version::V11 => Raw::Ofpst11TableReply,
        Version::V12 => Raw::Ofpst12TableReply,
        Version::V13 | Version::V14 | Version::V15 => Raw::Ofpst13TableReply,
    };
    let mut parts = Parts::new(out, raw, version.wire(), xid);
    for table in tables {
        parts.record(|out| table.encode(version, out));
    }
    parts.finish();
}
