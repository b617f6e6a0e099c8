//! A Hyper-V switch with the driver, simulated in real time, under a real ovs-vswitchd and its tools.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Stdio};

use e2e::{SWITCH, answer_in_b, machines, probe, system};
use testkit::{Suite, SwitchUnderTest, skip};

/// Our programs with the simulation; None, after reporting the skip, while one of them does not exist.
fn ours() -> Option<Suite> {
    testkit::ours(&[&SWITCH[..], &["hyperv-sim", "oxvs"]].concat())
}

/// The simulation.
struct HyperV {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl HyperV {
    /// Starts it with these machines and an adapter of the host's own, and waits for its device.
    fn start(pair: &SwitchUnderTest, suite: &Suite, machines: &[&str]) -> HyperV {
        let mut command = pair.command(suite, "hyperv-sim");
        command.args([
            "host",
            "--device",
            &pair.path("ovsext.dev"),
            "--own",
            "br0=10.0.0.9/24",
            "--commands",
        ]);
        machines.iter().for_each(|machine| {
            command.args(["--vm", machine]);
        });
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut hyperv = HyperV { child, said };
        assert_eq!(hyperv.line(), "ready\n");
        hyperv
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it says something");
        line
    }

    /// Does what an administrator would.
    #[track_caller]
    fn administer(&mut self, command: &str) {
        assert_eq!(self.tell(command), "done\n", "{command}");
    }

    fn tell(&mut self, command: &str) -> String {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{command}").expect("it listens");
        self.line()
    }
}

/// Both machines.
const BOTH: [&str; 2] = ["vm-a=port-a", "vm-b=port-b"];

/// Both machines at a bridge of the driver's datapath, to which nobody added them.
fn two_machines(suite: &Suite) -> (SwitchUnderTest, HyperV) {
    let (pair, hyperv) = with_machines(suite, &BOTH);
    run(&pair, suite, "ovs-vsctl", "wait-until interface vm-a ofport>0");
    run(&pair, suite, "ovs-vsctl", "wait-until interface vm-b ofport>0");
    (pair, hyperv)
}

/// A bridge of the driver's datapath in which machines' adapters become ports by themselves.
fn with_machines(suite: &Suite, plugged: &[&str]) -> (SwitchUnderTest, HyperV) {
    machines();
    let mut pair = SwitchUnderTest::new(suite);
    let hyperv = HyperV::start(&pair, suite, plugged);
    pair.start_database();
    pair.ok(suite, "ovs-vsctl", &["--no-wait", "init"]);
    pair.start_switch(&[]);
    let bridge =
        "add-br br0 -- set bridge br0 datapath_type=system fail_mode=secure other_config:auto-add-vifs=true";
    run(&pair, suite, "ovs-vsctl", bridge);
    (pair, hyperv)
}

#[track_caller]
fn run(pair: &SwitchUnderTest, suite: &Suite, program: &str, words: &str) -> String {
    pair.ok(suite, program, &words.split_whitespace().collect::<Vec<_>>())
}

/// Ends the simulation as an administrator would: the driver is unloaded, and what it leaves behind fails it.
#[track_caller]
fn end(HyperV { mut child, .. }: HyperV) {
    system(&format!("kill -TERM {}", child.id()));
    let status = child.wait().expect("our child");
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
    hyperv.child.kill().expect("our child");
    hyperv.child.wait().expect("our child");
    assert!(!probe(&suite, "ping 10.0.0.2"), "nobody is there to carry it");
    let shown = run(&pair, &suite, "ovs-vsctl", "list-ports br0");
    assert_eq!(shown, "vm-a\nvm-b\n", "rows stay");
    let hyperv = HyperV::start(&pair, &suite, &BOTH);
    pair.await_true("a ping is answered again", || probe(&suite, "ping 10.0.0.2"));
    let again = run(&pair, &suite, "ovs-appctl", "dpctl/show");
    assert_eq!(again.lines().filter(|line| line.contains("  port ")).collect::<Vec<_>>(), ports);
    end(hyperv);
}

#[test]
fn machines_come_go_and_move_while_the_switch_runs() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let (pair, mut hyperv) = with_machines(&suite, &BOTH[..1]);
    let vsctl = |words: &str| run(&pair, &suite, "ovs-vsctl", words);
    vsctl("wait-until interface vm-a ofport>0");
    run(&pair, &suite, "ovs-ofctl", "add-flow br0 actions=NORMAL");
    pair.await_true("the host answers", || probe(&suite, "ping 10.0.0.9"));
    assert!(!probe(&suite, "ping 10.0.0.2"), "nobody is there");
    assert_eq!(vsctl("list-ports br0"), "vm-a\n");
    hyperv.administer("plug vm-b=port-b");
    vsctl("wait-until interface vm-b ofport>0");
    let number = vsctl("get interface vm-b ofport");
    pair.await_true("a machine that came is answered", || probe(&suite, "ping 10.0.0.2"));
    for (command, why) in
        [("plug vm-b=port-b", "there is one of this name"), ("unplug vm-c", "no such machine")]
    {
        let said = hyperv.tell(command);
        assert!(said.starts_with("cannot: ") && said.contains(why), "{said}");
    }
    hyperv.administer("unplug vm-b");
    assert!(!probe(&suite, "ping 10.0.0.2"), "its machine is gone");
    assert!(probe(&suite, "ping 10.0.0.9"), "others stay\n{}", pair.logs());
    // It comes back at another port of the switch, as one that was moved away and back.
    hyperv.administer("plug vm-b=port-b");
    pair.await_true("a machine that came back is answered", || probe(&suite, "ping 10.0.0.2"));
    assert_eq!(vsctl("get interface vm-b ofport"), number);
    end(hyperv);
}

#[test]
fn vlan_policies_put_machines_into_vlans() {
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let (pair, mut hyperv) = two_machines(&suite);
    run(&pair, &suite, "ovs-ofctl", "add-flow br0 actions=NORMAL");
    pair.await_true("a ping is answered", || probe(&suite, "ping 10.0.0.2"));
    hyperv.administer("access vm-b 5");
    assert!(!probe(&suite, "ping 10.0.0.2"), "one is in VLAN 5");
    let drops = run(&pair, &suite, "ovs-appctl", "dpctl/show-drops");
    assert!(drops.contains("datapath_drop_foreign_vlan"), "{drops}");
    hyperv.administer("access vm-a 5");
    pair.await_true("both are in VLAN 5", || probe(&suite, "ping 10.0.0.2"));
    assert!(!probe(&suite, "ping 10.0.0.9"), "the host is not");
    let flows = run(&pair, &suite, "ovs-appctl", "dpctl/dump-flows");
    assert!(flows.contains("vlan(vid=5"), "{flows}");
    hyperv.administer("access vm-a 0");
    hyperv.administer("access vm-b 0");
    pair.await_true("neither is any more", || probe(&suite, "ping 10.0.0.2"));
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
