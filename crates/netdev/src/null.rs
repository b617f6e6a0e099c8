//! A device that takes every packet and gives none.
//!
//! Where it sits: an end for measurements, and the simplest device there is. Its queue is also where devices that play
//! captures transmit to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use packet::PacketBuf;
use wire::EthAddr;

use crate::device::{AdminState, Netdev, Options, Queues, RxQueue, TxDrops, TxQueue};
use crate::{BufferPool, FrameBatch, NetdevError, NetdevStats, OpenNetdev};

/// What was taken.
#[derive(Default)]
pub(crate) struct Counters {
    tx_packets: AtomicU64,
    tx_bytes: AtomicU64,
    taken: AtomicBool,
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
}

impl NullNetdev {
    /// A null device.
    pub fn new(name: &str) -> NullNetdev {
        NullNetdev { name: name.to_owned(), counters: Arc::default() }
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
        if self.counters.taken.swap(true, Relaxed) {
            return None;
        }
        Some(Queues::pair(Nothing(self.counters.clone()), Sink(self.counters.clone())))
    }

    fn mac(&self) -> Result<EthAddr, NetdevError> {
        Ok(EthAddr::ZERO)
    }

    fn set_mac(&self, _mac: EthAddr) -> Result<(), NetdevError> {
        Err(NetdevError::NotSupported)
    }

    fn mtu(&self) -> Result<u32, NetdevError> {
        Ok(65_535)
    }

    fn set_mtu(&self, _mtu: u32) -> Result<(), NetdevError> {
        Err(NetdevError::NotSupported)
    }

    fn admin_state(&self) -> Result<AdminState, NetdevError> {
        Ok(AdminState::Up)
    }

    fn set_admin_state(&self, _state: AdminState) -> Result<(), NetdevError> {
        Err(NetdevError::NotSupported)
    }

    fn carrier(&self) -> bool {
        true
    }

    fn stats(&self) -> Result<NetdevStats, NetdevError> {
        Ok(self.counters.stats())
    }

    fn set_options(&self, _options: &Options) -> Result<(), NetdevError> {
        Ok(())
    }

    fn change_seq(&self) -> u64 {
        0
    }
}

struct Nothing(Arc<Counters>);

impl Drop for Nothing {
    fn drop(&mut self) {
        self.0.taken.store(false, Relaxed);
    }
}

impl RxQueue for Nothing {
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
