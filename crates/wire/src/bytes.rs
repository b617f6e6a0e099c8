//! Big-endian reads and writes at an offset that never panic.
//!
//! Where it sits: below every header view. A read beyond the end is `None`; a write beyond the end changes nothing
//! and says so. Callers check a header's length once and may then treat `None` as impossible.

/// The `N` bytes at `off`.
pub fn array<const N: usize>(bytes: &[u8], off: usize) -> Option<[u8; N]> {
    bytes.get(off..)?.first_chunk::<N>().copied()
}

/// The byte at `off`.
pub fn u8_at(bytes: &[u8], off: usize) -> Option<u8> {
    bytes.get(off).copied()
}

/// The 16-bit number at `off`.
pub fn u16_at(bytes: &[u8], off: usize) -> Option<u16> {
    array(bytes, off).map(u16::from_be_bytes)
}

/// The 32-bit number at `off`.
pub fn u32_at(bytes: &[u8], off: usize) -> Option<u32> {
    array(bytes, off).map(u32::from_be_bytes)
}

/// The 64-bit number at `off`.
pub fn u64_at(bytes: &[u8], off: usize) -> Option<u64> {
    array(bytes, off).map(u64::from_be_bytes)
}

/// The 128-bit number at `off`, such as an IPv6 address.
pub fn u128_at(bytes: &[u8], off: usize) -> Option<u128> {
    array(bytes, off).map(u128::from_be_bytes)
}

/// Copies `value` to `off`; `None`, and no change, where it does not fit.
#[must_use]
pub fn put(bytes: &mut [u8], off: usize, value: &[u8]) -> Option<()> {
    let end = off.checked_add(value.len())?;
    bytes.get_mut(off..end)?.copy_from_slice(value);
    Some(())
}
