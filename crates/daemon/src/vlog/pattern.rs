//! Patterns of log lines: `%D{%H:%M:%S}|%05N|%c%T|%p|%m`.
//!
//! Where it sits: each destination has one, set by `vlog/set PATTERN:…`; a `Line` is formatted once per destination that takes it.

use super::level::Level;
use crate::{program, sys};

/// What one line says.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Who says it.
    pub module: &'a str,
    /// How severe it is.
    pub level: Level,
    /// The text.
    pub message: &'a str,
    /// The thread's or process's name, empty for the main one.
    pub subprogram: &'a str,
    /// The number of the message in this thread.
    pub number: u32,
    /// When, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Syslog's facility.
    pub facility: u8,
}

/// How an escape's expansion is fitted into its field.
#[derive(Clone, Copy, Default)]
struct Field {
    left: bool,
    zeros: bool,
    width: usize,
}

/// `line` laid out by `pattern`.
pub fn format(pattern: &str, line: &Line<'_>) -> String {
    let mut out = String::with_capacity(pattern.len() + line.message.len() + 32);
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = expand(&rest[at + 1..], line, &mut out);
    }
    out.push_str(rest);
    out
}

/// Expands the escape that follows a percent sign; returns what follows it.
fn expand<'a>(text: &'a str, line: &Line<'_>, out: &mut String) -> &'a str {
    let (field, rest) = parse_field(text);
    let mut chars = rest.chars();
    let Some(letter) = chars.next() else { return "" };
    let rest = chars.as_str();
    let (expansion, rest) = match letter {
        'A' => (program::name().to_owned(), rest),
        'B' => ((line.facility * 8 + line.level.syslog()).to_string(), rest),
        'c' => (line.module.to_owned(), rest),
        'd' => date(rest, |template| sys::format_local_time(line.wall_ms, template)),
        'D' => date(rest, |template| sys::format_utc_time(line.wall_ms, template)),
        'E' => (hostname(), rest),
        'm' => (line.message.to_owned(), rest),
        'N' => (line.number.to_string(), rest),
        'n' => ("\n".to_owned(), rest),
        'p' => (line.level.name().to_owned(), rest),
        'P' => (std::process::id().to_string(), rest),
        'r' => (program::age_ms().to_string(), rest),
        't' => (if line.subprogram.is_empty() { "main" } else { line.subprogram }.to_owned(), rest),
        'T' if line.subprogram.is_empty() => (String::new(), rest),
        'T' => (format!("({})", line.subprogram), rest),
        other => (other.to_string(), rest),
    };
    pad(&expansion, field, out);
    rest
}

fn parse_field(text: &str) -> (Field, &str) {
    let mut field = Field::default();
    let mut rest = text;
    if let Some(after) = rest.strip_prefix('-') {
        (field.left, rest) = (true, after);
    }
    if let Some(after) = rest.strip_prefix('0') {
        (field.zeros, rest) = (true, after);
    }
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    // A width that no sane line has would only eat memory.
    field.width = rest[..digits].parse().unwrap_or(0).min(1024);
    (field, &rest[digits..])
}

fn pad(text: &str, field: Field, out: &mut String) {
    let missing = field.width.saturating_sub(text.chars().count());
    let filler = if field.zeros { '0' } else { ' ' };
    if !field.left {
        out.extend(std::iter::repeat_n(filler, missing));
    }
    out.push_str(text);
    if field.left {
        out.extend(std::iter::repeat_n(filler, missing));
    }
}

/// Expands a date with the template in braces that may follow.
fn date(rest: &str, format: impl Fn(&str) -> String) -> (String, &str) {
    match rest.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
        Some((template, rest)) => (format(template), rest),
        None => (format("%Y-%m-%d %H:%M:%S.###"), rest),
    }
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &str) {
        let line = Line {
            module: "bridge",
            level: Level::Warn,
            message: "text",
            subprogram: "",
            number: 7,
            wall_ms: 1_767_323_045_678,
            facility: 3,
        };
        assert_eq!(format(pattern, &line), expected, "{pattern}");
    }

    #[test]
    fn escapes_and_fields() {
        check(
            "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
            "2026-01-02T03:04:05.678Z|00007|bridge|WARN|text",
        );
        check("%D", "2026-01-02 03:04:05.678");
        check("%-8c|%8c|%3c|%t|%010p", "bridge  |  bridge|bridge|main|000000WARN");
        check("<%B>%%%n%q%", "<28>%\nq");
        check("%D{%H", "2026-01-02 03:04:05.678{H");
        check("", "");
    }
}
