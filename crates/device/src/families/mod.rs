//! What each family does with a request.
//!
//! Where it sits: called by `device.rs` with requests whose headers are right; calls the datapath, the connection table and
//! the host.

mod control;
mod datapath;
mod flow;
mod limits;
mod packet;
mod vport;

use ::datapath::FlowPut;
use alloc::vec::Vec;
use netlink::{Builder, Header, flags};

use crate::handle::{Dump, Listing};
use crate::request::{Request, Target};
use crate::{Device, Env, Errno, Handle, Status, Ticket, VportHost, Written};

pub(crate) use control::wait;
#[cfg(test)]
pub(crate) use flow::refusal;
pub(crate) use vport::finish_port;

/// A transaction in hand.
pub(crate) struct Call<'a, H: ?Sized> {
    pub device: &'a Device,
    pub env: Env<'a, H>,
    pub handle: Handle,
    pub request: &'a Request<'a>,
}

/// A family's answer.
pub(crate) enum Answer {
    Message(Builder),
    Later(Ticket),
}

/// A megaflow that somebody tried without wanting it: found by GET and DEL, hit by no packet.
#[derive(Debug)]
pub(crate) struct Probe {
    pub handle: Handle,
    /// One flow; on the heap, for its size.
    pub flow: Vec<FlowPut>,
}

impl<H: ?Sized> Call<'_, H> {
    /// The header of a reply.
    pub(crate) fn header(&self, flags: u16) -> Header {
        Header { kind: self.request.header.kind, flags, seq: self.request.header.seq, pid: self.handle.pid() }
    }
}

#[inline(never)]
pub(crate) fn transact<H: VportHost + ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    match call.request.target {
        Target::Control => control::transact(call),
        Target::Datapath => datapath::transact(call),
        Target::Vport => vport::transact(call),
        Target::Netdev => vport::netdev(call),
        Target::Flow => flow::transact(call),
        Target::Packet => packet::execute(call),
        Target::Meter => limits::meter(call),
        Target::CtLimit => limits::ct_limit(call),
        Target::CtSetting => crate::ct_setting::transact(call),
        Target::Counts => crate::counts::transact(call),
        Target::Ct => crate::ct::delete(call),
    }
}

pub(crate) fn write<H: VportHost + ?Sized>(
    device: &Device,
    host: &H,
    handle: Handle,
    request: &Request<'_>,
) -> Result<Written, Status> {
    let listing = match request.target {
        Target::Control => return control::write(device, host, handle, request),
        Target::Datapath => Listing::Datapath,
        Target::Vport => Listing::Vports(0),
        Target::Flow => {
            let attrs = odp::netlink::flow::FlowAttrs::decode(request.attrs.clone());
            Listing::Flows { next: Some(0), omit: attrs.map_err(|_| Status::InvalidParameter)?.omit }
        }
        Target::Ct => crate::ct::listing(request),
        Target::CtSetting => Listing::Waiting(0),
        _ => return Err(Status::InvalidParameter),
    };
    device.slot(handle)?.dump = Some(Dump { seq: request.header.seq, listing });
    Ok(Written::Done)
}

/// One part of a dump: bytes written, and what is left.
#[inline(never)]
pub(crate) fn read<H: VportHost + ?Sized>(
    device: &Device,
    env: Env<'_, H>,
    handle: Handle,
    dump: Dump,
    out: &mut [u8],
) -> Result<(usize, Option<Dump>), Status> {
    let header = Header { kind: 0, flags: flags::MULTI, seq: dump.seq, pid: handle.pid() };
    let (written, rest) = match dump.listing {
        Listing::Datapath => (datapath::dump(device, env, &header, out)?, None),
        Listing::Vports(from) => vport::dump(device, env, &header, from, out)?,
        Listing::Flows { next, omit } => flow::dump(env, &header, next, omit, out)?,
        Listing::Connections { at, family, zone } => crate::ct::dump(env, &header, at, (family, zone), out)?,
        Listing::Waiting(at) => crate::ct_setting::dump(env, &header, at, out)?,
        Listing::Expected(at) => crate::ct_setting::dump_expected(env, &header, at, out)?,
    };
    Ok((written, rest.map(|listing| Dump { listing, ..dump })))
}
