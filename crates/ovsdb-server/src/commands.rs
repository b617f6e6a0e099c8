//! Run-time control of the server.
//!
//! Where it sits: registered by `run` on the daemon's control socket.
//!
//! Spec: ovsdb-server(1) "Runtime Management Commands".

mod databases;
mod replication;

use daemon::Handle;
use daemon::unixctl::Commands;
use ovsdb_engine::record::Columns;

use crate::config_file;
use crate::control::SharedControl;
use crate::server::SERVER_DB;

/// Registers all commands.
pub fn register(handle: &Handle, control: &SharedControl) {
    databases::register(handle.commands(), control);
    replication::register(handle.commands(), control);
    register_remotes(handle.commands(), control);
    register_rest(handle.commands(), control);
    daemon::coverage::add_source("lockfile_lock", ovsdb_engine::storage::locks_taken);
    let control = control.clone();
    handle.memory().add(move |usage| {
        let (Ok(server), Ok(remotes)) = (control.server.try_borrow(), control.remotes.try_borrow()) else {
            return;
        };
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
        let users = server.databases.iter().filter(|(name, _)| *name != SERVER_DB);
        let history = users.map(|(_, served)| served.history.len()).sum();
        for (name, n) in [
            // What is dialled is one even while nobody answers.
            ("sessions", server.session_count() + remotes.unanswered()),
            ("triggers", server.waiting_count()),
            ("txn-history", history),
        ] {
            if n > 0 {
                add(name, n);
            }
        }
    });
}

/// Registers the command that takes back `--disable-file-column-diff`.
pub fn register_column_diff(handle: &Handle, control: &SharedControl) {
    let shared = control.clone();
    handle.commands().register("ovsdb/file/column-diff-enable", "", 0..=0, move |call| {
        let mut server = shared.server.borrow_mut();
        server.columns = Columns::Diff;
        server.databases.values_mut().for_each(|served| served.columns = Columns::Diff);
        call.reply("");
    });
}

/// Registers the command that takes back `--disable-file-no-data-conversion`. Only clustered databases would do otherwise.
pub fn register_no_data_conversion(handle: &Handle) {
    handle.commands().register("ovsdb/file/no-data-conversion-enable", "", 0..=0, |call| call.reply(""));
}

fn register_remotes(commands: &Commands, control: &SharedControl) {
    let shared = control.clone();
    commands.register("ovsdb-server/add-remote", "REMOTE", 1..=1, move |call| {
        let name = call.arg(0).unwrap_or_default().to_owned();
        if !shared.remotes.borrow().names.contains(&name) {
            shared.remotes.borrow_mut().names.push(name.clone());
        }
        match shared.apply() {
            Ok(()) => call.reply(""),
            Err(error) => {
                shared.remotes.borrow_mut().names.retain(|known| *known != name);
                call.error(error);
            }
        }
    });
    let shared = control.clone();
    commands.register("ovsdb-server/remove-remote", "REMOTE", 1..=1, move |call| {
        let name = call.arg(0).unwrap_or_default().to_owned();
        let at = shared.remotes.borrow().names.iter().position(|known| *known == name);
        let Some(at) = at else { return call.error("no such remote") };
        shared.remotes.borrow_mut().names.remove(at);
        // What is wrong with other remotes is no news.
        let _ = shared.apply();
        call.reply("");
    });
    let shared = control.clone();
    commands.register("ovsdb-server/list-remotes", "", 0..=0, move |call| {
        let mut names = shared.remotes.borrow().names.clone();
        names.sort();
        call.reply(names.iter().map(|name| format!("{name}\n")).collect::<String>());
    });
}

fn register_rest(commands: &Commands, control: &SharedControl) {
    commands.register("ovsdb-server/perf-counters-show", "", 0..=0, |call| {
        call.reply("performance counter is not supported on this platform\n");
    });
    commands.register("ovsdb-server/perf-counters-clear", "", 0..=0, |call| call.reply(""));
    commands.register("ovsdb-server/memory-trim-on-compaction", "on|off", 1..=1, |call| match call.arg(0) {
        // Memory goes back to the system as it is freed, so there is nothing to switch.
        Some("on") => {
            log::info!(target: "ovsdb_server", "memory trimming after compaction enabled.");
            call.reply("");
        }
        Some("off") => {
            log::info!(target: "ovsdb_server", "memory trimming after compaction disabled.");
            call.reply("");
        }
        _ => call.error("invalid argument"),
    });
    let shared = control.clone();
    commands.register("ovsdb-server/disable-monitor-cond", "", 0..=0, move |call| {
        let mut server = shared.server.borrow_mut();
        server.old_monitors_only = true;
        server.disconnect_all(Some("user ran ovsdb-server/disable-monitor-cond"));
        call.reply("");
    });
    let shared = control.clone();
    commands.register("ovsdb-server/reconnect", "", 0..=0, move |call| {
        shared.server.borrow_mut().disconnect_all(Some("user ran ovsdb-server/reconnect"));
        call.reply("");
    });
    let shared = control.clone();
    commands.register("ovsdb-server/reload", "", 0..=0, move |call| match config_file::load(&shared) {
        Ok(()) => call.reply(""),
        Err(error) => call.error(error),
    });
}
