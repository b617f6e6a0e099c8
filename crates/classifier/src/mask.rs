//! Masks as lookups use them: only the words that matter, and the hash of a key under a mask.
//!
//! Where it sits: below both tables.
//!
//! The hash is a folded 64x64-bit multiplication for each word: fast, seeded, and not meant to withstand an attacker
//! who knows the seed.

use alloc::vec::Vec;

use flow::{FLOW_WORDS, FlowKey, Wildcards};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

pub(crate) fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word).wrapping_mul(u128::from(MULTIPLIER) << 1 | 1);
    (product as u64) ^ ((product >> 64) as u64).rotate_left(29)
}

/// Hash of a whole key; zero words cost one test each.
pub fn hash_key(key: &FlowKey, seed: u64) -> u64 {
    let mut hash = seed;
    for (i, word) in key.words().iter().enumerate() {
        if *word != 0 {
            hash = mix(hash.wrapping_add(i as u64), *word);
        }
    }
    hash
}

/// The significant words of a mask: `(index, bits)`, in the order of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactMask {
    words: Vec<(u8, u64)>,
}

impl CompactMask {
    /// The compact form of `wc`; `None` if memory is short.
    pub fn try_new(wc: &Wildcards) -> Option<CompactMask> {
        const { assert!(FLOW_WORDS < 256) };
        let map = wc.word_map();
        let mut words = Vec::new();
        words.try_reserve_exact(map.count_ones() as usize).ok()?;
        words.extend(
            wc.words().iter().enumerate().filter(|(_, bits)| **bits != 0).map(|(i, bits)| (i as u8, *bits)),
        );
        Some(CompactMask { words })
    }

    /// Hash of `key` under the mask.
    #[inline]
    pub fn hash(&self, key: &FlowKey, seed: u64) -> u64 {
        self.words.iter().fold(seed, |hash, (i, bits)| mix(hash, word(key, *i) & bits))
    }

    /// The index and bits of each word, with that word of `key`.
    #[inline]
    pub(crate) fn masked<'a>(&'a self, key: &'a FlowKey) -> impl Iterator<Item = (u8, u64, u64)> + 'a {
        self.words.iter().map(|(i, bits)| (*i, *bits, word(key, *i)))
    }

    /// Continues `hash` over the masked words from `from` up to `to`.
    pub fn hash_words(&self, key: &FlowKey, hash: u64, from: usize, to: usize) -> u64 {
        let words = self.words.iter().filter(|(i, _)| (from..to).contains(&usize::from(*i)));
        words.fold(hash, |hash, (i, bits)| mix(hash, word(key, *i) & bits))
    }

    /// True if any bit of the words from `from` up to `to` is significant.
    pub fn any_in(&self, from: usize, to: usize) -> bool {
        self.words.iter().any(|(i, _)| (from..to).contains(&usize::from(*i)))
    }

    /// Makes the mask's bits of the words up to `to` significant in `wc`.
    pub fn fold_into(&self, wc: &mut Wildcards, to: usize) {
        for (i, bits) in self.words.iter().filter(|(i, _)| usize::from(*i) < to) {
            if let Some(word) = wc.words_mut().get_mut(usize::from(*i)) {
                *word |= bits;
            }
        }
    }

    /// True if this is the compact form of `wc`.
    pub fn is(&self, wc: &Wildcards) -> bool {
        let words = wc.words().iter().enumerate().filter(|(_, bits)| **bits != 0);
        words.map(|(i, bits)| (i as u8, *bits)).eq(self.words.iter().copied())
    }

    /// The mask in full.
    pub fn wildcards(&self) -> Wildcards {
        let mut wc = Wildcards::NONE;
        self.fold_into(&mut wc, FLOW_WORDS);
        wc
    }
}

fn word(key: &FlowKey, i: u8) -> u64 {
    key.words().get(usize::from(i)).copied().unwrap_or(0)
}
