//! The tree of what a translation did, and its text: `ofproto/trace`.
//!
//! Where it sits: filled while translating if asked for; `switch` prints it with the flow, megaflow and actions.
//!
//! A node that is neither an action nor a remark and that is the last of its list is printed no deeper than its list:
//! a chain of final resubmits does not wander to the right.

use std::fmt::Write;

use flow::{Field, FlowKey, Match, Prereq, Slot, Wildcards, ct_state, slot};
use openflow::{Names, field, matches};
use packet::TunnelKey;

use crate::tunnel::is_tunnelled;

/// What a line of the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A bridge entered.
    Bridge,
    /// A table looked up, or the action set.
    Table,
    /// The state restored after recirculation.
    Thaw,
    /// A line under another without a mark.
    Text,
    /// An action.
    Action,
    /// A group's bucket.
    Bucket,
    /// ` -> `
    Detail,
    /// ` >> `
    Warning,
    /// ` >>>> … <<<<`
    Error,
}

#[derive(Clone, Debug)]
struct Node {
    kind: NodeKind,
    text: String,
    children: Vec<Node>,
}

/// The tree; `None` nodes cost nothing when nobody looks.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The open lists: the last is where new nodes go.
    open: Vec<Node>,
    done: Vec<Node>,
}

impl Trace {
    /// Adds a line.
    pub fn add(&mut self, kind: NodeKind, text: String) {
        let node = Node { kind, text, children: Vec::new() };
        self.list().push(node);
    }

    /// Adds a line, and puts what follows under it.
    pub fn enter(&mut self, kind: NodeKind, text: String) {
        self.open.push(Node { kind, text, children: Vec::new() });
    }

    /// Ends the list that [`Trace::enter`] began.
    pub fn leave(&mut self) {
        if let Some(node) = self.open.pop() {
            self.list().push(node);
        }
    }

    /// Goes back into the last line of the open list if that is a table; false if it is not.
    pub fn reopen(&mut self) -> bool {
        match self.list().pop() {
            Some(node) if node.kind == NodeKind::Table => {
                self.open.push(node);
                true
            }
            Some(node) => {
                self.list().push(node);
                false
            }
            None => false,
        }
    }

    fn list(&mut self) -> &mut Vec<Node> {
        match self.open.last_mut() {
            Some(node) => &mut node.children,
            None => &mut self.done,
        }
    }

    /// The text.
    pub fn text(mut self) -> String {
        while !self.open.is_empty() {
            self.leave();
        }
        let mut out = String::new();
        print(&self.done, 0, &mut out);
        out
    }
}

fn print(nodes: &[Node], level: usize, out: &mut String) {
    use NodeKind::{Action, Bridge, Bucket, Detail, Error, Table, Text, Thaw, Warning};
    for (i, node) in nodes.iter().enumerate() {
        if node.kind == Bridge {
            out.push('\n');
        }
        let terminal = matches!(node.kind, Thaw | Action | Bucket | Detail | Warning | Error);
        let deeper = usize::from(terminal || i + 1 != nodes.len());
        let indent = " ".repeat((level + deeper) * 4);
        let text = &node.text;
        // Writing to a string cannot fail.
        let _ = match node.kind {
            Bridge => writeln!(out, "{indent}{text}\n{indent}{}", "-".repeat(text.len())),
            Table | Thaw | Text | Action | Bucket => writeln!(out, "{indent}{text}"),
            Detail => writeln!(out, "{indent} -> {text}"),
            Warning => writeln!(out, "{indent} >> {text}"),
            Error => writeln!(out, "{indent} >>>> {text} <<<<"),
        };
        print(&node.children, level + 2 * deeper, out);
    }
}

/// The field whose prerequisites decide whether `field` is shown: neighbour discovery's addresses go together.
fn shown_with(field: Field) -> Field {
    match field {
        Field::NdSll | Field::NdTll => Field::NdTarget,
        other => other,
    }
}

/// A flow as `ofproto/trace` shows it: every field that the packet has.
pub fn flow_text(key: &FlowKey, names: &Names) -> String {
    let mut m = Match::ANY;
    let present =
        |prereq: Prereq| !matches!(prereq, Prereq::None | Prereq::VlanVid | Prereq::Ct | Prereq::Ethernet);
    let exact = Match { key: *key, wc: all_ones() };
    if key.in_port() != 0 {
        m.set_exact(slot::in_port, u128::from(key.in_port()));
    }
    for s in [slot::eth_src, slot::eth_dst, slot::eth_type, slot::vlan_tci] {
        m.set_exact(s, key.get(s));
    }
    if key.vlan_tci() != 0 {
        m.set_exact(slot::vlan2_tci, key.get(slot::vlan2_tci));
    }
    if key.recirc_id() != 0 {
        m.set_exact(slot::packet_type, 0);
    }
    require_tunnel(&mut m, key);
    // What neighbour discovery has besides addresses is never shown.
    let shown =
        |field: Field| !matches!(field, Field::NdReserved | Field::NdOptionsType) && !is_of_tunnel(field);
    for def in Field::all().filter(|def| shown(def.field)) {
        // Registers are shown once, under their own names.
        let state = matches!(def.prereq, Prereq::None)
            && !(def.name.starts_with("xreg") || def.name.starts_with("xxreg"))
            && !matches!(
                def.field,
                Field::InPort | Field::InPortOxm | Field::ActsetOutput | Field::ConjId | Field::CtState
            );
        if state && key.get(def.slot) != 0 && usize::from(def.slot.word) < slot::STAGES[0]
            || present(def.prereq) && field::prereqs_ok(shown_with(def.field), &exact)
        {
            m.set_exact(def.slot, key.get(def.slot));
        }
    }
    matches::with_options(&mut m, key);
    with_ct_state(matches::format(&m, 0x8000, names), key)
}

/// Fields of tunnels that a packet out of one always shows.
const TUNNEL: [Field; 11] = [
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunGbpId,
    Field::TunGbpFlags,
    Field::TunTos,
    Field::TunTtl,
    Field::TunErspanVer,
    Field::TunGtpuFlags,
    Field::TunGtpuMsgtype,
];

/// True for fields that [`require_tunnel`] is about.
fn is_of_tunnel(field: Field) -> bool {
    TUNNEL.contains(&field)
        || matches!(
            field,
            Field::TunId | Field::TunFlags | Field::TunErspanIdx | Field::TunErspanDir | Field::TunErspanHwid
        )
}

/// Requires what a packet has of a tunnel: all, if there is an end of it, but a key only if it says that it has one. Without an
/// end the key is all that there can be.
fn require_tunnel(m: &mut Match, key: &FlowKey) {
    let tunnelled = is_tunnelled(key);
    let has_key = if tunnelled { key.tun_flags() & TunnelKey::KEY != 0 } else { key.tun_id() != 0 };
    let erspan: &[Slot] = match key.tun_erspan_ver() {
        1 => &[slot::tun_erspan_idx],
        2 => &[slot::tun_erspan_dir, slot::tun_erspan_hwid],
        _ => &[],
    };
    let mut require = |s: Slot| m.set_exact(s, key.get(s));
    if has_key {
        require(slot::tun_id);
    }
    if tunnelled {
        TUNNEL.iter().for_each(|field| require(field.def().slot));
        erspan.iter().for_each(|s| require(*s));
        require(slot::tun_flags);
    }
}

fn all_ones() -> Wildcards {
    let mut wc = Wildcards::NONE;
    wc.words_mut().fill(u64::MAX);
    wc
}

/// Puts the tracker's state behind the recirculation id, as a flow without mask shows it.
fn with_ct_state(text: String, key: &FlowKey) -> String {
    if key.ct_state() == 0 {
        return text;
    }
    let state = ct_state_text(key.ct_state());
    match text.find(',').filter(|_| text.starts_with("recirc_id=")) {
        Some(at) => format!("{},ct_state={state}{}", &text[..at], &text[at..]),
        None => format!("ct_state={state},{text}"),
    }
}

/// Names of the bits that are set, joined by `|`.
pub fn ct_state_text(state: u8) -> String {
    let set = |(i, name): (usize, &&'static str)| (state >> i & 1 != 0).then_some(*name);
    ct_state::NAMES.iter().enumerate().filter_map(set).collect::<Vec<_>>().join("|")
}

/// A megaflow as `ofproto/trace` shows it. That a packet without a tag has none is said by its Ethernet type.
pub fn megaflow_text(key: &FlowKey, wc: &Wildcards, names: &Names) -> String {
    let mut wc = *wc;
    if key.vlan_tci() == 0 {
        wc.set_vlan_tci(0);
    }
    for s in [slot::vlan_tpid, slot::vlan2_tpid, slot::vlan2_tci] {
        wc.set(s, 0);
    }
    matches::format(&Match::new(key, &wc), 0x8000, names)
}
