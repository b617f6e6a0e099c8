//! What an adapter is plugged into: a device of this network namespace, as a rule one end of a veth pair whose other end a
//! machine has.
//!
//! Where it sits: opened by `host`; the devices are `netdev-linux`'s. Frames come and go whole: what their senders leave to
//! hardware is done on the way in.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use netdev::offload::{TxCapabilities, deliver};
use netdev::{BufferPool, FrameBatch, Netdev, RxQueue, TxQueue};
use netdev_linux::LinuxDevices;
use packet::{BATCH, OdpPort};
use rustix::event::{EventfdFlags, eventfd};

/// The namespace's devices, and whether any of them changed.
pub(crate) struct Links {
    devices: LinuxDevices,
    changed: Arc<OwnedFd>,
}

impl Links {
    /// Begins to follow them.
    pub fn follow() -> io::Result<Links> {
        let changed = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let wake = changed.clone();
        let on_change = move || {
            // One that takes no more is readable as it is.
            let _ = rustix::io::write(&wake, &1u64.to_ne_bytes());
        };
        Ok(Links { devices: LinuxDevices::new(Arc::new(on_change))?, changed })
    }

    /// Takes note of changes: links are looked at again.
    pub fn settle(&self) {
        let mut count = [0; 8];
        // Nothing is there to be read if nothing changed.
        let _ = rustix::io::read(&self.changed, &mut count);
    }

    /// Opens a device.
    pub fn open(&self, name: &str) -> Result<Link, String> {
        let device = self.devices.system().open(name).map_err(|e| e.to_string())?;
        let mut queues = device.queues().ok_or("its queues are taken")?;
        let (rx, tx) = (queues.rx.pop(), queues.tx.pop());
        let (Some(rx), Some(tx)) = (rx, tx) else { return Err("it has no queues".into()) };
        let batch = || FrameBatch::try_new().ok_or("no memory");
        let (incoming, outgoing) = (batch()?, batch()?);
        Ok(Link { _device: device, rx, tx, pool: BufferPool::new(), incoming, outgoing })
    }
}

impl AsFd for Links {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changed.as_fd()
    }
}

/// An open device.
pub(crate) struct Link {
    _device: Arc<dyn Netdev>,
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
    pool: BufferPool,
    incoming: FrameBatch,
    outgoing: FrameBatch,
}

impl Link {
    /// What becomes readable when frames come.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.rx.fd()
    }

    /// The next frames, checksums complete and large ones cut.
    pub fn receive(&mut self) -> Vec<Vec<u8>> {
        let Link { rx, pool, incoming, .. } = self;
        let mut whole = Vec::new();
        rx.receive(pool, incoming);
        for frame in incoming.drain_bufs() {
            // One that cannot be cut is lost, as on a wire.
            let _ = deliver(frame, TxCapabilities::default(), pool, |frame, pool| {
                whole.push(frame.frame().to_vec());
                pool.give(frame);
            });
        }
        whole
    }

    /// Sends frames; returns how many could not be sent.
    pub fn transmit(&mut self, frames: &[Vec<u8>]) -> u64 {
        let Link { tx, pool, outgoing, .. } = self;
        let mut refused = 0;
        for some in frames.chunks(BATCH) {
            for frame in some {
                let copy = pool.copy_of(frame).map(|copy| outgoing.push_from(OdpPort::NONE, copy).is_ok());
                refused += u64::from(copy != Some(true));
            }
            let drops = tx.transmit(pool, outgoing);
            refused += drops.iter().map(|(_, n)| u64::from(n)).sum::<u64>();
        }
        refused
    }
}
