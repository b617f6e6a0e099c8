//! TAP devices: ports that the host's own stack, or a virtual machine, uses.
//!
//! Where it sits: made by `device` for ports of type internal and tap; polled by a host's threads. The device exists
//! as long as its port does.
//!
//! A device has as many receive queues as `options:n_rxq` says, each an open file of its own. The kernel puts packets of a flow into the
//! queue by which packets of that flow came to it last, so that each thread gets the answers to what it sent.
//!
//! Spec: the kernel's networking/tuntap.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use netdev::offload::{SegmentError, TxCapabilities, deliver};
use netdev::{
    BufferPool, Frame, FrameBatch, NetdevError, NetdevStats, Options, QueueCounts, Queues, RxDrops, RxQueue,
    TxDrops, TxQueue,
};
use packet::{BATCH, OdpPort, PacketBuf};

use crate::losses::Losses;
use crate::sys::{self, VNET_LEN};
use crate::vnet;

const TUN: &str = "/dev/net/tun";
/// Transmit queues: threads may write to one descriptor side by side.
const TX_QUEUES: usize = 8;
/// Receive queues at most.
const MAX_QUEUES: u32 = 64;
const IFF_TAP: i32 = 0x0002;
const IFF_NO_PI: i32 = 0x1000;
const IFF_VNET_HDR: i32 = 0x4000;
const IFF_MULTI_QUEUE: i32 = 0x0100;
/// What we ask of a device.
const FLAGS: i32 = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

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
    /// The first queue; with it the device goes.
    file: Arc<File>,
    /// Further queues that are open already.
    given: Mutex<Vec<File>>,
    /// The device can have several queues.
    is_multiqueue: bool,
    /// How many receive queues there are to be.
    wanted: AtomicU32,
    /// The kernel takes UDP super-packets.
    uso: bool,
    counters: Counters,
    losses: Losses,
    /// Receive queues that somebody has.
    live: AtomicUsize,
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
        let attach = |flags| sys::tun_attach(file.as_fd(), name, flags);
        let many = match attach(FLAGS | IFF_MULTI_QUEUE) {
            // One that somebody else has made with a single queue.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => attach(FLAGS).map(|()| false),
            attached => attached.map(|()| true),
        };
        let many = many.map_err(|e| {
            let why = NetdevError::from(e);
            log::warn!(target: "netdev_linux", "{name}: creating tap device failed: {why}");
            why
        })?;
        sys::tun_set_header_size(file.as_fd(), VNET_LEN)?;
        Tap::with(file, Vec::new(), many)
    }

    /// The device that open files are attached to, each as a queue, with headers of our size.
    pub(crate) fn of(files: Vec<OwnedFd>) -> Result<Arc<Tap>, NetdevError> {
        let mut files = files.into_iter().map(File::from);
        let first = files.next().ok_or(NetdevError::Os(libc::EBADF))?;
        let flags = sys::tun_flags(first.as_fd())?;
        Tap::with(first, files.collect(), flags & IFF_MULTI_QUEUE != 0)
    }

    fn with(file: File, given: Vec<File>, is_multiqueue: bool) -> Result<Arc<Tap>, NetdevError> {
        let uso = sys::tun_set_offload(file.as_fd(), OFFLOAD_TCP | OFFLOAD_UDP).is_ok();
        if !uso {
            sys::tun_set_offload(file.as_fd(), OFFLOAD_TCP)?;
        }
        let wanted = AtomicU32::new(1 + given.len() as u32);
        let (file, given, live) = (Arc::new(file), Mutex::new(given), AtomicUsize::new(0));
        let (counters, losses) = (Counters::default(), Losses::default());
        Ok(Arc::new(Tap { file, given, is_multiqueue, wanted, uso, counters, losses, live }))
    }

    /// How many queues there are to be.
    pub(crate) fn counts(&self) -> QueueCounts {
        QueueCounts { rx: self.wanted.load(Ordering::Relaxed), tx: TX_QUEUES as u32 }
    }

    /// What was asked for, if it is not the usual.
    pub(crate) fn config(&self) -> Options {
        let queues = Some(self.counts().rx).filter(|n| *n != 1);
        queues.map(|n| ("n_rxq".to_owned(), n.to_string())).into_iter().collect()
    }

    /// Takes over `options:n_rxq`.
    pub(crate) fn set_options(&self, options: &Options) -> Result<(), NetdevError> {
        let queues = match options.get("n_rxq").map(|n| n.parse::<u32>()) {
            None => 1,
            Some(Ok(n @ 1..=MAX_QUEUES)) => n,
            Some(_) => return Err(NetdevError::Options(format!("n_rxq is a number from 1 to {MAX_QUEUES}"))),
        };
        if queues != 1 && !self.is_multiqueue {
            return Err(NetdevError::Options("n_rxq: the device was made with one queue".to_owned()));
        }
        self.wanted.store(queues, Ordering::Relaxed);
        Ok(())
    }

    /// One more queue of the device.
    fn open_queue(name: &str) -> io::Result<File> {
        let file = Tap::maker()?;
        sys::tun_attach(file.as_fd(), name, FLAGS | IFF_MULTI_QUEUE)?;
        Ok(file)
    }

    /// All queues; `None` while somebody has them. `name` is the device's in this namespace: while it is in another there is no
    /// name by which further queues are opened, as a device of our own would be made.
    pub(crate) fn queues(self: &Arc<Self>, name: Option<&str>) -> Option<Queues> {
        if self.live.load(Ordering::Acquire) != 0 {
            return None;
        }
        let mut files = vec![self.file.clone()];
        let mut given =
            std::mem::take(&mut *self.given.lock().unwrap_or_else(PoisonError::into_inner)).into_iter();
        for _ in 1..self.counts().rx {
            match given.next().map(Ok).or_else(|| name.map(Tap::open_queue)) {
                Some(Ok(file)) => files.push(Arc::new(file)),
                Some(Err(e)) => {
                    let (n, why) = (files.len(), NetdevError::from(e));
                    log::warn!(target: "netdev_linux", "more than {n} queues of a tap device cannot be opened: {why}");
                    self.wanted.store(n as u32, Ordering::Relaxed);
                    break;
                }
                None => break,
            }
        }
        self.live.store(files.len(), Ordering::Release);
        let rx = |file: &Arc<File>| {
            Box::new(Rx { tap: self.clone(), file: file.clone(), drops: RxDrops::default() })
                as Box<dyn RxQueue>
        };
        let tx =
            |file: &Arc<File>| Box::new(Tx { tap: self.clone(), file: file.clone() }) as Box<dyn TxQueue>;
        Some(Queues {
            rx: files.iter().map(rx).collect(),
            tx: files.iter().cycle().take(TX_QUEUES.max(files.len())).map(tx).collect(),
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
    file: Arc<File>,
    /// What was lost since somebody asked.
    drops: RxDrops,
}

impl Drop for Rx {
    fn drop(&mut self) {
        self.tap.live.fetch_sub(1, Ordering::AcqRel);
    }
}

impl RxQueue for Rx {
    fn receive(&mut self, pool: &mut BufferPool, out: &mut FrameBatch) -> usize {
        let mut slots = pool.take_slots(1);
        let (mut packets, mut bytes, mut drops, mut errors) = (0, 0, RxDrops::default(), 0);
        while let Some(slot) = slots.first_mut().filter(|_| !out.is_full()) {
            let read = (&*self.file).read(vnet::room(slot));
            let header = vnet::received(slot, *read.as_ref().unwrap_or(&0));
            let header = match read.map(|_| header) {
                Ok(Some(header)) => header,
                Ok(None) => break,
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
            };
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
        Some(self.file.as_fd())
    }
}

struct Tx {
    tap: Arc<Tap>,
    file: Arc<File>,
}

impl TxQueue for Tx {
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        let mut drops = TxDrops::default();
        let can = TxCapabilities { checksum: true, tso: true, uso: self.tap.uso };
        for (_, frame) in batch.drain() {
            let done = deliver(frame, can, pool, |mut frame, pool| {
                self.send(&mut frame, &mut drops);
                pool.give(frame);
            });
            match done {
                Ok(()) => {}
                Err(SegmentError::Malformed) => drops.failed += 1,
                Err(SegmentError::NoMemory) => drops.memory += 1,
            }
        }
        self.tap.counters.tx_down.fetch_add(drops.down.into(), Ordering::Relaxed);
        self.tap.losses.sent(&TxDrops { down: 0, ..drops });
        drops
    }
}

impl Tx {
    fn send(&self, frame: &mut Frame, drops: &mut TxDrops) {
        let len = frame.len() as u64;
        let header = vnet::encode(frame);
        // One that has no room for its header is sent in two pieces.
        let is_whole = vnet::put_on(frame);
        loop {
            let written = if is_whole {
                (&*self.file).write(frame.frame())
            } else {
                (&*self.file).write_vectored(&[IoSlice::new(&header), IoSlice::new(frame.frame())])
            };
            match written {
                Ok(_) => {
                    self.tap.counters.tx_packets.fetch_add(1, Ordering::Relaxed);
                    self.tap.counters.tx_bytes.fetch_add(len, Ordering::Relaxed);
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
