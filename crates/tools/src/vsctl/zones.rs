//! Datapath commands: timeout policies and limits of connection tracking zones, capabilities.
//!
//! Where it sits: in the command table of `mod.rs`.

use ovsdb::{Atom, Datum, Uuid};

use super::{Done, root};
use crate::ctl::context::{Context, Failure, random_uuid};

const MAX_ZONE: i64 = 65535;
const MAX_LIMIT: i64 = u32::MAX as i64;

/// The record of the datapath called `name`.
fn datapath(cx: &mut Context<'_>, name: &str) -> Option<Uuid> {
    let root = root(cx);
    cx.get("Open_vSwitch", root, "datapaths").get(&Atom::string(name)).and_then(Atom::as_uuid)
}

fn existing(cx: &mut Context<'_>) -> Result<Uuid, Failure> {
    let name = cx.arg(0).to_owned();
    datapath(cx, &name).ok_or_else(|| format!("datapath {name} does not exist").into())
}

fn zone_id(text: &str) -> Result<i64, Failure> {
    let id = text.parse::<i64>().ok().filter(|z| (0..=MAX_ZONE).contains(z));
    id.ok_or_else(|| format!("invalid zone_id ({text})").into())
}

/// `zone=N`.
fn zone_argument(cx: &Context<'_>) -> Result<i64, Failure> {
    let text = cx.arg(1);
    let id = text.strip_prefix("zone=").ok_or_else(|| format!("invalid zone_id argument \"{text}\""))?;
    zone_id(id)
}

fn zone(cx: &Context<'_>, dp: Uuid, id: i64) -> Option<Uuid> {
    cx.get("Datapath", dp, "ct_zones").get(&Atom::Integer(id)).and_then(Atom::as_uuid)
}

/// The CT_Zone record of a zone, made if there is none.
fn zone_or_new(cx: &mut Context<'_>, dp: Uuid, id: i64) -> Uuid {
    zone(cx, dp, id).unwrap_or_else(|| {
        let row = random_uuid();
        cx.txn.insert("CT_Zone", row);
        let mut zones = cx.get("Datapath", dp, "ct_zones");
        zones.insert(Atom::Integer(id), Some(Atom::Uuid(row)));
        cx.txn.verify("Datapath", dp, "ct_zones");
        cx.txn.set("Datapath", dp, "ct_zones", zones);
        row
    })
}

/// Takes a zone out that has neither policy nor limit.
fn drop_if_bare(cx: &mut Context<'_>, dp: Uuid, id: i64) {
    let Some(row) = zone(cx, dp, id) else { return };
    if cx.get("CT_Zone", row, "timeout_policy").is_empty() && cx.get("CT_Zone", row, "limit").is_empty() {
        let mut zones = cx.get("Datapath", dp, "ct_zones");
        zones.remove(&Atom::Integer(id));
        cx.txn.verify("Datapath", dp, "ct_zones");
        cx.txn.set("Datapath", dp, "ct_zones", zones);
    }
}

/// The pairs of a map in one line.
fn listed(map: &Datum) -> String {
    map.pairs().map(|(k, v)| format!("{}={}", k.to_bare(), v.to_bare())).collect::<Vec<_>>().join(" ")
}

pub(super) fn add_zone_tp(cx: &mut Context<'_>) -> Done {
    let dp = existing(cx)?;
    let id = zone_argument(cx)?;
    let mut timeouts = Datum::default();
    for arg in &cx.call.args[2..] {
        let (key, value) = arg.split_once('=').ok_or("No timeout policy")?;
        let seconds = value.parse::<i64>().ok().filter(|v| (0..=MAX_LIMIT).contains(v));
        let seconds = seconds.ok_or_else(|| format!("invalid timeout value ({value})"))?;
        timeouts.insert(Atom::string(key), Some(Atom::Integer(seconds)));
    }
    let has_policy = zone(cx, dp, id).is_some_and(|z| !cx.get("CT_Zone", z, "timeout_policy").is_empty());
    // The manual says that nothing is done then; C's program sets the policy anew.
    if has_policy && !cx.call.has("--may-exist") {
        return Err(format!("zone id {id} already has a policy").into());
    }
    let row = zone_or_new(cx, dp, id);
    let policy = random_uuid();
    cx.txn.insert("CT_Timeout_Policy", policy);
    cx.txn.set("CT_Timeout_Policy", policy, "timeouts", timeouts);
    cx.set_references("CT_Zone", row, "timeout_policy", &[policy]);
    Ok(())
}

pub(super) fn del_zone_tp(cx: &mut Context<'_>) -> Done {
    let dp = existing(cx)?;
    let id = zone_argument(cx)?;
    let row = zone(cx, dp, id).filter(|z| !cx.get("CT_Zone", *z, "timeout_policy").is_empty());
    let Some(row) = row else {
        return if cx.call.has("--if-exists") {
            Ok(())
        } else {
            Err(format!("zone id {id} does not have a policy").into())
        };
    };
    cx.set_references("CT_Zone", row, "timeout_policy", &[]);
    drop_if_bare(cx, dp, id);
    Ok(())
}

pub(super) fn list_zone_tp(cx: &mut Context<'_>) -> Done {
    let name = cx.arg(0).to_owned();
    let dp = datapath(cx, &name).ok_or_else(|| format!("datapath: {name} record not found"))?;
    let zones = cx.get("Datapath", dp, "ct_zones");
    for (id, row) in zones.pairs() {
        let (Some(id), Some(row)) = (id.as_integer(), row.as_uuid()) else { continue };
        let policies = cx.references("CT_Zone", row, "timeout_policy");
        let text = match policies.first() {
            Some(policy) => {
                let timeouts = cx.get("CT_Timeout_Policy", *policy, "timeouts");
                listed(&timeouts)
            }
            None => "system default".to_owned(),
        };
        cx.line(format!("Zone:{id}, Timeout Policies: {text}"));
    }
    Ok(())
}

pub(super) fn set_zone_limit(cx: &mut Context<'_>) -> Done {
    let dp = existing(cx)?;
    let limit = cx.arg(2).parse::<i64>().ok().filter(|l| (0..=MAX_LIMIT).contains(l));
    let limit = limit.ok_or_else(|| format!("invalid limit ({})", cx.arg(2)))?;
    let value = Datum::scalar(Atom::Integer(limit));
    if cx.arg(1) == "default" {
        cx.txn.set("Datapath", dp, "ct_zone_default_limit", value);
        return Ok(());
    }
    let id = zone_id(cx.arg(1))?;
    let row = zone_or_new(cx, dp, id);
    cx.txn.set("CT_Zone", row, "limit", value);
    Ok(())
}

pub(super) fn del_zone_limit(cx: &mut Context<'_>) -> Done {
    let dp = existing(cx)?;
    let lenient = cx.call.has("--if-exists");
    if cx.arg(1) == "default" {
        if cx.get("Datapath", dp, "ct_zone_default_limit").is_empty() && !lenient {
            return Err(format!("datapath {} does not have a default limit", cx.arg(0)).into());
        }
        cx.txn.set("Datapath", dp, "ct_zone_default_limit", Datum::default());
        return Ok(());
    }
    let id = zone_id(cx.arg(1))?;
    match zone(cx, dp, id).filter(|z| !cx.get("CT_Zone", *z, "limit").is_empty()) {
        Some(row) => {
            cx.txn.set("CT_Zone", row, "limit", Datum::default());
            drop_if_bare(cx, dp, id);
            Ok(())
        }
        None if lenient => Ok(()),
        None => Err(format!("zone id {id} does not have a limit").into()),
    }
}

pub(super) fn list_zone_limits(cx: &mut Context<'_>) -> Done {
    let dp = existing(cx)?;
    if let Some(limit) = cx.get("Datapath", dp, "ct_zone_default_limit").single() {
        cx.line(format!("Default, Limit: {limit}"));
    }
    let zones = cx.get("Datapath", dp, "ct_zones");
    for (id, row) in zones.pairs() {
        let Some(row) = row.as_uuid() else { continue };
        if let Some(limit) = cx.get("CT_Zone", row, "limit").single() {
            cx.line(format!("Zone: {id}, Limit: {limit}"));
        }
    }
    Ok(())
}

pub(super) fn list_dp_cap(cx: &mut Context<'_>) -> Done {
    let name = cx.arg(0).to_owned();
    let dp = datapath(cx, &name).ok_or_else(|| format!("datapath \"{name}\" record not found"))?;
    let capabilities = cx.get("Datapath", dp, "capabilities");
    cx.line(listed(&capabilities));
    Ok(())
}
