//! ovs-ofctl: administers OpenFlow switches, and examines OpenFlow messages and texts offline.
//!
//! Where it sits: a program over `openflow` (meaning, text), `stream` (sockets) and `daemon` (options, log, detaching).
//!
//! ~~~text
//! arguments ─ options.rs ─► Context + command ─ the table below ─► one async function per command
//! ~~~
//! Errors end the program with status 1 and `ovs-ofctl: WORDS` on standard error, in Open vSwitch's words.
//!
//! Spec: ovs-ofctl(8). Next: `options.rs`, `vconn.rs`, `flows.rs`, `show.rs`, `packets.rs`, `offline.rs`.

mod bundle;
mod diff;
mod flows;
mod frames;
mod groups;
mod meters;
mod names;
mod offline;
mod options;
mod oxm_text;
mod packets;
mod ports;
mod probe;
mod show;
mod tables;
mod vconn;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;

pub use options::Context;

/// Words that end the program with status 1; empty where all was said already.
#[derive(Debug)]
pub struct Fatal {
    words: String,
    status: u8,
}

/// An end with these words and status 1.
fn fatal(words: impl Into<String>) -> Fatal {
    Fatal { words: words.into(), status: 1 }
}

/// An end without more words.
fn exit(status: u8) -> Fatal {
    Fatal { words: String::new(), status }
}

type Done<'a> = Pin<Box<dyn Future<Output = Result<(), Fatal>> + 'a>>;
type Run = for<'a> fn(&'a Context, &'a [String]) -> Done<'a>;

/// Whether `--read-only` allows a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Reads,
    Writes,
}

struct Command {
    name: &'static str,
    least: usize,
    most: usize,
    access: Access,
    run: Run,
}

macro_rules! commands {
    ($($name:literal, $least:expr, $most:expr, $access:ident, $run:path;)+) => {
        const COMMANDS: &[Command] = &[$(Command {
            name: $name,
            least: $least,
            most: $most,
            access: Access::$access,
            run: |cx, args| Box::pin($run(cx, args)),
        },)+];
    };
}

const ANY: usize = usize::MAX;

commands! {
    "show", 1, 1, Reads, show::show;
    "dump-desc", 1, 1, Reads, show::dump_desc;
    "dump-tables", 1, 1, Reads, show::dump_tables;
    "dump-table-features", 1, 1, Reads, show::dump_table_features;
    "dump-ports", 1, 2, Reads, show::dump_ports;
    "dump-ports-desc", 1, 2, Reads, show::dump_ports_desc;
    "dump-flows", 1, 2, Reads, flows::dump_flows;
    "dump-aggregate", 1, 2, Reads, flows::dump_aggregate;
    "add-flow", 2, 2, Writes, flows::add_flow;
    "add-flows", 2, 2, Writes, flows::add_flows;
    "mod-flows", 2, 2, Writes, flows::mod_flows;
    "del-flows", 1, 2, Writes, flows::del_flows;
    "replace-flows", 2, 2, Writes, diff::replace_flows;
    "diff-flows", 2, 2, Reads, diff::diff_flows;
    "packet-out", 2, ANY, Writes, packets::packet_out;
    "monitor", 1, 3, Reads, stays;
    "snoop", 1, 1, Reads, stays;
    "mod-port", 3, 3, Writes, ports::mod_port;
    "get-frags", 1, 1, Reads, show::get_frags;
    "set-frags", 2, 2, Writes, show::set_frags;
    "probe", 1, 1, Reads, probe::probe;
    "ping", 1, 2, Reads, probe::ping;
    "benchmark", 3, 3, Reads, probe::benchmark;
    "add-group", 2, 2, Writes, groups::add_group;
    "add-groups", 2, 2, Writes, groups::add_groups;
    "mod-group", 2, 2, Writes, groups::mod_group;
    "del-groups", 1, 2, Writes, groups::del_groups;
    "insert-buckets", 2, 2, Writes, groups::insert_buckets;
    "remove-buckets", 2, 2, Writes, groups::remove_buckets;
    "dump-groups", 1, 2, Reads, groups::dump_groups;
    "dump-group-stats", 1, 2, Reads, groups::dump_group_stats;
    "dump-group-features", 1, 1, Reads, groups::dump_group_features;
    "bundle", 2, 2, Writes, bundle::bundle;
    "add-meter", 2, 2, Writes, meters::add_meter;
    "mod-meter", 2, 2, Writes, meters::mod_meter;
    "del-meter", 1, 2, Writes, meters::del_meters;
    "del-meters", 1, 2, Writes, meters::del_meters;
    "dump-meter", 1, 2, Reads, meters::dump_meters;
    "dump-meters", 1, 2, Reads, meters::dump_meters;
    "meter-stats", 1, 2, Reads, meters::meter_stats;
    "meter-features", 1, 1, Reads, meters::meter_features;
    "queue-stats", 1, 3, Reads, tables::queue_stats;
    "queue-get-config", 1, 3, Reads, tables::queue_get_config;
    "mod-table", 3, 3, Writes, tables::mod_table;
    "dump-table-desc", 1, 1, Reads, tables::dump_table_desc;
    "add-tlv-map", 2, 2, Writes, tables::add_tlv_map;
    "del-tlv-map", 1, 2, Writes, tables::del_tlv_map;
    "dump-tlv-map", 1, 1, Reads, tables::dump_tlv_map;
    "dump-ipfix-bridge", 1, 1, Reads, tables::dump_ipfix_bridge;
    "dump-ipfix-flow", 1, 1, Reads, tables::dump_ipfix_flow;
    "ct-flush-zone", 2, 2, Writes, tables::ct_flush_zone;
    "ct-flush", 1, 6, Writes, tables::ct_flush;
    "parse-group", 1, 1, Reads, groups::parse_group;
    "ofp-print", 1, 2, Reads, offline::ofp_print;
    "check-vlan", 2, 2, Reads, frames::check_vlan;
    "compose-packet", 1, 2, Reads, frames::compose_packet;
    "parse-pcap", 1, ANY, Reads, frames::parse_pcap;
    "ofp-parse-pcap", 1, ANY, Reads, frames::ofp_parse_pcap;
    "parse-key-value", 1, ANY, Reads, offline::parse_key_value;
    "ofp-parse", 1, 1, Reads, offline::ofp_parse;
    "parse-flow", 1, 1, Reads, offline::parse_flow;
    "parse-flows", 1, 1, Reads, offline::parse_flows;
    "parse-actions", 1, 1, Reads, offline::parse_actions;
    "parse-instructions", 1, 1, Reads, offline::parse_instructions;
    "parse-nx-match", 0, 0, Reads, offline::parse_nx_match;
    "parse-nxm", 0, 0, Reads, offline::parse_nx_match;
    "parse-oxm", 1, 1, Reads, offline::parse_oxm;
    "parse-ofp10-match", 0, 0, Reads, offline::parse_ofp10_match;
    "parse-ofp11-match", 0, 0, Reads, offline::parse_ofp11_match;
    "print-error", 1, 1, Reads, offline::print_error;
    "encode-error-reply", 2, 2, Reads, offline::encode_error_reply;
    "encode-hello", 1, 1, Reads, offline::encode_hello;
}

/// Stands in the table for commands that run as a daemon, which `main` starts another way.
async fn stays(_: &Context, _: &[String]) -> Result<(), Fatal> {
    Ok(())
}

/// The program.
pub fn main() -> ExitCode {
    daemon::program::set_name(&std::env::args().next().unwrap_or_default());
    daemon::vlog::init();
    daemon::vlog::add_modules(daemon::vlog::DAEMON_MODULES);
    daemon::vlog::add_modules(&["ovs_ofctl", "pcap", "vconn", "vconn_stream"]);
    let (cx, operands) = match options::parse() {
        Ok(parsed) => parsed,
        Err(end) => return finish(Err(end)),
    };
    let command = match find(&cx, &operands) {
        Ok(command) => command,
        Err(end) => return finish(Err(end)),
    };
    let args = &operands[1..];
    if matches!(command.name, "monitor" | "snoop") {
        return finish(packets::run(&cx, command.name, args));
    }
    finish(daemon::tool::run(cx.timeout_secs, (command.run)(&cx, args)))
}

fn find(cx: &Context, operands: &[String]) -> Result<&'static Command, Fatal> {
    let Some(name) = operands.first() else {
        return Err(fatal("missing command name; use --help for help"));
    };
    let Some(command) = COMMANDS.iter().find(|c| c.name == name) else {
        return Err(fatal(format!("unknown command '{name}'; use --help for help")));
    };
    let count = operands.len() - 1;
    if count < command.least {
        return Err(fatal(format!("'{name}' command requires at least {} arguments", command.least)));
    }
    if count > command.most {
        return Err(fatal(format!("'{name}' command takes at most {} arguments", command.most)));
    }
    if cx.read_only && command.access == Access::Writes {
        return Err(fatal(format!("'{name}' command does not work in read only mode")));
    }
    Ok(command)
}

fn finish(result: Result<(), Fatal>) -> ExitCode {
    use std::io::Write;
    let _ = std::io::stdout().flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            if !end.words.is_empty() {
                eprintln!("{}: {}", daemon::program::name(), end.words);
            }
            ExitCode::from(end.status)
        }
    }
}

/// Prints on standard output; a reader that went away ends the program quietly.
fn say(text: &str) {
    use std::io::Write;
    if std::io::stdout().lock().write_all(text.as_bytes()).is_err() {
        std::process::exit(1);
    }
}
