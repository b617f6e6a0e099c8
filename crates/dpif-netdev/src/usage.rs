//! How a thread's time went to its queues lately: cycles in intervals of five seconds, one minute back.
//!
//! Where it sits: written by the thread that polls, between its batches; read by `show` and by `pmd` when queues are
//! given to threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Milliseconds of an interval.
pub(crate) const INTERVAL_MS: u64 = 5000;
/// Intervals remembered.
pub(crate) const INTERVALS: usize = 12;

/// Cycles by interval: what is being counted, then the last whole interval, and so on back.
#[derive(Default)]
pub(crate) struct Usage {
    now: AtomicU64,
    past: [AtomicU64; INTERVALS],
}

impl Usage {
    pub(crate) fn add(&self, cycles: u64) {
        self.now.store(self.now.load(Relaxed).wrapping_add(cycles), Relaxed);
    }

    /// Ends `n` intervals: the first has what was counted, the others nothing.
    pub(crate) fn turn(&self, n: u64) {
        for _ in 0..n.min(INTERVALS as u64 + 1) {
            for at in (1..INTERVALS).rev() {
                self.past[at].store(self.past[at - 1].load(Relaxed), Relaxed);
            }
            self.past[0].store(self.now.swap(0, Relaxed), Relaxed);
        }
    }

    /// Ends an interval in which `cycles` were counted.
    #[cfg(test)]
    pub(crate) fn turn_with(&self, cycles: u64) {
        for at in (1..INTERVALS).rev() {
            self.past[at].store(self.past[at - 1].load(Relaxed), Relaxed);
        }
        self.past[0].store(cycles, Relaxed);
    }

    /// The sum of the last `n` whole intervals.
    pub(crate) fn past(&self, n: usize) -> u64 {
        self.past.iter().take(n).map(|cycles| cycles.load(Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_pass() {
        let u = Usage::default();
        u.add(7);
        assert_eq!(u.past(INTERVALS), 0);
        u.turn(1);
        u.add(1);
        u.turn(2);
        assert_eq!([1, 2, 3].map(|n| u.past(n)), [0, 1, 8]);
        u.turn(10);
        assert_eq!(u.past(INTERVALS), 1);
        u.turn(1_000_000);
        assert_eq!(u.past(INTERVALS), 0);
    }
}
