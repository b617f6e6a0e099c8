//! Hostile bytes for whatever reads what others wrote: packets, tunnels, messages, lists of actions, texts, databases.
//!
//! Where it sits: a target is a function of bytes that must come back ([`TARGETS`]); here they are made, of seeds that mean
//! something, changed a little. `cargo run -p fuzz -- TARGET SECONDS` looks for bytes that a target does not survive;
//! what it finds becomes a test beside the reader. `tests/` searches each target for a short time.
//!
//! ~~~text
//! seeds ── splice, flip, cut, repeat ──► bytes ──► target: no panic, and what it asserts
//! ~~~
//!
//! Next: `targets.rs`.

mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

pub use mutate::Mutator;
pub use targets::{TARGETS, Target};

/// Bytes that a target did not survive, after so many that it did.
#[derive(Debug)]
pub struct Found {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Inputs before.
    pub after: u64,
}

/// How long to search.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many inputs.
    Inputs(u64),
    /// So long.
    Passed(Duration),
}

/// Searches bytes that `target` does not survive; how many it survived.
///
/// # Errors
/// With the bytes, and what was panicked is on standard error.
pub fn search(target: &Target, seed: u64, until: Until) -> Result<u64, Found> {
    let begin = Instant::now();
    let mut mutator = Mutator::new(seed, (target.seeds)());
    let mut run = (target.prepare)();
    let mut count = 0;
    loop {
        let done = match until {
            Until::Inputs(n) => count >= n,
            Until::Passed(time) => count % 256 == 0 && begin.elapsed() >= time,
        };
        if done {
            return Ok(count);
        }
        let bytes = mutator.next();
        if catch_unwind(AssertUnwindSafe(|| run(&bytes))).is_err() {
            return Err(Found { bytes, after: count });
        }
        count += 1;
    }
}
