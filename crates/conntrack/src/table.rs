//! The connection table as its users see it.
//!
//! Where it sits: a datapath has one; workers call [`Conntrack::process`], its commands call the rest.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use flow::ct_state;
use packet::{Now, PacketMeta};

use crate::{
    Config, CtAction, CtPacket, CtStats, CtVerdict, DumpCursor, Entry, Event, NoMemory, Rewrite,
    TimeoutPolicy, Tuple, ZoneLimit,
};

/// A connection table.
#[derive(Debug)]
pub struct Conntrack {
    max_conns: AtomicU32,
    tcp_seq_check: AtomicBool,
}

/// Which connections a flush removes; every part that is given has to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flush {
    /// Those of this zone.
    pub zone: Option<u16>,
    /// The one whose original direction this is.
    pub orig: Option<Tuple>,
}

impl Conntrack {
    /// An empty table.
    pub fn new(config: &Config) -> Result<Conntrack, NoMemory> {
        Ok(Conntrack { max_conns: AtomicU32::new(config.max_conns), tcp_seq_check: AtomicBool::new(true) })
    }

    /// Sends a packet through the tracker: sets `meta`'s connection fields, and translates the packet's addresses.
    /// Never allocates. Drop means that the packet must not go on.
    pub fn process(
        &self,
        _now: Now,
        meta: &mut PacketMeta,
        _packet: &mut CtPacket<'_>,
        action: &CtAction,
    ) -> CtVerdict {
        meta.clear_ct();
        meta.ct_zone = action.zone;
        meta.ct_state = ct_state::TRK | ct_state::INV;
        CtVerdict::Pass(Rewrite::None)
    }

    /// Grows memory and removes what has expired: looks at up to `budget` connections. To be called between batches,
    /// by one thread or several; true if there is more to do at once.
    pub fn maintain(&self, _now: Now, _budget: usize) -> bool {
        false
    }

    /// True if a shard is short of room: [`Conntrack::maintain`] should be called before the next batch.
    pub fn wants_maintenance(&self) -> bool {
        false
    }

    /// Copies connections from `cursor` on to `out`, of `zone` if given; returns how many. Zero is the end.
    pub fn dump(&self, _now: Now, _cursor: &mut DumpCursor, _zone: Option<u16>, _out: &mut [Entry]) -> usize {
        0
    }

    /// Removes connections; returns how many.
    pub fn flush(&self, _now: Now, _what: &Flush) -> usize {
        0
    }

    /// The oldest event that was not read yet.
    pub fn poll_event(&self) -> Option<Event> {
        None
    }

    /// Counters.
    pub fn stats(&self) -> CtStats {
        CtStats::default()
    }

    /// Connections in the table.
    pub fn count(&self) -> u32 {
        0
    }

    /// The limit of connections.
    pub fn max_conns(&self) -> u32 {
        self.max_conns.load(Ordering::Relaxed)
    }

    /// Sets the limit of connections; those above it stay until they end.
    pub fn set_max_conns(&self, max: u32) {
        self.max_conns.store(max, Ordering::Relaxed);
    }

    /// True if TCP sequence numbers are checked.
    pub fn tcp_seq_check(&self) -> bool {
        self.tcp_seq_check.load(Ordering::Relaxed)
    }

    /// Whether TCP sequence numbers are checked.
    pub fn set_tcp_seq_check(&self, on: bool) {
        self.tcp_seq_check.store(on, Ordering::Relaxed);
    }

    /// Sets (or with `None` removes) the timeouts of policy `id`; zero is the default policy and cannot be removed.
    pub fn set_timeout_policy(&self, _id: u16, _policy: Option<&TimeoutPolicy>) -> Result<(), NoMemory> {
        Ok(())
    }

    /// The limit for zones without one of their own; zero is none.
    pub fn default_zone_limit(&self) -> u32 {
        0
    }

    /// Sets the limit for zones without one of their own; zero is none.
    pub fn set_default_zone_limit(&self, _limit: u32) {}

    /// The limit and count of `zone`.
    pub fn zone_limit(&self, zone: u16) -> ZoneLimit {
        ZoneLimit { zone, limit: 0, count: 0 }
    }

    /// Sets the limit of `zone` (zero: none), or with `None` leaves it to the default; false if it had no limit to remove.
    pub fn set_zone_limit(&self, _zone: u16, _limit: Option<u32>) -> bool {
        false
    }
}
