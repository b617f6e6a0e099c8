//! A netlink route socket: requests with their answers, or notifications.
//!
//! Where it sits: under [`super::Links`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink::{Message, Messages, kinds};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Notifications about links.
const RTMGRP_LINK: u32 = 1;
/// Notifications about neighbours, and addresses, routes and rules of both families.
const RTMGRP_ROUTES: u32 = 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000;
/// Bytes of one read: more than the kernel puts into one.
const BUFFER: usize = 64 << 10;

pub(crate) struct RouteSocket {
    fd: OwnedFd,
    seq: u32,
    buffer: Vec<u8>,
}

impl RouteSocket {
    /// A socket for requests; its calls block until the kernel has answered, which it does at once.
    pub(crate) fn for_requests() -> io::Result<RouteSocket> {
        RouteSocket::open(SocketFlags::CLOEXEC, 0)
    }

    /// A socket for notifications; non-blocking.
    pub(crate) fn for_links() -> io::Result<RouteSocket> {
        RouteSocket::open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, RTMGRP_LINK)
    }

    /// A socket for notifications about addresses, routes, rules and neighbours; non-blocking.
    pub(crate) fn for_routes() -> io::Result<RouteSocket> {
        RouteSocket::open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, RTMGRP_ROUTES)
    }

    fn open(flags: SocketFlags, groups: u32) -> io::Result<RouteSocket> {
        let fd = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(RouteSocket { fd, seq: 0, buffer: vec![0; BUFFER] })
    }

    /// Reads once and hands each message to `each`. `ENOBUFS` says that messages were lost.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&Message<'_>)) -> io::Result<()> {
        let (n, _) = net::recv(&self.fd, &mut self.buffer[..], RecvFlags::empty())?;
        Messages::new(self.buffer.get(..n).unwrap_or_default()).map_while(Result::ok).for_each(|m| each(&m));
        Ok(())
    }

    /// Sends the request that `build` makes for a sequence number and hands each answer to `each`, to the end.
    pub(crate) fn request(
        &mut self,
        build: impl FnOnce(u32) -> Option<Vec<u8>>,
        mut each: impl FnMut(&Message<'_>),
    ) -> io::Result<()> {
        self.seq = self.seq.wrapping_add(1).max(1);
        let seq = self.seq;
        let bytes = build(seq).ok_or(io::ErrorKind::InvalidInput)?;
        net::send(&self.fd, &bytes, SendFlags::empty())?;
        let mut end = None;
        while end.is_none() {
            self.read(|m| {
                if m.header.seq != seq || end.is_some() {
                    return;
                }
                match (m.header.kind, m.error()) {
                    (kinds::ERROR, Some(e)) if e.errno != 0 => {
                        end = Some(Err(io::Error::from_raw_os_error(e.errno)))
                    }
                    (kinds::ERROR | kinds::DONE, _) => end = Some(Ok(())),
                    _ => {
                        each(m);
                        if m.header.flags & netlink::flags::MULTI == 0 {
                            end = Some(Ok(()));
                        }
                    }
                }
            })?;
        }
        end.unwrap_or(Ok(()))
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
