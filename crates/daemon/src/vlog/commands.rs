//! The `vlog/*` commands.
//!
//! Where it sits: registered by every daemon's control server.

use std::fmt::Write;

use super::{Destination, Level, VLOG, close_log_file, modules_mut, reopen_log_file, set, sinks};
use crate::unixctl::{Call, Commands};
use stream::error_text;

/// Registers the commands.
pub(crate) fn register(commands: &Commands) {
    commands.register("vlog/set", "{spec | PATTERN:destination:pattern}", 0.., |call| {
        let result =
            if call.args.is_empty() { set("") } else { call.args.iter().try_for_each(|spec| set(spec)) };
        finish(call, result);
    });
    commands.register("vlog/list", "", 0..=0, |call| call.reply(list()));
    commands.register("vlog/list-pattern", "", 0..=0, |call| call.reply(list_patterns()));
    commands.register("vlog/reopen", "", 0..=0, |call| match reopen_log_file() {
        None => call.error("Logging to file not configured"),
        Some(Ok(())) => call.reply(""),
        Some(Err(error)) => call.error(error_text(&error)),
    });
    commands.register("vlog/close", "", 0..=0, |call| {
        close_log_file();
        call.reply("");
    });
    commands.register("vlog/enable-rate-limit", "[module]...", 0.., |call| limit(call, true));
    commands.register("vlog/disable-rate-limit", "[module]...", 0.., |call| limit(call, false));
    commands.register_hidden("vlog/message", 1..=1, |call| {
        log::info!(target: "vlog", "user-message: {}", call.args[0]);
        call.reply("");
    });
}

fn finish(call: Call, result: Result<(), String>) {
    match result {
        Ok(()) => call.reply(""),
        Err(error) => call.error(error),
    }
}

/// Switches rate limits of the modules named, or of all.
fn limit(call: Call, limited: bool) {
    let result = modules_mut(|modules| {
        let is_any = |name: &String| name.eq_ignore_ascii_case("any");
        if call.args.is_empty() || call.args.iter().any(is_any) {
            modules.set_rate_limited(None, limited);
        }
        for name in call.args.iter().filter(|name| !is_any(name)) {
            let module = modules.find(name).ok_or("unknown module")?.to_owned();
            modules.set_rate_limited(Some(&module), limited);
        }
        Ok(())
    });
    finish(call, result);
}

fn list() -> String {
    let mut text =
        "                 console    syslog    file\n                 -------    ------    ------\n"
            .to_owned();
    let modules = VLOG.modules.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (name, levels) in modules.iter() {
        let level = |destination| Level::name(levels.get(destination));
        let (console, syslog, file) =
            (level(Destination::Console), level(Destination::Syslog), level(Destination::File));
        let _ = write!(text, "{name:<16}  {console:>4}       {syslog:>4}       {file:>4}");
        text.push_str(if levels.rate_limited { "\n" } else { "    (rate limiting disabled)\n" });
    }
    text
}

fn list_patterns() -> String {
    let mut text = "         prefix                            format\n         ------                            ------\n".to_owned();
    let sinks = sinks();
    for destination in Destination::ALL {
        let prefix = if destination == Destination::Syslog { sinks.syslog.prefix() } else { "none" };
        let _ = writeln!(
            text,
            "{:<7}  {prefix:<32}  {}",
            destination.name(),
            sinks.patterns[destination as usize]
        );
    }
    text
}
