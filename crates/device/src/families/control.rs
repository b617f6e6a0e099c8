//! The control family: properties of a handle, subscriptions, waiting.
//!
//! Where it sits: under `families`. Numbers begin at zero here.

use netlink::{Builder, flags};
use odp::netlink::ids::{self, control_attr as attr, control_cmd as cmd};

use super::{Answer, Call};
use crate::handle::Waited;
use crate::request::{Request, begin};
use crate::ring::Ring;
use crate::{Device, Errno, Handle, Queue, Status, VportHost, Written};

/// `SOCK_PROP`: sets the protocol and tells the handle's number.
#[inline(never)]
pub(super) fn transact<H: ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let find = |kind| call.request.attrs.find(kind).and_then(netlink::Attr::u32).ok_or(Errno::Inval);
    let (protocol, pid) = (find(attr::SOCK_PROTO)?, find(attr::SOCK_PID)?);
    if pid != call.handle.pid() || !matches!(protocol, ids::NETLINK_GENERIC | ids::NETLINK_NETFILTER) {
        return Err(Errno::Inval);
    }
    call.device.slot(call.handle).map_err(|_| Errno::Inval)?.protocol = protocol;
    let mut b = Builder::new();
    begin(&mut b, ids::CONTROL, &call.header(flags::MULTI), cmd::SOCK_PROP);
    b.put_u32(attr::SOCK_PID, pid);
    b.put_u32(attr::SOCK_PROTO, protocol);
    Ok(Answer::Message(b))
}

pub(super) fn write<H: VportHost + ?Sized>(
    device: &Device,
    host: &H,
    handle: Handle,
    request: &Request<'_>,
) -> Result<Written, Status> {
    match request.command {
        cmd::PEND => return wait(device, handle, Queue::Events),
        cmd::PEND_PACKET => return wait(device, handle, Queue::Packets),
        _ => {}
    }
    let (queue, gone) = if request.command == cmd::MC_SUBSCRIBE {
        (Queue::Events, events(device, handle, request)?)
    } else {
        (Queue::Packets, packets(device, handle, request)?)
    };
    // Nobody waits for what never comes.
    if gone.is_some_and(|gone| gone.waiting) {
        host.wake(handle, queue);
    }
    if queue == Queue::Events && device.slot(handle)?.hears_of_ports() {
        host.for_each_unbound(&mut |port, command| device.port_event_to(host, handle, port, command));
    }
    Ok(Written::Done)
}

/// A wait on a queue that is not empty ends at once.
pub(crate) fn wait(device: &Device, handle: Handle, queue: Queue) -> Result<Written, Status> {
    let mut slot = device.slot(handle)?;
    let waited = match queue {
        Queue::Events => slot.events.as_mut(),
        Queue::Packets => slot.packets.as_mut(),
    };
    let waited = waited.ok_or(Status::InvalidParameter)?;
    waited.waiting = waited.ring.is_empty();
    Ok(if waited.waiting { Written::Wait(queue) } else { Written::Done })
}

/// Joins a group or leaves it; returns the queue if nothing is left to be queued.
fn events(device: &Device, handle: Handle, request: &Request<'_>) -> Result<Option<Waited>, Status> {
    let group = request.attrs.find(attr::MCAST_GRP).and_then(netlink::Attr::u32);
    let join = request.attrs.find(attr::MCAST_JOIN).and_then(netlink::Attr::u8);
    let (Some(group), Some(join)) = (group, join) else { return Err(Status::InvalidParameter) };
    let ring = Ring::try_new(device.config.event_bytes).ok_or(Status::NoResources)?;
    let mut slot = device.slot(handle)?;
    let bits = slot.groups_of(group);
    if bits == 0 {
        return Err(Status::InvalidParameter);
    }
    if join == 0 {
        slot.groups &= !bits;
        if slot.groups == 0 {
            return Ok(slot.events.take());
        }
    } else {
        slot.groups |= bits;
        if slot.events.is_none() {
            slot.events = Some(Waited { ring, waiting: false });
        }
    }
    Ok(None)
}

/// Begins to receive upcalls or ends it; returns the queue that ended.
fn packets(device: &Device, handle: Handle, request: &Request<'_>) -> Result<Option<Waited>, Status> {
    let on = request.attrs.find(attr::PACKET_SUBSCRIBE).and_then(netlink::Attr::u8);
    let pid = request.attrs.find(attr::PACKET_PID).and_then(netlink::Attr::u32);
    let on = on.filter(|_| pid == Some(handle.pid())).ok_or(Status::InvalidParameter)?;
    if on == 0 {
        let mut slot = device.slot(handle)?;
        let (gone, scratch) = (slot.packets.take(), core::mem::take(&mut slot.scratch));
        drop(slot);
        drop(scratch);
        return gone.map(Some).ok_or(Status::InvalidParameter);
    }
    let (queue, scratch) = device.packet_queue().ok_or(Status::NoResources)?;
    let mut slot = device.slot(handle)?;
    if slot.packets.is_some() {
        return Err(Status::InvalidParameter);
    }
    (slot.packets, slot.scratch) = (Some(queue), scratch);
    Ok(None)
}
