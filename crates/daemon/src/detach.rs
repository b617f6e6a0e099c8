//! Going to the background, and the process that restarts a crashed daemon.
//!
//! Where it sits: `Daemon::start` calls `go` before anything else exists in the process; `Daemon::ready` tells the parents.
//!
//! ~~~text
//! shell ─ parent ──fork──► monitor (--monitor) ──fork──► daemon ── ready() ─► a byte in each pipe upwards
//!            │ waits for the byte, then exits 0     │ waits for the byte, then for the end: a crash ─► fork again, at most every 10 s
//!            └ the pipe closes without one: exits with the child's status, after the child said why on standard error
//! ~~~
//! I1  Forks happen while the process has one thread; no runtime exists yet.
//! I2  Whoever waits for a byte holds no write end itself, so a death is always noticed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use stream::error_text;

use crate::sys::{self, Fork};
use crate::{program, vlog};

/// Signals whose death is a crash, after which the monitor starts the daemon anew.
const CRASHES: [i32; 9] = [
    libc::SIGABRT,
    libc::SIGALRM,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGPIPE,
    libc::SIGSEGV,
    libc::SIGXCPU,
    libc::SIGXFSZ,
];

/// Real time between two starts by the monitor.
const RESTART_INTERVAL: Duration = Duration::from_secs(10);

/// What waits for the daemon to be ready.
#[derive(Debug, Default)]
pub(crate) struct Parents {
    pipe: Option<File>,
    detached: bool,
    chdir: bool,
}

/// Forks as asked; returns in the process that is to be the daemon.
pub(crate) fn go(detach: bool, monitor: bool, chdir: bool) -> Parents {
    let mut parents = Parents { pipe: None, detached: detach, chdir };
    if detach {
        match fork_with_pipe() {
            (Fork::Parent(child), pipe) => wait_then_exit(child, pipe),
            (Fork::Child, pipe) => parents.pipe = Some(pipe),
        }
        // Fails only for a group leader, which a forked process is not.
        let _ = rustix::process::setsid();
    }
    if monitor {
        parents = Monitor::new(parents).run();
    }
    parents
}

impl Parents {
    /// Tells them that the daemon serves, and leaves the terminal.
    pub(crate) fn ready(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(&[0]);
        }
        if std::mem::take(&mut self.detached) {
            leave_terminal(self.chdir);
        }
    }
}

/// Lets go of the terminal: standard streams to /dev/null, and of the folder if asked.
fn leave_terminal(chdir: bool) {
    if chdir {
        let _ = std::env::set_current_dir("/");
    }
    vlog::close_console();
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// Forks with a pipe from the child: its write end there, its read end here (I2).
fn fork_with_pipe() -> (Fork, File) {
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from);
    let forked: io::Result<(Fork, OwnedFd)> = pipe.and_then(|(read, write)| match sys::fork()? {
        Fork::Child => Ok((Fork::Child, write)),
        parent => Ok((parent, read)),
    });
    match forked {
        Ok((side, end)) => (side, File::from(end)),
        Err(error) => program::fatal("daemon_unix", &format!("fork failed ({})", error_text(&error))),
    }
}

/// Whether the child got ready; otherwise it is dead, and how it ended.
fn wait_for_child(child: libc::pid_t, mut pipe: File) -> Result<(), WaitStatus> {
    let mut byte = [0];
    if pipe.read_exact(&mut byte).is_ok() {
        return Ok(());
    }
    match reap(child) {
        Some(status) => Err(status),
        None => program::fatal("daemon_unix", "waitpid failed"),
    }
}

fn reap(child: libc::pid_t) -> Option<WaitStatus> {
    loop {
        match waitpid(Pid::from_raw(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Some(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// The first process: waits for the daemon, then ends.
fn wait_then_exit(child: libc::pid_t, pipe: File) -> ! {
    let Err(status) = wait_for_child(child, pipe) else { std::process::exit(0) };
    if let Some(code) = status.exit_status() {
        // The child has said why.
        std::process::exit(code)
    }
    let text = format!("fork child died before signaling startup ({})", describe(status));
    program::fatal("daemon_unix", &text)
}

fn describe(status: WaitStatus) -> String {
    program::describe_end(ExitStatus::from_raw(status.as_raw()))
}

/// The process between, that restarts the daemon.
struct Monitor {
    parents: Parents,
    crashes: u32,
    last_start: Instant,
}

impl Monitor {
    fn new(parents: Parents) -> Monitor {
        Monitor { parents, crashes: 0, last_start: now() }
    }

    /// Returns in each daemon process; ends the process in the monitor.
    fn run(mut self) -> Parents {
        // It stays in the folder: a daemon that is started anew finds its files by the same names.
        let chdir = std::mem::take(&mut self.parents.chdir);
        vlog::set_subprogram_name("monitor");
        sys::set_thread_name("monitor");
        loop {
            self.last_start = now();
            match fork_with_pipe() {
                (Fork::Child, pipe) => {
                    let restarted = self.crashes > 0;
                    vlog::set_subprogram_name(if restarted { program::name() } else { "" });
                    sys::set_thread_name(program::name());
                    // The streams of a restarted daemon are closed already.
                    let detached = self.parents.detached;
                    return Parents { pipe: Some(pipe), detached, chdir };
                }
                (Fork::Parent(child), pipe) => match wait_for_child(child, pipe) {
                    Ok(()) => {
                        self.parents.ready();
                        self.watch(child);
                    }
                    Err(status) => self.start_failed(status),
                },
            }
        }
    }

    /// The daemon ended before it was ready.
    fn start_failed(&mut self, status: WaitStatus) {
        match status.exit_status() {
            Some(code) => std::process::exit(code),
            None if self.crashes == 0 => {
                let text = format!("fork child died before signaling startup ({})", describe(status));
                program::fatal("daemon_unix", &text)
            }
            None => self.crashed(&format!("daemon died before signaling startup, {}", describe(status))),
        }
    }

    /// Waits for the end of a ready daemon; returns if it is to be started anew.
    fn watch(&mut self, child: libc::pid_t) {
        let Some(status) = reap(child) else { program::fatal("daemon_unix", "waitpid failed") };
        let how = format!("pid {child} died, {}", describe(status));
        match status.terminating_signal() {
            Some(signal) if CRASHES.contains(&signal) => self.crashed(&how),
            _ => {
                reopen_log();
                log::info!(target: "daemon_unix", "{how}, exiting");
                std::process::exit(status.exit_status().unwrap_or(0))
            }
        }
    }

    fn crashed(&mut self, how: &str) {
        self.crashes += 1;
        reopen_log();
        let crashes = self.crashes;
        let since = now().duration_since(self.last_start);
        // The first crash may have had a passing reason.
        if crashes > 1 && since < RESTART_INTERVAL {
            let seconds = RESTART_INTERVAL.as_secs();
            log::warn!(target: "daemon_unix",
                "{crashes} crashes: {how}, waiting until {seconds} seconds since last restart");
            std::thread::sleep(RESTART_INTERVAL - since);
        }
        log::error!(target: "daemon_unix", "{crashes} crashes: {how}, restarting");
    }
}

/// The log may have been rotated during the daemon's life.
fn reopen_log() {
    let _ = vlog::reopen_log_file();
}

/// Real time: the monitor lives outside of the daemon's clock.
fn now() -> Instant {
    Instant::now()
}
