//! The language of `-v` and `vlog/set`, and the options that set up the log.
//!
//! Where it sits: programs add `OPTIONS` to their tables and pass what they get to `accept_option`; `commands` calls `set`.

use super::level::{Destination, Level};
use super::syslog::{self, Syslog};
use super::{modules_mut, open_log_file, sinks};
use crate::getopt::Opt;

/// Options of the log.
pub const OPTIONS: &[Opt] = &[
    Opt::optional("verbose").short('v'),
    Opt::optional("log-file"),
    Opt::required("syslog-method"),
    Opt::required("syslog-target"),
];

/// Does what an option of `OPTIONS` says; `false` if `name` is none of them. An error is the text that users see.
pub fn accept_option(name: &str, value: Option<&str>) -> Result<bool, String> {
    match (name, value) {
        ("verbose", value) => {
            let spec = value.unwrap_or_default();
            set(spec).map_err(|error| format!("processing \"{spec}\": {error}"))?;
        }
        ("log-file", value) => {
            // C's programs end without a further word.
            if open_log_file(value).is_err() {
                std::process::exit(1);
            }
        }
        ("syslog-method", Some(method)) => sinks().syslog = Syslog::parse(method)?,
        ("syslog-target", Some(target)) => match Syslog::udp(target) {
            Some(copy) => sinks().syslog_copy = Some(copy),
            // A program that cannot tell the host goes on without.
            None => log::error!(target: "vlog", "{target}: bad syslog target"),
        },
        _ => return Ok(false),
    }
    Ok(true)
}

/// Changes the log as `spec` says: words for a module, a destination and a level, `PATTERN:DESTINATION:PATTERN`, or
/// `FACILITY:FACILITY`. An error is the text that users see; nothing is changed then.
pub fn set(spec: &str) -> Result<(), String> {
    let prefixed = |prefix: &str| {
        let head = spec.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| &spec[prefix.len()..])
    };
    if let Some(rest) = prefixed("PATTERN:") {
        return set_pattern(rest);
    }
    if let Some(name) = prefixed("FACILITY:") {
        sinks().facility = syslog::facility(name).ok_or("invalid facility")?;
        return Ok(());
    }
    set_levels(spec)
}

fn set_pattern(rest: &str) -> Result<(), String> {
    let (name, pattern) = rest.split_once(':').unwrap_or((rest, ""));
    if name.eq_ignore_ascii_case("any") {
        for each in &mut sinks().patterns {
            pattern.clone_into(each);
        }
        return Ok(());
    }
    let destination = Destination::parse(name).ok_or_else(|| format!("unknown destination \"{name}\""))?;
    pattern.clone_into(&mut sinks().patterns[destination as usize]);
    Ok(())
}

fn set_levels(spec: &str) -> Result<(), String> {
    let (mut module, mut destination, mut level) = (None, None, None);
    modules_mut(|modules| {
        for word in spec.split([' ', ',', ':']).filter(|word| !word.is_empty()) {
            if word.eq_ignore_ascii_case("any") {
                continue;
            }
            let again = if let Some(found) = Destination::parse(word) {
                destination.replace(found).map(|_| "destinations")
            } else if let Some(found) = Level::parse(word) {
                level.replace(found).map(|_| "levels")
            } else if let Some(found) = modules.find(word) {
                module.replace(found.to_owned()).map(|_| "modules")
            } else {
                return Err(format!("no destination, level, or module \"{word}\""));
            };
            if let Some(kind) = again {
                return Err(format!("cannot specify multiple {kind}"));
            }
        }
        modules.set(module.as_deref(), destination, level.unwrap_or(Level::Dbg));
        Ok(())
    })
}
