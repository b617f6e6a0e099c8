//! The non-paged pool as Rust's heap.
//!
//! Where it sits: in images it is the global allocator (`runtime.rs`); natively linked, the system's heap serves.

use core::alloc::{GlobalAlloc, Layout};

use ndis_sys::*;

/// The tag of all our blocks in the pool: "oxvs".
pub const TAG: u32 = u32::from_le_bytes(*b"oxvs");
/// What the pool aligns to by itself.
const POOL_ALIGN: usize = 16;

/// The non-paged, non-executable pool.
#[derive(Debug)]
pub struct KernelPool;

// SAFETY: blocks come from the non-paged pool and go back to it; larger alignments keep the block's own address in the
// word before the aligned one, which the added room makes ours.
unsafe impl GlobalAlloc for KernelPool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let extra = if layout.align() > POOL_ALIGN { layout.align() + POOL_ALIGN } else { 0 };
        let Some(bytes) = layout.size().max(1).checked_add(extra) else { return core::ptr::null_mut() };
        // SAFETY: any size may be asked for, null is an answer, and callers are at or below DISPATCH_LEVEL.
        let block = unsafe { ExAllocatePoolWithTag(NonPagedPoolNx, bytes, TAG) }.cast::<u8>();
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
