//! PACKET_OUT: a packet from the controller, with what to do with it.
//!
//! Where it sits: decoded for the switch, which runs the actions; made by `packet-out`.
//!
//! Spec: OpenFlow 1.5.1 section 7.3.6; 1.0 section 5.3.6.

use flow::{Match, slot};

use crate::matches::{self, Strictness};
use crate::{Action, OfpError, OfpPort, PutBytes, Version, actions};

use super::raw::Raw;
use super::{PutBody, Reader, Result, header};

/// A packet from the controller.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketOut {
    /// The ingress port; 1.5 adds registers, tunnel and so on.
    pub metadata: Match,
    /// A frame that the switch held back, or all-ones: `data`.
    pub buffer_id: u32,
    /// What to do.
    pub actions: Vec<Action>,
    /// The frame.
    pub data: Vec<u8>,
}

impl PacketOut {
    /// A packet-out of `data`, which came in on `in_port`.
    pub fn new(in_port: OfpPort, actions: Vec<Action>, data: Vec<u8>) -> PacketOut {
        let mut metadata = Match::ANY;
        metadata.set_exact(slot::in_port, u128::from(in_port.0));
        PacketOut { metadata, buffer_id: u32::MAX, actions, data }
    }

    /// The ingress port.
    pub fn in_port(&self) -> OfpPort {
        OfpPort(self.metadata.key.in_port())
    }

    pub(super) fn decode(raw: Raw, version: Version, mut r: Reader<'_>) -> Result<PacketOut> {
        let buffer_id = r.u32()?;
        let mut po = PacketOut::new(OfpPort::NONE, Vec::new(), Vec::new());
        let actions_len;
        match raw {
            Raw::Ofpt10PacketOut => {
                po = PacketOut::new(OfpPort::from_of10(r.u16()?), Vec::new(), Vec::new());
                actions_len = usize::from(r.u16()?);
            }
            Raw::Ofpt11PacketOut => {
                po = PacketOut::new(OfpPort::from_of11(r.u32()?)?, Vec::new(), Vec::new());
                actions_len = usize::from(r.u16()?);
                r.skip(6)?;
            }
            _ => {
                actions_len = usize::from(r.u16()?);
                r.skip(2)?;
                let (metadata, used) = matches::decode(r.rest(), version, Strictness::Loose)?;
                r.skip(used)?;
                po.metadata = metadata;
                if !only_pipeline_fields(&po.metadata) {
                    return Err(OfpError::OFPBRC_PIPELINE_FIELDS_ONLY);
                }
                if metadata.wc.in_port() == 0 {
                    return Err(OfpError::OFPBRC_BAD_PORT);
                }
            }
        }
        let actions = r.bytes(actions_len)?;
        po.actions = actions::decode(actions, version)?;
        let port = po.in_port();
        if !port.is_ordinary() && !matches!(port, OfpPort::LOCAL | OfpPort::NONE | OfpPort::CONTROLLER) {
            return Err(OfpError::OFPBRC_BAD_PORT);
        }
        po.buffer_id = buffer_id;
        if buffer_id == u32::MAX {
            po.data = r.take_rest().to_vec();
        }
        Ok(po)
    }

    pub(super) fn encode(&self, version: Version, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let raw = match version {
            Version::V10 => Raw::Ofpt10PacketOut,
            Version::V15 => Raw::Ofpt15PacketOut,
            _ => Raw::Ofpt11PacketOut,
        };
        let at = header::start(out, raw, version.wire(), xid);
        out.put_u32(self.buffer_id);
        match raw {
            Raw::Ofpt10PacketOut => out.put_u16(self.in_port().to_of10()),
            Raw::Ofpt11PacketOut => out.put_u32(self.in_port().0),
            _ => {}
        }
        let len_at = out.len();
        match raw {
            Raw::Ofpt10PacketOut => out.put_zeros(2),
            Raw::Ofpt11PacketOut => out.put_zeros(8),
            _ => {
                out.put_zeros(4);
                matches::encode(&self.metadata, version, out);
            }
        }
        let start = out.len();
        actions::encode(&self.actions, version, out)?;
        out.set_len16(len_at, start);
        if self.buffer_id == u32::MAX {
            out.put(&self.data);
        }
        header::finish(out, at);
        Ok(())
    }
}

/// True if the match is on nothing that the packet itself has.
fn only_pipeline_fields(m: &Match) -> bool {
    let packet_words = &m.wc.words()[usize::from(slot::eth_dst.word)..];
    packet_words.iter().all(|w| *w == 0)
}
