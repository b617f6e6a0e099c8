//! A pump: one worker with its buffers, and what becomes of what the worker puts out.
//!
//! Where it sits: the polling thread has one; calls from outside borrow one. It calls the worker, the ports' queues
//! and the upcall handler, in turn and never inside each other.
//!
//! ~~~text
//! batch ─► process ─► transmits ─► first upcall ─► handler ─► install megaflow ─► execute ─► transmits ─► next upcall
//!                                       └─ a megaflow that was just installed matches: process again instead
//! ~~~
//!
//! I1  What a packet puts out is sent before the next upcall is answered.
//! I2  An upcall that its own answer brings about has a depth; a packet that goes too deep is dropped and counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use datapath::{End, Host, NextHop, TunnelDst, UpcallKind, Worker};
use dpif::Upcall;
use flow::Match;
use netdev::{BufferPool, Frame, FrameBatch};
use odp::Action;
use packet::{DropReason, Instant, Now, OdpPort, PacketMeta};

use crate::datapath_host::{FindWays, Shared};
use crate::perf::Perf;
use crate::ports::{PortEntry, Table};
use crate::sys;

/// How often a packet may come back to the switch.
const MAX_DEPTH: u8 = 16;
/// Connections looked at before a batch when their table is short of room.
const MAINTENANCE: usize = 64;
/// Upcalls that wait at most.
const MAX_PENDING: usize = 1024;

/// What a worker may ask in the middle of a packet.
struct Services<'a> {
    pool: &'a mut BufferPool,
    ports: &'a Table,
    ways: Option<&'a dyn FindWays>,
    /// The way that was asked for last: packets of a batch mostly go the same.
    last_way: Option<(End, NextHop)>,
    now: Now,
}

impl Host<Frame> for Services<'_> {
    fn try_clone(&mut self, packet: &Frame) -> Option<Frame> {
        self.pool.clone_of(packet)
    }

    fn alloc(&mut self, len: usize, headroom: usize) -> Option<Frame> {
        Frame::try_with_capacity(len, headroom)
    }

    fn mtu(&self, port: OdpPort) -> u16 {
        self.ports.get(&port).map_or(1500, |port| port.mtu())
    }

    fn next_hop(&mut self, dst: &TunnelDst<'_>) -> NextHop {
        let Some(ways) = self.ways else { return NextHop::NoRoute };
        let end = End::of(dst);
        if let Some((last, hop)) = self.last_way
            && last == end
        {
            return hop;
        }
        let hop = ways.next_hop(&end, self.now);
        self.last_way = Some((end, hop));
        hop
    }
}

/// Packets on their way out by one queue of one port.
struct Output {
    port: OdpPort,
    queue: usize,
    batch: FrameBatch,
    /// When they leave at the latest.
    due: Instant,
}

/// A worker with its buffers.
pub(crate) struct Pump {
    worker: Worker<Frame>,
    /// Number of the thread among all: it chooses the transmit queues.
    thread: usize,
    pool: BufferPool,
    batch: FrameBatch,
    /// Batches are empty between calls, unless packets may wait for company.
    outputs: Vec<Output>,
    /// How long they may.
    patience: Duration,
    pending: VecDeque<(u8, Upcall)>,
    /// Megaflows installed since the last batch.
    fresh: Vec<Match>,
    table: Arc<Table>,
    version: u64,
}

impl Pump {
    /// A pump for the thread with this number; `None` if memory is short.
    pub(crate) fn try_new(shared: &Shared, thread: usize) -> Option<Pump> {
        let mut worker = Worker::try_new(shared.seed)?;
        if !worker.attach(&shared.datapath) {
            return None;
        }
        Some(Pump {
            worker,
            thread,
            patience: Duration::ZERO,
            pool: BufferPool::new(),
            batch: FrameBatch::try_new()?,
            outputs: Vec::new(),
            pending: VecDeque::new(),
            fresh: Vec::new(),
            table: Arc::default(),
            version: 0,
        })
    }

    /// The worker's slot in the datapath.
    pub(crate) fn slot(&self) -> Option<usize> {
        self.worker.slot()
    }

    /// Sends what waits, and gives the worker's slot back.
    pub(crate) fn end(&mut self, shared: &Shared, perf: &Perf) {
        self.flush(shared, perf);
        self.worker.detach(&shared.datapath);
    }

    /// The ports as they are now.
    pub(crate) fn table(&mut self, shared: &Shared) -> &Arc<Table> {
        let version = shared.ports.version();
        if version != self.version {
            self.table = shared.ports.snapshot();
            self.version = version;
            let (worker, pool, table) = (&mut self.worker, &mut self.pool, &self.table);
            self.outputs.retain_mut(|output| {
                let stays = table.contains_key(&output.port);
                if !stays && !output.batch.is_empty() {
                    let n = output.batch.len() as u64;
                    worker.count_drops(&shared.datapath, DropReason::InvalidPort, n);
                    output.batch.drain_bufs().for_each(|frame| pool.give(frame));
                }
                stays
            });
        }
        &self.table
    }

    /// Moves one batch from a port's queue; returns how many packets that were.
    pub(crate) fn poll(&mut self, shared: &Shared, port: &PortEntry, queue: usize, perf: &Perf) -> usize {
        let (n, lost) = port.receive(queue, &mut self.pool, &mut self.batch);
        if !lost.is_none() {
            let mut drops = Drops::default();
            lost.iter().for_each(|(reason, n)| drops.add(Some(port.number), reason, u64::from(n)));
            drops.count(&mut self.worker, shared);
        }
        if n != 0 {
            perf.received(n);
            self.table(shared);
            self.patience = shared.patience();
            let now = shared.now();
            let connections = shared.datapath.conntrack();
            if connections.wants_maintenance() {
                connections.maintain(now, MAINTENANCE);
            }
            self.process(shared, now);
            self.finish(shared, now, perf);
            if connections.wants_maintenance() {
                // New connections must find memory before the next batch; expiry has its own time.
                connections.maintain(now, 0);
            }
        }
        n
    }

    /// Executes actions, already validated, on a packet.
    pub(crate) fn execute(
        &mut self,
        shared: &Shared,
        packet: (PacketMeta, Frame),
        actions: &[Action],
        perf: &Perf,
    ) {
        let now = shared.now();
        self.table(shared);
        self.patience = Duration::ZERO;
        self.run(shared, now, packet, actions);
        self.finish(shared, now, perf);
    }

    /// What the worker may ask, the worker, and its batch.
    fn services<'a>(
        &'a mut self,
        shared: &'a Shared,
        now: Now,
    ) -> (Services<'a>, &'a mut Worker<Frame>, &'a mut FrameBatch) {
        let Pump { worker, batch, pool, table, .. } = self;
        (Services { pool, ports: table, ways: shared.find_ways(), last_way: None, now }, worker, batch)
    }

    fn process(&mut self, shared: &Shared, now: Now) {
        let (mut services, worker, batch) = self.services(shared, now);
        worker.process(&shared.datapath, &mut services, now, batch);
    }

    fn run(&mut self, shared: &Shared, now: Now, packet: (PacketMeta, Frame), actions: &[Action]) {
        let (mut services, worker, _) = self.services(shared, now);
        worker.execute(&shared.datapath, &mut services, now, packet, actions);
    }

    /// Sends what the worker put out and answers its upcalls, until there is neither.
    fn finish(&mut self, shared: &Shared, now: Now, perf: &Perf) {
        let mut depth = 0;
        loop {
            self.send(shared, now, perf);
            self.collect_upcalls(shared, depth);
            let Some((d, upcall)) = self.pending.pop_front() else { break };
            depth = d + 1;
            if d >= MAX_DEPTH {
                shared.datapath.count_drops(DropReason::RecircLimit, 1);
                self.pool.give(upcall.packet);
            } else {
                let before = sys::cycles();
                self.answer(shared, now, upcall);
                perf.upcall(sys::cycles().wrapping_sub(before));
            }
        }
        self.fresh.clear();
    }

    fn collect_upcalls(&mut self, shared: &Shared, depth: u8) {
        for upcall in self.worker.egress().upcalls() {
            if self.pending.len() < MAX_PENDING {
                self.pending.push_back((depth, upcall));
            } else {
                shared.datapath.count_drops(DropReason::UpcallQueueFull, 1);
                self.pool.give(upcall.packet);
            }
        }
    }

    fn answer(&mut self, shared: &Shared, now: Now, upcall: Upcall) {
        if upcall.kind == UpcallKind::Miss && self.fresh.iter().any(|m| m.matches(&upcall.key)) {
            // The batch is empty: a packet always fits.
            if let Err((_, packet)) = self.batch.push(upcall.meta, upcall.packet) {
                self.pool.give(packet);
            }
            self.process(shared, now);
            return;
        }
        let Some(handler) = shared.handler() else {
            shared.datapath.count_lost(1);
            self.pool.give(upcall.packet);
            return;
        };
        if handler.take(&upcall) {
            self.pool.give(upcall.packet);
            return;
        }
        let mut verdict = handler.handle(&upcall, now);
        if let Some(put) = &mut verdict.megaflow {
            match shared.put_flow(put) {
                Ok(matched) => self.fresh.push(matched),
                Err(e) => log::debug!(target: "dpif_netdev", "failed to install megaflow: {e}"),
            }
        }
        if let Err(e) = odp::validate(&verdict.actions) {
            log::warn!(target: "dpif_netdev", "upcall answered with actions that cannot be executed ({e:?})");
            shared.datapath.count_drops(DropReason::InvalidAction, 1);
            self.pool.give(upcall.packet);
        } else {
            self.run(shared, now, (upcall.meta, upcall.packet), &verdict.actions);
        }
    }

    /// Sends what the worker put out, in batches by port and queue; what may wait for company waits.
    fn send(&mut self, shared: &Shared, now: Now, perf: &Perf) {
        let Pump { worker, pool, outputs, table, thread, patience, .. } = self;
        let (mut dropped, mut failed) = (0, Drops::default());
        let mut egress = worker.egress();
        let mut transmits = egress.transmits();
        let mut next = transmits.next();
        while let Some((number, mut frame)) = next.take() {
            let Some(port) = table.get(&number) else {
                dropped += 1;
                pool.give(frame);
                next = transmits.next();
                continue;
            };
            let due = now.mono + *patience;
            let at = find_output(outputs, number, port.queue_for(*thread, &frame), due);
            let output = &mut outputs[at];
            // Packets in a row mostly leave by the same port.
            loop {
                if output.batch.is_full() {
                    flush(port, output, pool, perf, &mut failed);
                }
                if output.batch.is_empty() {
                    output.due = due;
                }
                if let Err(frame) = output.batch.push_from(OdpPort::NONE, frame) {
                    pool.give(frame);
                }
                next = transmits.next();
                match next {
                    Some((same, another)) if same == number && !port.is_steered() => frame = another,
                    other => {
                        next = other;
                        break;
                    }
                }
            }
        }
        drop(transmits);
        for output in outputs.iter_mut().filter(|o| !o.batch.is_empty() && o.due <= now.mono) {
            if let Some(port) = table.get(&output.port) {
                flush(port, output, pool, perf, &mut failed);
            }
        }
        failed.add(None, DropReason::InvalidPort, dropped);
        failed.count(worker, shared);
    }

    /// Sends everything that waits for company.
    pub(crate) fn flush(&mut self, shared: &Shared, perf: &Perf) {
        self.flush_until(shared, perf, Instant(u64::MAX));
    }

    /// Sends what has waited long enough.
    pub(crate) fn flush_due(&mut self, shared: &Shared, perf: &Perf) {
        if self.outputs.iter().any(|o| !o.batch.is_empty()) {
            self.flush_until(shared, perf, shared.now().mono);
        }
    }

    /// The time until something has waited long enough.
    pub(crate) fn flush_in(&self, shared: &Shared) -> Option<Duration> {
        let due = self.outputs.iter().filter(|o| !o.batch.is_empty()).map(|o| o.due).min()?;
        Some(due - shared.now().mono)
    }

    fn flush_until(&mut self, shared: &Shared, perf: &Perf, now: Instant) {
        self.table(shared);
        let Pump { worker, pool, outputs, table, .. } = self;
        let mut failed = Drops::default();
        for output in outputs.iter_mut().filter(|o| !o.batch.is_empty() && o.due <= now) {
            if let Some(port) = table.get(&output.port) {
                flush(port, output, pool, perf, &mut failed);
            }
        }
        failed.count(worker, shared);
    }
}

/// Where packets for a queue of a port gather; a new place leaves at `due`.
fn find_output(outputs: &mut Vec<Output>, port: OdpPort, queue: usize, due: Instant) -> usize {
    outputs.iter().position(|o| o.port == port && o.queue == queue).unwrap_or_else(|| {
        outputs.push(Output { port, queue, batch: FrameBatch::default(), due });
        outputs.len() - 1
    })
}

/// Packets that could not be sent, by reason.
#[derive(Default)]
struct Drops(Vec<(Option<OdpPort>, DropReason, u64)>);

impl Drops {
    fn add(&mut self, port: Option<OdpPort>, reason: DropReason, n: u64) {
        if n != 0 {
            self.0.push((port, reason, n));
        }
    }

    fn count(self, worker: &mut Worker<Frame>, shared: &Shared) {
        for (port, reason, n) in self.0 {
            worker.count_drops(&shared.datapath, reason, n);
            if let Some(port) = port {
                shared.datapath.count_port_drops(port, reason, n);
            }
        }
    }
}

fn flush(port: &PortEntry, output: &mut Output, pool: &mut BufferPool, perf: &Perf, failed: &mut Drops) {
    perf.sent(output.batch.len());
    let drops = port.transmit(output.queue, pool, &mut output.batch);
    drops.iter().for_each(|(reason, n)| failed.add(Some(port.number), reason, u64::from(n)));
}
