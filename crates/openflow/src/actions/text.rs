//! Lists of actions as text: reading, the rules of order and nesting, printing.
//!
//! Where it sits: each family of actions gives its [`Text`] rows; flows, groups and packet-outs read lists here.
//!
//! A word that names no action is tried as a port (`normal`, `LOCAL`, `3`, a port's own name).

use super::{Act, Action, FAMILIES, Output};
use crate::text::{Pairs, TextError, number, text_error, values};
use crate::{Names, OfpPort, Protocols};

/// How deep lists may lie within lists in a text.
const MAX_DEPTH: usize = 64;

/// One name of an action.
pub struct Text {
    /// The name.
    pub name: &'static str,
    /// Reads its argument.
    pub parse: fn(&str, &mut ParseContext) -> Result<(), TextError>,
}

/// The action that a list lies within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// None.
    List,
    /// None, and instructions are not allowed.
    Plain,
    /// `ct`.
    Ct,
    /// `write_actions`.
    WriteActions,
    /// `clone`.
    Clone,
}

impl Outer {
    /// The action's name; empty if there is none.
    const fn name(self) -> &'static str {
        match self {
            Outer::List | Outer::Plain => "",
            Outer::Ct => "ct",
            Outer::WriteActions => "write_actions",
            Outer::Clone => "clone",
        }
    }
}

/// A list being read.
pub struct ParseContext<'a> {
    /// Names that may be used.
    pub names: &'a Names,
    /// The protocols left.
    pub usable: Protocols,
    /// What has been read.
    pub actions: Vec<Action>,
    /// Where the list is.
    pub outer: Outer,
    depth: usize,
}

impl ParseContext<'_> {
    /// Appends an action.
    pub fn push(&mut self, action: impl Into<Action>) {
        self.actions.push(action.into());
    }

    /// Appends an output to a port.
    pub fn push_output(&mut self, port: OfpPort) {
        let max_len = if port == OfpPort::CONTROLLER { u16::MAX } else { 0 };
        self.push(Output { port, max_len });
    }

    /// Takes away the protocols that are not in `protocols`.
    pub fn only(&mut self, protocols: Protocols) {
        self.usable &= protocols;
    }

    /// A required 32-bit argument.
    pub fn number32(&self, arg: &str) -> Result<u32, TextError> {
        if arg.is_empty() {
            return Err(TextError::new("missing required numeric argument"));
        }
        number::u32(arg)
    }

    /// Reads a list within this action.
    pub fn nested(&mut self, text: &str, outer: Outer) -> Result<Vec<Action>, TextError> {
        let mut inner = ParseContext {
            names: self.names,
            usable: self.usable,
            actions: Vec::new(),
            outer,
            depth: self.depth + 1,
        };
        inner.list(text)?;
        self.usable = inner.usable;
        Ok(inner.actions)
    }

    fn list(&mut self, text: &str) -> Result<(), TextError> {
        if self.depth > MAX_DEPTH {
            return Err(TextError::new("Action nested too deeply"));
        }
        let mut dropped = false;
        let mut empty = true;
        for (name, arg) in Pairs::new(text) {
            if dropped || name.eq_ignore_ascii_case("drop") && !empty {
                return Err(TextError::new(
                    "\"drop\" must not be accompanied by any other action or instruction",
                ));
            }
            empty = false;
            if name.eq_ignore_ascii_case("drop") {
                dropped = true;
            } else {
                self.one(name, arg)?;
            }
        }
        verify(&self.actions, self.outer)
    }

    fn one(&mut self, name: &str, arg: &str) -> Result<(), TextError> {
        let mut rows = FAMILIES.iter().flat_map(|family| family.text.iter());
        if let Some(row) = rows.find(|row| row.name.eq_ignore_ascii_case(name)) {
            return (row.parse)(arg, self);
        }
        match values::port(name, self.names) {
            Some(port) if port.is_ordinary() || arg.is_empty() => {
                // A bare number asks for none of the packet.
                if name.starts_with(|c: char| c.is_ascii_digit()) {
                    self.push(Output { port, max_len: 0 });
                } else {
                    self.push_output(port);
                }
                Ok(())
            }
            _ => Err(text_error!("unknown action {name}")),
        }
    }
}

/// Checks the order of instructions, and what may lie within what.
fn verify(actions: &[Action], outer: Outer) -> Result<(), TextError> {
    let mut last: Option<(u8, &'static str)> = None;
    for action in actions {
        let (rank, name) = instruction(action);
        match (rank, outer) {
            (APPLY, _) | (_, Outer::List) | (METER, Outer::Plain) => {}
            (METER, _) => {
                return Err(text_error!("{} action doesn't support nested action meter", outer.name()));
            }
            _ => return Err(text_error!("{name} instruction not allowed here")),
        }
        match last {
            Some((before, _)) if before == rank && rank != APPLY => {
                return Err(text_error!(
                    "duplicate {name} instruction not allowed, for OpenFlow 1.1+ compatibility"
                ));
            }
            Some((before, earlier)) if before > rank => {
                return Err(text_error!(
                    "invalid instruction ordering: {name} must appear before {earlier}, for OpenFlow 1.1+ compatibility"
                ));
            }
            _ => {}
        }
        last = Some((rank, name));
        super::conntrack::verify_place(action, outer)?;
    }
    verify_conjunctions(actions)
}

fn verify_conjunctions(actions: &[Action]) -> Result<(), TextError> {
    if !actions.iter().any(|a| matches!(a, Action::Conjunction(_))) {
        return Ok(());
    }
    match actions.iter().find(|a| !matches!(a, Action::Conjunction(_) | Action::Note(_))) {
        None => Ok(()),
        Some(other) => Err(text_error!(
            "\"conjunction\" actions may be used along with \"note\" but not any other kind of action (such as the \
             \"{}\" action used here)",
            other.name()
        )),
    }
}

const METER: u8 = 0;
const APPLY: u8 = 1;

/// The rank of an action in the order of instructions, and the instruction's name.
pub fn instruction(action: &Action) -> (u8, &'static str) {
    match action {
        Action::Meter(_) => (METER, "meter"),
        Action::ClearActions(_) => (2, "clear_actions"),
        Action::WriteActions(_) => (3, "write_actions"),
        Action::WriteMetadata(_) => (4, "write_metadata"),
        Action::GotoTable(_) => (5, "goto_table"),
        _ => (APPLY, "apply_actions"),
    }
}

fn parse_as(text: &str, names: &Names, outer: Outer) -> Result<(Vec<Action>, Protocols), TextError> {
    let mut cx = ParseContext { names, usable: Protocols::ANY, actions: Vec::new(), outer, depth: 0 };
    cx.list(text)?;
    Ok((cx.actions, cx.usable))
}

/// Parses a list of actions and instructions as in a flow (`actions=…`), and the protocols that can carry it.
pub fn parse(text: &str, names: &Names) -> Result<(Vec<Action>, Protocols), TextError> {
    parse_as(text, names, Outer::List)
}

/// Parses a list of actions in which instructions are not allowed (packet-out, groups).
pub fn parse_plain(text: &str, names: &Names) -> Result<(Vec<Action>, Protocols), TextError> {
    parse_as(text, names, Outer::Plain)
}

/// Appends the text of a list; `drop` for the empty list.
pub fn print(actions: &[Action], names: &Names, out: &mut String) {
    if actions.is_empty() {
        out.push_str("drop");
    }
    for (i, action) in actions.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        action.print(out, names);
    }
}

/// The text of a list of actions, without `actions=`; `drop` for the empty list.
pub fn format(actions: &[Action], names: &Names) -> String {
    let mut out = String::new();
    print(actions, names, &mut out);
    out
}

/// Bytes as pairs of hexadecimal digits, dots between them as one likes.
pub fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            break;
        }
        let (pair, after) = rest.split_at_checked(2)?;
        if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(pair, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

/// Bytes as pairs of hexadecimal digits with dots between them.
pub fn dotted_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(".")
}
