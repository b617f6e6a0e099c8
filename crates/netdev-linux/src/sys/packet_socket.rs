//! A packet socket that moves batches with virtio-net headers.
//!
//! Where it sits: under `packet_port`.
//!
//! Spec: packet(7), recvmmsg(2), sendmmsg(2).
#![allow(unsafe_code)] // setsockopt with structs, and arrays of message headers full of pointers

use std::io;
use std::mem::{MaybeUninit, size_of, size_of_val, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use libc::{c_int, c_void, iovec, mmsghdr, socklen_t};
use netdev::Frame;
use packet::BATCH;

use super::VNET_LEN;
use crate::vnet;

/// What the kernel may hold for us, each way; the system's limit is used where this is not allowed.
const SOCKET_BUFFER: c_int = 8 << 20;
/// Room for the control message with a packet's auxiliary data, with plenty to spare.
const CONTROL_LEN: usize = 128;

// packet(7); newer than what libc names.
const PACKET_IGNORE_OUTGOING: c_int = 23;
const PACKET_VNET_HDR: c_int = 15;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;

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
#[derive(Debug)]
pub(crate) struct PacketSocket {
    fd: OwnedFd,
}

/// Aligned as control messages must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

impl PacketSocket {
    /// A socket that sees nothing until it is bound.
    pub(crate) fn open() -> io::Result<PacketSocket> {
        // SAFETY: socket(2) takes no pointers; protocol zero receives nothing before bind.
        let fd = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: fd was returned by socket(2) just now and nobody else has it.
        let socket = PacketSocket { fd: unsafe { OwnedFd::from_raw_fd(fd) } };
        let on: c_int = 1;
        socket.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
        socket.set(libc::SOL_PACKET, PACKET_VNET_HDR, &on)?;
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &on)?;
        for (forced, plain) in
            [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
        {
            if socket.set(libc::SOL_SOCKET, forced, &SOCKET_BUFFER).is_err() {
                socket.set(libc::SOL_SOCKET, plain, &SOCKET_BUFFER)?;
            }
        }
        Ok(socket)
    }

    /// A socket that another process has opened.
    pub(crate) fn of(fd: OwnedFd) -> PacketSocket {
        PacketSocket { fd }
    }

    fn set<T: Copy>(&self, level: c_int, name: c_int, value: &T) -> io::Result<()> {
        let len = size_of::<T>() as socklen_t;
        // SAFETY: the kernel reads `len` bytes of `value`, which is a T borrowed over the call.
        let rc = unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), len)
        };
        if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives what the device `ifindex` receives, whoever it is for, and sends by it from now on.
    pub(crate) fn bind(&self, ifindex: u32) -> io::Result<()> {
        // SAFETY: sockaddr_ll is integers only; zero is a value of each.
        let mut addr: libc::sockaddr_ll = unsafe { zeroed() };
        addr.sll_family = libc::AF_PACKET as u16;
        addr.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        addr.sll_ifindex = ifindex as c_int;
        let len = size_of_val(&addr) as socklen_t;
        // SAFETY: the kernel reads `len` bytes of `addr`, which lives over the call.
        let rc = unsafe { libc::bind(self.fd.as_raw_fd(), std::ptr::from_ref(&addr).cast(), len) };
        if rc < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: packet_mreq is integers only; zero is a value of each.
        let mut promiscuous: libc::packet_mreq = unsafe { zeroed() };
        promiscuous.mr_ifindex = ifindex as c_int;
        promiscuous.mr_type = libc::PACKET_MR_PROMISC as u16;
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)
    }

    /// How many packets the socket had no room for since this was last asked.
    pub(crate) fn take_missed(&self) -> u64 {
        // Plain integers; the kernel begins anew with each reading.
        let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = size_of_val(&stats) as socklen_t;
        // SAFETY: the kernel writes at most `len` bytes of `stats`, which lives over the call.
        let rc = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                std::ptr::from_mut(&mut stats).cast(),
                &raw mut len,
            )
        };
        if rc < 0 { 0 } else { stats.tp_drops.into() }
    }

    /// Receives one packet into each of `slots`, as long as there are any; returns how many that were. A slot that was
    /// filled holds the frame; its offload state and tag are in `received`.
    pub(crate) fn receive(&self, slots: &mut [Frame], received: &mut [Received; BATCH]) -> io::Result<usize> {
        let n = slots.len().min(BATCH);
        let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
        let mut iovecs = [const { MaybeUninit::<[iovec; 2]>::uninit() }; BATCH];
        let mut messages = [const { MaybeUninit::<mmsghdr>::uninit() }; BATCH];
        let parts = slots.iter_mut().zip(received.iter_mut()).zip(&mut controls).zip(&mut iovecs);
        for ((((slot, out), control), iov), message) in parts.zip(&mut messages) {
            let room = slot.spare();
            let header = iovec { iov_base: out.vnet.as_mut_ptr().cast(), iov_len: VNET_LEN };
            let iov = iov.write([header, iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() }]);
            // SAFETY: mmsghdr is pointers and integers; zero (null) is a value of each.
            let message = message.write(unsafe { zeroed() });
            message.msg_hdr.msg_iov = iov.as_mut_ptr();
            message.msg_hdr.msg_iovlen = 2;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast::<c_void>();
            message.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        // SAFETY: the first `n` messages were initialised above and point to headers, slots, controls and iovecs that are
        // borrowed or live over the call and have the lengths given; the kernel only writes into the memory they name.
        let got = unsafe {
            libc::recvmmsg(self.fd.as_raw_fd(), messages.as_mut_ptr().cast(), n as _, 0, null_mut())
        };
        if got < 0 {
            return Err(io::Error::last_os_error());
        }
        let got = (got as usize).min(n);
        for ((message, slot), out) in messages.iter().zip(slots).zip(received).take(got) {
            // SAFETY: the first `n` messages, of which these are, were initialised above.
            let message = unsafe { message.assume_init_ref() };
            slot.extend((message.msg_len as usize).saturating_sub(VNET_LEN));
            out.vlan = stripped_vlan(&message.msg_hdr);
            out.truncated = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        Ok(got)
    }

    /// Sends frames, each behind its header, in order; returns how many the kernel took, at least one.
    pub(crate) fn send(&self, frames: &[Frame]) -> io::Result<usize> {
        let n = frames.len().min(BATCH);
        let mut headers = [const { MaybeUninit::<[u8; VNET_LEN]>::uninit() }; BATCH];
        let mut iovecs = [const { MaybeUninit::<[iovec; 2]>::uninit() }; BATCH];
        let mut messages = [const { MaybeUninit::<mmsghdr>::uninit() }; BATCH];
        let parts = frames.iter().zip(&mut headers).zip(&mut iovecs).zip(&mut messages);
        for (((frame, header), iov), message) in parts {
            let header = header.write(vnet::encode(frame));
            let frame = frame.frame();
            let iov = iov.write([
                iovec { iov_base: header.as_mut_ptr().cast(), iov_len: VNET_LEN },
                iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() },
            ]);
            // SAFETY: mmsghdr is pointers and integers; zero (null) is a value of each.
            let message = message.write(unsafe { zeroed() });
            message.msg_hdr.msg_iov = iov.as_mut_ptr();
            message.msg_hdr.msg_iovlen = 2;
        }
        // SAFETY: the first `n` messages were initialised above and point to headers and iovecs above and to frames
        // borrowed over the call; sendmmsg only reads those (the cast to mut is for iovec's type), and writes msg_len.
        let sent = unsafe { libc::sendmmsg(self.fd.as_raw_fd(), messages.as_mut_ptr().cast(), n as _, 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The tag that the kernel took out of the frame, from the control messages that recvmmsg filled in.
fn stripped_vlan(message: &libc::msghdr) -> Option<(u16, u16)> {
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
    if aux.tp_status & TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let tpid = if aux.tp_status & TP_STATUS_VLAN_TPID_VALID != 0 { aux.tp_vlan_tpid } else { 0x8100 };
    Some((tpid, aux.tp_vlan_tci))
}
