//! The vport family, and what is told of the devices behind ports.
//!
//! Where it sits: under `families`. A port is in the table while its host opens or closes it, but nobody sees it then.

use alloc::vec::Vec;

use ::datapath::{Command, Datapath};
use netlink::{Builder, Header, flags};
use odp::TunnelKind;
use odp::netlink::ids::{self, cmd};
use odp::netlink::vport::{VportAttrs, VportKind, VportStats};
use packet::OdpPort;

use super::flow::refusal;
use super::{Answer, Call};
use crate::handle::Listing;
use crate::ports::{self, MAX_PIDS, Stage, Vport};
use crate::request::begin;
use crate::{Device, Env, Errno, Progress, Status, Ticket, VportHost};

#[inline(never)]
pub(super) fn transact<H: VportHost + ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let attrs = VportAttrs::decode(call.request.attrs.clone()).map_err(|_| Errno::Inval)?;
    match call.request.command {
        cmd::NEW => new(call, &attrs),
        cmd::DEL => del(call, &attrs),
        cmd::SET => set(call, &attrs),
        _ => get(call, &attrs),
    }
}

/// The number of the open port that a request names, by name first.
fn named(device: &Device, attrs: &VportAttrs<'_>) -> Result<OdpPort, Errno> {
    let ports = device.ports.read();
    let port = match (attrs.name, attrs.number) {
        (Some(name), _) => ports.named(name),
        (None, Some(n)) => ports.get(OdpPort(n)),
        (None, None) => return Err(Errno::Inval),
    };
    port.filter(|p| p.stage == Stage::Open).map(|p| p.number).ok_or(Errno::NoDev)
}

fn receivers(attrs: &VportAttrs<'_>) -> Result<Option<Vec<u8>>, Errno> {
    match attrs.pids {
        Some(pids) if pids.len() / 4 > MAX_PIDS => Err(Errno::Inval),
        Some(pids) => ports::bytes(pids).map(Some),
        None => Ok(None),
    }
}

#[inline(never)]
fn new<H: VportHost + ?Sized>(call: &Call<'_, H>, attrs: &VportAttrs<'_>) -> Result<Answer, Errno> {
    let (Some(name), Some(kind), Some(pids)) = (attrs.name, attrs.kind, receivers(attrs)?) else {
        return Err(Errno::Inval);
    };
    if name.is_empty() {
        return Err(Errno::Inval);
    }
    let kind = VportKind::from_number(kind).ok_or(Errno::NotSup)?;
    let tunnel_port = attrs.tunnel_port;
    let (number, stage) = (OdpPort::NONE, Stage::Opening);
    let port = Vport { number, kind, name: ports::text(name)?, tunnel_port, pids, stage };
    let number = call.device.ports.write().add(port, attrs.number)?;
    let ticket = ticket(call, number);
    let copy = copy_of(call.device, number)?;
    match call.env.host.open_port(&copy.as_ref(), ticket) {
        Progress::Later => Ok(Answer::Later(ticket)),
        Progress::Done(result) => finish_port(call.device, call.env, ticket, result).map(Answer::Message),
    }
}

#[inline(never)]
fn ticket<H: ?Sized>(call: &Call<'_, H>, number: OdpPort) -> Ticket {
    Ticket { handle: call.handle, number, seq: call.request.header.seq, command: call.request.command }
}

fn copy_of(device: &Device, number: OdpPort) -> Result<Vport, Errno> {
    device.ports.read().get(number).ok_or(Errno::NoDev)?.try_clone()
}

#[inline(never)]
fn del<H: VportHost + ?Sized>(call: &Call<'_, H>, attrs: &VportAttrs<'_>) -> Result<Answer, Errno> {
    let number = named(call.device, attrs)?;
    if number == OdpPort::LOCAL {
        return Err(Errno::Inval);
    }
    if let Some(port) = call.device.ports.write().get_mut(number) {
        port.stage = Stage::Closing;
    }
    let ticket = ticket(call, number);
    let copy = copy_of(call.device, number)?;
    match call.env.host.close_port(&copy.as_ref(), ticket) {
        Progress::Later => Ok(Answer::Later(ticket)),
        Progress::Done(result) => finish_port(call.device, call.env, ticket, result).map(Answer::Message),
    }
}

// apart from its caller: a reply has room for all counters, and kernel frames are small
#[inline(never)]
fn set_tunnel(datapath: &Datapath, port: OdpPort, kind: Option<TunnelKind>) -> Result<(), Errno> {
    datapath.apply(Command::SetTunnel { port, kind }).map(|_| ()).map_err(refusal)
}

/// What a request becomes when its host has opened or closed the port.
#[inline(never)]
pub(crate) fn finish_port<H: VportHost + ?Sized>(
    device: &Device,
    env: Env<'_, H>,
    ticket: Ticket,
    result: Result<(), Errno>,
) -> Result<Builder, Errno> {
    let stays = (ticket.command == cmd::NEW) == result.is_ok();
    let port = if stays {
        let mut ports = device.ports.write();
        let port = ports.get_mut(ticket.number).ok_or(Errno::NoDev)?;
        port.stage = Stage::Open;
        port.try_clone()
    } else {
        device.ports.write().remove(ticket.number).ok_or(Errno::NoDev)
    };
    result?;
    let port = port?;
    if let Some(kind) = TunnelKind::from_number(port.kind as u32) {
        set_tunnel(env.datapath, port.number, stays.then_some(kind))?;
    }
    let header = Header { kind: 0, flags: flags::MULTI, seq: ticket.seq, pid: ticket.handle.pid() };
    let stats = if stays { env.host.port_stats(ticket.number) } else { VportStats::default() };
    let mut b = Builder::new();
    message(&mut b, &header, ticket.command, &port, stats);
    device.port_event(env.host, &port.as_ref(), ticket.command);
    Ok(b)
}

#[inline(never)]
fn set<H: VportHost + ?Sized>(call: &Call<'_, H>, attrs: &VportAttrs<'_>) -> Result<Answer, Errno> {
    let number = named(call.device, attrs)?;
    if attrs.has_options {
        return Err(Errno::NotSup);
    }
    if let Some(settings) = attrs.settings {
        call.env.host.set_port(number, settings)?;
    }
    if let Some(config) = attrs.other_config {
        call.env.host.set_config(Some(number), config)?;
    }
    let pids = receivers(attrs)?;
    {
        let mut ports = call.device.ports.write();
        let port = ports.get_mut(number).ok_or(Errno::NoDev)?;
        if attrs.kind.is_some_and(|kind| kind != port.kind as u32) {
            return Err(Errno::Inval);
        }
        if let Some(pids) = pids {
            port.pids = pids;
        }
    }
    describe(call, number)
}

#[inline(never)]
fn get<H: VportHost + ?Sized>(call: &Call<'_, H>, attrs: &VportAttrs<'_>) -> Result<Answer, Errno> {
    describe(call, named(call.device, attrs)?)
}

#[inline(never)]
fn describe<H: VportHost + ?Sized>(call: &Call<'_, H>, number: OdpPort) -> Result<Answer, Errno> {
    let port = copy_of(call.device, number)?;
    let mut b = Builder::new();
    message(
        &mut b,
        &call.header(flags::MULTI),
        call.request.command,
        &port,
        call.env.host.port_stats(number),
    );
    Ok(Answer::Message(b))
}

fn message(b: &mut Builder, header: &Header, command: u8, port: &Vport, stats: VportStats) {
    begin(b, ids::VPORT, header, command);
    let attrs = VportAttrs {
        number: Some(port.number.0),
        kind: Some(port.kind as u32),
        name: Some(&port.name),
        tunnel_port: port.tunnel_port,
        pids: Some(if port.pids.is_empty() { &[0; 4] } else { &port.pids }),
        stats: Some(stats),
        ..VportAttrs::default()
    };
    attrs.encode(b);
}

#[inline(never)]
pub(super) fn dump<H: VportHost + ?Sized>(
    device: &Device,
    env: Env<'_, H>,
    header: &Header,
    from: u32,
    out: &mut [u8],
) -> Result<(usize, Option<Listing>), Status> {
    let port = {
        let ports = device.ports.read();
        let Some(port) = ports.from(from) else { return Ok((0, None)) };
        port.try_clone().map_err(|_| Status::NoResources)?
    };
    let mut b = Builder::new();
    message(&mut b, header, cmd::GET, &port, env.host.port_stats(port.number));
    let n = crate::device::copy(&b.finish().ok_or(Status::NoResources)?, out)?;
    Ok((n, Some(Listing::Vports(port.number.0.saturating_add(1)))))
}

/// `OVS_WIN_NETDEV`: attributes of a device.
mod netdev_attr {
    pub const PORT_NO: u16 = 1;
    pub const TYPE: u16 = 2;
    pub const NAME: u16 = 3;
    pub const MAC_ADDR: u16 = 4;
    pub const MTU: u16 = 5;
    pub const IF_FLAGS: u16 = 6;
}

#[inline(never)]
pub(super) fn netdev<H: VportHost + ?Sized>(call: &Call<'_, H>) -> Result<Answer, Errno> {
    let name = call.request.attrs.find(netdev_attr::NAME).and_then(netlink::Attr::str);
    let name = name.filter(|n| !n.is_empty()).ok_or(Errno::Inval)?;
    let info = call.env.host.netdev(name).ok_or(Errno::NoDev)?;
    let (number, kind) = match call.device.ports.read().named(name) {
        Some(port) => (port.number.0, port.kind),
        None => (u32::from(u16::MAX), VportKind::Netdev),
    };
    let mut b = Builder::new();
    begin(&mut b, ids::NETDEV, &call.header(0), call.request.command);
    b.put_u32(netdev_attr::PORT_NO, number);
    b.put_u32(netdev_attr::TYPE, kind as u32);
    b.put_str(netdev_attr::NAME, name);
    b.put(netdev_attr::MAC_ADDR, &info.mac.0);
    b.put_u32(netdev_attr::MTU, info.mtu);
    b.put_u32(netdev_attr::IF_FLAGS, u32::from(info.up) | u32::from(info.promiscuous) << 1);
    Ok(Answer::Message(b))
}
