//! Actions as the C ovs-dpctl reads and prints them.
//!
//! Where it sits: in the gate, where the C programs are. `ovs-dpctl parse-actions` needs no datapath.

use odp::text::{ActionList, parse_actions};

/// Texts that both programs know or refuse. What Debian's C program prints but cannot read (`recirc(0x5)`, `hash`,
/// `push_mpls`, `pop_eth`) is not among them.
const TEXTS: &str = include_str!("actions.txt");

/// What we print for a text; none if it is refused.
fn ours(text: &str) -> Option<String> {
    parse_actions(text, &|_| None).ok().map(|list| ActionList(&list).to_string())
}

#[test]
fn actions_read_and_print_as_in_c() {
    let Some(suite) = testkit::oracle() else { return };
    let mut wrong = Vec::new();
    for text in TEXTS.lines() {
        let out = suite.command("ovs-dpctl").args(["parse-actions", text]).output().expect("ovs-dpctl runs");
        let theirs = out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim_end().to_owned());
        if ours(text) != theirs {
            wrong.push(format!("{text}\n  ours:   {:?}\n  theirs: {theirs:?}", ours(text)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(TEXTS.lines().count() > 60);
}
