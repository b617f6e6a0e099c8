//! How many connections there may be: in all, and in each zone.
//!
//! Where it sits: `commit.rs` takes a place before it makes a connection, whoever ends one gives it back.
//!
//! Counts are kept for every zone, limited or not, so that a limit that is set later is right at once.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::config::{NoMemory, ZoneLimit};
use crate::counters::Counter;

const ZONES: usize = 1 << 16;

/// Limits and counts.
#[derive(Debug)]
pub(crate) struct Limits {
    count: AtomicU32,
    max: AtomicU32,
    default_zone: AtomicU32,
    zone_counts: Vec<AtomicU32>,
    /// Zero where the default applies, else one more than the limit.
    zone_limits: Vec<AtomicU32>,
}

fn zeros() -> Result<Vec<AtomicU32>, NoMemory> {
    let mut v = Vec::new();
    v.try_reserve_exact(ZONES).map_err(|_| NoMemory)?;
    v.resize_with(ZONES, AtomicU32::default);
    Ok(v)
}

/// Raises `count` unless it has reached `limit`.
fn take(count: &AtomicU32, limit: u32) -> bool {
    count.fetch_update(Relaxed, Relaxed, |n| (n < limit).then_some(n + 1)).is_ok()
}

impl Limits {
    pub(crate) fn new(max: u32) -> Result<Limits, NoMemory> {
        Ok(Limits {
            count: AtomicU32::new(0),
            max: AtomicU32::new(max),
            default_zone: AtomicU32::new(0),
            zone_counts: zeros()?,
            zone_limits: zeros()?,
        })
    }

    fn zone_count(&self, zone: u16) -> &AtomicU32 {
        // The vector has a number for every zone; the default is never reached.
        self.zone_counts.get(usize::from(zone)).unwrap_or(&self.count)
    }

    /// The limit of `zone` itself, if it has one; zero is none.
    fn own_limit(&self, zone: u16) -> Option<u32> {
        self.zone_limits.get(usize::from(zone)).and_then(|l| l.load(Relaxed).checked_sub(1))
    }

    /// Takes a place for a connection of `zone`, or says what refuses it.
    pub(crate) fn take(&self, zone: u16) -> Result<(), Counter> {
        let limit = self.own_limit(zone).unwrap_or_else(|| self.default_zone.load(Relaxed));
        if !take(self.zone_count(zone), if limit == 0 { u32::MAX } else { limit }) {
            return Err(Counter::ZoneFull);
        }
        if !take(&self.count, self.max.load(Relaxed)) {
            self.zone_count(zone).fetch_sub(1, Relaxed);
            return Err(Counter::Full);
        }
        Ok(())
    }

    /// Gives a place back.
    pub(crate) fn give_back(&self, zone: u16) {
        self.zone_count(zone).fetch_sub(1, Relaxed);
        self.count.fetch_sub(1, Relaxed);
    }

    pub(crate) fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    pub(crate) fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }

    pub(crate) fn set_max(&self, max: u32) {
        self.max.store(max, Relaxed);
    }

    pub(crate) fn default_zone(&self) -> u32 {
        self.default_zone.load(Relaxed)
    }

    pub(crate) fn set_default_zone(&self, limit: u32) {
        self.default_zone.store(limit, Relaxed);
    }

    /// What applies to `zone`, and how many it has.
    pub(crate) fn zone(&self, zone: u16) -> ZoneLimit {
        let limit = self.own_limit(zone).unwrap_or_else(|| self.default_zone());
        ZoneLimit { zone, limit, count: self.zone_count(zone).load(Relaxed) }
    }

    /// Sets or removes the limit of `zone`; tells whether it had one.
    pub(crate) fn set_zone(&self, zone: u16, limit: Option<u32>) -> bool {
        let stored = limit.map_or(0, |l| l.saturating_add(1));
        self.zone_limits.get(usize::from(zone)).is_some_and(|l| l.swap(stored, Relaxed) != 0)
    }

    /// Zones with a limit of their own, from `first` on.
    pub(crate) fn limited_zones(&self, first: u16) -> impl Iterator<Item = ZoneLimit> + '_ {
        (first..=u16::MAX).filter(|&zone| self.own_limit(zone).is_some()).map(|zone| self.zone(zone))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn both_limits_hold_and_a_refusal_takes_nothing() {
        let l = Limits::new(3).unwrap();
        assert!(!l.set_zone(7, Some(2)));
        assert_eq!((l.take(7), l.take(7), l.take(7)), (Ok(()), Ok(()), Err(Counter::ZoneFull)));
        assert_eq!((l.take(8), l.take(8)), (Ok(()), Err(Counter::Full)));
        assert_eq!((l.zone(7).count, l.zone(8).count, l.count()), (2, 1, 3));
        l.give_back(7);
        assert_eq!(l.take(8), Ok(()));
        l.set_default_zone(2);
        l.set_max(10);
        assert_eq!((l.take(8), l.zone(8).limit), (Err(Counter::ZoneFull), 2));
        assert!(l.set_zone(7, Some(0)));
        assert_eq!(l.zone(7).limit, 0);
        assert_eq!(l.limited_zones(0).map(|z| z.zone).collect::<Vec<_>>(), [7]);
        assert!(l.set_zone(7, None) && !l.set_zone(7, None));
    }
}
