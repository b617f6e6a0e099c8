//! A megaflow as a message has it, whole; and back, for clients.
//!
//! Where it sits: beside `families`; public because the other end of the device decodes with it.

use alloc::vec::Vec;

use ::datapath::{FlowInfo, FlowStats};
use ::flow::Match;
use netlink::{Attrs, Builder};
use odp::netlink::actions::take_actions;
use odp::netlink::flow::{self as attrs, FlowAttrs, FlowCounters, omit};

/// The counters as messages have them.
pub(crate) fn counters(info: &FlowInfo) -> FlowCounters {
    let s = &info.stats;
    FlowCounters { packets: s.packets, bytes: s.bytes, used_ms: s.used_ms, tcp_flags: s.tcp_flags as u8 }
}

/// Adds a megaflow without what is `omitted` ([`omit`]).
pub fn put(b: &mut Builder, info: &FlowInfo, omitted: u32) {
    attrs::put_ufid(b, info.ufid);
    if omitted & omit::KEY == 0 {
        attrs::put_key(b, &info.matched);
    }
    if omitted & omit::MASK == 0 {
        attrs::put_mask(b, &info.matched);
    }
    attrs::put_counters(b, &counters(info));
    if omitted & omit::ACTIONS == 0 {
        attrs::put_actions(b, &info.actions);
    }
}

/// Reads a megaflow; what the message leaves out is empty. `None` if it is none.
pub fn take(attrs: Attrs<'_>) -> Option<FlowInfo> {
    let flow = FlowAttrs::decode(attrs).ok()?;
    let mut matched = Match::ANY;
    if flow.key.is_some() {
        flow.take_match(&mut matched).ok()?;
    }
    let actions = match flow.actions {
        Some(list) => take_actions(list.nested()).ok()?,
        None => Vec::new(),
    };
    let c = flow.counters();
    let stats =
        FlowStats { packets: c.packets, bytes: c.bytes, used_ms: c.used_ms, tcp_flags: c.tcp_flags.into() };
    Some(FlowInfo { ufid: flow.ufid?, matched, actions, stats })
}
