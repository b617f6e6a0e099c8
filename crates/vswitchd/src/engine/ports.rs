//! A bridge's ports: what the rows want, compared with what is there.
//!
//! Where it sits: called by the engine for each bridge after every change of the database. It opens devices through the
//! switch, gives them what their rows ask for, and notes for each port its number or why it could not be set up.

use std::collections::{BTreeMap, BTreeSet};

use netdev::Netdev;
use openflow::OfpPort;
use packet::Now;
use switch::PortConfig;

use super::Applied;
use crate::config::{Bridge, Interface};

/// Removes the ports that are no longer wanted, and adds those that are not there.
pub(super) fn configure(wanted: &Bridge, applied: &mut Applied, now: Now) {
    let interfaces: Vec<&Interface> = wanted.ports.values().flat_map(|p| &p.interfaces).collect();
    let names: BTreeSet<&str> = interfaces.iter().map(|i| i.name.as_str()).collect();
    let switch = &applied.plane.switch;
    let kinds: BTreeMap<String, String> =
        switch.ports(&wanted.name).into_iter().map(|p| (p.name, p.kind)).collect();
    let changed = |i: &&&Interface| kinds.get(&i.name).is_some_and(|kind| *kind != i.kind);
    let stale: Vec<String> = applied
        .ports
        .keys()
        .filter(|n| !names.contains(n.as_str()))
        .cloned()
        .chain(interfaces.iter().filter(changed).map(|i| i.name.clone()))
        .collect();
    for name in stale {
        if applied.ports.remove(&name).is_some_and(|port| port.is_ok()) {
            switch.del_port(&wanted.name, &name);
            log::info!(target: "bridge", "bridge {}: deleted interface {name}", wanted.name);
        }
    }
    // The local port first: its number is fixed, and the others may take any.
    let (local, others): (Vec<_>, Vec<_>) = interfaces.into_iter().partition(|i| i.name == wanted.name);
    for iface in local.into_iter().chain(others) {
        let before = applied.ports.get(&iface.name).cloned();
        let result = add_port(wanted, iface, applied, now);
        report(&wanted.name, &iface.name, before.as_ref(), &result);
        applied.ports.insert(iface.name.clone(), result);
    }
}

fn add_port(wanted: &Bridge, iface: &Interface, applied: &Applied, now: Now) -> Result<OfpPort, String> {
    if iface.kind == "patch" && !iface.options.contains_key("peer") {
        return Err(format!("{}: patch type requires valid 'peer' argument", iface.name));
    }
    let switch = &applied.plane.switch;
    let existing = switch.ports(&wanted.name).into_iter().find(|p| p.name == iface.name);
    let device = existing.as_ref().and_then(|p| p.odp).and_then(|odp| applied.plane.host.netdev(odp));
    let config = PortConfig {
        name: iface.name.clone(),
        kind: iface.kind.clone(),
        wanted: iface.ofport_request.map(|n| OfpPort(n.into())),
        peer: iface.options.get("peer").cloned(),
        hw_addr: device.and_then(|d| d.mac().ok()).unwrap_or_default(),
    };
    let ofp = switch
        .add_port(&wanted.name, config.clone(), now)
        .map_err(|e| format!("could not open network device {} ({e})", iface.name))?;
    let added = switch.ports(&wanted.name).into_iter().find(|p| p.name == iface.name);
    let Some(device) = added.and_then(|p| p.odp).and_then(|odp| applied.plane.host.netdev(odp)) else {
        return Ok(ofp);
    };
    set_up(&*device, iface);
    let hw_addr = device.mac().unwrap_or_default();
    if hw_addr != config.hw_addr {
        // The port exists: it only gets its address.
        let _ = switch.add_port(&wanted.name, PortConfig { hw_addr, ..config }, now);
    }
    Ok(ofp)
}

/// Gives a device what its row asks for.
fn set_up(device: &dyn Netdev, iface: &Interface) {
    let warn = |what: &str, error: netdev::NetdevError| {
        log::warn!(target: "bridge", "could not configure network device {}: {what} ({error})", iface.name);
    };
    if let Err(error) = device.set_options(&iface.options) {
        warn("options", error);
    }
    if let Some(mtu) = iface.mtu_request.filter(|mtu| device.mtu().is_ok_and(|now| now != *mtu))
        && let Err(error) = device.set_mtu(mtu)
    {
        warn("mtu_request", error);
    }
    if let Some(mac) = iface.mac.filter(|mac| device.mac().is_ok_and(|now| now != *mac))
        && let Err(error) = device.set_mac(mac)
    {
        warn("mac", error);
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
