//! Tunnels: the same bytes as Open vSwitch's, and traffic with the kernel's own VXLAN device.

use std::process::{Command, Stdio};

use e2e::{SWITCH, answer_in_b, assert_alike, ours, system};
use testkit::{Suite, SwitchUnderTest, oracle, skip};

/// An underlay bridge `br0` with `p0`, and an overlay bridge `br1` with `p1` and one tunnel port for each kind.
const BRIDGES: &str = "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=standalone other-config:hwaddr=aa:55:aa:55:00:00 \
    -- add-port br0 p0 -- set interface p0 type=dummy ofport_request=1 \
    -- add-br br1 -- set bridge br1 datapath_type=dummy fail-mode=secure other-config:hwaddr=aa:55:aa:55:00:01 \
    -- add-port br1 p1 -- set interface p1 type=dummy ofport_request=1 \
    -- add-port br1 t1 -- set interface t1 type=vxlan options:remote_ip=1.1.2.92 options:key=123 ofport_request=11 \
    -- add-port br1 t2 -- set interface t2 type=gre options:remote_ip=1.1.2.92 options:key=456 options:csum=true ofport_request=12 \
    -- add-port br1 t3 -- set interface t3 type=geneve options:remote_ip=1.1.2.92 options:key=7 options:csum=true options:tos=inherit options:ttl=inherit ofport_request=13 \
    -- add-port br1 t4 -- set interface t4 type=erspan options:remote_ip=1.1.2.92 options:key=5 options:erspan_ver=1 options:erspan_idx=3 ofport_request=14 \
    -- add-port br1 t5 -- set interface t5 type=vxlan options:remote_ip=1.1.2.93 options:dst_port=8472 options:exts=gbp options:df_default=false ofport_request=15 \
    -- add-port br1 t6 -- set interface t6 type=gtpu options:remote_ip=1.1.2.92 options:key=9 ofport_request=16 \
    -- add-port br1 t7 -- set interface t7 type=erspan options:remote_ip=1.1.2.94 options:key=6 options:erspan_ver=2 options:erspan_dir=1 options:erspan_hwid=7 ofport_request=17";

const PACKET: &str = "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),\
    ipv4(src=192.168.0.1,dst=192.168.0.2,proto=17,tos=0x2d,ttl=33,frag=no),udp(src=8,dst=9)";

/// What leaves by `p0` for a packet sent through each tunnel, and the texts on the way.
fn pushed(suite: &Suite) -> (Vec<Vec<u8>>, Vec<String>) {
    let pair =
        SwitchUnderTest::started(suite, &["--enable-dummy", "--disable-system", "--disable-system-route"]);
    let ok =
        |program: &str, words: &str| pair.ok(suite, program, &words.split_whitespace().collect::<Vec<_>>());
    ok("ovs-vsctl", BRIDGES);
    let pcap = pair.path("tx.pcap");
    ok("ovs-vsctl", &format!("set interface p0 options:tx_pcap={pcap}"));
    ok("ovs-appctl", "netdev-dummy/ip4addr br0 1.1.2.88/24");
    ok("ovs-appctl", "ovs/route/add 1.1.2.92/24 br0");
    for end in ["92", "93", "94"] {
        ok("ovs-appctl", &format!("tnl/neigh/set br0 1.1.2.{end} f8:bc:12:44:34:b6"));
    }
    ok("ovs-appctl", "tnl/egress_port_range 35000 35000");
    let neighbours = ok("ovs-appctl", "tnl/neigh/show");
    let mut rows: Vec<&str> = neighbours.lines().collect();
    // Theirs are in the order of a hash.
    rows.sort_unstable();
    let mut texts = vec![rows.join("\n")];
    for tunnel in 11..=17 {
        ok("ovs-ofctl", &format!("add-flow br1 in_port=1,actions={tunnel}"));
        let trace = ok("ovs-appctl", "ofproto/trace br1 in_port=1,ip,nw_tos=0x2c,nw_ecn=1,nw_ttl=33");
        // The datapath's ports are numbered in the order of their making.
        let tunneling = trace.lines().filter(|l| l.contains("tunnel")).map(|l| l.trim().to_owned() + "\n");
        let header = trace.split_once("header(").and_then(|(_, rest)| rest.split_once(",out_port"));
        texts.push(tunneling.collect::<String>() + header.expect("a pushed header").0);
        pair.ok(suite, "ovs-appctl", &["netdev-dummy/receive", "p1", PACKET]);
        ok("ovs-appctl", "revalidator/purge");
    }
    let mut frames = Vec::new();
    pair.await_true("every packet has left", || {
        frames = packets(&std::fs::read(&pcap).unwrap_or_default());
        frames.iter().filter(|f| f[12..14] == [8, 0]).count() >= 7
    });
    frames.retain(|f| f[12..14] == [8, 0]);
    (frames, texts)
}

/// The frames of a capture file.
fn packets(capture: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut out) = (capture.get(24..).unwrap_or_default(), Vec::new());
    while let Some(length) = rest.get(8..12) {
        let length = u32::from_ne_bytes(length.try_into().expect("four bytes")) as usize;
        let Some(frame) = rest.get(16..16 + length) else { break };
        out.push(frame.to_vec());
        rest = &rest[16 + length..];
    }
    out
}

/// A frame in hexadecimal. Open vSwitch 3.1 sums GTP-U's datagrams also where its own header says that it does not.
fn comparable(frame: &[u8]) -> String {
    let mut frame = frame.to_vec();
    if frame[23] == 17 && frame[36..38] == 2152u16.to_be_bytes() {
        frame[40..42].fill(0);
    }
    // ERSPAN's second version has the time at which the header was made.
    if frame[23] == 47 && frame[36..38] == [0x22, 0xeb] {
        frame[46..50].fill(0);
    }
    testkit::to_hex(&frame)
}

#[test]
fn headers_are_open_vswitchs_byte_for_byte() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    let (ours, theirs) = (pushed(&ours), pushed(&c));
    for (ours, theirs) in ours.1.iter().zip(&theirs.1) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.0.len(), theirs.0.len());
    for (i, (a, b)) in ours.0.iter().zip(&theirs.0).enumerate() {
        assert_eq!(comparable(a), comparable(b), "tunnel {}", i + 1);
    }
}

/// Packets out of tunnels, as far as a trace is told of them.
const TUNNELLED: [&str; 9] = [
    "in_port=11,tun_src=1.1.2.92,tun_dst=1.1.2.88,tun_id=123,udp",
    "in_port=11,tun_src=1.1.2.92,tun_dst=1.1.2.88,arp",
    "in_port=11,tun_src=1.1.2.92,tun_id=5,udp",
    "in_port=11,tun_ipv6_dst=fe80::1,udp6",
    "in_port=11,tun_dst=1.1.2.88,tun_gbp_id=3,tun_gbp_flags=8,tun_flags=oam,tun_ttl=3,tun_tos=4",
    "in_port=14,tun_dst=1.1.2.88,tun_erspan_ver=1,tun_erspan_idx=7",
    "in_port=17,tun_dst=1.1.2.88,tun_erspan_ver=2,tun_erspan_dir=1,tun_erspan_hwid=3",
    "in_port=16,tun_dst=1.1.2.88,tun_gtpu_flags=0x30,tun_gtpu_msgtype=255",
    "in_port=1,tun_id=5",
];

/// Actions that set fields of a tunnel.
const SETTING: [&str; 4] = [
    "set_field:5->tun_id,1",
    "set_field:1.2.3.4->tun_dst,1",
    "set_field:1.2.3.4->tun_dst,set_field:7->tun_id,set_field:9->tun_gbp_id,set_field:fe80::1->tun_ipv6_src,1",
    "set_field:5->tun_id,13,1",
];

/// The flows at the beginning and the end of traces, and their megaflows.
fn traced(suite: &Suite) -> Vec<(String, String)> {
    let pair =
        SwitchUnderTest::started(suite, &["--enable-dummy", "--disable-system", "--disable-system-route"]);
    let ok =
        |program: &str, words: &str| pair.ok(suite, program, &words.split_whitespace().collect::<Vec<_>>());
    ok("ovs-vsctl", BRIDGES);
    let trace = |packet: &str| {
        let text = ok("ovs-appctl", &format!("ofproto/trace br1 {packet}"));
        let shown = |line: &&str| line.contains("low: ");
        let lines: Vec<&str> = text.lines().filter(shown).collect();
        // Of the flags a megaflow matches only the key's since 3.7.
        lines.join("\n").replace("tun_flags=-df-csum-key", "tun_flags=-key")
    };
    ok("ovs-ofctl", "add-flow br1 actions=drop");
    let mut said: Vec<(String, String)> =
        TUNNELLED.iter().map(|packet| ((*packet).to_owned(), trace(packet))).collect();
    for actions in SETTING {
        ok("ovs-ofctl", &format!("add-flow br1 in_port=2,actions={actions}"));
        said.push((actions.to_owned(), trace("in_port=2,udp")));
    }
    said
}

#[test]
fn traces_show_what_a_packet_has_of_a_tunnel_as_in_c() {
    let (Some(ours), Some(c)) = (ours(), oracle()) else { return };
    assert_alike(traced(&ours), traced(&c));
}

#[test]
fn what_a_tunnel_cannot_carry_is_dropped_for_a_reason() {
    let Some(suite) = ours() else { return };
    let pair =
        SwitchUnderTest::started(&suite, &["--enable-dummy", "--disable-system", "--disable-system-route"]);
    let ok =
        |program: &str, words: &str| pair.ok(&suite, program, &words.split_whitespace().collect::<Vec<_>>());
    ok("ovs-vsctl", BRIDGES);
    ok("ovs-ofctl", "add-flow br1 in_port=1,udp,actions=11");
    ok("ovs-ofctl", "add-flow br1 in_port=1,tcp,actions=11,LOCAL");
    let actions = |packet: &str| {
        let trace = ok("ovs-appctl", &format!("ofproto/trace br1 in_port=1,{packet}"));
        trace.lines().find_map(|l| l.strip_prefix("Datapath actions: ")).unwrap_or_default().to_owned()
    };
    assert_eq!(actions("udp"), "drop");
    let several = actions("tcp");
    assert!(several.starts_with("clone(drop),"), "{several}");
    let count = |reason: &str| ok("ovs-appctl", &format!("coverage/read-counter {reason}"));
    pair.ok(&suite, "ovs-appctl", &["netdev-dummy/receive", "p1", PACKET]);
    pair.await_true("the reason is counted", || count("drop_action_tunnel_routing_failed").trim() == "1");
    ok("ovs-appctl", "netdev-dummy/ip4addr br0 1.1.2.88/24");
    ok("ovs-appctl", "ovs/route/add 1.1.2.92/24 br0");
    ok("ovs-appctl", "revalidator/wait");
    pair.ok(&suite, "ovs-appctl", &["netdev-dummy/receive", "p1", PACKET]);
    pair.await_true("the reason is counted", || count("drop_action_tunnel_neigh_cache_miss").trim() == "1");
}

/// Names of the bridges' addresses: ours, the kernel's.
fn join_kernel(suite: &Suite, options: &str, device: &str, ends: (&str, &str)) -> Option<SwitchUnderTest> {
    system("ip link set lo up");
    system("ip netns add b");
    system("ip link add veth0 type veth peer name veth1 netns b");
    system("ip link set veth0 up");
    system("ip -n b link set veth1 up");
    let kernel = format!("-n b link add tun0 {device}");
    let made = Command::new("ip").args(kernel.split_whitespace()).output().expect("ip runs");
    if !made.status.success() {
        return None;
    }
    let nodad = if ends.0.contains(':') { "nodad" } else { "" };
    system(&format!("ip -n b addr add {} dev veth1 {nodad}", ends.1));
    system("ip -n b addr add 10.1.1.1/24 dev tun0");
    system("ip -n b link set tun0 up");
    let pair = SwitchUnderTest::started(suite, &["--disable-system"]);
    let ok = |words: &str| pair.ok(suite, "ovs-vsctl", &words.split_whitespace().collect::<Vec<_>>());
    ok("add-br br-phy -- set bridge br-phy datapath_type=netdev -- add-port br-phy veth0");
    system(&format!("ip addr add {} dev br-phy {nodad}", ends.0));
    system("ip link set br-phy up");
    let remote = ends.1.split('/').next().expect("an address");
    ok(&format!(
        "add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 at0 \
         -- set interface at0 type=vxlan options:remote_ip={remote} {options}"
    ));
    system("ip addr add 10.1.1.100/24 dev br0");
    system("ip link set br0 mtu 1400 up");
    system("ip -n b link set tun0 mtu 1400");
    Some(pair)
}

/// Sends some megabytes to a program in the other machine that sends them back.
fn stream(suite: &Suite) -> bool {
    use std::io::{BufRead, BufReader, Read, Write};
    const LEN: usize = 4 << 20;
    let oxvs = suite.command("oxvs").get_program().to_owned();
    let mut answer = Command::new("ip");
    answer.args(["netns", "exec", "b"]).arg(oxvs).arg("answer").stdout(Stdio::piped());
    let mut answering = answer.spawn().expect("ip runs");
    let out = answering.stdout.take().expect("a pipe");
    BufReader::new(out).read_line(&mut String::new()).expect("it says that it is ready");
    let mut to = std::net::TcpStream::connect("10.1.1.1:80").expect("a connection through the tunnel");
    let mut from = to.try_clone().expect("a second handle");
    let reader = std::thread::spawn(move || {
        let (mut buffer, mut got) = (vec![0; 1 << 16], 0);
        while got < LEN {
            match from.read(&mut buffer) {
                Ok(n) if n != 0 => got += n,
                _ => break,
            }
        }
        got
    });
    to.write_all(&vec![7u8; LEN]).expect("everything is sent");
    let got = reader.join().expect("the reader ends");
    answering.kill().expect("our child");
    answering.wait().expect("our child");
    got == LEN
}

fn with_kernel(options: &str, device: &str, ends: (&str, &str)) {
    let Some(suite) = ours() else { return };
    let Some(pair) = join_kernel(&suite, options, device, ends) else {
        skip!("the kernel has no VXLAN device");
    };
    let ping = || {
        let out = Command::new("ping").args(["-c1", "-W1", "10.1.1.1"]).output();
        out.is_ok_and(|o| o.status.success())
    };
    pair.await_true("a ping is answered through the tunnel", ping);
    let long = Command::new("ping").args(["-c1", "-W2", "-s3000", "10.1.1.1"]).output().expect("ping runs");
    assert!(long.status.success(), "fragments\n{}", pair.logs());
    assert!(stream(&suite), "a stream\n{}", pair.logs());
    let flows = pair.ok(&suite, "ovs-appctl", &["dpctl/dump-flows"]);
    assert!(flows.contains("tnl_pop(") && flows.contains("tnl_push("), "{flows}");
    let neighbours = pair.ok(&suite, "ovs-appctl", &["tnl/neigh/show"]);
    assert!(neighbours.contains("br-phy"), "{neighbours}");
}

#[test]
fn vxlan_with_the_kernel_over_ipv4() {
    testkit::sandboxed!();
    with_kernel(
        "options:key=77",
        "type vxlan id 77 remote 172.31.1.1 dstport 4789",
        ("172.31.1.1/24", "172.31.1.100/24"),
    );
}

#[test]
fn vxlan_with_the_kernel_over_ipv6_with_checksums() {
    testkit::sandboxed!();
    with_kernel(
        "options:key=flow",
        "type vxlan id 0 remote fd00::1 dstport 4789",
        ("fd00::1/64", "fd00::100/64"),
    );
}

/// Gives a switch a tunnel (`type=… options:…`) to `remote` over its end of the link `wire`, in a namespace that `ip` is told of;
/// a machine is behind `port`.
fn tunnel_end(
    pair: &SwitchUnderTest,
    (suite, namespace, port): (&Suite, &str, &str),
    (own, remote): (&str, &str),
    (class, tunnel): (&str, &str),
) {
    let ok = |words: &str| pair.ok(suite, "ovs-vsctl", &words.split_whitespace().collect::<Vec<_>>());
    ok(&format!("add-br br-phy -- set bridge br-phy datapath_type={class} -- add-port br-phy wire"));
    let nodad = if own.contains(':') { "nodad" } else { "" };
    system(&format!("ip {namespace} addr add {own} dev br-phy {nodad}"));
    system(&format!("ip {namespace} link set br-phy up"));
    let remote = remote.split('/').next().expect("an address");
    ok(&format!(
        "add-br br0 -- set bridge br0 datapath_type={class} -- add-port br0 {port} \
         -- add-port br0 tun -- set interface tun {tunnel} options:remote_ip={remote}"
    ));
}

/// Machine `a` here, machine `b` in the namespace `far`, and the link `wire` between here and there.
fn two_places() {
    e2e::machines();
    system("ip netns add far");
    system("ip link set port-b netns far");
    system("ip link add wire type veth peer name wire netns far");
    // The kernels answer by their bridges alone, whose address is not the link's.
    system("ip link set wire arp off up");
    system("ip -n far link set wire arp off up");
    for link in ["lo", "port-b"] {
        system(&format!("ip -n far link set {link} up"));
    }
}

/// True if `b` answers a ping of `a`'s.
fn ping(size: &str) -> bool {
    let words = format!("netns exec a ping -c1 -W1 -s{size} 10.0.0.2");
    Command::new("ip").args(words.split_whitespace()).output().is_ok_and(|o| o.status.success())
}

/// Two switches, one of them in a machine of its own, with an STT tunnel between them. Behind each is a machine whose
/// offloads are as they are, so that super-packets with partial checksums go through the tunnel.
fn stt_between_two_switches(ends: (&str, &str)) {
    let Some(here) = ours() else { return };
    two_places();
    let far = here.within("far");
    let near = SwitchUnderTest::started(&here, &["--disable-system"]);
    let other = SwitchUnderTest::started(&far, &["--disable-system"]);
    let stt = ("netdev", "type=stt options:key=123456789012");
    tunnel_end(&near, (&here, "", "port-a"), ends, stt);
    tunnel_end(&other, (&far, "-n far", "port-b"), (ends.1, ends.0), stt);
    near.await_true("a ping is answered through the tunnel", || ping("56"));
    assert!(ping("20000"), "fragments\n{}", near.logs());
    let mut answering = answer_in_b(&here);
    assert!(e2e::probe(&here, "tcp 10.0.0.2 80"), "TCP\n{}{}", near.logs(), other.logs());
    assert!(e2e::probe(&here, "udp 10.0.0.2 53"), "UDP\n{}{}", near.logs(), other.logs());
    answering.kill().expect("our child");
    answering.wait().expect("our child");
    let flows = near.ok(&here, "ovs-appctl", &["dpctl/dump-flows"]);
    assert!(flows.contains("tnl_pop(") && flows.contains("stt(key=0x1cbe991a14)"), "{flows}");
    let ports = other.ok(&far, "ovs-appctl", &["tnl/ports/show"]);
    assert!(ports.contains("stt_sys_7471") && ports.contains("proto=6"), "{ports}");
}

#[test]
fn stt_between_two_switches_over_ipv4() {
    testkit::sandboxed!();
    stt_between_two_switches(("172.31.1.1/24", "172.31.1.2/24"));
}

#[test]
fn stt_between_two_switches_over_ipv6() {
    testkit::sandboxed!();
    stt_between_two_switches(("fd00::1/64", "fd00::2/64"));
}

/// Our programs with ovsextd; None, after reporting the skip, while one of them does not exist.
fn with_datapath() -> Option<Suite> {
    testkit::ours(&[&SWITCH[..], &["ovsextd", "oxvs"]].concat())
}

/// A switch whose datapath is ovsextd's.
fn over_device(suite: &Suite) -> SwitchUnderTest {
    let mut pair = SwitchUnderTest::new(suite);
    pair.start_database();
    pair.ok(suite, "ovs-vsctl", &["--no-wait", "init"]);
    pair.start_datapath(&[]);
    pair.start_switch(&[]);
    pair
}

#[test]
fn geneve_between_two_datapaths_over_ipv6() {
    testkit::sandboxed!();
    let Some(here) = with_datapath() else { return };
    two_places();
    let far = here.within("far");
    let (near, other) = (over_device(&here), over_device(&far));
    let geneve = ("system", "type=geneve options:key=5 options:csum=true");
    tunnel_end(&near, (&here, "", "port-a"), ("fd00::1/64", "fd00::2/64"), geneve);
    tunnel_end(&other, (&far, "-n far", "port-b"), ("fd00::2/64", "fd00::1/64"), geneve);
    near.await_true("a ping is answered through the tunnel", || ping("56"));
    let mut answering = answer_in_b(&here);
    assert!(e2e::probe(&here, "tcp 10.0.0.2 80"), "TCP\n{}{}", near.logs(), other.logs());
    assert!(e2e::probe(&here, "udp 10.0.0.2 53"), "UDP\n{}{}", near.logs(), other.logs());
    answering.kill().expect("our child");
    answering.wait().expect("our child");
    for (pair, suite, from, to) in
        [(&near, &here, "fd00::1", "fd00::2"), (&other, &far, "fd00::2", "fd00::1")]
    {
        let ways = pair.ok(suite, "ovs-appctl", &["-t", "ovsextd", "ovsextd/show-ways"]);
        assert!(ways.starts_with(&format!("{to} from {from} by port ")), "{ways}");
        assert!(ways.ends_with(&format!(" ({to})\n")), "{ways}");
    }
}

#[test]
fn a_tunnel_finds_its_way_without_the_switch() {
    testkit::sandboxed!();
    let Some(here) = with_datapath() else { return };
    two_places();
    // Room for the headers around a packet of 1500 bytes.
    system("ip link set wire mtu 1600");
    system("ip -n far link set wire mtu 1600");
    let far = here.within("far");
    let mut near = over_device(&here);
    let other = SwitchUnderTest::started(&far, &["--disable-system"]);
    let ends = ("172.31.1.1/24", "172.31.1.2/24");
    let vxlan = "type=vxlan options:key=77";
    tunnel_end(&near, (&here, "", "port-a"), ends, ("system", vxlan));
    tunnel_end(&other, (&far, "-n far", "port-b"), (ends.1, ends.0), ("netdev", vxlan));
    // Rules that look at no address: a neighbour's new one needs no new flow.
    near.ok(&here, "ovs-ofctl", &["add-flow", "br-phy", "in_port=LOCAL,actions=output:wire"]);
    near.ok(&here, "ovs-ofctl", &["add-flow", "br-phy", "in_port=wire,actions=LOCAL"]);
    near.await_true("a ping is answered through the tunnel", || ping("56"));
    // A mark chooses the route; what fields do not tell is in headers that the switch makes.
    let vsctl = |words: &str| near.ok(&here, "ovs-vsctl", &words.split_whitespace().collect::<Vec<_>>());
    vsctl(
        "add-port br0 marked -- set interface marked type=vxlan options:remote_ip=172.31.1.3 options:egress_pkt_mark=5",
    );
    vsctl(
        "add-port br0 gpe -- set interface gpe type=vxlan options:remote_ip=172.31.1.2 options:exts=gpe options:dst_port=4790",
    );
    for (port, expected) in
        [("marked", "set(skb_mark(0x5/0x5)),set(tunnel(dst=172.31.1.3,"), ("gpe", "tnl_push(")]
    {
        near.ok(&here, "ovs-ofctl", &["add-flow", "br0", &format!("udp,actions=output:{port}")]);
        let trace = near.ok(&here, "ovs-appctl", &["ofproto/trace", "br0", "in_port=port-a,udp"]);
        assert!(trace.contains(expected), "{trace}");
    }
    near.ok(&here, "ovs-ofctl", &["del-flows", "br0", "udp"]);
    near.await_true("a ping is still answered", || ping("56"));
    assert!(ping("20000"), "fragments\n{}", near.logs());
    let flows = near.ok(&here, "ovs-appctl", &["dpctl/dump-flows"]);
    assert!(flows.contains("set(tunnel(tun_id=0x4d,dst=172.31.1.2,"), "{flows}");
    // What a bridge floods goes by the other tunnel, too, whose headers the switch makes.
    assert!(flows.contains("tnl_pop(") && !flows.contains("udp(src=0,dst=4789"), "{flows}");
    let of_datapath = |command: &str| near.ok(&here, "ovs-appctl", &["-t", "ovsextd", command]);
    let ways = of_datapath("ovsextd/show-ways");
    assert!(ways.starts_with("172.31.1.2 from 172.31.1.1 by port "), "{ways}");
    // Nobody judges flows any more: they stay.
    near.kill_switch();
    assert!(ping("56"), "{}", near.logs());
    let mac = "02:00:00:00:07:07";
    other.ok(&far, "ovs-vsctl", &["set", "bridge", "br-phy", &format!("other-config:hwaddr={mac}")]);
    system(&format!("ip neigh replace 172.31.1.2 lladdr {mac} dev br-phy nud reachable"));
    near.await_true("the neighbour's new address serves", || ping("56"));
    let of_datapath = |command: &str| near.ok(&here, "ovs-appctl", &["-t", "ovsextd", command]);
    assert!(of_datapath("ovsextd/show-ways").contains(mac), "{}", of_datapath("ovsextd/show-ways"));
    system("ip route del 172.31.1.0/24 dev br-phy");
    near.await_true("without a route nothing goes", || {
        !ping("56") && of_datapath("ovsextd/show").contains("drop drop_action_tunnel_routing_failed: ")
    });
    system("ip route add 172.31.1.0/24 dev br-phy src 172.31.1.1");
    near.await_true("it goes by the new route", || ping("56"));
    // The successor knows the ways of the flows that it takes over.
    of_datapath("handover");
    assert!(ping("56"), "{}", near.logs());
}
