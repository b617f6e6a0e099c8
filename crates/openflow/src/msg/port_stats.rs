//! PORT statistics.
//!
//! Where it sits: `dump-ports` on both sides. A counter of all-ones is not known. Spec: OpenFlow 1.5.1 section 7.3.5.7.

use crate::{OfpError, OfpPort, PutBytes, Version};

use super::flow_stats::Age;
use super::header::Parts;
use super::raw::Raw;
use super::{PutBody, Reader, Result, props};

/// The vendor of the properties with more counters.
const INTEL_VENDOR: u32 = 0x0000_aa01;

/// Counters of one port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the counters have the specification's names")]
pub struct PortStats {
    /// The port.
    pub port: OfpPort,
    /// How long it exists; 1.3 and later carry it.
    pub duration: Age,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_frame_err: u64,
    pub rx_over_err: u64,
    pub rx_crc_err: u64,
    pub collisions: u64,
    /// RFC 2819's counters in their order on the wire; 1.4 and later carry them. All-ones: not known.
    pub rfc2819: [u64; Rfc2819::COUNT],
    /// Counters of the device, by name; 1.4 and later carry them.
    pub custom: Vec<(String, u64)>,
}

/// Names of RFC 2819's counters in text, in their order on the wire.
pub struct Rfc2819;

impl Rfc2819 {
    /// How many there are.
    pub const COUNT: usize = 21;
}

impl Default for PortStats {
    fn default() -> PortStats {
        const NONE: u64 = u64::MAX;
        PortStats {
            port: OfpPort::NONE,
            duration: Age::UNKNOWN,
            rx_packets: NONE,
            tx_packets: NONE,
            rx_bytes: NONE,
            tx_bytes: NONE,
            rx_dropped: NONE,
            tx_dropped: NONE,
            rx_errors: NONE,
            tx_errors: NONE,
            rx_frame_err: NONE,
            rx_over_err: NONE,
            rx_crc_err: NONE,
            collisions: NONE,
            rfc2819: [NONE; Rfc2819::COUNT],
            custom: Vec::new(),
        }
    }
}

impl PortStats {
    fn common(&mut self) -> [&mut u64; 8] {
        [
            &mut self.rx_packets,
            &mut self.tx_packets,
            &mut self.rx_bytes,
            &mut self.tx_bytes,
            &mut self.rx_dropped,
            &mut self.tx_dropped,
            &mut self.rx_errors,
            &mut self.tx_errors,
        ]
    }

    fn ethernet(&mut self) -> [&mut u64; 4] {
        [&mut self.rx_frame_err, &mut self.rx_over_err, &mut self.rx_crc_err, &mut self.collisions]
    }

    fn decode(version: Version, r: &mut Reader<'_>) -> Result<PortStats> {
        let mut ps = PortStats::default();
        if version >= Version::V14 {
            return ps.decode_of14(r).map(|()| ps);
        }
        if version == Version::V10 {
            ps.port = OfpPort::from_of10(r.u16()?);
            r.skip(6)?;
        } else {
            ps.port = OfpPort::from_of11(r.u32()?)?;
            r.skip(4)?;
        }
        for counter in ps.common() {
            *counter = r.u64()?;
        }
        for counter in ps.ethernet() {
            *counter = r.u64()?;
        }
        if version == Version::V13 {
            ps.duration = Age::decode(r)?;
        }
        Ok(ps)
    }

    fn decode_of14(&mut self, r: &mut Reader<'_>) -> Result<()> {
        let start = *r;
        let len = usize::from(r.u16()?);
        let mut body = { start }.sub(len)?;
        *r = start;
        r.skip(len)?;
        body.skip(4)?;
        self.port = OfpPort::from_of11(body.u32()?)?;
        self.duration = Age::decode(&mut body)?;
        for counter in self.common() {
            *counter = body.u64()?;
        }
        while !body.is_empty() {
            let prop = props::next(&mut body, &[0xffff])?;
            self.decode_property(prop).map_err(|_| OfpError::OFPBPC_BAD_LEN)?;
        }
        Ok(())
    }

    fn decode_property(&mut self, prop: props::Prop<'_>) -> Result<()> {
        let mut v = prop.payload;
        match (prop.kind, prop.experimenter) {
            (0, _) => {
                if v.len() != 36 {
                    return Err(OfpError::OFPBPC_BAD_LEN);
                }
                v.skip(4)?;
                for counter in self.ethernet() {
                    *counter = v.u64()?;
                }
            }
            (_, Some((INTEL_VENDOR, 1))) => {
                v.skip(4)?;
                for counter in &mut self.rfc2819 {
                    *counter = v.u64()?;
                }
            }
            (_, Some((INTEL_VENDOR, 2))) => {
                v.skip(2)?;
                for _ in 0..v.u16()? {
                    let len = usize::from(v.u8()?);
                    let name = String::from_utf8_lossy(v.bytes(len)?).into_owned();
                    self.custom.push((name, v.u64()?));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let mut counters = self.clone();
        if version >= Version::V14 {
            return counters.encode_of14(out);
        }
        if version == Version::V10 {
            out.put_u16(self.port.to_of10());
            out.put_zeros(6);
        } else {
            out.put_u32(self.port.0);
            out.put_zeros(4);
        }
        for counter in counters.common() {
            out.put_u64(*counter);
        }
        for counter in counters.ethernet() {
            out.put_u64(*counter);
        }
        if version == Version::V13 {
            self.duration.encode(out);
        }
    }

    fn encode_of14(&mut self, out: &mut Vec<u8>) {
        let at = out.len();
        out.put_zeros(4);
        out.put_u32(self.port.0);
        self.duration.encode(out);
        for counter in self.common() {
            out.put_u64(*counter);
        }
        let prop = props::begin(out, 0);
        out.put_zeros(4);
        for counter in self.ethernet() {
            out.put_u64(*counter);
        }
        props::end(out, prop);
        if self.rfc2819.iter().any(|n| *n != u64::MAX) {
            let prop = begin_intel(out, 1);
            out.put_zeros(4);
            for counter in self.rfc2819 {
                out.put_u64(counter);
            }
            props::end(out, prop);
        }
        if !self.custom.is_empty() {
            self.encode_custom(out);
        }
        out.set_len16(at, at);
    }

    fn encode_custom(&self, out: &mut Vec<u8>) {
        let prop = begin_intel(out, 2);
        out.put_zeros(2);
        out.put_u16(u16::try_from(self.custom.len()).unwrap_or(u16::MAX));
        for (name, value) in self.custom.iter().take(usize::from(u16::MAX)) {
            let name = name.as_bytes().get(..usize::from(u8::MAX)).unwrap_or(name.as_bytes());
            out.put_u8(name.len() as u8);
            out.put(name);
            out.put_u64(*value);
        }
        props::end(out, prop);
    }
}

fn begin_intel(out: &mut Vec<u8>, kind: u32) -> usize {
    let at = props::begin(out, 0xffff);
    out.put_u32(INTEL_VENDOR);
    out.put_u32(kind);
    at
}

/// Decodes all records of a reply.
pub(super) fn decode(version: Version, mut r: Reader<'_>) -> Result<Vec<PortStats>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(PortStats::decode(version, &mut r)?);
    }
    Ok(all)
}

/// Appends the reply, split into as many messages as it takes.
pub(super) fn encode(ports: &[PortStats], version: Version, xid: u32, out: &mut Vec<u8>) {
    let raw = match version {
        Version::V10 => Raw::Ofpst10PortReply,
        Version::V11 | Version::V12 => Raw::Ofpst11PortReply,
        Version::V13 => Raw::Ofpst13PortReply,
        Version::V14 | Version::V15 => Raw::Ofpst14PortReply,
    };
    let mut parts = Parts::new(out, raw, version.wire(), xid);
    for port in ports {
        parts.record(|out| port.encode(version, out));
    }
    parts.finish();
}
