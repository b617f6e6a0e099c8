//! What needs unsafe code: binding a thread to a core, and the processor's cycle counter.
//!
//! Where it sits: at the bottom of this crate.
#![allow(unsafe_code)] // one instruction

use rustix::thread::{CpuSet, sched_setaffinity};

/// Binds the calling thread to a core; false if the system has no such core, or refuses.
pub(crate) fn bind_to_core(core: u32) -> bool {
    let core = core as usize;
    if core >= CpuSet::MAX_CPU {
        return false;
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).is_ok()
}

/// A count that grows with time at a steady rate, cheap to read.
#[cfg(target_arch = "x86_64")]
pub(crate) fn cycles() -> u64 {
    // SAFETY: rdtsc exists on every x86-64 processor and touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A count that grows with time at a steady rate: nanoseconds, where there is no cheaper one.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn cycles() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}
