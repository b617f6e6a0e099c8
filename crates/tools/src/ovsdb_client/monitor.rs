//! `monitor` in its three forms, and locks: commands that stay connected.
//!
//! Where it sits: called by `options::dispatch`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ovsdb::json::{self, Json, Object};
use ovsdb::schema::VERSION_COLUMN;
use ovsdb::table::{Cell, Printer, Table};
use ovsdb::{Condition, Datum, DbSchema, TableSchema, Uuid};
use stream::jsonrpc::{Event, Message, Session};

use super::stay::Heard;
use super::{Context, Outcome};

/// What is watched in one table: columns in the order in which they are printed.
type Watched = Vec<usize>;

/// Every column but `_uuid`, in C's order: `_version` comes last.
fn all_columns(table: &TableSchema) -> Watched {
    table.own_columns().map(|(index, _)| index).chain([VERSION_COLUMN]).collect()
}

/// Connects and sends a request with id 0.
async fn begin(context: &Context, method: &str, params: Vec<Json>) -> Result<Session, String> {
    let mut session = context.connect().await?.into_session();
    session.send(&Message::request(Json::Integer(0), method, params));
    Ok(session)
}

/// Prints what happens to tables until the connection ends.
pub(super) async fn run(context: &Context, command: &str) -> Outcome {
    let mut client = context.connect().await?;
    let schema = context.schema(&mut client).await?;
    drop(client);
    let mut args = context.args.as_slice();
    let mut last_id = Uuid::ZERO.to_string();
    let mut condition = None;
    if command == "monitor-cond-since" && args.len() > 2 && Uuid::parse(&args[0]).is_some() {
        last_id = args[0].clone();
        args = &args[1..];
    }
    if command != "monitor" {
        condition = Some(read_condition(&schema, &args[0], &args[1])?);
        args = &args[1..];
    }
    let (watched, requests) =
        requests(&schema, args, condition.as_ref()).map_err(|e| format!("{}: {e}", context.server))?;
    let method = command.replace('-', "_");
    let mut params = vec![Json::string(&*context.database), Json::Null, Json::Object(requests)];
    if command == "monitor-cond-since" {
        params.push(Json::string(last_id));
    }
    let mut session = begin(context, &method, params).await?;
    let mut printer = context.printer();
    loop {
        match context.stay.next(&mut session).await {
            Heard::Session(Some(Event::Message(message))) => {
                let is_first = matches!(message, Message::Reply { .. });
                show_message(context, &schema, &watched, &mut printer, message)?;
                if is_first {
                    context.stay.ready();
                }
            }
            Heard::Session(Some(Event::Connected)) | Heard::Order(_) => {}
            Heard::Session(Some(Event::Disconnected) | None) => {
                return Err(format!("{}: receive failed (End of file)", context.server));
            }
            Heard::Exit => return context.stay.end(),
        }
    }
}

/// The condition in `text`, once it is known to be one of the table.
fn read_condition(schema: &DbSchema, text: &str, table: &str) -> Result<Json, String> {
    let unknown = || format!("{} does not have a table named \"{table}\"", schema.name);
    let table = schema.table(table).ok_or_else(unknown)?;
    let json = json::parse(text.as_bytes()).map_err(|error| format!("\"{text}\": {error}"))?;
    Condition::from_json(table, &json, None).map_err(|error| error.to_string())?;
    Ok(json)
}

fn show_message(
    context: &Context,
    schema: &DbSchema,
    watched: &BTreeMap<String, Watched>,
    printer: &mut Printer,
    message: Message,
) -> Result<(), String> {
    let initial = matches!(message, Message::Reply { .. });
    let (updates, last_id) = match message {
        Message::Reply { result, .. } => match result.as_array() {
            Some([found, last, updates]) => {
                let found = found.as_bool().unwrap_or(false);
                let last = last.as_str().unwrap_or_default();
                context.stay.say(&format!("found: {found}, last_id: {last}\n"))?;
                (updates.clone(), None)
            }
            _ => (result, None),
        },
        Message::Error { error, .. } => return Err(format!("monitor request failed: {error}")),
        Message::Notification { method, params } => match (method.as_str(), params.as_slice()) {
            ("update" | "update2", [_, updates]) => (updates.clone(), None),
            ("update3", [_, last, updates]) => {
                (updates.clone(), Some(last.as_str().unwrap_or_default().to_owned()))
            }
            ("monitor_canceled", _) => return Err("monitor was canceled".to_owned()),
            _ => return Ok(()),
        },
        Message::Request { .. } => return Ok(()),
    };
    let mut out = String::new();
    for (name, rows) in updates.as_object().into_iter().flatten() {
        let (Some(table), Some(state)) = (schema.table(name), watched.get(name.as_str())) else { continue };
        let printed = rows_table(table, state, initial, rows);
        if printed.rows.is_empty() {
            continue;
        }
        let stamp = || crate::ovsdb_tool::format_date(context.clock.wall_ms() as i64);
        let timestamp = context.timestamp.then(stamp);
        let caption = (watched.len() > 1).then(|| name.to_string());
        out.push_str(&printer.print(&Table { timestamp, caption, ..printed }));
    }
    if let Some(last_id) = last_id {
        // The first table follows in the same line, as with C.
        out.insert_str(0, &format!("\nlast_id: {last_id}"));
    }
    context.stay.say(&out)
}

/// One table of actions and columns out of an update of either kind.
fn rows_table(table: &TableSchema, watched: &Watched, initial: bool, rows: &Json) -> Table {
    let headings = ["row", "action"].into_iter().map(str::to_owned);
    let names = watched.iter().map(|&index| table.columns[index].name.clone());
    let mut out = Table::new(headings.chain(names));
    for (uuid, update) in rows.as_object().into_iter().flatten() {
        let Some(uuid) = Uuid::parse(uuid) else { continue };
        let mut add = |action: &str, first: bool, row: Option<&Json>| {
            let mut cells = vec![
                Cell::Text(if first { uuid.to_string() } else { String::new() }),
                Cell::Text(action.to_owned()),
            ];
            for &index in watched {
                let column = &table.columns[index];
                let value = row.and_then(|row| row.get(&column.name));
                let datum = value.and_then(|v| Datum::from_json_any_size(v, &column.kind, None).ok());
                cells.push(match datum {
                    Some(datum) => Cell::Value(datum, column.kind.clone()),
                    None => Cell::Empty,
                });
            }
            out.rows.push(cells);
        };
        match (update.get("old"), update.get("new")) {
            (Some(old), None) => add("delete", true, Some(old)),
            (None, Some(new)) => {
                add(if initial { "initial" } else { "insert" }, true, Some(new));
            }
            (Some(old), Some(new)) => {
                add("old", true, Some(old));
                add("new", false, Some(new));
            }
            (None, None) => {
                for (action, row) in update.as_object().into_iter().flatten() {
                    add(action, true, Some(row));
                }
            }
        }
    }
    out
}

type Requests = (BTreeMap<String, Watched>, Object);

fn requests(schema: &DbSchema, args: &[String], condition: Option<&Json>) -> Result<Requests, String> {
    let (mut watched, mut requests) = (BTreeMap::new(), Object::new());
    if args == ["ALL"] {
        for table in schema.tables.values() {
            watched.insert(table.name.clone(), all_columns(table));
            requests.insert(&table.name, Json::Object(Object::new()));
        }
        return Ok((watched, requests));
    }
    let Some((name, lists)) = args.split_first() else { return Ok((watched, requests)) };
    let Some(table) = schema.table(name) else {
        return Err(format!("{} does not have a table named \"{name}\"", schema.name));
    };
    let mut columns = Vec::new();
    let mut parts = Vec::new();
    let everything = [String::new()];
    for list in if lists.is_empty() { &everything } else { lists } {
        let (own, request) = request(&schema.name, table, list, condition)?;
        if let Some(twice) = own.iter().find(|column| columns.contains(*column) && !list.is_empty()) {
            return Err(format!("column \"{}\" mentioned multiple times", table.columns[*twice].name));
        }
        columns.extend(own);
        parts.push(request);
    }
    requests.insert(name, Json::Array(parts));
    watched.insert(name.clone(), columns);
    Ok((watched, requests))
}

/// One `<monitor-request>` out of `COLUMN,…,!initial,…`.
fn request(
    database: &str,
    table: &TableSchema,
    list: &str,
    condition: Option<&Json>,
) -> Result<(Vec<usize>, Json), String> {
    let mut select = Object::new();
    let mut columns = Vec::new();
    for word in list.split([',', ' ']).filter(|word| !word.is_empty()) {
        if let Some(kind @ ("initial" | "insert" | "delete" | "modify")) = word.strip_prefix('!') {
            select.insert(kind, Json::Bool(false));
            continue;
        }
        let unknown =
            || format!("table \"{}\" in {database} does not have a column named \"{word}\"", table.name);
        let column = table.column_index(word).ok_or_else(unknown)?;
        if columns.contains(&column) {
            return Err(format!("column \"{word}\" mentioned multiple times"));
        }
        columns.push(column);
    }
    if columns.is_empty() {
        columns = all_columns(table);
    }
    let names = columns.iter().map(|&index| table.columns[index].name.as_str());
    let mut members = Object::from([("columns".to_owned(), Json::array(names))]);
    if !select.is_empty() {
        members.insert("select", Json::Object(select));
    }
    if let Some(condition) = condition {
        members.insert("where", condition.clone());
    }
    Ok((columns, Json::Object(members)))
}

/// Asks for a lock and prints what becomes of it, and of others that are asked for meanwhile.
pub(super) async fn lock(context: &Context, method: &str) -> Outcome {
    let mut session = begin(context, method, vec![Json::string(&*context.args[0])]).await?;
    context.stay.take_orders();
    let mut next_id = 1;
    loop {
        match context.stay.next(&mut session).await {
            Heard::Session(Some(Event::Message(Message::Reply { result, .. }))) => {
                context.stay.say(&context.json_line(&result))?;
                if method == "unlock" && next_id == 1 {
                    return Ok(ExitCode::SUCCESS);
                }
                context.stay.ready();
            }
            // An order that is refused ends nothing.
            Heard::Session(Some(Event::Message(Message::Error { id, error }))) => match id {
                Json::Integer(1..) => log::warn!("the server refused an order: {error}"),
                _ => return Err(format!("{method} failed: {error}")),
            },
            Heard::Session(Some(Event::Message(Message::Notification { method, params }))) => {
                let params = context.json_line(&Json::Array(params));
                context.stay.say(&format!("{method}\n{params}"))?;
            }
            Heard::Session(Some(Event::Disconnected) | None) => {
                return Err(format!("{}: receive failed (End of file)", context.server));
            }
            Heard::Session(Some(_)) => {}
            Heard::Order(order) => {
                let params = vec![Json::string(order.lock)];
                session.send(&Message::request(Json::Integer(next_id), order.method, params));
                next_id += 1;
                order.call.reply("");
            }
            Heard::Exit => return context.stay.end(),
        }
    }
}
