//! Frames that a device sends.
//!
//! Where it sits: a transmit queue of a packet port, of which each thread has its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use netdev::offload::{SegmentError, TxCapabilities, deliver};
use netdev::{BufferPool, Frame, FrameBatch, TxDrops, TxQueue};
use packet::{BATCH, PacketBuf, Segmentation, SegmentationKind};

use super::PacketPort;

/// A transmit queue.
pub(super) struct Tx {
    port: Arc<PacketPort>,
    /// The generation of links that what is known of the device agrees with.
    generation: u64,
    /// The kernel segments UDP; kernels before 6.2 refuse.
    uso: bool,
    /// What is being sent, and what it was cut into; empty between calls.
    frames: Vec<Frame>,
    cut: Vec<Frame>,
}

impl TxQueue for Tx {
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        let mut drops = TxDrops::default();
        let mut frames = std::mem::take(&mut self.frames);
        frames.extend(batch.drain().map(|(_, frame)| frame));
        self.port.follow_since(&mut self.generation);
        if self.port.bound.load(Ordering::Relaxed) == 0 || !self.port.sends.load(Ordering::Relaxed) {
            drops.down = frames.len() as u32;
        } else if frames.iter().any(|f| !self.uso && asks_for_uso(f) || is_tunnelled(f)) {
            let can = TxCapabilities { checksum: true, tso: true, uso: self.uso };
            let mut cut = std::mem::take(&mut self.cut);
            for frame in frames.drain(..) {
                match deliver(frame, can, pool, |f, _| cut.push(f)) {
                    Ok(()) => {}
                    Err(SegmentError::Malformed) => drops.failed += 1,
                    Err(SegmentError::NoMemory) => drops.memory += 1,
                }
            }
            self.send(&mut cut, pool, &mut drops);
            cut.drain(..).for_each(|f| pool.give(f));
            self.cut = cut;
        } else {
            self.send(&mut frames, pool, &mut drops);
        }
        frames.drain(..).for_each(|f| pool.give(f));
        self.frames = frames;
        self.port.losses.sent(&drops);
        drops
    }
}

/// A super-packet behind a tunnel's headers, which the kernel's interface has no words for.
fn is_tunnelled(frame: &Frame) -> bool {
    let offload = frame.offload();
    offload.outer != 0 && offload.segment.is_some()
}

fn asks_for_uso(frame: &Frame) -> bool {
    matches!(frame.offload().segment, Some(Segmentation { kind: SegmentationKind::Udp, .. }))
}

impl Tx {
    pub(super) fn new(port: Arc<PacketPort>) -> Tx {
        Tx { port, generation: 0, uso: true, frames: Vec::with_capacity(BATCH), cut: Vec::new() }
    }

    /// Sends all, past those that the kernel refuses.
    fn send(&mut self, frames: &mut [Frame], pool: &mut BufferPool, drops: &mut TxDrops) {
        let mut at = 0;
        while let Some(rest) = frames.get_mut(at..).filter(|rest| !rest.is_empty()) {
            match self.port.sender.send(rest) {
                Ok(n) => at += n.max(1),
                Err(e) => match verdict(&e) {
                    Verdict::Retry => {}
                    Verdict::One(count) => {
                        if let Some(frame) = rest.first().filter(|f| self.uso && asks_for_uso(f)) {
                            self.send_in_software(frame, pool, drops);
                        } else {
                            *count(drops) += 1;
                        }
                        at += 1;
                    }
                    Verdict::All(count) => {
                        *count(drops) += rest.len() as u32;
                        at = frames.len();
                    }
                },
            }
        }
    }

    /// A kernel that does not segment UDP refused `frame`: from now on we do it.
    fn send_in_software(&mut self, frame: &Frame, pool: &mut BufferPool, drops: &mut TxDrops) {
        self.uso = false;
        let mut cut = Vec::new();
        let can = TxCapabilities { checksum: true, tso: true, uso: false };
        match pool.clone_of(frame).map(|copy| deliver(copy, can, pool, |f, _| cut.push(f))) {
            Some(Ok(())) => {}
            Some(Err(SegmentError::Malformed)) => drops.failed += 1,
            Some(Err(SegmentError::NoMemory)) | None => drops.memory += 1,
        }
        self.send(&mut cut, pool, drops);
        cut.into_iter().for_each(|f| pool.give(f));
    }
}

/// A reason's counter.
type Count = fn(&mut TxDrops) -> &mut u32;

/// What an error of sending means for the packets that wait.
enum Verdict {
    /// Nothing.
    Retry,
    /// The first is refused.
    One(Count),
    /// None will be taken now.
    All(Count),
}

fn verdict(e: &io::Error) -> Verdict {
    match e.raw_os_error() {
        Some(libc::EINTR) => Verdict::Retry,
        Some(libc::EMSGSIZE) => Verdict::One(|d| &mut d.mtu),
        Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => Verdict::All(|d| &mut d.down),
        Some(libc::EAGAIN | libc::ENOBUFS) => Verdict::All(|d| &mut d.failed),
        _ => Verdict::One(|d| &mut d.failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_sending_are_about_one_packet_or_about_all() {
        let count = |errno: i32| {
            let mut drops = TxDrops::default();
            match verdict(&io::Error::from_raw_os_error(errno)) {
                Verdict::Retry => {}
                Verdict::One(count) => *count(&mut drops) += 1,
                Verdict::All(count) => *count(&mut drops) += 32,
            }
            drops
        };
        let none = TxDrops::default();
        assert_eq!(count(libc::EINTR), none);
        assert_eq!(count(libc::EMSGSIZE), TxDrops { mtu: 1, ..none });
        assert_eq!(count(libc::EINVAL), TxDrops { failed: 1, ..none });
        assert_eq!(count(libc::ENETDOWN), TxDrops { down: 32, ..none });
        assert_eq!(count(libc::ENOBUFS), TxDrops { failed: 32, ..none });
        assert_eq!(count(libc::EAGAIN), TxDrops { failed: 32, ..none });
    }
}
