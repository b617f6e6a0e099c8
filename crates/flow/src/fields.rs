//! The registry of match fields: one row each, from which parsers, formatters, OXM and NXM, and prerequisites follow.
//!
//! Where it sits: `openflow` reads names, headers and formats from it; `odp` and translation find a field's bits by
//! its slot. Adding a field is adding a row here and a slot in `slot.rs`.
//!
//! Where one place in the key has several names (`tcp_src`, `udp_src`, `icmp_type`), rows share the slot and differ
//! in prerequisites. Spec: ovs-fields(7); OpenFlow 1.5.1 section 7.2.3.
//!
//! Size: it is one table.

use crate::Slot;
use crate::slot;

/// The slot of what a key has no place for: it reads as zero.
const NOWHERE: Slot = Slot { word: 0, shift: 0, bits: 0 };

/// How a field's value is written in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A decimal number; hexadecimal if masked.
    Decimal,
    /// A hexadecimal number.
    Hexadecimal,
    /// An Ethernet address.
    Ethernet,
    /// An IPv4 address; a prefix length or a netmask as mask.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An OpenFlow port, number or name, of 16 bits.
    OfPort16,
    /// An OpenFlow port, number or name.
    OfPort,
    /// `no`, `yes`, `first`, `later`, `not_later`.
    Frag,
    /// Names of `ct_state` bits, each with + or -.
    CtState,
    /// Names of tunnel flags.
    TunnelFlags,
    /// Names of TCP flags.
    TcpFlags,
    /// `(ns,type)`.
    PacketType,
}

/// What else a match must require before the field may be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prereq {
    /// Nothing.
    None,
    /// The packet type is Ethernet.
    Ethernet,
    /// A VLAN tag is matched.
    VlanVid,
    /// Type ARP or RARP.
    Arp,
    /// Type IPv4.
    Ipv4,
    /// Type IPv6.
    Ipv6,
    /// Type IPv4 or IPv6.
    Ip,
    /// Type MPLS.
    Mpls,
    /// Type NSH.
    Nsh,
    /// IP with protocol 6, not a later fragment.
    Tcp,
    /// IP with protocol 17, not a later fragment.
    Udp,
    /// IP with protocol 132, not a later fragment.
    Sctp,
    /// IPv4 with protocol 1.
    Icmpv4,
    /// IPv6 with protocol 58.
    Icmpv6,
    /// ICMPv6 type 135 or 136, code 0.
    Nd,
    /// ICMPv6 type 135.
    NdSolicit,
    /// ICMPv6 type 136.
    NdAdvert,
    /// `ct_state` requires a tracked, valid packet.
    Ct,
}

/// How the fixed match structures of OpenFlow 1.0 and 1.1 carry a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of1x {
    /// Not at all.
    No,
    /// Without mask.
    Exact,
    /// With a prefix mask.
    Cidr,
    /// With any mask.
    Bits,
}

/// The protocols in which a form of a match on a field can be expressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    /// None.
    Never,
    /// NXM and OXM.
    NxmOxm,
    /// NXM, OpenFlow 1.1 and OXM.
    NxmOf11Oxm,
    /// Every protocol.
    Any,
}

/// One NXM or OXM number of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OxmHeader {
    /// The name in the specification, such as `NXM_OF_IN_PORT`.
    pub name: &'static str,
    /// class (16 bits), field (7), has-mask (1, zero here), length (8).
    pub header: u32,
    /// The experimenter's id, or zero.
    pub experimenter: u32,
    /// Wire version of the OpenFlow that standardised it (0x03 is 1.2), or zero for extensions.
    pub since: u8,
}

/// What is known of a field.
#[derive(Clone, Copy, Debug)]
pub struct FieldDef {
    /// The field.
    pub field: Field,
    /// Its name in text.
    pub name: &'static str,
    /// Its other name.
    pub alias: Option<&'static str>,
    /// Bytes of its value on the wire.
    pub bytes: u8,
    /// Bits of its value that count.
    pub bits: u16,
    /// Where it lives in a key; nowhere, if that is for the key to say ([`Field::option`]): it has no bits then.
    pub slot: Slot,
    /// May be matched under an arbitrary mask.
    pub maskable: bool,
    /// What must be matched beside it.
    pub prereq: Prereq,
    /// May be changed by actions.
    pub writable: bool,
    /// Its text form.
    pub format: Format,
    /// Its numbers, NXM's before OXM's.
    pub headers: &'static [OxmHeader],
    /// In OpenFlow 1.0's match.
    pub of10: Of1x,
    /// In OpenFlow 1.1's match.
    pub of11: Of1x,
    /// Protocols usable for an exact match.
    pub exact: Usable,
    /// Protocols usable under a prefix mask.
    pub cidr: Usable,
    /// Protocols usable under any other mask.
    pub bitwise: Usable,
}

impl Field {
    /// What is known of the field.
    pub fn def(self) -> &'static FieldDef {
        let [first, ..] = &FIELDS;
        FIELDS.get(self as usize).unwrap_or(first)
    }

    /// The number of a field of tunnel metadata, which has a place of its own in each key ([`crate::tun_metadata`]).
    pub const fn option(self) -> Option<u8> {
        (self as u8).checked_sub(Field::TunMetadata0 as u8)
    }

    /// The field of tunnel metadata with this number.
    pub fn of_option(n: u8) -> Option<Field> {
        FIELDS.get(Field::TunMetadata0 as usize + usize::from(n)).map(|def| def.field)
    }

    /// Every field, in the order in which flows print them.
    pub fn all() -> impl Iterator<Item = &'static FieldDef> {
        FIELDS.iter()
    }

    /// The field called `name` in text, or in a specification (`NXM_OF_IP_SRC`).
    pub fn by_name(name: &str) -> Option<&'static FieldDef> {
        FIELDS
            .iter()
            .find(|f| f.name == name || f.alias == Some(name) || f.headers.iter().any(|h| h.name == name))
    }

    /// The field with an NXM or OXM number; the has-mask bit and the length are not looked at.
    pub fn by_header(header: u32, experimenter: u32) -> Option<&'static FieldDef> {
        FIELDS.iter().find(|f| {
            f.headers.iter().any(|h| h.header >> 9 == header >> 9 && h.experimenter == experimenter)
        })
    }
}

const fn xreg(n: u8) -> Slot {
    Slot { word: slot::reg0.word + n, shift: 0, bits: 64 }
}

const fn xxreg(n: u8) -> Slot {
    Slot { word: slot::reg0.word + 2 * n, shift: 0, bits: 128 }
}

macro_rules! fields {
    ($($variant:ident $name:literal $alias:expr, $bytes:literal/$bits:literal at $slot:expr, $mask:literal $rw:literal
       $prereq:ident $format:ident [$($hname:literal $header:literal $exp:literal $since:literal),*]
       $of10:ident $of11:ident $e:ident $c:ident $b:ident;)+
     => $($option:ident $oname:literal $ohname:literal $oheader:literal;)+) => {
        /// A match field (ovs-fields(7)).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
            $(#[doc = concat!("`", $oname, "`")] $option,)+
        }

        static FIELDS: [FieldDef; [$(Field::$variant,)+ $(Field::$option),+].len()] = [$(FieldDef {
            field: Field::$variant, name: $name, alias: $alias, bytes: $bytes, bits: $bits, slot: $slot,
            maskable: $mask, prereq: Prereq::$prereq, writable: $rw, format: Format::$format,
            headers: &[$(OxmHeader { name: $hname, header: $header, experimenter: $exp, since: $since }),*],
            of10: Of1x::$of10, of11: Of1x::$of11,
            exact: Usable::$e, cidr: Usable::$c, bitwise: Usable::$b,
        },)+ $(FieldDef {
            field: Field::$option, name: $oname, alias: None, bytes: 124, bits: 992, slot: NOWHERE,
            maskable: true, prereq: Prereq::None, writable: true, format: Format::Hexadecimal,
            headers: &[OxmHeader { name: $ohname, header: $oheader, experimenter: 0, since: 0 }],
            of10: Of1x::No, of11: Of1x::No,
            exact: Usable::NxmOxm, cidr: Usable::NxmOxm, bitwise: Usable::NxmOxm,
        }),+];
    };
}

#[rustfmt::skip]
fields! {
    DpHash "dp_hash" None, 4/32 at slot::dp_hash, true false
        None Hexadecimal ["NXM_NX_DP_HASH" 0x00014604 0x0 0, "NXOXM_ET_DP_HASH" 0xffff0008 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    RecircId "recirc_id" None, 4/32 at slot::recirc_id, false false
        None Decimal ["NXM_NX_RECIRC_ID" 0x00014804 0x0 0]
        No No NxmOxm Never Never;
    PacketType "packet_type" None, 4/32 at slot::packet_type, false false
        None PacketType ["OXM_OF_PACKET_TYPE" 0x80005804 0x0 6]
        No No NxmOxm Never Never;
    ConjId "conj_id" None, 4/32 at slot::conj_id, false false
        None Decimal ["NXM_NX_CONJ_ID" 0x00014a04 0x0 0]
        No No NxmOxm Never Never;
    TunId "tun_id" Some("tunnel_id"), 8/64 at slot::tun_id, true true
        None Hexadecimal ["NXM_NX_TUN_ID" 0x00012008 0x0 0, "OXM_OF_TUNNEL_ID" 0x80004c08 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    TunSrc "tun_src" None, 4/32 at slot::tun_src, true true
        None Ipv4 ["NXM_NX_TUN_IPV4_SRC" 0x00013e04 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunDst "tun_dst" None, 4/32 at slot::tun_dst, true true
        None Ipv4 ["NXM_NX_TUN_IPV4_DST" 0x00014004 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunIpv6Src "tun_ipv6_src" None, 16/128 at slot::tun_ipv6_src, true true
        None Ipv6 ["NXM_NX_TUN_IPV6_SRC" 0x0001da10 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunIpv6Dst "tun_ipv6_dst" None, 16/128 at slot::tun_ipv6_dst, true true
        None Ipv6 ["NXM_NX_TUN_IPV6_DST" 0x0001dc10 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunFlags "tun_flags" None, 2/1 at slot::tun_flags.part(3, 1), true true
        None TunnelFlags ["NXM_NX_TUN_FLAGS" 0x0001d002 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunTtl "tun_ttl" None, 1/8 at slot::tun_ttl, false false
        None Decimal []
        No No Never Never Never;
    TunTos "tun_tos" None, 1/8 at slot::tun_tos, false false
        None Decimal []
        No No Never Never Never;
    TunGbpId "tun_gbp_id" None, 2/16 at slot::tun_gbp_id, true true
        None Decimal ["NXM_NX_TUN_GBP_ID" 0x00014c02 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunGbpFlags "tun_gbp_flags" None, 1/8 at slot::tun_gbp_flags, true true
        None Hexadecimal ["NXM_NX_TUN_GBP_FLAGS" 0x00014e01 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunErspanIdx "tun_erspan_idx" None, 4/20 at slot::tun_erspan_idx, true true
        None Hexadecimal ["NXOXM_ET_ERSPAN_IDX" 0xffff1608 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunErspanVer "tun_erspan_ver" None, 1/4 at slot::tun_erspan_ver.low(4), true true
        None Decimal ["NXOXM_ET_ERSPAN_VER" 0xffff1805 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunErspanDir "tun_erspan_dir" None, 1/1 at slot::tun_erspan_dir, true true
        None Decimal ["NXOXM_ET_ERSPAN_DIR" 0xffff1a05 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunErspanHwid "tun_erspan_hwid" None, 1/6 at slot::tun_erspan_hwid, true true
        None Hexadecimal ["NXOXM_ET_ERSPAN_HWID" 0xffff1c05 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunGtpuFlags "tun_gtpu_flags" None, 1/8 at slot::tun_gtpu_flags, true false
        None Hexadecimal ["NXOXM_ET_GTPU_FLAGS" 0xffff1e05 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    TunGtpuMsgtype "tun_gtpu_msgtype" None, 1/8 at slot::tun_gtpu_msgtype, true false
        None Decimal ["NXOXM_ET_GTPU_MSGTYPE" 0xffff2005 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Metadata "metadata" None, 8/64 at slot::metadata, true true
        None Hexadecimal ["OXM_OF_METADATA" 0x80000408 0x0 3]
        No Bits NxmOf11Oxm NxmOf11Oxm NxmOf11Oxm;
    InPort "in_port" None, 2/16 at slot::in_port, false true
        None OfPort16 ["NXM_OF_IN_PORT" 0x00000002 0x0 0]
        Exact Exact Any Never Never;
    InPortOxm "in_port_oxm" None, 4/32 at slot::in_port, false true
        None OfPort ["OXM_OF_IN_PORT" 0x80000004 0x0 3]
        No Exact NxmOf11Oxm Never Never;
    ActsetOutput "actset_output" None, 4/32 at slot::actset_output, false false
        None OfPort ["ONFOXM_ET_ACTSET_OUTPUT" 0xffff5608 0x4f4e4600 4, "OXM_OF_ACTSET_OUTPUT" 0x80005604 0x0 6]
        No No NxmOxm Never Never;
    SkbPriority "skb_priority" None, 4/32 at slot::skb_priority, false false
        None Hexadecimal []
        No No Never Never Never;
    PktMark "pkt_mark" None, 4/32 at slot::pkt_mark, true true
        None Hexadecimal ["NXM_NX_PKT_MARK" 0x00014204 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    CtState "ct_state" None, 4/32 at slot::ct_state, true false
        None CtState ["NXM_NX_CT_STATE" 0x0001d204 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    CtZone "ct_zone" None, 2/16 at slot::ct_zone, false false
        None Hexadecimal ["NXM_NX_CT_ZONE" 0x0001d402 0x0 0]
        No No NxmOxm Never Never;
    CtMark "ct_mark" None, 4/32 at slot::ct_mark, true true
        None Hexadecimal ["NXM_NX_CT_MARK" 0x0001d604 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    CtLabel "ct_label" None, 16/128 at slot::ct_label, true true
        None Hexadecimal ["NXM_NX_CT_LABEL" 0x0001d810 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    CtNwProto "ct_nw_proto" None, 1/8 at slot::ct_nw_proto, false false
        Ct Decimal ["NXM_NX_CT_NW_PROTO" 0x0001ee01 0x0 0]
        No No NxmOxm Never Never;
    CtNwSrc "ct_nw_src" None, 4/32 at slot::ct_nw_src, true false
        Ct Ipv4 ["NXM_NX_CT_NW_SRC" 0x0001f004 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    CtNwDst "ct_nw_dst" None, 4/32 at slot::ct_nw_dst, true false
        Ct Ipv4 ["NXM_NX_CT_NW_DST" 0x0001f204 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    CtIpv6Src "ct_ipv6_src" None, 16/128 at slot::ct_ipv6_src, true false
        Ct Ipv6 ["NXM_NX_CT_IPV6_SRC" 0x0001f410 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    CtIpv6Dst "ct_ipv6_dst" None, 16/128 at slot::ct_ipv6_dst, true false
        Ct Ipv6 ["NXM_NX_CT_IPV6_DST" 0x0001f610 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    CtTpSrc "ct_tp_src" None, 2/16 at slot::ct_tp_src, true false
        Ct Decimal ["NXM_NX_CT_TP_SRC" 0x0001f802 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    CtTpDst "ct_tp_dst" None, 2/16 at slot::ct_tp_dst, true false
        Ct Decimal ["NXM_NX_CT_TP_DST" 0x0001fa02 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg0 "reg0" None, 4/32 at slot::reg0, true true
        None Hexadecimal ["NXM_NX_REG0" 0x00010004 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg1 "reg1" None, 4/32 at slot::reg1, true true
        None Hexadecimal ["NXM_NX_REG1" 0x00010204 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg2 "reg2" None, 4/32 at slot::reg2, true true
        None Hexadecimal ["NXM_NX_REG2" 0x00010404 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg3 "reg3" None, 4/32 at slot::reg3, true true
        None Hexadecimal ["NXM_NX_REG3" 0x00010604 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg4 "reg4" None, 4/32 at slot::reg4, true true
        None Hexadecimal ["NXM_NX_REG4" 0x00010804 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg5 "reg5" None, 4/32 at slot::reg5, true true
        None Hexadecimal ["NXM_NX_REG5" 0x00010a04 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg6 "reg6" None, 4/32 at slot::reg6, true true
        None Hexadecimal ["NXM_NX_REG6" 0x00010c04 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg7 "reg7" None, 4/32 at slot::reg7, true true
        None Hexadecimal ["NXM_NX_REG7" 0x00010e04 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg8 "reg8" None, 4/32 at slot::reg8, true true
        None Hexadecimal ["NXM_NX_REG8" 0x00011004 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg9 "reg9" None, 4/32 at slot::reg9, true true
        None Hexadecimal ["NXM_NX_REG9" 0x00011204 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg10 "reg10" None, 4/32 at slot::reg10, true true
        None Hexadecimal ["NXM_NX_REG10" 0x00011404 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg11 "reg11" None, 4/32 at slot::reg11, true true
        None Hexadecimal ["NXM_NX_REG11" 0x00011604 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg12 "reg12" None, 4/32 at slot::reg12, true true
        None Hexadecimal ["NXM_NX_REG12" 0x00011804 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg13 "reg13" None, 4/32 at slot::reg13, true true
        None Hexadecimal ["NXM_NX_REG13" 0x00011a04 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg14 "reg14" None, 4/32 at slot::reg14, true true
        None Hexadecimal ["NXM_NX_REG14" 0x00011c04 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg15 "reg15" None, 4/32 at slot::reg15, true true
        None Hexadecimal ["NXM_NX_REG15" 0x00011e04 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg16 "reg16" None, 4/32 at slot::reg16, true true
        None Hexadecimal ["NXOXM_ET_REG16" 0xffff2208 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg17 "reg17" None, 4/32 at slot::reg17, true true
        None Hexadecimal ["NXOXM_ET_REG17" 0xffff2408 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg18 "reg18" None, 4/32 at slot::reg18, true true
        None Hexadecimal ["NXOXM_ET_REG18" 0xffff2608 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg19 "reg19" None, 4/32 at slot::reg19, true true
        None Hexadecimal ["NXOXM_ET_REG19" 0xffff2808 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg20 "reg20" None, 4/32 at slot::reg20, true true
        None Hexadecimal ["NXOXM_ET_REG20" 0xffff2a08 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg21 "reg21" None, 4/32 at slot::reg21, true true
        None Hexadecimal ["NXOXM_ET_REG21" 0xffff2c08 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg22 "reg22" None, 4/32 at slot::reg22, true true
        None Hexadecimal ["NXOXM_ET_REG22" 0xffff2e08 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg23 "reg23" None, 4/32 at slot::reg23, true true
        None Hexadecimal ["NXOXM_ET_REG23" 0xffff3008 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg24 "reg24" None, 4/32 at slot::reg24, true true
        None Hexadecimal ["NXOXM_ET_REG24" 0xffff3208 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg25 "reg25" None, 4/32 at slot::reg25, true true
        None Hexadecimal ["NXOXM_ET_REG25" 0xffff3408 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg26 "reg26" None, 4/32 at slot::reg26, true true
        None Hexadecimal ["NXOXM_ET_REG26" 0xffff3608 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg27 "reg27" None, 4/32 at slot::reg27, true true
        None Hexadecimal ["NXOXM_ET_REG27" 0xffff3808 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg28 "reg28" None, 4/32 at slot::reg28, true true
        None Hexadecimal ["NXOXM_ET_REG28" 0xffff3a08 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg29 "reg29" None, 4/32 at slot::reg29, true true
        None Hexadecimal ["NXOXM_ET_REG29" 0xffff3c08 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg30 "reg30" None, 4/32 at slot::reg30, true true
        None Hexadecimal ["NXOXM_ET_REG30" 0xffff3e08 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Reg31 "reg31" None, 4/32 at slot::reg31, true true
        None Hexadecimal ["NXOXM_ET_REG31" 0xffff4008 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg0 "xreg0" None, 8/64 at xreg(0), true true
        None Hexadecimal ["OXM_OF_PKT_REG0" 0x80010008 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg1 "xreg1" None, 8/64 at xreg(1), true true
        None Hexadecimal ["OXM_OF_PKT_REG1" 0x80010208 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg2 "xreg2" None, 8/64 at xreg(2), true true
        None Hexadecimal ["OXM_OF_PKT_REG2" 0x80010408 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg3 "xreg3" None, 8/64 at xreg(3), true true
        None Hexadecimal ["OXM_OF_PKT_REG3" 0x80010608 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg4 "xreg4" None, 8/64 at xreg(4), true true
        None Hexadecimal ["OXM_OF_PKT_REG4" 0x80010808 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg5 "xreg5" None, 8/64 at xreg(5), true true
        None Hexadecimal ["OXM_OF_PKT_REG5" 0x80010a08 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg6 "xreg6" None, 8/64 at xreg(6), true true
        None Hexadecimal ["OXM_OF_PKT_REG6" 0x80010c08 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg7 "xreg7" None, 8/64 at xreg(7), true true
        None Hexadecimal ["OXM_OF_PKT_REG7" 0x80010e08 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg8 "xreg8" None, 8/64 at xreg(8), true true
        None Hexadecimal ["OXM_OF_PKT_REG8" 0x80011008 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg9 "xreg9" None, 8/64 at xreg(9), true true
        None Hexadecimal ["OXM_OF_PKT_REG9" 0x80011208 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg10 "xreg10" None, 8/64 at xreg(10), true true
        None Hexadecimal ["OXM_OF_PKT_REG10" 0x80011408 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg11 "xreg11" None, 8/64 at xreg(11), true true
        None Hexadecimal ["OXM_OF_PKT_REG11" 0x80011608 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg12 "xreg12" None, 8/64 at xreg(12), true true
        None Hexadecimal ["OXM_OF_PKT_REG12" 0x80011808 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg13 "xreg13" None, 8/64 at xreg(13), true true
        None Hexadecimal ["OXM_OF_PKT_REG13" 0x80011a08 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg14 "xreg14" None, 8/64 at xreg(14), true true
        None Hexadecimal ["OXM_OF_PKT_REG14" 0x80011c08 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xreg15 "xreg15" None, 8/64 at xreg(15), true true
        None Hexadecimal ["OXM_OF_PKT_REG15" 0x80011e08 0x0 4]
        No No NxmOxm NxmOxm NxmOxm;
    Xxreg0 "xxreg0" None, 16/128 at xxreg(0), true true
        None Hexadecimal ["NXM_NX_XXREG0" 0x0001de10 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Xxreg1 "xxreg1" None, 16/128 at xxreg(1), true true
        None Hexadecimal ["NXM_NX_XXREG1" 0x0001e010 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Xxreg2 "xxreg2" None, 16/128 at xxreg(2), true true
        None Hexadecimal ["NXM_NX_XXREG2" 0x0001e210 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Xxreg3 "xxreg3" None, 16/128 at xxreg(3), true true
        None Hexadecimal ["NXM_NX_XXREG3" 0x0001e410 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    Xxreg4 "xxreg4" None, 16/128 at xxreg(4), true true
        None Hexadecimal ["NXOXM_ET_XXREG4" 0xffff4214 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Xxreg5 "xxreg5" None, 16/128 at xxreg(5), true true
        None Hexadecimal ["NXOXM_ET_XXREG5" 0xffff4414 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Xxreg6 "xxreg6" None, 16/128 at xxreg(6), true true
        None Hexadecimal ["NXOXM_ET_XXREG6" 0xffff4614 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    Xxreg7 "xxreg7" None, 16/128 at xxreg(7), true true
        None Hexadecimal ["NXOXM_ET_XXREG7" 0xffff4814 0x2320 0]
        No No NxmOxm NxmOxm NxmOxm;
    EthSrc "eth_src" Some("dl_src"), 6/48 at slot::eth_src, true true
        Ethernet Ethernet ["NXM_OF_ETH_SRC" 0x00000406 0x0 0, "OXM_OF_ETH_SRC" 0x80000806 0x0 3]
        Exact Bits Any NxmOf11Oxm NxmOf11Oxm;
    EthDst "eth_dst" Some("dl_dst"), 6/48 at slot::eth_dst, true true
        Ethernet Ethernet ["NXM_OF_ETH_DST" 0x00000206 0x0 0, "OXM_OF_ETH_DST" 0x80000606 0x0 3]
        Exact Bits Any NxmOf11Oxm NxmOf11Oxm;
    EthType "eth_type" Some("dl_type"), 2/16 at slot::eth_type, false false
        Ethernet Hexadecimal ["NXM_OF_ETH_TYPE" 0x00000602 0x0 0, "OXM_OF_ETH_TYPE" 0x80000a02 0x0 3]
        Exact Exact Any Never Never;
    VlanTci "vlan_tci" None, 2/16 at slot::vlan_tci, true true
        Ethernet Hexadecimal ["NXM_OF_VLAN_TCI" 0x00000802 0x0 0]
        Exact Exact Any NxmOxm NxmOxm;
    DlVlan "dl_vlan" None, 2/12 at slot::vlan_tci.low(12), false true
        Ethernet Decimal []
        Exact Exact Any Never Never;
    VlanVid "vlan_vid" None, 2/12 at slot::vlan_tci.low(13), true true
        Ethernet Decimal ["OXM_OF_VLAN_VID" 0x80000c02 0x0 3]
        Exact Exact Any NxmOxm NxmOxm;
    DlVlanPcp "dl_vlan_pcp" None, 1/3 at slot::vlan_tci.part(13, 3), false true
        Ethernet Decimal []
        Exact Exact Any Never Never;
    VlanPcp "vlan_pcp" None, 1/3 at slot::vlan_tci.part(13, 3), false true
        VlanVid Decimal ["OXM_OF_VLAN_PCP" 0x80000e01 0x0 3]
        Exact Exact Any Never Never;
    MplsLabel "mpls_label" None, 4/20 at slot::mpls_lse0.part(12, 20), false true
        Mpls Decimal ["OXM_OF_MPLS_LABEL" 0x80004404 0x0 3]
        No Exact NxmOf11Oxm Never Never;
    MplsTc "mpls_tc" None, 1/3 at slot::mpls_lse0.part(9, 3), false true
        Mpls Decimal ["OXM_OF_MPLS_TC" 0x80004601 0x0 3]
        No Exact NxmOf11Oxm Never Never;
    MplsBos "mpls_bos" None, 1/1 at slot::mpls_lse0.part(8, 1), false false
        Mpls Decimal ["OXM_OF_MPLS_BOS" 0x80004801 0x0 4]
        No No NxmOxm Never Never;
    MplsTtl "mpls_ttl" None, 1/8 at slot::mpls_lse0.low(8), false true
        Mpls Decimal ["NXM_NX_MPLS_TTL" 0x00013c01 0x0 0]
        No No NxmOxm Never Never;
    IpSrc "ip_src" Some("nw_src"), 4/32 at slot::nw_src, true true
        Ipv4 Ipv4 ["NXM_OF_IP_SRC" 0x00000e04 0x0 0, "OXM_OF_IPV4_SRC" 0x80001604 0x0 3]
        Cidr Bits Any Any NxmOf11Oxm;
    IpDst "ip_dst" Some("nw_dst"), 4/32 at slot::nw_dst, true true
        Ipv4 Ipv4 ["NXM_OF_IP_DST" 0x00001004 0x0 0, "OXM_OF_IPV4_DST" 0x80001804 0x0 3]
        Cidr Bits Any Any NxmOf11Oxm;
    Ipv6Src "ipv6_src" None, 16/128 at slot::ipv6_src, true true
        Ipv6 Ipv6 ["NXM_NX_IPV6_SRC" 0x00012610 0x0 0, "OXM_OF_IPV6_SRC" 0x80003410 0x0 3]
        No No NxmOxm NxmOxm NxmOxm;
    Ipv6Dst "ipv6_dst" None, 16/128 at slot::ipv6_dst, true true
        Ipv6 Ipv6 ["NXM_NX_IPV6_DST" 0x00012810 0x0 0, "OXM_OF_IPV6_DST" 0x80003610 0x0 3]
        No No NxmOxm NxmOxm NxmOxm;
    Ipv6Label "ipv6_label" None, 4/20 at slot::ipv6_label.low(20), true true
        Ipv6 Hexadecimal ["NXM_NX_IPV6_LABEL" 0x00013604 0x0 0, "OXM_OF_IPV6_FLABEL" 0x80003804 0x0 3]
        No No NxmOxm NxmOxm NxmOxm;
    NwProto "nw_proto" Some("ip_proto"), 1/8 at slot::nw_proto, false false
        Ip Decimal ["NXM_OF_IP_PROTO" 0x00000c01 0x0 0, "OXM_OF_IP_PROTO" 0x80001401 0x0 3]
        Exact Exact Any Never Never;
    NwTos "nw_tos" None, 1/8 at slot::nw_tos, false true
        Ip Decimal ["NXM_OF_IP_TOS" 0x00000a01 0x0 0]
        Exact Exact Any Never Never;
    IpDscp "ip_dscp" None, 1/6 at slot::nw_tos.part(2, 6), false true
        Ip Decimal ["OXM_OF_IP_DSCP" 0x80001001 0x0 3]
        Exact Exact Any Never Never;
    NwEcn "nw_ecn" Some("ip_ecn"), 1/2 at slot::nw_tos.low(2), false true
        Ip Decimal ["NXM_NX_IP_ECN" 0x00013801 0x0 0, "OXM_OF_IP_ECN" 0x80001201 0x0 3]
        No Exact NxmOf11Oxm Never Never;
    NwTtl "nw_ttl" None, 1/8 at slot::nw_ttl, false true
        Ip Decimal ["NXM_NX_IP_TTL" 0x00013a01 0x0 0]
        No No NxmOxm Never Never;
    IpFrag "ip_frag" Some("nw_frag"), 1/2 at slot::nw_frag.low(2), true false
        Ip Frag ["NXM_NX_IP_FRAG" 0x00013401 0x0 0]
        No No NxmOxm NxmOxm NxmOxm;
    ArpOp "arp_op" None, 2/16 at slot::nw_proto, false true
        Arp Decimal ["NXM_OF_ARP_OP" 0x00001e02 0x0 0, "OXM_OF_ARP_OP" 0x80002a02 0x0 3]
        Exact Exact Any Never Never;
    ArpSpa "arp_spa" None, 4/32 at slot::nw_src, true true
        Arp Ipv4 ["NXM_OF_ARP_SPA" 0x00002004 0x0 0, "OXM_OF_ARP_SPA" 0x80002c04 0x0 3]
        Cidr Bits Any Any NxmOf11Oxm;
    ArpTpa "arp_tpa" None, 4/32 at slot::nw_dst, true true
        Arp Ipv4 ["NXM_OF_ARP_TPA" 0x00002204 0x0 0, "OXM_OF_ARP_TPA" 0x80002e04 0x0 3]
        Cidr Bits Any Any NxmOf11Oxm;
    ArpSha "arp_sha" None, 6/48 at slot::arp_sha, true true
        Arp Ethernet ["NXM_NX_ARP_SHA" 0x00012206 0x0 0, "OXM_OF_ARP_SHA" 0x80003006 0x0 3]
        No No NxmOxm NxmOxm NxmOxm;
    ArpTha "arp_tha" None, 6/48 at slot::arp_tha, true true
        Arp Ethernet ["NXM_NX_ARP_THA" 0x00012406 0x0 0, "OXM_OF_ARP_THA" 0x80003206 0x0 3]
        No No NxmOxm NxmOxm NxmOxm;
    TcpSrc "tcp_src" Some("tp_src"), 2/16 at slot::tp_src, true true
        Tcp Decimal ["NXM_OF_TCP_SRC" 0x00001202 0x0 0, "OXM_OF_TCP_SRC" 0x80001a02 0x0 3]
        Exact Exact Any NxmOxm NxmOxm;
    TcpDst "tcp_dst" Some("tp_dst"), 2/16 at slot::tp_dst, true true
        Tcp Decimal ["NXM_OF_TCP_DST" 0x00001402 0x0 0, "OXM_OF_TCP_DST" 0x80001c02 0x0 3]
        Exact Exact Any NxmOxm NxmOxm;
    TcpFlags "tcp_flags" None, 2/12 at slot::tcp_flags.low(12), true false
        Tcp TcpFlags ["NXM_NX_TCP_FLAGS" 0x00014402 0x0 0, "ONFOXM_ET_TCP_FLAGS" 0xffff5406 0x4f4e4600 4, "OXM_OF_TCP_FLAGS" 0x80005402 0x0 6]
        No No NxmOxm NxmOxm NxmOxm;
    UdpSrc "udp_src" None, 2/16 at slot::tp_src, true true
        Udp Decimal ["NXM_OF_UDP_SRC" 0x00001602 0x0 0, "OXM_OF_UDP_SRC" 0x80001e02 0x0 3]
        Exact Exact Any NxmOxm NxmOxm;
    UdpDst "udp_dst" None, 2/16 at slot::tp_dst, true true
        Udp Decimal ["NXM_OF_UDP_DST" 0x00001802 0x0 0, "OXM_OF_UDP_DST" 0x80002002 0x0 3]
        Exact Exact Any NxmOxm NxmOxm;
    SctpSrc "sctp_src" None, 2/16 at slot::tp_src, true true
        Sctp Decimal ["OXM_OF_SCTP_SRC" 0x80002202 0x0 3]
        No Exact NxmOf11Oxm NxmOxm NxmOxm;
    SctpDst "sctp_dst" None, 2/16 at slot::tp_dst, true true
        Sctp Decimal ["OXM_OF_SCTP_DST" 0x80002402 0x0 3]
        No Exact NxmOf11Oxm NxmOxm NxmOxm;
    IcmpType "icmp_type" None, 1/8 at slot::tp_src.low(8), false true
        Icmpv4 Decimal ["NXM_OF_ICMP_TYPE" 0x00001a01 0x0 0, "OXM_OF_ICMPV4_TYPE" 0x80002601 0x0 3]
        Exact Exact Any Never Never;
    IcmpCode "icmp_code" None, 1/8 at slot::tp_dst.low(8), false true
        Icmpv4 Decimal ["NXM_OF_ICMP_CODE" 0x00001c01 0x0 0, "OXM_OF_ICMPV4_CODE" 0x80002801 0x0 3]
        Exact Exact Any Never Never;
    Icmpv6Type "icmpv6_type" None, 1/8 at slot::tp_src.low(8), false true
        Icmpv6 Decimal ["NXM_NX_ICMPV6_TYPE" 0x00012a01 0x0 0, "OXM_OF_ICMPV6_TYPE" 0x80003a01 0x0 3]
        No No NxmOxm Never Never;
    Icmpv6Code "icmpv6_code" None, 1/8 at slot::tp_dst.low(8), false true
        Icmpv6 Decimal ["NXM_NX_ICMPV6_CODE" 0x00012c01 0x0 0, "OXM_OF_ICMPV6_CODE" 0x80003c01 0x0 3]
        No No NxmOxm Never Never;
    NdTarget "nd_target" None, 16/128 at slot::nd_target, true true
        Nd Ipv6 ["NXM_NX_ND_TARGET" 0x00012e10 0x0 0, "OXM_OF_IPV6_ND_TARGET" 0x80003e10 0x0 3]
        No No NxmOxm NxmOxm NxmOxm;
    NdSll "nd_sll" None, 6/48 at slot::arp_sha, true true
        NdSolicit Ethernet ["NXM_NX_ND_SLL" 0x00013006 0x0 0, "OXM_OF_IPV6_ND_SLL" 0x80004006 0x0 3]
        No No NxmOxm NxmOxm NxmOxm;
    NdTll "nd_tll" None, 6/48 at slot::arp_tha, true true
        NdAdvert Ethernet ["NXM_NX_ND_TLL" 0x00013206 0x0 0, "OXM_OF_IPV6_ND_TLL" 0x80004206 0x0 3]
        No No NxmOxm NxmOxm NxmOxm;
    NdReserved "nd_reserved" None, 4/32 at slot::nd_reserved, false true
        Nd Decimal ["ERICOXM_OF_ICMPV6_ND_RESERVED" 0x10000204 0x0 0]
        No No NxmOxm Never Never;
    NdOptionsType "nd_options_type" None, 1/8 at slot::nd_options_type, false true
        Nd Decimal ["ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE" 0x10000401 0x0 0]
        No No NxmOxm Never Never;
    NshFlags "nsh_flags" None, 1/8 at slot::nsh_flags, true true
        Nsh Decimal ["NXOXM_NSH_FLAGS" 0xffff0205 0x5ad650 0]
        No No NxmOxm NxmOxm NxmOxm;
    NshMdtype "nsh_mdtype" None, 1/8 at slot::nsh_mdtype, false false
        Nsh Decimal ["NXOXM_NSH_MDTYPE" 0xffff0405 0x5ad650 0]
        No No NxmOxm Never Never;
    NshNp "nsh_np" None, 1/8 at slot::nsh_np, false false
        Nsh Decimal ["NXOXM_NSH_NP" 0xffff0605 0x5ad650 0]
        No No NxmOxm Never Never;
    NshSpi "nsh_spi" Some("nsp"), 4/24 at slot::nsh_spi, false true
        Nsh Hexadecimal ["NXOXM_NSH_SPI" 0xffff0808 0x5ad650 0]
        No No NxmOxm Never Never;
    NshSi "nsh_si" Some("nsi"), 1/8 at slot::nsh_si, false true
        Nsh Decimal ["NXOXM_NSH_SI" 0xffff0a05 0x5ad650 0]
        No No NxmOxm Never Never;
    NshC1 "nsh_c1" Some("nshc1"), 4/32 at slot::nsh_c1, true true
        Nsh Hexadecimal ["NXOXM_NSH_C1" 0xffff0c08 0x5ad650 0]
        No No NxmOxm NxmOxm NxmOxm;
    NshC2 "nsh_c2" Some("nshc2"), 4/32 at slot::nsh_c2, true true
        Nsh Hexadecimal ["NXOXM_NSH_C2" 0xffff0e08 0x5ad650 0]
        No No NxmOxm NxmOxm NxmOxm;
    NshC3 "nsh_c3" Some("nshc3"), 4/32 at slot::nsh_c3, true true
        Nsh Hexadecimal ["NXOXM_NSH_C3" 0xffff1008 0x5ad650 0]
        No No NxmOxm NxmOxm NxmOxm;
    NshC4 "nsh_c4" Some("nshc4"), 4/32 at slot::nsh_c4, true true
        Nsh Hexadecimal ["NXOXM_NSH_C4" 0xffff1208 0x5ad650 0]
        No No NxmOxm NxmOxm NxmOxm;
    NshTtl "nsh_ttl" None, 1/8 at slot::nsh_ttl, false true
        Nsh Decimal ["NXOXM_NSH_TTL" 0xffff1405 0x5ad650 0]
        No No NxmOxm Never Never;
    =>
    TunMetadata0 "tun_metadata0" "NXM_NX_TUN_METADATA0" 0x0001507c;
    TunMetadata1 "tun_metadata1" "NXM_NX_TUN_METADATA1" 0x0001527c;
    TunMetadata2 "tun_metadata2" "NXM_NX_TUN_METADATA2" 0x0001547c;
    TunMetadata3 "tun_metadata3" "NXM_NX_TUN_METADATA3" 0x0001567c;
    TunMetadata4 "tun_metadata4" "NXM_NX_TUN_METADATA4" 0x0001587c;
    TunMetadata5 "tun_metadata5" "NXM_NX_TUN_METADATA5" 0x00015a7c;
    TunMetadata6 "tun_metadata6" "NXM_NX_TUN_METADATA6" 0x00015c7c;
    TunMetadata7 "tun_metadata7" "NXM_NX_TUN_METADATA7" 0x00015e7c;
    TunMetadata8 "tun_metadata8" "NXM_NX_TUN_METADATA8" 0x0001607c;
    TunMetadata9 "tun_metadata9" "NXM_NX_TUN_METADATA9" 0x0001627c;
    TunMetadata10 "tun_metadata10" "NXM_NX_TUN_METADATA10" 0x0001647c;
    TunMetadata11 "tun_metadata11" "NXM_NX_TUN_METADATA11" 0x0001667c;
    TunMetadata12 "tun_metadata12" "NXM_NX_TUN_METADATA12" 0x0001687c;
    TunMetadata13 "tun_metadata13" "NXM_NX_TUN_METADATA13" 0x00016a7c;
    TunMetadata14 "tun_metadata14" "NXM_NX_TUN_METADATA14" 0x00016c7c;
    TunMetadata15 "tun_metadata15" "NXM_NX_TUN_METADATA15" 0x00016e7c;
    TunMetadata16 "tun_metadata16" "NXM_NX_TUN_METADATA16" 0x0001707c;
    TunMetadata17 "tun_metadata17" "NXM_NX_TUN_METADATA17" 0x0001727c;
    TunMetadata18 "tun_metadata18" "NXM_NX_TUN_METADATA18" 0x0001747c;
    TunMetadata19 "tun_metadata19" "NXM_NX_TUN_METADATA19" 0x0001767c;
    TunMetadata20 "tun_metadata20" "NXM_NX_TUN_METADATA20" 0x0001787c;
    TunMetadata21 "tun_metadata21" "NXM_NX_TUN_METADATA21" 0x00017a7c;
    TunMetadata22 "tun_metadata22" "NXM_NX_TUN_METADATA22" 0x00017c7c;
    TunMetadata23 "tun_metadata23" "NXM_NX_TUN_METADATA23" 0x00017e7c;
    TunMetadata24 "tun_metadata24" "NXM_NX_TUN_METADATA24" 0x0001807c;
    TunMetadata25 "tun_metadata25" "NXM_NX_TUN_METADATA25" 0x0001827c;
    TunMetadata26 "tun_metadata26" "NXM_NX_TUN_METADATA26" 0x0001847c;
    TunMetadata27 "tun_metadata27" "NXM_NX_TUN_METADATA27" 0x0001867c;
    TunMetadata28 "tun_metadata28" "NXM_NX_TUN_METADATA28" 0x0001887c;
    TunMetadata29 "tun_metadata29" "NXM_NX_TUN_METADATA29" 0x00018a7c;
    TunMetadata30 "tun_metadata30" "NXM_NX_TUN_METADATA30" 0x00018c7c;
    TunMetadata31 "tun_metadata31" "NXM_NX_TUN_METADATA31" 0x00018e7c;
    TunMetadata32 "tun_metadata32" "NXM_NX_TUN_METADATA32" 0x0001907c;
    TunMetadata33 "tun_metadata33" "NXM_NX_TUN_METADATA33" 0x0001927c;
    TunMetadata34 "tun_metadata34" "NXM_NX_TUN_METADATA34" 0x0001947c;
    TunMetadata35 "tun_metadata35" "NXM_NX_TUN_METADATA35" 0x0001967c;
    TunMetadata36 "tun_metadata36" "NXM_NX_TUN_METADATA36" 0x0001987c;
    TunMetadata37 "tun_metadata37" "NXM_NX_TUN_METADATA37" 0x00019a7c;
    TunMetadata38 "tun_metadata38" "NXM_NX_TUN_METADATA38" 0x00019c7c;
    TunMetadata39 "tun_metadata39" "NXM_NX_TUN_METADATA39" 0x00019e7c;
    TunMetadata40 "tun_metadata40" "NXM_NX_TUN_METADATA40" 0x0001a07c;
    TunMetadata41 "tun_metadata41" "NXM_NX_TUN_METADATA41" 0x0001a27c;
    TunMetadata42 "tun_metadata42" "NXM_NX_TUN_METADATA42" 0x0001a47c;
    TunMetadata43 "tun_metadata43" "NXM_NX_TUN_METADATA43" 0x0001a67c;
    TunMetadata44 "tun_metadata44" "NXM_NX_TUN_METADATA44" 0x0001a87c;
    TunMetadata45 "tun_metadata45" "NXM_NX_TUN_METADATA45" 0x0001aa7c;
    TunMetadata46 "tun_metadata46" "NXM_NX_TUN_METADATA46" 0x0001ac7c;
    TunMetadata47 "tun_metadata47" "NXM_NX_TUN_METADATA47" 0x0001ae7c;
    TunMetadata48 "tun_metadata48" "NXM_NX_TUN_METADATA48" 0x0001b07c;
    TunMetadata49 "tun_metadata49" "NXM_NX_TUN_METADATA49" 0x0001b27c;
    TunMetadata50 "tun_metadata50" "NXM_NX_TUN_METADATA50" 0x0001b47c;
    TunMetadata51 "tun_metadata51" "NXM_NX_TUN_METADATA51" 0x0001b67c;
    TunMetadata52 "tun_metadata52" "NXM_NX_TUN_METADATA52" 0x0001b87c;
    TunMetadata53 "tun_metadata53" "NXM_NX_TUN_METADATA53" 0x0001ba7c;
    TunMetadata54 "tun_metadata54" "NXM_NX_TUN_METADATA54" 0x0001bc7c;
    TunMetadata55 "tun_metadata55" "NXM_NX_TUN_METADATA55" 0x0001be7c;
    TunMetadata56 "tun_metadata56" "NXM_NX_TUN_METADATA56" 0x0001c07c;
    TunMetadata57 "tun_metadata57" "NXM_NX_TUN_METADATA57" 0x0001c27c;
    TunMetadata58 "tun_metadata58" "NXM_NX_TUN_METADATA58" 0x0001c47c;
    TunMetadata59 "tun_metadata59" "NXM_NX_TUN_METADATA59" 0x0001c67c;
    TunMetadata60 "tun_metadata60" "NXM_NX_TUN_METADATA60" 0x0001c87c;
    TunMetadata61 "tun_metadata61" "NXM_NX_TUN_METADATA61" 0x0001ca7c;
    TunMetadata62 "tun_metadata62" "NXM_NX_TUN_METADATA62" 0x0001cc7c;
    TunMetadata63 "tun_metadata63" "NXM_NX_TUN_METADATA63" 0x0001ce7c;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_consistent() {
        for def in Field::all() {
            assert_eq!(Field::by_name(def.name).unwrap().field, def.field, "{}", def.name);
            assert_eq!(def.field.def().name, def.name);
            for h in def.headers {
                assert_eq!(
                    Field::by_header(h.header, h.experimenter).unwrap().field,
                    def.field,
                    "{}",
                    h.name
                );
                let payload = h.header & 0xff;
                let len = if h.experimenter != 0 { payload - 4 } else { payload };
                assert_eq!(len, u32::from(def.bytes), "{}", h.name);
            }
        }
        assert_eq!(Field::by_name("nw_src").unwrap().field, Field::IpSrc);
        assert_eq!(Field::by_name("NXM_NX_REG3").unwrap().field, Field::Reg3);
    }
}
