//! `cargo xtask test`: format, lints and every test, with one closing line.
//!
//! Where it sits: called by people and by `.ci/run`. It prepares what the tests need, runs cargo, and sums up what the
//! runners reported. All steps run even when an earlier one fails, so that one run shows everything.
//!
//! One feature set and one profile serve lints, unit tests and end-to-end tests: what is compiled once is used by all.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    needs, oracle,
    outcome::Outcome,
    shell::{announce, cargo, check, target_dir, which},
};

/// How much to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// What must hold before a change lands.
    Short,
    /// Also what takes too long for that: many more random cases and kill rounds.
    Long,
}

/// Runs the gate; the exit status says whether everything held.
pub fn run(length: Length) -> Result<ExitCode> {
    let mut outcome = Outcome::default();
    announce("what the tests need");
    for missing in needs::for_tests() {
        outcome.skip(&missing.purpose, &missing.reason);
    }
    announce("format");
    outcome.check("format", check(cargo().args(["fmt", "--all", "--check"])));
    announce("lints");
    let mut clippy = cargo();
    clippy.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--keep-going",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]);
    outcome.check("lints", check(&mut clippy));
    announce("programs");
    outcome.check("programs", check(cargo().args(["build", "--workspace", "--bins", "--quiet"])));
    announce("tests");
    if let Err(error) = tests(length, &mut outcome) {
        outcome.check("tests", Err(error));
    }
    if length == Length::Long {
        announce("every order of reader and writer");
        outcome.check("loom", check(&mut models()));
    }
    outcome.print();
    Ok(if outcome.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tests(length: Length, outcome: &mut Outcome) -> Result<()> {
    if which("cargo-nextest").is_some() {
        with_nextest(length, outcome)
    } else {
        with_libtest(length, outcome)
    }
}

/// The models of `sync`, built with loom's atomics in a folder of their own.
fn models() -> Command {
    let mut command = cargo();
    command.args(["test", "--quiet", "--release", "-p", "sync", "--test", "loom"]);
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", target_dir().join("loom"));
    command
}

/// What the tests read from the environment.
fn prepared(mut command: Command, length: Length) -> Command {
    command.env("OXVS_ORACLE", oracle::folder());
    // the programs have just been built: tests need not ask cargo again
    command.env("OXVS_PROGRAMS", target_dir().join("debug"));
    match length {
        // the same cases in every run: a landing is not refused for what it did not touch
        Length::Short => command.env("PROPTEST_RNG_SEED", "1"),
        Length::Long => command.env("OXVS_LONG", "1").env("PROPTEST_CASES", "4096"),
    };
    command
}

fn with_nextest(length: Length, outcome: &mut Outcome) -> Result<()> {
    let profile = match length {
        Length::Short => "gate",
        Length::Long => "long",
    };
    let junit = target_dir().join("nextest").join(profile).join("junit.xml");
    drop(fs::remove_file(&junit));
    let mut command = prepared(cargo(), length);
    command.args([
        "nextest",
        "run",
        "--workspace",
        "--profile",
        profile,
        "--cargo-quiet",
        "--no-tests",
        "pass",
    ]);
    let ran = check(&mut command);
    let before = outcome.failed.len();
    let report = fs::read_to_string(&junit).ok();
    if let Some(xml) = &report {
        outcome.add_junit(xml);
    }
    // a failure that no test accounts for (a test that does not compile) is a failure of its own
    if outcome.failed.len() == before {
        ran?;
        ensure!(report.is_some(), "nextest left no report");
    }
    Ok(())
}

fn with_libtest(length: Length, outcome: &mut Outcome) -> Result<()> {
    let mut command = prepared(cargo(), length);
    command.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run cargo test")?;
    // the names of the test programs come on stderr, their results on stdout; the order between the two is kept well
    // enough by cargo, which writes the one before it starts the other
    let (sender, lines) = std::sync::mpsc::channel();
    let out = child.stdout.take().context("no stdout")?;
    let err = child.stderr.take().context("no stderr")?;
    let other = sender.clone();
    let readers = [
        std::thread::spawn(move || forward(BufReader::new(out), &sender)),
        std::thread::spawn(move || forward(BufReader::new(err), &other)),
    ];
    let mut text = String::new();
    for line in lines {
        if !line.ends_with(" ... ok") {
            eprintln!("{line}");
        }
        text.push_str(&line);
        text.push('\n');
    }
    for reader in readers {
        drop(reader.join());
    }
    let status = child.wait()?;
    let before = outcome.failed.len();
    outcome.add_libtest(&text);
    ensure!(status.success() || outcome.failed.len() > before, "cargo test: {status}");
    Ok(())
}

fn forward(lines: impl BufRead, to: &std::sync::mpsc::Sender<String>) {
    for line in lines.lines().map_while(Result::ok) {
        if to.send(line).is_err() {
            break;
        }
    }
}
