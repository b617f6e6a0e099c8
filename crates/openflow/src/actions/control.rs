//! Actions that steer: resubmit, clone, exit, tunnel key and queue, conjunctions, timeouts, notes.
//!
//! Where it sits: Nicira's extensions that pipelines are built with, the same in every version.

use std::fmt::Write;

use flow::{Field, Prereq};

use super::check::Checker;
use super::text::{self, Outer, ParseContext, Text, dotted_hex, hex_bytes};
use super::wire::{EVERY, V10};
use super::wire::{Encoder, Len, Raw, V11_UP, nicira, nicira_in, put_header, standard};
use super::{Act, Action, Family, SetField, Subfield};
use crate::text::values::Hex;
use crate::text::{Pairs, TextError, number, text_error, values};
use crate::{Names, OfpError, OfpPort, PutBytes, Version, field};

/// `resubmit`: looks up again, in a table, as if the packet came in on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resubmit {
    /// The port; `IN_PORT`: as it is.
    pub in_port: OfpPort,
    /// The table; 255: the current one.
    pub table: u8,
    /// With the connection's original direction in place of the addresses (`ct`).
    pub with_ct: bool,
    /// Written without a table.
    pub port_only: bool,
}

/// `clone`: carries out actions on a copy of the packet.
#[derive(Clone, Debug, PartialEq)]
pub struct CloneActions(
    /// The actions.
    pub Vec<Action>,
);

/// `exit`: stops here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit;

/// `debug_recirc`: has the packet come back before what follows; for tests of switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugRecirc;

/// `debug_slow`: has every packet of the flow come to user space; for tests of switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugSlow;

/// `set_tunnel`: the tunnel key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetTunnel {
    /// The key.
    pub id: u64,
    /// Written `set_tunnel64`.
    pub wide: bool,
}

/// `set_queue`: the queue for later outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetQueue(
    /// The queue.
    pub u32,
);

/// `pop_queue`: back to the default queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopQueue;

/// `conjunction`: the flow is one alternative of one dimension of a conjunctive match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conjunction {
    /// The conjunction.
    pub id: u32,
    /// The dimension, from 0.
    pub clause: u8,
    /// How many dimensions.
    pub n_clauses: u8,
}

/// `note`: bytes without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(
    /// The bytes, as on the wire: six and a multiple of eight.
    pub Vec<u8>,
);

/// `fin_timeout`: shorter timeouts after a TCP FIN or RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinTimeout {
    /// New idle timeout; zero: leave it.
    pub idle: u16,
    /// New hard timeout; zero: leave it.
    pub hard: u16,
}

/// `check_pkt_larger`: stores whether the packet is longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckPktLarger {
    /// The length to compare with.
    pub pkt_len: u16,
    /// The bit that receives the answer.
    pub dst: Subfield,
}

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        nicira(1, Len::Exact(16), |r| {
            Ok(Resubmit { in_port: r.port16(10), table: 255, with_ct: false, port_only: true }.into())
        }),
        nicira(14, Len::Exact(16), |r| decode_resubmit(r, false)),
        nicira(44, Len::Exact(16), |r| decode_resubmit(r, true)),
        nicira(42, Len::AtLeast(16), |r| {
            let actions = r.actions(16)?;
            super::instructions::verify_nested(&actions, Outer::Clone)?;
            Ok(CloneActions(actions).into())
        }),
        nicira(17, Len::Exact(16), |_| Ok(Exit.into())),
        nicira(2, Len::Exact(16), |r| Ok(SetTunnel { id: r.u32(12).into(), wide: false }.into())),
        nicira(9, Len::Exact(24), |r| Ok(SetTunnel { id: r.u64(16), wide: true }.into())),
        nicira_in(4, V10, Len::Exact(16), |r| Ok(SetQueue(r.u32(12)).into())),
        standard(21, V11_UP, Len::Exact(8), |r| Ok(SetQueue(r.u32(4)).into())),
        nicira_in(5, EVERY, Len::Exact(16), |_| Ok(PopQueue.into())),
        nicira(34, Len::Exact(16), decode_conjunction),
        nicira(8, Len::AtLeast(16), |r| Ok(Note(r.rest(10).to_vec()).into())),
        nicira(19, Len::Exact(16), |r| Ok(FinTimeout { idle: r.u16(10), hard: r.u16(12) }.into())),
        nicira(254, Len::Exact(16), |_| Ok(DebugSlow.into())),
        nicira(255, Len::Exact(16), |_| Ok(DebugRecirc.into())),
        nicira(49, Len::AtLeast(24), decode_check_pkt_larger),
    ],
    text: &[
        Text { name: "resubmit", parse: parse_resubmit },
        Text {
            name: "clone",
            parse: |arg, cx| cx.nested(arg, Outer::Clone).map(|a| cx.push(CloneActions(a))),
        },
        Text {
            name: "exit",
            parse: |_, cx| {
                cx.push(Exit);
                Ok(())
            },
        },
        Text {
            name: "debug_recirc",
            parse: |_, cx| {
                cx.push(DebugRecirc);
                Ok(())
            },
        },
        Text {
            name: "debug_slow",
            parse: |_, cx| {
                cx.push(DebugSlow);
                Ok(())
            },
        },
        Text { name: "set_tunnel", parse: |arg, cx| parse_set_tunnel(arg, cx, false) },
        Text { name: "set_tunnel64", parse: |arg, cx| parse_set_tunnel(arg, cx, true) },
        Text { name: "set_queue", parse: |arg, cx| cx.number32(arg).map(|n| cx.push(SetQueue(n))) },
        Text {
            name: "pop_queue",
            parse: |_, cx| {
                cx.push(PopQueue);
                Ok(())
            },
        },
        Text { name: "conjunction", parse: parse_conjunction },
        Text { name: "note", parse: parse_note },
        Text { name: "fin_timeout", parse: parse_fin_timeout },
        Text { name: "check_pkt_larger", parse: parse_check_pkt_larger },
    ],
};

fn decode_resubmit(r: &Raw, with_ct: bool) -> Result<Action, OfpError> {
    if r.zeros(13).is_err() {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    Ok(Resubmit { in_port: r.port16(10), table: r.u8(12), with_ct, port_only: false }.into())
}

fn decode_conjunction(r: &Raw) -> Result<Action, OfpError> {
    let c = Conjunction { clause: r.u8(10), n_clauses: r.u8(11), id: r.u32(12) };
    if !(2..=64).contains(&c.n_clauses) || c.clause >= c.n_clauses {
        return Err(OfpError::NXBAC_BAD_CONJUNCTION);
    }
    Ok(c.into())
}

fn decode_check_pkt_larger(r: &Raw) -> Result<Action, OfpError> {
    let (field, end) = r.field(14)?;
    r.zeros(end)?;
    let dst = Subfield { field, ofs: r.u16(12), n_bits: 1 }.checked()?;
    Ok(CheckPktLarger { pkt_len: r.u16(10), dst }.into())
}

impl Act for Resubmit {
    fn name(&self) -> &'static str {
        "resubmit"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let subtype = match (self.with_ct, self.port_only && self.table == 255) {
            (true, _) => 44,
            (false, true) => 1,
            (false, false) => 14,
        };
        e.nicira(subtype, |b| {
            b.put_u16(self.in_port.to_of10());
            b.put_u8(if subtype == 1 { 0 } else { self.table });
            b.put_zeros(3);
        });
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        let port = if self.in_port == OfpPort::IN_PORT { String::new() } else { names.port(self.in_port) };
        if !port.is_empty() && self.table == 255 && !self.with_ct {
            let _ = write!(out, "resubmit:{port}");
            return;
        }
        let table = if self.table == 255 { String::new() } else { names.table(self.table) };
        let ct = if self.with_ct { ",ct" } else { "" };
        let _ = write!(out, "resubmit({port},{table}{ct})");
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        // The original direction is known of tracked packets only.
        debug_assert_eq!(Field::CtNwSrc.def().prereq, Prereq::Ct);
        if self.with_ct && !field::prereqs_ok(Field::CtNwSrc, &cx.m) {
            return Err(OfpError::OFPBAC_MATCH_INCONSISTENT);
        }
        Ok(())
    }
}

impl Act for CloneActions {
    fn name(&self) -> &'static str {
        "clone"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let start = e.open_nicira(42);
        e.out.put_zeros(6);
        e.list(&self.0)?;
        e.finish(start, 16);
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        out.push_str("clone(");
        text::print(&self.0, names, out);
        out.push(')');
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.nested(&mut self.0)
    }

    fn nested(&self) -> &[Action] {
        &self.0
    }
}

impl Act for Exit {
    fn name(&self) -> &'static str {
        "exit"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(17, |b| b.put_zeros(6));
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("exit");
    }
}

impl Act for DebugRecirc {
    fn name(&self) -> &'static str {
        "debug_recirc"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(255, |b| b.put_zeros(6));
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("debug_recirc");
    }
}

impl Act for DebugSlow {
    fn name(&self) -> &'static str {
        "debug_slow"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(254, |b| b.put_zeros(6));
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("debug_slow");
    }
}

impl Act for SetTunnel {
    fn name(&self) -> &'static str {
        "set_tunnel"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version >= Version::V12 {
            return SetField::whole(Field::TunId, self.id.into()).encode(e);
        }
        match u32::try_from(self.id) {
            Ok(id) if !self.wide => e.nicira(2, |b| {
                b.put_zeros(2);
                b.put_u32(id);
            }),
            _ => e.nicira(9, |b| {
                b.put_zeros(6);
                b.put_u64(self.id);
            }),
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let wide = if self.wide || self.id > u32::MAX.into() { "64" } else { "" };
        let _ = write!(out, "set_tunnel{wide}:{}", HexAlways(self.id));
    }
}

/// A number as C's `%#llx` writes it.
struct HexAlways(u64);

impl std::fmt::Display for HexAlways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Hex(self.0.into()))
    }
}

impl Act for SetQueue {
    fn name(&self) -> &'static str {
        "set_queue"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version == Version::V10 {
            e.nicira(4, |b| {
                b.put_zeros(2);
                b.put_u32(self.0);
            });
        } else {
            e.standard(21, |b| b.put_u32(self.0));
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "set_queue:{}", self.0);
    }
}

impl Act for PopQueue {
    fn name(&self) -> &'static str {
        "pop_queue"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(5, |b| b.put_zeros(6));
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("pop_queue");
    }
}

impl Act for Conjunction {
    fn name(&self) -> &'static str {
        "conjunction"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(34, |b| {
            b.put_u8(self.clause);
            b.put_u8(self.n_clauses);
            b.put_u32(self.id);
        });
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "conjunction({},{}/{})", self.id, u16::from(self.clause) + 1, self.n_clauses);
    }
}

impl Act for Note {
    fn name(&self) -> &'static str {
        "note"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(8, |b| b.extend_from_slice(&self.0));
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "note:{}", dotted_hex(&self.0));
    }
}

impl Act for FinTimeout {
    fn name(&self) -> &'static str {
        "fin_timeout"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(19, |b| {
            b.put_u16(self.idle);
            b.put_u16(self.hard);
            b.put_zeros(2);
        });
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let mut items = Vec::new();
        if self.idle != 0 {
            items.push(format!("idle_timeout={}", self.idle));
        }
        if self.hard != 0 {
            items.push(format!("hard_timeout={}", self.hard));
        }
        let _ = write!(out, "fin_timeout({})", items.join(","));
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(cx.m.key.nw_proto() == 6);
        Ok(())
    }
}

impl Act for CheckPktLarger {
    fn name(&self) -> &'static str {
        "check_pkt_larger"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira_of(49, 24, |b| {
            b.put_u16(self.pkt_len);
            b.put_u16(self.dst.ofs);
            put_header(self.dst.field, b);
        });
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "check_pkt_larger({})->{}", self.pkt_len, self.dst);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.dst.check_dst(&cx.m)
    }
}

fn parse_resubmit(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let mut parts = arg.splitn(3, ',').map(str::trim);
    let port = parts.next().unwrap_or("");
    let in_port = if port.is_empty() {
        OfpPort::IN_PORT
    } else {
        values::port(port, cx.names).ok_or_else(|| text_error!("{port}: resubmit to unknown port"))?
    };
    let table = match parts.next().unwrap_or("") {
        "" => 255,
        text => {
            values::table(text, cx.names).ok_or_else(|| text_error!("{text}: resubmit to unknown table"))?
        }
    };
    let with_ct = match parts.next().unwrap_or("") {
        "" => false,
        "ct" => true,
        other => return Err(text_error!("{other}: unknown parameter")),
    };
    if in_port == OfpPort::IN_PORT && table == 255 {
        return Err(TextError::new("at least one \"in_port\" or \"table\" must be specified on resubmit"));
    }
    cx.push(Resubmit { in_port, table, with_ct, port_only: false });
    Ok(())
}

fn parse_set_tunnel(arg: &str, cx: &mut ParseContext, wide: bool) -> Result<(), TextError> {
    if arg.is_empty() {
        return Err(TextError::new("missing required numeric argument"));
    }
    cx.push(SetTunnel { id: number::u64(arg)?, wide });
    Ok(())
}

fn parse_conjunction(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let syntax = || TextError::new("\"conjunction\" syntax is \"conjunction(id,i/n)\"");
    let (id, clauses) = arg.split_once(',').ok_or_else(syntax)?;
    let (clause, n) = clauses.split_once('/').ok_or_else(syntax)?;
    let number = |text: &str| number::whole(text.trim()).filter(|n| *n <= u32::MAX.into()).ok_or_else(syntax);
    let (id, clause, n) = (number(id)?, number(clause)?, number(n)?);
    let problem = match (clause, n) {
        (_, ..2) => "conjunction must have at least 2 clauses",
        (_, 65..) => "conjunction must have at most 64 clauses",
        (..1, _) => "clause index must be positive",
        (clause, n) if clause > n => "clause index must be less than or equal to number of clauses",
        _ => {
            cx.push(Conjunction { id: id as u32, clause: clause as u8 - 1, n_clauses: n as u8 });
            return Ok(());
        }
    };
    Err(TextError::new(problem))
}

fn parse_note(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let mut bytes = hex_bytes(arg).ok_or_else(|| TextError::new("bad hex digit in `note' argument"))?;
    // As many as fill the action.
    bytes.resize((bytes.len() + 10).next_multiple_of(8).max(16) - 10, 0);
    cx.push(Note(bytes));
    Ok(())
}

fn parse_fin_timeout(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let mut fin = FinTimeout { idle: 0, hard: 0 };
    for (key, value) in Pairs::new(arg) {
        match key {
            "idle_timeout" => fin.idle = number::u16(value, key)?,
            "hard_timeout" => fin.hard = number::u16(value, key)?,
            _ => return Err(text_error!("invalid key '{key}' in 'fin_timeout' argument")),
        }
    }
    cx.push(fin);
    Ok(())
}

fn parse_check_pkt_larger(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let (len, dst) = arg.split_once("->").ok_or_else(|| text_error!("{arg}: missing `->'"))?;
    let len = len.trim_end_matches(')');
    let pkt_len = number::u16(len, "packet length")?;
    let dst = Subfield::parse(dst)?;
    if dst.n_bits != 1 {
        return Err(TextError::new("Only 1-bit destination field is allowed"));
    }
    cx.push(CheckPktLarger { pkt_len, dst });
    Ok(())
}
