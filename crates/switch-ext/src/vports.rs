//! The extension as the host of the device's ports.
//!
//! Where it sits: the device calls it in the middle of user space's requests; it binds adapters and executes packets.
//!
//! A port of the device is an adapter of the switch, under the name by which administrators know it. It stays bound while its
//! adapter is away, and while the switch is: [`Extension::adopt`] binds it again.
//!
//! Spec: ovsext 1.9 and 3.2.

use datapath::Command;
use device::{Errno, Handle, NetdevInfo, PortRef, Progress, Queue, Ticket, VportHost};
use odp::netlink::ids::cmd;
use odp::netlink::vport::{VportKind, VportStats};
use odp::{Action, TunnelKind};
use packet::{OdpPort, PacketMeta};
use wire::tunnel::{geneve, stt, vxlan};

use crate::ports::{Named, VportError};
use crate::{Extension, NicId, NicKind, Platform};

/// The number in events of an adapter that is no port.
const UNBOUND: OdpPort = OdpPort(u16::MAX as u32);

/// What kind of tunnel a port is, and the transport port of its packets; `None` if it is none that works here.
fn tunnel_of(port: &PortRef<'_>) -> Option<(TunnelKind, Option<u16>)> {
    let kind = TunnelKind::from_number(port.kind as u32)?;
    match kind {
        TunnelKind::Vxlan => Some((kind, port.tunnel_port.or(Some(vxlan::PORT)))),
        TunnelKind::Geneve => Some((kind, port.tunnel_port.or(Some(geneve::PORT)))),
        TunnelKind::Stt => Some((kind, port.tunnel_port.or(Some(stt::PORT)))),
        TunnelKind::Gre => Some((kind, None)),
        _ => None,
    }
}

fn errno(e: VportError) -> Errno {
    match e {
        VportError::Exists => Errno::Exist,
        VportError::Busy => Errno::Busy,
        VportError::NoDevice => Errno::Inval,
        VportError::NotFound => Errno::NoDev,
        VportError::NoMemory => Errno::NoMem,
    }
}

impl<P: Platform> VportHost for Extension<P> {
    fn open_port(&self, port: &PortRef<'_>, _: Ticket) -> Progress<Result<(), Errno>> {
        Progress::Done(match port.kind {
            VportKind::Netdev | VportKind::Internal => {
                self.ports().write().bind(port.name, port.number).map_err(errno)
            }
            _ => match tunnel_of(port) {
                // Frames of some come in parts, and are put together; what others carry is finished in one piece.
                Some(_) if !self.platform().fill_long_blocks() => Err(Errno::NoMem),
                Some(tunnel) => {
                    self.ports().write().add_tunnel(port.name, port.number, tunnel).map_err(errno)
                }
                None => Err(Errno::NotSup),
            },
        })
    }

    fn close_port(&self, port: &PortRef<'_>, _: Ticket) -> Progress<Result<(), Errno>> {
        Progress::Done(self.ports().write().unbind(port.number).map_err(errno))
    }

    fn port_stats(&self, number: OdpPort) -> VportStats {
        let [rx_packets, rx_bytes, tx_packets, tx_bytes] = self.ports().read().counters(number);
        VportStats { rx_packets, tx_packets, rx_bytes, tx_bytes, ..VportStats::default() }
    }

    fn netdev(&self, name: &str) -> Option<NetdevInfo> {
        let (mac, mtu, up) = self.ports().read().netdev(name)?;
        Some(NetdevInfo { mac, mtu, up, promiscuous: false })
    }

    fn execute(&self, meta: &PacketMeta, frame: &[u8], actions: &[Action]) -> Result<(), Errno> {
        self.execute_actions(meta, frame, actions);
        Ok(())
    }

    fn for_each_unbound(&self, each: &mut dyn FnMut(&PortRef<'_>, u8)) {
        // Told without the lock: `each` queues, and wakes who waits.
        let Some(unbound) = self.ports().read().unbound() else { return };
        for adapter in &unbound {
            let (port, command) = adapter.event(cmd::NEW);
            each(&port, command);
        }
    }

    fn routes_tunnels(&self) -> bool {
        true
    }

    fn wake(&self, handle: Handle, queue: Queue) {
        self.platform().wake(handle, queue);
    }
}

impl<P: Platform> Extension<P> {
    /// Binds the device's ports, which were there before this switch was; false if memory is short.
    pub fn adopt(&self) -> bool {
        let _level = self.platform().raise();
        self.platform().device().is_none_or(|device| {
            device.for_each_port(|port| match tunnel_of(port) {
                None => self.ports().write().reserve(port.name, port.number).is_ok(),
                Some(_) if !self.platform().fill_long_blocks() => false,
                Some(tunnel) => {
                    let set = Command::SetTunnel { port: port.number, kind: Some(tunnel.0) };
                    self.ports().write().add_tunnel(port.name, port.number, tunnel).is_ok()
                        && self.env().datapath.apply(set).is_ok()
                }
            })
        })
    }

    /// Tells user space that an adapter came or went.
    pub(crate) fn announce(&self, nic: NicId, command: u8) {
        let Some(device) = self.platform().device() else { return };
        // What is not told for want of memory is found by whoever lists ports.
        let Some(named) = self.ports().read().named(nic) else { return };
        let (port, command) = named.event(command);
        device.port_event(self, &port, command);
    }
}

impl Named {
    /// What user space is told when the adapter comes or goes. Only a virtual machine's that nobody has bound comes as a new
    /// port, which a daemon may bind of its own accord; others that are not bound have changed, so that one looks again
    /// whose port could not be opened.
    fn event(&self, command: u8) -> (PortRef<'_>, u8) {
        let of_machine = matches!(self.kind, NicKind::Synthetic | NicKind::Emulated);
        let command = match (command, self.number) {
            (cmd::NEW, None) if !of_machine => cmd::SET,
            (command, _) => command,
        };
        let kind = if self.kind == NicKind::Internal { VportKind::Internal } else { VportKind::Netdev };
        let number = self.number.unwrap_or(UNBOUND);
        (PortRef { number, kind, name: &self.name, tunnel_port: None }, command)
    }
}
