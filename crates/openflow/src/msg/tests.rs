//! Every message: any bytes decode to something or an error, and what is encoded decodes to itself.

use proptest::collection::vec;
use proptest::prelude::*;
use wire::EthAddr;

use super::raw::{Class, RAWS};
use super::*;
use crate::actions::PacketInReason;

/// A message of a random row with a random body of a plausible length.
fn arbitrary_message() -> impl Strategy<Value = Vec<u8>> {
    (0..RAWS.len(), 1u8..=6, vec(any::<u8>(), 0..64), 0usize..8).prop_map(|(row, version, noise, extra)| {
        let def = &RAWS[row];
        let version = version.clamp(def.first.max(1), def.last.min(6));
        let mut out = Vec::new();
        let at = header::start(&mut out, def.raw, version, 1);
        let body = noise.iter().cycle().take(if noise.is_empty() { 0 } else { def.min_body + extra * 8 });
        out.extend(body);
        header::finish(&mut out, at);
        out
    })
}

proptest! {
    #[test]
    fn decoding_is_total(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, &Limits::default());
    }

    #[test]
    fn decoding_every_row_is_total(bytes in arbitrary_message(), cut in 0usize..100) {
        let _ = decode(&bytes, &Limits::default());
        let mut short = bytes[..bytes.len().saturating_sub(cut)].to_vec();
        if short.len() >= 4 {
            let len = short.len() as u16;
            short[2..4].copy_from_slice(&len.to_be_bytes());
        }
        let _ = decode(&short, &Limits::default());
    }
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(&Version::ALL[..])
}

fn port() -> impl Strategy<Value = OfpPort> {
    prop_oneof![(0..0xff00u32).prop_map(OfpPort), Just(OfpPort::LOCAL)]
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9-]{0,15}"
}

fn port_desc(version: Version) -> impl Strategy<Value = PortDesc> {
    (port(), any::<[u8; 6]>(), name(), any::<[u32; 8]>()).prop_map(move |(port, mac, name, n)| {
        let (config, state, features) = match version {
            Version::V10 => (0x7f, 0x301, 0xf87f),
            _ => (0x65, 7, 0xffff),
        };
        let features = |n: u32| LinkFeatures::from_bits_truncate(n & features);
        let mut p = PortDesc {
            port,
            hw_addr: EthAddr(mac),
            name,
            config: PortConfig::from_bits_truncate(n[0] & config),
            state: PortState::from_bits_truncate(n[1] & state),
            curr: features(n[2]),
            advertised: features(n[3]),
            supported: features(n[4]),
            peer: features(n[5]),
            curr_speed: n[6],
            max_speed: n[7],
        };
        if version == Version::V10 {
            (p.curr_speed, p.max_speed) = (p.curr.kbps(), p.supported.kbps());
        }
        p
    })
}

fn port_stats(version: Version) -> impl Strategy<Value = PortStats> {
    let rest = (any::<[u64; 21]>(), vec((name(), any::<u64>()), 0..4));
    (port(), any::<[u64; 12]>(), any::<(u32, u32)>(), rest).prop_map(move |(port, n, age, rest)| {
        let mut p = PortStats {
            port,
            duration: Age { sec: age.0, nsec: age.1 },
            rx_packets: n[0],
            tx_packets: n[1],
            rx_bytes: n[2],
            tx_bytes: n[3],
            rx_dropped: n[4],
            tx_dropped: n[5],
            rx_errors: n[6],
            tx_errors: n[7],
            rx_frame_err: n[8],
            rx_over_err: n[9],
            rx_crc_err: n[10],
            collisions: n[11],
            ..PortStats::default()
        };
        if version < Version::V13 {
            p.duration = Age::UNKNOWN;
        }
        if version >= Version::V14 {
            (p.rfc2819, p.custom) = rest;
        }
        p
    })
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(&[Role::Equal, Role::Primary, Role::Secondary][..])
}

fn session_message(version: Version) -> BoxedStrategy<Message> {
    let config = (0usize..4, any::<bool>(), any::<u16>()).prop_map(move |(frag, ttl, miss_send_len)| {
        let frag = FragMode::NAMES[frag].0;
        SwitchConfig { frag, invalid_ttl_to_controller: ttl && version < Version::V13, miss_send_len }
    });
    let features = (any::<(u64, u32, u8)>(), vec(port_desc(version), 0..4)).prop_map(move |(n, ports)| {
        Message::FeaturesReply(SwitchFeatures {
            datapath_id: n.0,
            n_buffers: n.1,
            n_tables: n.2,
            capabilities: Capabilities::FLOW_STATS | Capabilities::QUEUE_STATS,
            actions: if version == Version::V10 { n.1 & 0xfff } else { 0 },
            ports: if version < Version::V13 { ports } else { Vec::new() },
            ..SwitchFeatures::default()
        })
    });
    let generation = move |role: Role, n: u64| {
        let none = version < Version::V12 || n == u64::MAX;
        RoleMessage { role, generation_id: (!none).then_some(n) }
    };
    prop_oneof![
        vec(any::<u8>(), 0..20).prop_map(Message::EchoRequest),
        vec(any::<u8>(), 0..20).prop_map(Message::EchoReply),
        Just(Message::FeaturesRequest),
        features,
        Just(Message::GetConfigRequest),
        config.clone().prop_map(Message::GetConfigReply),
        config.prop_map(Message::SetConfig),
        Just(Message::BarrierRequest),
        Just(Message::BarrierReply),
        (role(), any::<u64>()).prop_map(move |(role, n)| Message::RoleRequest(generation(role, n))),
        port_desc(version)
            .prop_map(|desc| Message::PortStatus(PortStatus { reason: PortReason::Modify, desc })),
        any::<u16>().prop_map(Message::SetControllerId),
        any::<bool>().prop_map(Message::FlowModTableId),
        Just(Message::SetPacketInFormat(PacketInFormat::Nxt2)),
        Just(Message::FlowAge),
    ]
    .boxed()
}

fn stats_message(version: Version) -> BoxedStrategy<Message> {
    let table = (any::<(u8, u32, u64, u64)>(), name()).prop_map(move |(n, name)| {
        let mut t = TableStats {
            table_id: n.0,
            active_count: n.1,
            lookup_count: n.2,
            matched_count: n.3,
            ..TableStats::default()
        };
        if version < Version::V13 {
            (t.name, t.max_entries) = (name, n.1);
        }
        t
    });
    let desc = (name(), name()).prop_map(|(a, b)| {
        Message::DescReply(SwitchDesc { manufacturer: a, datapath: b, ..SwitchDesc::default() })
    });
    prop_oneof![
        Just(Message::DescRequest),
        desc,
        Just(Message::TableStatsRequest),
        vec(table, 0..5).prop_map(Message::TableStatsReply),
        port().prop_map(Message::PortStatsRequest),
        vec(port_stats(version), 0..5).prop_map(Message::PortStatsReply),
        vec(port_desc(version), 0..5).prop_map(Message::PortDescReply),
        any::<(u64, u64, u32)>().prop_map(|n| {
            // All-ones is sent as zero in 1.0.
            let stats = AggregateStats { packet_count: n.0 >> 1, byte_count: n.1 >> 1, flow_count: n.2 };
            Message::AggregateReply(stats)
        }),
    ]
    .boxed()
}

fn round_trip(message: &Message, version: Version) {
    let dialect = Dialect::new(version);
    let bytes = message.to_bytes(dialect, 0x1234).unwrap();
    let (header, back) = decode(&bytes, &Limits::default()).unwrap();
    assert_eq!((&back, header.xid, header.flags), (message, 0x1234, 0));
    assert_eq!(back.to_bytes(dialect, 0x1234).unwrap(), bytes);
}

proptest! {
    #[test]
    fn session_messages_round_trip((version, message) in version().prop_flat_map(|v| (Just(v), session_message(v)))) {
        round_trip(&message, version);
    }

    #[test]
    fn statistics_round_trip((version, message) in version().prop_flat_map(|v| (Just(v), stats_message(v)))) {
        round_trip(&message, version);
    }

    #[test]
    fn long_replies_are_split(version in version(), n in 0usize..2000) {
        let ports = vec![PortStats { port: OfpPort(1), duration: Age::UNKNOWN, ..PortStats::default() }; n];
        let bytes = Message::PortStatsReply(ports).to_bytes(Dialect::new(version), 1).unwrap();
        let (mut count, mut left) = (0, header::messages(&bytes).count());
        prop_assert!(left >= 1);
        for message in header::messages(&bytes) {
            let (header, Message::PortStatsReply(ports)) = decode(message, &Limits::default()).unwrap() else {
                panic!("another message");
            };
            count += ports.len();
            left -= 1;
            prop_assert_eq!(header.more(), left > 0);
        }
        prop_assert_eq!(count, n);
    }

    #[test]
    fn hellos_round_trip(bits in 1u32..0x80) {
        let hello = Hello::new(VersionSet(bits << 1));
        let bytes = Message::Hello(hello.clone()).to_bytes(Dialect::new(Version::V10), 1).unwrap();
        let (_, back) = decode(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(back, Message::Hello(hello));
    }
}

#[test]
fn every_error_comes_back_in_every_version_that_has_it() {
    for version in Version::ALL {
        for error in OfpError::ALL.iter().copied().filter(|e| e.code(version).is_some()) {
            let message = ErrorMessage::of(error, version, b"12345678");
            let bytes = Message::Error(message.clone()).to_bytes(Dialect::new(version), 1).unwrap();
            let (_, Message::Error(back)) = decode(&bytes, &Limits::default()).unwrap() else {
                panic!("another message");
            };
            assert_eq!((back.code, back.data), (message.code, message.data), "{error} in {version}");
        }
    }
}

#[test]
fn reasons_fit_the_version() {
    use PacketInReason as R;
    assert_eq!(packet_in::reason_to_wire(R::PacketOut, Version::V13), 1);
    assert_eq!(packet_in::reason_to_wire(R::PacketOut, Version::V14), 5);
    assert_eq!(packet_in::reason_to_wire(R::ExplicitMiss, Version::V10), 1);
    assert_eq!(packet_in::reason_to_wire(R::ExplicitMiss, Version::V13), 0);
}

#[test]
fn an_unsupported_message_is_refused_by_its_kind() {
    for def in RAWS {
        let version = def.first.max(1);
        let mut out = Vec::new();
        let at = header::start(&mut out, def.raw, version, 1);
        out.put_zeros(def.min_body);
        header::finish(&mut out, at);
        if let Err(e) = decode(&out, &Limits::default()) {
            let kind = match def.class {
                Class::Std(_) => OfpError::OFPBRC_BAD_TYPE,
                Class::StatRequest(_) | Class::StatReply(_) => OfpError::OFPBRC_BAD_STAT,
                _ => OfpError::OFPBRC_BAD_SUBTYPE,
            };
            let unsupported =
                [OfpError::OFPBRC_BAD_TYPE, OfpError::OFPBRC_BAD_STAT, OfpError::OFPBRC_BAD_SUBTYPE];
            assert!(!unsupported.contains(&e) || e == kind, "{}: {e}", def.name);
        }
    }
}
