//! The table of megaflows.
//!
//! Where it sits: inside [`crate::Datapath`], read by workers, who never wait, and changed by commands, one at a time.
//!
//! ~~~text
//! tuples: key & mask ──► number ──► Megaflow { match, actions, counters }
//! ufids:  identifier ──► number
//! ~~~
//!
//! I1  Flows keep their number for their life, so a dump that walks numbers neither skips nor repeats a flow that exists
//!     throughout.
//! I2  A number's generation changes whenever its flow is removed; caches remember it.
//! I3  What a packet needs of a flow is in its first two cache lines, unless its actions are more than one output.
//! I4  A full table gives a new flow the place of one that has not been used for long.
//! I5  The worker that counts first for a flow owns the flow's own counters, and adds to them without a locked
//!     instruction; what other workers count is apart.

use ::core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use alloc::boxed::Box;
use alloc::vec::Vec;

use classifier::{Found, Sought, TupleMask, TupleTable};
use flow::plain::PLAIN_WORDS;
use flow::{FlowKey, Match, PlainKey};
use hashbrown::HashTable;
use odp::{Action, Ufid};
use sync::{Arena, ArenaWriter, Guard, Published, Reader, Shared, SpinGuard, SpinLock, try_box};

use crate::core::Workers;
use crate::plan::Program;
use crate::{CommandError, FlowInfo, FlowPut, FlowStats, PutMode, Reply};

/// Flows that are looked at to find the one that makes way for another.
const CANDIDATES: usize = 16;
/// Slots beyond the limit: a flow that made way is still seen by packets under way.
const LIMBO: usize = 1024;

/// No port: the actions are not a single output.
const NO_PORT: u32 = u32::MAX;
/// No worker has counted yet.
const NOBODY: u8 = u8::MAX;

/// A datapath flow entry.
#[repr(C)]
pub(crate) struct Megaflow {
    /// The significant bits of the short key.
    key: [u64; PLAIN_WORDS],
    mask: Shared<TupleMask>,
    actions: Published<Program>,
    /// The port, if the actions are one output.
    output: AtomicU32,
    tcp_flags: AtomicU16,
    /// The short key alone tells whether a plain packet matches.
    is_plain: bool,
    /// The slot of the worker that the next three belong to.
    owner: AtomicU8,
    packets: AtomicU64,
    bytes: AtomicU64,
    used_ms: AtomicU64,
    // the first two lines end here
    others_packets: AtomicU64,
    others_bytes: AtomicU64,
    /// What was counted when the counters were last zeroed.
    zero_packets: AtomicU64,
    zero_bytes: AtomicU64,
    pub ufid: Ufid,
    /// The significant words beyond the short key.
    beyond: Box<[u64]>,
}

const _: () = assert!(::core::mem::offset_of!(Megaflow, others_packets) + size_of::<u64>() == 128);

/// The port that a list of actions is a single output to.
fn single_output(actions: &[Action]) -> u32 {
    match actions {
        [Action::Output(port)] => port.0,
        _ => NO_PORT,
    }
}

impl Megaflow {
    /// True if a plain packet with this short key matches; false also where the whole key has to tell.
    #[inline]
    pub fn matches_plain(&self, key: &PlainKey) -> bool {
        self.is_plain && key.matches(&self.key, self.mask.short())
    }

    /// True if a packet matches.
    pub fn matches(&self, short: &PlainKey, whole: &FlowKey) -> bool {
        short.matches(&self.key, self.mask.short()) && self.mask.beyond(whole).eq(self.beyond.iter().copied())
    }

    fn hit(&self, key: Sought<'_>) -> bool {
        match key.whole {
            Some(whole) => self.matches(key.short, whole),
            None => self.matches_plain(key.short),
        }
    }

    /// The port, if the actions are one output.
    #[inline]
    pub fn output(&self) -> Option<u32> {
        Some(self.output.load(Ordering::Acquire)).filter(|port| *port != NO_PORT)
    }

    /// The actions as they are now.
    #[inline]
    pub fn actions<'g>(&'g self, guard: &'g Guard<'_>) -> &'g [Action] {
        self.program(guard).map(|program| program.list.as_slice()).unwrap_or_default()
    }

    /// The actions as they are now, with what they come to.
    #[inline]
    pub fn program<'g>(&'g self, guard: &'g Guard<'_>) -> Option<&'g Program> {
        self.actions.load(guard)
    }

    /// Counts packets of one batch for the worker in slot `worker`.
    #[inline]
    pub fn count(&self, worker: u8, run: &Run, now_ms: u64) {
        let mut owner = self.owner.load(Ordering::Relaxed);
        if owner == NOBODY {
            let taken = self.owner.compare_exchange(NOBODY, worker, Ordering::Relaxed, Ordering::Relaxed);
            owner = taken.map_or_else(|other| other, |_| worker);
        }
        if owner == worker {
            let add = |total: &AtomicU64, n: u64| {
                total.store(total.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
            };
            add(&self.packets, run.packets);
            add(&self.bytes, run.bytes);
        } else {
            self.others_packets.fetch_add(run.packets, Ordering::Relaxed);
            self.others_bytes.fetch_add(run.bytes, Ordering::Relaxed);
        }
        self.used_ms.store(now_ms, Ordering::Relaxed);
        if run.tcp_flags & !self.tcp_flags.load(Ordering::Relaxed) != 0 {
            self.tcp_flags.fetch_or(run.tcp_flags, Ordering::Relaxed);
        }
    }

    /// Counts what another datapath has counted.
    fn add(&self, s: &FlowStats) {
        self.others_packets.fetch_add(s.packets, Ordering::Relaxed);
        self.others_bytes.fetch_add(s.bytes, Ordering::Relaxed);
        self.used_ms.fetch_max(s.used_ms, Ordering::Relaxed);
        self.tcp_flags.fetch_or(s.tcp_flags, Ordering::Relaxed);
    }

    /// All that was counted, zeroed or not.
    fn counted(&self) -> (u64, u64) {
        let sum =
            |a: &AtomicU64, b: &AtomicU64| a.load(Ordering::Relaxed).wrapping_add(b.load(Ordering::Relaxed));
        (sum(&self.packets, &self.others_packets), sum(&self.bytes, &self.others_bytes))
    }

    fn zero(&self) {
        let (packets, bytes) = self.counted();
        self.zero_packets.store(packets, Ordering::Relaxed);
        self.zero_bytes.store(bytes, Ordering::Relaxed);
        self.used_ms.store(0, Ordering::Relaxed);
        self.tcp_flags.store(0, Ordering::Relaxed);
    }

    fn stats(&self) -> FlowStats {
        let (packets, bytes) = self.counted();
        FlowStats {
            packets: packets.wrapping_sub(self.zero_packets.load(Ordering::Relaxed)),
            bytes: bytes.wrapping_sub(self.zero_bytes.load(Ordering::Relaxed)),
            used_ms: self.used_ms.load(Ordering::Relaxed),
            tcp_flags: self.tcp_flags.load(Ordering::Relaxed),
        }
    }

    /// The match, written to its place.
    fn store_match(&self, m: &mut Match) {
        *m = Match::ANY;
        self.mask.store_wildcards(&mut m.wc);
        PlainKey(self.key).store(&mut m.key);
        self.mask.store_beyond(self.beyond.iter().copied(), &mut m.key);
    }

    /// The actions as they are now, copied.
    fn copied(&self, guard: &Guard<'_>) -> Result<Vec<Action>, CommandError> {
        odp::try_copy(self.actions(guard)).ok_or(SHORT)
    }

    /// Appends what a dump shows of the flow; the list has room.
    fn list(&self, actions: Vec<Action>, flows: &mut Vec<FlowInfo>) {
        // the match is made straight in its place: on the way it would fill a kernel frame
        flows.push(FlowInfo { ufid: self.ufid, matched: Match::ANY, actions, stats: self.stats() });
        if let Some(info) = flows.last_mut() {
            self.store_match(&mut info.matched);
        }
    }
}

/// Packets of one megaflow in a row, counted together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub packets: u64,
    pub bytes: u64,
    pub tcp_flags: u16,
}

/// The actions of a command, worked out.
#[inline(never)]
fn program(put: &mut FlowPut) -> Option<Box<Program>> {
    try_box(Program::new(::core::mem::take(&mut put.actions)))
}

/// All megaflows.
pub(crate) struct FlowTable {
    flows: Arena<Megaflow>,
    tuples: TupleTable,
    /// Most flows that there may be.
    capacity: usize,
    writer: SpinLock<Writer>,
}

/// What only commands see.
struct Writer {
    /// Commands are a reader among others.
    reader: Reader,
    ufids: HashTable<(u64, u32)>,
    /// Most flows now.
    limit: usize,
    /// Where the search for a flow that makes way goes on.
    hand: u32,
    /// Flows that made way.
    evicted: u64,
}

/// A command at work.
struct Change<'a> {
    table: &'a FlowTable,
    workers: &'a Workers,
    guard: Guard<'a>,
    ufids: &'a mut HashTable<(u64, u32)>,
    limit: usize,
    hand: &'a mut u32,
    evicted: &'a mut u64,
    flows: ArenaWriter<'a, Megaflow>,
}

fn ufid_hash(ufid: Ufid) -> u64 {
    (ufid.0 as u64 ^ (ufid.0 >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

const SHORT: CommandError = CommandError::NoMemory;

impl FlowTable {
    /// An empty table for up to `limit` flows; `None` if memory is short.
    #[inline(never)]
    pub fn try_new(workers: &Workers, seed: u64, limit: usize) -> Option<FlowTable> {
        let reader = workers.register()?;
        let writer = Writer { reader, ufids: HashTable::new(), limit, hand: 0, evicted: 0 };
        Some(FlowTable {
            flows: Arena::try_new(workers, limit.checked_add(LIMBO)?)?,
            tuples: TupleTable::try_new(workers, seed)?,
            capacity: limit,
            writer: SpinLock::new(writer),
        })
    }

    /// Asks for the flow's first lines.
    #[inline]
    pub fn prefetch(&self, id: u32) {
        self.flows.prefetch(id);
    }

    /// Asks for what a lookup of a plain packet will read first.
    #[inline(never)]
    pub fn prefetch_lookup(&self, guard: &Guard<'_>, short: &PlainKey) {
        self.tuples.prefetch(guard, short);
    }

    /// Asks for the flows that such a lookup will compare first.
    #[inline(never)]
    pub fn prefetch_proposed(&self, guard: &Guard<'_>, short: &PlainKey) {
        self.tuples.proposed(guard, short).for_each(|id| self.flows.prefetch(id));
    }

    /// The flow with number `id`, if it is of that generation, of which the lower half is given.
    #[inline]
    pub fn current<'g>(&'g self, guard: &'g Guard<'_>, id: u32, generation: u16) -> Option<&'g Megaflow> {
        self.flows.get(guard, id).filter(|(now, _)| *now as u16 == generation).map(|(_, flow)| flow)
    }

    /// The flow that `key` hits, with its number and generation, and how many subtables were searched.
    #[inline(never)]
    pub fn lookup<'g>(
        &'g self,
        guard: &'g Guard<'_>,
        key: Sought<'_>,
    ) -> (Found<(u32, u16, &'g Megaflow)>, u32) {
        self.tuples.lookup(guard, key, |id| {
            let (generation, flow) = self.flows.get(guard, id)?;
            flow.hit(key).then_some((id, generation as u16, flow))
        })
    }

    #[inline(never)]
    fn begin<'a>(
        &'a self,
        workers: &'a Workers,
        writer: &'a mut SpinGuard<'_, Writer>,
    ) -> Result<Change<'a>, CommandError> {
        workers.collect();
        let Writer { reader, ufids, limit, hand, evicted } = &mut **writer;
        let guard = workers.enter(reader).ok_or(SHORT)?;
        Ok(Change {
            table: self,
            workers,
            guard,
            ufids,
            limit: *limit,
            hand,
            evicted,
            flows: self.flows.write(),
        })
    }

    /// Installs a flow or changes one. A new one beyond the limit takes the place of one that has not been used for long,
    /// which is returned.
    pub fn put(&self, workers: &Workers, put: &mut FlowPut) -> Result<Reply, CommandError> {
        odp::validate(&put.actions).map_err(CommandError::InvalidActions)?;
        let mut writer = self.writer.lock();
        let mut change = self.begin(workers, &mut writer)?;
        match (change.by_ufid(put.ufid), put.mode) {
            (Some(_), PutMode::Create) => Err(CommandError::Exists),
            (None, PutMode::Modify | PutMode::ModifyAndZero) => Err(CommandError::NotFound),
            (Some(id), _) => change.modify(id, put).map(|()| Reply::Done),
            (None, _) => change.create(put),
        }
    }

    /// Sets how many flows there may be, at most as many as the table was made for. Those beyond it stay until others
    /// come.
    pub fn set_limit(&self, limit: usize) {
        self.writer.lock().limit = limit.min(self.capacity);
    }

    /// Flows that made way for others.
    pub fn evicted(&self) -> u64 {
        self.writer.lock().evicted
    }

    pub fn remove(&self, workers: &Workers, ufid: Ufid) -> Result<Reply, CommandError> {
        let mut writer = self.writer.lock();
        self.begin(workers, &mut writer)?.remove(ufid)
    }

    pub fn get(&self, workers: &Workers, ufid: Ufid) -> Result<Reply, CommandError> {
        let mut writer = self.writer.lock();
        let change = self.begin(workers, &mut writer)?;
        change.one(change.by_ufid(ufid))
    }

    /// Gives a flow the counters that it had in another datapath; false if it is not there.
    pub fn credit(&self, workers: &Workers, ufid: Ufid, stats: &FlowStats) -> bool {
        let mut writer = self.writer.lock();
        self.begin(workers, &mut writer).is_ok_and(|change| change.credit(ufid, stats))
    }

    /// The flow with exactly this match, whose insignificant bits must be zero.
    pub fn find(&self, workers: &Workers, m: &Match) -> Result<Reply, CommandError> {
        let mut writer = self.writer.lock();
        let change = self.begin(workers, &mut writer)?;
        change.one(change.by_match(m))
    }

    /// The flow that a packet with this key hits.
    pub fn hit(&self, workers: &Workers, key: &FlowKey) -> Result<Reply, CommandError> {
        let mut writer = self.writer.lock();
        let change = self.begin(workers, &mut writer)?;
        let sought = Sought { short: &PlainKey::of(key), whole: Some(key) };
        let hit = match self.lookup(&change.guard, sought) {
            (Found::Hit((id, ..)), _) => Some(id),
            _ => None,
        };
        change.one(hit)
    }

    pub fn clear(&self, workers: &Workers) -> Result<Reply, CommandError> {
        let mut writer = self.writer.lock();
        self.begin(workers, &mut writer)?.clear()
    }

    /// Up to `max` flows from number `cursor` on, and where to go on.
    pub fn dump(&self, workers: &Workers, cursor: u32, max: usize) -> Result<Reply, CommandError> {
        let mut writer = self.writer.lock();
        self.begin(workers, &mut writer)?.dump(cursor, max)
    }

    /// Moves the subtables whose flows have had most packets to the front.
    pub fn sort_masks(&self, workers: &Workers) -> Result<Reply, CommandError> {
        let mut writer = self.writer.lock();
        let change = self.begin(workers, &mut writer)?;
        for flow in (0..change.flows.end()).filter_map(|id| change.flows.get(id)) {
            self.tuples.credit(&change.guard, &flow.mask, flow.stats().packets);
        }
        self.tuples.sort(workers, &change.guard).map(|()| Reply::Done).map_err(|_| SHORT)
    }

    /// Flows and masks.
    pub fn counts(&self, workers: &Workers) -> (u64, u64) {
        let mut writer = self.writer.lock();
        self.begin(workers, &mut writer)
            .map_or((0, 0), |c| (c.flows.len() as u64, self.tuples.masks(&c.guard) as u64))
    }
}

impl Change<'_> {
    fn by_ufid(&self, ufid: Ufid) -> Option<u32> {
        let same = |id: u32| self.flows.get(id).is_some_and(|f| f.ufid == ufid);
        self.ufids.find(ufid_hash(ufid), |(_, id)| same(*id)).map(|(_, id)| *id)
    }

    #[inline(never)]
    fn by_match(&self, m: &Match) -> Option<u32> {
        let short = PlainKey::of(&m.key);
        self.table.tuples.find(&self.guard, (&m.key, &m.wc), |id| {
            self.flows.get(id).filter(|f| f.matches(&short, &m.key)).map(|_| id)
        })
    }

    #[inline(never)]
    fn modify(&mut self, id: u32, put: &mut FlowPut) -> Result<(), CommandError> {
        let flow = self.flows.get(id).ok_or(CommandError::NotFound)?;
        let output = single_output(&put.actions);
        // A packet in between may still leave by the old actions, but by no third way.
        flow.output.store(NO_PORT, Ordering::Release);
        let actions = program(put).ok_or(SHORT);
        let done = actions.and_then(|list| flow.actions.replace(self.workers, list).map_err(|_| SHORT));
        let output = if done.is_ok() { output } else { single_output(flow.actions(&self.guard)) };
        flow.output.store(output, Ordering::Release);
        if done.is_ok() && put.mode == PutMode::ModifyAndZero {
            flow.zero();
        }
        done
    }

    #[inline(never)]
    fn create(&mut self, put: &mut FlowPut) -> Result<Reply, CommandError> {
        let Match { key, wc } = &mut put.matched;
        for (word, mask) in key.words_mut().iter_mut().zip(wc.words()) {
            *word &= mask;
        }
        if self.by_match(&put.matched).is_some() {
            return Err(CommandError::Exists);
        }
        let gone = if self.flows.len() < self.limit { Reply::Done } else { self.evict()? };
        if self.flows.is_full() {
            return Err(CommandError::Full);
        }
        self.enter(put)?;
        Ok(gone)
    }

    // apart from `create`, which has replies on its stack: kernel frames are small
    #[inline(never)]
    fn enter(&mut self, put: &mut FlowPut) -> Result<(), CommandError> {
        self.ufids.try_reserve(1, |(hash, _)| *hash).map_err(|_| SHORT)?;
        let mask = self.table.tuples.mask(&self.guard, &put.matched.wc).map_err(|_| SHORT)?;
        let id = self.place(put, &mask)?;
        let key = (&put.matched.key, &mask);
        if self.table.tuples.insert(self.workers, &self.guard, key, id).is_err() {
            self.flows.remove(self.workers, id);
            return Err(SHORT);
        }
        let hash = ufid_hash(put.ufid);
        self.ufids.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        Ok(())
    }

    /// Removes the flow that was used longest ago of some that are spread over the table: flows made together may be in
    /// use together. The hand moves on by one, so that a new flow has time to be used before it is looked at.
    #[inline(never)]
    fn evict(&mut self) -> Result<Reply, CommandError> {
        let end = self.flows.end();
        let stride = end / CANDIDATES as u32 + 1;
        let (mut at, mut oldest) = (*self.hand, None);
        // A second round where the first found only slots that are free.
        for i in 0..2 * end {
            if i >= CANDIDATES as u32 && oldest.is_some() {
                break;
            }
            at = if i < CANDIDATES as u32 { at.saturating_add(stride) } else { at + 1 };
            at = at.checked_rem(end).unwrap_or(0);
            if let Some(flow) = self.flows.get(at) {
                let used = flow.used_ms.load(Ordering::Relaxed);
                if oldest.is_none_or(|(least, _)| used < least) {
                    oldest = Some((used, flow.ufid));
                }
            }
        }
        *self.hand = (*self.hand + 1).checked_rem(end).unwrap_or(0);
        let (_, ufid) = oldest.ok_or(CommandError::Full)?;
        let gone = self.remove(ufid)?;
        *self.evicted = self.evicted.wrapping_add(1);
        Ok(gone)
    }

    /// Makes the entry, which no lookup finds yet.
    #[inline(never)]
    fn place(&mut self, put: &mut FlowPut, mask: &Shared<TupleMask>) -> Result<u32, CommandError> {
        let mut beyond = Vec::new();
        beyond.try_reserve_exact(mask.beyond(&put.matched.key).count()).map_err(|_| SHORT)?;
        beyond.extend(mask.beyond(&put.matched.key));
        let output = single_output(&put.actions);
        let actions = program(put).ok_or(SHORT)?;
        let zero = || AtomicU64::new(0);
        let flow = Megaflow {
            key: PlainKey::of(&put.matched.key).0,
            mask: mask.clone(),
            actions: Published::new(self.workers, actions),
            output: AtomicU32::new(output),
            tcp_flags: AtomicU16::new(0),
            is_plain: mask.serves_plain() && beyond.iter().all(|word| *word == 0),
            owner: AtomicU8::new(NOBODY),
            packets: zero(),
            bytes: zero(),
            used_ms: zero(),
            others_packets: zero(),
            others_bytes: zero(),
            zero_packets: zero(),
            zero_bytes: zero(),
            ufid: put.ufid,
            beyond: beyond.into_boxed_slice(),
        };
        self.flows.insert(self.workers, flow).map_err(|_| SHORT)
    }

    #[inline(never)]
    fn remove(&mut self, ufid: Ufid) -> Result<Reply, CommandError> {
        let id = self.by_ufid(ufid).ok_or(CommandError::NotFound)?;
        let mut flows = Vec::new();
        flows.try_reserve_exact(1).map_err(|_| SHORT)?;
        let flow = self.flows.get(id).ok_or(CommandError::NotFound)?;
        let mask = flow.mask.clone();
        flow.list(flow.copied(&self.guard)?, &mut flows);
        if let Ok(entry) = self.ufids.find_entry(ufid_hash(ufid), |(_, other)| *other == id) {
            entry.remove();
        }
        if let Some(info) = flows.first() {
            self.table.tuples.remove(self.workers, &self.guard, (&info.matched.key, &mask), id);
        }
        self.flows.remove(self.workers, id);
        Ok(Reply::Flows { flows, next: None })
    }

    #[inline(never)]
    fn one(&self, id: Option<u32>) -> Result<Reply, CommandError> {
        let flow = id.and_then(|id| self.flows.get(id)).ok_or(CommandError::NotFound)?;
        let mut flows = Vec::new();
        flows.try_reserve_exact(1).map_err(|_| SHORT)?;
        flow.list(flow.copied(&self.guard)?, &mut flows);
        Ok(Reply::Flows { flows, next: None })
    }

    /// Counts for the flow with this identifier; false if it is not there.
    fn credit(&self, ufid: Ufid, s: &FlowStats) -> bool {
        let flow = self.by_ufid(ufid).and_then(|id| self.flows.get(id));
        flow.is_some_and(|flow| {
            flow.add(s);
            true
        })
    }

    fn clear(&mut self) -> Result<Reply, CommandError> {
        self.table.tuples.clear(self.workers).map_err(|_| SHORT)?;
        self.ufids.clear();
        for id in 0..self.flows.end() {
            self.flows.remove(self.workers, id);
        }
        Ok(Reply::Done)
    }

    #[inline(never)]
    fn dump(&self, cursor: u32, max: usize) -> Result<Reply, CommandError> {
        let mut flows = Vec::new();
        flows.try_reserve_exact(max.min(self.flows.len())).map_err(|_| SHORT)?;
        for id in cursor..self.flows.end() {
            let Some(flow) = self.flows.get(id) else { continue };
            if flows.len() >= max {
                return Ok(Reply::Flows { flows, next: Some(id) });
            }
            flow.list(flow.copied(&self.guard)?, &mut flows);
        }
        Ok(Reply::Flows { flows, next: None })
    }
}

#[cfg(test)]
mod tests;
