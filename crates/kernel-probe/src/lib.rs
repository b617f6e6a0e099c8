//! The kernel set linked into a Windows kernel image, to prove that it can be.
//!
//! Where it sits: above every crate of the kernel set, below nothing. xtask builds it for Windows and reads the image;
//! elsewhere its test runs the same calls.
//!
//! [`exercise`] calls the surface of each crate with input that the compiler cannot foresee and folds what comes back
//! into one number, so that nothing is optimised away and the image holds what a driver would hold.
//!
//! I1  No float, no unwinding, no thread-local, no frame over 1 KiB in anything that is linked here: the image is checked.
//!
//! Next: `main.rs`, the image; `ndis/src/runtime.rs`, what surrounds it there.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bytes;
mod messages;
mod packets;

/// Calls every crate of the kernel set; the number depends on all answers.
#[inline(never)]
pub fn exercise(seed: u64) -> u64 {
    bytes::exercise(seed) ^ packets::exercise(seed).rotate_left(7) ^ messages::exercise(seed).rotate_left(13)
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs_here_too() {
        let answers: [u64; 3] = [1, 2, 3].map(super::exercise);
        assert!(answers[0] != answers[1] || answers[1] != answers[2]);
        assert_eq!(super::exercise(1), answers[0]);
    }
}
