//! The log: what every process of the project says about itself, by module, destination and level, changeable at run time.
//!
//! Where it sits: the backend of the `log` facade, so every crate logs without knowing it. The target of a log call is the module's
//! name in Open vSwitch, with an optional rate limit: `log::warn!(target: "jsonrpc@5", …)`. Programs set it up by `init`, options
//! and the `vlog/*` commands.
//!
//! ~~~text
//! log::warn!(target: "MODULE@RATE", …) ─► module's levels ─► rate limit ─► pattern ─► console, log file, system log
//! ~~~
//! I1  Logging never fails and never blocks on the log's own account: what a destination does not take is lost.
//! I2  Each message has the number that it has in its thread, the same in all destinations.
//!
//! Spec: ovs-appctl(8), Logging Commands; ovs-vswitchd(8), Logging Options. Next: `level.rs`.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock};

use stream::{Clock, dirs, error_text};

mod level;
mod modules;
mod pattern;
mod rate;
mod spec;
mod syslog;

pub(crate) mod commands;

pub use level::{Destination, Level, Levels};
pub use modules::{DAEMON_MODULES, DATABASE_MODULES, SWITCH_MODULES};
pub use spec::{OPTIONS, accept_option, set};

use crate::program;
use pattern::Line;
use rate::Verdict;
use syslog::Syslog;

/// The one log of the process.
struct Vlog {
    modules: RwLock<level::Modules>,
    sinks: Mutex<Sinks>,
}

/// Where lines go, and how they look there.
struct Sinks {
    patterns: [String; 3],
    facility: u8,
    console: bool,
    syslog: Syslog,
    /// A second place for the system log's lines.
    syslog_copy: Option<Syslog>,
    file: Option<File>,
    file_path: Option<PathBuf>,
    limiter: rate::Limiter,
}

static VLOG: LazyLock<Vlog> = LazyLock::new(|| Vlog {
    modules: RwLock::new(level::Modules::new()),
    sinks: Mutex::new(Sinks {
        patterns: [
            "ovs|%05N|%c%T|%p|%m".to_owned(),
            "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m".to_owned(),
            "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m".to_owned(),
        ],
        facility: syslog::DAEMON,
        console: true,
        syslog: Syslog::libc(),
        syslog_copy: None,
        file: None,
        file_path: None,
        limiter: rate::Limiter::default(),
    }),
});

thread_local! {
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    static SUBPROGRAM: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the log. The first call counts; `OVS_SYSLOG_METHOD` is read here.
pub fn init() {
    if let Some(method) = std::env::var_os("OVS_SYSLOG_METHOD")
        && let Ok(syslog) = Syslog::parse(&method.to_string_lossy())
    {
        sinks().syslog = syslog;
    }
    if log::set_logger(&*VLOG).is_ok() {
        refilter();
    }
}

/// Adds names of log modules that not every program has. Done before options are read, which may name them.
pub fn add_modules(names: &[&str]) {
    modules_mut(|modules| modules.add(names));
}

/// Names this thread (or process, right after a fork) in log lines: `module(NAME)`. Threads are otherwise called by their thread name.
pub fn set_subprogram_name(name: &str) {
    SUBPROGRAM.with_borrow_mut(|subprogram| *subprogram = Some(name.to_owned()));
}

fn sinks() -> MutexGuard<'static, Sinks> {
    VLOG.sinks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn levels(module: &str) -> Levels {
    VLOG.modules.read().unwrap_or_else(PoisonError::into_inner).get(module)
}

fn modules_mut<T>(change: impl FnOnce(&mut level::Modules) -> T) -> T {
    let result = change(&mut VLOG.modules.write().unwrap_or_else(PoisonError::into_inner));
    refilter();
    result
}

/// Tells the facade which messages nobody wants.
fn refilter() {
    let file = sinks().file.is_some();
    let most = VLOG.modules.read().unwrap_or_else(PoisonError::into_inner).most(file);
    log::set_max_level(most.filter());
}

impl log::Log for Vlog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let levels = levels(rate::split_target(metadata.target()).0);
        let level = Level::from(metadata.level());
        Destination::ALL.into_iter().any(|destination| levels.get(destination) >= level)
    }

    fn log(&self, record: &log::Record<'_>) {
        let (module, limit) = rate::split_target(record.target());
        let levels = levels(module);
        let level = Level::from(record.level());
        if !Destination::ALL.into_iter().any(|destination| levels.get(destination) >= level) {
            return;
        }
        if let Some(limit) = limit.filter(|_| levels.rate_limited) {
            let verdict = sinks().limiter.admit(record.target(), limit, Clock::new().now_ms());
            match verdict {
                Verdict::Drop => return,
                Verdict::Admit(Some(notice)) => emit(module, level, &notice, levels, &Destination::ALL),
                Verdict::Admit(None) => {}
            }
        }
        emit(module, level, &record.args().to_string(), levels, &Destination::ALL);
    }

    fn flush(&self) {}
}

/// Logs why the process ends, except on the console: there, `program::fatal` says it in its own way.
pub(crate) fn emergency(module: &str, message: &str) {
    emit(module, Level::Emer, message, levels(module), &[Destination::Syslog, Destination::File]);
}

fn emit(module: &str, level: Level, message: &str, levels: Levels, destinations: &[Destination]) {
    let number = NUMBER.get().wrapping_add(1);
    NUMBER.set(number);
    let subprogram = subprogram_name();
    let mut sinks = sinks();
    let line = Line {
        module,
        level,
        message,
        subprogram: &subprogram,
        number,
        wall_ms: Clock::new().wall_ms(),
        facility: sinks.facility,
    };
    for &destination in destinations {
        if levels.get(destination) >= level {
            sinks.write(destination, &line);
        }
    }
}

fn subprogram_name() -> String {
    SUBPROGRAM.with_borrow(|subprogram| match subprogram {
        Some(name) => name.clone(),
        None => match std::thread::current().name() {
            Some("main") | None => String::new(),
            Some(name) => name.to_owned(),
        },
    })
}

impl Sinks {
    fn write(&mut self, destination: Destination, line: &Line<'_>) {
        let pattern = &self.patterns[destination as usize];
        match destination {
            Destination::Syslog => {
                self.syslog.send(pattern, line);
                if let Some(copy) = &mut self.syslog_copy {
                    copy.send(pattern, line);
                }
            }
            Destination::Console if self.console => {
                let mut text = pattern::format(pattern, line);
                text.push('\n');
                let _ = io::stderr().lock().write_all(text.as_bytes());
            }
            Destination::File => {
                if let Some(file) = &mut self.file {
                    let mut text = pattern::format(pattern, line);
                    text.push('\n');
                    let _ = file.write_all(text.as_bytes());
                }
            }
            Destination::Console => {}
        }
    }
}

/// Ceases to write to standard error, which a daemon in the background has not.
pub(crate) fn close_console() {
    sinks().console = false;
    modules_mut(|modules| modules.set(None, Some(Destination::Console), Level::Off));
}

/// The file that logs go to if nobody names one.
pub fn default_log_file() -> PathBuf {
    dirs::logdir().join(format!("{}.log", program::name()))
}

/// Opens the log file `path`, or the default one.
pub fn open_log_file(path: Option<&str>) -> io::Result<()> {
    let path = path.map_or_else(default_log_file, PathBuf::from);
    let opened = open_for_append(&path).inspect_err(|error| {
        log::warn!(target: "vlog", "failed to open {} for logging: {}", path.display(), error_text(error));
    })?;
    switch_file(Some((opened, path)));
    Ok(())
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o660).open(path)
}

fn switch_file(new: Option<(File, PathBuf)>) {
    if sinks().file.is_some() {
        log::info!(target: "vlog", "closing log file");
    }
    match new {
        Some((file, path)) => {
            {
                let mut sinks = sinks();
                sinks.file = Some(file);
                sinks.file_path = Some(path.clone());
            }
            refilter();
            log::info!(target: "vlog", "opened log file {}", path.display());
        }
        None => {
            sinks().file = None;
            refilter();
        }
    }
}

/// Opens the log file anew where its path names another file than is open, after a rotation. `None`: there never was a log file.
pub fn reopen_log_file() -> Option<io::Result<()>> {
    let path = sinks().file_path.clone()?;
    let new = match open_for_append(&path) {
        Ok(new) => new,
        Err(error) => {
            let text = error_text(&error);
            log::warn!(target: "vlog", "failed to open {} for logging: {text}", path.display());
            return Some(Err(error));
        }
    };
    let same = match (&sinks().file, new.metadata()) {
        (Some(old), Ok(new)) => {
            old.metadata().is_ok_and(|old| (old.dev(), old.ino()) == (new.dev(), new.ino()))
        }
        _ => false,
    };
    if !same {
        switch_file(Some((new, path)));
    }
    Some(Ok(()))
}

/// Closes the log file until `reopen_log_file`.
pub fn close_log_file() {
    if sinks().file.is_some() {
        switch_file(None);
    }
}
