//! Reading bodies without panics and writing them without counting.
//!
//! Where it sits: below every decoder and encoder of this folder. A read beyond the end is OFPBRC_BAD_LEN, so decoders
//! are total with `?` alone.

use wire::EthAddr;

use crate::{OfpError, PutBytes};

use super::Result;

/// A position in a body.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes all that was not read yet.
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Bytes not read yet.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(OfpError::OFPBRC_BAD_LEN)?;
        self.rest = tail;
        Ok(head)
    }

    /// A reader over the next `n` bytes alone.
    pub fn sub(&mut self, n: usize) -> Result<Reader<'a>> {
        self.bytes(n).map(Reader::new)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(OfpError::OFPBRC_BAD_LEN)?;
        self.rest = tail;
        Ok(*head)
    }

    /// Passes over `n` bytes.
    pub fn skip(&mut self, n: usize) -> Result<()> {
        self.bytes(n).map(drop)
    }

    /// Passes over `n` bytes that must be zero.
    pub fn zeros(&mut self, n: usize) -> Result<()> {
        if self.bytes(n)?.iter().any(|b| *b != 0) { Err(OfpError::NXBRC_MUST_BE_ZERO) } else { Ok(()) }
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[b]| b)
    }

    /// The next 16-bit number.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next 32-bit number.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next 64-bit number.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next Ethernet address.
    pub fn mac(&mut self) -> Result<EthAddr> {
        self.array().map(EthAddr)
    }

    /// The next `N` bytes as a NUL-terminated string; what is not UTF-8 is replaced.
    pub fn string<const N: usize>(&mut self) -> Result<String> {
        let bytes = self.array::<N>()?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(N);
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

/// What bodies are written with beside [`PutBytes`].
pub trait PutBody: PutBytes {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);
    /// Appends `text` in `width` bytes, cut so that a NUL ends it.
    fn put_string(&mut self, text: &str, width: usize);
    /// Writes the length since `start` at `at`.
    fn set_len16(&mut self, at: usize, start: usize);
}

impl PutBody for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_string(&mut self, text: &str, width: usize) {
        let end = self.len() + width;
        let mut cut = text.len().min(width.saturating_sub(1));
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        self.extend_from_slice(&text.as_bytes()[..cut]);
        self.resize(end, 0);
    }

    fn set_len16(&mut self, at: usize, start: usize) {
        let len = u16::try_from(self.len() - start).unwrap_or(u16::MAX);
        self.set_u16(at, len);
    }
}
