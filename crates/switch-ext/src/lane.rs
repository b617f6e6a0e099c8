//! A lane: one processor's worker, with the packets that it has in hand.
//!
//! Where it sits: the extension has one for each processor and enters it at DISPATCH_LEVEL; a lane calls the worker and
//! leaves a [`Plan`].
//!
//! ~~~text
//! accept: packet ─► frames ─► batch     run: worker ─► outputs ─► destinations, or a packet of ours
//!                                       finish: every packet in hand goes into the plan
//! ~~~
//!
//! I1  Views of a packet are gone before it goes into the plan: `run` takes everything out of the worker.
//! I2  Memory is taken when the lane is made, except what goes to user space and lists of more than 64 destinations.
//!
//! Next: `plan.rs`.

use alloc::vec::Vec;
use core::ops::Range;

use datapath::{Datapath, Host, NextHop, TunnelDst, Upcall, Worker};
use odp::Action;
use packet::{BATCH, Batch, DropReason, FlatPacket, Now, OdpPort, Offload, PacketBuf, PacketMeta};

use crate::frame::{Frame, NO_ORIGIN};
use crate::info::{Info, l4_offset};
use crate::plan::Plan;
use crate::platform::{Destination, Facts, Outcome, Platform, Reason, View};
use crate::{Life, Ports};

/// Blocks of a packet of ours: more than the largest packet has.
const PIECES: usize = 64;
/// Destinations for which there is memory.
const DESTINATIONS: usize = 64;

/// What a lane works with.
pub(crate) struct Pass<'a, P> {
    pub platform: &'a P,
    pub datapath: &'a Datapath,
    pub ports: &'a Ports,
    pub life: &'a Life,
    pub now: Now,
}

/// A received packet in hand.
struct Held<P: Platform> {
    nbl: P::Nbl,
    /// Its frame, if it is one that may be sent on as it is.
    view: Option<P::View>,
    facts: Facts,
    /// Work on it when it came.
    offload: Offload,
    end: End,
}

/// What happened to a packet in hand besides destinations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Dropped,
    ToUserSpace,
    Copied,
    NoMemory,
}

/// One processor's worker.
pub(crate) struct Lane<P: Platform> {
    worker: Worker<Frame<P>>,
    batch: Batch<Frame<P>>,
    held: Vec<Held<P>>,
    /// Destinations of each packet in hand.
    to: Vec<Vec<Destination>>,
    pieces: Vec<(P::Block, Range<usize>)>,
}

struct Services<'a, P>(&'a P);

impl<P: Platform> Host<Frame<P>> for Services<'_, P> {
    fn try_clone(&mut self, packet: &Frame<P>) -> Option<Frame<P>> {
        packet.try_clone(self.0.block()?)
    }

    fn alloc(&mut self, len: usize, headroom: usize) -> Option<Frame<P>> {
        let packet = FlatPacket::try_with_capacity(len, headroom)?;
        Some(Frame::of_flat(self.0.block()?, packet))
    }

    fn next_hop(&mut self, _dst: &TunnelDst) -> NextHop {
        NextHop::NoRoute
    }
}

fn list<T>(n: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(n).ok()?;
    Some(list)
}

impl<P: Platform> Lane<P> {
    /// A lane with all its memory; `None` if there is not enough.
    pub fn try_new(seed: u64) -> Option<Lane<P>> {
        let mut to = list(BATCH)?;
        for _ in 0..BATCH {
            to.push(list(DESTINATIONS)?);
        }
        let (worker, batch) = (Worker::try_new(seed)?, Batch::try_new()?);
        Some(Lane { worker, batch, held: list(BATCH)?, to, pieces: list(PIECES)? })
    }

    /// Takes a packet in hand; with it the lane may be full, and then does its work.
    pub fn accept(&mut self, pass: &Pass<'_, P>, plan: &mut Plan<P>, mut nbl: P::Nbl) {
        let facts = pass.platform.facts(&nbl);
        if facts.native {
            return plan.native.push(nbl, facts.source, &[]);
        }
        let Some(source) = pass.ports.source(facts.source) else {
            pass.platform.report(&nbl, facts.source, Reason::UnknownSource);
            pass.platform.set_outcome(&mut nbl, Outcome::Dropped);
            pass.datapath.count_drops(DropReason::InvalidPort, u64::from(facts.frames));
            return plan.done.push(nbl, facts.source, &[]);
        };
        let origin = self.held.len() as u16;
        let offload = if source.external { facts.info.offload_done() } else { Offload::default() };
        let held = Held { view: None, facts, offload, end: End::Dropped, nbl };
        // There is room: a full lane was emptied.
        self.held.push(held);
        for index in 0..facts.frames {
            if self.batch.is_full() {
                self.run(pass, plan);
            }
            self.take_frame(pass, origin, index, source.number, source.external);
        }
        if self.batch.is_full() || self.held.len() >= BATCH {
            self.flush(pass, plan);
        }
    }

    /// Puts one frame of the last packet into the batch.
    fn take_frame(&mut self, pass: &Pass<'_, P>, origin: u16, index: u16, number: OdpPort, external: bool) {
        let Some(held) = self.held.last_mut() else { return };
        let Some((view, block)) = pass.platform.view(&held.nbl, index).zip(pass.platform.block()) else {
            held.end = End::NoMemory;
            return pass.datapath.count_drops(DropReason::NoMemory, 1);
        };
        pass.ports.count_rx(held.facts.source, view.len() as u64);
        if held.facts.frames == 1 {
            held.view = Some(view.clone());
        }
        let mut frame = Frame::of_view(block, view, origin);
        if !external {
            held.offload = held.facts.info.offload_to_do(l4_offset(frame.head()));
        }
        *frame.offload_mut() = held.offload;
        if let Some(tci) = held.facts.info.tci() {
            // A frame too short for a tag is too short for the core, which says so.
            let _ = frame.insert_tag(tci);
        }
        let meta = PacketMeta { in_port: number, ..PacketMeta::default() };
        // The batch is not full: the caller looked.
        let _ = self.batch.push(meta, frame);
    }

    /// Works on everything in hand and puts it into the plan.
    pub fn flush(&mut self, pass: &Pass<'_, P>, plan: &mut Plan<P>) {
        self.run(pass, plan);
        self.finish(pass, plan);
    }

    /// Executes actions on a packet from user space.
    pub fn execute(
        &mut self,
        pass: &Pass<'_, P>,
        plan: &mut Plan<P>,
        (meta, packet): (PacketMeta, FlatPacket),
        actions: &[Action],
    ) {
        let Some(block) = pass.platform.block() else {
            return pass.datapath.count_drops(DropReason::NoMemory, 1);
        };
        let frame = Frame::of_flat(block, packet);
        let mut services = Services(pass.platform);
        self.worker.execute(pass.datapath, &mut services, pass.now, (meta, frame), actions);
        self.collect(pass, plan, meta.in_port);
        self.finish(pass, plan);
    }

    /// Runs the batch.
    fn run(&mut self, pass: &Pass<'_, P>, plan: &mut Plan<P>) {
        let mut services = Services(pass.platform);
        self.worker.process(pass.datapath, &mut services, pass.now, &mut self.batch);
        self.collect(pass, plan, OdpPort::NONE);
    }

    /// Takes everything out of the worker. `in_port`: where packets from user space pretend to come from.
    fn collect(&mut self, pass: &Pass<'_, P>, plan: &mut Plan<P>, in_port: OdpPort) {
        let Lane { worker, held, to, pieces, .. } = self;
        let mut egress = worker.egress();
        for upcall in egress.upcalls() {
            if let Some(held) =
                held.get_mut(usize::from(upcall.packet.origin)).filter(|h| h.end != End::Copied)
            {
                held.end = End::ToUserSpace;
            }
            to_user_space(pass, &upcall);
        }
        for (number, frame) in egress.transmits() {
            let Some(nic) = pass.ports.destination(number) else {
                pass.datapath.count_drops(DropReason::InvalidPort, 1);
                continue;
            };
            let mut output = Output { pass, plan, held, to, pieces, in_port };
            output.transmit(frame, Destination(nic));
        }
    }

    /// Puts every packet in hand into the plan.
    fn finish(&mut self, pass: &Pass<'_, P>, plan: &mut Plan<P>) {
        for (held, to) in self.held.drain(..).zip(&mut self.to) {
            finish_one(pass, plan, held, to);
            to.clear();
        }
    }
}

fn finish_one<P: Platform>(pass: &Pass<'_, P>, plan: &mut Plan<P>, held: Held<P>, to: &[Destination]) {
    let Held { mut nbl, view, facts, end, .. } = held;
    // Nothing may look at the packet when it goes.
    drop(view);
    if !to.is_empty() {
        if pass.platform.add_destinations(&mut nbl, to) {
            return plan.send.push(nbl, facts.source, to);
        }
        pass.datapath.count_drops(DropReason::NoMemory, to.len() as u64);
    }
    let (outcome, reason) = match end {
        _ if !to.is_empty() => (Outcome::Resources, Some(Reason::NoDestination)),
        End::Copied => (Outcome::Delivered, None),
        End::Dropped => (Outcome::Dropped, Some(Reason::Dropped)),
        End::ToUserSpace => (Outcome::Dropped, Some(Reason::ToUserSpace)),
        End::NoMemory => (Outcome::Resources, Some(Reason::Dropped)),
    };
    if let Some(reason) = reason {
        pass.platform.report(&nbl, facts.source, reason);
    }
    pass.platform.set_outcome(&mut nbl, outcome);
    plan.done.push(nbl, facts.source, &[]);
}

/// Copies a packet for the switch in user space.
#[inline(never)]
fn to_user_space<P: Platform>(pass: &Pass<'_, P>, upcall: &Upcall<Frame<P>>) {
    let Some(packet) = upcall.packet.to_flat() else { return pass.datapath.count_lost(1) };
    let copy = Upcall { kind: upcall.kind.clone(), key: upcall.key, meta: upcall.meta, packet };
    if !pass.platform.upcall(copy) {
        pass.datapath.count_lost(1);
    }
}

/// Where one output of the worker goes.
struct Output<'a, 'p, P: Platform> {
    pass: &'a Pass<'p, P>,
    plan: &'a mut Plan<P>,
    held: &'a mut Vec<Held<P>>,
    to: &'a mut Vec<Vec<Destination>>,
    pieces: &'a mut Vec<(P::Block, Range<usize>)>,
    in_port: OdpPort,
}

impl<P: Platform> Output<'_, '_, P> {
    fn transmit(&mut self, mut frame: Frame<P>, destination: Destination) {
        let len = frame.len() as u64;
        let tci = frame.strip_tag();
        let origin = usize::from(frame.origin);
        if self.is_unchanged(&frame, tci)
            && let Some(to) = self.to.get_mut(origin).filter(|to| !to.contains(&destination))
            && to.try_reserve(1).is_ok()
        {
            to.push(destination);
        } else if !self.copy(frame, tci, destination) {
            return self.pass.datapath.count_drops(DropReason::NoMemory, 1);
        }
        self.pass.ports.count_tx(destination.0, len);
    }

    /// True if the received packet itself can go where this frame is to go.
    fn is_unchanged(&self, frame: &Frame<P>, tci: Option<u16>) -> bool {
        let Some(held) = self.held.get(usize::from(frame.origin)) else { return false };
        let Some(view) = &held.view else { return false };
        let safe = held.facts.safe_size.is_none_or(|n| usize::from(n) >= frame.head_len());
        safe && tci == held.facts.info.tci() && *frame.offload() == held.offload && frame.equals(view)
    }

    /// Sends a packet of our own with the frame's bytes; false if memory is short.
    fn copy(&mut self, frame: Frame<P>, tci: Option<u16>, destination: Destination) -> bool {
        let pass = self.pass;
        let held = self.held.get_mut(usize::from(frame.origin));
        let (source, info) = match &held {
            Some(h) => (Some(h.facts.source), h.facts.info.after(&h.offload, frame.offload())),
            None => {
                debug_assert_eq!(frame.origin, NO_ORIGIN);
                (pass.ports.destination(self.in_port), Info::of(frame.offload()))
            }
        };
        // Packets of the external port have a receiver's words, whoever made them.
        let info = if held.is_none() && source.is_some_and(|s| pass.ports.is_external(s)) {
            Info::default()
        } else {
            info
        };
        if !frame.into_pieces(pass.platform, self.pieces) {
            return false;
        }
        let Some(mut nbl) = pass.platform.assemble(self.pieces, source, info.with_tci(tci)) else {
            return false;
        };
        if !pass.platform.add_destinations(&mut nbl, &[destination]) {
            pass.platform.free(nbl);
            return false;
        }
        if let Some(held) = held {
            held.end = End::Copied;
        }
        pass.life.hold();
        self.plan.send.push(nbl, source.unwrap_or_default(), &[destination]);
        true
    }
}
