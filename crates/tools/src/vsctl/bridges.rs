//! Bridge commands: `add-br`, `del-br`, `list-br`, `br-exists`, …
//!
//! Where it sits: in the command table of `mod.rs`.

use ovsdb::{Atom, Datum, Uuid};

use super::model::{Bridge, Fake, Model};
use super::root;
use crate::ctl::context::{Context, Failure, random_uuid};

type Done = Result<(), Failure>;

fn text(s: &str) -> Datum {
    Datum::scalar(Atom::string(s))
}

/// Adds a port with one interface of its name; returns the Port record.
pub(super) fn new_port(cx: &mut Context<'_>, name: &str, iface_type: &str) -> Uuid {
    let (port, iface) = (random_uuid(), random_uuid());
    cx.txn.insert("Interface", iface);
    cx.txn.set("Interface", iface, "name", text(name));
    if !iface_type.is_empty() {
        cx.txn.set("Interface", iface, "type", text(iface_type));
    }
    cx.txn.insert("Port", port);
    cx.txn.set("Port", port, "name", text(name));
    cx.set_references("Port", port, "interfaces", &[iface]);
    port
}

/// Adds a port to a Bridge record.
pub(super) fn attach(cx: &mut Context<'_>, bridge: Uuid, port: Uuid) {
    let mut ports = cx.get("Bridge", bridge, "ports");
    ports.insert(Atom::Uuid(port), None);
    cx.txn.verify("Bridge", bridge, "ports");
    cx.txn.set("Bridge", bridge, "ports", ports);
}

/// Takes a port and its interfaces out.
pub(super) fn detach(cx: &mut Context<'_>, bridge: Uuid, port: Uuid) {
    let mut ports = cx.get("Bridge", bridge, "ports");
    ports.remove(&Atom::Uuid(port));
    cx.txn.verify("Bridge", bridge, "ports");
    cx.txn.set("Bridge", bridge, "ports", ports);
    for iface in cx.references("Port", port, "interfaces") {
        cx.txn.delete("Interface", iface);
    }
    cx.txn.delete("Port", port);
}

pub(super) fn add_br(cx: &mut Context<'_>) -> Done {
    let (name, parent) = (cx.arg(0).to_owned(), cx.arg(1).to_owned());
    if name.is_empty() {
        return Err("bridge name must not be empty string".into());
    }
    let vlan = match cx.call.args.len() {
        1 => None,
        3 => match cx.arg(2).parse::<i64>() {
            Ok(vlan) if (0..=4095).contains(&vlan) => Some(vlan),
            _ => return Err("add-br: vlan must be between 0 and 4095".into()),
        },
        _ => return Err("'add-br' command takes exactly 1 or 3 arguments".into()),
    };
    let model = Model::read(cx);
    if cx.call.has("--may-exist")
        && let Some(existing) = model.find_bridge(&name)
    {
        return may_exist(cx, &model, existing, &parent, vlan);
    }
    model.check_free(&name, &format!("cannot create a bridge named {name}"))?;
    match vlan {
        None => add_real(cx, &name),
        Some(vlan) => add_fake(cx, &model, &name, &parent, vlan)?,
    }
    cx.added_interfaces.push(name);
    Ok(())
}

fn may_exist(cx: &Context<'_>, model: &Model, existing: usize, parent: &str, vlan: Option<i64>) -> Done {
    let bridge = &model.bridges[existing];
    let (line, name) = (cx.command_line(), &bridge.name);
    match (vlan, &bridge.fake) {
        (None, Some(Fake { vlan, .. })) => {
            Err(format!("\"{line}\" but {name} is a VLAN bridge for VLAN {vlan}").into())
        }
        (Some(_), None) => Err(format!("\"{line}\" but {name} is not a VLAN bridge").into()),
        (Some(wanted), Some(fake)) => {
            let actual = &model.bridges[fake.parent].name;
            if actual != parent {
                return Err(format!("\"{line}\" but {name} has the wrong parent {actual}").into());
            }
            if fake.vlan != wanted {
                let vlan = fake.vlan;
                return Err(
                    format!("\"{line}\" but {name} is a VLAN bridge for the wrong VLAN {vlan}").into()
                );
            }
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

fn add_real(cx: &mut Context<'_>, name: &str) {
    let port = new_port(cx, name, "internal");
    let bridge = random_uuid();
    cx.txn.insert("Bridge", bridge);
    cx.txn.set("Bridge", bridge, "name", text(name));
    cx.set_references("Bridge", bridge, "ports", &[port]);
    let root = root(cx);
    let mut bridges = cx.references("Open_vSwitch", root, "bridges");
    bridges.push(bridge);
    cx.txn.verify("Open_vSwitch", root, "bridges");
    cx.set_references("Open_vSwitch", root, "bridges", &bridges);
}

fn add_fake(cx: &mut Context<'_>, model: &Model, name: &str, parent: &str, vlan: i64) -> Done {
    let parent = model.find_bridge(parent).ok_or_else(|| format!("parent bridge {parent} does not exist"))?;
    if model.bridges[parent].fake.is_some() {
        return Err("cannot create bridge with fake bridge as parent".into());
    }
    let on_vlan = |b: &&Bridge| b.fake.as_ref().is_some_and(|f| f.parent == parent && f.vlan == vlan);
    if let Some(child) = model.bridges.iter().find(on_vlan) {
        let (parent, child) = (&model.bridges[parent].name, &child.name);
        return Err(format!("bridge {parent} already has a child VLAN bridge {child} on VLAN {vlan}").into());
    }
    let port = new_port(cx, name, "internal");
    cx.txn.set("Port", port, "fake_bridge", Datum::scalar(Atom::Boolean(true)));
    cx.txn.set("Port", port, "tag", Datum::scalar(Atom::Integer(vlan)));
    attach(cx, model.bridges[parent].record, port);
    Ok(())
}

pub(super) fn del_br(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let name = cx.arg(0).to_owned();
    let Some(at) = model.find_bridge(&name) else {
        return if cx.call.has("--if-exists") { Ok(()) } else { model.bridge(&name).map(|_| ()) };
    };
    delete(cx, &model, at);
    Ok(())
}

/// Deletes a bridge with all its ports.
fn delete(cx: &mut Context<'_>, model: &Model, at: usize) {
    let bridge = &model.bridges[at];
    if let Some(fake) = &bridge.fake {
        for port in model.ports.values().filter(|p| p.bridge == at && p.record != fake.port) {
            detach(cx, bridge.record, port.record);
        }
        return detach(cx, bridge.record, fake.port);
    }
    for port in cx.references("Bridge", bridge.record, "ports") {
        for iface in cx.references("Port", port, "interfaces") {
            cx.txn.delete("Interface", iface);
        }
        cx.txn.delete("Port", port);
    }
    cx.txn.delete("Bridge", bridge.record);
    let root = root(cx);
    let mut bridges = cx.references("Open_vSwitch", root, "bridges");
    bridges.retain(|b| *b != bridge.record);
    cx.txn.verify("Open_vSwitch", root, "bridges");
    cx.set_references("Open_vSwitch", root, "bridges", &bridges);
}

pub(super) fn list_br(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let (real, fake) = (cx.call.has("--real"), cx.call.has("--fake"));
    let wanted = |b: &&Bridge| real == fake || fake == b.fake.is_some();
    let mut names: Vec<&str> = model.bridges.iter().filter(wanted).map(|b| b.name.as_str()).collect();
    names.sort_unstable();
    names.into_iter().for_each(|name| cx.line(name));
    Ok(())
}

pub(super) fn br_exists(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    match model.find_bridge(cx.arg(0)) {
        Some(_) => Ok(()),
        None => Err(Failure { text: String::new(), status: 2 }),
    }
}

pub(super) fn br_to_vlan(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let bridge = &model.bridges[model.bridge(cx.arg(0))?];
    cx.line(bridge.fake.as_ref().map_or(0, |f| f.vlan).to_string());
    Ok(())
}

pub(super) fn br_to_parent(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let bridge = &model.bridges[model.bridge(cx.arg(0))?];
    let parent = bridge.fake.as_ref().map_or(bridge, |f| &model.bridges[f.parent]);
    cx.line(&parent.name);
    Ok(())
}

/// Where a bridge's external ids are: table, record, and what their keys begin with.
fn ids_of(bridge: &Bridge) -> (&'static str, Uuid, &'static str) {
    match &bridge.fake {
        Some(fake) => ("Port", fake.port, "fake-bridge-"),
        None => ("Bridge", bridge.record, ""),
    }
}

pub(super) fn br_set_external_id(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let (table, record, prefix) = ids_of(&model.bridges[model.bridge(cx.arg(0))?]);
    let mut ids = cx.get(table, record, "external_ids");
    let key = Atom::string(&format!("{prefix}{}", cx.arg(1)));
    match cx.call.args.get(2) {
        Some(value) => ids.insert(key, Some(Atom::string(value))),
        None => {
            ids.remove(&key);
        }
    }
    cx.txn.verify(table, record, "external_ids");
    cx.txn.set(table, record, "external_ids", ids);
    Ok(())
}

pub(super) fn br_get_external_id(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let (table, record, prefix) = ids_of(&model.bridges[model.bridge(cx.arg(0))?]);
    let ids = cx.get(table, record, "external_ids");
    let own: Vec<(String, String)> = ids
        .pairs()
        .filter_map(|(k, v)| Some((k.as_str()?.strip_prefix(prefix)?.to_owned(), v.as_str()?.to_owned())))
        .collect();
    match cx.call.args.get(1) {
        Some(key) => own.iter().filter(|(k, _)| k == key).for_each(|(_, v)| cx.line(v)),
        None => own.iter().for_each(|(k, v)| cx.line(format!("{k}={v}"))),
    }
    Ok(())
}
