//! Commands that need no switch: messages, flows, actions and matches between bytes and text.
//!
//! Where it sits: tests of Open vSwitch and people who debug use them; each shows one codec of `openflow`.

use openflow::matches::{self, Strictness};
use openflow::msg::header::{self, HEADER_LEN};
use openflow::msg::{Dialect, ErrorMessage, Hello, Message, VersionSet};
use openflow::print::{self, Verbosity};
use openflow::text::flow;
use openflow::{ErrorCode, FlowMod, FlowModCommand, Names, OfpError, Protocols, Version, actions};

use super::flows::{Lines, Parsed, parse_file};
use super::packets::hex_bytes;
use super::vconn::next_xid;
use super::{Context, Fatal, exit, fatal, oxm_text, say};

/// ofp-print
pub async fn ofp_print(_: &Context, args: &[String]) -> Result<(), Fatal> {
    let verbosity = args.get(1).map_or(Some(2), |v| v.parse().ok()).unwrap_or(0);
    match hex_bytes(&args[0]) {
        (bytes, "") => say(&print::message(&bytes, &Names::none(), Verbosity(verbosity))),
        _ => return Err(fatal("trailing garbage following hex bytes")),
    }
    Ok(())
}

/// ofp-parse
pub async fn ofp_parse(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let file = &args[0];
    let read = if file == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = read.map_err(|e| fatal(format!("{file}: open failed ({})", stream::error_text(&e))))?;
    let mut rest = &bytes[..];
    while let Some(len) = header::message_len(rest) {
        if len < HEADER_LEN {
            return Err(fatal(format!("{file}: {len}-byte message is too short for OpenFlow")));
        }
        let Some((message, tail)) = rest.split_at_checked(len) else {
            return Err(fatal(format!("{file}: unexpected end of file mid-message")));
        };
        say(&print::message(message, &Names::none(), Verbosity(cx.more + 2)));
        rest = tail;
    }
    if rest.is_empty() { Ok(()) } else { Err(fatal(format!("{file}: unexpected end of file mid-message"))) }
}

/// The protocol that a tool would speak among several: the lowest.
fn choose(cx: &Context, usable: Protocols) -> Result<Protocols, Fatal> {
    if usable.is_empty() {
        return Err(fatal("no usable protocol"));
    }
    let both = usable & cx.allowed;
    both.iter().find(|p| p.bits().is_power_of_two()).ok_or_else(|| {
        fatal(format!("no usable protocol is allowed: usable {usable}, allowed {}", cx.allowed))
    })
}

fn say_flow_mods(cx: &Context, mods: Vec<Parsed>) -> Result<(), Fatal> {
    let usable = mods.iter().fold(Protocols::ANY, |all, (_, usable)| all & *usable);
    say(&format!("usable protocols: {usable}\n"));
    let protocol = choose(cx, usable)?;
    say(&format!("chosen protocol: {protocol}\n"));
    for (fm, _) in mods {
        say_flow_mod(fm, protocol)?;
    }
    Ok(())
}

fn say_flow_mod(fm: FlowMod, protocol: Protocols) -> Result<(), Fatal> {
    let dialect = Dialect::of_protocol(protocol);
    let bytes = Message::FlowMod(fm).to_bytes(dialect, next_xid()).map_err(|e| fatal(e.name()))?;
    say(&print::message(&bytes, &Names::none(), Verbosity(2)));
    Ok(())
}

/// parse-key-value
pub async fn parse_key_value(_: &Context, args: &[String]) -> Result<(), Fatal> {
    for arg in args {
        let pairs = openflow::text::Pairs::new(arg)
            .map(|(key, value)| if value.is_empty() { key.to_owned() } else { format!("{key}={value}") });
        say(&format!("{}\n", pairs.collect::<Vec<String>>().join(", ")));
    }
    Ok(())
}

/// parse-flow
pub async fn parse_flow(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let parsed = flow::parse(&args[0], FlowModCommand::Add, &Names::none());
    say_flow_mods(cx, vec![parsed.map_err(|e| fatal(e.to_string()))?])
}

/// parse-flows
pub async fn parse_flows(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    say_flow_mods(cx, parse_file(cx, None, &args[0], Lines::Of(FlowModCommand::Add)).await?)
}

fn version(name: &str) -> Result<Version, Fatal> {
    Version::from_name(name).ok_or_else(|| fatal(format!("invalid OpenFlow version \"{name}\"")))
}

/// Lines of standard input: those that are comments and empty ones are repeated as they are, the others given to `each`.
fn for_each_line(mut each: impl FnMut(&str) -> Result<(), Fatal>) -> Result<(), Fatal> {
    for line in std::io::stdin().lines() {
        let line = line.map_err(|e| fatal(stream::error_text(&e)))?;
        let text = line.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            say(&format!("{line}\n"));
        } else {
            each(text)?;
        }
    }
    Ok(())
}

/// The same, with bytes in hexadecimal; what is not is the end.
fn for_each_hex_line(mut each: impl FnMut(Vec<u8>) -> Result<(), Fatal>) -> Result<(), Fatal> {
    for line in std::io::stdin().lines() {
        let line = line.map_err(|e| fatal(stream::error_text(&e)))?;
        let text = line.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        match hex_bytes(text) {
            (bytes, "") => each(bytes)?,
            _ => return Err(fatal("Trailing garbage in hex data")),
        }
    }
    Ok(())
}

/// How a list on the wire is read.
type ListDecoder = fn(&[u8], Version) -> Result<Vec<openflow::Action>, OfpError>;
/// How it is written.
type ListEncoder = fn(&[openflow::Action], Version, &mut Vec<u8>) -> Result<(), OfpError>;

fn parse_list(name: &str, what: &str, decode: ListDecoder, encode: ListEncoder) -> Result<(), Fatal> {
    let version = version(name)?;
    for_each_hex_line(|bytes| {
        let aligned = bytes.len().is_multiple_of(8);
        let list = if aligned { decode(&bytes, version) } else { Err(OfpError::OFPBRC_BAD_LEN) };
        match list {
            Err(e) => say(&format!("bad {} {what}: {}\n\n", version.name(), e.name())),
            Ok(list) => {
                say(&format!("actions={}\n", actions::format(&list, &Names::none())));
                let mut back = Vec::new();
                let _ = encode(&list, version, &mut back);
                say_differences(&bytes, &back);
                say("\n");
            }
        }
        Ok(())
    })
}

/// The bytes that are not the same in both, by their place.
fn say_differences(one: &[u8], two: &[u8]) {
    for i in 0..one.len().max(two.len()) {
        let (a, b) = (one.get(i), two.get(i));
        if a != b {
            let hex = |byte: Option<&u8>| byte.map_or("(none)".to_owned(), |b| format!("{b:02x}"));
            say(&format!("{i:2}: {} -> {}\n", hex(a), hex(b)));
        }
    }
}

/// parse-actions
pub async fn parse_actions(_: &Context, args: &[String]) -> Result<(), Fatal> {
    parse_list(&args[0], "actions", actions::decode, actions::encode)
}

/// parse-instructions
pub async fn parse_instructions(_: &Context, args: &[String]) -> Result<(), Fatal> {
    parse_list(&args[0], "instructions", actions::decode_instructions, actions::encode_instructions)
}

/// parse-nx-match
pub async fn parse_nx_match(cx: &Context, _: &[String]) -> Result<(), Fatal> {
    let strictness = if cx.strict { Strictness::Strict } else { Strictness::Loose };
    for_each_line(|text| {
        let bytes = oxm_text::parse(text).map_err(fatal)?;
        match matches::decode_nxm(&bytes, strictness) {
            Ok((m, cookie)) => {
                let mut out = Vec::new();
                let len = matches::encode_nxm(&m, cookie, &mut out);
                say(&format!("{}\n", oxm_text::format(&out[..len])));
            }
            Err(e) => say(&format!("nx_pull_match() returned error {}\n", e.name())),
        }
        Ok(())
    })
}

/// parse-oxm
pub async fn parse_oxm(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let strictness = if cx.strict { Strictness::Strict } else { Strictness::Loose };
    let version = version(&args[0])?;
    if version < Version::V12 {
        return Err(fatal(format!("invalid OpenFlow version \"{}\"", args[0])));
    }
    for_each_line(|text| {
        let entries = oxm_text::parse(text).map_err(fatal)?;
        let mut bytes = vec![0, 1];
        bytes.extend((entries.len() as u16 + 4).to_be_bytes());
        bytes.extend(&entries);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        match matches::decode(&bytes, version, strictness) {
            Ok((m, _)) => {
                let mut out = Vec::new();
                let len = matches::encode(&m, version, &mut out);
                say(&format!("{}\n", oxm_text::format(out.get(4..len).unwrap_or_default())));
            }
            Err(e) => say(&format!("nx_pull_match() returned error {}\n", e.name())),
        }
        Ok(())
    })
}

/// parse-ofp10-match
pub async fn parse_ofp10_match(_: &Context, _: &[String]) -> Result<(), Fatal> {
    for_each_hex_line(|bytes| {
        let Ok(fixed) = <[u8; 40]>::try_from(&bytes[..]) else {
            return Err(fatal(format!("Input is {} bytes, expected 40", bytes.len())));
        };
        let mut m = matches::decode_of10(&fixed);
        matches::normalize(&mut m);
        let back = matches::encode_of10(&m);
        say(&format!("{}\n", matches::format(&m, FlowMod::DEFAULT_PRIORITY, &Names::none())));
        say_differences(&fixed, &back);
        say("\n");
        Ok(())
    })
}

/// parse-ofp11-match
pub async fn parse_ofp11_match(_: &Context, _: &[String]) -> Result<(), Fatal> {
    for_each_hex_line(|bytes| {
        if bytes.len() != 88 {
            return Err(fatal(format!("Input is {} bytes, expected 88", bytes.len())));
        }
        match matches::decode(&bytes, Version::V11, Strictness::Strict) {
            Err(e) => say(&format!("bad ofp11_match: {}\n\n", e.name())),
            Ok((m, _)) => {
                let mut back = Vec::new();
                matches::encode(&m, Version::V11, &mut back);
                say(&format!("{}\n", matches::format(&m, FlowMod::DEFAULT_PRIORITY, &Names::none())));
                say_differences(&bytes, &back);
                say("\n");
            }
        }
        Ok(())
    })
}

fn error(name: &str) -> Result<OfpError, Fatal> {
    let found = OfpError::ALL.iter().copied().find(|e| e.name() == name);
    found.ok_or_else(|| fatal(format!("unknown error \"{name}\"")))
}

/// print-error
pub async fn print_error(_: &Context, args: &[String]) -> Result<(), Fatal> {
    let error = error(&args[0])?;
    for version in Version::ALL {
        let (vendor, kind, code) = match error.code(version) {
            None => (0, -1, -1),
            Some(ErrorCode::Standard { kind, code }) => (0, i32::from(kind), i32::from(code)),
            Some(ErrorCode::Vendor { vendor, kind, code }) => (vendor, i32::from(kind), i32::from(code)),
            Some(ErrorCode::Experimenter { vendor, kind }) => (vendor, i32::from(kind), 0),
        };
        let vendor = if vendor == 0 { "0".to_owned() } else { format!("{vendor:#x}") };
        let minor = version.index();
        say(&format!("OpenFlow 1.{minor}: vendor {vendor}, type {kind}, code {code}\n"));
    }
    Ok(())
}

/// Sixteen bytes a line, without text.
pub fn say_hex(bytes: &[u8]) {
    for (row, line) in bytes.chunks(16).enumerate() {
        let mut text = format!("{:08x} ", row * 16);
        for (i, byte) in line.iter().enumerate() {
            text.push_str(&format!("{}{byte:02x}", if i == 8 { '-' } else { ' ' }));
        }
        say(&format!("{text}\n"));
    }
}

/// encode-error-reply
pub async fn encode_error_reply(_: &Context, args: &[String]) -> Result<(), Fatal> {
    let error = error(&args[0])?;
    let (request, rest) = hex_bytes(&args[1]);
    if !rest.is_empty() {
        return Err(fatal("trailing garbage following hex bytes"));
    }
    if request.len() < HEADER_LEN {
        return Err(fatal("Request too short"));
    }
    let version = Version::from_wire(request[0]).unwrap_or(Version::V10);
    if error.code(version).is_none() {
        log::error!(target: "ofp_errors", "cannot encode {error} for OpenFlow 1.{}", version.index());
    }
    let message = Message::Error(ErrorMessage::of(error, version, &request));
    let xid = header::message_xid(&request);
    let bytes = message.to_bytes(Dialect::new(version), xid).map_err(|e| fatal(e.name()))?;
    say_hex(&bytes);
    Ok(())
}

/// encode-hello
pub async fn encode_hello(_: &Context, args: &[String]) -> Result<(), Fatal> {
    let text = args[0].trim();
    let bits = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let bits = bits.ok().filter(|bits| bits & !1 != 0).ok_or_else(|| exit(1))?;
    let hello = Message::Hello(Hello::new(VersionSet(bits & !1)));
    let bytes = hello.to_bytes(Dialect::new(Version::V10), next_xid()).map_err(|e| fatal(e.name()))?;
    say_hex(&bytes);
    say(&print::message(&bytes, &Names::none(), Verbosity(0)));
    Ok(())
}
