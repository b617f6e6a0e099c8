//! The simulated Hyper-V: `hyperv-sim [OPTIONS]` runs seeds or a dialogue, `hyperv-sim host [OPTIONS]` serves a switch in real time.
//!
//! ~~~text
//! hyperv-sim --seeds N [--from S] | --seed S [--image FILE] [--fault NAME]
//! hyperv-sim --dialogue FILE [--image FILE]
//! hyperv-sim host --device SOCKET [--image FILE] [--vm NAME=DEVICE]… [--wire NAME=DEVICE] [--own NAME[=ADDRESS/LEN]]… [--commands]
//! ~~~
//!
//! A seed that breaks a rule ends the program with one line that replays it. The host says "ready" when its device can be
//! opened, and ends by SIGTERM, with everything checked that a seed's end checks. With `--commands` it reads from standard input
//! what an administrator does meanwhile (`host/commands.rs`).

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hyperv_sim::{Driver, Fault, HostPlan, Plan, retell, run, serve};
use lexopt::prelude::*;

fn main() -> ExitCode {
    let mut args = lexopt::Parser::from_env();
    let is_host = args.try_raw_args().is_some_and(|raw| raw.peek().is_some_and(|first| first == "host"));
    let done = if is_host {
        // The word was looked at just now.
        let _ = args.next();
        host(args)
    } else {
        seeds(args)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hyperv-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn seeds(mut args: lexopt::Parser) -> Result<(), lexopt::Error> {
    let (mut from, mut count, mut image, mut verbose, mut fault) = (0u64, 1u64, None, false, None);
    let mut dialogue = None;
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

/// Reads `NAME=DEVICE`.
fn named(text: &str) -> Result<(String, String), lexopt::Error> {
    let (name, device) = text.split_once('=').ok_or_else(|| format!("{text}: NAME=DEVICE is meant"))?;
    Ok((name.to_owned(), device.to_owned()))
}

/// Reads `NAME[=ADDRESS/LEN]`.
fn own(text: &str) -> Option<(String, Option<(Ipv4Addr, u32)>)> {
    let Some((name, address)) = text.split_once('=') else { return Some((text.to_owned(), None)) };
    let (address, len) = address.split_once('/')?;
    let len = len.parse().ok().filter(|len| (1..=32).contains(len))?;
    Some((name.to_owned(), Some((address.parse().ok()?, len))))
}

fn host(mut args: lexopt::Parser) -> Result<(), lexopt::Error> {
    let mut plan = HostPlan {
        driver: Driver::Native,
        device: PathBuf::new(),
        machines: Vec::new(),
        wire: None,
        own: Vec::new(),
        commands: false,
    };
    while let Some(arg) = args.next()? {
        match arg {
            Long("device") => plan.device = PathBuf::from(args.value()?),
            Long("image") => plan.driver = Driver::Image(PathBuf::from(args.value()?)),
            Long("vm") => plan.machines.push(named(&args.value()?.string()?)?),
            Long("commands") => plan.commands = true,
            Long("wire") => plan.wire = Some(named(&args.value()?.string()?)?),
            Long("own") => {
                let text = args.value()?.string()?;
                plan.own
                    .push(own(&text).ok_or_else(|| format!("{text}: no name, or no IPv4 address/prefix"))?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if plan.device.as_os_str().is_empty() {
        return Err("--device says where the device is to be".into());
    }
    let counts = serve(&plan)?;
    println!(
        "{} packets in, {} frames out, {} packets changed by the driver; no rule broken, nothing left behind",
        counts.sent, counts.delivered, counts.made
    );
    Ok(())
}
