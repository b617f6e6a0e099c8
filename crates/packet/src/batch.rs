//! A batch: the unit in which packets move.
//!
//! Where it sits: filled by a port's receive side, consumed by `datapath::Worker::process`.

use crate::PacketMeta;

/// Packets of a full batch: as many cache misses as memory serves in parallel.
pub const BATCH: usize = 32;

/// Up to [`BATCH`] packets with what is known of them.
#[derive(Debug)]
pub struct Batch<B> {
    slots: [Option<(PacketMeta, B)>; BATCH],
    len: usize,
}

impl<B> Default for Batch<B> {
    fn default() -> Self {
        Batch { slots: [const { None }; BATCH], len: 0 }
    }
}

impl<B> Batch<B> {
    /// Packets in the batch.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if the batch holds no packet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True if no packet fits.
    pub fn is_full(&self) -> bool {
        self.len == BATCH
    }

    /// Appends a packet, or returns it if the batch is full.
    #[allow(clippy::result_large_err, reason = "a packet that does not fit goes back to its owner, by value")]
    pub fn push(&mut self, meta: PacketMeta, buf: B) -> Result<(), (PacketMeta, B)> {
        match self.slots.get_mut(self.len) {
            Some(slot) => {
                *slot = Some((meta, buf));
                self.len += 1;
                Ok(())
            }
            None => Err((meta, buf)),
        }
    }

    /// Takes every packet out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = (PacketMeta, B)> + '_ {
        let len = core::mem::take(&mut self.len);
        self.slots.iter_mut().take(len).filter_map(Option::take)
    }

    /// The packets, to be looked at or changed in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut (PacketMeta, B)> + '_ {
        self.slots.iter_mut().take(self.len).filter_map(Option::as_mut)
    }
}
