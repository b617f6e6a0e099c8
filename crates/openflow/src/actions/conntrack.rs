//! Connection tracking: ct, nat, ct_clear.

use super::{Action, Subfield};

/// The zone of a [`Ct`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtZone {
    /// A number.
    Number(u16),
    /// What 16 bits of a field hold.
    Field(Subfield),
}

/// `ct`: sends the packet through the connection tracker.
#[derive(Clone, Debug, PartialEq)]
pub struct Ct {
    /// Commit the connection.
    pub commit: bool,
    /// Replace a connection of the other direction.
    pub force: bool,
    /// The zone.
    pub zone: CtZone,
    /// The table in which a tracked copy continues.
    pub table: Option<u8>,
    /// The application helper: 0 none, 21 ftp, 69 tftp.
    pub alg: u16,
    /// Address translation, and what to store in `ct_mark` and `ct_label`.
    pub actions: Vec<Action>,
}

/// Which address a [`Nat`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// That of the connection's own translation, if any (`nat`).
    Existing,
    /// The source (`nat(src…)`).
    Src,
    /// The destination (`nat(dst…)`).
    Dst,
}

/// The addresses that a [`Nat`] may choose from. `max` equals `min` if there is only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatAddrs {
    /// IPv4.
    V4 {
        /// The lowest.
        min: u32,
        /// The highest.
        max: Option<u32>,
    },
    /// IPv6.
    V6 {
        /// The lowest.
        min: u128,
        /// The highest.
        max: Option<u128>,
    },
}

/// How a [`Nat`] chooses a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatPortChoice {
    /// As it likes.
    Default,
    /// By hash.
    Hash,
    /// At random.
    Random,
}

/// `nat`, within `ct`: address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// What to change.
    pub kind: NatKind,
    /// Prefer the same address for the same host.
    pub persistent: bool,
    /// How to choose ports.
    pub choice: NatPortChoice,
    /// The addresses; `None`: any, or unchanged.
    pub addrs: Option<NatAddrs>,
    /// The ports, lowest and highest.
    pub ports: Option<(u16, Option<u16>)>,
}

/// `ct_clear`: forgets what the connection tracker said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtClear;
