//! Connection tracking zones: limits and timeouts, by commands and out of the database.

use e2e::{dummy_bridge, ours};
use testkit::{Suite, SwitchUnderTest, oracle};

const PORTS: &str = "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 \
    -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2";

/// Commands after `dpctl/`, in order; what fails fails in both.
const COMMANDS: [&str; 25] = [
    "ct-get-limits",
    "ct-set-limits default=10 zone=5,limit=3 zone=7,limit=0",
    "ct-get-limits",
    "ct-get-limits zone=5",
    "ct-get-limits zone=5,7,9",
    "ct-get-limits zone=5,zone=7",
    "ct-set-limits",
    "ct-set-limits zone=5",
    "ct-set-limits zone=70000,limit=1",
    "ct-set-limits limit=5",
    "ct-set-limits zone=x,limit=5",
    "ct-set-limits zone=8,limit=5 default=2",
    "ct-set-limits zone=8,limit=5,foo=3",
    "ct-get-limits",
    "ct-set-limits netdev@ovs-netdev zone=8,limit=5",
    "ct-set-limits dummy@ovs-dummy zone=8,limit=5",
    "ct-get-limits",
    "ct-del-limits zone=8",
    "ct-del-limits zone=8",
    "ct-del-limits",
    "ct-del-limits zone=5,7",
    "ct-get-limits dummy@ovs-dummy zone=7",
    "ct-get-limits x",
    "ct-del-limits zone=9",
    "ct-get-limits",
];

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn bridge(suite: &Suite) -> SwitchUnderTest {
    dummy_bridge(suite, &words(PORTS))
}

/// What each command says. Open vSwitch 3.1 shows the default also where it was not asked for.
fn answers(suite: &Suite) -> Vec<String> {
    let pair = bridge(suite);
    let run = |text: &str| {
        let ran = pair.run(suite, "ovs-appctl", &words(&format!("dpctl/{text}")));
        let asks_zone = text.starts_with("ct-get-limits") && text.contains("zone=");
        let shown = ran.stdout.lines().filter(|l| !(asks_zone && l.starts_with("default")));
        // The last line names the socket.
        let errors = ran.stderr.lines().filter(|l| !l.contains("server returned"));
        let lines: Vec<&str> = shown.chain(errors).collect();
        format!("{text}: {:?} {}", ran.status, lines.join("\n"))
    };
    COMMANDS.iter().map(|text| run(text)).collect()
}

#[test]
fn limits_answer_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    for (ours, theirs) in answers(&ours).iter().zip(&answers(&c)) {
        assert_eq!(ours, theirs);
    }
}

/// The row for a datapath of dummies.
const DATAPATH: &str =
    "-- --id=@dp create Datapath datapath_version=0 -- set Open_vSwitch . datapaths:dummy=@dp";
/// A UDP packet to a port.
const PACKET: &str = "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),\
    ipv4(src=192.168.0.1,dst=192.168.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=8,dst=9)";

/// Actions of traces with a policy and without, and a connection's timeout.
fn timeouts(suite: &Suite) -> Vec<String> {
    let pair = bridge(suite);
    let ok = |program: &str, text: &str| pair.ok(suite, program, &words(text));
    ok("ovs-vsctl", DATAPATH);
    ok("ovs-vsctl", "add-zone-tp dummy zone=5 udp_first=100 tcp_syn_sent=10 icmp_reply=7");
    ok("ovs-ofctl", "add-flow br0 in_port=1,ip,actions=ct(commit,zone=5),2");
    ok("ovs-ofctl", "add-flow br0 in_port=2,ip,actions=ct(zone=5,table=1)");
    let trace = |packet: &str| {
        let text = ok("ovs-appctl", &format!("ofproto/trace br0 {packet}"));
        text.lines().find(|l| l.starts_with("Datapath actions")).unwrap_or_default().to_owned()
    };
    let mut out: Vec<String> =
        ["in_port=1,udp", "in_port=1,tcp", "in_port=1,icmp", "in_port=2,tcp", "in_port=1,sctp"]
            .iter()
            .map(|packet| trace(packet))
            .collect();
    pair.ok(suite, "ovs-appctl", &["netdev-dummy/receive", "p1", PACKET]);
    let mut connection = String::new();
    pair.await_true("there is a connection", || {
        connection = ok("ovs-appctl", "dpctl/dump-conntrack -s");
        connection.contains("timeout=")
    });
    let left = connection.split_once("timeout=").and_then(|(_, rest)| rest.trim().parse().ok());
    out.push(format!("{}", left.is_some_and(|left: u32| (60..=100).contains(&left))));
    ok("ovs-vsctl", "del-zone-tp dummy zone=5");
    out.push(trace("in_port=1,udp"));
    out
}

#[test]
fn timeout_policies_reach_connections_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let (ours, theirs) = (timeouts(&ours), timeouts(&c));
    assert_eq!(ours, theirs);
    assert!(ours[0].contains("timeout=1") && ours[5] == "true", "{ours:?}");
}

#[test]
fn limits_of_the_database_are_its_alone() {
    let Some(suite) = ours() else { return };
    let pair = bridge(&suite);
    let ok = |program: &str, text: &str| pair.ok(&suite, program, &words(text));
    ok("ovs-appctl", "dpctl/ct-set-limits zone=1,limit=9");
    ok("ovs-vsctl", DATAPATH);
    ok("ovs-vsctl", "set-zone-limit dummy 5 2 -- set-zone-limit dummy default 7");
    let shown = "default limit=7\nzone=1,limit=9,count=0\nzone=5,limit=2,count=0\n";
    assert_eq!(ok("ovs-appctl", "dpctl/ct-get-limits"), shown);
    let refused = pair.run(&suite, "ovs-appctl", &words("dpctl/ct-set-limits zone=5,limit=9"));
    assert!(
        refused.stderr.contains("ovs-vsctl") && refused.stderr.contains("not permitted"),
        "{}",
        refused.stderr
    );
    ok("ovs-ofctl", "add-flow br0 udp,actions=ct(commit,zone=5),2");
    for port in 1..=4 {
        let packet = PACKET.replace("dst=9", &format!("dst={port}"));
        pair.ok(&suite, "ovs-appctl", &["netdev-dummy/receive", "p1", &packet]);
    }
    pair.await_true("no more connections than there may be", || {
        ok("ovs-appctl", "coverage/read-counter conntrack_zone_full").trim() == "2"
    });
    assert_eq!(ok("ovs-appctl", "dpctl/ct-get-limits zone=5"), "zone=5,limit=2,count=2\n");
    ok("ovs-vsctl", "del-zone-limit dummy 5 -- del-zone-limit dummy default");
    assert_eq!(ok("ovs-appctl", "dpctl/ct-get-limits"), "default limit=0\nzone=1,limit=9,count=0\n");
    ok("ovs-appctl", "dpctl/ct-del-limits zone=1");
}
