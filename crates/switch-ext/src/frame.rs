//! A frame as the core sees it: its first bytes in a block of our own, the rest where it came from.
//!
//! Where it sits: made by a lane from each frame of a received packet, or from what user space wants sent; handled by the
//! worker; turned into a packet again by `plan`.
//!
//! ~~~text
//! block:  |<- 256 bytes of room ->|<- head ->|<- room ->|      rest:  view of the received packet, from `skip` on
//! ~~~
//!
//! I1  The head is private: nobody else writes to it, and nobody sees what is written to it.
//! I2  A VLAN tag that came beside the frame is put into the head, so that the core sees tags in one way.

use alloc::vec::Vec;
use core::ops::Range;

use flow::extract::HEADER_BYTES;
use packet::{FlatPacket, Offload, PacketBuf};

use crate::platform::{Block, Platform, View};

/// Room in front of the head for headers that are pushed.
pub(crate) const HEADROOM: usize = 256;
/// The frame of no received packet.
pub(crate) const NO_ORIGIN: u16 = u16::MAX;
const TAG: usize = wire::eth::VLAN_LEN;
const ADDRESSES: usize = 12;

enum Rest<V> {
    None,
    View { view: V, skip: usize, len: usize },
    Flat { packet: FlatPacket, skip: usize, len: usize },
}

/// A frame in the core's hands.
pub struct Frame<P: Platform> {
    block: P::Block,
    start: usize,
    end: usize,
    rest: Rest<P::View>,
    offload: Offload,
    /// Which of the lane's received packets it belongs to.
    pub(crate) origin: u16,
}

impl<P: Platform> core::fmt::Debug for Frame<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Frame")
            .field("len", &self.len())
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl<P: Platform> Frame<P> {
    /// A frame without bytes.
    pub(crate) fn empty(block: P::Block) -> Frame<P> {
        Frame {
            block,
            start: HEADROOM,
            end: HEADROOM,
            rest: Rest::None,
            offload: Offload::default(),
            origin: NO_ORIGIN,
        }
    }

    /// A frame of a received packet.
    pub(crate) fn of_view(block: P::Block, view: P::View, origin: u16) -> Frame<P> {
        let len = view.len();
        let mut frame = Frame { origin, ..Frame::empty(block) };
        frame.rest = Rest::View { view, skip: 0, len };
        // The first bytes fit: a block has room for them by the platform's promise.
        let _ = frame.pull_up(HEADER_BYTES);
        frame
    }

    /// A frame that user space wants sent.
    pub(crate) fn of_flat(block: P::Block, packet: FlatPacket) -> Frame<P> {
        let mut frame = Frame::empty(block);
        frame.offload = *packet.offload();
        let len = packet.len();
        frame.rest = Rest::Flat { packet, skip: 0, len };
        let _ = frame.pull_up(HEADER_BYTES);
        frame
    }

    fn rest_len(&self) -> usize {
        match &self.rest {
            Rest::None => 0,
            Rest::View { len, .. } | Rest::Flat { len, .. } => *len,
        }
    }

    fn rest_copy(&self, off: usize, out: &mut [u8]) -> usize {
        let n = self.rest_len().saturating_sub(off).min(out.len());
        let Some(out) = out.get_mut(..n) else { return 0 };
        match &self.rest {
            Rest::None => 0,
            Rest::View { view, skip, .. } => view.copy_out(skip.saturating_add(off), out),
            Rest::Flat { packet, skip, .. } => packet.copy_out(skip.saturating_add(off), out),
        }
    }

    fn rest_skip(&mut self, n: usize) {
        if let Rest::View { skip, len, .. } | Rest::Flat { skip, len, .. } = &mut self.rest {
            (*skip, *len) = (skip.saturating_add(n), len.saturating_sub(n));
        }
    }

    /// Puts a tag behind the addresses; false if there is no room or there are no addresses.
    pub(crate) fn insert_tag(&mut self, tci: u16) -> bool {
        if self.head().len() < ADDRESSES || self.push_front(TAG).is_none() {
            return false;
        }
        let head = self.head_mut();
        head.copy_within(TAG..TAG + ADDRESSES, 0);
        let [a, b] = tci.to_be_bytes();
        wire::bytes::put(head, ADDRESSES, &[0x81, 0x00, a, b]).is_some()
    }

    /// Takes the outermost 802.1Q tag off, and returns it.
    pub(crate) fn strip_tag(&mut self) -> Option<u16> {
        let head = self.head_mut();
        if head.get(ADDRESSES..ADDRESSES + 2)? != [0x81, 0x00] {
            return None;
        }
        let tci = wire::bytes::u16_at(head, ADDRESSES + 2)?;
        head.copy_within(0..ADDRESSES, TAG);
        self.pull_front(TAG).then_some(tci)
    }

    /// True if the frame has exactly the bytes of the received one that `view` shows.
    pub(crate) fn equals(&self, view: &P::View) -> bool {
        let aligned = match &self.rest {
            Rest::None => true,
            Rest::View { skip, .. } => *skip == self.head().len(),
            Rest::Flat { .. } => false,
        };
        aligned && self.len() == view.len() && view.starts_with(self.head())
    }

    /// Bytes that were read, and on which decisions may stand.
    pub(crate) fn head_len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// A copy of the whole frame for user space; `None` if memory is short.
    pub(crate) fn to_flat(&self) -> Option<FlatPacket> {
        let len = self.len();
        let mut flat = FlatPacket::try_with_capacity(len, FlatPacket::HEADROOM)?;
        if flat.fill(len, |out| self.copy_out(0, out)) != len {
            return None;
        }
        *flat.offload_mut() = self.offload;
        Some(flat)
    }

    /// A copy of the frame, with a block of its own; `None` if memory is short.
    pub(crate) fn try_clone(&self, mut block: P::Block) -> Option<Frame<P>> {
        block.bytes_mut().get_mut(self.start..self.end)?.copy_from_slice(self.head());
        let rest = match &self.rest {
            Rest::None => Rest::None,
            Rest::View { view, skip, len } => Rest::View { view: view.clone(), skip: *skip, len: *len },
            Rest::Flat { len, .. } => {
                let mut packet = FlatPacket::try_with_capacity(*len, 0)?;
                packet.fill(*len, |out| self.rest_copy(0, out));
                Rest::Flat { packet, skip: 0, len: *len }
            }
        };
        let (start, end, offload, origin) = (self.start, self.end, self.offload, self.origin);
        Some(Frame { block, start, end, rest, offload, origin })
    }

    /// Moves the whole frame into blocks of our own; false if memory is short.
    pub(crate) fn into_pieces(mut self, platform: &P, pieces: &mut Vec<(P::Block, Range<usize>)>) -> bool {
        let _ = self.pull_up(usize::MAX);
        let mut left = self.rest_len();
        let mut off = 0;
        pieces.clear();
        while left != 0 {
            let Some(mut block) = platform.block() else { break };
            let n = self.rest_copy(off, block.bytes_mut());
            if n == 0 || pieces.len() + 1 >= pieces.capacity() {
                break;
            }
            pieces.push((block, 0..n));
            (off, left) = (off.saturating_add(n), left.saturating_sub(n));
        }
        let done = left == 0;
        if done {
            pieces.insert(0, (self.block, self.start..self.end));
        } else {
            pieces.clear();
        }
        done
    }
}

impl<P: Platform> PacketBuf for Frame<P> {
    fn len(&self) -> usize {
        self.head_len().saturating_add(self.rest_len())
    }

    fn head(&self) -> &[u8] {
        self.block.bytes().get(self.start..self.end).unwrap_or_default()
    }

    fn head_mut(&mut self) -> &mut [u8] {
        self.block.bytes_mut().get_mut(self.start..self.end).unwrap_or_default()
    }

    fn pull_up(&mut self, n: usize) -> bool {
        let want = n.min(self.len()).saturating_sub(self.head_len());
        let room = self.block.bytes().len().saturating_sub(self.end);
        let take = want.min(room);
        if take == 0 {
            return want == 0;
        }
        // Straight into the block: it is not borrowed by the rest.
        let (end, last) = (self.end, self.end.saturating_add(take));
        let got = match (&self.rest, self.block.bytes_mut().get_mut(end..last)) {
            (Rest::View { view, skip, .. }, Some(out)) => view.copy_out(*skip, out),
            (Rest::Flat { packet, skip, .. }, Some(out)) => packet.copy_out(*skip, out),
            _ => 0,
        };
        self.end = self.end.saturating_add(got);
        self.rest_skip(got);
        got == want
    }

    fn push_front(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        self.offload.shift(i32::try_from(n).ok()?);
        self.block.bytes_mut().get_mut(self.start..self.start.checked_add(n)?)
    }

    fn pull_front(&mut self, n: usize) -> bool {
        if n > self.len() {
            return false;
        }
        let from_head = n.min(self.head_len());
        self.start = self.start.saturating_add(from_head);
        self.rest_skip(n.saturating_sub(from_head));
        self.offload.shift(i32::try_from(n).map_or(i32::MIN, |n| -n));
        true
    }

    fn truncate(&mut self, len: usize) {
        let head = self.head_len();
        if len < head {
            self.end = self.start.saturating_add(len);
            self.rest = Rest::None;
        } else if let Rest::View { len: rest, .. } | Rest::Flat { len: rest, .. } = &mut self.rest {
            *rest = (*rest).min(len.saturating_sub(head));
        }
    }

    fn copy_out(&self, off: usize, out: &mut [u8]) -> usize {
        let from = self.head().get(off..).unwrap_or_default();
        let n = from.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        let rest_off = off.saturating_sub(self.head_len());
        n.saturating_add(self.rest_copy(rest_off, out.get_mut(n..).unwrap_or_default()))
    }

    fn offload(&self) -> &Offload {
        &self.offload
    }

    fn offload_mut(&mut self) -> &mut Offload {
        &mut self.offload
    }
}
