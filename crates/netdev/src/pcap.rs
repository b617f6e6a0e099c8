//! Capture files in the classic pcap format.
//!
//! Where it sits: written by dummy devices (`options:pcap`, `options:tx_pcap`), and by whoever wants to show packets.
//!
//! Spec: draft-ietf-opsawg-pcap.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Magic of files whose times are in microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
/// The snapshot length that Open vSwitch writes: an Ethernet frame with a tag.
const SNAPLEN: u32 = 1518;
/// Ethernet.
const LINKTYPE_ETHERNET: u32 = 1;

/// A capture file being written.
#[derive(Debug)]
pub struct PcapWriter<W: Write = File> {
    out: W,
}

impl PcapWriter<File> {
    /// Opens the file to append to it; writes its header if it is empty.
    pub fn append(path: &Path) -> io::Result<PcapWriter> {
        let out = OpenOptions::new().append(true).create(true).open(path)?;
        if out.metadata()?.len() == 0 { PcapWriter::new(out) } else { Ok(PcapWriter { out }) }
    }
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header to `out`.
    pub fn new(mut out: W) -> io::Result<PcapWriter<W>> {
        let mut h = [0u8; 24];
        h[0..4].copy_from_slice(&MAGIC.to_ne_bytes());
        h[4..6].copy_from_slice(&2u16.to_ne_bytes());
        h[6..8].copy_from_slice(&4u16.to_ne_bytes());
        h[16..20].copy_from_slice(&SNAPLEN.to_ne_bytes());
        h[20..24].copy_from_slice(&LINKTYPE_ETHERNET.to_ne_bytes());
        out.write_all(&h)?;
        Ok(PcapWriter { out })
    }

    /// Appends a frame, at a time in milliseconds since 1970, and flushes.
    pub fn write(&mut self, wall_ms: u64, frame: &[u8]) -> io::Result<()> {
        let len = (frame.len() as u32).to_ne_bytes();
        let mut record = Vec::with_capacity(16 + frame.len());
        record.extend(((wall_ms / 1000) as u32).to_ne_bytes());
        record.extend(((wall_ms % 1000 * 1000) as u32).to_ne_bytes());
        record.extend(len);
        record.extend(len);
        record.extend(frame);
        self.out.write_all(&record)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_bytes_are_those_of_the_format() {
        let mut w = PcapWriter::new(Vec::new()).unwrap();
        w.write(1_700_000_000_250, &[1, 2, 3]).unwrap();
        let mut expect =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xee, 5, 0, 0, 1, 0, 0, 0];
        expect.extend(1_700_000_000u32.to_le_bytes());
        expect.extend(250_000u32.to_le_bytes());
        expect.extend([3, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3]);
        assert_eq!(w.out, expect);
    }
}
