//! FLOW_REMOVED: a flow that asked for it is gone.
//!
//! Where it sits: sent by the switch; printed by `monitor`. Spec: OpenFlow 1.5.1 section 7.4.2.

use flow::Match;

use crate::matches::{self, CookieMatch, Strictness};
use crate::{OfpError, PutBytes, Version};

use super::flow_mod::pull_nxm;
use super::flow_stats::Age;
use super::oxs::{self, OxsStats};
use super::raw::Raw;
use super::{Dialect, PutBody, Reader, Result, header};

/// Why a flow went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FlowRemovedReason {
    /// No packets for long enough.
    IdleTimeout = 0,
    /// Its time was over.
    HardTimeout = 1,
    /// It was deleted.
    Delete = 2,
    /// Its group was deleted.
    GroupDelete = 3,
    /// Its meter was deleted.
    MeterDelete = 4,
    /// Another took its place.
    Eviction = 5,
}

impl FlowRemovedReason {
    /// The reason with this number on the wire.
    pub const fn from_wire(n: u8) -> Option<FlowRemovedReason> {
        use FlowRemovedReason as R;
        match n {
            0 => Some(R::IdleTimeout),
            1 => Some(R::HardTimeout),
            2 => Some(R::Delete),
            3 => Some(R::GroupDelete),
            4 => Some(R::MeterDelete),
            5 => Some(R::Eviction),
            _ => None,
        }
    }

    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            FlowRemovedReason::IdleTimeout => "idle",
            FlowRemovedReason::HardTimeout => "hard",
            FlowRemovedReason::Delete => "delete",
            FlowRemovedReason::GroupDelete => "group_delete",
            FlowRemovedReason::MeterDelete => "meter_delete",
            FlowRemovedReason::Eviction => "eviction",
        }
    }
}

/// A flow that is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRemoved {
    /// What it matched.
    pub matcher: Match,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Why it went.
    pub reason: FlowRemovedReason,
    /// Its table; 255: not known.
    pub table_id: u8,
    /// How long it existed.
    pub duration: Age,
    /// Its idle timeout.
    pub idle_timeout: u16,
    /// Its hard timeout (1.1 and later).
    pub hard_timeout: u16,
    /// Packets, all-ones: unknown.
    pub packet_count: u64,
    /// Bytes, all-ones: unknown.
    pub byte_count: u64,
}

impl FlowRemoved {
    pub(super) fn decode(raw: Raw, version: Version, r: Reader<'_>) -> Result<FlowRemoved> {
        match raw {
            Raw::Ofpt10FlowRemoved => FlowRemoved::decode_of10(r),
            Raw::NxtFlowRemoved => FlowRemoved::decode_nxm(r),
            Raw::Ofpt15FlowRemoved => FlowRemoved::decode_of15(version, r),
            _ => FlowRemoved::decode_of11(version, r),
        }
    }

    fn empty() -> FlowRemoved {
        FlowRemoved {
            matcher: Match::ANY,
            priority: 0,
            cookie: 0,
            reason: FlowRemovedReason::Delete,
            table_id: 255,
            duration: Age::default(),
            idle_timeout: 0,
            hard_timeout: 0,
            packet_count: u64::MAX,
            byte_count: u64::MAX,
        }
    }

    fn decode_of10(mut r: Reader<'_>) -> Result<FlowRemoved> {
        let mut fr = FlowRemoved::empty();
        fr.matcher = matches::decode_of10(&r.array()?);
        (fr.cookie, fr.priority, fr.reason) = (r.u64()?, r.u16()?, reason(r.u8()?)?);
        r.skip(1)?;
        fr.duration = Age::decode(&mut r)?;
        fr.idle_timeout = r.u16()?;
        r.skip(2)?;
        (fr.packet_count, fr.byte_count) = (r.u64()?, r.u64()?);
        Ok(fr)
    }

    fn decode_nxm(mut r: Reader<'_>) -> Result<FlowRemoved> {
        let mut fr = FlowRemoved::empty();
        (fr.cookie, fr.priority, fr.reason) = (r.u64()?, r.u16()?, reason(r.u8()?)?);
        fr.table_id = r.u8()?.wrapping_sub(1);
        fr.duration = Age::decode(&mut r)?;
        fr.idle_timeout = r.u16()?;
        let match_len = usize::from(r.u16()?);
        (fr.packet_count, fr.byte_count) = (r.u64()?, r.u64()?);
        (fr.matcher, _) = pull_nxm(&mut r, match_len, Strictness::Strict)?;
        if r.is_empty() { Ok(fr) } else { Err(OfpError::OFPBRC_BAD_LEN) }
    }

    fn decode_of11(version: Version, mut r: Reader<'_>) -> Result<FlowRemoved> {
        let mut fr = FlowRemoved::empty();
        (fr.cookie, fr.priority, fr.reason) = (r.u64()?, r.u16()?, reason(r.u8()?)?);
        fr.table_id = r.u8()?;
        fr.duration = Age::decode(&mut r)?;
        (fr.idle_timeout, fr.hard_timeout) = (r.u16()?, r.u16()?);
        (fr.packet_count, fr.byte_count) = (r.u64()?, r.u64()?);
        (fr.matcher, _) = matches::decode(r.rest(), version, Strictness::Strict)?;
        Ok(fr)
    }

    fn decode_of15(version: Version, mut r: Reader<'_>) -> Result<FlowRemoved> {
        let mut fr = FlowRemoved::empty();
        (fr.table_id, fr.reason, fr.priority) = (r.u8()?, reason(r.u8()?)?, r.u16()?);
        (fr.idle_timeout, fr.hard_timeout, fr.cookie) = (r.u16()?, r.u16()?, r.u64()?);
        let (matcher, used) = matches::decode(r.rest(), version, Strictness::Strict)?;
        fr.matcher = matcher;
        r.skip(used)?;
        let stats = oxs::pull(&mut r)?;
        fr.duration = stats.duration.unwrap_or(Age::UNKNOWN);
        fr.packet_count = stats.packet_count.unwrap_or(u64::MAX);
        fr.byte_count = stats.byte_count.unwrap_or(u64::MAX);
        Ok(fr)
    }

    fn wire_reason(&self, version: Version) -> u8 {
        match self.reason {
            FlowRemovedReason::MeterDelete if version < Version::V14 => FlowRemovedReason::Delete as u8,
            reason => reason as u8,
        }
    }

    pub(super) fn encode(&self, dialect: Dialect, xid: u32, out: &mut Vec<u8>) {
        let version = dialect.version();
        let raw = match version {
            Version::V15 => Raw::Ofpt15FlowRemoved,
            _ => dialect.flow_format(Raw::Ofpt10FlowRemoved, Raw::NxtFlowRemoved, Raw::Ofpt11FlowRemoved),
        };
        let at = header::start(out, raw, version.wire(), xid);
        match raw {
            Raw::Ofpt15FlowRemoved => self.encode_of15(version, out),
            Raw::Ofpt10FlowRemoved => {
                let known = |n: u64| if n == u64::MAX { 0 } else { n };
                out.put(&matches::encode_of10(&self.matcher));
                self.encode_head(version, 0, out);
                out.put_u16(self.idle_timeout);
                out.put_zeros(2);
                out.put_u64(known(self.packet_count));
                out.put_u64(known(self.byte_count));
            }
            Raw::NxtFlowRemoved => {
                self.encode_head(version, self.table_id.wrapping_add(1), out);
                out.put_u16(self.idle_timeout);
                let mut entries = Vec::new();
                let len = matches::encode_nxm(&self.matcher, CookieMatch::default(), &mut entries);
                out.put_u16(u16::try_from(len).unwrap_or(u16::MAX));
                out.put_u64(self.packet_count);
                out.put_u64(self.byte_count);
                out.put(&entries);
            }
            _ => {
                self.encode_head(version, self.table_id, out);
                out.put_u16(self.idle_timeout);
                out.put_u16(self.hard_timeout);
                out.put_u64(self.packet_count);
                out.put_u64(self.byte_count);
                matches::encode(&self.matcher, version, out);
            }
        }
        header::finish(out, at);
    }

    /// Cookie to duration, alike in all layouts but 1.5's.
    fn encode_head(&self, version: Version, table: u8, out: &mut Vec<u8>) {
        out.put_u64(self.cookie);
        out.put_u16(self.priority);
        out.put(&[self.wire_reason(version), table]);
        self.duration.encode(out);
    }

    fn encode_of15(&self, version: Version, out: &mut Vec<u8>) {
        out.put(&[self.table_id, self.wire_reason(version)]);
        for n in [self.priority, self.idle_timeout, self.hard_timeout] {
            out.put_u16(n);
        }
        out.put_u64(self.cookie);
        matches::encode(&self.matcher, version, out);
        oxs::put(
            &OxsStats {
                duration: Some(self.duration),
                idle_sec: None,
                packet_count: Some(self.packet_count),
                byte_count: Some(self.byte_count),
                flow_count: None,
            },
            out,
        );
    }
}

fn reason(n: u8) -> Result<FlowRemovedReason> {
    FlowRemovedReason::from_wire(n).ok_or(OfpError::NXBRC_BAD_REASON)
}
