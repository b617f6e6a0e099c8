//! Flow monitors: who wants to know of changes to which flows, and the changes.
//!
//! Where it sits: `ovs-ofctl monitor SWITCH watch:…` on one side, the switch's monitors on the other.
//!
//! ~~~text
//! 1.0 to 1.2  Nicira's form, with NXM and actions       (pause and resume are messages)
//! 1.3         ONF's form, with OXM and instructions     (the same)
//! 1.4, 1.5    the standard's form                       (pause and resume are events)
//! ~~~
//!
//! Spec: OpenFlow 1.5.1 section 7.3.5.18; ONF extension 187.

use flow::Match;

use crate::matches::{self, CookieMatch, Strictness};
use crate::{Action, OfpError, OfpPort, PutBytes, Version, actions};

use super::flow_mod::pull_nxm;
use super::group::ANY_GROUP;
use super::raw::Raw;
use super::{PutBody, Reader, Result, header};

bitflags::bitflags! {
    /// What a monitor wants to hear.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MonitorFlags: u16 {
        /// The flows that there are.
        const INITIAL = 1 << 0;
        /// Flows added.
        const ADD = 1 << 1;
        /// Flows deleted.
        const DELETE = 1 << 2;
        /// Flows modified.
        const MODIFY = 1 << 3;
        /// The flows' actions.
        const ACTIONS = 1 << 4;
        /// Changes that the monitor's own controller makes, in full.
        const OWN = 1 << 6;
    }
}

/// Nicira's and ONF's bit for [`MonitorFlags::OWN`].
const NX_OWN: u16 = 1 << 5;

impl MonitorFlags {
    fn decode(raw: Raw, bits: u16) -> Result<MonitorFlags> {
        let bits = match raw {
            Raw::Ofpst14FlowMonitorRequest => bits,
            _ if bits & MonitorFlags::OWN.bits() != 0 => return Err(OfpError::OFPMOFC_BAD_FLAGS),
            _ => bits & !NX_OWN | (bits & NX_OWN) << 1,
        };
        let flags = MonitorFlags::from_bits(bits).ok_or(OfpError::OFPMOFC_BAD_FLAGS)?;
        if flags.intersects(MonitorFlags::ADD | MonitorFlags::DELETE | MonitorFlags::MODIFY) {
            Ok(flags)
        } else {
            Err(OfpError::OFPMOFC_BAD_FLAGS)
        }
    }

    fn encode(self, raw: Raw) -> u16 {
        match raw {
            Raw::Ofpst14FlowMonitorRequest => self.bits(),
            _ if self.contains(MonitorFlags::OWN) => (self - MonitorFlags::OWN).bits() | NX_OWN,
            _ => self.bits(),
        }
    }
}

/// What is done to a monitor; only 1.4 and later can say more than adding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "named after the specification")]
pub enum MonitorCommand {
    #[default]
    Add = 0,
    Modify = 1,
    Delete = 2,
}

/// One monitor in a request.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowMonitorRequest {
    /// Its number, the controller's choice.
    pub id: u32,
    /// What is done.
    pub command: MonitorCommand,
    /// What it wants to hear.
    pub flags: MonitorFlags,
    /// Only flows with an output to this port; `NONE`: any.
    pub out_port: OfpPort,
    /// Only flows with this group; all-ones: any.
    pub out_group: u32,
    /// Only this table; 255: any.
    pub table_id: u8,
    /// Flows whose match is this or more specific.
    pub matcher: Match,
}

impl FlowMonitorRequest {
    /// A monitor that looks at everything.
    pub fn new(id: u32, flags: MonitorFlags) -> FlowMonitorRequest {
        FlowMonitorRequest {
            id,
            command: MonitorCommand::Add,
            flags,
            out_port: OfpPort::NONE,
            out_group: ANY_GROUP,
            table_id: 255,
            matcher: matches::any(),
        }
    }

    fn decode(raw: Raw, version: Version, r: &mut Reader<'_>) -> Result<FlowMonitorRequest> {
        let mut m = FlowMonitorRequest::new(r.u32()?, MonitorFlags::empty());
        match raw {
            Raw::Ofpst14FlowMonitorRequest => {
                let out_port = r.u32()?;
                m.out_group = r.u32()?;
                m.flags = MonitorFlags::decode(raw, r.u16()?)?;
                m.table_id = r.u8()?;
                m.command = match r.u8()? {
                    1 => MonitorCommand::Modify,
                    2 => MonitorCommand::Delete,
                    _ => MonitorCommand::Add,
                };
                // Deleting looks at the number alone.
                if m.command != MonitorCommand::Delete {
                    m.out_port = OfpPort::from_of11(out_port)?;
                }
                let (matcher, len) = matches::decode(r.rest(), version, Strictness::Strict)?;
                m.matcher = matcher;
                r.skip(len)?;
            }
            Raw::Onfst13FlowMonitorRequest => {
                m.flags = MonitorFlags::decode(raw, r.u16()?)?;
                let len = usize::from(r.u16()?);
                m.out_port = OfpPort::from_of11(r.u32()?)?;
                m.table_id = r.u8()?;
                r.zeros(3)?;
                m.matcher = pull_oxm(r, len, version)?;
            }
            _ => {
                m.flags = MonitorFlags::decode(raw, r.u16()?)?;
                m.out_port = OfpPort::from_of10(r.u16()?);
                let len = usize::from(r.u16()?);
                m.table_id = r.u8()?;
                r.zeros(5)?;
                m.matcher = pull_nxm(r, len, Strictness::Strict)?.0;
            }
        }
        Ok(m)
    }

    fn encode(&self, raw: Raw, version: Version, out: &mut Vec<u8>) {
        out.put_u32(self.id);
        let flags = self.flags.encode(raw);
        let start = out.len();
        match raw {
            Raw::Ofpst14FlowMonitorRequest => {
                out.put_u32(self.out_port.0);
                out.put_u32(self.out_group);
                out.put_u16(flags);
                out.put(&[self.table_id, self.command as u8]);
                matches::encode(&self.matcher, version, out);
            }
            Raw::Onfst13FlowMonitorRequest => {
                out.put_u16(flags);
                out.put_u16(0);
                out.put_u32(self.out_port.0);
                out.put(&[self.table_id, 0, 0, 0]);
                let len = matches::encode(&self.matcher, version, out);
                out.set_u16(start + 2, u16::try_from(len).unwrap_or(u16::MAX));
            }
            _ => {
                out.put_u16(flags);
                out.put_u16(self.out_port.to_of10());
                out.put_u16(0);
                out.put(&[self.table_id, 0, 0, 0, 0, 0]);
                let len = matches::encode_nxm(&self.matcher, CookieMatch::default(), out);
                out.set_u16(start + 4, u16::try_from(len).unwrap_or(u16::MAX));
            }
        }
    }
}

/// An OXM match whose length a field of the message gives.
fn pull_oxm(r: &mut Reader<'_>, len: usize, version: Version) -> Result<Match> {
    let bytes = r.bytes(len.next_multiple_of(8))?;
    let (matcher, used) = matches::decode(bytes, version, Strictness::Strict)?;
    if used == bytes.len() { Ok(matcher) } else { Err(OfpError::OFPBMC_BAD_LEN) }
}

/// Decodes all monitors of a request.
pub(super) fn decode_requests(
    raw: Raw,
    version: Version,
    mut r: Reader<'_>,
) -> Result<Vec<FlowMonitorRequest>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(FlowMonitorRequest::decode(raw, version, &mut r)?);
    }
    Ok(all)
}

/// Appends a request.
pub(super) fn encode_requests(
    monitors: &[FlowMonitorRequest],
    version: Version,
    xid: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    let rows = [Raw::NxstFlowMonitorRequest, Raw::Onfst13FlowMonitorRequest, Raw::Ofpst14FlowMonitorRequest];
    let raw = Raw::pick(&rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
    let at = header::start(out, raw, version.wire(), xid);
    monitors.iter().for_each(|m| m.encode(raw, version, out));
    header::finish(out, at);
    Ok(())
}

/// What happened to a flow that is told in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the specification")]
pub enum FlowEvent {
    Initial,
    Added,
    Deleted,
    Modified,
}

/// A flow, and what happened to it.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowUpdateFull {
    /// What happened.
    pub event: FlowEvent,
    /// Why it was deleted, by number as some have no name.
    pub reason: u16,
    /// Its priority.
    pub priority: u16,
    /// Its idle timeout.
    pub idle_timeout: u16,
    /// Its hard timeout.
    pub hard_timeout: u16,
    /// Its table.
    pub table_id: u8,
    /// Its cookie.
    pub cookie: u64,
    /// What it matches.
    pub matcher: Match,
    /// What it does, if that was asked for.
    pub actions: Vec<Action>,
}

/// One record of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowUpdate {
    /// A flow.
    Full(Box<FlowUpdateFull>),
    /// The request with this transaction id did it, which the controller that sent it knows.
    Abbrev(u32),
    /// Updates are held back (1.4 and later).
    Paused,
    /// They go on (1.4 and later).
    Resumed,
}

/// Events by number.
fn event(raw: Raw, n: u16) -> Result<Option<FlowEvent>> {
    use FlowEvent as E;
    let of14 = [Some(E::Initial), Some(E::Added), Some(E::Deleted), Some(E::Modified), None];
    let nx = [Some(E::Added), Some(E::Deleted), Some(E::Modified), None];
    let table = if raw == Raw::Ofpst14FlowMonitorReply { &of14[..] } else { &nx[..] };
    table.get(usize::from(n)).copied().ok_or(OfpError::NXBRC_FM_BAD_EVENT)
}

impl FlowUpdate {
    fn decode(raw: Raw, version: Version, r: &mut Reader<'_>) -> Result<FlowUpdate> {
        let mut head = *r;
        let (len, kind) = (head.u16()?, head.u16()?);
        if usize::from(len) > r.len() || len % 8 != 0 {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        let paused = raw == Raw::Ofpst14FlowMonitorReply && matches!(kind, 5 | 6);
        let mut record = r.sub(len.into())?;
        if paused {
            if len != 8 {
                return Err(OfpError::OFPBRC_BAD_LEN);
            }
            return Ok(if kind == 5 { FlowUpdate::Paused } else { FlowUpdate::Resumed });
        }
        let Some(event) = event(raw, kind)? else {
            if len != 8 {
                return Err(OfpError::OFPBRC_BAD_LEN);
            }
            record.skip(4)?;
            return Ok(FlowUpdate::Abbrev(record.u32()?));
        };
        record.skip(4)?;
        FlowUpdateFull::decode(event, raw, version, record).map(|full| FlowUpdate::Full(Box::new(full)))
    }
}

impl FlowUpdateFull {
    fn decode(event: FlowEvent, raw: Raw, version: Version, mut r: Reader<'_>) -> Result<FlowUpdateFull> {
        let mut u = FlowUpdateFull {
            event,
            reason: 0,
            priority: 0,
            idle_timeout: 0,
            hard_timeout: 0,
            table_id: 0,
            cookie: 0,
            matcher: matches::any(),
            actions: Vec::new(),
        };
        if raw == Raw::Ofpst14FlowMonitorReply {
            (u.table_id, u.reason) = (r.u8()?, u16::from(r.u8()?));
            (u.idle_timeout, u.hard_timeout, u.priority) = (r.u16()?, r.u16()?, r.u16()?);
            r.skip(4)?;
            u.cookie = r.u64()?;
            let (matcher, len) = matches::decode(r.rest(), version, Strictness::Strict)?;
            u.matcher = matcher;
            r.skip(len)?;
            u.actions = actions::decode_instructions(r.take_rest(), version)?;
            return Ok(u);
        }
        (u.reason, u.priority) = (r.u16()?, r.u16()?);
        (u.idle_timeout, u.hard_timeout) = (r.u16()?, r.u16()?);
        let len = usize::from(r.u16()?);
        u.table_id = r.u8()?;
        r.skip(1)?;
        u.cookie = r.u64()?;
        if raw == Raw::Onfst13FlowMonitorReply {
            u.matcher = pull_oxm(&mut r, len, version)?;
            u.actions = actions::decode_instructions(r.take_rest(), version)?;
        } else {
            u.matcher = pull_nxm(&mut r, len, Strictness::Strict)?.0;
            u.actions = actions::decode(r.take_rest(), version)?;
        }
        Ok(u)
    }

    fn encode(&self, raw: Raw, version: Version, out: &mut Vec<u8>) -> Result<()> {
        let of14 = raw == Raw::Ofpst14FlowMonitorReply;
        let start = out.len();
        out.put_u16(0);
        out.put_u16(match self.event {
            FlowEvent::Initial => 0,
            FlowEvent::Added => u16::from(of14),
            FlowEvent::Deleted => 1 + u16::from(of14),
            FlowEvent::Modified => 2 + u16::from(of14),
        });
        if of14 {
            out.put(&[self.table_id, self.reason as u8]);
            for n in [self.idle_timeout, self.hard_timeout, self.priority] {
                out.put_u16(n);
            }
            out.put_zeros(4);
            out.put_u64(self.cookie);
            matches::encode(&self.matcher, version, out);
            actions::encode_instructions(&self.actions, version, out)?;
            out.set_len16(start, start);
            return Ok(());
        }
        for n in [self.reason, self.priority, self.idle_timeout, self.hard_timeout, 0] {
            out.put_u16(n);
        }
        out.put(&[self.table_id, 0]);
        out.put_u64(self.cookie);
        let len = if raw == Raw::Onfst13FlowMonitorReply {
            let len = matches::encode(&self.matcher, version, out);
            actions::encode_instructions(&self.actions, version, out)?;
            len
        } else {
            let len = matches::encode_nxm(&self.matcher, CookieMatch::default(), out);
            actions::encode(&self.actions, version, out)?;
            len
        };
        out.set_u16(start + 12, u16::try_from(len).unwrap_or(u16::MAX));
        out.set_len16(start, start);
        Ok(())
    }
}

/// Decodes all records of a reply.
pub(super) fn decode_updates(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<Vec<FlowUpdate>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(FlowUpdate::decode(raw, version, &mut r)?);
    }
    Ok(all)
}

/// Appends a reply, split into as many messages as it takes.
pub(super) fn encode_updates(
    updates: &[FlowUpdate],
    version: Version,
    xid: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    let rows = [Raw::NxstFlowMonitorReply, Raw::Onfst13FlowMonitorReply, Raw::Ofpst14FlowMonitorReply];
    let raw = Raw::pick(&rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
    let of14 = raw == Raw::Ofpst14FlowMonitorReply;
    let mut parts = header::Parts::new(out, raw, version.wire(), xid);
    for update in updates {
        let short = |out: &mut Vec<u8>, event: u16, word: u32| {
            out.put_u16(8);
            out.put_u16(event);
            out.put_u32(word);
        };
        match update {
            FlowUpdate::Full(full) => parts.record(|out| full.encode(raw, version, out))?,
            FlowUpdate::Abbrev(xid) => parts.record(|out| short(out, 3 + u16::from(of14), *xid)),
            FlowUpdate::Paused | FlowUpdate::Resumed if !of14 => return Err(OfpError::NXBRC_FM_BAD_EVENT),
            FlowUpdate::Paused => parts.record(|out| short(out, 5, 0)),
            FlowUpdate::Resumed => parts.record(|out| short(out, 6, 0)),
        }
    }
    parts.finish();
    Ok(())
}
