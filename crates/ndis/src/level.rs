//! Levels, processors and clocks of the kernel.

use core::marker::PhantomData;

use ndis_sys::*;

/// Holds this processor at DISPATCH_LEVEL, where nothing preempts it; goes back when dropped. Levels nest.
#[derive(Debug)]
pub struct Level {
    old: u8,
    /// A level belongs to the processor that raised it.
    here: PhantomData<*mut ()>,
}

impl Level {
    /// Raises to DISPATCH_LEVEL; for callers at or below it, as all callers of a filter driver are.
    pub fn raise() -> Level {
        // SAFETY: callers are at or below DISPATCH_LEVEL, by the contract of every callback that leads here.
        Level { old: unsafe { KeRaiseIrqlToDpcLevel() }, here: PhantomData }
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        // SAFETY: `old` is what raising returned on this processor, and levels are dropped in reverse order.
        unsafe { KeLowerIrql(self.old) }
    }
}

/// The number of the processor that runs this.
pub fn processor() -> usize {
    // SAFETY: null means that the number by group is not wanted.
    unsafe { KeGetCurrentProcessorNumberEx(core::ptr::null_mut()) as usize }
}

/// How many processors there are; more may come.
pub fn processors() -> usize {
    const ALL_GROUPS: u16 = 0xffff;
    // SAFETY: any group number may be given.
    unsafe { KeQueryActiveProcessorCountEx(ALL_GROUPS) as usize }
}

/// Nanoseconds since the system started.
pub fn interrupt_time() -> u64 {
    let mut counter = 0;
    // SAFETY: the pointer is to a local that lives for the call.
    unsafe { KeQueryInterruptTimePrecise(&mut counter) }.saturating_mul(100)
}

/// Milliseconds since 1970 UTC.
pub fn system_time() -> u64 {
    /// Between 1601, where the system's time begins, and 1970, in milliseconds.
    const UNIX: u64 = 11_644_473_600_000;
    let mut time = 0;
    // SAFETY: the pointer is to a local that lives for the call.
    unsafe { KeQuerySystemTimePrecise(&mut time) };
    (time as u64 / 10_000).saturating_sub(UNIX)
}

/// What a waiter of a spin lock does between attempts. Asking for the processor's number changes nothing; it is a call into
/// the kernel, at which a simulated one lets another processor go on.
pub fn pause() {
    core::hint::spin_loop();
    let _ = processor();
}
