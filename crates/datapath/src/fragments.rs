//! Fragments before a `ct` action: they are held until their datagram is whole, which is tracked; then all go on.
//!
//! Where it sits: called by `execute` for a packet whose key says that it is a fragment. Which ones wait, and what they
//! become, is the business of `conntrack`'s `fragments.rs`; here are the buffers.
//!
//! Fragments go on behind the action with what the datagram's tracking found, as packets of the last one that came.
//!
//! Next: `conntrack/src/fragments.rs`.

use alloc::vec::Vec;

use conntrack::{FragmentRef, Held, Ipf, Piece, Rewrite};
use packet::{DropReason, L4Checksum, PacketBuf};
use wire::eth;

use crate::Host;
use crate::execute::Executor;
use crate::place::Place;

/// Room before a fragment for headers that it is to get.
const HEADROOM: usize = 128;
/// Bytes of a datagram at most, with what may be before its IP header.
const DATAGRAM: usize = 64 + u16::MAX as usize;

/// Memory for one datagram; `None` if it is short.
pub(crate) fn try_room() -> Option<Vec<u8>> {
    let mut room = Vec::new();
    room.try_reserve_exact(DATAGRAM).ok()?;
    Some(room)
}

impl<B: PacketBuf, H: Host<B>> Executor<'_, B, H> {
    /// Gives a fragment to those that wait: true if it is gone. Otherwise it goes on by itself.
    #[inline(never)]
    pub fn fragment(&mut self, ct: &odp::CtAction, place: &Place) -> bool {
        let (Some(buf), Some(l3)) = (&self.buf, self.layers.l3) else { return false };
        let is_ipv6 = self.key.eth_type() == eth::TYPE_IPV6;
        let Some(fragment) = FragmentRef::parse(buf.head(), usize::from(l3), is_ipv6, buf.len()) else {
            return false;
        };
        let which = (ct.zone, self.meta.recirc_id);
        let fragments = self.dp.conntrack().fragments();
        let held = fragments.add(self.now, which, &fragment, &mut |from, out| {
            buf.copy_out(from, out);
        });
        match held {
            Held::Refused => return false,
            Held::Waits => {}
            Held::Whole(whole) => {
                let mut after = *place;
                after.step();
                if let Err(reason) = self.datagram(ct, &whole, &after) {
                    let mut piece = fragments.next(&whole, None);
                    while piece.is_some() {
                        self.drop(reason);
                        piece = fragments.next(&whole, piece);
                    }
                }
                fragments.release(whole);
            }
        }
        self.buf = None;
        true
    }

    /// Tracks a datagram and has its fragments go on.
    #[inline(never)]
    fn datagram(&mut self, ct: &odp::CtAction, whole: &Ipf, after: &Place) -> Result<(), DropReason> {
        let mut datagram = ::core::mem::take(self.datagram);
        let done = self.datagram_in(ct, whole, after, &mut datagram);
        *self.datagram = datagram;
        done
    }

    fn datagram_in(
        &mut self,
        ct: &odp::CtAction,
        whole: &Ipf,
        after: &Place,
        datagram: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let fragments = self.dp.conntrack().fragments();
        if whole.len() > datagram.capacity() {
            return Err(DropReason::NoMemory);
        }
        datagram.resize(whole.len(), 0);
        if !fragments.assemble(whole, datagram) {
            return Err(DropReason::NoMemory);
        }
        self.layers.l3 = Some(whole.l3());
        // Fragments keep their lengths.
        if let Rewrite::Payload(_) = self.track(ct, datagram, whole.len(), L4Checksum::Unknown)? {
            return Err(DropReason::InvalidAction);
        }
        let before = self.waiting_pieces();
        let mut piece = fragments.next(whole, None);
        while let Some(next) = piece {
            match self.restored(whole, next, datagram) {
                Some(buf) => self.push_piece(buf, after, before),
                None => self.drop(DropReason::NoMemory),
            }
            piece = fragments.next(whole, piece);
        }
        self.reverse_pieces(before);
        Ok(())
    }

    fn restored(&mut self, whole: &Ipf, piece: Piece, datagram: &[u8]) -> Option<B> {
        let mut buf = self.empty(piece.len())?;
        let fragments = self.dp.conntrack().fragments();
        fragments.restore(whole, piece, datagram, buf.head_mut()).then_some(buf)
    }

    /// A buffer of `len` contiguous bytes, of unspecified content.
    fn empty(&mut self, len: usize) -> Option<B> {
        let mut buf = self.host.alloc(0, len + HEADROOM)?;
        buf.comes_of(self.buf.as_ref()?);
        buf.push_front(len)?;
        buf.pull_up(len).then_some(buf)
    }
}
