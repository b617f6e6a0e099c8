//! The buffer behind a packet, as the core needs it.
//!
//! Where it sits: each host implements it for its own buffers; the core is generic over it, but only where it
//! touches the buffer.
//!
//! The first bytes of a packet ("head") are contiguous; how many is the host's matter until [`PacketBuf::pull_up`]
//! asks for more. All headers that the core reads or rewrites are pulled up first.

use crate::Offload;

/// A frame in memory of the host's choice.
pub trait PacketBuf {
    /// Bytes of the whole frame.
    fn len(&self) -> usize;

    /// True for a frame without bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The contiguous first bytes of the frame.
    fn head(&self) -> &[u8];

    /// The contiguous first bytes, to be rewritten. Exclusive: no clone sees the change.
    fn head_mut(&mut self) -> &mut [u8];

    /// Makes at least `min(n, len)` bytes contiguous and writable; false if memory is short.
    #[must_use]
    fn pull_up(&mut self, n: usize) -> bool;

    /// Adds `n` bytes of unspecified content in front; `None`, and no change, if there is no room for them.
    #[must_use]
    fn push_front(&mut self, n: usize) -> Option<&mut [u8]>;

    /// Takes `n` bytes off the front; false, and no change, if the frame is shorter.
    #[must_use]
    fn pull_front(&mut self, n: usize) -> bool;

    /// Cuts the frame to at most `len` bytes.
    fn truncate(&mut self, len: usize);

    /// Copies the bytes from `off` on to `out`; returns how many there were to copy.
    fn copy_out(&self, off: usize, out: &mut [u8]) -> usize;

    /// Offload state.
    fn offload(&self) -> &Offload;

    /// Offload state, to be changed.
    fn offload_mut(&mut self) -> &mut Offload;

    /// Notes that the packet is made of `origin`, for hosts whose packets know where they came from.
    fn comes_of(&mut self, _origin: &Self) {}
}
