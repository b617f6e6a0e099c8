//! ovs-vsctl and vtep-ctl beside Debian's: the same command lines give the same output, errors and exit status.

mod transcript;

use std::process::Command;

use ovsdb::{DbSchema, json};
use testkit::{Page, Suite, SwitchUnderTest, oracle, skip};
use transcript::{caller, difference, lines, words};

const VSCTL: &str = include_str!("ctl/vsctl.txt");
const VTEP: &str = include_str!("ctl/vtep.txt");

/// A server of a fresh database of `schema`.
fn server(suite: &Suite, schema: &str) -> SwitchUnderTest {
    let mut at = SwitchUnderTest::new(suite);
    std::fs::remove_file(at.path("conf.db")).unwrap();
    at.ok(suite, "ovsdb-tool", &["create", &at.path("conf.db"), schema]);
    at.start_database();
    at
}

/// Rows, and what hangs on them, come in the order of C's hash tables.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Runs every line of `commands` in C's program and in ours beside C's server, and in ours beside our server.
fn compare(theirs: &Suite, program: &str, ours: &str, options: &str, schema: &str, commands: &str) {
    let own = testkit::ours(&["ovsdb-server", "ovsdb-tool"]).expect("our programs are there");
    let (one, two, three) = (server(theirs, schema), server(theirs, schema), server(&own, schema));
    let c = format!("{} {options}", caller(Some((theirs, program)), ""));
    let ours = format!("{ours} {options}");
    let mut differences = Vec::new();
    for line in lines(commands) {
        let unordered = ["show", "list", "find", "list-local-macs", "list-remote-macs"];
        let of_rows = line.split_whitespace().any(|w| unordered.contains(&w));
        let settle = if of_rows { sorted } else { |lines| lines };
        let all = [(&one, c.as_str()), (&two, ours.as_str()), (&three, ours.as_str())];
        differences.extend(difference(line, program, &all, settle));
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_command_line_of_ovs_vsctl_does_what_it_does_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let schema = theirs.schema().display().to_string();
    compare(&theirs, "ovs-vsctl", env!("CARGO_BIN_EXE_ovs-vsctl"), "--no-wait", &schema, VSCTL);
}

#[test]
fn every_command_line_of_vtep_ctl_does_what_it_does_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    compare(&theirs, "vtep-ctl", env!("CARGO_BIN_EXE_vtep-ctl"), "", VTEP_SCHEMA, VTEP);
}

/// What has changed since C's 3.1 (3.3: the policy is judged, not the zone; 3.6: what is malformed is refused).
#[test]
fn zones_are_judged_by_their_policies() {
    let Some(ours) = testkit::ours(&["ovsdb-server", "ovsdb-tool"]) else { return };
    let at = server(&ours, &ours.schema().display().to_string());
    let program = format!("{} --no-wait", env!("CARGO_BIN_EXE_ovs-vsctl"));
    let said = |line: &str| {
        let ran = transcript::run(&at, &program, line);
        (ran.status, ran.stdout.trim_end().to_owned() + ran.stderr.trim_end())
    };
    let fails =
        |line: &str, why: &str| assert_eq!(said(line), (Some(1), format!("ovs-vsctl: {why}")), "{line}");
    assert_eq!(said("init").0, Some(0));
    let made =
        said("-- --id=@d create Datapath datapath_version=0 -- set Open_vSwitch . datapaths:netdev=@d");
    assert_eq!(made.0, Some(0), "{made:?}");
    assert_eq!(said("add-zone-tp netdev zone=1 icmp_first=1").0, Some(0));
    fails("add-zone-tp netdev zone=1 icmp_first=1", "zone id 1 already has a policy");
    fails("add-zone-tp netdev zone=2 udp_single=x", "invalid timeout value (x)");
    fails("add-zone-tp netdev zone=70000 udp_single=3", "invalid zone_id (70000)");
    fails("add-zone-tp netdev zone=x udp_single=3", "invalid zone_id (x)");
    fails("del-zone-tp netdev zone=3", "zone id 3 does not have a policy");
    assert_eq!(said("set-zone-limit netdev 1 7 -- del-zone-tp netdev zone=1").0, Some(0));
    assert_eq!(said("list-zone-tp netdev").1, "Zone:1, Timeout Policies: system default");
    assert_eq!(said("list-zone-limits netdev").1, "Zone: 1, Limit: 7");
}

/// What `ovs-vsctl --commands` names: each command with its options.
#[test]
fn every_command_and_option_of_ovs_vsctl_is_compared() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let listed = theirs.command("ovs-vsctl").arg("--commands").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut missing = Vec::new();
    for line in listed.lines() {
        let (options, rest) = line.split_once(',').unwrap();
        let command = rest.split(',').next().unwrap();
        let with = |option: &str| {
            let uses = |w: &str| if option.ends_with('=') { w.starts_with(option) } else { w == option };
            lines(VSCTL)
                .map(|l| l.split_whitespace().collect::<Vec<_>>())
                .any(|words| words.contains(&command) && (option.is_empty() || words.iter().any(|w| uses(w))))
        };
        let options = options.split_whitespace().map(|o| o.trim_matches(['[', ']'])).chain([""]);
        missing.extend(options.filter(|o| !with(o)).map(|o| format!("{o} {command}")));
    }
    assert!(listed.lines().count() > 45 && missing.is_empty(), "{missing:?}");
}

#[test]
fn every_command_of_the_manuals_is_compared() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    for (page, list, least) in [("ovs-vsctl.8", VSCTL, 50), ("vtep-ctl.8", VTEP, 40)] {
        let Some(page) = Page::of(&theirs, page) else { skip!("no manual to read") };
        let (named, compared) = (page.commands("COMMANDS"), words(list));
        let missing: Vec<&String> = named.iter().filter(|name| !compared.contains(&name.as_str())).collect();
        assert!(named.len() >= least && missing.is_empty(), "{named:?}: {missing:?}");
    }
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
