//! A database in memory: its tables, rows, indexes and who refers to whom.
//!
//! Where it sits: changed only by `transaction`; read by operations, monitors and the log's writer.
//!
//! I1  `indexes` and `incoming` describe the committed rows; a transaction brings them up to date when it commits, so that giving
//!     up costs nothing but putting back the rows.
//! I2  `incoming` counts strong references to a row and remembers which rows refer to it weakly; rows nobody refers to have no entry.
//! I3  Tables are addressed by their position in name order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ovsdb::{BaseType, Datum, DbSchema, RefType, TableSchema, Uuid};

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
}

/// References to one row.
#[derive(Clone, Debug, Default)]
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
            Table {
                schema: table.clone(),
                rows: HashMap::new(),
                indexes: vec![HashMap::new(); table.indexes.len()],
                incoming: HashMap::new(),
                references: references.filter(|r| r.key.is_some() || r.value.is_some()).collect(),
            }
        });
        Database { tables: tables.collect(), schema: schema.clone() }
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
