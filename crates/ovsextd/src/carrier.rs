//! The device's socket: a listener, and a thread for each connection.
//!
//! Where it sits: started by `run`; calls the device. What is written on the socket is `device::carrier`'s.
//!
//! A connection's thread sleeps until its client writes or, while an operation waits for a queue, until that fills. Requests
//! of a client that does not read its answers wait in the socket: nothing is kept for it here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use device::carrier::{self, MAX_MESSAGE, SUCCESS, Served};
use device::{Handle, Status};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recv, send, socket_with,
};

use crate::host::Host;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// Bytes of a socket's own queue: several upcalls of the largest kind.
const SEND_BUFFER: usize = 1 << 20;

/// A socket that listens; its file goes with it.
pub(crate) struct Listener {
    path: PathBuf,
    socket: Arc<OwnedFd>,
    /// Another process listens by the same socket.
    is_given_away: AtomicBool,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

struct Stop {
    flag: AtomicBool,
    wake: OwnedFd,
}

fn seqpacket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Binds `socket` to `path`, whose file is replaced if nobody listens there.
fn bind_to(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    let address = SocketAddrUnix::new(path)?;
    if path.exists() {
        if connect(&seqpacket()?, &address).is_ok() {
            return Err(Errno::ADDRINUSE.into());
        }
        std::fs::remove_file(path)?;
    }
    bind(socket, &address)?;
    // The device obeys whoever opens it.
    rustix::fs::chmod(path, Mode::RWXU)?;
    Ok(())
}

impl Listener {
    /// Listens at `path`.
    pub(crate) fn start(host: Arc<Host>, path: &Path) -> io::Result<Listener> {
        let socket = seqpacket()?;
        bind_to(&socket, path)?;
        listen(&socket, BACKLOG)?;
        Listener::take_over(host, path, socket)
    }

    /// Listens by a socket that is at `path` already.
    pub(crate) fn take_over(host: Arc<Host>, path: &Path, socket: OwnedFd) -> io::Result<Listener> {
        let socket = Arc::new(socket);
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let stop = Arc::new(Stop { flag: AtomicBool::new(false), wake });
        let of_thread = stop.clone();
        let thread = std::thread::Builder::new().name("device".to_owned());
        let listening = socket.clone();
        let thread = thread.spawn(move || accept_all(&host, &listening, &of_thread))?;
        let (path, is_given_away) = (path.to_owned(), AtomicBool::new(false));
        Ok(Listener { path, socket, is_given_away, stop, thread: Some(thread) })
    }

    /// The socket.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Leaves the socket's file where it is: another process listens there.
    pub(crate) fn give_away(&self) {
        self.is_given_away.store(true, Ordering::Release);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.flag.store(true, Ordering::Release);
        // An eventfd that takes no more is readable as it is.
        let _ = rustix::io::write(&self.stop.wake, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked is ended as well.
            let _ = thread.join();
        }
        if !self.is_given_away.load(Ordering::Acquire) {
            // A file that somebody else removed is removed.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn accept_all(host: &Arc<Host>, socket: &OwnedFd, stop: &Stop) {
    // A descriptor in reserve: whoever comes when there is none left is told so, and not left to wait.
    let mut reserve = rustix::io::dup(&stop.wake).ok();
    loop {
        let mut ready = [PollFd::new(socket, PollFlags::IN), PollFd::new(&stop.wake, PollFlags::IN)];
        if poll(&mut ready, None).is_err_and(|e| e != Errno::INTR) || stop.flag.load(Ordering::Acquire) {
            return;
        }
        // Whoever comes while everything is handed over waits for the successor.
        if host.unless_halted(|| ()).is_none() {
            std::thread::yield_now();
            continue;
        }
        match accept_with(socket, SocketFlags::CLOEXEC) {
            Ok(connection) => begin(host, connection),
            Err(Errno::MFILE | Errno::NFILE) => {
                drop(reserve.take());
                log::error!(target: "ovsextd", "a client was refused (Too many open files)");
                if let Ok(connection) = accept_with(socket, SocketFlags::CLOEXEC) {
                    answer(&connection, &Status::NoResources.ntstatus().to_ne_bytes());
                }
                reserve = rustix::io::dup(&stop.wake).ok();
            }
            // The client is gone already.
            Err(_) => {}
        }
    }
}

/// Sends an answer; a client that is gone is noticed when it is read from.
fn answer(connection: &OwnedFd, bytes: &[u8]) -> bool {
    loop {
        match send(connection, bytes, SendFlags::NOSIGNAL) {
            Ok(_) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Opens a handle for a connection, and starts its thread.
fn begin(host: &Arc<Host>, connection: OwnedFd) {
    // Without it large answers need more turns of the reader, no more.
    let _ = set_socket_send_buffer_size(&connection, SEND_BUFFER);
    let (handle, waker) = match host.open() {
        Ok(opened) => opened,
        Err(status) => {
            log::warn!(target: "ovsextd", "a client was refused ({status})");
            answer(&connection, &status.ntstatus().to_ne_bytes());
            return;
        }
    };
    let of_thread = host.clone();
    let thread = std::thread::Builder::new().name("client".to_owned());
    let started = thread.spawn(move || {
        if answer(&connection, &SUCCESS.to_ne_bytes()) {
            serve(&of_thread, &connection, handle, &waker);
        }
        of_thread.close(handle);
    });
    if let Err(e) = started {
        log::error!(target: "ovsextd", "a client was refused ({e})");
        host.close(handle);
    }
}

/// Serves a connection until its client is gone.
fn serve(host: &Host, connection: &OwnedFd, handle: Handle, waker: &OwnedFd) {
    let mut request = vec![0; MAX_MESSAGE];
    let mut out = Vec::new();
    let mut waiting = false;
    loop {
        if waiting {
            let mut ready = [PollFd::new(connection, PollFlags::IN), PollFd::new(waker, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
            let [client, queue] = ready.each_ref().map(|fd| !fd.revents().is_empty());
            if queue || client {
                let result = if queue { Ok(()) } else { Err(Status::Cancelled) };
                carrier::finish_wait(&mut out, result);
                waiting = false;
                if !answer(connection, &out) {
                    return;
                }
            }
            continue;
        }
        let n = match recv(connection.as_fd(), &mut request, RecvFlags::empty()) {
            Ok((_, 0)) => return,
            Ok((_, n)) => n.min(request.len()),
            Err(Errno::INTR) => continue,
            Err(_) => return,
        };
        // What woke us before is behind us: the queue is looked at now.
        let mut count = [0; 8];
        let _ = rustix::io::read(waker, &mut count);
        let message = &request[..n];
        match host.unless_halted(|| carrier::serve(&host.device, host.env(), handle, message, &mut out)) {
            // The client finds the successor.
            None => return,
            Some(Served::Answered) if !answer(connection, &out) => return,
            Some(Served::Answered) => {}
            Some(Served::Waiting) => waiting = true,
        }
    }
}
