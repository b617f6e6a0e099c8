//! How a thread spends the time between packets: it looks for the next a moment before it sleeps, and where they come fast it
//! lets some gather.
//!
//! Where it sits: asked by the threads of `poller` and `pmd` in each turn.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use packet::BATCH;

/// Makes short waits of the calling thread short.
pub(crate) fn wait_exactly() {
    if let Err(e) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1000)) {
        log::debug!(target: "dpif_netdev", "waits may be longer than asked for ({e})");
    }
}

/// Whether it is worth to look for packets before sleeping: it is if the last wait was a short one, until some looks one after the
/// other were in vain. One that is late among many that are not changes nothing, and nobody looks for packets that come seldom.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    /// Looks that may yet be in vain.
    looks: u32,
}

/// How long one looks: a wait that is shorter would have been over before one had slept and been woken.
const LOOK: Duration = Duration::from_micros(50);
/// Looks in vain, one after the other, that are enough.
const LOOKS: u32 = 4;

impl Lookout {
    /// Waits by asking `wait` again and again: it waits so long at most, for ever without a limit, and says how many events
    /// there are. `passed` is the time since the call.
    pub(crate) fn wait<E>(
        &mut self,
        mut wait: impl FnMut(Option<Duration>) -> Result<usize, E>,
        limit: Option<Duration>,
        passed: impl Fn() -> Duration,
    ) -> Result<usize, E> {
        if self.looks != 0 {
            let time = limit.map_or(LOOK, |limit| limit.min(LOOK));
            while passed() < time {
                match wait(Some(Duration::ZERO))? {
                    0 => {}
                    n => {
                        self.looks = LOOKS;
                        return Ok(n);
                    }
                }
            }
            self.looks -= 1;
        }
        let n = wait(limit)?;
        if n != 0 && passed() < LOOK {
            self.looks = LOOKS;
        }
        Ok(n)
    }
}

/// Packets that come so soon after each other are gathered: what a turn costs, whether it has one packet or thirty, is shared then.
const DENSE: Duration = Duration::from_micros(2);
/// How long they are gathered. A receive queue holds what comes in thirty times as long.
pub(crate) const GATHER: Duration = Duration::from_micros(30);
/// Turns over which the pace is taken.
const PACE_TURNS: u32 = 64;

/// Whether packets come so fast, in turns of few, that it pays to wait for more of them.
#[derive(Debug)]
pub(crate) struct Pace {
    since: Instant,
    turns: u32,
    packets: u32,
    gathers: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Pace {
        Pace { since: now, turns: 0, packets: 0, gathers: false }
    }

    /// A turn had so many packets; true if the next is to begin [`GATHER`] later.
    pub(crate) fn turn(&mut self, packets: usize, now: impl FnOnce() -> Instant) -> bool {
        // Poll-mode threads have many turns without packets between two that have some.
        if packets == 0 && !self.gathers {
            return false;
        }
        self.turns += 1;
        self.packets = self.packets.saturating_add(packets as u32);
        if self.turns == PACE_TURNS {
            let now = now();
            self.gathers = now.duration_since(self.since) <= DENSE * self.packets;
            (self.since, self.turns, self.packets) = (now, 0, 0);
        }
        self.gathers && packets < BATCH
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    /// Waits once, if the next packet comes after so many microseconds and each question takes one; how often it was asked,
    /// and whether one slept.
    fn wait(lookout: &mut Lookout, comes_after: u64, limit: Option<u64>) -> (usize, bool) {
        let (now, asked, slept) = (Cell::new(0), Cell::new(0), Cell::new(false));
        let ask = |limit: Option<Duration>| -> Result<usize, Infallible> {
            asked.set(asked.get() + 1);
            if limit == Some(Duration::ZERO) {
                now.set(now.get() + 1);
                return Ok(usize::from(now.get() >= comes_after));
            }
            slept.set(true);
            let until = limit.map_or(u64::MAX, |limit| now.get() + limit.as_micros() as u64);
            now.set(until.min(comes_after.max(now.get())));
            Ok(usize::from(now.get() >= comes_after))
        };
        let limit = limit.map(Duration::from_micros);
        let Ok(_) = lookout.wait(ask, limit, || Duration::from_micros(now.get()));
        (asked.get(), slept.get())
    }

    #[test]
    fn packets_are_gathered_while_they_come_fast_and_turns_have_few() {
        let now = Cell::new(Instant::now());
        let mut pace = Pace::new(now.get());
        let mut turns = |packets: usize, micros: u64| {
            let all = (0..2 * PACE_TURNS).map(|_| {
                now.set(now.get() + Duration::from_micros(micros));
                pace.turn(packets, || now.get())
            });
            all.last()
        };
        assert_eq!(turns(1, 1), Some(true));
        assert_eq!(turns(10, 30), Some(false), "too slow to be worth it");
        assert_eq!(turns(10, 20), Some(true));
        assert_eq!(turns(BATCH, 20), Some(false), "there are enough");
        assert_eq!(turns(BATCH - 1, 20), Some(true));
        assert_eq!(turns(0, 50), Some(false), "nobody waits for long for what does not come");
        assert_eq!(turns(1, 1), Some(true));
    }

    #[test]
    fn packets_that_follow_soon_are_looked_for_and_others_slept_for() {
        let mut lookout = Lookout::default();
        assert_eq!(wait(&mut lookout, 1_000_000, None), (1, true), "nobody looks first");
        assert_eq!(wait(&mut lookout, 20, None), (1, true), "but that was soon");
        for _ in 0..3 {
            assert_eq!(wait(&mut lookout, 20, None), (20, false), "so the next is seen as it comes");
        }
        assert_eq!(wait(&mut lookout, 70, None), (51, true), "one that is late");
        assert_eq!(wait(&mut lookout, 20, None), (20, false), "changes nothing");
        let looks: Vec<usize> = (0..6).map(|_| wait(&mut lookout, 1_000_000, None).0).collect();
        assert_eq!(looks, [51, 51, 51, 51, 1, 1], "in vain, a few times");
        assert_eq!(wait(&mut lookout, 20, None), (1, true));
        assert_eq!(wait(&mut lookout, 1000, Some(10)), (11, true), "never longer than one may wait");
    }
}
