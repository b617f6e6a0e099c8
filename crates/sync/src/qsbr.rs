//! Quiescent-state based reclamation: readers never wait, and what they may still see is not freed.
//!
//! Where it sits: under every published table here ([`crate::Published`], [`crate::Arena`]). Each
//! worker of a datapath is a reader with a slot of its own; commands are one more.
//!
//! ~~~text
//! reader:  seen = epoch ; fence ; read tables … ; seen = 0            once a batch, one line of memory of its own
//! writer:  unlink ; fence ; epoch += 1 ; remember (epoch, object)     later: every seen is 0 or >= epoch ? free
//! ~~~
//!
//! I1  An object is freed only after every reader that was inside when it was unlinked has left.
//! I2  Neither side waits: a writer that finds a grace period unfinished asks again at its next change.
//! I3  Readers never allocate; retired objects are at most [`MAX_RETIRED`].
//!
//! Why it is sound: the fences order "seen, then the tables" against "unlink, then every seen". So either the writer finds
//! the reader inside, or the reader finds the object unlinked.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::SpinLock;
use crate::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

/// `seen` of a reader that is outside.
const OUTSIDE: u64 = 0;
/// Objects that wait for a grace period at most.
const MAX_RETIRED: usize = 4096;

/// Anything that is only to be dropped.
trait Retired: Send {}
impl<T: Send> Retired for T {}

/// Numbers that tell domains apart, so that one's readers are not taken for another's.
#[cfg(not(loom))]
fn next_domain() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(loom)]
fn next_domain() -> u64 {
    // Atomics of a model do not outlive it; a model has one domain.
    1
}

/// A reader's slot: on cache lines that nobody else writes.
#[repr(align(128))]
struct Slot<T> {
    taken: AtomicBool,
    seen: AtomicU64,
    local: T,
}

/// A domain: readers, and the epoch that grace periods are told by. `T` is what each reader keeps beside its slot,
/// counters for example.
pub struct Qsbr<T = ()> {
    domain: u64,
    epoch: AtomicU64,
    slots: Vec<Slot<T>>,
    /// Slots below this have been taken at some time.
    reached: AtomicUsize,
    retired: SpinLock<VecDeque<(Grace, Box<dyn Retired>)>>,
}

/// The right to one slot of a domain. A reader that is dropped without [`Qsbr::leave`] keeps its slot for ever.
#[derive(Debug)]
pub struct Reader {
    domain: u64,
    slot: usize,
}

/// A reader is inside: what it finds in the domain's tables stays until this is dropped.
#[must_use]
pub struct Guard<'a> {
    domain: u64,
    seen: &'a AtomicU64,
}

/// A grace period that began: over once [`Qsbr::is_over`] says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grace(u64);

impl<T> Qsbr<T> {
    /// A domain for `readers` readers; `None` if memory is short.
    pub fn try_new(readers: usize, mut local: impl FnMut() -> Option<T>) -> Option<Qsbr<T>> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(readers).ok()?;
        for _ in 0..readers {
            let (taken, seen) = (AtomicBool::new(false), AtomicU64::new(OUTSIDE));
            slots.push(Slot { taken, seen, local: local()? });
        }
        let (domain, epoch) = (next_domain(), AtomicU64::new(OUTSIDE + 1));
        let retired = SpinLock::new(VecDeque::new());
        Some(Qsbr { domain, epoch, slots, reached: AtomicUsize::new(0), retired })
    }

    /// Which domain this is.
    pub fn domain(&self) -> u64 {
        self.domain
    }

    /// A new reader; `None` if all slots are taken.
    pub fn register(&self) -> Option<Reader> {
        let free = |slot: &Slot<T>| {
            slot.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let slot = self.slots.iter().position(free)?;
        self.reached.fetch_max(slot + 1, Ordering::SeqCst);
        Some(Reader { domain: self.domain, slot })
    }

    /// Gives a reader's slot back.
    pub fn leave(&self, reader: Reader) {
        if let Some(slot) = self.slot(&reader) {
            slot.taken.store(false, Ordering::Release);
        }
    }

    fn slot(&self, reader: &Reader) -> Option<&Slot<T>> {
        if reader.domain == self.domain { self.slots.get(reader.slot) } else { None }
    }

    /// What the reader keeps for itself.
    pub fn local(&self, reader: &Reader) -> Option<&T> {
        self.slot(reader).map(|slot| &slot.local)
    }

    /// What every slot keeps, taken or not.
    pub fn locals(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|slot| &slot.local)
    }

    /// Goes inside; `None` for another domain's reader.
    pub fn enter<'a>(&'a self, reader: &'a mut Reader) -> Option<Guard<'a>> {
        let slot = self.slot(reader)?;
        // An epoch that is already over is harmless: it only keeps more alive.
        slot.seen.store(self.epoch.load(Ordering::Acquire), Ordering::Release);
        fence(Ordering::SeqCst);
        Some(Guard { domain: self.domain, seen: &slot.seen })
    }

    /// Begins a grace period, for what was unlinked before the call.
    pub fn begin(&self) -> Grace {
        fence(Ordering::SeqCst);
        Grace(self.epoch.fetch_add(1, Ordering::AcqRel).wrapping_add(1))
    }

    /// True once no reader is inside that was inside when the grace period began.
    pub fn is_over(&self, grace: Grace) -> bool {
        fence(Ordering::SeqCst);
        // A reader that takes its slot only now has entered after the period began.
        self.slots.iter().take(self.reached.load(Ordering::SeqCst)).all(|slot| {
            let seen = slot.seen.load(Ordering::Acquire);
            seen == OUTSIDE || seen >= grace.0
        })
    }

    /// Frees later what `unlink` takes out of the readers' reach; false, and nothing is unlinked, if too much waits
    /// already or memory is short.
    pub(crate) fn retire<G: Send + 'static>(&self, unlink: impl FnOnce() -> Option<Box<G>>) -> bool {
        self.collect();
        let mut retired = self.retired.lock();
        if retired.len() >= MAX_RETIRED || retired.try_reserve(1).is_err() {
            return false;
        }
        let Some(object) = unlink() else { return false };
        let grace = self.begin();
        retired.push_back((grace, object));
        true
    }

    /// Frees retired objects whose grace period is over.
    pub fn collect(&self) {
        loop {
            let object = {
                let mut retired = self.retired.lock();
                match retired.front() {
                    Some((grace, _)) if self.is_over(*grace) => retired.pop_front(),
                    _ => return,
                }
            };
            // Dropped without the lock.
            drop(object);
        }
    }
}

impl<T> core::fmt::Debug for Qsbr<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Qsbr").field("domain", &self.domain).field("readers", &self.slots.len()).finish()
    }
}

impl Reader {
    /// The number of its slot.
    pub fn slot(&self) -> usize {
        self.slot
    }
}

impl Guard<'_> {
    /// The domain that it is inside of.
    pub fn domain(&self) -> u64 {
        self.domain
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.seen.store(OUTSIDE, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_waits_for_those_inside_and_for_nobody_else() {
        let q = Qsbr::try_new(3, || Some(())).unwrap();
        let (mut a, mut b, c) = (q.register().unwrap(), q.register().unwrap(), q.register().unwrap());
        assert!(q.register().is_none());
        q.leave(c);
        let inside = q.enter(&mut a).unwrap();
        let grace = q.begin();
        assert!(!q.is_over(grace));
        let late = q.enter(&mut b).unwrap();
        drop(inside);
        assert!(q.is_over(grace), "one that entered later does not count");
        let next = q.begin();
        assert!(!q.is_over(next));
        drop(late);
        assert!(q.is_over(next) && q.register().is_some());
    }

    #[test]
    fn a_reader_belongs_to_one_domain() {
        let (one, two) = (Qsbr::try_new(1, || Some(1)).unwrap(), Qsbr::try_new(1, || Some(2)).unwrap());
        let mut reader = one.register().unwrap();
        assert_eq!((one.local(&reader), two.local(&reader)), (Some(&1), None));
        assert!(two.enter(&mut reader).is_none() && one.enter(&mut reader).is_some());
        two.leave(reader);
        assert!(one.register().is_none() && two.register().is_some());
    }
}
