//! Commands to a datapath and their replies: the typed form of what user space asks.
//!
//! Where it sits: `dpif` sends them in process; the pseudo device translates messages into them. Each is bounded:
//! long work is a cursor.

use alloc::vec::Vec;

use flow::{FlowKey, Match};
use odp::{Action, InvalidActions, TunnelKind, Ufid};
use packet::OdpPort;

use crate::{DropCounts, MeterConfig, MeterInfo};

/// What may be asked of a datapath.
#[derive(Debug)]
pub enum Command<'a> {
    /// Install a megaflow or change one; takes the actions out of `FlowPut`, unless they are invalid. If the table is full,
    /// the reply is the megaflow that made way.
    PutFlow(&'a mut FlowPut),
    /// Remove a megaflow; the reply has its last statistics.
    DelFlow(Ufid),
    /// Look a megaflow up by identifier.
    GetFlow(Ufid),
    /// Look a megaflow up by its match.
    FindFlow(&'a Match),
    /// Look up the megaflow that a packet with this key hits; it counts nothing.
    LookupFlow(&'a FlowKey),
    /// Remove all megaflows.
    FlushFlows,
    /// List megaflows from `cursor` (0 at first) on: at most `max`.
    DumpFlows {
        /// Where the last reply ended.
        cursor: u32,
        /// How many at most.
        max: usize,
    },
    /// Set how many megaflows there may be, at most as many as the table was made for.
    SetFlowLimit(usize),
    /// Totals.
    Stats,
    /// Make a meter, or change one; its counters begin at zero.
    SetMeter {
        /// Its number.
        id: u32,
        /// What it is to be.
        config: &'a MeterConfig,
    },
    /// A meter's counters.
    GetMeter(u32),
    /// Remove a meter; the reply has its last counters.
    DelMeter(u32),
    /// Say that a port is a tunnel's, or (`None`) no longer is.
    SetTunnel {
        /// The port.
        port: OdpPort,
        /// Its protocol.
        kind: Option<TunnelKind>,
    },
    /// The range of source ports of tunnels over UDP.
    SetTunnelPorts {
        /// Lowest.
        low: u16,
        /// Highest.
        high: u16,
    },
    /// Make a bond, or change one: the port for each value of the hash's low eight bits.
    SetBond {
        /// Its number.
        id: u32,
        /// The ports.
        members: &'a [OdpPort; 256],
    },
    /// Remove a bond.
    DelBond(u32),
    /// Sort the masks by use; housekeeping.
    SortMasks,
}

/// A megaflow to be installed.
#[derive(Clone, Debug)]
pub struct FlowPut {
    /// Its identifier.
    pub ufid: Ufid,
    /// What it matches; bits outside the mask are ignored.
    pub matched: Match,
    /// What it does.
    pub actions: Vec<Action>,
    /// What to do about an existing one.
    pub mode: PutMode,
}

/// Whether a flow may or must exist already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// It must be new.
    Create,
    /// It must exist; statistics are kept.
    Modify,
    /// It must exist; statistics are zeroed.
    ModifyAndZero,
    /// Either.
    CreateOrModify,
}

/// Counters of a megaflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Packets.
    pub packets: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
    /// Milliseconds (monotonic) of the last packet; zero if never used.
    pub used_ms: u64,
    /// Union of the TCP flags seen.
    pub tcp_flags: u16,
}

/// A megaflow as a dump shows it.
#[derive(Clone, Debug)]
pub struct FlowInfo {
    /// Its identifier.
    pub ufid: Ufid,
    /// What it matches.
    pub matched: Match,
    /// What it does.
    pub actions: Vec<Action>,
    /// Its counters.
    pub stats: FlowStats,
}

/// Totals of a datapath.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets that hit a megaflow.
    pub hits: u64,
    /// Of those, packets found in a worker's cache.
    pub cache_hits: u64,
    /// Packets for which there was no megaflow.
    pub misses: u64,
    /// Packets whose upcall was lost.
    pub lost: u64,
    /// Subtables searched.
    pub masks_searched: u64,
    /// Packets that went round again.
    pub recirculated: u64,
    /// Megaflows.
    pub flows: u64,
    /// Distinct masks.
    pub masks: u64,
    /// Megaflows that made way for others.
    pub evicted: u64,
    /// Dropped packets by reason.
    pub drops: DropCounts,
}

impl Reply {
    /// The one megaflow of the answer to a command about one.
    pub fn into_flow(self) -> Option<FlowInfo> {
        if let Reply::Flows { flows, .. } = self { flows.into_iter().next() } else { None }
    }
}

/// The answer to a command.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "replies are moved once and never stored")]
pub enum Reply {
    /// Done.
    Done,
    /// The megaflow asked for; or part of a dump, and the cursor of the next part if there is one.
    Flows {
        /// Megaflows.
        flows: Vec<FlowInfo>,
        /// Where to go on.
        next: Option<u32>,
    },
    /// Totals.
    Stats(Stats),
    /// A meter's counters.
    Meter(MeterInfo),
}

/// Why a command was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The actions cannot be executed (EINVAL).
    InvalidActions(InvalidActions),
    /// A flow with this identifier or match exists (EEXIST).
    Exists,
    /// There is no such flow (ENOENT).
    NotFound,
    /// The table holds as many flows as it may (EFBIG).
    Full,
    /// Memory is short (ENOMEM).
    NoMemory,
    /// A meter with too many bands, or with a rate of zero (EINVAL).
    InvalidMeter,
    /// The carrier of the datapath has no words for it (EOPNOTSUPP).
    NotSupported,
}

impl ::core::fmt::Display for CommandError {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.write_str(match self {
            CommandError::InvalidActions(_) | CommandError::InvalidMeter => "Invalid argument",
            CommandError::Exists => "File exists",
            CommandError::NotFound => "No such file or directory",
            CommandError::Full => "File too large",
            CommandError::NoMemory => "Cannot allocate memory",
            CommandError::NotSupported => "Operation not supported",
        })
    }
}

impl ::core::error::Error for CommandError {}
