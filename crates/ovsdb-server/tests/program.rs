//! The program as clients see it: no acknowledged commit is lost to SIGKILL, and replies are those of Open vSwitch's server.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use ovsdb::json::{Json, Parser};
use ovsdb::{DbSchema, Uuid};
use ovsdb_engine::Storage;
use ovsdb_engine::record::Unknown;

const SCHEMA: &str = r#"{"name":"T","version":"1.0.0","tables":{
 "R":{"columns":{"name":{"type":"string"},"n":{"type":"integer"},
   "e":{"type":{"key":{"type":"string","enum":["set",["a","b"]]},"min":0,"max":1}},
   "kids":{"type":{"key":{"type":"uuid","refTable":"K"},"min":0,"max":"unlimited"}},
   "m":{"type":{"key":"string","value":"integer","min":0,"max":3}},
   "s":{"type":{"key":"integer","min":0,"max":3}}},"isRoot":true,"indexes":[["name"]],"maxRows":6},
 "K":{"columns":{"x":{"type":"integer"}}}}}"#;

struct Server {
    child: Child,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn new_folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ox{name}{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let schema = DbSchema::from_json(&ovsdb::json::parse(SCHEMA.as_bytes()).unwrap()).unwrap();
    Storage::create(folder.join("t.db").to_str().unwrap(), &schema).unwrap();
    folder
}

fn start(program: &Path, folder: &Path, libraries: Option<&Path>) -> Server {
    let mut command = Command::new(program);
    for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
        command.env(name, folder);
    }
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    let remote = format!("--remote=punix:{}", folder.join("s").display());
    let child = command.arg(remote).arg("-vconsole:off").arg(folder.join("t.db")).spawn().unwrap();
    Server { child, folder: folder.to_owned() }
}

impl Server {
    fn connect(&self) -> Client {
        for _ in 0..500 {
            if let Ok(stream) = UnixStream::connect(self.folder.join("s")) {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                return Client { stream, parser: Parser::new() };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not listen");
    }
}

struct Client {
    stream: UnixStream,
    parser: Parser,
}

impl Client {
    fn transact(&mut self, operations: &str) -> Option<Json> {
        let request = format!("{{\"id\":1,\"method\":\"transact\",\"params\":[\"T\",{operations}]}}");
        self.stream.write_all(request.as_bytes()).ok()?;
        let mut buffer = [0; 4096];
        loop {
            let n = self.stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
            if let (_, Some(json)) = self.parser.feed(&buffer[..n]).unwrap() {
                return json.get("result").cloned();
            }
        }
    }
}

#[test]
fn sigkill_loses_no_acknowledged_commit() {
    let folder = new_folder("k");
    let program = Path::new(env!("CARGO_BIN_EXE_ovsdb-server"));
    let mut acknowledged = Vec::new();
    for round in 0..5u64 {
        let mut server = start(program, &folder, None);
        let mut client = server.connect();
        let pid = server.child.id();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20 + round * 7));
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        });
        for i in 0.. {
            let operation = format!(
                r#"{{"op":"delete","table":"R","where":[]}},{{"op":"insert","table":"R","row":{{"name":"{round}-{i}","n":{i}}}}}"#
            );
            match client.transact(&operation) {
                Some(_) => acknowledged.push((round, i)),
                None => break,
            }
        }
        killer.join().unwrap();
        server.child.wait().unwrap();
        let name = folder.join("t.db");
        let data = std::fs::read(&name).unwrap();
        let (loaded, _) = ovsdb_engine::storage::load(&data, "t.db", None, Unknown::Refuse).unwrap();
        let table = loaded.db.table("R").unwrap();
        let row = table.rows.values().next().expect("a row");
        let n = row.fields[table.schema.column_index("n").unwrap()].single().unwrap().as_integer().unwrap();
        let &(last_round, last) = acknowledged.last().expect("something was acknowledged");
        // The commit that was being answered may be there as well.
        assert!(last_round == round && (n == last || n == last + 1), "last {last_round}-{last}, found {n}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Identifiers differ between servers, and so does which of two rows a complaint about an index names first.
fn masked(json: &Json) -> Json {
    match json {
        Json::String(s) if Uuid::parse(s).is_some() => Json::string("U"),
        Json::String(s) => {
            let s = s.split("  First row").next().unwrap_or_default();
            let words = s.split(' ').map(|word| if Uuid::parse(word).is_some() { "U" } else { word });
            Json::string(words.collect::<Vec<_>>().join(" "))
        }
        Json::Array(elements) => {
            let mut elements: Vec<Json> = elements.iter().map(masked).collect();
            // Rows of a selection come in no order.
            if elements.iter().all(|e| e.get("n").is_some()) {
                elements.sort_by_key(Json::to_string);
            }
            Json::Array(elements)
        }
        Json::Object(members) => Json::object(members.iter().map(|(k, v)| (k.clone(), masked(v)))),
        other => other.clone(),
    }
}

/// A random operation out of `seed`, some of them wrong.
fn operation(seed: &mut u64) -> String {
    let mut pick = |n: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % n
    };
    let value = |pick: &mut dyn FnMut(u64) -> u64| match pick(8) {
        0 => format!(r#""name":"r{}""#, pick(5)),
        1 => format!(r#""n":{}"#, pick(4)),
        2 => r#""e":"a""#.to_owned(),
        3 => r#""e":"z""#.to_owned(),
        4 => format!(r#""m":["map",[["k{}",{}],["j",1]]]"#, pick(3), pick(3)),
        5 => format!(r#""s":["set",[{},{}]]"#, pick(4), pick(4)),
        6 => r#""kids":["named-uuid","kid"]"#.to_owned(),
        _ => r#""n":"no""#.to_owned(),
    };
    let filters =
        ["", r#"["n",">",1]"#, r#"["name","==","r1"]"#, r#"["s","includes",2]"#, r#"["e","<","a"]"#, "true"];
    let filter = filters[pick(6) as usize];
    let mutations = [
        r#"["n","+=",1]"#,
        r#"["n","/=",0]"#,
        r#"["s","insert",["set",[1,2]]]"#,
        r#"["s","delete",1]"#,
        r#"["s","*=",2]"#,
        r#"["m","insert",["map",[["q",1]]]]"#,
        r#"["m","delete",["set",["j"]]]"#,
        r#"["e","insert","b"]"#,
        r#"["name","+=",1]"#,
    ];
    match pick(7) {
        0 | 1 => format!(r#"{{"op":"insert","table":"R","row":{{{}}}}}"#, value(&mut pick)),
        2 => r#"{"op":"insert","table":"K","uuid-name":"kid","row":{"x":1}}"#.to_owned(),
        3 => format!(r#"{{"op":"update","table":"R","where":[{filter}],"row":{{{}}}}}"#, value(&mut pick)),
        4 => format!(
            r#"{{"op":"mutate","table":"R","where":[{filter}],"mutations":[{}]}}"#,
            mutations[pick(9) as usize]
        ),
        5 => {
            format!(r#"{{"op":"select","table":"R","where":[{filter}],"columns":["n","name","s","m","e"]}}"#)
        }
        _ => format!(r#"{{"op":"delete","table":"R","where":[["n","==",{}]]}}"#, pick(4)),
    }
}

#[test]
fn replies_are_those_of_open_vswitch() {
    let Some(oracle) = testkit::oracle() else {
        println!("skip: Open vSwitch's programs are not there");
        return;
    };
    let (a, b) = (new_folder("a"), new_folder("b"));
    let ours = start(Path::new(env!("CARGO_BIN_EXE_ovsdb-server")), &a, None);

    let root = oracle.root();
    let theirs = start(&root.join("usr/sbin/ovsdb-server"), &b, Some(&root.join("usr/lib/x86_64-linux-gnu")));
    let (mut ours_client, mut theirs_client) = (ours.connect(), theirs.connect());
    let mut seed = 7;
    for case in 0..400 {
        let count = 1 + case % 4;
        let operations: Vec<String> = (0..count).map(|_| operation(&mut seed)).collect();
        let operations = operations.join(",");
        let mine = ours_client.transact(&operations).expect("our reply");
        let other = theirs_client.transact(&operations).expect("their reply");
        assert_eq!(masked(&mine).to_string(), masked(&other).to_string(), "case {case}: {operations}");
    }
    drop((ours, theirs));
    std::fs::remove_dir_all(a).unwrap();
    std::fs::remove_dir_all(b).unwrap();
}
