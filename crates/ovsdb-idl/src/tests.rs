//! Conversations with a server, as messages.

use std::collections::BTreeSet;

use ovsdb::json::{Json, parse};
use ovsdb::{Atom, Datum, Error, Uuid};

use crate::{Fitness, Idl, Incoming, Outcome, Outgoing, State, Txn, Wanted};

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

/// Answers the request for a monitor: it is not known what the client missed, so these are all rows.
fn answer_whole(idl: &mut Idl, rows: &str) {
    answer(idl, "monitor", &format!(r#"[false,"{}",{rows}]"#, Uuid(1)));
}

fn methods(idl: &mut Idl) -> Vec<&'static str> {
    std::iter::from_fn(|| idl.poll_outgoing()).map(|Outgoing::Request { method, .. }| method).collect()
}

fn row_a() -> String {
    format!(r#"{{"T":{{"{}":{{"initial":{{"name":"a","n":3}}}}}}}}"#, Uuid(A))
}

fn synced() -> Idl {
    let mut idl = Idl::new("d", Wanted::Everything);
    idl.connected();
    assert_eq!(methods(&mut idl), ["get_schema"]);
    answer(&mut idl, "schema", SCHEMA);
    assert_eq!(methods(&mut idl), ["monitor_cond_since"]);
    answer_whole(&mut idl, &row_a());
    assert_eq!(idl.state(), &State::Synced);
    idl
}

#[test]
fn updates_are_applied_as_differences() {
    let mut idl = synced();
    let before = idl.seqno();
    let update = format!(r#"{{"T":{{"{a}":{{"modify":{{"n":4,"refs":["uuid","{a}"]}}}}}}}}"#, a = Uuid(A));
    notify(&mut idl, &update);
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

fn requests(idl: &mut Idl) -> Vec<(&'static str, String)> {
    let text = |params: Vec<Json>| Json::Array(params).to_string();
    std::iter::from_fn(|| idl.poll_outgoing())
        .map(|Outgoing::Request { method, params, .. }| (method, text(params)))
        .collect()
}

/// Tells of a commit.
fn tell(idl: &mut Idl, commit: u128, updates: &str) -> Result<(), Error> {
    let params = vec![Json::string("monitor"), Json::string(Uuid(commit).to_string()), json(updates)];
    idl.handle(Incoming::Notification { method: "update3".into(), params })
}

fn notify(idl: &mut Idl, updates: &str) {
    tell(idl, 2, updates).unwrap();
}

#[test]
fn a_condition_changes_the_monitor_and_survives_reconnection() {
    let mut idl = synced();
    assert!(idl.conditions_hold());
    let clause = r#"["name","==","b"]"#;
    idl.set_condition("T", vec![json(clause)]);
    let change = format!(r#"["monitor","monitor",{{"T":[{{"where":[{clause}]}}]}}]"#);
    assert_eq!(requests(&mut idl), [("monitor_cond_change", change)]);
    assert!(!idl.conditions_hold());
    // The same again is no change.
    idl.set_condition("T", vec![json(clause)]);
    assert_eq!(requests(&mut idl), []);
    // Rows that no longer fit are taken out by the server.
    notify(&mut idl, &format!(r#"{{"T":{{"{}":{{"delete":null}}}}}}"#, Uuid(A)));
    answer(&mut idl, "condition", "{}");
    assert!(idl.conditions_hold());
    assert_eq!(idl.replica().table("T").unwrap().rows().count(), 0);

    idl.disconnected();
    idl.connected();
    assert_eq!(requests(&mut idl).len(), 1);
    answer(&mut idl, "schema", SCHEMA);
    let [(method, params)] = requests(&mut idl).try_into().unwrap();
    assert_eq!(method, "monitor_cond_since");
    assert!(params.contains(&format!(r#""where":[{clause}]"#)), "{params}");
    // Without clauses, all rows come back.
    answer_whole(&mut idl, "{}");
    idl.set_condition("T", Vec::new());
    let all = r#"["monitor","monitor",{"T":[{"where":[true]}]}]"#.to_owned();
    assert_eq!(requests(&mut idl), [("monitor_cond_change", all)]);
}

/// Connects again, up to the request for the monitor: its method, and the rest of its parameters as text.
fn reconnect(idl: &mut Idl) -> (&'static str, String) {
    idl.disconnected();
    idl.connected();
    assert_eq!(methods(idl), ["get_schema"]);
    answer(idl, "schema", SCHEMA);
    let [request] = requests(idl).try_into().unwrap();
    request
}

fn names(idl: &Idl) -> Vec<String> {
    let table = idl.replica().table("T").unwrap();
    let name = table.schema.column_index("name").unwrap();
    table.rows().map(|row| row.string(name).unwrap().to_owned()).collect()
}

#[test]
fn a_replica_goes_on_from_the_last_commit_it_saw() {
    let mut idl = synced();
    let update = format!(r#"{{"T":{{"{}":{{"insert":{{"name":"b"}}}}}}}}"#, Uuid(7));
    tell(&mut idl, 5, &update).unwrap();
    let (method, params) = reconnect(&mut idl);
    assert_eq!(method, "monitor_cond_since");
    assert!(params.ends_with(&format!(r#","{}"]"#, Uuid(5))), "{params}");
    // What was missed is added to what is there.
    let missed = format!(r#"{{"T":{{"{}":{{"modify":{{"name":"c"}}}}}}}}"#, Uuid(7));
    answer(&mut idl, "monitor", &format!(r#"[true,"{}",{missed}]"#, Uuid(6)));
    assert_eq!((names(&idl), idl.state()), (vec!["c".to_owned(), "a".to_owned()], &State::Synced));
    // A server that does not know the commit tells everything.
    let (_, params) = reconnect(&mut idl);
    assert!(params.ends_with(&format!(r#","{}"]"#, Uuid(6))), "{params}");
    answer_whole(&mut idl, &row_a());
    assert_eq!(names(&idl), ["a"]);
    // With another schema there is nothing to go on from.
    idl.disconnected();
    idl.connected();
    methods(&mut idl);
    answer(&mut idl, "schema", &SCHEMA.replace(r#""n":"#, r#""m":"#));
    let [(_, params)] = requests(&mut idl).try_into().unwrap();
    assert!(params.ends_with(&format!(r#","{}"]"#, Uuid::ZERO)), "{params}");
}

#[test]
fn conditions_change_one_after_another_and_begin_anew_if_one_was_not_answered() {
    let mut idl = synced();
    let clause = |name: &str| vec![json(&format!(r#"["name","==","{name}"]"#))];
    idl.set_condition("T", clause("b"));
    assert_eq!(methods(&mut idl), ["monitor_cond_change"]);
    idl.set_condition("T", clause("c"));
    idl.set_condition("T", clause("d"));
    assert_eq!(methods(&mut idl), [""; 0]);
    answer(&mut idl, "condition", "{}");
    let [(method, params)] = requests(&mut idl).try_into().unwrap();
    assert!(method == "monitor_cond_change" && params.contains(r#""d""#), "{params}");
    assert!(!idl.conditions_hold());
    answer(&mut idl, "condition", "{}");
    assert!(idl.conditions_hold());

    // Wanted while there is no connection: what was missed comes under the condition that the server knew.
    idl.disconnected();
    idl.set_condition("T", clause("e"));
    let (_, params) = reconnect(&mut idl);
    assert!(params.contains(r#""d""#) && params.ends_with(&format!(r#","{}"]"#, Uuid(1))), "{params}");
    answer(&mut idl, "monitor", &format!(r#"[true,"{}",{{}}]"#, Uuid(1)));
    let [(method, params)] = requests(&mut idl).try_into().unwrap();
    assert!(method == "monitor_cond_change" && params.contains(r#""e""#), "{params}");
    assert!(!idl.conditions_hold());

    // That one is never answered: the server may have shown either.
    let (_, params) = reconnect(&mut idl);
    assert!(params.contains(r#""e""#) && params.ends_with(&format!(r#","{}"]"#, Uuid::ZERO)), "{params}");
    answer_whole(&mut idl, "{}");
    assert!(idl.conditions_hold());
    assert_eq!(methods(&mut idl), [""; 0]);
    // Nothing is asked of tables that are not there.
    idl.set_condition("U", clause("x"));
    assert_eq!(methods(&mut idl), [""; 0]);
    assert!(idl.conditions_hold());
}

#[test]
fn an_older_server_is_asked_for_everything() {
    let mut idl = synced();
    let (method, _) = reconnect(&mut idl);
    assert_eq!(method, "monitor_cond_since");
    let unknown = Err(Json::string("unknown method"));
    idl.handle(Incoming::Answer { id: Json::string("monitor"), result: unknown }).unwrap();
    assert_eq!(methods(&mut idl), ["monitor_cond"]);
    answer(&mut idl, "monitor", &row_a().replace(r#""a""#, r#""z""#));
    assert_eq!((names(&idl), idl.state()), (vec!["z".to_owned()], &State::Synced));
    let update = format!(r#"{{"T":{{"{}":{{"delete":null}}}}}}"#, Uuid(A));
    let params = vec![Json::string("monitor"), json(&update)];
    idl.handle(Incoming::Notification { method: "update2".into(), params }).unwrap();
    assert!(names(&idl).is_empty());
}

#[test]
fn an_update_with_a_mistake_changes_nothing_and_ends_the_replica() {
    let mut idl = synced();
    let change = r#"{"modify":{"name":"q"}}"#;
    let update = format!(r#"{{"T":{{"{}":{change},"{}":{change}}}}}"#, Uuid(A), Uuid(u128::MAX));
    assert!(tell(&mut idl, 5, &update).is_err());
    assert_eq!(names(&idl), ["a"]);
    let (_, params) = reconnect(&mut idl);
    assert!(params.ends_with(&format!(r#","{}"]"#, Uuid::ZERO)), "{params}");
}

#[test]
fn rows_that_are_not_there_are_left_alone() {
    let mut idl = synced();
    let mut txn = Txn::new(idl.replica());
    txn.verify("T", Uuid(7), "n");
    txn.set("T", Uuid(7), "n", Datum::scalar(Atom::Integer(1)));
    txn.delete("T", Uuid(7));
    let id = idl.commit(txn);
    assert_eq!(idl.take_outcome(id), Some(Outcome::Unchanged));
    assert_eq!(methods(&mut idl), [""; 0]);
}

#[test]
fn only_what_was_read_from_the_replica_is_verified() {
    let mut idl = synced();
    let mut txn = Txn::new(idl.replica());
    txn.set("T", Uuid(A), "n", Datum::scalar(Atom::Integer(1)));
    txn.verify("T", Uuid(A), "n");
    txn.verify("T", Uuid(A), "name");
    idl.commit(txn);
    let [(_, params)] = requests(&mut idl).try_into().unwrap();
    assert!(params.contains(r#""columns":["name"]"#), "{params}");
}

#[test]
fn strings_that_look_like_references_are_strings() {
    let schema = r#"{"name":"d","tables":{"T":{"isRoot":true,"columns":{
        "pairs":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}}}"#;
    let mut idl = Idl::new("d", Wanted::Everything);
    idl.connected();
    answer(&mut idl, "schema", schema);
    answer_whole(&mut idl, "{}");
    methods(&mut idl);
    let new = Uuid::from_random(99);
    let value = Uuid(A).to_string().to_uppercase();
    let mut txn = Txn::new(idl.replica());
    txn.insert("T", new);
    txn.set("T", new, "pairs", Datum::string_map([("uuid", &value)]));
    idl.commit(txn);
    let [(_, params)] = requests(&mut idl).try_into().unwrap();
    assert!(params.contains(&format!(r#"["uuid","{value}"]"#)), "{params}");
}

#[test]
fn an_index_finds_what_looking_at_every_row_finds() {
    use ovsdb::Atom::Integer;
    let mut indexed = Idl::new("d", Wanted::Everything).with_index("T", &["name", "n"]);
    indexed.connected();
    answer(&mut indexed, "schema", SCHEMA);
    answer_whole(&mut indexed, "{}");
    let mut plain = synced();
    notify(&mut plain, &format!(r#"{{"T":{{"{}":{{"delete":null}}}}}}"#, Uuid(A)));
    // Rows come, move from one key to another, and go.
    let names = ["a", "b", "c"];
    let mut state = 1_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let mut present = BTreeSet::new();
    for _ in 0..2000 {
        let uuid = Uuid::from_random(u128::from(draw(20)));
        let values = format!(r#"{{"name":"{}","n":{}}}"#, names[draw(3) as usize], draw(4));
        let change = match (present.contains(&uuid), draw(4)) {
            (false, _) => format!(r#"{{"insert":{values}}}"#),
            (true, 0) => r#"{"delete":null}"#.to_owned(),
            (true, _) => format!(r#"{{"modify":{values}}}"#),
        };
        if change.contains("delete") {
            present.remove(&uuid)
        } else {
            present.insert(uuid)
        };
        for idl in [&mut indexed, &mut plain] {
            notify(idl, &format!(r#"{{"T":{{"{uuid}":{change}}}}}"#));
        }
        let values = [
            Datum::scalar(Atom::string(names[draw(3) as usize])),
            Datum::scalar(Integer(draw(4).try_into().unwrap())),
        ];
        let find = |idl: &Idl| Txn::new(idl.replica()).find("T", &["name", "n"], &values);
        assert_eq!(find(&indexed), find(&plain));
    }
    assert!(!present.is_empty());
}

#[test]
fn a_transaction_finds_its_own_rows_and_not_those_it_changed() {
    let idl = synced();
    let mut txn = Txn::new(idl.replica());
    let find = |txn: &Txn, name: &str| txn.find("T", &["name"], &[Datum::scalar(Atom::string(name))]);
    assert_eq!(find(&txn, "a"), [Uuid(A)]);
    let new = Uuid::from_random(99);
    txn.insert("T", new);
    txn.set("T", new, "name", Datum::scalar(Atom::string("b")));
    assert_eq!(find(&txn, "b"), [new]);
    txn.set("T", Uuid(A), "name", Datum::scalar(Atom::string("b")));
    assert_eq!((find(&txn, "a").len(), find(&txn, "b").len()), (0, 2));
    txn.delete("T", Uuid(A));
    assert_eq!(find(&txn, "b"), [new]);
    assert!(txn.find("T", &["nosuch"], &[Datum::default()]).is_empty());
}

const ROW: &str = "e0000000-0000-4000-8000-000000000001";

/// A client that has asked the server what it is, and got `row` for an answer.
fn asked(fitness: Fitness, row: &str) -> Idl {
    let mut idl = Idl::new("d", Wanted::Everything).with_fitness(fitness);
    idl.connected();
    assert_eq!(methods(&mut idl), ["monitor_cond"]);
    answer(&mut idl, "server", &format!(r#"{{"Database":{{"{ROW}":{{"initial":{row}}}}}}}"#));
    idl
}

#[test]
fn a_member_of_a_cluster_is_judged_before_it_is_believed() {
    let member = |connected: bool, leader: bool| {
        format!(r#"{{"name":"d","model":"clustered","connected":{connected},"leader":{leader}}}"#)
    };
    let unfit = |idl: &Idl| matches!(idl.state(), State::Unfit(_));
    assert!(unfit(&asked(Fitness::Leader, &member(true, false))));
    assert!(unfit(&asked(Fitness::Member, &member(false, false))));
    assert!(!unfit(&asked(Fitness::Member, &member(true, false))));
    // Whoever is alone with the database leads.
    let mut alone = asked(Fitness::Leader, r#"{"name":"d","model":"standalone","connected":true}"#);
    assert_eq!(methods(&mut alone), ["get_schema"]);
    // A leader may lose its place later.
    let mut leader = asked(Fitness::Leader, &member(true, true));
    assert_eq!(methods(&mut leader), ["get_schema"]);
    let lost = json(&format!(r#"{{"Database":{{"{ROW}":{{"modify":{{"leader":false}}}}}}}}"#));
    let params = vec![Json::string("server"), lost];
    leader.handle(Incoming::Notification { method: "update2".into(), params }).unwrap();
    assert!(unfit(&leader));
    // Another database's cluster is not ours; an old server says nothing of itself.
    let other = member(true, false).replace(r#""d""#, r#""e""#);
    assert_eq!(methods(&mut asked(Fitness::Leader, &other)), ["get_schema"]);
    let mut old = Idl::new("d", Wanted::Everything).with_fitness(Fitness::Leader);
    old.connected();
    methods(&mut old);
    let error = Err(Json::string("unknown database"));
    old.handle(Incoming::Answer { id: Json::string("server"), result: error }).unwrap();
    assert_eq!(methods(&mut old), ["get_schema"]);
}
