//! Bytes made of other bytes.
//!
//! Where it sits: below the search. The same seed makes the same bytes.

/// Bytes at most.
const LONGEST: usize = 2048;

/// Makes inputs of seeds.
#[derive(Debug)]
pub struct Mutator {
    random: u64,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    /// A maker of inputs.
    ///
    /// # Panics
    /// Without seeds.
    pub fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Mutator {
        assert!(!seeds.is_empty(), "a target has seeds");
        Mutator { random: seed ^ 0x9e37_79b9_7f4a_7c15, seeds }
    }

    /// A number below `n`, which is not zero.
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % n as u64) as usize
    }

    fn seed(&mut self) -> Vec<u8> {
        let n = self.below(self.seeds.len());
        self.seeds[n].clone()
    }

    /// The next input.
    #[allow(clippy::should_implement_trait, reason = "there is no end to it")]
    pub fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.seed();
        for _ in 0..self.below(8) {
            self.change(&mut bytes);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        const NUMBERS: [u64; 12] = [0, 1, 4, 7, 8, 20, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, u64::MAX];
        let at = self.below(bytes.len() + 1);
        match self.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.below(256) as u8),
            2 => {
                // Another's end on this one's beginning.
                let other = self.seed();
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            3 => {
                let end = at + self.below(bytes.len() - at + 1).min(64);
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let end = at + self.below(bytes.len() - at + 1).min(16);
                bytes.drain(at..end);
            }
            5 => {
                // A number of one to eight bytes, in either order.
                let width = 1 << self.below(4);
                let number = NUMBERS[self.below(NUMBERS.len())];
                let raw = if self.below(2) == 0 {
                    number.to_le_bytes()
                } else {
                    number.rotate_right(8 * width as u32 % 64).to_be_bytes()
                };
                for (to, from) in bytes.iter_mut().skip(at).zip(&raw[..width]) {
                    *to = *from;
                }
            }
            6 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add(if self.below(2) == 0 { 1 } else { 0xff });
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }
}
