//! The database commands: `list`, `find`, `get`, `set`, `add`, `remove`, `clear`, `create`, `destroy`, `wait-until`, `comment`.
//!
//! Where it sits: in the command tables of ovs-vsctl and vtep-ctl.

use ovsdb::table::{Cell, Table};
use ovsdb::{Atom, ColumnSchema, ColumnType, Datum, TableSchema, Uuid};

use super::column::{self, Operators};
use super::command::{Access, MANY, Syntax};
use super::context::{Context, Failure, Lives, random_uuid};
use super::record;

type Done = Result<(), Failure>;

macro_rules! commands {
    ($($name:literal $min:literal..$max:expr, $arguments:literal, [$($option:literal),*], $access:ident, $run:ident;)+) => {
        /// The database commands.
        pub const COMMANDS: &[Syntax] = &[$(Syntax {
            name: $name, min: $min, max: $max, arguments: $arguments, options: &[$($option),*],
            access: Access::$access, run: $run,
        }),+];
    };
}

commands! {
    "comment" 0..MANY, "[ARG]...", [], ReadOnly, comment;
    "get" 2..MANY, "TABLE RECORD [COLUMN[:KEY]]...", ["--if-exists", "--id="], ReadOnly, get;
    "list" 1..MANY, "TABLE [RECORD]...", ["--if-exists", "--columns="], ReadOnly, list;
    "find" 1..MANY, "TABLE [COLUMN[:KEY]=VALUE]...", ["--columns="], ReadOnly, find;
    "set" 3..MANY, "TABLE RECORD COLUMN[:KEY]=VALUE...", ["--if-exists"], ReadWrite, set;
    "add" 4..MANY, "TABLE RECORD COLUMN [KEY=]VALUE...", ["--if-exists"], ReadWrite, add;
    "remove" 4..MANY, "TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...", ["--if-exists"], ReadWrite, remove;
    "clear" 3..MANY, "TABLE RECORD COLUMN...", ["--if-exists"], ReadWrite, clear;
    "create" 2..MANY, "TABLE COLUMN[:KEY]=VALUE...", ["--id="], ReadWrite, create;
    "destroy" 1..MANY, "TABLE [RECORD]...", ["--if-exists", "--all"], ReadWrite, destroy;
    "wait-until" 2..MANY, "TABLE RECORD [COLUMN[:KEY]=VALUE]...", [], ReadOnly, wait_until;
}

/// The record of a command's second argument; `None` if it does not exist and may not.
fn target(cx: &Context<'_>, table: &TableSchema) -> Result<Option<Uuid>, Failure> {
    if cx.call.has("--if-exists") {
        record::find(cx, table, cx.arg(1))
    } else {
        record::record(cx, table, cx.arg(1)).map(Some)
    }
}

fn comment(_: &mut Context<'_>) -> Done {
    Ok(())
}

fn get(cx: &mut Context<'_>) -> Done {
    if cx.call.has("--id") && cx.call.has("--if-exists") {
        return Err("--if-exists and --id may not be specified together".into());
    }
    let table = record::table(cx.txn, cx.arg(0))?;
    let Some(row) = target(cx, &table)? else { return Ok(()) };
    if let Some(name) = cx.call.value("--id") {
        cx.symbols.define(name, Some(row), Lives::Alone)?;
    }
    for i in 2..cx.call.args.len() {
        let arg = cx.arg(i).to_owned();
        let (name, key) = column_and_key(&table, &arg)?;
        let line = value_text(cx, &table, row, name, key.as_deref())?;
        cx.line(line);
    }
    Ok(())
}

fn column_and_key<'t>(
    table: &'t TableSchema,
    arg: &str,
) -> Result<(&'t ColumnSchema, Option<String>), Failure> {
    let parsed = column::parse(table, arg, Operators::Assignment)?;
    if parsed.value.is_some() {
        return Err(
            format!("{arg}: trailing garbage \"={}\" in argument", parsed.value.unwrap_or_default()).into()
        );
    }
    Ok((parsed.column, parsed.key))
}

fn value_text(
    cx: &mut Context<'_>,
    table: &TableSchema,
    row: Uuid,
    column: &ColumnSchema,
    key: Option<&str>,
) -> Result<String, Failure> {
    let value = cx.get(&table.name, row, &column.name);
    cx.txn.verify(&table.name, row, &column.name);
    let Some(key) = key else { return Ok(value.to_text(&column.kind)) };
    if !column.kind.is_map() {
        return Err(format!("cannot specify key to get for non-map column {}", column.name).into());
    }
    let atom = Atom::parse(key, &column.kind.key, Some(cx.symbols))?;
    match value.get(&atom) {
        Some(value) => Ok(value.to_string()),
        None if cx.call.has("--if-exists") => Ok(String::new()),
        None => {
            let (table, id) = (&table.name, cx.arg(1));
            Err(format!("no key \"{key}\" in {table} record \"{id}\" column {}", column.name).into())
        }
    }
}

/// The columns of `--columns`, or all.
fn wanted<'t>(cx: &Context<'_>, table: &'t TableSchema) -> Result<Vec<&'t ColumnSchema>, Failure> {
    let Some(list) = cx.call.value("--columns") else {
        return Ok(table.columns.iter().filter(|c| c.name != "_version").collect());
    };
    let mut columns: Vec<&ColumnSchema> = Vec::new();
    for name in list.split([',', ' ']).filter(|n| !n.is_empty()) {
        columns.push(record::column(table, name)?);
    }
    if columns.is_empty() { Err("must specify at least one column name".into()) } else { Ok(columns) }
}

fn rows_table(cx: &Context<'_>, table: &TableSchema, columns: &[&ColumnSchema], rows: &[Uuid]) -> Table {
    let mut out = Table::new(columns.iter().map(|c| c.name.clone()));
    for row in rows {
        let cell = |c: &&ColumnSchema| Cell::Value(cx.get(&table.name, *row, &c.name), c.kind.clone());
        out.rows.push(columns.iter().map(cell).collect());
    }
    out
}

fn list(cx: &mut Context<'_>) -> Done {
    let table = record::table(cx.txn, cx.arg(0))?;
    let columns = wanted(cx, &table)?;
    let mut rows = Vec::new();
    if cx.call.args.len() > 1 {
        for id in &cx.call.args[1..] {
            let found = record::find(cx, &table, id)?;
            match found {
                Some(row) => rows.push(row),
                None if cx.call.has("--if-exists") => {}
                None => return Err(format!("no row \"{id}\" in table {}", table.name).into()),
            }
        }
    } else {
        rows.extend(cx.txn.rows(&table.name).iter().map(|r| r.uuid()));
    }
    cx.output.table = Some(rows_table(cx, &table, &columns, &rows));
    Ok(())
}

fn find(cx: &mut Context<'_>) -> Done {
    let table = record::table(cx.txn, cx.arg(0))?;
    let columns = wanted(cx, &table)?;
    let all: Vec<Uuid> = cx.txn.rows(&table.name).iter().map(|r| r.uuid()).collect();
    let mut rows = Vec::new();
    for row in all {
        if conditions(cx, &table, row, 1)? {
            rows.push(row);
        }
    }
    cx.output.table = Some(rows_table(cx, &table, &columns, &rows));
    Ok(())
}

/// True if a row satisfies every condition from argument `from` on.
fn conditions(cx: &mut Context<'_>, table: &TableSchema, row: Uuid, from: usize) -> Result<bool, Failure> {
    for arg in cx.call.args.iter().skip(from) {
        if !column::satisfies(cx, table, row, arg)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn wait_until(cx: &mut Context<'_>) -> Done {
    let table = record::table(cx.txn, cx.arg(0))?;
    let row = record::find(cx, &table, cx.arg(1))?;
    cx.try_again = match row {
        Some(row) => !conditions(cx, &table, row, 2)?,
        None => true,
    };
    Ok(())
}

fn set(cx: &mut Context<'_>) -> Done {
    let table = record::table(cx.txn, cx.arg(0))?;
    let Some(row) = target(cx, &table)? else { return Ok(()) };
    for arg in &cx.call.args[2..] {
        column::set(cx, &table, row, arg)?;
    }
    Ok(())
}

fn add(cx: &mut Context<'_>) -> Done {
    let table = record::table(cx.txn, cx.arg(0))?;
    let column = record::column(&table, cx.arg(2))?;
    let Some(row) = target(cx, &table)? else { return Ok(()) };
    column::check_mutable(cx, &table, row, column)?;
    let mut value = cx.get(&table.name, row, &column.name);
    let kind = ColumnType { min: 1, max: u32::MAX, ..column.kind.clone() };
    for text in &cx.call.args[3..] {
        value.union(&Datum::parse(text, &kind, Some(cx.symbols))?);
    }
    store(cx, &table, row, column, value)
}

/// Gives a column the value that `add` or `remove` has made of its old one, if it may hold so many elements.
fn store(cx: &mut Context<'_>, table: &TableSchema, row: Uuid, column: &ColumnSchema, value: Datum) -> Done {
    let (n, kind) = (value.len(), &column.kind);
    let bound = if n > kind.max as usize {
        Some(("maximum", kind.max))
    } else {
        (n < kind.min as usize).then_some(("minimum", kind.min))
    };
    if let Some((which, limit)) = bound {
        let what = if kind.is_map() { "pairs" } else { "values" };
        let (command, column, table) = (cx.call.syntax.name, &column.name, &table.name);
        return Err(format!(
            "\"{command}\" operation would put {n} {what} in column {column} of table {table} but the {which} number is {limit}"
        )
        .into());
    }
    cx.txn.verify(&table.name, row, &column.name);
    cx.txn.set(&table.name, row, &column.name, value);
    Ok(())
}

fn remove(cx: &mut Context<'_>) -> Done {
    let table = record::table(cx.txn, cx.arg(0))?;
    let column = record::column(&table, cx.arg(2))?;
    let Some(row) = target(cx, &table)? else { return Ok(()) };
    column::check_mutable(cx, &table, row, column)?;
    let mut value = cx.get(&table.name, row, &column.name);
    let kind = ColumnType { min: 1, max: u32::MAX, ..column.kind.clone() };
    let keys = ColumnType { value: None, ..kind.clone() };
    for text in &cx.call.args[3..] {
        let part = match Datum::parse(text, &kind, Some(cx.symbols)) {
            Ok(part) => part,
            Err(_) if column.kind.is_map() => Datum::parse(text, &keys, Some(cx.symbols))?,
            Err(error) => return Err(error.into()),
        };
        value.subtract(&part);
    }
    store(cx, &table, row, column, value)
}

fn clear(cx: &mut Context<'_>) -> Done {
    let table = record::table(cx.txn, cx.arg(0))?;
    let Some(row) = target(cx, &table)? else { return Ok(()) };
    for name in &cx.call.args[2..] {
        let column = record::column(&table, name)?;
        column::check_mutable(cx, &table, row, column)?;
        if column.kind.min > 0 {
            return Err(format!(
                "\"clear\" operation cannot be applied to column {} of table {}, which is not allowed to be empty",
                column.name, table.name
            )
            .into());
        }
        cx.txn.set(&table.name, row, &column.name, Datum::default());
    }
    Ok(())
}

fn create(cx: &mut Context<'_>) -> Done {
    let table = record::table(cx.txn, cx.arg(0))?;
    let uuid = match cx.call.value("--id") {
        Some(id) => match Uuid::parse(id) {
            Some(uuid) => uuid,
            None => {
                let lives = if table.is_root { Lives::Alone } else { Lives::ByReference };
                cx.symbols.define(id, None, lives)?
            }
        },
        None => {
            if !table.is_root {
                log::warn!(target: "db_ctl_base",
                    "applying \"create\" command to table {} without --id option will have no effect", table.name);
            }
            random_uuid()
        }
    };
    cx.txn.insert(&table.name, uuid);
    for arg in &cx.call.args[1..] {
        column::set(cx, &table, uuid, arg)?;
    }
    cx.output.created = Some(uuid);
    Ok(())
}

fn destroy(cx: &mut Context<'_>) -> Done {
    let table = record::table(cx.txn, cx.arg(0))?;
    if cx.call.has("--all") {
        if cx.call.args.len() > 1 {
            return Err("--all and records argument should not be specified together".into());
        }
        if cx.call.has("--if-exists") {
            return Err("--all and --if-exists should not be specified together".into());
        }
        let rows: Vec<Uuid> = cx.txn.rows(&table.name).iter().map(|r| r.uuid()).collect();
        rows.into_iter().for_each(|row| cx.txn.delete(&table.name, row));
        return Ok(());
    }
    if cx.call.args.len() < 2 {
        log::warn!(target: "db_ctl_base", "either --all or records argument should be specified");
    }
    for id in &cx.call.args[1..] {
        match record::find(cx, &table, id)? {
            Some(row) => cx.txn.delete(&table.name, row),
            None if cx.call.has("--if-exists") => {}
            None => return Err(format!("no row \"{id}\" in table {}", table.name).into()),
        }
    }
    Ok(())
}
