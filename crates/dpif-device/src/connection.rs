//! One connection to the device, which is one handle.
//!
//! Where it sits: `host` keeps some for requests; each receiver has one of its own.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use device::carrier::{self, MAX_MESSAGE, Operation, REPLY_HEADER, SUCCESS};
use device::{Errno, Status};
use netlink::{Builder, Messages};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, shutdown, socket_with,
};

/// Room for any answer.
const ROOM: u32 = (MAX_MESSAGE - REPLY_HEADER) as u32;

/// Why the device could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Nobody listens there, or the system refused.
    Os(io::Error),
    /// The device refused: all its handles are in use, or it has no descriptor left.
    Refused(Status),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Os(e) => e.fmt(f),
            OpenError::Refused(status) => status.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The other process is gone.
    Gone,
    /// The device does not take the message.
    Status(Status),
    /// The request was refused.
    Errno(Errno),
}

/// An open handle.
pub(crate) struct Connection {
    socket: OwnedFd,
    /// The handle's number.
    pub pid: u32,
    seq: u32,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(path: &Path) -> Result<Connection, OpenError> {
        let os = |e: rustix::io::Errno| OpenError::Os(e.into());
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(os)?;
        connect(&socket, &SocketAddrUnix::new(path).map_err(os)?).map_err(os)?;
        let mut connection = Connection { socket, pid: 0, seq: 0, buffer: vec![0; MAX_MESSAGE] };
        let failed = |failure| match failure {
            Failure::Status(status) => OpenError::Refused(status),
            _ => OpenError::Os(io::ErrorKind::ConnectionReset.into()),
        };
        connection.receive().map_err(failed)?;
        let pid = connection.call(Operation::GetPid, &[]).map_err(failed)?;
        let pid = pid.first_chunk().ok_or(OpenError::Refused(Status::InvalidLength))?;
        connection.pid = u32::from_ne_bytes(*pid);
        Ok(connection)
    }

    /// The handle's number, and one for the next request.
    pub(crate) fn next_ids(&mut self) -> (u32, u32) {
        self.seq = self.seq.wrapping_add(1);
        (self.pid, self.seq)
    }

    /// Sends an operation; its answer is received in its turn.
    pub(crate) fn send(&self, operation: Operation, message: &[u8]) -> Result<(), Failure> {
        let request = [&carrier::request_header(operation, ROOM)[..], message].concat();
        loop {
            match send(&self.socket, &request, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(Failure::Gone),
            }
        }
    }

    /// The answer to the oldest operation without one.
    pub(crate) fn receive(&mut self) -> Result<&[u8], Failure> {
        let n = loop {
            match recv(self.socket.as_fd(), &mut self.buffer, RecvFlags::empty()) {
                Ok((_, 0)) => return Err(Failure::Gone),
                Ok((_, n)) => break n.min(self.buffer.len()),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(Failure::Gone),
            }
        };
        match carrier::split_reply(&self.buffer[..n]) {
            Some((SUCCESS, answer)) => Ok(answer),
            Some((number, _)) => {
                Err(Failure::Status(Status::from_ntstatus(number).unwrap_or(Status::InvalidParameter)))
            }
            None => Err(Failure::Status(Status::InvalidLength)),
        }
    }

    /// Carries out an operation.
    pub(crate) fn call(&mut self, operation: Operation, message: &[u8]) -> Result<&[u8], Failure> {
        self.send(operation, message)?;
        self.receive()
    }

    /// Carries out a request; what is refused is an error.
    pub(crate) fn transact(&mut self, request: Builder) -> Result<&[u8], Failure> {
        let bytes = finished(request)?;
        self.send(Operation::Transact, &bytes)?;
        self.receive_reply()
    }

    /// The reply to a request that was sent.
    pub(crate) fn receive_reply(&mut self) -> Result<&[u8], Failure> {
        let answer = self.receive()?;
        let error = Messages::new(answer).next().and_then(Result::ok).and_then(|m| m.error());
        match error.filter(|e| e.errno != 0) {
            Some(e) => Err(Failure::Errno(Errno::from_number(e.errno))),
            None => Ok(answer),
        }
    }

    /// Writes a message that has no reply.
    pub(crate) fn write(&mut self, message: Builder) -> Result<(), Failure> {
        let bytes = finished(message)?;
        self.call(Operation::Write, &bytes).map(|_| ())
    }

    /// Begins a dump and calls `each` with the payload of every message.
    pub(crate) fn dump(
        &mut self,
        request: Builder,
        mut each: impl FnMut(&netlink::Message<'_>),
    ) -> Result<(), Failure> {
        self.write(request)?;
        loop {
            let part = self.call(Operation::Read, &[])?;
            if part.is_empty() {
                return Ok(());
            }
            for message in Messages::new(part).flatten() {
                if message.header.kind == netlink::kinds::DONE {
                    return Ok(());
                }
                each(&message);
            }
        }
    }

    /// Ends whoever waits on this connection.
    pub(crate) fn closer(&self) -> io::Result<Closer> {
        Ok(Closer(self.socket.try_clone()?))
    }
}

/// Ends a connection from another thread.
pub(crate) struct Closer(OwnedFd);

impl Closer {
    pub(crate) fn close(&self) {
        // One that is closed already is closed.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

/// The bytes of a message; one that is too long is none.
pub(crate) fn finished(message: Builder) -> Result<Vec<u8>, Failure> {
    message.finish().ok_or(Failure::Errno(Errno::TooBig))
}
