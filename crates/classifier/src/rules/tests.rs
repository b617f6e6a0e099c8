//! The table against a linear scan, and the wildcards against flipped bits.

use alloc::vec::Vec;

use super::*;
use flow::{Slot, slot};
use proptest::prelude::*;

const SLOTS: [Slot; 6] =
    [slot::in_port, slot::eth_type, slot::ipv6_src, slot::nw_dst, slot::tp_dst, slot::reg3];

/// Values that differ in bits high and low, so that prefixes of any length tell some apart.
fn spread(slot: Slot, value: u128) -> u128 {
    let high = slot.bits - 2;
    value & 3 | (value >> 2 & 3) << high | (value >> 4 & 3) << (high / 2)
}

/// Values and masks from small sets, so that rules overlap and packets hit; some are prefixes.
fn a_match() -> impl Strategy<Value = Match> {
    let prefix = |slot: Slot| {
        let of = move |len: u8| slot.max() & !(slot.max() >> len.min(slot.bits - 1));
        prop_oneof![
            2 => Just(0),
            2 => Just(u128::MAX),
            1 => prop::sample::select(&[1u128, 3][..]),
            2 => prop::sample::select(&[1u8, 2, 7, 8, 12, 17, 24, 31, 48, 64, 100, 127][..]).prop_map(of),
        ]
    };
    SLOTS.map(|slot| (0..64u128, prefix(slot))).prop_map(|fields| {
        let mut m = Match::ANY;
        for (s, (value, mask)) in SLOTS.into_iter().zip(fields) {
            m.set_masked(s, spread(s, value), mask);
        }
        m
    })
}

/// Rules that differ in an address's last bits and in a port alone: too many for one bucket.
fn a_crowd() -> impl Strategy<Value = Vec<(Match, u32)>> {
    prop::collection::vec((0..8u128, 0..4u128, 0..8u32), 0..60).prop_map(|all| {
        let one = |(host, port, priority): (u128, u128, u32)| {
            let mut m = Match::ANY;
            m.set_exact(slot::nw_dst, 0x0a00_0000 | host);
            m.set_exact(slot::tp_dst, port);
            (m, priority)
        };
        all.into_iter().map(one).collect()
    })
}

fn a_key() -> impl Strategy<Value = FlowKey> {
    let near = (0..8u128, 0..4u128).prop_map(|(host, port)| {
        let mut key = FlowKey::ZERO;
        key.set_nw_dst(0x0a00_0000 | host as u32);
        key.set_tp_dst(port as u16);
        key
    });
    let any = SLOTS.map(|_| 0..64u128).prop_map(|values| {
        let mut key = FlowKey::ZERO;
        SLOTS.into_iter().zip(values).for_each(|(s, v)| key.set(s, spread(s, v)));
        key
    });
    prop_oneof![1 => near, 2 => any]
}

fn linear(rules: &[(Match, u32)], key: &FlowKey) -> Option<u32> {
    rules.iter().filter(|(m, _)| m.matches(key)).map(|(_, p)| *p).max()
}

proptest! {
    #[test]
    fn finds_what_a_linear_scan_finds(
        rules in prop::collection::vec((a_match(), 0..8u32), 0..40),
        crowd in a_crowd(),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        keys in prop::collection::vec(a_key(), 1..20),
    ) {
        let mut table = RuleTable::new(7);
        let mut model: Vec<(Match, u32)> = Vec::new();
        for (m, p) in rules.into_iter().chain(crowd) {
            let replaced = table.insert(&m, p, p).is_some();
            prop_assert_eq!(replaced, model.contains(&(m, p)));
            if !replaced {
                model.push((m, p));
            }
        }
        let snapshot = table.clone();
        let before = model.clone();
        for i in removed {
            if !model.is_empty() {
                let (m, p) = model.swap_remove(i.index(model.len()));
                prop_assert_eq!(table.remove(&m, p), Some(p));
                prop_assert_eq!(table.remove(&m, p), None);
            }
        }
        prop_assert_eq!(table.len(), model.len());
        for key in keys.clone() {
            let mut wc = Wildcards::NONE;
            let found = table.lookup(&key, Some(&mut wc)).map(|r| r.priority);
            prop_assert_eq!(found, linear(&model, &key));
            prop_assert_eq!(snapshot.lookup(&key, None).map(|r| r.priority), linear(&before, &key));
            for other in &keys {
                // Any packet that is alike in what was looked at.
                let mut other = *other;
                for ((o, k), bits) in other.words_mut().iter_mut().zip(key.words()).zip(wc.words()) {
                    *o = *o & !bits | k & bits;
                }
                prop_assert_eq!(linear(&model, &other), found);
            }
            for (s, bit) in SLOTS.into_iter().flat_map(|s| (0..s.bits).map(move |bit| (s, bit))) {
                if wc.get(s) >> bit & 1 == 0 {
                    let mut other = key;
                    other.set(s, key.get(s) ^ 1 << bit);
                    prop_assert_eq!(linear(&model, &other), found, "bit {} of {:?} was not looked at", bit, s);
                }
            }
        }
    }
}

#[test]
fn overlap_needs_equal_priority_and_agreeing_bits() {
    let mut table = RuleTable::new(0);
    let mut a = Match::ANY;
    a.set_exact(slot::in_port, 1);
    let mut b = Match::ANY;
    b.set_exact(slot::tp_dst, 80);
    table.insert(&a, 5, 1);
    assert_eq!(table.overlapping(&b, 5).count(), 1);
    assert_eq!(table.overlapping(&b, 6).count(), 0);
    b.set_exact(slot::in_port, 2);
    assert_eq!(table.overlapping(&b, 5).count(), 0);
}

#[test]
fn what_differs_from_no_rule_above_is_looked_at_only_as_far_as_it_differs() {
    let mut table = RuleTable::new(0);
    let mut network = Match::ANY;
    network.set_masked(slot::nw_dst, 0x0a10_0000, 0xfff0_0000);
    let mut host = Match::ANY;
    host.set_exact(slot::nw_dst, 0x0a10_0001);
    let mut port = network;
    port.set_exact(slot::tp_dst, 80);
    table.insert(&network, 1, 1);
    table.insert(&host, 0, 2);
    table.insert(&port, 2, 3);
    let mut key = FlowKey::ZERO;
    key.set_nw_dst(0x0a1f_ffff);
    key.set_tp_dst(1024);
    let mut wc = Wildcards::NONE;
    assert_eq!(table.lookup(&key, Some(&mut wc)).map(|r| r.value), Some(1));
    assert_eq!(wc.nw_dst(), 0xfff0_0000, "and not what only the rule of lower priority has");
    assert_eq!(wc.tp_dst(), 0xff00, "80 and 1024 differ in the first byte");
}
