//! Our ovsdb-client beside C's, both asking one C server: same output, same exit status.
//!
//! C lists tables and columns in the order of its hash tables, so lines are compared as sets where several are printed.

use std::process::Command;

use testkit::{SwitchUnderTest, oracle, skip};

const CASES: &[&[&str]] = &[
    &["list-dbs", "SRV"],
    &["list-tables", "SRV", "Open_vSwitch"],
    &["list-columns", "SRV", "Open_vSwitch", "Mirror"],
    &["list-columns", "SRV", "Open_vSwitch", "nosuch"],
    &["-f", "csv", "list-columns", "SRV", "Open_vSwitch", "Mirror"],
    &["--no-headings", "list-columns", "SRV", "Open_vSwitch", "Mirror"],
    &["get-schema", "SRV", "Open_vSwitch"],
    &["get-schema", "SRV", "nosuch"],
    &["get-schema-version", "SRV"],
    &["get-schema-cksum", "SRV", "Open_vSwitch"],
    &[
        "transact",
        "SRV",
        r#"["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]"#,
    ],
    &[
        "--pretty",
        "query",
        "SRV",
        r#"["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]"#,
    ],
    &["transact", "SRV", r#"["Open_vSwitch",{"op":"foo"}]"#],
    &["transact", "SRV", r#"["nosuch",{"op":"foo"}]"#],
    &["transact", "SRV", "{}"],
    &["transact", "SRV", "[1]"],
    &["dump", "SRV", "Open_vSwitch", "Bridge", "name", "ports"],
    &["dump", "SRV", "Bridge", "name"],
    &["dump", "SRV", "Open_vSwitch", "Bridge", "nosuch"],
    &["dump", "SRV", "Open_vSwitch", "nosuch"],
    &["dump", "SRV", "nosuch", "Bridge"],
    &["-f", "list", "dump", "SRV", "Open_vSwitch", "Bridge", "name"],
    &["-f", "csv", "dump", "SRV", "Open_vSwitch", "Bridge", "name", "ports"],
    &["-f", "json", "dump", "SRV", "Open_vSwitch", "Bridge", "name"],
    &["-f", "html", "dump", "SRV", "Open_vSwitch", "Bridge", "name"],
    &["-d", "json", "dump", "SRV", "Open_vSwitch", "Bridge", "name"],
    &["--bare", "dump", "SRV", "Open_vSwitch", "Bridge", "name", "ports"],
    &["-f", "xxx", "dump", "SRV"],
    &["-d", "xxx", "dump", "SRV"],
    &["wait", "SRV", "Open_vSwitch", "foo"],
    &["monitor", "SRV", "Open_vSwitch", "nosuch"],
    &["monitor", "SRV", "Open_vSwitch", "Bridge", "nosuch"],
    &["monitor", "SRV", "Open_vSwitch", "Bridge", "!foo"],
    &["convert", "SRV", "/nosuch"],
    &["needs-conversion", "SRV", "/nosuch"],
    &["list-dbs", "unix:/nosuch"],
    &["foo"],
    &[],
    &["-t", "x", "list-dbs"],
];

#[test]
fn it_says_and_exits_like_the_c_program() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let mut at = SwitchUnderTest::new(&theirs);
    at.start_database();
    at.ok(&theirs, "ovs-vsctl", &["--no-wait", "add-br", "br0", "--", "add-br", "br1"]);
    let server = format!("unix:{}", at.path("db.sock"));
    let run = |mut command: Command, case: &[&str]| {
        at.environment(&mut command);
        command.args(case.iter().map(|word| word.replace("SRV", &server)));
        let out = command.output().unwrap();
        let lines = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            let mut lines: Vec<String> = text.lines().map(|l| l.trim_end().to_owned()).collect();
            lines.sort();
            lines
        };
        (out.status.code(), lines(out.stdout), lines(out.stderr))
    };
    for case in CASES {
        let expected = run(theirs.command("ovsdb-client"), case);
        let got = run(Command::new(env!("CARGO_BIN_EXE_ovsdb-client")), case);
        assert_eq!(got, expected, "{case:?}");
    }
}
