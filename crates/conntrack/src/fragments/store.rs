//! Where fragments wait: bytes in chains of blocks, fragments in chains by offset, datagrams in chains by hash.
//!
//! Where it sits: behind the lock of `fragments.rs`. Everything is numbers into lists that have all their memory, so that
//! nothing here allocates but what says so.

use alloc::vec::Vec;

use wire::checksum::checksum;
use wire::{bytes, ipv4, ipv6};

use super::{FragmentRef, TIMEOUT_MS, Waiting};
use crate::Tuple;
use crate::config::NoMemory;
use crate::hash::Seed;

/// Bytes of fragments that wait, at most.
pub(super) const MAX_BYTES: usize = 16 << 20;
const BLOCK: usize = 2048;
/// Blocks by which memory grows.
const GROWTH: usize = 256;
const BUCKETS: usize = 256;
/// How often, at most, all datagrams are looked at for those that have waited too long.
const PURGE_MS: u64 = 1000;
/// The end of a chain.
const NIL: u16 = u16::MAX;

/// Which datagram: what its fragments have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Source address; IPv4 in the low 32 bits.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
    /// Identification.
    pub id: u32,
    /// Recirculation id with which fragments came.
    pub recirc_id: u32,
    /// The zone that they came to.
    pub zone: u16,
    /// IP protocol of the datagram.
    pub proto: u8,
    /// The addresses are IPv6.
    pub is_ipv6: bool,
}

impl Name {
    pub(super) fn hash(&self, seed: Seed) -> u64 {
        seed.choice(&Tuple {
            src: self.src ^ u128::from(self.recirc_id),
            dst: self.dst,
            src_port: self.id as u16,
            dst_port: (self.id >> 16) as u16,
            zone: self.zone,
            proto: self.proto,
            is_ipv6: self.is_ipv6,
            ..Tuple::default()
        })
    }
}

/// A datagram that is whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Ipf {
    number: u16,
    first: u16,
    is_ipv6: bool,
    l3: u16,
    len: usize,
}

impl Ipf {
    /// Bytes of its frame.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// False: a datagram has headers.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where its IP header is.
    pub const fn l3(&self) -> u16 {
        self.l3
    }

    pub(super) const fn is_ipv6(&self) -> bool {
        self.is_ipv6
    }
}

/// A fragment of a datagram that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    number: u16,
    len: usize,
}

impl Piece {
    /// Bytes of its frame.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// False: a fragment has headers.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Why a fragment is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has bytes that another has.
    Overlaps,
    /// Too many wait, or memory is short.
    NoRoom,
}

#[derive(Clone, Copy, Debug)]
struct Fragment {
    /// The next of its datagram; of a free place, the next free one.
    next: u16,
    /// Its bytes' first block.
    block: u16,
    l3: u16,
    payload: u16,
    len: u16,
    offset: u16,
    more: bool,
}

#[derive(Clone, Copy, Debug)]
struct Datagram {
    name: Name,
    /// The next in its bucket; of a free place, the next free one.
    next: u16,
    bucket: u8,
    first: u16,
    count: u16,
    state: State,
    since_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Waits,
    /// Found no more, until it is released.
    Whole,
}

/// Blocks for more bytes.
pub(super) type Blocks = Vec<[u8; BLOCK]>;

/// The fragments that wait.
#[derive(Debug)]
pub(super) struct Store {
    chunks: Vec<Blocks>,
    /// Each block's next.
    links: Vec<u16>,
    free_block: u16,
    free_blocks: usize,
    fragments: Vec<Fragment>,
    free_fragment: u16,
    datagrams: Vec<Datagram>,
    free_datagram: u16,
    buckets: Vec<u16>,
    /// Fragments held, of whole datagrams too.
    count: usize,
    purged_ms: u64,
}

impl Store {
    pub(super) fn new(max: u32) -> Result<Store, NoMemory> {
        let mut store = Store {
            chunks: Vec::new(),
            links: Vec::new(),
            free_block: NIL,
            free_blocks: 0,
            fragments: Vec::new(),
            free_fragment: NIL,
            datagrams: Vec::new(),
            free_datagram: NIL,
            buckets: Vec::new(),
            count: 0,
            purged_ms: 0,
        };
        store.chunks.try_reserve_exact(MAX_BYTES / BLOCK / GROWTH).map_err(|_| NoMemory)?;
        store.links.try_reserve_exact(MAX_BYTES / BLOCK).map_err(|_| NoMemory)?;
        store.buckets.try_reserve_exact(BUCKETS).map_err(|_| NoMemory)?;
        store.buckets.resize(BUCKETS, NIL);
        store.reserve(max)?;
        let blocks = Store::more_blocks()?;
        store.grow(blocks);
        Ok(store)
    }

    /// Makes places for `max` fragments.
    pub(super) fn reserve(&mut self, max: u32) -> Result<(), NoMemory> {
        let max = max as usize;
        let missing = max.saturating_sub(self.fragments.len());
        self.fragments.try_reserve_exact(missing).map_err(|_| NoMemory)?;
        self.datagrams.try_reserve_exact(missing).map_err(|_| NoMemory)?;
        Ok(())
    }

    /// Blocks to be given to [`Store::grow`].
    pub(super) fn more_blocks() -> Result<Blocks, NoMemory> {
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(GROWTH).map_err(|_| NoMemory)?;
        // Two kilobytes are too much for a kernel stack: a block is made of words.
        blocks.resize_with(GROWTH, || [0; BLOCK]);
        Ok(blocks)
    }

    pub(super) fn grow(&mut self, blocks: Blocks) {
        if self.chunks.len() == self.chunks.capacity() {
            return;
        }
        for _ in &blocks {
            let number = self.links.len() as u16;
            self.links.push(self.free_block);
            self.free_block = number;
        }
        self.free_blocks += blocks.len();
        self.chunks.push(blocks);
    }

    /// True if memory should grow: less than half a step is left.
    pub(super) fn is_short(&self) -> bool {
        self.free_blocks < GROWTH / 2 && self.chunks.len() < self.chunks.capacity()
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Bytes of all blocks, and of those that are free.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> (usize, usize) {
        (self.links.len() * BLOCK, self.free_blocks * BLOCK)
    }

    fn find(&self, name: &Name, bucket: u8) -> Option<u16> {
        let mut at = self.buckets.get(usize::from(bucket)).copied()?;
        while let Some(d) = self.datagrams.get(usize::from(at)) {
            if d.name == *name {
                return Some(at);
            }
            at = d.next;
        }
        None
    }

    /// Holds a fragment; the datagram if it is whole then.
    pub(super) fn add(
        &mut self,
        now_ms: u64,
        (name, hash): (Name, u64),
        f: &FragmentRef,
        max: usize,
        copy: &mut dyn FnMut(usize, &mut [u8]),
    ) -> Result<Option<Ipf>, Refusal> {
        let bucket = (hash >> 56) as u8;
        let found = self.find(&name, bucket).filter(|at| {
            self.datagrams.get(usize::from(*at)).is_some_and(|d| now_ms < d.since_ms + TIMEOUT_MS)
        });
        let before = match found {
            Some(at) => self.place(at, f)?,
            None => NIL,
        };
        if self.count >= max {
            return Err(Refusal::NoRoom);
        }
        let number = self.store(f, copy).ok_or(Refusal::NoRoom)?;
        let at = match found {
            Some(at) => at,
            None => match self.begin(now_ms, name, bucket) {
                Some(at) => at,
                None => {
                    self.free(number);
                    return Err(Refusal::NoRoom);
                }
            },
        };
        self.link(at, before, number);
        Ok(self.whole(at))
    }

    /// The fragment behind which `f` belongs in datagram `at`, or none.
    fn place(&self, at: u16, f: &FragmentRef) -> Result<u16, Refusal> {
        let end = |offset: u16, len: u16| u32::from(offset) + u32::from(len);
        let mut before = NIL;
        let mut next = self.datagrams.get(usize::from(at)).map_or(NIL, |d| d.first);
        while let Some(other) = self.fragments.get(usize::from(next)) {
            if other.offset >= f.offset {
                // What is said to be the last has none behind it.
                let overlaps = end(f.offset, f.len) > u32::from(other.offset) || !f.more;
                return if overlaps { Err(Refusal::Overlaps) } else { Ok(before) };
            }
            if end(other.offset, other.len) > u32::from(f.offset) || !other.more {
                return Err(Refusal::Overlaps);
            }
            (before, next) = (next, other.next);
        }
        Ok(before)
    }

    fn begin(&mut self, now_ms: u64, name: Name, bucket: u8) -> Option<u16> {
        let head = self.buckets.get_mut(usize::from(bucket))?;
        let datagram = Datagram {
            name,
            next: *head,
            bucket,
            first: NIL,
            count: 0,
            state: State::Waits,
            since_ms: now_ms,
        };
        let at = self.free_datagram;
        if let Some(place) = self.datagrams.get_mut(usize::from(at)) {
            self.free_datagram = place.next;
            *place = datagram;
            *head = at;
            return Some(at);
        }
        if self.datagrams.len() == self.datagrams.capacity() {
            return None;
        }
        *head = self.datagrams.len() as u16;
        self.datagrams.push(datagram);
        Some(*head)
    }

    /// Copies a fragment's frame in, as far as its IP packet reaches.
    fn store(&mut self, f: &FragmentRef, copy: &mut dyn FnMut(usize, &mut [u8])) -> Option<u16> {
        let len = usize::from(f.payload) + usize::from(f.len);
        let full = self.free_fragment == NIL && self.fragments.len() == self.fragments.capacity();
        if full || len.div_ceil(BLOCK) > self.free_blocks {
            return None;
        }
        let first = self.free_block;
        let (mut block, mut last) = (first, NIL);
        for from in (0..len).step_by(BLOCK) {
            let bytes = self.block_mut(block)?;
            let part = bytes.get_mut(..BLOCK.min(len - from))?;
            copy(from, part);
            self.free_blocks -= 1;
            (last, block) = (block, self.links.get(usize::from(block)).copied()?);
        }
        self.free_block = block;
        *self.links.get_mut(usize::from(last))? = NIL;
        let fragment = Fragment {
            next: NIL,
            block: first,
            l3: f.l3,
            payload: f.payload,
            len: f.len,
            offset: f.offset,
            more: f.more,
        };
        self.count += 1;
        let number = self.free_fragment;
        if let Some(place) = self.fragments.get_mut(usize::from(number)) {
            self.free_fragment = place.next;
            *place = fragment;
            return Some(number);
        }
        self.fragments.push(fragment);
        Some((self.fragments.len() - 1) as u16)
    }

    fn block_mut(&mut self, number: u16) -> Option<&mut [u8; BLOCK]> {
        let number = usize::from(number);
        self.chunks.get_mut(number / GROWTH)?.get_mut(number % GROWTH)
    }

    fn block(&self, number: u16) -> Option<&[u8; BLOCK]> {
        let number = usize::from(number);
        self.chunks.get(number / GROWTH)?.get(number % GROWTH)
    }

    fn link(&mut self, at: u16, before: u16, number: u16) {
        let Some(d) = self.datagrams.get_mut(usize::from(at)) else { return };
        d.count += 1;
        let next = match self.fragments.get_mut(usize::from(before)) {
            Some(before) => core::mem::replace(&mut before.next, number),
            None => core::mem::replace(&mut d.first, number),
        };
        if let Some(f) = self.fragments.get_mut(usize::from(number)) {
            f.next = next;
        }
    }

    /// The datagram, taken out of its chain, if nothing of it is missing.
    fn whole(&mut self, at: u16) -> Option<Ipf> {
        let d = *self.datagrams.get(usize::from(at))?;
        let first = *self.fragments.get(usize::from(d.first))?;
        let (mut next, mut end, mut more) = (d.first, 0, true);
        while let Some(f) = self.fragments.get(usize::from(next)) {
            if usize::from(f.offset) != end {
                return None;
            }
            end += usize::from(f.len);
            (next, more) = (f.next, f.more);
        }
        // The first one's headers may be longer than those of the one that proved to fit.
        let len = usize::from(first.payload) + end;
        if more || len - usize::from(first.l3) > usize::from(u16::MAX) {
            return None;
        }
        self.unchain(at);
        self.datagrams.get_mut(usize::from(at))?.state = State::Whole;
        Some(Ipf { number: at, first: d.first, is_ipv6: d.name.is_ipv6, l3: first.l3, len })
    }

    /// Takes a datagram out of its bucket.
    fn unchain(&mut self, at: u16) {
        let Some(d) = self.datagrams.get(usize::from(at)).copied() else { return };
        let Some(head) = self.buckets.get_mut(usize::from(d.bucket)) else { return };
        if *head == at {
            *head = d.next;
            return;
        }
        let mut before = *head;
        while let Some(other) = self.datagrams.get_mut(usize::from(before)) {
            if other.next == at {
                other.next = d.next;
                return;
            }
            before = other.next;
        }
    }

    /// Frees a fragment and its blocks.
    fn free(&mut self, number: u16) {
        let Some(f) = self.fragments.get_mut(usize::from(number)) else { return };
        let mut block = f.block;
        f.next = self.free_fragment;
        self.free_fragment = number;
        self.count -= 1;
        while let Some(link) = self.links.get_mut(usize::from(block)) {
            let next = core::mem::replace(link, self.free_block);
            self.free_block = block;
            self.free_blocks += 1;
            block = next;
        }
    }

    /// Frees a datagram that is in no bucket, and its fragments; how many there were.
    fn free_datagram(&mut self, at: u16) -> u64 {
        let Some(d) = self.datagrams.get_mut(usize::from(at)) else { return 0 };
        let (mut number, count) = (d.first, d.count);
        d.next = self.free_datagram;
        d.state = State::Free;
        self.free_datagram = at;
        while let Some(f) = self.fragments.get(usize::from(number)) {
            let next = f.next;
            self.free(number);
            number = next;
        }
        count.into()
    }

    pub(super) fn release(&mut self, whole: &Ipf) -> u64 {
        self.free_datagram(whole.number)
    }

    /// Drops what has waited too long; how many fragments of each family.
    pub(super) fn purge(&mut self, now_ms: u64) -> [u64; 2] {
        let mut purged = [0; 2];
        if self.count == 0 || now_ms < self.purged_ms + PURGE_MS {
            return purged;
        }
        self.purged_ms = now_ms;
        for at in 0..self.datagrams.len() as u16 {
            let Some(d) = self.datagrams.get(usize::from(at)).copied() else { break };
            if d.state == State::Waits && now_ms >= d.since_ms + TIMEOUT_MS {
                self.unchain(at);
                let n = self.free_datagram(at);
                if let Some(family) = purged.get_mut(usize::from(d.name.is_ipv6)) {
                    *family += n;
                }
            }
        }
        purged
    }

    pub(super) fn waiting(&self, at: usize) -> Option<(Waiting, usize)> {
        let rest = self.datagrams.iter().enumerate().skip(at);
        let (found, d) = rest.into_iter().find(|(_, d)| d.state == State::Waits)?;
        let (mut next, mut has_last) = (d.first, false);
        let has_first = self.fragments.get(usize::from(next)).is_some_and(|f| f.offset == 0);
        while let Some(f) = self.fragments.get(usize::from(next)) {
            has_last |= !f.more;
            next = f.next;
        }
        Some((Waiting { name: d.name, fragments: d.count.into(), has_first, has_last }, found + 1))
    }

    /// Copies a fragment's bytes from `from` on to `out`.
    fn read(&self, f: &Fragment, from: usize, mut out: &mut [u8]) -> Option<()> {
        let mut block = f.block;
        for _ in 0..from / BLOCK {
            block = self.links.get(usize::from(block)).copied()?;
        }
        let mut skip = from % BLOCK;
        while !out.is_empty() {
            let bytes = self.block(block)?.get(skip..)?;
            let (part, rest) = out.split_at_mut_checked(bytes.len().min(out.len()))?;
            part.copy_from_slice(bytes.get(..part.len())?);
            (out, skip) = (rest, 0);
            block = self.links.get(usize::from(block)).copied()?;
        }
        Some(())
    }

    pub(super) fn assemble(&self, whole: &Ipf, out: &mut [u8]) -> Option<()> {
        let first = *self.fragments.get(usize::from(whole.first))?;
        let (l3, payload) = (usize::from(first.l3), usize::from(first.payload));
        if out.len() != whole.len {
            return None;
        }
        self.read(&first, 0, out.get_mut(..payload)?)?;
        let mut next = whole.first;
        while let Some(f) = self.fragments.get(usize::from(next)) {
            let from = payload + usize::from(f.offset);
            self.read(f, f.payload.into(), out.get_mut(from..from + usize::from(f.len))?)?;
            next = f.next;
        }
        let len = out.len() - l3;
        if whole.is_ipv6 {
            // The fragment header stays, and says that there is one fragment only.
            bytes::put(out, payload - ipv6::FRAG_HEADER_LEN + 2, &[0, 0])?;
            let len = u16::try_from(len - ipv6::HEADER_LEN).ok()?;
            return bytes::put(out, l3 + ipv6::OFF_PAYLOAD_LEN, &len.to_be_bytes());
        }
        let flags = bytes::u16_at(out, l3 + ipv4::OFF_FRAG)? & ipv4::FLAG_DF;
        bytes::put(out, l3 + ipv4::OFF_FRAG, &flags.to_be_bytes())?;
        bytes::put(out, l3 + ipv4::OFF_TOTAL_LEN, &u16::try_from(len).ok()?.to_be_bytes())?;
        sum_header(out.get_mut(l3..payload)?)
    }

    pub(super) fn next(&self, whole: &Ipf, piece: Option<Piece>) -> Option<Piece> {
        let number = match piece {
            None => whole.first,
            Some(piece) => self.fragments.get(usize::from(piece.number))?.next,
        };
        let f = self.fragments.get(usize::from(number))?;
        Some(Piece { number, len: usize::from(f.payload) + usize::from(f.len) })
    }

    pub(super) fn restore(&self, whole: &Ipf, piece: Piece, datagram: &[u8], out: &mut [u8]) -> Option<()> {
        let first = self.fragments.get(usize::from(whole.first))?;
        let f = *self.fragments.get(usize::from(piece.number))?;
        let (l3, payload) = (usize::from(f.l3), usize::from(f.payload));
        if out.len() != piece.len {
            return None;
        }
        self.read(&f, 0, out.get_mut(..payload)?)?;
        let from = usize::from(first.payload) + usize::from(f.offset);
        out.get_mut(payload..)?.copy_from_slice(datagram.get(from..from + usize::from(f.len))?);
        let (src, len) = if whole.is_ipv6 { (ipv6::OFF_SRC, 32) } else { (ipv4::OFF_SRC, 8) };
        let from = usize::from(first.l3) + src;
        bytes::put(out, l3 + src, datagram.get(from..from + len)?)?;
        if whole.is_ipv6 { Some(()) } else { sum_header(out.get_mut(l3..payload)?) }
    }
}

/// Stores an IPv4 header's checksum.
fn sum_header(header: &mut [u8]) -> Option<()> {
    bytes::put(header, ipv4::OFF_CHECKSUM, &[0, 0])?;
    let sum = checksum(header);
    bytes::put(header, ipv4::OFF_CHECKSUM, &sum.to_be_bytes())
}
