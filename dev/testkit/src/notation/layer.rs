//! The layers of packet notation: how each is read, and how it wraps what it carries.
//!
//! Where it sits: `notation.rs` parses all layers first, then wraps from the inside out.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    checksum,
    words::{Parsed, Words, mac},
};

pub(super) enum Layer {
    Ethernet {
        addresses: [u8; 12],
        kind: Option<u16>,
    },
    Vlan {
        tci: u16,
        tpid: u16,
    },
    Arp(Vec<u8>),
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Extension {
        number: u8,
        body: Vec<u8>,
    },
    Transport {
        number: u8,
        sum_at: usize,
        bytes: Vec<u8>,
        sum: Sum,
    },
    /// A label stack entry without its bottom bit.
    Mpls(u32),
    /// A service header without its next protocol.
    Nsh(Vec<u8>),
    /// GRE without the protocol of what is inside.
    Gre {
        first: u16,
        rest: Vec<u8>,
    },
    Payload(Vec<u8>),
}

/// What a transport header has for a checksum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    Right,
    Spoilt,
    /// Zero.
    None,
}

impl Sum {
    fn of(words: &mut Words) -> Sum {
        match (words.flag("badsum"), words.flag("nosum")) {
            (true, _) => Sum::Spoilt,
            (false, true) => Sum::None,
            (false, false) => Sum::Right,
        }
    }
}

pub(super) struct Ipv4 {
    from: Ipv4Addr,
    to: Ipv4Addr,
    tos: u8,
    ttl: u8,
    id: u16,
    fragment: u16,
    proto: Option<u8>,
    options: Vec<u8>,
    spoil: bool,
}

pub(super) struct Ipv6 {
    from: Ipv6Addr,
    to: Ipv6Addr,
    first: u32,
    hop_limit: u8,
    next: Option<u8>,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

impl Layer {
    pub(super) fn parse(words: &mut Words) -> Parsed<Self> {
        if words.peek().is_some_and(|word| word.starts_with('"')) {
            return Ok(Self::Payload(words.next()?.trim_matches('"').as_bytes().to_vec()));
        }
        match words.next()?.as_str() {
            "eth" => ethernet(words),
            "vlan" => vlan(words),
            "arp" => arp(words),
            "ip" => ipv4(words),
            "ip6" => ipv6(words),
            "hopopts" => options_header(words, 0),
            "dstopts" => options_header(words, 60),
            "routing" => Ok(Self::Extension { number: 43, body: vec![0; 8] }),
            "frag" => fragment_header(words),
            "tcp" => tcp(words),
            "udp" => ports(words, UDP, 8, 6),
            "sctp" => ports(words, SCTP, 12, 8),
            "icmp" => icmp(words, ICMP, [8, 0]),
            "icmp6" => icmp(words, ICMPV6, [128, 129]),
            "ns" => neighbour(words, 135),
            "na" => neighbour(words, 136),
            "mpls" => mpls(words),
            "nsh" => nsh(words),
            "gre" => gre(words),
            "vxlan" => {
                let (vni, flags) =
                    (words.number("vni")? as u32, words.option("flags")?.unwrap_or(0x0800_0000) as u32);
                Ok(Self::Payload([flags.to_be_bytes(), (vni << 8).to_be_bytes()].concat()))
            }
            "geneve" => {
                let vni = words.number("vni")? as u32;
                let options = words.text_option("options").map_or_else(Vec::new, |hex| crate::from_hex(&hex));
                let critical = if options.get(2).is_some_and(|kind| kind & 0x80 != 0) { 0x40 } else { 0 };
                let head = [(options.len() / 4) as u8, critical, 0x65, 0x58];
                Ok(Self::Payload([&head[..], &(vni << 8).to_be_bytes(), &options].concat()))
            }
            "hex" => Ok(Self::Payload(words.rest_as_hex())),
            "count" => {
                let (len, from) = (words.number("length")?, words.option("from")?.unwrap_or(0));
                Ok(Self::Payload((from..from + len).map(|n| n as u8).collect()))
            }
            other => Err(format!("no layer is called {other:?}")),
        }
    }

    /// This layer's bytes around `body`, which starts with `inner`; `outer` are the layers before this one.
    pub(super) fn wrap(&self, body: &[u8], inner: Option<&Self>, outer: &[Self]) -> Vec<u8> {
        let mut bytes = match self {
            Self::Ethernet { addresses, kind } => {
                let kind = kind.unwrap_or_else(|| inner.map_or(0, Self::ethertype));
                [&addresses[..], &kind.to_be_bytes()].concat()
            }
            Self::Vlan { tci, .. } => {
                [tci.to_be_bytes(), inner.map_or(0, Self::ethertype).to_be_bytes()].concat()
            }
            Self::Arp(bytes) | Self::Payload(bytes) => bytes.clone(),
            Self::Mpls(lse) => {
                let bottom = u32::from(!matches!(inner, Some(Self::Mpls(_))));
                (lse | bottom << 8).to_be_bytes().to_vec()
            }
            Self::Nsh(bytes) => {
                let next = match inner {
                    Some(Self::Ipv4(_)) => 1,
                    Some(Self::Ipv6(_)) => 2,
                    Some(Self::Nsh(_)) => 4,
                    _ => 3,
                };
                [&bytes[..3], &[next], &bytes[4..]].concat()
            }
            Self::Gre { first, rest } => {
                let kind = inner.map_or(0, Self::ethertype);
                [&first.to_be_bytes()[..], &kind.to_be_bytes(), rest].concat()
            }
            Self::Ipv4(header) => header.emit(body.len(), inner),
            Self::Ipv6(header) => header.emit(body.len(), inner),
            Self::Extension { body, .. } => {
                let mut bytes = body.clone();
                bytes[0] = inner.map_or(59, Self::protocol);
                bytes
            }
            Self::Transport { number, sum_at, bytes, sum } => {
                return transport(*number, *sum_at, bytes, body, outer, *sum);
            }
        };
        bytes.extend_from_slice(body);
        bytes
    }

    fn ethertype(&self) -> u16 {
        match self {
            Self::Vlan { tpid, .. } => *tpid,
            Self::Arp(_) => 0x0806,
            Self::Ipv4(_) => 0x0800,
            Self::Ipv6(_) => 0x86dd,
            Self::Mpls(_) => 0x8847,
            Self::Nsh(_) => 0x894f,
            // transparent Ethernet bridging
            Self::Ethernet { .. } => 0x6558,
            // a local experimental type, so that arbitrary payload is not taken for a length
            _ => 0x88b5,
        }
    }

    fn protocol(&self) -> u8 {
        match self {
            Self::Extension { number, .. } | Self::Transport { number, .. } => *number,
            Self::Gre { .. } => 47,
            Self::Ipv4(_) => 4,
            Self::Ipv6(_) => 41,
            _ => 253,
        }
    }
}

impl Ipv4 {
    fn emit(&self, body: usize, inner: Option<&Layer>) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut bytes = vec![0x40 | (header / 4) as u8, self.tos];
        bytes.extend(((header + body) as u16).to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([self.ttl, self.proto.unwrap_or_else(|| inner.map_or(253, Layer::protocol)), 0, 0]);
        bytes.extend(self.from.octets());
        bytes.extend(self.to.octets());
        bytes.extend(&self.options);
        let sum = checksum(&[&bytes]) ^ u16::from(self.spoil);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

impl Ipv6 {
    fn emit(&self, body: usize, inner: Option<&Layer>) -> Vec<u8> {
        let mut bytes = self.first.to_be_bytes().to_vec();
        bytes.extend((body as u16).to_be_bytes());
        bytes.extend([self.next.unwrap_or_else(|| inner.map_or(59, Layer::protocol)), self.hop_limit]);
        bytes.extend(self.from.octets());
        bytes.extend(self.to.octets());
        bytes
    }
}

fn ethernet(words: &mut Words) -> Parsed<Layer> {
    let (from, to) = words.pair(Words::mac)?;
    let kind = words.option("type")?.map(|kind| kind as u16);
    let mut addresses = [0; 12];
    addresses[..6].copy_from_slice(&to);
    addresses[6..].copy_from_slice(&from);
    Ok(Layer::Ethernet { addresses, kind })
}

fn vlan(words: &mut Words) -> Parsed<Layer> {
    let vid = words.number("vlan")? as u16;
    let pcp = words.option("pcp")?.unwrap_or(0) as u16;
    let dei = u16::from(words.flag("dei"));
    let tpid = words.option("tpid")?.unwrap_or(0x8100) as u16;
    Ok(Layer::Vlan { tci: pcp << 13 | dei << 12 | vid, tpid })
}

fn arp(words: &mut Words) -> Parsed<Layer> {
    let operation = match words.next()?.as_str() {
        "request" => 1u16,
        "reply" => 2,
        other => return Err(format!("arp {other:?}: request or reply")),
    };
    let ((sha, spa), (tha, tpa)) = words.pair(|words| Ok((words.mac()?, words.address::<Ipv4Addr>()?)))?;
    let mut bytes = vec![0, 1, 8, 0, 6, 4];
    bytes.extend(operation.to_be_bytes());
    for (hardware, protocol) in [(sha, spa), (tha, tpa)] {
        bytes.extend(hardware);
        bytes.extend(protocol.octets());
    }
    Ok(Layer::Arp(bytes))
}

fn ipv4(words: &mut Words) -> Parsed<Layer> {
    let (from, to) = words.pair(Words::address)?;
    let offset = (words.option("off")?.unwrap_or(0) / 8) as u16;
    let flags = u16::from(words.flag("df")) << 14 | u16::from(words.flag("mf")) << 13;
    let options = words.text_option("options").map_or_else(Vec::new, |hex| crate::from_hex(&hex));
    Ok(Layer::Ipv4(Ipv4 {
        from,
        to,
        tos: words.option("tos")?.unwrap_or(0) as u8,
        ttl: words.option("ttl")?.unwrap_or(64) as u8,
        id: words.option("id")?.unwrap_or(0) as u16,
        fragment: flags | offset,
        proto: words.option("proto")?.map(|proto| proto as u8),
        options,
        spoil: words.flag("badsum"),
    }))
}

fn ipv6(words: &mut Words) -> Parsed<Layer> {
    let (from, to) = words.pair(Words::address)?;
    let class = words.option("tclass")?.unwrap_or(0) as u32;
    let label = words.option("label")?.unwrap_or(0) as u32;
    Ok(Layer::Ipv6(Ipv6 {
        from,
        to,
        first: 6 << 28 | class << 20 | label,
        hop_limit: words.option("hlim")?.unwrap_or(64) as u8,
        next: words.option("next")?.map(|next| next as u8),
    }))
}

fn options_header(words: &mut Words, number: u8) -> Parsed<Layer> {
    let units = words.option("len")?.unwrap_or(0) as u8;
    let length = (usize::from(units) + 1) * 8;
    // one PadN option fills it
    let mut body = vec![0; length];
    body[1] = units;
    body[2] = 1;
    body[3] = (length - 4).min(255) as u8;
    Ok(Layer::Extension { number, body })
}

fn fragment_header(words: &mut Words) -> Parsed<Layer> {
    let id = words.option("id")?.unwrap_or(0) as u32;
    let offset = words.option("off")?.unwrap_or(0) as u16 & !7;
    let more = u16::from(words.flag("mf"));
    let mut body = vec![0, 0];
    body.extend((offset | more).to_be_bytes());
    body.extend(id.to_be_bytes());
    Ok(Layer::Extension { number: 44, body })
}

fn tcp(words: &mut Words) -> Parsed<Layer> {
    let (from, to) = words.pair(|words| words.number("port"))?;
    let sum = Sum::of(words);
    let options = words.text_option("options").map_or_else(Vec::new, |hex| crate::from_hex(&hex));
    let [seq, ack, window] = [("seq", 0), ("ack", 0), ("win", 65535)]
        .map(|(name, usual)| words.option(name).map(|value| value.unwrap_or(usual)));
    let mut flags = 0u8;
    if words.peek().is_some() {
        for letter in words.next()?.chars() {
            let bit =
                "FSRPAUEC".find(letter).ok_or_else(|| format!("unexpected {letter:?} among TCP flags"))?;
            flags |= 1 << bit;
        }
    }
    let mut bytes = port_pair(from, to);
    bytes.extend((seq? as u32).to_be_bytes());
    bytes.extend((ack? as u32).to_be_bytes());
    bytes.extend([(((20 + options.len()) / 4) << 4) as u8, flags]);
    bytes.extend((window? as u16).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    Ok(Layer::Transport { number: TCP, sum_at: 16, bytes, sum })
}

fn ports(words: &mut Words, number: u8, length: usize, sum_at: usize) -> Parsed<Layer> {
    let (from, to) = words.pair(|words| words.number("port"))?;
    let mut bytes = port_pair(from, to);
    bytes.resize(length, 0);
    Ok(Layer::Transport { number, sum_at, bytes, sum: Sum::of(words) })
}

fn port_pair(from: u64, to: u64) -> Vec<u8> {
    [(from as u16).to_be_bytes(), (to as u16).to_be_bytes()].concat()
}

fn icmp(words: &mut Words, number: u8, [echo, reply]: [u8; 2]) -> Parsed<Layer> {
    let sum = Sum::of(words);
    let id = words.option("id")?.unwrap_or(0) as u16;
    let seq = words.option("seq")?.unwrap_or(0) as u16;
    let (kind, code) = if words.take("echo") {
        (echo, 0)
    } else if words.take("reply") {
        (reply, 0)
    } else {
        (words.option("type")?.unwrap_or(0) as u8, words.option("code")?.unwrap_or(0) as u8)
    };
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(id.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    Ok(Layer::Transport { number, sum_at: 2, bytes, sum })
}

/// One label.
fn mpls(words: &mut Words) -> Parsed<Layer> {
    let label = words.number("label")? as u32;
    let class = words.option("tc")?.unwrap_or(0) as u32;
    let ttl = words.option("ttl")?.unwrap_or(64) as u32;
    Ok(Layer::Mpls(label << 12 | class << 9 | ttl))
}

/// A service header of MD type 1, or of type 2 without metadata.
fn nsh(words: &mut Words) -> Parsed<Layer> {
    let [spi, si, ttl] = [("spi", 0), ("si", 255), ("ttl", 63)]
        .map(|(name, usual)| words.option(name).map(|value| value.unwrap_or(usual) as u32));
    let context = ["c1", "c2", "c3", "c4"].map(|name| words.option(name).map(|c| c.unwrap_or(0) as u32));
    let md2 = words.flag("md2");
    let length = if md2 { 2 } else { 6 };
    let mut bytes = (ttl? << 6 | length).to_be_bytes()[2..].to_vec();
    bytes.extend([if md2 { 2 } else { 1 }, 0]);
    bytes.extend((spi? << 8 | si?).to_be_bytes());
    if !md2 {
        for c in context {
            bytes.extend(c?.to_be_bytes());
        }
    }
    Ok(Layer::Nsh(bytes))
}

fn gre(words: &mut Words) -> Parsed<Layer> {
    let (mut first, mut rest) = (0, Vec::new());
    for (name, flag) in [("key", 0x2000), ("seq", 0x1000)] {
        if let Some(n) = words.option(name)? {
            first |= flag;
            rest.extend((n as u32).to_be_bytes());
        }
    }
    Ok(Layer::Gre { first, rest })
}

fn neighbour(words: &mut Words, kind: u8) -> Parsed<Layer> {
    let target: Ipv6Addr = words.address()?;
    let flags = words.option("rso")?.unwrap_or(0) as u8;
    let link = ["sll", "tll"].map(|name| words.text_option(name));
    let mut bytes = vec![kind, 0, 0, 0, flags << 5, 0, 0, 0];
    bytes.extend(target.octets());
    for (option, address) in (1u8..).zip(link) {
        if let Some(address) = address {
            bytes.extend([option, 1]);
            bytes.extend(mac(&address)?);
        }
    }
    Ok(Layer::Transport { number: ICMPV6, sum_at: 2, bytes, sum: Sum::of(words) })
}

/// A transport header before its payload, with the checksum over the pseudo header of the nearest IP layer.
fn transport(number: u8, sum_at: usize, header: &[u8], body: &[u8], outer: &[Layer], wanted: Sum) -> Vec<u8> {
    let mut bytes = [header, body].concat();
    let length = bytes.len() as u32;
    if number == UDP {
        bytes[4..6].copy_from_slice(&(length as u16).to_be_bytes());
    }
    let ip = outer.iter().rev().find(|layer| matches!(layer, Layer::Ipv4(_) | Layer::Ipv6(_)));
    let pseudo = match (number, ip) {
        (ICMP, _) | (_, None) => Vec::new(),
        (_, Some(Layer::Ipv4(ip))) => {
            [&ip.from.octets()[..], &ip.to.octets(), &[0, number], &(length as u16).to_be_bytes()].concat()
        }
        (_, Some(Layer::Ipv6(ip))) => {
            [&ip.from.octets()[..], &ip.to.octets(), &length.to_be_bytes(), &[0, 0, 0, number]].concat()
        }
        _ => Vec::new(),
    };
    if wanted == Sum::None {
        return bytes;
    }
    let spoiled = u16::from(wanted == Sum::Spoilt);
    if number == SCTP {
        let sum = crc32c(&bytes) ^ u32::from(spoiled);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        return bytes;
    }
    let mut sum = checksum(&[&pseudo, &bytes]);
    if number == UDP && sum == 0 {
        sum = 0xffff;
    }
    bytes[sum_at..sum_at + 2].copy_from_slice(&(sum ^ spoiled).to_be_bytes());
    bytes
}

/// SCTP's checksum, bit by bit: slow, and plainly right.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
