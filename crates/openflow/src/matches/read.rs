//! Reading matches from text: one field, or a whole match.
//!
//! Where it sits: `text/flow.rs` reads the fields of a flow with it; the tools, matches alone.

use flow::Match;
use wire::eth;

use crate::actions::{Subfield, ones};
use crate::text::{Pairs, TextError, number, text_error, values};
use crate::{Names, Protocols, field};

/// Names that stand for a protocol: Ethernet type, IP protocol (zero: none).
const SHORTHANDS: &[(&str, u16, u8)] = &[
    ("ip", eth::TYPE_IPV4, 0),
    ("ipv4", eth::TYPE_IPV4, 0),
    ("ip4", eth::TYPE_IPV4, 0),
    ("arp", eth::TYPE_ARP, 0),
    ("icmp", eth::TYPE_IPV4, 1),
    ("tcp", eth::TYPE_IPV4, 6),
    ("udp", eth::TYPE_IPV4, 17),
    ("sctp", eth::TYPE_IPV4, 132),
    ("ipv6", eth::TYPE_IPV6, 0),
    ("ip6", eth::TYPE_IPV6, 0),
    ("icmp6", eth::TYPE_IPV6, 58),
    ("tcp6", eth::TYPE_IPV6, 6),
    ("udp6", eth::TYPE_IPV6, 17),
    ("sctp6", eth::TYPE_IPV6, 132),
    ("rarp", eth::TYPE_RARP, 0),
    ("mpls", eth::TYPE_MPLS, 0),
    ("mplsm", eth::TYPE_MPLS_MCAST, 0),
];

/// If `name` stands for a protocol, requires it of `m`; true then.
pub fn protocol_shorthand(name: &str, m: &mut Match) -> bool {
    if name == "eth" {
        m.set_exact(flow::slot::packet_type, field::PT_ETH.into());
        return true;
    }
    let Some((_, ty, proto)) = SHORTHANDS.iter().find(|(n, ..)| *n == name) else { return false };
    m.set_exact(flow::slot::eth_type, (*ty).into());
    if *proto != 0 {
        m.set_exact(flow::slot::nw_proto, (*proto).into());
    }
    true
}

/// Requires of `m` the field called `name` with the value `text`; returns the protocols that can say so, or `None`
/// if no field has the name.
pub fn parse_field(
    name: &str,
    text: &str,
    m: &mut Match,
    names: &Names,
) -> Option<Result<Protocols, TextError>> {
    if name.contains('[') {
        return Some(parse_subfield(name, text, m));
    }
    let f = values::field_by_name(name)?;
    let def = f.def();
    // A field without value is looked at no further than that it exists.
    let text = if text.is_empty() { "0/0" } else { text };
    Some(values::parse(def, text, names).and_then(|(value, mask)| {
        field::set_match(f, m, value, mask);
        if f.option().is_some() {
            return match f.slot_in(&m.key).bits {
                0 => Err(text_error!("{name}: more tunnel metadata than a match takes")),
                _ => Ok(field::usable(f, mask)),
            };
        }
        Ok(if mask == 0 { Protocols::ANY } else { field::usable(f, mask) })
    }))
}

/// Requires a number in some bits of a field: `reg0[0..3]`.
fn parse_subfield(name: &str, text: &str, m: &mut Match) -> Result<Protocols, TextError> {
    let bits = Subfield::parse(name)?;
    let number = number::whole(text).filter(|_| !text.is_empty());
    let number = number.ok_or_else(|| text_error!("{name}: cannot parse integer value: {text}"))?;
    if number & !ones(bits.n_bits) != 0 {
        return Err(text_error!(
            "{name}: value {} does not fit into {} bits",
            values::Hex(number),
            bits.n_bits
        ));
    }
    let (value, mask) = field::get_masked(bits.field, m);
    let (value, mask) = (value & !bits.mask() | bits.place(number), mask | bits.mask());
    field::set_match(bits.field, m, value, mask);
    Ok(field::usable(bits.field, mask))
}

/// Parses a match: fields and protocol names only.
pub fn parse(text: &str, names: &Names) -> Result<(Match, Protocols), TextError> {
    let mut m = super::any();
    let mut usable = Protocols::ANY;
    for (name, value) in Pairs::new(text) {
        if protocol_shorthand(name, &mut m) {
            continue;
        }
        match parse_field(name, value, &mut m, names) {
            Some(protocols) => usable &= protocols?,
            None if value.is_empty() => return Err(text_error!("field {name} missing value")),
            None => return Err(text_error!("unknown keyword {name}")),
        }
    }
    Ok((m, usable))
}
