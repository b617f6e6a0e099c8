//! What a host decides about its connection table.
//!
//! Where it sits: given to [`crate::Conntrack::new`]; limits can be changed while it runs.

/// Open vSwitch's limit of connections.
pub const DEFAULT_MAX_CONNS: u32 = 3_000_000;
/// Milliseconds in which every entry is looked at once by the sweep.
pub const DEFAULT_SWEEP_MS: u32 = 20_000;

/// The table's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Random numbers: with them known, hash collisions and translated ports could be chosen from outside.
    pub seed: [u64; 2],
    /// Connections at most.
    pub max_conns: u32,
    /// Events held until they are read; zero disables events.
    pub max_events: usize,
}

impl Config {
    /// Open vSwitch's defaults, without events.
    pub const fn with_seed(seed: [u64; 2]) -> Config {
        Config { seed, max_conns: DEFAULT_MAX_CONNS, max_events: 0 }
    }
}

/// A limit of connections in a zone, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneLimit {
    /// The zone.
    pub zone: u16,
    /// The limit; zero is none.
    pub limit: u32,
    /// Connections in the zone.
    pub count: u32,
}

/// Memory is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl core::fmt::Display for NoMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cannot allocate memory")
    }
}

impl core::error::Error for NoMemory {}

/// Counters of what the table did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtStats {
    /// Connections in the table.
    pub conns: u64,
    /// Connections entered since the start.
    pub created: u64,
    /// Connections ended by their timeout.
    pub expired: u64,
    /// Connections refused because the table was full (`conntrack_full`).
    pub full: u64,
    /// Connections refused because their zone was (`conntrack_zone_full`).
    pub zone_full: u64,
    /// Connections refused because memory had not grown yet.
    pub no_memory: u64,
    /// Connections refused because translation found no free tuple.
    pub nat_exhausted: u64,
    /// Packets that were `inv`.
    pub invalid: u64,
    /// IPv4 header checksums verified (`conntrack_l3csum_checked`).
    pub l3csum_checked: u64,
    /// IPv4 header checksums that were wrong (`conntrack_l3csum_err`).
    pub l3csum_err: u64,
    /// Transport checksums verified (`conntrack_l4csum_checked`).
    pub l4csum_checked: u64,
    /// Transport checksums that were wrong (`conntrack_l4csum_err`).
    pub l4csum_err: u64,
    /// Events lost because the queue was full.
    pub events_lost: u64,
}
