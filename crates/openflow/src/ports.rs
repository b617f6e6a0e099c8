//! OpenFlow port numbers, their 16-bit form of OpenFlow 1.0, and names for ports and tables in texts.
//!
//! Where it sits: used by matches, actions and messages. The number is OpenFlow 1.1's 32-bit one everywhere but on
//! the wire of 1.0 and inside Nicira's 16-bit fields.
//!
//! ~~~text
//! 1.0   0 … 0xfeff ordinary   0xff00 … 0xfff6 unused   0xfff7 … 0xffff reserved
//! 1.1+  the same numbers      + 0xffff0000             + 0xffff0000
//! ~~~
//!
//! Spec: ovs-ofctl(8), "Flow Syntax"; OpenFlow 1.5.1 section 7.2.1.

use std::collections::HashMap;
use std::fmt;

use crate::OfpError;

/// An OpenFlow port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfpPort(pub u32);

/// Reserved ports by name, in ascending order.
const RESERVED: [(&str, OfpPort); 10] = [
    ("UNSET", OfpPort::UNSET),
    ("IN_PORT", OfpPort::IN_PORT),
    ("TABLE", OfpPort::TABLE),
    ("NORMAL", OfpPort::NORMAL),
    ("FLOOD", OfpPort::FLOOD),
    ("ALL", OfpPort::ALL),
    ("CONTROLLER", OfpPort::CONTROLLER),
    ("LOCAL", OfpPort::LOCAL),
    ("ANY", OfpPort::NONE),
    ("NONE", OfpPort::NONE),
];

impl OfpPort {
    /// One more than the largest ordinary port.
    pub const MAX: OfpPort = OfpPort(0xff00);
    /// No output port is in the action set.
    pub const UNSET: OfpPort = OfpPort(0xffff_fff7);
    /// The port that the packet came in on.
    pub const IN_PORT: OfpPort = OfpPort(0xffff_fff8);
    /// The flow tables, for packet-out.
    pub const TABLE: OfpPort = OfpPort(0xffff_fff9);
    /// The MAC-learning switch.
    pub const NORMAL: OfpPort = OfpPort(0xffff_fffa);
    /// All ports but the ingress port and those with flooding off.
    pub const FLOOD: OfpPort = OfpPort(0xffff_fffb);
    /// All ports but the ingress port.
    pub const ALL: OfpPort = OfpPort(0xffff_fffc);
    /// The controllers.
    pub const CONTROLLER: OfpPort = OfpPort(0xffff_fffd);
    /// The bridge's own port.
    pub const LOCAL: OfpPort = OfpPort(0xffff_fffe);
    /// No port; any port, in requests.
    pub const NONE: OfpPort = OfpPort(0xffff_ffff);

    /// The port that OpenFlow 1.0 numbers `n`.
    pub const fn from_of10(n: u16) -> OfpPort {
        OfpPort(if n >= 0xff00 { n as u32 | 0xffff_0000 } else { n as u32 })
    }

    /// Its number in OpenFlow 1.0 and in 16-bit fields. Numbers without one (no switch has them) are truncated.
    pub const fn to_of10(self) -> u16 {
        self.0 as u16
    }

    /// The port that OpenFlow 1.1 and later number `n`; numbers that no 1.0 number stands for are refused.
    pub const fn from_of11(n: u32) -> Result<OfpPort, OfpError> {
        if n < 0xff00 || n >= 0xffff_ff00 { Ok(OfpPort(n)) } else { Err(OfpError::OFPBAC_BAD_OUT_PORT) }
    }

    /// True for a number that a port of a switch may have.
    pub const fn is_ordinary(self) -> bool {
        self.0 < OfpPort::MAX.0
    }

    /// The name of a reserved port.
    pub fn reserved_name(self) -> Option<&'static str> {
        RESERVED.iter().find(|(_, p)| *p == self).map(|(name, _)| *name)
    }

    /// The reserved port called `name`, in any case.
    pub fn from_reserved_name(name: &str) -> Option<OfpPort> {
        RESERVED.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, p)| *p)
    }
}

impl fmt::Display for OfpPort {
    /// The reserved name, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reserved_name() {
            Some(name) => f.write_str(name),
            // Reserved numbers without a name show as 1.0 numbers them.
            None if self.0 >= 0xffff_ff00 => write!(f, "{}", self.to_of10()),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Names of a switch's ports or tables, for parsing and printing texts. Empty: only numbers.
#[derive(Clone, Debug, Default)]
pub struct NameMap {
    /// `None` under a name that two numbers have: it stands for neither.
    by_name: HashMap<String, Option<u32>>,
    by_number: HashMap<u32, String>,
}

impl NameMap {
    /// A map without names.
    pub fn new() -> NameMap {
        NameMap::default()
    }

    /// Adds a name.
    pub fn insert(&mut self, number: u32, name: &str) {
        self.by_name
            .entry(name.to_owned())
            .and_modify(|n| *n = n.filter(|n| *n == number))
            .or_insert(Some(number));
        self.by_number.insert(number, name.to_owned());
    }

    /// The number that `name` stands for.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied().flatten()
    }

    /// The name of `number`, unless it is ambiguous.
    pub fn name(&self, number: u32) -> Option<&str> {
        let name = self.by_number.get(&number)?;
        self.number(name).map(|_| name.as_str())
    }
}

/// The names that texts may use and show.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Ports by OpenFlow number.
    pub ports: NameMap,
    /// Tables.
    pub tables: NameMap,
}

impl Names {
    /// No names: ports and tables are read and shown as numbers.
    pub fn none() -> Names {
        Names::default()
    }

    /// The text of `port`.
    pub fn port(&self, port: OfpPort) -> String {
        match (port.reserved_name(), self.ports.name(port.0)) {
            (Some(reserved), _) => reserved.to_owned(),
            (None, Some(name)) => quoted(name),
            (None, None) => port.to_string(),
        }
    }

    /// The text of table `table`.
    pub fn table(&self, table: u8) -> String {
        self.tables.name(u32::from(table)).map_or_else(|| table.to_string(), quoted)
    }
}

/// `name` as it is if it is a letter and then letters and digits, else as a JSON string.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    if plain {
        return name.to_owned();
    }
    let mut out = String::from("\"");
    for c in name.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_widths() {
        assert_eq!(OfpPort::from_of10(0xfffe), OfpPort::LOCAL);
        assert_eq!(OfpPort::LOCAL.to_of10(), 0xfffe);
        assert_eq!(OfpPort::from_of10(7), OfpPort(7));
        assert_eq!(OfpPort::from_of11(0xff00), Err(OfpError::OFPBAC_BAD_OUT_PORT));
        assert_eq!(OfpPort::from_of11(0xffff_fffd), Ok(OfpPort::CONTROLLER));
        assert_eq!(OfpPort::from_reserved_name("none").unwrap().to_string(), "ANY");
    }

    #[test]
    fn ambiguous_names_stand_for_nothing() {
        let mut names = Names::none();
        names.ports.insert(1, "a");
        names.ports.insert(2, "b");
        names.ports.insert(3, "b");
        assert_eq!((names.ports.number("a"), names.ports.number("b")), (Some(1), None));
        assert_eq!((names.port(OfpPort(1)), names.port(OfpPort(3))), ("a".into(), "3".into()));
        names.ports.insert(4, "p_1");
        assert_eq!(names.port(OfpPort(4)), "\"p_1\"");
    }
}
