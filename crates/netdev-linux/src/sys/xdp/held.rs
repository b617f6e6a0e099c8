//! Frames that the kernel has, known by where they are.
//!
//! Where it sits: each half of a socket has those that it has given to the kernel, in whatever ring they are.
//!
//! I1  A frame here lies in the arena, and nobody looks at it before the kernel has given it back.

use netdev::Frame;

use crate::sys::arena::{self, CHUNK, CHUNKS};

/// Frames by the number of their chunk.
pub(super) struct Held {
    frames: Box<[Option<Frame>]>,
    count: u32,
}

impl Held {
    pub fn new() -> Held {
        Held { frames: (0..CHUNKS).map(|_| None).collect(), count: 0 }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes `frame`, whose chunk's address is the result.
    ///
    /// # Errors
    /// The frame, if it does not lie in the arena.
    #[inline]
    pub fn put(&mut self, frame: Frame) -> Result<u64, Frame> {
        let chunk = arena::offset_of(frame.memory()).map(|offset| offset as usize / CHUNK);
        let Some((chunk, place)) = chunk.and_then(|at| Some((at, self.frames.get_mut(at)?))) else {
            return Err(frame);
        };
        *place = Some(frame);
        self.count += 1;
        Ok((chunk * CHUNK) as u64)
    }

    /// The frame in whose chunk `address` is, and how far in.
    #[inline]
    pub fn take(&mut self, address: u64) -> Option<(Frame, usize)> {
        let address = address as usize;
        let frame = self.frames.get_mut(address / CHUNK)?.take()?;
        self.count -= 1;
        Some((frame, address % CHUNK))
    }

    /// All of them.
    pub fn drain(&mut self) -> Vec<Frame> {
        self.count = 0;
        self.frames.iter_mut().filter_map(Option::take).collect()
    }
}
