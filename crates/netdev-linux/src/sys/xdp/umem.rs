//! The kernel's view of the packet memory (an UMEM), which sockets of all ports share.
//!
//! Where it sits: a socket joins it when it is bound, with rings of its own. What a device wrote into a chunk, another sends from there.
//!
//! The kernel makes a socket that shares work as the others do, copying or not: there is an UMEM for each way, of the same memory. It is
//! registered by the first socket of a way, and ends with the last.
//!
//! Half of the memory is for what devices receive into, the other for packets under way. An idle queue has little of it; one whose packets come in
//! full batches gets more with each, up to its part of that half.
//!
//! I1  A chunk that the kernel may still write to, or send from, is nobody else's: a device that does so by itself is told to stop some time after its
//!     socket was closed.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use netdev::Frame;

use super::socket::{
    Address, Bind, Socket, XDP_COPY, XDP_SHARED_UMEM, XDP_UMEM_REG, XDP_USE_NEED_WAKEUP, XDP_ZEROCOPY,
};
use crate::sys::arena::{self, ARENA, CHUNK, CHUNKS};

/// How long a device may go on after its socket was closed.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// Sockets that are open.
static OPEN: AtomicU32 = AtomicU32::new(0);

/// Sockets that are bound, and how.
static MEMBERS: Mutex<Vec<(Bind, Weak<Socket>)>> = Mutex::new(Vec::new());

/// Frames that a device may still use, and since when nobody asks it to.
static STOPPING: Mutex<Vec<(Instant, Vec<Frame>)>> = Mutex::new(Vec::new());

/// `struct xdp_umem_reg`, as it was first.
#[repr(C)]
#[derive(Clone, Copy)]
struct Registration {
    address: u64,
    len: u64,
    chunk_size: u32,
    headroom: u32,
    flags: u32,
    unused: u32,
}

/// Binds `socket`, whose rings are there, to receive queue `queue` of the device `ifindex`; true if it joined others.
///
/// # Errors
/// `EBUSY` while another socket has the queue; what else the kernel has against it.
pub(super) fn bind(socket: &Arc<Socket>, ifindex: u32, queue: u32, how: Bind) -> io::Result<bool> {
    release_stopped();
    let start = arena::open()?;
    let mut members = MEMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    members.retain(|(_, socket)| socket.strong_count() != 0);
    let address = |flags, fd| Address::new(ifindex, queue, flags, fd);
    let mut joined = false;
    let same = members.iter().filter(|(theirs, _)| *theirs == how);
    // One whose device has gone is bound no more, and of no use.
    for member in same.filter_map(|(_, member)| member.upgrade()) {
        match socket.bind(&address(XDP_SHARED_UMEM, member.raw_fd())) {
            Ok(()) => joined = true,
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => return Err(e),
            Err(_) => continue,
        }
        break;
    }
    if !joined {
        let registration = Registration {
            address: start as u64,
            len: ARENA as u64,
            chunk_size: CHUNK as u32,
            headroom: 0,
            flags: 0,
            unused: 0,
        };
        socket.set(XDP_UMEM_REG, &registration)?;
        let way = match how {
            Bind::ZeroCopy => XDP_ZEROCOPY,
            Bind::Copy => XDP_COPY,
        };
        socket.bind(&address(way | XDP_USE_NEED_WAKEUP, 0))?;
    }
    members.push((how, Arc::downgrade(socket)));
    Ok(joined)
}

/// Counts a socket that is open.
pub(super) fn opened() {
    OPEN.fetch_add(1, Ordering::Relaxed);
}

/// How many frames a socket may have to receive into.
pub(super) fn part() -> u32 {
    CHUNKS / 2 / OPEN.load(Ordering::Relaxed).max(1)
}

/// A socket was closed; takes the frames that the kernel had then.
pub(super) fn closed(frames: Vec<Frame>) {
    OPEN.fetch_sub(1, Ordering::Relaxed);
    STOPPING.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), frames));
    release_stopped();
}

/// Gives back the frames that no device uses any more: to be called now and then.
pub(crate) fn release_stopped() {
    let mut stopping = STOPPING.lock().unwrap_or_else(PoisonError::into_inner);
    stopping.retain(|(since, _)| since.elapsed() < STOPS_WITHIN);
}
