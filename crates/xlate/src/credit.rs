//! What a translated packet counts for, and what it teaches: replayed for every batch of packets that a megaflow
//! carried.
//!
//! Where it sits: collected by translation, kept beside the megaflow by `switch`.

use std::net::IpAddr;
use std::sync::Arc;

use ofproto::{Rule, TableCounters, Tally};
use openflow::{FlowMod, OfpPort};
use packet::Instant;
use wire::EthAddr;

use crate::PortCounters;

/// A flow that a `learn` action made.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedFlow {
    /// The flow, to be added or changed.
    pub flow_mod: FlowMod,
    /// At most so many flows of its table and cookie; zero is any number.
    pub limit: u32,
}

/// One thing that packets of a megaflow count for or cause.
#[derive(Clone, Debug)]
pub enum Credit {
    /// A rule was hit.
    Rule(Arc<Rule>),
    /// A lookup in a table found a rule.
    TableHit(Arc<TableCounters>),
    /// A lookup in a table found none.
    TableMiss(Arc<TableCounters>),
    /// A patch port received.
    Received(Arc<PortCounters>),
    /// A patch port sent.
    Sent(Arc<PortCounters>),
    /// A group, or a bucket, was taken.
    Tally(Arc<Tally>),
    /// An address was seen on a port.
    Mac {
        /// The bridge, an index into the network's.
        bridge: usize,
        /// The VLAN.
        vlan: u16,
        /// The address.
        mac: EthAddr,
        /// The port.
        port: OfpPort,
    },
    /// The address of a tunnel's next hop is wanted.
    Resolve {
        /// The bridge that asks, an index into the network's.
        bridge: usize,
        /// The bridge's own address.
        source: IpAddr,
        /// Whose Ethernet address is wanted.
        target: IpAddr,
    },
    /// A neighbour told its address.
    Neighbour {
        /// The bridge that heard it, an index into the network's.
        bridge: usize,
        /// Who.
        address: IpAddr,
        /// Its Ethernet address.
        mac: EthAddr,
    },
    /// A flow is to be learned, or its idle time starts again.
    Learn {
        /// The bridge, an index into the network's.
        bridge: usize,
        /// The flow.
        learned: Box<LearnedFlow>,
    },
    /// If a packet ends its connection (FIN or RST), the rule's timeouts are shortened.
    FinTimeout {
        /// The bridge, an index into the network's.
        bridge: usize,
        /// The rule.
        rule: Arc<Rule>,
        /// New idle timeout, or zero.
        idle: u16,
        /// New hard timeout, or zero.
        hard: u16,
    },
}

impl Credit {
    /// Counts packets. What changes tables (MAC addresses, learned flows, timeouts) is not counting: the caller
    /// carries it out.
    pub fn count(&self, packets: u64, bytes: u64, used: Instant) {
        match self {
            Credit::Rule(rule) => rule.state.credit(packets, bytes, used),
            Credit::TableHit(table) => table.credit_match(packets),
            Credit::TableMiss(table) => table.credit_miss(packets),
            Credit::Received(port) => PortCounters::credit(&port.rx, packets, bytes),
            Credit::Sent(port) => PortCounters::credit(&port.tx, packets, bytes),
            Credit::Tally(tally) => tally.credit(packets, bytes),
            Credit::Resolve { .. } | Credit::Neighbour { .. } => {}
            Credit::Mac { .. } | Credit::Learn { .. } | Credit::FinTimeout { .. } => {}
        }
    }
}
