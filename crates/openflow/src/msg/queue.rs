//! Queues: their configuration, in the forms before and since 1.4, and their counters.
//!
//! Where it sits: `queue-get-config` and `queue-stats` on both sides.
//!
//! Spec: OpenFlow 1.0 sections 5.3.4 and 5.3.5; 1.5.1 sections 7.3.5.7 and 7.3.5.8.

use crate::{OfpError, OfpPort, PutBytes, Version};

use super::flow_stats::Age;
use super::raw::Raw;
use super::{PutBody, Reader, Result, header, props};

/// Stands for every queue.
pub const ALL_QUEUES: u32 = 0xffff_ffff;

/// Which queues are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRequest {
    /// The port; `ANY` for all.
    pub port: OfpPort,
    /// The queue; [`ALL_QUEUES`] for all.
    pub queue: u32,
}

impl QueueRequest {
    /// Of a request for configuration.
    pub(super) fn decode_config(raw: Raw, mut r: Reader<'_>) -> Result<QueueRequest> {
        let port = match raw {
            Raw::Ofpt10QueueGetConfigRequest => OfpPort::from_of10(r.u16()?),
            _ => OfpPort::from_of11(r.u32()?)?,
        };
        if !port.is_ordinary() && port != OfpPort::NONE {
            return Err(OfpError::OFPQOFC_BAD_PORT);
        }
        let queue = if raw == Raw::Ofpst14QueueDescRequest { r.u32()? } else { ALL_QUEUES };
        Ok(QueueRequest { port, queue })
    }

    pub(super) fn encode_config(&self, version: Version, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let rows = [
            Raw::Ofpt10QueueGetConfigRequest,
            Raw::Ofpt11QueueGetConfigRequest,
            Raw::Ofpst14QueueDescRequest,
        ];
        let raw = Raw::pick(&rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
        let at = header::start(out, raw, version.wire(), xid);
        match raw {
            Raw::Ofpt10QueueGetConfigRequest => {
                out.put_u16(self.port.to_of10());
                out.put_zeros(2);
            }
            Raw::Ofpt11QueueGetConfigRequest => {
                out.put_u32(self.port.0);
                out.put_zeros(4);
            }
            _ => {
                out.put_u32(self.port.0);
                out.put_u32(self.queue);
            }
        }
        header::finish(out, at);
        Ok(())
    }

    /// Of a request for counters; 1.0 says all ports as ALL.
    pub(super) fn decode_stats(version: Version, mut r: Reader<'_>) -> Result<QueueRequest> {
        let port = if version == Version::V10 {
            let port = OfpPort::from_of10(r.u16()?);
            r.skip(2)?;
            if port == OfpPort::ALL { OfpPort::NONE } else { port }
        } else {
            OfpPort::from_of11(r.u32()?)?
        };
        Ok(QueueRequest { port, queue: r.u32()? })
    }

    pub(super) fn encode_stats(&self, version: Version, out: &mut Vec<u8>) {
        if version == Version::V10 {
            out.put_u16(if self.port == OfpPort::NONE { OfpPort::ALL } else { self.port }.to_of10());
            out.put_zeros(2);
        } else {
            out.put_u32(self.port.0);
        }
        out.put_u32(self.queue);
    }
}

/// The rates of one queue, in tenths of a percent; `None` where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its port.
    pub port: OfpPort,
    /// The queue.
    pub queue: u32,
    /// What it gets at least.
    pub min_rate: Option<u16>,
    /// What it gets at most.
    pub max_rate: Option<u16>,
}

/// Decodes a reply with queues' configuration: the port that it is about, where the layout says one, and the queues.
pub(super) fn decode_configs(
    raw: Raw,
    version: Version,
    mut r: Reader<'_>,
) -> Result<(Option<OfpPort>, Vec<QueueConfig>)> {
    let port = match raw {
        Raw::Ofpt10QueueGetConfigReply => {
            let port = OfpPort::from_of10(r.u16()?);
            r.skip(6)?;
            Some(port)
        }
        Raw::Ofpt11QueueGetConfigReply => {
            let port = OfpPort::from_of11(r.u32()?);
            r.skip(4)?;
            Some(if r.is_empty() { port.unwrap_or(OfpPort::NONE) } else { port? })
        }
        _ => None,
    };
    let mut queues = Vec::new();
    while !r.is_empty() {
        queues.push(decode_config(port, version, &mut r)?);
    }
    Ok((port, queues))
}

fn decode_config(port: Option<OfpPort>, version: Version, r: &mut Reader<'_>) -> Result<QueueConfig> {
    let start = *r;
    let (fixed, len_at) = match (port, version) {
        (Some(_), Version::V10 | Version::V11) => (8, 4),
        (Some(_), _) => (16, 8),
        (None, _) => (16, 8),
    };
    let mut head = start;
    head.skip(len_at)?;
    let len = usize::from(head.u16()?);
    let body = len.checked_sub(fixed).ok_or(OfpError::OFPBRC_BAD_LEN)?;
    let mut record = r.sub(fixed + body)?;
    let mut config = match port {
        Some(port) => QueueConfig { port, queue: record.u32()?, min_rate: None, max_rate: None },
        None => {
            let port = OfpPort::from_of11(record.u32()?)?;
            QueueConfig { port, queue: record.u32()?, min_rate: None, max_rate: None }
        }
    };
    record = start;
    record.skip(fixed)?;
    let mut record = record.sub(body)?;
    if port.is_none() {
        decode_properties_of14(&mut config, record)?;
        return Ok(config);
    }
    while !record.is_empty() {
        let kind = record.u16()?;
        let len = usize::from(record.u16()?);
        let mut payload = record.sub(len.checked_sub(4).ok_or(OfpError::OFPBRC_BAD_LEN)?)?;
        if !matches!(kind, 1 | 2) {
            continue;
        }
        if len != 16 {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        payload.skip(4)?;
        config.set(kind, payload.u16()?);
    }
    Ok(config)
}

fn decode_properties_of14(config: &mut QueueConfig, mut r: Reader<'_>) -> Result<()> {
    while !r.is_empty() {
        let prop = props::next(&mut r, &[0xffff])?;
        if matches!(prop.kind, 1 | 2) {
            config.set(prop.kind, prop.u16()?);
        }
    }
    Ok(())
}

impl QueueConfig {
    fn set(&mut self, kind: u16, rate: u16) {
        let place = if kind == 1 { &mut self.min_rate } else { &mut self.max_rate };
        *place = (rate != u16::MAX).then_some(rate);
    }

    fn rates(&self) -> impl Iterator<Item = (u16, u16)> {
        [(1, self.min_rate), (2, self.max_rate)].into_iter().filter_map(|(kind, rate)| Some((kind, rate?)))
    }

    fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let start = out.len();
        let of14 = version >= Version::V14;
        if of14 {
            out.put_u32(self.port.0);
        }
        out.put_u32(self.queue);
        if matches!(version, Version::V12 | Version::V13) {
            out.put_u32(self.port.0);
        }
        let len_at = out.len();
        out.put_zeros(if version <= Version::V11 { 4 } else { 8 });
        for (kind, rate) in self.rates() {
            out.put_u16(kind);
            out.put_u16(if of14 { 8 } else { 16 });
            out.put_zeros(if of14 { 0 } else { 4 });
            out.put_u16(rate);
            out.put_zeros(if of14 { 2 } else { 6 });
        }
        out.set_len16(len_at, start);
    }
}

/// Appends a reply with queues' configuration.
pub(super) fn encode_configs(
    port: OfpPort,
    queues: &[QueueConfig],
    version: Version,
    xid: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    let rows = [Raw::Ofpt10QueueGetConfigReply, Raw::Ofpt11QueueGetConfigReply, Raw::Ofpst14QueueDescReply];
    let raw = Raw::pick(&rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
    if raw == Raw::Ofpst14QueueDescReply {
        let mut parts = header::Parts::new(out, raw, version.wire(), xid);
        for queue in queues {
            parts.record(|out| queue.encode(version, out));
        }
        parts.finish();
        return Ok(());
    }
    let at = header::start(out, raw, version.wire(), xid);
    if raw == Raw::Ofpt10QueueGetConfigReply {
        out.put_u16(port.to_of10());
        out.put_zeros(6);
    } else {
        out.put_u32(port.0);
        out.put_zeros(4);
    }
    queues.iter().for_each(|queue| queue.encode(version, out));
    header::finish(out, at);
    Ok(())
}

/// Counters of one queue; all-ones: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Its port.
    pub port: OfpPort,
    /// The queue.
    pub queue: u32,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets dropped.
    pub tx_errors: u64,
    /// How long it exists, or [`Age::UNKNOWN`].
    pub duration: Age,
}

/// Decodes all records of a QUEUE reply.
pub(super) fn decode_stats(version: Version, mut r: Reader<'_>) -> Result<Vec<QueueStats>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let mut record = r;
        if version >= Version::V14 {
            let len = usize::from(record.u16()?);
            record = r.sub(len.max(1))?;
            if len < 48 {
                return Err(OfpError::OFPBRC_BAD_LEN);
            }
            record.skip(8)?;
        } else {
            record = r.sub(if version == Version::V13 { 40 } else { 32 })?;
        }
        let port = if version == Version::V10 {
            let port = OfpPort::from_of10(record.u16()?);
            record.skip(2)?;
            port
        } else {
            OfpPort::from_of11(record.u32()?)?
        };
        let queue = record.u32()?;
        let (tx_bytes, tx_packets, tx_errors) = (record.u64()?, record.u64()?, record.u64()?);
        let duration = if version >= Version::V13 { Age::decode(&mut record)? } else { Age::UNKNOWN };
        all.push(QueueStats { port, queue, tx_bytes, tx_packets, tx_errors, duration });
    }
    Ok(all)
}

/// Appends a QUEUE reply.
pub(super) fn encode_stats(
    queues: &[QueueStats],
    version: Version,
    xid: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    let rows =
        [Raw::Ofpst10QueueReply, Raw::Ofpst11QueueReply, Raw::Ofpst13QueueReply, Raw::Ofpst14QueueReply];
    let raw = Raw::pick(&rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
    let mut parts = header::Parts::new(out, raw, version.wire(), xid);
    for queue in queues {
        parts.record(|out| {
            if version >= Version::V14 {
                out.put_u16(48);
                out.put_zeros(6);
            }
            if version == Version::V10 {
                out.put_u16(queue.port.to_of10());
                out.put_zeros(2);
            } else {
                out.put_u32(queue.port.0);
            }
            out.put_u32(queue.queue);
            for n in [queue.tx_bytes, queue.tx_packets, queue.tx_errors] {
                out.put_u64(n);
            }
            if version >= Version::V13 {
                queue.duration.encode(out);
            }
        });
    }
    parts.finish();
    Ok(())
}
