//! The switch's structures, read.
//!
//! Where it sits: requests become `switch-ext`'s data; the switch's answers to our own queries become a snapshot. What policies
//! say is read in `policy.rs`.
//!
//! Structures are read as bytes at the offsets of their declarations: what is shorter than a field has no such field, and
//! nothing has to be aligned.
//!
//! Spec: a structure is accepted if its type is right and its size at least that of revision 1; elements of arrays are as far
//! apart as the array says.

use alloc::string::String;
use alloc::vec::Vec;
use core::mem::offset_of;

use ndis::{Answer, Ask, OidKind, OidRequest, Switch};
use ndis_sys::*;
use switch_ext::{NicId, NicInfo, NicKind, Oid, PortInfo, PortKind, Snapshot};
use wire::EthAddr;

use crate::policy;

pub(crate) fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(crate) fn u16_at(from: &[u8], at: usize) -> Option<u16> {
    bytes(from, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(from: &[u8], at: usize) -> Option<u32> {
    bytes(from, at).map(u32::from_le_bytes)
}

pub(crate) fn i32_at(from: &[u8], at: usize) -> Option<i32> {
    bytes(from, at).map(i32::from_le_bytes)
}

/// The structure at the start of `from`, if it is one of the wanted size or larger.
pub(crate) fn checked(from: &[u8], size: u16) -> Option<&[u8]> {
    let fits = from.first() == Some(&NDIS_OBJECT_TYPE_DEFAULT)
        && from.get(1).is_some_and(|revision| *revision >= 1)
        && u16_at(from, 2)? >= size;
    (fits && from.len() >= usize::from(size)).then_some(from)
}

/// Why a structure could not be read, or an answer not be had.
pub(crate) enum Unread {
    Malformed,
    NoMemory,
}

/// A counted string; what is no UTF-16 becomes U+FFFD.
fn text(from: &[u8], at: usize) -> Result<String, Unread> {
    const LONGEST: u16 = 512;
    let units = usize::from(u16_at(from, at).ok_or(Unread::Malformed)?.min(LONGEST)) / 2;
    let mut text = String::new();
    // Three bytes are the most that one unit makes.
    text.try_reserve_exact(units * 3).map_err(|_| Unread::NoMemory)?;
    let unit = |n: usize| u16_at(from, at + offset_of!(IF_COUNTED_STRING, String) + n * 2);
    for c in char::decode_utf16((0..units).map_while(unit)) {
        text.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    Ok(text)
}

fn port(from: &[u8]) -> Result<PortInfo, Unread> {
    let from = checked(from, NDIS_SIZEOF_NDIS_SWITCH_PORT_PARAMETERS_REVISION_1).ok_or(Unread::Malformed)?;
    let kind = match i32_at(from, offset_of!(NDIS_SWITCH_PORT_PARAMETERS, PortType)) {
        Some(NdisSwitchPortTypeExternal) => PortKind::External,
        Some(NdisSwitchPortTypeSynthetic) => PortKind::Synthetic,
        Some(NdisSwitchPortTypeEmulated) => PortKind::Emulated,
        Some(NdisSwitchPortTypeInternal) => PortKind::Internal,
        _ => PortKind::Generic,
    };
    Ok(PortInfo {
        id: u32_at(from, offset_of!(NDIS_SWITCH_PORT_PARAMETERS, PortId)).ok_or(Unread::Malformed)?,
        kind,
        name: text(from, offset_of!(NDIS_SWITCH_PORT_PARAMETERS, PortFriendlyName))?,
        validation: from
            .get(offset_of!(NDIS_SWITCH_PORT_PARAMETERS, IsValidationPort))
            .is_some_and(|b| *b != 0),
    })
}

fn port_id(from: &[u8]) -> Option<u32> {
    let from = checked(from, NDIS_SIZEOF_NDIS_SWITCH_PORT_PARAMETERS_REVISION_1)?;
    u32_at(from, offset_of!(NDIS_SWITCH_PORT_PARAMETERS, PortId))
}

fn nic(from: &[u8]) -> Result<NicInfo, Unread> {
    let id = nic_id(from).ok_or(Unread::Malformed)?;
    let kind = match i32_at(from, offset_of!(NDIS_SWITCH_NIC_PARAMETERS, NicType)) {
        Some(NdisSwitchNicTypeExternal) => NicKind::External,
        Some(NdisSwitchNicTypeEmulated) => NicKind::Emulated,
        Some(NdisSwitchNicTypeInternal) => NicKind::Internal,
        _ => NicKind::Synthetic,
    };
    let mac = |at| EthAddr(bytes(from, at).unwrap_or_default());
    let current = mac(offset_of!(NDIS_SWITCH_NIC_PARAMETERS, CurrentMacAddress));
    let given = mac(offset_of!(NDIS_SWITCH_NIC_PARAMETERS, VMMacAddress));
    Ok(NicInfo {
        id,
        kind,
        name: text(from, offset_of!(NDIS_SWITCH_NIC_PARAMETERS, NicFriendlyName))?,
        mac: current,
        given: if given == EthAddr::ZERO { current } else { given },
        mtu: u32_at(from, offset_of!(NDIS_SWITCH_NIC_PARAMETERS, MTU)).unwrap_or(0),
        guid: bytes(from, offset_of!(NDIS_SWITCH_NIC_PARAMETERS, NetCfgInstanceId)).unwrap_or_default(),
    })
}

fn nic_id(from: &[u8]) -> Option<NicId> {
    let from = checked(from, NDIS_SIZEOF_NDIS_SWITCH_NIC_PARAMETERS_REVISION_1)?;
    Some(NicId {
        port: u32_at(from, offset_of!(NDIS_SWITCH_NIC_PARAMETERS, PortId))?,
        index: u16_at(from, offset_of!(NDIS_SWITCH_NIC_PARAMETERS, NicIndex))?,
    })
}

/// What a request says. One that cannot be read is passed on like one that is not known.
pub(crate) fn parse(request: &OidRequest) -> Oid {
    let input = request.input();
    match (request.kind(), request.oid()) {
        (OidKind::Set, oid) => parse_set(oid, input),
        (OidKind::Method, OID_SWITCH_NIC_REQUEST) if inner_oid(input) == Some(OID_NIC_SWITCH_ALLOCATE_VF) => {
            Oid::AllocateVf
        }
        _ => Oid::Other,
    }
}

fn parse_set(oid: u32, input: &[u8]) -> Oid {
    let created = |read: Result<Oid, Unread>| match read {
        Ok(oid) => oid,
        Err(Unread::NoMemory) => Oid::NoMemory,
        Err(Unread::Malformed) => Oid::Other,
    };
    let updated = |read: Result<Oid, Unread>| read.unwrap_or(Oid::Other);
    let with_port = |f: fn(u32) -> Oid| port_id(input).map_or(Oid::Other, f);
    let with_nic = |f: fn(NicId) -> Oid| nic_id(input).map_or(Oid::Other, f);
    match oid {
        OID_SWITCH_PORT_CREATE => created(port(input).map(Oid::PortCreate)),
        OID_SWITCH_NIC_CREATE => created(nic(input).map(Oid::NicCreate)),
        OID_SWITCH_PORT_UPDATED => updated(port(input).map(Oid::PortUpdated)),
        OID_SWITCH_NIC_UPDATED => updated(nic(input).map(Oid::NicUpdated)),
        OID_SWITCH_PORT_TEARDOWN => with_port(Oid::PortTeardown),
        OID_SWITCH_PORT_DELETE => with_port(Oid::PortDelete),
        OID_SWITCH_NIC_CONNECT => with_nic(Oid::NicConnect),
        OID_SWITCH_NIC_DISCONNECT => with_nic(Oid::NicDisconnect),
        OID_SWITCH_NIC_DELETE => with_nic(Oid::NicDelete),
        OID_SWITCH_PORT_PROPERTY_ADD | OID_SWITCH_PORT_PROPERTY_UPDATE => policy::wanted(input),
        OID_SWITCH_PORT_PROPERTY_DELETE => policy::gone(input),
        _ => Oid::Other,
    }
}

const OID_NIC_SWITCH_ALLOCATE_VF: u32 = 0x0001_0245;

/// The object of the request within a request to an adapter.
fn inner_oid(input: &[u8]) -> Option<u32> {
    let from = checked(input, NDIS_SIZEOF_NDIS_SWITCH_NIC_OID_REQUEST_REVISION_1)?;
    let inner = bytes(from, offset_of!(NDIS_SWITCH_NIC_OID_REQUEST, OidRequest)).map(usize::from_le_bytes)?;
    let inner = core::ptr::with_exposed_provenance_mut::<NDIS_OID_REQUEST>(inner);
    if inner.is_null() {
        return None;
    }
    // SAFETY: the switch's structure holds a pointer to a whole request that is there as long as the outer one.
    Some(unsafe { OidRequest::from_raw(inner) }.oid())
}

/// Asks for `oid` until the answer fits, with `input` at the start of the buffer, which has `at_first` bytes or more.
pub(crate) fn ask(
    switch: &Switch,
    (oid, how): (u32, Ask),
    input: &[u8],
    at_first: usize,
) -> Result<Vec<u8>, Unread> {
    /// The switch may grow between two questions, but not for ever.
    const ATTEMPTS: usize = 8;
    let mut buffer = Vec::new();
    let mut len = at_first;
    for _ in 0..ATTEMPTS {
        buffer.clear();
        buffer.try_reserve_exact(len).map_err(|_| Unread::NoMemory)?;
        buffer.resize(len, 0);
        if let Some(start) = buffer.get_mut(..input.len()) {
            start.copy_from_slice(input);
        }
        // SAFETY: the module's handle, in FilterRestart or FilterNetPnPEvent, where requests may be made and waited for.
        match unsafe { ndis::ask(switch.filter(), oid, how, &mut buffer) } {
            Answer::Written(n) => {
                buffer.truncate(n);
                return Ok(buffer);
            }
            Answer::TooShort(n) if n > len => len = n,
            Answer::NoMemory => return Err(Unread::NoMemory),
            Answer::TooShort(_) | Answer::Failed => break,
        }
    }
    Err(Unread::Malformed)
}

/// Asks for the structure or array of `oid`, of at least `size` bytes.
fn query(switch: &Switch, oid: u32, size: u16, at_first: usize) -> Option<Vec<u8>> {
    let [a, b] = size.to_le_bytes();
    ask(switch, (oid, Ask::Query), &[NDIS_OBJECT_TYPE_DEFAULT, 1, a, b], at_first).ok()
}

/// The elements of an array.
fn elements(array: &[u8], size: u16) -> Option<impl Iterator<Item = &[u8]>> {
    let array = checked(array, size)?;
    // both arrays have the same layout
    let first = usize::from(u16_at(array, offset_of!(NDIS_SWITCH_PORT_ARRAY, FirstElementOffset))?);
    let count = u32_at(array, offset_of!(NDIS_SWITCH_PORT_ARRAY, NumElements))? as usize;
    let each = u32_at(array, offset_of!(NDIS_SWITCH_PORT_ARRAY, ElementSize))? as usize;
    let body = if count == 0 { &[] } else { array.get(first..)? };
    Some(body.chunks_exact(each.max(1)).take(count))
}

/// What the switch has now.
pub(crate) fn snapshot(switch: &Switch) -> Option<Snapshot> {
    let size = NDIS_SIZEOF_NDIS_SWITCH_PARAMETERS_REVISION_1;
    let parameters = query(switch, OID_SWITCH_PARAMETERS, size, size_of::<NDIS_SWITCH_PARAMETERS>())?;
    let parameters = checked(&parameters, size)?;
    let mut snapshot = Snapshot {
        active: parameters.get(offset_of!(NDIS_SWITCH_PARAMETERS, IsActive)).is_some_and(|b| *b != 0),
        ..Snapshot::default()
    };
    if snapshot.active {
        ports(switch, &mut snapshot)?;
        nics(switch, &mut snapshot)?;
        for port in snapshot.ports.iter().filter(|p| !p.validation) {
            policy::of_port(switch, port.id, &mut snapshot.policies)?;
        }
    }
    Some(snapshot)
}

fn ports(switch: &Switch, snapshot: &mut Snapshot) -> Option<()> {
    let size = NDIS_SIZEOF_NDIS_SWITCH_PORT_ARRAY_REVISION_1;
    let array = query(switch, OID_SWITCH_PORT_ARRAY, size, 0)?;
    for element in elements(&array, size)? {
        match port(element) {
            Ok(port) => {
                snapshot.ports.try_reserve(1).ok()?;
                snapshot.ports.push(port);
            }
            Err(Unread::NoMemory) => return None,
            Err(Unread::Malformed) => {}
        }
    }
    Some(())
}

fn nics(switch: &Switch, snapshot: &mut Snapshot) -> Option<()> {
    let size = NDIS_SIZEOF_NDIS_SWITCH_NIC_ARRAY_REVISION_1;
    let array = query(switch, OID_SWITCH_NIC_ARRAY, size, 0)?;
    for element in elements(&array, size)? {
        let connected = i32_at(element, offset_of!(NDIS_SWITCH_NIC_PARAMETERS, NicState))
            == Some(NdisSwitchNicStateConnected);
        match nic(element) {
            Ok(nic) => {
                snapshot.nics.try_reserve(1).ok()?;
                snapshot.nics.push((nic, connected));
            }
            Err(Unread::NoMemory) => return None,
            Err(Unread::Malformed) => {}
        }
    }
    Some(())
}
