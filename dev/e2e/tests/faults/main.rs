//! What goes wrong with ports while packets flow: afterwards they flow again, nothing has leaked, and every packet that was
//! lost is found in a counter.
//!
//! Where it sits: each fault is done to ports of ovs-vswitchd and to ports of ovsextd ([`Home`]), but for those of rings, which
//! ovsextd has none of. `outlives.rs` has what the two processes do to each other.
//!
//! Rules send what comes in by one port out by the other, so that packets are conserved: what the kernel has counted into
//! both ports has left by them, or is dropped for a reason that is counted, or was missed.

mod bench;

use std::process::Command;

use bench::{Bench, Home};
use e2e::load::{RATE, Stream};
use e2e::{packets, system};
use testkit::{Suite, sandboxed, skip};

const STREAM: &str = env!("CARGO_BIN_EXE_stream");

/// Tests for each of these faults: done to ports of ovs-vswitchd, and to ports of ovsextd.
macro_rules! in_both_homes {
    ($($fault:ident,)+) => {
        mod of_the_switch {
            $(#[test]
            fn $fault() {
                testkit::sandboxed!();
                let home = crate::Home::Switch;
                if let Some(suite) = home.suite() {
                    crate::$fault(suite, home);
                }
            })+
        }

        mod of_ovsextd {
            $(#[test]
            fn $fault() {
                testkit::sandboxed!();
                let home = crate::Home::Datapath;
                if let Some(suite) = home.suite() {
                    crate::$fault(suite, home);
                }
            })+
        }
    };
}

in_both_homes! {
    a_port_is_deleted_and_added_in_the_middle_of_traffic,
    a_namespace_is_removed_with_its_port_and_returns,
    the_carrier_flaps,
    the_mtu_changes_under_load,
    the_queue_of_a_packet_socket_overflows,
    a_queueing_discipline_refuses_packets,
    a_tap_device_is_read_slowly,
    many_ports_are_added_and_removed,
    without_descriptors_a_port_is_refused_and_said_why,
}

fn a_port_is_deleted_and_added_in_the_middle_of_traffic(suite: Suite, home: Home) {
    let bench = Bench::new(suite, home, "system");
    let mut stream = Stream::start(STREAM);
    stream.goes_on(RATE);
    let descriptors = bench.descriptors();
    for _ in 0..5 {
        bench.vsctl("del-port br0 port-b");
        bench.a_sends(2000);
        bench.add_port("port-b", "system", 2);
        stream.goes_on(2000);
    }
    let counted = stream.end();
    assert!(counted.arrived < counted.sent && counted.twice == 0, "{counted:?}");
    // Answers that waited in the socket of a port that was deleted have gone with it: one way is conserved.
    bench.pair.await_true(&format!("all is accounted for: {:?}, {:?}", bench.since(), bench.drops()), || {
        let t = bench.since();
        t.received[0] == t.sent[1] + t.dropped
    });
    bench.descriptors_do_not_leak(descriptors);
}

fn a_namespace_is_removed_with_its_port_and_returns(suite: Suite, home: Home) {
    let bench = Bench::new(suite, home, "system");
    let machine_c = || {
        system("ip netns add c");
        system("ip link add port-c type veth peer name eth0 netns c");
        system("ip -n c link set eth0 up");
        system("ip link set port-c up");
    };
    machine_c();
    bench.add_port("port-c", "system", 3);
    bench.ofctl("mod-flows br0 in_port=1,actions=output:3,output:2");
    let mut stream = Stream::start(STREAM);
    stream.goes_on(RATE);
    let descriptors = bench.descriptors();
    let down = || bench.drops().get("datapath_drop_port_down").copied().unwrap_or(0);
    for _ in 0..3 {
        let before = down();
        system("ip netns del c");
        // One copy of each packet has nowhere to go.
        bench.pair.await_true("its packets are counted", || down() >= before + 1000);
        stream.goes_on(1000);
        machine_c();
        bench.pair.await_true("it has packets again", || packets(None, "port-c").1 >= 1000);
        stream.goes_on(1000);
    }
    let counted = stream.end();
    assert!(counted.is_whole(), "{counted:?}, {:?}\n{}", bench.drops(), bench.pair.logs());
    bench.descriptors_do_not_leak(descriptors);
}

fn the_carrier_flaps(suite: Suite, home: Home) {
    const FLAPS: u64 = 10;
    let bench = Bench::new(suite, home, "system");
    let mut stream = Stream::start(STREAM);
    stream.goes_on(RATE);
    let descriptors = bench.descriptors();
    for _ in 0..FLAPS {
        system("ip -n b link set eth0 down");
        bench.a_sends(500);
        system("ip -n b link set eth0 up");
        stream.goes_on(500);
    }
    let counted = stream.end();
    assert!(counted.arrived < counted.sent && counted.twice == 0, "{counted:?}");
    // The kernel throws away what comes between the end of the carrier and its news of it, and says that it was sent.
    bench.pair.await_true(&format!("all but a few are accounted for: {:?}", bench.since()), || {
        let t = bench.since();
        let (came, went) = (t.received.iter().sum::<u64>(), t.sent.iter().sum::<u64>() + t.dropped);
        // More would be counted twice.
        went <= came && came - went <= FLAPS * RATE / 50
    });
    bench.descriptors_do_not_leak(descriptors);
    let resets = || bench.vsctl("get interface port-b link_resets").trim().parse::<u64>();
    bench.pair.await_true("each change of the carrier is noticed", || resets().is_ok_and(|n| n >= 2 * FLAPS));
}

fn the_mtu_changes_under_load(suite: Suite, home: Home) {
    const ROUNDS: u64 = 5;
    let bench = Bench::new(suite, home, "system");
    let large = || {
        let words = ["netns", "exec", "a", "ping", "-q", "-c", "1", "-W", "1", "-s", "1000", "10.0.0.2"];
        Command::new("ip").args(words).output().expect("ip runs").status.success()
    };
    assert!(large(), "a large packet passes");
    let mut stream = Stream::start(STREAM);
    stream.goes_on(RATE);
    for _ in 0..ROUNDS {
        bench.vsctl("set interface port-b mtu_request=600");
        stream.goes_on(1000);
        assert!(!large(), "it is larger than the port's MTU");
        bench.vsctl("set interface port-b mtu_request=1500");
        bench.pair.await_true("it passes again", large);
        stream.goes_on(1000);
    }
    let counted = stream.end();
    assert!(counted.is_whole(), "{counted:?}, {:?}\n{}", bench.drops(), bench.pair.logs());
    assert_eq!(bench.drops().get("datapath_drop_mtu_exceeded"), Some(&ROUNDS), "{:?}", bench.drops());
    bench.balances();
}

/// Whoever has the ports sleeps while more packets are sent than its ports' queues hold; the rest is missed, and counted.
fn queues_overflow(suite: Suite, home: Home, kind: &str, n: u64) {
    let bench = Bench::new(suite, home, kind);
    let status = bench.vsctl("get interface port-a status");
    if status.contains("xdp-error") {
        skip!("no AF_XDP here: {status}");
    }
    let mut stream = Stream::start(STREAM);
    stream.goes_on(RATE);
    bench.sleeps_while(|| packets(Some("a"), "eth0").1, n);
    stream.goes_on(RATE);
    bench.accounts_for(&stream.end(), || 0);
}

fn the_queue_of_a_packet_socket_overflows(suite: Suite, home: Home) {
    queues_overflow(suite, home, "system", 40_000);
}

#[test]
fn a_ring_of_afxdp_overflows() {
    sandboxed!();
    let Some(suite) = Home::Switch.suite() else { return };
    queues_overflow(suite, Home::Switch, "afxdp", 10_000);
}

/// The kernel's queue in front of a device takes little, and refuses the rest.
fn a_queueing_discipline_refuses_packets(suite: Suite, home: Home) {
    let bench = Bench::new(suite, home, "system");
    let tc = "qdisc add dev port-b root tbf rate 1mbit burst 4k limit 8k";
    let out = Command::new("tc").args(tc.split(' ')).output().expect("iproute2 is there");
    if !out.status.success() {
        skip!("no tbf here: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    let mut stream = Stream::start(STREAM);
    bench.a_sends(RATE);
    let refused = || bench.drops().get("datapath_drop_tx_failed").copied().unwrap_or(0);
    bench.pair.await_true("packets are refused", || refused() > 1000);
    // What waits in the queue stays there: with the queue it would go, and nobody would count it.
    system("tc qdisc change dev port-b root tbf rate 10gbit burst 1m limit 10m");
    stream.goes_on(1000);
    let counted = stream.end();
    assert!(counted.arrived < counted.sent && counted.twice == 0, "{counted:?}");
    let shown = || bench.counter("port-b", "tx_dropped");
    bench.pair.await_true("refused packets are in Interface.statistics", || shown() >= refused());
    bench.balances();
}

fn a_tap_device_is_read_slowly(suite: Suite, home: Home) {
    let bench = Bench::new(suite, home, "system");
    let status = bench.vsctl("get interface br0 status");
    if !status.contains("driver_name=tun") {
        skip!("no TAP device here: {status}");
    }
    bench.ofctl("add-flow br0 in_port=LOCAL,actions=output:2");
    bench.ofctl("mod-flows br0 in_port=2,actions=output:LOCAL");
    system("ip addr add 10.0.0.1/24 dev br0");
    bench.vsctl("set bridge br0 other_config:hwaddr=02:00:00:00:00:01");
    system("ip link set br0 up");
    system("ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 nud permanent dev br0");
    let mut stream = Stream::start_here(STREAM);
    stream.goes_on(RATE);
    let before = bench.counter("br0", "rx_dropped");
    bench.sleeps_while(
        || {
            let (_, sent) = packets(None, "br0");
            sent + dropped_by("br0")
        },
        10_000,
    );
    stream.goes_on(RATE);
    bench.accounts_for(&stream.end(), || bench.counter("br0", "rx_dropped") - before);
}

/// Packets that a device could not send, as the kernel counts them.
fn dropped_by(device: &str) -> u64 {
    let text = system("cat /proc/thread-self/net/dev");
    let line = text.lines().find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'));
    line.expect("the device").split_whitespace().nth(11).and_then(|n| n.parse().ok()).expect("a number")
}

fn many_ports_are_added_and_removed(suite: Suite, home: Home) {
    const PART: usize = 50;
    // The kernel takes tens of milliseconds to take a device away.
    let ports = if std::env::var_os("OXVS_LONG").is_some() { 1000 } else { 250 };
    let bench = Bench::new(suite, home, "system");
    let mut stream = Stream::start(STREAM);
    stream.goes_on(RATE);
    let before = bench.descriptors();
    let shown = || bench.run("ovs-appctl", "dpctl/show").matches(": q").count();
    for (verb, end) in [("add", ports), ("del", 0)] {
        for first in (0..ports).step_by(PART) {
            let one = |n: usize| match verb {
                "add" => format!("add-port br0 q{n} -- set interface q{n} type=internal"),
                _ => format!("del-port br0 q{n}"),
            };
            bench.vsctl(&(first..first + PART).map(one).collect::<Vec<_>>().join(" -- "));
        }
        assert_eq!(shown(), end);
        stream.goes_on(1000);
    }
    let counted = stream.end();
    assert!(counted.is_whole(), "{counted:?}, {:?}\n{}", bench.drops(), bench.pair.logs());
    bench.descriptors_do_not_leak(before);
}

/// Sets a limit of the process that has the ports.
fn limit(bench: &Bench, limit: &str) {
    system(&format!("prlimit --pid {} {limit}", bench.pid()));
}

fn without_descriptors_a_port_is_refused_and_said_why(suite: Suite, home: Home) {
    const PORTS: usize = 10;
    let bench = Bench::new(suite, home, "system");
    let mut stream = Stream::start(STREAM);
    stream.goes_on(1000);
    (0..PORTS).for_each(|n| drop(system(&format!("ip link add c{n} type veth"))));
    let descriptors = bench.descriptors();
    // Less than a descriptor for each port.
    limit(&bench, &format!("--nofile={descriptors}:1024"));
    (0..PORTS).for_each(|n| {
        drop(bench.pair.run(&bench.suite, "ovs-vsctl", &["add-port", "br0", &format!("c{n}")]))
    });
    let last = format!("c{}", PORTS - 1);
    let error = || bench.vsctl(&format!("get interface {last} error"));
    let expected = format!("could not open network device {last} (Too many open files)");
    bench.pair.await_true("it is said why", || error().contains(&expected));
    let log = std::fs::read_to_string(bench.pair.path("ovs-vswitchd.log")).expect("a log");
    assert!(log.contains(&expected), "{}", bench.pair.logs());
    stream.goes_on(1000);
    // With room the same port works, without being added again.
    limit(&bench, "--nofile=1024:1024");
    bench.vsctl(&format!("set interface {last} external_ids:again=yes"));
    bench.pair.await_true("the port is there", || error().trim() == "[]");
    (0..PORTS).for_each(|n| drop(bench.vsctl(&format!("del-port br0 c{n}"))));
    let counted = stream.end();
    assert!(counted.is_whole(), "{counted:?}, {:?}\n{}", bench.drops(), bench.pair.logs());
    bench.descriptors_do_not_leak(descriptors);
}

#[test]
fn without_memory_a_ring_is_refused_and_a_socket_works() {
    sandboxed!();
    let Some(suite) = Home::Switch.suite() else { return };
    let bench = Bench::new(suite, Home::Switch, "system");
    let mut stream = Stream::start(STREAM);
    stream.goes_on(1000);
    let pid = bench.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("our process");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    let size: u64 = size.and_then(|n| n.trim().parse().ok()).expect("its size");
    // Packet memory of rings is 64 MB; everything else that a port takes is far less.
    limit(&bench, &format!("--as={0}:{0}", (size + 7000) << 10));
    system("ip link add port-c type veth");
    bench.vsctl("add-port br0 port-c -- set interface port-c type=afxdp-nonpmd");
    let status = bench.vsctl("get interface port-c status error");
    assert!(status.contains("Cannot allocate memory") && status.contains("xdp-mode=af-packet"), "{status}");
    stream.goes_on(1000);
    let counted = stream.end();
    assert!(counted.is_whole(), "{counted:?}, {:?}\n{}", bench.drops(), bench.pair.logs());
}
