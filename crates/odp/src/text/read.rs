//! Reading a key, or a match: the inverse of [`super::KeyText`] and [`super::FlowText`].
//!
//! Where it sits: `netdev-dummy/receive` and `ofproto/trace` take keys from users, `dpctl/add-flow` and its like take
//! matches; `set` takes the groups of `set(…)`. Fields that are not given are zero, in a match wildcarded.
//!
//! What a group's parts are called and where they go is one table, [`PARTS`]; only tags, which open a nested list, and
//! Geneve options need code of their own.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use flow::{FlowKey, Frag, Match, Slot, Wildcards, slot};
use packet::TunnelOptions;
use wire::{EthAddr, eth};

use super::scan::{body, flags, number, padded_hex, part, signed_flags, skip_separators};
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

static PARTS: &[Part] = &[
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
    ("gbp", "id", slot::tun_gbp_id, Kind::Number),
    ("gbp", "flags", slot::tun_gbp_flags, Kind::Number),
    ("erspan", "ver", slot::tun_erspan_ver, Kind::Number),
    ("erspan", "idx", slot::tun_erspan_idx, Kind::Number),
    ("erspan", "dir", slot::tun_erspan_dir, Kind::Number),
    ("erspan", "hwid", slot::tun_erspan_hwid, Kind::Number),
    ("gtpu", "flags", slot::tun_gtpu_flags, Kind::Number),
    ("gtpu", "msgtype", slot::tun_gtpu_msgtype, Kind::Number),
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
    ("nd_ext", "nd_reserved", slot::nd_reserved, Kind::Number),
    ("nd_ext", "nd_options_type", slot::nd_options_type, Kind::Number),
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

/// The number of a port that is named.
pub type PortOf<'p> = &'p dyn Fn(&str) -> Option<u32>;

/// Reads a key; `port_of` gives the number of a port that is named.
pub fn parse_key<'a>(text: &'a str, port_of: PortOf<'_>) -> Result<FlowKey, KeySyntax<'a>> {
    let mut reader = Reader::new(Masks::Refused, port_of);
    reader.list(text)?;
    Ok(reader.key)
}

/// Reads a match: what is given without a mask is matched whole, what is not given is wildcarded, except that a packet
/// has not recirculated and has no tags beside those given if its type is.
pub fn parse_match<'a>(text: &'a str, port_of: PortOf<'_>) -> Result<Match, KeySyntax<'a>> {
    let mut reader = Reader::new(Masks::Read, port_of);
    reader.wc.unwildcard(slot::recirc_id);
    reader.list(text)?;
    Ok(Match::new(&reader.key, &reader.wc))
}

/// Reads one group, as in `set(…)`: values, and the mask over what was given.
pub(super) fn parse_group(name: &str, inner: &str) -> Option<Match> {
    let mut reader = Reader::new(Masks::Read, &|_| None);
    reader.group(name, inner)?;
    Some(Match { key: reader.key, wc: reader.wc })
}

/// Whether values may have masks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Masks {
    Refused,
    Read,
}

struct Reader<'p> {
    key: FlowKey,
    wc: Wildcards,
    masks: Masks,
    /// Tags read so far.
    tags: usize,
    port_of: PortOf<'p>,
}

/// Where labels are, each of which begins with the word `label`.
const LABELS: [Slot; 3] = [slot::mpls_lse0, slot::mpls_lse1, slot::mpls_lse2];

/// Where tags are: TPID and TCI.
const TAGS: [(Slot, Slot); 2] = [(slot::vlan_tpid, slot::vlan_tci), (slot::vlan2_tpid, slot::vlan2_tci)];

impl Reader<'_> {
    fn new(masks: Masks, port_of: PortOf<'_>) -> Reader<'_> {
        let mut key = FlowKey::ZERO;
        key.set_eth_type(eth::TYPE_NONE);
        Reader { key, wc: Wildcards::NONE, masks, tags: 0, port_of }
    }

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
                self.store(slot::in_port, (port.into(), u128::MAX), u128::MAX);
                Some(())
            }
            "eth_type" => {
                self.value(slot::eth_type, Kind::Number, inner)?;
                // A type is that of what no further tag is in front of.
                TAGS.get(self.tags).into_iter().for_each(|(_, tci)| self.wc.unwildcard(*tci));
                Some(())
            }
            "vlan" => self.tag(inner),
            _ => self.parts(name, inner),
        }
    }

    fn parts(&mut self, group: &str, inner: &str) -> Option<()> {
        let group = if matches!(group, "tcp" | "udp" | "sctp") { "ports" } else { group };
        if let Some((_, _, slot, kind)) = PARTS.iter().find(|(g, part, ..)| *g == group && part.is_empty()) {
            return self.value(*slot, *kind, inner);
        }
        let known = PARTS.iter().any(|(g, ..)| *g == group) || group == "vxlan";
        let mut labels = 0;
        let mut rest = inner;
        while !rest.is_empty() {
            let (name, value, tail) = part(rest)?;
            match (group, name) {
                ("tunnel", "geneve") => self.options(value)?,
                ("tunnel", "vxlan" | "erspan" | "gtpu") | ("vxlan", "gbp") => self.parts(name, value)?,
                ("mpls", _) => {
                    labels += usize::from(name == "label");
                    let slot = LABELS.get(labels.saturating_sub(1))?;
                    let (.., kind) = PARTS.iter().find(|(g, p, ..)| *g == group && *p == name)?;
                    self.value(*slot, *kind, value)?;
                }
                _ => {
                    let (_, _, slot, kind) = PARTS.iter().find(|(g, p, ..)| *g == group && *p == name)?;
                    self.value(*slot, *kind, value)?;
                }
            }
            rest = tail;
        }
        known.then_some(())
    }

    fn value(&mut self, slot: Slot, kind: Kind, text: &str) -> Option<()> {
        let all = match kind {
            Kind::Bits(shift, bits) => ((1u128 << bits) - 1) << shift,
            _ => slot.max(),
        };
        if let Kind::Flags(names) = kind
            && text.starts_with(['+', '-'])
        {
            let bits = signed_flags(text, names).filter(|_| self.masks == Masks::Read)?;
            self.store(slot, bits, all);
            return Some(());
        }
        let bits = match text.split_once('/') {
            Some((value, mask)) if self.masks == Masks::Read => {
                (bits(slot, kind, value)?, bits(slot, kind, mask)?)
            }
            Some(_) => return None,
            None => (bits(slot, kind, text)?, all),
        };
        self.store(slot, bits, all);
        Some(())
    }

    /// Stores value and mask in the bits `all` of a slot.
    fn store(&mut self, slot: Slot, (value, mask): (u128, u128), all: u128) {
        self.key.set(slot, self.key.get(slot) & !all | value);
        let others = self.wc.get(slot) & !all;
        self.wc.set(slot, others | mask);
    }

    /// A tag: the type read before it is its TPID; what it encapsulates has a type of its own, or none.
    fn tag(&mut self, inner: &str) -> Option<()> {
        let (tpid, tci) = *TAGS.get(self.tags)?;
        let (mut value, mut mask) = (eth::VLAN_CFI, eth::VLAN_CFI);
        let mut rest = inner;
        while !rest.is_empty() {
            let (name, text, tail) = part(rest)?;
            let (shift, bits) = match name {
                "vid" => (0, 12),
                "pcp" => (13, 3),
                "cfi" => (12, 1),
                "tci" => (0, 16),
                _ => return None,
            };
            let (text, given) = text.split_once('/').map_or((text, None), |(text, mask)| (text, Some(mask)));
            if given.is_some() && self.masks == Masks::Refused {
                return None;
            }
            let all = ((1u32 << bits) - 1) as u16;
            let given = given.map_or(Some(all), |mask| number(mask, bits).map(|n| n as u16))?;
            value = value & !(all << shift) | (number(text, bits)? as u16) << shift;
            mask = mask & !(all << shift) | given << shift;
            rest = tail;
        }
        self.store(tci, (value.into(), mask.into()), u128::MAX);
        if value & eth::VLAN_CFI == 0 {
            // The word for "no tag".
            return (self.masks == Masks::Read).then_some(());
        }
        let kind = match self.key.eth_type() {
            eth::TYPE_NONE => eth::TYPE_VLAN,
            kind => kind,
        };
        self.store(tpid, (kind.into(), self.wc.get(slot::eth_type)), u128::MAX);
        self.store(slot::eth_type, (eth::TYPE_NONE.into(), 0), u128::MAX);
        self.tags += 1;
        Some(())
    }

    /// Geneve options, one in braces each.
    fn options(&mut self, text: &str) -> Option<()> {
        let (options, masks) = parse_options(text)?;
        if masks.bytes() != all_of(&options).bytes() && self.masks == Masks::Refused {
            return None;
        }
        let (len, slots) =
            (options.bytes().len(), slot::TUN_OPTS.iter().zip(options.words()).zip(masks.words()));
        slots.for_each(|((slot, value), mask)| self.store(*slot, (value, mask), u128::MAX));
        self.store(slot::tun_opts_len, (len as u128, u128::MAX), u128::MAX);
        Some(())
    }
}

fn all_of(options: &TunnelOptions) -> TunnelOptions {
    TunnelOptions::from_words([u128::MAX; 16], options.bytes().len() as u8)
}

/// Reads `{class=C,type=T,len=L,0xDATA/0xMASK}…`: options, and the mask over their bytes.
pub(super) fn parse_options(text: &str) -> Option<(TunnelOptions, TunnelOptions)> {
    let (mut bytes, mut masks) = ([0u8; TunnelOptions::MAX], [0xffu8; TunnelOptions::MAX]);
    let (mut at, mut rest) = (0usize, text);
    while !rest.is_empty() {
        let (inner, tail) = rest.strip_prefix('{')?.split_once('}')?;
        let (mut class, mut kind, mut len, mut data) = (0u16, 0u8, 0usize, None);
        for word in inner.split(',') {
            match word.split_once('=') {
                Some(("class", n)) => class = number(n, 16)? as u16,
                Some(("type", n)) => kind = number(n, 8)? as u8,
                Some(("len", n)) => len = number(n, 7)? as usize,
                None if data.is_none() => data = Some(word),
                _ => return None,
            }
        }
        let end = at.checked_add(4)?.checked_add(len)?;
        if !len.is_multiple_of(4) || end > TunnelOptions::MAX {
            return None;
        }
        let [high, low] = class.to_be_bytes();
        bytes.get_mut(at..at + 4)?.copy_from_slice(&[high, low, kind, (len / 4) as u8]);
        if let Some(data) = data {
            let (value, mask) =
                data.split_once('/').map_or((data, None), |(value, mask)| (value, Some(mask)));
            bytes.get_mut(at + 4..end)?.copy_from_slice(&padded_hex(value, len)?);
            if let Some(mask) = mask {
                masks.get_mut(at + 4..end)?.copy_from_slice(&padded_hex(mask, len)?);
            }
        }
        (at, rest) = (end, tail);
    }
    Some((TunnelOptions::new(bytes.get(..at)?)?, TunnelOptions::new(masks.get(..at)?)?))
}

/// The bits of a slot that `text` stands for.
fn bits(slot: Slot, kind: Kind, text: &str) -> Option<u128> {
    Some(match kind {
        Kind::Number => number(text, 128).filter(|n| *n <= slot.max())?,
        Kind::Bits(shift, bits) => number(text, bits)? << shift,
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
    use crate::netlink::tests::{any_key, match_of};
    use crate::text::{FlowText, KeyText};

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
        fn a_match_reads_back(mut key in any_key(), which: u64) {
            key.set_ipv6_label(key.ipv6_label() & 0xf_ffff);
            let m = match_of(&key, which);
            let text = FlowText(&m).to_string();
            let back = parse_match(&text, &no_names).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(FlowText(&back).to_string(), text.clone());
            prop_assert_eq!(parse_match(&text, &no_names), Ok(back));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-z_0-9(),=|:./ ]{0,60}|\\PC{0,40}") {
            let _ = parse_key(&text, &no_names);
            let _ = parse_match(&text, &no_names);
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
    fn masks_say_what_matters() {
        let read = |text| parse_match(text, &no_names).unwrap();
        let m =
            read("in_port(1),eth(),eth_type(0x0800),ipv4(src=10.1.2.3/255.0.0.0,proto=6),tcp(dst=80/0xff00)");
        assert_eq!((m.key.nw_src(), m.wc.nw_src(), m.wc.nw_dst()), (0x0a00_0000, 0xff00_0000, 0));
        assert_eq!(
            (m.key.tp_dst(), m.wc.tp_dst(), m.wc.tp_src(), m.wc.eth_src().to_u64()),
            (0, 0xff00, 0, 0)
        );
        assert_eq!((m.key.recirc_id(), m.wc.recirc_id()), (0, u32::MAX), "has not recirculated");
        assert_eq!((m.key.vlan_tci(), m.wc.vlan_tci(), m.wc.vlan_tpid()), (0, 0xffff, 0), "has no tag");
        let m = read("eth_type(0x8100),vlan(vid=5),encap(eth_type(0x0800))");
        assert_eq!((m.key.vlan_tci(), m.wc.vlan_tci(), m.key.vlan_tpid()), (0x1005, 0x1fff, 0x8100));
        assert_eq!((m.key.eth_type(), m.wc.vlan2_tci()), (0x0800, 0xffff));
        let m = read("ct_state(+trk-new),tunnel(tun_id=0x1/0xf,dst=1.1.1.1,flags(-df+key)),recirc_id(0x5)");
        assert_eq!((m.key.ct_state(), m.wc.ct_state()), (0x20, 0x21));
        assert_eq!((m.key.tun_flags(), m.wc.tun_flags(), m.wc.tun_id(), m.key.recirc_id()), (4, 5, 15, 5));
        let m = read(
            "tunnel(dst=1.1.1.1,geneve({class=0xffff,type=0x80,len=4,0xa/0xff}),vxlan(gbp(id=5,flags=0/0x8)))",
        );
        assert_eq!(
            (m.key.tun_opts0() >> 64, m.wc.tun_opts0() >> 64),
            (0xffff_8001_0000_000a, 0xffff_ffff_0000_00ff)
        );
        assert_eq!((m.key.tun_opts_len(), m.key.tun_gbp_id(), m.wc.tun_gbp_flags()), (8, 5, 8));
        assert!(parse_key("ipv4(src=1.2.3.4/255.0.0.0)", &no_names).is_err(), "a packet has no mask");
    }

    #[test]
    fn labels_follow_one_another() {
        let read = |text: &str| parse_match(text, &no_names).unwrap();
        // As Open vSwitch 3.1 prints what it reads.
        for text in [
            "mpls(label=17,tc=0,ttl=64,bos=1)",
            "mpls(label=18/0xff,tc=0/3,ttl=64/0xff,bos=1/1)",
            "mpls(label=19,tc=0,ttl=64,bos=0,label=20,tc=0,ttl=64,bos=1)",
            "mpls(label=0/0x0,tc=0/0,ttl=63/0xff,bos=0/1,label=18/0xfffff,tc=2/7,ttl=62/0xff,bos=0/1,label=19/0xfffff,tc=3/7,ttl=61/0xff,bos=1/1)",
        ] {
            let text = alloc::format!("recirc_id(0),eth_type(0x8847),{text}");
            assert_eq!(FlowText(&read(&text)).to_string(), text);
        }
        let exact = read(
            "eth_type(0x8847),mpls(label=20/0xfffff,tc=0/7,ttl=64/0xff,bos=0/1,label=21/0xfffff,tc=0/7,ttl=64/0xff,bos=1/1)",
        );
        assert_eq!(
            (exact.key.mpls_lse0(), exact.key.mpls_lse1(), exact.wc.mpls_lse2()),
            (0x14040, 0x15140, 0)
        );
        let labels = "eth_type(0x8847),mpls(label=1,tc=0,ttl=64,bos=0,label=2,tc=1,ttl=63,bos=1)";
        let key = parse_key(labels, &no_names).unwrap();
        assert!(
            KeyText(&key).to_string().ends_with("mpls(label=1,tc=0,ttl=64,bos=0,label=2,tc=1,ttl=63,bos=1)")
        );
        let four = "mpls(label=1,label=1,label=1,label=1)";
        assert!(parse_key(four, &no_names).is_err());
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
