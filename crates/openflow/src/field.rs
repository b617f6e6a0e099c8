//! Fields as OpenFlow carries them: values between a flow key and the wire, validity, prerequisites.
//!
//! Where it sits: above the registry in `flow`; below matches and actions, and used by translation to carry out
//! `set_field`, `move` and the stack.
//!
//! The wire's form of a field differs from the key's slot in a few cases, which are all here: `in_port` has 16 bits
//! in one of its two fields, `nw_tos` leaves the ECN bits out, `arp_op` has 16 bits, VLAN fields imply the presence
//! bit, ICMP's type and code fill the ports' slots. Fields of tunnel metadata are as wide as the key's place for them; a key
//! without one reads as zero. No other field has more than 128 bits.

use flow::tun_metadata::{self, Place};
use flow::{Field, FlowKey, Format, Match, Prereq, Usable, Wildcards, ct_state, slot};
use wire::eth::{self, VLAN_CFI, VLAN_VID_MASK};

use crate::{Bits, OfpPort, Protocols};

/// Packet type of Ethernet.
pub const PT_ETH: u32 = 0;
/// Namespace of packet types that are Ethernet types.
pub const PT_NS_ETHERTYPE: u32 = 1;

const CFI: u128 = VLAN_CFI as u128;
const DSCP: u128 = 0xfc;

/// All-ones as wide as the field's value on the wire, without bits that it never has.
pub fn full_mask(field: Field) -> Bits {
    match field {
        Field::NwTos => DSCP.into(),
        Field::DlVlan => 0x0fff_u16.into(),
        Field::VlanVid => 0x1fff_u16.into(),
        _ => Bits::ones(field.def().bits),
    }
}

/// All-ones of the field as actions see it.
pub fn action_mask(field: Field) -> Bits {
    if field == Field::NwTos { 0xff_u8.into() } else { full_mask(field) }
}

/// All-ones in every byte of the field.
pub fn byte_mask(field: Field) -> Bits {
    Bits::ones(u16::from(field.def().bytes) * 8)
}

/// The value of `field` in `key`, as on the wire.
pub fn get(field: Field, key: &FlowKey) -> Bits {
    match field {
        Field::InPort => OfpPort(key.in_port()).to_of10().into(),
        Field::NwTos => (u128::from(key.nw_tos()) & DSCP).into(),
        Field::ArpOp => key.nw_proto().into(),
        _ => match field.option() {
            Some(n) => tun_metadata::place_of(key, n).map_or(Bits::ZERO, |place| option(key, place)),
            None => key.get(field.def().slot).into(),
        },
    }
}

/// The value of a field of tunnel metadata.
pub fn option(key: &FlowKey, place: Place) -> Bits {
    Bits::from_be_bytes(tun_metadata::value(key, place))
}

/// Stores the value of a field of tunnel metadata.
pub fn set_option(key: &mut FlowKey, place: Place, value: &Bits) {
    tun_metadata::set_value(key, place, value.be_bytes(place.bytes().into()));
}

/// Stores `value`, as on the wire, in `field` of `key`, as the action `set_field` does.
pub fn set(field: Field, key: &mut FlowKey, value: impl Into<Bits>) {
    let bits = value.into();
    let value = bits.low();
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
        _ => match field.option() {
            Some(n) => {
                if let Some(place) = tun_metadata::place_of(key, n) {
                    set_option(key, place, &bits);
                    tun_metadata::set_present(key, n, true);
                }
            }
            None => key.set(field.def().slot, value),
        },
    }
}

/// Makes the bits `mask` of `field` of `key` significant.
pub fn look_at(field: Field, key: &FlowKey, mask: &Bits, wc: &mut Wildcards) {
    match field.option() {
        Some(n) => {
            if let Some(place) = tun_metadata::place_of(key, n) {
                // The directory says where the value is, in what is made of the wildcards, too.
                tun_metadata::look_at_entry(place, wc);
                let looked_at = &option(wc, place) | mask;
                set_option(wc, place, &looked_at);
            }
        }
        None => {
            let slot = field.def().slot;
            let looked_at = wc.get(slot) | mask.low() & slot.max();
            wc.set(slot, looked_at);
        }
    }
}

/// The value and the mask of `field` in a match, as on the wire.
pub fn get_masked(field: Field, m: &Match) -> (Bits, Bits) {
    if let Some(n) = field.option() {
        return tun_metadata::place_of(&m.key, n).map_or_else(Default::default, |place| get_option(m, place));
    }
    let mask: u128 = match field {
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
            let slot = field.def().slot;
            match m.wc.get(slot) {
                mask if mask == slot.max() && mask != 0 => full_mask(field).low(),
                mask => mask,
            }
        }
    };
    ((get(field, &m.key).low() & mask).into(), mask.into())
}

/// The same of a field of tunnel metadata: all bits of its place are all that it has, unless it came with a mask.
fn get_option(m: &Match, place: Place) -> (Bits, Bits) {
    let mask = option(&m.wc, place);
    let value = &option(&m.key, place) & &mask;
    if is_whole(&mask, place) && !tun_metadata::says_mask(m, place) {
        return (value, every_option_bit());
    }
    (value, mask)
}

/// All bits of the widest field of tunnel metadata: what is meant where no mask is said.
fn every_option_bit() -> Bits {
    Bits::ones(u16::from(tun_metadata::MAX_BYTES) * 8)
}

fn is_whole(mask: &Bits, place: Place) -> bool {
    mask.trailing_ones() == u16::from(place.bytes()) * 8
}

/// True if texts show no mask of `field`: all its bits matter. Of tunnel metadata that came with a mask nobody knows how many it has;
/// it is as wide as its mask has bytes.
pub fn is_exact(field: Field, m: &Match) -> bool {
    match field.option().and_then(|n| tun_metadata::place_of(&m.key, n)) {
        Some(place) if tun_metadata::says_mask(m, place) => {
            let mask = option(&m.wc, place);
            mask.len().is_multiple_of(8) && mask.trailing_ones() == mask.len()
        }
        Some(place) => is_whole(&option(&m.wc, place), place),
        None => get_masked(field, m).1 == full_mask(field),
    }
}

/// True if the match looks at no bit of `field`.
pub fn is_wild(field: Field, m: &Match) -> bool {
    get_masked(field, m).1.is_empty()
}

/// Requires `value` in the bits `mask` of `field`, beside what the match requires already. A mask of zero makes the
/// whole field wild. False, and no change, if it is tunnel metadata that the match has no room for.
pub fn set_match(field: Field, m: &mut Match, value: impl Into<Bits>, mask: impl Into<Bits>) -> bool {
    let (value, mask) = (value.into(), mask.into());
    if let Some(n) = field.option() {
        return set_option_match(n, m, &value, &mask);
    }
    let (value, mask, place) = (value.low(), mask.low(), field.def().slot);
    if mask & byte_mask(field).low() == 0 {
        m.wc.set(place, 0);
        m.key.set(place, 0);
        return true;
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
    true
}

/// The same for a field of tunnel metadata, which gets a place as wide as the value needs.
fn set_option_match(n: u8, m: &mut Match, value: &Bits, mask: &Bits) -> bool {
    let masked = *mask != every_option_bit();
    let place = tun_metadata::reserve(m, n, option_bytes(value, masked.then_some(mask)));
    if let Some(place) = place {
        set_option(&mut m.key, place, &(value & mask));
        set_option(&mut m.wc, place, mask);
        tun_metadata::set_says_mask(m, place, masked);
    }
    place.is_some()
}

/// The fields of tunnel metadata that a match names, by number.
pub fn options(m: &Match) -> impl Iterator<Item = Field> + use<> {
    let mut named: Vec<u8> = tun_metadata::places(&m.key).map(Place::number).collect();
    named.sort_unstable();
    named.into_iter().filter_map(Field::of_option)
}

/// Bytes of a field of tunnel metadata on the wire: those that the value needs, and the mask, if there is one.
pub fn option_bytes(value: &Bits, mask: Option<&Bits>) -> u8 {
    value.len().max(mask.map_or(0, Bits::len)).div_ceil(8) as u8
}

/// As `Match::set_masked`, but what was required of the slot before is forgotten.
fn replace_masked(m: &mut Match, place: flow::Slot, value: u128, mask: u128) {
    m.wc.set(place, mask);
    m.key.set(place, value & mask);
}

/// True if `value` is one that the field can have.
pub fn is_valid(field: Field, value: &Bits) -> bool {
    let low = value.low();
    match field {
        Field::ArpOp => low <= 0xff,
        Field::InPortOxm | Field::ActsetOutput => OfpPort::from_of11(low as u32).is_ok(),
        Field::DlVlan => low & !(CFI | u128::from(VLAN_VID_MASK)) == 0,
        Field::CtState => low <= 0xff,
        Field::NshMdtype => matches!(low, 1 | 2),
        Field::NshTtl => low <= 63,
        _ => value.is_within(&full_mask(field)),
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
pub fn usable(field: Field, mask: &Bits) -> Protocols {
    let def = field.def();
    let full = full_mask(field);
    let mask = mask & &full;
    protocols(if mask == full {
        def.exact
    } else if def.format == Format::Ipv4 && mask != 0 && is_prefix(mask.low() as u32) {
        def.cidr
    } else {
        def.bitwise
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
                _ => 1_u128,
            };
            set_match(def.field, &mut m, value, byte_mask(def.field));
            let shown = if def.field == Field::DlVlan { value & 0xfff } else { value };
            let (v, mask) = get_masked(def.field, &m);
            assert_eq!(
                (v, &mask & &full_mask(def.field)),
                (shown.into(), full_mask(def.field)),
                "{}",
                def.name
            );
            assert!(is_valid(def.field, &value.into()) && is_exact(def.field, &m), "{}", def.name);
            if def.field.option() == Some(63) {
                assert_eq!(get(def.field, &Match::ANY.key), 0, "without a place");
            }
            set_match(def.field, &mut m, 0_u8, 0_u8);
            assert!(is_wild(def.field, &m), "{}", def.name);
        }
    }

    #[test]
    fn a_mask_of_all_that_a_match_has_of_a_field_is_no_mask_of_the_field() {
        let mut m = Match::ANY;
        assert!(set_match(Field::TunMetadata3, &mut m, 5_u8, u32::MAX));
        assert_eq!(get_masked(Field::TunMetadata3, &m), (5_u8.into(), u32::MAX.into()));
        assert!(is_exact(Field::TunMetadata3, &m), "as texts show it");
        assert!(set_match(Field::TunMetadata1, &mut m, Bits::ones(992), byte_mask(Field::TunMetadata1)));
        assert_eq!(get_masked(Field::TunMetadata3, &m).1, 0xffff_ffff, "it moved");
        let before = m;
        assert!(!set_match(Field::TunMetadata2, &mut m, Bits::ones(992), Bits::ones(992)));
        assert_eq!(m, before);
    }

    #[test]
    fn prefixes() {
        assert!(is_prefix(0xffff_0000) && is_prefix(0) && is_prefix(u32::MAX));
        assert!(!is_prefix(0xff00_ff00));
    }
}
