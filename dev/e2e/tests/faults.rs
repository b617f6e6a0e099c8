//! What goes wrong with ports while packets flow: afterwards they flow again, nothing has leaked, and every packet that was
//! lost is found in a counter.
//!
//! Where it sits: drives ovs-vswitchd with ports of its own process; `outlives.rs` does so with ovsextd.
//!
//! Rules send what comes in by one port out by the other, so that packets are conserved: what the kernel has counted into
//! both ports has left by them, or is dropped for a reason that is counted, or was missed.

use std::collections::BTreeMap;
use std::process::Command;

use e2e::load::{Counted, RATE, Stream};
use e2e::{machines, ours, packets, probe, system};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Suite, SwitchUnderTest, sandboxed, skip};

const STREAM: &str = env!("CARGO_BIN_EXE_stream");

/// A switch with rules between two ports, and what it had counted when the test began.
struct Bench {
    suite: Suite,
    pair: SwitchUnderTest,
    before: Totals,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    received: [u64; 2],
    sent: [u64; 2],
    dropped: u64,
}

impl Bench {
    /// Machines `a` and `b` at ports of a type.
    fn new(suite: Suite, kind: &str) -> Bench {
        machines();
        quiet();
        let pair = SwitchUnderTest::started(&suite, &[]);
        let mut bench = Bench { suite, pair, before: Totals::default() };
        bench.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure");
        for (n, port) in ["port-a", "port-b"].iter().enumerate() {
            bench.add_port(port, kind, n + 1);
        }
        bench.ofctl("add-flow br0 in_port=1,actions=output:2");
        bench.ofctl("add-flow br0 in_port=2,actions=output:1");
        bench.pair.await_true("a ping is answered", || probe(&bench.suite, "ping 10.0.0.2"));
        bench.before = bench.totals();
        bench
    }

    fn add_port(&self, port: &str, kind: &str, number: usize) {
        self.vsctl(&format!(
            "add-port br0 {port} -- set interface {port} type={kind} ofport_request={number}"
        ));
    }

    #[track_caller]
    fn run(&self, program: &str, words: &str) -> String {
        self.pair.ok(&self.suite, program, &words.split_whitespace().collect::<Vec<_>>())
    }

    #[track_caller]
    fn vsctl(&self, words: &str) -> String {
        self.run("ovs-vsctl", words)
    }

    #[track_caller]
    fn ofctl(&self, words: &str) -> String {
        self.run("ovs-ofctl", words)
    }

    /// Every reason that has dropped packets.
    fn drops(&self) -> BTreeMap<String, u64> {
        let shown = self.run("ovs-appctl", "dpctl/show-drops");
        let lines = shown.lines().take_while(|line| !line.starts_with("port "));
        let pair = |line: &str| {
            let (name, n) = line.split_once(' ').expect("a name and a number");
            (name.to_owned(), n.trim().parse().expect("a number"))
        };
        lines.map(pair).collect()
    }

    fn totals(&self) -> Totals {
        let ((ra, sa), (rb, sb)) = (packets(None, "port-a"), packets(None, "port-b"));
        Totals { received: [ra, rb], sent: [sa, sb], dropped: self.drops().values().sum() }
    }

    /// What was counted since the beginning.
    fn since(&self) -> Totals {
        let (now, b) = (self.totals(), self.before);
        let less = |now: [u64; 2], before: [u64; 2]| [now[0] - before[0], now[1] - before[1]];
        Totals {
            received: less(now.received, b.received),
            sent: less(now.sent, b.sent),
            dropped: now.dropped - b.dropped,
        }
    }

    /// A counter of an interface, as the database has it: it is written every few seconds.
    fn counter(&self, port: &str, name: &str) -> u64 {
        let n = self.vsctl(&format!("--if-exists get interface {port} statistics:{name}"));
        n.trim().parse().unwrap_or(0)
    }

    /// Every packet that came in has gone out, or is counted as dropped or missed.
    #[track_caller]
    fn balances(&self) {
        let missed =
            || ["port-a", "port-b"].map(|port| self.counter(port, "rx_missed_errors")).iter().sum::<u64>();
        self.pair.await_true(&format!("all is accounted for: {:?}", self.since()), || {
            let t = self.since();
            t.received.iter().sum::<u64>() == t.sent.iter().sum::<u64>() + t.dropped + missed()
        });
    }

    fn descriptors(&self) -> usize {
        e2e::descriptors(self.pair.switch_pid().expect("it runs"))
    }

    /// No more are open than `before`, but for those of commands that the switch has yet to see leave.
    #[track_caller]
    fn descriptors_do_not_leak(&self, before: usize) {
        self.pair.await_true("descriptors do not leak", || self.descriptors() <= before);
    }

    /// Waits until machine `a` has sent `n` packets more.
    fn a_sends(&self, n: u64) {
        let before = packets(Some("a"), "eth0").1;
        self.pair.await_true("packets are sent", || packets(Some("a"), "eth0").1 >= before + n);
    }

    /// The switch does nothing until `n` packets more have been sent.
    fn sleeps_while(&self, sent: impl Fn() -> u64, n: u64) {
        let pid = Pid::from_raw(self.pair.switch_pid().expect("it runs").cast_signed()).expect("a pid");
        let before = sent();
        kill_process(pid, Signal::STOP).expect("our child");
        self.pair.await_true("packets are sent", || sent() >= before + n);
        kill_process(pid, Signal::CONT).expect("our child");
    }
}

/// Nobody says anything by himself, nor asks who has an address: what is counted is the streams'.
fn quiet() {
    for scope in ["default", "all"] {
        let no_ipv6 = format!("sysctl -q -w net.ipv6.conf.{scope}.disable_ipv6=1");
        system(&no_ipv6);
        ["a", "b"].iter().for_each(|machine| drop(system(&format!("ip netns exec {machine} {no_ipv6}"))));
    }
    for (machine, n) in [("a", 2), ("b", 1)] {
        let other = format!("10.0.0.{n} lladdr 02:00:00:00:00:0{n}");
        system(&format!("ip -n {machine} neigh replace {other} nud permanent dev eth0"));
    }
}

#[test]
fn a_port_is_deleted_and_added_in_the_middle_of_traffic() {
    sandboxed!();
    let Some(suite) = ours() else { return };
    let bench = Bench::new(suite, "system");
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

#[test]
fn a_namespace_is_removed_with_its_port_and_returns() {
    sandboxed!();
    let Some(suite) = ours() else { return };
    let bench = Bench::new(suite, "system");
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

#[test]
fn the_carrier_flaps() {
    const FLAPS: u64 = 10;
    sandboxed!();
    let Some(suite) = ours() else { return };
    let bench = Bench::new(suite, "system");
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

#[test]
fn the_mtu_changes_under_load() {
    const ROUNDS: u64 = 5;
    sandboxed!();
    let Some(suite) = ours() else { return };
    let bench = Bench::new(suite, "system");
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

/// The switch sleeps while more packets are sent than its ports' queues hold; the rest is missed, and counted.
fn queues_overflow(kind: &str, n: u64) {
    let Some(suite) = ours() else { return };
    let bench = Bench::new(suite, kind);
    let status = bench.vsctl("get interface port-a status");
    if status.contains("xdp-error") {
        skip!("no AF_XDP here: {status}");
    }
    let mut stream = Stream::start(STREAM);
    stream.goes_on(RATE);
    bench.sleeps_while(|| packets(Some("a"), "eth0").1, n);
    stream.goes_on(RATE);
    let Counted { sent, arrived, answered, twice, .. } = stream.end();
    assert!(arrived < sent && answered == arrived && twice == 0, "{sent} {arrived} {answered} {twice}");
    let accounted = || bench.counter("port-a", "rx_missed_errors") + bench.since().dropped;
    bench.pair.await_true(&format!("{} are accounted for", sent - arrived), || accounted() >= sent - arrived);
    assert_eq!(accounted(), sent - arrived, "{:?}", bench.drops());
}

#[test]
fn the_queue_of_a_packet_socket_overflows() {
    sandboxed!();
    queues_overflow("system", 40_000);
}

#[test]
fn a_ring_of_afxdp_overflows() {
    sandboxed!();
    queues_overflow("afxdp", 10_000);
}

#[test]
fn a_tap_device_is_read_slowly() {
    sandboxed!();
    let Some(suite) = ours() else { return };
    let bench = Bench::new(suite, "system");
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
    let Counted { sent, arrived, answered, twice, .. } = stream.end();
    assert!(arrived < sent && answered == arrived && twice == 0, "{sent} {arrived} {answered} {twice}");
    let accounted = || bench.counter("br0", "rx_dropped") - before + bench.since().dropped;
    bench.pair.await_true(&format!("{} are accounted for", sent - arrived), || accounted() >= sent - arrived);
    assert_eq!(accounted(), sent - arrived, "{:?}", bench.drops());
}

/// Packets that a device could not send, as the kernel counts them.
fn dropped_by(device: &str) -> u64 {
    let text = system("cat /proc/thread-self/net/dev");
    let line = text.lines().find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'));
    line.expect("the device").split_whitespace().nth(11).and_then(|n| n.parse().ok()).expect("a number")
}

/// Sets a limit of the running switch.
fn limit(bench: &Bench, limit: &str) {
    let pid = bench.pair.switch_pid().expect("it runs");
    system(&format!("prlimit --pid {pid} {limit}"));
}

#[test]
fn without_descriptors_a_port_is_refused_and_said_why() {
    const PORTS: usize = 10;
    sandboxed!();
    let Some(suite) = ours() else { return };
    let bench = Bench::new(suite, "system");
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
    let Some(suite) = ours() else { return };
    let bench = Bench::new(suite, "system");
    let mut stream = Stream::start(STREAM);
    stream.goes_on(1000);
    let pid = bench.pair.switch_pid().expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("our process");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    let size: u64 = size.and_then(|n| n.trim().parse().ok()).expect("its size");
    // A ring's packet memory is 8 MB; everything else that a port takes is less than half of that.
    limit(&bench, &format!("--as={0}:{0}", (size + 7000) << 10));
    system("ip link add port-c type veth");
    bench.vsctl("add-port br0 port-c -- set interface port-c type=afxdp-nonpmd");
    let status = bench.vsctl("get interface port-c status error");
    assert!(status.contains("Cannot allocate memory") && status.contains("xdp-mode=af-packet"), "{status}");
    stream.goes_on(1000);
    let counted = stream.end();
    assert!(counted.is_whole(), "{counted:?}, {:?}\n{}", bench.drops(), bench.pair.logs());
}
