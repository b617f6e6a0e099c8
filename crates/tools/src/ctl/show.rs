//! `show`: an overview of the database as an indented tree.
//!
//! Where it sits: each program says which columns of which tables are shown; references to such tables become
//! branches.

use std::collections::BTreeSet;

use ovsdb::{Atom, Uuid};

use super::context::{Context, Failure};

/// What `show` prints of a table.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// The table.
    pub table: &'static str,
    /// The column behind the table's name; without one, rows are shown by their UUID.
    pub name: Option<&'static str>,
    /// The columns below, in this order.
    pub columns: &'static [&'static str],
}

/// Part of the tree: a line with what is below it.
struct Node {
    line: String,
    children: Vec<Node>,
}

/// Prints every row of the first table.
pub fn show(cx: &mut Context<'_>, shown: &[Shown]) -> Result<(), Failure> {
    let Some(top) = shown.first() else { return Ok(()) };
    let rows: Vec<Uuid> = cx.txn.rows(top.table).iter().map(|r| r.uuid()).collect();
    for row in rows {
        let node = node(cx, shown, top, row, &mut BTreeSet::new());
        print(cx, &node, 0);
    }
    Ok(())
}

fn print(cx: &mut Context<'_>, node: &Node, depth: usize) {
    let indent = " ".repeat(4 * depth);
    cx.line(format!("{indent}{}", node.line));
    for child in &node.children {
        print(cx, child, depth + 1);
    }
}

fn node(cx: &Context<'_>, shown: &[Shown], what: &Shown, row: Uuid, above: &mut BTreeSet<Uuid>) -> Node {
    let line = match what.name {
        Some(name) => {
            let kind = cx.txn.schema(what.table).and_then(|s| s.column(name)).map(|c| c.kind.clone());
            let text = kind.map(|kind| cx.get(what.table, row, name).to_text(&kind)).unwrap_or_default();
            format!("{} {text}", what.table)
        }
        None => row.to_string(),
    };
    let mut out = Node { line, children: Vec::new() };
    if !above.insert(row) {
        return out;
    }
    for name in what.columns {
        column(cx, shown, what, row, name, above, &mut out);
    }
    above.remove(&row);
    out
}

fn column(
    cx: &Context<'_>,
    shown: &[Shown],
    what: &Shown,
    row: Uuid,
    name: &str,
    above: &mut BTreeSet<Uuid>,
    out: &mut Node,
) {
    let Some(schema) = cx.txn.schema(what.table).and_then(|s| s.column(name)) else { return };
    let value = cx.get(what.table, row, name);
    let target = schema.kind.key.reference().and_then(|(t, _)| shown.iter().find(|s| s.table == t));
    if let Some(target) = target {
        for uuid in value.keys().iter().filter_map(Atom::as_uuid) {
            out.children.push(node(cx, shown, target, uuid, above));
        }
    } else if !value.is_default(&schema.kind) {
        let line = format!("{name}: {}", value.to_text(&schema.kind));
        out.children.push(Node { line, children: Vec::new() });
    }
}
