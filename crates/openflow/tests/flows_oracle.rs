//! Flows against the C ovs-ofctl: what it says of each text, and the bytes that it makes of it.
//!
//! Where it sits: in the gate, where the C programs are. The corpora are lists of flows, one per line.

use std::io::Write;
use std::process::Stdio;

use openflow::msg::{self, Dialect, Limits, Message};
use openflow::text::flow;
use openflow::{FlowMod, FlowModCommand, Names, Protocols};
use testkit::Suite;

const FLOWS: &str = include_str!("corpus/flows.txt");
const BAD_FLOWS: &str = include_str!("corpus/bad_flows.txt");

/// The C program's standard output and error.
fn ofctl(suite: &Suite, args: &[&str], input: &str) -> (String, String) {
    let mut child = suite
        .command("ovs-ofctl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

fn ours(text: &str) -> Result<(FlowMod, Protocols), String> {
    flow::parse(text, FlowModCommand::Add, &Names::none()).map_err(|e| e.to_string())
}

/// Runs `each` over the lines, a few at a time, and shows all complaints at once.
fn for_each_line(lines: &str, each: impl Fn(&str) -> Option<String> + Sync) {
    let lines: Vec<&str> = lines.lines().collect();
    let complaints: Vec<String> = std::thread::scope(|scope| {
        let parts: Vec<_> = lines
            .chunks(lines.len().div_ceil(4))
            .map(|part| scope.spawn(|| part.iter().filter_map(|line| each(line)).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    assert!(complaints.is_empty(), "{} differ:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn errors_are_the_same() {
    let Some(suite) = testkit::oracle() else { return };
    for_each_line(BAD_FLOWS, |line| {
        let (_, err) = ofctl(&suite, &["parse-flow", line], "");
        let theirs = err.lines().find_map(|l| l.strip_prefix("ovs-ofctl: ")).unwrap_or("(accepted)");
        let mine = ours(line).map_or_else(|e| e, |_| "(accepted)".to_owned());
        (mine != theirs).then(|| format!("{line}\n  C:    {theirs}\n  ours: {mine}"))
    });
}

#[test]
fn usable_protocols_are_the_same() {
    let Some(suite) = testkit::oracle() else { return };
    for_each_line(FLOWS, |line| {
        let (out, err) = ofctl(&suite, &["parse-flow", line], "");
        let theirs = out.lines().next().and_then(|l| l.strip_prefix("usable protocols: "));
        let theirs = theirs.map_or_else(|| err.clone(), str::to_owned);
        let mine = ours(line).map_or_else(|e| e, |(_, usable)| usable.to_string());
        (mine != theirs).then(|| format!("{line}\n  C:    {theirs}\n  ours: {mine}"))
    });
}

/// The messages of a `-mmmmm` dump: text, and bytes.
fn dumped(out: &str) -> Vec<(String, Vec<u8>)> {
    let mut messages: Vec<(String, Vec<u8>)> = Vec::new();
    for line in out.lines() {
        let hex =
            line.split_once("  ").filter(|(at, _)| at.len() == 8 && u32::from_str_radix(at, 16).is_ok());
        match hex {
            Some((_, rest)) => {
                let digits = rest.split('|').next().unwrap();
                let bytes = digits.split([' ', '-']).filter(|b| !b.is_empty());
                let bytes = bytes.map(|b| u8::from_str_radix(b, 16).unwrap());
                messages.last_mut().unwrap().1.extend(bytes);
            }
            None if line.contains("_FLOW_MOD") => messages.push((line.to_owned(), Vec::new())),
            None => {}
        }
    }
    messages
}

fn check_protocol(suite: &Suite, protocol: Protocols) {
    let name = protocol.name().unwrap();
    let version = protocol.version().unwrap().name();
    let flows: Vec<(&str, FlowMod)> = FLOWS
        .lines()
        .filter_map(|line| {
            let (fm, usable) = ours(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            usable.contains(protocol).then_some((line, fm))
        })
        .collect();
    let input: String = flows.iter().map(|(line, _)| format!("{line}\n")).collect();
    let (bytes, err) = ofctl(suite, &["-mmmmm", "-O", version, "-F", name, "parse-flows", "-"], &input);
    let (texts, _) = ofctl(suite, &["-O", version, "-F", name, "parse-flows", "-"], &input);
    let bytes = dumped(&bytes);
    let texts: Vec<_> = texts.lines().filter(|l| l.contains("_FLOW_MOD")).collect();
    assert_eq!((bytes.len(), texts.len()), (flows.len(), flows.len()), "{name}: {err}");
    let mut complaints = Vec::new();
    for (((line, fm), (_, theirs)), their_text) in flows.iter().zip(bytes).zip(texts) {
        let mut complain = |what: &str, theirs: &str, mine: &str| {
            if theirs != mine {
                complaints.push(format!("{name} {what}: {line}\n  C:    {theirs}\n  ours: {mine}"));
            }
        };
        let mine = Message::FlowMod(fm.clone()).to_bytes(Dialect::of_protocol(protocol), 1);
        match mine {
            Ok(mut mine) => {
                mine[4..8].copy_from_slice(&theirs[4..8]);
                complain("bytes", &testkit::to_hex(&theirs), &testkit::to_hex(&mine));
            }
            Err(e) => complain("bytes", &testkit::to_hex(&theirs), e.name()),
        }
        let limits = Limits { flow_mod_table_id: protocol.intersects(Protocols::TID), ..Limits::default() };
        let printed = match msg::decode(&theirs, &limits) {
            Ok((_, Message::FlowMod(fm))) => {
                flow::format_rule(&fm.matcher, fm.priority, &fm.actions, &Names::none())
            }
            Ok(other) => format!("{other:?}"),
            Err(e) => format!("***decode error: {e}***"),
        };
        // The heading and what precedes the match are the message's; the rest is the rule.
        let their_rule = their_text.get(their_text.len().saturating_sub(printed.len())..).unwrap_or("");
        complain("text", if their_rule == printed { &printed } else { their_text }, &printed);
    }
    assert!(complaints.is_empty(), "{} differ:\n{}", complaints.len(), complaints.join("\n"));
}

macro_rules! protocols {
    ($($name:ident $protocol:ident;)+) => {
        $(#[test]
        fn $name() {
            let Some(suite) = testkit::oracle() else { return };
            check_protocol(&suite, Protocols::$protocol);
        })+
    };
}

protocols! {
    bytes_and_texts_of_10 OF10_STD_TID;
    bytes_and_texts_of_nxm OF10_NXM_TID;
    bytes_and_texts_of_11 OF11_STD;
    bytes_and_texts_of_12 OF12_OXM;
    bytes_and_texts_of_13 OF13_OXM;
    bytes_and_texts_of_14 OF14_OXM;
    bytes_and_texts_of_15 OF15_OXM;
}
