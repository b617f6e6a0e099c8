//! The table of megaflows.
//!
//! Where it sits: inside [`crate::Datapath`], read by workers for a batch at a time, changed by commands.
//!
//! ~~~text
//! tuples: key & mask ──► slot ──► Megaflow { match, actions, counters }
//! ufids:  identifier ──► slot
//! ~~~
//!
//! I1  Flows live in slots that keep their number for the flow's life, so a dump that walks slots neither skips nor
//!     repeats a flow that exists throughout.
//! I2  A slot's generation changes whenever its flow is removed or its actions change; caches remember it.

use alloc::vec::Vec;
use ::core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use classifier::TupleTable;
use flow::{FlowKey, Match};
use hashbrown::HashTable;
use odp::{Action, Ufid};

use crate::{CommandError, FlowInfo, FlowPut, FlowStats, PutMode};

/// A datapath flow entry.
pub(crate) struct Megaflow {
    pub ufid: Ufid,
    pub matched: Match,
    pub actions: Vec<Action>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    packets: AtomicU64,
    bytes: AtomicU64,
    used_ms: AtomicU64,
    tcp_flags: AtomicU16,
}

impl Megaflow {
    /// Counts packets of one batch.
    pub fn count(&self, packets: u64, bytes: u64, now_ms: u64, tcp_flags: u16) {
        self.counters.packets.fetch_add(packets, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counters.used_ms.store(now_ms, Ordering::Relaxed);
        if tcp_flags & !self.counters.tcp_flags.load(Ordering::Relaxed) != 0 {
            self.counters.tcp_flags.fetch_or(tcp_flags, Ordering::Relaxed);
        }
    }

    pub fn stats(&self) -> FlowStats {
        FlowStats {
            packets: self.counters.packets.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            used_ms: self.counters.used_ms.load(Ordering::Relaxed),
            tcp_flags: self.counters.tcp_flags.load(Ordering::Relaxed),
        }
    }

    fn info(&self) -> FlowInfo {
        let actions = self.actions.clone();
        FlowInfo { ufid: self.ufid, matched: self.matched, actions, stats: self.stats() }
    }
}

#[derive(Default)]
struct Slot {
    generation: u32,
    flow: Option<Megaflow>,
}

/// All megaflows.
pub(crate) struct FlowTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    tuples: TupleTable,
    ufids: HashTable<(u64, u32)>,
    limit: usize,
}

fn ufid_hash(ufid: Ufid) -> u64 {
    (ufid.0 as u64 ^ (ufid.0 >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn key_in(slots: &[Slot], id: u32) -> Option<&FlowKey> {
    slots.get(id as usize)?.flow.as_ref().map(|f| &f.matched.key)
}

impl FlowTable {
    pub fn new(seed: u64, limit: usize) -> FlowTable {
        let tuples = TupleTable::new(seed);
        FlowTable { slots: Vec::new(), free: Vec::new(), tuples, ufids: HashTable::new(), limit }
    }

    pub fn len(&self) -> usize {
        self.ufids.len()
    }

    pub fn masks(&self) -> usize {
        self.tuples.masks()
    }

    /// The flow in slot `id`, if it is of that generation.
    pub fn current(&self, id: u32, generation: u32) -> Option<&Megaflow> {
        let slot = self.slots.get(id as usize).filter(|s| s.generation == generation)?;
        slot.flow.as_ref()
    }

    /// The flow that `key` hits, its slot and generation, and how many subtables were searched.
    pub fn lookup(&self, key: &FlowKey) -> (Option<(u32, u32)>, u32) {
        let (id, searched) = self.tuples.lookup(key, |id| key_in(&self.slots, id));
        let hit = id.and_then(|id| self.slots.get(id as usize).map(|s| (id, s.generation)));
        (hit, searched)
    }

    /// The slot of a flow by identifier.
    fn by_ufid(&self, ufid: Ufid) -> Option<u32> {
        let same = |id: u32| self.slots.get(id as usize).and_then(|s| s.flow.as_ref()).is_some_and(|f| f.ufid == ufid);
        self.ufids.find(ufid_hash(ufid), |(_, id)| same(*id)).map(|(_, id)| *id)
    }

    fn by_match(&self, m: &Match) -> Option<u32> {
        self.tuples.find(&m.key, &m.wc, |id| key_in(&self.slots, id))
    }

    fn flow(&self, id: u32) -> Option<&Megaflow> {
        self.slots.get(id as usize)?.flow.as_ref()
    }

    pub fn put(&mut self, put: FlowPut) -> Result<(), CommandError> {
        odp::validate(&put.actions).map_err(CommandError::InvalidActions)?;
        match (self.by_ufid(put.ufid), put.mode) {
            (Some(_), PutMode::Create) => Err(CommandError::Exists),
            (None, PutMode::Modify | PutMode::ModifyAndZero) => Err(CommandError::NotFound),
            (Some(id), mode) => {
                self.modify(id, put.actions, mode);
                Ok(())
            }
            (None, _) => self.create(put),
        }
    }

    fn modify(&mut self, id: u32, actions: Vec<Action>, mode: PutMode) {
        let Some(slot) = self.slots.get_mut(id as usize) else { return };
        slot.generation = slot.generation.wrapping_add(1);
        if let Some(flow) = &mut slot.flow {
            flow.actions = actions;
            if mode == PutMode::ModifyAndZero {
                flow.counters = Counters::default();
            }
        }
    }

    fn create(&mut self, put: FlowPut) -> Result<(), CommandError> {
        let matched = Match::new(&put.matched.key, &put.matched.wc);
        if self.by_match(&matched).is_some() {
            return Err(CommandError::Exists);
        }
        if self.len() >= self.limit {
            return Err(CommandError::Full);
        }
        self.ufids.try_reserve(1, |(hash, _)| *hash).map_err(|_| CommandError::NoMemory)?;
        let id = self.free_slot()?;
        self.tuples.insert(&matched.key, &matched.wc, id).map_err(|_| CommandError::NoMemory)?;
        let hash = ufid_hash(put.ufid);
        self.ufids.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        self.free.pop();
        if let Some(slot) = self.slots.get_mut(id as usize) {
            slot.flow =
                Some(Megaflow { ufid: put.ufid, matched, actions: put.actions, counters: Counters::default() });
        }
        Ok(())
    }

    /// A slot without a flow; it stays last in the free list until it is used.
    fn free_slot(&mut self) -> Result<u32, CommandError> {
        if let Some(id) = self.free.last() {
            return Ok(*id);
        }
        let id = u32::try_from(self.slots.len()).map_err(|_| CommandError::Full)?;
        self.slots.try_reserve(1).map_err(|_| CommandError::NoMemory)?;
        // Room for every slot, so that removing a flow never allocates.
        self.free.try_reserve(self.slots.len() + 1).map_err(|_| CommandError::NoMemory)?;
        self.slots.push(Slot::default());
        self.free.push(id);
        Ok(id)
    }

    pub fn remove(&mut self, ufid: Ufid) -> Result<FlowInfo, CommandError> {
        let id = self.by_ufid(ufid).ok_or(CommandError::NotFound)?;
        if let Ok(entry) = self.ufids.find_entry(ufid_hash(ufid), |(_, other)| *other == id) {
            entry.remove();
        }
        let slot = self.slots.get_mut(id as usize).ok_or(CommandError::NotFound)?;
        slot.generation = slot.generation.wrapping_add(1);
        let flow = slot.flow.take().ok_or(CommandError::NotFound)?;
        self.tuples.remove(&flow.matched.key, &flow.matched.wc, id);
        self.free.push(id);
        let stats = flow.stats();
        Ok(FlowInfo { ufid, matched: flow.matched, actions: flow.actions, stats })
    }

    pub fn get(&self, ufid: Ufid) -> Result<FlowInfo, CommandError> {
        self.by_ufid(ufid).and_then(|id| self.flow(id)).map(Megaflow::info).ok_or(CommandError::NotFound)
    }

    pub fn find(&self, m: &Match) -> Result<FlowInfo, CommandError> {
        let m = Match::new(&m.key, &m.wc);
        self.by_match(&m).and_then(|id| self.flow(id)).map(Megaflow::info).ok_or(CommandError::NotFound)
    }

    pub fn clear(&mut self) {
        self.tuples.clear();
        self.ufids.clear();
        self.free.clear();
        for (id, slot) in self.slots.iter_mut().enumerate().rev() {
            slot.generation = slot.generation.wrapping_add(u32::from(slot.flow.is_some()));
            slot.flow = None;
            self.free.push(id as u32);
        }
    }

    /// Up to `max` flows from slot `cursor` on, and where to go on.
    pub fn dump(&self, cursor: u32, max: usize) -> Result<(Vec<FlowInfo>, Option<u32>), CommandError> {
        let mut flows = Vec::new();
        flows.try_reserve(max.min(self.len())).map_err(|_| CommandError::NoMemory)?;
        for (id, slot) in self.slots.iter().enumerate().skip(cursor as usize) {
            if flows.len() >= max {
                return Ok((flows, Some(id as u32)));
            }
            flows.extend(slot.flow.as_ref().map(Megaflow::info));
        }
        Ok((flows, None))
    }

    /// Credits a worker's hits to subtables and moves those with most to the front.
    pub fn sort_masks(&mut self) {
        for slot in &self.slots {
            if let Some(flow) = &slot.flow {
                self.tuples.credit(&flow.matched.wc, flow.stats().packets);
            }
        }
        self.tuples.sort();
    }
}
