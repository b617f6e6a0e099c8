//! Port, bond and interface commands.
//!
//! Where it sits: in the command table of `mod.rs`.

use ovsdb::{Atom, Datum, Uuid};

use super::bridges::{attach, detach};
use super::model::Model;
use crate::ctl::column;
use crate::ctl::context::{Context, Failure, random_uuid};

type Done = Result<(), Failure>;

pub(super) fn list_ports(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let bridge = model.bridge(cx.arg(0))?;
    model.ports_of(bridge).into_iter().for_each(|name| cx.line(name));
    Ok(())
}

pub(super) fn list_ifaces(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let bridge = model.bridge(cx.arg(0))?;
    let ports = model.ports_of(bridge);
    let own =
        model.ifaces.iter().filter(|(name, i)| ports.contains(&i.port) && model.find_bridge(name).is_none());
    own.for_each(|(name, _)| cx.line(name));
    Ok(())
}

pub(super) fn add_port(cx: &mut Context<'_>) -> Done {
    let (bridge, port) = (cx.arg(0).to_owned(), cx.arg(1).to_owned());
    let settings = cx.call.args[2..].to_vec();
    add(cx, &bridge, &port, std::slice::from_ref(&port), &settings)
}

pub(super) fn add_bond(cx: &mut Context<'_>) -> Done {
    let (bridge, port) = (cx.arg(0).to_owned(), cx.arg(1).to_owned());
    let rest = &cx.call.args[2..];
    let n = rest.iter().take_while(|a| !a.contains('=')).count();
    if n < 2 {
        let what = if n == 1 { "but only 1 were specified" } else { "but none were specified" };
        return Err(format!("add-bond requires at least 2 interfaces, {what}").into());
    }
    let (ifaces, settings) = (rest[..n].to_vec(), rest[n..].to_vec());
    add(cx, &bridge, &port, &ifaces, &settings)
}

fn add(cx: &mut Context<'_>, bridge: &str, name: &str, ifaces: &[String], settings: &[String]) -> Done {
    if name.is_empty() {
        return Err("port name must not be empty string".into());
    }
    let model = Model::read(cx);
    if cx.call.has("--may-exist")
        && let Some(existing) = model.find_port(name)
    {
        return may_exist(cx, &model, bridge, name, ifaces, existing.bridge);
    }
    model.check_free(name, &format!("cannot create a port named {name}"))?;
    for iface in ifaces.iter().filter(|i| *i != name) {
        model.check_free(iface, &format!("cannot create an interface named {iface}"))?;
    }
    let index = model.bridge(bridge)?;
    let at = &model.bridges[index];
    let mut records = Vec::new();
    for iface in ifaces {
        let record = random_uuid();
        cx.txn.insert("Interface", record);
        cx.txn.set("Interface", record, "name", Datum::scalar(Atom::string(iface)));
        cx.added_interfaces.push(iface.clone());
        records.push(record);
    }
    let port = random_uuid();
    cx.txn.insert("Port", port);
    cx.txn.set("Port", port, "name", Datum::scalar(Atom::string(name)));
    cx.set_references("Port", port, "interfaces", &records);
    if cx.call.has("--fake-iface") {
        cx.txn.set("Port", port, "bond_fake_iface", Datum::scalar(Atom::Boolean(true)));
    }
    if let Some(fake) = &at.fake {
        cx.txn.set("Port", port, "tag", Datum::scalar(Atom::Integer(fake.vlan)));
    }
    let schema = cx.txn.schema("Port").cloned().ok_or("no Port table")?;
    for setting in settings {
        column::set(cx, &schema, port, setting)?;
    }
    attach(cx, at.record, port);
    let ifaces: Vec<(String, Uuid)> = ifaces.iter().cloned().zip(records).collect();
    model.amend_by_port(cx, index, name, port, &ifaces);
    Ok(())
}

fn may_exist(
    cx: &Context<'_>,
    model: &Model,
    bridge: &str,
    name: &str,
    ifaces: &[String],
    actual: usize,
) -> Done {
    let line = cx.command_line();
    if model.find_bridge(bridge) != Some(actual) {
        let actual = &model.bridges[actual].name;
        return Err(format!("\"{line}\" but {name} is actually attached to bridge {actual}").into());
    }
    let mut want: Vec<&str> = ifaces.iter().map(String::as_str).collect();
    want.sort_unstable();
    let have: Vec<&str> =
        model.ifaces.iter().filter(|(_, i)| i.port == name).map(|(n, _)| n.as_str()).collect();
    if want != have {
        let have = have.join(", ");
        return Err(format!("\"{line}\" but {name} actually has interface(s) {have}").into());
    }
    Ok(())
}

pub(super) fn del_port(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let target = cx.call.args.last().cloned().unwrap_or_default();
    let must_exist = !cx.call.has("--if-exists");
    let found = match model.find_port(&target) {
        Some(port) => Some(port),
        None if cx.call.has("--with-iface") => match model.iface(&target) {
            Ok(iface) => model.find_port(&iface.port),
            Err(_) if must_exist => return Err(format!("no port or interface named {target}").into()),
            Err(_) => None,
        },
        None => None,
    };
    let Some(port) = found.cloned() else {
        if let Some(bridge) = model.find_bridge(&target) {
            let kind = &model.bridges[bridge].name;
            return Err(format!(
                "cannot delete port {target} because it is the local port for bridge {kind} (deleting this port requires deleting the entire bridge)"
            )
            .into());
        }
        return if must_exist { Err(format!("no port named {target}").into()) } else { Ok(()) };
    };
    if cx.call.args.len() == 2 {
        check_bridge(&model, cx.arg(0), port.bridge, &target)?;
    }
    let name = cx.string("Port", port.record, "name");
    let ifaces = cx.references("Port", port.record, "interfaces");
    let ifaces: Vec<String> = ifaces.iter().map(|i| cx.string("Interface", *i, "name")).collect();
    detach(cx, model.bridges[port.bridge].record, port.record);
    model.amend(cx, |model| {
        model.ports.remove(&name);
        ifaces.iter().for_each(|iface| drop(model.ifaces.remove(iface)));
    });
    Ok(())
}

fn check_bridge(model: &Model, named: &str, actual: usize, port: &str) -> Done {
    let bridge = model.bridge(named)?;
    if bridge == actual {
        return Ok(());
    }
    let child = model.bridges[actual].fake.as_ref().is_some_and(|f| f.parent == bridge);
    let extra = match child {
        true => format!(" (although its child bridge {} does)", model.bridges[actual].name),
        false => String::new(),
    };
    Err(format!("bridge {named} does not have a port {port}{extra}").into())
}

pub(super) fn port_to_br(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let bridge = model.port(cx.arg(0))?.bridge;
    cx.line(&model.bridges[bridge].name);
    Ok(())
}

pub(super) fn iface_to_br(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let port = model.iface(cx.arg(0))?.port.clone();
    let bridge = model.ports.get(&port).map_or(0, |p| p.bridge);
    cx.line(&model.bridges[bridge].name);
    Ok(())
}

pub(super) fn add_bond_iface(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let (bond, name) = (cx.arg(0).to_owned(), cx.arg(1).to_owned());
    let port = model.port(&bond)?.record;
    if let Some(iface) = model.ifaces.get(&name).filter(|_| cx.call.has("--may-exist")) {
        if iface.port == bond {
            return Ok(());
        }
        let (line, actual) = (cx.command_line(), &iface.port);
        return Err(format!("\"{line}\" but {name} is actually attached to port {actual}").into());
    }
    model.check_free(&name, &format!("cannot create an interface named {name}"))?;
    let record = random_uuid();
    cx.txn.insert("Interface", record);
    cx.txn.set("Interface", record, "name", Datum::scalar(Atom::string(&name)));
    let mut ifaces = cx.references("Port", port, "interfaces");
    ifaces.push(record);
    set_ifaces(cx, port, &ifaces);
    cx.added_interfaces.push(name);
    Ok(())
}

pub(super) fn del_bond_iface(cx: &mut Context<'_>) -> Done {
    let model = Model::read(cx);
    let name = cx.call.args.last().cloned().unwrap_or_default();
    let iface = match model.iface(&name) {
        Ok(iface) => iface,
        Err(_) if cx.call.has("--if-exists") => return Ok(()),
        Err(error) => return Err(error),
    };
    if cx.call.args.len() == 2 && iface.port != cx.arg(0) {
        return Err(format!("port {} does not have an interface {name}", cx.arg(0)).into());
    }
    let port = model.port(&iface.port)?.record;
    let mut ifaces = cx.references("Port", port, "interfaces");
    if ifaces.len() < 2 {
        return Err(format!("cannot delete last interface from port {}", iface.port).into());
    }
    ifaces.retain(|i| *i != iface.record);
    set_ifaces(cx, port, &ifaces);
    cx.txn.delete("Interface", iface.record);
    Ok(())
}

fn set_ifaces(cx: &mut Context<'_>, port: Uuid, ifaces: &[Uuid]) {
    cx.txn.verify("Port", port, "interfaces");
    cx.set_references("Port", port, "interfaces", ifaces);
}
