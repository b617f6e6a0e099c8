//! The little that a kernel image needs around the core: entry, allocator, panic handler.
//!
//! Where it sits: compiled for Windows only, into the image that `main.rs` is.
//!
//! Context: PASSIVE_LEVEL at entry; the allocator works up to DISPATCH_LEVEL.
//! Spec: ExAllocatePoolWithTag, KeBugCheckEx and DriverEntry in the Windows Driver Kit's documentation.

use core::{
    alloc::{GlobalAlloc, Layout},
    ffi::c_void,
    panic::PanicInfo,
};

// raw-dylib writes the import itself: no import library is needed
#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "win64" {
    fn ExAllocatePoolWithTag(pool: i32, bytes: usize, tag: u32) -> *mut c_void;
    fn ExFreePoolWithTag(block: *mut c_void, tag: u32);
    fn KeBugCheckEx(code: u32, one: usize, two: usize, three: usize, four: usize) -> !;
}

/// POOL_TYPE NonPagedPoolNx: reaches back to Server 2012.
const NON_PAGED_POOL_NX: i32 = 512;
/// "oxvs" as pool tags are read.
const TAG: u32 = u32::from_le_bytes(*b"oxvs");
/// What the pool aligns to by itself.
const POOL_ALIGN: usize = 16;
const BUGCHECK: u32 = 0x6f78_7673;

struct Pool;

// SAFETY: blocks come from the non-paged pool and go back to it; larger alignments keep the block's own address in the
// word before the aligned one, which the added room makes ours.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let extra = if layout.align() > POOL_ALIGN { layout.align() + POOL_ALIGN } else { 0 };
        let Some(bytes) = layout.size().max(1).checked_add(extra) else { return core::ptr::null_mut() };
        // SAFETY: any size is a valid argument, null is a valid answer, and IRQL is at most DISPATCH_LEVEL (the core's contract).
        let block = unsafe { ExAllocatePoolWithTag(NON_PAGED_POOL_NX, bytes, TAG) }.cast::<u8>();
        if extra == 0 || block.is_null() {
            return block;
        }
        // SAFETY: `extra` covers the shift and the word before the aligned address.
        unsafe {
            let aligned = block.add(POOL_ALIGN);
            let aligned = aligned.add(aligned.align_offset(layout.align()));
            aligned.cast::<*mut u8>().sub(1).write(block);
            aligned
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `alloc` with this layout, which wrote the word read here.
        unsafe {
            let block =
                if layout.align() > POOL_ALIGN { block.cast::<*mut u8>().sub(1).read() } else { block };
            ExFreePoolWithTag(block.cast(), TAG);
        }
    }
}

#[global_allocator]
static POOL: Pool = Pool;

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let (line, column) = info.location().map_or((0, 0), |at| (at.line() as usize, at.column() as usize));
    // SAFETY: never returns, and any values may be given.
    unsafe { KeBugCheckEx(BUGCHECK, line, column, 0, 0) }
}

/// Compilers for this target reference it from code that uses floating point.
#[unsafe(no_mangle)]
pub static _fltused: i32 = 0;

/// The image's entry. The registry path's address stands in for input that the compiler cannot know.
#[unsafe(no_mangle)]
pub extern "win64" fn DriverEntry(_driver: *mut c_void, registry: *mut c_void) -> i32 {
    kernel_probe::exercise(registry.addr() as u64) as i32
}
