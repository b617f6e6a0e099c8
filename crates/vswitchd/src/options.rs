//! ovs-vswitchd's command line.
//!
//! Where it sits: the first step of `run`.

use std::path::PathBuf;

use daemon::getopt::{Getopt, Opt, Order};
use daemon::{CapabilitySet, dirs, program, tls, usage, version, vlog};

use crate::engine::DummyLevel;

/// What the user asked for.
pub(crate) struct Options {
    /// How to become a daemon.
    pub daemon: daemon::Options,
    /// Which dummies there are.
    pub dummy: DummyLevel,
    /// The system's routes serve native tunnels.
    pub system_routes: bool,
    /// Memory nodes of the cores to pretend.
    pub dummy_numa: Option<String>,
    /// Where the device of a datapath in another process is, if it may be used.
    pub device: Option<PathBuf>,
    /// Where the database is.
    pub remote: String,
    /// TLS, as far as the database does not say otherwise.
    pub tls: stream::tls::Settings,
}

const OWN: &[Opt] = &[
    Opt::optional("enable-dummy"),
    Opt::flag("disable-system"),
    Opt::flag("disable-system-route"),
    Opt::flag("mlockall"),
    Opt::flag("hw-rawio-access"),
    Opt::required("dummy-numa"),
    Opt::required("device"),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
];

/// Reads the command line; answers `--help` and `--version` at once.
pub(crate) fn read() -> Options {
    let table = [OWN, tls::OPTIONS, daemon::OPTIONS, vlog::OPTIONS].concat();
    let mut getopt = Getopt::from_env(&table, Order::Permute);
    let remote = format!("unix:{}", dirs::rundir().join("db.sock").display());
    let mut options = Options {
        daemon: daemon::Options::default(),
        dummy: DummyLevel::None,
        system_routes: true,
        dummy_numa: None,
        device: Some(dirs::rundir().join("ovsext.dev")),
        remote,
        tls: stream::tls::Settings::default(),
    };
    loop {
        match getopt.next() {
            Ok(Some((name, value))) => options.accept(name, value.as_deref()),
            Ok(None) => break,
            Err(error) => program::exit_with(&error.to_string()),
        }
    }
    // Ports are sockets and devices of the system.
    options.daemon.capabilities = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    match getopt.operands().as_slice() {
        [] => {}
        [remote] => options.remote.clone_from(remote),
        _ => program::exit_with("at most one non-option argument accepted; use --help for usage"),
    }
    options
}

impl Options {
    fn accept(&mut self, name: &str, value: Option<&str>) {
        match name {
            "enable-dummy" => {
                self.daemon.dummy = true;
                self.dummy = match value {
                    Some("override") => DummyLevel::Override,
                    Some("system") => DummyLevel::System,
                    _ => DummyLevel::Plain,
                };
            }
            "disable-system-route" => self.system_routes = false,
            "disable-system" => self.device = None,
            "device" => self.device = value.map(|path| dirs::rundir().join(path)),
            // There is no hardware to reach for.
            "hw-rawio-access" => {}
            "dummy-numa" => self.dummy_numa = value.map(str::to_owned),
            "mlockall" => {
                log::warn!(target: "vswitchd", "--mlockall is not supported yet; memory stays unlocked")
            }
            "help" => {
                print!("{}", usage());
                std::process::exit(0);
            }
            "version" => {
                println!("{}", version::banner(program::name()));
                std::process::exit(0);
            }
            _ if tls::accept(&mut self.tls, name, value) => {}
            _ => {
                if let Err(error) = self.daemon.accept(name, value) {
                    program::exit_with(&error);
                }
            }
        }
    }
}

fn usage() -> String {
    let name = program::name();
    format!(
        "{name}: Open vSwitch daemon\n\
         usage: {name} [OPTIONS] [DATABASE]\n\
         where DATABASE is a socket on which ovsdb-server is listening\n      \
         (default: \"unix:{}\").\n\
         \n\
         {}{}\n\
         {}\n\
         {}\n\
         Other options:\n  \
         --unixctl=SOCKET        override default control socket name\n  \
         -h, --help              display this help message\n  \
         -V, --version           display version information\n",
        dirs::rundir().join("db.sock").display(),
        usage::active_connections("DATABASE"),
        tls::USAGE,
        usage::daemon(),
        usage::logging(),
    )
}
