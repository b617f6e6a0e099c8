//! Text of packets to and from the controller.
//!
//! Where it sits: packet-in and packet-out in `monitor` and in logs; [`packet`] shows any frame as the flow it is.

use std::fmt::Write;

use flow::{Field, FlowKey, Frag, Match, Slot, extract, slot};
use packet::PacketMeta;
use wire::{bytes, eth};

use super::{Verbosity, hex_dump};
use crate::msg::{Continuation, PacketIn, PacketOut, reason_name};
use crate::text::values::Hex;
use crate::{Bits, FlowMod, Names, Version, actions, matches};

pub(super) fn packet_in(
    out: &mut String,
    pin: &PacketIn,
    version: Version,
    names: &Names,
    verbosity: Verbosity,
) {
    if pin.table_id != 0 {
        let _ = write!(out, " table_id={}", names.table(pin.table_id));
    }
    if pin.cookie != u64::MAX {
        let _ = write!(out, " cookie={:#x}", pin.cookie);
    }
    let metadata = matches::format(&pin.metadata, FlowMod::DEFAULT_PRIORITY, names);
    let _ = write!(out, " total_len={} {metadata}", pin.total_len);
    let _ = write!(out, " (via {}) data_len={}", reason_name(pin.reason), pin.data.len());
    if pin.buffer_id == u32::MAX {
        out.push_str(" (unbuffered)");
        if pin.data.len() != pin.total_len as usize {
            out.push_str(" (***total_len != data_len***)");
        }
    } else {
        let _ = write!(out, " buffer={:#010x}", pin.buffer_id);
        if pin.data.len() > pin.total_len as usize {
            out.push_str(" (***total_len < data_len***)");
        }
    }
    out.push('\n');
    if !pin.userdata.is_empty() {
        let bytes: Vec<String> = pin.userdata.iter().map(|b| format!("{b:02x}")).collect();
        let _ = writeln!(out, " userdata={}", bytes.join("."));
    }
    if let Ok(c) = Continuation::decode(&pin.continuation, version)
        && !pin.continuation.is_empty()
    {
        continuation(out, &c, names);
    }
    frame(out, &pin.data, verbosity);
}

fn continuation(out: &mut String, c: &Continuation, names: &Names) {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let uuid = hex(&c.bridge);
    let _ = writeln!(
        out,
        " continuation.bridge={}-{}-{}-{}-{}",
        &uuid[..8],
        &uuid[8..12],
        &uuid[12..16],
        &uuid[16..20],
        &uuid[20..]
    );
    if !c.stack.is_empty() {
        let number = |entry: &Vec<u8>| Hex(Bits::from_be_bytes(entry.iter().copied())).to_string();
        let entries: Vec<String> = c.stack.iter().map(number).collect();
        let _ = writeln!(out, " continuation.stack=(top) {} (bottom)", entries.join(" "));
    }
    if c.mirrors != 0 {
        let _ = writeln!(out, " continuation.mirrors={:#x}", c.mirrors);
    }
    if c.conntracked {
        out.push_str(" continuation.conntracked=true\n");
    }
    for frame in &c.frames {
        let _ = writeln!(out, " continuation.actions={}", actions::format(&frame.actions, names));
    }
    if !c.action_set.is_empty() {
        let _ = writeln!(out, " continuation.action_set={}", actions::format(&c.action_set, names));
    }
    if let Some(port) = c.odp_port {
        let _ = writeln!(out, " continuation.odp_port={port}");
    }
}

pub(super) fn packet_out(out: &mut String, po: &PacketOut, names: &Names, verbosity: Verbosity) {
    let metadata = matches::format(&po.metadata, FlowMod::DEFAULT_PRIORITY, names);
    let _ = write!(out, " {metadata} actions={}", actions::format(&po.actions, names));
    if po.buffer_id == u32::MAX {
        let _ = writeln!(out, " data_len={}", po.data.len());
        if !po.data.is_empty() {
            frame(out, &po.data, verbosity);
        }
    } else {
        let _ = writeln!(out, " buffer={:#010x}", po.buffer_id);
    }
}

fn frame(out: &mut String, data: &[u8], verbosity: Verbosity) {
    if verbosity > Verbosity(0) {
        out.push_str(&packet(data));
    }
    if verbosity >= Verbosity(3) {
        hex_dump(out, data);
    }
}

/// One line: the flow that the frame belongs to, and its transport checksum.
pub fn packet(data: &[u8]) -> String {
    let mut key = FlowKey::ZERO;
    // Less than an Ethernet header says nothing at all.
    let seen = if data.len() < eth::HEADER_LEN { &[][..] } else { data };
    let layers = extract(&PacketMeta::default(), seen, seen.len(), 1, &mut key);
    let mut m = exact(&key);
    limit_labels(&mut m, &key);
    let mut text = matches::format(&m, FlowMod::DEFAULT_PRIORITY, &Names::none());
    let checksum = |name: &str, at: u16| {
        let at = usize::from(layers.l4.unwrap_or(0) + at);
        bytes::u16_at(data, at).map_or(String::new(), |sum| format!(" {name}_csum:{sum:x}"))
    };
    if layers.l4.is_some() {
        text += &match (key.eth_type(), key.nw_proto()) {
            (eth::TYPE_IPV4 | eth::TYPE_IPV6, 6) => checksum("tcp", 16),
            (eth::TYPE_IPV4 | eth::TYPE_IPV6, 17) => checksum("udp", 6),
            (eth::TYPE_IPV4 | eth::TYPE_IPV6, 132) => {
                let at = usize::from(layers.l4.unwrap_or(0)) + 8;
                bytes::u32_at(data, at).map_or(String::new(), |sum| format!(" sctp_csum:{sum:x}"))
            }
            (eth::TYPE_IPV4, 1) => checksum("icmp", 2),
            (eth::TYPE_IPV6, 58) => checksum("icmp6", 2),
            _ => String::new(),
        };
    }
    text.push('\n');
    text
}

/// The text of a packet's flow with its ingress port and what else is not zero of its metadata.
pub fn flow(key: &FlowKey) -> String {
    let mut m = exact(key);
    limit_labels(&mut m, key);
    m.set_exact(slot::in_port, key.get(slot::in_port));
    for def in Field::all().filter(|def| def.slot.word < slot::eth_dst.word) {
        // Registers are shown once, under their own names.
        let again = def.name.starts_with("xreg") || def.name.starts_with("xxreg");
        if !again && def.slot != slot::in_port && key.get(def.slot) != 0 {
            m.set_exact(def.slot, key.get(def.slot));
        }
    }
    matches::with_options(&mut m, key);
    matches::format(&m, FlowMod::DEFAULT_PRIORITY, &Names::none())
}

/// Leaves out the MPLS labels below the bottom of the stack.
fn limit_labels(m: &mut Match, key: &FlowKey) {
    if !matches!(key.eth_type(), eth::TYPE_MPLS | eth::TYPE_MPLS_MCAST) {
        return;
    }
    let mut there = true;
    for slot in [slot::mpls_lse0, slot::mpls_lse1, slot::mpls_lse2] {
        if !there {
            m.wc.set(slot, 0);
        }
        there &= key.get(slot) & 0x100 == 0;
    }
}

/// The match on everything that the packet has.
fn exact(key: &FlowKey) -> Match {
    let mut m = Match::ANY;
    let mut all = |slots: &[Slot]| {
        for slot in slots {
            m.set_exact(*slot, key.get(*slot));
        }
    };
    all(&[slot::packet_type, slot::eth_src, slot::eth_dst, slot::eth_type, slot::vlan_tci]);
    if key.vlan_tci() != 0 {
        all(&[slot::vlan2_tci]);
    }
    let fragment_without_ports = key.nw_frag() & Frag::LATER != 0;
    match key.eth_type() {
        eth::TYPE_IPV4 => {
            all(&[slot::nw_src, slot::nw_dst, slot::nw_proto, slot::nw_tos, slot::nw_ttl, slot::nw_frag]);
        }
        eth::TYPE_IPV6 => {
            all(&[slot::ipv6_src, slot::ipv6_dst, slot::ipv6_label]);
            all(&[slot::nw_proto, slot::nw_tos, slot::nw_ttl, slot::nw_frag]);
        }
        eth::TYPE_ARP | eth::TYPE_RARP => {
            all(&[slot::nw_src, slot::nw_dst, slot::nw_proto, slot::arp_sha, slot::arp_tha]);
            return m;
        }
        eth::TYPE_MPLS | eth::TYPE_MPLS_MCAST => {
            all(&[slot::mpls_lse0, slot::mpls_lse1, slot::mpls_lse2]);
            return m;
        }
        _ => return m,
    }
    if !fragment_without_ports {
        match key.nw_proto() {
            6 => all(&[slot::tp_src, slot::tp_dst, slot::tcp_flags]),
            17 | 132 | 1 => all(&[slot::tp_src, slot::tp_dst]),
            58 => {
                all(&[slot::tp_src, slot::tp_dst]);
                if matches!(key.tp_src(), 135 | 136) {
                    all(&[slot::nd_target, slot::arp_sha, slot::arp_tha]);
                }
            }
            _ => {}
        }
    }
    m
}
