//! ovs-dpctl: its command line beside C's, and its commands beside those of the control socket.

use std::process::Command;

use testkit::{SwitchUnderTest, oracle, ours, skip};

/// What is wrong with a command line is said before any datapath is looked for.
#[test]
fn a_wrong_command_line_is_refused_as_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let cases: [&[&str]; 12] = [
        &[],
        &["nosuch"],
        &["add-dp"],
        &["del-dp", "a", "b"],
        &["add-if", "a"],
        &["dump-dps", "x"],
        &["dump-flows", "1", "2", "3", "4", "5", "6", "7"],
        &["add-flow", "1"],
        &["--read-only", "add-dp", "x"],
        &["--read-only", "del-flows"],
        &["-t", "x", "show"],
        &["cache-set-size", "1"],
    ];
    for args in cases {
        let run = |mut command: Command| {
            let output = command.env("OVS_SYSLOG_METHOD", "null").args(args).output().unwrap();
            (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
        };
        let c = run(theirs.command("ovs-dpctl"));
        assert_eq!(run(Command::new(env!("CARGO_BIN_EXE_ovs-dpctl"))), c, "{args:?}");
    }
}

#[test]
fn commands_are_those_of_the_switch_that_runs() {
    let Some(suite) =
        ours(&["ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovsdb-tool", "ovs-appctl", "ovs-dpctl"])
    else {
        return;
    };
    let at = SwitchUnderTest::started(&suite, &["--enable-dummy=override"]);
    at.ok(&suite, "ovs-vsctl", &["add-br", "br0", "--", "set", "bridge", "br0", "datapath-type=dummy"]);
    assert_eq!(at.ok(&suite, "ovs-dpctl", &["dump-dps"]), "dummy@ovs-dummy\n");
    let shown = at.ok(&suite, "ovs-dpctl", &["show", "-s"]);
    assert_eq!(shown, at.ok(&suite, "ovs-appctl", &["dpctl/show", "-s"]));
    assert!(shown.contains("port 100: br0"), "{shown}");
    let refused = at.run(&suite, "ovs-dpctl", &["show", "nosuch"]);
    assert_eq!(refused.status, Some(1));
    assert_eq!(refused.stderr, "ovs-dpctl: opening datapath nosuch failed (No such device)\n");
}
