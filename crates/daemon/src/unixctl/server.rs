//! The control socket: accepts clients, one JSON-RPC conversation each.
//!
//! Where it sits: `Daemon` starts it; it calls `Commands::dispatch`. Clients' requests are served one after the other per
//! connection; connections do not wait for each other. At most `MAX_CLIENTS` are served at a time.

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ovsdb::json::Json;
use stream::jsonrpc::{Event, Message, Options, Session};
use stream::name::Passive;
use stream::reconnect::Wording;
use stream::{Clock, Listener, Stream, dirs};
use tokio::sync::Semaphore;

use super::{Call, Commands, Format};
use crate::program;

/// Clients served at a time; more wait in the listen queue.
const MAX_CLIENTS: usize = 256;
/// Bytes of one request.
const REQUEST_LIMIT: u64 = 64 << 20;

thread_local! {
    /// Requests whose replies have not been written.
    static BUSY: Cell<usize> = const { Cell::new(0) };
}

/// Requests of this thread's server whose replies have not been written.
pub(crate) fn busy() -> usize {
    BUSY.get()
}

/// Counts one request as long as it lives.
struct Busy;

impl Busy {
    fn new() -> Busy {
        BUSY.set(BUSY.get() + 1);
        Busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.set(BUSY.get() - 1);
    }
}

/// A listening control socket.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
}

/// The socket's default path: `NAME.PID.ctl` in the run folder.
fn default_path() -> PathBuf {
    dirs::rundir().join(format!("{}.{}.ctl", program::name(), std::process::id()))
}

impl Server {
    /// Listens at `path`, else in the run folder, else at the default path; `none` is no server. An error is the text that users see.
    pub fn bind(path: Option<&str>) -> Result<Option<Server>, String> {
        let path = match path {
            Some("none") => return Ok(None),
            Some(path) => dirs::in_folder(dirs::rundir(), path),
            None => default_path(),
        };
        match Listener::bind(&Passive::Unix(path.clone())) {
            Ok(listener) => Ok(Some(Server { listener })),
            Err(error) => {
                let text = stream::error_text(&error);
                Err(format!("{}: could not initialize control socket ({text})", path.display()))
            }
        }
    }

    /// Serves clients for ever. Must run within a `LocalSet`.
    pub async fn run(self, commands: Commands, clock: Clock) -> io::Error {
        let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return io::ErrorKind::Other.into() };
            match self.listener.accept().await {
                Ok(stream) => {
                    let (commands, clock) = (commands.clone(), clock.clone());
                    tokio::task::spawn_local(async move {
                        serve(stream, &commands, &clock).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    log::warn!(target: "unixctl@5", "accept failed: {}", stream::error_text(&error));
                    // Out of descriptors, most likely: let others be closed first.
                    clock.sleep_until(clock.now_ms() + 100).await;
                }
            }
        }
    }
}

/// One client's conversation.
async fn serve(stream: Stream, commands: &Commands, clock: &Clock) {
    let mut options = Options { message_limit: REQUEST_LIMIT, ..Options::quiet() };
    options.reconnect.probe_interval = 0;
    options.reconnect.wording = Wording::Silent;
    let mut session = Session::accepted(stream, options, clock);
    let mut format = Format::Text;
    while let Some(event) = session.next().await {
        let Event::Message(message) = event else { continue };
        let Message::Request { id, method, params } = message else {
            log::warn!(target: "unixctl@5", "{}: received unexpected {} message", session.name(), kind(&message));
            return;
        };
        let busy = Busy::new();
        let outcome = answer(commands, &method, params, &mut format).await;
        session.send(&match outcome {
            Ok(result) => Message::reply(id, result),
            Err(error) => Message::error(id, error),
        });
        session.flush().await;
        drop(busy);
    }
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Request { .. } => "request",
        Message::Notification { .. } => "notification",
        Message::Reply { .. } => "reply",
        Message::Error { .. } => "error",
    }
}

async fn answer(
    commands: &Commands,
    method: &str,
    params: Vec<Json>,
    format: &mut Format,
) -> Result<Json, Json> {
    crate::coverage::UNIXCTL_RECEIVED.count();
    let mut args = Vec::with_capacity(params.len());
    for param in params {
        match param {
            Json::String(arg) => args.push(arg.to_string()),
            _ => return Err(Json::string(format!("\"{method}\" command has non-string argument"))),
        }
    }
    if log::log_enabled!(target: "unixctl", log::Level::Debug) {
        let shown: Vec<String> = args.iter().map(|arg| Json::string(arg).to_string()).collect();
        log::debug!(target: "unixctl", "received request {method}[{}], id=0", shown.join(", "));
    }
    // The one command that is about the connection.
    if method == "set-options" {
        return set_options(&args, format).map(|()| Json::string("")).map_err(Json::from);
    }
    let (call, answer) = Call::new(method, args, *format);
    commands.dispatch(call);
    let outcome = match answer.await {
        Ok(answer) => answer.into_wire(*format),
        Err(_) => Err(Json::string(format!("\"{method}\" command was not answered"))),
    };
    crate::coverage::UNIXCTL_REPLIED.count();
    outcome
}

fn set_options(args: &[String], format: &mut Format) -> Result<(), String> {
    let value = match args {
        [] => return Err("\"set-options\" command requires at least 1 arguments".to_owned()),
        [option] => match option.strip_prefix("--format=") {
            Some(value) => value,
            None => return Err(format!("unrecognized option: {option}")),
        },
        [option, value] if option == "--format" => value,
        [option, _] => return Err(format!("unrecognized option: {option}")),
        _ => return Err("\"set-options\" command takes at most 2 arguments".to_owned()),
    };
    *format = if value.eq_ignore_ascii_case("text") {
        Format::Text
    } else if value.eq_ignore_ascii_case("json") {
        Format::Json
    } else {
        return Err(format!("option 'format' has invalid value {value}"));
    };
    Ok(())
}
