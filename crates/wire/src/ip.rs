//! What IPv4 and IPv6 share: protocol numbers and the bits of TOS and traffic class.
//!
//! Where it sits: beside `ipv4` and `ipv6`; whoever looks at `nw_proto` or `nw_tos` names its values from here.

/// ICMP (RFC 792).
pub const PROTO_ICMP: u8 = 1;
/// IGMP.
pub const PROTO_IGMP: u8 = 2;
/// TCP.
pub const PROTO_TCP: u8 = 6;
/// UDP.
pub const PROTO_UDP: u8 = 17;
/// GRE.
pub const PROTO_GRE: u8 = 47;
/// ICMPv6 (RFC 4443).
pub const PROTO_ICMPV6: u8 = 58;
/// SCTP.
pub const PROTO_SCTP: u8 = 132;
/// UDP-Lite.
pub const PROTO_UDPLITE: u8 = 136;

/// IPv6 hop-by-hop options.
pub const EXT_HOP_BY_HOP: u8 = 0;
/// IPv6 routing header.
pub const EXT_ROUTING: u8 = 43;
/// IPv6 fragment header.
pub const EXT_FRAGMENT: u8 = 44;
/// Authentication header (RFC 4302).
pub const EXT_AH: u8 = 51;
/// IPv6: nothing follows.
pub const NO_NEXT_HEADER: u8 = 59;
/// IPv6 destination options.
pub const EXT_DEST_OPTIONS: u8 = 60;

/// The congestion bits of TOS (RFC 3168).
pub const ECN_MASK: u8 = 0x03;
/// The service class bits of TOS.
pub const DSCP_MASK: u8 = 0xfc;
/// Congestion was met.
pub const ECN_CE: u8 = 3;
/// Neither congestion nor the ability to be told of it.
pub const ECN_NOT_ECT: u8 = 0;
