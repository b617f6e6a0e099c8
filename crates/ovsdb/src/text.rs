//! The text form of atoms and datums, as command lines and listings have it.
//!
//! Where it sits: used by ovs-vsctl, ovsdb-client and by constraint messages.
//!
//! ~~~text
//! set      [a, b, "two words"]      a single element stands alone; empty is []
//! map      {key=value, "k 2"=v}     braces always; empty is {}
//! ~~~
//! Strings need quotes unless they look like an identifier (with - and . inside), and if they read as a boolean or a UUID.
//!
//! I1  Parsing what was printed gives the same datum.
//!
//! Spec: ovs-vsctl(8) "Database Values".

use std::fmt;

use crate::atom::{Atom, AtomicType, Names};
use crate::base_type::BaseType;
use crate::column_type::ColumnType;
use crate::datum::Datum;
use crate::json::{self, Json};
use crate::uuid::Uuid;

/// Most integers that one range `first-last` may stand for.
const MAX_RANGE: i64 = 4096;

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::String(s) if needs_quotes(s) => write!(f, "{}", Json::string(&**s)),
            Atom::String(s) => f.write_str(s),
            Atom::Uuid(u) => u.fmt(f),
            other => write!(f, "{}", other.to_json()),
        }
    }
}

impl Atom {
    /// The text without quotes, for scripts.
    pub fn to_bare(&self) -> String {
        match self {
            Atom::String(s) => s.to_string(),
            other => other.to_string(),
        }
    }

    /// Reads an atom of type `base` and checks its constraints.
    pub fn parse(text: &str, base: &BaseType, names: Option<&mut (dyn Names + '_)>) -> Result<Atom, String> {
        if let (AtomicType::Uuid, Some(name), Some(names)) = (base.kind, text.strip_prefix('@'), names) {
            return Ok(Atom::Uuid(names.resolve(name, base)));
        }
        let atom = parse_unchecked(text, base.kind)?;
        base.check(&atom).map_err(|error| error.to_string())?;
        Ok(atom)
    }
}

impl Datum {
    /// The text form.
    pub fn to_text(&self, kind: &ColumnType) -> String {
        let brackets = if kind.is_map() {
            Some(('{', '}'))
        } else if kind.max > 1 || self.is_empty() {
            Some(('[', ']'))
        } else {
            None
        };
        let list = self
            .elements()
            .map(|(key, value)| match value {
                Some(value) => format!("{key}={value}"),
                None => key.to_string(),
            })
            .collect::<Vec<_>>()
            .join(", ");
        match brackets {
            Some((open, close)) => format!("{open}{list}{close}"),
            None => list,
        }
    }

    /// The text form without brackets, quotes and commas.
    pub fn to_bare(&self) -> String {
        self.elements()
            .map(|(key, value)| match value {
                Some(value) => format!("{}={}", key.to_bare(), value.to_bare()),
                None => key.to_bare(),
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Reads a datum of type `kind` and checks constraints and size.
    pub fn parse(
        text: &str,
        kind: &ColumnType,
        mut names: Option<&mut (dyn Names + '_)>,
    ) -> Result<Datum, String> {
        let close = match (text.as_bytes().first(), kind.is_map()) {
            (Some(b'{'), true) => Some(b'}'),
            (Some(b'['), false) => Some(b']'),
            (None, true) => return Err("use \"{}\" to specify the empty map".to_owned()),
            (None, false) => return Err("use \"[]\" to specify the empty set".to_owned()),
            _ => None,
        };
        let mut cursor = Cursor { whole: text, rest: text };
        if close.is_some() {
            cursor.rest = text[1..].trim_start_matches(' ');
        }
        let mut elements = Vec::new();
        while let Some(next) = cursor.peek().filter(|c| Some(*c) != close) {
            if is_delimiter(next) {
                return Err(format!(
                    "{text}: unexpected \"{}\" parsing {}",
                    char::from(next),
                    kind.to_english()
                ));
            }
            cursor.element(kind, names.as_deref_mut(), &mut elements)?;
            cursor.skip_separator();
        }
        cursor.end(close)?;
        collect(text, kind, elements)
    }
}

fn collect(text: &str, kind: &ColumnType, elements: Vec<(Atom, Option<Atom>)>) -> Result<Datum, String> {
    let n = elements.len();
    let noun = if kind.is_map() { "pair(s)" } else { "value(s)" };
    if n < kind.min as usize {
        return Err(format!("{text}: {n} {noun} specified but the minimum number is {}", kind.min));
    }
    if n > kind.max as usize {
        return Err(format!("{text}: {n} {noun} specified but the maximum number is {}", kind.max));
    }
    let datum = if kind.is_map() {
        Datum::map(elements.into_iter().filter_map(|(key, value)| Some((key, value?))))
    } else {
        Datum::set(elements.into_iter().map(|(key, _)| key))
    };
    match (datum.len() < n, kind.is_map()) {
        (false, _) => Ok(datum),
        (true, true) => Err(format!("{text}: map contains duplicate key")),
        (true, false) => Err(format!("{text}: set contains duplicate value")),
    }
}

/// Whether `byte` ends a word that is not quoted.
pub fn is_delimiter(byte: u8) -> bool {
    b":=, []{}!<>".contains(&byte)
}

/// Splits the first word off `text`: up to a delimiter outside quotes. Backslashes protect the next character.
pub fn parse_token(text: &str) -> Result<(String, &str), String> {
    let mut word = String::new();
    let mut quoted = false;
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            let Some((_, next)) = chars.next() else {
                return Err(format!("{text}: backslash at end of argument"));
            };
            if quoted {
                word.push('\\');
            }
            word.push(next);
        } else if !quoted && c.is_ascii() && is_delimiter(c as u8) {
            end = at;
            break;
        } else {
            word.push(c);
            quoted ^= c == '"';
        }
    }
    if quoted {
        return Err(format!("{text}: quoted string extends past end of argument"));
    }
    Ok((word, &text[end..]))
}

struct Cursor<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.bytes().next()
    }

    /// Blanks, and one comma among them.
    fn skip_separator(&mut self) {
        let rest = self.rest.trim_start_matches(' ');
        self.rest = rest.strip_prefix(',').unwrap_or(rest).trim_start_matches(' ');
    }

    fn element(
        &mut self,
        kind: &ColumnType,
        mut names: Option<&mut (dyn Names + '_)>,
        out: &mut Vec<(Atom, Option<Atom>)>,
    ) -> Result<(), String> {
        let start = self.rest;
        let (word, rest) = parse_token(start)?;
        self.rest = rest;
        let keys = match range(&word, &kind.key)? {
            Some((first, last)) => {
                let keys: Vec<Atom> = (first..=last).map(Atom::Integer).collect();
                keys.iter().try_for_each(|key| kind.key.check(key)).map_err(|error| error.to_string())?;
                keys
            }
            None => vec![Atom::parse(&word, &kind.key, names.as_deref_mut())?],
        };
        let value = match &kind.value {
            Some(base) => Some(self.value(start, base, names)?),
            None => None,
        };
        out.extend(keys.into_iter().map(|key| (key, value.clone())));
        Ok(())
    }

    fn value(
        &mut self,
        start: &str,
        base: &BaseType,
        names: Option<&mut (dyn Names + '_)>,
    ) -> Result<Atom, String> {
        let Some(rest) = self.rest.strip_prefix('=') else {
            return Err(match self.rest.chars().next() {
                Some(found) => format!("{start}: syntax error at \"{found}\" expecting \"=\""),
                // Open vSwitch's message ends here, at the NUL that it puts between the quotes.
                None => format!("{start}: syntax error at \""),
            });
        };
        let (word, rest) = parse_token(rest)?;
        self.rest = rest;
        Atom::parse(&word, base, names)
    }

    fn end(&mut self, close: Option<u8>) -> Result<(), String> {
        let Some(close) = close.map(char::from) else { return Ok(()) };
        let Some(rest) = self.rest.strip_prefix(close) else {
            return Err(format!("{}: missing \"{close}\" at end of data", self.whole));
        };
        if rest.trim_start_matches(' ').is_empty() {
            Ok(())
        } else {
            Err(format!("{}: trailing garbage after \"{close}\"", self.whole))
        }
    }
}

/// `first-last` of integers, where that is what `word` says.
fn range(word: &str, base: &BaseType) -> Result<Option<(i64, i64)>, String> {
    if base.kind != AtomicType::Integer || base.allowed.is_some() {
        return Ok(None);
    }
    // A minus sign at the beginning belongs to the number.
    let Some(dash) = word.get(1..).and_then(|tail| tail.find('-')).map(|at| at + 1) else {
        return Ok(None);
    };
    let (Some(first), Some(last)) = (parse_integer(&word[..dash]), parse_integer(&word[dash + 1..])) else {
        return Ok(None);
    };
    if last < first {
        return Err(format!("\"{word}\" is not a valid range. Range end cannot be before start."));
    }
    base.check(&Atom::Integer(last)).map_err(|error| error.to_string())?;
    if last.checked_sub(first).is_none_or(|n| n >= MAX_RANGE) {
        return Err(format!("Range \"{first}-{last}\" is too big. Maximum allowed size is {MAX_RANGE}."));
    }
    Ok(Some((first, last)))
}

fn parse_unchecked(text: &str, kind: AtomicType) -> Result<Atom, String> {
    match kind {
        AtomicType::Integer => parse_integer(text)
            .map(Atom::Integer)
            .ok_or_else(|| format!("\"{text}\" is not a valid integer or range")),
        AtomicType::Real => {
            parse_real(text).map(Atom::Real).ok_or_else(|| format!("\"{text}\" is not a valid real number"))
        }
        AtomicType::Boolean => match text {
            "true" | "yes" | "on" | "1" => Ok(Atom::Boolean(true)),
            "false" | "no" | "off" | "0" => Ok(Atom::Boolean(false)),
            _ => Err(format!("\"{text}\" is not a valid boolean (use \"true\" or \"false\")")),
        },
        AtomicType::String => parse_string(text).map(|s| Atom::string(&s)),
        AtomicType::Uuid => {
            Uuid::parse(text).map(Atom::Uuid).ok_or_else(|| format!("\"{text}\" is not a valid UUID"))
        }
    }
}

fn parse_string(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(
            "An empty string is not valid as input; use \"\" to represent the empty string".to_owned()
        );
    }
    let Some(inner) = text.strip_prefix('"') else {
        return Ok(text.to_owned());
    };
    match inner.strip_suffix('"') {
        Some(inner) => json::unescape(inner.as_bytes()).map_err(|error| error.to_string()),
        None => Err(format!("{text}: missing quote at end of quoted string")),
    }
}

fn parse_integer(text: &str) -> Option<i64> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    digits.parse().ok()
}

fn parse_real(text: &str) -> Option<f64> {
    // Rust also reads "inf" and "nan", which are no reals here.
    let starts_well = text.bytes().next().is_some_and(|c| c.is_ascii_digit() || b"+-.".contains(&c));
    let plain = text.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
    if starts_well && plain { text.parse().ok().filter(|x: &f64| x.is_finite()) } else { None }
}

/// Whether a string must be quoted to be read back as the same string.
pub fn needs_quotes(text: &str) -> bool {
    let mut bytes = text.bytes();
    let plain = bytes.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_')
        && bytes.all(|c| c.is_ascii_alphanumeric() || b"_-.".contains(&c));
    !plain || text == "true" || text == "false" || Uuid::parse_prefix(text).is_some()
}
