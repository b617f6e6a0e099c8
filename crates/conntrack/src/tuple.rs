//! The addresses of one direction of a connection.
//!
//! Where it sits: made from packets by `extract.rs`, hashed and compared by the table, shown by `text.rs`.
//!
//! A [`Tuple`] belongs to a direction. Its [`Tuple::reversed`] is what a packet of the other direction has, unless
//! addresses are translated. ICMP queries have an id on both sides and a type that turns from request to reply.

use packet::CtTuple;
use wire::{icmp, icmpv6, ip};

/// The addresses of one direction of a connection, in one zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Source address; IPv4 in the low 32 bits.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
    /// Source port, or the id of an ICMP query.
    pub src_port: u16,
    /// Destination port, or the id of an ICMP query.
    pub dst_port: u16,
    /// The zone.
    pub zone: u16,
    /// IP protocol.
    pub proto: u8,
    /// The addresses are IPv6.
    pub is_ipv6: bool,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
}

impl Tuple {
    /// The tuple of the opposite direction.
    #[must_use]
    pub fn reversed(&self) -> Tuple {
        Tuple {
            src: self.dst,
            dst: self.src,
            src_port: self.dst_port,
            dst_port: self.src_port,
            icmp_type: if self.is_icmp() { opposite_icmp_type(self.is_ipv6, self.icmp_type) } else { 0 },
            ..*self
        }
    }

    /// True for ICMP and ICMPv6.
    pub const fn is_icmp(&self) -> bool {
        matches!((self.proto, self.is_ipv6), (ip::PROTO_ICMP, false) | (ip::PROTO_ICMPV6, true))
    }

    /// True for a protocol whose ports translation may change.
    pub const fn has_ports(&self) -> bool {
        matches!(self.proto, ip::PROTO_TCP | ip::PROTO_UDP | ip::PROTO_SCTP)
    }

    /// The tuple in `zone` of which a packet's metadata carry all but an ICMP id.
    pub fn from_ct_tuple(t: &CtTuple, zone: u16) -> Tuple {
        let plain = |a: u128| if t.is_ipv6 { a } else { a & 0xffff_ffff };
        let tuple = Tuple {
            src: plain(t.src),
            dst: plain(t.dst),
            zone,
            proto: t.proto,
            is_ipv6: t.is_ipv6,
            ..Tuple::default()
        };
        if tuple.is_icmp() {
            Tuple { icmp_type: t.tp_src as u8, icmp_code: t.tp_dst as u8, ..tuple }
        } else {
            Tuple { src_port: t.tp_src, dst_port: t.tp_dst, ..tuple }
        }
    }

    /// The tuple as a packet's metadata carry it.
    pub fn to_ct_tuple(&self) -> CtTuple {
        let mapped = |a: u128| if self.is_ipv6 { a } else { 0xffff << 32 | a };
        let (tp_src, tp_dst) = if self.is_icmp() {
            (u16::from(self.icmp_type), u16::from(self.icmp_code))
        } else {
            (self.src_port, self.dst_port)
        };
        CtTuple {
            src: mapped(self.src),
            dst: mapped(self.dst),
            tp_src,
            tp_dst,
            proto: self.proto,
            is_ipv6: self.is_ipv6,
        }
    }
}

/// The type of the answer to a query, and of the query to an answer; other types stay.
pub(crate) const fn opposite_icmp_type(is_ipv6: bool, icmp_type: u8) -> u8 {
    match (is_ipv6, icmp_type) {
        (false, icmp::ECHO_REQUEST) => icmp::ECHO_REPLY,
        (false, icmp::ECHO_REPLY) => icmp::ECHO_REQUEST,
        (false, icmp::TIMESTAMP) => icmp::TIMESTAMP_REPLY,
        (false, icmp::TIMESTAMP_REPLY) => icmp::TIMESTAMP,
        (false, icmp::INFO_REQUEST) => icmp::INFO_REPLY,
        (false, icmp::INFO_REPLY) => icmp::INFO_REQUEST,
        (true, icmpv6::ECHO_REQUEST) => icmpv6::ECHO_REPLY,
        (true, icmpv6::ECHO_REPLY) => icmpv6::ECHO_REQUEST,
        (_, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversing_twice_changes_nothing() {
        let t = Tuple {
            src: 1,
            dst: 2,
            src_port: 3,
            dst_port: 4,
            zone: 5,
            proto: ip::PROTO_TCP,
            ..Tuple::default()
        };
        assert_eq!(t.reversed().reversed(), t);
        let ping =
            Tuple { proto: ip::PROTO_ICMP, icmp_type: icmp::ECHO_REQUEST, src_port: 7, dst_port: 7, ..t };
        assert_eq!(ping.reversed().icmp_type, icmp::ECHO_REPLY);
        assert_eq!(ping.reversed().reversed(), ping);
    }

    #[test]
    fn metadata_have_mapped_addresses() {
        let t =
            Tuple { src: 0x0a00_0001, proto: ip::PROTO_ICMP, icmp_type: 8, src_port: 7, ..Tuple::default() };
        let ct = t.to_ct_tuple();
        assert_eq!((ct.src, ct.tp_src, ct.tp_dst), (0xffff_0a00_0001, 8, 0));
    }
}
