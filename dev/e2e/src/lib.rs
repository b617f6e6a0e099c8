//! End-to-end tests: the real daemons and tools, driven as users drive them.
//!
//! Where it sits: above everything; it knows the programs by their command lines only. The tests are in `tests/`: this
//! holds what they share.

use std::process::Command;

use testkit::{Suite, SwitchUnderTest};

/// All programs that the end-to-end tests run.
pub const PROGRAMS: [&str; 7] =
    ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovsdb-client"];

/// Options with which the switch starts where no real device is wanted.
pub const DUMMY: [&str; 3] = ["--enable-dummy=override", "--disable-system", "--disable-system-route"];

/// Our programs; None, after reporting the skip, while some do not exist.
pub fn ours() -> Option<Suite> {
    testkit::ours(&PROGRAMS)
}

/// A running pair of daemons with a bridge `br0` on the dummy datapath.
///
/// # Panics
/// When something does not start.
pub fn dummy_bridge(suite: &Suite, more: &[&str]) -> SwitchUnderTest {
    let pair = SwitchUnderTest::started(suite, &DUMMY);
    let mut args = "add-br br0 -- set bridge br0 datapath-type=dummy fail-mode=secure other-config:datapath-id=fedcba9876543210 \
        other-config:hwaddr=aa:55:aa:55:00:00 protocols=[OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15]"
        .split_whitespace()
        .collect::<Vec<_>>();
    args.extend(more);
    pair.ok(suite, "ovs-vsctl", &args);
    pair
}

/// Blanks the durations and ages in a flow dump: two runs never agree on them.
pub fn timeless(dump: &str) -> String {
    let blank = |line: &str| {
        let parts =
            line.split(", ").filter(|part| !part.starts_with("idle_age=") && !part.starts_with("hard_age="));
        let parts = parts.map(|part| if part.starts_with("duration=") { "duration=?" } else { part });
        parts.collect::<Vec<_>>().join(", ")
    };
    dump.lines().map(|line| blank(line) + "\n").collect()
}

/// Runs a system program that must succeed.
///
/// # Panics
/// When it fails.
#[track_caller]
pub fn system(words: &str) -> String {
    let mut parts = words.split_whitespace();
    let program = parts.next().expect("a program");
    let out = Command::new(program).args(parts).output().unwrap_or_else(|error| panic!("{words}: {error}"));
    assert!(out.status.success(), "{words}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}
