//! The queues of a dummy device.
//!
//! Where it sits: see the parent module. Packets go out completed and segmented, as a capture should show them.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use packet::PacketBuf;

use super::{State, Waiting, WallClock, lock};
use crate::device::{Polling, Queues, RxQueue, TxDrops, TxQueue};
use crate::offload::{SegmentError, TxCapabilities, deliver};
use crate::pcap::PcapWriter;
use crate::{BufferPool, Frame, FrameBatch};

/// Bytes of an Ethernet header and of a tag.
const ETH_HEADER: usize = 14;
const VLAN_TAG: usize = 4;

/// All queues; `None` while some are taken.
pub(super) fn take(state: &Arc<Mutex<State>>, wall: &WallClock, polling: Polling) -> Option<Queues> {
    let mut s = lock(state);
    if s.taken != 0 {
        return None;
    }
    let counts = s.counts;
    s.rx.resize_with(counts.rx as usize, Waiting::default);
    let mut rx: Vec<Box<dyn RxQueue>> = Vec::new();
    for (qid, queue) in s.rx.iter_mut().enumerate() {
        let mut bell = None;
        if polling == Polling::Dedicated
            && let Ok((here, there)) = UnixStream::pair()
            && here.set_nonblocking(true).and(there.set_nonblocking(true)).is_ok()
        {
            queue.alarm = Some(Arc::new(there));
            bell = Some(here);
            // Packets that came before somebody listened.
            (!queue.frames.is_empty()).then(|| queue.ring());
        }
        rx.push(Box::new(Rx { state: state.clone(), wall: wall.clone(), qid, bell }));
    }
    s.taken = rx.len();
    let tx = |_| Box::new(Tx { state: state.clone(), wall: wall.clone() }) as Box<dyn TxQueue>;
    Some(Queues { rx, tx: (0..counts.tx).map(tx).collect() })
}

struct Rx {
    state: Arc<Mutex<State>>,
    wall: WallClock,
    qid: usize,
    bell: Option<UnixStream>,
}

impl Drop for Rx {
    /// When the last is gone, the device may be opened again by another host.
    fn drop(&mut self) {
        let mut s = lock(&self.state);
        s.taken = s.taken.saturating_sub(1);
        if let Some(queue) = s.rx.get_mut(self.qid) {
            queue.alarm = None;
        }
    }
}

fn capture(to: &Option<Arc<Mutex<PcapWriter>>>, wall: &WallClock, frame: &[u8]) {
    if let Some(Ok(mut file)) = to.as_ref().map(|w| w.lock()) {
        // A full disk costs the capture, not the packet.
        let _ = file.write(wall(), frame);
    }
}

impl RxQueue for Rx {
    fn receive(&mut self, _pool: &mut BufferPool, out: &mut FrameBatch) -> usize {
        let mut guard = lock(&self.state);
        let s = &mut *guard;
        let Some(queue) = s.rx.get_mut(self.qid) else { return 0 };
        let mut n = 0;
        while !out.is_full()
            && let Some(frame) = queue.frames.pop_front()
        {
            queue.count.add(frame.len());
            capture(&s.captures.rx, &self.wall, frame.frame());
            n += usize::from(out.push_from(packet::OdpPort::NONE, frame).is_ok());
        }
        if let Some(bell) = self.bell.as_mut().filter(|_| queue.frames.is_empty()) {
            // Silent from now on; what it said does not matter.
            while matches!(bell.read(&mut [0; 64]), Ok(n) if n != 0) {}
        }
        n
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.bell.as_ref().map(AsFd::as_fd)
    }
}

struct Tx {
    state: Arc<Mutex<State>>,
    wall: WallClock,
}

impl TxQueue for Tx {
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        let mut s = lock(&self.state);
        let mut drops = TxDrops::default();
        for (_, frame) in batch.drain() {
            let mut too_long = 0;
            let done = deliver(frame, TxCapabilities::default(), pool, |frame, pool| {
                if frame.len() > max_frame(s.mtu, &frame) {
                    too_long += 1;
                } else {
                    s.tx.add(frame.len());
                    capture(&s.captures.tx, &self.wall, frame.frame());
                }
                pool.give(frame);
            });
            drops.mtu += too_long;
            match done {
                Ok(()) => {}
                Err(SegmentError::Malformed) => drops.failed += 1,
                Err(SegmentError::NoMemory) => drops.memory += 1,
            }
        }
        drops
    }
}

/// The longest frame that the MTU allows; a tag is not counted against it.
fn max_frame(mtu: u32, frame: &Frame) -> usize {
    let tagged = wire::bytes::u16_at(frame.frame(), 12).is_some_and(wire::eth::is_vlan);
    mtu as usize + ETH_HEADER + if tagged { VLAN_TAG } else { 0 }
}
