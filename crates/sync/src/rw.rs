//! A lock for tables that every batch reads and few commands change: shared by readers, short for writers.
//!
//! Where it sits: around the datapath's flow table. Readers take it once a batch, never once a packet.
//!
//! I1  A writer that waits keeps new readers out, so a busy datapath cannot starve commands.
//! I2  Whoever waits calls the host's relax hook: yielding on a host with threads, a pause in a kernel.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::relax;

const WRITER: u32 = 1 << 31;

/// A value that many read or one changes.
#[derive(Default)]
pub struct RwSpin<T> {
    /// [`WRITER`] while a writer waits or writes; below it the number of readers.
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value moves to whichever thread drops the lock, and a writer on any thread gets `&mut T`: needs `T: Send`.
unsafe impl<T: Send> Send for RwSpin<T> {}
// SAFETY: readers on several threads share `&T` (`T: Sync`) and a writer on any thread gets `&mut T` (`T: Send`); `state`
// lets either several readers or one writer in, never both.
unsafe impl<T: Send + Sync> Sync for RwSpin<T> {}

/// Shared access; ends when dropped.
pub struct ReadGuard<'a, T>(&'a RwSpin<T>);

/// Exclusive access; ends when dropped.
pub struct WriteGuard<'a, T>(&'a RwSpin<T>);

impl<T> RwSpin<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> RwSpin<T> {
        RwSpin { state: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }

    /// Waits until no writer is in or waiting.
    pub fn read(&self) -> ReadGuard<'_, T> {
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state & WRITER == 0
                && self
                    .state
                    .compare_exchange_weak(state, state + 1, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return ReadGuard(self);
            }
            relax();
        }
    }

    /// Keeps new readers out and waits until those that are in have left.
    pub fn write(&self) -> WriteGuard<'_, T> {
        while self.state.fetch_or(WRITER, Ordering::Acquire) & WRITER != 0 {
            relax();
        }
        while self.state.load(Ordering::Acquire) != WRITER {
            relax();
        }
        WriteGuard(self)
    }

    /// The value, which the caller owns alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(1, Ordering::Release);
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!WRITER, Ordering::Release);
    }
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `read` counted this guard in `state`, and `write` does not return before that count is zero again.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this guard set WRITER and saw no readers; others of either kind wait until it is dropped.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` makes the reference unique.
        unsafe { &mut *self.0.value.get() }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::thread;

    #[test]
    fn readers_see_whole_writes() {
        let pair = RwSpin::new([0u64; 2]);
        thread::scope(|s| {
            s.spawn(|| {
                for n in 1..2000 {
                    let mut w = pair.write();
                    w[0] = n;
                    w[1] = n;
                }
            });
            for _ in 0..2 {
                s.spawn(|| {
                    for _ in 0..2000 {
                        let r = pair.read();
                        assert_eq!(r[0], r[1]);
                    }
                });
            }
        });
    }
}
