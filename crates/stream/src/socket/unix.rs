//! A connected unix socket that asks to be told of room for writing only while it waits for room.
//!
//! Where it sits: `socket` makes one of each connection to a unix socket.
//!
//! A peer that reads makes room, and the kernel tells so each time, full or not: a server that listens for it is woken twice by
//! each request, the second time for nothing. The runtime's own `UnixStream` always listens for both.
//!
//! I1  `room` is there from a write that finds the socket full to the next that does not.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};

/// One end of a connection. What it says of reading and writing is that of a stream; it is registered as a pipe's ends are.
#[derive(Debug)]
pub(super) struct UnixIo {
    /// The socket, watched for input.
    socket: Receiver,
    /// The socket again, watched for room (I1).
    room: Option<Sender>,
}

impl UnixIo {
    /// Takes over a connection. Must be called within the runtime.
    pub(super) fn new(stream: UnixStream) -> io::Result<UnixIo> {
        let socket = OwnedFd::from(stream.into_std()?);
        Ok(UnixIo { socket: Receiver::from_owned_fd_unchecked(socket)?, room: None })
    }
}

impl AsyncRead for UnixIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for UnixIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let UnixIo { socket, room: waiting } = &mut *self;
        let room = match waiting {
            Some(room) => room,
            None => {
                match rustix::net::send(&*socket, buf, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                    Err(Errno::AGAIN) => {}
                    sent => return Poll::Ready(sent.map_err(io::Error::from)),
                }
                let socket = socket.as_fd().try_clone_to_owned()?;
                waiting.insert(Sender::from_owned_fd_unchecked(socket)?)
            }
        };
        let written = ready!(Pin::new(room).poll_write(cx, buf));
        *waiting = None;
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
        Poll::Ready(shut.map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// More than a socket holds goes through whole, and once there is room again nobody listens for it.
    #[tokio::test]
    async fn a_full_socket_is_waited_for() {
        const BYTES: usize = 8 << 20;
        let (near, far) = UnixStream::pair().unwrap();
        let (mut near, mut far) = (UnixIo::new(near).unwrap(), UnixIo::new(far).unwrap());
        let sent: Vec<u8> = (0..BYTES).map(|i| (i / 7) as u8).collect();
        let mut got = vec![0; BYTES];
        let send = async {
            for chunk in sent.chunks(1 << 20) {
                near.write_all(chunk).await.unwrap();
            }
            near.shutdown().await.unwrap();
        };
        let receive = async { far.read_exact(&mut got).await.unwrap() };
        tokio::join!(send, receive);
        assert!(got == sent);
        assert_eq!((far.read(&mut [0]).await.unwrap(), near.room.is_none()), (0, true));
        drop(far);
        assert_eq!(near.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
