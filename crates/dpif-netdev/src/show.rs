//! What `ovs-appctl dpif-netdev/…` shows of threads, and what it asks of them.
//!
//! Where it sits: called by the daemon's run-time control; the texts are Open vSwitch's.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::DpifNetdev;
use crate::perf::{Cycles, Values};
use crate::pmd::Pmd;
use crate::ports::lock;
use crate::usage::{INTERVAL_MS, INTERVALS};

/// Which threads are shown: those on one core, or all.
pub type Core = Option<u32>;

/// What `pmd-perf-show` shows beside the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The histograms are left out.
    pub no_histograms: bool,
    /// So many of the last iterations.
    pub iterations: usize,
    /// So many of the last milliseconds.
    pub millis: usize,
}

impl DpifNetdev {
    fn pmds(&self, core: Core) -> Vec<Arc<Pmd>> {
        let control = lock(&self.shared.control);
        let all = control.pmds.values().map(|(pmd, _)| pmd.clone());
        all.filter(|pmd| core.is_none_or(|core| core == pmd.core)).collect()
    }

    /// The cores that have a poll-mode thread.
    pub fn pmd_cores(&self) -> Vec<u32> {
        self.pmds(None).iter().map(|pmd| pmd.core).collect()
    }

    /// `pmd-stats-show`.
    pub fn pmd_stats_text(&self, core: Core) -> String {
        let dp = &self.shared.datapath;
        let mut out = String::new();
        for pmd in self.pmds(core) {
            out += &header(&pmd);
            out += &pmd.perf.values(dp).0.stats_text(Cycles::Shown);
        }
        if core.is_none() {
            let others = self.shared.others();
            let sum = others.iter().fold(Values::default(), |sum, perf| sum.plus(&perf.values(dp).0));
            out += "main thread:\n";
            out += &sum.stats_text(Cycles::Hidden);
        }
        out
    }

    /// `pmd-stats-clear`.
    pub fn pmd_stats_clear(&self, core: Core) {
        let (dp, now) = (&self.shared.datapath, self.shared.now().mono.as_millis());
        for pmd in self.pmds(core) {
            pmd.perf.clear(dp, now);
            *lock(&pmd.metrics) = None;
        }
        if core.is_none() {
            self.shared.others().iter().for_each(|perf| perf.clear(dp, now));
        }
    }

    /// `pmd-perf-show`, with what is known of single iterations while that is collected.
    pub fn pmd_perf_text(&self, core: Core, details: &Details) -> String {
        let collects = self.shared.metrics.load(Ordering::Relaxed);
        let now = self.shared.now();
        let mut out = String::new();
        for pmd in self.pmds(core) {
            let (values, since) = pmd.perf.values(&self.shared.datapath);
            let seconds = now.mono.as_millis().saturating_sub(since) as f64 / 1000.0;
            let day_ms = now.wall_ms % 86_400_000;
            let (h, m, s) = (day_ms / 3_600_000, day_ms / 60_000 % 60, day_ms / 1000 % 60);
            // Writing to a string cannot fail.
            let _ = writeln!(out, "\nTime: {h:02}:{m:02}:{s:02}.{:03}", day_ms % 1000);
            let _ = writeln!(out, "Measurement duration: {seconds:.3} s\n");
            out += &header(&pmd);
            out.push('\n');
            out += &values.perf_text(seconds);
            if !collects {
                continue;
            }
            let mut metrics = lock(&pmd.metrics);
            let metrics = metrics.get_or_insert_default();
            if !details.no_histograms {
                out += &metrics.histograms_text();
            }
            if details.iterations != 0 {
                out += &metrics.iterations_text(details.iterations);
            }
            if details.millis != 0 {
                out += &metrics.millis_text(details.millis);
            }
        }
        out
    }

    /// `pmd-perf-log-set`; false if the arguments are none.
    pub fn pmd_perf_log_set(&self, args: &[&str]) -> bool {
        self.shared.watch.set(args)
    }

    /// `pmd-rxq-show`, over the last `seconds`, a minute at most.
    pub fn pmd_rxq_text(&self, core: Core, seconds: u64) -> String {
        let interval = INTERVAL_MS / 1000;
        let n = (seconds.div_ceil(interval) as usize).clamp(1, INTERVALS);
        let mut out = String::new();
        for pmd in self.pmds(core) {
            if out.is_empty() {
                out = heading(n as u64 * interval);
            }
            out += &header(&pmd);
            let _ = writeln!(out, "  isolated : {}", pmd.is_isolated());
            let total = pmd.total.past(n);
            let share = |cycles: u64| match total {
                0 => "NOT AVAIL".to_owned(),
                total => format!("{:>2} %", (100.0 * cycles as f64 / total as f64).round()),
            };
            let queues = pmd.queues();
            let mut polling = 0;
            for q in &queues {
                let cycles = q.usage.past(n);
                polling += cycles;
                let (name, queue, share) = (&q.port.name, q.queue, share(cycles));
                let _ =
                    writeln!(out, "  port: {name:<16}  queue-id: {queue:>2} (enabled)   pmd usage: {share}");
            }
            if !queues.is_empty() {
                let _ = writeln!(out, "  overhead: {}", share(pmd.busy.past(n).saturating_sub(polling)));
            }
        }
        if out.is_empty() && core.is_none() { heading(n as u64 * interval) } else { out }
    }

    /// `pmd-sleep-show`.
    pub fn pmd_sleep_text(&self) -> String {
        let default = lock(&self.shared.control).config.sleep_us;
        let mut out = format!("Default max sleep: {default:>4} us\n");
        for pmd in self.pmds(None) {
            out += &header(&pmd);
            let _ = writeln!(out, "  max sleep: {:>4} us", pmd.max_sleep_us());
        }
        out
    }

    /// `pmd-rxq-rebalance`.
    pub fn rebalance(&self) {
        let mut control = lock(&self.shared.control);
        control.mark();
        control.carry_out(&self.shared);
    }
}

fn heading(seconds: u64) -> String {
    format!("Displaying last {seconds} seconds pmd usage %\n")
}

fn header(pmd: &Pmd) -> String {
    format!("pmd thread numa_id {} core_id {}:\n", pmd.node, pmd.core)
}
