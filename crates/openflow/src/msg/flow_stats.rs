//! FLOW and AGGREGATE statistics: requests and replies in the layouts of 1.0, Nicira, 1.1+ and 1.5.
//!
//! Where it sits: `dump-flows` and `dump-aggregate` on both sides.
//!
//! I1  A counter of all-ones is unknown; 1.0 sends it as zero.
//! I2  Nicira's ages are sent plus one, zero being unknown.
//!
//! Spec: OpenFlow 1.5.1 sections 7.3.5.3, 7.3.5.4, 7.2.4 (OXS).

use flow::Match;

use crate::matches::{self, CookieMatch, Strictness};
use crate::{Action, FlowMod, FlowModFlags, OfpError, OfpPort, PutBytes, Version, actions};

use super::flow_mod::pull_nxm;
use super::header::{self, Parts};
use super::oxs::{self, OxsStats};
use super::raw::Raw;
use super::{Dialect, PutBody, Reader, Result};

/// Seconds and nanoseconds that something exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age {
    /// Whole seconds.
    pub sec: u32,
    /// The rest.
    pub nsec: u32,
}

impl Age {
    /// Not known.
    pub const UNKNOWN: Age = Age { sec: u32::MAX, nsec: u32::MAX };

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Age> {
        Ok(Age { sec: r.u32()?, nsec: r.u32()? })
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.put_u32(self.sec);
        out.put_u32(self.nsec);
    }
}

/// Which flows are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStatsRequest {
    /// Flows whose match is this or more specific.
    pub matcher: Match,
    /// Only this table; 255: any.
    pub table_id: u8,
    /// Only flows with an output to this port; `NONE`: any.
    pub out_port: OfpPort,
    /// Only flows with this group; all-ones: any.
    pub out_group: u32,
    /// Only flows whose cookie agrees in the bits of `cookie_mask`.
    pub cookie: u64,
    /// See `cookie`.
    pub cookie_mask: u64,
}

impl Default for FlowStatsRequest {
    fn default() -> FlowStatsRequest {
        FlowStatsRequest {
            matcher: matches::any(),
            table_id: FlowMod::ANY_TABLE,
            out_port: OfpPort::NONE,
            out_group: FlowMod::ANY_GROUP,
            cookie: 0,
            cookie_mask: 0,
        }
    }
}

impl FlowStatsRequest {
    pub(super) fn decode(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<FlowStatsRequest> {
        match raw {
            Raw::Ofpst10FlowRequest | Raw::Ofpst10AggregateRequest => {
                let matcher = matches::decode_of10(&r.array()?);
                let table_id = r.u8()?;
                r.skip(1)?;
                let out_port = OfpPort::from_of10(r.u16()?);
                Ok(FlowStatsRequest { matcher, table_id, out_port, ..FlowStatsRequest::default() })
            }
            Raw::NxstFlowRequest | Raw::NxstAggregateRequest => {
                let out_port = OfpPort::from_of10(r.u16()?);
                let match_len = usize::from(r.u16()?);
                let table_id = r.u8()?;
                r.skip(3)?;
                let (matcher, cookie) = pull_nxm(&mut r, match_len, Strictness::Strict)?;
                if !r.is_empty() {
                    return Err(OfpError::OFPBRC_BAD_LEN);
                }
                let (cookie, cookie_mask) = (cookie.value, cookie.mask);
                Ok(FlowStatsRequest {
                    matcher,
                    table_id,
                    out_port,
                    cookie,
                    cookie_mask,
                    ..Default::default()
                })
            }
            _ => {
                let table_id = r.u8()?;
                r.skip(3)?;
                let (out_port, out_group) = (OfpPort::from_of11(r.u32()?)?, r.u32()?);
                r.skip(4)?;
                let (cookie, cookie_mask) = (r.u64()?, r.u64()?);
                let (matcher, _) = matches::decode(r.rest(), version, Strictness::Strict)?;
                Ok(FlowStatsRequest { matcher, table_id, out_port, out_group, cookie, cookie_mask })
            }
        }
    }

    /// The body alone, as `raw` lays it out.
    pub(super) fn encode(&self, raw: Raw, version: Version, out: &mut Vec<u8>) {
        match raw {
            Raw::Ofpst10FlowRequest | Raw::Ofpst10AggregateRequest => {
                out.put(&matches::encode_of10(&self.matcher));
                out.put_u8(self.table_id);
                out.put_u8(0);
                out.put_u16(self.out_port.to_of10());
            }
            Raw::NxstFlowRequest | Raw::NxstAggregateRequest => {
                out.put_u16(self.out_port.to_of10());
                let len_at = out.len();
                out.put_u16(0);
                out.put_u8(self.table_id);
                out.put_zeros(3);
                let cookie = CookieMatch { value: self.cookie, mask: self.cookie_mask };
                let len = matches::encode_nxm(&self.matcher, cookie, out);
                out.set_u16(len_at, u16::try_from(len).unwrap_or(u16::MAX));
            }
            _ => {
                out.put_u8(self.table_id);
                out.put_zeros(3);
                out.put_u32(self.out_port.0);
                out.put_u32(self.out_group);
                out.put_zeros(4);
                out.put_u64(self.cookie);
                out.put_u64(self.cookie_mask);
                matches::encode(&self.matcher, version, out);
            }
        }
    }
}

/// One flow in a FLOW reply.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStats {
    /// Its table.
    pub table_id: u8,
    /// Its priority.
    pub priority: u16,
    /// What it matches.
    pub matcher: Match,
    /// Its cookie.
    pub cookie: u64,
    /// How long it exists.
    pub duration: Age,
    /// Seconds without packets until it goes; zero: never.
    pub idle_timeout: u16,
    /// Seconds until it goes; zero: never.
    pub hard_timeout: u16,
    /// Seconds since its last packet; only Nicira's form and 1.5 carry it.
    pub idle_age: Option<u32>,
    /// Seconds since it was last changed; only Nicira's form carries it.
    pub hard_age: Option<u32>,
    /// Packets, all-ones: unknown.
    pub packet_count: u64,
    /// Bytes, all-ones: unknown.
    pub byte_count: u64,
    /// Its flags; 1.3 and later carry them.
    pub flags: FlowModFlags,
    /// Its importance; 1.4 and later carry it.
    pub importance: u16,
    /// What it does.
    pub actions: Vec<Action>,
}

impl Default for FlowStats {
    fn default() -> FlowStats {
        FlowStats {
            table_id: 0,
            priority: FlowMod::DEFAULT_PRIORITY,
            matcher: matches::any(),
            cookie: 0,
            duration: Age::default(),
            idle_timeout: 0,
            hard_timeout: 0,
            idle_age: None,
            hard_age: None,
            packet_count: 0,
            byte_count: 0,
            flags: FlowModFlags::empty(),
            importance: 0,
            actions: Vec::new(),
        }
    }
}

/// Decodes all records of a reply.
pub(super) fn decode(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<Vec<FlowStats>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let start = r;
        let len = usize::from(r.u16()?);
        let mut record = { start }.sub(len)?;
        record.skip(2)?;
        r = start;
        r.skip(len.max(2))?;
        all.push(match raw {
            Raw::Ofpst10FlowReply => decode_of10(record)?,
            Raw::NxstFlowReply => decode_nxm(record)?,
            Raw::Ofpst15FlowReply => decode_of15(version, record)?,
            _ => decode_of11(version, record)?,
        });
    }
    Ok(all)
}

fn decode_of10(mut r: Reader<'_>) -> Result<FlowStats> {
    let mut fs = FlowStats { table_id: r.u8()?, ..FlowStats::default() };
    r.skip(1)?;
    fs.matcher = matches::decode_of10(&r.array()?);
    fs.duration = Age::decode(&mut r)?;
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    r.skip(6)?;
    (fs.cookie, fs.packet_count, fs.byte_count) = (r.u64()?, r.u64()?, r.u64()?);
    fs.actions = actions::decode(r.take_rest(), Version::V10)?;
    Ok(fs)
}

fn decode_nxm(mut r: Reader<'_>) -> Result<FlowStats> {
    let mut fs = FlowStats { table_id: r.u8()?, ..FlowStats::default() };
    r.skip(1)?;
    fs.duration = Age::decode(&mut r)?;
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    let match_len = usize::from(r.u16()?);
    fs.idle_age = r.u16()?.checked_sub(1).map(u32::from);
    fs.hard_age = r.u16()?.checked_sub(1).map(u32::from);
    (fs.cookie, fs.packet_count, fs.byte_count) = (r.u64()?, r.u64()?, r.u64()?);
    (fs.matcher, _) = pull_nxm(&mut r, match_len, Strictness::Strict)?;
    fs.actions = actions::decode(r.take_rest(), Version::V10)?;
    Ok(fs)
}

fn decode_of11(version: Version, mut r: Reader<'_>) -> Result<FlowStats> {
    let mut fs = FlowStats { table_id: r.u8()?, ..FlowStats::default() };
    r.skip(1)?;
    fs.duration = Age::decode(&mut r)?;
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    let (flags, importance) = (r.u16()?, r.u16()?);
    r.skip(2)?;
    (fs.cookie, fs.packet_count, fs.byte_count) = (r.u64()?, r.u64()?, r.u64()?);
    let (matcher, used) = matches::decode(r.rest(), version, Strictness::Strict)?;
    r.skip(used)?;
    fs.matcher = matcher;
    fs.actions = actions::decode_instructions(r.take_rest(), version)?;
    if version >= Version::V13 {
        fs.flags = FlowModFlags::decode(version, flags)?;
    }
    if version >= Version::V14 {
        fs.importance = importance;
    }
    Ok(fs)
}

fn decode_of15(version: Version, mut r: Reader<'_>) -> Result<FlowStats> {
    r.skip(2)?;
    let mut fs = FlowStats { table_id: r.u8()?, ..FlowStats::default() };
    r.skip(1)?;
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    (fs.flags, fs.importance) = (FlowModFlags::decode(version, r.u16()?)?, r.u16()?);
    fs.cookie = r.u64()?;
    let (matcher, used) = matches::decode(r.rest(), version, Strictness::Strict)?;
    r.skip(used)?;
    fs.matcher = matcher;
    let stats = oxs::pull(&mut r)?;
    fs.duration = stats.duration.unwrap_or(Age::UNKNOWN);
    fs.idle_age = stats.idle_sec;
    fs.packet_count = stats.packet_count.unwrap_or(u64::MAX);
    fs.byte_count = stats.byte_count.unwrap_or(u64::MAX);
    fs.actions = actions::decode_instructions(r.take_rest(), version)?;
    Ok(fs)
}

impl FlowStats {
    fn encode(&self, raw: Raw, version: Version, out: &mut Vec<u8>) -> Result<()> {
        let at = out.len();
        out.put_u16(0);
        match raw {
            Raw::Ofpst10FlowReply => self.encode_of10(out)?,
            Raw::NxstFlowReply => self.encode_nxm(out)?,
            Raw::Ofpst15FlowReply => self.encode_of15(version, out)?,
            _ => self.encode_of11(version, out)?,
        }
        out.set_len16(at, at);
        Ok(())
    }

    fn put_timeouts(&self, out: &mut Vec<u8>) {
        for n in [self.priority, self.idle_timeout, self.hard_timeout] {
            out.put_u16(n);
        }
    }

    fn encode_of10(&self, out: &mut Vec<u8>) -> Result<()> {
        let known = |n: u64| if n == u64::MAX { 0 } else { n };
        out.put_u8(self.table_id);
        out.put_u8(0);
        out.put(&matches::encode_of10(&self.matcher));
        self.duration.encode(out);
        self.put_timeouts(out);
        out.put_zeros(6);
        out.put_u64(self.cookie);
        out.put_u64(known(self.packet_count));
        out.put_u64(known(self.byte_count));
        actions::encode(&self.actions, Version::V10, out)
    }

    fn encode_nxm(&self, out: &mut Vec<u8>) -> Result<()> {
        let age =
            |age: Option<u32>| age.map_or(0, |n| u16::try_from(n.saturating_add(1)).unwrap_or(u16::MAX));
        out.put_u8(self.table_id);
        out.put_u8(0);
        self.duration.encode(out);
        self.put_timeouts(out);
        let len_at = out.len();
        out.put_u16(0);
        out.put_u16(age(self.idle_age));
        out.put_u16(age(self.hard_age));
        for n in [self.cookie, self.packet_count, self.byte_count] {
            out.put_u64(n);
        }
        let len = matches::encode_nxm(&self.matcher, CookieMatch::default(), out);
        out.set_u16(len_at, u16::try_from(len).unwrap_or(u16::MAX));
        actions::encode(&self.actions, Version::V10, out)
    }

    fn encode_of11(&self, version: Version, out: &mut Vec<u8>) -> Result<()> {
        out.put_u8(self.table_id);
        out.put_u8(0);
        self.duration.encode(out);
        self.put_timeouts(out);
        out.put_u16(if version >= Version::V13 { self.flags.encode(version) } else { 0 });
        out.put_u16(if version >= Version::V14 { self.importance } else { 0 });
        out.put_zeros(2);
        for n in [self.cookie, self.packet_count, self.byte_count] {
            out.put_u64(n);
        }
        matches::encode(&self.matcher, version, out);
        actions::encode_instructions(&self.actions, version, out)
    }

    fn encode_of15(&self, version: Version, out: &mut Vec<u8>) -> Result<()> {
        out.put_zeros(2);
        out.put_u8(self.table_id);
        out.put_u8(0);
        self.put_timeouts(out);
        out.put_u16(self.flags.encode(version));
        out.put_u16(self.importance);
        out.put_u64(self.cookie);
        matches::encode(&self.matcher, version, out);
        oxs::put(
            &OxsStats {
                duration: Some(self.duration),
                idle_sec: self.idle_age,
                packet_count: Some(self.packet_count),
                byte_count: Some(self.byte_count),
                flow_count: None,
            },
            out,
        );
        actions::encode_instructions(&self.actions, version, out)
    }
}

/// Appends the reply, split into as many messages as it takes.
pub(super) fn encode(flows: &[FlowStats], dialect: Dialect, xid: u32, out: &mut Vec<u8>) -> Result<()> {
    let version = dialect.version();
    let raw = match version {
        Version::V10 => dialect.flow_format(Raw::Ofpst10FlowReply, Raw::NxstFlowReply, Raw::Ofpst10FlowReply),
        Version::V11 | Version::V12 => Raw::Ofpst11FlowReply,
        Version::V13 | Version::V14 => Raw::Ofpst13FlowReply,
        Version::V15 => Raw::Ofpst15FlowReply,
    };
    let mut parts = Parts::new(out, raw, version.wire(), xid);
    for flow in flows {
        parts.record(|out| flow.encode(raw, version, out))?;
    }
    parts.finish();
    Ok(())
}

/// Body of an AGGREGATE reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggregateStats {
    /// Packets, all-ones: unknown.
    pub packet_count: u64,
    /// Bytes, all-ones: unknown.
    pub byte_count: u64,
    /// Flows.
    pub flow_count: u32,
}

impl AggregateStats {
    pub(super) fn decode(raw: Raw, mut r: Reader<'_>) -> Result<AggregateStats> {
        if raw == Raw::Ofpst15AggregateReply {
            let stats = oxs::pull(&mut r)?;
            return Ok(AggregateStats {
                packet_count: stats.packet_count.unwrap_or(u64::MAX),
                byte_count: stats.byte_count.unwrap_or(u64::MAX),
                flow_count: stats.flow_count.unwrap_or(u32::MAX),
            });
        }
        Ok(AggregateStats { packet_count: r.u64()?, byte_count: r.u64()?, flow_count: r.u32()? })
    }

    pub(super) fn encode(&self, dialect: Dialect, xid: u32, out: &mut Vec<u8>) {
        let raw = match dialect.version() {
            Version::V15 => Raw::Ofpst15AggregateReply,
            _ => dialect.flow_format(
                Raw::OfpstAggregateReply,
                Raw::NxstAggregateReply,
                Raw::OfpstAggregateReply,
            ),
        };
        let known = |n: u64| {
            if n == u64::MAX && raw == Raw::OfpstAggregateReply && dialect.version() == Version::V10 {
                0
            } else {
                n
            }
        };
        let at = header::start(out, raw, dialect.version().wire(), xid);
        if raw == Raw::Ofpst15AggregateReply {
            oxs::put(
                &OxsStats {
                    duration: None,
                    idle_sec: None,
                    packet_count: Some(self.packet_count),
                    byte_count: Some(self.byte_count),
                    flow_count: Some(self.flow_count),
                },
                out,
            );
        } else {
            out.put_u64(known(self.packet_count));
            out.put_u64(known(self.byte_count));
            out.put_u32(self.flow_count);
            out.put_zeros(4);
        }
        header::finish(out, at);
    }
}
