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

use daemon::getopt::{Getopt, Opt, Order};
use daemon::{Daemon, Exit, Handle, program, version, vlog};
use ovsdb_engine::UuidSource;
use ovsdb_engine::record::Columns;
use stream::dirs;

use crate::commands::{self, SharedRemotes};
use crate::connection::Shared;
use crate::remotes::Remotes;
use crate::server::Server;
use crate::status;

const STATUS_INTERVAL_MS: u64 = 2500;

const OPTIONS: &[Opt] = &[
    Opt::required("remote"),
    Opt::required("run"),
    Opt::flag("no-dbs"),
    Opt::flag("disable-file-column-diff"),
    Opt::flag("disable-file-no-data-conversion"),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
];

#[derive(Default)]
struct Settings {
    remotes: Vec<String>,
    run: Option<String>,
    databases: Vec<String>,
    whole_columns: bool,
    daemon: daemon::Options,
}

/// Runs the program.
pub fn main() -> ExitCode {
    daemon::init();
    let settings = parse();
    let daemon = Daemon::start(&settings.daemon);
    let daemon = daemon.unwrap_or_else(|error| program::exit_with(&error.to_string()));
    daemon.run(async |handle| serve(handle, settings).await)
}

fn parse() -> Settings {
    let table = [OPTIONS, daemon::OPTIONS, vlog::OPTIONS].concat();
    let mut settings = Settings::default();
    let mut no_databases = false;
    let mut getopt = Getopt::from_env(&table, Order::Permute);
    loop {
        match getopt.next() {
            Ok(Some(("remote", Some(name)))) => settings.remotes.push(name),
            Ok(Some(("run", command))) => settings.run = command,
            Ok(Some(("no-dbs", _))) => no_databases = true,
            Ok(Some(("disable-file-column-diff", _))) => settings.whole_columns = true,
            Ok(Some(("disable-file-no-data-conversion", _))) => {}
            Ok(Some(("help", _))) => {
                print!("{}", usage());
                std::process::exit(0);
            }
            Ok(Some(("version", _))) => {
                println!("{}", version::banner(program::name()));
                std::process::exit(0);
            }
            Ok(Some((name, value))) => {
                if let Err(error) = settings.daemon.accept(name, value.as_deref()) {
                    program::exit_with(&error);
                }
            }
            Ok(None) => break,
            Err(error) => program::exit_with(&error.to_string()),
        }
    }
    settings.databases = getopt.operands();
    if settings.databases.is_empty() && !no_databases {
        settings.databases.push(dirs::dbdir().join("conf.db").display().to_string());
    }
    // The folder changes when the daemon detaches.
    for file in &mut settings.databases {
        if let Ok(path) = std::path::absolute(&*file) {
            *file = path.display().to_string();
        }
    }
    settings
}

async fn serve(handle: Handle, settings: Settings) -> ExitCode {
    let uuids = match UuidSource::open() {
        Ok(uuids) => uuids,
        Err(error) => program::fatal("ovsdb_server", &format!("/dev/urandom: {error}")),
    };
    let mut server = Server::new(handle.clock().clone(), uuids);
    if settings.whole_columns {
        server.columns = Columns::Whole;
    }
    for file in &settings.databases {
        if let Err(error) = server.add_database(file) {
            program::fatal("ovsdb_server", &error);
        }
    }
    let server: Shared = Rc::new(RefCell::new(server));
    let remotes: SharedRemotes = Rc::new(RefCell::new(Remotes::default()));
    remotes.borrow_mut().names = settings.remotes;
    if let Err(error) = remotes.borrow_mut().reconfigure(&server) {
        program::fatal("ovsdb_server", &error);
    }
    commands::register(&handle, &server, &remotes);
    let exit = Exit::register(handle.commands());
    handle.ready();
    log::info!(target: "ovsdb_server", "{}", version::banner(program::name()));
    let code = tokio::select! {
        () = exit.requested() => ExitCode::SUCCESS,
        () = watch(&server, &remotes) => ExitCode::SUCCESS,
        code = child(settings.run) => code,
    };
    exit.reply();
    code
}

/// Follows time and commits: waiting requests time out, remotes follow the database, status goes back, files are compacted.
async fn watch(server: &Shared, remotes: &SharedRemotes) {
    let (clock, changed) = {
        let server = server.borrow();
        (server.clock.clone(), server.changed.clone())
    };
    let mut commits = server.borrow().commits;
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
            status::update(server, &remotes.borrow());
            server.borrow_mut().run_compaction();
        }
        let now = server.borrow().commits;
        if now != commits {
            commits = now;
            if let Err(error) = remotes.borrow_mut().reconfigure(server) {
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
            log::warn!(target: "ovsdb_server", "{command}: child exited, {status}");
            ExitCode::FAILURE
        }
        _ => ExitCode::FAILURE,
    }
}

fn usage() -> String {
    let name = program::name();
    let default = dirs::dbdir().join("conf.db");
    format!(
        "{name}: Open vSwitch database server\n\
         usage: {name} [OPTIONS] [DATABASE...]\n\
         where each DATABASE is a database file in ovsdb format.\n\
         The default DATABASE, if none is given, is\n{}.\n\
         \n\
         JSON-RPC options (may be specified any number of times):\n  \
         --remote=REMOTE         connect or listen to REMOTE\n\
         \n\
         Active JSON-RPC connection methods:\n  \
         tcp:HOST:PORT           PORT at remote HOST\n  \
         unix:FILE               Unix domain socket named FILE\n\
         Passive JSON-RPC connection methods:\n  \
         ptcp:PORT[:IP]          listen to TCP PORT on IP\n  \
         punix:FILE              listen on Unix domain socket FILE\n\
         \n\
         Daemon options:\n  \
         --detach                run in background as daemon\n  \
         --monitor               creates a process to monitor this daemon\n  \
         --no-chdir              do not chdir to '/'\n  \
         --pidfile[=FILE]        create pidfile\n  \
         --overwrite-pidfile     with --pidfile, start even if already running\n\
         \n\
         Logging options:\n  \
         -vSPEC, --verbose=SPEC   set logging levels\n  \
         -v, --verbose            set maximum verbosity level\n  \
         --log-file[=FILE]        enable logging to specified FILE\n\
         \n\
         Other options:\n  \
         --run COMMAND           run COMMAND as subprocess then exit\n  \
         --unixctl=SOCKET        override default control socket name\n  \
         --no-dbs                do not open the default database\n  \
         --disable-file-column-diff\n                          \
         don't use column diff in database file\n  \
         -h, --help              display this help message\n  \
         -V, --version           display version information\n",
        default.display()
    )
}
