//! Entries come and go while readers look.

use alloc::sync::Arc;
use std::thread;

use super::*;

#[test]
fn an_entry_goes_when_nobody_can_see_it() {
    let q = Qsbr::try_new(2, || Some(())).unwrap();
    let mut reader = q.register().unwrap();
    let arena = Arena::try_new(&q, 1).unwrap();
    let value = Arc::new(7);
    let id = arena.write().insert(&q, value.clone()).unwrap();
    assert!(arena.write().insert(&q, Arc::new(8)).is_err(), "the limit");
    let inside = q.enter(&mut reader).unwrap();
    let (generation, seen) = arena.get(&inside, id).unwrap();
    arena.write().touch(id);
    assert_ne!(arena.get(&inside, id).unwrap().0, generation);
    assert!(arena.write().remove(&q, id) && !arena.write().remove(&q, id));
    assert!(arena.get(&inside, id).is_none() && arena.write().get(id).is_none());
    // A chunk has places enough; the one in limbo is not among them.
    let other = arena.write().insert(&q, Arc::new(9)).unwrap();
    assert_ne!(id, other);
    assert_eq!((**seen, Arc::strong_count(&value)), (7, 2));
    drop(inside);
    drop(arena);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn places_are_used_again_and_nothing_leaks() {
    let q = Qsbr::try_new(1, || Some(())).unwrap();
    let arena = Arena::try_new(&q, CHUNK).unwrap();
    let value = Arc::new(());
    for round in 0..3 {
        let ids: Vec<u32> = (0..CHUNK).map(|_| arena.write().insert(&q, value.clone()).unwrap()).collect();
        assert!(arena.write().insert(&q, value.clone()).is_err(), "round {round}");
        assert!(ids.iter().all(|id| arena.write().remove(&q, *id)));
    }
    assert_eq!(arena.write().end() as usize, CHUNK);
    drop(arena);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn readers_find_whole_entries_while_others_come_and_go() {
    let q = Qsbr::try_new(2, || Some(())).unwrap();
    let arena = Arena::<[u64; 8]>::try_new(&q, 64).unwrap();
    thread::scope(|s| {
        s.spawn(|| {
            for n in 0..20_000u64 {
                let Ok(id) = arena.write().insert(&q, [n; 8]) else { continue };
                if n % 3 != 0 {
                    arena.write().remove(&q, id);
                } else {
                    (0..64)
                        .filter(|i| *i != id)
                        .for_each(|i| assert!(arena.write().remove(&q, i) || i != id));
                }
            }
        });
        s.spawn(|| {
            let mut reader = q.register().unwrap();
            for _ in 0..2_000 {
                let inside = q.enter(&mut reader).unwrap();
                for id in 0..64 {
                    if let Some((_, words)) = arena.get(&inside, id) {
                        assert!(words.iter().all(|w| *w == words[0]));
                    }
                }
            }
        });
    });
}
