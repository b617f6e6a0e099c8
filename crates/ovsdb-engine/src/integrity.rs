//! What a schema demands of a transaction as a whole: references, garbage, row limits, weak references and indexes.
//!
//! Where it sits: the middle of `Transaction::prepare`; the ledger it leaves is applied at commit.
//!
//! ~~~text
//! every changed row: old references −1, new references +1   (columns that are shared between old and new are skipped)
//! a target below zero remaining … error; a non-root row without references … deleted, its own references −1, and so on
//! a deleted row … leaves the weak references to it; columns that may not be empty refuse
//! ~~~
//! I1  The ledger holds differences to the committed counts only, so its size is that of the change.
//!
//! Spec: RFC 7047 section 3.2 (refType, isRoot, maxRows, indexes).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ovsdb::{ColumnType, Datum, Error, HashMap, RefType, Result, Uuid};

use crate::database::{Database, KeyOf, Table, Target, index_key, references};
use crate::row::{Change, Row};
use crate::transaction::Transaction;

/// Differences to references and indexes that a commit applies.
#[derive(Default)]
pub(crate) struct Ledger {
    strong: HashMap<(usize, Uuid), i64>,
    weak: BTreeMap<(usize, Uuid), BTreeMap<(usize, Uuid), i64>>,
    index_out: Vec<(usize, usize, KeyOf, Uuid)>,
    index_in: Vec<(usize, usize, KeyOf, Uuid)>,
}

impl Ledger {
    /// Brings the database's own books up to date.
    pub(crate) fn apply(&mut self, db: &mut Database) {
        for ((table, uuid), delta) in std::mem::take(&mut self.strong) {
            let incoming = db.tables[table].incoming.entry(uuid).or_default();
            incoming.strong = incoming.strong.saturating_add_signed(delta);
            if incoming.strong == 0 && incoming.weak.is_empty() {
                db.tables[table].incoming.remove(&uuid);
            }
        }
        for ((table, uuid), sources) in std::mem::take(&mut self.weak) {
            let incoming = db.tables[table].incoming.entry(uuid).or_default();
            for (source, delta) in sources {
                let count = incoming.weak.entry(source).or_default();
                *count = count.saturating_add_signed(delta);
                if *count == 0 {
                    incoming.weak.remove(&source);
                }
            }
            if incoming.strong == 0 && incoming.weak.is_empty() {
                db.tables[table].incoming.remove(&uuid);
            }
        }
        for (table, index, key, uuid) in self.index_out.drain(..) {
            let map = &mut db.tables[table].indexes[index];
            if map.get(&key) == Some(&uuid) {
                map.remove(&key);
            }
        }
        for (table, index, key, uuid) in self.index_in.drain(..) {
            db.tables[table].indexes[index].insert(key, uuid);
        }
    }
}

/// The checks of one transaction.
pub(crate) struct Integrity<'t, 'a> {
    txn: &'t mut Transaction<'a>,
    ledger: Ledger,
}

impl<'t, 'a> Integrity<'t, 'a> {
    pub(crate) fn new(txn: &'t mut Transaction<'a>) -> Integrity<'t, 'a> {
        Integrity { txn, ledger: Ledger::default() }
    }

    pub(crate) fn run(mut self) -> Result<Ledger> {
        self.count_references()?;
        self.check_deleted()?;
        self.collect_garbage();
        self.check_row_limits()?;
        self.drop_weak_references()?;
        self.count_weak_references();
        self.check_indexes()?;
        Ok(self.ledger)
    }

    /// The books of a transaction that is not judged.
    pub(crate) fn count_only(mut self) -> Ledger {
        for (&table, changes) in &self.txn.changes {
            let place = &self.txn.db.tables[table];
            for (&uuid, change) in changes {
                for (_, target, to, delta) in reference_changes(place, table, change, RefType::Strong) {
                    *self.ledger.strong.entry((target.table, to)).or_default() += delta;
                }
                for (number, columns) in place.schema.indexes.iter().enumerate() {
                    let key = |row: &Arc<Row>| (table, number, index_key(columns, row), uuid);
                    self.ledger.index_out.extend(change.old.as_ref().map(key));
                    self.ledger.index_in.extend(change.new.as_ref().map(key));
                }
            }
        }
        self.count_weak_references();
        self.ledger
    }

    fn count_references(&mut self) -> Result<()> {
        let tables = &self.txn.db.tables;
        for (&table, changes) in
            self.txn.changes.iter().filter(|(table, _)| tables[**table].refers(RefType::Strong))
        {
            let place = &tables[table];
            for (uuid, change) in changes {
                for (column, target, to, delta) in reference_changes(place, table, change, RefType::Strong) {
                    if delta > 0 && !self.txn.has_or_had(target.table, to) {
                        let details = format!(
                            "Table {} column {} row {uuid} references nonexistent row {to} in table {}.",
                            place.schema.name,
                            place.schema.columns[column].name,
                            tables[target.table].schema.name
                        );
                        return Err(Error::new("referential integrity violation", details));
                    }
                    *self.ledger.strong.entry((target.table, to)).or_default() += delta;
                }
            }
        }
        Ok(())
    }

    fn remaining(&self, table: usize, uuid: Uuid) -> i64 {
        let committed = self.txn.db.tables[table].incoming.get(&uuid).map_or(0, |i| i.strong as i64);
        committed + self.ledger.strong.get(&(table, uuid)).copied().unwrap_or(0)
    }

    fn check_deleted(&self) -> Result<()> {
        for (&table, changes) in &self.txn.changes {
            for (&uuid, _) in changes.iter().filter(|(_, change)| change.new.is_none()) {
                let n = self.remaining(table, uuid);
                if n > 0 {
                    let name = &self.txn.db.tables[table].schema.name;
                    return Err(Error::new(
                        "referential integrity violation",
                        format!("cannot delete {name} row {uuid} because of {n} remaining reference(s)"),
                    ));
                }
            }
        }
        // A row that came and went is in no change any more, but may be referred to.
        let gone = self.ledger.strong.iter().filter(|((table, uuid), delta)| {
            **delta > 0 && !self.txn.db.tables[*table].rows.contains_key(uuid)
        });
        let gone = gone.min_by_key(|(row, _)| **row);
        match gone {
            Some(((table, uuid), n)) => {
                let name = &self.txn.db.tables[*table].schema.name;
                let details =
                    format!("cannot delete {name} row {uuid} because of {n} remaining reference(s)");
                Err(Error::new("referential integrity violation", details))
            }
            None => Ok(()),
        }
    }

    fn collect_garbage(&mut self) {
        // What has more references than before has some.
        let touched = self.ledger.strong.iter().filter(|(_, delta)| **delta <= 0).map(|(row, _)| *row);
        let inserted =
            self.txn.changes.iter().flat_map(|(&table, rows)| rows.keys().map(move |&uuid| (table, uuid)));
        let tables = &self.txn.db.tables;
        // A row may be in here more than once: it goes only once.
        let mut work: Vec<(usize, Uuid)> =
            touched.chain(inserted).filter(|(table, _)| !tables[*table].schema.is_root).collect();
        while let Some((table, uuid)) = work.pop() {
            let place = &self.txn.db.tables[table];
            if place.schema.is_root || self.remaining(table, uuid) > 0 {
                continue;
            }
            let Some(row) = place.rows.get(&uuid).cloned() else { continue };
            let lost: Vec<_> = references(&place.references, &row)
                .filter(|(_, target, to)| {
                    target.kind == RefType::Strong && (target.table, *to) != (table, uuid)
                })
                .map(|(_, target, to)| (target.table, to))
                .collect();
            self.txn.delete(table, uuid);
            for target in lost {
                *self.ledger.strong.entry(target).or_default() -= 1;
                work.push(target);
            }
        }
    }

    fn check_row_limits(&self) -> Result<()> {
        for &table in self.txn.changes.keys() {
            let place = &self.txn.db.tables[table];
            let (n, limit) = (place.rows.len(), place.schema.max_rows);
            if n > limit as usize {
                return Err(Error::constraint(format!(
                    "transaction causes \"{}\" table to contain {n} rows, greater than the schema-defined limit \
                     of {limit} row(s)",
                    place.schema.name
                )));
            }
        }
        Ok(())
    }

    /// Takes dangling weak references out of changed rows and out of rows that refer to deleted ones.
    fn drop_weak_references(&mut self) -> Result<()> {
        let mut rows = BTreeSet::new();
        for (&table, changes) in &self.txn.changes {
            let place = &self.txn.db.tables[table];
            let refers = place.refers(RefType::Weak);
            for (&uuid, change) in changes {
                match &change.new {
                    Some(_) if refers => _ = rows.insert((table, uuid)),
                    Some(_) => {}
                    None => {
                        let incoming = place.incoming.get(&uuid);
                        rows.extend(incoming.into_iter().flat_map(|i| i.weak.keys().copied()));
                    }
                }
            }
        }
        for (table, uuid) in rows {
            self.drop_weak_references_of(table, uuid)?;
        }
        Ok(())
    }

    fn drop_weak_references_of(&mut self, table: usize, uuid: Uuid) -> Result<()> {
        let db = &*self.txn.db;
        let place = &db.tables[table];
        let Some(row) = place.rows.get(&uuid) else { return Ok(()) };
        let mut new: Option<Row> = None;
        for reference in place.references.iter().filter(|column| column.refers(RefType::Weak)) {
            let dangling = |target: Option<Target>, atom: Option<&ovsdb::Atom>| {
                let weak = target.filter(|t| t.kind == RefType::Weak);
                let to = weak.and_then(|t| Some((t, atom?.as_uuid()?)));
                to.is_some_and(|(t, to)| !db.tables[t.table].rows.contains_key(&to))
            };
            let field = &row.fields[reference.column];
            let bad = |key: &ovsdb::Atom, value: Option<&ovsdb::Atom>| {
                dangling(reference.key, Some(key)) || dangling(reference.value, value)
            };
            let lost = field.elements().filter(|(key, value)| bad(key, *value)).count();
            if lost == 0 {
                continue;
            }
            let column = &place.schema.columns[reference.column];
            let mut kept = Datum::clone(field);
            kept.retain(|key, value| !bad(key, value));
            if kept.len() < column.kind.min as usize {
                let inserted =
                    self.txn.changes.get(&table).and_then(|c| c.get(&uuid)).is_some_and(|c| c.old.is_none());
                return Err(empty_weak_column(&place.schema.name, &column.name, uuid, field, lost, inserted));
            }
            new.get_or_insert_with(|| Row::clone(row)).fields[reference.column] = kept;
        }
        if let Some(new) = new {
            self.txn.replace(table, new);
        }
        Ok(())
    }

    fn count_weak_references(&mut self) {
        let tables = &self.txn.db.tables;
        for (&table, changes) in
            self.txn.changes.iter().filter(|(table, _)| tables[**table].refers(RefType::Weak))
        {
            for (&uuid, change) in changes {
                for (_, target, to, delta) in reference_changes(&tables[table], table, change, RefType::Weak)
                {
                    let sources = self.ledger.weak.entry((target.table, to)).or_default();
                    *sources.entry((table, uuid)).or_default() += delta;
                }
            }
        }
    }

    fn check_indexes(&mut self) -> Result<()> {
        for (&table, changes) in &self.txn.changes {
            let place = &self.txn.db.tables[table];
            for (number, columns) in place.schema.indexes.iter().enumerate() {
                let mut added: HashMap<KeyOf, Uuid> = HashMap::default();
                let alone = changes.len() == 1;
                for (&uuid, change) in changes {
                    let key = |row: &Arc<Row>| index_key(columns, row);
                    let same = change.old.as_ref().zip(change.new.as_ref()).is_some_and(|(old, new)| {
                        columns.iter().all(|&column| old.fields[column] == new.fields[column])
                    });
                    // A key that stays is nobody's news, but others of this transaction may want it.
                    if same && alone {
                        continue;
                    }
                    if let Some(old) = change.old.as_ref().filter(|_| !same) {
                        self.ledger.index_out.push((table, number, key(old), uuid));
                    }
                    let Some(new) = &change.new else { continue };
                    let key = key(new);
                    // A committed row in the way counts only if this transaction did not change it too.
                    let other = place.indexes[number].get(&key).filter(|o| !changes.contains_key(o));
                    if let Some(other) = added.get(&key).or(other) {
                        return Err(duplicate(self.txn, table, columns, &key, uuid, *other));
                    }
                    if !alone {
                        added.insert(key.clone(), uuid);
                    }
                    if !same {
                        self.ledger.index_in.push((table, number, key, uuid));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The references of one kind that a change takes away (−1 each) and adds (+1 each). What both versions of a set have in common
/// is passed over, so a port added to a thousand costs one.
fn reference_changes(
    place: &Table,
    table: usize,
    change: &Change,
    kind: RefType,
) -> Vec<(usize, Target, Uuid, i64)> {
    let mut out = Vec::new();
    for column in place.references.iter().filter(|column| column.refers(kind)) {
        let fields = [&change.old, &change.new].map(|row| row.as_ref().map(|row| &row.fields[column.column]));
        let mut add = |field: &Datum, delta| {
            for (key, value) in field.elements() {
                for (target, atom) in [(column.key, Some(key)), (column.value, value)] {
                    let target = target.filter(|target| target.kind == kind);
                    let Some((target, to)) = target.zip(atom.and_then(ovsdb::Atom::as_uuid)) else {
                        continue;
                    };
                    out.push((column.column, target, to, delta));
                }
            }
        };
        match fields {
            [Some(old), Some(new)] if old == new => {}
            [Some(old), Some(new)] => {
                let (gone, come) = old.changes(new);
                add(&gone, -1);
                add(&come, 1);
            }
            [old, new] => {
                old.into_iter().for_each(|field| add(field, -1));
                new.into_iter().for_each(|field| add(field, 1));
            }
        }
    }
    // A strong reference of a row to itself keeps nothing alive, so it does not count.
    if kind == RefType::Strong {
        let own = change.old.as_ref().or(change.new.as_ref()).map(|row| row.uuid);
        out.retain(|(_, target, to, _)| target.table != table || Some(*to) != own);
    }
    out
}

fn empty_weak_column(
    table: &str,
    column: &str,
    uuid: Uuid,
    field: &Datum,
    lost: usize,
    inserted: bool,
) -> Error {
    let how = if inserted { "(inserted within this transaction) " } else { "" };
    let zero = field.atoms().any(|atom| atom.as_uuid().is_some_and(Uuid::is_zero));
    Error::constraint(if zero && inserted {
        // The misspelling is Open vSwitch's.
        format!(
            "Weak reference column \"{column}\" in \"{table}\" row {uuid} {how}contained all-zeros UUID (probably \
             as the default value for this column) but deleting this value caused a constraint volation because \
             this column is not allowed to be empty."
        )
    } else {
        format!(
            "Deletion of {lost} weak reference(s) to deleted (or never-existing) rows from column \"{column}\" in \
             \"{table}\" row {uuid} {how}caused this column to become empty, but constraints on this column \
             disallow an empty column."
        )
    })
}

fn duplicate(
    txn: &Transaction<'_>,
    table: usize,
    columns: &[usize],
    key: &KeyOf,
    first: Uuid,
    second: Uuid,
) -> Error {
    let schema = &txn.db.tables[table].schema;
    let kinds: Vec<&ColumnType> = columns.iter().map(|&c| &schema.columns[c].kind).collect();
    let values = |data: &KeyOf| {
        let texts = data.values().iter().zip(&kinds).map(|(datum, kind)| datum.to_text(kind));
        join(&texts.collect::<Vec<_>>())
    };
    let names: Vec<String> = columns.iter().map(|&c| format!("\"{}\"", schema.columns[c].name)).collect();
    let describe = |uuid: Uuid| {
        let change = txn.changes.get(&table).and_then(|changes| changes.get(&uuid));
        match change.map(|change| &change.old) {
            None => "existed in the database before this transaction and was not modified by the transaction."
                .to_owned(),
            Some(None) => "was inserted by this transaction.".to_owned(),
            Some(Some(old)) if index_key(columns, old) == *key => {
                "existed in the database before this transaction, which modified some of the row's columns but not \
                 any columns in this index."
                    .to_owned()
            }
            Some(Some(old)) => {
                let values = values(&index_key(columns, old));
                format!("had the following index values before the transaction: {values}.")
            }
        }
    };
    Error::constraint(format!(
        "Transaction causes multiple rows in \"{}\" table to have identical values ({}) for index on column{} {}.  \
         First row, with UUID {first}, {}  Second row, with UUID {second}, {}",
        schema.name,
        values(key),
        if columns.len() == 1 { "" } else { "s" },
        join(&names),
        describe(first),
        describe(second),
    ))
}

/// `a`, `a and b`, `a, b, and c`.
fn join(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [one] => one.clone(),
        [a, b] => format!("{a} and {b}"),
        [head @ .., last] => format!("{}, and {last}", head.join(", ")),
    }
}
