//! MDLs: descriptions of memory, whole or of a part of what another describes; and packets that share data by them.
//!
//! Where it sits: packets are made of them (`packets.rs`), which asks here whether those of the driver's share rightly.
//!
//! Spec: wdm.h; rules 54, 58 and 60 of the contract.

use std::ffi::c_void;
use std::ptr;

use ndis_sys::*;

use crate::kernel::{at_most, exports};
use crate::ledger::Owner;
use crate::world::{World, rule, with};

const PAGE: usize = 4096;

/// Memory of zeros.
pub(crate) unsafe fn zeroed(bytes: usize) -> *mut c_void {
    // SAFETY: any size may be asked for.
    unsafe {
        let p = libc::memalign(16, bytes.max(1));
        assert!(!p.is_null(), "memory");
        ptr::write_bytes(p.cast::<u8>(), 0, bytes);
        p
    }
}

/// An MDL of `bytes`, which has its own memory.
pub(crate) unsafe fn make_mdl(bytes: &[u8], mapped: bool) -> *mut MDL {
    // SAFETY: fresh memory of the right sizes.
    unsafe {
        let mdl = zeroed(size_of::<MDL>()).cast::<MDL>();
        let data = libc::malloc(bytes.len().max(1)).cast::<u8>();
        ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
        (*mdl).Size = size_of::<MDL>() as i16 + 8;
        (*mdl).StartVa = data.map_addr(|a| a & !4095).cast();
        (*mdl).ByteOffset = (data.addr() & 4095) as u32;
        (*mdl).ByteCount = bytes.len() as u32;
        if mapped {
            (*mdl).MdlFlags = MDL_MAPPED_TO_SYSTEM_VA;
            (*mdl).MappedSystemVa = data.cast();
        }
        mdl
    }
}

/// Maps what an MDL describes.
pub(crate) unsafe fn map(mdl: *mut MDL) {
    // SAFETY: an MDL whose memory is there.
    unsafe {
        (*mdl).MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
        if (*mdl).MdlFlags & MDL_PARTIAL != 0 {
            (*mdl).MdlFlags |= MDL_PARTIAL_HAS_BEEN_MAPPED;
        }
        (*mdl).MappedSystemVa = (*mdl).StartVa.byte_add((*mdl).ByteOffset as usize);
    }
}

/// MDLs of a packet's first frame.
unsafe fn mdls_of(list: *mut NET_BUFFER_LIST) -> Vec<*mut MDL> {
    // SAFETY: a whole packet.
    unsafe {
        let mut mdls = vec![(*(*list).FirstNetBuffer).MdlChain];
        while let Some(next) = mdls.last().map(|mdl| (**mdl).Next).filter(|next| !next.is_null()) {
            mdls.push(next);
        }
        mdls
    }
}

/// Whoever is below maps what is not mapped yet.
pub(crate) unsafe fn map_some(w: &mut World, list: *mut NET_BUFFER_LIST) {
    // SAFETY: a whole packet.
    let mdls = unsafe { mdls_of(list) };
    for mdl in mdls {
        // SAFETY: the packet's MDLs are there, and so is what they describe.
        unsafe {
            let is_mapped = (*mdl).MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0;
            if !is_mapped && w.random.once_in(2) {
                map(mdl);
            }
        }
    }
}

/// What a packet of the driver's breaks that shares data with a received one.
pub(crate) fn check_shared(w: &World, list: usize) -> Result<bool, String> {
    let list = list as *mut NET_BUFFER_LIST;
    // SAFETY: the packet is there.
    let (parent, mdls) = unsafe { ((*list).ParentNetBufferList as usize, mdls_of(list)) };
    // SAFETY: its MDLs are there.
    let is_partial = |mdl: &*mut MDL| unsafe { (**mdl).MdlFlags } & MDL_PARTIAL != 0;
    if parent == 0 && !mdls.iter().any(is_partial) {
        return Ok(false);
    }
    let kept = w.ledger.packets.get(&parent).is_some_and(|p| !p.made_by_driver && p.owner == Owner::Driver);
    if !kept {
        return Err("a packet shares the data of none that is kept for it (rule 58)".into());
    }
    let detail = |list: *mut NET_BUFFER_LIST| {
        // SAFETY: both packets are there.
        ForwardingDetail(unsafe { (*list).NetBufferListInfo[SwitchForwardingDetail] } as u64)
    };
    let (theirs, ours) = (detail(parent as *mut NET_BUFFER_LIST), detail(list));
    let own: usize = mdls
        .iter()
        .take_while(|mdl| !is_partial(mdl))
        .map(|mdl| {
            // SAFETY: as above.
            unsafe { (**mdl).ByteCount as usize }
        })
        .sum();
    if !theirs.data_is_safe() && (ours.data_is_safe() || usize::from(ours.safe_size()) > own) {
        return Err("memory that guests can write to is said to be safe (rule 54)".into());
    }
    Ok(true)
}

/// True if a packet of the driver's shares data with this one.
pub(crate) fn is_parent(w: &World, list: usize) -> bool {
    w.ledger.packets.iter().any(|(own, record)| {
        // SAFETY: packets in the ledger are there.
        record.made_by_driver
            && unsafe { (*(*own as *mut NET_BUFFER_LIST)).ParentNetBufferList as usize } == list
    })
}

pub(crate) unsafe fn data_of(mdl: *mut MDL) -> *mut u8 {
    // SAFETY: made by `make_mdl`, or the driver's over its own memory.
    unsafe {
        if (*mdl).MappedSystemVa.is_null() {
            (*mdl).StartVa.byte_add((*mdl).ByteOffset as usize).cast()
        } else {
            (*mdl).MappedSystemVa.cast()
        }
    }
}

exports! {
    fn MmMapLockedPagesSpecifyCache(
        mdl: *mut MDL,
        _mode: i8,
        _cache: i32,
        _address: *mut c_void,
        _bugcheck: u32,
        _priority: u32,
    ) -> *mut c_void {
        at_most(DISPATCH_LEVEL, "MmMapLockedPagesSpecifyCache");
        if with(|w| w.fails()) {
            return ptr::null_mut();
        }
        map(mdl);
        (*mdl).MappedSystemVa
    }

    fn NdisAllocateMdl(_handle: NDIS_HANDLE, address: *mut c_void, length: u32) -> *mut MDL {
        at_most(DISPATCH_LEVEL, "NdisAllocateMdl");
        if with(|w| w.fails()) {
            return ptr::null_mut();
        }
        let mdl = zeroed(size_of::<MDL>()).cast::<MDL>();
        (*mdl).MdlFlags = MDL_SOURCE_IS_NONPAGED_POOL;
        (*mdl).MappedSystemVa = address;
        (*mdl).StartVa = address.map_addr(|a| a & !4095);
        (*mdl).ByteOffset = (address.addr() & 4095) as u32;
        (*mdl).ByteCount = length;
        with(|w| w.ledger.mdls.insert(mdl as usize, length as usize));
        mdl
    }

    fn IoAllocateMdl(
        _address: *mut c_void,
        length: u32,
        _is_secondary: u8,
        _charges_quota: u8,
        _irp: *mut IRP,
    ) -> *mut MDL {
        at_most(DISPATCH_LEVEL, "IoAllocateMdl");
        if with(|w| w.fails()) {
            return ptr::null_mut();
        }
        let mdl = zeroed(size_of::<MDL>()).cast::<MDL>();
        with(|w| w.ledger.mdls.insert(mdl as usize, length as usize));
        mdl
    }

    fn IoFreeMdl(mdl: *mut MDL) {
        at_most(DISPATCH_LEVEL, "IoFreeMdl");
        rule((*mdl).MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED == 0, "an MDL is freed that is still mapped");
        rule(with(|w| w.ledger.mdls.remove(&(mdl as usize))).is_some(), "no such MDL (freed twice?)");
        libc::free(mdl.cast());
    }

    fn IoBuildPartialMdl(source: *mut MDL, target: *mut MDL, address: *mut c_void, length: u32) {
        at_most(DISPATCH_LEVEL, "IoBuildPartialMdl");
        let room = with(|w| w.ledger.mdls.get(&(target as usize)).copied());
        let pages = (address.addr() % PAGE + length as usize).div_ceil(PAGE);
        rule(room.is_some_and(|room| pages <= room.div_ceil(PAGE)), "an MDL is built in which there is no room");
        rule(
            (*target).MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED == 0,
            "an MDL is built anew that is still mapped",
        );
        let (from, of) = ((*source).StartVa.addr() + (*source).ByteOffset as usize, &*source);
        let offset = address.addr().wrapping_sub(from);
        rule(
            offset + length as usize <= of.ByteCount as usize,
            "a part of an MDL that lies outside of it",
        );
        let inherited = of.MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL);
        (*target).MdlFlags = inherited | MDL_PARTIAL;
        (*target).MappedSystemVa =
            if inherited == 0 { ptr::null_mut() } else { of.MappedSystemVa.byte_add(offset) };
        (*target).StartVa = address.map_addr(|a| a & !(PAGE - 1));
        (*target).ByteOffset = (address.addr() % PAGE) as u32;
        (*target).ByteCount = length;
    }

    fn MmUnmapLockedPages(address: *mut c_void, mdl: *mut MDL) {
        at_most(DISPATCH_LEVEL, "MmUnmapLockedPages");
        let flags = (*mdl).MdlFlags;
        rule(
            flags & MDL_MAPPED_TO_SYSTEM_VA != 0 && address == (*mdl).MappedSystemVa,
            "an MDL is unmapped that is not mapped there",
        );
        (*mdl).MdlFlags = flags & !(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED);
        (*mdl).MappedSystemVa = ptr::null_mut();
    }

    fn NdisFreeMdl(mdl: *mut MDL) {
        at_most(DISPATCH_LEVEL, "NdisFreeMdl");
        rule(with(|w| w.ledger.mdls.remove(&(mdl as usize))).is_some(), "no such MDL (freed twice?)");
        libc::free(mdl.cast());
    }
}
