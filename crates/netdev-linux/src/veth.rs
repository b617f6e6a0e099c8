//! A port of type internal or tap where TAP devices cannot be made: one end of a veth pair is the device, the other is ours.
//!
//! Where it sits: made by `device` in place of `tap` when /dev/net/tun is closed to this user, as it is for an ordinary
//! user's namespaces on many machines. The device looks and behaves like an internal port; our end is read
//! and written through a packet socket.
//!
//! I1  The pair goes when its port does, unless a successor has it. One that a killed daemon left behind is known by our end's name, and used again.
//! I2  Our end takes frames of any size: the device's MTU alone limits them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netdev::NetdevError;

use crate::packet_port::PacketPort;
use crate::ring_stock::RingStock;
use crate::rtnl::{LinkChange, LinkInfo, Links, Which};

/// Our ends' names.
const PREFIX: &str = "ovsint";
/// The largest MTU of a veth device.
const MAX_MTU: u32 = 65535;

/// A veth pair whose one end is a port's device.
pub(crate) struct VethPair {
    port: Arc<PacketPort>,
    links: Arc<Links>,
    /// Our end.
    name: String,
    ifindex: u32,
    /// Somebody else has the pair.
    lives_on: Arc<AtomicBool>,
}

impl VethPair {
    /// Makes the device `name`, or takes over the one of a pair that was ours.
    pub(crate) fn open(
        name: &str,
        (links, stock): (&Arc<Links>, &Arc<RingStock>),
        lives_on: &Arc<AtomicBool>,
    ) -> Result<VethPair, NetdevError> {
        let ours = match left_behind(name, links) {
            Some(ours) => ours,
            None => links.make_veth(name, &format!("{PREFIX}%d"))?,
        };
        links.change(&ours.name, LinkChange::Mtu(MAX_MTU))?;
        links.change(&ours.name, LinkChange::Up)?;
        VethPair::with(ours, None, (links, stock), lives_on)
    }

    /// Takes over the pair whose end of ours has the number `ifindex`, with the socket that another process had for it.
    pub(crate) fn of(
        ifindex: u32,
        socket: OwnedFd,
        (links, stock): (&Arc<Links>, &Arc<RingStock>),
        lives_on: &Arc<AtomicBool>,
    ) -> Result<VethPair, NetdevError> {
        VethPair::with(links.refresh(Which::Index(ifindex))?, Some(socket), (links, stock), lives_on)
    }

    fn with(
        ours: LinkInfo,
        socket: Option<OwnedFd>,
        (links, stock): (&Arc<Links>, &Arc<RingStock>),
        lives_on: &Arc<AtomicBool>,
    ) -> Result<VethPair, NetdevError> {
        let port = PacketPort::open(&ours.name, ours.index, (links.clone(), stock), socket)?;
        let (links, lives_on) = (links.clone(), lives_on.clone());
        Ok(VethPair { port, links, name: ours.name, ifindex: ours.index, lives_on })
    }

    /// Our end's port.
    pub(crate) fn port(&self) -> &Arc<PacketPort> {
        &self.port
    }

    /// Our end's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for VethPair {
    fn drop(&mut self) {
        if !self.lives_on.load(Ordering::Acquire) {
            // One that is gone already, with the namespace of its other end, needs no removal.
            let _ = self.links.remove(self.ifindex);
        }
    }
}

/// Our end of the pair that `name` belongs to, if it is one that a port before made.
fn left_behind(name: &str, links: &Links) -> Option<LinkInfo> {
    let device = links.refresh(Which::Name(name)).ok()?;
    let peer = links.refresh(Which::Index(device.peer)).ok()?;
    (peer.peer == device.index && peer.name.starts_with(PREFIX)).then_some(peer)
}

/// True for an error of opening /dev/net/tun that another kind of device gets around.
pub(crate) fn can_stand_in(error: &io::Error) -> bool {
    use libc::{EACCES, ENODEV, ENOENT, ENXIO, EPERM};
    matches!(error.raw_os_error(), Some(EACCES | EPERM | ENOENT | ENODEV | ENXIO))
}
