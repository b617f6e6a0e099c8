//! Which module decodes and encodes the messages about groups, meters, queues, tables, monitors and maps.
//!
//! Where it sits: `mod.rs` asks it after its own; each arm names one codec.

use super::raw::Raw;
use super::*;

pub(super) fn decode(header: &Header, version: Version, mut r: Reader<'_>) -> Result<Option<Message>> {
    let raw = header.raw;
    Ok(Some(match raw {
        Raw::Ofpt11GroupMod | Raw::Ofpt15GroupMod | Raw::NxtGroupMod => {
            Message::GroupMod(GroupMod::decode(raw, version, r)?)
        }
        Raw::Ofpst11GroupRequest | Raw::NxstGroupRequest => Message::GroupStatsRequest(r.u32()?),
        Raw::Ofpst11GroupReply | Raw::Ofpst13GroupReply | Raw::NxstGroupReply => {
            Message::GroupStatsReply(group_stats::decode_stats(raw, r)?)
        }
        Raw::Ofpst11GroupDescRequest => Message::GroupDescRequest(group::ALL_GROUPS),
        Raw::Ofpst15GroupDescRequest | Raw::NxstGroupDescRequest => Message::GroupDescRequest(r.u32()?),
        Raw::Ofpst11GroupDescReply | Raw::NxstGroupDescReply => {
            Message::GroupDescReply(group_stats::decode_descs(raw, version, r)?)
        }
        Raw::Ofpst12GroupFeaturesRequest | Raw::NxstGroupFeaturesRequest => Message::GroupFeaturesRequest,
        Raw::Ofpst12GroupFeaturesReply | Raw::NxstGroupFeaturesReply => {
            Message::GroupFeaturesReply(GroupFeatures::decode(r)?)
        }
        Raw::Ofpt13MeterMod => Message::MeterMod(MeterMod::decode(r)?),
        Raw::Ofpst13MeterRequest => Message::MeterStatsRequest(r.u32()?),
        Raw::Ofpst13MeterReply => Message::MeterStatsReply(meter::decode_stats(r)?),
        Raw::Ofpst13MeterConfigRequest => Message::MeterConfigRequest(r.u32()?),
        Raw::Ofpst13MeterConfigReply => Message::MeterConfigReply(meter::decode_configs(r)?),
        Raw::Ofpst13MeterFeaturesRequest => Message::MeterFeaturesRequest,
        Raw::Ofpst13MeterFeaturesReply => Message::MeterFeaturesReply(MeterFeatures::decode(r)?),
        Raw::Ofpt14Requestforward | Raw::NxtRequestforward | Raw::Onft13Requestforward => {
            Message::RequestForward(forward::decode(header.version, r)?)
        }
        _ => return decode_others(raw, version, r),
    }))
}

fn decode_others(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<Option<Message>> {
    Ok(Some(match raw {
        Raw::Ofpt10QueueGetConfigRequest
        | Raw::Ofpt11QueueGetConfigRequest
        | Raw::Ofpst14QueueDescRequest => Message::QueueConfigRequest(QueueRequest::decode_config(raw, r)?),
        Raw::Ofpt10QueueGetConfigReply | Raw::Ofpt11QueueGetConfigReply | Raw::Ofpst14QueueDescReply => {
            let (port, queues) = queue::decode_configs(raw, version, r)?;
            Message::QueueConfigReply(port.unwrap_or(OfpPort::NONE), queues)
        }
        Raw::Ofpst10QueueRequest | Raw::Ofpst11QueueRequest => {
            Message::QueueStatsRequest(QueueRequest::decode_stats(version, r)?)
        }
        Raw::Ofpst10QueueReply | Raw::Ofpst11QueueReply | Raw::Ofpst13QueueReply | Raw::Ofpst14QueueReply => {
            Message::QueueStatsReply(queue::decode_stats(version, r)?)
        }
        Raw::Ofpt11TableMod | Raw::Ofpt14TableMod => Message::TableMod(TableMod::decode(version, r)?),
        Raw::Ofpst14TableDescRequest => Message::TableDescRequest,
        Raw::Ofpst14TableDescReply => Message::TableDescReply(table_mod::decode_descs(r)?),
        Raw::Ofpt14TableStatus => Message::TableStatus(TableStatus::decode(r)?),
        Raw::Ofpst14FlowMonitorRequest | Raw::NxstFlowMonitorRequest | Raw::Onfst13FlowMonitorRequest => {
            Message::FlowMonitorRequest(flow_monitor::decode_requests(raw, version, r)?)
        }
        Raw::Ofpst14FlowMonitorReply | Raw::NxstFlowMonitorReply | Raw::Onfst13FlowMonitorReply => {
            Message::FlowMonitorReply(flow_monitor::decode_updates(raw, version, r)?)
        }
        Raw::NxtFlowMonitorCancel | Raw::Onft13FlowMonitorCancel => Message::FlowMonitorCancel(r.u32()?),
        Raw::NxtFlowMonitorPaused | Raw::Onft13FlowMonitorPaused => Message::FlowMonitorPaused,
        Raw::NxtFlowMonitorResumed | Raw::Onft13FlowMonitorResumed => Message::FlowMonitorResumed,
        Raw::NxtTlvTableMod => Message::TlvTableMod(TlvTableMod::decode(r)?),
        Raw::NxtTlvTableRequest => Message::TlvTableRequest,
        Raw::NxtTlvTableReply => Message::TlvTableReply(TlvTable::decode(r)?),
        Raw::NxstIpfixBridgeRequest => Message::IpfixBridgeRequest,
        Raw::NxstIpfixBridgeReply => Message::IpfixBridgeReply(IpfixStats::decode(&mut r)?),
        Raw::NxstIpfixFlowRequest => Message::IpfixFlowRequest,
        Raw::NxstIpfixFlowReply => {
            let mut all = Vec::new();
            while !r.is_empty() {
                all.push(IpfixStats::decode(&mut r)?);
            }
            Message::IpfixFlowReply(all)
        }
        Raw::NxtCtFlushZone => {
            r.zeros(6)?;
            Message::CtFlushZone(r.u16()?)
        }
        Raw::NxtCtFlush => Message::CtFlush(CtFlush::decode(r)?),
        _ => return Ok(None),
    }))
}

/// Appends the message of `rows` that this version has, with what `body` writes.
fn put(
    rows: &[Raw],
    version: Version,
    xid: u32,
    out: &mut Vec<u8>,
    body: &dyn Fn(&mut Vec<u8>),
) -> Result<()> {
    let raw = Raw::pick(rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
    let at = header::start(out, raw, version.wire(), xid);
    body(out);
    header::finish(out, at);
    Ok(())
}

/// Appends `message` if it is of these families.
pub(super) fn encode(message: &Message, dialect: Dialect, xid: u32, out: &mut Vec<u8>) -> Option<Result<()>> {
    let version = dialect.version();
    let mut row = |rows: &[Raw], body: &dyn Fn(&mut Vec<u8>)| put(rows, version, xid, out, body);
    let number = |n: u32| {
        move |out: &mut Vec<u8>| {
            out.put_u32(n);
            out.put_zeros(4);
        }
    };
    Some(match message {
        Message::GroupMod(gm) => gm.encode(version, xid, out),
        Message::GroupStatsRequest(id) => {
            row(&[Raw::NxstGroupRequest, Raw::Ofpst11GroupRequest], &number(*id))
        }
        Message::GroupStatsReply(groups) => group_stats::encode_stats(groups, version, xid, out),
        Message::GroupDescRequest(id) => match version {
            Version::V10 | Version::V15 => {
                row(&[Raw::NxstGroupDescRequest, Raw::Ofpst15GroupDescRequest], &number(*id))
            }
            _ => row(&[Raw::Ofpst11GroupDescRequest], &|_| {}),
        },
        Message::GroupDescReply(groups) => group_stats::encode_descs(groups, version, xid, out),
        Message::GroupFeaturesRequest => {
            row(&[Raw::NxstGroupFeaturesRequest, Raw::Ofpst12GroupFeaturesRequest], &|_| {})
        }
        Message::GroupFeaturesReply(f) => {
            row(&[Raw::NxstGroupFeaturesReply, Raw::Ofpst12GroupFeaturesReply], &|out| f.encode(out))
        }
        Message::MeterMod(m) => row(&[Raw::Ofpt13MeterMod], &|out| m.encode(out)),
        Message::MeterStatsRequest(id) => row(&[Raw::Ofpst13MeterRequest], &number(*id)),
        Message::MeterConfigRequest(id) => row(&[Raw::Ofpst13MeterConfigRequest], &number(*id)),
        Message::MeterFeaturesRequest => row(&[Raw::Ofpst13MeterFeaturesRequest], &|_| {}),
        Message::MeterFeaturesReply(f) => row(&[Raw::Ofpst13MeterFeaturesReply], &|out| f.encode(out)),
        Message::MeterStatsReply(_) | Message::MeterConfigReply(_) if version < Version::V13 => {
            Err(OfpError::OFPBRC_BAD_VERSION)
        }
        Message::MeterStatsReply(meters) => {
            meter::encode_stats(meters, version, xid, out);
            Ok(())
        }
        Message::MeterConfigReply(meters) => {
            meter::encode_configs(meters, version, xid, out);
            Ok(())
        }
        Message::QueueConfigRequest(q) => q.encode_config(version, xid, out),
        Message::QueueConfigReply(port, queues) => queue::encode_configs(*port, queues, version, xid, out),
        Message::QueueStatsRequest(q) => {
            row(&[Raw::Ofpst10QueueRequest, Raw::Ofpst11QueueRequest], &|out| q.encode_stats(version, out))
        }
        Message::QueueStatsReply(queues) => queue::encode_stats(queues, version, xid, out),
        _ => return encode_others(message, version, xid, out),
    })
}

fn encode_others(message: &Message, version: Version, xid: u32, out: &mut Vec<u8>) -> Option<Result<()>> {
    let mut row = |rows: &[Raw], body: &dyn Fn(&mut Vec<u8>)| put(rows, version, xid, out, body);
    Some(match message {
        Message::TableMod(tm) => tm.encode(version, xid, out),
        Message::TableDescRequest => row(&[Raw::Ofpst14TableDescRequest], &|_| {}),
        Message::TableDescReply(tables) => row(&[Raw::Ofpst14TableDescReply], &|out| {
            tables.iter().for_each(|t| t.encode(out));
        }),
        Message::TableStatus(s) => row(&[Raw::Ofpt14TableStatus], &|out| s.encode(out)),
        Message::RequestForward(request) => {
            let rows = [Raw::NxtRequestforward, Raw::Onft13Requestforward, Raw::Ofpt14Requestforward];
            row(&rows, &|out| out.put(request))
        }
        Message::FlowMonitorRequest(monitors) => flow_monitor::encode_requests(monitors, version, xid, out),
        Message::FlowMonitorReply(updates) => flow_monitor::encode_updates(updates, version, xid, out),
        Message::FlowMonitorCancel(id) => {
            row(&[Raw::NxtFlowMonitorCancel, Raw::Onft13FlowMonitorCancel], &|out| out.put_u32(*id))
        }
        Message::FlowMonitorPaused => {
            row(&[Raw::NxtFlowMonitorPaused, Raw::Onft13FlowMonitorPaused], &|_| {})
        }
        Message::FlowMonitorResumed => {
            row(&[Raw::NxtFlowMonitorResumed, Raw::Onft13FlowMonitorResumed], &|_| {})
        }
        Message::TlvTableMod(t) => row(&[Raw::NxtTlvTableMod], &|out| t.encode(out)),
        Message::TlvTableRequest => row(&[Raw::NxtTlvTableRequest], &|_| {}),
        Message::TlvTableReply(t) => row(&[Raw::NxtTlvTableReply], &|out| t.encode(out)),
        Message::IpfixBridgeRequest => row(&[Raw::NxstIpfixBridgeRequest], &|_| {}),
        Message::IpfixBridgeReply(s) => row(&[Raw::NxstIpfixBridgeReply], &|out| s.encode(out)),
        Message::IpfixFlowRequest => row(&[Raw::NxstIpfixFlowRequest], &|_| {}),
        Message::IpfixFlowReply(all) => {
            row(&[Raw::NxstIpfixFlowReply], &|out| all.iter().for_each(|s| s.encode(out)))
        }
        Message::CtFlushZone(zone) => row(&[Raw::NxtCtFlushZone], &|out| {
            out.put_zeros(6);
            out.put_u16(*zone);
        }),
        Message::CtFlush(f) => row(&[Raw::NxtCtFlush], &|out| f.encode(out)),
        _ => return None,
    })
}
