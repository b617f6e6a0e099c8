//! The text forms of datapath keys and actions, as `ovs-appctl dpctl/dump-flows` and `ofproto/trace` print them.
//!
//! Where it sits: `dpctl`, `ofproto/trace`, upcall logs and tests. Printing is by Display adapters, without allocation.

mod actions;
mod key;
mod tunnel;

mod scan;

mod read;
mod set;

mod headers;
mod list;

pub use actions::{ActionList, NamedActions};
pub use key::{Extent, FlowDump, FlowText, KeyText};
pub use list::{ActionSyntax, parse_actions};
pub use read::{KeySyntax, PortOf, parse_key, parse_match};

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use packet::OdpPort;
use wire::EthAddr;

/// Names of ports by number, for whoever wants them in place of numbers.
pub type Names<'a> = &'a BTreeMap<OdpPort, String>;

/// A port, by its name if that is wanted and known.
fn port(f: &mut fmt::Formatter<'_>, number: OdpPort, names: Option<Names<'_>>) -> fmt::Result {
    match names.and_then(|names| names.get(&number)) {
        Some(name) => f.write_str(name),
        None => write!(f, "{number}"),
    }
}

/// Writes `name=value[/mask]` parts of a group, comma-separated.
struct Parts<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    sep: &'static str,
    /// What does not matter as well.
    all: bool,
}

impl<'a, 'f> Parts<'a, 'f> {
    fn sep(&mut self) -> fmt::Result {
        let sep = core::mem::replace(&mut self.sep, ",");
        self.f.write_str(sep)
    }

    fn new(f: &'a mut fmt::Formatter<'f>) -> Self {
        Parts { f, sep: "", all: false }
    }

    /// A part that is left out if `mask` is zero, unless everything is wanted, and printed with it if it is neither zero nor `exact`.
    fn part<T: PartialEq + Copy>(
        &mut self,
        name: &str,
        (value, mask): (T, T),
        (zero, exact): (T, T),
        show: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
        show_mask: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
    ) -> fmt::Result {
        if mask == zero && !self.all {
            return Ok(());
        }
        self.sep()?;
        write!(self.f, "{name}=")?;
        show(self.f, value)?;
        if mask != exact {
            self.f.write_str("/")?;
            show_mask(self.f, mask)?;
        }
        Ok(())
    }

    fn eth(&mut self, name: &str, vm: (EthAddr, EthAddr)) -> fmt::Result {
        let show = |f: &mut fmt::Formatter<'_>, v: EthAddr| write!(f, "{v}");
        self.part(name, vm, (EthAddr::ZERO, EthAddr::BROADCAST), show, show)
    }

    fn ipv4(&mut self, name: &str, vm: (u32, u32)) -> fmt::Result {
        let show = |f: &mut fmt::Formatter<'_>, v: u32| write!(f, "{}", Ipv4Addr::from_bits(v));
        self.part(name, vm, (0, u32::MAX), show, show)
    }

    fn ipv6(&mut self, name: &str, vm: (u128, u128)) -> fmt::Result {
        let show = |f: &mut fmt::Formatter<'_>, v: u128| write!(f, "{}", Ipv6Addr::from_bits(v));
        self.part(name, vm, (0, u128::MAX), show, show)
    }

    /// A decimal number of `exact`'s width with a hexadecimal mask.
    fn dec(&mut self, name: &str, vm: (u64, u64), exact: u64) -> fmt::Result {
        self.part(
            name,
            vm,
            (0, exact),
            |f, v| write!(f, "{v}"),
            |f, m| write!(f, "{}", actions::Hex(m.into())),
        )
    }

    /// A hexadecimal number with a hexadecimal mask.
    fn hex(&mut self, name: &str, vm: (u64, u64), exact: u64) -> fmt::Result {
        self.part(
            name,
            vm,
            (0, exact),
            |f, v| write!(f, "{v:#x}"),
            |f, m| write!(f, "{}", actions::Hex(m.into())),
        )
    }

    /// A hexadecimal number, zero without prefix, with a mask of the same form.
    fn bare_hex(&mut self, name: &str, vm: (u64, u64), exact: u64) -> fmt::Result {
        let show = |f: &mut fmt::Formatter<'_>, n: u64| write!(f, "{}", actions::Hex(n.into()));
        self.part(name, vm, (0, exact), show, show)
    }

    fn frag(&mut self, (value, mask): (u8, u8)) -> fmt::Result {
        if mask == 0 {
            return Ok(());
        }
        self.sep()?;
        match value {
            0 => self.f.write_str("frag=no"),
            1 => self.f.write_str("frag=first"),
            _ => self.f.write_str("frag=later"),
        }
    }
}

/// Names of flags: `a|b`, or `+a-b` under a mask, zero as `0`.
fn flags(f: &mut fmt::Formatter<'_>, names: &[&str], value: u64, mask: Option<u64>) -> fmt::Result {
    let named = names.iter().enumerate().filter(|(_, n)| !n.is_empty()).map(|(i, n)| (1u64 << i, n));
    if let Some(mask) = mask {
        for (bit, name) in named.filter(|(bit, _)| mask & bit != 0) {
            write!(f, "{}{name}", if value & bit != 0 { '+' } else { '-' })?;
        }
        return Ok(());
    }
    let (mut sep, mut rest) = ("", value);
    for (bit, name) in named.filter(|(bit, _)| value & bit != 0) {
        write!(f, "{sep}{name}")?;
        (sep, rest) = ("|", rest & !bit);
    }
    match (value, rest) {
        (0, _) => f.write_str("0"),
        (_, 0) => Ok(()),
        _ => write!(f, "{sep}{rest:#x}"),
    }
}

/// Names of TCP flags, lowest bit first.
const TCP_FLAGS: [&str; 12] =
    ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];

/// Names of tunnel flags, lowest bit first (`packet::TunnelKey`).
const TUNNEL_FLAGS: [&str; 4] = ["df", "csum", "key", "oam"];
