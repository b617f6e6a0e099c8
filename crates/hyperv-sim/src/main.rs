//! Runs seeds: `hyperv-sim --seeds N [--from S] | --seed S [--image FILE]`.
//!
//! A seed that breaks a rule ends the program with one line that replays it.

use std::path::PathBuf;

use hyperv_sim::{Driver, Plan, run};
use lexopt::prelude::*;

fn main() -> Result<(), lexopt::Error> {
    let (mut from, mut count, mut image, mut verbose) = (0u64, 1u64, None, false);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("seeds") => count = args.value()?.parse()?,
            Long("from") => from = args.value()?.parse()?,
            Long("seed") => (from, verbose) = (args.value()?.parse()?, true),
            Long("image") => image = Some(PathBuf::from(args.value()?)),
            other => return Err(other.unexpected()),
        }
    }
    let driver = image.map_or(Driver::Native, Driver::Image);
    let mut carried = 0;
    for seed in from..from.saturating_add(count) {
        let report = run(&Plan { driver: driver.clone(), ..Plan::of(seed) });
        carried += report.counts.tcp_bytes;
        if verbose {
            println!("seed {seed}: {:?}, {} ms of virtual time", report.counts, report.time_ns / 1_000_000);
        }
    }
    println!("{count} seeds from {from}: no rule broken, {carried} bytes of TCP carried");
    Ok(())
}
