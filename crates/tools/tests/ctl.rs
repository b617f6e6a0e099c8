//! ovs-vsctl and vtep-ctl beside Debian's: the same command lines give the same output, errors and exit status.

use std::process::Command;

use ovsdb::{DbSchema, json};
use testkit::{Ran, Suite, SwitchUnderTest, oracle, skip};

/// A command line through a shell, so that quotes in the list mean what they mean to users.
fn run(at: &SwitchUnderTest, program: &str, line: &str) -> Ran {
    let mut shell = Command::new("sh");
    at.environment(&mut shell);
    shell.args(["-c", &format!("exec {program} {line}")]);
    shell.output().expect("sh starts").into()
}

/// What may differ between two databases: identities, times, folders (of getopt's own messages too), and the order that
/// follows from identities.
fn comparable(ran: &Ran, at: &SwitchUnderTest) -> (Option<i32>, Vec<String>, Vec<String>) {
    let lines = |text: &str| {
        let text = text.replace(&at.path(""), "DIR/");
        // Messages of getopt begin with the path of the program.
        let program = |name: &str| text.find(&format!("/{name}: ")).map(|at| text[at + 1..].to_owned());
        let text = program("ovs-vsctl").or_else(|| program("vtep-ctl")).unwrap_or(text);
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

/// Runs every line of `commands` in both programs, each over a fresh database of `schema` in a C server.
fn compare(theirs: &Suite, program: &str, ours: &str, options: &str, schema: &str, commands: &str) {
    let library = format!("LD_LIBRARY_PATH={}", theirs.root().join("usr/lib/x86_64-linux-gnu").display());
    let database = || {
        let mut at = SwitchUnderTest::new(theirs);
        std::fs::remove_file(at.path("conf.db")).unwrap();
        at.ok(theirs, "ovsdb-tool", &["create", &at.path("conf.db"), schema]);
        at.start_database();
        at
    };
    let (one, two) = (database(), database());
    let c = one.command(theirs, program).get_program().to_string_lossy().into_owned();
    let (c, ours) = (format!("env {library} {c} {options}"), format!("{ours} {options}"));
    let mut differences = Vec::new();
    for line in commands.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (expected, got) =
            (comparable(&run(&one, &c, line), &one), comparable(&run(&two, &ours, line), &two));
        if expected != got {
            differences.push(format!("{program} {line}\n  C:    {expected:?}\n  ours: {got:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_command_line_of_ovs_vsctl_does_what_it_does_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let schema = theirs.schema().display().to_string();
    let (ours, commands) = (env!("CARGO_BIN_EXE_ovs-vsctl"), include_str!("ctl/vsctl.txt"));
    compare(&theirs, "ovs-vsctl", ours, "--no-wait", &schema, commands);
}

#[test]
fn every_command_line_of_vtep_ctl_does_what_it_does_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let (ours, commands) = (env!("CARGO_BIN_EXE_vtep-ctl"), include_str!("ctl/vtep.txt"));
    compare(&theirs, "vtep-ctl", ours, "", VTEP_SCHEMA, commands);
}

const VTEP_SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ovsdb-server/schema/vtep.ovsschema");

#[test]
fn the_schema_of_a_vtep_is_the_one_of_open_vswitch() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let read = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path).unwrap();
        DbSchema::from_json(&json::parse(text.as_bytes()).unwrap()).unwrap()
    };
    let theirs = read(&theirs.root().join("usr/share/openvswitch/vtep.ovsschema"));
    assert_eq!(read(VTEP_SCHEMA.as_ref()), theirs);
}

#[test]
fn commands_and_options_are_listed_for_completion_as_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let lines = |ran: std::process::Output| {
        let text = String::from_utf8(ran.stdout).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    for list in ["--commands", "--options"] {
        let expected = lines(theirs.command("ovs-vsctl").arg(list).output().unwrap());
        let ours = lines(Command::new(env!("CARGO_BIN_EXE_ovs-vsctl")).arg(list).output().unwrap());
        let missing: Vec<&String> = expected.iter().filter(|line| !ours.contains(line)).collect();
        // `show` has got an option since, and C's program tells no arguments of what was added late.
        let known =
            |line: &&&String| [",show,", "-zone-tp,", ",list-dp-cap,"].iter().any(|end| line.ends_with(end));
        assert!(expected.len() > 30 && missing.iter().all(|l| known(&l)), "{list}: {missing:?}");
    }
}
