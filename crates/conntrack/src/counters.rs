//! Counters of what the table did and refused.
//!
//! Where it sits: one set in each table; every layer of it counts, [`crate::Conntrack::stats`] reads.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::config::CtStats;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    Created,
    Expired,
    Full,
    ZoneFull,
    NoMemory,
    NatExhausted,
    Invalid,
    L3csumChecked,
    L3csumErr,
    L4csumChecked,
    L4csumErr,
    EventsLost,
}

const COUNTERS: usize = 12;

/// One number for each [`Counter`].
#[derive(Debug, Default)]
pub(crate) struct CounterSet([AtomicU64; COUNTERS]);

impl CounterSet {
    pub(crate) fn add(&self, counter: Counter) {
        if let Some(c) = self.0.get(counter as usize) {
            c.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).map_or(0, |c| c.load(Ordering::Relaxed))
    }

    /// All of them, beside the number of connections.
    pub(crate) fn stats(&self, conns: u32) -> CtStats {
        CtStats {
            conns: conns.into(),
            created: self.get(Counter::Created),
            expired: self.get(Counter::Expired),
            full: self.get(Counter::Full),
            zone_full: self.get(Counter::ZoneFull),
            no_memory: self.get(Counter::NoMemory),
            nat_exhausted: self.get(Counter::NatExhausted),
            invalid: self.get(Counter::Invalid),
            l3csum_checked: self.get(Counter::L3csumChecked),
            l3csum_err: self.get(Counter::L3csumErr),
            l4csum_checked: self.get(Counter::L4csumChecked),
            l4csum_err: self.get(Counter::L4csumErr),
            events_lost: self.get(Counter::EventsLost),
        }
    }
}
