//! The table beside a plain list, under any order of changes.

use std::vec::Vec;

use flow::{Match, slot};
use proptest::prelude::*;

use super::*;

/// Matches with few values, so that they meet: some plain, some of connections, some of tunnels.
fn any_match() -> impl Strategy<Value = Match> {
    (0u128..4, 0u128..4, 0u8..6, prop::sample::select(std::vec![0u32, 0xffff_ff00, u32::MAX])).prop_map(
        |(port, value, kind, mask)| {
            let mut m = Match::ANY;
            m.set_exact(slot::in_port, port);
            match kind {
                0 => m.set_masked(slot::nw_dst, value << 8, mask.into()),
                1 => m.set_exact(slot::ct_label, value),
                2 => m.set_exact(slot::tun_id, value),
                3 => m.set_exact(slot::ipv6_src, value),
                4 => m.set_masked(slot::nw_src, value << 6, mask.into()),
                _ => m.set_exact(slot::tp_dst, value),
            }
            m
        },
    )
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Box<Match>),
    Remove(usize),
    Sort,
    Clear,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        12 => any_match().prop_map(|m| Op::Insert(Box::new(m))),
        6 => any::<usize>().prop_map(Op::Remove),
        1 => Just(Op::Sort),
        1 => Just(Op::Clear),
    ];
    prop::collection::vec(op, 0..120)
}

/// A key that is plain (nothing beyond the short key but a connection's), or is not.
fn any_key() -> impl Strategy<Value = (FlowKey, bool)> {
    (any_match(), any_match(), any::<bool>()).prop_map(|(a, b, plain)| {
        let mut key = FlowKey::ZERO;
        for ((k, a), b) in key.words_mut().iter_mut().zip(a.key.words()).zip(b.key.words()) {
            *k = a | b;
        }
        if plain {
            for (i, word) in key.words_mut().iter_mut().enumerate() {
                if !flow::plain::is_connection(i) {
                    *word &= !flow::plain::beyond(i, *word);
                }
            }
        }
        (key, plain)
    })
}

proptest! {
    #[test]
    fn finds_what_a_list_finds(ops in ops(), keys in prop::collection::vec(any_key(), 20)) {
        let q = Qsbr::try_new(2, || Some(())).unwrap();
        let mut reader = q.register().unwrap();
        let table = TupleTable::try_new(&q, 7).unwrap();
        // By id; each with its shared mask.
        let mut list: Vec<Option<(Match, Shared<TupleMask>)>> = Vec::new();
        for op in ops {
            let guard = q.enter(&mut reader).unwrap();
            match op {
                Op::Insert(m) => {
                    let mask = table.mask(&guard, &m.wc).unwrap();
                    table.insert(&q, &guard, (&m.key, &mask), list.len() as u32).unwrap();
                    list.push(Some((*m, mask)));
                }
                Op::Remove(n) if !list.is_empty() => {
                    let id = n % list.len();
                    if let Some((m, mask)) = list[id].take() {
                        table.remove(&q, &guard, (&m.key, &mask), id as u32);
                    }
                }
                Op::Remove(_) => {}
                Op::Sort => {
                    for (_, mask) in list.iter().flatten() {
                        table.credit(&guard, mask, 1);
                    }
                    table.sort(&q, &guard).unwrap();
                }
                Op::Clear => {
                    table.clear(&q).unwrap();
                    list.iter_mut().for_each(|entry| *entry = None);
                }
            }
        }
        let guard = q.enter(&mut reader).unwrap();
        let mut masks: Vec<Wildcards> = list.iter().flatten().map(|(m, _)| m.wc).collect();
        masks.sort_by_key(|wc| *wc.words());
        masks.dedup();
        prop_assert_eq!(table.masks(&guard), masks.len());
        for (m, mask) in list.iter().flatten() {
            let mut wc = Wildcards::NONE;
            mask.store_wildcards(&mut wc);
            prop_assert_eq!(wc, m.wc);
            let mut key = FlowKey::ZERO;
            PlainKey::of(&m.key).store(&mut key);
            mask.store_beyond(mask.beyond(&m.key), &mut key);
            prop_assert_eq!(key, m.key);
        }
        for (key, plain) in keys {
            let short = PlainKey::of(&key);
            let matches = |id: u32| list[id as usize].as_ref().filter(|(m, _)| m.matches(&key)).map(|_| id);
            let expected = (0..list.len() as u32).any(|id| matches(id).is_some());
            let (found, _) = table.lookup(&guard, Sought { short: &short, whole: Some(&key) }, matches);
            prop_assert_eq!(matches!(found, Found::Hit(_)), expected);
            prop_assert_ne!(found, Found::NeedsWhole);
            if plain {
                // What no mask needs the whole key for is found by the short one.
                match table.lookup(&guard, Sought { short: &short, whole: None }, matches).0 {
                    Found::Hit(id) => prop_assert!(matches(id).is_some()),
                    Found::Miss => prop_assert!(!expected),
                    Found::NeedsWhole => {}
                }
            }
        }
    }
}

#[test]
fn readers_find_what_is_there_throughout() {
    let q = Qsbr::try_new(3, || Some(())).unwrap();
    let table = TupleTable::try_new(&q, 1).unwrap();
    let m = |n: u128| {
        let mut m = Match::ANY;
        m.set_exact(slot::tp_dst, n);
        m
    };
    let mut writer = q.register().unwrap();
    let mask = {
        let guard = q.enter(&mut writer).unwrap();
        let mask = table.mask(&guard, &m(0).wc).unwrap();
        table.insert(&q, &guard, (&m(0).key, &mask), 0).unwrap();
        mask
    };
    std::thread::scope(|s| {
        s.spawn(|| {
            for round in 0..40 {
                for n in 1..200u32 {
                    let guard = q.enter(&mut writer).unwrap();
                    if round % 2 == 0 {
                        table.insert(&q, &guard, (&m(n.into()).key, &mask), n).unwrap();
                    } else {
                        table.remove(&q, &guard, (&m(n.into()).key, &mask), n);
                    }
                }
            }
        });
        s.spawn(|| {
            let mut reader = q.register().unwrap();
            let short = PlainKey::of(&m(0).key);
            for _ in 0..20_000 {
                let guard = q.enter(&mut reader).unwrap();
                let hit = |id: u32| (id == 0).then_some(id);
                let (found, _) = table.lookup(&guard, Sought { short: &short, whole: None }, hit);
                assert_eq!(found, Found::Hit(0));
            }
        });
    });
}
