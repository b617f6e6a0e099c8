//! OpenFlow messages: bytes to and from version-free requests, replies and events.
//!
//! Where it sits: `conn.rs` frames and answers with it for the switch; the tools encode requests and print replies.
//! It uses `matches`, `actions` and [`FlowMod`] of this crate, and knows no sockets.
//!
//! ~~~text
//! bytes ─ header::parse ─► Raw (row of the table) + body ─ decode ─► Message
//! Message ─ encode(Dialect, xid) ─► one message, or several where a multipart reply needs them
//! ~~~
//!
//! A [`Dialect`] is what one connection agreed on: version, 1.0's flow format, packet-in format. Everything that
//! differs between versions is decided from it, in here.
//!
//! I1  Decoding is total: any bytes give a message or the error to answer with.
//! I2  A message kind is supported whole, or refused whole with the right OFPBRC error.
//!
//! Next: `raw.rs`, `header.rs`, then `flow_mod.rs` as the example of a message.

mod bundle;
mod config;
mod continuation;
mod ct_flush;
mod cursor;
mod families;
mod flow_mod;
mod flow_monitor;
mod flow_removed;
mod flow_stats;
mod forward;
mod group_stats;
mod ipfix;
mod oxs;
mod packet_in;
mod packet_out;
mod port_stats;
mod ports;
mod props;
mod queue;
mod role;
mod selection;
mod session;
mod table_features;
mod table_mod;
mod table_stats;
mod tlv;

pub mod group;
pub mod header;
pub mod meter;
pub mod raw;

pub use bundle::{BundleAdd, BundleControl, BundleCtrl, BundleFlags};
pub use config::{Capabilities, FragMode, SwitchConfig, SwitchDesc, SwitchFeatures};
pub use continuation::{Continuation, RemainingActions};
pub use ct_flush::{CtFlush, CtTuple};
pub use flow_monitor::{
    FlowEvent, FlowMonitorRequest, FlowUpdate, FlowUpdateFull, MonitorCommand, MonitorFlags,
};
pub use flow_removed::{FlowRemoved, FlowRemovedReason};
pub use flow_stats::{Age, AggregateStats, FlowStats, FlowStatsRequest};
pub use group::{Bucket, GroupCommand, GroupMod, GroupType};
pub use group_stats::{GroupDesc, GroupFeatures, GroupStats};
pub use header::Header;
pub use ipfix::IpfixStats;
pub use meter::{
    BandKind, MeterBand, MeterCommand, MeterConfig, MeterFeatures, MeterFlags, MeterMod, MeterStats,
};
pub use packet_in::{PacketIn, PacketInFormat, reason_name};
pub use packet_out::PacketOut;
pub use port_stats::{PortStats, Rfc2819};
pub use ports::{LinkFeatures, PortConfig, PortDesc, PortMod, PortReason, PortState, PortStatus};
pub use queue::{ALL_QUEUES, QueueConfig, QueueRequest, QueueStats};
pub use raw::Raw;
pub use role::{AsyncConfig, AsyncKind, Role, RoleMessage, RoleReason, RoleStatus};
pub use selection::SelectionMethod;
pub use session::{ErrorMessage, Hello, VersionSet};
pub use table_features::{ActionFeatures, InstructionFeatures, TableFeatures};
pub use table_mod::{TableDesc, TableMiss, TableMod, TableReason, TableStatus, Vacancy};
pub use table_stats::{TableCaps, TableStats};
pub use tlv::{TlvCommand, TlvMap, TlvTable, TlvTableMod};

use crate::{FlowMod, OfpError, OfpPort, Protocols, PutBytes, Version};

use cursor::{PutBody, Reader};

pub(crate) type Result<T> = core::result::Result<T, OfpError>;

/// How one connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// One protocol: a version and, in 1.0, the flow format.
    pub protocol: Protocols,
    /// The layout of packet-ins.
    pub packet_in_format: PacketInFormat,
}

impl Dialect {
    /// The dialect of a fresh connection of `version`.
    pub const fn new(version: Version) -> Dialect {
        let protocol = match version {
            Version::V10 => Protocols::OF10_STD,
            _ => Protocols::of_version(version),
        };
        Dialect { protocol, packet_in_format: PacketInFormat::Standard }
    }

    /// The dialect that speaks `protocol`.
    pub const fn of_protocol(protocol: Protocols) -> Dialect {
        Dialect { protocol, packet_in_format: PacketInFormat::Standard }
    }

    /// Its version.
    pub fn version(self) -> Version {
        self.protocol.version().unwrap_or(Version::V10)
    }

    /// True if flow mods name tables.
    pub fn has_table_ids(self) -> bool {
        self.protocol.intersects(Protocols::TID)
    }

    /// The row for 1.0's format, for Nicira's in 1.0, or for 1.1 and later.
    fn flow_format(self, of10: Raw, nxm: Raw, of11: Raw) -> Raw {
        if self.protocol.intersects(Protocols::OF10_NXM_ANY) {
            nxm
        } else if self.version() == Version::V10 {
            of10
        } else {
            of11
        }
    }
}

/// What decoding needs to know of the receiver.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Flow mods of 1.0 and Nicira carry a table (NXT_FLOW_MOD_TABLE_ID).
    pub flow_mod_table_id: bool,
    /// One more than the largest valid port.
    pub max_ports: u32,
    /// How many tables there are.
    pub n_tables: u8,
    /// Masks that a partial SET_ASYNC leaves alone.
    pub async_config: AsyncConfig,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            flow_mod_table_id: false,
            max_ports: OfpPort::MAX.0,
            n_tables: 255,
            async_config: AsyncConfig::default(),
        }
    }
}

/// One message, free of version.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "named after the messages; bodies are documented at their types")]
pub enum Message {
    Hello(Hello),
    Error(ErrorMessage),
    EchoRequest(Vec<u8>),
    EchoReply(Vec<u8>),
    FeaturesRequest,
    FeaturesReply(SwitchFeatures),
    GetConfigRequest,
    GetConfigReply(SwitchConfig),
    SetConfig(SwitchConfig),
    PacketIn(PacketIn),
    FlowRemoved(FlowRemoved),
    PortStatus(PortStatus),
    PacketOut(PacketOut),
    FlowMod(FlowMod),
    PortMod(PortMod),
    BarrierRequest,
    BarrierReply,
    RoleRequest(RoleMessage),
    RoleReply(RoleMessage),
    RoleStatus(RoleStatus),
    GetAsyncRequest,
    GetAsyncReply(AsyncConfig),
    SetAsync(AsyncConfig),
    BundleControl(BundleControl),
    BundleAdd(BundleAdd),
    /// NXT_SET_FLOW_FORMAT: true for NXM.
    SetFlowFormat(bool),
    FlowModTableId(bool),
    SetPacketInFormat(PacketInFormat),
    FlowAge,
    SetControllerId(u16),
    /// NXT_RESUME.
    Resume(PacketIn),
    DescRequest,
    DescReply(SwitchDesc),
    FlowStatsRequest(FlowStatsRequest),
    FlowStatsReply(Vec<FlowStats>),
    AggregateRequest(FlowStatsRequest),
    AggregateReply(AggregateStats),
    TableStatsRequest,
    TableStatsReply(Vec<TableStats>),
    /// Empty: a question; else what tables are to do.
    TableFeaturesRequest(Vec<TableFeatures>),
    TableFeaturesReply(Vec<TableFeatures>),
    /// The port, or `NONE` for all.
    PortStatsRequest(OfpPort),
    PortStatsReply(Vec<PortStats>),
    /// The port, or `NONE` for all; only 1.5 can name one.
    PortDescRequest(OfpPort),
    PortDescReply(Vec<PortDesc>),
    GroupMod(GroupMod),
    /// The group, or [`group::ALL_GROUPS`].
    GroupStatsRequest(u32),
    GroupStatsReply(Vec<GroupStats>),
    /// The same; only 1.0 and 1.5 can name one.
    GroupDescRequest(u32),
    GroupDescReply(Vec<GroupDesc>),
    GroupFeaturesRequest,
    GroupFeaturesReply(GroupFeatures),
    MeterMod(MeterMod),
    /// The meter, or one of [`meter::meter_id`].
    MeterStatsRequest(u32),
    MeterStatsReply(Vec<MeterStats>),
    MeterConfigRequest(u32),
    MeterConfigReply(Vec<MeterConfig>),
    MeterFeaturesRequest,
    MeterFeaturesReply(MeterFeatures),
    QueueConfigRequest(QueueRequest),
    /// The port that was asked about, which 1.4 and later do not say, and its queues.
    QueueConfigReply(OfpPort, Vec<QueueConfig>),
    QueueStatsRequest(QueueRequest),
    QueueStatsReply(Vec<QueueStats>),
    TableMod(TableMod),
    TableDescRequest,
    TableDescReply(Vec<TableDesc>),
    TableStatus(TableStatus),
    /// A whole GROUP_MOD or METER_MOD.
    RequestForward(Vec<u8>),
    FlowMonitorRequest(Vec<FlowMonitorRequest>),
    FlowMonitorReply(Vec<FlowUpdate>),
    FlowMonitorCancel(u32),
    FlowMonitorPaused,
    FlowMonitorResumed,
    TlvTableMod(TlvTableMod),
    TlvTableRequest,
    TlvTableReply(TlvTable),
    IpfixBridgeRequest,
    IpfixBridgeReply(IpfixStats),
    IpfixFlowRequest,
    IpfixFlowReply(Vec<IpfixStats>),
    CtFlushZone(u16),
    CtFlush(CtFlush),
}

/// Decodes one whole message.
pub fn decode(message: &[u8], limits: &Limits) -> Result<(Header, Message)> {
    let (header, body) = header::parse(message)?;
    Ok((header, decode_body(&header, body, limits)?))
}

/// Decodes the body that [`header::parse`] found.
pub fn decode_body(header: &Header, body: &[u8], limits: &Limits) -> Result<Message> {
    let r = Reader::new(body);
    match header.raw {
        Raw::OfptHello => return Ok(Message::Hello(Hello::decode(header.version, r))),
        Raw::OfptError => return ErrorMessage::decode(header.version, r).map(Message::Error),
        Raw::OfptEchoRequest => return Ok(Message::EchoRequest(body.to_vec())),
        Raw::OfptEchoReply => return Ok(Message::EchoReply(body.to_vec())),
        _ => {}
    }
    let version = Version::from_wire(header.version).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
    if let Some(message) = decode_switch(header, version, r, limits)? {
        return Ok(message);
    }
    if let Some(message) = decode_session(header.raw, version, r, limits)? {
        return Ok(message);
    }
    if let Some(message) = families::decode(header, version, r)? {
        return Ok(message);
    }
    decode_stats(header.raw, version, r)?.ok_or(refusal(header.raw))
}

/// The error for a message that is known and not supported.
pub fn refusal(raw: Raw) -> OfpError {
    match raw.def().class {
        raw::Class::Std(_) => OfpError::OFPBRC_BAD_TYPE,
        raw::Class::StatRequest(_) | raw::Class::StatReply(_) => OfpError::OFPBRC_BAD_STAT,
        _ => OfpError::OFPBRC_BAD_SUBTYPE,
    }
}

/// Messages about the switch and its packets.
fn decode_switch(
    header: &Header,
    version: Version,
    mut r: Reader<'_>,
    limits: &Limits,
) -> Result<Option<Message>> {
    let raw = header.raw;
    Ok(Some(match raw {
        Raw::OfptFeaturesRequest => Message::FeaturesRequest,
        Raw::Ofpt10FeaturesReply | Raw::Ofpt11FeaturesReply | Raw::Ofpt13FeaturesReply => {
            Message::FeaturesReply(SwitchFeatures::decode(version, r)?)
        }
        Raw::OfptGetConfigRequest => Message::GetConfigRequest,
        Raw::OfptGetConfigReply => Message::GetConfigReply(SwitchConfig::decode(raw, version, r)?),
        Raw::OfptSetConfig => Message::SetConfig(SwitchConfig::decode(raw, version, r)?),
        Raw::Ofpt10PacketIn
        | Raw::Ofpt11PacketIn
        | Raw::Ofpt12PacketIn
        | Raw::Ofpt13PacketIn
        | Raw::NxtPacketIn
        | Raw::NxtPacketIn2 => Message::PacketIn(PacketIn::decode(raw, version, r)?),
        Raw::NxtResume => {
            Message::Resume(PacketIn::decode_properties(r, packet_in::UnknownProperty::Refused)?)
        }
        Raw::Ofpt10FlowRemoved | Raw::Ofpt11FlowRemoved | Raw::Ofpt15FlowRemoved | Raw::NxtFlowRemoved => {
            Message::FlowRemoved(FlowRemoved::decode(raw, version, r)?)
        }
        Raw::Ofpt10PortStatus | Raw::Ofpt11PortStatus | Raw::Ofpt14PortStatus => {
            Message::PortStatus(PortStatus::decode(version, r)?)
        }
        Raw::Ofpt10PacketOut | Raw::Ofpt11PacketOut | Raw::Ofpt15PacketOut => {
            Message::PacketOut(PacketOut::decode(raw, version, r)?)
        }
        Raw::Ofpt10FlowMod | Raw::Ofpt11FlowMod | Raw::NxtFlowMod => {
            Message::FlowMod(flow_mod::decode(raw, version, r, limits)?)
        }
        Raw::Ofpt10PortMod | Raw::Ofpt11PortMod | Raw::Ofpt14PortMod => {
            Message::PortMod(PortMod::decode(version, r)?)
        }
        Raw::Ofpt14BundleControl | Raw::Onft13BundleControl => {
            Message::BundleControl(BundleControl::decode(r)?)
        }
        Raw::Ofpt14BundleAddMessage | Raw::Onft13BundleAddMessage => {
            Message::BundleAdd(BundleAdd::decode(header.version, header.xid, r)?)
        }
        Raw::NxtFlowModTableId => Message::FlowModTableId(r.u8()? != 0),
        _ => return Ok(None),
    }))
}

/// Messages about the connection.
fn decode_session(raw: Raw, version: Version, mut r: Reader<'_>, limits: &Limits) -> Result<Option<Message>> {
    Ok(Some(match raw {
        Raw::Ofpt10BarrierRequest | Raw::Ofpt11BarrierRequest => Message::BarrierRequest,
        Raw::Ofpt10BarrierReply | Raw::Ofpt11BarrierReply => Message::BarrierReply,
        Raw::Ofpt12RoleRequest | Raw::NxtRoleRequest => Message::RoleRequest(RoleMessage::decode(raw, r)?),
        Raw::Ofpt12RoleReply | Raw::NxtRoleReply => Message::RoleReply(RoleMessage::decode(raw, r)?),
        Raw::Ofpt14RoleStatus | Raw::Onft13RoleStatus => Message::RoleStatus(RoleStatus::decode(r)?),
        Raw::Ofpt13GetAsyncRequest | Raw::Ofpt14GetAsyncRequest => Message::GetAsyncRequest,
        Raw::Ofpt13GetAsyncReply | Raw::Ofpt14GetAsyncReply => {
            Message::GetAsyncReply(AsyncConfig::default().decode(raw, version, r)?)
        }
        Raw::Ofpt13SetAsync | Raw::Ofpt14SetAsync | Raw::NxtSetAsyncConfig | Raw::NxtSetAsyncConfig2 => {
            Message::SetAsync(limits.async_config.decode(raw, version, r)?)
        }
        Raw::NxtSetFlowFormat => match r.u32()? {
            0 => Message::SetFlowFormat(false),
            2 => Message::SetFlowFormat(true),
            _ => return Err(OfpError::OFPBRC_EPERM),
        },
        Raw::NxtSetPacketInFormat => {
            let format = PacketInFormat::from_wire(r.u32()?).ok_or(OfpError::OFPBRC_EPERM)?;
            Message::SetPacketInFormat(format)
        }
        Raw::NxtFlowAge => Message::FlowAge,
        Raw::NxtSetControllerId => {
            r.zeros(6)?;
            Message::SetControllerId(r.u16()?)
        }
        _ => return Ok(None),
    }))
}

/// Statistics and multipart messages.
fn decode_stats(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<Option<Message>> {
    Ok(Some(match raw {
        Raw::OfpstDescRequest => Message::DescRequest,
        Raw::OfpstDescReply => Message::DescReply(SwitchDesc::decode(r)?),
        Raw::Ofpst10FlowRequest | Raw::Ofpst11FlowRequest | Raw::NxstFlowRequest => {
            Message::FlowStatsRequest(FlowStatsRequest::decode(raw, version, r)?)
        }
        Raw::Ofpst10FlowReply
        | Raw::Ofpst11FlowReply
        | Raw::Ofpst13FlowReply
        | Raw::Ofpst15FlowReply
        | Raw::NxstFlowReply => Message::FlowStatsReply(flow_stats::decode(raw, version, r)?),
        Raw::Ofpst10AggregateRequest
        | Raw::Ofpst11AggregateRequest
        | Raw::Ofpst15AggregateRequest
        | Raw::NxstAggregateRequest => Message::AggregateRequest(FlowStatsRequest::decode(raw, version, r)?),
        Raw::OfpstAggregateReply | Raw::Ofpst15AggregateReply | Raw::NxstAggregateReply => {
            Message::AggregateReply(AggregateStats::decode(raw, r)?)
        }
        Raw::OfpstTableRequest => Message::TableStatsRequest,
        Raw::Ofpst10TableReply | Raw::Ofpst11TableReply | Raw::Ofpst12TableReply | Raw::Ofpst13TableReply => {
            Message::TableStatsReply(table_stats::decode(version, r)?)
        }
        Raw::Ofpst13TableFeaturesRequest => {
            Message::TableFeaturesRequest(table_features::decode(raw, version, r)?)
        }
        Raw::Ofpst13TableFeaturesReply => {
            Message::TableFeaturesReply(table_features::decode(raw, version, r)?)
        }
        Raw::Ofpst10PortRequest => Message::PortStatsRequest(OfpPort::from_of10(r.u16()?)),
        Raw::Ofpst11PortRequest => Message::PortStatsRequest(OfpPort::from_of11(r.u32()?)?),
        Raw::Ofpst10PortReply | Raw::Ofpst11PortReply | Raw::Ofpst13PortReply | Raw::Ofpst14PortReply => {
            Message::PortStatsReply(port_stats::decode(version, r)?)
        }
        Raw::Ofpst10PortDescRequest => Message::PortDescRequest(OfpPort::NONE),
        Raw::Ofpst15PortDescRequest => Message::PortDescRequest(OfpPort::from_of11(r.u32()?)?),
        Raw::Ofpst10PortDescReply | Raw::Ofpst11PortDescReply | Raw::Ofpst14PortDescReply => {
            let mut ports = Vec::new();
            while !r.is_empty() {
                ports.push(PortDesc::decode(version, &mut r)?);
            }
            Message::PortDescReply(ports)
        }
        _ => return Ok(None),
    }))
}

mod encode;

#[cfg(test)]
mod tests;
