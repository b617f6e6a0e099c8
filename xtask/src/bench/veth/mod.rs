//! `cargo xtask bench veth`: two machines behind veth pairs, joined by one switch after another (row P11 of
//! docs/performance.md).
//!
//! Where it sits: one subject of `bench`; runs itself again inside namespaces (`veth-inside`), and there in each machine
//! ([`ends`]).
//!
//! With our switch, with C's `userspace-tso` and with the kernel's bridge the machines leave checksums and segmentation to
//! their links, as machines do. C Open vSwitch loses TCP then in its other modes, so with those they are told not to
//! (`ethtool -K DEV tx off`).

mod ends;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use testkit::{Suite, SwitchUnderTest};

use super::median;
use super::table::{self, Line};
use crate::{
    install::build_release,
    needs, oracle,
    shell::{announce, capture},
};

/// Interleaved runs of each switch.
const ROUNDS: usize = 5;
/// Seconds of each stream.
const SECONDS: u32 = 3;

/// A switch in one of its modes.
struct Contender {
    name: &'static str,
    /// What switches: ours, C's, or the kernel's bridge.
    kind: Kind,
    /// The type of the ports.
    port_type: &'static str,
    /// What `Open_vSwitch` gets before the switch starts.
    other_config: &'static [&'static str],
    /// The machines' offloads stay on.
    offloads: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    C,
    Bridge,
}

/// Poll-mode threads of both switches get the first core.
const ONE_CORE: &str = "other_config:pmd-cpu-mask=1";

const CONTENDERS: [Contender; 6] = [
    Contender { name: "oxvs", kind: Kind::Ours, port_type: "system", other_config: &[], offloads: true },
    Contender { name: "C, tx off", kind: Kind::C, port_type: "system", other_config: &[], offloads: false },
    Contender {
        name: "C, userspace-tso",
        kind: Kind::C,
        port_type: "system",
        other_config: &["other_config:userspace-tso-enable=true"],
        offloads: true,
    },
    Contender { name: "kernel bridge", kind: Kind::Bridge, port_type: "", other_config: &[], offloads: true },
    Contender {
        name: "oxvs, afxdp",
        kind: Kind::Ours,
        port_type: "afxdp",
        other_config: &[ONE_CORE],
        offloads: true,
    },
    Contender {
        name: "C, afxdp, tx off",
        kind: Kind::C,
        port_type: "afxdp",
        other_config: &[ONE_CORE],
        offloads: false,
    },
];

/// What is measured: its name, its unit, and whether more is better.
const FIGURES: [(&str, &str, bool); 6] = [
    ("TCP, one stream", "Gbit/s", true),
    ("UDP round trip, p50", "µs", false),
    ("UDP round trip, p99", "µs", false),
    ("TCP connect, ask, close, 1 at a time", "/s", true),
    ("the same, 16 at a time", "/s", true),
    ("64-byte packets, CPU of the switch", "ns each", false),
];

pub(super) fn outside() -> Result<ExitCode> {
    for missing in needs::for_tests() {
        eprintln!("{}", missing.reason);
    }
    announce("building the release binaries");
    let programs = build_release()?;
    let mut command = sandbox::command(std::env::current_exe()?)?;
    command
        .args(["bench", "veth-inside"])
        .env("OXVS_PROGRAMS", programs)
        .env("OXVS_ORACLE", oracle::folder());
    let status = command.status().context("cannot enter the namespaces")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One end's program, in its namespace.
pub(super) fn end(what: &str) -> Result<()> {
    ends::run(what)
}

pub(super) fn inside() -> Result<()> {
    ensure!(sandbox::is_inside(), "this measurement is part of 'bench veth'");
    let ours = testkit::ours(&["ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovsdb-tool"])
        .context("not all programs exist yet")?;
    let theirs = testkit::oracle().context("nothing to compare with")?;
    let mut samples: Vec<[Vec<f64>; FIGURES.len()]> = CONTENDERS.iter().map(|_| Default::default()).collect();
    for round in 1..=ROUNDS {
        for (contender, samples) in CONTENDERS.iter().zip(&mut samples) {
            let figures = measure(contender, if contender.kind == Kind::C { &theirs } else { &ours })?;
            let shown: Vec<String> = figures.iter().map(|f| format!("{f:.2}")).collect();
            println!("round {round}: {:17} {}", contender.name, shown.join("  "));
            samples.iter_mut().zip(figures).for_each(|(all, one)| all.push(one));
        }
    }
    table::write(&rows(&samples.into_iter().map(|figures| figures.map(median)).collect::<Vec<_>>()))
}

/// Rows of docs/performance.md: ours against each other switch, a ratio above 1 where ours is better. What a switch has no
/// figure for has no row.
fn rows(medians: &[[f64; FIGURES.len()]]) -> Vec<Line> {
    let mut rows = Vec::new();
    let of = |ours: bool| CONTENDERS.iter().zip(medians).filter(move |(c, _)| (c.kind == Kind::Ours) == ours);
    for (contender, ours) in of(true) {
        for (other, theirs) in of(false) {
            for ((figure, unit, more), (ours, theirs)) in FIGURES.iter().zip(ours.iter().zip(theirs)) {
                let ratio = if *more { ours / theirs } else { theirs / ours };
                if ratio.is_nan() {
                    continue;
                }
                rows.push(Line {
                    row: "P11".to_owned(),
                    case: format!("{figure}: {} beside {}", contender.name, other.name),
                    ours: format!("{ours:.2} {unit}"),
                    peer: format!("{theirs:.2} {unit}"),
                    ratio: format!("{ratio:.2}"),
                    target: target(contender, other, figure).to_owned(),
                });
            }
        }
    }
    rows
}

/// What a ratio is to be.
fn target(ours: &Contender, theirs: &Contender, figure: &str) -> &'static str {
    match (ours.name, theirs.name) {
        ("oxvs", "C, tx off") => "≥ 2",
        ("oxvs", "C, userspace-tso") => "≥ 1.2",
        ("oxvs", "kernel bridge") => "≥ 1.0",
        ("oxvs, afxdp", "C, afxdp, tx off") if figure.contains("CPU") => "≥ 1.2",
        ("oxvs, afxdp", "C, afxdp, tx off") if figure.contains("p99") => "≥ 1",
        _ => "",
    }
}

/// One run: fresh links, a fresh switch, every figure. A switch that carries nothing is a result too.
fn measure(contender: &Contender, suite: &Suite) -> Result<[f64; FIGURES.len()]> {
    for (name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        run_words(&format!("ip netns add {name}"))?;
        run_words(&format!("ip link add port-{name} type veth peer name eth0 netns {name}"))?;
        run_words(&format!("ip -n {name} addr add {address}/24 dev eth0"))?;
        run_words(&format!("ip -n {name} link set lo up"))?;
        run_words(&format!("ip -n {name} link set eth0 up"))?;
        run_words(&format!("ip link set port-{name} up"))?;
        if !contender.offloads {
            run_words(&format!("ip netns exec {name} ethtool -K eth0 tx off"))?;
        }
    }
    let switch = start(contender, suite)?;
    let figures = figures(switch.as_ref().and_then(SwitchUnderTest::switch_pid));
    drop(switch);
    if contender.kind == Kind::Bridge {
        run_words("ip link del bridge0")?;
    }
    // a link goes with the namespace of one of its ends, but not at once: names must be free for the next run
    for name in ["a", "b"] {
        run_words(&format!("ip link del port-{name}"))?;
        run_words(&format!("ip netns del {name}"))?;
    }
    Ok(figures)
}

/// Joins the two machines.
fn start(contender: &Contender, suite: &Suite) -> Result<Option<SwitchUnderTest>> {
    if contender.kind == Kind::Bridge {
        run_words("ip link add bridge0 type bridge")?;
        run_words("ip link set bridge0 up")?;
        run_words("ip link set port-a master bridge0")?;
        run_words("ip link set port-b master bridge0")?;
        return Ok(None);
    }
    let mut pair = SwitchUnderTest::new(suite);
    pair.start_database();
    pair.ok(suite, "ovs-vsctl", &["--no-wait", "init"]);
    for setting in contender.other_config {
        pair.ok(suite, "ovs-vsctl", &["--no-wait", "set", "open_vswitch", ".", setting]);
    }
    pair.start_switch(&[]);
    pair.ok(suite, "ovs-vsctl", &["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]);
    for port in ["port-a", "port-b"] {
        let kind = format!("type={}", contender.port_type);
        pair.ok(suite, "ovs-vsctl", &["add-port", "br0", port, "--", "set", "interface", port, &kind]);
    }
    Ok(Some(pair))
}

/// All figures; what fails is said and is not a number.
fn figures(switch: Option<u32>) -> [f64; FIGURES.len()] {
    let told = |figure: Result<f64>| {
        figure.unwrap_or_else(|error| {
            eprintln!("{error:#}");
            f64::NAN
        })
    };
    let mut answering = match answer() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{error:#}");
            return [f64::NAN; FIGURES.len()];
        }
    };
    let trips = ask("round-trips");
    let trip = |at: usize| trips.as_ref().ok().and_then(|all| all.get(at).copied()).context("no round trips");
    let first = |all: Result<Vec<f64>>| all.and_then(|all| all.first().copied().context("no figure"));
    let figures = [
        told(stream()),
        told(trip(0)),
        told(trip(1)),
        told(first(ask("transactions-1"))),
        told(first(ask("transactions-16"))),
        told(small_packets(switch)),
    ];
    drop(answering.kill());
    drop(answering.wait());
    figures
}

/// Starts the answering end.
fn answer() -> Result<Child> {
    let mut child = end_in("b", "answer")?.stdout(Stdio::piped()).spawn()?;
    let mut ready = String::new();
    BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut ready)?;
    ensure!(ready.trim() == "ready", "the answering end did not start");
    Ok(child)
}

fn end_in(namespace: &str, what: &str) -> Result<Command> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(std::env::current_exe()?);
    command.args(["bench", &format!("veth-end={what}")]);
    Ok(command)
}

/// Runs an asking end; returns its numbers.
fn ask(what: &str) -> Result<Vec<f64>> {
    let said = capture(&mut end_in("a", what)?)?;
    said.split_whitespace().map(|word| word.parse().with_context(|| format!("{what}: {word}"))).collect()
}

/// CPU time of the switch for each small packet that arrived; the kernel's bridge has no process to ask.
fn small_packets(switch: Option<u32>) -> Result<f64> {
    let Some(pid) = switch else { return Ok(f64::NAN) };
    let (cpu, arrived) = (cpu_ns(pid)?, received()?);
    ask("flood")?;
    let (cpu, arrived) = (cpu_ns(pid)? - cpu, received()? - arrived);
    ensure!(arrived > 0.0, "no small packet arrived");
    Ok(cpu / arrived)
}

/// Nanoseconds that all threads of a process have run.
fn cpu_ns(pid: u32) -> Result<f64> {
    let mut sum = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split_whitespace().next().context("schedstat")?.parse::<f64>()?;
    }
    Ok(sum)
}

/// Packets that machine b has received.
fn received() -> Result<f64> {
    let said = run_words("ip netns exec b cat /proc/net/dev")?;
    let line = said.lines().find_map(|line| line.trim().strip_prefix("eth0:")).context("no eth0")?;
    Ok(line.split_whitespace().nth(1).context("no count")?.parse()?)
}

/// Gbit/s of one TCP stream, as received.
fn stream() -> Result<f64> {
    let mut server = Command::new("ip");
    server.args("netns exec b iperf3 -s -1".split_whitespace()).stdout(Stdio::null());
    let mut server = server.spawn().context("cannot run iperf3")?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    let client = format!("ip netns exec a timeout 30 iperf3 -c 10.0.0.2 -t {SECONDS} -f m");
    let said = run_words(&client);
    drop(server.kill());
    drop(server.wait());
    let said = said?;
    let line = said.lines().find(|line| line.contains("receiver")).context("iperf3 gave no result")?;
    let rate = line.split_once(" Mbits/sec").and_then(|(before, _)| before.split_whitespace().last());
    match rate.and_then(|rate| rate.parse::<f64>().ok()) {
        Some(rate) => Ok(rate / 1000.0),
        None => bail!("iperf3 said: {line}"),
    }
}

fn run_words(words: &str) -> Result<String> {
    let mut parts = words.split_whitespace();
    capture(Command::new(parts.next().unwrap_or_default()).args(parts))
}
