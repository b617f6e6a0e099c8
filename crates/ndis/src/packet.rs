//! Packets: a NET_BUFFER_LIST as a value that one owns, and views of its frames.
//!
//! Where it sits: made from what NDIS's callbacks bring, given away through [`crate::Switch`].
//!
//! ~~~text
//! NET_BUFFER_LIST ─► NET_BUFFER ─► MDL ─► bytes          DataLength bytes from CurrentMdlOffset in CurrentMdl on,
//!                    NET_BUFFER        MDL ─► bytes      over as many MDLs as it takes
//! ~~~
//!
//! I1  An [`Nbl`] is alone: its link is null, and it stands for the right to give it away once.
//! I2  A view counts in the packet's scratch word, which belongs to the packet's owner. A packet that is given away while
//!     it is viewed ends the system rather than be read after it is gone.
//! I3  Bytes are copied out, never lent: a guest may be writing to them.
//! I4  A packet of ours that shares data with a received one counts there as a view does; the received one is parked until
//!     the last of them is freed.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use ndis_sys::*;

use crate::{Broken, bugcheck};

/// In the count of views: the packet is set aside.
const PARKED: usize = 1 << (usize::BITS - 1);

/// A packet that one owns.
pub struct Nbl(NonNull<NET_BUFFER_LIST>);

// SAFETY: whoever has the value has the packet alone; NDIS lets packets move between processors.
unsafe impl Send for Nbl {}

impl Nbl {
    /// Takes a packet over.
    ///
    /// # Safety
    /// The caller owns the packet and forgets it; its link is null.
    pub(crate) unsafe fn from_raw(nbl: NonNull<NET_BUFFER_LIST>) -> Nbl {
        let nbl = Nbl(nbl);
        nbl.views().store(0, Ordering::Relaxed);
        nbl
    }

    /// Sets the packet aside until no packet shares its data any more: [`crate::Switch::free`] of the last returns it. If none
    /// does, it is returned at once.
    pub fn park(self) -> Option<Nbl> {
        if self.views().fetch_add(PARKED, Ordering::AcqRel) != 0 {
            return None;
        }
        self.views().store(0, Ordering::Relaxed);
        Some(self)
    }

    /// Counts one packet less that shares this one's data; the packet, if it was the last, and it is parked.
    ///
    /// # Safety
    /// The other one counted until now.
    pub(crate) unsafe fn unshare(parent: NonNull<NET_BUFFER_LIST>) -> Option<Nbl> {
        // SAFETY: the packet is kept as long as the other one counts; after the last, whoever sees that has it alone.
        unsafe {
            let word = AtomicUsize::from_ptr((&raw mut (*parent.as_ptr()).Scratch).cast());
            (word.fetch_sub(1, Ordering::AcqRel) == PARKED | 1).then(|| Nbl::from_raw(parent))
        }
    }

    /// Gives the packet away.
    pub(crate) fn into_raw(self) -> NonNull<NET_BUFFER_LIST> {
        if self.views().load(Ordering::Acquire) != 0 {
            bugcheck(Broken::PacketIsViewed);
        }
        self.0
    }

    /// The count of views: the scratch word is the owner's while it owns the packet.
    fn views(&self) -> &AtomicUsize {
        // SAFETY: the packet is ours, so its memory is there; the word is aligned and used in no other way.
        unsafe { AtomicUsize::from_ptr((&raw mut (*self.0.as_ptr()).Scratch).cast()) }
    }

    pub(crate) fn as_ptr(&self) -> *mut NET_BUFFER_LIST {
        self.0.as_ptr()
    }

    /// A slot of the packet's out-of-band information.
    pub fn info(&self, slot: usize) -> u64 {
        // SAFETY: the packet is ours; the slots declared are those that every system has.
        unsafe { (*self.0.as_ptr()).NetBufferListInfo.get(slot).map_or(0, |word| *word as u64) }
    }

    /// Sets a slot.
    pub(crate) fn set_info(&mut self, slot: usize, value: u64) {
        // SAFETY: the packet is ours and borrowed exclusively.
        unsafe {
            if let Some(word) = (*self.0.as_ptr()).NetBufferListInfo.get_mut(slot) {
                *word = value as usize;
            }
        }
    }

    /// The switch's word on the packet.
    pub fn detail(&self) -> ForwardingDetail {
        ForwardingDetail(self.info(SwitchForwardingDetail))
    }

    /// Sets how the packet ended.
    pub fn set_status(&mut self, status: NDIS_STATUS) {
        // SAFETY: the packet is ours and borrowed exclusively.
        unsafe { (*self.0.as_ptr()).Status = status }
    }

    /// How many frames it has.
    pub fn frames(&self) -> u16 {
        let mut n = 0u16;
        let mut nb = self.frame(0);
        while let Some(frame) = nb {
            n = n.saturating_add(1);
            // SAFETY: frames of a packet that is ours are there, linked, and end in null.
            nb = NonNull::new(unsafe { frame.as_ref().Next });
        }
        n
    }

    fn frame(&self, index: u16) -> Option<NonNull<NET_BUFFER>> {
        // SAFETY: the packet is ours; its frames are linked and end in null.
        unsafe {
            let mut nb = NonNull::new((*self.0.as_ptr()).FirstNetBuffer)?;
            for _ in 0..index {
                nb = NonNull::new(nb.as_ref().Next)?;
            }
            Some(nb)
        }
    }

    /// A view of frame `index`.
    pub fn view(&self, index: u16) -> Option<View> {
        let frame = self.frame(index)?;
        self.views().fetch_add(1, Ordering::Relaxed);
        // SAFETY: the address of a field of a packet that is ours is not null.
        let views = unsafe { NonNull::new_unchecked(ptr::from_ref(self.views()).cast_mut()) };
        Some(View { frame, views })
    }
}

impl core::fmt::Debug for Nbl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Nbl({:p})", self.0)
    }
}

/// A frame of a packet, to be read; the packet cannot be given away as long as there is one.
pub struct View {
    frame: NonNull<NET_BUFFER>,
    views: NonNull<AtomicUsize>,
}

// SAFETY: a view only reads, and the packet stays as long as it counts.
unsafe impl Send for View {}

impl View {
    /// Bytes of the frame.
    pub fn len(&self) -> usize {
        // SAFETY: the view keeps the packet, of which the frame is a part.
        unsafe { self.frame.as_ref().DataLength as usize }
    }

    /// True for a frame without bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the bytes from `off` on to `out`; returns how many there were to copy.
    pub fn copy_out(&self, off: usize, out: &mut [u8]) -> usize {
        let want = self.len().saturating_sub(off).min(out.len());
        let mut pieces = Pieces::of(self);
        let (mut skip, mut done) = (off, 0);
        while done < want {
            let Some((from, len)) = pieces.next() else { break };
            let n = len.saturating_sub(skip).min(want - done);
            if n != 0 {
                let Some(to) = out.get_mut(done..done + n) else { break };
                // SAFETY: the piece has `len` readable bytes, of which `skip + n` are at most all; `to` is ours and has n.
                unsafe { ptr::copy_nonoverlapping(from.add(skip), to.as_mut_ptr(), n) };
            }
            done += n;
            skip = skip.saturating_sub(len);
        }
        done
    }

    /// The packet that the frame is of.
    pub(crate) fn packet(&self) -> NonNull<NET_BUFFER_LIST> {
        // SAFETY: the word lies in the packet, which is there and not at the address zero.
        unsafe {
            let word = self.views.as_ptr().byte_sub(core::mem::offset_of!(NET_BUFFER_LIST, Scratch));
            NonNull::new_unchecked(word.cast())
        }
    }

    /// Calls `each` with every MDL that has bytes of the frame from `off` on, up to `len` of them, and where they are in it;
    /// false, and it stops, if `each` says so, or there are fewer.
    pub(crate) fn for_each_part(
        &self,
        mut off: usize,
        mut len: usize,
        mut each: impl FnMut(NonNull<MDL>, usize, usize) -> bool,
    ) -> bool {
        // SAFETY: the view keeps the packet, of which the frame is a part, with its MDLs, which are linked and end in null.
        let (mut next, start) =
            unsafe { (self.frame.as_ref().CurrentMdl, self.frame.as_ref().CurrentMdlOffset as usize) };
        off = off.saturating_add(start);
        while len != 0 {
            let Some(mdl) = NonNull::new(next) else { return false };
            // SAFETY: as above.
            let (after, count) = unsafe { (mdl.as_ref().Next, mdl.as_ref().ByteCount as usize) };
            next = after;
            let n = count.saturating_sub(off).min(len);
            if n != 0 && !each(mdl, off, n) {
                return false;
            }
            (off, len) = (off.saturating_sub(count), len - n);
        }
        true
    }

    /// True if the frame begins with `bytes`.
    pub fn starts_with(&self, bytes: &[u8]) -> bool {
        let mut part = [0; 64];
        let mut off = 0;
        for chunk in bytes.chunks(part.len()) {
            let Some(room) = part.get_mut(..chunk.len()) else { return false };
            if self.copy_out(off, room) != chunk.len() || room != chunk {
                return false;
            }
            off += chunk.len();
        }
        true
    }
}

impl Clone for View {
    fn clone(&self) -> View {
        // SAFETY: this view counts, so the packet and its word are there.
        unsafe { self.views.as_ref() }.fetch_add(1, Ordering::Relaxed);
        View { frame: self.frame, views: self.views }
    }
}

impl Drop for View {
    // out of line, as the block's: the core drops frames in many places, and kernel frames are small
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: this view counts until here, so the packet and its word are there.
        unsafe { self.views.as_ref() }.fetch_sub(1, Ordering::Release);
    }
}

/// The contiguous pieces of a frame, in order.
struct Pieces<'a> {
    mdl: *mut MDL,
    offset: usize,
    of: PhantomData<&'a View>,
}

impl<'a> Pieces<'a> {
    fn of(view: &'a View) -> Pieces<'a> {
        // SAFETY: the view keeps the packet; a frame's fields are set by whoever made it and not changed while we own it.
        let nb = unsafe { view.frame.as_ref() };
        Pieces { mdl: nb.CurrentMdl, offset: nb.CurrentMdlOffset as usize, of: PhantomData }
    }

    /// The next piece: its address and length.
    fn next(&mut self) -> Option<(*const u8, usize)> {
        let mdl = NonNull::new(self.mdl)?;
        // SAFETY: MDLs of a packet that is kept are there, linked, and end in null.
        let (next, len) = unsafe { (mdl.as_ref().Next, mdl.as_ref().ByteCount as usize) };
        let start = system_address(mdl)?;
        let offset = core::mem::take(&mut self.offset).min(len);
        self.mdl = next;
        // SAFETY: the mapping has `len` bytes, and the offset is at most that.
        Some((unsafe { start.add(offset) }, len - offset))
    }
}

/// The address of an MDL's buffer in the system's space, mapping it if need be; `None` if memory is short.
pub(crate) fn system_address(mdl: NonNull<MDL>) -> Option<*const u8> {
    /// MdlMappingNoExecute | NormalPagePriority.
    const PRIORITY: u32 = 0x4000_0000 | 16;
    const KERNEL_MODE: i8 = 0;
    const CACHED: i32 = 1;
    // SAFETY: the MDL is there (see `Pieces::next`), and its pages are locked as those of every packet's are.
    let address = unsafe {
        if mdl.as_ref().MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0 {
            mdl.as_ref().MappedSystemVa
        } else {
            MmMapLockedPagesSpecifyCache(mdl.as_ptr(), KERNEL_MODE, CACHED, ptr::null_mut(), 0, PRIORITY)
        }
    };
    (!address.is_null()).then_some(address.cast_const().cast())
}

/// Packets in order, linked through their own memory.
#[derive(Debug)]
pub struct Chain {
    first: *mut NET_BUFFER_LIST,
    last: *mut NET_BUFFER_LIST,
}

// SAFETY: as for the packets in it.
unsafe impl Send for Chain {}

impl Default for Chain {
    fn default() -> Self {
        Chain { first: ptr::null_mut(), last: ptr::null_mut() }
    }
}

impl Chain {
    /// Takes over a list that NDIS gave.
    ///
    /// # Safety
    /// The caller owns every packet of the list and forgets them.
    pub unsafe fn from_raw(first: *mut NET_BUFFER_LIST) -> Chain {
        let mut last = first;
        // SAFETY: a list's packets are there, linked, and end in null.
        unsafe {
            while let Some(next) = NonNull::new(last).and_then(|l| NonNull::new(l.as_ref().Next)) {
                last = next.as_ptr();
            }
        }
        Chain { first, last }
    }

    /// Gives the list away.
    pub(crate) fn into_raw(self) -> *mut NET_BUFFER_LIST {
        self.first
    }

    /// Takes the first packet.
    pub fn pop(&mut self) -> Option<Nbl> {
        let first = NonNull::new(self.first)?;
        // SAFETY: packets of the chain are ours; the first leaves it, and its link with it.
        unsafe {
            self.first = first.as_ref().Next;
            (*first.as_ptr()).Next = ptr::null_mut();
            if self.first.is_null() {
                self.last = ptr::null_mut();
            }
            Some(Nbl::from_raw(first))
        }
    }

    /// Appends a packet.
    pub fn push(&mut self, nbl: Nbl) {
        let nbl = nbl.into_raw().as_ptr();
        match NonNull::new(self.last) {
            None => self.first = nbl,
            // SAFETY: the last packet is ours, as all of the chain.
            Some(last) => unsafe { (*last.as_ptr()).Next = nbl },
        }
        self.last = nbl;
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_null()
    }
}
