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

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::{Offload, PacketBuf};

/// An owned frame with room in front for headers that are pushed.
///
/// It is one pointer, for packets move often: out of a batch, into a queue, back to a pool.
#[derive(Clone, Debug, Default)]
pub struct FlatPacket(Option<Box<[Flat; 1]>>);

/// What a packet points to: one cache line.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Flat {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    offload: Offload,
}

const _: () = assert!(size_of::<Flat>() == 64);

/// What a packet without memory points to.
static NONE: Flat = Flat { memory: Vec::new(), start: 0, end: 0, offload: Offload::NONE };

impl PartialEq for FlatPacket {
    fn eq(&self, other: &FlatPacket) -> bool {
        self.frame() == other.frame() && self.offload() == other.offload()
    }
}

impl Eq for FlatPacket {}

impl Flat {
    fn frame(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    fn extend(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.memory.len());
    }

    /// Moves the frame so that there are `n` bytes more in front; the memory grows if it must.
    #[cold]
    #[inline(never)]
    fn move_back(&mut self, n: usize) -> Option<()> {
        self.tail(n)?;
        let to = self.start.checked_add(n)?;
        self.memory.copy_within(self.start..self.end, to);
        (self.start, self.end) = (to, self.end.checked_add(n)?);
        Some(())
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

impl FlatPacket {
    /// Room in front that a fresh packet gets: enough for the largest tunnel header.
    pub const HEADROOM: usize = 128;

    #[inline]
    fn flat(&self) -> &Flat {
        match self.0.as_deref() {
            Some([flat]) => flat,
            None => &NONE,
        }
    }

    #[inline]
    fn flat_mut(&mut self) -> Option<&mut Flat> {
        self.0.as_deref_mut().map(|[flat]| flat)
    }

    /// The same, made if there is none; `None` if memory is short.
    fn make(&mut self) -> Option<&mut Flat> {
        if self.0.is_none() {
            let mut one = Vec::new();
            one.try_reserve_exact(1).ok()?;
            one.push(Flat::default());
            self.0 = one.into_boxed_slice().try_into().ok();
        }
        self.flat_mut()
    }

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
        let mut packet = FlatPacket(None);
        *packet.make()? = Flat { memory, start: headroom, end: headroom, offload: Offload::NONE };
        Some(packet)
    }

    /// Empties the frame and gives it `headroom` again; keeps the memory.
    pub fn reset(&mut self, headroom: usize) {
        if let Some(flat) = self.flat_mut() {
            flat.start = headroom.min(flat.memory.len());
            flat.end = flat.start;
            flat.offload = Offload::NONE;
        }
    }

    /// Replaces the frame by `bytes`, with `headroom`, as after [`FlatPacket::reset`]; false if memory is short, and the
    /// frame is empty then.
    #[must_use]
    #[inline]
    pub fn assign(&mut self, headroom: usize, bytes: &[u8]) -> bool {
        let fits = self.flat_mut().and_then(|flat| {
            let end = headroom.checked_add(bytes.len())?;
            let room = flat.memory.get_mut(headroom..end)?;
            room.copy_from_slice(bytes);
            (flat.start, flat.end, flat.offload) = (headroom, end, Offload::NONE);
            Some(())
        });
        fits.is_some() || {
            self.reset(headroom);
            self.append(bytes)
        }
    }

    /// Appends `bytes`; false, and no change, if memory is short.
    #[must_use]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let Some(flat) = self.make() else { return false };
        let Some(room) = flat.tail(bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        flat.end = flat.end.saturating_add(bytes.len());
        true
    }

    /// Bytes of memory that the packet holds, headroom included.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.flat().memory.len()
    }

    /// The frame.
    pub fn frame(&self) -> &[u8] {
        self.flat().frame()
    }

    /// All memory that the packet holds.
    #[inline]
    pub fn memory(&self) -> &[u8] {
        &self.flat().memory
    }

    /// The memory behind the frame, of unspecified content: to be written, and then taken in by
    /// [`FlatPacket::extend`].
    pub fn spare(&mut self) -> &mut [u8] {
        self.flat_mut().and_then(|flat| flat.memory.get_mut(flat.end..)).unwrap_or_default()
    }

    /// Takes `n` bytes of [`FlatPacket::spare`] into the frame, as many as there are.
    pub fn extend(&mut self, n: usize) {
        if let Some(flat) = self.flat_mut() {
            flat.extend(n);
        }
    }

    /// Makes room behind the frame for `n` bytes more and calls `fill` with them; the frame grows by what `fill`
    /// returns, at most `n`.
    pub fn fill(&mut self, n: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let Some(flat) = self.make() else { return 0 };
        let Some(room) = flat.tail(n) else { return 0 };
        room.fill(0);
        let got = fill(room).min(n);
        flat.extend(got);
        got
    }
}

impl PacketBuf for FlatPacket {
    #[inline]
    fn len(&self) -> usize {
        self.frame().len()
    }

    #[inline]
    fn head(&self) -> &[u8] {
        self.frame()
    }

    #[inline]
    fn head_mut(&mut self) -> &mut [u8] {
        self.flat_mut().and_then(|flat| flat.memory.get_mut(flat.start..flat.end)).unwrap_or_default()
    }

    fn pull_up(&mut self, _n: usize) -> bool {
        true
    }

    fn push_front(&mut self, n: usize) -> Option<&mut [u8]> {
        let flat = self.flat_mut()?;
        if flat.start < n {
            flat.move_back(n - flat.start)?;
        }
        flat.start = flat.start.checked_sub(n)?;
        flat.offload.shift(i32::try_from(n).ok()?);
        flat.memory.get_mut(flat.start..flat.start.checked_add(n)?)
    }

    fn pull_front(&mut self, n: usize) -> bool {
        let len = self.len();
        let Some(flat) = self.flat_mut() else { return n == 0 };
        if n > len {
            return false;
        }
        flat.start = flat.start.saturating_add(n);
        flat.offload.shift(i32::try_from(n).map_or(i32::MIN, |n| -n));
        true
    }

    fn truncate(&mut self, len: usize) {
        if let Some(flat) = self.flat_mut() {
            flat.end = flat.end.min(flat.start.saturating_add(len));
        }
    }

    fn copy_out(&self, off: usize, out: &mut [u8]) -> usize {
        let from = self.frame().get(off..).unwrap_or_default();
        let n = from.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        n
    }

    #[inline]
    fn offload(&self) -> &Offload {
        &self.flat().offload
    }

    fn offload_mut(&mut self) -> &mut Offload {
        let [flat] = &mut **self.0.get_or_insert_default();
        &mut flat.offload
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
    }

    #[test]
    fn a_frame_moves_where_there_is_too_little_room_in_front() {
        let mut p = FlatPacket::try_with_capacity(6, 2).unwrap();
        assert!(p.append(&[1, 2, 3, 4]));
        p.push_front(4).unwrap().copy_from_slice(&[6, 7, 8, 9]);
        assert_eq!((p.frame(), p.capacity()), (&[6, 7, 8, 9, 1, 2, 3, 4][..], 8), "into the room behind");
        p.push_front(300).unwrap().fill(5);
        assert_eq!((p.len(), p.capacity()), (308, 308), "memory grows");
        assert_eq!(p.frame().get(299..), Some(&[5, 6, 7, 8, 9, 1, 2, 3, 4][..]));
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
        assert!(p.assign(3, &[1, 2, 3, 4]) && p.push_front(3).is_some());
        assert!(p.assign(1, &[5]), "again");
        assert_eq!((p.frame(), p.capacity()), (&[5][..], 7));
        assert!(p.assign(1, &[7; 9]), "memory grows");
        assert_eq!((p.frame(), p.capacity()), (&[7; 9][..], 10));
        p.reset(2);
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
