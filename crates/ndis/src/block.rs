//! Pools of blocks of one size, each with its MDL, filled in advance.
//!
//! Where it sits: heads of frames and the bytes of packets of ours; taken and given back at DISPATCH_LEVEL.
//!
//! ~~~text
//! one allocation:  | link, pool, MDL, size | data |      the MDL describes the data
//! ~~~
//!
//! I1  A block is in the pool's list or somebody's [`Block`], or its MDL is in a packet of ours: never two of these.
//! I2  The pool's memory goes when the pool and all its blocks are gone, in whatever order.

use core::alloc::Layout;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use ndis_sys::*;
use sync::SpinLock;

use crate::{Broken, bugcheck};

/// Bytes of a usual block.
pub const BLOCK: usize = 2048;
/// Bytes of one that holds the longest frame, with room in front.
pub const LONG_BLOCK: usize = 66 << 10;

/// What lies before a block's data.
#[repr(C, align(64))]
struct Header {
    next: *mut Header,
    pool: *const Inner,
    mdl: *mut MDL,
    /// Bytes of data.
    size: usize,
    mark: usize,
}

const MARK: usize = 0x6f78_7673_626c_6f63;
const HEADER: usize = size_of::<Header>();

struct Inner {
    free: SpinLock<*mut Header>,
    /// The pool itself and every block that is out.
    users: AtomicUsize,
    /// Bytes of a block.
    size: usize,
}

/// The pool.
pub struct BlockPool(NonNull<Inner>);

/// A block that one owns.
pub struct Block(NonNull<Header>);

// SAFETY: what is shared (the list, the count) is behind a lock or atomic.
unsafe impl Send for BlockPool {}
// SAFETY: as above, and a block is handed out to one owner only.
unsafe impl Sync for BlockPool {}
// SAFETY: a block's memory belongs to the block alone.
unsafe impl Send for Block {}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(HEADER.checked_add(size)?, align_of::<Header>()).ok()
}

impl BlockPool {
    /// A pool of `count` blocks of `size` bytes; `None` if memory is short. `handle`: the filter module's.
    pub fn try_new(handle: NDIS_HANDLE, count: usize, size: usize) -> Option<BlockPool> {
        let (free, users) = (SpinLock::new(ptr::null_mut()), AtomicUsize::new(1));
        let inner = sync::try_box(Inner { free, users, size })?;
        // A box's pointer is never null.
        let pool = BlockPool(NonNull::new(alloc::boxed::Box::into_raw(inner))?);
        for _ in 0..count {
            pool.add(handle)?;
        }
        Some(pool)
    }

    fn inner(&self) -> &Inner {
        // SAFETY: the pool counts as a user, so its memory is there.
        unsafe { self.0.as_ref() }
    }

    fn add(&self, handle: NDIS_HANDLE) -> Option<()> {
        let size = self.inner().size;
        let layout = layout(size)?;
        // SAFETY: the layout has a size; null is handled; header and data are within the allocation, which nobody else
        // knows; the MDL is made for non-paged memory, which the heap is.
        unsafe {
            let place = alloc::alloc::alloc(layout);
            let header = NonNull::new(place.cast::<Header>())?;
            let data = place.add(HEADER);
            data.write_bytes(0, size);
            let mdl = NdisAllocateMdl(handle, data.cast(), size as u32);
            if mdl.is_null() {
                alloc::alloc::dealloc(place, layout);
                return None;
            }
            header.write(Header { next: ptr::null_mut(), pool: self.0.as_ptr(), mdl, size, mark: MARK });
            push(self.inner(), header);
        }
        Some(())
    }

    /// A block; `None` if there is none left.
    pub fn take(&self) -> Option<Block> {
        let inner = self.inner();
        let mut free = inner.free.lock();
        let header = NonNull::new(*free)?;
        // SAFETY: what is in the list is a header, and under the lock nobody else takes it.
        *free = unsafe { header.as_ref().next };
        inner.users.fetch_add(1, Ordering::Relaxed);
        Some(Block(header))
    }
}

/// Puts a block into the list.
///
/// # Safety
/// `header` is a whole header that nobody else uses.
unsafe fn push(inner: &Inner, mut header: NonNull<Header>) {
    let mut free = inner.free.lock();
    // SAFETY: the header is the caller's alone.
    unsafe { header.as_mut().next = *free };
    *free = header.as_ptr();
}

/// One user less; the last frees everything.
///
/// # Safety
/// The caller counted as a user and does not touch the pool afterwards.
unsafe fn leave(inner: NonNull<Inner>) {
    // SAFETY: the caller's count keeps the memory until here; after the last nobody else has a pointer.
    unsafe {
        if inner.as_ref().users.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let mut header = *inner.as_ref().free.lock();
        while let Some(block) = NonNull::new(header) {
            header = block.as_ref().next;
            NdisFreeMdl(block.as_ref().mdl);
            if let Some(layout) = layout(inner.as_ref().size) {
                alloc::alloc::dealloc(block.as_ptr().cast(), layout);
            }
        }
        drop(alloc::boxed::Box::from_raw(inner.as_ptr()));
    }
}

impl Drop for BlockPool {
    fn drop(&mut self) {
        // SAFETY: the pool counted as a user and is gone after this.
        unsafe { leave(self.0) }
    }
}

impl Block {
    fn data(&self) -> NonNull<u8> {
        // SAFETY: the data follow the header within one allocation.
        unsafe { self.0.cast::<u8>().add(HEADER) }
    }

    fn size(&self) -> usize {
        // SAFETY: the header is this block's, and its size never changes.
        unsafe { self.0.as_ref().size }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes follow the header, were written when the block was made, and are this block's alone.
        unsafe { core::slice::from_raw_parts(self.data().as_ptr(), self.size()) }
    }

    /// Its bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the block is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.data().as_ptr(), self.size()) }
    }

    /// Gives the block up as an MDL of its first `len` bytes, to be chained into a packet.
    pub(crate) fn into_mdl(self, len: usize) -> NonNull<MDL> {
        let size = self.size();
        // SAFETY: the header is ours; its MDL was not null when the block was made.
        let mut mdl = unsafe { NonNull::new_unchecked(self.0.as_ref().mdl) };
        core::mem::forget(self);
        // SAFETY: the MDL is the block's, and nobody else's.
        unsafe {
            mdl.as_mut().ByteCount = len.min(size) as u32;
            mdl.as_mut().Next = ptr::null_mut();
        }
        mdl
    }

    /// The block of an MDL that [`Block::into_mdl`] returned.
    ///
    /// # Safety
    /// The MDL came from there, and is not in use any more.
    pub(crate) unsafe fn from_mdl(mut mdl: NonNull<MDL>) -> Block {
        // SAFETY: the MDL describes a block's data, which follow their header.
        unsafe {
            let header = mdl.as_ref().MappedSystemVa.cast::<u8>().sub(HEADER).cast::<Header>();
            let Some(header) = NonNull::new(header).filter(|h| h.as_ref().mark == MARK) else {
                bugcheck(Broken::ForeignBlock)
            };
            mdl.as_mut().ByteCount = header.as_ref().size as u32;
            mdl.as_mut().Next = ptr::null_mut();
            Block(header)
        }
    }
}

impl Drop for Block {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: the block is this owner's; its pool has it counted as a user until `leave`.
        unsafe {
            let pool = NonNull::new_unchecked(self.0.as_ref().pool.cast_mut());
            push(pool.as_ref(), self.0);
            leave(pool);
        }
    }
}
