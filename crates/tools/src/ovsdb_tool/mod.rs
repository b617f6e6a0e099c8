//! ovsdb-tool: creates, inspects, converts and compacts database files.
//!
//! Where it sits: the program `ovsdb-tool`; works on files through `ovsdb-engine`, never on a running server.
//!
//! Of clustered databases it tells what is in them, and takes the data out; it makes none, for this project does not serve
//! them.
//!
//! Spec: ovsdb-tool(1). Next: `show_log.rs`, `cluster.rs`.

mod cluster;
mod show_log;

pub(crate) use show_log::format_date;

use std::fs;
use std::process::ExitCode;

use daemon::getopt::{Getopt, Opt, Order};
use daemon::{program, usage, version, vlog};
use ovsdb::json::{self, Json};
use ovsdb::schema::parse_version;
use ovsdb::{DbSchema, Error, Uuid};
use ovsdb_engine::log::{self, Kind};
use ovsdb_engine::record::{self, Columns, Unknown};
use ovsdb_engine::storage::{self, Mode, io_reason};
use ovsdb_engine::{Access, Outcome, Request, Role, Storage, UuidSource, Waiting, execute_as};
use stream::{Clock, dirs};

const OPTIONS: &[Opt] = &[
    Opt::flag("more").short('m'),
    Opt::required("rbac-role"),
    Opt::required("cid"),
    Opt::required("election-timer"),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
];

/// A command: its name, its arguments, the fewest and most of them, what it does.
type Command = (&'static str, &'static str, usize, usize, fn(&Call) -> Result<ExitCode, String>);

const COMMANDS: &[Command] = &[
    ("create", "[db [schema]]", 0, 2, create),
    ("create-cluster", "db contents local", 3, 3, clustered),
    ("join-cluster", "db name local remote...", 4, usize::MAX, clustered),
    ("compact", "[db [dst]]", 0, 2, compact),
    ("convert", "[db [schema [dst]]]", 0, 3, convert),
    ("needs-conversion", "", 0, 2, needs_conversion),
    ("db-name", "[db]", 0, 1, db_name),
    ("db-version", "[db]", 0, 1, |call| print_db(call, |schema| schema.version)),
    ("db-cksum", "[db]", 0, 1, |call| print_db(call, |schema| schema.cksum)),
    ("db-cid", "db", 1, 1, cluster::cid),
    ("db-sid", "db", 1, 1, cluster::sid),
    ("db-local-address", "db", 1, 1, cluster::local_address),
    ("db-is-clustered", "db", 1, 1, |call| is_kind(call, Kind::Clustered)),
    ("db-is-standalone", "db", 1, 1, |call| is_kind(call, Kind::Standalone)),
    ("schema-name", "[schema]", 0, 1, |call| print_schema(call, |schema| schema.name)),
    ("schema-version", "[schema]", 0, 1, |call| print_schema(call, |schema| schema.version)),
    ("schema-cksum", "[schema]", 0, 1, |call| print_schema(call, |schema| schema.cksum)),
    ("query", "[db] trns", 1, 2, |call| transact(call, Mode::ReadOnly)),
    ("transact", "[db] trns", 1, 2, |call| transact(call, Mode::ReadWrite)),
    ("show-log", "[db]", 0, 1, |call| show_log::run(&call.db(0), call.verbosity)),
    ("check-cluster", "db...", 1, usize::MAX, clustered),
    ("compare-versions", "a op b", 3, 3, compare_versions),
    ("help", "", 0, usize::MAX, |_| {
        print!("{}", usage());
        Ok(ExitCode::SUCCESS)
    }),
    ("list-commands", "", 0, usize::MAX, |_| list_commands()),
    ("cluster-to-standalone", "db clusterdb", 2, 2, cluster::to_standalone),
];

fn list_commands() -> Result<ExitCode, String> {
    println!("The available commands are:");
    COMMANDS.iter().for_each(|(name, arguments, ..)| println!("  {name:<23} {arguments}"));
    Ok(ExitCode::SUCCESS)
}

/// A command with its arguments.
struct Call {
    name: String,
    args: Vec<String>,
    verbosity: usize,
    /// Of `--rbac-role`: what a client of no name may do in it.
    role: Role,
}

impl Call {
    fn db(&self, index: usize) -> String {
        let default = || dirs::dbdir().join("conf.db").display().to_string();
        self.args.get(index).cloned().unwrap_or_else(default)
    }

    fn schema(&self, index: usize) -> String {
        let default = || dirs::pkgdatadir().join("vswitch.ovsschema").display().to_string();
        self.args.get(index).cloned().unwrap_or_else(default)
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    daemon::init();
    vlog::add_modules(vlog::DATABASE_MODULES);
    let call = parse();
    let Some((_, _, min, max, run)) = COMMANDS.iter().find(|(name, ..)| *name == call.name) else {
        program::exit_with(&format!("unknown command '{}'; use --help for help", call.name));
    };
    if call.args.len() < *min {
        program::exit_with(&format!("'{}' command requires at least {min} arguments", call.name));
    }
    if call.args.len() > *max {
        program::exit_with(&format!("'{}' command takes at most {max} arguments", call.name));
    }
    run(&call).unwrap_or_else(|error| program::exit_with(&error))
}

fn parse() -> Call {
    let table = [OPTIONS, vlog::OPTIONS].concat();
    let mut getopt = Getopt::from_env(&table, Order::Permute);
    let mut verbosity = 0;
    let mut role = Role::default();
    loop {
        match getopt.next() {
            Ok(Some(("more", _))) => verbosity += 1,
            Ok(Some(("rbac-role", name))) => role.name = name.unwrap_or_default(),
            Ok(Some(("cid", value))) => check_cid(&value.unwrap_or_default()),
            Ok(Some(("election-timer", value))) => check_election_timer(&value.unwrap_or_default()),
            Ok(Some(("help", _))) => {
                print!("{}", usage());
                std::process::exit(0);
            }
            Ok(Some(("version", _))) => {
                println!("{}", version::banner(program::name()));
                std::process::exit(0);
            }
            Ok(Some((name, value))) => {
                if let Err(error) = vlog::accept_option(name, value.as_deref()) {
                    program::exit_with(&error);
                }
            }
            Ok(None) => break,
            Err(error) => program::exit_with(&error.to_string()),
        }
    }
    let mut args = getopt.operands();
    if args.is_empty() {
        program::exit_with("missing command name; use --help for help");
    }
    Call { name: args.remove(0), args, verbosity, role }
}

/// Ends the program unless `text` can identify a cluster.
fn check_cid(text: &str) {
    if Uuid::parse(text).is_some_and(|cid| !cid.is_zero()) {
        return;
    }
    program::exit_with(&format!("{text}: not a valid UUID"));
}

/// Ends the program unless `text` is a time after which clusters may elect a leader.
fn check_election_timer(text: &str) {
    if !text.parse().is_ok_and(|ms: u32| (100..=600_000).contains(&ms)) {
        program::exit_with("ovsdb error: election timer must be between 100 and 600000, in msec.");
    }
}

fn text(error: Error) -> String {
    error.to_string()
}

/// Reads a schema file.
pub(crate) fn read_schema(file: &str) -> Result<DbSchema, String> {
    let unreadable =
        |reason: String| format!("failed to read schema: \"{file}\" could not be read as JSON ({reason})");
    let data = fs::read(file)
        .map_err(|error| unreadable(format!("error opening \"{file}\": {}", io_reason(&error))))?;
    let json = json::parse(&data).map_err(|error| unreadable(error.to_string()))?;
    DbSchema::from_json(&json)
        .map_err(|error| text(error.within(&format!("failed to parse \"{file}\" as ovsdb schema"))))
}

fn db_schema(file: &str) -> Result<DbSchema, String> {
    let data = read_standalone(file)?;
    match log::Reader::new(&data, file).next() {
        Some(record) => record.and_then(|json| DbSchema::from_json(&json)).map_err(text),
        None => Err(format!("{file}: unexpected end of file reading schema")),
    }
}

fn create(call: &Call) -> Result<ExitCode, String> {
    let schema = read_schema(&call.schema(1))?;
    Storage::create(&call.db(0), &schema).map_err(text)?;
    Ok(ExitCode::SUCCESS)
}

fn clustered(call: &Call) -> Result<ExitCode, String> {
    Err(format!("'{}': clustered databases are not supported", call.name))
}

/// The bytes of a database file, and what kind of database it holds.
fn read_any(file: &str) -> Result<(Vec<u8>, Kind), String> {
    let data = fs::read(file).map_err(|e| text(Error::io(format!("{file}: open failed"), io_reason(&e))))?;
    let kind = log::identify(&data, file).map_err(text)?;
    Ok((data, kind))
}

/// The bytes of a standalone database file.
fn read_standalone(file: &str) -> Result<Vec<u8>, String> {
    match read_any(file)? {
        (data, Kind::Standalone) => Ok(data),
        (_, Kind::Clustered) => Err(not_for_clusters(file)),
    }
}

fn not_for_clusters(file: &str) -> String {
    text(Error::new("ovsdb error", format!("{file}: cannot apply this operation to clustered database file")))
}

fn is_kind(call: &Call, wanted: Kind) -> Result<ExitCode, String> {
    let (_, kind) = read_any(&call.db(0))?;
    Ok(if kind == wanted { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn db_name(call: &Call) -> Result<ExitCode, String> {
    match read_any(&call.db(0))?.1 {
        Kind::Standalone => print_db(call, |schema| schema.name),
        Kind::Clustered => cluster::name(call),
    }
}

fn print_db(call: &Call, part: fn(DbSchema) -> String) -> Result<ExitCode, String> {
    println!("{}", part(db_schema(&call.db(0))?));
    Ok(ExitCode::SUCCESS)
}

fn print_schema(call: &Call, part: fn(DbSchema) -> String) -> Result<ExitCode, String> {
    println!("{}", part(read_schema(&call.schema(0))?));
    Ok(ExitCode::SUCCESS)
}

fn needs_conversion(call: &Call) -> Result<ExitCode, String> {
    let schema = read_schema(&call.schema(1))?;
    let own = db_schema(&call.db(0))?;
    println!("{}", if own == schema { "no" } else { "yes" });
    Ok(ExitCode::SUCCESS)
}

fn compact(call: &Call) -> Result<ExitCode, String> {
    rewrite(&call.db(0), call.args.get(1), None, "compacted")
}

fn convert(call: &Call) -> Result<ExitCode, String> {
    let schema = read_schema(&call.schema(1))?;
    rewrite(&call.db(0), call.args.get(2), Some(schema), "converted")
}

/// Writes a database without its history, under another schema or its own, to another file or its own.
fn rewrite(
    source: &str,
    target: Option<&String>,
    schema: Option<DbSchema>,
    verb: &str,
) -> Result<ExitCode, String> {
    read_standalone(source)?;
    // The lock is held until the end.
    let held = match target {
        None => Some(Storage::open(source, Mode::ReadWrite, Unknown::Refuse).map_err(text)?),
        Some(_) => None,
    };
    let data = Storage::read(source).map_err(text)?;
    let unknown = if schema.is_some() { Unknown::Ignore } else { Unknown::Refuse };
    let (loaded, _) = storage::load(&data, source, schema, unknown).map_err(text)?;
    if let Some(damage) = loaded.damage {
        return Err(damage.to_string());
    }
    let comment = format!("{verb} by ovsdb-tool {}", version::COMPAT_VERSION);
    let date = Clock::new().wall_ms() as i64;
    let contents = record::snapshot(&loaded.db, &comment, date);
    match (held, target) {
        (Some((mut storage, _)), _) => storage.replace(&loaded.db.schema, contents.as_ref()).map_err(text)?,
        (None, Some(target)) => {
            let mut storage = Storage::create(target, &loaded.db.schema).map_err(text)?;
            if let Some(contents) = contents {
                storage.append(&contents).map_err(text)?;
            }
            storage.sync().map_err(text)?;
        }
        (None, None) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn compare_versions(call: &Call) -> Result<ExitCode, String> {
    let version = |text: &String| {
        parse_version(text).ok_or_else(|| format!("{text}: not an OVSDB version number in format x.y.z"))
    };
    let (a, b) = (version(&call.args[0])?, version(&call.args[2])?);
    let holds = match call.args[1].as_str() {
        "<" => a < b,
        "<=" => a <= b,
        "==" => a == b,
        ">=" => a >= b,
        ">" => a > b,
        "!=" => a != b,
        other => return Err(format!("{other}: not a relational operator")),
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn transact(call: &Call, mode: Mode) -> Result<ExitCode, String> {
    let (file, transaction) = match call.args.as_slice() {
        [transaction] => (call.db(usize::MAX), transaction),
        args => (call.db(0), &args[args.len() - 1]),
    };
    let json = json::parse(transaction.as_bytes()).map_err(|error| format!("\"{transaction}\": {error}"))?;
    read_standalone(&file)?;
    let (mut storage, mut loaded) = Storage::open(&file, mode, Unknown::Refuse).map_err(text)?;
    if let Some(damage) = loaded.damage {
        return Err(damage.to_string());
    }
    let array = json.as_array();
    if array.and_then(|a| a.first()).and_then(Json::as_str) != Some(&loaded.db.schema.name) {
        let wanted =
            if array.is_some() { "database name expected as first parameter" } else { "array expected" };
        println!("{}", Error::syntax(&json, wanted).to_json());
        return Ok(ExitCode::SUCCESS);
    }
    let request = Request {
        operations: array.and_then(|a| a.get(1..)).unwrap_or_default(),
        access: Access::ReadWrite,
        waiting: Waiting::Impossible,
        owns_lock: &|_| false,
    };
    let mut uuids = UuidSource::open().map_err(|error| format!("/dev/urandom: {error}"))?;
    let outcome = execute_as(&mut loaded.db, &request, Some(&call.role), &mut || uuids.next_uuid());
    let Outcome::Done { mut results, prepared } = outcome else { return Ok(ExitCode::SUCCESS) };
    if let Some(prepared) = prepared.filter(|_| mode == Mode::ReadWrite) {
        let date = Clock::new().wall_ms() as i64;
        let comment = prepared.comment();
        let record = record::compose(prepared.db(), prepared.changes(), &comment, date, Columns::Diff);
        let written = record.map_or(Ok(()), |record| storage.append(&record).and_then(|()| storage.sync()));
        results.extend(written.err().map(|error| error.to_json()));
    }
    println!("{}", Json::Array(results));
    Ok(ExitCode::SUCCESS)
}

fn usage() -> String {
    let name = program::name();
    format!(
        "{name}: Open vSwitch database management utility\n\
         usage: {name} [OPTIONS] COMMAND [ARG...]\n  \
         create [DB [SCHEMA]]    create DB with the given SCHEMA\n  \
         compact [DB [DST]]      compact DB in-place (or to DST)\n  \
         convert [DB [SCHEMA [DST]]]   convert DB to SCHEMA (to DST)\n  \
         needs-conversion [DB [SCHEMA]]  tell whether DB has another schema\n  \
         db-name [DB]            report name of schema used by DB\n  \
         db-version [DB]         report version of schema used by DB\n  \
         db-cksum [DB]           report checksum of schema used by DB\n  \
         db-cid DB               report cluster ID of clustered DB\n  \
         db-sid DB               report server ID of clustered DB\n  \
         db-local-address DB     report local address of clustered DB\n  \
         db-is-clustered DB      test whether DB is clustered\n  \
         db-is-standalone DB     test whether DB is standalone\n  \
         schema-name [SCHEMA]    report SCHEMA's name\n  \
         schema-version [SCHEMA] report SCHEMA's schema version\n  \
         schema-cksum [SCHEMA]   report SCHEMA's checksum\n  \
         compare-versions A OP B  compare OVSDB schema version numbers\n  \
         query [DB] TRNS         execute read-only transaction on DB\n  \
         transact [DB] TRNS      execute read/write transaction on DB\n  \
         cluster-to-standalone DB DB    Convert clustered DB to\n      \
         standalone DB when cluster is down and cannot be\n        \
         revived\n  \
         [-m]... show-log [DB]   print DB's log entries\n\
         The default DB is {}.\n\
         The default SCHEMA is {}.\n\
         \n\
         {}\n\
         Other options:\n  \
         -m, --more                  increase show-log verbosity\n  \
         --rbac-role=ROLE            RBAC role for transact and query commands\n  \
         -h, --help                  display this help message\n  \
         -V, --version               display version information\n",
        dirs::dbdir().join("conf.db").display(),
        dirs::pkgdatadir().join("vswitch.ovsschema").display(),
        usage::logging(),
    )
}
