//! Our ovsdb-client beside C's: the same command lines beside C servers of equal content give the same output and exit status.
//!
//! C lists tables, columns and rows in the order of its hash tables, so lines are compared as sets where several are printed.

mod transcript;

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use testkit::{Page, Suite, SwitchUnderTest, oracle, skip};
use transcript::{caller, comparable, difference, lines, words};

const COMMANDS: &str = include_str!("ovsdb_client/commands.txt");
const MONITORS: &str = include_str!("ovsdb_client/monitors.txt");

const SCHEMA: &str = r#"{"name":"X","version":"1.2.3","cksum":"12345 67","tables":{
    "T":{"isRoot":true,"indexes":[["name"]],"columns":{
        "name":{"type":"string"},"r":{"type":"real"},
        "n":{"type":{"key":"integer","min":0,"max":"unlimited"}},
        "e":{"type":{"key":"string","min":0,"max":1},"ephemeral":true},
        "u":{"type":{"key":{"type":"uuid","refTable":"U"},"min":0,"max":1}}}},
    "U":{"columns":{"m":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;

/// A C server of three databases.
fn server(theirs: &Suite) -> SwitchUnderTest {
    let mut at = SwitchUnderTest::new(theirs);
    let write = |name: &str, text: &str| fs::write(at.path(name), text).unwrap();
    write("x.ovsschema", SCHEMA);
    write("y.ovsschema", &SCHEMA.replace(r#""r":{"type":"real"}"#, r#""more":{"type":"boolean"}"#));
    write("z.ovsschema", &SCHEMA.replace(r#""type":"string"},"r""#, r#""type":"integer"},"r""#));
    write("bare.ovsschema", r#"{"name":"Bare","tables":{"T":{"columns":{"a":{"type":"string"}}}}}"#);
    write("nosuch.ovsschema", r#"{"name":"nosuch","tables":{"T":{"columns":{"a":{"type":"string"}}}}}"#);
    write("text", "no database\n");
    let tool = |args: &[&str]| at.ok(theirs, "ovsdb-tool", args);
    tool(&["create", "x.db", "x.ovsschema"]);
    tool(&["create", "bare.db", "bare.ovsschema"]);
    tool(&["create", "other.db", "z.ovsschema"]);
    at.start_database();
    // The control socket comes after the database's.
    at.await_true("ovsdb-server takes commands", || {
        at.run(theirs, "ovs-appctl", &["-t", "ovsdb-server", "version"]).status == Some(0)
    });
    for name in ["x.db", "bare.db"] {
        at.ok(theirs, "ovs-appctl", &["-t", "ovsdb-server", "ovsdb-server/add-db", &at.path(name)]);
    }
    at
}

/// Lines in an order of their own, without the short identities that HTML shows.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    for line in &mut lines {
        let short = |line: &str| {
            line.split_once("UUID\">").map(|(before, after)| format!("{before}UUID\">{}", &after[8..]))
        };
        *line = short(line).unwrap_or_else(|| line.trim_end().to_owned());
    }
    lines.sort();
    lines
}

#[test]
fn every_command_line_does_what_it_does_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let (one, two) = (server(&theirs), server(&theirs));
    let (c, ours) =
        (caller(Some((&theirs, "ovsdb-client")), ""), caller(None, env!("CARGO_BIN_EXE_ovsdb-client")));
    let mut differences = Vec::new();
    for line in lines(COMMANDS) {
        differences.extend(difference(line, "ovsdb-client", &[(&one, &c), (&two, &ours)], sorted));
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_command_of_the_manual_is_compared() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let Some(page) = Page::of(&theirs, "ovsdb-client.1") else { skip!("no manual to read") };
    let (named, compared) = (page.commands("DESCRIPTION"), [words(COMMANDS), words(MONITORS)].concat());
    let missing: Vec<&String> = named.iter().filter(|name| !compared.contains(&name.as_str())).collect();
    assert!(named.len() >= 18 && missing.is_empty(), "{named:?}: {missing:?}");
}

/// Lines for a server that does not have the usual database: `DB` is another one, which is the only one at first.
const DEFAULTS: &[&str] = &[
    "list-dbs",
    "get-schema",
    "get-schema DB",
    "get-schema nosuch",
    "get-schema unix:db.sock nosuch",
    "get-schema-version",
    "list-tables",
    "list-columns T",
    "list-columns nosuch",
    "dump",
    "dump T",
    "dump T name",
    "dump nosuch",
    "dump nosuch T",
    "dump DB T name",
    "backup | grep -c OVSDB",
    "monitor nosuch",
    "monitor T nosuch",
    "monitor DB nosuch",
    "monitor-cond '[3]' T",
    "monitor-cond-since '[3]' T",
    "restore < /dev/null",
];

#[test]
fn the_only_database_is_meant_where_none_is_named() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let mut at = SwitchUnderTest::new(&theirs);
    fs::remove_file(at.path("conf.db")).unwrap();
    for (name, database) in [("conf", "DB"), ("more", "More")] {
        let schema = at.path("schema");
        fs::write(&schema, SCHEMA.replace(r#""name":"X""#, &format!(r#""name":"{database}""#))).unwrap();
        at.ok(&theirs, "ovsdb-tool", &["create", &at.path(&format!("{name}.db")), &schema]);
    }
    at.start_database();
    let (c, ours) =
        (caller(Some((&theirs, "ovsdb-client")), ""), caller(None, env!("CARGO_BIN_EXE_ovsdb-client")));
    let mut differences = Vec::new();
    let mut compare = || {
        for line in DEFAULTS {
            differences.extend(difference(line, "ovsdb-client", &[(&at, &c), (&at, &ours)], sorted));
        }
    };
    compare();
    at.ok(&theirs, "ovs-appctl", &["-t", "ovsdb-server", "ovsdb-server/add-db", &at.path("more.db")]);
    compare();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// A running monitor, ended with the test.
struct Monitor(Child);

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts `line`, whose output goes to the file `name`.
fn start(at: &SwitchUnderTest, program: &str, line: &str, name: &str) -> Monitor {
    let mut shell = Command::new("sh");
    at.environment(&mut shell);
    shell.args(["-c", &format!("exec {program} {line}")]).stdin(Stdio::null());
    let out = File::create(at.path(name)).unwrap();
    Monitor(shell.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap())
}

#[test]
fn monitors_and_locks_print_what_they_print_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let at = server(&theirs);
    let (c, ours) =
        (caller(Some((&theirs, "ovsdb-client")), ""), caller(None, env!("CARGO_BIN_EXE_ovsdb-client")));
    let transact = |ops: &str| at.ok(&theirs, "ovsdb-client", &["transact", &format!(r#"["X",{ops}]"#)]);
    transact(r#"{"op":"insert","table":"T","row":{"name":"one","n":["set",[1,2]]}}"#);
    let _held = start(&at, &c, "lock theirs", "held");
    let read = |name: &str| fs::read_to_string(at.path(name)).unwrap();
    at.await_true("the lock is held", || read("held").contains("true"));
    at.ok(&theirs, "ovs-appctl", &["-t", "ovsdb-server", "vlog/set", "jsonrpc:file:dbg"]);
    let ran: Vec<(usize, &str)> = lines(MONITORS).enumerate().collect();
    let mut running = Vec::new();
    for (n, line) in &ran {
        running.push(start(&at, &c, line, &format!("c{n}")));
        running.push(start(&at, &ours, line, &format!("ours{n}")));
    }
    // Some print nothing before a row changes: the server's log tells who has asked.
    at.await_true("all have asked", || {
        let log = read("ovsdb-server.log");
        let asked = |method: &str| log.matches(&format!("received request, method=\"{method}")).count();
        asked("monitor") + asked("lock") == running.len()
    });
    for name in ["two", "three"] {
        transact(&format!(
            r#"{{"op":"insert","table":"T","row":{{"name":"{name}","n":["set",[7,9]],"r":2.5}}}}"#
        ));
    }
    transact(r#"{"op":"update","table":"T","where":[["name","==","one"]],"row":{"n":["set",[9]]}}"#);
    transact(r#"{"op":"update","table":"T","where":[["name","==","one"]],"row":{"name":"eins"}}"#);
    transact(r#"{"op":"delete","table":"T","where":[["name","==","three"]]}"#);
    transact(
        r#"{"op":"insert","table":"U","row":{"m":["map",[["k","v"]]]},"uuid-name":"u"},{"op":"update","table":"T","where":[["name","==","two"]],"row":{"u":["named-uuid","u"]}}"#,
    );
    transact(r#"{"op":"insert","table":"T","row":{"name":"last","n":["set",[9]]}}"#);
    at.await_true("the first monitors see the last row", || {
        read("c0").contains("last") && read("ours0").contains("last")
    });
    let compared = |n: usize| {
        let text = |name: String| comparable(&read(&name), "ovsdb-client", &at);
        (text(format!("c{n}")), text(format!("ours{n}")))
    };
    let settled = || ran.iter().all(|(n, _)| compared(*n).0 == compared(*n).1);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !settled() && std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    let different = ran.iter().filter(|(n, _)| compared(*n).0 != compared(*n).1);
    let told: Vec<String> = different
        .map(|(n, line)| {
            format!("{line}\n  C:\n{}\n  ours:\n{}", compared(*n).0.join("\n"), compared(*n).1.join("\n"))
        })
        .collect();
    assert!(told.is_empty(), "{} differ:\n{}", told.len(), told.join("\n"));
}

/// What commands behind print, and what their control sockets answer: a monitor, then locks.
fn behind(theirs: &Suite, program: &str) -> Vec<String> {
    let at = server(theirs);
    let transact = |row: &str| {
        at.ok(
            theirs,
            "ovsdb-client",
            &["transact", &format!(r#"["X",{{"op":"insert","table":"T","row":{row}}}]"#)],
        )
    };
    transact(r#"{"name":"one"}"#);
    let pid_file = at.path("client.pid");
    // C keeps standard output and error in the background: pipes would not end before it does.
    let start = |line: &str, output: &str| {
        let mut shell = Command::new("sh");
        at.environment(&mut shell);
        shell.args(["-c", &format!("{program} --detach --pidfile={pid_file} {line}")]).stdin(Stdio::null());
        let file = |name: &str| File::create(at.path(name)).unwrap();
        let ended = shell.stdout(file(output)).stderr(file("errors")).status().unwrap();
        assert_eq!(
            (ended.code(), fs::read_to_string(at.path("errors")).unwrap()),
            (Some(0), String::new()),
            "{line}"
        );
        let pid = fs::read_to_string(&pid_file).unwrap();
        at.path(&format!("ovsdb-client.{}.ctl", pid.trim()))
    };
    let read = |name: &str| fs::read_to_string(at.path(name)).unwrap();
    let control = start("monitor X T name", "rows");
    // The first rows are printed before whoever started it goes on.
    assert!(read("rows").contains("one"), "{}", read("rows"));
    transact(r#"{"name":"two"}"#);
    at.await_true("the second row", || read("rows").contains("two"));
    let mut said = vec![at.ok(theirs, "ovs-appctl", &["-t", &control, "exit"])];
    at.await_true("the end of the monitor", || fs::metadata(&pid_file).is_err());
    let control = start("lock mine", "locks");
    // Each is answered before the next; the second `steal` is refused, of which nobody is told.
    for (order, answers) in [("lock", 2), ("unlock", 3), ("steal", 4), ("steal", 4), ("unlock", 5)] {
        said.push(at.ok(theirs, "ovs-appctl", &["-t", &control, order, "theirs"]));
        at.await_true("the answers", || read("locks").lines().count() == answers);
    }
    said.push(at.ok(theirs, "ovs-appctl", &["-t", &control, "exit"]));
    said.extend(["rows", "locks"].iter().flat_map(|name| comparable(&read(name), "ovsdb-client", &at)));
    said
}

#[test]
fn commands_behind_do_what_they_do_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let expected = behind(&theirs, &caller(Some((&theirs, "ovsdb-client")), ""));
    assert_eq!(behind(&theirs, env!("CARGO_BIN_EXE_ovsdb-client")), expected);
}
