//! Our messages, printed by us and by C's `ovs-ofctl ofp-print`: the same text; and they decode to what was encoded.
//!
//! Where it sits: the check on both halves of a codec at once, its bytes and its text.

use flow::slot;
use openflow::actions::PacketInReason;
use openflow::msg::*;
use openflow::print::{self, Verbosity};
use openflow::{FlowMod, FlowModCommand, Names, OfpError, OfpPort, Protocols, Version, matches, text};
use testkit::Suite;

/// C's text of `bytes`.
fn c_text(suite: &Suite, bytes: &[u8]) -> String {
    let run = suite.command("ovs-ofctl").args(["ofp-print", &testkit::to_hex(bytes)]).output().unwrap();
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// Encodes, compares the texts and the value that comes back.
fn check(suite: &Suite, message: &Message, dialect: Dialect) {
    let bytes = message.to_bytes(dialect, 0x1234).unwrap();
    let ours = print::message(&bytes, &Names::none(), Verbosity(2));
    assert_eq!(ours, c_text(suite, &bytes), "{message:?} in {dialect:?}");
    let limits = Limits { flow_mod_table_id: dialect.has_table_ids(), ..Limits::default() };
    let (_, back) = decode(&bytes, &limits).unwrap();
    let again = back.to_bytes(dialect, 0x1234).unwrap();
    assert_eq!(testkit::to_hex(&again), testkit::to_hex(&bytes), "{message:?} in {dialect:?}");
}

const FLOWS: [&str; 16] = [
    "actions=drop",
    "table=3,priority=5,in_port=1,ip,nw_dst=10.0.0.0/8,actions=output:2",
    "cookie=0x1234,idle_timeout=60,hard_timeout=100,tcp,tp_dst=80,actions=NORMAL",
    "send_flow_rem,check_overlap,arp,arp_tpa=10.0.0.1,actions=controller:100",
    "importance=5,dl_vlan=3,actions=resubmit(,4)",
    "priority=1,dl_src=00:11:22:33:44:55,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=FLOOD",
    "ipv6,ipv6_src=2001:db8::/32,actions=LOCAL,IN_PORT",
    "icmp,icmp_type=8,icmp_code=0,actions=mod_dl_src:00:11:22:33:44:55,output:1",
    "udp,tp_src=53,nw_tos=32,actions=mod_nw_dst:1.2.3.4,dec_ttl,ALL",
    "ct_state=+trk+est,ct_zone=5,ct_mark=0x10/0xf0,ip,actions=ct(commit,zone=7,table=3)",
    "reg0=5,metadata=0x10/0xff,tun_id=7,actions=move:NXM_NX_REG0[]->NXM_NX_REG1[],set_field:9->reg2",
    "in_port=LOCAL,actions=strip_vlan,output:9",
    "tcp,tcp_flags=+syn-ack,actions=load:0x5->NXM_NX_REG3[0..7],output:3",
    "table=1,actions=goto_table:5",
    "actions=write_metadata:0x5/0xff,goto_table:7",
    "ip,nw_frag=later,actions=group:7",
];

#[test]
fn flow_mods_and_statistics() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    for text in FLOWS {
        let (fm, usable) = text::flow::parse(text, FlowModCommand::Add, &Names::none()).unwrap();
        let stats = FlowStats {
            table_id: 4,
            priority: fm.priority,
            matcher: fm.matcher,
            cookie: 0x77,
            duration: Age { sec: 5, nsec: 120_000_000 },
            idle_timeout: 3,
            hard_timeout: 9,
            idle_age: Some(2),
            hard_age: Some(1),
            packet_count: 10,
            byte_count: 1000,
            flags: openflow::FlowModFlags::SEND_FLOW_REM,
            importance: 0,
            actions: fm.actions.clone(),
        };
        // 1.0 says goto_table as resubmit, which may not follow write_metadata there, in C neither.
        let usable = if text.contains("write_metadata") { usable & Protocols::OF11_UP } else { usable };
        for protocol in usable.iter().filter(|p| p.bits().is_power_of_two()) {
            let dialect = Dialect::of_protocol(protocol);
            check(&suite, &Message::FlowMod(fm.clone()), dialect);
            for command in [FlowModCommand::Modify, FlowModCommand::DeleteStrict] {
                let fm = FlowMod {
                    command,
                    table_id: 2,
                    cookie: 5,
                    cookie_mask: 7,
                    new_cookie: u64::MAX,
                    importance: 0,
                    ..fm.clone()
                };
                check(&suite, &Message::FlowMod(fm), dialect);
            }
            let reply = Message::FlowStatsReply(vec![stats.clone(), stats.clone()]);
            check(&suite, &reply, dialect);
        }
    }
}

#[test]
fn requests_and_events_about_flows() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    for text in ["", "tcp,tp_dst=80", "in_port=3", "arp,arp_spa=10.0.0.0/8"] {
        let (matcher, usable) = matches::parse(text, &Names::none()).unwrap();
        let request = FlowStatsRequest { matcher, table_id: 4, out_port: OfpPort(3), ..Default::default() };
        let removed = FlowRemoved {
            matcher,
            priority: 9,
            cookie: 0x55,
            reason: FlowRemovedReason::HardTimeout,
            table_id: 2,
            duration: Age { sec: 4, nsec: 5_000_000 },
            idle_timeout: 7,
            hard_timeout: 0,
            packet_count: 1,
            byte_count: 2,
        };
        for protocol in usable.iter().filter(|p| p.bits().is_power_of_two()) {
            let dialect = Dialect::of_protocol(protocol);
            check(&suite, &Message::FlowStatsRequest(request.clone()), dialect);
            check(&suite, &Message::AggregateRequest(request.clone()), dialect);
            check(&suite, &Message::FlowRemoved(removed.clone()), dialect);
        }
    }
}

fn frames() -> [Vec<u8>; 5] {
    let hex = [
        "50540000000550540000000708060001080006040001505400000007 0a000001000000000000 0a000002",
        "505400000005505400000007080045000028000040004006 26ce 0a0000010a000002 0016005000000001000000025012 2000 1234 0000",
        "50540000000550540000000781000005 0800 4500001c000000004011 66ce 0a0000010a000002 0001000200080000",
        "50540000000550540000000786dd60000000 0008 3a40 20010db8000000000000000000000001 20010db8000000000000000000000002 8000123400010001",
        "50540000000550540000000788471234567890",
    ];
    hex.map(|h| testkit::from_hex(&h.replace(' ', "")))
}

#[test]
fn packets() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    for data in frames() {
        let mut metadata = matches::any();
        metadata.set_exact(slot::in_port, 7);
        let mut pin = PacketIn {
            total_len: data.len() as u32 + 10,
            data: data.clone(),
            reason: PacketInReason::Action,
            metadata,
            ..PacketIn::default()
        };
        let po = PacketOut::new(
            OfpPort::LOCAL,
            openflow::actions::parse_plain("output:3,FLOOD", &Names::none()).unwrap().0,
            data,
        );
        for version in Version::ALL {
            let mut dialect = Dialect::new(version);
            check(&suite, &Message::PacketOut(po.clone()), dialect);
            for format in [PacketInFormat::Standard, PacketInFormat::Nxt, PacketInFormat::Nxt2] {
                dialect.packet_in_format = format;
                (pin.table_id, pin.cookie) = (0, u64::MAX);
                check(&suite, &Message::PacketIn(pin.clone()), dialect);
                if format != PacketInFormat::Standard {
                    (pin.table_id, pin.cookie) = (3, 0x99);
                    check(&suite, &Message::PacketIn(pin.clone()), dialect);
                }
            }
        }
    }
}

fn port() -> PortDesc {
    PortDesc {
        port: OfpPort(3),
        hw_addr: "50:54:00:00:00:01".parse().unwrap(),
        name: "eth0".into(),
        config: PortConfig::PORT_DOWN | PortConfig::NO_FWD,
        state: PortState::LINK_DOWN,
        curr: LinkFeatures::FD_1GB | LinkFeatures::COPPER,
        advertised: LinkFeatures::FD_100MB,
        supported: LinkFeatures::FD_10GB | LinkFeatures::AUTONEG,
        peer: LinkFeatures::empty(),
        curr_speed: 1_000_000,
        max_speed: 10_000_000,
    }
}

#[test]
fn the_switch_and_its_ports() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    let counters = PortStats {
        port: OfpPort(3),
        duration: Age { sec: 1, nsec: 500_000_000 },
        rx_packets: 1,
        tx_packets: 2,
        rx_bytes: 3,
        tx_bytes: 4,
        custom: vec![("a".into(), 1), ("b".into(), 2), ("c".into(), 3), ("d".into(), 4)],
        ..PortStats::default()
    };
    for version in Version::ALL {
        let features = SwitchFeatures {
            datapath_id: 0xabcd,
            n_tables: 254,
            capabilities: Capabilities::FLOW_STATS | Capabilities::GROUP_STATS | Capabilities::QUEUE_STATS,
            actions: 0xfff,
            ports: vec![port()],
            ..SwitchFeatures::default()
        };
        let table = TableStats {
            active_count: 4,
            lookup_count: 100,
            matched_count: 99,
            max_entries: 1_000_000,
            caps: TableCaps::of_switch(version, false),
            ..TableStats::default()
        };
        let tables =
            (0..5).map(|id| TableStats { table_id: id, active_count: u32::from(id / 2), ..table.clone() });
        let desc = SwitchDesc { manufacturer: "Nicira, Inc.".into(), ..SwitchDesc::default() };
        let messages = [
            Message::FeaturesRequest,
            Message::FeaturesReply(features),
            Message::GetConfigReply(SwitchConfig { frag: FragMode::NxMatch, ..SwitchConfig::default() }),
            Message::PortStatus(PortStatus { reason: PortReason::Modify, desc: port() }),
            Message::PortMod(PortMod { port: OfpPort(3), mask: PortConfig::PORT_DOWN, ..PortMod::default() }),
            Message::PortDescRequest(OfpPort::NONE),
            Message::PortDescReply(vec![port(), PortDesc { port: OfpPort::LOCAL, ..port() }]),
            Message::PortStatsRequest(OfpPort::NONE),
            Message::PortStatsReply(vec![counters.clone(), PortStats::default()]),
            Message::DescReply(desc),
            Message::TableStatsRequest,
            Message::TableStatsReply(tables.collect()),
            Message::AggregateReply(AggregateStats { packet_count: 1, byte_count: 2, flow_count: 3 }),
        ];
        for message in messages {
            check(&suite, &message, Dialect::new(version));
        }
    }
}

#[test]
fn the_connection() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    for version in Version::ALL {
        let role = RoleMessage { role: Role::Primary, generation_id: (version >= Version::V12).then_some(7) };
        let request = Message::BarrierRequest.to_bytes(Dialect::new(version), 9).unwrap();
        let mut messages = vec![
            Message::Hello(Hello::new(VersionSet::one(version))),
            Message::Error(ErrorMessage::of(OfpError::OFPBRC_BAD_LEN, version, &request)),
            Message::Error(ErrorMessage::of(OfpError::OFPBMC_BAD_PREREQ, version, &request)),
            Message::EchoRequest(vec![1, 2, 3]),
            Message::BarrierReply,
            Message::RoleRequest(role),
            Message::RoleReply(role),
            Message::SetAsync(AsyncConfig { primary: [7, 7, 7, 0, 0, 0], secondary: [1, 7, 0, 0, 0, 0] }),
            Message::SetPacketInFormat(PacketInFormat::Nxt2),
            Message::SetControllerId(7),
            Message::FlowModTableId(true),
            Message::FlowAge,
        ];
        if version >= Version::V13 {
            messages.push(Message::GetAsyncReply(AsyncConfig::default_for(version)));
            messages.push(Message::RoleStatus(RoleStatus {
                role: Role::Secondary,
                reason: RoleReason::Config,
                generation_id: 3,
            }));
            let control = BundleControl { bundle_id: 5, ctrl: BundleCtrl::OpenRequest, flags: 3 };
            messages.push(Message::BundleControl(control));
            let fm = FlowMod { table_id: 0, ..FlowMod::new(FlowModCommand::Add) };
            let fm = FlowMod { matcher: matches::any(), ..fm };
            let inner = Message::FlowMod(fm).to_bytes(Dialect::new(version), 0x1234).unwrap();
            messages.push(Message::BundleAdd(BundleAdd { bundle_id: 5, flags: 3, message: inner }));
        }
        for message in messages {
            check(&suite, &message, Dialect::new(version));
        }
    }
    check(&suite, &Message::SetFlowFormat(true), Dialect::new(Version::V10));
    assert_eq!(Protocols::of_version(Version::V13), Dialect::new(Version::V13).protocol);
}

#[test]
fn what_tables_can_do() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    for version in [Version::V13, Version::V14, Version::V15] {
        let tables = [0, 1, 2, 253].map(|id| TableFeatures::of_switch(id, 253, version)).to_vec();
        let bytes = Message::TableFeaturesReply(tables).to_bytes(Dialect::new(version), 1).unwrap();
        let text = c_text(&suite, &bytes);
        for line in [
            "  table 0:\n    metadata: match=0xffffffffffffffff write=0xffffffffffffffff\n",
            "      next tables: 1-253\n",
            " set_field strip_vlan push_vlan ",
            "\n  tables 1...2: ditto\n",
            "  table 253:\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        check(&suite, &Message::TableFeaturesRequest(Vec::new()), Dialect::new(version));
    }
}
