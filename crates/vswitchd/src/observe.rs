//! Looks at what is set up and fills [`Status`].
//!
//! Where it sits: called by the main loop before each writing of status.

use netdev::{AdminState, Netdev};
use openflow::OfpPort;
use openflow::msg::Role;
use ovsdb::Uuid;
use ovsdb_idl::{Replica, TableReplica};

use crate::config::{Bridge, Config, Interface};
use crate::engine::Engine;
use crate::openflow_io::Listeners;
use crate::status::{BridgeStatus, ControllerStatus, InterfaceStatus, Status};

/// The state of everything that has a row. Counters are read if it is time, and for interfaces that have none yet.
pub(crate) fn observe(engine: &Engine, config: &Config, known: &Replica, statistics: Statistics) -> Status {
    let mut status = Status::default();
    for bridge in config.bridges.values() {
        observe_bridge(engine, bridge, &mut status);
        for iface in bridge.ports.values().flat_map(|p| &p.interfaces) {
            let Some(row) = iface.uuid else { continue };
            let device = engine.device(&bridge.name, &iface.name);
            status.interfaces.insert(row, interface(engine, bridge, iface, device.as_deref()));
            if statistics == Statistics::Read || has_no_counters(known, row) {
                observe_counters(row, engine.counters(&bridge.name, &iface.name), &mut status);
            }
        }
    }
    status
}

/// Whether counters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    /// They are.
    Read,
    /// They are left as they are in the database.
    Leave,
}

/// True for an interface whose row has no counters yet.
fn has_no_counters(known: &Replica, row: Uuid) -> bool {
    let counters = |table: &TableReplica| {
        Some(table.row(row)?.column(table.schema.column_index("statistics")?).is_empty())
    };
    known.table("Interface").and_then(counters).unwrap_or(false)
}

fn observe_bridge(engine: &Engine, bridge: &Bridge, status: &mut Status) {
    let id = engine.plane_of(&bridge.name).and_then(|p| p.switch.datapath_id(&bridge.name));
    let datapath_id = id.map(|id| format!("{id:016x}"));
    let version = engine.plane_of(&bridge.name).map(|_| "<built-in>".to_owned());
    status.bridges.insert(bridge.uuid, BridgeStatus { datapath_id, datapath_version: version });
}

/// The state of a bridge's controllers: of those that call us there is none.
pub(crate) fn observe_controllers(
    engine: &Engine,
    bridge: Option<&Bridge>,
    listeners: &Listeners,
    now: u64,
    status: &mut Status,
) {
    let Some(bridge) = bridge else { return };
    let plane = engine.plane_of(&bridge.name);
    for (target, controller) in &bridge.controllers {
        let state = match listeners.reaches().get(target) {
            None => ControllerStatus::default(),
            Some(reach) => {
                let reach = reach.get();
                let role = reach.conn.and_then(|conn| plane?.switch.role(conn));
                ControllerStatus {
                    is_connected: reach.conn.is_some(),
                    role: role.map(|role| role_name(role).to_owned()),
                    status: reach.status(now),
                }
            }
        };
        status.controllers.insert(controller.uuid, state);
    }
}

/// The database's word for a role.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Primary => "master",
        Role::Secondary => "slave",
        Role::Equal | Role::NoChange => "other",
    }
}

fn number(ofp: OfpPort) -> i64 {
    i64::from(ofp.to_of10())
}

fn interface(
    engine: &Engine,
    bridge: &Bridge,
    iface: &Interface,
    device: Option<&dyn Netdev>,
) -> InterfaceStatus {
    let mut status = InterfaceStatus::default();
    match engine.port(&bridge.name, &iface.name) {
        Some(Ok(ofp)) => status.ofport = Some(number(*ofp)),
        Some(Err(error)) => (status.ofport, status.error) = (Some(-1), Some(error.clone())),
        None => status.ofport = Some(-1),
    }
    let Some(device) = device else { return status };
    let up = |is_up: bool| if is_up { "up" } else { "down" };
    status.mac_in_use = device.mac().ok().map(|m| m.to_string());
    status.ifindex = Some(i64::from(device.ifindex()));
    status.admin_state = device.admin_state().ok().map(|s| up(s == AdminState::Up));
    status.link_state = Some(up(device.carrier()));
    status.link_resets = i64::try_from(device.carrier_resets()).ok();
    status.mtu = device.mtu().ok().map(i64::from);
    let mbps = device.link_features().current.max_mbps();
    status.link_speed = (mbps != 0).then(|| i64::from(mbps) * 1_000_000);
    status.duplex = (mbps != 0).then_some("full");
    // Of a port past the kernel's stack only the process knows that has opened it; of others the kernel does.
    status.status = match device.kind() {
        "afxdp" | "afxdp-nonpmd" => engine.device_status(&bridge.name, &iface.name),
        _ => device.status(),
    };
    status
}

fn observe_counters(row: Uuid, counters: Vec<(String, u64)>, status: &mut Status) {
    if !counters.is_empty() {
        let counters = counters.into_iter().map(|(name, n)| (name, i64::try_from(n).unwrap_or(i64::MAX)));
        status.statistics.insert(row, counters.collect());
    }
}
