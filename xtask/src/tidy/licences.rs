//! Licences of everything that is built.
//!
//! Where it sits: over `cargo metadata`; `deny.toml` says the same to cargo-deny, where that is present.

use super::{metadata, none};

const ALLOWED: [&str; 9] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "0BSD",
    "Zlib",
    "Unicode-3.0",
];

#[test]
fn every_licence_is_allowed() {
    let mut complaints = Vec::new();
    for package in metadata::packages() {
        match &package.licence {
            Some(licence) if is_allowed(licence) => {}
            Some(licence) => complaints.push(format!("{}: {licence}", package.name)),
            None => complaints.push(format!("{}: names no licence", package.name)),
        }
    }
    none(complaints);
}

/// Whether some choice that the SPDX expression leaves is allowed.
fn is_allowed(expression: &str) -> bool {
    // an old spelling of OR
    let expression = expression.replace('/', " OR ");
    let mut parser = Parser(&expression);
    let answer = parser.either();
    answer && parser.0.trim().is_empty()
}

struct Parser<'a>(&'a str);

impl Parser<'_> {
    fn either(&mut self) -> bool {
        let mut answer = self.both();
        while self.take("OR ") {
            // not short-circuiting: the right side must be read in any case
            answer |= self.both();
        }
        answer
    }

    fn both(&mut self) -> bool {
        let mut answer = self.one();
        while self.take("AND ") {
            answer &= self.one();
        }
        answer
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let answer = self.either();
            return self.take(")") && answer;
        }
        let text = self.0.trim_start();
        let end =
            [" OR ", " AND ", ")"].iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        self.0 = rest;
        ALLOWED.contains(&name.trim())
    }

    fn take(&mut self, word: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}

#[test]
fn expressions() {
    for allowed in [
        "MIT",
        "MIT OR GPL-2.0",
        "Unlicense/MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in ["GPL-3.0", "MPL-2.0", "MIT AND GPL-2.0", "(MIT OR Apache-2.0) AND LGPL-2.1", "", "MIT)"] {
        assert!(!is_allowed(refused), "{refused}");
    }
}
