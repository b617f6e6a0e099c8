//! A kept JSON-RPC connection: messages in and out, echoes answered, the peer probed by `echo` when silent.
//!
//! Where it sits: `ovsdb-server` (one per client), the database replica in clients, run-time control.

use ovsdb::json::{Json, Parser};

use super::message::Message;
use crate::Clock;
use crate::link::{self, Codec, Link};
use crate::name::OVSDB_PORT;
use crate::reconnect::{Config, Reconnect};
use crate::socket::Stream;

/// Bytes one message may have, unless the owner says otherwise.
const DEFAULT_MESSAGE_LIMIT: u64 = 1 << 30;

/// What happened to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The connection stands.
    Connected,
    /// A message came; never an echo.
    Message(Message),
    /// The connection is gone; requests in flight will not be answered.
    Disconnected,
}

/// How a session is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Backoff and probes.
    pub reconnect: Config,
    /// Bytes that one message may have.
    pub message_limit: u64,
    /// Bytes of output that may wait for the peer.
    pub backlog_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            reconnect: Config::default(),
            message_limit: DEFAULT_MESSAGE_LIMIT,
            backlog_limit: link::DEFAULT_BACKLOG_LIMIT,
        }
    }
}

impl Options {
    /// What servers use for accepted connections: ordinary events are logged at debug level only.
    pub fn quiet() -> Options {
        let mut options = Options::default();
        options.reconnect.info_level = log::Level::Debug;
        options
    }
}

/// A kept JSON-RPC connection.
///
/// ~~~no_run
/// # async fn serve(stream: stream::Stream, clock: stream::Clock) {
/// use stream::jsonrpc::{Event, Message, Options, Session};
/// let mut session = Session::accepted(stream, Options::quiet(), &clock);
/// while let Some(event) = session.next().await {
///     if let Event::Message(Message::Request { id, .. }) = event {
///         session.send(&Message::error(id, "unknown method"));
///     }
/// }
/// # }
/// ~~~
#[derive(Debug)]
pub struct Session {
    link: Link<JsonCodec>,
}

impl Session {
    /// Dials (or, for passive names, listens for) one of `names` in turn, again whenever the connection is lost.
    pub fn dial(names: Vec<String>, options: Options, clock: &Clock) -> Session {
        let codec = JsonCodec::new(options.message_limit);
        let mut link = Link::dial(names, OVSDB_PORT, codec, options.reconnect, clock);
        link.set_backlog_limit(options.backlog_limit);
        Session { link }
    }

    /// Serves a connection that a listener accepted, until it is lost.
    pub fn accepted(stream: Stream, options: Options, clock: &Clock) -> Session {
        let mut link =
            Link::accepted(stream, JsonCodec::new(options.message_limit), options.reconnect, clock);
        link.set_backlog_limit(options.backlog_limit);
        Session { link }
    }

    /// The next event; `None` when the session is over. May be cancelled.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.link.next().await? {
                link::Event::Connected => return Some(Event::Connected),
                link::Event::Disconnected => return Some(Event::Disconnected),
                link::Event::Probe => self.send(&Message::request("echo", "echo", Vec::new())),
                link::Event::Message(message) => {
                    if let Some(message) = self.answer_echo(message) {
                        return Some(Event::Message(message));
                    }
                }
            }
        }
    }

    /// Answers an echo, drops the answer to ours, and gives everything else back.
    fn answer_echo(&mut self, message: Message) -> Option<Message> {
        match message {
            Message::Request { id, method, params } if method == "echo" => {
                self.send(&Message::reply(id, Json::Array(params)));
                None
            }
            Message::Reply { id, .. } if id.as_str() == Some("echo") => None,
            other => Some(other),
        }
    }

    /// Queues a message; it is dropped while not connected.
    pub fn send(&mut self, message: &Message) {
        if self.link.is_connected() {
            if log::log_enabled!(target: JsonCodec::LOG_TARGET, log::Level::Debug) {
                log::debug!(target: "jsonrpc", "{}: send {}", self.link.name(), message.describe());
            }
            let mut text = String::with_capacity(128);
            message.write_to(&mut text);
            self.link.send(text.as_bytes());
        }
    }

    /// Waits until everything queued is written, or the connection is lost.
    pub async fn flush(&mut self) {
        self.link.flush().await;
    }

    /// What logs call the peer.
    pub fn name(&self) -> &str {
        self.link.name()
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Bytes that wait for the peer.
    pub fn backlog(&self) -> usize {
        self.link.backlog()
    }

    /// The reconnection machine, for status displays.
    pub fn machine(&self) -> &Reconnect {
        self.link.machine()
    }

    /// The connection, to change how it is kept.
    pub fn link_mut(&mut self) -> &mut Link<JsonCodec> {
        &mut self.link
    }
}

/// Cuts a stream into JSON-RPC messages.
#[derive(Debug)]
pub struct JsonCodec {
    parser: Parser,
    limit: u64,
}

impl JsonCodec {
    fn new(limit: u64) -> JsonCodec {
        JsonCodec { parser: Parser::with_limit(limit), limit }
    }
}

impl Codec for JsonCodec {
    type Item = Message;
    const LOG_TARGET: &'static str = "jsonrpc@5";

    fn reset(&mut self) {
        self.parser = Parser::with_limit(self.limit);
    }

    fn decode(&mut self, input: &[u8]) -> Result<(usize, Option<Message>), String> {
        let (taken, json) = self.parser.feed(input).map_err(|e| format!("error parsing stream: {e}"))?;
        let message = json.map(Message::from_json).transpose();
        Ok((taken, message.map_err(|e| format!("received bad JSON-RPC message: {e}"))?))
    }

    fn received(&self, name: &str, message: &Message) {
        if log::log_enabled!(target: "jsonrpc", log::Level::Debug) {
            log::debug!(target: "jsonrpc", "{name}: received {}", message.describe());
        }
    }
}
