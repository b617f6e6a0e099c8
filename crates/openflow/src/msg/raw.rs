//! Every message body that exists on the wire: one table of message × version, type numbers and least lengths.
//!
//! Where it sits: `header.rs` finds a row from the bytes of a message and each message's decoder matches on the row;
//! encoders pick a row and start the message from it. Nothing else knows type numbers.
//!
//! A row is a body layout, so a message whose layout changed between versions has several rows; its printed name is
//! the same in all of them. Spec: OpenFlow 1.0 to 1.5, `ofp_header.type`; ovs-ofctl(8). Next: `header.rs`.

use crate::{NX_VENDOR, ONF_VENDOR};

const NX: u32 = NX_VENDOR;
const ONF: u32 = ONF_VENDOR;

/// How a message is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `ofp_header.type`.
    Std(u8),
    /// Vendor and subtype.
    Vendor(u32, u32),
    /// Statistics or multipart type, of a request.
    StatRequest(u16),
    /// The same, of a reply.
    StatReply(u16),
    /// Vendor and subtype of vendor statistics, of a request.
    VendorStatRequest(u32, u32),
    /// The same, of a reply.
    VendorStatReply(u32, u32),
}

/// How long a body may be beyond its least length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Not longer.
    Exact,
    /// Any length.
    AtLeast,
    /// By a multiple.
    Multiple(usize),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct RawDef {
    /// The row's name.
    pub raw: Raw,
    /// The message's name as it is printed.
    pub name: &'static str,
    /// First wire version (1 is OpenFlow 1.0).
    pub first: u8,
    /// Last wire version.
    pub last: u8,
    /// How it is numbered.
    pub class: Class,
    /// Least length of the body.
    pub min_body: usize,
    /// How the body may be longer.
    pub step: Step,
}

macro_rules! raws {
    ($($raw:ident, $name:literal, $first:literal..=$last:literal, $class:expr, $min:literal, $step:expr;)+) => {
        /// A body layout, named after the specification's message and the version that brought the layout.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the printed name is the documentation")]
        pub enum Raw {
            $($raw,)+
        }

        /// The table, in the order of [`Raw`].
        pub static RAWS: &[RawDef] = {
            use Class::*;
            use Step::*;
            &[$(RawDef {
                raw: Raw::$raw, name: $name, first: $first, last: $last, class: $class, min_body: $min, step: $step,
            },)+]
        };
    };
}

raws! {
    OfptHello, "OFPT_HELLO", 1..=255, Std(0), 0, AtLeast;
    OfptError, "OFPT_ERROR", 1..=255, Std(1), 4, AtLeast;
    OfptEchoRequest, "OFPT_ECHO_REQUEST", 1..=255, Std(2), 0, AtLeast;
    OfptEchoReply, "OFPT_ECHO_REPLY", 1..=255, Std(3), 0, AtLeast;
    OfptFeaturesRequest, "OFPT_FEATURES_REQUEST", 1..=6, Std(5), 0, Exact;
    Ofpt10FeaturesReply, "OFPT_FEATURES_REPLY", 1..=1, Std(6), 24, Multiple(48);
    Ofpt11FeaturesReply, "OFPT_FEATURES_REPLY", 2..=3, Std(6), 24, Multiple(64);
    Ofpt13FeaturesReply, "OFPT_FEATURES_REPLY", 4..=6, Std(6), 24, Exact;
    OfptGetConfigRequest, "OFPT_GET_CONFIG_REQUEST", 1..=6, Std(7), 0, Exact;
    OfptGetConfigReply, "OFPT_GET_CONFIG_REPLY", 1..=6, Std(8), 4, Exact;
    OfptSetConfig, "OFPT_SET_CONFIG", 1..=6, Std(9), 4, Exact;
    Ofpt10PacketIn, "OFPT_PACKET_IN", 1..=1, Std(10), 10, AtLeast;
    Ofpt11PacketIn, "OFPT_PACKET_IN", 2..=2, Std(10), 16, AtLeast;
    Ofpt12PacketIn, "OFPT_PACKET_IN", 3..=3, Std(10), 8, AtLeast;
    Ofpt13PacketIn, "OFPT_PACKET_IN", 4..=6, Std(10), 16, AtLeast;
    Ofpt10FlowRemoved, "OFPT_FLOW_REMOVED", 1..=1, Std(11), 80, Exact;
    Ofpt11FlowRemoved, "OFPT_FLOW_REMOVED", 2..=5, Std(11), 40, Multiple(8);
    Ofpt15FlowRemoved, "OFPT_FLOW_REMOVED", 6..=6, Std(11), 16, Multiple(8);
    Ofpt10PortStatus, "OFPT_PORT_STATUS", 1..=1, Std(12), 56, Exact;
    Ofpt11PortStatus, "OFPT_PORT_STATUS", 2..=4, Std(12), 72, Exact;
    Ofpt14PortStatus, "OFPT_PORT_STATUS", 5..=6, Std(12), 48, Multiple(8);
    Ofpt10PacketOut, "OFPT_PACKET_OUT", 1..=1, Std(13), 8, AtLeast;
    Ofpt11PacketOut, "OFPT_PACKET_OUT", 2..=5, Std(13), 16, AtLeast;
    Ofpt15PacketOut, "OFPT_PACKET_OUT", 6..=6, Std(13), 8, AtLeast;
    Ofpt10FlowMod, "OFPT_FLOW_MOD", 1..=1, Std(14), 64, Multiple(8);
    Ofpt11FlowMod, "OFPT_FLOW_MOD", 2..=6, Std(14), 40, Multiple(8);
    Ofpt11GroupMod, "OFPT_GROUP_MOD", 2..=5, Std(15), 8, Multiple(8);
    Ofpt15GroupMod, "OFPT_GROUP_MOD", 6..=6, Std(15), 16, Multiple(8);
    Ofpt10PortMod, "OFPT_PORT_MOD", 1..=1, Std(15), 24, Exact;
    Ofpt11PortMod, "OFPT_PORT_MOD", 2..=4, Std(16), 32, Exact;
    Ofpt14PortMod, "OFPT_PORT_MOD", 5..=6, Std(16), 24, Multiple(8);
    Ofpt11TableMod, "OFPT_TABLE_MOD", 2..=4, Std(17), 8, Exact;
    Ofpt14TableMod, "OFPT_TABLE_MOD", 5..=6, Std(17), 8, Multiple(8);
    Ofpt10BarrierRequest, "OFPT_BARRIER_REQUEST", 1..=1, Std(18), 0, Exact;
    Ofpt11BarrierRequest, "OFPT_BARRIER_REQUEST", 2..=6, Std(20), 0, Exact;
    Ofpt10BarrierReply, "OFPT_BARRIER_REPLY", 1..=1, Std(19), 0, Exact;
    Ofpt11BarrierReply, "OFPT_BARRIER_REPLY", 2..=6, Std(21), 0, Exact;
    Ofpt10QueueGetConfigRequest, "OFPT_QUEUE_GET_CONFIG_REQUEST", 1..=1, Std(20), 4, Exact;
    Ofpt11QueueGetConfigRequest, "OFPT_QUEUE_GET_CONFIG_REQUEST", 2..=4, Std(22), 8, Exact;
    Ofpt10QueueGetConfigReply, "OFPT_QUEUE_GET_CONFIG_REPLY", 1..=1, Std(21), 8, Multiple(8);
    Ofpt11QueueGetConfigReply, "OFPT_QUEUE_GET_CONFIG_REPLY", 2..=4, Std(23), 8, Multiple(8);
    Ofpt12RoleRequest, "OFPT_ROLE_REQUEST", 3..=6, Std(24), 16, Exact;
    Ofpt12RoleReply, "OFPT_ROLE_REPLY", 3..=6, Std(25), 16, Exact;
    Ofpt13GetAsyncRequest, "OFPT_GET_ASYNC_REQUEST", 4..=4, Std(26), 0, Exact;
    Ofpt14GetAsyncRequest, "OFPT_GET_ASYNC_REQUEST", 5..=6, Std(26), 0, Exact;
    Ofpt13GetAsyncReply, "OFPT_GET_ASYNC_REPLY", 4..=4, Std(27), 24, Exact;
    Ofpt14GetAsyncReply, "OFPT_GET_ASYNC_REPLY", 5..=6, Std(27), 0, Multiple(8);
    Ofpt13SetAsync, "OFPT_SET_ASYNC", 4..=4, Std(28), 24, Exact;
    Ofpt14SetAsync, "OFPT_SET_ASYNC", 5..=6, Std(28), 0, Multiple(8);
    Ofpt13MeterMod, "OFPT_METER_MOD", 4..=6, Std(29), 8, Multiple(8);
    Ofpt14RoleStatus, "OFPT_ROLE_STATUS", 5..=6, Std(30), 16, Multiple(8);
    Ofpt14TableStatus, "OFPT_TABLE_STATUS", 5..=6, Std(31), 8, Multiple(8);
    Ofpt14Requestforward, "OFPT_REQUESTFORWARD", 5..=6, Std(32), 8, Multiple(8);
    Ofpt14BundleControl, "OFPT_BUNDLE_CONTROL", 5..=6, Std(33), 8, Multiple(8);
    Ofpt14BundleAddMessage, "OFPT_BUNDLE_ADD_MESSAGE", 5..=6, Std(34), 8, AtLeast;
    OfpstDescRequest, "OFPST_DESC request", 1..=6, StatRequest(0), 0, Exact;
    OfpstDescReply, "OFPST_DESC reply", 1..=6, StatReply(0), 1056, Exact;
    Ofpst10FlowRequest, "OFPST_FLOW request", 1..=1, StatRequest(1), 44, Exact;
    Ofpst11FlowRequest, "OFPST_FLOW request", 2..=6, StatRequest(1), 32, Multiple(8);
    Ofpst10FlowReply, "OFPST_FLOW reply", 1..=1, StatReply(1), 0, AtLeast;
    Ofpst11FlowReply, "OFPST_FLOW reply", 2..=3, StatReply(1), 0, AtLeast;
    Ofpst13FlowReply, "OFPST_FLOW reply", 4..=5, StatReply(1), 0, AtLeast;
    Ofpst15FlowReply, "OFPST_FLOW reply", 6..=6, StatReply(1), 0, AtLeast;
    Ofpst10AggregateRequest, "OFPST_AGGREGATE request", 1..=1, StatRequest(2), 44, Exact;
    Ofpst11AggregateRequest, "OFPST_AGGREGATE request", 2..=5, StatRequest(2), 32, Multiple(8);
    Ofpst15AggregateRequest, "OFPST_AGGREGATE request", 6..=6, StatRequest(2), 32, Multiple(8);
    OfpstAggregateReply, "OFPST_AGGREGATE reply", 1..=5, StatReply(2), 24, Exact;
    Ofpst15AggregateReply, "OFPST_AGGREGATE reply", 6..=6, StatReply(2), 0, AtLeast;
    OfpstTableRequest, "OFPST_TABLE request", 1..=6, StatRequest(3), 0, Exact;
    Ofpst10TableReply, "OFPST_TABLE reply", 1..=1, StatReply(3), 0, Multiple(64);
    Ofpst11TableReply, "OFPST_TABLE reply", 2..=2, StatReply(3), 0, Multiple(88);
    Ofpst12TableReply, "OFPST_TABLE reply", 3..=3, StatReply(3), 0, Multiple(128);
    Ofpst13TableReply, "OFPST_TABLE reply", 4..=6, StatReply(3), 0, Multiple(24);
    Ofpst10PortRequest, "OFPST_PORT request", 1..=1, StatRequest(4), 8, Exact;
    Ofpst11PortRequest, "OFPST_PORT request", 2..=6, StatRequest(4), 8, Exact;
    Ofpst10PortReply, "OFPST_PORT reply", 1..=1, StatReply(4), 0, Multiple(104);
    Ofpst11PortReply, "OFPST_PORT reply", 2..=3, StatReply(4), 0, Multiple(104);
    Ofpst13PortReply, "OFPST_PORT reply", 4..=4, StatReply(4), 0, Multiple(112);
    Ofpst14PortReply, "OFPST_PORT reply", 5..=6, StatReply(4), 0, Multiple(8);
    Ofpst10QueueRequest, "OFPST_QUEUE request", 1..=1, StatRequest(5), 8, Exact;
    Ofpst11QueueRequest, "OFPST_QUEUE request", 2..=6, StatRequest(5), 8, Exact;
    Ofpst10QueueReply, "OFPST_QUEUE reply", 1..=1, StatReply(5), 0, Multiple(32);
    Ofpst11QueueReply, "OFPST_QUEUE reply", 2..=3, StatReply(5), 0, Multiple(32);
    Ofpst13QueueReply, "OFPST_QUEUE reply", 4..=4, StatReply(5), 0, Multiple(40);
    Ofpst14QueueReply, "OFPST_QUEUE reply", 5..=6, StatReply(5), 0, Multiple(8);
    Ofpst11GroupRequest, "OFPST_GROUP request", 2..=6, StatRequest(6), 8, Exact;
    Ofpst11GroupReply, "OFPST_GROUP reply", 2..=3, StatReply(6), 0, Multiple(8);
    Ofpst13GroupReply, "OFPST_GROUP reply", 4..=6, StatReply(6), 0, Multiple(8);
    Ofpst11GroupDescRequest, "OFPST_GROUP_DESC request", 2..=5, StatRequest(7), 0, Exact;
    Ofpst15GroupDescRequest, "OFPST_GROUP_DESC request", 6..=6, StatRequest(7), 8, Exact;
    Ofpst11GroupDescReply, "OFPST_GROUP_DESC reply", 2..=6, StatReply(7), 0, Multiple(8);
    Ofpst12GroupFeaturesRequest, "OFPST_GROUP_FEATURES request", 3..=6, StatRequest(8), 0, Exact;
    Ofpst12GroupFeaturesReply, "OFPST_GROUP_FEATURES reply", 3..=6, StatReply(8), 40, Exact;
    Ofpst13MeterRequest, "OFPST_METER request", 4..=6, StatRequest(9), 8, Exact;
    Ofpst13MeterReply, "OFPST_METER reply", 4..=6, StatReply(9), 0, Multiple(8);
    Ofpst13MeterConfigRequest, "OFPST_METER_CONFIG request", 4..=6, StatRequest(10), 8, Exact;
    Ofpst13MeterConfigReply, "OFPST_METER_CONFIG reply", 4..=6, StatReply(10), 0, Multiple(8);
    Ofpst13MeterFeaturesRequest, "OFPST_METER_FEATURES request", 4..=6, StatRequest(11), 0, Exact;
    Ofpst13MeterFeaturesReply, "OFPST_METER_FEATURES reply", 4..=6, StatReply(11), 16, Exact;
    Ofpst13TableFeaturesRequest, "OFPST_TABLE_FEATURES request", 4..=6, StatRequest(12), 0, Multiple(8);
    Ofpst13TableFeaturesReply, "OFPST_TABLE_FEATURES reply", 4..=6, StatReply(12), 64, Multiple(8);
    Ofpst14TableDescRequest, "OFPST_TABLE_DESC request", 5..=6, StatRequest(14), 0, Exact;
    Ofpst14TableDescReply, "OFPST_TABLE_DESC reply", 5..=6, StatReply(14), 8, Multiple(8);
    Ofpst10PortDescRequest, "OFPST_PORT_DESC request", 1..=5, StatRequest(13), 0, Exact;
    Ofpst15PortDescRequest, "OFPST_PORT_DESC request", 6..=6, StatRequest(13), 8, Exact;
    Ofpst10PortDescReply, "OFPST_PORT_DESC reply", 1..=1, StatReply(13), 0, Multiple(48);
    Ofpst11PortDescReply, "OFPST_PORT_DESC reply", 2..=4, StatReply(13), 0, Multiple(64);
    Ofpst14PortDescReply, "OFPST_PORT_DESC reply", 5..=6, StatReply(13), 0, Multiple(8);
    Ofpst14QueueDescRequest, "OFPST_QUEUE_DESC request", 5..=6, StatRequest(15), 8, Exact;
    Ofpst14QueueDescReply, "OFPST_QUEUE_DESC reply", 5..=6, StatReply(15), 0, Multiple(8);
    Ofpst14FlowMonitorRequest, "OFPST_FLOW_MONITOR request", 5..=6, StatRequest(16), 0, Multiple(8);
    Ofpst14FlowMonitorReply, "OFPST_FLOW_MONITOR reply", 5..=6, StatReply(16), 0, Multiple(8);
    NxtPacketIn, "NXT_PACKET_IN", 1..=6, Vendor(NX, 17), 24, AtLeast;
    NxtPacketIn2, "NXT_PACKET_IN2", 1..=6, Vendor(NX, 30), 0, Multiple(8);
    NxtFlowRemoved, "NXT_FLOW_REMOVED", 1..=6, Vendor(NX, 14), 40, Multiple(8);
    NxtFlowMod, "NXT_FLOW_MOD", 1..=6, Vendor(NX, 13), 32, Multiple(8);
    NxtGroupMod, "NXT_GROUP_MOD", 1..=1, Vendor(NX, 31), 16, Multiple(8);
    NxtRoleRequest, "NXT_ROLE_REQUEST", 1..=6, Vendor(NX, 10), 4, Exact;
    NxtRoleReply, "NXT_ROLE_REPLY", 1..=6, Vendor(NX, 11), 4, Exact;
    NxtSetAsyncConfig, "NXT_SET_ASYNC_CONFIG", 1..=6, Vendor(NX, 19), 24, Exact;
    NxtSetAsyncConfig2, "NXT_SET_ASYNC_CONFIG2", 1..=4, Vendor(NX, 27), 0, Multiple(8);
    Onft13RoleStatus, "ONFT_ROLE_STATUS", 4..=4, Vendor(ONF, 1911), 16, Multiple(8);
    NxtRequestforward, "NXT_REQUESTFORWARD", 1..=3, Vendor(NX, 132), 8, Multiple(8);
    Onft13Requestforward, "ONFT_REQUESTFORWARD", 4..=4, Vendor(ONF, 2350), 8, Multiple(8);
    Onft13BundleControl, "ONFT_BUNDLE_CONTROL", 4..=4, Vendor(ONF, 2300), 8, Multiple(8);
    Onft13BundleAddMessage, "ONFT_BUNDLE_ADD_MESSAGE", 4..=4, Vendor(ONF, 2301), 8, AtLeast;
    Onft13FlowMonitorCancel, "ONFT_FLOW_MONITOR_CANCEL", 4..=4, Vendor(ONF, 1870), 4, Exact;
    NxtFlowMonitorCancel, "NXT_FLOW_MONITOR_CANCEL", 1..=3, Vendor(NX, 21), 4, Exact;
    Onft13FlowMonitorPaused, "ONFT_FLOW_MONITOR_PAUSED", 4..=4, Vendor(ONF, 1871), 0, Exact;
    NxtFlowMonitorPaused, "NXT_FLOW_MONITOR_PAUSED", 1..=3, Vendor(NX, 22), 0, Exact;
    Onft13FlowMonitorResumed, "ONFT_FLOW_MONITOR_RESUMED", 4..=4, Vendor(ONF, 1872), 0, Exact;
    NxtFlowMonitorResumed, "NXT_FLOW_MONITOR_RESUMED", 1..=3, Vendor(NX, 23), 0, Exact;
    NxtSetFlowFormat, "NXT_SET_FLOW_FORMAT", 1..=1, Vendor(NX, 12), 4, Exact;
    NxtFlowModTableId, "NXT_FLOW_MOD_TABLE_ID", 1..=6, Vendor(NX, 15), 8, Exact;
    NxtSetPacketInFormat, "NXT_SET_PACKET_IN_FORMAT", 1..=6, Vendor(NX, 16), 4, Exact;
    NxtFlowAge, "NXT_FLOW_AGE", 1..=6, Vendor(NX, 18), 0, Exact;
    NxtSetControllerId, "NXT_SET_CONTROLLER_ID", 1..=6, Vendor(NX, 20), 8, Exact;
    NxtTlvTableMod, "NXT_TLV_TABLE_MOD", 1..=6, Vendor(NX, 24), 8, Multiple(8);
    NxtTlvTableRequest, "NXT_TLV_TABLE_REQUEST", 1..=6, Vendor(NX, 25), 0, Exact;
    NxtTlvTableReply, "NXT_TLV_TABLE_REPLY", 1..=6, Vendor(NX, 26), 16, Multiple(8);
    NxtResume, "NXT_RESUME", 1..=6, Vendor(NX, 28), 0, Multiple(8);
    NxtCtFlushZone, "NXT_CT_FLUSH_ZONE", 1..=6, Vendor(NX, 29), 8, Exact;
    NxtCtFlush, "NXT_CT_FLUSH", 1..=6, Vendor(NX, 32), 8, Multiple(8);
    NxstFlowRequest, "NXST_FLOW request", 1..=1, VendorStatRequest(NX, 0), 8, Multiple(8);
    NxstFlowReply, "NXST_FLOW reply", 1..=1, VendorStatReply(NX, 0), 0, AtLeast;
    NxstAggregateRequest, "NXST_AGGREGATE request", 1..=1, VendorStatRequest(NX, 1), 8, Multiple(8);
    NxstAggregateReply, "NXST_AGGREGATE reply", 1..=1, VendorStatReply(NX, 1), 24, Exact;
    NxstGroupRequest, "NXST_GROUP request", 1..=1, VendorStatRequest(NX, 7), 8, Exact;
    NxstGroupReply, "NXST_GROUP reply", 1..=1, VendorStatReply(NX, 7), 0, Multiple(8);
    NxstGroupDescRequest, "NXST_GROUP_DESC request", 1..=1, VendorStatRequest(NX, 8), 8, Exact;
    NxstGroupDescReply, "NXST_GROUP_DESC reply", 1..=1, VendorStatReply(NX, 8), 0, Multiple(8);
    NxstGroupFeaturesRequest, "NXST_GROUP_FEATURES request", 1..=2, VendorStatRequest(NX, 9), 0, Exact;
    NxstGroupFeaturesReply, "NXST_GROUP_FEATURES reply", 1..=2, VendorStatReply(NX, 9), 40, Exact;
    Onfst13FlowMonitorRequest, "ONFST_FLOW_MONITOR request", 4..=4, VendorStatRequest(ONF, 1870), 0, Multiple(8);
    NxstFlowMonitorRequest, "NXST_FLOW_MONITOR request", 1..=3, VendorStatRequest(NX, 2), 0, Multiple(8);
    Onfst13FlowMonitorReply, "ONFST_FLOW_MONITOR reply", 4..=4, VendorStatReply(ONF, 1870), 0, Multiple(8);
    NxstFlowMonitorReply, "NXST_FLOW_MONITOR reply", 1..=3, VendorStatReply(NX, 2), 0, Multiple(8);
    NxstIpfixBridgeRequest, "NXST_IPFIX_BRIDGE request", 1..=6, VendorStatRequest(NX, 3), 0, Exact;
    NxstIpfixBridgeReply, "NXST_IPFIX_BRIDGE reply", 1..=6, VendorStatReply(NX, 3), 88, Exact;
    NxstIpfixFlowRequest, "NXST_IPFIX_FLOW request", 1..=6, VendorStatRequest(NX, 4), 0, Exact;
    NxstIpfixFlowReply, "NXST_IPFIX_FLOW reply", 1..=6, VendorStatReply(NX, 4), 0, Multiple(88);
}

impl Raw {
    /// The row.
    pub fn def(self) -> &'static RawDef {
        &RAWS[self as usize]
    }

    /// The message's name as it is printed.
    pub fn name(self) -> &'static str {
        self.def().name
    }

    /// The row of `class` in `version`.
    pub fn find(class: Class, version: u8) -> Option<Raw> {
        RAWS.iter().find(|d| d.class == class && (d.first..=d.last).contains(&version)).map(|d| d.raw)
    }

    /// The row among `choices` that exists in `version`.
    pub fn pick(choices: &[Raw], version: u8) -> Option<Raw> {
        choices.iter().copied().find(|r| (r.def().first..=r.def().last).contains(&version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_unambiguous() {
        for (i, def) in RAWS.iter().enumerate() {
            assert_eq!(def.raw as usize, i);
            for version in def.first.max(1)..=def.last.min(6) {
                assert_eq!(Raw::find(def.class, version), Some(def.raw), "{} in {version}", def.name);
            }
        }
    }
}
