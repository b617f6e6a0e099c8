//! JSON, requests to a database, and database files.
//!
//! Where it sits: targets. The database keeps what requests did, and so does its log.

use ovsdb::json::{self, Json, ParseError, Parser};
use ovsdb::{DbSchema, Uuid};
use ovsdb_engine::log::encode;
use ovsdb_engine::record::{Columns, Unknown, compose, snapshot};
use ovsdb_engine::storage::load;
use ovsdb_engine::{Access, Database, Outcome, Request, Waiting, execute};

use super::Run;

/// Bytes of a log after which it is read again, and begun anew.
const LOG_LEN: usize = 16 << 10;

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "A":{"isRoot":true,"indexes":[["n"],["text","on"]],"columns":{"n":{"type":"integer"},"x":{"type":"real"},"on":{"type":"boolean"},
  "text":{"type":{"key":{"type":"string","maxLength":20}}},"short":{"type":"string","ephemeral":true},
  "map":{"type":{"key":"string","value":"integer","min":0,"max":"unlimited"}},
  "kids":{"type":{"key":{"type":"uuid","refTable":"B"},"min":0,"max":3}},
  "seen":{"type":{"key":{"type":"uuid","refTable":"B","refType":"weak"},"min":0,"max":"unlimited"}}}},
 "B":{"maxRows":50,"columns":{"set":{"type":{"key":{"type":"integer","minInteger":-5,"maxInteger":500},"min":1,"max":4}},
  "next":{"type":{"key":{"type":"uuid","refTable":"B"},"min":0,"max":1}}}}}}"#;

const REQUESTS: [&str; 7] = [
    r#"[{"op":"insert","table":"A","row":{"n":1,"x":1.5,"on":true,"text":"one","map":["map",[["a",1],["b",2]]]}}]"#,
    r#"[{"op":"insert","table":"B","uuid-name":"b","row":{"set":["set",[1,2,3]],"next":["named-uuid","b"]}},
     {"op":"insert","table":"A","row":{"n":2,"kids":["named-uuid","b"],"seen":["set",[["named-uuid","b"]]]}},{"op":"comment","comment":"two"}]"#,
    r#"[{"op":"mutate","table":"A","where":[["n",">=",1]],"mutations":[["n","*=",3],["x","/=",2],["map","insert",["map",[["c",7]]]],["map","delete",["set",["a"]]]]}]"#,
    r#"[{"op":"update","table":"A","where":[["on","==",true],["map","includes",["map",[["b",2]]]]],"row":{"text":"t\u00e9\ud834\udd1e","x":-1e3}}]"#,
    r#"[{"op":"select","table":"A","where":[["kids","excludes",["uuid","00000000-0000-0000-0000-000000000007"]]],"columns":["n","_uuid"]},{"op":"abort"}]"#,
    r#"[{"op":"wait","table":"A","timeout":0,"where":[],"columns":["n"],"until":"!=","rows":[{"n":5}]},{"op":"delete","table":"A","where":[["n","<",3]]}]"#,
    r#"[{"op":"assert","lock":"l"},{"op":"commit","durable":false},{"op":"delete","table":"B","where":[]}]"#,
];

/// Requests, a schema, and a number of each kind.
pub fn texts() -> Vec<Vec<u8>> {
    let numbers =
        r#" {"n":[0,-1,9223372036854775807,1e400,-0.5,1E-3,100000000000000000000],"w":[true,false,null]}"#;
    [SCHEMA, numbers].iter().chain(&REQUESTS).map(|text| text.as_bytes().to_vec()).collect()
}

/// Text is read the same in one piece and in several, and what is written of it is read as the same.
pub fn parse() -> Run {
    Box::new(|bytes| {
        let step = 1 + bytes.iter().fold(0, |sum: usize, &byte| sum + usize::from(byte)) % 40;
        let [whole, cut, in_bytes] = [usize::MAX, step, 1].map(|step| first_message(bytes, step));
        assert_eq!(whole, cut);
        assert_eq!(whole, in_bytes);
        if let Ok((_, Some(value))) = whole {
            let read = |text: &str| text.parse::<Json>().expect("what is written is read");
            // Reals lose digits when they are printed, and may be integers then; but only once.
            let again = read(&value.to_string());
            assert_eq!(read(&again.to_string()), again);
        }
        let _ = DbSchema::from_json(&json::parse(bytes).unwrap_or_default());
    })
}

fn first_message(text: &[u8], step: usize) -> Result<(usize, Option<Json>), ParseError> {
    let (mut parser, mut taken) = (Parser::with_limit(1 << 20), 0);
    for piece in text.chunks(step) {
        let (more, message) = parser.feed(piece)?;
        taken += more;
        if message.is_some() {
            return Ok((taken, message));
        }
    }
    Ok((taken, None))
}

fn schema() -> DbSchema {
    let json = json::parse(SCHEMA.as_bytes()).expect("it is JSON");
    DbSchema::from_json(&json).expect("it is a schema")
}

/// Requests alone.
pub fn requests() -> Vec<Vec<u8>> {
    REQUESTS.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Requests are answered, and the log of those that were committed leads to the same rows.
pub fn answer() -> Run {
    let schema = schema();
    let begin = encode(&schema.to_json().to_string());
    let (mut db, mut log, mut next) = (Database::new(schema.clone()), begin.clone(), 0);
    Box::new(move |bytes| {
        let Ok(Json::Array(operations)) = json::parse(bytes) else { return };
        log.extend(record_of(&mut db, &operations, &mut next));
        if log.len() > LOG_LEN {
            let (loaded, end) = load(&log, "log", None, Unknown::Refuse).expect("it begins with a schema");
            assert!(loaded.damage.is_none() && end == log.len(), "{:?}", loaded.damage);
            assert_eq!(snapshot(&loaded.db, "", 0), snapshot(&db, "", 0));
            log.clone_from(&begin);
            db = Database::new(schema.clone());
        }
    })
}

/// Executes operations; what is to be recorded of them.
fn record_of(db: &mut Database, operations: &[Json], next: &mut u128) -> Vec<u8> {
    let request = Request {
        operations,
        access: Access::ReadWrite,
        waiting: Waiting::Impossible,
        owns_lock: &|_| false,
    };
    let mut make_uuid = || {
        *next += 1;
        Uuid(*next)
    };
    let Outcome::Done { results, prepared } = execute(db, &request, &mut make_uuid) else {
        unreachable!("nobody else could change what it waits for");
    };
    assert!(results.len() >= operations.len());
    let Some(prepared) = prepared else { return Vec::new() };
    let comment = prepared.comment();
    let record = compose(prepared.db(), prepared.changes(), &comment, 0, Columns::Diff);
    prepared.commit();
    record.map(|record| encode(&record)).unwrap_or_default()
}

/// A file with some records.
pub fn files() -> Vec<Vec<u8>> {
    let record = |text: &str| encode(text);
    let schema = record(SCHEMA);
    let row =
        record(r#"{"_date":1,"A":{"00000000-0000-4000-8000-000000000001":{"n":1,"map":["map",[["a",1]]]}}}"#);
    let change = record(
        r#"{"_date":2,"_is_diff":true,"A":{"00000000-0000-4000-8000-000000000001":{"n":5,"map":["map",[["a",1],["b",2]]]}}}"#,
    );
    let gone = record(r#"{"_comment":"gone","A":{"00000000-0000-4000-8000-000000000001":null}}"#);
    vec![[&schema[..], &row, &change].concat(), [&schema[..], &row, &gone, &row].concat(), schema]
}

/// Of whatever file, what can be read is read; and read again, it is the same.
pub fn open() -> Run {
    Box::new(|bytes| {
        let Ok((loaded, end)) = load(bytes, "file", None, Unknown::Refuse) else { return };
        let good = bytes.get(..end).expect("the good part is part of the file");
        let (again, all) = load(good, "file", None, Unknown::Refuse).expect("it was read before");
        assert!(again.damage.is_none() && all == end, "{:?}", again.damage);
        assert_eq!(snapshot(&again.db, "", 0), snapshot(&loaded.db, "", 0));
    })
}
