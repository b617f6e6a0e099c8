//! A piece of memory from mmap(2).
//!
//! Where it sits: holds a ring that the kernel shares, of a packet socket or of an AF_XDP socket.
#![allow(unsafe_code)] // mmap, munmap, and access by offset

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU32;

/// Types of plain integers.
///
/// # Safety
/// All bytes are a value of it.
pub(super) unsafe trait Plain: Copy + Default {}

// SAFETY: a plain integer.
unsafe impl Plain for u64 {}
// SAFETY: a plain integer.
unsafe impl Plain for i32 {}

/// A piece of memory, which is given back when this is dropped.
pub(super) struct Mapping {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to the process, not to a thread; access is by atomics, and by copies and borrows whose
// callers see to it that nobody else uses the same bytes.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// What the kernel shares under `offset` of `fd`.
    pub fn shared(fd: BorrowedFd<'_>, len: usize, offset: u64) -> io::Result<Mapping> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        let (fd, offset) = (fd.as_raw_fd(), offset as libc::off_t);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that is there already.
        let at = unsafe { libc::mmap(null_mut(), len, protection, flags, fd, offset) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { at, len })
    }

    /// A pointer to `size` bytes at `offset`, if there are so many.
    fn pointer(&self, offset: u64, size: usize) -> Option<NonNull<u8>> {
        let offset = usize::try_from(offset).ok()?;
        if offset.checked_add(size)? > self.len {
            return None;
        }
        // SAFETY: the offset is inside the mapping, as just checked.
        Some(unsafe { self.at.add(offset) })
    }

    /// The counter at `offset`, which the kernel reads or writes as well.
    pub fn counter(&self, offset: u64) -> Option<&AtomicU32> {
        let at = self.pointer(offset, size_of::<AtomicU32>())?.cast::<AtomicU32>();
        if !at.is_aligned() {
            return None;
        }
        // SAFETY: inside the mapping, which lives as long as the borrow, and aligned; any bytes are an AtomicU32.
        Some(unsafe { at.as_ref() })
    }

    /// The value at `offset`; zero outside.
    pub fn load<T: Plain>(&self, offset: u64) -> T {
        let Some(at) = self.pointer(offset, size_of::<T>()) else { return T::default() };
        // SAFETY: inside the mapping; any bytes are a T.
        unsafe { at.cast::<T>().read_unaligned() }
    }

    /// Stores a value at `offset`; nothing outside.
    pub fn store<T: Plain>(&self, offset: u64, value: T) {
        if let Some(at) = self.pointer(offset, size_of::<T>()) {
            // SAFETY: inside the mapping.
            unsafe { at.cast::<T>().write_unaligned(value) }
        }
    }

    /// The bytes at `offset`; `None` outside.
    ///
    /// # Safety
    /// Neither the kernel nor another thread writes them as long as the borrow lasts.
    pub unsafe fn bytes(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let at = self.pointer(offset, len)?;
        // SAFETY: inside the mapping and initialised (the kernel's pages are zeroed); the caller sees to the rest.
        Some(unsafe { std::slice::from_raw_parts(at.as_ptr(), len) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and borrows of it have ended.
        unsafe { libc::munmap(self.at.as_ptr().cast::<c_void>(), self.len) };
    }
}
