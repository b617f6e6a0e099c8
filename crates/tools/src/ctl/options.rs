//! Options of the whole program.
//!
//! Where it sits: the first step of `run`. Options of commands may stand before the first command too; they are set
//! aside for it.

use daemon::getopt::{Getopt, Opt, Order, Value};
use daemon::{dirs, program, tls, version, vlog};
use ovsdb::table::{CellFormat, Format, Headings, JsonLayout, Style};

use super::command::{Syntax, options_of};
use super::context::random_uuid;
use super::database;
use super::program::Program;
use super::usage;

/// What the user asked for.
pub struct Options {
    /// Where the database is.
    pub remotes: Vec<String>,
    /// Wait for the daemon after a change.
    pub wait: bool,
    /// Commit nothing.
    pub dry_run: bool,
    /// One line of output per command.
    pub oneline: bool,
    /// Try to connect for ever.
    pub retry: bool,
    /// Try several remotes in an order of chance.
    pub shuffle: bool,
    /// Of clustered servers, talk to the leader only.
    pub leader_only: bool,
    /// Seconds; zero is no limit.
    pub timeout: u64,
    /// How tables are printed.
    pub style: Style,
    /// Options before the first command that belong to it.
    pub of_first: Vec<(String, Option<String>)>,
    /// The commands.
    pub args: Vec<String>,
    tls: stream::tls::Settings,
}

/// Options of every such program.
const COMMON: &[Opt] = &[
    Opt::required("db"),
    Opt::flag("no-syslog"),
    Opt::flag("dry-run"),
    Opt::flag("oneline"),
    Opt::required("timeout").short('t'),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
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

/// A program's own commands and the database commands.
pub(super) fn all_commands<P: Program>() -> Vec<Syntax> {
    [P::commands(), database::COMMANDS].concat()
}

/// Reads the command line; answers `--help` and the like at once.
pub(super) fn read<P: Program>() -> Options {
    let commands = all_commands::<P>();
    let own = [COMMON, P::OPTIONS, vlog::OPTIONS, tls::OPTIONS].concat();
    let of_commands: Vec<Opt> =
        options_of(&commands).into_iter().filter(|o| own.iter().all(|own| own.name != o.name)).collect();
    let table = [own.as_slice(), &of_commands].concat();
    let mut getopt = Getopt::from_env(&table, Order::Stop);
    let timeout = std::env::var("OVS_CTL_TIMEOUT").ok().and_then(|t| t.parse().ok()).unwrap_or(0);
    let default_db = format!("unix:{}", dirs::rundir().join("db.sock").display());
    let mut options = Options {
        remotes: vec![default_db],
        wait: true,
        dry_run: false,
        oneline: false,
        retry: false,
        shuffle: true,
        leader_only: true,
        timeout,
        style: Style { format: Format::List, ..Style::default() },
        of_first: Vec::new(),
        args: Vec::new(),
        tls: Default::default(),
    };
    loop {
        match getopt.next() {
            Ok(Some((name, value))) if of_commands.iter().any(|o| o.name == name) => {
                options.of_first.retain(|(n, _)| n != &format!("--{name}"));
                options.of_first.push((format!("--{name}"), value));
            }
            Ok(Some((name, value))) => options.accept::<P>(name, value, &commands, &own),
            Ok(None) => break,
            Err(error) => fatal(&error.to_string()),
        }
    }
    options.args = getopt.operands();
    stream::tls::configure(std::mem::take(&mut options.tls));
    options
}

impl Options {
    /// The remotes as they are tried: in an order of chance unless `--no-shuffle-remotes` was given.
    pub fn in_order_of_trial(&self) -> Vec<String> {
        let mut remotes = self.remotes.clone();
        if self.shuffle {
            remotes.sort_by_cached_key(|_| random_uuid());
        }
        remotes
    }

    fn accept<P: Program>(&mut self, name: &str, value: Option<String>, commands: &[Syntax], table: &[Opt]) {
        let text = value.clone().unwrap_or_default();
        match name {
            "db" => self.remotes = split_remotes(&text),
            "no-syslog" => {
                let _ = vlog::set(&format!("{}:syslog:warn", P::LOG));
            }
            "no-wait" => self.wait = false,
            "dry-run" => self.dry_run = true,
            "oneline" => self.oneline = true,
            "retry" => self.retry = true,
            "leader-only" => self.leader_only = true,
            "no-leader-only" => self.leader_only = false,
            "shuffle-remotes" => self.shuffle = true,
            "no-shuffle-remotes" => self.shuffle = false,
            "timeout" => match text.parse() {
                Ok(seconds) if seconds > 0 => self.timeout = seconds,
                _ => fatal(&format!("value {text} on -t or --timeout is invalid")),
            },
            "help" => exit_printing(&usage::text::<P>()),
            "version" => {
                let banner = version::banner(program::name());
                exit_printing(&format!("{banner}\nDB Schema {}\n", usage::schema::<P>().version))
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
            "max-column-width" => self.style.limit_columns(&text),
            _ if tls::accept(&mut self.tls, name, value.as_deref()) => {}
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
        let arguments: Vec<String> = c.arguments.split_whitespace().map(argument).collect();
        format!("{options},{},{}\n", c.name, arguments.join(" "))
    };
    commands.iter().map(line).collect()
}

/// An argument as completion wants it: `!` once, `?` at most once, `+` once or more, `*` any number of times.
fn argument(text: &str) -> String {
    let (many, one) = text.strip_suffix("...").map_or((false, text), |one| (true, one));
    let optional = one.starts_with('[') && one.ends_with(']');
    let name = if optional { &one[1..one.len() - 1] } else { one };
    let sign = match (optional, many) {
        (false, false) => '!',
        (true, false) => '?',
        (false, true) => '+',
        (true, true) => '*',
    };
    format!("{sign}{}", name.replace('[', "?").replace(']', ""))
}

fn list_options(table: &[Opt]) -> String {
    let mut lines = String::new();
    for o in table {
        let argument = if o.value == Value::None { ("", "") } else { ("=ARG", " ARG") };
        lines.push_str(&format!("--{}{}\n", o.name, argument.0));
        if let Some(short) = o.short {
            lines.push_str(&format!("-{short}{}\n", argument.1));
        }
    }
    lines
}
