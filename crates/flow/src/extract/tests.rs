//! Known packets give known keys; arbitrary bytes give some key.

extern crate std;

use alloc::vec::Vec;

use super::*;
use crate::{Wildcards, slot};
use packet::OdpPort;
use proptest::prelude::*;

fn key_of(frame: &[u8]) -> (FlowKey, Layers) {
    let mut key = FlowKey::ZERO;
    let meta = PacketMeta { in_port: OdpPort(7), ..Default::default() };
    let layers = extract(&meta, frame, frame.len(), 1, &mut key);
    (key, layers)
}

fn frame(eth_type: u16, tag: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let mut f = Vec::from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    if let Some(tci) = tag {
        f.extend(eth::TYPE_VLAN.to_be_bytes());
        f.extend(tci.to_be_bytes());
    }
    f.extend(eth_type.to_be_bytes());
    f.extend(payload);
    f
}

fn ipv4_packet(proto: u8, frag: u16, segment: &[u8]) -> Vec<u8> {
    let total = (ipv4::HEADER_LEN + segment.len()) as u16;
    let mut p = Vec::from([0x45, 0x28]);
    p.extend(total.to_be_bytes());
    p.extend([0, 1]);
    p.extend(frag.to_be_bytes());
    p.extend([61, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    p.extend(segment);
    p
}

const SYN: [u8; 20] = [0, 80, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0];

#[test]
fn a_tagged_tcp_segment() {
    let mut f = frame(eth::TYPE_IPV4, Some(0x600a), &ipv4_packet(ip::PROTO_TCP, 0, &SYN));
    let end = f.len();
    f.extend([0; 6]);
    let (key, layers) = key_of(&f);
    assert_eq!(layers, Layers { l3: Some(18), l4: Some(38), end: end as u16 });
    assert_eq!((key.in_port(), key.vlan_tpid(), key.vlan_tci()), (7, 0x8100, 0x700a));
    assert_eq!((key.eth_type(), key.nw_src(), key.nw_dst()), (0x800, 0x0a000001, 0x0a000002));
    assert_eq!((key.nw_proto(), key.nw_tos(), key.nw_ttl(), key.nw_frag()), (6, 0x28, 61, 0));
    assert_eq!((key.tp_src(), key.tp_dst(), key.tcp_flags()), (80, 256, tcp::SYN));
}

#[test]
fn a_later_fragment_has_no_ports_and_a_first_one_has() {
    let (later, layers) = key_of(&frame(eth::TYPE_IPV4, None, &ipv4_packet(ip::PROTO_TCP, 0x2001, &SYN)));
    assert_eq!((later.nw_frag(), later.tp_src(), layers.l4), (3, 0, None));
    let (first, _) = key_of(&frame(eth::TYPE_IPV4, None, &ipv4_packet(ip::PROTO_TCP, 0x2000, &SYN)));
    assert_eq!((first.nw_frag(), first.tp_src()), (1, 80));
}

#[test]
fn a_contradictory_header_ends_the_key() {
    let mut p = ipv4_packet(ip::PROTO_TCP, 0, &SYN);
    p[3] += 1;
    let (key, layers) = key_of(&frame(eth::TYPE_IPV4, None, &p));
    assert_eq!((key.eth_type(), key.nw_src(), layers.l3), (0x800, 0, Some(14)));
}

#[test]
fn snap_and_802_3() {
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x06, 1, 2];
    assert_eq!(key_of(&frame(10, None, &snap)).0.eth_type(), eth::TYPE_ARP);
    assert_eq!(key_of(&frame(10, None, &[0x42, 0x42, 3])).0.eth_type(), eth::TYPE_NONE);
}

#[test]
fn neighbour_solicitation_with_link_address() {
    let nd = icmpv6::Nd {
        icmp_type: icmpv6::NEIGHBOR_SOLICIT,
        reserved: 0,
        target: 0xfe80 << 112 | 9,
        link_addr: EthAddr([1, 2, 3, 4, 5, 6]),
    }
    .emit();
    let h = ipv6::Ipv6 {
        traffic_class: 0,
        label: 5,
        payload_len: nd.len() as u16,
        next_header: ip::PROTO_ICMPV6,
        hop_limit: 255,
        src: 1,
        dst: 2,
    };
    let mut p = Vec::from(h.emit());
    p.extend(nd);
    let (key, _) = key_of(&frame(eth::TYPE_IPV6, None, &p));
    assert_eq!((key.tp_src(), key.tp_dst(), key.nw_ttl(), key.ipv6_label()), (135, 0, 255, 5));
    assert_eq!((key.nd_target(), key.arp_sha()), (0xfe80 << 112 | 9, EthAddr([1, 2, 3, 4, 5, 6])));
}

proptest! {
    /// Every truncation of any bytes gives a key whose unset layers are zero.
    #[test]
    fn total_over_any_bytes(mut f in prop::collection::vec(any::<u8>(), 0..160), ty in 0..6usize, cut in 0..160usize) {
        let ty = [0x800, 0x806, 0x86dd, 0x8847, 0x8100, 3][ty];
        if f.len() > 14 {
            f[12..14].copy_from_slice(&u16::to_be_bytes(ty));
            f[14] = if ty == 0x800 { 0x45 } else { 0x60 };
        }
        f.truncate(cut);
        let (key, layers) = key_of(&f);
        if layers.l4.is_none() {
            prop_assert_eq!((key.tp_src(), key.tp_dst(), key.tcp_flags()), (0, 0, 0));
        }
        if layers.l3.is_none() {
            let mut l3 = Wildcards::NONE;
            [slot::nw_src, slot::nw_proto, slot::ipv6_src].into_iter().for_each(|s| l3.unwildcard(s));
            prop_assert!(l3.equal(&key, &FlowKey::ZERO));
        }
        prop_assert!(usize::from(layers.end) <= f.len());
    }
}
