//! ovsdb-server's command line.
//!
//! Where it sits: the first step of `run`.
//!
//! Spec: ovsdb-server(1) "Options".

use daemon::getopt::{Getopt, Opt, Order};
use daemon::{program, replay, tls, usage, version, vlog};
use stream::dirs;

use crate::control::Replication;
use crate::pki::Pki;

const OPTIONS: &[Opt] = &[
    Opt::required("remote"),
    Opt::required("run"),
    Opt::flag("no-dbs"),
    Opt::required("config-file"),
    Opt::required("sync-from"),
    Opt::required("sync-exclude-tables"),
    Opt::flag("active"),
    Opt::flag("disable-file-column-diff"),
    Opt::flag("disable-file-no-data-conversion"),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
];

/// What the user asked for.
#[derive(Default)]
pub struct Settings {
    /// Remotes.
    pub remotes: Vec<String>,
    /// The command of `--run`.
    pub run: Option<String>,
    /// Files and relays.
    pub databases: Vec<String>,
    /// The configuration file.
    pub config_file: Option<String>,
    /// Whether modified columns are recorded whole.
    pub whole_columns: bool,
    /// Whether schema conversions are recorded with their data, as they are in any case here.
    pub data_conversions: bool,
    /// Active and backup.
    pub replication: Replication,
    /// TLS.
    pub pki: Pki,
    /// How to become a daemon.
    pub daemon: daemon::Options,
}

/// Reads the command line; answers `--help` and `--version` at once.
pub fn read() -> Settings {
    let table = [OPTIONS, tls::OPTIONS, replay::OPTIONS, daemon::OPTIONS, vlog::OPTIONS].concat();
    let mut settings = Settings::default();
    let (mut no_databases, mut active) = (false, false);
    let mut getopt = Getopt::from_env(&table, Order::Permute);
    loop {
        match getopt.next() {
            Ok(Some(("no-dbs", _))) => no_databases = true,
            Ok(Some(("active", _))) => active = true,
            Ok(Some((name, value))) => settings.accept(name, value),
            Ok(None) => break,
            Err(error) => program::exit_with(&error.to_string()),
        }
    }
    settings.databases = getopt.operands();
    settings.check(active);
    if settings.databases.is_empty() && !no_databases && settings.config_file.is_none() {
        settings.databases.push(dirs::dbdir().join("conf.db").display().to_string());
    }
    // It is read again after the folder has changed, when the daemon detaches.
    if let Some(file) = &mut settings.config_file
        && let Ok(path) = std::path::absolute(&*file)
    {
        *file = path.display().to_string();
    }
    settings.replication.backup = settings.replication.active.as_ref().map(|_| !active);
    settings
}

impl Settings {
    fn accept(&mut self, name: &str, value: Option<String>) {
        match (name, value) {
            ("remote", Some(name)) => self.remotes.push(name),
            ("run", command) => self.run = command,
            ("config-file", file) => self.config_file = file,
            ("sync-from", server) => self.replication.active = server,
            ("sync-exclude-tables", Some(tables)) => self.replication.excluded = tables,
            ("disable-file-column-diff", _) => self.whole_columns = true,
            ("disable-file-no-data-conversion", _) => self.data_conversions = true,
            ("help", _) => {
                print!("{}", usage());
                std::process::exit(0);
            }
            ("version", _) => {
                println!("{}", version::banner(program::name()));
                std::process::exit(0);
            }
            (name, value) => {
                if tls::accept(&mut self.pki.0, name, value.as_deref())
                    || replay::accept(name, value.as_deref())
                {
                    return;
                }
                if let Err(error) = self.daemon.accept(name, value.as_deref()) {
                    program::exit_with(&error);
                }
            }
        }
    }

    fn check(&self, active: bool) {
        if self.config_file.is_none() {
            return;
        }
        if !self.remotes.is_empty() {
            program::exit_with("--remote and --config-file options are mutually exclusive.");
        }
        if !self.databases.is_empty() {
            program::exit_with("--config-file and databases on the command line are mutually exclusive.");
        }
        if active || self.replication.active.is_some() || !self.replication.excluded.is_empty() {
            program::exit_with(
                "--sync-from, --sync-exclude-tables and --active options are mutually exclusive with --config-file.",
            );
        }
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
         {}{}{}\n\
         {}\n\
         {}\n\
         Syncing options:\n  \
         --sync-from=SERVER      sync DATABASE from active SERVER and start in\n                          \
         backup mode (except with --active)\n  \
         --sync-exclude-tables=DB:TABLE,...\n                          \
         exclude the TABLE in DB from syncing\n  \
         --active                with --sync-from, start in active mode\n\
         \n\
         {}\n\
         Other options:\n  \
         --run COMMAND           run COMMAND as subprocess then exit\n  \
         --unixctl=SOCKET        override default control socket name\n  \
         --no-dbs                do not open the default database\n  \
         --config-file=FILE      use FILE for databases and remotes\n  \
         --disable-file-column-diff\n                          \
         don't use column diff in database file\n  \
         --disable-file-no-data-conversion\n                          \
         do not convert schema without data\n  \
         -h, --help              display this help message\n  \
         -V, --version           display version information\n",
        default.display(),
        usage::active_connections("JSON-RPC"),
        usage::passive_connections("JSON-RPC"),
        tls::USAGE,
        usage::daemon(),
        usage::logging(),
        replay::USAGE,
    )
}
