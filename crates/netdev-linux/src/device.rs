//! A Linux device as a netdev, and how they are opened.
//!
//! Where it sits: the crate's surface. State comes from the table of links and from ethtool; packets go through
//! `packet_port`, `xdp_port`, `tap` or `veth`.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use netdev::{
    AdminState, LinkFeatures, Netdev, NetdevError, NetdevStats, OpenNetdev, Options, Polling, QueueCounts,
    Queues,
};
use wire::EthAddr;

use crate::ethtool;
use crate::packet_port::PacketPort;
use crate::ring_stock::RingStock;
use crate::rtnl::{LinkChange, LinkInfo, Links, OnChange, Which};
use crate::sys::PacketSocket;
use crate::tap::Tap;
use crate::veth::{self, VethPair};
use crate::xdp_port::XdpPort;

/// The devices of this network namespace.
#[derive(Clone)]
pub struct LinuxDevices(Arc<Shared>);

struct Shared {
    links: Arc<Links>,
    stock: Arc<RingStock>,
    control: Arc<OwnedFd>,
    open: Mutex<BTreeMap<String, Weak<LinuxNetdev>>>,
    /// Descriptors of devices that another process had open, by name.
    given: Mutex<BTreeMap<String, Vec<OwnedFd>>>,
    /// Devices that were made outlive this process.
    lives_on: Arc<AtomicBool>,
}

impl LinuxDevices {
    /// Begins to follow the namespace's links; `on_change` is called, on a thread of ours, after any of them changed:
    /// state is worth reading again, and so are receive queues (whose device may have returned).
    pub fn new(on_change: OnChange) -> io::Result<LinuxDevices> {
        let links = Arc::new(Links::follow(on_change)?);
        let control = Arc::new(ethtool::control_socket()?);
        let (stock, open, given, lives_on) = Default::default();
        Ok(LinuxDevices(Arc::new(Shared { links, stock, control, open, given, lives_on })))
    }

    /// Opens existing devices: type `system`.
    pub fn system(&self) -> Arc<dyn OpenNetdev> {
        self.opener("system")
    }

    /// Makes devices for the host itself: type `internal`.
    pub fn internal(&self) -> Arc<dyn OpenNetdev> {
        self.opener("internal")
    }

    /// Makes devices: type `tap`.
    pub fn tap(&self) -> Arc<dyn OpenNetdev> {
        self.opener("tap")
    }

    /// Opens existing devices past the kernel's stack, for poll-mode threads: type `afxdp`.
    pub fn afxdp(&self) -> Arc<dyn OpenNetdev> {
        self.opener("afxdp")
    }

    /// The same for threads that wait: type `afxdp-nonpmd`.
    pub fn afxdp_nonpmd(&self) -> Arc<dyn OpenNetdev> {
        self.opener("afxdp-nonpmd")
    }

    /// Has the device `name`, when it is opened, use descriptors by which another process had it open, one for each receive
    /// queue: what the kernel has queued for those is ours.
    pub fn give(&self, name: &str, fds: Vec<OwnedFd>) {
        self.0.given.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), fds);
    }

    /// Another process has the descriptors of all devices now: none goes because this one lets go of it.
    pub fn leave(&self) {
        self.0.lives_on.store(true, Ordering::Release);
    }

    /// Looks at devices of a type that another process has opened: they have state and no queues.
    pub fn view(&self, kind: &'static str) -> Arc<dyn OpenNetdev> {
        let shared = self.0.clone();
        Arc::new(move |name: &str| -> Result<Arc<dyn Netdev>, NetdevError> {
            let (links, control) = (shared.links.clone(), shared.control.clone());
            links.refresh(Which::Name(name))?;
            Ok(Arc::new(LinuxNetdev { name: name.to_owned(), kind, io: Io::Elsewhere, links, control }))
        })
    }

    /// A number that grows whenever any link of the namespace changes: a device that could not be opened may be there.
    pub fn generation(&self) -> u64 {
        self.0.links.generation()
    }

    fn opener(&self, kind: &'static str) -> Arc<dyn OpenNetdev> {
        let devices = self.clone();
        Arc::new(move |name: &str| devices.open(name, kind))
    }

    fn open(&self, name: &str, kind: &'static str) -> Result<Arc<dyn Netdev>, NetdevError> {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = open.get(name).and_then(Weak::upgrade) {
            return if device.kind == kind { Ok(device) } else { Err(NetdevError::Os(libc::EEXIST)) };
        }
        let links = self.0.links.clone();
        let given = self.0.given.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let io = match (kind, given) {
            ("system", given) => {
                let index = links.refresh(Which::Name(name))?.index;
                let socket = given.into_iter().flatten().next();
                Io::Packet(PacketPort::open(name, index, (links.clone(), &self.0.stock), socket)?)
            }
            ("afxdp" | "afxdp-nonpmd", _) => {
                links.refresh(Which::Name(name))?;
                let polling = if kind == "afxdp" { Polling::Dedicated } else { Polling::Waiting };
                Io::Xdp(XdpPort::new(name, polling, (links.clone(), self.0.stock.clone())))
            }
            (_, Some(fds)) => self.take_over(name, fds)?,
            (_, None) => self.make(name)?,
        };
        let control = self.0.control.clone();
        let device = Arc::new(LinuxNetdev { name: name.to_owned(), kind, io, links, control });
        open.retain(|_, device| device.strong_count() > 0);
        open.insert(name.to_owned(), Arc::downgrade(&device));
        Ok(device)
    }

    /// Makes a device of type internal or tap.
    fn make(&self, name: &str) -> Result<Io, NetdevError> {
        let Shared { links, stock, lives_on, .. } = &*self.0;
        match Tap::maker() {
            Ok(maker) => {
                let tap = Tap::open(name, maker)?;
                links.refresh(Which::Name(name))?;
                Ok(Io::Tap(tap))
            }
            Err(e) if veth::can_stand_in(&e) => {
                let pair = VethPair::open(name, (links, stock), lives_on)?;
                let (ours, why) = (pair.name(), NetdevError::from(e));
                log::info!(target: "netdev_linux", "{name}: TAP devices cannot be made ({why}), using a veth pair with {ours}");
                Ok(Io::Veth(pair))
            }
            Err(e) => Err(Tap::no_maker(e)),
        }
    }

    /// The device of type internal or tap that another process has made, by its descriptors.
    fn take_over(&self, name: &str, fds: Vec<OwnedFd>) -> Result<Io, NetdevError> {
        let Shared { links, stock, lives_on, .. } = &*self.0;
        // The device may be in another namespace.
        let _ = links.refresh(Which::Name(name));
        let ours = fds.first().and_then(|fd| PacketSocket::device_of(fd.as_fd()));
        match (ours, fds.into_iter()) {
            (Some(ifindex), mut fds) => {
                let socket = fds.next().ok_or(NetdevError::Os(libc::EBADF))?;
                Ok(Io::Veth(VethPair::of(ifindex, socket, (links, stock), lives_on)?))
            }
            (None, fds) => Ok(Io::Tap(Tap::of(fds.collect())?)),
        }
    }
}

enum Io {
    Packet(Arc<PacketPort>),
    Xdp(Arc<XdpPort>),
    Tap(Arc<Tap>),
    Veth(VethPair),
    /// Another process has the queues.
    Elsewhere,
}

struct LinuxNetdev {
    name: String,
    kind: &'static str,
    io: Io,
    links: Arc<Links>,
    control: Arc<OwnedFd>,
}

impl LinuxNetdev {
    fn link(&self) -> Result<LinkInfo, NetdevError> {
        self.links.find(&self.name).map(|l| l.info).ok_or(NetdevError::Os(libc::ENODEV))
    }

    fn xdp(&self) -> Option<&Arc<XdpPort>> {
        match &self.io {
            Io::Xdp(port) => Some(port),
            _ => None,
        }
    }
}

impl Netdev for LinuxNetdev {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        self.kind
    }

    fn queues(&self) -> Option<Queues> {
        match &self.io {
            Io::Packet(port) => port.queues(),
            Io::Xdp(port) => port.queues(),
            Io::Tap(tap) => tap.queues(self.link().ok().map(|_| self.name.as_str())),
            Io::Veth(pair) => pair.port().queues(),
            Io::Elsewhere => None,
        }
    }

    fn wanted_queues(&self) -> QueueCounts {
        match &self.io {
            Io::Xdp(port) => port.counts(),
            Io::Tap(tap) => tap.counts(),
            _ => QueueCounts::default(),
        }
    }

    fn queues_are_stale(&self) -> bool {
        self.xdp().is_some_and(|port| port.is_stale())
    }

    fn polling(&self) -> Polling {
        self.xdp().map_or(Polling::Waiting, |port| port.polling())
    }

    fn config(&self) -> Options {
        match &self.io {
            Io::Xdp(port) => port.config(),
            Io::Tap(tap) => tap.config(),
            _ => Options::new(),
        }
    }

    fn mac(&self) -> Result<EthAddr, NetdevError> {
        Ok(self.link()?.mac)
    }

    fn set_mac(&self, mac: EthAddr) -> Result<(), NetdevError> {
        if self.link()?.mac == mac { Ok(()) } else { self.links.change(&self.name, LinkChange::Mac(mac)) }
    }

    fn mtu(&self) -> Result<u32, NetdevError> {
        Ok(self.link()?.mtu)
    }

    fn set_mtu(&self, mtu: u32) -> Result<(), NetdevError> {
        if self.link()?.mtu == mtu { Ok(()) } else { self.links.change(&self.name, LinkChange::Mtu(mtu)) }
    }

    fn admin_state(&self) -> Result<AdminState, NetdevError> {
        Ok(if self.link()?.up() { AdminState::Up } else { AdminState::Down })
    }

    fn set_admin_state(&self, state: AdminState) -> Result<(), NetdevError> {
        let change = match state {
            AdminState::Up => LinkChange::Up,
            AdminState::Down => LinkChange::Down,
        };
        self.links.change(&self.name, change)
    }

    fn carrier(&self) -> bool {
        self.link().is_ok_and(|l| l.carrier())
    }

    fn carrier_resets(&self) -> u64 {
        self.links.find(&self.name).map_or(0, |l| l.carrier_resets)
    }

    fn ifindex(&self) -> u32 {
        self.link().map_or(0, |l| l.index)
    }

    fn link_features(&self) -> LinkFeatures {
        ethtool::link_features(&self.control, &self.name)
    }

    fn stats(&self) -> Result<NetdevStats, NetdevError> {
        let kernel = self.links.stats(&self.name);
        match &self.io {
            Io::Packet(port) => kernel.map(|stats| port.added_to(stats)),
            Io::Xdp(port) => kernel.map(|stats| port.added_to(stats)),
            Io::Elsewhere if self.kind == "internal" => kernel.map(NetdevStats::swapped),
            Io::Elsewhere => kernel,
            // What the device sends, the switch receives.
            Io::Tap(tap) => Ok(tap.added_to(kernel.map_or_else(|_| tap.stats(), NetdevStats::swapped))),
            // What the device sends, our end receives.
            Io::Veth(pair) => self.links.stats(pair.name()).map(|stats| pair.port().added_to(stats)),
        }
    }

    fn status(&self) -> Options {
        let mut status = ethtool::driver_status(&self.control, &self.name);
        if let Some(port) = self.xdp() {
            port.add_status(&mut status);
        }
        status
    }

    fn set_options(&self, options: &Options) -> Result<(), NetdevError> {
        match &self.io {
            Io::Xdp(port) => port.set_options(options),
            Io::Tap(tap) => tap.set_options(options),
            _ => Ok(()),
        }
    }

    fn change_seq(&self) -> u64 {
        // Without a link, any change of links may have been its loss.
        self.links.find(&self.name).map_or_else(|| self.links.generation(), |l| l.changed)
    }
}
