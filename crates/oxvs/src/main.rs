//! oxvs: the demonstration, and the switch in one command.
//!
//! Where it sits: the user's first program. It drives the other programs as a user would, through their command lines,
//! and shares no code with them.
//!
//! ~~~text
//! oxvs demo ── sandbox (namespaces) ── oxvs demo-inside ─┬─ hypervisor 1: ovsdb-server, ovs-vswitchd
//!                                                        ├─ hypervisor 2: ovsdb-server, ovs-vswitchd
//!                                                        └─ machines: oxvs answer, oxvs probe …
//! ~~~
//!
//! Next: `demo.rs`.

mod demo;
mod probe;
mod programs;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use lexopt::prelude::*;

const USAGE: &str = "\
usage: oxvs demo [OPTIONS]

Plays the demonstration: two hypervisors joined by a VXLAN tunnel, two virtual machines on each, and a stateful firewall.
Everything happens in namespaces of its own; nothing is left behind.

  --programs DIR   use the Open vSwitch programs in DIR instead of those beside this one
  --trunk          join the hypervisors by a VLAN trunk instead of a tunnel
  --hyperv FILE    the first hypervisor is a simulated Hyper-V that loads the driver in FILE (ovsext.sys);
                   'linked-in' instead of a file: the one that is linked into the simulation (hyperv-sim)
  --no-offload     turn checksum offload off in the machines, as C Open vSwitch needs it (with ethtool)
  -h, --help       show this
  -V, --version    show the version
";

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("oxvs: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    let mut args = lexopt::Parser::from_env();
    let command = match args.next()? {
        Some(Value(command)) => command.string()?,
        Some(Short('h') | Long("help")) | None => {
            print!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(Short('V') | Long("version")) => {
            println!("oxvs {}", env!("CARGO_PKG_VERSION"));
            return Ok(ExitCode::SUCCESS);
        }
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "demo" => demo::outside(&demo_options(args)?),
        "demo-inside" => demo::inside(&demo_options(args)?),
        // what runs in the machines' namespaces
        "answer" => probe::answer(),
        "probe" => probe::run(&args.raw_args()?.map(|word| word.string()).collect::<Result<Vec<_>, _>>()?),
        other => bail!("unknown command '{other}'; use --help for help"),
    }
}

fn demo_options(mut args: lexopt::Parser) -> Result<demo::Options> {
    let mut options = demo::Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Long("programs") => options.programs = Some(PathBuf::from(args.value()?)),
            Long("no-offload") => options.offload = demo::Offload::Off,
            Long("hyperv") => {
                let image = Some(args.value()?).filter(|value| value != demo::LINKED_IN).map(PathBuf::from);
                options.first = demo::First::HyperV(image);
            }
            Long("trunk") => options.link = demo::Link::Trunk,
            Short('h') | Long("help") => {
                print!("{USAGE}");
                std::process::exit(0);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if options.first != demo::First::Linux && options.link == demo::Link::Trunk {
        bail!("--hyperv goes with the tunnel only");
    }
    Ok(options)
}
