//! The entries of a tape.
//!
//! Where it sits: under `record` and `play`.

use std::io::{self, Write};

use rustix::io::Errno;

/// What an event brought: bytes, or an error of the system.
pub(super) type Outcome<B> = Result<B, Errno>;

/// The error of an entry, as the system numbers it.
pub(super) fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// One entry that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub number: u32,
    pub outcome: Outcome<Vec<u8>>,
}

/// Writes an entry in one piece, so that a process that is killed leaves whole ones.
pub(super) fn write(file: &mut impl Write, number: u32, outcome: Outcome<&[u8]>) -> io::Result<()> {
    let (length, data) = match outcome {
        Ok(data) => (i32::try_from(data.len()).unwrap_or(i32::MAX), data),
        Err(error) => (-error.raw_os_error(), &[][..]),
    };
    let entry = [&number.to_ne_bytes(), &length.to_ne_bytes(), data].concat();
    file.write_all(&entry)
}

/// The entries in a file's contents, without a torn last one.
pub(super) fn read(mut contents: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((entry, rest)) = read_one(contents) {
        entries.push(entry);
        contents = rest;
    }
    entries
}

fn read_one(contents: &[u8]) -> Option<(Entry, &[u8])> {
    let (number, rest) = contents.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (number, length) = (u32::from_ne_bytes(*number), i32::from_ne_bytes(*length));
    match usize::try_from(length) {
        Ok(length) => {
            let (data, rest) = rest.split_at_checked(length)?;
            Some((Entry { number, outcome: Ok(data.to_vec()) }, rest))
        }
        Err(_) => {
            let outcome = Err(Errno::from_raw_os_error(length.checked_neg()?));
            Some((Entry { number, outcome }, rest))
        }
    }
}
