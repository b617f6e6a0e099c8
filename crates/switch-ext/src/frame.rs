//! A frame as the core sees it: its first bytes in a block of our own, the rest where it came from.
//!
//! Where it sits: made by a lane from each frame of a packet in hand; handled by the worker; turned into a packet again on
//! its way out, if it has changed.
//!
//! ~~~text
//! block:  |<- 384 bytes of room ->|<- head ->|<- room ->|      rest:  view of the packet in hand, from `skip` on
//! ~~~
//!
//! A frame that came through a tunnel in parts lies in a block of its own size, whole.
//!
//! I1  The head is private: nobody else writes to it, and nobody sees what is written to it.
//! I2  A VLAN tag that came beside the frame is put into the head, so that the core sees tags in one way.

use alloc::vec::Vec;
use core::ops::Range;

use flow::extract::HEADER_BYTES;
use packet::{L4Checksum, Offload, PacketBuf};
use wire::checksum::{pseudo_v4, pseudo_v6};
use wire::{EthAddr, bytes, eth, ip, ipv4, ipv6};

use crate::platform::{Block, Platform, View};
use crate::policy::Tag;

/// Room in front of the head for headers that are pushed.
pub(crate) const HEADROOM: u32 = 384;
/// The frame of no packet in hand.
pub(crate) const NO_ORIGIN: u8 = u8::MAX;
const TAG: usize = eth::VLAN_LEN;
const ADDRESSES: usize = 12;
const IPV6_HEADER: usize = 40;

/// Whether a pseudo header's sum counts the segment's length. NDIS leaves it to hardware where that cuts the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// It does.
    Counted,
    /// It is left out.
    Left,
}

/// What is not in the block: `len` bytes of a packet from `skip` on.
struct Rest<V> {
    view: V,
    skip: u32,
    len: u32,
}

/// A frame in the core's hands.
pub struct Frame<P: Platform> {
    block: P::Block,
    rest: Option<Rest<P::View>>,
    start: u32,
    end: u32,
    offload: Offload,
    /// Which of the lane's received packets it belongs to.
    pub(crate) origin: u8,
    /// The checksum of its IPv4 header is left to hardware.
    pub(crate) lacks_ip_sum: bool,
    /// Nothing of what the packet left to hardware is left: only what the offload says.
    pub(crate) finished: bool,
    /// Its head may have been written to.
    written: bool,
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
        Frame::empty_at(block, HEADROOM)
    }

    /// The same with `start` bytes of room in front.
    pub(crate) fn empty_at(block: P::Block, start: u32) -> Frame<P> {
        let offload = Offload::default();
        let (origin, lacks_ip_sum, finished, written) = (NO_ORIGIN, false, false, false);
        Frame { block, rest: None, start, end: start, offload, origin, lacks_ip_sum, finished, written }
    }

    /// A frame of a packet in hand, with its first bytes; `None` if they cannot be read for want of memory. What is beside the
    /// frame has to be put into them.
    pub(crate) fn of_view(block: P::Block, view: P::View, origin: u8) -> Option<Frame<P>> {
        let len = u32::try_from(view.len()).unwrap_or(0);
        let mut frame = Frame { origin, ..Frame::empty(block) };
        frame.rest = Some(Rest { view, skip: 0, len });
        // They fit: a block has room for them by the platform's promise.
        frame.pull_up(HEADER_BYTES).then_some(frame)
    }

    fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    fn rest_len(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| rest.len as usize)
    }

    fn rest_copy(&self, off: usize, out: &mut [u8]) -> usize {
        let n = self.rest_len().saturating_sub(off).min(out.len());
        match (&self.rest, out.get_mut(..n)) {
            (Some(rest), Some(out)) => rest.view.copy_out((rest.skip as usize).saturating_add(off), out),
            _ => 0,
        }
    }

    fn rest_skip(&mut self, n: usize) {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if let Some(rest) = &mut self.rest {
            (rest.skip, rest.len) = (rest.skip.saturating_add(n), rest.len.saturating_sub(n));
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
        bytes::put(head, ADDRESSES, &[0x81, 0x00, a, b]).is_some()
    }

    /// Takes the outermost tag off, if it is one of 802.1Q.
    pub(crate) fn strip_tag(&mut self) {
        if let Tag::Vlan(_) = self.tag() {
            self.head_mut().copy_within(0..ADDRESSES, TAG);
            // It is there: its type was read behind it.
            let _ = self.pull_front(TAG);
        }
    }

    /// The outermost tag.
    pub(crate) fn tag(&self) -> Tag {
        let head = self.head();
        match bytes::u16_at(head, ADDRESSES) {
            Some(eth::TYPE_VLAN) => bytes::u16_at(head, ADDRESSES + 2).map_or(Tag::None, Tag::Vlan),
            Some(kind) if eth::is_vlan(kind) => Tag::Other,
            _ => Tag::None,
        }
    }

    /// Where it comes from; `None` if it is too short to say.
    pub(crate) fn eth_src(&self) -> Option<EthAddr> {
        let address = self.head().get(ADDRESSES / 2..ADDRESSES)?;
        Some(EthAddr(address.try_into().ok()?))
    }

    /// True if the frame has exactly the bytes with which it came; what was written to is compared.
    pub(crate) fn is_as_it_came(&self) -> bool {
        self.rest.as_ref().is_some_and(|Rest { view, skip, .. }| {
            let whole = *skip as usize == self.head_len() && self.len() == view.len();
            whole && (!self.written || view.starts_with(self.head()))
        })
    }

    /// The block, without what was in it.
    pub(crate) fn into_block(self) -> P::Block {
        self.block
    }

    /// Bytes of its block.
    pub(crate) fn block_len(&self) -> usize {
        self.block.bytes().len()
    }

    /// Bytes that were read, and on which decisions may stand.
    pub(crate) fn head_len(&self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// The type of the network header, and where it begins.
    fn l3(&self) -> Option<(u16, usize)> {
        let head = self.head();
        let mut at = ADDRESSES;
        loop {
            match bytes::u16_at(head, at)? {
                tag if eth::is_vlan(tag) => at = at.saturating_add(TAG),
                kind => return Some((kind, at.saturating_add(2))),
            }
        }
    }

    /// Computes the checksum of an IPv4 header, if that is what the frame has.
    pub(crate) fn complete_ip(&mut self) {
        let Some((eth::TYPE_IPV4, l3)) = self.l3() else { return };
        let head = self.head_mut();
        let len = bytes::u8_at(head, l3).map_or(0, |b| usize::from(b & 0xf).saturating_mul(4));
        let Some(header) = head.get_mut(l3..).and_then(|h| h.get_mut(..len)) else { return };
        if bytes::put(header, 10, &[0, 0]).is_some() {
            let sum = wire::checksum::checksum(header);
            // The header is there: the byte before was.
            let _ = bytes::put(header, 10, &sum.to_be_bytes());
        }
    }

    /// True if its bytes do not fit into its block.
    pub(crate) fn is_longer_than_its_block(&self) -> bool {
        self.rest_len() > self.block_len().saturating_sub(self.end as usize)
    }

    /// Moves the whole frame into `block`, with the usual room in front; if it does not fit, nothing changes.
    pub(crate) fn move_to(&mut self, mut block: P::Block) {
        let (start, len) = (HEADROOM as usize, self.len());
        let end = start.saturating_add(len);
        let out = block.bytes_mut().get_mut(start..end).unwrap_or_default();
        if out.len() != len || self.copy_out(0, out) != len {
            return;
        }
        (self.block, self.rest) = (block, None);
        (self.start, self.end, self.written) = (HEADROOM, end as u32, true);
    }

    /// Does what was left to hardware; false if the packet does not fit into a block.
    pub(crate) fn finish(&mut self) -> bool {
        self.finished = self.finish_network() && tunnel::complete(self).is_some();
        self.finished
    }

    /// Does what was left to hardware and STT's header cannot say: that says the rest.
    pub(crate) fn finish_for_stt(&mut self) -> bool {
        let is_large = self.offload.segment.is_some();
        // Large sends come without the checksum of their IP header, and nothing beside them says so.
        self.lacks_ip_sum |= is_large;
        self.finished = self.finish_network() && (!is_large || self.sum_pseudo_header(Length::Counted));
        self.finished
    }

    /// Does what was left of the network header; false if that cannot be read.
    fn finish_network(&mut self) -> bool {
        // It was to be read when the packet came, but memory may have been short.
        if !self.pull_up(HEADER_BYTES) {
            return false;
        }
        if self.offload.segment.is_some() {
            self.fill_length();
        }
        if self.lacks_ip_sum {
            self.complete_ip();
            self.lacks_ip_sum = false;
        }
        true
    }

    /// Leaves to hardware what NDIS wants left to it where it cuts a segment: lengths, and IPv4's checksum.
    pub(crate) fn leave_to_large_send(&mut self) -> bool {
        if !self.sum_pseudo_header(Length::Left) {
            return false;
        }
        self.clear_length();
        let ipv4 = self.l3().filter(|(kind, _)| *kind == eth::TYPE_IPV4);
        ipv4.is_none_or(|(_, l3)| {
            bytes::put(self.head_mut(), l3.saturating_add(ipv4::OFF_CHECKSUM), &[0, 0]).is_some()
        })
    }

    /// Writes the pseudo header's sum where TCP has its checksum; false if it cannot be told where that is.
    fn sum_pseudo_header(&mut self, length: Length) -> bool {
        let L4Checksum::Partial { start, offset } = self.offload.l4 else { return false };
        let (start, offset) = (usize::from(start), usize::from(offset));
        let len = match length {
            Length::Counted => u32::try_from(self.len().saturating_sub(start)).unwrap_or(0),
            Length::Left => 0,
        };
        let Some((kind, l3)) = self.l3() else { return false };
        let head = self.head_mut();
        let sum = match (kind, head.get(l3..start)) {
            (eth::TYPE_IPV4, Some(ip)) => bytes::u32_at(ip, ipv4::OFF_SRC)
                .zip(bytes::u32_at(ip, ipv4::OFF_DST))
                .map(|(src, dst)| pseudo_v4(src, dst, ip::PROTO_TCP, len as u16)),
            (eth::TYPE_IPV6, Some(ip)) => bytes::u128_at(ip, ipv6::OFF_SRC)
                .zip(bytes::u128_at(ip, ipv6::OFF_DST))
                .map(|(src, dst)| pseudo_v6(src, dst, ip::PROTO_TCP, len)),
            _ => None,
        };
        sum.is_some_and(|sum| {
            bytes::put(head, start.saturating_add(offset), &sum.fold().to_be_bytes()).is_some()
        })
    }

    /// True if its network header is IPv6's.
    pub(crate) fn is_ipv6(&self) -> bool {
        self.l3().is_some_and(|(kind, _)| kind == eth::TYPE_IPV6)
    }

    /// Writes the length into an IP header that has none; true if it had none. Senders of large sends leave it to hardware.
    pub(crate) fn fill_length(&mut self) -> bool {
        let whole = self.len();
        let Some((at, ip)) = self.length_field() else { return false };
        let length = u16::try_from(whole.saturating_sub(ip)).unwrap_or(u16::MAX);
        bytes::u16_at(self.head(), at) == Some(0)
            && bytes::put(self.head_mut(), at, &length.to_be_bytes()).is_some()
    }

    /// Takes the length out of an IP header again.
    pub(crate) fn clear_length(&mut self) {
        if let Some((at, _)) = self.length_field() {
            let _ = bytes::put(self.head_mut(), at, &[0, 0]);
        }
    }

    /// Where an IP header has its length, and from where that counts.
    fn length_field(&self) -> Option<(usize, usize)> {
        match self.l3()? {
            (eth::TYPE_IPV4, l3) => Some((l3.saturating_add(2), l3)),
            (eth::TYPE_IPV6, l3) => Some((l3.saturating_add(4), l3.saturating_add(IPV6_HEADER))),
            _ => None,
        }
    }

    /// A copy of the frame, with a block of its own; `None` if memory is short.
    pub(crate) fn try_clone(&self, mut block: P::Block) -> Option<Frame<P>> {
        block.bytes_mut().get_mut(self.range())?.copy_from_slice(self.head());
        let copy = |rest: &Rest<P::View>| Rest { view: rest.view.clone(), ..*rest };
        let rest = self.rest.as_ref().map(copy);
        Some(Frame { block, rest, ..*self })
    }

    /// What is not in its block, to be shared with a packet of ours; `None` if that cannot be done now.
    pub(crate) fn share_rest<'a>(&self, platform: &'a P) -> Option<P::Shared<'a>> {
        let Rest { view, skip, len } = self.rest.as_ref()?;
        platform.share(view, *skip as usize, *len as usize)
    }

    /// The block with what is in it.
    pub(crate) fn into_head(self, pieces: &mut Vec<(P::Block, Range<usize>)>) {
        let range = self.range();
        pieces.clear();
        pieces.push((self.block, range));
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
            let range = self.range();
            pieces.insert(0, (self.block, range));
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
        self.block.bytes().get(self.range()).unwrap_or_default()
    }

    fn head_mut(&mut self) -> &mut [u8] {
        self.written = true;
        let range = self.range();
        self.block.bytes_mut().get_mut(range).unwrap_or_default()
    }

    #[inline(never)]
    fn pull_up(&mut self, n: usize) -> bool {
        let want = n.min(self.len()).saturating_sub(self.head_len());
        let end = self.end as usize;
        let take = want.min(self.block.bytes().len().saturating_sub(end));
        if take == 0 {
            return want == 0;
        }
        // Straight into the block: it is not borrowed by the rest.
        let got = match (&self.rest, self.block.bytes_mut().get_mut(end..end.saturating_add(take))) {
            (Some(rest), Some(out)) => rest.view.copy_out(rest.skip as usize, out),
            _ => 0,
        };
        self.end = self.end.saturating_add(got as u32);
        self.rest_skip(got);
        got == want
    }

    #[inline(never)]
    fn push_front(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(u32::try_from(n).ok()?)?;
        self.written = true;
        self.offload.shift(i32::try_from(n).ok()?);
        let start = self.start as usize;
        self.block.bytes_mut().get_mut(start..start.checked_add(n)?)
    }

    #[inline(never)]
    fn pull_front(&mut self, n: usize) -> bool {
        if n > self.len() {
            return false;
        }
        let from_head = n.min(self.head_len());
        self.start = self.start.saturating_add(from_head as u32);
        self.rest_skip(n.saturating_sub(from_head));
        self.offload.shift(i32::try_from(n).map_or(i32::MIN, |n| -n));
        true
    }

    #[inline(never)]
    fn truncate(&mut self, len: usize) {
        let head = self.head_len();
        if len < head {
            self.end = self.start.saturating_add(len as u32);
            self.rest = None;
        } else if let Some(rest) = &mut self.rest {
            rest.len = rest.len.min(u32::try_from(len.saturating_sub(head)).unwrap_or(u32::MAX));
        }
    }

    #[inline(never)]
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

    fn comes_of(&mut self, origin: &Self) {
        self.origin = origin.origin;
    }
}
