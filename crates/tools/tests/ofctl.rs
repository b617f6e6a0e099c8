//! Our ovs-ofctl beside C's, on C's switch: the same text, the same errors, the same status.
//!
//! Where it sits: every case is run by C, then by us, on the same switch; changes are made by ours and seen by both.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use testkit::{Ran, Suite, SwitchUnderTest};

const OURS: &str = env!("CARGO_BIN_EXE_ovs-ofctl");

struct Pair {
    suite: Suite,
    switch: SwitchUnderTest,
}

fn start() -> Option<Pair> {
    let suite = testkit::oracle()?;
    let switch = SwitchUnderTest::started(&suite, &["--enable-dummy", "--disable-system"]);
    let pair = Pair { suite, switch };
    pair.vsctl("add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure other-config:datapath-id=fedcba9876543210 other-config:hwaddr=aa:55:aa:55:00:00 protocols=[OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15]");
    pair.vsctl("add-port br0 p1 -- set interface p1 type=dummy ofport_request=1");
    pair.vsctl("add-port br0 p2 -- set interface p2 type=dummy ofport_request=2");
    Some(pair)
}

impl Pair {
    fn vsctl(&self, args: &str) {
        let args: Vec<&str> = args.split(' ').collect();
        self.switch.ok(&self.suite, "ovs-vsctl", &args);
    }

    fn c(&self, args: &[&str]) -> Ran {
        self.switch.run(&self.suite, "ovs-ofctl", args)
    }

    fn ours(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(OURS);
        self.switch.environment(&mut command);
        command.args(args).output().unwrap().into()
    }

    /// Runs the case by both and compares.
    #[track_caller]
    fn same(&self, args: &[&str]) {
        let (c, ours) = (self.c(args), self.ours(args));
        assert_eq!(normal(&ours.stdout), normal(&c.stdout), "{args:?}");
        assert_eq!(normal(&ours.stderr), normal(&c.stderr), "{args:?}");
        assert_eq!(ours.status, c.status, "{args:?}");
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) {
        let ran = self.ours(args);
        assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""), "{args:?}");
    }
}

/// Takes out what differs from run to run: transaction ids, ages, log lines.
fn normal(text: &str) -> String {
    let logged = |line: &&str| !line.contains("|WARN|") && !line.contains("|ERR|");
    let lines = text.lines().filter(logged).map(|line| {
        // C calls itself by the path that it was started with where its own library speaks.
        let at = line.find("ovs-ofctl: ").filter(|_| line.starts_with('/')).unwrap_or(0);
        let mut line = line[at..].to_owned();
        for (key, end) in [("xid=0x", ')'), ("duration=", 's'), ("idle_age=", ','), ("hard_age=", ',')] {
            while let Some(at) = line.find(key) {
                let tail = line[at..].find(end).map_or(line.len(), |n| at + n);
                line.replace_range(at..tail, "~");
            }
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

const FLOWS: [&str; 7] = [
    "priority=5,in_port=1,ip,nw_dst=10.0.0.0/8,actions=mod_nw_src:1.2.3.4,output:2",
    "table=1,cookie=0x1234,idle_timeout=60,hard_timeout=100,tcp,tp_dst=80,actions=NORMAL",
    "priority=0,actions=drop",
    "table=2,send_flow_rem,reset_counts,arp,actions=controller",
    "table=3,importance=5,dl_vlan=3,actions=resubmit(,4),load:5->NXM_NX_REG0[]",
    "table=4,ct_state=+trk+est,ip,actions=ct(commit,zone=3,nat(src=1.2.3.4))",
    "table=5,ipv6,ipv6_src=2001:db8::/32,actions=ct(table=6),goto_table:7",
];

#[test]
fn what_a_switch_shows() {
    let Some(pair) = start() else { return };
    for flow in FLOWS {
        pair.ok(&["-O", "OpenFlow14", "add-flow", "br0", flow]);
    }
    for version in ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"] {
        for command in [
            "show",
            "dump-flows",
            "dump-aggregate",
            "dump-tables",
            "dump-ports",
            "dump-ports-desc",
            "dump-desc",
            "get-frags",
        ] {
            pair.same(&["-O", version, command, "br0"]);
        }
        pair.same(&["-O", version, "--no-stats", "dump-flows", "br0", "table=1"]);
        pair.same(&["-O", version, "--sort", "--names", "dump-flows", "br0", "tcp"]);
    }
}

#[test]
fn changes_arrive() {
    let Some(pair) = start() else { return };
    let dump = || pair.c(&["--no-stats", "--sort", "dump-flows", "br0"]).stdout;
    pair.ok(&["add-flow", "br0", "priority=7,in_port=p1,actions=p2"]);
    pair.ok(&["add-flow", "br0", "actions=1"]);
    assert_eq!(dump(), " priority=7,in_port=1 actions=output:2\n actions=output:1\n");
    pair.ok(&["mod-flows", "br0", "in_port=1,actions=LOCAL"]);
    assert_eq!(dump(), " priority=7,in_port=1 actions=LOCAL\n actions=output:1\n");
    pair.ok(&["--strict", "del-flows", "br0", "priority=7,in_port=1"]);
    assert_eq!(dump(), " actions=output:1\n");
    let file = PathBuf::from(pair.switch.path("flows"));
    std::fs::write(&file, "# a comment\nactions=1\n\ndelete table=3\nadd priority=9,udp,actions=2\n")
        .unwrap();
    let file = file.to_str().unwrap();
    pair.ok(&["add-flows", "br0", file]);
    assert_eq!(dump(), " priority=9,udp actions=output:2\n actions=output:1\n");
    std::fs::write(file, "actions=1\ntcp,actions=3\n").unwrap();
    pair.same(&["replace-flows", "br0", file]);
    assert_eq!(pair.ours(&["diff-flows", "br0", file]).status, Some(0));
    std::fs::write(file, "actions=2\n").unwrap();
    assert_eq!(pair.ours(&["diff-flows", "br0", file]).status, Some(2));
    pair.ok(&["--bundle", "replace-flows", "br0", file]);
    assert_eq!(dump(), " actions=output:2\n");
    pair.ok(&["set-frags", "br0", "drop"]);
    assert_eq!(pair.c(&["get-frags", "br0"]).stdout, "drop\n");
    pair.ok(&["mod-port", "br0", "p1", "no-flood"]);
    assert!(pair.c(&["show", "br0"]).stdout.contains("config:     NO_FLOOD"));
    pair.ok(&["packet-out", "br0", "in_port=1,packet=5054000000055054000000070800,actions=2"]);
}

#[test]
fn mistakes_are_told_in_the_same_words() {
    let Some(pair) = start() else { return };
    let cases = [
        "",
        "foo",
        "add-flow",
        "add-flow a b c d",
        "--read-only add-flow br0 x",
        "--foo",
        "-O OpenFlow9 show br0",
        "-F foo show br0",
        "-F OXM show br0",
        "-P foo show br0",
        "show br9",
        "show unix:/nonexistent",
        "show foo:bar",
        "show tcp:127.0.0.1:1",
        "add-flow br0 foo",
        "add-flow br0 in_port=1",
        "add-flow br0 actions=output:70000",
        "add-flows br0 /nonexistent",
        "-F OpenFlow10 add-flow br0 ipv6,ipv6_src=::1,actions=1",
        "-O OpenFlow13 add-flow br0 table=254,actions=1",
        "--bundle add-flow br0 table=254,actions=1",
        "dump-flows br0 actions=1",
        "dump-ports br0 p9",
        "mod-port br0 p9 up",
        "mod-port br0 p1 sideways",
        "set-frags br0 foo",
        "packet-out br0 LOCAL 1 50",
        "packet-out br0 1 2",
        "monitor br0 foo",
        "-O OpenFlow13 monitor br0 invalid_ttl",
        "--sort=foo dump-flows br0",
        "probe br9",
        "ofp-print zz",
        "print-error foo",
        "encode-error-reply foo 01",
    ];
    for case in cases {
        pair.same(&case.split(' ').filter(|a| !a.is_empty()).collect::<Vec<_>>());
    }
}

#[test]
fn offline_commands() {
    let Some(pair) = start() else { return };
    for args in [
        &["parse-flow", "table=1,ip,actions=2"][..],
        &["parse-flow", "ip,actions=2,set_field:1->reg0"],
        &["-O", "OpenFlow13", "parse-flow", "table=1,ip,actions=2,set_field:1->reg0"],
        &["print-error", "OFPBMC_BAD_PREREQ"],
        &["encode-error-reply", "OFPBRC_BAD_TYPE", "0405000800000001"],
        &["encode-hello", "0x0a"],
        &["encode-hello", "0x7e"],
        &["ofp-print", "0400000800000001"],
        &["ofp-print", "041d000800000001"],
        &["ofp-print", "04050009000000 01"],
        &["ofp-print", "0405000800000001", "3"],
    ] {
        pair.same(args);
    }
}

#[test]
fn monitor_prints_what_comes_and_obeys_its_control_socket() {
    let Some(pair) = start() else { return };
    let control = pair.switch.path("monitor.ctl");
    let output = pair.switch.path("monitor.out");
    let unixctl = format!("--unixctl={control}");
    // What runs on keeps its standard error, so that it must not be a pipe that somebody waits on.
    let mut start = Command::new(OURS);
    pair.switch.environment(&mut start);
    start.args([
        "monitor",
        "br0",
        "65534",
        "watch:!initial,table=3,udp",
        "-P",
        "standard",
        "--detach",
        "--no-chdir",
        "--pidfile",
        &unixctl,
    ]);
    let started = start.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(started.success(), "{started:?}");
    let appctl = |args: &[&str]| {
        let args = [&["-t", control.as_str()], args].concat();
        pair.switch.run(&pair.suite, "ovs-appctl", &args)
    };
    assert_eq!(appctl(&["ofctl/set-output-file", &output]).status, Some(0));
    assert_eq!(appctl(&["ofctl/barrier"]).status, Some(0));
    pair.ok(&["add-flow", "br0", "table=4,udp,actions=drop"]);
    pair.ok(&["add-flow", "br0", "table=3,udp,tp_dst=53,actions=drop"]);
    pair.ok(&["packet-out", "br0", "in_port=1,packet=5054000000055054000000071234,actions=controller"]);
    assert_eq!(appctl(&["ofctl/barrier"]).status, Some(0));
    assert_eq!(appctl(&["ofctl/send", "0105000800000009"]).stdout, "sent\n");
    pair.switch.await_true("a features reply", || {
        std::fs::read_to_string(&output).is_ok_and(|text| text.contains("OFPT_FEATURES_REPLY (xid=0x9)"))
    });
    assert_eq!(appctl(&["exit"]).status, Some(0));
    let text = std::fs::read_to_string(&output).unwrap();
    let packet_in = "OFPT_PACKET_IN (xid=0x0): total_len=14 in_port=1 (via action) data_len=14 (unbuffered)\n\
                     vlan_tci=0x0000,dl_src=50:54:00:00:00:07,dl_dst=50:54:00:00:00:05,dl_type=0x1234\n";
    assert!(text.contains(packet_in), "{text}");
    let event = " event=ADDED table=3 cookie=0 udp,tp_dst=53\n";
    assert!(text.contains(event) && text.matches("event=").count() == 1, "{text}");
    assert!(text.contains("send: OFPT_FEATURES_REQUEST (xid=0x9):\n"), "{text}");
}
