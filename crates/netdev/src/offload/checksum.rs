//! Completion of a partial transport checksum.
//!
//! Where it sits: see the parent module.
//!
//! A partial checksum is the sum of the pseudo header, stored where the checksum belongs. Summing the segment with
//! that sum in place therefore gives the whole (virtio 1.1 §5.1.6.2).

use packet::{L4Checksum, PacketBuf};
use wire::bytes;
use wire::checksum::checksum;

use crate::Frame;

/// Where UDP has its checksum; there, and only there, a zero means "none", so that a computed zero is sent inverted.
const UDP_CHECKSUM_OFFSET: u16 = 6;

/// Completes the transport checksum of `frame` if it is partial. One whose place is outside the frame is left alone
/// and forgotten: nothing could complete it.
pub fn complete_checksum(frame: &mut Frame) {
    let L4Checksum::Partial { start, offset } = frame.offload().l4 else { return };
    frame.offload_mut().l4 = L4Checksum::Unknown;
    let start = usize::from(start);
    let Some(segment) = frame.head_mut().get_mut(start..) else { return };
    let sum = match checksum(segment) {
        0 if offset == UDP_CHECKSUM_OFFSET => 0xffff,
        sum => sum,
    };
    if bytes::put(segment, usize::from(offset), &sum.to_be_bytes()).is_some() {
        frame.offload_mut().l4 = L4Checksum::Good;
    }
}
