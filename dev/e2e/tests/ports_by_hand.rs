//! Ports put into a datapath and taken out by hand: the same answers as Open vSwitch's, and the same ports afterwards.

use e2e::{assert_alike, dummy_bridge, ours};
use testkit::{Suite, oracle};

const PORTS: &str = "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1";

/// Commands after `dpctl/`, in order; what fails fails in both. DP stands for the datapath.
const COMMANDS: [&str; 56] = [
    "add-if",
    "add-if DP",
    "add-if nosuch q1",
    "add-if nosuch@x q1",
    "add-if DP q1,type=dummy",
    "add-if DP q2,type=dummy,port_no=9 q3,type=dummy,port_no=9 q2,type=dummy",
    "add-if DP p1,type=dummy",
    "add-if DP p1,type=dummy,port_no=1",
    "add-if DP p1,type=foo",
    "add-if DP q4,type=foo q5,type=dummy q6,type=foo",
    "add-if DP q6,type=dummy,port_no=x",
    "add-if DP q6,type=dummy,port_no=-1",
    "add-if DP q7,type=dummy,port_no=7x q8,type=dummy,port_no=7",
    "add-if DP ,",
    "set-if",
    "set-if nosuch q1",
    "set-if DP p1,type=dummy,port_no=1",
    "set-if DP p1,type=internal",
    "set-if DP p1,type=",
    "set-if DP p1,port_no=x",
    "set-if DP p1,port_no=-1",
    "set-if DP zz p1,port_no=10 p1,type=a,port_no=4 p1,port_no=7,type=a",
    "set-if DP ,type=dummy",
    "set-if DP ,",
    "set-if DP , p1,type=a zz",
    "set-if ovs-dummy p1",
    "add-if ovs-dummy q1",
    "del-if ovs-dummy q1",
    "show ovs-dummy",
    "show nosuch",
    "show nosuch@ovs-dummy",
    "ct-get-nconns ovs-dummy",
    "del-if",
    "del-if nosuch q1",
    "del-if DP 9 zz 77",
    "del-if DP ovs-dummy 0 0x2 -1 4294967295",
    "del-if DP ,",
    "del-if DP p1",
    "del-if DP p1",
    "add-if DP p1,type=dummy",
    "del-if DP br0",
    "add-dp",
    "add-dp dummy@foo q9,type=dummy q9,type=dummy",
    "add-dp dummy@foo",
    "add-dp foo",
    "add-dp x@y",
    "add-dp bar q20,type=dummy",
    "add-dp dummy@ok ,",
    "ct-get-nconns",
    "add-if dummy@foo q10,type=dummy",
    "del-dp",
    "del-dp nosuch",
    "del-dp x@y",
    "del-dp foo",
    "del-dp dummy@foo",
    "del-dp DP",
];

/// What is said of each datapath, in the order of their names.
fn sorted(shown: &str) -> String {
    let mut each: Vec<String> = Vec::new();
    for line in shown.lines() {
        match each.last_mut().filter(|_| line.starts_with(' ')) {
            Some(last) => *last += &format!("{line}\n"),
            None => each.push(format!("{line}\n")),
        }
    }
    each.sort();
    each.concat()
}

/// What each command says, and which ports there are after it.
fn answers(suite: &Suite) -> Vec<(String, String)> {
    let pair = dummy_bridge(suite, &PORTS.split_whitespace().collect::<Vec<_>>());
    let run = |line: &&str| {
        let words = format!("dpctl/{}", line.replace("DP", "dummy@ovs-dummy"));
        let ran = pair.run(suite, "ovs-appctl", &words.split(' ').collect::<Vec<_>>());
        // The last line names the socket.
        let stderr: Vec<&str> = ran.stderr.lines().filter(|l| !l.contains("server returned")).collect();
        let ports = sorted(&pair.ok(suite, "ovs-appctl", &["dpctl/show"]))
            + &pair.ok(suite, "ovs-appctl", &["dpif/show"]);
        let said = format!("{:?} {}{}\n{ports}", ran.status, ran.stdout, stderr.join("\n"));
        ((*line).to_owned(), said)
    };
    COMMANDS.iter().map(run).collect()
}

#[test]
fn commands_about_ports_answer_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    assert_alike(answers(&ours), answers(&c));
}
