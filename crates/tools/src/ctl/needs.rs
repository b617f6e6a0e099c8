//! Which rows and columns a chain of commands looks at, so that no others are asked of the server.
//!
//! Where it sits: `run` collects them of all commands before it connects; each program tells those of its own commands, this
//! file those of the database commands.
//!
//! I1  Too little is found out: the transaction notes what it misses, and `run` begins again with everything.
//!
//! Names are as users type them, abbreviations included; what names nothing is left to the command, which says so.

use ovsdb::text::parse_token;
use ovsdb::{DbSchema, TableSchema};
use ovsdb_idl::Columns;

use super::command::Invocation;
use super::record::{self, Identity};

/// Columns by table, collected.
pub struct Needs<'s> {
    schema: &'s DbSchema,
    identities: &'s [Identity],
    columns: Columns,
}

impl<'s> Needs<'s> {
    /// Nothing yet.
    pub fn new(schema: &'s DbSchema, identities: &'s [Identity]) -> Needs<'s> {
        Needs { schema, identities, columns: Columns::new() }
    }

    /// What has been collected.
    pub fn into_columns(self) -> Columns {
        self.columns
    }

    /// Rows of a table, and these columns.
    pub fn add(&mut self, table: &str, columns: &[&str]) {
        self.columns.entry(table.to_owned()).or_default().extend(columns.iter().map(|c| (*c).to_owned()));
    }

    /// Rows of a table with every column.
    pub fn add_all(&mut self, table: &str) {
        let schema = self.schema;
        let columns: Vec<&str> =
            schema.table(table).iter().flat_map(|t| t.columns.iter().map(|c| c.name.as_str())).collect();
        self.add(table, &columns);
    }

    /// Every column of every table.
    pub fn add_everything(&mut self) {
        let schema = self.schema;
        schema.tables.keys().for_each(|table| self.add_all(table));
    }

    /// A column of the rows that the values of the map `column` refer to.
    pub fn add_target(&mut self, table: &str, column: &str, of_target: &str) {
        let schema = self.schema;
        let map = schema.table(table).and_then(|t| t.column(column)).and_then(|c| c.kind.value.as_ref());
        if let Some((target, _)) = map.and_then(|base| base.reference()) {
            self.add(target, &[of_target]);
        }
    }

    /// What finds a record of `table` by what it is called.
    fn add_record(&mut self, table: &str) {
        self.add(table, &[]);
        for identity in self.identities.iter().filter(|i| i.table == table) {
            self.add(identity.holder(), &[identity.key]);
            if let Some((holder, column)) = identity.via {
                self.add(holder, &[column]);
            }
        }
    }

    /// The column that an argument such as `other_config:key=value` begins with.
    fn add_column(&mut self, table: &TableSchema, argument: &str) {
        let Ok((name, _)) = parse_token(argument) else { return };
        if let Ok(column) = record::column(table, &name) {
            self.add(&table.name, &[&column.name]);
        }
    }

    /// What a database command looks at.
    pub fn add_of_database_command(&mut self, call: &Invocation) {
        let typed = call.args.first().map_or("", String::as_str);
        let schema = self.schema;
        let tables = || schema.tables.values().map(|table| &**table);
        let Ok(table) = record::best_table(tables, typed) else { return };
        let shown = |needs: &mut Self| match call.value("--columns") {
            Some(list) => list.split([',', ' ']).for_each(|name| needs.add_column(table, name)),
            None => needs.add_all(&table.name),
        };
        let after = |n: usize| call.args.get(n..).unwrap_or_default();
        match call.syntax.name {
            "list" => {
                shown(self);
                self.add_record(&table.name);
            }
            "find" => {
                self.add(&table.name, &[]);
                shown(self);
                after(1).iter().for_each(|argument| self.add_column(table, argument));
            }
            "add" | "remove" => {
                self.add_record(&table.name);
                after(2).iter().take(1).for_each(|argument| self.add_column(table, argument));
            }
            "get" | "set" | "clear" | "wait-until" => {
                self.add_record(&table.name);
                after(2).iter().for_each(|argument| self.add_column(table, argument));
            }
            "destroy" => self.add_record(&table.name),
            _ => {}
        }
    }
}
