//! ovs-vsctl beside Debian's: the same command lines give the same output, errors and exit status.

use std::process::Command;

use testkit::{Ran, Suite, SwitchUnderTest, oracle, skip};

const COMMANDS: &str = include_str!("vsctl/commands.txt");

/// A command line through a shell, so that quotes in the list mean what they mean to users.
fn run(at: &SwitchUnderTest, program: &str, line: &str) -> Ran {
    let mut shell = Command::new("sh");
    at.environment(&mut shell);
    shell.args(["-c", &format!("exec {program} --no-wait {line}")]);
    shell.output().expect("sh starts").into()
}

/// What may differ between two databases: identities, times, folders (of getopt's own messages too), and the order that
/// follows from identities.
fn comparable(ran: &Ran, at: &SwitchUnderTest) -> (Option<i32>, Vec<String>, Vec<String>) {
    let lines = |text: &str| {
        let text = text.replace(&at.path(""), "DIR/");
        let text =
            text.rsplit_once("/ovs-vsctl: ").map_or(text.clone(), |(_, rest)| format!("ovs-vsctl: {rest}"));
        let mut lines: Vec<String> = text.lines().map(without_identities).collect();
        lines.sort();
        lines
    };
    (ran.status, lines(&ran.stdout), lines(&ran.stderr))
}

fn without_identities(line: &str) -> String {
    let line = line.split_once('|').map_or(line, |(time, rest)| if time.contains('T') { rest } else { line });
    let line =
        line.split_once('|').map_or(line, |(n, rest)| if n.parse::<u32>().is_ok() { rest } else { line });
    let is_uuid = |w: &str| w.len() == 36 && w.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let words: Vec<&str> = line.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
    let shown = |w: &&str| {
        if is_uuid(w.trim_end_matches(|c: char| !c.is_ascii_alphanumeric())) { "UUID " } else { w }.to_owned()
    };
    words.iter().map(shown).collect()
}

fn program_in(suite: &Suite, at: &SwitchUnderTest) -> String {
    at.command(suite, "ovs-vsctl").get_program().to_string_lossy().into_owned()
}

#[test]
fn every_command_line_does_what_it_does_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let library = format!("LD_LIBRARY_PATH={}", theirs.root().join("usr/lib/x86_64-linux-gnu").display());
    let mut one = SwitchUnderTest::new(&theirs);
    one.start_database();
    let mut two = SwitchUnderTest::new(&theirs);
    two.start_database();
    let c = format!("env {library} {}", program_in(&theirs, &one));
    let ours = env!("CARGO_BIN_EXE_ovs-vsctl");
    let mut differences = Vec::new();
    for line in COMMANDS.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (expected, got) =
            (comparable(&run(&one, &c, line), &one), comparable(&run(&two, ours, line), &two));
        if expected != got {
            differences.push(format!("ovs-vsctl {line}\n  C:    {expected:?}\n  ours: {got:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
