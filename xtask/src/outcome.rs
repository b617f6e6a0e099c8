//! What the test runners reported: counts, and the skips with their reasons.
//!
//! Where it sits: `gate` hands it nextest's JUnit file or the text that `cargo test` printed. A test that cannot run
//! where it is prints `skip: REASON` and returns; the runners call that a pass, here it counts as a skip.

/// The sum of everything the gate ran.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tests and checks that held.
    pub passed: usize,
    /// Names of those that did not.
    pub failed: Vec<String>,
    /// Name and reason of those that could not run here.
    pub skipped: Vec<(String, String)>,
}

impl Outcome {
    /// Adds a check that is not a test of a runner (formatting, lints).
    pub fn check(&mut self, name: &str, result: anyhow::Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Notes something that could not be done here.
    pub fn skip(&mut self, name: &str, reason: &str) {
        self.skipped.push((name.to_owned(), reason.to_owned()));
    }

    /// Adds the tests of a JUnit file as nextest writes it, with the output of each test stored.
    pub fn add_junit(&mut self, xml: &str) {
        for case in xml.split("<testcase ").skip(1) {
            let case = case.split("</testcase>").next().unwrap_or(case);
            let (head, body) = case.split_once('>').unwrap_or((case, ""));
            let name = format!("{} {}", attribute(head, "classname"), attribute(head, "name"));
            if body.contains("<failure") || body.contains("<error") {
                self.failed.push(name);
                continue;
            }
            self.add_finished(name, &unescape(body));
        }
    }

    /// Adds what `cargo test -- --show-output` printed.
    pub fn add_libtest(&mut self, text: &str) {
        let mut finished: Vec<(String, String)> = Vec::new();
        let mut section: Option<usize> = None;
        let mut binary = String::new();
        for line in text.lines() {
            if let Some(rest) =
                line.trim_start().strip_prefix("Running ").or(line.trim_start().strip_prefix("Doc-tests "))
            {
                binary = rest.split_whitespace().last().unwrap_or("").trim_matches(['(', ')']).to_owned();
                binary = binary.rsplit('/').next().unwrap_or("").split('-').next().unwrap_or("").to_owned();
            } else if let Some((name, verdict)) =
                line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
            {
                let name = format!("{binary} {name}");
                match verdict {
                    "ok" => finished.push((name, String::new())),
                    "FAILED" => self.failed.push(name),
                    other => self.skip(&name, other.strip_prefix("ignored, ").unwrap_or(other)),
                }
            } else if let Some(name) =
                line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"))
            {
                let name = format!("{binary} {name}");
                section = finished.iter().position(|(known, _)| *known == name);
            } else if line == "successes:" || line == "failures:" || line.starts_with("test result:") {
                section = None;
            } else if let Some((_, said)) = section.and_then(|index| finished.get_mut(index)) {
                said.push_str(line);
                said.push('\n');
            }
        }
        for (name, said) in finished {
            self.add_finished(name, &said);
        }
    }

    fn add_finished(&mut self, name: String, said: &str) {
        let reasons: Vec<&str> = said.lines().filter_map(skip_reason).collect();
        match reasons.first() {
            None => self.passed += 1,
            Some(reason) => self.skip(&name, reason),
        }
    }

    /// Prints the skips by reason, the failures by name, and the closing line.
    pub fn print(&self) {
        let mut by_reason: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
        for (name, reason) in &self.skipped {
            by_reason.entry(reason).or_default().push(name);
        }
        for (reason, names) in by_reason {
            println!("skipped: {reason}");
            names.iter().for_each(|name| println!("    {name}"));
        }
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len());
    }
}

/// The reason in a line `skip: REASON`, also where the runner's own `test NAME ... ` stands before it.
fn skip_reason(line: &str) -> Option<&str> {
    let line =
        line.rsplit_once(" ... skip: ").map_or(line.strip_prefix("skip: "), |(_, reason)| Some(reason));
    // stored output may carry the closing tag on the same line
    line.map(|reason| reason.split('<').next().unwrap_or(reason).trim())
}

fn attribute<'a>(head: &'a str, name: &str) -> &'a str {
    let marker = format!(" {name}=\"");
    let padded = head.find(&marker).map(|at| at + marker.len());
    let start = padded.or_else(|| head.starts_with(&marker[1..]).then(|| marker.len() - 1));
    start.and_then(|at| head.get(at..)).and_then(|rest| rest.split('"').next()).unwrap_or("?")
}

fn unescape(xml: &str) -> String {
    let mut text = xml.replace("<system-out>", "\n").replace("<system-err>", "\n");
    for (from, to) in [("&quot;", "\""), ("&apos;", "'"), ("&gt;", ">"), ("&#39;", "'"), ("&amp;", "&")] {
        text = text.replace(from, to);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_counts_and_skip_reasons() {
        let xml = r#"<testsuites name="run" tests="3"><testsuite name="flow">
            <testcase name="key::total" classname="flow" time="0.1"><system-out>running 1 test
test key::total ... ok</system-out></testcase>
            <testcase name="oracle" classname="flow" time="0.1"><system-out>running 1 test
test oracle ... skip: the C programs aren&apos;t here
ok</system-out><system-err>skip: second</system-err></testcase>
            <testcase name="bad" classname="e2e"><failure type="x">boom skip: no</failure></testcase>
        </testsuite></testsuites>"#;
        let mut outcome = Outcome::default();
        outcome.add_junit(xml);
        assert_eq!(outcome.passed, 1);
        assert_eq!(outcome.failed, ["e2e bad"]);
        assert_eq!(outcome.skipped, [("flow oracle".into(), "the C programs aren't here".into())]);
    }

    #[test]
    fn libtest_counts_and_skip_reasons() {
        let text = "     Running unittests src/lib.rs (target/debug/deps/flow-0123abcd)\n\nrunning 4 tests
test a ... ok\ntest b ... ok\ntest c ... FAILED\ntest d ... ignored, needs hardware\n
successes:\n\n---- b stdout ----\nskip: no namespaces\n\nsuccesses:\n    a\n    b\n
test result: FAILED. 2 passed; 1 failed; 1 ignored;\n";
        let mut outcome = Outcome::default();
        outcome.add_libtest(text);
        assert_eq!(outcome.passed, 1);
        assert_eq!(outcome.failed, ["flow c"]);
        let skips = [("flow b", "no namespaces"), ("flow d", "needs hardware")];
        let skips = skips.map(|(name, reason)| (name.to_owned(), reason.to_owned()));
        assert!(skips.iter().all(|skip| outcome.skipped.contains(skip)) && outcome.skipped.len() == 2);
    }
}
