//! Commands that ask once and print the answer.
//!
//! Where it sits: called by `options::dispatch`.

use std::process::ExitCode;

use ovsdb::DbSchema;
use ovsdb::json::{self, Json};
use ovsdb::table::{Cell, Table};
use stream::jsonrpc::{Client, Event, Message, Options, Session};

use super::{Context, Outcome};
use crate::ovsdb_tool::read_schema;

pub(super) async fn run(context: &Context, command: &str) -> Outcome {
    let mut client = context.connect().await?;
    match command {
        "list-dbs" => list_dbs(context, &mut client).await,
        "get-schema" => {
            let schema = context.schema(&mut client).await?;
            context.print_json(&schema.to_json());
            Ok(ExitCode::SUCCESS)
        }
        "get-schema-version" => print(context.schema(&mut client).await?.version),
        "get-schema-cksum" => print(context.schema(&mut client).await?.cksum),
        "list-tables" => {
            let schema = context.schema(&mut client).await?;
            let mut table = Table::new(["Table"]);
            table.rows = schema.tables.keys().map(|name| vec![Cell::Text(name.clone())]).collect();
            print!("{}", context.printer().print(&table));
            Ok(ExitCode::SUCCESS)
        }
        "list-columns" => list_columns(context, &context.schema(&mut client).await?),
        "transact" => transact(context, &mut client, false).await,
        "query" => transact(context, &mut client, true).await,
        "convert" => {
            let schema = read_schema(&context.args[0])?;
            let params = vec![Json::string(&*schema.name), schema.to_json()];
            context.call(&mut client, "convert", params).await?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            let schema = read_schema(&context.args[0])?;
            let params = vec![Json::string(&*schema.name)];
            let own = context.call(&mut client, "get_schema", params).await?;
            let own = DbSchema::from_json(&own).map_err(|error| error.to_string())?;
            print(if own == schema { "no" } else { "yes" }.to_owned())
        }
    }
}

fn print(line: String) -> Outcome {
    println!("{line}");
    Ok(ExitCode::SUCCESS)
}

async fn list_dbs(context: &Context, client: &mut Client) -> Outcome {
    context.databases(client).await?.iter().for_each(|name| println!("{name}"));
    Ok(ExitCode::SUCCESS)
}

fn list_columns(context: &Context, schema: &DbSchema) -> Outcome {
    let only = context.args.first();
    let headings: &[&str] = if only.is_some() { &["Column", "Type"] } else { &["Table", "Column", "Type"] };
    let mut table = Table::new(headings.iter().copied());
    for place in schema.tables.values().filter(|t| only.is_none_or(|only| *only == t.name)) {
        for column in &place.columns {
            let mut row = Vec::new();
            row.extend(only.is_none().then(|| Cell::Text(place.name.clone())));
            row.push(Cell::Text(column.name.clone()));
            row.push(Cell::Json(column.kind.to_json()));
            table.rows.push(row);
        }
    }
    print!("{}", context.printer().print(&table));
    Ok(ExitCode::SUCCESS)
}

/// Runs the transaction; `query` ends it with an abort and hides that.
async fn transact(context: &Context, client: &mut Client, read_only: bool) -> Outcome {
    let text = &context.args[0];
    let json = json::parse(text.as_bytes()).map_err(|error| format!("\"{text}\": {error}"))?;
    let Some(params) = json.as_array().filter(|p| p.first().and_then(Json::as_str).is_some()) else {
        return Err("not a valid OVSDB query".to_owned());
    };
    let mut params = params.to_vec();
    if read_only {
        params.push(Json::object([("op", "abort")].map(|(k, v)| (k, Json::string(v)))));
    }
    let mut reply = context.call(client, "transact", params).await?;
    // The answer to the abort, unless something failed before: then there is none.
    if let (true, Json::Array(results)) = (read_only, &mut reply) {
        results.pop_if(|last| *last != Json::Null);
    }
    context.print_json(&reply);
    Ok(ExitCode::SUCCESS)
}

/// Waits until the server offers, or no longer offers, a database; for the server too, if it is not there yet.
pub(super) async fn wait(context: &Context) -> Outcome {
    let [database, state] = context.args.as_slice() else { return Ok(ExitCode::FAILURE) };
    let wanted = match state.as_str() {
        // Standalone databases are connected as soon as they are there.
        "added" | "connected" => true,
        "removed" => false,
        _ => return Err(format!("{state}: unknown state")),
    };
    let servers = context.server.split(',').map(str::to_owned).collect();
    let mut session = Session::dial(servers, Options::default(), &context.clock);
    let ask = Message::request(Json::Integer(0), "list_dbs", Vec::new());
    while let Some(event) = session.next().await {
        match event {
            Event::Connected => session.send(&ask),
            Event::Message(Message::Reply { result, .. }) => {
                let there = result.as_array().is_some_and(|a| a.iter().any(|d| d.as_str() == Some(database)));
                if there == wanted {
                    return Ok(ExitCode::SUCCESS);
                }
                context.clock.sleep_until(context.clock.now_ms() + 100).await;
                session.send(&ask);
            }
            _ => {}
        }
    }
    Err("no servers were available".to_owned())
}
