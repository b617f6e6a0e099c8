//! Requests that no script needs: cut short, of later revisions, unknown; policies; adapters whose state is saved and restored.
//!
//! Where it sits: called by the administrator's script while guests talk. What the switch sends to every extension of every
//! version has to pass by this one, and to change nothing.
//!
//! Spec: rules 21, 25, 37 and 72 to 75 of the contract.

use ndis_sys::*;
use switch_ext::NicId;

use crate::administrator::{
    Reached, delete_port, header, method, nic_parameters, port_parameters, set_bytes,
};
use crate::world::{rule, with};

/// Requests about ports and adapters that are sets.
const KNOWN: [u32; 12] = [
    OID_SWITCH_PORT_CREATE,
    OID_SWITCH_PORT_UPDATED,
    OID_SWITCH_PORT_TEARDOWN,
    OID_SWITCH_PORT_DELETE,
    OID_SWITCH_NIC_CREATE,
    OID_SWITCH_NIC_CONNECT,
    OID_SWITCH_NIC_UPDATED,
    OID_SWITCH_NIC_DISCONNECT,
    OID_SWITCH_NIC_DELETE,
    OID_SWITCH_PORT_PROPERTY_ADD,
    OID_SWITCH_PORT_PROPERTY_UPDATE,
    OID_SWITCH_PORT_PROPERTY_DELETE,
];
/// NIC_SUSPEND, NIC_RESUME and what came later.
const UNKNOWN: [u32; 5] = [0x10297, 0x10298, 0x10299, 0x1029a, 0x102ff];

/// What is wrong with a request, or new.
#[derive(Clone, Copy)]
enum Odd {
    /// Fewer bytes than its structure has; behind them it goes on as a whole one would.
    Short,
    /// A structure of another type.
    OtherType,
    /// A structure that says it is smaller than its first revision.
    Small,
    /// A structure of a later revision, with more behind what is known.
    Later,
    /// An object that nobody has heard of.
    Unknown,
}

/// Sends requests about an adapter that is there and stays as it is.
pub(crate) fn odd(nic: NicId) {
    for kind in [Odd::Short, Odd::OtherType, Odd::Small, Odd::Later, Odd::Unknown] {
        let oid = with(|w| match kind {
            Odd::Later => [OID_SWITCH_PORT_UPDATED, OID_SWITCH_NIC_UPDATED][w.random.below(2)],
            Odd::Unknown => UNKNOWN[w.random.below(UNKNOWN.len())],
            _ => KNOWN[w.random.below(KNOWN.len())],
        });
        let mut bytes = whole(nic, oid);
        let len = change(kind, &mut bytes);
        let (_, reached) = set_bytes(oid, &mut bytes, len);
        rule(reached == Reached::Switch, "a request that cannot be read is not passed on (rule 21)");
    }
}

/// The parameters of an adapter, or its port, as the switch has them.
fn whole(nic: NicId, oid: u32) -> Vec<u8> {
    let port = with(|w| w.administrator.as_ref().expect("running").ports[&nic.port].clone());
    match oid {
        OID_SWITCH_PORT_CREATE
        | OID_SWITCH_PORT_UPDATED
        | OID_SWITCH_PORT_TEARDOWN
        | OID_SWITCH_PORT_DELETE => crate::administrator::bytes_of(&port_parameters(nic.port, &port)),
        OID_SWITCH_PORT_PROPERTY_ADD | OID_SWITCH_PORT_PROPERTY_UPDATE | OID_SWITCH_PORT_PROPERTY_DELETE => {
            crate::policies::bare(nic.port, oid)
        }
        _ => {
            let mtu = with(|w| w.mtu);
            crate::administrator::bytes_of(&nic_parameters(nic, &port.nics[&nic.index], mtu))
        }
    }
}

/// Makes a whole request an odd one; returns how many bytes it is said to have.
fn change(kind: Odd, bytes: &mut Vec<u8>) -> usize {
    const LATER: usize = 64;
    // The structure is longer than its first revision, which may be all that there is.
    const BEHIND: usize =
        size_of::<NDIS_SWITCH_NIC_PARAMETERS>() - NDIS_SIZEOF_NDIS_SWITCH_NIC_PARAMETERS_REVISION_1 as usize;
    match kind {
        Odd::Short => return with(|w| [0, 3, 4, w.random.below(bytes.len() - BEHIND)][w.random.below(4)]),
        Odd::OtherType => bytes[0] ^= 1,
        Odd::Small => bytes[2..4].copy_from_slice(&16u16.to_le_bytes()),
        Odd::Later => {
            bytes.resize(bytes.len() + LATER, 0xee);
            let size = bytes.len() as u16;
            bytes[1] = 9;
            bytes[2..4].copy_from_slice(&size.to_le_bytes());
        }
        Odd::Unknown => {}
    }
    bytes.len()
}

/// Policies are tried on a port that is there for nothing else, and has the name of a machine's.
pub(crate) fn try_policies(id: u32, name: &str) {
    while !crate::administrator::create_validation_port(id, name) {}
    crate::policies::try_all(id);
    delete_port(id);
}

/// The state that an extension below saves of an adapter.
const STATE: &[u8] = b"whatever it is";
const SOMEBODY: GUID = GUID { Data1: 0x1234, Data2: 5, Data3: 6, Data4: [7; 8] };

fn save_state(nic: NicId) -> NDIS_SWITCH_NIC_SAVE_STATE {
    // SAFETY: zeros are a valid value.
    let mut state: NDIS_SWITCH_NIC_SAVE_STATE = unsafe { std::mem::zeroed() };
    state.Header = header(NDIS_SIZEOF_NDIS_SWITCH_NIC_SAVE_STATE_REVISION_1);
    (state.PortId, state.NicIndex) = (nic.port, nic.index);
    state.SaveDataOffset = size_of::<NDIS_SWITCH_NIC_SAVE_STATE>() as u16;
    state
}

/// An extension below the driver is asked to save an adapter: once it has something, then no more. Bytes that it wrote.
///
/// # Safety
/// The buffer is one of [`save`]'s.
pub(crate) unsafe fn answer_save(buffer: *mut NDIS_SWITCH_NIC_SAVE_STATE) -> u32 {
    let is_over = with(|w| std::mem::replace(&mut w.module.has_saved, true));
    if is_over {
        return 0;
    }
    // SAFETY: the caller's promise: the buffer has room for the state behind the structure.
    unsafe {
        ((*buffer).ExtensionId, (*buffer).SaveDataSize) = (SOMEBODY, STATE.len() as u16);
        let to = buffer.cast::<u8>().add(usize::from((*buffer).SaveDataOffset));
        std::ptr::copy_nonoverlapping(STATE.as_ptr(), to, STATE.len());
    }
    (size_of::<NDIS_SWITCH_NIC_SAVE_STATE>() + STATE.len()) as u32
}

/// NIC_SAVE until nobody has more to save, and NIC_SAVE_COMPLETE; what was saved.
pub(crate) fn save(nic: NicId) -> Vec<u8> {
    let mut saved = Vec::new();
    with(|w| w.module.has_saved = false);
    loop {
        let mut bytes = crate::administrator::bytes_of(&save_state(nic));
        bytes.resize(bytes.len() + 100, 0);
        let (status, written, reached) = method(OID_SWITCH_NIC_SAVE, &mut bytes);
        rule(status == NDIS_STATUS_SUCCESS, "NIC_SAVE failed");
        rule(
            reached == Reached::Switch,
            "an adapter is said to be saved, and others are not asked (rule 72)",
        );
        if written == 0 {
            break;
        }
        bytes.truncate(written as usize);
        rule(bytes.ends_with(STATE), "what somebody else saved is not handed up (rule 72)");
        saved = bytes;
    }
    let mut done = crate::administrator::bytes_of(&save_state(nic));
    let len = done.len();
    let (status, reached) = set_bytes(OID_SWITCH_NIC_SAVE_COMPLETE, &mut done, len);
    let is_told = status == NDIS_STATUS_SUCCESS && reached == Reached::Switch;
    rule(is_told, "NIC_SAVE_COMPLETE is not passed on (rule 73)");
    saved
}

/// NIC_RESTORE of what was saved and of what cannot be, and NIC_RESTORE_COMPLETE.
pub(crate) fn restore(saved: &[u8]) {
    let mut broken = saved.to_vec();
    let at = std::mem::offset_of!(NDIS_SWITCH_NIC_SAVE_STATE, SaveDataSize);
    broken[at..at + 2].copy_from_slice(&u16::MAX.to_le_bytes());
    for mut bytes in [saved.to_vec(), broken] {
        let len = bytes.len();
        let (status, reached) = set_bytes(OID_SWITCH_NIC_RESTORE, &mut bytes, len);
        let is_told = status == NDIS_STATUS_SUCCESS && reached == Reached::Switch;
        rule(is_told, "what somebody else saved is not restored (rule 74)");
    }
    let mut done = saved.to_vec();
    let len = done.len();
    let (status, reached) = set_bytes(OID_SWITCH_NIC_RESTORE_COMPLETE, &mut done, len);
    let is_told = status == NDIS_STATUS_SUCCESS && reached == Reached::Switch;
    rule(is_told, "NIC_RESTORE_COMPLETE is not passed on (rule 75)");
}
