//! Bridges, ports and interfaces as ovs-vsctl's users see them.
//!
//! Where it sits: read from the transaction at the beginning of each bridge command.
//!
//! A "fake bridge" is a port with `fake_bridge` set on some VLAN of a real bridge: the real bridge's other ports on that
//! VLAN count as the fake bridge's.

use std::collections::BTreeMap;

use ovsdb::{Atom, Datum, Uuid};

use crate::ctl::context::{Context, Failure};

/// A bridge, real or fake.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// The Bridge record: its own, or its parent's.
    pub record: Uuid,
    /// If it is fake: its parent and VLAN.
    pub fake: Option<Fake>,
}

/// What makes a bridge a fake one.
#[derive(Clone, Debug)]
pub struct Fake {
    /// Index of the real bridge.
    pub parent: usize,
    /// Its VLAN.
    pub vlan: i64,
    /// The Port record that stands for it.
    pub port: Uuid,
}

/// A port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its record.
    pub record: Uuid,
    /// Index of its bridge.
    pub bridge: usize,
}

/// An interface.
#[derive(Clone, Debug)]
pub struct Iface {
    /// Its record.
    pub record: Uuid,
    /// The name of its port.
    pub port: String,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Real bridges, then fake ones.
    pub bridges: Vec<Bridge>,
    /// Ports by name; local ports and those of fake bridges included.
    pub ports: BTreeMap<String, Port>,
    /// Interfaces by name.
    pub ifaces: BTreeMap<String, Iface>,
}

/// The tag of a port, if it is a VLAN.
pub fn tag(cx: &Context<'_>, port: Uuid) -> Option<i64> {
    cx.get("Port", port, "tag").single().and_then(Atom::as_integer).filter(|t| (0..=4095).contains(t))
}

fn is_true(value: &Datum) -> bool {
    value.single().and_then(Atom::as_bool) == Some(true)
}

impl Model {
    /// Reads the database; relies on what it reads.
    pub fn read(cx: &mut Context<'_>) -> Model {
        let mut model = Model::default();
        let mut rows: Vec<Uuid> = cx.txn.rows("Bridge").iter().map(|r| r.uuid()).collect();
        rows.sort();
        for record in rows {
            let name = cx.string("Bridge", record, "name");
            model.bridges.push(Bridge { name, record, fake: None });
        }
        for parent in 0..model.bridges.len() {
            model.read_bridge(cx, parent);
        }
        model
    }

    fn read_bridge(&mut self, cx: &Context<'_>, parent: usize) {
        let record = self.bridges[parent].record;
        let ports = cx.references("Bridge", record, "ports");
        let mut fakes: BTreeMap<i64, usize> = BTreeMap::new();
        for port in &ports {
            let vlan = tag(cx, *port).filter(|_| is_true(&cx.get("Port", *port, "fake_bridge")));
            if let Some(vlan) = vlan {
                fakes.insert(vlan, self.bridges.len());
                let name = cx.string("Port", *port, "name");
                self.bridges.push(Bridge { name, record, fake: Some(Fake { parent, vlan, port: *port }) });
            }
        }
        for port in ports {
            let name = cx.string("Port", port, "name");
            let own = self.bridges.iter().position(|b| b.fake.as_ref().is_some_and(|f| f.port == port));
            let on_vlan = || tag(cx, port).and_then(|vlan| fakes.get(&vlan).copied());
            let bridge = own.or_else(on_vlan).unwrap_or(parent);
            for iface in cx.references("Port", port, "interfaces") {
                let iface_name = cx.string("Interface", iface, "name");
                self.ifaces.insert(iface_name, Iface { record: iface, port: name.clone() });
            }
            self.ports.insert(name, Port { record: port, bridge });
        }
    }

    /// The bridge called `name`, if there is one.
    pub fn find_bridge(&self, name: &str) -> Option<usize> {
        self.bridges.iter().position(|b| b.name == name)
    }

    /// The bridge called `name`.
    pub fn bridge(&self, name: &str) -> Result<usize, Failure> {
        self.find_bridge(name).ok_or_else(|| format!("no bridge named {name}").into())
    }

    /// The real bridge called `name`.
    pub fn real_bridge(&self, name: &str) -> Result<&Bridge, Failure> {
        let bridge = &self.bridges[self.bridge(name)?];
        match &bridge.fake {
            Some(_) => Err(format!("{name} is a fake bridge").into()),
            None => Ok(bridge),
        }
    }

    /// The port called `name`, local ports left out.
    pub fn find_port(&self, name: &str) -> Option<&Port> {
        self.ports.get(name).filter(|_| self.find_bridge(name).is_none())
    }

    /// Like [`Model::find_port`]; an error if there is none.
    pub fn port(&self, name: &str) -> Result<&Port, Failure> {
        self.find_port(name).ok_or_else(|| format!("no port named {name}").into())
    }

    /// The interface called `name`; an error if there is none or it is a local one.
    pub fn iface(&self, name: &str) -> Result<&Iface, Failure> {
        let found = self.ifaces.get(name).filter(|_| self.find_bridge(name).is_none());
        found.ok_or_else(|| format!("no interface named {name}").into())
    }

    /// An error if anything is called `name` already; `what` begins the error.
    pub fn check_free(&self, name: &str, what: &str) -> Result<(), Failure> {
        if self.find_bridge(name).is_some() {
            return Err(format!("{what} because a bridge named {name} already exists").into());
        }
        if let Some(port) = self.ports.get(name) {
            let bridge = &self.bridges[port.bridge].name;
            return Err(
                format!("{what} because a port named {name} already exists on bridge {bridge}").into()
            );
        }
        if let Some(iface) = self.ifaces.get(name) {
            let bridge = self.ports.get(&iface.port).map_or("", |p| self.bridges[p.bridge].name.as_str());
            return Err(format!(
                "{what} because an interface named {name} already exists on bridge {bridge}"
            )
            .into());
        }
        Ok(())
    }

    /// Names of the ports of a bridge, its local port and fake bridges left out, sorted.
    pub fn ports_of(&self, bridge: usize) -> Vec<String> {
        let ports =
            self.ports.iter().filter(|(name, p)| p.bridge == bridge && self.find_bridge(name).is_none());
        ports.map(|(name, _)| name.clone()).collect()
    }
}
