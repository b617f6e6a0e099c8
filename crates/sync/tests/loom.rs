//! Every order in which a reader and a writer can meet, over published values and arenas.
//!
//! Where it sits: run by `cargo xtask test --long`, which builds this crate with loom's atomics (`--cfg loom`).
//!
//! A value here notes in a cell that loom watches when it is read and when it is dropped: a drop while somebody may
//! still read is a race, which loom reports.
#![cfg(loom)]
#![allow(unsafe_code, reason = "cells of loom are there to be watched")]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use sync::{Arena, Published, Qsbr};

struct Watched(UnsafeCell<u32>);

// SAFETY: the cell is loom's, which fails the test on any access that is not ordered after the one before.
unsafe impl Sync for Watched {}

impl Watched {
    fn new(n: u32) -> Watched {
        Watched(UnsafeCell::new(n))
    }

    fn read(&self) -> u32 {
        // SAFETY: loom checks that nothing writes meanwhile.
        self.0.with(|p| unsafe { *p })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: loom checks that nothing reads meanwhile.
        self.0.with_mut(|p| unsafe { *p = u32::MAX });
    }
}

#[test]
fn a_value_is_not_freed_while_it_may_be_seen() {
    loom::model(|| {
        let q = Arc::new(Qsbr::try_new(1, || Some(())).unwrap());
        let cell = Arc::new(Published::new(&q, Box::new(Watched::new(1))));
        let reader = {
            let (q, cell) = (q.clone(), cell.clone());
            let mut reader = q.register().unwrap();
            thread::spawn(move || {
                let guard = q.enter(&mut reader).unwrap();
                let n = cell.load(&guard).unwrap().read();
                assert!(n == 1 || n == 2);
            })
        };
        assert!(cell.replace(&q, Box::new(Watched::new(2))).is_ok());
        q.collect();
        reader.join().unwrap();
        q.collect();
    });
}

#[test]
fn a_place_is_not_used_again_while_its_entry_may_be_seen() {
    loom::model(|| {
        let q = Arc::new(Qsbr::try_new(1, || Some(())).unwrap());
        let arena = Arc::new(Arena::try_new(&q, 1).unwrap());
        let id = arena.write().insert(&q, Watched::new(1)).ok().unwrap();
        let reader = {
            let (q, arena) = (q.clone(), arena.clone());
            let mut reader = q.register().unwrap();
            thread::spawn(move || {
                let guard = q.enter(&mut reader).unwrap();
                if let Some((_, value)) = arena.get(&guard, id) {
                    let n = value.read();
                    assert!(n == 1 || n == 2);
                }
            })
        };
        assert!(arena.write().remove(&q, id));
        // Takes the same place if nobody can be in it, and is refused otherwise.
        let again = arena.write().insert(&q, Watched::new(2));
        assert!(again.is_err() || again.ok() == Some(id));
        reader.join().unwrap();
    });
}
