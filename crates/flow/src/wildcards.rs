//! Wildcards: which bits of a key matter; and a match: a key with its wildcards.
//!
//! Where it sits: rules and megaflows are matches; lookups and translation collect in a [`Wildcards`] every bit that
//! they looked at ("un-wildcarding"), so that the megaflow made of it answers for no packet that might have gone
//! another way.

use core::ops::{Deref, DerefMut};

use crate::{FLOW_WORDS, FlowKey, Slot};

/// Which bits of a key matter: ones are significant. All accessors of [`FlowKey`] serve it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wildcards(pub FlowKey);

impl Deref for Wildcards {
    type Target = FlowKey;
    fn deref(&self) -> &FlowKey {
        &self.0
    }
}

impl DerefMut for Wildcards {
    fn deref_mut(&mut self) -> &mut FlowKey {
        &mut self.0
    }
}

impl Wildcards {
    /// Nothing matters.
    pub const NONE: Wildcards = Wildcards(FlowKey::ZERO);

    /// Makes every bit of `slot` significant.
    pub fn unwildcard(&mut self, slot: Slot) {
        self.0.set(slot, u128::MAX);
    }

    /// Makes significant every bit that is so in `other`.
    pub fn fold(&mut self, other: &Wildcards) {
        for (mine, theirs) in self.0.words_mut().iter_mut().zip(other.0.words()) {
            *mine |= theirs;
        }
    }

    /// True if every bit significant in `other` is so here.
    pub fn covers(&self, other: &Wildcards) -> bool {
        self.0.words().iter().zip(other.0.words()).all(|(mine, theirs)| theirs & !mine == 0)
    }

    /// `key` with its insignificant bits zeroed.
    pub fn apply(&self, key: &FlowKey) -> FlowKey {
        let mut out = *key;
        for (word, mask) in out.words_mut().iter_mut().zip(self.0.words()) {
            *word &= mask;
        }
        out
    }

    /// True if `a` and `b` agree in every significant bit.
    pub fn equal(&self, a: &FlowKey, b: &FlowKey) -> bool {
        let mut diff = 0;
        for ((a, b), mask) in a.words().iter().zip(b.words()).zip(self.0.words()) {
            diff |= (a ^ b) & mask;
        }
        diff == 0
    }

    /// A bitmap of the words in which any bit is significant.
    pub fn word_map(&self) -> u128 {
        const { assert!(FLOW_WORDS <= 128) };
        self.0.words().iter().enumerate().fold(0, |map, (i, w)| map | u128::from(*w != 0) << i)
    }
}

/// What a rule or a megaflow matches. Insignificant bits of `key` are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    /// The values.
    pub key: FlowKey,
    /// Which bits of them matter.
    pub wc: Wildcards,
}

impl Match {
    /// Matches every packet.
    pub const ANY: Match = Match { key: FlowKey::ZERO, wc: Wildcards::NONE };

    /// The match of `key` under `wc`.
    pub fn new(key: &FlowKey, wc: &Wildcards) -> Match {
        Match { key: wc.apply(key), wc: *wc }
    }

    /// Requires the value `value` in the bits `mask` of `slot`, beside what is required already.
    pub fn set_masked(&mut self, slot: Slot, value: u128, mask: u128) {
        let old_mask = self.wc.get(slot);
        let mask = mask & slot.max();
        self.key.set(slot, self.key.get(slot) & !mask | value & mask);
        self.wc.set(slot, old_mask | mask);
    }

    /// Requires exactly `value` in `slot`.
    pub fn set_exact(&mut self, slot: Slot, value: u128) {
        self.set_masked(slot, value, slot.max());
    }

    /// True if `key` satisfies the match.
    pub fn matches(&self, key: &FlowKey) -> bool {
        self.wc.equal(&self.key, key)
    }
}
