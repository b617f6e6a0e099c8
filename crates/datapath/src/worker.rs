//! The worker: runs batches of packets through the tables.
//!
//! Where it sits: one for each CPU or polling thread, owned by the host and never shared. It borrows the
//! [`Datapath`]'s tables for the length of a call.
//!
//! ~~~text
//! pass:  read all short keys ─► probe the cache for all ─► each, in order: verify, or look up; execute
//!   ▲      (ask for buckets)       (ask for megaflows)                           │ recirc
//!   └────────────────────────── next pass, at most 8 ◄───────────────────────────┘
//! ~~~
//!
//! I1  A packet that recirculates goes into the next pass behind those before it, so packets of one flow keep their
//!     order.
//! I2  Scratch lives here, not on the stack: kernel frames stay under 1 KiB.
//! I3  Each stage asks for the memory that the next one reads, for all packets, before any of it is read.
//!
//! Context: any thread; DISPATCH_LEVEL on Windows. Allocates only in [`Worker::try_new`].
//! Next: `worker/read.rs`, `cache.rs`, then `classifier/src/lib.rs`, then `quick.rs` and `execute.rs`.

use ::core::iter::{Take, once};
mod read;

use alloc::boxed::Box;
use alloc::vec::Vec;

use classifier::{Found, Sought};
use flow::FlowKey;
use odp::Action;
use packet::{BATCH, Batch, DropReason, InPlace, MetaMut, Now, OdpPort, PacketBuf, PacketMeta, TunnelKey};
use sync::{Guard, Reader, try_box, try_box_with};
use tunnel::Reassembly;

use crate::cache::{FlowCache, Successors};
use crate::counters::Tally;
use crate::egress::Queues;
use crate::execute::{Executor, Known, Stack, Start};
use crate::flows::{Megaflow, Run};
use crate::fragments;
use crate::plan::{Plan, Program};
use crate::quick::Carried;
use crate::{Datapath, Egress, Host, UpcallKind};

use read::NO_HINT;
pub(crate) use read::{Kind, Slot};

/// How often a packet may recirculate.
const MAX_PASSES: usize = 8;
/// Packets of a pass at most: a batch, and clones that recirculate.
const WAITING: usize = 4 * BATCH;

/// Runs packets. `B` is the host's buffer.
pub struct Worker<B> {
    desk: Box<Desk<B>>,
    /// A packet that actions are executed on.
    single: Batch<B>,
    /// Packets of a later pass.
    later: Batch<B>,
    /// The slot among the datapath's workers; taken with the first batch.
    reader: Option<Reader>,
}

/// What a pass works with.
pub(crate) struct Desk<B> {
    cache: FlowCache,
    pub queues: Queues<B>,
    /// Packets for the next pass.
    pub waiting: Batch<B>,
    stack: Stack<B>,
    /// What is known of each packet of a pass that does not repeat the one before.
    slots: Vec<Slot>,
    /// What is known of a packet of which nothing is known but its port.
    fresh: Box<PacketMeta>,
    /// What is known of the packets in `waiting`.
    pub carried: Carried,
    /// Megaflows that packets hit in later passes.
    pub successors: Successors,
    /// The zone in which packets were tracked last, if any were in the last batch: the next ones will be.
    pub zone: Option<u16>,
    /// Frames of STT tunnels of which segments are missing.
    stt: Reassembly<B>,
    /// Where datagrams are put together of their fragments.
    datagram: Vec<u8>,
    /// Whole keys of those packets of a pass that are not plain: three quarters of a kilobyte each.
    keys: Box<[FlowKey]>,
    pub tally: Box<Tally>,
    random: u64,
    /// The number of the worker's slot.
    pub number: u8,
}

/// Where a pass runs.
pub(crate) struct Pass<'a> {
    pub dp: &'a Datapath,
    pub guard: &'a Guard<'a>,
    pub now: Now,
    pub now_ms: u64,
    /// Which packets' keys are known already.
    known: u128,
    /// Packets have been round before.
    is_later: bool,
}

fn try_list<T: Clone>(n: usize, value: T) -> Option<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(n).ok()?;
    list.resize(n, value);
    Some(list)
}

#[inline(never)]
fn try_keys() -> Option<Box<[FlowKey]>> {
    let mut list = Vec::new();
    list.try_reserve_exact(WAITING).ok()?;
    list.resize(WAITING, FlowKey::ZERO);
    Some(list.into_boxed_slice())
}

#[inline(never)]
fn try_meta() -> Option<Box<PacketMeta>> {
    try_box(PacketMeta::default())
}

#[inline(never)]
fn try_tally() -> Option<Box<Tally>> {
    try_box(Tally::default())
}

impl<B: PacketBuf> Worker<B> {
    /// A worker with all the memory it will ever use; `None` if memory is short. `seed` makes its random choices.
    pub fn try_new(seed: u64) -> Option<Worker<B>> {
        let desk = try_box_with(|| Desk::try_new(seed))?;
        let (single, later) = (Batch::try_with_capacity(1)?, Batch::try_with_capacity(WAITING)?);
        Some(Worker { desk, single, later, reader: None })
    }

    /// Takes a slot among the workers of `dp`, unless it has one; false if all are taken, in which case every packet is
    /// dropped.
    pub fn attach(&mut self, dp: &Datapath) -> bool {
        if self.reader.as_ref().is_none_or(|reader| dp.workers.local(reader).is_none()) {
            self.reader = dp.workers.register();
            self.desk.number = self.slot().map_or(0, |slot| slot as u8);
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
        self.desk.tally.count_drops(reason, n);
        if let Some(totals) = self.reader.as_ref().and_then(|reader| dp.workers.local(reader)) {
            totals.take(&mut self.desk.tally);
        }
    }

    /// Consumes every packet of `batch` exactly once: into [`Worker::egress`], or counted as dropped.
    pub fn process(&mut self, dp: &Datapath, host: &mut impl Host<B>, now: Now, batch: &mut Batch<B>) {
        self.attach(dp);
        let Worker { desk, later, reader, .. } = self;
        passes((desk, later, reader), dp, host, now, batch, None);
    }

    /// Executes `actions`, which are valid ([`odp::validate`]), on one packet (`OVS_PACKET_CMD_EXECUTE`).
    // apart from its caller: kernel frames are small
    #[inline(never)]
    pub fn execute(
        &mut self,
        dp: &Datapath,
        host: &mut impl Host<B>,
        now: Now,
        (meta, buf): (PacketMeta, B),
        actions: &[Action],
    ) {
        self.attach(dp);
        let Worker { desk, later, reader, single } = self;
        // The batch is empty between calls.
        if single.push(meta, buf).is_ok() {
            passes((desk, later, reader), dp, host, now, single, Some(actions));
        }
    }

    /// What the last calls left for the host.
    pub fn egress(&mut self) -> Egress<'_, B> {
        Egress(&mut self.desk.queues)
    }
}

/// Runs passes until no packet recirculates any more; the first one with `actions` if given, instead of looking flows
/// up.
fn passes<B: PacketBuf>(
    (desk, later, reader): (&mut Desk<B>, &mut Batch<B>, &mut Option<Reader>),
    dp: &Datapath,
    host: &mut impl Host<B>,
    now: Now,
    work: &mut Batch<B>,
    actions: Option<&[Action]>,
) {
    let Some(mut own) = reader.take() else {
        dp.count_drops(DropReason::NoMemory, work.len() as u64);
        work.drain_bufs().for_each(drop);
        return;
    };
    if let Some(guard) = dp.workers.enter(&mut own) {
        let now_ms = now.mono.as_millis();
        let mut pass = Pass { dp, guard: &guard, now, now_ms, known: 0, is_later: false };
        match actions {
            None => desk.pass(&pass, host, work),
            Some(actions) => desk.execute(&pass, host, work, actions),
        }
        for _ in 1..MAX_PASSES {
            if desk.waiting.is_empty() {
                break;
            }
            desk.tally.recirculated += desk.waiting.len() as u64;
            ::core::mem::swap(&mut desk.waiting, later);
            ::core::mem::swap(&mut desk.slots, &mut desk.carried.slots);
            (pass.known, pass.is_later) = (desk.carried.take(), true);
            desk.pass(&pass, host, later);
        }
    }
    desk.carried.take();
    for (mut meta, _) in desk.waiting.drain_in_place() {
        desk.tally.drop_of(meta.get().in_port, DropReason::RecircLimit);
    }
    if desk.tally.has_ports() {
        dp.port_drops.lock().take(&mut desk.tally.by_port);
    }
    if let Some(totals) = dp.workers.local(&own) {
        totals.take(&mut desk.tally);
    }
    *reader = Some(own);
}

impl<B: PacketBuf> Desk<B> {
    // apart, as the tally is: both are large, and kernel frames are small
    #[inline(never)]
    fn try_new(seed: u64) -> Option<Desk<B>> {
        Some(Desk {
            cache: FlowCache::try_new()?,
            queues: Queues::try_new()?,
            waiting: Batch::try_with_capacity(WAITING)?,
            stack: Stack::try_new()?,
            slots: Slot::try_list(WAITING)?,
            fresh: try_meta()?,
            carried: Carried::try_new(WAITING)?,
            successors: Successors::default(),
            zone: None,
            stt: Reassembly::try_new()?,
            datagram: fragments::try_room()?,
            keys: try_keys()?,
            tally: try_tally()?,
            random: seed | 1,
            number: 0,
        })
    }

    /// Takes all packets of `work` through all stages.
    fn pass(&mut self, pass: &Pass<'_>, host: &mut impl Host<B>, work: &mut Batch<B>) {
        let count = self.read(pass, work);
        self.propose(pass, count);
        let (mut train, mut next) = (Train::default(), Train::default());
        let zone = if pass.is_later { None } else { self.zone.take() };
        let mut work = work.drain_in_place();
        // Taken out, so that they can be read while packets are executed.
        let slots = ::core::mem::take(&mut self.slots);
        for (part, slots) in slots.get(..count).unwrap_or_default().chunks(BATCH).enumerate() {
            let mut flows = [None; BATCH];
            self.hit(pass, slots, &mut flows);
            if let Some(zone) = zone.filter(|_| pass.dp.conntrack().is_large()) {
                prefetch_connections(pass, slots, zone);
            }
            for (i, (slot, flow)) in slots.iter().zip(&flows).enumerate() {
                let packet = (part * BATCH + i, slot);
                self.act(pass, host, packet, *flow, &mut work, (&mut train, &mut next));
            }
        }
        drop(work);
        self.slots = slots;
        train.credit(self.number, pass.now_ms);
        next.credit(self.number, pass.now_ms);
    }

    /// Finds the megaflows that the cache proposes, where the short key tells that they match.
    #[inline]
    fn hit<'g>(&mut self, pass: &Pass<'g>, slots: &[Slot], flows: &mut [Option<&'g Megaflow>; BATCH]) {
        let (table, mut hits) = (&pass.dp.flows, 0);
        for (slot, found) in slots.iter().zip(flows) {
            let (id, generation) = slot.hint;
            if let Some(flow) = table.current(pass.guard, id, generation)
                && slot.kind == Kind::Plain
                && flow.matches_plain(&slot.short)
            {
                hits += 1;
                *found = Some(flow);
                if pass.is_later {
                    self.successors.insert(&slot.short, id, generation);
                }
            }
        }
        self.tally.hits += hits;
        self.tally.cache_hits += hits;
    }

    /// Executes what the flow of a packet says on it and on those that repeat it.
    #[inline(always)]
    fn act<'g, 'w>(
        &mut self,
        pass: &Pass<'g>,
        host: &mut impl Host<B>,
        (at, slot): (usize, &Slot),
        flow: Option<&'g Megaflow>,
        work: &mut InPlace<'w, B>,
        (train, next): (&mut Train<'g>, &mut Train<'g>),
    ) {
        let Some((mut meta, buf)) = work.next() else { return };
        let behind = slot.behind;
        let Some(flow) = flow.or_else(|| self.search(pass, (at, slot), meta.get())) else {
            train.leave(self.number, pass.now_ms);
            return self.miss((at, slot), (meta, buf), work);
        };
        train.join(flow, self.number, pass.now_ms);
        train.count(1 + u64::from(behind), u64::from(slot.len), slot.short.tcp_flags());
        match flow.output() {
            // A port that is a tunnel's takes more than that. What is known of no packet need not be looked at.
            Some(port) if meta.is_fresh() || meta.get().tunnel.flags & TunnelKey::SEND == 0 => {
                if !self.queues.transmit(OdpPort(port), buf) {
                    self.tally.drop_of(meta.get().in_port, DropReason::WorklistFull);
                }
                if behind == 0 {
                    return;
                }
                for _ in 0..self.queues.transmit_all(OdpPort(port), work.bufs(behind as usize)) {
                    self.tally.drop_of(meta.get().in_port, DropReason::WorklistFull);
                }
            }
            _ => {
                let packets = (meta, buf, work.take(behind as usize));
                self.follow(pass, host, (at, slot, flow), packets, next);
            }
        }
        self.tally.hits += u64::from(behind);
        self.tally.cache_hits += u64::from(behind);
    }

    /// Sends a group of packets that hit no flow to the switch. Each is a miss of its own.
    #[inline(never)]
    fn miss(&mut self, (at, slot): (usize, &Slot), (meta, buf): (MetaMut<'_>, B), work: &mut InPlace<'_, B>) {
        self.no_flow((at, slot), meta, buf);
        for (meta, buf) in work.take(slot.behind as usize) {
            self.tally.misses += 1;
            self.no_flow((at, slot), meta, buf);
        }
    }

    /// Does what a flow's plan says to packets with one key.
    #[inline(never)]
    fn follow<'g, 'w>(
        &mut self,
        pass: &Pass<'g>,
        host: &mut impl Host<B>,
        (at, slot, flow): (usize, &Slot, &'g Megaflow),
        packets: (MetaMut<'w>, B, Take<&mut InPlace<'w, B>>),
        next: &mut Train<'g>,
    ) {
        let plan = flow.program(pass.guard).filter(|_| slot.kind == Kind::Plain);
        if let Some(Program { list, plan: Plan::Track(track) }) = plan {
            return self.track(pass, host, (at, slot, flow), packets, (list, track), next);
        }
        let (meta, buf, more) = packets;
        let packets = once((meta, buf)).chain(more);
        match plan {
            Some(Program { list, plan: Plan::Rewrite { patch, then, output } }) => {
                let rest = list.get(*then..).unwrap_or_default();
                let port = output.unwrap_or(OdpPort::NONE);
                for (mut meta, mut buf) in packets {
                    let is_changed = (meta.is_fresh() || meta.get().tunnel.flags & TunnelKey::SEND == 0)
                        && slot.rewrite(patch, &mut buf);
                    if is_changed && output.is_some() {
                        if !self.queues.transmit(port, buf) {
                            self.tally.drop_of(meta.get().in_port, DropReason::WorklistFull);
                        }
                        continue;
                    }
                    let actions = if is_changed { rest } else { list };
                    self.interpret(pass, host, (at, slot, flow), (meta, buf), (actions, is_changed));
                }
            }
            _ => {
                let actions = flow.actions(pass.guard);
                for packet in packets {
                    self.interpret(pass, host, (at, slot, flow), packet, (actions, false));
                }
            }
        }
    }

    /// Interprets a flow's actions, which may be the rest of them: then the packet is changed already.
    #[inline(never)]
    pub fn interpret(
        &mut self,
        pass: &Pass<'_>,
        host: &mut impl Host<B>,
        (at, slot, flow): (usize, &Slot, &Megaflow),
        (meta, buf): (MetaMut<'_>, B),
        (actions, is_changed): (&[Action], bool),
    ) {
        let start = Start { actions, flow: Some(flow.ufid), is_changed };
        self.run(pass, host, (at, slot), (meta.into_mut(), buf), &start);
    }

    /// Has the cache propose a megaflow for each of the first `count` that are looked up, and asks for those; for packets
    /// of which it knows nothing, asks for what the tables propose.
    fn propose(&mut self, pass: &Pass<'_>, count: usize) {
        let flows = &pass.dp.flows;
        let mut unknown = 0;
        for slot in self.slots.iter_mut().take(count) {
            slot.hint = self.cache.probe(slot.hash).next().unwrap_or(NO_HINT);
            if slot.hint != NO_HINT {
                flows.prefetch(slot.hint.0);
            } else if slot.kind == Kind::Plain {
                unknown += 1;
                flows.prefetch_lookup(pass.guard, &slot.short);
            }
        }
        if unknown > 1 {
            for slot in
                self.slots.iter().take(count).filter(|slot| slot.kind == Kind::Plain && slot.hint == NO_HINT)
            {
                flows.prefetch_proposed(pass.guard, &slot.short);
            }
        }
    }

    /// The megaflow of the packet at a place, where one look at the cache was not enough.
    #[inline(never)]
    fn search<'g>(
        &mut self,
        pass: &Pass<'g>,
        (at, slot): (usize, &Slot),
        meta: &PacketMeta,
    ) -> Option<&'g Megaflow> {
        let key = self.keys.get_mut(at)?;
        let (short, table, guard) = (&slot.short, &pass.dp.flows, pass.guard);
        if slot.kind == Kind::Runt {
            return None;
        }
        let mut whole = slot.kind == Kind::Whole;
        for (id, generation) in self.cache.probe(slot.hash) {
            let Some(flow) = table.current(guard, id, generation) else { continue };
            if !whole && !flow.matches_plain(short) {
                short.to_key(meta, key);
                whole = true;
            }
            if !whole || flow.matches(short, key) {
                self.tally.hits += 1;
                self.tally.cache_hits += 1;
                return Some(flow);
            }
        }
        let (mut found, mut searched) = table.lookup(guard, Sought { short, whole: whole.then_some(&*key) });
        if found.needs_whole() {
            short.to_key(meta, key);
            let (again, more) = table.lookup(guard, Sought { short, whole: Some(key) });
            (found, searched) = (again, searched + more);
        }
        self.tally.masks_searched += u64::from(searched);
        let Found::Hit((id, generation, flow)) = found else {
            self.tally.misses += 1;
            return None;
        };
        self.cache.insert(slot.hash, id, generation);
        self.tally.hits += 1;
        Some(flow)
    }

    /// Queues a packet that no flow matched for the switch; a runt ends here.
    #[inline(never)]
    fn no_flow(&mut self, (at, slot): (usize, &Slot), mut meta: MetaMut<'_>, packet: B) {
        let Some(key) = self.keys.get_mut(at) else { return };
        match slot.kind {
            Kind::Runt => return self.tally.drop_of(meta.get().in_port, DropReason::RuntFrame),
            Kind::Plain => slot.short.to_key(meta.get(), key),
            Kind::Whole => {}
        }
        if !self.queues.upcall(UpcallKind::Miss, (key, meta.get()), packet) {
            self.tally.lost += 1;
            self.tally.drop_of(meta.get().in_port, DropReason::UpcallQueueFull);
        }
    }

    /// Executes actions on the packet at a place.
    #[inline(never)]
    fn run(
        &mut self,
        pass: &Pass<'_>,
        host: &mut impl Host<B>,
        (at, slot): (usize, &Slot),
        (meta, buf): (&mut PacketMeta, B),
        start: &Start<'_>,
    ) {
        let Some(key) = self.keys.get_mut(at) else { return };
        let known = match slot.kind {
            _ if start.is_changed => Known::Nothing,
            Kind::Plain => Known::Short(&slot.short),
            _ => Known::Key,
        };
        let mut executor = Executor {
            dp: pass.dp,
            host,
            now: pass.now,
            queues: &mut self.queues,
            waiting: &mut self.waiting,
            stack: &mut self.stack,
            stt: &mut self.stt,
            datagram: &mut self.datagram,
            tally: &mut self.tally,
            random: &mut self.random,
            key,
            known,
            meta,
            buf: Some(buf),
            layers: slot.layers,
            trunc: None,
            is_settled: false,
        };
        executor.run(start);
    }

    /// Executes actions on the packet of `work`.
    #[inline(never)]
    fn execute(&mut self, pass: &Pass<'_>, host: &mut impl Host<B>, work: &mut Batch<B>, actions: &[Action]) {
        self.read(pass, work);
        // It is one packet.
        let (Some(slot), Some((mut meta, buf))) = (self.slots.first().copied(), work.drain_in_place().next())
        else {
            return;
        };
        if slot.kind == Kind::Runt {
            return self.tally.drop_of(meta.get().in_port, DropReason::RuntFrame);
        }
        let start = Start { actions, flow: None, is_changed: false };
        self.run(pass, host, (0, &slot), (meta.into_mut(), buf), &start);
    }
}

/// Asks for the connections of packets that will be tracked in a zone, in two stages: what a look-up reads first for all of
/// them, then what that leads to.
#[inline(never)]
fn prefetch_connections(pass: &Pass<'_>, slots: &[Slot], zone: u16) {
    let (table, mut places) = (pass.dp.conntrack(), [None; BATCH]);
    for (slot, place) in slots.iter().zip(&mut places) {
        *place = slot.headers().filter(|_| slot.kind == Kind::Plain).map(|h| table.prefetch_index(&h, zone));
    }
    places.iter().flatten().for_each(|place| table.prefetch_connection(*place));
}

/// Packets in a row that hit the same flow.
#[derive(Default)]
pub(crate) struct Train<'g> {
    /// The flow of the last packet, if it hit one.
    flow: Option<&'g Megaflow>,
    run: Run,
}

impl<'g> Train<'g> {
    /// Adds what was counted to the flow.
    #[inline]
    fn credit(&mut self, worker: u8, now_ms: u64) {
        let run = ::core::mem::take(&mut self.run);
        if let Some(flow) = self.flow {
            flow.count(worker, &run, now_ms);
        }
    }

    /// Ends with a packet that hit nothing.
    fn leave(&mut self, worker: u8, now_ms: u64) {
        self.credit(worker, now_ms);
        self.flow = None;
    }

    /// Goes on with a packet of `flow`.
    #[inline]
    pub fn join(&mut self, flow: &'g Megaflow, worker: u8, now_ms: u64) {
        if !self.flow.is_some_and(|last| ::core::ptr::eq(last, flow)) {
            self.credit(worker, now_ms);
            self.flow = Some(flow);
        }
    }

    /// Counts `n` packets of `bytes` bytes each.
    #[inline]
    pub fn count(&mut self, n: u64, bytes: u64, tcp_flags: u16) {
        self.run.packets += n;
        self.run.bytes += n * bytes;
        self.run.tcp_flags |= tcp_flags;
    }
}

#[cfg(test)]
mod tests;
