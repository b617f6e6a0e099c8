//! Completion of a partial transport checksum.
//!
//! Where it sits: see the parent module. What is summed is said at [`packet::L4Checksum::complete`].

use packet::PacketBuf;

use crate::Frame;

/// Completes the transport checksum of `frame` if it is partial.
pub fn complete_checksum(frame: &mut Frame) {
    let l4 = frame.offload().l4;
    frame.offload_mut().l4 = l4.complete(frame.head_mut());
}
