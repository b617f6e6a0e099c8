//! Module headers and file sizes.
//!
//! Where it sits: over all Rust sources. A reader of a file's first screen must know what it is and who calls it.

use super::{Source, none, rust_sources};

/// Lines of production code above which a file must say in its header why it is long (`//! Size: …`).
const LONG: usize = 600;

/// Lines below which a file's place is plain from its parent's header.
const SMALL: usize = 150;

#[test]
fn files_say_what_they_are() {
    let mut complaints = Vec::new();
    for source in rust_sources() {
        let header = source.header();
        if source.path.ends_with("/tests.rs") {
            continue;
        }
        let first = header.first().map_or("", |line| line.trim_start_matches("//!").trim());
        if first.is_empty() {
            complaints.push(format!("{}: no header", source.path));
        } else if !header.iter().take(3).any(|line| line.trim_end().ends_with(['.', ':'])) {
            complaints.push(format!("{}: the header does not begin with a sentence", source.path));
        }
        let placed = header.iter().any(|line| line.contains("Where it sits"));
        let small = source.text.lines().count() < SMALL;
        if !placed && !small && !source.is_test() && source.krate().is_some() && !is_program(&source) {
            complaints.push(format!("{}: the header does not say where it sits", source.path));
        }
    }
    none(complaints);
}

/// Entry points say what they start; they sit at the top by nature.
fn is_program(source: &Source) -> bool {
    source.path.contains("/src/bin/")
        || source.path.ends_with("/main.rs")
        || source.path.ends_with("/build.rs")
}

#[test]
fn long_files_say_why() {
    let mut complaints = Vec::new();
    for source in rust_sources() {
        let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let lines = source.production().lines().filter(code).count();
        if lines > LONG && !source.header().iter().any(|line| line.starts_with("//! Size: ")) {
            complaints.push(format!("{}: {lines} lines of code and no `//! Size: REASON`", source.path));
        }
    }
    none(complaints);
}

#[test]
fn test_modules_come_last() {
    let mut complaints = Vec::new();
    for source in rust_sources() {
        let Some((_, after)) = source.text.split_once("\n#[cfg(test)]\nmod tests {\n") else { continue };
        let rest = after.split_once("\n}\n").map_or("", |(_, rest)| rest);
        if !rest.trim().is_empty() {
            complaints.push(format!("{}: code after the tests", source.path));
        }
    }
    none(complaints);
}
