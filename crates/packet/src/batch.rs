//! A batch: the unit in which packets move.
//!
//! Where it sits: filled by a port's receive side, consumed by `datapath::Worker::process`.
//!
//! Buffers and metadata lie apart: metadata are seven cache lines a packet, and most packets have nothing in them but
//! the port that they came in by. So they stay in place, and are written again only where somebody changed them.
//!
//! I1  A batch's memory is taken once, when it is made, and lies on the heap: ten kilobytes fit no kernel stack.
//! I2  A place that is [`CLEAN`] holds default metadata but for the port; one that is [`TRACKED`], but for the port, the
//!     connection and the recirculation id.
//! I3  While `port` names one, all packets came in by that, and their places are clean; the port is written to a place
//!     only when somebody looks at it.

use alloc::vec::{Drain, Vec};
use core::iter::Zip;
use core::slice::IterMut;

use crate::{OdpPort, PacketMeta};

/// Packets of a full batch: as many cache misses as memory serves in parallel.
pub const BATCH: usize = 32;

/// Up to [`BATCH`] packets, or another number, with what is known of them.
#[derive(Debug)]
pub struct Batch<B> {
    /// As many as packets fit.
    metas: Vec<PacketMeta>,
    bufs: Vec<B>,
    /// What of each place's metadata may be set: [`CLEAN`], [`TRACKED`] or [`DIRTY`].
    states: Vec<u8>,
    /// The port that all packets came in by, if that is known of them and nothing else.
    port: Option<OdpPort>,
}

const CLEAN: u8 = 0;
const TRACKED: u8 = 1;
const DIRTY: u8 = 2;

impl<B> Default for Batch<B> {
    fn default() -> Self {
        let metas = alloc::vec![PacketMeta::default(); BATCH];
        Batch { metas, bufs: Vec::with_capacity(BATCH), states: alloc::vec![CLEAN; BATCH], port: None }
    }
}

impl<B> Batch<B> {
    /// An empty batch; `None` if memory is short.
    pub fn try_new() -> Option<Batch<B>> {
        Batch::try_with_capacity(BATCH)
    }

    /// An empty batch for `n` packets, at most 128; `None` if memory is short.
    pub fn try_with_capacity(n: usize) -> Option<Batch<B>> {
        let n = n.min(u128::BITS as usize);
        let (mut metas, mut bufs, mut states) = (Vec::new(), Vec::new(), Vec::new());
        metas.try_reserve_exact(n).ok()?;
        bufs.try_reserve_exact(n).ok()?;
        states.try_reserve_exact(n).ok()?;
        metas.resize(n, PacketMeta::default());
        states.resize(n, CLEAN);
        Some(Batch { metas, bufs, states, port: None })
    }

    /// Packets in the batch.
    pub fn len(&self) -> usize {
        self.bufs.len()
    }

    /// True if the batch holds no packet.
    pub fn is_empty(&self) -> bool {
        self.bufs.is_empty()
    }

    /// True if no packet fits.
    pub fn is_full(&self) -> bool {
        self.bufs.len() >= self.metas.len()
    }

    /// Where the next packet's metadata are, with what of them may be set.
    #[inline]
    fn place(&mut self) -> Option<(&mut PacketMeta, &mut u8)> {
        let at = self.bufs.len();
        self.metas.get_mut(at).zip(self.states.get_mut(at))
    }

    /// Appends a packet, or returns it if the batch is full.
    #[allow(clippy::result_large_err, reason = "a packet that does not fit goes back to its owner, by value")]
    pub fn push(&mut self, meta: PacketMeta, buf: B) -> Result<(), (PacketMeta, B)> {
        self.settle();
        let Some((place, state)) = self.place() else { return Err((meta, buf)) };
        (*place, *state) = (meta, DIRTY);
        self.bufs.push(buf);
        Ok(())
    }

    /// Appends a packet of which the same is known, or returns it if the batch is full.
    pub fn push_like(&mut self, meta: &PacketMeta, buf: B) -> Result<(), B> {
        self.settle();
        let Some((place, state)) = self.place() else { return Err(buf) };
        (*place, *state) = (*meta, DIRTY);
        self.bufs.push(buf);
        Ok(())
    }

    /// Appends a packet of which nothing is known but the port that it came in by, or returns it if the batch is full.
    #[inline]
    pub fn push_from(&mut self, in_port: OdpPort, buf: B) -> Result<(), B> {
        let Some((place, state)) = self.place() else { return Err(buf) };
        if *state != CLEAN {
            (*place, *state) = (PacketMeta::default(), CLEAN);
        }
        if self.bufs.is_empty() {
            self.port = Some(in_port);
        } else if self.port != Some(in_port) {
            self.set_last(in_port);
        }
        self.bufs.push(buf);
        Ok(())
    }

    /// Notes the port of the packet that is appended next, which is not that of all.
    #[cold]
    #[inline(never)]
    fn set_last(&mut self, in_port: OdpPort) {
        self.settle();
        if let Some((place, _)) = self.place() {
            place.in_port = in_port;
        }
    }

    /// Writes the port that all packets came in by to their places.
    fn settle(&mut self) {
        if let Some(port) = self.port.take() {
            self.metas.iter_mut().take(self.bufs.len()).for_each(|meta| meta.in_port = port);
        }
    }

    /// The metadata of the next packet, of which nothing is known but the port: its connection and its recirculation id
    /// may be set there, nothing else. `None` if the batch is full.
    #[inline]
    pub fn next_tracked(&mut self, in_port: OdpPort) -> Option<&mut PacketMeta> {
        self.settle();
        let (place, state) = self.place()?;
        match *state {
            CLEAN => {}
            TRACKED => {
                place.clear_ct();
                place.recirc_id = 0;
            }
            _ => *place = PacketMeta::default(),
        }
        *state = TRACKED;
        place.in_port = in_port;
        Some(place)
    }

    /// Appends the packet of which [`Batch::next_tracked`] gave the metadata, or returns it if the batch is full.
    pub fn push_tracked(&mut self, buf: B) -> Result<(), B> {
        if self.is_full() {
            return Err(buf);
        }
        self.bufs.push(buf);
        Ok(())
    }

    /// The port that all packets came in by, if nothing else is known of any.
    #[inline]
    pub fn fresh_from(&self) -> Option<OdpPort> {
        self.port
    }

    /// Sets the port that all packets came in by.
    pub fn set_in_port(&mut self, in_port: OdpPort) {
        if self.port.is_some() {
            self.port = Some(in_port);
        } else {
            self.metas.iter_mut().take(self.bufs.len()).for_each(|meta| meta.in_port = in_port);
        }
    }

    /// Takes every packet out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = (PacketMeta, B)> + '_ {
        self.settle();
        self.metas.iter().copied().zip(self.bufs.drain(..))
    }

    /// Takes every buffer out, in order, and forgets what was known of it.
    pub fn drain_bufs(&mut self) -> impl Iterator<Item = B> + '_ {
        self.bufs.drain(..)
    }

    /// Takes every packet out, in order, with its metadata where they lie.
    #[inline]
    pub fn drain_in_place(&mut self) -> InPlace<'_, B> {
        let places = self.metas.iter_mut().zip(self.states.iter_mut());
        InPlace { places, bufs: self.bufs.drain(..), port: self.port }
    }

    /// The packets, to be looked at or changed in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&mut PacketMeta, &mut B)> + '_ {
        self.settle();
        self.states.fill(DIRTY);
        self.metas.iter_mut().zip(&mut self.bufs)
    }

    /// The buffers, to be looked at or changed in place.
    pub fn bufs_mut(&mut self) -> &mut [B] {
        &mut self.bufs
    }

    /// The packets' metadata, to be looked at only, and as many buffers.
    pub fn parts_mut(&mut self) -> (&[PacketMeta], &mut [B]) {
        self.settle();
        (self.metas.get(..self.bufs.len()).unwrap_or_default(), &mut self.bufs)
    }
}

/// Packets that leave a batch, in order, with their metadata where they lie.
#[derive(Debug)]
pub struct InPlace<'a, B> {
    places: Zip<IterMut<'a, PacketMeta>, IterMut<'a, u8>>,
    bufs: Drain<'a, B>,
    /// The port that all came in by, where their metadata do not say so yet.
    port: Option<OdpPort>,
}

impl<'a, B> Iterator for InPlace<'a, B> {
    type Item = (MetaMut<'a>, B);

    #[inline]
    fn next(&mut self) -> Option<(MetaMut<'a>, B)> {
        let (buf, (meta, state)) = (self.bufs.next()?, self.places.next()?);
        Some((MetaMut { meta, state, port: self.port }, buf))
    }
}

impl<B> InPlace<'_, B> {
    /// Takes up to `n` packets of whose metadata nothing is asked.
    #[inline]
    pub fn bufs(&mut self, n: usize) -> impl ExactSizeIterator<Item = B> + '_ {
        if let Some(skipped) = n.checked_sub(1) {
            self.places.nth(skipped);
        }
        self.bufs.by_ref().take(n)
    }
}

/// Metadata in their place in a batch.
#[derive(Debug)]
pub struct MetaMut<'a> {
    meta: &'a mut PacketMeta,
    state: &'a mut u8,
    port: Option<OdpPort>,
}

impl<'a> MetaMut<'a> {
    /// The metadata, to be looked at.
    #[inline]
    pub fn get(&mut self) -> &PacketMeta {
        self.settle();
        self.meta
    }

    fn settle(&mut self) {
        if let Some(port) = self.port.take() {
            self.meta.in_port = port;
        }
    }

    /// True if nothing is known of the packet but the port that it came in by.
    #[inline]
    pub fn is_fresh(&self) -> bool {
        *self.state == CLEAN
    }

    /// The metadata, to be changed.
    #[inline]
    pub fn into_mut(mut self) -> &'a mut PacketMeta {
        self.settle();
        *self.state = DIRTY;
        self.meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_left_in_a_place_is_gone_for_the_next() {
        let mut batch = Batch::try_with_capacity(2).unwrap();
        assert!(batch.push(PacketMeta { recirc_id: 7, ..PacketMeta::default() }, 'a').is_ok());
        assert!(batch.push_from(OdpPort(1), 'b').is_ok());
        assert_eq!(batch.push_from(OdpPort(1), 'c'), Err('c'));
        let ids: Vec<_> = batch.drain().map(|(meta, buf)| (meta.recirc_id, meta.in_port.0, buf)).collect();
        assert_eq!(ids, [(7, 0, 'a'), (0, 1, 'b')]);
        assert!(batch.push_from(OdpPort(2), 'd').is_ok());
        assert_eq!(batch.fresh_from(), Some(OdpPort(2)));
        assert!(batch.push_from(OdpPort(3), 'e').is_ok());
        assert_eq!(batch.fresh_from(), None);
        for (mut meta, _) in batch.drain_in_place() {
            assert_eq!(meta.get().recirc_id, 0);
            meta.into_mut().ct_zone = 9;
        }
        assert!(batch.push_from(OdpPort(4), 'f').is_ok());
        batch.iter_mut().for_each(|(meta, _)| meta.skb_mark = 1);
        batch.set_in_port(OdpPort(5));
        assert_eq!(batch.fresh_from(), None);
        let all: Vec<_> = batch.drain().collect();
        let meta = PacketMeta { in_port: OdpPort(5), skb_mark: 1, ..PacketMeta::default() };
        assert_eq!(all, [(meta, 'f')]);
        assert!(batch.push_from(OdpPort(6), 'g').is_ok());
        let meta = PacketMeta { in_port: OdpPort(6), ..PacketMeta::default() };
        assert_eq!(batch.parts_mut(), (&[meta][..], &mut ['g'][..]));
    }

    #[test]
    fn a_tracked_place_has_nothing_of_the_packet_before() {
        let mut batch = Batch::try_with_capacity(1).unwrap();
        let conn = |meta: &mut PacketMeta| {
            (meta.ct_state, meta.ct_mark, meta.ct_conn, meta.recirc_id) = (0x21, 7, 8, 9);
            meta.ct_tuple = Some(crate::CtTuple::default());
        };
        assert!(batch.push(PacketMeta { skb_mark: 5, mru: 6, ..PacketMeta::default() }, 'a').is_ok());
        batch.drain_bufs().for_each(drop);
        for port in [3, 4] {
            let place = batch.next_tracked(OdpPort(port)).unwrap();
            assert_eq!(*place, PacketMeta { in_port: OdpPort(port), ..PacketMeta::default() });
            conn(place);
        }
        assert!(batch.push_tracked('b').is_ok() && batch.fresh_from().is_none());
        assert!(batch.next_tracked(OdpPort(5)).is_none() && batch.push_tracked('c').is_err());
        let got: Vec<_> =
            batch.drain_in_place().map(|(mut meta, _)| (meta.is_fresh(), *meta.get())).collect();
        assert_eq!((got[0].0, got[0].1.in_port, got[0].1.ct_mark), (false, OdpPort(4), 7));
        assert!(batch.push_from(OdpPort(6), 'd').is_ok());
        batch.drain_in_place().for_each(|(mut meta, _)| {
            assert!(
                meta.is_fresh() && *meta.get() == PacketMeta { in_port: OdpPort(6), ..PacketMeta::default() }
            );
            meta.into_mut().tunnel.id = 1;
        });
        assert_eq!(batch.next_tracked(OdpPort(7)).unwrap().tunnel.id, 0);
    }
}
