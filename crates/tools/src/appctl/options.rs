//! ovs-appctl's command line.
//!
//! Where it sits: read once by `main`. Options end at the first other argument, which is the command.

use daemon::getopt::{Getopt, Opt, Order};
use daemon::unixctl::Format;
use daemon::{program, version, vlog};

/// What is asked.
pub(super) struct Options {
    /// Name of a daemon, or path of a socket.
    pub target: String,
    /// Seconds to wait; 0 is for ever.
    pub timeout: u64,
    /// How the answer is wanted.
    pub format: Format,
    /// Whether JSON is laid out for people.
    pub pretty: bool,
    /// The command.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

const TABLE: &[Opt] = &[
    Opt::required("target").short('t'),
    Opt::required("format").short('f'),
    Opt::flag("pretty"),
    Opt::flag("help").short('h'),
    Opt::required("timeout").short('T'),
    Opt::flag("version").short('V'),
];

impl Options {
    /// Reads the process's arguments. Wrong ones, `--help` and `--version` end the process.
    pub(super) fn parse() -> Options {
        let table = [TABLE, vlog::OPTIONS].concat();
        let mut getopt = Getopt::from_env(&table, Order::Stop);
        let mut options = Options {
            target: "ovs-vswitchd".to_owned(),
            timeout: default_timeout(),
            format: Format::Text,
            pretty: false,
            command: String::new(),
            arguments: Vec::new(),
        };
        loop {
            match getopt.next() {
                Ok(Some((name, value))) => options.accept(name, value),
                Ok(None) => break,
                Err(error) => program::exit_with(&error.to_string()),
            }
        }
        if options.pretty && options.format != Format::Json {
            program::exit_with("--pretty is supported with --format json only");
        }
        let mut operands = getopt.operands().into_iter();
        options.command = operands.next().unwrap_or_else(|| {
            program::exit_with("at least one non-option argument is required (use --help for help)")
        });
        options.arguments = operands.collect();
        options
    }

    fn accept(&mut self, name: &str, value: Option<String>) {
        let text = value.clone().unwrap_or_default();
        match name {
            "target" => self.target = text,
            "format" => self.format = parse_format(&text),
            "pretty" => self.pretty = true,
            "timeout" => match text.parse() {
                Ok(seconds) if seconds > 0 => self.timeout = seconds,
                _ => program::exit_with(&format!("value {text} on -T or --timeout is invalid")),
            },
            "help" => {
                print!("{}", help());
                std::process::exit(0)
            }
            "version" => {
                println!("{}", version::banner(program::name()));
                std::process::exit(0)
            }
            _ => {
                if let Err(error) = vlog::accept_option(name, value.as_deref()) {
                    program::exit_with(&error);
                }
            }
        }
    }
}

fn default_timeout() -> u64 {
    std::env::var("OVS_CTL_TIMEOUT").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
}

fn parse_format(text: &str) -> Format {
    if text.eq_ignore_ascii_case("text") {
        Format::Text
    } else if text.eq_ignore_ascii_case("json") {
        Format::Json
    } else {
        program::exit_with(&format!("value {text} on -f or --format is invalid"))
    }
}

fn help() -> String {
    let name = program::name();
    format!(
        "{name}, for querying and controlling Open vSwitch daemon
usage: {name} [TARGET] COMMAND [ARG...]
Targets:
  -t, --target=TARGET  pidfile or socket to contact
Common commands:
  list-commands      List commands supported by the target
  version            Print version of the target
  vlog/list          List current logging levels
  vlog/list-pattern  List logging patterns for each destination.
  vlog/set [SPEC]
      Set log levels as detailed in SPEC, which may include:
      A valid module name (all modules, by default)
      'syslog', 'console', 'file' (all destinations, by default))
      'off', 'emer', 'err', 'warn', 'info', or 'dbg' ('dbg', bydefault)
  vlog/reopen        Make the program reopen its log file
Other options:
  --timeout=SECS     wait at most SECS seconds for a response
  -f, --format=FMT   format of the output: 'text' (the default) or 'json'
  --pretty           with --format=json, indent the output
  -h, --help         Print this helpful information
  -V, --version      Display {name} version information
"
    )
}
