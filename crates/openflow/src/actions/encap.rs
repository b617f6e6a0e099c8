//! `encap` and `decap`: header stacks that are not Ethernet, and NSH.
//!
//! Where it sits: Nicira's extensions of OpenFlow 1.3 and later.
//!
//! ~~~text
//! property   be16 class · u8 type · u8 len · …   padded to 8
//! ~~~

use std::fmt::Write;

use wire::eth;

use super::check::Checker;
use super::text::{ParseContext, Text};
use super::wire::{Encoder, Len, Raw, V13_UP, nicira_in};
use super::{Act, Action, Family};
use crate::text::values::Hex;
use crate::text::{Pairs, TextError, number, text_error};
use crate::{Names, OfpError, Protocols, PutBytes, Version, field};

/// A property of the header to be pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncapProperty {
    /// NSH's metadata type.
    NshMdType(u8),
    /// A TLV of NSH's metadata type 2.
    NshTlv {
        /// Its class.
        class: u16,
        /// Its type.
        kind: u8,
        /// Its data.
        data: Vec<u8>,
    },
}

/// `encap`: pushes a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encap {
    /// The packet type of the new header: namespace and type.
    pub packet_type: u32,
    /// Its size, where it matters; zero: unspecified.
    pub hdr_size: u16,
    /// More about it.
    pub properties: Vec<EncapProperty>,
}

/// `decap`: pops the outermost header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decap(
    /// The packet type of what is below; 0xfffe: what the header says.
    pub u32,
);

/// `dec_nsh_ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecNshTtl;

/// Packet type of NSH.
const PT_NSH: u32 = field::PT_NS_ETHERTYPE << 16 | eth::TYPE_NSH as u32;
/// Packet type that means: what the header says comes next.
const PT_USE_NEXT_PROTO: u32 = 0xfffe;
/// Packet type that no match has: what is below is not known.
const PT_UNKNOWN: u32 = 0xffff_ffff;
/// Class of NSH's properties.
const CLASS_NSH: u16 = 4;

/// Headers that can be pushed.
const HEADERS: [(&str, u32); 4] = [
    ("ethernet", field::PT_ETH),
    ("nsh", PT_NSH),
    ("mpls", field::PT_NS_ETHERTYPE << 16 | eth::TYPE_MPLS as u32),
    ("mpls_mc", field::PT_NS_ETHERTYPE << 16 | eth::TYPE_MPLS_MCAST as u32),
];

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        nicira_in(46, V13_UP, Len::AtLeast(16), decode_encap),
        nicira_in(47, V13_UP, Len::AtLeast(16), |r| {
            if r.bytes.len() > 16 {
                return Err(OfpError::NXBAC_UNKNOWN_ED_PROP);
            }
            Ok(Decap(r.u32(12)).into())
        }),
        nicira_in(48, V13_UP, Len::Exact(16), |_| Ok(DecNshTtl.into())),
    ],
    text: &[
        Text { name: "encap", parse: parse_encap },
        Text { name: "decap", parse: parse_decap },
        Text {
            name: "dec_nsh_ttl",
            parse: |_, cx| {
                cx.only(Protocols::OF13_UP);
                cx.push(DecNshTtl);
                Ok(())
            },
        },
    ],
};

fn decode_encap(r: &Raw) -> Result<Action, OfpError> {
    let packet_type = r.u32(12);
    if !HEADERS.iter().any(|(_, pt)| *pt == packet_type) {
        return Err(OfpError::NXBAC_BAD_HEADER_TYPE);
    }
    let mut properties = Vec::new();
    let mut data = r.rest(16);
    while !data.is_empty() {
        let p = Raw { bytes: data, ..*r };
        let len = usize::from(p.u8(3));
        let padded = len.next_multiple_of(8);
        if len < 4 || padded > data.len() {
            return Err(OfpError::OFPBAC_BAD_LEN);
        }
        properties.push(match (p.u16(0), p.u8(2)) {
            (CLASS_NSH, 1) if len == 5 => EncapProperty::NshMdType(p.u8(4)),
            (CLASS_NSH, 2) if len >= 8 => {
                let n = usize::from(p.u8(7));
                let tlv =
                    data.get(8..8 + n).filter(|tlv| !tlv.is_empty()).ok_or(OfpError::NXBAC_BAD_ED_PROP)?;
                EncapProperty::NshTlv { class: p.u16(4), kind: p.u8(6), data: tlv.to_vec() }
            }
            (CLASS_NSH, 1 | 2) => return Err(OfpError::NXBAC_BAD_ED_PROP),
            _ => return Err(OfpError::NXBAC_UNKNOWN_ED_PROP),
        });
        data = data.get(padded..).unwrap_or(&[]);
    }
    Ok(Encap { packet_type, hdr_size: r.u16(10), properties }.into())
}

/// 1.0 to 1.2 have none of these.
fn require_13(e: &Encoder) -> Result<(), OfpError> {
    if e.version >= Version::V13 { Ok(()) } else { Err(OfpError::OFPBAC_BAD_VENDOR_TYPE) }
}

impl EncapProperty {
    fn put(&self, b: &mut Vec<u8>) {
        let start = b.len();
        b.put_u16(CLASS_NSH);
        match self {
            EncapProperty::NshMdType(md) => {
                b.put_u8(1);
                b.put_u8(5);
                b.put_u8(*md);
            }
            EncapProperty::NshTlv { class, kind, data } => {
                b.put_u8(2);
                b.put_u8(8u8.saturating_add(data.len().next_multiple_of(8).min(240) as u8));
                b.put_u16(*class);
                b.put_u8(*kind);
                b.put_u8(data.len() as u8);
                b.extend_from_slice(data);
            }
        }
        b.pad8(start);
    }
}

impl Act for Encap {
    fn name(&self) -> &'static str {
        "encap"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        require_13(e)?;
        e.nicira(46, |b| {
            b.put_u16(self.hdr_size);
            b.put_u32(self.packet_type);
            self.properties.iter().for_each(|p| p.put(b));
        });
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let name = HEADERS.iter().find(|(_, pt)| *pt == self.packet_type).map_or("", |(name, _)| name);
        let properties: Vec<_> = self
            .properties
            .iter()
            .map(|p| match p {
                EncapProperty::NshMdType(md) => format!("md_type={md}"),
                EncapProperty::NshTlv { class, kind, data } => {
                    let hex: String = data.iter().map(|b| format!("{b:02x}")).collect();
                    format!("tlv(0x{class:04x},{kind},0x{hex})")
                }
            })
            .collect();
        let _ = match properties.as_slice() {
            [] => write!(out, "encap({name})"),
            all => write!(out, "encap({name}({}))", all.join(",")),
        };
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.m.key.set_packet_type(self.packet_type);
        if self.packet_type == field::PT_ETH {
            // The new header's type is that of the packet within.
            cx.m.key.set_eth_type(cx.eth_type());
        }
        Ok(())
    }
}

impl Act for Decap {
    fn name(&self) -> &'static str {
        "decap"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        require_13(e)?;
        e.nicira(47, |b| {
            b.put_zeros(2);
            b.put_u32(self.0);
        });
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        if self.0 == PT_USE_NEXT_PROTO {
            out.push_str("decap()");
        } else {
            let _ =
                write!(out, "decap(packet_type(ns={},type={}))", self.0 >> 16, Hex((self.0 & 0xffff).into()));
        }
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        let known = cx.m.key.packet_type() == field::PT_ETH;
        let below = field::PT_NS_ETHERTYPE << 16 | u32::from(cx.eth_type());
        cx.m.key.set_packet_type(if known { below } else { PT_UNKNOWN });
        Ok(())
    }
}

impl Act for DecNshTtl {
    fn name(&self) -> &'static str {
        "dec_nsh_ttl"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        require_13(e)?;
        e.nicira(48, |b| b.put_zeros(6));
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        out.push_str("dec_nsh_ttl");
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.require(cx.m.key.packet_type() == PT_NSH || cx.eth_type() == eth::TYPE_NSH);
        Ok(())
    }
}

fn parse_encap(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    cx.only(Protocols::OF13_UP);
    let Some((name, text)) = Pairs::new(arg).next() else {
        return Err(TextError::new("Missing encap hdr: "));
    };
    let header = HEADERS.iter().find(|(n, _)| *n == name);
    let (_, packet_type) = header.ok_or_else(|| text_error!("Encap hdr not supported: {text}"))?;
    let mut properties = Vec::new();
    for (key, value) in Pairs::new(text) {
        properties.push(match key {
            "md_type" if *packet_type == PT_NSH => {
                let md = number::u8(value, key)?;
                if !matches!(md, 1 | 2) {
                    return Err(text_error!("invalid md_type"));
                }
                EncapProperty::NshMdType(md)
            }
            "tlv" if *packet_type == PT_NSH => parse_tlv(value)?,
            _ => return Err(text_error!("Invalid property: {key}")),
        });
    }
    cx.push(Encap { packet_type: *packet_type, hdr_size: 0, properties });
    Ok(())
}

fn parse_tlv(text: &str) -> Result<EncapProperty, TextError> {
    let invalid = || TextError::new("Invalid NSH TLV header: ".to_owned() + text);
    let mut parts = text.splitn(3, ',').map(str::trim);
    let (Some(class), Some(kind), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(invalid());
    };
    let class = number::u16(class, "tlv_class")?;
    let kind = number::u8(kind, "tlv_type")?;
    let hex = data.strip_prefix("0x").ok_or_else(invalid)?;
    let even = if hex.len().is_multiple_of(2) { hex.to_owned() } else { format!("0{hex}") };
    let data = super::text::hex_bytes(&even).filter(|d| d.len() <= 240).ok_or_else(invalid)?;
    Ok(EncapProperty::NshTlv { class, kind, data })
}

fn parse_decap(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    cx.only(Protocols::OF13_UP);
    let Some((key, value)) = Pairs::new(arg).next() else {
        cx.push(Decap(PT_USE_NEXT_PROTO));
        return Ok(());
    };
    if key != "packet_type" {
        return Err(text_error!("Invalid decap argument: {key}"));
    }
    let (mut ns, mut kind) = (0, 0);
    for (key, value) in Pairs::new(value) {
        match key {
            "ns" => ns = number::u16(value, "namespace")?,
            "type" => kind = number::u16(value, "type")?,
            _ => return Err(text_error!("Invalid decap packet_type argument: {key}")),
        }
    }
    cx.push(Decap(u32::from(ns) << 16 | u32::from(kind)));
    Ok(())
}
