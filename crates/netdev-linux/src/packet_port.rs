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
use netdev::{
    BufferPool, Frame, FrameBatch, NetdevStats, QueueCounts, Queues, RxDrops, RxQueue, TxDrops, TxQueue,
};
use packet::{BATCH, OdpPort, PacketBuf, Segmentation, SegmentationKind};

use crate::losses::Losses;
use crate::rtnl::Links;
use crate::sys::{PacketSocket, Received};
use crate::vnet;

/// Transmit queues of a port: the kernel lets threads send on one socket side by side, each needs only memory of its own.
const TX_QUEUES: u32 = 8;
/// Bytes of a frame's two addresses, and of the tag behind them.
const ADDRESSES: usize = 12;
const TAG: usize = 4;

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
        let rx = Rx {
            port: self.clone(),
            generation: 0,
            received: [Received::default(); BATCH],
            ask: 1,
            drops: RxDrops::default(),
        };
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

struct Rx {
    port: Arc<PacketPort>,
    /// The generation of links that the binding agrees with.
    generation: u64,
    received: [Received; BATCH],
    /// How many packets the next call asks for: each costs some work whether it comes or not.
    ask: usize,
    /// What was lost since somebody asked.
    drops: RxDrops,
}

impl Drop for Rx {
    fn drop(&mut self) {
        self.port.taken.store(false, Ordering::Release);
    }
}

impl RxQueue for Rx {
    fn receive(&mut self, pool: &mut BufferPool, out: &mut FrameBatch) -> usize {
        self.port.follow_since(&mut self.generation);
        let mut slots = pool.take_slots(BATCH);
        let (mut pushed, mut drops) = (0, RxDrops::default());
        // A full answer asks for more; a short one says that nothing is left.
        while !out.is_full() {
            let ask = self.ask.min(BATCH - out.len()).min(slots.len());
            let got = self.fill(slots.get_mut(..ask).unwrap_or_default(), &mut drops);
            for (slot, received) in slots.iter_mut().zip(&self.received).take(got) {
                let Some(frame) = frame_of(received, slot, pool, &mut drops) else { continue };
                pushed += usize::from(out.push_from(OdpPort::NONE, frame).is_ok());
            }
            if got < ask || ask == 0 {
                self.ask = (got + 1).max(self.ask / 2);
                break;
            }
            self.ask = BATCH.min(2 * self.ask);
        }
        pool.give_slots(slots);
        self.port.losses.received(&drops);
        self.drops.add(&drops);
        pushed
    }

    fn take_drops(&mut self) -> RxDrops {
        std::mem::take(&mut self.drops)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.port.socket.as_fd())
    }
}

impl Rx {
    /// Receives into `slots`. An error is about one packet that the kernel could not describe to us, or says that
    /// the device went down: both are behind us once they are told.
    fn fill(&mut self, slots: &mut [Frame], drops: &mut RxDrops) -> usize {
        for _ in 0..BATCH {
            match self.port.socket.receive(slots, &mut self.received) {
                Ok(n) => return n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return 0,
                Err(e) => drops.unknown += u32::from(loses_a_packet(&e)),
            }
        }
        0
    }
}

/// True for an error of receiving that is about a packet, which is gone.
fn loses_a_packet(e: &io::Error) -> bool {
    !matches!(e.raw_os_error(), Some(libc::EINTR | libc::ENETDOWN | libc::ENXIO | libc::ENODEV))
}

/// The packet in a slot as a frame, its tag back in place; `None` if it cannot be had whole.
fn frame_of(
    received: &Received,
    slot: &mut Frame,
    pool: &mut BufferPool,
    drops: &mut RxDrops,
) -> Option<Frame> {
    let offload = match vnet::decode(&received.vnet) {
        _ if received.truncated => Err(&mut drops.truncated),
        decoded => decoded.map_err(|_| &mut drops.unknown),
    };
    match offload {
        Ok(offload) => *slot.offload_mut() = offload,
        Err(count) => {
            *count += 1;
            slot.reset(Frame::HEADROOM);
            return None;
        }
    }
    let frame = pool.frame_from(slot).and_then(|frame| tagged(frame, received.vlan));
    drops.memory += u32::from(frame.is_none());
    frame
}

/// A frame with its tag; `None` if there is no room for it.
fn tagged(mut frame: Frame, vlan: Option<(u16, u16)>) -> Option<Frame> {
    if let Some((tpid, tci)) = vlan.filter(|_| frame.len() >= ADDRESSES) {
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
    /// The generation of links that what is known of the device agrees with.
    generation: u64,
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
        self.port.follow_since(&mut self.generation);
        if self.port.bound.load(Ordering::Relaxed) == 0 || !self.port.sends.load(Ordering::Relaxed) {
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
            self.send(&mut cut, pool, &mut drops);
            cut.drain(..).for_each(|f| pool.give(f));
            self.cut = cut;
        } else {
            self.send(&mut frames, pool, &mut drops);
        }
        frames.drain(..).for_each(|f| pool.give(f));
        self.frames = frames;
        self.port.losses.sent(&drops);
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
        Tx { port, generation: 0, uso: true, frames: Vec::with_capacity(BATCH), cut: Vec::new() }
    }

    /// Sends all, past those that the kernel refuses.
    fn send(&mut self, frames: &mut [Frame], pool: &mut BufferPool, drops: &mut TxDrops) {
        let mut at = 0;
        while let Some(rest) = frames.get_mut(at..).filter(|rest| !rest.is_empty()) {
            match self.port.sender.send(rest) {
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
        self.send(&mut cut, pool, drops);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of 60 bytes in a slot, and what is said of it.
    fn drops_of(received: &Received) -> (Option<usize>, RxDrops) {
        let (mut pool, mut drops) = (BufferPool::new(), RxDrops::default());
        let mut slot = pool.take_slots(1).remove(0);
        slot.extend(60);
        let frame = frame_of(received, &mut slot, &mut pool, &mut drops);
        assert!(slot.is_empty(), "the slot serves the next packet");
        (frame.map(|f| f.len()), drops)
    }

    #[test]
    fn a_packet_that_cannot_be_had_whole_is_counted_by_its_reason() {
        let none = RxDrops::default();
        assert_eq!(drops_of(&Received::default()), (Some(60), none));
        let tagged = Received { vlan: Some((0x8100, 5)), ..Received::default() };
        assert_eq!(drops_of(&tagged), (Some(64), none));
        let truncated = Received { truncated: true, ..Received::default() };
        assert_eq!(drops_of(&truncated), (None, RxDrops { truncated: 1, ..none }));
        let mut unknown = Received::default();
        unknown.vnet[1] = 0x7f;
        assert_eq!(drops_of(&unknown), (None, RxDrops { unknown: 1, ..none }));
    }

    #[test]
    fn errors_of_receiving_lose_a_packet_unless_they_are_about_the_device() {
        let loses = |errno| loses_a_packet(&io::Error::from_raw_os_error(errno));
        assert!(loses(libc::EINVAL) && loses(libc::ENOMEM));
        assert!(!loses(libc::ENETDOWN) && !loses(libc::EINTR) && !loses(libc::ENXIO));
    }

    #[test]
    fn errors_of_sending_are_about_one_packet_or_about_all() {
        let count = |errno: i32| {
            let mut drops = TxDrops::default();
            match verdict(&io::Error::from_raw_os_error(errno)) {
                Verdict::Retry => {}
                Verdict::One(count) => *count(&mut drops) += 1,
                Verdict::All(count) => *count(&mut drops) += 32,
            }
            drops
        };
        let none = TxDrops::default();
        assert_eq!(count(libc::EINTR), none);
        assert_eq!(count(libc::EMSGSIZE), TxDrops { mtu: 1, ..none });
        assert_eq!(count(libc::EINVAL), TxDrops { failed: 1, ..none });
        assert_eq!(count(libc::ENETDOWN), TxDrops { down: 32, ..none });
        assert_eq!(count(libc::ENOBUFS), TxDrops { failed: 32, ..none });
        assert_eq!(count(libc::EAGAIN), TxDrops { failed: 32, ..none });
    }
}
