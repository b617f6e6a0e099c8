//! Putting STT's frames together: bounded in frames, bytes and time.
//!
//! Where it sits: each worker has one; segments of a frame have the same addresses and ports, so that one receive queue
//! brings them.
//!
//! I1  At most [`FRAMES`] frames of [`BYTES`] together wait, and no more than the host has memory for; the oldest goes
//!     first, and is counted.
//! I2  Segments come in any order and any number of times; a frame leaves once all its bytes have come.
//!
//! Spec: draft-davie-stt-08 section 4.

use core::time::Duration;

use alloc::vec::Vec;
use packet::{Instant, OdpPort, PacketBuf};

use crate::stt::SttSegment;

/// Frames that wait at most.
pub const FRAMES: usize = 64;
/// Their bytes at most.
pub const BYTES: usize = 2 << 20;
/// How long a frame's first segment waits for the rest.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Runs of bytes of a frame, apart from each other, at most.
const RUNS: usize = 64;
/// Room before a frame.
const HEADROOM: usize = 128;

/// What became of a segment.
#[derive(Debug)]
pub enum Reassembled<B> {
    /// The frame is whole: it begins with STT's header.
    Whole(B),
    /// Others are missing.
    Waits,
    /// There was no memory for the frame.
    NoMemory,
    /// Its frame came in too many pieces.
    Scattered,
}

/// Frames that were given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Their rest never came.
    pub timed_out: u32,
    /// They made way for others.
    pub evicted: u32,
}

/// The frames that wait for segments. `B` is the host's buffer.
#[derive(Debug)]
pub struct Reassembly<B> {
    frames: Vec<Partial<B>>,
    bytes: usize,
    lost: Lost,
}

/// Which frame: what all its segments have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    id: u32,
    total: u16,
    ports: (u16, u16),
    v4: (u32, u32),
    v6: (u128, u128),
    port: OdpPort,
}

#[derive(Debug)]
struct Partial<B> {
    name: Name,
    since: Instant,
    runs: Runs,
    buf: B,
}

impl<B: PacketBuf> Reassembly<B> {
    /// Nothing waits; `None` if memory is short.
    pub fn try_new() -> Option<Reassembly<B>> {
        let mut frames = Vec::new();
        frames.try_reserve_exact(FRAMES).ok()?;
        Some(Reassembly { frames, bytes: 0, lost: Lost::default() })
    }

    /// The frames given up since this was last asked.
    pub fn take_lost(&mut self) -> Lost {
        core::mem::take(&mut self.lost)
    }

    /// Takes the segment that `packet` is, which came to tunnel port `port`. `alloc` makes an empty buffer with that many
    /// bytes of room in front.
    // apart from its caller: kernel frames are small
    #[inline(never)]
    pub fn add(
        &mut self,
        now: Instant,
        (port, segment): (OdpPort, &SttSegment),
        mut packet: B,
        alloc: impl FnMut(usize) -> Option<B>,
    ) -> Reassembled<B> {
        if segment.offset == 0 && segment.len == usize::from(segment.total) {
            packet.truncate(segment.start + segment.len);
            return if packet.pull_front(segment.start) {
                Reassembled::Whole(packet)
            } else {
                Reassembled::NoMemory
            };
        }
        let name = Name::of(port, segment);
        let at = match self.frames.iter().position(|f| f.name == name && now - f.since < TIMEOUT) {
            Some(at) => at,
            None => match self.begin(now, name, alloc) {
                Some(at) => at,
                None => return Reassembled::NoMemory,
            },
        };
        let Some(frame) = self.frames.get_mut(at) else { return Reassembled::NoMemory };
        let (from, to) = (usize::from(segment.offset), usize::from(segment.offset) + segment.len);
        // Hosts whose packets lie in others' memory may not get at it: what was not read has not come.
        let read = frame.buf.head_mut().get_mut(from..to).map(|room| packet.copy_out(segment.start, room));
        if read != Some(segment.len) {
            return Reassembled::NoMemory;
        }
        if !frame.runs.add(segment.offset, to as u16) {
            self.remove(at);
            return Reassembled::Scattered;
        }
        if !frame.runs.is_whole(segment.total) {
            return Reassembled::Waits;
        }
        let Some(mut whole) = self.remove(at) else { return Reassembled::NoMemory };
        whole.comes_of(&packet);
        Reassembled::Whole(whole)
    }

    /// Makes room for one more frame and begins it; `None` if memory is short.
    #[inline(never)]
    fn begin(
        &mut self,
        now: Instant,
        name: Name,
        mut alloc: impl FnMut(usize) -> Option<B>,
    ) -> Option<usize> {
        while let Some(at) = self.frames.iter().position(|f| now - f.since >= TIMEOUT) {
            self.remove(at);
            self.lost.timed_out += 1;
        }
        let total = usize::from(name.total);
        while self.frames.len() >= FRAMES || self.bytes + total > BYTES {
            self.evict()?;
        }
        let mut buf = loop {
            match alloc(total + HEADROOM) {
                Some(buf) => break buf,
                // The host has less: frames whose rest is lost must not keep it from those that come.
                None => self.evict()?,
            }
        };
        buf.push_front(total)?;
        (buf.head().len() >= total).then_some(())?;
        self.bytes += total;
        self.frames.push(Partial { name, since: now, runs: Runs::default(), buf });
        self.frames.len().checked_sub(1)
    }

    /// Gives the oldest frame up; `None` if there is none.
    fn evict(&mut self) -> Option<()> {
        let oldest = self.frames.iter().enumerate().min_by_key(|(_, f)| f.since)?.0;
        self.remove(oldest);
        self.lost.evicted += 1;
        Some(())
    }

    fn remove(&mut self, at: usize) -> Option<B> {
        if at >= self.frames.len() {
            return None;
        }
        let frame = self.frames.swap_remove(at);
        self.bytes -= usize::from(frame.name.total);
        Some(frame.buf)
    }
}

impl Name {
    fn of(port: OdpPort, s: &SttSegment) -> Name {
        let key = &s.key;
        Name {
            id: s.id,
            total: s.total,
            ports: (key.tp_src, key.tp_dst),
            v4: (key.src, key.dst),
            v6: (key.ipv6_src, key.ipv6_dst),
            port,
        }
    }
}

/// The bytes that have come: runs in order, none touching another.
#[derive(Clone, Copy, Debug)]
struct Runs {
    list: [(u16, u16); RUNS],
    len: usize,
}

impl Default for Runs {
    fn default() -> Self {
        Runs { list: [(0, 0); RUNS], len: 0 }
    }
}

impl Runs {
    /// Adds a run, joined with those that it touches; false if there are too many then.
    fn add(&mut self, from: u16, to: u16) -> bool {
        let (mut from, mut to, mut kept, mut place) = (from, to, 0, 0);
        for i in 0..self.len {
            let Some(&(a, b)) = self.list.get(i) else { break };
            if b < from || a > to {
                if let Some(slot) = self.list.get_mut(kept) {
                    *slot = (a, b);
                }
                kept += 1;
                if b < from {
                    place = kept;
                }
            } else {
                (from, to) = (from.min(a), to.max(b));
            }
        }
        if kept == RUNS {
            return false;
        }
        self.list.copy_within(place..kept, place + 1);
        if let Some(slot) = self.list.get_mut(place) {
            *slot = (from, to);
        }
        self.len = kept + 1;
        true
    }

    fn is_whole(&self, total: u16) -> bool {
        self.len == 1 && self.list.first() == Some(&(0, total))
    }
}
