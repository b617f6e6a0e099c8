//! `cargo xtask bench veth`: TCP through one bridge.
//!
//! Where it sits: one subject of `bench`; runs itself again inside namespaces (`veth-inside`).
//!
//! iperf3 (TCP) between two namespaces, each behind a veth pair, through one bridge of the userspace datapath. With
//! this switch the machines leave checksums and segmentation to their links, as machines do; C Open vSwitch loses TCP
//! then, so with it they are told not to (`ethtool -K DEV tx off`).

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use testkit::{Suite, SwitchUnderTest};

use super::median;
use crate::{
    install::build_release,
    needs, oracle,
    shell::{announce, capture},
};

/// Interleaved runs of each switch.
const ROUNDS: usize = 5;
/// Seconds of each run.
const SECONDS: u32 = 4;

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

pub(super) fn inside() -> Result<()> {
    ensure!(sandbox::is_inside(), "this measurement is part of 'bench veth'");
    let ours = testkit::ours(&["ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovsdb-tool"])
        .context("not all programs exist yet")?;
    let theirs = testkit::oracle().context("nothing to compare with")?;
    let mut rates: [Vec<f64>; 2] = Default::default();
    for round in 1..=ROUNDS {
        for (rates, (name, suite)) in rates.iter_mut().zip([("oxvs", &ours), ("C Open vSwitch", &theirs)]) {
            let rate = measure(suite, std::ptr::eq(suite, &ours))?;
            println!("round {round}: {name:15} {rate:8.2} Gbit/s");
            rates.push(rate);
        }
    }
    let [ours, theirs] = rates.map(median);
    println!("\nTCP over veth, median of {ROUNDS} runs of {SECONDS} s, interleaved:");
    println!("  oxvs, offloads on           {ours:8.2} Gbit/s");
    println!("  C Open vSwitch 3.1, tx off  {theirs:8.2} Gbit/s");
    println!("  ratio                       {:8.2}", ours / theirs);
    Ok(())
}

/// One run: a fresh switch, fresh links, one TCP stream. Returns Gbit/s as received.
fn measure(suite: &Suite, offloads: bool) -> Result<f64> {
    for (name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        run_words(&format!("ip netns add {name}"))?;
        run_words(&format!("ip link add port-{name} type veth peer name eth0 netns {name}"))?;
        run_words(&format!("ip -n {name} addr add {address}/24 dev eth0"))?;
        run_words(&format!("ip -n {name} link set eth0 up"))?;
        run_words(&format!("ip link set port-{name} up"))?;
        if !offloads {
            run_words(&format!("ip netns exec {name} ethtool -K eth0 tx off"))?;
        }
    }
    let pair = SwitchUnderTest::started(suite, &[]);
    let bridge =
        "add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 port-a -- add-port br0 port-b";
    pair.ok(suite, "ovs-vsctl", &bridge.split_whitespace().collect::<Vec<_>>());
    // a switch that carries nothing is a result too
    let rate = stream().unwrap_or_else(|error| {
        eprintln!("{error:#}");
        0.0
    });
    drop(pair);
    // a link goes with the namespace of one of its ends, but not at once: names must be free for the next run
    for name in ["a", "b"] {
        run_words(&format!("ip link del port-{name}"))?;
        run_words(&format!("ip netns del {name}"))?;
    }
    Ok(rate)
}

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
