//! `fuzz TARGET SECONDS [SEED]`: looks for bytes that a target does not survive.
//!
//! Where it sits: for people; what it finds becomes a test beside the reader.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use fuzz::{TARGETS, Until, search};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
    let (Some(name), Some(seconds)) = (args.first(), args.get(1).and_then(|s| s.parse().ok())) else {
        eprintln!("usage: fuzz TARGET SECONDS [SEED]\ntargets: all {}", names.join(" "));
        return ExitCode::FAILURE;
    };
    let seed = args.get(2).and_then(|s| s.parse().ok()).unwrap_or(1);
    for target in TARGETS.iter().filter(|t| name == "all" || t.name == name) {
        match search(target, seed, Until::Passed(Duration::from_secs(seconds))) {
            Ok(count) => println!("{}: {count} inputs survived", target.name),
            Err(found) => {
                let hex = found.bytes.iter().fold(String::new(), |mut out, byte| {
                    let _ = write!(out, "{byte:02x}");
                    out
                });
                println!("{}: not survived, after {} inputs:\n{hex}", target.name, found.after);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
