//! The daemon: options, start-up, the loop that watches time, and the end.
//!
//! Where it sits: called by `main`.
//!
//! I1  `ready` comes after all databases are open and all remotes listen, so `--detach` returns only then.
//!
//! Spec: ovsdb-server(1).

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;

use daemon::{Daemon, Exit, Handle, program, version, vlog};
use ovsdb_engine::UuidSource;
use ovsdb_engine::record::Columns;

use crate::connection::Shared;
use crate::control::{Control, SharedControl};
use crate::options::{self, Settings};
use crate::server::Server;
use crate::{commands, compaction, config_file, status};

const STATUS_INTERVAL_MS: u64 = 2500;

/// Runs the program.
pub fn main() -> ExitCode {
    daemon::init();
    vlog::add_modules(vlog::DAEMON_MODULES);
    vlog::add_modules(vlog::DATABASE_MODULES);
    vlog::add_modules(&["memory", "ovsdb_server", "relay", "replication"]);
    let settings = options::read();
    let daemon = Daemon::start(&settings.daemon);
    let daemon = daemon.unwrap_or_else(|error| program::exit_with(&error.to_string()));
    daemon.run(async |handle| serve(handle, settings).await)
}

async fn serve(handle: Handle, settings: Settings) -> ExitCode {
    let uuids = match stream::replay::random() {
        Ok(random) => UuidSource::of(random),
        Err(error) => {
            let reason = stream::error_text(&error);
            program::exit_with(&format!("failed to open uuid replay file: {reason}."))
        }
    };
    let mut server = Server::new(handle.clock().clone(), uuids);
    if settings.whole_columns {
        server.columns = Columns::Whole;
    }
    for argument in &settings.databases {
        if let Err(error) = server.add_argument(argument) {
            program::fatal("ovsdb_server", &error);
        }
    }
    let server: Shared = Rc::new(RefCell::new(server));
    let control = Control::new(server.clone(), settings.pki, settings.config_file);
    *control.replication.borrow_mut() = settings.replication;
    control.remotes.borrow_mut().names = settings.remotes;
    let applied = match control.config_file {
        Some(_) => config_file::load(&control),
        None => control.apply(),
    };
    if let Err(error) = applied {
        program::fatal("ovsdb_server", &error);
    }
    let control: SharedControl = Rc::new(control);
    commands::register(&handle, &control);
    if settings.whole_columns {
        commands::register_column_diff(&handle, &control);
    }
    if settings.data_conversions {
        commands::register_no_data_conversion(&handle);
    }
    let exit = Exit::register(handle.commands());
    handle.ready();
    if settings.run.is_none() {
        log::info!(target: "ovsdb_server", "{}", version::banner(program::name()));
    }
    let code = tokio::select! {
        () = exit.requested() => ExitCode::SUCCESS,
        () = watch(&control) => ExitCode::SUCCESS,
        code = child(settings.run) => code,
    };
    exit.reply();
    code
}

/// Follows time and what commits arrange: waiting requests time out, remotes follow the database, status goes back, files are compacted.
async fn watch(control: &Control) {
    let server = &control.server;
    let (clock, changed) = {
        let server = server.borrow();
        (server.clock.clone(), server.changed.clone())
    };
    let mut arrangements = server.borrow().arrangements;
    let mut status_due = clock.now_ms() + STATUS_INTERVAL_MS;
    loop {
        let timeout = server.borrow().next_timeout().unwrap_or(u64::MAX);
        tokio::select! {
            () = clock.sleep_until(timeout.min(status_due)) => {}
            () = changed.notified() => {}
        }
        server.borrow_mut().run_timeouts();
        if clock.now_ms() >= status_due {
            status_due = clock.now_ms() + STATUS_INTERVAL_MS;
            status::update(server, &control.remotes.borrow());
            compaction::start_due(server);
        }
        let now = server.borrow().arrangements;
        if now != arrangements {
            arrangements = now;
            if let Err(error) = control.apply() {
                log::warn!(target: "ovsdb_server@5", "{error}");
            }
        }
    }
}

/// Runs the command of `--run` and ends with it.
async fn child(command: Option<String>) -> ExitCode {
    let Some(command) = command else { return std::future::pending().await };
    let spawned = std::process::Command::new("/bin/sh").arg("-c").arg(&command).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            program::fatal("ovsdb_server", &format!("{command}: process failed to start ({error})"))
        }
    };
    let status = tokio::task::spawn_blocking(move || child.wait()).await;
    match status {
        Ok(Ok(status)) if status.success() => ExitCode::SUCCESS,
        Ok(Ok(status)) => {
            program::exit_with(&format!("{command}: child exited, {}", program::describe_end(status)))
        }
        _ => ExitCode::FAILURE,
    }
}
