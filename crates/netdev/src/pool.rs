//! A pool of frame buffers.
//!
//! Where it sits: one per polling thread, lent to the queues of the devices that it polls. A buffer that comes back
//! keeps its memory, so that a steady stream of packets allocates nothing.

use packet::PacketBuf;

use crate::Frame;

/// Buffers kept at most.
const KEPT: usize = 2048;
/// Buffers with more memory than this are freed, not kept: super-packets are rarer than frames.
const KEPT_BYTES: usize = 4096;
/// Room for the frame in a fresh buffer.
const FRESH_BYTES: usize = 2048;

/// Buffers for frames: taken by receive queues, given back by transmit queues.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Vec<Frame>,
    scratch: Vec<u8>,
}

impl BufferPool {
    /// A pool without buffers; it gets them as it is used.
    pub fn new() -> BufferPool {
        BufferPool::default()
    }

    /// An empty frame with headroom and room for `len` bytes; `None` if memory is short.
    pub fn take(&mut self, len: usize) -> Option<Frame> {
        if len <= FRESH_BYTES
            && let Some(mut frame) = self.free.pop()
        {
            frame.reset(Frame::HEADROOM);
            return Some(frame);
        }
        Frame::try_with_capacity(len.max(FRESH_BYTES), Frame::HEADROOM)
    }

    /// A frame that holds `bytes`; `None` if memory is short.
    pub fn copy_of(&mut self, bytes: &[u8]) -> Option<Frame> {
        let mut frame = self.take(bytes.len())?;
        frame.append(bytes).then_some(frame)
    }

    /// A copy of `frame` with its offload state; `None` if memory is short.
    pub fn clone_of(&mut self, frame: &Frame) -> Option<Frame> {
        let mut copy = self.copy_of(frame.frame())?;
        *copy.offload_mut() = *frame.offload();
        Some(copy)
    }

    /// Takes a buffer back.
    pub fn give(&mut self, frame: Frame) {
        let room = frame.capacity();
        if self.free.len() < KEPT && (FRESH_BYTES + Frame::HEADROOM..=KEPT_BYTES).contains(&room) {
            self.free.push(frame);
        }
    }

    /// Memory of at least `len` bytes for a moment, its content unspecified: what is received is first put here, as
    /// one never knows how long it will be. To be given back.
    pub fn take_scratch(&mut self, len: usize) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.scratch);
        if scratch.len() < len {
            // A fresh vector, not a longer one: zeroed memory that is never touched costs nothing.
            scratch = vec![0; len];
        }
        scratch
    }

    /// Takes scratch memory back.
    pub fn give_scratch(&mut self, scratch: Vec<u8>) {
        if scratch.len() > self.scratch.len() {
            self.scratch = scratch;
        }
    }

    /// Buffers waiting to be used.
    pub fn len(&self) -> usize {
        self.free.len()
    }

    /// True if no buffer waits.
    pub fn is_empty(&self) -> bool {
        self.free.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_large_ones_are_freed() {
        let mut pool = BufferPool::new();
        let small = pool.copy_of(&[1, 2, 3]).unwrap();
        let large = pool.copy_of(&[0; 60_000]).unwrap();
        pool.give(small);
        pool.give(large);
        assert_eq!(pool.len(), 1);
        let again = pool.take(2048).unwrap();
        assert!(again.is_empty() && pool.is_empty());
    }
}
