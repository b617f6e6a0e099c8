//! Commands that add, remove, compact and watch databases.
//!
//! Where it sits: registered by `commands`.

use daemon::unixctl::Commands;

use crate::compaction;
use crate::control::{Control, SharedControl};
use crate::server::{SERVER_DB, Server};

pub(super) fn register(commands: &Commands, control: &SharedControl) {
    let shared = control.clone();
    commands.register("ovsdb-server/list-dbs", "", 0..=0, move |call| {
        let server = shared.server.borrow();
        call.reply(server.databases.keys().map(|name| format!("{name}\n")).collect::<String>());
    });
    let shared = control.clone();
    commands.register("ovsdb-server/add-db", "DB", 1..=1, move |call| {
        let file = as_at_start(&shared, call.arg(0).unwrap_or_default());
        let added = shared.server.borrow_mut().add_argument(&file);
        match added.and_then(|()| shared.apply()) {
            Ok(()) => call.reply(""),
            Err(error) => call.error(error),
        }
    });
    let shared = control.clone();
    commands.register("ovsdb-server/remove-db", "DB", 1..=1, move |call| {
        let name = call.arg(0).unwrap_or_default().to_owned();
        if !shared.server.borrow().databases.contains_key(&name) {
            return call.error("Failed to find the database.");
        } else if name.starts_with('_') {
            return call.error("Cannot remove reserved database.");
        }
        shared.server.borrow_mut().remove_database(&name);
        // Remotes and certificates that this database named are gone until it is back.
        let _ = shared.apply();
        call.reply("");
    });
    let shared = control.clone();
    commands.register("ovsdb-server/compact", "", 0..=1, move |call| {
        let names = match to_compact(&shared.server.borrow(), call.arg(0)) {
            Ok(names) => names,
            Err(error) => return call.error(error),
        };
        let server = shared.server.clone();
        tokio::task::spawn_local(async move {
            let mut errors = Vec::new();
            for name in names {
                log::info!(target: "ovsdb_server", "compacting {name} database by user request");
                errors.extend(compaction::compact(&server, &name, "compacted by ovsdb-server").await.err());
            }
            if errors.is_empty() { call.reply("") } else { call.error(errors.join("\n")) }
        });
    });
    let shared = control.clone();
    commands.register("ovsdb-server/get-db-storage-status", "DB", 1..=1, move |call| {
        let known = shared.server.borrow().databases.contains_key(call.arg(0).unwrap_or_default());
        if known { call.reply("status: ok\n") } else { call.error("Failed to find the database.") }
    });
    let shared = control.clone();
    commands.register("ovsdb-server/tlog-set", "DB:TABLE on|off", 2..=2, move |call| {
        let (place, state) = (call.arg(0).unwrap_or_default(), call.arg(1).unwrap_or_default());
        match set_logging(&mut shared.server.borrow_mut(), place, state) {
            Ok(()) => call.reply(""),
            Err(error) => call.error(error),
        }
    });
    let shared = control.clone();
    commands.register("ovsdb-server/tlog-list", "", 0..=0, move |call| {
        call.reply(list_logging(&shared.server.borrow()));
    });
}

/// What names a database, as it would have named it where the server was started: a daemon leaves that folder.
fn as_at_start(control: &Control, argument: &str) -> String {
    if argument.starts_with("relay:") || std::env::current_dir().is_ok_and(|now| now == control.folder) {
        return argument.to_owned();
    }
    control.folder.join(argument).display().to_string()
}

/// The databases that a user wants compacted.
fn to_compact(server: &Server, only: Option<&str>) -> Result<Vec<String>, String> {
    if let Some(name) = only {
        if name.starts_with('_') {
            return Err("cannot compact built-in databases".to_owned());
        } else if !server.databases.contains_key(name) {
            return Err("no database by that name".to_owned());
        }
    }
    let chosen = server.databases.iter().filter(|(name, served)| {
        *name != SERVER_DB && served.storage.is_some() && only.is_none_or(|only| only == *name)
    });
    Ok(chosen.map(|(name, _)| name.clone()).collect())
}

fn set_logging(server: &mut Server, place: &str, state: &str) -> Result<(), &'static str> {
    let Some((database, table)) = place.split_once(':') else { return Err("invalid DB:TABLE argument") };
    let served = server.databases.get_mut(database).ok_or("no such database")?;
    served.db.table(table).ok_or("no such table")?;
    match state {
        "on" => _ = served.logged.insert(table.to_owned()),
        "off" => _ = served.logged.remove(table),
        _ => return Err("invalid command argument"),
    }
    Ok(())
}

fn list_logging(server: &Server) -> String {
    let mut text = String::from("database        table                       logging\n");
    text.push_str("--------        -----                       -------\n");
    for (name, served) in &server.databases {
        text.push_str(&format!("{name:<16} \n"));
        for table in served.db.schema.tables.keys() {
            let state = if served.logged.contains(table) { "ON" } else { "OFF" };
            text.push_str(&format!("                {table:<27} {state}\n"));
        }
    }
    text
}
