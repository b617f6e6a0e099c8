//! The polling thread: sleeps in epoll until a port has packets, and pumps them. Where packets have come soon after each other, it looks
//! for the next a moment before it sleeps, for being woken takes longer than that. Where they come faster than it is worth to
//! run for each, it lets some gather.
//!
//! Where it sits: started by `datapath_host`, one or a few; ports register their descriptors from outside, each at the
//! thread that its port's and its queue's numbers say.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use packet::{BATCH, OdpPort};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use crate::datapath_host::Shared;
use crate::perf::Perf;
use crate::ports::PortEntry;
use crate::pump::Pump;

/// What the waking descriptor says instead of a port's number.
const WAKE: u64 = u64::MAX;
/// Events of one turn.
const EVENTS: usize = 64;
/// Full batches that one queue may have in a turn.
const BATCHES: usize = 4;
/// Bits of a queue's number behind its port's.
const QUEUE_BITS: u32 = 16;

/// The descriptors that the thread waits for.
pub(crate) struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
    stop: AtomicBool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Poller { epoll, wake, stop: AtomicBool::new(false) })
    }

    /// Waits for the packets of a port's queue from now on, if it does not yet: whoever adds a port shows it first, and the
    /// thread may be woken in between.
    pub(crate) fn add(&self, port: &PortEntry, queue: usize) -> io::Result<()> {
        let data = EventData::new_u64(u64::from(port.number.0) << QUEUE_BITS | queue as u64);
        match port.with_fd(queue, |fd| epoll::add(&self.epoll, fd, data, EventFlags::IN)) {
            Some(Err(e)) if e != Errno::EXIST => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Does not wait for a queue's packets any more; its descriptor may outlive the port in other hands.
    pub(crate) fn remove(&self, port: &PortEntry, queue: usize) {
        // A descriptor that is not registered any more is none the less not waited for.
        port.with_fd(queue, |fd| epoll::delete(&self.epoll, fd).ok());
    }

    /// Makes the thread look at every port once: a device may have returned under a port's name.
    pub(crate) fn wake(&self) {
        // An eventfd that takes no more is readable as it is.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Lets a thread run.
    pub(crate) fn go(&self) {
        self.stop.store(false, Ordering::Release);
    }

    /// Makes the thread end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    fn woken(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
    }
}

impl PartialEq for Poller {
    fn eq(&self, other: &Poller) -> bool {
        std::ptr::eq(self, other)
    }
}

/// How long it is worth to look for packets before sleeping: a moment, if the last wait was shorter than that. Each look in vain
/// halves it, so that nobody looks for packets that come seldom.
#[derive(Debug, Default)]
struct Lookout {
    window: Duration,
}

/// A wait that is shorter would have been over before one had slept and been woken.
const LOOK_MOST: Duration = Duration::from_micros(50);
/// Less is not worth asking.
const LOOK_LEAST: Duration = Duration::from_micros(5);

impl Lookout {
    /// Waits by asking `wait` again and again: it waits so long at most, for ever without a limit, and says how many events
    /// there are. `passed` is the time since the call.
    fn wait<E>(
        &mut self,
        mut wait: impl FnMut(Option<Duration>) -> Result<usize, E>,
        limit: Option<Duration>,
        passed: impl Fn() -> Duration,
    ) -> Result<usize, E> {
        let window = limit.map_or(self.window, |limit| limit.min(self.window));
        while passed() < window {
            match wait(Some(Duration::ZERO))? {
                0 => {}
                n => return Ok(n),
            }
        }
        self.window /= 2;
        if self.window < LOOK_LEAST {
            self.window = Duration::ZERO;
        }
        let n = wait(limit)?;
        if n != 0 && passed() < LOOK_MOST {
            self.window = LOOK_MOST;
        }
        Ok(n)
    }
}

/// Packets that come so soon after each other are gathered: what a turn costs, whether it has one packet or thirty, is shared then.
const DENSE: Duration = Duration::from_micros(2);
/// How long they are gathered. A receive queue holds what comes in fifty times as long.
const GATHER: Duration = Duration::from_micros(20);
/// Turns over which the pace is taken.
const PACE_TURNS: u32 = 64;

/// Whether packets come so fast, in turns of few, that it pays to wait for more of them.
#[derive(Debug)]
struct Pace {
    since: Instant,
    turns: u32,
    packets: u32,
    gathers: bool,
}

impl Pace {
    fn new(now: Instant) -> Pace {
        Pace { since: now, turns: 0, packets: 0, gathers: false }
    }

    /// A turn had so many packets; how long to wait before the next.
    fn turn(&mut self, packets: usize, now: impl FnOnce() -> Instant) -> Option<Duration> {
        self.turns += 1;
        self.packets = self.packets.saturating_add(packets as u32);
        if self.turns == PACE_TURNS {
            let now = now();
            self.gathers = now.duration_since(self.since) <= DENSE * self.packets;
            (self.since, self.turns, self.packets) = (now, 0, 0);
        }
        (self.gathers && packets < BATCH).then_some(GATHER)
    }
}

/// The thread.
pub(crate) fn run(shared: &Arc<Shared>, poller: &Poller, mut pump: Pump, perf: &Perf) {
    let mut events = Vec::with_capacity(EVENTS);
    perf.set_slot(pump.slot());
    let (mut lookout, has_others) = (Lookout::default(), shared.cores.count() > 1);
    // Short waits are to be short.
    if let Err(e) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1000)) {
        log::debug!(target: "dpif_netdev", "waits may be longer than asked for ({e})");
    }
    let mut pace = Pace::new(Instant::now());
    while !poller.stop.load(Ordering::Acquire) {
        events.clear();
        let limit = pump.flush_in(shared);
        let wait = |limit: Option<Duration>| {
            let limit = limit.map(|t| Timespec { tv_sec: t.as_secs() as _, tv_nsec: t.subsec_nanos() as _ });
            epoll::wait(poller.epoll.as_fd(), spare_capacity(&mut events), limit.as_ref())
        };
        let start = Instant::now();
        // Where there is one processor only, others could not send while this one looks.
        let passed = || if has_others { start.elapsed() } else { Duration::MAX };
        match lookout.wait(wait, limit, passed) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => {
                log::error!(target: "dpif_netdev", "epoll_wait failed ({e})");
                break;
            }
        }
        let table = pump.table(shared).clone();
        let mut packets = 0;
        for event in &events {
            let (data, flags) = (event.data.u64(), event.flags);
            if data == WAKE {
                poller.woken();
                for port in table.values().filter(|p| p.has_fd) {
                    let queues = 0..port.counts().rx as usize;
                    for queue in queues.filter(|queue| shared.poller_of(port.number, *queue) == poller) {
                        pump.poll(shared, port, queue, perf);
                        // It may have been given up. What cannot be waited for now is tried again when we are woken again.
                        let _ = poller.add(port, queue);
                    }
                }
                continue;
            }
            let queue = (data & ((1 << QUEUE_BITS) - 1)) as usize;
            let number = u32::try_from(data >> QUEUE_BITS).ok();
            let Some(port) = number.and_then(|n| table.get(&OdpPort(n))) else { continue };
            let got = drain(shared, &mut pump, (port, queue), perf);
            packets += got;
            if got == 0 && flags.intersects(EventFlags::ERR | EventFlags::HUP) {
                // Its device is gone. A descriptor that reports nothing else would keep us awake; a change of links
                // wakes us to try again.
                poller.remove(port, queue);
            }
        }
        pump.flush_due(shared, perf);
        if let Some(time) = pace.turn(packets, Instant::now) {
            std::thread::sleep(time);
        }
    }
    pump.end(shared, perf);
}

/// Moves what waits in a queue, some batches at most: others wait as well.
fn drain(
    shared: &Arc<Shared>,
    pump: &mut Pump,
    (port, queue): (&Arc<PortEntry>, usize),
    perf: &Perf,
) -> usize {
    let mut got = 0;
    for _ in 0..BATCHES {
        let n = pump.poll(shared, port, queue, perf);
        got += n;
        if n < BATCH {
            break;
        }
    }
    got
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
            all.last().flatten()
        };
        assert_eq!(turns(1, 1), Some(GATHER));
        assert_eq!(turns(10, 30), None, "too slow to be worth it");
        assert_eq!(turns(10, 20), Some(GATHER));
        assert_eq!(turns(BATCH, 20), None, "there are enough");
        assert_eq!(turns(0, 50), None, "others woke the thread");
    }

    #[test]
    fn packets_that_follow_soon_are_looked_for_and_others_slept_for() {
        let mut lookout = Lookout::default();
        assert_eq!(wait(&mut lookout, 1_000_000, None), (1, true), "nobody looks first");
        assert_eq!(wait(&mut lookout, 20, None), (1, true), "but that was soon");
        for _ in 0..3 {
            assert_eq!(wait(&mut lookout, 20, None), (20, false), "so the next is seen as it comes");
        }
        let looks: Vec<usize> = (0..6).map(|_| wait(&mut lookout, 1_000_000, None).0).collect();
        assert_eq!(looks, [51, 26, 14, 8, 1, 1], "in vain, ever shorter");
        assert_eq!(wait(&mut lookout, 20, None), (1, true));
        assert_eq!(wait(&mut lookout, 1000, Some(10)), (11, true), "never longer than one may wait");
    }
}
