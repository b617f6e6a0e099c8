//! MAC bindings of logical switches: which addresses are behind which tunnel ends.
//!
//! Where it sits: in the command table of `mod.rs`.
//!
//! A unicast address has one locator; a multicast address has a set of them, and a set never changes: a new one takes its
//! place.

use std::collections::BTreeMap;

use ovsdb::Uuid;

use super::switches::{self, LOGICAL};
use super::{Done, text};
use crate::ctl::context::{Context, random_uuid};

/// Who has learned the addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    unicast: &'static str,
    multicast: &'static str,
    word: &'static str,
}

pub(super) const LOCAL: Side =
    Side { unicast: "Ucast_Macs_Local", multicast: "Mcast_Macs_Local", word: "local" };
pub(super) const REMOTE: Side =
    Side { unicast: "Ucast_Macs_Remote", multicast: "Mcast_Macs_Remote", word: "remote" };

const LOCATOR: &str = "Physical_Locator";
const SET: &str = "Physical_Locator_Set";

/// The rows of a MAC table that belong to a logical switch.
fn rows_of(cx: &Context<'_>, table: &str, switch: Uuid) -> Vec<Uuid> {
    let rows = cx.txn.rows(table);
    let belongs = |row: &Uuid| cx.references(table, *row, "logical_switch").contains(&switch);
    rows.iter().map(|r| r.uuid()).filter(belongs).collect()
}

fn row_of(cx: &Context<'_>, table: &str, switch: Uuid, mac: &str) -> Option<Uuid> {
    rows_of(cx, table, switch).into_iter().find(|row| cx.string(table, *row, "MAC") == mac)
}

/// The encapsulation and the address that the command ends with.
fn place(cx: &Context<'_>) -> (String, String) {
    match cx.call.args.as_slice() {
        [_, _, encapsulation, ip] => (encapsulation.clone(), ip.clone()),
        args => ("vxlan_over_ipv4".to_owned(), args.last().cloned().unwrap_or_default()),
    }
}

fn place_of(cx: &Context<'_>, locator: Uuid) -> (String, String) {
    (cx.string(LOCATOR, locator, "encapsulation_type"), cx.string(LOCATOR, locator, "dst_ip"))
}

/// The locator of a place, made if there is none.
fn locator(cx: &mut Context<'_>, place: &(String, String)) -> Uuid {
    let existing = cx.txn.rows(LOCATOR).iter().map(|r| r.uuid()).find(|row| place_of(cx, *row) == *place);
    existing.unwrap_or_else(|| {
        let row = random_uuid();
        cx.txn.insert(LOCATOR, row);
        cx.txn.set(LOCATOR, row, "encapsulation_type", text(&place.0));
        cx.txn.set(LOCATOR, row, "dst_ip", text(&place.1));
        row
    })
}

/// The row of an address, made if there is none.
fn row_or_new(cx: &mut Context<'_>, table: &str, switch: Uuid, mac: &str) -> Uuid {
    row_of(cx, table, switch, mac).unwrap_or_else(|| {
        let row = random_uuid();
        cx.txn.insert(table, row);
        cx.txn.set(table, row, "MAC", text(mac));
        cx.set_references(table, row, "logical_switch", &[switch]);
        row
    })
}

pub(super) fn add_unicast(cx: &mut Context<'_>, side: &Side) -> Done {
    let switch = switches::named(cx, &LOGICAL, cx.arg(0))?;
    let (mac, place) = (cx.arg(1).to_owned(), place(cx));
    let locator = locator(cx, &place);
    let row = row_or_new(cx, side.unicast, switch, &mac);
    cx.set_references(side.unicast, row, "locator", &[locator]);
    Ok(())
}

pub(super) fn delete_unicast(cx: &mut Context<'_>, side: &Side) -> Done {
    let switch = switches::named(cx, &LOGICAL, cx.arg(0))?;
    if let Some(row) = row_of(cx, side.unicast, switch, cx.arg(1)) {
        cx.txn.delete(side.unicast, row);
    }
    Ok(())
}

/// The locators of a multicast row.
fn locators(cx: &Context<'_>, table: &str, row: Uuid) -> Vec<Uuid> {
    let sets = cx.references(table, row, "locator_set");
    sets.first().map(|set| cx.references(SET, *set, "locators")).unwrap_or_default()
}

fn set_locators(cx: &mut Context<'_>, table: &str, row: Uuid, locators: &[Uuid]) {
    let set = random_uuid();
    cx.txn.insert(SET, set);
    cx.set_references(SET, set, "locators", locators);
    cx.set_references(table, row, "locator_set", &[set]);
}

pub(super) fn add_multicast(cx: &mut Context<'_>, side: &Side) -> Done {
    let switch = switches::named(cx, &LOGICAL, cx.arg(0))?;
    let (mac, place) = (cx.arg(1).to_owned(), place(cx));
    let locator = locator(cx, &place);
    let row = row_or_new(cx, side.multicast, switch, &mac);
    let mut all = locators(cx, side.multicast, row);
    if !all.contains(&locator) {
        all.push(locator);
        set_locators(cx, side.multicast, row, &all);
    }
    Ok(())
}

pub(super) fn delete_multicast(cx: &mut Context<'_>, side: &Side) -> Done {
    let switch = switches::named(cx, &LOGICAL, cx.arg(0))?;
    let place = place(cx);
    let Some(row) = row_of(cx, side.multicast, switch, cx.arg(1)) else { return Ok(()) };
    let all = locators(cx, side.multicast, row);
    let left: Vec<Uuid> = all.iter().copied().filter(|l| place_of(cx, *l) != place).collect();
    if left.is_empty() {
        cx.txn.delete(side.multicast, row);
    } else if left.len() < all.len() {
        set_locators(cx, side.multicast, row, &left);
    }
    Ok(())
}

pub(super) fn clear(cx: &mut Context<'_>, side: &Side) -> Done {
    let switch = switches::named(cx, &LOGICAL, cx.arg(0))?;
    for table in [side.unicast, side.multicast] {
        rows_of(cx, table, switch).into_iter().for_each(|row| cx.txn.delete(table, row));
    }
    Ok(())
}

pub(super) fn list(cx: &mut Context<'_>, side: &Side) -> Done {
    let switch = switches::named(cx, &LOGICAL, cx.arg(0))?;
    let behind = |cx: &Context<'_>, table: &str, row: Uuid| {
        if table == side.unicast { cx.references(table, row, "locator") } else { locators(cx, table, row) }
    };
    for (table, word) in [(side.unicast, "ucast"), (side.multicast, "mcast")] {
        cx.line(format!("{word}-mac-{}", side.word));
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows_of(cx, table, switch) {
            for locator in behind(cx, table, row) {
                let (encapsulation, ip) = place_of(cx, locator);
                lines.entry(cx.string(table, row, "MAC")).or_default().push(format!("{encapsulation}/{ip}"));
            }
        }
        for (mac, places) in lines {
            places.into_iter().for_each(|place| cx.line(format!("  {mac} -> {place}")));
        }
        cx.line("");
    }
    Ok(())
}
