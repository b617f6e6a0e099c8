//! Documents that follow the code: the table of drop reasons, and the size of ARCHITECTURE.md.
//!
//! Where it sits: reads `crates/packet/src/drop.rs` as text, because its doc comments are the meaning users read.
//! `UPDATE_GOLDEN=1` rewrites the table.

use std::fs;

use super::none;
use crate::shell::workspace;

const PREAMBLE: &str = "\
# Why packets are dropped

Every packet that is not delivered ends with exactly one of these reasons, and each has a counter.
`ovs-appctl coverage/show` shows the counters that moved, `ovs-appctl dpctl/show-drops` those of the datapath, altogether and of
each port that packets came in by or could not leave by.
Where Open vSwitch counts the same thing, the counter has Open vSwitch's name.

This table is written from `crates/packet/src/drop.rs`; a test keeps the two in step.

| counter | in the code | meaning |
|---|---|---|
";

#[test]
fn drop_reasons_are_explained() {
    let source = fs::read_to_string(workspace().join("crates/packet/src/drop.rs")).expect("the drop reasons");
    let rows = reasons(&source);
    assert!(rows.len() > 10, "found only {} drop reasons: has the declaration changed its form?", rows.len());
    let table: String =
        rows.iter().map(|(variant, name, text)| format!("| `{name}` | `{variant}` | {text} |\n")).collect();
    testkit::golden("../docs/drop-reasons.md", &format!("{PREAMBLE}{table}"));
}

/// Variant, counter and meaning of each `/// MEANING` … `Variant = "counter";`.
fn reasons(source: &str) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    let mut meaning = String::new();
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            meaning.push_str(if meaning.is_empty() { "" } else { " " });
            meaning.push_str(text);
            continue;
        }
        let declared = line.strip_suffix("\";").and_then(|line| line.split_once(" = \""));
        if let Some((variant, name)) =
            declared.filter(|(variant, _)| variant.chars().all(char::is_alphanumeric))
        {
            rows.push((variant.into(), name.into(), std::mem::take(&mut meaning)));
        }
        meaning.clear();
    }
    rows
}

#[test]
fn architecture_stays_short_and_names_every_crate() {
    let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(text.lines().count() <= 300, "ARCHITECTURE.md has more than 300 lines");
    let crates = fs::read_dir(workspace().join("crates")).expect("crates/").flatten();
    let names = crates.map(|entry| entry.file_name().to_string_lossy().into_owned());
    none(
        names
            .filter(|name| !text.contains(&format!("`{name}`")))
            .map(|name| format!("ARCHITECTURE.md: no word of {name}"))
            .collect(),
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    for source in super::all_texts().iter().filter(|source| source.path.ends_with(".md")) {
        let folder = workspace().join(&source.path);
        let folder = folder.parent().expect("a file has a folder");
        for link in source.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or("");
            if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                complaints.push(format!("{}: {link} leads nowhere", source.path));
            }
        }
    }
    none(complaints);
}
