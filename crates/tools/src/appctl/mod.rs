//! ovs-appctl: sends one command to a running daemon's control socket and prints the answer.
//!
//! Where it sits: the program's `main`; speaks to `daemon::unixctl`'s server and to C's daemons alike.
//!
//! Exit status: 0 for an answer, 1 if the daemon cannot be reached or the command line is wrong, 2 if the daemon refused.
//!
//! Spec: ovs-appctl(8). Reading order: `options`, `target`.

use std::io::Write;
use std::process::ExitCode;

use daemon::unixctl::Format;
use daemon::{program, tool, vlog};
use ovsdb::json::Json;

mod options;
pub(crate) mod target;

use options::Options;
use target::{Target, ended_line};

/// Exit status when the daemon refused.
const REFUSED: u8 = 2;

/// The whole program.
pub fn main() -> ExitCode {
    daemon::init();
    vlog::add_modules(vlog::DAEMON_MODULES);
    let options = Options::parse();
    tool::run(options.timeout, carry_out(&options))
}

async fn carry_out(options: &Options) -> ExitCode {
    let mut target = Target::connect(&options.target).await;
    let arguments = options.arguments.iter().map(Json::string).collect();
    let set_options = ["--format", "json"].map(Json::string).to_vec();
    let prelude = match options.format {
        Format::Json => target.call("set-options", set_options).await.map(drop),
        Format::Text => Ok(()),
    };
    let answer = match prelude {
        Ok(()) => target.call(&options.command, arguments).await,
        Err(text) => Err(text),
    };
    match answer {
        Ok(result) => print_result(options, &target, &result),
        Err(text) => {
            eprint!("{}", ended_line(text));
            eprintln!("{}: {}: server returned an error", program::name(), options.target);
            ExitCode::from(REFUSED)
        }
    }
}

fn print_result(options: &Options, target: &Target, result: &Json) -> ExitCode {
    let text = match (options.format, result) {
        (Format::Text, Json::String(text)) => text.to_string(),
        (Format::Text, _) => {
            let socket = target.socket();
            program::exit_with(&format!("{socket}: unexpected JSON type in result: {}", result.type_name()))
        }
        (Format::Json, result) if options.pretty => result.pretty().to_string(),
        (Format::Json, result) => result.to_string(),
    };
    // Whoever reads the output may have gone; that is no error of the command.
    let _ = std::io::stdout().lock().write_all(ended_line(text).as_bytes());
    ExitCode::SUCCESS
}
