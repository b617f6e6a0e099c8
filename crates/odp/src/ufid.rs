//! Unique flow identifiers.
//!
//! Where it sits: the switch makes one for each megaflow; commands and statistics name the flow by it.

use core::fmt;

use flow::Match;

/// A 128-bit identifier of a megaflow, chosen by the switch.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ufid(pub u128);

impl Ufid {
    /// An identifier for a match that came without one: the same for the same match.
    pub fn of(m: &Match) -> Ufid {
        // FNV-1a over 128 bits, a word at a time: two matches of one table hardly ever have the same.
        const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        let mix = |hash: u128, word: &u64| (hash ^ u128::from(*word)).wrapping_mul(PRIME).rotate_left(29);
        Ufid(m.key.words().iter().chain(m.wc.words()).fold(BASIS, mix))
    }
}

impl fmt::Display for Ufid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (n >> 96) as u32,
            (n >> 80) as u16,
            (n >> 64) as u16,
            (n >> 48) as u16,
            n & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Ufid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
