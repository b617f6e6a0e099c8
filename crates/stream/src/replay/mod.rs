//! What a process is told from outside, recorded and played again.
//!
//! Where it sits: `socket` passes every connection through it, `clock` the moments at which timers end, programs their random numbers.
//! Programs turn it on by `--record` and `--replay` before they open anything.
//!
//! ~~~text
//! record: socket, timer, random number ──► event: its number and time ──► a tape (file) for each source ──► the program
//! replay:               tapes ──► events in their order, each at its time, when what came before is done ──► the program
//! ~~~
//! I1  Each event has a number, one more than the last. Time stands still from one event to the next, in both modes, so that what the
//!     program does with an event depends on nothing else, the dates of commits included.
//! I2  In a replay no socket is opened, and what the program writes goes nowhere.
//! I3  Where a replay goes another way, because its files or options are others, events that nobody takes are passed over.
//!
//! A tape is a file `replay_NAME_NUMBER` of entries: the event's number and the length of what follows (or the error, negative), 32 bits
//! each, in the machine's order. Names, form and meaning are those of Open vSwitch; its event numbers count other things, and it has no
//! tape of times, so neither program plays what the other has recorded.
//!
//! Spec: ovsdb-server(1) "--record", "--replay". Reading order: `tape`, `record`, `play`.

mod play;
mod record;
mod tape;

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::name::Passive;
use crate::socket::Addresses;
use crate::{Clock, Stream, dirs};

pub(crate) use play::{Player, Reel};
pub(crate) use record::{Recorder, Recording};

/// The tape of the moments of all events.
const TIME: &str = "__time";
/// The tape of random numbers.
const RANDOM: &str = "__uuid_generate";

/// Where events come from or go to.
#[derive(Debug)]
pub(crate) enum Journal {
    Record(Recorder),
    Replay(Player),
}

static JOURNAL: OnceLock<Journal> = OnceLock::new();

/// What `--record` and `--replay` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What comes from outside is recorded.
    Record,
    /// What was recorded comes instead of it.
    Replay,
}

impl Mode {
    /// The mode that the option `name` turns on.
    pub fn of_option(name: &str) -> Option<Mode> {
        match name {
            "record" => Some(Mode::Record),
            "replay" => Some(Mode::Replay),
            _ => None,
        }
    }
}

/// Records into, or plays from, a folder: `folder` itself if it is absolute, else that of the run folder. Says whether it does: only the
/// first time in a process.
pub fn begin(mode: Mode, folder: Option<&str>) -> bool {
    let folder = dirs::in_folder(dirs::rundir(), folder.unwrap_or_default());
    // The process may be in another folder when it needs it.
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let journal = match mode {
        Mode::Record => Journal::Record(Recorder::new(folder)),
        Mode::Replay => Journal::Replay(Player::new(folder)),
    };
    JOURNAL.set(journal).is_ok()
}

pub(crate) fn journal() -> Option<&'static Journal> {
    JOURNAL.get()
}

/// The clock of this process, which events move where they are recorded or played.
pub fn clock() -> Clock {
    match journal() {
        Some(Journal::Record(recorder)) => recorder.clock().clone(),
        Some(Journal::Replay(player)) => player.clock().clone(),
        None => Clock::new(),
    }
}

/// Plays what was recorded, event by event, or keeps events apart while they are recorded; never ends. A process with `clock` runs it
/// beside its work.
pub async fn play() -> Infallible {
    match journal() {
        Some(Journal::Record(recorder)) => recorder.run().await,
        Some(Journal::Replay(player)) => player.run().await,
        None => {}
    }
    std::future::pending().await
}

/// Random bytes without end: the system's, or those of the recording.
pub fn random() -> io::Result<Box<dyn Read>> {
    let system = || File::open("/dev/urandom");
    Ok(match journal() {
        None => Box::new(system()?),
        Some(Journal::Record(recorder)) => {
            Box::new(record::Random { system: system()?, tape: recorder.open(RANDOM, Ok(&[]))? })
        }
        Some(Journal::Replay(player)) => Box::new(play::Random(player.open_now(RANDOM)?.0)),
    })
}

/// A timer that is to end at `ns` has: if that is later than the last event, it is an event too, which `clock` comes to.
pub(crate) async fn note_timer(clock: &Clock, ns: u64) {
    if let Some(Journal::Record(recorder)) = journal() {
        recorder.turn().await;
        if clock.now_ns() < ns {
            recorder.tick();
        }
    }
}

/// What the tape of a listener is called.
fn name_of_listener(target: &Passive) -> String {
    match target {
        Passive::Unix(path) => {
            let short = path.strip_prefix(dirs::rundir()).unwrap_or(path);
            format!("punix:{}", short.display())
        }
        Passive::Tcp(..) => "ptcp".to_owned(),
        Passive::Tls(..) => "pssl".to_owned(),
    }
}

/// What the first entry of a stream's tape tells: whether it is encrypted, and both ends' addresses.
fn describe(stream: &Stream) -> String {
    let addresses = stream.addresses.map(|Addresses { local, peer }| format!(" {local} {peer}"));
    let kind = if stream.peer.is_some() { "ssl" } else { "" };
    format!("{kind}{}", addresses.unwrap_or_default())
}

/// The other way round: whether it is encrypted, and the addresses.
fn described(text: &[u8]) -> (bool, Option<Addresses>) {
    let text = String::from_utf8_lossy(text);
    let mut words = text.split(' ');
    let encrypted = words.next() == Some("ssl");
    let mut address = || words.next()?.parse().ok();
    let addresses = address().zip(address());
    (encrypted, addresses.map(|(local, peer)| Addresses { local, peer }))
}

/// The file of the tape that begins with event `number`.
fn path_of(folder: &Path, name: &str, number: u32) -> PathBuf {
    folder.join(format!("replay_{}_{number}", letters_of(name)))
}

/// A source's name as files have it: letters, with a line for what is between them.
fn letters_of(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' => out.push(c),
            _ if out.ends_with('_') => {}
            _ => out.push('_'),
        }
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

#[cfg(test)]
mod tests;
