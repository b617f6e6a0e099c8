//! Actions on VLAN tags.
//!
//! Where it sits: 1.0 pushes a tag by setting one (`mod_vlan_vid`), later versions push first; these actions remember
//! which was meant and what the flow knows of tags, so that they can be said either way.

use std::fmt::Write;

use flow::Field;
use wire::eth::{self, VLAN_CFI};

use super::check::Checker;
use super::text::{ParseContext, Text};
use super::wire::{Encoder, Len, V10, V11_UP, standard};
use super::{Act, Family};
use crate::matches::oxm;
use crate::text::{TextError, number, text_error};
use crate::{Names, OfpError, Protocols, PutBytes, Version};

/// `mod_vlan_vid` and `set_vlan_vid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetVlanVid {
    /// The identifier, 12 bits.
    pub vid: u16,
    /// Push a tag where there is none (`mod_vlan_vid`).
    pub push_vlan_if_needed: bool,
    /// The flow is known to match a VLAN tag, or to have pushed one.
    pub flow_has_vlan: bool,
}

/// `mod_vlan_pcp` and `set_vlan_pcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetVlanPcp {
    /// The priority, 3 bits.
    pub pcp: u8,
    /// Push a tag where there is none (`mod_vlan_pcp`).
    pub push_vlan_if_needed: bool,
    /// The flow is known to match a VLAN tag, or to have pushed one.
    pub flow_has_vlan: bool,
}

/// `strip_vlan` and `pop_vlan`: pops the outer tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StripVlan {
    /// It was written `pop_vlan`.
    pub pop: bool,
}

/// `push_vlan`: pushes a tag of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushVlan(
    /// The type: 0x8100 or 0x88a8.
    pub u16,
);

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        standard(1, V10, Len::Exact(8), |r| vid(r.u16(4), true).map(Into::into)),
        standard(2, V10, Len::Exact(8), |r| pcp(r.u8(4), true).map(Into::into)),
        standard(3, V10, Len::Exact(8), |_| Ok(StripVlan { pop: false }.into())),
        standard(1, V11_UP, Len::Exact(8), |r| vid(r.u16(4), false).map(Into::into)),
        standard(2, V11_UP, Len::Exact(8), |r| pcp(r.u8(4), false).map(Into::into)),
        standard(17, V11_UP, Len::Exact(8), |r| match r.u16(4) {
            tpid if eth::is_vlan(tpid) => Ok(PushVlan(tpid).into()),
            _ => Err(OfpError::OFPBAC_BAD_ARGUMENT),
        }),
        standard(18, V11_UP, Len::Exact(8), |_| Ok(StripVlan { pop: true }.into())),
    ],
    text: &[
        Text { name: "mod_vlan_vid", parse: |arg, cx| parse_vid(arg, cx, true) },
        Text { name: "set_vlan_vid", parse: |arg, cx| parse_vid(arg, cx, false) },
        Text { name: "mod_vlan_pcp", parse: |arg, cx| parse_pcp(arg, cx, true) },
        Text { name: "set_vlan_pcp", parse: |arg, cx| parse_pcp(arg, cx, false) },
        Text {
            name: "strip_vlan",
            parse: |_, cx| {
                cx.push(StripVlan { pop: false });
                Ok(())
            },
        },
        Text {
            name: "pop_vlan",
            parse: |_, cx| {
                cx.push(StripVlan { pop: true });
                Ok(())
            },
        },
        Text { name: "push_vlan", parse: parse_push },
    ],
};

fn vid(vid: u16, push_vlan_if_needed: bool) -> Result<SetVlanVid, OfpError> {
    if vid > 0xfff {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    Ok(SetVlanVid { vid, push_vlan_if_needed, flow_has_vlan: false })
}

fn pcp(pcp: u8, push_vlan_if_needed: bool) -> Result<SetVlanPcp, OfpError> {
    if pcp > 7 {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    Ok(SetVlanPcp { pcp, push_vlan_if_needed, flow_has_vlan: false })
}

/// Pushes a tag first where a version's setting does not.
fn push_first(push_if_needed: bool, has_vlan: bool, e: &mut Encoder) -> Result<(), OfpError> {
    if push_if_needed && !has_vlan { PushVlan(eth::TYPE_VLAN).encode(e) } else { Ok(()) }
}

impl Act for SetVlanVid {
    fn name(&self) -> &'static str {
        "set_vlan_vid"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version >= Version::V11 {
            push_first(self.push_vlan_if_needed, self.flow_has_vlan, e)?;
        }
        if e.version <= Version::V11 {
            e.standard(1, |b| b.put_u16(self.vid));
        } else {
            let numbering = e.numbering();
            let value = (self.vid | VLAN_CFI).into();
            e.standard(25, |b| oxm::put_entry_as(Field::VlanVid, &value, None, numbering, b));
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let verb = if self.push_vlan_if_needed { "mod" } else { "set" };
        let _ = write!(out, "{verb}_vlan_vid:{}", self.vid);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.flow_has_vlan = cx.has_vlan();
        cx.require(self.flow_has_vlan || self.push_vlan_if_needed);
        cx.m.key.set_vlan_tci(cx.m.key.vlan_tci() | VLAN_CFI);
        Ok(())
    }
}

impl Act for SetVlanPcp {
    fn name(&self) -> &'static str {
        "set_vlan_pcp"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version >= Version::V11 {
            push_first(self.push_vlan_if_needed, self.flow_has_vlan, e)?;
        }
        if e.version <= Version::V11 {
            e.standard(2, |b| b.put_u8(self.pcp));
        } else {
            let numbering = e.numbering();
            e.standard(25, |b| oxm::put_entry_as(Field::VlanPcp, &self.pcp.into(), None, numbering, b));
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let verb = if self.push_vlan_if_needed { "mod" } else { "set" };
        let _ = write!(out, "{verb}_vlan_pcp:{}", self.pcp);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.flow_has_vlan = cx.has_vlan();
        cx.require(self.flow_has_vlan || self.push_vlan_if_needed);
        cx.m.key.set_vlan_tci(cx.m.key.vlan_tci() | VLAN_CFI);
        Ok(())
    }
}

impl Act for StripVlan {
    fn name(&self) -> &'static str {
        "strip_vlan"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.standard(if e.version == Version::V10 { 3 } else { 18 }, |b| b.put_zeros(4));
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str(if self.pop { "pop_vlan" } else { "strip_vlan" });
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(cx.has_vlan());
        let key = &mut cx.m.key;
        key.set_vlan_tci(key.vlan2_tci());
        key.set_vlan2_tci(0);
        Ok(())
    }
}

impl Act for PushVlan {
    fn name(&self) -> &'static str {
        "push_vlan"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        // 1.0 pushes by setting; there is nothing to say before.
        if e.version >= Version::V11 {
            e.standard(17, |b| b.put_u16(self.0));
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "push_vlan:{:#x}", self.0);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        let key = &mut cx.m.key;
        if key.vlan2_tci() & VLAN_CFI != 0 {
            // Two tags are all that a key holds.
            return Err(OfpError::OFPBAC_BAD_TAG);
        }
        key.set_vlan2_tci(key.vlan_tci());
        key.set_vlan_tci(VLAN_CFI);
        Ok(())
    }
}

fn parse_vid(arg: &str, cx: &mut ParseContext, push_vlan_if_needed: bool) -> Result<(), TextError> {
    let n = number::u16(arg, "VLAN VID")?;
    cx.push(vid(n, push_vlan_if_needed).map_err(|_| text_error!("{arg}: not a valid VLAN VID"))?);
    Ok(())
}

fn parse_pcp(arg: &str, cx: &mut ParseContext, push_vlan_if_needed: bool) -> Result<(), TextError> {
    let n = number::u8(arg, "VLAN PCP")?;
    cx.push(pcp(n, push_vlan_if_needed).map_err(|_| text_error!("{arg}: not a valid VLAN PCP"))?);
    Ok(())
}

fn parse_push(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let tpid = number::u16(arg, "ethertype")?;
    if !eth::is_vlan(tpid) {
        return Err(text_error!("{arg}: not a valid VLAN ethertype"));
    }
    cx.only(Protocols::OF11_UP);
    cx.push(PushVlan(tpid));
    Ok(())
}
