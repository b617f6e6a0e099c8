//! The host's network as NETIO.SYS tells of it, and work items: both are for PASSIVE_LEVEL.
//!
//! Where it sits: called by the driver; the scenario says what there is, and what changes.
//!
//! Spec: netioapi.h; a resolution waits for the neighbour's answer, and cancelling a notification waits for those that run.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ndis_sys::*;

use crate::fault::{Fault, goes_wrong};
use crate::kernel::{at_most, exports, handle, in_the_driver};
use crate::processors::{level, wait_until};
use crate::world::{World, broken, rule, with};

/// Neighbours that are sought at once.
const SOUGHT: usize = 64;

/// A route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub prefix: IpAddr,
    pub len: u32,
    /// The port of the host's adapter.
    pub port: u32,
    /// The next hop, unless neighbours are reached at once.
    pub gateway: Option<IpAddr>,
}

impl Route {
    /// True if it is one to `to`.
    fn fits(&self, to: IpAddr) -> bool {
        match (self.prefix, to) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= self.len,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= self.len,
            _ => false,
        }
    }
}

/// A work item.
#[derive(Default)]
pub(crate) struct Work {
    queued: Option<(Routine, usize)>,
    running: bool,
}

type Routine = unsafe extern "win64" fn(*mut c_void, NDIS_HANDLE);

/// What the host knows, and who listens.
#[derive(Default)]
pub(crate) struct Net {
    /// Addresses, and the ports of the host's adapters that have them.
    pub addresses: Vec<(IpAddr, u32)>,
    /// Ports whose adapters have or had one.
    had_addresses: BTreeSet<u32>,
    pub routes: Vec<Route>,
    /// Neighbours that answer.
    pub neighbours: BTreeMap<IpAddr, [u8; 6]>,
    /// Those that have.
    known: BTreeSet<IpAddr>,
    /// Those that were asked for in vain; who asks the wire for them takes them out.
    pub sought: BTreeSet<IpAddr>,
    watches: BTreeMap<usize, (MIB_CHANGE_CALLBACK, usize)>,
    tables: BTreeMap<usize, Vec<u64>>,
    work: BTreeMap<usize, Work>,
    /// Notifications under way.
    notifying: usize,
}

impl Net {
    /// What is left that should be gone.
    pub fn leaks(&self) -> Vec<String> {
        let all = [
            (self.watches.len(), "notifications of the host's changes"),
            (self.tables.len(), "tables of addresses"),
            (self.work.len(), "work items"),
        ];
        all.iter().filter(|(n, _)| *n != 0).map(|(n, what)| format!("{n} {what}")).collect()
    }

    /// A work item runs.
    pub fn is_working(&self) -> bool {
        self.work.values().any(|w| w.running)
    }

    /// A work item that waits to run.
    pub fn due(&self) -> impl Iterator<Item = usize> {
        self.work.iter().filter(|(_, w)| w.queued.is_some() && !w.running).map(|(item, _)| *item)
    }
}

/// The GUID of the host's adapter at a port, and the LUID that the host has for it.
pub(crate) fn guid_of(port: u32) -> GUID {
    GUID { Data1: port, Data2: 0x5eed, Data3: 0x4001, Data4: [0x80; 8] }
}

fn luid_of(port: u32) -> u64 {
    6 << 48 | u64::from(port) << 24
}

/// Something of the host's network changes, and those who listen are told.
pub(crate) fn change(f: impl FnOnce(&mut Net)) {
    let all: Vec<_> = with(|w| {
        f(&mut w.net);
        w.net.had_addresses.extend(w.net.addresses.iter().map(|(_, port)| *port));
        w.net.known.clear();
        w.net.notifying += 1;
        let is_told = w.guests.is_empty() || w.fault != Some(Fault::KeepTheHostsChanges);
        w.net.watches.values().copied().filter(|_| is_told).collect()
    });
    for (callback, context) in all {
        // SAFETY: the driver gave callback and context, and cancelling waits for us.
        in_the_driver(|| unsafe { callback(context as *mut c_void, std::ptr::null_mut(), 1) });
        rule(level() == PASSIVE_LEVEL, "a notification returns at another IRQL");
    }
    with(|w| w.net.notifying -= 1);
}

/// Runs a work item.
pub(crate) fn work(item: usize) {
    let call = with(|w| {
        let work = w.net.work.get_mut(&item)?;
        work.running = true;
        work.queued.take()
    });
    let Some((routine, context)) = call else { return };
    // SAFETY: the driver gave both, and frees the item only when it is not queued.
    in_the_driver(|| unsafe { routine(context as *mut c_void, item as NDIS_HANDLE) });
    rule(level() == PASSIVE_LEVEL, "a work item returns at another IRQL");
    with(|w| {
        if let Some(work) = w.net.work.get_mut(&item) {
            work.running = false;
        }
    });
}

fn address(socket: &SOCKADDR_INET) -> IpAddr {
    match socket.si_family {
        AF_INET => Ipv4Addr::from(*socket.Data[2..].first_chunk::<4>().expect("four bytes")).into(),
        AF_INET6 => Ipv6Addr::from(*socket.Data[6..].first_chunk::<16>().expect("sixteen bytes")).into(),
        _ => broken("an address of no family"),
    }
}

/// Of an address that means something on one link only, `scope` says on which.
fn socket(address: IpAddr, scope: u32) -> SOCKADDR_INET {
    let mut socket = SOCKADDR_INET { si_family: AF_INET, Data: [0; 26] };
    match address {
        IpAddr::V4(a) => socket.Data[2..6].copy_from_slice(&a.octets()),
        IpAddr::V6(a) => {
            socket.si_family = AF_INET6;
            socket.Data[6..22].copy_from_slice(&a.octets());
            let scope = if a.is_unicast_link_local() { scope } else { 0 };
            socket.Data[22..].copy_from_slice(&scope.to_ne_bytes());
        }
    }
    socket
}

/// Fills in a neighbour that is known.
fn fill(w: &World, row: &mut MIB_IPNET_ROW2) -> i32 {
    let hop = address(&row.Address);
    let scope = u32::from_ne_bytes(*row.Address.Data[22..].first_chunk().expect("four bytes"));
    let is_local = matches!(hop, IpAddr::V6(a) if a.is_unicast_link_local());
    rule(
        !is_local || scope == row.InterfaceIndex,
        "a neighbour on one link is asked for without saying which",
    );
    let is_meant = |port: &u32| luid_of(*port) == row.InterfaceLuid;
    rule(
        w.net.had_addresses.iter().any(is_meant),
        "a neighbour is asked for on an interface that never had an address",
    );
    if !w.net.addresses.iter().any(|(_, port)| is_meant(port)) {
        // Its adapter was removed a moment ago.
        return STATUS_NOT_FOUND;
    }
    match w.net.neighbours.get(&hop).filter(|_| w.net.known.contains(&hop)) {
        Some(mac) => {
            row.PhysicalAddress[..6].copy_from_slice(mac);
            (row.PhysicalAddressLength, row.State) = (6, NlnsReachable);
            STATUS_SUCCESS
        }
        None => STATUS_NOT_FOUND,
    }
}

fn watch(callback: MIB_CHANGE_CALLBACK, context: *mut c_void, place: *mut *mut c_void) -> i32 {
    if with(|w| w.fails()) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let new = handle();
    with(|w| w.net.watches.insert(new, (callback, context as usize)));
    // SAFETY: the driver's place for the handle.
    unsafe { *place = new as *mut c_void };
    STATUS_SUCCESS
}

exports! {
    fn GetBestRoute2(
        _luid: *const u64,
        _index: u32,
        source: *const SOCKADDR_INET,
        destination: *const SOCKADDR_INET,
        _sort_options: u32,
        route: *mut MIB_IPFORWARD_ROW2,
        best_source: *mut SOCKADDR_INET,
    ) -> i32 {
        at_most(PASSIVE_LEVEL, "GetBestRoute2");
        let to = address(&*destination);
        let wanted = (!source.is_null()).then(|| address(&*source));
        with(|w| {
            if w.fails() {
                return STATUS_INSUFFICIENT_RESOURCES;
            }
            let Some(best) = w.net.routes.iter().filter(|r| r.fits(to)).max_by_key(|r| r.len) else {
                return STATUS_NOT_FOUND;
            };
            let own = |(ip, port): &&(IpAddr, u32)| {
                *port == best.port && ip.is_ipv4() == to.is_ipv4() && wanted.is_none_or(|want| want == *ip)
            };
            let Some((from, port)) = w.net.addresses.iter().find(own) else { return STATUS_NOT_FOUND };
            ((*route).InterfaceLuid, (*route).InterfaceIndex) = (luid_of(*port), *port);
            let nobody: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            (*route).NextHop = socket(best.gateway.unwrap_or(nobody), *port);
            *best_source = socket(*from, *port);
            STATUS_SUCCESS
        })
    }

    fn GetIpNetEntry2(row: *mut MIB_IPNET_ROW2) -> i32 {
        at_most(PASSIVE_LEVEL, "GetIpNetEntry2");
        with(|w| fill(w, &mut *row))
    }

    fn ResolveIpNetEntry2(row: *mut MIB_IPNET_ROW2, _source: *const SOCKADDR_INET) -> i32 {
        at_most(PASSIVE_LEVEL, "ResolveIpNetEntry2");
        let mut turns = with(|w| w.random.below(30));
        wait_until(|| {
            turns = turns.saturating_sub(1);
            turns == 0
        });
        with(|w| {
            if w.fails() {
                return STATUS_INSUFFICIENT_RESOURCES;
            }
            let hop = address(&(*row).Address);
            w.net.known.insert(hop);
            if !w.net.neighbours.contains_key(&hop) && w.net.sought.len() < SOUGHT {
                w.net.sought.insert(hop);
            }
            fill(w, &mut *row)
        })
    }

    fn GetUnicastIpAddressTable(_family: u16, table: *mut *mut MIB_UNICASTIPADDRESS_TABLE) -> i32 {
        at_most(PASSIVE_LEVEL, "GetUnicastIpAddressTable");
        with(|w| {
            if w.fails() {
                return STATUS_INSUFFICIENT_RESOURCES;
            }
            const ROW: usize = size_of::<MIB_UNICASTIPADDRESS_ROW>() / 8;
            let mut words = vec![0u64; 1 + w.net.addresses.len() * ROW];
            words[0] = w.net.addresses.len() as u64;
            let rows = words.as_mut_ptr().add(1).cast::<MIB_UNICASTIPADDRESS_ROW>();
            for (n, (ip, port)) in w.net.addresses.iter().enumerate() {
                let row = &mut *rows.add(n);
                (row.Address, row.InterfaceLuid, row.InterfaceIndex) = (socket(*ip, *port), luid_of(*port), *port);
                row.DadState = IpDadStatePreferred;
            }
            *table = words.as_mut_ptr().cast();
            w.net.tables.insert(words.as_ptr() as usize, words);
            STATUS_SUCCESS
        })
    }

    fn FreeMibTable(table: *mut c_void) {
        at_most(PASSIVE_LEVEL, "FreeMibTable");
        let known = with(|w| w.net.tables.remove(&(table as usize)));
        rule(known.is_some(), "FreeMibTable: no such table");
    }

    fn ConvertInterfaceGuidToLuid(guid: *const GUID, luid: *mut u64) -> i32 {
        at_most(PASSIVE_LEVEL, "ConvertInterfaceGuidToLuid");
        let (known, wanted) = (guid_of((*guid).Data1), *guid);
        if (known.Data2, known.Data3, known.Data4) != (wanted.Data2, wanted.Data3, wanted.Data4) {
            return STATUS_NOT_FOUND;
        }
        *luid = luid_of(wanted.Data1);
        STATUS_SUCCESS
    }

    fn NotifyRouteChange2(
        _family: u16,
        callback: MIB_CHANGE_CALLBACK,
        context: *mut c_void,
        _initial: u8,
        place: *mut *mut c_void,
    ) -> i32 {
        at_most(PASSIVE_LEVEL, "NotifyRouteChange2");
        watch(callback, context, place)
    }

    fn NotifyIpInterfaceChange(
        _family: u16,
        callback: MIB_CHANGE_CALLBACK,
        context: *mut c_void,
        _initial: u8,
        place: *mut *mut c_void,
    ) -> i32 {
        at_most(PASSIVE_LEVEL, "NotifyIpInterfaceChange");
        watch(callback, context, place)
    }

    fn NotifyUnicastIpAddressChange(
        _family: u16,
        callback: MIB_CHANGE_CALLBACK,
        context: *mut c_void,
        _initial: u8,
        place: *mut *mut c_void,
    ) -> i32 {
        at_most(PASSIVE_LEVEL, "NotifyUnicastIpAddressChange");
        watch(callback, context, place)
    }

    fn CancelMibChangeNotify2(watch: *mut c_void) -> i32 {
        at_most(PASSIVE_LEVEL, "CancelMibChangeNotify2");
        wait_until(|| with(|w| w.net.notifying == 0));
        if goes_wrong(Fault::KeepANotification) {
            return STATUS_SUCCESS;
        }
        let known = with(|w| w.net.watches.remove(&(watch as usize)));
        rule(known.is_some(), "CancelMibChangeNotify2: no such notification");
        STATUS_SUCCESS
    }

    fn NdisAllocateIoWorkItem(_handle: NDIS_HANDLE) -> NDIS_HANDLE {
        at_most(DISPATCH_LEVEL, "NdisAllocateIoWorkItem");
        if with(|w| w.fails()) {
            return std::ptr::null_mut();
        }
        let new = handle();
        with(|w| w.net.work.insert(new, Work::default()));
        new as NDIS_HANDLE
    }

    fn NdisQueueIoWorkItem(item: NDIS_HANDLE, routine: Routine, context: *mut c_void) {
        at_most(DISPATCH_LEVEL, "NdisQueueIoWorkItem");
        with(|w| match w.net.work.get_mut(&(item as usize)) {
            None => broken("NdisQueueIoWorkItem: no such work item"),
            Some(work) if work.queued.is_some() => broken("a work item is queued twice"),
            Some(work) => work.queued = Some((routine, context as usize)),
        });
    }

    fn NdisFreeIoWorkItem(item: NDIS_HANDLE) {
        at_most(DISPATCH_LEVEL, "NdisFreeIoWorkItem");
        match with(|w| w.net.work.remove(&(item as usize))) {
            None => broken("NdisFreeIoWorkItem: no such work item"),
            Some(work) => rule(work.queued.is_none(), "a work item is freed while it is queued"),
        }
    }
}
