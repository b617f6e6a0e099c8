//! Connection tracking: ct, ct_clear.
//!
//! Where it sits: the stateful firewall. What `ct` holds is address translation and what to store in the connection.
//!
//! Spec: ovs-actions(7), "The ct action".

use std::fmt::Write;

use super::check::Checker;
use super::nat::{NatKind, parse_nat};
use super::text::{self, Outer, ParseContext, Text};
use super::wire::{Encoder, Len, Raw, header32, nicira};
use super::{Act, Action, Family, Subfield};
use crate::text::{Pairs, TextError, number, text_error, values};
use crate::{Names, OfpError, PutBytes};
use flow::Field;

/// The zone of a [`Ct`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtZone {
    /// A number.
    Number(u16),
    /// What 16 bits of a field hold.
    Field(Subfield),
}

/// `ct`: sends the packet through the connection tracker.
#[derive(Clone, Debug, PartialEq)]
pub struct Ct {
    /// Commit the connection.
    pub commit: bool,
    /// Replace a connection of the other direction.
    pub force: bool,
    /// The zone.
    pub zone: CtZone,
    /// The table in which a tracked copy continues.
    pub table: Option<u8>,
    /// The application helper: 0 none, 21 ftp, 69 tftp.
    pub alg: u16,
    /// Address translation, and what to store in `ct_mark` and `ct_label`.
    pub actions: Vec<Action>,
}

/// `ct_clear`: forgets what the connection tracker said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtClear;

const COMMIT: u16 = 1;
const FORCE: u16 = 2;

/// Helpers by name and port.
const ALGS: [(&str, u16, u8); 2] = [("ftp", 21, 6), ("tftp", 69, 17)];

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[nicira(35, Len::AtLeast(24), decode_ct), nicira(43, Len::Exact(16), |_| Ok(CtClear.into()))],
    text: &[
        Text { name: "ct", parse: parse_ct },
        Text {
            name: "ct_clear",
            parse: |_, cx| {
                cx.push(CtClear);
                Ok(())
            },
        },
    ],
};

/// Whether an action may lie within `outer`, as far as connection tracking has a say.
pub fn verify_place(action: &Action, outer: Outer) -> Result<(), TextError> {
    let stored = match action {
        Action::SetField(s) => Some(s.field),
        Action::Move(m) => Some(m.dst.field),
        _ => None,
    };
    let of_ct = matches!(stored, Some(Field::CtMark | Field::CtLabel));
    match (outer, action) {
        (Outer::Ct, Action::Nat(_)) => Ok(()),
        (Outer::Ct, _) if of_ct => Ok(()),
        (Outer::Ct, _) => Err(match stored {
            Some(field) => {
                text_error!("ct action doesn't support nested modification of {}", field.def().name)
            }
            None => text_error!("ct action doesn't support nested action {}", action.name()),
        }),
        (_, Action::Nat(_)) => Err(TextError::new("Cannot have NAT action outside of \"ct\" action")),
        (_, _) if of_ct => Err(TextError::new("cannot set CT fields outside of ct action")),
        _ => Ok(()),
    }
}

fn decode_ct(r: &Raw) -> Result<Action, OfpError> {
    let flags = r.u16(10);
    let zone = match r.u32(12) {
        0 => CtZone::Number(r.u16(16)),
        _ => {
            let (subfield, _) = r.subfield(12, 16)?;
            if subfield.n_bits != 16 {
                return Err(OfpError::OFPBAC_BAD_SET_LEN);
            }
            CtZone::Field(subfield)
        }
    };
    let ct = Ct {
        commit: flags & COMMIT != 0,
        force: flags & FORCE != 0,
        zone,
        table: Some(r.u8(18)).filter(|t| *t != 255),
        alg: r.u16(22),
        actions: r.actions(24)?,
    };
    super::instructions::verify_nested(&ct.actions, Outer::Ct)?;
    // Without a commit there is no connection to store anything in.
    let bare = |a: &Action| matches!(a, Action::Nat(nat) if nat.kind == NatKind::Existing);
    if !ct.commit && (ct.force || !ct.actions.iter().all(bare)) {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    Ok(ct.into())
}

impl Act for Ct {
    fn name(&self) -> &'static str {
        "ct"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let start = e.open_nicira(35);
        let b = &mut *e.out;
        b.put_u16(if self.commit { COMMIT } else { 0 } | if self.force { FORCE } else { 0 });
        match self.zone {
            CtZone::Number(zone) => {
                b.put_u32(0);
                b.put_u16(zone);
            }
            CtZone::Field(field) => {
                b.put_u32(header32(field.field)?);
                b.put_u16(field.ofs_nbits());
            }
        }
        b.put_u8(self.table.unwrap_or(255));
        b.put_zeros(3);
        b.put_u16(self.alg);
        e.list(&self.actions)?;
        e.finish(start, 24);
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        let mut items = Vec::new();
        if self.commit {
            items.push("commit".to_owned());
        }
        if self.force {
            items.push("force".to_owned());
        }
        if let Some(table) = self.table {
            items.push(format!("table={}", names.table(table)));
        }
        match self.zone {
            CtZone::Number(0) => {}
            CtZone::Number(zone) => items.push(format!("zone={zone}")),
            CtZone::Field(field) => items.push(format!("zone={field}")),
        }
        let mut rest = self.actions.as_slice();
        if let [Action::Nat(nat), after @ ..] = rest {
            let mut text = String::new();
            nat.print(&mut text, names);
            items.push(text);
            rest = after;
        }
        if !rest.is_empty() {
            items.push(format!("exec({})", text::format(rest, names)));
        }
        match ALGS.iter().find(|(_, port, _)| *port == self.alg) {
            Some((name, ..)) => items.push(format!("alg={name}")),
            None if self.alg != 0 => items.push(format!("alg={}", self.alg)),
            None => {}
        }
        let _ = write!(out, "ct({})", items.join(","));
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        let needed = ALGS.iter().find(|(_, port, _)| *port == self.alg).map(|(_, _, proto)| *proto);
        let helper_fits = needed.is_none_or(|proto| cx.m.key.nw_proto() == proto);
        if !cx.is_ip() || !helper_fits || self.force && !self.commit {
            return Err(OfpError::OFPBAC_MATCH_INCONSISTENT);
        }
        if let CtZone::Field(field) = self.zone {
            field.check_src(&cx.m)?;
        }
        cx.nested(&mut self.actions)
    }

    fn nested(&self) -> &[Action] {
        &self.actions
    }
}

impl Act for CtClear {
    fn name(&self) -> &'static str {
        "ct_clear"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(43, |b| b.put_zeros(6));
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("ct_clear");
    }
}

fn parse_ct(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let mut ct =
        Ct { commit: false, force: false, zone: CtZone::Number(0), table: None, alg: 0, actions: Vec::new() };
    let mut nat = None;
    for (key, value) in Pairs::new(arg) {
        match key {
            "commit" => ct.commit = true,
            "force" => ct.force = true,
            "table" => {
                let table =
                    values::table(value, cx.names).ok_or_else(|| text_error!("unknown table {value}"))?;
                if table == 255 {
                    return Err(text_error!("invalid table {table:#x}"));
                }
                ct.table = Some(table);
            }
            "zone" => {
                ct.zone = match number::u16(value, key) {
                    Ok(zone) => CtZone::Number(zone),
                    Err(_) => CtZone::Field(Subfield::parse(value)?),
                };
            }
            "alg" => {
                ct.alg = ALGS
                    .iter()
                    .find(|(name, ..)| *name == value)
                    .map(|(_, port, _)| *port)
                    .ok_or_else(|| text_error!("invalid conntrack helper \"{value}\""))?;
            }
            // Translation goes first, wherever it is written.
            "nat" if nat.is_none() => nat = Some(parse_nat(value)?),
            "nat" => ct.actions.push(parse_nat(value)?.into()),
            "exec" => ct.actions.extend(cx.nested(value, Outer::Ct)?),
            _ => return Err(text_error!("invalid argument to \"ct\" action: `{key}'")),
        }
    }
    if ct.force && !ct.commit {
        return Err(TextError::new("\"force\" flag requires \"commit\" flag."));
    }
    if let Some(nat) = nat {
        ct.actions.insert(0, nat.into());
    }
    cx.push(ct);
    Ok(())
}
