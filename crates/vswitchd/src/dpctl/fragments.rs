//! `dpctl/ipf-…`: fragments that wait before connection tracking.
//!
//! Where it sits: registered beside the other `dpctl` commands; reads and sets the table's `Fragments`.
//!
//! Spec: ovs-vswitchd(8); what Open vSwitch answers.

use std::fmt::Write;

use conntrack::Fragments;
use daemon::unixctl::{Call, Commands};

use super::{Datapaths, INVALID, Millis, failed, now, table};

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

fn with<R>(dps: &Datapaths, name: &[String], f: impl FnOnce(&Fragments) -> R) -> Result<R, String> {
    Ok(f(table(&*dps.only(name)?)?.fragments()))
}

fn set_enabled(dps: &Datapaths, args: &[String], on: bool) -> Result<String, String> {
    let wrong = || failed("parameter missing: 'v4' for IPv4 or 'v6' for IPv6", INVALID);
    let family = is_ipv6(args.last()).ok_or_else(wrong)?;
    with(dps, args.get(..args.len() - 1).unwrap_or_default(), |f| f.set_enabled(family, on))?;
    Ok(format!("{} fragmentation reassembly successful\n", if on { "enabling" } else { "disabling" }))
}

fn set_min_frag(dps: &Datapaths, _: &Millis, args: &[String]) -> Result<String, String> {
    let Some((name, [family, bytes])) = args.split_last_chunk() else {
        return Err(failed("parameter missing for minimum fragment size", INVALID));
    };
    let wrong = || failed("parameter missing: v4 for IPv4 or v6 for IPv6", INVALID);
    let family = is_ipv6(Some(family)).ok_or_else(wrong)?;
    let bytes = bytes.parse().map_err(|_| failed("parameter missing for minimum fragment size", INVALID))?;
    if !with(dps, name, |f| f.set_min_frag(family, bytes))? {
        return Err(failed("requested minimum fragment size too small; see documentation", DENIED));
    }
    Ok("setting minimum fragment size successful\n".to_owned())
}

fn set_max(dps: &Datapaths, _: &Millis, args: &[String]) -> Result<String, String> {
    let wrong = || failed("parameter missing for maximum fragments", INVALID);
    let (max, name) = args.split_last().ok_or_else(wrong)?;
    let max = max.parse().map_err(|_| wrong())?;
    if !with(dps, name, |f| f.set_max(max))? {
        return Err(failed("setting maximum fragments failed", DENIED));
    }
    Ok("setting maximum fragments successful\n".to_owned())
}

fn status(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String, String> {
    let (options, name): (Vec<_>, Vec<_>) = args.iter().cloned().partition(|a| a.starts_with('-'));
    if let Some(unknown) = options.iter().find(|o| !matches!(o.as_str(), "-m" | "--more")) {
        return Err(format!("Unrecognized option {unknown}\n"));
    }
    let now = now(now_ms);
    with(dps, &name, |fragments| show(fragments, fragments.count(now), !options.is_empty()))
}

/// Settings and counters, and with `more` the datagrams that wait.
fn show(fragments: &Fragments, count: usize, more: bool) -> String {
    let number = |on: bool| u8::from(on);
    let mut lines = vec!["Fragmentation Module Status".to_owned(), "-".repeat(27)];
    lines.push(format!("v4 enabled: {}", number(fragments.is_enabled(false))));
    lines.push(format!("v6 enabled: {}", number(fragments.is_enabled(true))));
    lines.push(format!("max num frags (v4/v6): {}", fragments.max()));
    lines.push(format!("num frag: {count}"));
    for (v, is_ipv6) in [("v4", false), ("v6", true)] {
        let counts = fragments.counts(is_ipv6);
        lines.push(format!("min {v} frag size: {}", fragments.min_frag(is_ipv6)));
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
        let mut at = 0;
        while let Some((waiting, next)) = fragments.waiting(at) {
            lines.push(waiting.to_string());
            at = next;
        }
    }
    lines.iter().fold(String::new(), |mut out, line| {
        let indent = if line.is_empty() || line.starts_with('(') { "" } else { "        " };
        let _ = writeln!(out, "{indent}{line}");
        out
    })
}
