//! What a thread has done: counters that it alone changes, and the texts of `pmd-stats-show` and `pmd-perf-show`.
//!
//! Where it sits: each pump has one; `show` reads them from outside. What the worker itself counts comes from the
//! datapath ([`datapath::Datapath::worker_stats`]).
//!
//! Clearing does not touch the counters: what they showed then is subtracted from then on.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use datapath::Datapath;

use crate::ports::lock;

macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident;)+) => {
        /// The counters.
        #[derive(Default)]
        struct Counters { $($name: AtomicU64,)+ }

        /// Their values, and the worker's.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Values {
            $($(#[$doc])+ pub $name: u64,)+
            pub recirculated: u64,
            pub cache_hits: u64,
            pub megaflow_hits: u64,
            pub masks_searched: u64,
            pub misses: u64,
            pub lost: u64,
        }

        impl Counters {
            fn read(&self) -> Values {
                Values { $($name: self.$name.load(Relaxed),)+ ..Values::default() }
            }
        }

        impl Values {
            fn map2(&self, other: &Values, f: fn(u64, u64) -> u64) -> Values {
                Values {
                    $($name: f(self.$name, other.$name),)+
                    recirculated: f(self.recirculated, other.recirculated),
                    cache_hits: f(self.cache_hits, other.cache_hits),
                    megaflow_hits: f(self.megaflow_hits, other.megaflow_hits),
                    masks_searched: f(self.masks_searched, other.masks_searched),
                    misses: f(self.misses, other.misses),
                    lost: f(self.lost, other.lost),
                }
            }
        }
    };
}

counters! {
    /// Packets received.
    received;
    /// Batches in which they were.
    received_batches;
    /// Packets sent.
    sent;
    /// Batches in which they were.
    sent_batches;
    /// Upcalls answered.
    upcalls;
    /// Cycles spent on upcalls.
    upcall_cycles;
    /// Iterations that moved packets.
    busy_iterations;
    /// Iterations that did not.
    idle_iterations;
    /// Cycles of iterations that moved packets.
    busy_cycles;
    /// Cycles of the others.
    idle_cycles;
    /// Iterations that slept.
    sleeps;
    /// Microseconds slept.
    slept_us;
}

/// No slot among the datapath's workers.
const NO_SLOT: usize = usize::MAX;

/// One thread's counters.
pub(crate) struct Perf {
    counters: Counters,
    slot: AtomicUsize,
    /// What is not shown, and since when, in milliseconds.
    cleared: Mutex<(Values, u64)>,
}

impl Default for Perf {
    fn default() -> Perf {
        Perf { counters: Counters::default(), slot: AtomicUsize::new(NO_SLOT), cleared: Mutex::default() }
    }
}

/// Adds to a counter that only the calling thread changes.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Perf {
    pub(crate) fn set_slot(&self, slot: Option<usize>) {
        self.slot.store(slot.unwrap_or(NO_SLOT), Relaxed);
    }

    pub(crate) fn received(&self, packets: usize) {
        add(&self.counters.received, packets as u64);
        add(&self.counters.received_batches, 1);
    }

    pub(crate) fn sent(&self, packets: usize) {
        add(&self.counters.sent, packets as u64);
        add(&self.counters.sent_batches, 1);
    }

    pub(crate) fn upcall(&self, cycles: u64) {
        add(&self.counters.upcalls, 1);
        add(&self.counters.upcall_cycles, cycles);
    }

    /// Batches received, upcalls answered, and the cycles of those, since the beginning.
    pub(crate) fn marks(&self) -> [u64; 3] {
        let c = &self.counters;
        [&c.received_batches, &c.upcalls, &c.upcall_cycles].map(|counter| counter.load(Relaxed))
    }

    /// An iteration that took `cycles` and moved `packets`.
    pub(crate) fn iteration(&self, cycles: u64, packets: usize) {
        let c = &self.counters;
        let (count, sum) = if packets == 0 {
            (&c.idle_iterations, &c.idle_cycles)
        } else {
            (&c.busy_iterations, &c.busy_cycles)
        };
        add(count, 1);
        add(sum, cycles);
    }

    /// An iteration that slept after its packets, for `cycles` in fact.
    pub(crate) fn slept(&self, micros: u64, cycles: u64) {
        add(&self.counters.sleeps, 1);
        add(&self.counters.slept_us, micros);
        add(&self.counters.idle_cycles, cycles);
    }

    fn total(&self, dp: &Datapath) -> Values {
        let mut v = self.counters.read();
        let slot = self.slot.load(Relaxed);
        if slot != NO_SLOT {
            let w = dp.worker_stats(slot);
            (v.recirculated, v.masks_searched, v.misses, v.lost) =
                (w.recirculated, w.masks_searched, w.misses, w.lost);
            (v.cache_hits, v.megaflow_hits) = (w.cache_hits, w.hits.saturating_sub(w.cache_hits));
        }
        v
    }

    /// What is to be shown, and since when in milliseconds.
    pub(crate) fn values(&self, dp: &Datapath) -> (Values, u64) {
        let (base, since) = *lock(&self.cleared);
        (self.total(dp).map2(&base, u64::saturating_sub), since)
    }

    /// Begins anew.
    pub(crate) fn clear(&self, dp: &Datapath, now_ms: u64) {
        *lock(&self.cleared) = (self.total(dp), now_ms);
    }
}

fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

fn percent(a: u64, b: u64) -> f64 {
    100.0 * ratio(a, b)
}

impl Values {
    pub(crate) fn plus(&self, other: &Values) -> Values {
        self.map2(other, u64::wrapping_add)
    }

    fn passes(&self) -> u64 {
        self.received + self.recirculated
    }

    /// What `pmd-stats-show` says below a thread's name.
    pub(crate) fn stats_text(&self, cycles: Cycles) -> String {
        let v = self;
        let mut out = format!(
            "  packets received: {}\n  packet recirculations: {}\n  avg. datapath passes per packet: {:.2}\n  \
             phwol hits: 0\n  mfex opt hits: 0\n  simple match hits: 0\n  emc hits: {}\n  smc hits: 0\n  \
             megaflow hits: {}\n  avg. subtable lookups per megaflow hit: {:.2}\n  miss with success upcall: {}\n  \
             miss with failed upcall: {}\n  avg. packets per output batch: {:.2}\n",
            v.received,
            v.recirculated,
            ratio(v.passes(), v.received),
            v.cache_hits,
            v.megaflow_hits,
            ratio(v.masks_searched, v.megaflow_hits),
            v.misses.saturating_sub(v.lost),
            v.lost,
            ratio(v.sent, v.sent_batches),
        );
        let all = v.busy_cycles + v.idle_cycles;
        if cycles == Cycles::Hidden || all == 0 {
            return out;
        }
        let line = |what: &str, n: u64| format!("  {what} cycles: {n} ({:.2}%)\n", percent(n, all));
        out += &line("idle", v.idle_cycles);
        out += &line("processing", v.busy_cycles);
        if v.received != 0 {
            let line = |what: &str, n: u64| {
                format!("  avg {what}cycles per packet: {:.2} ({n}/{})\n", ratio(n, v.received), v.received)
            };
            out += &line("", all);
            out += &line("processing ", v.busy_cycles);
        }
        out
    }

    /// What `pmd-perf-show` says below a thread's name, measured over `seconds`.
    pub(crate) fn perf_text(&self, seconds: f64) -> String {
        let v = self;
        let (all, rounds) = (v.busy_cycles + v.idle_cycles, v.busy_iterations + v.idle_iterations);
        // The counter's rate is not known beforehand; over the measurement, what was used is what passed.
        let us_per_cycle = if all == 0 { 0.0 } else { seconds * 1e6 / all as f64 };
        let mut out = String::new();
        let mut line = |label: &str, n: u64, rest: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "  {label:<20}{n:>12}{rest}");
        };
        let per_round = if rounds == 0 { 0.0 } else { us_per_cycle * all as f64 / rounds as f64 };
        line("Iterations:", rounds, format!("  ({per_round:.2} us/it)"));
        let used = if all == 0 { 0.0 } else { 100.0 };
        line("- Used TSC cycles:", all, format!("  ({used:5.1} % of total cycles)"));
        let of_used = |n| format!("  ({:5.1} % of used cycles)", percent(n, all));
        line("- idle iterations:", v.idle_iterations, of_used(v.idle_cycles));
        line("- busy iterations:", v.busy_iterations, of_used(v.busy_cycles));
        let slept = format!("  ({:5.1} % of iterations)", percent(v.sleeps, rounds));
        line("- sleep iterations:", v.sleeps, slept);
        let average = v.slept_us.checked_div(v.sleeps).unwrap_or(0);
        line("Sleep time (us):", v.slept_us, format!("  ({average:3} us/iteration avg.)"));
        if v.received == 0 {
            line("Rx packets:", 0, String::new());
            line("Tx packets:", 0, "\n".to_owned());
            return out;
        }
        let kpps = |n: u64| if seconds > 0.0 { n as f64 / seconds / 1000.0 } else { 0.0 };
        let cost = ratio(v.busy_cycles, v.received);
        line("Rx packets:", v.received, format!("  ({:.0} Kpps, {cost:.0} cycles/pkt)", kpps(v.received)));
        let passes = v.passes();
        line("Datapath passes:", passes, format!("  ({:.2} passes/pkt)", ratio(passes, v.received)));
        let of_passes = |n: u64| format!("  ({:5.1} %)", percent(n, passes));
        for label in ["- PHWOL hits:", "- MFEX Opt hits:", "- Simple Match hits:"] {
            line(label, 0, of_passes(0));
        }
        line("- EMC hits:", v.cache_hits, of_passes(v.cache_hits));
        line("- SMC hits:", 0, of_passes(0));
        let lookups = ratio(v.masks_searched, v.megaflow_hits);
        let hits = format!("  ({:5.1} %, {lookups:.2} subtbl lookups/hit)", percent(v.megaflow_hits, passes));
        line("- Megaflow hits:", v.megaflow_hits, hits);
        let upcalls = v.misses.saturating_sub(v.lost);
        let each = us_per_cycle * ratio(v.upcall_cycles, upcalls);
        line("- Upcalls:", upcalls, format!("  ({:5.1} %, {each:.1} us/upcall)", percent(upcalls, passes)));
        line("- Lost upcalls:", v.lost, of_passes(v.lost));
        line("Tx packets:", v.sent, format!("  ({:.0} Kpps)", kpps(v.sent)));
        let batch = format!("  ({:.2} pkts/batch)", ratio(v.sent, v.sent_batches));
        line("Tx batches:", v.sent_batches, batch);
        out
    }
}

/// Whether cycles are shown: of poll-mode threads they are, of those that wait they have no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cycles {
    Shown,
    Hidden,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures and the text that Open vSwitch 3.1 had for them.
    #[test]
    fn the_text_is_open_vswitchs() {
        let v = Values {
            received: 3,
            sent: 6,
            sent_batches: 6,
            busy_iterations: 3,
            idle_iterations: 7_268_895,
            busy_cycles: 2_292_602,
            idle_cycles: 21_633_986_843,
            megaflow_hits: 2,
            masks_searched: 2,
            misses: 1,
            ..Values::default()
        };
        let stats = "  packets received: 3\n  packet recirculations: 0\n  avg. datapath passes per packet: 1.00\n  \
                     phwol hits: 0\n  mfex opt hits: 0\n  simple match hits: 0\n  emc hits: 0\n  smc hits: 0\n  \
                     megaflow hits: 2\n  avg. subtable lookups per megaflow hit: 1.00\n  \
                     miss with success upcall: 1\n  miss with failed upcall: 0\n  \
                     avg. packets per output batch: 1.00\n  idle cycles: 21633986843 (99.99%)\n  \
                     processing cycles: 2292602 (0.01%)\n  \
                     avg cycles per packet: 7212093148.33 (21636279445/3)\n  \
                     avg processing cycles per packet: 764200.67 (2292602/3)\n";
        assert_eq!(v.stats_text(Cycles::Shown), stats);
        let perf = v.perf_text(8.343);
        let lines: Vec<&str> = perf.lines().collect();
        assert_eq!(lines[0], "  Iterations:              7268898  (1.15 us/it)");
        assert_eq!(lines[2], "  - idle iterations:       7268895  (100.0 % of used cycles)");
        assert_eq!(lines[4], "  - sleep iterations:            0  (  0.0 % of iterations)");
        assert_eq!(lines[5], "  Sleep time (us):               0  (  0 us/iteration avg.)");
        assert_eq!(lines[6], "  Rx packets:                    3  (0 Kpps, 764201 cycles/pkt)");
        assert_eq!(lines[10], "  - Simple Match hits:           0  (  0.0 %)");
        assert_eq!(lines[13], "  - Megaflow hits:               2  ( 66.7 %, 1.00 subtbl lookups/hit)");
        assert_eq!(lines[14], "  - Upcalls:                     1  ( 33.3 %, 0.0 us/upcall)");
        assert_eq!(lines[17], "  Tx batches:                    6  (1.00 pkts/batch)");
        assert!(Values::default().perf_text(0.0).ends_with("  Tx packets:                    0\n\n"));
    }
}
