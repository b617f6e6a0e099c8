//! The bytes of a database file: a sequence of records, each a header line and a line of JSON.
//!
//! Where it sits: under `storage`, which reads and writes files; pure.
//!
//! ~~~text
//! OVSDB JSON <length> <sha1>\n        length and digest of the second line, its newline included
//! {…}\n
//! ~~~
//! I1  A reader that met an error knows the offset where the good part ends; a writer goes on from there.
//!
//! Spec: ovsdb(5).

use std::io::Write;

use ovsdb::json::{self, Json};
use ovsdb::{Error, Result};

use crate::sha1::{HEX_LEN, sha1_hex};

/// What kind of database a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A log of transactions.
    Standalone,
    /// A member's log of a cluster.
    Clustered,
}

impl Kind {
    fn magic(self) -> &'static str {
        match self {
            Kind::Standalone => "JSON",
            Kind::Clustered => "CLUSTER",
        }
    }
}

/// One record, ready to be written, of the text of its JSON.
pub fn encode(json: &str) -> Vec<u8> {
    const LONGEST_HEADER: usize = 80;
    let mut record = Vec::with_capacity(LONGEST_HEADER + json.len());
    // Writing to memory cannot fail.
    let _ = write!(record, "OVSDB JSON {} ", json.len() + 1);
    let digest = record.len();
    record.extend_from_slice(&[b' '; HEX_LEN]);
    record.push(b'\n');
    let line = record.len();
    record.extend_from_slice(json.as_bytes());
    record.push(b'\n');
    let hex = sha1_hex(&record[line..]);
    record[digest..digest + HEX_LEN].copy_from_slice(&hex);
    record
}

/// What kind of database file begins like this. `name` is for the error.
pub fn identify(data: &[u8], name: &str) -> Result<Kind> {
    if data.is_empty() {
        return Err(Error::new("ovsdb error", format!("{name}: cannot identify file type")));
    }
    let first = data.split(|c| *c == b'\n').next().unwrap_or_default();
    match parse_header(first) {
        Some(("JSON", ..)) => Ok(Kind::Standalone),
        Some(("CLUSTER", ..)) => Ok(Kind::Clustered),
        Some(_) => Err(Error::new("ovsdb error", format!("{name}: cannot identify file type"))),
        None => Err(Error::new("ovsdb error", format!("{name}: unexpected file format"))),
    }
}

/// Reads records one after the other.
pub struct Reader<'a> {
    data: &'a [u8],
    offset: usize,
    name: &'a str,
    kind: Kind,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of a file's contents.
    pub fn new(data: &'a [u8], name: &'a str) -> Reader<'a> {
        Reader { data, offset: 0, name, kind: Kind::Standalone }
    }

    /// The same for a member's log of a cluster, whose records differ in their header's second word.
    pub fn clustered(data: &'a [u8], name: &'a str) -> Reader<'a> {
        Reader { data, offset: 0, name, kind: Kind::Clustered }
    }

    /// Where the records read so far end.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Goes to where a record begins.
    pub fn skip_to(&mut self, offset: usize) {
        self.offset = offset;
    }

    fn record(&self) -> Result<Option<(Json, usize)>> {
        let (name, offset) = (self.name, self.offset);
        let rest = self.data.get(offset..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.iter().position(|c| *c == b'\n');
        let header = &rest[..end.unwrap_or(rest.len())];
        let parsed = end.and_then(|_| parse_header(header));
        let Some((_, length, hash)) = parsed.filter(|(magic, ..)| *magic == self.kind.magic()) else {
            let text: String = String::from_utf8_lossy(header).chars().take(128).collect();
            let details = format!("{name}: parse error at offset {offset} in header line \"{text}\"");
            return Err(Error::new("syntax error", details));
        };
        let start = offset + header.len() + 1;
        let Some(line) = self.data.get(start..).and_then(|rest| rest.get(..length)) else {
            let details = format!("{name}: error reading {length} bytes starting at offset {start}");
            return Err(Error::io(details, "End of file"));
        };
        let place = format!("{name}: {length} bytes starting at offset {start}");
        let actual = sha1_hex(line);
        if actual != *hash.as_bytes() {
            let actual = String::from_utf8_lossy(&actual);
            let details = format!("{place} have SHA-1 hash {actual} but should have hash {hash}");
            return Err(Error::new("syntax error", details));
        }
        let json = json::parse(line)
            .map_err(|e| Error::new("syntax error", format!("{place} are not valid JSON ({e})")))?;
        if json.as_object().is_none() {
            return Err(Error::new("syntax error", format!("{place} are not a JSON object")));
        }
        Ok(Some((json, start + length)))
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Json>;

    fn next(&mut self) -> Option<Result<Json>> {
        match self.record() {
            Ok(None) => None,
            Ok(Some((json, end))) => {
                self.offset = end;
                Some(Ok(json))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// The word for the kind of file, and length and digest of the line that follows.
fn parse_header(line: &[u8]) -> Option<(&str, usize, &str)> {
    let mut words = std::str::from_utf8(line).ok()?.strip_prefix("OVSDB ")?.split(' ');
    let (magic, length, hash) = (words.next()?, words.next()?, words.next()?);
    let digits = !length.is_empty() && length.bytes().all(|c| c.is_ascii_digit());
    let hex = hash.len() == 40 && hash.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    if digits && hex && words.next().is_none() {
        Some((magic, length.parse().ok().filter(|n| *n > 0)?, hash))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let records = ["{\"name\":\"x\"}", "{\"_date\":1}", "{\"a\":{}}"];
        records.iter().flat_map(|text| encode(text)).collect()
    }

    #[test]
    fn every_truncation_keeps_whole_records() {
        let data = file();
        let ends: Vec<usize> = {
            let mut reader = Reader::new(&data, "f");
            let mut ends = vec![0];
            while let Some(record) = reader.next() {
                record.unwrap();
                ends.push(reader.offset());
            }
            ends
        };
        assert_eq!(ends.len(), 4);
        for cut in 0..=data.len() {
            let mut reader = Reader::new(&data[..cut], "f");
            let good = reader.by_ref().take_while(Result::is_ok).count();
            assert_eq!(good, ends.iter().filter(|end| **end <= cut).count() - 1, "cut at {cut}");
            assert_eq!(reader.offset(), ends[good]);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let data = file();
        for at in 0..data.len() {
            for bit in 0..8 {
                let mut bad = data.clone();
                bad[at] ^= 1 << bit;
                let whole = Reader::new(&bad, "f").collect::<Result<Vec<_>>>();
                assert!(whole.is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn kinds() {
        let first = |magic: &str| format!("OVSDB {magic} 5 {}\n", "0123456789".repeat(4)).into_bytes();
        let refused = |data: &[u8]| identify(data, "f").unwrap_err().to_string();
        assert_eq!(identify(&first("JSON"), "f").unwrap(), Kind::Standalone);
        assert_eq!(identify(&first("CLUSTER"), "f").unwrap(), Kind::Clustered);
        for unknown in [first("TEXT"), Vec::new()] {
            assert_eq!(refused(&unknown), "ovsdb error: f: cannot identify file type");
        }
        for other in ["root:x", "OVSDB JSON 5 ab\n"] {
            assert_eq!(refused(other.as_bytes()), "ovsdb error: f: unexpected file format");
        }
    }
}
