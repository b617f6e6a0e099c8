//! Physical switches, logical switches and logical routers: all are rows with a unique name.
//!
//! Where it sits: in the command table of `mod.rs`.

use ovsdb::Uuid;

use super::{Done, root, text};
use crate::ctl::context::{Context, Failure, random_uuid};

/// What is named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) table: &'static str,
    /// What texts call it.
    word: &'static str,
}

pub(super) const PHYSICAL: Kind = Kind { table: "Physical_Switch", word: "physical switch" };
pub(super) const LOGICAL: Kind = Kind { table: "Logical_Switch", word: "logical switch" };
pub(super) const ROUTER: Kind = Kind { table: "Logical_Router", word: "logical router" };

fn find(cx: &Context<'_>, kind: &Kind, name: &str) -> Option<Uuid> {
    let rows = cx.txn.rows(kind.table);
    rows.iter().map(|r| r.uuid()).find(|row| cx.string(kind.table, *row, "name") == name)
}

/// The row called `name`.
pub(super) fn named(cx: &Context<'_>, kind: &Kind, name: &str) -> Result<Uuid, Failure> {
    find(cx, kind, name).ok_or_else(|| format!("no {} named {name}", kind.word).into())
}

/// Changes which physical switches the database is about. Other tables are roots and need no reference.
fn keep(cx: &mut Context<'_>, kind: &Kind, change: impl FnOnce(&mut Vec<Uuid>)) {
    if kind.table == PHYSICAL.table {
        let root = root(cx);
        let mut rows = cx.references("Global", root, "switches");
        change(&mut rows);
        cx.txn.verify("Global", root, "switches");
        cx.set_references("Global", root, "switches", &rows);
    }
}

pub(super) fn add(cx: &mut Context<'_>, kind: &Kind) -> Done {
    let name = cx.arg(0).to_owned();
    if find(cx, kind, &name).is_some() {
        let error = || format!("cannot create {} {name} because it already exists", kind.word);
        return if cx.call.has("--may-exist") { Ok(()) } else { Err(error().into()) };
    }
    let row = random_uuid();
    cx.txn.insert(kind.table, row);
    cx.txn.set(kind.table, row, "name", text(&name));
    keep(cx, kind, |rows| rows.push(row));
    Ok(())
}

pub(super) fn delete(cx: &mut Context<'_>, kind: &Kind) -> Done {
    let row = match named(cx, kind, cx.arg(0)) {
        Ok(row) => row,
        Err(_) if cx.call.has("--if-exists") => return Ok(()),
        Err(failure) => return Err(failure),
    };
    cx.txn.delete(kind.table, row);
    keep(cx, kind, |rows| rows.retain(|r| *r != row));
    Ok(())
}

pub(super) fn list(cx: &mut Context<'_>, kind: &Kind) -> Done {
    let rows = cx.txn.rows(kind.table);
    let mut names: Vec<String> = rows.iter().map(|r| cx.string(kind.table, r.uuid(), "name")).collect();
    names.sort_unstable();
    names.into_iter().for_each(|name| cx.line(name));
    Ok(())
}

pub(super) fn exists(cx: &mut Context<'_>, kind: &Kind) -> Done {
    match find(cx, kind, cx.arg(0)) {
        Some(_) => Ok(()),
        None => Err(Failure { text: String::new(), status: 2 }),
    }
}

pub(super) fn set_replication_mode(cx: &mut Context<'_>) -> Done {
    let mode = cx.arg(1).to_owned();
    if mode != "service_node" && mode != "source_node" {
        return Err("Replication mode must be 'service_node' or 'source_node'".into());
    }
    let row = named(cx, &LOGICAL, cx.arg(0))?;
    cx.txn.set(LOGICAL.table, row, "replication_mode", text(&mode));
    Ok(())
}

/// Without a mode, C's program prints `(null)`, and so do we.
pub(super) fn get_replication_mode(cx: &mut Context<'_>) -> Done {
    let row = named(cx, &LOGICAL, cx.arg(0))?;
    let mode = cx.get(LOGICAL.table, row, "replication_mode");
    cx.line(mode.single().map_or("(null)".to_owned(), ovsdb::Atom::to_bare));
    Ok(())
}
