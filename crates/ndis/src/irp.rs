//! Requests of user space: an IRP as a value that one owns, and those that wait.
//!
//! Where it sits: made by a driver's dispatch functions, completed by them or put into [`Waiting`].
//!
//! ~~~text
//! dispatch ─► Irp ─┬─ complete                                     the dispatch function returns the status
//!                  └─ Waiting::put ─┬─ note ─► Waiting::complete    STATUS_PENDING was returned
//!                                   └─ cancelled by the system
//! ~~~
//!
//! I1  Each request is completed once: whoever takes its cancel routine away, atomically, completes it.
//! I2  Requests are completed with no lock held.
//! I3  Waiting allocates nothing: a request that waits is linked through its own memory.
//!
//! Spec: IoSetCancelRoutine, IoMarkIrpPending and the rules for cancel routines in the Windows Driver Kit's documentation.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

use ndis_sys::*;
use sync::SpinLock;

use crate::Level;
use crate::packet::system_address;

/// A request that one owns, and has to complete.
pub struct Irp(NonNull<IRP>);

// SAFETY: whoever has the value has the request alone; requests may be completed on any processor.
unsafe impl Send for Irp {}

impl Irp {
    /// Takes a request over.
    ///
    /// # Safety
    /// A dispatch function was called with it.
    pub unsafe fn from_raw(irp: NonNull<IRP>) -> Irp {
        Irp(irp)
    }

    fn stack(&self) -> &IO_STACK_LOCATION {
        // SAFETY: a request that is not completed has a stack location for the driver that it was sent to.
        unsafe { &*self.0.as_ref().CurrentStackLocation }
    }

    /// What DeviceIoControl asks.
    pub fn code(&self) -> u32 {
        self.stack().IoControlCode
    }

    /// The word that we keep for the open file.
    pub fn file_word(&self) -> usize {
        // SAFETY: every request of a device names a file, which is open as long as its requests are there.
        unsafe { (*self.stack().FileObject).FsContext.addr() }
    }

    /// Sets the file's word; for a request that opens it.
    pub fn set_file_word(&mut self, word: usize) {
        // SAFETY: as above; nobody else looks at the word of a file that is not open yet.
        unsafe { (*self.stack().FileObject).FsContext = ptr::without_provenance_mut(word) }
    }

    /// The copy that the system made of the caller's input, and room for output: in the same memory if the code says
    /// "buffered", and else where the caller wants it. `None` if the room cannot be mapped.
    ///
    /// What is written to the room may be seen, and changed, by the caller at once: nothing may be read back from it.
    pub fn buffers(&mut self) -> Option<(&[u8], &mut [u8])> {
        const METHOD: u32 = 3;
        const BUFFERED: u32 = 0;
        let (code, input, output) =
            (self.code(), self.stack().InputBufferLength, self.stack().OutputBufferLength as usize);
        // SAFETY: the request is ours.
        let (system, mdl) =
            unsafe { (self.0.as_ref().SystemBuffer.cast::<u8>(), self.0.as_ref().MdlAddress) };
        let system = NonNull::new(system);
        if code & METHOD == BUFFERED {
            let room = match system {
                None => &mut [],
                // SAFETY: the system's buffer has room for the longer of input and output, and belongs to the request.
                Some(system) => unsafe { slice::from_raw_parts_mut(system.as_ptr(), output) },
            };
            return Some((&[], room));
        }
        let input = match system {
            None => &[][..],
            // SAFETY: the system's buffer has the whole input, and belongs to the request.
            Some(system) => unsafe { slice::from_raw_parts(system.as_ptr(), input as usize) },
        };
        let room = match NonNull::new(mdl) {
            None => &mut [],
            Some(mdl) => {
                let address = system_address(mdl)?.cast_mut();
                // SAFETY: the MDL describes the caller's buffer, locked for the life of the request, which the mapping has
                // whole; it is only written to.
                unsafe { slice::from_raw_parts_mut(address, output.min(mdl.as_ref().ByteCount as usize)) }
            }
        };
        Some((input, room))
    }

    /// Completes the request; returns the status, for the dispatch function to return.
    pub fn complete(self, status: i32, written: usize) -> i32 {
        const NO_BOOST: i8 = 0;
        // SAFETY: the request is ours, and is forgotten here.
        unsafe {
            (*self.0.as_ptr()).IoStatus.Status = status;
            (*self.0.as_ptr()).IoStatus.Information = written;
            IofCompleteRequest(self.0.as_ptr(), NO_BOOST);
        }
        status
    }

    fn cancel_routine(&self) -> &AtomicPtr<c_void> {
        // SAFETY: the request is there; the field is an aligned pointer that is only ever exchanged atomically.
        unsafe { AtomicPtr::from_ptr((&raw mut (*self.0.as_ptr()).CancelRoutine).cast()) }
    }

    fn is_cancelled(&self) -> bool {
        // SAFETY: as above; the system sets it from any processor.
        unsafe { AtomicU8::from_ptr(&raw mut (*self.0.as_ptr()).Cancel) }.load(Ordering::SeqCst) != 0
    }

    /// What it waits for, and where; both lie in words that are the driver's.
    fn note(&mut self, key: u64, queue: *const Waiting) {
        // SAFETY: the request is ours.
        unsafe {
            let words = &mut (*self.0.as_ptr()).DriverContext;
            *words = [
                ptr::without_provenance_mut(key as usize),
                queue.cast_mut().cast(),
                ptr::null_mut(),
                ptr::null_mut(),
            ];
        }
    }

    fn key(&self) -> u64 {
        // SAFETY: the request is there, and `note` was called before it was linked.
        unsafe { self.0.as_ref().DriverContext[0].addr() as u64 }
    }

    fn next(&self) -> *mut IRP {
        // SAFETY: the request is there; the list entry is its owner's.
        unsafe { self.0.as_ref().ListEntry.Flink.cast() }
    }

    fn set_next(&mut self, next: *mut IRP) {
        // SAFETY: as above.
        unsafe { (*self.0.as_ptr()).ListEntry.Flink = next.cast() }
    }
}

/// A list of requests, the newest first.
struct List(*mut IRP);

// SAFETY: the requests in it belong to the list.
unsafe impl Send for List {}

impl List {
    fn push(&mut self, mut irp: Irp) {
        irp.set_next(self.0);
        self.0 = irp.0.as_ptr();
    }

    /// Takes the oldest out for which `wanted` says so.
    fn take(&mut self, wanted: impl Fn(&Irp) -> bool) -> Option<Irp> {
        let mut found: Option<(*mut IRP, Irp)> = None;
        let (mut before, mut at) = (ptr::null_mut(), self.0);
        while let Some(irp) = NonNull::new(at).map(Irp) {
            at = irp.next();
            let this = irp.0.as_ptr();
            if wanted(&irp) {
                found = Some((before, irp));
            }
            before = this;
        }
        let (before, irp) = found?;
        match NonNull::new(before).map(Irp) {
            Some(mut before) => before.set_next(irp.next()),
            None => self.0 = irp.next(),
        }
        Some(irp)
    }
}

struct Lists {
    waiting: List,
    /// Their waits are over, and their cancel routines are gone.
    over: List,
}

/// Requests that wait for something, which a number stands for.
pub struct Waiting {
    lists: SpinLock<Lists>,
    /// How many are in `over`, to be looked at without the lock.
    over: AtomicU32,
}

impl Default for Waiting {
    fn default() -> Self {
        let (waiting, over) = (List(ptr::null_mut()), List(ptr::null_mut()));
        Waiting { lists: SpinLock::new(Lists { waiting, over }), over: AtomicU32::new(0) }
    }
}

impl Waiting {
    /// Lets a request wait for `key`. The dispatch function then returns STATUS_PENDING, whatever becomes of the request.
    ///
    /// # Safety
    /// The queue stays where it is as long as requests wait.
    pub unsafe fn put(&self, mut irp: Irp, key: u64) {
        const PENDING_RETURNED: u8 = 1;
        let _level = Level::raise();
        let mut lists = self.lists.lock();
        irp.note(key, self);
        // SAFETY: the request is ours, and so is its stack location.
        unsafe { (*irp.0.as_ref().CurrentStackLocation).Control |= PENDING_RETURNED };
        let again = Irp(irp.0);
        irp.cancel_routine().store(cancel as *mut c_void, Ordering::SeqCst);
        lists.waiting.push(irp);
        // Cancelled before there was a routine: nobody else would complete it.
        if again.is_cancelled() && !again.cancel_routine().swap(ptr::null_mut(), Ordering::SeqCst).is_null() {
            let cancelled = lists.waiting.take(|irp| irp.0 == again.0);
            drop(lists);
            if let Some(irp) = cancelled {
                irp.complete(STATUS_CANCELLED, 0);
            }
        }
    }

    /// Takes the oldest request that waits for `key`, unless the system is cancelling it.
    fn take(lists: &mut Lists, key: u64) -> Option<Irp> {
        while let Some(irp) = lists.waiting.take(|irp| irp.key() == key) {
            if !irp.cancel_routine().swap(ptr::null_mut(), Ordering::SeqCst).is_null() {
                return Some(irp);
            }
            // Its cancel routine completes it.
        }
        None
    }

    /// Ends the waits for `key`: the requests are completed by [`Waiting::complete`]. Other locks may be held.
    pub fn note(&self, key: u64) {
        let _level = Level::raise();
        let mut lists = self.lists.lock();
        while let Some(irp) = Waiting::take(&mut lists, key) {
            lists.over.push(irp);
            self.over.fetch_add(1, Ordering::Release);
        }
    }

    /// Completes the requests whose waits are over. No lock may be held.
    pub fn complete(&self) {
        while self.over.load(Ordering::Acquire) != 0 {
            let _level = Level::raise();
            let one = self.lists.lock().over.take(|_| true);
            let Some(irp) = one else { return };
            self.over.fetch_sub(1, Ordering::AcqRel);
            irp.complete(STATUS_SUCCESS, 0);
        }
    }

    /// Cancels every wait for `key`. No lock may be held.
    pub fn cancel(&self, key: u64) {
        let _level = Level::raise();
        loop {
            let one = Waiting::take(&mut self.lists.lock(), key);
            let Some(irp) = one else { return };
            irp.complete(STATUS_CANCELLED, 0);
        }
    }
}

/// The system cancels a request: it has taken the routine away, so the request is ours to complete.
unsafe extern "win64" fn cancel(_device: *mut c_void, irp: *mut IRP) {
    // SAFETY: called with the system's cancel lock held, and with a request that `put` noted its queue in.
    let (this, queue) = unsafe {
        IoReleaseCancelSpinLock((*irp).CancelIrql);
        let Some(irp) = NonNull::new(irp) else { return };
        (Irp(irp), &*irp.as_ref().DriverContext[1].cast::<Waiting>())
    };
    let _level = Level::raise();
    let linked = queue.lists.lock().waiting.take(|irp| irp.0 == this.0);
    linked.unwrap_or(this).complete(STATUS_CANCELLED, 0);
}
