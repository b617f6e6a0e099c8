//! Whether queues shall move by themselves from busy threads to idle ones: pure.
//!
//! Where it sits: `pmd` asks it once in an interval (`pmd-auto-lb-rebal-interval`), with what threads and queues cost lately. Where
//! queues would go is `schedule`'s question.
//!
//! Threads that poll only what is pinned to them take no part: neither their load nor their queues count.
//!
//! Spec: ovs-vswitchd.conf.db(5), `pmd-auto-lb` and its like; the texts are those of Open vSwitch's log.

use crate::config::AutoBalance;

/// What a thread did lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// It only polls what is pinned to it.
    pub isolated: bool,
    pub queues: usize,
    /// Cycles of rounds that moved packets, and of all.
    pub busy: u64,
    pub total: u64,
}

impl Load {
    fn percent(&self) -> u64 {
        (u128::from(self.busy) * 100).checked_div(self.total.into()).unwrap_or(0) as u64
    }
}

/// True if it is worth finding out whether other places are better for queues.
pub(crate) fn is_called_for(loads: &[Load], settings: &AutoBalance) -> bool {
    let movable = || loads.iter().filter(|load| !load.isolated);
    if movable().count() < 2 || !movable().any(|load| load.queues > 1) {
        log::debug!(
            target: "dpif_netdev",
            "PMD auto load balance nothing to do, not enough non-isolated PMDs or RxQs."
        );
        return false;
    }
    movable().any(|load| load.percent() >= settings.load)
}

/// Percent by which the variance of threads' loads falls, if they have the cycles `planned` instead of `now`.
pub(crate) fn improvement(now: &[u64], planned: &[u64]) -> u64 {
    let (before, after) = (variance(now), variance(planned));
    if after < before { (100.0 * (before - after) / before) as u64 } else { 0 }
}

fn variance(loads: &[u64]) -> f64 {
    let n = loads.len().max(1) as f64;
    let mean = loads.iter().map(|l| *l as f64).sum::<f64>() / n;
    loads.iter().map(|l| (*l as f64 - mean).powi(2)).sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: AutoBalance = AutoBalance { enabled: true, interval_min: 1, load: 95, improvement: 25 };

    fn thread(queues: usize, busy: u64) -> Load {
        Load { isolated: false, queues, busy, total: 1000 }
    }

    #[test]
    fn a_thread_must_be_too_busy() {
        let called = |busy| is_called_for(&[thread(2, busy), thread(1, 0)], &SETTINGS);
        assert_eq!([0, 949, 950, 1000].map(called), [false, false, true, true]);
        // Nothing is known of threads that have just begun.
        assert!(!is_called_for(&[Load { queues: 2, ..Load::default() }; 2], &SETTINGS));
        let always = AutoBalance { load: 0, ..SETTINGS };
        assert!(is_called_for(&[thread(2, 0), thread(1, 0)], &always));
    }

    #[test]
    fn there_must_be_queues_to_move_and_a_thread_to_move_them_to() {
        let isolated = |load: Load| Load { isolated: true, ..load };
        let called = |loads: &[Load]| is_called_for(loads, &SETTINGS);
        assert!(!called(&[]));
        assert!(!called(&[thread(4, 1000)]));
        assert!(!called(&[thread(1, 1000), thread(1, 0)]));
        assert!(!called(&[thread(4, 1000), isolated(thread(1, 0))]));
        assert!(!called(&[isolated(thread(4, 1000)), thread(2, 0), thread(2, 0)]));
        assert!(called(&[thread(1, 1000), thread(2, 0), isolated(thread(1, 0))]));
    }

    #[test]
    fn the_improvement_is_the_variances() {
        assert_eq!(improvement(&[170, 10], &[95, 85]), 99);
        assert_eq!(improvement(&[100, 0], &[0, 100]), 0);
        assert_eq!(improvement(&[60, 40], &[50, 50]), 100);
        assert_eq!(improvement(&[50, 50], &[60, 40]), 0);
        assert_eq!(improvement(&[100, 0], &[90, 10]), 36);
        assert_eq!(improvement(&[], &[]), 0);
    }
}
