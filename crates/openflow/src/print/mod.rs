//! The text of OpenFlow messages, as ovs-ofctl and the debug logs of connections print them.
//!
//! Where it sits: `ovs-ofctl` prints replies with it, connections log with it. It decodes by `msg` and never fails: what
//! cannot be decoded is shown in hexadecimal with the error. The forms are an interface: scripts read them.
//!
//! ~~~text
//! NAME (OF1.3) (xid=0x2): body          the version is left out for 1.0
//! ~~~
//!
//! Spec: ovs-ofctl(8). Next: `flows.rs`, `session.rs`, `ports.rs`, `tables.rs`, `packet.rs`.

mod flows;
mod groups;
mod meters;
mod monitors;
mod packet;
mod partial;
mod ports;
mod queues;
mod session;
mod table_config;
mod table_features;
mod tables;

use std::fmt::Write;

use crate::msg::header::{self, Header};
use crate::msg::raw::Class;
use crate::msg::{Age, Limits, Message, Raw};
use crate::{Names, OfpError, Version};

pub use flows::{flow_mod, flow_stats, flow_stats_without_counters};
pub use groups::group_desc;
pub use packet::{flow, packet};
pub use table_features::table_features;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verbosity(pub u8);

/// Prints the message in `bytes`, with names of ports and tables from `names`. Ends with a newline.
pub fn message(bytes: &[u8], names: &Names, verbosity: Verbosity) -> String {
    let mut out = String::new();
    print_message(&mut out, bytes, names, verbosity);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn print_message(out: &mut String, bytes: &[u8], names: &Names, verbosity: Verbosity) {
    let Some(len) = header::message_len(bytes) else {
        if bytes.is_empty() {
            out.push_str("OpenFlow message is empty\n");
        } else {
            let _ = writeln!(out, "OpenFlow packet too short (only {} bytes):", bytes.len());
            hex_dump(out, bytes);
        }
        return;
    };
    if len < bytes.len() {
        let _ = writeln!(out, "(***only uses {len} bytes out of {}***)", bytes.len());
        return hex_dump(out, bytes);
    }
    if len > bytes.len() {
        if let Ok((header, _)) = header::peek(bytes) {
            title(out, &header);
            out.push('\n');
        }
        let _ = writeln!(out, "(***truncated to {} bytes from {len}***)", bytes.len());
        return hex_dump(out, bytes);
    }
    match header::parse(bytes) {
        Err(error) => decode_error(out, error, bytes),
        Ok((header, body)) => {
            title(out, &header);
            if let Err(error) = print_body(out, &header, body, bytes, names, verbosity) {
                out.truncate(out.trim_end_matches(' ').len());
                match out.chars().last() {
                    Some(':') => out.push(' '),
                    Some('\n') => {}
                    _ => out.push('\n'),
                }
                return decode_error(out, error, bytes);
            }
            // What is empty at the end of a text leaves no trace.
            out.truncate(out.trim_end_matches(' ').len());
            if verbosity > Verbosity(3) && !matches!(header.raw, Raw::OfptEchoRequest | Raw::OfptEchoReply) {
                end_line(out);
                hex_dump(out, bytes);
            }
        }
    }
}

fn end_line(out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

fn decode_error(out: &mut String, error: OfpError, bytes: &[u8]) {
    let _ = writeln!(out, "***decode error: {error}***");
    hex_dump(out, bytes);
}

/// `NAME (OF1.3) (xid=0x1):`
fn title(out: &mut String, header: &Header) {
    out.push_str(header.raw.name());
    match Version::from_wire(header.version) {
        Some(Version::V10) => {}
        Some(version) => {
            let _ = write!(out, " ({version})");
        }
        None => {
            let _ = write!(out, " (OF {:#04x})", header.version);
        }
    }
    let _ = write!(out, " (xid={:#x}):", header.xid);
}

fn print_body(
    out: &mut String,
    header: &Header,
    body: &[u8],
    bytes: &[u8],
    names: &Names,
    verbosity: Verbosity,
) -> Result<(), OfpError> {
    if header.flags != 0 {
        print_stats_flags(out, header);
    }
    let limits = Limits { flow_mod_table_id: true, ..Limits::default() };
    if verbosity < Verbosity(1) && is_counted_only(header.raw) {
        return Ok(());
    }
    let message = match crate::msg::decode_body(header, body, &limits) {
        // Printing shows what the switch would refuse.
        Err(_) if header.raw == Raw::NxtSetFlowFormat => {
            out.push_str(" format=(unknown)");
            return Ok(());
        }
        Err(OfpError::NXBRC_MUST_BE_ZERO) if header.raw == Raw::NxtSetControllerId => {
            let _ = write!(out, " id={}", wire::bytes::u16_at(body, 6).unwrap_or(0));
            return Ok(());
        }
        Err(OfpError::NXBRC_MUST_BE_ZERO) if header.raw == Raw::NxtCtFlushZone => {
            let _ = write!(out, " zone_id={}", wire::bytes::u16_at(body, 6).unwrap_or(0));
            return Ok(());
        }
        Err(OfpError::OFPBFC_BAD_TYPE)
            if matches!(header.raw, Raw::Ofpt14BundleControl | Raw::Onft13BundleControl) =>
        {
            session::unknown_bundle_control(out, body);
            return Ok(());
        }
        Err(error) => {
            if let Some(whole) = partial::whole_records(header, body) {
                print_partial(out, header, whole, bytes, names, verbosity)?;
            }
            return Err(error);
        }
        Ok(message) => message,
    };
    print_message_body(out, header, &message, bytes, names, verbosity)
}

/// The records before the one that does not decode.
fn print_partial(
    out: &mut String,
    header: &Header,
    whole: &[u8],
    bytes: &[u8],
    names: &Names,
    verbosity: Verbosity,
) -> Result<(), OfpError> {
    let message = crate::msg::decode_body(header, whole, &Limits::default())?;
    if matches!(&message, Message::GroupStatsReply(_)) {
        print_message_body(out, header, &message, bytes, names, verbosity)?;
        out.push_str(" ***parse error***");
        return Ok(());
    }
    print_message_body(out, header, &message, bytes, names, verbosity)
}

fn print_message_body(
    out: &mut String,
    header: &Header,
    message: &Message,
    bytes: &[u8],
    names: &Names,
    verbosity: Verbosity,
) -> Result<(), OfpError> {
    let version = Version::from_wire(header.version);
    let known = version.unwrap_or(Version::V10);
    if session::print(out, header, message, bytes, verbosity)
        || groups::print(out, message, known, names)
        || meters::print(out, message)
        || queues::print(out, message, names, verbosity)
        || table_config::print(out, message, names)
        || monitors::print(out, message, names)
    {
        return Ok(());
    }
    match message {
        Message::RequestForward(request) => forwarded(out, request, names, verbosity)?,
        Message::FlowMod(fm) => {
            out.push(' ');
            out.push_str(&flow_mod(fm, names, version.unwrap_or(Version::V10)));
        }
        Message::FlowStatsRequest(q) | Message::AggregateRequest(q) => flows::request(out, q, names),
        Message::FlowStatsReply(flows) => {
            for flow in flows {
                let _ = write!(out, "\n {}", flow_stats(flow, names));
            }
        }
        Message::AggregateReply(s) => {
            let _ = write!(
                out,
                " packet_count={} byte_count={} flow_count={}",
                s.packet_count, s.byte_count, s.flow_count
            );
        }
        Message::FlowRemoved(fr) => flows::removed(out, fr, names),
        Message::PacketIn(pin) | Message::Resume(pin) => {
            packet::packet_in(out, pin, version.unwrap_or(Version::V10), names, verbosity);
        }
        Message::PacketOut(po) => packet::packet_out(out, po, names, verbosity),
        Message::TableFeaturesRequest(tables) | Message::TableFeaturesReply(tables) => {
            if !tables.is_empty() {
                out.push('\n');
                out.push_str(&table_features(tables, header.version, names));
            }
        }
        Message::TableStatsReply(tables) => tables::stats(out, tables, header.version, names),
        other => ports::print(out, other, names, verbosity),
    }
    Ok(())
}

/// The request that another controller made: its title is said as the reason.
fn forwarded(out: &mut String, request: &[u8], names: &Names, verbosity: Verbosity) -> Result<(), OfpError> {
    let (header, body) = header::parse(request)?;
    let kind = if header.raw == Raw::Ofpt13MeterMod { "meter" } else { "group" };
    let _ = write!(out, " reason={kind}_mod");
    print_body(out, &header, body, request, names, verbosity)
}

fn is_counted_only(raw: Raw) -> bool {
    matches!(
        raw,
        Raw::Ofpst10FlowReply | Raw::Ofpst11FlowReply | Raw::Ofpst13FlowReply | Raw::Ofpst15FlowReply
    )
}

fn print_stats_flags(out: &mut String, header: &Header) {
    let request = matches!(header.raw.def().class, Class::StatRequest(_) | Class::VendorStatRequest(..));
    // Requests come in parts since 1.3.
    let known = if request && header.version < Version::V13.wire() { 0 } else { header::MORE };
    out.push_str(" flags=");
    if header.flags & known != 0 {
        out.push_str("[more]");
    }
    if header.flags & !known != 0 {
        let _ = write!(out, "[***unknown flags {:#06x}***]", header.flags & !known);
    }
}

/// Seconds with as many decimals as it takes, at least three, none for whole seconds.
pub(crate) fn duration(out: &mut String, age: Age) {
    let _ = write!(out, "{}", age.sec);
    if age.nsec != 0 {
        let digits = format!("{:09}", age.nsec);
        let trimmed = digits.trim_end_matches('0').len().max(3);
        let _ = write!(out, ".{}", &digits[..trimmed]);
    }
}

/// The names of the bits of `bits` in `table`, in its order; unknown bits in hexadecimal, `0` for none.
pub(crate) fn bit_names(bits: u32, table: &[(u32, &str)]) -> String {
    if bits == 0 {
        return "0".to_owned();
    }
    let mut left = bits;
    let mut names = Vec::new();
    for (bit, name) in table {
        if left & bit != 0 {
            names.push((*name).to_owned());
            left &= !bit;
        }
    }
    if left != 0 {
        names.push(format!("{left:#x}"));
    }
    names.join(" ")
}

/// Sixteen bytes a line, in hexadecimal and as text.
pub(crate) fn hex_dump(out: &mut String, bytes: &[u8]) {
    for (row, line) in bytes.chunks(16).enumerate() {
        hex_line(out, row * 16, line);
        let text: String =
            line.iter().map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' }).collect();
        let _ = writeln!(out, "|{text:<16}|");
    }
}

fn hex_line(out: &mut String, offset: usize, line: &[u8]) {
    let _ = write!(out, "{offset:08x} ");
    for i in 0..16 {
        match line.get(i) {
            Some(byte) => {
                let separator = if i == 8 { '-' } else { ' ' };
                let _ = write!(out, "{separator}{byte:02x}");
            }
            None if i == 8 && line.len() == 8 => out.push_str("-  "),
            None => out.push_str("   "),
        }
    }
    out.push(' ');
}
