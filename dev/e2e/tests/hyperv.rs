//! A Hyper-V switch with the driver, simulated in real time, under a real ovs-vswitchd and its tools.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use e2e::{SWITCH, answer_in_b, machines, probe, system};
use testkit::{Suite, SwitchUnderTest, skip};

/// Our programs with the simulation; None, after reporting the skip, while one of them does not exist.
fn ours() -> Option<Suite> {
    testkit::ours(&[&SWITCH[..], &["hyperv-sim", "oxvs"]].concat())
}

/// Starts the simulation with both machines and an adapter of the host's own, and waits for its device.
fn start_hyperv(pair: &SwitchUnderTest, suite: &Suite) -> Child {
    let mut command = pair.command(suite, "hyperv-sim");
    command.args(["host", "--device", &pair.path("ovsext.dev"), "--own", "br0=10.0.0.9/24"]);
    command.args(["--vm", "vm-a=port-a", "--vm", "vm-b=port-b"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut line = String::new();
    let out = child.stdout.as_mut().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("it says that it is ready");
    assert_eq!(line, "ready\n");
    child
}

/// Both machines at a bridge of the driver's datapath, to which nobody added them.
fn two_machines(suite: &Suite) -> (SwitchUnderTest, Child) {
    machines();
    let mut pair = SwitchUnderTest::new(suite);
    let hyperv = start_hyperv(&pair, suite);
    pair.start_database();
    pair.ok(suite, "ovs-vsctl", &["--no-wait", "init"]);
    pair.start_switch(&[]);
    let bridge =
        "add-br br0 -- set bridge br0 datapath_type=system fail_mode=secure other_config:auto-add-vifs=true";
    run(&pair, suite, "ovs-vsctl", bridge);
    run(&pair, suite, "ovs-vsctl", "wait-until interface vm-a ofport>0");
    run(&pair, suite, "ovs-vsctl", "wait-until interface vm-b ofport>0");
    (pair, hyperv)
}

#[track_caller]
fn run(pair: &SwitchUnderTest, suite: &Suite, program: &str, words: &str) -> String {
    pair.ok(suite, program, &words.split_whitespace().collect::<Vec<_>>())
}

/// Ends the simulation as an administrator would: the driver is unloaded, and what it leaves behind fails it.
#[track_caller]
fn end(mut hyperv: Child) {
    system(&format!("kill -TERM {}", hyperv.id()));
    let status = hyperv.wait().expect("our child");
    assert!(status.success(), "{status}");
}

#[test]
fn machines_become_ports_by_themselves_and_talk() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let (pair, hyperv) = two_machines(&suite);
    let marked = run(&pair, &suite, "ovs-vsctl", "get port vm-a external_ids:auto-added");
    assert_eq!(marked, "\"true\"\n");
    let mut answering = answer_in_b(&suite);
    assert!(!probe(&suite, "ping 10.0.0.2"), "no rule, and a ping is answered");
    run(&pair, &suite, "ovs-ofctl", "add-flow br0 actions=NORMAL");
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    assert!(probe(&suite, "tcp 10.0.0.2 80"), "TCP\n{}", pair.logs());
    assert!(probe(&suite, "udp 10.0.0.2 53"), "UDP\n{}", pair.logs());
    assert!(probe(&suite, "ping 10.0.0.9"), "the host's own address\n{}", pair.logs());
    // Rules with connections: the tracker is the driver's.
    let ofctl = |words: &str| run(&pair, &suite, "ovs-ofctl", words);
    ofctl("del-flows br0");
    ofctl("add-flow br0 priority=9,arp,actions=normal");
    ofctl("add-flow br0 ip,in_port=vm-a,actions=ct(commit,zone=7),output:vm-b");
    ofctl("add-flow br0 table=0,ip,in_port=vm-b,actions=ct(table=1,zone=7)");
    ofctl("add-flow br0 table=1,ct_state=+trk+est,ip,actions=output:vm-a");
    pair.await_true("TCP goes by rules", || probe(&suite, "tcp 10.0.0.2 80"));
    let connections = run(&pair, &suite, "ovs-appctl", "dpctl/dump-conntrack");
    assert!(connections.contains("tcp,orig=(src=10.0.0.1,dst=10.0.0.2"), "{connections}");
    let flows = run(&pair, &suite, "ovs-appctl", "dpctl/dump-flows");
    assert!(flows.contains("actions:ct(commit,zone=7),") && flows.contains("recirc("), "{flows}");
    // Packets of installed flows are counted at the rules, so that they are not taken for idle.
    pair.await_true("the rules count", || !ofctl("dump-flows br0 table=1").contains("n_packets=0,"));
    answering.kill().expect("our child");
    answering.wait().expect("our child");
    end(hyperv);
}

#[test]
fn the_switch_outlives_a_lost_device() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let (pair, mut hyperv) = two_machines(&suite);
    run(&pair, &suite, "ovs-ofctl", "add-flow br0 actions=NORMAL");
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    let ports = run(&pair, &suite, "ovs-appctl", "dpctl/show");
    let ports: Vec<&str> = ports.lines().filter(|line| line.contains("  port ")).collect();
    hyperv.kill().expect("our child");
    hyperv.wait().expect("our child");
    assert!(!probe(&suite, "ping 10.0.0.2"), "nobody is there to carry it");
    let shown = run(&pair, &suite, "ovs-vsctl", "list-ports br0");
    assert_eq!(shown, "vm-a\nvm-b\n", "rows stay");
    let hyperv = start_hyperv(&pair, &suite);
    pair.await_true("a ping is answered again", || probe(&suite, "ping 10.0.0.2"));
    let again = run(&pair, &suite, "ovs-appctl", "dpctl/show");
    assert_eq!(again.lines().filter(|line| line.contains("  port ")).collect::<Vec<_>>(), ports);
    end(hyperv);
}

#[test]
fn the_demonstration_plays_with_hyperv() {
    let Some(suite) = ours() else { return };
    if let Err(why) = testkit::sandbox::available() {
        skip!("{why}");
    }
    let out = suite.command("oxvs").args(["demo", "--hyperv", "linked-in"]).output().expect("oxvs starts");
    let said = String::from_utf8_lossy(&out.stdout);
    let complained = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}\n{complained}");
    assert!(said.contains("Everything happened as expected"), "{said}");
    assert!(
        said.contains("no rule broken, nothing left behind"),
        "the driver's life is not told of:\n{said}"
    );
}
