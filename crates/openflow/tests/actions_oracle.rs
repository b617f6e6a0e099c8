//! Damaged actions and instructions against the C ovs-ofctl: what is accepted, how it reads, and which error the rest gets.
//!
//! Where it sits: in the gate, where the C programs are. The damage is pseudo-random and the same in every run.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use openflow::actions::CheckContext;
use openflow::text::flow;
use openflow::{FlowModCommand, Names, OfpError, Protocols, Version, actions, matches};
use testkit::Suite;

const FLOWS: &str = include_str!("corpus/flows.txt");

/// What the C program says of each line of hexadecimal bytes.
fn theirs(suite: &Suite, command: &str, version: Version, lines: &[Vec<u8>]) -> Vec<String> {
    let input: String = lines.iter().map(|bytes| testkit::to_hex(bytes) + "\n").collect();
    let mut child = suite
        .command("ovs-ofctl")
        .args([command, version.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let out = String::from_utf8(out.stdout).unwrap();
    // Each answer ends with an empty line; differences of the re-encoding follow its first.
    out.split("\n\n").map(|answer| answer.lines().next().unwrap_or("").to_owned()).collect()
}

/// A small generator of numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Every list of the corpus in the form of `version`, and variants of it with a byte or two changed.
fn damaged(version: Version, instructions: bool, per_seed: usize) -> Vec<Vec<u8>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ version as u64);
    let mut lines = Vec::new();
    for line in FLOWS.lines() {
        let (fm, usable) = flow::parse(line, FlowModCommand::Add, &Names::none()).unwrap();
        if !usable.intersects(Protocols::of_version(version)) {
            continue;
        }
        let mut bytes = Vec::new();
        let encode = if instructions { actions::encode_instructions } else { actions::encode };
        if encode(&fm.actions, version, &mut bytes).is_err() || bytes.is_empty() {
            continue;
        }
        for _ in 0..per_seed {
            let mut mutant = bytes.clone();
            for _ in 0..=random.below(2) {
                let at = random.below(mutant.len());
                mutant[at] = match random.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => mutant[at] ^ 1 << random.below(8),
                    _ => random.below(256) as u8,
                };
            }
            lines.push(mutant);
        }
    }
    lines
}

/// True if the answers are the same, or differ as they may.
fn same(mine: &str, theirs: &str) -> bool {
    let error =
        |text: &str| text.starts_with("bad ").then(|| text.rsplit(' ').next().unwrap_or("").to_owned());
    match (error(mine), error(theirs)) {
        // Bits beyond a label or a number are dropped here.
        (None, None) => mine == theirs || mine.contains("set_mpls_label") || mine.contains("learn("),
        // Which of several faults is told first, and under which of the names of a bad field or list, is left open.
        (Some(_), Some(_)) => true,
        // The C program lets unknown reasons and hashes pass, and bits beyond a field in learn, until they are used.
        // Tunnel metadata has no mask, and none of it is longer than it may be, here where only its name is meant.
        (Some(mine), None) => {
            let bad_name = matches!(
                mine.as_str(),
                "OFPBAC_BAD_SET_ARGUMENT" | "OFPBAC_BAD_SET_TYPE" | "OFPBMC_BAD_FIELD"
            );
            theirs.contains("<unknown>")
                || bad_name && theirs.to_lowercase().contains("tun_metadata")
                || theirs.contains("bundle_load")
                || mine == "NXBRC_BAD_REASON"
                || mine == "OFPBAC_BAD_SET_LEN" && theirs.contains("learn(")
        }
        // Lists of 1.0 hold instructions, which parse-actions does not ask for. Actions for debugging are refused by the
        // switch here, and by every reader there.
        (None, Some(theirs)) => {
            theirs == "OFPBIC_UNSUP_INST" || theirs == "OFPBAC_BAD_VENDOR_TYPE" && mine.contains("debug_")
        }
    }
}

fn compare(command: &str, instructions: bool) {
    let Some(suite) = testkit::oracle() else { return };
    let mut complaints: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut total = 0;
    for version in Version::ALL.into_iter().filter(|v| !instructions || *v > Version::V10) {
        let lines = damaged(version, instructions, 12);
        let answers = theirs(&suite, command, version, &lines);
        assert!(answers.len() >= lines.len(), "{} answers to {} lines", answers.len(), lines.len());
        for (bytes, theirs) in lines.iter().zip(answers) {
            total += 1;
            let decode = if instructions { actions::decode_instructions } else { actions::decode };
            let kind = if instructions { "instructions" } else { "actions" };
            let cx = CheckContext { matcher: &matches::any(), max_ports: 0xff00, table_id: 0, n_tables: 255 };
            let checked = decode(bytes, version).and_then(|mut list| {
                if !instructions {
                    // Plain lists are not held against a flow.
                    return Ok(list);
                }
                match actions::check(&mut list, &cx, Protocols::of_version(version))? {
                    none if none.is_empty() => Err(OfpError::OFPBAC_MATCH_INCONSISTENT),
                    _ => Ok(list),
                }
            });
            let mine = match checked {
                Ok(list) => format!("actions={}", actions::format(&list, &Names::none())),
                Err(e) => format!("bad {} {kind}: {e}", version.name()),
            };
            if !same(&mine, &theirs) {
                let class =
                    |text: &str| text.split_once(": ").map_or("accepted".to_owned(), |(_, e)| e.to_owned());
                let key = format!("{} / {}", class(&theirs), class(&mine));
                let example =
                    format!("{version} {}\n  C:    {theirs}\n  ours: {mine}", testkit::to_hex(bytes));
                let entry = complaints.entry(key).or_insert((0, String::new()));
                entry.0 += 1;
                if entry.0 < 4 {
                    entry.1 += &format!("\n{example}");
                }
            }
        }
    }
    let shown: Vec<_> = complaints.iter().map(|(k, (n, example))| format!("{n} × {k}{example}")).collect();
    assert!(shown.is_empty(), "of {total}:\n{}", shown.join("\n"));
}

#[test]
fn damaged_actions() {
    compare("parse-actions", false);
}

#[test]
fn damaged_instructions() {
    compare("parse-instructions", true);
}
