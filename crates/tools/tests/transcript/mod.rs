//! What the comparisons of command lines with C's programs share: a line through a shell, what may differ, lists of commands.

#![allow(dead_code, reason = "each test program uses its part")]

use std::process::{Command, Stdio};

use testkit::{Ran, Suite, SwitchUnderTest};

/// How to call a program of the C suite, or ours, in a shell.
pub fn caller(theirs: Option<(&Suite, &str)>, ours: &str) -> String {
    let Some((suite, program)) = theirs else { return ours.to_owned() };
    let library = suite.root().join("usr/lib/x86_64-linux-gnu");
    let file = suite.command(program).get_program().to_string_lossy().into_owned();
    format!("env LD_LIBRARY_PATH={} {file}", library.display())
}

/// A command line through a shell, so that quotes, `;` and `<` mean what they mean to users; `tool` is the program.
pub fn run(at: &SwitchUnderTest, program: &str, line: &str) -> Ran {
    let mut shell = Command::new("sh");
    at.environment(&mut shell);
    shell.args(["-c", &format!("tool() {{ {program} \"$@\"; }}\ntool {line}")]).stdin(Stdio::null());
    shell.output().expect("sh starts").into()
}

/// What a line does differently at one of several places, if it does: each is where and how the program is called, C's first.
/// `settle` puts in order what may come in any.
pub fn difference(
    line: &str,
    tool: &str,
    places: &[(&SwitchUnderTest, &str)],
    settle: fn(Vec<String>) -> Vec<String>,
) -> Option<String> {
    let outcome = |(at, program): &(&SwitchUnderTest, &str)| {
        let ran = run(at, program, line);
        let text = |text: &str| settle(comparable(text, tool, at));
        (ran.status, text(&ran.stdout), text(&ran.stderr))
    };
    // All at once: the places have nothing in common.
    let outcomes: Vec<_> = std::thread::scope(|s| {
        let running: Vec<_> = places.iter().map(|place| s.spawn(move || outcome(place))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let (expected, others) = outcomes.split_first()?;
    let different = others.iter().enumerate().filter(|(_, got)| *got != expected);
    let told: Vec<String> = different.map(|(n, got)| format!("  ours, {}: {got:?}", n + 1)).collect();
    (!told.is_empty()).then(|| format!("{line}\n  C:       {expected:?}\n{}", told.join("\n")))
}

/// Output whose lines are left in order, with what may differ between two runs taken out: identities, times, folders, and
/// the path in front of getopt's own messages.
pub fn comparable(text: &str, program: &str, at: &SwitchUnderTest) -> Vec<String> {
    let text = text.replace(&at.path(""), "DIR/").replace("3.1.0", "VERSION").replace("3.7.1", "VERSION");
    let plain = |line: &str| match line.find(&format!("/{program}: ")) {
        Some(at) => line[at + 1..].to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(|line| without_times(&without_identities(&plain(line)))).collect()
}

/// Every run of 36 hexadecimal digits and dashes is called `UUID`.
pub fn without_identities(line: &str) -> String {
    let is_uuid = |w: &str| {
        w.len() == 36
            && w.bytes().enumerate().all(|(i, b)| match i {
                8 | 13 | 18 | 23 => b == b'-',
                _ => b.is_ascii_hexdigit(),
            })
    };
    let (mut out, mut rest) = (String::new(), line);
    while let Some(c) = rest.chars().next() {
        match rest.get(..36).filter(|w| is_uuid(w)) {
            Some(_) => {
                out.push_str("UUID");
                rest = &rest[36..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Dates such as `2026-01-31 12:00:00.123`, and `2026-01-31T12:00:00Z|00001|` of logs, are called `TIME`.
fn without_times(line: &str) -> String {
    let shape = |text: &str, shape: &str| {
        text.len() >= shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(c, s)| if s == b'9' { c.is_ascii_digit() } else { c == s })
    };
    const SHAPES: [&str; 3] =
        ["9999-99-99T99:99:99Z|99999|", "9999-99-99 99:99:99.999", "9999-99-99 99:99:99"];
    for start in (0..line.len()).filter(|at| line.is_char_boundary(*at)) {
        if let Some(found) = SHAPES.iter().find(|s| shape(&line[start..], s)) {
            return format!("{}TIME{}", &line[..start], without_times(&line[start + found.len()..]));
        }
    }
    line.to_owned()
}

/// The lines of a list of commands: neither empty nor a comment.
pub fn lines(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter(|l| !l.is_empty() && !l.starts_with('#'))
}

/// The words of `list` that name what runs: a test without one of a manual's commands has to fail.
pub fn words(list: &str) -> Vec<&str> {
    lines(list).flat_map(str::split_whitespace).collect()
}
