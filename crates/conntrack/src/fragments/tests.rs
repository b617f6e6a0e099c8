//! Datagrams cut up at random, in any order, with strangers between: what comes of them, and that nothing is left.

use std::vec::Vec;

use packet::Instant;
use proptest::prelude::*;
use wire::checksum::checksum;
use wire::ipv4::{self, Ipv4Ref};
use wire::ipv6::Ipv6;

use super::*;

const L3: usize = 14;

/// From which unit to which fragments reach, and whether others follow.
type Parts = Vec<(usize, usize, bool)>;

fn at(ms: u64) -> Now {
    Now { mono: Instant::from_millis(ms), wall_ms: ms }
}

fn table() -> Fragments {
    let fragments = Fragments::new(Seed::new([3, 4])).unwrap();
    for is_ipv6 in [false, true] {
        assert!(fragments.set_min_frag(is_ipv6, LEAST_MIN_FRAG));
    }
    fragments
}

/// A frame with bytes `from` on of a datagram's payload.
fn frame(is_ipv6: bool, id: u16, from: usize, body: &[u8], more: bool) -> Vec<u8> {
    let mut f = [0x22; 12].to_vec();
    if is_ipv6 {
        let payload_len = (8 + body.len()) as u16;
        let h = Ipv6 { payload_len, next_header: 44, hop_limit: 9, src: 1, dst: 2, ..Ipv6::default() };
        f.extend([0x86, 0xdd]);
        f.extend(h.emit());
        f.extend([253, 0]);
        f.extend((from as u16 | u16::from(more)).to_be_bytes());
        f.extend(u32::from(id).to_be_bytes());
    } else {
        f.extend([8, 0, 0x45, 0]);
        f.extend((20 + body.len() as u16).to_be_bytes());
        f.extend(id.to_be_bytes());
        f.extend(((from / 8) as u16 | if more { ipv4::FLAG_MF } else { 0 }).to_be_bytes());
        f.extend([9, 253, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let sum = checksum(&f[L3..]);
        f[L3 + 10..L3 + 12].copy_from_slice(&sum.to_be_bytes());
    }
    f.extend(body);
    f
}

fn give(fragments: &Fragments, now: Now, is_ipv6: bool, frame: &[u8]) -> Held {
    let Some(f) = FragmentRef::parse(frame, L3, is_ipv6, frame.len()) else { return Held::Refused };
    fragments.add(now, (0, 0), &f, &mut |from, out| out.copy_from_slice(&frame[from..from + out.len()]))
}

/// The datagram and what its fragments become with `changed` addresses.
fn finish(fragments: &Fragments, whole: Ipf) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut datagram = std::vec![0xee; whole.len()];
    assert!(fragments.assemble(&whole, &mut datagram));
    let (mut pieces, mut piece) = (Vec::new(), None);
    while let Some(next) = fragments.next(&whole, piece) {
        let mut out = std::vec![0xee; next.len()];
        assert!(fragments.restore(&whole, next, &datagram, &mut out));
        pieces.push(out);
        piece = Some(next);
    }
    fragments.release(whole);
    (datagram, pieces)
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 / 3) as u8).collect()
}

/// Cuts: each but the last a multiple of eight, and no shorter than what is asked.
fn cuts() -> impl Strategy<Value = (bool, Vec<usize>, u64)> {
    (any::<bool>(), prop::collection::vec(48usize..600, 1..12), 1usize..5000, any::<u64>()).prop_map(
        |(is_ipv6, units, last, seed)| {
            let mut cuts: Vec<_> = units.iter().map(|u| u * 8).collect();
            cuts.push(last);
            (is_ipv6, cuts, seed)
        },
    )
}

proptest! {
    #[test]
    fn a_datagram_comes_out_as_it_was_cut((is_ipv6, cuts, seed) in cuts()) {
        let fragments = table();
        let payload = body(cuts.iter().sum());
        let (mut from, mut frames) = (0, Vec::new());
        for (n, len) in cuts.iter().enumerate() {
            frames.push(frame(is_ipv6, 7, from, &payload[from..from + len], n + 1 < cuts.len()));
            from += len;
        }
        let mut order: Vec<_> = (0..frames.len()).collect();
        order.sort_by_key(|n| (seed ^ 0x9e37).wrapping_mul(*n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut done = None;
        for (i, n) in order.iter().enumerate() {
            prop_assert!(done.is_none());
            match give(&fragments, at(i as u64), is_ipv6, &frames[*n]) {
                Held::Whole(whole) => done = Some(whole),
                Held::Waits => {
                    // Twice the same is an overlap, and changes nothing.
                    prop_assert_eq!(give(&fragments, at(i as u64), is_ipv6, &frames[*n]), Held::Refused);
                }
                Held::Refused => prop_assert!(false, "fragment {} refused", n),
            }
        }
        let (datagram, pieces) = finish(&fragments, done.expect("all were given"));
        prop_assert_eq!(&pieces, &frames);
        prop_assert_eq!(&datagram[datagram.len() - payload.len()..], &payload[..]);
        if !is_ipv6 {
            let h = Ipv4Ref::parse(&datagram[L3..]).unwrap();
            prop_assert!(h.checksum_ok() && !h.is_fragment());
            prop_assert_eq!(usize::from(h.total_len()), datagram.len() - L3);
        }
        let store = fragments.store.lock();
        prop_assert_eq!((store.count(), store.waiting(0)), (0, None));
        let (all, free) = store.bytes();
        prop_assert_eq!(all, free);
    }

    /// Against a model that knows which bytes of each datagram have come.
    #[test]
    fn no_byte_is_taken_twice(
        given in prop::collection::vec((0u16..3, 0usize..12, 1usize..5, any::<bool>(), 0u64..400), 1..60)
    ) {
        const UNIT: usize = 400;
        let fragments = table();
        let mut model: [Option<(u64, Parts)>; 3] = Default::default();
        let mut now = 0;
        for (id, from, len, more, later) in given {
            now += later * 50;
            let parts = &mut model[usize::from(id)];
            if parts.as_ref().is_some_and(|(since, _)| now >= since + TIMEOUT_MS) {
                *parts = None;
            }
            let frame = frame(false, id, from * UNIT, &body(len * UNIT), more);
            let held = give(&fragments, at(now), false, &frame);
            if from == 0 && !more {
                prop_assert_eq!(held, Held::Refused, "it is none");
                continue;
            }
            let (since, mut list) = parts.clone().unwrap_or((now, Vec::new()));
            let clash = list.iter().any(|&(f, t, m)| {
                f < from + len && from < t || !m && from >= f || !more && f >= from
            });
            if clash {
                prop_assert_eq!(held, Held::Refused);
                continue;
            }
            list.push((from, from + len, more));
            list.sort_unstable();
            let mut end = 0;
            let runs = list.iter().all(|&(f, t, _)| std::mem::replace(&mut end, t) == f);
            if runs && list.last().is_some_and(|l| !l.2) {
                let Held::Whole(whole) = held else { panic!("not whole: {list:?}") };
                prop_assert_eq!(finish(&fragments, whole).1.len(), list.len());
                *parts = None;
            } else {
                prop_assert_eq!(held, Held::Waits);
                *parts = Some((since, list));
            }
        }
    }

    #[test]
    fn any_bytes_are_some_fragment_or_none(
        bytes in prop::collection::vec(any::<u8>(), 0..120), is_ipv6: bool, version in 0u8..16
    ) {
        let mut bytes = bytes;
        if let Some(first) = bytes.get_mut(L3) {
            *first = version << 4 | *first & 15;
        }
        if let Held::Whole(whole) = give(&table(), at(0), is_ipv6, &bytes) {
            prop_assert!(whole.len() <= bytes.len());
        }
    }
}

#[test]
fn what_waits_too_long_is_purged_and_counted() {
    let fragments = table();
    for (id, is_ipv6) in [(1, false), (2, false), (3, true)] {
        assert_eq!(
            give(&fragments, at(1000), is_ipv6, &frame(is_ipv6, id, 0, &body(800), true)),
            Held::Waits
        );
    }
    assert_eq!(fragments.count(at(999 + TIMEOUT_MS)), 3);
    assert_eq!(fragments.count(at(1000 + TIMEOUT_MS + 1000)), 0);
    assert_eq!((fragments.counts(false).purged, fragments.counts(true).purged), (2, 1));
    // The rest begins another datagram.
    let late = give(&fragments, at(20_000), false, &frame(false, 1, 800, &body(8), false));
    assert_eq!((late, fragments.count(at(20_000))), (Held::Waits, 1));
}

#[test]
fn limits_hold() {
    let fragments = table();
    assert!(!fragments.set_max(MAX_NFRAGS + 1) && !fragments.set_min_frag(false, LEAST_MIN_FRAG - 1));
    assert!(fragments.set_max(2));
    let send = |id, len| give(&fragments, at(0), false, &frame(false, id, 0, &body(len), true));
    assert_eq!((send(1, 376), fragments.counts(false).too_small), (Held::Refused, 1));
    assert_eq!((send(1, 384), send(2, 384), send(3, 384)), (Held::Waits, Held::Waits, Held::Refused));
    assert!(fragments.set_max(3));
    assert_eq!(send(3, 384), Held::Waits);
    fragments.set_enabled(false, false);
    assert_eq!(send(4, 384), Held::Refused);
}

#[test]
fn memory_grows_between_batches_to_its_bound() {
    let fragments = table();
    assert!(fragments.set_max(MAX_NFRAGS));
    let big = body(60_000);
    let mut held = 0;
    for id in 0..600 {
        if give(&fragments, at(0), false, &frame(false, id, 0, &big, true)) == Held::Waits {
            held += 1;
        }
        if fragments.wants_maintenance() {
            fragments.maintain(at(0));
        }
    }
    let store = fragments.store.lock();
    assert_eq!(store.bytes().0, store::MAX_BYTES);
    assert_eq!(held, store::MAX_BYTES / (60_034usize.div_ceil(2048) * 2048));
}

#[test]
fn a_datagram_is_at_most_as_long_as_ip_can_say() {
    let fragments = table();
    assert_eq!(give(&fragments, at(0), false, &frame(false, 1, 0, &body(32_768), true)), Held::Waits);
    let last = |len| frame(false, 1, 32_768, &body(len), false);
    assert_eq!(give(&fragments, at(0), false, &last(32_768 - 20)), Held::Refused);
    assert!(matches!(give(&fragments, at(0), false, &last(32_767 - 20)), Held::Whole(_)));
}

#[test]
fn waiting_datagrams_are_listed_as_open_vswitch_lists_them() {
    let fragments = table();
    let list = |from: usize, len: usize, more| {
        assert_eq!(give(&fragments, at(0), false, &frame(false, 9, from, &body(len), more)), Held::Waits);
        let (waiting, next) = fragments.waiting(0).unwrap();
        assert_eq!(fragments.waiting(next), None);
        std::format!("{waiting}")
    };
    let start =
        "(src=10.0.0.1,dst=10.0.0.2,recirc_id=0,ip_id=9,dl_type=0x800,zone=0,nw_proto=253,num_fragments=";
    assert_eq!(list(800, 800, true), std::format!("{start}1,state=other frag)"));
    assert_eq!(list(2400, 8, false), std::format!("{start}2,state=last frag)"));
    assert_eq!(list(0, 800, true), std::format!("{start}3,state=first/last frag)"));
}
