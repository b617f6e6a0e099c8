//! A connection that is kept: dialled or accepted, framed by a codec, probed when silent, made anew when lost.
//!
//! Where it sits: `jsonrpc::Session` and `openflow::Connection` are this with a codec. It owns the socket, both buffers and the
//! reconnection machine; it does not know what messages mean.
//!
//! ~~~text
//! next():  decoded message? ─► Event::Message         owner: send(bytes) ─► out ─► socket
//!          machine due?     ─► dial, cut, Event::Probe
//!          else wait for: socket readable or writable │ attempt done │ the machine's deadline
//! ~~~
//! I1  `next` may be cancelled at every await: whatever was read or written is accounted for in `self`.
//! I2  Both directions are bounded: one read's worth of input is decoded before more is read; a peer that lets the output grow past
//!     the limit is cut.
//! I3  `Connected` and `Disconnected` alternate; bytes sent while not connected are dropped.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Clock;
use crate::name::{Active, Passive, is_passive};
use crate::reconnect::{Action, Cause, Config, Reconnect, State, Wording};
use crate::socket::{Addresses, Listener, Stream, error_text};

/// Bytes read at once.
const READ_SIZE: usize = 64 * 1024;
/// Output that may wait for the peer before it is cut, unless the owner says otherwise.
pub const DEFAULT_BACKLOG_LIMIT: usize = 256 << 20;

/// Cuts a byte stream into messages.
pub trait Codec {
    /// A message.
    type Item;
    /// Module under which defects of the stream are logged.
    const LOG_TARGET: &'static str;
    /// Begins a new stream.
    fn reset(&mut self);
    /// Takes bytes up to the end of the next message: how many, and the message if it is complete. An error ends the connection;
    /// its text is logged.
    fn decode(&mut self, input: &[u8]) -> Result<(usize, Option<Self::Item>), String>;
    /// Told of every message, for debug logs.
    fn received(&self, _name: &str, _item: &Self::Item) {}
}

/// What happened to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// The connection stands.
    Connected,
    /// A message came.
    Message(T),
    /// The peer is silent: send it something that it must answer.
    Probe,
    /// The connection is gone.
    Disconnected,
}

/// Where the peer is to be found.
#[derive(Debug)]
enum Target {
    /// One of these names, in turn.
    Names(Vec<String>, usize, u16),
    /// Nowhere: the peer came to us, once.
    Accepted,
}

/// Told where the connection stands, whenever that may have changed.
pub type Observer = Box<dyn Fn(&Reconnect)>;

type Attempt = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

enum Socket {
    None,
    Attempt(Attempt),
    Open(Stream),
}

/// A kept connection with codec `C`.
pub struct Link<C: Codec> {
    clock: Clock,
    machine: Reconnect,
    target: Target,
    codec: C,
    socket: Socket,
    /// Room for one read, made by the first and kept: clearing it each time would cost more than most messages.
    input: Vec<u8>,
    /// What of it was read and not decoded yet.
    unread: Range<usize>,
    output: VecDeque<u8>,
    backlog_limit: usize,
    observer: Option<Observer>,
    /// What logs put before the peer's name.
    prefix: String,
    /// An event that is due before anything else.
    pending: Option<Event<C::Item>>,
}

impl<C: Codec> std::fmt::Debug for Link<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl<C: Codec> Link<C> {
    /// A link that dials (or listens for) one of `names` in turn; `default_port` is for names without one.
    pub fn dial(
        names: Vec<String>,
        default_port: u16,
        codec: C,
        mut config: Config,
        clock: &Clock,
    ) -> Link<C> {
        let first = names.first().cloned().unwrap_or_default();
        config.passive = is_passive(&first);
        let target = Target::Names(names, 0, default_port);
        let mut link = Link::new(&first, target, codec, config, clock);
        link.machine.enable(clock.now_ms());
        link
    }

    /// A link over a connection that a listener accepted; when it is lost, it is over.
    pub fn accepted(stream: Stream, codec: C, mut config: Config, clock: &Clock) -> Link<C> {
        config.tries = Some(1);
        let now = clock.now_ms();
        let mut link = Link::new(&stream.name, Target::Accepted, codec, config, clock);
        link.machine.enable(now);
        link.machine.connecting(now);
        link.machine.connected(now);
        link.socket = Socket::Open(stream);
        link.pending = Some(Event::Connected);
        link
    }

    fn new(name: &str, target: Target, codec: C, config: Config, clock: &Clock) -> Link<C> {
        Link {
            machine: Reconnect::new(name, config, clock.now_ms()),
            clock: clock.clone(),
            target,
            codec,
            socket: Socket::None,
            input: Vec::new(),
            unread: 0..0,
            output: VecDeque::new(),
            backlog_limit: DEFAULT_BACKLOG_LIMIT,
            observer: None,
            prefix: String::new(),
            pending: None,
        }
    }

    /// What logs call the peer.
    pub fn name(&self) -> &str {
        self.machine.name()
    }

    /// The reconnection machine, for status displays.
    pub fn machine(&self) -> &Reconnect {
        &self.machine
    }

    /// The codec.
    pub fn codec(&self) -> &C {
        &self.codec
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        matches!(self.socket, Socket::Open(_))
    }

    /// Both ends of the connection, over TCP.
    pub fn addresses(&self) -> Option<Addresses> {
        match &self.socket {
            Socket::Open(stream) => stream.addresses,
            _ => None,
        }
    }

    /// The name in the peer's certificate, over TLS.
    pub fn peer_id(&self) -> Option<&str> {
        match &self.socket {
            Socket::Open(stream) => stream.peer_id(),
            _ => None,
        }
    }

    /// Bytes that wait for the peer.
    pub fn backlog(&self) -> usize {
        self.output.len()
    }

    /// Cuts the peer when a message is sent while more than `bytes` wait for it.
    pub fn set_backlog_limit(&mut self, bytes: usize) {
        self.backlog_limit = bytes;
    }

    /// Changes after how much silence (ms) the peer is probed; 0 is never.
    pub fn set_probe_interval(&mut self, ms: u64) {
        self.machine.set_probe_interval(ms);
    }

    /// Changes the longest wait (ms) between attempts.
    pub fn set_max_backoff(&mut self, ms: u64) {
        self.machine.set_max_backoff(ms);
    }

    /// Has logs say on whose behalf the peer is called.
    pub fn set_prefix(&mut self, prefix: &str) {
        self.machine.set_name(format!("{prefix}{}", self.machine.name()));
        prefix.clone_into(&mut self.prefix);
    }

    /// Has `observer` told where the connection stands, also between events.
    pub fn observe(&mut self, observer: Observer) {
        observer(&self.machine);
        self.observer = Some(observer);
    }

    /// Cuts the connection; a dialled one is made anew.
    pub fn force_reconnect(&mut self) {
        self.machine.force_reconnect(self.clock.now_ms());
    }

    /// Queues bytes for the peer; `next` or `flush` writes them. Dropped while not connected.
    pub fn send(&mut self, bytes: &[u8]) {
        if !self.is_connected() {
            return;
        }
        if self.output.len() > self.backlog_limit {
            log::warn!(target: C::LOG_TARGET, "{}: send queue is full, disconnecting", self.name());
            self.end(&Cause::Error("No buffer space available".to_owned()));
            return;
        }
        self.output.extend(bytes);
    }

    /// Waits until all queued bytes are written, or the connection is lost.
    pub async fn flush(&mut self) {
        while self.is_connected() && !self.output.is_empty() {
            let Err(error) = poll_fn(|context| self.poll_write(context)).await else { break };
            self.end_by_error("send", &error);
        }
    }

    /// The next event; `None` when the link is over: an accepted connection that was lost, or no tries left.
    pub async fn next(&mut self) -> Option<Event<C::Item>> {
        loop {
            self.report();
            if let Some(event) = self.pending.take() {
                return Some(event);
            }
            match self.decode() {
                Ok(Some(message)) => return Some(Event::Message(message)),
                Ok(None) => {}
                Err(text) => self.end_by_nonsense(&text).await,
            }
            if self.pending.is_some() {
                continue;
            }
            if self.machine.state() == State::Void {
                return None;
            }
            if let Some(action) = self.machine.run(self.clock.now_ms()) {
                if self.act(action) {
                    return Some(Event::Probe);
                }
                continue;
            }
            let clock = self.clock.clone();
            let deadline = self.machine.deadline();
            tokio::select! {
                biased;
                outcome = poll_fn(|context| self.poll_socket(context)) => self.conclude(outcome),
                () = clock.sleep_until_some(deadline) => {}
            }
        }
    }

    /// Does what the machine says; whether it was a probe.
    fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Probe => {
                self.report();
                true
            }
            Action::Disconnect => {
                self.end(&Cause::Commanded);
                false
            }
            Action::Connect => {
                self.begin_attempt();
                false
            }
        }
    }

    fn begin_attempt(&mut self) {
        let now = self.clock.now_ms();
        let Target::Names(names, next, default_port) = &mut self.target else { return };
        let name = names.get(*next).cloned().unwrap_or_default();
        *next = (*next + 1) % names.len().max(1);
        let port = *default_port;
        self.machine.set_name(format!("{}{name}", self.prefix));
        self.machine.connecting(now);
        if is_passive(&name) {
            match Passive::parse(&name, port).map_err(io::Error::from).and_then(|p| Listener::bind(&p)) {
                Ok(listener) => {
                    self.machine.listening(now);
                    self.socket = Socket::Attempt(Box::pin(async move { listener.accept().await }));
                }
                Err(error) => self.machine.disconnected(now, &Cause::Error(error_text(&error))),
            }
            return;
        }
        match Active::parse(&name, port) {
            Ok(active) => {
                self.socket = Socket::Attempt(Box::pin(async move { Stream::connect(&active, &name).await }));
            }
            Err(error) => {
                let error = Cause::Error(error_text(&error.into()));
                self.machine.disconnected(now, &error);
            }
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        let now = self.clock.now_ms();
        match outcome {
            Outcome::Connected(stream) => {
                if self.machine.config().passive {
                    self.machine.set_name(format!("{}{}", self.prefix, stream.name));
                }
                self.codec.reset();
                self.machine.connected(now);
                self.socket = Socket::Open(stream);
                self.pending = Some(Event::Connected);
            }
            Outcome::Failed(error) => self.end(&Cause::Error(error_text(&error))),
            Outcome::Received => self.machine.activity(now),
            Outcome::Closed => self.end(&Cause::Closed),
            Outcome::ReceiveError(error) => self.end_by_error("receive", &error),
            Outcome::SendError(error) => self.end_by_error("send", &error),
            Outcome::Written => {}
        }
    }

    fn end_by_error(&mut self, direction: &str, error: &io::Error) {
        let text = error_text(error);
        log::warn!(target: C::LOG_TARGET, "{}: {direction} error: {text}", self.name());
        self.end(&Cause::Error(text));
    }

    /// Ends the connection or the attempt.
    fn end(&mut self, cause: &Cause) {
        if self.is_connected() {
            self.pending = Some(Event::Disconnected);
        }
        self.socket = Socket::None;
        self.unread = 0..0;
        self.output.clear();
        self.machine.disconnected(self.clock.now_ms(), cause);
        self.report();
    }

    /// Ends a connection whose peer sent what is no message. Answers to what came before still go, as far as the socket takes them.
    async fn end_by_nonsense(&mut self, text: &str) {
        log::warn!(target: C::LOG_TARGET, "{}: {text}", self.name());
        poll_fn(|context| {
            let _ = self.poll_write(context);
            Poll::Ready(())
        })
        .await;
        self.end(&Cause::Error("Protocol error".to_owned()));
    }

    /// The next message in what was read.
    fn decode(&mut self) -> Result<Option<C::Item>, String> {
        if self.unread.is_empty() {
            return Ok(None);
        }
        let (taken, message) = self.codec.decode(&self.input[self.unread.clone()])?;
        self.unread.start += taken;
        if let Some(message) = &message {
            self.codec.received(self.name(), message);
        }
        Ok(message)
    }

    /// Logs what the machine says, and tells the observer where it stands.
    fn report(&mut self) {
        if let Some(observer) = &self.observer {
            observer(&self.machine);
        }
        let wording = self.machine.config().wording;
        for (level, line) in self.machine.take_log() {
            if wording != Wording::Silent {
                log::log!(target: wording.module(), level, "{line}");
            }
        }
    }

    /// Makes progress with the socket, writing before reading.
    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.socket {
            Socket::None => Poll::Pending,
            Socket::Attempt(attempt) => Poll::Ready(match ready!(attempt.as_mut().poll(context)) {
                Ok(stream) => Outcome::Connected(stream),
                Err(error) => Outcome::Failed(error),
            }),
            Socket::Open(_) => {
                let wrote = !self.output.is_empty();
                match self.poll_write(context) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Outcome::SendError(error)),
                    // The deadlines may have moved while bytes waited.
                    Poll::Ready(Ok(())) if wrote => return Poll::Ready(Outcome::Written),
                    _ => {}
                }
                self.poll_read(context)
            }
        }
    }

    /// Writes all of the output; ready when it is empty.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Socket::Open(stream) = &mut self.socket else { return Poll::Ready(Ok(())) };
        while !self.output.is_empty() {
            let (front, _) = self.output.as_slices();
            let count = ready!(Pin::new(&mut stream.io).poll_write(context, front))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.drain(..count);
        }
        // A burst must not pin its memory for the connection's life.
        self.output.shrink_to(READ_SIZE);
        Pin::new(&mut stream.io).poll_flush(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        let Socket::Open(stream) = &mut self.socket else { return Poll::Pending };
        // Everything read before has been decoded: `next` reads only when the codec wants more.
        self.input.resize(READ_SIZE, 0);
        let mut buffer = ReadBuf::new(&mut self.input);
        let polled = Pin::new(&mut stream.io).poll_read(context, &mut buffer);
        let count = buffer.filled().len();
        self.unread = 0..count;
        match ready!(polled) {
            Err(error) => Poll::Ready(Outcome::ReceiveError(error)),
            Ok(()) if count == 0 => Poll::Ready(Outcome::Closed),
            Ok(()) => Poll::Ready(Outcome::Received),
        }
    }
}

/// What the socket did.
enum Outcome {
    Connected(Stream),
    Failed(io::Error),
    Received,
    Closed,
    ReceiveError(io::Error),
    SendError(io::Error),
    Written,
}
