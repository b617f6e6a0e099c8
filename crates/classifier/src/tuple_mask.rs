//! A megaflow's mask in two parts: of the short key, and of what lies beyond it.
//!
//! Where it sits: one for each subtable of [`crate::TupleTable`], shared by the megaflows in it.
//!
//! The hash of a key under a mask is that of its short part, continued over those words beyond that are not zero. So
//! a plain packet, which has nothing beyond, is looked up by its short key alone.

use alloc::vec::Vec;

use flow::plain::{PLAIN_WORDS, beyond, is_connection};
use flow::{FlowKey, PlainKey, Wildcards};

use crate::mask::mix;

/// A mask of megaflows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TupleMask {
    short: PlainKey,
    /// Words beyond the short key: index and bits, in the order of the key.
    beyond: Vec<(u8, u64)>,
    serves_plain: bool,
}

impl TupleMask {
    /// The form of `wc`; `None` if memory is short.
    pub fn try_new(wc: &Wildcards) -> Option<TupleMask> {
        let mut all = Vec::new();
        let words =
            || wc.words().iter().enumerate().map(|(i, w)| (i as u8, beyond(i, *w))).filter(|w| w.1 != 0);
        all.try_reserve_exact(words().count()).ok()?;
        all.extend(words());
        let serves_plain = !all.iter().any(|(i, _)| is_connection(usize::from(*i)));
        Some(TupleMask { short: PlainKey::of(wc), beyond: all, serves_plain })
    }

    /// The mask of the short key.
    #[inline]
    pub fn short(&self) -> &[u64; PLAIN_WORDS] {
        &self.short.0
    }

    /// True if the short key of a plain packet tells whether a megaflow with this mask matches.
    pub fn serves_plain(&self) -> bool {
        self.serves_plain
    }

    /// What of `key` beyond the short key is significant: a word for each that the mask has.
    pub fn beyond(&self, key: &FlowKey) -> impl Iterator<Item = u64> {
        let word = |i: u8| key.words().get(usize::from(i)).copied().unwrap_or(0);
        self.beyond.iter().map(move |(i, bits)| word(*i) & bits)
    }

    /// The upper half of the hash of a short key under the mask.
    #[inline]
    pub fn tag_of_plain(&self, key: &PlainKey, seed: u64) -> u32 {
        (self.hash_short(key, seed) >> 32) as u32
    }

    /// The upper half of the hash of a whole key, whose short key is `short`, under the mask.
    pub fn tag(&self, short: &PlainKey, key: &FlowKey, seed: u64) -> u32 {
        let words = self.beyond.iter().map(|(i, _)| *i).zip(self.beyond(key)).filter(|(_, w)| *w != 0);
        let all = words.fold(self.hash_short(short, seed), |h, (i, w)| mix(h.wrapping_add(u64::from(i)), w));
        (all >> 32) as u32
    }

    #[inline]
    fn hash_short(&self, key: &PlainKey, seed: u64) -> u64 {
        let masked = key.0.iter().zip(&self.short.0).filter(|(_, bits)| **bits != 0);
        masked.fold(seed, |hash, (word, bits)| mix(hash, word & bits))
    }

    /// True if this is the form of `wc`, whose own short form is `short`.
    pub fn is(&self, short: &PlainKey, wc: &Wildcards) -> bool {
        self.short == *short
            && wc
                .words()
                .iter()
                .enumerate()
                .map(|(i, w)| (i as u8, beyond(i, *w)))
                .filter(|w| w.1 != 0)
                .eq(self.beyond.iter().copied())
    }

    /// The whole mask.
    pub fn store_wildcards(&self, wc: &mut Wildcards) {
        self.short.store(wc);
        self.store_beyond(self.beyond.iter().map(|(_, bits)| *bits), wc);
    }

    /// Sets the words beyond the short key of a whole key, as [`TupleMask::beyond`] gave them.
    pub fn store_beyond(&self, words: impl Iterator<Item = u64>, key: &mut FlowKey) {
        for ((i, _), value) in self.beyond.iter().zip(words) {
            if let Some(word) = key.words_mut().get_mut(usize::from(*i)) {
                *word |= value;
            }
        }
    }
}
