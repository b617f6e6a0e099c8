//! Real traffic through real links, in namespaces: TCP with checksum offload left on, VLANs, and the demonstration.

use std::process::{Command, Stdio};

use e2e::{answer_in_b, machines, ours, probe, system};
use testkit::{Suite, SwitchUnderTest, skip};

/// A bridge with two machines `a` (10.0.0.1) and `b` (10.0.0.2), each behind a veth pair whose offloads are untouched.
fn two_machines(suite: &Suite) -> SwitchUnderTest {
    machines();
    let pair = SwitchUnderTest::started(suite, &[]);
    let bridge =
        "add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 port-a -- add-port br0 port-b";
    pair.ok(suite, "ovs-vsctl", &bridge.split_whitespace().collect::<Vec<_>>());
    pair
}

#[test]
fn tcp_with_offloads_left_on() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let pair = two_machines(&suite);
    let mut answering = answer_in_b(&suite);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    assert!(probe(&suite, "tcp 10.0.0.2 80"), "TCP\n{}", pair.logs());
    assert!(probe(&suite, "udp 10.0.0.2 53"), "UDP\n{}", pair.logs());
    // the counters saw it
    let ports = pair.ok(&suite, "ovs-ofctl", &["dump-ports", "br0"]);
    assert!(ports.contains("rx pkts="), "{ports}");
    answering.kill().expect("our child");
    answering.wait().expect("our child");
}

#[test]
fn much_tcp_with_offloads_left_on() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    if Command::new("iperf3").arg("--version").output().is_err() {
        skip!("no iperf3 here");
    }
    let pair = two_machines(&suite);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    let mut server = Command::new("ip");
    server.args("netns exec b iperf3 -s -1 -B 10.0.0.2".split_whitespace()).stdout(Stdio::null());
    let mut server = server.spawn().expect("ip runs");
    let mut said = String::new();
    pair.await_true("64 MB arrive", || {
        let client = "netns exec a timeout 20 iperf3 -c 10.0.0.2 -n 64M";
        let out = Command::new("ip").args(client.split_whitespace()).output().expect("ip runs");
        said = String::from_utf8_lossy(&out.stdout).into_owned();
        out.status.success()
    });
    assert!(server.wait().expect("our child").success());
    assert!(said.contains("receiver"), "{said}");
}

#[test]
fn afxdp_ports_carry_traffic_and_heal() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let pair = two_machines(&suite);
    let status = |port: &str, key: &str| {
        pair.ok(&suite, "ovs-vsctl", &["--if-exists", "get", "interface", port, &format!("status:{key}")])
    };
    let set = "set interface port-a type=afxdp -- set interface port-b type=afxdp options:xdp-mode=native";
    pair.ok(&suite, "ovs-vsctl", &set.split_whitespace().collect::<Vec<_>>());
    pair.await_true("the mode is told", || !status("port-b", "xdp-mode").trim().is_empty());
    if status("port-b", "xdp-mode").contains("af-packet") {
        skip!("no AF_XDP here: {}", status("port-b", "xdp-error").trim());
    }
    let mut answering = answer_in_b(&suite);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    assert!(probe(&suite, "tcp 10.0.0.2 80"), "TCP\n{}", pair.logs());
    assert!(probe(&suite, "udp 10.0.0.2 53"), "UDP\n{}", pair.logs());
    let queues = pair.ok(&suite, "ovs-appctl", &["dpif-netdev/pmd-rxq-show"]);
    assert!(queues.contains("port: port-a") && queues.contains("port: port-b"), "{queues}");
    // Another mode, and another device of the same name; b still knows the address.
    pair.ok(&suite, "ovs-vsctl", &["set", "interface", "port-b", "options:xdp-mode=generic"]);
    pair.await_true("the mode changes", || status("port-b", "xdp-mode").contains("generic"));
    pair.await_true("a ping is answered in generic mode", || probe(&suite, "ping 10.0.0.2"));
    system("ip -n a link del eth0");
    system("ip link add port-a type veth peer name eth0 netns a");
    system("ip -n a addr add 10.0.0.1/24 dev eth0");
    system("ip -n a link set eth0 address 02:00:00:00:00:01 up");
    system("ip link set port-a up");
    pair.await_true("a ping is answered by the new device", || probe(&suite, "ping 10.0.0.2"));
    answering.kill().expect("our child");
    answering.wait().expect("our child");
}

#[test]
fn vlans_keep_machines_apart() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let pair = two_machines(&suite);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    pair.ok(
        &suite,
        "ovs-vsctl",
        &["set", "port", "port-a", "tag=10", "--", "set", "port", "port-b", "tag=20"],
    );
    assert!(!probe(&suite, "ping 10.0.0.2"), "VLAN 10 reached VLAN 20");
    pair.ok(&suite, "ovs-vsctl", &["set", "port", "port-b", "tag=10"]);
    pair.await_true("the ping is answered again", || probe(&suite, "ping 10.0.0.2"));
}

#[test]
fn a_switch_without_its_database_goes_on() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let mut pair = two_machines(&suite);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    pair.kill_database();
    pair.await_true("traffic goes on without the database", || probe(&suite, "ping 10.0.0.2"));
    pair.start_database();
    pair.ok(&suite, "ovs-vsctl", &["set", "port", "port-a", "tag=10"]);
    pair.await_true("the switch follows the database again", || !probe(&suite, "ping 10.0.0.2"));
}

#[test]
fn the_demonstration_plays() {
    let Some(suite) = ours() else { return };
    if let Err(why) = testkit::sandbox::available() {
        skip!("{why}");
    }
    let out = suite.command("oxvs").arg("demo").output().expect("oxvs starts");
    let said = String::from_utf8_lossy(&out.stdout);
    let complained = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}\n{complained}");
    assert!(said.contains("Everything happened as expected"), "{said}");
    assert!(
        said.contains("sport=") && said.contains("state=ESTABLISHED"),
        "no live connection shown:\n{said}"
    );
}
