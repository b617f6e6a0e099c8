//! What a kernel image needs around its code: the heap, and an end for panics.
//!
//! Where it sits: in every image that links this crate; compiled for Windows only, because elsewhere the standard library
//! has both. The entry is the image's own.
//!
//! Context: the allocator works up to DISPATCH_LEVEL, a panic at any level.

use core::fmt::Write;
use core::panic::PanicInfo;

use ndis_sys::{DbgPrint, KeBugCheckEx};

use crate::{BUGCHECK, KernelPool};

#[global_allocator]
static POOL: KernelPool = KernelPool;

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
        DbgPrint(c"oxvs: %s\n".as_ptr().cast(), message.0.as_ptr());
        KeBugCheckEx(BUGCHECK, message.0.as_ptr().addr(), line, column, 0)
    }
}
