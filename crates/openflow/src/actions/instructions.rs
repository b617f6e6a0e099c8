//! Instructions: goto_table, write_metadata, write_actions, clear_actions, meter, and the list around them.
//!
//! Where it sits: flow mods of 1.1 and later hold instructions; here they are actions at their place in the order of
//! execution. Actions that are no instruction make up apply-actions.
//!
//! ~~~text
//! be16 type · be16 len · …    1 goto 8 · 2 metadata 24 · 3 write 8+ · 4 apply 8+ · 5 clear 8 · 6 meter 8
//! ~~~
//!
//! Spec: OpenFlow 1.5.1 section 7.2.5.

use std::fmt::Write;

use wire::bytes;

use super::check::Checker;
use super::text::{self, Outer, ParseContext, Text, instruction};
use super::wire::{Encoder, Len, Raw, decode_list, encode_list, nicira, standard};
use super::{Act, Action, Family, Resubmit};
use crate::text::values::Hex;
use crate::text::{TextError, number, text_error, values};
use crate::{Names, OfpError, OfpPort, Protocols, PutBytes, Version};

/// `goto_table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GotoTable(
    /// The table.
    pub u8,
);

/// `write_metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteMetadata {
    /// The bits to store.
    pub metadata: u64,
    /// Which bits.
    pub mask: u64,
}

/// `meter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter(
    /// The meter.
    pub u32,
);

/// `write_actions`: merges actions into the action set.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteActions(
    /// The actions.
    pub Vec<Action>,
);

/// `clear_actions`: empties the action set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClearActions;

const V15: (Version, Version) = (Version::V15, Version::V15);

/// The family's rows: the forms among actions.
pub const FAMILY: Family = Family {
    wire: &[
        standard(29, V15, Len::Exact(8), |r| Ok(Meter(r.u32(4)).into())),
        nicira(22, Len::Exact(32), |r| {
            r.zeros_in(10, 6)?;
            Ok(WriteMetadata { metadata: r.u64(16), mask: r.u64(24) }.into())
        }),
    ],
    text: &[
        Text { name: "goto_table", parse: parse_goto },
        Text { name: "write_metadata", parse: parse_metadata },
        Text {
            name: "meter",
            parse: |arg, cx| {
                // As an action among others only 1.5 has it.
                cx.only(if cx.outer == Outer::Plain { Protocols::OF15_OXM } else { Protocols::OF13_UP });
                cx.number32(arg).map(|n| cx.push(Meter(n)))
            },
        },
        Text {
            name: "write_actions",
            parse: |arg, cx| cx.nested(arg, Outer::WriteActions).map(|a| cx.push(WriteActions(a))),
        },
        Text {
            name: "clear_actions",
            parse: |_, cx| {
                cx.push(ClearActions);
                Ok(())
            },
        },
        Text {
            name: "apply_actions",
            parse: |_, _| Err(TextError::new("apply_actions is the default instruction")),
        },
    ],
};

/// Checks a list from the wire: the order of what are instructions elsewhere, what may lie within what.
pub fn verify(actions: &[Action]) -> Result<(), OfpError> {
    let mut last = 0;
    for action in actions {
        let (rank, _) = instruction(action);
        // Meters are ordinary actions of 1.5.
        if rank != 0 && rank < last {
            return Err(OfpError::OFPBAC_UNSUPPORTED_ORDER);
        }
        last = last.max(rank);
        if super::conntrack::verify_place(action, Outer::List).is_err() {
            return Err(OfpError::OFPBAC_BAD_SET_ARGUMENT);
        }
    }
    let conjunctions = actions.iter().filter(|a| matches!(a, Action::Conjunction(_))).count();
    let notes = actions.iter().filter(|a| matches!(a, Action::Note(_))).count();
    if conjunctions != 0 && conjunctions + notes != actions.len() {
        return Err(OfpError::NXBAC_BAD_CONJUNCTION);
    }
    Ok(())
}

/// Checks a list within an action.
pub fn verify_nested(actions: &[Action], outer: Outer) -> Result<(), OfpError> {
    let fits = |action: &Action| instruction(action).0 == 1 || matches!(action, Action::Meter(_));
    if !actions.iter().all(fits) {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    if actions.iter().any(|a| super::conntrack::verify_place(a, outer).is_err()) {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    Ok(())
}

/// True if the action may be in an action set.
pub fn may_be_in_set(action: &Action) -> bool {
    use Action as A;
    matches!(
        action,
        A::StripVlan(_)
            | A::PopMpls(_)
            | A::Decap(_)
            | A::Encap(_)
            | A::PushMpls(_)
            | A::PushVlan(_)
            | A::DecTtl(_)
            | A::DecMplsTtl(_)
            | A::DecNshTtl(_)
            | A::SetField(_)
            | A::Move(_)
            | A::SetEthSrc(_)
            | A::SetEthDst(_)
            | A::SetIpv4Src(_)
            | A::SetIpv4Dst(_)
            | A::SetIpDscp(_)
            | A::SetIpEcn(_)
            | A::SetIpTtl(_)
            | A::SetTpSrc(_)
            | A::SetTpDst(_)
            | A::SetVlanVid(_)
            | A::SetVlanPcp(_)
            | A::SetMplsLabel(_)
            | A::SetMplsTc(_)
            | A::SetMplsTtl(_)
            | A::SetTunnel(_)
            | A::SetQueue(_)
            | A::Group(_)
            | A::Output(_)
            | A::Resubmit(_)
            | A::Ct(_)
            | A::CtClear(_)
    )
}

/// The instructions of a list, by number; each at most once.
#[derive(Default)]
struct Found<'a>([Option<Raw<'a>>; 6]);

impl<'a> Found<'a> {
    fn read(mut data: &'a [u8], version: Version) -> Result<Found<'a>, OfpError> {
        let mut found = Found::default();
        while !data.is_empty() {
            let header = bytes::u16_at(data, 0).zip(bytes::u16_at(data, 2));
            let (kind, len) = header.ok_or(OfpError::OFPBIC_BAD_LEN)?;
            let len = usize::from(len);
            if len < 8 || !len.is_multiple_of(8) {
                return Err(OfpError::OFPBIC_BAD_LEN);
            }
            let (this, rest) = data.split_at_checked(len).ok_or(OfpError::OFPBIC_BAD_LEN)?;
            data = rest;
            let expected = match kind {
                1 | 5 => Some(8),
                6 if version != Version::V15 => Some(8),
                2 => Some(24),
                3 | 4 => None,
                0xffff => return Err(OfpError::OFPBIC_BAD_EXPERIMENTER),
                _ => return Err(OfpError::OFPBIC_UNKNOWN_INST),
            };
            if expected.is_some_and(|n| n != len) {
                return Err(OfpError::OFPBIC_BAD_LEN);
            }
            let slot = found.0.get_mut(usize::from(kind) - 1).ok_or(OfpError::OFPBIC_UNKNOWN_INST)?;
            if slot.replace(Raw { bytes: this, version, depth: 0 }).is_some() {
                return Err(OfpError::OFPBIC_DUP_INST);
            }
        }
        Ok(found)
    }
}

/// Decodes a list of OpenFlow 1.1+ instructions.
pub fn decode(data: &[u8], version: Version) -> Result<Vec<Action>, OfpError> {
    if version == Version::V10 {
        return super::decode(data, version);
    }
    let [goto, metadata, write, apply, clear, meter] = Found::read(data, version)?.0;
    let mut actions = Vec::new();
    if let Some(r) = meter {
        actions.push(Meter(r.u32(4)).into());
    }
    if let Some(r) = apply {
        let applied = decode_list(r.rest(8), version, 0)?;
        let only_actions = |a: &Action| instruction(a).0 == 1 || matches!(a, Action::Meter(_));
        if !applied.iter().all(only_actions) {
            return Err(OfpError::OFPBAC_UNSUPPORTED_ORDER);
        }
        actions.extend(applied);
    }
    if clear.is_some() {
        actions.push(ClearActions.into());
    }
    if let Some(r) = write {
        let written = decode_list(r.rest(8), version, 1)?;
        if !written.iter().all(may_be_in_set) {
            return Err(OfpError::OFPBAC_BAD_TYPE);
        }
        verify_nested(&written, Outer::WriteActions)?;
        actions.push(WriteActions(written).into());
    }
    if let Some(r) = metadata {
        actions.push(WriteMetadata { metadata: r.u64(8), mask: r.u64(16) }.into());
    }
    if let Some(r) = goto {
        actions.push(GotoTable(r.u8(4)).into());
    }
    verify(&actions)?;
    Ok(actions)
}

/// Appends one instruction.
fn put(
    kind: u16,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), OfpError>,
) -> Result<(), OfpError> {
    let start = out.len();
    out.put_u16(kind);
    out.put_u16(0);
    body(out)?;
    out.pad8(start);
    let len = u16::try_from(out.len() - start).map_err(|_| OfpError::OFPBAC_BAD_LEN)?;
    out.set_u16(start + 2, len);
    Ok(())
}

/// Appends instructions (1.1 and later), or a list of actions (1.0).
pub fn encode(actions: &[Action], version: Version, out: &mut Vec<u8>) -> Result<(), OfpError> {
    if version == Version::V10 {
        return encode_list(actions, version, out);
    }
    // In 1.5 a meter is an action, and the first of them.
    let applied =
        |a: &Action| instruction(a).0 == 1 || version == Version::V15 && matches!(a, Action::Meter(_));
    let mut rest = actions;
    while let Some((first, after)) = rest.split_first() {
        let n = rest.iter().take_while(|a| applied(a)).count();
        if n > 0 {
            let (run, after) = rest.split_at(n);
            let start = out.len();
            put(4, out, |b| {
                b.put_zeros(4);
                encode_list(run, version, b)
            })?;
            // Actions may come to nothing.
            if out.len() == start + 8 {
                out.truncate(start);
            }
            rest = after;
            continue;
        }
        rest = after;
        put_instruction(first, version, out)?;
    }
    Ok(())
}

fn put_instruction(action: &Action, version: Version, out: &mut Vec<u8>) -> Result<(), OfpError> {
    match action {
        Action::Meter(Meter(id)) if version >= Version::V13 => put(6, out, |b| {
            b.put_u32(*id);
            Ok(())
        }),
        Action::Meter(_) => Err(OfpError::OFPBIC_UNSUP_INST),
        Action::ClearActions(_) => put(5, out, |b| {
            b.put_zeros(4);
            Ok(())
        }),
        // An empty one writes nothing.
        Action::WriteActions(WriteActions(list)) if list.is_empty() => Ok(()),
        Action::WriteActions(WriteActions(list)) => put(3, out, |b| {
            b.put_zeros(4);
            encode_list(list, version, b)
        }),
        Action::WriteMetadata(w) => put(2, out, |b| {
            b.put_zeros(4);
            b.put_u64(w.metadata);
            b.put_u64(w.mask);
            Ok(())
        }),
        Action::GotoTable(GotoTable(table)) => put(1, out, |b| {
            b.put_u8(*table);
            Ok(())
        }),
        _ => Err(OfpError::OFPBIC_UNSUP_INST),
    }
}

impl Act for GotoTable {
    fn name(&self) -> &'static str {
        "goto_table"
    }

    /// Among actions, it is a resubmit.
    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        Resubmit { in_port: OfpPort::IN_PORT, table: self.0, with_ct: false, port_only: false }.encode(e)
    }

    fn print(&self, out: &mut String, names: &Names) {
        let _ = write!(out, "goto_table:{}", names.table(self.0));
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.goto_table(self.0)
    }
}

impl Act for WriteMetadata {
    fn name(&self) -> &'static str {
        "write_metadata"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(22, |b| {
            b.put_zeros(6);
            b.put_u64(self.metadata);
            b.put_u64(self.mask);
        });
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "write_metadata:{}", Hex(self.metadata.into()));
        if self.mask != u64::MAX {
            let _ = write!(out, "/{}", Hex(self.mask.into()));
        }
    }
}

impl Act for Meter {
    fn name(&self) -> &'static str {
        "meter"
    }

    /// Among actions, only 1.5 has it; elsewhere it is left out.
    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version == Version::V15 {
            e.standard(29, |b| b.put_u32(self.0));
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "meter:{}", self.0);
    }

    fn check(&mut self, _: &mut Checker) -> Result<(), OfpError> {
        if self.0 == 0 || self.0 > 0xffff_0000 { Err(OfpError::OFPMMFC_INVALID_METER) } else { Ok(()) }
    }
}

impl Act for WriteActions {
    fn name(&self) -> &'static str {
        "write_actions"
    }

    /// Lists of actions cannot say it: it is left out.
    fn encode(&self, _: &mut Encoder) -> Result<(), OfpError> {
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        out.push_str("write_actions(");
        text::print(&self.0, names, out);
        out.push(')');
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        // What the packet will be when the set is carried out is not known: contradictions are allowed.
        let usable = cx.usable;
        let result = cx.nested(&mut self.0);
        cx.usable = usable;
        result
    }

    fn nested(&self) -> &[Action] {
        &self.0
    }
}

impl Act for ClearActions {
    fn name(&self) -> &'static str {
        "clear_actions"
    }

    /// Lists of actions cannot say it: it is left out.
    fn encode(&self, _: &mut Encoder) -> Result<(), OfpError> {
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("clear_actions");
    }
}

fn parse_goto(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let table = values::table(arg, cx.names).ok_or_else(|| text_error!("unknown table \"{arg}\""))?;
    cx.push(GotoTable(table));
    Ok(())
}

fn parse_metadata(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let (value, mask) = arg.split_once('/').map_or((arg, None), |(v, m)| (v, Some(m)));
    let mask = mask.map_or(Ok(u64::MAX), number::u64)?;
    // 1.0's own flows know no metadata.
    cx.only(Protocols::NXM_OXM_ANY | Protocols::OF11_STD);
    cx.push(WriteMetadata { metadata: number::u64(value)?, mask });
    Ok(())
}
