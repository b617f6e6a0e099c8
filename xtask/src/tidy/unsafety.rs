//! Unsafe code: only in the places that architecture grants it to, and with the reason beside each block.
//!
//! Where it sits: over all Rust sources. That each block has a `SAFETY` comment is a lint; that the comment names a
//! precondition is for reviewers, but phrases that name none are refused here.

use super::{none, rust_sources};

/// Folders and files that may hold unsafe code, and why they need it.
const PLACES: [(&str, &str); 11] = [
    ("crates/sync/", "published tables and rings: the concurrency under the packet path, and its models"),
    ("crates/datapath/tests/allocations", "an allocator that counts"),
    ("crates/device/tests/memory", "an allocator that fails"),
    ("crates/netdev-linux/src/sys", "sockets, rings and device control of Linux"),
    ("crates/dpif-netdev/src/sys", "processor affinity"),
    ("crates/daemon/src/sys", "detaching, signals, file locks"),
    ("crates/ndis-sys/src/", "declarations of the kernel's functions"),
    ("crates/ndis/src/", "NDIS's functions and memory, made safe, and the heap of images"),
    ("crates/ovsext/src/", "callbacks that the kernel calls, and the image's entry"),
    ("crates/hyperv-sim/src/", "the kernel's functions, simulated, and the loader of the driver's image"),
    ("crates/kernel-probe/src/main.rs", "the image's entry"),
];

const HOLLOW: [&str; 4] = ["as documented", "trust me", "should be fine", "obviously"];

#[test]
fn unsafe_code_is_where_it_may_be() {
    let mut complaints = Vec::new();
    for source in rust_sources().iter().filter(|source| !source.path.starts_with("xtask/src/tidy")) {
        let granted = PLACES.iter().any(|(place, _)| source.path.starts_with(place));
        for (number, line) in (1..).zip(source.text.lines()) {
            let code = line.split("//").next().unwrap_or(line);
            let uses = [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "unsafe extern",
                "allow(unsafe_code",
                "expect(unsafe_code",
            ];
            if !granted && uses.iter().any(|word| code.contains(word)) {
                complaints.push(format!("{}:{number}: unsafe code has no place here", source.path));
            }
        }
    }
    none(complaints);
}

#[test]
fn safety_comments_name_a_precondition() {
    let mut complaints = Vec::new();
    for source in rust_sources().iter().filter(|source| !source.path.starts_with("xtask/src/tidy")) {
        for (number, line) in (1..).zip(source.text.lines()) {
            let Some((_, reason)) = line.split_once("SAFETY:") else { continue };
            // a block right below another may refer to it
            if !reason.trim().starts_with("as above") && reason.trim().len() < 12
                || HOLLOW.iter().any(|phrase| reason.contains(phrase))
            {
                complaints
                    .push(format!("{}:{number}: a SAFETY comment that names no precondition", source.path));
            }
        }
    }
    none(complaints);
}
