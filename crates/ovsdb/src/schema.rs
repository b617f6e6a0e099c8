//! Schemas: a database's tables, their columns and indexes.
//!
//! Where it sits: read from a schema file, a database file or a server; everything about rows refers to it.
//!
//! I1  Column 0 of every table is `_uuid`, column 1 is `_version`; the schema's own columns follow, sorted by name.
//! I2  A column with weak references is mutable, whatever the schema says: the database itself must be able to drop them.
//! I3  If no table says `isRoot`, every table is a root.
//! I4  A column with strong references to a table that is no root is persistent, whatever the schema says: else those rows would
//!     be in the file without what keeps them there.
//!
//! Spec: RFC 7047 section 3.2, ovsdb-server(7) section 3.2.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base_type::RefType;
use crate::column_type::ColumnType;
use crate::error::{Error, Result};
use crate::hash::HashMap;
use crate::json::{Json, Object};
use crate::members::{Kinds, Members, is_id};

/// The index of the `_uuid` column in every table.
pub const UUID_COLUMN: usize = 0;
/// The index of the `_version` column in every table.
pub const VERSION_COLUMN: usize = 1;
/// The index of the first column that the schema defines.
pub const FIRST_COLUMN: usize = 2;

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSchema {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether it may change after the row's insertion.
    pub mutable: bool,
    /// Whether it goes to disk.
    pub persistent: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSchema {
    /// Its name.
    pub name: String,
    /// All columns, `_uuid` and `_version` first.
    pub columns: Vec<ColumnSchema>,
    /// Sets of columns, by index, whose values must differ between rows.
    pub indexes: Vec<Vec<usize>>,
    /// Most rows; `u32::MAX` is unlimited.
    pub max_rows: u32,
    /// Whether rows live without being referred to.
    pub is_root: bool,
    by_name: HashMap<String, usize>,
}

/// A database schema.
#[derive(Clone, Debug, PartialEq)]
pub struct DbSchema {
    /// The database's name.
    pub name: String,
    /// `x.y.z`, or empty.
    pub version: String,
    /// What the schema's author computed, or empty.
    pub cksum: String,
    /// Tables by name.
    pub tables: BTreeMap<String, Arc<TableSchema>>,
}

impl ColumnSchema {
    fn from_json(json: &Json, name: &str) -> Result<ColumnSchema> {
        let what = format!("schema for column {name}");
        let mut members = Members::new(json, &what);
        let mutable = members.optional("mutable", Kinds::BOOL).and_then(Json::as_bool);
        let ephemeral = members.optional("ephemeral", Kinds::BOOL).and_then(Json::as_bool);
        let kind = members.required("type", Kinds::STRING.or(Kinds::OBJECT));
        members.finish()?;
        let kind = ColumnType::from_json(kind.unwrap_or(&Json::Null))?;
        let weak = kind.any_base(|base| base.is_weak_ref()); // I2
        Ok(ColumnSchema {
            name: name.to_owned(),
            mutable: mutable.unwrap_or(true) || weak,
            persistent: !ephemeral.unwrap_or(false),
            kind,
        })
    }

    fn to_json(&self) -> Json {
        let mut members = Object::new();
        if !self.mutable {
            members.insert("mutable", Json::Bool(false));
        }
        if !self.persistent {
            members.insert("ephemeral", Json::Bool(true));
        }
        members.insert("type", self.kind.to_json());
        Json::Object(members)
    }

    fn builtin(name: &str, persistent: bool) -> ColumnSchema {
        ColumnSchema { name: name.to_owned(), kind: ColumnType::UUID, mutable: false, persistent }
    }
}

impl TableSchema {
    /// A table of these columns, to which `_uuid` and `_version` are added.
    pub fn new(name: &str, columns: Vec<ColumnSchema>) -> TableSchema {
        let mut all = vec![ColumnSchema::builtin("_uuid", true), ColumnSchema::builtin("_version", false)];
        all.extend(columns);
        all[FIRST_COLUMN..].sort_by(|a, b| a.name.cmp(&b.name));
        let by_name = all.iter().enumerate().map(|(i, column)| (column.name.clone(), i)).collect();
        TableSchema {
            name: name.to_owned(),
            columns: all,
            indexes: Vec::new(),
            max_rows: u32::MAX,
            is_root: false,
            by_name,
        }
    }

    /// Where the column `name` is.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The column `name`.
    pub fn column(&self, name: &str) -> Option<&ColumnSchema> {
        self.columns.get(self.column_index(name)?)
    }

    /// The columns that the schema defines, with their indexes.
    pub fn own_columns(&self) -> impl Iterator<Item = (usize, &ColumnSchema)> {
        self.columns.iter().enumerate().skip(FIRST_COLUMN)
    }

    /// Reads an array of distinct column names.
    pub fn columns_from_json(&self, json: &Json) -> Result<Vec<usize>> {
        let expected = || Error::syntax(json, "array of distinct column names expected");
        let mut columns = Vec::new();
        for element in json.as_array().ok_or_else(expected)? {
            let name = element.as_str().ok_or_else(expected)?;
            let index = self
                .column_index(name)
                .ok_or_else(|| Error::syntax(json, format!("{name} is not a valid column name")))?;
            if columns.contains(&index) {
                return Err(expected());
            }
            columns.push(index);
        }
        Ok(columns)
    }

    fn from_json(json: &Json, name: &str) -> Result<(TableSchema, Option<bool>)> {
        let what = format!("table schema for table {name}");
        let mut members = Members::new(json, &what);
        let columns = members.required("columns", Kinds::OBJECT).and_then(Json::as_object);
        let max_rows = members.optional("maxRows", Kinds::INTEGER).and_then(Json::as_i64);
        let is_root = members.optional("isRoot", Kinds::BOOL).and_then(Json::as_bool);
        let indexes = members.optional("indexes", Kinds::ARRAY).and_then(Json::as_array);
        members.finish()?;
        let max_rows = match max_rows {
            Some(n) if n < 1 => return Err(Error::syntax(json, "maxRows must be at least 1")),
            Some(n) => u32::try_from(n).unwrap_or(u32::MAX),
            None => u32::MAX,
        };
        let columns = columns.filter(|c| !c.is_empty());
        let Some(columns) = columns else {
            return Err(Error::syntax(json, "table must have at least one column"));
        };
        let mut parsed = Vec::with_capacity(columns.len());
        for (name, column) in columns {
            check_name(name, json)?;
            parsed.push(ColumnSchema::from_json(column, name)?);
        }
        let mut table = TableSchema::new(name, parsed);
        table.max_rows = max_rows;
        table.is_root = is_root.unwrap_or(false);
        for index in indexes.unwrap_or_default() {
            table.indexes.push(table.index_from_json(index, json)?);
        }
        Ok((table, is_root))
    }

    /// An index of this table, whose own JSON is `table`.
    fn index_from_json(&self, json: &Json, table: &Json) -> Result<Vec<usize>> {
        let columns = self.columns_from_json(json)?;
        if columns.is_empty() {
            return Err(Error::syntax(table, "index must have at least one column"));
        }
        match columns.iter().find(|&&i| !self.columns[i].persistent) {
            Some(&i) => {
                let name = &self.columns[i].name;
                let details = format!("ephemeral columns (such as {name}) may not be indexed");
                Err(Error::syntax(json, details))
            }
            None => Ok(columns),
        }
    }

    /// The schema's JSON; `say_root` where not every table is a root.
    fn to_json(&self, say_root: bool) -> Json {
        let columns = self.own_columns().map(|(_, c)| (c.name.clone(), c.to_json()));
        let mut members = Object::from([("columns".to_owned(), Json::object(columns))]);
        if self.max_rows != u32::MAX {
            members.insert("maxRows", self.max_rows.into());
        }
        if say_root && self.is_root {
            members.insert("isRoot", Json::Bool(true));
        }
        if !self.indexes.is_empty() {
            let names =
                |index: &Vec<usize>| Json::array(index.iter().map(|&i| self.columns[i].name.as_str()));
            members.insert("indexes", Json::array(self.indexes.iter().map(names)));
        }
        Json::Object(members)
    }
}

impl DbSchema {
    /// The schema of a database of which nothing is known but its name.
    pub fn empty(name: &str) -> DbSchema {
        DbSchema {
            name: name.to_owned(),
            version: String::new(),
            cksum: String::new(),
            tables: BTreeMap::new(),
        }
    }

    /// Reads a database schema.
    pub fn from_json(json: &Json) -> Result<DbSchema> {
        let mut members = Members::new(json, &"database schema");
        let name = members.required("name", Kinds::ID).and_then(Json::as_str);
        let version = members.optional("version", Kinds::STRING).and_then(Json::as_str);
        let cksum = members.optional("cksum", Kinds::STRING).and_then(Json::as_str);
        let tables = members.required("tables", Kinds::OBJECT).and_then(Json::as_object);
        members.finish()?;
        if let Some(version) = version.filter(|v| !is_version(v)) {
            return Err(Error::syntax(json, format!("schema version \"{version}\" not in format x.y.z")));
        }
        let mut schema = DbSchema {
            name: name.unwrap_or_default().to_owned(),
            version: version.unwrap_or_default().to_owned(),
            cksum: cksum.unwrap_or_default().to_owned(),
            tables: BTreeMap::new(),
        };
        let mut parsed = Vec::new();
        for (name, table) in tables.into_iter().flatten() {
            check_name(name, json)?;
            parsed.push(TableSchema::from_json(table, name)?);
        }
        let none_says_root = parsed.iter().all(|(_, is_root)| *is_root != Some(true)); // I3
        for (mut table, _) in parsed {
            table.is_root |= none_says_root;
            schema.tables.insert(table.name.clone(), Arc::new(table));
        }
        schema.check_references()?;
        schema.keep_references();
        Ok(schema)
    }

    /// Makes columns persistent by I4.
    fn keep_references(&mut self) {
        let roots: BTreeMap<String, bool> =
            self.tables.iter().map(|(name, table)| (name.clone(), table.is_root)).collect();
        for table in self.tables.values_mut() {
            for column in &mut Arc::make_mut(table).columns {
                let keeps = column.kind.any_base(|base| {
                    matches!(base.reference(), Some((table, RefType::Strong)) if roots.get(table) == Some(&false))
                });
                column.persistent |= keeps;
            }
        }
    }

    fn check_references(&self) -> Result<()> {
        for table in self.tables.values() {
            for (_, column) in table.own_columns() {
                for (base, what) in [(Some(&column.kind.key), "key"), (column.kind.value.as_ref(), "value")] {
                    let target = base.and_then(|b| b.reference()).map(|(table, _)| table);
                    if let Some(target) = target.filter(|t| !self.tables.contains_key(*t)) {
                        let details =
                            format!("column {} {what} refers to undefined table {target}", column.name);
                        return Err(Error::new("syntax error", details));
                    }
                }
            }
        }
        Ok(())
    }

    /// The JSON form.
    pub fn to_json(&self) -> Json {
        let say_root = self.tables.values().any(|t| !t.is_root);
        let tables = self.tables.iter().map(|(name, table)| (name.clone(), table.to_json(say_root)));
        let mut members = Object::from([
            ("name".to_owned(), Json::string(&*self.name)),
            ("tables".to_owned(), Json::object(tables)),
        ]);
        for (name, text) in [("version", &self.version), ("cksum", &self.cksum)] {
            if !text.is_empty() {
                members.insert(name, Json::string(&**text));
            }
        }
        Json::Object(members)
    }

    /// The table `name`.
    pub fn table(&self, name: &str) -> Option<&Arc<TableSchema>> {
        self.tables.get(name)
    }
}

fn check_name(name: &str, json: &Json) -> Result<()> {
    if name.starts_with('_') {
        Err(Error::syntax(json, "names beginning with \"_\" are reserved"))
    } else if !is_id(name) {
        Err(Error::syntax(json, "name must be a valid id"))
    } else {
        Ok(())
    }
}

/// Whether `text` is three numbers with points between.
pub fn is_version(text: &str) -> bool {
    parse_version(text).is_some()
}

/// The three numbers of a version, for comparison.
pub fn parse_version(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
        if digits { part.parse().ok() } else { None }
    });
    let version = [parts.next()??, parts.next()??, parts.next()??];
    if parts.next().is_none() { Some(version) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an ephemeral column stays so: with references of a kind, where `T` and `U` are roots or not.
    fn stays_ephemeral(kind: &str, roots: [bool; 2]) -> bool {
        let text = format!(
            r#"{{"name":"D","tables":{{
                "T":{{"isRoot":{},"columns":{{"c":{{"ephemeral":true,"type":{{"min":0,
                    "key":{{"type":"uuid","refTable":"U","refType":"{kind}"}}}}}}}}}},
                "U":{{"isRoot":{},"columns":{{"x":{{"type":"string"}}}}}}}}}}"#,
            roots[0], roots[1]
        );
        let schema = DbSchema::from_json(&crate::json::parse(text.as_bytes()).unwrap()).unwrap();
        let table = schema.table("T").unwrap();
        !table.columns[table.column_index("c").unwrap()].persistent
    }

    #[test]
    fn what_keeps_a_row_is_as_persistent_as_the_row() {
        assert!(!stays_ephemeral("strong", [true, false]));
        assert!(stays_ephemeral("weak", [true, false]));
        assert!(stays_ephemeral("strong", [true, true]));
        assert!(stays_ephemeral("strong", [false, false]), "then both are roots");
    }
}
