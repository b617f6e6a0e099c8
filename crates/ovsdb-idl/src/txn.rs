//! A transaction: changes collected over a replica, then sent as one.
//!
//! Where it sits: made over a [`Replica`], filled by the program, turned into a `transact` request by [`crate::Idl`].
//!
//! I1  Reading through the transaction shows its own changes.
//! I2  A column that was read and relied on is verified: the server refuses if it has changed meanwhile, and the program tries
//!     again with newer rows.
//! I3  What the transaction did not change is not sent, so two programs may change different columns of a row at once.
//! I4  Only rows of root tables are deleted; others go when nothing refers to them any more, which the server decides.
//! I5  A transaction that looked at what is not replicated ([`crate::Wanted::Columns`]) knows that: [`Txn::has_missed`].
//!
//! Spec: RFC 7047 section 5.2.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ovsdb::json::Json;
use ovsdb::schema::FIRST_COLUMN;
use ovsdb::{Atom, ColumnType, Datum, TableSchema, Uuid};

use crate::replica::{Replica, Row, Seen};

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It changed nothing, so nothing was sent.
    Unchanged,
    /// It is in the database.
    Committed {
        /// Identities that rows made under a provisional one have got.
        inserted: BTreeMap<Uuid, Uuid>,
        /// The value of the incremented column after the increment.
        incremented: Option<i64>,
    },
    /// Something it relied on has changed, or the connection was lost: build it again over newer rows.
    TryAgain,
    /// The lock is another client's.
    NotLocked,
    /// The server refused it.
    Error(String),
}

#[derive(Debug, Default)]
struct Change {
    /// `None` for a deleted row.
    row: Option<Row>,
    inserted: bool,
    verified: BTreeSet<usize>,
}

/// Changes over a replica.
#[derive(Debug)]
pub struct Txn {
    replica: Arc<Replica>,
    changes: BTreeMap<(String, Uuid), Change>,
    comment: String,
    increment: Option<(String, Uuid, String)>,
    missed: AtomicBool,
    watched: BTreeMap<String, BTreeSet<usize>>,
    revision: u64,
}

/// What has to be sent.
#[derive(Debug)]
pub(crate) enum Request {
    /// Nothing: no changes.
    Nothing,
    /// Parameters of `transact`, and what its answer means.
    Transact(Vec<Json>, Pending),
}

/// What the answer to a transaction means.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Index of each insertion among the operations, with its provisional identity.
    inserts: Vec<(usize, Uuid)>,
    /// Index of the `select` after an increment, and the column.
    increment: Option<(usize, String)>,
}

impl Txn {
    /// No changes yet.
    pub fn new(replica: &Arc<Replica>) -> Txn {
        Txn {
            replica: replica.clone(),
            changes: BTreeMap::new(),
            comment: String::new(),
            increment: None,
            missed: AtomicBool::new(false),
            watched: BTreeMap::new(),
            revision: 0,
        }
    }

    /// True if rows or columns were looked at, or relied on, that the replica does not hold: what the transaction says of the
    /// database is not to be believed, and it must not be committed.
    pub fn has_missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed)
    }

    fn miss_unless(&self, seen: bool) {
        if !seen {
            self.missed.store(true, Ordering::Relaxed);
        }
    }

    /// Makes [`Txn::revision`] tell of changes of these columns too, and of the rows of their table.
    pub fn watch(&mut self, table: &str, columns: &[&str]) {
        let Some(schema) = self.schema(table).cloned() else { return };
        let indices = columns.iter().filter_map(|c| schema.column_index(c));
        self.watched.entry(table.to_owned()).or_default().extend(indices);
    }

    /// A number that changes with every change, by this transaction, of what is watched.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The replica below.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// A table's schema, if it is monitored.
    pub fn schema(&self, table: &str) -> Option<&Arc<TableSchema>> {
        self.replica.table(table).map(|t| &t.schema)
    }

    /// A row as the transaction leaves it.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Row> {
        match self.changes.get(&(table.to_owned(), uuid)) {
            Some(change) => change.row.as_ref(),
            None => {
                let table = self.replica.table(table)?;
                self.miss_unless(table.seen != Seen::Nothing);
                table.row(uuid).map(|r| &**r)
            }
        }
    }

    /// A table's rows as the transaction leaves them, in the order of their UUIDs.
    pub fn rows(&self, table: &str) -> Vec<&Row> {
        let mut rows: BTreeMap<Uuid, &Row> = BTreeMap::new();
        if let Some(t) = self.replica.table(table) {
            self.miss_unless(t.seen != Seen::Nothing);
            rows.extend(t.rows().map(|r| (r.uuid(), &**r)));
        }
        let from = (table.to_owned(), Uuid::ZERO);
        for ((_, uuid), change) in self.changes.range(from..).take_while(|((t, _), _)| t == table) {
            match &change.row {
                Some(row) => rows.insert(*uuid, row),
                None => rows.remove(uuid),
            };
        }
        rows.into_values().collect()
    }

    /// The rows, as the transaction leaves them, whose `columns` have these `values`, in the order of their UUIDs; see
    /// [`crate::TableReplica::find`].
    pub fn find(&self, table: &str, columns: &[&str], values: &[Datum]) -> Vec<Uuid> {
        let Some(replica) = self.replica.table(table) else { return Vec::new() };
        let schema = &replica.schema;
        let indices: Option<Vec<usize>> = columns.iter().map(|c| schema.column_index(c)).collect();
        let Some(indices) = indices else { return Vec::new() };
        self.miss_unless(indices.iter().all(|index| replica.seen.has(*index)));
        let unchanged = |uuid: &Uuid| !self.changes.contains_key(&(table.to_owned(), *uuid));
        let stored = replica.find(columns, values).into_iter().map(|r| r.uuid()).filter(unchanged);
        let fits = |row: &Row| indices.iter().zip(values).all(|(i, value)| row.column(*i) == value);
        let from = (table.to_owned(), Uuid::ZERO);
        let own = self.changes.range(from..).take_while(|((t, _), _)| t == table);
        let own = own.filter(|(_, change)| change.row.as_ref().is_some_and(fits)).map(|((_, uuid), _)| *uuid);
        let rows: BTreeSet<Uuid> = stored.chain(own).collect();
        rows.into_iter().collect()
    }

    /// A column of a row as the transaction leaves it.
    pub fn get(&self, table: &str, uuid: Uuid, column: &str) -> Option<&Datum> {
        let index = self.schema(table)?.column_index(column)?;
        let row = self.row(table, uuid)?;
        self.rely_on(table, uuid, index);
        Some(row.column(index))
    }

    /// Notes a miss if a row of the database has something else in a column than the replica, or may have.
    fn rely_on(&self, table: &str, uuid: Uuid, column: usize) {
        if let Some(table) = self.replica.table(table).filter(|t| t.row(uuid).is_some()) {
            self.miss_unless(table.seen.has(column));
        }
    }

    /// Adds a row under a provisional identity, by which the transaction's other changes may refer to it.
    pub fn insert(&mut self, table: &str, uuid: Uuid) {
        if let Some(schema) = self.schema(table) {
            let change =
                Change { row: Some(Row::fresh(schema, uuid)), inserted: true, verified: BTreeSet::new() };
            self.revision += u64::from(self.watched.contains_key(table));
            self.changes.insert((table.to_owned(), uuid), change);
        }
    }

    /// Deletes a row, if it is there.
    pub fn delete(&mut self, table: &str, uuid: Uuid) {
        let key = (table.to_owned(), uuid);
        self.revision += u64::from(self.watched.contains_key(table));
        if self.changes.get(&key).is_some_and(|c| c.inserted) {
            self.changes.remove(&key);
        } else if let Some(change) = self.change(table, uuid) {
            change.row = None;
        }
    }

    /// Sets a column of a row, if it is there.
    pub fn set(&mut self, table: &str, uuid: Uuid, column: &str, value: Datum) {
        let Some(index) = self.schema(table).and_then(|s| s.column_index(column)) else { return };
        self.rely_on(table, uuid, index);
        self.revision += u64::from(self.watched.get(table).is_some_and(|columns| columns.contains(&index)));
        if let Some(row) = self.change(table, uuid).and_then(|change| change.row.as_mut()) {
            row.set(index, value);
        }
    }

    /// Relies on a column's value as read from the replica. Where the transaction itself has put another, or made the row, nothing
    /// was read from there.
    pub fn verify(&mut self, table: &str, uuid: Uuid, column: &str) {
        let Some(index) = self.schema(table).and_then(|s| s.column_index(column)) else { return };
        self.rely_on(table, uuid, index);
        let read = self.replica.table(table).and_then(|t| t.row(uuid)).map(|row| row.column(index).clone());
        if let Some(change) = self.change(table, uuid)
            && change.row.as_ref().map(|row| row.column(index)) == read.as_ref()
        {
            change.verified.insert(index);
        }
    }

    /// Adds a line to the transaction's comment in the database's log.
    pub fn comment(&mut self, text: &str) {
        if !self.comment.is_empty() {
            self.comment.push('\n');
        }
        self.comment.push_str(text);
    }

    /// Adds one to an integer column, on the server, if the transaction changes anything, and asks for the result.
    pub fn increment(&mut self, table: &str, uuid: Uuid, column: &str) {
        self.increment = Some((table.to_owned(), uuid, column.to_owned()));
    }

    /// The change of a row; nothing if there is no such row, here or in the replica.
    fn change(&mut self, table: &str, uuid: Uuid) -> Option<&mut Change> {
        let old = self.replica.table(table).and_then(|t| t.row(uuid));
        match (self.changes.entry((table.to_owned(), uuid)), old) {
            (Entry::Occupied(change), _) => Some(change.into_mut()),
            (Entry::Vacant(place), Some(old)) => {
                Some(place.insert(Change { row: Some(Row::clone(old)), ..Change::default() }))
            }
            (Entry::Vacant(_), None) => None,
        }
    }

    /// The request that carries the changes out, under `lock` if one is held.
    pub(crate) fn into_request(self, database: &str, lock: Option<&str>) -> Request {
        let provisional: BTreeSet<Uuid> =
            self.changes.iter().filter(|(_, c)| c.inserted).map(|((_, uuid), _)| *uuid).collect();
        let mut ops = vec![Json::string(database)];
        if let Some(lock) = lock {
            ops.push(op("assert", [("lock", Json::string(lock))]));
        }
        for ((table, uuid), change) in &self.changes {
            if let Some(wait) = self.wait(table, *uuid, change, &provisional) {
                ops.push(wait);
            }
        }
        let mut inserts = Vec::new();
        let before = ops.len();
        for ((table, uuid), change) in &self.changes {
            let Some(done) = self.operation(table, *uuid, change, &provisional) else { continue };
            if change.inserted {
                inserts.push((ops.len() - 1, *uuid));
            }
            ops.push(done);
        }
        if ops.len() == before {
            return Request::Nothing;
        }
        let increment = self.increment.as_ref().map(|(table, uuid, column)| {
            let mutation = Json::Array(vec![Json::string(&**column), Json::string("+="), Json::Integer(1)]);
            let target = reference(*uuid, &provisional);
            let at = |name, more: (&'static str, Json)| {
                op(name, [("table", Json::string(&**table)), ("where", where_uuid(target.clone())), more])
            };
            ops.push(at("mutate", ("mutations", Json::Array(vec![mutation]))));
            ops.push(at("select", ("columns", Json::Array(vec![Json::string(&**column)]))));
            (ops.len() - 2, column.clone())
        });
        if !self.comment.is_empty() {
            ops.push(op("comment", [("comment", Json::string(&*self.comment))]));
        }
        Request::Transact(ops, Pending { inserts, increment })
    }

    /// The `wait` that makes the server compare what the transaction relies on.
    fn wait(&self, table: &str, uuid: Uuid, change: &Change, new: &BTreeSet<Uuid>) -> Option<Json> {
        let old = self.replica.table(table)?.row(uuid).filter(|_| !change.verified.is_empty())?;
        let schema = self.schema(table)?;
        let columns = change.verified.iter().map(|i| Json::string(&*schema.columns[*i].name)).collect();
        let row = change.verified.iter().map(|i| {
            let column = &schema.columns[*i];
            (column.name.clone(), old.column(*i).to_json(&column.kind))
        });
        Some(op(
            "wait",
            [
                ("table", Json::string(table)),
                ("timeout", Json::Integer(0)),
                ("columns", Json::Array(columns)),
                ("until", Json::string("==")),
                ("rows", Json::Array(vec![Json::object(row)])),
                ("where", where_uuid(reference(uuid, new))),
            ],
        ))
    }

    fn operation(&self, table: &str, uuid: Uuid, change: &Change, new: &BTreeSet<Uuid>) -> Option<Json> {
        let schema = self.schema(table)?;
        let Some(row) = &change.row else {
            if !schema.is_root {
                return None; // I4
            }
            let target = where_uuid(uuid.to_json());
            return Some(op("delete", [("table", Json::string(table)), ("where", target)]));
        };
        let old = self.replica.table(table).and_then(|t| t.row(uuid)).filter(|_| !change.inserted);
        let columns = schema.columns.iter().enumerate().skip(FIRST_COLUMN).filter(|(i, column)| match old {
            Some(old) => old.column(*i) != row.column(*i),
            None => !row.column(*i).is_default(&column.kind),
        });
        let values: Vec<_> = columns
            .map(|(i, column)| (column.name.clone(), value_json(row.column(i), &column.kind, new)))
            .collect();
        if change.inserted {
            let name = Json::string(row_name(uuid));
            let row = Json::object(values);
            return Some(op("insert", [("table", Json::string(table)), ("row", row), ("uuid-name", name)]));
        }
        if values.is_empty() {
            return None;
        }
        let target = where_uuid(uuid.to_json());
        Some(op("update", [("table", Json::string(table)), ("where", target), ("row", Json::object(values))]))
    }
}

fn op<const N: usize>(name: &str, members: [(&'static str, Json); N]) -> Json {
    Json::object(members.into_iter().chain([("op", Json::string(name))]))
}

fn where_uuid(uuid: Json) -> Json {
    Json::Array(vec![Json::Array(vec![Json::string("_uuid"), Json::string("=="), uuid])])
}

/// The name by which operations refer to a row that the same transaction inserts.
fn row_name(uuid: Uuid) -> String {
    format!("row{}", uuid.to_string().replace('-', "_"))
}

fn reference(uuid: Uuid, new: &BTreeSet<Uuid>) -> Json {
    if new.contains(&uuid) {
        Json::Array(vec![Json::string("named-uuid"), Json::string(row_name(uuid))])
    } else {
        uuid.to_json()
    }
}

/// A value of this type, with references to provisional rows by name.
fn value_json(value: &Datum, kind: &ColumnType, new: &BTreeSet<Uuid>) -> Json {
    let json = value.to_json(kind);
    let is_new = |atom: &Atom| atom.as_uuid().is_some_and(|uuid| new.contains(&uuid));
    // Elsewhere what looks like a reference may be two strings.
    if value.atoms().any(is_new) { with_names(json, new) } else { json }
}

fn with_names(value: Json, new: &BTreeSet<Uuid>) -> Json {
    let Json::Array(elements) = value else { return value };
    if let [tag, text] = elements.as_slice()
        && tag.as_str() == Some("uuid")
        && let Some(uuid) = text.as_str().and_then(Uuid::parse)
    {
        return reference(uuid, new);
    }
    Json::Array(elements.into_iter().map(|e| with_names(e, new)).collect())
}

impl Pending {
    pub(crate) fn outcome(&self, result: Result<Json, Json>) -> Outcome {
        let results = match &result {
            Ok(Json::Array(results)) => results,
            Ok(other) => return Outcome::Error(format!("reply is not a JSON array: {other}")),
            Err(error) => return Outcome::Error(error.to_string()),
        };
        for result in results {
            let Some(error) = result.get("error").and_then(Json::as_str) else { continue };
            return match error {
                "timed out" => Outcome::TryAgain,
                "not owner" => Outcome::NotLocked,
                _ => Outcome::Error(result.to_string()),
            };
        }
        let uuid_of = |at: usize| {
            let atom = results.get(at)?.get("uuid")?;
            Uuid::parse(atom.as_array()?.get(1)?.as_str()?)
        };
        let inserted = self.inserts.iter().filter_map(|(at, old)| Some((*old, uuid_of(*at)?))).collect();
        let incremented = self.increment.as_ref().and_then(|(at, column)| {
            results.get(*at)?.get("rows")?.as_array()?.first()?.get(column)?.as_i64()
        });
        Outcome::Committed { inserted, incremented }
    }
}
