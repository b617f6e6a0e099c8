//! What receive rings may take of the machine's memory, all together.
//!
//! Where it sits: asked by `packet_port` before a socket gets a ring. A ring holds its memory whether packets come or not; a port
//! that gets no share reads from its socket's queue, which holds what waits there.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::RING_BYTES;

/// One part of so many of the machine's memory.
const PART: u64 = 32;

/// Rings that there are.
static RINGS: AtomicU64 = AtomicU64::new(0);

/// The right to one ring, until it is dropped.
#[derive(Debug)]
pub(crate) struct RingShare(());

impl RingShare {
    /// `None` if others have all.
    pub(crate) fn take() -> Option<RingShare> {
        let most = most();
        RINGS.try_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1)).ok()?;
        Some(RingShare(()))
    }

    /// For a ring that is there.
    pub(crate) fn take_over() -> RingShare {
        RINGS.fetch_add(1, Ordering::Relaxed);
        RingShare(())
    }
}

impl Drop for RingShare {
    fn drop(&mut self) {
        RINGS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many rings there may be.
fn most() -> u64 {
    let machine = rustix::system::sysinfo();
    machine.totalram * u64::from(machine.mem_unit) / PART / RING_BYTES as u64
}
