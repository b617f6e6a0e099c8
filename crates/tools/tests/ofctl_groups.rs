//! Our ovs-ofctl beside C's: groups, meters, queues, tables, maps and bundles on C's switch, and frames without any.
//!
//! Where it sits: `ofctl.rs` does flows. Commands that change the switch are played in full by C on one switch and by us on
//! another, and compared line by line of the script.

use std::process::Command;

use testkit::{Ran, Suite, SwitchUnderTest};

const OURS: &str = env!("CARGO_BIN_EXE_ovs-ofctl");

/// One command a line; words are separated by blanks, and `DIR` is the switch's folder.
const SCRIPT: &str = include_str!("ofctl_groups.txt");

const FILES: [(&str, &str); 3] = [
    (
        "groups",
        "group_id=3,type=all,bucket=1\n# c\nadd group_id=4,type=indirect,bucket=2\nmodify group_id=3,type=all,bucket=5\n",
    ),
    ("buckets", "delete group_id=3\ninsert_bucket group_id=4,command_bucket_id=last,bucket=5\n"),
    (
        "mixed",
        "flow add in_port=1,actions=2\ngroup add group_id=1,type=all,bucket=1\ngroup group_id=2,type=all,bucket=1\nflow in_port=3,actions=drop\nflow delete in_port=3\npacket-out in_port=1 packet=0011223344556677889900112233 actions=2\n",
    ),
];

fn start(suite: &Suite) -> SwitchUnderTest {
    let switch = SwitchUnderTest::started(suite, &["--enable-dummy", "--disable-system"]);
    let all = "protocols=[OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15]";
    switch.ok(
        suite,
        "ovs-vsctl",
        &["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure", all],
    );
    for (port, number) in [("p1", "ofport_request=1"), ("p2", "ofport_request=2")] {
        switch.ok(
            suite,
            "ovs-vsctl",
            &["add-port", "br0", port, "--", "set", "interface", port, "type=dummy", number],
        );
    }
    for (name, text) in FILES {
        std::fs::write(switch.path(name), text).unwrap();
    }
    switch
}

/// Takes out what differs from run to run: transaction ids, ages, log lines, the bytes that hold such ids, folders, and the
/// order of groups, which is that of a table with a random seed.
fn normal(text: &str, dir: &str) -> String {
    let kept = |line: &&str| !line.contains("|WARN|") && !line.starts_with("0000");
    let is_group = |line: &String| line.starts_with(" group_id=");
    let mut lines = Vec::new();
    for line in text.lines().filter(kept) {
        let mut line = line.replace(dir, "DIR");
        for (key, end) in [(" (xid=0x", ')'), ("duration=", 's'), ("duration:", 's')] {
            while let Some(at) = line.find(key) {
                let tail = line[at..].find(end).map_or(line.len(), |n| at + n);
                line.replace_range(at..tail, "~");
            }
        }
        lines.push(line + "\n");
    }
    lines.chunk_by_mut(|a, b| is_group(a) && is_group(b)).for_each(<[String]>::sort);
    lines.concat()
}

fn play(switch: &SwitchUnderTest, suite: Option<&Suite>) -> Vec<(String, Ran)> {
    let dir = switch.path("");
    let dir = dir.trim_end_matches('/');
    let run = |line: &str| {
        let line = line.replace("DIR", dir);
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = match suite {
            Some(suite) => switch.command(suite, "ovs-ofctl"),
            None => {
                let mut command = Command::new(OURS);
                switch.environment(&mut command);
                command
            }
        };
        let ran: Ran = command.args(words).output().unwrap().into();
        Ran { stdout: normal(&ran.stdout, dir), stderr: normal(&ran.stderr, dir), ..ran }
    };
    SCRIPT.lines().filter(|l| !l.is_empty()).map(|line| (line.to_owned(), run(line))).collect()
}

#[test]
fn a_script_of_changes_reads_as_in_c() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    let theirs = play(&start(&suite), Some(&suite));
    let ours = play(&start(&suite), None);
    assert!(theirs.iter().any(|(_, ran)| ran.stdout.contains("OFPST_GROUP_DESC reply")));
    for ((line, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        assert_eq!(ours, theirs, "{line}");
    }
}

/// Runs a command that needs no switch by both.
#[track_caller]
fn same(suite: &Suite, args: &[&str]) {
    let theirs: Ran = suite.command("ovs-ofctl").args(args).output().unwrap().into();
    let ours: Ran = Command::new(OURS).args(args).output().unwrap().into();
    let errors = |ran: &Ran| {
        let lines = ran.stderr.lines().filter(|l| !l.contains("|WARN|"));
        lines.map(|l| l[l.find("ovs-ofctl: ").unwrap_or(0)..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ours.stdout, theirs.stdout, "{args:?}");
    assert_eq!(errors(&ours), errors(&theirs), "{args:?}");
    assert_eq!(ours.status, theirs.status, "{args:?}");
}

#[test]
fn texts_of_groups() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    for group in include_str!("groups.txt").lines() {
        for version in ["OpenFlow10", "OpenFlow11", "OpenFlow13", "OpenFlow15"] {
            same(&suite, &["-O", version, "parse-group", group]);
        }
    }
}

#[test]
fn frames_from_flows() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    for flow in [
        "tcp,nw_src=1.2.3.4",
        "ip",
        "nw_src=1.2.3.4",
        "tcp,tp_src=5,tp_src=6",
        "dl_vlan=5,tcp",
        "in_port=p1,tcp",
        "tcp tcp",
        "tcp,nw_src=1.2.3.0/24",
        "mpls,mpls_label=5",
        "udp6",
        "icmp,icmp_type=8",
        "",
        "dl_type=0x1234",
        "tcp,foo=1",
        "reg0=5",
        "tcp,tcp_flags=+syn",
        "tcp,tcp_flags=2",
        "ip,nw_frag=later",
        "rarp",
        "arp,arp_spa=1.2.3.4,arp_op=1",
        "dl_vlan=1,dl_vlan_pcp=3,ip",
        "icmp6,icmp_type=135,nd_target=fe80::1",
        "reg0=5,in_port=3,dl_type=0x800",
    ] {
        same(&suite, &["compose-packet", flow]);
        same(&suite, &["compose-packet", flow, "01020304"]);
    }
    same(&suite, &["compose-packet", "tcp", "xx"]);
    same(&suite, &["parse-pcap", "/nonexistent"]);
}

#[test]
fn a_capture_reads_as_the_flow_that_made_it() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    let dir = testkit::Scratch::new();
    let path = dir.join("capture").display().to_string();
    let flow = "udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1,tp_dst=2";
    let made = Command::new(OURS).args(["compose-packet", "--pcap", flow]).output().unwrap();
    std::fs::write(&path, made.stdout).unwrap();
    same(&suite, &["parse-pcap", &path]);
}

#[test]
fn vlans_in_every_version() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    for tci in ["0000", "1000", "f000", "0123", "1123", "9000", "e000"] {
        for mask in ["0000", "1fff", "ffff", "1000", "f000", "e000", "0fff", "9cb4"] {
            let (value, bits) =
                (u16::from_str_radix(tci, 16).unwrap(), u16::from_str_radix(mask, 16).unwrap());
            same(&suite, &["check-vlan", &format!("{:04x}", value & bits), mask]);
        }
    }
    for text in ["a=b,c(d),e:f", "a=(b,c),d->e", "a=b, c=d e", "x(y)z", "a)(", "=", "a((b)c)=d"] {
        same(&suite, &["parse-key-value", text]);
    }
}
