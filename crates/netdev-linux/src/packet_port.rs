//! The queues of an existing device, through a packet socket.
//!
//! Where it sits: made by `device` for ports of type system; polled by a host's thread.
//!
//! Both queues share one socket, which follows the device's *name*: whenever the table of links moved on, the
//! receive queue compares the number that the name has now with the one that the socket is bound to.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use netdev::offload::{SegmentError, TxCapabilities, deliver};
use netdev::{BufferPool, Frame, FrameBatch, QueueCounts, Queues, RxQueue, TxDrops, TxQueue};
use packet::{BATCH, OdpPort, PacketBuf, Segmentation, SegmentationKind};

use crate::rtnl::Links;
use crate::sys::{PacketSocket, Received};
use crate::vnet;

/// Transmit queues of a port: the kernel lets threads send on one socket side by side, each needs only memory of its own.
const TX_QUEUES: u32 = 8;
/// Bytes of a frame's two addresses, and of the tag behind them.
const ADDRESSES: usize = 12;
const TAG: usize = 4;

/// The socket of a port, and what it is bound to.
pub(crate) struct PacketPort {
    name: String,
    links: Arc<Links>,
    socket: PacketSocket,
    /// The device's number, zero while there is none.
    bound: AtomicU32,
    taken: AtomicBool,
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
        let socket = given.map_or_else(PacketSocket::open, |fd| Ok(PacketSocket::of(fd)))?;
        socket.bind(ifindex)?;
        Ok(Arc::new(PacketPort {
            name: name.to_owned(),
            links,
            socket,
            bound: AtomicU32::new(ifindex),
            taken: AtomicBool::new(false),
        }))
    }

    /// Both queues; `None` while somebody has them.
    pub(crate) fn queues(self: &Arc<Self>) -> Option<Queues> {
        if self.taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        let rx = Rx { port: self.clone(), generation: 0, received: [Received::default(); BATCH], ask: 1 };
        let tx = |_| Box::new(Tx::new(self.clone())) as Box<dyn TxQueue>;
        Some(Queues { rx: vec![Box::new(rx)], tx: (0..TX_QUEUES).map(tx).collect() })
    }

    /// Binds the socket to the device that has the name now.
    fn follow(&self) {
        let ifindex = self.links.find(&self.name).map_or(0, |l| l.info.index);
        if ifindex != self.bound.load(Ordering::Relaxed) {
            // While there is no device, or it goes away again, the next change of links brings us here again.
            let now = if ifindex != 0 && self.socket.bind(ifindex).is_ok() { ifindex } else { 0 };
            self.bound.store(now, Ordering::Relaxed);
        }
    }
}

struct Rx {
    port: Arc<PacketPort>,
    /// The generation of links that the binding agrees with.
    generation: u64,
    received: [Received; BATCH],
    /// How many packets the next call asks for: each costs some work whether it comes or not.
    ask: usize,
}

impl Drop for Rx {
    fn drop(&mut self) {
        self.port.taken.store(false, Ordering::Release);
    }
}

impl RxQueue for Rx {
    fn receive(&mut self, pool: &mut BufferPool, out: &mut FrameBatch) -> usize {
        let generation = self.port.links.generation();
        if generation != self.generation {
            self.port.follow();
            self.generation = generation;
        }
        let mut slots = pool.take_slots(BATCH);
        let mut pushed = 0;
        // A full answer asks for more; a short one says that nothing is left.
        while !out.is_full() {
            let ask = self.ask.min(BATCH - out.len()).min(slots.len());
            let got = self.fill(slots.get_mut(..ask).unwrap_or_default());
            for (slot, received) in slots.iter_mut().zip(&self.received).take(got) {
                let Some(frame) = frame_of(received, slot, pool) else { continue };
                pushed += usize::from(out.push_from(OdpPort::NONE, frame).is_ok());
            }
            if got < ask || ask == 0 {
                self.ask = (got + 1).max(self.ask / 2);
                break;
            }
            self.ask = BATCH.min(2 * self.ask);
        }
        pool.give_slots(slots);
        pushed
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.port.socket.as_fd())
    }
}

impl Rx {
    /// Receives into `slots`. An error is about one packet that the kernel could not describe to us, or says that
    /// the device went down: both are behind us once they are told.
    fn fill(&mut self, slots: &mut [Frame]) -> usize {
        for _ in 0..BATCH {
            match self.port.socket.receive(slots, &mut self.received) {
                Ok(n) => return n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return 0,
                Err(_) => {}
            }
        }
        0
    }
}

/// The packet in a slot as a frame, its tag back in place; `None` if it cannot be had whole.
fn frame_of(received: &Received, slot: &mut Frame, pool: &mut BufferPool) -> Option<Frame> {
    let offload = vnet::decode(&received.vnet).ok().filter(|_| !received.truncated);
    let Some(offload) = offload else {
        slot.reset(Frame::HEADROOM);
        return None;
    };
    *slot.offload_mut() = offload;
    let mut frame = pool.frame_from(slot)?;
    if let Some((tpid, tci)) = received.vlan.filter(|_| frame.len() >= ADDRESSES) {
        // Everything that the offload state speaks of moves with the front.
        frame.push_front(TAG)?;
        let head = frame.head_mut();
        head.copy_within(TAG..TAG + ADDRESSES, 0);
        wire::bytes::put(head, ADDRESSES, &tpid.to_be_bytes())?;
        wire::bytes::put(head, ADDRESSES + 2, &tci.to_be_bytes())?;
    }
    Some(frame)
}

struct Tx {
    port: Arc<PacketPort>,
    /// The kernel segments UDP; kernels before 6.2 refuse.
    uso: bool,
    /// What is being sent, and what it was cut into; empty between calls.
    frames: Vec<Frame>,
    cut: Vec<Frame>,
}

impl TxQueue for Tx {
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        let mut drops = TxDrops::default();
        let mut frames = std::mem::take(&mut self.frames);
        frames.extend(batch.drain().map(|(_, frame)| frame));
        if self.port.bound.load(Ordering::Relaxed) == 0 {
            drops.down = frames.len() as u32;
        } else if frames.iter().any(|f| !self.uso && asks_for_uso(f) || is_tunnelled(f)) {
            let can = TxCapabilities { checksum: true, tso: true, uso: self.uso };
            let mut cut = std::mem::take(&mut self.cut);
            for frame in frames.drain(..) {
                match deliver(frame, can, pool, |f, _| cut.push(f)) {
                    Ok(()) => {}
                    Err(SegmentError::Malformed) => drops.failed += 1,
                    Err(SegmentError::NoMemory) => drops.memory += 1,
                }
            }
            self.send(&cut, pool, &mut drops);
            cut.drain(..).for_each(|f| pool.give(f));
            self.cut = cut;
        } else {
            self.send(&frames, pool, &mut drops);
        }
        frames.drain(..).for_each(|f| pool.give(f));
        self.frames = frames;
        drops
    }
}

/// A super-packet behind a tunnel's headers, which the kernel's interface has no words for.
fn is_tunnelled(frame: &Frame) -> bool {
    let offload = frame.offload();
    offload.outer != 0 && offload.segment.is_some()
}

fn asks_for_uso(frame: &Frame) -> bool {
    matches!(frame.offload().segment, Some(Segmentation { kind: SegmentationKind::Udp, .. }))
}

impl Tx {
    fn new(port: Arc<PacketPort>) -> Tx {
        Tx { port, uso: true, frames: Vec::with_capacity(BATCH), cut: Vec::new() }
    }

    /// Sends all, past those that the kernel refuses.
    fn send(&mut self, frames: &[Frame], pool: &mut BufferPool, drops: &mut TxDrops) {
        let mut at = 0;
        while let Some(rest) = frames.get(at..).filter(|rest| !rest.is_empty()) {
            match self.port.socket.send(rest) {
                Ok(n) => at += n.max(1),
                Err(e) => match verdict(&e) {
                    Verdict::Retry => {}
                    Verdict::One(count) => {
                        if let Some(frame) = rest.first().filter(|f| self.uso && asks_for_uso(f)) {
                            self.send_in_software(frame, pool, drops);
                        } else {
                            *count(drops) += 1;
                        }
                        at += 1;
                    }
                    Verdict::All(count) => {
                        *count(drops) += rest.len() as u32;
                        at = frames.len();
                    }
                },
            }
        }
    }

    /// A kernel that does not segment UDP refused `frame`: from now on we do it.
    fn send_in_software(&mut self, frame: &Frame, pool: &mut BufferPool, drops: &mut TxDrops) {
        self.uso = false;
        let mut cut = Vec::new();
        let can = TxCapabilities { checksum: true, tso: true, uso: false };
        match pool.clone_of(frame).map(|copy| deliver(copy, can, pool, |f, _| cut.push(f))) {
            Some(Ok(())) => {}
            Some(Err(SegmentError::Malformed)) => drops.failed += 1,
            Some(Err(SegmentError::NoMemory)) | None => drops.memory += 1,
        }
        self.send(&cut, pool, drops);
        cut.into_iter().for_each(|f| pool.give(f));
    }
}

/// A reason's counter.
type Count = fn(&mut TxDrops) -> &mut u32;

/// What an error of sending means for the packets that wait.
enum Verdict {
    /// Nothing.
    Retry,
    /// The first is refused.
    One(Count),
    /// None will be taken now.
    All(Count),
}

fn verdict(e: &io::Error) -> Verdict {
    match e.raw_os_error() {
        Some(libc::EINTR) => Verdict::Retry,
        Some(libc::EMSGSIZE) => Verdict::One(|d| &mut d.mtu),
        Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => Verdict::All(|d| &mut d.down),
        Some(libc::EAGAIN | libc::ENOBUFS) => Verdict::All(|d| &mut d.failed),
        _ => Verdict::One(|d| &mut d.failed),
    }
}
