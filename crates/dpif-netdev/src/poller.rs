//! The polling thread: sleeps in epoll until a port has packets, and pumps them.
//!
//! Where it sits: started by `datapath_host`, one for now; ports register their descriptors from outside.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use packet::OdpPort;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};

use crate::datapath_host::Shared;
use crate::ports::PortEntry;
use crate::pump::Pump;

/// What the waking descriptor says instead of a port's number.
const WAKE: u64 = u64::MAX;
/// Events of one turn.
const EVENTS: usize = 64;

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

    /// Waits for a port's packets from now on.
    pub(crate) fn add(&self, port: &PortEntry) -> io::Result<()> {
        let data = EventData::new_u64(u64::from(port.number.0));
        port.with_fd(|fd| epoll::add(&self.epoll, fd, data, EventFlags::IN)).transpose()?;
        Ok(())
    }

    /// Does not wait for a port's packets any more; its descriptor may outlive the port in other hands.
    pub(crate) fn remove(&self, port: &PortEntry) {
        // A descriptor that is not registered any more is none the less not waited for.
        port.with_fd(|fd| epoll::delete(&self.epoll, fd).ok());
    }

    /// Makes the thread look at every port once: a device may have returned under a port's name.
    pub(crate) fn wake(&self) {
        // An eventfd that takes no more is readable as it is.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
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

/// The thread.
pub(crate) fn run(shared: &Arc<Shared>, mut pump: Pump) {
    let poller = &shared.poller;
    let mut events = Vec::with_capacity(EVENTS);
    while !poller.stop.load(Ordering::Acquire) {
        events.clear();
        match epoll::wait(poller.epoll.as_fd(), spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => {
                log::error!(target: "dpif_netdev", "epoll_wait failed ({e})");
                return;
            }
        }
        let table = pump.table(shared);
        for event in &events {
            let (data, flags) = (event.data, event.flags);
            if data.u64() == WAKE {
                poller.woken();
                for port in table.values().filter(|p| p.has_fd) {
                    pump.poll(shared, port);
                    // It may have been given up; if it is still waited for, this changes nothing.
                    let _ = poller.add(port);
                }
                continue;
            }
            let Some(port) = u32::try_from(data.u64()).ok().and_then(|n| table.get(&OdpPort(n))) else {
                continue;
            };
            let got = pump.poll(shared, port);
            if got == 0 && flags.intersects(EventFlags::ERR | EventFlags::HUP) {
                // Its device is gone. A descriptor that reports nothing else would keep us awake; a change of links
                // wakes us to try again.
                poller.remove(port);
            }
        }
    }
}
