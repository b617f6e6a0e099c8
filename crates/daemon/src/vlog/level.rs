//! Levels, destinations and modules of the log, and who wants what.
//!
//! Where it sits: the log's filter. `spec` changes it, `mod` asks it for every message.

use std::collections::BTreeMap;
use std::fmt;

use super::modules::COMMON;

/// How severe a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is that severe: a destination at this level is silent.
    Off,
    /// The process ends.
    Emer,
    /// Needs attention.
    Err,
    /// May be recovered from.
    Warn,
    /// Useful in retrospect.
    Info,
    /// For developers.
    Dbg,
}

impl Level {
    /// All levels by name.
    const NAMES: [(&'static str, Level); 6] = [
        ("OFF", Level::Off),
        ("EMER", Level::Emer),
        ("ERR", Level::Err),
        ("WARN", Level::Warn),
        ("INFO", Level::Info),
        ("DBG", Level::Dbg),
    ];

    /// The level called `name`, in any case.
    pub fn parse(name: &str) -> Option<Level> {
        Level::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
    }

    /// The name in log lines.
    pub fn name(self) -> &'static str {
        Level::NAMES.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }

    /// The severity in syslog's numbers.
    pub(super) fn syslog(self) -> u8 {
        match self {
            Level::Off | Level::Emer => 1,
            Level::Err => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Dbg => 7,
        }
    }

    pub(super) fn filter(self) -> log::LevelFilter {
        match self {
            Level::Off | Level::Emer => log::LevelFilter::Off,
            Level::Err => log::LevelFilter::Error,
            Level::Warn => log::LevelFilter::Warn,
            Level::Info => log::LevelFilter::Info,
            Level::Dbg => log::LevelFilter::Trace,
        }
    }
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Level {
        match level {
            log::Level::Error => Level::Err,
            log::Level::Warn => Level::Warn,
            log::Level::Info => Level::Info,
            log::Level::Debug | log::Level::Trace => Level::Dbg,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The system log.
    Syslog,
    /// Standard error.
    Console,
    /// The log file, if there is one.
    File,
}

impl Destination {
    /// All of them, in the order of `vlog/list-pattern`.
    pub const ALL: [Destination; 3] = [Destination::Syslog, Destination::Console, Destination::File];

    /// The destination called `name`, in any case.
    pub fn parse(name: &str) -> Option<Destination> {
        Destination::ALL.into_iter().find(|d| d.name().eq_ignore_ascii_case(name))
    }

    /// The name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Destination::Syslog => "SYSLOG",
            Destination::Console => "CONSOLE",
            Destination::File => "FILE",
        }
    }
}

/// A module's levels, by destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    by_destination: [Level; 3],
    /// Whether rate limits apply.
    pub rate_limited: bool,
}

impl Levels {
    const DEFAULT: Levels = Levels { by_destination: [Level::Info; 3], rate_limited: true };

    /// The level for one destination.
    pub fn get(&self, destination: Destination) -> Level {
        self.by_destination[destination as usize]
    }

    fn set(&mut self, destination: Destination, level: Level) {
        self.by_destination[destination as usize] = level;
    }
}

/// Every module's levels.
#[derive(Debug)]
pub struct Modules(BTreeMap<String, Levels>);

impl Modules {
    /// All known modules, at level INFO.
    pub fn new() -> Modules {
        Modules(COMMON.iter().map(|name| ((*name).to_owned(), Levels::DEFAULT)).collect())
    }

    /// The levels of a module; one that is not known has the default ones.
    pub fn get(&self, module: &str) -> Levels {
        self.0.get(module).copied().unwrap_or(Levels::DEFAULT)
    }

    /// The known spelling of `name`, which may be in any case.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.keys().find(|known| known.eq_ignore_ascii_case(name)).map(String::as_str)
    }

    /// Modules in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Levels)> {
        self.0.iter().map(|(name, levels)| (name.as_str(), levels))
    }

    /// Adds modules that the program has besides the known ones.
    pub fn add(&mut self, names: &[&str]) {
        for name in names {
            self.0.entry((*name).to_owned()).or_insert(Levels::DEFAULT);
        }
    }

    /// Sets the level of one module or all, for one destination or all.
    pub fn set(&mut self, module: Option<&str>, destination: Option<Destination>, level: Level) {
        for levels in self.selected(module) {
            for each in Destination::ALL {
                if destination.is_none_or(|only| only == each) {
                    levels.set(each, level);
                }
            }
        }
    }

    /// Applies rate limits, or not, for one module or all.
    pub fn set_rate_limited(&mut self, module: Option<&str>, limited: bool) {
        for levels in self.selected(module) {
            levels.rate_limited = limited;
        }
    }

    fn selected<'a>(&'a mut self, module: Option<&'a str>) -> impl Iterator<Item = &'a mut Levels> {
        let wanted = move |name: &String| module.is_none_or(|only| only == name);
        self.0.iter_mut().filter(move |(name, _)| wanted(name)).map(|(_, levels)| levels)
    }

    /// The most talkative level of any module; `file` tells whether that destination counts.
    pub(super) fn most(&self, file: bool) -> Level {
        let counts = |d: &Destination| file || *d != Destination::File;
        self.0
            .values()
            .flat_map(|levels| Destination::ALL.into_iter().filter(counts).map(|d| levels.get(d)))
            .max()
            .unwrap_or(Level::Off)
    }
}
