//! Frames: keys, tunnels' headers, fragments, connections.
//!
//! Where it sits: targets; seeds are in the notation of `testkit`.

use datapath::{Command, Config, Datapath, Exit, FlowPut, NextHop, PlainHost, PutMode, Worker};
use flow::{FlowKey, PlainKey};
use odp::{TunnelKind, Ufid};
use packet::{Batch, FlatPacket, Instant, Now, OdpPort, PacketMeta};
use testkit::packet;
use wire::EthAddr;

use super::Run;

const FRAMES: [&str; 16] = [
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2 / tcp 1000 > 80 S",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2 options 01010101 / udp 1 > 2 / \"data\"",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / vlan 5 / ip 10.0.0.1 > 10.0.0.2 / icmp echo id 7 seq 1",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / vlan 5 tpid 0x88a8 / vlan 6 / ip6 fe80::1 > fe80::2 / udp 1 > 2",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 fe80::1 > fe80::2 / hopopts / routing / dstopts / tcp 1 > 2 SA",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 fe80::1 > fe80::2 / frag id 7 mf / udp 1 > 2 / \"first\"",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 fe80::1 > ff02::1 / ns fe80::2 sll 02:00:00:00:00:01",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 fe80::1 > fe80::2 / na fe80::2 tll 02:00:00:00:00:01 rso 7",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / arp request 02:00:00:00:00:01 10.0.0.1 > 00:00:00:00:00:00 10.0.0.2",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / mpls 1 / mpls 2 / mpls 3 / mpls 4 / ip 10.0.0.1 > 10.0.0.2 / udp 1 > 2",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / nsh spi 7 si 9 c1 1 / eth 02:00:00:00:00:03 > 02:00:00:00:00:04 / arp reply 02:00:00:00:00:01 10.0.0.1 > 02:00:00:00:00:02 10.0.0.2",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2 / sctp 1 > 2 / \"data\"",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2 off 16 mf proto 17 / \"middle\"",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2 / icmp type 3 code 1 / ip 10.0.0.2 > 10.0.0.1 / udp 2 > 1",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 fe80::1 > fe80::2 / icmp6 type 1 code 4 / ip6 fe80::2 > fe80::1 / udp 2 > 1",
    "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 type 0x1234 / hex 00",
];

/// Frames of every kind.
pub fn frames() -> Vec<Vec<u8>> {
    FRAMES.iter().map(|text| packet(text)).collect()
}

/// The key of a frame: it is total, and a plain packet's short key says the same.
pub fn extract() -> Run {
    Box::new(|bytes| {
        for vlan_limit in 0..=2 {
            let meta = PacketMeta { in_port: OdpPort(1), ..PacketMeta::default() };
            let (mut whole, mut of_short) = (FlowKey::ZERO, FlowKey::ZERO);
            let layers = flow::extract(&meta, bytes, bytes.len(), vlan_limit, &mut whole);
            if let Some((short, found)) = PlainKey::read(&meta, bytes, bytes.len(), vlan_limit) {
                short.to_key(&meta, &mut of_short);
                assert_eq!((of_short, found), (whole, layers), "two readings of one packet");
            }
            let cut = bytes.len() / 2;
            flow::extract(&meta, &bytes[..cut], bytes.len(), vlan_limit, &mut whole);
            // Without a frame's header.
            let meta = PacketMeta { packet_type: 1 << 16 | 0x0800, ..meta };
            flow::extract(&meta, bytes, bytes.len(), vlan_limit, &mut whole);
        }
    })
}

const OUTER: &str = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2";
const INNER: &str =
    "eth 02:00:00:00:00:03 > 02:00:00:00:00:04 / ip 10.1.0.1 > 10.1.0.2 / udp 1 > 2 / \"inner\"";

/// Packets of tunnels, behind a byte that says of which.
pub fn tunnelled() -> Vec<Vec<u8>> {
    let heads = [
        "udp 1000 > 4789 / vxlan 7",
        "udp 1000 > 4789 / vxlan 7 flags 0x88000005",
        "udp 1000 > 6081 / geneve 7",
        "udp 1000 > 6081 / geneve 7 options 010280010000000a",
        "gre",
        "gre key 7 seq 9",
        "udp 1000 > 2152 / hex 30ff002000000007",
        "tcp 1000 > 7471 A seq 3276800 ack 1 / hex 000100000000000000000000000000070000",
    ];
    let mut seeds = Vec::new();
    for (n, head) in heads.iter().enumerate() {
        let frame = packet(&format!("{OUTER} / {head} / {INNER}"));
        let v6 = packet(&format!(
            "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 fe80::1 > fe80::2 / {head} / {INNER}"
        ));
        for frame in [frame, v6] {
            seeds.push([&[n as u8][..], &frame].concat());
        }
    }
    seeds
}

const KINDS: [TunnelKind; 10] = [
    TunnelKind::Vxlan,
    TunnelKind::Geneve,
    TunnelKind::Gre,
    TunnelKind::Erspan,
    TunnelKind::Gtpu,
    TunnelKind::BareUdp,
    TunnelKind::Stt,
    TunnelKind::Ip6Gre,
    TunnelKind::Ip6Erspan,
    TunnelKind::Srv6,
];

/// A datapath in memory whose ports 20 and more are tunnels'.
pub struct Rig {
    pub datapath: Datapath,
    pub worker: Worker<FlatPacket>,
    now_ms: u64,
}

/// Memory, and one way to everywhere.
pub const HOST: PlainHost = PlainHost {
    next_hop: NextHop::Via {
        port: OdpPort(2),
        eth_src: EthAddr([2, 0, 0, 0, 0, 1]),
        eth_dst: EthAddr([2, 0, 0, 0, 0, 2]),
        exit: Exit::Leaves,
        src: 0x0a00_0001,
    },
};

impl Rig {
    pub fn new() -> Rig {
        let config = Config { flow_limit: 1000, ..Config::default() };
        let datapath = Datapath::try_new(&config).expect("memory");
        for (n, kind) in KINDS.iter().enumerate() {
            let port = OdpPort(20 + n as u32);
            datapath.apply(Command::SetTunnel { port, kind: Some(*kind) }).expect("a tunnel");
        }
        Rig { datapath, worker: Worker::try_new(1).expect("memory"), now_ms: 0 }
    }

    /// Installs a flow.
    pub fn flow(&self, number: u128, matched: &str, actions: &str) {
        let matched = odp::text::parse_match(matched, &|_| None).expect("a match");
        let actions = odp::text::parse_actions(actions, &|_| None).expect("actions");
        let mut put = FlowPut { ufid: Ufid(number), matched, actions, mode: PutMode::CreateOrModify };
        self.datapath.apply(Command::PutFlow(&mut put)).expect("a flow");
    }

    /// Time passes, and memory grows.
    pub fn now(&mut self) -> Now {
        self.now_ms += 7;
        let now = Now { mono: Instant::from_millis(self.now_ms), wall_ms: self.now_ms };
        self.datapath.conntrack().maintain(now, 16);
        now
    }

    /// Gives a frame to the worker, and takes what comes of it.
    pub fn receive(&mut self, port: u32, frame: &[u8]) {
        let now = self.now();
        let mut batch = Batch::default();
        let packet = FlatPacket::try_from_frame(frame).expect("memory");
        assert!(batch.push_from(OdpPort(port), packet).is_ok(), "the batch is empty");
        self.worker.process(&self.datapath, &mut { HOST }, now, &mut batch);
        self.drain();
    }

    /// Takes what the worker left.
    pub fn drain(&mut self) {
        assert!(self.worker.egress().transmits().count() <= 1024, "what one packet leads to is bounded");
        assert!(self.worker.egress().upcalls().count() <= 1024, "what one packet leads to is bounded");
    }
}

/// A packet out of each tunnel, and through the tables.
pub fn tunnels() -> Run {
    let mut rig = Rig::new();
    for n in 0..KINDS.len() {
        rig.flow(n as u128, &format!("recirc_id(0),in_port({})", n + 1), &format!("tnl_pop({})", n + 20));
        rig.flow(n as u128 + 100, &format!("recirc_id(0),in_port({})", n + 20), "2");
    }
    Box::new(move |bytes| {
        let Some((which, frame)) = bytes.split_first() else { return };
        for (n, kind) in KINDS.iter().enumerate() {
            // What cannot be an ending header must not be one: no more is popped than is there.
            if let Some(popped) = tunnel::pop(*kind, frame) {
                assert!(popped.len <= frame.len(), "{kind:?}");
            }
            if usize::from(*which) % KINDS.len() == n {
                rig.receive(n as u32 + 1, frame);
            }
        }
    })
}

/// Fragments that come to tracking.
pub fn fragments() -> Vec<Vec<u8>> {
    let four = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2";
    let six = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 fe80::1 > fe80::2";
    let parts = [
        (four, "id 1 mf proto 17 / hex 03e8 0035 0000 0000 / count 392"),
        (four, "id 1 off 400 mf proto 17 / count 400"),
        (four, "id 1 off 800 proto 17 / count 24"),
        (four, "id 2 off 400 proto 17 / count 40"),
        (four, "id 2 mf proto 6 / hex 03e8 0015 00000000 00000000 5002ffff 00000000 / count 380"),
        (six, "/ frag id 1 mf / count 400"),
        (six, "/ frag id 1 off 400 / count 8"),
        (six, "/ hopopts / frag id 2 off 400 mf / count 400"),
    ];
    parts.iter().map(|(start, rest)| packet(&format!("{start} {rest}"))).collect()
}

/// Packets of connections, helped ones among them.
pub fn dialogue() -> Vec<Vec<u8>> {
    let there = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2";
    let here = "eth 02:00:00:00:00:02 > 02:00:00:00:00:01 / ip 10.0.0.2 > 10.123.0.9";
    let lines = [
        (there, "tcp 4000 > 21 S seq 100"),
        (here, "tcp 21 > 4000 SA seq 500 ack 101"),
        (there, "tcp 4000 > 21 A seq 101 ack 501"),
        (there, "tcp 4000 > 21 PA seq 101 ack 501 / \"PORT 10,0,0,1,20,1\" / hex 0d0a"),
        (there, "tcp 4000 > 21 PA seq 101 ack 501 / \"EPRT |1|10.0.0.1|5121|\" / hex 0d0a"),
        (here, "tcp 21 > 4000 PA seq 501 ack 123 / \"227 ok (10,0,0,2,30,5).\" / hex 0d0a"),
        (
            here,
            "tcp 21 > 4000 PA seq 501 ack 123 options 0101050a0000007b0000008d / \"229 (|||7685|)\" / hex 0d0a",
        ),
        (here, "tcp 20 > 5121 S seq 900"),
        (there, "tcp 5555 > 7685 S seq 1"),
        (there, "udp 1200 > 69 / hex 0001660000"),
        (here, "udp 3333 > 1200 / hex 00030001"),
        (there, "icmp type 3 code 1 / ip 10.0.0.2 > 10.0.0.1 / udp 69 > 1200"),
    ];
    lines.iter().map(|(start, rest)| packet(&format!("{start} / {rest}"))).collect()
}

/// Packets through connections that are helped and translated.
pub fn tracked() -> Run {
    let mut rig = Rig::new();
    let fragments = rig.datapath.conntrack().fragments();
    for is_ipv6 in [false, true] {
        assert!(fragments.set_min_frag(is_ipv6, conntrack::LEAST_MIN_FRAG));
    }
    let there = "ct(commit,zone=1,helper=ftp,nat(src=10.123.0.9)),recirc(1)";
    rig.flow(1, "recirc_id(0),in_port(1),eth_type(0x0800),ipv4(proto=6)", there);
    rig.flow(
        2,
        "recirc_id(0),in_port(1),eth_type(0x0800),ipv4(proto=17)",
        "ct(commit,zone=1,helper=tftp,nat),2",
    );
    rig.flow(3, "recirc_id(0),in_port(1),eth_type(0x86dd)", "ct(commit,zone=1,helper=ftp),2");
    rig.flow(4, "recirc_id(0),in_port(2)", "ct(commit,zone=1,nat),1");
    rig.flow(5, "recirc_id(0x1)", "ct(commit,zone=2),2");
    Box::new(move |bytes| {
        for port in [1, 2] {
            rig.receive(port, bytes);
        }
    })
}
