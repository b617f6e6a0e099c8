//! Packets that wait for user space: bounded, in order.
//!
//! Where it sits: filled on the packet path, emptied by whoever answers.

use alloc::collections::VecDeque;

use datapath::Upcall;
use packet::FlatPacket;
use sync::SpinLock;

/// Packets that wait at most.
const LIMIT: usize = 1024;

/// The queue. Its lock is taken at DISPATCH_LEVEL.
pub(crate) struct Upcalls(SpinLock<VecDeque<Upcall<FlatPacket>>>);

impl Default for Upcalls {
    fn default() -> Self {
        Upcalls(SpinLock::new(VecDeque::new()))
    }
}

impl Upcalls {
    /// Appends a packet; false if the queue is full or memory is short.
    pub fn push(&self, upcall: Upcall<FlatPacket>) -> bool {
        let mut queue = self.0.lock();
        let room = queue.len() < LIMIT && queue.try_reserve(1).is_ok();
        if room {
            queue.push_back(upcall);
        }
        room
    }

    /// Takes the first.
    pub fn pop(&self) -> Option<Upcall<FlatPacket>> {
        let _level = ndis::Level::raise();
        self.0.lock().pop_front()
    }
}
