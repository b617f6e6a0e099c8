//! The device object and its files: what CreateFile, DeviceIoControl and CancelIoEx come down to.
//!
//! Where it sits: between user space's code and the driver's dispatch functions, as the I/O manager is.
//!
//! Each request has an entry in the ledger; what the driver may do with it, and when, is checked there. A completed request
//! is overwritten at once, so that whoever touches it afterwards reads nonsense.
//!
//! Spec: IRP handling in the Windows Driver Kit's documentation: a dispatch function that returns STATUS_PENDING has marked
//! the request, and one that does not has completed it with the status that it returns. IRP_MJ_CLEANUP cancels what waits at
//! the file: each request whose cancel routine the driver gets with IoSetCancelRoutine. One whose routine is gone already is
//! somebody's who is completing it, perhaps after IRP_MJ_CLEANUP; IRP_MJ_CLOSE comes when every request is completed.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use ndis_sys::*;

use crate::fault::{Fault, goes_wrong};
use crate::kernel::{at_most, exports, handle, in_the_driver};
use crate::processors::{level, reschedule, set_level, wait_until};
use crate::world::{broken, rule, with};

/// The registered device.
pub(crate) struct DeviceRecord {
    handle: usize,
    functions: [DRIVER_DISPATCH; 28],
    /// Files that are open.
    pub files: usize,
}

/// A request on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IrpRecord {
    /// The address of its stack location.
    stack: usize,
    /// The address of its file.
    file: usize,
    /// The dispatch function has returned.
    returned: bool,
    /// Bytes of room for output.
    room: usize,
    /// Status and bytes written, once it is completed.
    completed: Option<(i32, usize)>,
    /// It was marked as pending when it was completed.
    marked: bool,
    /// The driver is completing it, or has.
    completing: bool,
    /// Its completion takes until its file is being closed.
    held: bool,
}

impl IrpRecord {
    pub fn is_completed(&self) -> bool {
        self.completed.is_some()
    }
}

/// The bit that IoMarkIrpPending sets.
const PENDING_RETURNED: u8 = 1;
const ADDRESS: *mut c_void = ptr::without_provenance_mut(0x4444_0000);

/// A request with its memory, as long as anybody may look at it.
struct Request {
    irp: Box<IRP>,
    stack: Box<IO_STACK_LOCATION>,
    mdl: Box<MDL>,
    system: Vec<u8>,
    out: Vec<u8>,
    /// Its answer comes in the system's buffer.
    buffered: bool,
}

// SAFETY: one processor runs at a time, and pointers are to memory of the request's own.
unsafe impl Send for Request {}

impl Request {
    fn new(file: *mut FILE_OBJECT, major: usize, code: u32, input: &[u8], room: usize) -> Request {
        const METHOD: u32 = 3;
        // SAFETY: zeros are a valid value of each.
        let (mut irp, mut stack, mut mdl) = unsafe {
            let irp: Box<IRP> = Box::new(std::mem::zeroed());
            let stack: Box<IO_STACK_LOCATION> = Box::new(std::mem::zeroed());
            let mdl: Box<MDL> = Box::new(std::mem::zeroed());
            (irp, stack, mdl)
        };
        let (mut system, mut out) = (input.to_vec(), vec![0xee; room]);
        let buffered = code & METHOD == 0;
        if buffered {
            system.resize(system.len().max(room), 0xee);
        } else if room != 0 {
            mdl.StartVa = out.as_mut_ptr().cast();
            mdl.ByteCount = room as u32;
            irp.MdlAddress = &mut *mdl;
        }
        if !system.is_empty() {
            irp.SystemBuffer = system.as_mut_ptr().cast();
        }
        stack.MajorFunction = major as u8;
        (stack.FileObject, stack.DeviceObject, stack.IoControlCode) = (file, ADDRESS, code);
        (stack.InputBufferLength, stack.OutputBufferLength) = (input.len() as u32, room as u32);
        irp.CurrentStackLocation = &mut *stack;
        Request { irp, stack, mdl, system, out, buffered }
    }

    fn id(&self) -> usize {
        ptr::from_ref(&*self.irp) as usize
    }

    /// Calls the driver; true if the request is completed.
    fn send(&mut self, major: usize) -> bool {
        let record = IrpRecord {
            stack: ptr::from_ref(&*self.stack) as usize,
            file: self.stack.FileObject as usize,
            room: self.out.len(),
            ..IrpRecord::default()
        };
        let id = self.id();
        let function = with(|w| {
            w.ledger.irps.insert(id, record);
            w.ledger.device.as_ref().and_then(|d| d.functions[major])
        });
        let Some(function) = function else { broken("a request at a device that is gone") };
        rule(level() == PASSIVE_LEVEL, "a request of user space above PASSIVE_LEVEL");
        // SAFETY: the driver's function, and a whole request.
        let status = in_the_driver(|| unsafe { function(ADDRESS, &mut *self.irp) });
        rule(level() == PASSIVE_LEVEL, "a dispatch function returns at another IRQL");
        let record = with(|w| {
            let record = w.ledger.irps.get_mut(&id).expect("it was sent");
            record.returned = true;
            *record
        });
        if status == STATUS_PENDING {
            // A completed request tells of itself; one that is not is asked.
            let marked =
                record.marked || (record.completed.is_none() && self.stack.Control & PENDING_RETURNED != 0);
            rule(marked, "STATUS_PENDING is returned for a request that was not marked pending");
        } else {
            let done = record.completed.map(|(status, _)| status);
            rule(done == Some(status), "a dispatch function returns another status than it completed with");
            rule(!record.marked, "a request was marked pending, and STATUS_PENDING is not returned");
        }
        record.completed.is_some()
    }

    fn is_completed(&self) -> bool {
        let id = self.id();
        with(|w| w.ledger.irps.get(&id).is_some_and(|r| r.completed.is_some()))
    }

    /// What a completed request came to.
    fn finish(mut self) -> Result<Vec<u8>, i32> {
        let id = self.id();
        let record = with(|w| w.ledger.irps.remove(&id)).expect("it was sent");
        let (status, written) = record.completed.expect("it is completed");
        let mut from = if self.buffered { self.system } else { std::mem::take(&mut self.out) };
        from.truncate(written);
        let _ = self.mdl;
        if status == STATUS_SUCCESS { Ok(from) } else { Err(status) }
    }
}

/// An open file of the device.
pub(crate) struct File(Box<FILE_OBJECT>);

// SAFETY: one processor runs at a time, and the object's pointers are words to us.
unsafe impl Send for File {}
// SAFETY: as above.
unsafe impl Sync for File {}

/// A request that waits.
pub(crate) struct Pending(Request);

impl Pending {
    /// Its address, as the ledger has it.
    pub fn id(&self) -> usize {
        self.0.id()
    }

    /// It is over, one way or another.
    pub fn is_over(&self) -> bool {
        self.0.is_completed()
    }

    /// CancelIoEx: the request ends soon, if it is not over.
    pub fn cancel(&mut self) {
        wait_until(|| with(|w| !std::mem::replace(&mut w.ledger.cancel_lock, true)));
        let old = set_level(DISPATCH_LEVEL);
        // Completed before the lock was there: the request is not to be touched.
        let routine = if self.is_over() {
            None
        } else {
            let irp = ptr::from_mut(&mut *self.0.irp);
            // SAFETY: the request is not completed; the field is a pointer that is exchanged atomically by everybody.
            unsafe {
                (*irp).Cancel = 1;
                let routine = AtomicPtr::<c_void>::from_ptr((&raw mut (*irp).CancelRoutine).cast());
                let routine = routine.swap(ptr::null_mut(), Ordering::SeqCst);
                (!routine.is_null()).then(|| {
                    (*irp).CancelIrql = old;
                    let f: unsafe extern "win64" fn(*mut c_void, *mut IRP) = std::mem::transmute(routine);
                    (f, irp)
                })
            }
        };
        match routine {
            // SAFETY: the driver's routine, with the lock held as it expects.
            Some((f, irp)) => in_the_driver(|| unsafe { f(ADDRESS, irp) }),
            None => {
                with(|w| w.ledger.cancel_lock = false);
                set_level(old);
            }
        }
        rule(level() == old, "a cancel routine returns at another IRQL");
    }

    /// Has its completion take until its file is being closed.
    #[cfg(test)]
    fn hold(&self) {
        let id = self.id();
        with(|w| w.ledger.irps.get_mut(&id).expect("it was sent").held = true);
    }

    /// The driver is completing it, or has.
    #[cfg(test)]
    fn is_being_completed(&self) -> bool {
        let id = self.id();
        with(|w| w.ledger.irps.get(&id).is_some_and(|r| r.completing))
    }

    /// What it came to; waits for that.
    pub fn finish(self) -> Result<Vec<u8>, i32> {
        wait_until(|| self.is_over());
        self.0.finish()
    }
}

impl File {
    /// CreateFile.
    pub fn open() -> Result<File, i32> {
        // SAFETY: zeros are a valid value.
        let mut object: Box<FILE_OBJECT> = Box::new(unsafe { std::mem::zeroed() });
        let mut request = Request::new(&mut *object, IRP_MJ_CREATE, 0, &[], 0);
        rule(request.send(IRP_MJ_CREATE), "IRP_MJ_CREATE is pending");
        request.finish()?;
        with(|w| w.ledger.device.as_mut().expect("a file was opened").files += 1);
        Ok(File(object))
    }

    fn object(&self) -> *mut FILE_OBJECT {
        ptr::from_ref(&*self.0).cast_mut()
    }

    /// DeviceIoControl of what never waits.
    pub fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, i32> {
        let mut request = Request::new(self.object(), IRP_MJ_DEVICE_CONTROL, code, input, room);
        if !request.send(IRP_MJ_DEVICE_CONTROL) {
            wait_until(|| request.is_completed());
        }
        request.finish()
    }

    /// DeviceIoControl with an OVERLAPPED.
    pub fn begin(&self, code: u32, input: &[u8], room: usize) -> Pending {
        let mut request = Request::new(self.object(), IRP_MJ_DEVICE_CONTROL, code, input, room);
        request.send(IRP_MJ_DEVICE_CONTROL);
        Pending(request)
    }

    /// CloseHandle of the last handle: what waits at the file ends by that.
    pub fn close(&self) {
        if !goes_wrong(Fault::ForgetACleanup) {
            self.end(IRP_MJ_CLEANUP);
        }
        let left = self.requests();
        let waits = |(irp, record): &(usize, IrpRecord)| {
            // SAFETY: a request that is not completed is there; the field is exchanged atomically by everybody.
            let routine = unsafe {
                AtomicPtr::<c_void>::from_ptr((&raw mut (*(*irp as *mut IRP)).CancelRoutine).cast())
            };
            record.returned && !routine.load(Ordering::SeqCst).is_null()
        };
        rule(!left.iter().any(waits), "a request still waits at a file after its IRP_MJ_CLEANUP");
        // Whoever took the routine of one away completes it; the file stays until then.
        let file = self.object() as usize;
        with(|w| w.ledger.irps.values_mut().filter(|r| r.file == file).for_each(|r| r.held = false));
        wait_until(|| self.requests().is_empty());
        self.end(IRP_MJ_CLOSE);
        with(|w| w.ledger.device.as_mut().expect("it has open files").files -= 1);
    }

    fn end(&self, major: usize) {
        let mut request = Request::new(self.object(), major, 0, &[], 0);
        rule(request.send(major), "closing is pending");
        rule(request.finish().is_ok(), "closing failed");
    }

    /// The file's requests that are not completed, by their addresses.
    fn requests(&self) -> Vec<(usize, IrpRecord)> {
        let file = self.object() as usize;
        let ours = |(_, record): &(&usize, &IrpRecord)| record.file == file && !record.is_completed();
        with(|w| w.ledger.irps.iter().filter(ours).map(|(irp, record)| (*irp, *record)).collect())
    }
}

/// How often others go on while a request is being completed slowly.
const SLOW: u32 = 30;

/// A string of the kernel's.
///
/// # Safety
/// The pointer is null or to a whole string.
unsafe fn text(string: *const UNICODE_STRING) -> String {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(string) = string.as_ref() else { return String::new() };
        let units = std::slice::from_raw_parts(string.Buffer, usize::from(string.Length) / 2);
        String::from_utf16_lossy(units)
    }
}

exports! {
    fn NdisRegisterDeviceEx(
        driver: NDIS_HANDLE,
        attributes: *const NDIS_DEVICE_OBJECT_ATTRIBUTES,
        device: *mut *mut c_void,
        device_handle: *mut NDIS_HANDLE,
    ) -> NDIS_STATUS {
        at_most(PASSIVE_LEVEL, "NdisRegisterDeviceEx");
        rule(with(|w| w.module.driver_handle == driver as usize), "NdisRegisterDeviceEx: not the driver's handle");
        let a = *attributes;
        rule(
            a.Header.Type == NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES
                && a.Header.Revision == 1
                && a.Header.Size == NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
            "NdisRegisterDeviceEx: a wrong header",
        );
        let (name, link, sddl) = (text(a.DeviceName), text(a.SymbolicName), text(a.DefaultSDDLString));
        rule(
            name == r"\Device\OpenvSwitchDevice" && link == r"\DosDevices\OpenvSwitchDevice",
            "NdisRegisterDeviceEx: a device that nobody will find",
        );
        rule(sddl.starts_with("D:P(A;;"), "NdisRegisterDeviceEx: who may open the device is not said");
        if with(|w| w.fails()) {
            return NDIS_STATUS_RESOURCES;
        }
        let functions = *a.MajorFunctions.cast::<[DRIVER_DISPATCH; 28]>();
        let handle = handle();
        let record = DeviceRecord { handle, functions, files: 0 };
        rule(with(|w| w.ledger.device.replace(record).is_none()), "a second device");
        (*device, *device_handle) = (ADDRESS, handle as NDIS_HANDLE);
        NDIS_STATUS_SUCCESS
    }

    fn NdisDeregisterDeviceEx(device: NDIS_HANDLE) {
        at_most(PASSIVE_LEVEL, "NdisDeregisterDeviceEx");
        rule(
            with(|w| w.module.driver_handle != 0),
            "NdisDeregisterDeviceEx after NdisFDeregisterFilterDriver",
        );
        if goes_wrong(Fault::KeepTheDevice) {
            return;
        }
        match with(|w| w.ledger.device.take()) {
            Some(record) if record.handle == device as usize => {
                rule(record.files == 0, "a device is removed while files are open");
            }
            _ => broken("NdisDeregisterDeviceEx: no such device"),
        }
    }

    fn IofCompleteRequest(irp: *mut IRP, _boost: i8) {
        at_most(DISPATCH_LEVEL, "IofCompleteRequest");
        if goes_wrong(Fault::LoseARequest) {
            return;
        }
        let Some(record) = with(|w| w.ledger.irps.get(&(irp as usize)).copied()) else {
            broken("IofCompleteRequest: no such request")
        };
        // Whoever completes what waited may be slow: its file may be closed meanwhile.
        if record.returned && with(|w| w.random.once_in(4)) {
            (0..SLOW).for_each(|_| reschedule());
        }
        let is_held = || with(|w| w.ledger.irps.get_mut(&(irp as usize)).is_some_and(|r| {
            r.completing = true;
            r.held
        }));
        while is_held() {
            reschedule();
        }
        rule(record.completed.is_none(), "a request is completed twice");
        rule((*irp).CancelRoutine.is_none(), "a request is completed while it can be cancelled");
        let (status, written) = ((*irp).IoStatus.Status, (*irp).IoStatus.Information);
        rule(status != STATUS_PENDING, "a request is completed as pending");
        rule(written <= record.room, "more was written than there is room for");
        let stack = record.stack as *mut IO_STACK_LOCATION;
        let marked = (*stack).Control & PENDING_RETURNED != 0;
        with(|w| {
            let record = w.ledger.irps.get_mut(&(irp as usize)).expect("just found");
            (record.completed, record.marked) = (Some((status, written)), marked);
        });
        // What is touched after this is nonsense.
        ptr::write_bytes(irp.cast::<u8>(), 0xdd, size_of::<IRP>());
        ptr::write_bytes(stack.cast::<u8>(), 0xdd, size_of::<IO_STACK_LOCATION>());
        if goes_wrong(Fault::CompleteARequestTwice) {
            IofCompleteRequest(irp, 0);
        }
        reschedule();
    }

    fn IoReleaseCancelSpinLock(irql: u8) {
        rule(with(|w| std::mem::replace(&mut w.ledger.cancel_lock, false)), "the cancel lock is not held");
        set_level(irql);
        reschedule();
    }
}

#[cfg(test)]
mod tests;
