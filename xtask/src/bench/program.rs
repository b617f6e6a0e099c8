//! Measurements that are programs (`benches` of crates): built, timed, and run under callgrind.
//!
//! Where it sits: used by subjects of `bench`. Such a program is called with a case and how many batches of 32 packets to run,
//! and prints nanoseconds.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::median;
use crate::shell::{capture, cargo};

/// Timed runs.
const ROUNDS: usize = 5;

/// Builds a measurement and finds where cargo put it.
pub(super) fn build(package: &str, bench: &str) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["bench", "-q", "-p", package, "--bench", bench, "--no-run", "--message-format=json"]);
    let (said, source) = (capture(&mut build)?, format!("benches/{bench}.rs"));
    let line = said.lines().find(|line| line.contains(&source) && line.contains("\"executable\":\""));
    let path = line.and_then(|line| line.split_once("\"executable\":\"")?.1.split_once('"'));
    Ok(path.context("cargo built no measurement")?.0.into())
}

/// The program's arguments: the case, how many batches, and what else the case needs.
fn arguments(case: &[&str], batches: u64) -> Vec<String> {
    let (first, rest) = case.split_first().map_or(("", case), |(first, rest)| (*first, rest));
    let batches = batches.to_string();
    [first, &batches].iter().chain(rest).map(|arg| (*arg).to_owned()).collect()
}

/// The median of what runs of a measurement print.
pub(super) fn timed(program: &Path, case: &[&str], batches: u64) -> Result<f64> {
    let once = || {
        let said = capture(Command::new(program).args(arguments(case, batches)))?;
        said.trim().parse::<f64>().context("the measurement prints a number")
    };
    // What does not depend on time need not be asked twice.
    let rounds = if batches <= 1 { 1 } else { ROUNDS };
    Ok(median((0..rounds).map(|_| once()).collect::<Result<_>>()?))
}

/// Instructions for each packet, by the difference between `batches` and twice as many; of what callgrind collects with
/// these `options`.
pub(super) fn counted(program: &Path, case: &[&str], batches: u64, options: &[String]) -> Result<f64> {
    let run = |batches: u64| -> Result<f64> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).args(options);
        let out = valgrind.arg(program).args(arguments(case, batches)).output()?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        count.filter(|_| out.status.success()).context("callgrind counted nothing")
    };
    Ok((run(2 * batches)? - run(batches)?) / (batches * 32) as f64)
}

pub(super) fn said((instructions, ns): (Option<f64>, f64)) -> String {
    match instructions {
        Some(n) => format!("{n:.0} instructions, {ns:.1} ns"),
        None => format!("{ns:.1} ns"),
    }
}
