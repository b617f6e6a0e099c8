//! A running daemon, reached through its control socket.
//!
//! Where it sits: ovs-appctl sends any command through it, ovs-dpctl those of datapaths. Who cannot be reached ends the
//! process, in the words of both programs.

use std::path::PathBuf;

use daemon::{Clock, pidfile, program};
use ovsdb::json::Json;
use stream::error_text;
use stream::jsonrpc::{CallError, Client};

/// A daemon's control socket, connected.
pub(crate) struct Target {
    socket: PathBuf,
    client: Client,
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

impl Target {
    /// Connects to the daemon called `name`, or to the socket of that path.
    pub(crate) async fn connect(name: &str) -> Target {
        let socket = find_socket(name);
        match Client::connect(&format!("unix:{}", socket.display()), &Clock::new()).await {
            Ok(client) => Target { socket, client },
            Err(error) => {
                let (socket, text) = (socket.display(), error_text(&error));
                log::warn!(target: "unixctl", "failed to connect to {socket}");
                program::exit_with(&format!("cannot connect to \"{socket}\" ({text})"))
            }
        }
    }

    /// The socket's path.
    pub(crate) fn socket(&self) -> String {
        self.socket.display().to_string()
    }

    /// The daemon's answer, or the text of its refusal.
    pub(crate) async fn call(&mut self, method: &str, arguments: Vec<Json>) -> Result<Json, String> {
        match self.client.call(method, arguments).await {
            Ok(result) => Ok(result),
            Err(CallError::Refused(Json::String(text))) => Err(text.to_string()),
            Err(CallError::Refused(error)) => {
                let (socket, kind) = (self.socket.display(), error.type_name());
                log::warn!(target: "unixctl", "unix:{socket}: unexpected error type in JSON RPC reply: {kind}");
                program::exit_with(&format!("{socket}: transaction error (Invalid argument)"))
            }
            Err(CallError::Closed) => {
                let socket = self.socket.display();
                log::warn!(target: "unixctl", "error communicating with unix:{socket}: End of file");
                program::exit_with(&format!("{socket}: transaction error (End of file)"))
            }
        }
    }
}

/// The text with a newline at its end, if it is not empty: daemons may leave it out.
pub(crate) fn ended_line(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
