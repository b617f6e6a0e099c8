//! Packets through whole switches in process: dummy ports, the real datapath, virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dpif::Dpif;
use dpif_netdev::{Class, DpifNetdev, Setup};
use netdev::dummy::DummyDevices;
use netdev::{Frame, Registry};
use openflow::conn::SwitchConn;
use openflow::msg::{FlowStatsRequest, Message, VersionSet};
use openflow::text::flow as flow_text;
use openflow::{FlowModCommand, Names, OfpPort, Version};
use packet::{Instant, Now};
use switch::{BridgeConfig, BundleConfig, ControllerKind, FailMode, PortConfig, Switch};
use wire::EthAddr;

struct Bench {
    switch: Switch,
    host: Arc<DpifNetdev>,
    dummies: DummyDevices,
    now_ms: Arc<AtomicU64>,
}

impl Bench {
    fn new() -> Bench {
        let dummies = DummyDevices::new(Arc::new(|| 0));
        let mut registry = Registry::new();
        for kind in ["dummy", "dummy-internal"] {
            registry.register(kind, dummies.opener(kind));
        }
        let now_ms = Arc::new(AtomicU64::new(5000));
        let clock = now_ms.clone();
        let host = Arc::new(
            DpifNetdev::open(Setup {
                class: Class::Dummy,
                registry: Arc::new(registry),
                clock: Arc::new(move || at(clock.load(Ordering::Relaxed))),
                cores: Arc::new(dpif_netdev::Cores::pretended("0")),
                config: datapath::Config::default(),
            })
            .unwrap(),
        );
        Bench { switch: Switch::new(host.clone()), host, dummies, now_ms }
    }

    fn now(&self) -> Now {
        at(self.now_ms.load(Ordering::Relaxed))
    }

    fn warp(&self, d: Duration) {
        self.now_ms.fetch_add(d.as_millis() as u64, Ordering::Relaxed);
        self.switch.run(self.now());
    }

    fn bridge(&self, name: &str, fail_mode: FailMode) {
        let config = BridgeConfig { fail_mode, ..BridgeConfig::new(name, EthAddr([2, 0, 0, 0, 0, 9])) };
        self.switch.set_bridge(config, self.now());
    }

    fn port(&self, bridge: &str, name: &str, peer: Option<&str>) -> OfpPort {
        let config = PortConfig {
            name: name.into(),
            kind: if peer.is_some() { "patch" } else { "dummy" }.into(),
            wanted: name[1..].parse().ok().map(OfpPort),
            peer: peer.map(str::to_owned),
            hw_addr: EthAddr::ZERO,
            tunnel: None,
            shown: String::new(),
        };
        self.switch.add_port(bridge, config, self.now()).unwrap()
    }

    fn bundles(&self, bridge: &str) {
        let ports = self.switch.ports(bridge);
        self.switch.set_bundles(bridge, ports.iter().map(|p| BundleConfig::trunk(&p.name)).collect());
    }

    fn feed(&self, port: &str, frame: &[u8]) {
        self.dummies.receive(port, 0, vec![Frame::try_from_frame(frame).unwrap()]).unwrap();
        self.host.poll_ports();
    }

    fn sent(&self, port: &str) -> u64 {
        let number = self.host.port_by_name(port).unwrap().number;
        self.host.port_stats(number).unwrap().tx_packets.unwrap()
    }

    /// Adds flows by way of a controller's connection, and returns what its statistics say afterwards.
    fn flows(&self, bridge: &str, texts: &[&str]) -> Vec<openflow::msg::FlowStats> {
        let id = self.switch.connect(bridge, ControllerKind::Service).unwrap();
        let mut controller = Controller::new();
        controller.say(self, id, &Message::Hello(openflow::msg::Hello::new(VersionSet::one(Version::V13))));
        for text in texts {
            let (fm, _) = flow_text::parse(text, FlowModCommand::Add, &Names::none()).unwrap();
            controller.say(self, id, &Message::FlowMod(fm));
        }
        let all = FlowStatsRequest {
            matcher: flow::Match::ANY,
            table_id: 255,
            out_port: OfpPort::NONE,
            out_group: u32::MAX,
            cookie: 0,
            cookie_mask: 0,
        };
        controller.say(self, id, &Message::FlowStatsRequest(all));
        let out = self.switch.take_output(id);
        self.switch.disconnect(id);
        let messages = openflow::msg::header::messages(&out);
        messages
            .filter_map(|m| match openflow::msg::decode(m, &Default::default()).unwrap().1 {
                Message::FlowStatsReply(stats) => Some(stats),
                Message::Error(e) => panic!("{e:?}"),
                _ => None,
            })
            .flatten()
            .collect()
    }
}

/// The other end of a connection.
struct Controller(openflow::msg::Dialect);

impl Controller {
    fn new() -> Controller {
        let _ = SwitchConn::new(VersionSet::ALL, 0);
        Controller(openflow::msg::Dialect::new(Version::V13))
    }

    fn say(&mut self, bench: &Bench, id: switch::ConnId, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(self.0, 7, &mut bytes).unwrap();
        for m in openflow::msg::header::messages(&bytes) {
            bench.switch.handle_message(id, m, bench.now());
        }
    }
}

fn at(ms: u64) -> Now {
    Now { mono: Instant::from_millis(ms), wall_ms: 0 }
}

/// A UDP packet between two hosts.
fn udp(from: u8, to: u8) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0];
    f.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
    let sum: u32 = f[14..34].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    f[24..26].copy_from_slice(&sum.to_be_bytes());
    f.extend([0x10, from, 0x10, to, 0, 12, 0, 0, 1, 2, 3, 4]);
    f.resize(60, 0);
    f
}

#[test]
fn a_packet_goes_through_two_switches() {
    let b = Bench::new();
    for bridge in ["br0", "br1"] {
        b.bridge(bridge, FailMode::Standalone);
    }
    b.port("br0", "p1", None);
    b.port("br0", "pa", Some("pb"));
    b.port("br1", "pb", Some("pa"));
    b.port("br1", "p2", None);
    b.port("br1", "p3", None);
    b.bundles("br0");
    b.bundles("br1");
    b.feed("p1", &udp(1, 2));
    assert_eq!((b.sent("p2"), b.sent("p3"), b.sent("p1")), (1, 1, 0), "flooded through the patch");
    b.feed("p2", &udp(2, 1));
    assert_eq!((b.sent("p1"), b.sent("p3")), (1, 1), "the address was learned in both switches");
    b.switch.run(b.now());
    b.feed("p1", &udp(1, 2));
    assert_eq!((b.sent("p2"), b.sent("p3")), (2, 1), "revalidation narrowed the flood to what was learned");
    assert!(b.switch.fdb_show("br1", b.now()).unwrap().contains("02:00:00:00:00:02"));
}

#[test]
fn a_configuration_that_changes_nothing_brings_no_pass_over_the_megaflows() {
    let b = Bench::new();
    let configure = |ports: &[&str]| {
        b.bridge("br0", FailMode::Secure);
        for p in ports {
            b.port("br0", p, None);
        }
        b.bundles("br0");
    };
    // A pass puts the next one off.
    let due = || {
        b.now_ms.fetch_add(1, Ordering::Relaxed);
        b.switch.run_due(b.now())
    };
    configure(&["p1", "p2"]);
    b.flows("br0", &["in_port=1,actions=output:2"]);
    b.feed("p1", &udp(1, 2));
    due();
    let next = due();
    configure(&["p1", "p2"]);
    assert_eq!(due(), next);
    configure(&["p1", "p2", "p3"]);
    assert!(due() > next);
}

#[test]
fn what_is_made_all_at_once_is_seen_when_it_is_whole() {
    let b = Bench::new();
    b.bridge("br0", FailMode::Standalone);
    b.switch.all_at_once(|| {
        for p in ["p1", "p2"] {
            b.port("br0", p, None);
        }
        b.bundles("br0");
        b.feed("p1", &udp(1, 2));
        assert_eq!(b.sent("p2"), 0);
    });
    b.feed("p1", &udp(1, 2));
    assert_eq!(b.sent("p2"), 1);
    // Afterwards changes are seen at once again.
    b.port("br0", "p3", None);
    b.bundles("br0");
    b.feed("p3", &udp(3, 9));
    assert_eq!((b.sent("p1"), b.sent("p2")), (1, 2));
}

#[test]
fn megaflows_count_for_rules_follow_them_and_go_when_idle() {
    let b = Bench::new();
    b.bridge("br0", FailMode::Secure);
    for p in ["p1", "p2", "p3"] {
        b.port("br0", p, None);
    }
    b.flows("br0", &["in_port=1,idle_timeout=20,actions=output:2"]);
    for _ in 0..3 {
        b.feed("p1", &udp(1, 2));
    }
    assert_eq!(b.sent("p2"), 3);
    let stats = b.flows("br0", &[]);
    assert_eq!((stats.len(), stats[0].packet_count, stats[0].byte_count), (1, 3, 180));
    // A change of rules changes the megaflow, and the counters go on.
    b.flows("br0", &["priority=40000,in_port=1,actions=output:3"]);
    b.switch.run(b.now());
    b.feed("p1", &udp(1, 2));
    assert_eq!((b.sent("p2"), b.sent("p3")), (3, 1));
    assert_eq!(b.switch.dpif().stats().flows, 1);
    b.warp(Duration::from_secs(11));
    assert_eq!(b.switch.dpif().stats().flows, 0, "idle for ten seconds");
    b.warp(Duration::from_secs(10));
    let left = b.flows("br0", &[]);
    assert_eq!((left.len(), left[0].packet_count), (1, 1), "the rule's own idle timeout passed");
}

#[test]
fn a_firewall_lets_replies_back() {
    let b = Bench::new();
    b.bridge("br0", FailMode::Secure);
    for p in ["p1", "p2"] {
        b.port("br0", p, None);
    }
    b.flows(
        "br0",
        &[
            "table=0,ip,actions=ct(table=1,zone=7)",
            "table=1,in_port=1,ip,ct_state=+trk+new,actions=ct(commit,zone=7),output:2",
            "table=1,in_port=1,ip,ct_state=+trk+est,actions=output:2",
            "table=1,in_port=2,ip,ct_state=+trk+est,actions=output:1",
        ],
    );
    b.feed("p2", &udp(2, 1));
    assert_eq!(b.sent("p1"), 0, "nobody asked");
    b.feed("p1", &udp(1, 2));
    assert_eq!(b.sent("p2"), 1);
    b.feed("p2", &udp(2, 1));
    assert_eq!(b.sent("p1"), 1, "a reply");
    b.feed("p1", &udp(1, 2));
    assert_eq!(b.sent("p2"), 2);
}

#[test]
fn a_trace_shows_the_way() {
    let b = Bench::new();
    b.bridge("br0", FailMode::Secure);
    for p in ["p1", "p2", "p3"] {
        b.port("br0", p, None);
    }
    b.flows(
        "br0",
        &[
            "table=0,priority=80,in_port=2,actions=load:0x5->NXM_NX_REG0[],resubmit(,2),output:3",
            "table=2,priority=4,reg0=5,udp,cookie=0x77,actions=set_field:9->nw_ttl,output:1",
            "table=0,priority=100,in_port=1,ip,actions=ct(table=1,zone=5)",
            "table=1,ct_state=+new+trk,tcp,actions=output:2",
        ],
    );
    let trace = b.switch.trace(&["br0", "in_port=2,udp,nw_ttl=64"]).unwrap();
    let trace2 =
        b.switch.trace(&["br0", "in_port=1,tcp,nw_src=1.1.1.1,nw_dst=2.2.2.2,tcp_src=5,tcp_dst=6"]).unwrap();
    assert!(trace.contains("\n     2. udp,reg0=0x5, priority 4, cookie 0x77\n            "), "{trace}");
    assert!(trace2.contains("recirc(0x1) - resume conntrack with default ct_state=trk|new"), "{trace2}");
}

#[test]
fn a_packet_out_is_forwarded_and_teaches() {
    let b = Bench::new();
    b.bridge("br0", FailMode::Standalone);
    for p in ["p1", "p2"] {
        b.port("br0", p, None);
    }
    b.bundles("br0");
    let id = b.switch.connect("br0", ControllerKind::Service).unwrap();
    let mut controller = Controller::new();
    controller.say(&b, id, &Message::Hello(openflow::msg::Hello::new(VersionSet::one(Version::V13))));
    let normal = openflow::actions::Output { port: OfpPort::NORMAL, max_len: 0 };
    let po = openflow::msg::PacketOut::new(OfpPort(1), vec![normal.into()], udp(1, 2));
    controller.say(&b, id, &Message::PacketOut(po));
    b.host.poll_ports();
    b.switch.run(b.now());
    assert_eq!((b.sent("p2"), b.sent("p1")), (1, 0));
    assert!(b.switch.fdb_show("br0", b.now()).unwrap().contains("    1     0  02:00:00:00:00:01    0"));
}

#[test]
fn a_controller_gets_the_packets_that_rules_send_it() {
    let b = Bench::new();
    b.bridge("br0", FailMode::Secure);
    b.port("br0", "p1", None);
    b.flows("br0", &["in_port=1,cookie=0x5,actions=controller"]);
    let id = b.switch.connect("br0", ControllerKind::Primary).unwrap();
    let mut controller = Controller::new();
    controller.say(&b, id, &Message::Hello(openflow::msg::Hello::new(VersionSet::one(Version::V13))));
    b.switch.take_output(id);
    b.feed("p1", &udp(1, 2));
    b.feed("p1", &udp(1, 3));
    b.switch.run(b.now());
    let out = b.switch.take_output(id);
    let decoded = openflow::msg::header::messages(&out)
        .map(|m| openflow::msg::decode(m, &Default::default()).unwrap().1);
    let got: Vec<_> = decoded
        .map(|m| match m {
            Message::PacketIn(p) => (p.cookie, p.data, p.metadata.key.in_port()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(got, [(5, udp(1, 2), 1), (5, udp(1, 3), 1)]);
}

/// Rules, and what Open vSwitch 3.1 says of packets through them: flow, megaflow, datapath actions of each pass.
#[test]
fn traces_say_what_open_vswitch_says() {
    let b = Bench::new();
    b.bridge("br0", FailMode::Secure);
    for p in ["p1", "p2", "p3"] {
        b.port("br0", p, None);
    }
    b.flows(
        "br0",
        &[
            "table=0,priority=100,in_port=1,ip,actions=ct(table=1,zone=5)",
            "table=0,priority=85,in_port=2,dl_vlan=9,actions=mod_vlan_vid:8,3",
            "table=0,priority=80,in_port=2,actions=load:0x5->NXM_NX_REG0[],resubmit(,2),output:3",
            "table=0,priority=70,in_port=3,tcp,actions=write_actions(output:2,set_field:4->ip_dscp),goto_table:3",
            "table=0,priority=70,in_port=3,sctp,actions=resubmit(,0)",
            "table=1,ct_state=+new+trk,tcp,actions=ct(commit,zone=5,exec(set_field:0x1->ct_mark,\
             move:NXM_NX_REG0[]->NXM_NX_CT_LABEL[0..31])),mod_nw_ttl:9,push_vlan:0x8100,set_field:4105->vlan_vid,2",
            "table=1,ct_state=+est+trk,actions=2",
            "table=2,priority=4,reg0=5,udp,actions=ct(commit,nat(src=1.1.1.1-1.1.1.9:5-10),table=4),1",
            "table=3,cookie=0x77,actions=set_field:0x3->reg4",
        ],
    );
    let check = |args: &[&str], wanted: &[&str]| {
        let text = b.switch.trace(&[&["br0"], args].concat()).unwrap();
        let said = |l: &&str| l.starts_with("Megaflow: ") || l.starts_with("Datapath actions: ");
        assert_eq!(text.lines().filter(said).collect::<Vec<_>>(), wanted, "{text}");
    };
    check(
        &["in_port=1,tcp,nw_src=1.1.1.1,nw_dst=2.2.2.2,tcp_src=5,tcp_dst=6"],
        &[
            "Megaflow: recirc_id=0,eth,ip,in_port=1,nw_frag=no",
            "Datapath actions: ct(zone=5),recirc(0x1)",
            "Megaflow: recirc_id=0x1,ct_state=+new+trk,eth,tcp,in_port=1,nw_ttl=0,nw_frag=no",
            "Datapath actions: ct(commit,zone=5,mark=0x1/0xffffffff,label=0/0xffffffff),\
             set(ipv4(ttl=9)),push_vlan(vid=9,pcp=0),2",
        ],
    );
    check(
        &["in_port=2,tcp,dl_vlan=9"],
        &[
            "Megaflow: recirc_id=0,eth,ip,in_port=2,dl_vlan=9,dl_vlan_pcp=0,nw_frag=no",
            "Datapath actions: pop_vlan,push_vlan(vid=8,pcp=0),3",
        ],
    );
    check(
        &["in_port=2,udp,nw_ttl=64,nw_dst=10.1.1.1"],
        &[
            "Megaflow: recirc_id=0,eth,udp,in_port=2,nw_frag=no",
            "Datapath actions: ct(commit,nat(src=1.1.1.1-1.1.1.9:5-10)),recirc(0x2),1,3",
            "Megaflow: recirc_id=0x2,eth,ip,in_port=2,nw_frag=no",
            "Datapath actions: drop",
        ],
    );
    check(
        &["in_port=3,tcp"],
        &[
            "Megaflow: recirc_id=0,eth,tcp,in_port=3,nw_tos=0,nw_frag=no",
            "Datapath actions: set(ipv4(tos=0x10/0xfc)),2",
        ],
    );
    check(
        &["in_port=3,sctp"],
        &["Megaflow: recirc_id=0,eth,sctp,in_port=3,nw_frag=no", "Datapath actions: drop"],
    );
    let tree = b.switch.trace(&["br0", "in_port=3,tcp"]).unwrap();
    let wanted = "\
bridge(\"br0\")
-------------
 0. tcp,in_port=3, priority 70
    write_actions(output:2,set_field:4->ip_dscp)
     -> action set is: set_field:4->ip_dscp,output:2
    goto_table:3
     3. priority 32768, cookie 0x77
            set_field:0x3->reg4
--. Executing action set:
    set_field:4->ip_dscp
    output:2
";
    assert!(tree.contains(wanted), "{tree}");
}

#[test]
fn what_translation_refuses_is_counted_by_its_reason() {
    use packet::DropReason::{self, RecursionTooDeep, TooManyMplsLabels, UnsupportedPacketType};
    let b = Bench::new();
    b.bridge("br0", FailMode::Secure);
    for p in ["p1", "p2", "p3"] {
        b.port("br0", p, None);
    }
    let push = "push_mpls:0x8847,".repeat(4);
    b.flows(
        "br0",
        &[
            "in_port=1,actions=resubmit(,0)",
            "in_port=2,actions=encap(ethernet),1",
            &format!("in_port=3,actions={push}1"),
        ],
    );
    let frame = bare_frame();
    let wanted = [("p1", RecursionTooDeep), ("p2", UnsupportedPacketType), ("p3", TooManyMplsLabels)];
    for (port, reason) in wanted {
        // The first packet goes by way of the switch, the second by the megaflow.
        b.feed(port, &frame);
        b.feed(port, &frame);
        let drops = b.host.stats().drops;
        assert_eq!((drops.get(reason), drops.get(DropReason::Policy)), (2, 0), "{port}");
    }
}

/// A frame of a type of its own.
fn bare_frame() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5];
    frame.resize(60, 0);
    frame
}
