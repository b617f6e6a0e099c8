//! The kernel's functions, and those of NDIS that have nothing to do with packets: pool, levels, clocks, events, timers.
//!
//! Where it sits: called by the driver. Each function checks the level at which it may be called and lets the seed decide
//! whether another processor goes on.

use std::ffi::c_void;
use std::ptr;

use ndis_sys::*;

use crate::fault::{Fault, goes_wrong};
use crate::processors::{level, me, reschedule, set_level, wait_until};
use crate::stopwatch;
use crate::world::{broken, rule, with};

/// Declares functions of the kernel under their names for the linker, by which measurements know them too.
macro_rules! functions {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $ret:ty)? $body:block)+) => {
        $($(#[$doc])* #[unsafe(no_mangle)]
        // apart from the driver, also where it is linked in: what is whose can be counted
        #[inline(never)]
        pub(crate) unsafe extern "win64" fn $name($($arg: $kind),*) $(-> $ret)? {
            let _outside = crate::stopwatch::outside();
            #[allow(unused_unsafe, reason = "some bodies need none")]
            // SAFETY: the driver's arguments are what the declarations promise; what can be checked is.
            unsafe { $body }
        })+
    };
}
pub(crate) use functions;

/// Declares functions, and lists them for images.
macro_rules! exports {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $ret:ty)? $body:block)+) => {
        crate::kernel::functions! { $($(#[$doc])* fn $name($($arg: $kind),*) $(-> $ret)? $body)+ }
        /// The functions of this file by name.
        pub(crate) const EXPORTS: &[(&str, fn() -> usize)] =
            &[$((stringify!($name), || $name as *const () as usize)),+];
    };
}
pub(crate) use exports;

/// Calls the driver: what runs in here is its own, but for functions of the kernel. Every call of the driver is one of these.
pub(crate) fn in_the_driver<R>(f: impl FnOnce() -> R) -> R {
    let _inside = stopwatch::inside();
    driver_runs(f)
}

/// Where the driver begins, by the name that measurements know.
#[inline(never)]
fn driver_runs<R>(f: impl FnOnce() -> R) -> R {
    // not the last thing done here: who jumps away does not come back
    std::hint::black_box(f())
}

/// The call is allowed at `most` and below.
pub(crate) fn at_most(most: u8, what: &str) {
    if level() > most {
        broken(&format!("{what} called at IRQL {}", level()));
    }
    reschedule();
}

/// A timer.
pub(crate) struct TimerRecord {
    function: unsafe extern "win64" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void),
    context: usize,
    period_ns: u64,
    due: Option<u64>,
    /// Its function runs.
    running: bool,
}

impl TimerRecord {
    /// Its function runs, or is about to.
    pub fn is_busy(&self, now: u64) -> bool {
        self.running || self.is_due(now)
    }
}

impl TimerRecord {
    pub fn is_due(&self, now: u64) -> bool {
        !self.running && self.due.is_some_and(|due| due <= now)
    }

    pub fn due_ns(&self) -> Option<u64> {
        self.due
    }
}

/// Calls a timer's function.
pub(crate) fn fire(handle: usize) {
    let call = with(|w| {
        let now = w.now_ns;
        let timer = w.ledger.timers.get_mut(&handle).filter(|t| t.is_due(now))?;
        timer.running = true;
        timer.due = (timer.period_ns != 0).then_some(now + timer.period_ns);
        Some((timer.function, timer.context))
    });
    let Some((function, context)) = call else { return };
    let old = set_level(DISPATCH_LEVEL);
    // SAFETY: the driver gave function and context, and frees the timer only when no call is running.
    in_the_driver(|| unsafe {
        function(ptr::null_mut(), context as *mut c_void, ptr::null_mut(), ptr::null_mut());
    });
    rule(level() == DISPATCH_LEVEL, "a timer's function returns at another IRQL");
    set_level(old);
    with(|w| {
        if let Some(timer) = w.ledger.timers.get_mut(&handle) {
            timer.running = false;
        }
    });
}

/// A new handle: an address that nothing is at.
pub(crate) fn handle() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0x1_0000);
    NEXT.fetch_add(0x10, Ordering::Relaxed)
}

exports! {
    fn ExAllocatePoolWithTag(_pool: i32, bytes: usize, tag: u32) -> *mut c_void {
        at_most(DISPATCH_LEVEL, "ExAllocatePoolWithTag");
        if with(|w| w.fails()) {
            return ptr::null_mut();
        }
        let block = libc::memalign(16, bytes);
        if !block.is_null() {
            // Memory of the pool is not zeroed: let nobody rely on it.
            ptr::write_bytes(block.cast::<u8>(), 0xcd, bytes);
            with(|w| w.ledger.blocks.insert(block as usize, (bytes, tag)));
        }
        block
    }

    fn ExFreePoolWithTag(block: *mut c_void, tag: u32) {
        at_most(DISPATCH_LEVEL, "ExFreePoolWithTag");
        match with(|w| w.ledger.blocks.remove(&(block as usize))) {
            None => broken("ExFreePoolWithTag: no such block (freed twice?)"),
            Some((_, made)) if made != tag => broken("ExFreePoolWithTag: another tag than the block's"),
            Some((bytes, _)) => {
                // What is read after this is nonsense.
                ptr::write_bytes(block.cast::<u8>(), 0xdd, bytes);
                libc::free(block);
            }
        }
    }

    fn KeGetCurrentIrql() -> u8 {
        level()
    }

    fn KeRaiseIrqlToDpcLevel() -> u8 {
        at_most(DISPATCH_LEVEL, "KeRaiseIrqlToDpcLevel");
        set_level(DISPATCH_LEVEL)
    }

    fn KeLowerIrql(irql: u8) {
        rule(irql <= level(), "KeLowerIrql raises");
        if goes_wrong(Fault::LeaveTheLevelRaised) {
            return;
        }
        set_level(irql);
        reschedule();
    }

    fn KeGetCurrentProcessorNumberEx(_number: *mut c_void) -> u32 {
        reschedule();
        me().unwrap_or(0) as u32
    }

    fn KeQueryActiveProcessorCountEx(_group: u16) -> u32 {
        with(|w| w.processors as u32)
    }

    fn KeQueryInterruptTimePrecise(counter: *mut u64) -> u64 {
        let now = with(|w| w.now_ns);
        *counter = now;
        now / 100
    }

    fn KeQuerySystemTimePrecise(time: *mut i64) {
        *time = with(|w| w.epoch + w.now_ns / 100) as i64;
    }

    fn KeFlushQueuedDpcs() {
        at_most(PASSIVE_LEVEL, "KeFlushQueuedDpcs");
        wait_until(|| with(|w| w.ledger.timers.values().all(|t| !t.running)));
    }

    fn KeInitializeEvent(event: *mut KEVENT, _kind: i32, signalled: u8) {
        (*event)._opaque[0] = signalled;
    }

    fn KeSetEvent(event: *mut KEVENT, _increment: i32, wait: u8) -> i32 {
        rule(wait == 0, "KeSetEvent with Wait above PASSIVE_LEVEL");
        at_most(DISPATCH_LEVEL, "KeSetEvent");
        i32::from(std::mem::replace(&mut (*event)._opaque[0], 1))
    }

    fn KeWaitForSingleObject(
        object: *mut KEVENT,
        _reason: i32,
        _mode: i8,
        _alertable: u8,
        _timeout: *const i64,
    ) -> i32 {
        at_most(PASSIVE_LEVEL, "KeWaitForSingleObject");
        wait_until(|| ptr::read_volatile(&raw const (*object)._opaque[0]) != 0);
        STATUS_SUCCESS
    }

    fn KeDelayExecutionThread(_mode: i8, _alertable: u8, _interval: *const i64) -> i32 {
        at_most(PASSIVE_LEVEL, "KeDelayExecutionThread");
        let mut turns = 0;
        wait_until(|| {
            turns += 1;
            turns > 4
        });
        STATUS_SUCCESS
    }

    fn KeBugCheckEx(code: u32, one: usize, two: usize, three: usize, four: usize) -> ! {
        broken(&format!("bug check {code:#x} ({one:#x}, {two}, {three}, {four})"))
    }

    fn DbgPrint(_format: *const u8, text: *const i8) -> u32 {
        if !text.is_null() {
            eprintln!("{}", std::ffi::CStr::from_ptr(text).to_string_lossy());
        }
        0
    }

    fn NdisAllocateTimerObject(
        _handle: NDIS_HANDLE,
        characteristics: *const NDIS_TIMER_CHARACTERISTICS,
        timer: *mut NDIS_HANDLE,
    ) -> NDIS_STATUS {
        at_most(DISPATCH_LEVEL, "NdisAllocateTimerObject");
        let c = *characteristics;
        rule(
            c.Header.Type == NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS && c.Header.Revision == 1,
            "NdisAllocateTimerObject: a wrong header",
        );
        if with(|w| w.fails()) {
            return NDIS_STATUS_RESOURCES;
        }
        let new = handle();
        let Some(function) = c.TimerFunction else { broken("a timer without a function") };
        let context = c.FunctionContext as usize;
        let record = TimerRecord { function, context, period_ns: 0, due: None, running: false };
        with(|w| w.ledger.timers.insert(new, record));
        *timer = new as NDIS_HANDLE;
        NDIS_STATUS_SUCCESS
    }

    fn NdisSetTimerObject(timer: NDIS_HANDLE, due: i64, period_ms: u32, context: *mut c_void) -> u8 {
        at_most(DISPATCH_LEVEL, "NdisSetTimerObject");
        rule(due <= 0, "NdisSetTimerObject: the due time is not relative");
        with(|w| {
            let now = w.now_ns;
            let record = w.ledger.timers.get_mut(&(timer as usize))?;
            if !context.is_null() {
                record.context = context as usize;
            }
            record.period_ns = u64::from(period_ms) * 1_000_000;
            Some(u8::from(record.due.replace(now + due.unsigned_abs() * 100).is_some()))
        })
        .unwrap_or_else(|| broken("NdisSetTimerObject: no such timer"))
    }

    fn NdisCancelTimerObject(timer: NDIS_HANDLE) -> u8 {
        at_most(DISPATCH_LEVEL, "NdisCancelTimerObject");
        if goes_wrong(Fault::LeaveATimerSet) {
            return 1;
        }
        with(|w| w.ledger.timers.get_mut(&(timer as usize)).map(|t| u8::from(t.due.take().is_some())))
            .unwrap_or_else(|| broken("NdisCancelTimerObject: no such timer"))
    }

    fn NdisFreeTimerObject(timer: NDIS_HANDLE) {
        at_most(DISPATCH_LEVEL, "NdisFreeTimerObject");
        match with(|w| w.ledger.timers.remove(&(timer as usize))) {
            None => broken("NdisFreeTimerObject: no such timer"),
            Some(t) => rule(t.due.is_none() && !t.running, "a timer is freed while it may still fire"),
        }
    }
}
