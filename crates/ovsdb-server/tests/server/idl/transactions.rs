//! The same random transactions through `ovsdb-idl` and through python's `ovs.db.idl`, on two servers with the same rows: both end
//! alike, and leave the same rows, also where another client was faster.
//!
//! Where it sits: beside the replicas' comparison, with the same `idl.py`. Rows that replicas insert get other identifiers on each
//! server; those that a transaction tells are translated.

use std::collections::BTreeMap;

use ovsdb::{Atom, ColumnSchema, Datum, Uuid};
use ovsdb_idl::{Idl, Outcome, Replica, Txn, Wanted};
use testkit::Scratch;

use super::{
    Indexes, Python, Seen, Stored, has_marker, is_untold, parse_value, play_all, stored, with_marker,
};
use crate::generator::{self, Column, Schema, Table};
use crate::replicas::Follower;
use crate::support::{Client, Dice, Server, create, is_long, start};

/// Two servers, each with a replica: ours, python's.
struct Twins<'p> {
    dice: Dice,
    schema: Schema,
    /// They end when this is dropped.
    _servers: [Server; 2],
    writers: [Client; 2],
    ours: Follower,
    python: &'p mut Python,
    /// What rows of ours that replicas inserted are called on python's server.
    translated: BTreeMap<Uuid, Uuid>,
    marker: i64,
    /// The other client has taken the lock.
    stolen: bool,
    /// Ends that transactions met.
    seen: Seen,
    past: Vec<String>,
}

/// One step of a transaction, in words for python.
enum Step {
    Insert(String, Uuid),
    Set(String, Uuid, String, Datum),
    Verify(String, Uuid, String),
    Delete(String, Uuid),
    /// Of the marker.
    Increment(Uuid),
}

/// The lock that both replicas ask for.
const LOCK: &str = "l";

/// Two servers of the same rows, which a client of one of them has made.
fn servers(dice: &mut Dice, schema: &Schema, text: &str, past: &mut Vec<String>) -> [Server; 2] {
    let folder = Scratch::new();
    create(&folder.join("db"), text);
    let mut server = start(None, folder, &["db"]);
    let mut writer = server.connect();
    writer.transact("D", r#"{"op":"insert","table":"Marker","row":{}}"#).unwrap();
    for _ in 0..30 {
        let operations = operations(dice, schema);
        writer.transact("D", &operations).unwrap();
        past.push(operations);
    }
    server.appctl("exit", &[]).unwrap();
    server.child.wait().unwrap();
    [(); 2].map(|()| {
        let copy = Scratch::new();
        std::fs::copy(server.folder.join("db"), copy.join("db")).unwrap();
        start(None, copy, &["db"])
    })
}

/// Operations that name no rows: a name that no row has stands for an identifier that chance makes.
fn operations(dice: &mut Dice, schema: &Schema) -> String {
    let count = 1 + dice.pick(4);
    let operations = (0..count).map(|_| generator::operation(dice, schema));
    let operations: Vec<String> = operations.filter(|text| !text.contains("named-uuid")).collect();
    if operations.is_empty() { r#"{"op":"comment","comment":""}"#.to_owned() } else { operations.join(",") }
}

impl<'p> Twins<'p> {
    fn start(seed: u64, python: &'p mut Python) -> Twins<'p> {
        let mut dice = Dice::new(seed);
        let schema = generator::schema(&mut dice);
        let text = with_marker(&schema);
        let mut past = vec![format!("seed {seed}\n{text}")];
        let servers = servers(&mut dice, &schema, &text, &mut past);
        let remote = format!("unix:{}", servers[0].socket().display());
        let ours = Follower::of(vec![remote], Idl::new("D", Wanted::Everything).with_lock(LOCK));
        python.open(&servers[1], &text, &Indexes::new(), Some(LOCK));
        let writers = [servers[0].connect(), servers[1].connect()];
        let translated = BTreeMap::new();
        Twins {
            dice,
            schema,
            _servers: servers,
            writers,
            ours,
            python,
            translated,
            marker: 0,
            stolen: false,
            seen: Seen::new(),
            past,
        }
    }

    fn context(&self) -> String {
        self.past.join("\n")
    }

    /// Another client's transaction, on both servers.
    fn both(&mut self, operations: &str) {
        for writer in &mut self.writers {
            writer.transact("D", operations).unwrap();
        }
        self.past.push(operations.to_owned());
    }

    /// The other client takes the lock on both servers, or lets go of it.
    fn lock_or_unlock(&mut self) {
        let method = if self.stolen { "unlock" } else { "steal" };
        for writer in &mut self.writers {
            writer.call(method, &format!("[\"{LOCK}\"]"));
        }
        self.stolen = !self.stolen;
        self.past.push(method.to_owned());
    }

    /// Waits until both replicas have seen everything; both servers have the same rows then.
    fn settle(&mut self) {
        // Further than increments can have brought it.
        self.marker += 10;
        let n = self.marker;
        self.both(&format!(r#"{{"op":"update","table":"Marker","where":[],"row":{{"n":{n}}}}}"#));
        let stolen = self.stolen;
        self.ours.until("the marker", |db| has_marker(db, n) && db.idl().has_lock() != stolen);
        let context = self.context();
        self.python.until(n, Some(!stolen), &context);
        let schemas: Vec<_> = self.ours.db.idl().replica().tables().map(|t| t.schema.clone()).collect();
        for schema in schemas.iter().filter(|schema| schema.name != "Marker") {
            let [ours, theirs] = self.writers.each_mut().map(|writer| stored(writer, schema));
            let ours = self.translate_rows(&ours);
            assert_eq!(ours, theirs, "{}\nrows of {}", self.context(), schema.name);
        }
    }

    fn theirs(&self, uuid: Uuid) -> Uuid {
        self.translated.get(&uuid).copied().unwrap_or(uuid)
    }

    fn translate(&self, value: &Datum) -> Datum {
        let atom = |atom: &Atom| atom.as_uuid().map_or_else(|| atom.clone(), |u| Atom::Uuid(self.theirs(u)));
        match value.values() {
            [] => Datum::set(value.keys().iter().map(atom)),
            _ => Datum::map(value.pairs().map(|(key, of)| (atom(key), atom(of)))),
        }
    }

    fn translate_rows(&self, rows: &Stored) -> Stored {
        let row = |(uuid, row): (&Uuid, &Vec<Datum>)| {
            (self.theirs(*uuid), row.iter().map(|value| self.translate(value)).collect())
        };
        rows.iter().map(row).collect()
    }

    /// One transaction on both sides, and perhaps another client's between its composition and its commit.
    fn transact(&mut self) {
        let steps = self.draw();
        let order: Vec<String> = steps.iter().map(|step| self.in_words(step)).collect();
        let order = format!("[{}]", order.join(","));
        self.past.push(format!("transaction {order}"));
        self.python.call("compose", &order);
        let mut txn = Txn::new(self.ours.db.idl().replica());
        steps.iter().for_each(|step| step.apply(&mut txn));
        if self.dice.one_in(3) {
            let operations = operations(&mut self.dice, &self.schema);
            self.both(&operations);
        }
        if self.dice.one_in(8) {
            self.lock_or_unlock();
        }
        let ours = self.ours.runtime.block_on(self.ours.db.commit(txn));
        let reply = self.python.call("commit", "");
        let [status, inserted, incremented, error] = reply.as_array().unwrap() else { panic!("{reply}") };
        let expected = match &ours {
            Outcome::Unchanged => "unchanged",
            Outcome::Committed { .. } => "success",
            Outcome::TryAgain => "try again",
            Outcome::NotLocked => "not locked",
            Outcome::Error(_) => "error",
        };
        let context = format!("{}\nours {ours:?}, python's {status} {error}", self.context());
        assert_eq!(Some(expected), status.as_str(), "{context}");
        self.seen.insert(expected);
        if let Outcome::Committed { inserted: made, incremented: ours } = ours {
            assert_eq!(ours, incremented.as_i64(), "{context}");
            self.seen.extend(ours.map(|_| "incremented"));
            assert_eq!(made.len(), inserted.as_object().unwrap().len(), "{context}");
            for (provisional, own) in made {
                let name =
                    inserted.get(&provisional.to_string()).and_then(|name| Uuid::parse(name.as_str()?));
                self.translated.insert(own, name.unwrap_or_else(|| panic!("{provisional}: {context}")));
            }
        }
    }

    fn in_words(&self, step: &Step) -> String {
        let at = |uuid: &Uuid| self.theirs(*uuid);
        match step {
            Step::Insert(table, new) => format!(r#"["insert","{table}","{new}"]"#),
            Step::Verify(table, row, column) => format!(r#"["verify","{table}","{}","{column}"]"#, at(row)),
            Step::Delete(table, row) => format!(r#"["delete","{table}","{}"]"#, at(row)),
            Step::Increment(row) => format!(r#"["increment","Marker","{row}","n"]"#),
            Step::Set(table, row, column, value) => {
                let schema = &self.ours.db.idl().replica().table(table).unwrap().schema;
                let value = self.translate(value).to_json(&schema.column(column).unwrap().kind);
                format!(r#"["set","{table}","{}","{column}",{value}]"#, at(row))
            }
        }
    }
}

impl Step {
    fn apply(&self, txn: &mut Txn) {
        match self {
            Step::Insert(table, new) => txn.insert(table, *new),
            Step::Verify(table, row, column) => txn.verify(table, *row, column),
            Step::Delete(table, row) => txn.delete(table, *row),
            Step::Increment(row) => txn.increment("Marker", *row, "n"),
            Step::Set(table, row, column, value) => txn.set(table, *row, column, value.clone()),
        }
    }
}

/// A transaction as it is drawn. Python sends values that are as they were along with others that are not, which ours does not, and
/// forgets to verify in rows that do not change; so neither occurs.
struct Draw<'a> {
    dice: &'a mut Dice,
    replica: &'a Replica,
    /// Rows by table that may be changed or referred to.
    rows: BTreeMap<String, Vec<Uuid>>,
    steps: Vec<Step>,
}

impl Twins<'_> {
    fn draw(&mut self) -> Vec<Step> {
        self.dice.slips = 0;
        let replica = self.ours.db.idl().replica().clone();
        let rows = |table: &Table| {
            let rows = replica.table(&table.name).unwrap().rows();
            (table.name.clone(), rows.map(|row| row.uuid()).collect())
        };
        let rows = self.schema.tables.iter().map(rows).collect();
        let mut draw = Draw { dice: &mut self.dice, replica: &replica, rows, steps: Vec::new() };
        if draw.dice.one_in(4) {
            let marker = replica.table("Marker").unwrap().rows().next().unwrap();
            draw.steps.push(Step::Increment(marker.uuid()));
        }
        if draw.dice.one_in(8) {
            draw.change_nothing(&self.schema);
            return draw.steps;
        }
        for _ in 0..1 + draw.dice.pick(5) {
            let table = draw.dice.of(&self.schema.tables);
            draw.change(table);
        }
        draw.steps
    }
}

impl Draw<'_> {
    fn change(&mut self, table: &Table) {
        let count = self.rows[&table.name].len() as u64;
        if count == 0 || self.dice.one_in(3) {
            let random = (0..4).fold(0, |bits, _| bits << 32 | u128::from(self.dice.pick(1 << 31)));
            let new = Uuid::from_random(random);
            self.steps.push(Step::Insert(table.name.clone(), new));
            self.rows.get_mut(&table.name).unwrap().push(new);
            let sets = self.set_some(table, new);
            self.steps.extend(sets);
            return;
        }
        let at = self.dice.pick(count) as usize;
        let row = self.rows[&table.name][at];
        let changes = if self.dice.one_in(5) {
            self.rows.get_mut(&table.name).unwrap().remove(at);
            vec![Step::Delete(table.name.clone(), row)]
        } else {
            self.set_some(table, row)
        };
        let column = self.dice.of(&table.columns);
        if !changes.is_empty() && self.dice.one_in(2) && !is_untold(&self.column(table, column).kind) {
            self.steps.push(Step::Verify(table.name.clone(), row, column.name.clone()));
        }
        self.steps.extend(changes);
    }

    fn column(&self, table: &Table, column: &Column) -> &ColumnSchema {
        self.replica.table(&table.name).unwrap().schema.column(&column.name).unwrap()
    }

    /// The value that a row of the database has.
    fn stored(&self, table: &Table, row: Uuid, column: &Column) -> Option<&Datum> {
        let replica = self.replica.table(&table.name).unwrap();
        let index = replica.schema.column_index(&column.name).unwrap();
        replica.row(row).map(|row| row.column(index))
    }

    /// New values for some columns of a row.
    fn set_some(&mut self, table: &Table, row: Uuid) -> Vec<Step> {
        let is_own = self.stored(table, row, &table.columns[0]).is_none();
        let mut steps = Vec::new();
        for made in &table.columns {
            let column = self.column(table, made).clone();
            if self.dice.one_in(2) || !is_own && !column.mutable || is_untold(&column.kind) {
                continue;
            }
            let value = if made.has_identifiers() {
                self.references(&column)
            } else {
                Datum::from_json(&parse_value(&made.draw(self.dice)), &column.kind, None).ok()
            };
            let value = value.filter(|value| self.stored(table, row, made) != Some(value));
            steps.extend(value.map(|value| Step::Set(table.name.clone(), row, made.name.clone(), value)));
        }
        steps
    }

    /// Sets columns of a row to what they are.
    fn change_nothing(&mut self, schema: &Schema) {
        let table = self.dice.of(&schema.tables);
        let Some(row) = self.rows[&table.name].first().copied() else { return };
        for made in table.columns.iter().filter(|made| !made.has_identifiers()) {
            let column = self.column(table, made);
            if let Some(value) =
                self.stored(table, row, made).filter(|_| column.mutable && !is_untold(&column.kind))
            {
                self.steps.push(Step::Set(table.name.clone(), row, made.name.clone(), value.clone()));
            }
        }
    }

    /// A set of references to rows; nothing if it would be no value of the column.
    fn references(&mut self, column: &ColumnSchema) -> Option<Datum> {
        let (table, _) = column.kind.key.reference().filter(|_| !column.kind.is_map())?;
        let count = self.dice.pick(3).max(u64::from(column.kind.min)).min(u64::from(column.kind.max));
        let candidates = self.rows.get(table).filter(|rows| !rows.is_empty())?;
        let drawn: Vec<Atom> = (0..count).map(|_| Atom::Uuid(*self.dice.of(candidates))).collect();
        Some(Datum::set(drawn)).filter(|value| value.len() >= column.kind.min as usize)
    }
}

fn play(seed: u64, python: &mut Python, turns: u64) -> Seen {
    let mut twins = Twins::start(seed, python);
    twins.settle();
    for _ in 0..turns {
        twins.transact();
        if twins.dice.one_in(if twins.stolen { 2 } else { 8 }) {
            twins.lock_or_unlock();
        }
        twins.settle();
    }
    twins.python.call("close", "");
    twins.seen
}

#[test]
fn transactions_end_as_those_of_python() {
    let turns = if is_long() { 40 } else { 20 };
    let ends = ["success", "unchanged", "try again", "error", "not locked", "incremented"];
    play_all(24, &ends, |seed, python| play(seed, python, turns));
}
