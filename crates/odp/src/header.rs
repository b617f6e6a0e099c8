//! The header fields that set actions write, grouped as the datapath interface groups them (`OVS_KEY_ATTR_*`).
//!
//! Where it sits: inside [`crate::Action::Set`] and [`crate::Action::SetMasked`]. The same type serves as value and
//! as mask: in a mask, ones are the bits that are written.

use packet::TunnelKey;
use wire::EthAddr;

/// One group of header or metadata fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// Queueing priority.
    Priority(u32),
    /// Packet mark.
    Mark(u32),
    /// The tunnel to send into. Boxed by its size; never masked.
    Tunnel(alloc::boxed::Box<TunnelKey>),
    /// Ethernet addresses.
    Ethernet {
        /// Source.
        src: EthAddr,
        /// Destination.
        dst: EthAddr,
    },
    /// TCI of the outer VLAN tag.
    Vlan {
        /// With `wire::eth::VLAN_CFI`.
        tci: u16,
    },
    /// Top MPLS label stack entry.
    Mpls {
        /// Label, traffic class, bottom of stack, TTL.
        lse: u32,
    },
    /// IPv4.
    Ipv4 {
        /// Source.
        src: u32,
        /// Destination.
        dst: u32,
        /// Protocol: never written, part of the text form.
        proto: u8,
        /// DSCP and ECN.
        tos: u8,
        /// Time to live.
        ttl: u8,
        /// Fragment type: never written.
        frag: u8,
    },
    /// IPv6.
    Ipv6 {
        /// Source.
        src: u128,
        /// Destination.
        dst: u128,
        /// Flow label.
        label: u32,
        /// Protocol: never written.
        proto: u8,
        /// Traffic class.
        tclass: u8,
        /// Hop limit.
        hlimit: u8,
        /// Fragment type: never written.
        frag: u8,
    },
    /// TCP ports.
    Tcp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// UDP ports.
    Udp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// SCTP ports.
    Sctp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// ICMP.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// ICMPv6.
    Icmpv6 {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// ARP.
    Arp {
        /// Sender protocol address.
        sip: u32,
        /// Target protocol address.
        tip: u32,
        /// Opcode.
        op: u16,
        /// Sender hardware address.
        sha: EthAddr,
        /// Target hardware address.
        tha: EthAddr,
    },
    /// Neighbour discovery.
    Nd {
        /// Target address.
        target: u128,
        /// Source link-layer address option.
        sll: EthAddr,
        /// Target link-layer address option.
        tll: EthAddr,
    },
    /// Network service header.
    Nsh(NshFields),
    /// What neighbour discovery has beside addresses.
    NdExtensions {
        /// The reserved field, which holds flags.
        reserved: u32,
        /// The first option's type.
        kind: u8,
    },
}

/// Fields of a network service header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NshFields {
    /// The O and U bits.
    pub flags: u8,
    /// TTL.
    pub ttl: u8,
    /// MD type: never written.
    pub md_type: u8,
    /// Next protocol: never written.
    pub next_proto: u8,
    /// Service path (24 bits).
    pub spi: u32,
    /// Service index.
    pub si: u8,
    /// Context of MD type 1.
    pub context: [u32; 4],
}

impl NshFields {
    /// The mask over every field that a set writes.
    pub const ALL: NshFields = NshFields {
        flags: 3,
        ttl: 0x3f,
        md_type: 0,
        next_proto: 0,
        spi: 0xff_ffff,
        si: 0xff,
        context: [u32::MAX; 4],
    };
}
