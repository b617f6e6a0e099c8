//! A counted reference that says when memory is short, where the language's own ends the system.
//!
//! Where it sits: what several entries of a table have in common, such as the mask of many flows.
//!
//! I1  The value lives as long as any reference to it.

use alloc::boxed::Box;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::atomic::{AtomicUsize, Ordering, fence};
use crate::try_box;

struct Counted<T> {
    references: AtomicUsize,
    value: T,
}

/// A reference to a value that others refer to as well.
pub struct Shared<T> {
    at: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

// SAFETY: references on several threads share `&T` (`T: Sync`), and the last of them drops the value, on whatever thread
// (`T: Send`).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The first reference to `value`; `None` if memory is short.
    pub fn try_new(value: T) -> Option<Shared<T>> {
        let counted = try_box(Counted { references: AtomicUsize::new(1), value })?;
        Some(Shared { at: NonNull::from(Box::leak(counted)), owns: PhantomData })
    }

    /// True if both refer to the same value.
    pub fn is_same(one: &Shared<T>, other: &Shared<T>) -> bool {
        one.at == other.at
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: from a box, which is freed when the last reference goes; this one is there.
        unsafe { self.at.as_ref() }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        // There can be no more references than bytes of memory.
        self.counted().references.fetch_add(1, Ordering::Relaxed);
        Shared { at: self.at, owns: PhantomData }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if self.counted().references.fetch_sub(1, Ordering::Release) == 1 {
            // What others did with the value comes before its end.
            fence(Ordering::Acquire);
            // SAFETY: from a box, and this was the last reference.
            drop(unsafe { Box::from_raw(self.at.as_ptr()) });
        }
    }
}

impl<T: core::fmt::Debug> core::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::sync::Arc;

    use super::*;

    #[test]
    fn a_value_lives_as_long_as_its_last_reference() {
        let seen = Arc::new(());
        let one = Shared::try_new(seen.clone()).unwrap();
        let (two, other) = (one.clone(), Shared::try_new(seen.clone()).unwrap());
        assert!(Shared::is_same(&one, &two) && !Shared::is_same(&one, &other));
        drop(one);
        assert_eq!(Arc::strong_count(&two), 3);
        drop(two);
        assert_eq!(Arc::strong_count(&other), 2);
        drop(other);
        assert_eq!(Arc::strong_count(&seen), 1);
    }
}
