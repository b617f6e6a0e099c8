//! Text of messages about meters.
//!
//! Where it sits: `dump-meters`, `meter-stats`, `meter-features`; what `add-meter` reads, this writes.

use std::fmt::Write;

use super::{bit_names, duration};
use crate::msg::meter::meter_id;
use crate::msg::{
    BandKind, Message, MeterBand, MeterCommand, MeterConfig, MeterFeatures, MeterFlags, MeterStats,
};

/// Prints the body if it is of this file's; false if not.
pub(super) fn print(out: &mut String, message: &Message) -> bool {
    match message {
        Message::MeterMod(m) => {
            out.push_str(match m.command {
                MeterCommand::Add => " ADD ",
                MeterCommand::Modify => " MOD ",
                MeterCommand::Delete => " DEL ",
            });
            config(out, &m.meter);
        }
        Message::MeterStatsRequest(id) | Message::MeterConfigRequest(id) => {
            out.push(' ');
            number(out, *id, '=');
        }
        Message::MeterConfigReply(meters) => {
            for meter in meters {
                out.push('\n');
                config(out, meter);
            }
        }
        Message::MeterStatsReply(meters) => {
            for meter in meters {
                out.push('\n');
                stats(out, meter);
            }
        }
        Message::MeterFeaturesRequest => {}
        Message::MeterFeaturesReply(f) => features(out, f),
        _ => return false,
    }
    true
}

fn number(out: &mut String, id: u32, separator: char) {
    let _ = write!(out, "meter{separator}");
    let _ = match id {
        meter_id::SLOWPATH => write!(out, "slowpath"),
        meter_id::CONTROLLER => write!(out, "controller"),
        meter_id::ALL => write!(out, "all"),
        id if id > meter_id::MAX => write!(out, "unknown"),
        id => write!(out, "{id}"),
    };
}

fn config(out: &mut String, m: &MeterConfig) {
    number(out, m.meter_id, '=');
    out.push(' ');
    flags(out, m.flags);
    out.push_str("bands=");
    for b in &m.bands {
        out.push('\n');
        band(out, b, m.flags);
    }
    out.push('\n');
}

fn flags(out: &mut String, flags: MeterFlags) {
    for (flag, name) in [
        (MeterFlags::KBPS, "kbps"),
        (MeterFlags::PKTPS, "pktps"),
        (MeterFlags::BURST, "burst"),
        (MeterFlags::STATS, "stats"),
    ] {
        if flags.contains(flag) {
            let _ = write!(out, "{name} ");
        }
    }
    let unknown = flags.bits() & !0xf;
    if unknown != 0 {
        let _ = write!(out, "flags:{unknown:#x} ");
    }
}

fn band(out: &mut String, b: &MeterBand, flags: MeterFlags) {
    let name = match b.kind {
        BandKind::Drop => "drop",
        BandKind::DscpRemark(_) => "dscp_remark",
    };
    let _ = write!(out, "type={name} rate={}", b.rate);
    if flags.contains(MeterFlags::BURST) {
        let _ = write!(out, " burst_size={}", b.burst_size);
    }
    if let BandKind::DscpRemark(level) = b.kind {
        let _ = write!(out, " prec_level={level}");
    }
}

fn stats(out: &mut String, m: &MeterStats) {
    number(out, m.meter_id, ':');
    let _ = write!(
        out,
        " flow_count:{} packet_in_count:{} byte_in_count:{} duration:",
        m.flow_count, m.packet_in_count, m.byte_in_count
    );
    duration(out, m.duration);
    out.push_str("s bands:\n");
    for (i, (packets, bytes)) in m.bands.iter().enumerate() {
        let _ = writeln!(out, "{i}: packet_count:{packets} byte_count:{bytes}");
    }
}

fn features(out: &mut String, f: &MeterFeatures) {
    let _ = write!(out, "\nmax_meter:{} max_bands:{} max_color:{}\n", f.max_meters, f.max_bands, f.max_color);
    let types = bit_names(f.band_types, &[(1 << 1, "drop"), (1 << 2, "dscp_remark")]);
    let _ = writeln!(out, "band_types: {types}");
    let table = [(1, "kbps"), (2, "pktps"), (4, "burst"), (8, "stats")];
    let _ = writeln!(out, "capabilities: {}", bit_names(f.capabilities, &table));
}
