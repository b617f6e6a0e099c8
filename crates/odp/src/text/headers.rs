//! Reading the headers of `tnl_push`: the inverse of [`super::tunnel`].
//!
//! Where it sits: part of the actions' text. What the text does not say is as tunnels have it: what is inside is a frame
//! (of segment routing an IPv6 packet), lengths are filled in when the headers are pushed.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use packet::OdpPort;
use wire::tunnel::{erspan, geneve, gre, srh, stt};
use wire::{EthAddr, eth, ipv4, ipv6, tcp, udp};

use super::read::parse_options;
use super::scan::{number, part};
use crate::{TnlPush, TunnelKind};

/// What is inside of `tnl_push(…)`.
pub(super) fn parse_push(inner: &str) -> Option<TnlPush> {
    let (mut tnl, mut out, mut header) = (None, None, None);
    let mut rest = inner;
    while !rest.is_empty() {
        let (name, value, tail) = part(rest)?;
        match name {
            "tnl_port" => tnl = Some(OdpPort(number(value, 32)? as u32)),
            "out_port" => out = Some(OdpPort(number(value, 32)? as u32)),
            "header" => header = Some(headers(value)?),
            _ => return None,
        }
        rest = tail;
    }
    let (kind, header) = header?;
    Some(TnlPush { tnl_port: tnl?, out_port: out?, kind, header })
}

fn headers(inner: &str) -> Option<(TunnelKind, Vec<u8>)> {
    let ("size", size, rest) = part(inner)? else { return None };
    let ("type", kind, mut rest) = part(rest)? else { return None };
    let kind = TunnelKind::from_number(number(kind, 32)? as u32)?;
    let mut h = Headers::default();
    while !rest.is_empty() {
        let (name, value, tail) = part(rest)?;
        h.group(name, value)?;
        rest = tail;
    }
    (h.bytes.len() as u128 == number(size, 16)?).then_some((kind, h.bytes))
}

/// Numbers of a group by name; nothing may be named that is not asked for.
struct Group<'a> {
    inner: &'a str,
    asked: usize,
}

impl<'a> Group<'a> {
    fn new(inner: &'a str) -> Group<'a> {
        Group { inner, asked: 0 }
    }

    /// The value of a part; none if it is not there.
    fn get(&mut self, name: &str) -> Option<&'a str> {
        let mut rest = self.inner;
        while !rest.is_empty() {
            let (found, value, tail) = part(rest)?;
            if found == name {
                self.asked += 1;
                return Some(value);
            }
            rest = tail;
        }
        None
    }

    fn has(&mut self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn number(&mut self, name: &str, bits: u32) -> Option<u128> {
        self.get(name).and_then(|text| number(text, bits))
    }

    /// True if everything that is there was asked for.
    fn is_spent(&self) -> bool {
        let (mut rest, mut count) = (self.inner, 0);
        while let Some((_, _, tail)) = part(rest).filter(|_| !rest.is_empty()) {
            (rest, count) = (tail, count + 1);
        }
        count == self.asked
    }
}

#[derive(Default)]
struct Headers {
    bytes: Vec<u8>,
}

impl Headers {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn group(&mut self, name: &str, inner: &str) -> Option<()> {
        let mut g = Group::new(inner);
        match name {
            "eth" => {
                let mut address = |name| g.get(name)?.parse::<EthAddr>().ok();
                let (dst, src) = (address("dst")?, address("src")?);
                self.put(&dst.0);
                self.put(&src.0);
                self.put(&(g.number("dl_type", 16)? as u16).to_be_bytes());
            }
            "ipv4" => self.ipv4(&mut g)?,
            "ipv6" => self.ipv6(&mut g)?,
            "udp" => {
                let mut field = |name| g.number(name, 16).map(|n| n as u16);
                let header =
                    udp::Udp { src: field("src")?, dst: field("dst")?, length: 0, checksum: field("csum")? };
                self.put(&header.emit());
            }
            "tcp" => {
                let mut port = |name| g.number(name, 16).map(|n| n as u16);
                let (src, dst) = (port("src")?, port("dst")?);
                self.put(&src.to_be_bytes());
                self.put(&dst.to_be_bytes());
                self.put(&[0; 8]);
                self.put(&((tcp::HEADER_LEN as u16 / 4) << 12 | tcp::PSH | tcp::ACK).to_be_bytes());
                self.put(&[0xff, 0xff, 0, 0, 0, 0]);
            }
            "stt" => {
                self.put(&[0; stt::OFF_KEY]);
                self.put(&(g.number("key", 64)? as u64).to_be_bytes());
                self.put(&[0; 2]);
            }
            "vxlan" => {
                let (flags, vni) = (g.number("flags", 32)?, g.number("vni", 24)?);
                self.put(&(flags as u32).to_be_bytes());
                self.put(&((vni as u32) << 8).to_be_bytes());
            }
            "geneve" => self.geneve(&mut g)?,
            "gtpu" => {
                self.put(&[g.number("flags", 8)? as u8, g.number("msgtype", 8)? as u8, 0, 0]);
                self.put(&(g.number("teid", 32)? as u32).to_be_bytes());
            }
            "gre" => self.gre(&mut g)?,
            "erspan" => self.erspan(&mut g)?,
            "srv6" => self.segments(&mut g)?,
            _ => return None,
        }
        g.is_spent().then_some(())
    }

    fn ipv4(&mut self, g: &mut Group<'_>) -> Option<()> {
        let mut address = |name| g.get(name)?.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits);
        let (src, dst) = (address("src")?, address("dst")?);
        let (proto, tos, ttl) =
            (g.number("proto", 8)? as u8, g.number("tos", 8)? as u8, g.number("ttl", 8)? as u8);
        let frag = g.number("frag", 16)? as u16;
        self.put(&ipv4::Ipv4 { tos, total_len: 0, id: 0, frag, ttl, proto, src, dst }.emit());
        Some(())
    }

    fn ipv6(&mut self, g: &mut Group<'_>) -> Option<()> {
        let mut address = |name| g.get(name)?.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits);
        let (src, dst) = (address("src")?, address("dst")?);
        let label = g.number("label", 20)? as u32;
        let (next_header, traffic_class) = (g.number("proto", 8)? as u8, g.number("tclass", 8)? as u8);
        let hop_limit = g.number("hlimit", 8)? as u8;
        self.put(
            &ipv6::Ipv6 { traffic_class, label, payload_len: 0, next_header, hop_limit, src, dst }.emit(),
        );
        Some(())
    }

    fn geneve(&mut self, g: &mut Group<'_>) -> Option<()> {
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = flag(g.has("oam"), geneve::FLAG_OAM) | flag(g.has("crit"), geneve::FLAG_CRITICAL);
        let vni = g.number("vni", 24)? as u32;
        let options = g
            .get("options")
            .map_or(Some(packet::TunnelOptions::NONE), |text| Some(parse_options(text)?.0))?;
        self.put(&[(options.bytes().len() / 4) as u8, flags]);
        self.put(&eth::TYPE_TEB.to_be_bytes());
        self.put(&(vni << 8).to_be_bytes());
        self.put(options.bytes());
        Some(())
    }

    /// `gre((flags=…,proto=…),csum=…,key=…,seq=…)`.
    fn gre(&mut self, g: &mut Group<'_>) -> Option<()> {
        let mut first = Group::new(g.get("")?);
        let flags = first.number("flags", 16)? as u16;
        self.put(&flags.to_be_bytes());
        self.put(&(first.number("proto", 16)? as u16).to_be_bytes());
        if flags & gre::FLAG_CSUM != 0 {
            self.put(&(g.number("csum", 16)? as u16).to_be_bytes());
            self.put(&[0; 2]);
        }
        for (flag, name) in [(gre::FLAG_KEY, "key"), (gre::FLAG_SEQ, "seq")] {
            if flags & flag != 0 {
                self.put(&(g.number(name, 32)? as u32).to_be_bytes());
            }
        }
        first.is_spent().then_some(())
    }

    fn erspan(&mut self, g: &mut Group<'_>) -> Option<()> {
        let version = g.number("ver", 4)? as u16;
        let proto = if version == 1 { gre::PROTO_ERSPAN1 } else { gre::PROTO_ERSPAN2 };
        self.put(&gre::FLAG_SEQ.to_be_bytes());
        self.put(&proto.to_be_bytes());
        self.put(&[0; 4]);
        self.put(&(version << 12).to_be_bytes());
        self.put(&(g.number("sid", 16)? as u16 & erspan::SESSION_MASK).to_be_bytes());
        if version == 1 {
            self.put(&(g.number("idx", 20)? as u32).to_be_bytes());
            return Some(());
        }
        let (dir, hardware) = (g.number("dir", 1)? as u16, g.number("hwid", 6)? as u16);
        self.put(&[0; 6]);
        self.put(&(hardware << 4 | dir << 3).to_be_bytes());
        Some(())
    }

    fn segments(&mut self, g: &mut Group<'_>) -> Option<()> {
        let left = g.number("segments_left", 8)? as u8;
        let mut list = Vec::new();
        for text in g.get("segs")?.split(',') {
            list.push(text.parse::<Ipv6Addr>().ok()?);
        }
        let last = list.len().checked_sub(1).filter(|n| *n < srh::MAX_SEGMENTS)? as u8;
        self.put(&[INSIDE_SEGMENTS, 2 * (last + 1), srh::TYPE, left, last, 0, 0, 0]);
        list.iter().rev().for_each(|segment| self.put(&segment.octets()));
        Some(())
    }
}

/// What segment routing carries: IPv6.
const INSIDE_SEGMENTS: u8 = 41;
