//! Capture files in the classic pcap format.
//!
//! Where it sits: written by dummy devices (`options:pcap`, `options:tx_pcap`), and by whoever wants to show packets;
//! played by devices of type `pcap`.
//!
//! Spec: draft-ietf-opsawg-pcap.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Magic of files whose times are in microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
/// The same in nanoseconds.
const MAGIC_NS: u32 = 0xa1b2_3c4d;
const HEADER_LEN: usize = 24;
const RECORD_LEN: usize = 16;
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

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
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

/// Why a capture file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It is no capture file in this format.
    BadMagic,
    /// Its packets are not of Ethernet.
    NotEthernet,
    /// A packet is cut off, or longer than any frame.
    BadRecord,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReadError::BadMagic => "bad magic number in capture file",
            ReadError::NotEthernet => "capture file is not of Ethernet frames",
            ReadError::BadRecord => "capture file has a broken record",
        })
    }
}

/// The frames of a capture file, whose bytes these are.
pub fn read(bytes: &[u8]) -> Result<Vec<&[u8]>, ReadError> {
    let at = |bytes: &[u8], at: usize| -> Option<[u8; 4]> { bytes.get(at..)?.first_chunk().copied() };
    let magic = at(bytes, 0).ok_or(ReadError::BadMagic)?;
    let is_magic = |n: u32| n == MAGIC || n == MAGIC_NS;
    let number = match magic {
        m if is_magic(u32::from_le_bytes(m)) => u32::from_le_bytes,
        m if is_magic(u32::from_be_bytes(m)) => u32::from_be_bytes,
        _ => return Err(ReadError::BadMagic),
    };
    // The upper bits say what follows a frame.
    if at(bytes, 20).map(number).is_none_or(|link| link & 0x0fff_ffff != LINKTYPE_ETHERNET) {
        return Err(ReadError::NotEthernet);
    }
    let mut rest = bytes.get(HEADER_LEN..).unwrap_or_default();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let len = at(rest, 8).map(number).ok_or(ReadError::BadRecord)? as usize;
        let frame = rest.get(RECORD_LEN..RECORD_LEN.saturating_add(len)).ok_or(ReadError::BadRecord)?;
        frames.push(frame);
        rest = &rest[RECORD_LEN + len..];
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_in_either_order_of_bytes() {
        let mut w = PcapWriter::new(Vec::new()).unwrap();
        w.write(7, &[1, 2, 3]).unwrap();
        w.write(8, &[4]).unwrap();
        let file = w.into_inner();
        assert_eq!(read(&file), Ok(vec![&[1u8, 2, 3][..], &[4]]));
        for n in 0..file.len() {
            let _ = read(&file[..n]);
        }
        assert_eq!(read(&file[..file.len() - 1]), Err(ReadError::BadRecord));
        assert_eq!(read(&[0; 40]), Err(ReadError::BadMagic));
        let mut swapped = file.clone();
        for at in [0, 16, 20, 24, 28, 32, 36, 43, 47, 51, 55] {
            swapped[at..at + 4].reverse();
        }
        assert_eq!(read(&swapped), Ok(vec![&[1u8, 2, 3][..], &[4]]));
        swapped[23] = 7;
        assert_eq!(read(&swapped), Err(ReadError::NotEthernet));
    }

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
