//! Sequence numbers that move, and tables that stay small.

use proptest::prelude::*;

use super::*;

proptest! {
    /// A stream in which some segments become longer or shorter: what is sent, sent again, and acknowledged.
    #[test]
    fn numbers_move_forth_and_back(
        start: u32, segments in prop::collection::vec((1u32..2000, -40i32..40), 1..20), again in 0usize..20
    ) {
        let mut skew = Skew::default();
        let (mut seq, mut moved) = (start, start);
        for (n, (len, by)) in segments.iter().enumerate() {
            // Only the last place is known: what was sent before it is acknowledged in good order.
            let (len, by) = (len + 41, if n == again { 0 } else { *by });
            prop_assert_eq!(seq.wrapping_add_signed(skew.of(seq)), moved);
            if by != 0 {
                skew.grow(seq, by);
                skew.grow(seq, by);
            }
            prop_assert_eq!(seq.wrapping_add_signed(skew.of(seq)), moved, "the segment itself, sent again");
            prop_assert_eq!(moved.wrapping_add_signed(-skew.of_ack(moved)), seq, "all before it is acknowledged");
            (seq, moved) = (seq.wrapping_add(len), moved.wrapping_add(len).wrapping_add_signed(by));
            prop_assert_eq!(moved.wrapping_add_signed(-skew.of_ack(moved)), seq, "it is acknowledged");
        }
    }
}

fn helped(n: u128, facts: &Facts) -> Helped<'_> {
    let orig = Tuple { src: n, dst: 2, src_port: 9, dst_port: 21, proto: 6, ..Tuple::default() };
    Helped {
        id: (ConnRef::from_number(n as u32), 1),
        alg: Alg::Ftp,
        side: Side::Orig,
        orig,
        reply: orig.reversed(),
        mark: 0,
        label: 0,
        facts,
        translated: false,
    }
}

const FACTS: Facts = Facts {
    tuple: Tuple {
        src: 0,
        dst: 0,
        src_port: 0,
        dst_port: 0,
        zone: 0,
        proto: 6,
        is_ipv6: false,
        icmp_type: 0,
        icmp_code: 0,
    },
    layout: Layout { l3: 14, l4: 34, end: 34 },
    kind: Kind::Other,
};

#[test]
fn what_is_expected_is_bounded_and_ends() {
    let algs = Algs::new().unwrap();
    for n in 0..2 * MAX_EXPECTED as u128 {
        let h = helped(n, &FACTS);
        assert_eq!(algs.expect(n as u64, &h, h.reply, 5000, None), Some(5000));
        // The same again is the same.
        assert_eq!(algs.expect(n as u64, &h, h.reply, 5000, None), Some(5000));
    }
    let data = |n: u128| Tuple { src: 2, dst: n, src_port: 20, dst_port: 5000, proto: 6, ..Tuple::default() };
    assert!(algs.expected(&data(0), 0).is_none());
    let last = 2 * MAX_EXPECTED as u128 - 1;
    assert_eq!(algs.expected(&data(last), 3000).unwrap().parent.src, last);
    let mut listed =
        std::iter::successors(algs.nth_expected(0, 3000), |(_, next)| algs.nth_expected(*next, 3000));
    assert!(listed.any(|(e, _)| e.parent.src == last && e.tuple.src_port == 0), "the last is listed");
    assert!(algs.expected(&data(last), last as u64 + EXPECT_MS).is_none());
    assert!(algs.expected(&Tuple { dst_port: 5001, ..data(last) }, 3000).is_none());
    algs.arrived(&data(last), (ConnRef::from_number(7), 3), &data(1), 3000);
    assert!(algs.expected(&data(last), 3000).is_none());
    assert_eq!(algs.parent((ConnRef::from_number(7), 3)), Some(data(1)));
    assert_eq!(algs.parent((ConnRef::from_number(7), 4)), None);
}

#[test]
fn a_translated_port_that_another_announced_becomes_another() {
    let algs = Algs::new().unwrap();
    let seen = Tuple { src: 2, dst: 100, src_port: 21, dst_port: 9, proto: 6, ..Tuple::default() };
    let to = |n| Some((NatKind::Dst, n, Some(5000)));
    assert_eq!(algs.expect(0, &helped(1, &FACTS), seen, 5000, to(1)), Some(5000));
    assert_eq!(algs.expect(0, &helped(3, &FACTS), seen, 5000, to(3)), Some(5001));
    // Untranslated, it cannot be told apart from the other's.
    assert_eq!(algs.expect(0, &helped(4, &FACTS), seen, 5000, None), None);
}
