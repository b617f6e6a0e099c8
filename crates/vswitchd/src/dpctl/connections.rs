//! `dpctl/dump-conntrack`, `dump-conntrack-exp`, `flush-conntrack` and `ct-stats-show`: the connections of a datapath, as text.
//!
//! Where it sits: registered beside the other `dpctl` commands; reads the table through `dpif`, in parts.

use conntrack::{Detail, Entry, EntryText, Expectation, Extent, ProtocolCounts, TupleMatch};

use super::{Datapaths, INVALID, Millis, failed, now, tracking};

/// Takes `-m`, `-s` and `-ms` out of the arguments.
fn detail(args: &[String]) -> Result<(Detail, Vec<String>), String> {
    let mut detail = Detail::default();
    let (options, rest): (Vec<_>, Vec<_>) = args.iter().cloned().partition(|a| a.starts_with('-'));
    for option in options {
        match option.as_str() {
            "-m" | "--more" => detail.more = Extent::Full,
            "-s" | "--statistics" => detail.statistics = Extent::Full,
            "-ms" | "-sm" => detail = Detail { more: Extent::Full, statistics: Extent::Full },
            _ => return Err(failed(&format!("unrecognized option '{option}'"), INVALID)),
        }
    }
    Ok((detail, rest))
}

/// The zone in front of the arguments, if there is one, and the rest.
fn zone(args: &[String]) -> Result<(Option<u16>, &[String]), String> {
    match args.split_first() {
        Some((first, rest)) if first.starts_with("zone=") => {
            let zone = first.strip_prefix("zone=").and_then(|z| z.parse().ok());
            Ok((Some(zone.ok_or_else(|| failed("failed to parse zone", INVALID))?), rest))
        }
        _ => Ok((None, args)),
    }
}

pub(super) fn dump(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String, String> {
    let (detail, args) = detail(args)?;
    let (dpif, args) = dps.choose(&args)?;
    let (zone, rest) = zone(args)?;
    if !rest.is_empty() {
        return Err(failed("datapath not found", INVALID));
    }
    let mut out = String::new();
    dpif.for_each_connection(now(now_ms), zone, &mut |e| out += &format!("{}\n", EntryText(e, detail)));
    Ok(out)
}

/// `dpctl/dump-conntrack-exp [DP] [zone=N]`.
pub(super) fn dump_expected(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String, String> {
    let (dpif, args) = dps.choose(args)?;
    let (zone, rest) = zone(args)?;
    if !rest.is_empty() {
        return Err(failed("datapath not found", INVALID));
    }
    let mut out = String::new();
    let mut each = |e: &Expectation| {
        if zone.is_none_or(|zone| zone == e.tuple.zone) {
            out += &format!("{e}\n");
        }
    };
    let listed = tracking(&*dpif)?.for_each_expected(now(now_ms), &mut each);
    listed.map_err(|why| failed("dumping conntrack expectation entry", &why.to_string()))?;
    Ok(out)
}

pub(super) fn stats(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String, String> {
    let (detail, args) = detail(args)?;
    let (dpif, args) = dps.choose(&args)?;
    let (zone, rest) = zone(args)?;
    if !rest.is_empty() {
        return Err(failed("datapath not found", INVALID));
    }
    let mut counts = ProtocolCounts::default();
    dpif.for_each_connection(now(now_ms), zone, &mut |e| counts.add(e));
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = counts.write(&mut out, detail.more);
    Ok(out)
}

pub(super) fn flush(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String, String> {
    let (dpif, args) = dps.choose(args)?;
    let (zone, tuples) = zone(args)?;
    let parse = |at: usize| match tuples.get(at) {
        Some(text) => TupleMatch::parse(text).map_err(|e| failed(&e.to_string(), INVALID)),
        None => Ok(TupleMatch::default()),
    };
    let (orig, reply) = (parse(0)?, parse(1)?);
    // A tuple without a zone means the default zone; without either, everything is meant.
    let zone = if tuples.is_empty() { zone } else { Some(zone.unwrap_or(0)) };
    let wanted =
        |e: &Entry| zone.is_none_or(|z| z == e.orig.zone) && orig.matches(&e.orig) && reply.matches(&e.reply);
    let ended = dpif.flush_connections_if(now(now_ms), &wanted);
    let names_one =
        orig.src.is_some() && orig.dst.is_some() && orig.src_port.is_some() && orig.dst_port.is_some();
    if ended == 0 && names_one && tuples.len() == 1 {
        return Err(failed("failed to flush conntrack", "No such file or directory"));
    }
    Ok(String::new())
}
