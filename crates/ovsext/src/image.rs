//! What the image needs around the driver: entry, allocator, panic handler.
//!
//! Where it sits: compiled for Windows only.
//!
//! Context: PASSIVE_LEVEL at entry; the allocator works up to DISPATCH_LEVEL.

use core::fmt::Write;
use core::panic::PanicInfo;

use ndis_sys::{DRIVER_OBJECT, DbgPrint, KeBugCheckEx, UNICODE_STRING};

#[global_allocator]
static POOL: ndis::KernelPool = ndis::KernelPool;

/// Compilers for this target reference it from code that uses floating point.
#[unsafe(no_mangle)]
pub static _fltused: i32 = 0;

/// What a debugger is told of a panic.
struct Message([u8; 200], usize);

impl Write for Message {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        // The last byte stays zero: C's end.
        for (to, from) in self.0.iter_mut().take(199).skip(self.1).zip(text.bytes()) {
            *to = from;
            self.1 += 1;
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let mut message = Message([0; 200], 0);
    let _ = write!(message, "{info}");
    let (line, column) = info.location().map_or((0, 0), |at| (at.line() as usize, at.column() as usize));
    // SAFETY: both strings end in zero; a bug check takes any values and does not return.
    unsafe {
        DbgPrint(c"ovsext: %s\n".as_ptr().cast(), message.0.as_ptr());
        KeBugCheckEx(ndis::BUGCHECK, message.0.as_ptr().addr(), line, column, 0)
    }
}

/// The image's entry.
///
/// # Safety
/// Windows calls it, once.
#[unsafe(no_mangle)]
pub unsafe extern "win64" fn DriverEntry(driver: *mut DRIVER_OBJECT, _registry: *mut UNICODE_STRING) -> i32 {
    // SAFETY: the driver object is Windows's, and this is the one call.
    unsafe { ovsext::driver_entry(driver) }
}
