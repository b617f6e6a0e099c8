//! Work on a packet that hardware, or a later port, has done or is expected to do.
//!
//! Where it sits: carried in every buffer, from a port's receive side (virtio-net header, NDIS per-packet
//! information) through actions to the transmit side, which completes what the device cannot.
//!
//! Offsets are in bytes from the first byte of the frame; whoever pushes or pops a header moves them
//! ([`Offload::shift`]).

use wire::bytes;
use wire::checksum::checksum;

/// What is known of the transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L4Checksum {
    /// Nothing: it is in the packet and may be right or wrong.
    #[default]
    Unknown,
    /// Verified by the sender's stack or by hardware.
    Good,
    /// Verified and wrong.
    Bad,
    /// Only the pseudo header is summed (virtio's NEEDS_CSUM, Linux's CHECKSUM_PARTIAL): the sum from `start` to the
    /// end of the packet still has to be stored at `start + offset`.
    Partial {
        /// Where summing starts: the transport header.
        start: u16,
        /// Where the checksum is stored, from `start`.
        offset: u16,
    },
}

/// Where UDP has its checksum; there, and only there, a zero means "none", so that a computed zero is sent inverted.
const UDP_CHECKSUM: u16 = 6;

impl L4Checksum {
    /// Completes a partial checksum in the whole frame, and says what is known then. One whose place is outside the
    /// frame is left alone: nothing could complete it.
    ///
    /// A partial checksum is the sum of the pseudo header, stored where the checksum belongs. Summing the segment with
    /// that sum in place therefore gives the whole (virtio 1.1 §5.1.6.2).
    pub fn complete(self, frame: &mut [u8]) -> L4Checksum {
        let L4Checksum::Partial { start, offset } = self else { return self };
        let Some(segment) = frame.get_mut(usize::from(start)..) else { return L4Checksum::Unknown };
        let sum = match checksum(segment) {
            0 if offset == UDP_CHECKSUM => 0xffff,
            sum => sum,
        };
        match bytes::put(segment, usize::from(offset), &sum.to_be_bytes()) {
            Some(()) => L4Checksum::Good,
            None => L4Checksum::Unknown,
        }
    }
}

/// How an oversized packet is to be cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentationKind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP into datagrams of equal size (UDP_SEGMENT).
    Udp,
}

/// A request to cut a packet into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// The transport whose headers each segment repeats.
    pub kind: SegmentationKind,
    /// Payload bytes of each segment but the last; never zero.
    pub size: u16,
    /// TCP's CWR flag belongs on the first segment only.
    pub ecn: bool,
}

/// Offload state of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// The transport checksum of the innermost packet.
    pub l4: L4Checksum,
    /// Set if the packet is larger than the wire and has to be segmented.
    pub segment: Option<Segmentation>,
    /// Bytes of tunnel headers before the inner frame of a super-packet; zero without a tunnel.
    pub outer: u16,
}

impl Offload {
    /// Nothing is known, nothing is to be done.
    pub const NONE: Offload = Offload { l4: L4Checksum::Unknown, segment: None, outer: 0 };

    /// Follows a change of the frame's start: `by` bytes were pushed (positive) or pulled (negative) in front.
    pub fn shift(&mut self, by: i32) {
        if self.outer != 0 {
            self.outer = u16::try_from(i32::from(self.outer).saturating_add(by)).unwrap_or(0);
        }
        if let L4Checksum::Partial { start, .. } = &mut self.l4 {
            *start = u16::try_from(i32::from(*start).saturating_add(by)).unwrap_or(0);
        }
    }
}
