//! Policies of the switch's ports, read: from requests, and from the switch's answers.
//!
//! Where it sits: used by `oid.rs`; what they mean is `switch-ext`'s matter.
//!
//! A policy is refused if nobody would enforce it: one of VLANs or security that cannot be read, and isolation other than the
//! switch's own. What is no policy of the switch's (profiles, vendors' own) is passed on.
//!
//! Spec: NDIS_SWITCH_PORT_PROPERTY_…; offsets and lengths inside a request are not to be believed.

use alloc::vec::Vec;
use core::mem::offset_of;

use ndis::{Ask, Switch};
use ndis_sys::*;
use switch_ext::{Oid, Policy, PolicyKind, Security, VlanPolicy, VlanSet};

use crate::oid::{Unread, ask, bytes, checked, i32_at, u16_at, u32_at};

/// The last VLAN that there can be.
const LAST_VLAN: u16 = 4094;

/// Policies that are kept, and what the switch calls them.
const KINDS: [i32; 2] = [NdisSwitchPortPropertyTypeVlan, NdisSwitchPortPropertyTypeSecurity];

/// A request for a policy, or for another in its place.
pub(crate) fn wanted(input: &[u8]) -> Oid {
    type Parameters = NDIS_SWITCH_PORT_PROPERTY_PARAMETERS;
    let Some(from) = checked(input, NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_PARAMETERS_REVISION_1) else {
        return Oid::Other;
    };
    let part = || {
        let at = u32_at(from, offset_of!(Parameters, PropertyBufferOffset))?;
        let len = u32_at(from, offset_of!(Parameters, PropertyBufferLength))?;
        part(from, at, len)
    };
    let port = u32_at(from, offset_of!(Parameters, PortId));
    let kind = i32_at(from, offset_of!(Parameters, PropertyType));
    let (Some(port), Some(kind)) = (port, kind) else { return Oid::Other };
    match kind {
        NdisSwitchPortPropertyTypeVlan | NdisSwitchPortPropertyTypeSecurity => {
            match part().ok_or(Unread::Malformed).and_then(|part| policy(kind, part)) {
                Ok(policy) => Oid::PolicyWanted(port, policy),
                Err(Unread::NoMemory) => Oid::NoMemory,
                Err(Unread::Malformed) => Oid::UnknownPolicy,
            }
        }
        NdisSwitchPortPropertyTypeIsolation if part().is_some_and(is_the_switchs_own) => Oid::Other,
        NdisSwitchPortPropertyTypeIsolation | NdisSwitchPortPropertyTypeRoutingDomain => Oid::UnknownPolicy,
        _ => Oid::Other,
    }
}

/// A policy that goes.
pub(crate) fn gone(input: &[u8]) -> Oid {
    type Parameters = NDIS_SWITCH_PORT_PROPERTY_DELETE_PARAMETERS;
    let from = checked(input, NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_DELETE_PARAMETERS_REVISION_1);
    let Some(port) = from.and_then(|from| u32_at(from, offset_of!(Parameters, PortId))) else {
        return Oid::Other;
    };
    match from.and_then(|from| i32_at(from, offset_of!(Parameters, PropertyType))) {
        Some(NdisSwitchPortPropertyTypeVlan) => Oid::PolicyGone(port, PolicyKind::Vlan),
        Some(NdisSwitchPortPropertyTypeSecurity) => Oid::PolicyGone(port, PolicyKind::Security),
        _ => Oid::Other,
    }
}

/// The bytes from `at` on, `len` of them, if they are there.
fn part(from: &[u8], at: u32, len: u32) -> Option<&[u8]> {
    from.get(at as usize..)?.get(..len as usize)
}

/// What the switch does by itself, with packets that it says are its own to forward, or does not do.
fn is_the_switchs_own(isolation: &[u8]) -> bool {
    let mode = checked(isolation, NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_ISOLATION_REVISION_1)
        .and_then(|from| i32_at(from, offset_of!(NDIS_SWITCH_PORT_PROPERTY_ISOLATION, IsolationMode)));
    matches!(mode, Some(NdisSwitchPortIsolationModeNone | NdisSwitchPortIsolationModeNativeVirtualSubnet))
}

fn policy(kind: i32, from: &[u8]) -> Result<Policy, Unread> {
    if kind == NdisSwitchPortPropertyTypeVlan {
        return vlans(from).map(Policy::Vlan);
    }
    type Structure = NDIS_SWITCH_PORT_PROPERTY_SECURITY;
    let from = checked(from, NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_SECURITY_REVISION_1);
    let flag = |at| from.and_then(|from| from.get(at)).map(|flag| *flag != 0).ok_or(Unread::Malformed);
    Ok(Policy::Security(Security {
        may_spoof: flag(offset_of!(Structure, AllowMacSpoofing))?,
        may_prioritise: flag(offset_of!(Structure, AllowIeeePriorityTag))?,
    }))
}

/// The VLANs of a port; `None` where its adapter is in none of them, by the switch's own default.
fn vlans(from: &[u8]) -> Result<Option<VlanPolicy>, Unread> {
    type Structure = NDIS_SWITCH_PORT_PROPERTY_VLAN;
    const UNKNOWN: i32 = 0;
    let from =
        checked(from, NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_VLAN_REVISION_1).ok_or(Unread::Malformed)?;
    let vlan = |at| u16_at(from, at).filter(|vlan| *vlan <= LAST_VLAN).ok_or(Unread::Malformed);
    match i32_at(from, offset_of!(Structure, OperationMode)).ok_or(Unread::Malformed)? {
        UNKNOWN => Ok(None),
        NdisSwitchPortVlanModeAccess => {
            let vlan = vlan(offset_of!(Structure, AccessVlanId))?;
            Ok((vlan != 0).then_some(VlanPolicy::Access(vlan)))
        }
        NdisSwitchPortVlanModeTrunk => {
            let (trunk, pruned) = (
                words(from, offset_of!(Structure, TrunkVlanIdArray)),
                words(from, offset_of!(Structure, PruneVlanIdArray)),
            );
            Ok(Some(VlanPolicy::Trunk {
                native: vlan(offset_of!(Structure, NativeVlanId))?,
                carried: VlanSet::try_of(trunk.zip(pruned).map(|(carried, not)| carried & !not))
                    .ok_or(Unread::NoMemory)?,
            }))
        }
        NdisSwitchPortVlanModePrivate => private(from).map(Some),
        _ => Err(Unread::Malformed),
    }
}

fn private(from: &[u8]) -> Result<VlanPolicy, Unread> {
    type Structure = NDIS_SWITCH_PORT_PROPERTY_PVLAN;
    const SECONDARY: usize = offset_of!(Structure, SecondaryVlanIdArray);
    let vlan = |at| u16_at(from, at).filter(|vlan| (1..=LAST_VLAN).contains(vlan)).ok_or(Unread::Malformed);
    let primary = vlan(offset_of!(Structure, PrimaryVlanId))?;
    match i32_at(from, offset_of!(Structure, PvlanMode)) {
        Some(NdisSwitchPortPvlanModeIsolated) => {
            Ok(VlanPolicy::Isolated { primary, secondary: vlan(SECONDARY)? })
        }
        Some(NdisSwitchPortPvlanModeCommunity) => {
            Ok(VlanPolicy::Community { primary, secondary: vlan(SECONDARY)? })
        }
        Some(NdisSwitchPortPvlanModePromiscuous) => {
            let secondary = VlanSet::try_of(words(from, SECONDARY)).ok_or(Unread::NoMemory)?;
            Ok(VlanPolicy::Promiscuous { primary, secondary })
        }
        _ => Err(Unread::Malformed),
    }
}

/// The words of a set of VLANs that begins at `at`.
fn words(from: &[u8], at: usize) -> impl Iterator<Item = u64> {
    let word = move |n: usize| bytes(from, at.saturating_add(n * 8)).map(u64::from_le_bytes);
    (0..VlanSet::WORDS).map_while(word)
}

/// Asks the switch for the policies that a port has; `None` if memory is short. What it does not tell, a port does not have.
pub(crate) fn of_port(switch: &Switch, port: u32, policies: &mut Vec<(u32, Policy)>) -> Option<()> {
    for kind in KINDS {
        // A port that is going needs none.
        let Some(answer) = switch.with_port(port, || enumerate(switch, port, kind)) else { return Some(()) };
        let answer = match answer {
            Ok(answer) => answer,
            Err(Unread::NoMemory) => return None,
            Err(Unread::Malformed) => continue,
        };
        for property in properties(&answer) {
            match policy(kind, property) {
                Ok(policy) => {
                    policies.try_reserve(1).ok()?;
                    policies.push((port, policy));
                }
                Err(Unread::NoMemory) => return None,
                Err(Unread::Malformed) => {}
            }
        }
    }
    Some(())
}

fn enumerate(switch: &Switch, port: u32, kind: i32) -> Result<Vec<u8>, Unread> {
    type Parameters = NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS;
    /// The parameters, and a policy of the largest kind behind them.
    const AT_FIRST: usize = size_of::<Parameters>()
        + size_of::<NDIS_SWITCH_PORT_PROPERTY_ENUM_INFO>()
        + size_of::<NDIS_SWITCH_PORT_PROPERTY_VLAN>();
    let mut input = [0; size_of::<Parameters>()];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(to) = input.get_mut(at..).and_then(|to| to.get_mut(..bytes.len())) {
            to.copy_from_slice(bytes);
        }
    };
    let [a, b] = NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS_REVISION_1.to_le_bytes();
    put(0, &[NDIS_OBJECT_TYPE_DEFAULT, 1, a, b]);
    put(offset_of!(Parameters, PortId), &port.to_le_bytes());
    put(offset_of!(Parameters, PropertyType), &kind.to_le_bytes());
    let version = NDIS_SWITCH_OBJECT_SERIALIZATION_VERSION_1.to_le_bytes();
    put(offset_of!(Parameters, SerializationVersion), &version);
    let how = Ask::Method(input.len());
    ask(switch, (OID_SWITCH_PORT_PROPERTY_ENUM, how), &input, AT_FIRST)
}

/// The policies in an answer.
fn properties(answer: &[u8]) -> impl Iterator<Item = &[u8]> {
    type Parameters = NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS;
    type Info = NDIS_SWITCH_PORT_PROPERTY_ENUM_INFO;
    let count = u32_at(answer, offset_of!(Parameters, NumProperties)).unwrap_or(0);
    let mut at = u32_at(answer, offset_of!(Parameters, FirstPropertyOffset)).unwrap_or(u32::MAX) as usize;
    (0..count).map_while(move |_| {
        let info = checked(answer.get(at..)?, NDIS_SIZEOF_NDIS_SWITCH_PORT_PROPERTY_ENUM_INFO_REVISION_1)?;
        let length = u32_at(info, offset_of!(Info, QwordAlignedPropertyBufferLength))?;
        at = at.checked_add(size_of::<Info>())?.checked_add(length as usize)?;
        let (from, len) = (
            u32_at(info, offset_of!(Info, PropertyBufferOffset))?,
            u32_at(info, offset_of!(Info, PropertyBufferLength))?,
        );
        part(info, from, len)
    })
}
