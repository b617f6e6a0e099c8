//! What is built and pushed is popped; any bytes are read or refused.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use odp::TunnelKind;
use packet::{FlatPacket, L4Checksum, PacketBuf, TunnelKey, TunnelOptions};
use proptest::prelude::*;
use wire::checksum::{checksum, pseudo_v4, pseudo_v6};
use wire::{EthAddr, bytes, eth};

use super::*;

fn outer(is_ipv6: bool) -> Outer {
    let (src, dst) =
        if is_ipv6 { (0x2001 << 112 | 1, 0x2001 << 112 | 2) } else { (0x0a00_0001, 0x0a00_0002) };
    Outer { eth_src: EthAddr([2; 6]), eth_dst: EthAddr([4; 6]), src, dst, is_ipv6 }
}

fn ports(kind: TunnelKind) -> u16 {
    match kind {
        TunnelKind::Vxlan => 4789,
        TunnelKind::Geneve => 6081,
        TunnelKind::Gtpu => 2152,
        TunnelKind::Stt => 7471,
        _ => 6635,
    }
}

fn kinds() -> impl Strategy<Value = TunnelKind> {
    prop::sample::select(vec![
        TunnelKind::Vxlan,
        TunnelKind::Geneve,
        TunnelKind::Gre,
        TunnelKind::Erspan,
        TunnelKind::Gtpu,
        TunnelKind::BareUdp,
        TunnelKind::Stt,
    ])
}

/// The key that a receiver sees of what was sent.
fn expected(kind: TunnelKind, sent: &TunnelKey, o: &Outer) -> TunnelKey {
    let mut key = *sent;
    if o.is_ipv6 {
        (key.ipv6_src, key.ipv6_dst) = (o.src, o.dst);
        key.flags &= !TunnelKey::DF;
    } else {
        (key.src, key.dst) = (o.src as u32, o.dst as u32);
    }
    key.flags |= TunnelKey::KEY;
    match kind {
        TunnelKind::Gre => {}
        TunnelKind::Erspan => key.flags &= !TunnelKey::CSUM,
        _ => (key.tp_src, key.tp_dst) = (40000, ports(kind)),
    }
    if kind == TunnelKind::Gtpu {
        (key.gtpu_flags, key.gtpu_msgtype) = (0x30, 255);
    }
    if kind == TunnelKind::BareUdp {
        (key.id, key.flags) = (0, key.flags & !TunnelKey::KEY);
    }
    key
}

proptest! {
    #[test]
    fn headers_read_back_from_the_text_of_their_action(
        kind in kinds(), v6: bool, id in 0u64..1 << 24, tos: u8, ttl: u8, bits: [bool; 5], gbp_id: u16,
        words in prop::collection::vec(any::<[u8; 4]>(), 0..32), idx in 0u32..1 << 20,
    ) {
        let [df, csum, sequence, gbp, second] = bits;
        let flags = [(df, TunnelKey::DF), (csum, TunnelKey::CSUM), (true, TunnelKey::KEY)];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
        let list: Vec<u8> = words.iter().flat_map(|w| [1, 2, 0x83, 1].into_iter().chain(*w)).collect();
        let key = TunnelKey {
            id, tos, ttl, flags, gbp_id, erspan_ver: 1 + u8::from(second), erspan_idx: idx,
            erspan_dir: 1, erspan_hwid: idx as u8 & 0x3f, options: TunnelOptions::new(&list).unwrap(),
            ..TunnelKey::default()
        };
        let shape = Shape { dst_port: ports(kind), gbp, sequence, ..Shape::default() };
        let header = build(kind, &outer(v6), &key, &shape).unwrap().bytes().to_vec();
        let (tnl_port, out_port) = (packet::OdpPort(4), packet::OdpPort(5));
        let push = odp::Action::TnlPush(Box::new(odp::TnlPush { tnl_port, out_port, kind, header }));
        let text = push.to_string();
        let back = odp::text::parse_actions(&text, &|_| None).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(back, [push]);
    }

    #[test]
    fn what_is_pushed_is_popped(
        kind in kinds().prop_filter("segments are `stt`'s", |k| *k != TunnelKind::Stt), v6: bool, id in 0u64..1 << 24, tos: u8, ttl in 1u8.., df: bool, csum: bool,
        words in prop::collection::vec(any::<[u8; 4]>(), 0..32), body in prop::collection::vec(any::<u8>(), 20..200),
    ) {
        let mut key = TunnelKey { id, tos, ttl, flags: TunnelKey::KEY, ..TunnelKey::default() };
        if df { key.flags |= TunnelKey::DF }
        if csum { key.flags |= TunnelKey::CSUM }
        let mut shape = Shape { dst_port: ports(kind), ..Shape::default() };
        match kind {
            TunnelKind::Geneve => {
                let list: Vec<u8> = words.iter().flat_map(|w| [1, 2, 3, 1].into_iter().chain(*w)).collect();
                key.options = TunnelOptions::new(&list).unwrap();
            }
            TunnelKind::Erspan => (key.id, key.erspan_ver, key.erspan_idx) = (id & 0x3ff, 1, id as u32 & 0xfffff),
            TunnelKind::Gtpu | TunnelKind::BareUdp => shape.packet_type = 1 << 16 | u32::from(eth::TYPE_IPV4),
            _ => {}
        }
        let mut body = body;
        if shape.packet_type != 0 { body[0] = 0x45 }
        let o = outer(v6);
        let header = build(kind, &o, &key, &shape).unwrap();
        let mut p = FlatPacket::try_with_capacity(body.len(), MAX_HEADER).unwrap();
        prop_assert!(p.append(&body));
        push(&mut p, header.bytes(), 40000).unwrap();
        let popped = pop(kind, p.frame()).unwrap();
        prop_assert_eq!(popped.key, expected(kind, &key, &o));
        prop_assert_eq!((popped.packet_type, &p.frame()[popped.len..]), (shape.packet_type, &body[..]));
        outer_is_right(p.frame(), v6, csum && kind != TunnelKind::Erspan)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        kind in kinds(), v6: bool, rest in prop::collection::vec(any::<u8>(), 0..120), proto in prop::sample::select(vec![17u8, 47, 43]),
    ) {
        let mut f = vec![0; 12];
        f.extend(if v6 { [0x86, 0xdd] } else { [8, 0] });
        let mut rest = rest;
        if let (false, Some(first)) = (v6, rest.first_mut()) { *first = 0x45 }
        if let Some(p) = rest.get_mut(if v6 { 6 } else { 9 }) { *p = proto }
        if !v6 && rest.len() >= 20 {
            rest[6..8].fill(0);
            rest[10..12].fill(0);
            let sum = checksum(&rest[..20]);
            rest[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        f.extend(rest);
        for n in 0..=f.len() {
            if let Some(popped) = pop(kind, &f[..n]) {
                prop_assert!(popped.len <= n);
            }
            let _ = pop(TunnelKind::Srv6, &f[..n]);
        }
        let len = f.len();
        let _ = finish(&mut f, len);
    }
}

/// Lengths and checksums, recomputed.
fn outer_is_right(f: &[u8], v6: bool, csum: bool) -> Result<(), TestCaseError> {
    let (l4, proto) = if v6 { (54, f[20]) } else { (34, f[23]) };
    if v6 {
        prop_assert_eq!(usize::from(bytes::u16_at(f, 18).unwrap()), f.len() - 54);
    } else {
        prop_assert_eq!(usize::from(bytes::u16_at(f, 16).unwrap()), f.len() - 14);
        prop_assert_eq!(checksum(&f[14..34]), 0);
    }
    if proto == 17 {
        prop_assert_eq!(usize::from(bytes::u16_at(f, l4 + 4).unwrap()), f.len() - l4);
        let n = f.len() - l4;
        let pseudo = if v6 {
            pseudo_v6(bytes::u128_at(f, 22).unwrap(), bytes::u128_at(f, 38).unwrap(), 17, n as u32)
        } else {
            pseudo_v4(bytes::u32_at(f, 26).unwrap(), bytes::u32_at(f, 30).unwrap(), 17, n as u16)
        };
        let sum = bytes::u16_at(f, l4 + 6).unwrap();
        prop_assert_eq!(sum != 0, csum);
        if csum {
            prop_assert_eq!(pseudo.bytes(&f[l4..]).finish(), 0)
        }
    } else if csum {
        prop_assert_eq!(checksum(&f[l4..]), 0);
    }
    Ok(())
}

#[test]
fn an_outer_checksum_completes_the_inner_one_first() {
    let key = TunnelKey { ttl: 64, flags: TunnelKey::CSUM, ..TunnelKey::default() };
    let shape = Shape { dst_port: 4789, ..Shape::default() };
    let header = build(TunnelKind::Vxlan, &outer(false), &key, &shape).unwrap();
    let mut p = FlatPacket::try_from_frame(&[7; 60]).unwrap();
    p.offload_mut().l4 = L4Checksum::Partial { start: 20, offset: 6 };
    push(&mut p, header.bytes(), 1).unwrap();
    assert_eq!(p.offload().l4, L4Checksum::Good);
    let mut plain = FlatPacket::try_from_frame(&[7; 60]).unwrap();
    plain.offload_mut().l4 = L4Checksum::Partial { start: 20, offset: 6 };
    let key = TunnelKey { flags: 0, ..key };
    push(&mut plain, build(TunnelKind::Vxlan, &outer(false), &key, &shape).unwrap().bytes(), 1).unwrap();
    assert_eq!(
        plain.offload().l4,
        L4Checksum::Partial { start: 70, offset: 6 },
        "the device's work stays the device's"
    );
}

#[test]
fn segments_are_named_last_first() {
    let mut o = outer(true);
    let list = [o.dst, 0xfc00 << 112 | 1];
    o.dst = list[0];
    let shape = Shape { packet_type: 1 << 16 | 0x800, segments: &list, ..Shape::default() };
    let h = build(TunnelKind::Srv6, &o, &TunnelKey { ttl: 64, ..TunnelKey::default() }, &shape).unwrap();
    assert_eq!(h.bytes().len(), 14 + 40 + 8 + 32);
    assert_eq!(h.bytes()[54..62], [4, 4, 4, 1, 1, 0, 0, 0]);
    assert_eq!(bytes::u128_at(h.bytes(), 62), Some(list[1]));
    assert_eq!(pop(TunnelKind::Srv6, h.bytes()), None, "a segment is left");
}
