//! A ring that we share with the kernel: one side writes entries, the other reads them.
//!
//! Where it sits: each socket has four: two of frames' addresses (fill, completion), two of packets (receive, transmit).
//!
//! ~~~text
//!   mapping:  | producer | consumer | flags |   entry 0 | entry 1 | …      positions run freely; an entry is at
//!                                                                          position & (entries - 1)
//! ~~~
//!
//! I1  Entries between the consumer's and the producer's position belong to the consumer, all others to the producer.
//! I2  One thread uses our side of a ring at a time (methods take `&mut self`).

use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys::mapping::{Mapping, Plain};

/// `XDP_RING_NEED_WAKEUP`.
const NEED_WAKEUP: u32 = 1;

/// Where things are in a ring's mapping: `struct xdp_ring_offset`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offsets {
    pub producer: u64,
    pub consumer: u64,
    pub entries: u64,
    pub flags: u64,
}

/// Our side of a ring of `T`.
pub(super) struct Ring<T> {
    mapping: Mapping,
    at: Offsets,
    size: u32,
    /// Our position, and what we last saw of the kernel's.
    ours: u32,
    theirs: u32,
    entry: PhantomData<T>,
}

impl<T: Plain> Ring<T> {
    /// The ring of `size` entries (a power of two) under `page` of the socket `fd`.
    pub fn map(fd: BorrowedFd<'_>, page: u64, at: Offsets, size: u32) -> io::Result<Ring<T>> {
        let len = at.entries + u64::from(size) * size_of::<T>() as u64;
        let mapping = Mapping::shared(fd, len as usize, page)?;
        for place in [at.producer, at.consumer, at.flags] {
            mapping.counter(place).ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok(Ring { mapping, at, size, ours: 0, theirs: 0, entry: PhantomData })
    }

    fn counter(&self, place: u64) -> &AtomicU32 {
        self.mapping.counter(place).expect("looked for when the ring was mapped")
    }

    fn place(&self, position: u32) -> u64 {
        self.at.entries + u64::from(position & (self.size - 1)) * size_of::<T>() as u64
    }

    /// True if the kernel sleeps until it is called.
    pub fn needs_wakeup(&self) -> bool {
        self.counter(self.at.flags).load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }

    /// As producer: entries that are free, at least; the kernel's position is looked at only where fewer than `wanted` were
    /// when it was looked at last.
    pub fn free(&mut self, wanted: u32) -> u32 {
        if self.size - self.used() < wanted {
            self.theirs = self.counter(self.at.consumer).load(Ordering::Acquire);
        }
        self.size - self.used()
    }

    /// As producer: entries that the kernel had not taken when its position was looked at last.
    fn used(&self) -> u32 {
        self.ours.wrapping_sub(self.theirs).min(self.size)
    }

    /// As producer: writes an entry, which the kernel sees from the next [`Ring::submit`] on; false if none is free.
    #[inline]
    pub fn put(&mut self, entry: T) -> bool {
        if self.free(1) == 0 {
            return false;
        }
        self.mapping.store(self.place(self.ours), entry);
        self.ours = self.ours.wrapping_add(1);
        true
    }

    /// As producer: hands over what was written.
    #[inline]
    pub fn submit(&mut self) {
        self.counter(self.at.producer).store(self.ours, Ordering::Release);
    }

    /// As producer: entries that the kernel has not taken yet.
    pub fn pending(&mut self) -> u32 {
        self.size - self.free(self.size)
    }

    /// As consumer: entries that are there.
    #[inline]
    pub fn ready(&mut self) -> u32 {
        self.theirs = self.counter(self.at.producer).load(Ordering::Acquire);
        self.theirs.wrapping_sub(self.ours).min(self.size)
    }

    /// As consumer: the next of the entries that are [`Ring::ready`], whose place is the kernel's again from the next
    /// [`Ring::release`] on.
    #[inline]
    pub fn take(&mut self) -> T {
        let entry = self.mapping.load(self.place(self.ours));
        self.ours = self.ours.wrapping_add(1);
        entry
    }

    /// As consumer: gives the places of what was taken back.
    #[inline]
    pub fn release(&mut self) {
        self.counter(self.at.consumer).store(self.ours, Ordering::Release);
    }
}
