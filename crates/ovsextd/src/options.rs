//! ovsextd's command line.
//!
//! Where it sits: the first step of `run`.

use std::path::PathBuf;

use daemon::getopt::{Getopt, Opt, Order};
use daemon::{CapabilitySet, dirs, program, usage, version, vlog};

/// What the user asked for.
pub(crate) struct Options {
    /// How to become a daemon.
    pub daemon: daemon::Options,
    /// Where the device is.
    pub device: PathBuf,
    /// Standard input is a socket to the process to take over from.
    pub takes_over: bool,
    /// What a successor is started with.
    pub for_successor: Vec<String>,
}

const OWN: &[Opt] = &[
    Opt::required("device"),
    Opt::flag("take-over"),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
];

/// Reads the command line; answers `--help` and `--version` at once.
pub(crate) fn read() -> Options {
    let table = [OWN, daemon::OPTIONS, vlog::OPTIONS].concat();
    let mut getopt = Getopt::from_env(&table, Order::Permute);
    let mut options = Options {
        daemon: daemon::Options::default(),
        device: default_device(),
        takes_over: false,
        for_successor: Vec::new(),
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
    if !getopt.operands().is_empty() {
        program::exit_with("no non-option argument accepted; use --help for usage");
    }
    options
}

fn default_device() -> PathBuf {
    dirs::rundir().join("ovsext.dev")
}

impl Options {
    fn accept(&mut self, name: &str, value: Option<&str>) {
        // A successor is in the background already and has this user; nobody's monitor looks after it.
        if !matches!(name, "detach" | "monitor" | "take-over" | "user") {
            self.for_successor.push(value.map_or_else(|| format!("--{name}"), |v| format!("--{name}={v}")));
        }
        match (name, value) {
            ("take-over", _) => self.takes_over = true,
            ("device", Some(path)) => self.device = dirs::rundir().join(path),
            ("help", _) => {
                print!("{}", usage());
                std::process::exit(0);
            }
            ("version", _) => {
                println!("{}", version::banner(program::name()));
                std::process::exit(0);
            }
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
        "{name}: Open vSwitch datapath daemon\n\
         usage: {name} [OPTIONS]\n\
         \n\
         Datapath options:\n  \
         --device=PATH           socket of the datapath's device\n      \
         (default: \"{}\")\n\
         \n\
         {}\n\
         {}\n\
         Other options:\n  \
         --unixctl=SOCKET        override default control socket name\n  \
         -h, --help              display this help message\n  \
         -V, --version           display version information\n",
        default_device().display(),
        usage::daemon(),
        usage::logging(),
    )
}
