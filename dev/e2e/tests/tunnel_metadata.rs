//! Tunnel options as fields: the map, flows that match and set them, packets with options in and out, as the C switch has it.

use e2e::{assert_alike, ours, timeless};
use testkit::{Suite, SwitchUnderTest, oracle};

/// An underlay bridge `br0` with `p0`, and an overlay bridge `br1` with `p1`, `p2` and a Geneve tunnel.
const BRIDGES: &str = "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=standalone other-config:hwaddr=aa:55:aa:55:00:00 \
    -- add-port br0 p0 -- set interface p0 type=dummy ofport_request=1 \
    -- add-br br1 -- set bridge br1 datapath_type=dummy fail-mode=secure other-config:hwaddr=aa:55:aa:55:00:01 \
    -- add-port br1 p1 -- set interface p1 type=dummy ofport_request=1 \
    -- add-port br1 p2 -- set interface p2 type=dummy ofport_request=2 \
    -- add-port br1 t1 -- set interface t1 type=geneve options:remote_ip=flow options:key=flow options:csum=true ofport_request=11";

/// What `ovs-ofctl` is asked, in this order.
const OFCTL: [&str; 36] = [
    "add-flow br1 tun_metadata0=1,actions=drop",
    "add-flow br1 actions=set_field:1->tun_metadata0",
    "add-tlv-map br1 {class=0x102,type=0x80,len=4}->tun_metadata0,{class=0x102,type=1,len=16}->tun_metadata1",
    "add-tlv-map br1 {class=0x103,type=0x7f,len=8}->tun_metadata63",
    "add-tlv-map br1 {class=0x102,type=0x80,len=4}->tun_metadata5",
    "add-tlv-map br1 {class=0x104,type=0x80,len=4}->tun_metadata0",
    "add-tlv-map br1 {class=0x105,type=0,len=6}->tun_metadata9",
    "add-tlv-map br1 {class=0x105,type=0,len=128}->tun_metadata9",
    "add-tlv-map br1 {class=0x105,type=0,len=4}->tun_metadata64",
    "dump-tlv-map br1",
    "add-flow br1 tun_metadata2=1,actions=drop",
    "add-flow br1 table=5,tun_metadata0=0x12345678,tun_metadata1=0x5/0xf,actions=move:tun_metadata1[64..127]->reg0[0..31],drop",
    "add-flow br1 table=5,tun_metadata63=0x123456789,actions=load:0x77->tun_metadata0[0..15],push:tun_metadata0[],pop:reg1[]",
    "add-flow br1 table=5,tun_metadata63[3..7]=9,actions=delete_field:tun_metadata63,output:tun_metadata0[0..15]",
    "add-flow br1 table=5,priority=3,reg0=1,actions=learn(table=6,tun_metadata0[0..31]=reg1[],load:tun_metadata0[0..31]->reg2[])",
    "add-flow br1 table=5,priority=4,reg0=1,actions=set_field:7->tun_metadata2",
    "--sort --no-stats dump-flows br1",
    "--no-stats dump-flows br1 tun_metadata63=0x123456789",
    "dump-aggregate br1 tun_metadata0=0x12345678",
    "del-tlv-map br1 {class=0x102,type=0x80,len=4}->tun_metadata0",
    "del-tlv-map br1",
    "del-flows br1 tun_metadata63=0x123456789",
    "--sort --no-stats dump-flows br1",
    "del-flows br1 table=5",
    "add-flow br1 in_port=1,udp,actions=set_field:1.1.2.92->tun_dst,set_field:7->tun_id,set_field:0xdeadbeef->tun_metadata0,load:3->tun_metadata63[8..15],11",
    "add-flow br1 in_port=1,tcp,actions=set_field:1.1.2.92->tun_dst,set_field:8->tun_id,set_field:0->tun_metadata0,ct(table=1)",
    "add-flow br1 table=1,in_port=1,tcp,ct_state=+trk,actions=11",
    "add-flow br1 in_port=11,tun_id=5,tun_metadata0=0x10203/0xfffff3,priority=9,actions=move:tun_metadata1[120..127]->eth_src[0..7],1",
    "add-flow br1 in_port=11,tun_id=5,priority=8,actions=2",
    "add-flow br1 in_port=11,tun_id=6,priority=8,actions=set_field:1.1.2.92->tun_dst,set_field:9->tun_metadata63,in_port",
    "add-tlv-map br1 {class=0x200,type=1,len=16}->tun_metadata20,{class=0x200,type=2,len=16}->tun_metadata21,{class=0x200,type=3,len=16}->tun_metadata22,{class=0x200,type=4,len=8}->tun_metadata23,{class=0x200,type=5,len=16}->tun_metadata24",
    "add-flow br1 in_port=1,udp6,actions=set_field:1.1.2.92->tun_dst,set_field:7->tun_id,set_field:1->tun_metadata20,set_field:2->tun_metadata21,set_field:3->tun_metadata22,set_field:4->tun_metadata23,set_field:0x123456789abcdef0112233445566->tun_metadata24,11",
    "add-flow br1 in_port=11,tun_id=7,tun_metadata24=0x5566,priority=8,actions=2",
    "--sort --no-stats dump-flows br1",
    "del-tlv-map br1 {class=0x102,type=1,len=16}->tun_metadata1",
    "dump-tlv-map br1",
];

const PACKET6: &str = "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x86dd),\
    ipv6(src=fe80::1,dst=fe80::2,label=0,proto=17,tclass=0,hlimit=33,frag=no),udp(src=8,dst=9)";

const PACKET: &str = "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),\
    ipv4(src=192.168.0.1,dst=192.168.0.2,proto=PROTO,tos=0,ttl=33,frag=no),L4(src=8,dst=9)";

/// A Geneve packet for `br0` with options, all of it in hexadecimal.
fn encapsulated(tunnel_key: u32, options: &str) -> String {
    let inner =
        "505400000007505400000005080045000020000100004011f979c0a80001c0a800020008000900 0c0000aabbccdd";
    let inner = inner.replace(' ', "");
    let geneve = format!("{:02x}006558{tunnel_key:06x}00{options}", options.len() / 8);
    let udp_len = 8 + (geneve.len() + inner.len()) / 2;
    let udp = format!("9c4017c1{udp_len:04x}0000");
    let mut ip = testkit::from_hex(&format!("4500{:04x}00004000401100000101025c01010258", 20 + udp_len));
    let sum = wire::checksum::checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    format!("aa55aa550000f8bc124434b60800{}{udp}{geneve}{inner}", testkit::to_hex(&ip))
}

fn started(suite: &Suite) -> SwitchUnderTest {
    let pair =
        SwitchUnderTest::started(suite, &["--enable-dummy", "--disable-system", "--disable-system-route"]);
    let ok =
        |program: &str, words: &str| pair.ok(suite, program, &words.split_whitespace().collect::<Vec<_>>());
    ok("ovs-vsctl", BRIDGES);
    ok("ovs-appctl", "netdev-dummy/ip4addr br0 1.1.2.88/24");
    ok("ovs-appctl", "ovs/route/add 1.1.2.92/24 br0");
    ok("ovs-appctl", "tnl/neigh/set br0 1.1.2.92 f8:bc:12:44:34:b6");
    ok("ovs-appctl", "tnl/egress_port_range 35000 35000");
    ok("ovs-ofctl", "add-flow br0 priority=1,actions=normal");
    pair
}

/// A pair of daemons, and what it said so far.
struct Driven<'a> {
    suite: &'a Suite,
    pair: SwitchUnderTest,
    said: Vec<(String, String)>,
}

impl Driven<'_> {
    fn started(suite: &Suite) -> Driven<'_> {
        Driven { suite, pair: started(suite), said: Vec::new() }
    }

    fn ofctl(&mut self, words: &str) {
        let ran = self.pair.run(self.suite, "ovs-ofctl", &words.split_whitespace().collect::<Vec<_>>());
        let out = timeless(&ran.stdout);
        // Ours has less room for options; which transaction failed depends on what else the tool asks.
        let shown = |line: &&str| !line.contains("max option space=") && !line.starts_with("0000");
        let lines: Vec<&str> = out.lines().filter(shown).collect();
        let errors: String =
            ran.stderr.lines().filter(|line| !line.contains("|WARN|") && shown(line)).map(timeless).collect();
        self.said.push((words.to_owned(), format!("{:?} {}\n{errors}", ran.status, lines.join("\n"))));
    }

    fn trace(&self, flow: &str) -> String {
        self.pair.ok(self.suite, "ovs-appctl", &["ofproto/trace", "br1", flow])
    }

    /// The tunnel header that a packet gets.
    fn header(&mut self, flow: &str) {
        let trace = self.trace(flow);
        let header = trace.split_once("header(").and_then(|(_, rest)| rest.split_once(",out_port"));
        self.said.push((format!("header of {flow}"), header.expect("a pushed header").0.to_owned()));
    }

    fn capture(&self, ports: &[&str]) {
        for port in ports {
            let capture = format!("options:tx_pcap={}", self.pair.path(&format!("{port}.pcap")));
            self.pair.ok(self.suite, "ovs-vsctl", &["set", "interface", port, &capture]);
        }
    }

    fn receive(&self, port: &str, packet: &str) {
        self.pair.ok(self.suite, "ovs-appctl", &["netdev-dummy/receive", port, packet]);
    }

    /// Waits until so many packets have left by a port.
    fn sent(&mut self, port: &str, least: usize) {
        let mut frames = Vec::new();
        self.pair.await_true("every packet has left", || {
            frames = e2e::captured(&self.pair.path(&format!("{port}.pcap")));
            frames.len() >= least
        });
        self.said.push((format!("packets by {port}"), frames.join("\n")));
    }
}

impl Driven<'_> {
    /// What of the stack a controller is told that resumes a packet of `p1`, and what then leaves by `p0`.
    fn resumed(&mut self, packet: &str) {
        let (told, capture) = (self.pair.path("told"), self.pair.path("p0.pcap"));
        let mut controller = self.pair.command(self.suite, "ovs-ofctl");
        controller.args(["monitor", "br1", "65534", "resume", "-P", "nxt_packet_in2"]);
        let mut controller = controller.stderr(std::fs::File::create(&told).unwrap()).spawn().unwrap();
        let before = e2e::captured(&capture).len();
        let mut frames = Vec::new();
        self.pair.await_true("a packet was resumed", || {
            // Those that come before the controller is there are gone.
            self.receive("p1", packet);
            frames = e2e::captured(&capture);
            frames.len() > before
        });
        controller.kill().unwrap();
        controller.wait().unwrap();
        let told = std::fs::read_to_string(told).unwrap();
        let stack = told.lines().find(|line| line.contains("continuation.stack="));
        self.said.push(("stack".into(), stack.expect("a stack").to_owned()));
        self.said.push(("resumed".into(), frames[before].clone()));
    }
}

/// What each step says, and what leaves by each port.
fn drive(suite: &Suite) -> Vec<(String, String)> {
    let mut driven = Driven::started(suite);
    OFCTL.iter().for_each(|words| driven.ofctl(words));
    driven.header("in_port=1,udp,nw_src=1.2.3.4");
    driven.capture(&["p0", "p1", "p2"]);
    for (proto, l4) in [("17", "udp"), ("6", "tcp")] {
        driven.receive("p1", &PACKET.replace("PROTO", proto).replace("L4", l4));
    }
    driven.receive("p1", PACKET6);
    let first = "0102800177010203";
    let second = "01020104aa0102030405060708090a0b0c0d0e0f";
    for (key, options) in [
        (5, first.to_owned() + second),
        (5, first.to_owned() + "0999010100000000" + second),
        (5, "0102800155010299".to_owned()),
        (5, String::new()),
        (6, first.to_owned() + "0999010100000000"),
        // More than a hundred bytes, and all 252 that there may be.
        (5, format!("{first}09990a1e{}{second}", "a5".repeat(120))),
        (7, format!("09990a1f{}09990b16{}02000504{:0>32}", "5a".repeat(124), "a5".repeat(88), "5566")),
    ] {
        driven.receive("p0", &encapsulated(key, &options));
    }
    for (port, least) in [("p0", 4), ("p1", 3), ("p2", 3)] {
        driven.sent(port, least);
    }
    driven.said
}

/// Options of 32 and of 124 bytes: matched, set, moved, and what is said of them.
fn drive_wide(suite: &Suite) -> Vec<(String, String)> {
    let long: String = (0..124).map(|i| format!("{:02x}", (i * 7 % 256) | 1)).collect();
    let wide: String = (0..32).map(|i| format!("{:02x}", 0xa0 + i)).collect();
    let mut driven = Driven::started(suite);
    for words in [
        "add-tlv-map br1 {class=0x300,type=1,len=124}->tun_metadata7,{class=0x300,type=2,len=32}->tun_metadata3",
        "add-tlv-map br1 {class=0x300,type=4,len=4}->tun_metadata1,{class=0x300,type=3,len=36}->tun_metadata0",
        "add-tlv-map br1 {class=0x300,type=5,len=124}->tun_metadata9",
        "dump-tlv-map br1",
        // Texts and bytes both ways, and what is refused.
        &format!("add-flow br1 table=5,tun_metadata7=0x{long},tun_metadata3=0x{wide}/0x{wide},actions=drop"),
        "add-flow br1 table=5,tun_metadata3=0x5/0xffffffff,tun_metadata1=0x5/0xffffffff,actions=drop",
        "add-flow br1 table=5,tun_metadata3[100..255]=7,tun_metadata7[900..991]=9,actions=drop",
        "add-flow br1 table=5,priority=2,actions=move:tun_metadata7[]->tun_metadata3[]",
        "add-flow br1 table=5,priority=3,actions=move:tun_metadata7[0..256]->tun_metadata3[0..256]",
        "add-flow br1 table=5,priority=4,actions=push:tun_metadata3[0..256]",
        "add-flow br1 table=5,priority=4,ip,actions=ct(zone=tun_metadata3[250..265])",
        "add-flow br1 table=5,priority=4,actions=check_pkt_larger(100)->tun_metadata9[0]",
        "add-flow br1 table=5,priority=5,actions=bundle_load(eth_src,0,hrw,ofport,tun_metadata3[250..265],members:1,2)",
        &format!(
            "add-flow br1 table=5,priority=6,actions=load:0x{wide}->tun_metadata7[300..555],set_field:0x5/0xff->tun_metadata3"
        ),
        "add-flow br1 table=5,priority=7,actions=learn(table=6,tun_metadata3[0..255],load:tun_metadata3[0..255]->tun_metadata7[8..263])",
        "--sort --no-stats dump-flows br1",
        "-O OpenFlow13 --sort --no-stats dump-flows br1",
        &format!("--no-stats dump-flows br1 tun_metadata7=0x{long}"),
        &format!(
            "--strict mod-flows br1 table=5,tun_metadata7=0x{long},tun_metadata3=0x{wide}/0x{wide},actions=1"
        ),
        "--sort --no-stats dump-flows br1 table=5,actions=1",
        "del-tlv-map br1 {class=0x300,type=2,len=32}->tun_metadata3",
        "del-flows br1 table=5",
        // What leaves: set, loaded, moved over the stack.
        &format!(
            "add-flow br1 in_port=1,udp,actions=set_field:1.1.2.92->tun_dst,set_field:0x{long}->tun_metadata7,push:tun_metadata7[40..295],pop:tun_metadata3[0..255],load:0xfeed->tun_metadata7[976..991],11"
        ),
        &format!(
            "add-flow br1 in_port=1,tcp,actions=set_field:1.1.2.92->tun_dst,set_field:0x{wide}->tun_metadata3,move:tun_metadata3[16..255]->tun_metadata7[700..939],ct(table=1)"
        ),
        "add-flow br1 table=1,in_port=1,tcp,ct_state=+trk,actions=set_field:0xff00/0xff00->tun_metadata3,11",
        &format!(
            "add-flow br1 in_port=1,udp6,actions=set_field:0x{wide}->tun_metadata3,push:tun_metadata3[0..255],push:NXM_NX_REG0[],controller(pause),pop:NXM_NX_REG0[],pop:tun_metadata7[8..263],set_field:1.1.2.92->tun_dst,11"
        ),
        // What arrives: the whole of one, masked, and parts.
        &format!(
            "add-flow br1 in_port=11,tun_id=5,tun_metadata7=0x{long},priority=9,actions=move:tun_metadata7[944..991]->eth_src[],1"
        ),
        &format!(
            "add-flow br1 in_port=11,tun_id=5,tun_metadata3=0x{wide}/0x{},priority=8,actions=2",
            "f0".repeat(32)
        ),
        "add-flow br1 in_port=11,tun_id=5,tun_metadata7[960..991]=0x11223344,priority=7,actions=learn(table=2,tun_metadata3[0..255],load:tun_metadata3[200..247]->NXM_OF_ETH_DST[]),resubmit(,2)",
        "--sort --no-stats dump-flows br1",
    ] {
        driven.ofctl(words);
    }
    driven.header("in_port=1,udp,nw_src=1.2.3.4");
    driven.capture(&["p0", "p1", "p2"]);
    for (proto, l4) in [("17", "udp"), ("6", "tcp")] {
        driven.receive("p1", &PACKET.replace("PROTO", proto).replace("L4", l4));
    }
    let (long, wide) = (format!("0300011f{long}"), format!("03000208{wide}"));
    let other = format!("0300011f11223344{}", "5a".repeat(120));
    for options in [
        long.clone(),
        wide.clone() + &long,
        wide.clone(),
        wide.replace("a0", "af"),
        wide.replace("a0", "b0"),
        other + &wide.replace("a0", "b0"),
    ] {
        driven.receive("p0", &encapsulated(5, &options));
    }
    for (port, least) in [("p0", 2), ("p1", 2), ("p2", 2)] {
        driven.sent(port, least);
    }
    driven.resumed(PACKET6);
    let pair = &driven.pair;
    pair.await_true("the flow is learned", || {
        pair.ok(suite, "ovs-ofctl", &["dump-flows", "br1", "table=2"]).contains("tun_metadata3")
    });
    driven.ofctl("--no-stats dump-flows br1 table=2");
    driven.said
}

#[test]
fn wide_tunnel_metadata_is_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    assert_alike(drive_wide(&ours), drive_wide(&c));
}

#[test]
fn tunnel_metadata_is_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    assert_alike(drive(&ours), drive(&c));
}

#[test]
fn a_trace_tells_which_bits_of_options_are_matched() {
    let Some(suite) = ours() else { return };
    let pair = started(&suite);
    let ofctl = |words: &str| pair.ok(&suite, "ovs-ofctl", &words.split_whitespace().collect::<Vec<_>>());
    ofctl("add-tlv-map br1 {class=1,type=1,len=4}->tun_metadata7,{class=1,type=2,len=4}->tun_metadata0");
    ofctl("add-flow br1 in_port=11,tun_metadata0=0x10203/0xfffff3,actions=1");
    ofctl("add-flow br1 in_port=11,tun_metadata7=1,actions=controller");
    let trace = |options: &str| {
        let flow = format!("in_port=11,tun_src=1.1.2.92,tun_dst=1.1.2.88,{options}");
        let text = pair.ok(&suite, "ovs-appctl", &["ofproto/trace", "br1", &flow]);
        let megaflow = text.lines().find(|line| line.starts_with("Megaflow: ")).unwrap_or_default();
        let fields = megaflow.split(',').filter(|field| field.starts_with("tun_metadata"));
        (fields.collect::<Vec<_>>().join(","), text.contains("Datapath actions: 2\n"))
    };
    assert_eq!(trace("tun_metadata0=0x55010203"), ("tun_metadata0=0x10203/0xfffff3".into(), true));
    let (fields, sends) = trace("tun_metadata0=0x55010204,tun_metadata7=2");
    assert!(
        !sends && fields.starts_with("tun_metadata0=") && fields.ends_with("tun_metadata7=0x2"),
        "{fields}"
    );
}
