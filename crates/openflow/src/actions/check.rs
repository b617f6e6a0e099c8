//! Checks of a list of actions against the flow that has it: ports, tables, prerequisites.
//!
//! Where it sits: after parsing a flow and after decoding a flow mod. The checker keeps what the actions make of the
//! packet (tags, types) as it goes through the list, because later actions depend on it.
//!
//! OpenFlow 1.0 lets flows contradict themselves, later versions do not: a contradiction only takes protocols away,
//! while what no version could mean is an error.
//!
//! Spec: ovs-actions(7), "Inconsistencies".

use flow::Match;
use wire::eth::{self, VLAN_CFI};

use super::{Act, Action};
use crate::{OfpError, OfpPort, Protocols, field};

/// What a list of actions is checked against.
#[derive(Clone, Copy, Debug)]
pub struct CheckContext<'a> {
    /// The match of the flow.
    pub matcher: &'a Match,
    /// One more than the largest valid port.
    pub max_ports: u32,
    /// The flow's table; 255: unknown.
    pub table_id: u8,
    /// How many tables there are; 255: unknown.
    pub n_tables: u8,
}

/// A check under way.
#[derive(Clone, Debug)]
pub struct Checker {
    /// What is known of the packet at this point of the list.
    pub m: Match,
    /// See [`CheckContext`].
    pub max_ports: u32,
    /// See [`CheckContext`].
    pub table_id: u8,
    /// See [`CheckContext`].
    pub n_tables: u8,
    /// The protocols left.
    pub usable: Protocols,
}

/// Takes away the protocols that forbid actions which contradict the match.
pub fn inconsistent(usable: &mut Protocols) {
    *usable &= Protocols::OF10_ANY;
}

/// Checks that a packet may be output to `port` of a switch whose ports are below `max_ports`.
pub fn output_port(port: OfpPort, max_ports: u32) -> Result<(), OfpError> {
    match port {
        OfpPort::IN_PORT
        | OfpPort::TABLE
        | OfpPort::NORMAL
        | OfpPort::FLOOD
        | OfpPort::ALL
        | OfpPort::CONTROLLER
        | OfpPort::LOCAL => Ok(()),
        OfpPort(n) if n < max_ports => Ok(()),
        _ => Err(OfpError::OFPBAC_BAD_OUT_PORT),
    }
}

impl Checker {
    /// Only OpenFlow 1.0 is left unless `holds`.
    pub fn require(&mut self, holds: bool) {
        if !holds {
            inconsistent(&mut self.usable);
        }
    }

    /// The Ethernet type that is known.
    pub fn eth_type(&self) -> u16 {
        field::eth_type(&self.m)
    }

    /// The packet is IPv4 or IPv6.
    pub fn is_ip(&self) -> bool {
        matches!(self.eth_type(), eth::TYPE_IPV4 | eth::TYPE_IPV6)
    }

    /// The packet has a VLAN tag.
    pub fn has_vlan(&self) -> bool {
        self.m.key.vlan_tci() & VLAN_CFI != 0
    }

    /// The port may be output to.
    pub fn output_port(&self, port: OfpPort) -> Result<(), OfpError> {
        output_port(port, self.max_ports)
    }

    /// The table may be gone to.
    pub fn goto_table(&self, table: u8) -> Result<(), OfpError> {
        let backwards = self.table_id != 255 && table <= self.table_id;
        let missing = self.n_tables != 255 && table >= self.n_tables;
        if backwards || missing { Err(OfpError::OFPBIC_BAD_TABLE_ID) } else { Ok(()) }
    }

    /// Checks a list within the list: what it makes of the packet is forgotten.
    pub fn nested(&mut self, actions: &mut [Action]) -> Result<(), OfpError> {
        let before = self.m;
        let result = actions.iter_mut().try_for_each(|action| action.check(self));
        self.m = before;
        result
    }
}

/// Checks ports, tables and prerequisites of `actions` against the flow that has them; notes in them whether the flow
/// has a VLAN tag. Returns the protocols, of `usable`, that carry the list without contradiction.
pub fn check(
    actions: &mut [Action],
    cx: &CheckContext<'_>,
    usable: Protocols,
) -> Result<Protocols, OfpError> {
    let mut checker = Checker {
        m: *cx.matcher,
        max_ports: cx.max_ports,
        table_id: cx.table_id,
        n_tables: cx.n_tables,
        usable,
    };
    actions.iter_mut().try_for_each(|action| action.check(&mut checker))?;
    Ok(checker.usable)
}
