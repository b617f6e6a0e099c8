//! The old actions that rewrite one header field each: Ethernet, IP and transport addresses, TOS, TTL.
//!
//! Where it sits: OpenFlow 1.0 and 1.1 have them; from 1.2 they go out as `set_field`, save the TTL's.

use std::fmt::Write;
use std::net::Ipv4Addr;

use flow::{Field, Frag};
use wire::EthAddr;
use wire::eth;

use super::check::Checker;
use super::text::{ParseContext, Text};
use super::wire::{Encoder, Len, Raw, V10, V11_UP, nicira, nicira_in, standard};
use super::{Act, Action, Family, SetField};
use crate::text::{TextError, number, text_error, values};
use crate::{Names, OfpError, PutBytes, Version};

/// `dec_ttl`: decrements the IP TTL; packets whose TTL runs out go to these controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecTtl {
    /// The controllers' ids; usually the one id 0.
    pub ids: Vec<u16>,
    /// It was written with the list of ids.
    pub with_ids: bool,
}

/// `mod_tp_src`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetTpSrc {
    /// The port.
    pub port: u16,
    /// The IP protocol that the flow is known to match; zero: unknown.
    pub ip_proto: u8,
}

/// `mod_tp_dst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetTpDst {
    /// The port.
    pub port: u16,
    /// The IP protocol that the flow is known to match; zero: unknown.
    pub ip_proto: u8,
}

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        standard(4, V10, Len::Exact(16), |r| Ok(SetEthSrc(eth_addr(r)).into())),
        standard(5, V10, Len::Exact(16), |r| Ok(SetEthDst(eth_addr(r)).into())),
        standard(6, V10, Len::Exact(8), |r| Ok(SetIpv4Src(r.u32(4)).into())),
        standard(7, V10, Len::Exact(8), |r| Ok(SetIpv4Dst(r.u32(4)).into())),
        standard(8, V10, Len::Exact(8), |r| dscp(r.u8(4))),
        standard(9, V10, Len::Exact(8), |r| Ok(SetTpSrc { port: r.u16(4), ip_proto: 0 }.into())),
        standard(10, V10, Len::Exact(8), |r| Ok(SetTpDst { port: r.u16(4), ip_proto: 0 }.into())),
        standard(3, V11_UP, Len::Exact(16), |r| Ok(SetEthSrc(eth_addr(r)).into())),
        standard(4, V11_UP, Len::Exact(16), |r| Ok(SetEthDst(eth_addr(r)).into())),
        standard(5, V11_UP, Len::Exact(8), |r| Ok(SetIpv4Src(r.u32(4)).into())),
        standard(6, V11_UP, Len::Exact(8), |r| Ok(SetIpv4Dst(r.u32(4)).into())),
        standard(7, V11_UP, Len::Exact(8), |r| dscp(r.u8(4))),
        standard(8, V11_UP, Len::Exact(8), |r| match r.u8(4) {
            ecn @ 0..=3 => Ok(SetIpEcn(ecn).into()),
            _ => Err(OfpError::OFPBAC_BAD_ARGUMENT),
        }),
        standard(9, V11_UP, Len::Exact(8), |r| Ok(SetTpSrc { port: r.u16(4), ip_proto: 0 }.into())),
        standard(10, V11_UP, Len::Exact(8), |r| Ok(SetTpDst { port: r.u16(4), ip_proto: 0 }.into())),
        standard(23, V11_UP, Len::Exact(8), |r| Ok(SetIpTtl(r.u8(4)).into())),
        standard(24, V11_UP, Len::Exact(8), |_| Ok(DecTtl::default().into())),
        nicira_in(18, V10, Len::Exact(16), |_| Ok(DecTtl::default().into())),
        nicira(21, Len::AtLeast(16), decode_dec_ttl_ids),
    ],
    text: &[
        Text { name: "mod_dl_src", parse: |arg, cx| parse_eth(arg).map(|a| cx.push(SetEthSrc(a))) },
        Text { name: "mod_dl_dst", parse: |arg, cx| parse_eth(arg).map(|a| cx.push(SetEthDst(a))) },
        Text { name: "mod_nw_src", parse: |arg, cx| parse_ipv4(arg).map(|a| cx.push(SetIpv4Src(a))) },
        Text { name: "mod_nw_dst", parse: |arg, cx| parse_ipv4(arg).map(|a| cx.push(SetIpv4Dst(a))) },
        Text { name: "mod_nw_tos", parse: parse_tos },
        Text { name: "mod_nw_ecn", parse: parse_ecn },
        Text { name: "mod_nw_ttl", parse: |arg, cx| number::u8(arg, "TTL").map(|n| cx.push(SetIpTtl(n))) },
        Text {
            name: "mod_tp_src",
            parse: |arg, cx| {
                let port = number::u16(arg, "source port")?;
                cx.push(SetTpSrc { port, ip_proto: 0 });
                Ok(())
            },
        },
        Text {
            name: "mod_tp_dst",
            parse: |arg, cx| {
                let port = number::u16(arg, "destination port")?;
                cx.push(SetTpDst { port, ip_proto: 0 });
                Ok(())
            },
        },
        Text { name: "dec_ttl", parse: parse_dec_ttl },
    ],
};

fn eth_addr(r: &Raw) -> EthAddr {
    ::wire::bytes::array(r.bytes, 4).map_or(EthAddr::ZERO, EthAddr)
}

fn dscp(tos: u8) -> Result<Action, OfpError> {
    if tos & 3 != 0 { Err(OfpError::OFPBAC_BAD_ARGUMENT) } else { Ok(SetIpDscp(tos).into()) }
}

fn decode_dec_ttl_ids(r: &Raw) -> Result<Action, OfpError> {
    r.zeros_in(12, 4)?;
    let n = usize::from(r.u16(10));
    if 16 + 2 * n > r.bytes.len() {
        return Err(OfpError::OFPBAC_BAD_LEN);
    }
    let ids = (0..n).map(|i| r.u16(16 + 2 * i)).collect();
    Ok(DecTtl { ids, with_ids: true }.into())
}

impl Default for DecTtl {
    fn default() -> DecTtl {
        DecTtl { ids: vec![0], with_ids: false }
    }
}

/// Declares an old action of one argument: how 1.0 and 1.1 number it, and what field it sets.
macro_rules! rewrites {
    ($($name:ident($ty:ty) $doc:literal $text:literal, [$v10:expr, $v11:expr], $field:expr;
        put |$b:ident, $v:ident| $put:expr; value $value:expr; print $print:literal $shown:expr;
        needs |$cx:ident| $needs:expr;)+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name(
                /// The argument.
                pub $ty,
            );

            impl Act for $name {
                fn name(&self) -> &'static str {
                    $text
                }

                fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
                    let $v = self.0;
                    let number: Option<u16> = match e.version {
                        Version::V10 => $v10,
                        Version::V11 => $v11,
                        _ => None,
                    };
                    match number {
                        Some(number) => e.standard(number, |$b| $put),
                        None if e.version == Version::V10 => {
                            SetField::whole($field, $value).as_load().encode(e)?;
                        }
                        None => SetField::whole($field, $value).encode(e)?,
                    }
                    Ok(())
                }

                fn print(&self, out: &mut String, _: &Names) {
                    let $v = self.0;
                    let _ = write!(out, concat!($text, ":", $print), $shown);
                }

                fn check(&mut self, $cx: &mut Checker) -> Result<(), OfpError> {
                    $cx.require($needs);
                    Ok(())
                }
            }
        )+
    };
}

rewrites! {
    SetEthSrc(EthAddr) "`mod_dl_src`." "mod_dl_src", [Some(4), Some(3)], Field::EthSrc;
        put |b, v| { b.extend_from_slice(&v.0); b.put_zeros(6) }; value v.to_u64().into(); print "{}" v; needs |cx| true;
    SetEthDst(EthAddr) "`mod_dl_dst`." "mod_dl_dst", [Some(5), Some(4)], Field::EthDst;
        put |b, v| { b.extend_from_slice(&v.0); b.put_zeros(6) }; value v.to_u64().into(); print "{}" v; needs |cx| true;
    SetIpv4Src(u32) "`mod_nw_src`." "mod_nw_src", [Some(6), Some(5)], Field::IpSrc;
        put |b, v| b.put_u32(v); value v.into(); print "{}" Ipv4Addr::from(v);
        needs |cx| cx.eth_type() == eth::TYPE_IPV4;
    SetIpv4Dst(u32) "`mod_nw_dst`." "mod_nw_dst", [Some(7), Some(6)], Field::IpDst;
        put |b, v| b.put_u32(v); value v.into(); print "{}" Ipv4Addr::from(v);
        needs |cx| cx.eth_type() == eth::TYPE_IPV4;
    SetIpDscp(u8) "`mod_nw_tos`: the TOS byte without its ECN bits." "mod_nw_tos", [Some(8), Some(7)], Field::IpDscp;
        put |b, v| b.put_u8(v); value (v >> 2).into(); print "{}" v; needs |cx| cx.is_ip();
    SetIpEcn(u8) "`mod_nw_ecn`." "mod_nw_ecn", [None, Some(8)], Field::NwEcn;
        put |b, v| b.put_u8(v); value v.into(); print "{}" v; needs |cx| cx.is_ip();
}

/// `mod_nw_ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetIpTtl(
    /// The TTL.
    pub u8,
);

impl Act for SetIpTtl {
    fn name(&self) -> &'static str {
        "mod_nw_ttl"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version == Version::V10 {
            SetField::whole(Field::NwTtl, self.0.into()).as_load().encode(e)
        } else {
            e.standard(23, |b| b.put_u8(self.0));
            Ok(())
        }
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "mod_nw_ttl:{}", self.0);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(cx.is_ip());
        Ok(())
    }
}

/// The IP protocol whose ports a flow may set: `None` if it is not known to have any.
fn port_protocol(cx: &Checker) -> Option<u8> {
    let proto = cx.m.key.nw_proto();
    let whole = cx.m.key.nw_frag() & Frag::LATER == 0;
    (cx.is_ip() && whole && matches!(proto, 6 | 17 | 132)).then_some(proto)
}

/// Encodes the setting of a port: `old` numbers it in 1.0 and 1.1, `fields` are TCP's, UDP's and SCTP's.
fn encode_port(e: &mut Encoder, old: u16, port: u16, fields: [Field; 3], proto: u8) -> Result<(), OfpError> {
    if e.version <= Version::V11 {
        e.standard(old, |b| b.put_u16(port));
        return Ok(());
    }
    let [tcp, udp, sctp] = fields;
    let field = match proto {
        6 => tcp,
        17 => udp,
        132 => sctp,
        // Nothing says which port it is; a switch forbids such flows.
        _ => return Err(OfpError::OFPBAC_MATCH_INCONSISTENT),
    };
    SetField::whole(field, port.into()).encode(e)
}

impl Act for SetTpSrc {
    fn name(&self) -> &'static str {
        "mod_tp_src"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        encode_port(e, 9, self.port, [Field::TcpSrc, Field::UdpSrc, Field::SctpSrc], self.ip_proto)
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "mod_tp_src:{}", self.port);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.ip_proto = port_protocol(cx).unwrap_or(0);
        cx.require(self.ip_proto != 0);
        Ok(())
    }
}

impl Act for SetTpDst {
    fn name(&self) -> &'static str {
        "mod_tp_dst"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        encode_port(e, 10, self.port, [Field::TcpDst, Field::UdpDst, Field::SctpDst], self.ip_proto)
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "mod_tp_dst:{}", self.port);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.ip_proto = port_protocol(cx).unwrap_or(0);
        cx.require(self.ip_proto != 0);
        Ok(())
    }
}

impl Act for DecTtl {
    fn name(&self) -> &'static str {
        "dec_ttl"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let n = u16::try_from(self.ids.len()).map_err(|_| OfpError::OFPBAC_BAD_LEN)?;
        if self.with_ids || self.ids != [0] {
            e.nicira(21, |b| {
                b.put_u16(n);
                b.put_zeros(4);
                for id in &self.ids {
                    b.put_u16(*id);
                }
            });
        } else if e.version == Version::V10 {
            e.nicira(18, |b| b.put_zeros(6));
        } else {
            e.standard(24, |b| b.put_zeros(4));
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("dec_ttl");
        if self.with_ids {
            let ids: Vec<_> = self.ids.iter().map(u16::to_string).collect();
            let _ = write!(out, "({})", ids.join(","));
        }
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(cx.is_ip());
        Ok(())
    }
}

fn parse_eth(arg: &str) -> Result<EthAddr, TextError> {
    arg.parse().map_err(|_| text_error!("invalid mac address {arg}"))
}

fn parse_ipv4(arg: &str) -> Result<u32, TextError> {
    values::ipv4(arg).ok_or_else(|| text_error!("{arg}: could not convert to IP address"))
}

fn parse_tos(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let tos = number::u8(arg, "TOS")?;
    if tos & 3 != 0 {
        return Err(text_error!("{arg}: not a valid TOS"));
    }
    cx.push(SetIpDscp(tos));
    Ok(())
}

fn parse_ecn(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let ecn = number::u8(arg, "ECN")?;
    if ecn > 3 {
        return Err(text_error!("{arg}: not a valid ECN"));
    }
    cx.push(SetIpEcn(ecn));
    Ok(())
}

fn parse_dec_ttl(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    // Words that are no numbers read as zero, as they always did.
    let ids: Vec<u16> = arg
        .split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(|word| number::prefix(word).map_or(0, |(n, _)| n as u16))
        .collect();
    cx.push(if ids.is_empty() { DecTtl::default() } else { DecTtl { ids, with_ids: true } });
    Ok(())
}
