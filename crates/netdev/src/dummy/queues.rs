//! The queues of a dummy device.
//!
//! Where it sits: see the parent module. Packets go out completed and segmented, as a capture should show them.

use std::sync::{Arc, Mutex};

use packet::PacketBuf;

use super::{State, WallClock, lock};
use crate::device::{Queues, RxQueue, TxDrops, TxQueue};
use crate::offload::{SegmentError, TxCapabilities, deliver};
use crate::pcap::PcapWriter;
use crate::{BufferPool, Frame, FrameBatch};

/// Bytes of an Ethernet header and of a tag.
const ETH_HEADER: usize = 14;
const VLAN_TAG: usize = 4;

pub(super) fn of(state: Arc<Mutex<State>>, wall: WallClock) -> Queues {
    Queues { rx: Box::new(Rx { state: state.clone(), wall: wall.clone() }), tx: Box::new(Tx { state, wall }) }
}

struct Rx {
    state: Arc<Mutex<State>>,
    wall: WallClock,
}

impl Drop for Rx {
    /// The device may be opened again by another host.
    fn drop(&mut self) {
        lock(&self.state).taken = false;
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
        let mut s = lock(&self.state);
        let mut n = 0;
        while !out.is_full()
            && let Some(frame) = s.waiting.pop_front()
        {
            s.rx.add(frame.len());
            capture(&s.captures.rx, &self.wall, frame.frame());
            n += usize::from(out.push(packet::PacketMeta::default(), frame).is_ok());
        }
        n
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
