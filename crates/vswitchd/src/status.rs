//! What became of the configuration, written back to the database.
//!
//! Where it sits: the daemon reports into [`Status`] whenever something changes or a statistics interval ends; one
//! transaction at a time writes what differs from the rows. Pure.
//!
//! I1  Only columns that differ are written, so an idle switch writes nothing.
//! I2  Rows that are gone by the time of the writing are skipped.
//!
//! Spec: ovs-vswitchd.conf.db(5), the columns that ovs-vswitchd fills.

use std::collections::BTreeMap;

use ovsdb::{Atom, Datum, Uuid};
use ovsdb_idl::Txn;

/// The state of an interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InterfaceStatus {
    /// OpenFlow port number; -1 if it could not be set up.
    pub ofport: Option<i64>,
    /// Why it could not be set up.
    pub error: Option<String>,
    /// Its Ethernet address.
    pub mac_in_use: Option<String>,
    /// Index in the host's table of devices.
    pub ifindex: Option<i64>,
    /// `up` or `down`.
    pub admin_state: Option<&'static str>,
    /// `up` or `down`.
    pub link_state: Option<&'static str>,
    /// Bits a second.
    pub link_speed: Option<i64>,
    /// `full` or `half`.
    pub duplex: Option<&'static str>,
    /// How often the carrier changed.
    pub link_resets: Option<i64>,
    /// Largest payload.
    pub mtu: Option<i64>,
    /// Driver and offloads.
    pub status: BTreeMap<String, String>,
}

/// The state of a bridge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BridgeStatus {
    /// 16 hexadecimal digits.
    pub datapath_id: Option<String>,
    /// Version of the datapath.
    pub datapath_version: Option<String>,
}

/// The state of a controller's connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerStatus {
    /// Whether the connection stands.
    pub is_connected: bool,
    /// `other`, `master` or `slave`.
    pub role: Option<String>,
    /// State, seconds since changes, last error.
    pub status: BTreeMap<String, String>,
}

/// Everything that is to be written.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The configuration that is in force, once it is.
    pub cur_cfg: Option<i64>,
    /// Columns of the Open_vSwitch row that are set once at start-up.
    pub versions: BTreeMap<&'static str, String>,
    /// Types of datapaths and interfaces that are there.
    pub types: BTreeMap<&'static str, Vec<String>>,
    /// Bridges.
    pub bridges: BTreeMap<Uuid, BridgeStatus>,
    /// Interfaces.
    pub interfaces: BTreeMap<Uuid, InterfaceStatus>,
    /// Counters of interfaces.
    pub statistics: BTreeMap<Uuid, BTreeMap<String, i64>>,
    /// Controllers.
    pub controllers: BTreeMap<Uuid, ControllerStatus>,
}

fn text(value: Option<&str>) -> Datum {
    Datum::set(value.map(Atom::string))
}

fn number(value: Option<i64>) -> Datum {
    Datum::set(value.map(Atom::Integer))
}

impl Status {
    /// Adds what differs from the rows to a transaction over them.
    pub fn write(&self, root: Uuid, txn: &mut Txn) {
        let mut set = |table: &str, row: Uuid, column: &str, value: Datum| {
            if txn.get(table, row, column).is_some_and(|old| *old != value) {
                txn.set(table, row, column, value);
            }
        };
        if let Some(cur) = self.cur_cfg {
            set("Open_vSwitch", root, "cur_cfg", Datum::scalar(Atom::Integer(cur)));
        }
        for (column, value) in &self.versions {
            set("Open_vSwitch", root, column, text(Some(value)));
        }
        for (column, values) in &self.types {
            set("Open_vSwitch", root, column, Datum::set(values.iter().map(|v| Atom::string(v))));
        }
        for (row, bridge) in &self.bridges {
            set("Bridge", *row, "datapath_id", text(bridge.datapath_id.as_deref()));
            let version = Datum::scalar(Atom::string(bridge.datapath_version.as_deref().unwrap_or_default()));
            set("Bridge", *row, "datapath_version", version);
        }
        for (row, iface) in &self.interfaces {
            for (column, value) in iface.columns() {
                set("Interface", *row, column, value);
            }
        }
        for (row, counters) in &self.statistics {
            let pairs = counters.iter().map(|(k, v)| (Atom::string(k), Atom::Integer(*v)));
            set("Interface", *row, "statistics", Datum::map(pairs));
        }
        for (row, controller) in &self.controllers {
            let connected = Datum::scalar(Atom::Boolean(controller.is_connected));
            set("Controller", *row, "is_connected", connected);
            set("Controller", *row, "role", text(controller.role.as_deref()));
            set("Controller", *row, "status", Datum::string_map(&controller.status));
        }
    }
}

impl InterfaceStatus {
    fn columns(&self) -> [(&'static str, Datum); 11] {
        [
            ("ofport", number(self.ofport)),
            ("error", text(self.error.as_deref())),
            ("mac_in_use", text(self.mac_in_use.as_deref())),
            ("ifindex", number(self.ifindex)),
            ("admin_state", text(self.admin_state)),
            ("link_state", text(self.link_state)),
            ("link_speed", number(self.link_speed)),
            ("duplex", text(self.duplex)),
            ("link_resets", number(self.link_resets)),
            ("mtu", number(self.mtu)),
            ("status", Datum::string_map(&self.status)),
        ]
    }
}

#[cfg(test)]
mod tests;
