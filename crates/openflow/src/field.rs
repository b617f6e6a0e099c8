//! Fields as OpenFlow carries them: values between a flow key and the wire, validity, prerequisites.
//!
//! Where it sits: above the registry in `flow`; below matches and actions, and used by translation to carry out
//! `set_field`, `move` and the stack.
//!
//! The wire's form of a field differs from the key's slot in a few cases, which are all here: `in_port` has 16 bits
//! in one of its two fields, `nw_tos` leaves the ECN bits out, `arp_op` has 16 bits, VLAN fields imply the presence
//! bit, ICMP's type and code fill the ports' slots. Fields of tunnel metadata are as wide as the key's place for them; a key
//! without one reads as zero.

use flow::{Field, FlowKey, Format, Match, Prereq, Usable, ct_state, slot, tun_metadata};
use wire::eth::{self, VLAN_CFI, VLAN_VID_MASK};

use crate::{OfpPort, Protocols};

/// Packet type of Ethernet.
pub const PT_ETH: u32 = 0;
/// Namespace of packet types that are Ethernet types.
pub const PT_NS_ETHERTYPE: u32 = 1;

const CFI: u128 = VLAN_CFI as u128;
const DSCP: u128 = 0xfc;

/// All-ones as wide as the field's value on the wire, without bits that it never has.
pub fn full_mask(field: Field) -> u128 {
    let def = field.def();
    match field {
        Field::NwTos => DSCP,
        Field::DlVlan => 0x0fff,
        Field::VlanVid => 0x1fff,
        _ if def.bits >= 128 => u128::MAX,
        _ => (1 << def.bits) - 1,
    }
}

/// All-ones of the field as actions see it.
pub fn action_mask(field: Field) -> u128 {
    if field == Field::NwTos { 0xff } else { full_mask(field) }
}

/// All-ones in every byte of the field.
pub fn byte_mask(field: Field) -> u128 {
    match field.def().bytes {
        16.. => u128::MAX,
        n => (1 << (8 * u32::from(n))) - 1,
    }
}

/// The value of `field` in `key`, as on the wire.
pub fn get(field: Field, key: &FlowKey) -> u128 {
    match field {
        Field::InPort => u128::from(OfpPort(key.in_port()).to_of10()),
        Field::NwTos => u128::from(key.nw_tos()) & DSCP,
        Field::ArpOp => u128::from(key.nw_proto()),
        _ => key.get(field.slot_in(key)),
    }
}

/// Stores `value`, as on the wire, in `field` of `key`, as the action `set_field` does.
pub fn set(field: Field, key: &mut FlowKey, value: u128) {
    match field {
        Field::InPort => key.set_in_port(OfpPort::from_of10(value as u16).0),
        Field::NwTos => key.set_nw_tos(key.nw_tos() & 3 | value as u8 & 0xfc),
        Field::ArpOp => key.set_nw_proto(value as u8),
        Field::DlVlan => key.set(slot::vlan_tci.low(13), value & 0x0fff | CFI),
        Field::VlanVid => key.set(slot::vlan_tci.low(13), value),
        Field::DlVlanPcp | Field::VlanPcp => {
            key.set(field.def().slot, value);
            key.set_vlan_tci(key.vlan_tci() | VLAN_CFI);
        }
        _ => {
            key.set(field.slot_in(key), value);
            if let Some(n) = field.option() {
                tun_metadata::set_present(key, n, true);
            }
        }
    }
}

/// The value and the mask of `field` in a match, as on the wire.
pub fn get_masked(field: Field, m: &Match) -> (u128, u128) {
    let mask = match field {
        Field::InPort => {
            if m.wc.in_port() == u32::MAX {
                0xffff
            } else {
                0
            }
        }
        Field::NwTos => u128::from(m.wc.nw_tos()) & DSCP,
        Field::ArpOp => {
            if m.wc.nw_proto() == u8::MAX {
                0xffff
            } else {
                0
            }
        }
        // A key may hold fewer bits of a field than the wire does; all of them are all.
        _ => {
            let slot = field.slot_in(&m.key);
            match m.wc.get(slot) {
                mask if mask == slot.max() && mask != 0 => full_mask(field),
                mask => mask,
            }
        }
    };
    (get(field, &m.key) & mask, mask)
}

/// True if the match looks at no bit of `field`.
pub fn is_wild(field: Field, m: &Match) -> bool {
    get_masked(field, m).1 == 0
}

/// Requires `value` in the bits `mask` of `field`, beside what the match requires already. A mask of zero makes the
/// whole field wild.
pub fn set_match(field: Field, m: &mut Match, value: u128, mask: u128) {
    let place = place(field, m, value, mask);
    if mask & byte_mask(field) == 0 {
        m.wc.set(place, 0);
        m.key.set(place, 0);
        return;
    }
    match field {
        Field::InPort => m.set_exact(slot::in_port, u128::from(OfpPort::from_of10(value as u16).0)),
        Field::NwTos => m.set_masked(slot::nw_tos, value, mask & DSCP),
        Field::ArpOp => m.set_exact(slot::nw_proto, value & 0xff),
        Field::DlVlan if value == 0xffff => m.set_exact(slot::vlan_tci, 0),
        Field::DlVlan => m.set_exact(slot::vlan_tci.low(13), value & u128::from(VLAN_VID_MASK) | CFI),
        Field::DlVlanPcp | Field::VlanPcp => {
            m.set_exact(place, value);
            m.set_exact(slot::vlan_tci.part(12, 1), 1);
        }
        Field::IcmpType | Field::Icmpv6Type => m.set_exact(slot::tp_src, value & 0xff),
        Field::IcmpCode | Field::Icmpv6Code => m.set_exact(slot::tp_dst, value & 0xff),
        _ => replace_masked(m, place, value, mask),
    }
}

/// Where a field lies in a match. One of tunnel metadata gets a place if it has none, as wide as the value needs; nowhere, if none
/// is free.
fn place(field: Field, m: &mut Match, value: u128, mask: u128) -> flow::Slot {
    let slot = field.slot_in(&m.key);
    let bytes = option_bytes(value, mask).next_multiple_of(4).max(4);
    match field.option() {
        Some(n) if slot.bits != bytes * 8 => tun_metadata::reserve(m, n, bytes).unwrap_or(slot),
        _ => slot,
    }
}

/// The fields of tunnel metadata that a match names, by number.
pub fn options(m: &Match) -> impl Iterator<Item = Field> + use<> {
    let mut named: Vec<u8> = tun_metadata::fields(&m.key).map(|(_, n, _)| n).collect();
    named.sort_unstable();
    named.into_iter().filter_map(Field::of_option)
}

/// Bytes of a field of tunnel metadata on the wire: those that the value needs, and the mask, if there is one.
pub fn option_bytes(value: u128, mask: u128) -> u8 {
    let all = if mask == u128::MAX { value } else { value | mask };
    (16 - all.leading_zeros() / 8) as u8
}

/// As `Match::set_masked`, but what was required of the slot before is forgotten.
fn replace_masked(m: &mut Match, place: flow::Slot, value: u128, mask: u128) {
    m.wc.set(place, mask);
    m.key.set(place, value & mask);
}

/// True if `value` is one that the field can have.
pub fn is_valid(field: Field, value: u128) -> bool {
    match field {
        Field::ArpOp => value <= 0xff,
        Field::InPortOxm | Field::ActsetOutput => OfpPort::from_of11(value as u32).is_ok(),
        Field::DlVlan => value & !(CFI | u128::from(VLAN_VID_MASK)) == 0,
        Field::CtState => value <= 0xff,
        Field::NshMdtype => matches!(value, 1 | 2),
        Field::NshTtl => value <= 63,
        _ => value & !full_mask(field) == 0,
    }
}

/// The Ethernet type that the match requires, be it of a frame or of a packet without Ethernet header; zero if none.
pub fn eth_type(m: &Match) -> u16 {
    match m.key.packet_type() {
        PT_ETH => m.key.eth_type(),
        pt if pt >> 16 == PT_NS_ETHERTYPE => pt as u16,
        _ => 0,
    }
}

/// True if the match requires what `field` needs beside it.
pub fn prereqs_ok(field: Field, m: &Match) -> bool {
    let key = &m.key;
    let ty = eth_type(m);
    let (v4, v6) = (ty == eth::TYPE_IPV4, ty == eth::TYPE_IPV6);
    let l4 = |proto| (v4 || v6) && key.nw_proto() == proto && key.nw_frag() & flow::Frag::LATER == 0;
    let nd = |types: &[u16]| v6 && l4(58) && types.contains(&key.tp_src()) && key.tp_dst() == 0;
    match field.def().prereq {
        Prereq::None => true,
        Prereq::Ethernet => key.packet_type() == PT_ETH,
        Prereq::VlanVid => key.vlan_tci() & VLAN_CFI != 0,
        Prereq::Arp => matches!(ty, eth::TYPE_ARP | eth::TYPE_RARP),
        Prereq::Ipv4 => v4,
        Prereq::Ipv6 => v6,
        Prereq::Ip => v4 || v6,
        Prereq::Mpls => eth::is_mpls(ty),
        Prereq::Nsh => ty == eth::TYPE_NSH,
        Prereq::Tcp => l4(6),
        Prereq::Udp => l4(17),
        Prereq::Sctp => l4(132),
        Prereq::Icmpv4 => v4 && l4(1),
        Prereq::Icmpv6 => v6 && l4(58),
        Prereq::Nd => nd(&[135, 136]),
        Prereq::NdSolicit => nd(&[135]),
        Prereq::NdAdvert => nd(&[136]),
        Prereq::Ct => {
            let state = key.ct_state();
            let tracked = state & ct_state::TRK != 0 && m.wc.ct_state() & ct_state::INV != 0;
            state & !(ct_state::TRK | ct_state::INV) != 0 || tracked && state & ct_state::INV == 0
        }
    }
}

/// The protocols that a registry entry means.
fn protocols(usable: Usable) -> Protocols {
    match usable {
        Usable::Never => Protocols::empty(),
        Usable::NxmOxm => Protocols::NXM_OXM_ANY,
        Usable::NxmOf11Oxm => Protocols::NXM_OXM_ANY | Protocols::OF11_STD,
        Usable::Any => Protocols::ANY,
    }
}

/// The protocols that can match `field` under `mask`.
pub fn usable(field: Field, mask: u128) -> Protocols {
    let def = field.def();
    let full = full_mask(field);
    protocols(match mask & full {
        0 => def.bitwise,
        m if m == full => def.exact,
        m if def.format == Format::Ipv4 && is_prefix(m as u32) => def.cidr,
        _ => def.bitwise,
    })
}

/// True if `mask` is ones, then zeros.
pub fn is_prefix(mask: u32) -> bool {
    let zeros = !mask;
    zeros & zeros.wrapping_add(1) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip_through_a_match() {
        for def in Field::all() {
            let mut m = Match::ANY;
            let value = match def.field {
                Field::NwTos => 0x54,
                Field::DlVlan | Field::VlanVid => 0x1005,
                _ => 1,
            };
            set_match(def.field, &mut m, value, byte_mask(def.field));
            let shown = if def.field == Field::DlVlan { value & 0xfff } else { value };
            let (v, mask) = get_masked(def.field, &m);
            assert_eq!((v, mask & full_mask(def.field)), (shown, full_mask(def.field)), "{}", def.name);
            assert!(is_valid(def.field, value), "{}", def.name);
            if def.field.option() == Some(63) {
                assert_eq!(get(def.field, &Match::ANY.key), 0, "without a place");
            }
            set_match(def.field, &mut m, 0, 0);
            assert!(is_wild(def.field, &m), "{}", def.name);
        }
    }

    #[test]
    fn prefixes() {
        assert!(is_prefix(0xffff_0000) && is_prefix(0) && is_prefix(u32::MAX));
        assert!(!is_prefix(0xff00_ff00));
    }
}
