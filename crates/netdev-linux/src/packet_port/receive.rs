//! What a device receives, as frames.
//!
//! Where it sits: the receive queue of a packet port.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use netdev::{BufferPool, Frame, FrameBatch, RxDrops, RxQueue};
use packet::{BATCH, OdpPort, PacketBuf};

use super::PacketPort;
use crate::sys::Received;
use crate::vnet;

/// Bytes of a frame's two addresses, and of the tag behind them.
const ADDRESSES: usize = 12;
const TAG: usize = 4;

/// The receive queue.
pub(super) struct Rx {
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
    pub(super) fn new(port: Arc<PacketPort>) -> Rx {
        Rx { port, generation: 0, received: [Received::default(); BATCH], ask: 1, drops: RxDrops::default() }
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
}
