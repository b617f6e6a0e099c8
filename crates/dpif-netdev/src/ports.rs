//! The ports of a datapath: their numbers, and the table that pumps read.
//!
//! Where it sits: changed by `datapath_host`, read by every pump through a snapshot.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use netdev::{BufferPool, FrameBatch, Netdev, RxQueue, TxDrops, TxQueue};
use packet::OdpPort;

use crate::Class;

/// Numbers of ports are below this, as everywhere where a port has 16 bits.
const MAX_PORTS: u32 = 65_535;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The queues of a port's device; they go when the port is removed, whoever still has the entry.
pub(crate) struct PortEntry {
    pub number: OdpPort,
    rx: Mutex<Option<Box<dyn RxQueue>>>,
    tx: Mutex<Option<Box<dyn TxQueue>>>,
    /// The device has a descriptor: the polling thread's; without one, `poll_ports`'s.
    pub has_fd: bool,
}

impl PortEntry {
    /// The port of an opened device; `None` if somebody else has its queues.
    pub(crate) fn new(number: OdpPort, netdev: &dyn Netdev) -> Option<PortEntry> {
        let queues = netdev.queues()?;
        let has_fd = queues.rx.fd().is_some();
        Some(PortEntry { number, rx: Mutex::new(Some(queues.rx)), tx: Mutex::new(Some(queues.tx)), has_fd })
    }

    pub(crate) fn receive(&self, pool: &mut BufferPool, batch: &mut FrameBatch) -> usize {
        let n = lock(&self.rx).as_mut().map_or(0, |rx| rx.receive(pool, batch));
        for (meta, _) in batch.iter_mut() {
            meta.in_port = self.number;
        }
        n
    }

    pub(crate) fn transmit(&self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        match lock(&self.tx).as_mut() {
            Some(tx) => tx.transmit(pool, batch),
            None => {
                let down = batch.len() as u32;
                batch.drain().for_each(|(_, frame)| pool.give(frame));
                TxDrops { down, ..TxDrops::default() }
            }
        }
    }

    /// Calls `f` with the receive queue's descriptor, if there is one.
    pub(crate) fn with_fd<T>(&self, f: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        lock(&self.rx).as_ref().and_then(|rx| rx.fd().map(f))
    }

    /// Closes the queues.
    pub(crate) fn close(&self) {
        // The receive queue last: with it the device may be opened again.
        *lock(&self.tx) = None;
        *lock(&self.rx) = None;
    }
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
    let free = |n: u32| n < MAX_PORTS && !used.contains_key(&OdpPort(n));
    let by_name = match class {
        Class::Dummy => number_in_name(name),
        Class::Netdev => None,
    };
    by_name.filter(|n| free(*n)).or_else(|| (1..MAX_PORTS).find(|n| free(*n))).map(OdpPort)
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
            used.insert(n, Arc::new(PortEntry::new(n, &NullNetdev::new(name)).unwrap()));
            n.0
        };
        assert_eq!(add(Class::Dummy, "br0"), 100);
        assert_eq!(add(Class::Dummy, "br1"), 101);
        assert_eq!(add(Class::Dummy, "p2"), 2);
        assert_eq!(add(Class::Dummy, "foo"), 1);
        assert_eq!(add(Class::Dummy, "q2"), 3);
        assert_eq!(add(Class::Dummy, "vxlan99999"), 4);
        assert_eq!(add(Class::Netdev, "p77"), 5);
    }
}
