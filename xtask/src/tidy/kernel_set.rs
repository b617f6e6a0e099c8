//! What the kernel set promises about itself, and what the pure crates must not touch.
//!
//! Where it sits: over the crates that are linked into the Windows kernel image, and over the control plane's pure crates.
//!
//! Spec: ARCHITECTURE.md, "Invariants".

use super::{none, rust_sources};

/// Crates that are linked into the kernel image.
pub const KERNEL_SET: [&str; 12] = [
    "sync",
    "wire",
    "netlink",
    "packet",
    "flow",
    "odp",
    "tunnel",
    "classifier",
    "conntrack",
    "datapath",
    "device",
    "switch-ext",
];

/// Crates to which time and effects are arguments.
const PURE: [&str; 7] = ["openflow", "ofproto", "xlate", "ovsdb", "ovsdb-engine", "ovsdb-idl", "dpif"];

/// Code that reaches outside: clocks, threads, sockets, files.
const EFFECTS: [&str; 9] = [
    "Instant::now",
    "SystemTime::now",
    "thread::spawn",
    "thread::sleep",
    "std::net::Tcp",
    "std::os::unix::net",
    "std::fs",
    "tokio::",
    "std::process::Command",
];

#[test]
fn kernel_set_forbids_what_a_kernel_forbids() {
    let sources = rust_sources();
    let mut complaints = Vec::new();
    for name in KERNEL_SET {
        let path = format!("crates/{name}/src/lib.rs");
        let text = sources.iter().find(|source| source.path == path).map_or("", |source| &source.text);
        let mut flags = vec!["#![no_std]"];
        flags.extend([
            "clippy::unwrap_used",
            "clippy::expect_used",
            "clippy::panic",
            "clippy::indexing_slicing",
        ]);
        if name != "sync" {
            flags.push("#![forbid(unsafe_code)]");
        }
        complaints.extend(
            flags.iter().filter(|flag| !text.contains(**flag)).map(|flag| format!("{path}: no {flag}")),
        );
    }
    none(complaints);
}

#[test]
fn kernel_set_uses_neither_std_nor_wide_floats() {
    let mut complaints = Vec::new();
    for source in
        rust_sources().iter().filter(|source| source.krate().is_some_and(|name| KERNEL_SET.contains(&name)))
    {
        let mut before = "";
        for (number, line) in (1..).zip(source.production().lines()) {
            let code = line.split("//").next().unwrap_or(line);
            let test_only = before.contains("cfg(test)") || before.contains("cfg(any(test");
            before = line;
            for word in [
                "std::",
                "extern crate std",
                "f64",
                "thread_local!",
                "#[allow(clippy::unwrap_used",
                "#[allow(clippy::panic",
            ] {
                if code.contains(word) && !test_only && !(word == "std::" && code.contains("no_std")) {
                    complaints.push(format!("{}:{number}: {word}", source.path));
                }
            }
        }
    }
    none(complaints);
}

/// Files of pure crates that may touch files all the same, and why.
const GRANTED: [(&str, &str); 3] = [
    ("crates/ovsdb-engine/src/storage.rs", "the file under a log: the server and the offline tool share it"),
    ("crates/ovsdb-engine/src/storage/compaction.rs", "the file that takes its place"),
    (
        "crates/ovsdb-engine/src/entropy.rs",
        "the system's random source: the server and the offline tool open it and lend it to transactions",
    ),
];

#[test]
fn pure_crates_reach_for_nothing() {
    let mut complaints = Vec::new();
    for source in
        rust_sources().iter().filter(|source| source.krate().is_some_and(|name| PURE.contains(&name)))
    {
        if GRANTED.iter().any(|(path, _)| source.path == *path) {
            continue;
        }
        for (number, line) in (1..).zip(source.production().lines()) {
            let code = line.split("//").next().unwrap_or(line);
            let found = EFFECTS.iter().find(|effect| code.contains(**effect));
            complaints
                .extend(found.map(|effect| format!("{}:{number}: {effect} in a pure crate", source.path)));
        }
    }
    none(complaints);
}
