//! A packet socket that moves batches with virtio-net headers.
//!
//! Where it sits: under `packet_port`; what it receives may come through a `packet_ring` instead.
//!
//! Spec: packet(7), recvmmsg(2), sendmmsg(2).
#![allow(unsafe_code)] // setsockopt with structs, and arrays of message headers full of pointers

use std::io;
use std::mem::{ManuallyDrop, MaybeUninit, size_of, size_of_val, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use libc::{c_int, c_void, iovec, mmsghdr, socklen_t};
use netdev::Frame;
use packet::BATCH;

use super::VNET_LEN;
use super::mapping::Plain;
use crate::vnet;

/// What the kernel may hold for us, each way; the system's limit is used where this is not allowed.
const SOCKET_BUFFER: c_int = 8 << 20;
/// Stack of a thread that closes a socket.
const CLOSER_STACK: usize = 64 << 10;
/// Room for the control message with a packet's auxiliary data, with plenty to spare.
const CONTROL_LEN: usize = 128;

// packet(7); newer than what libc names.
const PACKET_IGNORE_OUTGOING: c_int = 23;
const PACKET_VNET_HDR: c_int = 15;
const STATUS_VLAN_VALID: u32 = 1 << 4;
const STATUS_VLAN_TPID_VALID: u32 = 1 << 6;

/// What came with a received packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    /// The virtio-net header.
    pub vnet: [u8; VNET_LEN],
    /// The tag that the kernel took out of the frame: its TPID and TCI.
    pub vlan: Option<(u16, u16)>,
    /// The frame was longer than its slot.
    pub truncated: bool,
}

/// A packet socket, non-blocking, bound to one device at a time.
///
/// Closing one waits until every processor has been in user space or idle once, some ten milliseconds: a thread of its own does that.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    fd: ManuallyDrop<OwnedFd>,
}

impl Drop for PacketSocket {
    fn drop(&mut self) {
        // SAFETY: nobody uses the field after this.
        let fd = unsafe { ManuallyDrop::take(&mut self.fd) };
        let closer = std::thread::Builder::new().name("close".to_owned()).stack_size(CLOSER_STACK);
        // Without a thread it is closed here.
        drop(closer.spawn(move || drop(fd)));
    }
}

/// `struct tpacket_stats`: packets since it was last read, and those that there was no room for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Stats {
    packets: u32,
    drops: u32,
}

// SAFETY: plain integers, and no padding.
unsafe impl Plain for Stats {}

/// Aligned as control messages must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

impl PacketSocket {
    /// A socket that sees nothing until it is bound.
    pub(crate) fn open() -> io::Result<PacketSocket> {
        let socket = PacketSocket::unbound()?;
        let on: c_int = 1;
        socket.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &on)?;
        socket.reserve(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)?;
        Ok(socket)
    }

    /// A socket that sends, and receives nothing.
    ///
    /// It is not the one that is waited for: the kernel would tell whoever waits of each packet that has left.
    pub(crate) fn open_sender() -> io::Result<PacketSocket> {
        let socket = PacketSocket::unbound()?;
        socket.reserve(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)?;
        Ok(socket)
    }

    fn unbound() -> io::Result<PacketSocket> {
        // SAFETY: socket(2) takes no pointers; protocol zero receives nothing before bind.
        let fd = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: fd was returned by socket(2) just now and nobody else has it.
        let socket = PacketSocket::of(unsafe { OwnedFd::from_raw_fd(fd) });
        let on: c_int = 1;
        socket.set(libc::SOL_PACKET, PACKET_VNET_HDR, &on)?;
        Ok(socket)
    }

    /// Has the kernel hold much for us, beyond the system's limit where that is allowed.
    fn reserve(&self, forced: c_int, plain: c_int) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, forced, &SOCKET_BUFFER)
            .or_else(|_| self.set(libc::SOL_SOCKET, plain, &SOCKET_BUFFER))
    }

    /// A socket that another process has opened.
    pub(crate) fn of(fd: OwnedFd) -> PacketSocket {
        PacketSocket { fd: ManuallyDrop::new(fd) }
    }

    /// The number of the device that `fd` is bound to, if it is a packet socket.
    pub(crate) fn device_of(fd: BorrowedFd<'_>) -> Option<u32> {
        // SAFETY: sockaddr_ll is integers only; zero is a value of each.
        let mut addr: libc::sockaddr_ll = unsafe { zeroed() };
        let mut len = size_of_val(&addr) as socklen_t;
        let at = std::ptr::from_mut(&mut addr).cast();
        // SAFETY: the kernel writes at most `len` bytes of `addr`, which lives over the call.
        let rc = unsafe { libc::getsockname(fd.as_raw_fd(), at, &raw mut len) };
        let is_packet = rc == 0 && addr.sll_family == libc::AF_PACKET as u16;
        is_packet.then_some(addr.sll_ifindex.cast_unsigned())
    }

    pub(super) fn set<T: Copy>(&self, level: c_int, name: c_int, value: &T) -> io::Result<()> {
        let len = size_of::<T>() as socklen_t;
        // SAFETY: the kernel reads `len` bytes of `value`, which is a T borrowed over the call.
        let rc = unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), len)
        };
        if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sends by the device `ifindex` from now on, and receives nothing.
    pub(crate) fn bind_sender(&self, ifindex: u32) -> io::Result<()> {
        self.bind_to(ifindex, 0)
    }

    fn bind_to(&self, ifindex: u32, protocol: u16) -> io::Result<()> {
        // SAFETY: sockaddr_ll is integers only; zero is a value of each.
        let mut addr: libc::sockaddr_ll = unsafe { zeroed() };
        addr.sll_family = libc::AF_PACKET as u16;
        addr.sll_protocol = protocol.to_be();
        addr.sll_ifindex = ifindex as c_int;
        let len = size_of_val(&addr) as socklen_t;
        // SAFETY: the kernel reads `len` bytes of `addr`, which lives over the call.
        let rc = unsafe { libc::bind(self.fd.as_raw_fd(), std::ptr::from_ref(&addr).cast(), len) };
        if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives what the device `ifindex` receives, whoever it is for, from now on.
    pub(crate) fn bind(&self, ifindex: u32) -> io::Result<()> {
        self.bind_to(ifindex, libc::ETH_P_ALL as u16)?;
        // SAFETY: packet_mreq is integers only; zero is a value of each.
        let mut promiscuous: libc::packet_mreq = unsafe { zeroed() };
        promiscuous.mr_ifindex = ifindex as c_int;
        promiscuous.mr_type = libc::PACKET_MR_PROMISC as u16;
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)
    }

    /// How many packets the socket had no room for since this was last asked.
    pub(crate) fn take_missed(&self) -> u64 {
        // The kernel begins anew with each reading.
        self.get::<Stats>(libc::PACKET_STATISTICS).map_or(0, |stats| stats.drops.into())
    }

    /// An option of packet(7).
    pub(super) fn get<T: Plain>(&self, name: c_int) -> io::Result<T> {
        let mut value = T::default();
        let mut len = size_of::<T>() as socklen_t;
        let (fd, at) = (self.fd.as_raw_fd(), (&raw mut value).cast());
        // SAFETY: the kernel writes at most `len` bytes of `value`, which lives over the call; any are a T.
        let rc = unsafe { libc::getsockopt(fd, libc::SOL_PACKET, name, at, &raw mut len) };
        if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
    }

    /// Takes the error that the socket waits to tell, for as long as it has one whoever waits for packets is woken.
    pub(crate) fn take_error(&self) {
        // That the device went down is behind us; links tell of it, too.
        let _ = rustix::net::sockopt::socket_error(self.as_fd());
    }

    /// Receives one packet into each of `slots`, as long as there are any; returns how many that were. A slot that was
    /// filled holds the frame; its offload state and tag are in `received`.
    pub(crate) fn receive(&self, slots: &mut [Frame], received: &mut [Received; BATCH]) -> io::Result<usize> {
        let n = slots.len().min(BATCH);
        let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
        let mut iovecs = [const { MaybeUninit::<iovec>::uninit() }; BATCH];
        let mut messages = [const { MaybeUninit::<mmsghdr>::uninit() }; BATCH];
        let parts = slots.iter_mut().zip(&mut controls).zip(&mut iovecs).zip(&mut messages);
        for (((slot, control), iov), message) in parts {
            let room = vnet::room(slot);
            let iov = iov.write(iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() });
            // SAFETY: mmsghdr is pointers and integers; zero (null) is a value of each.
            let message = message.write(unsafe { zeroed() });
            message.msg_hdr.msg_iov = iov;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast::<c_void>();
            message.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        // SAFETY: the first `n` messages were initialised above and point to slots, controls and iovecs that are borrowed or
        // live over the call and have the lengths given; the kernel only writes into the memory they name.
        let got = unsafe {
            libc::recvmmsg(self.fd.as_raw_fd(), messages.as_mut_ptr().cast(), n as _, 0, null_mut())
        };
        let error = (got < 0).then(io::Error::last_os_error);
        let got = usize::try_from(got).unwrap_or(0).min(n);
        for (at, (slot, out)) in slots.iter_mut().zip(received).take(n).enumerate() {
            let Some(message) = messages.get(at).filter(|_| at < got) else {
                slot.reset(Frame::HEADROOM);
                continue;
            };
            // SAFETY: the first `n` messages, of which these are, were initialised above.
            let message = unsafe { message.assume_init_ref() };
            out.vnet = vnet::received(slot, message.msg_len as usize).unwrap_or_default();
            out.vlan = told_vlan(&message.msg_hdr);
            out.truncated = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        error.map_or(Ok(got), Err)
    }

    /// Sends frames, each behind its header, in order; returns how many the kernel took, at least one. Those that it did not
    /// take are as they were.
    pub(crate) fn send(&self, frames: &mut [Frame]) -> io::Result<usize> {
        let n = frames.len().min(BATCH);
        let frames = frames.get_mut(..n).unwrap_or_default();
        let mut dressed = [false; BATCH];
        dressed.iter_mut().zip(frames.iter_mut()).for_each(|(is, frame)| *is = vnet::put_on(frame));
        let sent = match &*frames {
            [one] if dressed[0] => self.send_one(one.frame()),
            all => self.send_all(all, &dressed),
        };
        let taken = sent.as_ref().map_or(0, |n| *n);
        let left = frames.iter_mut().zip(dressed).skip(taken);
        left.filter(|(_, is)| *is).for_each(|(frame, _)| vnet::take_off(frame));
        sent
    }

    /// A frame behind its header: what a message has to say of it is nothing.
    fn send_one(&self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the kernel reads the bytes of `bytes`, which are borrowed over the call.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(1) }
    }

    /// Frames, `dressed` with their headers; one that had no room for its own is sent in two pieces.
    fn send_all(&self, frames: &[Frame], dressed: &[bool; BATCH]) -> io::Result<usize> {
        let mut headers = [const { MaybeUninit::<[u8; VNET_LEN]>::uninit() }; BATCH];
        let mut iovecs = [const { MaybeUninit::<[iovec; 2]>::uninit() }; BATCH];
        let mut messages = [const { MaybeUninit::<mmsghdr>::uninit() }; BATCH];
        let parts = frames.iter().zip(dressed).zip(&mut headers).zip(&mut iovecs).zip(&mut messages);
        for ((((frame, dressed), header), iov), message) in parts {
            let header = header.write(if *dressed { [0; VNET_LEN] } else { vnet::encode(frame) });
            let bytes = frame.frame();
            let iov = iov.write([
                iovec { iov_base: header.as_mut_ptr().cast(), iov_len: VNET_LEN },
                iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() },
            ]);
            let pieces = iov.get_mut(usize::from(*dressed)..).unwrap_or_default();
            // SAFETY: mmsghdr is pointers and integers; zero (null) is a value of each.
            let message = message.write(unsafe { zeroed() });
            message.msg_hdr.msg_iov = pieces.as_mut_ptr();
            message.msg_hdr.msg_iovlen = pieces.len() as _;
        }
        // SAFETY: the first `frames.len()` messages (at most BATCH, as `send` sees to) were initialised above and point to
        // headers and iovecs above and to frames borrowed over the call; sendmmsg only reads those (the cast to mut is for
        // iovec's type), and writes msg_len.
        let sent = unsafe {
            libc::sendmmsg(self.fd.as_raw_fd(), messages.as_mut_ptr().cast(), frames.len().min(BATCH) as _, 0)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The tag that the kernel took out of a frame: its TPID and TCI, if the frame's status says that there are.
#[inline]
pub(super) fn stripped_vlan(status: u32, tpid: u16, tci: u16) -> Option<(u16, u16)> {
    let tpid = if status & STATUS_VLAN_TPID_VALID != 0 { tpid } else { 0x8100 };
    (status & STATUS_VLAN_VALID != 0).then_some((tpid, tci))
}

/// The tag that the kernel took out of the frame, from the control messages that recvmmsg filled in.
fn told_vlan(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: msg_control and msg_controllen of `message` describe a Control that outlives it, filled by the kernel;
    // CMSG_FIRSTHDR returns null or a header that lies wholly inside.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    // SAFETY: CMSG_LEN only computes.
    let enough = unsafe { libc::CMSG_LEN(size_of::<libc::tpacket_auxdata>() as u32) } as usize;
    if header.cmsg_level != libc::SOL_PACKET
        || header.cmsg_type != libc::PACKET_AUXDATA
        || (header.cmsg_len as usize) < enough
    {
        return None;
    }
    // SAFETY: cmsg_len says that a whole tpacket_auxdata follows the header, inside the Control (which has room for
    // more than that); it is integers only, and read_unaligned needs no alignment.
    let aux = unsafe { libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned() };
    stripped_vlan(aux.tp_status, aux.tp_vlan_tpid, aux.tp_vlan_tci)
}
