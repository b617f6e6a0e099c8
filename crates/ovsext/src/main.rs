//! The driver's image for Windows, and an ordinary program that says so elsewhere.
#![cfg_attr(windows, no_std)]
#![cfg_attr(windows, no_main)]
#![cfg_attr(windows, allow(unsafe_code, reason = "the image's entry"))]

/// The image's entry, at PASSIVE_LEVEL.
///
/// # Safety
/// Windows calls it, once.
#[cfg(windows)]
#[unsafe(no_mangle)]
pub unsafe extern "win64" fn DriverEntry(
    driver: *mut ndis_sys::DRIVER_OBJECT,
    _registry: *mut ndis_sys::UNICODE_STRING,
) -> i32 {
    // SAFETY: the driver object is Windows's, and this is the one call.
    unsafe { ovsext::driver_entry(driver) }
}

#[cfg(not(windows))]
fn main() {
    println!("ovsext is a driver for Windows: `cargo xtask windows` builds it");
}
