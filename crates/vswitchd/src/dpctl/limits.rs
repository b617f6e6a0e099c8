//! `dpctl/ct-set-limits`, `ct-get-limits` and `ct-del-limits`: how many connections a zone may have.
//!
//! Where it sits: registered beside the other `dpctl` commands; limits out of the database are the engine's.
//!
//! Spec: ovs-dpctl(8).

use conntrack::ZoneLimit;
use daemon::unixctl::{Call, Commands};

use super::{Datapaths, INVALID, failed, tracking, unreachable};

/// Registers the commands.
pub(super) fn register(commands: &Commands, datapaths: &Datapaths) {
    let add = |name: &str, usage: &str, min, run: fn(&Datapaths, &[String]) -> Result<String, String>| {
        let datapaths = datapaths.clone();
        commands.register(name, usage, min..=usize::MAX, move |call: Call| {
            match run(&datapaths, &call.args) {
                Ok(text) => call.reply(text),
                Err(text) => call.error(text),
            }
        });
    };
    add("dpctl/ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, set);
    add("dpctl/ct-del-limits", "[dp] [default] [zone=N1[,N2]...]", 1, del);
    add("dpctl/ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, get);
}

fn wrong(what: impl AsRef<str>) -> String {
    failed(what.as_ref(), INVALID)
}

/// Limits out of the database are not for commands to change.
fn check_owner(dps: &Datapaths, name: &str) -> Result<(), String> {
    if dps.limits_are_the_databases(name) {
        return Err(failed(
            "the zone limits are set via database, use 'ovs-vsctl set-zone-limit <...>' instead.",
            "Operation not permitted",
        ));
    }
    Ok(())
}

/// `zone=N,limit=L`.
fn zone_limit(text: &str) -> Result<(u16, u32), String> {
    let (mut zone, mut limit) = (None, None);
    for field in text.split(',') {
        let (key, value) =
            field.split_once('=').ok_or_else(|| wrong(format!("field {field} missing value")))?;
        let unreadable = || wrong(format!("failed to parse field {key}"));
        match key {
            "zone" => zone = Some(value.parse().map_err(|_| unreadable())?),
            "limit" => limit = Some(value.parse().map_err(|_| unreadable())?),
            _ => return Err(wrong(format!("invalid zone limit field: {key}"))),
        }
    }
    zone.zip(limit).ok_or_else(|| wrong("failed to parse zone limit"))
}

/// `zone=N1,N2…`.
fn zones(text: &str) -> Result<Vec<u16>, String> {
    let list = text.strip_prefix("zone=").ok_or_else(|| wrong(format!("invalid argument {text}")))?;
    list.split(',').map(|zone| zone.parse().map_err(|_| wrong("invalid zone"))).collect()
}

fn set(dps: &Datapaths, args: &[String]) -> Result<String, String> {
    let (dpif, args) = dps.choose(args)?;
    check_owner(dps, dpif.name())?;
    let table = tracking(&*dpif)?;
    let (default, rest) = match args.split_first() {
        Some((first, rest)) if first.starts_with("default=") => {
            let limit = first.strip_prefix("default=").and_then(|text| text.parse::<u32>().ok());
            (Some(limit.ok_or_else(|| wrong("invalid default limit"))?), rest)
        }
        _ => (None, args),
    };
    // Nothing is changed by a command of which a part is wrong.
    let limits = rest.iter().map(|text| zone_limit(text)).collect::<Result<Vec<_>, _>>()?;
    if default.is_none() && limits.is_empty() {
        return Err(wrong("missing arguments"));
    }
    let limits: Vec<_> = limits.into_iter().map(|(zone, limit)| (zone, Some(limit))).collect();
    table.set_zone_limits(default, &limits).map_err(unreachable)?;
    Ok(String::new())
}

fn del(dps: &Datapaths, args: &[String]) -> Result<String, String> {
    let (dpif, args) = dps.choose(args)?;
    check_owner(dps, dpif.name())?;
    let table = tracking(&*dpif)?;
    let (with_default, rest) = match args.split_first() {
        Some((first, rest)) if first == "default" => (true, rest),
        _ => (false, args),
    };
    let gone = match rest {
        [] if with_default => Vec::new(),
        [only] => zones(only)?,
        [] => return Err(wrong("missing arguments")),
        [_, other, ..] => return Err(wrong(format!("invalid argument {other}"))),
    };
    let gone: Vec<_> = gone.into_iter().map(|zone| (zone, None)).collect();
    table.set_zone_limits(with_default.then_some(0), &gone).map_err(unreachable)?;
    Ok(String::new())
}

fn get(dps: &Datapaths, args: &[String]) -> Result<String, String> {
    let (dpif, args) = dps.choose(args)?;
    let table = tracking(&*dpif)?;
    let line = |z: ZoneLimit| format!("zone={},limit={},count={}\n", z.zone, z.limit, z.count);
    let asked = match args {
        [] => Vec::new(),
        [only] => zones(only)?,
        [_, other, ..] => return Err(wrong(format!("invalid argument {other}"))),
    };
    let found = table.zone_limits(&asked).map_err(unreachable)?;
    let default = asked.is_empty().then(|| format!("default limit={}\n", found.default));
    Ok(default.into_iter().chain(found.zones.into_iter().map(line)).collect())
}
