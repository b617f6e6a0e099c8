//! A socket for one receive queue of a device, with memory for its packets.
//!
//! Where it sits: made by `xdp_port`, a pair of halves that two threads may use side by side.
//!
//! ~~~text
//!   packet memory:  | frames that are received into | frames that are sent from |
//!     receive half:   fill ring ──► kernel ──► receive ring ──► copied out, and filled again
//!     transmit half:  free ──► transmit ring ──► kernel ──► completion ring ──► free
//! ~~~
//!
//! I1  A frame is in one place at a time: a ring, the kernel, or our hands; only then is its memory touched.
//!
//! Spec: the kernel's networking/af_xdp.
#![allow(unsafe_code)] // socket calls with structs

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null;
use std::sync::{Arc, Weak};

use super::check;
use super::ring::{Offsets, Ring};
use crate::sys::mapping::{Mapping, Plain};

/// Entries of the rings of what is received, and frames for it: 8 MB. They are for the time in which the thread that empties
/// them does not run, as it shares its core with others: some milliseconds.
const RX_RING: u32 = 2048;
/// Entries of the rings of what is sent, and frames for it: 4 MB.
const TX_RING: u32 = 1024;
/// Bytes of a frame's memory: a page, the most that is possible.
const CHUNK: u64 = 4096;
/// Bytes of a socket's packet memory, which stays in place: it counts as locked.
pub(crate) const PACKET_MEMORY: usize = (RX_RING + TX_RING) as usize * CHUNK as usize;
/// Bytes of the largest packet: the kernel keeps 256 in front of a received one, and some behind for its own use.
pub(crate) const FRAME_MAX: usize = CHUNK as usize - 256 - 320;
/// Times that the kernel is asked to send what is left, each time it says that it did only a part.
const MAX_KICKS: usize = 64;

const SOL_XDP: i32 = 283;
const XDP_MMAP_OFFSETS: i32 = 1;
const XDP_RX_RING: i32 = 2;
const XDP_TX_RING: i32 = 3;
const XDP_UMEM_REG: i32 = 4;
const XDP_UMEM_FILL_RING: i32 = 5;
const XDP_UMEM_COMPLETION_RING: i32 = 6;
const XDP_STATISTICS: i32 = 7;

const XDP_COPY: u16 = 1 << 1;
const XDP_ZEROCOPY: u16 = 1 << 2;
const XDP_USE_NEED_WAKEUP: u16 = 1 << 3;

const PAGE_RX: u64 = 0;
const PAGE_TX: u64 = 0x8000_0000;
const PAGE_FILL: u64 = 0x1_0000_0000;
const PAGE_COMPLETION: u64 = 0x1_8000_0000;

/// How packets get between the device and our memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// The device itself writes and reads it.
    ZeroCopy,
    /// The kernel copies.
    Copy,
}

/// `struct xdp_desc`: a packet's place in the memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Desc {
    address: u64,
    len: u32,
    options: u32,
}

// SAFETY: plain integers, and no padding.
unsafe impl Plain for Desc {}

/// `struct xdp_umem_reg`, as it was first.
#[repr(C)]
#[derive(Clone, Copy)]
struct UmemReg {
    address: u64,
    len: u64,
    chunk_size: u32,
    headroom: u32,
    flags: u32,
    unused: u32,
}

/// `struct sockaddr_xdp`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Address {
    family: u16,
    flags: u16,
    ifindex: u32,
    queue_id: u32,
    shared_umem_fd: u32,
}

/// Packets that a socket lost: `struct xdp_statistics`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub rx_dropped: u64,
    pub rx_invalid_descs: u64,
    pub tx_invalid_descs: u64,
    pub rx_ring_full: u64,
    pub rx_fill_ring_empty_descs: u64,
    pub tx_ring_empty_descs: u64,
}

impl Statistics {
    /// The sum.
    pub(crate) fn plus(&self, other: &Statistics) -> Statistics {
        Statistics {
            rx_dropped: self.rx_dropped + other.rx_dropped,
            rx_invalid_descs: self.rx_invalid_descs + other.rx_invalid_descs,
            tx_invalid_descs: self.tx_invalid_descs + other.tx_invalid_descs,
            rx_ring_full: self.rx_ring_full + other.rx_ring_full,
            rx_fill_ring_empty_descs: self.rx_fill_ring_empty_descs + other.rx_fill_ring_empty_descs,
            tx_ring_empty_descs: self.tx_ring_empty_descs + other.tx_ring_empty_descs,
        }
    }
}

/// Asks for a socket's losses, as long as it is open.
pub(crate) struct Counters(Weak<Shared>);

impl Counters {
    /// What the socket lost; zero if it has gone.
    pub(crate) fn read(&self) -> Statistics {
        self.0.upgrade().map_or(Statistics::default(), |shared| shared.statistics())
    }
}

/// The socket and its packet memory.
struct Shared {
    // The socket first: it must be closed before the memory goes.
    fd: OwnedFd,
    memory: Mapping,
}

impl Shared {
    fn set<T: Copy>(&self, name: i32, value: &T) -> io::Result<()> {
        let len = size_of::<T>() as libc::socklen_t;
        // SAFETY: the kernel reads `len` bytes of `value`, which is a T borrowed over the call.
        let rc = unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), SOL_XDP, name, std::ptr::from_ref(value).cast(), len)
        };
        check(rc).map(drop)
    }

    fn get<T: Copy>(&self, name: i32, mut value: T) -> io::Result<T> {
        let mut len = size_of::<T>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes of `value`, whose types here are plain integers.
        let rc = unsafe {
            libc::getsockopt(self.fd.as_raw_fd(), SOL_XDP, name, (&raw mut value).cast(), &raw mut len)
        };
        check(rc).map(|_| value)
    }

    fn statistics(&self) -> Statistics {
        self.get(XDP_STATISTICS, Statistics::default()).unwrap_or_default()
    }

    /// Has the kernel send, or receive, now.
    fn kick(&self) -> io::Result<()> {
        // SAFETY: a message without bytes and without an address.
        let rc = unsafe { libc::sendto(self.fd.as_raw_fd(), null(), 0, libc::MSG_DONTWAIT, null(), 0) };
        if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Opens a socket on receive queue `queue` of the device `ifindex`.
pub(crate) fn open(ifindex: u32, queue: u32, bind: Bind) -> io::Result<(XdpRx, XdpTx)> {
    // SAFETY: socket(2) takes no pointers.
    let fd = check(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: fd was returned by socket(2) just now and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let memory = Mapping::anonymous(PACKET_MEMORY)?;
    let shared = Shared { fd, memory };
    let umem = UmemReg {
        address: shared.memory.address(),
        len: shared.memory.len() as u64,
        chunk_size: CHUNK as u32,
        headroom: 0,
        flags: 0,
        unused: 0,
    };
    shared.set(XDP_UMEM_REG, &umem)?;
    let rings = [
        (XDP_UMEM_FILL_RING, RX_RING),
        (XDP_UMEM_COMPLETION_RING, TX_RING),
        (XDP_RX_RING, RX_RING),
        (XDP_TX_RING, TX_RING),
    ];
    for (ring, entries) in rings {
        shared.set(ring, &entries)?;
    }
    let [rx, tx, fill, completion] = shared.get(XDP_MMAP_OFFSETS, [Offsets::default(); 4])?;
    let at = shared.fd.as_fd();
    let rx = Ring::map(at, PAGE_RX, rx, RX_RING)?;
    let tx = Ring::map(at, PAGE_TX, tx, TX_RING)?;
    let mut fill = Ring::map(at, PAGE_FILL, fill, RX_RING)?;
    let completion = Ring::map(at, PAGE_COMPLETION, completion, TX_RING)?;
    let frame = |n: u32| u64::from(n) * CHUNK;
    for n in 0..RX_RING {
        fill.put(frame(n));
    }
    fill.submit();
    let copy = match bind {
        Bind::ZeroCopy => XDP_ZEROCOPY,
        Bind::Copy => XDP_COPY,
    };
    let address = Address {
        family: libc::AF_XDP as u16,
        flags: copy | XDP_USE_NEED_WAKEUP,
        ifindex,
        queue_id: queue,
        shared_umem_fd: 0,
    };
    let len = size_of::<Address>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of `address`, which lives over the call.
    check(unsafe { libc::bind(shared.fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), len) })?;
    let shared = Arc::new(shared);
    let free = (RX_RING..RX_RING + TX_RING).map(frame).collect();
    Ok((XdpRx { rx, fill, shared: shared.clone() }, XdpTx { tx, completion, free, shared }))
}

/// The half that receives.
pub(crate) struct XdpRx {
    // Rings before the socket that they are of.
    rx: Ring<Desc>,
    fill: Ring<u64>,
    shared: Arc<Shared>,
}

impl XdpRx {
    /// Calls `f` with each packet that has arrived, at most `max`; returns how many that were.
    pub fn receive(&mut self, max: usize, mut f: impl FnMut(&[u8])) -> usize {
        let n = (self.rx.ready() as usize).min(max);
        for _ in 0..n {
            let desc = self.rx.take();
            // SAFETY: the descriptor came out of the receive ring: the frame is ours until it is in the fill ring.
            if let Some(packet) = unsafe { self.shared.memory.bytes(desc.address, desc.len as usize) } {
                f(packet);
            }
            // There are as many entries as frames, so that it always takes them.
            self.fill.put(desc.address - desc.address % CHUNK);
        }
        if n != 0 {
            self.rx.release();
            self.fill.submit();
        }
        if self.fill.needs_wakeup() {
            // The driver was out of frames; an error tells of a device that is down.
            let _ = self.shared.kick();
        }
        n
    }

    /// Where others can ask for the losses of this socket.
    pub fn counters(&self) -> Counters {
        Counters(Arc::downgrade(&self.shared))
    }
}

impl AsFd for XdpRx {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }
}

/// The half that sends.
pub(crate) struct XdpTx {
    tx: Ring<Desc>,
    completion: Ring<u64>,
    free: Vec<u64>,
    shared: Arc<Shared>,
}

impl XdpTx {
    /// Puts a packet of at most [`FRAME_MAX`] bytes in line; false if there is no room.
    pub fn push(&mut self, packet: &[u8]) -> bool {
        if self.free.is_empty() {
            self.reclaim();
        }
        let Some(frame) = self.free.pop() else { return false };
        let desc = Desc { address: frame, len: packet.len() as u32, options: 0 };
        // SAFETY: a frame from the free list is ours until it is in the transmit ring.
        let put = packet.len() <= CHUNK as usize && unsafe { self.shared.memory.put(frame, packet) };
        let pushed = put && self.tx.put(desc);
        if !pushed {
            self.free.push(frame);
        }
        pushed
    }

    /// Has the kernel send what stands in line.
    ///
    /// # Errors
    /// When the device is down or gone; what stands in line stays there.
    pub fn flush(&mut self) -> io::Result<()> {
        self.tx.submit();
        for _ in 0..MAX_KICKS {
            if !self.tx.needs_wakeup() || self.tx.pending() == 0 {
                break;
            }
            match self.shared.kick() {
                Ok(()) => {}
                // A part was sent, and the rest needs another call.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)) => {}
                // Its queue is full: the next batch asks again.
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => break,
                Err(e) => return Err(e),
            }
            // At once, as the frames that were used last are the ones in the processor's cache.
            self.reclaim();
        }
        Ok(())
    }

    /// Packets in line that the kernel has not taken: they are lost if the queue goes.
    pub fn waiting(&mut self) -> u32 {
        self.tx.pending()
    }

    /// Takes back the frames of packets that were sent.
    fn reclaim(&mut self) {
        let sent = self.completion.ready();
        for _ in 0..sent {
            let address = self.completion.take();
            self.free.push(address - address % CHUNK);
        }
        if sent != 0 {
            self.completion.release();
        }
    }
}
