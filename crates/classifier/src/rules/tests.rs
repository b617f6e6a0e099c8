//! The table against a linear scan, and the wildcards against flipped bits.

use alloc::vec::Vec;

use super::*;
use flow::{Slot, slot};
use proptest::prelude::*;

const SLOTS: [Slot; 6] =
    [slot::in_port, slot::eth_type, slot::nw_src, slot::nw_dst, slot::tp_dst, slot::reg3];

/// Values and masks from small sets, so that rules overlap and packets hit.
fn a_match() -> impl Strategy<Value = Match> {
    let field = (0..4u128, prop::sample::select(&[0u128, 0, 1, 3, u128::MAX][..]));
    prop::array::uniform6(field).prop_map(|fields| {
        let mut m = Match::ANY;
        for (s, (value, mask)) in SLOTS.into_iter().zip(fields) {
            m.set_masked(s, value, mask);
        }
        m
    })
}

fn a_key() -> impl Strategy<Value = FlowKey> {
    prop::array::uniform6(0..4u128).prop_map(|values| {
        let mut key = FlowKey::ZERO;
        SLOTS.into_iter().zip(values).for_each(|(s, v)| key.set(s, v));
        key
    })
}

fn linear(rules: &[(Match, u32)], key: &FlowKey) -> Option<u32> {
    rules.iter().filter(|(m, _)| m.matches(key)).map(|(_, p)| *p).max()
}

proptest! {
    #[test]
    fn finds_what_a_linear_scan_finds(
        rules in prop::collection::vec((a_match(), 0..8u32), 0..40),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        keys in prop::collection::vec(a_key(), 1..20),
        bit in 0..4u32,
    ) {
        let mut table = RuleTable::new(7);
        let mut model: Vec<(Match, u32)> = Vec::new();
        for (m, p) in rules {
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
        for key in keys {
            let mut wc = Wildcards::NONE;
            let found = table.lookup(&key, Some(&mut wc)).map(|r| r.priority);
            prop_assert_eq!(found, linear(&model, &key));
            prop_assert_eq!(snapshot.lookup(&key, None).map(|r| r.priority), linear(&before, &key));
            for s in SLOTS {
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
