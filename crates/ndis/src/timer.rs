//! A timer that fires again and again, at DISPATCH_LEVEL.

use core::ffi::c_void;
use core::ptr;

use ndis_sys::*;

use crate::TAG;

/// A periodic timer; dropping it waits until its function has ended (PASSIVE_LEVEL).
#[derive(Debug)]
pub struct Timer(NDIS_HANDLE);

// SAFETY: a handle of NDIS's, whose functions may be called from anywhere.
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

impl Timer {
    /// Starts calling `f` with `context` every `period_ms`; `None` if memory is short.
    ///
    /// # Safety
    /// `context` is what `f` expects, and outlives the timer.
    pub unsafe fn start(
        handle: NDIS_HANDLE,
        period_ms: u32,
        f: unsafe extern "win64" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void),
        context: *mut c_void,
    ) -> Option<Timer> {
        let characteristics = NDIS_TIMER_CHARACTERISTICS {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS,
                Revision: 1,
                Size: NDIS_SIZEOF_TIMER_CHARACTERISTICS_REVISION_1,
            },
            AllocationTag: TAG,
            TimerFunction: Some(f),
            FunctionContext: context,
        };
        let mut timer = ptr::null_mut();
        // SAFETY: the characteristics are whole and only read; relative times are negative, in units of 100 ns.
        unsafe {
            if NdisAllocateTimerObject(handle, &characteristics, &mut timer) != NDIS_STATUS_SUCCESS {
                return None;
            }
            NdisSetTimerObject(timer, i64::from(period_ms) * -10_000, period_ms, context);
        }
        Some(Timer(timer))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer is ours. A call that was queued before it was cancelled has ended when the queues are empty.
        unsafe {
            NdisCancelTimerObject(self.0);
            KeFlushQueuedDpcs();
            NdisFreeTimerObject(self.0);
        }
    }
}
