//! Memory for packets that devices and the kernel read and write in place: one arena for all ports, handed out by the allocator.
//!
//! Where it sits: a program whose ports are of type afxdp makes [`PacketMemory`] its allocator; `xdp` tells the kernel of the arena.
//!
//! ~~~text
//!   a frame's buffer of FRAME bytes ──► allocator ──► arena:  | chunk | chunk | chunk | …    while it has any
//!   everything else, and the rest   ──►           ──► the system's allocator
//! ~~~
//!
//! So a received packet lies in an ordinary frame, which passes through the datapath as any other, and is where the next port's device
//! finds it. Nobody between knows of it.
//!
//! I1  A chunk is on the stack of free ones, or it is allocated: by whoever has the frame.
//! I2  The arena is made once, and stays.
#![allow(unsafe_code)] // an allocator; mmap

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::ptr::{copy_nonoverlapping, null_mut, write_bytes};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes of a chunk: a page, the most that the kernel allows.
pub(crate) const CHUNK: usize = 4096;
/// Bytes of the buffers that lie in chunks, which the allocator knows by this size.
const FRAME: usize = netdev::BufferPool::PAGE;
const _: () = assert!(FRAME <= CHUNK);
/// Chunks of the arena: 64 MB.
pub(crate) const CHUNKS: u32 = 16_384;
/// Bytes of the arena.
pub(crate) const ARENA: usize = CHUNKS as usize * CHUNK;

/// The arena's address; zero before it is made.
static START: AtomicUsize = AtomicUsize::new(0);
/// The free chunks, a stack: the number of the top, plus one, and in the upper half how often the stack was changed, so that a chunk that comes
/// back meanwhile is not taken for one that never left.
static FREE: AtomicU64 = AtomicU64::new(0);
/// Of each free chunk: the one below it, plus one.
static BELOW: [AtomicU32; CHUNKS as usize] = [const { AtomicU32::new(0) }; CHUNKS as usize];
/// How many are free, for whoever plans.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Makes the arena, if it is not there yet; its address.
///
/// # Errors
/// There is no memory.
pub(crate) fn open() -> io::Result<usize> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match START.load(Ordering::Acquire) {
        0 => {}
        start => return Ok(start),
    }
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that is there already.
    let at = unsafe { libc::mmap(null_mut(), ARENA, protection, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    START.store(at.expose_provenance(), Ordering::Release);
    (0..CHUNKS).rev().for_each(push);
    Ok(at.addr())
}

/// Where `bytes` are in the arena; `None` if they are elsewhere.
#[inline]
pub(crate) fn offset_of(bytes: &[u8]) -> Option<u64> {
    let start = START.load(Ordering::Relaxed);
    let offset = bytes.as_ptr().addr().wrapping_sub(start);
    (start != 0 && offset < ARENA).then_some(offset as u64)
}

fn push(chunk: u32) {
    let Some(below) = BELOW.get(chunk as usize) else { return };
    let mut top = FREE.load(Ordering::Relaxed);
    loop {
        below.store(top as u32, Ordering::Relaxed);
        let next = changed(top) | u64::from(chunk + 1);
        match FREE.compare_exchange_weak(top, next, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => break,
            Err(now) => top = now,
        }
    }
    COUNT.fetch_add(1, Ordering::Relaxed);
}

fn pop() -> Option<u32> {
    let mut top = FREE.load(Ordering::Acquire);
    loop {
        let chunk = (top as u32).checked_sub(1)?;
        let next = changed(top) | u64::from(BELOW.get(chunk as usize)?.load(Ordering::Relaxed));
        match FREE.compare_exchange_weak(top, next, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {
                COUNT.fetch_sub(1, Ordering::Relaxed);
                return Some(chunk);
            }
            Err(now) => top = now,
        }
    }
}

/// The upper half of what follows `top`.
fn changed(top: u64) -> u64 {
    (top >> 32).wrapping_add(1) << 32
}

/// The allocator of a program with packets in the arena: the system's, but for frames' buffers of one chunk.
#[derive(Debug)]
pub struct PacketMemory;

impl PacketMemory {
    /// Frames' buffers that are free in the arena, about; zero before a port has made it.
    pub fn free() -> u32 {
        COUNT.load(Ordering::Relaxed)
    }
}

/// True for what is allocated in the arena.
#[inline]
fn is_chunk(layout: Layout) -> bool {
    layout.size() == FRAME && layout.align() <= CHUNK
}

fn take() -> Option<*mut u8> {
    let start = Some(START.load(Ordering::Acquire)).filter(|start| *start != 0)?;
    let chunk = pop()?;
    Some(std::ptr::with_exposed_provenance_mut(start + chunk as usize * CHUNK))
}

/// The number of the chunk at `at`.
fn chunk_at(at: *mut u8) -> Option<u32> {
    let start = START.load(Ordering::Acquire);
    let offset = at.addr().wrapping_sub(start);
    (start != 0 && offset < ARENA).then_some((offset / CHUNK) as u32)
}

// SAFETY: a chunk is CHUNK bytes of a mapping that stays, aligned to its size; `pop` gives it to one caller until `push` takes it back
// (I1). All else is the system's allocator, which gets back only what it gave: memory of the arena is known by its address.
unsafe impl GlobalAlloc for PacketMemory {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let chunk = if is_chunk(layout) { take() } else { None };
        // SAFETY: as the caller sees to.
        chunk.unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match if is_chunk(layout) { take() } else { None } {
            Some(at) => {
                // SAFETY: the chunk is ours, and so long.
                unsafe { write_bytes(at, 0, FRAME) };
                at
            }
            // SAFETY: as the caller sees to.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        match if is_chunk(layout) { chunk_at(at) } else { None } {
            Some(chunk) => push(chunk),
            // SAFETY: as the caller sees to; it is not of the arena, so that the system gave it.
            None => unsafe { System.dealloc(at, layout) },
        }
    }

    #[inline]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(chunk) = (if is_chunk(layout) { chunk_at(at) } else { None }) else {
            // SAFETY: as in `dealloc`.
            return unsafe { System.realloc(at, layout, size) };
        };
        // SAFETY: the caller sees to it that the size is one of a layout with this alignment.
        let new = unsafe { System.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both are so long at least, and the new memory is nobody else's.
            unsafe { copy_nonoverlapping(at, new, size.min(FRAME)) };
            push(chunk);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads take chunks, write to them and give them back: none is lost, none is two's.
    #[test]
    fn a_chunk_is_one_owner_s() {
        open().unwrap();
        let work = |mark: u8| {
            let layout = Layout::from_size_align(FRAME, 1).unwrap();
            let mut have: Vec<*mut u8> = Vec::new();
            for round in 0..20_000_usize {
                if round * 7 % 16 < 9 || have.is_empty() {
                    // SAFETY: the layout has a size.
                    let at = unsafe { PacketMemory.alloc(layout) };
                    // SAFETY: it is this thread's, and so long.
                    unsafe { write_bytes(at, mark, FRAME) };
                    have.push(at);
                } else {
                    let at = have.swap_remove(round % have.len());
                    // SAFETY: allocated above, and written.
                    let bytes = unsafe { std::slice::from_raw_parts(at, FRAME) };
                    assert!(bytes.iter().all(|byte| *byte == mark));
                    // SAFETY: allocated above with this layout.
                    unsafe { PacketMemory.dealloc(at, layout) };
                }
            }
            // SAFETY: allocated above with this layout.
            have.into_iter().for_each(|at| unsafe { PacketMemory.dealloc(at, layout) });
        };
        std::thread::scope(|s| (1..=4).for_each(|mark| _ = s.spawn(move || work(mark))));
        assert_eq!(PacketMemory::free(), CHUNKS);
        let all: std::collections::BTreeSet<u32> = std::iter::from_fn(pop).collect();
        assert_eq!((all.len(), all.last()), (CHUNKS as usize, Some(&(CHUNKS - 1))), "each is there once");
        all.into_iter().for_each(push);
    }

    #[test]
    fn memory_that_grows_leaves_the_arena() {
        open().unwrap();
        let layout = Layout::from_size_align(FRAME, 1).unwrap();
        // SAFETY: the layout has a size; each result is of the size that was asked for.
        unsafe {
            let at = PacketMemory.alloc_zeroed(layout);
            let bytes = std::slice::from_raw_parts_mut(at, FRAME);
            assert!(offset_of(bytes).is_some() && bytes.iter().all(|byte| *byte == 0));
            bytes.fill(7);
            let at = PacketMemory.realloc(at, layout, 2 * FRAME);
            let bytes = std::slice::from_raw_parts(at, FRAME);
            assert!(offset_of(bytes).is_none() && bytes.iter().all(|byte| *byte == 7));
            PacketMemory.dealloc(at, Layout::from_size_align(2 * FRAME, 1).unwrap());
        }
        assert_eq!(PacketMemory::free(), CHUNKS);
    }
}
