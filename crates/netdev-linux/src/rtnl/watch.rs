//! A thread that sleeps until the kernel notifies.
//!
//! Where it sits: one follows links for `table`, one follows routes for `route`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::socket::RouteSocket;

/// The thread; it ends when this is dropped.
pub(super) struct Watch {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts a thread of this name, which calls `read` whenever `notifications` has something to read.
    pub fn start(
        name: &str,
        mut notifications: RouteSocket,
        mut read: impl FnMut(&mut RouteSocket) + Send + 'static,
    ) -> io::Result<Watch> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let end = stop.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while wait(&notifications, &end) {
                read(&mut notifications);
            }
        })?;
        Ok(Watch { stop, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // An eventfd takes one more unless its counter is full, which wakes the thread as well.
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sleeps until there is something to read (true), or the end has come (false).
fn wait(notifications: &RouteSocket, stop: &OwnedFd) -> bool {
    loop {
        let mut fds = [PollFd::new(notifications, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        if poll(&mut fds, None).is_err_and(|e| e != rustix::io::Errno::INTR) || !fds[1].revents().is_empty() {
            return false;
        }
        if !fds[0].revents().is_empty() {
            return true;
        }
    }
}
