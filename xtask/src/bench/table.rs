//! The table of docs/performance.md: measurements replace the rows that have their name.
//!
//! Where it sits: called by the subjects of `bench` once they have measured. What is written is also printed.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::shell::{capture, workspace};

/// A row of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The row's name in the list of measurements: `P1`, or `P14, P1`.
    pub row: String,
    /// What was measured; with `row`, it says which line of the table this is.
    pub case: String,
    pub ours: String,
    pub peer: String,
    /// The peer's figure over ours.
    pub ratio: String,
    pub target: String,
}

fn file() -> PathBuf {
    workspace().join("docs/performance.md")
}

/// Puts lines into the table, each in the place of the one of the same name or behind others of its row.
pub(super) fn write(lines: &[Line]) -> Result<()> {
    let machine = machine()?;
    let text = fs::read_to_string(file()).context("docs/performance.md is there")?;
    for line in lines {
        println!("{}", shown(line, &machine));
    }
    fs::write(file(), replaced(&text, lines, &machine))?;
    Ok(())
}

/// When and where: the date, how many processors, and how busy they are.
fn machine() -> Result<String> {
    let date = capture(Command::new("date").arg("+%F"))?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    let cpus = std::thread::available_parallelism()?;
    Ok(format!("{}, {cpus} vCPU, load {load}", date.trim()))
}

fn shown(line: &Line, machine: &str) -> String {
    let Line { row, case, ours, peer, ratio, target } = line;
    format!("| {row} | {case} | {ours} | {peer} | {ratio} | {target} | {machine} |")
}

/// Row and case of a line of the table.
fn name(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    Some((cells.next()?, cells.next()?)).filter(|(row, _)| row.starts_with('P'))
}

/// The place of a row among others: its number, and what it is part of.
fn rank(row: &str) -> (u32, String) {
    let digits: String = row.chars().skip(1).take_while(char::is_ascii_digit).collect();
    (digits.parse().unwrap_or(u32::MAX), row.to_owned())
}

fn replaced(text: &str, lines: &[Line], machine: &str) -> String {
    // "The same" refers to the line above, which may change: so it says now what that said.
    let mut last = String::new();
    let mut all: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some((_, place)) =
            line.trim_end_matches([' ', '|']).rsplit_once("| ").filter(|_| name(line).is_some())
        else {
            all.push(line.to_owned());
            continue;
        };
        if place == "the same" {
            all.push(line.replace("| the same |", &format!("| {last} |")));
        } else {
            last = place.to_owned();
            all.push(line.to_owned());
        }
    }
    for line in lines {
        let new = shown(line, machine);
        let known = all.iter().position(|old| name(old) == Some((&line.row, &line.case)));
        if let Some(at) = known {
            all[at] = new;
            continue;
        }
        let behind =
            all.iter().rposition(|old| name(old).is_some_and(|(row, _)| rank(row) <= rank(&line.row)));
        let top = all.iter().position(|old| old.starts_with("|---")).unwrap_or(all.len().saturating_sub(1));
        all.insert(behind.unwrap_or(top) + 1, new);
    }
    all.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(row: &str, case: &str, ours: &str) -> Line {
        Line { row: row.into(), case: case.into(), ours: ours.into(), ..Line::default() }
    }

    #[test]
    fn lines_replace_their_like_and_others_keep_what_they_said() {
        let text = "# Head\n\n| row | case |\n|---|---|\n| P1 | a | 1 | | | | then |\n| P1 | b | 2 | | | | the same |\n\
                    | P11 | c | 3 | | | | the same |\n\nMore | text.\n";
        let new = [line("P1", "a", "9"), line("P4", "d", "4"), line("P1b", "e", "5")];
        assert_eq!(
            replaced(text, &new, "now"),
            "# Head\n\n| row | case |\n|---|---|\n| P1 | a | 9 |  |  |  | now |\n| P1 | b | 2 | | | | then |\n\
             | P1b | e | 5 |  |  |  | now |\n| P4 | d | 4 |  |  |  | now |\n| P11 | c | 3 | | | | then |\n\nMore | text.\n"
        );
        let again = replaced(&replaced(text, &new, "now"), &new, "now");
        assert_eq!(again, replaced(text, &new, "now"), "and nothing twice");
    }
}
