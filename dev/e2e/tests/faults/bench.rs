//! Two machines at a switch whose ports and threads are one process's or the other's, and everything that is counted there.
//!
//! Where it sits: the faults of `main.rs` are done to it.

use std::collections::BTreeMap;

use e2e::load::Counted;
use e2e::{machines, packets, probe, system};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Suite, SwitchUnderTest};

/// Whose the ports and threads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// ovs-vswitchd's own.
    Switch,
    /// ovsextd's.
    Datapath,
}

impl Home {
    /// The programs that it takes; None, after reporting the skip, while one does not exist.
    pub fn suite(self) -> Option<Suite> {
        match self {
            Home::Switch => e2e::ours(),
            Home::Datapath => testkit::ours(&[&e2e::SWITCH[..], &["ovsextd"]].concat()),
        }
    }

    /// `Bridge.datapath_type`.
    fn datapath_type(self) -> &'static str {
        match self {
            Home::Switch => "netdev",
            Home::Datapath => "system",
        }
    }
}

/// A switch with rules between two ports, and what it had counted when the test began.
pub struct Bench {
    pub suite: Suite,
    pub pair: SwitchUnderTest,
    home: Home,
    before: Totals,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub received: [u64; 2],
    pub sent: [u64; 2],
    pub dropped: u64,
}

impl Bench {
    /// Machines `a` and `b` at ports of a type.
    pub fn new(suite: Suite, home: Home, kind: &str) -> Bench {
        machines();
        quiet();
        let mut pair = SwitchUnderTest::new(&suite);
        pair.start_database();
        pair.ok(&suite, "ovs-vsctl", &["--no-wait", "init"]);
        if home == Home::Datapath {
            pair.start_datapath(&[]);
        }
        pair.start_switch(&[]);
        let mut bench = Bench { suite, pair, home, before: Totals::default() };
        let kind_of_datapath = home.datapath_type();
        bench.vsctl(&format!(
            "add-br br0 -- set bridge br0 datapath_type={kind_of_datapath} fail_mode=secure"
        ));
        let shown = bench.run("ovs-appctl", "dpctl/show");
        assert!(shown.starts_with(kind_of_datapath), "{shown}");
        for (n, port) in ["port-a", "port-b"].iter().enumerate() {
            bench.add_port(port, kind, n + 1);
        }
        bench.ofctl("add-flow br0 in_port=1,actions=output:2");
        bench.ofctl("add-flow br0 in_port=2,actions=output:1");
        bench.pair.await_true("a ping is answered", || probe(&bench.suite, "ping 10.0.0.2"));
        bench.before = bench.totals();
        bench
    }

    pub fn add_port(&self, port: &str, kind: &str, number: usize) {
        self.vsctl(&format!(
            "add-port br0 {port} -- set interface {port} type={kind} ofport_request={number}"
        ));
    }

    #[track_caller]
    pub fn run(&self, program: &str, words: &str) -> String {
        self.pair.ok(&self.suite, program, &words.split_whitespace().collect::<Vec<_>>())
    }

    #[track_caller]
    pub fn vsctl(&self, words: &str) -> String {
        self.run("ovs-vsctl", words)
    }

    #[track_caller]
    pub fn ofctl(&self, words: &str) -> String {
        self.run("ovs-ofctl", words)
    }

    /// Every reason that has dropped packets.
    pub fn drops(&self) -> BTreeMap<String, u64> {
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
    pub fn since(&self) -> Totals {
        let (now, b) = (self.totals(), self.before);
        let less = |now: [u64; 2], before: [u64; 2]| [now[0] - before[0], now[1] - before[1]];
        Totals {
            received: less(now.received, b.received),
            sent: less(now.sent, b.sent),
            dropped: now.dropped - b.dropped,
        }
    }

    /// A counter of an interface, as the database has it: it is written every few seconds.
    pub fn counter(&self, port: &str, name: &str) -> u64 {
        let n = self.vsctl(&format!("--if-exists get interface {port} statistics:{name}"));
        n.trim().parse().unwrap_or(0)
    }

    /// Packets for which the queues of the two ports had no room.
    fn missed(&self) -> u64 {
        ["port-a", "port-b"].map(|port| self.counter(port, "rx_missed_errors")).iter().sum()
    }

    /// Of a stream some was lost, and nothing but what is counted: as missed by the ports, as dropped for a reason, or by
    /// `elsewhere`. What waited in one queue goes on at once, so that its answers may find the other queue full.
    #[track_caller]
    pub fn accounts_for(&self, counted: &Counted, elsewhere: impl Fn() -> u64) {
        assert!(counted.arrived < counted.sent && counted.twice == 0, "{counted:?}");
        let accounted = || self.missed() + self.since().dropped + elsewhere();
        let lost = counted.lost();
        self.pair.await_true(&format!("{lost} are accounted for"), || accounted() >= lost);
        assert_eq!(accounted(), lost, "{:?}", self.drops());
    }

    /// Every packet that came in has gone out, or is counted as dropped or missed.
    #[track_caller]
    pub fn balances(&self) {
        self.pair.await_true(&format!("all is accounted for: {:?}", self.since()), || {
            let t = self.since();
            t.received.iter().sum::<u64>() == t.sent.iter().sum::<u64>() + t.dropped + self.missed()
        });
    }

    /// The process that has the ports.
    pub fn pid(&self) -> u32 {
        let pid = match self.home {
            Home::Switch => self.pair.switch_pid(),
            Home::Datapath => self.pair.datapath_pid(),
        };
        pid.expect("it runs")
    }

    /// Descriptors of the process that has the ports.
    pub fn descriptors(&self) -> usize {
        e2e::descriptors(self.pid())
    }

    /// No more are open than `before`, but for those of commands that have yet to be seen to leave.
    #[track_caller]
    pub fn descriptors_do_not_leak(&self, before: usize) {
        self.pair.await_true("descriptors do not leak", || self.descriptors() <= before);
    }

    /// Waits until machine `a` has sent `n` packets more.
    pub fn a_sends(&self, n: u64) {
        let before = packets(Some("a"), "eth0").1;
        self.pair.await_true("packets are sent", || packets(Some("a"), "eth0").1 >= before + n);
    }

    /// Whoever has the ports does nothing until `n` packets more have been sent.
    pub fn sleeps_while(&self, sent: impl Fn() -> u64, n: u64) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a pid");
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
