//! Recording: events get numbers and times, and go onto tapes.
//!
//! Where it sits: `socket` wraps what it opens in `Recorded` and tells of listeners' peers; `clock` tells of timers.
//!
//! I1  After an event no other is taken until the program's tasks are done with it, as in a replay: so their order is the same there.
//! I2  A stream whose end the program did not hear of, because it closed it itself or could not write, ends on its tape where the
//!     program dropped it.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::tape::{self, Outcome, errno_of};
use super::{TIME, describe, name_of_listener, path_of};
use crate::Clock;
use crate::name::Passive;
use crate::socket::{Duplex, Stream, error_text};
use crate::tls::PeerId;

/// Numbers events and keeps the tapes.
#[derive(Debug)]
pub(crate) struct Recorder {
    folder: PathBuf,
    clock: Clock,
    events: Mutex<Events>,
    /// Told of each event.
    happened: Notify,
}

#[derive(Debug, Default)]
struct Events {
    next: u32,
    /// Whether the program is at work on the last event (I1).
    at_work: bool,
    /// Who waits until it is.
    waiters: Vec<Waker>,
    /// Made with the first event, so that a folder that is missing is noticed where it is first needed.
    times: Option<File>,
}

/// The tape of one source.
#[derive(Debug)]
pub(crate) struct Recording(File);

impl Recorder {
    pub(super) fn new(folder: PathBuf) -> Recorder {
        Recorder { folder, clock: Clock::held(), events: Mutex::default(), happened: Notify::new() }
    }

    /// Lets the program take an event whenever it is done with the last one; never ends.
    pub(super) async fn run(&self) {
        loop {
            self.happened.notified().await;
            let mut last = None;
            while last != Some(self.lock().next) {
                last = Some(self.lock().next);
                self.clock.settle().await;
            }
            let waiters = {
                let mut events = self.lock();
                events.at_work = false;
                std::mem::take(&mut events.waiters)
            };
            waiters.into_iter().for_each(Waker::wake);
        }
    }

    /// Ready when the program may take an event.
    fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut events = self.lock();
        if !events.at_work {
            return Poll::Ready(());
        }
        if !events.waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            events.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until the program may take an event.
    pub(super) async fn turn(&self) {
        poll_fn(|cx| self.poll_turn(cx)).await;
    }

    /// What `event` comes to, not before the program may take it.
    pub(crate) async fn take<F: Future>(&self, event: F) -> F::Output {
        let mut event = pin!(event);
        poll_fn(|cx| {
            ready!(self.poll_turn(cx));
            event.as_mut().poll(cx)
        })
        .await
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Begins the tape of a source with what came of opening it.
    pub(super) fn open(&self, name: &str, outcome: Outcome<&[u8]>) -> io::Result<Recording> {
        let mut events = self.lock();
        let path = path_of(&self.folder, name, events.next);
        let file = File::create(&path).inspect_err(|error| {
            log::error!(target: "ovs_replay", "{}: fopen failed: {}", path.display(), error_text(error));
        })?;
        let mut recording = Recording(file);
        self.write(&mut events, Some(&mut recording), outcome);
        Ok(recording)
    }

    /// Records what came of listening: the port, if there is one.
    pub(crate) fn listens(
        &self,
        target: &Passive,
        port: Result<Option<u16>, &io::Error>,
    ) -> io::Result<Recording> {
        let port = port.map(|port| port.map(u16::to_ne_bytes)).map_err(errno_of);
        let port = port.as_ref().map(|port| port.as_ref().map_or(&[][..], <[u8; 2]>::as_slice));
        self.open(&name_of_listener(target), port.map_err(|error| *error))
    }

    /// Records what came of dialling, and from then on what the peer sends.
    pub(crate) fn dialled(&'static self, name: &str, outcome: io::Result<Stream>) -> io::Result<Stream> {
        let opened = outcome.as_ref().map(describe).map_err(errno_of);
        let tape = self.open(name, opened.as_ref().map(String::as_bytes).map_err(|error| *error));
        let tape = tape.inspect_err(|_| {
            log::error!(target: "stream_replay", "{name}: failed to open replay file for stream.");
        })?;
        Ok(self.wrap(outcome?, tape))
    }

    /// Records who was accepted, and from then on what it sends.
    pub(crate) fn accepted(
        &'static self,
        listener: &mut Recording,
        outcome: io::Result<Stream>,
    ) -> io::Result<Stream> {
        let name = outcome.as_ref().map(|stream| stream.name.as_bytes()).map_err(errno_of);
        self.note(listener, name);
        let stream = outcome?;
        let tape = self.open(&stream.name, Ok(describe(&stream).as_bytes()))?;
        Ok(self.wrap(stream, tape))
    }

    fn wrap(&'static self, stream: Stream, tape: Recording) -> Stream {
        let (io, peer) = (stream.io, stream.peer.clone());
        let io = Recorded { recorder: self, tape, io, peer, ended: false };
        Stream { io: Box::new(io), ..stream }
    }

    /// Records what came from a source.
    fn note(&self, source: &mut Recording, outcome: Outcome<&[u8]>) {
        self.write(&mut self.lock(), Some(source), outcome);
    }

    pub(super) fn tick(&self) {
        self.write(&mut self.lock(), None, Ok(&[]));
    }

    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an event, of a source or of none, and moves the clock to it.
    fn write(&self, events: &mut Events, source: Option<&mut Recording>, outcome: Outcome<&[u8]>) {
        let number = events.next;
        events.next += 1;
        events.at_work = true;
        self.happened.notify_one();
        let (now_ns, wall_ms) = Clock::of_the_system();
        let written = self.times(events).and_then(|times| {
            let moment = [now_ns.to_ne_bytes(), wall_ms.to_ne_bytes()].concat();
            tape::write(times, number, Ok(&moment))?;
            source.map_or(Ok(()), |source| tape::write(&mut source.0, number, outcome))
        });
        if let Err(error) = written {
            log::error!(target: "ovs_replay@1", "failed to record: {}", error_text(&error));
        }
        self.clock.hold_at(now_ns, wall_ms);
    }

    fn times<'e>(&self, events: &'e mut Events) -> io::Result<&'e mut File> {
        match &mut events.times {
            Some(times) => Ok(times),
            none => Ok(none.insert(File::create(path_of(&self.folder, TIME, 0))?)),
        }
    }
}

/// A stream whose bytes are recorded as the program reads them.
struct Recorded {
    recorder: &'static Recorder,
    tape: Recording,
    io: Box<dyn Duplex>,
    /// The peer's name over TLS, until it is recorded.
    peer: Option<PeerId>,
    /// Whether the program has heard of the end.
    ended: bool,
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.recorder.poll_turn(cx));
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut this.io).poll_read(cx, buf));
        if let Some(peer) = this.peer.take() {
            let name = peer.get().map_or("", String::as_str);
            this.recorder.note(&mut this.tape, Ok(name.as_bytes()));
        }
        let data = &buf.filled()[before..];
        this.ended = result.is_err() || data.is_empty();
        let outcome = result.as_ref().map(|()| data).map_err(errno_of);
        this.recorder.note(&mut this.tape, outcome);
        Poll::Ready(result)
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if !self.ended {
            self.recorder.note(&mut self.tape, Ok(&[])); // I2
        }
    }
}

/// The system's random numbers, recorded as the program takes them.
pub(super) struct Random {
    pub system: File,
    pub tape: Recording,
}

impl Read for Random {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.system.read(buf)?;
        if let Some(super::Journal::Record(recorder)) = super::journal() {
            recorder.note(&mut self.tape, Ok(&buf[..n]));
        }
        Ok(n)
    }
}
