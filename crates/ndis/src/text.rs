//! UTF-16 strings for the kernel, made at compile time.

use ndis_sys::UNICODE_STRING;

/// ASCII text as UTF-16.
#[derive(Debug)]
pub struct Utf16<const N: usize>([u16; N]);

impl<const N: usize> Utf16<N> {
    /// The ASCII `text` of `N` bytes.
    pub const fn new(text: &[u8; N]) -> Utf16<N> {
        let mut units = [0; N];
        let mut at = 0;
        while at < N {
            #[allow(clippy::indexing_slicing, reason = "evaluated at compile time, and below N")]
            {
                units[at] = text[at] as u16;
            }
            at += 1;
        }
        Utf16(units)
    }
}

/// The kernel's form of a string that lives for ever. It is only read.
pub const fn unicode<const N: usize>(text: &'static Utf16<N>) -> UNICODE_STRING {
    let bytes = (N * 2) as u16;
    UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: text.0.as_ptr().cast_mut() }
}
