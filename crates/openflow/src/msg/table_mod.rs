//! TABLE_MOD, table descriptions and TABLE_STATUS: misses, eviction and vacancy events of a table.
//!
//! Where it sits: `mod-table` and `dump-table-desc` on both sides.
//!
//! Before 1.4 the word of configuration says what happens on a miss; since 1.4 it says eviction and vacancy events.
//!
//! Spec: OpenFlow 1.5.1 sections 7.3.3, 7.3.5.17 and 7.4.5.

use crate::{OfpError, PutBytes, Version};

use super::raw::Raw;
use super::{PutBody, Reader, Result, header, props};

const EVICTION: u32 = 1 << 2;
const VACANCY: u32 = 1 << 3;

/// What happens to a packet that matches no flow of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the specification")]
pub enum TableMiss {
    #[default]
    Default,
    Controller,
    Continue,
    Drop,
}

/// When a table says that it fills or empties, in percent of free room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacancy {
    /// It says so below this.
    pub down: u8,
    /// It says so above this.
    pub up: u8,
    /// What is free now; zero in TABLE_MOD.
    pub now: u8,
}

impl Vacancy {
    fn decode(mut r: Reader<'_>) -> Result<Vacancy> {
        if r.len() != 4 {
            return Err(OfpError::OFPBPC_BAD_LEN);
        }
        Ok(Vacancy { down: r.u8()?, up: r.u8()?, now: r.u8()? })
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.put_u16(3);
        out.put_u16(8);
        out.put(&[self.down, self.up, self.now, 0]);
    }
}

/// Body of TABLE_MOD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableMod {
    /// The table; 255 for all.
    pub table_id: u8,
    /// What a miss does; up to 1.2 carry it.
    pub miss: TableMiss,
    /// Whether flows may be evicted; `None`: as it is. Since 1.4.
    pub eviction: Option<bool>,
    /// What eviction looks at, where the message says so.
    pub eviction_flags: Option<u32>,
    /// Whether vacancy events are sent; `None`: as it is. Since 1.4.
    pub vacancy: Option<bool>,
    /// Their thresholds.
    pub table_vacancy: Vacancy,
}

impl TableMod {
    pub(super) fn decode(version: Version, mut r: Reader<'_>) -> Result<TableMod> {
        let table_id = r.u8()?;
        r.skip(3)?;
        let config = r.u32()?;
        let mut tm = TableMod { table_id, ..TableMod::default() };
        if version < Version::V14 {
            tm.miss = miss_of(version, config);
            return Ok(tm);
        }
        (tm.eviction, tm.vacancy) = (Some(config & EVICTION != 0), Some(config & VACANCY != 0));
        while !r.is_empty() {
            let prop = props::next(&mut r, &[0xffff])?;
            match prop.kind {
                2 => tm.eviction_flags = Some(prop.u32()?),
                3 => {
                    tm.table_vacancy = Vacancy::decode(prop.payload)?;
                    let v = tm.table_vacancy;
                    if v.now != 0 || v.down > v.up || v.up > 100 {
                        return Err(OfpError::OFPBPC_BAD_VALUE);
                    }
                }
                _ => return Err(OfpError::OFPBRC_BAD_TYPE),
            }
        }
        Ok(tm)
    }

    pub(super) fn encode(&self, version: Version, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let raw = Raw::pick(&[Raw::Ofpt11TableMod, Raw::Ofpt14TableMod], version.wire());
        let at = header::start(out, raw.ok_or(OfpError::OFPBRC_BAD_VERSION)?, version.wire(), xid);
        out.put_u8(self.table_id);
        out.put_zeros(3);
        if version < Version::V14 {
            out.put_u32(if version < Version::V13 { miss_bits(self.miss) } else { 0 });
        } else {
            let bit = |on: Option<bool>, bit| if on == Some(true) { bit } else { 0 };
            out.put_u32(bit(self.eviction, EVICTION) | bit(self.vacancy, VACANCY));
            if let Some(flags) = self.eviction_flags {
                props::put_u32(out, 2, flags);
            }
            if self.vacancy == Some(true) {
                self.table_vacancy.encode(out);
            }
        }
        header::finish(out, at);
        Ok(())
    }
}

fn miss_of(version: Version, config: u32) -> TableMiss {
    if version >= Version::V13 {
        return TableMiss::Default;
    }
    match config & 3 {
        1 => TableMiss::Continue,
        2 => TableMiss::Drop,
        _ => TableMiss::Controller,
    }
}

fn miss_bits(miss: TableMiss) -> u32 {
    match miss {
        TableMiss::Default | TableMiss::Controller => 0,
        TableMiss::Continue => 1,
        TableMiss::Drop => 2,
    }
}

/// What a table is set to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableDesc {
    /// The table.
    pub table_id: u8,
    /// Flows may be evicted.
    pub eviction: bool,
    /// What eviction looks at; zero: nothing was said.
    pub eviction_flags: Option<u32>,
    /// Vacancy events are sent, by these thresholds.
    pub vacancy: Option<Vacancy>,
}

impl TableDesc {
    fn decode(r: &mut Reader<'_>) -> Result<TableDesc> {
        let len = usize::from(Reader::new(r.rest()).u16()?);
        let body = len.checked_sub(8).ok_or(OfpError::OFPBRC_BAD_LEN)?;
        let mut record = r.sub(8 + body)?;
        record.skip(2)?;
        let table_id = record.u8()?;
        record.skip(1)?;
        let config = record.u32()?;
        let mut desc = TableDesc { table_id, eviction: config & EVICTION != 0, ..TableDesc::default() };
        let mut vacancy = Vacancy::default();
        while !record.is_empty() {
            let prop = props::next(&mut record, &[0xffff])?;
            match prop.kind {
                2 => desc.eviction_flags = Some(prop.u32()?),
                3 => vacancy = Vacancy::decode(prop.payload)?,
                _ => {}
            }
        }
        desc.vacancy = (config & VACANCY != 0).then_some(vacancy);
        Ok(desc)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u16(0);
        out.put_u8(self.table_id);
        out.put_u8(0);
        out.put_u32(if self.eviction { EVICTION } else { 0 } | self.vacancy.map_or(0, |_| VACANCY));
        if let Some(flags) = self.eviction_flags {
            props::put_u32(out, 2, flags);
        }
        if let Some(vacancy) = self.vacancy {
            vacancy.encode(out);
        }
        out.set_len16(start, start);
    }
}

/// Decodes all records of a TABLE_DESC reply.
pub(super) fn decode_descs(mut r: Reader<'_>) -> Result<Vec<TableDesc>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(TableDesc::decode(&mut r)?);
    }
    Ok(all)
}

/// Why a table says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TableReason {
    /// It fills.
    VacancyDown = 3,
    /// It empties.
    VacancyUp = 4,
}

/// Body of TABLE_STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Why.
    pub reason: TableReason,
    /// The table as it is.
    pub desc: TableDesc,
}

impl TableStatus {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<TableStatus> {
        let reason = match r.u8()? {
            3 => TableReason::VacancyDown,
            4 => TableReason::VacancyUp,
            _ => return Err(OfpError::OFPBPC_BAD_VALUE),
        };
        r.skip(7)?;
        Ok(TableStatus { reason, desc: TableDesc::decode(&mut r)? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.reason as u8);
        out.put_zeros(7);
        self.desc.encode(out);
    }
}
