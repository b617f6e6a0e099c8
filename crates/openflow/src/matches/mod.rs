//! Matches: what packets a flow is for, on the wire of every version and in text.
//!
//! Where it sits: `flow::Match` is the form of the whole program; this module is its codecs.

use flow::Match;

use crate::{Names, OfpError, Protocols, TextError, Version};

/// A cookie to be matched beside fields: `value` in the bits of `mask`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CookieMatch {
    /// The cookie.
    pub value: u64,
    /// Which bits of it matter; zero: none.
    pub mask: u64,
}

/// What to do with fields that are not known, and with missing prerequisites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// They are errors (flow mods).
    Strict,
    /// Unknown fields are skipped, prerequisites are not looked at (packet metadata, statistics).
    Loose,
}

/// Decodes Nicira's extended match: bare entries, without padding.
pub fn decode_nxm(bytes: &[u8], strictness: Strictness) -> Result<(Match, CookieMatch), OfpError> {
    let _ = (bytes, strictness);
    Err(OfpError::OFPBMC_BAD_FIELD)
}

/// Decodes the match of OpenFlow 1.1 and later at the start of `bytes`: the match and how many bytes it takes, padding
/// included.
pub fn decode(bytes: &[u8], version: Version, strictness: Strictness) -> Result<(Match, usize), OfpError> {
    let _ = (bytes, version, strictness);
    Err(OfpError::OFPBMC_BAD_TYPE)
}

/// Appends Nicira's extended match, padded to 8 bytes; returns its length without the padding.
pub fn encode_nxm(m: &Match, cookie: CookieMatch, out: &mut Vec<u8>) -> usize {
    let _ = (m, cookie, out);
    0
}

/// Appends the match of OpenFlow 1.1 or later, padded; returns its length without the padding.
pub fn encode(m: &Match, version: Version, out: &mut Vec<u8>) -> usize {
    let _ = (m, version, out);
    0
}

/// Decodes OpenFlow 1.0's match.
pub fn decode_of10(bytes: &[u8; 40]) -> Match {
    let _ = bytes;
    Match::ANY
}

/// OpenFlow 1.0's match; what it cannot say is left out.
pub fn encode_of10(m: &Match) -> [u8; 40] {
    let _ = m;
    [0; 40]
}

/// The protocols that can carry the match.
pub fn usable_protocols(m: &Match) -> Protocols {
    let _ = m;
    Protocols::ANY
}

/// Drops from a match what its own fields say cannot be there (`tp_src` without `nw_proto`).
pub fn normalize(m: &mut Match) {
    let _ = m;
}

/// Parses a match as `ovs-ofctl dump-flows` takes it: fields only.
pub fn parse(text: &str, names: &Names) -> Result<(Match, Protocols), TextError> {
    let _ = (text, names);
    Err(TextError::new("unsupported"))
}

/// The text of a match with its priority, as dump-flows prints it; the default priority (0x8000) is left out.
pub fn format(m: &Match, priority: u16, names: &Names) -> String {
    let _ = (m, priority, names);
    String::new()
}
