//! `learn`: makes a flow of the packet.
//!
//! Where it sits: Nicira's extension: a list of parts, each taking bits of the packet or a number to the match or the
//! actions of a new flow.
//!
//! ~~~text
//! part   be16 header: destination 0x1800 · source 0x2000 · bits 0x03ff
//!        source: be32 field, be16 offset, or the number in 16-bit words
//!        destination: be32 field, be16 offset, or nothing (output)
//! ~~~

use std::fmt::Write;

use flow::{Field, Match};
use wire::bytes;

use super::check::Checker;
use super::subfield::{BadNumber, width};
use super::text::{ParseContext, Text};
use super::wire::{Encoder, Len, Raw, nicira, put_header};
use super::{Act, Action, Family, Subfield};
use crate::matches::oxm;
use crate::text::values::{self, Hex};
use crate::text::{Pairs, TextError, number, text_error};
use crate::{Bits, FlowMod, Names, OfpError, PutBytes, field};

/// What a [`LearnSpec`] takes bits from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearnSource {
    /// A field of the packet.
    Field(Subfield),
    /// A number, and how many bits it has.
    Number(Bits, u16),
}

/// What a [`LearnSpec`] does with the bits in the new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnDest {
    /// Match them.
    Match(Subfield),
    /// Load them into a field.
    Load(Subfield),
    /// Output to the port with that number.
    Output,
}

/// One part of the flow that [`Learn`] makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnSpec {
    /// From.
    pub src: LearnSource,
    /// To.
    pub dst: LearnDest,
}

/// `learn`: adds or changes a flow made of the packet's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learn {
    /// The new flow's idle timeout.
    pub idle_timeout: u16,
    /// Its hard timeout.
    pub hard_timeout: u16,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Its table.
    pub table: u8,
    /// Its idle timeout after a FIN.
    pub fin_idle_timeout: u16,
    /// Its hard timeout after a FIN.
    pub fin_hard_timeout: u16,
    /// It sends flow-removed messages.
    pub send_flow_rem: bool,
    /// Learned flows go when the last flow with this action and cookie goes.
    pub delete_learned: bool,
    /// How many flows may be learned; zero: any.
    pub limit: u32,
    /// A bit that tells whether the limit let the flow be learned.
    pub result_dst: Option<(Field, u16)>,
    /// It arrived in the newer wire form.
    pub extended: bool,
    /// The parts.
    pub specs: Vec<LearnSpec>,
}

const DST_MASK: u16 = 0x1800;
const DST_LOAD: u16 = 0x0800;
const DST_OUTPUT: u16 = 0x1000;
const SRC_NUMBER: u16 = 0x2000;
const N_BITS: u16 = 0x03ff;

const SEND_FLOW_REM: u16 = 1;
const DELETE_LEARNED: u16 = 2;
const WRITE_RESULT: u16 = 4;

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        nicira(16, Len::AtLeast(32), |r| decode(r, false)),
        nicira(45, Len::AtLeast(40), |r| decode(r, true)),
    ],
    text: &[Text { name: "learn", parse }],
};

impl Default for Learn {
    fn default() -> Learn {
        Learn {
            idle_timeout: 0,
            hard_timeout: 0,
            priority: FlowMod::DEFAULT_PRIORITY,
            cookie: 0,
            table: 1,
            fin_idle_timeout: 0,
            fin_hard_timeout: 0,
            send_flow_rem: false,
            delete_learned: false,
            limit: 0,
            result_dst: None,
            extended: false,
            specs: Vec::new(),
        }
    }
}

fn decode(r: &Raw, extended: bool) -> Result<Action, OfpError> {
    let flags = r.u16(24);
    let known = SEND_FLOW_REM | DELETE_LEARNED | if extended { WRITE_RESULT } else { 0 };
    if r.u8(27) != 0 || flags & !known != 0 || r.u8(26) == 255 {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    let mut learn = Learn {
        idle_timeout: r.u16(10),
        hard_timeout: r.u16(12),
        priority: r.u16(14),
        cookie: r.u64(16),
        table: r.u8(26),
        fin_idle_timeout: r.u16(28),
        fin_hard_timeout: r.u16(30),
        send_flow_rem: flags & SEND_FLOW_REM != 0,
        delete_learned: flags & DELETE_LEARNED != 0,
        extended,
        ..Learn::default()
    };
    let mut at = 32;
    if extended {
        learn.limit = r.u32(32);
        let ofs = r.u16(36);
        super::wire::zeros(r.rest(38).get(..2).unwrap_or(&[]), OfpError::NXBAC_MUST_BE_ZERO)?;
        at = 40;
        if flags & WRITE_RESULT != 0 {
            let (field, end) = r.field(40)?;
            if !field.def().writable {
                return Err(OfpError::OFPBAC_BAD_SET_ARGUMENT);
            }
            Subfield { field, ofs, n_bits: 1 }.checked()?;
            learn.result_dst = Some((field, ofs));
            at = end;
        } else if ofs != 0 {
            return Err(OfpError::OFPBAC_BAD_ARGUMENT);
        }
    }
    learn.specs = Specs { bytes: r.rest(at) }.decode()?;
    Ok(learn.into())
}

/// Reads the parts.
struct Specs<'a> {
    bytes: &'a [u8],
}

impl<'a> Specs<'a> {
    fn skip(&mut self, n: usize) -> Result<&'a [u8], OfpError> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or(OfpError::OFPBAC_BAD_LEN)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, OfpError> {
        bytes::u16_at(self.skip(2)?, 0).ok_or(OfpError::OFPBAC_BAD_LEN)
    }

    fn subfield(&mut self, n_bits: u16) -> Result<Subfield, OfpError> {
        let (field, masked, len) = oxm::pull_header(self.bytes).map_err(|e| match e {
            OfpError::OFPBMC_BAD_LEN => OfpError::OFPBAC_BAD_LEN,
            _ => OfpError::OFPBAC_BAD_SET_TYPE,
        })?;
        self.skip(len)?;
        if masked {
            return Err(OfpError::OFPBAC_BAD_SET_ARGUMENT);
        }
        Subfield { field, ofs: self.u16()?, n_bits }.checked()
    }

    fn decode(mut self) -> Result<Vec<LearnSpec>, OfpError> {
        let mut specs = Vec::new();
        while self.bytes.len() >= 2 {
            let header = self.u16()?;
            if header == 0 {
                break;
            }
            let n_bits = header & N_BITS;
            let src = if header & SRC_NUMBER == 0 {
                LearnSource::Field(self.subfield(n_bits)?)
            } else {
                let bytes = self.skip(usize::from(n_bits.div_ceil(16)) * 2)?;
                let n = Bits::from_be_bytes(bytes.iter().copied());
                LearnSource::Number(&n & &Bits::ones(n_bits), n_bits)
            };
            let dst = match header & DST_MASK {
                0 => LearnDest::Match(self.subfield(n_bits)?),
                DST_LOAD => LearnDest::Load(self.subfield(n_bits)?),
                DST_OUTPUT if header & SRC_NUMBER == 0 => LearnDest::Output,
                _ => return Err(OfpError::OFPBAC_BAD_ARGUMENT),
            };
            specs.push(LearnSpec { src, dst });
        }
        super::wire::zeros(self.bytes, OfpError::OFPBAC_BAD_ARGUMENT)?;
        Ok(specs)
    }
}

fn put_subfield(s: Subfield, b: &mut Vec<u8>) {
    put_header(s.field, b);
    b.put_u16(s.ofs);
}

impl LearnSpec {
    /// The fields that it reads or writes.
    pub(super) fn fields(&self) -> impl Iterator<Item = Subfield> + use<> {
        let src = if let LearnSource::Field(s) = &self.src { Some(*s) } else { None };
        let dst = if let LearnDest::Match(s) | LearnDest::Load(s) = self.dst { Some(s) } else { None };
        src.into_iter().chain(dst)
    }

    fn n_bits(&self) -> u16 {
        match &self.src {
            LearnSource::Field(s) => s.n_bits,
            LearnSource::Number(_, n) => *n,
        }
    }

    fn put(&self, b: &mut Vec<u8>) {
        let n_bits = self.n_bits();
        let src = if matches!(self.src, LearnSource::Number(..)) { SRC_NUMBER } else { 0 };
        let dst = match self.dst {
            LearnDest::Match(_) => 0,
            LearnDest::Load(_) => DST_LOAD,
            LearnDest::Output => DST_OUTPUT,
        };
        b.put_u16(n_bits | src | dst);
        match &self.src {
            LearnSource::Field(s) => put_subfield(*s, b),
            LearnSource::Number(n, _) => b.extend(n.be_bytes(usize::from(n_bits.div_ceil(16)) * 2)),
        }
        match self.dst {
            LearnDest::Match(s) | LearnDest::Load(s) => put_subfield(s, b),
            LearnDest::Output => {}
        }
    }

    fn print(&self, out: &mut String, names: &Names) {
        let _ = match (&self.src, self.dst) {
            (LearnSource::Number(n, bits), LearnDest::Match(dst)) if *bits == width(dst.field) => {
                let _ = write!(out, "{}=", dst.field.def().name);
                values::print(out, dst.field.def(), n, &field::byte_mask(dst.field), names);
                Ok(())
            }
            (LearnSource::Number(n, _), LearnDest::Match(dst)) => write!(out, "{dst}={}", Hex(n.clone())),
            (LearnSource::Field(src), LearnDest::Match(dst)) if *src == dst => write!(out, "{dst}"),
            (LearnSource::Field(src), LearnDest::Match(dst)) => write!(out, "{dst}={src}"),
            (LearnSource::Number(n, _), LearnDest::Load(dst)) => {
                write!(out, "load:{}->{dst}", Hex(n.clone()))
            }
            (LearnSource::Field(src), LearnDest::Load(dst)) => write!(out, "load:{src}->{dst}"),
            (LearnSource::Field(src), LearnDest::Output) => write!(out, "output:{src}"),
            (LearnSource::Number(..), LearnDest::Output) => Ok(()),
        };
    }
}

impl Act for Learn {
    fn name(&self) -> &'static str {
        "learn"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let extended = self.extended || self.limit != 0 || self.result_dst.is_some();
        let flags = if self.send_flow_rem { SEND_FLOW_REM } else { 0 }
            | if self.delete_learned { DELETE_LEARNED } else { 0 }
            | if self.result_dst.is_some() { WRITE_RESULT } else { 0 };
        e.nicira(if extended { 45 } else { 16 }, |b| {
            b.put_u16(self.idle_timeout);
            b.put_u16(self.hard_timeout);
            b.put_u16(self.priority);
            b.put_u64(self.cookie);
            b.put_u16(flags);
            b.put_u8(self.table);
            b.put_u8(0);
            b.put_u16(self.fin_idle_timeout);
            b.put_u16(self.fin_hard_timeout);
            if extended {
                b.put_u32(self.limit);
                b.put_u16(self.result_dst.map_or(0, |(_, ofs)| ofs));
                b.put_zeros(2);
                if let Some((field, _)) = self.result_dst {
                    put_header(field, b);
                }
            }
            self.specs.iter().for_each(|spec| spec.put(b));
        });
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        let _ = write!(out, "learn(table={}", names.table(self.table));
        let numbers = [
            ("idle_timeout", self.idle_timeout, 0),
            ("hard_timeout", self.hard_timeout, 0),
            ("fin_idle_timeout", self.fin_idle_timeout, 0),
            ("fin_hard_timeout", self.fin_hard_timeout, 0),
            ("priority", self.priority, FlowMod::DEFAULT_PRIORITY),
        ];
        for (name, n, default) in numbers {
            if n != default {
                let _ = write!(out, ",{name}={n}");
            }
        }
        if self.send_flow_rem {
            out.push_str(",send_flow_rem");
        }
        if self.delete_learned {
            out.push_str(",delete_learned");
        }
        if self.cookie != 0 {
            let _ = write!(out, ",cookie={:#x}", self.cookie);
        }
        if self.limit != 0 {
            let _ = write!(out, ",limit={}", self.limit);
        }
        if let Some((field, ofs)) = self.result_dst {
            let _ = write!(out, ",result_dst={}", Subfield { field, ofs, n_bits: 1 });
        }
        for spec in &self.specs {
            out.push(',');
            spec.print(out, names);
        }
        out.push(')');
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        // What earlier parts match is there for later ones.
        let mut learned: Match = crate::matches::any();
        for spec in &self.specs {
            if let LearnSource::Field(src) = &spec.src {
                src.check_src(&cx.m)?;
            }
            match spec.dst {
                LearnDest::Match(dst) => {
                    dst.check_src(&learned)?;
                    if let LearnSource::Number(n, _) = &spec.src {
                        dst.set_in_match(&mut learned, n);
                    }
                }
                LearnDest::Load(dst) => dst.check_dst(&learned)?,
                LearnDest::Output => {}
            }
        }
        Ok(())
    }
}

fn parse(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let mut learn = Learn::default();
    for (key, value) in Pairs::new(arg) {
        match key {
            "table" => {
                learn.table = values::table(value, cx.names)
                    .ok_or_else(|| text_error!("{arg}: unknown table \"{value}\""))?;
                if learn.table == 255 {
                    return Err(text_error!("{arg}: table id 255 not valid for `learn' action"));
                }
            }
            // These lose their high bits if too large, as they always did.
            "priority" => learn.priority = lax16(value),
            "idle_timeout" => learn.idle_timeout = lax16(value),
            "hard_timeout" => learn.hard_timeout = lax16(value),
            "fin_idle_timeout" => learn.fin_idle_timeout = lax16(value),
            "fin_hard_timeout" => learn.fin_hard_timeout = lax16(value),
            "cookie" => learn.cookie = number::prefix(value).map_or(0, |(n, _)| n as u64),
            "send_flow_rem" => learn.send_flow_rem = true,
            "delete_learned" => learn.delete_learned = true,
            "limit" => learn.limit = number::prefix(value).map_or(0, |(n, _)| n as u32),
            "result_dst" => {
                let dst = Subfield::parse(value)?;
                if !dst.field.def().writable {
                    return Err(text_error!("{value} is read-only"));
                }
                if dst.n_bits != 1 {
                    return Err(TextError::new("result_dst in 'learn' action must be a single bit"));
                }
                learn.result_dst = Some((dst.field, dst.ofs));
            }
            _ => learn.specs.push(parse_spec(arg, key, value, cx.names)?),
        }
    }
    cx.push(learn);
    Ok(())
}

fn lax16(text: &str) -> u16 {
    number::prefix(text).map_or(0, |(n, _)| n as u16)
}

fn parse_spec(arg: &str, key: &str, value: &str, names: &Names) -> Result<LearnSpec, TextError> {
    match key {
        "load" => return parse_load(value),
        "output" => {
            let src = Subfield::parse(value)?;
            return Ok(LearnSpec { src: LearnSource::Field(src), dst: LearnDest::Output });
        }
        _ => {}
    }
    // The name may carry the bits in brackets.
    let Ok(dst) = Subfield::parse(key) else {
        return Err(text_error!("{arg}: unknown keyword {key}"));
    };
    let dest = LearnDest::Match(dst);
    if value.is_empty() {
        return Ok(LearnSpec { src: LearnSource::Field(dst), dst: dest });
    }
    match Subfield::parse(value) {
        Ok(src) if src.n_bits != dst.n_bits => Err(text_error!(
            "{arg}: bit widths of {value} ({}) and {key} ({}) differ",
            src.n_bits,
            dst.n_bits
        )),
        Ok(src) => Ok(LearnSpec { src: LearnSource::Field(src), dst: dest }),
        Err(as_field) => {
            let number = learn_number(arg, dst, value, names).map_err(|as_value| {
                text_error!(
                    "{arg}: {key} value {value} cannot be parsed as a subfield ({as_field}) or an immediate value ({as_value})"
                )
            })?;
            Ok(LearnSpec { src: LearnSource::Number(number, dst.n_bits), dst: dest })
        }
    }
}

/// A number in the form of the field that it is for; at the low end of its bits.
fn learn_number(arg: &str, dst: Subfield, text: &str, names: &Names) -> Result<Bits, TextError> {
    let def = dst.field.def();
    if dst.n_bits == width(dst.field) {
        return values::parse(def, text, names).map(|(value, _)| &value & &Bits::ones(dst.n_bits));
    }
    dst.parse_number(text).map_err(|fault| match fault {
        BadNumber::Unreadable => text_error!("{arg}: cannot parse integer value"),
        BadNumber::TooWide(n) => {
            text_error!("{arg}: value {} does not fit into {} bits", Hex(n), dst.n_bits)
        }
    })
}

fn parse_load(arg: &str) -> Result<LearnSpec, TextError> {
    let (src, dst) = arg.split_once("->").ok_or_else(|| text_error!("{arg}: missing `->'"))?;
    let dst = Subfield::parse(dst)?;
    if let Ok(n) = number::bits(src, u8::MAX) {
        if n.len() > dst.n_bits {
            return Err(text_error!("{arg}: value does not fit into {} bits", dst.n_bits));
        }
        return Ok(LearnSpec { src: LearnSource::Number(n, dst.n_bits), dst: LearnDest::Load(dst) });
    }
    let (src, dst) = super::subfield::parse_move(arg)?;
    Ok(LearnSpec { src: LearnSource::Field(src), dst: LearnDest::Load(dst) })
}
