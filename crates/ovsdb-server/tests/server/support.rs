//! Servers, ours and C's, and a client that speaks to either.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ovsdb::json::{Json, Parser};
use ovsdb::{DbSchema, Uuid};
use ovsdb_engine::Storage;
use testkit::{Scratch, Suite};

pub const OURS: &str = env!("CARGO_BIN_EXE_ovsdb-server");
const PATIENCE: Duration = Duration::from_secs(30);

/// A random choice that is the same in every run.
pub struct Dice {
    state: u64,
    /// How many mistakes may still be made.
    pub slips: u32,
    /// Whether rows may be named.
    pub names: bool,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice { state: seed, slips: 0, names: true }
    }

    pub fn pick(&mut self, n: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % n.max(1)
    }

    /// Whether to make a mistake here.
    pub fn slips(&mut self, one_in: u64) -> bool {
        let slips = self.slips > 0 && self.one_in(one_in);
        self.slips -= u32::from(slips);
        slips
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.pick(n) == 0
    }

    pub fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.pick(choices.len() as u64) as usize]
    }
}

/// A running server with a folder of its own.
pub struct Server {
    pub child: Child,
    pub folder: Scratch,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a database file.
pub fn create(path: &Path, schema: &str) {
    let schema = DbSchema::from_json(&ovsdb::json::parse(schema.as_bytes()).unwrap()).unwrap();
    Storage::create(path.to_str().unwrap(), &schema).unwrap();
}

/// A command that runs a server: C's where a suite is given.
pub fn command(suite: Option<&Suite>, folder: &Path) -> Command {
    let mut command = match suite {
        Some(suite) => suite.command("ovsdb-server"),
        None => Command::new(OURS),
    };
    for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
        command.env(name, folder);
    }
    command.current_dir(folder).stdin(Stdio::null()).arg("-vconsole:off").arg("--log-file=log");
    command.arg("--unixctl=ctl");
    command
}

/// Starts a server over the databases in `folder`, listening on `s` there.
pub fn start(suite: Option<&Suite>, folder: Scratch, arguments: &[&str]) -> Server {
    let mut command = command(suite, folder.path());
    command.arg("--remote=punix:s").args(arguments);
    let child = command.spawn().unwrap();
    let server = Server { child, folder };
    drop(server.connect());
    server
}

/// Waits until `done` gives something.
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Server {
    pub fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    pub fn connect(&self) -> Client {
        connect(&self.socket())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Lines of the log, of some modules, without their times and numbers; connections are called `unix#`.
    pub fn lines_of(&self, modules: &[&str]) -> Vec<String> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| line.splitn(3, '|').nth(2));
        let wanted =
            lines.filter(|line| modules.iter().any(|module| line.starts_with(&format!("{module}|"))));
        let plain = |line: &str| match line.split_once("unix#") {
            Some((before, after)) => {
                format!("{before}unix#{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            None => line.to_owned(),
        };
        wanted.map(plain).collect()
    }

    /// Runs a command on the control socket: its reply, or its error.
    pub fn appctl(&self, name: &str, arguments: &[&str]) -> Result<String, String> {
        let mut client = connect(&self.folder.join("ctl"));
        let arguments = Json::array(arguments.iter().copied());
        let reply = client.call(name, &arguments.to_string());
        let text = |json: Option<&Json>| json.and_then(Json::as_str).map(|t| t.trim_end().to_owned());
        match text(reply.get("error")) {
            Some(error) => Err(error),
            None => Ok(text(reply.get("result")).unwrap_or_default()),
        }
    }
}

pub fn connect(path: &Path) -> Client {
    let stream = wait_for("the server's socket", || UnixStream::connect(path).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client::new(Box::new(stream))
}

pub trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// Speaks JSON-RPC.
pub struct Client {
    pub stream: Box<dyn Duplex>,
    parser: Parser,
    input: Vec<u8>,
    /// Notifications that came while something else was waited for.
    pub heard: Vec<Json>,
    next_id: u64,
}

impl Client {
    pub fn new(stream: Box<dyn Duplex>) -> Client {
        Client { stream, parser: Parser::new(), input: Vec::new(), heard: Vec::new(), next_id: 0 }
    }

    pub fn send(&mut self, text: &str) -> Option<()> {
        self.stream.write_all(text.as_bytes()).ok()
    }

    /// The next message; nothing when the connection is over.
    pub fn receive(&mut self) -> Option<Json> {
        let mut buffer = [0; 65536];
        loop {
            while !self.input.is_empty() {
                let (taken, message) = self.parser.feed(&self.input).unwrap();
                self.input.drain(..taken);
                if message.is_some() {
                    return message;
                }
            }
            let n = self.stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
            self.input.extend_from_slice(&buffer[..n]);
        }
    }

    /// Sends a request and gives its whole reply; notifications are kept.
    pub fn try_call(&mut self, method: &str, params: &str) -> Option<Json> {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}"))?;
        loop {
            let message = self.receive()?;
            if message.get("method").is_some() {
                if message.get("method").and_then(Json::as_str) == Some("echo") {
                    let id = message.get("id").unwrap();
                    self.send(&format!("{{\"id\":{id},\"result\":[],\"error\":null}}"))?;
                } else {
                    self.heard.push(message);
                }
            } else if message.get("id").and_then(Json::as_i64) == Some(id as i64) {
                return Some(message);
            }
        }
    }

    pub fn call(&mut self, method: &str, params: &str) -> Json {
        self.try_call(method, params).unwrap_or_else(|| panic!("no reply to {method} {params}"))
    }

    /// The results of a transaction.
    pub fn transact(&mut self, database: &str, operations: &str) -> Option<Json> {
        let reply = self.try_call("transact", &format!("[\"{database}\",{operations}]"))?;
        Some(
            reply
                .get("result")
                .filter(|r| !r.is_null())
                .unwrap_or_else(|| reply.get("error").unwrap())
                .clone(),
        )
    }

    /// What was heard so far, after whatever was under way has arrived.
    pub fn sync(&mut self) -> Vec<Json> {
        self.call("echo", "[]");
        std::mem::take(&mut self.heard)
    }
}

/// Identifiers that only one server knows become `U`; rows of a selection and members of data are put in order.
pub fn masked(json: &Json, known: &dyn Fn(Uuid) -> bool) -> Json {
    let unknown = |text: &str| Uuid::parse(text).is_some_and(|uuid| !known(uuid));
    match json {
        Json::String(s) if unknown(s) => Json::string("U"),
        Json::String(s) => {
            // Which of two rows a complaint about an index names first is chance.
            let s = s.split("  First row").next().unwrap_or_default();
            // So is which of several rows, columns or references a complaint about a transaction is about.
            let whole = [
                "references nonexistent",
                "cannot delete",
                "eak reference",
                "identical values",
                "transaction causes",
                "Attempted to store",
            ];
            if let Some(kind) = whole.iter().find(|kind| s.contains(**kind)) {
                return Json::string(*kind);
            }
            let words = s.split(' ').map(|word| if unknown(word) { "U" } else { word });
            Json::string(words.collect::<Vec<_>>().join(" "))
        }
        Json::Array(elements) => {
            let mut elements: Vec<Json> = elements.iter().map(|e| masked(e, known)).collect();
            // A datum is in the order of its values, which is chance where they are unknown.
            let is_datum = matches!(elements.first().and_then(Json::as_str), Some("set" | "map"));
            if let (true, Some(Json::Array(members))) = (is_datum, elements.get_mut(1)) {
                members.sort_by_key(Json::to_string);
            }
            Json::Array(elements)
        }
        Json::Object(members) => Json::object(members.iter().map(|(name, value)| {
            let mut value = masked(value, known);
            if let (Json::Array(rows), "rows") = (&mut value, name.as_str()) {
                rows.sort_by_key(Json::to_string);
            }
            (name.clone(), value)
        })),
        other => other.clone(),
    }
}

/// What random choices begin with: in a short run of the gate the same each time.
pub fn seed() -> u64 {
    let given =
        ["OVSDB_SEED", "PROPTEST_RNG_SEED"].iter().find_map(|name| std::env::var(name).ok()?.parse().ok());
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    given.unwrap_or_else(|| u64::from(now().subsec_nanos()))
}

pub fn is_long() -> bool {
    std::env::var_os("OXVS_LONG").is_some()
}
