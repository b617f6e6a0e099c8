//! A tunnel's port: a device that packets neither enter nor leave by; the datapath pushes and pops their headers.
//!
//! Where it sits: opened for each kind of tunnel and UDP port that the switch uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use wire::EthAddr;

use crate::device::{Netdev, Queues, TxDrops, TxQueue};
use crate::null::Silent;
use crate::{BufferPool, FrameBatch, NetdevError, NetdevStats, OpenNetdev};

/// Opens tunnels' ports of type `kind`.
pub fn vport_opener(kind: &'static str) -> Arc<dyn OpenNetdev> {
    Arc::new(move |name: &str| -> Result<Arc<dyn Netdev>, NetdevError> {
        Ok(Arc::new(Vport { name: name.to_owned(), kind, taken: Arc::default() }))
    })
}

struct Vport {
    name: String,
    kind: &'static str,
    taken: Arc<AtomicBool>,
}

impl Netdev for Vport {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        self.kind
    }

    fn queues(&self) -> Option<Queues> {
        if self.taken.swap(true, Relaxed) {
            return None;
        }
        Some(Queues::pair(Silent(self.taken.clone()), Refusing))
    }

    fn mac(&self) -> Result<EthAddr, NetdevError> {
        Ok(EthAddr::ZERO)
    }

    fn mtu(&self) -> Result<u32, NetdevError> {
        Err(NetdevError::NotSupported)
    }

    fn stats(&self) -> Result<NetdevStats, NetdevError> {
        Ok(NetdevStats::default())
    }
}

/// What is sent here was meant for a tunnel and has no headers.
struct Refusing;

impl TxQueue for Refusing {
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        let failed = batch.len() as u32;
        batch.drain().for_each(|(_, frame)| pool.give(frame));
        TxDrops { failed, ..TxDrops::default() }
    }
}
