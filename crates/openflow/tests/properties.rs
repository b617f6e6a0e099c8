//! Properties of matches and actions over random values, bytes and texts.
//!
//! Where it sits: beside the comparison with the C programs, which needs them; this needs nothing.

use ::flow::{Field, Match};
use openflow::matches::{self, CookieMatch, Strictness};
use openflow::text::flow as text_flow;
use openflow::{Bits, FlowModCommand, Names, Protocols, Version, actions, field};
use proptest::prelude::*;

const FLOWS: &str = include_str!("corpus/flows.txt");

/// Numbers as wide as ordinary fields, and as tunnel metadata.
fn bits() -> impl Strategy<Value = Bits> {
    prop_oneof![3 => Just(16), 1 => 0..=124usize]
        .prop_flat_map(|len| prop::collection::vec(any::<u8>(), len))
        .prop_map(Bits::from_be_bytes)
}

/// A match as texts make it: protocols first, then fields whose prerequisites hold.
fn any_match() -> impl Strategy<Value = Match> {
    let protocol = prop::sample::select(vec![
        "", "ip", "tcp", "udp", "icmp", "sctp", "ipv6", "tcp6", "udp6", "icmp6", "arp", "rarp", "mpls",
    ]);
    let parts = prop::collection::vec((0..Field::all().count(), bits(), bits(), 0..3u8), 0..8);
    (protocol, parts).prop_map(|(protocol, parts)| {
        let (mut m, _) = matches::parse(protocol, &Names::none()).unwrap();
        for (index, value, mask, kind) in parts {
            let def = Field::all().nth(index).unwrap();
            let full = field::full_mask(def.field);
            let shared = matches!(
                def.field,
                // These change what other fields need, are not on the wire, or print under other names.
                Field::EthType
                    | Field::NwProto
                    | Field::ArpOp
                    | Field::IpFrag
                    | Field::PacketType
                    | Field::TunTtl
                    | Field::TunTos
                    | Field::SkbPriority
                    | Field::DlVlan
                    | Field::VlanTci
                    | Field::VlanPcp
                    | Field::DlVlanPcp
                    | Field::IcmpType
                    | Field::IcmpCode
                    | Field::Icmpv6Type
                    | Field::Icmpv6Code
                    | Field::CtState
                    | Field::TunErspanIdx
                    | Field::TunErspanVer
                    | Field::TunErspanDir
                    | Field::TunErspanHwid
                    | Field::RecircId
                    | Field::TunGtpuFlags
                    | Field::TunGtpuMsgtype
            );
            let mask = if kind == 0 && def.maskable { &mask & &full } else { full };
            let value = &value & &mask;
            if shared
                || mask.is_empty()
                || !field::prereqs_ok(def.field, &m)
                || !field::is_valid(def.field, &value)
            {
                continue;
            }
            // A port that texts can name.
            if matches!(def.field, Field::InPort | Field::InPortOxm | Field::ActsetOutput) && value.len() > 15
            {
                continue;
            }
            let tag = if def.field == Field::VlanVid { &mask & &0x1000_u16.into() } else { Bits::ZERO };
            let value = &value | &tag;
            field::set_match(def.field, &mut m, value, mask);
        }
        m
    })
}

proptest! {
    #[test]
    fn matches_survive_text(m in any_match()) {
        let text = matches::format(&m, 0x8000, &Names::none());
        let again = matches::parse(&text, &Names::none());
        prop_assert_eq!(again.map(|(m, _)| m), Ok(m), "{}", text);
    }

    #[test]
    fn matches_survive_bytes(m in any_match()) {
        for version in [Version::V12, Version::V13, Version::V14, Version::V15] {
            let mut bytes = Vec::new();
            matches::encode(&m, version, &mut bytes);
            prop_assert_eq!(matches::decode(&bytes, version, Strictness::Strict), Ok((m, bytes.len())));
        }
        let mut bytes = Vec::new();
        let cookie = CookieMatch { value: 5, mask: 7 };
        let len = matches::encode_nxm(&m, cookie, &mut bytes);
        prop_assert_eq!(matches::decode_nxm(&bytes[..len], Strictness::Strict), Ok((m, cookie)));
        let usable = matches::usable_protocols(&m);
        if usable.contains(Protocols::OF10_STD) {
            prop_assert_eq!(matches::decode_of10(&matches::encode_of10(&m)), m);
        }
        // 1.1's match is said to carry the ECN bits, and has no place for them.
        if usable.contains(Protocols::OF11_STD) && field::is_wild(Field::NwEcn, &m) {
            let mut bytes = Vec::new();
            matches::encode(&m, Version::V11, &mut bytes);
            prop_assert_eq!(matches::decode(&bytes, Version::V11, Strictness::Strict), Ok((m, 88)));
        }
    }

    #[test]
    fn any_bytes_are_safe(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..60u16) {
        for version in Version::ALL {
            let _ = matches::decode(&bytes, version, Strictness::Loose);
            let _ = matches::decode_nxm(&bytes, Strictness::Loose);
            let _ = matches::decode_nxm(&bytes, Strictness::Strict);
            let _ = actions::decode(&bytes, version);
            let _ = actions::decode_instructions(&bytes, version);
        }
        // With a Nicira header, more of them get somewhere.
        bytes.truncate(bytes.len() & !7);
        if bytes.len() >= 16 {
            let len = bytes.len() as u16;
            bytes[..4].copy_from_slice(&[0xff, 0xff, (len >> 8) as u8, len as u8]);
            bytes[4..8].copy_from_slice(&[0, 0, 0x23, 0x20]);
            bytes[8..10].copy_from_slice(&kind.to_be_bytes());
            for version in Version::ALL {
                if let Ok(list) = actions::decode(&bytes, version) {
                    let _ = actions::format(&list, &Names::none());
                    let _ = actions::encode(&list, version, &mut Vec::new());
                }
            }
        }
        if let Some(fixed) = bytes.first_chunk::<40>() {
            let m = matches::decode_of10(fixed);
            let _ = matches::format(&m, 0, &Names::none());
        }
    }

    #[test]
    fn any_text_is_safe(text in "\\PC{0,60}", line in 0..FLOWS.lines().count(), at in 0..200usize, cut in 0..9usize) {
        let _ = text_flow::parse_line(&text, FlowModCommand::Add, &Names::none());
        let _ = actions::parse(&text, &Names::none());
        // A good flow with something odd in the middle.
        let mut flow: Vec<char> = FLOWS.lines().nth(line).unwrap().chars().collect();
        let at = at.min(flow.len());
        let end = (at + cut).min(flow.len());
        flow.splice(at..end, text.chars());
        let flow: String = flow.into_iter().collect();
        for command in [FlowModCommand::Add, FlowModCommand::Delete] {
            if let Ok((fm, _)) = text_flow::parse(&flow, command, &Names::none()) {
                let _ = text_flow::format_rule(&fm.matcher, fm.priority, &fm.actions, &Names::none());
                for version in Version::ALL {
                    let _ = actions::encode_instructions(&fm.actions, version, &mut Vec::new());
                }
            }
        }
    }

    #[test]
    fn damaged_lists_survive_bytes_and_text(
        line in 0..FLOWS.lines().count(),
        version in prop::sample::select(Version::ALL.to_vec()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let text = FLOWS.lines().nth(line).unwrap();
        let (fm, usable) = text_flow::parse(text, FlowModCommand::Add, &Names::none()).unwrap();
        let mut bytes = Vec::new();
        let encoded = actions::encode(&fm.actions, version, &mut bytes);
        if !usable.intersects(Protocols::of_version(version)) || encoded.is_err() || bytes.is_empty() {
            return Ok(());
        }
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let Ok(list) = actions::decode(&bytes, version) else { return Ok(()) };
        // What was understood is written so that it is understood the same.
        let mut written = Vec::new();
        if actions::encode(&list, version, &mut written).is_ok() {
            let again = actions::decode(&written, version).unwrap();
            let mut twice = Vec::new();
            actions::encode(&again, version, &mut twice).unwrap();
            prop_assert_eq!(&twice, &written, "{:?}", list);
        }
        let shown = actions::format(&list, &Names::none());
        if let Ok((parsed, _)) = actions::parse(&shown, &Names::none()) {
            prop_assert_eq!(actions::format(&parsed, &Names::none()), shown);
        }
    }
}

/// The text of every flow of the corpus says the same when it is read again.
#[test]
fn flows_survive_text() {
    // Setting no bits at all is shown as the C program shows it, which nobody can read.
    // So is a mask of tunnel metadata's whole bytes, which is then left out.
    for line in FLOWS.lines().filter(|line| !line.contains("0/0->") && !line.contains("/0xffffffff")) {
        let (fm, usable) = text_flow::parse(line, FlowModCommand::Add, &Names::none()).unwrap();
        let mut m = fm.matcher;
        matches::normalize(&mut m);
        let shown = text_flow::format_rule(&m, fm.priority, &fm.actions, &Names::none());
        let (again, usable_again) = text_flow::parse(&shown, FlowModCommand::Add, &Names::none())
            .unwrap_or_else(|e| panic!("{line}\n{shown}\n{e}"));
        assert_eq!(again.matcher, m, "{line}\n{shown}");
        assert_eq!(again.priority, fm.priority, "{line}");
        let texts = [&fm, &again].map(|fm| actions::format(&fm.actions, &Names::none()));
        assert_eq!(texts[0], texts[1], "{line}");
        // The text of VLAN 0 says bits that not every version can.
        let carried = usable & matches::usable_protocols(&m);
        assert!(
            shown.contains("vlan_tci") || usable_again.contains(carried),
            "{line}\n{shown}: {usable_again}"
        );
    }
}

/// Registers of 3.7, which the C programs at hand do not have.
#[test]
fn later_registers_have_experimenter_headers() {
    let text = "reg16=0x5,reg31=0x1/0x3,reg30=0 actions=set_field:0x7->reg17,move:NXOXM_ET_REG16[]->NXM_NX_REG0[],\
                push:NXOXM_ET_REG18[0..3],load:0x3->NXOXM_ET_REG19[0..3],output:NXOXM_ET_REG20[0..15]";
    let (fm, _) = text_flow::parse(text, FlowModCommand::Add, &Names::none()).unwrap();
    let mut bytes = Vec::new();
    let len = matches::encode_nxm(&fm.matcher, CookieMatch::default(), &mut bytes);
    assert_eq!(bytes[..12], [0xff, 0xff, 0x22, 0x08, 0, 0, 0x23, 0x20, 0, 0, 0, 5]);
    assert_eq!(matches::decode_nxm(&bytes[..len], Strictness::Strict).unwrap().0, fm.matcher);
    for version in Version::ALL {
        let mut bytes = Vec::new();
        matches::encode(&fm.matcher, version, &mut bytes);
        if version >= Version::V12 {
            assert_eq!(matches::decode(&bytes, version, Strictness::Strict).unwrap().0, fm.matcher);
        }
        let mut bytes = Vec::new();
        actions::encode(&fm.actions, version, &mut bytes).unwrap();
        let again = actions::decode(&bytes, version).unwrap();
        let mut twice = Vec::new();
        actions::encode(&again, version, &mut twice).unwrap();
        assert_eq!(twice, bytes, "{version} {again:?}");
    }
}
