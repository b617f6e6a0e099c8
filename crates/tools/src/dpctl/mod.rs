//! ovs-dpctl: administers the datapaths of ovs-vswitchd.
//!
//! Where it sits: the program's `main`. Our datapaths live in ovs-vswitchd, so a command goes to its control socket as
//! `dpctl/COMMAND`, and everything but the command line itself is done there.
//!
//! Spec: ovs-dpctl(8). Reading order: `commands`.

mod commands;

use std::process::ExitCode;

use daemon::getopt::{Getopt, Opt, Order};
use daemon::{program, tool, version, vlog};
use ovsdb::json::Json;

use crate::appctl::target::{Target, ended_line};
use commands::{Access, find};

/// The daemon that has the datapaths.
const DAEMON: &str = "ovs-vswitchd";

const OPTIONS: &[Opt] = &[
    Opt::flag("statistics").short('s'),
    Opt::flag("clear"),
    Opt::flag("may-create"),
    Opt::flag("read-only"),
    Opt::flag("more").short('m'),
    Opt::flag("names"),
    Opt::flag("no-names"),
    Opt::required("timeout").short('t'),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
];

/// The command line.
#[derive(Default)]
struct Parsed {
    timeout: u64,
    read_only: bool,
    /// Options that the daemon understands.
    options: Vec<String>,
    operands: Vec<String>,
}

/// Runs the program.
pub fn main() -> ExitCode {
    daemon::init();
    let _ = vlog::set("any:console:warn");
    let parsed = parse();
    let mut words = parsed.operands.iter();
    let Some(name) = words.next() else { program::exit_with("missing command name; use --help for help") };
    let arguments: Vec<&String> = words.collect();
    let command = find(name, arguments.len()).unwrap_or_else(|error| program::exit_with(&error));
    if parsed.read_only && command.access == Access::ReadWrite {
        program::exit_with(&format!("'{name}' command does not work in read only mode"));
    }
    let arguments: Vec<Json> = parsed.options.iter().chain(arguments).map(Json::string).collect();
    tool::run(parsed.timeout, carry_out(name, arguments))
}

async fn carry_out(command: &str, arguments: Vec<Json>) -> ExitCode {
    let mut target = Target::connect(DAEMON).await;
    match target.call(&format!("dpctl/{command}"), arguments).await {
        Ok(answer) => {
            print!("{}", ended_line(answer.as_str().unwrap_or_default().to_owned()));
            ExitCode::SUCCESS
        }
        Err(text) => {
            // The daemon speaks in its own name, line by line.
            let prefix = format!("{DAEMON}: ");
            for line in text.lines() {
                eprintln!("{}: {}", program::name(), line.strip_prefix(&prefix).unwrap_or(line));
            }
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Parsed {
    let table = [OPTIONS, vlog::OPTIONS].concat();
    let mut getopt = Getopt::from_env(&table, Order::Permute);
    let mut parsed = Parsed::default();
    loop {
        match getopt.next() {
            Ok(Some((name, value))) => parsed.accept(name, value.as_deref()),
            Ok(None) => break,
            Err(error) => program::exit_with(&error.to_string()),
        }
    }
    parsed.operands = getopt.operands();
    parsed
}

impl Parsed {
    fn accept(&mut self, name: &str, value: Option<&str>) {
        let text = value.unwrap_or_default();
        match name {
            "statistics" => self.options.push("-s".to_owned()),
            "more" => self.options.push("-m".to_owned()),
            "clear" | "may-create" | "names" | "no-names" => self.options.push(format!("--{name}")),
            "read-only" => self.read_only = true,
            "timeout" => match text.parse() {
                Ok(seconds) if seconds > 0 => self.timeout = seconds,
                _ => program::exit_with(&format!("value {text} on -t or --timeout is invalid")),
            },
            "help" => {
                print!("{}", commands::usage(program::name()));
                std::process::exit(0)
            }
            "version" => {
                println!("{}", version::banner(program::name()));
                std::process::exit(0)
            }
            _ => {
                if let Err(error) = vlog::accept_option(name, value) {
                    program::exit_with(&error);
                }
            }
        }
    }
}
