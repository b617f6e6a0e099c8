//! Counters: kept by each worker for itself, added to the datapath's totals once a batch.
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
    pub drops: DropCounts,
}

/// The datapath's totals.
#[derive(Debug)]
pub(crate) struct Totals {
    hits: AtomicU64,
    cache_hits: AtomicU64,
    misses: AtomicU64,
    lost: AtomicU64,
    masks_searched: AtomicU64,
    /// By reason; on the heap, for a datapath is made on a kernel's stack.
    drops: Vec<AtomicU64>,
}

fn bump(total: &AtomicU64, n: u64) {
    if n != 0 {
        total.fetch_add(n, Ordering::Relaxed);
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
            drops,
        })
    }

    /// Takes over what a worker has counted.
    pub fn take(&self, tally: &mut Tally) {
        let t = ::core::mem::take(tally);
        bump(&self.hits, t.hits);
        bump(&self.cache_hits, t.cache_hits);
        bump(&self.misses, t.misses);
        bump(&self.lost, t.lost);
        bump(&self.masks_searched, t.masks_searched);
        for (total, (_, n)) in self.drops.iter().zip(t.drops.iter()) {
            bump(total, n);
        }
    }

    /// Counts packets that a host dropped.
    pub fn drop(&self, reason: DropReason, n: u64) {
        if let Some(total) = self.drops.get(reason as usize) {
            bump(total, n);
        }
    }

    /// The sums so far; `flows` and `masks` are the caller's.
    pub fn read(&self) -> crate::Stats {
        let get = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let mut drops = DropCounts::default();
        for (reason, total) in DropReason::ALL.iter().zip(&self.drops) {
            drops.add(*reason, get(total));
        }
        crate::Stats {
            hits: get(&self.hits),
            cache_hits: get(&self.cache_hits),
            misses: get(&self.misses),
            lost: get(&self.lost),
            masks_searched: get(&self.masks_searched),
            flows: 0,
            masks: 0,
            drops,
        }
    }
}
