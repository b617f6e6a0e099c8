//! Handing everything over to a successor: another process of this program, or of its next version.
//!
//! Where it sits: `commands` calls [`hand_over`] in the old process; `run` calls [`take_over`] in the new one, whose standard
//! input is a socket to the old.
//!
//! ~~~text
//!   old                                            new
//!   starts it ────────────────────────────────►    makes an empty datapath
//!   ◄──────────────────────────────────── ready
//!   stops: packets wait in the ports' own queues
//!   settings of threads and of connection tracking, flows, connections, then ports with their descriptors and settings,
//!   then the device's socket
//!   ────────────────────────────────────────►      goes on; what waited comes first
//!   ◄──────────────────────────────────── done
//!   ends: its clients find the new one behind the same socket
//! ~~~
//!
//! I1  Until the new process has said that it is done, the old one can go on: nothing was taken from it.
//! I2  Flows and connections are there before the ports: no packet meets a datapath that does not know it.
//!
//! Devices are handed over by their descriptors, one for each receive queue. The rings of an AF_XDP port are memory of the old process: it lets go of
//! the device, and the new one opens it. A veth pair that stands in for a TAP device is handed over by its socket, and outlives the old process. Meters are the switch's to set again; upcalls that were queued for it are lost.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use conntrack::{Conntrack, DumpCursor, SAVED_LEN};
use datapath::{FlowInfo, FlowPut, PutMode};
use device::{PortRef, VportHost};
use dpif::Dpif;
use netdev_linux::LinuxDevices;
use netlink::{Builder, Header, Messages};
use odp::netlink::ct_limit::{self, DEFAULT_ZONE, MAX_LISTED, ZoneLimit};
use odp::netlink::vport::VportKind;
use packet::OdpPort;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::carrier::Listener;
use crate::host::Host;

/// Longest message.
const MAX_MESSAGE: usize = 64 << 10;
/// Connections of one message.
const RECORDS: usize = 128;
/// What the new process may take to start, and to take over.
const PATIENCE: Duration = Duration::from_secs(10);

const READY: u8 = 1;
const FLOW: u8 = 2;
const CONNECTIONS: u8 = 3;
const PORT: u8 = 4;
const LISTENER: u8 = 5;
const DONE: u8 = 6;
const TRACKING: u8 = 7;
const LIMITS: u8 = 8;
const THREADS: u8 = 9;
const PORT_SETTINGS: u8 = 10;
const PORT_CONFIG: u8 = 11;

/// Descriptors of one message: as many as a device has queues.
const FDS: usize = 64;

/// What went over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub ports: u32,
    pub flows: u32,
    pub connections: u32,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// A socket between the two.
struct Channel(OwnedFd);

impl Channel {
    fn send(&self, kind: u8, payload: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(broken("descriptors do not fit"));
        }
        sendmsg(
            &self.0,
            &[IoSlice::new(&[kind]), IoSlice::new(payload)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        Ok(())
    }

    fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<(u8, Vec<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        buffer.resize(MAX_MESSAGE, 0);
        let got = recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let rights = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let fds = rights.flatten().collect();
        buffer.truncate(got.bytes);
        let Some(kind) = buffer.first().copied() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        buffer.remove(0);
        Ok((kind, fds))
    }

    /// Waits for a message without content.
    fn expect(&self, kind: u8) -> io::Result<()> {
        rustix::net::sockopt::set_socket_timeout(
            &self.0,
            rustix::net::sockopt::Timeout::Recv,
            Some(PATIENCE),
        )?;
        match self.receive(&mut Vec::new())? {
            (got, _) if got == kind => Ok(()),
            _ => Err(broken("an unexpected answer")),
        }
    }
}

/// Starts `program` as the successor and gives it everything; how much that was, how long nothing was forwarded, and the new
/// process's number.
pub(crate) fn hand_over(
    host: &Host,
    listener: &Listener,
    program: &Path,
    args: &[String],
) -> io::Result<(Counts, Duration, u32)> {
    let ports = describe_ports(host)?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let channel = Channel(ours);
    let mut child = Command::new(program).args(args).arg("--take-over").stdin(Stdio::from(theirs)).spawn()?;
    let result = give(host, listener, &channel, &ports);
    match result {
        Ok((counts, pause)) => Ok((counts, pause, child.id())),
        Err(e) => {
            end(&mut child);
            ports.iter().filter(|port| port.is_released).for_each(|port| host.dpif.retake_port(port.number));
            host.resume();
            Err(e)
        }
    }
}

fn end(child: &mut Child) {
    // One that has ended by itself is ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// A port to be handed over.
struct PortMessage {
    number: OdpPort,
    message: Vec<u8>,
    fds: Vec<OwnedFd>,
    /// The device is let go, and opened anew.
    is_released: bool,
}

fn describe_ports(host: &Host) -> io::Result<Vec<PortMessage>> {
    let mut out = Vec::new();
    for port in host.dpif.ports() {
        let kind = VportKind::from_name(&port.kind).ok_or_else(|| broken("a port of unknown type"))?;
        let is_released = matches!(kind, VportKind::Afxdp | VportKind::AfxdpNonpmd);
        let has_fds = !is_released && !kind.is_tunnel();
        let fds = if has_fds { host.dpif.port_fds(port.number)? } else { Vec::new() };
        if has_fds && fds.is_empty() {
            return Err(broken(&format!("{}: it has no descriptor", port.name)));
        }
        let tunnel_port = host.device.port(port.number).and_then(|(_, port)| port).unwrap_or(0);
        let mut message = port.number.0.to_ne_bytes().to_vec();
        message.extend((kind as u32).to_ne_bytes());
        message.extend(tunnel_port.to_ne_bytes());
        message.extend(port.name.as_bytes());
        out.push(PortMessage { number: port.number, message, fds, is_released });
    }
    Ok(out)
}

fn give(
    host: &Host,
    listener: &Listener,
    channel: &Channel,
    ports: &[PortMessage],
) -> io::Result<(Counts, Duration)> {
    channel.expect(READY)?;
    let start = host.env().now.mono;
    host.halt();
    let mut counts = Counts { ports: ports.len() as u32, ..Counts::default() };
    channel.send(THREADS, &host.given().config, &[])?;
    send_tracking(host, channel)?;
    let mut failed = None;
    host.dpif.for_each_flow(&mut |flow| {
        counts.flows += 1;
        if let Err(e) = send_flow(channel, &flow) {
            failed.get_or_insert(e);
        }
    });
    failed.map_or(Ok(()), Err)?;
    counts.connections = send_connections(host, channel)?;
    for port in ports {
        if port.is_released {
            host.dpif.release_port(port.number);
        }
        let fds: Vec<BorrowedFd<'_>> = port.fds.iter().map(AsFd::as_fd).collect();
        channel.send(PORT, &port.message, &fds)?;
    }
    for (number, (settings, config)) in &host.given().ports {
        for (kind, texts) in [(PORT_SETTINGS, settings), (PORT_CONFIG, config)] {
            if !texts.is_empty() {
                channel.send(kind, &[&number.0.to_ne_bytes(), texts.as_slice()].concat(), &[])?;
            }
        }
    }
    channel.send(LISTENER, &[], &[listener.socket()])?;
    channel.expect(DONE)?;
    Ok((counts, host.env().now.mono - start))
}

/// How connections are tracked: what the device would say of it, in as many messages as it takes.
fn send_tracking(host: &Host, channel: &Channel) -> io::Result<()> {
    let table = host.dpif.datapath().conntrack();
    let message = |fill: &dyn Fn(&mut Builder)| {
        let mut b = Builder::new();
        b.begin(&Header::default(), &[]);
        fill(&mut b);
        b.finish().ok_or_else(|| broken("settings do not fit"))
    };
    channel.send(TRACKING, &message(&|b| device::ct_setting::put_all(b, table))?, &[])?;
    let limit = |zone, limit| ZoneLimit { zone, limit, count: 0 };
    let mut limits = vec![limit(DEFAULT_ZONE, table.default_zone_limit())];
    limits.extend(table.limited_zones(0).map(|l| limit(l.zone.into(), l.limit)));
    for part in limits.chunks(MAX_LISTED) {
        channel.send(LIMITS, &message(&|b| ct_limit::put(b, part.iter().copied()))?, &[])?;
    }
    Ok(())
}

fn attrs(message: &[u8]) -> Option<netlink::Attrs<'_>> {
    Messages::new(message).next().and_then(Result::ok).map(|m| netlink::Attrs::new(m.payload))
}

fn take_limits(table: &Conntrack, message: &[u8]) -> io::Result<()> {
    let list = attrs(message).and_then(|attrs| ct_limit::decode(attrs).ok().flatten());
    for l in ct_limit::entries(list.ok_or_else(|| broken("limits that cannot be read"))?) {
        match u16::try_from(l.zone) {
            Ok(zone) => _ = table.set_zone_limit(zone, Some(l.limit)),
            Err(_) => table.set_default_zone_limit(l.limit),
        }
    }
    Ok(())
}

fn send_flow(channel: &Channel, flow: &FlowInfo) -> io::Result<()> {
    let mut b = Builder::new();
    b.begin(&Header::default(), &[]);
    device::flows::put(&mut b, flow, 0);
    channel.send(FLOW, &b.finish().ok_or_else(|| broken("a flow does not fit"))?, &[])
}

fn send_connections(host: &Host, channel: &Channel) -> io::Result<u32> {
    let (table, now) = (host.dpif.datapath().conntrack(), host.env().now);
    let (mut cursor, mut records, mut n) = (DumpCursor::default(), Vec::new(), 0);
    while table.save(now, &mut cursor, |record| records.extend_from_slice(record)) {
        while records.len() >= RECORDS * SAVED_LEN {
            let rest = records.split_off(RECORDS * SAVED_LEN);
            n += RECORDS as u32;
            channel.send(CONNECTIONS, &std::mem::replace(&mut records, rest), &[])?;
        }
    }
    n += (records.len() / SAVED_LEN) as u32;
    channel.send(CONNECTIONS, &records, &[])?;
    Ok(n)
}

/// Takes everything over from the process at the other end of standard input.
pub(crate) fn take_over(host: &Arc<Host>, devices: &LinuxDevices, path: &Path) -> io::Result<Listener> {
    let channel = Channel(io::stdin().as_fd().try_clone_to_owned()?);
    channel.send(READY, &[], &[])?;
    let (mut message, mut counts) = (Vec::new(), Counts::default());
    loop {
        let (kind, mut fds) = channel.receive(&mut message)?;
        match (kind, fds.pop()) {
            (THREADS, _) => {
                host.set_config(None, &message).map_err(|e| broken(&format!("threads: {e:?}")))?
            }
            (TRACKING, _) => {
                let table = host.dpif.datapath().conntrack();
                let set = attrs(&message).map(|attrs| device::ct_setting::apply(table, &attrs));
                set.and_then(Result::ok).ok_or_else(|| broken("settings that cannot be read"))?;
            }
            (LIMITS, _) => take_limits(host.dpif.datapath().conntrack(), &message)?,
            (FLOW, _) => counts.flows += u32::from(take_flow(host, &message)),
            (CONNECTIONS, _) => {
                let now = host.env().now;
                let table = host.dpif.datapath().conntrack();
                let taken = message.chunks_exact(SAVED_LEN).filter(|record| table.restore(now, record));
                counts.connections += taken.count() as u32;
            }
            (PORT, last) => {
                fds.extend(last);
                take_port(host, devices, &message, fds)?;
                counts.ports += 1;
            }
            (PORT_SETTINGS | PORT_CONFIG, _) => take_settings(host, kind, &message)?,
            (LISTENER, Some(fd)) => {
                host.dpif
                    .for_each_flow(&mut |flow| host.ways.prepare(flow.matched.key.pkt_mark(), &flow.actions));
                // Only now: a packet may leave by any of the ports.
                host.dpif.start().map_err(|e| io::Error::other(e.to_string()))?;
                host.dpif.reconfigure();
                let listener = Listener::take_over(host.clone(), path, fd)?;
                channel.send(DONE, &[], &[])?;
                log::info!(
                    target: "ovsextd",
                    "took over {} ports, {} flows and {} connections", counts.ports, counts.flows, counts.connections
                );
                return Ok(listener);
            }
            _ => return Err(broken("an unexpected message")),
        }
    }
}

fn take_flow(host: &Host, message: &[u8]) -> bool {
    let Some(FlowInfo { ufid, matched, actions, stats }) = attrs(message).and_then(device::flows::take)
    else {
        return false;
    };
    let mut put = FlowPut { ufid, matched, actions, mode: PutMode::Create };
    let core = host.dpif.datapath();
    core.apply(datapath::Command::PutFlow(&mut put)).is_ok() && core.restore_stats(ufid, &stats)
}

fn take_port(host: &Host, devices: &LinuxDevices, message: &[u8], fds: Vec<OwnedFd>) -> io::Result<()> {
    let short = || broken("a port's message is too short");
    let (number, rest) = message.split_first_chunk().ok_or_else(short)?;
    let (kind, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (tunnel_port, name) = rest.split_first_chunk().ok_or_else(short)?;
    let kind =
        VportKind::from_number(u32::from_ne_bytes(*kind)).ok_or_else(|| broken("a port of unknown type"))?;
    let name = std::str::from_utf8(name).map_err(io::Error::other)?;
    let port = PortRef {
        number: OdpPort(u32::from_ne_bytes(*number)),
        kind,
        name,
        tunnel_port: Some(u16::from_ne_bytes(*tunnel_port)).filter(|port| *port != 0),
    };
    if !fds.is_empty() {
        devices.give(name, fds);
    }
    host.adopt(&port).map_err(|e| io::Error::other(format!("{name}: {e}")))
}

/// How a port, or its queues, were set up last.
fn take_settings(host: &Host, kind: u8, message: &[u8]) -> io::Result<()> {
    let (number, texts) = message.split_first_chunk().ok_or_else(|| broken("settings are too short"))?;
    let number = OdpPort(u32::from_ne_bytes(*number));
    let set = match kind {
        PORT_SETTINGS => host.set_port(number, texts),
        _ => host.set_config(Some(number), texts),
    };
    set.map_err(|e| broken(&format!("settings of port {number}: {e:?}")))
}
