//! A short search of every target, and what longer ones have found.

use fuzz::{TARGETS, Until, search};
use testkit::from_hex;

/// Inputs of each target: less than a second.
const INPUTS: u64 = 20_000;

#[test]
fn nothing_that_others_wrote_does_harm() {
    for target in &TARGETS {
        let found = search(target, 1, Until::Inputs(INPUTS));
        assert!(found.is_ok(), "{}: {found:02x?}", target.name);
    }
}

#[test]
fn what_did_harm_does_no_more() {
    let all = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for target in &TARGETS {
        let Ok(files) = std::fs::read_dir(all.join(target.name)) else { continue };
        for file in files {
            let path = file.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("text");
            // Each line is an input, in the order in which the target got them; others say why.
            let mut run = (target.prepare)();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                run(&from_hex(line));
            }
        }
    }
}
