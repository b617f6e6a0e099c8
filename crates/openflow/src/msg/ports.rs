//! Ports on the wire: their description, status messages and changes.
//!
//! Where it sits: the switch describes its ports with [`PortDesc`] in FEATURES_REPLY, PORT_DESC and PORT_STATUS, and
//! obeys [`PortMod`].
//!
//! Configuration bits are OpenFlow 1.0's (a superset), link features are 1.1's; `state` has 1.1's bits and 1.0's
//! spanning-tree state, which do not overlap. Spec: OpenFlow 1.5.1 section 7.2.1.

use wire::EthAddr;

use crate::{OfpError, OfpPort, PutBytes, Version};

use super::{PutBody, Reader, Result, props};

bitflags::bitflags! {
    /// What an operator set on a port.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PortConfig: u32 {
        /// Administratively down.
        const PORT_DOWN = 1 << 0;
        /// No spanning tree (1.0).
        const NO_STP = 1 << 1;
        /// Drops what it receives.
        const NO_RECV = 1 << 2;
        /// Drops spanning-tree packets that it receives (1.0).
        const NO_RECV_STP = 1 << 3;
        /// Is left out of flooding (1.0).
        const NO_FLOOD = 1 << 4;
        /// Drops what is sent to it.
        const NO_FWD = 1 << 5;
        /// Makes no packet-ins.
        const NO_PACKET_IN = 1 << 6;
    }

    /// What a port's link does.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PortState: u32 {
        /// No link.
        const LINK_DOWN = 1 << 0;
        /// Blocked by something outside OpenFlow (1.1 and later).
        const BLOCKED = 1 << 1;
        /// Usable for fast failover (1.1 and later).
        const LIVE = 1 << 2;
        /// Two bits of spanning-tree state (1.0): listen, learn, forward, block.
        const STP_MASK = 3 << 8;
    }

    /// What a link can do.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct LinkFeatures: u32 {
        /// 10 Mb/s half duplex.
        const HD_10MB = 1 << 0;
        /// 10 Mb/s full duplex.
        const FD_10MB = 1 << 1;
        /// 100 Mb/s half duplex.
        const HD_100MB = 1 << 2;
        /// 100 Mb/s full duplex.
        const FD_100MB = 1 << 3;
        /// 1 Gb/s half duplex.
        const HD_1GB = 1 << 4;
        /// 1 Gb/s full duplex.
        const FD_1GB = 1 << 5;
        /// 10 Gb/s.
        const FD_10GB = 1 << 6;
        /// 40 Gb/s (1.1 and later).
        const FD_40GB = 1 << 7;
        /// 100 Gb/s (1.1 and later).
        const FD_100GB = 1 << 8;
        /// 1 Tb/s (1.1 and later).
        const FD_1TB = 1 << 9;
        /// Another rate (1.1 and later).
        const OTHER = 1 << 10;
        /// Copper.
        const COPPER = 1 << 11;
        /// Fiber.
        const FIBER = 1 << 12;
        /// Negotiates.
        const AUTONEG = 1 << 13;
        /// Pause frames.
        const PAUSE = 1 << 14;
        /// Pause frames in one direction.
        const PAUSE_ASYM = 1 << 15;
    }
}

impl PortConfig {
    fn known(version: Version) -> PortConfig {
        PortConfig::from_bits_truncate(if version == Version::V10 { 0x7f } else { 0x65 })
    }
}

impl PortState {
    fn known(version: Version) -> PortState {
        if version == Version::V10 {
            PortState::LINK_DOWN | PortState::STP_MASK
        } else {
            PortState::LINK_DOWN | PortState::BLOCKED | PortState::LIVE
        }
    }
}

impl LinkFeatures {
    /// Rates of up to 10 Gb/s, which every version numbers alike.
    const COMMON: u32 = 0x7f;

    fn decode(version: Version, bits: u32) -> LinkFeatures {
        LinkFeatures::from_bits_truncate(match version {
            Version::V10 => bits & Self::COMMON | (bits & 0xf80) << 4,
            _ => bits,
        })
    }

    fn encode(self, version: Version) -> u32 {
        match version {
            Version::V10 => self.bits() & Self::COMMON | (self.bits() & 0xf800) >> 4,
            _ => self.bits(),
        }
    }

    /// The highest rate in the set, in kb/s.
    pub fn kbps(self) -> u32 {
        const RATES: [(LinkFeatures, u32); 10] = [
            (LinkFeatures::FD_1TB, 1_000_000_000),
            (LinkFeatures::FD_100GB, 100_000_000),
            (LinkFeatures::FD_40GB, 40_000_000),
            (LinkFeatures::FD_10GB, 10_000_000),
            (LinkFeatures::FD_1GB, 1_000_000),
            (LinkFeatures::HD_1GB, 1_000_000),
            (LinkFeatures::FD_100MB, 100_000),
            (LinkFeatures::HD_100MB, 100_000),
            (LinkFeatures::FD_10MB, 10_000),
            (LinkFeatures::HD_10MB, 10_000),
        ];
        RATES.iter().find(|(bit, _)| self.contains(*bit)).map_or(0, |(_, kbps)| *kbps)
    }
}

/// A port as the switch describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortDesc {
    /// Its number.
    pub port: OfpPort,
    /// Its address.
    pub hw_addr: EthAddr,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its configuration.
    pub config: PortConfig,
    /// Its state.
    pub state: PortState,
    /// What its link does now.
    pub curr: LinkFeatures,
    /// What it offers to the other end.
    pub advertised: LinkFeatures,
    /// What it could do.
    pub supported: LinkFeatures,
    /// What the other end offers.
    pub peer: LinkFeatures,
    /// Rate now, in kb/s.
    pub curr_speed: u32,
    /// Highest rate, in kb/s.
    pub max_speed: u32,
}

/// Bytes that a description takes in `version` (1.4 and later with its one property).
pub(super) const fn port_desc_len(version: Version) -> usize {
    match version {
        Version::V10 => 48,
        Version::V11 | Version::V12 | Version::V13 => 64,
        Version::V14 | Version::V15 => 40 + 32,
    }
}

impl PortDesc {
    pub(super) fn decode(version: Version, r: &mut Reader<'_>) -> Result<PortDesc> {
        match version {
            Version::V10 => {
                let mut p = PortDesc { port: OfpPort::from_of10(r.u16()?), ..PortDesc::default() };
                p.hw_addr = r.mac()?;
                p.decode_names(version, r)?;
                p.decode_features(version, r)?;
                p.curr_speed = p.curr.kbps();
                p.max_speed = p.supported.kbps();
                Ok(p)
            }
            Version::V11 | Version::V12 | Version::V13 => {
                let mut p = PortDesc { port: OfpPort::from_of11(r.u32()?)?, ..PortDesc::default() };
                r.skip(4)?;
                p.hw_addr = r.mac()?;
                r.skip(2)?;
                p.decode_names(version, r)?;
                p.decode_features(version, r)?;
                p.curr_speed = r.u32()?;
                p.max_speed = r.u32()?;
                Ok(p)
            }
            Version::V14 | Version::V15 => PortDesc::decode_of14(version, r),
        }
    }

    fn decode_of14(version: Version, r: &mut Reader<'_>) -> Result<PortDesc> {
        let start = *r;
        let number = r.u32()?;
        let len = usize::from(r.u16()?);
        if len < 40 || len > start.len() {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        let mut body = { start }.sub(len)?;
        body.skip(8)?;
        r.skip(len - 6)?;
        let mut p = PortDesc { port: OfpPort::from_of11(number)?, ..PortDesc::default() };
        p.hw_addr = body.mac()?;
        body.skip(2)?;
        p.decode_names(version, &mut body)?;
        while !body.is_empty() {
            let prop = props::next(&mut body, &[0xffff])?;
            if prop.kind == 0 {
                let mut v = prop.payload;
                if v.len() != 28 {
                    return Err(OfpError::OFPBPC_BAD_LEN);
                }
                v.skip(4)?;
                p.decode_features(version, &mut v)?;
                p.curr_speed = v.u32()?;
                p.max_speed = v.u32()?;
            }
        }
        Ok(p)
    }

    fn decode_names(&mut self, version: Version, r: &mut Reader<'_>) -> Result<()> {
        self.name = r.string::<16>()?;
        self.config = PortConfig::from_bits_truncate(r.u32()?) & PortConfig::known(version);
        self.state = PortState::from_bits_truncate(r.u32()?) & PortState::known(version);
        Ok(())
    }

    fn decode_features(&mut self, version: Version, r: &mut Reader<'_>) -> Result<()> {
        self.curr = LinkFeatures::decode(version, r.u32()?);
        self.advertised = LinkFeatures::decode(version, r.u32()?);
        self.supported = LinkFeatures::decode(version, r.u32()?);
        self.peer = LinkFeatures::decode(version, r.u32()?);
        Ok(())
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        if version == Version::V10 {
            out.put_u16(self.port.to_of10());
            out.put(&self.hw_addr.0);
            self.encode_names(version, out);
            self.encode_features(version, out);
            return;
        }
        let at = out.len();
        out.put_u32(self.port.0);
        out.put_zeros(4);
        out.put(&self.hw_addr.0);
        out.put_zeros(2);
        self.encode_names(version, out);
        if version >= Version::V14 {
            let prop = props::begin(out, 0);
            out.put_zeros(4);
            self.encode_features(version, out);
            self.encode_speeds(out);
            props::end(out, prop);
            out.set_len16(at + 4, at);
        } else {
            self.encode_features(version, out);
            self.encode_speeds(out);
        }
    }

    fn encode_names(&self, version: Version, out: &mut Vec<u8>) {
        out.put_string(&self.name, 16);
        out.put_u32((self.config & PortConfig::known(version)).bits());
        out.put_u32((self.state & PortState::known(version)).bits());
    }

    fn encode_features(&self, version: Version, out: &mut Vec<u8>) {
        for features in [self.curr, self.advertised, self.supported, self.peer] {
            out.put_u32(features.encode(version));
        }
    }

    fn encode_speeds(&self, out: &mut Vec<u8>) {
        out.put_u32(self.curr_speed);
        out.put_u32(self.max_speed);
    }
}

/// What happened to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PortReason {
    /// It is new.
    Add = 0,
    /// It is gone.
    Delete = 1,
    /// It changed.
    Modify = 2,
}

/// Body of PORT_STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port, as it is now or was last.
    pub desc: PortDesc,
}

impl PortStatus {
    pub(super) fn decode(version: Version, mut r: Reader<'_>) -> Result<PortStatus> {
        let reason = match r.u8()? {
            0 => PortReason::Add,
            1 => PortReason::Delete,
            2 => PortReason::Modify,
            _ => return Err(OfpError::NXBRC_BAD_REASON),
        };
        r.skip(7)?;
        let desc = PortDesc::decode(version, &mut r)?;
        if r.is_empty() { Ok(PortStatus { reason, desc }) } else { Err(OfpError::OFPBRC_BAD_LEN) }
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        out.put_u8(self.reason as u8);
        out.put_zeros(7);
        self.desc.encode(version, out);
    }
}

/// Body of PORT_MOD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortMod {
    /// The port.
    pub port: OfpPort,
    /// Its address, as a check.
    pub hw_addr: EthAddr,
    /// New configuration.
    pub config: PortConfig,
    /// Bits of the configuration to change.
    pub mask: PortConfig,
    /// What the link is to offer; empty: as it is.
    pub advertise: LinkFeatures,
}

impl PortMod {
    pub(super) fn decode(version: Version, mut r: Reader<'_>) -> Result<PortMod> {
        let known = PortConfig::known(version);
        let mut pm = PortMod::default();
        if version == Version::V10 {
            pm.port = OfpPort::from_of10(r.u16()?);
            pm.hw_addr = r.mac()?;
        } else {
            pm.port = OfpPort::from_of11(r.u32()?)?;
            r.skip(4)?;
            pm.hw_addr = r.mac()?;
            r.skip(2)?;
        }
        pm.config = PortConfig::from_bits_truncate(r.u32()?) & known;
        pm.mask = PortConfig::from_bits_truncate(r.u32()?) & known;
        if version < Version::V14 {
            pm.advertise = LinkFeatures::decode(version, r.u32()?);
        } else {
            while !r.is_empty() {
                let prop = props::next(&mut r, &[0xffff])?;
                match prop.kind {
                    0 => pm.advertise = LinkFeatures::decode(version, prop.u32()?),
                    _ => return Err(prop.unknown()),
                }
            }
        }
        pm.config &= pm.mask;
        Ok(pm)
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let known = PortConfig::known(version);
        if version == Version::V10 {
            out.put_u16(self.port.to_of10());
            out.put(&self.hw_addr.0);
        } else {
            out.put_u32(self.port.0);
            out.put_zeros(4);
            out.put(&self.hw_addr.0);
            out.put_zeros(2);
        }
        out.put_u32((self.config & known).bits());
        out.put_u32((self.mask & known).bits());
        if version < Version::V14 {
            out.put_u32(self.advertise.encode(version));
            out.put_zeros(4);
        } else if !self.advertise.is_empty() {
            props::put_u32(out, 0, self.advertise.encode(version));
        }
    }
}
