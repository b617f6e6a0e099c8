//! Ports and dummy devices: what is asked of them, what is refused, and in which words, as the C programs have it.

use e2e::{dummy_bridge, ours};
use testkit::{Ran, Suite, oracle};

const ETH: &str = "eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07)";

/// Command lines in order; `;` separates arguments.
fn steps() -> Vec<String> {
    let receive = |what: &str| format!("ovs-appctl;netdev-dummy/receive;p1;{what}");
    let flow = |rest: &str| receive(&format!("in_port(1),{ETH},{rest}"));
    let vsctl = |words: &str| format!("ovs-vsctl;{}", words.replace(' ', ";"));
    let mut steps =
        vec![vsctl("add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 options:pcap=p1.pcap")];
    for len in ["60", "64", "59", "0", "-1", "x", "9000"] {
        steps.push(flow(&format!("eth_type(0x1234);--len;{len}")));
    }
    let v4 = |proto: &str, rest: &str| {
        flow(&format!(
            "eth_type(0x0800),ipv4(src=192.168.0.1,dst=192.168.0.2,proto={proto},tos=3,ttl=64,frag=no){rest}"
        ))
    };
    steps.extend([
        v4("1", ",icmp(type=8,code=0)"),
        v4("1", ",icmp(type=3,code=1)"),
        v4("6", ",tcp(src=8,dst=10),tcp_flags(syn|ack)"),
        v4("6", ",tcp(src=8,dst=10)"),
        v4("6", ",tcp(src=8,dst=10);--len;128"),
        v4("17", ",udp(src=8,dst=10)"),
        v4("2", ""),
        v4("47", ""),
        flow("eth_type(0x0806),arp(sip=1.2.3.4,tip=5.6.7.8,op=1,sha=00:0f:02:03:04:05,tha=00:00:00:00:00:00)"),
        flow(
            "eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,label=0x12,proto=58,tclass=0,hlimit=255,frag=no),icmpv6(type=135,code=0),\
             nd(target=::1,sll=00:05:31:41:59:26)",
        ),
        flow(
            "eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,label=0,proto=58,tclass=0,hlimit=255,frag=no),icmpv6(type=128,code=0)",
        ),
        flow("eth_type(0x8100),vlan(vid=99,pcp=7),encap(eth_type(0x88cc))"),
        flow("eth_type(0x1234)junk"),
        flow("eth_type(0x800),ipv4(src=1.2.3)"),
        receive("in_port(p1),eth_type(0x1234)"),
        receive("in_port(1),nonsense(5)"),
        receive("50540000000"),
        receive("--qid;0;5054000000075054000000051234"),
        receive("--qid;5;5054000000075054000000051234"),
        "ovs-appctl;netdev-dummy/receive;nope;5054000000075054000000051234".into(),
        "ovs-appctl;netdev-dummy/set-admin-state;p1;down".into(),
        "ovs-appctl;netdev-dummy/set-admin-state;p1;sideways".into(),
        "ovs-appctl;netdev-dummy/ip4addr;p1;1.2.3.4/33".into(),
    ]);
    let more = [
        "get interface p1 statistics",
        "set interface p1 mtu_request=9000 -- set interface br0 mtu_request=1400",
        "get interface p1 mtu -- get interface br0 mtu",
        "set bridge br0 other-config:hwaddr=aa:55:aa:55:00:77",
        "get interface br0 mac_in_use",
        "add-port br0 int0 -- set interface int0 type=internal mac=\"00:11:22:33:44:66\"",
        "get interface int0 mac_in_use",
        "get bridge br0 datapath_id",
        "add-port br0 dup -- set interface dup type=dummy ofport_request=1",
        "get interface dup ofport",
        "set interface dup ofport_request=7",
        "get interface dup ofport",
        "add-port br0 bad -- set interface bad type=nonesuch",
        "get interface bad ofport error",
        "add-br br1 -- set bridge br1 datapath_type=dummy",
        "add-port br1 p1",
        "--may-exist add-port br0 p1",
        "add-port br0 pat0 -- set interface pat0 type=patch options:peer=pat1 -- add-port br1 pat1 -- set interface pat1 type=patch \
         options:peer=pat0",
    ];
    steps.extend(more.map(vsctl));
    steps.push("ovs-appctl;dpif/show".into());
    let patches = [
        "set interface pat0 options:peer=pat0",
        "get interface pat0 error",
        "clear interface pat0 options",
        "get interface pat0 error",
        "del-br br1",
        "list-ports br0",
    ];
    steps.extend(patches.map(vsctl));
    steps.push("ovs-appctl;dpif/show".into());
    steps
}

/// Exit status, standard output and standard error, as far as they are compared.
type Said = (Option<i32>, String, String);

/// What is said, but for what two runs or two versions never agree on.
fn shape(ran: &Ran) -> Said {
    let lines = |text: &str| {
        let counts = |line: &str| match line.split_once(" hit:") {
            Some((datapath, _)) => datapath.to_owned(),
            None => line.to_owned(),
        };
        let kept = text.lines().filter(|line| !line.contains("The default log directory"));
        kept.map(|line| counts(line) + "\n").collect::<String>()
    };
    // Since 3.6 a transaction whose reconfiguration failed is told by its status; Debian's 3.1 says only text.
    let status = if ran.status == Some(65) { Some(0) } else { ran.status };
    (
        status,
        lines(&ran.stdout),
        ran.stderr.lines().filter(|l| !l.contains("The default log directory")).collect(),
    )
}

fn drive(suite: &Suite) -> Vec<(String, Said)> {
    let pair = dummy_bridge(suite, &[]);
    let run = |step: String| {
        let args: Vec<&str> = step.split(';').collect();
        let said = shape(&pair.run(suite, args[0], &args[1..]));
        (step, said)
    };
    let mut said: Vec<_> = steps().into_iter().map(run).collect();
    let capture = std::fs::read(pair.path("p1.pcap")).expect("a capture was asked for");
    said.push(("p1.pcap".into(), (None, packets(&capture), String::new())));
    said
}

/// The packets of a capture file, a line each; times are left out.
fn packets(mut capture: &[u8]) -> String {
    const FILE_HEADER: usize = 24;
    const RECORD_HEADER: usize = 16;
    let mut text = String::new();
    capture = &capture[FILE_HEADER..];
    while let Some((header, rest)) = capture.split_at_checked(RECORD_HEADER) {
        let len = u32::from_ne_bytes(header[8..12].try_into().expect("four bytes")) as usize;
        let (packet, rest) = rest.split_at(len);
        text += &(testkit::to_hex(packet) + "\n");
        capture = rest;
    }
    text
}

#[test]
fn ports_are_set_up_and_refused_in_the_same_words() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let differences: Vec<String> = drive(&ours)
        .into_iter()
        .zip(drive(&c))
        .filter(|((_, ours), (_, theirs))| ours != theirs)
        .map(|((step, ours), (_, theirs))| {
            format!("{step}\n  ours:   {ours:.2000?}\n  theirs: {theirs:.2000?}")
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
