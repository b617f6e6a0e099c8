//! Actions on any field: set_field and load, move, the stack.
//!
//! Where it sits: these are what pipelines are made of.
//!
//! `load` and `set_field` are one action, [`SetField`], that remembers how it was written. How it goes out depends on
//! the version: 1.5 sets any bits of a field; 1.2 to 1.4 set whole fields and load parts; 1.1 and 1.0 use the old
//! actions where a field has one, and load else.

use std::fmt::Write;

use flow::Field;
use wire::EthAddr;
use wire::eth::VLAN_CFI;

use super::check::Checker;
use super::subfield::{BadNumber, parse_move};
use super::text::{ParseContext, Text};
use super::wire::{Encoder, Len, Raw, TO_V14, Wire, nicira, nicira_in, put_header, standard, zeros};
use super::{
    Act, Action, Family, SetEthDst, SetEthSrc, SetIpDscp, SetIpEcn, SetIpv4Dst, SetIpv4Src, SetTpDst,
    SetTpSrc, SetVlanPcp, SetVlanVid, StripVlan, Subfield,
};
use crate::matches::oxm::{self, Numbering};
use crate::text::values::{self, Hex};
use crate::text::{TextError, text_error};
use crate::{Bits, Names, ONF_VENDOR, OfpError, PutBytes, Version, field};

/// Which of its texts and wire forms a [`SetField`] came as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetFieldForm {
    /// `set_field:value/mask->field`.
    SetField,
    /// `load:value->field[bits]`.
    Load,
    /// The second Nicira form of `load`, which carries whole fields and masks.
    Load2,
}

/// `set_field` and `load`: stores bits in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetField {
    /// The field.
    pub field: Field,
    /// The bits to store, at their place in the field; zero outside of `mask`.
    pub value: Bits,
    /// Which bits to store.
    pub mask: Bits,
    /// How it is written.
    pub form: SetFieldForm,
    /// The flow is known to match a VLAN tag, or to have pushed one.
    pub flow_has_vlan: bool,
}

/// `move`: copies bits from a field to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// From.
    pub src: Subfield,
    /// To; as wide as `src`.
    pub dst: Subfield,
    /// It arrived as, and goes out as, OpenFlow 1.3's experimenter form.
    pub onf: bool,
}

/// `delete_field`: takes tunnel metadata off a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteField(
    /// What to delete.
    pub Field,
);

/// `push`: copies bits onto the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackPush(
    /// What to push.
    pub Subfield,
);

/// `pop`: takes the top of the stack into bits of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackPop(
    /// Where it goes.
    pub Subfield,
);

const V12_TO_14: (Version, Version) = (Version::V12, Version::V14);
const V15: (Version, Version) = (Version::V15, Version::V15);

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        standard(25, V12_TO_14, Len::AtLeast(8), |r| decode_set_field(r, 4, SetFieldForm::SetField)),
        standard(25, V15, Len::AtLeast(8), |r| decode_set_field(r, 4, SetFieldForm::SetField)),
        nicira_in(33, TO_V14, Len::AtLeast(16), |r| decode_set_field(r, 10, SetFieldForm::Load2)),
        nicira_in(7, TO_V14, Len::Exact(24), decode_load),
        standard(28, V15, Len::AtLeast(16), |r| decode_move(r, 4, 12, false)),
        Wire {
            vendor: ONF_VENDOR,
            kind: 3200,
            versions: (Version::V13, Version::V14),
            len: Len::AtLeast(24),
            decode: |r| decode_move(r, 12, 20, true),
        },
        nicira_in(6, TO_V14, Len::AtLeast(16), |r| decode_move(r, 10, 16, false)),
        nicira(27, Len::Exact(24), |r| decode_stack(r).map(|s| StackPush(s).into())),
        nicira(28, Len::Exact(24), |r| decode_stack(r).map(|s| StackPop(s).into())),
        nicira(50, Len::Exact(24), decode_delete),
    ],
    text: &[
        Text { name: "set_field", parse: parse_set_field },
        Text { name: "load", parse: parse_load },
        Text {
            name: "move",
            parse: |arg, cx| {
                let (src, dst) = parse_move(arg)?;
                cx.push(Move { src, dst, onf: false });
                Ok(())
            },
        },
        Text { name: "push", parse: |arg, cx| Subfield::parse(arg).map(|s| cx.push(StackPush(s))) },
        Text { name: "pop", parse: |arg, cx| Subfield::parse(arg).map(|s| cx.push(StackPop(s))) },
        Text { name: "delete_field", parse: parse_delete_field },
    ],
};

fn decode_set_field(r: &Raw, at: usize, form: SetFieldForm) -> Result<Action, OfpError> {
    let unknown = match form {
        SetFieldForm::SetField => OfpError::OFPBAC_BAD_SET_LEN,
        _ => OfpError::OFPBAC_BAD_SET_TYPE,
    };
    let (entry, len) = oxm::pull_entry(r.rest(at)).map_err(|e| match e {
        OfpError::OFPBMC_BAD_FIELD => unknown,
        e => e,
    })?;
    zeros(r.rest(at + len), OfpError::OFPBAC_BAD_SET_ARGUMENT)?;
    let full = field::action_mask(entry.field);
    // Only 1.5 and the Nicira form have masks.
    if entry.masked && form == SetFieldForm::SetField && r.version < Version::V15 {
        return Err(OfpError::OFPBAC_BAD_SET_MASK);
    }
    let def = entry.field.def();
    if !def.writable || entry.field == Field::InPortOxm {
        return Err(OfpError::OFPBAC_BAD_SET_ARGUMENT);
    }
    let untagged = entry.field == Field::VlanVid && entry.value.low() & u128::from(VLAN_CFI) == 0;
    if !field::is_valid(entry.field, &entry.value) || untagged {
        return Err(OfpError::OFPBAC_BAD_SET_ARGUMENT);
    }
    let mask = &entry.mask & &full;
    Ok(SetField { field: entry.field, value: &entry.value & &mask, mask, form, flow_has_vlan: false }.into())
}

fn decode_load(r: &Raw) -> Result<Action, OfpError> {
    let (dst, _) = r.subfield(12, 10)?;
    let value = Bits::from(r.u64(16));
    if value.len() > dst.n_bits {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    Ok(SetField::load(dst, &value).into())
}

/// Reads a move whose numbers of bits begin at `bits` and whose headers begin at `headers`.
fn decode_move(r: &Raw, bits: usize, headers: usize, onf: bool) -> Result<Action, OfpError> {
    let n_bits = r.u16(bits);
    let (src, next) = r.field(headers)?;
    let (dst, end) = r.field(next)?;
    zeros(r.rest(end), OfpError::NXBRC_MUST_BE_ZERO)?;
    let src = Subfield { field: src, ofs: r.u16(bits + 2), n_bits }.checked()?;
    let dst = Subfield { field: dst, ofs: r.u16(bits + 4), n_bits }.checked()?;
    Ok(Move { src, dst, onf }.into())
}

fn decode_stack(r: &Raw) -> Result<Subfield, OfpError> {
    let (field, end) = r.field(12)?;
    r.zeros(end + 2)?;
    Subfield { field, ofs: r.u16(10), n_bits: r.u16(end) }.checked()
}

fn decode_delete(r: &Raw) -> Result<Action, OfpError> {
    let (field, _) = r.field(10)?;
    Ok(DeleteField(field).into())
}

impl SetField {
    /// `load` of `value`, the low bits of which go to `dst`.
    pub fn load(dst: Subfield, value: &Bits) -> SetField {
        SetField {
            field: dst.field,
            value: dst.place(value),
            mask: dst.mask(),
            form: SetFieldForm::Load,
            flow_has_vlan: false,
        }
    }

    /// `set_field` of a whole field.
    pub fn whole(field: Field, value: Bits) -> SetField {
        let mask = field::action_mask(field);
        SetField { field, value: &value & &mask, mask, form: SetFieldForm::SetField, flow_has_vlan: false }
    }

    /// The same, written as `load`.
    pub fn as_load(self) -> SetField {
        SetField { form: SetFieldForm::Load, ..self }
    }

    fn put(&self, numbering: Numbering, b: &mut Vec<u8>) {
        let mask = if self.is_whole() { None } else { Some(&self.mask) };
        oxm::put_entry_as(self.field, &self.value, mask, numbering, b);
    }

    fn is_whole(&self) -> bool {
        field::action_mask(self.field).is_within(&self.mask)
    }

    /// Appends a `load` for each run of set bits of the mask, of 64 bits at most, lowest first.
    fn encode_loads(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if self.field.option().is_some() {
            // `load` knows fields of one length only.
            e.nicira(33, |b| self.put(Numbering::Nxm, b));
            return Ok(());
        }
        // Other fields have no more than 128 bits.
        let (whole, mut left) = (self.value.low(), self.mask.low());
        if self.form == SetFieldForm::SetField && self.is_whole() {
            // Bits that a field has only in the protocol's eyes are loaded, too.
            left = Bits::ones(super::subfield::width(self.field)).low();
        }
        while left != 0 {
            let ofs = left.trailing_zeros() as u16;
            let n_bits = ((left >> ofs).trailing_ones() as u16).min(64);
            let dst = Subfield { field: self.field, ofs, n_bits };
            let value = dst.take(&whole.into());
            left &= !dst.mask().low();
            match oxm::header32(self.field) {
                Some(header) => e.nicira(7, |b| {
                    b.put_u16(dst.ofs_nbits());
                    b.put_u32(header);
                    b.put_u64(value.low() as u64);
                }),
                None => e.nicira(33, |b| {
                    oxm::put_entry(self.field, &dst.place(&value), &dst.mask(), Numbering::Nxm, b);
                }),
            }
        }
        Ok(())
    }

    fn encode_legacy(&self, e: &mut Encoder) -> Result<(), OfpError> {
        match self.legacy(e.version).filter(|_| self.is_whole()) {
            Some(actions) => e.list(&actions),
            None => self.encode_loads(e),
        }
    }

    /// The actions of 1.0 and 1.1 that mean the same.
    fn legacy(&self, version: Version) -> Option<Vec<Action>> {
        let v = self.value.low();
        let vid = |vid: u128| SetVlanVid {
            vid: vid as u16 & 0xfff,
            push_vlan_if_needed: false,
            flow_has_vlan: self.flow_has_vlan,
        };
        let pcp = |pcp: u128| SetVlanPcp {
            pcp: pcp as u8 & 7,
            push_vlan_if_needed: false,
            flow_has_vlan: self.flow_has_vlan,
        };
        let v11 = version == Version::V11;
        Some(match self.field {
            Field::VlanTci if v & u128::from(VLAN_CFI) == 0 => vec![StripVlan { pop: v11 }.into()],
            Field::VlanTci => {
                vec![SetVlanVid { push_vlan_if_needed: true, ..vid(v) }.into(), pcp(v >> 13).into()]
            }
            Field::DlVlan | Field::VlanVid => vec![vid(v).into()],
            Field::DlVlanPcp | Field::VlanPcp => vec![pcp(v).into()],
            Field::EthSrc => vec![SetEthSrc(EthAddr::from_u64(v as u64)).into()],
            Field::EthDst => vec![SetEthDst(EthAddr::from_u64(v as u64)).into()],
            Field::IpSrc => vec![SetIpv4Src(v as u32).into()],
            Field::IpDst => vec![SetIpv4Dst(v as u32).into()],
            Field::NwTos => vec![SetIpDscp(v as u8).into()],
            Field::IpDscp => vec![SetIpDscp((v as u8) << 2).into()],
            Field::NwEcn if v11 => vec![SetIpEcn(v as u8).into()],
            Field::TcpSrc | Field::UdpSrc => vec![SetTpSrc { port: v as u16, ip_proto: 0 }.into()],
            Field::TcpDst | Field::UdpDst => vec![SetTpDst { port: v as u16, ip_proto: 0 }.into()],
            _ => return None,
        })
    }
}

impl Act for SetField {
    fn name(&self) -> &'static str {
        "set_field"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let numbering = e.numbering();
        match (e.version, self.form) {
            (Version::V10 | Version::V11, SetFieldForm::SetField) => self.encode_legacy(e)?,
            (Version::V15, _) => {
                e.standard(25, |b| self.put(numbering, b));
            }
            (_, SetFieldForm::Load2) => e.nicira(33, |b| self.put(Numbering::Nxm, b)),
            (_, SetFieldForm::SetField) if self.is_whole() => {
                e.standard(25, |b| self.put(numbering, b));
            }
            _ => self.encode_loads(e)?,
        }
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        let def = self.field.def();
        let (ofs, n_bits) = (self.mask.trailing_zeros(), self.mask.count_ones());
        if self.form == SetFieldForm::Load && n_bits != 0 && ofs + n_bits == self.mask.len() {
            let dst = Subfield { field: self.field, ofs, n_bits };
            let _ = write!(out, "load:{}->{dst}", Hex(&self.value >> ofs));
        } else {
            out.push_str("set_field:");
            values::print(out, def, &self.value, &self.mask, names);
            let _ = write!(out, "->{}", def.name);
        }
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        if !field::prereqs_ok(self.field, &cx.m) {
            return Err(OfpError::OFPBAC_MATCH_INCONSISTENT);
        }
        if !self.field.def().writable {
            return Err(OfpError::OFPBAC_BAD_SET_ARGUMENT);
        }
        self.flow_has_vlan = cx.has_vlan();
        if self.field == Field::VlanVid && !self.flow_has_vlan {
            return Err(OfpError::OFPBAC_MATCH_INCONSISTENT);
        }
        if self.field == Field::VlanTci {
            // It may have made a tag, or taken it away.
            field::set(Field::VlanTci, &mut cx.m.key, self.value.clone());
        }
        Ok(())
    }
}

impl Act for Move {
    fn name(&self) -> &'static str {
        "move"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let numbering = e.numbering();
        let bits = |b: &mut Vec<u8>| {
            b.put_u16(self.src.n_bits);
            b.put_u16(self.src.ofs);
            b.put_u16(self.dst.ofs);
        };
        match e.version {
            Version::V15 => e.standard(28, |b| {
                bits(b);
                b.put_zeros(2);
                oxm::put_header(self.src.field, numbering, b);
                oxm::put_header(self.dst.field, numbering, b);
            }),
            Version::V13 | Version::V14 if self.onf => e.vendor(ONF_VENDOR, 3200, |b| {
                b.put_zeros(2);
                bits(b);
                b.put_zeros(2);
                oxm::put_header(self.src.field, numbering, b);
                oxm::put_header(self.dst.field, numbering, b);
            }),
            _ => e.nicira(6, |b| {
                bits(b);
                put_header(self.src.field, b);
                put_header(self.dst.field, b);
            }),
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "move:{}->{}", self.src, self.dst);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.src.check_src(&cx.m)?;
        self.dst.check_dst(&cx.m)
    }
}

fn encode_stack(kind: u16, s: Subfield, e: &mut Encoder) -> Result<(), OfpError> {
    e.nicira_of(kind, 24, |b| {
        b.put_u16(s.ofs);
        put_header(s.field, b);
        b.put_u16(s.n_bits);
    });
    Ok(())
}

impl Act for StackPush {
    fn name(&self) -> &'static str {
        "push"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        encode_stack(27, self.0, e)
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "push:{}", self.0);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.0.check_src(&cx.m)
    }
}

impl Act for StackPop {
    fn name(&self) -> &'static str {
        "pop"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        encode_stack(28, self.0, e)
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "pop:{}", self.0);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.0.check_dst(&cx.m)
    }
}

impl Act for DeleteField {
    fn name(&self) -> &'static str {
        "delete_field"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira_of(50, 24, |b| put_header(self.0, b));
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "delete_field:{}", self.0.def().name);
    }

    /// Only tunnel metadata can be deleted.
    fn check(&mut self, _: &mut Checker) -> Result<(), OfpError> {
        self.0.option().map(drop).ok_or(OfpError::OFPBAC_BAD_ARGUMENT)
    }
}

fn parse_set_field(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let (value, name) = arg.rsplit_once("->").ok_or_else(|| text_error!("{arg}: missing `->'"))?;
    let field =
        values::field_by_name(name).ok_or_else(|| text_error!("{name} is not a valid OXM field name"))?;
    let def = field.def();
    if !def.writable {
        return Err(text_error!("{name} is read-only"));
    }
    let (value, mask) = values::parse(def, value, cx.names)?;
    let mask = &mask & &field::action_mask(field);
    if !field::is_valid(field, &value) {
        return Err(text_error!("{} is not a valid value for field {}", arg_value(arg), name));
    }
    cx.only(field::usable(field, &mask));
    let form = SetFieldForm::SetField;
    cx.push(SetField { field, value: &value & &mask, mask, form, flow_has_vlan: false });
    Ok(())
}

/// The value of `value->field`.
fn arg_value(arg: &str) -> &str {
    arg.rsplit_once("->").map_or(arg, |(value, _)| value)
}

fn parse_load(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let (value, dst) = arg.split_once("->").ok_or_else(|| text_error!("{arg}: missing `->'"))?;
    let dst = Subfield::parse(dst)?;
    let number = dst.parse_number(value).map_err(|fault| match fault {
        BadNumber::Unreadable => text_error!("{arg}: cannot parse integer value"),
        BadNumber::TooWide(n) => {
            text_error!("{arg}: value {} does not fit into {} bits", Hex(n), dst.n_bits)
        }
    })?;
    cx.push(SetField::load(dst, &number));
    Ok(())
}

fn parse_delete_field(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let field = values::field_by_name(arg).ok_or_else(|| text_error!("unknown field `{arg}'"))?;
    cx.push(DeleteField(field));
    Ok(())
}
