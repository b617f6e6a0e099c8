//! The driver, in a simulated switch: `driver CASE BATCHES [IMAGE] [counted]`, with the driver linked in or its image.
//!
//! Where it sits: run by `cargo xtask bench hyperv`, under callgrind, told which functions are the kernel's, and by itself:
//! then it prints the driver's nanoseconds for each packet. Where instructions are `counted` it ends with the last packet, for
//! what follows costs more or less as memory happens to lie. The cases are the core's (`crates/datapath/benches`); with `-long`
//! behind the name the packets are long.

#[allow(dead_code, reason = "of the core's measurements, the workloads alone")]
#[path = "../../datapath/benches/cases/mod.rs"]
mod cases;

use std::process::ExitCode;

use cases::{CASES, Case, Workload};
use hyperv_sim::{Driver, Load, carry};

/// Bytes of long packets.
const LONG: usize = 32_000;

fn main() -> ExitCode {
    // cargo adds arguments of its own
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let ends_with_the_last = args.pop_if(|last| last == "counted").is_some();
    let (name, batches, image) = match args.as_slice() {
        [name, batches] => (name, batches, None),
        [name, batches, image] => (name, batches, Some(image)),
        _ => {
            let names: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
            eprintln!("usage: driver CASE BATCHES [IMAGE] [counted]; the cases are {}", names.join(", "));
            return ExitCode::SUCCESS;
        }
    };
    let plain = name.strip_suffix("-long");
    let (Some(case), Ok(batches)) = (Case::of(plain.unwrap_or(name)), batches.parse::<u64>()) else {
        eprintln!("no such case, or no number of batches");
        return ExitCode::FAILURE;
    };
    let driver = image.map_or(Driver::Native, |file| Driver::Image(file.into()));
    let Workload { flows, mut frames, before } = case.workload();
    if plain.is_some() {
        frames.iter_mut().for_each(|frame| frame.resize(LONG, 0x5a));
    }
    let carried = carry(&Load { driver, flows, frames, before, batches, ends_with_the_last });
    if carried.delivered != batches * 32 {
        eprintln!("{} of {} packets came out", carried.delivered, batches * 32);
        return ExitCode::FAILURE;
    }
    println!("{:.2}", carried.ns);
    ExitCode::SUCCESS
}
