//! What options make of `dpctl/dump-flows`: the same as in Open vSwitch, but for values that do not matter.

use e2e::{assert_alike, dummy_bridge, ours};
use testkit::{Suite, oracle};

const PORTS: &str = "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 -- add-port br0 p2 -- \
    set interface p2 type=dummy ofport_request=2";

const RULES: [&str; 3] = [
    "in_port=p1,tcp,tp_dst=80,actions=p2",
    "in_port=p1,udp,actions=ct(commit,zone=3),p2",
    "in_port=p1,udp6,tp_src=0x10/0xfff0,actions=sample(probability=32768,collector_set_id=1),mod_nw_ttl:7,p2",
];

const ETH: &str = "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07)";

const DUMPS: &[&str] = &[
    "dump-flows",
    "dump-flows --names",
    "dump-flows --names --no-names",
    "dump-flows -m",
    "dump-flows --more --no-names",
    "dump-flows -m --names dummy@ovs-dummy",
    "dump-flows -x",
    "dump-flows filter=tcp",
    "dump-flows filter=udp",
    "dump-flows filter=udp6",
    "dump-flows filter=udp6,tp_src=0x13",
    "dump-flows filter=udp6,tp_src=0x20",
    "dump-flows filter=tcp,tp_dst=80",
    "dump-flows filter=tcp,tp_dst=81",
    "dump-flows filter=tcp,tp_src=81",
    "dump-flows filter=in_port=1",
    "dump-flows filter=in_port=p1",
    "dump-flows filter=in_port=2",
    "dump-flows filter=in_port=nosuch",
    "dump-flows filter=nw_dst=10.0.0.1",
    "dump-flows filter=ip,nw_dst=10.0.0.0/8",
    "dump-flows filter=ip,nw_dst=10.0.0.1",
    "dump-flows filter=arp",
    "dump-flows filter=dl_vlan=5",
    "dump-flows filter=recirc_id=3",
    "dump-flows filter=metadata=5",
    "dump-flows filter=",
    "dump-flows filter=junk",
    "dump-flows filter=table=3,tcp",
    "dump-flows filter=ct_state=+trk",
    "dump-flows type=ovs",
    "dump-flows type=tc",
    "dump-flows type=dpdk",
    "dump-flows type=offloaded",
    "dump-flows type=non-offloaded",
    "dump-flows type=partially-offloaded",
    "dump-flows type=all",
    "dump-flows type=",
    "dump-flows type=tc,ovs",
    "dump-flows type=tc,dpdk",
    "dump-flows type=foo",
    "dump-flows pmd=-1",
    "dump-flows pmd=0",
    "dump-flows pmd=-1x",
    "dump-flows pmd=x",
    "dump-flows pmd=",
    "dump-flows dummy@ovs-dummy filter=tcp type=ovs pmd=-1",
    "dump-flows -m type=ovs filter=udp",
    "dump-flows foo=bar",
    "dump-flows filter=tcp filter=udp",
];

/// A mask that lets everything through.
fn is_zero(mask: &str) -> bool {
    !mask.is_empty() && mask.chars().all(|c| matches!(c, '0' | '.' | ':'))
}

/// A word of a flow, without a value that does not matter.
fn known(word: &str) -> String {
    match word.split_once('/') {
        Some((before, mask)) if is_zero(mask) => {
            let name = before.split_once('=').map_or("", |(name, _)| name);
            format!("{name}=/{mask}")
        }
        _ => word.to_owned(),
    }
}

/// A line in the order of Open vSwitch 3.1 and of later versions alike; without what two runs never agree on.
fn settled(line: &str) -> String {
    let mut words = Vec::new();
    for part in line.split(", ") {
        let skipped = ["ufid:", "used:", "packets:", "bytes:", "dp-extra-info:"];
        match part.split_once(':') {
            Some((name, _)) if skipped.contains(&format!("{name}:").as_str()) => {
                words.push(format!("{name}:"))
            }
            Some(("actions", actions)) => words.push(format!("actions:{actions}")),
            _ => {
                let mut groups: Vec<String> = part
                    .split_inclusive(')')
                    .map(|group| {
                        let group = group.trim_start_matches(',').trim_end_matches(')');
                        let (name, inside) = group.split_once('(').unwrap_or((group, ""));
                        format!("{name}({})", inside.split(',').map(known).collect::<Vec<_>>().join(","))
                    })
                    .collect();
                groups.sort();
                words.push(groups.join(","));
            }
        }
    }
    words.retain(|word| word != "dp-extra-info:");
    words.join(", ")
}

fn dumps(suite: &Suite) -> Vec<(String, String)> {
    let pair = dummy_bridge(suite, &PORTS.split_whitespace().collect::<Vec<_>>());
    // However long the dumps take, none of the megaflows is idle for too long.
    pair.ok(suite, "ovs-vsctl", &["set", "Open_vSwitch", ".", "other_config:max-idle=3600000"]);
    for rule in RULES {
        pair.ok(suite, "ovs-ofctl", &["add-flow", "br0", rule]);
    }
    let ipv4 = "eth_type(0x0800),ipv4(src=192.168.0.1,dst=192.168.0.2,proto=PROTO,tos=0,ttl=64,frag=no)";
    let ipv6 = "eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,label=0,proto=17,tclass=0,hlimit=64,frag=no)";
    for packet in [
        format!("{ETH},{},tcp(src=8,dst=80)", ipv4.replace("PROTO", "6")),
        format!("{ETH},{},udp(src=8,dst=9)", ipv4.replace("PROTO", "17")),
        format!("{ETH},{ipv6},udp(src=16,dst=9)"),
    ] {
        pair.ok(suite, "ovs-appctl", &["netdev-dummy/receive", "p1", &packet]);
    }
    let dump = |line: &&str| {
        let words = format!("dpctl/{line}");
        let ran = pair.run(suite, "ovs-appctl", &words.split(' ').collect::<Vec<_>>());
        let mut lines: Vec<String> = ran.stdout.lines().map(settled).collect();
        lines.extend(ran.stderr.lines().filter(|l| !l.contains("server returned")).map(str::to_owned));
        lines.sort();
        ((*line).to_owned(), format!("{:?}\n{}", ran.status, lines.join("\n")))
    };
    DUMPS.iter().map(dump).collect()
}

#[test]
fn dumps_with_options_are_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let said = dumps(&ours);
    assert!(said[0].1.lines().count() >= 4, "{}", said[0].1);
    assert_alike(said, dumps(&c));
}
