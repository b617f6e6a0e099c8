//! A short search of every target.

use fuzz::{TARGETS, Target, Until, search};

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
fn bytes_that_do_harm_are_found() {
    let brittle = Target {
        name: "brittle",
        seeds: || vec![b"glass".to_vec()],
        prepare: || Box::new(|bytes| assert!(!bytes.starts_with(b"lass"), "broken")),
    };
    let found = search(&brittle, 1, Until::Inputs(INPUTS)).expect_err("a cut of the seed does harm");
    assert!(found.bytes.starts_with(b"lass"));
}
