//! The driver's image for Windows, and an ordinary program that says so elsewhere.
#![cfg_attr(windows, no_std)]
#![cfg_attr(windows, no_main)]
#![cfg_attr(windows, allow(unsafe_code, reason = "the image's entry and its allocator"))]

#[cfg(windows)]
mod image;

#[cfg(not(windows))]
fn main() {
    println!("ovsext is a driver for Windows: `cargo xtask windows` builds it");
}
