//! Where the fields of a flow key lie in the payload of their attribute: one table for keys and masks, both ways.
//!
//! Where it sits: under `key.rs`. What is no plain row (VLAN nesting, tunnels, MPLS stacks, NSH) is there.

use flow::{FlowKey, Slot, slot};
use netlink::{Attr, Builder};

use super::{AttrError, AttrErrorKind};

/// Bytes of the largest payload in the table.
const MAX: usize = 40;

/// How a field's bits are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Network byte order.
    Net,
    /// The machine's byte order.
    Host,
    /// `nw_frag` as `enum ovs_frag_type`.
    Frag,
}

/// A field in a payload: `len` bytes at `at`.
pub(crate) struct Place {
    pub slot: Slot,
    pub at: usize,
    pub len: usize,
    pub form: Form,
}

/// An attribute of fixed size.
pub(crate) struct Layout {
    pub kind: u16,
    pub size: usize,
    pub places: &'static [Place],
}

/// Whether values or masks are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Value,
    Mask,
}

const fn net(slot: Slot, at: usize, len: usize) -> Place {
    Place { slot, at, len, form: Form::Net }
}

const fn host(slot: Slot, len: usize) -> Place {
    Place { slot, at: 0, len, form: Form::Host }
}

/// `OVS_KEY_ATTR_*`.
pub(crate) mod attr {
    pub const ENCAP: u16 = 1;
    pub const PRIORITY: u16 = 2;
    pub const IN_PORT: u16 = 3;
    pub const ETHERNET: u16 = 4;
    pub const VLAN: u16 = 5;
    pub const ETHERTYPE: u16 = 6;
    pub const IPV4: u16 = 7;
    pub const IPV6: u16 = 8;
    pub const TCP: u16 = 9;
    pub const UDP: u16 = 10;
    pub const ICMP: u16 = 11;
    pub const ICMPV6: u16 = 12;
    pub const ARP: u16 = 13;
    pub const ND: u16 = 14;
    pub const SKB_MARK: u16 = 15;
    pub const TUNNEL: u16 = 16;
    pub const SCTP: u16 = 17;
    pub const TCP_FLAGS: u16 = 18;
    pub const DP_HASH: u16 = 19;
    pub const RECIRC_ID: u16 = 20;
    pub const MPLS: u16 = 21;
    pub const CT_STATE: u16 = 22;
    pub const CT_ZONE: u16 = 23;
    pub const CT_MARK: u16 = 24;
    pub const CT_LABELS: u16 = 25;
    pub const CT_ORIG_TUPLE_IPV4: u16 = 26;
    pub const CT_ORIG_TUPLE_IPV6: u16 = 27;
    pub const NSH: u16 = 28;
    pub const PACKET_TYPE: u16 = 29;
    pub const ND_EXTENSIONS: u16 = 30;
}

const PORTS: &[Place] = &[net(slot::tp_src, 0, 2), net(slot::tp_dst, 2, 2)];
const ICMP: &[Place] = &[net(slot::tp_src, 0, 1), net(slot::tp_dst, 1, 1)];

macro_rules! layouts {
    ($($name:ident, $size:literal: $places:expr;)+) => {
        const LAYOUTS: &[Layout] = &[$(Layout { kind: attr::$name, size: $size, places: $places },)+];
    };
}

layouts! {
    PRIORITY, 4: &[host(slot::skb_priority, 4)];
    IN_PORT, 4: &[host(slot::in_port, 4)];
    ETHERNET, 12: &[net(slot::eth_src, 0, 6), net(slot::eth_dst, 6, 6)];
    IPV4, 12: &[
        net(slot::nw_src, 0, 4), net(slot::nw_dst, 4, 4), net(slot::nw_proto, 8, 1), net(slot::nw_tos, 9, 1),
        net(slot::nw_ttl, 10, 1), Place { slot: slot::nw_frag, at: 11, len: 1, form: Form::Frag },
    ];
    IPV6, 40: &[
        net(slot::ipv6_src, 0, 16), net(slot::ipv6_dst, 16, 16), net(slot::ipv6_label, 32, 4),
        net(slot::nw_proto, 36, 1), net(slot::nw_tos, 37, 1), net(slot::nw_ttl, 38, 1),
        Place { slot: slot::nw_frag, at: 39, len: 1, form: Form::Frag },
    ];
    TCP, 4: PORTS;
    UDP, 4: PORTS;
    SCTP, 4: PORTS;
    ICMP, 2: ICMP;
    ICMPV6, 2: ICMP;
    ARP, 24: &[
        net(slot::nw_src, 0, 4), net(slot::nw_dst, 4, 4), net(slot::nw_proto, 8, 2), net(slot::arp_sha, 10, 6),
        net(slot::arp_tha, 16, 6),
    ];
    ND, 28: &[net(slot::nd_target, 0, 16), net(slot::arp_sha, 16, 6), net(slot::arp_tha, 22, 6)];
    SKB_MARK, 4: &[host(slot::pkt_mark, 4)];
    TCP_FLAGS, 2: &[net(slot::tcp_flags, 0, 2)];
    DP_HASH, 4: &[host(slot::dp_hash, 4)];
    RECIRC_ID, 4: &[host(slot::recirc_id, 4)];
    CT_STATE, 4: &[host(slot::ct_state, 4)];
    CT_ZONE, 2: &[host(slot::ct_zone, 2)];
    CT_MARK, 4: &[host(slot::ct_mark, 4)];
    CT_LABELS, 16: &[host(slot::ct_label, 16)];
    CT_ORIG_TUPLE_IPV4, 16: &[
        net(slot::ct_nw_src, 0, 4), net(slot::ct_nw_dst, 4, 4), net(slot::ct_tp_src, 8, 2),
        net(slot::ct_tp_dst, 10, 2), net(slot::ct_nw_proto, 12, 1),
    ];
    CT_ORIG_TUPLE_IPV6, 40: &[
        net(slot::ct_ipv6_src, 0, 16), net(slot::ct_ipv6_dst, 16, 16), net(slot::ct_tp_src, 32, 2),
        net(slot::ct_tp_dst, 34, 2), net(slot::ct_nw_proto, 36, 1),
    ];
    PACKET_TYPE, 4: &[net(slot::packet_type, 0, 4)];
    ND_EXTENSIONS, 8: &[net(slot::nd_reserved, 0, 4), net(slot::nd_options_type, 4, 1)];
}

/// The row of an attribute.
pub(crate) fn layout(kind: u16) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|l| l.kind == kind)
}

/// All ones of a field's bits on the wire.
fn wire_max(place: &Place) -> u128 {
    if place.len >= 16 { u128::MAX } else { (1 << (8 * place.len)) - 1 }
}

/// Fragment bits as `enum ovs_frag_type` has them, and back: 0 none, 1 first, 2 later. Masks are as they are.
const fn frag_to_wire(bits: u128, mode: Mode) -> u128 {
    match (mode, bits) {
        (Mode::Value, 3) => 2,
        (_, other) => other,
    }
}

const fn frag_from_wire(n: u128, mode: Mode) -> Option<u128> {
    match (mode, n) {
        (Mode::Mask, _) | (Mode::Value, 0 | 1) => Some(n),
        (Mode::Value, 2) => Some(3),
        _ => None,
    }
}

impl Layout {
    /// Adds the attribute with the fields of `values`.
    pub fn put(&self, b: &mut Builder, values: &FlowKey, mode: Mode) {
        let mut bytes = [0; MAX];
        for place in self.places {
            let value = values.get(place.slot);
            let value = if place.form == Form::Frag { frag_to_wire(value, mode) } else { value };
            let all = match place.form {
                Form::Host => value.to_le_bytes(),
                Form::Net | Form::Frag => value.to_be_bytes(),
            };
            // The low bytes: first in little-endian order, last in big-endian.
            let low = match place.form {
                Form::Host => all.get(..place.len),
                Form::Net | Form::Frag => all.len().checked_sub(place.len).and_then(|at| all.get(at..)),
            };
            let to = place.at.checked_add(place.len).and_then(|end| bytes.get_mut(place.at..end));
            if let (Some(to), Some(low)) = (to, low) {
                to.copy_from_slice(low);
                if place.form == Form::Host && cfg!(target_endian = "big") {
                    to.reverse();
                }
            }
        }
        b.put(self.kind, bytes.get(..self.size).unwrap_or_default());
    }

    /// Stores the fields of the attribute in `out`.
    pub fn take(&self, attr: Attr<'_>, out: &mut FlowKey, mode: Mode) -> Result<(), AttrError> {
        if attr.payload.len() != self.size {
            return Err(AttrErrorKind::Size.of(attr.kind));
        }
        for place in self.places {
            let bytes =
                attr.payload.get(place.at..).and_then(|rest| rest.get(..place.len)).unwrap_or_default();
            let is_little = place.form == Form::Host && cfg!(target_endian = "little");
            let shift = |n: u128, b: &u8| n << 8 | u128::from(*b);
            let n = if is_little { bytes.iter().rev().fold(0, shift) } else { bytes.iter().fold(0, shift) };
            let value = match place.form {
                Form::Frag => frag_from_wire(n, mode).ok_or(AttrErrorKind::Value.of(attr.kind))?,
                // A slot may be wider than its bytes, or narrower: a whole mask stays whole.
                _ if mode == Mode::Mask && n == wire_max(place) => place.slot.max(),
                _ if mode == Mode::Value && n > place.slot.max() => {
                    return Err(AttrErrorKind::Value.of(attr.kind));
                }
                _ => n & place.slot.max(),
            };
            out.set(place.slot, value);
        }
        Ok(())
    }

    /// True if the mask has any bit of the attribute.
    pub fn any(&self, mask: &FlowKey) -> bool {
        self.places.iter().any(|p| mask.get(p.slot) != 0)
    }

    /// Makes every bit of the attribute significant.
    pub fn fill(&self, mask: &mut FlowKey) {
        self.places.iter().for_each(|p| mask.set(p.slot, p.slot.max()));
    }
}
