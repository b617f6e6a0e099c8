//! Actions that steer the pipeline: resubmit, goto_table, clone, the action set, metering, conjunctions.

use super::{Action, Subfield};
use crate::OfpPort;

/// `resubmit`: looks up again, in a table, as if the packet came in on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resubmit {
    /// The port; `IN_PORT`: as it is.
    pub in_port: OfpPort,
    /// The table; 255: the current one.
    pub table: u8,
    /// With the connection's original direction in place of the addresses (`ct`).
    pub with_ct: bool,
    /// Written without a table.
    pub port_only: bool,
}

/// `goto_table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GotoTable(
    /// The table.
    pub u8,
);

/// `write_metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteMetadata {
    /// The bits to store.
    pub metadata: u64,
    /// Which bits.
    pub mask: u64,
}

/// `meter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter(
    /// The meter.
    pub u32,
);

/// `write_actions`: merges actions into the action set.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteActions(
    /// The actions.
    pub Vec<Action>,
);

/// `clear_actions`: empties the action set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClearActions;

/// `clone`: carries out actions on a copy of the packet.
#[derive(Clone, Debug, PartialEq)]
pub struct CloneActions(
    /// The actions.
    pub Vec<Action>,
);

/// `exit`: stops here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit;

/// `conjunction`: the flow is one alternative of one dimension of a conjunctive match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conjunction {
    /// The conjunction.
    pub id: u32,
    /// The dimension, from 0.
    pub clause: u8,
    /// How many dimensions.
    pub n_clauses: u8,
}

/// `note`: bytes without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(
    /// The bytes, as on the wire: six and a multiple of eight.
    pub Vec<u8>,
);

/// `fin_timeout`: shorter timeouts after a TCP FIN or RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinTimeout {
    /// New idle timeout; zero: leave it.
    pub idle: u16,
    /// New hard timeout; zero: leave it.
    pub hard: u16,
}

/// `check_pkt_larger`: stores whether the packet is longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckPktLarger {
    /// The length to compare with.
    pub pkt_len: u16,
    /// The bit that receives the answer.
    pub dst: Subfield,
}
