//! Rules: a driver that breaks one is found out, with a line that replays the run.
//!
//! What ends a run ends its process, so each fault runs the program of its own.

use std::process::Command;

/// Runs one seed with a fault in what the driver does, and returns what the simulator says.
fn with_fault(fault: &str) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_hyperv-sim"))
        .args(["--seeds", "40", "--fault", fault])
        .output()
        .expect("the simulator was built");
    assert_eq!(out.status.code(), Some(101), "{fault}: {}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn broken_rules_are_found() {
    let faults = [
        ("lose-a-completion", "seed"),
        ("complete-twice", "no such packet"),
        ("change-a-received-packet", "changed"),
        ("flag-a-destination-group", "DESTINATION_GROUP"),
        ("flag-a-single-source", "SINGLE_SOURCE"),
        ("leave-the-level-raised", "IRQL"),
        ("do-not-report", "without being reported"),
        ("free-a-packet-twice", "freed twice"),
        ("complete-a-request-twice", "completed twice"),
        ("lose-a-request", "than it completed with"),
        ("forget-a-cleanup", "still waits at a file after its IRP_MJ_CLEANUP"),
        ("change-a-request", "parameters of a request"),
        ("say-nothing-of-a-pause", "during a pause"),
        ("keep-the-hosts-changes", "changes are not noticed"),
    ];
    for (fault, said) in faults {
        let text = with_fault(fault);
        assert!(text.contains(said), "{fault}: {text}");
        assert!(text.contains("replay: cargo xtask sim --seed "), "{fault}: {text}");
    }
}
