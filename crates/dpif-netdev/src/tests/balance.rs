//! Queues that move by themselves: threads poll, the loads are the test's.

use std::sync::atomic::Ordering;

use dpif::Dpif;
use packet::OdpPort;

use super::{Bench, bench, eventually, frame, keys};
use crate::ports::lock;

/// Cycles beside which those that the threads really used are nothing.
const MANY: u64 = 1 << 40;
const MINUTE_MS: u64 = 60_000;

/// A datapath that balances, its four queues on two threads: 0 and 3 on the first, 1 and 2 on the second.
fn balancing(more: &[(&str, &str)]) -> (Bench, OdpPort) {
    let b = bench();
    let ring = b.with_rings();
    let mut all = vec![("pmd-cpu-mask", "3"), ("pmd-auto-lb", "true")];
    all.extend(more);
    b.dpif.set_config(&keys(&all));
    b.dpif.reconfigure();
    // The first look only says when the next is due.
    b.dpif.housekeep();
    assert_eq!(queues(&b), [vec![0, 3], vec![1, 2]]);
    (b, ring)
}

/// The queues of each thread.
fn queues(b: &Bench) -> Vec<Vec<usize>> {
    let control = lock(&b.dpif.shared.control);
    let of = |pmd: &crate::pmd::Pmd| {
        let mut queues: Vec<usize> = pmd.queues().iter().map(|q| q.queue).collect();
        queues.sort_unstable();
        queues
    };
    control.pmds.values().map(|(pmd, _)| of(pmd)).collect()
}

impl Bench {
    /// A minute passes, in which the queues cost this much and the threads were busy for so many percent.
    fn a_minute_of(&self, costs: [u64; 4], percent: [u64; 2]) {
        let pmds = || {
            let control = lock(&self.dpif.shared.control);
            control.pmds.values().map(|(pmd, _)| pmd.clone()).collect::<Vec<_>>()
        };
        let before: Vec<u64> = pmds().iter().map(|pmd| pmd.total.past(crate::usage::INTERVALS)).collect();
        self.now_ms.fetch_add(MINUTE_MS, Ordering::Relaxed);
        // Each thread has ended its intervals; it does not do so again while the clock stands still.
        eventually("intervals end", || {
            (0..4).for_each(|queue| self.dummies.receive("r7", queue, vec![frame(1)]).unwrap());
            pmds().iter().zip(&before).all(|(pmd, before)| pmd.total.past(crate::usage::INTERVALS) != *before)
        });
        for (pmd, percent) in pmds().iter().zip(percent) {
            pmd.busy.turn_with(percent * MANY);
            pmd.total.turn_with(100 * MANY);
            pmd.queues().iter().for_each(|q| q.usage.turn_with(costs[q.queue] * MANY));
        }
        self.dpif.housekeep();
    }
}

#[test]
fn queues_of_a_busy_thread_move_to_an_idle_one() {
    let (b, _) = balancing(&[]);
    b.a_minute_of([90, 5, 5, 80], [100, 10]);
    // The dearest first, there and back: 0, 3, then 1 or 2.
    let now = queues(&b);
    assert!(now[0].contains(&0) && now[1].contains(&3) && now[0].len() == 2, "{now:?}");
    // What is even stays, however busy all are.
    b.a_minute_of([50, 50, 50, 50], [100, 100]);
    assert_eq!(queues(&b), now);
    let stats = b.dpif.stats();
    assert_eq!((stats.lost, stats.drops.iter().map(|(_, n)| n).sum::<u64>()), (0, 0));
}

#[test]
fn queues_stay_while_no_thread_is_too_busy() {
    let (b, _) = balancing(&[("pmd-auto-lb-load-threshold", "70")]);
    b.a_minute_of([60, 1, 1, 9], [69, 2]);
    assert_eq!(queues(&b), [[0, 3], [1, 2]]);
    // What the threads really used makes the share a trifle smaller.
    b.a_minute_of([60, 1, 1, 10], [71, 2]);
    assert_ne!(queues(&b), [[0, 3], [1, 2]]);
}

#[test]
fn queues_stay_where_too_little_would_be_won() {
    // The load falls from 62 and 40 to 61 and 41.
    let costs = [60, 39, 1, 2];
    let (b, _) = balancing(&[("pmd-auto-lb-improvement-threshold", "25")]);
    b.a_minute_of(costs, [100, 100]);
    assert_eq!(queues(&b), [[0, 3], [1, 2]]);
    let (b, _) = balancing(&[("pmd-auto-lb-improvement-threshold", "10")]);
    b.a_minute_of(costs, [100, 100]);
    assert_ne!(queues(&b), [[0, 3], [1, 2]]);
}

#[test]
fn queues_stay_without_balancing_and_where_they_are_given_in_turn() {
    for setting in [("pmd-auto-lb", "false"), ("pmd-rxq-assign", "roundrobin")] {
        let b = bench();
        b.with_rings();
        b.dpif.set_config(&keys(&[("pmd-cpu-mask", "3"), ("pmd-auto-lb", "true"), setting]));
        b.dpif.reconfigure();
        b.dpif.housekeep();
        let before = queues(&b);
        b.a_minute_of([90, 80, 80, 90], [100, 100]);
        assert_eq!(queues(&b), before, "{setting:?}");
    }
}

#[test]
fn nobody_looks_before_the_interval_is_over() {
    let (b, _) = balancing(&[("pmd-auto-lb-rebal-interval", "3")]);
    for _ in 0..2 {
        b.a_minute_of([90, 5, 5, 80], [100, 10]);
        assert_eq!(queues(&b), [[0, 3], [1, 2]]);
    }
    b.a_minute_of([90, 5, 5, 80], [100, 10]);
    assert_ne!(queues(&b), [[0, 3], [1, 2]]);
}

#[test]
fn a_pinned_queue_stays() {
    let (b, ring) = balancing(&[]);
    // Its thread is isolated, and the other is the only one that is left.
    b.dpif.set_port_config(ring, &keys(&[("pmd-rxq-affinity", "0:0")]));
    b.dpif.reconfigure();
    assert_eq!(queues(&b), [vec![0], vec![1, 2, 3]]);
    b.a_minute_of([1, 50, 50, 50], [10, 100]);
    assert_eq!(queues(&b), [vec![0], vec![1, 2, 3]]);
}
