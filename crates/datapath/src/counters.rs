//! Counters: kept by each worker for itself, on lines of its own, and summed when somebody reads them.
//!
//! Where it sits: `worker` counts, `Command::Stats` reads.

use ::core::sync::atomic::{AtomicU64, Ordering};
use alloc::vec::Vec;

use packet::{DropReason, OdpPort};

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

/// Kinds of drops that a batch notes by port; of more than so many, the rest is counted for no port.
const NOTED: usize = 16;
/// Ports whose drops are told apart; those of further ports are counted for no port.
const PORTS: usize = 256;

/// Drops of a batch by the port that the packets came in by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortTally {
    noted: [(OdpPort, DropReason, u32); NOTED],
    len: usize,
}

impl Default for PortTally {
    fn default() -> Self {
        PortTally { noted: [(OdpPort::NONE, DropReason::Policy, 0); NOTED], len: 0 }
    }
}

impl PortTally {
    fn add(&mut self, port: OdpPort, reason: DropReason) {
        let noted = self.noted.get_mut(..self.len).unwrap_or_default();
        if let Some((.., n)) = noted.iter_mut().find(|(p, r, _)| (*p, *r) == (port, reason)) {
            *n = n.saturating_add(1);
        } else if let Some(free) = self.noted.get_mut(self.len) {
            *free = (port, reason, 1);
            self.len += 1;
        }
    }
}

/// Dropped packets by port and reason, of all workers and hosts.
#[derive(Debug)]
pub(crate) struct PortDrops(Vec<(OdpPort, DropCounts)>);

impl PortDrops {
    /// Nothing counted yet, with memory for all ports; `None` if it is short.
    pub fn try_new() -> Option<PortDrops> {
        let mut rows = Vec::new();
        rows.try_reserve_exact(PORTS).ok()?;
        Some(PortDrops(rows))
    }

    /// Counts packets for a port.
    #[inline(never)]
    pub fn add(&mut self, port: OdpPort, reason: DropReason, n: u64) {
        if self.0.iter().all(|(p, _)| *p != port) && self.0.len() < PORTS {
            self.0.push((port, DropCounts::default()));
        }
        if let Some((_, counts)) = self.0.iter_mut().find(|(p, _)| *p == port) {
            counts.add(reason, n);
        }
    }

    /// Takes over what a batch noted.
    pub fn take(&mut self, tally: &mut PortTally) {
        for (port, reason, n) in tally.noted.iter().take(tally.len) {
            self.add(*port, *reason, u64::from(*n));
        }
        tally.len = 0;
    }

    /// Forgets a port.
    pub fn forget(&mut self, port: OdpPort) {
        self.0.retain(|(p, _)| *p != port);
    }

    /// Packets dropped of those that came in by a port or were to leave by it, by reason.
    pub fn of(&self, port: OdpPort) -> DropCounts {
        self.0.iter().find(|(p, _)| *p == port).map_or_else(DropCounts::default, |(_, counts)| *counts)
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
    pub by_port: PortTally,
    drops: DropCounts,
    has_drops: bool,
}

impl Tally {
    /// Counts a packet that came in by `port`.
    #[cold]
    #[inline(never)]
    pub fn drop_of(&mut self, port: OdpPort, reason: DropReason) {
        self.count_drops(reason, 1);
        self.by_port.add(port, reason);
    }

    /// Counts packets of no port.
    pub fn count_drops(&mut self, reason: DropReason, n: u64) {
        self.drops.add(reason, n);
        self.has_drops = true;
    }

    /// True if drops were noted by port.
    pub fn has_ports(&self) -> bool {
        self.by_port.len != 0
    }
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
        let Tally {
            hits,
            cache_hits,
            misses,
            lost,
            masks_searched,
            recirculated,
            by_port: _,
            drops,
            has_drops,
        } = tally;
        for (total, n) in [
            (&self.hits, hits),
            (&self.cache_hits, cache_hits),
            (&self.misses, misses),
            (&self.lost, lost),
            (&self.masks_searched, masks_searched),
            (&self.recirculated, recirculated),
        ] {
            add(total, ::core::mem::take(n));
        }
        if ::core::mem::take(has_drops) {
            for (total, (_, n)) in self.drops.iter().zip(::core::mem::take(drops).iter()) {
                add(total, n);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_told_apart_by_port() {
        let (mut drops, mut tally) = (PortDrops::try_new().unwrap(), Tally::default());
        for (port, reason) in [(1, DropReason::Meter), (2, DropReason::Meter), (1, DropReason::Meter)] {
            tally.drop_of(OdpPort(port), reason);
        }
        assert!(tally.has_ports());
        drops.take(&mut tally.by_port);
        assert!(!tally.has_ports());
        drops.add(OdpPort(1), DropReason::TxFailed, 5);
        let of = |drops: &PortDrops, port, reason| drops.of(OdpPort(port)).get(reason);
        assert_eq!((of(&drops, 1, DropReason::Meter), of(&drops, 1, DropReason::TxFailed)), (2, 5));
        assert_eq!((of(&drops, 2, DropReason::Meter), of(&drops, 3, DropReason::Meter)), (1, 0));
        drops.forget(OdpPort(1));
        assert_eq!((of(&drops, 1, DropReason::Meter), of(&drops, 2, DropReason::Meter)), (0, 1));
    }

    #[test]
    fn ports_and_kinds_are_bounded_and_totals_are_not() {
        let (mut drops, mut tally) = (PortDrops::try_new().unwrap(), Tally::default());
        let capacity = drops.0.capacity();
        for port in 0..2 * PORTS as u32 {
            tally.drop_of(OdpPort(port), DropReason::Policy);
            if port % 3 == 0 {
                drops.take(&mut tally.by_port);
            }
        }
        for port in 0..100 {
            tally.drop_of(OdpPort(port), DropReason::Meter);
        }
        drops.take(&mut tally.by_port);
        assert_eq!((drops.0.len(), drops.0.capacity()), (PORTS, capacity));
        assert_eq!(tally.drops.get(DropReason::Policy), 2 * PORTS as u64);
        assert_eq!(tally.drops.get(DropReason::Meter), 100);
    }
}
