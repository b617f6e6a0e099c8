//! Runs seeds: `hyperv-sim --seeds N [--from S] | --seed S [--image FILE] [--fault NAME]`; or a dialogue:
//! `hyperv-sim --dialogue FILE [--image FILE]`.
//!
//! A seed that breaks a rule ends the program with one line that replays it.

use std::path::{Path, PathBuf};

use hyperv_sim::{Driver, Fault, Plan, retell, run};
use lexopt::prelude::*;

fn main() -> Result<(), lexopt::Error> {
    let (mut from, mut count, mut image, mut verbose, mut fault) = (0u64, 1u64, None, false, None);
    let mut dialogue = None;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("seeds") => count = args.value()?.parse()?,
            Long("from") => from = args.value()?.parse()?,
            Long("seed") => (from, verbose) = (args.value()?.parse()?, true),
            Long("fault") => {
                let name = args.value()?.string()?;
                fault = Some(Fault::parse(&name).ok_or_else(|| format!("no fault is called {name}"))?);
            }
            Long("dialogue") => dialogue = Some(PathBuf::from(args.value()?)),
            Long("image") => image = Some(PathBuf::from(args.value()?)),
            other => return Err(other.unexpected()),
        }
    }
    let driver = image.map_or(Driver::Native, Driver::Image);
    if let Some(file) = dialogue {
        return speak(&file, &driver);
    }
    let mut carried = 0;
    for seed in from..from.saturating_add(count) {
        let report = run(&Plan { driver: driver.clone(), fault, ..Plan::of(seed) });
        carried += report.counts.tcp_bytes;
        if verbose {
            println!("seed {seed}: {:?}, {} ms of virtual time", report.counts, report.time_ns / 1_000_000);
        }
    }
    println!("{count} seeds from {from}: no rule broken, {carried} bytes of TCP carried");
    Ok(())
}

/// Says which of a dialogue's lines come out otherwise.
fn speak(file: &Path, driver: &Driver) -> Result<(), lexopt::Error> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let told = retell(&text, driver);
    match text.lines().zip(told.lines()).position(|(is, comes)| is != comes) {
        None if text == told => {
            println!("{} lines come out as they are written", text.lines().count());
            Ok(())
        }
        at => {
            let (at, lines) = (at.unwrap_or(0), told.lines().collect::<Vec<_>>());
            Err(format!("{}:{}: comes out as {:?}", file.display(), at + 1, lines.get(at)).into())
        }
    }
}
