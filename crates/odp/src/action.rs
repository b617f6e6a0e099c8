//! Datapath actions (`OVS_ACTION_ATTR_*` of linux/openvswitch.h).
//!
//! Where it sits: a megaflow carries a list of them, validated when it is installed ([`crate::validate()`]), so that
//! executing needs no checks of its own. Packets that an action does not fit are dropped with a reason.

use alloc::boxed::Box;
use alloc::vec::Vec;

use packet::OdpPort;

use crate::Header;

/// One thing to do with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send it out of a port.
    Output(OdpPort),
    /// Send it to user space.
    Userspace(Box<Userspace>),
    /// Overwrite a group of header fields whole.
    Set(Header),
    /// Overwrite the bits of a group that are ones in `mask`.
    SetMasked {
        /// New values; zero where `mask` is.
        value: Header,
        /// Same variant as `value`.
        mask: Header,
    },
    /// Push an 802.1Q or 802.1ad tag.
    PushVlan {
        /// 0x8100 or 0x88a8.
        tpid: u16,
        /// With `wire::eth::VLAN_CFI`.
        tci: u16,
    },
    /// Pop the outer tag.
    PopVlan,
    /// Execute `actions` on a copy with a probability of `probability / u32::MAX`.
    Sample {
        /// `u32::MAX` is always.
        probability: u32,
        /// What to do with the copy.
        actions: Vec<Action>,
    },
    /// Look the packet up again under a recirculation id.
    Recirc(u32),
    /// Compute a hash of the flow into `dp_hash`.
    Hash {
        /// Over which fields.
        alg: HashAlg,
        /// Mixed into the hash.
        basis: u32,
    },
    /// Cut the packet at the next output.
    Trunc(u32),
    /// Track the connection.
    Ct(Box<CtAction>),
    /// Forget all connection state of the packet.
    CtClear,
    /// Execute `0` on a copy; changes are not seen by what follows.
    Clone(Vec<Action>),
    /// Pass a meter.
    Meter(u32),
    /// Branch on the packet's length.
    CheckPktLen {
        /// Compared with the length of the frame.
        len: u16,
        /// If the packet is longer.
        if_greater: Vec<Action>,
        /// If not.
        if_less_equal: Vec<Action>,
    },
    /// Drop, with the translation error (0 is none) as reason.
    Drop(u32),
}

/// What `hash` covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlg {
    /// Addresses, protocol and ports.
    L4,
    /// The same, equal in both directions.
    SymL4,
}

/// Parameters of `userspace`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Userspace {
    /// Which queue; in process only printed.
    pub pid: u32,
    /// The switch's cookie, returned with the packet.
    pub userdata: Vec<u8>,
    /// Output port whose tunnel key is wanted.
    pub tunnel_out_port: Option<OdpPort>,
    /// The flow's actions are wanted with the packet.
    pub actions: bool,
}

/// Parameters of `ct`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CtAction {
    /// Commit the connection.
    pub commit: bool,
    /// Commit, and first remove a connection of the opposite direction.
    pub force: bool,
    /// Zone.
    pub zone: u16,
    /// Value and mask of the connection's mark.
    pub mark: Option<(u32, u32)>,
    /// Value and mask of the connection's label.
    pub label: Option<(u128, u128)>,
    /// Helper (ALG): `ftp` or `tftp`.
    pub helper: Option<Box<str>>,
    /// Translation.
    pub nat: Option<Nat>,
    /// Timeout policy's name.
    pub timeout: Option<Box<str>>,
    /// Events wanted, if not all.
    pub eventmask: Option<u32>,
}

/// Direction of a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// Source.
    Src,
    /// Destination.
    Dst,
}

/// Address translation. Without `kind` it only applies an existing translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nat {
    /// What to translate on commit.
    pub kind: Option<NatKind>,
    /// Lowest and highest address (IPv4 in the low 32 bits); equal for one.
    pub addr: Option<(u128, u128)>,
    /// The addresses are IPv6.
    pub is_ipv6: bool,
    /// Lowest and highest port.
    pub port: Option<(u16, u16)>,
    /// The same translation for the same source over reboots.
    pub persistent: bool,
    /// Choose ports by hash.
    pub hash: bool,
    /// Choose ports at random.
    pub random: bool,
}
