//! How single iterations of a poll-mode thread went: histograms, the last thousand iterations, the last thousand milliseconds, and
//! which of them took suspiciously long.
//!
//! Where it sits: filled by a thread of `pmd` while `other_config:pmd-perf-metrics` says so; shown by `show` behind the sums
//! of `perf`, and written to the log.
//!
//! A thread locks its own for a moment after each iteration, and otherwise only who shows them does.
//!
//! Spec: ovs-vswitchd(8), `dpif-netdev/pmd-perf-show` and `dpif-netdev/pmd-perf-log-set`.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use packet::Now;

use crate::ports::lock;

/// Bars of a histogram; the last one has no upper end.
const BINS: usize = 32;
/// Iterations and milliseconds that are remembered.
const HISTORY: usize = 1000;
/// Iterations around a suspicious one that are written to the log at most, and after which the usual number is again.
const NEIGHBOURS: usize = HISTORY - 2;
const MANY_NEIGHBOURS: usize = 100;

/// What iterations did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub cycles: u64,
    pub packets: u64,
    pub batches: u64,
    pub upcalls: u64,
    pub upcall_cycles: u64,
}

impl Work {
    fn add(&mut self, other: &Work) {
        self.cycles += other.cycles;
        self.packets += other.packets;
        self.batches += other.batches;
        self.upcalls += other.upcalls;
        self.upcall_cycles += other.upcall_cycles;
    }
}

/// A number of things by size.
struct Histogram {
    /// The largest size of each bar.
    walls: [u64; BINS],
    bars: [u64; BINS],
}

impl Histogram {
    fn of(mut walls: [u64; BINS]) -> Histogram {
        walls[BINS - 1] = u64::MAX;
        Histogram { walls, bars: [0; BINS] }
    }

    /// Bars of one width from `min` to `max`.
    fn linear(min: u64, max: u64) -> Histogram {
        Histogram::of(std::array::from_fn(|i| min + i as u64 * (max - min) / (BINS as u64 - 2)))
    }

    /// Bars each of which is wider by the same factor than the one before, and at least by one; behind zero they begin at one.
    fn logarithmic(min: u64, max: u64) -> Histogram {
        let (first, steps) = if min == 0 { (1.0, BINS - 3) } else { (min as f64, BINS - 2) };
        let step = ((max as f64).ln() - first.ln()) / steps as f64;
        let mut last = None;
        let mut walls = std::array::from_fn(|i| {
            let at = if min == 0 { i.checked_sub(1) } else { Some(i) };
            let wall = at.map_or(0, |at| (first.ln() + at as f64 * step).exp() as u64);
            *last.insert(last.map_or(wall, |before: u64| wall.max(before + 1)))
        });
        // However it is rounded.
        walls[BINS - 2] = max;
        Histogram::of(walls)
    }

    fn add(&mut self, size: u64) {
        let at = self.walls.partition_point(|wall| *wall < size);
        if let Some(bar) = self.bars.get_mut(at) {
            *bar += 1;
        }
    }
}

/// What a histogram is of, in the order in which they are shown.
const COLUMNS: [&str; 7] =
    ["cycles/it", "packets/it", "cycles/pkt", "pkts/batch", "max vhost qlen", "upcalls/it", "cycles/upcall"];

/// A thread's iterations.
pub(crate) struct Metrics {
    histograms: [Histogram; COLUMNS.len()],
    /// Since the beginning.
    iterations: u64,
    work: Work,
    /// Cycles of iterations that had packets.
    busy_cycles: u64,
    /// The latest last, with their numbers.
    last: VecDeque<(u64, Work)>,
    /// When each was, in milliseconds, how many iterations it had, and how many of their cycles had packets.
    millis: VecDeque<(u64, u64, u64, Work)>,
    /// Cycles since `since`, in nanoseconds: how fast they are counted.
    counted: u64,
    since: Option<u64>,
    /// A suspicious iteration whose neighbours are still awaited, how long it took in microseconds, and the last neighbour.
    suspect: Option<(u64, u64, u64)>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            histograms: [
                Histogram::logarithmic(500, 24_000_000),
                Histogram::logarithmic(0, 1000),
                Histogram::linear(100, 30_000),
                Histogram::linear(0, 32),
                Histogram::logarithmic(0, 512),
                Histogram::linear(0, 30),
                Histogram::logarithmic(1000, 1_000_000),
            ],
            iterations: 0,
            work: Work::default(),
            busy_cycles: 0,
            last: VecDeque::with_capacity(HISTORY),
            millis: VecDeque::with_capacity(HISTORY),
            counted: 0,
            since: None,
            suspect: None,
        }
    }
}

/// What the log says of an iteration that took suspiciously long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Suspect {
    pub what: String,
    /// The iterations before and after it.
    pub around: String,
}

fn push<T>(history: &mut VecDeque<T>, value: T) {
    if history.len() >= HISTORY {
        history.pop_front();
    }
    history.push_back(value);
}

fn each(sum: u64, n: u64) -> u64 {
    sum.checked_div(n).unwrap_or(0)
}

impl Metrics {
    /// Counts an iteration that ends now; returns what is to be written to the log, once, of one that took suspiciously long.
    pub(crate) fn iteration(&mut self, work: Work, now: Now, watch: &Watch) -> Option<Suspect> {
        self.iterations += 1;
        self.work.add(&work);
        let packets = work.packets != 0;
        let busy = if packets { work.cycles } else { 0 };
        self.busy_cycles += busy;
        let sizes = [
            Some(work.cycles),
            Some(work.packets),
            packets.then(|| work.cycles / work.packets),
            packets.then(|| each(work.packets, work.batches)),
            // No port has rings of a virtual machine's.
            Some(0),
            Some(work.upcalls),
            (work.upcalls != 0).then(|| work.upcall_cycles / work.upcalls),
        ];
        for (histogram, size) in self.histograms.iter_mut().zip(sizes) {
            size.into_iter().for_each(|size| histogram.add(size));
        }
        push(&mut self.last, (self.iterations, work));
        let ms = now.mono.as_millis();
        match self.millis.back_mut() {
            Some((at, n, busy_then, sum)) if *at == ms => {
                (*n, *busy_then) = (*n + 1, *busy_then + busy);
                sum.add(&work);
            }
            _ => push(&mut self.millis, (ms, 1, busy, work)),
        }
        let since = *self.since.get_or_insert(now.mono.0);
        let us = if self.counted == 0 {
            0
        } else {
            (work.cycles as f64 * now.mono.0.saturating_sub(since) as f64 / self.counted as f64 / 1000.0)
                as u64
        };
        self.counted += work.cycles;
        if watch.is_on() { self.supervise(us, watch) } else { None }
    }

    fn supervise(&mut self, us: u64, watch: &Watch) -> Option<Suspect> {
        let mut settings = lock(&watch.settings);
        let number = self.iterations;
        let is_suspect = us > settings.us;
        match &mut self.suspect {
            None if is_suspect => self.suspect = Some((number, us, number + settings.after as u64)),
            Some((.., end)) if is_suspect && settings.extends && number <= *end => {
                *end = number + settings.after as u64;
            }
            _ => {}
        }
        let (suspect, took, _) = self.suspect.take_if(|(.., end)| *end < number)?;
        let what =
            format!("Suspicious iteration (Excessive total cycles): iter={suspect} duration={took} us");
        let from = suspect.saturating_sub(settings.before as u64);
        let around = self.last.iter().rev().filter(|(n, _)| (from..number).contains(n));
        let around = "Neighborhood of suspicious iteration:\n".to_owned() + &iterations_text(around);
        if settings.before + settings.after > MANY_NEIGHBOURS {
            // So that writing them does not make the next one suspicious.
            settings.be_safe();
        }
        Some(Suspect { what, around: around.trim_end_matches('\n').to_owned() })
    }

    /// The histograms, and the averages.
    pub(crate) fn histograms_text(&self) -> String {
        let mut out = "\nHistograms\n".to_owned();
        let mut heads = COLUMNS.map(|name| format!("{name:<21}"));
        out += &row(&heads);
        for bin in 0..BINS {
            out += &row(&self.histograms.each_ref().map(|histogram| {
                let (wall, n) = (histogram.walls[bin], histogram.bars[bin]);
                let wall = if wall == u64::MAX { ">".to_owned() } else { wall.to_string() };
                format!("{wall:<8}  {n:<11}")
            }));
        }
        out += &"-".repeat(154);
        out += "\n";
        let (n, w) = (self.iterations, &self.work);
        let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        // Of this one the average is shown.
        heads[4] = format!("{:<21}", "vhost qlen");
        out += &row(&heads);
        out += &row(&[
            format!("{:<21}", each(w.cycles, n)),
            format!("{:<21.5}", ratio(w.packets, n)),
            format!("{:<21}", each(self.busy_cycles, w.packets)),
            format!("{:<21.5}", ratio(w.packets, w.batches)),
            format!("{:<21.5}", 0.0),
            format!("{:<21.5}", ratio(w.upcalls, n)),
            format!("{:<21}", each(w.upcall_cycles, w.upcalls)),
        ]);
        out
    }

    /// The last `n` iterations, the latest first.
    pub(crate) fn iterations_text(&self, n: usize) -> String {
        "\n".to_owned() + &iterations_text(self.last.iter().rev().take(n))
    }

    /// The last `n` milliseconds, the latest first.
    pub(crate) fn millis_text(&self, n: usize) -> String {
        let mut out = "\n   ms             iterations   cycles/it    Kpps         cycles/pkt   pkts/batch   vhost qlen   \
                       upcalls      cycles/upcall\n"
            .to_owned();
        for (ms, iterations, busy, w) in self.millis.iter().rev().take(n) {
            let cells = [
                *iterations,
                each(w.cycles, *iterations),
                w.packets,
                each(*busy, w.packets),
                each(w.packets, w.batches),
                0,
                w.upcalls,
                each(w.upcall_cycles, w.upcalls),
            ];
            out += &row(&[format!("{ms:<13}"), numbers(cells)]);
        }
        out
    }
}

/// A line of a table.
fn row(cells: &[String]) -> String {
    format!("   {}\n", cells.join("  "))
}

fn numbers<const N: usize>(cells: [u64; N]) -> String {
    cells.map(|n| format!("{n:<11}")).join("  ")
}

fn iterations_text<'a>(iterations: impl Iterator<Item = &'a (u64, Work)>) -> String {
    let mut out =
        "   iter                cycles       packets      cycles/pkt   pkts/batch   vhost qlen   upcalls      cycles/upcall\n"
            .to_owned();
    for (number, w) in iterations {
        let cells = [
            w.cycles,
            w.packets,
            each(w.cycles, w.packets),
            each(w.packets, w.batches),
            0,
            w.upcalls,
            each(w.upcall_cycles, w.upcalls),
        ];
        out += &row(&[format!("{number:<18}"), numbers(cells)]);
    }
    out
}

/// Which iterations are suspicious, and what is written to the log of them.
#[derive(Default)]
pub(crate) struct Watch {
    is_on: AtomicBool,
    settings: Mutex<Settings>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    before: usize,
    after: usize,
    /// Another suspicious one among the neighbours makes these more.
    extends: bool,
    /// Microseconds that an iteration may take.
    us: u64,
    /// Packets in a ring of a virtual machine's: none is ever seen.
    queue: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { before: 5, after: 5, extends: false, us: 250, queue: 128 }
    }
}

impl Settings {
    fn be_safe(&mut self) {
        let Settings { before, after, extends, .. } = Settings::default();
        (self.before, self.after, self.extends) = (before, after, extends);
    }
}

impl Watch {
    fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Takes the arguments of `pmd-perf-log-set` over; false, and no change, if they are none. What holds then is said in the log.
    pub(crate) fn set(&self, args: &[&str]) -> bool {
        let mut settings = lock(&self.settings);
        let (mut new, mut is_on, mut rest) = (*settings, self.is_on(), args);
        let number = |text: &str| text.parse::<u32>().ok();
        while let [first, more @ ..] = rest {
            rest = more;
            let set = match (*first, more) {
                ("on" | "off", _) => {
                    is_on = *first == "on";
                    continue;
                }
                ("-e" | "-ne", _) => {
                    new.extends = *first == "-e";
                    continue;
                }
                ("-b", [n, ..]) => number(n).map(|n| new.before = (n as usize).min(NEIGHBOURS)),
                ("-a", [n, ..]) => {
                    number(n).map(|n| new.after = (n as usize).min(NEIGHBOURS.saturating_sub(new.before)))
                }
                ("-us", [n, ..]) => number(n).map(|n| new.us = n.into()),
                ("-q", [n, ..]) => number(n).map(|n| new.queue = n.into()),
                _ => None,
            };
            if set.is_none() {
                return false;
            }
            rest = more.get(1..).unwrap_or_default();
        }
        *settings = new;
        self.is_on.store(is_on, Relaxed);
        log::info!(
            target: "pmd_perf",
            "pmd-perf-log-set: {}, before={}, after={}, extend={}, us_thr={}, q_thr={}",
            if is_on { "on" } else { "off" }, new.before, new.after, new.extends, new.us, new.queue
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use packet::Instant;

    use super::*;

    fn walls(histogram: &Histogram) -> Vec<u64> {
        histogram.walls[..BINS - 1].to_vec()
    }

    /// As Open vSwitch 3.1 shows them.
    #[test]
    fn bars_are_as_wide_as_open_vswitchs() {
        let m = Metrics::default();
        let cycles = [
            499, 716, 1025, 1469, 2104, 3014, 4317, 6183, 8857, 12686, 18171, 26027, 37279, 53395, 76480,
            109_544, 156_903, 224_736, 321_895, 461_058, 660_385, 945_886, 1_354_815, 1_940_535, 2_779_476,
            3_981_111, 5_702_243, 8_167_461, 11_698_454, 16_755_981, 24_000_000,
        ];
        let packets = [
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 17, 22, 28, 35, 45, 57, 72, 92, 117, 148, 188, 239,
            303, 385, 489, 621, 788, 1000,
        ];
        let queue = [
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 20, 25, 31, 38, 48, 59, 73, 91, 113, 140, 174,
            216, 268, 332, 412, 512,
        ];
        let upcall = [
            999, 1258, 1584, 1995, 2511, 3162, 3981, 5011, 6309, 7943, 9999, 12589, 15848, 19952, 25118,
            31622, 39810, 50118, 63095, 79432, 99999, 125_892, 158_489, 199_526, 251_188, 316_227, 398_107,
            501_187, 630_957, 794_328, 1_000_000,
        ];
        assert_eq!(walls(&m.histograms[0]), cycles);
        assert_eq!(walls(&m.histograms[1]), packets);
        assert_eq!(walls(&m.histograms[2])[..4], [100, 1096, 2093, 3090]);
        assert_eq!(walls(&m.histograms[3])[12..17], [12, 13, 14, 16, 17]);
        assert_eq!(walls(&m.histograms[4]), queue);
        assert_eq!(walls(&m.histograms[5])[29..], [29, 30]);
        assert_eq!(walls(&m.histograms[6]), upcall);
    }

    fn at(us: u64) -> Now {
        Now { mono: Instant(us * 1000), wall_ms: 0 }
    }

    #[test]
    fn the_text_is_open_vswitchs() {
        let (mut m, watch) = (Metrics::default(), Watch::default());
        let idle = Work { cycles: 2548, ..Work::default() };
        let busy = Work { cycles: 9000, packets: 6, batches: 2, upcalls: 1, upcall_cycles: 5000 };
        for n in 0..2000 {
            assert_eq!(m.iteration(if n == 1998 { busy } else { idle }, at(n * 10), &watch), None);
        }
        let text = m.histograms_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "Histograms");
        assert_eq!(
            lines[2],
            "   cycles/it              packets/it             cycles/pkt             pkts/batch             max vhost qlen         upcalls/it             cycles/upcall        "
        );
        assert_eq!(
            lines[8],
            "   3014      1999         5         0            5083      0            5         0            5         0            5         0            3162      0          "
        );
        assert_eq!(lines[9].get(26..48), Some("6         1           "));
        assert_eq!(lines[35].len(), 154);
        assert_eq!(
            lines[37],
            "   2551                   0.00300                1500                   3.00000                0.00000                0.00050                5000                 "
        );
        let text = m.iterations_text(2);
        let rows = "   2000                2548         0            0            0            0            0            0          \n   \
                    1999                9000         6            1500         3            0            1            5000       \n";
        assert!(text.ends_with(rows), "{text}");
        assert_eq!(m.iterations_text(5000).lines().count(), 2 + HISTORY);
        let text = m.millis_text(5000);
        assert_eq!(text.lines().count(), 2 + 20);
        let row = "   19             100          2612         6            1500         3            0            1            5000       ";
        assert_eq!(text.lines().nth(2), Some(row));
    }

    #[test]
    fn what_takes_long_is_told_with_its_neighbours() {
        let (mut m, watch) = (Metrics::default(), Watch::default());
        assert!(watch.set(&["on", "-b", "2", "-a", "1"]));
        let mut told = Vec::new();
        let (mut us, usual) = (0, 100);
        for n in 1..=20 {
            let took = if n == 10 || n == 12 { 900 } else { 10 };
            us += took;
            let work = Work { cycles: took * usual, ..Work::default() };
            told.extend(m.iteration(work, at(us), &watch).map(|suspect| (n, suspect)));
        }
        let [(12, Suspect { what, around })] = told.as_slice() else { panic!("{told:?}") };
        assert!(
            what.starts_with("Suspicious iteration (Excessive total cycles): iter=10 duration="),
            "{what}"
        );
        let numbers: Vec<&str> = around.lines().skip(2).filter_map(|l| l.split_whitespace().next()).collect();
        assert_eq!(numbers, ["11", "10", "9", "8"]);
    }

    /// Open vSwitch 3.1's answers to the same arguments.
    #[test]
    fn settings_are_taken_as_by_open_vswitch() {
        let watch = Watch::default();
        let set = |words: &str| {
            let done = watch.set(&words.split_whitespace().collect::<Vec<_>>());
            let s = *lock(&watch.settings);
            (done, watch.is_on(), s.before, s.after, s.extends, s.us, s.queue)
        };
        assert_eq!(set(""), (true, false, 5, 5, false, 250, 128));
        assert_eq!(set("on -b 3 -a 4 -e"), (true, true, 3, 4, true, 250, 128));
        assert_eq!(set("on -ne -us 9"), (true, true, 3, 4, false, 9, 128));
        assert_eq!(set("off -q 3"), (true, false, 3, 4, false, 9, 3));
        assert_eq!(set("on -b 200 -a 900"), (true, true, 200, 798, false, 9, 3));
        assert_eq!(set("on -b 1000 -a 0"), (true, true, 998, 0, false, 9, 3));
        assert_eq!(set("on off"), (true, false, 998, 0, false, 9, 3));
        for wrong in ["maybe", "on -b", "on -x", "on -b -3", "on -us x", "-us 99999999999", "on -b 3x"] {
            assert_eq!(set(wrong), (false, false, 998, 0, false, 9, 3), "{wrong}");
        }
    }
}
