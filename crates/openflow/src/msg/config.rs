//! What a switch says of itself: features, configuration, description.
//!
//! Where it sits: bodies of FEATURES_REPLY, GET_CONFIG_REPLY, SET_CONFIG and DESC; answered by the switch from its own
//! state, printed by `show`, `get-frags` and `dump-desc`.
//!
//! Spec: OpenFlow 1.5.1 sections 7.3.1, 7.3.2, 7.3.5.2.

use crate::{OfpError, PutBytes, Version};

use super::ports::{PortDesc, port_desc_len};
use super::raw::Raw;
use super::{PutBody, Reader, Result};

bitflags::bitflags! {
    /// What a switch can do. Bits are OpenFlow 1.4's, but for two that share a number.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u32 {
        /// Flow statistics.
        const FLOW_STATS = 1 << 0;
        /// Table statistics.
        const TABLE_STATS = 1 << 1;
        /// Port statistics.
        const PORT_STATS = 1 << 2;
        /// Reassembles IP fragments.
        const IP_REASM = 1 << 5;
        /// Queue statistics.
        const QUEUE_STATS = 1 << 6;
        /// Matches IP addresses in ARP (1.0, 1.1).
        const ARP_MATCH_IP = 1 << 7;
        /// Blocks ports to avoid loops (1.2 and later).
        const PORT_BLOCKED = 1 << 8;
        /// Bundles (1.4 and later).
        const BUNDLES = 1 << 9;
        /// Flow monitoring (1.4 and later).
        const FLOW_MONITORING = 1 << 10;
        /// 802.1D spanning tree (1.0, where its bit is 3).
        const STP = 1 << 16;
        /// Group statistics (1.1 and later, where its bit is 3).
        const GROUP_STATS = 1 << 17;
    }
}

impl Capabilities {
    fn known(version: Version) -> Capabilities {
        Capabilities::from_bits_truncate(match version {
            Version::V10 | Version::V11 => 0x0e7,
            Version::V12 | Version::V13 => 0x167,
            Version::V14 | Version::V15 => 0x767,
        })
    }

    fn decode(version: Version, bits: u32) -> Capabilities {
        let mut caps = Capabilities::from_bits_truncate(bits) & Capabilities::known(version);
        if bits & 1 << 3 != 0 {
            caps |= if version == Version::V10 { Capabilities::STP } else { Capabilities::GROUP_STATS };
        }
        caps
    }

    fn encode(self, version: Version) -> u32 {
        let third = if version == Version::V10 { Capabilities::STP } else { Capabilities::GROUP_STATS };
        (self & Capabilities::known(version)).bits() | u32::from(self.contains(third)) << 3
    }
}

/// Body of FEATURES_REPLY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchFeatures {
    /// The switch's number, usually its MAC address in the low 48 bits.
    pub datapath_id: u64,
    /// Packets that the switch can hold back; zero.
    pub n_buffers: u32,
    /// Number of tables.
    pub n_tables: u8,
    /// Zero for the main connection.
    pub auxiliary_id: u8,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Supported actions as bits of OpenFlow 1.0's action types; only 1.0 carries them.
    pub actions: u32,
    /// The ports, in 1.0 to 1.2.
    pub ports: Vec<PortDesc>,
}

/// Bits of OpenFlow 1.0's action types that there are.
pub const OF10_ACTIONS: u32 = 0xfff;

impl SwitchFeatures {
    pub(super) fn decode(version: Version, mut r: Reader<'_>) -> Result<SwitchFeatures> {
        let datapath_id = r.u64()?;
        let n_buffers = r.u32()?;
        let (n_tables, auxiliary_id) = (r.u8()?, r.u8()?);
        r.skip(2)?;
        let capabilities = Capabilities::decode(version, r.u32()?);
        let actions = r.u32()?;
        let mut ports = Vec::new();
        while !r.is_empty() {
            ports.push(PortDesc::decode(version, &mut r)?);
        }
        Ok(SwitchFeatures {
            datapath_id,
            n_buffers,
            n_tables,
            auxiliary_id: if version >= Version::V13 { auxiliary_id } else { 0 },
            capabilities,
            actions: if version == Version::V10 { actions & OF10_ACTIONS } else { 0 },
            ports,
        })
    }

    /// Ports for which the message has no room are left out.
    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>, at: usize) {
        out.put_u64(self.datapath_id);
        out.put_u32(self.n_buffers);
        out.put_u8(self.n_tables);
        out.put_u8(if version >= Version::V13 { self.auxiliary_id } else { 0 });
        out.put_zeros(2);
        out.put_u32(self.capabilities.encode(version));
        out.put_u32(if version == Version::V10 { self.actions } else { 0 });
        if version < Version::V13 {
            for port in &self.ports {
                if out.len() - at + port_desc_len(version) > usize::from(u16::MAX) {
                    break;
                }
                port.encode(version, out);
            }
        }
    }
}

/// What a switch does with IP fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FragMode {
    /// Matches them without looking at transport ports.
    #[default]
    Normal = 0,
    /// Drops them.
    Drop = 1,
    /// Reassembles them.
    Reassemble = 2,
    /// Matches the first fragment with its ports (Nicira).
    NxMatch = 3,
}

impl FragMode {
    /// The modes with their names in text.
    pub const NAMES: [(FragMode, &str); 4] = [
        (FragMode::Normal, "normal"),
        (FragMode::Drop, "drop"),
        (FragMode::Reassemble, "reassemble"),
        (FragMode::NxMatch, "nx-match"),
    ];

    /// The name in text.
    pub fn name(self) -> &'static str {
        FragMode::NAMES[self as usize].1
    }

    /// The mode called `name`, in any case.
    pub fn from_name(name: &str) -> Option<FragMode> {
        FragMode::NAMES.into_iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(mode, _)| mode)
    }
}

/// Body of GET_CONFIG_REPLY and SET_CONFIG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwitchConfig {
    /// What is done with fragments.
    pub frag: FragMode,
    /// Packets with an invalid TTL go to the controller; only 1.0 to 1.2 carry it.
    pub invalid_ttl_to_controller: bool,
    /// How much of a packet without a matching flow the controller gets.
    pub miss_send_len: u16,
}

impl SwitchConfig {
    /// The flag of 1.0 to 1.2.
    const INVALID_TTL: u16 = 4;

    pub(super) fn decode(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<SwitchConfig> {
        let flags = r.u16()?;
        let known = if version < Version::V13 { 7 } else { 3 };
        if flags & !known != 0 && raw == Raw::OfptSetConfig {
            return Err(OfpError::OFPSCFC_BAD_FLAGS);
        }
        let flags = flags & known;
        Ok(SwitchConfig {
            frag: FragMode::NAMES[usize::from(flags & 3)].0,
            invalid_ttl_to_controller: flags & Self::INVALID_TTL != 0,
            miss_send_len: r.u16()?,
        })
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let ttl = self.invalid_ttl_to_controller && version < Version::V13;
        out.put_u16(self.frag as u16 | if ttl { Self::INVALID_TTL } else { 0 });
        out.put_u16(self.miss_send_len);
    }
}

/// Body of the DESC reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchDesc {
    /// Manufacturer.
    pub manufacturer: String,
    /// Hardware.
    pub hardware: String,
    /// Software version.
    pub software: String,
    /// Serial number.
    pub serial: String,
    /// Human-readable name of the switch.
    pub datapath: String,
}

impl SwitchDesc {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<SwitchDesc> {
        Ok(SwitchDesc {
            manufacturer: r.string::<256>()?,
            hardware: r.string::<256>()?,
            software: r.string::<256>()?,
            serial: r.string::<32>()?,
            datapath: r.string::<256>()?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(&self.manufacturer, 256);
        out.put_string(&self.hardware, 256);
        out.put_string(&self.software, 256);
        out.put_string(&self.serial, 32);
        out.put_string(&self.datapath, 256);
    }
}
