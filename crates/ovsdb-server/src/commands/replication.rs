//! Commands of active-backup pairs and relays.
//!
//! Where it sits: registered by `commands`.

use daemon::unixctl::Commands;

use crate::control::{Control, SharedControl};
use crate::served::Role;
use crate::server::Server;
use crate::source::Link;

pub(super) fn register(commands: &Commands, control: &SharedControl) {
    let shared = control.clone();
    commands.register("ovsdb-server/set-active-ovsdb-server", "", 1..=1, move |call| {
        shared.replication.borrow_mut().active = call.arg(0).map(str::to_owned);
        refresh(&shared);
        call.reply("");
    });
    let shared = control.clone();
    commands.register("ovsdb-server/get-active-ovsdb-server", "", 0..=0, move |call| {
        call.reply(shared.replication.borrow().active.clone().unwrap_or_default());
    });
    let shared = control.clone();
    commands.register("ovsdb-server/connect-active-ovsdb-server", "", 0..=0, move |call| {
        if shared.replication.borrow().active.is_none() {
            return call.reply("Unable to connect: active server is not specified.\n");
        }
        shared.replication.borrow_mut().backup = Some(true);
        refresh(&shared);
        call.reply("");
    });
    let shared = control.clone();
    commands.register("ovsdb-server/disconnect-active-ovsdb-server", "", 0..=0, move |call| {
        let mut replication = shared.replication.borrow_mut();
        replication.backup = replication.backup.map(|_| false);
        drop(replication);
        refresh(&shared);
        call.reply("");
    });
    let shared = control.clone();
    commands.register(
        "ovsdb-server/set-active-ovsdb-server-probe-interval",
        "",
        1..=1,
        move |call| match call.arg(0).and_then(|text| text.parse().ok()) {
            Some(ms) => {
                shared.replication.borrow_mut().probe_interval = Some(ms);
                refresh(&shared);
                call.reply("");
            }
            None => call.reply("Invalid probe interval, integer value expected\n"),
        },
    );
    let shared = control.clone();
    commands.register("ovsdb-server/set-relay-source-probe-interval", "", 1..=1, move |call| {
        match call.arg(0).and_then(|text| text.parse().ok()) {
            Some(ms) => {
                for served in shared.server.borrow_mut().databases.values_mut() {
                    if let Role::Relay(source, _) = &mut served.role {
                        source.probe_interval = ms;
                    }
                }
                refresh(&shared);
                call.reply("");
            }
            None => call.reply("Invalid probe interval, integer value expected\n"),
        }
    });
    let shared = control.clone();
    commands.register("ovsdb-server/set-sync-exclude-tables", "", 1..=1, move |call| {
        shared.replication.borrow_mut().excluded = call.arg(0).unwrap_or_default().to_owned();
        refresh(&shared);
        call.reply("");
    });
    let shared = control.clone();
    commands.register("ovsdb-server/get-sync-exclude-tables", "", 0..=0, move |call| {
        call.reply(shared.replication.borrow().excluded.clone());
    });
    let shared = control.clone();
    commands.register("ovsdb-server/sync-status", "", 0..=0, move |call| {
        call.reply(status(&shared.server.borrow()));
    });
}

fn refresh(control: &Control) {
    if let Err(error) = control.apply() {
        log::warn!(target: "ovsdb_server@5", "{error}");
    }
}

/// One block per database of the active-backup model.
fn status(server: &Server) -> String {
    let mut blocks = Vec::new();
    for (name, served) in &server.databases {
        let state = match &served.role {
            Role::Active(_) => "state: active\n".to_owned(),
            Role::Backup(source) => {
                let target = &source.target;
                let link = match served.link {
                    Link::Connecting => format!("connecting: {target}\n"),
                    Link::Failed => format!("not connected to {target}\n"),
                    Link::Following if source.excluded.is_empty() => format!("replicating: {target}\n"),
                    Link::Following => {
                        let tables: Vec<&str> = source.excluded.iter().map(String::as_str).collect();
                        format!("replicating: {target}\nexclude: {}\n", tables.join(","))
                    }
                };
                format!("state: backup\n{link}")
            }
            _ => continue,
        };
        blocks.push(format!("database: {name}\n{state}"));
    }
    if blocks.is_empty() { "state: active\n".to_owned() } else { blocks.join("\n") }
}
