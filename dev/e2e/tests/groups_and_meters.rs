//! Groups and meters: what controllers are told of them, and what becomes of packets, as the C switch has it.

use e2e::{assert_alike, dummy_bridge, ours, timeless};
use testkit::{Suite, oracle};

const PORTS: &str = "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 -- add-port br0 p2 -- set interface p2 type=dummy \
    ofport_request=2 -- add-port br0 p3 -- set interface p3 type=dummy ofport_request=3";

const OFCTL: [&str; 22] = [
    "add-group br0 group_id=1,type=all,bucket=output:2,bucket=output:3",
    "add-group br0 group_id=2,type=indirect,bucket=set_field:00:00:00:00:00:09->eth_dst,output:2",
    "add-group br0 group_id=3,type=ff,bucket=watch_port:2,output:2,bucket=watch_port:3,output:3",
    "add-group br0 group_id=1,type=all,bucket=output:2",
    "mod-group br0 group_id=9,type=all,bucket=output:2",
    "add-group br0 group_id=4,type=all,bucket=group:1",
    "add-flow br0 in_port=1,udp,actions=group:1",
    "add-flow br0 in_port=1,tcp,actions=group:2",
    "add-flow br0 in_port=1,icmp,actions=group:3",
    "add-flow br0 in_port=1,arp,actions=group:77",
    "dump-groups br0",
    "dump-group-features br0",
    "add-meter br0 meter=1,pktps,burst,stats,band=type=drop,rate=1,burst_size=2",
    "add-meter br0 meter=2,kbps,bands=type=drop,rate=100",
    "add-meter br0 meter=1,pktps,bands=type=drop,rate=1",
    "add-meter br0 meter=0,pktps,bands=type=drop,rate=1",
    "mod-meter br0 meter=7,pktps,bands=type=drop,rate=1",
    "add-flow br0 in_port=2,actions=meter:1,output:3",
    "add-flow br0 in_port=3,actions=meter:9,output:1",
    "dump-meters br0",
    "meter-features br0",
    "del-meter br0 meter=2",
];

/// The same of 1.5, in which a meter is an action among others; buckets carry out what an action set may hold.
const OFCTL15: [&str; 10] = [
    "add-group br0 group_id=5,type=all,bucket=meter:1,output:2",
    "add-group br0 group_id=6,type=all,bucket=output:2,meter:1",
    "add-group br0 group_id=6,type=all,bucket=meter:1,meter:2,output:2",
    "add-group br0 group_id=7,type=all,bucket=delete_field:eth_src,learn(table=3),exit,clone(output:3),ct_clear,output:2",
    "add-group br0 group_id=8,type=all,bucket=goto_table:3",
    "add-flow br0 actions=delete_field:eth_src,output:2",
    "add-flow br0 actions=clone(meter:1,output:2)",
    "add-flow br0 actions=ct(exec(meter:1))",
    "dump-groups br0 5",
    "dump-groups br0 7",
];

fn drive(suite: &Suite) -> Vec<(String, String)> {
    let pair = dummy_bridge(suite, &PORTS.split_whitespace().collect::<Vec<_>>());
    let mut said = Vec::new();
    let mut step = |program: &str, words: &str| {
        let ran = pair.run(suite, program, &words.split_whitespace().collect::<Vec<_>>());
        let mut lines: Vec<String> = timeless(&ran.stdout).lines().map(str::to_owned).collect();
        // Groups come in any order; how long a port has been there depends on the machine.
        lines.sort();
        lines.retain(|line| !line.trim_start().starts_with("duration="));
        // Which transaction failed depends on what else the tool asks; its log goes to the terminal only in one of them.
        let errors: String =
            ran.stderr.lines().filter(|line| !line.contains("|WARN|")).map(timeless).collect();
        said.push((words.to_owned(), format!("{:?} {}\n{errors}", ran.status, lines.join("\n"))));
    };
    step("ovs-appctl", "time/stop");
    for words in OFCTL {
        step("ovs-ofctl", &format!("-O OpenFlow13 {words}"));
    }
    for words in OFCTL15 {
        step("ovs-ofctl", &format!("-O OpenFlow15 {words}"));
    }
    step("ovs-ofctl", "-O OpenFlow14 add-group br0 group_id=9,type=all,bucket=meter:1,output:2");
    for group in [5, 7] {
        step(
            "ovs-ofctl",
            &format!("-O OpenFlow13 add-flow br0 table=9,in_port={group},actions=group:{group}"),
        );
        step("ovs-ofctl", &format!("-O OpenFlow13 add-flow br0 in_port={group},actions=resubmit(,9)"));
        step("ovs-appctl", &format!("ofproto/trace br0 in_port={group},tcp"));
    }
    for (port, proto) in [("p1", 17), ("p1", 6), ("p1", 1), ("p2", 17), ("p2", 17), ("p2", 17), ("p2", 17)] {
        let ip = format!("ipv4(src=10.0.0.1,dst=10.0.0.2,proto={proto},tos=0,ttl=64,frag=no)");
        let eth = "eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0800)";
        step("ovs-appctl", &format!("netdev-dummy/receive {port} in_port(1),{eth},{ip}"));
    }
    step("ovs-appctl", "revalidator/wait");
    for words in [
        "--sort dump-flows br0",
        "dump-group-stats br0",
        "meter-stats br0",
        "dump-ports br0 2",
        "dump-ports br0 3",
    ] {
        step("ovs-ofctl", &format!("-O OpenFlow13 {words}"));
    }
    step("ovs-ofctl", "-O OpenFlow13 del-groups br0 group_id=1");
    step("ovs-ofctl", "-O OpenFlow13 del-meters br0");
    step("ovs-ofctl", "-O OpenFlow13 --sort --no-stats dump-flows br0");
    said
}

#[test]
fn groups_and_meters_are_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    assert_alike(drive(&ours), drive(&c));
}
