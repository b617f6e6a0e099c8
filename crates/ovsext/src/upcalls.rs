//! Packets that wait for user space: bounded, in order.
//!
//! Where it sits: filled on the packet path, emptied by whoever answers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicUsize, Ordering};

use datapath::{Upcall, UpcallKind};
use flow::FlowKey;
use packet::{FlatPacket, PacketMeta};
use sync::{SpinLock, try_box_with};

/// Packets that wait at most.
const LIMIT: usize = 1024;

/// A packet with what is known of it; what is large lies on the heap, because kernel frames are small.
struct Waiting {
    kind: UpcallKind,
    key: Box<FlowKey>,
    meta: Box<PacketMeta>,
    packet: FlatPacket,
}

/// The queue. Its lock is taken at DISPATCH_LEVEL.
pub(crate) struct Upcalls {
    queue: SpinLock<VecDeque<Waiting>>,
    /// How many wait, to be looked at without the lock.
    waiting: AtomicUsize,
}

impl Default for Upcalls {
    fn default() -> Self {
        Upcalls { queue: SpinLock::new(VecDeque::new()), waiting: AtomicUsize::new(0) }
    }
}

impl Upcalls {
    /// Appends a packet; false if the queue is full or memory is short.
    #[inline(never)]
    pub fn push(&self, kind: UpcallKind, key: &FlowKey, meta: &PacketMeta, packet: FlatPacket) -> bool {
        let Some((key, meta)) = try_box_with(|| Some(*key)).zip(try_box_with(|| Some(*meta))) else {
            return false;
        };
        let mut queue = self.queue.lock();
        let room = queue.len() < LIMIT && queue.try_reserve(1).is_ok();
        if room {
            queue.push_back(Waiting { kind, key, meta, packet });
            self.waiting.store(queue.len(), Ordering::Release);
        }
        room
    }

    /// Takes the first.
    pub fn pop(&self) -> Option<Upcall<FlatPacket>> {
        let _level = ndis::Level::raise();
        let mut queue = self.queue.lock();
        let first = queue.pop_front();
        self.waiting.store(queue.len(), Ordering::Release);
        first.map(|w| Upcall { kind: w.kind, key: *w.key, meta: *w.meta, packet: w.packet })
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}
