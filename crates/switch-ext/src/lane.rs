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
//! I2  What goes out of one packet in hand goes into the plan before what goes out of the next: no packet overtakes another.
//! I3  Memory is taken when the lane is made, except what goes to user space and lists of more than 64 destinations.
//!
//! Next: `plan.rs`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use datapath::{Datapath, Host, NextHop, TunnelDst, Upcall, Worker};
use odp::{Action, TunnelKind};
use packet::{BATCH, Batch, DropReason, Now, OdpPort, Offload, PacketBuf, PacketMeta};

use crate::frame::{Frame, HEADROOM};
use crate::info::{Info, asks, l4_offset};
use crate::plan::{Group, Plan};
use crate::platform::{Block, Destination, Facts, Outcome, Platform, Reason, View};
use crate::ports::{Ports, Reader, Source, To};
use crate::{Extension, Life, NicId, NicKind};

/// Blocks of a packet of ours: more than the largest packet has.
const PIECES: usize = 64;
/// Destinations for which there is memory.
const DESTINATIONS: usize = 64;
/// Tunnels that a packet comes out of, one inside the other.
const TUNNELS: usize = 2;

/// What a lane works with.
pub(crate) struct Pass<'a, P: Platform> {
    pub extension: &'a Extension<P>,
    pub platform: &'a P,
    pub datapath: &'a Datapath,
    pub ports: &'a Reader<'a>,
    pub life: &'a Life,
    pub now: Now,
}

/// A packet in hand.
struct Held<P: Platform> {
    nbl: P::Nbl,
    from: From,
    facts: Facts,
    /// It came from outside: what is beside it are findings, not requests.
    external: bool,
    /// Work on it when it came.
    offload: Offload,
    /// Its IP header came without a length, as that of a large send may.
    lacks_length: bool,
    end: End,
    /// Packets of ours share its data: it is kept until they are back, and goes nowhere itself.
    is_shared: bool,
    /// Packets of ours that it became.
    copies: Group<P>,
}

/// Who gave a packet into our hands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// The switch, which gets it back.
    Switch,
    /// User space: it is a packet of ours, and freed.
    UserSpace,
}

/// What happened to a packet in hand besides destinations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Dropped,
    Refused,
    ToUserSpace,
    Copied,
    NoMemory,
}

/// One processor's worker.
pub(crate) struct Lane<P: Platform> {
    worker: Box<Worker<Frame<P>>>,
    hand: Hand<P>,
}

/// Packets in hand, and scratch.
struct Hand<P: Platform> {
    batch: Batch<Frame<P>>,
    held: Vec<Held<P>>,
    /// Destinations of each packet in hand.
    to: Vec<Vec<Destination>>,
    pieces: Vec<(P::Block, Range<usize>)>,
    /// Blocks of frames that were sent on as they came, for the next.
    spare: Vec<P::Block>,
    /// Bytes of such a block.
    usual: usize,
    /// Packets of tunnels that have come to the host, and each one's port.
    arrived: Vec<(Frame<P>, OdpPort)>,
}

struct Services<'a, 'p, P: Platform>(&'a Pass<'p, P>);

impl<P: Platform> Host<Frame<P>> for Services<'_, '_, P> {
    fn try_clone(&mut self, packet: &Frame<P>) -> Option<Frame<P>> {
        packet.try_clone(self.0.platform.block_of(packet.block_len())?)
    }

    fn alloc(&mut self, len: usize, headroom: usize) -> Option<Frame<P>> {
        let start = headroom.max(HEADROOM as usize);
        let block = self.0.platform.block_of(start.checked_add(len)?)?;
        Some(Frame::empty_at(block, u32::try_from(start).ok()?))
    }

    fn mtu(&self, port: OdpPort) -> u16 {
        self.0.ports.mtu(port)
    }

    fn segments_inside_tunnels(&self) -> bool {
        false
    }

    fn finish_for_tunnel(&mut self, frame: &mut Frame<P>, kind: TunnelKind) -> bool {
        if kind == TunnelKind::Stt {
            return frame.finish_for_stt();
        }
        // Checksums are summed over all of it, those of the headers to come as well.
        if frame.is_longer_than_its_block()
            && let Some(block) = self.0.platform.block_of(frame.len().saturating_add(HEADROOM as usize))
        {
            frame.move_to(block);
        }
        frame.finish()
    }

    fn next_hop(&mut self, dst: &TunnelDst<'_>) -> NextHop {
        self.0.extension.next_hop(self.0.ports, dst, self.0.now)
    }
}

fn list<T>(n: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(n).ok()?;
    Some(list)
}

#[inline(never)]
fn boxed_worker<P: Platform>(seed: u64) -> Option<Box<Worker<Frame<P>>>> {
    sync::try_box_with(|| Worker::try_new(seed))
}

impl<P: Platform> Hand<P> {
    #[inline(never)]
    fn try_new() -> Option<Hand<P>> {
        let mut to = list(BATCH)?;
        for _ in 0..BATCH {
            to.push(list(DESTINATIONS)?);
        }
        let (batch, held, pieces, arrived) = (Batch::try_new()?, list(BATCH)?, list(PIECES)?, list(BATCH)?);
        Some(Hand { batch, held, to, pieces, spare: list(BATCH)?, usual: 0, arrived })
    }

    /// A block for a frame's first bytes.
    fn block(&mut self, platform: &P) -> Option<P::Block> {
        self.spare.pop().or_else(|| {
            let block = platform.block()?;
            self.usual = block.bytes().len();
            Some(block)
        })
    }

    /// Keeps a block for the next frame, if it is one of those and there is room.
    fn keep(&mut self, block: P::Block) {
        if block.bytes().len() == self.usual && self.spare.len() < self.spare.capacity() {
            self.spare.push(block);
        }
    }

    /// Puts one frame of the last packet into the batch.
    fn take_frame(&mut self, pass: &Pass<'_, P>, source: &Source, (origin, index): (u8, u16)) {
        let block = self.block(pass.platform);
        let Some(held) = self.held.last_mut() else { return };
        let read = pass.platform.view(&held.nbl, index).zip(block).and_then(|(view, block)| {
            pass.ports.count_rx(source, view.len());
            Frame::of_view(block, view, origin)
        });
        let Some(mut frame) = read else {
            held.end = End::NoMemory;
            return pass.datapath.count_drops(DropReason::NoMemory, 1);
        };
        if !held.external {
            frame.lacks_ip_sum = held.facts.info.wants_ip_checksum();
            held.offload = held.facts.info.offload_to_do(l4_offset(frame.head()));
        }
        *frame.offload_mut() = held.offload;
        held.lacks_length = held.offload.segment.is_some() && frame.fill_length();
        if let Some(tci) = held.facts.info.tci() {
            // A frame too short for a tag is too short for the core, which says so.
            let _ = frame.insert_tag(tci);
        }
        if source.policy.is_some()
            && let Err(reason) = admit(pass.ports, source, &mut frame)
        {
            if held.end == End::Dropped {
                held.end = End::Refused;
            }
            return pass.datapath.count_drops(reason, 1);
        }
        let meta = PacketMeta { in_port: source.number, ..PacketMeta::default() };
        // The batch is not full: the caller looked.
        let _ = self.batch.push(meta, frame);
    }

    /// Makes a packet of what user space wants sent, and takes it in hand; its frame is returned.
    #[inline(never)]
    fn take_from_user_space(
        &mut self,
        pass: &Pass<'_, P>,
        in_port: OdpPort,
        mut packet: &[u8],
    ) -> Option<Frame<P>> {
        self.pieces.clear();
        while !packet.is_empty() {
            let mut block = pass.platform.block()?;
            let to = block.bytes_mut();
            let n = to.len().min(packet.len());
            let (some, rest) = packet.split_at_checked(n)?;
            to.get_mut(..n)?.copy_from_slice(some);
            if n == 0 || self.pieces.len() >= self.pieces.capacity() {
                return None;
            }
            self.pieces.push((block, 0..n));
            packet = rest;
        }
        let nbl = pass.platform.assemble(&mut self.pieces, None, None, Info::default())?;
        let read = pass.platform.view(&nbl, 0).zip(pass.platform.block());
        let Some(frame) = read.and_then(|(view, block)| Frame::of_view(block, view, 0)) else {
            free(pass, nbl);
            return None;
        };
        let to = pass.ports.destination(in_port);
        let external = to.is_some_and(|to| to.kind == NicKind::External);
        let facts = Facts { source: to.map(|to| to.nic).unwrap_or_default(), frames: 1, ..Facts::default() };
        // It is complete: nothing was left to hardware.
        let (offload, end, from) = (Offload::default(), End::Dropped, From::UserSpace);
        let (lacks_length, is_shared, copies) = (false, false, Group::default());
        self.held.push(Held { nbl, from, facts, external, offload, lacks_length, end, is_shared, copies });
        Some(frame)
    }

    /// Puts every packet in hand into the plan.
    #[inline(never)]
    fn finish(&mut self, pass: &Pass<'_, P>, plan: &mut Plan<P>) {
        for (held, to) in self.held.drain(..).zip(&mut self.to) {
            finish_one(pass, plan, held, to);
            to.clear();
        }
    }
}

impl<P: Platform> Lane<P> {
    /// A lane with all its memory; `None` if there is not enough.
    #[inline(never)]
    pub fn try_new(seed: u64) -> Option<Lane<P>> {
        let hand = Hand::try_new()?;
        Some(Lane { worker: boxed_worker(seed)?, hand })
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
        let hand = &mut self.hand;
        // A batch of packets at most: fewer than a byte has numbers.
        let origin = hand.held.len() as u8;
        let offload = if source.external { facts.info.offload_done() } else { Offload::default() };
        let (end, from) = (End::Dropped, From::Switch);
        // There is room: a full lane was emptied.
        let (lacks_length, is_shared, copies) = (false, false, Group::default());
        let external = source.external;
        hand.held.push(Held { nbl, from, facts, external, offload, lacks_length, end, is_shared, copies });
        for index in 0..facts.frames {
            if self.hand.batch.is_full() {
                self.run(pass);
            }
            self.hand.take_frame(pass, &source, (origin, index));
        }
        if self.hand.batch.is_full() || self.hand.held.len() >= BATCH {
            self.flush(pass, plan);
        }
    }

    /// Works on everything in hand and puts it into the plan.
    pub fn flush(&mut self, pass: &Pass<'_, P>, plan: &mut Plan<P>) {
        self.run(pass);
        self.hand.finish(pass, plan);
    }

    /// Executes actions on a packet from user space.
    #[inline(never)]
    pub fn execute(
        &mut self,
        pass: &Pass<'_, P>,
        plan: &mut Plan<P>,
        (meta, packet): (&PacketMeta, &[u8]),
        actions: &[Action],
    ) {
        let Some(frame) = self.hand.take_from_user_space(pass, meta.in_port, packet) else {
            self.hand.pieces.clear();
            return pass.datapath.count_drops(DropReason::NoMemory, 1);
        };
        let mut services = Services(pass);
        self.worker.execute(pass.datapath, &mut services, pass.now, (*meta, frame), actions);
        self.collect(pass);
        self.hand.finish(pass, plan);
    }

    /// Runs the batch.
    fn run(&mut self, pass: &Pass<'_, P>) {
        let mut services = Services(pass);
        self.worker.process(pass.datapath, &mut services, pass.now, &mut self.hand.batch);
        self.collect(pass);
    }

    /// Takes everything out of the worker.
    fn collect(&mut self, pass: &Pass<'_, P>) {
        let Lane { worker, hand } = self;
        for deep in 0..=TUNNELS {
            // each in a function of its own: kernel frames are small
            take_upcalls(pass, worker, &mut hand.held);
            take_transmits(pass, worker, hand, deep < TUNNELS);
            if hand.arrived.is_empty() {
                return;
            }
            take_out_of_tunnels(pass, worker, hand);
        }
    }
}

/// Gives a frame the tag with which it enters the flows, by its port's policies; refused if they forbid it.
#[inline(never)]
fn admit<P: Platform>(ports: &Ports, source: &Source, frame: &mut Frame<P>) -> Result<(), DropReason> {
    let admitted = ports.entering(source, frame.eth_src(), frame.tag())?;
    frame.strip_tag();
    if let Some(tci) = admitted {
        // As when it came: a frame too short for a tag is too short for the core.
        let _ = frame.insert_tag(tci);
    }
    Ok(())
}

/// Has packets of tunnels taken out of their headers; what was inside goes through the flows.
#[inline(never)]
fn take_out_of_tunnels<P: Platform>(pass: &Pass<'_, P>, worker: &mut Worker<Frame<P>>, hand: &mut Hand<P>) {
    for (frame, tunnel) in hand.arrived.drain(..) {
        let meta = PacketMeta { in_port: tunnel, ..PacketMeta::default() };
        let actions = [Action::TnlPop(tunnel)];
        worker.execute(pass.datapath, &mut Services(pass), pass.now, (meta, frame), &actions);
    }
}

#[inline(never)]
fn take_upcalls<P: Platform>(pass: &Pass<'_, P>, worker: &mut Worker<Frame<P>>, held: &mut [Held<P>]) {
    worker.egress().take_upcalls(|upcall| to_user_space(pass, upcall, held));
}

/// Queues a packet for the switch in user space, complete: its messages say nothing of work left to hardware.
#[inline(never)]
fn to_user_space<P: Platform>(pass: &Pass<'_, P>, upcall: &mut Upcall<Frame<P>>, held: &mut [Held<P>]) {
    if let Some(held) = held.get_mut(usize::from(upcall.packet.origin)) {
        if !held.external && held.facts.info.wants_ip_checksum() {
            upcall.packet.complete_ip();
        }
        if held.end != End::Copied {
            held.end = End::ToUserSpace;
        }
    }
    let queued = pass.platform.device().is_some_and(|device| device.upcall(pass.extension, upcall));
    if !queued {
        pass.datapath.count_lost(1);
    }
}

#[inline(never)]
fn take_transmits<P: Platform>(
    pass: &Pass<'_, P>,
    worker: &mut Worker<Frame<P>>,
    hand: &mut Hand<P>,
    may_end_tunnels: bool,
) {
    for (number, frame) in worker.egress().transmits() {
        let to = pass.ports.destination(number);
        if may_end_tunnels && let Some(tunnel) = to.and_then(|to| tunnel_ending(pass, hand, &frame, &to)) {
            if hand.arrived.len() < hand.arrived.capacity() {
                hand.arrived.push((frame, tunnel));
            } else {
                pass.datapath.count_drops(DropReason::WorklistFull, 1);
            }
            continue;
        }
        match to {
            Some(to) => Output { pass, hand }.transmit(frame, &to),
            None => pass.datapath.count_drops(DropReason::InvalidPort, 1),
        }
    }
}

/// The tunnel's port for which a packet is that goes to the host: one from outside, for an address of the host's, in the VLAN of
/// the adapter that has it.
fn tunnel_ending<P: Platform>(
    pass: &Pass<'_, P>,
    hand: &Hand<P>,
    frame: &Frame<P>,
    to: &To,
) -> Option<OdpPort> {
    if to.kind != NicKind::Internal || !hand.held.get(usize::from(frame.origin))?.external {
        return None;
    }
    let (tunnel, end) = pass.ports.tunnel_of(frame.head())?;
    let is_hosts = pass.extension.ways().is_own(end) && pass.ports.is_in_hosts_network(to, frame.tag());
    is_hosts.then_some(tunnel)
}

#[inline(never)]
fn finish_one<P: Platform>(pass: &Pass<'_, P>, plan: &mut Plan<P>, held: Held<P>, to: &[Destination]) {
    let Held { mut nbl, from, facts, end, is_shared, copies, .. } = held;
    plan.send.append(copies);
    if from == From::UserSpace {
        return free(pass, nbl);
    }
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
        End::Refused => (Outcome::Dropped, Some(Reason::Refused)),
        End::ToUserSpace => (Outcome::Dropped, Some(Reason::ToUserSpace)),
        End::NoMemory => (Outcome::Resources, Some(Reason::Dropped)),
    };
    if let Some(reason) = reason {
        pass.platform.report(&nbl, facts.source, reason);
    }
    pass.platform.set_outcome(&mut nbl, outcome);
    let back = if is_shared { pass.platform.park(nbl) } else { Some(nbl) };
    if let Some(nbl) = back {
        plan.done.push(nbl, facts.source, &[]);
    }
}

/// Frees a packet of ours that went nowhere. What it shares data with is in hand, and not set aside.
fn free<P: Platform>(pass: &Pass<'_, P>, nbl: P::Nbl) {
    let _ = pass.platform.free(nbl);
}

/// Where a packet of ours with the frame's bytes comes from, and what is left to hardware; `None` if that cannot be said.
#[inline(never)]
fn sent_as<P: Platform>(held: &Held<P>, frame: &mut Frame<P>) -> Option<(Option<NicId>, Info)> {
    let source = Some(held.facts.source).filter(|source| source.port != 0);
    // A tunnel's headers have requests of their own; so has what came inside STT's, whose packets have none.
    let is_own = frame.finished || !asks(&held.offload) && asks(frame.offload());
    if !is_own {
        return Some((source, held.facts.info.after(&held.offload, frame.offload())));
    }
    if frame.offload().segment.is_some() && !frame.leave_to_large_send() {
        return None;
    }
    let info = Info::to_do(frame.offload(), frame.is_ipv6());
    // Beside packets from outside are findings, no requests: with such it is the extension's own.
    Some((source.filter(|_| info == Info::default() || !held.external), info))
}

/// Where one output of the worker goes.
struct Output<'a, 'p, P: Platform> {
    pass: &'a Pass<'p, P>,
    hand: &'a mut Hand<P>,
}

impl<P: Platform> Output<'_, '_, P> {
    fn transmit(&mut self, mut frame: Frame<P>, to: &To) {
        let (len, destination) = (frame.len(), Destination(to.nic));
        let tci = match self.pass.ports.leaving(to, frame.tag()) {
            Ok(tci) => tci,
            Err(reason) => return self.pass.datapath.count_drops(reason, 1),
        };
        frame.strip_tag();
        let origin = usize::from(frame.origin);
        if !frame.finished && self.hand.held.get(origin).is_some_and(|held| held.lacks_length) {
            frame.clear_length();
        }
        if self.is_unchanged(&frame, tci)
            && let Some(all) = self.hand.to.get_mut(origin).filter(|all| !all.contains(&destination))
            && all.try_reserve(1).is_ok()
        {
            all.push(destination);
            self.hand.keep(frame.into_block());
        } else if !self.copy(frame, tci, destination) {
            return self.pass.datapath.count_drops(DropReason::NoMemory, 1);
        }
        self.pass.ports.count_tx(to, len);
    }

    /// True if the received packet itself can go where this frame is to go.
    fn is_unchanged(&self, frame: &Frame<P>, tci: Option<u16>) -> bool {
        let Some(held) = self.hand.held.get(usize::from(frame.origin)) else { return false };
        let safe = held.facts.safe_size.is_none_or(|n| usize::from(n) >= frame.head_len());
        let is_alone = held.facts.frames == 1 && held.from == From::Switch;
        let same = tci == held.facts.info.tci() && *frame.offload() == held.offload;
        is_alone && safe && same && !held.is_shared && frame.is_as_it_came()
    }

    /// Sends a packet of our own with the frame's bytes; false if memory is short. What does not fit into the frame's block is
    /// not copied: the received packet is kept for it, unless that goes somewhere itself.
    fn copy(&mut self, mut frame: Frame<P>, tci: Option<u16>, destination: Destination) -> bool {
        let (pass, hand) = (self.pass, &mut *self.hand);
        let origin = usize::from(frame.origin);
        let stays = hand.to.get(origin).is_some_and(Vec::is_empty);
        let Some(held) = hand.held.get_mut(origin) else { return false };
        let Some((source, info)) = sent_as(held, &mut frame) else { return false };
        let may_share = stays && held.from == From::Switch && frame.is_longer_than_its_block();
        let shared = if may_share { frame.share_rest(pass.platform) } else { None };
        let is_shared = shared.is_some();
        if is_shared {
            frame.into_head(&mut hand.pieces);
        } else if !frame.into_pieces(pass.platform, &mut hand.pieces) {
            return false;
        }
        let info = info.with_tci(tci);
        let Some(mut nbl) = pass.platform.assemble(&mut hand.pieces, shared, source, info) else {
            return false;
        };
        if !pass.platform.add_destinations(&mut nbl, &[destination]) {
            free(pass, nbl);
            return false;
        }
        held.is_shared |= is_shared;
        held.end = End::Copied;
        pass.life.hold();
        held.copies.push(nbl, source.unwrap_or_default(), &[destination]);
        true
    }
}
