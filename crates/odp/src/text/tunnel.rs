//! The text form of a tunnel's headers in `tnl_push`, and of Geneve options.
//!
//! Where it sits: part of the actions' text. The headers are bytes; what is cut short is left out.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use packet::TunnelOption;
use wire::tunnel::{erspan, geneve, gre, srh, stt, vni_at};
use wire::{EthAddr, bytes, eth, ip, ipv4, ipv6, tcp, udp};

use super::actions::Hex;
use super::{Names, port};
use crate::{TnlPush, TunnelKind};

/// A `tnl_push` action.
pub(super) fn push(f: &mut fmt::Formatter<'_>, p: &TnlPush, names: Option<Names<'_>>) -> fmt::Result {
    f.write_str("tnl_push(tnl_port(")?;
    port(f, p.tnl_port, names)?;
    write!(f, "),header(size={},type={},", p.header.len(), p.kind as u32)?;
    let header = Headers { bytes: &p.header, kind: p.kind };
    let l3 = header.ethernet(f)?;
    header.network(f, l3)?;
    f.write_str("),out_port(")?;
    port(f, p.out_port, names)?;
    f.write_str("))")
}

struct Headers<'a> {
    bytes: &'a [u8],
    kind: TunnelKind,
}

impl Headers<'_> {
    fn u8(&self, at: usize) -> u8 {
        bytes::u8_at(self.bytes, at).unwrap_or(0)
    }

    fn u16(&self, at: usize) -> u16 {
        bytes::u16_at(self.bytes, at).unwrap_or(0)
    }

    fn u32(&self, at: usize) -> u32 {
        bytes::u32_at(self.bytes, at).unwrap_or(0)
    }

    fn ethernet(&self, f: &mut fmt::Formatter<'_>) -> Result<usize, fmt::Error> {
        let at = |at| EthAddr(bytes::array(self.bytes, at).unwrap_or_default());
        write!(f, "eth(dst={},src={},dl_type={:#06x}),", at(0), at(6), self.u16(12))?;
        Ok(eth::HEADER_LEN)
    }

    fn network(&self, f: &mut fmt::Formatter<'_>, l3: usize) -> fmt::Result {
        let (proto, l4) = if self.u16(12) == eth::TYPE_IPV6 {
            let Some(h) = self.bytes.get(l3..).and_then(ipv6::Ipv6Ref::parse) else { return Ok(()) };
            let (src, dst) = (Ipv6Addr::from_bits(h.src()), Ipv6Addr::from_bits(h.dst()));
            let (label, proto, class) = (h.label(), h.next_header(), h.traffic_class());
            write!(
                f,
                "ipv6(src={src},dst={dst},label={label},proto={proto},tclass={class:#x},hlimit={}),",
                h.hop_limit()
            )?;
            (proto, l3 + ipv6::HEADER_LEN)
        } else {
            let Some(h) = self.bytes.get(l3..).and_then(ipv4::Ipv4Ref::parse) else { return Ok(()) };
            let (src, dst) = (Ipv4Addr::from_bits(h.src()), Ipv4Addr::from_bits(h.dst()));
            let (proto, tos, ttl) = (h.proto(), Hex(h.tos().into()), h.ttl());
            write!(f, "ipv4(src={src},dst={dst},proto={proto},tos={tos},ttl={ttl},frag={:#x}),", h.frag())?;
            (proto, l3 + ipv4::HEADER_LEN)
        };
        match proto {
            ip::PROTO_UDP => {
                let (src, dst, sum) = (self.u16(l4), self.u16(l4 + 2), self.u16(l4 + 6));
                write!(f, "udp(src={src},dst={dst},csum={sum:#x})")?;
                self.over_udp(f, l4 + udp::HEADER_LEN)
            }
            ip::PROTO_GRE => self.gre(f, l4),
            ip::EXT_ROUTING => self.segments(f, l4),
            ip::PROTO_TCP => {
                let (src, dst) = (self.u16(l4), self.u16(l4 + 2));
                let key = bytes::u64_at(self.bytes, l4 + tcp::HEADER_LEN + stt::OFF_KEY).unwrap_or(0);
                write!(f, "tcp(src={src},dst={dst}),stt(key={key:#x})")
            }
            _ => Ok(()),
        }
    }

    fn over_udp(&self, f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result {
        let vni = vni_at(self.bytes, at + 4).unwrap_or(0);
        match self.kind {
            TunnelKind::Vxlan => write!(f, ",vxlan(flags={:#x},vni={vni:#x})", self.u32(at)),
            TunnelKind::Geneve => {
                let flags = self.u8(at + 1);
                let oam = if flags & geneve::FLAG_OAM != 0 { "oam," } else { "" };
                let critical = if flags & geneve::FLAG_CRITICAL != 0 { "crit," } else { "" };
                write!(f, ",geneve({oam}{critical}vni={vni:#x}")?;
                let list = self.bytes.get(at + geneve::LEN..).unwrap_or_default();
                if let Some(list) = packet::TunnelOptions::new(list).filter(|o| !o.bytes().is_empty()) {
                    f.write_str(",options(")?;
                    options(f, list.iter())?;
                    f.write_str(")")?;
                }
                f.write_str(")")
            }
            TunnelKind::Gtpu => {
                let (flags, kind, id) = (self.u8(at), self.u8(at + 1), self.u32(at + 4));
                write!(f, ",gtpu(flags={flags:#x},msgtype={kind},teid={id:#x})")
            }
            _ => Ok(()),
        }
    }

    fn gre(&self, f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result {
        let (flags, proto) = (self.u16(at), self.u16(at + 2));
        let mut next = at + gre::LEN;
        if matches!(self.kind, TunnelKind::Erspan | TunnelKind::Ip6Erspan) {
            return self.erspan(f, at + gre::header_len(flags));
        }
        write!(f, "gre((flags={flags:#x},proto={proto:#x})")?;
        if flags & gre::FLAG_CSUM != 0 {
            write!(f, ",csum={:#x}", self.u16(next))?;
            next += 4;
        }
        if flags & gre::FLAG_KEY != 0 {
            write!(f, ",key={:#x}", self.u32(next))?;
            next += 4;
        }
        if flags & gre::FLAG_SEQ != 0 {
            write!(f, ",seq={:#x}", self.u32(next))?;
        }
        f.write_str(")")
    }

    fn erspan(&self, f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result {
        let session = self.u16(at + 2) & erspan::SESSION_MASK;
        if self.u16(at) >> 12 == 1 {
            return write!(f, "erspan(ver=1,sid={session:#x},idx={:#x})", self.u32(at + 4) & 0xf_ffff);
        }
        let last = self.u16(at + 10);
        write!(f, "erspan(ver=2,sid={session:#x},dir={},hwid={:#x})", last >> 3 & 1, last >> 4 & 0x3f)
    }

    fn segments(&self, f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result {
        write!(f, "srv6(segments_left={},segs(", self.u8(at + 3))?;
        let last = usize::from(self.u8(at + 4)).min(srh::MAX_SEGMENTS);
        // Stored last first.
        for (i, segment) in (0..=last).rev().enumerate() {
            let addr = bytes::u128_at(self.bytes, at + srh::LEN + 16 * segment).unwrap_or(0);
            write!(f, "{}{}", if i == 0 { "" } else { "," }, Ipv6Addr::from_bits(addr))?;
        }
        f.write_str("))")
    }
}

/// Geneve options, one in braces each; data without leading zeros.
pub(super) fn options<'a>(
    f: &mut fmt::Formatter<'_>,
    list: impl Iterator<Item = TunnelOption<'a>>,
) -> fmt::Result {
    for o in list {
        write!(f, "{{class={},type={},len={}", Hex(o.class.into()), Hex(o.kind.into()), o.data.len())?;
        if !o.data.is_empty() {
            f.write_str(",0x")?;
            let zeros = o.data.iter().take_while(|b| **b == 0).count().min(o.data.len() - 1);
            for (i, b) in o.data.iter().skip(zeros).enumerate() {
                if i == 0 { write!(f, "{b:x}")? } else { write!(f, "{b:02x}")? }
            }
        }
        f.write_str("}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use packet::OdpPort;

    use super::*;

    /// Text of an action whose header is written in hexadecimal.
    fn text(kind: TunnelKind, hex: &str) -> alloc::string::String {
        let digits: Vec<u8> =
            hex.bytes().filter_map(|b| char::from(b).to_digit(16)).map(|d| d as u8).collect();
        let header = digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect();
        crate::Action::TnlPush(TnlPush { tnl_port: OdpPort(4), out_port: OdpPort(100), kind, header }.into())
            .to_string()
    }

    #[test]
    fn headers_read_as_open_vswitch_prints_them() {
        let eth = "f8bc124434b6 aa55aa550000 0800";
        let ip = "45000000 00004000 4011 0000 01010258 0101025c";
        assert_eq!(
            text(TunnelKind::Vxlan, &alloc::format!("{eth} {ip} 0000 12b5 0000 0000 08000000 00007b00")),
            "tnl_push(tnl_port(4),header(size=50,type=4,eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,dl_type=0x0800),\
             ipv4(src=1.1.2.88,dst=1.1.2.92,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=4789,csum=0x0),\
             vxlan(flags=0x8000000,vni=0x7b)),out_port(100))"
        );
        let geneve = "0000 17c1 0000 0000 0240 6558 0001c700 ffff 80 01 0000000a";
        assert!(text(TunnelKind::Geneve, &alloc::format!("{eth} {ip} {geneve}")).ends_with(
            "udp(src=0,dst=6081,csum=0x0),geneve(crit,vni=0x1c7,options({class=0xffff,type=0x80,len=4,0xa}))),out_port(100))"
        ));
        let ip = "45000000 00004000 402f 0000 01010258 0101025c";
        assert!(
            text(TunnelKind::Gre, &alloc::format!("{eth} {ip} 2000 6558 000001c8"))
                .ends_with("gre((flags=0x2000,proto=0x6558),key=0x1c8)),out_port(100))")
        );
    }
}
