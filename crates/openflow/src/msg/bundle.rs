//! Bundles: messages that take effect together.
//!
//! Where it sits: `--bundle` of the tool on one side, the switch's bundle table on the other.
//!
//! Spec: OpenFlow 1.5.1 section 7.3.9; ONF extension 230 for 1.3.

use crate::{OfpError, PutBytes, Version};

use super::raw::Raw;
use super::{PutBody, Reader, Result, header};

/// What is done with a bundle; odd numbers answer the even ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs, reason = "named after the specification")]
pub enum BundleCtrl {
    OpenRequest = 0,
    OpenReply = 1,
    CloseRequest = 2,
    CloseReply = 3,
    CommitRequest = 4,
    CommitReply = 5,
    DiscardRequest = 6,
    DiscardReply = 7,
}

impl BundleCtrl {
    /// All, in the order of their numbers.
    pub const ALL: [BundleCtrl; 8] = [
        BundleCtrl::OpenRequest,
        BundleCtrl::OpenReply,
        BundleCtrl::CloseRequest,
        BundleCtrl::CloseReply,
        BundleCtrl::CommitRequest,
        BundleCtrl::CommitReply,
        BundleCtrl::DiscardRequest,
        BundleCtrl::DiscardReply,
    ];

    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            BundleCtrl::OpenRequest => "OPEN_REQUEST",
            BundleCtrl::OpenReply => "OPEN_REPLY",
            BundleCtrl::CloseRequest => "CLOSE_REQUEST",
            BundleCtrl::CloseReply => "CLOSE_REPLY",
            BundleCtrl::CommitRequest => "COMMIT_REQUEST",
            BundleCtrl::CommitReply => "COMMIT_REPLY",
            BundleCtrl::DiscardRequest => "DISCARD_REQUEST",
            BundleCtrl::DiscardReply => "DISCARD_REPLY",
        }
    }

    /// The answer to a request; `None` for an answer.
    pub fn reply(self) -> Option<BundleCtrl> {
        let n = self as usize;
        n.is_multiple_of(2).then(|| BundleCtrl::ALL[n + 1])
    }
}

bitflags::bitflags! {
    /// What a bundle promises.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct BundleFlags: u16 {
        /// All or nothing.
        const ATOMIC = 1 << 0;
        /// In order.
        const ORDERED = 1 << 1;
    }
}

/// Body of BUNDLE_CONTROL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleControl {
    /// The bundle, by the controller's number.
    pub bundle_id: u32,
    /// What to do.
    pub ctrl: BundleCtrl,
    /// What it promises; kept as it came, so that the switch can refuse unknown bits.
    pub flags: u16,
}

impl BundleControl {
    pub(super) fn decode(mut r: Reader<'_>) -> Result<BundleControl> {
        let bundle_id = r.u32()?;
        let ctrl = BundleCtrl::ALL.get(usize::from(r.u16()?)).copied().ok_or(OfpError::OFPBFC_BAD_TYPE)?;
        Ok(BundleControl { bundle_id, ctrl, flags: r.u16()? })
    }

    pub(super) fn encode(&self, version: Version, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let raw = Raw::pick(&[Raw::Onft13BundleControl, Raw::Ofpt14BundleControl], version.wire());
        let at = header::start(out, raw.ok_or(OfpError::OFPBRC_BAD_VERSION)?, version.wire(), xid);
        out.put_u32(self.bundle_id);
        out.put_u16(self.ctrl as u16);
        out.put_u16(self.flags);
        header::finish(out, at);
        Ok(())
    }
}

/// Body of BUNDLE_ADD_MESSAGE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAdd {
    /// The bundle.
    pub bundle_id: u32,
    /// What it promises.
    pub flags: u16,
    /// The whole message that it takes, checked to be of a kind that bundles take.
    pub message: Vec<u8>,
}

impl BundleAdd {
    pub(super) fn decode(outer_version: u8, xid: u32, mut r: Reader<'_>) -> Result<BundleAdd> {
        let bundle_id = r.u32()?;
        r.skip(2)?;
        let flags = r.u16()?;
        let len = header::message_len(r.rest()).ok_or(OfpError::OFPBFC_MSG_BAD_LEN)?;
        if r.rest().first() != Some(&outer_version) {
            return Err(OfpError::OFPBFC_BAD_VERSION);
        }
        if len < header::HEADER_LEN || len > r.len() {
            return Err(OfpError::OFPBFC_MSG_BAD_LEN);
        }
        let message = r.bytes(len)?;
        if header::message_xid(message) != xid {
            return Err(OfpError::OFPBFC_MSG_BAD_XID);
        }
        let (inner, _) = header::parse(message).map_err(|_| OfpError::OFPBFC_MSG_UNSUP)?;
        if !is_bundlable(inner.raw) {
            return Err(OfpError::OFPBFC_MSG_UNSUP);
        }
        Ok(BundleAdd { bundle_id, flags, message: message.to_vec() })
    }

    pub(super) fn encode(&self, version: Version, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let raw = Raw::pick(&[Raw::Onft13BundleAddMessage, Raw::Ofpt14BundleAddMessage], version.wire());
        let at = header::start(out, raw.ok_or(OfpError::OFPBRC_BAD_VERSION)?, version.wire(), xid);
        out.put_u32(self.bundle_id);
        out.put_u16(0);
        out.put_u16(self.flags);
        let inner = out.len();
        out.put(&self.message);
        if let Some(place) = out.get_mut(inner + 4..inner + 8) {
            place.copy_from_slice(&xid.to_be_bytes());
        }
        header::finish(out, at);
        Ok(())
    }
}

fn is_bundlable(raw: Raw) -> bool {
    let name = raw.name();
    ["PORT_MOD", "FLOW_MOD", "GROUP_MOD", "PACKET_OUT"].iter().any(|kind| name.ends_with(kind))
}
