//! ovs-vsctl's own options.
//!
//! Where it sits: the first step of `run`. Options of commands may stand before the first command too; they are set
//! aside for it.

use daemon::getopt::{Getopt, Opt, Order, Value};
use daemon::{dirs, program, version, vlog};
use ovsdb::table::{CellFormat, Format, Headings, JsonLayout, Style};

use super::all_commands;
use crate::ctl::command::{Syntax, options_of};

/// What the user asked for.
pub(super) struct Options {
    /// Where the database is.
    pub remotes: Vec<String>,
    pub wait: bool,
    pub dry_run: bool,
    pub oneline: bool,
    pub retry: bool,
    /// Seconds; zero is no limit.
    pub timeout: u64,
    pub style: Style,
    pub max_column_width: Option<usize>,
    /// Options before the first command that belong to it.
    pub of_first: Vec<(String, Option<String>)>,
    /// The commands.
    pub args: Vec<String>,
}

const OWN: &[Opt] = &[
    Opt::required("db"),
    Opt::flag("no-syslog"),
    Opt::flag("no-wait"),
    Opt::flag("dry-run"),
    Opt::flag("oneline"),
    Opt::flag("retry"),
    Opt::required("timeout").short('t'),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
    Opt::flag("commands"),
    Opt::flag("options"),
    Opt::required("format").short('f'),
    Opt::required("data").short('d'),
    Opt::flag("no-headings"),
    Opt::flag("pretty"),
    Opt::flag("bare"),
    Opt::required("max-column-width"),
];

fn fatal(text: &str) -> ! {
    program::exit_with(text)
}

/// The schema version that `--version` tells.
const SCHEMA_VERSION: &str = "8.8.0";

/// Reads the command line; answers `--help` and the like at once.
pub(super) fn read() -> Options {
    let commands = all_commands();
    let of_commands: Vec<Opt> =
        options_of(&commands).into_iter().filter(|o| OWN.iter().all(|own| own.name != o.name)).collect();
    let table = [OWN, vlog::OPTIONS, &of_commands].concat();
    let mut getopt = Getopt::from_env(&table, Order::Stop);
    let timeout = std::env::var("OVS_CTL_TIMEOUT").ok().and_then(|t| t.parse().ok()).unwrap_or(0);
    let default_db = format!("unix:{}", dirs::rundir().join("db.sock").display());
    let mut options = Options {
        remotes: vec![default_db],
        wait: true,
        dry_run: false,
        oneline: false,
        retry: false,
        timeout,
        style: Style { format: Format::List, ..Style::default() },
        max_column_width: None,
        of_first: Vec::new(),
        args: Vec::new(),
    };
    loop {
        match getopt.next() {
            Ok(Some((name, value))) if of_commands.iter().any(|o| o.name == name) => {
                options.of_first.retain(|(n, _)| n != &format!("--{name}"));
                options.of_first.push((format!("--{name}"), value));
            }
            Ok(Some((name, value))) => options.accept(name, value, &commands, &table),
            Ok(None) => break,
            Err(error) => fatal(&error.to_string()),
        }
    }
    options.args = getopt.operands();
    options
}

impl Options {
    fn accept(&mut self, name: &str, value: Option<String>, commands: &[Syntax], table: &[Opt]) {
        let text = value.clone().unwrap_or_default();
        match name {
            "db" => self.remotes = split_remotes(&text),
            "no-syslog" => {
                let _ = vlog::set("vsctl:syslog:warn");
            }
            "no-wait" => self.wait = false,
            "dry-run" => self.dry_run = true,
            "oneline" => self.oneline = true,
            "retry" => self.retry = true,
            "timeout" => match text.parse() {
                Ok(seconds) => self.timeout = seconds,
                Err(_) => fatal(&format!("value {text} on -t or --timeout is invalid")),
            },
            "help" => exit_printing(&usage()),
            "version" => {
                exit_printing(&format!("{}\nDB Schema {SCHEMA_VERSION}\n", version::banner(program::name())))
            }
            "commands" => exit_printing(&list_commands(commands)),
            "options" => exit_printing(&list_options(table)),
            "format" => match Format::from_name(&text) {
                Some(format) => self.style.format = format,
                None => fatal(&format!("unknown output format \"{text}\"")),
            },
            "data" => match CellFormat::from_name(&text) {
                Some(cells) => self.style.cells = cells,
                None => fatal(&format!("unknown data format \"{text}\"")),
            },
            "no-headings" => self.style.headings = Headings::Hidden,
            "pretty" => self.style.json = JsonLayout::Pretty,
            "bare" => {
                self.style = Style {
                    format: Format::List,
                    cells: CellFormat::Bare,
                    headings: Headings::Hidden,
                    ..self.style
                };
            }
            "max-column-width" => self.max_column_width = text.parse().ok(),
            _ => {
                if let Err(error) = vlog::accept_option(name, value.as_deref()) {
                    fatal(&error);
                }
            }
        }
    }
}

/// Remotes separated by commas; a comma inside a path is not supported, as in C.
fn split_remotes(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn exit_printing(text: &str) -> ! {
    print!("{text}");
    std::process::exit(0)
}

fn list_commands(commands: &[Syntax]) -> String {
    let line = |c: &Syntax| {
        let options: String = c.options.iter().map(|o| format!("[{o}] ")).collect();
        format!("{options},{},{}\n", c.name, c.arguments)
    };
    commands.iter().map(line).collect()
}

fn list_options(table: &[Opt]) -> String {
    let line = |o: &Opt| match o.value {
        Value::None => format!("--{}\n", o.name),
        Value::Required => format!("--{}=ARG\n", o.name),
        Value::Optional => format!("--{}[=ARG]\n", o.name),
    };
    table.iter().map(line).collect()
}

fn usage() -> String {
    let mut text = format!(
        "{0}: ovs-vswitchd management utility\nusage: {0} [OPTIONS] COMMAND [ARG...]\n\n",
        program::name()
    );
    text.push_str("Commands:\n");
    for command in all_commands() {
        text.push_str(&format!("  {} {}\n", command.name, command.arguments));
    }
    text.push_str(
        "\nOptions:\n  --db=DATABASE               connect to DATABASE\n  --no-wait                   do not wait for ovs-vswitchd to reconfigure\n  --retry                     keep trying to connect to server forever\n  -t, --timeout=SECS          wait at most SECS seconds for ovs-vswitchd\n  --dry-run                   do not commit changes to database\n  --oneline                   print exactly one line of output per command\n  -f, --format=FORMAT         table, list, html, csv or json\n  -h, --help                  display this help message\n  -V, --version               display version information\n",
    );
    text
}
