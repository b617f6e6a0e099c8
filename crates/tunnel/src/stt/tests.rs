//! What goes in comes out, in whatever order and however often its segments come; hostile segments are refused.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use odp::TunnelKind;
use packet::{FlatPacket, Instant, OdpPort};
use proptest::prelude::*;
use wire::EthAddr;

use super::*;
use crate::reassembly::{BYTES, FRAMES, TIMEOUT};
use crate::{Lost, Outer, Reassembled, Reassembly, Shape};

const PORT: OdpPort = OdpPort(7);

fn header(is_ipv6: bool, id: u64) -> Vec<u8> {
    let (src, dst) = if is_ipv6 { (1 << 112 | 1, 1 << 112 | 2) } else { (0x0a00_0001, 0x0a00_0002) };
    let outer = Outer { eth_src: EthAddr([2; 6]), eth_dst: EthAddr([4; 6]), src, dst, is_ipv6 };
    let key = TunnelKey { id, ttl: 64, flags: TunnelKey::KEY | TunnelKey::DF, ..TunnelKey::default() };
    let shape = Shape { dst_port: stt::PORT, ..Shape::default() };
    crate::build(TunnelKind::Stt, &outer, &key, &shape).unwrap().bytes().to_vec()
}

/// The packets that a device would send.
fn cut(p: &FlatPacket) -> Vec<FlatPacket> {
    let Some(cuts) = Segments::of(p.frame(), p.len(), p.offload()) else {
        let mut one = p.clone();
        let l4 = p.offload().l4.complete(one.head_mut());
        assert_eq!(l4, L4Checksum::Good);
        one.offload_mut().l4 = L4Checksum::Unknown;
        return vec![one];
    };
    let piece = |i| {
        let mut f = p.frame()[..cuts.headers()].to_vec();
        f.extend_from_slice(&p.frame()[cuts.body(i)]);
        cuts.finish(&mut f, i).unwrap();
        FlatPacket::try_from_frame(&f).unwrap()
    };
    (0..cuts.count()).map(piece).collect()
}

fn add(
    r: &mut Reassembly<FlatPacket>,
    ms: u64,
    segment: &SttSegment,
    p: &FlatPacket,
) -> Reassembled<FlatPacket> {
    let room = |n| FlatPacket::try_with_capacity(0, n);
    r.add(Instant::from_millis(ms), (PORT, segment), p.clone(), room)
}

/// An inner TCP or UDP frame of `n` bytes of payload, with or without a tag.
fn inner(is_ipv6: bool, is_tcp: bool, tci: Option<u16>, n: usize) -> (Vec<u8>, usize) {
    let mut f = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
    if let Some(tci) = tci {
        f.extend([0x81, 0]);
        f.extend((tci & !TAG_PRESENT).to_be_bytes());
    }
    let proto = if is_tcp { ip::PROTO_TCP } else { ip::PROTO_UDP };
    let l4_len = n + if is_tcp { tcp::HEADER_LEN } else { udp::HEADER_LEN };
    if is_ipv6 {
        f.extend(eth::TYPE_IPV6.to_be_bytes());
        let payload_len = l4_len as u16;
        let h = ipv6::Ipv6 {
            traffic_class: 0,
            label: 0,
            payload_len,
            next_header: proto,
            hop_limit: 9,
            src: 1,
            dst: 2,
        };
        f.extend(h.emit());
    } else {
        f.extend(eth::TYPE_IPV4.to_be_bytes());
        let total_len = (ipv4::HEADER_LEN + l4_len) as u16;
        f.extend(ipv4::Ipv4 { tos: 0, total_len, id: 1, frag: 0, ttl: 9, proto, src: 1, dst: 2 }.emit());
    }
    let l4 = f.len();
    f.extend([0, 80, 1, 0]);
    if is_tcp {
        f.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 255, 255, 0x12, 0x34, 0, 0]);
    } else {
        f.extend((l4_len as u16).to_be_bytes());
        f.extend([0x12, 0x34]);
    }
    f.extend((0..n).map(|i| (i * 7) as u8));
    (f, l4)
}

proptest! {
    #[test]
    fn any_packet_comes_out_as_it_went_in(
        [v6, inner_v6, is_tcp, partial, is_super] in any::<[bool; 5]>(),
        tci in prop::option::of(any::<u16>()), n in 0usize..60_000, key: u64, id: u32, mtu in 1000u16..9000,
        mss in 500u16..2000, order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let (frame, l4) = inner(inner_v6, is_tcp, tci, n);
        let mut sent = FlatPacket::try_from_frame(&frame).unwrap();
        let offset = if is_tcp { tcp::OFF_CHECKSUM } else { udp::OFF_CHECKSUM } as u16;
        let is_super = is_super && is_tcp && partial && n > usize::from(mss);
        let kind = if inner_v6 { SegmentationKind::TcpV6 } else { SegmentationKind::TcpV4 };
        if partial {
            sent.offload_mut().l4 = L4Checksum::Partial { start: l4 as u16, offset };
        }
        sent.offload_mut().segment = is_super.then_some(Segmentation { kind, size: mss, ecn: false });
        prop_assert!(carries(&sent));
        let mut p = sent.clone();
        push(&mut p, &header(v6, key), 40_000, id, mtu).unwrap();
        let segments = cut(&p);
        let fits = usize::from(mtu) + eth::HEADER_LEN;
        prop_assert!(segments.iter().all(|s| s.len() <= fits));
        // Each once, after any of them any number of times, as far as it is no more than a frame's worth.
        let mut r = Reassembly::try_new().unwrap();
        let mut left: Vec<FlatPacket> = segments.clone();
        let repeated = order.iter().map(|i| i.get(&segments).clone());
        let mut arrived: Vec<FlatPacket> = if segments.len() == 1 { vec![] } else { repeated.collect() };
        while !left.is_empty() {
            let at = order.first().map_or(0, |i| i.index(left.len()));
            arrived.push(left.remove(at));
        }
        let mut whole = None;
        for mut packet in arrived {
            let segment = parse(&mut packet).expect("a segment of ours");
            prop_assert_eq!((segment.id, segment.key.tp_src, segment.key.tp_dst), (id, 40_000, stt::PORT));
            if let Reassembled::Whole(frame) = add(&mut r, 0, &segment, &packet) {
                whole.get_or_insert(frame);
            }
        }
        let mut got = whole.expect("all segments came");
        prop_assert_eq!(strip(&mut got), Some(key));
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn hostile_segments_are_refused_or_harmless(
        v6: bool, stray in prop::collection::vec((any::<u32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..90)), 1..40),
    ) {
        let mut r = Reassembly::try_new().unwrap();
        for (i, (seq, ack, body)) in stray.into_iter().enumerate() {
            let mut f = header(v6, 0);
            f.truncate(f.len() - stt::LEN);
            let l4 = f.len() - tcp::HEADER_LEN;
            f.extend(body);
            f[l4 + 4..l4 + 8].copy_from_slice(&(seq & 0x00ff_00ff).to_be_bytes());
            f[l4 + 8..l4 + 12].copy_from_slice(&(ack & 1).to_be_bytes());
            let len = f.len();
            finish(&mut f, len).unwrap();
            let mut p = FlatPacket::try_from_frame(&f).unwrap();
            p.offload_mut().l4 = L4Checksum::Good;
            let Some(segment) = parse(&mut p) else { continue };
            if let Reassembled::Whole(mut frame) = add(&mut r, i as u64, &segment, &p) {
                prop_assert_eq!(frame.len(), usize::from(segment.total));
                let _ = strip(&mut frame);
            }
        }
    }

    #[test]
    fn any_bytes_are_no_frame_or_one(bytes in prop::collection::vec(any::<u8>(), 0..120), len: prop::sample::Index) {
        let mut p = FlatPacket::try_from_frame(&bytes[..len.index(bytes.len() + 1)]).unwrap();
        let _ = parse(&mut p.clone());
        if strip(&mut p).is_some() && let L4Checksum::Partial { start, offset } = p.offload().l4 {
            prop_assert!(usize::from(start + offset) + 2 <= p.len());
        }
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut p = FlatPacket::try_from_frame(&[7; 60]).unwrap();
    push(&mut p, &header(false, 5), 1, 2, 1500).unwrap();
    let mut good = cut(&p).remove(0);
    assert!(parse(&mut good.clone()).is_some());
    *good.head_mut().last_mut().unwrap() ^= 1;
    assert_eq!(parse(&mut good.clone()), None);
    good.offload_mut().l4 = L4Checksum::Good;
    assert!(parse(&mut good).is_some(), "somebody else looked");
}

#[test]
fn datagrams_of_equal_size_and_giants_are_cut_first() {
    let mut p = FlatPacket::try_from_frame(&inner(false, false, None, 3000).0).unwrap();
    assert!(carries(&p));
    p.offload_mut().segment = Some(Segmentation { kind: SegmentationKind::Udp, size: 1000, ecn: false });
    assert!(!carries(&p));
    assert!(!carries(&FlatPacket::try_from_frame(&vec![0; 65_530]).unwrap()));
}

fn segment(id: u32, total: u16, offset: u16, len: usize) -> SttSegment {
    SttSegment { key: TunnelKey::default(), id, total, offset, start: 0, len }
}

#[test]
fn frames_that_wait_are_bounded_in_number_bytes_and_time() {
    let mut r = Reassembly::try_new().unwrap();
    let p = FlatPacket::try_from_frame(&[1; 100]).unwrap();
    for id in 0..FRAMES as u32 + 10 {
        assert!(matches!(add(&mut r, id.into(), &segment(id, 200, 0, 100), &p), Reassembled::Waits));
    }
    assert_eq!(r.take_lost(), Lost { timed_out: 0, evicted: 10 });
    assert!(
        matches!(add(&mut r, 90, &segment(0, 200, 100, 100), &p), Reassembled::Waits),
        "it was the oldest"
    );
    assert!(matches!(add(&mut r, 91, &segment(30, 200, 100, 100), &p), Reassembled::Whole(_)));
    let later = TIMEOUT.as_millis() as u64 + 1000;
    assert!(matches!(add(&mut r, later, &segment(40, 200, 100, 100), &p), Reassembled::Waits));
    assert_eq!(r.take_lost().timed_out, FRAMES as u32 - 1);
    for id in 0..BYTES as u32 / 65_000 + 5 {
        assert!(matches!(
            add(&mut r, later + 1, &segment(1000 + id, 65_000, 0, 100), &p),
            Reassembled::Waits
        ));
    }
    assert!(r.take_lost().evicted >= 5);
    assert!(TIMEOUT > Duration::ZERO);
}

#[test]
fn a_frame_in_too_many_pieces_is_given_up() {
    let mut r = Reassembly::try_new().unwrap();
    let p = FlatPacket::try_from_frame(&[1; 100]).unwrap();
    let mut last = Reassembled::Waits;
    for piece in 0..65 {
        last = add(&mut r, 0, &segment(1, 1000, piece * 2, 1), &p);
    }
    assert!(matches!(last, Reassembled::Scattered));
}

#[test]
fn frames_whose_rest_is_lost_do_not_keep_memory_from_others() {
    let mut r = Reassembly::try_new().unwrap();
    let p = FlatPacket::try_from_frame(&[1; 100]).unwrap();
    let now = Instant::from_millis(0);
    assert!(matches!(add(&mut r, 0, &segment(1, 200, 0, 100), &p), Reassembled::Waits));
    assert!(matches!(add(&mut r, 1, &segment(2, 200, 0, 100), &p), Reassembled::Waits));
    // The host has no memory for a third frame until the first gives its own back.
    let mut asked = 0;
    let waits = r.add(now, (PORT, &segment(3, 200, 0, 100)), p.clone(), |n| {
        asked += 1;
        if asked == 1 { None } else { FlatPacket::try_with_capacity(0, n) }
    });
    assert!(matches!(waits, Reassembled::Waits));
    assert_eq!(r.take_lost(), Lost { timed_out: 0, evicted: 1 });
    assert!(matches!(add(&mut r, 2, &segment(2, 200, 100, 100), &p), Reassembled::Whole(_)));
    let refused = r.add(now, (PORT, &segment(4, 200, 0, 100)), p, |_| None);
    assert!(matches!(refused, Reassembled::NoMemory));
}

#[test]
fn what_was_not_read_has_not_come() {
    let mut r = Reassembly::try_new().unwrap();
    let short = FlatPacket::try_from_frame(&[1; 60]).unwrap();
    assert!(matches!(add(&mut r, 0, &segment(1, 200, 0, 100), &short), Reassembled::NoMemory));
    let p = FlatPacket::try_from_frame(&[1; 100]).unwrap();
    assert!(matches!(add(&mut r, 0, &segment(1, 200, 100, 100), &p), Reassembled::Waits));
    assert!(matches!(add(&mut r, 0, &segment(1, 200, 0, 100), &p), Reassembled::Whole(_)));
}
