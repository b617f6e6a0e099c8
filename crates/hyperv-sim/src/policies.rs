//! Policies of ports: told to the driver, answered when it asks, and held against what it sends on.
//!
//! Where it sits: the administrator's; `packets.rs` asks [`check`] of each frame that is delivered. Guests send what policies
//! forbid ([`hostile`]), which nobody may get to see.
//!
//! A run says by policies or by the bridge in which VLAN machines are; either way all of them are in the run's, but for one
//! that is moved to another for a while.
//!
//! Spec: rules 24, 29, 35 and 47 of the contract.

use std::collections::BTreeMap;

use ndis_sys::*;
use switch_ext::NicId;

use crate::administrator::{Port, bytes_of, header, set_whole};
use crate::fault::{Fault, goes_wrong};
use crate::packets::{Frames, OutOfBand};
use crate::scenario::{HOST, PLACES, insist, nic_of};
use crate::world::{Random, World, rule, with};

/// How a port's adapter is put into a VLAN of which it knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vlan {
    Access(u16),
    /// By the native VLAN of a trunk, which carries another as well.
    Native(u16),
    /// As a member of a private VLAN's community, in a primary VLAN of the same number.
    Community(u16),
}

impl Vlan {
    fn id(self) -> u16 {
        match self {
            Vlan::Access(id) | Vlan::Native(id) | Vlan::Community(id) => id,
        }
    }
}

/// What a port has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policies {
    pub vlan: Option<Vlan>,
    /// Its adapter sends from its own address alone.
    pub is_guarded: bool,
    /// When they were changed last; the end of time while they are being changed.
    pub since: u64,
}

/// A change of one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Vlan(Option<Vlan>),
    Guard(bool),
}

/// The VLAN of a run in which there are any, the one to which a machine is moved, and one that nobody is in.
pub(crate) const HOME: u16 = 5;
const ELSEWHERE: u16 = 6;
const NOBODYS: u16 = 9;
/// The type of frames that policies forbid, for experiments; whose address they come from if it is not the sender's.
const HOSTILE: [u8; 2] = [0x88, 0xb5];
const STRANGER: [u8; 5] = [2, 0, 0, 0, 0xee];
/// Whose address frames come from that are in a tunnel's packets of a VLAN in which its end is not.
const ASTRAY: [u8; 6] = [2, 0, 0, 0, 0xef, 1];

/// True if policies say what VLAN the adapter called `name` is in: machines and the host, also where it is a tunnel's end.
pub(crate) fn are_for(w: &World, name: &str) -> bool {
    w.by_policy && (name.starts_with("vm") || name.starts_with("vEthernet"))
}

/// A way to put an adapter into the run's VLAN, of several that come to the same.
fn at_home(w: &mut World) -> Option<Vlan> {
    let id = w.vlan?;
    Some([Vlan::Access(id), Vlan::Native(id), Vlan::Community(id)][w.random.below(3)])
}

/// What a port is to have from the beginning.
pub(crate) fn wanted(w: &mut World, name: &str) -> Policies {
    let vlan = if are_for(w, name) { at_home(w) } else { None };
    Policies { vlan, is_guarded: w.is_guarded && !name.starts_with("Ethernet"), since: w.now_ns }
}

/// Gives a port what it is to have, before its adapter comes.
pub(crate) fn give(port: u32, name: &str) {
    let Policies { vlan, is_guarded, .. } = with(|w| wanted(w, name));
    if vlan.is_some() {
        change(port, Change::Vlan(vlan));
    }
    if is_guarded {
        change(port, Change::Guard(true));
    }
}

/// The policies of a port change for a while, and are again what they were. A machine's may be without any; what is the end
/// of a tunnel is always in some VLAN.
pub(crate) fn disturb(port: u32, name: &str) {
    let (vlan, away) = with(|w| {
        let ways = [Some(Vlan::Access(ELSEWHERE)), Some(Vlan::Native(ELSEWHERE)), None];
        let away = ways[w.random.below(if name.starts_with("vm") { 3 } else { 2 })];
        (if are_for(w, name) { at_home(w) } else { None }, away)
    });
    if vlan.is_some() {
        change(port, Change::Vlan(away));
        crate::administrator::sleep(40);
        change(port, Change::Vlan(vlan));
    }
    let is_guarded = with(|w| w.is_guarded);
    change(port, Change::Guard(!is_guarded));
    crate::administrator::sleep(20);
    change(port, Change::Guard(is_guarded));
}

fn of_port(w: &mut World, port: u32) -> &mut Policies {
    &mut w.administrator.as_mut().expect("running").ports.get_mut(&port).expect("there").policies
}

/// PORT_PROPERTY_ADD, UPDATE or DELETE, until nobody refuses.
pub(crate) fn change(port: u32, to: Change) {
    let before = with(|w| {
        let policies = of_port(w, port);
        let before = *policies;
        policies.since = u64::MAX;
        before
    });
    let (kind, had, property) = match to {
        Change::Vlan(vlan) => {
            (NdisSwitchPortPropertyTypeVlan, before.vlan.is_some(), vlan.map(vlan_property))
        }
        Change::Guard(on) => {
            (NdisSwitchPortPropertyTypeSecurity, before.is_guarded, on.then(security_property))
        }
    };
    if !goes_wrong(Fault::WithholdAPolicy) {
        match property {
            Some(property) => {
                let oid = if had { OID_SWITCH_PORT_PROPERTY_UPDATE } else { OID_SWITCH_PORT_PROPERTY_ADD };
                insist(|| set_whole(oid, property_parameters(port, kind, &property)) == NDIS_STATUS_SUCCESS);
            }
            None if had => {
                let status = set_whole(OID_SWITCH_PORT_PROPERTY_DELETE, delete_parameters(port, kind));
                rule(status == NDIS_STATUS_SUCCESS, "a policy cannot be taken away (rule 25)");
            }
            None => {}
        }
    }
    with(|w| {
        let now = w.now_ns;
        let policies = of_port(w, port);
        match to {
            Change::Vlan(vlan) => policies.vlan = vlan,
            Change::Guard(on) => policies.is_guarded = on,
        }
        policies.since = now;
    });
}

/// The bytes of a VLAN's policy.
fn vlan_property(vlan: Vlan) -> Vec<u8> {
    // SAFETY: zeros are a valid value of both.
    let (mut p, mut private): (NDIS_SWITCH_PORT_PROPERTY_VLAN, NDIS_SWITCH_PORT_PROPERTY_PVLAN) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    p.Header = header(NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_VLAN_REVISION_1);
    match vlan {
        Vlan::Access(id) => (p.OperationMode, p.AccessVlanId) = (NdisSwitchPortVlanModeAccess, id),
        Vlan::Native(id) => {
            (p.OperationMode, p.NativeVlanId) = (NdisSwitchPortVlanModeTrunk, id);
            // All but those that are met here.
            p.TrunkVlanIdArray = [!0; 64];
            p.PruneVlanIdArray[0] = 1 << HOME | 1 << ELSEWHERE | 1 << NOBODYS;
        }
        Vlan::Community(id) => {
            (private.Header, private.OperationMode) = (p.Header, NdisSwitchPortVlanModePrivate);
            (private.PvlanMode, private.PrimaryVlanId) = (NdisSwitchPortPvlanModeCommunity, id);
            private.SecondaryVlanIdArray[0] = u64::from(id);
            let mut bytes = bytes_of(&private);
            bytes.resize(size_of::<NDIS_SWITCH_PORT_PROPERTY_VLAN>(), 0);
            return bytes;
        }
    }
    bytes_of(&p)
}

/// The bytes of a policy that lets an adapter have its own address only.
fn security_property() -> Vec<u8> {
    // SAFETY: zeros are a valid value.
    let mut p: NDIS_SWITCH_PORT_PROPERTY_SECURITY = unsafe { std::mem::zeroed() };
    p.Header = header(NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_SECURITY_REVISION_1);
    bytes_of(&p)
}

/// Parameters with a property behind them.
fn property_parameters(port: u32, kind: i32, property: &[u8]) -> Vec<u8> {
    const GAP: usize = 8;
    // SAFETY: zeros are a valid value.
    let mut p: NDIS_SWITCH_PORT_PROPERTY_PARAMETERS = unsafe { std::mem::zeroed() };
    p.Header = header(NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_PARAMETERS_REVISION_1);
    (p.PortId, p.PropertyType) = (port, kind);
    p.SerializationVersion = NDIS_SWITCH_OBJECT_SERIALIZATION_VERSION_1;
    let at = size_of::<NDIS_SWITCH_PORT_PROPERTY_PARAMETERS>() + GAP;
    (p.PropertyBufferOffset, p.PropertyBufferLength) = (at as u32, property.len() as u32);
    [bytes_of(&p), vec![0xab; GAP], property.to_vec()].concat()
}

fn delete_parameters(port: u32, kind: i32) -> Vec<u8> {
    // SAFETY: zeros are a valid value.
    let mut p: NDIS_SWITCH_PORT_PROPERTY_DELETE_PARAMETERS = unsafe { std::mem::zeroed() };
    p.Header = header(NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_DELETE_PARAMETERS_REVISION_1);
    (p.PortId, p.PropertyType) = (port, kind);
    bytes_of(&p)
}

/// The parameters of a request about a policy, without what the policy says.
pub(crate) fn bare(port: u32, oid: u32) -> Vec<u8> {
    let kind = NdisSwitchPortPropertyTypeVlan;
    if oid == OID_SWITCH_PORT_PROPERTY_DELETE {
        return delete_parameters(port, kind);
    }
    let mut bytes = property_parameters(port, kind, &[]);
    bytes.truncate(size_of::<NDIS_SWITCH_PORT_PROPERTY_PARAMETERS>());
    bytes
}

/// Policies that a driver has to refuse, for nobody would enforce them, and such as it has to pass on, are tried on a port.
pub(crate) fn try_all(port: u32) {
    let add = |kind, property: &[u8]| {
        set_whole(OID_SWITCH_PORT_PROPERTY_ADD, property_parameters(port, kind, property))
    };
    let (vlan, mut strange, mut beyond) = (vlan_property(Vlan::Access(ELSEWHERE)), vec![], vec![]);
    strange.extend_from_slice(&vlan);
    strange[std::mem::offset_of!(NDIS_SWITCH_PORT_PROPERTY_VLAN, OperationMode)] = 9;
    beyond.extend_from_slice(&vlan);
    let at = std::mem::offset_of!(NDIS_SWITCH_PORT_PROPERTY_VLAN, AccessVlanId);
    beyond[at..at + 2].copy_from_slice(&4095u16.to_le_bytes());
    let short = &vlan[..vlan.len() - 1];
    // SAFETY: zeros are a valid value.
    let mut isolation: NDIS_SWITCH_PORT_PROPERTY_ISOLATION = unsafe { std::mem::zeroed() };
    isolation.Header = header(NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_ISOLATION_REVISION_1);
    let of_the_switch = bytes_of(&isolation);
    isolation.IsolationMode = 3;
    let isolated = bytes_of(&isolation);
    for (kind, property) in [
        (NdisSwitchPortPropertyTypeVlan, &strange[..]),
        (NdisSwitchPortPropertyTypeVlan, &beyond),
        (NdisSwitchPortPropertyTypeVlan, short),
        (NdisSwitchPortPropertyTypeSecurity, &[]),
        (NdisSwitchPortPropertyTypeIsolation, &isolated),
        (NdisSwitchPortPropertyTypeRoutingDomain, &[]),
    ] {
        let refused = add(kind, property) != NDIS_STATUS_SUCCESS;
        rule(refused, "a policy that nobody enforces was accepted (rule 24)");
    }
    const PROFILE: i32 = 4;
    for (kind, property) in [
        (NdisSwitchPortPropertyTypeVlan, &vlan[..]),
        (NdisSwitchPortPropertyTypeIsolation, &of_the_switch),
        (PROFILE, &[0; 40]),
    ] {
        insist(|| add(kind, property) == NDIS_STATUS_SUCCESS);
    }
}

/// The policies of a kind that a port has, as an answer to whoever asks; its bytes, of which it may have too few.
///
/// The driver asks with these parameters, so many bytes of them.
pub(crate) fn enumerate(
    w: &World,
    p: &NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS,
    len: u32,
) -> Result<Vec<u8>, &'static str> {
    let size = NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS_REVISION_1;
    let head = p.Header;
    let is_whole = head.Type == NDIS_OBJECT_TYPE_DEFAULT && head.Revision == 1 && head.Size == size;
    if !is_whole || len < u32::from(size) || p.SerializationVersion != 1 {
        return Err("policies are asked for with a wrong header, length or version (rule 35)");
    }
    if !w.ledger.port_references.contains_key(&p.PortId) {
        return Err("policies are asked for of a port that may go (rule 29)");
    }
    let a = w.administrator.as_ref().expect("running");
    if !a.active {
        return Err("policies are asked for before the switch is active (rule 32)");
    }
    let policies = a.ports.get(&p.PortId).map(|port| port.policies).unwrap_or_default();
    let property = match p.PropertyType {
        NdisSwitchPortPropertyTypeVlan => policies.vlan.map(vlan_property),
        NdisSwitchPortPropertyTypeSecurity => policies.is_guarded.then(security_property),
        _ => None,
    };
    Ok(listed(p, property))
}

/// An answer with a property, or none.
fn listed(p: &NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS, property: Option<Vec<u8>>) -> Vec<u8> {
    const FIRST: usize = 64;
    let mut p = *p;
    (p.FirstPropertyOffset, p.NumProperties) = (FIRST as u32, u32::from(property.is_some()));
    let mut bytes = bytes_of(&p);
    bytes.resize(FIRST, 0xab);
    if let Some(property) = property {
        // SAFETY: zeros are a valid value.
        let mut info: NDIS_SWITCH_PORT_PROPERTY_ENUM_INFO = unsafe { std::mem::zeroed() };
        info.Header = header(NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_ENUM_INFO_REVISION_1);
        info.PropertyBufferOffset = size_of_val(&info) as u32;
        info.PropertyBufferLength = property.len() as u32;
        info.QwordAlignedPropertyBufferLength = property.len().next_multiple_of(8) as u32;
        bytes.extend(bytes_of(&info));
        let end = bytes.len() + property.len().next_multiple_of(8);
        bytes.extend(property);
        bytes.resize(end, 0xab);
    }
    bytes
}

/// The VLAN that an adapter is in since before `moment`; `None` if that cannot be said: it was changed since, or a packet of the
/// driver's own names no adapter.
fn home_of(w: &World, ports: &BTreeMap<u32, Port>, nic: NicId, moment: u64) -> Option<Option<u16>> {
    if !w.by_policy {
        return Some(w.vlan);
    }
    let port = ports.get(&nic.port)?;
    if !are_for(w, &port.name) {
        return Some(w.vlan);
    }
    (port.policies.since < moment).then(|| port.policies.vlan.map(Vlan::id))
}

/// The VLAN in which the host is, as [`home_of`] says it, where it is the end of a tunnel.
fn tunnels_end(w: &World, moment: u64) -> Option<Option<Option<u16>>> {
    w.far.as_ref()?;
    let ports = &w.administrator.as_ref()?.ports;
    Some(home_of(w, ports, nic_of(&PLACES[HOST]), moment))
}

/// Looks at a frame that came from one adapter and is delivered to another, with the word of its tag; what it breaks. The
/// driver has known it no earlier than `moment`.
pub(crate) fn check(
    w: &World,
    (source, to): (NicId, NicId),
    (frame, tag): (&[u8], u64),
    moment: u64,
) -> Result<(), &'static str> {
    let ports = &w.administrator.as_ref().expect("running").ports;
    let settled = |nic: NicId| ports.get(&nic.port).map(|p| p.policies).filter(|p| p.since < moment);
    if frame.get(12..14) == Some(&HOSTILE) {
        let sender = settled(source);
        let is_strange = is_strange(frame);
        if is_strange && sender.is_some_and(|p| p.is_guarded) {
            return Err("a frame from an address that its adapter may not have (rule 47)");
        }
        if !is_strange && sender.is_some_and(|p| p.vlan.is_some()) {
            return Err("a frame of a VLAN that its adapter is not in (rule 47)");
        }
    }
    let is_external = |nic| w.guest_at(nic).is_some_and(|g| w.guests[g].is_external);
    let from = home_of(w, ports, source, moment);
    let home = home_of(w, ports, to, moment);
    // The wire has tags: of the VLAN that the sender is in, or of the host's where all of it goes through its tunnel.
    let on_the_wire = match tunnels_end(w, moment) {
        Some(host) => host,
        None => from,
    };
    if !is_external(to) && frame.get(6..12) == Some(&ASTRAY) {
        return Err("a packet of a VLAN in which its tunnel's end is not comes out of the tunnel (rule 47)");
    }
    let wanted = if is_external(to) { on_the_wire } else { home.map(|_| None) };
    // An adapter without a policy, where the others have one, is a trunk.
    let is_trunk = home == Some(None) && w.vlan.is_some();
    let word = |id: Option<u16>| id.map_or(0, |id| u64::from(id) << 4);
    if !is_trunk && wanted.is_some_and(|wanted| word(wanted) != tag) {
        return Err("a tag on the wrong side of the bridge");
    }
    let are_apart = |(from, home)| from != home;
    if !is_external(to) && !is_trunk && from.zip(home).is_some_and(are_apart) {
        return Err("a frame reaches an adapter of another VLAN (rule 47)");
    }
    Ok(())
}

/// Now and then, something that policies forbid an adapter to send; where there are none it may.
pub(crate) fn hostile(
    w: &mut World,
    nic: NicId,
    mac: [u8; 6],
    random: &mut Random,
) -> Option<(Frames, OutOfBand)> {
    if !random.once_in(12) {
        return None;
    }
    let port = w.administrator.as_ref()?.ports.get(&nic.port)?;
    let Policies { vlan, is_guarded, .. } = port.policies;
    let tag = [0x81, 0, 0, NOBODYS as u8];
    let stranger = [STRANGER[0], STRANGER[1], STRANGER[2], STRANGER[3], STRANGER[4], mac[5]];
    let (from, inside, beside) = match random.below(3) {
        0 => (stranger, &tag[..0], 0),
        _ if vlan.is_none() => return None,
        1 => (mac, &tag[..], 0),
        _ => (mac, &tag[..0], u64::from(NOBODYS) << 4),
    };
    w.counts.forbidden += u64::from(from == mac || is_guarded);
    let frame = [&[0xff; 6], &from[..], inside, &HOSTILE, &[0; 46]].concat();
    Some((vec![frame], OutOfBand { vlan: beside, ..OutOfBand::default() }))
}

/// Now and then, a packet of the tunnel with a tag of another VLAN than the host is in by its port's policy, or without one.
pub(crate) fn astray(w: &mut World, random: &mut Random) -> Vec<(Frames, OutOfBand)> {
    if !w.by_policy || !random.once_in(12) {
        return Vec::new();
    }
    let Some(far) = &mut w.far else { return Vec::new() };
    let frame = [&[0xff; 6], &ASTRAY[..], &HOSTILE, &[0; 46]].concat();
    let vlan = if random.once_in(2) { 0 } else { u64::from(NOBODYS) << 4 };
    let packets = far.encapsulate(vec![frame], random);
    w.counts.astray += 1;
    packets.into_iter().map(|p| (vec![p], OutOfBand { vlan, ..OutOfBand::default() })).collect()
}

/// True for a frame from an address that is not its sender's.
pub(crate) fn is_strange(frame: &[u8]) -> bool {
    frame.get(6..11) == Some(&STRANGER)
}

/// True if a guest at the wire is in the VLAN of a frame that arrives there.
pub(crate) fn is_heard(w: &World, tag: u64) -> bool {
    w.vlan.map_or(0, |id| u64::from(id) << 4) == tag
}
