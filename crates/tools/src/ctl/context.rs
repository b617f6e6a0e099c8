//! What a command sees: the transaction, its own arguments, names of rows, and where its output goes.
//!
//! Where it sits: made for each run of a chain of commands; handed to each command in turn.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

use ovsdb::table::Table;
use ovsdb::{BaseType, Datum, Names, Uuid};
use ovsdb_idl::Txn;

use super::command::Invocation;

/// Why a command cannot be carried out, in Open vSwitch's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is printed, or nothing.
    pub text: String,
    /// The exit status.
    pub status: u8,
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure { text, status: 1 }
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Failure {
        text.to_owned().into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A row that a chain of commands calls `@name`.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its identity: provisional until the commit, if the chain creates it.
    pub uuid: Uuid,
    created: bool,
    /// The row needs no reference.
    root: bool,
    /// A reference that keeps the row alive has been seen.
    strong: bool,
    weak: bool,
}

/// Whether a row lives without being referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lives {
    /// It does: it exists already, or its table is a root.
    Alone,
    /// It needs a reference.
    ByReference,
}

/// Names of rows in a chain of commands.
#[derive(Clone, Debug, Default)]
pub struct Symbols(BTreeMap<String, Named>);

/// Draws a random identity.
pub fn random_uuid() -> Uuid {
    Uuid::from_random(uuid::Uuid::new_v4().as_u128())
}

impl Names for Symbols {
    fn resolve(&mut self, name: &str, base: &BaseType) -> Uuid {
        let fresh = || Named { uuid: random_uuid(), created: false, root: false, strong: false, weak: false };
        let named = self.0.entry(format!("@{name}")).or_insert_with(fresh);
        named.strong |= base.is_strong_ref();
        named.weak |= base.is_weak_ref();
        named.uuid
    }
}

impl Symbols {
    /// Gives `name` (with its @) to a row; an error if it has one.
    pub fn define(&mut self, name: &str, uuid: Option<Uuid>, lives: Lives) -> Result<Uuid, Failure> {
        if !name.starts_with('@') {
            return Err(format!("row id \"{name}\" does not begin with \"@\"").into());
        }
        let fresh = || Named { uuid: random_uuid(), created: false, root: false, strong: false, weak: false };
        let named = self.0.entry(name.to_owned()).or_insert_with(fresh);
        if named.created {
            return Err(format!("row id \"{name}\" may only be specified on one --id option").into());
        }
        named.created = true;
        named.root = lives == Lives::Alone;
        named.uuid = uuid.unwrap_or(named.uuid);
        Ok(named.uuid)
    }

    /// An error if a name was used that no row has got; warnings for rows that nothing will keep alive, in the program's part of the `log`.
    pub fn check(&self, log: &str) -> Result<(), Failure> {
        for (name, named) in &self.0 {
            if !named.created {
                let hint = format!("(e.g. with \"-- --id={name} create ...\")");
                return Err(format!("row id \"{name}\" is referenced but never created {hint}").into());
            }
            if !named.strong && !named.root {
                let what = if named.weak { "only a weak reference" } else { "no reference" };
                let text = format!(
                    "row id \"{name}\" was created but {what} to it was inserted, so it will not actually appear in the database"
                );
                log::warn!(target: log, "{text}");
            }
        }
        Ok(())
    }
}

/// What a command left to be printed.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Lines of text.
    pub text: String,
    /// A table, printed in the format that the user chose.
    pub table: Option<Table>,
    /// A row whose identity is printed once it is known.
    pub created: Option<Uuid>,
}

/// What a command sees.
pub struct Context<'a> {
    /// The transaction.
    pub txn: &'a mut Txn,
    /// The command with its arguments.
    pub call: &'a Invocation,
    /// Names of rows.
    pub symbols: &'a mut Symbols,
    /// How records are named (see `record.rs`).
    pub identities: &'a [super::record::Identity],
    /// What it prints.
    pub output: Output,
    /// The command waits: run everything again once the database has changed.
    pub try_again: bool,
    /// What the program has made of the rows, for the commands behind in the chain.
    pub cache: &'a mut Option<Box<dyn Any>>,
    /// Interfaces that the chain added: their errors are reported after the commit.
    pub added_interfaces: &'a mut Vec<String>,
}

impl Context<'_> {
    /// An argument; the syntax says how many there are.
    pub fn arg(&self, i: usize) -> &str {
        self.call.args.get(i).map_or("", String::as_str)
    }

    /// The command and its arguments as texts quote them.
    pub fn command_line(&self) -> String {
        let options = self.call.options.keys().map(|o| format!("{o} "));
        format!("{}{} {}", options.collect::<String>(), self.call.syntax.name, self.call.args.join(" "))
    }

    /// Prints a line.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.output.text.push_str(text.as_ref());
        self.output.text.push('\n');
    }

    /// A column of a row; empty if there is no such row.
    pub fn get(&self, table: &str, row: Uuid, column: &str) -> Datum {
        self.txn.get(table, row, column).cloned().unwrap_or_default()
    }

    /// The only string of a column.
    pub fn string(&self, table: &str, row: Uuid, column: &str) -> String {
        let value = self.txn.get(table, row, column);
        value.and_then(Datum::single).and_then(ovsdb::Atom::as_str).unwrap_or_default().to_owned()
    }

    /// The rows that a column refers to.
    pub fn references(&self, table: &str, row: Uuid, column: &str) -> Vec<Uuid> {
        let value = self.get(table, row, column);
        value.atoms().filter_map(ovsdb::Atom::as_uuid).collect()
    }

    /// Sets the rows that a column refers to.
    pub fn set_references(&mut self, table: &str, row: Uuid, column: &str, to: &[Uuid]) {
        let value = Datum::set(to.iter().map(|u| ovsdb::Atom::Uuid(*u)));
        self.txn.set(table, row, column, value);
    }
}
