//! Adapters of virtual machines that become ports by themselves: on Hyper-V nobody has to name them one by one.
//!
//! Where it sits: the main loop tells which adapters came; rows are written with the status, and the ports follow from the
//! rows as any others do.
//!
//! The bridge is the first by name with `other_config:auto-add-vifs=true` in a datapath behind the device. An adapter is added
//! once when it comes: one that an administrator removes stays away until it comes again.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::{Atom, Datum, Uuid};
use ovsdb_idl::Txn;

use crate::config::{Bridge, Config};

/// The key of `Bridge.other_config`.
const KEY: &str = "auto-add-vifs";
/// What `Port.external_ids` says of ports that were made here.
const MARK: &str = "auto-added";

/// Adapters that came and have no row yet.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(BTreeSet<String>);

/// The bridge that such adapters go to, if it is among those of which `is_behind_device` is true.
pub(crate) fn bridge_for(config: &Config, is_behind_device: impl Fn(&str) -> bool) -> Option<&Bridge> {
    let wants = |bridge: &&Bridge| bridge.other_config.get(KEY).is_some_and(|v| v == "true");
    config.bridges.values().filter(wants).find(|bridge| is_behind_device(&bridge.name))
}

impl Arrivals {
    /// Takes note of adapters.
    pub fn note(&mut self, names: Vec<String>) {
        self.0.extend(names);
    }

    /// True if rows are to be written.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Adds rows for adapters that have none; what has one is done with.
    pub fn write(&mut self, bridge: Uuid, txn: &mut Txn) {
        self.0.retain(|name| {
            let value = [Datum::scalar(Atom::string(name))];
            let has_row = |table| !txn.find(table, &["name"], &value).is_empty();
            !has_row("Interface") && !has_row("Port")
        });
        for name in &self.0 {
            add_rows(bridge, name, txn);
        }
    }
}

fn add_rows(bridge: Uuid, name: &str, txn: &mut Txn) {
    let Some(ports) = txn.get("Bridge", bridge, "ports").cloned() else { return };
    let fresh = || Uuid::from_random(uuid::Uuid::new_v4().as_u128());
    let (port, interface) = (fresh(), fresh());
    let named = || Datum::scalar(Atom::string(name));
    txn.insert("Interface", interface);
    txn.set("Interface", interface, "name", named());
    txn.insert("Port", port);
    txn.set("Port", port, "name", named());
    txn.set("Port", port, "interfaces", Datum::scalar(Atom::Uuid(interface)));
    let mark = BTreeMap::from([(MARK.to_owned(), "true".to_owned())]);
    txn.set("Port", port, "external_ids", Datum::string_map(&mark));
    // Somebody else's change of the ports in between is not overwritten: the next writing tries again.
    txn.verify("Bridge", bridge, "ports");
    let all = ports.keys().iter().cloned().chain([Atom::Uuid(port)]);
    txn.set("Bridge", bridge, "ports", Datum::set(all));
    log::info!(target: "bridge", "adapter {name} of a virtual machine came: it becomes a port");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{id, replica};

    #[test]
    fn adapters_become_ports_once() {
        let idl = replica(&[
            ("Open_vSwitch", 1, r#"{"bridges":#2}"#),
            ("Bridge", 2, r#"{"name":"br0","ports":#3}"#),
            ("Port", 3, r#"{"name":"vm1","interfaces":#4}"#),
            ("Interface", 4, r#"{"name":"vm1"}"#),
        ]);
        let mut arrivals = Arrivals::default();
        arrivals.note(["vm1", "vm2", "vm3"].map(str::to_owned).to_vec());
        let mut txn = Txn::new(idl.replica());
        arrivals.write(id(2), &mut txn);
        let ports = txn.get("Bridge", id(2), "ports").unwrap().keys().len();
        assert_eq!(ports, 3);
        for name in ["vm2", "vm3"] {
            let rows = txn.find("Port", &["name"], &[Datum::scalar(Atom::string(name))]);
            let marks = txn.get("Port", rows[0], "external_ids").unwrap();
            assert_eq!(marks.pairs().count(), 1, "{name}");
        }
        arrivals.write(id(2), &mut txn);
        assert!(!arrivals.any(), "what has a row is done with");
    }

    #[test]
    fn only_a_bridge_that_asks_for_it_and_has_adapters_gets_them() {
        let idl = replica(&[
            ("Open_vSwitch", 1, r#"{"bridges":["set",[#2,#3]]}"#),
            ("Bridge", 2, r#"{"name":"a","other_config":["map",[["auto-add-vifs","true"]]]}"#),
            ("Bridge", 3, r#"{"name":"b","other_config":["map",[["auto-add-vifs","true"]]]}"#),
        ]);
        let config = Config::read(idl.replica());
        assert_eq!(bridge_for(&config, |_| true).map(|b| &*b.name), Some("a"));
        assert_eq!(bridge_for(&config, |name| name == "b").map(|b| &*b.name), Some("b"));
        assert!(bridge_for(&config, |_| false).is_none());
        assert!(bridge_for(&Config::default(), |_| true).is_none());
    }
}
