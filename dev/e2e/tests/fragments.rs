//! Fragments through connection tracking, beside Open vSwitch: what comes out, what is counted, what waits.

use e2e::{captured, dummy_bridge, ours};
use testkit::{Suite, SwitchUnderTest, oracle, packet, to_hex};

const PORTS: &str = "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 \
    -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2";

/// Commands after `dpctl/`, in order; what fails fails in both.
const COMMANDS: [&str; 21] = [
    "ipf-get-status",
    "ipf-get-status -m",
    "ipf-set-enabled v4",
    "ipf-set-disabled v6",
    "ipf-get-status",
    "ipf-set-enabled v6",
    "ipf-set-enabled x",
    "ipf-set-enabled",
    "ipf-set-min-frag v4 399",
    "ipf-set-min-frag v4 65536",
    "ipf-set-min-frag v6 400",
    "ipf-set-min-frag v4 x",
    "ipf-set-min-frag v4",
    "ipf-set-min-frag x 500",
    "ipf-set-min-frag v4 400",
    "ipf-set-max-nfrags 5001",
    "ipf-set-max-nfrags 5000",
    "ipf-set-max-nfrags x",
    "ipf-set-max-nfrags nosuch 5",
    "ipf-set-max-nfrags dummy@ovs-dummy 6",
    "ipf-get-status dummy@ovs-dummy",
];

/// What is not tracked leaves with another TOS.
const FLOWS: [&str; 7] = [
    "table=0,in_port=1,ip,actions=ct(table=1,zone=3)",
    "table=0,in_port=1,ipv6,actions=ct(table=1,zone=4)",
    "table=0,in_port=2,ip,actions=ct(table=1,zone=3,nat)",
    "table=1,in_port=1,ip,ct_state=+new+trk,actions=ct(commit,zone=3,nat(src=10.9.0.9)),2",
    "table=1,in_port=1,ipv6,ct_state=+new+trk,actions=ct(commit,zone=4),2",
    "table=1,ip,ct_state=+inv+trk,actions=mod_nw_tos:4,2",
    "table=1,in_port=2,ip,ct_state=+est+trk,actions=1",
];

const THERE: &str = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2";
const BACK: &str = "eth 02:00:00:00:00:02 > 02:00:00:00:00:01 / ip 10.0.0.2 > 10.9.0.9";
const SIX: &str = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 2001::1 > 2001::2 / frag";

/// Packets: the port, the bytes before the fragment, and what of the datagram it is.
const PACKETS: [(&str, &str, &str); 22] = [
    ("p1", THERE, "id 7 mf proto 17 / hex 03e8003507080000 / count 1192"),
    ("p1", THERE, "id 7 off 1200 proto 17 / count 600 from 1192"),
    ("p2", BACK, "id 9 off 1200 proto 17 / count 100 from 1192"),
    ("p2", BACK, "id 9 mf proto 17 / hex 003503e805140000 / count 1192"),
    // The same twice, overlapping, and too small.
    ("p1", THERE, "id 8 mf proto 17 / hex 03e9003503280000 / count 792"),
    ("p1", THERE, "id 8 mf proto 17 / hex 03e9003503280000 / count 792"),
    ("p1", THERE, "id 8 off 400 mf proto 17 / count 800"),
    ("p1", THERE, "id 8 off 800 mf proto 17 / count 80"),
    ("p1", THERE, "id 8 off 800 proto 17 / count 8 from 792"),
    // From behind.
    ("p1", THERE, "id 10 off 1600 proto 17 / count 8 from 1592"),
    ("p1", THERE, "id 10 off 800 mf proto 17 / count 800 from 792"),
    ("p1", THERE, "id 10 mf proto 17 / hex 03ea003506480000 / count 792"),
    ("p1", SIX, "id 7 off 1280 / count 16"),
    ("p1", SIX, "id 7 mf / count 1280"),
    // What never becomes whole.
    ("p1", SIX, "id 8 mf / count 1280"),
    ("p1", THERE, "id 11 off 800 mf proto 17 / count 800"),
    ("p1", THERE, "id 12 off 800 proto 17 / count 800"),
    ("p1", THERE, "id 13 mf proto 17 / count 800"),
    ("p1", THERE, "id 13 off 1600 proto 17 / count 800"),
    // Too many wait.
    ("p1", THERE, "id 14 mf proto 17 / count 800"),
    ("p1", THERE, "id 15 mf proto 17 / count 808"),
    ("p1", THERE, "id 15 off 1600 mf proto 17 / count 800"),
];

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn bridge(suite: &Suite) -> SwitchUnderTest {
    dummy_bridge(suite, &words(PORTS))
}

fn answer(pair: &SwitchUnderTest, suite: &Suite, text: &str) -> String {
    let ran = pair.run(suite, "ovs-appctl", &words(&format!("dpctl/{text}")));
    // The last line names the socket.
    let errors = ran.stderr.lines().filter(|l| !l.contains("server returned"));
    let lines: Vec<&str> = ran.stdout.lines().chain(errors).collect();
    format!("{text}: {:?}\n{}", ran.status, lines.join("\n"))
}

#[test]
fn commands_answer_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let answers = |suite: &Suite| {
        let pair = bridge(suite);
        COMMANDS.map(|text| answer(&pair, suite, text))
    };
    for (ours, theirs) in answers(&ours).iter().zip(&answers(&c)) {
        assert_eq!(ours, theirs);
    }
}

/// What both ports sent, and what the status says afterwards.
fn passed(suite: &Suite) -> (Vec<String>, Vec<String>, String) {
    let pair = bridge(suite);
    for port in ["p1", "p2"] {
        let option = format!("options:tx_pcap={}", pair.path(&format!("{port}.pcap")));
        pair.ok(suite, "ovs-vsctl", &["set", "interface", port, &option]);
    }
    for flow in FLOWS {
        pair.ok(suite, "ovs-ofctl", &["add-flow", "br0", flow]);
    }
    for setting in ["ipf-set-min-frag v4 400", "ipf-set-max-nfrags 7"] {
        pair.ok(suite, "ovs-appctl", &words(&format!("dpctl/{setting}")));
    }
    pair.ok(suite, "ovs-appctl", &["time/stop"]);
    for (port, start, rest) in PACKETS {
        let hex = to_hex(&packet(&format!("{start} {rest}")));
        pair.ok(suite, "ovs-appctl", &["netdev-dummy/receive", port, &hex]);
    }
    let status = answer(&pair, suite, "ipf-get-status -m");
    // Lists are in an order of each suite's own.
    let mut lines: Vec<_> = status.lines().collect();
    lines.sort_unstable();
    let sent = |port: &str| captured(&pair.path(&format!("{port}.pcap")));
    (sent("p1"), sent("p2"), lines.join("\n"))
}

#[test]
fn fragments_pass_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let (ours, theirs) = (passed(&ours), passed(&c));
    assert_eq!(ours.0, theirs.0);
    assert_eq!(ours.1, theirs.1);
    assert_eq!(ours.2, theirs.2);
    assert_eq!(ours.0.len(), 2);
}
