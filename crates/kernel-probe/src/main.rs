//! A Windows kernel image that runs packets through the core, and an ordinary program elsewhere.
//!
//! Never shipped and never loaded: that it links, and what the linked image holds, is the proof. The crate's header
//! says more.
#![cfg_attr(windows, no_std)]
#![cfg_attr(windows, no_main)]
#![cfg_attr(windows, allow(unsafe_code, reason = "the image's entry"))]

// heap and panics
#[cfg(windows)]
use ndis as _;

/// The image's entry. The registry path's address stands in for input that the compiler cannot know.
#[cfg(windows)]
#[unsafe(no_mangle)]
pub extern "win64" fn DriverEntry(_driver: *mut core::ffi::c_void, registry: *mut core::ffi::c_void) -> i32 {
    kernel_probe::exercise(registry.addr() as u64) as i32
}

#[cfg(not(windows))]
fn main() {
    println!("{}", kernel_probe::exercise(core::hint::black_box(0x5eed)));
}
