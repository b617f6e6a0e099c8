//! Counters: kept by each worker for itself, on lines of its own, and summed when somebody reads them.
//!
//! Where it sits: `worker` counts, `Command::Stats` reads.

use ::core::sync::atomic::{AtomicU64, Ordering};
use alloc::vec::Vec;

use packet::DropReason;

/// How many reasons there are.
const REASONS: usize = DropReason::ALL.len();

/// Dropped packets by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropCounts([u64; REASONS]);

impl Default for DropCounts {
    fn default() -> Self {
        DropCounts([0; REASONS])
    }
}

impl DropCounts {
    /// Counts `n` packets.
    pub fn add(&mut self, reason: DropReason, n: u64) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count = count.saturating_add(n);
        }
    }

    /// True if any packet was dropped.
    pub fn any(&self) -> bool {
        self.0.iter().any(|n| *n != 0)
    }

    /// Packets dropped for `reason`.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().copied().zip(self.0)
    }
}

/// What a worker counts during a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub hits: u64,
    pub cache_hits: u64,
    pub misses: u64,
    pub lost: u64,
    pub masks_searched: u64,
    pub recirculated: u64,
    pub drops: DropCounts,
}

/// Totals: one worker's, which it alone changes, or those of everybody else, who add to them together.
#[derive(Debug)]
pub(crate) struct Totals {
    hits: AtomicU64,
    cache_hits: AtomicU64,
    misses: AtomicU64,
    lost: AtomicU64,
    masks_searched: AtomicU64,
    recirculated: AtomicU64,
    /// By reason; on the heap, for a datapath is made on a kernel's stack.
    drops: Vec<AtomicU64>,
}

fn bump(total: &AtomicU64, n: u64) {
    if n != 0 {
        total.fetch_add(n, Ordering::Relaxed);
    }
}

/// Adds to a total that nobody else changes: no other processor has its line, and no locked instruction is needed.
fn add(total: &AtomicU64, n: u64) {
    if n != 0 {
        total.store(total.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }
}

impl Totals {
    /// Nothing counted yet; `None` if memory is short.
    pub fn try_new() -> Option<Totals> {
        let mut drops = Vec::new();
        drops.try_reserve_exact(REASONS).ok()?;
        drops.resize_with(REASONS, AtomicU64::default);
        Some(Totals {
            hits: AtomicU64::new(0),
            cache_hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            masks_searched: AtomicU64::new(0),
            recirculated: AtomicU64::new(0),
            drops,
        })
    }

    /// Takes over what the worker that owns these totals has counted.
    #[inline(never)]
    pub fn take(&self, tally: &mut Tally) {
        add(&self.hits, tally.hits);
        add(&self.cache_hits, tally.cache_hits);
        add(&self.misses, tally.misses);
        add(&self.lost, tally.lost);
        add(&self.masks_searched, tally.masks_searched);
        add(&self.recirculated, tally.recirculated);
        if tally.drops.any() {
            for (total, (_, n)) in self.drops.iter().zip(tally.drops.iter()) {
                add(total, n);
            }
        }
        *tally = Tally::default();
    }

    /// Counts upcalls that were lost.
    pub fn lose(&self, n: u64) {
        bump(&self.lost, n);
    }

    /// Counts packets that a host dropped.
    pub fn drop(&self, reason: DropReason, n: u64) {
        if let Some(total) = self.drops.get(reason as usize) {
            bump(total, n);
        }
    }

    /// Adds what was counted so far to `stats`.
    pub fn add_to(&self, stats: &mut crate::Stats) {
        let add = |to: &mut u64, total: &AtomicU64| *to = to.wrapping_add(total.load(Ordering::Relaxed));
        for (reason, total) in DropReason::ALL.iter().zip(&self.drops) {
            stats.drops.add(*reason, total.load(Ordering::Relaxed));
        }
        add(&mut stats.hits, &self.hits);
        add(&mut stats.cache_hits, &self.cache_hits);
        add(&mut stats.misses, &self.misses);
        add(&mut stats.lost, &self.lost);
        add(&mut stats.masks_searched, &self.masks_searched);
        add(&mut stats.recirculated, &self.recirculated);
    }
}
