//! Reading matches from text: one field, or a whole match.
//!
//! Where it sits: `text/flow.rs` reads the fields of a flow with it; the tools, matches alone.

use flow::Match;
use wire::eth;

use crate::actions::{BadNumber, Subfield};
use crate::text::{Pairs, TextError, text_error, values};
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
        let usable = field::usable(f, &mask);
        let usable = if mask.is_empty() && f.option().is_none() { Protocols::ANY } else { usable };
        if field::set_match(f, m, value, mask) { Ok(usable) } else { Err(no_room(name)) }
    }))
}

fn no_room(name: &str) -> TextError {
    text_error!("{name}: more tunnel metadata than a match takes")
}

/// Requires a number in some bits of a field: `reg0[0..3]`.
fn parse_subfield(name: &str, text: &str, m: &mut Match) -> Result<Protocols, TextError> {
    let bits = Subfield::parse(name)?;
    let number = bits.parse_number(text).map_err(|fault| match fault {
        BadNumber::Unreadable => text_error!("{name}: cannot parse integer value: {text}"),
        BadNumber::TooWide(n) => {
            text_error!("{name}: value {} does not fit into {} bits", values::Hex(n), bits.n_bits)
        }
    })?;
    if !bits.set_in_match(m, &number) {
        return Err(no_room(name));
    }
    Ok(field::usable(bits.field, &field::get_masked(bits.field, m).1))
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
