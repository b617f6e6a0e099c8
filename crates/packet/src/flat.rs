//! A packet in one piece of memory: the buffer of tests, of upcalls, of fragments, and of hosts without a better one.
//!
//! Where it sits: one implementation of [`PacketBuf`] among others.
//!
//! ~~~text
//! |<- headroom ->|<------- frame ------->|<- tailroom ->|
//! 0            start                    end         capacity
//! ~~~

use alloc::vec::Vec;

use crate::{Offload, PacketBuf};

/// An owned frame with room in front for headers that are pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlatPacket {
    memory: Vec<u8>,
    start: usize,
    offload: Offload,
}

impl FlatPacket {
    /// Room in front that a fresh packet gets: enough for the largest tunnel header.
    pub const HEADROOM: usize = 128;

    /// A copy of `frame` with [`FlatPacket::HEADROOM`]; `None` if memory is short.
    pub fn try_from_frame(frame: &[u8]) -> Option<FlatPacket> {
        let mut p = FlatPacket::try_with_capacity(frame.len(), Self::HEADROOM)?;
        p.memory.extend_from_slice(frame);
        Some(p)
    }

    /// An empty frame that can take `len` bytes behind and `headroom` in front without growing; `None` if memory is
    /// short.
    pub fn try_with_capacity(len: usize, headroom: usize) -> Option<FlatPacket> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(headroom.checked_add(len)?).ok()?;
        memory.resize(headroom, 0);
        Some(FlatPacket { memory, start: headroom, offload: Offload::default() })
    }

    /// Empties the frame and gives it `headroom` again; keeps the memory.
    pub fn reset(&mut self, headroom: usize) {
        self.memory.clear();
        self.memory.resize(headroom.min(self.memory.capacity()), 0);
        self.start = self.memory.len();
        self.offload = Offload::default();
    }

    /// Appends `bytes`; false, and no change, if memory is short.
    #[must_use]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        if self.memory.try_reserve(bytes.len()).is_err() {
            return false;
        }
        self.memory.extend_from_slice(bytes);
        true
    }

    /// Bytes of memory that the packet holds, headroom included.
    pub fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    /// The frame.
    pub fn frame(&self) -> &[u8] {
        self.memory.get(self.start..).unwrap_or_default()
    }

    /// Makes room behind the frame for `n` bytes more and calls `fill` with them; the frame grows by what `fill`
    /// returns, at most `n`.
    pub fn fill(&mut self, n: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let before = self.memory.len();
        if self.memory.try_reserve(n).is_err() {
            return 0;
        }
        self.memory.resize(before.saturating_add(n), 0);
        let got = fill(self.memory.get_mut(before..).unwrap_or_default()).min(n);
        self.memory.truncate(before.saturating_add(got));
        got
    }
}

impl PacketBuf for FlatPacket {
    fn len(&self) -> usize {
        self.memory.len().saturating_sub(self.start)
    }

    fn head(&self) -> &[u8] {
        self.frame()
    }

    fn head_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..).unwrap_or_default()
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
        self.memory.truncate(self.start.saturating_add(len));
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
}
