//! Bad files and full disks: what is refused, what is read of a file that is broken, and how it goes on, as with Open vSwitch.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use ovsdb_engine::log::encode;
use testkit::{Scratch, Suite, oracle, ours, skip};

use crate::support::{Server, command, create, start};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{"n":{"type":"integer"},"text":{"type":"string"}},"isRoot":true}}}"#;
const ROW: &str = r#"{"_date":1,"T":{"00000000-0000-4000-8000-000000000001":{"n":1}}}"#;

/// Schemas of which something is wrong: what in the good one becomes what.
const WRONG_SCHEMAS: &[(&str, &str)] = &[
    ("\"D\"", "\"9\""),
    ("\"name\":\"D\",", ""),
    ("1.0.0", "1.0"),
    (",\"tables\"", ",\"x\":1,\"tables\""),
    ("\"tables\":{", "\"tables\":[],\"cksum\":{"),
    ("\"T\":", "\"_T\":"),
    ("\"T\":", "\"9T\":"),
    ("\"n\":", "\"_n\":"),
    ("{\"n\":{\"type\":\"integer\"},\"text\":{\"type\":\"string\"}}", "{}"),
    ("\"integer\"", "\"int\""),
    ("\"integer\"", "{}"),
    ("\"integer\"", "{\"key\":\"integer\",\"min\":2}"),
    ("\"integer\"", "{\"key\":\"integer\",\"min\":0,\"max\":0}"),
    ("\"integer\"", "{\"key\":\"integer\",\"max\":\"many\"}"),
    ("\"integer\"", "{\"key\":{\"type\":\"integer\",\"enum\":[\"set\",[]]}}"),
    ("\"integer\"", "{\"key\":{\"type\":\"integer\",\"enum\":[\"set\",[\"a\"]]}}"),
    ("\"integer\"", "{\"key\":{\"type\":\"integer\",\"minInteger\":5,\"maxInteger\":3}}"),
    ("\"integer\"", "{\"key\":{\"type\":\"integer\",\"minReal\":5}}"),
    ("\"integer\"", "{\"key\":{\"type\":\"real\",\"minReal\":5,\"maxReal\":3}}"),
    ("\"integer\"", "{\"key\":{\"type\":\"string\",\"minLength\":5,\"maxLength\":3}}"),
    ("\"integer\"", "{\"key\":{\"type\":\"uuid\",\"refTable\":\"Z\"}}"),
    ("\"integer\"", "{\"key\":{\"type\":\"uuid\",\"refTable\":\"T\",\"refType\":\"firm\"}}"),
    ("\"integer\"}", "\"integer\",\"ephemeral\":3}"),
    ("\"integer\"}", "\"integer\",\"mutable\":0}"),
    ("\"isRoot\":true", "\"maxRows\":0"),
    ("\"isRoot\":true", "\"isRoot\":1"),
    ("\"isRoot\":true", "\"indexes\":[[\"zz\"]]"),
    ("\"isRoot\":true", "\"indexes\":[[]]"),
    ("\"isRoot\":true", "\"indexes\":[[\"n\",\"n\"]]"),
];

/// Records behind the schema with which a program cannot do anything.
const WRONG_RECORDS: &[&str] = &[
    "[]",
    "5",
    "{}{}",
    "nonsense",
    SCHEMA,
    r#"{"_date":"x"}"#,
    r#"{"_date":1.5}"#,
    r#"{"_comment":{}}"#,
    r#"{"_is_diff":5}"#,
    r#"{"_other":5}"#,
    r#"{"Z":{"00000000-0000-4000-8000-000000000001":{"n":1}}}"#,
    r#"{"T":[]}"#,
    r#"{"T":{"00000000-0000-4000-8000-00000000001":{"n":1}}}"#,
    r#"{"T":{"00000000-0000-4000-8000-000000000001":5}}"#,
    r#"{"T":{"00000000-0000-4000-8000-000000000001":null}}"#,
    r#"{"T":{"00000000-0000-4000-8000-000000000001":{"z":1}}}"#,
    r#"{"T":{"00000000-0000-4000-8000-000000000001":{"n":"x"}}}"#,
    r#"{"T":{"00000000-0000-4000-8000-000000000001":{"n":["set",[1,2]]}}}"#,
];

/// What begins like nothing that a program knows.
fn no_databases() -> Vec<Vec<u8>> {
    let header =
        |text: &str| format!("OVSDB {text} 0123456789012345678901234567890123456789\n{{}}\n").into_bytes();
    let mut files: Vec<Vec<u8>> =
        ["root:x:0:0\n", "", "\0\0\0\0", "OVSDB", "OVSDB JSON", "OVSDB JSON 5", "OVSDB JSON 5\n", SCHEMA]
            .map(|text| text.as_bytes().to_vec())
            .into();
    files.extend(["JSON x", "JSON 3", "JSON 0", "JSON 99999999999999999999", "TEXT 3"].map(header));
    files.extend(["nonsense", "[1]", "5", "{}", "[".repeat(2000).as_str()].map(encode));
    files.push(encode(SCHEMA)[..100].to_vec());
    files
}

/// Every file, and whether it is served all the same.
fn files() -> Vec<Vec<u8>> {
    let mut files = no_databases();
    files.extend(WRONG_SCHEMAS.iter().map(|(good, bad)| encode(&SCHEMA.replacen(good, bad, 1))));
    let behind = |record: &str| [encode(SCHEMA), encode(ROW), encode(record)].concat();
    files.extend(WRONG_RECORDS.iter().map(|record| behind(record)));
    // A good record behind a bad one, and the same row again.
    files.extend([
        [behind("[]"), encode(ROW)].concat(),
        behind(ROW),
        [behind("{}"), b"garbage".to_vec()].concat(),
    ]);
    files
}

/// Output without times and the path in front of getopt's messages; C says some things several times.
fn plain(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let line = |line: &str| {
        let timed = line.get(10..11) == Some("T") && line.contains("Z|");
        if timed { line.splitn(3, '|').nth(2).unwrap_or_default().to_owned() } else { line.to_owned() }
    };
    let mut lines: Vec<String> = text.lines().map(line).collect();
    lines.dedup();
    lines
}

type Said = (Option<i32>, Vec<String>, Vec<String>);

fn said(mut command: Command) -> Said {
    let out = command.output().unwrap();
    (out.status.code(), plain(&out.stdout), plain(&out.stderr))
}

/// What the server and the tool say of the file `db` in `folder`.
fn of_file(suite: &Suite, folder: &Path) -> Vec<Said> {
    let mut server = suite.command("ovsdb-server");
    server.args(["--remote=punix:s", "--unixctl=ctl", "--no-chdir", "--run=true", "db"]);
    let tool = |arguments: &[&str]| {
        let mut command = suite.command("ovsdb-tool");
        command.args(arguments);
        command
    };
    let select = r#"["D",{"op":"select","table":"T","where":[],"columns":["n"]}]"#;
    let commands = [
        server,
        tool(&["query", "db", select]),
        tool(&["show-log", "db"]),
        tool(&["db-name", "db"]),
        tool(&["compact", "db", "compacted"]),
    ];
    let run = |mut command: Command| {
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(name, folder);
        }
        command.current_dir(folder);
        said(command)
    };
    commands.into_iter().map(run).collect()
}

#[test]
fn files_that_are_no_databases_are_refused_as_by_open_vswitch() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let ours = ours(&["ovsdb-server", "ovsdb-tool"]).expect("they are built");
    let (mut served, mut differences) = (0, Vec::new());
    for file in files() {
        let [ours, theirs] = [&ours, &theirs].map(|suite| {
            let folder = Scratch::new();
            fs::write(folder.join("db"), &file).unwrap();
            let said = of_file(suite, folder.path());
            // Reading leaves a file as it is.
            assert_eq!(fs::read(folder.join("db")).unwrap(), file);
            said
        });
        if ours != theirs {
            let text = String::from_utf8_lossy(&file).chars().take(500).collect::<String>();
            differences.push(format!("{text}\n  ours {ours:?}\n  C    {theirs:?}"));
        }
        served += usize::from(ours[0].0 == Some(0));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(served, WRONG_RECORDS.len() + 3);
}

#[test]
fn wrong_schemas_are_refused_as_by_open_vswitch() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let ours = ours(&["ovsdb-tool"]).expect("they are built");
    let mut differences = Vec::new();
    let wrong = WRONG_SCHEMAS.iter().map(|(good, bad)| {
        let schema = SCHEMA.replacen(good, bad, 1);
        assert_ne!(schema, SCHEMA, "{good} is not there");
        schema
    });
    for text in
        wrong.chain(["", "nonsense", "[]", "{\"name\":\"D\"", "5", &"[".repeat(2000)].map(str::to_owned))
    {
        let [ours, theirs] = [&ours, &theirs].map(|suite| {
            let folder = Scratch::new();
            fs::write(folder.join("schema"), &text).unwrap();
            let commands =
                [&["create", "db", "schema"][..], &["schema-name", "schema"], &["schema-version", "schema"]];
            let run = |arguments: &&[&str]| {
                let mut command = suite.command("ovsdb-tool");
                command.args(*arguments).current_dir(folder.path());
                said(command)
            };
            let said: Vec<Said> = commands.iter().map(run).collect();
            (said, folder.join("db").exists())
        });
        if ours != theirs {
            differences.push(format!("{text}\n  ours {ours:?}\n  C    {theirs:?}"));
        }
        assert!(!ours.1 && ours.0[0].0 == Some(1), "{text}: {ours:?}");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

const SELECT: &str = r#"{"op":"select","table":"T","where":[],"columns":["n"]}"#;

fn insert(n: usize, text: &str) -> String {
    format!(r#"{{"op":"insert","table":"T","row":{{"n":{n},"text":"{text}"}}}}"#)
}

/// Numbers of the rows.
fn numbers(server: &Server) -> BTreeSet<i64> {
    let reply = server.connect().transact("D", SELECT).unwrap();
    let rows = reply.as_array().unwrap()[0].get("rows").unwrap().as_array().unwrap();
    rows.iter().map(|row| row.get("n").unwrap().as_i64().unwrap()).collect()
}

/// A server of another database.
fn elsewhere(suite: Option<&Suite>) -> Server {
    let folder = Scratch::new();
    create(&folder.join("other"), &SCHEMA.replace("\"D\"", "\"Other\""));
    start(suite, folder, &["other"])
}

/// What `server` finds in a torn file, and the file after one more commit.
fn go_on(server: &Server, torn: &[u8]) -> (BTreeSet<i64>, Vec<u8>) {
    let file = server.folder.join("torn");
    fs::write(&file, torn).unwrap();
    server.appctl("ovsdb-server/add-db", &["torn"]).unwrap();
    let found = numbers(server);
    let done = server.connect().transact("D", &insert(9, "behind")).unwrap().to_string();
    assert!(done.contains("uuid"), "{done}");
    server.appctl("ovsdb-server/remove-db", &["D"]).unwrap();
    (found, fs::read(&file).unwrap())
}

/// A log that ends anywhere in its last record, or has any of that record's bytes wrong, is served up to there; it goes on from there,
/// and either program reads what the other one left.
#[test]
fn torn_logs_are_recovered_at_every_byte() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let log =
        [encode(SCHEMA), encode(ROW), encode(&ROW.replace("001", "002").replace(":1}", ":2}"))].concat();
    let last = encode(SCHEMA).len() + encode(ROW).len();
    let (ours, theirs) = (elsewhere(None), elsewhere(Some(&theirs)));
    for server in [&ours, &theirs] {
        server.appctl("vlog/disable-rate-limit", &[]).unwrap();
    }
    let cuts = (last..log.len()).map(|end| log[..end].to_vec());
    let flips = (last..log.len()).map(|at| {
        let mut log = log.clone();
        log[at] ^= 0x15;
        log
    });
    let garbage = [[log.clone(), b"garbage".to_vec()].concat(), [log.clone(), b"\n\n".to_vec()].concat()];
    for (number, torn) in cuts.chain(flips).chain(garbage).enumerate() {
        let [ours_left, theirs_left] = [&ours, &theirs].map(|server| go_on(server, &torn));
        assert_eq!(ours_left.0, theirs_left.0, "{number}: {}", String::from_utf8_lossy(&torn));
        assert!(ours_left.0.contains(&1), "{number}: what is before the last record is there");
        let expected: BTreeSet<i64> = ours_left.0.iter().copied().chain([9]).collect();
        for (server, file) in [(&theirs, &ours_left.1), (&ours, &theirs_left.1)] {
            assert_eq!(go_on(server, file).0, expected, "{number}");
        }
    }
    let complaints =
        |server: &Server| server.lines_of(&["ovsdb_server"]).iter().filter(|l| l.contains("|ERR|")).count();
    assert!(complaints(&ours) > log.len() - last, "each is told of in the log");
}

/// What a server says on a file system that fills up: replies, then the rows; it ends by a kill.
fn fill(suite: Option<&Suite>) -> Vec<String> {
    let folder = Scratch::new();
    let mount = |options: &str| {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).status();
        assert!(mounted.unwrap().success());
    };
    mount("size=256k");
    create(&folder.join("db"), SCHEMA);
    // Its log and sockets are elsewhere: it is the database that finds no room.
    let outside = Scratch::new();
    let mut program = command(suite, outside.path());
    program.arg("--remote=punix:s").arg(folder.join("db"));
    let mut server = Server { child: program.spawn().unwrap(), folder: outside };
    let mut client = server.connect();
    let big = "x".repeat(20_000);
    let mut said = Vec::new();
    let mut transact = |said: &mut Vec<String>, operations: &str| {
        let reply = client.transact("D", operations).unwrap();
        let reply = crate::support::masked(&reply, &|_| false).to_string();
        said.push(reply.replace(&folder.path().display().to_string(), "DIR"));
        reply.contains("No space left on device")
    };
    let filled = (0..50).find(|n| transact(&mut said, &insert(*n, &big))).expect("the disk is full at last");
    let durable = r#"{"op":"commit","durable":true}"#;
    transact(&mut said, &insert(100, &big));
    transact(&mut said, &insert(101, "small"));
    transact(&mut said, &format!("{},{durable}", insert(102, &big)));
    transact(&mut said, &format!("{},{durable}", insert(103, "small")));
    let compact = |server: &Server| match server.appctl("ovsdb-server/compact", &["D"]) {
        Ok(text) | Err(text) => text.replace(&folder.path().display().to_string(), "DIR"),
    };
    said.push(compact(&server));
    assert!(said.iter().any(|text| text.contains("db.tmp: write failed")), "{said:?}");
    // There is room again.
    mount("remount,size=2m");
    transact(&mut said, &insert(200, &big));
    transact(&mut said, &format!("{},{durable}", insert(201, &big)));
    said.push(compact(&server));
    transact(&mut said, &insert(202, "compacted"));
    let expected: BTreeSet<i64> = (0..filled as i64).chain([101, 103, 200, 201, 202]).collect();
    assert_eq!(numbers(&server), expected, "what was refused has left nothing");
    assert!(server.log().contains("write failed (No space left on device)"), "{}", server.log());
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    fs::remove_file(server.socket()).unwrap();
    let mut program = command(suite, server.folder.path());
    server.child = program.arg("--remote=punix:s").arg(folder.join("db")).spawn().unwrap();
    assert_eq!(numbers(&server), expected, "what was acknowledged is there");
    drop(server);
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    said
}

/// A full disk: commits are refused and undone; when there is room again, the next one goes through.
#[test]
fn full_disk_refuses_commits_until_there_is_room() {
    testkit::sandboxed!();
    let ours = fill(None);
    if let Some(oracle) = oracle() {
        assert_eq!(ours, fill(Some(&oracle)));
    }
}
