//! PACKET_IN: a packet for the controller, in six layouts; and NXT_RESUME, a packet back from it.
//!
//! Where it sits: the switch makes a [`PacketIn`] without knowing layouts; the connection's version and packet-in
//! format choose one. `monitor` prints them.
//!
//! ~~~text
//! format standard       1.0  1.1  1.2  1.3+ (layouts of the specifications)
//! format nxt_packet_in  the fields of the packet as NXM entries
//! format nxt_packet_in2 properties; the only one with userdata and continuation
//! ~~~
//!
//! I1  Reasons that a version does not have are sent as the nearest that it has.
//! I2  The continuation is opaque: a switch reads only its own.
//!
//! Spec: OpenFlow 1.5.1 section 7.4.1; ovs-ofctl(8) `--packet-in-format`.

use flow::{Match, slot};

use crate::actions::PacketInReason;
use crate::matches::{self, CookieMatch, Strictness};
use crate::{OfpError, OfpPort, PutBytes, Version};

use super::flow_mod::pull_nxm;
use super::raw::Raw;
use super::{Dialect, PutBody, Reader, Result, header, props};

/// The layouts that a controller may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketInFormat {
    /// That of the OpenFlow version.
    #[default]
    Standard = 0,
    /// NXT_PACKET_IN.
    Nxt = 1,
    /// NXT_PACKET_IN2.
    Nxt2 = 2,
}

impl PacketInFormat {
    /// The format with this number on the wire.
    pub const fn from_wire(n: u32) -> Option<PacketInFormat> {
        match n {
            0 => Some(PacketInFormat::Standard),
            1 => Some(PacketInFormat::Nxt),
            2 => Some(PacketInFormat::Nxt2),
            _ => None,
        }
    }

    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            PacketInFormat::Standard => "standard",
            PacketInFormat::Nxt => "nxt_packet_in",
            PacketInFormat::Nxt2 => "nxt_packet_in2",
        }
    }

    /// The format called `name`, older names included.
    pub fn from_name(name: &str) -> Option<PacketInFormat> {
        match name {
            "standard" | "openflow10" => Some(PacketInFormat::Standard),
            "nxt_packet_in" | "nxm" => Some(PacketInFormat::Nxt),
            "nxt_packet_in2" => Some(PacketInFormat::Nxt2),
            _ => None,
        }
    }
}

/// Numbers and names of the reasons on the wire.
const REASONS: [(PacketInReason, &str); 6] = [
    (PacketInReason::NoMatch, "no_match"),
    (PacketInReason::Action, "action"),
    (PacketInReason::InvalidTtl, "invalid_ttl"),
    (PacketInReason::ActionSet, "action_set"),
    (PacketInReason::Group, "group"),
    (PacketInReason::PacketOut, "packet_out"),
];

/// The reason with this number on the wire.
pub(super) fn reason_from_wire(n: u8) -> Result<PacketInReason> {
    REASONS.get(usize::from(n)).map(|(r, _)| *r).ok_or(OfpError::NXBRC_BAD_REASON)
}

/// The reason as `version` numbers it (I1).
pub(super) fn reason_to_wire(reason: PacketInReason, version: Version) -> u8 {
    use PacketInReason as R;
    match reason {
        R::ActionSet | R::Group | R::PacketOut if version < Version::V14 => R::Action as u8,
        R::ExplicitMiss if version < Version::V13 => R::Action as u8,
        R::ExplicitMiss | R::ImplicitMiss => R::NoMatch as u8,
        reason => reason as u8,
    }
}

/// The name of a reason in text.
pub fn reason_name(reason: PacketInReason) -> &'static str {
    match reason {
        PacketInReason::ExplicitMiss => "explicit_miss",
        PacketInReason::ImplicitMiss => "implicit_miss",
        reason => REASONS[reason as usize].1,
    }
}

/// A packet for the controller.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketIn {
    /// The frame, or its start.
    pub data: Vec<u8>,
    /// Length of the whole frame.
    pub total_len: u32,
    /// The frame's place in the switch's memory, or all-ones.
    pub buffer_id: u32,
    /// Why it is sent.
    pub reason: PacketInReason,
    /// The table whose flow sent it.
    pub table_id: u8,
    /// That flow's cookie, or all-ones.
    pub cookie: u64,
    /// The ingress port, registers, tunnel and so on.
    pub metadata: Match,
    /// Bytes that the action asked to have back.
    pub userdata: Vec<u8>,
    /// Private properties to go on with (see [`super::Continuation`]), or empty.
    pub continuation: Vec<u8>,
}

impl Default for PacketIn {
    fn default() -> PacketIn {
        PacketIn {
            data: Vec::new(),
            total_len: 0,
            buffer_id: u32::MAX,
            reason: PacketInReason::NoMatch,
            table_id: 0,
            cookie: u64::MAX,
            metadata: Match::ANY,
            userdata: Vec::new(),
            continuation: Vec::new(),
        }
    }
}

impl PacketIn {
    /// The ingress port.
    pub fn in_port(&self) -> OfpPort {
        OfpPort(self.metadata.key.in_port())
    }

    fn set_in_port(&mut self, port: OfpPort) {
        self.metadata.set_exact(slot::in_port, u128::from(port.0));
    }

    pub(super) fn decode(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<PacketIn> {
        let mut pin = PacketIn::default();
        match raw {
            Raw::Ofpt10PacketIn => {
                (pin.buffer_id, pin.total_len) = (r.u32()?, u32::from(r.u16()?));
                pin.set_in_port(OfpPort::from_of10(r.u16()?));
                pin.reason = reason_from_wire(r.u8()?)?;
                r.skip(1)?;
            }
            Raw::Ofpt11PacketIn => {
                pin.buffer_id = r.u32()?;
                pin.set_in_port(OfpPort::from_of11(r.u32()?)?);
                r.skip(4)?;
                pin.total_len = u32::from(r.u16()?);
                (pin.reason, pin.table_id) = (reason_from_wire(r.u8()?)?, r.u8()?);
            }
            Raw::Ofpt12PacketIn | Raw::Ofpt13PacketIn => {
                (pin.buffer_id, pin.total_len) = (r.u32()?, u32::from(r.u16()?));
                (pin.reason, pin.table_id) = (reason_from_wire(r.u8()?)?, r.u8()?);
                if raw == Raw::Ofpt13PacketIn {
                    pin.cookie = r.u64()?;
                }
                let (metadata, used) = matches::decode(r.rest(), version, Strictness::Loose)?;
                r.skip(used)?;
                pin.metadata = metadata;
                r.skip(2)?;
            }
            Raw::NxtPacketIn => {
                (pin.buffer_id, pin.total_len) = (r.u32()?, u32::from(r.u16()?));
                (pin.reason, pin.table_id) = (reason_from_wire(r.u8()?)?, r.u8()?);
                pin.cookie = r.u64()?;
                let match_len = usize::from(r.u16()?);
                r.skip(6)?;
                (pin.metadata, _) = pull_nxm(&mut r, match_len, Strictness::Loose)?;
                r.skip(2)?;
            }
            _ => return PacketIn::decode_properties(r, UnknownProperty::Ignored),
        }
        pin.data = r.take_rest().to_vec();
        Ok(pin)
    }

    /// The properties of NXT_PACKET_IN2 and NXT_RESUME.
    pub(super) fn decode_properties(mut r: Reader<'_>, unknown: UnknownProperty) -> Result<PacketIn> {
        let mut pin = PacketIn::default();
        let (mut data, mut total_len) = (None, None);
        while !r.is_empty() {
            let prop = props::next(&mut r, &[0xffff])?;
            match prop.kind {
                PACKET => data = Some(prop.payload.rest()),
                FULL_LEN => total_len = Some(prop.u32()?),
                BUFFER_ID => pin.buffer_id = prop.u32()?,
                TABLE_ID => pin.table_id = prop.u8()?,
                COOKIE => pin.cookie = prop.u64()?,
                REASON => pin.reason = reason_from_wire(prop.u8()?)?,
                METADATA => {
                    (pin.metadata, _) = matches::decode_nxm(prop.payload.rest(), Strictness::Loose)?;
                }
                USERDATA => pin.userdata = prop.payload.rest().to_vec(),
                CONTINUATION => pin.continuation = prop.nested()?.rest().to_vec(),
                _ if unknown == UnknownProperty::Ignored => {}
                _ => return Err(prop.unknown()),
            }
        }
        let data = data.ok_or(OfpError::OFPBRC_BAD_LEN)?;
        pin.total_len = total_len.unwrap_or(data.len() as u32);
        if (pin.total_len as usize) < data.len() {
            return Err(OfpError::OFPBRC_BAD_LEN);
        }
        pin.data = data.to_vec();
        Ok(pin)
    }

    pub(super) fn encode(&self, dialect: Dialect, xid: u32, out: &mut Vec<u8>) {
        let version = dialect.version();
        let raw = match (dialect.packet_in_format, version) {
            (PacketInFormat::Nxt2, _) => Raw::NxtPacketIn2,
            (PacketInFormat::Nxt, _) => Raw::NxtPacketIn,
            (_, Version::V10) => Raw::Ofpt10PacketIn,
            (_, Version::V11) => Raw::Ofpt11PacketIn,
            (_, Version::V12) => Raw::Ofpt12PacketIn,
            _ => Raw::Ofpt13PacketIn,
        };
        let at = header::start(out, raw, version.wire(), xid);
        let total_len = u16::try_from(self.total_len).unwrap_or(u16::MAX);
        let reason = reason_to_wire(self.reason, version);
        match raw {
            Raw::NxtPacketIn2 => {
                self.encode_properties(version, out);
                return header::finish(out, at);
            }
            Raw::Ofpt10PacketIn => {
                out.put_u32(self.buffer_id);
                out.put_u16(total_len);
                out.put_u16(self.in_port().to_of10());
                out.put(&[reason, 0]);
            }
            Raw::Ofpt11PacketIn => {
                out.put_u32(self.buffer_id);
                out.put_u32(self.in_port().0);
                out.put_u32(self.in_port().0);
                out.put_u16(total_len);
                out.put(&[reason, self.table_id]);
            }
            _ => {
                out.put_u32(self.buffer_id);
                out.put_u16(total_len);
                out.put(&[reason, self.table_id]);
                self.encode_cookie_and_metadata(raw, version, out);
            }
        }
        let room = usize::from(u16::MAX) - (out.len() - at);
        out.put(self.data.get(..room).unwrap_or(&self.data));
        header::finish(out, at);
    }

    fn encode_cookie_and_metadata(&self, raw: Raw, version: Version, out: &mut Vec<u8>) {
        if raw != Raw::Ofpt12PacketIn {
            out.put_u64(self.cookie);
        }
        if raw == Raw::NxtPacketIn {
            let len_at = out.len();
            out.put_zeros(8);
            let len = matches::encode_nxm(&self.metadata, CookieMatch::default(), out);
            out.set_u16(len_at, u16::try_from(len).unwrap_or(u16::MAX));
        } else {
            matches::encode(&self.metadata, version, out);
        }
        out.put_zeros(2);
    }

    /// The property list; also the body of NXT_RESUME, which carries no userdata.
    pub(super) fn encode_properties(&self, version: Version, out: &mut Vec<u8>) {
        props::put(out, PACKET, &self.data);
        if self.total_len as usize != self.data.len() {
            props::put_u32(out, FULL_LEN, self.total_len);
        }
        if self.buffer_id != u32::MAX {
            props::put_u32(out, BUFFER_ID, self.buffer_id);
        }
        props::put_u8(out, TABLE_ID, self.table_id);
        if self.cookie != u64::MAX {
            props::put_u64(out, COOKIE, self.cookie);
        }
        props::put_u8(out, REASON, reason_to_wire(self.reason, version));
        let at = props::begin(out, METADATA);
        let mut entries = Vec::new();
        let len = matches::encode_nxm(&self.metadata, CookieMatch::default(), &mut entries);
        entries.truncate(len);
        out.put(&entries);
        props::end(out, at);
        if !self.userdata.is_empty() {
            props::put(out, USERDATA, &self.userdata);
        }
        if !self.continuation.is_empty() {
            let at = props::begin(out, CONTINUATION);
            out.put_zeros(4);
            out.put(&self.continuation);
            props::end(out, at);
        }
    }
}

/// What a reader of properties does with those that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnknownProperty {
    /// Passes over them: a controller.
    Ignored,
    /// Refuses them: the switch.
    Refused,
}

const PACKET: u16 = 0;
const FULL_LEN: u16 = 1;
const BUFFER_ID: u16 = 2;
const TABLE_ID: u16 = 3;
const COOKIE: u16 = 4;
const REASON: u16 = 5;
const METADATA: u16 = 6;
const USERDATA: u16 = 7;
const CONTINUATION: u16 = 8;
