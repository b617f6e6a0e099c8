//! Actions on MPLS label stack entries.
//!
//! Where it sits: 1.0 has them as Nicira's actions, 1.1 of its own; from 1.2 label and traffic class are fields.

use std::fmt::Write;

use flow::Field;
use wire::eth;

use super::check::Checker;
use super::text::{ParseContext, Text};
use super::wire::{Encoder, Len, V10, V11_UP, nicira_in, standard};
use super::{Act, Action, Family, SetField};
use crate::text::{TextError, number, text_error};
use crate::{Names, OfpError, PutBytes, Version};

/// `push_mpls`: pushes a label stack entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushMpls(
    /// Its Ethernet type.
    pub u16,
);

/// `pop_mpls`: pops a label stack entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopMpls(
    /// The Ethernet type of what is below.
    pub u16,
);

/// `set_mpls_label`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetMplsLabel(
    /// The label, 20 bits.
    pub u32,
);

/// `set_mpls_tc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetMplsTc(
    /// The traffic class, 3 bits.
    pub u8,
);

/// `set_mpls_ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetMplsTtl(
    /// The TTL.
    pub u8,
);

/// `dec_mpls_ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecMplsTtl;

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        nicira_in(30, V10, Len::Exact(16), |r| Ok(SetMplsLabel(r.u32(12) & 0xf_ffff).into())),
        nicira_in(31, V10, Len::Exact(16), |r| Ok(SetMplsTc(r.u8(10) & 7).into())),
        nicira_in(25, V10, Len::Exact(16), |r| Ok(SetMplsTtl(r.u8(10)).into())),
        nicira_in(26, V10, Len::Exact(16), |_| Ok(DecMplsTtl.into())),
        nicira_in(23, V10, Len::Exact(16), |r| push(r.u16(10))),
        nicira_in(24, V10, Len::Exact(16), |r| Ok(PopMpls(r.u16(10)).into())),
        standard(13, V11_UP, Len::Exact(8), |r| Ok(SetMplsLabel(r.u32(4) & 0xf_ffff).into())),
        standard(14, V11_UP, Len::Exact(8), |r| Ok(SetMplsTc(r.u8(4) & 7).into())),
        standard(15, V11_UP, Len::Exact(8), |r| Ok(SetMplsTtl(r.u8(4)).into())),
        standard(16, V11_UP, Len::Exact(8), |_| Ok(DecMplsTtl.into())),
        standard(19, V11_UP, Len::Exact(8), |r| push(r.u16(4))),
        standard(20, V11_UP, Len::Exact(8), |r| Ok(PopMpls(r.u16(4)).into())),
    ],
    text: &[
        Text { name: "set_mpls_label", parse: parse_label },
        Text { name: "set_mpls_tc", parse: parse_tc },
        Text {
            name: "set_mpls_ttl",
            parse: |arg, cx| number::u8(arg, "MPLS TTL").map(|n| cx.push(SetMplsTtl(n))),
        },
        Text {
            name: "dec_mpls_ttl",
            parse: |_, cx| {
                cx.push(DecMplsTtl);
                Ok(())
            },
        },
        Text {
            name: "push_mpls",
            parse: |arg, cx| number::u16(arg, "push_mpls").map(|n| cx.push(PushMpls(n))),
        },
        Text { name: "pop_mpls", parse: |arg, cx| number::u16(arg, "pop_mpls").map(|n| cx.push(PopMpls(n))) },
    ],
};

fn push(ethertype: u16) -> Result<Action, OfpError> {
    if eth::is_mpls(ethertype) { Ok(PushMpls(ethertype).into()) } else { Err(OfpError::OFPBAC_BAD_ARGUMENT) }
}

/// An action of 8 bytes with a 16-bit argument in 1.1, a Nicira action in 1.0.
fn encode_type(e: &mut Encoder, nicira: u16, standard: u16, ethertype: u16) -> Result<(), OfpError> {
    if e.version == Version::V10 {
        e.nicira(nicira, |b| b.put_u16(ethertype));
    } else {
        e.standard(standard, |b| b.put_u16(ethertype));
    }
    Ok(())
}

fn is_mpls(cx: &Checker) -> bool {
    eth::is_mpls(cx.eth_type())
}

impl Act for PushMpls {
    fn name(&self) -> &'static str {
        "push_mpls"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        encode_type(e, 23, 19, self.0)
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "push_mpls:0x{:04x}", self.0);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.m.key.set_eth_type(self.0);
        // What is below the label can no longer be seen.
        cx.m.key.set_nw_proto(0);
        Ok(())
    }
}

impl Act for PopMpls {
    fn name(&self) -> &'static str {
        "pop_mpls"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        encode_type(e, 24, 20, self.0)
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "pop_mpls:0x{:04x}", self.0);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(is_mpls(cx));
        cx.m.key.set_eth_type(self.0);
        Ok(())
    }
}

impl Act for SetMplsLabel {
    fn name(&self) -> &'static str {
        "set_mpls_label"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        match e.version {
            Version::V10 => e.nicira(30, |b| {
                b.put_zeros(2);
                b.put_u32(self.0);
            }),
            Version::V11 => e.standard(13, |b| b.put_u32(self.0)),
            _ => SetField::whole(Field::MplsLabel, self.0.into()).encode(e)?,
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "set_mpls_label({})", self.0);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(is_mpls(cx));
        Ok(())
    }
}

impl Act for SetMplsTc {
    fn name(&self) -> &'static str {
        "set_mpls_tc"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        match e.version {
            Version::V10 => e.nicira(31, |b| b.put_u8(self.0)),
            Version::V11 => e.standard(14, |b| b.put_u8(self.0)),
            _ => SetField::whole(Field::MplsTc, self.0.into()).encode(e)?,
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "set_mpls_tc({})", self.0);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(is_mpls(cx));
        Ok(())
    }
}

impl Act for SetMplsTtl {
    fn name(&self) -> &'static str {
        "set_mpls_ttl"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version == Version::V10 {
            e.nicira(25, |b| b.put_u8(self.0));
        } else {
            e.standard(15, |b| b.put_u8(self.0));
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "set_mpls_ttl({})", self.0);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(is_mpls(cx));
        Ok(())
    }
}

impl Act for DecMplsTtl {
    fn name(&self) -> &'static str {
        "dec_mpls_ttl"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version == Version::V10 {
            e.nicira(26, |b| b.put_zeros(6));
        } else {
            e.standard(16, |b| b.put_zeros(4));
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("dec_mpls_ttl");
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(is_mpls(cx));
        Ok(())
    }
}

fn parse_label(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let label = cx.number32(arg)?;
    if label > 0xf_ffff {
        return Err(text_error!("{arg}: not a valid MPLS label"));
    }
    cx.push(SetMplsLabel(label));
    Ok(())
}

fn parse_tc(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let tc = number::u8(arg, "MPLS TC")?;
    if tc > 7 {
        return Err(text_error!("{arg}: not a valid MPLS TC"));
    }
    cx.push(SetMplsTc(tc));
    Ok(())
}
