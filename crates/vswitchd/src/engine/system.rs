//! The datapath of type `system`: `ovsextd`'s if it is there, else one in this process.
//!
//! Where it sits: part of the engine. What the other process still has of an earlier life of ours is taken over here: ports
//! that no row wants go, flows stay until rules are restored.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use datapath::Command;
use dpif::Dpif;
use dpif_device::{DpifDevice, OpenError};
use dpif_netdev::Class;
use netdev::Registry;
use packet::{Instant, Now};
use std::time::Duration;
use switch::{Keep, Switch};

use super::{Engine, Plane, bridge_config};
use crate::config::Config;

/// Time between two attempts to reach a process that has gone.
const RETRY: Duration = Duration::from_millis(500);

/// What kind of datapath a bridge is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of this process.
    InProcess(Class),
    /// The one behind the device.
    Device,
}

impl Kind {
    /// Its name among the planes.
    pub fn name(self) -> &'static str {
        match self {
            Kind::InProcess(class) => class.name(),
            Kind::Device => "system",
        }
    }
}

/// What is known of the datapath of type `system`.
pub(super) struct System {
    device: Option<PathBuf>,
    /// Decided when a bridge first asks: bridges do not move while we run.
    kind: Option<Kind>,
    /// The device was lost: when to look again.
    retry: Option<Instant>,
}

impl System {
    pub fn new(device: Option<PathBuf>) -> System {
        System { device, kind: None, retry: None }
    }

    /// Where bridges of this type are.
    pub fn kind(&mut self) -> Kind {
        let there = |path: &PathBuf| path.exists();
        let device = || {
            if self.device.as_ref().is_some_and(there) {
                Kind::Device
            } else {
                Kind::InProcess(Class::Netdev)
            }
        };
        *self.kind.get_or_insert_with(device)
    }
}

impl Engine {
    /// Opens the device.
    pub(super) fn open_device(&self) -> Result<DpifDevice, OpenError> {
        let gone = || OpenError::Os(std::io::ErrorKind::NotFound.into());
        let path = self.system.device.clone().ok_or_else(gone)?;
        let mut registry = Registry::new();
        if let Some(linux) = &self.linux {
            registry.register("system", linux.view("system"));
            for kind in ["internal", "afxdp", "afxdp-nonpmd"] {
                registry.register(kind, linux.view(kind));
            }
        }
        for kind in odp::TunnelKind::ALL {
            registry.register(kind.name(), netdev::vport_opener(kind.name()));
        }
        DpifDevice::open(dpif_device::Setup {
            path,
            registry: Arc::new(registry),
            clock: self.clock.clone(),
            waker: self.waker.clone(),
            cores: self.cores.count(),
        })
    }

    /// The datapath for a bridge. One that has ports of an earlier life loses those that nobody wants any more.
    pub(super) fn plane_for(&mut self, kind: Kind, config: &Config) -> Option<Rc<Plane>> {
        let is_new = !self.planes.contains_key(kind.name());
        let plane = self.plane(kind)?;
        if is_new && plane.host.outlives_us() {
            drop_ports(&*plane.dpif, config);
            plane.switch.keep_flows(self.keep(config));
        }
        Some(plane)
    }

    /// How long flows of an earlier life are kept: while rules are restored, or until addresses were learned anew.
    fn keep(&self, config: &Config) -> Keep {
        if self.is_restoring() {
            return Keep::Restoring;
        }
        let wanted = config.bridges.values().filter(|b| b.controllers.is_empty());
        let aging = wanted.map(|b| bridge_config(b, wire::EthAddr::ZERO).mac_aging).max();
        aging.map_or(Keep::No, |aging| Keep::Until(self.now().mono + aging))
    }

    /// Has switches answer upcalls, once bridges are there and unless rules are being restored.
    pub(super) fn take_up(&self, config: &Config) {
        for plane in self.planes.values() {
            if !self.is_restoring() && plane.switch.keeps() == Keep::Restoring {
                plane.switch.keep_flows(Keep::No);
            }
            if plane.host.outlives_us() && plane.switch.answers().is_none() {
                drop_tunnels(&*plane.dpif, &plane.switch, config);
            }
            plane.switch.set_answering(!self.is_restoring());
        }
    }

    /// Notices that the other process has gone, and that one is there again; returns when to look again.
    pub(super) fn look_for_device(&mut self, now: Now) -> Option<Instant> {
        let lost = self.planes.values().find(|p| !p.host.is_alive());
        let Some(plane) = lost else {
            self.system.retry = None;
            return None;
        };
        let due = *self.system.retry.get_or_insert(now.mono);
        if now.mono >= due {
            if plane.host.revive() {
                self.system.retry = None;
                // A process without flows has every packet translated anew; nothing else is to be done.
                return Some(now.mono);
            }
            self.system.retry = Some(now.mono + RETRY);
        }
        self.system.retry
    }

    /// Leaves datapaths that outlive us as they are: nothing of them is removed when the configuration ends.
    pub fn leave(&mut self) {
        for plane in self.planes.values().filter(|p| p.host.outlives_us()) {
            plane.switch.set_answering(false);
        }
        self.bridges.retain(|_, b| !b.plane.host.outlives_us());
        self.planes.retain(|_, p| !p.host.outlives_us());
    }
}

/// Removes what is no port of any row, or is one of another type; tunnels' ports have no rows.
fn drop_ports(dpif: &dyn Dpif, config: &Config) {
    let interfaces = config.bridges.values().flat_map(|b| b.ports.values()).flat_map(|p| &p.interfaces);
    let wanted: BTreeMap<&str, &str> = interfaces.map(|i| (i.name.as_str(), i.kind.as_str())).collect();
    for port in dpif.ports() {
        if port.number == packet::OdpPort::LOCAL || odp::TunnelKind::from_name(&port.kind).is_some() {
            continue;
        }
        let fits = |kind: &&str| *kind == port.kind || (*kind == "tap" && port.kind == "internal");
        if wanted.get(port.name.as_str()).is_some_and(fits) {
            log::info!(target: "dpif", "{}: port {} ({}) is taken over", dpif.name(), port.number, port.name);
        } else if let Err(e) = dpif.del_port(port.number) {
            log::warn!(target: "dpif", "{}: failed to remove port {} ({e})", dpif.name(), port.name);
        }
    }
}

/// Empties a datapath that no bridge is in any more.
pub(super) fn empty(plane: &Plane) {
    plane.switch.set_answering(false);
    if plane.host.outlives_us() {
        plane.switch.purge();
        // What earlier lives left and this one did not understand.
        if let Err(e) = plane.dpif.apply(Command::FlushFlows) {
            log::warn!(target: "dpif", "{}: failed to flush flows ({e})", plane.dpif.name());
        }
    }
}

/// Removes tunnels' ports that no port of the switch uses.
fn drop_tunnels(dpif: &dyn Dpif, switch: &Switch, config: &Config) {
    let used: Vec<_> = config.bridges.keys().flat_map(|b| switch.ports(b)).filter_map(|p| p.odp).collect();
    let tunnels = dpif.ports().into_iter().filter(|p| odp::TunnelKind::from_name(&p.kind).is_some());
    for port in tunnels.filter(|p| !used.contains(&p.number)) {
        if let Err(e) = dpif.del_port(port.number) {
            log::warn!(target: "dpif", "{}: failed to remove port {} ({e})", dpif.name(), port.name);
        }
    }
}
