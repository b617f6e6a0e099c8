//! The headers of tunnels: offsets, bits and port numbers of VXLAN, Geneve, GRE, ERSPAN, GTP-U, STT and SRv6.
//!
//! Where it sits: the `tunnel` crate builds and reads them; `odp` prints those that a `tnl_push` holds.

use crate::bytes;

/// VXLAN (RFC 7348), its group policy (draft-smith-vxlan-group-policy) and generic protocol extension
/// (draft-ietf-nvo3-vxlan-gpe).
///
/// ~~~text
/// 0: flags (8) | policy flags, GPE's next protocol | group id     4: VNI (24), reserved
/// ~~~
pub mod vxlan {
    /// Bytes of a header.
    pub const LEN: usize = 8;
    /// IANA's UDP port.
    pub const PORT: u16 = 4789;
    /// IANA's UDP port of the protocol extension.
    pub const GPE_PORT: u16 = 4790;
    /// The VNI is valid.
    pub const FLAG_VNI: u32 = 0x0800_0000;
    /// A group id is there.
    pub const FLAG_GBP: u32 = 0x8000_0000;
    /// GPE: the next protocol is valid.
    pub const FLAG_NEXT_PROTO: u32 = 0x0400_0000;
    /// GPE: version bits, zero.
    pub const GPE_VERSION: u32 = 0x3000_0000;
    /// Group policy: do not learn.
    pub const GBP_DONT_LEARN: u32 = 0x0040_0000;
    /// Group policy: applied already.
    pub const GBP_APPLIED: u32 = 0x0008_0000;
    /// GPE: IPv4.
    pub const NP_IPV4: u8 = 1;
    /// GPE: IPv6.
    pub const NP_IPV6: u8 = 2;
    /// GPE: Ethernet.
    pub const NP_ETHERNET: u8 = 3;
    /// GPE: network service header.
    pub const NP_NSH: u8 = 4;
    /// GPE: MPLS.
    pub const NP_MPLS: u8 = 5;
}

/// Geneve (RFC 8926).
///
/// ~~~text
/// 0: version (2), words of options (6) | O, C | protocol     4: VNI (24), reserved     8: options
/// ~~~
pub mod geneve {
    /// Bytes of a header without options.
    pub const LEN: usize = 8;
    /// IANA's UDP port.
    pub const PORT: u16 = 6081;
    /// Second byte: control packet.
    pub const FLAG_OAM: u8 = 0x80;
    /// Second byte: a critical option is there.
    pub const FLAG_CRITICAL: u8 = 0x40;
    /// Bytes of an option's header.
    pub const OPTION_LEN: usize = 4;
    /// Option type: must be understood.
    pub const CRITICAL: u8 = 0x80;
}

/// GRE (RFC 2784, RFC 2890) and NVGRE (RFC 7637).
///
/// ~~~text
/// 0: C, K, S, version (3) | protocol     checksum, reserved (C)     key (K)     sequence number (S)
/// ~~~
pub mod gre {
    /// Bytes of a header without options.
    pub const LEN: usize = 4;
    /// A checksum is there.
    pub const FLAG_CSUM: u16 = 0x8000;
    /// Routing is there (RFC 1701): refused.
    pub const FLAG_ROUTING: u16 = 0x4000;
    /// A key is there.
    pub const FLAG_KEY: u16 = 0x2000;
    /// A sequence number is there.
    pub const FLAG_SEQ: u16 = 0x1000;
    /// The version; 1 is PPTP's.
    pub const VERSION: u16 = 0x0007;
    /// ERSPAN type II (version 1).
    pub const PROTO_ERSPAN1: u16 = 0x88be;
    /// ERSPAN type III (version 2).
    pub const PROTO_ERSPAN2: u16 = 0x22eb;

    /// Bytes of a header with the given flags.
    pub const fn header_len(flags: u16) -> usize {
        LEN + 4
            * ((flags & FLAG_CSUM != 0) as usize
                + (flags & FLAG_KEY != 0) as usize
                + (flags & FLAG_SEQ != 0) as usize)
    }
}

/// ERSPAN (draft-foschiano-erspan), behind a GRE header with a sequence number.
///
/// ~~~text
/// 0: version (4), VLAN (12)     2: COS (3), encapsulation (2), T, session (10)
/// 4: version 1: reserved (12), index (20)
///    version 2: timestamp     8: group tag     10: P, frame type (5), hardware id (6), D, granularity (2), O
/// ~~~
pub mod erspan {
    /// Bytes of what both versions have.
    pub const LEN: usize = 4;
    /// Bytes of version 1's rest.
    pub const V1_LEN: usize = 4;
    /// Bytes of version 2's rest.
    pub const V2_LEN: usize = 8;
    /// The session's bits.
    pub const SESSION_MASK: u16 = 0x3ff;
}

/// GTP-U (3GPP TS 29.281).
///
/// ~~~text
/// 0: version (3), PT, E, S, PN | message type | length     4: tunnel id     8: sequence, N-PDU, next extension (E, S, PN)
/// ~~~
pub mod gtpu {
    /// Bytes of a header without options.
    pub const LEN: usize = 8;
    /// Bytes of the options: there if any of E, S, PN is set.
    pub const OPTIONS_LEN: usize = 4;
    /// IANA's UDP port.
    pub const PORT: u16 = 2152;
    /// Version 1, protocol type GTP.
    pub const FLAGS_DEFAULT: u8 = 0x30;
    /// Version and protocol type.
    pub const FLAGS_FIXED: u8 = 0xf0;
    /// Any option is there.
    pub const FLAGS_OPTIONS: u8 = 0x07;
    /// Message type: a user's packet.
    pub const MSG_GPDU: u8 = 255;
}

/// Stateless Transport Tunneling (draft-davie-stt-08): a TCP-like header, then STT's own.
///
/// ~~~text
/// TCP: 0: ports     4: frame length (16), fragment offset (16)     8: packet id     12: 5 words, ACK …
/// STT: 0: version | flags | L4 offset | reserved     4: MSS | VLAN TCI     8: key (64)     16: padding (2)
/// ~~~
pub mod stt {
    /// Bytes of STT's header.
    pub const LEN: usize = 18;
    /// IANA's TCP port.
    pub const PORT: u16 = 7471;
    /// Offset of the inner packet's segment size.
    pub const OFF_MSS: usize = 4;
    /// Offset of the inner packet's VLAN tag, with a bit that says that there is one.
    pub const OFF_TCI: usize = 6;
    /// Offset of the key.
    pub const OFF_KEY: usize = 8;
    /// The checksum was verified.
    pub const FLAG_CSUM_VERIFIED: u8 = 0x01;
    /// The checksum is partial.
    pub const FLAG_CSUM_PARTIAL: u8 = 0x02;
    /// The packet is IPv4.
    pub const FLAG_IPV4: u8 = 0x04;
    /// The transport is TCP.
    pub const FLAG_TCP: u8 = 0x08;
}

/// The segment routing header (RFC 8754), an IPv6 routing header of type 4.
///
/// ~~~text
/// 0: next header | words of 8 after the first | type | segments left     4: last entry | flags | tag     8: segments
/// ~~~
pub mod srh {
    /// Bytes of a header without segments.
    pub const LEN: usize = 8;
    /// Routing type.
    pub const TYPE: u8 = 4;
    /// Most segments that a tunnel has.
    pub const MAX_SEGMENTS: usize = 6;
}

/// The 24 bits of a VNI at `off`.
pub fn vni_at(header: &[u8], off: usize) -> Option<u32> {
    bytes::u32_at(header, off).map(|word| word >> 8)
}
