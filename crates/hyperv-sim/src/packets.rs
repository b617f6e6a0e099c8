//! Packets: made for guests and the wire, passed through the driver, delivered, given back.
//!
//! Where it sits: guests call [`to_driver`]; the driver's calls come in through the exported functions.
//!
//! A packet is made as awkwardly as the rules allow: bytes split over MDLs at any place, some of them empty or not mapped,
//! unused bytes in front, several frames in one list. In a world that is plain, a frame is one mapped piece.
//!
//! Spec: NET_BUFFER_LIST ownership on the send path; rules 39 to 67 of the contract.

use std::ffi::c_void;
use std::ptr;

use ndis_sys::*;
use switch_ext::NicId;

use crate::fault::{Fault, goes_wrong};
use crate::filter::{Stage, at_level, callbacks, context, is_filter};
use crate::kernel::{at_most, exports, handle, in_the_driver};
use crate::ledger::{Owner, PacketRecord};
use crate::mdl::{check_shared, data_of, is_parent, make_mdl, map_some, zeroed};
use crate::policies;
use crate::processors::{level, reschedule};
use crate::world::{World, broken, rule, with};

/// What later systems' NET_BUFFER_LIST takes.
const LIST_SIZE: usize = 368;
/// A status that nobody may complete with: the packet's is not set yet.
const UNSET: NDIS_STATUS = 0x7777;

/// What a frame brings beside its bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutOfBand {
    pub checksum: u64,
    /// Word of large sends.
    pub large_send: u64,
    pub vlan: u64,
    /// Guests can write to the frame's memory.
    pub unsafe_data: bool,
    /// The switch forwards it by itself.
    pub native: bool,
}

/// A frame over MDLs of random sizes.
unsafe fn make_frame(w: &mut World, frame: &[u8]) -> *mut NET_BUFFER {
    // SAFETY: fresh memory of the right sizes, linked before anybody sees it.
    unsafe {
        let nb = zeroed(size_of::<NET_BUFFER>()).cast::<NET_BUFFER>();
        let is_awkward = !w.is_plain;
        let unused = if is_awkward { w.random.below(3) * w.random.below(40) } else { 0 };
        let mut bytes = vec![0xee; unused];
        bytes.extend_from_slice(frame);
        let mut rest = &bytes[..];
        let mut link = &raw mut (*nb).MdlChain;
        let whole = !is_awkward || w.random.once_in(2);
        while !rest.is_empty() {
            // Of large frames the pieces are larger: each may fail to be mapped, and some frame has to get through.
            let most = 200.max(frame.len() / 4);
            let n = if whole { rest.len() } else { (1 + w.random.below(most)).min(rest.len()) };
            let n = if is_awkward && w.random.once_in(12) { 0 } else { n };
            let mapped = !is_awkward || !w.random.once_in(4);
            *link = make_mdl(&rest[..n], mapped);
            link = &raw mut (**link).Next;
            rest = &rest[n..];
        }
        (*nb).DataOffset = unused as u32;
        (*nb).DataLength = frame.len() as u32;
        let (mut mdl, mut offset) = ((*nb).MdlChain, unused as u32);
        while !mdl.is_null() && offset >= (*mdl).ByteCount && !(*mdl).Next.is_null() {
            offset -= (*mdl).ByteCount;
            mdl = (*mdl).Next;
        }
        (*nb).CurrentMdl = mdl;
        (*nb).CurrentMdlOffset = offset;
        nb
    }
}

/// A packet from `source`, of frames of one flow.
fn make(w: &mut World, source: NicId, frames: &[Vec<u8>], oob: &OutOfBand) -> usize {
    // SAFETY: fresh memory, linked before anybody sees it.
    let list = unsafe {
        let list = zeroed(LIST_SIZE).cast::<NET_BUFFER_LIST>();
        let mut link = &raw mut (*list).FirstNetBuffer;
        for frame in frames {
            *link = make_frame(w, frame);
            link = &raw mut (**link).Next;
        }
        (*list).SourceHandle = 0x99 as NDIS_HANDLE;
        (*list).Status = UNSET;
        (*list).Scratch = 0x5c5c as *mut c_void;
        let info = &mut (*list).NetBufferListInfo;
        info[TcpIpChecksumNetBufferListInfo] = oob.checksum as usize;
        info[TcpLargeSendNetBufferListInfo] = oob.large_send as usize;
        info[Ieee8021QNetBufferListInfo] = oob.vlan as usize;
        let room = w.random.below(3) as u64;
        let safe = if oob.unsafe_data { 14 << 43 } else { 1 << 42 };
        info[SwitchForwardingDetail] = (room
            | u64::from(source.port) << 16
            | u64::from(source.index) << 32
            | u64::from(oob.native) << 40
            | safe) as usize;
        list
    };
    let address = list as usize;
    let record = PacketRecord {
        owner: Owner::Driver,
        made_by_driver: false,
        context: true,
        source,
        to: Vec::new(),
        array: None,
        reported: false,
        // SAFETY: the packet was made just now.
        print: unsafe { print_of(list) },
        native: oob.native,
        shared: false,
        came: w.module.moment(),
    };
    w.ledger.packets.insert(address, record);
    address
}

/// Everything of a packet that its owner may find changed by nobody.
unsafe fn print_of(list: *mut NET_BUFFER_LIST) -> Vec<u64> {
    // SAFETY: a whole packet.
    unsafe {
        let l = &*list;
        let mut print = vec![
            l.FirstNetBuffer as u64,
            l.Context as u64,
            l.ParentNetBufferList as u64,
            l.SourceHandle as u64,
            l.ChildRefCount as u64,
            u64::from(l.Flags),
        ];
        for (slot, word) in l.NetBufferListInfo.iter().enumerate() {
            // The switch itself counts destinations in the lowest bits.
            let mask = if slot == SwitchForwardingDetail { !0xffff } else { !0 };
            print.push(*word as u64 & mask);
        }
        let mut nb = l.FirstNetBuffer;
        while !nb.is_null() {
            let n = &*nb;
            print.extend([n.CurrentMdl as u64, n.MdlChain as u64, n.Next as u64]);
            print.extend([u64::from(n.CurrentMdlOffset), u64::from(n.DataLength), u64::from(n.DataOffset)]);
            print.push(bytes_of(nb).iter().fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(*b))));
            nb = n.Next;
        }
        print
    }
}

unsafe fn bytes_of(nb: *mut NET_BUFFER) -> Vec<u8> {
    // SAFETY: a whole frame; MDLs are linked and their data there.
    unsafe {
        let mut bytes = Vec::new();
        let (mut mdl, mut offset) = ((*nb).CurrentMdl, (*nb).CurrentMdlOffset as usize);
        while !mdl.is_null() && bytes.len() < (*nb).DataLength as usize {
            let n = ((*mdl).ByteCount as usize).saturating_sub(offset);
            let n = n.min((*nb).DataLength as usize - bytes.len());
            bytes.extend_from_slice(std::slice::from_raw_parts(data_of(mdl).add(offset), n));
            (mdl, offset) = ((*mdl).Next, 0);
        }
        rule(bytes.len() == (*nb).DataLength as usize, "a frame's MDLs have fewer bytes than the frame");
        bytes
    }
}

unsafe fn frames_of(list: usize) -> Vec<Vec<u8>> {
    // SAFETY: a whole packet.
    unsafe {
        let mut frames = Vec::new();
        let mut nb = (*(list as *mut NET_BUFFER_LIST)).FirstNetBuffer;
        while !nb.is_null() {
            frames.push(bytes_of(nb));
            nb = (*nb).Next;
        }
        frames
    }
}

/// Frees a packet that `make` made.
unsafe fn free(list: *mut NET_BUFFER_LIST) {
    // SAFETY: everything of it came from `make`.
    unsafe {
        let mut nb = (*list).FirstNetBuffer;
        while !nb.is_null() {
            let mut mdl = (*nb).MdlChain;
            while !mdl.is_null() {
                let next = (*mdl).Next;
                let len = (*mdl).ByteCount as usize;
                ptr::write_bytes(data_of(mdl), 0xdd, len);
                libc::free(data_of(mdl).cast());
                libc::free(mdl.cast());
                mdl = next;
            }
            let next = (*nb).Next;
            libc::free(nb.cast());
            nb = next;
        }
        ptr::write_bytes(list.cast::<u8>(), 0xdd, LIST_SIZE);
        libc::free(list.cast());
    }
}

/// The frames of one packet.
pub(crate) type Frames = Vec<Vec<u8>>;

/// Sends packets into the switch, each from an adapter. What comes when there is no driver to take it is lost.
pub(crate) fn to_driver(packets: &[(NicId, Frames, OutOfBand)]) {
    let Some((first, raised)) = with(|w| {
        if packets.is_empty() || w.module.context == 0 || w.module.closing {
            return None;
        }
        w.module.inside += 1;
        let lists: Vec<usize> =
            packets.iter().map(|(source, frames, oob)| make(w, *source, frames, oob)).collect();
        w.counts.sent += lists.len() as u64;
        for pair in lists.windows(2) {
            // SAFETY: made just now.
            unsafe { (*(pair[0] as *mut NET_BUFFER_LIST)).Next = pair[1] as *mut NET_BUFFER_LIST };
        }
        Some((lists[0], w.random.once_in(2)))
    }) else {
        return;
    };
    let f = callbacks().SendNetBufferListsHandler.expect("the driver handles sends");
    let (to, flag) =
        if raised { (DISPATCH_LEVEL, NDIS_SEND_FLAGS_DISPATCH_LEVEL) } else { (PASSIVE_LEVEL, 0) };
    let flag = if level() >= DISPATCH_LEVEL { NDIS_SEND_FLAGS_DISPATCH_LEVEL } else { flag };
    let one_source = packets.iter().all(|(source, ..)| *source == packets[0].0);
    let flag = flag | if one_source { NDIS_SEND_FLAGS_SWITCH_SINGLE_SOURCE } else { 0 };
    at_level(to, || {
        let (context, first) = (context(), first as *mut _);
        // SAFETY: the packets are given away.
        in_the_driver(|| unsafe { f(context, first, 0, flag) });
    });
    with(|w| w.module.inside -= 1);
}

/// Ends the run unless `holds`, from where the world is locked.
fn rule_of(w: &World, holds: bool, text: &str) {
    if !holds {
        crate::world::broken_in(w.seed, text);
    }
}

/// Packets that the driver sent on arrive where they are to go.
pub(crate) fn deliver() {
    let some = with(|w| {
        let n = 1 + w.random.below(8).min(w.sent.len());
        (0..n).filter_map(|_| w.sent.pop_front()).collect::<Vec<_>>()
    });
    for (list, since) in some {
        // SAFETY: the switch owns the packet.
        let frames = unsafe { frames_of(list) };
        // SAFETY: as above.
        let (checksum, vlan, large_send) = unsafe {
            let info = &(*(list as *mut NET_BUFFER_LIST)).NetBufferListInfo;
            let word = |slot: usize| info[slot] as u64;
            let large_send = word(TcpLargeSendNetBufferListInfo);
            (word(TcpIpChecksumNetBufferListInfo), word(Ieee8021QNetBufferListInfo), large_send)
        };
        with(|w| {
            let record = &w.ledger.packets[&list];
            let (source, to, is_own) = (record.source, record.to.clone(), record.made_by_driver);
            if is_own {
                // SAFETY: the switch owns the packet.
                unsafe { map_some(w, list as *mut NET_BUFFER_LIST) };
            }
            let outside = w.guest_at(source).is_some_and(|g| w.guests[g].is_external);
            for nic in to {
                if let Some(hosted) = &mut w.hosted {
                    w.counts.delivered += frames.len() as u64;
                    frames.iter().for_each(|f| hosted.deliver(nic, f, [checksum, large_send, vlan]));
                    continue;
                }
                let Some(guest) = w.guest_at(nic) else { continue };
                if w.shows_tags {
                    let whole = |f: &Vec<u8>| tagged(&crate::guest::finished(f, checksum, outside), vlan);
                    w.guests[guest].inbox.extend(frames.iter().map(whole));
                    continue;
                }
                for frame in &frames {
                    let held = policies::check(w, (source, nic), (frame, vlan), since);
                    held.unwrap_or_else(|text| rule_of(w, false, text));
                    w.counts.strangers += u64::from(policies::is_strange(frame));
                    if w.guests[guest].is_external && !policies::is_heard(w, vlan) {
                        continue;
                    }
                    let whole = match large_send {
                        0 => vec![crate::guest::finished(frame, checksum, outside)],
                        word => crate::large_send::cut(frame, word),
                    };
                    w.counts.delivered += whole.len() as u64;
                    w.counts.large_sends += u64::from(large_send != 0);
                    if w.far.is_some() && w.guests[guest].is_external {
                        let inside: Vec<_> =
                            whole.iter().flat_map(|f| crate::far::decapsulate(w, f, since)).collect();
                        w.guests[guest].inbox.extend(inside);
                    } else {
                        w.guests[guest].inbox.extend(whole);
                    }
                }
            }
            w.done.push_back(list);
        });
    }
}

/// A frame with the tag that came beside it.
fn tagged(frame: &[u8], vlan: u64) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if vlan != 0 {
        let tci = ((vlan & 7) << 13 | (vlan >> 3 & 1) << 12 | vlan >> 4 & 0xfff) as u16;
        let [high, low] = tci.to_be_bytes();
        frame.splice(12..12, [0x81, 0, high, low]);
    }
    frame
}

/// Packets that arrived are given back, in any order.
pub(crate) fn give_back() {
    let Some((first, single)) = with(|w| {
        let n = 1 + w.random.below(6);
        let mut some = Vec::new();
        while some.len() < n && !w.done.is_empty() {
            let at = if w.random.once_in(3) { w.random.below(w.done.len()) } else { 0 };
            some.extend(w.done.remove(at));
        }
        let mut sources = Vec::new();
        for list in &some {
            let record = w.ledger.packets.get_mut(list)?;
            record.owner = Owner::Driver;
            sources.push(record.source);
            record.to.clear();
        }
        for pair in some.windows(2) {
            // SAFETY: packets of the switch.
            unsafe { (*(pair[0] as *mut NET_BUFFER_LIST)).Next = pair[1] as *mut NET_BUFFER_LIST };
        }
        let last = *some.last()?;
        // SAFETY: as above.
        unsafe {
            (*(last as *mut NET_BUFFER_LIST)).Next = ptr::null_mut();
            for list in &some {
                (*(*list as *mut NET_BUFFER_LIST)).Status = NDIS_STATUS_SUCCESS;
            }
        }
        w.module.inside += 1;
        Some((some[0], sources.windows(2).all(|p| p[0] == p[1])))
    }) else {
        return;
    };
    let f = callbacks().SendNetBufferListsCompleteHandler.expect("the driver handles completions");
    let flags = NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL
        | if single { NDIS_SEND_COMPLETE_FLAGS_SWITCH_SINGLE_SOURCE } else { 0 };
    at_level(DISPATCH_LEVEL, || {
        let (context, first) = (context(), first as *mut _);
        // SAFETY: the packets are the driver's to give back.
        in_the_driver(|| unsafe { f(context, first, flags) });
    });
    with(|w| w.module.inside -= 1);
}

unsafe fn lists_of(first: *mut NET_BUFFER_LIST) -> Vec<usize> {
    let mut lists = Vec::new();
    let mut next = first;
    while !next.is_null() {
        lists.push(next as usize);
        rule(lists.len() < 100_000, "a list of packets has no end");
        // SAFETY: the driver's list.
        next = unsafe { (*next).Next };
    }
    lists
}

/// Looks at packets that the driver gives away.
fn owned(w: &World, lists: &[usize], what: &str) -> Option<String> {
    for list in lists {
        match w.ledger.packets.get(list) {
            None => return Some(format!("{what}: no such packet (freed?)")),
            Some(p) if p.owner != Owner::Driver => {
                return Some(format!("{what}: a packet that is not the driver's (given away twice?)"));
            }
            Some(_) => {}
        }
    }
    None
}

fn same_source(w: &World, lists: &[usize]) -> bool {
    lists.windows(2).all(|p| w.ledger.packets[&p[0]].source == w.ledger.packets[&p[1]].source)
}

fn check_sent(w: &World, lists: &[usize], flags: u32) -> Result<(), String> {
    owned(w, lists, "NdisFSendNetBufferLists").map_or(Ok(()), Err)?;
    if !matches!(w.module.stage, Stage::Running | Stage::Pausing) {
        return Err(format!("packets are sent in state {:?} (rule 5)", w.module.stage));
    }
    if flags & NDIS_SEND_FLAGS_SWITCH_SINGLE_SOURCE != 0 && !same_source(w, lists) {
        return Err("SINGLE_SOURCE on packets of several sources (rule 50)".into());
    }
    let to = |l: &usize| &w.ledger.packets[l].to;
    if flags & NDIS_SEND_FLAGS_SWITCH_DESTINATION_GROUP != 0
        && lists.iter().any(|l| to(l).len() != 1 || to(l) != to(&lists[0]))
    {
        return Err("DESTINATION_GROUP on packets of several destinations (rule 50)".into());
    }
    for list in lists {
        let record = &w.ledger.packets[list];
        // SAFETY: the packet is there.
        let nbl = unsafe { &*(*list as *mut NET_BUFFER_LIST) };
        if record.native != record.to.is_empty() {
            return Err(
                "a packet is sent on without destinations, or a native one with (rules 40, 48)".into()
            );
        }
        if record.made_by_driver {
            if nbl.SourceHandle as usize != w.module.filter || !record.context {
                return Err(
                    "a packet of the driver without its handle or a forwarding context (rule 55)".into()
                );
            }
            check_shared(w, *list)?;
            continue;
        }
        if is_parent(w, *list) {
            return Err("a packet goes on while others share its data (rule 60)".into());
        }
        // SAFETY: as above.
        if unsafe { print_of(*list as *mut _) } != record.print {
            return Err("a received packet was changed before it was sent on (rule 59)".into());
        }
    }
    Ok(())
}

fn check_completed(w: &World, lists: &[usize], flags: u32) -> Result<(), String> {
    owned(w, lists, "NdisFSendNetBufferListsComplete").map_or(Ok(()), Err)?;
    if flags & NDIS_SEND_COMPLETE_FLAGS_SWITCH_SINGLE_SOURCE != 0 && !same_source(w, lists) {
        return Err("SINGLE_SOURCE on completed packets of several sources (rule 50)".into());
    }
    for list in lists {
        let record = &w.ledger.packets[list];
        if record.made_by_driver {
            return Err("the driver completes a packet of its own (rule 56)".into());
        }
        if is_parent(w, *list) {
            return Err("a packet is given back while others share its data (rule 60)".into());
        }
        // SAFETY: the packet is there.
        let status = unsafe { (*(*list as *mut NET_BUFFER_LIST)).Status };
        if status == UNSET {
            return Err("a packet is completed without a status (rule 63)".into());
        }
        let now = w.module.moment();
        if record.came == now {
            match (now.0, status == NDIS_STATUS_PAUSED) {
                (Stage::Paused, false) => {
                    return Err("a packet that came during a pause ends with another status (rule 8)".into());
                }
                (Stage::Running, true) => {
                    return Err("a packet ends as during a pause, and there is none".into());
                }
                _ => {}
            }
        }
        if status != NDIS_STATUS_SUCCESS && !record.reported {
            return Err("a packet is dropped without being reported (rule 49)".into());
        }
        // SAFETY: as above.
        if unsafe { print_of(*list as *mut _) } != record.print {
            return Err("a packet comes back changed (rule 67)".into());
        }
    }
    Ok(())
}

exports! {
    fn NdisFSendNetBufferLists(filter: NDIS_HANDLE, first: *mut NET_BUFFER_LIST, port: u32, flags: u32) {
        at_most(DISPATCH_LEVEL, "NdisFSendNetBufferLists");
        is_filter(filter, "NdisFSendNetBufferLists");
        rule(port == 0, "NdisFSendNetBufferLists: a port number (rule 51)");
        rule(
            flags & NDIS_SEND_FLAGS_DISPATCH_LEVEL == 0 || level() == DISPATCH_LEVEL,
            "DISPATCH_LEVEL is flagged below it (rule 51)",
        );
        let lists = lists_of(first);
        for list in &lists {
            let list = *list as *mut NET_BUFFER_LIST;
            if !(*list).ParentNetBufferList.is_null() && goes_wrong(Fault::ForgetAParent) {
                (*list).ParentNetBufferList = ptr::null_mut();
            }
        }
        let wrong = |fault, flag| if goes_wrong(fault) { flag } else { 0 };
        let flags = flags
            | wrong(Fault::FlagADestinationGroup, NDIS_SEND_FLAGS_SWITCH_DESTINATION_GROUP)
            | wrong(Fault::FlagASingleSource, NDIS_SEND_FLAGS_SWITCH_SINGLE_SOURCE);
        if goes_wrong(Fault::ChangeAReceivedPacket) {
            lists.iter().for_each(|l| (*(*l as *mut NET_BUFFER_LIST)).Flags ^= 1);
        }
        let at_once = with(|w| {
            check_sent(w, &lists, flags)?;
            for list in &lists {
                let record = w.ledger.packets.get_mut(list).expect("checked");
                record.owner = Owner::Switch;
                if record.made_by_driver {
                    w.counts.made += 1;
                    // SAFETY: the packet is there.
                    let parent = unsafe { (*(*list as *mut NET_BUFFER_LIST)).ParentNetBufferList as usize };
                    w.counts.shared += u64::from(parent != 0);
                    w.ledger.packets.get_mut(&parent).into_iter().for_each(|parent| parent.shared = true);
                } else {
                    w.counts.passed += 1;
                }
                w.sent.push_back((*list, crate::processors::began()));
            }
            Ok(!w.is_plain && w.random.once_in(4))
        })
        .unwrap_or_else(|e: String| broken(&e));
        if at_once {
            // Delivered and given back from inside the call (rule 12).
            deliver();
            give_back();
        }
        reschedule();
    }

    fn NdisFSendNetBufferListsComplete(filter: NDIS_HANDLE, first: *mut NET_BUFFER_LIST, flags: u32) {
        at_most(DISPATCH_LEVEL, "NdisFSendNetBufferListsComplete");
        is_filter(filter, "NdisFSendNetBufferListsComplete");
        let lists = lists_of(first);
        if goes_wrong(Fault::LoseACompletion) {
            return;
        }
        if with(|w| w.module.stage == Stage::Paused) && goes_wrong(Fault::SayNothingOfAPause) {
            lists.iter().for_each(|l| (*(*l as *mut NET_BUFFER_LIST)).Status = NDIS_STATUS_SUCCESS);
        }
        let twice = goes_wrong(Fault::CompleteTwice);
        with(|w| {
            check_completed(w, &lists, flags)?;
            for list in &lists {
                w.ledger.packets.remove(list);
                w.counts.ended += 1;
                free(*list as *mut _);
            }
            if twice { check_completed(w, &lists, flags) } else { Ok(()) }
        })
        .unwrap_or_else(|e: String| broken(&e));
        reschedule();
    }

    fn NdisFCancelSendNetBufferLists(filter: NDIS_HANDLE, _id: *mut c_void) {
        is_filter(filter, "NdisFCancelSendNetBufferLists");
    }

    fn NdisAllocateNetBufferListPool(
        _handle: NDIS_HANDLE,
        parameters: *const NET_BUFFER_LIST_POOL_PARAMETERS,
    ) -> NDIS_HANDLE {
        at_most(DISPATCH_LEVEL, "NdisAllocateNetBufferListPool");
        let p = *parameters;
        rule(
            p.Header.Type == NDIS_OBJECT_TYPE_DEFAULT && p.Header.Revision == 1 && p.Header.Size == 0x10,
            "NdisAllocateNetBufferListPool: a wrong header",
        );
        rule(p.fAllocateNetBuffer == 1 && p.PoolTag != 0, "a pool without frames or a tag");
        if with(|w| w.fails()) {
            return ptr::null_mut();
        }
        let new = handle();
        with(|w| w.ledger.pools.insert(new, p.PoolTag));
        new as NDIS_HANDLE
    }

    fn NdisFreeNetBufferListPool(pool: NDIS_HANDLE) {
        at_most(DISPATCH_LEVEL, "NdisFreeNetBufferListPool");
        let out = with(|w| w.ledger.from_pool.remove(&(pool as usize)).unwrap_or(0));
        rule(out == 0, "a pool is freed while packets of it are out");
        if goes_wrong(Fault::KeepThePacketPool) {
            return;
        }
        rule(with(|w| w.ledger.pools.remove(&(pool as usize))).is_some(), "no such pool (freed twice?)");
    }

    fn NdisAllocateNetBufferAndNetBufferList(
        pool: NDIS_HANDLE,
        context_size: u16,
        _backfill: u16,
        mdls: *mut MDL,
        offset: u32,
        length: usize,
    ) -> *mut NET_BUFFER_LIST {
        at_most(DISPATCH_LEVEL, "NdisAllocateNetBufferAndNetBufferList");
        rule(context_size.is_multiple_of(16), "a context of a size that is no multiple of 16");
        rule(with(|w| w.ledger.pools.contains_key(&(pool as usize))), "no such pool");
        if with(|w| w.fails()) {
            return ptr::null_mut();
        }
        let list = zeroed(LIST_SIZE).cast::<NET_BUFFER_LIST>();
        let nb = zeroed(size_of::<NET_BUFFER>()).cast::<NET_BUFFER>();
        (*list).FirstNetBuffer = nb;
        (*list).NdisPoolHandle = pool;
        ((*nb).MdlChain, (*nb).CurrentMdl) = (mdls, mdls);
        ((*nb).DataOffset, (*nb).CurrentMdlOffset, (*nb).DataLength) = (offset, offset, length as u32);
        drop(bytes_of(nb));
        let record = PacketRecord {
            owner: Owner::Driver,
            made_by_driver: true,
            context: false,
            source: NicId::default(),
            to: Vec::new(),
            array: None,
            reported: false,
            print: Vec::new(),
            native: false,
            shared: false,
            came: Default::default(),
        };
        with(|w| {
            w.ledger.packets.insert(list as usize, record);
            *w.ledger.from_pool.entry(pool as usize).or_default() += 1;
        });
        list
    }

    fn NdisFreeNetBufferList(list: *mut NET_BUFFER_LIST) {
        at_most(DISPATCH_LEVEL, "NdisFreeNetBufferList");
        if goes_wrong(Fault::FreeAPacketTwice) {
            with(|w| w.ledger.packets.remove(&(list as usize)));
        }
        let Some(record) = with(|w| w.ledger.packets.remove(&(list as usize))) else {
            broken("NdisFreeNetBufferList: no such packet (freed twice?)")
        };
        rule(record.made_by_driver, "NdisFreeNetBufferList: a packet of somebody else");
        rule(record.owner == Owner::Driver, "a packet is freed while it is out");
        rule(!record.context, "a packet is freed with its forwarding context (rule 56)");
        let pool = (*list).NdisPoolHandle as usize;
        with(|w| *w.ledger.from_pool.entry(pool).or_default() -= 1);
        libc::free((*list).FirstNetBuffer.cast());
        ptr::write_bytes(list.cast::<u8>(), 0xdd, LIST_SIZE);
        libc::free(list.cast());
    }
}
