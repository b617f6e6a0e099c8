//! SIGTERM and SIGINT as a descriptor that becomes readable.
//!
//! Where it sits: `host` waits for it beside everything else.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::event::{EventfdFlags, eventfd};

static WAKE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(_: libc::c_int) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: write(2) may be called in a handler; the descriptor is never closed, and the bytes are there.
    unsafe { libc::write(WAKE.load(Ordering::Acquire), one.as_ptr().cast(), one.len()) };
}

/// The descriptor; there is one for the process.
pub(crate) fn watch() -> io::Result<&'static OwnedFd> {
    let wake = Box::leak(Box::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?));
    WAKE.store(wake.as_raw_fd(), Ordering::Release);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler does what a handler may.
        unsafe { libc::signal(signal, on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
    Ok(wake)
}
