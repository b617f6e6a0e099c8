//! Auto-attach commands: which service identifiers (I-SIDs) go with which VLANs of a bridge.
//!
//! Where it sits: in the command table of `mod.rs`.
//!
//! Spec: ovs-vsctl(8), "Auto Attach Commands".

use ovsdb::{Atom, Datum, Uuid};

use super::Done;
use super::model::Model;
use crate::ctl::context::{Context, Failure, random_uuid};

/// The Bridge record of the command's bridge, or of a fake one's parent.
fn bridge(cx: &mut Context<'_>) -> Result<Uuid, Failure> {
    let model = Model::read(cx);
    Ok(model.bridges[model.bridge(cx.arg(0))?].record)
}

/// The I-SID and the VLAN of the command.
fn mapping(cx: &Context<'_>) -> Result<(Atom, Atom), Failure> {
    let number = |i: usize| {
        let text = cx.arg(i);
        text.parse().map(Atom::Integer).map_err(|_| Failure::from(format!("Invalid argument {text}")))
    };
    Ok((number(1)?, number(2)?))
}

/// The bridge's AutoAttach record.
fn record(cx: &Context<'_>, bridge: Uuid) -> Option<Uuid> {
    cx.references("Bridge", bridge, "auto_attach").first().copied()
}

fn store(cx: &mut Context<'_>, row: Uuid, mappings: Datum) {
    cx.txn.verify("AutoAttach", row, "mappings");
    cx.txn.set("AutoAttach", row, "mappings", mappings);
}

pub(super) fn add(cx: &mut Context<'_>) -> Done {
    let bridge = bridge(cx)?;
    let (isid, vlan) = mapping(cx)?;
    let row = record(cx, bridge).unwrap_or_else(|| {
        let row = random_uuid();
        cx.txn.insert("AutoAttach", row);
        cx.txn.verify("Bridge", bridge, "auto_attach");
        cx.set_references("Bridge", bridge, "auto_attach", &[row]);
        row
    });
    let mut mappings = cx.get("AutoAttach", row, "mappings");
    if mappings.get(&isid).is_none() {
        mappings.insert(isid, Some(vlan));
        store(cx, row, mappings);
    }
    Ok(())
}

pub(super) fn delete(cx: &mut Context<'_>) -> Done {
    let bridge = bridge(cx)?;
    let (isid, vlan) = mapping(cx)?;
    let Some(row) = record(cx, bridge) else { return Ok(()) };
    let mut mappings = cx.get("AutoAttach", row, "mappings");
    if mappings.get(&isid) == Some(&vlan) {
        mappings.remove(&isid);
        store(cx, row, mappings);
    }
    Ok(())
}

pub(super) fn list(cx: &mut Context<'_>) -> Done {
    let bridge = bridge(cx)?;
    let Some(row) = record(cx, bridge) else { return Ok(()) };
    for (isid, vlan) in cx.get("AutoAttach", row, "mappings").pairs() {
        cx.line(format!("{isid} {vlan}"));
    }
    Ok(())
}
