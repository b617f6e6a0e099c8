//! A database in memory: its tables, rows, indexes and who refers to whom.
//!
//! Where it sits: changed only by `transaction`; read by operations, monitors and the log's writer.
//!
//! I1  `indexes` and `incoming` describe the committed rows; a transaction brings them up to date when it commits, so that giving
//!     up costs nothing but putting back the rows.
//! I2  `incoming` counts strong references to a row and remembers which rows refer to it weakly; rows nobody refers to have no entry.
//! I3  Tables are addressed by their position in name order.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovsdb::{BaseType, Datum, DbSchema, HashMap, RefType, TableSchema, Uuid};

use crate::row::Row;

/// One table.
#[derive(Debug)]
pub struct Table {
    /// Its schema.
    pub schema: Arc<TableSchema>,
    /// Its rows.
    pub rows: HashMap<Uuid, Arc<Row>>,
    /// For each index of the schema, which row has which values.
    pub(crate) indexes: Vec<HashMap<KeyOf, Uuid>>,
    /// Who refers to the rows.
    pub(crate) incoming: HashMap<Uuid, Incoming>,
    /// The columns that refer to rows.
    pub(crate) references: Vec<ReferenceColumn>,
    /// What a row holds when nobody set anything.
    pub(crate) defaults: Box<[Datum]>,
    /// The columns that must be set, as their types do not allow their defaults.
    pub(crate) demanding: Vec<usize>,
}

impl Table {
    /// Whether a column refers to rows in this way.
    pub(crate) fn refers(&self, kind: RefType) -> bool {
        self.references.iter().any(|column| column.refers(kind))
    }
}

/// References to one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Incoming {
    /// How many strong ones.
    pub strong: u64,
    /// By table and row, how many weak ones.
    pub weak: BTreeMap<(usize, Uuid), u64>,
}

/// An index key that hashes by value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyOf {
    /// Of one column, as most.
    One(Datum),
    /// Of several.
    Several(Box<[Datum]>),
}

impl KeyOf {
    pub(crate) fn new(mut values: impl ExactSizeIterator<Item = Datum>) -> KeyOf {
        match (values.len(), values.next()) {
            (1, Some(value)) => KeyOf::One(value),
            (_, first) => KeyOf::Several(first.into_iter().chain(values).collect()),
        }
    }

    pub(crate) fn values(&self) -> &[Datum] {
        match self {
            KeyOf::One(value) => std::slice::from_ref(value),
            KeyOf::Several(values) => values,
        }
    }
}

/// A column that refers to rows.
#[derive(Clone, Debug)]
pub(crate) struct ReferenceColumn {
    pub column: usize,
    pub key: Option<Target>,
    pub value: Option<Target>,
}

impl ReferenceColumn {
    /// Whether the column refers to rows in this way.
    pub(crate) fn refers(&self, kind: RefType) -> bool {
        [self.key, self.value].into_iter().flatten().any(|target| target.kind == kind)
    }
}

/// What the atoms of a column refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub table: usize,
    pub kind: RefType,
}

/// One database.
#[derive(Debug)]
pub struct Database {
    /// Its schema.
    pub schema: Arc<DbSchema>,
    /// Its tables, in name order.
    pub tables: Vec<Table>,
}

impl Database {
    /// An empty database.
    pub fn new(schema: DbSchema) -> Database {
        let schema = Arc::new(schema);
        let names: Vec<&String> = schema.tables.keys().collect();
        let target = |base: Option<&BaseType>| {
            let (table, kind) = base?.reference()?;
            let table = names.binary_search_by(|name| name.as_str().cmp(table)).ok()?;
            Some(Target { table, kind })
        };
        let tables = schema.tables.values().map(|table| {
            let references = table.own_columns().map(|(column, schema)| ReferenceColumn {
                column,
                key: target(Some(&schema.kind.key)),
                value: target(schema.kind.value.as_ref()),
            });
            let demanding = table.own_columns().filter(|(_, schema)| {
                let kind = &schema.kind;
                Datum::default_for(kind).check(kind).is_err()
            });
            Table {
                defaults: table.columns.iter().map(|column| Datum::default_for(&column.kind)).collect(),
                demanding: demanding.map(|(column, _)| column).collect(),
                schema: table.clone(),
                rows: HashMap::default(),
                indexes: vec![HashMap::default(); table.indexes.len()],
                incoming: HashMap::default(),
                references: references.filter(|r| r.key.is_some() || r.value.is_some()).collect(),
            }
        });
        Database { tables: tables.collect(), schema: schema.clone() }
    }

    /// Builds the books and stamps the rows, after all of them were read from a file.
    pub(crate) fn build_books(&mut self) {
        let mut stamp = 0;
        for at in 0..self.tables.len() {
            let rows = std::mem::take(&mut self.tables[at].rows);
            let columns = std::mem::take(&mut self.tables[at].references);
            let schema = self.tables[at].schema.clone();
            self.tables[at].rows = rows
                .into_iter()
                .map(|(uuid, mut row)| {
                    // Versions are not recorded and random ones are not needed: they only have to differ.
                    stamp += 1;
                    Arc::make_mut(&mut row).set_version(Uuid(stamp));
                    for (index, columns) in self.tables[at].indexes.iter_mut().zip(&schema.indexes) {
                        index.insert(index_key(columns, &row), uuid);
                    }
                    for (_, target, to) in references(&columns, &row) {
                        self.add_reference(target, to, (at, uuid));
                    }
                    (uuid, row)
                })
                .collect();
            self.tables[at].references = columns;
        }
    }

    fn add_reference(&mut self, target: Target, to: Uuid, from: (usize, Uuid)) {
        let own = from == (target.table, to);
        match target.kind {
            // A strong reference of a row to itself keeps nothing alive.
            RefType::Strong if own => {}
            RefType::Strong => self.tables[target.table].incoming.entry(to).or_default().strong += 1,
            RefType::Weak => {
                let incoming = self.tables[target.table].incoming.entry(to).or_default();
                *incoming.weak.entry(from).or_default() += 1;
            }
        }
    }

    /// Where the table `name` is.
    pub fn table_index(&self, name: &str) -> Option<usize> {
        self.tables.binary_search_by(|table| table.schema.name.as_str().cmp(name)).ok()
    }

    /// The table `name`.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(self.table_index(name)?)
    }

    /// The number of atoms and columns in all rows, and of weak references, for memory reports.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for table in &self.tables {
            for row in table.rows.values() {
                usage.cells += row.fields.len();
                usage.atoms +=
                    row.fields.iter().map(|field| field.keys().len() + field.values().len()).sum::<usize>();
            }
            usage.weak_refs += table
                .incoming
                .values()
                .map(|incoming| incoming.weak.values().map(|n| *n as usize).sum::<usize>())
                .sum::<usize>();
        }
        usage
    }
}

/// How much a database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Values in sets and maps.
    pub atoms: usize,
    /// Columns of rows.
    pub cells: usize,
    /// Weak references.
    pub weak_refs: usize,
}

/// The references that a row makes, with repetitions.
pub(crate) fn references<'a>(
    columns: &'a [ReferenceColumn],
    row: &'a Row,
) -> impl Iterator<Item = (usize, Target, Uuid)> + 'a {
    columns.iter().flat_map(|column| {
        let field = &row.fields[column.column];
        let keys = column.key.into_iter().flat_map(|target| field.keys().iter().map(move |a| (target, a)));
        let values =
            column.value.into_iter().flat_map(|target| field.values().iter().map(move |a| (target, a)));
        keys.chain(values).filter_map(move |(target, atom)| Some((column.column, target, atom.as_uuid()?)))
    })
}

/// The values of the columns of an index.
pub(crate) fn index_key(columns: &[usize], row: &Row) -> KeyOf {
    KeyOf::new(columns.iter().map(|&column| row.fields[column].clone()))
}

#[cfg(test)]
mod tests {
    use ovsdb::json;

    use super::*;
    use crate::{Access, Outcome, Request, Waiting, execute};

    const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
      "A":{"columns":{"n":{"type":"integer"},
        "strong":{"type":{"key":{"type":"uuid","refTable":"B"},"min":0,"max":"unlimited"}},
        "own":{"type":{"key":{"type":"uuid","refTable":"A"},"min":0,"max":"unlimited"}},
        "weak":{"type":{"key":"string","value":{"type":"uuid","refTable":"B","refType":"weak"},"min":0,"max":"unlimited"}}},
        "isRoot":true,"indexes":[["n"],["n","strong"]]},
      "B":{"columns":{"text":{"type":"string"}}}}}"#;

    /// Books that are built from the rows are those that transactions have kept.
    #[test]
    fn books_are_those_of_transactions() {
        let schema = DbSchema::from_json(&json::parse(SCHEMA.as_bytes()).unwrap()).unwrap();
        let mut db = Database::new(schema.clone());
        let mut next = 0;
        for n in 0..60 {
            let insert = format!(
                r#"[{{"op":"insert","table":"B","uuid-name":"b","row":{{"text":"{n}"}}}},
                    {{"op":"insert","table":"A","uuid-name":"a","row":{{"n":{n},"strong":["named-uuid","b"],
                      "own":["named-uuid","a"],"weak":["map",[["x",["named-uuid","b"]],["y",["named-uuid","b"]]]]}}}},
                    {{"op":"mutate","table":"A","where":[["n",">",{}]],"mutations":[["own","insert",["named-uuid","a"]],
                      ["strong","insert",["named-uuid","b"]],["weak","insert",["map",[["z{n}",["named-uuid","b"]]]]]]}},
                    {{"op":"update","table":"A","where":[["n","==",{}]],"row":{{"strong":["set",[]]}}}}]"#,
                n - 3,
                n - 5
            );
            let operations = json::parse(insert.as_bytes()).unwrap();
            let request = Request {
                operations: operations.as_array().unwrap(),
                access: Access::ReadWrite,
                waiting: Waiting::Impossible,
                owns_lock: &|_| false,
            };
            let outcome = execute(&mut db, &request, &mut || {
                next += 1;
                Uuid(next)
            });
            let Outcome::Done { prepared: Some(prepared), results } = outcome else { panic!("blocked") };
            assert!(results.iter().all(|result| result.get("error").is_none()), "{results:?}");
            prepared.commit();
        }
        let mut built = Database::new(schema);
        for (new, old) in built.tables.iter_mut().zip(&db.tables) {
            new.rows.clone_from(&old.rows);
        }
        built.build_books();
        for (new, old) in built.tables.iter().zip(&db.tables) {
            assert_eq!(new.indexes, old.indexes);
            let weak =
                |table: &Table| table.incoming.values().filter(|incoming| !incoming.weak.is_empty()).count();
            assert!(old.schema.name != "B" || weak(old) > 2);
            assert_eq!(new.incoming, old.incoming, "{}", old.schema.name);
        }
    }
}
