//! The core alone, in this process: `core CASE BATCHES`, `core floor:CASE BATCHES` for what the measurement costs, and
//! `core pair:CASE BATCHES` for two workers on one datapath, each in a thread of its own; with `split:CASE`, each has half
//! of the flows, as receive-side scaling gives them to threads.
//!
//! Where it sits: run by `cargo xtask bench datapath`, under callgrind (the difference between two lengths is what
//! packets cost) and by itself (CPU time of this thread for each packet).

mod cases;

use std::process::ExitCode;

use cases::{CASES, Case};
use testkit::cost::cpu_ns;

fn main() -> ExitCode {
    // cargo adds arguments of its own
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let [name, batches] = args.as_slice() else {
        let names: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: core [floor:|pair:|split:]CASE BATCHES; the cases are {}", names.join(", "));
        return ExitCode::SUCCESS;
    };
    let (what, name) = name.split_once(':').unwrap_or(("", name));
    let (Some(mut case), Ok(batches)) = (Case::of(name), batches.parse::<u64>()) else {
        eprintln!("no such case, or no number of batches");
        return ExitCode::FAILURE;
    };
    let took = match what {
        "floor" => {
            let before = cpu_ns();
            case.run_floor(batches);
            cpu_ns() - before
        }
        "pair" | "split" => {
            let mut other = if what == "split" { case.split() } else { case.beside() };
            other.run(batches.min(1000));
            std::thread::scope(|scope| {
                let second = scope.spawn(|| send(&mut other, batches));
                (send(&mut case, batches) + second.join().unwrap_or(u64::MAX / 4)) / 2
            })
        }
        _ => send(&mut case, batches),
    };
    let packets = batches * 32;
    if what != "floor" && case.sent != packets {
        eprintln!("{} of {packets} packets came out", case.sent);
        return ExitCode::FAILURE;
    }
    println!("{:.2}", took as f64 / packets.max(1) as f64);
    ExitCode::SUCCESS
}

/// Nanoseconds that this thread takes for so many batches.
fn send(case: &mut Case, batches: u64) -> u64 {
    case.sent = 0;
    let before = cpu_ns();
    case.run(batches);
    cpu_ns() - before
}
