//! The text of one packet's flow: a match without masks, in which no field is said twice.
//!
//! Where it sits: `ovs-ofctl compose-packet`, and whoever makes a packet from such a text, or looks for megaflows by it.
//!
//! I1  A field may be said only after those that it needs.

use flow::{FlowKey, Match, slot};

use super::{Pairs, TextError, text_error, values};
use crate::{Names, OfpPort, field, matches};

/// Parses the flow; errors repeat the text, as it may be one of many.
pub fn parse(text: &str, names: &Names) -> Result<FlowKey, TextError> {
    parse_said(text, names).map(|m| m.key)
}

/// The same, with what it says: the fields that it names and those that it implies are matched exactly.
pub fn parse_said(text: &str, names: &Names) -> Result<Match, TextError> {
    parse_match(text, names).map_err(|e| text_error!("{text}: {e}"))
}

fn parse_match(text: &str, names: &Names) -> Result<Match, TextError> {
    let mut m = matches::any();
    m.key.set(slot::in_port, OfpPort::NONE.0.into());
    for (key, value) in Pairs::new(text) {
        let before = m;
        if matches::protocol_shorthand(key, &mut m) {
            if key != "eth" && field::eth_type(&before) != 0 {
                return Err(TextError::new("Ethernet type set multiple times"));
            }
            if m.wc.get(slot::nw_proto) != 0 && before.wc.get(slot::nw_proto) != 0 {
                return Err(TextError::new("network protocol set multiple times"));
            }
            continue;
        }
        let f = values::field_by_name(key).ok_or_else(|| text_error!("unknown field {key}"))?;
        if !field::prereqs_ok(f, &m) {
            return Err(text_error!("prerequisites not met for setting {key}"));
        }
        let first_packet_type = f == flow::Field::PacketType && before.key.get(slot::packet_type) == 0;
        if !field::is_wild(f, &m) && !first_packet_type {
            return Err(text_error!("field {key} set multiple times"));
        }
        let bad = |words: String| text_error!("bad value for {key} ({words})");
        let (number, mask) = values::parse(f.def(), value, names).map_err(|e| bad(e.to_string()))?;
        if !field::full_mask(f).is_within(&mask) {
            return Err(bad(format!("{value}: wildcards not allowed here")));
        }
        field::set_match(f, &mut m, number, mask);
    }
    Ok(m)
}
