//! The device's socket: each connection is an open file, each message on it a request to the driver.
//!
//! Where it sits: `host` asks which descriptors to wait for, and calls when one is ready. What is written on the socket is
//! `device::carrier`'s, as `ovsextd` serves it; here the driver itself answers.
//!
//! ~~~text
//! message ─► IRP ─┬─ completed ─► answer
//!                 └─ pending ───► completed later, or cancelled by the next message or by the end of the connection
//! ~~~
//!
//! Only a wait (a written message) gives way to the next message; other requests that are pending are waited for. A client that does
//! not read its answers is not read from.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use device::Status;
use device::carrier::{MAX_MESSAGE, Operation, SUCCESS, split_request};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recv, send, socket_with, sockopt::set_socket_send_buffer_size,
};

use crate::files::{File, Pending};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// Bytes of a socket's own queue, as `ovsextd` has it.
const SEND_BUFFER: usize = 1 << 20;
/// Messages of one client before others have their turn.
const BATCH: usize = 16;

struct Client {
    socket: OwnedFd,
    file: File,
    /// A request that is not completed, and whether the next one may end it.
    pending: Option<(Pending, bool)>,
    /// Answers that the client does not take: two at most.
    unsent: VecDeque<Vec<u8>>,
    is_gone: bool,
}

/// All connections, and where they come from; the socket's file goes with it.
pub(crate) struct Clients {
    path: PathBuf,
    listener: OwnedFd,
    all: Vec<Client>,
    buffer: Vec<u8>,
}

fn seqpacket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | flags, None)?)
}

fn answer_of(result: Result<Vec<u8>, i32>) -> Vec<u8> {
    match result {
        Ok(bytes) => [&SUCCESS.to_ne_bytes()[..], &bytes].concat(),
        Err(status) => status.to_ne_bytes().to_vec(),
    }
}

impl Clients {
    /// Listens at `path`, whose file is replaced if nobody listens there.
    pub fn listen(path: &Path) -> io::Result<Clients> {
        let listener = seqpacket(SocketFlags::NONBLOCK)?;
        let address = SocketAddrUnix::new(path)?;
        if path.exists() {
            if connect(&seqpacket(SocketFlags::empty())?, &address).is_ok() {
                return Err(Errno::ADDRINUSE.into());
            }
            std::fs::remove_file(path)?;
        }
        bind(&listener, &address)?;
        listen(&listener, BACKLOG)?;
        Ok(Clients { path: path.to_owned(), listener, all: Vec::new(), buffer: vec![0; MAX_MESSAGE] })
    }

    /// What to wait for; [`Clients::serve`] gets as many answers.
    pub fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let listener = PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN);
        let client = |c: &'_ Client| c.wants();
        let all = self.all.iter().map(|c| PollFd::from_borrowed_fd(c.socket.as_fd(), client(c)));
        std::iter::once(listener).chain(all).collect()
    }

    /// Serves those that are ready.
    pub fn serve(&mut self, ready: &[PollFlags]) {
        let (Some(new), clients) = (ready.first(), ready.get(1..).unwrap_or_default()) else { return };
        for (client, ready) in self.all.iter_mut().zip(clients) {
            client.serve(*ready, &mut self.buffer);
        }
        self.remove_those_gone();
        if !new.is_empty() {
            self.accept();
        }
    }

    /// Answers requests that were completed meanwhile.
    pub fn settle(&mut self) {
        self.all.iter_mut().for_each(Client::settle);
        self.remove_those_gone();
    }

    /// Ends all connections.
    pub fn leave(&mut self) {
        self.all.iter_mut().for_each(|c| c.is_gone = true);
        self.remove_those_gone();
    }

    fn remove_those_gone(&mut self) {
        let (gone, there) = std::mem::take(&mut self.all).into_iter().partition(|c: &Client| c.is_gone);
        self.all = there;
        gone.into_iter().for_each(Client::close);
    }

    fn accept(&mut self) {
        let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else {
            return;
        };
        // Without it large answers need more turns of the reader, no more.
        let _ = set_socket_send_buffer_size(&socket, SEND_BUFFER);
        match File::open() {
            Ok(file) => {
                let unsent = VecDeque::from([answer_of(Ok(Vec::new()))]);
                let mut client = Client { socket, file, pending: None, unsent, is_gone: false };
                client.flush();
                self.all.push(client);
            }
            Err(status) => {
                // The client is told why, or has left.
                let _ = send(&socket, &answer_of(Err(status)), SendFlags::NOSIGNAL);
            }
        }
    }
}

impl Client {
    fn reads(&self) -> bool {
        self.unsent.is_empty() && self.pending.as_ref().is_none_or(|(_, gives_way)| *gives_way)
    }

    fn wants(&self) -> PollFlags {
        match (self.unsent.is_empty(), self.reads()) {
            (false, _) => PollFlags::OUT,
            (true, true) => PollFlags::IN,
            (true, false) => PollFlags::empty(),
        }
    }

    fn serve(&mut self, ready: PollFlags, buffer: &mut [u8]) {
        if ready.contains(PollFlags::OUT) {
            self.flush();
        }
        for _ in 0..BATCH {
            if self.is_gone || !self.reads() || !ready.intersects(PollFlags::IN | PollFlags::HUP) {
                break;
            }
            match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => self.is_gone = true,
                Ok((_, n)) => self.request(buffer.get(..n.min(buffer.len())).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.is_gone = true,
            }
        }
        if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
            self.is_gone = true;
        }
    }

    fn request(&mut self, bytes: &[u8]) {
        if let Some((mut pending, _)) = self.pending.take() {
            pending.cancel();
            // Cancelled, or over before it was.
            self.answer(pending.finish());
        }
        let Some((code, room, message)) = split_request(bytes) else {
            return self.answer(Err(Status::InvalidLength.ntstatus() as i32));
        };
        let pending = self.file.begin(code, message, room);
        self.pending = Some((pending, code == Operation::Write as u32));
        self.settle();
    }

    /// Answers the request if it is completed.
    fn settle(&mut self) {
        if let Some((pending, _)) = self.pending.take_if(|(pending, _)| pending.is_over()) {
            self.answer(pending.finish());
        }
    }

    fn answer(&mut self, result: Result<Vec<u8>, i32>) {
        self.unsent.push_back(answer_of(result));
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(first) = self.unsent.front() {
            match send(&self.socket, first, SendFlags::NOSIGNAL) {
                Ok(_) => drop(self.unsent.pop_front()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.is_gone = true;
                    return;
                }
            }
        }
    }

    /// Closes the file: what waits there is cancelled.
    fn close(self) {
        self.file.close();
        // Over, one way or another.
        drop(self.pending.map(|(pending, _)| pending.finish()));
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // A file that somebody else removed is removed.
        let _ = std::fs::remove_file(&self.path);
    }
}
