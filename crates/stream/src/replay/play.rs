//! Playing: events come in the order of the recording, when the program is done with what came before.
//!
//! Where it sits: `socket` makes its streams and listeners of `Reel`s; `play` in this module's parent is run beside the program.
//!
//! ~~~text
//! run: the next event ──► its reel is told ──► the program takes the entry (the clock moves) ──► its tasks settle ──► the next
//! ~~~
//! What the program takes without waiting (random numbers, the result of listening) it takes by itself, and `run` finds it taken.
//!
//! I1  At most one event is on offer, so the program takes them in order.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tape::{self, Entry, Outcome};
use super::{TIME, described, name_of_listener, path_of};
use crate::Clock;
use crate::name::Passive;
use crate::socket::Stream;
use crate::tls::PeerId;

/// How often the program's tasks get their turn before an event that none of them takes is passed over.
const PATIENCE: usize = 8;

/// The moment of an event.
#[derive(Clone, Copy, Debug)]
struct Moment {
    number: u32,
    now_ns: u64,
    wall_ms: u64,
}

/// Plays a recording.
#[derive(Debug)]
pub(crate) struct Player {
    folder: PathBuf,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Of all events that are still to come.
    moments: VecDeque<Moment>,
    tapes: Vec<Tape>,
    /// The event that may be taken.
    offered: Option<u32>,
}

#[derive(Debug)]
struct Tape {
    /// The file's name without its number.
    name: String,
    first: u32,
    entries: VecDeque<Entry>,
    standing: Standing,
    /// Who waits for the next entry.
    waiter: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unopened,
    Open,
    Dropped,
}

impl Player {
    /// Reads all tapes. If there are none, that is said when the first is wanted.
    pub(super) fn new(folder: PathBuf) -> Player {
        let mut state = State::default();
        for file in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let parts = name.strip_prefix("replay_").and_then(|rest| rest.rsplit_once('_'));
            let Some((name, Ok(first))) = parts.map(|(name, first)| (name.to_owned(), first.parse())) else {
                continue;
            };
            let entries = tape::read(&std::fs::read(file.path()).unwrap_or_default());
            if name == super::letters_of(TIME) {
                state.moments.extend(entries.iter().filter_map(moment));
            } else {
                let (entries, standing) = (entries.into(), Standing::Unopened);
                state.tapes.push(Tape { name, first, entries, standing, waiter: None });
            }
        }
        state.tapes.sort_by_key(|tape| tape.first);
        let clock = Clock::stopped_at(0);
        if let Some(first) = state.moments.front() {
            clock.hold_at(first.now_ns, first.wall_ms);
        }
        Player { folder, clock, state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of listening: the peers to come, and the port.
    pub(crate) fn listen(&'static self, target: &Passive) -> io::Result<(Reel, Option<u16>)> {
        let (reel, port) = self.open_now(&name_of_listener(target))?;
        Ok((reel, port.try_into().ok().map(u16::from_ne_bytes)))
    }

    /// What came of dialling, when its turn has come.
    pub(crate) async fn dial(&'static self, name: &str) -> io::Result<Stream> {
        let reel = self.reel(name).inspect_err(|_| {
            log::error!(target: "stream_replay", "{name}: failed to open stream.");
        })?;
        let (_, opened) = std::future::poll_fn(|cx| reel.poll_next(cx)).await;
        Ok(reel.stream(name.to_owned(), &opened?))
    }

    /// The next tape of this name, which nobody has opened.
    fn reel(&'static self, name: &str) -> io::Result<Reel> {
        let letters = super::letters_of(name);
        let mut state = self.lock();
        let unopened = |tape: &Tape| tape.standing == Standing::Unopened && tape.name == letters;
        let Some(at) = state.tapes.iter().position(unopened) else {
            let next = state.moments.front().map_or(0, |moment| moment.number);
            let path = path_of(&self.folder, name, next);
            let error = io::Error::from(Errno::NOENT);
            log::error!(target: "ovs_replay", "{}: fopen failed: {}", path.display(), crate::error_text(&error));
            return Err(error);
        };
        state.tapes[at].standing = Standing::Open;
        Ok(Reel { player: self, at })
    }

    /// The same, with what came of opening the source, which the program does without waiting.
    pub(super) fn open_now(&'static self, name: &str) -> io::Result<(Reel, Vec<u8>)> {
        let reel = self.reel(name)?;
        let outcome = self.take(&mut self.lock(), reel.at);
        Ok((reel, outcome.unwrap_or(Err(Errno::NOENT))?))
    }

    /// The stream of the peer that event `number` brought.
    fn accepted(&'static self, number: u32) -> io::Result<(Reel, Vec<u8>)> {
        let mut state = self.lock();
        let at = state.tapes.iter().position(|tape| tape.first == number + 1).ok_or(Errno::NOENT)?;
        state.tapes[at].standing = Standing::Open;
        let outcome = self.take(&mut state, at).unwrap_or(Err(Errno::NOENT));
        drop(state);
        Ok((Reel { player: self, at }, outcome?))
    }

    /// Takes the next entry of a tape, and moves the clock to it.
    fn take(&self, state: &mut State, at: usize) -> Option<Outcome<Vec<u8>>> {
        let entry = state.tapes[at].entries.pop_front()?;
        if state.offered == Some(entry.number) {
            state.offered = None;
        }
        while let Some(moment) = state.moments.pop_front_if(|moment| moment.number <= entry.number) {
            self.clock.hold_at(moment.now_ns, moment.wall_ms);
        }
        Some(entry.outcome)
    }

    /// Offers event after event.
    pub(super) async fn run(&self) {
        let mut patience = PATIENCE;
        loop {
            self.clock.settle().await;
            match self.offer() {
                Offered::Nothing => return,
                Offered::Waiting if patience > 0 => patience -= 1,
                Offered::Waiting => self.pass_over(),
                Offered::New => patience = PATIENCE,
            }
        }
    }

    /// Offers the next event if the last was taken.
    fn offer(&self) -> Offered {
        let mut state = self.lock();
        let Some(&next) = state.moments.front() else { return Offered::Nothing };
        if state.offered == Some(next.number) {
            return Offered::Waiting;
        }
        let of = |tape: &Tape| tape.entries.front().is_some_and(|entry| entry.number == next.number);
        let source = state.tapes.iter_mut().find(|tape| of(tape));
        match source {
            Some(tape) if tape.standing != Standing::Dropped => {
                let waiter = tape.waiter.take();
                state.offered = Some(next.number);
                drop(state);
                if let Some(waiter) = waiter {
                    waiter.wake();
                }
            }
            // A timer, or a source that the program has no more: only time passes.
            source => {
                source.map(|tape| tape.entries.pop_front());
                state.moments.pop_front();
                self.clock.hold_at(next.now_ns, next.wall_ms);
            }
        }
        Offered::New
    }

    fn pass_over(&self) {
        let mut state = self.lock();
        let Some(number) = state.offered.take() else { return };
        state.moments.pop_front();
        for tape in &mut state.tapes {
            if tape.entries.pop_front_if(|entry| entry.number == number).is_some() {
                log::warn!(target: "ovs_replay", "nothing takes event {number} of {}", tape.name);
            }
        }
    }
}

enum Offered {
    /// The recording is over.
    Nothing,
    /// Another event, which is to be taken, or was one of no source.
    New,
    /// The same as before: nobody has taken it.
    Waiting,
}

fn moment(entry: &Entry) -> Option<Moment> {
    let (now_ns, rest) = entry.outcome.as_ref().ok()?.split_first_chunk()?;
    let wall_ms = rest.first_chunk()?;
    Some(Moment {
        number: entry.number,
        now_ns: u64::from_ne_bytes(*now_ns),
        wall_ms: u64::from_ne_bytes(*wall_ms),
    })
}

/// A tape that is being played.
#[derive(Debug)]
pub(crate) struct Reel {
    player: &'static Player,
    at: usize,
}

impl Reel {
    /// The next entry with its number, when its turn has come.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<(u32, Outcome<Vec<u8>>)> {
        let mut state = self.player.lock();
        let next = state.tapes[self.at].entries.front().map(|entry| entry.number);
        match next.filter(|number| state.offered == Some(*number)) {
            Some(number) => {
                let outcome = self.player.take(&mut state, self.at);
                Poll::Ready((number, outcome.unwrap_or(Ok(Vec::new()))))
            }
            None => {
                state.tapes[self.at].waiter = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next peer of a listener.
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        let (number, name) = std::future::poll_fn(|cx| self.poll_next(cx)).await;
        let name = String::from_utf8_lossy(&name?).into_owned();
        let (reel, opened) = self.player.accepted(number)?;
        Ok(reel.stream(name, &opened))
    }

    /// The stream that it is, of which the first entry has told this.
    fn stream(self, name: String, opened: &[u8]) -> Stream {
        let (encrypted, addresses) = described(opened);
        let peer = encrypted.then(PeerId::default);
        let io = Replayed { reel: self, rest: VecDeque::new(), peer: peer.clone() };
        Stream { name, io: Box::new(io), addresses, peer }
    }
}

impl Drop for Reel {
    fn drop(&mut self) {
        self.player.lock().tapes[self.at].standing = Standing::Dropped;
    }
}

/// A stream of which a tape has the bytes.
struct Replayed {
    reel: Reel,
    /// Of what was taken, the bytes that the program has not read yet.
    rest: VecDeque<u8>,
    /// The peer's name over TLS, until it has come.
    peer: Option<PeerId>,
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            if let Some(peer) = &self.peer {
                let (_, name) = ready!(self.reel.poll_next(cx));
                let name = name.unwrap_or_default();
                if !name.is_empty() {
                    let _ = peer.set(String::from_utf8_lossy(&name).into_owned());
                }
                self.peer = None;
            }
            let (_, data) = ready!(self.reel.poll_next(cx));
            self.rest.extend(data?);
        }
        let (front, _) = self.rest.as_slices();
        let n = front.len().min(buf.remaining());
        buf.put_slice(&front[..n]);
        self.rest.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The random numbers of a recording.
pub(super) struct Random(pub Reel);

impl Read for Random {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Random(Reel { player, at }) = self;
        let entry = player.take(&mut player.lock(), *at);
        // A program that goes another way may want more of them than there are.
        let Some(Ok(data)) = entry else { return std::fs::File::open("/dev/urandom")?.read(buf) };
        let n = data.len().min(buf.len());
        buf[..n].copy_from_slice(&data[..n]);
        Ok(n)
    }
}
