//! replace-flows and diff-flows: two sets of flows compared.
//!
//! Where it sits: a source is a file of flows or a switch. A flow is known by its table, match and priority.
//!
//! ~~~text
//! table, priority, match ─► [version of source 1, version of source 2]
//! ~~~

use std::collections::BTreeMap;
use std::fs;

use flow::Match;
use openflow::msg::{FlowStats, FlowStatsRequest, Message};
use openflow::{FlowMod, FlowModCommand, FlowModFlags, Names, Protocols, actions, matches};

use super::flows::{self, Lines, Parsed};
use super::vconn::Vconn;
use super::{Context, Fatal, exit, names, say};

/// What makes a flow that flow: table, priority (highest first) and match, with the match's text for a fixed order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    table: u8,
    priority: std::cmp::Reverse<u16>,
    text: String,
}

impl Key {
    fn new(table: u8, priority: u16, matcher: &Match) -> Key {
        let text = matches::format(matcher, FlowMod::DEFAULT_PRIORITY, &Names::none());
        Key { table, priority: std::cmp::Reverse(priority), text }
    }
}

/// The flows of both sources by key.
#[derive(Default)]
struct Sides(BTreeMap<Key, [Option<FlowStats>; 2]>);

impl Sides {
    fn insert(&mut self, side: usize, flow: FlowStats) {
        let key = Key::new(flow.table_id, flow.priority, &flow.matcher);
        self.0.entry(key).or_default()[side] = Some(flow);
    }

    fn add_file(&mut self, side: usize, mods: Vec<Parsed>) {
        for (fm, _) in mods {
            let table_id = if fm.table_id == FlowMod::ANY_TABLE { 0 } else { fm.table_id };
            let flow = FlowStats {
                table_id,
                priority: fm.priority,
                matcher: fm.matcher,
                cookie: fm.new_cookie,
                idle_timeout: fm.idle_timeout,
                hard_timeout: fm.hard_timeout,
                flags: fm.flags,
                importance: fm.importance,
                actions: fm.actions,
                ..FlowStats::default()
            };
            self.insert(side, flow);
        }
    }

    async fn add_switch(&mut self, cx: &Context, side: usize, vconn: &mut Vconn) -> Result<(), Fatal> {
        for flow in flows::collect(cx, vconn, FlowStatsRequest::default()).await? {
            self.insert(side, flow);
        }
        Ok(())
    }
}

/// True if two versions of a flow do the same.
fn same(a: &FlowStats, b: &FlowStats) -> bool {
    let what = |f: &FlowStats| (f.cookie, f.idle_timeout, f.hard_timeout, f.importance);
    what(a) == what(b) && a.actions == b.actions
}

/// The text of one version of a flow.
fn text(f: &FlowStats, names: &Names) -> String {
    let mut out = String::new();
    if f.table_id != 0 {
        out = format!("table={} ", f.table_id);
    }
    out += &matches::format(&f.matcher, f.priority, names);
    if f.cookie != 0 {
        out += &format!(" cookie={:#x}", f.cookie);
    }
    for (name, n) in
        [("idle_timeout", f.idle_timeout), ("hard_timeout", f.hard_timeout), ("importance", f.importance)]
    {
        if n != 0 {
            out += &format!(" {name}={n}");
        }
    }
    out + " actions=" + &actions::format(&f.actions, names)
}

/// diff-flows
pub async fn diff_flows(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mut sides = Sides::default();
    let mut show = Names::none();
    for (side, source) in args.iter().enumerate() {
        if fs::metadata(source).is_ok_and(|m| m.is_file()) || source == "-" {
            sides.add_file(side, flows::parse_file(cx, None, source, Lines::Of(FlowModCommand::Add)).await?);
        } else {
            show = names::to_show(cx, source).await?;
            let mut vconn = flows::open_for_dump(cx, source, Protocols::ANY).await?;
            sides.add_switch(cx, side, &mut vconn).await?;
        }
    }
    let mut differ = false;
    for [one, two] in sides.0.values() {
        if let (Some(one), Some(two)) = (one, two)
            && same(one, two)
        {
            continue;
        }
        differ = true;
        for (sign, flow) in [('-', one), ('+', two)] {
            if let Some(flow) = flow {
                say(&format!("{sign}{}\n", text(flow, &show)));
            }
        }
    }
    if differ { Err(exit(2)) } else { Ok(()) }
}

/// replace-flows
pub async fn replace_flows(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mods = flows::parse_file(cx, Some(&args[0]), &args[1], Lines::Of(FlowModCommand::Add)).await?;
    let usable = mods.iter().fold(Protocols::ANY, |all, (_, usable)| all & *usable);
    let usable = if cx.bundle { usable & Protocols::OF13_UP } else { usable };
    let mut sides = Sides::default();
    sides.add_file(1, mods);
    let mut vconn = flows::open_for(cx, &args[0], with_tables(usable)).await?;
    sides.add_switch(cx, 0, &mut vconn).await?;
    let mut messages = Vec::new();
    for [old, new] in sides.0.into_values() {
        match (old, new) {
            (Some(old), None) => messages.push(change(FlowModCommand::DeleteStrict, old)),
            (Some(old), Some(new)) if same(&old, &new) && !cx.readd => {}
            (_, Some(new)) => messages.push(change(FlowModCommand::Add, new)),
            (None, None) => {}
        }
    }
    // Deleting comes last, so that a packet never finds less than one of the two sets.
    messages.sort_by_key(|m| matches!(m, Message::FlowMod(fm) if fm.command == FlowModCommand::DeleteStrict));
    if cx.bundle {
        return flows::bundle_over(cx, &mut vconn, messages).await;
    }
    let errors = vconn.transact_without_reply(&messages).await?;
    match errors.first() {
        Some(error) => Err(flows::refused(cx, error)),
        None => Ok(()),
    }
}

fn change(command: FlowModCommand, flow: FlowStats) -> Message {
    let deletes = command == FlowModCommand::DeleteStrict;
    let kept = |actions| if deletes { Vec::new() } else { actions };
    Message::FlowMod(FlowMod {
        table_id: flow.table_id,
        priority: flow.priority,
        matcher: flow.matcher,
        new_cookie: if deletes { u64::MAX } else { flow.cookie },
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        flags: if deletes { FlowModFlags::empty() } else { flow.flags },
        importance: flow.importance,
        actions: kept(flow.actions),
        ..FlowMod::new(command)
    })
}

/// The protocols of `usable` that can name tables, which a comparison with a whole switch needs; all, if there is none.
fn with_tables(usable: Protocols) -> Protocols {
    let named = usable & Protocols::TID;
    if named.is_empty() { usable } else { named }
}
