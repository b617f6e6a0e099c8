//! REQUESTFORWARD: what another controller did to groups and meters.
//!
//! Where it sits: the switch tells those who asked for it. Spec: OpenFlow 1.5.1 section 7.4.6.

use crate::OfpError;

use super::raw::Raw;
use super::{Reader, Result, header};

/// The request that was forwarded, a whole GROUP_MOD or METER_MOD.
pub(super) fn decode(version: u8, mut r: Reader<'_>) -> Result<Vec<u8>> {
    let len = header::message_len(r.rest()).ok_or(OfpError::OFPBFC_MSG_BAD_LEN)?;
    if len < header::HEADER_LEN || len > r.len() {
        return Err(OfpError::OFPBFC_MSG_BAD_LEN);
    }
    if r.rest().first() != Some(&version) {
        return Err(OfpError::OFPBRC_BAD_VERSION);
    }
    let request = r.bytes(len)?;
    let (inner, _) = header::parse(request)?;
    match inner.raw {
        Raw::Ofpt11GroupMod | Raw::Ofpt15GroupMod | Raw::NxtGroupMod | Raw::Ofpt13MeterMod => {
            super::decode(request, &super::Limits::default())?;
            Ok(request.to_vec())
        }
        _ => Err(OfpError::OFPBFC_MSG_UNSUP),
    }
}
