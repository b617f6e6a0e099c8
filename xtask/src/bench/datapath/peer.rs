//! The switch beside OVS-DPDK: packets from a capture file in memory to a port that takes everything, one poll-mode
//! thread, CPU time for each packet.
//!
//! Where it sits: the second half of `bench datapath`. Debian's OVS-DPDK is unpacked beside the other C programs and
//! runs in namespaces of its own, with huge pages that are asked for here and given back.
//!
//! What a thread costs is read from its scheduling statistics; packets are counted at the port that takes them. Both
//! switches get the same file and the same flows. Runs are interleaved.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use testkit::{Scratch, Suite, SwitchUnderTest};

use super::super::{
    median,
    table::{self, Line},
};
use crate::{
    oracle,
    shell::{announce, capture, is_root},
};

const PACKAGES: [&str; 24] = [
    "openvswitch-switch-dpdk",
    "libpcap0.8",
    "libbsd0",
    "libfdt1",
    "libmd0",
    "librte-bus-pci23",
    "librte-bus-vdev23",
    "librte-cryptodev23",
    "librte-dmadev23",
    "librte-eal23",
    "librte-ethdev23",
    "librte-hash23",
    "librte-kvargs23",
    "librte-mbuf23",
    "librte-mempool23",
    "librte-mempool-ring23",
    "librte-meter23",
    "librte-net23",
    "librte-net-null23",
    "librte-net-pcap23",
    "librte-pci23",
    "librte-rcu23",
    "librte-ring23",
    "librte-telemetry23",
];
const VHOST: &str = "librte-vhost23";
const ROUNDS: usize = 5;
/// How long flows are given to settle, and how long is measured.
const SETTLE: Duration = Duration::from_secs(3);
const MEASURE: Duration = Duration::from_secs(2);
const HUGE_PAGES: u32 = 640;
const HUGE: &str = "/proc/sys/vm/nr_hugepages";
const SRC: u32 = 0x0a00_0001;
const DST: u32 = 0x0a80_0001;

/// A workload: frames and flows.
struct Case {
    row: &'static str,
    name: &'static str,
    flows: u32,
    rule: fn(u32) -> String,
    /// The goal.
    target: &'static str,
    /// Whether the peer's exact-match cache is worth a try of its own.
    tries_without_cache: bool,
}

const CASES: [Case; 6] = [
    Case {
        row: "P1",
        target: "net ≤ 15 ns",
        name: "one flow, output",
        flows: 1,
        rule: |_| "udp,nw_dst=10.128.0.1,tp_dst=2000,actions=output:2".into(),
        tries_without_cache: false,
    },
    Case {
        row: "P1b",
        target: "net ≤ 8 ns",
        name: "in_port only",
        flows: 1,
        rule: |_| "in_port=1,actions=output:2".into(),
        tries_without_cache: false,
    },
    Case {
        row: "P2",
        target: "net ≤ 45 ns",
        name: "10,000 flows, one mask",
        flows: 10_000,
        rule: four_tuple,
        tries_without_cache: true,
    },
    Case {
        row: "P3",
        target: "net ≤ 60 ns",
        name: "10,000 flows, 20 masks",
        flows: 10_000,
        rule: twenty_masks,
        tries_without_cache: true,
    },
    Case {
        row: "P5",
        target: "net ≤ 60 ns",
        name: "ct, 1,000 connections",
        flows: 1_000,
        rule: tracked,
        tries_without_cache: false,
    },
    Case {
        row: "P7",
        target: "+ ≤ 5 ns",
        name: "one flow, eth_dst, ttl, ip_dst rewritten",
        flows: 1,
        rule: |_| "ip,actions=mod_dl_dst:06:06:06:06:06:06,dec_ttl,mod_nw_dst:11.0.0.1,output:2".into(),
        tries_without_cache: false,
    },
];

fn four_tuple(n: u32) -> String {
    let src = std::net::Ipv4Addr::from(SRC + n);
    format!("udp,nw_src={src},nw_dst=10.128.0.1,tp_src=1000,tp_dst=2000,actions=output:2")
}

fn twenty_masks(n: u32) -> String {
    let (src, prefix) = (std::net::Ipv4Addr::from(SRC + n), 32 - n % 20);
    format!("udp,nw_src={src},nw_dst=10.128.0.1/{prefix},actions=output:2")
}

fn tracked(n: u32) -> String {
    match n {
        0 => "table=0,ip,ct_state=-trk,actions=ct(table=1)".into(),
        1 => "table=1,ip,ct_state=+new,actions=ct(commit),output:2".into(),
        2 => "table=1,ip,ct_state=+est,actions=output:2".into(),
        _ => String::new(),
    }
}

/// Fetches the peer, asks for huge pages, and measures inside namespaces.
pub(super) fn outside(programs: &Path) -> Result<ExitCode> {
    if !is_root() {
        println!("OVS-DPDK is not measured: huge pages need root");
        return Ok(ExitCode::SUCCESS);
    }
    fetch()?;
    let before = fs::read_to_string(HUGE)?;
    fs::write(HUGE, HUGE_PAGES.to_string())?;
    let mut command = sandbox::command(env::current_exe()?)?;
    command
        .args(["bench", "datapath-inside"])
        .env("OXVS_PROGRAMS", programs)
        .env("OXVS_ORACLE", oracle::folder());
    let status = command.status().context("cannot enter the namespaces");
    fs::write(HUGE, before.trim())?;
    Ok(if status?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn daemon() -> PathBuf {
    oracle::folder().join("usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk")
}

/// Unpacks OVS-DPDK beside the other C programs unless it is there.
fn fetch() -> Result<()> {
    if daemon().is_file() {
        return Ok(());
    }
    announce("fetching OVS-DPDK");
    let packages = Scratch::new();
    let mut download = Command::new("apt-get");
    capture(download.args(["download", "-qq", VHOST]).args(PACKAGES).current_dir(packages.path()))?;
    for entry in fs::read_dir(packages.path())? {
        capture(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(oracle::folder()))?;
    }
    ensure!(daemon().is_file(), "the packages do not hold ovs-vswitchd-dpdk");
    Ok(())
}

pub(in super::super) fn inside() -> Result<()> {
    ensure!(sandbox::is_inside(), "this measurement is part of 'bench datapath'");
    let ours = testkit::ours(&["ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovsdb-tool", "ovs-ofctl"])
        .context("not all programs exist yet")?;
    let theirs = testkit::oracle().context("nothing to compare with")?;
    for case in &CASES {
        let file = Scratch::new();
        let capture = file.join("frames.pcap");
        fs::write(&capture, capture_of(case.flows))?;
        let (mut us, mut peer, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mine = run(&ours, case, &capture, None)?;
            let mut best = run(&theirs, case, &capture, Some(true))?;
            if case.tries_without_cache {
                best = best.min(run(&theirs, case, &capture, Some(false))?);
            }
            us.push(mine);
            peer.push(best);
            ratios.push(best / mine);
        }
        let (low, high) = ratios.iter().fold((f64::MAX, 0f64), |(l, h), r| (l.min(*r), h.max(*r)));
        let (us, peer, ratio) = (median(us), median(peer), median(ratios));
        // At once: what was measured is kept if a later case fails.
        table::write(&[Line {
            row: case.row.into(),
            case: format!("switch: {}", case.name),
            ours: format!("{us:.1} ns"),
            peer: format!("{peer:.1} ns"),
            ratio: format!("{ratio:.2} ({low:.2} to {high:.2})"),
            target: case.target.into(),
        }])?;
    }
    Ok(())
}

/// One run: a fresh switch; CPU ns for each packet. `cache` is for OVS-DPDK: with its exact-match cache or without.
fn run(suite: &Suite, case: &Case, capture: &Path, cache: Option<bool>) -> Result<f64> {
    let mut pair = SwitchUnderTest::new(suite);
    pair.start_database();
    let vsctl = |pair: &SwitchUnderTest, words: &str| {
        pair.ok(suite, "ovs-vsctl", &words.split_whitespace().collect::<Vec<_>>());
    };
    let capture = capture.display();
    vsctl(&pair, "--no-wait init -- set open . other_config:pmd-cpu-mask=1");
    let (input, output) = match cache {
        None => {
            pair.start_switch(&[]);
            (format!("type=pcap options:rx_pcap={capture} options:infinite_rx=true"), "type=null".to_owned())
        }
        Some(cache) => {
            let drivers = oracle::folder().join("usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0");
            let insert = if cache { "100" } else { "0" };
            let extra = format!("--no-pci --in-memory -d {}", drivers.display());
            let init = "--no-wait set open . other_config:dpdk-init=true other_config:dpdk-socket-mem=512";
            vsctl(&pair, &format!("{init} other_config:emc-insert-inv-prob={insert}"));
            let extra = format!("other_config:dpdk-extra=\"{extra}\"");
            pair.ok(suite, "ovs-vsctl", &["--no-wait", "set", "open", ".", &extra]);
            pair.start_switch_as("ovs-vswitchd-dpdk", &[]);
            let pcap = format!("type=dpdk options:dpdk-devargs=net_pcap0,rx_pcap={capture},infinite_rx=1");
            (pcap, "type=dpdk options:dpdk-devargs=net_null0,no-rx=1".to_owned())
        }
    };
    vsctl(&pair, "add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure");
    let flows: Vec<String> = (0..case.flows).map(case.rule).filter(|rule| !rule.is_empty()).collect();
    fs::write(pair.path("flows"), flows.join("\n"))?;
    pair.ok(suite, "ovs-ofctl", &["add-flows", "br0", &pair.path("flows")]);
    vsctl(&pair, &format!("add-port br0 p1 -- set interface p1 ofport_request=2 {output}"));
    vsctl(&pair, &format!("add-port br0 p0 -- set interface p0 ofport_request=1 {input}"));
    std::thread::sleep(SETTLE);
    let pid = pair.switch_pid().context("the switch runs")?;
    let sample = || -> Result<(u64, u64)> { Ok((busiest(pid)?, sent(&pair, suite)?)) };
    let (cpu, packets) = sample()?;
    std::thread::sleep(MEASURE);
    let (cpu_after, packets_after) = sample()?;
    let packets = packets_after - packets;
    ensure!(packets > 1000, "nothing moves: {packets} packets\n{}", pair.logs());
    Ok((cpu_after - cpu) as f64 / packets as f64)
}

/// Nanoseconds that the poll-mode thread has been running: the one of the process that ran longest.
fn busiest(pid: u32) -> Result<u64> {
    let mut most = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        most = most.max(ns);
    }
    Ok(most)
}

/// Packets that the port which takes everything has taken.
fn sent(pair: &SwitchUnderTest, suite: &Suite) -> Result<u64> {
    let said = pair.ok(suite, "ovs-ofctl", &["dump-ports", "br0", "2"]);
    let count = said.split("tx pkts=").nth(1).and_then(|rest| rest.split(',').next());
    count.and_then(|n| n.trim().parse().ok()).with_context(|| format!("no count in: {said}"))
}

/// A capture file with one frame of 60 bytes for each flow.
fn capture_of(flows: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for n in 0..flows {
        for word in [0u32, 0, 60, 60] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame(SRC + n));
    }
    file
}

fn frame(src: u32) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0];
    f.extend(src.to_be_bytes());
    f.extend(DST.to_be_bytes());
    f.extend([0x03, 0xe8, 0x07, 0xd0, 0, 26, 0, 0]);
    f.resize(60, 0);
    let sum: u32 = f[14..34].chunks(2).map(|b| u32::from(u16::from_be_bytes([b[0], b[1]]))).sum();
    let folded = !((sum & 0xffff) + (sum >> 16)) as u16;
    f[24..26].copy_from_slice(&folded.to_be_bytes());
    f
}
