//! Run-time control of the server.
//!
//! Where it sits: registered by `run` on the daemon's control socket.
//!
//! Spec: ovsdb-server(1) "Runtime Management Commands".

use std::cell::RefCell;
use std::rc::Rc;

use daemon::Handle;
use daemon::unixctl::Commands;

use crate::connection::Shared;
use crate::remotes::Remotes;
use crate::server::SERVER_DB;

/// The remotes, as tasks share them.
pub type SharedRemotes = Rc<RefCell<Remotes>>;

/// Registers all commands.
pub fn register(handle: &Handle, server: &Shared, remotes: &SharedRemotes) {
    register_databases(handle.commands(), server, remotes);
    register_remotes(handle.commands(), server, remotes);
    register_rest(handle.commands(), server);
    let server = server.clone();
    handle.memory().add(move |usage| {
        let Ok(server) = server.try_borrow() else { return };
        let mut add = |name: &str, n: usize| *usage.entry(name.to_owned()).or_default() += n as u64;
        for name in ["atoms", "cells", "monitors", "n-weak-refs"] {
            add(name, 0);
        }
        for served in server.databases.values() {
            let used = served.db.usage();
            add("atoms", used.atoms);
            add("cells", used.cells);
            add("n-weak-refs", used.weak_refs);
        }
        add("monitors", server.monitor_count());
        if server.session_count() > 0 {
            add("sessions", server.session_count());
        }
        if server.waiting_count() > 0 {
            add("triggers", server.waiting_count());
        }
    });
}

fn register_databases(commands: &Commands, server: &Shared, remotes: &SharedRemotes) {
    let shared = server.clone();
    commands.register("ovsdb-server/list-dbs", "", 0..=0, move |call| {
        let server = shared.borrow();
        call.reply(server.databases.keys().map(|name| format!("{name}\n")).collect::<String>());
    });
    let (shared, config) = (server.clone(), remotes.clone());
    commands.register("ovsdb-server/add-db", "DB", 1..=1, move |call| {
        let file = call.arg(0).unwrap_or_default().to_owned();
        let added = shared.borrow_mut().add_database(&file);
        let added = added.and_then(|_| config.borrow_mut().reconfigure(&shared));
        match added {
            Ok(()) => call.reply(""),
            Err(error) => call.error(error),
        }
    });
    let shared = server.clone();
    commands.register("ovsdb-server/remove-db", "DB", 1..=1, move |call| {
        let name = call.arg(0).unwrap_or_default().to_owned();
        let mut server = shared.borrow_mut();
        if !server.databases.contains_key(&name) {
            call.error("Failed to find the database.");
        } else if name.starts_with('_') {
            call.error("Cannot remove reserved database.");
        } else {
            log::info!(target: "ovsdb_server", "removing {name} database by user request");
            server.remove_database(&name);
            call.reply("");
        }
    });
    let shared = server.clone();
    commands.register("ovsdb-server/compact", "", 0..=1, move |call| {
        let mut server = shared.borrow_mut();
        let now = server.now();
        let only = call.arg(0).map(str::to_owned);
        if let Some(name) = only.as_deref() {
            if name.starts_with('_') {
                return call.error("cannot compact built-in databases");
            } else if !server.databases.contains_key(name) {
                return call.error("no database by that name");
            }
        }
        let mut errors = Vec::new();
        for (name, served) in server.databases.iter_mut().filter(|(name, _)| *name != SERVER_DB) {
            if only.as_deref().is_none_or(|only| only == name) {
                log::info!(target: "ovsdb_server", "compacting {name} database by user request");
                errors.extend(served.compact("compacted by ovsdb-server", now).err().map(|e| e.to_string()));
            }
        }
        if errors.is_empty() { call.reply("") } else { call.error(errors.join("\n")) }
    });
    let shared = server.clone();
    commands.register("ovsdb-server/get-db-storage-status", "DB", 1..=1, move |call| {
        let known = shared.borrow().databases.contains_key(call.arg(0).unwrap_or_default());
        if known { call.reply("status: ok\n") } else { call.error("Failed to find the database.") }
    });
}

fn register_remotes(commands: &Commands, server: &Shared, remotes: &SharedRemotes) {
    let (shared, config) = (server.clone(), remotes.clone());
    commands.register("ovsdb-server/add-remote", "REMOTE", 1..=1, move |call| {
        let name = call.arg(0).unwrap_or_default().to_owned();
        let mut remotes = config.borrow_mut();
        if !remotes.names.contains(&name) {
            remotes.names.push(name.clone());
        }
        match remotes.reconfigure(&shared) {
            Ok(()) => call.reply(""),
            Err(error) => {
                remotes.names.retain(|known| *known != name);
                call.error(error);
            }
        }
    });
    let (shared, config) = (server.clone(), remotes.clone());
    commands.register("ovsdb-server/remove-remote", "REMOTE", 1..=1, move |call| {
        let name = call.arg(0).unwrap_or_default().to_owned();
        let mut remotes = config.borrow_mut();
        let Some(at) = remotes.names.iter().position(|known| *known == name) else {
            return call.error("no such remote");
        };
        remotes.names.remove(at);
        let _ = remotes.reconfigure(&shared);
        call.reply("");
    });
    let config = remotes.clone();
    commands.register("ovsdb-server/list-remotes", "", 0..=0, move |call| {
        let mut names = config.borrow().names.clone();
        names.sort();
        call.reply(names.iter().map(|name| format!("{name}\n")).collect::<String>());
    });
}

fn register_rest(commands: &Commands, server: &Shared) {
    commands.register("ovsdb-server/sync-status", "", 0..=0, |call| call.reply("state: active\n"));
    commands.register("ovsdb-server/perf-counters-show", "", 0..=0, |call| {
        call.reply("performance counter is not supported on this platform\n");
    });
    commands.register("ovsdb-server/perf-counters-clear", "", 0..=0, |call| call.reply(""));
    let shared = server.clone();
    commands.register("ovsdb-server/reconnect", "", 0..=0, move |call| {
        log::info!(target: "ovsdb_server", "user ran ovsdb-server/reconnect");
        shared.borrow_mut().disconnect_all();
        call.reply("");
    });
}
