//! Physical ports and the logical switches that their VLANs are bound to.
//!
//! Where it sits: in the command table of `mod.rs`.

use ovsdb::{Atom, Uuid};

use super::switches::{self, LOGICAL, PHYSICAL};
use super::{Done, text};
use crate::ctl::context::{Context, Failure, random_uuid};

const TABLE: &str = "Physical_Port";

fn of(cx: &Context<'_>, switch: Uuid) -> Vec<(String, Uuid)> {
    let rows = cx.references(PHYSICAL.table, switch, "ports");
    rows.into_iter().map(|row| (cx.string(TABLE, row, "name"), row)).collect()
}

fn find(cx: &Context<'_>, switch: Uuid, name: &str) -> Option<Uuid> {
    of(cx, switch).into_iter().find(|(n, _)| n == name).map(|(_, row)| row)
}

/// The switch and the port that the command begins with. A port on an unknown switch is an unknown port.
fn port(cx: &Context<'_>) -> Result<(Uuid, Uuid), Failure> {
    let (switch, name) = (cx.arg(0), cx.arg(1));
    let found = switches::named(cx, &PHYSICAL, switch).ok().and_then(|s| Some((s, find(cx, s, name)?)));
    found.ok_or_else(|| format!("no port named {name}").into())
}

fn set_ports(cx: &mut Context<'_>, switch: Uuid, change: impl FnOnce(&mut Vec<Uuid>)) {
    let mut rows = cx.references(PHYSICAL.table, switch, "ports");
    change(&mut rows);
    cx.txn.verify(PHYSICAL.table, switch, "ports");
    cx.set_references(PHYSICAL.table, switch, "ports", &rows);
}

pub(super) fn list(cx: &mut Context<'_>) -> Done {
    let switch = switches::named(cx, &PHYSICAL, cx.arg(0))?;
    let mut names: Vec<String> = of(cx, switch).into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.into_iter().for_each(|name| cx.line(name));
    Ok(())
}

pub(super) fn add(cx: &mut Context<'_>) -> Done {
    let (switch_name, name) = (cx.arg(0).to_owned(), cx.arg(1).to_owned());
    let switch = switches::named(cx, &PHYSICAL, &switch_name)?;
    if find(cx, switch, &name).is_some() {
        let error = || {
            format!(
                "cannot create a port named {name} on {switch_name} because a port with that name already exists"
            )
        };
        return if cx.call.has("--may-exist") { Ok(()) } else { Err(error().into()) };
    }
    let row = random_uuid();
    cx.txn.insert(TABLE, row);
    cx.txn.set(TABLE, row, "name", text(&name));
    set_ports(cx, switch, |rows| rows.push(row));
    Ok(())
}

pub(super) fn delete(cx: &mut Context<'_>) -> Done {
    match port(cx) {
        Ok((switch, row)) => {
            set_ports(cx, switch, |rows| rows.retain(|r| *r != row));
            Ok(())
        }
        Err(_) if cx.call.has("--if-exists") => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// The VLAN of the command.
fn vlan(cx: &Context<'_>) -> Result<Atom, Failure> {
    let text = cx.arg(2);
    text.parse().map(Atom::Integer).map_err(|_| format!("invalid vlan {text}").into())
}

pub(super) fn bind(cx: &mut Context<'_>) -> Done {
    let (_, row) = port(cx)?;
    let switch = switches::named(cx, &LOGICAL, cx.arg(3))?;
    let vlan = vlan(cx)?;
    let mut bindings = cx.get(TABLE, row, "vlan_bindings");
    if bindings.get(&vlan).is_some() {
        return Err(format!("multiple bindings for vlan {vlan}").into());
    }
    bindings.insert(vlan, Some(Atom::Uuid(switch)));
    cx.txn.verify(TABLE, row, "vlan_bindings");
    cx.txn.set(TABLE, row, "vlan_bindings", bindings);
    Ok(())
}

pub(super) fn unbind(cx: &mut Context<'_>) -> Done {
    let (_, row) = port(cx)?;
    let vlan = vlan(cx)?;
    let mut bindings = cx.get(TABLE, row, "vlan_bindings");
    if bindings.get(&vlan).is_none() {
        return Err(format!("no binding for vlan {vlan}").into());
    }
    bindings.remove(&vlan);
    cx.txn.verify(TABLE, row, "vlan_bindings");
    cx.txn.set(TABLE, row, "vlan_bindings", bindings);
    Ok(())
}

pub(super) fn list_bindings(cx: &mut Context<'_>) -> Done {
    let (_, row) = port(cx)?;
    for (vlan, switch) in cx.get(TABLE, row, "vlan_bindings").pairs() {
        let (Some(vlan), Some(switch)) = (vlan.as_integer(), switch.as_uuid()) else { continue };
        let name = cx.string(LOGICAL.table, switch, "name");
        cx.line(format!("{vlan:04} {name}"));
    }
    Ok(())
}
