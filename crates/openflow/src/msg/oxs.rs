//! OXS, OpenFlow 1.5's list of statistics in type-length-value form.
//!
//! Where it sits: in flow statistics, aggregates and flow-removed of 1.5.
//!
//! Unknown entries are skipped; an absent one is `None`. Spec: OpenFlow 1.5.1 section 7.2.4.

use crate::{OfpError, PutBytes};

use super::flow_stats::Age;
use super::{PutBody, Reader, Result};

/// What a block says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OxsStats {
    /// How long the flow exists.
    pub duration: Option<Age>,
    /// Seconds since its last packet.
    pub idle_sec: Option<u32>,
    /// Flows.
    pub flow_count: Option<u32>,
    /// Packets.
    pub packet_count: Option<u64>,
    /// Bytes.
    pub byte_count: Option<u64>,
}

const DURATION: u32 = 0x8002_0008;
const IDLE_TIME: u32 = 0x8002_0208;
const FLOW_COUNT: u32 = 0x8002_0604;
const PACKET_COUNT: u32 = 0x8002_0808;
const BYTE_COUNT: u32 = 0x8002_0a08;

/// Takes a block and its padding off `r`.
pub(super) fn pull(r: &mut Reader<'_>) -> Result<OxsStats> {
    let bad = |_| OfpError::OFPBMC_BAD_LEN;
    r.skip(2).map_err(bad)?;
    let len = usize::from(r.u16().map_err(bad)?);
    let mut entries = r.sub(len.checked_sub(4).ok_or(OfpError::OFPBMC_BAD_LEN)?).map_err(bad)?;
    r.skip(len.next_multiple_of(8) - len).map_err(bad)?;
    let mut stats = OxsStats::default();
    while !entries.is_empty() {
        let head = entries.u32()?;
        let mut value = entries.sub((head & 0xff) as usize)?;
        match head {
            DURATION => stats.duration = Some(Age::decode(&mut value)?),
            IDLE_TIME => stats.idle_sec = Some(value.u32()?),
            FLOW_COUNT => stats.flow_count = Some(value.u32()?),
            PACKET_COUNT => stats.packet_count = Some(value.u64()?),
            BYTE_COUNT => stats.byte_count = Some(value.u64()?),
            _ => {}
        }
    }
    Ok(stats)
}

/// Appends a block and its padding.
pub(super) fn put(stats: &OxsStats, out: &mut Vec<u8>) {
    let at = out.len();
    out.put_zeros(4);
    if let Some(age) = stats.duration {
        out.put_u32(DURATION);
        age.encode(out);
    }
    if let Some(sec) = stats.idle_sec {
        out.put_u32(IDLE_TIME);
        out.put_u32(sec);
        out.put_u32(0);
    }
    for (head, count) in [(PACKET_COUNT, stats.packet_count), (BYTE_COUNT, stats.byte_count)] {
        if let Some(n) = count {
            out.put_u32(head);
            out.put_u64(n);
        }
    }
    if let Some(n) = stats.flow_count {
        out.put_u32(FLOW_COUNT);
        out.put_u32(n);
    }
    out.set_len16(at + 2, at);
    out.pad8(at);
}
