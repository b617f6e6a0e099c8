//! Work left to hardware, done in software: for devices that cannot do it.
//!
//! Where it sits: called by transmit queues, and by whoever needs a packet's final bytes (a capture file, a
//! controller). Works on the flat frames of Linux's hosts.
//!
//! A packet from a guest's or the kernel's stack may come with its checksum half done and as one super-packet of up
//! to 64 kB ([`packet::Offload`]). As long as the output can do the rest, nobody touches it; otherwise [`deliver`]
//! does here what the device cannot.

mod checksum;
mod segment;

pub use checksum::{complete_checksum, partial_checksum};
pub use segment::{SegmentError, segment};

use packet::{L4Checksum, PacketBuf, Segmentation, SegmentationKind};

use crate::{BufferPool, Frame};

/// What a device does to packets by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxCapabilities {
    /// It completes transport checksums.
    pub checksum: bool,
    /// It segments TCP.
    pub tso: bool,
    /// It segments UDP.
    pub uso: bool,
}

impl TxCapabilities {
    fn segments(self, s: &Segmentation) -> bool {
        match s.kind {
            SegmentationKind::TcpV4 | SegmentationKind::TcpV6 => self.tso,
            SegmentationKind::Udp => self.uso,
        }
    }
}

/// Hands `frame` to `emit` in the form that a device with `can` takes: as it is, completed, or in segments.
pub fn deliver(
    mut frame: Frame,
    can: TxCapabilities,
    pool: &mut BufferPool,
    mut emit: impl FnMut(Frame, &mut BufferPool),
) -> Result<(), SegmentError> {
    if let Some(s) = frame.offload().segment
        && (frame.offload().outer != 0 || !can.segments(&s))
    {
        let done = segment(&frame, pool, &mut emit);
        pool.give(frame);
        return done;
    }
    if matches!(frame.offload().l4, L4Checksum::Partial { .. }) && !can.checksum {
        complete_checksum(&mut frame);
    }
    emit(frame, pool);
    Ok(())
}
