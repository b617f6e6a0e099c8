//! Entries with numbers, at places that never move: readers find one by its number, without waiting.
//!
//! Where it sits: under the datapath's megaflows. Hash tables and caches hold numbers; a number with a generation says
//! whether what is there is still what was meant.
//!
//! ~~~text
//! chunks ─► [ state | value ] [ state | value ] …      state: odd while the value is there; changes with every change
//! ~~~
//!
//! I1  A value is written before its state turns odd, and dropped after its state turned even and a grace period is over.
//! I2  Memory grows by a chunk at a time, up to the limit, and stays until the arena goes.
//! I3  Removing never allocates.
//!
//! The state lies in front of the value: with a `repr(C)` value both share the first line.

use alloc::alloc::{Layout, alloc, dealloc};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use crate::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::{Grace, Guard, Qsbr, SpinGuard, SpinLock};

/// Slots of a chunk.
#[cfg(not(loom))]
const CHUNK: usize = 256;
/// As few as there can be: a model explores every access.
#[cfg(loom)]
const CHUNK: usize = 1;
/// The end of the free list.
const NONE: u32 = u32::MAX;
/// `next` of a slot in limbo.
const LIMBO: u32 = NONE - 1;

#[repr(C, align(64))]
struct Slot<T> {
    /// Odd while the value is there; the generation.
    state: AtomicU32,
    /// Next in the free list; the writer's.
    next: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// Entries by number.
pub struct Arena<T> {
    domain: u64,
    /// As many as the limit needs; null until a chunk is made.
    chunks: Vec<AtomicPtr<Slot<T>>>,
    writer: SpinLock<State>,
}

struct State {
    /// Slots that are made.
    slots: usize,
    limit: usize,
    used: usize,
    free: u32,
    /// Slots without a value that readers may still see one in; has room for all.
    limbo: VecDeque<(Grace, u32)>,
}

/// The right to change an arena; readers go on meanwhile.
pub struct ArenaWriter<'a, T> {
    arena: &'a Arena<T>,
    state: SpinGuard<'a, State>,
}

// SAFETY: readers on several threads share `&T` (`T: Sync`); values are made and dropped on any thread that holds the
// writer's lock (`T: Send`).
unsafe impl<T: Send + Sync> Sync for Arena<T> {}
// SAFETY: as above; the chunks are owned.
unsafe impl<T: Send + Sync> Send for Arena<T> {}

impl<T: Send + Sync> Arena<T> {
    const CHUNK_LAYOUT: Layout = Layout::new::<[Slot<T>; CHUNK]>();

    /// An empty arena for up to `limit` entries; `None` if memory is short.
    pub fn try_new<L>(domain: &Qsbr<L>, limit: usize) -> Option<Arena<T>> {
        let limit = limit.min(LIMBO as usize);
        let mut chunks = Vec::new();
        chunks.try_reserve_exact(limit.div_ceil(CHUNK)).ok()?;
        chunks.resize_with(limit.div_ceil(CHUNK), || AtomicPtr::new(core::ptr::null_mut()));
        let state = State { slots: 0, limit, used: 0, free: NONE, limbo: VecDeque::new() };
        Some(Arena { domain: domain.domain(), chunks, writer: SpinLock::new(state) })
    }

    /// Where slot `id` is, if its chunk is made.
    #[inline]
    fn place(&self, id: u32) -> Option<*const Slot<T>> {
        let chunk = self.chunks.get(id as usize / CHUNK)?.load(Ordering::Acquire);
        // A chunk has CHUNK slots, so that this stays inside.
        (!chunk.is_null()).then(|| chunk.cast_const().wrapping_add(id as usize % CHUNK))
    }

    #[inline]
    fn slot(&self, id: u32) -> Option<&Slot<T>> {
        // SAFETY: a chunk's slots were initialised before its pointer was published, and stay until `self` goes.
        self.place(id).map(|place| unsafe { &*place })
    }

    /// Asks for the first two lines of entry `id`.
    #[inline]
    pub fn prefetch(&self, id: u32) {
        if let Some(place) = self.place(id) {
            crate::prefetch::line(place.cast());
            crate::prefetch::line(place.cast::<u8>().wrapping_add(64));
        }
    }

    /// Entry `id` with its generation.
    #[inline]
    pub fn get<'g>(&'g self, guard: &'g Guard<'_>, id: u32) -> Option<(u32, &'g T)> {
        let slot = self.slot(id)?;
        let state = slot.state.load(Ordering::Acquire);
        if state & 1 == 0 || guard.domain() != self.domain {
            return None;
        }
        // SAFETY: the odd state was stored after the value was written. It is dropped only after the state turned even
        // and a grace period that began then; the guard was entered before the load above, so the period waits for it.
        Some((state, unsafe { (*slot.value.get()).assume_init_ref() }))
    }

    /// Begins to change it; waits for others who do.
    pub fn write(&self) -> ArenaWriter<'_, T> {
        ArenaWriter { arena: self, state: self.writer.lock() }
    }
}

impl<T: Send + Sync> ArenaWriter<'_, T> {
    /// Entries.
    pub fn len(&self) -> usize {
        self.state.used
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.state.used == 0
    }

    /// True if no entry more may be made.
    pub fn is_full(&self) -> bool {
        self.state.used >= self.state.limit
    }

    /// Numbers that have been used so far are below this.
    pub fn end(&self) -> u32 {
        self.state.slots as u32
    }

    /// Entry `id`.
    pub fn get(&self, id: u32) -> Option<&T> {
        let slot = self.arena.slot(id)?;
        let live = slot.state.load(Ordering::Acquire) & 1 != 0;
        // SAFETY: the state is odd, so the value is there; only a writer ends it, and there is none but this one, which
        // is borrowed.
        live.then(|| unsafe { (*slot.value.get()).assume_init_ref() })
    }

    /// Adds an entry and returns its number, or gives the value back if there is no room.
    pub fn insert<L>(&mut self, domain: &Qsbr<L>, value: T) -> Result<u32, T> {
        if domain.domain() != self.arena.domain || self.is_full() || !self.make_room(domain) {
            return Err(value);
        }
        let id = self.state.free;
        let Some(slot) = self.arena.slot(id) else { return Err(value) };
        self.state.free = slot.next.load(Ordering::Relaxed);
        // SAFETY: a slot in the free list has no value, and its grace period is over: no reader is in it. There is no other
        // writer.
        unsafe { (*slot.value.get()).write(value) };
        slot.next.store(NONE, Ordering::Relaxed);
        let state = slot.state.load(Ordering::Relaxed);
        slot.state.store(state.wrapping_add(1), Ordering::Release);
        self.state.used += 1;
        Ok(id)
    }

    /// Gives entry `id` another generation: who remembers the old one no longer finds it.
    pub fn touch(&mut self, id: u32) {
        if let Some(slot) = self.arena.slot(id) {
            let state = slot.state.load(Ordering::Relaxed);
            if state & 1 != 0 {
                slot.state.store(state.wrapping_add(2), Ordering::Release);
            }
        }
    }

    /// Removes entry `id`; false if there is none. Its value is dropped later.
    pub fn remove<L>(&mut self, domain: &Qsbr<L>, id: u32) -> bool {
        let Some(slot) = self.arena.slot(id) else { return false };
        let state = slot.state.load(Ordering::Relaxed);
        if state & 1 == 0 || domain.domain() != self.arena.domain {
            return false;
        }
        slot.state.store(state.wrapping_add(1), Ordering::Release);
        slot.next.store(LIMBO, Ordering::Relaxed);
        self.state.used -= 1;
        self.state.limbo.push_back((domain.begin(), id));
        true
    }

    /// Sees to it that the free list is not empty, if it can.
    fn make_room<L>(&mut self, domain: &Qsbr<L>) -> bool {
        if self.state.free == NONE {
            self.reclaim(domain);
        }
        self.state.free != NONE || self.grow()
    }

    /// Frees what no reader can see any more.
    fn reclaim<L>(&mut self, domain: &Qsbr<L>) {
        // Later periods are over no earlier: one that is over takes all before it along.
        let mut over = None;
        while let Some((grace, id)) = self.state.limbo.front().copied() {
            if over.is_none_or(|o: Grace| o < grace) {
                let now = domain.begin();
                if domain.is_over(now) {
                    over = Some(now);
                } else if domain.is_over(grace) {
                    over = Some(grace);
                } else {
                    return;
                }
            }
            self.state.limbo.pop_front();
            if let Some(slot) = self.arena.slot(id) {
                // SAFETY: the value is there until now, for it was in limbo; the grace period that began when its state
                // turned even is over, so no reader has it. There is no other writer.
                unsafe { (*slot.value.get()).assume_init_drop() };
                slot.next.store(self.state.free, Ordering::Relaxed);
                self.state.free = id;
            }
        }
    }

    /// Makes a chunk.
    fn grow(&mut self) -> bool {
        let first = self.state.slots;
        let Some(place) = self.arena.chunks.get(first / CHUNK) else { return false };
        let missing = (first + CHUNK).saturating_sub(self.state.limbo.len());
        if self.state.limbo.try_reserve(missing).is_err() {
            return false;
        }
        // SAFETY: a chunk has a size.
        let chunk = unsafe { alloc(Arena::<T>::CHUNK_LAYOUT) }.cast::<Slot<T>>();
        if chunk.is_null() {
            return false;
        }
        for n in (0..CHUNK).rev() {
            let (state, next) = (AtomicU32::new(0), AtomicU32::new(self.state.free));
            // SAFETY: inside the chunk just allocated, which nobody else has yet.
            unsafe {
                chunk.add(n).write(Slot { state, next, value: UnsafeCell::new(MaybeUninit::uninit()) })
            };
            self.state.free = (first + n) as u32;
        }
        place.store(chunk, Ordering::Release);
        self.state.slots = first + CHUNK;
        true
    }
}

impl<T> Drop for Arena<T> {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            let chunk = chunk.load(Ordering::Acquire);
            if chunk.is_null() {
                continue;
            }
            for n in 0..CHUNK {
                // SAFETY: inside a chunk whose slots were all initialised.
                let slot = unsafe { &*chunk.add(n) };
                let live = slot.state.load(Ordering::Acquire) & 1 != 0;
                if live || slot.next.load(Ordering::Relaxed) == LIMBO {
                    // SAFETY: live or in limbo, the value is there; nothing borrows `self`, so nobody reads it.
                    unsafe { (*slot.value.get()).assume_init_drop() };
                }
            }
            // SAFETY: allocated with this layout in `grow`; its slots hold nothing to drop but values.
            unsafe { dealloc(chunk.cast(), Layout::new::<[Slot<T>; CHUNK]>()) };
        }
    }
}

impl<T> core::fmt::Debug for Arena<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Arena").field("domain", &self.domain).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
