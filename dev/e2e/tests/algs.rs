//! `ct(alg=…)`: a real dialogue of FTP through translated addresses, and packets beside Open vSwitch.

use std::io::BufRead;
use std::process::{Child, Command, Stdio};

use e2e::{dummy_bridge, machines, ours, system};
use testkit::{Suite, SwitchUnderTest, oracle, packet, skip, to_hex};

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Python in machine `name`, which has `-m ftplib` in its library.
fn python(name: &str, script: &str) -> Command {
    let mut command = Command::new("ip");
    let script = format!("{}/tests/ftp/{script}", env!("CARGO_MANIFEST_DIR"));
    command.args(["netns", "exec", name, "python3", &script]);
    command
}

fn server(address: &str) -> Child {
    let mut child = python("b", "server.py").arg(address).stdout(Stdio::piped()).spawn().expect("ip runs");
    let mut ready = String::new();
    let out = child.stdout.take().expect("a pipe");
    std::io::BufReader::new(out).read_line(&mut ready).expect("it says that it is ready");
    assert_eq!(ready, "ready\n");
    child
}

/// Only related data connections pass. The client is another for the server; its commands grow on the way.
const TRANSLATING: [&str; 9] = [
    "table=0,arp,actions=normal",
    "table=0,priority=40000,icmp6,actions=normal",
    "table=0,ip,actions=ct(table=1,zone=3,nat)",
    "table=0,ipv6,actions=ct(table=1,zone=4,nat)",
    "table=1,in_port=port-a,ct_state=+new-rel+trk,tcp,tp_dst=21,actions=ct(commit,zone=3,alg=ftp,nat(src=10.0.0.177)),output:port-b",
    "table=1,in_port=port-a,ct_state=+new-rel+trk,tcp6,tp_dst=21,actions=ct(commit,zone=4,alg=ftp,nat(src=fc00::1:177)),output:port-b",
    "table=1,ct_state=+rel+trk,ip,actions=ct(commit,zone=3,nat),normal",
    "table=1,ct_state=+rel+trk,ipv6,actions=ct(commit,zone=4,nat),normal",
    "table=1,ct_state=+est-rel+trk,actions=normal",
];

#[test]
fn ftp_works_through_translated_addresses() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    if Command::new("python3").arg("--version").output().is_err() {
        skip!("no python3 here");
    }
    machines();
    for (name, address) in [("a", "fc00::1"), ("b", "fc00::2")] {
        system(&format!("ip -n {name} addr add {address}/64 dev eth0 nodad"));
    }
    for address in ["10.0.0.177", "fc00::1:177"] {
        system(&format!("ip -n b neigh add {address} lladdr 02:00:00:00:00:01 dev eth0"));
    }
    let pair = SwitchUnderTest::started(&suite, &[]);
    let bridge = "add-br br0 -- set bridge br0 datapath_type=netdev fail-mode=secure \
        -- add-port br0 port-a -- add-port br0 port-b";
    pair.ok(&suite, "ovs-vsctl", &words(bridge));
    for flow in TRANSLATING {
        pair.ok(&suite, "ovs-ofctl", &["add-flow", "br0", flow]);
    }
    for address in ["10.0.0.2", "fc00::2"] {
        let mut serving = server(address);
        for how in ["passive", "active"] {
            let out = python("a", "client.py").args([address, how]).output().expect("ip runs");
            let said = String::from_utf8_lossy(&out.stderr);
            let flows = pair.ok(&suite, "ovs-ofctl", &["dump-flows", "br0"]);
            assert!(out.status.success(), "{how} at {address}: {said}\n{flows}\n{}", pair.logs());
        }
        serving.kill().expect("our child");
        serving.wait().expect("our child");
    }
    let connections = pair.ok(&suite, "ovs-appctl", &["dpctl/dump-conntrack", "-m"]);
    assert!(connections.contains("helper=ftp"), "{connections}");
    assert_eq!(connections.matches("parent=(").count(), 12, "{connections}");
}

const PORTS: &str = "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 \
    -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2";

/// TOS tells which flow sent a packet.
const FLOWS: [&str; 14] = [
    "table=0,ip,actions=ct(table=1,zone=3)",
    "table=0,ipv6,actions=ct(table=1,zone=3)",
    "table=1,priority=9,in_port=1,ct_state=+new+rel+trk,ip,actions=ct(commit,zone=3),mod_nw_tos:8,2",
    "table=1,priority=9,in_port=2,ct_state=+new+rel+trk,ct_mark=7,ip,actions=ct(commit,zone=3),mod_nw_tos:8,1",
    "table=1,priority=9,in_port=1,ct_state=+new+rel+trk,ipv6,actions=ct(commit,zone=3),mod_nw_tos:8,2",
    "table=1,priority=9,in_port=2,ct_state=+new+rel+trk,ct_ipv6_src=fc00::1,ipv6,actions=ct(commit,zone=3),mod_nw_tos:8,1",
    "table=1,in_port=1,ct_state=+new-rel+trk,tcp,actions=ct(commit,zone=3,alg=ftp,exec(set_field:7->ct_mark)),mod_nw_tos:12,2",
    "table=1,in_port=1,ct_state=+new-rel+trk,tcp6,actions=ct(commit,zone=3,alg=ftp),mod_nw_tos:12,2",
    "table=1,in_port=1,ct_state=+new-rel+trk,udp,actions=ct(commit,zone=3,alg=tftp,exec(set_field:7->ct_mark)),mod_nw_tos:12,2",
    "table=1,in_port=2,ct_state=+new-rel+trk,actions=1",
    "table=1,priority=8,in_port=1,ct_state=+est+rel+trk,ip,actions=mod_nw_tos:16,2",
    "table=1,priority=8,in_port=2,ct_state=+est+rel+trk,ip,actions=mod_nw_tos:16,1",
    "table=1,in_port=1,ct_state=+est+trk,actions=2",
    "table=1,in_port=2,ct_state=+est+trk,actions=1",
];

/// Who sends, and what follows the addresses.
const PACKETS: [(&str, &str); 25] = [
    ("a", "tcp 4000 > 21 S seq 100"),
    ("b", "tcp 21 > 4000 SA seq 500 ack 101"),
    ("a", "tcp 4000 > 21 A seq 101 ack 501"),
    ("a", "tcp 4000 > 21 PA seq 101 ack 501 / \"PORT 10,0,0,1,20,1\" / hex 0d0a"),
    ("b", "tcp 21 > 4000 PA seq 501 ack 121 / \"200 ok\" / hex 0d0a"),
    ("b", "tcp 20 > 5121 S seq 900"),
    ("a", "tcp 5121 > 20 SA seq 7000 ack 901"),
    ("b", "tcp 20 > 5121 A seq 901 ack 7001"),
    ("a", "tcp 4000 > 21 PA seq 121 ack 509 / \"PASV\" / hex 0d0a"),
    ("b", "tcp 21 > 4000 PA seq 509 ack 127 / \"227 Entering Passive Mode (10,0,0,2,30,5).\" / hex 0d0a"),
    ("a", "tcp 5555 > 7685 S seq 1"),
    ("b", "tcp 7685 > 5555 SA seq 1 ack 2"),
    ("a", "tcp 5555 > 7685 A seq 2 ack 2"),
    // Nobody announced that.
    ("b", "tcp 20 > 5122 S seq 900"),
    ("A", "tcp 4000 > 21 S seq 100"),
    ("B", "tcp 21 > 4000 SA seq 500 ack 101"),
    ("A", "tcp 4000 > 21 A seq 101 ack 501"),
    ("A", "tcp 4000 > 21 PA seq 101 ack 501 / \"EPSV\" / hex 0d0a"),
    ("B", "tcp 21 > 4000 PA seq 501 ack 107 / \"229 Entering Extended Passive Mode (|||7685|)\" / hex 0d0a"),
    ("A", "tcp 5555 > 7685 S seq 1"),
    ("A", "tcp 4000 > 21 PA seq 107 ack 548 / \"EPRT |2|fc00::1|5282|\" / hex 0d0a"),
    ("B", "tcp 20 > 5282 S seq 1"),
    ("a", "udp 1200 > 69 / hex 0001660000"),
    ("b", "udp 3333 > 1200 / hex 00030001"),
    ("a", "udp 1200 > 3333 / hex 00040001"),
];

/// What both ports sent, and the connections that there are then.
fn passed(suite: &Suite) -> (Vec<String>, Vec<String>, Vec<String>) {
    let pair = dummy_bridge(suite, &words(PORTS));
    let capture = |port: &str| pair.path(&format!("{port}.pcap"));
    for port in ["p1", "p2"] {
        pair.ok(
            suite,
            "ovs-vsctl",
            &["set", "interface", port, &format!("options:tx_pcap={}", capture(port))],
        );
    }
    for flow in FLOWS {
        pair.ok(suite, "ovs-ofctl", &["add-flow", "br0", flow]);
    }
    for (from, rest) in PACKETS {
        let (port, start) = match from {
            "a" => ("p1", "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2"),
            "b" => ("p2", "eth 02:00:00:00:00:02 > 02:00:00:00:00:01 / ip 10.0.0.2 > 10.0.0.1"),
            "A" => ("p1", "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 fc00::1 > fc00::2"),
            _ => ("p2", "eth 02:00:00:00:00:02 > 02:00:00:00:00:01 / ip6 fc00::2 > fc00::1"),
        };
        let hex = to_hex(&packet(&format!("{start} / {rest}")));
        pair.ok(suite, "ovs-appctl", &["netdev-dummy/receive", port, &hex]);
    }
    let connections = pair.ok(suite, "ovs-appctl", &["dpctl/dump-conntrack", "-m"]);
    let mut connections: Vec<_> = connections.lines().map(str::to_owned).collect();
    connections.sort();
    (e2e::captured(&capture("p1")), e2e::captured(&capture("p2")), connections)
}

#[test]
fn helped_connections_are_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let (ours, theirs) = (passed(&ours), passed(&c));
    assert_eq!(ours.0, theirs.0);
    assert_eq!(ours.1, theirs.1);
    assert_eq!(ours.2, theirs.2);
    assert!(ours.2.len() > 6, "{:?}", ours.2);
}
