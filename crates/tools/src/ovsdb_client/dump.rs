//! `dump`, `backup` and `restore`: whole tables and databases.
//!
//! Where it sits: called by `options::dispatch`.

use std::io::{Read, Write};
use std::process::ExitCode;

use ovsdb::json::{Json, Object};
use ovsdb::schema::VERSION_COLUMN;
use ovsdb::table::{Cell, Table};
use ovsdb::{Datum, DbSchema, TableSchema, Uuid};
use ovsdb_engine::log;
use stream::jsonrpc::Client;

use super::{Context, Outcome};

/// All rows of a table, with these columns.
async fn select(
    context: &Context,
    client: &mut Client,
    table: &TableSchema,
    columns: &[usize],
) -> Result<Vec<Json>, String> {
    let names = columns.iter().map(|&index| table.columns[index].name.as_str());
    let operation = Json::object([
        ("op", Json::string("select")),
        ("table", Json::string(&*table.name)),
        ("where", Json::Array(Vec::new())),
        ("columns", Json::array(names)),
    ]);
    let params = vec![Json::string(&*context.database), operation];
    let reply = context.call(client, "transact", params).await?;
    let result = reply.as_array().and_then(|results| results.first()).cloned().unwrap_or_default();
    match result.get("rows").and_then(Json::as_array) {
        Some(rows) => Ok(rows.to_vec()),
        None => {
            Err(format!("{} table reply is not an object with a \"rows\" member array: {result}", table.name))
        }
    }
}

/// Prints tables.
pub(super) async fn dump(context: &Context) -> Outcome {
    let mut client = context.connect().await?;
    let schema = context.schema(&mut client).await?;
    let mut printer = context.printer();
    let only = context.args.first();
    if let Some(name) = only.filter(|name| schema.table(name).is_none()) {
        return Err(format!("No table \"{name}\" found."));
    }
    for table in schema.tables.values().filter(|t| only.is_none_or(|only| *only == t.name)) {
        let columns = dumped_columns(table, context.args.get(1..).unwrap_or_default())?;
        let rows = select(context, &mut client, table, &columns).await?;
        let mut out = Table::new(columns.iter().map(|&index| table.columns[index].name.clone()));
        out.caption = Some(format!("{} table", table.name));
        let mut keyed = Vec::new();
        for row in rows {
            let mut cells = Vec::new();
            let mut key = Vec::new();
            for &index in &columns {
                let column = &table.columns[index];
                let json = row.get(&column.name).ok_or_else(|| {
                    format!("row 0 in table {} response lacks {} column", table.name, column.name)
                })?;
                let datum = Datum::from_json(json, &column.kind, None).map_err(|error| error.to_string())?;
                key.push(datum.clone());
                cells.push(Cell::Value(datum, column.kind.clone()));
            }
            keyed.push((key, cells));
        }
        // Sorted, so that two dumps of the same contents are the same text.
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        out.rows = keyed.into_iter().map(|(_, cells)| cells).collect();
        print!("{}", printer.print(&out));
    }
    Ok(ExitCode::SUCCESS)
}

fn dumped_columns(table: &TableSchema, names: &[String]) -> Result<Vec<usize>, String> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).filter(|index| *index != VERSION_COLUMN).collect());
    }
    let mut columns = Vec::new();
    for name in names {
        let index = table.column_index(name);
        columns.push(index.ok_or_else(|| format!("Table \"{}\" has no column {name}.", table.name))?);
    }
    columns.sort_by(|a, b| table.columns[*a].name.cmp(&table.columns[*b].name));
    Ok(columns)
}

/// Writes the database as a database file to standard output.
pub(super) async fn backup(context: &Context) -> Outcome {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() {
        return Err("not writing backup to a terminal; please redirect stdout to a file".to_owned());
    }
    let mut client = context.connect().await?;
    let schema = context.schema(&mut client).await?;
    let mut record = Object::new();
    for table in schema.tables.values() {
        let persistent = |index: &usize| *index == 0 || *index > 1 && table.columns[*index].persistent;
        let columns: Vec<usize> = (0..table.columns.len()).filter(persistent).collect();
        let mut rows = Vec::new();
        for row in select(context, &mut client, table, &columns).await? {
            let mut members = row.as_object().cloned().unwrap_or_default();
            let uuid = members.remove("_uuid");
            let uuid = uuid.as_ref().and_then(Json::as_array).and_then(|pair| pair.get(1)?.as_str());
            let uuid =
                uuid.ok_or_else(|| format!("{} table reply row lacks _uuid member: {row}", table.name))?;
            rows.push((uuid.to_owned(), Json::Object(members)));
        }
        if !rows.is_empty() {
            record.insert(&table.name, Json::object(rows));
        }
    }
    record.insert("_date", Json::Integer(context.clock.wall_ms() as i64));
    record.insert("_comment", Json::string("produced by \"ovsdb-client backup\""));
    let mut bytes = log::encode(&schema.to_json().to_string());
    bytes.extend(log::encode(&Json::Object(record).to_string()));
    std::io::stdout().write_all(&bytes).map_err(|error| format!("write failed ({error})"))?;
    Ok(ExitCode::SUCCESS)
}

/// What standard input is called in messages.
const STDIN: &str = "/dev/stdin";

/// How two schemas that are not the same differ.
fn difference(backup: &str, database: &str) -> String {
    if backup == database {
        return format!("backup schema and database schema are both version {backup} but still differ");
    }
    format!("backup schema has version \"{backup}\" but database schema has version \"{database}\"")
}

/// Replaces the database's contents by those of a database file on standard input, in one transaction.
pub(super) async fn restore(context: &Context) -> Outcome {
    let mut data = Vec::new();
    std::io::stdin().read_to_end(&mut data).map_err(|error| format!("read failed ({error})"))?;
    log::identify(&data, STDIN).map_err(|error| error.to_string())?;
    let (loaded, _) = ovsdb_engine::storage::load(&data, STDIN, None, ovsdb_engine::record::Unknown::Refuse)
        .map_err(|error| error.to_string())?;
    if let Some(damage) = loaded.damage {
        return Err(damage.to_string());
    }
    let mut client = context.connect().await?;
    let current = context.schema(&mut client).await?;
    let backup: &DbSchema = &loaded.db.schema;
    if *backup != current {
        let difference = difference(&backup.version, &current.version);
        if !context.force {
            return Err(format!(
                "{difference} (use --force to override differences, or \"ovsdb-client convert\" to change the schema)"
            ));
        }
        ::log::info!(target: "ovsdb_client", "{difference}");
    }
    let mut params = vec![Json::string(&*context.database)];
    for name in current.tables.keys() {
        params.push(Json::object([
            ("op", Json::string("delete")),
            ("table", Json::string(&**name)),
            ("where", Json::Array(Vec::new())),
        ]));
    }
    for table in loaded.db.tables.iter().filter(|table| current.table(&table.schema.name).is_some()) {
        for row in table.rows.values() {
            params.push(insert(&table.schema, row));
        }
    }
    let reply = context.call(&mut client, "transact", params).await?;
    let error = reply.as_array().into_iter().flatten().find(|result| result.get("error").is_some());
    match error {
        Some(error) => Err(format!("restore failed: {error}")),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// The operation that inserts a row of a backup. Rows get new identifiers, so references go by name.
fn insert(schema: &TableSchema, row: &ovsdb_engine::Row) -> Json {
    let columns = schema.own_columns().filter(|(_, column)| column.persistent);
    let columns = columns
        .map(|(index, column)| (column.name.clone(), by_name(row.fields[index].to_json(&column.kind))));
    Json::object([
        ("op", Json::string("insert")),
        ("table", Json::string(&*schema.name)),
        ("uuid-name", Json::string(row_name(&row.uuid.to_string()))),
        ("row", Json::object(columns)),
    ])
}

fn row_name(uuid: &str) -> String {
    format!("row{}", uuid.replace('-', "_"))
}

/// The value with each `["uuid", …]` as the name of the row of a backup.
fn by_name(value: Json) -> Json {
    match value {
        Json::Array(elements) => match elements.as_slice() {
            [Json::String(tag), Json::String(uuid)] if tag == "uuid" && Uuid::parse(uuid).is_some() => {
                Json::array(["named-uuid", &row_name(uuid)])
            }
            _ => Json::Array(elements.into_iter().map(by_name).collect()),
        },
        other => other,
    }
}
