//! Counters of events, with their rates: `coverage/show` and `coverage/read-counter`.
//!
//! Where it sits: any crate above this one declares a `static` counter and counts; counters that live elsewhere (a datapath's) are
//! shown through `add_source`. `Daemon` samples them every five seconds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::unixctl::Commands;

/// Real or warped time between samples.
pub(crate) const SAMPLE_MS: u64 = 5000;
/// Samples in a minute.
const PER_MINUTE: usize = 12;
/// Minutes in an hour.
const PER_HOUR: usize = 60;

pub(crate) static UNIXCTL_RECEIVED: Counter = Counter::new("unixctl_received");
pub(crate) static UNIXCTL_REPLIED: Counter = Counter::new("unixctl_replied");

/// A counter; declare it `static`.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    count: AtomicU64,
    listed: AtomicBool,
}

impl Counter {
    /// A counter that listings call `name`.
    pub const fn new(name: &'static str) -> Counter {
        Counter { name, count: AtomicU64::new(0), listed: AtomicBool::new(false) }
    }

    /// Counts one event.
    pub fn count(&'static self) {
        self.add(1);
    }

    /// Counts `n` events.
    pub fn add(&'static self, n: u64) {
        self.count.fetch_add(n, Ordering::Relaxed);
        if !self.listed.load(Ordering::Relaxed) {
            self.list();
        }
    }

    /// Shows the counter although it may not have counted yet.
    pub fn list(&'static self) {
        if !self.listed.swap(true, Ordering::Relaxed) {
            add_source(self.name, move || self.count.load(Ordering::Relaxed));
        }
    }
}

type Source = Box<dyn Fn() -> u64 + Send>;

struct Entry {
    read: Source,
    last: u64,
    /// Events of the last samples, the oldest overwritten.
    samples: [u64; PER_MINUTE],
    /// Events of the last minutes.
    minutes: [u64; PER_HOUR],
}

#[derive(Default)]
struct Registry {
    entries: BTreeMap<String, Entry>,
    /// Samples taken so far.
    taken: usize,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { entries: BTreeMap::new(), taken: 0 });

fn with_registry<T>(f: impl FnOnce(&mut Registry) -> T) -> T {
    f(&mut REGISTRY.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Shows a counter that `read` reads. It is called with the registry locked and must not count anything itself.
pub fn add_source(name: &str, read: impl Fn() -> u64 + Send + 'static) {
    let entry = Entry { read: Box::new(read), last: 0, samples: [0; PER_MINUTE], minutes: [0; PER_HOUR] };
    with_registry(|registry| drop(registry.entries.insert(name.to_owned(), entry)));
}

/// The value of the counter called `name`.
pub fn read(name: &str) -> Option<u64> {
    with_registry(|registry| registry.entries.get(name).map(|entry| (entry.read)()))
}

/// Takes a sample of every counter.
pub(crate) fn sample() {
    with_registry(|registry| {
        let taken = registry.taken;
        for entry in registry.entries.values_mut() {
            let total = (entry.read)();
            let events = total.saturating_sub(entry.last);
            entry.last = total;
            entry.samples[taken % PER_MINUTE] = events;
            let minute = &mut entry.minutes[taken / PER_MINUTE % PER_HOUR];
            *minute = if taken.is_multiple_of(PER_MINUTE) { events } else { *minute + events };
        }
        registry.taken = taken.wrapping_add(1);
    });
}

/// Registers the commands.
pub(crate) fn register(commands: &Commands) {
    commands.register("coverage/show", "", 0..=0, |call| call.reply(show()));
    commands.register("coverage/read-counter", "COUNTER", 1..=1, |call| match read(&call.args[0]) {
        Some(value) => call.reply(value.to_string()),
        None => call.error("No such counter"),
    });
}

fn show() -> String {
    with_registry(|registry| {
        let latest = registry.taken.checked_sub(1).map(|at| at % PER_MINUTE);
        let mut hash = 0x811c_9dc5u32;
        let (mut lines, mut never) = (String::new(), 0);
        for (name, entry) in &registry.entries {
            let total = (entry.read)();
            if total == 0 {
                never += 1;
                continue;
            }
            for byte in name.bytes().chain([total.ilog2() as u8]) {
                hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            }
            let last = latest.map_or(0, |at| entry.samples[at]) as f64 / (SAMPLE_MS as f64 / 1000.0);
            let minute = entry.samples.iter().sum::<u64>() as f64 / 60.0;
            let hour = entry.minutes.iter().sum::<u64>() as f64 / 3600.0;
            lines.push_str(&format!(
                "{name:<24} {last:5.1}/sec {minute:9.3}/sec {hour:13.4}/sec   total: {total}\n"
            ));
        }
        format!(
            "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash={hash:08x}:\n{lines}{never} events never hit\n"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_and_shown_with_their_rates() {
        static COUNTER: Counter = Counter::new("coverage_test");
        COUNTER.list();
        assert_eq!(read("coverage_test"), Some(0));
        COUNTER.add(30);
        sample();
        assert_eq!(read("coverage_test"), Some(30));
        let shown = show();
        let line = shown.lines().find(|line| line.starts_with("coverage_test")).unwrap();
        assert_eq!(line, "coverage_test              6.0/sec     0.500/sec        0.0083/sec   total: 30");
        assert_eq!(read("no_such"), None);
    }
}
