//! `cargo xtask bench ovsdb`: ovsdb-server beside C's, in one run, over a unix socket (row P13 of docs/performance.md).
//!
//! Where it sits: one subject of `bench`. Speaks just enough JSON-RPC to load a server: requests are text, replies are counted.
//!
//! Rounds of the two servers are interleaved, each with a fresh server; medians are compared. The server's own CPU time is what
//! counts where clients share the machine.

use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::FileExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use testkit::{Scratch, Suite};

use super::median;
use crate::{
    needs, oracle,
    shell::{announce, cargo, check, target_dir},
};

const ROUNDS: usize = 3;
/// Bytes of the log that the start-up case reads.
const LOG_BYTES: u64 = 200 << 20;

const ROWS_SCHEMA: &str = r#"{"name":"R","version":"1.0.0","tables":{"T":{"columns":{"name":{"type":"string"},
 "group":{"type":"integer"},"n":{"type":"integer"},
 "ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}},"isRoot":true,"indexes":[["name"]]}}}"#;

/// Which cases are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Transactions and ports: a minute, not a quarter of an hour.
    Short,
    /// All.
    All,
}

/// What one server did.
struct Sample {
    case: &'static str,
    unit: &'static str,
    value: f64,
}

/// Builds, and measures in a process that knows where both suites are.
pub(super) fn outside(extent: Extent) -> Result<ExitCode> {
    for missing in needs::for_tests() {
        eprintln!("{}", missing.reason);
    }
    announce("building ovsdb-server");
    check(cargo().args(["build", "--release", "--quiet", "-p", "ovsdb-server"]))?;
    let mut command = Command::new(std::env::current_exe()?);
    let inside = if extent == Extent::Short { "ovsdb-short-inside" } else { "ovsdb-inside" };
    command.args(["bench", inside]).env("OXVS_ORACLE", oracle::folder());
    Ok(if command.status()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures and prints.
pub(super) fn inside(extent: Extent) -> Result<()> {
    let ours = target_dir().join("release/ovsdb-server");
    let theirs = testkit::oracle().context("this measurement is part of 'bench ovsdb'")?;
    let mut samples: [Vec<Sample>; 2] = Default::default();
    for round in 1..=ROUNDS {
        for (samples, suite) in samples.iter_mut().zip([None, Some(&theirs)]) {
            announce(&format!("round {round}: {}", if suite.is_some() { "C Open vSwitch" } else { "oxvs" }));
            let bench = Bench { program: &ours, suite, tool: &theirs };
            samples.extend(bench.measure(extent)?);
        }
    }
    print_table(&samples);
    Ok(())
}

fn print_table(samples: &[Vec<Sample>; 2]) {
    println!("\n| row | case | ours | peer | ratio (peer/ours) |\n|---|---|---|---|---|");
    let mut cases: Vec<&str> = Vec::new();
    for sample in samples[0].iter().filter(|s| !s.case.is_empty()) {
        if cases.contains(&sample.case) {
            continue;
        }
        cases.push(sample.case);
        let value =
            |of: &[Sample]| median(of.iter().filter(|s| s.case == sample.case).map(|s| s.value).collect());
        let (ours, theirs) = (value(&samples[0]), value(&samples[1]));
        let unit = sample.unit;
        println!("| P13 | {} | {ours:.2} {unit} | {theirs:.2} {unit} | {:.2} |", sample.case, theirs / ours);
    }
}

/// Cases that are measured together.
type Group<'a> = fn(&Bench<'a>) -> Result<Vec<Sample>>;

struct Bench<'a> {
    program: &'a Path,
    suite: Option<&'a Suite>,
    tool: &'a Suite,
}

impl<'a> Bench<'a> {
    fn measure(&self, extent: Extent) -> Result<Vec<Sample>> {
        let mut all = Vec::new();
        let short: &[Group<'a>] = &[Self::floor, Self::transactions, Self::ports];
        let long: &[Group<'a>] = &[Self::monitors, Self::memory, Self::startup];
        for group in short.iter().chain(long.iter().filter(|_| extent == Extent::All)) {
            let samples = group(self)?;
            for Sample { case, unit, value } in &samples {
                println!("  {case}: {value:.2} {unit}");
            }
            all.extend(samples);
        }
        Ok(all)
    }

    fn create(&self, schema: &Path) -> Result<Scratch> {
        let folder = Scratch::new();
        let mut tool = self.tool.command("ovsdb-tool");
        check(tool.arg("create").arg(folder.join("db")).arg(schema))?;
        Ok(folder)
    }

    fn rows(&self) -> Result<Scratch> {
        let schema = Scratch::new();
        fs::write(schema.join("schema"), ROWS_SCHEMA)?;
        self.create(&schema.join("schema"))
    }

    fn start(&self, folder: Scratch) -> Result<Running> {
        let mut command = match self.suite {
            Some(suite) => suite.command("ovsdb-server"),
            None => Command::new(self.program),
        };
        let here = folder.path();
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(name, here);
        }
        command.current_dir(here).args(["--remote=punix:s", "-vconsole:off", "--unixctl=ctl", "db"]);
        let running = Running { child: command.spawn()?, folder };
        drop(running.connect()?);
        Ok(running)
    }

    /// What the kernel takes of a transaction, whoever serves it: a process that reads, writes as much to a file, and answers.
    fn floor(&self) -> Result<Vec<Sample>> {
        let (stream, theirs) = UnixStream::pair()?;
        let mut command = Command::new(std::env::current_exe()?);
        let child = command.args(["bench", "ovsdb-floor"]).stdin(OwnedFd::from(theirs)).spawn()?;
        // Its copy of the socket goes with the command.
        drop(command);
        let server = Running { child, folder: Scratch::new() };
        let mut client = Client { stream, counter: Counter::default(), database: "R" };
        client.pipeline(1, (0..100).map(mutate))?;
        let (before, begin) = (server.cpu()?, Instant::now());
        client.pipeline(1, (0..5_000).map(mutate))?;
        let (took, used) = (begin.elapsed().as_secs_f64(), server.cpu()? - before);
        Ok(vec![
            Sample {
                case: "no database: read, write, send, depth 1",
                unit: "µs each",
                value: took * 1e6 / 5e3,
            },
            Sample { case: "CPU of that", unit: "µs", value: used * 1e6 / 5e3 },
        ])
    }

    /// Small transactions, one after the other and with 64 under way.
    fn transactions(&self) -> Result<Vec<Sample>> {
        let server = self.start(self.rows()?)?;
        let mut client = server.connect()?;
        client.call(r#"{"op":"insert","table":"T","row":{"name":"a"}}"#)?;
        let mut samples = Vec::new();
        for (depth, count, rate, cpu) in [
            (1, 5_000, "transactions a second, depth 1", "CPU a transaction, depth 1"),
            (64, 20_000, "transactions a second, depth 64", "CPU a transaction, depth 64"),
        ] {
            let (before, begin) = (server.cpu()?, Instant::now());
            client.pipeline(depth, (0..count).map(mutate))?;
            let (took, used) = (begin.elapsed().as_secs_f64(), server.cpu()? - before);
            // Rates are turned round, so that less is better in every row.
            samples.push(Sample { case: rate, unit: "µs each", value: took * 1e6 / count as f64 });
            samples.push(Sample { case: cpu, unit: "µs", value: used * 1e6 / count as f64 });
        }
        Ok(samples)
    }

    /// Ports of a bridge: many at once, one by one, and all away.
    fn ports(&self) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for (n, [at_once, one, away]) in [
            (
                1_000,
                [
                    ["1,000 ports at once", "1,000 ports at once, CPU"],
                    ["a port more, of 1,000", "a port more, of 1,000, CPU"],
                    ["bridge with 1,000 ports deleted", "bridge with 1,000 ports deleted, CPU"],
                ],
            ),
            (
                5_000,
                [
                    ["5,000 ports at once", "5,000 ports at once, CPU"],
                    ["a port more, of 5,000", "a port more, of 5,000, CPU"],
                    ["bridge with 5,000 ports deleted", "bridge with 5,000 ports deleted, CPU"],
                ],
            ),
        ] {
            let server = self.start(self.create(self.tool.schema())?)?;
            let mut client = server.connect()?;
            client.database = "Open_vSwitch";
            client.call(
                r#"{"op":"insert","table":"Bridge","uuid-name":"b","row":{"name":"br0"}},{"op":"insert","table":"Open_vSwitch","row":{"bridges":["named-uuid","b"]}}"#,
            )?;
            let mut timed = |cases: [&'static str; 2],
                             count: usize,
                             operations: &mut dyn Iterator<Item = String>|
             -> Result<()> {
                let (before, begin) = (server.cpu()?, Instant::now());
                for operation in operations {
                    client.call(&operation)?;
                }
                let (took, used) = (begin.elapsed().as_secs_f64(), server.cpu()? - before);
                samples.extend(cases.into_iter().zip([took, used]).map(|(case, seconds)| Sample {
                    case,
                    unit: "ms",
                    value: seconds * 1e3 / count as f64,
                }));
                Ok(())
            };
            timed(at_once, 1, &mut std::iter::once(add_ports(0..n)))?;
            timed(one, 200, &mut (n..n + 200).map(|i| add_ports(i..i + 1)))?;
            let delete = r#"{"op":"update","table":"Open_vSwitch","where":[],"row":{"bridges":["set",[]]}}"#;
            timed(away, 1, &mut std::iter::once(delete.to_owned()))?;
        }
        Ok(samples)
    }

    /// A thousand conditional monitors of a table of 20,000 rows, and a thousand changes.
    fn monitors(&self) -> Result<Vec<Sample>> {
        let server = self.start(self.rows()?)?;
        let mut client = server.connect()?;
        client.pipeline(4, (0..20).map(|i| insert_rows(i * 1000, 1000)))?;
        let mut watchers = Vec::new();
        let begin = Instant::now();
        for i in 0..1000 {
            if i % 100 == 0 {
                watchers.push(server.connect()?);
            }
            let watcher = watchers.last_mut().context("there is one")?;
            watcher.monitor(&format!(
                r#"["R",{i},{{"T":[{{"columns":["n"],"where":[["group","==",{i}]]}}]}}]"#
            ))?;
        }
        let set_up = begin.elapsed().as_secs_f64();
        let (before, begin) = (server.cpu()?, Instant::now());
        client.pipeline(
            16,
            (0..1000).map(|i| {
                format!(
                    r#"{{"op":"update","table":"T","where":[["name","==","row{}"]],"row":{{"n":{i}}}}}"#,
                    i * 20
                )
            }),
        )?;
        let (took, used) = (begin.elapsed().as_secs_f64(), server.cpu()? - before);
        Ok(vec![
            Sample {
                case: "1,000 conditional monitors of 20,000 rows made",
                unit: "ms",
                value: set_up * 1e3,
            },
            Sample { case: "1,000 changes under 1,000 conditional monitors", unit: "ms", value: took * 1e3 },
            Sample { case: "the same, CPU", unit: "ms", value: used * 1e3 },
        ])
    }

    /// What 100,000 rows take.
    fn memory(&self) -> Result<Vec<Sample>> {
        let server = self.start(self.rows()?)?;
        let empty = server.rss()?;
        server.connect()?.pipeline(2, (0..100).map(|i| insert_rows(i * 1000, 1000)))?;
        let value = (server.rss()? - empty) / 1024.0;
        Ok(vec![Sample { case: "memory of 100,000 rows", unit: "MB", value }])
    }

    /// Starting with a long log. The log is always the same server's, so that both read the same bytes.
    fn startup(&self) -> Result<Vec<Sample>> {
        let log = long_log(self)?;
        let folder = Scratch::new();
        fs::copy(&log, folder.join("db"))?;
        let begin = Instant::now();
        let server = self.start(folder)?;
        server.connect()?.call(r#"{"op":"select","table":"T","where":[["name","==","row1"]]}"#)?;
        let value = begin.elapsed().as_secs_f64() * 1e3;
        Ok(vec![Sample { case: "start with a log of 200 MB", unit: "ms", value }])
    }
}

/// Makes the long log once a run: rows come, change and go until the file is large.
fn long_log(bench: &Bench<'_>) -> Result<PathBuf> {
    let path = target_dir().join("tmp/ovsdb-bench-log");
    if fs::metadata(&path).is_ok_and(|m| m.len() >= LOG_BYTES) {
        return Ok(path);
    }
    let ours = Bench { program: bench.program, suite: None, tool: bench.tool };
    let server = ours.start(ours.rows()?)?;
    let mut client = server.connect()?;
    let size = || fs::metadata(server.folder.join("db")).map(|m| m.len());
    let mut next = 0;
    while size()? < LOG_BYTES {
        let batch = next;
        client.pipeline(
            8,
            (0..50).map(|i| {
                let change = format!(
                    r#"{{"op":"update","table":"T","where":[["name","==","row{}"]],"row":{{"n":{i}}}}}"#,
                    batch / 2
                );
                format!("{},{change}", insert_rows(batch + i * 50, 50))
            }),
        )?;
        next += 2500;
        if next > 100_000 {
            client
                .call(&format!(r#"{{"op":"delete","table":"T","where":[["n","<",{}]]}}"#, next - 50_000))?;
        }
    }
    drop(client);
    fs::create_dir_all(target_dir().join("tmp"))?;
    fs::copy(server.folder.join("db"), &path)?;
    Ok(path)
}

/// The other end of `Bench::floor`, on standard input.
pub(super) fn floor() -> Result<()> {
    const RECORD: &[u8] = &[b'x'; 200];
    const REPLY: &[u8] = br#"{"id":1,"result":[{"count":1}],"error":null}"#;
    let mut stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let folder = Scratch::new();
    let file = fs::File::create(folder.join("log"))?;
    let (mut buffer, mut end) = ([0; 65536], 0);
    while stream.read(&mut buffer)? > 0 {
        file.write_all_at(RECORD, end)?;
        end += RECORD.len() as u64;
        stream.write_all(REPLY)?;
    }
    Ok(())
}

fn mutate(i: usize) -> String {
    format!(
        r#"{{"op":"mutate","table":"T","where":[["name","==","a"]],"mutations":[["ids","delete",["set",["k"]]],["ids","insert",["map",[["k","{i}"]]]]]}}"#
    )
}

fn add_ports(numbers: std::ops::Range<usize>) -> String {
    let mut operations = Vec::new();
    let mut names = Vec::new();
    for i in numbers {
        operations.push(format!(
            r#"{{"op":"insert","table":"Interface","uuid-name":"i{i}","row":{{"name":"p{i}","type":"patch","options":["map",[["peer","q{i}"]]]}}}}"#
        ));
        operations.push(format!(
            r#"{{"op":"insert","table":"Port","uuid-name":"p{i}","row":{{"name":"p{i}","interfaces":["named-uuid","i{i}"]}}}}"#
        ));
        names.push(format!(r#"["named-uuid","p{i}"]"#));
    }
    operations.push(format!(
        r#"{{"op":"mutate","table":"Bridge","where":[["name","==","br0"]],"mutations":[["ports","insert",["set",[{}]]]]}}"#,
        names.join(",")
    ));
    operations.join(",")
}

fn insert_rows(first: usize, count: usize) -> String {
    let row = |i: usize| {
        format!(
            r#"{{"op":"insert","table":"T","row":{{"name":"row{i}","group":{},"n":{i},"ids":["map",[["owner","somebody{i}"],["kind","row"]]]}}}}"#,
            i % 1000
        )
    };
    (first..first + count).map(row).collect::<Vec<_>>().join(",")
}

/// A server under load.
struct Running {
    child: Child,
    folder: Scratch,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    fn connect(&self) -> Result<Client> {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            match UnixStream::connect(self.folder.join("s")) {
                Ok(stream) => return Ok(Client { stream, counter: Counter::default(), database: "R" }),
                Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(error).context("the server does not listen"),
            }
        }
    }

    /// Seconds of CPU that the server's threads have used.
    fn cpu(&self) -> Result<f64> {
        let mut ns = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may have ended meanwhile.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            ns += text.split(' ').next().and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
        }
        Ok(ns / 1e9)
    }

    /// Kilobytes that are resident.
    fn rss(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")
    }
}

/// Sends requests and counts replies.
struct Client {
    stream: UnixStream,
    counter: Counter,
    database: &'static str,
}

/// Finds the ends of JSON texts in a stream.
#[derive(Default)]
struct Counter {
    depth: usize,
    in_string: bool,
    escaped: bool,
    complete: usize,
}

impl Counter {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    self.complete += usize::from(self.depth == 0);
                }
                _ => {}
            }
        }
    }
}

impl Client {
    fn send(&mut self, operations: &str) -> Result<()> {
        let text = format!(r#"{{"id":1,"method":"transact","params":["{}",{operations}]}}"#, self.database);
        Ok(self.stream.write_all(text.as_bytes())?)
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 65536];
        while self.counter.complete == 0 {
            let n = self.stream.read(&mut buffer)?;
            ensure!(n > 0, "the server hung up");
            let text = String::from_utf8_lossy(&buffer[..n]);
            if text.contains("\"details\"") {
                bail!("the server refuses: {text}");
            }
            self.counter.feed(&buffer[..n]);
        }
        self.counter.complete -= 1;
        Ok(())
    }

    fn call(&mut self, operations: &str) -> Result<()> {
        self.send(operations)?;
        self.receive()
    }

    fn monitor(&mut self, params: &str) -> Result<()> {
        let text = format!(r#"{{"id":2,"method":"monitor_cond","params":{params}}}"#);
        self.stream.write_all(text.as_bytes())?;
        self.receive()
    }

    /// Keeps `depth` transactions under way.
    fn pipeline(&mut self, depth: usize, operations: impl Iterator<Item = String>) -> Result<()> {
        let mut under_way = 0;
        for operation in operations {
            self.send(&operation)?;
            under_way += 1;
            if under_way == depth {
                self.receive()?;
                under_way -= 1;
            }
        }
        (0..under_way).try_for_each(|_| self.receive())
    }
}
