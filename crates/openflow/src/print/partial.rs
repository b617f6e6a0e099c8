//! The records of a list that are whole, when a later one is broken.
//!
//! Where it sits: what can be read of a broken message is printed before its error.
//!
//! Each layout says where a record's length stands; records are tried one by one, so that the cost is that of one reading.

use crate::Version;
use crate::msg::header::Header;
use crate::msg::{Limits, Raw, decode_body};

/// Where the length of a record stands.
enum Length {
    Fixed(usize),
    /// 16 bits at this place, the whole record.
    At(usize),
    /// The same at this place, without what comes before and to be rounded up: a match at the end.
    MatchAt(usize),
    /// At the start, of which this and a multiple of 16 count.
    Counters(usize),
}

/// Bytes before the first record, and how long records are.
fn layout(raw: Raw, version: Version) -> Option<(usize, Length)> {
    use Length::{At, Counters, Fixed, MatchAt};
    Some(match raw {
        Raw::Ofpst10FlowReply
        | Raw::Ofpst11FlowReply
        | Raw::Ofpst13FlowReply
        | Raw::Ofpst15FlowReply
        | Raw::NxstFlowReply
        | Raw::Ofpst11GroupDescReply
        | Raw::NxstGroupDescReply
        | Raw::Ofpst13MeterConfigReply
        | Raw::Ofpst14QueueReply
        | Raw::Ofpst14TableDescReply
        | Raw::Ofpst14PortReply
        | Raw::NxstFlowMonitorReply
        | Raw::Onfst13FlowMonitorReply
        | Raw::Ofpst14FlowMonitorReply => (0, At(0)),
        Raw::Ofpst11GroupReply => (0, Counters(32)),
        Raw::Ofpst13GroupReply | Raw::NxstGroupReply => (0, Counters(40)),
        Raw::Ofpst13MeterReply | Raw::Ofpst14PortDescReply => (0, At(4)),
        Raw::Ofpst14QueueDescReply => (0, At(8)),
        Raw::Ofpt10QueueGetConfigReply => (8, At(4)),
        Raw::Ofpt11QueueGetConfigReply if version == Version::V11 => (8, At(4)),
        Raw::Ofpt11QueueGetConfigReply => (8, At(8)),
        Raw::Ofpst10QueueReply | Raw::Ofpst11QueueReply => (0, Fixed(32)),
        Raw::Ofpst13QueueReply => (0, Fixed(40)),
        Raw::Ofpst10PortReply | Raw::Ofpst11PortReply => (0, Fixed(104)),
        Raw::Ofpst13PortReply => (0, Fixed(112)),
        Raw::Ofpst10PortDescReply => (0, Fixed(48)),
        Raw::Ofpst11PortDescReply => (0, Fixed(64)),
        Raw::Ofpt10FeaturesReply => (24, Fixed(48)),
        Raw::Ofpt11FeaturesReply => (24, Fixed(64)),
        Raw::NxstFlowMonitorRequest => (0, MatchAt(8)),
        Raw::Onfst13FlowMonitorRequest => (0, MatchAt(6)),
        Raw::Ofpst14FlowMonitorRequest => (0, MatchAt(18)),
        _ => return None,
    })
}

/// The head of `body` up to the first record that does not decode; `None` for what is no list.
pub(super) fn whole_records<'a>(header: &Header, body: &'a [u8]) -> Option<&'a [u8]> {
    let (prefix, length) = layout(header.raw, Version::from_wire(header.version)?)?;
    let head = body.get(..prefix)?;
    decode_body(header, head, &Limits::default()).ok()?;
    let mut end = prefix;
    while let Some(rest) = body.get(end..).filter(|rest| !rest.is_empty()) {
        let len = match length {
            Length::Fixed(n) => Some(n),
            Length::At(at) => wire::bytes::u16_at(rest, at).map(usize::from),
            Length::Counters(fixed) => wire::bytes::u16_at(rest, 0)
                .and_then(|n| usize::from(n).checked_sub(fixed))
                .map(|n| fixed + n / 16 * 16),
            Length::MatchAt(at) => {
                wire::bytes::u16_at(rest, at).map(|n| 16 + usize::from(n).next_multiple_of(8))
            }
        };
        let Some(record) = len.filter(|n| *n > 0).and_then(|n| rest.get(..n)) else { break };
        let alone = [head, record].concat();
        if decode_body(header, &alone, &Limits::default()).is_err() {
            break;
        }
        end += record.len();
    }
    body.get(..end)
}
