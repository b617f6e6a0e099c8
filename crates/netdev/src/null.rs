//! A device that takes every packet and gives none.
//!
//! Where it sits: an end for measurements, and the simplest device there is. Its queue is also where devices that play
//! captures transmit to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use packet::PacketBuf;
use wire::EthAddr;

use crate::device::{Netdev, Queues, RxQueue, TxDrops, TxQueue};
use crate::{BufferPool, FrameBatch, NetdevError, NetdevStats, OpenNetdev};

/// What was taken.
#[derive(Default)]
pub(crate) struct Counters {
    tx_packets: AtomicU64,
    tx_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> NetdevStats {
        NetdevStats {
            tx_packets: Some(self.tx_packets.load(Relaxed)),
            tx_bytes: Some(self.tx_bytes.load(Relaxed)),
            ..NetdevStats::default()
        }
    }
}

/// A device that takes every packet and gives none.
pub struct NullNetdev {
    name: String,
    counters: Arc<Counters>,
    taken: Arc<AtomicBool>,
}

impl NullNetdev {
    /// A null device.
    pub fn new(name: &str) -> NullNetdev {
        NullNetdev { name: name.to_owned(), counters: Arc::default(), taken: Arc::default() }
    }

    /// Opens devices of this type.
    pub fn opener() -> Arc<dyn OpenNetdev> {
        Arc::new(|name: &str| -> Result<Arc<dyn Netdev>, NetdevError> { Ok(Arc::new(NullNetdev::new(name))) })
    }
}

impl Netdev for NullNetdev {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        "null"
    }

    fn queues(&self) -> Option<Queues> {
        if self.taken.swap(true, Relaxed) {
            return None;
        }
        Some(Queues::pair(Silent(self.taken.clone()), Sink(self.counters.clone())))
    }

    fn mac(&self) -> Result<EthAddr, NetdevError> {
        Ok(EthAddr::ZERO)
    }

    fn mtu(&self) -> Result<u32, NetdevError> {
        Ok(65_535)
    }

    fn stats(&self) -> Result<NetdevStats, NetdevError> {
        Ok(self.counters.stats())
    }
}

/// A queue that nothing comes in by; while it lives, its device's queues are taken.
pub(crate) struct Silent(pub(crate) Arc<AtomicBool>);

impl Drop for Silent {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

impl RxQueue for Silent {
    fn receive(&mut self, _pool: &mut BufferPool, _out: &mut FrameBatch) -> usize {
        0
    }
}

/// A queue that takes every packet.
pub(crate) struct Sink(pub(crate) Arc<Counters>);

impl TxQueue for Sink {
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        let (mut packets, mut bytes) = (0, 0);
        for frame in batch.drain_bufs() {
            packets += 1;
            bytes += frame.len() as u64;
            pool.give(frame);
        }
        self.0.tx_packets.fetch_add(packets, Relaxed);
        self.0.tx_bytes.fetch_add(bytes, Relaxed);
        TxDrops::default()
    }
}
