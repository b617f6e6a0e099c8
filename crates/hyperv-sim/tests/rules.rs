//! Rules: a driver that breaks one is found out, with a line that replays the run.
//!
//! What ends a run ends its process, so each fault runs the program of its own.

use std::process::Command;

use hyperv_sim::Fault;

/// Every fault with what the simulator says of it: one of these, by what comes first.
const FOUND: [(&str, &[&str]); 27] = [
    ("lose-a-completion", &["a wait does not end"]),
    ("complete-twice", &["no such packet"]),
    ("change-a-received-packet", &["changed"]),
    ("flag-a-destination-group", &["DESTINATION_GROUP"]),
    ("flag-a-single-source", &["SINGLE_SOURCE"]),
    ("leave-the-level-raised", &["IRQL"]),
    ("do-not-report", &["without being reported"]),
    ("free-a-packet-twice", &["freed twice"]),
    ("complete-a-request-twice", &["completed twice"]),
    ("lose-a-request", &["than it completed with"]),
    ("forget-a-cleanup", &["still waits at a file after its IRP_MJ_CLEANUP"]),
    ("change-a-request", &["parameters of a request"]),
    ("keep-a-request", &["without being passed on (rule 24)", "was not passed on that must be (rule 25)"]),
    ("say-nothing-of-a-pause", &["during a pause"]),
    ("keep-the-hosts-changes", &["changes are not noticed"]),
    ("withhold-a-connection", &["guests do not get through", "not told"]),
    (
        "withhold-a-disconnection",
        &["disconnected (rules 28, 30, 46)", "not told", "no connected adapter (rule 41)"],
    ),
    ("withhold-a-policy", &["(rule 47)", "a tag on the wrong side of the bridge"]),
    ("withhold-the-activation", &["adapters that are there are not told"]),
    ("end-a-pause-early", &["a pause ended while packets of the driver were out", "(rule 4)"]),
    ("forget-a-restart", &["a packet ends as during a pause, and there is none"]),
    ("forget-a-parent", &["shares the data of none that is kept for it (rule 58)"]),
    ("leave-a-timer-set", &["a timer is freed while it may still fire"]),
    ("keep-the-packet-pool", &["leaves something behind"]),
    ("keep-a-notification", &["FilterDetach leaves something behind (rule 3)"]),
    ("keep-the-device", &["left behind: 1 devices"]),
    ("ignore-deregistering", &["DriverUnload left the driver registered"]),
];

/// Seeds in which a fault has to be found.
const SEEDS: &str = "200";

/// Runs seeds with a fault in what the driver does, until the first that finds it; what the simulator says.
fn with_fault(fault: &str) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_hyperv-sim"))
        .args(["--seeds", SEEDS, "--fault", fault])
        .output()
        .expect("the simulator was built");
    assert_eq!(out.status.code(), Some(101), "{fault}: {}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn broken_rules_are_found() {
    for (fault, said) in FOUND {
        let text = with_fault(fault);
        assert!(said.iter().any(|said| text.contains(said)), "{fault}: {text}");
        assert!(text.contains("replay: cargo xtask sim --seed "), "{fault}: {text}");
    }
}

#[test]
fn every_fault_is_tried() {
    assert!(FOUND.iter().map(|(name, _)| name).eq(Fault::ALL.iter().map(|(name, _)| name)));
}
