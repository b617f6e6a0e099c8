//! The switch's own functions: forwarding contexts, sources, destinations, reports.
//!
//! Where it sits: the driver gets them by NdisFGetOptionalSwitchHandlers and calls them with packets that it owns. NDIS gives them
//! no names for the linker; here they have some, as the kernel's other functions do.
//!
//! Spec: rules 41 to 49 of the contract.

use std::ptr;

use ndis_sys::*;
use switch_ext::NicId;

use crate::fault::{Fault, goes_wrong};
use crate::filter::{Stage, is_filter};
use crate::kernel::{at_most, exports, functions};
use crate::ledger::{Owner, PacketRecord};
use crate::world::{World, broken, rule, with};

/// Elements are farther apart than the driver's structure is long (rule 45: use ElementSize).
const ELEMENT: usize = size_of::<NDIS_SWITCH_PORT_DESTINATION>() + 8;

/// A packet's array of destinations.
#[derive(Clone)]
pub(crate) struct Destinations {
    header: NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
    elements: Vec<u64>,
}

// SAFETY: the pointers are into the record's own memory.
unsafe impl Send for Destinations {}

impl std::fmt::Debug for Destinations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Destinations({} of {})", self.header.NumDestinations, self.header.NumElements)
    }
}

fn is_switch(switch: NDIS_HANDLE, what: &str) {
    at_most(DISPATCH_LEVEL, what);
    if with(|w| w.module.switch != switch as usize) {
        broken(&format!("{what}: not the switch's context"));
    }
}

/// Looks at a packet that the driver owns.
fn packet<R>(
    list: *mut NET_BUFFER_LIST,
    what: &str,
    f: impl FnOnce(&mut PacketRecord) -> Result<R, String>,
) -> R {
    let result = with(|w| match w.ledger.packets.get_mut(&(list as usize)) {
        None => Err(format!("{what}: no such packet")),
        Some(p) if p.owner != Owner::Driver => Err(format!("{what}: a packet that the driver gave away")),
        Some(p) => f(p),
    });
    result.unwrap_or_else(|e| broken(&e))
}

fn available(list: *mut NET_BUFFER_LIST) -> u16 {
    // SAFETY: the packet is the driver's.
    unsafe {
        ForwardingDetail((*list).NetBufferListInfo[SwitchForwardingDetail] as u64).available_destinations()
    }
}

fn set_available(list: *mut NET_BUFFER_LIST, n: u16) {
    // SAFETY: as above.
    unsafe {
        let word = &mut (*list).NetBufferListInfo[SwitchForwardingDetail];
        *word = *word & !0xffff | usize::from(n);
    }
}

/// A destination that the driver wants, checked.
fn check_destination(w: &World, d: &NDIS_SWITCH_PORT_DESTINATION) -> Result<NicId, String> {
    let nic = NicId { port: d.PortId, index: d.NicIndex };
    let Some(a) = &w.administrator else { return Err("no switch".into()) };
    if !a.may_be_destination(nic) {
        return Err(format!("{nic:?} is no destination: not connected, or disconnected (rules 28, 30, 46)"));
    }
    Ok(nic)
}

fn commit(list: *mut NET_BUFFER_LIST, nics: Vec<NicId>) {
    packet(list, "a destination", |p| {
        if p.native {
            return Err("a native packet gets destinations (rule 40)".into());
        }
        p.to.extend(nics);
        Ok(())
    });
}

/// Makes room for `n` more and returns the array.
fn array(list: *mut NET_BUFFER_LIST, n: u32) -> *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY {
    packet(list, "a destination array", |p| {
        if !p.context {
            return Err("destinations of a packet without a forwarding context".into());
        }
        let used = p.to.len();
        let capacity = used + n as usize;
        let mut made = Box::new(Destinations {
            header: NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY {
                Header: NDIS_OBJECT_HEADER { Type: NDIS_OBJECT_TYPE_DEFAULT, Revision: 1, Size: 0x18 },
                ElementSize: ELEMENT as u32,
                NumElements: capacity as u32,
                NumDestinations: used as u32,
                FirstElement: ptr::null_mut(),
            },
            elements: vec![0; capacity * ELEMENT / 8 + 1],
        });
        made.header.FirstElement = made.elements.as_mut_ptr().cast();
        let pointer = &raw mut made.header;
        p.array = Some(made);
        Ok(pointer)
    })
}

unsafe fn text(string: *const UNICODE_STRING) -> String {
    // SAFETY: the driver's string.
    unsafe {
        let units = std::slice::from_raw_parts((*string).Buffer, usize::from((*string).Length) / 2);
        String::from_utf16_lossy(units)
    }
}

functions! {
    fn NdisSwitchAllocateNetBufferListForwardingContext(
        switch: NDIS_HANDLE,
        list: *mut NET_BUFFER_LIST,
    ) -> NDIS_STATUS {
        is_switch(switch, "AllocateNetBufferListForwardingContext");
        if with(|w| w.fails()) {
            return NDIS_STATUS_RESOURCES;
        }
        rule((*list).Next.is_null(), "a forwarding context for a chain (rule 55)");
        packet(list, "AllocateNetBufferListForwardingContext", |p| {
            if !p.made_by_driver || std::mem::replace(&mut p.context, true) {
                return Err("a forwarding context for a packet that has one".into());
            }
            Ok(())
        });
        NDIS_STATUS_SUCCESS
    }

    fn NdisSwitchFreeNetBufferListForwardingContext(switch: NDIS_HANDLE, list: *mut NET_BUFFER_LIST) {
        is_switch(switch, "FreeNetBufferListForwardingContext");
        packet(list, "FreeNetBufferListForwardingContext", |p| {
            if !p.made_by_driver || !std::mem::replace(&mut p.context, false) {
                return Err("a forwarding context is freed that is not there".into());
            }
            p.array = None;
            Ok(())
        });
    }

    fn NdisSwitchSetNetBufferListSource(
        switch: NDIS_HANDLE,
        list: *mut NET_BUFFER_LIST,
        port: u32,
        nic: u16,
    ) -> NDIS_STATUS {
        is_switch(switch, "SetNetBufferListSource");
        let source = NicId { port, index: nic };
        packet(list, "SetNetBufferListSource", |p| {
            if !p.made_by_driver || !p.context {
                return Err("the source of somebody else's packet is set (rule 41)".into());
            }
            p.source = source;
            Ok(())
        });
        let is_connected = with(|w| w.administrator.as_ref().is_some_and(|a| a.is_connected(source)));
        rule(is_connected, "the source of a packet is no connected adapter (rule 41)");
        let word = &mut (*list).NetBufferListInfo[SwitchForwardingDetail];
        *word = *word & !0xff_ffff_0000 | (port as usize & 0xffff) << 16 | usize::from(nic) << 32;
        NDIS_STATUS_SUCCESS
    }

    fn NdisSwitchAddNetBufferListDestination(
        switch: NDIS_HANDLE,
        list: *mut NET_BUFFER_LIST,
        destination: *mut NDIS_SWITCH_PORT_DESTINATION,
    ) -> NDIS_STATUS {
        is_switch(switch, "AddNetBufferListDestination");
        if with(|w| w.fails()) {
            return NDIS_STATUS_RESOURCES;
        }
        let d = *destination;
        let nic = with(|w| check_destination(w, &d)).unwrap_or_else(|e| broken(&e));
        commit(list, vec![nic]);
        set_available(list, available(list).saturating_sub(1));
        NDIS_STATUS_SUCCESS
    }

    fn NdisSwitchGrowNetBufferListDestinations(
        switch: NDIS_HANDLE,
        list: *mut NET_BUFFER_LIST,
        n: u32,
        out: *mut *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
    ) -> NDIS_STATUS {
        is_switch(switch, "GrowNetBufferListDestinations");
        rule(u32::from(available(list)) < n, "destinations grow though there is room (rule 43)");
        if with(|w| w.fails()) {
            return NDIS_STATUS_RESOURCES;
        }
        *out = array(list, n);
        set_available(list, n as u16);
        NDIS_STATUS_SUCCESS
    }

    fn NdisSwitchGetNetBufferListDestinations(
        switch: NDIS_HANDLE,
        list: *mut NET_BUFFER_LIST,
        out: *mut *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
    ) {
        is_switch(switch, "GetNetBufferListDestinations");
        let n = u32::from(available(list));
        *out = array(list, n);
    }

    fn NdisSwitchUpdateNetBufferListDestinations(
        switch: NDIS_HANDLE,
        list: *mut NET_BUFFER_LIST,
        n: u32,
        given: *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
    ) -> NDIS_STATUS {
        is_switch(switch, "UpdateNetBufferListDestinations");
        let room = available(list);
        rule(n <= u32::from(room), "more destinations than there is room for (rule 43)");
        let added: Vec<NDIS_SWITCH_PORT_DESTINATION> = packet(list, "UpdateNetBufferListDestinations", |p| {
            let Some(array) = p.array.as_ref().filter(|a| ptr::eq(&raw const a.header, given)) else {
                return Err("an array that is not the packet's (rule 45)".into());
            };
            if array.header.NumDestinations as usize != p.to.len() {
                return Err("the driver changed the number of destinations itself".into());
            }
            let first = array.elements.as_ptr().cast::<u8>();
            // Below the number of elements that were made.
            let at = |index: usize| first.add(index * ELEMENT).cast::<NDIS_SWITCH_PORT_DESTINATION>().read();
            Ok((p.to.len()..p.to.len() + n as usize).map(at).collect())
        });
        let nics = with(|w| added.iter().map(|d| check_destination(w, d)).collect::<Result<Vec<_>, _>>())
            .unwrap_or_else(|e| broken(&e));
        rule(added.iter().all(|d| d.Flags & 1 == 0), "a destination is excluded before it is one");
        commit(list, nics);
        set_available(list, room - n as u16);
        NDIS_STATUS_SUCCESS
    }

    fn NdisSwitchCopyNetBufferListInfo(
        switch: NDIS_HANDLE,
        _to: *mut NET_BUFFER_LIST,
        _from: *mut NET_BUFFER_LIST,
        _flags: u32,
    ) -> NDIS_STATUS {
        is_switch(switch, "CopyNetBufferListInfo");
        NDIS_STATUS_SUCCESS
    }

    fn NdisSwitchReportFilteredNetBufferLists(
        switch: NDIS_HANDLE,
        unique: *mut UNICODE_STRING,
        friendly: *mut UNICODE_STRING,
        port: u32,
        flags: u32,
        count: u32,
        first: *mut NET_BUFFER_LIST,
        _reason: *mut UNICODE_STRING,
    ) {
        is_switch(switch, "ReportFilteredNetBufferLists");
        rule(flags == 1, "a report of an ingress packet without IS_INCOMING (rule 49)");
        let c = crate::filter::callbacks();
        let same = text(unique) == text(&c.UniqueName) && text(friendly) == text(&c.FriendlyName);
        rule(same, "a report under another name than was registered (rule 49)");
        if goes_wrong(Fault::DoNotReport) {
            return;
        }
        let (mut n, mut next) = (0, first);
        while !next.is_null() {
            packet(next, "ReportFilteredNetBufferLists", |p| {
                p.reported = true;
                if p.source.port == port { Ok(()) } else { Err("a report with another port (rule 49)".into()) }
            });
            n += 1;
            next = (*next).Next;
        }
        rule(n == count, "a report of another number of packets (rule 49)");
    }

    fn NdisSwitchReferenceNic(_switch: NDIS_HANDLE, _port: u32, _nic: u16) -> NDIS_STATUS {
        broken("a reference to an adapter: nothing here needs one")
    }

    fn NdisSwitchReferencePort(switch: NDIS_HANDLE, port: u32) -> NDIS_STATUS {
        is_switch(switch, "ReferenceSwitchPort");
        with(|w| {
            if w.administrator.as_ref().is_none_or(|a| !a.ports.contains_key(&port)) {
                return NDIS_STATUS_INVALID_PARAMETER;
            }
            *w.ledger.port_references.entry(port).or_default() += 1;
            NDIS_STATUS_SUCCESS
        })
    }

    fn NdisSwitchDereferencePort(switch: NDIS_HANDLE, port: u32) -> NDIS_STATUS {
        is_switch(switch, "DereferenceSwitchPort");
        let left = with(|w| {
            let references = w.ledger.port_references.get_mut(&port)?;
            *references -= 1;
            Some(*references)
        });
        rule(left.is_some(), "a reference to a port is given back that was not taken (rule 29)");
        if left == Some(0) {
            with(|w| w.ledger.port_references.remove(&port));
        }
        NDIS_STATUS_SUCCESS
    }
}

exports! {
    fn NdisFGetOptionalSwitchHandlers(
        filter: NDIS_HANDLE,
        switch: *mut NDIS_HANDLE,
        handlers: *mut NDIS_SWITCH_OPTIONAL_HANDLERS,
    ) -> NDIS_STATUS {
        at_most(DISPATCH_LEVEL, "NdisFGetOptionalSwitchHandlers");
        is_filter(filter, "NdisFGetOptionalSwitchHandlers");
        rule(with(|w| w.module.stage == Stage::Attaching), "switch handlers outside FilterAttach (rule 2)");
        if with(|w| w.module.is_elsewhere) {
            return NDIS_STATUS_NOT_SUPPORTED;
        }
        let h = &mut *handlers;
        rule(
            h.Header.Type == NDIS_OBJECT_TYPE_SWITCH_OPTIONAL_HANDLERS && h.Header.Revision == 1 && h.Header.Size == 0x70,
            "NdisFGetOptionalSwitchHandlers: a wrong header",
        );
        *switch = with(|w| w.module.switch as NDIS_HANDLE);
        h.AllocateNetBufferListForwardingContext = Some(NdisSwitchAllocateNetBufferListForwardingContext);
        h.FreeNetBufferListForwardingContext = Some(NdisSwitchFreeNetBufferListForwardingContext);
        h.SetNetBufferListSource = Some(NdisSwitchSetNetBufferListSource);
        h.AddNetBufferListDestination = Some(NdisSwitchAddNetBufferListDestination);
        h.GrowNetBufferListDestinations = Some(NdisSwitchGrowNetBufferListDestinations);
        h.GetNetBufferListDestinations = Some(NdisSwitchGetNetBufferListDestinations);
        h.UpdateNetBufferListDestinations = Some(NdisSwitchUpdateNetBufferListDestinations);
        h.CopyNetBufferListInfo = Some(NdisSwitchCopyNetBufferListInfo);
        h.ReferenceSwitchNic = Some(NdisSwitchReferenceNic);
        h.DereferenceSwitchNic = Some(NdisSwitchReferenceNic);
        h.ReferenceSwitchPort = Some(NdisSwitchReferencePort);
        h.DereferenceSwitchPort = Some(NdisSwitchDereferencePort);
        h.ReportFilteredNetBufferLists = Some(NdisSwitchReportFilteredNetBufferLists);
        NDIS_STATUS_SUCCESS
    }
}
