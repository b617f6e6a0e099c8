//! `cargo xtask bench datapath`: the core and its libraries alone, and the switch beside OVS-DPDK (rows P1 to P7, P10 and
//! P14 of docs/performance.md, into which they are written).
//!
//! Where it sits: one subject of `bench`. First the measurements of `datapath`, `conntrack` and `classifier` (their
//! `benches`), under callgrind and by themselves; then `peer.rs` inside namespaces, if there are huge pages to be had.
//!
//! Instructions are the difference between a long run and a short one, so that making the case does not count; what the
//! measurement's own loop costs is measured apart, and taken off.

mod peer;

use std::{path::Path, process::ExitCode};

use anyhow::Result;

use super::{
    program::{build, counted, said, timed},
    table::{self, Line},
};
use crate::{
    install::build_release,
    needs,
    shell::{announce, which},
};

pub(super) use peer::inside;

/// Batches of 32 packets: of the shorter run under callgrind, and of a timed run.
const COUNTED: u64 = 320;
const TIMED: u64 = 100_000;

/// Case of the core's measurement, row, name and target.
const CORE: [(&str, &str, &str, &str); 15] = [
    ("one", "P1", "one flow, output", "≤ 90 instructions"),
    ("l2", "P1b", "in_port only", ""),
    ("flows-1k", "P2", "1,000 flows, one mask", "≤ 140 instructions"),
    ("flows-10k", "P2", "10,000 flows, one mask", "≤ 140 instructions"),
    ("flows-100k", "P2", "100,000 flows, one mask", ""),
    ("masks-20", "P3", "10,000 flows, 20 masks", ""),
    ("acl-10k", "P4", "10,000 rules as an access list, 20,000 packets", ""),
    ("fw-10k", "P4", "10,000 rules as a firewall, 20,000 packets", ""),
    ("ipc-10k", "P4", "10,000 rules as a chain, 20,000 packets", ""),
    ("ct-1k", "P5", "ct, 1,000 connections", "≤ 250 instructions"),
    ("ct-100k", "P5", "ct, 100,000 connections", ""),
    ("rewrite", "P7", "eth_dst, ttl, ip_dst rewritten", "P1 and ≤ 5 ns"),
    ("vxlan-push", "P7", "VXLAN pushed", ""),
    ("vxlan-out", "P7", "VXLAN by set(tunnel), and through the flows", ""),
    ("vxlan-pop", "P7", "VXLAN popped", ""),
];

/// Cases with a worker on each of two processors, row and name.
const PAIRS: [(&str, &str); 2] =
    [("flows-10k", "10,000 flows, one mask"), ("ct-1k", "ct, 1,000 connections")];

/// What `ovstest test-conntrack benchmark 1 20M 32` of Open vSwitch 3.7.1 took, counted the same way on another day; it
/// is in no distribution.
const OVSTEST_INSTRUCTIONS: f64 = 967.0;

/// Sets of rules and their names.
const RULES: [(&str, &str); 5] = [
    ("10k-20", "10,000 rules, 20 masks"),
    ("100k-100", "100,000 rules, 100 masks"),
    ("acl-10k", "10,000 rules as an access list"),
    ("fw-10k", "10,000 rules as a firewall"),
    ("ipc-10k", "10,000 rules as a chain"),
];

pub(super) fn outside() -> Result<ExitCode> {
    announce("building the measurements of the core, connections and rules");
    let (core, conntrack) = (build("datapath", "core")?, build("conntrack", "library")?);
    let rules = build("classifier", "rules")?;
    if which("valgrind").is_none() {
        println!("instructions are not counted: no valgrind here");
    }
    announce("the core alone");
    table::write(&core_rows(&core)?)?;
    announce("two workers");
    table::write(&pair_rows(&core)?)?;
    announce("the connection table alone");
    table::write(&conntrack_rows(&conntrack)?)?;
    announce("the rule table alone");
    table::write(&rule_rows(&rules)?)?;
    for missing in needs::for_tests() {
        eprintln!("{}", missing.reason);
    }
    announce("building the release binaries");
    let programs = build_release()?;
    peer::outside(&programs)
}

/// Instructions for each packet, where they are counted, and CPU ns, both without the loop's. The loop takes as many
/// instructions in all cases, of which `floor` is a small one, and more or less time. Without `floor`, they are not
/// counted.
fn measured(
    program: &Path,
    case: &str,
    (floor, own_floor): (Option<&str>, &str),
) -> Result<(Option<f64>, f64)> {
    let ns = timed(program, &[case], TIMED)? - timed(program, &[own_floor], TIMED)?;
    let instructions = match floor.filter(|_| which("valgrind").is_some()) {
        Some(floor) => {
            Some(counted(program, &[case], COUNTED, &[])? - counted(program, &[floor], COUNTED, &[])?)
        }
        None => None,
    };
    Ok((instructions, ns))
}

fn core_rows(program: &Path) -> Result<Vec<Line>> {
    let rows = CORE.iter().map(|(case, row, name, target)| {
        // Rules would be classified for minutes under callgrind, for a steady state that is that of other rows.
        let floor = (*row != "P4").then_some("floor:one");
        let ours = said(measured(program, case, (floor, &format!("floor:{case}")))?);
        let (row, case, target) =
            (format!("P14, {row}"), format!("core alone: {name}"), (*target).to_owned());
        Ok(Line { row, case, ours, target, ..Line::default() })
    });
    rows.collect()
}

fn pair_rows(program: &Path) -> Result<Vec<Line>> {
    let kinds = [("split", "each half of the packets"), ("pair", "each all of them")];
    let rows = PAIRS.iter().flat_map(|pair| kinds.map(|kind| (pair, kind)));
    let rows = rows.map(|((case, name), (kind, what))| {
        let alone = timed(program, &[case], TIMED)?;
        let beside = timed(program, &[&format!("{kind}:{case}")], TIMED)?;
        Ok(Line {
            row: "P14".into(),
            case: format!("two workers on one datapath, {what}: {name}"),
            ours: format!("{:.2} of twice one worker's rate", alone / beside),
            target: "≥ 0.95".into(),
            ..Line::default()
        })
    });
    rows.collect()
}

fn conntrack_rows(program: &Path) -> Result<Vec<Line>> {
    let line = |case: &str, ours: String, target: &str| Line {
        row: "P6".into(),
        case: format!("connection table alone: {case}"),
        ours,
        target: target.into(),
        ..Line::default()
    };
    let one = measured(program, "established", (Some("floor"), "floor"))?;
    let mut first = line("established, one connection", said(one), "≤ 200 instructions");
    if let (Some(n), _) = one {
        first.peer = format!("{OVSTEST_INSTRUCTIONS:.0} instructions (3.7.1, recorded)");
        first.ratio = format!("{:.1}", OVSTEST_INSTRUCTIONS / n);
    }
    let many = measured(program, "established-1k", (Some("floor"), "floor"))?;
    let commits = timed(program, &["commit"], 31_250)?;
    let bytes = timed(program, &["bytes"], 1)?;
    Ok(vec![
        first,
        line("established, 1,000 connections", said(many), ""),
        line("10,000 commits in each of 100 zones", format!("{commits:.0} ns"), "≤ 150 ns"),
        line("memory", format!("{bytes:.0} bytes a connection"), "≤ 160 bytes"),
    ])
}

fn rule_rows(program: &Path) -> Result<Vec<Line>> {
    let rows = RULES.iter().map(|(set, name)| {
        // Fails if an answer is wrong.
        timed(program, &[&format!("check:{set}")], 0)?;
        let of = |what: &str| format!("{what}:{set}");
        let lookup = timed(program, &[&of("lookup")], 4_000)? - timed(program, &[&of("floor")], 4_000)?;
        let update = timed(program, &[&of("update")], 800)?;
        let bytes = timed(program, &[&of("bytes")], 0)?;
        let rate = |ns: f64| 1000.0 / ns;
        Ok(Line {
            row: "P10".into(),
            case: format!("rule table alone: {name}"),
            ours: format!(
                "{:.2} M lookups/s, {:.2} M updates/s, {bytes:.0} bytes a rule",
                rate(lookup),
                rate(update)
            ),
            target: "≥ 10 M/s, ≥ 0.2 M/s".into(),
            ..Line::default()
        })
    });
    rows.collect()
}
