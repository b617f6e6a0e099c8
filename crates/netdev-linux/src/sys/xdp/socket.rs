//! A socket for one receive queue of a device.
//!
//! Where it sits: made by `xdp_port`, a pair of halves that two threads may use side by side.
//!
//! ~~~text
//!     receive half:   empty frames ──► fill ring ──► kernel ──► receive ring ──► frames
//!     transmit half:  frames ──► transmit ring ──► kernel ──► completion ring ──► empty frames
//! ~~~
//!
//! Frames lie in the arena, and those that the kernel has stand in [`Held`]. A packet passes through the datapath in the frame that the device wrote
//! and leaves in it; small ones are copied where the kernel copies anyway. A frame of other memory is copied into one of the arena before it is sent.
//!
//! Spec: the kernel's networking/af_xdp.
#![allow(unsafe_code)] // socket calls with structs

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use netdev::{BufferPool, Frame};
use packet::PacketBuf;

use super::check;
use super::held::Held;
use super::ring::{Offsets, Ring};
use super::umem;
use crate::sys::arena::{self, CHUNK, PacketMemory};
use crate::sys::mapping::Plain;

/// Entries of the rings of what is received, and frames for it at most, 8 MB. They are for the time in which the thread that empties
/// them does not run, as it shares its core with others: some milliseconds.
const RX_RING: u32 = 2048;
/// What a new socket takes of the free frames to receive into: the first 1,024, the fiftieth 40.
const RX_PART: u32 = 16;
/// A packet is copied rather than that so few frames are left to receive into.
const RX_LEAST: u32 = 32;
/// Bytes of the largest packet that is copied where the kernel copies, too: small ones are better off in the few frames that are in the processor's cache.
const COPIED: usize = 2048;
/// Entries of the rings of what is sent.
const TX_RING: u32 = 1024;
/// Bytes of the largest packet: the kernel keeps 256 in front of a received one, and some behind for its own use.
pub(crate) const FRAME_MAX: usize = CHUNK - 256 - 320;
/// Times that the kernel is asked to send what is left, each time it says that it did only a part.
const MAX_KICKS: usize = 64;

const SOL_XDP: i32 = 283;
const XDP_MMAP_OFFSETS: i32 = 1;
const XDP_RX_RING: i32 = 2;
const XDP_TX_RING: i32 = 3;
pub(super) const XDP_UMEM_REG: i32 = 4;
const XDP_UMEM_FILL_RING: i32 = 5;
const XDP_UMEM_COMPLETION_RING: i32 = 6;
const XDP_STATISTICS: i32 = 7;

pub(super) const XDP_SHARED_UMEM: u16 = 1 << 0;
pub(super) const XDP_COPY: u16 = 1 << 1;
pub(super) const XDP_ZEROCOPY: u16 = 1 << 2;
pub(super) const XDP_USE_NEED_WAKEUP: u16 = 1 << 3;

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

/// `struct sockaddr_xdp`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Address {
    family: u16,
    flags: u16,
    ifindex: u32,
    queue_id: u32,
    shared_umem_fd: u32,
}

impl Address {
    /// Receive queue `queue_id` of a device; the UMEM is the socket's own, or with `XDP_SHARED_UMEM` that of another.
    pub fn new(ifindex: u32, queue_id: u32, flags: u16, shared_umem_fd: u32) -> Address {
        Address { family: libc::AF_XDP as u16, flags, ifindex, queue_id, shared_umem_fd }
    }
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
pub(crate) struct Counters(Weak<Socket>);

impl Counters {
    /// What the socket lost; zero if it has gone.
    pub(crate) fn read(&self) -> Statistics {
        self.0.upgrade().map_or(Statistics::default(), |socket| socket.statistics())
    }
}

/// The socket itself, which both halves share.
pub(super) struct Socket {
    // Closed before the frames are given back.
    fd: OwnedFd,
    left: Mutex<Left>,
}

/// Frames that the kernel has of halves that have gone.
#[derive(Default)]
struct Left(Vec<Frame>);

impl Drop for Left {
    fn drop(&mut self) {
        umem::closed(std::mem::take(&mut self.0));
    }
}

impl Socket {
    fn open() -> io::Result<Socket> {
        // SAFETY: socket(2) takes no pointers.
        let fd = check(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: fd was returned by socket(2) just now and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        umem::opened();
        Ok(Socket { fd, left: Mutex::default() })
    }

    /// Its number, by which others name it.
    pub fn raw_fd(&self) -> u32 {
        self.fd.as_raw_fd().cast_unsigned()
    }

    pub fn bind(&self, address: &Address) -> io::Result<()> {
        let len = size_of::<Address>() as libc::socklen_t;
        // SAFETY: the kernel reads `len` bytes of `address`, which is borrowed over the call.
        check(unsafe { libc::bind(self.fd.as_raw_fd(), std::ptr::from_ref(address).cast(), len) }).map(drop)
    }

    /// Keeps what the kernel has until the socket is closed.
    fn leave(&self, held: &mut Held) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).0.append(&mut held.drain());
    }

    pub fn set<T: Copy>(&self, name: i32, value: &T) -> io::Result<()> {
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
pub(crate) fn open(ifindex: u32, queue: u32, how: Bind) -> io::Result<(XdpRx, XdpTx)> {
    let socket = Socket::open()?;
    let rings = [
        (XDP_UMEM_FILL_RING, RX_RING),
        (XDP_UMEM_COMPLETION_RING, TX_RING),
        (XDP_RX_RING, RX_RING),
        (XDP_TX_RING, TX_RING),
    ];
    for (ring, entries) in rings {
        socket.set(ring, &entries)?;
    }
    let [rx, tx, fill, completion] = socket.get(XDP_MMAP_OFFSETS, [Offsets::default(); 4])?;
    let at = socket.fd.as_fd();
    let rx = Ring::map(at, PAGE_RX, rx, RX_RING)?;
    let tx = Ring::map(at, PAGE_TX, tx, TX_RING)?;
    let fill = Ring::map(at, PAGE_FILL, fill, RX_RING)?;
    let completion = Ring::map(at, PAGE_COMPLETION, completion, TX_RING)?;
    let socket = Arc::new(socket);
    let joined = umem::bind(&socket, ifindex, queue, how)?;
    let aim = PacketMemory::free() / RX_PART;
    let copied = if how == Bind::Copy { COPIED } else { 0 };
    let mut receive = XdpRx { rx, fill, held: Held::new(), aim, copied, joined, socket: socket.clone() };
    receive.refill(&mut BufferPool::new());
    if receive.held.count() == 0 {
        // Without frames in the arena nothing can be received.
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    Ok((receive, XdpTx { tx, completion, held: Held::new(), socket }))
}

/// The half that receives.
pub(crate) struct XdpRx {
    // Rings before the socket that they are of.
    rx: Ring<Desc>,
    fill: Ring<u64>,
    held: Held,
    /// Frames that the kernel is to have, if that is no more than its part.
    aim: u32,
    /// Packets of up to so many bytes are copied.
    copied: usize,
    /// The memory was other sockets' before.
    joined: bool,
    socket: Arc<Socket>,
}

/// Why a packet that arrived is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// There is no memory for a copy of it.
    NoMemory,
    /// It is longer than a frame.
    TooLong,
}

impl XdpRx {
    /// Calls `f` with each packet that has arrived, at most `max`, or with why it is lost; returns how many that were.
    pub fn receive(
        &mut self,
        max: usize,
        pool: &mut BufferPool,
        mut f: impl FnMut(Result<Frame, Loss>),
    ) -> usize {
        let n = (self.rx.ready() as usize).min(max);
        let wanted = self.wanted();
        for _ in 0..n {
            let desc = self.rx.take();
            let Some((mut frame, headroom)) = self.held.take(desc.address) else { continue };
            frame.reset(headroom);
            frame.extend(desc.len as usize);
            if frame.len() != desc.len as usize {
                // Longer than the frame's memory, which ends a little before its chunk.
                f(Err(Loss::TooLong));
                _ = self.give(frame);
            } else if frame.len() <= self.copied || self.held.count() < RX_LEAST {
                f(pool.copy_of(frame.frame()).ok_or(Loss::NoMemory));
                // Where sockets have become more, others may need it.
                if self.held.count() < wanted { _ = self.give(frame) } else { pool.give(frame) }
            } else {
                f(Ok(frame));
            }
        }
        if n != 0 {
            self.rx.release();
            if n == max {
                self.aim = RX_RING.min(self.aim + n as u32);
            }
            self.refill(pool);
        }
        if self.fill.needs_wakeup() {
            // The driver was out of frames; an error tells of a device that is down.
            let _ = self.socket.kick();
        }
        n
    }

    /// How many frames the kernel is to have.
    fn wanted(&self) -> u32 {
        self.aim.min(umem::part().max(RX_LEAST))
    }

    /// Gives the kernel a frame to receive into; false if it is not in the arena.
    fn give(&mut self, frame: Frame) -> bool {
        // There are as many entries as frames, so that the ring always takes them.
        self.held.put(frame).is_ok_and(|address| self.fill.put(address))
    }

    /// Gives the kernel as many frames as it is to have, or as there are.
    fn refill(&mut self, pool: &mut BufferPool) {
        let wanted = self.wanted();
        while self.held.count() < wanted {
            if !take(pool).is_some_and(|frame| self.give(frame)) {
                umem::release_stopped();
                break;
            }
        }
        self.fill.submit();
    }

    /// True if the kernel knew the memory from other sockets.
    pub fn has_joined(&self) -> bool {
        self.joined
    }

    /// Where others can ask for the losses of this socket.
    pub fn counters(&self) -> Counters {
        Counters(Arc::downgrade(&self.socket))
    }
}

impl Drop for XdpRx {
    fn drop(&mut self) {
        self.socket.leave(&mut self.held);
    }
}

impl AsFd for XdpRx {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }
}

/// The half that sends.
pub(crate) struct XdpTx {
    tx: Ring<Desc>,
    completion: Ring<u64>,
    held: Held,
    socket: Arc<Socket>,
}

impl XdpTx {
    /// Puts a packet of at most [`FRAME_MAX`] bytes in line.
    ///
    /// # Errors
    /// The packet, if there is no room for it in the line, or in the arena.
    pub fn push(&mut self, frame: Frame, pool: &mut BufferPool) -> Result<(), Frame> {
        if self.held.count() == TX_RING {
            self.reclaim(pool);
        }
        if self.held.count() == TX_RING {
            return Err(frame);
        }
        let frame = if arena::offset_of(frame.memory()).is_some() { frame } else { in_arena(frame, pool)? };
        let (address, len) = (arena::offset_of(frame.frame()).unwrap_or(0), frame.len() as u32);
        self.held.put(frame)?;
        // There are as many entries as frames are held.
        self.tx.put(Desc { address, len, options: 0 });
        Ok(())
    }

    /// Has the kernel send what stands in line.
    ///
    /// # Errors
    /// When the device is down or gone; what stands in line stays there.
    pub fn flush(&mut self, pool: &mut BufferPool) -> io::Result<()> {
        self.tx.submit();
        for _ in 0..MAX_KICKS {
            if !self.tx.needs_wakeup() || self.tx.pending() == 0 {
                break;
            }
            match self.socket.kick() {
                Ok(()) => {}
                // A part was sent, and the rest needs another call.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)) => {}
                // Its queue is full: the next batch asks again.
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => break,
                Err(e) => return Err(e),
            }
            // At once, as the frames that were used last are the ones in the processor's cache.
            self.reclaim(pool);
        }
        Ok(())
    }

    /// Packets in line that the kernel has not taken: they are lost if the queue goes.
    pub fn waiting(&mut self) -> u32 {
        self.tx.pending()
    }

    /// Takes back the frames of packets that were sent.
    fn reclaim(&mut self, pool: &mut BufferPool) {
        let sent = self.completion.ready();
        for _ in 0..sent {
            let address = self.completion.take();
            if let Some((frame, _)) = self.held.take(address) {
                pool.give(frame);
            }
        }
        if sent != 0 {
            self.completion.release();
        }
    }
}

impl Drop for XdpTx {
    fn drop(&mut self) {
        self.socket.leave(&mut self.held);
    }
}

/// An empty frame in the arena; `None` if nothing is free there.
#[inline]
fn take(pool: &mut BufferPool) -> Option<Frame> {
    loop {
        let page = pool.take_page()?;
        if arena::offset_of(page.memory()).is_some() {
            return Some(page);
        }
        // It was made while nothing was free, and goes.
        if PacketMemory::free() == 0 {
            return None;
        }
    }
}

/// A copy of a frame in the arena.
///
/// # Errors
/// The frame, if it does not fit, or nothing is free there.
fn in_arena(frame: Frame, pool: &mut BufferPool) -> Result<Frame, Frame> {
    let fits = frame.len() <= BufferPool::PAGE - Frame::HEADROOM;
    let Some(mut page) = take(pool).filter(|_| fits) else { return Err(frame) };
    if !page.assign(Frame::HEADROOM, frame.frame()) {
        return Err(frame);
    }
    pool.give(frame);
    Ok(page)
}
