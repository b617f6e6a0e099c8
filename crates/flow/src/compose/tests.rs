//! Extracting what was composed gives the key again.

use super::*;
use crate::extract;
use packet::PacketMeta;
use proptest::prelude::*;
use wire::EthAddr;

/// Sets every field of a key that a frame of its kind can have.
fn a_key() -> impl Strategy<Value = FlowKey> {
    let l2 = (any::<[u8; 6]>(), any::<[u8; 6]>(), prop::option::of(any::<u16>()), 0..6usize);
    let l3 = (any::<u128>(), any::<u128>(), any::<u8>(), any::<u8>(), 0..8usize, 0..3usize, 0..0x10_0000u32);
    let l4 = (any::<u16>(), any::<u16>(), 0..0x1000u16, any::<u128>(), any::<[u8; 6]>(), any::<u32>());
    (l2, l3, l4).prop_map(|((src, dst, tag, ty), (a, b, tos, ttl, proto, frag, label), l4)| {
        let mut key = FlowKey::ZERO;
        key.set_eth_src(EthAddr(src));
        key.set_eth_dst(EthAddr(dst));
        if let Some(tci) = tag {
            key.set_vlan_tpid(eth::TYPE_VLAN);
            key.set_vlan_tci(tci | eth::VLAN_CFI);
        }
        key.set_eth_type([0x800, 0x86dd, 0x806, 0x8847, 0x1234, eth::TYPE_NONE][ty]);
        let v6 = match key.eth_type() {
            eth::TYPE_IPV4 => {
                key.set_nw_src(a as u32);
                key.set_nw_dst(b as u32);
                false
            }
            eth::TYPE_IPV6 => {
                key.set_ipv6_src(a);
                key.set_ipv6_dst(b);
                key.set_ipv6_label(label);
                true
            }
            eth::TYPE_ARP => {
                key.set_nw_src(a as u32);
                key.set_nw_dst(b as u32);
                key.set_nw_proto(tos);
                key.set_arp_sha(EthAddr(src));
                key.set_arp_tha(EthAddr(dst));
                return key;
            }
            eth::TYPE_MPLS => {
                key.set_mpls_lse0(a as u32 & !0x100);
                key.set_mpls_lse1(b as u32 | 0x100);
                return key;
            }
            _ => return key,
        };
        key.set_nw_tos(tos);
        key.set_nw_ttl(ttl);
        key.set_nw_frag([0, 1, 3][frag]);
        key.set_nw_proto([6, 17, 132, 1, 58, 58, 47, 6][proto]);
        transport(&mut key, v6, l4, proto == 5);
        key
    })
}

fn transport(
    key: &mut FlowKey,
    v6: bool,
    (src, dst, flags, target, link, reserved): (u16, u16, u16, u128, [u8; 6], u32),
    nd: bool,
) {
    match (key.nw_proto(), v6) {
        _ if key.nw_frag() == 3 => return,
        (1, false) | (58, true) => {
            key.set_tp_src(src & 0x7f);
            key.set_tp_dst(dst & 0xff);
        }
        (6 | 17 | 132, _) => {
            key.set_tp_src(src);
            key.set_tp_dst(dst);
        }
        _ => return,
    }
    if key.nw_proto() == 6 {
        key.set_tcp_flags(flags);
    }
    if key.nw_proto() == 58 && v6 && nd {
        key.set_tp_src(135);
        key.set_tp_dst(0);
        key.set_nd_target(target);
        key.set_nd_reserved(reserved);
        key.set_arp_sha(EthAddr(link));
        key.set_nd_options_type(if EthAddr(link) == EthAddr::ZERO { 0 } else { 1 });
    }
}

proptest! {
    #[test]
    fn extraction_inverts_composition(key in a_key(), payload in prop::collection::vec(any::<u8>(), 0..40)) {
        // A payload behind neighbour discovery would read as options.
        let payload = if kind(&key) == Transport::Nd { Vec::new() } else { payload };
        // LLC bytes that happen to be SNAP's carry another type.
        prop_assume!(key.eth_type() != eth::TYPE_NONE || payload.first() != Some(&0xaa));
        let frame = compose(&key, &payload).unwrap();
        let mut again = FlowKey::ZERO;
        let layers = extract(&PacketMeta::default(), &frame, frame.len(), 1, &mut again);
        prop_assert_eq!(again, key);
        if let Some(l4) = layers.l4.filter(|_| key.nw_proto() == 6) {
            let pseudo = match key.eth_type() {
                eth::TYPE_IPV4 => checksum::pseudo_v4(key.nw_src(), key.nw_dst(), 6, layers.end - l4),
                _ => checksum::pseudo_v6(key.ipv6_src(), key.ipv6_dst(), 6, u32::from(layers.end - l4)),
            };
            prop_assert_eq!(pseudo.bytes(&frame[usize::from(l4)..usize::from(layers.end)]).finish(), 0);
        }
    }
}

#[test]
fn payload_is_where_open_vswitch_puts_it() {
    let check = |v6: bool, proto: u8, src: u16, dst: u16, flags: u16, expected: usize| {
        let mut key = FlowKey::ZERO;
        key.set_eth_type(if v6 { eth::TYPE_IPV6 } else { eth::TYPE_IPV4 });
        key.set_nw_proto(proto);
        key.set_tp_src(src);
        key.set_tp_dst(dst);
        key.set_tcp_flags(flags);
        let payload = usual_payload(&key);
        assert_eq!(payload.len(), expected, "{key:?}");
        assert!(payload.iter().enumerate().all(|(n, byte)| n == usize::from(*byte)));
    };
    check(false, 6, 8, 10, 0, 64);
    check(true, 6, 8, 10, tcp::PSH | tcp::ACK, 64);
    check(false, 6, 8, 10, tcp::SYN | tcp::ACK, 0);
    check(false, 17, 8, 10, 0, 64);
    check(false, 1, 8, 0, 0, 64);
    check(false, 1, 3, 1, 0, 0);
    check(true, 58, 128, 0, 0, 64);
    check(true, 58, 135, 0, 0, 0);
    check(false, 132, 8, 10, 0, 0);
    check(false, 2, 0, 0, 0, 0);
}
