//! A rewritten frame is the frame that would have been composed of the rewritten key: bytes and checksums alike.

use alloc::vec::Vec;

use super::*;
use flow::{Layers, compose, extract, slot};
use packet::{FlatPacket, PacketMeta};
use proptest::prelude::*;

/// A packet that owns its parts.
struct Owned {
    meta: PacketMeta,
    buf: FlatPacket,
    layers: Layers,
}

impl Owned {
    fn set(&mut self, key: &FlowKey, value: &Header, mask: &Header) -> Done {
        let mut p = Packet { meta: &mut self.meta, buf: &mut self.buf, layers: self.layers };
        set(&mut p, key, value, Some(mask))
    }
}

fn a_packet(key: &FlowKey) -> (Owned, FlowKey) {
    let frame = compose(key, b"payload").unwrap();
    let mut seen = FlowKey::ZERO;
    let layers: Layers = extract(&PacketMeta::default(), &frame, frame.len(), 1, &mut seen);
    let buf = FlatPacket::try_from_frame(&frame).unwrap();
    (Owned { meta: PacketMeta::default(), buf, layers }, seen)
}

fn a_key(v6: bool, proto: u8) -> FlowKey {
    let mut key = FlowKey::ZERO;
    key.set_eth_dst(EthAddr([2, 0, 0, 0, 0, 1]));
    key.set_eth_src(EthAddr([2, 0, 0, 0, 0, 2]));
    key.set_vlan_tpid(eth::TYPE_VLAN);
    key.set_vlan_tci(eth::VLAN_CFI | 7);
    key.set_eth_type(if v6 { eth::TYPE_IPV6 } else { eth::TYPE_IPV4 });
    if v6 {
        key.set_ipv6_src(1 << 100 | 5);
        key.set_ipv6_dst(2 << 100 | 6);
    } else {
        key.set_nw_src(0x0a00_0001);
        key.set_nw_dst(0x0a00_0002);
    }
    key.set_nw_proto(proto);
    key.set_nw_ttl(64);
    key.set_tp_src(if proto == ip::PROTO_ICMPV6 { 128 } else { 1000 });
    key.set_tp_dst(if proto == ip::PROTO_ICMPV6 { 0 } else { 2000 });
    key
}

/// The headers that write `n` and `m`, under their masks, and the key as it then must be.
fn sets(v6: bool, proto: u8, n: u128, m: u128, mn: u128, mm: u128) -> (Vec<(Header, Header)>, FlowKey) {
    let mut key = a_key(v6, proto);
    let mut blend = |slot: flow::Slot, new: u128, mask: u128| {
        let old = key.get(slot);
        key.set(slot, blend!(old, new, mask));
    };
    let mut list = Vec::new();
    let mac = |n: u128| EthAddr::from_u64(n as u64 & 0xffff_ffff_ffff);
    blend(slot::eth_src, n, mn);
    blend(slot::eth_dst, m, mm);
    list.push((
        Header::Ethernet { src: mac(n), dst: mac(m) },
        Header::Ethernet { src: mac(mn), dst: mac(mm) },
    ));
    blend(slot::vlan_tci, n, mn & 0xefff);
    list.push((Header::Vlan { tci: n as u16 }, Header::Vlan { tci: mn as u16 & 0xefff }));
    let (tos, ttl, mtos, mttl) = (n as u8, m as u8, mn as u8, mm as u8);
    blend(slot::nw_tos, tos.into(), mtos.into());
    blend(slot::nw_ttl, ttl.into(), mttl.into());
    if v6 {
        blend(slot::ipv6_src, n, mn);
        blend(slot::ipv6_dst, m, mm);
        blend(slot::ipv6_label, n & 0xfffff, mm & 0xfffff);
        let header = |src, dst, label: u128, tclass, hlimit| Header::Ipv6 {
            src,
            dst,
            label: label as u32 & 0xfffff,
            proto: 0,
            tclass,
            hlimit,
            frag: 0,
        };
        list.push((header(n, m, n, tos, ttl), header(mn, mm, mm, mtos, mttl)));
    } else {
        blend(slot::nw_src, n, mn & 0xffff_ffff);
        blend(slot::nw_dst, m, mm & 0xffff_ffff);
        let header = |src: u128, dst: u128, tos, ttl| Header::Ipv4 {
            src: src as u32,
            dst: dst as u32,
            proto: 0,
            tos,
            ttl,
            frag: 0,
        };
        list.push((header(n, m, tos, ttl), header(mn, mm, mtos, mttl)));
    }
    if proto != ip::PROTO_ICMPV6 {
        blend(slot::tp_src, n, mn & 0xffff);
        blend(slot::tp_dst, m, mm & 0xffff);
        let ports = |src: u128, dst: u128| {
            let (src, dst) = (src as u16, dst as u16);
            match proto {
                ip::PROTO_TCP => Header::Tcp { src, dst },
                ip::PROTO_UDP => Header::Udp { src, dst },
                _ => Header::Sctp { src, dst },
            }
        };
        list.push((ports(n, m), ports(mn, mm)));
    }
    (list, key)
}

proptest! {
    #[test]
    fn rewriting_is_composing_anew(
        v6 in any::<bool>(), proto in 0..4usize,
        n in any::<u128>(), m in any::<u128>(), mn in any::<u128>(), mm in any::<u128>(),
    ) {
        let proto = [ip::PROTO_TCP, ip::PROTO_UDP, ip::PROTO_SCTP, ip::PROTO_ICMPV6][proto];
        let v6 = v6 || proto == ip::PROTO_ICMPV6;
        let (list, expected) = sets(v6, proto, n, m, mn, mm);
        let (mut p, key) = a_packet(&a_key(v6, proto));
        for (value, mask) in &list {
            prop_assert_eq!(p.set(&key, value, mask), Ok(()));
        }
        let frame = compose(&expected, b"payload").unwrap();
        // A ones'-complement sum has two zeros; incremental updates may leave the other one.
        let differing = p.buf.frame().iter().zip(&frame).filter(|(a, b)| a != b).count();
        prop_assert!(differing == 0 || both_zeros(p.buf.frame(), &frame), "{:02x?}\n{:02x?}", p.buf.frame(), frame);
    }

    /// With only the pseudo header summed, addresses change the sum and nothing else does.
    #[test]
    fn partial_checksums_follow_the_addresses(n in any::<u128>(), m in any::<u128>(), proto in 0..2usize) {
        let proto = [ip::PROTO_TCP, ip::PROTO_UDP][proto];
        let at = if proto == ip::PROTO_TCP { tcp::OFF_CHECKSUM } else { udp::OFF_CHECKSUM };
        let (list, expected) = sets(false, proto, n, m, u128::MAX, u128::MAX);
        let (mut p, key) = a_packet(&a_key(false, proto));
        let (l4, end) = (p.layers.l4.unwrap(), p.layers.end);
        let sum = |key: &FlowKey| wire::checksum::pseudo_v4(key.nw_src(), key.nw_dst(), proto, end - l4).fold();
        p.buf.offload_mut().l4 = L4Checksum::Partial { start: l4, offset: at as u16 };
        let here = usize::from(l4) + at;
        bytes::put(p.buf.head_mut(), here, &sum(&key).to_be_bytes()).unwrap();
        for (value, mask) in &list {
            prop_assert_eq!(p.set(&key, value, mask), Ok(()));
        }
        let (got, want) = (bytes::u16_at(p.buf.head(), here).unwrap(), sum(&expected));
        prop_assert!(got == want || got.wrapping_sub(want) == 0xffff || want.wrapping_sub(got) == 0xffff);
    }
}

/// True if two frames differ only where one has 0x0000 and the other 0xffff.
fn both_zeros(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).filter(|(x, y)| x != y).all(|(x, y)| matches!((x, y), (0, 0xff) | (0xff, 0)))
}
