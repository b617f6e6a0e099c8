//! Words that must not appear: vague names, unfinished code, one machine's paths, hosts to download from.
//!
//! Where it sits: over sources and documents. This file is the only one that may spell them.

use super::{all_texts, none, rust_sources};

const VAGUE: [&str; 4] = ["Manager", "Helper", "Util", "Common"];

/// Whole names that are the field's own words.
const FIELD_WORDS: [&str; 1] = ["ManagerRow"];

const UNFINISHED: [&str; 5] = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX"];

const MACHINE: [&str; 5] = ["/work/", "/home/", "/root/", "/Users/", "crates.io"];

#[test]
fn names_say_what_things_are() {
    let mut complaints = Vec::new();
    for source in rust_sources().iter().filter(|source| !source.path.ends_with("tidy/words.rs")) {
        let stem = source.path.rsplit('/').next().unwrap_or("").trim_end_matches(".rs");
        let words: Vec<&str> = stem.split('_').collect();
        let vague = ["manager", "helper", "helpers", "util", "utils", "common"];
        if words.iter().any(|word| vague.contains(word)) {
            complaints.push(format!("{}: a vague file name", source.path));
        }
        for (number, line) in (1..).zip(source.text.lines()) {
            let name = declared_type(line).unwrap_or("");
            if !FIELD_WORDS.contains(&name) && VAGUE.iter().any(|word| name.contains(word)) {
                complaints.push(format!("{}:{number}: {name} is a vague name", source.path));
            }
        }
    }
    none(complaints);
}

fn declared_type(line: &str) -> Option<&str> {
    let line = line
        .trim_start()
        .trim_start_matches("pub ")
        .trim_start_matches("pub(crate) ")
        .trim_start_matches("pub(super) ");
    let rest = ["struct ", "enum ", "trait ", "type "].iter().find_map(|kind| line.strip_prefix(kind))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[test]
fn nothing_is_left_unfinished() {
    let mut complaints = Vec::new();
    for source in rust_sources().iter().filter(|source| !source.path.ends_with("tidy/words.rs")) {
        for (number, line) in (1..).zip(source.text.lines()) {
            let found = UNFINISHED.iter().find(|word| line.contains(**word));
            complaints.extend(found.map(|word| format!("{}:{number}: {word}", source.path)));
        }
    }
    none(complaints);
}

#[test]
fn nothing_names_one_machine() {
    let mut complaints = Vec::new();
    for source in all_texts().iter().filter(|source| !source.path.ends_with("tidy/words.rs")) {
        for (number, line) in (1..).zip(source.text.lines()) {
            let found = MACHINE.iter().find(|word| line.contains(**word));
            complaints.extend(found.map(|word| format!("{}:{number}: {word}", source.path)));
            if line.ends_with([' ', '\t']) && source.path.ends_with(".rs") {
                complaints.push(format!("{}:{number}: trailing space", source.path));
            }
        }
    }
    none(complaints);
}
