//! How poll-mode threads are set up: keys of `Open_vSwitch.other_config`.
//!
//! Where it sits: read after every change of the database; `pmd` carries it out. What changed is said in the log, in
//! Open vSwitch's words; a value that makes no sense counts as the default.
//!
//! Spec: ovs-vswitchd.conf.db(5).

use std::collections::BTreeMap;
use std::sync::Once;

use crate::schedule::Algorithm;

/// Microseconds that a thread may sleep at most.
const SLEEP_MAX_US: u64 = 10_000;
/// Microseconds that a packet may wait for company at most.
const FLUSH_MAX_US: u64 = 1_000_000;
/// Minutes between two looks at the balance, at most.
const INTERVAL_MAX_MIN: u64 = 20_000;

/// When queues move by themselves from busy threads to idle ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AutoBalance {
    pub enabled: bool,
    /// Minutes between two looks.
    pub interval_min: u64,
    /// Percent of a thread's time that count as too busy.
    pub load: u64,
    /// Percent by which the balance must improve.
    pub improvement: u64,
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub cpu_mask: Option<String>,
    pub algorithm: Algorithm,
    pub isolate: bool,
    pub balance: AutoBalance,
    pub sleep_us: u64,
    pub sleep_of_core_us: BTreeMap<u32, u64>,
    pub flush_us: u64,
    pub metrics: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            cpu_mask: None,
            algorithm: Algorithm::Cycles,
            isolate: true,
            balance: AutoBalance { enabled: false, interval_min: 1, load: 95, improvement: 25 },
            sleep_us: 0,
            sleep_of_core_us: BTreeMap::new(),
            flush_us: 0,
            metrics: false,
        }
    }
}

type Keys = BTreeMap<String, String>;

/// True for the keys of `other_config`, of Open_vSwitch and of Interface, that are about threads and queues.
pub fn is_about_threads(key: &str) -> bool {
    key.starts_with("pmd-") || key.starts_with("tx-")
}

/// A number up to `max`; none if it is missing, malformed or too large.
fn number(keys: &Keys, key: &str, max: u64) -> Option<u64> {
    keys.get(key)?.parse().ok().filter(|n| *n <= max)
}

impl Config {
    /// What the keys say; complaints go into the log at every reading.
    pub(crate) fn read(keys: &Keys) -> Config {
        let is_true = |key: &str| keys.get(key).is_some_and(|v| v == "true");
        let default = Config::default();
        let algorithm = match keys.get("pmd-rxq-assign").map(String::as_str) {
            None | Some("cycles") => Algorithm::Cycles,
            Some("roundrobin") => Algorithm::RoundRobin,
            Some("group") => Algorithm::Group,
            Some(_) => {
                log::warn!(
                    target: "dpif_netdev",
                    "Unsupported rx queue to PMD assignment mode in pmd-rxq-assign. Defaulting to 'cycles'."
                );
                Algorithm::Cycles
            }
        };
        let mut isolate = keys.get("pmd-rxq-isolate").is_none_or(|v| v != "false");
        if !isolate && algorithm != Algorithm::Group {
            log::warn!(target: "dpif_netdev", "pmd-rxq-isolate can only be set false when using pmd-rxq-assign=group");
            isolate = true;
        }
        let balance = AutoBalance {
            enabled: is_true("pmd-auto-lb"),
            interval_min: number(keys, "pmd-auto-lb-rebal-interval", INTERVAL_MAX_MIN)
                .filter(|n| *n != 0)
                .unwrap_or(default.balance.interval_min),
            load: number(keys, "pmd-auto-lb-load-threshold", 100).unwrap_or(default.balance.load),
            improvement: number(keys, "pmd-auto-lb-improvement-threshold", 100)
                .unwrap_or(default.balance.improvement),
        };
        let (sleep_us, sleep_of_core_us) = sleeps(keys);
        Config {
            cpu_mask: keys.get("pmd-cpu-mask").filter(|mask| !mask.is_empty()).cloned(),
            algorithm,
            isolate,
            balance,
            sleep_us,
            sleep_of_core_us,
            flush_us: number(keys, "tx-flush-interval", FLUSH_MAX_US).unwrap_or(0),
            metrics: is_true("pmd-perf-metrics"),
        }
    }

    /// Microseconds that the thread on `core` may sleep at most.
    pub(crate) fn sleep_of(&self, core: u32) -> u64 {
        self.sleep_of_core_us.get(&core).copied().unwrap_or(self.sleep_us)
    }

    /// Says in the log what differs from `old`; at the beginning, what there is.
    pub(crate) fn log(&self, old: Option<&Config>) {
        let new = |differs: fn(&Config, &Config) -> bool| old.is_none_or(|old| differs(old, self));
        if old.is_some_and(|old| old.flush_us != self.flush_us) {
            log::info!(target: "dpif_netdev", "Flushing interval for tx queues set to {} us", self.flush_us);
        }
        if old.is_some_and(|old| old.metrics != self.metrics) || (old.is_none() && self.metrics) {
            let word = if self.metrics { "enabled" } else { "disabled" };
            log::info!(target: "dpif_netdev", "PMD performance metrics collection {word}");
        }
        if old.unwrap_or(&Config::default()).algorithm != self.algorithm {
            let name = self.algorithm.name();
            log::info!(target: "dpif_netdev", "Rxq to PMD assignment mode changed to: '{name}'.");
        }
        if new(|a, b| a.isolate != b.isolate) {
            let does = if self.isolate { "isolates" } else { "does not isolate" };
            log::info!(target: "dpif_netdev", "pmd-rxq-affinity {does} PMD core");
        }
        let b = self.balance;
        if new(|a, b| a.balance.interval_min != b.balance.interval_min) {
            log::info!(target: "dpif_netdev", "PMD auto load balance interval set to {} mins", b.interval_min);
        }
        if new(|a, b| a.balance.improvement != b.balance.improvement) {
            let n = b.improvement;
            log::info!(target: "dpif_netdev", "PMD auto load balance improvement threshold set to {n}%");
        }
        if new(|a, b| a.balance.load != b.balance.load) {
            log::info!(target: "dpif_netdev", "PMD auto load balance load threshold set to {}%", b.load);
        }
        if new(|a, b| a.balance != b.balance || a.algorithm != b.algorithm) {
            self.log_balance(old);
        }
        if new(|a, b| a.sleep_us != b.sleep_us) {
            log::info!(target: "dpif_netdev", "Default PMD thread max sleep: {:>4} us.", self.sleep_us);
        }
    }

    /// Queues may only move by themselves where they are assigned by what they cost.
    pub(crate) fn balances(&self) -> bool {
        self.balance.enabled && self.algorithm != Algorithm::RoundRobin
    }

    fn log_balance(&self, old: Option<&Config>) {
        let b = self.balance;
        let as_before = old.is_some_and(|old| old.balances() == self.balances());
        if self.balances() && !old.is_some_and(|old| old.balances() && old.balance == b) {
            log::info!(
                target: "dpif_netdev",
                "PMD auto load balance is enabled, interval {} mins, pmd load threshold {}%, improvement threshold {}%.",
                b.interval_min, b.load, b.improvement
            );
        } else if !self.balances() && !as_before {
            log::info!(target: "dpif_netdev", "PMD auto load balance is disabled.");
        }
    }
}

/// The sleep of all threads, and of those on cores that have one of their own: `50,3:100,4:0`.
fn sleeps(keys: &Keys) -> (u64, BTreeMap<u32, u64>) {
    let text = match (keys.get("pmd-sleep-max"), keys.get("pmd-maxsleep")) {
        (Some(text), _) => text,
        (None, Some(old)) => {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                log::warn!(target: "dpif_netdev", "pmd-maxsleep is deprecated. Please use pmd-sleep-max instead.");
            });
            old
        }
        (None, None) => return (0, BTreeMap::new()),
    };
    let (mut all, mut own) = (0, BTreeMap::new());
    let micros = |text: &str| text.parse::<u64>().unwrap_or(0).min(SLEEP_MAX_US);
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once(':') {
            None => all = micros(part),
            Some((core, sleep)) => {
                if let Ok(core) = core.trim().parse() {
                    own.insert(core, micros(sleep.trim()));
                }
            }
        }
    }
    (all, own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Config {
        Config::read(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn what_makes_no_sense_is_the_default() {
        assert_eq!(read(&[]), Config::default());
        let odd = [
            ("pmd-rxq-assign", "foo"),
            ("pmd-auto-lb-load-threshold", "170"),
            ("pmd-auto-lb-improvement-threshold", "-1"),
            ("pmd-auto-lb-rebal-interval", "0"),
            ("tx-flush-interval", "5000000"),
            ("pmd-rxq-isolate", "false"),
        ];
        assert_eq!(read(&odd), Config::default());
        assert!(!read(&[("pmd-rxq-isolate", "false"), ("pmd-rxq-assign", "group")]).isolate);
    }

    #[test]
    fn sleeps_are_for_all_or_for_a_core() {
        let c = read(&[("pmd-sleep-max", "50,3:100,4:0, 5:99999")]);
        assert_eq!([0, 3, 4, 5].map(|core| c.sleep_of(core)), [50, 100, 0, 10_000]);
        assert_eq!(read(&[("pmd-maxsleep", "500000")]).sleep_us, 10_000);
        assert_eq!(read(&[("pmd-maxsleep", "x")]).sleep_us, 0);
        assert_eq!(read(&[("pmd-maxsleep", "7"), ("pmd-sleep-max", "8")]).sleep_us, 8);
    }
}
