//! The first stage of a pass: keys.
//!
//! Where it sits: part of the worker. A plain packet's short key is read, that of others is made of the whole one; a packet
//! that repeats the one before is only counted.

use alloc::vec::Vec;

use classifier::hash_key;
use flow::plain::{HEAD_BYTES, is_repeated};
use flow::{FlowKey, Layers, PlainKey};
use packet::{Batch, OdpPort, PacketBuf, PacketMeta, TunnelKey};

use super::{Desk, Pass};
use crate::Datapath;

/// What the stages before execution know of a packet.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Slot {
    pub short: PlainKey,
    pub hash: u64,
    /// Number and generation of the megaflow that the cache proposes, or [`NO_HINT`].
    pub hint: (u32, u16),
    pub layers: Layers,
    pub kind: Kind,
    /// Bytes of the packet.
    pub len: u32,
    /// So many packets repeat it.
    pub behind: u32,
}

/// No megaflow: none has this number.
pub(crate) const NO_HINT: (u32, u16) = (u32::MAX, 0);

/// What there is of a packet's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The short one tells all.
    #[default]
    Plain,
    /// The whole one has been made.
    Whole,
    /// There is none.
    Runt,
}

impl Slot {
    pub const EMPTY: Slot = Slot {
        short: PlainKey::ZERO,
        hash: 0,
        hint: NO_HINT,
        layers: Layers { l3: None, l4: None, end: 0 },
        kind: Kind::Plain,
        len: 0,
        behind: 0,
    };

    pub fn try_list(n: usize) -> Option<Vec<Slot>> {
        super::try_list(n, Slot::EMPTY)
    }
}

impl<B: PacketBuf> Desk<B> {
    /// Reads the keys of all packets, and asks for their places in the cache; those that repeat the one before are counted
    /// with it. Returns the number of keys, which are in the packets' order.
    pub(super) fn read(&mut self, pass: &Pass<'_>, work: &mut Batch<B>) -> usize {
        match work.fresh_from() {
            Some(port) => self.read_fresh(pass, port, work),
            None => self.read_known(pass, work),
        }
    }

    /// The same, of packets of which nothing is known but the port that all came in by.
    #[inline(always)]
    fn read_fresh(&mut self, pass: &Pass<'_>, port: OdpPort, work: &mut Batch<B>) -> usize {
        let dp = pass.dp;
        // The last plain packet that came without a tag, if it may be repeated.
        let mut last: Option<(&[u8; HEAD_BYTES], &mut Slot)> = None;
        let (mut count, mut slots) = (0, self.slots.iter_mut());
        self.fresh.in_port = port;
        for buf in work.bufs_mut() {
            let ready = buf.pull_up(flow::extract::HEADER_BYTES);
            let buf = &*buf;
            let (head, len) = (buf.head(), buf.len());
            if let Some((before, slot)) = &mut last
                && slot.len as usize == len
                && ready
                && let Some(first) = head.first_chunk()
                && is_repeated(before, first)
            {
                slot.behind += 1;
                continue;
            }
            let Some(slot) = slots.next() else { break };
            count += 1;
            (slot.len, slot.behind) = (len as u32, 0);
            if ready
                && let Some(first) = head.first_chunk()
                && let Some((key, layers)) = PlainKey::read_untagged(port, first, len)
            {
                (slot.short, slot.layers, slot.kind) = (key, layers, Kind::Plain);
                slot.hash = key.hash(dp.seed);
                self.cache.prefetch(slot.hash);
                last = Some((first, slot));
                continue;
            }
            last = None;
            if let Some(key) = self.keys.get_mut(count - 1) {
                read_other(dp, (&self.fresh, buf, ready), slot, key);
            }
            self.cache.prefetch(slot.hash);
        }
        count
    }

    /// The same of packets of which something is known, perhaps their keys; none are told by the one before.
    #[inline(never)]
    fn read_known(&mut self, pass: &Pass<'_>, work: &mut Batch<B>) -> usize {
        let dp = pass.dp;
        let (metas, bufs) = work.parts_mut();
        let (packets, places) = (metas.iter().zip(bufs), self.slots.iter_mut().zip(&mut self.keys));
        let mut count = 0;
        for (at, ((meta, buf), (slot, key))) in packets.zip(places).enumerate() {
            count += 1;
            (slot.len, slot.behind) = (buf.len() as u32, 0);
            if pass.known >> at & 1 != 0 {
                slot.hash = slot.short.hash(dp.seed);
            } else {
                let ready = buf.pull_up(flow::extract::HEADER_BYTES);
                read_other(dp, (meta, buf, ready), slot, key);
            }
            self.cache.prefetch(slot.hash);
        }
        count
    }
}

/// Reads the short key of a packet, or the whole one if it is not plain.
#[inline(never)]
fn read_other<B: PacketBuf>(
    dp: &Datapath,
    (meta, buf, ready): (&PacketMeta, &B, bool),
    slot: &mut Slot,
    key: &mut FlowKey,
) {
    match PlainKey::read(meta, buf.head(), buf.len(), dp.vlan_limit) {
        Some((short, layers)) if ready => {
            (slot.short, slot.layers, slot.kind) = (short, layers, Kind::Plain);
            slot.hash = short.hash(dp.seed);
        }
        _ => read_whole(dp, (meta, buf, ready), slot, key),
    }
}

/// Reads the whole key of a packet that is not plain, and its short key with it.
#[inline(never)]
fn read_whole<B: PacketBuf>(
    dp: &Datapath,
    (meta, buf, ready): (&PacketMeta, &B, bool),
    slot: &mut Slot,
    key: &mut FlowKey,
) {
    // What is no frame needs no Ethernet header.
    if !ready || meta.packet_type == 0 && buf.len() < wire::eth::HEADER_LEN {
        (slot.kind, slot.hash, slot.layers) = (Kind::Runt, 0, Layers::default());
        return;
    }
    slot.kind = Kind::Whole;
    // Mostly what came out of a tunnel.
    if meta.packet_type == 0
        && let Some((short, layers)) = PlainKey::read_inner(meta, buf.head(), buf.len(), dp.vlan_limit)
    {
        (slot.short, slot.layers) = (short, layers);
        slot.hash = short.hash(dp.seed ^ outer(&meta.tunnel));
        return short.to_key(meta, key);
    }
    slot.layers = flow::extract(meta, buf.head(), buf.len(), dp.vlan_limit, key);
    slot.short = PlainKey::of(key);
    slot.hash = hash_key(key, dp.seed);
}

/// What tells tunnels' flows apart, for a hash.
fn outer(t: &TunnelKey) -> u64 {
    let halves = |address: u128| (address >> 64) as u64 ^ (address as u64).rotate_left(7);
    let v4 = u64::from(t.src) << 32 | u64::from(t.dst);
    t.id.rotate_left(40) ^ v4 ^ halves(t.ipv6_src) ^ halves(t.ipv6_dst).rotate_left(13)
}
