//! Rows that stand for connections, named by their target: controllers and managers.
//!
//! Where it sits: `get-manager`, `set-controller` and their like, in the command tables of ovs-vsctl and vtep-ctl.

use ovsdb::{Atom, Datum, Uuid};

use super::context::{Context, Failure, random_uuid};

/// The column that refers to the rows.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// Its table.
    pub table: &'static str,
    /// Its row.
    pub row: Uuid,
    /// The column.
    pub column: &'static str,
    /// The table of the rows referred to.
    pub of: &'static str,
}

/// Prints the targets, sorted.
pub fn print(cx: &mut Context<'_>, holder: Holder) {
    let rows = cx.references(holder.table, holder.row, holder.column);
    let mut targets: Vec<String> = rows.iter().map(|r| cx.string(holder.of, *r, "target")).collect();
    targets.sort_unstable();
    targets.into_iter().for_each(|t| cx.line(t));
}

/// Says in the program's part of the `log` which targets are of no known kind.
pub fn warn_of_typos(log: &str, targets: &[String]) {
    for target in targets {
        let kind = target.split(':').next().unwrap_or_default();
        let known = ["tcp", "ssl", "unix", "ptcp", "pssl", "punix"];
        if !target.contains(':') || !known.contains(&kind) {
            log::warn!(target: log, "target type \"{target}\" is possibly erroneous");
        }
    }
}

/// Replaces the rows by new ones for `targets`.
pub fn replace(cx: &mut Context<'_>, holder: Holder, targets: &[String]) {
    for row in cx.references(holder.table, holder.row, holder.column) {
        cx.txn.delete(holder.of, row);
    }
    let add = |target: &String| {
        let row = random_uuid();
        cx.txn.insert(holder.of, row);
        cx.txn.set(holder.of, row, "target", Datum::scalar(Atom::string(target)));
        row
    };
    let rows: Vec<Uuid> = targets.iter().map(add).collect();
    cx.txn.verify(holder.table, holder.row, holder.column);
    cx.set_references(holder.table, holder.row, holder.column, &rows);
}

/// Gives every row the `--inactivity-probe` of the command, if it has one.
pub fn set_probe(cx: &mut Context<'_>, holder: Holder) -> Result<(), Failure> {
    let Some(text) = cx.call.value("--inactivity-probe") else { return Ok(()) };
    let probe = text.parse::<i64>().map_err(|_| format!("invalid inactivity probe {text}"))?;
    for row in cx.references(holder.table, holder.row, holder.column) {
        cx.txn.set(holder.of, row, "inactivity_probe", Datum::scalar(Atom::Integer(probe)));
    }
    Ok(())
}
