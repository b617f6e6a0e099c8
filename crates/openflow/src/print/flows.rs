//! Text of messages about flows.
//!
//! Where it sits: `dump-flows`, flow mods and flow-removed in logs and `monitor`.

use std::fmt::Write;

use super::duration;
use crate::msg::{FlowRemoved, FlowStats, FlowStatsRequest};
use crate::{FlowMod, FlowModCommand, FlowModFlags, Names, OfpPort, Version, actions, matches};

const FLAGS: [(FlowModFlags, &str); 5] = [
    (FlowModFlags::SEND_FLOW_REM, "send_flow_rem"),
    (FlowModFlags::CHECK_OVERLAP, "check_overlap"),
    (FlowModFlags::RESET_COUNTS, "reset_counts"),
    (FlowModFlags::NO_PKT_COUNTS, "no_packet_counts"),
    (FlowModFlags::NO_BYT_COUNTS, "no_byte_counts"),
];

/// Appends the names of flags, each followed by a space.
fn put_flags(out: &mut String, flags: FlowModFlags) {
    for (flag, name) in FLAGS {
        if flags.contains(flag) {
            out.push_str(name);
            out.push(' ');
        }
    }
}

/// The text of a flow with its counters, as dump-flows prints it.
pub fn flow_stats(fs: &FlowStats, names: &Names) -> String {
    let mut out = format!("cookie={:#x}, duration=", fs.cookie);
    duration(&mut out, fs.duration);
    let _ = write!(out, "s, table={}, ", names.table(fs.table_id));
    for (name, count) in [("n_packets", fs.packet_count), ("n_bytes", fs.byte_count)] {
        let _ = match count {
            u64::MAX => write!(out, "{name}=?, "),
            n => write!(out, "{name}={n}, "),
        };
    }
    put_timeouts(&mut out, fs);
    if let Some(age) = fs.idle_age {
        let _ = write!(out, "idle_age={age}, ");
    }
    if let Some(age) = fs.hard_age.filter(|age| *age != fs.duration.sec) {
        let _ = write!(out, "hard_age={age}, ");
    }
    put_match_and_actions(&mut out, fs, names);
    out
}

/// The text of a flow that `--no-stats` prints.
pub fn flow_stats_without_counters(fs: &FlowStats, names: &Names) -> String {
    let mut out = String::new();
    if fs.cookie != 0 {
        let _ = write!(out, "cookie={:#x}, ", fs.cookie);
    }
    if fs.table_id != 0 {
        let _ = write!(out, "table={}, ", names.table(fs.table_id));
    }
    put_timeouts(&mut out, fs);
    put_match_and_actions(&mut out, fs, names);
    out
}

fn put_timeouts(out: &mut String, fs: &FlowStats) {
    if fs.idle_timeout != 0 {
        let _ = write!(out, "idle_timeout={}, ", fs.idle_timeout);
    }
    if fs.hard_timeout != 0 {
        let _ = write!(out, "hard_timeout={}, ", fs.hard_timeout);
    }
    put_flags(out, fs.flags);
    if fs.importance != 0 {
        let _ = write!(out, "importance={}, ", fs.importance);
    }
}

fn put_match_and_actions(out: &mut String, fs: &FlowStats, names: &Names) {
    let matcher = matches::format(&fs.matcher, fs.priority, names);
    out.push_str(&matcher);
    if !matcher.is_empty() {
        out.push(' ');
    }
    out.push_str("actions=");
    out.push_str(&actions::format(&fs.actions, names));
}

/// The text of a flow mod, as logs show it.
pub fn flow_mod(fm: &FlowMod, names: &Names, version: Version) -> String {
    let mut out = match fm.command {
        FlowModCommand::Add => "ADD",
        FlowModCommand::Modify => "MOD",
        FlowModCommand::ModifyStrict => "MOD_STRICT",
        FlowModCommand::Delete => "DEL",
        FlowModCommand::DeleteStrict => "DEL_STRICT",
    }
    .to_owned();
    if fm.table_id != 0 {
        let _ = write!(out, " table:{}", names.table(fm.table_id));
    }
    out.push(' ');
    let matcher = matches::format(&fm.matcher, fm.priority, names);
    out.push_str(&matcher);
    if !matcher.is_empty() {
        out.push(' ');
    }
    if fm.new_cookie != u64::MAX && fm.new_cookie != 0 {
        let _ = write!(out, "cookie:{:#x} ", fm.new_cookie);
    }
    if fm.cookie_mask != 0 {
        let _ = write!(out, "cookie:{:#x}/{:#x} ", fm.cookie, fm.cookie_mask);
    }
    if fm.idle_timeout != 0 {
        let _ = write!(out, "idle:{} ", fm.idle_timeout);
    }
    if fm.hard_timeout != 0 {
        let _ = write!(out, "hard:{} ", fm.hard_timeout);
    }
    if fm.importance != 0 {
        let _ = write!(out, "importance:{} ", fm.importance);
    }
    if fm.buffer_id != FlowMod::NO_BUFFER {
        let _ = write!(out, "buf:{:#x} ", fm.buffer_id);
    }
    if fm.out_port != OfpPort::NONE {
        let _ = write!(out, "out_port:{} ", names.port(fm.out_port));
    }
    // Adding resets counters in 1.0 and 1.1 without being told: nobody says so.
    let implied = version < Version::V12 && fm.command == FlowModCommand::Add;
    put_flags(&mut out, if implied { fm.flags - FlowModFlags::RESET_COUNTS } else { fm.flags });
    out.push_str("actions=");
    out.push_str(&actions::format(&fm.actions, names));
    out
}

pub(super) fn request(out: &mut String, q: &FlowStatsRequest, names: &Names) {
    if q.table_id != FlowMod::ANY_TABLE {
        let _ = write!(out, " table={}", names.table(q.table_id));
    }
    if q.out_port != OfpPort::NONE {
        let _ = write!(out, " out_port={}", names.port(q.out_port));
    }
    let matcher = matches::format(&q.matcher, FlowMod::DEFAULT_PRIORITY, names);
    if !matcher.is_empty() {
        let _ = write!(out, " {matcher}");
    }
}

pub(super) fn removed(out: &mut String, fr: &FlowRemoved, names: &Names) {
    let matcher = matches::format(&fr.matcher, fr.priority, names);
    let _ = write!(out, " {matcher} reason={}", fr.reason.name());
    if fr.table_id != FlowMod::ANY_TABLE {
        let _ = write!(out, " table_id={}", names.table(fr.table_id));
    }
    if fr.cookie != 0 {
        let _ = write!(out, " cookie:{:#x}", fr.cookie);
    }
    out.push_str(" duration");
    duration(out, fr.duration);
    let _ = write!(out, "s idle{}", fr.idle_timeout);
    if fr.hard_timeout != 0 {
        let _ = write!(out, " hard{}", fr.hard_timeout);
    }
    let _ = writeln!(out, " pkts{} bytes{}", fr.packet_count, fr.byte_count);
}
