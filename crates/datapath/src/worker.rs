//! The worker: runs batches of packets through the tables.
//!
//! Where it sits: one for each CPU or polling thread, owned by the host and never shared. It borrows the
//! [`Datapath`]'s tables for the length of a call.
//!
//! ~~~text
//! pass:  extract all keys ─► probe the cache for all ─► look misses up ─► execute each, in order
//!   ▲                                                                        │ recirc
//!   └────────────────────────── next pass, at most 8 ◄───────────────────────┘
//! ~~~
//!
//! I1  A packet that recirculates goes into the next pass behind those before it, so packets of one flow keep their
//!     order.
//! I2  Scratch lives here, not on the stack: kernel frames stay under 1 KiB.
//!
//! Context: any thread; DISPATCH_LEVEL on Windows. Allocates only in [`Worker::try_new`].
//! Next: `cache.rs`, then `classifier/src/lib.rs`, then `execute.rs`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use classifier::hash_key;
use flow::{FlowKey, Layers};
use odp::Action;
use packet::{BATCH, Batch, DropReason, Now, PacketBuf, PacketMeta};
use sync::Reader;

use crate::cache::FlowCache;
use crate::counters::Tally;
use crate::egress::{Queues, Upcall};
use crate::execute::{Executor, Stack, Start};
use crate::flows::{FlowTable, Megaflow};
use crate::{Datapath, Egress, Host, UpcallKind};

/// How often a packet may recirculate.
const MAX_PASSES: usize = 8;
/// Packets that wait for the next pass: a batch, and clones that recirculate.
pub(crate) const WAITING: usize = 4 * BATCH;

/// Runs packets. `B` is the host's buffer.
pub struct Worker<B> {
    cache: FlowCache,
    queues: Queues<B>,
    /// Packets for the next pass.
    waiting: Vec<(PacketMeta, B)>,
    /// Packets of this pass.
    work: Vec<(PacketMeta, B)>,
    stack: Stack<B>,
    /// Keys of the packets of one stage: half a kilobyte each.
    keys: Box<[FlowKey]>,
    found: Vec<Found>,
    tally: Tally,
    random: u64,
    /// The slot among the datapath's workers; taken with the first batch.
    reader: Option<Reader>,
}

/// What the stages before execution know of a packet.
#[derive(Clone, Copy, Default)]
struct Found {
    layers: Layers,
    hash: u64,
    /// Slot and generation of the megaflow.
    flow: Option<(u32, u32)>,
}

/// Packets of one megaflow in a row, counted together.
#[derive(Default)]
struct Run<'a> {
    flow: Option<&'a Megaflow>,
    packets: u64,
    bytes: u64,
    tcp_flags: u16,
}

fn try_list<T>(n: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(n).ok()?;
    Some(list)
}

impl<B: PacketBuf> Worker<B> {
    /// A worker with all the memory it will ever use; `None` if memory is short. `seed` makes its random choices.
    pub fn try_new(seed: u64) -> Option<Worker<B>> {
        let mut keys = try_list(BATCH)?;
        keys.resize(BATCH, FlowKey::ZERO);
        let mut found = try_list(BATCH)?;
        found.resize(BATCH, Found::default());
        Some(Worker {
            cache: FlowCache::try_new()?,
            queues: Queues::try_new()?,
            waiting: try_list(WAITING)?,
            work: try_list(WAITING)?,
            stack: Stack::try_new()?,
            keys: keys.into_boxed_slice(),
            found,
            tally: Tally::default(),
            random: seed | 1,
            reader: None,
        })
    }

    /// Takes a slot among the workers of `dp`, unless it has one; false if all are taken, in which case every packet is
    /// dropped.
    pub fn attach(&mut self, dp: &Datapath) -> bool {
        if self.reader.as_ref().is_none_or(|reader| dp.workers.local(reader).is_none()) {
            self.reader = dp.workers.register();
        }
        self.reader.is_some()
    }

    /// Gives the slot back: a worker that ends before its datapath must call this.
    pub fn detach(&mut self, dp: &Datapath) {
        if let Some(reader) = self.reader.take() {
            dp.workers.leave(reader);
        }
    }

    /// The slot among the datapath's workers, by which [`Datapath::worker_stats`] is asked.
    pub fn slot(&self) -> Option<usize> {
        self.reader.as_ref().map(Reader::slot)
    }

    /// Counts packets that the host dropped behind this worker.
    pub fn count_drops(&mut self, dp: &Datapath, reason: DropReason, n: u64) {
        self.tally.drops.add(reason, n);
        if let Some(totals) = self.reader.as_ref().and_then(|reader| dp.workers.local(reader)) {
            totals.take(&mut self.tally);
        }
    }

    /// Consumes every packet of `batch` exactly once: into [`Worker::egress`], or counted as dropped.
    pub fn process(&mut self, dp: &Datapath, host: &mut impl Host<B>, now: Now, batch: &mut Batch<B>) {
        self.waiting.extend(batch.drain());
        self.passes(dp, host, now);
    }

    /// Executes `actions`, which are valid ([`odp::validate`]), on one packet (`OVS_PACKET_CMD_EXECUTE`).
    // apart from its caller: kernel frames are small
    #[inline(never)]
    pub fn execute(
        &mut self,
        dp: &Datapath,
        host: &mut impl Host<B>,
        now: Now,
        (meta, mut buf): (PacketMeta, B),
        actions: &[Action],
    ) {
        if let Some(key) = self.keys.first_mut()
            && let Some(layers) = extract(dp, &meta, &mut buf, key)
        {
            let (queues, waiting, stack) = (&mut self.queues, &mut self.waiting, &mut self.stack);
            let (tally, random) = (&mut self.tally, &mut self.random);
            let mut executor =
                Executor { dp, host, now, queues, waiting, stack, tally, random, key, stale: false };
            executor.begin((meta, buf), layers, Start { actions, flow: None });
        } else {
            self.tally.drops.add(DropReason::RuntFrame, 1);
        }
        self.passes(dp, host, now);
    }

    /// What the last calls left for the host.
    pub fn egress(&mut self) -> Egress<'_, B> {
        Egress(&mut self.queues)
    }

    /// Runs passes until no packet recirculates any more.
    fn passes(&mut self, dp: &Datapath, host: &mut impl Host<B>, now: Now) {
        self.attach(dp);
        let Some(reader) = self.reader.take() else {
            dp.count_drops(DropReason::NoMemory, self.waiting.len() as u64);
            self.waiting.clear();
            return;
        };
        let table = dp.flows.read();
        for pass in 0..MAX_PASSES {
            if self.waiting.is_empty() {
                break;
            }
            if pass != 0 {
                self.tally.recirculated += self.waiting.len() as u64;
            }
            ::core::mem::swap(&mut self.waiting, &mut self.work);
            let mut work = ::core::mem::take(&mut self.work);
            while !work.is_empty() {
                self.stage(dp, &table, host, now, &mut work);
            }
            self.work = work;
        }
        drop(table);
        self.tally.drops.add(DropReason::RecircLimit, self.waiting.len() as u64);
        self.waiting.clear();
        if let Some(totals) = dp.workers.local(&reader) {
            totals.take(&mut self.tally);
        }
        self.reader = Some(reader);
    }

    // apart from `passes`, as `miss` and others are from this: kernel frames are small
    #[inline(never)]
    /// Takes the first packets of `work`, at most a batch, through all stages.
    fn stage(
        &mut self,
        dp: &Datapath,
        table: &FlowTable,
        host: &mut impl Host<B>,
        now: Now,
        work: &mut Vec<(PacketMeta, B)>,
    ) {
        let n = work.len().min(BATCH);
        let slots = self.keys.iter_mut().zip(&mut self.found);
        for ((meta, buf), (key, found)) in work.iter_mut().zip(slots) {
            let layers = extract(dp, meta, buf, key);
            *found = Found { layers: layers.unwrap_or_default(), hash: hash_key(key, dp.seed), flow: None };
        }
        for (key, found) in self.keys.iter().zip(&mut self.found).take(n) {
            find(table, &mut self.cache, &mut self.tally, key, found);
        }
        let mut run = Run::default();
        let mut items = work.drain(..n);
        for at in 0..n {
            self.next((dp, table, &mut *host), now, at, &mut items, &mut run);
        }
        run.credit(None, now);
    }

    /// Takes the `at`-th packet of a stage from `items`.
    // apart from `stage` and `act`: each holds packets by value
    #[inline(never)]
    fn next<'t>(
        &mut self,
        tables: (&Datapath, &'t FlowTable, &mut impl Host<B>),
        now: Now,
        at: usize,
        items: &mut alloc::vec::Drain<'_, (PacketMeta, B)>,
        run: &mut Run<'t>,
    ) {
        if let Some(item) = items.next() {
            self.act(tables, now, at, item, run);
        }
    }

    /// Has the `at`-th packet of a stage go the way that was found for it.
    #[inline(never)]
    fn act<'t>(
        &mut self,
        (dp, table, host): (&Datapath, &'t FlowTable, &mut impl Host<B>),
        now: Now,
        at: usize,
        item: (PacketMeta, B),
        run: &mut Run<'t>,
    ) {
        let (Some(key), Some(found)) = (self.keys.get_mut(at), self.found.get(at)) else { return };
        if is_runt(&item.0, item.1.len()) {
            return self.tally.drops.add(DropReason::RuntFrame, 1);
        }
        let Some(flow) = found.flow.and_then(|(slot, generation)| table.current(slot, generation)) else {
            return miss(&mut self.queues, &mut self.tally, key, item);
        };
        if run.flow.is_none_or(|last| !::core::ptr::eq(last, flow)) {
            run.credit(Some(flow), now);
        }
        run.packets += 1;
        run.bytes += item.1.len() as u64;
        run.tcp_flags |= key.tcp_flags();
        let (queues, waiting, stack) = (&mut self.queues, &mut self.waiting, &mut self.stack);
        let (tally, random) = (&mut self.tally, &mut self.random);
        let mut executor =
            Executor { dp, host, now, queues, waiting, stack, tally, random, key, stale: false };
        executor.begin(item, found.layers, Start { actions: &flow.actions, flow: Some(flow.ufid) });
    }
}

/// Queues a packet that no flow matched for the switch.
#[inline(never)]
fn miss<B>(queues: &mut Queues<B>, tally: &mut Tally, key: &FlowKey, (meta, packet): (PacketMeta, B)) {
    if !queues.upcall(Upcall { kind: UpcallKind::Miss, key: *key, meta, packet }) {
        tally.lost += 1;
        tally.drops.add(DropReason::UpcallQueueFull, 1);
    }
}

impl<'a> Run<'a> {
    /// Adds the run to its flow and begins another, of `next`.
    fn credit(&mut self, next: Option<&'a Megaflow>, now: Now) {
        let run = ::core::mem::replace(self, Run { flow: next, ..Run::default() });
        if let Some(flow) = run.flow {
            flow.count(run.packets, run.bytes, now.mono.as_millis(), run.tcp_flags);
        }
    }
}

/// A frame without a whole Ethernet header; what is no frame needs none.
fn is_runt(meta: &PacketMeta, len: usize) -> bool {
    meta.packet_type == 0 && len < wire::eth::HEADER_LEN
}

/// Makes headers contiguous and fills the key; `None` for a frame without a whole Ethernet header.
fn extract<B: PacketBuf>(dp: &Datapath, meta: &PacketMeta, buf: &mut B, key: &mut FlowKey) -> Option<Layers> {
    let ready = buf.pull_up(flow::extract::HEADER_BYTES);
    if !ready || is_runt(meta, buf.len()) {
        *key = FlowKey::ZERO;
        return None;
    }
    Some(flow::extract(meta, buf.head(), buf.len(), dp.vlan_limit, key))
}

/// Finds a packet's megaflow: by the cache, or by all masks.
fn find(table: &FlowTable, cache: &mut FlowCache, tally: &mut Tally, key: &FlowKey, found: &mut Found) {
    let cached = cache
        .probe(found.hash)
        .find(|(slot, generation)| table.current(*slot, *generation).is_some_and(|f| f.matched.matches(key)));
    if cached.is_some() {
        found.flow = cached;
        tally.hits += 1;
        tally.cache_hits += 1;
        return;
    }
    let (flow, searched) = table.lookup(key);
    tally.masks_searched += u64::from(searched);
    found.flow = flow;
    match flow {
        Some((slot, generation)) => {
            cache.insert(found.hash, slot, generation);
            tally.hits += 1;
        }
        None => tally.misses += 1,
    }
}

#[cfg(test)]
mod tests;
