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
//! I3  A flow is written into its slot in place: at over a kilobyte it is too large for a kernel's stack.

use ::core::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use alloc::vec::Vec;

use classifier::TupleTable;
use flow::{FlowKey, Match};
use hashbrown::HashTable;
use odp::{Action, Ufid};

use crate::{CommandError, FlowInfo, FlowPut, FlowStats, PutMode, Reply};

/// A datapath flow entry, in its slot.
pub(crate) struct Megaflow {
    /// False for a free slot: everything else is then left over.
    used: bool,
    generation: u32,
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
    const fn free() -> Megaflow {
        let counters = Counters {
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            used_ms: AtomicU64::new(0),
            tcp_flags: AtomicU16::new(0),
        };
        let (ufid, matched) = (Ufid(0), Match::ANY);
        Megaflow { used: false, generation: 0, ufid, matched, actions: Vec::new(), counters }
    }

    /// Counts packets of one batch.
    pub fn count(&self, packets: u64, bytes: u64, now_ms: u64, tcp_flags: u16) {
        self.counters.packets.fetch_add(packets, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counters.used_ms.store(now_ms, Ordering::Relaxed);
        if tcp_flags & !self.counters.tcp_flags.load(Ordering::Relaxed) != 0 {
            self.counters.tcp_flags.fetch_or(tcp_flags, Ordering::Relaxed);
        }
    }

    fn stats(&self) -> FlowStats {
        FlowStats {
            packets: self.counters.packets.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            used_ms: self.counters.used_ms.load(Ordering::Relaxed),
            tcp_flags: self.counters.tcp_flags.load(Ordering::Relaxed),
        }
    }

    /// Appends what a dump shows of the flow; the list has room.
    fn list(&self, actions: Vec<Action>, flows: &mut Vec<FlowInfo>) {
        // the match is copied straight to its place: on the way it would fill a kernel frame
        flows.push(FlowInfo { ufid: self.ufid, matched: Match::ANY, actions, stats: self.stats() });
        if let Some(info) = flows.last_mut() {
            info.matched = self.matched;
        }
    }
}

/// All megaflows.
pub(crate) struct FlowTable {
    slots: Vec<Megaflow>,
    /// Slots without a flow; has room for all, so that removing never allocates.
    free: Vec<u32>,
    tuples: TupleTable,
    ufids: HashTable<(u64, u32)>,
    limit: usize,
}

fn ufid_hash(ufid: Ufid) -> u64 {
    (ufid.0 as u64 ^ (ufid.0 >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn key_in(slots: &[Megaflow], id: u32) -> Option<&FlowKey> {
    slots.get(id as usize).filter(|f| f.used).map(|f| &f.matched.key)
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
        self.slots.get(id as usize).filter(|f| f.used && f.generation == generation)
    }

    /// The flow that `key` hits, as slot and generation, and how many subtables were searched.
    pub fn lookup(&self, key: &FlowKey) -> (Option<(u32, u32)>, u32) {
        let (id, searched) = self.tuples.lookup(key, |id| key_in(&self.slots, id));
        let hit = id.and_then(|id| self.slots.get(id as usize).map(|f| (id, f.generation)));
        (hit, searched)
    }

    fn by_ufid(&self, ufid: Ufid) -> Option<u32> {
        let same = |id: u32| self.slots.get(id as usize).is_some_and(|f| f.used && f.ufid == ufid);
        self.ufids.find(ufid_hash(ufid), |(_, id)| same(*id)).map(|(_, id)| *id)
    }

    fn by_match(&self, m: &Match) -> Option<u32> {
        self.tuples.find(&m.key, &m.wc, |id| key_in(&self.slots, id))
    }

    pub fn put(&mut self, put: &mut FlowPut) -> Result<(), CommandError> {
        odp::validate(&put.actions).map_err(CommandError::InvalidActions)?;
        match (self.by_ufid(put.ufid), put.mode) {
            (Some(_), PutMode::Create) => Err(CommandError::Exists),
            (None, PutMode::Modify | PutMode::ModifyAndZero) => Err(CommandError::NotFound),
            (Some(id), _) => {
                self.modify(id, put);
                Ok(())
            }
            (None, _) => self.create(put),
        }
    }

    fn modify(&mut self, id: u32, put: &mut FlowPut) {
        let Some(flow) = self.slots.get_mut(id as usize) else { return };
        flow.generation = flow.generation.wrapping_add(1);
        flow.actions = ::core::mem::take(&mut put.actions);
        if put.mode == PutMode::ModifyAndZero {
            flow.counters = Counters::default();
        }
    }

    #[inline(never)]
    fn create(&mut self, put: &mut FlowPut) -> Result<(), CommandError> {
        let Match { key, wc } = &mut put.matched;
        for (word, mask) in key.words_mut().iter_mut().zip(wc.words()) {
            *word &= mask;
        }
        if self.by_match(&put.matched).is_some() {
            return Err(CommandError::Exists);
        }
        if self.len() >= self.limit {
            return Err(CommandError::Full);
        }
        self.ufids.try_reserve(1, |(hash, _)| *hash).map_err(|_| CommandError::NoMemory)?;
        let id = self.free_slot()?;
        let m = &put.matched;
        self.tuples.insert(&m.key, &m.wc, id).map_err(|_| CommandError::NoMemory)?;
        let hash = ufid_hash(put.ufid);
        self.ufids.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        self.free.pop();
        if let Some(flow) = self.slots.get_mut(id as usize) {
            flow.used = true;
            flow.ufid = put.ufid;
            flow.matched = put.matched;
            flow.actions = ::core::mem::take(&mut put.actions);
            flow.counters = Counters::default();
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
        self.free.try_reserve(self.slots.len() + 1).map_err(|_| CommandError::NoMemory)?;
        self.slots.push(Megaflow::free());
        self.free.push(id);
        Ok(id)
    }

    #[inline(never)]
    pub fn remove(&mut self, ufid: Ufid) -> Result<Reply, CommandError> {
        let id = self.by_ufid(ufid).ok_or(CommandError::NotFound)?;
        let mut flows = Vec::new();
        flows.try_reserve_exact(1).map_err(|_| CommandError::NoMemory)?;
        if let Ok(entry) = self.ufids.find_entry(ufid_hash(ufid), |(_, other)| *other == id) {
            entry.remove();
        }
        let flow = self.slots.get_mut(id as usize).ok_or(CommandError::NotFound)?;
        flow.generation = flow.generation.wrapping_add(1);
        let actions = ::core::mem::take(&mut flow.actions);
        flow.list(actions, &mut flows);
        flow.used = false;
        self.tuples.remove(&flow.matched.key, &flow.matched.wc, id);
        self.free.push(id);
        Ok(Reply::Flows { flows, next: None })
    }

    #[inline(never)]
    fn one(&self, id: Option<u32>) -> Result<Reply, CommandError> {
        let flow = id.and_then(|id| self.slots.get(id as usize)).ok_or(CommandError::NotFound)?;
        let mut flows = Vec::new();
        flows.try_reserve_exact(1).map_err(|_| CommandError::NoMemory)?;
        flow.list(flow.actions.clone(), &mut flows);
        Ok(Reply::Flows { flows, next: None })
    }

    pub fn get(&self, ufid: Ufid) -> Result<Reply, CommandError> {
        self.one(self.by_ufid(ufid))
    }

    /// Counts for the flow with this identifier; false if it is not there.
    pub fn credit(&self, ufid: Ufid, s: &FlowStats) -> bool {
        let flow = self.by_ufid(ufid).and_then(|id| self.slots.get(id as usize));
        flow.is_some_and(|flow| {
            flow.count(s.packets, s.bytes, s.used_ms, s.tcp_flags);
            true
        })
    }

    /// The flow with exactly this match, whose insignificant bits must be zero.
    pub fn find(&self, m: &Match) -> Result<Reply, CommandError> {
        self.one(self.by_match(m))
    }

    /// The flow that a packet with this key hits.
    pub fn hit(&self, key: &FlowKey) -> Result<Reply, CommandError> {
        let (hit, _) = self.lookup(key);
        self.one(hit.map(|(id, _)| id))
    }

    pub fn clear(&mut self) {
        self.tuples.clear();
        self.ufids.clear();
        self.free.clear();
        for (id, flow) in self.slots.iter_mut().enumerate().rev() {
            flow.generation = flow.generation.wrapping_add(u32::from(flow.used));
            flow.used = false;
            flow.actions = Vec::new();
            self.free.push(id as u32);
        }
    }

    #[inline(never)]
    /// Up to `max` flows from slot `cursor` on, and where to go on.
    pub fn dump(&self, cursor: u32, max: usize) -> Result<Reply, CommandError> {
        let mut flows = Vec::new();
        flows.try_reserve_exact(max.min(self.len())).map_err(|_| CommandError::NoMemory)?;
        for (id, flow) in self.slots.iter().enumerate().skip(cursor as usize).filter(|(_, f)| f.used) {
            if flows.len() >= max {
                return Ok(Reply::Flows { flows, next: Some(id as u32) });
            }
            flow.list(flow.actions.clone(), &mut flows);
        }
        Ok(Reply::Flows { flows, next: None })
    }

    /// Moves the subtables whose flows have had most packets to the front.
    pub fn sort_masks(&mut self) {
        for flow in self.slots.iter().filter(|f| f.used) {
            self.tuples.credit(&flow.matched.wc, flow.stats().packets);
        }
        self.tuples.sort();
    }
}
