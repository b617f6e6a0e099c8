//! A filter module's place in a Hyper-V switch: packets in and out, and the switch's own functions.
//!
//! Where it sits: made in FilterAttach; lives until FilterDetach.
//!
//! I1  Packets of ours carry this module's handle, a forwarding context and blocks of ours; they are told apart by the handle
//!     and undone in [`Switch::free`].
//! I2  Destinations are committed all at once, or none is.
//! I3  A packet of ours that shares data names the received packet as its parent, and counts there until it is freed.

use core::ops::Range;
use core::ptr::{self, NonNull};

use ndis_sys::*;

use crate::partial::{PartialMdls, is_partial};
use crate::{Block, Chain, Nbl, TAG, View};

/// MDLs for data that packets of ours share with received ones.
const PARTIAL_MDLS: usize = 1024;
/// Pieces of memory in which such data may lie.
const PARTS: usize = 16;

/// An adapter at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortNic {
    /// The port.
    pub port: u32,
    /// The adapter's index there.
    pub nic: u16,
}

/// Why a module cannot be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchError {
    /// This is no Hyper-V switch.
    NotASwitch(NDIS_STATUS),
    /// A function that every switch has is missing.
    Incomplete,
    /// Memory is short.
    NoMemory,
}

/// The functions that every switch has.
#[derive(Clone, Copy)]
struct Functions {
    allocate_context: unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST) -> NDIS_STATUS,
    free_context: unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST),
    set_source: unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST, u32, u16) -> NDIS_STATUS,
    add: unsafe extern "win64" fn(
        NDIS_HANDLE,
        *mut NET_BUFFER_LIST,
        *mut NDIS_SWITCH_PORT_DESTINATION,
    ) -> NDIS_STATUS,
    grow: unsafe extern "win64" fn(
        NDIS_HANDLE,
        *mut NET_BUFFER_LIST,
        u32,
        *mut *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
    ) -> NDIS_STATUS,
    get: unsafe extern "win64" fn(
        NDIS_HANDLE,
        *mut NET_BUFFER_LIST,
        *mut *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
    ),
    update: unsafe extern "win64" fn(
        NDIS_HANDLE,
        *mut NET_BUFFER_LIST,
        u32,
        *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
    ) -> NDIS_STATUS,
    reference_port: unsafe extern "win64" fn(NDIS_HANDLE, u32) -> NDIS_STATUS,
    dereference_port: unsafe extern "win64" fn(NDIS_HANDLE, u32) -> NDIS_STATUS,
    report: unsafe extern "win64" fn(
        NDIS_HANDLE,
        *mut UNICODE_STRING,
        *mut UNICODE_STRING,
        u32,
        u32,
        u32,
        *mut NET_BUFFER_LIST,
        *mut UNICODE_STRING,
    ),
}

/// The module's handles and pool.
pub struct Switch {
    filter: NDIS_HANDLE,
    context: NDIS_HANDLE,
    functions: Functions,
    pool: NDIS_HANDLE,
    partials: PartialMdls,
    /// Who we are in reports: the names that were registered.
    unique: UNICODE_STRING,
    friendly: UNICODE_STRING,
}

// SAFETY: handles are NDIS's, and its functions may be called on any processor at once.
unsafe impl Send for Switch {}
// SAFETY: as above.
unsafe impl Sync for Switch {}

fn functions(filter: NDIS_HANDLE) -> Result<(NDIS_HANDLE, Functions), SwitchError> {
    let mut context = ptr::null_mut();
    // SAFETY: all zeros are a valid value: handles of null and functions that are none.
    let mut handlers: NDIS_SWITCH_OPTIONAL_HANDLERS = unsafe { core::mem::zeroed() };
    handlers.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_SWITCH_OPTIONAL_HANDLERS,
        Revision: 1,
        Size: NDIS_SIZEOF_SWITCH_OPTIONAL_HANDLERS_REVISION_1,
    };
    // SAFETY: called in FilterAttach with the handle that it was given; the header says how much may be written.
    let status = unsafe { NdisFGetOptionalSwitchHandlers(filter, &mut context, &mut handlers) };
    if status != NDIS_STATUS_SUCCESS {
        return Err(SwitchError::NotASwitch(status));
    }
    let h = &handlers;
    let found = || {
        Some(Functions {
            allocate_context: h.AllocateNetBufferListForwardingContext?,
            free_context: h.FreeNetBufferListForwardingContext?,
            set_source: h.SetNetBufferListSource?,
            add: h.AddNetBufferListDestination?,
            grow: h.GrowNetBufferListDestinations?,
            get: h.GetNetBufferListDestinations?,
            update: h.UpdateNetBufferListDestinations?,
            reference_port: h.ReferenceSwitchPort?,
            dereference_port: h.DereferenceSwitchPort?,
            report: h.ReportFilteredNetBufferLists?,
        })
    };
    Ok((context, found().ok_or(SwitchError::Incomplete)?))
}

fn pool(filter: NDIS_HANDLE) -> Option<NDIS_HANDLE> {
    let parameters = NET_BUFFER_LIST_POOL_PARAMETERS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEFAULT,
            Revision: 1,
            Size: NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
        },
        ProtocolId: 0,
        fAllocateNetBuffer: 1,
        ContextSize: 0,
        PoolTag: TAG,
        DataSize: 0,
        Flags: 0,
    };
    // SAFETY: the parameters are whole for revision 1 and only read.
    let pool = unsafe { NdisAllocateNetBufferListPool(filter, &parameters) };
    (!pool.is_null()).then_some(pool)
}

impl Switch {
    /// The switch of the module that is being attached.
    ///
    /// # Safety
    /// `filter` is the handle that FilterAttach was given, and the value is dropped before FilterDetach returns.
    pub unsafe fn attach(
        filter: NDIS_HANDLE,
        unique: UNICODE_STRING,
        friendly: UNICODE_STRING,
    ) -> Result<Switch, SwitchError> {
        let (context, functions) = functions(filter)?;
        let partials = PartialMdls::try_new(PARTIAL_MDLS).ok_or(SwitchError::NoMemory)?;
        let pool = pool(filter).ok_or(SwitchError::NoMemory)?;
        Ok(Switch { filter, context, functions, pool, partials, unique, friendly })
    }

    /// The module's handle.
    pub fn filter(&self) -> NDIS_HANDLE {
        self.filter
    }

    /// True for a packet that this module made.
    pub fn is_own(&self, nbl: &Nbl) -> bool {
        // SAFETY: the packet is owned by whoever lends it.
        unsafe { (*nbl.as_ptr()).SourceHandle == self.filter }
    }

    /// Calls `f` while the port cannot go; `None` if it is going already.
    pub fn with_port<R>(&self, port: u32, f: impl FnOnce() -> R) -> Option<R> {
        // SAFETY: the switch's own context; each reference is given back below.
        if unsafe { (self.functions.reference_port)(self.context, port) } != NDIS_STATUS_SUCCESS {
            return None;
        }
        let result = f();
        // SAFETY: the port was referenced just before, with the same number.
        unsafe { (self.functions.dereference_port)(self.context, port) };
        Some(result)
    }

    /// Commits destinations; false, and none is committed, if memory is short.
    pub fn add_destinations(&self, nbl: &mut Nbl, mut to: impl ExactSizeIterator<Item = PortNic>) -> bool {
        if to.len() > 1 {
            return self.add_many(nbl, to);
        }
        to.next().is_none_or(|one| {
            let mut destination = destination(one);
            // SAFETY: the packet is ours and has a forwarding context, as all packets in a switch do.
            let status = unsafe { (self.functions.add)(self.context, nbl.as_ptr(), &mut destination) };
            status == NDIS_STATUS_SUCCESS
        })
    }

    fn add_many(&self, nbl: &mut Nbl, to: impl ExactSizeIterator<Item = PortNic>) -> bool {
        let n = to.len() as u32;
        let mut array: *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY = ptr::null_mut();
        // SAFETY: the packet is ours and has a forwarding context; the out pointer is to a local.
        unsafe {
            if u32::from(nbl.detail().available_destinations()) >= n {
                (self.functions.get)(self.context, nbl.as_ptr(), &mut array);
            } else {
                let status = (self.functions.grow)(self.context, nbl.as_ptr(), n, &mut array);
                if status != NDIS_STATUS_SUCCESS {
                    return false;
                }
            }
        }
        let Some(found) = NonNull::new(array) else { return false };
        // SAFETY: the switch returned the array, which is the packet's and stays until we give the packet away.
        let header = unsafe { *found.as_ref() };
        if header.NumElements.saturating_sub(header.NumDestinations) < n || header.FirstElement.is_null() {
            return false;
        }
        for (index, to) in (header.NumDestinations as usize..).zip(to) {
            // SAFETY: `index` is below NumElements, and elements are ElementSize apart and at least as large as ours.
            unsafe {
                let element = header.FirstElement.cast::<u8>().add(index * header.ElementSize as usize);
                element.cast::<NDIS_SWITCH_PORT_DESTINATION>().write(destination(to));
            }
        }
        // SAFETY: n elements behind those that count were written.
        let status = unsafe { (self.functions.update)(self.context, nbl.as_ptr(), n, found.as_ptr()) };
        status == NDIS_STATUS_SUCCESS
    }

    /// Tells the switch that we ended a packet that came from `port`. It counts, and traces the reason.
    pub fn report(&self, nbl: &Nbl, port: u32, reason: &UNICODE_STRING) {
        let (mut unique, mut friendly, mut reason) = (self.unique, self.friendly, *reason);
        let flags = NDIS_SWITCH_REPORT_FILTERED_NBL_FLAGS_IS_INCOMING;
        // SAFETY: the packet is owned by the lender and alone; strings are static, their headers locals.
        unsafe {
            (self.functions.report)(
                self.context,
                &mut unique,
                &mut friendly,
                port,
                flags,
                1,
                nbl.as_ptr(),
                &mut reason,
            );
        }
    }

    /// The `len` bytes of a received frame from `off` on, for a packet of ours to share; `None` if that is short of MDLs.
    pub fn share<'a>(&'a self, view: &View, off: usize, len: usize) -> Option<Shared<'a>> {
        let mut shared = Shared {
            switch: self,
            first: ptr::null_mut(),
            last: ptr::null_mut(),
            len,
            of: Some(view.clone()),
        };
        let mut left = PARTS;
        let whole = view.for_each_part(off, len, |mdl, at, n| {
            if left == 0 {
                return false;
            }
            left -= 1;
            // SAFETY: the MDL has these bytes, and stays as long as the view, or the packet that counts in its place.
            let part = unsafe { self.partials.take(mdl, at, n) };
            part.into_iter().for_each(|part| shared.push(part));
            part.is_some()
        });
        whole.then_some(shared)
    }

    /// Makes a packet of `pieces`, whose blocks go back to their pool if it fails, and of what it shares behind them. Slots are set
    /// as `origin` says, all others are empty.
    pub fn assemble(
        &self,
        pieces: impl Iterator<Item = (Block, Range<usize>)>,
        shared: Option<Shared<'_>>,
        Origin { source, info }: Origin<'_>,
    ) -> Option<Nbl> {
        let Pieces { first: mdls, mut last, start, mut length } = chain(pieces)?;
        let safe = length;
        let mut parent = None;
        if let Some(shared) = shared {
            length = length.saturating_add(shared.len);
            let (first, view) = shared.into_parts();
            // SAFETY: the last MDL is one of ours, in no packet yet.
            unsafe { last.as_mut().Next = first };
            parent = view;
        }
        // SAFETY: the pool is this module's; the MDLs cover `start + length` bytes and are ours.
        let nbl = unsafe {
            NdisAllocateNetBufferAndNetBufferList(self.pool, 0, 0, mdls.as_ptr(), start as u32, length)
        };
        let Some(nbl) = NonNull::new(nbl) else {
            // SAFETY: the MDLs come from `chain` and `share`, and are in no packet.
            unsafe { self.unchain(mdls.as_ptr()) };
            return None;
        };
        // SAFETY: NDIS made the packet for us, alone and with a null link.
        let mut nbl = unsafe {
            (*nbl.as_ptr()).SourceHandle = self.filter;
            Nbl::from_raw(nbl)
        };
        // SAFETY: one fresh packet, with our handle as its source.
        let status = unsafe { (self.functions.allocate_context)(self.context, nbl.as_ptr()) };
        if status != NDIS_STATUS_SUCCESS {
            // The view counts until here.
            let _ = self.free_list(nbl);
            return None;
        }
        let detail = nbl.detail();
        let detail = match parent {
            None => detail.with_data_safe(),
            Some(view) => {
                let of = view.packet();
                // It counts from here on in the view's place.
                core::mem::forget(view);
                // SAFETY: the packets are both ours; the parent's words are as it came.
                unsafe {
                    (*nbl.as_ptr()).ParentNetBufferList = of.as_ptr();
                    let theirs = (*of.as_ptr()).NetBufferListInfo.get(SwitchForwardingDetail).copied();
                    match ForwardingDetail(theirs.unwrap_or(0) as u64).data_is_safe() {
                        true => detail.with_data_safe(),
                        false => detail.with_safe_size(safe.min(0xfff) as u16),
                    }
                }
            }
        };
        nbl.set_info(SwitchForwardingDetail, detail.0);
        if let Some(source) = source {
            // SAFETY: the packet has a forwarding context of ours.
            let set =
                unsafe { (self.functions.set_source)(self.context, nbl.as_ptr(), source.port, source.nic) };
            if set != NDIS_STATUS_SUCCESS {
                // Its parent is not parked: whoever shares its data has it in hand.
                let _ = self.free(nbl);
                return None;
            }
        }
        for (slot, value) in info {
            nbl.set_info(*slot, *value);
        }
        Some(nbl)
    }

    /// Frees a packet that [`Switch::assemble`] made. If it was the last to share a parked packet's data, that is returned.
    #[must_use]
    pub fn free(&self, nbl: Nbl) -> Option<Nbl> {
        // SAFETY: the packet is ours and has a forwarding context, which goes before it.
        unsafe { (self.functions.free_context)(self.context, nbl.as_ptr()) };
        self.free_list(nbl)
    }

    /// The same for a packet without a forwarding context.
    fn free_list(&self, nbl: Nbl) -> Option<Nbl> {
        let nbl = nbl.into_raw().as_ptr();
        // SAFETY: `assemble` made the packet with one frame whose MDLs are ours; nobody else has it. It counts at its parent, if
        // it has one, until its MDLs are given back.
        unsafe {
            let mdls = NonNull::new((*nbl).FirstNetBuffer).map_or(ptr::null_mut(), |nb| nb.as_ref().MdlChain);
            let parent = NonNull::new((*nbl).ParentNetBufferList);
            NdisFreeNetBufferList(nbl);
            self.unchain(mdls);
            Nbl::unshare(parent?)
        }
    }

    /// Gives the MDLs of a chain back, and blocks with theirs.
    ///
    /// # Safety
    /// The chain came from [`chain`] and [`Switch::share`], and is in no packet any more.
    unsafe fn unchain(&self, mut mdl: *mut MDL) {
        while let Some(this) = NonNull::new(mdl) {
            // SAFETY: see above; the link is read before the MDL is given up.
            unsafe {
                mdl = this.as_ref().Next;
                if is_partial(this) {
                    self.partials.give_back(this);
                } else {
                    drop(Block::from_mdl(this));
                }
            }
        }
    }

    /// Passes packets on, at DISPATCH_LEVEL. They come back through FilterSendNetBufferListsComplete, perhaps from inside.
    pub fn send(&self, chain: Chain, flags: u32) {
        const PORT: u32 = 0;
        let flags = flags | NDIS_SEND_FLAGS_DISPATCH_LEVEL;
        // SAFETY: the packets are ours and given away; the processor is at DISPATCH_LEVEL.
        unsafe { NdisFSendNetBufferLists(self.filter, chain.into_raw(), PORT, flags) }
    }

    /// Gives packets back that FilterSendNetBufferLists brought, at DISPATCH_LEVEL.
    pub fn complete(&self, chain: Chain, flags: u32) {
        let flags = flags | NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL;
        // SAFETY: the packets came from there, are as they were, and are given away; the processor is at DISPATCH_LEVEL.
        unsafe { NdisFSendNetBufferListsComplete(self.filter, chain.into_raw(), flags) }
    }

    /// Ends a pause that FilterPause said was pending.
    pub fn pause_complete(&self) {
        // SAFETY: the caller is the one that ended the pause.
        unsafe { NdisFPauseComplete(self.filter) }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // SAFETY: every packet of the pool is back: the module was paused before it was detached.
        unsafe { NdisFreeNetBufferListPool(self.pool) }
    }
}

fn destination(to: PortNic) -> NDIS_SWITCH_PORT_DESTINATION {
    /// PreserveVLAN and PreservePriority: tags are the bridges' matter, not the switch's.
    const PRESERVE: u16 = 1 << 1 | 1 << 2;
    NDIS_SWITCH_PORT_DESTINATION { PortId: to.port, NicIndex: to.nic, Flags: PRESERVE }
}

/// Where a packet of ours comes from, and what is beside it.
pub struct Origin<'a> {
    /// The adapter; `None` for the extension itself.
    pub source: Option<PortNic>,
    /// Slots of its out-of-band information, with their words.
    pub info: &'a [(usize, u64)],
}

/// Data of a received packet that a packet of ours is to share. The received one cannot be given away meanwhile.
pub struct Shared<'a> {
    switch: &'a Switch,
    first: *mut MDL,
    last: *mut MDL,
    len: usize,
    /// Counts as one that shares.
    of: Option<View>,
}

impl Shared<'_> {
    fn push(&mut self, mdl: NonNull<MDL>) {
        match NonNull::new(self.last) {
            None => self.first = mdl.as_ptr(),
            // SAFETY: the last MDL is ours, and in no packet yet.
            Some(mut last) => unsafe { last.as_mut().Next = mdl.as_ptr() },
        }
        self.last = mdl.as_ptr();
    }

    /// Its MDLs, and what counts.
    fn into_parts(mut self) -> (*mut MDL, Option<View>) {
        (core::mem::replace(&mut self.first, ptr::null_mut()), self.of.take())
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        // SAFETY: the MDLs are in no packet, or were taken out.
        unsafe { self.switch.unchain(self.first) }
    }
}

/// Blocks as a chain of MDLs: where the bytes begin in the first, and how many there are.
struct Pieces {
    first: NonNull<MDL>,
    last: NonNull<MDL>,
    start: usize,
    length: usize,
}

/// Chains the blocks' MDLs. The ranges of all but the first begin at zero.
fn chain(pieces: impl Iterator<Item = (Block, Range<usize>)>) -> Option<Pieces> {
    let mut all: Option<Pieces> = None;
    for (block, range) in pieces {
        let mdl = block.into_mdl(range.end);
        match &mut all {
            None => all = Some(Pieces { first: mdl, last: mdl, start: range.start, length: range.len() }),
            Some(all) => {
                // SAFETY: the last MDL is a block's that we gave up just now.
                unsafe { all.last.as_mut().Next = mdl.as_ptr() };
                (all.last, all.length) = (mdl, all.length.saturating_add(range.len()));
            }
        }
    }
    all
}
