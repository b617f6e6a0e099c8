//! Options, and which arguments are the server, the database and the command's own.
//!
//! Where it sits: first thing that `main` calls.
//!
//! The first argument is the server if it has the form of a connection. The next one is the database, for commands that take one,
//! if the server offers a database of that name; else Open_vSwitch is meant, or the only one that the server offers.

use daemon::getopt::{Getopt, Opt, Order};
use daemon::{program, replay, tls, usage, version, vlog};
use ovsdb::table::{CellFormat, Format, Headings, JsonLayout, Style};
use stream::dirs;
use stream::name::{is_active, is_passive};

use super::stay::Stay;
use super::{Context, Outcome, dump, monitor, query};

const OPTIONS: &[Opt] = &[
    Opt::required("format").short('f'),
    Opt::required("data").short('d'),
    Opt::flag("bare"),
    Opt::flag("no-headings"),
    Opt::flag("pretty"),
    Opt::required("max-column-width"),
    Opt::flag("timestamp"),
    Opt::flag("force"),
    Opt::required("timeout").short('t'),
    Opt::flag("db-change-aware"),
    Opt::flag("no-db-change-aware"),
    Opt::flag("leader-only"),
    Opt::flag("no-leader-only"),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
];

/// Whether a command has a database argument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Database,
}

/// Name, database or not, fewest and most further arguments.
const COMMANDS: &[(&str, Needs, usize, usize)] = &[
    ("list-dbs", Needs::Nothing, 0, 0),
    ("get-schema", Needs::Database, 0, 0),
    ("get-schema-version", Needs::Database, 0, 0),
    ("get-schema-cksum", Needs::Database, 0, 0),
    ("list-tables", Needs::Database, 0, 0),
    ("list-columns", Needs::Database, 0, 1),
    ("transact", Needs::Nothing, 1, 1),
    ("query", Needs::Nothing, 1, 1),
    ("monitor", Needs::Database, 1, usize::MAX),
    ("monitor-cond", Needs::Database, 2, 3),
    ("monitor-cond-since", Needs::Database, 2, 4),
    ("convert", Needs::Nothing, 1, 1),
    ("needs-conversion", Needs::Nothing, 1, 1),
    ("wait", Needs::Nothing, 2, 2),
    ("dump", Needs::Database, 0, usize::MAX),
    ("backup", Needs::Database, 0, 0),
    ("restore", Needs::Database, 0, 0),
    ("lock", Needs::Nothing, 1, 1),
    ("steal", Needs::Nothing, 1, 1),
    ("unlock", Needs::Nothing, 1, 1),
];

/// The command line.
pub(super) struct Parsed {
    pub timeout: u64,
    /// Whether, and how, it goes into the background.
    pub daemon: daemon::Options,
    style: Style,
    timestamp: bool,
    force: bool,
    pub command: String,
    args: Vec<String>,
}

/// Reads the process's arguments.
pub(super) fn parse() -> Parsed {
    let table = [OPTIONS, daemon::OPTIONS, vlog::OPTIONS, tls::OPTIONS, replay::OPTIONS].concat();
    let mut getopt = Getopt::from_env(&table, Order::Permute);
    let mut parsed = Parsed {
        timeout: 0,
        daemon: daemon::Options::default(),
        style: Style::default(),
        timestamp: false,
        force: false,
        command: String::new(),
        args: Vec::new(),
    };
    let mut settings = stream::tls::Settings::default();
    loop {
        match getopt.next() {
            Ok(Some((name, value))) if tls::accept(&mut settings, name, value.as_deref()) => {}
            Ok(Some((name, value))) if replay::accept(name, value.as_deref()) => {}
            Ok(Some((name, value))) => accept(&mut parsed, name, value.as_deref()),
            Ok(None) => break,
            Err(error) => program::exit_with(&error.to_string()),
        }
    }
    stream::tls::configure(settings);
    parsed.args = getopt.operands();
    if parsed.args.is_empty() {
        program::exit_with("missing command name; use --help for help");
    }
    parsed.command = parsed.args.remove(0);
    if parsed.command == "help" {
        help();
    }
    parsed
}

fn accept(parsed: &mut Parsed, name: &str, value: Option<&str>) {
    let text = value.unwrap_or_default();
    match name {
        "format" => match Format::from_name(text) {
            Some(format) => parsed.style.format = format,
            None => program::exit_with(&format!("unknown output format \"{text}\"")),
        },
        "data" => match CellFormat::from_name(text) {
            Some(cells) => parsed.style.cells = cells,
            None => program::exit_with(&format!("unknown data format \"{text}\"")),
        },
        "bare" => {
            parsed.style.format = Format::List;
            parsed.style.cells = CellFormat::Bare;
            parsed.style.headings = Headings::Hidden;
        }
        "no-headings" => parsed.style.headings = Headings::Hidden,
        "pretty" => parsed.style.json = JsonLayout::Pretty,
        "max-column-width" => parsed.style.limit_columns(text),
        "timestamp" => parsed.timestamp = true,
        "force" => parsed.force = true,
        "timeout" => match text.parse() {
            Ok(seconds) if seconds > 0 => parsed.timeout = seconds,
            _ => program::exit_with(&format!("value {text} on -t or --timeout is invalid")),
        },
        // Standalone databases, which are all that is served, have no other leader than their server.
        "db-change-aware" | "no-db-change-aware" | "leader-only" | "no-leader-only" => {}
        "help" => help(),
        "version" => {
            println!("{}", version::banner(program::name()));
            std::process::exit(0);
        }
        _ => {
            if let Err(error) = parsed.daemon.accept(name, value) {
                program::exit_with(&error);
            }
        }
    }
}

/// Finds the command, the server and the database, and runs it.
pub(super) async fn dispatch(parsed: Parsed, stay: Stay) -> Outcome {
    let Some((name, needs, min, max)) = COMMANDS.iter().find(|(name, ..)| *name == parsed.command) else {
        return Err(format!("unknown command '{}'; use --help for help", parsed.command));
    };
    let mut args = parsed.args;
    let server = match args.first() {
        Some(first) if is_active(first) || is_passive(first) => args.remove(0),
        _ => format!("unix:{}", dirs::rundir().join("db.sock").display()),
    };
    let mut context = Context {
        server,
        database: "Open_vSwitch".to_owned(),
        args,
        style: parsed.style,
        timestamp: parsed.timestamp,
        force: parsed.force,
        clock: stream::replay::clock(),
        stay,
    };
    if *needs == Needs::Database {
        take_database(&mut context, *min).await?;
    }
    if context.args.len() < *min || context.args.len() > *max {
        return Err(format!("invalid syntax for '{name}' (use --help for help)"));
    }
    match *name {
        "wait" => query::wait(&context).await,
        "dump" => dump::dump(&context).await,
        "backup" => dump::backup(&context).await,
        "restore" => dump::restore(&context).await,
        "monitor" | "monitor-cond" | "monitor-cond-since" => monitor::run(&context, name).await,
        "lock" | "steal" | "unlock" => monitor::lock(&context, name).await,
        _ => query::run(&context, name).await,
    }
}

/// Takes the database's name off the arguments, if it is there.
async fn take_database(context: &mut Context, min: usize) -> Result<(), String> {
    let mut client = context.connect().await?;
    let offered = context.databases(&mut client).await?;
    match context.args.first() {
        Some(first) if context.args.len() > min && offered.contains(first) => {
            context.database = context.args.remove(0);
        }
        _ if offered.contains(&context.database) => {}
        // Without a name, the only database there is will be meant.
        _ => {
            let mut users = offered.into_iter().filter(|name| !name.starts_with('_'));
            let (Some(only), None) = (users.next(), users.next()) else {
                return Err("could not find a default database, please specify a database name".to_owned());
            };
            context.database = only;
        }
    }
    Ok(())
}

fn help() -> ! {
    print!("{}", usage());
    std::process::exit(0)
}

fn usage() -> String {
    let name = program::name();
    let parts = [
        format!(
            "{name}: Open vSwitch database JSON-RPC client\nusage: {name} [OPTIONS] COMMAND [ARG...]\n\n"
        ),
        include_str!("help.txt").to_owned(),
        format!("The default SERVER is unix:{}.\n", dirs::rundir().join("db.sock").display()),
        "The default DATABASE is Open_vSwitch.\n\n".to_owned(),
        usage::active_connections("SERVER"),
        usage::passive_connections("SERVER"),
        tls::USAGE.to_owned(),
        OPTIONS_HELP.to_owned(),
        format!("{}\n{}\n{}", usage::daemon(), usage::logging(), replay::USAGE),
        "\nOther options:
  -t, --timeout=SECS          give up after SECS seconds
  -h, --help                  display this help message
  -V, --version               display version information
"
        .to_owned(),
    ];
    parts.concat()
}

/// What `--help` says of the options that are this program's own.
const OPTIONS_HELP: &str = "
Output formatting options:
  -f, --format=FORMAT         set output formatting to FORMAT
                              (\"table\", \"list\", \"html\", \"csv\", or \"json\")
  -d, --data=FORMAT           set table cell output formatting to
                              FORMAT (\"string\", \"bare\", or \"json\")
  --no-headings               omit table heading row
  --pretty                    pretty-print JSON in output
  --bare                      equivalent to \"--format=list --data=bare --no-headings\"
  --max-column-width=N        cut what is longer than N characters in tables
  --timestamp                 timestamp \"monitor\" output

Server options:
  --no-leader-only            take any server of a cluster, not only its leader
  --no-db-change-aware        be cut when the server's databases change
";
