//! A batch: the unit in which packets move.
//!
//! Where it sits: filled by a port's receive side, consumed by `datapath::Worker::process`.
//!
//! I1  A batch's memory is taken once, when it is made, and lies on the heap: six kilobytes fit no kernel stack.

use alloc::vec::Vec;

use crate::PacketMeta;

/// Packets of a full batch: as many cache misses as memory serves in parallel.
pub const BATCH: usize = 32;

/// Up to [`BATCH`] packets with what is known of them.
#[derive(Debug)]
pub struct Batch<B> {
    slots: Vec<(PacketMeta, B)>,
}

impl<B> Default for Batch<B> {
    fn default() -> Self {
        Batch { slots: Vec::with_capacity(BATCH) }
    }
}

impl<B> Batch<B> {
    /// An empty batch; `None` if memory is short.
    pub fn try_new() -> Option<Batch<B>> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(BATCH).ok()?;
        Some(Batch { slots })
    }

    /// Packets in the batch.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if the batch holds no packet.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// True if no packet fits.
    pub fn is_full(&self) -> bool {
        self.slots.len() >= BATCH
    }

    /// Appends a packet, or returns it if the batch is full.
    #[allow(clippy::result_large_err, reason = "a packet that does not fit goes back to its owner, by value")]
    pub fn push(&mut self, meta: PacketMeta, buf: B) -> Result<(), (PacketMeta, B)> {
        if self.is_full() {
            return Err((meta, buf));
        }
        self.slots.push((meta, buf));
        Ok(())
    }

    /// Takes every packet out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = (PacketMeta, B)> + '_ {
        self.slots.drain(..)
    }

    /// The packets, to be looked at or changed in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut (PacketMeta, B)> + '_ {
        self.slots.iter_mut()
    }
}
