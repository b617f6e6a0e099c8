//! What a waiting thread does: one hook for the whole process, set by the host.
//!
//! Where it sits: below every lock here.

use core::sync::atomic::{AtomicPtr, Ordering};

static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Makes every waiter call `hook` between its attempts; the default is a pause instruction.
pub fn set_relax(hook: fn()) {
    HOOK.store(hook as *mut (), Ordering::Release);
}

/// One turn of waiting.
pub fn relax() {
    let hook = HOOK.load(Ordering::Acquire);
    if hook.is_null() {
        core::hint::spin_loop();
    } else {
        // SAFETY: only `set_relax` stores into HOOK, always a `fn()`; function pointers and data pointers have the same
        // size and representation on every target that the workspace builds for.
        let hook = unsafe { core::mem::transmute::<*mut (), fn()>(hook) };
        hook();
    }
}
