//! Megaflows put in by hand: the same answers and the same dumps as Open vSwitch's.

use e2e::{dummy_bridge, ours};
use testkit::{Suite, oracle};

const PORTS: &str = "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 \
    -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2";

/// Commands after `dpctl/`, in order; what fails fails in both.
const COMMANDS: [&[&str]; 38] = [
    &["add-flow", "in_port(1),eth_type(0x0800),ipv4()", "2"],
    &["add-flow", "in_port(1),eth_type(0x0800),ipv4()", "2"],
    &["mod-flow", "in_port(1),eth_type(0x0800),ipv4()", "3"],
    &["mod-flow", "in_port(2),eth_type(0x0800),ipv4()", "3"],
    &["mod-flow", "--may-create", "in_port(2),eth_type(0x0800),ipv4()", "3"],
    &["mod-flow", "-s", "in_port(2),eth_type(0x0800),ipv4()", "4"],
    &["del-flow", "-s", "in_port(1),eth_type(0x0800),ipv4()"],
    &["del-flow", "in_port(1),eth_type(0x0800),ipv4()"],
    &[
        "add-flow",
        "ufid:00000000-0000-0000-0000-000000000005 in_port(1),eth_type(0x0806),arp(sip=1.2.3.4)",
        "2",
    ],
    &["get-flow", "ufid:00000000-0000-0000-0000-000000000005"],
    &["get-flow", "ufid:00000000-0000-0000-0000-000000000007"],
    &["del-flow", "ufid:00000000-0000-0000-0000-000000000005"],
    &["del-flow", "ufid:zz"],
    &["add-flow", "in_port(9", "2"],
    &["add-flow", "in_port(1),eth_type(0x0800),ipv4(frob=1)", "2"],
    &["add-flow", "in_port(1),eth_type(0x0800),ipv4()", "frob(2)"],
    &["add-flow", "nope", "in_port(1),eth_type(0x0800),ipv4()", "2"],
    &[
        "add-flow",
        "in_port(p1),eth(src=02:00:00:00:00:00/ff:ff:ff:00:00:00),eth_type(0x0800),ipv4(src=10.0.0.0/255.0.0.0,proto=6),\
         tcp(dst=256/0xff00)",
        "set(ipv4(src=1.2.3.4,ttl=5)),set(tcp(src=5)),set(eth(src=00:00:00:00:00:09)),2",
    ],
    &[
        "add-flow",
        "in_port(1),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(src=1),tcp_flags(+syn-ack)",
        "tnl_push(tnl_port(4),header(size=50,type=4,eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,dl_type=0x0800),\
         ipv4(src=1.1.2.88,dst=1.1.2.92,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=4789,csum=0x0),\
         vxlan(flags=0x8000000,vni=0x7b)),out_port(100)),2",
    ],
    &[
        "add-flow",
        "in_port(1),eth_type(0x86dd),ipv6(src=2001::/ffff::,label=0x5,proto=58,tclass=0x3/0xf,hlimit=5,frag=later)",
        "set(ipv6(src=2001::1,label=0x5,hlimit=4)),set(skb_priority(0x5)),set(skb_mark(0x3/0xf)),2",
    ],
    &["del-flow", "in_port(2),eth_type(0x0800),ipv4()"],
    &["add-flow", "in_port(2),eth_type(0x0806),arp(sip=1.2.3.4)", "set(arp(op=2,sha=00:00:00:00:00:01)),2"],
    &["del-flow", "in_port(2),eth_type(0x0806),arp(sip=1.2.3.4)"],
    &["add-flow", "in_port(2),eth_type(0x0800),ipv4(proto=5)", "userspace(pid=0,slow_path(action))"],
    &[
        "add-flow",
        "in_port(2),eth_type(0x0800),ipv4(proto=7)",
        "ct(commit,zone=5,nat(src=10.0.0.1-10.0.0.9:1-5)),2",
    ],
    &[
        "add-flow",
        "in_port(2),eth_type(0x0800),ipv4(proto=2)",
        "sample(sample=33.3%,actions(2)),clone(3),trunc(99),2",
    ],
    &["add-flow", "in_port(2),eth_type(0x0800),ipv4(proto=3)", "check_pkt_len(size=100,gt(2),le(drop))"],
    &["add-flow", "in_port(2),eth_type(0x0800),ipv4(proto=4)", "drop"],
    &["parse-actions", "set(eth(src=1:2:3:4:5:6)),2"],
    &["parse-actions", "frob"],
    &["add-flows", "/nonexistent/flows"],
    &["del-flows"],
    &["del-flow", "in_port(2),eth_type(0x0800),ipv4(proto=4)"],
    &["add-flow", "in_port(2),eth_type(0x0800),ipv4(tos=0/0xfc)", "2"],
    &["del-flows"],
    &[
        "add-flow",
        "packet_type(ns=1,id=0x8847),in_port(1),eth_type(0x8847),mpls(label=19,tc=0,ttl=64,bos=0,label=20,tc=1,ttl=64,bos=1)",
        "2",
    ],
    &[
        "add-flow",
        "packet_type(ns=1,id=0x8847),in_port(1),eth_type(0x8847),mpls(label=20/0xfffff,tc=0/0,ttl=0/0x0,bos=1/1)",
        "2",
    ],
    &["add-flow", "packet_type(ns=1,id=0x8847),in_port(1),eth_type(0x8847),mpls(lse0=0x17140)", "2"],
];

/// What each command says, and what is there after it.
fn answers(suite: &Suite) -> Vec<String> {
    let pair = dummy_bridge(suite, &PORTS.split_whitespace().collect::<Vec<_>>());
    pair.ok(suite, "ovs-appctl", &["revalidator/pause"]);
    let run = |args: &[&str]| {
        let name = format!("dpctl/{}", args[0]);
        let ran = pair.run(suite, "ovs-appctl", &[&[name.as_str()], &args[1..]].concat());
        // The last line names the socket.
        let stderr: String =
            ran.stderr.lines().filter(|l| !l.contains("server returned")).map(|l| format!("{l}\n")).collect();
        let dump = pair.ok(suite, "ovs-appctl", &["dpctl/dump-flows"]);
        let mut lines: Vec<&str> = dump.lines().collect();
        lines.sort_unstable();
        format!("{}\n{:?} {}{stderr}{}", args.join(" "), ran.status, ran.stdout, lines.join("\n"))
    };
    COMMANDS.iter().map(|args| run(args)).collect()
}

#[test]
fn commands_about_megaflows_answer_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let (ours, theirs) = (answers(&ours), answers(&c));
    let wrong = ours.iter().zip(&theirs).filter(|(a, b)| a != b);
    let wrong: Vec<String> = wrong.map(|(a, b)| format!("ours:   {a}\ntheirs: {b}\n")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Thirty flows where ten may be: each is installed, the rules' counters miss nothing, and flows in use stay.
#[test]
fn a_full_table_makes_room_and_loses_no_count() {
    let Some(suite) = ours() else { return };
    let pair = dummy_bridge(&suite, &PORTS.split_whitespace().collect::<Vec<_>>());
    let step =
        |program: &str, words: &str| pair.ok(&suite, program, &words.split_whitespace().collect::<Vec<_>>());
    step("ovs-vsctl", "set Open_vSwitch . other_config:flow-limit=10");
    for port in 0..30 {
        step("ovs-ofctl", &format!("add-flow br0 in_port=1,udp,tp_dst={port},actions=2"));
    }
    for _ in 0..3 {
        for port in 0..30 {
            let packet = format!(
                "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),\
                 ipv4(src=192.168.0.1,dst=192.168.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=8,dst={port})"
            );
            pair.ok(&suite, "ovs-appctl", &["netdev-dummy/receive", "p1", &packet]);
        }
    }
    let evicted = || step("ovs-appctl", "coverage/read-counter datapath_flow_evicted").trim().parse::<u64>();
    pair.await_true("every packet is counted", || {
        let dump = step("ovs-ofctl", "dump-flows br0");
        dump.matches("n_packets=3,").count() == 30
    });
    assert!(evicted().is_ok_and(|n| n >= 20), "{evicted:?}", evicted = evicted());
    assert!(step("ovs-appctl", "dpctl/dump-flows").matches("actions:").count() <= 10);
    assert!(step("ovs-appctl", "upcall/show").contains("(limit 10)"));
}
