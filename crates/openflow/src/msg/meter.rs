//! Meters: METER_MOD, statistics, configuration and features.
//!
//! Where it sits: `meter` instructions and actions send packets to what these messages define.
//!
//! Spec: OpenFlow 1.5.1 sections 7.3.4.5 and 7.3.5.13 to 7.3.5.15.

use crate::{OfpError, PutBytes, Version};

use super::flow_stats::Age;
use super::raw::Raw;
use super::{PutBody, Reader, Result, header};

/// Meter numbers with a meaning of their own.
#[allow(missing_docs, reason = "named after the specification")]
pub mod meter_id {
    pub const MAX: u32 = 0xffff_0000;
    pub const SLOWPATH: u32 = 0xffff_fffd;
    pub const CONTROLLER: u32 = 0xffff_fffe;
    pub const ALL: u32 = 0xffff_ffff;
}

bitflags::bitflags! {
    /// How a meter measures; unknown bits are kept, for the switch to refuse.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MeterFlags: u16 {
        /// Rates are kilobits a second.
        const KBPS = 1 << 0;
        /// Rates are packets a second.
        const PKTPS = 1 << 1;
        /// Bands have burst sizes.
        const BURST = 1 << 2;
        /// It counts.
        const STATS = 1 << 3;
        const _ = !0;
    }
}

/// What happens above a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    /// The packet is dropped.
    Drop,
    /// Its drop precedence goes up by this.
    DscpRemark(u8),
}

/// One band of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterBand {
    /// What happens.
    pub kind: BandKind,
    /// Above which rate.
    pub rate: u32,
    /// And burst.
    pub burst_size: u32,
}

impl MeterBand {
    fn decode(r: &mut Reader<'_>) -> Result<MeterBand> {
        if r.len() < 16 {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        let mut head = Reader::new(r.rest());
        let (kind, len) = (head.u16()?, usize::from(head.u16()?));
        if len > r.len() || len != 16 {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        if !matches!(kind, 1 | 2) {
            return Err(OfpError::OFPMMFC_BAD_BAND);
        }
        let mut r = r.sub(len)?;
        r.skip(4)?;
        let (rate, burst_size) = (r.u32()?, r.u32()?);
        let kind = if kind == 1 { BandKind::Drop } else { BandKind::DscpRemark(r.u8()?) };
        Ok(MeterBand { kind, rate, burst_size })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, level) = match self.kind {
            BandKind::Drop => (1, 0),
            BandKind::DscpRemark(level) => (2, level),
        };
        out.put_u16(kind);
        out.put_u16(16);
        out.put_u32(self.rate);
        out.put_u32(self.burst_size);
        out.put_u8(level);
        out.put_zeros(3);
    }
}

fn decode_bands(mut r: Reader<'_>) -> Result<Vec<MeterBand>> {
    let mut bands = Vec::new();
    while !r.is_empty() {
        bands.push(MeterBand::decode(&mut r)?);
    }
    Ok(bands)
}

/// What a meter is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterConfig {
    /// The meter.
    pub meter_id: u32,
    /// How it measures.
    pub flags: MeterFlags,
    /// Its bands.
    pub bands: Vec<MeterBand>,
}

/// What is done to a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs, reason = "named after the specification")]
pub enum MeterCommand {
    Add = 0,
    Modify = 1,
    Delete = 2,
}

/// Body of METER_MOD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterMod {
    /// What is done.
    pub command: MeterCommand,
    /// The meter; deleting looks at its number only.
    pub meter: MeterConfig,
}

impl MeterMod {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<MeterMod> {
        let command = match r.u16()? {
            0 => MeterCommand::Add,
            1 => MeterCommand::Modify,
            2 => MeterCommand::Delete,
            _ => return Err(OfpError::OFPMMFC_BAD_COMMAND),
        };
        let flags = MeterFlags::from_bits_retain(r.u16()?);
        let meter_id = r.u32()?;
        if command == MeterCommand::Delete {
            return Ok(MeterMod { command, meter: MeterConfig { meter_id, ..MeterConfig::default() } });
        }
        if flags.contains(MeterFlags::KBPS | MeterFlags::PKTPS) {
            return Err(OfpError::OFPMMFC_BAD_FLAGS);
        }
        Ok(MeterMod { command, meter: MeterConfig { meter_id, flags, bands: decode_bands(r)? } })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u16(self.command as u16);
        out.put_u16(self.meter.flags.bits());
        out.put_u32(self.meter.meter_id);
        self.meter.bands.iter().for_each(|band| band.encode(out));
    }
}

/// Decodes the records of a METER_CONFIG reply.
pub(super) fn decode_configs(mut r: Reader<'_>) -> Result<Vec<MeterConfig>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        if r.len() < 8 {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        let len = usize::from(Reader::new(r.rest()).u16()?);
        let bands = len.checked_sub(8).ok_or(OfpError::OFPBRC_BAD_LEN)?;
        let mut record = r.sub(8 + bands)?;
        record.skip(2)?;
        let flags = MeterFlags::from_bits_retain(record.u16()?);
        all.push(MeterConfig { meter_id: record.u32()?, flags, bands: decode_bands(record)? });
    }
    Ok(all)
}

/// Appends a METER_CONFIG reply.
pub(super) fn encode_configs(meters: &[MeterConfig], version: Version, xid: u32, out: &mut Vec<u8>) {
    let mut parts = header::Parts::new(out, Raw::Ofpst13MeterConfigReply, version.wire(), xid);
    for meter in meters {
        parts.record(|out| {
            let start = out.len();
            out.put_u16(0);
            out.put_u16(meter.flags.bits());
            out.put_u32(meter.meter_id);
            meter.bands.iter().for_each(|band| band.encode(out));
            out.set_len16(start, start);
        });
    }
    parts.finish();
}

/// Counters of a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterStats {
    /// The meter.
    pub meter_id: u32,
    /// Flows that point at it.
    pub flow_count: u32,
    /// Packets that came to it.
    pub packet_in_count: u64,
    /// Bytes that came to it.
    pub byte_in_count: u64,
    /// How long it exists.
    pub duration: Age,
    /// Packets and bytes that each band was applied to.
    pub bands: Vec<(u64, u64)>,
}

/// Decodes the records of a METER reply.
pub(super) fn decode_stats(mut r: Reader<'_>) -> Result<Vec<MeterStats>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let mut head = Reader::new(r.rest());
        head.skip(4)?;
        let len = usize::from(head.u16()?);
        let bands = len.checked_sub(40).ok_or(OfpError::OFPBRC_BAD_LEN)?;
        let mut record = r.sub(40 + bands)?;
        let meter_id = record.u32()?;
        record.skip(8)?;
        let flow_count = record.u32()?;
        let (packet_in_count, byte_in_count) = (record.u64()?, record.u64()?);
        let duration = Age::decode(&mut record)?;
        if bands % 16 != 0 {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        let mut bands = Vec::new();
        while !record.is_empty() {
            bands.push((record.u64()?, record.u64()?));
        }
        all.push(MeterStats { meter_id, flow_count, packet_in_count, byte_in_count, duration, bands });
    }
    Ok(all)
}

/// Appends a METER reply.
pub(super) fn encode_stats(meters: &[MeterStats], version: Version, xid: u32, out: &mut Vec<u8>) {
    let mut parts = header::Parts::new(out, Raw::Ofpst13MeterReply, version.wire(), xid);
    for meter in meters {
        parts.record(|out| {
            let start = out.len();
            out.put_u32(meter.meter_id);
            out.put_zeros(8);
            out.put_u32(meter.flow_count);
            out.put_u64(meter.packet_in_count);
            out.put_u64(meter.byte_in_count);
            meter.duration.encode(out);
            for (packets, bytes) in &meter.bands {
                out.put_u64(*packets);
                out.put_u64(*bytes);
            }
            out.set_len16(start + 4, start);
        });
    }
    parts.finish();
}

/// What meters a switch can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterFeatures {
    /// How many.
    pub max_meters: u32,
    /// A bit per type of band.
    pub band_types: u32,
    /// The flags that it knows.
    pub capabilities: u32,
    /// Bands a meter.
    pub max_bands: u8,
    /// Colours.
    pub max_color: u8,
}

impl MeterFeatures {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<MeterFeatures> {
        Ok(MeterFeatures {
            max_meters: r.u32()?,
            band_types: r.u32()?,
            capabilities: r.u32()?,
            max_bands: r.u8()?,
            max_color: r.u8()?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.max_meters);
        out.put_u32(self.band_types);
        out.put_u32(self.capabilities);
        out.put_u8(self.max_bands);
        out.put_u8(self.max_color);
        out.put_zeros(2);
    }
}
