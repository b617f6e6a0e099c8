//! The masks of rules: how far each may be coarsened, and what of a packet's key tells it from a rule.
//!
//! Where it sits: below `rules.rs`; rules with the same mask share one [`Shape`].
//!
//! Rule sets have hundreds of masks that differ only in the lengths of prefixes and in ports. So that they need not have
//! a hash table each, a rule is entered under a coarser mask: prefixes cut to a few lengths, ports left out. Where too many
//! rules meet there, further ones go where ports count, and then where their own mask counts (as in TupleMerge; Daly
//! et al., "TupleMerge: Fast Software Packet Processing for Online Packet Classification", 2019).

use alloc::boxed::Box;
use alloc::vec::Vec;

use flow::{FLOW_WORDS, FlowKey, Slot, Wildcards, slot};

use crate::CompactMask;

/// Bits to which the lengths of IPv4 prefixes are cut, and those of IPv6.
const CUT_V4: u32 = 8;
const CUT_V6: u32 = 16;
/// The longest prefix that a coarse mask has: of hosts of one network, many can be told by what else they match.
const LONGEST_V4: u32 = 24;
const LONGEST_V6: u32 = 64;

/// Bits of an address or port that are looked at together: single ones would make a megaflow's mask of every length.
const STEP: u32 = 8;

/// A mask of rules.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The mask.
    pub mask: CompactMask,
    /// The masks under which its rules may be entered, coarsest first; the last is its own.
    pub levels: Vec<CompactMask>,
}

impl Shape {
    pub fn new(wc: &Wildcards) -> Shape {
        let mut coarse = *wc;
        for (slot, cut, longest) in [
            (slot::nw_src, CUT_V4, LONGEST_V4),
            (slot::nw_dst, CUT_V4, LONGEST_V4),
            (slot::ipv6_src, CUT_V6, LONGEST_V6),
            (slot::ipv6_dst, CUT_V6, LONGEST_V6),
        ] {
            coarse.set(slot, shortened(slot, wc.get(slot), cut, longest));
        }
        let mut coarsest = coarse;
        for slot in [slot::tp_src, slot::tp_dst] {
            coarsest.set(slot, 0);
            if wc.get(slot) != slot.max() {
                coarse.set(slot, 0);
            }
        }
        let mut levels: Vec<CompactMask> = [&coarsest, &coarse, wc].map(compact).into();
        levels.dedup();
        Shape { mask: compact(wc), levels }
    }
}

fn compact(wc: &Wildcards) -> CompactMask {
    CompactMask::try_new(wc).unwrap_or_default()
}

/// A prefix's mask with its length cut; what is no prefix stays.
fn shortened(slot: Slot, mask: u128, cut: u32, longest: u32) -> u128 {
    let bits = u32::from(slot.bits);
    let len = (mask << (128 - bits)).leading_ones();
    if mask.count_ones() != len {
        return mask;
    }
    let len = (len - len % cut).min(longest);
    slot.max() & !slot.max().checked_shr(len).unwrap_or(0)
}

/// The values of a rule in the words of its mask; few are kept in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    Few([u64; 4]),
    Many(Box<[u64]>),
}

impl Values {
    pub fn of(key: &FlowKey, mask: &CompactMask) -> Values {
        let mut few = [0; 4];
        let mut places = few.iter_mut();
        for (_, bits, word) in mask.masked(key) {
            match places.next() {
                Some(place) => *place = word & bits,
                None => return Values::Many(mask.masked(key).map(|(_, bits, word)| word & bits).collect()),
            }
        }
        Values::Few(few)
    }

    #[inline]
    fn words(&self) -> &[u64] {
        match self {
            Values::Few(words) => words,
            Values::Many(words) => words,
        }
    }

    /// True if `key` has these values under `mask`.
    #[inline]
    pub fn match_under(&self, mask: &CompactMask, key: &FlowKey) -> bool {
        mask.masked(key).zip(self.words()).all(|((_, bits, word), value)| (word ^ value) & bits == 0)
    }

    /// True if some key has these values under `mask` and those of `other` under `wc`.
    pub fn meet(&self, mask: &CompactMask, (other, wc): (&FlowKey, &Wildcards)) -> bool {
        let theirs = mask.masked(other).zip(mask.masked(&wc.0));
        theirs
            .zip(self.words())
            .all(|(((_, bits, word), (_, _, also)), value)| (word ^ value) & bits & also == 0)
    }

    /// The whole key.
    pub fn to_key(&self, mask: &CompactMask) -> FlowKey {
        let mut key = FlowKey::ZERO;
        for ((i, _, _), value) in mask.masked(&FlowKey::ZERO).zip(self.words()) {
            if let Some(word) = key.words_mut().get_mut(usize::from(i)) {
                *word = *value;
            }
        }
        key
    }

    /// Makes significant in `wc` what of `key` decides on these values under `mask`: all if it has them, else the first
    /// word in which it differs, and of an address or port there only the bytes down to the first that does.
    pub fn decide(&self, mask: &CompactMask, key: &FlowKey, wc: &mut Wildcards) {
        let mut words = mask.masked(key).zip(self.words());
        let differs = words.find_map(|((i, bits, word), value)| {
            let diff = (word ^ value) & bits;
            (diff != 0).then_some((usize::from(i), bits, diff))
        });
        let Some((i, bits, diff)) = differs else { return mask.fold_into(wc, FLOW_WORDS) };
        let first = 63 - diff.leading_zeros();
        if let Some(word) = wc.words_mut().get_mut(i) {
            *word |= bits & (lane(i, first) & u64::MAX << (first / STEP * STEP) | whole(i));
        }
        // An address's low half goes with its high one, so that masks are prefixes.
        if let Some(high) = low_half(i) {
            let (_, all, _) = mask.masked(key).find(|(i, _, _)| usize::from(*i) == high).unwrap_or_default();
            if let Some(word) = wc.words_mut().get_mut(high) {
                *word |= all;
            }
        }
    }
}

const fn word_of(slot: Slot) -> usize {
    slot.word as usize
}

/// The bits of the address or port that has bit `bit` of word `i`.
fn lane(i: usize, bit: u32) -> u64 {
    match i {
        _ if i == word_of(slot::nw_src) => 0xffff_ffff << (bit / 32 * 32),
        _ if i == word_of(slot::tp_src) => 0xffff << (bit / 16 * 16),
        _ if is_v6(i) => u64::MAX,
        _ => 0,
    }
}

/// The bits of word `i` that make no sense in part.
fn whole(i: usize) -> u64 {
    if lane(i, 0) == 0 { u64::MAX } else { 0 }
}

fn is_v6(i: usize) -> bool {
    (word_of(slot::ipv6_src)..word_of(slot::ipv6_dst) + 2).contains(&i)
}

/// The word of the high half of the address whose low half is word `i`.
fn low_half(i: usize) -> Option<usize> {
    (i == word_of(slot::ipv6_src) + 1 || i == word_of(slot::ipv6_dst) + 1).then(|| i - 1)
}
