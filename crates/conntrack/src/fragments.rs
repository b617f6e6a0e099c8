//! Fragments of IP datagrams: held until all of one are there, so that it can be tracked whole.
//!
//! Where it sits: beside the connection table, one for all workers, since fragments of a datagram may come to several. The
//! datapath adds fragments before a `ct` action, tracks the datagram that comes of them, and sends on as many fragments as
//! came, each with its own header. No packet's buffer waits here: bytes are copied in and out.
//!
//! ~~~text
//! fragment ── odd, small, overlapping, no room ──► Refused: goes on by itself, `inv`
//!     └── held ── others missing ──► Waits ── 15 s ──► purged
//!            └──── all there ──► Whole: assemble, track, then `next` and `restore` for each
//! ~~~
//!
//! I1  No fragment's bytes overlap another's of its datagram: the later one is refused, whatever it says.
//! I2  At most `max_nfrags` fragments wait, in at most 16 MiB; memory for them grows between batches only.
//!
//! Context: any worker; never allocates, except in [`Fragments::new`], [`Fragments::set_max`] and [`Fragments::maintain`].
//!
//! Spec: RFC 791 §3.2, RFC 8200 §4.5, RFC 5722; ovs-vswitchd(8), `dpctl/ipf-…`. Next: `fragments/store.rs`.

mod parse;
mod store;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use packet::Now;
use sync::SpinLock;

use crate::config::NoMemory;
use crate::hash::Seed;

pub use parse::FragmentRef;
pub use store::{Ipf, Name, Piece};
use store::{Refusal, Store};

/// How long a datagram's first fragment waits for the rest, in milliseconds.
pub const TIMEOUT_MS: u64 = 15_000;
/// Fragments that may be allowed to wait.
pub const MAX_NFRAGS: u32 = 5000;
/// Bytes of IP header and payload that may be asked of fragments with others behind them.
pub const LEAST_MIN_FRAG: u32 = 400;
const DEFAULT_MAX_NFRAGS: u32 = 1000;
const DEFAULT_MIN_FRAG: [u32; 2] = [1200, 1280];

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    /// It goes on by itself, and cannot be tracked.
    Refused,
    /// It is held; others are missing.
    Waits,
    /// Its datagram is whole. It must be given back with [`Fragments::release`].
    Whole(Ipf),
}

/// What is counted for each address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentCounts {
    /// Fragments held.
    pub accepted: u64,
    /// Fragments sent on with their datagram.
    pub completed: u64,
    /// Refused: too small.
    pub too_small: u64,
    /// Refused: overlapping.
    pub overlapped: u64,
    /// Dropped after [`TIMEOUT_MS`].
    pub purged: u64,
}

/// Fragments that wait, and what became of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentStatus {
    /// Fragments that wait.
    pub waits: u32,
    /// Counters of IPv4 and of IPv6.
    pub counts: [FragmentCounts; 2],
}

/// Settings and counters of one address family.
#[derive(Debug)]
struct Family {
    enabled: AtomicBool,
    min: AtomicU32,
    accepted: AtomicU64,
    completed: AtomicU64,
    too_small: AtomicU64,
    overlapped: AtomicU64,
    purged: AtomicU64,
}

impl Family {
    const fn new(min: u32) -> Family {
        Family {
            enabled: AtomicBool::new(true),
            min: AtomicU32::new(min),
            accepted: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            too_small: AtomicU64::new(0),
            overlapped: AtomicU64::new(0),
            purged: AtomicU64::new(0),
        }
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// The fragments that wait.
#[derive(Debug)]
pub struct Fragments {
    seed: Seed,
    store: SpinLock<Store>,
    families: [Family; 2],
    max: AtomicU32,
    /// The store is running out of memory.
    is_short: AtomicBool,
}

impl Fragments {
    // apart, and on the heap: kernel frames are small
    #[inline(never)]
    pub(crate) fn boxed(seed: Seed) -> Result<Box<Fragments>, NoMemory> {
        sync::try_box(Fragments::new(seed)?).ok_or(NoMemory)
    }

    fn new(seed: Seed) -> Result<Fragments, NoMemory> {
        Ok(Fragments {
            seed,
            store: SpinLock::new(Store::new(DEFAULT_MAX_NFRAGS)?),
            families: DEFAULT_MIN_FRAG.map(Family::new),
            max: AtomicU32::new(DEFAULT_MAX_NFRAGS),
            is_short: AtomicBool::new(false),
        })
    }

    const fn family(&self, is_ipv6: bool) -> &Family {
        let [v4, v6] = &self.families;
        if is_ipv6 { v6 } else { v4 }
    }

    /// Takes a fragment that came to zone `zone` after recirculation as `recirc_id`. `copy` copies bytes of its frame out.
    // apart, as a whole datagram's steps are: kernel frames are small
    #[inline(never)]
    pub fn add(
        &self,
        now: Now,
        (zone, recirc_id): (u16, u32),
        fragment: &FragmentRef,
        copy: &mut dyn FnMut(usize, &mut [u8]),
    ) -> Held {
        let family = self.family(fragment.is_ipv6);
        if !family.enabled.load(Ordering::Relaxed) {
            return Held::Refused;
        }
        if fragment.more && fragment.size < family.min.load(Ordering::Relaxed) as usize {
            add(&family.too_small, 1);
            return Held::Refused;
        }
        let name = Name { zone, recirc_id, ..fragment.name() };
        let hash = name.hash(self.seed);
        let mut store = self.store.lock();
        self.purge(&mut store, now);
        let max = self.max.load(Ordering::Relaxed) as usize;
        let held = store.add(now.mono.as_millis(), (name, hash), fragment, max, copy);
        if store.is_short() {
            self.is_short.store(true, Ordering::Relaxed);
        }
        match held {
            Ok(whole) => {
                add(&family.accepted, 1);
                whole.map_or(Held::Waits, Held::Whole)
            }
            Err(refusal) => {
                if refusal == Refusal::Overlaps {
                    add(&family.overlapped, 1);
                }
                Held::Refused
            }
        }
    }

    /// Writes the datagram that the fragments make, with the headers of the first, to `out`, which is as long as it. False
    /// if it is not.
    #[inline(never)]
    #[must_use]
    pub fn assemble(&self, whole: &Ipf, out: &mut [u8]) -> bool {
        self.store.lock().assemble(whole, out).is_some()
    }

    /// The fragment that comes after `piece`, or the first.
    pub fn next(&self, whole: &Ipf, piece: Option<Piece>) -> Option<Piece> {
        self.store.lock().next(whole, piece)
    }

    /// Writes a fragment as it came, but with the addresses and the payload that its datagram has now, to `out`, which is as
    /// long as it. False if it is not.
    #[inline(never)]
    #[must_use]
    pub fn restore(&self, whole: &Ipf, piece: Piece, datagram: &[u8], out: &mut [u8]) -> bool {
        self.store.lock().restore(whole, piece, datagram, out).is_some()
    }

    /// Frees what a datagram took.
    pub fn release(&self, whole: Ipf) {
        let n = self.store.lock().release(&whole);
        add(&self.family(whole.is_ipv6()).completed, n);
    }

    fn purge(&self, store: &mut Store, now: Now) {
        let purged = store.purge(now.mono.as_millis());
        self.families.iter().zip(purged).for_each(|(family, n)| add(&family.purged, n));
    }

    /// True if memory should grow before the next batch.
    pub(crate) fn wants_maintenance(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Drops what has waited too long, and lets memory grow.
    pub(crate) fn maintain(&self, now: Now) {
        let mut store = self.store.lock();
        self.purge(&mut store, now);
        drop(store);
        if self.is_short.swap(false, Ordering::Relaxed)
            && let Ok(blocks) = Store::more_blocks()
        {
            self.store.lock().grow(blocks);
        }
    }

    /// True if fragments of a family are held.
    pub fn is_enabled(&self, is_ipv6: bool) -> bool {
        self.family(is_ipv6).enabled.load(Ordering::Relaxed)
    }

    /// Whether fragments of a family are held.
    pub fn set_enabled(&self, is_ipv6: bool, on: bool) {
        self.family(is_ipv6).enabled.store(on, Ordering::Relaxed);
    }

    /// Bytes that a fragment with others behind it must have, from its IP header on.
    pub fn min_frag(&self, is_ipv6: bool) -> u32 {
        self.family(is_ipv6).min.load(Ordering::Relaxed)
    }

    /// Sets these bytes; false if they are less than [`LEAST_MIN_FRAG`].
    pub fn set_min_frag(&self, is_ipv6: bool, bytes: u32) -> bool {
        if bytes >= LEAST_MIN_FRAG {
            self.family(is_ipv6).min.store(bytes, Ordering::Relaxed);
        }
        bytes >= LEAST_MIN_FRAG
    }

    /// Fragments that may wait.
    pub fn max(&self) -> u32 {
        self.max.load(Ordering::Relaxed)
    }

    /// Sets how many may wait; false if that is more than [`MAX_NFRAGS`], or memory is short.
    pub fn set_max(&self, max: u32) -> bool {
        let done = max <= MAX_NFRAGS && self.store.lock().reserve(max).is_ok();
        if done {
            self.max.store(max, Ordering::Relaxed);
        }
        done
    }

    /// Fragments that wait at `now`.
    pub fn count(&self, now: Now) -> usize {
        let mut store = self.store.lock();
        self.purge(&mut store, now);
        store.count()
    }

    /// Counters of a family.
    pub fn counts(&self, is_ipv6: bool) -> FragmentCounts {
        let f = self.family(is_ipv6);
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        FragmentCounts {
            accepted: get(&f.accepted),
            completed: get(&f.completed),
            too_small: get(&f.too_small),
            overlapped: get(&f.overlapped),
            purged: get(&f.purged),
        }
    }

    /// How many wait at `now`, and every counter.
    pub fn status(&self, now: Now) -> FragmentStatus {
        let waits = u32::try_from(self.count(now)).unwrap_or(u32::MAX);
        FragmentStatus { waits, counts: [false, true].map(|is_ipv6| self.counts(is_ipv6)) }
    }

    /// The datagrams that wait, from the `at`-th place on: one, and where to go on.
    pub fn waiting(&self, at: usize) -> Option<(Waiting, usize)> {
        self.store.lock().waiting(at)
    }
}

/// A datagram of which fragments are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which it is.
    pub name: Name,
    /// Fragments held.
    pub fragments: usize,
    /// The first one is among them.
    pub has_first: bool,
    /// The last one is.
    pub has_last: bool,
}

impl core::fmt::Display for Waiting {
    /// As `dpctl/ipf-get-status -m` lists it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let n = &self.name;
        if n.is_ipv6 {
            let (src, dst) = (core::net::Ipv6Addr::from(n.src), core::net::Ipv6Addr::from(n.dst));
            write!(f, "(src={src},dst={dst}")?;
        } else {
            let address = |a: u128| core::net::Ipv4Addr::from(a as u32);
            write!(f, "(src={},dst={}", address(n.src), address(n.dst))?;
        }
        let dl_type = if n.is_ipv6 { wire::eth::TYPE_IPV6 } else { wire::eth::TYPE_IPV4 };
        let state = match (self.has_first, self.has_last) {
            (true, true) => "first/last frag",
            (true, false) => "first frag",
            (false, true) => "last frag",
            (false, false) => "other frag",
        };
        write!(f, ",recirc_id={},ip_id={},dl_type={dl_type:#x},zone={}", n.recirc_id, n.id, n.zone)?;
        write!(f, ",nw_proto={},num_fragments={},state={state})", n.proto, self.fragments)
    }
}
