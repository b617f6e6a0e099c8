//! Writing messages.
//!
//! Where it sits: the counterpart of `Messages` and `Attrs`. One builder holds any number of messages.

use alloc::vec::Vec;

use crate::attr::{ATTR_HEADER_LEN, NESTED};
use crate::{HEADER_LEN, Header, align};

/// Where a nested attribute began; given back to [`Builder::end_nest`].
#[derive(Debug)]
#[must_use]
pub struct Nest(usize);

/// Messages being written. A failure (memory, or a length that its field cannot hold) sticks until
/// [`Builder::finish`] reports it.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
    /// Where the current message began.
    message: usize,
    failed: bool,
}

impl Builder {
    /// An empty one.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// One that writes into `memory`, which is emptied first; nothing is allocated while that is enough.
    pub fn with_memory(mut memory: Vec<u8>) -> Builder {
        memory.clear();
        Builder { bytes: memory, message: 0, failed: false }
    }

    /// Begins a message; `family` is the family's own header.
    pub fn begin(&mut self, header: &Header, family: &[u8]) {
        self.end_message();
        self.pad();
        self.message = self.bytes.len();
        self.push(&[0; 4]);
        self.push(&header.kind.to_ne_bytes());
        self.push(&header.flags.to_ne_bytes());
        self.push(&header.seq.to_ne_bytes());
        self.push(&header.pid.to_ne_bytes());
        self.push(family);
    }

    /// Adds an attribute.
    pub fn put(&mut self, kind: u16, payload: &[u8]) {
        let at = self.open(kind);
        self.push(payload);
        self.close(at);
    }

    /// Adds an attribute of `len` bytes that `fill` writes.
    pub fn put_with(&mut self, kind: u16, len: usize, fill: impl FnOnce(&mut [u8])) {
        let at = self.open(kind);
        if self.failed || self.bytes.try_reserve(len).is_err() {
            self.failed = true;
            return;
        }
        let from = self.bytes.len();
        self.bytes.resize(from.saturating_add(len), 0);
        fill(self.bytes.get_mut(from..).unwrap_or_default());
        self.close(at);
    }

    /// Adds an attribute without payload.
    pub fn put_flag(&mut self, kind: u16) {
        self.put(kind, &[]);
    }

    /// Adds an attribute of eight bits.
    pub fn put_u8(&mut self, kind: u16, n: u8) {
        self.put(kind, &[n]);
    }

    /// Adds an attribute of 16 bits.
    pub fn put_u16(&mut self, kind: u16, n: u16) {
        self.put(kind, &n.to_ne_bytes());
    }

    /// Adds an attribute of 32 bits.
    pub fn put_u32(&mut self, kind: u16, n: u32) {
        self.put(kind, &n.to_ne_bytes());
    }

    /// Adds an attribute of 64 bits.
    pub fn put_u64(&mut self, kind: u16, n: u64) {
        self.put(kind, &n.to_ne_bytes());
    }

    /// Adds an attribute of 16 bits, big-endian.
    pub fn put_be16(&mut self, kind: u16, n: u16) {
        self.put(kind, &n.to_be_bytes());
    }

    /// Adds an attribute of 32 bits, big-endian.
    pub fn put_be32(&mut self, kind: u16, n: u32) {
        self.put(kind, &n.to_be_bytes());
    }

    /// Adds an attribute of 64 bits, big-endian.
    pub fn put_be64(&mut self, kind: u16, n: u64) {
        self.put(kind, &n.to_be_bytes());
    }

    /// Adds an attribute of 128 bits, big-endian.
    pub fn put_be128(&mut self, kind: u16, n: u128) {
        self.put(kind, &n.to_be_bytes());
    }

    /// Adds a string with its closing zero byte.
    pub fn put_str(&mut self, kind: u16, text: &str) {
        let at = self.open(kind);
        self.push(text.as_bytes());
        self.push(&[0]);
        self.close(at);
    }

    /// Adds bytes that no attribute holds: a family's header inside a nest.
    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.pad();
        self.push(bytes);
    }

    /// Begins an attribute whose payload is attributes, flagged as such in its type as newer families want it.
    pub fn begin_nest(&mut self, kind: u16) -> Nest {
        Nest(self.open(kind | NESTED))
    }

    /// Begins an attribute whose payload is attributes, unflagged as the Open vSwitch families have it.
    pub fn begin_plain_nest(&mut self, kind: u16) -> Nest {
        Nest(self.open(kind))
    }

    /// Ends a nested attribute.
    pub fn end_nest(&mut self, nest: Nest) {
        self.close(nest.0);
    }

    /// The messages' bytes; `None` if anything failed.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        self.end_message();
        (!self.failed).then_some(self.bytes)
    }

    /// The memory with the messages' bytes in it, and whether they are whole.
    pub fn into_memory(mut self) -> (Vec<u8>, bool) {
        self.end_message();
        (self.bytes, !self.failed)
    }

    fn open(&mut self, kind: u16) -> usize {
        self.pad();
        let at = self.bytes.len();
        self.push(&[0; 2]);
        self.push(&kind.to_ne_bytes());
        at
    }

    fn close(&mut self, at: usize) {
        let len = u16::try_from(self.bytes.len().saturating_sub(at));
        match (len, self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>)) {
            (Ok(len), Some(field)) if usize::from(len) >= ATTR_HEADER_LEN => *field = len.to_ne_bytes(),
            _ => self.failed = true,
        }
        self.pad();
    }

    fn end_message(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let bytes = self.bytes.len().saturating_sub(self.message);
        let field = self.bytes.get_mut(self.message..).and_then(<[u8]>::first_chunk_mut::<4>);
        match (u32::try_from(bytes), field) {
            (Ok(len), Some(field)) if bytes >= HEADER_LEN => *field = len.to_ne_bytes(),
            _ => self.failed = true,
        }
    }

    fn pad(&mut self) {
        let missing = align(self.bytes.len()).saturating_sub(self.bytes.len());
        self.push([0; 3].get(..missing).unwrap_or_default());
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.failed || self.bytes.try_reserve(bytes.len()).is_err() {
            self.failed = true;
            return;
        }
        self.bytes.extend_from_slice(bytes);
    }
}
