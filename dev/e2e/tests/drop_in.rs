//! Programs of the C suite drive ours, ours drive theirs, and both say the same.

use e2e::{TOOLS, dummy_bridge, ours, timeless};
use testkit::{Ran, Suite, SwitchUnderTest, oracle};

/// Flows whose dumps must read the same from either suite.
const FLOWS: [&str; 12] = [
    "priority=100,arp,actions=NORMAL",
    "table=0,priority=90,ip,actions=ct(table=1,zone=1)",
    "table=1,priority=100,ip,ct_state=+trk+inv,actions=drop",
    "table=1,priority=90,ip,ct_state=+trk+est,actions=NORMAL",
    "table=1,priority=50,tcp,ct_state=+trk+new,nw_src=10.0.0.1,tp_dst=22,actions=ct(commit,zone=1),output:1",
    "table=1,priority=50,udp,ct_state=+trk+new,tp_dst=53,actions=ct(commit,zone=1,exec(load:1->NXM_NX_CT_MARK[])),2",
    "priority=7,in_port=1,dl_vlan=10,dl_vlan_pcp=3,actions=strip_vlan,output:2",
    "priority=8,in_port=2,dl_vlan=0xffff,actions=mod_vlan_vid:10,output:1",
    "cookie=0x1234,priority=9,ipv6,ipv6_dst=fe80::/10,actions=load:0x5->NXM_NX_REG0[],resubmit(,2)",
    "table=2,reg0=5,actions=move:NXM_NX_REG0[0..15]->NXM_NX_REG1[],LOCAL",
    "priority=10,icmp,icmp_type=8,icmp_code=0,idle_timeout=60,hard_timeout=600,actions=dec_ttl,CONTROLLER:128",
    "priority=11,tcp,tp_src=0x400/0xfc00,actions=ct(commit,nat(src=10.0.0.240-10.0.0.250:1024-2048)),FLOOD",
];

fn drive(daemons: &Suite, tools: &Suite) -> Vec<(String, Ran)> {
    let pair = dummy_bridge(daemons, &[]);
    let mut said = Vec::new();
    let mut step = |program: &str, args: &[&str]| {
        said.push((format!("{program} {}", args.join(" ")), pair.run(tools, program, args)));
    };
    for port in ["p1", "p2"] {
        let request = format!("ofport_request={}", &port[1..]);
        step("ovs-vsctl", &["add-port", "br0", port, "--", "set", "interface", port, "type=dummy", &request]);
    }
    step("ovs-vsctl", &["list-br"]);
    step("ovs-vsctl", &["list-ports", "br0"]);
    step("ovs-vsctl", &["port-to-br", "p2"]);
    step("ovs-vsctl", &["get", "interface", "p2", "ofport"]);
    step("ovs-vsctl", &["set", "port", "p1", "tag=10"]);
    step("ovs-vsctl", &["--columns=name,tag", "find", "port", "tag=10"]);
    step("ovs-vsctl", &["br-exists", "br9"]);
    step("ovs-vsctl", &["del-br", "br9"]);
    for flow in FLOWS {
        step("ovs-ofctl", &["add-flow", "br0", flow]);
    }
    for version in ["OpenFlow10", "OpenFlow13", "OpenFlow15"] {
        step("ovs-ofctl", &["-O", version, "--sort", "dump-flows", "br0"]);
    }
    step("ovs-ofctl", &["dump-flows", "br0", "table=1,udp"]);
    step("ovs-ofctl", &["mod-flows", "br0", "table=2,actions=drop"]);
    step("ovs-ofctl", &["--strict", "del-flows", "br0", "priority=100,arp"]);
    step("ovs-ofctl", &["--sort", "--no-stats", "dump-flows", "br0"]);
    step("ovs-ofctl", &["add-flow", "br0", "tcp,tp_dst=70000,actions=drop"]);
    step("ovs-ofctl", &["add-flow", "br0", "nonsense=1,actions=drop"]);
    step("ovs-appctl", &["-t", "ovs-vswitchd", "no/such/command"]);
    said
}

#[track_caller]
fn compare(what: &str, ours: &[(String, Ran)], theirs: &[(String, Ran)]) {
    // Since 3.4 answers come without a newline at their end, and only newer clients add it.
    let shape = |ran: &Ran| (ran.status, timeless(&ran.stdout), ran.stderr.replace('\n', ""));
    let differences: Vec<String> = ours
        .iter()
        .zip(theirs)
        .filter(|((_, ours), (_, theirs))| shape(ours) != shape(theirs))
        .map(|((step, ours), (_, theirs))| {
            format!("{step}\n  ours:   {:?}\n  theirs: {:?}", shape(ours), shape(theirs))
        })
        .collect();
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

#[test]
fn their_tools_drive_our_daemons() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    compare("C tools on our daemons", &drive(&ours, &c), &drive(&c, &c));
}

#[test]
fn our_tools_drive_their_daemons() {
    let (Some(ours), Some(c)) = (testkit::ours(&TOOLS), oracle()) else { return };
    compare("our tools on C daemons", &drive(&c, &ours), &drive(&c, &c));
}

#[test]
fn version_is_answered() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let pair = SwitchUnderTest::started(&ours, &e2e::DUMMY);
    for tools in [&ours, &c] {
        let said = pair.ok(tools, "ovs-appctl", &["-t", "ovs-vswitchd", "version"]);
        assert!(said.starts_with("ovs-vswitchd (Open vSwitch) "), "{said}");
    }
}

#[test]
fn packets_through_the_dummy_datapath() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let scenario = |suite: &Suite| {
        let ports = "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 -- add-port br0 p2 -- set interface p2 \
            type=dummy ofport_request=2";
        let pair = dummy_bridge(suite, &ports.split_whitespace().collect::<Vec<_>>());
        let ok = |program: &str, args: &[&str]| pair.ok(suite, program, args);
        ok("ovs-appctl", &["time/stop"]);
        ok("ovs-ofctl", &["add-flow", "br0", "in_port=1,ip,actions=dec_ttl,output:2"]);
        ok("ovs-ofctl", &["add-flow", "br0", "in_port=2,ip,idle_timeout=10,actions=output:1"]);
        let frame =
            "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2 ttl 9 / udp 1 > 2 / pad 60";
        let frame = testkit::to_hex(&testkit::packet(frame));
        ok("ovs-appctl", &["netdev-dummy/receive", "p1", &frame, &frame]);
        ok("ovs-appctl", &["time/warp", "2000", "100"]);
        ok("ovs-appctl", &["revalidator/wait"]);
        let counted = timeless(&ok("ovs-ofctl", &["--sort", "dump-flows", "br0"]));
        let trace = ok("ovs-appctl", &["ofproto/trace", "br0", "in_port=1,udp,nw_ttl=9,nw_src=10.0.0.1"]);
        ok("ovs-appctl", &["time/warp", "20000", "1000"]);
        let expired = timeless(&ok("ovs-ofctl", &["--sort", "dump-flows", "br0"]));
        [counted, trace, expired]
    };
    let (ours, theirs) = (scenario(&ours), scenario(&c));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert!(ours[0].contains("n_packets=2") && !ours[2].contains("idle_timeout"));
}
