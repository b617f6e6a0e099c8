//! The fixed matches of OpenFlow 1.0 (40 bytes) and 1.1 (88 bytes).
//!
//! Where it sits: flow mods and statistics of those versions. What a fixed match cannot say is left out when encoding:
//! whoever chose the protocol knew ([`super::usable_protocols`]).
//!
//! ~~~text
//! 1.0  be32 wildcards · be16 in_port · dl_src · dl_dst · be16 vlan · pcp · pad · be16 type · tos · proto · pad[2] ·
//!      be32 src · be32 dst · be16 tp_src · be16 tp_dst
//! 1.1  be16 type 0 · be16 length 88 · be32 in_port · be32 wildcards · dl_src, mask · dl_dst, mask · be16 vlan · pcp ·
//!      pad · be16 type · tos · proto · src, mask · dst, mask · ports · be32 label · tc · pad[3] · metadata, mask
//! ~~~
//!
//! Masks of addresses are inverted in 1.1: ones are ignored. Spec: OpenFlow 1.0.0 section 5.2.3, 1.1.0 section A.2.3.

use flow::{Field, Match, slot};
use wire::eth::{self, VLAN_CFI, VLAN_PCP_MASK, VLAN_VID_MASK};
use wire::{EthAddr, bytes};

use crate::{OfpError, OfpPort, PutBytes, field};

/// Bytes of OpenFlow 1.0's match.
pub const OF10_LEN: usize = 40;
/// Bytes of OpenFlow 1.1's match.
pub const OF11_LEN: usize = 88;

/// Wildcard bits of OpenFlow 1.0.
mod fw10 {
    pub const IN_PORT: u32 = 1;
    pub const DL_VLAN: u32 = 1 << 1;
    pub const DL_SRC: u32 = 1 << 2;
    pub const DL_DST: u32 = 1 << 3;
    pub const DL_TYPE: u32 = 1 << 4;
    pub const NW_PROTO: u32 = 1 << 5;
    pub const TP_SRC: u32 = 1 << 6;
    pub const TP_DST: u32 = 1 << 7;
    pub const NW_SRC_SHIFT: u32 = 8;
    pub const NW_DST_SHIFT: u32 = 14;
    pub const DL_VLAN_PCP: u32 = 1 << 20;
    pub const NW_TOS: u32 = 1 << 21;
}

/// Wildcard bits of OpenFlow 1.1.
mod fw11 {
    pub const IN_PORT: u32 = 1;
    pub const DL_VLAN: u32 = 1 << 1;
    pub const DL_VLAN_PCP: u32 = 1 << 2;
    pub const DL_TYPE: u32 = 1 << 3;
    pub const NW_TOS: u32 = 1 << 4;
    pub const NW_PROTO: u32 = 1 << 5;
    pub const TP_SRC: u32 = 1 << 6;
    pub const TP_DST: u32 = 1 << 7;
    pub const MPLS_LABEL: u32 = 1 << 8;
    pub const MPLS_TC: u32 = 1 << 9;
}

/// VLAN number of untagged packets, in both versions.
const VLAN_NONE: u16 = 0xffff;
/// VLAN number of packets with any tag, in 1.1.
const VLAN_ANY: u16 = 0xfffe;

/// The mask of an IPv4 address of which the low `ignored` bits are wild.
fn prefix_mask(ignored: u32) -> u32 {
    u32::MAX.checked_shl(ignored & 0x3f).unwrap_or(0)
}

/// Decodes OpenFlow 1.0's match.
pub fn decode_of10(b: &[u8; OF10_LEN]) -> Match {
    let mut m = super::any();
    let u16_at = |off| bytes::u16_at(b, off).unwrap_or(0);
    let u32_at = |off| bytes::u32_at(b, off).unwrap_or(0);
    let wild = u32_at(0);
    let exact = |bit: u32| wild & bit == 0;
    if exact(fw10::IN_PORT) {
        m.set_exact(slot::in_port, OfpPort::from_of10(u16_at(4)).0.into());
    }
    let addr = |off| bytes::array(b, off).map_or(0, |a| EthAddr(a).to_u64().into());
    if exact(fw10::DL_SRC) {
        m.set_exact(slot::eth_src, addr(6));
    }
    if exact(fw10::DL_DST) {
        m.set_exact(slot::eth_dst, addr(12));
    }
    let (vlan, pcp) = (u16_at(18), b[20]);
    if exact(fw10::DL_VLAN) && vlan == VLAN_NONE {
        // Whatever the priority: there is no tag to have one.
        m.set_exact(slot::vlan_tci, 0);
    } else {
        if exact(fw10::DL_VLAN) {
            field::set_match(Field::DlVlan, &mut m, vlan & VLAN_VID_MASK, u16::MAX);
        }
        if exact(fw10::DL_VLAN_PCP) {
            field::set_match(Field::DlVlanPcp, &mut m, pcp & 7, u8::MAX);
        }
    }
    if exact(fw10::DL_TYPE) {
        m.set_exact(slot::eth_type, u16_at(22).into());
    }
    if exact(fw10::NW_TOS) {
        field::set_match(Field::NwTos, &mut m, b[24] & 0xfc, u8::MAX);
    }
    if exact(fw10::NW_PROTO) {
        m.set_exact(slot::nw_proto, b[25].into());
    }
    m.set_masked(slot::nw_src, u32_at(28).into(), prefix_mask(wild >> fw10::NW_SRC_SHIFT).into());
    m.set_masked(slot::nw_dst, u32_at(32).into(), prefix_mask(wild >> fw10::NW_DST_SHIFT).into());
    if exact(fw10::TP_SRC) {
        m.set_exact(slot::tp_src, u16_at(36).into());
    }
    if exact(fw10::TP_DST) {
        m.set_exact(slot::tp_dst, u16_at(38).into());
    }
    m
}

/// OpenFlow 1.0's VLAN, priority, and the wildcard bits of both.
fn vlan_of10(m: &Match) -> (u16, u8, u32) {
    let (tci, mask) = (m.key.vlan_tci(), m.wc.vlan_tci());
    if mask & VLAN_CFI != 0 && tci & VLAN_CFI == 0 {
        return (VLAN_NONE, 0, 0);
    }
    let (mut vlan, mut pcp, mut wild) = (0, 0, 0);
    if mask & VLAN_VID_MASK != 0 {
        vlan = tci & VLAN_VID_MASK;
    } else {
        wild |= fw10::DL_VLAN;
    }
    if mask & VLAN_PCP_MASK != 0 {
        pcp = (tci >> 13) as u8;
    } else {
        wild |= fw10::DL_VLAN_PCP;
    }
    (vlan, pcp, wild)
}

/// OpenFlow 1.0's match.
pub fn encode_of10(m: &Match) -> [u8; OF10_LEN] {
    let wc = &m.wc;
    let mut wild = 0;
    let mut exact = |is_exact: bool, bit: u32| {
        wild |= if is_exact { 0 } else { bit };
        is_exact
    };
    let in_port = exact(wc.in_port() == u32::MAX, fw10::IN_PORT);
    let src = exact(wc.eth_src() == EthAddr::BROADCAST, fw10::DL_SRC);
    let dst = exact(wc.eth_dst() == EthAddr::BROADCAST, fw10::DL_DST);
    let dl_type = exact(wc.eth_type() == u16::MAX, fw10::DL_TYPE);
    let tos = exact(wc.nw_tos() & 0xfc == 0xfc, fw10::NW_TOS);
    let proto = exact(wc.nw_proto() == u8::MAX, fw10::NW_PROTO);
    let tp_src = exact(wc.tp_src() == u16::MAX, fw10::TP_SRC);
    let tp_dst = exact(wc.tp_dst() == u16::MAX, fw10::TP_DST);
    let (vlan, pcp, vlan_wild) = vlan_of10(m);
    wild |= vlan_wild;
    wild |= wc.nw_src().count_zeros() << fw10::NW_SRC_SHIFT;
    wild |= wc.nw_dst().count_zeros() << fw10::NW_DST_SHIFT;
    let key = &m.key;
    let mut out = Vec::with_capacity(OF10_LEN);
    out.put_u32(wild);
    out.put_u16(if in_port { OfpPort(key.in_port()).to_of10() } else { 0 });
    out.put_uint(if src { key.eth_src().to_u64().into() } else { 0 }, 6);
    out.put_uint(if dst { key.eth_dst().to_u64().into() } else { 0 }, 6);
    out.put_u16(vlan);
    out.put_u8(pcp);
    out.put_u8(0);
    out.put_u16(if dl_type { key.eth_type() } else { 0 });
    out.put_u8(if tos { key.nw_tos() & 0xfc } else { 0 });
    out.put_u8(if proto { key.nw_proto() } else { 0 });
    out.put_zeros(2);
    out.put_u32(key.nw_src());
    out.put_u32(key.nw_dst());
    out.put_u16(if tp_src { key.tp_src() } else { 0 });
    out.put_u16(if tp_dst { key.tp_dst() } else { 0 });
    out.first_chunk().copied().unwrap_or([0; OF10_LEN])
}

/// Decodes OpenFlow 1.1's match, which begins with its type and length.
pub fn decode_of11(b: &[u8; OF11_LEN]) -> Result<Match, OfpError> {
    let mut m = super::any();
    let u16_at = |off| bytes::u16_at(b, off).unwrap_or(0);
    let u32_at = |off| bytes::u32_at(b, off).unwrap_or(0);
    let u64_at = |off| bytes::u64_at(b, off).unwrap_or(0);
    let addr = |off| bytes::array(b, off).map_or(0, |a| EthAddr(a).to_u64().into());
    let wild = u32_at(8);
    if wild & fw11::IN_PORT == 0 {
        let port = OfpPort::from_of11(u32_at(4)).map_err(|_| OfpError::OFPBMC_BAD_VALUE)?;
        m.set_exact(slot::in_port, port.0.into());
    }
    let inverted = |off| -> u128 { !addr(off) & slot::eth_src.max() };
    m.set_masked(slot::eth_src, addr(12), inverted(18));
    m.set_masked(slot::eth_dst, addr(24), inverted(30));
    decode_vlan_of11(&mut m, wild, u16_at(36), b[38])?;
    if wild & fw11::DL_TYPE == 0 {
        m.set_exact(slot::eth_type, u16_at(40).into());
    }
    let ty = m.key.eth_type();
    let (ip, arp) = (ty == eth::TYPE_IPV4, matches!(ty, eth::TYPE_ARP | eth::TYPE_RARP));
    if ip && wild & fw11::NW_TOS == 0 {
        if b[42] & 3 != 0 {
            return Err(OfpError::OFPBMC_BAD_VALUE);
        }
        field::set_match(Field::NwTos, &mut m, b[42], u8::MAX);
    }
    if ip || arp {
        if wild & fw11::NW_PROTO == 0 {
            m.set_exact(slot::nw_proto, b[43].into());
        }
        m.set_masked(slot::nw_src, u32_at(44).into(), (!u32_at(48)).into());
        m.set_masked(slot::nw_dst, u32_at(52).into(), (!u32_at(56)).into());
    }
    if ip && wild & fw11::NW_PROTO == 0 {
        decode_ports_of11(&mut m, wild, u16_at(60), u16_at(62))?;
    }
    if eth::is_mpls(ty) {
        if wild & fw11::MPLS_LABEL == 0 {
            field::set_match(Field::MplsLabel, &mut m, u32_at(64) & 0xf_ffff, u32::MAX);
        }
        if wild & fw11::MPLS_TC == 0 {
            field::set_match(Field::MplsTc, &mut m, b[68] & 7, u8::MAX);
        }
    }
    m.set_masked(slot::metadata, u64_at(72).into(), (!u64_at(80)).into());
    Ok(m)
}

fn decode_vlan_of11(m: &mut Match, wild: u32, vlan: u16, pcp: u8) -> Result<(), OfpError> {
    if wild & fw11::DL_VLAN == 0 {
        match vlan {
            VLAN_NONE => {
                m.set_exact(slot::vlan_tci, 0);
                return Ok(());
            }
            VLAN_ANY => m.set_exact(slot::vlan_tci.part(12, 1), 1),
            0..=0xfff => {
                field::set_match(Field::DlVlan, m, vlan, u16::MAX);
            }
            _ => return Err(OfpError::OFPBMC_BAD_VALUE),
        }
        if wild & fw11::DL_VLAN_PCP == 0 {
            if pcp > 7 {
                return Err(OfpError::OFPBMC_BAD_VALUE);
            }
            field::set_match(Field::DlVlanPcp, m, pcp, u8::MAX);
        }
    }
    Ok(())
}

fn decode_ports_of11(m: &mut Match, wild: u32, src: u16, dst: u16) -> Result<(), OfpError> {
    let max = match m.key.nw_proto() {
        1 => 0xff,
        6 | 17 | 132 => 0xffff,
        // Other protocols have no ports to match.
        _ => return Ok(()),
    };
    for (bit, place, port) in [(fw11::TP_SRC, slot::tp_src, src), (fw11::TP_DST, slot::tp_dst, dst)] {
        if wild & bit == 0 {
            if port > max {
                return Err(OfpError::OFPBMC_BAD_FIELD);
            }
            m.set_exact(place, port.into());
        }
    }
    Ok(())
}

/// OpenFlow 1.1's VLAN, priority, and the wildcard bits of both.
fn vlan_of11(m: &Match) -> (u16, u8, u32) {
    let (tci, mask) = (m.key.vlan_tci(), m.wc.vlan_tci());
    if mask == 0 {
        return (0, 0, fw11::DL_VLAN | fw11::DL_VLAN_PCP);
    }
    if mask & VLAN_CFI != 0 && tci & VLAN_CFI == 0 {
        return (VLAN_NONE, 0, fw11::DL_VLAN_PCP);
    }
    let vlan = if mask & VLAN_VID_MASK != 0 { tci & VLAN_VID_MASK } else { VLAN_ANY };
    if mask & VLAN_PCP_MASK != 0 { (vlan, (tci >> 13) as u8, 0) } else { (vlan, 0, fw11::DL_VLAN_PCP) }
}

/// Appends OpenFlow 1.1's match.
pub fn encode_of11(m: &Match, out: &mut Vec<u8>) {
    let (key, wc) = (&m.key, &m.wc);
    let (vlan, pcp, mut wild) = vlan_of11(m);
    let mut exact = |is_exact: bool, bit: u32, value: u32| {
        wild |= if is_exact { 0 } else { bit };
        if is_exact { value } else { 0 }
    };
    let in_port = exact(wc.in_port() == u32::MAX, fw11::IN_PORT, key.in_port());
    let dl_type = exact(wc.eth_type() == u16::MAX, fw11::DL_TYPE, key.eth_type().into());
    let tos = exact(wc.nw_tos() & 0xfc == 0xfc, fw11::NW_TOS, (key.nw_tos() & 0xfc).into());
    let proto = exact(wc.nw_proto() == u8::MAX, fw11::NW_PROTO, key.nw_proto().into());
    let tp_src = exact(wc.tp_src() == u16::MAX, fw11::TP_SRC, key.tp_src().into());
    let tp_dst = exact(wc.tp_dst() == u16::MAX, fw11::TP_DST, key.tp_dst().into());
    let (label, label_mask) = field::get_masked(Field::MplsLabel, m);
    let label = exact(label_mask == 0xf_ffff, fw11::MPLS_LABEL, label.low() as u32);
    let (tc, tc_mask) = field::get_masked(Field::MplsTc, m);
    let tc = exact(tc_mask == 7, fw11::MPLS_TC, tc.low() as u32);
    out.put_u16(0);
    out.put_u16(OF11_LEN as u16);
    out.put_u32(in_port);
    out.put_u32(wild);
    for (value, mask) in [(key.eth_src(), wc.eth_src()), (key.eth_dst(), wc.eth_dst())] {
        out.put_uint(value.to_u64().into(), 6);
        out.put_uint((!mask.to_u64()).into(), 6);
    }
    out.put_u16(vlan);
    out.put_u8(pcp);
    out.put_u8(0);
    out.put_u16(dl_type as u16);
    out.put_u8(tos as u8);
    out.put_u8(proto as u8);
    for (value, mask) in [(key.nw_src(), wc.nw_src()), (key.nw_dst(), wc.nw_dst())] {
        out.put_u32(value);
        out.put_u32(!mask);
    }
    out.put_u16(tp_src as u16);
    out.put_u16(tp_dst as u16);
    out.put_u32(label);
    out.put_u8(tc as u8);
    out.put_zeros(3);
    out.put_u64(key.metadata());
    out.put_u64(!wc.metadata());
}
