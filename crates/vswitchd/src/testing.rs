//! A replica of the Open_vSwitch database made of literal rows, for tests.

use ovsdb::Uuid;
use ovsdb::json::{Json, parse};
use ovsdb_idl::{Idl, Incoming, Wanted};

const SCHEMA: &str = include_str!("../../ovsdb-server/schema/vswitch.ovsschema");

/// The identity that `n` stands for in rows.
pub(crate) fn id(n: u128) -> Uuid {
    Uuid(n)
}

/// A replica of `rows`: table, identity, columns in OVSDB's JSON. In the columns, `#7` stands for a reference to row 7.
pub(crate) fn replica(rows: &[(&str, u128, &str)]) -> Idl {
    let mut idl = Idl::new("Open_vSwitch", Wanted::Everything);
    idl.connected();
    let schema = parse(SCHEMA.as_bytes()).expect("the schema is JSON");
    answer(&mut idl, "schema", schema);
    let mut tables = std::collections::BTreeMap::<&str, Vec<(String, Json)>>::new();
    for (table, n, columns) in rows {
        let columns = parse(references(columns).as_bytes()).expect("columns are JSON");
        let row = Json::object([("initial", columns)]);
        tables.entry(table).or_default().push((id(*n).to_string(), row));
    }
    let rows = Json::object(tables.into_iter().map(|(t, rows)| (t, Json::object(rows))));
    let commit = Json::string(id(0).to_string());
    answer(&mut idl, "monitor", Json::Array(vec![Json::Bool(false), commit, rows]));
    idl
}

fn references(columns: &str) -> String {
    let mut out = String::new();
    let mut rest = columns;
    while let Some((before, after)) = rest.split_once('#') {
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let n: u128 = after[..end].parse().expect("# is followed by a number");
        out.push_str(&format!(r#"{before}["uuid","{}"]"#, id(n)));
        rest = &after[end..];
    }
    out + rest
}

fn answer(idl: &mut Idl, id: &str, result: Json) {
    idl.handle(Incoming::Answer { id: Json::string(id), result: Ok(result) }).expect("a sane answer");
    while idl.poll_outgoing().is_some() {}
}
