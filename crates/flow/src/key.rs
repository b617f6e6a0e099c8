//! The flow key: everything that a rule can match of a packet, as words.
//!
//! Where it sits: made by `extract`, read by every classifier and by translation, changed by translation as actions
//! change the packet.
//!
//! The same key serves OpenFlow tables (where `in_port` is OpenFlow's number and registers are in use) and the
//! datapath (where `in_port` is the datapath's and registers are zero).
//!
//! Invariants
//! I1  A field that the packet does not have is zero; `eth_type`, `nw_proto` and `nw_frag` say which it has.
//! I2  Bits of a word that belong to no slot are zero.

use core::hash::{Hash, Hasher};

use wire::EthAddr;

use crate::slot::{Slot, with_slots};

pub use crate::slot::FLOW_WORDS;

/// Everything that a rule can match of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub struct FlowKey {
    words: [u64; FLOW_WORDS],
}

impl Default for FlowKey {
    fn default() -> Self {
        FlowKey::ZERO
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.words.hash(state);
    }
}

impl core::fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut map = f.debug_map();
        macro_rules! entries {
            ($($name:ident, $set:ident: $ty:ident = $word:literal, $shift:literal, $bits:literal, $doc:literal;)+) => {
                $(if self.get(crate::slot::$name) != 0 {
                    map.entry(&stringify!($name), &format_args!("{:#x}", self.get(crate::slot::$name)));
                })+
            };
        }
        with_slots!(entries);
        map.finish()
    }
}

impl FlowKey {
    /// The key of a packet of which nothing is known.
    pub const ZERO: FlowKey = FlowKey { words: [0; FLOW_WORDS] };

    /// The words, for loops over all bits.
    pub const fn words(&self) -> &[u64; FLOW_WORDS] {
        &self.words
    }

    /// The words, to be changed; the caller keeps I2.
    pub const fn words_mut(&mut self) -> &mut [u64; FLOW_WORDS] {
        &mut self.words
    }

    /// The value in `slot`.
    pub fn get(&self, slot: Slot) -> u128 {
        let at = |i: usize| u128::from(self.words.get(i).copied().unwrap_or(0));
        let w = usize::from(slot.word);
        if slot.bits > 64 { (at(w) << 64 | at(w + 1)) & slot.max() } else { at(w) >> slot.shift & slot.max() }
    }

    /// Stores the low bits of `value` in `slot`.
    pub fn set(&mut self, slot: Slot, value: u128) {
        let w = usize::from(slot.word);
        if slot.bits > 64 {
            let value = value & slot.max();
            if let Some([high, low]) = self.words.get_mut(w..w + 2) {
                *high = (value >> 64) as u64;
                *low = value as u64;
            }
        } else if let Some(word) = self.words.get_mut(w) {
            let mask = (slot.max() as u64) << slot.shift;
            *word = *word & !mask | ((value as u64) << slot.shift) & mask;
        }
    }

    /// Register `n` (0 to 31); zero beyond.
    pub fn reg(&self, n: usize) -> u32 {
        reg_slot(n).map_or(0, |slot| self.get(slot) as u32)
    }

    /// Stores register `n` (0 to 31); nothing beyond.
    pub fn set_reg(&mut self, n: usize, value: u32) {
        if let Some(slot) = reg_slot(n) {
            self.set(slot, u128::from(value));
        }
    }
}

fn reg_slot(n: usize) -> Option<Slot> {
    let word = crate::slot::reg0.word.checked_add(u8::try_from(n / 2).ok()?)?;
    (n < 32).then_some(Slot { word, shift: if n.is_multiple_of(2) { 32 } else { 0 }, bits: 32 })
}

trait SlotValue {
    fn from_bits(bits: u128) -> Self;
    fn to_bits(self) -> u128;
}

macro_rules! slot_values {
    ($($ty:ident)+) => {
        $(impl SlotValue for $ty {
            fn from_bits(bits: u128) -> Self {
                bits as $ty
            }
            fn to_bits(self) -> u128 {
                u128::from(self)
            }
        })+
    };
}
slot_values!(u8 u16 u32 u64 u128);

impl SlotValue for EthAddr {
    fn from_bits(bits: u128) -> Self {
        EthAddr::from_u64(bits as u64)
    }
    fn to_bits(self) -> u128 {
        u128::from(self.to_u64())
    }
}

macro_rules! accessors {
    ($($name:ident, $set:ident: $ty:ident = $word:literal, $shift:literal, $bits:literal, $doc:literal;)+) => {
        impl FlowKey {
            $(
                #[doc = $doc]
                pub fn $name(&self) -> $ty {
                    SlotValue::from_bits(self.get(crate::slot::$name))
                }

                #[doc = concat!("Sets: ", $doc)]
                pub fn $set(&mut self, value: $ty) {
                    self.set(crate::slot::$name, value.to_bits());
                }
            )+
        }
    };
}
with_slots!(accessors);

/// What `nw_frag` says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Frag {
    /// Not a fragment.
    No = 0,
    /// The first fragment: it has a transport header.
    First = 1,
    /// A later fragment: it has none.
    Later = 3,
}

impl Frag {
    /// Bit that any fragment has.
    pub const ANY: u8 = 1;
    /// Bit that later fragments have.
    pub const LATER: u8 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_overlap() {
        let mut seen = FlowKey::ZERO;
        macro_rules! check {
            ($($name:ident, $set:ident: $ty:ident = $word:literal, $shift:literal, $bits:literal, $doc:literal;)+) => {
                $(
                    assert_eq!(seen.get(crate::slot::$name), 0, stringify!($name));
                    seen.set(crate::slot::$name, u128::MAX);
                    assert_eq!(seen.get(crate::slot::$name), crate::slot::$name.max(), stringify!($name));
                )+
            };
        }
        with_slots!(check);
    }

    #[test]
    fn typed_access_round_trips() {
        let mut k = FlowKey::default();
        k.set_eth_dst(EthAddr([1, 2, 3, 4, 5, 6]));
        k.set_eth_type(0x0800);
        k.set_ipv6_src(0x2001_0db8 << 96 | 1);
        k.set_reg(5, 0xdead_beef);
        assert_eq!((k.eth_dst(), k.eth_type()), (EthAddr([1, 2, 3, 4, 5, 6]), 0x0800));
        assert_eq!(k.ipv6_src(), 0x2001_0db8 << 96 | 1);
        assert_eq!((k.reg5(), k.reg(5), k.reg4()), (0xdead_beef, 0xdead_beef, 0));
    }
}
