//! A value that readers see whole, old or new: replaced by a pointer's change, and freed when nobody can see it.
//!
//! Where it sits: around what changes seldom and is read for every packet: the list of masks, a hash table that grew, the
//! actions of a flow.
//!
//! I1  A reader that is inside ([`crate::Guard`]) finds a value and keeps it until it leaves.
//! I2  What was replaced goes to the domain's retired objects; the domain frees it after a grace period.

use alloc::boxed::Box;
use core::marker::PhantomData;

use crate::atomic::{AtomicPtr, Ordering};
use crate::{Guard, Qsbr};

/// A replaceable value of a domain.
pub struct Published<T> {
    domain: u64,
    current: AtomicPtr<T>,
    owns: PhantomData<T>,
}

// SAFETY: readers on several threads share `&T` (`T: Sync`), and whoever frees a replaced value, or drops this, may be on
// another thread than the one that made it (`T: Send`).
unsafe impl<T: Send + Sync> Sync for Published<T> {}
// SAFETY: as above; the pointer is owned.
unsafe impl<T: Send + Sync> Send for Published<T> {}

impl<T: Send + 'static> Published<T> {
    /// A value for the readers of `domain`.
    pub fn new<L>(domain: &Qsbr<L>, value: Box<T>) -> Published<T> {
        let current = AtomicPtr::new(Box::into_raw(value));
        Published { domain: domain.domain(), current, owns: PhantomData }
    }

    /// The value as it is now; `None` inside another domain.
    #[inline]
    pub fn load<'g>(&'g self, guard: &'g Guard<'_>) -> Option<&'g T> {
        if guard.domain() != self.domain {
            return None;
        }
        // SAFETY: the pointer came from a box. A value that is replaced is freed only after a grace period that began
        // after it was unlinked; the guard was entered before this load, so that period waits for it, and `'g` ends no
        // later than the guard. Dropping `self` needs it unborrowed, which `'g` excludes.
        Some(unsafe { &*self.current.load(Ordering::Acquire) })
    }

    /// Replaces the value; gives the new one back if `domain` is another one or has no room for the old.
    pub fn replace<L>(&self, domain: &Qsbr<L>, value: Box<T>) -> Result<(), Box<T>> {
        if domain.domain() != self.domain {
            return Err(value);
        }
        let mut value = Some(value);
        let done = domain.retire(|| {
            let new = value.take().map(Box::into_raw)?;
            let old = self.current.swap(new, Ordering::AcqRel);
            // SAFETY: `old` came from a box, and the swap made this call the only one that has it to free.
            Some(unsafe { Box::from_raw(old) })
        });
        match value {
            Some(value) if !done => Err(value),
            _ => Ok(()),
        }
    }
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a box; nothing borrows `self`, so no reader has the value.
        drop(unsafe { Box::from_raw(self.current.load(Ordering::Acquire)) });
    }
}

impl<T> core::fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Published").field("domain", &self.domain).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::sync::Arc;

    use super::*;

    #[test]
    fn an_old_value_lives_as_long_as_it_may_be_seen() {
        let q = Qsbr::try_new(2, || Some(())).unwrap();
        let (mut a, mut b) = (q.register().unwrap(), q.register().unwrap());
        let first = Arc::new(1);
        let cell = Published::new(&q, Box::new(first.clone()));
        let inside = q.enter(&mut a).unwrap();
        let seen = cell.load(&inside).unwrap();
        assert!(cell.replace(&q, Box::new(Arc::new(2))).is_ok());
        q.collect();
        assert_eq!((**seen, Arc::strong_count(&first)), (1, 2));
        assert_eq!(cell.load(&inside).map(|v| **v), Some(2));
        drop(inside);
        let late = q.enter(&mut b).unwrap();
        q.collect();
        assert_eq!(Arc::strong_count(&first), 1, "nobody inside has seen it");
        assert_eq!(cell.load(&late).map(|v| **v), Some(2));
    }

    #[test]
    fn another_domain_has_no_say() {
        let (one, two) = (Qsbr::try_new(1, || Some(())).unwrap(), Qsbr::try_new(1, || Some(())).unwrap());
        let cell = Published::new(&one, Box::new(1));
        let mut reader = two.register().unwrap();
        assert_eq!(cell.load(&two.enter(&mut reader).unwrap()), None);
        assert_eq!(cell.replace(&two, Box::new(2)), Err(Box::new(2)));
    }
}
