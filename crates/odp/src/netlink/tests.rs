//! What is encoded decodes to itself; decoding is total; bytes are the interface's.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use ::flow::{FlowKey, Match, Slot, Wildcards, slot};
use ::packet::{OdpPort, TunnelKey};
use netlink::{Attrs, Builder, HEADER_LEN, Header as NlHeader};
use proptest::prelude::*;
use wire::EthAddr;

use super::*;
use crate::action::{MplsLayer, Psample, PushNsh, TnlPush, TunnelKind};
use crate::{Action, CtAction, HashAlg, Header, Nat, NatKind, NshFields, Userspace};

fn attrs(fill: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut b = Builder::new();
    b.begin(&NlHeader::default(), &[]);
    fill(&mut b);
    b.finish().unwrap()[HEADER_LEN..].to_vec()
}

/// Keys as extraction makes them: fields follow types.
pub(crate) fn any_key() -> impl Strategy<Value = FlowKey> {
    let words = prop::collection::vec(any::<u64>(), ::flow::FLOW_WORDS);
    let types = prop::sample::select(vec![0x0800u16, 0x86dd, 0x0806, 0x8847, 0x894f, 0x88cc, 0x05ff]);
    let proto = prop::sample::select(vec![1u8, 6, 17, 58, 132, 47]);
    (words, types, proto, 0u8..3, prop::sample::select(vec![0u8, 1, 3]), any::<[bool; 4]>()).prop_map(
        |(words, ether, ip_proto, tags, frag, [tunnel, v6, tracked, nd])| {
            let mut r = FlowKey::ZERO;
            r.words_mut().iter_mut().zip(words).for_each(|(to, w)| *to = w);
            let mut k = FlowKey::ZERO;
            let mut keep = |slots: &[Slot]| slots.iter().for_each(|s| k.set(*s, r.get(*s)));
            use slot::*;
            keep(&[in_port, recirc_id, dp_hash, skb_priority, pkt_mark, eth_src, eth_dst]);
            if tunnel {
                keep(&[tun_id, tun_tos, tun_ttl, tun_tp_src, tun_tp_dst, tun_gbp_id, tun_gbp_flags]);
                keep(if nd { &[tun_erspan_idx] } else { &[tun_erspan_dir, tun_erspan_hwid, tun_gtpu_flags] });
                keep(if v6 { &TUN_OPTS } else { &[] });
                keep(if v6 { &[tun_ipv6_src, tun_ipv6_dst] } else { &[tun_src, tun_dst] });
            }
            if tracked {
                keep(&[ct_state, ct_zone, ct_mark, ct_label, ct_tp_src, ct_tp_dst, ct_nw_proto]);
                keep(if ether == 0x86dd { &[ct_ipv6_src, ct_ipv6_dst] } else { &[ct_nw_src, ct_nw_dst] });
            }
            if tags > 0 {
                keep(&[vlan_tci, vlan_tpid]);
            }
            if tags > 1 {
                keep(&[vlan2_tci, vlan2_tpid]);
            }
            match ether {
                0x0800 => keep(&[nw_src, nw_dst, nw_tos, nw_ttl]),
                0x86dd => keep(&[ipv6_src, ipv6_dst, ipv6_label, nw_tos, nw_ttl]),
                0x0806 => keep(&[nw_src, nw_dst, nw_proto, arp_sha, arp_tha]),
                0x8847 => keep(&[mpls_lse0, mpls_lse1, mpls_lse2]),
                0x894f => keep(&[nsh_flags, nsh_ttl, nsh_mdtype, nsh_np, nsh_spi, nsh_si, nsh_c1, nsh_c4]),
                _ => {}
            }
            k.set_eth_type(ether);
            if tunnel {
                k.set_tun_flags(TunnelKey::KEY | (r.tun_flags() & 0xb));
                k.set_tun_erspan_ver(if nd { 1 } else { 2 });
                k.set_tun_opts_len(if v6 { 252 } else { 0 });
                k.set_tun_opts15(k.tun_opts15() & !0xffff_ffff);
                k.set_tun_dst(if v6 { 0 } else { r.tun_dst() | 1 });
            }
            if tags > 0 {
                k.set_vlan_tci(r.vlan_tci() | 0x1000);
            }
            if tags > 1 {
                k.set_vlan2_tci(r.vlan2_tci() | 0x1000);
            }
            if ether == 0x8847 {
                // to the first bottom of the stack
                let bottom = [mpls_lse0, mpls_lse1].iter().position(|s| k.get(*s) & 0x100 != 0);
                [mpls_lse1, mpls_lse2].iter().skip(bottom.unwrap_or(2)).for_each(|s| k.set(*s, 0));
            }
            if matches!(ether, 0x0800 | 0x86dd) {
                k.set_nw_proto(ip_proto);
                k.set_nw_frag(frag);
                let icmp = matches!((ether, ip_proto), (0x0800, 1) | (0x86dd, 58));
                if frag != 3 && (icmp || matches!(ip_proto, 6 | 17 | 132)) {
                    k.set_tp_src(if icmp { r.tp_src() & 0xff } else { r.tp_src() });
                    k.set_tp_dst(if icmp { r.tp_dst() & 0xff } else { r.tp_dst() });
                }
                if frag != 3 && ip_proto == 6 {
                    k.set_tcp_flags(r.tcp_flags() & 0xfff);
                }
                if nd && frag != 3 && (ether, ip_proto) == (0x86dd, 58) {
                    k.set_tp_src(135);
                    k.set_tp_dst(0);
                    for s in [nd_target, arp_sha, arp_tha, nd_reserved, nd_options_type] {
                        k.set(s, r.get(s));
                    }
                }
            }
            k
        },
    )
}

/// Every field that attributes carry.
const CARRIED: &[Slot] = {
    use slot::*;
    &[
        in_port,
        recirc_id,
        dp_hash,
        skb_priority,
        pkt_mark,
        eth_src,
        eth_dst,
        tun_id,
        tun_src,
        tun_dst,
        tun_ipv6_src,
        tun_ipv6_dst,
        tun_tos,
        tun_ttl,
        tun_tp_src,
        tun_tp_dst,
        tun_gbp_id,
        tun_gbp_flags,
        ct_state,
        ct_zone,
        ct_mark,
        ct_label,
        ct_nw_src,
        ct_nw_dst,
        ct_ipv6_src,
        ct_ipv6_dst,
        ct_tp_src,
        ct_tp_dst,
        ct_nw_proto,
        vlan_tci,
        vlan_tpid,
        vlan2_tci,
        vlan2_tpid,
        nw_src,
        nw_dst,
        ipv6_src,
        ipv6_dst,
        ipv6_label,
        nw_tos,
        nw_ttl,
        arp_sha,
        arp_tha,
        mpls_lse0,
        mpls_lse1,
        mpls_lse2,
        tp_src,
        tp_dst,
        tcp_flags,
        nd_target,
        nd_reserved,
        nd_options_type,
        nsh_flags,
        nsh_ttl,
        nsh_mdtype,
        nsh_np,
        nsh_spi,
        nsh_si,
        nsh_c1,
        nsh_c4,
    ]
};

/// A match of `key` that has whole those fields whose bit in `which` is set, and the types that structure follows.
pub(crate) fn match_of(key: &FlowKey, which: u64) -> Match {
    let mut wc = Wildcards::NONE;
    for (n, s) in CARRIED.iter().enumerate() {
        if which >> n & 1 == 1 && key.get(*s) != 0 {
            wc.unwildcard(*s);
        }
    }
    wc.unwildcard(slot::packet_type);
    wc.unwildcard(slot::eth_type);
    if matches!(key.eth_type(), 0x0800 | 0x86dd | 0x0806) {
        wc.unwildcard(slot::nw_proto);
    }
    if matches!(key.eth_type(), 0x0800 | 0x86dd) {
        wc.unwildcard(slot::nw_frag);
    }
    if key.nd_target() != 0 {
        wc.unwildcard(slot::tp_src);
        wc.unwildcard(slot::tp_dst);
    }
    if wc.get(slot::tun_id) != 0 {
        wc.set_tun_flags(TunnelKey::KEY);
    }
    if which & 1 == 1 && key.tun_opts_len() != 0 {
        wc.unwildcard(slot::tun_opts_len);
        wc.set(slot::tun_opts1, u128::from(which) << 64 | u128::MAX >> 64);
        wc.unwildcard(slot::tun_opts11);
    }
    // Tags: matched with their types, or not at all.
    if wc.get(slot::vlan_tci) == 0 {
        [slot::vlan_tpid, slot::vlan2_tci, slot::vlan2_tpid].iter().for_each(|s| wc.set(*s, 0));
    } else {
        wc.unwildcard(slot::vlan_tpid);
        wc.unwildcard(slot::vlan2_tci);
        if key.vlan2_tci() != 0 {
            wc.unwildcard(slot::vlan2_tpid);
        } else {
            wc.set(slot::vlan2_tpid, 0);
        }
    }
    Match::new(key, &wc)
}

fn any_nsh() -> impl Strategy<Value = NshFields> {
    any::<([u8; 4], u32, u8, [u32; 4])>().prop_map(|([flags, ttl, md_type, next_proto], spi, si, context)| {
        NshFields { flags, ttl, md_type, next_proto, spi: spi >> 8, si, context }
    })
}

/// Actions about headers of other layers, and those that Linux's datapath lacks.
fn any_other() -> impl Strategy<Value = Action> {
    let kind = prop::sample::select(TunnelKind::ALL);
    prop_oneof![
        any::<(u32, u16)>().prop_map(|(lse, eth_type)| Action::PushMpls { lse, eth_type }),
        any::<u16>().prop_map(|eth_type| Action::PopMpls { eth_type }),
        any::<(u32, u16, bool)>().prop_map(|(lse, eth_type, network)| Action::AddMpls {
            lse,
            eth_type,
            layer: if network { MplsLayer::Network } else { MplsLayer::Ethernet },
        }),
        any::<([u8; 6], [u8; 6])>()
            .prop_map(|(src, dst)| Action::PushEth { src: EthAddr(src), dst: EthAddr(dst) }),
        Just(Action::PopEth),
        (any_nsh(), any::<Vec<u8>>())
            .prop_map(|(header, md2)| Action::PushNsh(Box::new(PushNsh { header, md2 }))),
        Just(Action::PopNsh),
        any::<(u32, Vec<u8>)>()
            .prop_map(|(group, cookie)| Action::Psample(Box::new(Psample { group, cookie }))),
        (any::<(u32, u32, Vec<u8>)>(), kind).prop_map(|((tnl, out, header), kind)| {
            let (tnl_port, out_port) = (OdpPort(tnl), OdpPort(out));
            Action::TnlPush(Box::new(TnlPush { tnl_port, out_port, kind, header }))
        }),
        any::<u32>().prop_map(|p| Action::TnlPop(OdpPort(p))),
        any::<u32>().prop_map(Action::LbOutput),
    ]
}

fn any_header() -> impl Strategy<Value = Header> {
    let mac = || any::<[u8; 6]>().prop_map(EthAddr);
    prop_oneof![
        any::<u32>().prop_map(Header::Priority),
        any::<u32>().prop_map(Header::Mark),
        (mac(), mac()).prop_map(|(src, dst)| Header::Ethernet { src, dst }),
        any::<u16>().prop_map(|tci| Header::Vlan { tci }),
        any::<u32>().prop_map(|lse| Header::Mpls { lse }),
        any::<(u32, u32, u8, u8, u8, u8)>().prop_map(|(src, dst, proto, tos, ttl, frag)| Header::Ipv4 {
            src,
            dst,
            proto,
            tos,
            ttl,
            frag
        }),
        any::<(u128, u128, u32, u8, u8, u8, u8)>().prop_map(
            |(src, dst, label, proto, tclass, hlimit, frag)| Header::Ipv6 {
                src,
                dst,
                label,
                proto,
                tclass,
                hlimit,
                frag
            }
        ),
        any::<(u16, u16)>().prop_map(|(src, dst)| Header::Tcp { src, dst }),
        any::<(u16, u16)>().prop_map(|(src, dst)| Header::Udp { src, dst }),
        any::<(u16, u16)>().prop_map(|(src, dst)| Header::Sctp { src, dst }),
        any::<(u8, u8)>().prop_map(|(kind, code)| Header::Icmp { kind, code }),
        any::<(u8, u8)>().prop_map(|(kind, code)| Header::Icmpv6 { kind, code }),
        (any::<u32>(), any::<u32>(), any::<u16>(), mac(), mac())
            .prop_map(|(sip, tip, op, sha, tha)| { Header::Arp { sip, tip, op, sha, tha } }),
        (any::<u128>(), mac(), mac()).prop_map(|(target, sll, tll)| Header::Nd { target, sll, tll }),
        any::<(u32, u8)>().prop_map(|(reserved, kind)| Header::NdExtensions { reserved, kind }),
        any_nsh().prop_map(Header::Nsh),
    ]
}

fn any_ct() -> impl Strategy<Value = CtAction> {
    let nat =
        any::<(Option<bool>, Option<(u32, u32)>, Option<(u128, u128)>, Option<(u16, u16)>, [bool; 3])>();
    let nat = nat.prop_map(|(kind, v4, v6, port, [persistent, hash, random])| {
        let (addr, is_ipv6) = match (v4, v6) {
            (Some((a, b)), _) => (Some((a.into(), b.into())), false),
            (None, Some(both)) => (Some(both), true),
            _ => (None, false),
        };
        let kind = kind.map(|src| if src { NatKind::Src } else { NatKind::Dst });
        Nat { kind, addr, is_ipv6, port, persistent, hash, random }
    });
    let names = prop::option::of("[a-z]{1,8}".prop_map(String::into_boxed_str));
    let rest = any::<(u8, u16, Option<(u32, u32)>, Option<(u128, u128)>, Option<u32>)>();
    (rest, names.clone(), prop::option::of(nat), names).prop_map(
        |((commit, zone, mark, label, eventmask), helper, nat, timeout)| CtAction {
            commit: commit % 3 > 0,
            force: commit % 3 > 1,
            zone,
            mark,
            label,
            helper,
            nat,
            timeout,
            eventmask,
        },
    )
}

pub(crate) fn any_actions() -> impl Strategy<Value = Vec<Action>> {
    let userspace = any::<(u32, Vec<u8>, Option<u32>, bool)>().prop_map(|(pid, userdata, port, actions)| {
        Action::Userspace(Box::new(Userspace { pid, userdata, tunnel_out_port: port.map(OdpPort), actions }))
    });
    let tunnel =
        any::<(u64, u32, u32, u8, u8, u16, u16)>().prop_map(|(id, src, dst, ttl, tos, tp_dst, gbp_id)| {
            let flags = TunnelKey::KEY | TunnelKey::CSUM;
            let key = TunnelKey { id, src, dst, ttl, tos, tp_dst, gbp_id, flags, ..TunnelKey::default() };
            Action::Set(Header::Tunnel(Box::new(key)))
        });
    let leaf = prop_oneof![
        any::<u32>().prop_map(|p| Action::Output(OdpPort(p))),
        userspace,
        tunnel,
        any_header().prop_map(Action::Set),
        (any_header(), any::<u8>()).prop_map(|(h, _)| Action::SetMasked { value: h.clone(), mask: h }),
        any::<(u16, u16)>().prop_map(|(tpid, tci)| Action::PushVlan { tpid, tci }),
        Just(Action::PopVlan),
        any_other(),
        any::<u32>().prop_map(Action::Recirc),
        any::<(bool, u32)>().prop_map(|(sym, basis)| Action::Hash {
            alg: if sym { HashAlg::SymL4 } else { HashAlg::L4 },
            basis
        }),
        any::<u32>().prop_map(Action::Trunc),
        any_ct().prop_map(|ct| Action::Ct(Box::new(ct))),
        Just(Action::CtClear),
        any::<u32>().prop_map(Action::Meter),
        any::<u32>().prop_map(Action::Drop),
    ];
    let action = leaf.prop_recursive(3, 12, 4, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            list().prop_map(Action::Clone),
            list().prop_map(Action::DecTtl),
            (any::<u32>(), list()).prop_map(|(probability, actions)| Action::Sample { probability, actions }),
            (any::<u16>(), list(), list()).prop_map(|(len, if_greater, if_less_equal)| {
                Action::CheckPktLen { len, if_greater, if_less_equal }
            }),
        ]
    });
    prop::collection::vec(action, 0..6)
}

proptest! {
    #[test]
    fn keys_read_back(key in any_key()) {
        let bytes = attrs(|b| key::put_key(b, &key));
        let mut back = FlowKey::ZERO;
        prop_assert_eq!(key::take_key(Attrs::new(&bytes), &mut back), Ok(()));
        prop_assert_eq!(back, key);
    }

    #[test]
    fn matches_read_back(key in any_key(), which in any::<u64>()) {
        let m = match_of(&key, which);
        let (k, w) = (attrs(|b| key::put_key(b, &m.key)), attrs(|b| key::put_mask(b, &m)));
        let mut back = Match::ANY;
        prop_assert_eq!(key::take_match(Attrs::new(&k), Some(Attrs::new(&w)), &mut back), Ok(()));
        prop_assert_eq!(back, m);
    }

    #[test]
    fn what_is_read_is_read_again(key in any_key(), wc in any_key()) {
        let wild = Wildcards(wc);
        if let Ok(read) = key::as_read(&Match::new(&key, &wild)) {
            prop_assert_eq!(key::as_read(&read), Ok(read));
        }
    }

    #[test]
    fn without_a_mask_a_key_matches_itself_and_no_other_tag(key in any_key()) {
        let bytes = attrs(|b| key::put_key(b, &key));
        let mut m = Match::ANY;
        prop_assert_eq!(key::take_match(Attrs::new(&bytes), None, &mut m), Ok(()));
        prop_assert!(m.matches(&key));
        let mut other = key;
        other.set_vlan_tci(key.vlan_tci() ^ 0x1001);
        prop_assert!(!m.matches(&other));
    }

    /// A copy that may fail is a copy.
    #[test]
    fn copies_are_equal(actions in any_actions()) {
        prop_assert_eq!(crate::try_copy(&actions), Some(actions));
    }

    #[test]
    fn actions_read_back(list in any_actions()) {
        let bytes = attrs(|b| actions::put_actions(b, &list));
        prop_assert_eq!(actions::take_actions(Attrs::new(&bytes)), Ok(list));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut key = FlowKey::ZERO;
        let _ = key::take_key(Attrs::new(&bytes), &mut key);
        let mut m = Match::ANY;
        let _ = key::take_match(Attrs::new(&bytes), Some(Attrs::new(&bytes)), &mut m);
        let _ = actions::take_actions(Attrs::new(&bytes));
        let _ = flow::FlowAttrs::decode(Attrs::new(&bytes));
        let _ = vport::VportAttrs::decode(Attrs::new(&bytes));
        let _ = packet::PacketAttrs::decode(Attrs::new(&bytes));
        let _ = datapath::DpAttrs::decode(Attrs::new(&bytes));
    }

    #[test]
    fn a_bit_flipped_anywhere_is_read_or_refused(list in any_actions(), key in any_key(), at in any::<(usize, u8)>()) {
        for mut bytes in [attrs(|b| actions::put_actions(b, &list)), attrs(|b| key::put_key(b, &key))] {
            let n = bytes.len();
            if n > 0 {
                bytes[at.0 % n] ^= 1 << (at.1 % 8);
            }
            let _ = actions::take_actions(Attrs::new(&bytes));
            let mut m = Match::ANY;
            if key::take_match(Attrs::new(&bytes), None, &mut m).is_ok() {
                prop_assert_eq!(m.wc.apply(&m.key), m.key);
            }
        }
    }
}

#[test]
#[cfg(target_endian = "little")]
fn bytes_of_a_tagged_tcp_key_are_the_interfaces() {
    let mut k = FlowKey::ZERO;
    k.set_in_port(5);
    k.set_eth_src(EthAddr([2, 0, 0, 0, 0, 1]));
    k.set_eth_dst(EthAddr([2, 0, 0, 0, 0, 2]));
    k.set_vlan_tpid(0x8100);
    k.set_vlan_tci(0x100a);
    k.set_eth_type(0x0800);
    k.set_nw_src(0x0a00_0001);
    k.set_nw_dst(0x0a00_0002);
    k.set_nw_proto(6);
    k.set_nw_ttl(64);
    k.set_nw_frag(1);
    k.set_tp_src(80);
    k.set_tp_dst(443);
    k.set_tcp_flags(0x12);
    let expect: &[u8] = &[
        8, 0, 20, 0, 0, 0, 0, 0, // recirc_id
        8, 0, 3, 0, 5, 0, 0, 0, // in_port
        16, 0, 4, 0, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, // ethernet
        6, 0, 6, 0, 0x81, 0, 0, 0, // the tag's type
        6, 0, 5, 0, 0x10, 0x0a, 0, 0, // the tag
        44, 0, 1, 0, // encap
        6, 0, 6, 0, 8, 0, 0, 0, // the payload's type
        16, 0, 7, 0, 10, 0, 0, 1, 10, 0, 0, 2, 6, 0, 64, 1, // ipv4, first fragment
        8, 0, 9, 0, 0, 80, 1, 187, // tcp
        6, 0, 18, 0, 0, 0x12, 0, 0, // its flags
    ];
    assert_eq!(attrs(|b| key::put_key(b, &k)), expect);
}

#[test]
#[cfg(target_endian = "little")]
fn bytes_of_actions_are_the_interfaces() {
    let nat = Nat { kind: Some(NatKind::Src), addr: Some((0x0a00_0001, 0x0a00_0001)), ..Nat::default() };
    let ct = CtAction { commit: true, zone: 7, mark: Some((1, 0xff)), nat: Some(nat), ..CtAction::default() };
    let list = [
        Action::PushVlan { tpid: 0x8100, tci: 0x1005 },
        Action::Ct(Box::new(ct)),
        Action::SetMasked {
            value: Header::Tcp { src: 80, dst: 0 },
            mask: Header::Tcp { src: 0xffff, dst: 0 },
        },
        Action::Output(OdpPort(3)),
    ];
    let expect: &[u8] = &[
        8, 0, 4, 0, 0x81, 0, 0x10, 5, // push_vlan
        52, 0, 12, 0, // ct
        4, 0, 1, 0, // commit
        6, 0, 2, 0, 7, 0, 0, 0, // zone
        12, 0, 3, 0, 1, 0, 0, 0, 0xff, 0, 0, 0, // mark
        24, 0, 6, 0, 4, 0, 1, 0, 8, 0, 3, 0, 10, 0, 0, 1, 8, 0, 4, 0, 10, 0, 0, 1, // nat(src=10.0.0.1)
        16, 0, 11, 0, 12, 0, 9, 0, 0, 80, 0, 0, 0xff, 0xff, 0, 0, // set_masked
        8, 0, 1, 0, 3, 0, 0, 0, // output
    ];
    assert_eq!(attrs(|b| actions::put_actions(b, &list)), expect);
}

#[test]
fn keys_that_do_not_go_together_are_refused() {
    let refused = |fill: fn(&mut Builder)| {
        let bytes = attrs(fill);
        let mut key = FlowKey::ZERO;
        key::take_key(Attrs::new(&bytes), &mut key).map_err(|e| (e.kind, e.attr))
    };
    use AttrErrorKind::{Prerequisite, Size, Unknown, Value};
    assert_eq!(refused(|b| b.put(7, &[0; 12])), Err((Prerequisite, 7)), "ipv4 without its type");
    assert_eq!(refused(|b| b.put(9, &[0; 4])), Err((Prerequisite, 9)), "tcp without ip");
    assert_eq!(refused(|b| b.put_be16(5, 0x1001)), Err((Prerequisite, 5)), "a tag without encap");
    assert_eq!(refused(|b| b.put(3, &[0; 3])), Err((Size, 3)));
    assert_eq!(refused(|b| b.put(40, &[])), Err((Unknown, 40)));
    assert_eq!(refused(|b| b.put(21, &[0; 16])), Err((Value, 21)), "four labels");
    assert_eq!(refused(|b| b.put_u32(22, 0x100)), Err((Value, 22)), "a ct_state that does not exist");
}
