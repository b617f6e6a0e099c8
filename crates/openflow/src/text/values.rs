//! Values of fields in texts, with and without mask, in both directions.
//!
//! Where it sits: matches (`field=value/mask`) and set_field (`value/mask->field`). Which of the forms a field has is
//! in the registry ([`flow::Format`]).

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use flow::{Field, FieldDef, Format, ct_state};
use packet::TunnelKey;
use wire::EthAddr;

use super::number::{self, NotBits};
use super::{TextError, text_error};
use crate::{Bits, Names, OfpPort, field};

/// Names of TCP flags, lowest bit first.
const TCP_FLAGS: &[&str] =
    &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];
const TUNNEL_FLAGS: &[&str] = &["oam"];
/// Fragment kinds: name, value, mask.
const FRAGS: [(&str, u128, u128); 5] =
    [("no", 0, 3), ("yes", 1, 1), ("first", 1, 3), ("later", 3, 3), ("not_later", 0, 2)];

/// Parses `value` or `value/mask`; without mask, all bits of the field's bytes are ones in it.
pub fn parse(def: &FieldDef, text: &str, names: &Names) -> Result<(Bits, Bits), TextError> {
    if text == "*" {
        return Ok((Bits::ZERO, Bits::ZERO));
    }
    let (value, mask) = match def.format {
        Format::Decimal | Format::Hexadecimal => parse_integer(def, text)?,
        _ => {
            let (value, mask) = parse_narrow(def, text, names)?;
            (value.into(), mask.into())
        }
    };
    let all = field::full_mask(def.field);
    let said = &mask & &all;
    if !def.maskable && !said.is_empty() && said != all {
        return Err(text_error!("{text}: invalid mask for field {}", def.name));
    }
    Ok((value, mask))
}

/// What is not a plain number.
fn parse_narrow(def: &FieldDef, text: &str, names: &Names) -> Result<(u128, u128), TextError> {
    let full = field::byte_mask(def.field).low();
    match def.format {
        Format::Ethernet => parse_ethernet(text, full),
        Format::Ipv4 => parse_ipv4(text),
        Format::Ipv6 => parse_ipv6(text),
        Format::Frag => parse_frag(text),
        Format::CtState => parse_flags(text, &ct_state::NAMES, 0xff, full, "ct_state"),
        Format::TcpFlags => parse_flags(text, TCP_FLAGS, 0xfff, full, "TCP"),
        Format::TunnelFlags => parse_flags(text, TUNNEL_FLAGS, 1, full, "tunnel"),
        Format::PacketType => Ok((parse_packet_type(text)?, full)),
        Format::OfPort16 | Format::OfPort | Format::Decimal | Format::Hexadecimal => {
            Ok((parse_port(def, text, names)?, full))
        }
    }
}

fn parse_integer(def: &FieldDef, text: &str) -> Result<(Bits, Bits), TextError> {
    let number = |part: &str, what: &str| {
        number::bits(part, def.bytes).map_err(|fault| match fault {
            NotBits::Syntax => text_error!("{text}: bad syntax for {} {what}", def.name),
            NotBits::TooLarge => {
                text_error!("{text}: {what} too large for {}-byte field {}", def.bytes, def.name)
            }
        })
    };
    match text.split_once('/') {
        None => Ok((number(text, "value")?, field::byte_mask(def.field))),
        Some((value, mask)) => Ok((number(value, "value")?, number(mask, "mask")?)),
    }
}

fn parse_ethernet(text: &str, full: u128) -> Result<(u128, u128), TextError> {
    let one = |text: &str| text.parse::<EthAddr>().ok().map(|a| u128::from(a.to_u64()));
    match text.split_once('/') {
        None => one(text).map(|v| (v, full)),
        Some((value, mask)) => one(value).zip(one(mask)),
    }
    .ok_or_else(|| text_error!("{text}: invalid Ethernet address"))
}

/// An IPv4 address as four decimal numbers; only their low 8 bits count.
pub fn ipv4(text: &str) -> Option<u32> {
    let mut parts = text.split('.');
    let mut addr = 0;
    for _ in 0..4 {
        let part = parts.next().filter(|p| !p.is_empty() && p.len() < 10)?;
        if !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        addr = addr << 8 | part.parse::<u32>().ok()? & 0xff;
    }
    parts.next().is_none().then_some(addr)
}

fn parse_ipv4(text: &str) -> Result<(u128, u128), TextError> {
    let invalid = || text_error!("{text}: invalid IP address");
    let Some((value, mask)) = text.split_once('/') else {
        return Ok((ipv4(text).ok_or_else(invalid)?.into(), u32::MAX.into()));
    };
    let value = ipv4(value).ok_or_else(invalid)?;
    if let Some(mask) = ipv4(mask) {
        return Ok((value.into(), mask.into()));
    }
    let bits: String = mask.chars().skip_while(|c| *c == '-').take_while(char::is_ascii_digit).collect();
    let rest = mask.trim_start_matches('-').trim_start_matches(|c: char| c.is_ascii_digit());
    let Ok(prefix) = bits.parse::<u32>() else { return Err(invalid()) };
    if mask.starts_with('-') || prefix > 32 || rest.starts_with('.') {
        return Err(text_error!("{text}: IPv4 network prefix bits not between 0 and 32, inclusive"));
    }
    if !rest.is_empty() {
        return Err(invalid());
    }
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    Ok((value.into(), mask.into()))
}

fn parse_ipv6(text: &str) -> Result<(u128, u128), TextError> {
    let invalid = || text_error!("{text}: invalid IPv6 address");
    let one = |text: &str| text.parse::<Ipv6Addr>().map(u128::from).map_err(|_| invalid());
    let Some((value, mask)) = text.split_once('/') else { return Ok((one(text)?, u128::MAX)) };
    let value = one(value)?;
    if mask.contains(':') {
        return Ok((value, one(mask)?));
    }
    match mask.parse::<i64>() {
        Ok(prefix @ 0..=128) => Ok((value, u128::MAX.checked_shl(128 - prefix as u32).unwrap_or(0))),
        Ok(_) => Err(text_error!("{text}: IPv6 network prefix bits not between 0 and 128, inclusive")),
        Err(_) => Err(invalid()),
    }
}

fn parse_port(def: &FieldDef, text: &str, names: &Names) -> Result<u128, TextError> {
    let port =
        port(text, names).ok_or_else(|| text_error!("{text}: invalid or unknown port for {}", def.name))?;
    Ok(if def.format == Format::OfPort16 { port.to_of10().into() } else { port.0.into() })
}

/// A port by decimal number, by reserved name, or by its own name.
pub fn port(text: &str, names: &Names) -> Option<OfpPort> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Numbers of 1.0's reserved ports stand for the ports of 1.1 and later.
        return match text.parse::<u32>().ok()? {
            n @ 0xff00..=0xffff => Some(OfpPort::from_of10(n as u16)),
            n if !(0xff00..0xffff_ff00).contains(&n) => Some(OfpPort(n)),
            _ => None,
        };
    }
    OfpPort::from_reserved_name(text).or_else(|| {
        let name = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        names.ports.number(name.unwrap_or(text)).map(OfpPort)
    })
}

fn parse_frag(text: &str) -> Result<(u128, u128), TextError> {
    FRAGS.iter().find(|(name, ..)| *name == text).map(|(_, value, mask)| (*value, *mask)).ok_or_else(|| {
        text_error!(
            "{text}: unknown fragment type (valid types are \"no\", \"yes\", \"first\", \"later\", \"not_later\""
        )
    })
}

fn parse_flags(
    text: &str,
    names: &[&str],
    allowed: u128,
    full: u128,
    kind: &str,
) -> Result<(u128, u128), TextError> {
    let tunnel = kind == "tunnel";
    let unknown = |what: &str| text_error!("{what}: unknown {kind} flag(s)");
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let (value, mask) = text.split_once('/').map_or((text, None), |(v, m)| (v, Some(m)));
        let value = number::whole(value).filter(|v| v & !allowed == 0).ok_or_else(|| unknown(text))?;
        let mask = match mask {
            None => full,
            Some(mask) => number::whole(mask)
                .filter(|m| m & !allowed == 0 || *m == full)
                .ok_or_else(|| unknown(text))?,
        };
        return Ok((value, mask));
    }
    let bit = |name: &str| names.iter().position(|n| *n == name).map(|i| 1u128 << i);
    if !text.starts_with(['+', '-']) {
        let names = if text == "0" { None } else { Some(text) };
        let mut value = 0;
        for name in names.iter().flat_map(|t| t.split('|')) {
            value |= bit(name).ok_or_else(|| unknown(name))?;
        }
        // Tunnel flags are always signed in print, so a list of names requires only what it names.
        return Ok((value, if tunnel { value } else { full }));
    }
    let (mut value, mut mask) = (0, 0);
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        rest = rest.get(1..).unwrap_or("");
        let (name, after) = rest.split_at(rest.find(['+', '-']).unwrap_or(rest.len()));
        rest = after;
        let flag = bit(name).ok_or_else(|| unknown(name))?;
        if mask & flag != 0 {
            return Err(text_error!("{name}: Each {kind} flag can be specified only once"));
        }
        mask |= flag;
        value |= if sign == '+' { flag } else { 0 };
    }
    Ok((value, mask))
}

fn parse_packet_type(text: &str) -> Result<u128, TextError> {
    let Some(rest) = text.strip_prefix('(') else {
        return Err(text_error!("{text}: bad syntax for packet type missing '('"));
    };
    let namespace = number::prefix(rest).filter(|(n, _)| *n <= 0xffff);
    let Some((namespace, after)) = namespace else {
        return Err(text_error!("{rest}: bad syntax for packet type namespace"));
    };
    let Some(rest) = after.strip_prefix(',') else {
        return Err(text_error!("{rest}: bad syntax for packet type missing ','"));
    };
    let Some((kind, after)) = number::prefix(rest).filter(|(n, _)| *n <= 0xffff) else {
        return Err(text_error!("{rest}: bad syntax for packet type ns_type"));
    };
    if !after.starts_with(')') {
        return Err(text_error!("{rest}: bad syntax for packet type missing ')'"));
    }
    Ok(namespace << 16 | kind)
}

/// Appends the value of a field under `mask`; a mask of all the field's bits is not shown.
pub fn print(out: &mut String, def: &FieldDef, value: &Bits, mask: &Bits, names: &Names) {
    let full = field::action_mask(def.field);
    let said = mask & &full;
    if said.is_empty() {
        out.push_str("ANY");
        return;
    }
    let exact = said == full;
    let (bits, bits_mask) = (value, mask);
    let (value, mask) = (value.low(), mask.low());
    // Writing to a string does not fail.
    let _ = match def.format {
        Format::Decimal if exact => write!(out, "{value}"),
        Format::Decimal => write!(out, "{value}/{}", Hex(mask.into())),
        Format::Hexadecimal if exact => write!(out, "{}", Hex(bits.clone())),
        Format::Hexadecimal => write!(out, "{}/{}", Hex(bits.clone()), Hex(bits_mask.clone())),
        Format::Ethernet => write!(out, "{}", Ethernet(value, mask)),
        Format::Ipv4 => write!(out, "{}", Ipv4(value as u32, mask as u32)),
        Format::Ipv6 => write!(out, "{}", Ipv6(value, mask)),
        Format::OfPort16 => write!(out, "{}", names.port(OfpPort::from_of10(value as u16))),
        Format::OfPort => write!(out, "{}", names.port(OfpPort(value as u32))),
        Format::Frag => out.write_str(frag_name(value, said.low())),
        Format::CtState => write!(out, "{}", Flags { names: &ct_state::NAMES, value, mask, exact }),
        Format::TcpFlags => write!(out, "{}", Flags { names: TCP_FLAGS, value, mask, exact }),
        Format::TunnelFlags => write!(out, "{}", Flags { names: TUNNEL_FLAGS, value, mask, exact }),
        Format::PacketType => write!(out, "{}", PacketType(value as u32)),
    };
}

/// The text of fragment bits.
fn frag_name(value: u128, mask: u128) -> &'static str {
    if (value & mask, mask) == (0, 1) {
        // Not a fragment of any kind, though only one bit says so.
        return "no";
    }
    FRAGS.iter().find(|(_, v, m)| (*v, *m) == (value & mask, mask)).map_or("<error>", |(name, ..)| name)
}

/// A number as C's `%#x` writes it: zero without prefix.
pub struct Hex(pub Bits);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}

/// A packet type: small types in decimal.
pub struct PacketType(pub u32);

impl std::fmt::Display for PacketType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |n: u32| if n < 10 { n.to_string() } else { format!("{n:#x}") };
        write!(f, "({},{})", short(self.0 >> 16), short(self.0 & 0xffff))
    }
}

/// The flags of a key's tunnel that have names.
pub const TUNNEL_KEY_FLAGS: u16 = TunnelKey::OAM | TunnelKey::DF | TunnelKey::CSUM | TunnelKey::KEY;

/// Tunnel flags of a match: each with its sign, unless all are required. The field has only the first of them.
pub fn tunnel_flags(value: u16, mask: u16) -> impl std::fmt::Display {
    let bits = |flags: u16| {
        let order = [TunnelKey::OAM, TunnelKey::DF, TunnelKey::CSUM, TunnelKey::KEY];
        order.iter().enumerate().fold(0, |bits, (i, flag)| bits | u128::from(flags & flag != 0) << i)
    };
    let exact = mask & TUNNEL_KEY_FLAGS == TUNNEL_KEY_FLAGS;
    Flags { names: &["oam", "df", "csum", "key"], value: bits(value & mask), mask: bits(mask), exact }
}

/// An Ethernet address under a mask.
struct Ethernet(u128, u128);

impl std::fmt::Display for Ethernet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", EthAddr::from_u64(self.0 as u64))?;
        if self.1 & 0xffff_ffff_ffff == 0xffff_ffff_ffff {
            return Ok(());
        }
        write!(f, "/{}", EthAddr::from_u64(self.1 as u64))
    }
}

/// An IPv4 address under a mask.
pub struct Ipv4(pub u32, pub u32);

impl std::fmt::Display for Ipv4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ipv4(addr, mask) = *self;
        write!(f, "{}", Ipv4Addr::from(addr))?;
        match mask {
            u32::MAX => Ok(()),
            _ if field::is_prefix(mask) => write!(f, "/{}", mask.count_ones()),
            _ => write!(f, "/{}", Ipv4Addr::from(mask)),
        }
    }
}

/// An IPv6 address under a mask.
pub struct Ipv6(pub u128, pub u128);

impl std::fmt::Display for Ipv6 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ipv6(addr, mask) = *self;
        write_ipv6(f, addr)?;
        match mask {
            u128::MAX => Ok(()),
            _ if mask.leading_ones() + mask.trailing_zeros() >= 128 => write!(f, "/{}", mask.count_ones()),
            _ => {
                f.write_str("/")?;
                write_ipv6(f, mask)
            }
        }
    }
}

/// As inet_ntop: what could be an IPv4-compatible address has its last part dotted.
fn write_ipv6(f: &mut std::fmt::Formatter<'_>, addr: u128) -> std::fmt::Result {
    if addr >> 32 == 0 && addr >> 16 != 0 {
        write!(f, "::{}", Ipv4Addr::from(addr as u32))
    } else {
        write!(f, "{}", Ipv6Addr::from(addr))
    }
}

/// Flag bits by name.
struct Flags<'a> {
    names: &'a [&'a str],
    value: u128,
    mask: u128,
    exact: bool,
}

impl std::fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.exact {
            if self.value == 0 {
                return f.write_str("0");
            }
            let set = self.names.iter().enumerate().filter(|(i, _)| self.value >> i & 1 != 0);
            for (n, (_, name)) in set.enumerate() {
                write!(f, "{}{name}", if n == 0 { "" } else { "|" })?;
            }
            return Ok(());
        }
        for (i, name) in self.names.iter().enumerate().filter(|(i, _)| self.mask >> i & 1 != 0) {
            write!(f, "{}{name}", if self.value >> i & 1 != 0 { '+' } else { '-' })?;
        }
        Ok(())
    }
}

/// The definition of the field called `name`, tunnel metadata included in the complaint if it is not there.
pub fn field_by_name(name: &str) -> Option<Field> {
    Field::by_name(name).map(|def| def.field)
}

/// A table by number or name.
pub fn table(text: &str, names: &Names) -> Option<u8> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let name = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    names.tables.number(name.unwrap_or(text)).and_then(|n| u8::try_from(n).ok())
}
