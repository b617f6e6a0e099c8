//! A packet in one piece of memory: the buffer of tests, of upcalls, of fragments, and of hosts without a better one.
//!
//! Where it sits: one implementation of [`PacketBuf`] among others.
//!
//! ~~~text
//! |<- headroom ->|<------- frame ------->|<- tailroom ->|
//! 0            start                    end          memory
//! ~~~
//!
//! The memory is initialised once; moving `start` and `end` costs nothing, so that a buffer of 64 kB can be received
//! into, emptied and received into again without being cleared.

use alloc::vec::Vec;

use crate::{Offload, PacketBuf};

/// An owned frame with room in front for headers that are pushed.
#[derive(Clone, Debug, Default)]
pub struct FlatPacket {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    offload: Offload,
}

impl PartialEq for FlatPacket {
    fn eq(&self, other: &FlatPacket) -> bool {
        self.frame() == other.frame() && self.offload == other.offload
    }
}

impl Eq for FlatPacket {}

impl FlatPacket {
    /// Room in front that a fresh packet gets: enough for the largest tunnel header.
    pub const HEADROOM: usize = 128;

    /// A copy of `frame` with [`FlatPacket::HEADROOM`]; `None` if memory is short.
    pub fn try_from_frame(frame: &[u8]) -> Option<FlatPacket> {
        let mut p = FlatPacket::try_with_capacity(frame.len(), Self::HEADROOM)?;
        p.append(frame).then_some(p)
    }

    /// An empty frame that can take `len` bytes behind and `headroom` in front without growing; `None` if memory is
    /// short.
    pub fn try_with_capacity(len: usize, headroom: usize) -> Option<FlatPacket> {
        let mut memory = Vec::new();
        let all = headroom.checked_add(len)?;
        memory.try_reserve_exact(all).ok()?;
        memory.resize(all, 0);
        Some(FlatPacket { memory, start: headroom, end: headroom, offload: Offload::default() })
    }

    /// Empties the frame and gives it `headroom` again; keeps the memory.
    pub fn reset(&mut self, headroom: usize) {
        self.start = headroom.min(self.memory.len());
        self.end = self.start;
        self.offload = Offload::default();
    }

    /// Appends `bytes`; false, and no change, if memory is short.
    #[must_use]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.tail(bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        self.end = self.end.saturating_add(bytes.len());
        true
    }

    /// Bytes of memory that the packet holds, headroom included.
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// The frame.
    pub fn frame(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    /// The memory behind the frame, of unspecified content: to be written, and then taken in by
    /// [`FlatPacket::extend`].
    pub fn spare(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes `n` bytes of [`FlatPacket::spare`] into the frame, as many as there are.
    pub fn extend(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.memory.len());
    }

    /// Makes room behind the frame for `n` bytes more and calls `fill` with them; the frame grows by what `fill`
    /// returns, at most `n`.
    pub fn fill(&mut self, n: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let Some(room) = self.tail(n) else { return 0 };
        room.fill(0);
        let got = fill(room).min(n);
        self.extend(got);
        got
    }

    /// `n` bytes behind the frame; the memory grows if it must.
    fn tail(&mut self, n: usize) -> Option<&mut [u8]> {
        let end = self.end.checked_add(n)?;
        if let Some(more) = end.checked_sub(self.memory.len()) {
            self.memory.try_reserve(more).ok()?;
            self.memory.resize(end, 0);
        }
        self.memory.get_mut(self.end..end)
    }
}

impl PacketBuf for FlatPacket {
    fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    fn head(&self) -> &[u8] {
        self.frame()
    }

    fn head_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.end).unwrap_or_default()
    }

    fn pull_up(&mut self, _n: usize) -> bool {
        true
    }

    fn push_front(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        self.offload.shift(i32::try_from(n).ok()?);
        self.memory.get_mut(self.start..self.start.checked_add(n)?)
    }

    fn pull_front(&mut self, n: usize) -> bool {
        if n > self.len() {
            return false;
        }
        self.start = self.start.saturating_add(n);
        self.offload.shift(i32::try_from(n).map_or(i32::MIN, |n| -n));
        true
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    fn copy_out(&self, off: usize, out: &mut [u8]) -> usize {
        let from = self.frame().get(off..).unwrap_or_default();
        let n = from.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        n
    }

    fn offload(&self) -> &Offload {
        &self.offload
    }

    fn offload_mut(&mut self) -> &mut Offload {
        &mut self.offload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_moves_and_back_is_cut() {
        let mut p = FlatPacket::try_from_frame(&[1, 2, 3, 4]).unwrap();
        p.push_front(2).unwrap().copy_from_slice(&[8, 9]);
        assert_eq!(p.frame(), [8, 9, 1, 2, 3, 4]);
        assert!(p.pull_front(3));
        p.truncate(2);
        assert_eq!(p.frame(), [2, 3]);
        assert!(!p.pull_front(3));
        assert!(p.push_front(FlatPacket::HEADROOM + 10).is_none());
    }

    #[test]
    fn what_is_written_behind_is_taken_in() {
        let mut p = FlatPacket::try_with_capacity(4, 2).unwrap();
        p.spare()[..3].copy_from_slice(&[1, 2, 3]);
        p.extend(3);
        assert_eq!(p.frame(), [1, 2, 3]);
        assert!(p.append(&[4, 5]), "memory grows");
        assert_eq!((p.frame(), p.capacity()), (&[1, 2, 3, 4, 5][..], 7));
        p.extend(9);
        assert_eq!(p.len(), 5);
        p.reset(2);
        assert_eq!((p.len(), p.spare().len()), (0, 5));
        assert_eq!(
            p.fill(2, |room| {
                room.copy_from_slice(&[9, 9]);
                1
            }),
            1
        );
        assert_eq!(p.frame(), [9]);
    }
}
