//! The door to user space: the device object, its IOCTLs, and those who wait at it.
//!
//! Where it sits: the kernel calls the dispatch functions; each is one call of the crate `device`. It is there as long as the
//! driver is, with or without a switch: what needs a switch answers STATUS_DEVICE_NOT_READY while there is none, and ports
//! keep their names and numbers until there is one again.
//!
//! I1  The crate's locks are only taken at DISPATCH_LEVEL, as everywhere in the driver.
//! I2  Requests are completed with no lock held: the packet path notes whose wait is over, and completes it afterwards.
//!
//! Who may open the device is said by its security descriptor: the system and administrators, nobody else.
//!
//! Spec: ovsext 1.1 to 1.10.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use device::{Config, Errno, Handle, Outcome, Queue, Status, Written};
use ndis::{Irp, Level, Utf16, Waiting, unicode};
use ndis_sys::*;
use sync::{SpinLock, try_box_with};

use crate::module::with_extension;

static DEVICE: Utf16<25> = Utf16::new(br"\Device\OpenvSwitchDevice");
static LINK: Utf16<29> = Utf16::new(br"\DosDevices\OpenvSwitchDevice");
static SDDL: Utf16<27> = Utf16::new(b"D:P(A;;GA;;;SY)(A;;GA;;;BA)");

/// Type 0xafc8, functions from 0x100 on; the low bits say how buffers come, those above the function who may ask.
mod ioctl {
    pub const GET_PID: u32 = 0xafc8_8400;
    pub const READ: u32 = 0xafc8_4406;
    pub const READ_EVENT: u32 = 0xafc8_440a;
    pub const READ_PACKET: u32 = 0xafc8_440e;
    pub const WRITE: u32 = 0xafc8_4411;
    pub const TRANSACT: u32 = 0xafc8_8416;
}

/// What is behind the device object.
pub(crate) struct Door {
    pub device: device::Device,
    waiting: Waiting,
    object: SpinLock<Option<ndis::Device>>,
}

/// The driver's, from DriverEntry to DriverUnload.
static DOOR: AtomicPtr<Door> = AtomicPtr::new(ptr::null_mut());

/// The door, if the driver is loaded. Modules and the device object are gone before it is.
pub(crate) fn get() -> Option<&'static Door> {
    // SAFETY: `remove` is called when nobody calls into the driver any more.
    NonNull::new(DOOR.load(Ordering::Acquire)).map(|door| unsafe { door.as_ref() })
}

/// Makes the door; false if memory is short.
#[inline(never)]
pub(crate) fn build() -> bool {
    let door = try_box_with(|| {
        let device = device::Device::try_new(Config::default())?;
        Some(Door { device, waiting: Waiting::default(), object: SpinLock::new(None) })
    });
    door.map(|door| DOOR.store(Box::into_raw(door), Ordering::Release)).is_some()
}

/// Registers the device object; false if that fails.
///
/// # Safety
/// `driver` is the filter driver's handle.
pub(crate) unsafe fn open(driver: NDIS_HANDLE) -> bool {
    let functions: [(usize, ndis::Dispatch); 4] = [
        (IRP_MJ_CREATE, create),
        (IRP_MJ_CLEANUP, clean_up),
        (IRP_MJ_CLOSE, end),
        (IRP_MJ_DEVICE_CONTROL, control),
    ];
    let names = (unicode(&DEVICE), unicode(&LINK));
    // SAFETY: the caller's handle, and functions of the kind that the kernel calls.
    let object = unsafe { ndis::Device::register(driver, names, unicode(&SDDL), &functions) };
    let registered = object.is_some();
    if let Some(door) = get() {
        let _level = Level::raise();
        *door.object.lock() = object;
    }
    registered
}

/// Takes the device object away (PASSIVE_LEVEL).
pub(crate) fn close() {
    let Some(door) = get() else { return };
    let object = {
        let _level = Level::raise();
        door.object.lock().take()
    };
    drop(object);
}

/// Frees the door.
///
/// # Safety
/// Nobody calls into the driver any more.
pub(crate) unsafe fn remove() {
    if let Some(door) = NonNull::new(DOOR.swap(ptr::null_mut(), Ordering::AcqRel)) {
        // SAFETY: `build` made it, and this is the only one who has it now.
        drop(unsafe { Box::from_raw(door.as_ptr()) });
    }
}

/// What a request waits for, as a number.
fn key(handle: Handle, queue: Queue) -> u64 {
    u64::from(handle.pid()) << 1 | u64::from(queue == Queue::Packets)
}

impl Door {
    /// Notes that a queue is worth reading. Locks may be held.
    pub fn wake(&self, handle: Handle, queue: Queue) {
        self.waiting.note(key(handle, queue));
    }

    /// Completes what was noted. No lock may be held.
    pub fn end_waits(&self) {
        self.waiting.complete();
    }

    /// Lets a request wait, unless what it waits for came in between.
    fn wait(&self, irp: Irp, handle: Handle, queue: Queue) -> i32 {
        let key = key(handle, queue);
        // SAFETY: the door outlives every open file, and so every request.
        unsafe { self.waiting.put(irp, key) };
        let again = {
            let _level = Level::raise();
            self.device.wait(handle, queue)
        };
        match again {
            Ok(Written::Wait(_)) => {}
            Ok(Written::Done) => {
                self.waiting.note(key);
                self.waiting.complete();
            }
            Err(_) => self.waiting.cancel(key),
        }
        STATUS_PENDING
    }
}

/// What a request came to.
enum Done {
    Bytes(usize),
    Wait(Queue),
}

fn from_status(status: Status) -> i32 {
    status.ntstatus() as i32
}

/// One request of DeviceIoControl. Called at DISPATCH_LEVEL.
#[inline(never)]
fn answer(door: &Door, handle: Handle, code: u32, input: &[u8], room: &mut [u8]) -> Result<Done, Status> {
    let device = &door.device;
    let gone = Status::NotReady;
    match code {
        ioctl::GET_PID => {
            let pid = device.pid(handle)?.to_ne_bytes();
            room.get_mut(..pid.len()).ok_or(Status::InvalidLength)?.copy_from_slice(&pid);
            Ok(Done::Bytes(pid.len()))
        }
        ioctl::READ_EVENT => device.read_event(handle, room).map(Done::Bytes),
        ioctl::READ_PACKET => device.read_packet(handle, room).map(Done::Bytes),
        ioctl::READ => {
            with_extension(|e| device.read(e.env(), handle, room)).unwrap_or(Err(gone)).map(Done::Bytes)
        }
        ioctl::WRITE => {
            let written = with_extension(|e| device.write(e.env(), handle, input)).unwrap_or(Err(gone));
            written.map(|written| match written {
                Written::Done => Done::Bytes(0),
                Written::Wait(queue) => Done::Wait(queue),
            })
        }
        ioctl::TRANSACT => with_extension(|e| match device.transact(e.env(), handle, input, room)? {
            Outcome::Reply(n) => Ok(n),
            // The extension binds on the spot.
            Outcome::Pending(ticket) => device.finish_port(e.env(), ticket, Err(Errno::Other), room),
        })
        .unwrap_or(Err(gone))
        .map(Done::Bytes),
        _ => Err(Status::InvalidRequest),
    }
}

/// The request that a dispatch function was called with, and the door.
///
/// # Safety
/// `irp` is a dispatch function's.
unsafe fn request(irp: *mut IRP) -> Option<(Irp, &'static Door)> {
    // SAFETY: the caller's promise.
    Some((unsafe { Irp::from_raw(NonNull::new(irp)?) }, get()?))
}

fn handle_of(irp: &Irp) -> Handle {
    Handle::of_pid(irp.file_word() as u32)
}

unsafe extern "win64" fn create(_device: *mut c_void, irp: *mut IRP) -> i32 {
    // SAFETY: the kernel calls with a request of the device.
    let Some((mut irp, door)) = (unsafe { request(irp) }) else { return STATUS_UNSUCCESSFUL };
    let opened = {
        let _level = Level::raise();
        door.device.open()
    };
    match opened {
        Ok(handle) => {
            irp.set_file_word(handle.pid() as usize);
            irp.complete(STATUS_SUCCESS, 0)
        }
        Err(status) => irp.complete(from_status(status), 0),
    }
}

/// The last handle to a file is closed: its queues go, and those who wait at them.
unsafe extern "win64" fn clean_up(_device: *mut c_void, irp: *mut IRP) -> i32 {
    // SAFETY: as above.
    let Some((irp, door)) = (unsafe { request(irp) }) else { return STATUS_UNSUCCESSFUL };
    let handle = handle_of(&irp);
    {
        let _level = Level::raise();
        door.device.close(handle);
    }
    for queue in [Queue::Events, Queue::Packets] {
        door.waiting.cancel(key(handle, queue));
    }
    irp.complete(STATUS_SUCCESS, 0)
}

/// Nothing refers to a file any more; there is nothing left of it here.
unsafe extern "win64" fn end(_device: *mut c_void, irp: *mut IRP) -> i32 {
    // SAFETY: as above.
    let Some((irp, _)) = (unsafe { request(irp) }) else { return STATUS_UNSUCCESSFUL };
    irp.complete(STATUS_SUCCESS, 0)
}

unsafe extern "win64" fn control(_device: *mut c_void, irp: *mut IRP) -> i32 {
    // SAFETY: as above.
    let Some((mut irp, door)) = (unsafe { request(irp) }) else { return STATUS_UNSUCCESSFUL };
    let (handle, code) = (handle_of(&irp), irp.code());
    let Some((input, room)) = irp.buffers() else { return irp.complete(STATUS_INSUFFICIENT_RESOURCES, 0) };
    let done = {
        let _level = Level::raise();
        answer(door, handle, code, input, room)
    };
    // What a request caused elsewhere: other handles' events.
    door.end_waits();
    match done {
        Ok(Done::Bytes(n)) => irp.complete(STATUS_SUCCESS, n),
        Ok(Done::Wait(queue)) => door.wait(irp, handle, queue),
        Err(status) => irp.complete(from_status(status), 0),
    }
}
