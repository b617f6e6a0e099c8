//! Manual pages of the C programs: which long options and which commands they name.
//!
//! Where it sits: tests that what users read about is there ask a [`Page`] for names and try each.
//!
//! Spec: groff_man(7), as far as these pages use it.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
};

use crate::Suite;

/// The source of a page, its hyphens plain.
#[derive(Clone, Debug)]
pub struct Page(String);

impl Page {
    /// The page called `name`, such as `ovs-vsctl.8`; None where there is no gzip to unpack it with.
    ///
    /// # Panics
    /// When the suite comes without the page, or it does not unpack.
    pub fn of(suite: &Suite, name: &str) -> Option<Page> {
        let section = name.rsplit('.').next().unwrap_or_default();
        let file = suite.root().join(format!("usr/share/man/man{section}/{name}.gz"));
        let out = Command::new("gzip").arg("-dc").arg(&file).stdin(Stdio::null()).output().ok()?;
        assert!(out.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&out.stderr));
        Some(Page::from_source(&String::from_utf8_lossy(&out.stdout)))
    }

    fn from_source(source: &str) -> Page {
        let is_comment = |line: &&str| line.starts_with(".\\\"") || line.starts_with("'\\\"");
        let lines = source.lines().filter(|line| !is_comment(line));
        Page(lines.map(|line| line.replace("\\-", "-") + "\n").collect())
    }

    /// The names of all long options on the page, also of those that it tells of other programs; without their dashes.
    pub fn options(&self) -> BTreeSet<String> {
        let plain: String = self.0.lines().map(|line| without_fonts(line) + "\n").collect();
        let names = plain.match_indices("--").filter_map(|(at, dashes)| {
            let apart = !plain[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
            let rest = &plain[at + dashes.len()..];
            let name = rest.split(|c: char| !is_of_name(c)).next()?.trim_end_matches('-');
            (apart && name.starts_with(|c: char| c.is_ascii_lowercase())).then(|| name.to_owned())
        });
        names.collect()
    }

    /// The commands that items of the section called `heading` describe. Lists inside of items tell of arguments.
    ///
    /// # Panics
    /// When the page has no such section.
    pub fn commands(&self, heading: &str) -> BTreeSet<String> {
        let is_heading =
            |line: &str| line.strip_prefix(".SH ").map(|title| title.trim_matches('"') == heading);
        let mut lines = self.0.lines().skip_while(|line| is_heading(line) != Some(true));
        assert!(lines.next().is_some(), "no section {heading}");
        let mut depth = 0;
        let mut commands = BTreeSet::new();
        for line in lines.take_while(|line| is_heading(line).is_none()) {
            match line.split(' ').next() {
                Some(".RS") => depth += 1,
                // These pages also end lists that they have not begun.
                Some(".RE") => depth = (depth - 1).max(0),
                Some(".IP" | ".IQ") if depth == 0 => commands.extend(command_of(line)),
                _ => {}
            }
        }
        commands
    }
}

/// What an item describes: the first word in bold that is no option.
fn command_of(item: &str) -> Option<String> {
    let bold = item.split("\\fB").skip(1).map(|text| text.split(['\\', '"']).next().unwrap_or(text));
    let is_command =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(is_of_name);
    bold.flat_map(str::split_whitespace).find(is_command).map(str::to_owned)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '/')
}

/// A line without `\fB` and the like.
fn without_fonts(line: &str) -> String {
    let mut parts = line.split("\\f");
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.char_indices().nth(1).map_or("", |(at, _)| &part[at..]));
    std::iter::once(first).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#".\" --comment
.SH SYNOPSIS
\fBprogram\fR [\fB\-\-no\-wait\fR] \fBnever\fR
.SH "ALL COMMANDS"
.IP "[\fB\-\-if\-exists\fR] \fB\-\-with\-iface del\-port \fR[\fIbridge\fR]"
Not bold\-\-face, nor \-\-\- or \-\-1; \fB\-\-log\-file\fR[\fB=\fIfile\fR].
.RS
.IP "\fBinner\fR"
.RE
.IQ "\fBtlog/set\fI name\fR"
.IP
\fB\-\-db=\fIserver\fR \fBtext\fR
.IP "\fBssl:\fIhost\fR"
.SH EXAMPLES
.IP "\fBlater\fR"
"#;

    #[test]
    fn names_are_found() {
        let page = Page::from_source(SOURCE);
        let listed = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(listed(page.options()), "db if-exists log-file no-wait with-iface");
        assert_eq!(listed(page.commands("ALL COMMANDS")), "del-port tlog/set");
    }

    #[test]
    #[should_panic(expected = "no section")]
    fn a_section_has_to_be_there() {
        Page::from_source(SOURCE).commands("COMMANDS");
    }
}
