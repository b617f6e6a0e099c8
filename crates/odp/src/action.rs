//! Datapath actions (`OVS_ACTION_ATTR_*` of linux/openvswitch.h).
//!
//! Where it sits: a megaflow carries a list of them, validated when it is installed ([`crate::validate()`]), so that
//! executing needs no checks of its own. Packets that an action does not fit are dropped with a reason.

use alloc::boxed::Box;
use alloc::vec::Vec;

use packet::OdpPort;
use wire::EthAddr;

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
    /// Push an MPLS label stack entry before the network header.
    PushMpls {
        /// The entry.
        lse: u32,
        /// 0x8847 or 0x8848.
        eth_type: u16,
    },
    /// Pop the top MPLS label stack entry.
    PopMpls {
        /// Type of what is below.
        eth_type: u16,
    },
    /// Push an MPLS label stack entry where `layer` says.
    AddMpls {
        /// The entry.
        lse: u32,
        /// 0x8847 or 0x8848.
        eth_type: u16,
        /// Before which header.
        layer: MplsLayer,
    },
    /// Push an Ethernet header before a packet that has none.
    PushEth {
        /// Source.
        src: EthAddr,
        /// Destination.
        dst: EthAddr,
    },
    /// Pop the Ethernet header of an untagged frame.
    PopEth,
    /// Push a network service header.
    PushNsh(Box<PushNsh>),
    /// Pop the network service header.
    PopNsh,
    /// Decrement the TTL or hop limit; packets for which that is the end execute the list instead.
    DecTtl(Vec<Action>),
    /// Sample to a group of listeners beside the switch.
    Psample(Box<Psample>),
    /// Push a tunnel's headers, made when the flow was.
    TnlPush(Box<TnlPush>),
    /// Pop a tunnel's headers, and look what was inside up as coming in by a tunnel port.
    TnlPop(OdpPort),
    /// Send out of the bond's member that the packet's hash chooses.
    LbOutput(u32),
}

impl Action {
    /// The lists inside it, either of which may be empty.
    pub fn lists(&self) -> [&[Action]; 2] {
        match self {
            Action::Sample { actions, .. } | Action::Clone(actions) | Action::DecTtl(actions) => {
                [actions, &[]]
            }
            Action::CheckPktLen { if_greater, if_less_equal, .. } => [if_greater, if_less_equal],
            _ => [&[], &[]],
        }
    }
}

/// Where `AddMpls` puts its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MplsLayer {
    /// Before the Ethernet header: the packet is no frame any more.
    Ethernet,
    /// Before the network header, as `PushMpls` does.
    Network,
}

/// Parameters of `push_nsh`. The next protocol follows from the packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushNsh {
    /// The header's fields.
    pub header: crate::header::NshFields,
    /// The TLVs of MD type 2: whole words, at most 244 bytes.
    pub md2: Vec<u8>,
}

/// Parameters of `psample`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Psample {
    /// The listeners' group.
    pub group: u32,
    /// Returned with the sample; at most 16 bytes.
    pub cookie: Vec<u8>,
}

/// Parameters of `tnl_push`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TnlPush {
    /// The tunnel's port.
    pub tnl_port: OdpPort,
    /// The port whose address the outer Ethernet header has; for information.
    pub out_port: OdpPort,
    /// The tunnel's protocol.
    pub kind: TunnelKind,
    /// All headers, Ethernet's first. Lengths and checksums are filled in when they are pushed.
    pub header: Vec<u8>,
}

macro_rules! tunnel_kinds {
    ($($(#[$doc:meta])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// A tunnel's protocol, numbered as ports of that type are (`OVS_VPORT_TYPE_*`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum TunnelKind {
            $($(#[$doc])+ $variant = $number,)+
        }

        impl TunnelKind {
            /// Every protocol.
            pub const ALL: &'static [TunnelKind] = &[$(TunnelKind::$variant,)+];

            /// The protocol of a port type's number.
            pub fn from_number(number: u32) -> Option<TunnelKind> {
                TunnelKind::ALL.iter().copied().find(|k| *k as u32 == number)
            }

            /// Its name, as in `Interface.type`.
            pub const fn name(self) -> &'static str {
                match self { $(TunnelKind::$variant => $name,)+ }
            }

            /// The protocol of a name.
            pub fn from_name(name: &str) -> Option<TunnelKind> {
                TunnelKind::ALL.iter().copied().find(|k| k.name() == name)
            }
        }
    };
}

tunnel_kinds! {
    /// Generic Routing Encapsulation.
    Gre = 3, "gre";
    /// VXLAN.
    Vxlan = 4, "vxlan";
    /// Geneve.
    Geneve = 5, "geneve";
    /// Stateless Transport Tunneling.
    Stt = 106, "stt";
    /// ERSPAN over IPv4.
    Erspan = 107, "erspan";
    /// ERSPAN over IPv6.
    Ip6Erspan = 108, "ip6erspan";
    /// GRE over IPv6.
    Ip6Gre = 109, "ip6gre";
    /// GTP-U.
    Gtpu = 110, "gtpu";
    /// Bare UDP (RFC 7510).
    BareUdp = 111, "bareudp";
    /// Segment routing over IPv6.
    Srv6 = 112, "srv6";
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
