//! A pool of frame buffers.
//!
//! Where it sits: one per polling thread, lent to the queues of the devices that it polls. A buffer that comes back
//! keeps its memory, so that a steady stream of packets allocates nothing, super-packets included: giving 64 kB back
//! to the system and faulting them in again costs more than the packet.

use packet::PacketBuf;

use crate::Frame;

/// Room for the frame in a buffer, and buffers kept at most: 4 MB.
const FRAME_BYTES: usize = 2048;
const FRAMES_KEPT: usize = 2048;
/// The same for super-packets: two batches, 4 MB.
const SUPER_BYTES: usize = 65_536 + 64;
const SUPERS_KEPT: usize = 64;
/// Frames of a page kept at most: 1 MB.
const PAGES_KEPT: usize = 256;

/// Buffers for frames: taken by receive queues, given back by transmit queues.
#[derive(Debug, Default)]
pub struct BufferPool {
    frames: Vec<Frame>,
    supers: Vec<Frame>,
    /// Frames whose memory is a page.
    pages: Vec<Frame>,
    /// Buffers that receive calls fill.
    slots: Vec<Frame>,
}

impl BufferPool {
    /// Bytes of the memory of a frame that a device writes itself, headroom included: what a page has room for, and a size that little else has.
    pub const PAGE: usize = 4080;

    /// A pool without buffers; it gets them as it is used.
    pub fn new() -> BufferPool {
        BufferPool::default()
    }

    /// An empty frame with headroom and room for `len` bytes; `None` if memory is short.
    #[inline]
    pub fn take(&mut self, len: usize) -> Option<Frame> {
        let (free, room) = if len <= FRAME_BYTES {
            (&mut self.frames, FRAME_BYTES)
        } else {
            (&mut self.supers, len.max(SUPER_BYTES))
        };
        if len <= SUPER_BYTES
            && let Some(mut frame) = free.pop()
        {
            frame.reset(Frame::HEADROOM);
            return Some(frame);
        }
        Frame::try_with_capacity(room, Frame::HEADROOM)
    }

    /// An empty frame whose memory is [`BufferPool::PAGE`] bytes, for a device to write to; `None` if memory is short.
    #[inline]
    pub fn take_page(&mut self) -> Option<Frame> {
        if let Some(frame) = self.pages.pop() {
            return Some(frame);
        }
        Frame::try_with_capacity(BufferPool::PAGE - Frame::HEADROOM, Frame::HEADROOM)
    }

    /// A frame that holds `bytes`; `None` if memory is short.
    #[inline]
    pub fn copy_of(&mut self, bytes: &[u8]) -> Option<Frame> {
        let mut frame = self.take(bytes.len())?;
        frame.assign(Frame::HEADROOM, bytes).then_some(frame)
    }

    /// A copy of `frame` with its offload state; `None` if memory is short.
    pub fn clone_of(&mut self, frame: &Frame) -> Option<Frame> {
        let mut copy = self.copy_of(frame.frame())?;
        *copy.offload_mut() = *frame.offload();
        Some(copy)
    }

    /// Takes a buffer back.
    #[inline]
    pub fn give(&mut self, frame: Frame) {
        let room = frame.capacity().saturating_sub(Frame::HEADROOM);
        if frame.capacity() == BufferPool::PAGE {
            if self.pages.len() < PAGES_KEPT {
                self.pages.push(frame);
            }
        } else if (FRAME_BYTES..SUPER_BYTES).contains(&room) && self.frames.len() < FRAMES_KEPT {
            self.frames.push(frame);
        } else if (SUPER_BYTES..2 * SUPER_BYTES).contains(&room) && self.supers.len() < SUPERS_KEPT {
            self.supers.push(frame);
        }
    }

    /// Empty buffers to receive into, each with room for a super-packet, as one never knows how long a packet will be;
    /// fewer than `n` if memory is short. To be given back by [`BufferPool::give_slots`], whatever was taken out.
    pub fn take_slots(&mut self, n: usize) -> Vec<Frame> {
        let mut slots = std::mem::take(&mut self.slots);
        while slots.len() < n {
            let Some(slot) = self.take(SUPER_BYTES) else { break };
            slots.push(slot);
        }
        slots
    }

    /// Takes the slots back.
    pub fn give_slots(&mut self, slots: Vec<Frame>) {
        if self.slots.is_empty() {
            self.slots = slots;
        } else {
            slots.into_iter().for_each(|slot| self.give(slot));
        }
    }

    /// What was received into `slot`, as a frame of its own: a short packet is copied into a short buffer, a long one
    /// leaves with the slot's. `None` if memory is short; the packet is lost then, and the slot is empty.
    pub fn frame_from(&mut self, slot: &mut Frame) -> Option<Frame> {
        let frame = if slot.len() <= FRAME_BYTES {
            self.clone_of(slot)
        } else {
            self.take(SUPER_BYTES).map(|fresh| std::mem::replace(slot, fresh))
        };
        slot.reset(Frame::HEADROOM);
        frame
    }

    /// Buffers waiting to be used: for frames, and for super-packets.
    pub fn waiting(&self) -> (usize, usize) {
        (self.frames.len(), self.supers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_are_bounded() {
        let mut pool = BufferPool::new();
        let small = pool.copy_of(&[1, 2, 3]).unwrap();
        let large = pool.copy_of(&[0; 60_000]).unwrap();
        let huge = pool.copy_of(&[0; 300_000]).unwrap();
        [small, large, huge].into_iter().for_each(|f| pool.give(f));
        assert_eq!(pool.waiting(), (1, 1));
        assert!(pool.take(2048).unwrap().is_empty());
        assert!(pool.take(2049).unwrap().is_empty());
        assert_eq!(pool.waiting(), (0, 0));
        let many: Vec<Frame> = (0..SUPERS_KEPT + 5).map(|_| pool.take(60_000).unwrap()).collect();
        many.into_iter().for_each(|f| pool.give(f));
        assert_eq!(pool.waiting(), (0, SUPERS_KEPT));
        let pages: Vec<Frame> = (0..PAGES_KEPT + 5).map(|_| pool.take_page().unwrap()).collect();
        assert!(pages.iter().all(|page| page.memory().len() == BufferPool::PAGE && page.is_empty()));
        pages.into_iter().for_each(|page| pool.give(page));
        assert_eq!((pool.pages.len(), pool.waiting()), (PAGES_KEPT, (0, SUPERS_KEPT)));
    }

    #[test]
    fn a_long_packet_leaves_with_its_slot_and_a_short_one_without() {
        let mut pool = BufferPool::new();
        let mut slots = pool.take_slots(2);
        slots[0].extend(60_000);
        slots[1].spare()[..2].copy_from_slice(&[7, 8]);
        slots[1].extend(2);
        let memory = slots[0].frame().as_ptr();
        let long = pool.frame_from(&mut slots[0]).unwrap();
        let short = pool.frame_from(&mut slots[1]).unwrap();
        assert_eq!((long.frame().as_ptr(), long.len(), short.frame()), (memory, 60_000, &[7, 8][..]));
        assert!(short.capacity() < SUPER_BYTES);
        assert!(slots.iter().all(|s| s.is_empty() && s.capacity() >= SUPER_BYTES));
        pool.give_slots(slots);
        assert_eq!(pool.take_slots(3).len(), 3);
    }
}
