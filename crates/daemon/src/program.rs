//! What this process is called and since when it runs.
//!
//! Where it sits: set once in `main`, read by logs, pid files and error messages.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::OnceLock;

use stream::Clock;

use crate::sys;

static PROGRAM: OnceLock<Program> = OnceLock::new();

struct Program {
    name: String,
    started_ms: u64,
}

/// Names the program after `argv0`'s last component. The first call counts.
pub fn set_name(argv0: &str) {
    let name = Path::new(argv0).file_name().map_or(argv0.into(), |name| name.to_string_lossy().into_owned());
    PROGRAM.get_or_init(|| Program { name, started_ms: Clock::new().now_ms() });
}

fn program() -> &'static Program {
    PROGRAM.get_or_init(|| {
        let argv0 = std::env::args().next().unwrap_or_default();
        let name = Path::new(&argv0).file_name().map(|name| name.to_string_lossy().into_owned());
        Program { name: name.unwrap_or(argv0), started_ms: Clock::new().now_ms() }
    })
}

/// The program's name, as users typed it without folders.
pub fn name() -> &'static str {
    &program().name
}

/// Milliseconds since the program started.
pub fn age_ms() -> u64 {
    Clock::new().now_ms().saturating_sub(program().started_ms)
}

/// Reports a fatal error: at level EMER in the log, and as `PROGRAM: TEXT` on standard error. Exits with status 1.
pub fn fatal(module: &str, text: &str) -> ! {
    crate::vlog::emergency(module, text);
    exit_with(text)
}

/// Prints `PROGRAM: TEXT` on standard error and exits with status 1; pid file and sockets are removed.
pub fn exit_with(text: &str) -> ! {
    eprintln!("{}: {text}", name());
    stream::files::remove_own();
    std::process::exit(1)
}

/// How a process ended, in Open vSwitch's words.
pub fn describe_end(status: ExitStatus) -> String {
    let core = if status.core_dumped() { ", core dumped" } else { "" };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed ({}){core}", sys::signal_name(signal)),
        (None, None) => "unknown status".to_owned(),
    }
}

/// Ends as if nobody had caught `signal`, but for a word in the log, and without leaving pid file and sockets.
pub(crate) fn end_by_signal(signal: i32) -> ! {
    log::warn!(target: "fatal_signal", "terminating with signal {signal} ({})", sys::signal_name(signal));
    stream::files::remove_own();
    sys::die_by_signal(signal)
}
