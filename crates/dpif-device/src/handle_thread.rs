//! Threads that serve one queue of a handle of their own: upcalls, or events.
//!
//! Where it sits: `receiver` and `listener` say what a turn is; here is how such a thread begins and ends.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::connection::{Closer, Connection, Failure, OpenError};
use crate::host::Waker;

/// What a thread does over and over.
pub(crate) trait Turn: Send + 'static {
    /// Takes one message, or waits for the next.
    fn turn(&mut self) -> Result<(), Failure>;
}

/// A thread with a handle; it ends with this.
pub(crate) struct HandleThread {
    /// The handle's number.
    pub pid: u32,
    closer: Closer,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HandleThread {
    /// Opens a handle, has `subscribe` prepare it, and starts the thread called `name`. `gone` is called if the other process
    /// goes.
    pub(crate) fn start<T: Turn>(
        path: &Path,
        name: &'static str,
        subscribe: impl FnOnce(&mut Connection) -> Result<(), Failure>,
        make: impl FnOnce(Connection) -> T,
        gone: Waker,
    ) -> Result<HandleThread, OpenError> {
        let mut connection = Connection::open(path)?;
        let pid = connection.pid;
        subscribe(&mut connection).map_err(|failure| match failure {
            Failure::Status(status) => OpenError::Refused(status),
            _ => OpenError::Os(io::ErrorKind::ConnectionReset.into()),
        })?;
        let closer = connection.closer().map_err(OpenError::Os)?;
        let closed = Arc::new(AtomicBool::new(false));
        let ended = closed.clone();
        let mut work = make(connection);
        let run = move || {
            let end = loop {
                match work.turn() {
                    Ok(()) => {}
                    // A request that is refused says nothing about the next.
                    Err(Failure::Errno(_)) => {}
                    Err(end) => break end,
                }
            };
            if !ended.load(Ordering::Acquire) {
                log::debug!(target: "dpif", "the thread of {name} ends ({end:?})");
                gone();
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(OpenError::Os)?;
        Ok(HandleThread { pid, closer, closed, thread: Some(thread) })
    }
}

impl Drop for HandleThread {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        self.closer.close();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked is ended as well.
            let _ = thread.join();
        }
    }
}
