//! OXM and NXM: matches, and single fields in actions, as type-length-value entries.
//!
//! Where it sits: matches of 1.2 and later and of Nicira's extension; `set_field`, `move` and the stack use the
//! single entries and headers.
//!
//! ~~~text
//! entry   be32 class:16 field:7 has-mask:1 length:8 | be32 experimenter (class 0xffff) | value | mask
//! ~~~
//!
//! Spec: ovs-fields(7); OpenFlow 1.5.1 section 7.2.3.

use flow::{Field, Match};
use wire::bytes;

use super::{CookieMatch, Strictness};
use crate::{Bits, OfpError, PutBytes, Version, field};

/// Class of entries that carry an experimenter's number.
const EXPERIMENTER: u32 = 0xffff;
/// NXM_NX_COOKIE without and with mask.
const COOKIE: u32 = 0x0001_3c08;
const COOKIE_MASKED: u32 = 0x0001_3d10;

/// Order of entries in a match.
#[rustfmt::skip]
const ORDER: &[Field] = &[
    Field::DpHash, Field::RecircId, Field::ConjId, Field::PacketType, Field::InPort, Field::InPortOxm,
    Field::ActsetOutput,
    Field::EthSrc, Field::EthDst, Field::EthType, Field::VlanTci,
    Field::MplsTc, Field::MplsBos, Field::MplsTtl, Field::MplsLabel,
    Field::IpSrc, Field::IpDst, Field::Ipv6Src, Field::Ipv6Dst, Field::IpFrag, Field::NwTos, Field::IpDscp,
    Field::NwEcn, Field::NwTtl, Field::Ipv6Label, Field::NwProto,
    Field::TcpSrc, Field::TcpDst, Field::TcpFlags, Field::UdpSrc, Field::UdpDst, Field::SctpSrc, Field::SctpDst,
    Field::IcmpType, Field::IcmpCode, Field::Icmpv6Type, Field::Icmpv6Code,
    Field::NdReserved, Field::NdTarget, Field::NdOptionsType, Field::NdSll, Field::NdTll,
    Field::ArpOp, Field::ArpSpa, Field::ArpTpa, Field::ArpSha, Field::ArpTha,
    Field::NshFlags, Field::NshTtl, Field::NshMdtype, Field::NshNp, Field::NshSpi, Field::NshSi,
    Field::NshC1, Field::NshC2, Field::NshC3, Field::NshC4,
    Field::TunId, Field::TunFlags, Field::TunSrc, Field::TunDst, Field::TunIpv6Src, Field::TunIpv6Dst,
    // This one stands for all options.
    Field::TunGbpId, Field::TunGbpFlags, Field::TunMetadata0, Field::TunErspanIdx, Field::TunErspanVer, Field::TunErspanDir,
    Field::TunErspanHwid, Field::TunGtpuFlags, Field::TunGtpuMsgtype,
    Field::Reg0, Field::Reg1, Field::Reg2, Field::Reg3, Field::Reg4, Field::Reg5, Field::Reg6, Field::Reg7,
    Field::Reg8, Field::Reg9, Field::Reg10, Field::Reg11, Field::Reg12, Field::Reg13, Field::Reg14, Field::Reg15,
    Field::Reg16, Field::Reg17, Field::Reg18, Field::Reg19, Field::Reg20, Field::Reg21, Field::Reg22, Field::Reg23,
    Field::Reg24, Field::Reg25, Field::Reg26, Field::Reg27, Field::Reg28, Field::Reg29, Field::Reg30, Field::Reg31,
    Field::Xreg0, Field::Xreg1, Field::Xreg2, Field::Xreg3, Field::Xreg4, Field::Xreg5, Field::Xreg6, Field::Xreg7,
    Field::Xreg8, Field::Xreg9, Field::Xreg10, Field::Xreg11, Field::Xreg12, Field::Xreg13, Field::Xreg14,
    Field::Xreg15,
    Field::PktMark, Field::CtState, Field::CtZone, Field::CtMark, Field::CtLabel,
    Field::CtNwSrc, Field::CtNwDst, Field::CtIpv6Src, Field::CtIpv6Dst, Field::CtNwProto, Field::CtTpSrc,
    Field::CtTpDst, Field::Metadata,
];

/// In which numbers a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// NXM's number where the field has one (Nicira's matches and actions, in every version).
    Nxm,
    /// The standard's number as of a version, else an extension's.
    Oxm(Version),
}

/// The 32-bit header (has-mask clear) and the experimenter of a field.
fn header(f: Field, numbering: Numbering) -> Option<(u32, u32)> {
    let all = f.def().headers;
    let chosen = match numbering {
        Numbering::Nxm => all.first(),
        Numbering::Oxm(version) => {
            let known = all.iter().filter(|h| h.since <= version.wire());
            known.rev().max_by_key(|h| h.since).or_else(|| all.first())
        }
    };
    chosen.map(|h| (h.header, h.experimenter))
}

/// The header of a field as one number, for places that hold 32 bits; `None` if it takes more.
pub fn header32(f: Field) -> Option<u32> {
    header(f, Numbering::Nxm).filter(|(_, experimenter)| *experimenter == 0).map(|(h, _)| h)
}

/// Appends the header of a field without value; a field without number appends nothing.
pub fn put_header(f: Field, numbering: Numbering, out: &mut Vec<u8>) {
    if let Some((header, experimenter)) = header(f, numbering) {
        out.put_u32(header);
        if experimenter != 0 {
            out.put_u32(experimenter);
        }
    }
}

/// Appends an entry; its mask only if it is not all-ones.
pub fn put_entry(f: Field, value: &Bits, mask: &Bits, numbering: Numbering, out: &mut Vec<u8>) {
    let masked = !field::full_mask(f).is_within(mask);
    put_entry_as(f, value, masked.then_some(mask), numbering, out);
}

/// Appends an entry with the mask given, be it all-ones.
pub fn put_entry_as(f: Field, value: &Bits, mask: Option<&Bits>, numbering: Numbering, out: &mut Vec<u8>) {
    let Some((header, experimenter)) = header(f, numbering) else { return };
    let most = u32::from(f.def().bytes);
    let len = match f.option() {
        Some(_) => u32::from(field::option_bytes(value, mask)),
        None => most,
    };
    let header = header - (most - len);
    out.put_u32(if mask.is_some() { header + 0x100 + len } else { header });
    if experimenter != 0 {
        out.put_u32(experimenter);
    }
    out.extend(value.be_bytes(len as usize));
    if let Some(mask) = mask {
        out.extend(mask.be_bytes(len as usize));
    }
}

/// One decoded entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The field.
    pub field: Field,
    /// Its value.
    pub value: Bits,
    /// Its mask: all-ones of its bytes without one.
    pub mask: Bits,
    /// There was a mask.
    pub masked: bool,
}

/// The header at the start of `bytes`: the field, its has-mask bit, and how many bytes the header takes.
pub fn pull_header(data: &[u8]) -> Result<(Field, bool, usize), OfpError> {
    let raw = bytes::u32_at(data, 0).ok_or(OfpError::OFPBMC_BAD_LEN)?;
    let (experimenter, n) = if raw >> 16 == EXPERIMENTER {
        (bytes::u32_at(data, 4).ok_or(OfpError::OFPBMC_BAD_LEN)?, 8)
    } else {
        (0, 4)
    };
    let def = Field::by_header(raw, experimenter).ok_or(OfpError::OFPBMC_BAD_FIELD)?;
    let masked = raw & 0x100 != 0;
    let bytes = u32::from(def.bytes) * if masked { 2 } else { 1 };
    // Options are as long as they are.
    let fits = def.field.option().is_some() && raw & 0xff <= bytes;
    if !fits && raw & 0xff != bytes + (n - 4) {
        return Err(OfpError::OFPBMC_BAD_FIELD);
    }
    Ok((def.field, masked, n as usize))
}

/// How many bytes the entry at the start of `data` takes, known or not.
fn entry_len(data: &[u8]) -> Result<usize, OfpError> {
    let raw = bytes::u32_at(data, 0).ok_or(OfpError::OFPBMC_BAD_LEN)?;
    let len = (raw & 0xff) as usize;
    let least = if raw >> 16 == EXPERIMENTER { 4 } else { 0 };
    if len < least || data.len() < 4 + len { Err(OfpError::OFPBMC_BAD_LEN) } else { Ok(4 + len) }
}

/// The fault of an entry whose field is not known: a value beyond its mask is told first.
fn unknown_field(data: &[u8]) -> OfpError {
    let Ok(len) = entry_len(data) else { return OfpError::OFPBMC_BAD_LEN };
    let raw = bytes::u32_at(data, 0).unwrap_or(0);
    let start = if raw >> 16 == EXPERIMENTER { 8 } else { 4 };
    let payload = data.get(start..len).unwrap_or(&[]);
    let (value, mask) = payload.split_at(payload.len() / 2);
    let beyond = value.iter().zip(mask).any(|(value, mask)| value & !mask != 0);
    if raw & 0x100 != 0 && beyond { OfpError::OFPBMC_BAD_WILDCARDS } else { OfpError::OFPBMC_BAD_FIELD }
}

/// The entry at the start of `data`, and how many bytes it takes.
pub fn pull_entry(data: &[u8]) -> Result<(Entry, usize), OfpError> {
    let total = entry_len(data)?;
    let (field, masked, n) = pull_header(data).map_err(|e| match e {
        OfpError::OFPBMC_BAD_FIELD => unknown_field(data),
        e => e,
    })?;
    let width = (total - n) / if masked { 2 } else { 1 };
    let part = |at: usize| {
        let bytes = data.get(at..at + width).ok_or(OfpError::OFPBMC_BAD_LEN)?;
        Ok(Bits::from_be_bytes(bytes.iter().copied()))
    };
    let value = part(n)?;
    let mask = if masked { part(n + width)? } else { field::byte_mask(field) };
    if !value.is_within(&mask) {
        return Err(OfpError::OFPBMC_BAD_WILDCARDS);
    }
    Ok((Entry { field, value, mask, masked }, total))
}

/// Decodes bare entries into a match.
pub fn decode(mut data: &[u8], strictness: Strictness) -> Result<(Match, CookieMatch), OfpError> {
    let mut m = super::any();
    let mut cookie = CookieMatch::default();
    let mut packet_type_seen = false;
    while !data.is_empty() {
        let len = entry_len(data)?;
        let (this, rest) = data.split_at_checked(len).ok_or(OfpError::OFPBMC_BAD_LEN)?;
        data = rest;
        if let Some(found) = pull_cookie(this)? {
            if cookie.mask != 0 {
                return Err(OfpError::OFPBMC_DUP_FIELD);
            }
            cookie = found;
            continue;
        }
        let entry = match pull_entry(this) {
            Ok((entry, _)) => entry,
            Err(OfpError::OFPBMC_BAD_FIELD) if strictness == Strictness::Loose => continue,
            Err(e) => return Err(e),
        };
        let first_packet_type = entry.field == Field::PacketType && !packet_type_seen;
        packet_type_seen |= first_packet_type;
        apply(&mut m, entry, strictness, first_packet_type)?;
    }
    Ok((m, cookie))
}

fn pull_cookie(entry: &[u8]) -> Result<Option<CookieMatch>, OfpError> {
    let at = |off| bytes::u64_at(entry, off).ok_or(OfpError::OFPBMC_BAD_LEN);
    match bytes::u32_at(entry, 0) {
        Some(COOKIE) => Ok(Some(CookieMatch { value: at(4)?, mask: u64::MAX })),
        Some(COOKIE_MASKED) => {
            let (value, mask) = (at(4)?, at(12)?);
            if value & !mask != 0 {
                return Err(OfpError::OFPBMC_BAD_WILDCARDS);
            }
            Ok(Some(CookieMatch { value, mask }))
        }
        _ => Ok(None),
    }
}

fn apply(m: &mut Match, entry: Entry, strictness: Strictness, replaces: bool) -> Result<(), OfpError> {
    let Entry { field: f, value, mask, .. } = entry;
    let full = field::full_mask(f);
    let said = &mask & &full;
    if !f.def().maskable && !said.is_empty() && said != full {
        return Err(OfpError::OFPBMC_BAD_MASK);
    }
    if !field::is_valid(f, &value) {
        return Err(OfpError::OFPBMC_BAD_VALUE);
    }
    if strictness == Strictness::Strict && !field::prereqs_ok(f, m) {
        return Err(OfpError::OFPBMC_BAD_PREREQ);
    }
    // VLAN's priority implies the tag, and the packet type has a default: neither makes a duplicate.
    if !replaces && !field::is_wild(f, m) {
        return Err(OfpError::OFPBMC_DUP_FIELD);
    }
    if field::set_match(f, m, value, mask) { Ok(()) } else { Err(OfpError::NXTTMFC_TABLE_FULL) }
}

/// Appends the entries of a match.
pub fn encode(m: &Match, cookie: CookieMatch, numbering: Numbering, out: &mut Vec<u8>) {
    for f in ORDER.iter().copied() {
        if f == Field::VlanTci {
            put_vlan(m, numbering, out);
            continue;
        }
        if f == Field::TunMetadata0 {
            put_options(m, numbering, out);
            continue;
        }
        let (value, mask) = field::get_masked(f, m);
        if mask.is_empty() || !wanted(f, m, numbering) || !field::prereqs_ok(f, m) {
            continue;
        }
        let exact = field::full_mask(f).is_within(&mask);
        // These have fewer bits than the field, which the mask then says.
        let mask = if f == Field::CtState { (mask.low() & 0xff).into() } else { mask };
        let always_masked = matches!(f, Field::TunFlags | Field::CtState);
        put_entry_as(f, &value, (!exact || always_masked).then_some(&mask), numbering, out);
    }
    match cookie.mask {
        0 => {}
        u64::MAX => {
            out.put_u32(COOKIE);
            out.put_u64(cookie.value);
        }
        mask => {
            out.put_u32(COOKIE_MASKED);
            out.put_u64(cookie.value);
            out.put_u64(mask);
        }
    }
}

/// Which of the fields that share a place in the key is written.
fn wanted(f: Field, m: &Match, numbering: Numbering) -> bool {
    let nxm = numbering == Numbering::Nxm;
    // OpenFlow 1.5 knows pairs of registers only.
    let pairs = numbering == Numbering::Oxm(Version::V15);
    match f {
        Field::InPort | Field::NwTos => nxm,
        Field::InPortOxm | Field::IpDscp => !nxm,
        Field::PacketType => m.key.packet_type() != field::PT_ETH,
        _ if (Field::Reg0..=Field::Reg31).contains(&f) => !pairs,
        _ if (Field::Xreg0..=Field::Xreg15).contains(&f) => pairs,
        _ => true,
    }
}

/// Fields of tunnel metadata, those too of which no bit matters.
fn put_options(m: &Match, numbering: Numbering, out: &mut Vec<u8>) {
    for f in field::options(m) {
        let (value, mask) = field::get_masked(f, m);
        put_entry_as(f, &value, (mask != field::full_mask(f)).then_some(&mask), numbering, out);
    }
}

fn put_vlan(m: &Match, numbering: Numbering, out: &mut Vec<u8>) {
    let (tci, mask) = (m.key.vlan_tci(), m.wc.vlan_tci());
    if mask == 0 || m.key.packet_type() != field::PT_ETH {
        return;
    }
    if numbering == Numbering::Nxm {
        return put_entry(Field::VlanTci, &tci.into(), &mask.into(), numbering, out);
    }
    if mask & 0x1fff != 0 {
        put_entry(Field::VlanVid, &(tci & 0x1fff).into(), &(mask & 0x1fff).into(), numbering, out);
    }
    if mask & 0xe000 != 0 && tci & mask & 0x1fff != 0 {
        put_entry(Field::VlanPcp, &(tci >> 13).into(), &7_u8.into(), numbering, out);
    }
}
