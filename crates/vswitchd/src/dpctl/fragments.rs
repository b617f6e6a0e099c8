//! `dpctl/ipf-…`: fragments that wait before connection tracking.
//!
//! Where it sits: registered beside the other `dpctl` commands; reads and sets what the datapath says of them.
//!
//! Spec: ovs-vswitchd(8); what Open vSwitch answers.

use std::fmt::Write;

use conntrack::{FragmentStatus, Setting};
use daemon::unixctl::{Call, Commands};

use dpif::{Tracking, TrackingError};

use super::{Datapaths, INVALID, Millis, failed, now, set, tracking, unreachable};

const DENIED: &str = "Operation not permitted";

type Run = fn(&Datapaths, &Millis, &[String]) -> Result<String, String>;

/// Registers the commands.
pub(super) fn register(commands: &Commands, datapaths: &Datapaths, now_ms: &Millis) {
    let add = |name: &str, usage: &str, count: (usize, usize), run: Run| {
        let (datapaths, now_ms) = (datapaths.clone(), now_ms.clone());
        commands.register(name, usage, count.0..=count.1, move |call: Call| {
            match run(&datapaths, &now_ms, &call.args) {
                Ok(text) => call.reply(text),
                Err(text) => call.error(text),
            }
        });
    };
    add("dpctl/ipf-set-enabled", "[dp] v4|v6", (1, 2), |dps, _, args| set_enabled(dps, args, true));
    add("dpctl/ipf-set-disabled", "[dp] v4|v6", (1, 2), |dps, _, args| set_enabled(dps, args, false));
    add("dpctl/ipf-set-min-frag", "[dp] v4|v6 minfragment", (2, 3), set_min_frag);
    add("dpctl/ipf-set-max-nfrags", "[dp] maxfrags", (1, 2), set_max);
    add("dpctl/ipf-get-status", "[dp]", (0, 2), status);
}

/// Whether a family's name is IPv6's.
fn is_ipv6(name: Option<&String>) -> Option<bool> {
    match name?.as_str() {
        "v4" => Some(false),
        "v6" => Some(true),
        _ => None,
    }
}

/// Sets what may be refused: in these words.
fn try_set(dps: &Datapaths, name: &[String], what: Setting, value: u32, why: &str) -> Result<(), String> {
    let dpif = dps.only(name)?;
    tracking(&*dpif)?.set(what, value).map_err(|e| match e {
        TrackingError::Refused => failed(why, DENIED),
        e => unreachable(e),
    })
}

fn set_enabled(dps: &Datapaths, args: &[String], on: bool) -> Result<String, String> {
    let wrong = || failed("parameter missing: 'v4' for IPv4 or 'v6' for IPv6", INVALID);
    let family = is_ipv6(args.last()).ok_or_else(wrong)?;
    set(dps, args.get(..args.len() - 1).unwrap_or_default(), Setting::hold(family), on.into())?;
    Ok(format!("{} fragmentation reassembly successful\n", if on { "enabling" } else { "disabling" }))
}

fn set_min_frag(dps: &Datapaths, _: &Millis, args: &[String]) -> Result<String, String> {
    let Some((name, [family, bytes])) = args.split_last_chunk() else {
        return Err(failed("parameter missing for minimum fragment size", INVALID));
    };
    let wrong = || failed("parameter missing: v4 for IPv4 or v6 for IPv6", INVALID);
    let family = is_ipv6(Some(family)).ok_or_else(wrong)?;
    let bytes = bytes.parse().map_err(|_| failed("parameter missing for minimum fragment size", INVALID))?;
    let why = "requested minimum fragment size too small; see documentation";
    try_set(dps, name, Setting::min_frag(family), bytes, why)?;
    Ok("setting minimum fragment size successful\n".to_owned())
}

fn set_max(dps: &Datapaths, _: &Millis, args: &[String]) -> Result<String, String> {
    let wrong = || failed("parameter missing for maximum fragments", INVALID);
    let (max, name) = args.split_last().ok_or_else(wrong)?;
    let max = max.parse().map_err(|_| wrong())?;
    try_set(dps, name, Setting::MaxFrags, max, "setting maximum fragments failed")?;
    Ok("setting maximum fragments successful\n".to_owned())
}

fn status(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String, String> {
    let (options, name): (Vec<_>, Vec<_>) = args.iter().cloned().partition(|a| a.starts_with('-'));
    if let Some(unknown) = options.iter().find(|o| !matches!(o.as_str(), "-m" | "--more")) {
        return Err(format!("Unrecognized option {unknown}\n"));
    }
    let dpif = dps.only(&name)?;
    let table = tracking(&*dpif)?;
    let status = table.fragments(now(now_ms)).map_err(unreachable)?;
    show(table, status, !options.is_empty()).map_err(unreachable)
}

/// Settings and counters, and with `more` the datagrams that wait.
fn show(table: &dyn Tracking, status: FragmentStatus, more: bool) -> Result<String, TrackingError> {
    let mut lines = vec!["Fragmentation Module Status".to_owned(), "-".repeat(27)];
    lines.push(format!("v4 enabled: {}", table.setting(Setting::HoldIpv4)?));
    lines.push(format!("v6 enabled: {}", table.setting(Setting::HoldIpv6)?));
    lines.push(format!("max num frags (v4/v6): {}", table.setting(Setting::MaxFrags)?));
    lines.push(format!("num frag: {}", status.waits));
    for ((v, is_ipv6), counts) in [("v4", false), ("v6", true)].into_iter().zip(status.counts) {
        lines.push(format!("min {v} frag size: {}", table.setting(Setting::min_frag(is_ipv6))?));
        let counters = [
            ("accepted", counts.accepted),
            ("completed", counts.completed),
            // Nothing is sent on after its time: what expires is purged.
            ("expired", 0),
            ("too small", counts.too_small),
            ("overlapped", counts.overlapped),
            ("purged", counts.purged),
        ];
        lines.extend(counters.map(|(what, n)| format!("{v} frags {what}: {n}")));
    }
    if more {
        lines.extend([String::new(), "Fragment Lists:".to_owned(), String::new()]);
        table.for_each_waiting(&mut |waiting| lines.push(waiting.to_string()))?;
    }
    Ok(lines.iter().fold(String::new(), |mut out, line| {
        let indent = if line.is_empty() || line.starts_with('(') { "" } else { "        " };
        let _ = writeln!(out, "{indent}{line}");
        out
    }))
}
