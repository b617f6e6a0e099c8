//! A tunnel's port: a device that packets neither enter nor leave by; the datapath pushes and pops their headers.
//!
//! Where it sits: opened for each kind of tunnel and UDP port that the switch uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use wire::EthAddr;

use crate::device::{AdminState, Netdev, Options, Queues, RxQueue, TxDrops, TxQueue};
use crate::{BufferPool, FrameBatch, NetdevError, NetdevStats, OpenNetdev};

/// Opens tunnels' ports of type `kind`.
pub fn vport_opener(kind: &'static str) -> Arc<dyn OpenNetdev> {
    Arc::new(move |name: &str| -> Result<Arc<dyn Netdev>, NetdevError> {
        Ok(Arc::new(Vport { name: name.to_owned(), kind, taken: AtomicBool::new(false) }))
    })
}

struct Vport {
    name: String,
    kind: &'static str,
    taken: AtomicBool,
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
        Some(Queues::pair(Silent, Refusing))
    }

    fn mac(&self) -> Result<EthAddr, NetdevError> {
        Ok(EthAddr::ZERO)
    }

    fn set_mac(&self, _mac: EthAddr) -> Result<(), NetdevError> {
        Err(NetdevError::NotSupported)
    }

    fn mtu(&self) -> Result<u32, NetdevError> {
        Err(NetdevError::NotSupported)
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
        Ok(NetdevStats::default())
    }

    fn set_options(&self, _options: &Options) -> Result<(), NetdevError> {
        Ok(())
    }

    fn change_seq(&self) -> u64 {
        0
    }
}

struct Silent;

impl RxQueue for Silent {
    fn receive(&mut self, _pool: &mut BufferPool, _out: &mut FrameBatch) -> usize {
        0
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
