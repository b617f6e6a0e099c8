//! The text of which connections to forget: `zone=5 mark=1/3 labels=0x1 'ct_nw_src=10.0.0.1,ct_nw_proto=6' 'ct_nw_dst=…'`.
//!
//! Where it sits: `ct-flush` of ovs-ofctl; each argument is one of the parts.
//!
//! Spec: ovs-ofctl(8), "ct-flush".

use std::net::Ipv6Addr;

use super::{Pairs, TextError, number, text_error, values};
use crate::msg::{CtFlush, CtTuple};

/// Parses the arguments, which come in this order, each at most once.
pub fn parse(args: &[String]) -> Result<CtFlush, TextError> {
    let mut flush = CtFlush::default();
    let mut rest = args.iter().map(String::as_str).peekable();
    if let Some(text) = rest.next_if(|a| a.starts_with("zone=")) {
        flush.zone = Some(zone(text)?);
    }
    if let Some(text) = rest.next_if(|a| a.starts_with("mark=")) {
        let (value, mask) = masked(text, u32::MAX.into()).ok_or_else(|| words("mark"))?;
        flush.mark = Some((value as u32, mask as u32));
    }
    if let Some(text) = rest.next_if(|a| a.starts_with("labels=")) {
        flush.labels = Some(masked(text, u128::MAX).ok_or_else(|| words("labels"))?);
    }
    let mut protocol = None;
    for tuple in [&mut flush.orig, &mut flush.reply] {
        if let Some(text) = rest.next() {
            parse_tuple(text, tuple, &mut protocol)?;
        }
    }
    flush.protocol = protocol.unwrap_or(0);
    match rest.next() {
        None => Ok(flush),
        Some(_) => Err(TextError::new("invalid arguments")),
    }
}

fn words(what: &str) -> TextError {
    text_error!("Failed to parse {what}")
}

fn zone(text: &str) -> Result<u16, TextError> {
    let number = text.trim_start_matches("zone=");
    number::whole(number).and_then(|n| u16::try_from(n).ok()).ok_or_else(|| words("zone"))
}

/// `KEY=VALUE[/MASK]`.
fn masked(text: &str, full: u128) -> Option<(u128, u128)> {
    let (_, value) = text.split_once('=')?;
    let (value, mask) = value.split_once('/').map_or((value, None), |(v, m)| (v, Some(m)));
    let number = |text: &str| number::whole(text).filter(|n| *n <= full);
    let mask = match mask {
        None => full,
        Some(mask) => number(mask)?,
    };
    Some((number(value)?, mask))
}

fn parse_tuple(text: &str, tuple: &mut CtTuple, protocol: &mut Option<u8>) -> Result<(), TextError> {
    for (key, value) in Pairs::new(text) {
        let bad = || text_error!("Failed to parse ct-tuple: failed to parse field {key}");
        match key {
            "ct_nw_src" | "ct_nw_dst" => {
                let address = values::ipv4(value).ok_or_else(bad)?;
                *side(tuple, key) = CtTuple::mapped(address.into());
            }
            "ct_ipv6_src" | "ct_ipv6_dst" => {
                *side(tuple, key) = value.parse().map_err(|_| bad())?;
            }
            "ct_nw_proto" => {
                *protocol = Some(number::whole(value).and_then(|n| u8::try_from(n).ok()).ok_or_else(bad)?);
            }
            "ct_tp_src" | "icmp_id" => tuple.src_port = port(value).ok_or_else(bad)?,
            "ct_tp_dst" => tuple.dst_port = port(value).ok_or_else(bad)?,
            "icmp_type" => tuple.set_icmp_type(port(value).ok_or_else(bad)? as u8),
            "icmp_code" => tuple.set_icmp_code(port(value).ok_or_else(bad)? as u8),
            _ => return Err(text_error!("Failed to parse ct-tuple: invalid conntrack tuple field: {key}")),
        }
    }
    Ok(())
}

fn side<'a>(tuple: &'a mut CtTuple, key: &str) -> &'a mut Ipv6Addr {
    if key.ends_with("src") { &mut tuple.src } else { &mut tuple.dst }
}

fn port(text: &str) -> Option<u16> {
    number::whole(text).and_then(|n| u16::try_from(n).ok())
}
