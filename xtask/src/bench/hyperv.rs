//! `cargo xtask bench hyperv`: what a packet costs the Windows driver, in the simulated switch, beside the core alone (rows P14 of
//! docs/performance.md, into which they are written).
//!
//! Where it sits: one subject of `bench`. Runs the measurement of `hyperv-sim` with the driver linked in and, where its image can be
//! built, with that. Of the kernel that is simulated nothing counts: callgrind is told which functions are the kernel's, and the
//! measurement's stopwatch stands while they run.

use std::process::ExitCode;

use anyhow::Result;

use super::{
    program::{build, counted, said, timed},
    table::{self, Line},
};
use crate::{
    shell::{announce, which},
    windows,
};

/// Batches of 32 packets: of the shorter run under callgrind, and of a timed run.
const COUNTED: u64 = 256;
const TIMED: u64 = 3_000;

/// Cases, as the core alone has them: row and name.
const CASES: [(&str, &str, &str); 5] = [
    ("one", "P1", "one flow, output"),
    ("flows-10k", "P2", "10,000 flows, one mask"),
    ("ct-1k", "P5", "ct, 1,000 connections"),
    ("rewrite", "P7", "eth_dst, ttl, ip_dst rewritten"),
    ("rewrite-long", "P7", "eth_dst, ttl, ip_dst rewritten, packets of 32,000 bytes"),
];

/// Where the driver is entered, and its ways out: what the simulation declares as functions of the kernel.
const BORDERS: [&str; 6] = ["hyperv_sim::kernel::driver_runs*", "Ndis*", "Ke*", "Io*", "Ex*", "Mm*"];

pub(super) fn run() -> Result<ExitCode> {
    announce("building the measurement of the driver");
    let program = build("hyperv-sim", "driver")?;
    let image = windows::driver().map_err(|e| println!("the image is not measured: {e}")).ok();
    let image = image.map(|path| path.display().to_string());
    let counts = which("valgrind").is_some();
    if !counts {
        println!("instructions are not counted: no valgrind here");
    }
    let options: Vec<String> = BORDERS.iter().map(|border| format!("--toggle-collect={border}")).collect();
    announce("the driver in the simulated switch");
    for (case, row, name) in CASES {
        let drivers = [("driver linked in", None), ("ovsext.sys", image.as_deref())];
        let lines = drivers.into_iter().filter(|(what, file)| *what != "ovsext.sys" || file.is_some());
        let lines = lines.map(|(what, file)| {
            let args: Vec<&str> = [case].into_iter().chain(file).collect();
            let ns = timed(&program, &args, TIMED)?;
            let args = [&args[..], &["counted"]].concat();
            let instructions = if counts { Some(counted(&program, &args, COUNTED, &options)?) } else { None };
            Ok(Line {
                row: format!("P14, {row}"),
                case: format!("simulated Hyper-V, {what}: {name}"),
                ours: said((instructions, ns)),
                ..Line::default()
            })
        });
        table::write(&lines.collect::<Result<Vec<_>>>()?)?;
    }
    Ok(ExitCode::SUCCESS)
}
