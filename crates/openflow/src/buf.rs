//! Appending big-endian numbers to a message under construction.
//!
//! Where it sits: every encoder of this crate; decoders read with `wire::bytes`.

/// Appends numbers, most significant byte first.
pub trait PutBytes {
    /// Appends a byte.
    fn put_u8(&mut self, n: u8);
    /// Appends a 16-bit number.
    fn put_u16(&mut self, n: u16);
    /// Appends a 32-bit number.
    fn put_u32(&mut self, n: u32);
    /// Appends a 64-bit number.
    fn put_u64(&mut self, n: u64);
    /// Appends the low `n` bytes of `value`.
    fn put_uint(&mut self, value: u128, n: usize);
    /// Appends `n` zero bytes.
    fn put_zeros(&mut self, n: usize);
    /// Appends zero bytes until what was written since `start` is a multiple of 8.
    fn pad8(&mut self, start: usize);
    /// Overwrites the 16-bit number at `at`, which was written before.
    fn set_u16(&mut self, at: usize, n: u16);
}

impl PutBytes for Vec<u8> {
    fn put_u8(&mut self, n: u8) {
        self.push(n);
    }

    fn put_u16(&mut self, n: u16) {
        self.extend_from_slice(&n.to_be_bytes());
    }

    fn put_u32(&mut self, n: u32) {
        self.extend_from_slice(&n.to_be_bytes());
    }

    fn put_u64(&mut self, n: u64) {
        self.extend_from_slice(&n.to_be_bytes());
    }

    fn put_uint(&mut self, value: u128, n: usize) {
        let bytes = value.to_be_bytes();
        self.extend_from_slice(bytes.get(bytes.len().saturating_sub(n)..).unwrap_or(&bytes));
    }

    fn put_zeros(&mut self, n: usize) {
        self.resize(self.len() + n, 0);
    }

    fn pad8(&mut self, start: usize) {
        let used = self.len().saturating_sub(start);
        self.put_zeros(used.next_multiple_of(8) - used);
    }

    fn set_u16(&mut self, at: usize, n: u16) {
        if let Some(place) = self.get_mut(at..at + 2) {
            place.copy_from_slice(&n.to_be_bytes());
        }
    }
}
