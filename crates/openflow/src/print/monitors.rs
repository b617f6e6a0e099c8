//! Text of flow monitors, TLV tables, IPFIX statistics and connection flushes.
//!
//! Where it sits: `monitor` with `watch:`, `dump-tlv-map`, `dump-ipfix-bridge`, `dump-ipfix-flow`, `ct-flush`.

use std::fmt::Write;
use std::net::Ipv6Addr;

use crate::msg::{
    CtFlush, CtTuple, FlowEvent, FlowMonitorRequest, FlowRemovedReason, FlowUpdate, FlowUpdateFull,
    IpfixStats, Message, MonitorCommand, MonitorFlags, TlvCommand, TlvMap, TlvTable,
};
use crate::text::values::Hex;
use crate::{FlowMod, Names, OfpPort, actions, matches};

/// Prints the body if it is of this file's; false if not.
pub(super) fn print(out: &mut String, message: &Message, names: &Names) -> bool {
    match message {
        Message::FlowMonitorRequest(monitors) => monitors.iter().for_each(|m| request(out, m, names)),
        Message::FlowMonitorReply(updates) => {
            for update in updates {
                out.push_str("\n event=");
                flow_update(out, update, names);
            }
        }
        Message::FlowMonitorCancel(id) => {
            let _ = write!(out, " id={id}");
        }
        Message::TlvTableMod(t) => {
            out.push_str(match t.command {
                TlvCommand::Add => "\n ADD",
                TlvCommand::Delete => "\n DEL",
                TlvCommand::Clear => "\n CLEAR",
            });
            if t.command != TlvCommand::Clear {
                out.push_str(" mapping table:\n");
                tlv_maps(out, &t.maps);
            }
        }
        Message::TlvTableReply(t) => tlv_table(out, t),
        Message::IpfixBridgeReply(s) => {
            out.push_str("\n  bridge ipfix: ");
            ipfix(out, s, 16);
        }
        Message::IpfixFlowReply(all) => {
            let _ = writeln!(out, " {} ids", all.len());
            for s in all {
                let _ = write!(out, "  id {:3}: ", s.collector_set_id);
                ipfix(out, s, 10);
            }
        }
        Message::CtFlushZone(zone) => {
            let _ = write!(out, " zone_id={zone}");
        }
        Message::CtFlush(f) => ct_flush(out, f),
        Message::FlowMonitorPaused
        | Message::FlowMonitorResumed
        | Message::TlvTableRequest
        | Message::IpfixBridgeRequest
        | Message::IpfixFlowRequest => {}
        _ => return false,
    }
    true
}

const FLAGS: [(MonitorFlags, &str); 6] = [
    (MonitorFlags::INITIAL, "initial"),
    (MonitorFlags::ADD, "add"),
    (MonitorFlags::DELETE, "delete"),
    (MonitorFlags::MODIFY, "modify"),
    (MonitorFlags::ACTIONS, "actions"),
    (MonitorFlags::OWN, "own"),
];

fn request(out: &mut String, m: &FlowMonitorRequest, names: &Names) {
    let _ = write!(out, "\n id={}", m.id);
    if m.command == MonitorCommand::Delete {
        out.push_str(" command=delete");
        return;
    }
    let flags: Vec<&str> = FLAGS.iter().filter(|(f, _)| m.flags.contains(*f)).map(|(_, n)| *n).collect();
    let _ = write!(out, " flags={}", flags.join(","));
    if m.out_port != OfpPort::NONE {
        let _ = write!(out, " out_port={}", names.port(m.out_port));
    }
    if m.out_group != u32::MAX && m.out_group != 0 {
        let _ = write!(out, " out_group={}", m.out_group.cast_signed());
    }
    if m.table_id != 255 {
        let _ = write!(out, " table={}", names.table(m.table_id));
    }
    let matcher = matches::format(&m.matcher, FlowMod::DEFAULT_PRIORITY, names);
    if !matcher.is_empty() {
        let _ = write!(out, " {matcher}");
    }
}

fn flow_update(out: &mut String, update: &FlowUpdate, names: &Names) {
    match update {
        FlowUpdate::Full(full) => flow_update_full(out, full, names),
        FlowUpdate::Abbrev(xid) => {
            let _ = write!(out, "ABBREV xid={}", Hex((*xid).into()));
        }
        FlowUpdate::Paused => out.push_str("PAUSED"),
        FlowUpdate::Resumed => out.push_str("RESUMED"),
    }
}

fn flow_update_full(out: &mut String, u: &FlowUpdateFull, names: &Names) {
    out.push_str(match u.event {
        FlowEvent::Initial => "INITIAL",
        FlowEvent::Added => "ADDED",
        FlowEvent::Deleted => "DELETED",
        FlowEvent::Modified => "MODIFIED",
    });
    if u.event == FlowEvent::Deleted {
        let reason = u8::try_from(u.reason).ok().and_then(FlowRemovedReason::from_wire);
        let _ = match reason {
            Some(reason) => write!(out, " reason={}", reason.name()),
            None => write!(out, " reason={}", u.reason),
        };
    }
    let _ = write!(out, " table={}", names.table(u.table_id));
    if u.idle_timeout != 0 {
        let _ = write!(out, " idle_timeout={}", u.idle_timeout);
    }
    if u.hard_timeout != 0 {
        let _ = write!(out, " hard_timeout={}", u.hard_timeout);
    }
    let _ = write!(out, " cookie={} ", Hex(u.cookie.into()));
    out.push_str(&matches::format(&u.matcher, FlowMod::DEFAULT_PRIORITY, names));
    if !u.actions.is_empty() {
        if !out.ends_with(' ') {
            out.push(' ');
        }
        let _ = write!(out, "actions={}", actions::format(&u.actions, names));
    }
}

fn tlv_maps(out: &mut String, maps: &[TlvMap]) {
    out.push_str("  class  type  length  match field\n ------  ----  ------  --------------\n");
    for map in maps {
        let class = Hex(map.class.into()).to_string();
        let kind = Hex(map.kind.into()).to_string();
        let _ = writeln!(out, " {class:>6}  {kind:>4}  {:>6}  tun_metadata{}", map.len, map.index);
    }
}

fn tlv_table(out: &mut String, t: &TlvTable) {
    let used: u32 = t.maps.iter().map(|m| u32::from(m.len)).sum();
    let _ = write!(out, "\n max option space={} max fields={}\n", t.max_option_space, t.max_fields);
    let _ = write!(out, " allocated option space={used}\n\n mapping table:\n");
    tlv_maps(out, &t.maps);
}

fn ipfix(out: &mut String, s: &IpfixStats, indent: usize) {
    let _ = writeln!(
        out,
        "flows={}, current flows={}, sampled pkts={}, ipv4 ok={}, ipv6 ok={}, tx pkts={}",
        s.total_flows, s.current_flows, s.packets, s.ipv4_packets, s.ipv6_packets, s.tx_packets
    );
    let _ = writeln!(
        out,
        "{:indent$}pkts errs={}, ipv4 errs={}, ipv6 errs={}, tx errs={}",
        "", s.error_packets, s.ipv4_error_packets, s.ipv6_error_packets, s.tx_errors
    );
}

fn ct_flush(out: &mut String, f: &CtFlush) {
    let _ = write!(out, " zone={}", f.zone.unwrap_or(0));
    if let Some((mark, mask)) = f.mark {
        let _ = write!(out, " mark={}", Hex(mark.into()));
        if mask != u32::MAX {
            let _ = write!(out, "/{}", Hex(mask.into()));
        }
    }
    if let Some((labels, mask)) = f.labels {
        let _ = write!(out, " labels={}", Hex(labels.into()));
        if mask != u128::MAX {
            let _ = write!(out, "/{}", Hex(mask.into()));
        }
    }
    let family = if f.orig.is_ipv4() || f.reply.is_ipv4() { "nw" } else { "ipv6" };
    out.push_str(" '");
    ct_tuple(out, &f.orig, f.protocol, family);
    let _ = write!(out, ",ct_nw_proto={}' '", f.protocol);
    ct_tuple(out, &f.reply, f.protocol, family);
    out.push('\'');
}

fn ct_tuple(out: &mut String, t: &CtTuple, protocol: u8, name: &str) {
    let address = |a: Ipv6Addr| a.to_ipv4_mapped().map_or_else(|| a.to_string(), |v4| v4.to_string());
    let _ = write!(out, "ct_{name}_src={},ct_{name}_dst={},", address(t.src), address(t.dst));
    let _ = match protocol {
        1 | 58 => {
            write!(out, "icmp_id={},icmp_type={},icmp_code={}", t.src_port, t.icmp_type(), t.icmp_code())
        }
        _ => write!(out, "ct_tp_src={},ct_tp_dst={}", t.src_port, t.dst_port),
    };
}
