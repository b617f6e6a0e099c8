//! Running a command-line tool: a runtime, a limit on its time, and death by signals in the usual words.
//!
//! Where it sits: `main` of tools that talk to daemons and do not stay.

use stream::Clock;
use tokio::task::LocalSet;

use crate::program;
use crate::start::ending_signal;

/// Runs `main` to its end. After `timeout_secs` seconds of real time (0: never) the process dies of SIGALRM.
pub fn run<F: Future>(timeout_secs: u64, main: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| program::exit_with(&format!("could not start ({error})")));
    let clock = Clock::new();
    let deadline = (timeout_secs > 0).then(|| clock.now_ms() + timeout_secs.saturating_mul(1000));
    LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            output = main => output,
            () = clock.sleep_until_some(deadline) => program::end_by_signal(libc::SIGALRM),
            never = stream::replay::play() => match never {},
            signal = ending_signal() => program::end_by_signal(signal),
        }
    })
}
