//! Statistics of IPFIX exporters.
//!
//! Where it sits: `dump-ipfix-bridge` and `dump-ipfix-flow` on both sides. Spec: ovs-ofctl(8).

use crate::PutBytes;

use super::{Reader, Result};

/// Counters of one exporter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct IpfixStats {
    pub total_flows: u64,
    pub current_flows: u64,
    pub packets: u64,
    pub ipv4_packets: u64,
    pub ipv6_packets: u64,
    pub error_packets: u64,
    pub ipv4_error_packets: u64,
    pub ipv6_error_packets: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub collector_set_id: u32,
}

impl IpfixStats {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<IpfixStats> {
        let stats = IpfixStats {
            total_flows: r.u64()?,
            current_flows: r.u64()?,
            packets: r.u64()?,
            ipv4_packets: r.u64()?,
            ipv6_packets: r.u64()?,
            error_packets: r.u64()?,
            ipv4_error_packets: r.u64()?,
            ipv6_error_packets: r.u64()?,
            tx_packets: r.u64()?,
            tx_errors: r.u64()?,
            collector_set_id: r.u32()?,
        };
        r.skip(4)?;
        Ok(stats)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for n in [
            self.total_flows,
            self.current_flows,
            self.packets,
            self.ipv4_packets,
            self.ipv6_packets,
            self.error_packets,
            self.ipv4_error_packets,
            self.ipv6_error_packets,
            self.tx_packets,
            self.tx_errors,
        ] {
            out.put_u64(n);
        }
        out.put_u32(self.collector_set_id);
        out.put_zeros(4);
    }
}
