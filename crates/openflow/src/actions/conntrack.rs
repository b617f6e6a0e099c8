//! Connection tracking: ct, nat, ct_clear.
//!
//! Where it sits: the stateful firewall. What `ct` holds is address translation and what to store in the connection.
//!
//! Spec: ovs-actions(7), "The ct action".

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use flow::Field;
use wire::{bytes, eth};

use super::check::Checker;
use super::text::{self, Outer, ParseContext, Text};
use super::wire::{Encoder, Len, Raw, header32, nicira};
use super::{Act, Action, Family, Subfield};
use crate::text::{Pairs, TextError, number, text_error, values};
use crate::{Names, OfpError, PutBytes};

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

/// Which address a [`Nat`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// That of the connection's own translation, if any (`nat`).
    Existing,
    /// The source (`nat(src…)`).
    Src,
    /// The destination (`nat(dst…)`).
    Dst,
}

/// The addresses that a [`Nat`] may choose from; without `max` there is only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatAddrs {
    /// IPv4.
    V4 {
        /// The lowest.
        min: u32,
        /// The highest.
        max: Option<u32>,
    },
    /// IPv6.
    V6 {
        /// The lowest.
        min: u128,
        /// The highest.
        max: Option<u128>,
    },
}

/// How a [`Nat`] chooses a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatPortChoice {
    /// As it likes.
    Default,
    /// By hash.
    Hash,
    /// At random.
    Random,
}

/// `nat`, within `ct`: address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// What to change.
    pub kind: NatKind,
    /// Prefer the same address for the same host.
    pub persistent: bool,
    /// How to choose ports.
    pub choice: NatPortChoice,
    /// The addresses; `None`: any, or unchanged.
    pub addrs: Option<NatAddrs>,
    /// The ports, lowest and highest.
    pub ports: Option<(u16, Option<u16>)>,
}

/// `ct_clear`: forgets what the connection tracker said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtClear;

const COMMIT: u16 = 1;
const FORCE: u16 = 2;

const NAT_SRC: u16 = 1;
const NAT_DST: u16 = 2;
const NAT_PERSISTENT: u16 = 4;
const NAT_HASH: u16 = 8;
const NAT_RANDOM: u16 = 16;

const IPV4_MIN: u16 = 1;
const IPV4_MAX: u16 = 2;
const IPV6_MIN: u16 = 4;
const IPV6_MAX: u16 = 8;
const PROTO_MIN: u16 = 16;
const PROTO_MAX: u16 = 32;

/// Helpers by name and port.
const ALGS: [(&str, u16, u8); 2] = [("ftp", 21, 6), ("tftp", 69, 17)];

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        nicira(35, Len::AtLeast(24), decode_ct),
        nicira(36, Len::AtLeast(16), decode_nat),
        nicira(43, Len::Exact(16), |_| Ok(CtClear.into())),
    ],
    text: &[
        Text { name: "ct", parse: parse_ct },
        Text { name: "nat", parse: |arg, cx| parse_nat(arg).map(|nat| cx.push(nat)) },
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

/// Reads the range fields of a nat, one after the other.
struct Ranges<'a> {
    bytes: &'a [u8],
    present: u16,
}

impl Ranges<'_> {
    fn take<const N: usize>(&mut self, bit: u16) -> Result<Option<[u8; N]>, OfpError> {
        if self.present & bit == 0 {
            return Ok(None);
        }
        let value = bytes::array(self.bytes, 0).ok_or(OfpError::OFPBAC_BAD_LEN)?;
        self.bytes = self.bytes.get(N..).unwrap_or(&[]);
        Ok(Some(value))
    }
}

/// The bits of `present` that are set go together.
fn ranges_agree(present: u16) -> bool {
    let has = |bit: u16| present & bit != 0;
    let v4 = has(IPV4_MIN | IPV4_MAX);
    let v6 = has(IPV6_MIN | IPV6_MAX);
    let maxima = [(IPV4_MAX, IPV4_MIN), (IPV6_MAX, IPV6_MIN), (PROTO_MAX, PROTO_MIN)];
    let ports_of_none = has(PROTO_MIN) && !v4 && !v6;
    !(ports_of_none || v4 && v6) && maxima.iter().all(|(max, min)| !has(*max) || has(*min))
}

fn decode_nat(r: &Raw) -> Result<Action, OfpError> {
    let (flags, present) = (r.u16(12), r.u16(14));
    let both = |a: u16, b: u16| flags & a != 0 && flags & b != 0;
    if both(NAT_SRC, NAT_DST) || both(NAT_HASH, NAT_RANDOM) || flags & !0x1f != 0 || !ranges_agree(present) {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    let kind = match flags & (NAT_SRC | NAT_DST) {
        0 => NatKind::Existing,
        NAT_SRC => NatKind::Src,
        _ => NatKind::Dst,
    };
    let mut ranges = Ranges { bytes: r.rest(16), present };
    let v4 = ranges.take(IPV4_MIN)?.map(u32::from_be_bytes);
    let v4_max = ranges.take(IPV4_MAX)?.map(u32::from_be_bytes);
    let v6 = ranges.take(IPV6_MIN)?.map(u128::from_be_bytes);
    let v6_max = ranges.take(IPV6_MAX)?.map(u128::from_be_bytes);
    let backwards = v4_max.is_some_and(|max| Some(max) < v4) || v6_max.is_some_and(|max| Some(max) < v6);
    if backwards {
        return Err(OfpError::OFPBAC_BAD_ARGUMENT);
    }
    let port = ranges.take(PROTO_MIN)?.map(u16::from_be_bytes);
    let port_max = ranges.take(PROTO_MAX)?.map(u16::from_be_bytes);
    let addrs = match (v4, v6) {
        (Some(min), None) if v6_max.is_none() => Some(NatAddrs::V4 { min, max: v4_max }),
        (None, Some(min)) if v4_max.is_none() => Some(NatAddrs::V6 { min, max: v6_max }),
        (None, None) if v4_max.is_none() && v6_max.is_none() => None,
        _ => return Err(OfpError::OFPBAC_BAD_ARGUMENT),
    };
    let ports = match (port, port_max) {
        (Some(min), max) => Some((min, max)),
        (None, None) => None,
        _ => return Err(OfpError::OFPBAC_BAD_ARGUMENT),
    };
    let nat = Nat {
        kind,
        persistent: flags & NAT_PERSISTENT != 0,
        choice: match flags & (NAT_HASH | NAT_RANDOM) {
            NAT_HASH => NatPortChoice::Hash,
            NAT_RANDOM => NatPortChoice::Random,
            _ => NatPortChoice::Default,
        },
        addrs,
        ports,
    };
    if nat.is_sound() { Ok(nat.into()) } else { Err(OfpError::OFPBAC_BAD_ARGUMENT) }
}

impl Nat {
    /// `nat` without arguments.
    pub const EXISTING: Nat = Nat {
        kind: NatKind::Existing,
        persistent: false,
        choice: NatPortChoice::Default,
        addrs: None,
        ports: None,
    };

    /// Ranges are not empty, and ports come with addresses.
    fn is_sound(&self) -> bool {
        let addrs = match self.addrs {
            Some(NatAddrs::V4 { min, max }) => min != 0 && max.is_none_or(|max| max >= min),
            Some(NatAddrs::V6 { min, max }) => min != 0 && max.is_none_or(|max| max >= min),
            None => self.ports.is_none(),
        };
        let ports = self.ports.is_none_or(|(min, max)| min != 0 && max.is_none_or(|max| max >= min));
        addrs && ports
    }

    fn flags(&self) -> u16 {
        let kind = match self.kind {
            NatKind::Existing => 0,
            NatKind::Src => NAT_SRC,
            NatKind::Dst => NAT_DST,
        };
        let choice = match self.choice {
            NatPortChoice::Default => 0,
            NatPortChoice::Hash => NAT_HASH,
            NatPortChoice::Random => NAT_RANDOM,
        };
        kind | choice | if self.persistent { NAT_PERSISTENT } else { 0 }
    }
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

impl Act for Nat {
    fn name(&self) -> &'static str {
        "nat"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let mut present = 0;
        let mut ranges = Vec::new();
        match self.addrs {
            Some(NatAddrs::V4 { min, max }) => {
                present |= IPV4_MIN | if max.is_some() { IPV4_MAX } else { 0 };
                [Some(min), max].iter().flatten().for_each(|a| ranges.put_u32(*a));
            }
            Some(NatAddrs::V6 { min, max }) => {
                present |= IPV6_MIN | if max.is_some() { IPV6_MAX } else { 0 };
                [Some(min), max].iter().flatten().for_each(|a| ranges.put_uint(*a, 16));
            }
            None => {}
        }
        if let Some((min, max)) = self.ports {
            present |= PROTO_MIN | if max.is_some() { PROTO_MAX } else { 0 };
            [Some(min), max].iter().flatten().for_each(|p| ranges.put_u16(*p));
        }
        e.nicira(36, |b| {
            b.put_zeros(2);
            b.put_u16(self.flags());
            b.put_u16(present);
            b.extend_from_slice(&ranges);
        });
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("nat");
        let kind = match self.kind {
            NatKind::Existing => return,
            NatKind::Src => "(src",
            NatKind::Dst => "(dst",
        };
        out.push_str(kind);
        let ports = self.ports.map(|(min, max)| match max {
            Some(max) if max != min => format!(":{min}-{max}"),
            _ => format!(":{min}"),
        });
        let ports = ports.unwrap_or_default();
        let _ = match self.addrs {
            None => Ok(()),
            Some(NatAddrs::V4 { min, max }) if max.is_none_or(|max| max == min) => {
                write!(out, "={}{ports}", Ipv4Addr::from(min))
            }
            Some(NatAddrs::V4 { min, max }) => {
                write!(out, "={}-{}{ports}", Ipv4Addr::from(min), Ipv4Addr::from(max.unwrap_or(min)))
            }
            Some(NatAddrs::V6 { min, max }) => {
                let (open, close) = if ports.is_empty() { ("", "") } else { ("[", "]") };
                let end = max
                    .filter(|max| *max != min)
                    .map(|max| format!("-{open}{}{close}", values::Ipv6(max, u128::MAX)));
                let end = end.unwrap_or_default();
                write!(out, "={open}{}{close}{end}{ports}", values::Ipv6(min, u128::MAX))
            }
        };
        // Without a range to choose from, how to choose is not shown.
        if self.addrs.is_some() && self.persistent {
            out.push_str(",persistent");
        }
        match self.choice {
            _ if self.addrs.is_none() => {}
            NatPortChoice::Default => {}
            NatPortChoice::Hash => out.push_str(",hash"),
            NatPortChoice::Random => out.push_str(",random"),
        }
        out.push(')');
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        let fits = match self.addrs {
            None => cx.is_ip(),
            Some(NatAddrs::V4 { .. }) => cx.eth_type() == eth::TYPE_IPV4,
            Some(NatAddrs::V6 { .. }) => cx.eth_type() == eth::TYPE_IPV6,
        };
        if fits { Ok(()) } else { Err(OfpError::OFPBAC_MATCH_INCONSISTENT) }
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

fn parse_nat(arg: &str) -> Result<Nat, TextError> {
    let mut nat = Nat::EXISTING;
    for (key, value) in Pairs::new(arg) {
        match key {
            "src" | "dst" => {
                if nat.kind != NatKind::Existing {
                    return Err(TextError::new("May only specify one of \"src\" or \"dst\"."));
                }
                nat.kind = if key == "src" { NatKind::Src } else { NatKind::Dst };
                if !value.is_empty() {
                    parse_nat_range(value, &mut nat)?;
                }
            }
            "persistent" => nat.persistent = true,
            "hash" | "random" => {
                if nat.choice != NatPortChoice::Default {
                    return Err(TextError::new("Both \"hash\" and \"random\" are not allowed."));
                }
                nat.choice = if key == "hash" { NatPortChoice::Hash } else { NatPortChoice::Random };
            }
            _ => return Err(text_error!("invalid key \"{key}\" in \"nat\" argument")),
        }
    }
    let flags = nat.persistent || nat.choice != NatPortChoice::Default;
    if flags && nat.kind == NatKind::Existing {
        return Err(TextError::new("Flags allowed only with \"src\" or \"dst\"."));
    }
    Ok(nat)
}

/// One end of a range of addresses, in brackets or not; what follows is returned, too.
fn nat_addr<A: std::str::FromStr>(text: &str, chars: impl Fn(char) -> bool) -> Option<(A, &str)> {
    let (inner, rest) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => text.split_at(text.find(|c| !chars(c)).unwrap_or(text.len())),
    };
    inner.parse().ok().map(|addr| (addr, rest))
}

/// `addr[-addr][:port[-port]]`; IPv6 addresses in brackets if a port follows.
fn parse_nat_range(text: &str, nat: &mut Nat) -> Result<(), TextError> {
    let invalid = || text_error!("invalid nat range \"{text}\"");
    let garbage = |rest: &str| {
        let at = text.len() - rest.len();
        text_error!("garbage ({rest}) after nat range \"{text}\" (pos: {at})")
    };
    let dotted = |c: char| c.is_ascii_digit() || c == '.';
    let coloned = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
    let mut rest = text;
    if let Some((min, after)) = nat_addr::<Ipv4Addr>(text, dotted) {
        let (max, after) = match after.strip_prefix('-') {
            Some(end) => nat_addr::<Ipv4Addr>(end, dotted).map(|(a, r)| (Some(a), r)).ok_or_else(invalid)?,
            None => (None, after),
        };
        let (min, max) = (u32::from(min), max.map(u32::from));
        nat.addrs = Some(NatAddrs::V4 { min, max });
        rest = after;
    } else if let Some((min, after)) = nat_addr::<Ipv6Addr>(text, coloned) {
        let (max, after) = match after.strip_prefix('-') {
            Some(end) => nat_addr::<Ipv6Addr>(end, coloned).map(|(a, r)| (Some(a), r)).ok_or_else(invalid)?,
            None => (None, after),
        };
        let (min, max) = (u128::from(min), max.map(u128::from));
        nat.addrs = Some(NatAddrs::V6 { min, max });
        rest = after;
    }
    if let Some(ports) = rest.strip_prefix(':').filter(|_| nat.addrs.is_some()) {
        let (min, after) = number::prefix(ports).ok_or_else(|| garbage(rest))?;
        let (max, after) = match after.strip_prefix('-') {
            Some(end) => number::prefix(end).map(|(n, r)| (Some(n), r)).ok_or_else(|| garbage(rest))?,
            None => (None, after),
        };
        if min > 0xffff || max.is_some_and(|max| max > 0xffff || max < min) {
            return Err(invalid());
        }
        let max = max.map(|max| max as u16);
        nat.ports = Some((min as u16, max)).filter(|(min, _)| *min != 0);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(garbage(rest));
    }
    if nat.is_sound() { Ok(()) } else { Err(invalid()) }
}
