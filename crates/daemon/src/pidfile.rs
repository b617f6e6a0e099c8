//! Pid files: `NAME.pid` in the run folder, locked while the daemon lives.
//!
//! Where it sits: `start` makes one; tools that look for a daemon read one.
//!
//! I1  A pid file that nobody has locked names no running process, whatever it says.
//! I2  The file appears under its name complete and locked, and is gone when the process is, however it ends by itself.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};
use stream::files::OwnFile;
use stream::{dirs, error_text};

use crate::program;

/// Where the pid file of the program called `name` is.
pub fn default_path(name: &str) -> PathBuf {
    dirs::rundir().join(format!("{name}.pid"))
}

/// The process that has locked the pid file at `path`. Without one the error is "No such process", without a file what opening gave.
pub fn read(path: &Path) -> io::Result<i32> {
    let file = File::open(path).inspect_err(|error| {
        log::warn!(target: "daemon_unix", "{}: open: {}", path.display(), error_text(error));
    })?;
    lock_holder(&file)?.ok_or_else(|| rustix::io::Errno::SRCH.into())
}

/// The process that holds a lock on any part of `file`, if another one does.
fn lock_holder(file: &File) -> io::Result<Option<i32>> {
    let held = fcntl_getlk(file, &Flock::from(FlockType::WriteLock))?;
    Ok(held.and_then(|lock| lock.pid).map(Pid::as_raw_pid))
}

/// A pid file of this process; dropping it removes the file.
#[derive(Debug)]
pub struct Pidfile {
    // Removed before the lock goes: fields drop in order.
    _file: OwnFile,
    _locked: File,
}

/// What to do when the pid file is another running process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Fail.
    Refuse,
    /// Take its place.
    Overwrite,
}

/// Why there is no pid file.
#[derive(Debug, thiserror::Error)]
pub enum PidfileError {
    /// Another process has it.
    #[error("{}: already running as pid {pid}, aborting", .path.display())]
    Running {
        /// The file.
        path: PathBuf,
        /// The process.
        pid: i32,
    },
    /// A step failed.
    #[error("{}: {step} failed ({error})", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// The system's words.
        error: String,
    },
}

impl Pidfile {
    /// Makes the pid file at `path` for this process.
    pub fn create(path: &Path, existing: Existing) -> Result<Pidfile, PidfileError> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let io = |step, path: &Path, error: io::Error| PidfileError::Io {
            path: path.to_owned(),
            step,
            error: error_text(&error),
        };
        if existing == Existing::Refuse {
            check_not_running(path)?;
        }
        let options = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary);
        let mut file = options.map_err(|error| io("create", &temporary, error))?;
        let locked = rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
        locked.map_err(|error| io("fcntl(F_SETLK)", &temporary, error.into()))?;
        writeln!(file, "{}", std::process::id()).map_err(|error| io("write", &temporary, error))?;
        std::fs::rename(&temporary, path).map_err(|error| io("rename", path, error))?;
        Ok(Pidfile { _file: OwnFile::new(path), _locked: file })
    }
}

fn check_not_running(path: &Path) -> Result<(), PidfileError> {
    let Ok(file) = File::open(path) else { return Ok(()) };
    match lock_holder(&file) {
        Ok(Some(pid)) => Err(PidfileError::Running { path: path.to_owned(), pid }),
        _ => Ok(()),
    }
}

/// The pid file at `path`, else in the run folder, else the default one.
pub(crate) fn resolve(path: Option<&str>) -> PathBuf {
    match path {
        Some(path) => dirs::in_folder(dirs::rundir(), path),
        None => default_path(program::name()),
    }
}
