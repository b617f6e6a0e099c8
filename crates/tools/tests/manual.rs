//! What the manual pages of the OVSDB programs name, tried in C's programs and in ours: both know it, or neither does.

use std::collections::BTreeSet;
use std::fs;

use daemon::vlog;
use testkit::{Page, Suite, SwitchUnderTest, oracle, ours, skip};

/// Programs with their pages, and how many options each names at least.
const PAGES: [(&str, &str, usize); 5] = [
    ("ovsdb-client", "ovsdb-client.1", 30),
    ("ovsdb-tool", "ovsdb-tool.1", 10),
    ("ovs-vsctl", "ovs-vsctl.8", 35),
    ("vtep-ctl", "vtep-ctl.8", 28),
    ("ovsdb-server", "ovsdb-server.1", 30),
];

/// Values to try options with: those of an option's own come after one that means nothing to most.
const VALUES: &[(&str, &[&str])] = &[
    ("cid", &["00000000-0000-0000-0000-000000000000", "0000000A-0000-0000-0000-00000000000B"]),
    ("data", &["bare"]),
    ("election-timer", &["99", "100", "600000", "600001", ""]),
    ("format", &["csv"]),
    ("syslog-method", &["null", "udp:127.0.0.1:514"]),
    ("syslog-target", &["127.0.0.1:514"]),
    ("user", &["root"]),
    ("verbose", &["vlog:off", "PATTERN:console:%m", "FACILITY:daemon"]),
];

/// Options that the programs treat differently.
const DIFFERENT: &[(&str, &str, Why)] = &[
    ("ovsdb-tool", "log-file", Why::OnlyInTheManual),
    ("ovsdb-tool", "syslog-method", Why::OnlyInTheManual),
    ("ovsdb-tool", "syslog-target", Why::OnlyInTheManual),
    ("vtep-ctl", "bootstrap-ca-cert", Why::OnlyInTheManual),
];

/// Why an option is treated differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// C's program does not know it in spite of its manual; ours does.
    OnlyInTheManual,
}

/// How a program took a command line: its exit status, and what getopt said.
#[derive(PartialEq, Eq, Debug)]
struct Taken {
    status: Option<i32>,
    complaint: Option<String>,
}

impl Taken {
    fn is_unrecognized(&self) -> bool {
        self.complaint.as_ref().is_some_and(|text| text.starts_with("unrecognized option"))
    }
}

/// Tries an option in a folder without a database, so that nothing starts that would stay; without other errors the program
/// tells its version.
fn take(suite: &Suite, at: &SwitchUnderTest, program: &str, option: &str) -> Taken {
    let ran = at.run(suite, program, &[option, "--version"]);
    let complaint = ran.stderr.lines().find_map(|line| {
        let said = line.split_once(": ")?.1;
        (said.starts_with("unrecognized option ") || said.starts_with("option ")).then(|| said.to_owned())
    });
    Taken { status: ran.status, complaint }
}

/// `--name` with and without values.
fn forms(name: &str) -> Vec<String> {
    let own = VALUES.iter().find(|(option, _)| *option == name).map_or(&[][..], |(_, values)| values);
    let valued = ["1"].iter().chain(own).map(|value| format!("--{name}={value}"));
    std::iter::once(format!("--{name}")).chain(valued).collect()
}

/// What is wrong with how our program takes an option.
fn fault(c: &Taken, own: &Taken, why: Option<Why>) -> Option<String> {
    let right = match why {
        None => own == c,
        Some(Why::OnlyInTheManual) => c.is_unrecognized() && !own.is_unrecognized(),
    };
    (!right).then(|| format!("C {c:?}, ours {own:?}, expected {why:?}"))
}

fn without_database(suite: &Suite) -> SwitchUnderTest {
    let at = SwitchUnderTest::new(suite);
    fs::remove_file(at.path("conf.db")).unwrap();
    at
}

#[test]
fn options_of_the_manuals_are_taken_as_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let Some(own) = ours(&PAGES.map(|(program, ..)| program)) else { return };
    let (one, two) = (without_database(&theirs), without_database(&own));
    let mut faults = Vec::new();
    for (program, page, least) in PAGES {
        let Some(page) = Page::of(&theirs, page) else { skip!("no gzip to read the manual with") };
        let options = page.options();
        assert!(options.len() >= least, "{program}: {options:?}");
        for name in &options {
            let why = DIFFERENT.iter().find(|(p, o, _)| *p == program && o == name).map(|(.., why)| *why);
            for form in forms(name) {
                let (c, own) = (take(&theirs, &one, program, &form), take(&own, &two, program, &form));
                faults.extend(fault(&c, &own, why).map(|fault| format!("{program} {form}: {fault}")));
            }
        }
        let stale = DIFFERENT.iter().filter(|(p, o, _)| *p == program && !options.contains(*o));
        faults.extend(stale.map(|(_, name, _)| format!("{program}: the manual names no --{name}")));
    }
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults.join("\n"));
}

/// The log's modules are those of each program, so that a wrong `-vMODULE` is refused where it is in C.
#[test]
fn modules_of_the_log_are_those_of_each_program_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let programs = PAGES.map(|(program, ..)| program).into_iter();
    let programs: Vec<&str> = programs.chain(["ovs-ofctl", "ovs-appctl", "ovs-vswitchd"]).collect();
    let Some(own) = ours(&programs) else { return };
    let (one, two) = (without_database(&theirs), without_database(&own));
    let some = ["vlog", "dpif", "memory", "db_ctl_base", "vsctl", "vtep_ctl", "ovsdb_client", "ovsdb_server"];
    let more = ["relay", "replication", "lockfile", "vconn", "pcap", "nosuch"];
    let whole = [vlog::DAEMON_MODULES, vlog::DATABASE_MODULES, vlog::SWITCH_MODULES];
    let single = some.iter().chain(&more).map(|module| vec![*module]);
    let groups: Vec<Vec<&str>> = whole.iter().map(|group| group.to_vec()).chain(single).collect();
    let mut faults = Vec::new();
    for program in programs {
        for group in &groups {
            let options: Vec<String> = group.iter().map(|module| format!("-v{module}:info")).collect();
            let taken = |suite, at: &SwitchUnderTest| {
                at.run(suite, program, &[options.as_slice(), &["--version".into()]].concat()).status
            };
            let (c, own) = (taken(&theirs, &one), taken(&own, &two));
            if c != own {
                faults.push(format!("{program} {group:?}: C {c:?}, ours {own:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Commands and options of a help text, each with what stands for its arguments: what is in capitals or brackets.
fn offers(help: &str) -> Vec<String> {
    let entries =
        help.lines().filter_map(|line| line.strip_prefix("  ").filter(|entry| !entry.starts_with(' ')));
    let parts = entries.map(|entry| {
        let entry = entry.split("  ").next().unwrap_or_default().replace("SSL/TLS", "SSL");
        let words = entry.split(' ').enumerate();
        let is_argument =
            |word: &str| word.starts_with('[') || word.contains(|c: char| c.is_ascii_uppercase());
        let told = words.take_while(|(n, word)| *n == 0 || entry.starts_with('[') || is_argument(word));
        told.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    });
    parts.collect()
}

/// What C's help names, ours does, with other words about it.
#[test]
fn help_tells_of_everything_that_it_tells_of_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let Some(own) = ours(&PAGES.map(|(program, ..)| program)) else { return };
    let at = without_database(&theirs);
    for (program, ..) in PAGES {
        let [c, own] = [&theirs, &own].map(|suite| offers(&at.ok(suite, program, &["--help"])));
        let there = |offer: &&String| own.iter().any(|own| own.starts_with(offer.as_str()));
        let later = |offer: &&String| {
            DIFFERENT.iter().any(|(p, option, _)| *p == program && offer.starts_with(&format!("--{option}")))
        };
        let clusters = |offer: &&String| program == "ovsdb-tool" && offer.contains("-cluster ");
        let missing: Vec<&String> =
            c.iter().filter(|offer| !there(offer) && !later(offer) && !clusters(offer)).collect();
        assert!(c.len() > 25 && missing.is_empty(), "{program}: {missing:?}\n{own:?}");
    }
    let help = |args: &[&str]| at.ok(&own, "ovsdb-client", args);
    assert_eq!(help(&["help"]), help(&["--help"]));
}

/// The commands that a running ovsdb-server lists.
fn commands_of_server(suite: &Suite) -> BTreeSet<String> {
    let mut at = SwitchUnderTest::new(suite);
    at.start_database();
    let listed = at.ok(suite, "ovs-appctl", &["-t", "ovsdb-server", "list-commands"]);
    listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Commands for clusters, which C's server has with a clustered database only, are in neither list.
#[test]
fn ovsdb_server_has_the_commands_of_its_manual() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let Some(own) = ours(&["ovsdb-server", "ovsdb-tool", "ovs-appctl"]) else { return };
    let Some(page) = Page::of(&theirs, "ovsdb-server.1") else { skip!("no gzip to read the manual with") };
    let named = page.commands("RUNTIME MANAGEMENT COMMANDS");
    let (c, own) = (commands_of_server(&theirs), commands_of_server(&own));
    let missing: Vec<&String> =
        named.iter().filter(|name| c.contains(*name) && !own.contains(*name)).collect();
    assert!(named.len() > 30 && missing.is_empty(), "{named:?}: {missing:?}");
}
