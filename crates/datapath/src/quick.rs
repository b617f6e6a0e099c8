//! Plain packets by their flow's plan: what most flows do, without interpreting a list of actions.
//!
//! Where it sits: called by the worker for flows that are more than one output.
//!
//! A packet that is tracked and sent round again needs no second reading: its short key is that of before with another
//! connection. If the flow that packets like it hit last is a single output, perhaps behind a `ct(commit)` of the
//! connection that the packet was found to belong to, the packet goes there at once.
//!
//! I1  A packet goes on at once only while none waits for the next pass: so packets keep their order.
//! I2  Whatever is not foreseen is left to `execute.rs`, unchanged.

use ::core::iter::Take;
use alloc::vec::Vec;

use conntrack::{CtPacket, CtVerdict, Headers, PlainFrame, Rewrite, Tracked};
use flow::{Layers, PlainKey};
use odp::Action;
use packet::{DropReason, InPlace, MetaMut, OdpPort, PacketBuf};
use wire::{eth, ipv4};

use crate::flows::Megaflow;
use crate::patch::Patch;
use crate::plan::{Plan, Track};
use crate::worker::{Desk, Kind, Pass, Slot, Train};
use crate::{Host, edit};

impl Slot {
    /// What connection tracking need not read again of a plain packet.
    pub fn headers(&self) -> Option<Headers> {
        headers(&self.short, &self.layers)
    }

    /// Rewrites the plain packet; false, and no change, if that is left to the interpreter.
    #[inline]
    pub fn rewrite<B: PacketBuf>(&self, patch: &Patch, buf: &mut B) -> bool {
        let Some(l3) = self.layers.l3 else { return false };
        let l4 = buf.offload().l4;
        patch.apply(buf.head_mut(), usize::from(l3), self.short.nw_proto(), l4).is_some()
    }
}

/// What a short key tells of a plain packet's headers.
pub(crate) fn headers(short: &PlainKey, layers: &Layers) -> Option<Headers> {
    let l3 = usize::from(layers.l3?);
    let ((src, dst), (src_port, dst_port)) = (short.addresses(), short.ports());
    let (l4, end) = (l3 + ipv4::HEADER_LEN, usize::from(layers.end));
    Some(Headers { src, dst, src_port, dst_port, proto: short.nw_proto(), l4, end })
}

/// What is known of the packets that wait for the next pass, by their place in it.
pub(crate) struct Carried {
    pub slots: Vec<Slot>,
    /// Bit n: the n-th packet's key is known.
    known: u128,
}

impl Carried {
    pub fn try_new(n: usize) -> Option<Carried> {
        Some(Carried { slots: Slot::try_list(n)?, known: 0 })
    }

    #[inline]
    fn put(&mut self, at: usize, short: PlainKey, layers: Layers) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot { short, layers, kind: Kind::Plain, ..Slot::EMPTY };
            self.known |= 1 << at;
        }
    }

    /// Which keys are known; none any more.
    pub fn take(&mut self) -> u128 {
        ::core::mem::take(&mut self.known)
    }
}

impl<B: PacketBuf> Desk<B> {
    /// Tracks packets with one key, and sends them on or round again.
    #[inline(never)]
    pub fn track<'g, 'w>(
        &mut self,
        pass: &Pass<'g>,
        host: &mut impl Host<B>,
        (at, slot, flow): (usize, &Slot, &Megaflow),
        (mut meta, mut buf, mut more): (MetaMut<'w>, B, Take<&mut InPlace<'w, B>>),
        (list, track): (&[Action], &Track),
        train: &mut Train<'g>,
    ) {
        let Some(headers) = slot.headers() else { return };
        self.zone = Some(track.action.zone);
        loop {
            if let Some(left) = self.track_one(pass, slot, &headers, (meta, buf), track, train) {
                self.interpret(pass, host, (at, slot, flow), left, (list, false));
            }
            match more.next() {
                Some(next) => (meta, buf) = next,
                None => return,
            }
        }
    }

    /// The same of one packet. Gives it back, unchanged, if that is left to the interpreter.
    #[inline(always)]
    fn track_one<'g, 'm>(
        &mut self,
        pass: &Pass<'g>,
        slot: &Slot,
        headers: &Headers,
        (meta, mut buf): (MetaMut<'m>, B),
        track: &Track,
        train: &mut Train<'g>,
    ) -> Option<(MetaMut<'m>, B)> {
        if !meta.is_fresh() || !buf.pull_up(headers.end) {
            return Some((meta, buf));
        }
        if !track.only_looks {
            return self.process(pass, slot, (meta, buf), track);
        }
        let (head, len) = (buf.head(), buf.len());
        let frame = PlainFrame { head, len, l4_checksum: buf.offload().l4, headers };
        let Some(tracked) = pass.dp.conntrack().track_plain(pass.now, &frame, track.action.zone) else {
            return self.process(pass, slot, (meta, buf), track);
        };
        let key = slot.short.tracked((tracked.state, tracked.zone, tracked.mark), track.recirc);
        if self.waiting.is_empty()
            && let Some((flow, out)) = self.successor(pass, &key, tracked.zone)
        {
            train.join(flow, self.number, pass.now_ms);
            train.count(1, len as u64, key.tcp_flags());
            self.tally.recirculated += 1;
            self.tally.hits += 1;
            self.tally.cache_hits += 1;
            if !self.queues.transmit(out, buf) {
                self.tally.drop_of(slot.short.in_port(), DropReason::WorklistFull);
            }
            return None;
        }
        self.go_round(slot, (&tracked, &key, buf), track.recirc);
        None
    }

    /// The flow that a packet of a connection in `zone` hits, if it is known, and the port, if the flow does no more than
    /// send it on.
    #[inline(always)]
    fn successor<'g>(&self, pass: &Pass<'g>, key: &PlainKey, zone: u16) -> Option<(&'g Megaflow, OdpPort)> {
        let (id, generation) = self.successors.get(key)?;
        let flow = pass.dp.flows.current(pass.guard, id, generation)?;
        if !flow.matches_plain(key) {
            return None;
        }
        let output = flow.output().map(OdpPort).or_else(|| match flow.program(pass.guard)?.plan {
            // The connection is there.
            Plan::Commit { zone: same, output } if same == zone => Some(output),
            _ => None,
        });
        output.map(|output| (flow, output))
    }

    /// Has a tracked packet wait for the next pass.
    #[inline(never)]
    fn go_round(&mut self, slot: &Slot, (tracked, key, buf): (&Tracked, &PlainKey, B), recirc: u32) {
        let port = slot.short.in_port();
        if let Some(meta) = self.waiting.next_tracked(port) {
            tracked.store(meta);
            meta.recirc_id = recirc;
            self.carried.put(self.waiting.len(), *key, slot.layers);
        }
        if self.waiting.push_tracked(buf).is_err() {
            self.tally.drop_of(port, DropReason::WorklistFull);
        }
    }

    /// Tracks a packet that may change its connection, or be changed, and has it wait for the next pass. Gives it back,
    /// unchanged, if none can wait any more.
    #[inline(never)]
    fn process<'m>(
        &mut self,
        pass: &Pass<'_>,
        slot: &Slot,
        (meta, mut buf): (MetaMut<'m>, B),
        track: &Track,
    ) -> Option<(MetaMut<'m>, B)> {
        let (port, Some(l3)) = (slot.short.in_port(), slot.layers.l3) else { return Some((meta, buf)) };
        let Some(found) = self.waiting.next_tracked(port) else { return Some((meta, buf)) };
        let (l4_checksum, len) = (buf.offload().l4, buf.len());
        let mut view =
            CtPacket { head: buf.head_mut(), len, l3: l3.into(), eth_type: eth::TYPE_IPV4, l4_checksum };
        let verdict = pass.dp.conntrack().process(pass.now, found, &mut view, &track.action);
        found.recirc_id = track.recirc;
        let known = (found.ct_state, found.ct_zone, found.ct_mark);
        match verdict {
            CtVerdict::Drop(reason) => {
                self.tally.drop_of(port, reason);
                return None;
            }
            CtVerdict::Pass(Rewrite::Nat) => {}
            CtVerdict::Pass(Rewrite::Payload(edit)) => {
                if let Err(reason) = edit::apply(&mut buf, &edit) {
                    self.tally.drop_of(port, reason);
                    return None;
                }
            }
            CtVerdict::Pass(Rewrite::None) => {
                let key = slot.short.tracked(known, track.recirc);
                self.carried.put(self.waiting.len(), key, slot.layers);
            }
        }
        if self.waiting.push_tracked(buf).is_err() {
            self.tally.drop_of(port, DropReason::WorklistFull);
        }
        None
    }
}
