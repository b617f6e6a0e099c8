//! Text of messages about the connection: hello, errors, features, configuration, roles, bundles.
//!
//! Where it sits: `print/mod.rs` asks it first.

use std::fmt::Write;

use super::{Verbosity, bit_names, decode_error, end_line, hex_dump, print_message};
use crate::msg::{
    AsyncConfig, BundleControl, Capabilities, ErrorMessage, Header, Hello, Message, RoleMessage, RoleReason,
    SwitchConfig, SwitchFeatures,
};
use crate::{ErrorCode, Names, OfpError, Version};

/// Prints the body if it is of this file's; false if not.
pub(super) fn print(
    out: &mut String,
    header: &Header,
    message: &Message,
    bytes: &[u8],
    verbosity: Verbosity,
) -> bool {
    match message {
        Message::Hello(h) => hello(out, h, bytes),
        Message::Error(e) => error(out, e, bytes, verbosity),
        Message::EchoRequest(data) | Message::EchoReply(data) => {
            let _ = writeln!(out, " {} bytes of payload", data.len());
            if verbosity >= Verbosity(2) {
                hex_dump(out, data);
            }
        }
        Message::FeaturesReply(f) => features(out, f, header.version),
        Message::GetConfigReply(c) | Message::SetConfig(c) => config(out, c),
        Message::RoleRequest(r) | Message::RoleReply(r) => role(out, r),
        Message::RoleStatus(s) => {
            let reason = match s.reason {
                RoleReason::PrimaryRequest => "primary_request",
                RoleReason::Config => "configuration_changed",
                RoleReason::Experimenter => "experimenter_data_changed",
            };
            let _ = write!(out, " role={} generation_id={} reason={reason}", s.role.name(), s.generation_id);
        }
        Message::GetAsyncReply(c) | Message::SetAsync(c) => async_config(out, c),
        Message::BundleControl(c) => bundle_control(out, c),
        Message::BundleAdd(add) => {
            let id = if add.bundle_id == 0 { "0".to_owned() } else { format!("{:#x}", add.bundle_id) };
            let _ = write!(out, "\n bundle_id={id} flags={}\n", bundle_flags(add.flags));
            print_message(out, &add.message, &Names::none(), verbosity);
        }
        Message::SetFlowFormat(nxm) => {
            let _ = write!(out, " format={}", if *nxm { "nxm" } else { "openflow10" });
        }
        Message::FlowModTableId(on) => out.push_str(if *on { " enable" } else { " disable" }),
        Message::SetPacketInFormat(f) => {
            let _ = write!(out, " format={}", f.name());
        }
        Message::SetControllerId(id) => {
            let _ = write!(out, " id={id}");
        }
        Message::DescReply(d) => {
            let _ = write!(
                out,
                "\nManufacturer: {}\nHardware: {}\nSoftware: {}\nSerial Num: {}\nDP Description: {}\n",
                d.manufacturer, d.hardware, d.software, d.serial, d.datapath
            );
        }
        Message::FeaturesRequest
        | Message::GetConfigRequest
        | Message::BarrierRequest
        | Message::BarrierReply
        | Message::GetAsyncRequest
        | Message::FlowAge
        | Message::DescRequest
        | Message::TableStatsRequest => {}
        _ => return false,
    }
    true
}

fn hello(out: &mut String, hello: &Hello, bytes: &[u8]) {
    let _ = write!(out, "\n version bitmap: {}", hello.versions.numbers());
    if !hello.complete {
        out.push_str("\n unknown data in hello:\n");
        hex_dump(out, bytes);
    }
}

fn error(out: &mut String, e: &ErrorMessage, bytes: &[u8], verbosity: Verbosity) {
    let Some(error) = e.error else {
        out.push(' ');
        return decode_error(out, OfpError::OFPBRC_BAD_LEN, bytes);
    };
    let _ = writeln!(out, " {error}");
    if matches!(e.code, ErrorCode::Standard { kind: 0, .. }) {
        if !e.data.is_empty() {
            let _ = writeln!(out, "{}", escaped(&e.data));
        }
    } else {
        let verbosity = Verbosity(verbosity.0.min(1));
        print_message(out, &e.data, &Names::none(), verbosity);
        end_line(out);
    }
}

/// ASCII but quotes and backslashes as it is, the rest as octal escapes.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for b in bytes {
        match b {
            0x20..0x7f if !matches!(b, b'\\' | b'"') => out.push(char::from(*b)),
            _ => {
                let _ = write!(out, "\\{b:03o}");
            }
        }
    }
    out
}

/// 1.0's actions by bit, as FEATURES_REPLY lists them.
pub(super) const ACTIONS: [(u32, &str); 12] = [
    (1 << 0, "output"),
    (1 << 11, "enqueue"),
    (1 << 1, "set_vlan_vid"),
    (1 << 2, "set_vlan_pcp"),
    (1 << 3, "strip_vlan"),
    (1 << 4, "mod_dl_src"),
    (1 << 5, "mod_dl_dst"),
    (1 << 6, "mod_nw_src"),
    (1 << 7, "mod_nw_dst"),
    (1 << 8, "mod_nw_tos"),
    (1 << 9, "mod_tp_src"),
    (1 << 10, "mod_tp_dst"),
];

const CAPABILITIES: [(u32, &str); 11] = [
    (Capabilities::FLOW_STATS.bits(), "FLOW_STATS"),
    (Capabilities::TABLE_STATS.bits(), "TABLE_STATS"),
    (Capabilities::PORT_STATS.bits(), "PORT_STATS"),
    (Capabilities::STP.bits(), "STP"),
    (Capabilities::GROUP_STATS.bits(), "GROUP_STATS"),
    (Capabilities::IP_REASM.bits(), "IP_REASM"),
    (Capabilities::QUEUE_STATS.bits(), "QUEUE_STATS"),
    (Capabilities::ARP_MATCH_IP.bits(), "ARP_MATCH_IP"),
    (Capabilities::PORT_BLOCKED.bits(), "PORT_BLOCKED"),
    (Capabilities::BUNDLES.bits(), "BUNDLES"),
    (Capabilities::FLOW_MONITORING.bits(), "FLOW_MONITORING"),
];

fn features(out: &mut String, f: &SwitchFeatures, version: u8) {
    let _ = write!(out, " dpid:{:016x}\nn_tables:{}, n_buffers:{}", f.datapath_id, f.n_tables, f.n_buffers);
    if f.auxiliary_id != 0 {
        let _ = write!(out, ", auxiliary_id:{}", f.auxiliary_id);
    }
    let _ = writeln!(out, "\ncapabilities: {}", bit_names(f.capabilities.bits(), &CAPABILITIES));
    if version == Version::V10.wire() && f.actions != 0 {
        let _ = writeln!(out, "actions: {}", bit_names(f.actions, &ACTIONS));
    }
    super::ports::descs(out, &f.ports);
}

fn config(out: &mut String, c: &SwitchConfig) {
    let _ = write!(out, " frags={}", c.frag.name());
    if c.invalid_ttl_to_controller {
        out.push_str(" invalid_ttl_to_controller");
    }
    let _ = writeln!(out, " miss_send_len={}", c.miss_send_len);
}

fn role(out: &mut String, r: &RoleMessage) {
    let _ = write!(out, " role={}", r.role.name());
    if let Some(generation) = r.generation_id {
        let _ = write!(out, " generation_id={generation}");
    }
}

/// Kinds of asynchronous message with the names of their reasons, in the order of their bits.
const ASYNC: [(&str, &[&str]); 6] = [
    ("PACKET_IN", &["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"]),
    ("PORT_STATUS", &["add", "delete", "modify"]),
    ("FLOW_REMOVED", &["idle", "hard", "delete", "group_delete", "meter_delete", "eviction"]),
    ("ROLE_STATUS", &["primary_request", "configuration_changed", "experimenter_data_changed"]),
    ("TABLE_STATUS", &["", "", "", "vacancy_down", "vacancy_up"]),
    ("REQUESTFORWARD", &["group_mod_request", "meter_mod_request"]),
];

fn async_config(out: &mut String, c: &AsyncConfig) {
    for (title, masks) in [("primary", &c.primary), ("secondary", &c.secondary)] {
        let _ = write!(out, "\n {title}:\n");
        for ((name, reasons), mask) in ASYNC.iter().zip(masks) {
            let _ = write!(out, "{name:>16}:");
            if *mask == 0 {
                out.push_str(" (off)");
            }
            for (bit, reason) in reasons.iter().enumerate() {
                if mask >> bit & 1 != 0 {
                    let _ = write!(out, " {reason}");
                }
            }
            out.push('\n');
        }
    }
}

fn bundle_flags(flags: u16) -> String {
    bit_names(u32::from(flags), &[(1, "atomic"), (2, "ordered")])
}

fn bundle_control(out: &mut String, c: &BundleControl) {
    put_bundle(out, c.bundle_id, c.ctrl.name(), c.flags);
}

fn put_bundle(out: &mut String, id: u32, kind: &str, flags: u16) {
    let id = if id == 0 { "0".to_owned() } else { format!("{id:#x}") };
    let _ = write!(out, "\n bundle_id={id} type={kind} flags={}", bundle_flags(flags));
}

/// A BUNDLE_CONTROL of a kind that there is not.
pub(super) fn unknown_bundle_control(out: &mut String, body: &[u8]) {
    let id = wire::bytes::u32_at(body, 0).unwrap_or(0);
    put_bundle(out, id, "", wire::bytes::u16_at(body, 6).unwrap_or(0));
}
