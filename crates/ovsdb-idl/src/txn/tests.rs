//! Conversations with a server, as messages.

use ovsdb::json::{Json, parse};
use ovsdb::{Atom, Datum, Uuid};

use super::*;
use crate::{Idl, Incoming, Outgoing, State, Wanted};

const SCHEMA: &str = r#"{"name":"d","tables":{
    "T":{"isRoot":true,"columns":{"name":{"type":"string"},"n":{"type":"integer"},
         "refs":{"type":{"key":{"type":"uuid","refTable":"T"},"min":0,"max":"unlimited"}}}}}}"#;
const A: u128 = 0xa000_0000_0000_4000_8000_0000_0000_000a;

fn json(text: &str) -> Json {
    parse(text.as_bytes()).unwrap()
}

fn answer(idl: &mut Idl, id: &str, result: &str) {
    idl.handle(Incoming::Answer { id: Json::string(id), result: Ok(json(result)) }).unwrap();
}

fn methods(idl: &mut Idl) -> Vec<&'static str> {
    std::iter::from_fn(|| idl.poll_outgoing()).map(|Outgoing::Request { method, .. }| method).collect()
}

fn synced() -> Idl {
    let mut idl = Idl::new("d", Wanted::Everything);
    idl.connected();
    assert_eq!(methods(&mut idl), ["get_schema"]);
    answer(&mut idl, "schema", SCHEMA);
    assert_eq!(methods(&mut idl), ["monitor_cond"]);
    let row = format!(r#"{{"T":{{"{}":{{"initial":{{"name":"a","n":3}}}}}}}}"#, Uuid(A));
    answer(&mut idl, "monitor", &row);
    assert_eq!(idl.state(), &State::Synced);
    idl
}

#[test]
fn updates_are_applied_as_differences() {
    let mut idl = synced();
    let before = idl.seqno();
    let update = format!(r#"{{"T":{{"{a}":{{"modify":{{"n":4,"refs":["uuid","{a}"]}}}}}}}}"#, a = Uuid(A));
    let params = vec![Json::string("monitor"), json(&update)];
    idl.handle(Incoming::Notification { method: "update2".into(), params }).unwrap();
    assert_ne!(idl.seqno(), before);
    let txn = Txn::new(idl.replica());
    assert_eq!(txn.get("T", Uuid(A), "n").unwrap().single(), Some(&Atom::Integer(4)));
    assert_eq!(txn.get("T", Uuid(A), "refs").unwrap().len(), 1);
    assert_eq!(txn.get("T", Uuid(A), "name").unwrap().single().unwrap().as_str(), Some("a"));
}

#[test]
fn a_transaction_sends_what_changed_and_learns_identities() {
    let mut idl = synced();
    let new = Uuid::from_random(99);
    let mut txn = Txn::new(idl.replica());
    txn.insert("T", new);
    txn.set("T", new, "name", Datum::scalar(Atom::string("b")));
    txn.verify("T", Uuid(A), "n");
    txn.set("T", Uuid(A), "refs", Datum::set([Atom::Uuid(new)]));
    txn.increment("T", Uuid(A), "n");
    txn.comment("test");
    assert_eq!(txn.rows("T").len(), 2);
    let id = idl.commit(txn);
    let Some(Outgoing::Request { params, .. }) = idl.poll_outgoing() else { panic!("nothing sent") };
    let ops: Vec<_> = params[1..].iter().map(|p| p.get("op").unwrap().as_str().unwrap()).collect();
    assert_eq!(ops.len(), 6);
    assert_eq!(ops[0], "wait");
    let insert = ops.iter().position(|o| *o == "insert").unwrap();
    let update = params[1..].iter().find(|p| p.get("op").unwrap().as_str() == Some("update")).unwrap();
    let refs = update.get("row").unwrap().get("refs").unwrap().to_string();
    assert!(refs.contains("named-uuid"), "{refs}");
    let mut results = vec![json("{}"); 6];
    results[insert] = json(&format!(r#"{{"uuid":["uuid","{}"]}}"#, Uuid(7)));
    let select = ops.iter().position(|o| *o == "select").unwrap();
    results[select] = json(r#"{"rows":[{"n":4}]}"#);
    idl.handle(Incoming::Answer { id: Json::Integer(id), result: Ok(Json::Array(results)) }).unwrap();
    let expected = Outcome::Committed { inserted: [(new, Uuid(7))].into(), incremented: Some(4) };
    assert_eq!(idl.take_outcome(id), Some(expected));
    assert_eq!(idl.take_outcome(id), None);
}

#[test]
fn nothing_to_do_and_a_lost_connection() {
    let mut idl = synced();
    let mut txn = Txn::new(idl.replica());
    txn.set("T", Uuid(A), "n", Datum::scalar(Atom::Integer(3)));
    let id = idl.commit(txn);
    assert_eq!(idl.take_outcome(id), Some(Outcome::Unchanged));
    let mut txn = Txn::new(idl.replica());
    txn.delete("T", Uuid(A));
    assert_eq!(txn.rows("T").len(), 0);
    let id = idl.commit(txn);
    idl.disconnected();
    assert_eq!(idl.take_outcome(id), Some(Outcome::TryAgain));
}
