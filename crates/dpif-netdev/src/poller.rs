//! The polling thread: sleeps in epoll until a port has packets, and pumps them.
//!
//! Where it sits: started by `datapath_host`, one or a few; ports register their descriptors from outside, each at the
//! thread that its port's and its queue's numbers say.

use std::io;
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
use crate::pace::{GATHER, Lookout, Pace, wait_exactly};
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

/// The thread.
pub(crate) fn run(shared: &Arc<Shared>, poller: &Poller, mut pump: Pump, perf: &Perf) {
    let mut events = Vec::with_capacity(EVENTS);
    perf.set_slot(pump.slot());
    let (mut lookout, has_others) = (Lookout::default(), shared.cores.count() > 1);
    wait_exactly();
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
        if pace.turn(packets, Instant::now) {
            std::thread::sleep(GATHER);
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
