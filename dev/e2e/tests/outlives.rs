//! A datapath in a process of its own: whole over its device, and at work while the switch is killed and started again.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use e2e::load::{RATE, Stream, Tcp};
use e2e::{SWITCH, answer_in_b, machines, probe};
use testkit::{Suite, SwitchUnderTest, packet, skip, to_hex};

/// Our programs with ovsextd; None, after reporting the skip, while one of them does not exist.
fn ours() -> Option<Suite> {
    testkit::ours(&[&SWITCH[..], &["ovsextd", "oxvs"]].concat())
}

/// Machines `a` and `b` (10.0.0.1 and 10.0.0.2) at a bridge of the datapath that outlives the switch.
fn two_machines(suite: &Suite) -> SwitchUnderTest {
    machines();
    let mut pair = SwitchUnderTest::new(suite);
    pair.start_database();
    pair.ok(suite, "ovs-vsctl", &["--no-wait", "init"]);
    pair.start_datapath(&[]);
    pair.start_switch(&[]);
    run(&pair, suite, "ovs-vsctl", "add-br br0 -- set bridge br0 datapath_type=system");
    run(&pair, suite, "ovs-vsctl", "add-port br0 port-a -- add-port br0 port-b");
    let shown = run(&pair, suite, "ovs-appctl", "dpctl/show");
    assert!(shown.starts_with("system@ovs-system:"), "{shown}");
    pair
}

#[track_caller]
fn run(pair: &SwitchUnderTest, suite: &Suite, program: &str, words: &str) -> String {
    pair.ok(suite, program, &words.split_whitespace().collect::<Vec<_>>())
}

/// Datagrams, and TCP where it is, both ways while something happens to the datapath or its switch.
struct Load {
    stream: Stream,
    tcp: Option<Tcp>,
}

impl Load {
    /// Datagrams alone.
    fn of_datagrams() -> Load {
        Load { stream: Stream::start(env!("CARGO_BIN_EXE_stream")), tcp: None }
    }

    /// Datagrams and TCP.
    fn with_tcp(pair: &SwitchUnderTest) -> Load {
        Load { tcp: Some(Tcp::start(pair)), ..Load::of_datagrams() }
    }

    /// Waits until a second's worth of datagrams was answered, and TCP went on.
    #[track_caller]
    fn goes_on(&mut self, pair: &SwitchUnderTest) {
        self.stream.goes_on(RATE);
        if let Some(tcp) = &self.tcp {
            tcp.goes_on(pair);
        }
    }

    /// Ends it; every datagram and every answer must have come.
    #[track_caller]
    fn end_whole(self, pair: &SwitchUnderTest, suite: &Suite) {
        if let Some(tcp) = self.tcp {
            tcp.end();
        }
        let counted = self.stream.end();
        let shown = run(pair, suite, "ovs-appctl", "-t ovsextd ovsextd/show");
        let of_ports = run(pair, suite, "ovs-vsctl", "--columns=name,statistics list interface");
        assert!(counted.is_whole(), "{counted:?}\n{shown}\n{of_ports}\n{}", pair.logs());
    }
}

#[test]
fn traffic_goes_over_the_device() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let pair = two_machines(&suite);
    let mut answering = answer_in_b(&suite);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    assert!(probe(&suite, "tcp 10.0.0.2 80"), "TCP\n{}", pair.logs());
    assert!(probe(&suite, "udp 10.0.0.2 53"), "UDP\n{}", pair.logs());
    answering.kill().expect("our child");
    answering.wait().expect("our child");
    // Status is read from the devices that the other process opened.
    let interface = run(&pair, &suite, "ovs-vsctl", "get interface port-a link_state mtu error");
    assert_eq!(interface, "up\n1500\n[]\n");
    // Rules, meters and connections are the other process's.
    let ofctl = |words: &str| run(&pair, &suite, "ovs-ofctl", &format!("-O OpenFlow13 {words}"));
    ofctl("add-meter br0 meter=1,pktps,stats,bands=type=drop,rate=100000");
    ofctl("del-flows br0");
    ofctl("add-flow br0 priority=9,arp,actions=normal");
    ofctl("add-flow br0 ip,in_port=port-a,actions=meter:1,ct(commit,zone=7),output:port-b");
    ofctl("add-flow br0 table=0,ip,in_port=port-b,actions=ct(table=1,zone=7)");
    ofctl("add-flow br0 table=1,ct_state=+trk+est,ip,actions=output:port-a");
    pair.await_true("a ping is answered by rules", || probe(&suite, "ping 10.0.0.2"));
    pair.await_true("the meter has counted", || !ofctl("meter-stats br0").contains("packet_in_count:0 "));
    let connections = run(&pair, &suite, "ovs-appctl", "dpctl/dump-conntrack");
    assert!(
        connections.contains("icmp,orig=(src=10.0.0.1,dst=10.0.0.2") && connections.contains("zone=7"),
        "{connections}"
    );
    run(&pair, &suite, "ovs-appctl", "dpctl/flush-conntrack zone=7");
    assert_eq!(run(&pair, &suite, "ovs-appctl", "dpctl/dump-conntrack"), "");
    // The whole goes when the bridge does.
    run(&pair, &suite, "ovs-vsctl", "del-br br0");
    pair.await_true("flows and ports are gone", || {
        let shown = run(&pair, &suite, "ovs-appctl", "-t ovsextd ovsextd/show");
        shown.contains("flows: 0") && !shown.contains("port-a")
    });
}

#[test]
fn no_packet_is_lost_while_the_switch_is_killed_and_started_again() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    if !Tcp::is_there() {
        skip!("no iperf3 here");
    }
    let mut pair = two_machines(&suite);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    let numbers = run(&pair, &suite, "ovs-vsctl", "get interface port-a ofport");
    let mut load = Load::with_tcp(&pair);
    load.goes_on(&pair);
    pair.kill_switch();
    load.goes_on(&pair);
    pair.start_switch(&[]);
    run(&pair, &suite, "ovs-vsctl", "set bridge br0 external_ids:again=yes");
    load.goes_on(&pair);
    load.end_whole(&pair, &suite);
    // It is the same switch: numbers, and new flows.
    assert_eq!(run(&pair, &suite, "ovs-vsctl", "get interface port-a ofport"), numbers);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
}

/// Rules that let connections of `a` through, and their answers.
const FIREWALL: [&str; 5] = [
    "priority=9,arp,actions=normal",
    "ip,in_port=port-a,actions=ct(table=1,zone=7)",
    "ip,in_port=port-b,actions=ct(table=1,zone=7)",
    "table=1,ct_state=+trk+new,ip,in_port=port-a,actions=ct(commit,zone=7),output:port-b",
    "table=1,ct_state=+trk+est,ip,actions=normal",
];

/// Adds those rules.
fn add_firewall(pair: &SwitchUnderTest, suite: &Suite) {
    // All at once: the switch judges the datapath's flows by its rules two seconds after one has changed.
    let file = pair.path("firewall");
    std::fs::write(&file, FIREWALL.join("\n")).expect("a file of rules");
    run(pair, suite, "ovs-ofctl", &format!("--bundle add-flows br0 {file}"));
}

/// Two machines with those rules between them.
fn two_machines_with_firewall(suite: &Suite) -> SwitchUnderTest {
    let pair = two_machines(suite);
    run(&pair, suite, "ovs-vsctl", "set bridge br0 fail_mode=secure");
    add_firewall(&pair, suite);
    pair.await_true("a ping is answered", || probe(suite, "ping 10.0.0.2"));
    pair
}

/// Rules are obeyed again: what they no longer allow ends.
#[track_caller]
fn rules_are_obeyed(pair: &SwitchUnderTest, suite: &Suite) {
    run(pair, suite, "ovs-ofctl", "del-flows br0 ip,in_port=port-a");
    pair.await_true("nothing is answered", || !probe(suite, "ping 10.0.0.2"));
}

#[test]
fn connections_live_while_the_switch_is_killed_and_started_again() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    if !Tcp::is_there() {
        skip!("no iperf3 here");
    }
    let mut pair = two_machines_with_firewall(&suite);
    let mut load = Load::with_tcp(&pair);
    load.goes_on(&pair);
    pair.kill_switch();
    load.goes_on(&pair);
    pair.start_switch(&[]);
    // It has no rules, and nobody told it to wait for any.
    run(&pair, &suite, "ovs-vsctl", "set bridge br0 external_ids:again=yes");
    load.goes_on(&pair);
    add_firewall(&pair, &suite);
    load.goes_on(&pair);
    load.end_whole(&pair, &suite);
    rules_are_obeyed(&pair, &suite);
}

/// Packets for which the datapath had no flow.
fn misses(pair: &SwitchUnderTest, suite: &Suite) -> u64 {
    let shown = run(pair, suite, "ovs-appctl", "-t ovsextd ovsextd/show");
    let n = shown.split_once("missed:").and_then(|(_, rest)| rest.split_whitespace().next());
    n.and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn connections_live_through_an_upgrade_of_the_switch() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    if !Tcp::is_there() {
        skip!("no iperf3 here");
    }
    let mut pair = two_machines_with_firewall(&suite);
    let mut load = Load::with_tcp(&pair);
    load.goes_on(&pair);
    // As scripts upgrade: rules are saved, and restored before the switch looks at anything.
    let saved = run(&pair, &suite, "ovs-ofctl", "dump-flows --no-stats --names br0");
    run(&pair, &suite, "ovs-vsctl", "set open_vswitch . other_config:flow-restore-wait=true");
    pair.kill_switch();
    load.goes_on(&pair);
    pair.start_switch(&[]);
    pair.await_true("rules can be restored", || {
        let file = pair.path("rules");
        std::fs::write(&file, &saved).expect("the folder is writable");
        pair.run(&suite, "ovs-ofctl", &["replace-flows", "br0", &file]).status == Some(0)
    });
    load.goes_on(&pair);
    run(&pair, &suite, "ovs-vsctl", "remove open_vswitch . other_config flow-restore-wait");
    load.goes_on(&pair);
    // As long as flows of the earlier life are kept, and longer. Then they are judged, and found to be what rules say today.
    (0..3).for_each(|_| load.goes_on(&pair));
    let missed = misses(&pair, &suite);
    assert!(missed < 100, "{missed} packets were asked about");
    load.end_whole(&pair, &suite);
    rules_are_obeyed(&pair, &suite);
}

/// Attempts to hand over in less time than is allowed.
const HANDOVERS: usize = 5;

#[test]
fn no_packet_is_lost_while_the_datapath_is_handed_over() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let pair = two_machines_with_firewall(&suite);
    let mut load = Load::of_datagrams();
    load.goes_on(&pair);
    // None loses a packet. How long one takes is the machine's doing as well: the shortest of several is ours.
    let mut shortest_ms = f64::INFINITY;
    for _ in 0..HANDOVERS {
        let said = run(&pair, &suite, "ovs-appctl", "-t ovsextd handover");
        println!("{said}");
        let pause_ms = said.rsplit_once("forwarded for ").and_then(|(_, rest)| rest.split_once(' '));
        let pause_ms: f64 = pause_ms.and_then(|(ms, _)| ms.parse().ok()).expect("how long it took");
        load.goes_on(&pair);
        shortest_ms = shortest_ms.min(pause_ms);
        if shortest_ms < 50.0 {
            break;
        }
    }
    let shown = run(&pair, &suite, "ovs-appctl", "-t ovsextd ovsextd/show");
    load.end_whole(&pair, &suite);
    assert!(shortest_ms < 50.0, "{shortest_ms} ms");
    assert!(shown.contains("port-a") && !shown.contains("connections: 0"), "{shown}");
    // The switch has found the new process: rules are obeyed, and new flows are made.
    rules_are_obeyed(&pair, &suite);
    for rule in [FIREWALL[1], FIREWALL[3]] {
        run(&pair, &suite, "ovs-ofctl", &format!("add-flow br0 {rule}"));
    }
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    run(&pair, &suite, "ovs-appctl", "-t ovsextd exit");
}

/// What `ip` says of a link: its number first.
fn link(name: &str) -> String {
    let out = Command::new("ip").args(["-o", "link", "show", name]).output().expect("iproute2 is there");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn a_bridge_without_tap_devices_is_handed_over() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let hidden = Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/dev/net"]).status();
    assert!(hidden.expect("mount is there").success());
    let pair = two_machines(&suite);
    let number = |shown: &str| shown.split_once(": br0@ovsint").map(|(number, _)| number.to_owned());
    let before = number(&link("br0")).expect("a veth pair");
    for _ in 0..2 {
        let said = run(&pair, &suite, "ovs-appctl", "-t ovsextd handover");
        assert!(said.starts_with("handed over"), "{said}");
        pair.await_true("the successor goes on", || probe(&suite, "ping 10.0.0.2"));
        assert_eq!(number(&link("br0")).as_ref(), Some(&before), "the device outlives the process");
    }
    run(&pair, &suite, "ovs-vsctl", "del-br br0");
    pair.await_true("it goes with its port", || link("br0").is_empty());
    run(&pair, &suite, "ovs-appctl", "-t ovsextd exit");
}

#[test]
fn it_runs_with_nothing_but_what_ports_need() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let mut pair = SwitchUnderTest::new(&suite);
    let refused = pair.run(&suite, "ovsextd", &["--user=nobody-of-that-name"]);
    assert_eq!(refused.stderr, "ovsextd: --user: user nobody-of-that-name not found\n");
    let owner = Command::new("chown").args(["nobody", &pair.path("")]).status().expect("chown runs");
    if !owner.success() {
        skip!("one user only in this namespace");
    }
    pair.start_datapath(&["--user=nobody:"]);
    let pid = std::fs::read_to_string(pair.path("ovsextd.pid")).expect("a pid file");
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("a process");
    let line = |name: &str| status.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
    assert!(!line("Uid:").split_whitespace().any(|n| n == "0"), "{status}");
    // CAP_NET_ADMIN is 12, CAP_NET_RAW 13: these, and no way to others.
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert!(line(set).ends_with("0000000000003000"), "{status}");
    }
    let shown = run(&pair, &suite, "ovs-appctl", "-t ovsextd ovsextd/show");
    assert!(shown.contains("system@ovs-system:"), "{shown}");
}

#[test]
fn the_switch_finds_a_datapath_that_was_started_again() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let mut pair = two_machines(&suite);
    limit_zones(&pair, &suite);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    pair.kill_datapath();
    assert!(!probe(&suite, "ping 10.0.0.2"), "who forwards?");
    pair.start_datapath(&[]);
    pair.await_true("a ping is answered again", || probe(&suite, "ping 10.0.0.2"));
    assert!(run(&pair, &suite, "ovs-appctl", "dpctl/show").contains("port-b"));
    // One that knows nothing is set to what the database says.
    pair.await_true("the zone is limited again", || {
        let limits = pair.run(&suite, "ovs-appctl", &["dpctl/ct-get-limits"]).stdout;
        limits.contains("default limit=50\nzone=7,limit=2,")
    });
    // One that is told to end leaves nothing that tells of it.
    run(&pair, &suite, "ovs-appctl", "-t ovsextd exit");
    let left = |name: &str| std::fs::exists(pair.path(name)).expect("a folder");
    pair.await_true("its files are gone", || !left("ovsextd.pid") && !left("ovsext.dev"));
}

/// Has the database limit connections.
fn limit_zones(pair: &SwitchUnderTest, suite: &Suite) {
    let datapath =
        "-- --id=@dp create Datapath datapath_version=0 -- set Open_vSwitch . datapaths:system=@dp";
    run(pair, suite, "ovs-vsctl", datapath);
    run(pair, suite, "ovs-vsctl", "set-zone-limit system 7 2 -- set-zone-limit system default 50");
}

#[test]
fn what_leaves_the_database_while_the_switch_is_away_leaves_the_datapath() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let mut pair = two_machines(&suite);
    let limits = |pair: &SwitchUnderTest| run(pair, &suite, "ovs-appctl", "dpctl/ct-get-limits");
    // What commands have set is theirs.
    run(&pair, &suite, "ovs-appctl", "dpctl/ct-set-limits zone=9,limit=90");
    pair.kill_switch();
    pair.start_switch(&[]);
    run(&pair, &suite, "ovs-vsctl", "set bridge br0 external_ids:again=yes");
    assert_eq!(limits(&pair), "default limit=0\nzone=9,limit=90,count=0\n");
    run(&pair, &suite, "ovs-appctl", "dpctl/ct-del-limits zone=9");
    // What the database has set is the database's, and another limit of it does not keep it.
    limit_zones(&pair, &suite);
    run(&pair, &suite, "ovs-vsctl", "set-zone-limit system 8 3");
    let all = "default limit=50\nzone=7,limit=2,count=0\nzone=8,limit=3,count=0\n";
    assert_eq!(limits(&pair), all);
    let steps = [
        (
            &["del-zone-limit system 7", "del-zone-limit system default"][..],
            "default limit=0\nzone=8,limit=3,count=0\n",
        ),
        (&["del-zone-limit system 8"], "default limit=0\n"),
    ];
    for (commands, expected) in steps {
        pair.kill_switch();
        commands
            .iter()
            .for_each(|words| drop(run(&pair, &suite, "ovs-vsctl", &format!("--no-wait {words}"))));
        pair.start_switch(&[]);
        run(&pair, &suite, "ovs-vsctl", "set bridge br0 external_ids:once=more");
        assert_eq!(limits(&pair), expected);
    }
    // Limits are the commands' again.
    run(&pair, &suite, "ovs-appctl", "dpctl/ct-set-limits zone=9,limit=90");
}

/// What the datapath of the other process is set to, as commands say it.
fn tracking(pair: &SwitchUnderTest, suite: &Suite) -> String {
    let said = ["ct-get-limits", "ct-get-maxconns", "ct-get-tcp-seq-chk", "ipf-get-status"];
    said.map(|command| run(pair, suite, "ovs-appctl", &format!("dpctl/{command}"))).concat()
}

#[test]
fn settings_of_connection_tracking_reach_the_datapath_and_stay() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let mut pair = two_machines(&suite);
    let appctl = |pair: &SwitchUnderTest, words: &str| run(pair, &suite, "ovs-appctl", words);
    limit_zones(&pair, &suite);
    run(
        &pair,
        &suite,
        "ovs-vsctl",
        "add-zone-tp system zone=7 udp_first=1000 udp_multiple=1000 udp_single=1000",
    );
    for command in [
        "ct-set-maxconns 1234",
        "ct-disable-tcp-seq-chk",
        "ipf-set-disabled v6",
        "ipf-set-min-frag v4 600",
        "ipf-set-max-nfrags 77",
    ] {
        appctl(&pair, &format!("dpctl/{command}"));
    }
    let refused = pair.run(&suite, "ovs-appctl", &["dpctl/ipf-set-min-frag", "v4", "1"]);
    assert!(refused.stderr.contains("too small"), "{}", refused.stderr);
    let expected = tracking(&pair, &suite);
    for part in [
        "default limit=50\nzone=7,limit=2,count=0\n1234\n",
        "checking: disabled",
        "v6 enabled: 0",
        "max num frags (v4/v6): 77",
        "min v4 frag size: 600",
    ] {
        assert!(expected.contains(part), "{part}\n{expected}");
    }
    // A third connection of the zone is refused, and those that there are live as long as the policy says.
    run(
        &pair,
        &suite,
        "ovs-ofctl",
        "add-flow br0 priority=99,udp,in_port=port-a,actions=ct(commit,zone=7),port-b",
    );
    let connections = || appctl(&pair, "dpctl/dump-conntrack -s zone=7");
    let met = || {
        let listed = run(&pair, &suite, "ovs-ofctl", "dump-flows br0 udp,in_port=port-a");
        let count = listed.split_once("n_packets=").and_then(|(_, rest)| rest.split_once(','));
        count.and_then(|(count, _)| count.parse::<u64>().ok()).unwrap_or(0)
    };
    for port in 1..=3 {
        let before = met();
        probe(&suite, &format!("udp 10.0.0.2 {port}"));
        pair.await_true("a datagram is tracked", || met() > before);
    }
    let listed = connections();
    let left = |line: &str| line.split_once("timeout=")?.1.split(',').next()?.trim().parse::<u32>().ok();
    let times: Vec<u32> = listed.lines().filter_map(left).collect();
    assert!(times.len() == 2 && times.iter().all(|t| *t > 900), "{listed}");
    // The switch is started again; then the datapath's process gives way to another.
    let expected = expected.replace("count=0", "count=2");
    pair.kill_switch();
    pair.start_switch(&[]);
    run(&pair, &suite, "ovs-vsctl", "set bridge br0 external_ids:again=yes");
    assert_eq!(tracking(&pair, &suite), expected);
    let said = appctl(&pair, "-t ovsextd handover");
    println!("{said}");
    pair.await_true("the successor is found", || {
        pair.run(&suite, "ovs-appctl", &["dpctl/ct-get-maxconns"]).status == Some(0)
    });
    assert_eq!(tracking(&pair, &suite), expected);
    let timeouts: Vec<u32> =
        appctl(&pair, "dpctl/dump-conntrack -s zone=7").lines().filter_map(left).collect();
    assert!(timeouts.len() == 2 && timeouts.iter().all(|t| *t > 900), "{timeouts:?}");
}

/// Packets of port-a that rules have dropped, as the datapath counts them.
fn dropped(pair: &SwitchUnderTest, suite: &Suite) -> u64 {
    let counts = run(pair, suite, "ovs-appctl", "dpctl/show-drops");
    let of_port =
        counts.split("port ").find(|part| part.lines().next().is_some_and(|l| l.ends_with(": port-a")));
    let line = of_port.and_then(|part| part.lines().find(|line| line.contains("drop_action_of_pipeline")));
    line.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or(0)
}

/// A packet whose upcall is answered with no actions is counted by the datapath like those that its megaflow drops.
#[test]
fn every_packet_that_a_rule_drops_is_counted() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let pair = two_machines(&suite);
    let before = dropped(&pair, &suite);
    run(&pair, &suite, "ovs-ofctl", "add-flow br0 priority=9,udp,in_port=port-a,actions=drop");
    assert!(!probe(&suite, "udp 10.0.0.2 53"));
    let of_rule = || {
        let flows = run(&pair, &suite, "ovs-ofctl", "dump-flows br0 udp,in_port=port-a");
        let count =
            flows.split("n_packets=").nth(1).and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
        count.unwrap_or(0)
    };
    pair.await_true("the rule's packets are the datapath's", || {
        let counted = of_rule();
        counted > 0 && dropped(&pair, &suite) - before == counted
    });
}

/// Packets of a dialogue of FTP: who sends, and what follows the addresses.
const DIALOGUE: [(&str, &str); 4] = [
    ("a", "tcp 4000 > 21 S seq 100"),
    ("b", "tcp 21 > 4000 SA seq 500 ack 101"),
    ("a", "tcp 4000 > 21 A seq 101 ack 501"),
    ("a", "tcp 4000 > 21 PA seq 101 ack 501 / \"PORT 10,0,0,1,20,1\" / hex 0d0a"),
];

#[test]
fn announced_connections_are_listed_over_the_device() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let pair = two_machines(&suite);
    for flow in [
        "priority=9,tcp,actions=ct(table=1,zone=3)",
        "table=1,in_port=port-a,ct_state=+new+trk,tcp,actions=ct(commit,zone=3,alg=ftp,exec(set_field:7->ct_mark)),output:port-b",
        "table=1,ct_state=+est+trk,tcp,actions=drop",
    ] {
        run(&pair, &suite, "ovs-ofctl", &format!("add-flow br0 {flow}"));
    }
    let expected = |zone: &str| run(&pair, &suite, "ovs-appctl", &format!("dpctl/dump-conntrack-exp{zone}"));
    assert_eq!(expected(""), "");
    for (from, rest) in DIALOGUE {
        let start = match from {
            "a" => "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2",
            _ => "eth 02:00:00:00:00:02 > 02:00:00:00:00:01 / ip 10.0.0.2 > 10.0.0.1",
        };
        let hex = to_hex(&packet(&format!("{start} / {rest}")));
        let out = format!("in_port=port-{from},packet={hex},actions=table");
        run(&pair, &suite, "ovs-ofctl", &format!("packet-out br0 {out}"));
    }
    let line = "tcp,orig=(src=10.0.0.2,dst=10.0.0.1,sport=0,dport=5121),zone=3,mark=7,\
        parent=(src=10.0.0.1,dst=10.0.0.2,sport=4000,dport=21)\n";
    pair.await_true("the data connection is announced", || expected("") == line);
    assert_eq!((expected(" zone=3").as_str(), expected(" zone=4").as_str()), (line, ""));
}

/// Options of rows reach devices that the other process has opened, also one that comes after it; ports past the kernel's stack are polled there.
#[test]
fn ports_behind_the_device_are_as_their_rows_say() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    if !std::path::Path::new("/dev/net/tun").exists() {
        skip!("no /dev/net/tun to have queues");
    }
    machines();
    let mut pair = SwitchUnderTest::new(&suite);
    pair.start_database();
    pair.ok(&suite, "ovs-vsctl", &["--no-wait", "init"]);
    pair.start_datapath(&[]);
    pair.start_switch(&[]);
    let vsctl = |pair: &SwitchUnderTest, words: &str| run(pair, &suite, "ovs-vsctl", words);
    vsctl(&pair, "add-br br0 -- set bridge br0 datapath_type=system -- add-port br0 port-b");
    vsctl(&pair, "add-port br0 port-a -- set interface port-a type=afxdp options:n_rxq=1");
    vsctl(&pair, "add-port br0 many -- set interface many type=internal options:n_rxq=3");
    let shown = |pair: &SwitchUnderTest| run(pair, &suite, "ovs-appctl", "-t ovsextd ovsextd/show");
    let is_set = |pair: &SwitchUnderTest| {
        let text = shown(pair);
        text.contains("many (internal: n_rxq=3)") && text.contains("port-a (afxdp: n_rxq=1")
    };
    assert!(is_set(&pair), "{}", shown(&pair));
    assert_eq!(run(&pair, &suite, "ovs-appctl", "tnl/egress_port_range 40000 50000"), "OK\n");
    let status = run(&pair, &suite, "ovs-vsctl", "get interface port-a status");
    assert!(status.contains("xdp-mode="), "{status}");
    let mut answering = answer_in_b(&suite);
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    let threads =
        |pair: &SwitchUnderTest| run(pair, &suite, "ovs-appctl", "-t ovsextd dpif-netdev/pmd-rxq-show");
    vsctl(&pair, "set open_vswitch . other_config:pmd-cpu-mask=2");
    vsctl(&pair, "set interface port-a other_config:pmd-rxq-affinity=0:1");
    let is_alone = |pair: &SwitchUnderTest| {
        let text = threads(pair);
        text.contains("core_id 1:\n  isolated : true\n  port: port-a")
    };
    let has_second = std::thread::available_parallelism().is_ok_and(|n| n.get() > 1);
    assert!(!has_second || is_alone(&pair), "{}", threads(&pair));
    pair.kill_datapath();
    pair.start_datapath(&[]);
    pair.await_true("the next process is told", || is_set(&pair));
    assert!(!has_second || is_alone(&pair), "{}", threads(&pair));
    // A successor that does not come leaves everything as it was; one that comes has the same queues.
    let ends_in_the_middle = pair.path("successor");
    // It says that it is ready, and no more.
    std::fs::write(&ends_in_the_middle, "#!/bin/sh\nprintf '\\001' >&0\n").expect("a script");
    std::fs::set_permissions(&ends_in_the_middle, std::fs::Permissions::from_mode(0o755)).expect("a script");
    for successor in ["/bin/false", &ends_in_the_middle] {
        let failed = pair.run(&suite, "ovs-appctl", &["-t", "ovsextd", "handover", successor]);
        assert!(failed.stderr.contains("handover failed"), "{failed:?}");
        pair.await_true("the old process goes on", || probe(&suite, "tcp 10.0.0.2 80"));
        assert!(!has_second || is_alone(&pair), "{}", threads(&pair));
    }
    let said = run(&pair, &suite, "ovs-appctl", "-t ovsextd handover");
    assert!(said.starts_with("handed over"), "{said}");
    pair.await_true("the successor goes on", || probe(&suite, "tcp 10.0.0.2 80"));
    assert!(is_set(&pair) && (!has_second || is_alone(&pair)), "{}{}", shown(&pair), threads(&pair));
    answering.kill().expect("our child");
    answering.wait().expect("our child");
    vsctl(&pair, "remove interface port-a other_config pmd-rxq-affinity");
    assert!(!is_alone(&pair), "{}", threads(&pair));
    vsctl(&pair, "remove interface many options n_rxq");
    assert!(shown(&pair).contains("many (internal)"), "{}", shown(&pair));
    run(&pair, &suite, "ovs-appctl", "-t ovsextd exit");
}
