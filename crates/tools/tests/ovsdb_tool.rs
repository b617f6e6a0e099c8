//! ovsdb-tool beside C's: the same command lines over the same files give the same output, errors, exit status and files.

mod transcript;

use std::collections::BTreeMap;
use std::fs;

use ovsdb::json::{self, Json};
use ovsdb_engine::log;
use testkit::{Page, Suite, SwitchUnderTest, oracle, skip};
use transcript::{caller, difference, lines, run, without_identities, words};

const COMMANDS: &str = include_str!("ovsdb_tool/commands.txt");

const SCHEMA: &str = r#"{"name":"X","version":"1.2.3","cksum":"12345 67","tables":{
    "T":{"isRoot":true,"indexes":[["name"]],"columns":{
        "name":{"type":"string"},"r":{"type":"real"},
        "n":{"type":{"key":"integer","min":0,"max":"unlimited"}},
        "u":{"type":{"key":{"type":"uuid","refTable":"U"},"min":0,"max":1}}}},
    "U":{"columns":{"m":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;

const RBAC_SCHEMA: &str = r#"{"name":"R","version":"1.0.0","tables":{
    "T":{"isRoot":true,"columns":{"s":{"type":"string"},"n":{"type":"integer"}}},
    "RBAC_Role":{"isRoot":true,"columns":{"name":{"type":"string"},"permissions":{"type":{"key":"string",
        "value":{"type":"uuid","refTable":"RBAC_Permission"},"min":0,"max":"unlimited"}}}},
    "RBAC_Permission":{"isRoot":true,"columns":{"table":{"type":"string"},"insert_delete":{"type":"boolean"},
        "authorization":{"type":{"key":"string","min":0,"max":"unlimited"}},
        "update":{"type":{"key":"string","min":0,"max":"unlimited"}}}}}}"#;

/// What a member of a cluster wrote after the first record of its file.
const MEMBER: [&str; 12] = [
    r#"{"term":2,"vote":"11111111-2222-3333-4444-555555555555"}"#,
    r#"{"leader":"11111111-2222-3333-4444-555555555555","term":2}"#,
    r#"{"index":2,"term":2}"#,
    r#"{"data":[null,{"T":{"22222222-2222-3333-4444-555555555555":{"name":"c"}},"_comment":"hi","_date":1795696801700,"_is_diff":true}],"eid":"61111111-2222-3333-4444-555555555555","index":3,"term":2}"#,
    r#"{"commit_index":3}"#,
    r#"{"data":[null,{"T":{"22222222-2222-3333-4444-555555555555":{"n":3,"name":"d"}},"_date":1795696801800,"_is_diff":true}],"eid":"71111111-2222-3333-4444-555555555555","index":4,"term":2}"#,
    r#"{"index":5,"servers":{"11111111-2222-3333-4444-555555555555":"tcp:127.0.0.1:6644"},"term":2}"#,
    r#"{"election_timer":2000,"index":6,"term":2}"#,
    r#"{"comment":"because","note":"transfer leadership"}"#,
    r#"{"term":3}"#,
    r#"{"data":[null,{"T":{"22222222-2222-3333-4444-555555555555":null},"_date":1795696801900,"_is_diff":true}],"eid":"81111111-2222-3333-4444-555555555555","index":7,"term":3}"#,
    r#"{"note":"left"}"#,
];

/// A record as members of clusters write them.
fn clustered(record: &str) -> Vec<u8> {
    let record = String::from_utf8(log::encode(record)).unwrap();
    record.replacen("JSON", "CLUSTER", 1).into_bytes()
}

/// Both folders begin with these files, byte for byte the same.
fn prepare(theirs: &Suite, at: &SwitchUnderTest) -> Vec<(String, Vec<u8>)> {
    let write = |name: &str, text: &str| fs::write(at.path(name), text).unwrap();
    write("x.ovsschema", SCHEMA);
    write("y.ovsschema", &SCHEMA.replace(r#""r":{"type":"real"}"#, r#""more":{"type":"boolean"}"#));
    write("z.ovsschema", &SCHEMA.replace(r#""type":"string"},"r""#, r#""type":"integer"},"r""#));
    write("bare.ovsschema", r#"{"name":"Bare","tables":{"T":{"columns":{"a":{"type":"string"}}}}}"#);
    write("broken.ovsschema", r#"{"name":"X","tables":{"T":{"columns":{"a":{"type":"nosuch"}}}}}"#);
    write("rbac.ovsschema", RBAC_SCHEMA);
    write("text", "no database\n");
    write("empty", "");
    let tool = |args: &[&str]| at.ok(theirs, "ovsdb-tool", args);
    tool(&["create", "torn.db", "x.ovsschema"]);
    for name in ["a", "b"] {
        let row = format!(r#"["X",{{"op":"insert","table":"T","row":{{"name":"{name}"}}}}]"#);
        tool(&["transact", "torn.db", &row]);
    }
    tool(&["create-cluster", "cluster.db", "torn.db", "tcp:127.0.0.1:6644"]);
    tool(&[
        "join-cluster",
        "joining.db",
        "X",
        "tcp:127.0.0.2:6644",
        "tcp:127.0.0.1:6644",
        "tcp:127.0.0.3:6644",
    ]);
    let member: Vec<u8> = MEMBER.iter().flat_map(|record| clustered(record)).collect();
    fs::write(at.path("member.db"), [fs::read(at.path("cluster.db")).unwrap(), member].concat()).unwrap();
    let whole = fs::read(at.path("torn.db")).unwrap();
    fs::write(at.path("torn.db"), &whole[..whole.len() - 9]).unwrap();
    let mut bad = whole;
    let last = bad.len() - 3;
    bad[last] ^= 1;
    fs::write(at.path("badhash.db"), bad).unwrap();
    fs::remove_file(at.path("conf.db")).unwrap();
    files(at)
}

fn files(at: &SwitchUnderTest) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(at.path("")).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|e| e.file_type().unwrap().is_file());
    let mut files: Vec<_> = files
        .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
        .filter(|(name, _)| !name.ends_with(".~lock~"))
        .collect();
    files.sort();
    files
}

/// What each file says, apart from identities, times, and the order of members in objects.
fn contents(at: &SwitchUnderTest) -> BTreeMap<String, Vec<String>> {
    let line = |line: &str| match json::parse(line.as_bytes()) {
        Ok(json @ Json::Object(_)) => canonical(&json),
        // Lengths and hashes of records follow from the order of members: what readers make of them is in the list of commands.
        _ if line.starts_with("OVSDB ") => line.split(' ').take(2).collect::<Vec<_>>().join(" "),
        _ => line.to_owned(),
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).lines().map(line).collect();
    files(at).into_iter().map(|(name, bytes)| (name, text(bytes))).collect()
}

/// JSON with the members of objects in the order of their text, once identities and times are out.
fn canonical(json: &Json) -> String {
    match json {
        Json::Object(members) => {
            let member = |(name, value): (&ovsdb::SmolStr, &Json)| match name.as_str() {
                "_date" => "_date".to_owned(),
                _ => format!("{}: {}", without_identities(name), canonical(value)),
            };
            let mut members: Vec<String> = members.iter().map(member).collect();
            members.sort();
            format!("{{{}}}", members.join(", "))
        }
        Json::Array(elements) => format!("{:?}", elements.iter().map(canonical).collect::<Vec<_>>()),
        Json::String(text) if text.contains(" by ovsdb-tool ") => {
            text.trim_end_matches(|c| c != ' ').to_owned()
        }
        other => without_identities(&other.to_string()),
    }
}

/// The lines of a log in which rows come in the order of their identities, the first digits of these taken out.
fn settled(mut lines: Vec<String>) -> Vec<String> {
    for line in lines.iter_mut().filter(|line| line.starts_with("  table ")) {
        let words = line.split_inclusive(' ').map(|word| {
            let is_short = |w: &str| w.len() == 8 && w.bytes().all(|b| b.is_ascii_hexdigit());
            let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            if is_short(bare) { word.replace(bare, "ID") } else { word.to_owned() }
        });
        *line = words.collect();
    }
    // Records stay where they are; what they say of rows is put in order.
    lines.chunk_by_mut(|_, next| !next.starts_with("record ")).for_each(|record| record.sort());
    lines
}

#[test]
fn every_command_line_does_what_it_does_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let (one, two) = (SwitchUnderTest::new(&theirs), SwitchUnderTest::new(&theirs));
    fs::remove_file(two.path("conf.db")).unwrap();
    for (name, bytes) in prepare(&theirs, &one) {
        fs::write(two.path(&name), bytes).unwrap();
    }
    let (c, ours) =
        (caller(Some((&theirs, "ovsdb-tool")), ""), caller(None, env!("CARGO_BIN_EXE_ovsdb-tool")));
    let mut differences = Vec::new();
    for line in lines(COMMANDS) {
        differences.extend(difference(line, "ovsdb-tool", &[(&one, &c), (&two, &ours)], settled));
        let (expected, got) = (contents(&one), contents(&two));
        if expected != got {
            let names: std::collections::BTreeSet<&String> = expected.keys().chain(got.keys()).collect();
            for name in names.into_iter().filter(|name| expected.get(*name) != got.get(*name)) {
                let (expected, got) = (expected.get(name), got.get(name));
                differences.push(format!("{line}: file {name}\n  C:    {expected:?}\n  ours: {got:?}"));
            }
            break;
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_command_of_the_manual_is_compared() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let Some(page) = Page::of(&theirs, "ovsdb-tool.1") else { skip!("no manual to read") };
    let (named, compared) = (page.commands("DESCRIPTION"), words(COMMANDS));
    let missing: Vec<&String> = named.iter().filter(|name| !compared.contains(&name.as_str())).collect();
    assert!(named.len() >= 22 && missing.is_empty(), "{named:?}: {missing:?}");
}

/// Where C's program does what its manual does not say, or breaks off.
#[test]
fn what_is_there_is_neither_overwritten_nor_left_behind_half() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let at = SwitchUnderTest::new(&theirs);
    prepare(&theirs, &at);
    let ours = env!("CARGO_BIN_EXE_ovsdb-tool");
    let tool = |line: &str| {
        let ran = run(&at, ours, line);
        (ran.status, ran.stdout, ran.stderr)
    };
    let said = |status, text: &str| (Some(status), String::new(), format!("ovsdb-tool: {text}\n"));
    tool("create a.db x.ovsschema");
    let before = files(&at);
    assert_eq!(tool("compact a.db text"), said(1, "I/O error: text: create failed (File exists)"));
    assert_eq!(
        tool("convert a.db y.ovsschema text"),
        said(1, "I/O error: text: create failed (File exists)")
    );
    assert_eq!(tool("cluster-to-standalone new.db a.db"), said(1, "Database is not clustered db.\n"));
    let alone = said(1, "joining.db: no data, as it has not joined its cluster");
    assert_eq!(tool("cluster-to-standalone new.db joining.db"), alone);
    let refused = "clustered databases are not supported";
    assert_eq!(
        tool("create-cluster new.db x.ovsschema tcp:127.0.0.1:1"),
        said(1, &format!("'create-cluster': {refused}"))
    );
    assert_eq!(
        tool("join-cluster new.db X tcp:127.0.0.1:1 tcp:127.0.0.1:2"),
        said(1, &format!("'join-cluster': {refused}"))
    );
    assert_eq!(tool("check-cluster cluster.db"), said(1, &format!("'check-cluster': {refused}")));
    let (status, reply, _) = tool(r#"query a.db '["X",{"op":"insert","table":"T","row":{"name":"gone"}}]'"#);
    assert!(status == Some(0) && !reply.contains("error"), "{reply}");
    assert_eq!(files(&at), before);
}

#[test]
fn conversions_in_a_members_log_are_carried_out() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let at = SwitchUnderTest::new(&theirs);
    prepare(&theirs, &at);
    let ours = env!("CARGO_BIN_EXE_ovsdb-tool");
    let schema = |name: &str| json::parse(&fs::read(at.path(name)).unwrap()).unwrap();
    let entry = |index: u32, data: &str| {
        clustered(&format!(
            r#"{{"data":{data},"eid":"61111111-2222-3333-4444-555555555555","index":{index},"term":2}}"#
        ))
    };
    let row = |uuid: u32, name: &str| {
        format!(r#"{{"T":{{"{uuid:08}-2222-3333-4444-555555555555":{{"name":"{name}"}}}},"_is_diff":true}}"#)
    };
    let first = fs::read(at.path("cluster.db")).unwrap();
    let names = |name: &str, entries: &[Vec<u8>]| {
        fs::write(at.path(name), [first.clone(), entries.concat()].concat()).unwrap();
        let done = run(&at, ours, &format!("cluster-to-standalone {name}.out {name}"));
        assert_eq!((done.status, &*done.stderr), (Some(0), ""));
        let all = r#"["X",{"op":"select","table":"T","where":[],"columns":["name","more"]}]"#;
        let reply = at.ok(&theirs, "ovsdb-tool", &["query", &format!("{name}.out"), all]);
        let rows = json::parse(reply.as_bytes()).unwrap();
        let rows = rows.as_array().unwrap()[0].get("rows").unwrap().as_array().unwrap().to_vec();
        let mut names: Vec<String> =
            rows.iter().map(|row| row.get("name").unwrap().as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let with_data = entry(3, &format!("[{},{}]", schema("y.ovsschema"), row(7, "only")));
    assert_eq!(names("whole", &[entry(2, &format!("[null,{}]", row(1, "c"))), with_data]), ["only"]);
    let bare = entry(3, &format!("[{},null]", schema("y.ovsschema")));
    let more = entry(4, &format!("[null,{}]", row(2, "d")));
    assert_eq!(
        names("bare", &[entry(2, &format!("[null,{}]", row(1, "c"))), bare.clone(), more]),
        ["a", "b", "c", "d"]
    );
    // An entry takes the place of what a deposed leader had written there.
    let stale = [entry(2, &format!("[null,{}]", row(1, "c"))), entry(3, &format!("[null,{}]", row(2, "d")))];
    assert_eq!(
        names("stale", &[stale.concat(), entry(2, &format!("[null,{}]", row(3, "e"))), bare]),
        ["a", "b", "e"]
    );
}
