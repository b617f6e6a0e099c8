//! The connection table as its users see it.
//!
//! Where it sits: a datapath has one; workers call [`Conntrack::process`] (`process.rs`), hosts call
//! [`Conntrack::maintain`] between batches (`maintain.rs`), the datapath's commands call the rest.
//!
//! Context: any thread. Nothing here waits for anything but the lock of a shard, which is held for one connection's
//! state change, one step of a walk, or the moving of one shard's index.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use packet::Now;
use sync::{SpinGuard, SpinLock, prefetch_at};

use crate::alg::{Algs, Expectation};
use crate::config::{Config, CtStats, NoMemory, ZoneLimit};
use crate::counters::{Counter, CounterSet};
use crate::entry::{Entry, Event, EventKind};
use crate::events::Events;
use crate::fragments::Fragments;
use crate::hash::Seed;
use crate::index::Index;
use crate::limits::Limits;
use crate::maintain::Maintenance;
use crate::plain::Headers;
use crate::shard::{Found, Shard};
use crate::slab::ConnRef;
use crate::tcp::{SeqCheck, Side};
use crate::timeout::{MAX_TIMEOUT_POLICIES, TIMEOUTS, Timeout, TimeoutPolicy};
use crate::tuple::Tuple;

/// Shards of a table: as many as the upper byte of a hash says.
pub(crate) const SHARDS: usize = 256;

/// Connections from which on a look-up waits for memory, unless that was asked for before.
const LARGE: u32 = 4096;

/// A shard on cache lines of its own, so that workers on different shards do not disturb each other.
#[derive(Debug)]
#[repr(align(64))]
struct Aligned {
    shard: SpinLock<Shard>,
    /// Where its index is, and its size: hints, to ask for it without the lock.
    index: AtomicUsize,
    size: AtomicUsize,
}

impl Aligned {
    fn new(shard: Shard) -> Aligned {
        let (index, size) = (AtomicUsize::new(shard.index.address()), AtomicUsize::new(shard.index.size()));
        Aligned { shard: SpinLock::new(shard), index, size }
    }
}

/// A connection table.
#[derive(Debug)]
pub struct Conntrack {
    pub(crate) seed: Seed,
    shards: Vec<Aligned>,
    pub(crate) counters: CounterSet,
    pub(crate) limits: Limits,
    pub(crate) events: Events,
    fragments: Box<Fragments>,
    pub(crate) algs: Algs,
    pub(crate) maintenance: Maintenance,
    /// Seconds of every timeout of every policy.
    policies: Vec<AtomicU32>,
    random: AtomicU64,
    tcp_seq_check: AtomicBool,
    pub(crate) limited_by_database: AtomicBool,
}

/// A connection that was found, with its shard locked.
pub(crate) struct Hit<'a> {
    pub shard: SpinGuard<'a, Shard>,
    pub conn: ConnRef,
    pub side: Side,
}

/// Where a tuple belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(crate) shard: u8,
    pub(crate) tag: u32,
}

impl Place {
    const fn of(hash: u64) -> Place {
        Place { shard: (hash >> 56) as u8, tag: hash as u32 }
    }
}

impl Conntrack {
    /// An empty table.
    pub fn new(config: &Config) -> Result<Conntrack, NoMemory> {
        let mut shards = Vec::new();
        shards.try_reserve_exact(SHARDS).map_err(|_| NoMemory)?;
        for n in 0..=u8::MAX {
            shards.push(Aligned::new(Shard::new(n)?));
        }
        let mut policies = Vec::new();
        let size = usize::from(MAX_TIMEOUT_POLICIES) * TIMEOUTS;
        policies.try_reserve_exact(size).map_err(|_| NoMemory)?;
        policies.extend(TimeoutPolicy::DEFAULT.seconds().into_iter().cycle().take(size).map(AtomicU32::new));
        Ok(Conntrack {
            seed: Seed::new(config.seed),
            algs: Algs::new()?,
            fragments: Fragments::boxed(Seed::new(config.seed))?,
            shards,
            counters: CounterSet::default(),
            limits: Limits::new(config.max_conns)?,
            events: Events::new(config.max_events)?,
            maintenance: Maintenance::default(),
            policies,
            random: AtomicU64::new(config.seed[0] ^ config.seed[1].rotate_left(32)),
            tcp_seq_check: AtomicBool::new(true),
            limited_by_database: AtomicBool::new(false),
        })
    }

    /// Locks a shard. `None` never: there is one for every number.
    pub(crate) fn shard(&self, n: u8) -> Option<SpinGuard<'_, Shard>> {
        self.shards.get(usize::from(n)).map(|s| s.shard.lock())
    }

    /// Notes where a shard's index is now.
    pub(crate) fn note_index(&self, n: u8, index: &Index) {
        if let Some(s) = self.shards.get(usize::from(n)) {
            s.index.store(index.address(), Ordering::Relaxed);
            s.size.store(index.size(), Ordering::Relaxed);
        }
    }

    /// True if there are so many connections that looking one up waits for memory: [`Conntrack::prefetch_index`] and
    /// [`Conntrack::prefetch_connection`] for all packets of a batch spare most of that.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.count() >= LARGE
    }

    /// Asks for what looking up a plain packet reads first.
    #[inline]
    pub fn prefetch_index(&self, h: &Headers, zone: u16) -> Place {
        let place = self.place_v4(h, zone);
        if let Some(s) = self.shards.get(usize::from(place.shard)) {
            let (index, size) = (s.index.load(Ordering::Relaxed), s.size.load(Ordering::Relaxed));
            prefetch_at(Index::home(index, size, place.tag));
        }
        place
    }

    /// Asks for the connection that the index, which is there by now, has at the place.
    #[inline]
    pub fn prefetch_connection(&self, place: Place) {
        if let Some(shard) = self.shard(place.shard) {
            shard.prefetch(place.tag);
        }
    }

    pub(crate) fn place(&self, t: &Tuple) -> Place {
        Place::of(self.seed.tuple(t))
    }

    /// The same of a plain packet.
    #[inline]
    pub(crate) fn place_v4(&self, h: &Headers, zone: u16) -> Place {
        Place::of(self.seed.v4((h.src, h.src_port), (h.dst, h.dst_port), h.proto, zone))
    }

    /// Finds the connection of a packet with tuple `t`.
    pub(crate) fn find(&self, t: &Tuple) -> Option<Hit<'_>> {
        /// Connections of other shards that may have the same tag: more than two would be a marvel.
        const MAX_FOLLOWED: usize = 8;
        let place = self.place(t);
        for skip in 0..MAX_FOLLOWED {
            let shard = self.shard(place.shard)?;
            match shard.find(place.tag, t, skip) {
                Found::Here(conn, side) => return Some(Hit { shard, conn, side }),
                Found::No => return None,
                Found::Elsewhere(conn) => {
                    drop(shard);
                    let shard = self.shard(conn.shard())?;
                    if let Some(side) = shard.side(conn, t) {
                        return Some(Hit { shard, conn, side });
                    }
                }
            }
        }
        None
    }

    /// Ends a connection of the locked shard, and unlocks it.
    pub(crate) fn end(&self, mut shard: SpinGuard<'_, Shard>, conn: ConnRef, now: Now) -> bool {
        let Some((orig, reply)) = shard.tuples(conn) else { return false };
        let Some(removed) = shard.free(conn, now) else { return false };
        shard.index.remove(self.place(&orig).tag, conn);
        drop(shard);
        if reply != orig.reversed() {
            let place = self.place(&reply);
            if let Some(mut other) = self.shard(place.shard) {
                other.index.remove(place.tag, conn);
            }
        }
        self.limits.give_back(removed.zone);
        if removed.wants_event {
            self.raise(EventKind::Destroy, &removed.entry);
        }
        true
    }

    /// Queues an event.
    pub(crate) fn raise(&self, kind: EventKind, entry: &Entry) {
        if self.events.is_on() && !self.events.push(kind, entry) {
            self.counters.add(Counter::EventsLost);
        }
    }

    /// Monotonic milliseconds at which a connection ends that now waits for `timeout`.
    #[inline]
    pub(crate) fn deadline(&self, now_ms: u64, policy: u16, timeout: Timeout) -> u64 {
        let at = usize::from(policy) * TIMEOUTS + timeout as usize;
        let seconds = self.policies.get(at).map_or_else(
            || TimeoutPolicy::DEFAULT.millis(timeout) / 1000,
            |s| u64::from(s.load(Ordering::Relaxed)),
        );
        now_ms.saturating_add(seconds.saturating_mul(1000))
    }

    /// A number that is hard to guess, from the seed on.
    pub(crate) fn random(&self) -> u64 {
        let n = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        self.seed.choice(&Tuple { src: n.into(), ..Tuple::default() })
    }

    pub(crate) fn seq_check(&self) -> SeqCheck {
        if self.tcp_seq_check() { SeqCheck::On } else { SeqCheck::Off }
    }

    /// Fragments that wait for the rest of their datagrams.
    pub fn fragments(&self) -> &Fragments {
        &self.fragments
    }

    /// The oldest event that was not read yet.
    pub fn poll_event(&self) -> Option<Event> {
        self.events.pop()
    }

    /// Counters.
    pub fn stats(&self) -> CtStats {
        let mut stats = self.counters.stats(self.count());
        for verified in self.shards.iter().map(|s| s.shard.lock().verified) {
            stats.l3csum_checked = stats.l3csum_checked.wrapping_add(verified.l3);
            stats.l4csum_checked = stats.l4csum_checked.wrapping_add(verified.l4);
        }
        stats
    }

    /// Connections in the table.
    pub fn count(&self) -> u32 {
        self.limits.count()
    }

    /// The limit of connections.
    pub fn max_conns(&self) -> u32 {
        self.limits.max()
    }

    /// Sets the limit of connections; those above it stay until they end.
    pub fn set_max_conns(&self, max: u32) {
        self.limits.set_max(max);
    }

    /// True if TCP sequence numbers are checked.
    pub fn tcp_seq_check(&self) -> bool {
        self.tcp_seq_check.load(Ordering::Relaxed)
    }

    /// Whether TCP sequence numbers are checked.
    pub fn set_tcp_seq_check(&self, on: bool) {
        self.tcp_seq_check.store(on, Ordering::Relaxed);
    }

    /// Sets the timeouts of policy `id`; without `policy`, to the defaults. Zero is the policy of connections that name
    /// none. False if `id` is not below [`MAX_TIMEOUT_POLICIES`]. Connections take the new times with their next packet.
    pub fn set_timeout_policy(&self, id: u16, policy: Option<&TimeoutPolicy>) -> bool {
        let policy = policy.unwrap_or(&TimeoutPolicy::DEFAULT);
        let first = usize::from(id) * TIMEOUTS;
        let Some(slots) = self.policies.get(first..first + TIMEOUTS) else { return false };
        for (slot, seconds) in slots.iter().zip(policy.seconds()) {
            slot.store(seconds, Ordering::Relaxed);
        }
        true
    }

    /// The timeouts of policy `id`; those of one that was never set are the defaults.
    pub fn timeout_policy(&self, id: u16) -> TimeoutPolicy {
        let mut seconds = TimeoutPolicy::DEFAULT.seconds();
        let slots = self.policies.get(usize::from(id) * TIMEOUTS..).unwrap_or_default();
        for (second, slot) in seconds.iter_mut().zip(slots) {
            *second = slot.load(Ordering::Relaxed);
        }
        TimeoutPolicy::of_seconds(seconds)
    }

    /// The policies that differ from the defaults, by number.
    pub fn timeout_policies(&self) -> impl Iterator<Item = (u16, TimeoutPolicy)> + '_ {
        let all = (0..MAX_TIMEOUT_POLICIES).map(|id| (id, self.timeout_policy(id)));
        all.filter(|(_, policy)| *policy != TimeoutPolicy::DEFAULT)
    }

    /// The limit for zones without one of their own; zero is none.
    pub fn default_zone_limit(&self) -> u32 {
        self.limits.default_zone()
    }

    /// Sets the limit for zones without one of their own; zero is none.
    pub fn set_default_zone_limit(&self, limit: u32) {
        self.limits.set_default_zone(limit);
    }

    /// The first connection from place `at` on that another has announced and that has not come, and the next place.
    pub fn expectation(&self, at: usize, now: Now) -> Option<(Expectation, usize)> {
        self.algs.nth_expected(at, now.mono.as_millis())
    }

    /// The limit that applies to `zone`, and how many connections it has.
    pub fn zone_limit(&self, zone: u16) -> ZoneLimit {
        self.limits.zone(zone)
    }

    /// The zones with a limit of their own, from `first` on.
    pub fn limited_zones(&self, first: u16) -> impl Iterator<Item = ZoneLimit> + '_ {
        self.limits.limited_zones(first)
    }

    /// Sets the limit of `zone` (zero: none), or with `None` leaves it to the default; tells whether it had one.
    pub fn set_zone_limit(&self, zone: u16, limit: Option<u32>) -> bool {
        self.limits.set_zone(zone, limit)
    }
}
