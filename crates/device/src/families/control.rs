//! The control family: properties of a handle, subscriptions, waiting.
//!
//! Where it sits: under `families`. Numbers begin at zero here.

use netlink::{Builder, flags};
use odp::netlink::ids::{self, control_attr as attr, control_cmd as cmd};

use super::{Answer, Call};
use crate::handle::Waited;
use crate::request::{Request, begin};
use crate::ring::Ring;
use crate::{Device, Errno, Handle, Queue, Status, Written};

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

pub(super) fn write(device: &Device, handle: Handle, request: &Request<'_>) -> Result<Written, Status> {
    match request.command {
        cmd::PEND => wait(device, handle, Queue::Events),
        cmd::PEND_PACKET => wait(device, handle, Queue::Packets),
        cmd::MC_SUBSCRIBE => events(device, handle, request),
        _ => packets(device, handle, request),
    }
}

/// A wait on a queue that is not empty ends at once.
fn wait(device: &Device, handle: Handle, queue: Queue) -> Result<Written, Status> {
    let mut slot = device.slot(handle)?;
    let waited = match queue {
        Queue::Events => slot.events.as_mut(),
        Queue::Packets => slot.packets.as_mut(),
    };
    let waited = waited.ok_or(Status::InvalidParameter)?;
    waited.waiting = waited.ring.is_empty();
    Ok(if waited.waiting { Written::Wait(queue) } else { Written::Done })
}

fn events(device: &Device, handle: Handle, request: &Request<'_>) -> Result<Written, Status> {
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
            let gone = slot.events.take();
            drop(slot);
            drop(gone);
        }
    } else {
        slot.groups |= bits;
        if slot.events.is_none() {
            slot.events = Some(Waited { ring, waiting: false });
        }
    }
    Ok(Written::Done)
}

fn packets(device: &Device, handle: Handle, request: &Request<'_>) -> Result<Written, Status> {
    let on = request.attrs.find(attr::PACKET_SUBSCRIBE).and_then(netlink::Attr::u8);
    let pid = request.attrs.find(attr::PACKET_PID).and_then(netlink::Attr::u32);
    let on = on.filter(|_| pid == Some(handle.pid())).ok_or(Status::InvalidParameter)?;
    if on == 0 {
        let mut slot = device.slot(handle)?;
        let gone = (slot.packets.take(), core::mem::take(&mut slot.scratch));
        drop(slot);
        return if gone.0.is_some() { Ok(Written::Done) } else { Err(Status::InvalidParameter) };
    }
    let (queue, scratch) = device.packet_queue().ok_or(Status::NoResources)?;
    let mut slot = device.slot(handle)?;
    if slot.packets.is_some() {
        return Err(Status::InvalidParameter);
    }
    (slot.packets, slot.scratch) = (Some(queue), scratch);
    Ok(Written::Done)
}
