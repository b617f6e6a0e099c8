//! Statistics, descriptions and features of groups.
//!
//! Where it sits: `dump-group-stats`, `dump-groups` and `dump-group-features` on both sides.
//!
//! Spec: OpenFlow 1.5.1 sections 7.3.5.9 to 7.3.5.11.

use crate::{OfpError, PutBytes, Version};

use super::flow_stats::Age;
use super::group::{self, Bucket, GroupType};
use super::raw::Raw;
use super::selection::SelectionMethod;
use super::{PutBody, Reader, Result, header};

/// Counters of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// The group.
    pub group_id: u32,
    /// Flows and groups that point at it.
    pub ref_count: u32,
    /// Packets, all-ones: unknown.
    pub packet_count: u64,
    /// Bytes, all-ones: unknown.
    pub byte_count: u64,
    /// How long it exists; 1.1 and 1.2 do not carry it.
    pub duration: Option<Age>,
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

impl GroupStats {
    fn decode(raw: Raw, r: &mut Reader<'_>) -> Result<GroupStats> {
        let fixed = if raw == Raw::Ofpst11GroupReply { 32 } else { 40 };
        let len = usize::from(Reader::new(r.rest()).u16()?);
        // Only whole counters count; what is left of the length is not there.
        let rest = len.checked_sub(fixed).ok_or(OfpError::OFPBRC_BAD_LEN)? / 16 * 16;
        let mut r = r.sub(fixed + rest)?;
        r.skip(4)?;
        let (group_id, ref_count) = (r.u32()?, r.u32()?);
        r.skip(4)?;
        let (packet_count, byte_count) = (r.u64()?, r.u64()?);
        let duration = if fixed == 40 { Some(Age::decode(&mut r)?) } else { None };
        let mut buckets = Vec::new();
        while !r.is_empty() {
            buckets.push((r.u64()?, r.u64()?));
        }
        Ok(GroupStats { group_id, ref_count, packet_count, byte_count, duration, buckets })
    }

    fn encode(&self, raw: Raw, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u32(0);
        out.put_u32(self.group_id);
        out.put_u32(self.ref_count);
        out.put_zeros(4);
        out.put_u64(self.packet_count);
        out.put_u64(self.byte_count);
        if raw != Raw::Ofpst11GroupReply {
            self.duration.unwrap_or_default().encode(out);
        }
        for (packets, bytes) in &self.buckets {
            out.put_u64(*packets);
            out.put_u64(*bytes);
        }
        out.set_len16(start, start);
    }
}

/// Decodes all records of a statistics reply.
pub(super) fn decode_stats(raw: Raw, mut r: Reader<'_>) -> Result<Vec<GroupStats>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(GroupStats::decode(raw, &mut r)?);
    }
    Ok(all)
}

/// Appends the statistics reply.
pub(super) fn encode_stats(
    groups: &[GroupStats],
    version: Version,
    xid: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    let rows = [Raw::NxstGroupReply, Raw::Ofpst11GroupReply, Raw::Ofpst13GroupReply];
    let raw = Raw::pick(&rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
    let mut parts = header::Parts::new(out, raw, version.wire(), xid);
    for group in groups {
        parts.record(|out| group.encode(raw, out));
    }
    parts.finish();
    Ok(())
}

/// What a group is.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupDesc {
    /// The type.
    pub kind: GroupType,
    /// The group.
    pub group_id: u32,
    /// How select chooses; 1.5 and Nicira's form of 1.0 carry it.
    pub selection: SelectionMethod,
    /// The buckets.
    pub buckets: Vec<Bucket>,
}

impl GroupDesc {
    fn decode(raw: Raw, version: Version, r: &mut Reader<'_>) -> Result<GroupDesc> {
        let of15 = raw == Raw::NxstGroupDescReply || version == Version::V15;
        let fixed = if of15 { 16 } else { 8 };
        if r.len() < fixed {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        let len = usize::from(Reader::new(r.rest()).u16()?);
        if len < fixed {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        let mut r = r.sub(len)?;
        r.skip(2)?;
        let kind = r.u8()?;
        r.skip(1)?;
        let group_id = r.u32()?;
        let (buckets, selection) = if of15 {
            let list = usize::from(r.u16()?);
            r.skip(6)?;
            let buckets = group::decode_buckets_of15(&mut r, list, kind, version)?;
            (buckets, SelectionMethod::decode_properties(r, kind, None)?)
        } else {
            (group::decode_buckets(&mut r, version)?, SelectionMethod::default())
        };
        Ok(GroupDesc { kind: GroupType::from_wire(kind)?, group_id, selection, buckets })
    }

    fn encode(&self, raw: Raw, version: Version, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.put_u16(0);
        out.put_u8(self.kind as u8);
        out.put_u8(0);
        out.put_u32(self.group_id);
        if raw == Raw::NxstGroupDescReply || version == Version::V15 {
            let len_at = out.len();
            out.put_zeros(8);
            let list = out.len();
            group::encode_buckets_of15(&self.buckets, self.kind, version, out)?;
            out.set_len16(len_at, list);
            self.selection.encode_property(out);
        } else {
            group::encode_buckets(&self.buckets, version, out)?;
        }
        out.set_len16(start, start);
        Ok(())
    }
}

/// Decodes all records of a description reply.
pub(super) fn decode_descs(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<Vec<GroupDesc>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(GroupDesc::decode(raw, version, &mut r)?);
    }
    Ok(all)
}

/// Appends the description reply.
pub(super) fn encode_descs(
    groups: &[GroupDesc],
    version: Version,
    xid: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    let rows = [Raw::NxstGroupDescReply, Raw::Ofpst11GroupDescReply];
    let raw = Raw::pick(&rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
    let mut parts = header::Parts::new(out, raw, version.wire(), xid);
    for group in groups {
        parts.record(|out| group.encode(raw, version, out))?;
    }
    parts.finish();
    Ok(())
}

/// What groups a switch can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFeatures {
    /// A bit per [`GroupType`].
    pub types: u32,
    /// Select by weight 1, select by liveness 2, chains 4, checks of chains 8.
    pub capabilities: u32,
    /// How many groups of each type.
    pub max_groups: [u32; 4],
    /// Which actions in each type, as bits of the action types.
    pub actions: [u32; 4],
}

impl GroupFeatures {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<GroupFeatures> {
        let mut f = GroupFeatures { types: r.u32()?, capabilities: r.u32()?, ..GroupFeatures::default() };
        for place in f.max_groups.iter_mut().chain(&mut f.actions) {
            *place = r.u32()?;
        }
        Ok(f)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for n in [self.types, self.capabilities].iter().chain(&self.max_groups).chain(&self.actions) {
            out.put_u32(*n);
        }
    }
}
