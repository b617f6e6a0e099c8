//! FLOW_MOD in its three layouts: 1.0's, Nicira's, and that of 1.1 and later.
//!
//! Where it sits: bytes to and from [`FlowMod`], which `text/flow.rs` makes of texts and `ofproto` carries out.
//!
//! The differences that are not layout: 1.0 and Nicira have no table unless the extension `flow_mod_table_id` puts it
//! above the command; 1.0 gives a match without wildcards the highest priority; 1.1 makes a MODIFY that names no
//! cookie add; adding zeroes counters in 1.0 and 1.1 without being told.
//!
//! Spec: OpenFlow 1.5.1 section 7.3.4.2; 1.0 section 5.3.3.

use flow::Match;

use crate::actions::{self, CheckContext};
use crate::matches::{self, CookieMatch, Strictness};
use crate::{FlowMod, FlowModCommand, FlowModFlags, OfpError, OfpPort, Protocols, PutBytes, Version};

use super::raw::Raw;
use super::{Dialect, Limits, PutBody, Reader, Result, header};

/// Every wildcard bit of 1.0's match.
const OFPFW10_ALL: u32 = 0x3f_ffff;

impl FlowModFlags {
    /// Reads the flags of `version`; bits that it does not have are refused.
    pub(super) fn decode(version: Version, bits: u16) -> Result<FlowModFlags> {
        let known = match version {
            Version::V10 | Version::V12 => 0x07,
            Version::V11 => 0x03,
            Version::V13 | Version::V14 | Version::V15 => 0x1f,
        };
        if bits & !known != 0 {
            return Err(OfpError::OFPFMFC_BAD_FLAGS);
        }
        let mut flags = FlowModFlags::from_bits_truncate(bits & 3);
        let third = if version == Version::V10 { FlowModFlags::EMERG } else { FlowModFlags::RESET_COUNTS };
        flags.set(third, bits & 4 != 0);
        flags.set(FlowModFlags::NO_PKT_COUNTS, bits & 8 != 0);
        flags.set(FlowModFlags::NO_BYT_COUNTS, bits & 16 != 0);
        Ok(flags)
    }

    /// The flags as `version` numbers them; those that it does not have are left out.
    pub(super) fn encode(self, version: Version) -> u16 {
        let mut bits = self.bits() & 3;
        if version >= Version::V12 && self.contains(FlowModFlags::RESET_COUNTS) {
            bits |= 4;
        }
        if version >= Version::V13 {
            bits |= u16::from(self.contains(FlowModFlags::NO_PKT_COUNTS)) << 3;
            bits |= u16::from(self.contains(FlowModFlags::NO_BYT_COUNTS)) << 4;
        }
        bits
    }
}

/// Decodes any layout and checks the actions against the match.
pub(super) fn decode(raw: Raw, version: Version, r: Reader<'_>, limits: &Limits) -> Result<FlowMod> {
    let (mut fm, protocols) = match raw {
        Raw::Ofpt11FlowMod => (decode_of11(version, r)?, Protocols::of_version(version)),
        Raw::NxtFlowMod => (decode_nxm(version, r, limits)?, nxm_protocols(version)),
        _ => (decode_of10(r, limits)?, Protocols::OF10_STD_ANY),
    };
    if fm.command == FlowModCommand::Add && version < Version::V12 {
        fm.flags |= FlowModFlags::RESET_COUNTS;
    }
    if fm.flags.contains(FlowModFlags::EMERG) {
        let timeouts = fm.idle_timeout != 0 || fm.hard_timeout != 0;
        return Err(if timeouts {
            OfpError::OFPFMFC_BAD_EMERG_TIMEOUT
        } else {
            OfpError::OFPFMFC_TABLE_FULL
        });
    }
    let cx = CheckContext {
        matcher: &fm.matcher,
        max_ports: limits.max_ports,
        table_id: fm.table_id,
        n_tables: limits.n_tables,
    };
    let usable = actions::check(&mut fm.actions, &cx, protocols)?;
    if usable.intersects(protocols) { Ok(fm) } else { Err(OfpError::OFPBAC_MATCH_INCONSISTENT) }
}

fn nxm_protocols(version: Version) -> Protocols {
    if version == Version::V10 { Protocols::OF10_NXM_ANY } else { Protocols::of_version(version) }
}

fn decode_of11(version: Version, mut r: Reader<'_>) -> Result<FlowMod> {
    let (cookie, cookie_mask) = (r.u64()?, r.u64()?);
    let table_id = r.u8()?;
    let command = FlowModCommand::from_wire(r.u8()?);
    let (idle_timeout, hard_timeout, priority) = (r.u16()?, r.u16()?, r.u16()?);
    let (buffer_id, out_port, out_group) = (r.u32()?, r.u32()?, r.u32()?);
    let (flags, importance) = (r.u16()?, r.u16()?);
    let (matcher, used) = matches::decode(r.rest(), version, Strictness::Strict)?;
    r.skip(used)?;
    let actions = actions::decode_instructions(r.take_rest(), version)?;
    let command = command.ok_or(OfpError::OFPFMFC_BAD_COMMAND)?;
    let mut fm = FlowMod {
        table_id,
        priority,
        matcher,
        idle_timeout,
        hard_timeout,
        buffer_id,
        out_port: OfpPort::from_of11(out_port)?,
        flags: FlowModFlags::decode(version, flags)?,
        actions,
        ..FlowMod::new(command)
    };
    use FlowModCommand as C;
    let deletes = matches!(command, C::Delete | C::DeleteStrict);
    if table_id == FlowMod::ANY_TABLE && (version == Version::V11 || !deletes) {
        return Err(OfpError::OFPFMFC_BAD_TABLE_ID);
    }
    let adds = command == C::Add || version == Version::V11 && !deletes && cookie_mask == 0;
    if adds {
        fm.new_cookie = cookie;
    } else {
        (fm.cookie, fm.cookie_mask, fm.new_cookie) = (cookie, cookie_mask, u64::MAX);
    }
    if deletes {
        fm.out_group = out_group;
    }
    if version >= Version::V14 && command == C::Add {
        fm.importance = importance;
    }
    Ok(fm)
}

/// Splits the 16-bit command field of 1.0 and Nicira.
fn command_and_table(field: u16, limits: &Limits) -> Result<(FlowModCommand, u8)> {
    let [table, low] = field.to_be_bytes();
    let (command, table_id) = if limits.flow_mod_table_id { (u16::from(low), table) } else { (field, 255) };
    let command = u8::try_from(command).ok().and_then(FlowModCommand::from_wire);
    Ok((command.ok_or(OfpError::OFPFMFC_BAD_COMMAND)?, table_id))
}

fn decode_of10(mut r: Reader<'_>, limits: &Limits) -> Result<FlowMod> {
    let wire = r.array::<40>()?;
    let cookie = r.u64()?;
    let command = r.u16()?;
    let (idle_timeout, hard_timeout, priority) = (r.u16()?, r.u16()?, r.u16()?);
    let (buffer_id, out_port, flags) = (r.u32()?, r.u16()?, r.u16()?);
    let mut matcher = matches::decode_of10(&wire);
    matches::normalize(&mut matcher);
    let exact = wire::bytes::u32_at(&wire, 0).is_some_and(|w| w & OFPFW10_ALL == 0);
    let (command, table_id) = command_and_table(command, limits)?;
    let actions = actions::decode(r.take_rest(), Version::V10)?;
    Ok(FlowMod {
        table_id,
        priority: if exact { u16::MAX } else { priority },
        matcher,
        new_cookie: cookie,
        modify_cookie: true,
        idle_timeout,
        hard_timeout,
        flags: FlowModFlags::decode(Version::V10, flags)?,
        buffer_id,
        out_port: OfpPort::from_of10(out_port),
        actions,
        ..FlowMod::new(command)
    })
}

fn decode_nxm(version: Version, mut r: Reader<'_>, limits: &Limits) -> Result<FlowMod> {
    let cookie = r.u64()?;
    let command = r.u16()?;
    let (idle_timeout, hard_timeout, priority) = (r.u16()?, r.u16()?, r.u16()?);
    let (buffer_id, out_port, flags) = (r.u32()?, r.u16()?, r.u16()?);
    let match_len = usize::from(r.u16()?);
    r.skip(6)?;
    let (matcher, matched_cookie) = pull_nxm(&mut r, match_len, Strictness::Strict)?;
    let actions = actions::decode_instructions(r.take_rest(), version)?;
    let (command, table_id) = command_and_table(command, limits)?;
    if command == FlowModCommand::Add && matched_cookie.mask != 0 {
        return Err(OfpError::NXBRC_NXM_INVALID);
    }
    Ok(FlowMod {
        table_id,
        priority,
        matcher,
        cookie: matched_cookie.value,
        cookie_mask: matched_cookie.mask,
        new_cookie: cookie,
        modify_cookie: true,
        idle_timeout,
        hard_timeout,
        flags: FlowModFlags::decode(version, flags)?,
        buffer_id,
        out_port: OfpPort::from_of10(out_port),
        actions,
        ..FlowMod::new(command)
    })
}

/// Takes `len` bytes of bare entries and their padding off `r`.
pub(super) fn pull_nxm(
    r: &mut Reader<'_>,
    len: usize,
    strictness: Strictness,
) -> Result<(Match, CookieMatch)> {
    let padded = r.bytes(len.next_multiple_of(8)).map_err(|_| OfpError::OFPBMC_BAD_LEN)?;
    matches::decode_nxm(padded.get(..len).unwrap_or_default(), strictness)
}

/// Appends the message in the layout of the dialect's protocol.
pub(super) fn encode(fm: &FlowMod, dialect: Dialect, xid: u32, out: &mut Vec<u8>) -> Result<()> {
    let version = dialect.version();
    let raw = dialect.flow_format(Raw::Ofpt10FlowMod, Raw::NxtFlowMod, Raw::Ofpt11FlowMod);
    let at = header::start(out, raw, version.wire(), xid);
    match raw {
        Raw::Ofpt11FlowMod => encode_of11(fm, version, out)?,
        Raw::NxtFlowMod => encode_nxm(fm, dialect, out)?,
        _ => {
            out.put(&matches::encode_of10(&fm.matcher));
            out.put_u64(fm.new_cookie);
            encode_middle(fm, dialect, out);
            actions::encode(&fm.actions, version, out)?;
        }
    }
    header::finish(out, at);
    Ok(())
}

fn encode_of11(fm: &FlowMod, version: Version, out: &mut Vec<u8>) -> Result<()> {
    use FlowModCommand as C;
    let modifies = matches!(fm.command, C::Modify | C::ModifyStrict);
    let adds = fm.command == C::Add || version == Version::V11 && modifies && fm.cookie_mask == 0;
    let deletes = matches!(fm.command, C::Delete | C::DeleteStrict);
    let any_table = fm.table_id == FlowMod::ANY_TABLE && !(deletes && version != Version::V11);
    out.put_u64(if adds { fm.new_cookie } else { fm.cookie });
    out.put_u64(fm.cookie_mask);
    out.put_u8(if any_table { 0 } else { fm.table_id });
    out.put_u8(fm.command as u8);
    for n in [fm.idle_timeout, fm.hard_timeout, fm.priority] {
        out.put_u16(n);
    }
    for n in [fm.buffer_id, fm.out_port.0, fm.out_group] {
        out.put_u32(n);
    }
    out.put_u16(fm.flags.encode(version));
    out.put_u16(if version >= Version::V14 { fm.importance } else { 0 });
    matches::encode(&fm.matcher, version, out);
    actions::encode_instructions(&fm.actions, version, out)
}

fn encode_nxm(fm: &FlowMod, dialect: Dialect, out: &mut Vec<u8>) -> Result<()> {
    out.put_u64(fm.new_cookie);
    encode_middle(fm, dialect, out);
    let len_at = out.len();
    out.put_zeros(8);
    let cookie = CookieMatch { value: fm.cookie, mask: fm.cookie_mask };
    let len = matches::encode_nxm(&fm.matcher, cookie, out);
    out.set_u16(len_at, u16::try_from(len).unwrap_or(u16::MAX));
    actions::encode(&fm.actions, dialect.version(), out)
}

/// What 1.0's layout and Nicira's have in common: command to flags.
fn encode_middle(fm: &FlowMod, dialect: Dialect, out: &mut Vec<u8>) {
    let table = if dialect.has_table_ids() { fm.table_id } else { 0 };
    out.put_u16(u16::from_be_bytes([table, fm.command as u8]));
    for n in [fm.idle_timeout, fm.hard_timeout, fm.priority] {
        out.put_u16(n);
    }
    out.put_u32(fm.buffer_id);
    out.put_u16(fm.out_port.to_of10());
    out.put_u16(fm.flags.encode(dialect.version()));
}
