//! The forwarding database: which address was seen on which port, of which VLAN.
//!
//! Where it sits: one per bridge; read while translating, changed by what packets teach and by commands.
//!
//! Bounded: when full, the entry not seen for longest makes room. Static entries neither age nor make room.

use std::collections::HashMap;
use std::time::Duration;

use openflow::OfpPort;
use packet::Instant;
use wire::EthAddr;

#[derive(Clone, Copy, Debug)]
struct Entry {
    port: OfpPort,
    /// `None` for a static entry.
    seen: Option<Instant>,
}

/// Counters of a forwarding database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdbStats {
    /// Addresses learned.
    pub learned: u64,
    /// Addresses that aged.
    pub expired: u64,
    /// Addresses that made room.
    pub evicted: u64,
    /// Addresses that moved to another port.
    pub moved: u64,
}

/// A forwarding database.
#[derive(Debug)]
pub struct Fdb {
    entries: HashMap<(u16, EthAddr), Entry>,
    /// Time after which an address is forgotten.
    pub aging: Duration,
    /// Most addresses.
    pub capacity: usize,
    /// Counters.
    pub stats: FdbStats,
}

impl Fdb {
    /// An empty one.
    pub fn new(aging: Duration, capacity: usize) -> Fdb {
        Fdb { entries: HashMap::new(), aging, capacity, stats: FdbStats::default() }
    }

    /// The port of an address.
    pub fn lookup(&self, vlan: u16, mac: EthAddr) -> Option<OfpPort> {
        self.entries.get(&(vlan, mac)).map(|e| e.port)
    }

    /// An address was seen on a port. True if that was news.
    pub fn learn(&mut self, vlan: u16, mac: EthAddr, port: OfpPort, now: Instant) -> bool {
        if let Some(entry) = self.entries.get_mut(&(vlan, mac)) {
            let Some(seen) = entry.seen else { return false };
            entry.seen = Some(seen.max(now));
            let moved = entry.port != port;
            entry.port = port;
            self.stats.moved += u64::from(moved);
            return moved;
        }
        if self.entries.len() >= self.capacity && !self.evict() {
            return false;
        }
        self.stats.learned += 1;
        self.entries.insert((vlan, mac), Entry { port, seen: Some(now) });
        true
    }

    fn evict(&mut self) -> bool {
        let aging = self.entries.iter().filter_map(|(k, e)| Some((e.seen?, *k)));
        let Some((_, oldest)) = aging.min() else { return false };
        self.entries.remove(&oldest);
        self.stats.evicted += 1;
        true
    }

    /// Puts a static entry.
    pub fn add_static(&mut self, vlan: u16, mac: EthAddr, port: OfpPort) {
        self.entries.insert((vlan, mac), Entry { port, seen: None });
    }

    /// Removes a static entry; false if there is none.
    pub fn remove_static(&mut self, vlan: u16, mac: EthAddr) -> bool {
        let is_static = self.entries.get(&(vlan, mac)).is_some_and(|e| e.seen.is_none());
        is_static && self.entries.remove(&(vlan, mac)).is_some()
    }

    /// True if there is anything that will be forgotten.
    pub fn ages(&self) -> bool {
        self.entries.values().any(|e| e.seen.is_some())
    }

    /// Forgets what was not seen for long. True if anything was forgotten.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.entries.len();
        let aging = self.aging;
        self.entries.retain(|_, e| e.seen.is_none_or(|seen| now.since(seen) < aging));
        let gone = before - self.entries.len();
        self.stats.expired += gone as u64;
        gone != 0
    }

    /// Forgets everything learned.
    pub fn flush(&mut self) {
        self.entries.retain(|_, e| e.seen.is_none());
    }

    /// Forgets what was learned on a port.
    pub fn forget_port(&mut self, port: OfpPort) {
        self.entries.retain(|_, e| e.port != port);
    }

    /// `fdb/show`.
    pub fn show(&self, now: Instant) -> String {
        let mut out = String::from(" port  VLAN  MAC                Age\n");
        let mut rows: Vec<_> = self.entries.iter().collect();
        rows.sort_by_key(|((vlan, mac), e)| (e.seen, *vlan, *mac));
        for ((vlan, mac), e) in rows {
            let port = match e.port {
                OfpPort::LOCAL => "LOCAL".to_owned(),
                port => port.0.to_string(),
            };
            match e.seen {
                Some(seen) => {
                    out += &format!("{port:>5}  {vlan:>4}  {mac}  {:>3}\n", now.since(seen).as_secs());
                }
                None => out += &format!("{port:>5}  {vlan:>4}  {mac}  static\n"),
            }
        }
        out
    }

    /// `fdb/stats-show`.
    pub fn show_stats(&self, bridge: &str) -> String {
        let statics = self.entries.values().filter(|e| e.seen.is_none()).count();
        let s = &self.stats;
        format!(
            "Statistics for bridge \"{bridge}\":\n  \
             Current/maximum MAC entries in the table: {}/{}\n  \
             Current static MAC entries in the table : {statics}\n  \
             Total number of learned MAC entries     : {}\n  \
             Total number of expired MAC entries     : {}\n  \
             Total number of evicted MAC entries     : {}\n  \
             Total number of port moved MAC entries  : {}\n",
            self.entries.len(),
            self.capacity,
            s.learned,
            s.expired,
            s.evicted,
            s.moved
        )
    }
}
