//! Controller roles and asynchronous configuration: who is in charge and who is told what.
//!
//! Where it sits: a connection of the switch holds one role and one [`AsyncConfig`]; these are the messages about them.
//!
//! Nicira's role numbers are OpenFlow 1.2's minus one and have no generation. Spec: OpenFlow 1.5.1 sections 7.3.8 to
//! 7.3.10.

use crate::{OfpError, PutBytes, Version};

use super::raw::Raw;
use super::{Reader, Result, header, props};

/// The role of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Role {
    /// A question only.
    NoChange = 0,
    /// As the other equals.
    Equal = 1,
    /// In charge alone.
    Primary = 2,
    /// Reads only.
    Secondary = 3,
}

impl Role {
    fn from_wire(n: u32) -> Result<Role> {
        match n {
            0 => Ok(Role::NoChange),
            1 => Ok(Role::Equal),
            2 => Ok(Role::Primary),
            3 => Ok(Role::Secondary),
            _ => Err(OfpError::OFPRRFC_BAD_ROLE),
        }
    }

    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            Role::NoChange => "nochange",
            Role::Equal => "equal",
            Role::Primary => "primary",
            Role::Secondary => "secondary",
        }
    }
}

/// Body of ROLE_REQUEST and ROLE_REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleMessage {
    /// The role.
    pub role: Role,
    /// The generation; `None` in Nicira's form, and where none was set or none counts.
    pub generation_id: Option<u64>,
}

impl RoleMessage {
    pub(super) fn decode(raw: Raw, mut r: Reader<'_>) -> Result<RoleMessage> {
        if matches!(raw, Raw::NxtRoleRequest | Raw::NxtRoleReply) {
            let role = Role::from_wire(r.u32()?.checked_add(1).ok_or(OfpError::OFPRRFC_BAD_ROLE)?)?;
            return Ok(RoleMessage { role, generation_id: None });
        }
        let role = Role::from_wire(r.u32()?)?;
        r.skip(4)?;
        let generation = r.u64()?;
        let asks = raw == Raw::Ofpt12RoleRequest && role == Role::NoChange;
        let said = generation != u64::MAX && !asks;
        Ok(RoleMessage { role, generation_id: said.then_some(generation) })
    }

    /// Appends the message: `nx` is Nicira's row, `of12` the standard one.
    pub(super) fn encode(&self, nx: Raw, of12: Raw, version: Version, xid: u32, out: &mut Vec<u8>) {
        let raw = if version < Version::V12 { nx } else { of12 };
        let at = header::start(out, raw, version.wire(), xid);
        if raw == nx {
            out.put_u32((self.role as u32).saturating_sub(1));
        } else {
            out.put_u32(self.role as u32);
            out.put_zeros(4);
            out.put_u64(self.generation_id.unwrap_or(u64::MAX));
        }
        header::finish(out, at);
    }
}

/// Why a role changed without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RoleReason {
    /// Another controller became primary.
    PrimaryRequest = 0,
    /// The switch's configuration.
    Config = 1,
    /// An experimenter's.
    Experimenter = 2,
}

/// Body of ROLE_STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleStatus {
    /// The new role.
    pub role: Role,
    /// Why.
    pub reason: RoleReason,
    /// The generation.
    pub generation_id: u64,
}

impl RoleStatus {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<RoleStatus> {
        let role = match Role::from_wire(r.u32()?)? {
            Role::NoChange => return Err(OfpError::OFPRRFC_BAD_ROLE),
            role => role,
        };
        let reason = match r.u8()? {
            0 => RoleReason::PrimaryRequest,
            1 => RoleReason::Config,
            2 => RoleReason::Experimenter,
            _ => return Err(OfpError::OFPRRFC_BAD_ROLE),
        };
        r.skip(3)?;
        Ok(RoleStatus { role, reason, generation_id: r.u64()? })
    }

    /// Appends the message; versions before 1.3 have none.
    pub(super) fn encode(&self, version: Version, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let raw = Raw::pick(&[Raw::Onft13RoleStatus, Raw::Ofpt14RoleStatus], version.wire());
        let at = header::start(out, raw.ok_or(OfpError::OFPBRC_BAD_VERSION)?, version.wire(), xid);
        out.put_u32(self.role as u32);
        out.put_u8(self.reason as u8);
        out.put_zeros(3);
        out.put_u64(self.generation_id);
        header::finish(out, at);
        Ok(())
    }
}

/// Kinds of asynchronous message, in the order of their properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the messages")]
pub enum AsyncKind {
    PacketIn = 0,
    PortStatus = 1,
    FlowRemoved = 2,
    RoleStatus = 3,
    TableStatus = 4,
    RequestForward = 5,
}

/// Which reasons of which asynchronous messages a controller gets: a bit per reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsyncConfig {
    /// While primary or equal, by [`AsyncKind`].
    pub primary: [u32; 6],
    /// While secondary.
    pub secondary: [u32; 6],
}

impl AsyncConfig {
    /// What a controller of `version` gets before it says otherwise.
    pub fn default_for(version: Version) -> AsyncConfig {
        // no match, action, action set, group, packet-out; explicit and implicit misses are decided apart
        let packet_in = 0x3b;
        let flow_removed = match version {
            Version::V10 | Version::V11 | Version::V12 => 0x7,
            Version::V13 => 0xf,
            Version::V14 | Version::V15 => 0x3f,
        };
        AsyncConfig { primary: [packet_in, 7, flow_removed, 0, 0, 0], secondary: [0, 7, 0, 0, 0, 0] }
    }

    fn allowed(version: Version) -> [u32; 6] {
        let packet_in = if version < Version::V14 { 0x07 } else { 0x3f };
        [packet_in, 0x07, 0x3f, 0x07, 0x18, 0x03]
    }

    /// Reads the message over `self`: masks that it does not mention stay.
    pub(super) fn decode(mut self, raw: Raw, version: Version, mut r: Reader<'_>) -> Result<AsyncConfig> {
        let allowed = AsyncConfig::allowed(version);
        match raw {
            Raw::Ofpt13SetAsync | Raw::Ofpt13GetAsyncReply | Raw::NxtSetAsyncConfig => {
                for (kind, allowed) in allowed.into_iter().enumerate().take(3) {
                    self.primary[kind] = r.u32()? & allowed;
                    self.secondary[kind] = r.u32()? & allowed;
                }
            }
            _ => {
                while !r.is_empty() {
                    let prop = props::next(&mut r, &[0xfffe, 0xffff])?;
                    let kind = usize::from(prop.kind / 2);
                    if prop.experimenter.is_some() {
                        return Err(OfpError::OFPBPC_BAD_EXP_TYPE);
                    }
                    let allowed = *allowed.get(kind).ok_or(OfpError::OFPACFC_UNSUPPORTED)?;
                    let mask = prop.u32()?;
                    if mask & !allowed != 0 {
                        return Err(OfpError::OFPACFC_INVALID);
                    }
                    let masks = if prop.kind % 2 == 0 { &mut self.secondary } else { &mut self.primary };
                    masks[kind] = mask;
                }
            }
        }
        Ok(self)
    }

    /// Appends a message that says all masks: `fixed` are the rows with three masks, by preference, then `list`.
    pub(super) fn encode(&self, rows: &[Raw], version: Version, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let raw = Raw::pick(rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
        let allowed = AsyncConfig::allowed(version);
        let at = header::start(out, raw, version.wire(), xid);
        let masks = self.primary.iter().zip(&self.secondary).zip(allowed);
        if matches!(raw, Raw::Ofpt13SetAsync | Raw::Ofpt13GetAsyncReply | Raw::NxtSetAsyncConfig) {
            for ((primary, secondary), allowed) in masks.take(3) {
                out.put_u32(primary & allowed);
                out.put_u32(secondary & allowed);
            }
        } else {
            for (kind, ((primary, secondary), allowed)) in (0u16..).step_by(2).zip(masks) {
                props::put_u32(out, kind, secondary & allowed);
                props::put_u32(out, kind + 1, primary & allowed);
            }
        }
        header::finish(out, at);
        Ok(())
    }
}
