//! The probes of the demonstration: what is sent, and what is expected of it.
//!
//! Where it sits: `demo::play` runs them; `probe.rs` holds the programs that really send.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::topology::{Machine, VM1, VM2, VM3, VM4};
use crate::probe::UNASKED_PORT;

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was answered, or arrived.
    Allowed,
    /// It was not.
    Dropped,
}

impl Happened {
    /// As the table shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Dropped => "dropped",
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An ICMP echo request.
    Ping,
    /// A TCP connection with data both ways.
    Tcp(u16),
    /// A UDP question that wants an answer.
    Udp(u16),
    /// A UDP packet that looks like an answer to a question that nobody asked.
    Unasked,
}

/// One probe.
#[derive(Debug)]
pub struct Probe {
    /// What is sent.
    pub kind: Kind,
    /// The machine that sends.
    pub from: &'static Machine,
    /// The machine that should answer.
    pub to: &'static Machine,
    /// What should happen.
    pub expected: Happened,
    /// What else explains the verdict, besides the rule.
    pub note: &'static str,
}

/// All probes, in order.
pub const ALL: [Probe; 10] = [
    probe(Kind::Ping, [&VM1, &VM2], Happened::Allowed),
    probe(Kind::Ping, [&VM1, &VM3], Happened::Allowed),
    probe(Kind::Tcp(22), [&VM1, &VM3], Happened::Allowed),
    probe(Kind::Tcp(22), [&VM3, &VM1], Happened::Dropped),
    probe(Kind::Tcp(80), [&VM1, &VM3], Happened::Dropped),
    probe(Kind::Udp(53), [&VM3, &VM2], Happened::Allowed),
    probe(Kind::Udp(53), [&VM1, &VM2], Happened::Allowed),
    probe(Kind::Udp(69), [&VM1, &VM3], Happened::Dropped),
    probe(Kind::Unasked, [&VM3, &VM1], Happened::Dropped),
    Probe {
        kind: Kind::Ping,
        from: &VM1,
        to: &VM4,
        expected: Happened::Dropped,
        note: "but VLAN 10 does not reach VLAN 20",
    },
];

const fn probe(kind: Kind, [from, to]: [&'static Machine; 2], expected: Happened) -> Probe {
    Probe { kind, from, to, expected, note: "" }
}

impl Probe {
    /// As the table shows it.
    pub fn title(&self) -> String {
        let what = match self.kind {
            Kind::Ping => "ping".to_owned(),
            Kind::Tcp(port) => format!("TCP {port}"),
            Kind::Udp(port) => format!("UDP {port}"),
            Kind::Unasked => "unasked UDP".to_owned(),
        };
        format!("{what:11} {} -> {}", self.from.name, self.to.name)
    }

    /// Its first packet as `ofproto/trace` takes it.
    pub fn flow(&self) -> String {
        let Self { from, to, .. } = self;
        let link = format!("in_port={},dl_src={}", from.ofport, from.mac);
        if !self.note.is_empty() {
            // it gets no further than asking for the other's hardware address
            let question =
                format!("arp_op=1,arp_spa={},arp_tpa={},arp_sha={}", from.address, to.address, from.mac);
            return format!("arp,{link},dl_dst=ff:ff:ff:ff:ff:ff,{question}");
        }
        let ends =
            format!("{link},dl_dst={},nw_src={},nw_dst={},nw_ttl=64", to.mac, from.address, to.address);
        match self.kind {
            Kind::Ping => format!("icmp,{ends},icmp_type=8,icmp_code=0"),
            Kind::Tcp(port) => format!("tcp,{ends},tcp_src=50000,tcp_dst={port}"),
            Kind::Udp(port) => format!("udp,{ends},udp_src=50000,udp_dst={port}"),
            Kind::Unasked => format!("udp,{ends},udp_src=53,udp_dst={UNASKED_PORT}"),
        }
    }

    /// Sends it and sees whether an answer comes.
    pub fn run(&self) -> Result<Happened> {
        let to = self.to.address;
        let answered = match self.kind {
            Kind::Ping => send(self.from, &["ping", to])?,
            Kind::Tcp(port) => send(self.from, &["tcp", to, &port.to_string()])?,
            Kind::Udp(port) => send(self.from, &["udp", to, &port.to_string()])?,
            Kind::Unasked => {
                let mut watch = start(self.to, &["probe", "watch"])?;
                send(self.from, &["unasked", to])?;
                watch.0.wait()?.success()
            }
        };
        Ok(if answered { Happened::Allowed } else { Happened::Dropped })
    }
}

fn send(from: &Machine, words: &[&str]) -> Result<bool> {
    let out =
        oxvs(from)?.arg("probe").args(words).stdin(Stdio::null()).output().context("cannot run the probe")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(said.is_empty(), "in {}: {}", from.name, said.trim());
    Ok(out.status.success())
}

/// Starts the program that answers in a machine.
pub fn start_answering(machine: &Machine) -> Result<Running> {
    start(machine, &["answer"])
}

/// Opens the TCP connection that the rules allow, with data through it, and keeps it open.
pub fn hold() -> Result<Running> {
    start(&VM1, &["probe", "hold", VM3.address, "22"])
}

/// A process in a machine, ended with its owner.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts one of our own programs in a machine and waits until it says that it is ready.
fn start(machine: &Machine, words: &[&str]) -> Result<Running> {
    let child = oxvs(machine)?.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut running = Running(child.with_context(|| format!("cannot start a program in {}", machine.name))?);
    let mut line = String::new();
    let out = running.0.stdout.take().context("no stdout")?;
    BufReader::new(out).read_line(&mut line)?;
    ensure!(!line.is_empty(), "{} in {} ended early", words.join(" "), machine.name);
    Ok(running)
}

fn oxvs(machine: &Machine) -> Result<Command> {
    Ok(machine.command(std::env::current_exe().context("cannot tell where this program is")?))
}
