//! MDLs that describe a part of somebody else's memory, made in advance.
//!
//! Where it sits: a packet of ours that shares data with a received one has them behind the block with its own bytes.
//!
//! I1  An MDL is in the list, or its owner's, or in a packet of ours: never two of these.
//! I2  What it describes is kept by the packet that shares it, as long as it does (see [`crate::Nbl::park`]).

use core::ptr::{self, NonNull};

use ndis_sys::*;
use sync::SpinLock;

/// Bytes of memory that one can describe, wherever in a page they begin: those of the largest IP packet, and a page.
const MOST: usize = 17 << 12;
const PAGE: usize = 1 << 12;

/// MDLs that describe nothing yet.
pub(crate) struct PartialMdls(SpinLock<*mut MDL>);

// SAFETY: what is shared, the list, is behind a lock.
unsafe impl Send for PartialMdls {}
// SAFETY: as above, and an MDL is handed out to one owner only.
unsafe impl Sync for PartialMdls {}

impl PartialMdls {
    /// So many; `None` if memory is short.
    pub fn try_new(count: usize) -> Option<PartialMdls> {
        let all = PartialMdls(SpinLock::new(ptr::null_mut()));
        for _ in 0..count {
            // SAFETY: an MDL for any memory of this size; it describes none until it is built.
            let mdl = unsafe { IoAllocateMdl(ptr::null_mut(), MOST as u32, 0, 0, ptr::null_mut()) };
            all.put(NonNull::new(mdl)?);
        }
        Some(all)
    }

    fn put(&self, mut mdl: NonNull<MDL>) {
        let mut free = self.0.lock();
        // SAFETY: the MDL is the caller's, who gives it up.
        unsafe { mdl.as_mut().Next = *free };
        *free = mdl.as_ptr();
    }

    /// An MDL of `len` bytes from `offset` on of what `source` describes; `None` if there is none left, or they lie in too many
    /// pages.
    ///
    /// # Safety
    /// `source` describes so many bytes, and does as long as the MDL is used.
    pub unsafe fn take(&self, source: NonNull<MDL>, offset: usize, len: usize) -> Option<NonNull<MDL>> {
        // SAFETY: the source is there; its address is only reckoned with.
        let address = unsafe {
            let source = source.as_ref();
            source.StartVa.cast::<u8>().wrapping_add(source.ByteOffset as usize).wrapping_add(offset)
        };
        if (address.addr() % PAGE).checked_add(len)? > MOST {
            return None;
        }
        let mut free = self.0.lock();
        let mut mdl = NonNull::new(*free)?;
        // SAFETY: what is in the list is an MDL that nobody else uses, and there is room in it for the pages.
        unsafe {
            *free = mdl.as_ref().Next;
            mdl.as_mut().Next = ptr::null_mut();
            drop(free);
            IoBuildPartialMdl(source.as_ptr(), mdl.as_ptr(), address.cast(), len as u32);
        }
        Some(mdl)
    }

    /// Takes one back.
    ///
    /// # Safety
    /// It came from [`PartialMdls::take`], and is not used any more.
    pub unsafe fn give_back(&self, mdl: NonNull<MDL>) {
        // SAFETY: as above. What was mapped through it, and not through the MDL that it is a part of, is unmapped.
        unsafe {
            let MDL { MdlFlags, MappedSystemVa, .. } = *mdl.as_ref();
            if MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED != 0 {
                MmUnmapLockedPages(MappedSystemVa, mdl.as_ptr());
            }
        }
        self.put(mdl);
    }
}

impl Drop for PartialMdls {
    fn drop(&mut self) {
        let mut next = *self.0.lock();
        while let Some(mdl) = NonNull::new(next) {
            // SAFETY: the list's MDLs are whole and nobody else's; the link is read before the MDL goes.
            unsafe {
                next = mdl.as_ref().Next;
                IoFreeMdl(mdl.as_ptr());
            }
        }
    }
}

/// True for an MDL that describes a part of somebody else's memory.
///
/// # Safety
/// It is there.
pub(crate) unsafe fn is_partial(mdl: NonNull<MDL>) -> bool {
    // SAFETY: the MDL is there, by the promise of whoever calls.
    unsafe { mdl.as_ref().MdlFlags & MDL_PARTIAL != 0 }
}
