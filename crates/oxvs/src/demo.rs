//! The demonstration: two hypervisors joined by a VXLAN tunnel (or a VLAN trunk), two machines on each, and a stateful firewall.
//!
//! Where it sits: `main` calls [`outside`], which enters a sandbox and runs [`inside`] there. Everything is done as a user
//! would do it: links by `ip`, bridges by `ovs-vsctl`, rules by `ovs-ofctl`, questions by `ovs-appctl`.
//!
//! ~~~text
//!   hypervisor hv1                               hypervisor hv2
//!   vm1 10.0.0.1 ─ tag 10 ┐                  ┌ tag 10 ─ vm3 10.0.0.3
//!                         br-int ═ VXLAN ═ br-int
//!   vm2 10.0.0.2 ─ tag 10 ┘    10 and 20     └ tag 20 ─ vm4 10.0.0.4
//!                         br-phy ───────── br-phy
//! ~~~
//!
//! I1  The sandbox ends with this program, however it ends, and with it every link, process and file.
//! I2  What "happened" is what real programs in the machines saw, never what the switch says.
//!
//! Next: `topology.rs`, then `security_group.rs`, `verdict.rs`.

mod hyperv;
mod hypervisor;
mod probes;
mod security_group;
mod table;
mod topology;
mod verdict;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};

use crate::programs::Programs;
use hypervisor::Hypervisor;
use probes::Probe;
use table::Table;
pub use topology::{First, Link};
use topology::{HYPERVISORS, MACHINES};
use verdict::{Counters, Decision};

/// Whether the machines leave checksums to their links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// As machines do.
    #[default]
    On,
    /// As C Open vSwitch's userspace datapath needs it.
    Off,
}

/// For `--hyperv`, in place of a file: the driver that is linked into the simulation.
pub const LINKED_IN: &str = "linked-in";

/// What the user chose.
#[derive(Debug, Default)]
pub struct Options {
    /// Where the programs are, if not beside this one.
    pub programs: Option<PathBuf>,
    /// Whether the machines leave checksums to their links.
    pub offload: Offload,
    /// How the hypervisors are joined.
    pub link: Link,
    /// What the first hypervisor is.
    pub first: First,
}

/// Enters the sandbox and plays there.
pub fn outside(options: &Options) -> Result<ExitCode> {
    // complain before anything is set up
    Programs::find(options.programs.as_deref())?;
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    let mut command = sandbox::command(this)?;
    command.arg("demo-inside");
    if let Some(dir) = &options.programs {
        command.arg("--programs").arg(dir.canonicalize()?);
    }
    if options.offload == Offload::Off {
        command.arg("--no-offload");
    }
    if options.link == Link::Trunk {
        command.arg("--trunk");
    }
    if let First::HyperV(image) = &options.first {
        let image =
            image.as_ref().map(|file| file.canonicalize().with_context(|| file.display().to_string()));
        command.arg("--hyperv").arg(image.transpose()?.unwrap_or_else(|| LINKED_IN.into()));
    }
    let status = command.status().context("cannot enter the namespaces")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Plays; this process is inside the sandbox.
pub fn inside(options: &Options) -> Result<ExitCode> {
    if !sandbox::is_inside() {
        bail!("this command is part of 'oxvs demo'");
    }
    let programs = Programs::find(options.programs.as_deref())?;
    println!("{}", topology::picture(options.link, &options.first));
    topology::build(options.offload)?;
    let start = |name: &&'static str| Hypervisor::start(&programs, name, options.link, &options.first);
    let hypervisors = HYPERVISORS.iter().map(start).collect::<Result<Vec<_>>>()?;
    if options.link == Link::Vxlan {
        // a simulated one is the first, and has to know the other: that one asks it first
        hypervisors.iter().rev().try_for_each(|hypervisor| hypervisor.greet(&hypervisors))?;
    }
    println!("\nThe security group, on both hypervisors (ovs-ofctl add-flows br-int -):\n");
    print!("{}", security_group::as_text());
    hypervisors.iter().try_for_each(Hypervisor::protect)?;
    let _machines = MACHINES.iter().map(probes::start_answering).collect::<Result<Vec<_>>>()?;
    println!("\nProbes, by real programs in the machines:\n");
    let surprises = play(&hypervisors)?;
    show_connections(&hypervisors)?;
    for hypervisor in hypervisors {
        let name = hypervisor.name;
        if let Some(life) = hypervisor.end()? {
            println!("\nThe driver on {name}, from its loading to its unloading: {life}");
        }
    }
    match surprises {
        0 => println!("\nEverything happened as expected. Nothing is left behind."),
        count => println!("\n{count} of {} probes did not happen as expected.", probes::ALL.len()),
    }
    Ok(ExitCode::from(u8::from(surprises > 0)))
}

/// Runs the probes one by one and prints a row for each; returns how many surprised.
fn play(hypervisors: &[Hypervisor]) -> Result<usize> {
    let table =
        Table::new(["probe", "expected", "happened", "decided by", "packets counted"], [26, 9, 9, 55, 0]);
    table.head();
    let mut surprises = 0;
    for probe in &probes::ALL {
        let before = count(hypervisors)?;
        let happened = probe.run()?;
        let (decision, moved) = explain(hypervisors, probe, &before)?;
        let surprised = happened != probe.expected || !decision.agrees(happened);
        surprises += usize::from(surprised);
        let mark = if surprised { " !" } else { "" };
        table.row([
            probe.title().as_str(),
            probe.expected.as_str(),
            &format!("{}{mark}", happened.as_str()),
            &decision.to_string(),
            &moved,
        ]);
    }
    Ok(surprises)
}

fn count(hypervisors: &[Hypervisor]) -> Result<Vec<Counters>> {
    hypervisors.iter().map(Hypervisor::counters).collect()
}

/// Which rule decided: the last one that the trace names, on the first hypervisor whose trace drops, and the counters
/// that moved meanwhile.
fn explain(hypervisors: &[Hypervisor], probe: &Probe, before: &[Counters]) -> Result<(Decision, String)> {
    let source = hypervisors.iter().find(|hypervisor| hypervisor.name == probe.from.hypervisor);
    let source = source.context("every machine has a hypervisor")?;
    let decision = source.trace(&probe.flow(), probe.note)?;
    let moved: Vec<String> = hypervisors
        .iter()
        .zip(before)
        .map(|(hypervisor, before)| {
            let after = hypervisor.counters_after(before, decision.cookie)?;
            Ok(after
                .moved_since(before, decision.cookie)
                .map(|count| format!("{} +{count}", hypervisor.name)))
        })
        .collect::<Result<Vec<Option<String>>>>()?
        .into_iter()
        .flatten()
        .collect();
    let moved = if moved.is_empty() { "none".to_owned() } else { moved.join(", ") };
    Ok((decision, moved))
}

/// The live connection tables, while one TCP connection is held open.
fn show_connections(hypervisors: &[Hypervisor]) -> Result<()> {
    let _held = probes::hold()?;
    for hypervisor in hypervisors {
        println!("\nConnections on {} (ovs-appctl dpctl/dump-conntrack -s):\n", hypervisor.name);
        for line in hypervisor.connections()?.lines() {
            println!("  {line}");
        }
    }
    Ok(())
}
