//! What our end of a device lost, for the device's counters.
//!
//! Where it sits: a port has one, its queues count into it, `device` adds it to what the kernel has counted. Drop reasons
//! go to the datapath on their own way, with what each queue call says.
//!
//! | counter | what |
//! |---|---|
//! | `rx_missed_errors` | the queue or ring to us was full, so that the kernel had no room for the packet |
//! | `rx_dropped` | there was no memory for it here |
//! | `rx_errors` | it was cut off, or described in words that nobody knows |
//! | `tx_dropped` | it could not be sent, for whatever reason |

use std::sync::atomic::{AtomicU64, Ordering};

use netdev::{NetdevStats, RxDrops, TxDrops};

/// Packets that our end of a device lost.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    missed: AtomicU64,
    rx_dropped: AtomicU64,
    rx_errors: AtomicU64,
    tx_dropped: AtomicU64,
}

impl Losses {
    /// The kernel had no room for `n` packets.
    pub(crate) fn missed(&self, n: u64) {
        self.missed.fetch_add(n, Ordering::Relaxed);
    }

    /// What a call of a receive queue lost.
    pub(crate) fn received(&self, drops: &RxDrops) {
        if !drops.is_none() {
            self.rx_dropped.fetch_add(drops.memory.into(), Ordering::Relaxed);
            self.rx_errors
                .fetch_add(u64::from(drops.truncated) + u64::from(drops.unknown), Ordering::Relaxed);
        }
    }

    /// What a call of a transmit queue lost.
    pub(crate) fn sent(&self, drops: &TxDrops) {
        if drops.total() != 0 {
            self.tx_dropped.fetch_add(drops.total().into(), Ordering::Relaxed);
        }
    }

    /// The counters with these losses.
    pub(crate) fn added_to(&self, mut stats: NetdevStats) -> NetdevStats {
        let add = |to: &mut Option<u64>, n: &AtomicU64| {
            *to = Some(to.unwrap_or(0) + n.load(Ordering::Relaxed));
        };
        add(&mut stats.rx_missed_errors, &self.missed);
        add(&mut stats.rx_dropped, &self.rx_dropped);
        add(&mut stats.rx_errors, &self.rx_errors);
        add(&mut stats.tx_dropped, &self.tx_dropped);
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_added_to_what_the_kernel_counts() {
        let losses = Losses::default();
        losses.missed(1);
        losses.received(&RxDrops { memory: 2, truncated: 3, unknown: 4 });
        losses.sent(&TxDrops { mtu: 1, down: 2, failed: 3, memory: 4 });
        let kernel = NetdevStats {
            rx_missed_errors: Some(100),
            rx_errors: Some(200),
            tx_dropped: Some(300),
            ..NetdevStats::default()
        };
        let shown: Vec<String> =
            losses.added_to(kernel).iter().map(|(name, n)| format!("{name}={n}")).collect();
        assert_eq!(shown.join(" "), "rx_dropped=2 tx_dropped=310 rx_errors=207 rx_missed_errors=101");
    }
}
