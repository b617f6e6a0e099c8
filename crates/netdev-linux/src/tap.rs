//! TAP devices: ports that the host's own stack, or a virtual machine, uses.
//!
//! Where it sits: made by `device` for ports of type internal and tap; polled by a host's thread. The device exists
//! as long as its port does.
//!
//! Spec: the kernel's networking/tuntap.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use netdev::offload::{SegmentError, TxCapabilities, deliver};
use netdev::{
    BufferPool, Frame, FrameBatch, NetdevError, NetdevStats, Queues, RxDrops, RxQueue, TxDrops, TxQueue,
};
use packet::{BATCH, OdpPort, PacketBuf};

use crate::losses::Losses;
use crate::sys::{self, VNET_LEN};
use crate::vnet;

const TUN: &str = "/dev/net/tun";
/// Transmit queues: threads may write to one descriptor side by side.
const TX_QUEUES: usize = 8;
const IFF_TAP: i32 = 0x0002;
const IFF_NO_PI: i32 = 0x1000;
const IFF_VNET_HDR: i32 = 0x4000;

/// Checksums, and TCP over IPv4 and IPv6 with ECN.
const OFFLOAD_TCP: u32 = 0x01 | 0x02 | 0x04 | 0x08;
/// UDP over IPv4 and IPv6, since Linux 6.2.
const OFFLOAD_UDP: u32 = 0x20 | 0x40;

/// What went through our end, as seen from the switch.
#[derive(Default)]
struct Counters {
    rx_packets: AtomicU64,
    rx_bytes: AtomicU64,
    tx_packets: AtomicU64,
    tx_bytes: AtomicU64,
    /// Packets for a device that was down: the device counts them too.
    tx_down: AtomicU64,
}

/// An open TAP device.
pub(crate) struct Tap {
    file: File,
    /// The kernel takes UDP super-packets.
    uso: bool,
    counters: Counters,
    losses: Losses,
    taken: AtomicBool,
}

impl Tap {
    /// Opens the kernel's maker of TAP devices.
    pub(crate) fn maker() -> io::Result<File> {
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN)
    }

    /// What to tell the user when [`Tap::maker`] fails.
    pub(crate) fn no_maker(error: io::Error) -> NetdevError {
        let why = NetdevError::from(error);
        log::warn!(target: "netdev_linux", "opening \"{TUN}\" failed: {why}");
        NetdevError::Explained(why.errno(), format!("{why}: {TUN}"))
    }

    /// Makes the device `name`, or attaches to it if it is persistent.
    pub(crate) fn open(name: &str, file: File) -> Result<Arc<Tap>, NetdevError> {
        sys::tun_attach(file.as_fd(), name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR).map_err(|e| {
            let why = NetdevError::from(e);
            log::warn!(target: "netdev_linux", "{name}: creating tap device failed: {why}");
            why
        })?;
        sys::tun_set_header_size(file.as_fd(), VNET_LEN)?;
        Tap::of(file)
    }

    /// The device that an open file is attached to, with headers of our size.
    pub(crate) fn of(file: File) -> Result<Arc<Tap>, NetdevError> {
        let uso = sys::tun_set_offload(file.as_fd(), OFFLOAD_TCP | OFFLOAD_UDP).is_ok();
        if !uso {
            sys::tun_set_offload(file.as_fd(), OFFLOAD_TCP)?;
        }
        let (counters, losses, taken) = (Counters::default(), Losses::default(), AtomicBool::new(false));
        Ok(Arc::new(Tap { file, uso, counters, losses, taken }))
    }

    /// Both queues; `None` while somebody has them.
    pub(crate) fn queues(self: &Arc<Self>) -> Option<Queues> {
        if self.taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        let tx = |_| Box::new(Tx(self.clone())) as Box<dyn TxQueue>;
        Some(Queues {
            rx: vec![Box::new(Rx { tap: self.clone(), drops: RxDrops::default() })],
            tx: (0..TX_QUEUES).map(tx).collect(),
        })
    }

    /// The device's counters with what was lost at our end.
    pub(crate) fn added_to(&self, stats: NetdevStats) -> NetdevStats {
        self.losses.added_to(stats)
    }

    /// What went through our end: all that can be told while the device is in another network namespace.
    pub(crate) fn stats(&self) -> NetdevStats {
        let n = |counter: &AtomicU64| Some(counter.load(Ordering::Relaxed));
        NetdevStats {
            rx_packets: n(&self.counters.rx_packets),
            rx_bytes: n(&self.counters.rx_bytes),
            tx_packets: n(&self.counters.tx_packets),
            tx_bytes: n(&self.counters.tx_bytes),
            tx_dropped: n(&self.counters.tx_down),
            ..NetdevStats::default()
        }
    }
}

/// What reading from the device, or writing to it, came to when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Retry,
    /// Nothing to be read now, or no room to write.
    NotNow,
    /// The kernel's word for a device that is down.
    Down,
    Other,
}

fn failure(e: &io::Error) -> Failure {
    match e.raw_os_error() {
        Some(libc::EINTR) => Failure::Retry,
        Some(libc::EAGAIN) => Failure::NotNow,
        Some(libc::EIO | libc::EBADFD) => Failure::Down,
        _ => Failure::Other,
    }
}

struct Rx {
    tap: Arc<Tap>,
    /// What was lost since somebody asked.
    drops: RxDrops,
}

impl Drop for Rx {
    fn drop(&mut self) {
        self.tap.taken.store(false, Ordering::Release);
    }
}

impl RxQueue for Rx {
    fn receive(&mut self, pool: &mut BufferPool, out: &mut FrameBatch) -> usize {
        let mut slots = pool.take_slots(1);
        let (mut packets, mut bytes, mut drops, mut errors) = (0, 0, RxDrops::default(), 0);
        while let Some(slot) = slots.first_mut().filter(|_| !out.is_full()) {
            let mut header = [0; VNET_LEN];
            let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(slot.spare())];
            match (&self.tap.file).read_vectored(&mut parts) {
                Ok(n) if n > VNET_LEN => slot.extend(n - VNET_LEN),
                Ok(_) => break,
                Err(e) => match failure(&e) {
                    Failure::Retry => continue,
                    Failure::NotNow | Failure::Down => break,
                    // The kernel could not describe a packet, which is gone; others may be behind it.
                    Failure::Other if errors < BATCH => {
                        errors += 1;
                        drops.unknown += 1;
                        continue;
                    }
                    Failure::Other => break,
                },
            }
            let len = slot.len() as u64;
            let Ok(offload) = vnet::decode(&header) else {
                drops.unknown += 1;
                slot.reset(Frame::HEADROOM);
                continue;
            };
            *slot.offload_mut() = offload;
            let Some(frame) = pool.frame_from(slot) else {
                drops.memory += 1;
                continue;
            };
            bytes += len;
            packets += u64::from(out.push_from(OdpPort::NONE, frame).is_ok());
        }
        pool.give_slots(slots);
        self.tap.counters.rx_packets.fetch_add(packets, Ordering::Relaxed);
        self.tap.counters.rx_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tap.losses.received(&drops);
        self.drops.add(&drops);
        packets as usize
    }

    fn take_drops(&mut self) -> RxDrops {
        std::mem::take(&mut self.drops)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.tap.file.as_fd())
    }
}

struct Tx(Arc<Tap>);

impl TxQueue for Tx {
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        let mut drops = TxDrops::default();
        let can = TxCapabilities { checksum: true, tso: true, uso: self.0.uso };
        for (_, frame) in batch.drain() {
            let done = deliver(frame, can, pool, |frame, pool| {
                self.send(&frame, &mut drops);
                pool.give(frame);
            });
            match done {
                Ok(()) => {}
                Err(SegmentError::Malformed) => drops.failed += 1,
                Err(SegmentError::NoMemory) => drops.memory += 1,
            }
        }
        self.0.counters.tx_down.fetch_add(drops.down.into(), Ordering::Relaxed);
        self.0.losses.sent(&TxDrops { down: 0, ..drops });
        drops
    }
}

impl Tx {
    fn send(&self, frame: &Frame, drops: &mut TxDrops) {
        let header = vnet::encode(frame);
        let parts = [IoSlice::new(&header), IoSlice::new(frame.frame())];
        loop {
            match (&self.0.file).write_vectored(&parts) {
                Ok(_) => {
                    self.0.counters.tx_packets.fetch_add(1, Ordering::Relaxed);
                    self.0.counters.tx_bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
                }
                Err(e) => match failure(&e) {
                    Failure::Retry => continue,
                    Failure::Down => drops.down += 1,
                    Failure::NotNow | Failure::Other => drops.failed += 1,
                },
            }
            return;
        }
    }
}
