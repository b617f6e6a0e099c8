//! What a device receives, as frames.
//!
//! Where it sits: the receive queue of a packet port.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use netdev::{BufferPool, Frame, FrameBatch, RxDrops, RxQueue};
use packet::{BATCH, OdpPort, PacketBuf};

use super::{PacketPort, SharedRing};
use crate::sys::{Front, PacketRing, Received};
use crate::vnet;

/// Looks in vain after which the socket is asked for an error: as long as it has one, whoever waits for packets is woken.
const LOOKS: u32 = 32;
/// Bytes of a frame's two addresses, and of the tag behind them.
const ADDRESSES: usize = 12;
const TAG: usize = 4;

/// The receive queue.
pub(super) struct Rx {
    ring: Option<SharedRing>,
    queue: Queue,
    /// The generation of links that the binding agrees with.
    generation: u64,
    /// Looks in vain, one after the other.
    looks: u32,
    /// What was lost since somebody asked.
    drops: RxDrops,
}

impl Rx {
    pub(super) fn new(port: Arc<PacketPort>) -> Rx {
        let ring = port.ring().take();
        let queue = Queue { port, received: [Received::default(); BATCH], ask: 1 };
        Rx { ring, queue, generation: 0, looks: 0, drops: RxDrops::default() }
    }

    /// Unlike a call, a look at the ring does not take an error from the socket: when a device goes down there is one, before
    /// or after links tell of it.
    fn note_look(&mut self, found: bool, links_changed: bool) {
        self.looks = if found { 0 } else { self.looks + 1 };
        if links_changed || self.looks == LOOKS {
            self.looks = 0;
            self.queue.port.socket.take_error();
        }
    }
}

impl Drop for Rx {
    fn drop(&mut self) {
        *self.queue.port.ring() = self.ring.take();
        self.queue.port.taken.store(false, Ordering::Release);
    }
}

impl RxQueue for Rx {
    fn receive(&mut self, pool: &mut BufferPool, out: &mut FrameBatch) -> usize {
        let links_changed = self.queue.port.follow_since(&mut self.generation);
        let (before, mut drops) = (out.len(), RxDrops::default());
        match &mut self.ring {
            Some((ring, _)) => read_ring(ring, &mut self.queue, pool, out, &mut drops),
            None => self.queue.drain(pool, out, &mut drops),
        }
        let pushed = out.len() - before;
        self.note_look(pushed != 0, links_changed);
        self.queue.port.losses.received(&drops);
        self.drops.add(&drops);
        pushed
    }

    fn take_drops(&mut self) -> RxDrops {
        std::mem::take(&mut self.drops)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.queue.port.socket.as_fd())
    }
}

/// Moves what is in the ring into `out`, with what waits in the socket's queue at its places between.
fn read_ring(
    ring: &mut PacketRing,
    queue: &mut Queue,
    pool: &mut BufferPool,
    out: &mut FrameBatch,
    drops: &mut RxDrops,
) {
    while !out.is_full() {
        let read = match ring.front() {
            None => break,
            Some(Front::Here(received, bytes)) => {
                push(out, frame_of(&received, drops, || pool.copy_of(bytes)));
                1
            }
            Some(Front::Queued) => {
                let read = queue.read(ring.queued(BATCH - out.len()), pool, out, drops);
                // One that is not there was lost on the way.
                drops.truncated += u32::from(read == 0);
                read.max(1)
            }
        };
        ring.give_back(read);
    }
}

/// Packets that wait in the socket's queue.
struct Queue {
    port: Arc<PacketPort>,
    received: [Received; BATCH],
    /// How many packets the next call asks for: each costs some work whether it comes or not.
    ask: usize,
}

impl Queue {
    /// Moves what is there into `out`.
    fn drain(&mut self, pool: &mut BufferPool, out: &mut FrameBatch, drops: &mut RxDrops) {
        // A full answer asks for more; a short one says that nothing is left.
        while !out.is_full() {
            let ask = self.ask.min(BATCH - out.len());
            let got = self.read(ask, pool, out, drops);
            if got < ask {
                self.ask = (got + 1).max(self.ask / 2);
                break;
            }
            self.ask = BATCH.min(2 * self.ask);
        }
    }

    /// Moves packets, at most `ask`, into `out`, which has room for them; returns how many came, with those that could not
    /// be had whole.
    fn read(
        &mut self,
        ask: usize,
        pool: &mut BufferPool,
        out: &mut FrameBatch,
        drops: &mut RxDrops,
    ) -> usize {
        let mut slots = pool.take_slots(BATCH);
        let ask = ask.min(slots.len());
        let got = self.fill(slots.get_mut(..ask).unwrap_or_default(), drops);
        for (slot, received) in slots.iter_mut().zip(&self.received).take(got) {
            push(out, frame_of(received, drops, || pool.frame_from(slot)));
            slot.reset(Frame::HEADROOM);
        }
        pool.give_slots(slots);
        got
    }

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

/// Adds a frame, if it is one, to a batch that has room for it.
fn push(out: &mut FrameBatch, frame: Option<Frame>) {
    if let Some(frame) = frame {
        // There is room.
        let _ = out.push_from(OdpPort::NONE, frame);
    }
}

/// True for an error of receiving that is about a packet, which is gone.
fn loses_a_packet(e: &io::Error) -> bool {
    !matches!(e.raw_os_error(), Some(libc::EINTR | libc::ENETDOWN | libc::ENXIO | libc::ENODEV))
}

/// A packet as the frame that `take` makes of it, its tag back in place; `None` if it cannot be had whole.
fn frame_of(received: &Received, drops: &mut RxDrops, take: impl FnOnce() -> Option<Frame>) -> Option<Frame> {
    if received.truncated {
        drops.truncated += 1;
        return None;
    }
    let Ok(offload) = vnet::decode(&received.vnet) else {
        drops.unknown += 1;
        return None;
    };
    let frame = take().and_then(|mut frame| {
        *frame.offload_mut() = offload;
        tagged(frame, received.vlan)
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of 60 bytes in a slot, and what is said of it.
    fn drops_of(received: &Received) -> (Option<usize>, RxDrops) {
        let (mut pool, mut drops) = (BufferPool::new(), RxDrops::default());
        let mut slot = pool.take_slots(1).remove(0);
        slot.extend(60);
        let frame = frame_of(received, &mut drops, || pool.frame_from(&mut slot));
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
}
