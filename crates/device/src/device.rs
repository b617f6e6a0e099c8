//! The device: its handles, its operations, its queues.
//!
//! Where it sits: what every carrier calls. Families do the work; here is what is the same for all of them.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use datapath::{Datapath, Upcall, UpcallKind};
use netlink::{Builder, Header};
use odp::netlink::ids::{self, packet_cmd};
use odp::netlink::packet as packet_attrs;
use odp::netlink::vport::{VportAttrs, VportKind};
use packet::{Now, OdpPort, PacketBuf, Segments};
use sync::{RwSpin, SpinGuard, SpinLock};

use crate::families::{self, Answer, Call};
use crate::handle::{CT_DESTROY, CT_NEW, CT_UPDATE, Handle, MAX_HANDLES, Slot, Waited};
use crate::ports::{self, Ports, Stage, Vport};
use crate::request::{self, MIN_REPLY, Operation};
use crate::ring::{Popped, Ring};
use crate::{Errno, PortRef, Queue, Status, Ticket, VportHost};

/// How large the device's queues are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Handles at most, up to 512.
    pub handles: usize,
    /// Bytes of a handle's queue of events.
    pub event_bytes: usize,
    /// Bytes of a handle's queue of upcalls.
    pub packet_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { handles: MAX_HANDLES, event_bytes: 64 << 10, packet_bytes: 4 << 20 }
    }
}

/// Bytes in which the largest upcall is written: a frame, its key, and what an action gave.
const SCRATCH: usize = 140 << 10;
/// Bytes of the largest frame that an attribute holds.
const MAX_FRAME: usize = 65_531;

/// What an operation works on.
pub struct Env<'a, H: ?Sized> {
    /// The datapath.
    pub datapath: &'a Datapath,
    /// Who has the ports.
    pub host: &'a H,
    /// The time.
    pub now: Now,
}

impl<H: ?Sized> Clone for Env<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: ?Sized> Copy for Env<'_, H> {}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The reply has this many bytes.
    Reply(usize),
    /// The host answers later, by [`Device::finish_port`].
    Pending(Ticket),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It is done.
    Done,
    /// The queue is empty: the operation waits until [`VportHost::wake`] names it.
    Wait(Queue),
}

/// What the device lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Upcalls whose port has no receiver, or one that is gone.
    pub upcalls_unwanted: u64,
    /// Upcalls that did not fit into their receiver's queue.
    pub upcalls_lost: u64,
    /// Events that did not fit into a handle's queue.
    pub events_lost: u64,
}

/// A datapath's pseudo device.
pub struct Device {
    pub(crate) config: Config,
    slots: Vec<SpinLock<Slot>>,
    pub(crate) ports: RwSpin<Ports>,
    pub(crate) probes: SpinLock<Vec<families::Probe>>,
    pub(crate) user_features: AtomicU32,
    upcalls_unwanted: AtomicU64,
    upcalls_lost: AtomicU64,
    events_lost: AtomicU64,
}

impl Device {
    /// A device without handles and ports; `None` if memory is short.
    pub fn try_new(config: Config) -> Option<Device> {
        let handles = config.handles.min(MAX_HANDLES);
        let mut slots = Vec::new();
        slots.try_reserve_exact(handles).ok()?;
        slots.resize_with(handles, || SpinLock::new(Slot::default()));
        Some(Device {
            config,
            slots,
            ports: RwSpin::new(Ports::default()),
            probes: SpinLock::new(Vec::new()),
            user_features: AtomicU32::new(0),
            upcalls_unwanted: AtomicU64::new(0),
            upcalls_lost: AtomicU64::new(0),
            events_lost: AtomicU64::new(0),
        })
    }

    /// What was lost.
    pub fn counters(&self) -> Counters {
        Counters {
            upcalls_unwanted: self.upcalls_unwanted.load(Relaxed),
            upcalls_lost: self.upcalls_lost.load(Relaxed),
            events_lost: self.events_lost.load(Relaxed),
        }
    }

    /// The open slot of a handle.
    pub(crate) fn slot(&self, handle: Handle) -> Result<SpinGuard<'_, Slot>, Status> {
        let slot = self.slots.get(usize::from(handle.index)).ok_or(Status::InvalidHandle)?.lock();
        if slot.is_open && slot.generation == handle.generation {
            Ok(slot)
        } else {
            Err(Status::InvalidHandle)
        }
    }

    /// Opens an instance.
    pub fn open(&self) -> Result<Handle, Status> {
        for (index, slot) in (0u16..).zip(&self.slots) {
            let mut slot = slot.lock();
            if !slot.is_open {
                slot.is_open = true;
                return Ok(Handle { index, generation: slot.generation });
            }
        }
        Err(Status::NoResources)
    }

    /// Closes an instance: its queues and dumps go. A wait of it ends as its carrier likes.
    pub fn close(&self, handle: Handle) {
        if let Ok(mut slot) = self.slot(handle) {
            let generation = slot.generation.wrapping_add(1) & (u32::MAX >> 9);
            let old = core::mem::replace(&mut *slot, Slot { generation, ..Slot::default() });
            drop(slot);
            drop(old);
            self.probes.lock().retain(|p| p.handle != handle);
        }
    }

    /// The number of an instance in messages (`GET_PID`).
    pub fn pid(&self, handle: Handle) -> Result<u32, Status> {
        self.slot(handle).map(|_| handle.pid())
    }

    /// Writes a message: begins a dump, subscribes, or waits (`WRITE`).
    #[inline(never)]
    pub fn write<H: VportHost + ?Sized>(
        &self,
        env: Env<'_, H>,
        handle: Handle,
        message: &[u8],
    ) -> Result<Written, Status> {
        let pid = self.pid(handle)?;
        let request = request::parse(message, pid, Operation::Write)?;
        families::write(self, env.host, handle, &request)
    }

    /// Says again that somebody waits for a queue, as a carrier must that could note the waiter only after
    /// [`Device::write`] asked for it: whatever was queued in between woke nobody.
    pub fn wait(&self, handle: Handle, queue: Queue) -> Result<Written, Status> {
        families::wait(self, handle, queue)
    }

    /// Carries a request out and writes the answer to `reply` (`TRANSACT`).
    #[inline(never)]
    pub fn transact<H: VportHost + ?Sized>(
        &self,
        env: Env<'_, H>,
        handle: Handle,
        message: &[u8],
        reply: &mut [u8],
    ) -> Result<Outcome, Status> {
        if reply.len() < MIN_REPLY {
            return Err(Status::InvalidLength);
        }
        let pid = self.pid(handle)?;
        let request = request::parse(message, pid, Operation::Transact)?;
        let call = Call { device: self, env, handle, request: &request };
        match families::transact(&call) {
            Ok(Answer::Message(b)) => deliver(b, reply).map(Outcome::Reply),
            Ok(Answer::Later(ticket)) => Ok(Outcome::Pending(ticket)),
            Err(error) => {
                let bytes = request::error(message, error).ok_or(Status::InvalidParameter)?;
                copy(&bytes, reply).map(Outcome::Reply)
            }
        }
    }

    /// The next part of a dump; zero bytes at its end, or without one (`READ`).
    #[inline(never)]
    pub fn read<H: VportHost + ?Sized>(
        &self,
        env: Env<'_, H>,
        handle: Handle,
        out: &mut [u8],
    ) -> Result<usize, Status> {
        if out.len() < MIN_REPLY {
            return Err(Status::InvalidLength);
        }
        let Some(dump) = self.slot(handle)?.dump else { return Ok(0) };
        let (written, rest) = families::read(self, env, handle, dump, out)?;
        let mut slot = self.slot(handle)?;
        // Another dump may have begun meanwhile on the same handle.
        if slot.dump == Some(dump) {
            slot.dump = rest;
        }
        Ok(written)
    }

    /// The oldest event; zero bytes if there is none (`READ_EVENT`).
    pub fn read_event(&self, handle: Handle, out: &mut [u8]) -> Result<usize, Status> {
        self.pop(handle, Queue::Events, out)
    }

    /// The oldest upcall; zero bytes if there is none (`READ_PACKET`).
    pub fn read_packet(&self, handle: Handle, out: &mut [u8]) -> Result<usize, Status> {
        self.pop(handle, Queue::Packets, out)
    }

    fn pop(&self, handle: Handle, queue: Queue, out: &mut [u8]) -> Result<usize, Status> {
        if out.len() < MIN_REPLY {
            return Err(Status::InvalidLength);
        }
        let mut slot = self.slot(handle)?;
        let waited = match queue {
            Queue::Events => slot.events.as_mut(),
            Queue::Packets => slot.packets.as_mut(),
        };
        match waited.ok_or(Status::InvalidParameter)?.ring.pop(out) {
            Popped::Empty => Ok(0),
            Popped::Message(n) => Ok(n),
            Popped::TooLong(_) => Err(Status::InvalidLength),
        }
    }

    /// Adds a port that the host has already, such as the local port.
    pub fn adopt_port(&self, port: &PortRef<'_>) -> Result<OdpPort, Errno> {
        let name = ports::text(port.name)?;
        let (kind, tunnel_port) = (port.kind, port.tunnel_port);
        let new =
            Vport { number: port.number, kind, name, tunnel_port, pids: Vec::new(), stage: Stage::Open };
        self.ports.write().add(new, Some(port.number.0))
    }

    /// Calls `each` with every open port, by number; false, and it stops, if memory is short or `each` says so.
    pub fn for_each_port(&self, mut each: impl FnMut(&PortRef<'_>) -> bool) -> bool {
        let mut from = 0;
        loop {
            let port = match self.ports.read().from(from) {
                None => return true,
                Some(port) => port.try_clone(),
            };
            let Ok(port) = port else { return false };
            if !each(&port.as_ref()) {
                return false;
            }
            from = port.number.0.saturating_add(1);
        }
    }

    /// Type and tunnel's destination port of a port, if it is there.
    pub fn port(&self, number: OdpPort) -> Option<(VportKind, Option<u16>)> {
        self.ports.read().get(number).map(|p| (p.kind, p.tunnel_port))
    }

    /// Finishes a request whose answer the host owed; writes it to `reply`.
    #[inline(never)]
    pub fn finish_port<H: VportHost + ?Sized>(
        &self,
        env: Env<'_, H>,
        ticket: Ticket,
        result: Result<(), Errno>,
        reply: &mut [u8],
    ) -> Result<usize, Status> {
        match families::finish_port(self, env, ticket, result) {
            Ok(b) => deliver(b, reply),
            Err(error) => {
                let kind = ids::VPORT.id.to_ne_bytes();
                let (seq, pid) = (ticket.seq.to_ne_bytes(), ticket.handle.pid().to_ne_bytes());
                let mut head = [0; 16];
                for (at, bytes) in [(4, &kind[..]), (8, &seq), (12, &pid)] {
                    let to = head.get_mut(at..).and_then(|h| h.get_mut(..bytes.len()));
                    to.ok_or(Status::InvalidLength)?.copy_from_slice(bytes);
                }
                copy(&request::error(&head, error).ok_or(Status::InvalidParameter)?, reply)
            }
        }
    }

    /// Tells every subscriber that a port came (`OVS_VPORT_CMD_NEW`), changed (`OVS_VPORT_CMD_SET`) or went
    /// (`OVS_VPORT_CMD_DEL`).
    #[inline(never)]
    pub fn port_event<H: VportHost + ?Sized>(&self, host: &H, port: &PortRef<'_>, command: u8) {
        self.publish(host, Slot::hears_of_ports, |pid| port_message(port, command, pid));
    }

    /// Tells one subscriber of an adapter that was there before it listened.
    pub(crate) fn port_event_to<H: VportHost + ?Sized>(
        &self,
        host: &H,
        handle: Handle,
        port: &PortRef<'_>,
        command: u8,
    ) {
        self.queue_event(host, handle, port_message(port, command, handle.pid()));
    }

    /// Hands the connection table's events to their subscribers.
    #[inline(never)]
    pub fn publish_connections<H: VportHost + ?Sized>(&self, env: Env<'_, H>) {
        while let Some(event) = env.datapath.conntrack().poll_event() {
            let bit = match event.kind {
                conntrack::EventKind::New => CT_NEW,
                conntrack::EventKind::Update => CT_UPDATE,
                conntrack::EventKind::Destroy => CT_DESTROY,
            };
            let wanted = |slot: &Slot| slot.protocol == ids::NETLINK_NETFILTER && slot.groups & bit != 0;
            self.publish(env.host, wanted, |pid| crate::ct::event(&event, pid));
        }
    }

    #[inline(never)]
    fn publish<H: VportHost + ?Sized>(
        &self,
        host: &H,
        wanted: impl Fn(&Slot) -> bool,
        message: impl Fn(u32) -> Option<Vec<u8>>,
    ) {
        for (index, slot) in (0u16..).zip(&self.slots) {
            let handle = {
                let slot = slot.lock();
                if !slot.is_open || !wanted(&slot) {
                    continue;
                }
                Handle { index, generation: slot.generation }
            };
            self.queue_event(host, handle, message(handle.pid()));
        }
    }

    /// Queues an event, or counts it as lost.
    fn queue_event<H: VportHost + ?Sized>(&self, host: &H, handle: Handle, bytes: Option<Vec<u8>>) {
        let Ok(mut slot) = self.slot(handle) else { return };
        let Some(queue) = slot.events.as_mut() else { return };
        let queued = bytes.is_some_and(|bytes| queue.ring.push(&bytes));
        let wake = queued && core::mem::take(&mut queue.waiting);
        drop(slot);
        if !queued {
            self.events_lost.fetch_add(1, Relaxed);
        }
        if wake {
            host.wake(handle, Queue::Events);
        }
    }

    /// Queues an upcall for the receiver of its port; false if it is lost, and counted. Allocates nothing.
    #[inline(never)]
    pub fn upcall<B: PacketBuf, H: VportHost + ?Sized>(&self, host: &H, upcall: &Upcall<B>) -> bool {
        let hash = classifier::hash_key(&upcall.key, 0);
        let pid = self.ports.read().get(OdpPort(upcall.key.in_port())).and_then(|p| p.receiver(hash));
        let Some(handle) = pid.map(Handle::of_pid) else { return self.unwanted() };
        let Ok(mut slot) = self.slot(handle) else { return self.unwanted() };
        let memory = core::mem::take(&mut slot.scratch);
        let Some(queue) = slot.packets.as_mut() else { return self.unwanted() };
        if upcall.packet.len() > MAX_FRAME {
            slot.scratch = memory;
            drop(slot);
            return self.lost();
        }
        let (memory, queued) = queue_upcall(memory, upcall, handle.pid(), &mut queue.ring);
        let wake = queued && core::mem::take(&mut queue.waiting);
        slot.scratch = memory;
        drop(slot);
        if wake {
            host.wake(handle, Queue::Packets);
        }
        queued || self.lost()
    }

    fn unwanted(&self) -> bool {
        self.upcalls_unwanted.fetch_add(1, Relaxed);
        false
    }

    fn lost(&self) -> bool {
        self.upcalls_lost.fetch_add(1, Relaxed);
        false
    }

    /// A queue of upcalls, and the memory to write them in.
    pub(crate) fn packet_queue(&self) -> Option<(Waited, Vec<u8>)> {
        let mut scratch = Vec::new();
        scratch.try_reserve_exact(SCRATCH).ok()?;
        Some((Waited { ring: Ring::try_new(self.config.packet_bytes)?, waiting: false }, scratch))
    }
}

/// An event about a port; `None` if memory is short.
fn port_message(port: &PortRef<'_>, command: u8, pid: u32) -> Option<Vec<u8>> {
    let attrs = VportAttrs {
        number: Some(port.number.0),
        kind: Some(port.kind as u32),
        name: Some(port.name),
        pids: Some(&[0; 4]),
        ..VportAttrs::default()
    };
    let mut b = Builder::new();
    request::begin(&mut b, ids::VPORT, &Header { pid, ..Header::default() }, command);
    attrs.encode(&mut b);
    b.finish()
}

/// Queues an upcall, a large send as the packets that it stands for; tells whether something was queued.
#[inline(never)]
fn queue_upcall<B: PacketBuf>(
    mut memory: Vec<u8>,
    upcall: &Upcall<B>,
    pid: u32,
    ring: &mut Ring,
) -> (Vec<u8>, bool) {
    let packet = &upcall.packet;
    let mut queued = false;
    if packet.offload().segment.is_none() {
        let len = packet.len();
        let (memory, whole) = encode_upcall(memory, upcall, pid, len, |to| {
            // What is missing must not pass as zeros: a host may fail to reach bytes of its own packet.
            let copied = packet.copy_out(0, to) == len;
            // Messages do not say what hardware was to do.
            let _ = packet.offload().l4.complete(to);
            copied
        });
        queued = whole && ring.push(&memory);
        return (memory, queued);
    }
    // Headers that are no segment's give nothing, and count as lost.
    let Some(cuts) = Segments::of(packet.head(), packet.len(), packet.offload()) else {
        return (memory, false);
    };
    for index in 0..cuts.count() {
        let (headers, body) = (cuts.headers(), cuts.body(index));
        let len = headers.saturating_add(body.len());
        let whole;
        (memory, whole) = encode_upcall(memory, upcall, pid, len, |to| {
            let Some((head, rest)) = to.split_at_mut_checked(headers) else { return false };
            let copied =
                packet.copy_out(0, head) == headers && packet.copy_out(body.start, rest) == body.len();
            copied && cuts.finish(to, index).is_some()
        });
        if !whole || !ring.push(&memory) {
            return (memory, queued);
        }
        queued = true;
    }
    (memory, queued)
}

/// Writes the message of a packet of `len` bytes, which `fill` writes; tells whether it is whole.
#[inline(never)]
fn encode_upcall<B: PacketBuf>(
    memory: Vec<u8>,
    upcall: &Upcall<B>,
    pid: u32,
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> bool,
) -> (Vec<u8>, bool) {
    let command = match upcall.kind {
        UpcallKind::Miss => packet_cmd::MISS,
        UpcallKind::Action { .. } => packet_cmd::ACTION,
    };
    let mut b = Builder::with_memory(memory);
    request::begin(&mut b, ids::PACKET, &Header { pid, ..Header::default() }, command);
    packet_attrs::put_key(&mut b, &upcall.key);
    if upcall.meta.mru != 0 {
        packet_attrs::put_mru(&mut b, upcall.meta.mru);
    }
    if let UpcallKind::Action { userdata, more, .. } = &upcall.kind {
        if let Some(key) = more.as_ref().and_then(|more| more.tunnel.as_ref()) {
            packet_attrs::put_egress_tunnel(&mut b, key);
        }
        if !userdata.is_empty() {
            packet_attrs::put_userdata(&mut b, userdata);
        }
        if let Some(list) = more.as_ref().and_then(|more| more.actions.as_ref()) {
            packet_attrs::put_actions(&mut b, list);
        }
        if let Some(len) = more.as_ref().and_then(|more| more.whole_len) {
            packet_attrs::put_len(&mut b, len);
        }
    }
    if upcall.meta.rss_hash != 0 {
        packet_attrs::put_hash(&mut b, u64::from(upcall.meta.rss_hash));
    }
    let mut filled = false;
    packet_attrs::put_frame(&mut b, len, |to| filled = fill(to));
    let (memory, whole) = b.into_memory();
    (memory, whole && filled)
}

/// Copies a message into the caller's memory.
pub(crate) fn copy(bytes: &[u8], out: &mut [u8]) -> Result<usize, Status> {
    out.get_mut(..bytes.len()).ok_or(Status::InvalidLength)?.copy_from_slice(bytes);
    Ok(bytes.len())
}

fn deliver(b: Builder, out: &mut [u8]) -> Result<usize, Status> {
    copy(&b.finish().ok_or(Status::NoResources)?, out)
}
