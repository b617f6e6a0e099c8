//! `sample`, `debug_recirc` and `debug_slow`: what controllers are told, what traces say and what becomes of packets, as the C switch has it.

use e2e::{assert_alike, numberless, ours, timeless};
use testkit::{Suite, SwitchUnderTest, oracle};

/// `br0` with three dummies, a tunnel and a patch to `br1`.
const BRIDGES: &str = "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure \
    -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 \
    -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2 \
    -- add-port br0 p3 -- set interface p3 type=dummy ofport_request=3 \
    -- add-port br0 t1 -- set interface t1 type=vxlan options:remote_ip=1.1.2.92 ofport_request=7 \
    -- add-br br1 -- set bridge br1 datapath_type=dummy fail-mode=secure \
    -- add-port br0 to1 -- set interface to1 type=patch options:peer=to0 ofport_request=8 \
    -- add-port br1 to0 -- set interface to0 type=patch options:peer=to1";

const FLOWS: [&str; 26] = [
    "in_port=1,udp,actions=sample(probability=32768,collector_set_id=1,obs_domain_id=10,obs_point_id=20),2",
    "in_port=1,tcp,actions=sample(probability=65535,collector_set_id=1,obs_domain_id=10,obs_point_id=20,sampling_port=2,egress),2",
    "in_port=1,icmp,actions=set_field:1.2.3.4->ip_dst,sample(probability=100,collector_set_id=5,sampling_port=1,ingress),set_field:1.2.3.5->ip_dst,2",
    "in_port=1,sctp,actions=2,sample(probability=65535,collector_set_id=1)",
    "in_port=1,udp6,actions=sample(probability=1,sampling_port=77),2",
    "in_port=1,tcp6,actions=sample(probability=1,sampling_port=in_port),sample(probability=1,sampling_port=8),2",
    "in_port=1,icmp6,actions=clone(sample(probability=9,sampling_port=LOCAL),load:5->reg1),2",
    "in_port=1,sctp6,actions=set_field:5->tun_id,sample(probability=65535,collector_set_id=1,sampling_port=7,egress),2",
    "in_port=3,ipv6,actions=sample(probability=65535,collector_set_id=5,sampling_port=7),2",
    "in_port=3,ip,actions=sample(probability=65535,sampling_port=7),2",
    "in_port=1,arp,actions=group:1",
    "in_port=2,udp,actions=2,debug_recirc,3",
    "in_port=2,tcp,actions=set_field:1.2.3.4->ip_src,load:5->reg1,debug_recirc,move:reg1->ip_dst[0..31],3",
    "in_port=2,icmp,actions=resubmit(,1),debug_recirc,2,write_actions(output:1)",
    "in_port=2,ip,nw_proto=50,actions=push_vlan:0x8100,set_field:0x1005->vlan_vid,debug_recirc,pop_vlan,3",
    "in_port=2,arp,actions=debug_recirc",
    "in_port=2,ip,nw_proto=51,actions=debug_slow,set_field:9.9.9.9->ip_dst,3",
    "in_port=2,udp6,actions=debug_slow,load:5->reg1,debug_recirc,debug_slow,3",
    "in_port=2,tcp6,actions=3,resubmit(,3)",
    "table=3,actions=debug_slow,1",
    "table=1,actions=3,debug_recirc,load:7->reg3,resubmit(,2)",
    "table=2,reg3=7,actions=1",
    "actions=sample(probability=0)",
    "actions=sample(collector_set_id=1)",
    "actions=sample(probability=65536)",
    "actions=write_actions(sample(probability=1))",
];

/// Packets, of which traces tell, at each state of the database.
const PACKETS: [&str; 19] = [
    "in_port=1,udp",
    "in_port=1,tcp",
    "in_port=1,icmp",
    "in_port=1,sctp",
    "in_port=1,udp6",
    "in_port=1,tcp6",
    "in_port=1,icmp6",
    "in_port=1,sctp6",
    "in_port=1,arp",
    "in_port=3,udp6",
    "in_port=3,udp",
    "in_port=2,udp",
    "in_port=2,tcp",
    "in_port=2,icmp",
    "in_port=2,ip,nw_proto=50",
    "in_port=2,arp",
    "in_port=2,ip,nw_proto=51",
    "in_port=2,udp6",
    "in_port=2,tcp6",
];

/// What is done to the database, one after the other.
const ROWS: [&str; 5] = [
    "--id=@br1 get bridge br1 -- --id=@i create ipfix targets=\"127.0.0.1:4739\" -- create flow_sample_collector_set id=1 bridge=@br1 ipfix=@i",
    "--id=@br0 get bridge br0 -- create flow_sample_collector_set id=2 bridge=@br0",
    "--id=@br0 get bridge br0 -- --id=@i create ipfix targets=\"127.0.0.1:4739\" -- create flow_sample_collector_set id=1 bridge=@br0 ipfix=@i",
    "--all destroy flow_sample_collector_set",
    "--id=@br0 get bridge br0 -- --id=@i create ipfix targets=\"127.0.0.1:4739\" other_config:enable-tunnel-sampling=false -- create flow_sample_collector_set id=5 bridge=@br0 ipfix=@i",
];

/// The tree, the megaflow and the actions of a trace, without what is numbered in the order of its making.
fn traced(suite: &Suite, pair: &SwitchUnderTest, packet: &str) -> String {
    let text = pair.ok(suite, "ovs-appctl", &["ofproto/trace", "br0", packet]);
    // The flow at its end has in C what a sample looked at of a tunnel.
    let shown = |line: &&str| !line.starts_with("Final flow: ");
    text.lines().filter(shown).map(|line| format!("{}\n", numberless(line))).collect()
}

fn packet(port: u32, proto: u8) -> String {
    format!(
        "in_port({port}),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),\
         ipv4(src=192.168.0.1,dst=192.168.0.2,proto={proto},tos=0,ttl=33,frag=no)"
    )
}

fn drive(suite: &Suite) -> Vec<(String, String)> {
    let pair =
        SwitchUnderTest::started(suite, &["--enable-dummy", "--disable-system", "--disable-system-route"]);
    pair.ok(suite, "ovs-vsctl", &BRIDGES.split_whitespace().collect::<Vec<_>>());
    let mut said = Vec::new();
    let mut step = |program: &str, words: &[&str]| {
        let ran = pair.run(suite, program, words);
        // The bytes of what is refused have the number of the message.
        let shown = |line: &&str| !line.contains("|WARN|") && !line.starts_with("0000");
        let errors: String = ran.stderr.lines().filter(shown).map(timeless).collect();
        said.push((words.join(" "), format!("{:?} {}\n{errors}", ran.status, timeless(&ran.stdout))));
    };
    let of13 = |words: &'static str| ["-OOpenFlow13"].into_iter().chain(words.split_whitespace());
    let group = "add-group br0 group_id=1,type=all,bucket=sample(probability=1),debug_recirc,output:2,bucket=output:3";
    step("ovs-ofctl", &of13(group).collect::<Vec<_>>());
    for flow in FLOWS {
        step("ovs-ofctl", &["-OOpenFlow13", "add-flow", "br0", flow]);
    }
    // C's ovs-ofctl does not read what it writes of actions for debugging.
    step("ovs-ofctl", &["-OOpenFlow13", "--no-stats", "--sort", "dump-flows", "br0", "in_port=1"]);
    let mut traces = |state: &str| {
        for packet in PACKETS {
            said.push((format!("{packet} {state}"), traced(suite, &pair, packet)));
        }
    };
    traces("at first");
    for rows in ROWS {
        pair.ok(suite, "ovs-vsctl", &rows.split_whitespace().collect::<Vec<_>>());
        traces(rows);
    }
    for port in ["p1", "p2", "p3"] {
        let capture = format!("options:tx_pcap={}", pair.path(&format!("{port}.pcap")));
        pair.ok(suite, "ovs-vsctl", &["set", "interface", port, &capture]);
    }
    for (port, proto) in
        [(1, 17), (1, 6), (1, 1), (2, 17), (2, 6), (2, 1), (2, 50), (2, 51), (2, 51), (2, 51)]
    {
        let device = format!("p{port}");
        pair.ok(suite, "ovs-appctl", &["netdev-dummy/receive", &device, &packet(port, proto)]);
    }
    for (port, least) in [("p1", 2), ("p2", 3), ("p3", 7)] {
        let mut frames = Vec::new();
        pair.await_true("every packet has left", || {
            frames = e2e::captured(&pair.path(&format!("{port}.pcap")));
            frames.len() >= least
        });
        said.push((format!("packets by {port}"), frames.join("\n")));
    }
    pair.ok(suite, "ovs-appctl", &["revalidator/wait"]);
    let dump = pair.ok(suite, "ovs-appctl", &["dpctl/dump-flows"]);
    let slow = dump.lines().filter(|line| line.contains("slow_path"));
    // Keys have another order since 3.2, and times are times.
    let parts = slow.map(|line| line.split(", ").filter(|part| !part.starts_with("used:")).skip(1));
    said.push(("slow".into(), parts.map(|parts| parts.collect::<Vec<_>>().join(", ")).collect()));
    let counts = ["-OOpenFlow13", "dump-aggregate", "br0", "in_port=2,ip,nw_proto=51"];
    said.push(("counted".into(), timeless(&pair.ok(suite, "ovs-ofctl", &counts))));
    said
}

#[test]
fn samples_and_debugging_are_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    assert_alike(drive(&ours), drive(&c));
}
