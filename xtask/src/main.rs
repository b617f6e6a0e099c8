//! The project's own commands: test, demo, install, bench.
//!
//! Where it sits: run by people and by `.ci/run` as `cargo xtask COMMAND`; it calls cargo, the package manager (as
//! root only) and the programs it built. Nothing else in the workspace may depend on it.
//!
//! The repository's own rules (layers, headers, sizes, licences, the kernel image) are ordinary `#[test]`s of this
//! crate, so plain `cargo test` checks them too.
//!
//! Next: `gate.rs`, what `cargo xtask test` does.

mod bench;
mod demo;
mod gate;
mod install;
mod kernel_image;
mod needs;
mod oracle;
mod outcome;
mod shell;
mod sim;
#[cfg(test)]
mod tidy;
mod windows;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use lexopt::prelude::*;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--long]      format, lints, and every test; --long adds what does not fit into a short gate
  demo [ARGS...]     build the release binaries and play the demonstration; --hyperv with ovsext.sys in a simulated Hyper-V
  install DIR        put the release binaries into DIR/bin and DIR/sbin, the schema into DIR/share/openvswitch
  bench datapath     the core's instructions and time for each packet; as root also the switch beside OVS-DPDK
  bench hyperv       instructions and time of the Windows driver for each packet, in the simulated switch
  bench ovsdb        the database server beside C's: transactions, ports, monitors, memory, start-up
  bench veth         two machines over veth: this switch, C Open vSwitch and the kernel's bridge, one run
  windows            link the driver into target/windows: ovsext.sys, .pdb, .inf; with osslsigncode a .cat, and test-signed
  sim [ARGS...]      run the driver in the simulated Hyper-V: --seeds N, --seed S to replay, --image for the real ovsext.sys
  needs              install or fetch what the tests need, and say what is missing
";

enum Task {
    Test(gate::Length),
    Demo(Vec<OsString>),
    Install(PathBuf),
    Bench(bench::Subject),
    Needs,
    Windows,
    Sim(Vec<OsString>),
    Usage,
}

fn main() -> ExitCode {
    let done = parse(lexopt::Parser::from_env()).and_then(|task| match task {
        Task::Test(length) => gate::run(length),
        Task::Demo(args) => demo::run(&args),
        Task::Install(dir) => install::run(&dir).map(|()| ExitCode::SUCCESS),
        Task::Bench(subject) => bench::run(subject),
        Task::Needs => needs::run(),
        Task::Windows => windows::run().map(|()| ExitCode::SUCCESS),
        Task::Sim(args) => sim::run(&args),
        Task::Usage => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
    });
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn parse(mut args: lexopt::Parser) -> Result<Task> {
    let Some(first) = args.next()? else { bail!("no command given\n{USAGE}") };
    let command = match first {
        Short('h') | Long("help") => return Ok(Task::Usage),
        Value(name) => name.string()?,
        other => return Err(other.unexpected().into()),
    };
    let task = match command.as_str() {
        "test" => match args.next()? {
            None => return Ok(Task::Test(gate::Length::Short)),
            Some(Long("long")) => Task::Test(gate::Length::Long),
            Some(other) => return Err(other.unexpected().into()),
        },
        "demo" => return Ok(Task::Demo(args.raw_args()?.collect())),
        "install" => Task::Install(args.value()?.into()),
        "bench" => Task::Bench(args.value()?.parse()?),
        "needs" => Task::Needs,
        "windows" => Task::Windows,
        "sim" => return Ok(Task::Sim(args.raw_args()?.collect())),
        "help" => Task::Usage,
        other => bail!("unknown command '{other}'\n{USAGE}"),
    };
    match args.next()? {
        None => Ok(task),
        Some(extra) => Err(extra.unexpected().into()),
    }
}
