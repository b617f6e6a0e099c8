//! A device and its queues, as traits.
//!
//! Where it sits: implemented by dummy and null devices here and by `netdev-linux`; used by `dpif-netdev` (queues)
//! and by the switch (state).

use std::collections::BTreeMap;
#[cfg(unix)]
use std::os::fd::BorrowedFd;

use packet::DropReason;
use wire::EthAddr;

use crate::{BufferPool, FrameBatch, LinkFeatures, NetdevError, NetdevStats};

/// A string map: `Interface.options`, `Interface.status`.
pub type Options = BTreeMap<String, String>;

/// Whether an administrator wants the device to carry traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminState {
    /// It may carry traffic.
    Up,
    /// It must not.
    Down,
}

/// A network device: state that any thread may read and change. What is written out here is what a device does that has
/// nothing to change: it is always up.
pub trait Netdev: Send + Sync {
    /// Its name, unique in this process.
    fn name(&self) -> &str;

    /// Its type, as in `Interface.type` and `dpctl/show`: `system`, `tap`, `internal`, `dummy`, ….
    fn kind(&self) -> &str;

    /// Takes the queues out, to be owned by the threads that poll the device; `None` if they are taken already.
    fn queues(&self) -> Option<Queues>;

    /// How many queues its options ask for: when the answer changes, the queues must be given back and taken anew.
    fn wanted_queues(&self) -> QueueCounts {
        QueueCounts::default()
    }

    /// True if the queues that were taken serve no more, or worse than others would: they must be given back and taken
    /// anew.
    fn queues_are_stale(&self) -> bool {
        false
    }

    /// Who polls it.
    fn polling(&self) -> Polling {
        Polling::Waiting
    }

    /// The memory node that it is nearest to.
    fn numa_id(&self) -> u32 {
        0
    }

    /// What was asked of it, as `dpctl/show` lists it.
    fn config(&self) -> Options {
        Options::new()
    }

    /// Its Ethernet address.
    fn mac(&self) -> Result<EthAddr, NetdevError>;

    /// Gives it another Ethernet address.
    fn set_mac(&self, _mac: EthAddr) -> Result<(), NetdevError> {
        Err(NetdevError::NotSupported)
    }

    /// Bytes of the largest packet it sends, without the Ethernet header.
    fn mtu(&self) -> Result<u32, NetdevError>;

    /// Changes the MTU.
    fn set_mtu(&self, _mtu: u32) -> Result<(), NetdevError> {
        Err(NetdevError::NotSupported)
    }

    /// Whether an administrator wants it up.
    fn admin_state(&self) -> Result<AdminState, NetdevError> {
        Ok(AdminState::Up)
    }

    /// Brings it up or down.
    fn set_admin_state(&self, _state: AdminState) -> Result<(), NetdevError> {
        Err(NetdevError::NotSupported)
    }

    /// True if the link has a carrier.
    fn carrier(&self) -> bool {
        true
    }

    /// How often the carrier came or went.
    fn carrier_resets(&self) -> u64 {
        0
    }

    /// The system's number for it, zero if it has none.
    fn ifindex(&self) -> u32 {
        0
    }

    /// Speeds and modes, as OpenFlow shows them.
    fn link_features(&self) -> LinkFeatures {
        LinkFeatures::default()
    }

    /// Its counters, as seen from the switch (rx came in to the switch).
    fn stats(&self) -> Result<NetdevStats, NetdevError>;

    /// `Interface.status`.
    fn status(&self) -> Options {
        Options::new()
    }

    /// Applies `Interface.options`; on error nothing is changed.
    fn set_options(&self, _options: &Options) -> Result<(), NetdevError> {
        Ok(())
    }

    /// A number that differs whenever MAC, MTU, admin state, carrier or existence changed since it was last read.
    fn change_seq(&self) -> u64 {
        0
    }

    /// The dummy device behind this one, if it is a dummy: tests feed it.
    fn as_dummy(&self) -> Option<&crate::dummy::DummyNetdev> {
        None
    }
}

/// The queues of one device; at least one of each.
pub struct Queues {
    /// Where packets come in.
    pub rx: Vec<Box<dyn RxQueue>>,
    /// Where packets go out; several threads may each use one at a time.
    pub tx: Vec<Box<dyn TxQueue>>,
}

impl Queues {
    /// One of each.
    pub fn pair(rx: impl RxQueue + 'static, tx: impl TxQueue + 'static) -> Queues {
        Queues { rx: vec![Box::new(rx)], tx: vec![Box::new(tx)] }
    }
}

/// How many queues a device has, or shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueCounts {
    /// Receive queues.
    pub rx: u32,
    /// Transmit queues.
    pub tx: u32,
}

impl Default for QueueCounts {
    fn default() -> QueueCounts {
        QueueCounts { rx: 1, tx: 1 }
    }
}

/// Who polls a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polling {
    /// A thread that sleeps until the descriptor is readable; without a descriptor, whoever feeds the device.
    Waiting,
    /// Poll-mode threads, each bound to a core: for devices whose queues are rings in memory. A descriptor, if there
    /// is one, tells when an idle thread has work again.
    Dedicated,
}

/// Where packets come in from a device.
pub trait RxQueue: Send {
    /// Appends to `out` what has arrived, as far as it fits, in buffers from `pool`; returns how many packets that
    /// were. Zero means that nothing was waiting. The packets' `in_port` is left for the host to set.
    fn receive(&mut self, pool: &mut BufferPool, out: &mut FrameBatch) -> usize;

    /// Packets that came in and were lost here, since this was last asked.
    fn take_drops(&mut self) -> RxDrops {
        RxDrops::default()
    }

    /// The descriptor that becomes readable when packets arrive; `None` for a device in memory.
    #[cfg(unix)]
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Where packets go out to a device.
pub trait TxQueue: Send {
    /// Sends every packet of `batch`, in order, and leaves it empty; buffers go to `pool`. What could not be sent is
    /// in the result.
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops;
}

/// Packets that came in and were lost at once, by reason. What never came in, because a queue in front of us was full, is
/// among the device's counters alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxDrops {
    /// Out of memory.
    pub memory: u32,
    /// Longer than the room for it.
    pub truncated: u32,
    /// What is to be done to its checksum, or how it is to be cut, could not be understood.
    pub unknown: u32,
}

impl RxDrops {
    /// True if nothing was lost.
    pub fn is_none(&self) -> bool {
        *self == RxDrops::default()
    }

    /// Adds what another call lost.
    pub fn add(&mut self, other: &RxDrops) {
        self.memory += other.memory;
        self.truncated += other.truncated;
        self.unknown += other.unknown;
    }

    /// The drops with their reasons; reasons without drops are left out.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u32)> {
        [
            (DropReason::NoMemory, self.memory),
            (DropReason::RxTruncated, self.truncated),
            (DropReason::RxUnknownOffload, self.unknown),
        ]
        .into_iter()
        .filter(|(_, n)| *n != 0)
    }
}

/// Packets of one call that were not sent, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxDrops {
    /// Larger than the MTU, and no segmentation was asked for.
    pub mtu: u32,
    /// The device is down or gone.
    pub down: u32,
    /// The device's queue was full, or it refused the packet.
    pub failed: u32,
    /// Out of memory.
    pub memory: u32,
}

impl TxDrops {
    /// The drops with their reasons; reasons without drops are left out.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u32)> {
        [
            (DropReason::MtuExceeded, self.mtu),
            (DropReason::PortDown, self.down),
            (DropReason::TxFailed, self.failed),
            (DropReason::NoMemory, self.memory),
        ]
        .into_iter()
        .filter(|(_, n)| *n != 0)
    }

    /// All drops.
    pub fn total(&self) -> u32 {
        self.iter().map(|(_, n)| n).sum()
    }
}
