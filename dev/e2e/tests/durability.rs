//! SIGKILL of either daemon at any instant loses nothing that was committed, and the switch resumes from the database.

use std::collections::BTreeSet;
use std::sync::mpsc;

use e2e::{DATABASE, DUMMY, dummy_bridge, ours};
use testkit::SwitchUnderTest;

/// Clients that write at once.
const WRITERS: usize = 6;

/// How often a daemon is killed.
fn rounds() -> u32 {
    if std::env::var_os("OXVS_LONG").is_some() { 200 } else { 8 }
}

#[test]
fn a_killed_database_loses_no_committed_row() {
    let Some(suite) = testkit::ours(&DATABASE) else { return };
    let mut pair = SwitchUnderTest::new(&suite);
    pair.start_database();
    pair.ok(&suite, "ovs-vsctl", &["--no-wait", "init"]);
    let mut committed: BTreeSet<String> = BTreeSet::new();
    for round in 0..rounds() {
        // The server dies at a writer's acknowledgement, a later one each round, while the others are under way.
        let acknowledgements = round as usize % WRITERS;
        std::thread::scope(|scope| {
            let (sender, outcomes) = mpsc::channel();
            for number in 0..WRITERS {
                let (sender, name) = (sender.clone(), format!("br-{round}-{number}"));
                let mut command = pair.command(&suite, "ovs-vsctl");
                command.args(["--no-wait", "-t", "2", "add-br", &name]);
                scope.spawn(move || {
                    let acknowledged = command.output().is_ok_and(|out| out.status.success());
                    sender.send((name, acknowledged)).expect("somebody listens");
                });
            }
            drop(sender);
            for (name, acknowledged) in outcomes.iter().take(acknowledgements) {
                assert!(acknowledged, "round {round}: {name} is refused while the server runs");
                committed.insert(name);
            }
            pair.kill_database();
            committed.extend(outcomes.iter().filter(|(_, acknowledged)| *acknowledged).map(|(name, _)| name));
        });
        pair.start_database();
        let present: BTreeSet<String> =
            pair.ok(&suite, "ovs-vsctl", &["--no-wait", "list-br"]).lines().map(String::from).collect();
        let lost: Vec<_> = committed.difference(&present).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        committed = present;
    }
    assert!(!committed.is_empty(), "nothing was ever committed: the test proved nothing");
}

#[test]
fn a_killed_switch_resumes_from_the_database() {
    let Some(suite) = ours() else { return };
    let ports = "-- add-port br0 p1 tag=10 -- set interface p1 type=dummy ofport_request=7";
    let mut pair = dummy_bridge(&suite, &ports.split_whitespace().collect::<Vec<_>>());
    for _ in 0..3 {
        pair.kill_switch();
        // a change while the switch is away is applied when it comes back
        pair.ok(
            &suite,
            "ovs-vsctl",
            &[
                "--no-wait",
                "--may-exist",
                "add-port",
                "br0",
                "p2",
                "--",
                "set",
                "interface",
                "p2",
                "type=dummy",
            ],
        );
        pair.start_switch(&DUMMY);
        pair.await_true("both ports are back", || {
            let ports = pair.run(&suite, "ovs-ofctl", &["show", "br0"]).stdout;
            ports.contains(" 7(p1)") && ports.contains("(p2)")
        });
        assert_eq!(pair.ok(&suite, "ovs-vsctl", &["get", "interface", "p1", "ofport"]), "7\n");
    }
}
