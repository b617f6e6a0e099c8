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

use datapath::{Host, NextHop, TunnelDst, UpcallKind, Worker};
use dpif::Upcall;
use flow::Match;
use netdev::{BufferPool, Frame, FrameBatch};
use odp::Action;
use packet::{DropReason, Now, OdpPort, PacketMeta};

use crate::datapath_host::Shared;
use crate::ports::{PortEntry, Table};

/// How often a packet may come back to the switch.
const MAX_DEPTH: u8 = 16;
/// Connections looked at before a batch when their table is short of room.
const MAINTENANCE: usize = 64;
/// Upcalls that wait at most.
const MAX_PENDING: usize = 1024;

/// What a worker may ask in the middle of a packet.
struct Services<'a> {
    pool: &'a mut BufferPool,
}

impl Host<Frame> for Services<'_> {
    fn try_clone(&mut self, packet: &Frame) -> Option<Frame> {
        self.pool.clone_of(packet)
    }

    fn alloc(&mut self, len: usize, headroom: usize) -> Option<Frame> {
        Frame::try_with_capacity(len, headroom)
    }

    fn next_hop(&mut self, _dst: &TunnelDst) -> NextHop {
        NextHop::NoRoute
    }
}

/// A worker with its buffers.
pub(crate) struct Pump {
    worker: Worker<Frame>,
    pool: BufferPool,
    batch: FrameBatch,
    /// Packets on their way out, by port; batches are empty between calls.
    outputs: Vec<(OdpPort, FrameBatch)>,
    pending: VecDeque<(u8, Upcall)>,
    /// Megaflows installed since the last batch.
    fresh: Vec<Match>,
    table: Arc<Table>,
    version: u64,
}

impl Pump {
    /// A pump; `None` if memory is short.
    pub(crate) fn try_new(seed: u64) -> Option<Pump> {
        Some(Pump {
            worker: Worker::try_new(seed)?,
            pool: BufferPool::new(),
            batch: FrameBatch::try_new()?,
            outputs: Vec::new(),
            pending: VecDeque::new(),
            fresh: Vec::new(),
            table: Arc::default(),
            version: 0,
        })
    }

    /// The ports as they are now.
    pub(crate) fn table(&mut self, shared: &Shared) -> Arc<Table> {
        let version = shared.ports.version();
        if version != self.version {
            self.table = shared.ports.snapshot();
            self.version = version;
            self.outputs.retain(|(number, _)| self.table.contains_key(number));
        }
        self.table.clone()
    }

    /// Moves one batch from `port`; returns how many packets that were.
    pub(crate) fn poll(&mut self, shared: &Shared, port: &PortEntry) -> usize {
        let n = port.receive(&mut self.pool, &mut self.batch);
        if n != 0 {
            let now = shared.now();
            let connections = shared.datapath.conntrack();
            if connections.wants_maintenance() {
                connections.maintain(now, MAINTENANCE);
            }
            self.process(shared, now);
            self.finish(shared, now);
            let conntrack = shared.datapath.conntrack();
            if conntrack.wants_maintenance() {
                // New connections must find memory before the next batch; expiry has its own time.
                conntrack.maintain(now, 0);
            }
        }
        n
    }

    /// Executes actions, already validated, on a packet.
    pub(crate) fn execute(&mut self, shared: &Shared, packet: (PacketMeta, Frame), actions: &[Action]) {
        let now = shared.now();
        self.table(shared);
        self.run(shared, now, packet, actions);
        self.finish(shared, now);
    }

    fn process(&mut self, shared: &Shared, now: Now) {
        let mut services = Services { pool: &mut self.pool };
        self.worker.process(&shared.datapath, &mut services, now, &mut self.batch);
    }

    fn run(&mut self, shared: &Shared, now: Now, packet: (PacketMeta, Frame), actions: &[Action]) {
        let mut services = Services { pool: &mut self.pool };
        self.worker.execute(&shared.datapath, &mut services, now, packet, actions);
    }

    /// Sends what the worker put out and answers its upcalls, until there is neither.
    fn finish(&mut self, shared: &Shared, now: Now) {
        let mut depth = 0;
        loop {
            self.send(shared);
            self.collect_upcalls(shared, depth);
            let Some((d, upcall)) = self.pending.pop_front() else { break };
            depth = d + 1;
            if d >= MAX_DEPTH {
                shared.datapath.count_drops(DropReason::RecircLimit, 1);
                self.pool.give(upcall.packet);
            } else {
                self.answer(shared, now, upcall);
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

    /// Sends what the worker put out, in batches by port.
    fn send(&mut self, shared: &Shared) {
        let mut egress = self.worker.egress();
        for (number, frame) in egress.transmits() {
            let Some(port) = self.table.get(&number) else {
                shared.datapath.count_drops(DropReason::InvalidPort, 1);
                self.pool.give(frame);
                continue;
            };
            let at = match self.outputs.iter().position(|(n, _)| *n == number) {
                Some(at) => at,
                None => {
                    self.outputs.push((number, FrameBatch::default()));
                    self.outputs.len() - 1
                }
            };
            let (_, batch) = &mut self.outputs[at];
            if batch.is_full() {
                flush(shared, port, &mut self.pool, batch);
            }
            if let Err((_, frame)) = batch.push(PacketMeta::default(), frame) {
                self.pool.give(frame);
            }
        }
        for (number, batch) in self.outputs.iter_mut().filter(|(_, batch)| !batch.is_empty()) {
            if let Some(port) = self.table.get(number) {
                flush(shared, port, &mut self.pool, batch);
            }
        }
    }
}

fn flush(shared: &Shared, port: &PortEntry, pool: &mut BufferPool, batch: &mut FrameBatch) {
    let drops = port.transmit(pool, batch);
    for (reason, n) in drops.iter() {
        shared.datapath.count_drops(reason, u64::from(n));
    }
}
