//! Matches: what packets a flow is for, on the wire of every version and in text.
//!
//! Where it sits: `flow::Match` is the form of the whole program; this module is its codecs.
//!
//! Every match that is decoded or parsed here requires a packet type: Ethernet, unless it says otherwise.

pub(crate) mod fixed;
pub mod oxm;
mod print;
mod read;

pub use print::format;
pub use read::{parse, parse_field, protocol_shorthand};

use flow::{Field, FlowKey, Match, slot, tun_metadata};
use wire::{bytes, eth};

use crate::{OfpError, Protocols, PutBytes, Version, field};
use fixed::{OF10_LEN, OF11_LEN};
use oxm::Numbering;

/// A cookie to be matched beside fields: `value` in the bits of `mask`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CookieMatch {
    /// The cookie.
    pub value: u64,
    /// Which bits of it matter; zero: none.
    pub mask: u64,
}

/// What to do with fields that are not known, and with missing prerequisites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// They are errors (flow mods).
    Strict,
    /// Unknown fields are skipped, prerequisites are not looked at (packet metadata, statistics).
    Loose,
}

/// Matches every Ethernet packet: what a match without fields means.
pub fn any() -> Match {
    let mut m = Match::ANY;
    m.set_exact(slot::packet_type, field::PT_ETH.into());
    m
}

/// Requires of `m` the tunnel metadata that `key` has.
pub fn with_options(m: &mut Match, key: &FlowKey) {
    for place in tun_metadata::places(key).filter(|place| tun_metadata::is_present(key, *place)) {
        tun_metadata::assign_in_match(m, place);
        tun_metadata::look_at_value(place, &mut m.wc);
        tun_metadata::set_value(&mut m.key, place, tun_metadata::value(key, place));
    }
}

/// Decodes Nicira's extended match: bare entries, without padding.
pub fn decode_nxm(bytes: &[u8], strictness: Strictness) -> Result<(Match, CookieMatch), OfpError> {
    oxm::decode(bytes, strictness)
}

/// Decodes the match of OpenFlow 1.1 and later at the start of `data`: the match and how many bytes it takes, padding
/// included.
pub fn decode(data: &[u8], version: Version, strictness: Strictness) -> Result<(Match, usize), OfpError> {
    let header = bytes::u16_at(data, 0).zip(bytes::u16_at(data, 2));
    let (kind, len) = header.ok_or(OfpError::OFPBMC_BAD_LEN)?;
    let len = usize::from(len);
    match kind {
        // Its length is looked at in every version.
        0 if version == Version::V11 || len != OF11_LEN || data.len() < OF11_LEN => {
            let fixed = data.first_chunk::<OF11_LEN>().filter(|_| len == OF11_LEN);
            let m = fixed::decode_of11(fixed.ok_or(OfpError::OFPBMC_BAD_LEN)?)?;
            Ok((m, OF11_LEN))
        }
        1 if version >= Version::V11 => {
            let padded = len.next_multiple_of(8);
            let body = data.get(4..len).filter(|_| data.len() >= padded).ok_or(OfpError::OFPBMC_BAD_LEN)?;
            let (m, cookie) = oxm::decode(body, strictness)?;
            if cookie.mask != 0 {
                return Err(OfpError::NXBRC_NXM_INVALID);
            }
            Ok((m, padded))
        }
        _ => Err(OfpError::OFPBMC_BAD_TYPE),
    }
}

/// Appends Nicira's extended match, padded to 8 bytes; returns its length without the padding.
pub fn encode_nxm(m: &Match, cookie: CookieMatch, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    oxm::encode(m, cookie, Numbering::Nxm, out);
    let len = out.len() - start;
    out.pad8(start);
    len
}

/// Appends the match of OpenFlow 1.1 or later, padded; returns its length without the padding.
pub fn encode(m: &Match, version: Version, out: &mut Vec<u8>) -> usize {
    if version <= Version::V11 {
        fixed::encode_of11(m, out);
        return OF11_LEN;
    }
    let start = out.len();
    out.put_u16(1);
    out.put_u16(0);
    oxm::encode(m, CookieMatch::default(), Numbering::Oxm(version), out);
    let len = out.len() - start;
    out.set_u16(start + 2, len as u16);
    out.pad8(start);
    len
}

/// Decodes OpenFlow 1.0's match.
pub fn decode_of10(bytes: &[u8; OF10_LEN]) -> Match {
    fixed::decode_of10(bytes)
}

/// OpenFlow 1.0's match; what it cannot say is left out.
pub fn encode_of10(m: &Match) -> [u8; OF10_LEN] {
    fixed::encode_of10(m)
}

/// The protocols that can carry the match.
pub fn usable_protocols(m: &Match) -> Protocols {
    let mut usable = Protocols::ANY;
    for def in Field::all() {
        let (value, mask) = field::get_masked(def.field, m);
        let default = def.field == Field::PacketType && value.is_empty();
        // A place with several names counts as the field whose prerequisites hold; registers by their single names.
        let alias = (Field::Xreg0..=Field::Xxreg7).contains(&def.field)
            || matches!(def.field, Field::InPortOxm | Field::IpDscp | Field::VlanTci);
        if mask.is_empty() || default || alias || !field::prereqs_ok(def.field, m) {
            continue;
        }
        if matches!(def.field, Field::DlVlan | Field::VlanVid | Field::DlVlanPcp | Field::VlanPcp) {
            continue;
        }
        usable &= field::usable(def.field, &mask);
    }
    usable & usable_vlan(m) & crate::text::flow::usable_in_ipv6(m)
}

fn usable_vlan(m: &Match) -> Protocols {
    let mask = m.wc.vlan_tci();
    let whole = |part: u16| mask & part == 0 || mask & part == part;
    if whole(eth::VLAN_VID_MASK) && whole(eth::VLAN_PCP_MASK) && mask != eth::VLAN_CFI {
        Protocols::ANY
    } else if mask == eth::VLAN_CFI && m.key.vlan_tci() & eth::VLAN_CFI != 0 {
        Protocols::NXM_OXM_ANY | Protocols::OF11_STD
    } else {
        Protocols::NXM_OXM_ANY
    }
}

/// Drops from a match what its own fields say cannot be there (`tp_src` without `nw_proto`), as a switch does with
/// what it receives.
pub fn normalize(m: &mut Match) {
    let ty = field::eth_type(m);
    let (v4, v6) = (ty == eth::TYPE_IPV4, ty == eth::TYPE_IPV6);
    let arp = matches!(ty, eth::TYPE_ARP | eth::TYPE_RARP);
    let proto = m.key.nw_proto();
    let ports = (v4 || v6) && matches!(proto, 6 | 17 | 132) || v4 && proto == 1 || v6 && proto == 58;
    let nd = v6 && proto == 58 && matches!(m.key.tp_src(), 135 | 136);
    let keep: [(bool, &[flow::Slot]); 12] = [
        (v4 || arp, &[slot::nw_src, slot::nw_dst]),
        (v4 || v6 || arp, &[slot::nw_proto]),
        (v4 || v6, &[slot::nw_tos, slot::nw_ttl, slot::nw_frag]),
        (v6, &[slot::ipv6_src, slot::ipv6_dst, slot::ipv6_label]),
        (ports, &[slot::tp_src, slot::tp_dst]),
        ((v4 || v6) && proto == 6, &[slot::tcp_flags]),
        (nd, &[slot::nd_target, slot::nd_reserved, slot::nd_options_type]),
        (arp || nd && m.key.tp_src() == 135, &[slot::arp_sha]),
        (arp || nd && m.key.tp_src() == 136, &[slot::arp_tha]),
        (eth::is_mpls(ty), &[slot::mpls_lse0, slot::mpls_lse1, slot::mpls_lse2]),
        (ty == eth::TYPE_NSH, &slot::NSH),
        (v4 && proto == 2, &[slot::igmp_group]),
    ];
    for (kept, slots) in keep {
        for place in slots.iter().filter(|_| !kept) {
            m.wc.set(*place, 0);
            m.key.set(*place, 0);
        }
    }
}

#[cfg(test)]
mod tests;
