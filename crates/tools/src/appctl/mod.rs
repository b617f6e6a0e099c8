//! ovs-appctl: sends one command to a running daemon's control socket and prints the answer.
//!
//! Where it sits: the program's `main`; speaks to `daemon::unixctl`'s server and to C's daemons alike.
//!
//! Exit status: 0 for an answer, 1 if the daemon cannot be reached or the command line is wrong, 2 if the daemon refused.
//!
//! Spec: ovs-appctl(8). Next: `options.rs`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use daemon::unixctl::Format;
use daemon::{Clock, pidfile, program, tool};
use ovsdb::json::Json;
use stream::error_text;
use stream::jsonrpc::{CallError, Client};

mod options;

use options::Options;

/// Exit status when the daemon refused.
const REFUSED: u8 = 2;

/// The whole program.
pub fn main() -> ExitCode {
    daemon::init();
    let options = Options::parse();
    tool::run(options.timeout, carry_out(&options))
}

async fn carry_out(options: &Options) -> ExitCode {
    let socket = find_socket(&options.target);
    let mut client = connect(&socket).await;
    if options.format == Format::Json {
        let arguments = ["--format", "json"].map(Json::string).to_vec();
        if let Err(code) = call(&mut client, options, &socket, "set-options", arguments).await {
            return code;
        }
    }
    let arguments = options.arguments.iter().map(Json::string).collect();
    match call(&mut client, options, &socket, &options.command, arguments).await {
        Ok(result) => print_result(options, &socket, &result),
        Err(code) => code,
    }
}

/// The control socket of `target`: a path, or the name of a daemon with a pid file in the run folder.
fn find_socket(target: &str) -> PathBuf {
    if target.starts_with('/') {
        return target.into();
    }
    let path = pidfile::default_path(target);
    match pidfile::read(&path) {
        Ok(pid) => daemon::dirs::rundir().join(format!("{target}.{pid}.ctl")),
        Err(error) => {
            let text = error_text(&error);
            program::exit_with(&format!("cannot read pidfile \"{}\" ({text})", path.display()))
        }
    }
}

async fn connect(socket: &Path) -> Client {
    match Client::connect(&format!("unix:{}", socket.display()), &Clock::new()).await {
        Ok(client) => client,
        Err(error) => {
            let (socket, text) = (socket.display(), error_text(&error));
            log::warn!(target: "unixctl", "failed to connect to {socket}");
            program::exit_with(&format!("cannot connect to \"{socket}\" ({text})"))
        }
    }
}

/// The daemon's answer; the exit status if it refused.
async fn call(
    client: &mut Client,
    options: &Options,
    socket: &Path,
    method: &str,
    arguments: Vec<Json>,
) -> Result<Json, ExitCode> {
    match client.call(method, arguments).await {
        Ok(result) => Ok(result),
        Err(CallError::Refused(error)) => {
            let text = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
            eprint!("{}", ended_line(text));
            eprintln!("{}: {}: server returned an error", program::name(), options.target);
            Err(ExitCode::from(REFUSED))
        }
        Err(CallError::Closed) => {
            program::exit_with(&format!("{}: transaction error (End of file)", socket.display()))
        }
    }
}

fn print_result(options: &Options, socket: &Path, result: &Json) -> ExitCode {
    let text = match (options.format, result) {
        (Format::Text, Json::String(text)) => text.clone(),
        (Format::Text, _) => {
            let socket = socket.display();
            program::exit_with(&format!("{socket}: unexpected JSON type in result: {}", result.type_name()))
        }
        (Format::Json, result) if options.pretty => result.pretty().to_string(),
        (Format::Json, result) => result.to_string(),
    };
    // Whoever reads the output may have gone; that is no error of the command.
    let _ = std::io::stdout().lock().write_all(ended_line(text).as_bytes());
    ExitCode::SUCCESS
}

/// The text with a newline at its end, if it is not empty: daemons may leave it out.
fn ended_line(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
