//! The administrator: makes ports and adapters, connects and removes them, pauses and unloads; and the switch's answers.
//!
//! Where it sits: one script that a processor works through while the others carry packets; what it changes is what the
//! switch's own functions check against.
//!
//! Spec: rules 23 to 36 of the contract (order of requests, when they take effect, arrays).

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;

use ndis_sys::*;
use switch_ext::NicId;

use crate::fault::{Fault, goes_wrong};
use crate::filter;
use crate::policies::{self, Policies};
use crate::processors::wait_until;
use crate::requests;
use crate::scenario::Place;
use crate::world::{rule, with};

/// Bytes that whoever answers a method says it wrote.
pub(crate) const METHOD_WRITES: u32 = 77;

/// How far an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plug {
    Created,
    Connected,
    Disconnected,
}

/// A port with its adapters.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub kind: i32,
    pub name: String,
    /// Only policies are tried on it: no adapter ever connects.
    pub validates: bool,
    pub policies: Policies,
    pub nics: BTreeMap<u16, (i32, String, [u8; 6], Plug)>,
}

/// What an administrator does.
pub(crate) type Script = Box<dyn FnOnce() + Send>;

/// The switch's configuration, and the script.
#[derive(Default)]
pub(crate) struct Administrator {
    pub script: Option<Script>,
    pub ports: BTreeMap<u32, Port>,
    pub active: bool,
    pub started: bool,
    pub over: bool,
    pub wake: Option<u64>,
    /// Time passes only as the script says.
    pub keeps_time: bool,
    /// What takes an adapter away when the driver has been told of it and not yet taken that in, if anything is to.
    pub leaving: Option<fn()>,
}

impl Administrator {
    pub fn is_due(&self, _now: u64) -> bool {
        !self.started
    }

    pub fn due_ns(&self) -> Option<u64> {
        self.wake
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    /// An adapter's packets flow.
    pub fn is_connected(&self, nic: NicId) -> bool {
        let plug = self.ports.get(&nic.port).and_then(|p| p.nics.get(&nic.index));
        plug.is_some_and(|(.., plug)| *plug == Plug::Connected)
    }

    /// A packet may be sent to this adapter; of a team's to each physical one (rule 46).
    pub fn may_be_destination(&self, nic: NicId) -> bool {
        let is_team = self.ports.get(&nic.port).is_some_and(|p| p.nics.len() > 2);
        self.is_connected(nic) && !(is_team && nic.index == 0)
    }

    fn plug(&mut self, nic: NicId, to: Plug) {
        if let Some((.., plug)) = self.ports.get_mut(&nic.port).and_then(|p| p.nics.get_mut(&nic.index)) {
            *plug = to;
        }
    }
}

/// Takes the whole script.
pub(crate) fn step() {
    let script = with(|w| {
        w.administering = true;
        let administrator = w.administrator.as_mut().expect("running");
        administrator.started = true;
        administrator.script.take()
    });
    script.expect("a run has a script")();
    with(|w| {
        w.administering = false;
        if let Some(a) = &mut w.administrator {
            a.over = true;
        }
    });
}

/// Lets `ms` of virtual time pass.
pub(crate) fn sleep(ms: u64) {
    let until = with(|w| {
        let until = w.now_ns + ms * 1_000_000;
        w.administrator.as_mut().expect("running").wake = Some(until);
        until
    });
    wait_until(|| with(|w| w.now_ns >= until));
    with(|w| w.administrator.as_mut().expect("running").wake = None);
}

fn counted(text: &str) -> IF_COUNTED_STRING {
    let mut string = IF_COUNTED_STRING { Length: 0, String: [0; 257] };
    for (to, from) in string.String.iter_mut().zip(text.encode_utf16()) {
        *to = from;
        string.Length += 2;
    }
    string
}

pub(crate) fn header(size: u16) -> NDIS_OBJECT_HEADER {
    NDIS_OBJECT_HEADER { Type: NDIS_OBJECT_TYPE_DEFAULT, Revision: 1, Size: size }
}

pub(crate) fn port_parameters(id: u32, port: &Port) -> NDIS_SWITCH_PORT_PARAMETERS {
    // SAFETY: zeros are a valid value.
    let mut p: NDIS_SWITCH_PORT_PARAMETERS = unsafe { std::mem::zeroed() };
    p.Header = header(NDIS_SIZEOF_NDIS_SWITCH_PORT_PARAMETERS_REVISION_1);
    (p.PortId, p.PortType, p.IsValidationPort) = (id, port.kind, u8::from(port.validates));
    (p.PortName, p.PortFriendlyName) = (counted("{guid}"), counted(&port.name));
    p
}

pub(crate) fn nic_parameters(
    nic: NicId,
    (kind, name, mac, plug): &(i32, String, [u8; 6], Plug),
    mtu: u32,
) -> NDIS_SWITCH_NIC_PARAMETERS {
    // SAFETY: zeros are a valid value.
    let mut p: NDIS_SWITCH_NIC_PARAMETERS = unsafe { std::mem::zeroed() };
    p.Header = header(NDIS_SIZEOF_NDIS_SWITCH_NIC_PARAMETERS_REVISION_1);
    (p.PortId, p.NicIndex, p.NicType, p.MTU) = (nic.port, nic.index, *kind, mtu);
    (p.NicName, p.NicFriendlyName) = (counted("{guid}"), counted(name));
    p.NicState = match plug {
        Plug::Created => NdisSwitchNicStateCreated,
        Plug::Connected => NdisSwitchNicStateConnected,
        Plug::Disconnected => NdisSwitchNicStateDisconnected,
    };
    p.CurrentMacAddress[..6].copy_from_slice(mac);
    p.VMMacAddress[..6].copy_from_slice(mac);
    if *kind == NdisSwitchNicTypeInternal {
        p.NetCfgInstanceId = crate::netio::guid_of(nic.port);
    }
    p
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// The driver kept it.
    Driver,
    /// It was passed on.
    Switch,
}

fn request_of(kind: i32) -> NDIS_OID_REQUEST {
    // SAFETY: zeros are a valid value.
    let mut request: NDIS_OID_REQUEST = unsafe { std::mem::zeroed() };
    request.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_OID_REQUEST,
        Revision: 1,
        Size: NDIS_SIZEOF_OID_REQUEST_REVISION_1,
    };
    request.RequestType = kind;
    request
}

/// Gives a request to the driver: its status, and how far it came.
fn send(request: &mut NDIS_OID_REQUEST) -> (i32, Reached) {
    let status = filter::request(request);
    let forwarded = with(|w| w.module.request_forwarded);
    (status, if forwarded { Reached::Switch } else { Reached::Driver })
}

/// A set of the first `len` of some bytes.
pub(crate) fn set_bytes(oid: u32, bytes: &mut [u8], len: usize) -> (i32, Reached) {
    let mut request = request_of(NdisRequestSetInformation);
    request.DATA.Set.Oid = oid;
    request.DATA.Set.InformationBuffer = bytes.as_mut_ptr().cast();
    request.DATA.Set.InformationBufferLength = len as u32;
    let before = bytes.to_vec();
    let answer = send(&mut request);
    rule(bytes == before, "the parameters of a request were changed (rule 26)");
    answer
}

/// A method on some bytes: its status, what was written, and how far it came.
pub(crate) fn method(oid: u32, bytes: &mut [u8]) -> (i32, u32, Reached) {
    let mut request = request_of(NdisRequestMethod);
    request.DATA.Method.Oid = oid;
    request.DATA.Method.InformationBuffer = bytes.as_mut_ptr().cast();
    request.DATA.Method.InputBufferLength = bytes.len() as u32;
    request.DATA.Method.OutputBufferLength = bytes.len() as u32;
    let (status, reached) = send(&mut request);
    // SAFETY: a method's data.
    (status, unsafe { request.DATA.Method.BytesWritten }, reached)
}

/// Asks the driver, and through it whoever is below, to agree to a change.
fn set<T>(oid: u32, parameters: &T) -> i32 {
    set_whole(oid, bytes_of(parameters))
}

/// The same, with all bytes of the parameters.
pub(crate) fn set_whole(oid: u32, mut bytes: Vec<u8>) -> i32 {
    let len = bytes.len();
    let (status, reached) = set_bytes(oid, &mut bytes, len);
    let forwarded = reached == Reached::Switch;
    let must = !matches!(
        oid,
        OID_SWITCH_PORT_CREATE
            | OID_SWITCH_NIC_CREATE
            | OID_SWITCH_PORT_PROPERTY_ADD
            | OID_SWITCH_PORT_PROPERTY_UPDATE
    );
    rule(!must || forwarded, "a request was not passed on that must be (rule 25)");
    rule(
        forwarded || status != NDIS_STATUS_SUCCESS,
        "a request was agreed to without being passed on (rule 24)",
    );
    status
}

/// Tells the driver of an adapter what it cannot refuse.
fn tell(oid: u32, nic: NicId, what: &(i32, String, [u8; 6], Plug), refused: &str) {
    let withheld = match oid {
        OID_SWITCH_NIC_CONNECT => goes_wrong(Fault::WithholdAConnection),
        OID_SWITCH_NIC_DISCONNECT => goes_wrong(Fault::WithholdADisconnection),
        _ => false,
    };
    if withheld {
        return take_effect(oid, nic);
    }
    let mtu = with(|w| w.mtu);
    rule(set(oid, &nic_parameters(nic, what, mtu)) == NDIS_STATUS_SUCCESS, refused);
}

/// PORT_CREATE; true if everybody agreed.
pub(crate) fn create_port(id: u32, kind: i32, name: &str) -> bool {
    let (name, policies, nics) = (name.into(), Policies::default(), BTreeMap::new());
    add_port(id, Port { kind, name, validates: false, policies, nics })
}

/// PORT_CREATE of a validation port (rule 37); true if everybody agreed.
pub(crate) fn create_validation_port(id: u32, name: &str) -> bool {
    let kind = NdisSwitchPortTypeSynthetic;
    let (name, policies, nics) = (name.into(), Policies::default(), BTreeMap::new());
    add_port(id, Port { kind, name, validates: true, policies, nics })
}

fn add_port(id: u32, port: Port) -> bool {
    let ok = set(OID_SWITCH_PORT_CREATE, &port_parameters(id, &port)) == NDIS_STATUS_SUCCESS;
    if ok {
        with(|w| w.administrator.as_mut().expect("running").ports.insert(id, port));
    }
    ok
}

/// NIC_CREATE and NIC_CONNECT; true if everybody agreed.
pub(crate) fn plug_in(nic: NicId, kind: i32, name: &str, mac: [u8; 6]) -> bool {
    let mut what = (kind, name.to_owned(), mac, Plug::Created);
    let mtu = with(|w| w.mtu);
    if set(OID_SWITCH_NIC_CREATE, &nic_parameters(nic, &what, mtu)) != NDIS_STATUS_SUCCESS {
        return false;
    }
    with(|w| {
        let ports = &mut w.administrator.as_mut().expect("running").ports;
        ports.get_mut(&nic.port).expect("made before").nics.insert(nic.index, what.clone());
    });
    what.3 = Plug::Connected;
    tell(OID_SWITCH_NIC_CONNECT, nic, &what, "NIC_CONNECT failed (rule 25)");
    with(|w| {
        if let Some(g) = w.guest_at(nic) {
            w.guests[g].is_connected = true;
        }
    });
    true
}

/// A port with a connected adapter, of which the driver hears when it asks.
pub(crate) fn has_always_been(place: &Place<'_>, mac: [u8; 6]) {
    let nic = (place.nic_kind, place.name.to_owned(), mac, Plug::Connected);
    let nics = [(place.index, nic)].into();
    let policies = with(|w| policies::wanted(w, place.name));
    let port = Port { kind: place.port_kind, name: place.name.into(), validates: false, policies, nics };
    with(|w| w.administrator.as_mut().expect("running").ports.insert(place.port, port));
}

/// NIC_DISCONNECT, then NIC_DELETE when its packets are back. Whoever is at the adapter sends until it is disconnected.
pub(crate) fn unplug(nic: NicId) {
    disconnect(nic);
    delete_nic(nic);
}

/// What is known of an adapter.
fn adapter(nic: NicId) -> (i32, String, [u8; 6], Plug) {
    with(|w| w.administrator.as_ref().expect("running").ports[&nic.port].nics[&nic.index].clone())
}

/// NIC_DISCONNECT.
pub(crate) fn disconnect(nic: NicId) {
    tell(OID_SWITCH_NIC_DISCONNECT, nic, &adapter(nic), "NIC_DISCONNECT failed (rule 25)");
}

/// NIC_DELETE of an adapter that is disconnected, when its packets are back.
pub(crate) fn delete_nic(nic: NicId) {
    // Committed destinations hold the adapter until their packets are back; so do its own packets (rule 31).
    wait_until(|| {
        with(|w| {
            w.ledger.packets.values().all(|p| !p.to.contains(&nic) && (p.source != nic || p.made_by_driver))
        })
    });
    tell(OID_SWITCH_NIC_DELETE, nic, &adapter(nic), "NIC_DELETE failed (rule 25)");
    with(|w| {
        let ports = &mut w.administrator.as_mut().expect("running").ports;
        ports.get_mut(&nic.port).expect("there").nics.remove(&nic.index);
    });
}

/// PORT_TEARDOWN and PORT_DELETE.
pub(crate) fn delete_port(id: u32) {
    let port = with(|w| w.administrator.as_ref().expect("running").ports[&id].clone());
    for oid in [OID_SWITCH_PORT_TEARDOWN, OID_SWITCH_PORT_DELETE] {
        rule(
            set(oid, &port_parameters(id, &port)) == NDIS_STATUS_SUCCESS,
            "a port cannot be deleted (rule 25)",
        );
    }
    with(|w| w.administrator.as_mut().expect("running").ports.remove(&id));
}

/// NIC_REQUEST with a request of `oid` to the physical adapter in it; the status, and what was written.
pub(crate) fn nic_request(oid: u32) -> (i32, u32) {
    let mut inner = request_of(NdisRequestMethod);
    inner.DATA.Method.Oid = oid;
    // SAFETY: zeros are a valid value.
    let mut outer: NDIS_SWITCH_NIC_OID_REQUEST = unsafe { std::mem::zeroed() };
    outer.Header = header(NDIS_SIZEOF_NDIS_SWITCH_NIC_OID_REQUEST_REVISION_1);
    outer.OidRequest = &mut inner;
    let (status, written, _) = method(OID_SWITCH_NIC_REQUEST, &mut bytes_of(&outer));
    (status, written)
}

/// NIC_CONNECT and NIC_DISCONNECT have come through to the switch.
fn take_effect(oid: u32, nic: NicId) {
    let to = if oid == OID_SWITCH_NIC_CONNECT { Plug::Connected } else { Plug::Disconnected };
    with(|w| {
        w.administrator.as_mut().expect("running").plug(nic, to);
        if let Some(g) = w.guest_at(nic).filter(|_| to == Plug::Disconnected) {
            w.guests[g].is_connected = false;
            w.guests[g].inbox.clear();
        }
    });
}

/// The switch's answer to a request.
///
/// # Safety
/// The request and its buffer are there.
pub(crate) unsafe fn answer(request: *mut NDIS_OID_REQUEST) -> i32 {
    // SAFETY: see above; the form of the data is the type's.
    unsafe {
        let data = (*request).DATA.Set;
        match (*request).RequestType {
            NdisRequestQueryInformation => answer_query(request, data.Oid),
            NdisRequestSetInformation => {
                let is_whole = is_whole(&data);
                if is_whole && matches!(data.Oid, OID_SWITCH_NIC_CONNECT | OID_SWITCH_NIC_DISCONNECT) {
                    let p = &*data.InformationBuffer.cast::<NDIS_SWITCH_NIC_PARAMETERS>();
                    take_effect(data.Oid, NicId { port: p.PortId, index: p.NicIndex });
                }
                let create = matches!(
                    data.Oid,
                    OID_SWITCH_PORT_CREATE
                        | OID_SWITCH_NIC_CREATE
                        | OID_SWITCH_PORT_PROPERTY_ADD
                        | OID_SWITCH_PORT_PROPERTY_UPDATE
                );
                // Somebody below may refuse.
                if is_whole && create && with(|w| w.random.once_in(10)) {
                    NDIS_STATUS_DATA_NOT_ACCEPTED
                } else {
                    NDIS_STATUS_SUCCESS
                }
            }
            _ if data.Oid == OID_SWITCH_PORT_PROPERTY_ENUM => answer_enumeration(request),
            _ => {
                let data = &mut (*request).DATA.Method;
                data.BytesWritten = match data.Oid {
                    OID_SWITCH_NIC_SAVE => requests::answer_save(data.InformationBuffer.cast()),
                    _ => METHOD_WRITES,
                };
                NDIS_STATUS_SUCCESS
            }
        }
    }
}

/// Policies of a port, if there is memory for them.
unsafe fn answer_enumeration(request: *mut NDIS_OID_REQUEST) -> i32 {
    if with(|w| w.fails()) {
        return NDIS_STATUS_RESOURCES;
    }
    // SAFETY: the caller's promise; the length says how much of the buffer is there.
    unsafe {
        let data = &mut (*request).DATA.Method;
        let whole =
            data.OutputBufferLength as usize >= size_of::<NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS>();
        rule(whole, "policies are asked for without parameters (rule 35)");
        let parameters = data.InformationBuffer.cast::<NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS>();
        let parameters = parameters.read_unaligned();
        let bytes = with(|w| policies::enumerate(w, &parameters, data.InputBufferLength))
            .unwrap_or_else(|e| crate::world::broken(e));
        let counts = (&mut data.BytesWritten, &mut data.BytesNeeded);
        match put(&bytes, (data.InformationBuffer, data.OutputBufferLength), counts) {
            true => NDIS_STATUS_SUCCESS,
            false => NDIS_STATUS_BUFFER_TOO_SHORT,
        }
    }
}

/// Puts an answer into a request's buffer and says how much it is; if it does not fit, only how much would be needed, and false.
///
/// # Safety
/// The buffer is there, and has as many bytes as is said.
unsafe fn put(
    answer: &[u8],
    (buffer, room): (*mut c_void, u32),
    (written, needed): (&mut u32, &mut u32),
) -> bool {
    let len = answer.len() as u32;
    let fits = len <= room;
    *if fits { written } else { needed } = len;
    if fits {
        // SAFETY: the buffer has room for it.
        unsafe { ptr::copy_nonoverlapping(answer.as_ptr(), buffer.cast(), answer.len()) }
    }
    fits
}

/// The request has the parameters of a port, an adapter or a policy.
unsafe fn is_whole(data: &REQUEST_SET) -> bool {
    let bytes = data.InformationBuffer.cast::<u8>();
    // SAFETY: the request's buffer has as many bytes as it says.
    let (kind, size) = unsafe {
        if data.InformationBufferLength < 4 {
            return false;
        }
        (*bytes, u16::from_le_bytes([*bytes.add(2), *bytes.add(3)]))
    };
    kind == NDIS_OBJECT_TYPE_DEFAULT
        && size >= NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_PARAMETERS_REVISION_1
        && data.InformationBufferLength >= u32::from(size)
}

unsafe fn answer_query(request: *mut NDIS_OID_REQUEST, oid: u32) -> i32 {
    let bytes = with(|w| {
        let a = w.administrator.as_ref().expect("running");
        match oid {
            OID_SWITCH_PARAMETERS => {
                // SAFETY: zeros are a valid value.
                let mut p: NDIS_SWITCH_PARAMETERS = unsafe { std::mem::zeroed() };
                p.Header = header(NDIS_SIZEOF_NDIS_SWITCH_PARAMETERS_REVISION_1);
                (p.NumSwitchPorts, p.IsActive) = (a.ports.len() as u32, u8::from(a.active));
                Some(bytes_of(&p))
            }
            _ if !a.active => None,
            OID_SWITCH_PORT_ARRAY => {
                Some(array(a.ports.iter().map(|(id, p)| bytes_of(&port_parameters(*id, p))).collect()))
            }
            OID_SWITCH_NIC_ARRAY => Some(array(
                a.ports
                    .iter()
                    .flat_map(|(id, p)| {
                        p.nics.iter().map(|(index, n)| (NicId { port: *id, index: *index }, n))
                    })
                    .map(|(nic, n)| bytes_of(&nic_parameters(nic, n, w.mtu)))
                    .collect(),
            )),
            _ => Some(Vec::new()),
        }
    });
    let Some(bytes) = bytes else {
        crate::world::broken("an array is asked for before the switch is active (rule 32)")
    };
    // SAFETY: the request and its buffer are there, and the length says how much may be written.
    unsafe {
        let data = &mut (*request).DATA.Query;
        let counts = (&mut data.BytesWritten, &mut data.BytesNeeded);
        match put(&bytes, (data.InformationBuffer, data.InformationBufferLength), counts) {
            true => NDIS_STATUS_SUCCESS,
            false => NDIS_STATUS_INVALID_LENGTH,
        }
    }
}

pub(crate) fn bytes_of<T>(value: &T) -> Vec<u8> {
    // SAFETY: a structure without gaps that were never written: they are zero, for all began as zeros.
    unsafe { std::slice::from_raw_parts(ptr::from_ref(value).cast(), size_of::<T>()) }.to_vec()
}

/// An array whose elements are farther apart than they are long.
fn array(elements: Vec<Vec<u8>>) -> Vec<u8> {
    const FIRST: usize = 32;
    const GAP: usize = 24;
    let each = elements.first().map_or(0, |e| e.len() + GAP);
    // SAFETY: zeros are a valid value.
    let mut head: NDIS_SWITCH_PORT_ARRAY = unsafe { std::mem::zeroed() };
    head.Header = header(NDIS_SIZEOF_NDIS_SWITCH_PORT_ARRAY_REVISION_1);
    head.FirstElementOffset = FIRST as u16;
    (head.NumElements, head.ElementSize) = (elements.len() as u32, each as u32);
    let mut bytes = bytes_of(&head);
    bytes.resize(FIRST, 0);
    for mut element in elements {
        element.resize(each, 0xab);
        bytes.append(&mut element);
    }
    bytes
}
