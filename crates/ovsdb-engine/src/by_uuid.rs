//! Maps by UUID with a hash made for them.
//!
//! Where it sits: tables keep their rows in such maps.
//!
//! Folding a product mixes random UUIDs well; a second one serves those that were numbered one after the other. Clients may choose
//! them, so each map has a secret of its own, as the standard library's hash has, which keeps anybody from choosing many that collide.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use ovsdb::Uuid;

/// A map by UUID.
pub type ByUuid<V> = HashMap<Uuid, V, UuidHash>;

/// A secret, and the hashes that follow from it.
#[derive(Clone, Debug)]
pub struct UuidHash([u64; 2]);

impl Default for UuidHash {
    fn default() -> UuidHash {
        let secret = RandomState::new();
        UuidHash([0, 1].map(|n| secret.hash_one(n)))
    }
}

impl BuildHasher for UuidHash {
    type Hasher = UuidHasher;

    fn build_hasher(&self) -> UuidHasher {
        UuidHasher { secret: self.0, hash: 0 }
    }
}

/// The hash of one UUID.
pub struct UuidHasher {
    secret: [u64; 2],
    hash: u64,
}

impl Hasher for UuidHasher {
    fn write_u128(&mut self, n: u128) {
        let [high, low] = self.secret;
        let mixed = fold((n >> 64) as u64 ^ high ^ self.hash, n as u64 ^ low);
        self.hash = fold(mixed, GOLDEN);
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(16) {
            let mut word = [0; 16];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u128(u128::from_le_bytes(word));
        }
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

/// An odd number without pattern: 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of the product, put together.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Both ends of the hash are used by the map: which bucket, and which of its slots.
    #[test]
    fn both_ends_spread() {
        let hash = UuidHash([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344]);
        for spread in [0, 20, 64, 100] {
            let hashes: Vec<u64> = (0..4096u128).map(|n| hash.hash_one(Uuid(n << spread))).collect();
            let buckets: HashSet<u64> = hashes.iter().map(|hash| hash & 4095).collect();
            let tags: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            assert!(buckets.len() > 2300 && tags.len() == 128, "{spread}: {} {}", buckets.len(), tags.len());
        }
    }
}
