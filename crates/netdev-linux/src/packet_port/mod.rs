//! The queues of an existing device, through a packet socket.
//!
//! Where it sits: made by `device` for ports of type system; polled by a host's thread. What comes in goes through `receive`, what
//! leaves through `transmit`.
//!
//! Both queues share one socket, which follows the device's *name*: whenever the table of links moved on, the
//! receive queue compares the number that the name has now with the one that the socket is bound to.

mod receive;
mod transmit;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use netdev::{NetdevStats, QueueCounts, Queues, TxQueue};

use crate::losses::Losses;
use crate::rtnl::Links;
use crate::sys::PacketSocket;
use receive::Rx;
use transmit::Tx;

/// Transmit queues of a port: the kernel lets threads send on one socket side by side, each needs only memory of its own.
const TX_QUEUES: u32 = 8;

/// The sockets of a port, and what they are bound to.
pub(crate) struct PacketPort {
    name: String,
    links: Arc<Links>,
    socket: PacketSocket,
    sender: PacketSocket,
    /// The device's number, zero while there is none.
    bound: AtomicU32,
    /// The device has a carrier. Without one the kernel says that it has sent what it throws away.
    sends: AtomicBool,
    taken: AtomicBool,
    losses: Arc<Losses>,
}

impl PacketPort {
    /// The queues of a port.
    pub(crate) const COUNTS: QueueCounts = QueueCounts { rx: 1, tx: TX_QUEUES };

    /// The port of a device, by the socket that another process had for it or by a new one.
    pub(crate) fn open(
        name: &str,
        ifindex: u32,
        links: Arc<Links>,
        given: Option<OwnedFd>,
    ) -> io::Result<Arc<PacketPort>> {
        PacketPort::counting(name, ifindex, links, given, Arc::default())
    }

    /// The same, for one whose losses are counted elsewhere.
    pub(crate) fn counting(
        name: &str,
        ifindex: u32,
        links: Arc<Links>,
        given: Option<OwnedFd>,
        losses: Arc<Losses>,
    ) -> io::Result<Arc<PacketPort>> {
        let socket = given.map_or_else(PacketSocket::open, |fd| Ok(PacketSocket::of(fd)))?;
        socket.bind(ifindex)?;
        let sender = PacketSocket::open_sender()?;
        sender.bind_sender(ifindex)?;
        Ok(Arc::new(PacketPort {
            name: name.to_owned(),
            links,
            socket,
            sender,
            bound: AtomicU32::new(ifindex),
            sends: AtomicBool::new(true),
            taken: AtomicBool::new(false),
            losses,
        }))
    }

    /// Both queues; `None` while somebody has them.
    pub(crate) fn queues(self: &Arc<Self>) -> Option<Queues> {
        if self.taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        let rx = Rx::new(self.clone());
        let tx = |_| Box::new(Tx::new(self.clone())) as Box<dyn TxQueue>;
        Some(Queues { rx: vec![Box::new(rx)], tx: (0..TX_QUEUES).map(tx).collect() })
    }

    /// The device's counters with what was lost at our end.
    pub(crate) fn added_to(&self, stats: NetdevStats) -> NetdevStats {
        self.count_missed();
        self.losses.added_to(stats)
    }

    /// Counts what the socket had no room for since this was last done.
    pub(crate) fn count_missed(&self) {
        self.losses.missed(self.socket.take_missed());
    }

    /// Looks at links again if any of them changed since `seen`.
    fn follow_since(&self, seen: &mut u64) {
        let generation = self.links.generation();
        if generation != *seen {
            self.follow();
            *seen = generation;
        }
    }

    /// Binds the sockets to the device that has the name now.
    fn follow(&self) {
        let link = self.links.find(&self.name);
        let ifindex = link.as_ref().map_or(0, |l| l.info.index);
        self.sends.store(link.is_some_and(|l| l.info.sends()), Ordering::Relaxed);
        if ifindex != self.bound.load(Ordering::Relaxed) {
            // While there is no device, or it goes away again, the next change of links brings us here again.
            let bound = || self.socket.bind(ifindex).and_then(|()| self.sender.bind_sender(ifindex));
            let now = if ifindex != 0 && bound().is_ok() { ifindex } else { 0 };
            self.bound.store(now, Ordering::Relaxed);
        }
    }
}
