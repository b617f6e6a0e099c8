//! Random identifiers from the system's random source.
//!
//! Where it sits: servers and tools own one and lend it to transactions; the rest of this crate only sees a function.

use std::fs::File;
use std::io::Read;

use ovsdb::Uuid;

const CHUNK: usize = 1024;

/// Makes version 4 UUIDs.
pub struct UuidSource {
    device: Box<dyn Read>,
    bytes: [u8; CHUNK],
    used: usize,
}

impl UuidSource {
    /// Opens the system's source.
    pub fn open() -> std::io::Result<UuidSource> {
        Ok(UuidSource::of(Box::new(File::open("/dev/urandom")?)))
    }

    /// Makes them of these bytes, which never end.
    pub fn of(device: Box<dyn Read>) -> UuidSource {
        UuidSource { device, bytes: [0; CHUNK], used: CHUNK }
    }

    /// A new UUID.
    pub fn next_uuid(&mut self) -> Uuid {
        if self.used == CHUNK {
            self.device.read_exact(&mut self.bytes).expect("the system's random source never ends");
            self.used = 0;
        }
        let mut bits = [0; 16];
        bits.copy_from_slice(&self.bytes[self.used..self.used + 16]);
        self.used += 16;
        Uuid::from_random(u128::from_ne_bytes(bits))
    }
}
