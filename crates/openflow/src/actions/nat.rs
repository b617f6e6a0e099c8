//! `nat`, within `ct`: address translation.
//!
//! Where it sits: `conntrack.rs` holds it as the first of `ct`'s actions; nothing else may.
//!
//! ~~~text
//! … be16 flags · be16 present · be32 or 16 bytes min · max · be16 port min · max    each only if its bit is present
//! ~~~
//!
//! Spec: ovs-actions(7), "The ct action".

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use wire::{bytes, eth};

use super::check::Checker;
use super::text::Text;
use super::wire::{Encoder, Len, Raw, nicira};
use super::{Act, Action, Family};
use crate::text::{Pairs, TextError, number, text_error, values};
use crate::{Names, OfpError, PutBytes};

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

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[nicira(36, Len::AtLeast(16), decode_nat)],
    text: &[Text { name: "nat", parse: |arg, cx| parse_nat(arg).map(|nat| cx.push(nat)) }],
};

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

/// Reads `nat`'s argument.
pub fn parse_nat(arg: &str) -> Result<Nat, TextError> {
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
