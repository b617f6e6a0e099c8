//! Monitors: what a client wants to hear of a database, and the notifications that follow from commits.
//!
//! Where it sits: the server keeps one per `monitor`, `monitor_cond` or `monitor_cond_since` request and feeds it every commit.
//!
//! ~~~text
//!               row matched before   row matches now
//! insert                –                  yes            new columns
//! modify               yes                 yes            old and new columns (update), differences (update2)
//! delete               yes                  –             old columns (update), null (update2)
//! ~~~
//! I1  A row that starts or ceases to match is inserted or deleted as far as this client can tell.
//! I2  Clauses of a monitor's condition are alternatives; no clauses match everything.
//!
//! Spec: RFC 7047 sections 4.1.5 and 4.1.6, ovsdb-server(7) sections 4.1.12 to 4.1.16.

use std::collections::BTreeMap;

use ovsdb::json::{Json, Object};
use ovsdb::members::{Kinds, Members};
use ovsdb::schema::UUID_COLUMN;
use ovsdb::{Clause, Condition, Datum, Error, Function, Result, TableSchema};

use crate::database::Database;
use crate::row::{Change, Changes, Row};

/// Which notifications a monitor sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `update`.
    V1,
    /// `update2`.
    V2,
    /// `update3`.
    V3,
}

impl Version {
    /// The notification's method.
    pub fn method(self) -> &'static str {
        match self {
            Version::V1 => "update",
            Version::V2 => "update2",
            Version::V3 => "update3",
        }
    }
}

/// Which changes a client wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Select {
    initial: bool,
    insert: bool,
    delete: bool,
    modify: bool,
}

impl Select {
    const ALL: Select = Select { initial: true, insert: true, delete: true, modify: true };
    const NONE: Select = Select { initial: false, insert: false, delete: false, modify: false };

    fn or(self, other: Select) -> Select {
        Select {
            initial: self.initial | other.initial,
            insert: self.insert | other.insert,
            delete: self.delete | other.delete,
            modify: self.modify | other.modify,
        }
    }

    fn from_json(json: &Json, table: &str) -> Result<Select> {
        let what = format!("table {table} select");
        let mut members = Members::new(json, &what);
        let mut flag = |name| members.optional(name, Kinds::BOOL).and_then(Json::as_bool).unwrap_or(true);
        let select = Select {
            initial: flag("initial"),
            insert: flag("insert"),
            delete: flag("delete"),
            modify: flag("modify"),
        };
        members.finish()?;
        Ok(select)
    }

    fn wants(self, kind: Kind) -> bool {
        match kind {
            Kind::Initial => self.initial,
            Kind::Insert => self.insert,
            Kind::Delete => self.delete,
            Kind::Modify => self.modify,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Initial,
    Insert,
    Delete,
    Modify,
}

/// Which rows of a table can matter to a monitor.
#[derive(Debug)]
pub enum Interest<'m> {
    /// Any.
    Every,
    /// Those with one of these values in one of these columns, before or after a change.
    With(Vec<(usize, &'m Datum)>),
}

#[derive(Clone, Debug)]
struct MonitoredTable {
    columns: Vec<(usize, Select)>,
    /// What any of its requests wants.
    select: Select,
    condition: Condition,
}

/// One monitor.
#[derive(Clone, Debug)]
pub struct Monitor {
    version: Version,
    tables: BTreeMap<usize, MonitoredTable>,
}

impl Monitor {
    /// Reads the requests of a monitor.
    pub fn new(db: &Database, requests: &Json, version: Version) -> Result<Monitor> {
        let Some(requests) = requests.as_object() else {
            return Err(Error::syntax(requests, "monitor-requests must be object"));
        };
        let mut tables = BTreeMap::new();
        for (name, request) in requests {
            let index = table_index(db, name)?;
            let schema = &db.tables[index].schema;
            let mut table =
                MonitoredTable { columns: Vec::new(), select: Select::NONE, condition: Condition::default() };
            match request.as_array() {
                Some(several) => {
                    several.iter().try_for_each(|one| table.add_request(schema, one, version))?;
                }
                None => table.add_request(schema, request, version)?,
            }
            tables.insert(index, table);
        }
        Ok(Monitor { version, tables })
    }

    /// Which notifications it sends.
    pub fn version(&self) -> Version {
        self.version
    }

    /// By table, which rows can matter.
    pub fn interests(&self) -> impl Iterator<Item = (usize, Interest<'_>)> {
        self.tables.iter().map(|(&table, watched)| (table, watched.interest()))
    }

    /// The rows there are, as the reply to the request has them.
    pub fn initial(&self, db: &Database) -> Json {
        let tables = self.tables.iter().filter_map(|(&index, table)| {
            let place = &db.tables[index];
            let rows: Object = place
                .rows
                .iter()
                .filter(|(_, row)| table.matches(&place.schema, row))
                .filter_map(|(uuid, row)| {
                    let update =
                        table.compose(&place.schema, self.version, Kind::Initial, None, Some(row))?;
                    Some((uuid.to_string(), update))
                })
                .collect();
            if rows.is_empty() { None } else { Some((place.schema.name.clone(), Json::Object(rows))) }
        });
        Json::Object(tables.collect())
    }

    /// What a commit means to the client, if anything. `db` gives the schemas only.
    pub fn update(&self, db: &Database, changes: &Changes) -> Option<Json> {
        let mut tables = Object::new();
        for (index, rows) in changes {
            let Some(table) = self.tables.get(index) else { continue };
            let schema = &db.tables[*index].schema;
            let rows: Object = rows
                .iter()
                .filter_map(|(uuid, change)| {
                    Some((uuid.to_string(), table.compose_change(schema, self.version, change)?))
                })
                .collect();
            if !rows.is_empty() {
                tables.insert(&schema.name, Json::Object(rows));
            }
        }
        if tables.is_empty() { None } else { Some(Json::Object(tables)) }
    }

    /// Replaces conditions, and says which rows appear and vanish thereby.
    pub fn change_condition(&mut self, db: &Database, requests: &Json) -> Result<Option<Json>> {
        let Some(requests) = requests.as_object() else {
            return Err(Error::new("syntax error", "monitor-cond-change-requests must be object"));
        };
        let mut new = Vec::new();
        for (name, requests) in requests {
            let index = table_index(db, name)?;
            if !self.tables.contains_key(&index) {
                let details = format!("no table named {name} in monitor session");
                return Err(Error::new("syntax error", details));
            }
            if self.version == Version::V1 {
                // Such monitors know no conditions.
                continue;
            }
            let Some(requests) = requests.as_array() else {
                let details = format!("table {name} no monitor-cond-change JSON array");
                return Err(Error::new("syntax error", details));
            };
            if let Some(condition) = read_conditions(&db.tables[index].schema, requests)? {
                new.push((index, condition));
            }
        }
        let mut tables = Object::new();
        for (index, condition) in new {
            let Some(table) = self.tables.get_mut(&index) else { continue };
            let place = &db.tables[index];
            let old = std::mem::replace(&mut table.condition, condition);
            if old == table.condition {
                continue;
            }
            let mut rows = Vec::new();
            for (uuid, row) in &place.rows {
                let matched = old.matches_any(&place.schema, &row.fields);
                let (kind, before, after) = match (matched, table.matches(&place.schema, row)) {
                    (false, true) => (Kind::Insert, None, Some(&**row)),
                    (true, false) => (Kind::Delete, Some(&**row), None),
                    _ => continue,
                };
                if let Some(update) = table.compose(&place.schema, self.version, kind, before, after) {
                    rows.push((uuid.to_string(), update));
                }
            }
            if !rows.is_empty() {
                tables.insert(&place.schema.name, Json::object(rows));
            }
        }
        Ok(if tables.is_empty() { None } else { Some(Json::Object(tables)) })
    }
}

fn table_index(db: &Database, name: &str) -> Result<usize> {
    db.table_index(name).ok_or_else(|| Error::new("syntax error", format!("no table named {name}")))
}

fn read_conditions(schema: &TableSchema, requests: &[Json]) -> Result<Option<Condition>> {
    let mut condition: Option<Condition> = None;
    for request in requests {
        let what = format!("table {}", schema.name);
        let mut members = Members::new(request, &what);
        let columns = members.optional("columns", Kinds::ARRAY);
        let filter = members.optional("where", Kinds::ARRAY);
        members.finish()?;
        if columns.is_some() {
            return Err(Error::syntax(request, "changing columns is unsupported"));
        }
        if let Some(filter) = filter {
            let read = Condition::from_json(schema, filter, None)?;
            condition.get_or_insert_default().clauses.extend(read.clauses);
        }
    }
    Ok(condition)
}

impl MonitoredTable {
    fn add_request(&mut self, schema: &TableSchema, request: &Json, version: Version) -> Result<()> {
        let what = format!("table {}", schema.name);
        let mut members = Members::new(request, &what);
        let columns = members.optional("columns", Kinds::ARRAY);
        let filter = match version {
            Version::V1 => None,
            _ => members.optional("where", Kinds::ARRAY),
        };
        let select = members.optional("select", Kinds::OBJECT);
        members.finish()?;
        let select = select.map_or(Ok(Select::ALL), |json| Select::from_json(json, &schema.name))?;
        self.select = self.select.or(select);
        match columns {
            None => {
                for index in (0..schema.columns.len()).filter(|index| *index != UUID_COLUMN) {
                    self.add_column(schema, index, select, request)?;
                }
            }
            Some(columns) => {
                let expected = || Error::syntax(columns, "array of column names expected");
                for name in columns.as_array().unwrap_or_default() {
                    let name = name.as_str().ok_or_else(expected)?;
                    let index = schema.column_index(name).ok_or_else(|| {
                        Error::syntax(columns, format!("{name} is not a valid column name"))
                    })?;
                    self.add_column(schema, index, select, columns)?;
                }
            }
        }
        if let Some(filter) = filter {
            let read = Condition::from_json(schema, filter, None)?;
            self.condition.clauses.extend(read.clauses);
        }
        Ok(())
    }

    fn add_column(&mut self, schema: &TableSchema, index: usize, select: Select, json: &Json) -> Result<()> {
        if self.columns.iter().any(|(column, _)| *column == index) {
            let details = format!("column {} mentioned more than once", schema.columns[index].name);
            return Err(Error::syntax(json, details));
        }
        self.columns.push((index, select));
        Ok(())
    }

    fn interest(&self) -> Interest<'_> {
        let equal = |clause| match clause {
            &Clause::Compare { column, function: Function::Eq, ref value } => Some((column, value)),
            _ => None,
        };
        let values: Option<Vec<_>> = self.condition.clauses.iter().map(equal).collect();
        values.filter(|values| !values.is_empty()).map_or(Interest::Every, Interest::With)
    }

    fn matches(&self, schema: &TableSchema, row: &Row) -> bool {
        self.condition.matches_any(schema, &row.fields)
    }

    fn compose_change(&self, schema: &TableSchema, version: Version, change: &Change) -> Option<Json> {
        let visible = |row: &Option<std::sync::Arc<Row>>| row.clone().filter(|row| self.matches(schema, row));
        let (old, new) = (visible(&change.old), visible(&change.new));
        let kind = match (&old, &new) {
            (None, None) => return None,
            (None, Some(_)) => Kind::Insert,
            (Some(_), None) => Kind::Delete,
            (Some(_), Some(_)) => Kind::Modify,
        };
        self.compose(schema, version, kind, old.as_deref(), new.as_deref())
    }

    /// The `<row-update>` or `<row-update2>` of one row; `None` where nothing of it is wanted.
    fn compose(
        &self,
        schema: &TableSchema,
        version: Version,
        kind: Kind,
        old: Option<&Row>,
        new: Option<&Row>,
    ) -> Option<Json> {
        let wanted: Vec<usize> =
            self.columns.iter().filter(|(_, select)| select.wants(kind)).map(|(column, _)| *column).collect();
        if !self.select.wants(kind) {
            return None;
        }
        if kind == Kind::Modify && !wanted.iter().any(|column| differs(*column, old, new)) {
            return None;
        }
        Some(match version {
            Version::V1 => compose_v1(schema, &wanted, kind, old, new),
            _ => compose_v2(schema, &wanted, kind, old, new),
        })
    }
}

fn differs(column: usize, old: Option<&Row>, new: Option<&Row>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old.fields[column] != new.fields[column],
        _ => true,
    }
}

fn row_json(schema: &TableSchema, row: &Row, columns: impl Iterator<Item = usize>) -> Json {
    Json::object(columns.map(|column| {
        let schema = &schema.columns[column];
        (schema.name.clone(), row.fields[column].to_json(&schema.kind))
    }))
}

fn compose_v1(
    schema: &TableSchema,
    wanted: &[usize],
    kind: Kind,
    old: Option<&Row>,
    new: Option<&Row>,
) -> Json {
    let mut members = Object::new();
    if let Some(old) = old {
        let columns = wanted.iter().copied().filter(|c| kind == Kind::Delete || differs(*c, Some(old), new));
        members.insert("old", row_json(schema, old, columns));
    }
    if let Some(new) = new {
        members.insert("new", row_json(schema, new, wanted.iter().copied()));
    }
    Json::Object(members)
}

fn compose_v2(
    schema: &TableSchema,
    wanted: &[usize],
    kind: Kind,
    old: Option<&Row>,
    new: Option<&Row>,
) -> Json {
    let (name, row) = match (kind, old, new) {
        (Kind::Modify, Some(old), Some(new)) => {
            let changed = wanted.iter().filter(|column| differs(**column, Some(old), Some(new)));
            let columns = changed.map(|&column| {
                let (schema, field) = (&schema.columns[column], &old.fields[column]);
                let diff = field.diff(&new.fields[column], &schema.kind);
                (schema.name.clone(), diff.to_json(&schema.kind))
            });
            ("modify", Json::object(columns))
        }
        (_, _, Some(new)) => {
            let set = |column: &usize| !new.fields[*column].is_default(&schema.columns[*column].kind);
            let name = if kind == Kind::Initial { "initial" } else { "insert" };
            (name, row_json(schema, new, wanted.iter().copied().filter(set)))
        }
        _ => ("delete", Json::Null),
    };
    Json::object([(name, row)])
}
