//! The headers of generic netlink and of nfnetlink.
//!
//! Where it sits: between a message's header and its attributes.

use crate::{Attrs, array};

/// Bytes of [`GenlHeader`].
pub const GENL_HEADER_LEN: usize = 4;
/// Bytes of [`NfgenHeader`].
pub const NFGEN_HEADER_LEN: usize = 4;

/// The header of a generic netlink message (`genlmsghdr`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GenlHeader {
    /// The family's command.
    pub command: u8,
    /// The family's version.
    pub version: u8,
}

impl GenlHeader {
    /// Splits a message's payload into this header and what follows it.
    pub fn split(payload: &[u8]) -> Option<(GenlHeader, &[u8])> {
        let [command, version, _, _] = array(payload, 0)?;
        Some((GenlHeader { command, version }, payload.get(GENL_HEADER_LEN..)?))
    }

    /// Splits a message's payload into this header and the attributes after it.
    pub fn split_attrs(payload: &[u8]) -> Option<(GenlHeader, Attrs<'_>)> {
        GenlHeader::split(payload).map(|(h, rest)| (h, Attrs::new(rest)))
    }

    /// Its bytes.
    pub fn emit(self) -> [u8; GENL_HEADER_LEN] {
        [self.command, self.version, 0, 0]
    }
}

/// The header of an nfnetlink message (`nfgenmsg`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NfgenHeader {
    /// The address family.
    pub family: u8,
    /// The version, zero.
    pub version: u8,
    /// The resource: a queue, a table.
    pub res_id: u16,
}

impl NfgenHeader {
    /// Splits a message's payload into this header and what follows it.
    pub fn split(payload: &[u8]) -> Option<(NfgenHeader, &[u8])> {
        let [family, version, high, low] = array(payload, 0)?;
        let header = NfgenHeader { family, version, res_id: u16::from_be_bytes([high, low]) };
        Some((header, payload.get(NFGEN_HEADER_LEN..)?))
    }

    /// Its bytes.
    pub fn emit(self) -> [u8; NFGEN_HEADER_LEN] {
        let [high, low] = self.res_id.to_be_bytes();
        [self.family, self.version, high, low]
    }

    /// The type of a message: subsystem and its message.
    pub const fn kind(subsystem: u8, message: u8) -> u16 {
        (subsystem as u16) << 8 | message as u16
    }
}
