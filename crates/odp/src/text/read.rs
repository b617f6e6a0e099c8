//! Reading a key: the inverse of [`super::KeyText`].
//!
//! Where it sits: `netdev-dummy/receive` and `ofproto/trace` take keys from users. Fields that are not given are zero;
//! their group need not be there. No allocation.
//!
//! What a group's parts are called and where they go is one table, [`PARTS`]; only tags, which open a nested list, and
//! flags need code of their own.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use flow::{FlowKey, Frag, Slot, slot};
use wire::{EthAddr, eth};

use super::{TCP_FLAGS, TUNNEL_FLAGS};

/// The text is no key from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySyntax<'a>(pub &'a str);

impl fmt::Display for KeySyntax<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "syntax error at {}", self.0)
    }
}

impl core::error::Error for KeySyntax<'_> {}

/// How a part's value is written.
#[derive(Clone, Copy)]
enum Kind {
    /// A number, decimal or hexadecimal with `0x`.
    Number,
    /// A number of so many bits that lies so far up in its slot.
    Bits(u32, u32),
    Eth,
    Ip4,
    Ip6,
    Frag,
    /// Names joined by `|`, or a number.
    Flags(&'static [&'static str]),
}

/// A group's part, its slot, and how it is written. A group that is one value has a part without name.
type Part = (&'static str, &'static str, Slot, Kind);

static PARTS: [Part; 74] = [
    ("recirc_id", "", slot::recirc_id, Kind::Number),
    ("dp_hash", "", slot::dp_hash, Kind::Number),
    ("skb_priority", "", slot::skb_priority, Kind::Number),
    ("skb_mark", "", slot::pkt_mark, Kind::Number),
    ("ct_state", "", slot::ct_state, Kind::Flags(&flow::ct_state::NAMES)),
    ("ct_zone", "", slot::ct_zone, Kind::Number),
    ("ct_mark", "", slot::ct_mark, Kind::Number),
    ("ct_label", "", slot::ct_label, Kind::Number),
    ("ct_tuple4", "src", slot::ct_nw_src, Kind::Ip4),
    ("ct_tuple4", "dst", slot::ct_nw_dst, Kind::Ip4),
    ("ct_tuple4", "proto", slot::ct_nw_proto, Kind::Number),
    ("ct_tuple4", "tp_src", slot::ct_tp_src, Kind::Number),
    ("ct_tuple4", "tp_dst", slot::ct_tp_dst, Kind::Number),
    ("ct_tuple6", "src", slot::ct_ipv6_src, Kind::Ip6),
    ("ct_tuple6", "dst", slot::ct_ipv6_dst, Kind::Ip6),
    ("ct_tuple6", "proto", slot::ct_nw_proto, Kind::Number),
    ("ct_tuple6", "tp_src", slot::ct_tp_src, Kind::Number),
    ("ct_tuple6", "tp_dst", slot::ct_tp_dst, Kind::Number),
    ("tunnel", "tun_id", slot::tun_id, Kind::Number),
    ("tunnel", "src", slot::tun_src, Kind::Ip4),
    ("tunnel", "dst", slot::tun_dst, Kind::Ip4),
    ("tunnel", "ipv6_src", slot::tun_ipv6_src, Kind::Ip6),
    ("tunnel", "ipv6_dst", slot::tun_ipv6_dst, Kind::Ip6),
    ("tunnel", "tos", slot::tun_tos, Kind::Number),
    ("tunnel", "ttl", slot::tun_ttl, Kind::Number),
    ("tunnel", "tp_src", slot::tun_tp_src, Kind::Number),
    ("tunnel", "tp_dst", slot::tun_tp_dst, Kind::Number),
    ("tunnel", "flags", slot::tun_flags, Kind::Flags(&TUNNEL_FLAGS)),
    ("packet_type", "ns", slot::packet_type, Kind::Bits(16, 16)),
    ("packet_type", "id", slot::packet_type, Kind::Bits(0, 16)),
    ("eth", "src", slot::eth_src, Kind::Eth),
    ("eth", "dst", slot::eth_dst, Kind::Eth),
    ("mpls", "label", slot::mpls_lse0, Kind::Bits(12, 20)),
    ("mpls", "tc", slot::mpls_lse0, Kind::Bits(9, 3)),
    ("mpls", "ttl", slot::mpls_lse0, Kind::Bits(0, 8)),
    ("mpls", "bos", slot::mpls_lse0, Kind::Bits(8, 1)),
    ("ipv4", "src", slot::nw_src, Kind::Ip4),
    ("ipv4", "dst", slot::nw_dst, Kind::Ip4),
    ("ipv4", "proto", slot::nw_proto, Kind::Number),
    ("ipv4", "tos", slot::nw_tos, Kind::Number),
    ("ipv4", "ttl", slot::nw_ttl, Kind::Number),
    ("ipv4", "frag", slot::nw_frag, Kind::Frag),
    ("ipv6", "src", slot::ipv6_src, Kind::Ip6),
    ("ipv6", "dst", slot::ipv6_dst, Kind::Ip6),
    ("ipv6", "label", slot::ipv6_label, Kind::Bits(0, 20)),
    ("ipv6", "proto", slot::nw_proto, Kind::Number),
    ("ipv6", "tclass", slot::nw_tos, Kind::Number),
    ("ipv6", "hlimit", slot::nw_ttl, Kind::Number),
    ("ipv6", "frag", slot::nw_frag, Kind::Frag),
    ("tcp_flags", "", slot::tcp_flags, Kind::Flags(&TCP_FLAGS)),
    ("icmp", "type", slot::tp_src, Kind::Bits(0, 8)),
    ("icmp", "code", slot::tp_dst, Kind::Bits(0, 8)),
    ("icmpv6", "type", slot::tp_src, Kind::Bits(0, 8)),
    ("icmpv6", "code", slot::tp_dst, Kind::Bits(0, 8)),
    ("arp", "sip", slot::nw_src, Kind::Ip4),
    ("arp", "tip", slot::nw_dst, Kind::Ip4),
    ("arp", "op", slot::nw_proto, Kind::Number),
    ("arp", "sha", slot::arp_sha, Kind::Eth),
    ("arp", "tha", slot::arp_tha, Kind::Eth),
    ("nd", "target", slot::nd_target, Kind::Ip6),
    ("nd", "sll", slot::arp_sha, Kind::Eth),
    ("nd", "tll", slot::arp_tha, Kind::Eth),
    ("nsh", "flags", slot::nsh_flags, Kind::Number),
    ("nsh", "ttl", slot::nsh_ttl, Kind::Number),
    ("nsh", "mdtype", slot::nsh_mdtype, Kind::Number),
    ("nsh", "np", slot::nsh_np, Kind::Number),
    ("nsh", "spi", slot::nsh_spi, Kind::Number),
    ("nsh", "si", slot::nsh_si, Kind::Number),
    ("nsh", "c1", slot::nsh_c1, Kind::Number),
    ("nsh", "c2", slot::nsh_c2, Kind::Number),
    ("nsh", "c3", slot::nsh_c3, Kind::Number),
    ("nsh", "c4", slot::nsh_c4, Kind::Number),
    ("ports", "src", slot::tp_src, Kind::Number),
    ("ports", "dst", slot::tp_dst, Kind::Number),
];

/// Reads a key; `port_of` gives the number of a port that is named.
pub fn parse_key<'a>(text: &'a str, port_of: &dyn Fn(&str) -> Option<u32>) -> Result<FlowKey, KeySyntax<'a>> {
    let mut reader = Reader { key: FlowKey::ZERO, tags: 0, port_of };
    reader.key.set_eth_type(eth::TYPE_NONE);
    reader.list(text)?;
    Ok(reader.key)
}

struct Reader<'p> {
    key: FlowKey,
    /// Tags read so far.
    tags: u8,
    port_of: &'p dyn Fn(&str) -> Option<u32>,
}

fn skip_separators(text: &str) -> &str {
    text.trim_start_matches([',', ' ', '\t', '\r', '\n'])
}

/// Splits `(BODY)REST`, the parentheses in BODY being balanced.
fn body(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('(')?;
    let mut depth = 1;
    for (at, c) in inner.char_indices() {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some((inner.get(..at)?, inner.get(at + 1..)?));
        }
    }
    None
}

impl Reader<'_> {
    fn list<'a>(&mut self, text: &'a str) -> Result<(), KeySyntax<'a>> {
        let mut rest = skip_separators(text);
        while !rest.is_empty() {
            let at = rest.find('(').ok_or(KeySyntax(rest))?;
            let (name, tail) = rest.split_at_checked(at).ok_or(KeySyntax(rest))?;
            let (inner, tail) = body(tail).ok_or(KeySyntax(rest))?;
            if name == "encap" {
                self.list(inner)?;
            } else {
                self.group(name, inner).ok_or(KeySyntax(rest))?;
            }
            rest = skip_separators(tail);
        }
        Ok(())
    }

    fn group(&mut self, name: &str, inner: &str) -> Option<()> {
        match name {
            "in_port" => {
                let port = number(inner, 32).map(|n| n as u32).or_else(|| (self.port_of)(inner))?;
                self.key.set_in_port(port);
                Some(())
            }
            "eth_type" => {
                self.key.set_eth_type(number(inner, 16)? as u16);
                Some(())
            }
            "vlan" => self.tag(inner),
            "tcp" | "udp" | "sctp" => self.parts("ports", inner),
            _ => self.parts(name, inner),
        }
    }

    fn parts(&mut self, group: &str, inner: &str) -> Option<()> {
        if let Some((_, _, slot, kind)) = PARTS.iter().find(|(g, part, ..)| *g == group && part.is_empty()) {
            return self.value(*slot, *kind, inner);
        }
        let known = PARTS.iter().any(|(g, ..)| *g == group);
        let mut rest = inner;
        while !rest.is_empty() {
            let (part, value, tail) = split_part(rest)?;
            let (_, _, slot, kind) = PARTS.iter().find(|(g, p, ..)| *g == group && *p == part)?;
            self.value(*slot, *kind, value)?;
            rest = tail;
        }
        known.then_some(())
    }

    fn value(&mut self, slot: Slot, kind: Kind, text: &str) -> Option<()> {
        let value = match kind {
            Kind::Number => number(text, 128).filter(|n| *n <= slot.max())?,
            Kind::Bits(shift, bits) => {
                let n = number(text, bits)?;
                let mask = (1u128 << bits) - 1;
                self.key.get(slot) & !(mask << shift) | n << shift
            }
            Kind::Eth => u128::from(text.parse::<EthAddr>().ok()?.to_u64()),
            Kind::Ip4 => u128::from(text.parse::<Ipv4Addr>().ok()?.to_bits()),
            Kind::Ip6 => text.parse::<Ipv6Addr>().ok()?.to_bits(),
            Kind::Frag => match text {
                "no" => 0,
                "first" => u128::from(Frag::ANY),
                "later" => u128::from(Frag::ANY | Frag::LATER),
                _ => return None,
            },
            Kind::Flags(names) => flags(text, names).filter(|n| *n <= slot.max())?,
        };
        self.key.set(slot, value);
        Some(())
    }

    /// A tag: the type read before it is its TPID; what it encapsulates has a type of its own, or none.
    fn tag(&mut self, inner: &str) -> Option<()> {
        let mut tci = eth::VLAN_CFI;
        let mut rest = inner;
        while !rest.is_empty() {
            let (part, value, tail) = split_part(rest)?;
            tci |= match part {
                "tci" => number(value, 16)? as u16,
                "vid" => number(value, 12)? as u16,
                "pcp" => (number(value, 3)? as u16) << 13,
                "cfi" => (number(value, 1)? as u16) << 12,
                _ => return None,
            };
            rest = tail;
        }
        let tpid = match self.key.eth_type() {
            eth::TYPE_NONE => eth::TYPE_VLAN,
            tpid => tpid,
        };
        match self.tags {
            0 => {
                self.key.set_vlan_tpid(tpid);
                self.key.set_vlan_tci(tci);
            }
            1 => {
                self.key.set_vlan2_tpid(tpid);
                self.key.set_vlan2_tci(tci);
            }
            _ => return None,
        }
        self.tags += 1;
        self.key.set_eth_type(eth::TYPE_NONE);
        Some(())
    }
}

/// Splits `NAME=VALUE`, or `NAME(VALUE)`, and what follows the comma.
fn split_part(text: &str) -> Option<(&str, &str, &str)> {
    let at = text.find(['=', '('])?;
    let (name, tail) = text.split_at_checked(at)?;
    if let Some(value) = tail.strip_prefix('=') {
        let (value, rest) = value.split_once(',').unwrap_or((value, ""));
        return Some((name.trim(), value.trim(), rest));
    }
    let (value, rest) = body(tail)?;
    Some((name.trim(), value, rest.strip_prefix(',').unwrap_or(rest)))
}

/// A decimal or hexadecimal number of at most `bits` bits.
fn number(text: &str, bits: u32) -> Option<u128> {
    let digits = |text: &str, radix| {
        let plain = text.bytes().all(|b| b.is_ascii_hexdigit());
        u128::from_str_radix(text, radix).ok().filter(|_| plain)
    };
    let n = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => digits(hex, 16),
        None => digits(text, 10),
    }?;
    (bits >= 128 || n >> bits == 0).then_some(n)
}

fn flags(text: &str, names: &[&str]) -> Option<u128> {
    if text.is_empty() {
        return Some(0);
    }
    text.split('|').try_fold(0, |all, word| {
        let bit = names.iter().position(|name| !name.is_empty() && *name == word);
        Some(all | bit.map_or_else(|| number(word, 128), |at| Some(1u128 << at))?)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;
    use std::vec::Vec;

    use packet::PacketMeta;
    use proptest::prelude::*;

    use super::*;
    use crate::text::KeyText;

    fn no_names(_: &str) -> Option<u32> {
        None
    }

    /// Frames that look like something: a type, perhaps tags, a plausible first byte.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let types = prop_oneof![
            Just([8u8, 0]),
            Just([0x86, 0xdd]),
            Just([8, 6]),
            Just([0x88, 0x47]),
            any::<[u8; 2]>()
        ];
        let protos = prop_oneof![Just(1u8), Just(6), Just(17), Just(58), Just(132), any::<u8>()];
        let rest = prop::collection::vec(any::<u8>(), 0..100);
        (any::<[u8; 12]>(), 0usize..3, any::<u16>(), types, protos, rest).prop_map(
            |(macs, tags, tci, ty, proto, rest)| {
                let mut f = macs.to_vec();
                for _ in 0..tags {
                    f.extend([0x81, 0]);
                    f.extend(tci.to_be_bytes());
                }
                f.extend(ty);
                let mut l3 = rest;
                match (ty, l3.len()) {
                    ([8, 0], 20..) => {
                        l3[0] = 0x45;
                        let total = (l3.len() as u16).to_be_bytes();
                        l3[2..4].copy_from_slice(&total);
                        l3[9] = proto;
                    }
                    ([0x86, 0xdd], 40..) => {
                        l3[0] = 0x60;
                        let payload = (l3.len() as u16 - 40).to_be_bytes();
                        l3[4..6].copy_from_slice(&payload);
                        l3[6] = proto;
                    }
                    _ => {}
                }
                f.extend(l3);
                f
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(frame in frame(), port: u32, mark: u32) {
            let meta = PacketMeta { in_port: packet::OdpPort(port), skb_mark: mark, ..PacketMeta::default() };
            let mut key = FlowKey::ZERO;
            flow::extract(&meta, &frame, frame.len(), flow::DEFAULT_VLAN_LIMIT, &mut key);
            let text = KeyText(&key).to_string();
            let read = parse_key(&text, &no_names).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(KeyText(&read).to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-z_0-9(),=|:./ ]{0,60}|\\PC{0,40}") {
            let _ = parse_key(&text, &no_names);
        }
    }

    #[test]
    fn a_users_key_becomes_fields() {
        let text = "in_port(p1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x8100),vlan(vid=5,pcp=3),\
                    encap(eth_type(0x0800),ipv4(src=192.168.0.1,dst=192.168.0.2,proto=6,tos=0,ttl=64,frag=no),\
                    tcp(src=1000,dst=80),tcp_flags(syn|ack))";
        let k = parse_key(text, &|name| (name == "p1").then_some(7)).unwrap();
        assert_eq!((k.in_port(), k.vlan_tpid(), k.vlan_tci(), k.eth_type()), (7, 0x8100, 0x7005, 0x0800));
        assert_eq!((k.nw_src(), k.nw_ttl(), k.tp_dst(), k.tcp_flags()), (0xc0a8_0001, 64, 80, 0x12));
        let tun = "tunnel(tun_id=0x7,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(df|key)),in_port(3)";
        let k = parse_key(tun, &no_names).unwrap();
        assert_eq!((k.tun_id(), k.tun_flags(), k.in_port()), (7, 5, 3));
    }

    #[test]
    fn errors_say_where() {
        let error = |text| parse_key(text, &no_names).unwrap_err().to_string();
        assert_eq!(error("zz"), "syntax error at zz");
        assert_eq!(error("in_port(1),eth(src=1)"), "syntax error at eth(src=1)");
        assert_eq!(error("in_port(nope)"), "syntax error at in_port(nope)");
        assert_eq!(error("ipv4(src=1.2.3.4"), "syntax error at ipv4(src=1.2.3.4");
        assert_eq!(error("ct_zone(65536)"), "syntax error at ct_zone(65536)");
    }
}
