//! Work for PASSIVE_LEVEL that is asked for at any level up to DISPATCH_LEVEL.
//!
//! Spec: NdisQueueIoWorkItem; an item may be queued once at a time.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU8, Ordering};

use ndis_sys::*;

/// Nobody asked.
const IDLE: u8 = 0;
/// Queued.
const QUEUED: u8 = 1;
/// It runs.
const RUNNING: u8 = 2;
/// It runs, and somebody asked since it began.
const AGAIN: u8 = 3;
/// It never runs again.
const STOPPED: u8 = 4;

/// Work that runs at least once after each time that it is asked for, never twice at once.
#[derive(Debug)]
pub struct WorkItem {
    handle: NDIS_HANDLE,
    state: AtomicU8,
}

// SAFETY: a handle of NDIS's, whose functions may be called from anywhere.
unsafe impl Send for WorkItem {}
// SAFETY: as above.
unsafe impl Sync for WorkItem {}

impl WorkItem {
    /// Makes one; `None` if memory is short.
    ///
    /// # Safety
    /// `handle` is an NDIS object's that outlives it.
    pub unsafe fn try_new(handle: NDIS_HANDLE) -> Option<WorkItem> {
        // SAFETY: the caller's handle; null is an answer.
        let handle = unsafe { NdisAllocateIoWorkItem(handle) };
        (!handle.is_null()).then_some(WorkItem { handle, state: AtomicU8::new(IDLE) })
    }

    /// Asks for the work: `routine` is called with `context`, and calls [`WorkItem::run`].
    ///
    /// # Safety
    /// `context` is what `routine` expects, until the item is stopped.
    pub unsafe fn ask(
        &self,
        routine: unsafe extern "win64" fn(*mut c_void, NDIS_HANDLE),
        context: *mut c_void,
    ) {
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
            IDLE => Some(QUEUED),
            RUNNING => Some(AGAIN),
            _ => None,
        });
        if before == Ok(IDLE) {
            // SAFETY: it is not queued: it was idle, and whoever makes it queued queues it.
            unsafe { NdisQueueIoWorkItem(self.handle, routine, context) }
        }
    }

    /// Does the work as often as it was asked for: from the routine.
    pub fn run(&self, mut work: impl FnMut()) {
        loop {
            self.state.store(RUNNING, Ordering::Release);
            work();
            // Nothing of the item is touched after it is idle: whoever stops it may free it then.
            if self.state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }

    /// Waits until nothing is queued or runs, and lets nothing be queued any more (PASSIVE_LEVEL).
    pub fn stop(&self) {
        /// One millisecond, relative.
        const MOMENT: i64 = -10_000;
        let stopped = |was| was == Ok(IDLE) || was == Err(STOPPED);
        while !stopped(self.state.compare_exchange(IDLE, STOPPED, Ordering::AcqRel, Ordering::Acquire)) {
            // SAFETY: callers are at PASSIVE_LEVEL; the interval is static.
            unsafe { KeDelayExecutionThread(0, 0, &MOMENT) };
        }
    }
}

impl Drop for WorkItem {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: the item is ours, and is not queued.
        unsafe { NdisFreeIoWorkItem(self.handle) }
    }
}
