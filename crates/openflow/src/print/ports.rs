//! Text of messages about ports.
//!
//! Where it sits: `show`, `dump-ports`, `dump-ports-desc`, port status.

use std::fmt::Write;

use super::{Verbosity, bit_names, duration};
use crate::Names;
use crate::msg::{
    Age, LinkFeatures, Message, PortConfig, PortDesc, PortMod, PortReason, PortState, PortStats,
};

pub(super) fn print(out: &mut String, message: &Message, names: &Names, verbosity: Verbosity) {
    match message {
        Message::PortStatus(ps) => {
            let what = match ps.reason {
                PortReason::Add => "ADD",
                PortReason::Delete => "DEL",
                PortReason::Modify => "MOD",
            };
            let _ = write!(out, " {what}:");
            desc(out, &ps.desc);
        }
        Message::PortMod(pm) => port_mod(out, pm, names),
        Message::PortStatsRequest(port) => {
            let _ = write!(out, " port_no={}", names.port(*port));
        }
        Message::PortDescRequest(port) => {
            let _ = write!(out, " port={}", names.port(*port));
        }
        Message::PortDescReply(ports) => {
            out.push('\n');
            descs(out, ports);
        }
        Message::PortStatsReply(ports) => {
            let _ = writeln!(out, " {} ports", ports.len());
            if verbosity >= Verbosity(1) {
                for port in ports {
                    stats(out, port, names);
                }
            }
        }
        _ => {}
    }
}

const CONFIG: [(u32, &str); 7] = [
    (PortConfig::PORT_DOWN.bits(), "PORT_DOWN"),
    (PortConfig::NO_STP.bits(), "NO_STP"),
    (PortConfig::NO_RECV.bits(), "NO_RECV"),
    (PortConfig::NO_RECV_STP.bits(), "NO_RECV_STP"),
    (PortConfig::NO_FLOOD.bits(), "NO_FLOOD"),
    (PortConfig::NO_FWD.bits(), "NO_FWD"),
    (PortConfig::NO_PACKET_IN.bits(), "NO_PACKET_IN"),
];

const FEATURES: [(u32, &str); 16] = [
    (1 << 0, "10MB-HD"),
    (1 << 1, "10MB-FD"),
    (1 << 2, "100MB-HD"),
    (1 << 3, "100MB-FD"),
    (1 << 4, "1GB-HD"),
    (1 << 5, "1GB-FD"),
    (1 << 6, "10GB-FD"),
    (1 << 7, "40GB-FD"),
    (1 << 8, "100GB-FD"),
    (1 << 9, "1TB-FD"),
    (1 << 10, "OTHER"),
    (1 << 11, "COPPER"),
    (1 << 12, "FIBER"),
    (1 << 13, "AUTO_NEG"),
    (1 << 14, "AUTO_PAUSE"),
    (1 << 15, "AUTO_PAUSE_ASYM"),
];

/// The lines of several ports' descriptions, by number.
pub(super) fn descs(out: &mut String, ports: &[PortDesc]) {
    let mut sorted: Vec<&PortDesc> = ports.iter().collect();
    sorted.sort_by_key(|p| p.port);
    for port in sorted {
        desc(out, port);
    }
}

/// The lines of a port's description.
pub(super) fn desc(out: &mut String, p: &PortDesc) {
    let name = printable(&p.name);
    let number = Names::none().port(p.port);
    let _ = writeln!(out, " {number}({name}): addr:{}", p.hw_addr);
    let _ = writeln!(out, "     config:     {}", bit_names(p.config.bits(), &CONFIG));
    let _ = writeln!(out, "     state:      {}", state(p.state));
    for (what, features) in [
        ("current:    ", p.curr),
        ("advertised: ", p.advertised),
        ("supported:  ", p.supported),
        ("peer:       ", p.peer),
    ] {
        if !features.is_empty() {
            let _ = writeln!(out, "     {what}{}", bit_names(features.bits(), &FEATURES));
        }
    }
    let _ = writeln!(out, "     speed: {} Mbps now, {} Mbps max", p.curr_speed / 1000, p.max_speed / 1000);
}

/// The name up to the first character that does not print.
fn printable(name: &str) -> String {
    name.chars().take_while(|c| c.is_ascii_graphic() || *c == ' ').collect()
}

fn state(state: PortState) -> String {
    let stp = match state.bits() & PortState::STP_MASK.bits() {
        0 => "",
        0x100 => "STP_LEARN",
        0x200 => "STP_FORWARD",
        _ => "STP_BLOCK",
    };
    let rest = state.difference(PortState::STP_MASK).bits();
    if rest == 0 && !stp.is_empty() {
        return stp.to_owned();
    }
    let table = [(1, "LINK_DOWN"), (2, "BLOCKED"), (4, "LIVE")];
    format!("{stp}{}", bit_names(rest, &table))
}

fn port_mod(out: &mut String, pm: &PortMod, names: &Names) {
    let _ = writeln!(out, " port: {}: addr:{}", names.port(pm.port), pm.hw_addr);
    let _ = writeln!(out, "     config: {}", bit_names(pm.config.bits(), &CONFIG));
    let _ = writeln!(out, "     mask:   {}", bit_names(pm.mask.bits(), &CONFIG));
    let advertise = match pm.advertise {
        a if a == LinkFeatures::empty() => "UNCHANGED".to_owned(),
        a => bit_names(a.bits(), &FEATURES),
    };
    let _ = writeln!(out, "     advertise: {advertise}");
}

fn counter(out: &mut String, name: &str, value: u64, end: &str) {
    let _ = match value {
        u64::MAX => write!(out, "{name}=?{end}"),
        n => write!(out, "{name}={n}{end}"),
    };
}

fn stats(out: &mut String, p: &PortStats, names: &Names) {
    let number = names.port(p.port);
    let width = if p.port.is_ordinary() && number.bytes().all(|b| b.is_ascii_digit()) { 2 } else { 0 };
    let _ = write!(out, "  port {number:>width$}: rx ");
    counter(out, "pkts", p.rx_packets, ", ");
    counter(out, "bytes", p.rx_bytes, ", ");
    counter(out, "drop", p.rx_dropped, ", ");
    counter(out, "errs", p.rx_errors, ", ");
    counter(out, "frame", p.rx_frame_err, ", ");
    counter(out, "over", p.rx_over_err, ", ");
    counter(out, "crc", p.rx_crc_err, "\n");
    out.push_str("           tx ");
    counter(out, "pkts", p.tx_packets, ", ");
    counter(out, "bytes", p.tx_bytes, ", ");
    counter(out, "drop", p.tx_dropped, ", ");
    counter(out, "errs", p.tx_errors, ", ");
    counter(out, "coll", p.collisions, "\n");
    if p.duration != Age::UNKNOWN {
        out.push_str("           duration=");
        duration(out, p.duration);
        out.push_str("s\n");
    }
    rfc2819(out, p);
    if !p.custom.is_empty() {
        out.push_str("           CUSTOM Statistics\n");
        for line in p.custom.chunks(3) {
            out.push_str("                      ");
            let each: Vec<String> = line.iter().map(|(name, value)| format!("{name}={value},")).collect();
            let _ = writeln!(out, "{}", each.join(" "));
        }
    }
}

/// Names of RFC 2819's counters by their place on the wire: those received, then those sent.
const RFC2819_RX: [(usize, &str); 12] = [
    (0, "1_to_64_packets"),
    (1, "65_to_127_packets"),
    (2, "128_to_255_packets"),
    (3, "256_to_511_packets"),
    (4, "512_to_1023_packets"),
    (5, "1024_to_1522_packets"),
    (6, "1523_to_max_packets"),
    (15, "broadcast_packets"),
    (17, "undersized_errors"),
    (18, "oversize_errors"),
    (19, "rx_fragmented_errors"),
    (20, "rx_jabber_errors"),
];
const RFC2819_TX: [(usize, &str); 9] = [
    (7, "1_to_64_packets"),
    (8, "65_to_127_packets"),
    (9, "128_to_255_packets"),
    (10, "256_to_511_packets"),
    (11, "512_to_1023_packets"),
    (12, "1024_to_1522_packets"),
    (13, "1523_to_max_packets"),
    (14, "multicast_packets"),
    (16, "broadcast_packets"),
];

fn rfc2819(out: &mut String, p: &PortStats) {
    for (direction, names) in [("rx", &RFC2819_RX[..]), ("tx", &RFC2819_TX[..])] {
        let known: Vec<(&str, u64)> = names
            .iter()
            .filter_map(|(at, name)| p.rfc2819.get(*at).map(|n| (*name, *n)))
            .filter(|(_, n)| *n != u64::MAX)
            .collect();
        if !known.is_empty() {
            let _ = write!(out, "           {direction} rfc2819 ");
            for (name, value) in known {
                counter(out, name, value, ", ");
            }
            out.push('\n');
        }
    }
}
