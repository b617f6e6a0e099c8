//! A translation interrupted: what it needs to go on when the packet comes back under a recirculation id.
//!
//! Where it sits: made at `ct(table=…)` and `controller`, kept by [`crate::Memory`], named by id in datapath actions.

use flow::{FlowKey, Match, Wildcards, slot};
use openflow::msg::RemainingActions;
use openflow::{Action, Bits, OfpPort};

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrozenTable {
    /// In a table.
    Table(u8),
    /// With the remaining actions only.
    Actions,
}

/// A translation interrupted.
#[derive(Clone, Debug, PartialEq)]
pub struct Frozen {
    /// The bridge, by name: it may have another index when the packet is back.
    pub bridge: String,
    /// Where to go on.
    pub table: FrozenTable,
    /// Metadata, registers and the ingress port (OpenFlow's), other words zero.
    pub metadata: FlowKey,
    /// What actions changed of the tunnel's fields, which the packet does not have when it is back.
    pub tunnel: Match,
    /// The packet went through the connection tracker.
    pub conntracked: bool,
    /// The stack, bottom first.
    pub stack: Vec<Bits>,
    /// The action set.
    pub action_set: Vec<Action>,
    /// Data for a controller.
    pub userdata: Vec<u8>,
    /// Table of the rule, for a packet-in.
    pub rule_table: u8,
    /// What remains to be done, innermost list first.
    pub frames: Vec<RemainingActions>,
}

/// First and last word of what is frozen: metadata and registers.
const WORDS: core::ops::Range<usize> = 9..26;

/// Only metadata, registers and ingress port of `key`.
pub fn metadata_of(key: &FlowKey) -> FlowKey {
    let mut out = FlowKey::ZERO;
    for (i, (to, from)) in out.words_mut().iter_mut().zip(key.words()).enumerate() {
        if WORDS.contains(&i) {
            *to = *from;
        }
    }
    out.set_in_port(key.in_port());
    out
}

/// Zeroes metadata and registers.
pub fn clear_metadata(key: &mut FlowKey) {
    for word in key.words_mut().iter_mut().take(WORDS.end).skip(WORDS.start) {
        *word = 0;
    }
    key.set_conj_id(0);
    key.set_actset_output(OfpPort::UNSET.0);
}

/// What is different of the tunnel's fields between the packet as rules see it and as the datapath has it.
pub fn tunnel_of(flow: &FlowKey, base: &FlowKey) -> Match {
    let mut wc = Wildcards::NONE;
    let changed = wc.words_mut().iter_mut().zip(flow.words()).zip(base.words());
    for (i, ((bits, now), before)) in changed.enumerate() {
        if i < WORDS.start || TUNNEL_OPTIONS.contains(&i) {
            *bits = now ^ before;
        }
    }
    // This one the datapath keeps.
    wc.set_skb_priority(0);
    Match::new(flow, &wc)
}

/// First and last word of a tunnel's options.
const TUNNEL_OPTIONS: core::ops::Range<usize> = slot::tun_opts0.word as usize..slot::STAGES[0];

impl Frozen {
    /// Puts back into `key` what actions changed of the tunnel's fields.
    pub fn restore_tunnel(&self, key: &mut FlowKey) {
        let Match { key: values, wc } = &self.tunnel;
        for ((to, from), bits) in key.words_mut().iter_mut().zip(values.words()).zip(wc.words()) {
            *to = *to & !bits | from;
        }
    }

    /// Puts metadata, registers, ingress port and the tunnel's fields back into `key`.
    pub fn restore(&self, key: &mut FlowKey) {
        for (i, (to, from)) in key.words_mut().iter_mut().zip(self.metadata.words()).enumerate() {
            if WORDS.contains(&i) {
                *to = *from;
            }
        }
        key.set_in_port(self.metadata.in_port());
        self.restore_tunnel(key);
    }

    /// The ingress port.
    pub fn in_port(&self) -> OfpPort {
        OfpPort(self.metadata.in_port())
    }
}
