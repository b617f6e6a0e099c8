//! The table of ports as one pass reads it: packets of one adapter mostly come together, and go together.
//!
//! Where it sits: made by the extension for each pass, used by its lane.
//!
//! I1  What it remembers holds as long as it does: nobody changes the table meanwhile.
//! I2  Counters are added up here, and written when another adapter has its turn, or the pass ends.

use core::cell::Cell;
use core::ops::Deref;

use packet::OdpPort;

use super::{Ports, Source, To, count};
use crate::NicId;

/// Packets and bytes of one adapter that are not in its counters yet.
type Tally = Cell<(usize, u64, u64)>;

/// A reader of the table.
pub(crate) struct Reader<'a> {
    ports: &'a Ports,
    /// What was found last.
    source: Cell<Option<(NicId, Source)>>,
    to: Cell<Option<(OdpPort, To)>>,
    received: Tally,
    sent: Tally,
}

impl Deref for Reader<'_> {
    type Target = Ports;

    fn deref(&self) -> &Ports {
        self.ports
    }
}

/// The answer that is remembered, or a new one.
#[inline]
fn remembered<K: Copy + PartialEq, V: Copy>(
    last: &Cell<Option<(K, V)>>,
    key: K,
    find: impl FnOnce() -> Option<V>,
) -> Option<V> {
    if let Some((_, value)) = last.get().filter(|(known, _)| *known == key) {
        return Some(value);
    }
    let found = find()?;
    last.set(Some((key, found)));
    Some(found)
}

impl<'a> Reader<'a> {
    /// A reader of `ports`.
    pub fn new(ports: &'a Ports) -> Reader<'a> {
        let (source, to) = (Cell::new(None), Cell::new(None));
        Reader { ports, source, to, received: Cell::default(), sent: Cell::default() }
    }

    /// Where packets of an adapter enter, if they may.
    pub fn source(&self, id: NicId) -> Option<Source> {
        remembered(&self.source, id, || self.ports.source(id))
    }

    /// The adapter behind a datapath port, if packets may be sent to it.
    pub fn destination(&self, number: OdpPort) -> Option<To> {
        remembered(&self.to, number, || self.ports.destination(number))
    }

    /// Counts a packet that came from an adapter.
    pub fn count_rx(&self, from: &Source, bytes: usize) {
        self.add(&self.received, from.at, bytes);
    }

    /// Counts a packet that was sent to an adapter.
    pub fn count_tx(&self, to: &To, bytes: usize) {
        self.add(&self.sent, to.at, bytes);
    }

    #[inline]
    fn add(&self, tally: &Tally, at: usize, bytes: usize) {
        let (of, packets, total) = tally.get();
        if of != at {
            self.write();
        }
        let (packets, total) = if of == at { (packets, total) } else { (0, 0) };
        tally.set((at, packets.wrapping_add(1), total.wrapping_add(bytes as u64)));
    }

    /// Puts into the counters what was added up.
    fn write(&self) {
        let ((from, packets, bytes), (to, sent, sent_bytes)) = (self.received.take(), self.sent.take());
        if let Some(nic) = self.ports.nics.get(from) {
            count(&nic.counters.rx, packets, bytes);
        }
        if let Some(nic) = self.ports.nics.get(to) {
            count(&nic.counters.tx, sent, sent_bytes);
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.write();
    }
}
