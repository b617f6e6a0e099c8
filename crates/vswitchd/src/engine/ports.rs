//! A bridge's ports: what the rows want, compared with what is there.
//!
//! Where it sits: called by the engine for each bridge after every change of the database. It opens devices through the
//! switch, gives them what their rows ask for, and notes for each port its number or why it could not be set up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use datapath::CommandError;
use dpif::{Dpif, DpifError};
use netdev::Netdev;
use openflow::OfpPort;
use packet::{Now, OdpPort};
use switch::{PortConfig, PortStatus};

use super::{Applied, Plane, address_of_row};
use crate::config::{Bridge, Interface};

/// Removes the ports that are no longer wanted, and adds those that are not there.
pub(super) fn configure(wanted: &Bridge, applied: &mut Applied, now: Now) {
    let interfaces: Vec<&Interface> = wanted.ports.values().flat_map(|p| &p.interfaces).collect();
    remove_stale(wanted, &interfaces, applied);
    // The local port first: its number is fixed, and the others may take any.
    let (local, others): (Vec<_>, Vec<_>) = interfaces.into_iter().partition(|i| i.name == wanted.name);
    for iface in local.into_iter().chain(others) {
        let before = applied.ports.get(&iface.name);
        let result = match patch_error(iface) {
            Some(error) => refuse(&iface.name, before, error),
            None => {
                let result = add_port(wanted, iface, applied, now);
                report(&wanted.name, &iface.name, before, &result);
                result
            }
        };
        applied.ports.insert(iface.name.clone(), result);
    }
}

/// The ports that the switch has, by name.
fn known(wanted: &Bridge, applied: &Applied) -> BTreeMap<String, PortStatus> {
    applied.plane.switch.ports(&wanted.name).into_iter().map(|p| (p.name.clone(), p)).collect()
}

/// Removes ports that have no row any more, or whose row wants another type or number.
fn remove_stale(wanted: &Bridge, interfaces: &[&Interface], applied: &mut Applied) {
    let rows: BTreeMap<&str, &Interface> = interfaces.iter().map(|i| (i.name.as_str(), *i)).collect();
    let known = known(wanted, applied);
    let used: BTreeSet<OfpPort> = known.values().map(|p| p.ofp).collect();
    let moves = |iface: &Interface, port: &PortStatus| {
        let number = iface.ofport_request.map(|n| OfpPort(n.into()));
        port.ofp != OfpPort::LOCAL && number.is_some_and(|n| n != port.ofp && !used.contains(&n))
    };
    let stays = |name: &str| {
        let Some(iface) = rows.get(name) else { return false };
        let fits = |port: &PortStatus| port.kind == iface.kind && !moves(iface, port);
        known.get(name).is_none_or(fits) && patch_error(iface).is_none()
    };
    let stale: Vec<String> = applied.ports.keys().filter(|name| !stays(name)).cloned().collect();
    for name in stale {
        if let Some(Ok(ofp)) = applied.ports.remove(&name) {
            applied.plane.switch.del_port(&wanted.name, &name);
            let number = ofp.to_of10();
            log::info!(target: "bridge", "bridge {}: deleted interface {name} on port {number}", wanted.name);
        }
    }
}

/// Removes a bridge's ports that the datapath has no more.
pub(super) fn forget_lost(bridge: &str, applied: &mut Applied) {
    let Plane { switch, dpif, .. } = &*applied.plane;
    let there: BTreeSet<_> = dpif.ports().into_iter().map(|p| p.number).collect();
    for port in switch.ports(bridge) {
        if port.odp.is_some_and(|odp| !there.contains(&odp)) {
            switch.del_port(bridge, &port.name);
            applied.ports.remove(&port.name);
        }
    }
}

/// Removes a datapath's ports that are in no bridge.
pub(super) fn drop_strangers(plane: &Plane) {
    let Plane { switch, dpif, .. } = plane;
    let used: BTreeSet<_> =
        switch.bridges().iter().flat_map(|b| switch.ports(b)).filter_map(|p| p.odp).collect();
    for port in dpif.ports() {
        if port.number == OdpPort::LOCAL || used.contains(&port.number) {
            continue;
        }
        if let Err(e) = dpif.del_port(port.number) {
            log::warn!(target: "dpif", "{}: failed to remove port {} ({e})", dpif.name(), port.name);
        }
    }
}

/// What is wrong with a patch port's options.
fn patch_error(iface: &Interface) -> Option<String> {
    if iface.kind != "patch" {
        return None;
    }
    match iface.options.get("peer") {
        None => Some(format!("{}: patch type requires valid 'peer' argument", iface.name)),
        Some(peer) if *peer == iface.name => Some(format!("{}: patch peer must not be self", iface.name)),
        Some(_) => None,
    }
}

/// A port whose options are no good.
fn refuse(name: &str, before: Option<&Result<OfpPort, String>>, error: String) -> Result<OfpPort, String> {
    if before.is_none_or(|before| before.as_ref().err() != Some(&error)) {
        log::error!(target: "netdev_vport", "{error}");
        log::warn!(target: "netdev", "{name}: could not set configuration (Invalid argument)");
    }
    Err(error)
}

fn add_port(wanted: &Bridge, iface: &Interface, applied: &Applied, now: Now) -> Result<OfpPort, String> {
    let Plane { switch, host, dpif } = &*applied.plane;
    let (tunnel, shown) = match odp::TunnelKind::from_name(&iface.kind) {
        Some(kind) => {
            let parsed = crate::tunnel_options::parse(&iface.name, kind, &iface.options)?;
            if !applied.ports.contains_key(&iface.name) {
                parsed.warnings.iter().for_each(|w| log::warn!(target: "netdev_vport", "{w}"));
            }
            (Some(std::sync::Arc::new(parsed.tunnel)), parsed.shown)
        }
        None => (None, String::new()),
    };
    let config = PortConfig {
        tunnel,
        shown,
        name: iface.name.clone(),
        kind: iface.kind.clone(),
        wanted: iface.ofport_request.map(|n| OfpPort(n.into())),
        peer: iface.options.get("peer").cloned(),
        hw_addr: iface.uuid.map(address_of_row).unwrap_or_default(),
    };
    let ofp = switch.add_port(&wanted.name, config, now).map_err(|e| match e {
        DpifError::Duplicate => {
            format!("could not add network device {} to ofproto (File exists)", iface.name)
        }
        e => format!("could not open network device {} ({e})", iface.name),
    })?;
    if let Some(port) = dpif.port_by_name(&iface.name)
        && let Some(device) = host.netdev(port.number)
    {
        set_up(&**dpif, port.number, &*device, iface);
        switch.set_hw_addr(&wanted.name, &iface.name, device.mac().unwrap_or_default());
    }
    Ok(ofp)
}

/// Gives a device what its row asks for.
fn set_up(dpif: &dyn Dpif, number: OdpPort, device: &dyn Netdev, iface: &Interface) {
    let warn = |what: &str, error: &dyn Display| {
        log::warn!(target: "bridge", "could not configure network device {}: {what} ({error})", iface.name);
    };
    match dpif.set_port_options(number, &iface.options) {
        // A datapath whose ports are as they are.
        Ok(()) | Err(DpifError::Command(CommandError::NotSupported)) => {}
        Err(error) => warn("options", &error),
    }
    if let Some(mtu) = iface.mtu_request.filter(|mtu| device.mtu().is_ok_and(|now| now != *mtu))
        && let Err(error) = device.set_mtu(mtu)
    {
        warn("mtu_request", &error);
    }
    // Others have the address that their hardware gave them.
    let internal = iface.kind == "internal";
    if let Some(mac) = iface.mac.filter(|mac| internal && device.mac().is_ok_and(|now| now != *mac))
        && let Err(error) = device.set_mac(mac)
    {
        warn("mac", &error);
    }
}

fn report(bridge: &str, name: &str, before: Option<&Result<OfpPort, String>>, now: &Result<OfpPort, String>) {
    if before == Some(now) {
        return;
    }
    match now {
        Ok(ofp) if !matches!(before, Some(Ok(_))) => {
            let number = ofp.to_of10();
            log::info!(target: "bridge", "bridge {bridge}: added interface {name} on port {number}");
        }
        Ok(_) => {}
        Err(error) => log::warn!(target: "bridge", "{error}"),
    }
}
