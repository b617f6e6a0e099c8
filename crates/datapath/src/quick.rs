//! Plain packets by their flow's plan: what most flows do, without interpreting a list of actions.
//!
//! Where it sits: called by the worker for flows that are more than one output.
//!
//! A packet that is tracked and sent round again needs no second reading: its short key is that of before with another
//! connection. If the flow that packets like it hit last is a single output, the packet goes there at once.
//!
//! I1  A packet goes on at once only while none waits for the next pass: so packets keep their order.
//! I2  Whatever is not foreseen is left to `execute.rs`, unchanged.

use alloc::vec::Vec;

use conntrack::{CtPacket, CtVerdict, Headers, Rewrite};
use flow::{Layers, PlainKey};
use packet::{Batch, DropReason, MetaMut, OdpPort, PacketBuf};
use wire::{eth, ipv4};

use crate::cache::Successors;
use crate::counters::Tally;
use crate::edit;
use crate::egress::Queues;
use crate::flows::Megaflow;
use crate::patch::Patch;
use crate::worker::{Kind, Pass, Slot, Train};

/// A plain packet, with its short key.
#[derive(Clone, Copy)]
pub(crate) struct Plain {
    pub short: PlainKey,
    pub layers: Layers,
}

impl Plain {
    /// What connection tracking need not read again.
    pub fn headers(&self) -> Option<(usize, Headers)> {
        headers(&self.short, &self.layers)
    }

    /// Rewrites the packet; false, and no change, if that is left to the interpreter.
    #[inline]
    pub fn rewrite<B: PacketBuf>(&self, patch: &Patch, buf: &mut B) -> bool {
        let Some(l3) = self.layers.l3 else { return false };
        let l4 = buf.offload().l4;
        patch.apply(buf.head_mut(), usize::from(l3), self.short.nw_proto(), l4).is_some()
    }
}

/// Where the network header is, and what a short key tells of a plain packet's headers.
pub(crate) fn headers(short: &PlainKey, layers: &Layers) -> Option<(usize, Headers)> {
    let l3 = usize::from(layers.l3?);
    let ((src, dst), (src_port, dst_port)) = (short.addresses(), short.ports());
    let (l4, end) = (l3 + ipv4::HEADER_LEN, usize::from(layers.end));
    Some((l3, Headers { src, dst, src_port, dst_port, proto: short.nw_proto(), l4, end }))
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

/// What tracking a packet touches.
pub(crate) struct Tracker<'a, B> {
    pub queues: &'a mut Queues<B>,
    pub waiting: &'a mut Batch<B>,
    pub carried: &'a mut Carried,
    pub successors: &'a Successors,
    pub tally: &'a mut Tally,
    /// The number of the worker's slot.
    pub number: u8,
}

impl<B: PacketBuf> Tracker<'_, B> {
    /// Tracks a packet, and sends it on or round again under the id `recirc`. Gives it back, unchanged, if that is left to
    /// the interpreter.
    #[inline]
    pub fn run<'g, 'm>(
        &mut self,
        pass: &Pass<'g>,
        packet: &Plain,
        (l3, headers): (usize, &Headers),
        (meta, mut buf): (MetaMut<'m>, B),
        (action, recirc): (&conntrack::CtAction, u32),
        train: &mut Train<'g>,
    ) -> Option<(MetaMut<'m>, B)> {
        let port = meta.get().in_port;
        if !meta.is_fresh() || !buf.pull_up(headers.end) {
            return Some((meta, buf));
        }
        let Some(found) = self.waiting.next_tracked(port) else { return Some((meta, buf)) };
        let (l4_checksum, len) = (buf.offload().l4, buf.len());
        let mut view = CtPacket { head: buf.head_mut(), len, l3, eth_type: eth::TYPE_IPV4, l4_checksum };
        let verdict = pass.dp.conntrack().process_plain(pass.now, found, &mut view, headers, action);
        found.recirc_id = recirc;
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
                let key = packet.short.tracked(found);
                if self.waiting.is_empty()
                    && let Some((flow, out)) = self.successor(pass, &key)
                {
                    train.join(flow, self.number, pass.now_ms);
                    train.count(1, buf.len() as u64, key.tcp_flags());
                    self.tally.recirculated += 1;
                    self.tally.hits += 1;
                    self.tally.cache_hits += 1;
                    if !self.queues.transmit(OdpPort(out), buf) {
                        self.tally.drop_of(port, DropReason::WorklistFull);
                    }
                    return None;
                }
                self.carried.put(self.waiting.len(), key, packet.layers);
            }
        }
        if self.waiting.push_tracked(buf).is_err() {
            self.tally.drop_of(port, DropReason::WorklistFull);
        }
        None
    }

    /// The flow that a tracked packet hits, if it is known, and the port, if the flow is one output.
    #[inline]
    fn successor<'g>(&self, pass: &Pass<'g>, key: &PlainKey) -> Option<(&'g Megaflow, u32)> {
        let (id, generation) = self.successors.get(key)?;
        let flow = pass.dp.flows.current(pass.guard, id, generation)?;
        if flow.matches_plain(key) { flow.output().map(|port| (flow, port)) } else { None }
    }
}
