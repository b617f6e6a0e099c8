//! A connection as dumps and events show it: a copy, with no tie to the table.
//!
//! Where it sits: made by [`crate::Conntrack::dump`] and events, printed by `text.rs`, read by `dpif`.

use core::time::Duration;

use crate::{Alg, Tuple};

/// Packets and bytes of one direction; bytes count from the Ethernet header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What packets of the original direction have before translation.
    pub orig: Tuple,
    /// What packets of the reply direction have before translation.
    pub reply: Tuple,
    /// The mark.
    pub mark: u32,
    /// The label.
    pub label: u128,
    /// Time left without packets.
    pub timeout: Duration,
    /// Packets and bytes of the original direction.
    pub orig_counters: Counters,
    /// Packets and bytes of the reply direction.
    pub reply_counters: Counters,
    /// When it was committed, in milliseconds since 1970 UTC.
    pub start_ms: u64,
    /// When it ended, or zero.
    pub stop_ms: u64,
    /// Both ends' states, for TCP.
    pub tcp: Option<TcpInfo>,
    /// Its helper.
    pub alg: Option<Alg>,
    /// The original direction of the connection that announced it.
    pub parent: Option<Tuple>,
}

/// State of a TCP endpoint, numbered as ctnetlink dumps of Open vSwitch number them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TcpState {
    /// Nothing sent.
    #[default]
    Closed,
    /// Waiting for a SYN.
    Listen,
    /// SYN sent.
    SynSent,
    /// SYN received.
    SynRecv,
    /// Its SYN is acknowledged.
    Established,
    /// It received a FIN.
    CloseWait,
    /// It sent a FIN.
    FinWait1,
    /// It sent a FIN that is not acknowledged yet.
    Closing,
    /// It sent its FIN last.
    LastAck,
    /// Its FIN is acknowledged.
    FinWait2,
    /// The connection is over.
    TimeWait,
}

impl TcpState {
    /// Every state, in the order of their numbers.
    pub const ALL: [TcpState; 11] = [
        TcpState::Closed,
        TcpState::Listen,
        TcpState::SynSent,
        TcpState::SynRecv,
        TcpState::Established,
        TcpState::CloseWait,
        TcpState::FinWait1,
        TcpState::Closing,
        TcpState::LastAck,
        TcpState::FinWait2,
        TcpState::TimeWait,
    ];

    /// The name that dumps print.
    pub const fn name(self) -> &'static str {
        match self {
            TcpState::Closed => "CLOSED",
            TcpState::Listen => "LISTEN",
            TcpState::SynSent => "SYN_SENT",
            TcpState::SynRecv => "SYN_RECV",
            TcpState::Established => "ESTABLISHED",
            TcpState::CloseWait => "CLOSE_WAIT",
            TcpState::FinWait1 => "FIN_WAIT_1",
            TcpState::Closing => "CLOSING",
            TcpState::LastAck => "LAST_ACK",
            TcpState::FinWait2 => "FIN_WAIT_2",
            TcpState::TimeWait => "TIME_WAIT",
        }
    }
}

/// What is known of a TCP connection's ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// State of the end that sends the original direction.
    pub state_orig: TcpState,
    /// State of the other end.
    pub state_reply: TcpState,
    /// Window scale of the end that sends the original direction, if announced.
    pub wscale_orig: Option<u8>,
    /// Window scale of the other end.
    pub wscale_reply: Option<u8>,
    /// It was picked up after its SYN.
    pub mid_stream: bool,
}

/// Something happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The connection then.
    pub entry: Entry,
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was committed.
    New,
    /// Its mark or label changed.
    Update,
    /// It was removed: by timeout, flush or force.
    Destroy,
}

/// Where a dump goes on: begin with the default value. Entries that are there throughout a dump are seen exactly once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpCursor {
    pub(crate) shard: u32,
    pub(crate) index: u32,
}
