//! The ports of a datapath: their numbers, and the table that pumps read.
//!
//! Where it sits: changed by `datapath_host`, read by every pump through a snapshot.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use netdev::{
    BufferPool, Frame, FrameBatch, Netdev, Polling, QueueCounts, RxDrops, RxQueue, TxDrops, TxQueue,
};
use packet::OdpPort;

use crate::Class;

/// Numbers of ports are below this, as everywhere where a port has 16 bits.
const MAX_PORTS: u32 = 65_535;
/// MTU of a device that says nothing.
const DEFAULT_MTU: u16 = 1500;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn mtu_of(netdev: &dyn Netdev) -> u16 {
    netdev.mtu().map_or(DEFAULT_MTU, |mtu| mtu.min(u16::MAX.into()) as u16)
}

/// How a thread chooses among a port's transmit queues (`other_config:tx-steering`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Steering {
    /// Each thread has one.
    #[default]
    Thread,
    /// Each flow has one.
    Hash,
}

/// What the user asks of a port's queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The core that is to poll a queue.
    pub affinity: BTreeMap<u32, u32>,
    pub steering: Steering,
}

/// A port: the queues of its device, which go when the port is removed, whoever still has the entry.
pub(crate) struct PortEntry {
    pub number: OdpPort,
    pub name: Box<str>,
    rx: Vec<Mutex<Option<Box<dyn RxQueue>>>>,
    tx: Vec<Mutex<Option<Box<dyn TxQueue>>>>,
    pub polling: Polling,
    pub numa_id: u32,
    settings: Mutex<Settings>,
    mtu: AtomicU16,
    hashes: AtomicBool,
    /// A device that waits has a descriptor: a polling thread's; without one, `poll_ports`'s.
    pub has_fd: bool,
}

impl PortEntry {
    /// The port of an opened device; `None` if somebody else has its queues.
    pub(crate) fn new(number: OdpPort, netdev: &dyn Netdev, settings: Settings) -> Option<PortEntry> {
        let queues = netdev.queues()?;
        let polling = netdev.polling();
        let has_fd = polling == Polling::Waiting && queues.rx.iter().all(|rx| rx.fd().is_some());
        let hashes = AtomicBool::new(settings.steering == Steering::Hash);
        Some(PortEntry {
            number,
            name: netdev.name().into(),
            rx: queues.rx.into_iter().map(|rx| Mutex::new(Some(rx))).collect(),
            tx: queues.tx.into_iter().map(|tx| Mutex::new(Some(tx))).collect(),
            polling,
            numa_id: netdev.numa_id(),
            settings: Mutex::new(settings),
            mtu: AtomicU16::new(mtu_of(netdev)),
            hashes,
            has_fd,
        })
    }

    pub(crate) fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    pub(crate) fn set(&self, settings: Settings) {
        self.hashes.store(settings.steering == Steering::Hash, Ordering::Relaxed);
        *lock(&self.settings) = settings;
    }

    /// The device's MTU when it was last asked.
    pub(crate) fn mtu(&self) -> u16 {
        self.mtu.load(Ordering::Relaxed)
    }

    /// Asks the device for its MTU again.
    pub(crate) fn follow_mtu(&self, netdev: &dyn Netdev) {
        self.mtu.store(mtu_of(netdev), Ordering::Relaxed);
    }

    /// How many queues it has.
    pub(crate) fn counts(&self) -> QueueCounts {
        QueueCounts { rx: self.rx.len() as u32, tx: self.tx.len() as u32 }
    }

    /// Receives a batch; returns how many packets that were, and what was lost.
    pub(crate) fn receive(
        &self,
        queue: usize,
        pool: &mut BufferPool,
        batch: &mut FrameBatch,
    ) -> (usize, RxDrops) {
        let receive = |rx: &mut Box<dyn RxQueue>| (rx.receive(pool, batch), rx.take_drops());
        let got = self.rx.get(queue).and_then(|rx| lock(rx).as_mut().map(receive)).unwrap_or_default();
        batch.set_in_port(self.number);
        got
    }

    /// True if packets of one thread may go by several queues.
    pub(crate) fn is_steered(&self) -> bool {
        self.tx.len() > 1 && self.hashes.load(Ordering::Relaxed)
    }

    /// The transmit queue for a packet: the one of the thread with number `thread`, or of the packet's flow.
    pub(crate) fn queue_for(&self, thread: usize, frame: &Frame) -> usize {
        let n = self.tx.len().max(1);
        if self.is_steered() { flow_hash(frame.frame()) % n } else { thread % n }
    }

    /// Sends `batch` by a queue.
    pub(crate) fn transmit(&self, queue: usize, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        match self.tx.get(queue).map(lock).as_deref_mut() {
            Some(Some(tx)) => tx.transmit(pool, batch),
            _ => {
                let down = batch.len() as u32;
                batch.drain_bufs().for_each(|frame| pool.give(frame));
                TxDrops { down, ..TxDrops::default() }
            }
        }
    }

    /// Calls `f` with a receive queue's descriptor, if there is one.
    pub(crate) fn with_fd<T>(&self, queue: usize, f: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.rx.get(queue).and_then(|rx| lock(rx).as_ref().and_then(|rx| rx.fd().map(f)))
    }

    /// Closes the queues.
    pub(crate) fn close(&self) {
        // Receive queues last: with them the device may be opened again.
        self.tx.iter().for_each(|tx| *lock(tx) = None);
        self.rx.iter().for_each(|rx| *lock(rx) = None);
    }
}

/// A number that all packets of a flow share: of the addresses and ports where plain IPv4 has them, else of the addresses
/// of the frame.
fn flow_hash(frame: &[u8]) -> usize {
    let ipv4 = wire::bytes::u16_at(frame, 12) == Some(wire::eth::TYPE_IPV4);
    let bytes = if ipv4 { frame.get(26..38) } else { frame.get(..12) };
    let mix = |hash: usize, byte: &u8| (hash ^ usize::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = bytes.unwrap_or_default().iter().fold(0x811c_9dc5, mix);
    hash ^ hash >> 15
}

/// Ports by number.
pub(crate) type Table = BTreeMap<OdpPort, Arc<PortEntry>>;

/// The table, and the number of its version.
#[derive(Default)]
pub(crate) struct Ports {
    table: RwLock<Arc<Table>>,
    version: AtomicU64,
}

impl Ports {
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The table as it is.
    pub(crate) fn snapshot(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the table. The caller serialises changes.
    pub(crate) fn change(&self, f: impl FnOnce(&mut Table)) {
        let mut next = Table::clone(&self.snapshot());
        f(&mut next);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// The number for a new port: the one that is wanted by its name on a dummy datapath, else the lowest free.
pub(crate) fn choose_number(class: Class, name: &str, used: &Table) -> Option<OdpPort> {
    let free = |n: &u32| *n < MAX_PORTS && !used.contains_key(&OdpPort(*n));
    let by_name = match class {
        Class::Dummy => number_in_name(name),
        Class::Netdev | Class::System => None,
    };
    by_name.filter(free).or_else(|| lowest_free(used)).map(OdpPort)
}

/// The lowest number that nobody has: where the numbers in use, which are in order, leave a gap.
fn lowest_free(used: &Table) -> Option<u32> {
    let mut free = 1;
    for (number, _) in used.range(OdpPort(free)..) {
        if number.0 != free {
            break;
        }
        free += 1;
    }
    (free < MAX_PORTS).then_some(free)
}

/// The first number in a name, 100 more if the name is a bridge's.
fn number_in_name(name: &str) -> Option<u32> {
    let digits = name.get(name.find(|c: char| c.is_ascii_digit())?..)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let base = if name.starts_with("br") { 100 } else { 0 };
    digits.get(..end)?.parse::<u32>().ok()?.checked_add(base)
}

#[cfg(test)]
mod tests {
    use netdev::NullNetdev;

    use super::*;

    #[test]
    fn numbers_follow_names_on_a_dummy_and_only_there() {
        let mut used = Table::new();
        let mut add = |class, name: &str| {
            let n = choose_number(class, name, &used).unwrap();
            used.insert(n, Arc::new(PortEntry::new(n, &NullNetdev::new(name), Settings::default()).unwrap()));
            n.0
        };
        assert_eq!(add(Class::Dummy, "br0"), 100);
        assert_eq!(add(Class::Dummy, "br1"), 101);
        assert_eq!(add(Class::Dummy, "p2"), 2);
        assert_eq!(add(Class::Dummy, "foo"), 1);
        assert_eq!(add(Class::Dummy, "q2"), 3);
        assert_eq!(add(Class::Dummy, "vxlan99999"), 4);
        assert_eq!(add(Class::Netdev, "p77"), 5);
        assert_eq!(add(Class::Netdev, "p78"), 6, "the lowest that is free");
    }
}
