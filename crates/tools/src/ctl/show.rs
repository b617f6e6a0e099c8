//! `show`: an overview of the database as an indented tree.
//!
//! Where it sits: each program says which columns of which tables are shown; references to such tables become
//! branches.
//!
//! Spec: ovs-vsctl(8), "show"; its `--filter` keeps those rows of a table that, as printed with what is below them, contain
//! one of the given texts, whatever their case.

use std::collections::BTreeSet;

use ovsdb::{Atom, ColumnSchema, Datum, Uuid};

use super::context::{Context, Failure};
use super::needs::Needs;

/// What `show` prints of a table.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// The table.
    pub table: &'static str,
    /// The column behind the table's name; without one, rows are shown by their UUID.
    pub name: Option<&'static str>,
    /// The columns below, in this order.
    pub columns: &'static [&'static str],
    /// A map, printed last, whose values refer to rows of another table, and the column that names those.
    pub named: Option<(&'static str, &'static str)>,
}

impl Shown {
    /// What is looked at to print it.
    pub fn needs(&self, needs: &mut Needs<'_>) {
        needs.add(self.table, self.columns);
        needs.add(self.table, self.name.as_slice());
        if let Some((map, name)) = self.named {
            needs.add(self.table, &[map]);
            needs.add_target(self.table, map, name);
        }
    }
}

/// Part of the tree: a line with what is below it.
struct Node {
    line: String,
    /// The table, if this is a row.
    table: Option<&'static str>,
    children: Vec<Node>,
}

impl Node {
    fn leaf(line: String) -> Node {
        Node { line, table: None, children: Vec::new() }
    }

    fn print(&self, depth: usize, out: &mut String) {
        out.push_str(&"    ".repeat(depth));
        out.push_str(&self.line);
        out.push('\n');
        self.children.iter().for_each(|child| child.print(depth + 1, out));
    }

    /// Takes out what no rule for its table lets through, from the leaves up.
    fn prune(&mut self, rules: &[Rule]) {
        self.children.iter_mut().for_each(|child| child.prune(rules));
        self.children.retain(|child| child.passes(rules));
    }

    fn passes(&self, rules: &[Rule]) -> bool {
        let mut of_table = rules.iter().filter(|r| Some(r.table.as_str()) == self.table).peekable();
        if of_table.peek().is_none() {
            return true;
        }
        let mut text = String::new();
        self.print(0, &mut text);
        let text = text.to_lowercase();
        of_table.any(|rule| rule.texts.iter().any(|wanted| text.contains(wanted)))
    }
}

/// One rule of `--filter`.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    table: String,
    /// In lower case; one of them must be there.
    texts: Vec<String>,
}

/// `Table(text|text),text`: what stands alone is about the `top` table.
fn rules(filter: &str, top: &str) -> Result<Vec<Rule>, Failure> {
    let lower = |texts: &str| texts.split('|').map(str::to_lowercase).collect();
    let (mut rules, mut rest) = (Vec::new(), filter);
    while !rest.is_empty() {
        let end = rest.find([',', '(']).unwrap_or(rest.len());
        let head = &rest[..end];
        if rest[end..].starts_with('(') {
            let inner = &rest[end + 1..];
            let close = inner.find(')').ok_or_else(|| format!("{filter}: missing ')' in filter"))?;
            rules.push(Rule { table: head.to_owned(), texts: lower(&inner[..close]) });
            rest = &inner[close + 1..];
        } else {
            rules.push(Rule { table: top.to_owned(), texts: lower(head) });
            rest = &rest[end..];
        }
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Ok(rules)
}

/// Prints every row of the first table that the command's `--filter` lets through.
pub fn show(cx: &mut Context<'_>, shown: &[Shown]) -> Result<(), Failure> {
    let Some(top) = shown.first() else { return Ok(()) };
    let rules = rules(cx.call.value("--filter").unwrap_or_default(), top.table)?;
    if let Some(rule) = rules.iter().find(|r| shown.iter().all(|s| s.table != r.table)) {
        return Err(format!("{}: table is not shown", rule.table).into());
    }
    let rows: Vec<Uuid> = cx.txn.rows(top.table).iter().map(|r| r.uuid()).collect();
    for row in rows {
        let mut node = node(cx, shown, top, row, &mut BTreeSet::new());
        node.prune(&rules);
        if node.passes(&rules) {
            node.print(0, &mut cx.output.text);
        }
    }
    Ok(())
}

/// A column's value, as text.
fn text(cx: &Context<'_>, table: &str, row: Uuid, column: &str) -> String {
    let kind = cx.txn.schema(table).and_then(|s| s.column(column)).map(|c| c.kind.clone());
    kind.map(|kind| cx.get(table, row, column).to_text(&kind)).unwrap_or_default()
}

fn node(cx: &Context<'_>, shown: &[Shown], what: &Shown, row: Uuid, above: &mut BTreeSet<Uuid>) -> Node {
    let line = match what.name {
        Some(name) => format!("{} {}", what.table, text(cx, what.table, row, name)),
        None => row.to_string(),
    };
    let mut out = Node { line, table: Some(what.table), children: Vec::new() };
    if !above.insert(row) {
        return out;
    }
    for name in what.columns {
        let Some(schema) = cx.txn.schema(what.table).and_then(|s| s.column(name)) else { continue };
        let value = cx.get(what.table, row, name);
        out.children.extend(column(cx, shown, schema, &value, above));
    }
    if let Some((map, name)) = what.named {
        out.children.push(named(cx, what.table, row, map, name));
    }
    above.remove(&row);
    out
}

fn column(
    cx: &Context<'_>,
    shown: &[Shown],
    schema: &ColumnSchema,
    value: &Datum,
    above: &mut BTreeSet<Uuid>,
) -> Vec<Node> {
    let target = schema.kind.key.reference().and_then(|(t, _)| shown.iter().find(|s| s.table == t));
    if let Some(target) = target {
        let rows = value.keys().iter().filter_map(Atom::as_uuid);
        return rows.map(|uuid| node(cx, shown, target, uuid, above)).collect();
    }
    let line = || format!("{}: {}", schema.name, value.to_text(&schema.kind));
    if value.is_default(&schema.kind) { Vec::new() } else { vec![Node::leaf(line())] }
}

/// A map with the names of the rows that its values refer to.
fn named(cx: &Context<'_>, table: &str, row: Uuid, map: &str, name: &str) -> Node {
    let mut out = Node::leaf(format!("{map}:"));
    let target = cx.txn.schema(table).and_then(|s| s.column(map)).and_then(|c| c.kind.value.as_ref());
    let Some((target, _)) = target.and_then(|base| base.reference()) else { return out };
    for (key, value) in cx.get(table, row, map).pairs() {
        let Some(uuid) = value.as_uuid() else { continue };
        out.children.push(Node::leaf(format!("{key}={}", text(cx, target, uuid, name))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_rules_about_tables() {
        let rule = |table: &str, texts: &[&str]| Rule {
            table: table.to_owned(),
            texts: texts.iter().map(|t| (*t).to_owned()).collect(),
        };
        let check = |filter, expected: &[Rule]| assert_eq!(rules(filter, "Top").unwrap(), expected);
        check("", &[]);
        check("Br0", &[rule("Top", &["br0"])]);
        check("Port(p1|P2),x", &[rule("Port", &["p1", "p2"]), rule("Top", &["x"])]);
        check("Port(a,b),Bridge(c)", &[rule("Port", &["a,b"]), rule("Bridge", &["c"])]);
        assert!(rules("Port(p1", "Top").is_err());
    }
}
