//! A Windows kernel image that runs packets through the core, and an ordinary program elsewhere.
//!
//! Never shipped and never loaded: that it links, and what the linked image holds, is the proof. The crate's header
//! says more.
#![cfg_attr(windows, no_std)]
#![cfg_attr(windows, no_main)]
#![cfg_attr(windows, allow(unsafe_code, reason = "the kernel's own functions"))]

#[cfg(windows)]
mod kernel;

#[cfg(not(windows))]
fn main() {
    println!("{}", kernel_probe::exercise(core::hint::black_box(0x5eed)));
}
