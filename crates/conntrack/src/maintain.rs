//! What is done off the packet path: memory grows, expired connections go.
//!
//! Where it sits: hosts call [`Conntrack::maintain`] between batches, or from a timer.
//!
//! Growth: the packet path only takes what is there; when it leaves a shard short it marks the shard, and
//! here memory is allocated, without the lock, and then added under it.
//!
//! The sweep: a cursor walks all entries once in an interval and ends those whose time is over. There are no lists by
//! time: keeping them would cost every packet two more cache lines, and lookups ignore expired entries anyway.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use packet::Now;
use sync::SpinLock;

use crate::config::{DEFAULT_SWEEP_MS, NoMemory};
use crate::conn::{Conn4, Conn6};
use crate::counters::Counter;
use crate::index::Index;
use crate::shard::Shortage;
use crate::slab::Slab;
use crate::table::{Conntrack, SHARDS};

/// Entries looked at under one lock.
const STRIDE: usize = 32;

/// Where the sweep is.
#[derive(Debug, Default)]
struct Sweep {
    shard: usize,
    at: u32,
    /// When it last went on.
    since_ms: Option<u64>,
    /// Entries that are due, in thousandths.
    due: u64,
}

/// State of what is done off the packet path.
#[derive(Debug)]
pub(crate) struct Maintenance {
    sweep: SpinLock<Sweep>,
    sweep_ms: AtomicU32,
    /// One bit for each shard that is short of memory.
    short: [AtomicU64; SHARDS / 64],
    /// A limit refused a connection: expired ones are worth looking for at once.
    pressed: AtomicBool,
    /// Entries of all shards, used or not.
    capacity: AtomicU32,
}

impl Default for Maintenance {
    fn default() -> Self {
        Maintenance {
            sweep: SpinLock::new(Sweep::default()),
            sweep_ms: AtomicU32::new(DEFAULT_SWEEP_MS),
            short: Default::default(),
            pressed: AtomicBool::new(false),
            capacity: AtomicU32::new(2 * (SHARDS * crate::slab::CHUNK) as u32),
        }
    }
}

impl Maintenance {
    /// Marks a shard as short of memory.
    pub(crate) fn mark_short(&self, shard: u8) {
        if let Some(word) = self.short.get(usize::from(shard) / 64) {
            word.fetch_or(1 << (shard % 64), Ordering::Relaxed);
        }
    }

    /// Notes that a limit was reached.
    pub(crate) fn press(&self) {
        self.pressed.store(true, Ordering::Relaxed);
    }

    fn take_short(&self) -> Option<u8> {
        for (n, word) in self.short.iter().enumerate() {
            let bits = word.load(Ordering::Relaxed);
            if bits != 0 {
                let bit = bits.trailing_zeros();
                word.fetch_and(!(1 << bit), Ordering::Relaxed);
                return u8::try_from(n * 64 + bit as usize).ok();
            }
        }
        None
    }
}

impl Conntrack {
    /// True if a shard is short of memory, or a limit was reached: [`Conntrack::maintain`] should be called before the next batch.
    pub fn wants_maintenance(&self) -> bool {
        let m = &self.maintenance;
        m.pressed.load(Ordering::Relaxed)
            || m.short.iter().any(|w| w.load(Ordering::Relaxed) != 0)
            || self.fragments().wants_maintenance()
    }

    /// Grows memory, and removes what has expired: looks at up to `budget` connections. Any thread may call it, between
    /// batches; one at a time sweeps. True if there is more to do at once.
    pub fn maintain(&self, now: Now, budget: usize) -> bool {
        while let Some(shard) = self.maintenance.take_short() {
            if self.grow(shard).is_err() {
                // Without memory now; the next refusal marks the shard again.
                break;
            }
        }
        self.fragments().maintain(now);
        self.sweep(now, budget)
    }

    /// Milliseconds in which the sweep passes every connection once.
    pub fn sweep_interval(&self) -> u32 {
        self.maintenance.sweep_ms.load(Ordering::Relaxed)
    }

    /// Sets the sweep's interval; zero is not a valid one and changes nothing.
    pub fn set_sweep_interval(&self, ms: u32) -> bool {
        if ms != 0 {
            self.maintenance.sweep_ms.store(ms, Ordering::Relaxed);
        }
        ms != 0
    }

    fn grow(&self, n: u8) -> Result<(), NoMemory> {
        let Some(shard) = self.shard(n) else { return Ok(()) };
        let want: Shortage = shard.shortage();
        drop(shard);
        for _ in 0..want.v4 {
            let chunk = Slab::<Conn4>::chunk()?;
            self.shard(n).map_or(Ok(()), |mut s| s.add_v4(chunk))?;
        }
        for _ in 0..want.v6 {
            let chunk = Slab::<Conn6>::chunk()?;
            self.shard(n).map_or(Ok(()), |mut s| s.add_v6(chunk))?;
        }
        let added = (want.v4 + want.v6) * crate::slab::CHUNK;
        self.maintenance.capacity.fetch_add(added as u32, Ordering::Relaxed);
        if want.index == 0 {
            return Ok(());
        }
        let larger = Index::with_size(want.index)?;
        let Some(mut shard) = self.shard(n) else { return Ok(()) };
        // Another thread may have been faster.
        let old = if shard.index.size() < larger.size() { shard.index.move_to(larger) } else { larger };
        self.note_index(n, &shard.index);
        drop(shard);
        drop(old);
        Ok(())
    }

    /// Ends up to `budget` expired connections, as far as they are due.
    fn sweep(&self, now: Now, budget: usize) -> bool {
        let Some(mut sweep) = self.maintenance.sweep.try_lock() else { return false };
        let now_ms = now.mono.as_millis();
        let since = sweep.since_ms.replace(now_ms).unwrap_or(now_ms);
        let all = u64::from(self.maintenance.capacity.load(Ordering::Relaxed)) * 1000;
        let interval = u64::from(self.sweep_interval()).max(1);
        let due = u128::from(all) * u128::from(now_ms.saturating_sub(since)) / u128::from(interval);
        sweep.due = sweep.due.saturating_add(due.min(all.into()) as u64).min(all);
        if self.maintenance.pressed.swap(false, Ordering::Relaxed) {
            sweep.due = all;
        }
        let mut left = budget;
        while sweep.due >= 1000 && left > 0 {
            let looked = self.sweep_stride(&mut sweep, now, left.min(STRIDE));
            left = left.saturating_sub(looked.max(1));
            sweep.due = sweep.due.saturating_sub(looked as u64 * 1000);
        }
        sweep.due >= 1000
    }

    /// Looks at up to `max` entries of one shard, or goes on to the next; tells how many.
    fn sweep_stride(&self, sweep: &mut Sweep, now: Now, max: usize) -> usize {
        let now_ms = now.mono.as_millis();
        for looked in 0..max {
            let Some(mut shard) = self.shard(sweep.shard as u8) else { return looked };
            let Some((conn, next)) = shard.step(sweep.at) else {
                (sweep.shard, sweep.at) = ((sweep.shard + 1) % SHARDS, 0);
                return looked;
            };
            sweep.at = next;
            let Some(conn) = conn else { continue };
            if shard.body(conn).is_some_and(|b| b.expires <= now_ms) && self.end(shard, conn, now) {
                self.counters.add(Counter::Expired);
            }
        }
        max
    }
}
