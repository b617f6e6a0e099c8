//! What a `ct` action asks of the tracker, and what it answers.
//!
//! Where it sits: built by `datapath::execute` from `odp`'s action (names resolved to numbers), read by
//! [`crate::Conntrack::process`].
//!
//! Spec: ovs-actions(7), "The ct action".

use packet::{DropReason, L4Checksum};

use crate::alg::Edit;

/// What to do with the connection that a packet belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtAction {
    /// The context: connections of different zones never meet.
    pub zone: u16,
    /// Whether a new connection is entered in the table.
    pub commit: Commit,
    /// Value and mask for the mark of a committed connection.
    pub mark: Option<(u32, u32)>,
    /// Value and mask for the label of a committed connection.
    pub label: Option<(u128, u128)>,
    /// Address translation.
    pub nat: Option<Nat>,
    /// The application whose control channel this is.
    pub alg: Option<Alg>,
    /// Timeout policy of a connection that is committed now; zero is the default policy.
    pub timeout_policy: u16,
    /// Which events the connection raises, as bits `1 << n` of ctnetlink's event numbers; `None` means all.
    pub event_mask: Option<u32>,
}

/// Whether a new connection is entered in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// No: the packet is only classified.
    #[default]
    No,
    /// Yes.
    Yes,
    /// Yes, and a connection of the opposite direction is ended first.
    Force,
}

/// Address translation. Without `kind`, only a translation that the connection has is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nat {
    /// What is translated of a connection that is committed now.
    pub kind: Option<NatKind>,
    /// Lowest and highest address, IPv4 in the low 32 bits; `None` leaves the address as it is.
    pub addr: Option<(u128, u128)>,
    /// The addresses are IPv6.
    pub is_ipv6: bool,
    /// Lowest and highest port or SCTP port; `None` keeps the port if it is free.
    pub port: Option<(u16, u16)>,
    /// How the port is chosen from its range.
    pub choice: PortChoice,
    /// The same address for the same connection, also after a restart.
    pub persistent: bool,
}

/// Direction of a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// Source.
    Src,
    /// Destination.
    Dst,
}

/// How a port is chosen from its range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortChoice {
    /// By a hash of the addresses and the other port.
    #[default]
    Hash,
    /// At random.
    Random,
}

/// An application that announces further connections in its control channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alg {
    /// File transfer (RFC 959).
    Ftp = 1,
    /// Trivial file transfer (RFC 1350).
    Tftp = 2,
}

impl Alg {
    /// The name that actions and dumps use.
    pub const fn name(self) -> &'static str {
        match self {
            Alg::Ftp => "ftp",
            Alg::Tftp => "tftp",
        }
    }

    /// The helper of that name.
    pub fn parse(name: &str) -> Option<Alg> {
        [Alg::Ftp, Alg::Tftp].into_iter().find(|h| h.name() == name)
    }
}

impl CtAction {
    /// True if the action changes nothing of a connection that is there, and nothing of its packets.
    pub const fn only_looks(&self) -> bool {
        self.nat.is_none()
            && self.mark.is_none()
            && self.label.is_none()
            && !matches!(self.commit, Commit::Force)
    }
}

/// A packet as the tracker needs it.
#[derive(Debug)]
pub struct CtPacket<'a> {
    /// The contiguous first bytes of the frame, at least to the end of the transport header; of ICMP errors, to the
    /// end of the quoted transport header. Rewritten by address translation.
    pub head: &'a mut [u8],
    /// Bytes of the whole frame. Where `head` is shorter, a transport checksum is not verified here.
    pub len: usize,
    /// Where the IPv4 or IPv6 header is in `head`.
    pub l3: usize,
    /// The Ethernet type of the payload: `wire::eth::TYPE_IPV4`, `TYPE_IPV6`, or what cannot be tracked.
    pub eth_type: u16,
    /// What is known of the transport checksum.
    pub l4_checksum: L4Checksum,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtVerdict {
    /// The packet goes on; its metadata tell its connection's state.
    Pass(Rewrite),
    /// The packet ends here; its metadata are unspecified.
    Drop(DropReason),
}

/// Whether bytes of the packet were changed: its flow key then has to be extracted anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// No byte was changed.
    None,
    /// Addresses, ports, sequence numbers and checksums were.
    Nat,
    /// They were, and a text has yet to be, of another length perhaps.
    Payload(Edit),
}
