//! `cargo xtask bench datapath`: the core alone, and the switch beside OVS-DPDK (rows P1 to P7 and P14 of
//! docs/performance.md).
//!
//! Where it sits: one subject of `bench`. First the core's own measurement (`crates/datapath/benches/core.rs`), under
//! callgrind and by itself; then `peer.rs` inside namespaces, if there are huge pages to be had.
//!
//! Instructions are the difference between a long run and a short one, so that making the case does not count; what the
//! measurement's own loop costs is measured apart, and taken off.

mod peer;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use super::median;
use crate::{
    install::build_release,
    needs,
    shell::{announce, capture, cargo, which},
};

pub(super) use peer::inside;

/// Batches of 32 packets: of the shorter run under callgrind, and of a timed run.
const COUNTED: u64 = 320;
const TIMED: u64 = 100_000;
/// Timed runs.
const ROUNDS: usize = 5;

const CASES: [(&str, &str); 8] = [
    ("one", "P1"),
    ("l2", "P1b"),
    ("flows-1k", "P2"),
    ("flows-10k", "P2"),
    ("flows-100k", "P2"),
    ("masks-20", "P3"),
    ("ct-1k", "P5"),
    ("rewrite", "P7"),
];

pub(super) fn outside() -> Result<ExitCode> {
    announce("building the core's measurement");
    core(&build_core()?)?;
    for missing in needs::for_tests() {
        eprintln!("{}", missing.reason);
    }
    announce("building the release binaries");
    let programs = build_release()?;
    peer::outside(&programs)
}

/// Builds the measurement and finds where cargo put it.
fn build_core() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["bench", "-q", "-p", "datapath", "--bench", "core", "--no-run", "--message-format=json"]);
    let said = capture(&mut build)?;
    let line =
        said.lines().find(|line| line.contains("benches/core.rs") && line.contains("\"executable\":\""));
    let path = line.and_then(|line| line.split_once("\"executable\":\"")?.1.split_once('"'));
    Ok(path.context("cargo built no measurement")?.0.into())
}

/// Measures the core alone and prints a table.
fn core(program: &Path) -> Result<()> {
    let counts = which("valgrind").is_some();
    if !counts {
        println!("instructions are not counted: no valgrind here");
    }
    println!("\n| row | case | instructions a packet | CPU ns a packet |\n|---|---|---|---|");
    for (case, row) in CASES {
        let floor = format!("floor:{case}");
        let ns = timed(program, case)? - timed(program, &floor)?;
        let instructions =
            if counts { counted(program, case)? - counted(program, &floor)? } else { f64::NAN };
        println!("| P14, {row} | {case} | {instructions:.0} | {ns:.1} |");
    }
    Ok(())
}

fn timed(program: &Path, case: &str) -> Result<f64> {
    let once = || {
        let said = capture(Command::new(program).args([case, &TIMED.to_string()]))?;
        said.trim().parse::<f64>().context("the measurement prints a number")
    };
    Ok(median((0..ROUNDS).map(|_| once()).collect::<Result<_>>()?))
}

fn counted(program: &Path, case: &str) -> Result<f64> {
    let run = |batches: u64| -> Result<f64> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        let out = valgrind.arg(program).args([case, &batches.to_string()]).output()?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        count.context("callgrind counted nothing")
    };
    Ok((run(2 * COUNTED)? - run(COUNTED)?) / (COUNTED * 32) as f64)
}
