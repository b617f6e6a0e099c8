//! The queues of an existing device, through a packet socket.
//!
//! Where it sits: made by `device` for ports of type system; polled by a host's thread.
//!
//! ~~~text
//!   device ──► ring (sys/packet_ring) ─┐             packets of the usual sizes, read without a call
//!          └─► socket's queue ─────────┴─► receive   longer ones; all, where there is no ring
//!   device ◄── sender's socket ◄────────── transmit
//! ~~~
//!
//! The sockets follow the device's *name*: whenever the table of links moved on, a queue compares the number that the
//! name has now with the one that the sockets are bound to.

mod receive;
mod transmit;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netdev::{NetdevStats, QueueCounts, Queues, TxQueue};

use crate::losses::Losses;
use crate::ring_share::RingShare;
use crate::ring_stock::{RingSocket, RingStock};
use crate::rtnl::Links;
use crate::sys::{PacketRing, PacketSocket};
use receive::Rx;
use transmit::Tx;

/// Transmit queues of a port: the kernel lets threads send on one socket side by side, each needs only memory of its own.
const TX_QUEUES: u32 = 8;

/// A ring, and its part of what rings may take.
type SharedRing = (PacketRing, RingShare);

/// The sockets of a port, and what they are bound to.
pub(crate) struct PacketPort {
    name: String,
    links: Arc<Links>,
    socket: PacketSocket,
    sender: PacketSocket,
    /// The socket's ring, if it has one, while no queue has it.
    ring: Mutex<Option<SharedRing>>,
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
        (links, stock): (Arc<Links>, &Arc<RingStock>),
        given: Option<OwnedFd>,
    ) -> io::Result<Arc<PacketPort>> {
        PacketPort::counting(name, ifindex, (links, stock), given, Arc::default())
    }

    /// The same, for one whose losses are counted elsewhere.
    pub(crate) fn counting(
        name: &str,
        ifindex: u32,
        (links, stock): (Arc<Links>, &Arc<RingStock>),
        given: Option<OwnedFd>,
        losses: Arc<Losses>,
    ) -> io::Result<Arc<PacketPort>> {
        let (socket, ring) = match given {
            Some(fd) => {
                let socket = PacketSocket::of(fd);
                let ring = PacketRing::of(&socket)?;
                (socket, ring.map(|ring| (ring, RingShare::take_over())))
            }
            None => match stock.take() {
                Ok(RingSocket { socket, ring, share }) => (socket, Some((ring, share))),
                Err(why) => {
                    log::info!(target: "netdev_linux", "{name}: receiving without a ring ({why})");
                    (PacketSocket::open()?, None)
                }
            },
        };
        socket.bind(ifindex)?;
        let sender = PacketSocket::open_sender()?;
        sender.bind_sender(ifindex)?;
        Ok(Arc::new(PacketPort {
            name: name.to_owned(),
            links,
            socket,
            sender,
            ring: Mutex::new(ring),
            bound: AtomicU32::new(ifindex),
            sends: AtomicBool::new(true),
            taken: AtomicBool::new(false),
            losses,
        }))
    }

    fn ring(&self) -> MutexGuard<'_, Option<SharedRing>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Looks at links again if any of them changed since `seen`; true if one did.
    fn follow_since(&self, seen: &mut u64) -> bool {
        let generation = self.links.generation();
        let changed = generation != *seen;
        if changed {
            self.follow();
            *seen = generation;
        }
        changed
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use netdev::{BufferPool, Frame, FrameBatch};
    use packet::{BATCH, PacketMeta};
    use testkit::sandboxed;

    use super::*;
    use crate::rtnl::Which;

    fn run(line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{line}");
    }

    /// A packet of a type of its own, which says how many were before it.
    fn frame(number: usize, len: usize) -> Frame {
        let mut bytes = vec![0xff; 12];
        bytes.extend([0x88, 0xb5]);
        bytes.extend((number as u32).to_be_bytes());
        bytes.resize(len, number as u8);
        Frame::try_from_frame(&bytes).unwrap()
    }

    /// Sends packets of `lens` by one queue in batches, and returns what another receives.
    fn carried(lens: &[usize], from: &mut Queues, to: &mut Queues) -> Vec<Frame> {
        let (mut pool, mut batch, mut got) = (BufferPool::new(), FrameBatch::default(), Vec::new());
        for (chunk, lens) in lens.chunks(BATCH).enumerate() {
            for (at, len) in lens.iter().enumerate() {
                batch.push(PacketMeta::default(), frame(chunk * BATCH + at, *len)).unwrap();
            }
            assert_eq!(from.tx[0].transmit(&mut pool, &mut batch).total(), 0);
            while to.rx[0].receive(&mut pool, &mut batch) != 0 {
                got.extend(batch.drain().map(|(_, frame)| frame));
            }
        }
        assert!(to.rx[0].take_drops().is_none());
        got
    }

    #[test]
    fn packets_of_all_lengths_come_in_order_with_a_ring_and_without() {
        sandboxed!();
        run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1");
        run("ip link add va mtu 9000 type veth peer name vb mtu 9000");
        run("ip link set va up");
        run("ip link set vb up");
        let links = Arc::new(Links::follow(Arc::new(|| ())).unwrap());
        let stock = Arc::new(RingStock::default());
        let port = |name: &str| {
            let index = links.refresh(Which::Name(name)).unwrap().index;
            PacketPort::open(name, index, (links.clone(), &stock), None).unwrap()
        };
        // Runs of short ones and of long ones, about the length of a slot as well.
        let lens: Vec<usize> =
            (0..4000).map(|n| [60, 1514, 9000, 1940 + n % 100, 70][n * n / 7 % 5]).collect();
        for without in [false, true] {
            let others: Vec<RingShare> = std::iter::from_fn(|| without.then(RingShare::take)?).collect();
            let spare: Vec<RingSocket> = std::iter::from_fn(|| without.then(|| stock.take().ok())?).collect();
            let (a, b) = (port("va"), port("vb"));
            assert_eq!(b.ring().is_none(), without, "{} rings", others.len() + spare.len());
            let (mut from, mut to) = (a.queues().unwrap(), b.queues().unwrap());
            let mut got = carried(&lens, &mut from, &mut to);
            got.retain(|frame| frame.frame().get(12..14) == Some(&[0x88, 0xb5]));
            assert_eq!(got.len(), lens.len());
            for (number, (frame_of, len)) in got.iter().zip(&lens).enumerate() {
                assert!(*frame_of == frame(number, *len), "packet {number} of {len} bytes");
            }
            // The ring outlives the queues.
            drop((from, to));
            assert_eq!(carried(&[60], &mut a.queues().unwrap(), &mut b.queues().unwrap()).len(), 1);
        }
    }
}
