//! What the device asks of its host: real ports, and packets to be executed.
//!
//! Where it sits: implemented by `ovsextd` over polled ports and by the Hyper-V extension over its switch ports; called by
//! the families in the middle of a request, with no lock of the device held.
//!
//! Opening and closing a real port may take long or need another context (a worker thread, PASSIVE_LEVEL). The host then
//! answers [`Progress::Later`], the operation becomes pending ([`crate::Outcome::Pending`]), and the host finishes it with
//! [`crate::Device::finish_port`], which makes the reply.

use odp::Action;
use odp::netlink::vport::{VportKind, VportStats};
use packet::{OdpPort, PacketMeta};
use wire::EthAddr;

use crate::{Errno, Handle};

/// A port as the device knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRef<'a> {
    /// Its number.
    pub number: OdpPort,
    /// Its type.
    pub kind: VportKind,
    /// Its name.
    pub name: &'a str,
    /// Destination port of a tunnel, if one is set.
    pub tunnel_port: Option<u16>,
}

/// An answer now, or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// It is done.
    Done(T),
    /// It will be told to [`crate::Device::finish_port`] with the ticket that came with the question.
    Later,
}

/// A request whose answer waits for the host: kept by the host, given back once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Who asked.
    pub handle: Handle,
    /// Which port it is about.
    pub number: OdpPort,
    pub(crate) seq: u32,
    pub(crate) command: u8,
}

/// Which queue of a handle a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Events.
    Events,
    /// Upcalls.
    Packets,
}

/// What `OVS_WIN_NETDEV` tells of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetdevInfo {
    /// Its Ethernet address.
    pub mac: EthAddr,
    /// Its MTU.
    pub mtu: u32,
    /// It has a carrier and may carry traffic.
    pub up: bool,
    /// It receives what is not addressed to it.
    pub promiscuous: bool,
}

/// The host of the ports.
pub trait VportHost {
    /// Opens the device behind a port. An error is the reply's.
    fn open_port(&self, port: &PortRef<'_>, ticket: Ticket) -> Progress<Result<(), Errno>>;

    /// Closes the device behind a port.
    fn close_port(&self, port: &PortRef<'_>, ticket: Ticket) -> Progress<Result<(), Errno>>;

    /// Sets the device behind a port to texts `KEY=VALUE`, each with a zero behind it; what they do not name, to the default.
    fn set_port(&self, _number: OdpPort, _settings: &[u8]) -> Result<(), Errno> {
        Err(Errno::NotSup)
    }

    /// Sets up how a port's queues are served, or with no port how the host's threads are, in the same form: what the texts do
    /// not name, as by default.
    fn set_config(&self, _number: Option<OdpPort>, _config: &[u8]) -> Result<(), Errno> {
        Err(Errno::NotSup)
    }

    /// A port's counters; zero where the host keeps none.
    fn port_stats(&self, number: OdpPort) -> VportStats;

    /// Calls `each` with every counter of a port's device, by its name in `Interface.statistics`. Hosts that keep no more
    /// than [`VportHost::port_stats`] says have none.
    fn for_each_counter(&self, _number: OdpPort, _each: &mut dyn FnMut(&str, u64)) {}

    /// Calls `each` with what is known of a port's device beside that, by its key in `Interface.status`.
    fn for_each_status(&self, _number: OdpPort, _each: &mut dyn FnMut(&str, &str)) {}

    /// What is known of the device of that name, bound or not; `None` if there is none.
    fn netdev(&self, name: &str) -> Option<NetdevInfo>;

    /// Executes valid actions on a frame: it has left, or is counted as dropped, when this returns.
    fn execute(&self, meta: &PacketMeta, frame: &[u8], actions: &[Action]) -> Result<(), Errno>;

    /// Calls `each` with every adapter that could be bound and is not, and what a new listener is told of it (a command of
    /// the vport family). Hosts whose devices user space finds by itself have none.
    fn for_each_unbound(&self, _each: &mut dyn FnMut(&PortRef<'_>, u8)) {}

    /// True if packets that a flow gives a tunnel's fields and outputs to its port find their way by the host.
    fn routes_tunnels(&self) -> bool {
        false
    }

    /// A queue of `handle`, for which somebody waits, is no longer empty. Called with no lock held.
    fn wake(&self, handle: Handle, queue: Queue);
}
