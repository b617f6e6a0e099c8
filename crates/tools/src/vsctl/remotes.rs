//! Commands about who controls the switch: controllers, managers, TLS, fail mode; and `emer-reset`.
//!
//! Where it sits: in the command table of `mod.rs`.

use ovsdb::{Atom, Datum, Uuid};

use super::model::Model;
use super::{Done, root};
use crate::ctl::context::{Context, Failure, random_uuid};
use crate::ctl::targets::{self, Holder};

fn text(s: &str) -> Datum {
    Datum::scalar(Atom::string(s))
}

/// The Bridge record of a bridge, or of a fake one's parent.
fn record(cx: &mut Context<'_>) -> Result<Uuid, Failure> {
    let model = Model::read(cx);
    Ok(model.bridges[model.bridge(cx.arg(0))?].record)
}

/// The Bridge record of a real bridge.
fn real(cx: &mut Context<'_>) -> Result<Uuid, Failure> {
    let model = Model::read(cx);
    model.real_bridge(cx.arg(0)).map(|b| b.record)
}

fn controllers(row: Uuid) -> Holder {
    Holder { table: "Bridge", row, column: "controller", of: "Controller" }
}

fn managers(row: Uuid) -> Holder {
    Holder { table: "Open_vSwitch", row, column: "manager_options", of: "Manager" }
}

pub(super) fn get_controller(cx: &mut Context<'_>) -> Done {
    let bridge = record(cx)?;
    targets::print(cx, controllers(bridge));
    Ok(())
}

pub(super) fn del_controller(cx: &mut Context<'_>) -> Done {
    let bridge = real(cx)?;
    targets::replace(cx, controllers(bridge), &[]);
    Ok(())
}

pub(super) fn set_controller(cx: &mut Context<'_>) -> Done {
    let bridge = real(cx)?;
    let targets = cx.call.args[1..].to_vec();
    targets::warn_of_typos("vsctl", &targets);
    targets::replace(cx, controllers(bridge), &targets);
    targets::set_probe(cx, controllers(bridge))
}

pub(super) fn get_fail_mode(cx: &mut Context<'_>) -> Done {
    let bridge = record(cx)?;
    let mode = cx.string("Bridge", bridge, "fail_mode");
    if !mode.is_empty() {
        cx.line(mode);
    }
    Ok(())
}

pub(super) fn del_fail_mode(cx: &mut Context<'_>) -> Done {
    let bridge = real(cx)?;
    cx.txn.set("Bridge", bridge, "fail_mode", Datum::default());
    Ok(())
}

pub(super) fn set_fail_mode(cx: &mut Context<'_>) -> Done {
    let bridge = real(cx)?;
    let mode = cx.arg(1).to_owned();
    if mode != "standalone" && mode != "secure" {
        return Err("fail-mode must be \"standalone\" or \"secure\"".into());
    }
    cx.txn.set("Bridge", bridge, "fail_mode", text(&mode));
    Ok(())
}

pub(super) fn get_manager(cx: &mut Context<'_>) -> Done {
    let root = root(cx);
    targets::print(cx, managers(root));
    Ok(())
}

pub(super) fn del_manager(cx: &mut Context<'_>) -> Done {
    let root = root(cx);
    targets::replace(cx, managers(root), &[]);
    Ok(())
}

pub(super) fn set_manager(cx: &mut Context<'_>) -> Done {
    let root = root(cx);
    let targets = cx.call.args.clone();
    targets::warn_of_typos("vsctl", &targets);
    targets::replace(cx, managers(root), &targets);
    targets::set_probe(cx, managers(root))
}

pub(super) fn get_ssl(cx: &mut Context<'_>) -> Done {
    let root = root(cx);
    if let Some(ssl) = cx.references("Open_vSwitch", root, "ssl").first().copied() {
        for (label, column) in
            [("Private key", "private_key"), ("Certificate", "certificate"), ("CA Certificate", "ca_cert")]
        {
            let value = cx.string("SSL", ssl, column);
            cx.line(format!("{label}: {value}"));
        }
        let bootstrap =
            cx.get("SSL", ssl, "bootstrap_ca_cert").single().and_then(Atom::as_bool) == Some(true);
        cx.line(format!("Bootstrap: {bootstrap}"));
    }
    Ok(())
}

pub(super) fn del_ssl(cx: &mut Context<'_>) -> Done {
    let root = root(cx);
    for ssl in cx.references("Open_vSwitch", root, "ssl") {
        cx.txn.delete("SSL", ssl);
    }
    cx.set_references("Open_vSwitch", root, "ssl", &[]);
    Ok(())
}

pub(super) fn set_ssl(cx: &mut Context<'_>) -> Done {
    del_ssl(cx)?;
    let (root, ssl) = (root(cx), random_uuid());
    cx.txn.insert("SSL", ssl);
    for (i, column) in ["private_key", "certificate", "ca_cert"].into_iter().enumerate() {
        let value = text(cx.arg(i));
        cx.txn.set("SSL", ssl, column, value);
    }
    let bootstrap = cx.call.has("--bootstrap");
    cx.txn.set("SSL", ssl, "bootstrap_ca_cert", Datum::scalar(Atom::Boolean(bootstrap)));
    cx.set_references("Open_vSwitch", root, "ssl", &[ssl]);
    Ok(())
}

/// Columns that `emer-reset` empties, by table.
const RESET: &[(&str, &[&str])] = &[
    ("Open_vSwitch", &["manager_options", "ssl", "other_config"]),
    (
        "Bridge",
        &["controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans", "other_config"],
    ),
    ("Port", &["other_config"]),
    (
        "Interface",
        &[
            "ingress_policing_rate",
            "ingress_policing_burst",
            "ingress_policing_kpkts_rate",
            "ingress_policing_kpkts_burst",
        ],
    ),
];

pub(super) fn emer_reset(cx: &mut Context<'_>) -> Done {
    for (table, columns) in RESET {
        let Some(schema) = cx.txn.schema(table).cloned() else { continue };
        let rows: Vec<Uuid> = cx.txn.rows(table).iter().map(|r| r.uuid()).collect();
        for row in rows {
            for name in *columns {
                let Some(column) = schema.column(name) else { continue };
                let mut value = Datum::default_for(&column.kind);
                let hwaddr = Atom::string("hwaddr");
                let old = cx.get(table, row, name);
                if let (&"Bridge", &"other_config", Some(kept)) = (table, name, old.get(&hwaddr)) {
                    value.insert(hwaddr, Some(kept.clone()));
                }
                cx.txn.set(table, row, name, value);
            }
        }
    }
    for table in ["Mirror", "Controller", "NetFlow", "sFlow", "IPFIX", "Manager", "SSL"] {
        let rows: Vec<Uuid> = cx.txn.rows(table).iter().map(|r| r.uuid()).collect();
        rows.into_iter().for_each(|row| cx.txn.delete(table, row));
    }
    Ok(())
}
