//! Bridges, ports and interfaces as ovs-vsctl's users see them.
//!
//! Where it sits: read from the transaction at the beginning of each bridge command, unless the one before has left it behind:
//! a chain of thousands of commands reads the database once.
//!
//! A "fake bridge" is a port with `fake_bridge` set on some VLAN of a real bridge: the real bridge's other ports on that
//! VLAN count as the fake bridge's.

use std::collections::BTreeMap;
use std::rc::Rc;

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

/// The columns that bridges, ports and interfaces are made of.
pub const COLUMNS: [(&str, &[&str]); 3] = [
    ("Bridge", &["name", "ports"]),
    ("Port", &["name", "fake_bridge", "tag", "interfaces"]),
    ("Interface", &["name"]),
];

/// A model for the commands behind in a chain: it holds as long as the transaction's revision is this.
struct Kept {
    revision: u64,
    model: Rc<Model>,
}

impl Model {
    /// The bridges, ports and interfaces as the transaction leaves them.
    pub fn read(cx: &mut Context<'_>) -> Rc<Model> {
        let kept = cx.cache.as_ref().and_then(|kept| kept.downcast_ref::<Kept>());
        if let Some(kept) = kept.filter(|kept| kept.revision == cx.txn.revision()) {
            return kept.model.clone();
        }
        COLUMNS.iter().for_each(|(table, columns)| cx.txn.watch(table, columns));
        let model = Rc::new(Model::read_anew(cx));
        model.clone().keep(cx);
        model
    }

    fn keep(self: Rc<Model>, cx: &mut Context<'_>) {
        *cx.cache = Some(Box::new(Kept { revision: cx.txn.revision(), model: self }));
    }

    /// Carries a change, which a command has made in the transaction, over to the model, so that it need not be read anew.
    pub fn amend(mut self: Rc<Model>, cx: &mut Context<'_>, change: impl FnOnce(&mut Model)) {
        // Held twice it would be copied.
        *cx.cache = None;
        change(Rc::make_mut(&mut self));
        self.keep(cx);
    }

    fn read_anew(cx: &Context<'_>) -> Model {
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
        let mut own: BTreeMap<Uuid, usize> = BTreeMap::new();
        for port in &ports {
            let vlan = tag(cx, *port).filter(|_| is_true(&cx.get("Port", *port, "fake_bridge")));
            if let Some(vlan) = vlan {
                fakes.insert(vlan, self.bridges.len());
                own.insert(*port, self.bridges.len());
                let name = cx.string("Port", *port, "name");
                self.bridges.push(Bridge { name, record, fake: Some(Fake { parent, vlan, port: *port }) });
            }
        }
        for port in ports {
            let name = cx.string("Port", port, "name");
            let on_vlan = || tag(cx, port).and_then(|vlan| fakes.get(&vlan).copied());
            let bridge = own.get(&port).copied().or_else(on_vlan).unwrap_or(parent);
            for iface in cx.references("Port", port, "interfaces") {
                let iface_name = cx.string("Interface", iface, "name");
                self.ifaces.insert(iface_name, Iface { record: iface, port: name.clone() });
            }
            self.ports.insert(name, Port { record: port, bridge });
        }
    }

    /// Puts in a port that a command has added to a Bridge record, if it became what the command makes: settings may have
    /// changed it.
    pub fn amend_by_port(
        self: Rc<Model>,
        cx: &mut Context<'_>,
        at: usize,
        name: &str,
        record: Uuid,
        ifaces: &[(String, Uuid)],
    ) {
        let real = self.bridges[at].fake.as_ref().map_or(at, |fake| fake.parent);
        let vlan = tag(cx, record);
        let on_vlan = |b: &Bridge| b.fake.as_ref().is_some_and(|f| f.parent == real && Some(f.vlan) == vlan);
        let bridge = self.bridges.iter().position(on_vlan).unwrap_or(real);
        let mut records: Vec<Uuid> = ifaces.iter().map(|(_, record)| *record).collect();
        records.sort();
        let as_made = cx.string("Port", record, "name") == name
            && !is_true(&cx.get("Port", record, "fake_bridge"))
            && cx.references("Port", record, "interfaces") == records;
        if !as_made {
            return;
        }
        self.amend(cx, |model| {
            model.ports.insert(name.to_owned(), Port { record, bridge });
            let iface =
                |(n, record): &(String, Uuid)| (n.clone(), Iface { record: *record, port: name.to_owned() });
            model.ifaces.extend(ifaces.iter().map(iface));
        });
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
