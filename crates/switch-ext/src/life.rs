//! The life of a filter module as a declared machine, and the count of what is under way.
//!
//! Where it sits: looked at once for each call with packets, changed by NDIS's callbacks.
//!
//! State and count are one word, so that "paused and nothing under way" is seen by exactly one of the threads that bring
//! it about, and a packet that comes at the same instant is either counted before or refused after.
//!
//! Spec: NDIS filter module states and operations; a pause may not end before everything that the module originated is back.

use core::sync::atomic::{AtomicU32, Ordering};

/// States of a filter module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Attached, or paused later: packets are refused.
    Paused,
    /// Restarting: as paused, but requests of our own may be made.
    Restarting,
    /// Packets flow.
    Running,
    /// No new packets; those under way are being waited for.
    Pausing,
    /// Detached: over.
    Detached,
}

/// What happens to a filter module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// FilterRestart is called.
    Restart,
    /// It succeeds.
    Restarted,
    /// It fails.
    RestartFailed,
    /// FilterPause is called.
    Pause,
    /// Nothing is under way any more.
    Drained,
    /// FilterDetach is called.
    Detach,
}

impl State {
    /// Every state.
    pub const ALL: [State; 5] =
        [State::Paused, State::Restarting, State::Running, State::Pausing, State::Detached];

    /// The state after `event`; `None` if NDIS never lets it happen here.
    pub const fn after(self, event: Event) -> Option<State> {
        match (self, event) {
            (State::Paused, Event::Restart) => Some(State::Restarting),
            (State::Restarting, Event::Restarted) => Some(State::Running),
            (State::Restarting, Event::RestartFailed) => Some(State::Paused),
            (State::Running, Event::Pause) => Some(State::Pausing),
            (State::Pausing, Event::Drained) => Some(State::Paused),
            (State::Paused, Event::Detach) => Some(State::Detached),
            _ => None,
        }
    }

    const fn from_word(word: u32) -> State {
        match word >> SHIFT {
            0 => State::Paused,
            1 => State::Restarting,
            2 => State::Running,
            3 => State::Pausing,
            _ => State::Detached,
        }
    }
}

impl Event {
    /// Every event.
    pub const ALL: [Event; 6] =
        [Event::Restart, Event::Restarted, Event::RestartFailed, Event::Pause, Event::Drained, Event::Detach];
}

/// Where the state begins; below it is the count.
const SHIFT: u32 = 28;
const COUNT: u32 = (1 << SHIFT) - 1;

/// How a pause begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Nothing was under way: it is over.
    Done,
    /// It ends when what is under way is back.
    Pending,
}

/// A module's state, and how many things are under way: calls with packets, and packets of ours.
#[derive(Debug, Default)]
pub struct Life(AtomicU32);

impl Life {
    /// The state.
    pub fn state(&self) -> State {
        State::from_word(self.0.load(Ordering::Acquire))
    }

    /// Things under way.
    pub fn under_way(&self) -> u32 {
        self.0.load(Ordering::Acquire) & COUNT
    }

    /// Moves on; `None`, and no change, if `event` cannot happen in this state.
    pub fn handle(&self, event: Event) -> Option<State> {
        let moved = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let next = State::from_word(word).after(event)?;
            Some((next as u32) << SHIFT | word & COUNT)
        });
        moved.ok().and_then(|word| State::from_word(word).after(event))
    }

    /// Counts something as under way if the module runs. Each success needs one [`Life::leave`].
    #[must_use]
    pub fn enter(&self) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                (State::from_word(word) == State::Running).then(|| word.wrapping_add(1))
            })
            .is_ok()
    }

    /// Counts one more of what is under way, whatever the state: for those that are inside already.
    pub fn hold(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// One less is under way; true if that ended a pause, which the caller must then report.
    #[must_use]
    pub fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel);
        self.drained()
    }

    /// Begins a pause.
    pub fn pause(&self) -> Pause {
        if self.handle(Event::Pause).is_none() {
            return Pause::Done;
        }
        if self.drained() { Pause::Done } else { Pause::Pending }
    }

    /// Ends a pause if nothing is under way; true for the one caller that did.
    fn drained(&self) -> bool {
        let (pausing, paused) = ((State::Pausing as u32) << SHIFT, (State::Paused as u32) << SHIFT);
        self.0.compare_exchange(pausing, paused, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;

    #[test]
    fn states_by_events() {
        let mut table = String::from("| state |");
        Event::ALL.iter().for_each(|e| table += &format!(" {e:?} |"));
        table += "\n";
        for state in State::ALL {
            table += &format!("| {state:?} |");
            for event in Event::ALL {
                table += &state.after(event).map_or(" · |".into(), |next| format!(" {next:?} |"));
            }
            table += "\n";
        }
        testkit::golden("testdata/life.txt", &table);
    }

    #[test]
    fn a_pause_waits_for_what_is_under_way_and_ends_once() {
        let life = Life::default();
        assert!(!life.enter(), "paused");
        life.handle(Event::Restart).unwrap();
        life.handle(Event::Restarted).unwrap();
        assert!(life.enter());
        life.hold();
        assert_eq!(life.pause(), Pause::Pending);
        assert!(!life.enter(), "no new packets");
        assert!(!life.leave());
        assert!(life.leave(), "the last ends the pause");
        assert_eq!((life.state(), life.under_way()), (State::Paused, 0));
        assert_eq!(life.handle(Event::Detach), Some(State::Detached));
        assert_eq!(life.handle(Event::Restart), None);
    }

    #[test]
    fn an_idle_module_pauses_at_once() {
        let life = Life::default();
        life.handle(Event::Restart).unwrap();
        assert_eq!(life.handle(Event::RestartFailed), Some(State::Paused));
        life.handle(Event::Restart).unwrap();
        life.handle(Event::Restarted).unwrap();
        assert_eq!(life.pause(), Pause::Done);
    }

    #[test]
    fn whoever_races_one_ends_the_pause() {
        for _ in 0..200 {
            let life = Life::default();
            life.handle(Event::Restart).unwrap();
            life.handle(Event::Restarted).unwrap();
            let ends = std::thread::scope(|s| {
                let workers: Vec<_> = (0..3)
                    .map(|_| s.spawn(|| (0..50).filter(|_| life.enter() && life.leave()).count()))
                    .collect();
                let mine = usize::from(life.pause() == Pause::Done);
                mine + workers.into_iter().map(|w| w.join().unwrap()).sum::<usize>()
            });
            assert_eq!((ends, life.state()), (1, State::Paused));
        }
    }

    extern crate std;
    use std::vec::Vec;
}
