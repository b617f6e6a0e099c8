//! The replica of `ovsdb-idl` beside that of python's `ovs.db.idl`, of one server: random schemas, transactions of a third client,
//! conditions that change, connections that break. At rest, both hold the same rows, and their indexes find the same ones.
//!
//! Where it sits: `idl.py` drives python's side. A row of the table Marker says how far a replica is: whoever sees its number has
//! seen all that was committed before.

mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ovsdb::json::{Json, parse};
use ovsdb::schema::{FIRST_COLUMN, TableSchema};
use ovsdb::{Atom, BaseType, ColumnSchema, ColumnType, Datum, Uuid};
use ovsdb_idl::{Idl, Outcome, Replica, Row, Txn, Wanted};
use stream::replicated::Replicated;
use testkit::Scratch;

use crate::generator::{self, Column, Schema};
use crate::python::python;
use crate::replicas::Follower;
use crate::support::{Client, Dice, Server, create, is_long, start};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/idl.py");

/// Python's side: one process for many cases.
struct Python {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start(python: &Path) -> Python {
        let mut command = Command::new(python);
        command.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Python { child, orders, answers: BufReader::new(answers) }
    }

    fn call(&mut self, method: &str, arguments: &str) -> Json {
        let comma = if arguments.is_empty() { "" } else { "," };
        writeln!(self.orders, "[\"{method}\"{comma}{arguments}]").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer = parse(line.trim_end().as_bytes());
        let broken = |_| panic!("python broke off in {method} {arguments}");
        only(answer.unwrap_or_else(broken))
    }

    /// Opens a replica of the whole database, which asks for `lock`.
    fn open(&mut self, server: &Server, schema: &str, indexes: &Indexes, lock: Option<&str>) {
        let indexes = Json::object(
            indexes
                .iter()
                .map(|(table, columns)| (table.clone(), Json::array(columns.iter().map(String::as_str)))),
        );
        let lock = lock.map_or(Json::Null, Json::string);
        self.call("open", &format!("\"unix:{}\",{schema},{indexes},{lock}", server.socket().display()));
    }

    /// Waits for the marker, and for the lock to be had or not.
    fn until(&mut self, marker: i64, locked: Option<bool>, context: &str) {
        let locked = locked.map_or(Json::Null, Json::Bool);
        let vain = self.call("until", &format!("{marker},{locked}"));
        assert_eq!(vain, Json::Null, "python\n{context}");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Columns by which rows are looked up, by table.
type Indexes = BTreeMap<String, Vec<String>>;

/// The schema in which replicas can be told how far they are.
fn with_marker(schema: &Schema) -> String {
    let marker = r#""tables":{"Marker":{"columns":{"n":{"type":"integer"}},"isRoot":true},"#;
    // Python refuses a difference of more elements than the column may have, which is none of a replica's business.
    schema.json.replacen("\"tables\":{", marker, 1).replace("\"max\":3", "\"max\":\"unlimited\"")
}

/// Two scalar columns, or one twice, of each table that has some.
fn indexes(dice: &mut Dice, schema: &Schema) -> Indexes {
    let mut indexes = Indexes::new();
    for table in &schema.tables {
        let scalars: Vec<&Column> =
            table.columns.iter().filter(|c| c.is_scalar() && !c.has_identifiers()).collect();
        if !scalars.is_empty() {
            let drawn = [dice.of(&scalars), dice.of(&scalars)];
            let columns: BTreeSet<String> = drawn.iter().map(|column| column.name.clone()).collect();
            indexes.insert(table.name.clone(), columns.into_iter().collect());
        }
    }
    indexes
}

/// A server, a client that changes its database, and two replicas.
struct Case<'p> {
    dice: Dice,
    schema: Schema,
    indexes: Indexes,
    server: Server,
    writer: Client,
    ours: Follower,
    python: &'p mut Python,
    /// The number of the marker's row.
    marker: i64,
    seen: Seen,
    /// What happened so far.
    past: Vec<String>,
}

impl<'p> Case<'p> {
    fn start(seed: u64, python: &'p mut Python) -> Case<'p> {
        let mut dice = Dice::new(seed);
        let schema = generator::schema(&mut dice);
        let text = with_marker(&schema);
        let folder = Scratch::new();
        create(&folder.join("db"), &text);
        let server = start(None, folder, &["db"]);
        let mut writer = server.connect();
        writer.transact("D", r#"{"op":"insert","table":"Marker","row":{}}"#).unwrap();
        let indexes = indexes(&mut dice, &schema);
        let idl = indexes.iter().fold(Idl::new("D", Wanted::Everything), |idl, (table, columns)| {
            idl.with_index(table, &columns.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let ours = Follower::of(vec![format!("unix:{}", server.socket().display())], idl);
        python.open(&server, &text, &indexes, None);
        let past = vec![format!("seed {seed}\n{text}")];
        Case { dice, schema, indexes, server, writer, ours, python, marker: 0, seen: Seen::new(), past }
    }

    fn context(&self) -> String {
        self.past.join("\n")
    }

    /// Some transactions of the third client.
    fn change(&mut self) {
        for _ in 0..self.dice.pick(5) {
            let count = 1 + self.dice.pick(4);
            let operations: Vec<String> =
                (0..count).map(|_| generator::operation(&mut self.dice, &self.schema)).collect();
            let operations = operations.join(",");
            self.writer.transact("D", &operations).unwrap();
            self.past.push(operations);
        }
    }

    /// Other conditions on both sides.
    fn condition(&mut self) {
        (self.dice.names, self.dice.slips) = (false, 0);
        let mut conditions = Vec::new();
        for table in &self.schema.tables {
            if self.dice.one_in(3) {
                continue;
            }
            let count = 1 + self.dice.pick(2);
            let clauses: Vec<String> = (0..count).map(|_| generator::clause(&mut self.dice, table)).collect();
            let clauses = parse(format!("[{}]", clauses.join(",")).as_bytes()).unwrap();
            conditions.push((table.name.clone(), clauses));
        }
        let told = Json::object(conditions.clone());
        self.python.call("condition", &told.to_string());
        for (table, clauses) in conditions {
            self.ours.db.set_condition(&table, clauses.as_array().unwrap().to_vec());
        }
        self.past.push(format!("conditions {told}"));
    }

    /// Ends connections: the server's death, or all of them, or python's only.
    fn disconnect(&mut self) {
        let kind = self.dice.pick(3);
        let what = ["killed", "disconnected", "python disconnected"][kind as usize];
        self.seen.insert(what);
        self.past.push(what.to_owned());
        match kind {
            0 => {
                self.server.child.kill().unwrap();
                self.server.child.wait().unwrap();
                let folder = std::mem::replace(&mut self.server.folder, Scratch::new());
                std::fs::remove_file(folder.join("s")).unwrap();
                self.server = start(None, folder, &["db"]);
                self.writer = self.server.connect();
            }
            1 => {
                self.server.appctl("ovsdb-server/reconnect", &[]).unwrap();
                self.writer = self.server.connect();
            }
            _ => drop(self.python.call("reconnect", "")),
        }
    }

    /// Waits until both replicas have seen everything; they are equal then.
    fn settle(&mut self) {
        self.marker += 1;
        let n = self.marker;
        let update = format!(r#"{{"op":"update","table":"Marker","where":[],"row":{{"n":{n}}}}}"#);
        self.writer.transact("D", &update).unwrap();
        self.ours.until("the marker", |db| has_marker(db, n) && db.idl().conditions_hold());
        let context = self.context();
        self.python.until(n, None, &context);
        let theirs = self.python.call("rows", "");
        for table in self.ours.db.idl().replica().tables() {
            let schema = &table.schema;
            let rows =
                table.rows().map(|row| (row.uuid(), resolved(self.ours.db.idl().replica(), schema, row)));
            let ours: Stored = rows.collect();
            let theirs = read_rows(schema, theirs.get(&schema.name).unwrap());
            let same = ours.keys().eq(theirs.keys()) && ours.values().zip(theirs.values()).all(are_equal);
            assert!(same, "{}\nrows of {}\nours {ours:?}\ntheirs {theirs:?}", self.context(), schema.name);
            let stored = stored(&mut self.writer, schema);
            let raw = |row: &Arc<Row>| {
                (FIRST_COLUMN..schema.columns.len()).map(|i| row.column(i).clone()).collect()
            };
            let true_to_it = table.rows().all(|row| stored.get(&row.uuid()) == Some(&raw(row)));
            assert!(
                true_to_it,
                "{}\nrows of {}\nours {ours:?}\nthe server's {stored:?}",
                self.context(),
                schema.name
            );
        }
        self.look_up();
    }

    /// Both find the same rows by values that occur, or may.
    fn look_up(&mut self) {
        for (name, columns) in &self.indexes {
            let made = self.schema.tables.iter().find(|t| t.name == *name).unwrap();
            let replica = self.ours.db.idl().replica().table(name).unwrap();
            self.dice.slips = 0;
            let column = |name: &String| made.columns.iter().find(|c| c.name == *name).unwrap();
            let drawn: Vec<String> = columns.iter().map(|c| column(c).draw(&mut self.dice)).collect();
            let values: Vec<(&String, Json)> =
                columns.iter().zip(&drawn).map(|(c, text)| (c, scalar(parse_value(text)))).collect();
            let told = Json::object(values.iter().map(|(c, value)| ((*c).clone(), value.clone())));
            let theirs = self.python.call("find", &format!("\"{name}\",{told}"));
            let data: Vec<Datum> = values
                .iter()
                .map(|(c, value)| {
                    let kind = &replica.schema.columns[replica.schema.column_index(c).unwrap()].kind;
                    Datum::from_json_any_size(value, kind, None).unwrap()
                })
                .collect();
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            let ours = Json::array(replica.find(&columns, &data).iter().map(|row| row.uuid().to_string()));
            assert_eq!(ours, theirs, "{}\n{name} by {told}", self.context());
            if theirs.as_array().is_some_and(|found| !found.is_empty()) {
                self.seen.insert("found by index");
            }
        }
    }

    fn play(mut self, turns: u64) -> Seen {
        self.settle();
        for _ in 0..turns {
            self.change();
            if self.dice.one_in(3) {
                self.condition();
            }
            if self.dice.one_in(8) {
                self.disconnect();
                self.change();
            }
            if self.dice.one_in(8) {
                self.condition();
            }
            self.change();
            self.settle();
            self.race();
        }
        self.python.call("close", "");
        self.seen
    }
}

/// The only element.
fn only(array: Json) -> Json {
    let [element] = array.as_array().unwrap() else { panic!("{array}") };
    element.clone()
}

/// A value, which need not be an object or an array.
fn parse_value(text: &str) -> Json {
    only(parse(format!("[{text}]").as_bytes()).unwrap())
}

/// The scalar that a value stands for: a set of one is one.
fn scalar(value: Json) -> Json {
    match value.as_array() {
        Some([_, members]) => only(members.clone()),
        _ => value,
    }
}

fn has_marker(db: &Replicated, n: i64) -> bool {
    let marker = db.idl().replica().table("Marker").and_then(|table| table.rows().next());
    marker.is_some_and(|row| row.column(FIRST_COLUMN).single() == Some(&Atom::Integer(n)))
}

/// A row's columns without references to rows that the replica has not: python does not show those, or shows the default where there
/// must be one.
fn resolved(replica: &Replica, schema: &TableSchema, row: &Row) -> Vec<Datum> {
    let resolves =
        |base: Option<&BaseType>, atom: Option<&Atom>| match (base.and_then(BaseType::reference), atom) {
            (Some((table, _)), Some(atom)) => {
                atom.as_uuid().is_some_and(|uuid| replica.table(table).unwrap().row(uuid).is_some())
            }
            _ => true,
        };
    let column = |(index, kind): (usize, &ColumnType)| {
        let mut value = row.column(index).clone();
        value.retain(|key, of| resolves(Some(&kind.key), Some(key)) && resolves(kind.value.as_ref(), of));
        if value.is_empty() && kind.is_scalar() { Datum::default_for(kind) } else { value }
    };
    let kinds = schema.columns.iter().map(|column| &column.kind).enumerate();
    kinds.skip(FIRST_COLUMN).map(column).collect()
}

/// Columns of a table's rows.
type Stored = BTreeMap<Uuid, Vec<Datum>>;

/// Rows as the server has them.
fn stored(writer: &mut Client, schema: &TableSchema) -> Stored {
    let select = format!(r#"{{"op":"select","table":"{}","where":[]}}"#, schema.name);
    let reply = writer.transact("D", &select).unwrap();
    let rows = reply.as_array().unwrap()[0].get("rows").unwrap().as_array().unwrap().iter().map(|row| {
        let value = |column: &ColumnSchema| {
            Datum::from_json(row.get(&column.name).unwrap(), &column.kind, None).unwrap()
        };
        let uuid = row.get("_uuid").unwrap().as_array().unwrap()[1].as_str().and_then(Uuid::parse).unwrap();
        (uuid, schema.columns[FIRST_COLUMN..].iter().map(value).collect())
    });
    rows.collect()
}

fn are_equal((ours, theirs): (&Vec<Datum>, &Vec<Option<Datum>>)) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(o, t)| t.as_ref().is_none_or(|t| o == t))
}

/// Python cannot tell what a map holds that must not be empty and was never set.
fn is_untold(kind: &ColumnType) -> bool {
    kind.is_map() && kind.min > 0
}

/// Rows as python tells them.
fn read_rows(schema: &TableSchema, rows: &Json) -> BTreeMap<Uuid, Vec<Option<Datum>>> {
    let rows = rows.as_object().unwrap().iter().map(|(uuid, row)| {
        let value = |column: &ColumnSchema| {
            let value = row.get(&column.name).unwrap();
            if value.is_null() && is_untold(&column.kind) {
                return None;
            }
            let read = Datum::from_json_any_size(value, &column.kind, None);
            Some(read.unwrap_or_else(|e| panic!("{} of {}: {value}: {e}", column.name, schema.name)))
        };
        (Uuid::parse(uuid).unwrap(), schema.columns[FIRST_COLUMN..].iter().map(value).collect())
    });
    rows.collect()
}

/// Which of two transactions on the same value is sent first.
#[derive(Clone, Copy)]
enum First {
    Ours,
    Python,
    /// Chance decides.
    Either,
}

impl Case<'_> {
    /// Both replace a value that both rely on: one succeeds, and the other is told to try again.
    fn race(&mut self) {
        self.dice.slips = 0;
        let table = self.dice.of(&self.schema.tables);
        // Python's indexes do not survive a transaction on their columns.
        let is_indexed = |c: &Column| self.indexes.get(&table.name).is_some_and(|i| i.contains(&c.name));
        let replica = self.ours.db.idl().replica().table(&table.name).unwrap();
        let kind = |c: &Column| &replica.schema.column(&c.name).unwrap().kind;
        let may_race =
            |c: &&Column| c.is_mutable() && !c.has_identifiers() && !is_indexed(c) && !is_untold(kind(c));
        let candidates: Vec<&Column> = table.columns.iter().filter(may_race).collect();
        let rows: Vec<_> = replica.rows().collect();
        if candidates.is_empty() || rows.is_empty() {
            return;
        }
        let (column, row) = (*self.dice.of(&candidates), *self.dice.of(&rows));
        let index = replica.schema.column_index(&column.name).unwrap();
        let kind = kind(column);
        let mut new = || {
            let text = column.draw(&mut self.dice);
            let value = Datum::from_json(&parse_value(&text), kind, None).ok()?;
            (value != *row.column(index)).then_some((text, value))
        };
        let (Some((_, ours)), Some((theirs, _))) = (new(), new()) else { return };
        let (uuid, name, table) = (row.uuid(), column.name.as_str(), table.name.as_str());
        let steps = format!(
            r#"[["verify","{table}","{uuid}","{name}"],["set","{table}","{uuid}","{name}",{theirs}]]"#
        );
        self.python.call("compose", &steps);
        let mut txn = Txn::new(self.ours.db.idl().replica());
        txn.verify(table, uuid, name);
        txn.set(table, uuid, name, ours);
        let order = *self.dice.of(&[First::Ours, First::Python, First::Either]);
        self.past.push(format!("race for {name} of {uuid} in {table}"));
        let (ours, theirs) = self.run_race(txn, order);
        let (won, lost) = (matches!(ours, Outcome::Committed { .. }), ours == Outcome::TryAgain);
        self.seen.extend(won.then_some("ours won"));
        self.seen.extend(lost.then_some("python won"));
        let context = format!("{}\nours {ours:?}, python's {theirs}", self.context());
        // Either may be stopped by a constraint, and is no hindrance then.
        match (order, theirs.as_str()) {
            (First::Ours | First::Either, "try again") => assert!(won, "{context}"),
            (First::Ours, _) => assert!(!won && !lost, "{context}"),
            (First::Python, "success") => assert!(lost, "{context}"),
            (First::Either, "success") => assert!(!won, "{context}"),
            (First::Python | First::Either, "error") => assert!(!lost, "{context}"),
            _ => panic!("{context}"),
        }
    }

    fn run_race(&mut self, txn: Txn, order: First) -> (Outcome, String) {
        let mut theirs =
            || self.python.call("commit", "").as_array().unwrap()[0].as_str().unwrap().to_owned();
        let db = &mut self.ours.db;
        match order {
            First::Ours => (self.ours.runtime.block_on(db.commit(txn)), theirs()),
            First::Python => {
                let theirs = theirs();
                (self.ours.runtime.block_on(db.commit(txn)), theirs)
            }
            First::Either => std::thread::scope(|scope| {
                let theirs = scope.spawn(theirs);
                (self.ours.runtime.block_on(db.commit(txn)), theirs.join().unwrap())
            }),
        }
    }
}

/// What happened in cases, of what must happen in some.
type Seen = BTreeSet<&'static str>;

/// Plays many cases, several at once: most of their time is waiting for reconnection.
fn play_all(cases: u64, expected: &[&'static str], play: impl Fn(u64, &mut Python) -> Seen + Sync) {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => testkit::skip!("no python with ovs and ovsdbapp: {reason}"),
    };
    let (first, cases) = match std::env::var("OVSDB_SEED").ok().and_then(|s| s.parse().ok()) {
        Some(seed) => (seed, 1),
        None if is_long() => (0, 20 * cases),
        None => (0, cases),
    };
    let (next, seen) = (AtomicU64::new(first), Mutex::new(Seen::new()));
    std::thread::scope(|scope| {
        for _ in 0..cases.min(6) {
            scope.spawn(|| {
                let mut python = Python::start(&python);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + cases {
                        break;
                    }
                    let met = play(seed, &mut python);
                    seen.lock().unwrap().extend(met);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    assert!(cases == 1 || seen.is_superset(&expected.iter().copied().collect()), "only {seen:?} happened");
}

#[test]
fn replicas_indexes_and_races_are_those_of_python() {
    let turns = if is_long() { 20 } else { 10 };
    let expected =
        ["killed", "disconnected", "python disconnected", "ours won", "python won", "found by index"];
    play_all(30, &expected, |seed, python| Case::start(seed, python).play(turns));
}
