//! The completion files, driven by bash as the user's keys would.

use std::process::{Command, Stdio};

use testkit::{SwitchUnderTest, oracle, skip};

/// What the completion of `program` offers behind `line`; the last word is the one under the cursor.
fn offers(at: &SwitchUnderTest, program: &str, binary: &str, line: &[&str]) -> Vec<String> {
    let file = format!("{}/completion/{program}", env!("CARGO_MANIFEST_DIR"));
    let script = r#"
        source "$1"; function=$2; shift 2
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        "$function"; printf '%s\n' "${COMPREPLY[@]}""#;
    let function = format!("_{}", program.replace('-', "_"));
    let mut bash = Command::new("bash");
    at.environment(&mut bash);
    bash.args(["-c", script, "bash", &file, &function, binary]).args(line).stderr(Stdio::null());
    let out = bash.output().expect("bash starts");
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn ovs_vsctl_offers_commands_options_bridges_and_columns() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let mut at = SwitchUnderTest::new(&theirs);
    at.start_database();
    at.ok(&theirs, "ovs-vsctl", &["--no-wait", "add-br", "br0", "--", "add-port", "br0", "p1"]);
    let check = |line: &[&str], expected: &[&str]| {
        let offered = offers(&at, "ovs-vsctl", env!("CARGO_BIN_EXE_ovs-vsctl"), line);
        assert_eq!(offered, expected, "{line:?}");
    };
    check(&["add-b"], &["add-br", "add-bond", "add-bond-iface"]);
    check(&["--may-exist", "del-b"], &["del-br", "del-bond-iface"]);
    check(&["--no-w"], &["--no-wait"]);
    check(&["--inact"], &["--inactivity-probe="]);
    check(&["del-br", ""], &["br0"]);
    check(&["add-br", "x", "--", "list-ports", "b"], &["br0"]);
    check(&["port-to-br", ""], &["p1"]);
    check(&["set", "Brid"], &["Bridge"]);
    check(&["set", "Bridge", "br"], &["br0"]);
    check(&["set", "Bridge", "br0", "fail"], &["fail_mode"]);
    check(&["set-fail-mode", "br0", "se"], &["secure"]);
}

#[test]
fn ovs_appctl_offers_targets_and_their_commands() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let mut at = SwitchUnderTest::new(&theirs);
    at.start_database();
    let check = |line: &[&str], expected: &[&str]| {
        let offered = offers(&at, "ovs-appctl", env!("CARGO_BIN_EXE_ovs-appctl"), line);
        assert_eq!(offered, expected, "{line:?}");
    };
    check(&["--pre"], &["--pretty"]);
    check(&["-f", "j"], &["json"]);
    check(&["-t", "ovsdb"], &["ovsdb-server"]);
    check(&["-t", "ovsdb-server", "vlog/list-"], &["vlog/list-pattern"]);
}
