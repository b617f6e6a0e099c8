//! Text of table features.
//!
//! Where it sits: `dump-table-features`; logs show it, because tools ask for it often.
//!
//! What is the same as in the table before is said in a word.

use std::fmt::Write;

use flow::Field;

use super::bit_names;
use super::tables::{ACTIONS_12, bits_in_order};
use crate::Names;
use crate::msg::{ActionFeatures, InstructionFeatures, TableFeatures};

/// The text of tables' features, as wire version `version` says them.
pub fn table_features(tables: &[TableFeatures], version: u8, names: &Names) -> String {
    let mut text = String::new();
    let out = &mut text;
    let mut i = 0;
    while let Some(table) = tables.get(i) {
        let previous = i.checked_sub(1).and_then(|p| tables.get(p));
        if i > 0 {
            out.push('\n');
        }
        if previous.is_some_and(|p| same(p, table)) {
            let run = tables[i..].windows(2).take_while(|w| same(&w[0], &w[1])).count() + 1;
            let last = &tables[i + run - 1];
            let first = names.table(table.table_id);
            let _ = match run {
                1 => writeln!(out, "  table {first}: ditto"),
                _ => writeln!(out, "  tables {first}...{}: ditto", names.table(last.table_id)),
            };
            i += run;
        } else {
            put_table(out, table, previous, version, names);
            i += 1;
        }
    }
    text
}

/// True if `b` says what `a` says, but for its number; `goto_table` to all later tables counts as the same.
fn same(a: &TableFeatures, b: &TableFeatures) -> bool {
    let next = |t: &TableFeatures| {
        let after = |side: &InstructionFeatures| {
            let all = side.next.first().is_some_and(|n| usize::from(*n) == usize::from(t.table_id) + 1);
            if all { side.next.last().copied().map(|n| vec![n]) } else { Some(side.next.clone()) }
        };
        (after(&t.flows), after(&t.miss))
    };
    let strip = |t: &TableFeatures| {
        let mut t = t.clone();
        t.table_id = 0;
        t.flows.next.clear();
        t.miss.next.clear();
        t
    };
    next(a) == next(b) && strip(a) == strip(b)
}

fn put_table(
    out: &mut String,
    t: &TableFeatures,
    previous: Option<&TableFeatures>,
    version: u8,
    names: &Names,
) {
    let command = ["", "modify", "enable", "disable"].get(usize::from(t.command)).copied().unwrap_or("");
    if !command.is_empty() {
        let _ = writeln!(out, "  command: {command}");
    }
    let name = if t.name.is_empty() { String::new() } else { format!(" (\"{}\")", t.name) };
    let _ = writeln!(out, "  table {}{name}:", names.table(t.table_id));
    let _ = writeln!(out, "    metadata: match={:#x} write={:#x}", t.metadata_match, t.metadata_write);
    if version >= 5 {
        let support = |bit: u32| if t.capabilities & bit != 0 { "supported" } else { "not supported" };
        let _ = writeln!(out, "    eviction: {}", support(1 << 2));
        let _ = writeln!(out, "    vacancy events: {}", support(1 << 3));
    }
    let _ = writeln!(out, "    max_entries={}", t.max_entries);
    if t.bare {
        return;
    }
    if t.flows == t.miss {
        out.push_str("    instructions (table miss and others):\n");
        put_instructions(out, &t.flows, previous.map(|p| &p.flows));
    } else {
        out.push_str("    instructions (other than table miss):\n");
        put_instructions(out, &t.flows, previous.map(|p| &p.flows));
        out.push_str("    instructions (table miss):\n");
        put_instructions(out, &t.miss, previous.map(|p| &p.miss));
    }
    if previous.is_some_and(|p| p.matches == t.matches && p.wildcards == t.wildcards) {
        out.push_str("    (same matching)\n");
    } else {
        put_matching(out, t);
    }
}

fn put_instructions(out: &mut String, side: &InstructionFeatures, previous: Option<&InstructionFeatures>) {
    if !side.next.is_empty() {
        let _ = writeln!(out, "      next tables: {}", ranges(&side.next));
    }
    let table = [
        (1 << 6, "meter"),
        (1 << 4, "apply_actions"),
        (1 << 5, "clear_actions"),
        (1 << 3, "write_actions"),
        (1 << 2, "write_metadata"),
        (1 << 1, "goto_table"),
    ];
    let _ = writeln!(out, "      instructions: {}", bit_names(side.instructions, &table));
    if previous.is_some_and(|p| p.write == side.write && p.apply == side.apply) {
        out.push_str("      (same actions)\n");
    } else if side.write == side.apply {
        out.push_str("      Write-Actions and Apply-Actions features:\n");
        put_actions(out, &side.write);
    } else {
        out.push_str("      Write-Actions features:\n");
        put_actions(out, &side.write);
        out.push_str("      Apply-Actions features:\n");
        put_actions(out, &side.apply);
    }
}

fn put_actions(out: &mut String, actions: &ActionFeatures) {
    let _ = writeln!(out, "        actions: {}", bits_in_order(actions.actions, &ACTIONS_12));
    let _ = writeln!(out, "        supported on Set-Field: {}", field_names(&actions.set_fields));
}

fn put_matching(out: &mut String, t: &TableFeatures) {
    out.push_str("    matching:\n");
    let wildcard = |f: &Field| t.wildcards.contains(f);
    let which = |masked: bool, wild: bool| {
        let all = t.matches.iter().filter(|(f, m)| *m == masked && wildcard(f) == wild);
        all.map(|(f, _)| *f).collect::<Vec<Field>>()
    };
    let maskable: Vec<Field> = t.matches.iter().filter(|(_, m)| *m).map(|(f, _)| *f).collect();
    for (title, fields) in [
        ("arbitrary mask", maskable),
        ("exact match or wildcard", which(false, true)),
        ("must exact match", which(false, false)),
    ] {
        if !fields.is_empty() {
            let _ = writeln!(out, "      {title}: {}", field_names(&fields));
        }
    }
}

/// Numbers in ascending order, those in a row as `a-b`.
fn ranges(numbers: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut rest = numbers;
    while let Some(first) = rest.first() {
        let run = rest.windows(2).take_while(|w| w[0].checked_add(1) == Some(w[1])).count() + 1;
        parts.push(match run {
            1 => first.to_string(),
            2 => format!("{first},{}", rest[1]),
            _ => format!("{first}-{}", rest[run - 1]),
        });
        rest = &rest[run..];
    }
    parts.join(",")
}

/// The names of fields in the registry's order, shortened.
fn field_names(fields: &[Field]) -> String {
    let names: Vec<&str> = Field::all().filter(|d| fields.contains(&d.field)).map(|d| d.name).collect();
    shortened(&names, " ")
}

/// Names one after another: `reg0...reg15` for numbers in a row, `eth_{src,dst}` for the same first word.
fn shortened(names: &[&str], separator: &str) -> String {
    let mut words = Vec::new();
    let mut rest = names;
    while let Some(first) = rest.first() {
        let numbered = rest.windows(2).take_while(|w| successor(w[0]).as_deref() == Some(w[1])).count() + 1;
        let stem = first.split_inclusive('_').next().filter(|s| s.ends_with('_'));
        let alike = stem.map_or(1, |stem| rest.iter().take_while(|n| n.starts_with(stem)).count());
        let run = if numbered > 1 { numbered } else { alike };
        words.push(match stem {
            _ if numbered > 1 => format!("{first}...{}", rest[numbered - 1]),
            Some(stem) if alike > 1 => {
                let ends: Vec<&str> = rest[..alike].iter().map(|n| &n[stem.len()..]).collect();
                format!("{stem}{{{}}}", shortened(&ends, ","))
            }
            _ => (*first).to_owned(),
        });
        rest = &rest[run..];
    }
    words.join(separator)
}

/// The name with the next number at its end.
fn successor(name: &str) -> Option<String> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: u32 = name[stem.len()..].parse().ok()?;
    Some(format!("{stem}{}", number + 1))
}
