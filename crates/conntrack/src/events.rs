//! What happened to connections, for those who follow: a bounded queue.
//!
//! Where it sits: filled where connections begin, change and end; emptied by [`crate::Conntrack::poll_event`].
//!
//! A full queue refuses what is new and counts it, so that what was queued stays in order.

use alloc::collections::VecDeque;

use sync::SpinLock;

use crate::config::NoMemory;
use crate::entry::{Entry, Event, EventKind};

/// The queue.
#[derive(Debug)]
pub(crate) struct Events {
    queue: SpinLock<VecDeque<Event>>,
    max: usize,
}

impl Events {
    pub(crate) fn new(max: usize) -> Result<Events, NoMemory> {
        let mut queue = VecDeque::new();
        queue.try_reserve_exact(max).map_err(|_| NoMemory)?;
        Ok(Events { queue: SpinLock::new(queue), max })
    }

    /// True if events are kept at all.
    pub(crate) const fn is_on(&self) -> bool {
        self.max > 0
    }

    /// Queues an event; false if the queue is full.
    #[must_use]
    pub(crate) fn push(&self, kind: EventKind, entry: &Entry) -> bool {
        let mut queue = self.queue.lock();
        // Memory was reserved for all of them.
        let fits = queue.len() < self.max;
        if fits {
            queue.push_back(Event { kind, entry: *entry });
        }
        fits
    }

    pub(crate) fn pop(&self) -> Option<Event> {
        self.queue.lock().pop_front()
    }
}
