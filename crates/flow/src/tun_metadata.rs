//! Tunnel options as fields: where `tun_metadata0` to `tun_metadata63` lie in a key of OpenFlow's.
//!
//! Where it sits: below OpenFlow's fields; a bridge's map (`ofproto`) puts options of a packet into their places, and makes options of
//! what is in them.
//!
//! A key of the datapath's holds a tunnel's options as they are on the wire. In one of OpenFlow's, the same 32 words hold what a
//! bridge has fields for: a directory, which grows from their low end, and values, which grow from their high end.
//!
//! ~~~text
//! directory  three entries a word, 18 bits each: is the option there (1) | first unit of the value (6) | units (5) | number of
//!            the field (6); an entry without units is free
//! values     units of 4 bytes, the first one highest
//! ~~~
//!
//! I1  What a match says of a place, its directory says too: two keys whose directories differ there never match.
//! I2  Every value has an entry, in a word before all values: who reads the directory stops where the first value of an entry begins.
//!
//! Spec: ovs-fields(7), "Geneve Fields".

use core::iter;
use core::ops::Range;

use crate::{FlowKey, Match, Slot, Wildcards, slot};

/// How many fields there are to be mapped.
pub const FIELDS: u8 = 64;
/// Most bytes of one field.
pub const MAX_BYTES: u8 = 124;
/// Most bytes that the values in a key have together, beside the one word of directory that they need at least.
pub const MAX_SPACE: u8 = (UNITS - 2) * UNIT;

/// The words of options, and how many units they have.
const WORDS: Range<usize> = slot::tun_opts0.word as usize..slot::STAGES[0];
const UNITS: u8 = (WORDS.end - WORDS.start) as u8 * 2;
/// Bytes of a unit.
const UNIT: u8 = 4;
/// Entries in a word of the directory.
const ENTRIES: u8 = 3;
/// Bits of an entry, and of them without the one that says that the option is there.
const ENTRY_BITS: u8 = 18;
const NAME_BITS: u8 = 17;

const _: () = assert!(UNITS == 64 && ENTRIES * ENTRY_BITS <= 64 && MAX_BYTES / UNIT < 32);

/// A place of a key for the value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The directory's entry.
    entry: u8,
    number: u8,
    /// The value's first unit, and how many it has.
    unit: u8,
    units: u8,
}

impl Place {
    /// The number of the field.
    pub const fn number(self) -> u8 {
        self.number
    }

    /// Bytes of the value.
    pub const fn bytes(self) -> u8 {
        self.units * UNIT
    }

    /// What the directory says of the place.
    const fn name(self) -> Slot {
        let word = slot::tun_opts0.word + self.entry / ENTRIES;
        Slot { word, shift: self.entry % ENTRIES * ENTRY_BITS, bits: NAME_BITS }
    }

    /// Whether the packet has the option.
    const fn presence(self) -> Slot {
        let Slot { word, shift, bits } = self.name();
        Slot { word, shift: shift + bits, bits: 1 }
    }

    /// Where each unit of the value is, the highest first.
    fn slots(self) -> impl Iterator<Item = Slot> {
        (self.unit..self.unit.saturating_add(self.units)).map(|unit| Slot {
            word: slot::tun_opts0.word + unit / 2,
            shift: if unit % 2 == 0 { 32 } else { 0 },
            bits: 32,
        })
    }
}

/// What is free of a key's words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// A bit for each entry that is taken, and for each unit.
    entries: u128,
    units: u64,
}

impl Room {
    /// Takes away what a place takes.
    pub const fn mark(&mut self, place: Place) {
        self.entries |= 1 << place.entry;
        self.units |= ((1 << place.units) - 1) << place.unit;
    }

    /// A place for field `n`, of `bytes` bytes (at most [`MAX_BYTES`]; one of part of a unit has all of it); `None`, and no
    /// change, if there is not enough.
    pub fn take(&mut self, n: u8, bytes: u8) -> Option<Place> {
        let entry = self.entries.trailing_ones() as u8;
        let last = entry.max((128 - self.entries.leading_zeros()).saturating_sub(1) as u8);
        let directory = (last / ENTRIES + 1) * 2;
        let units = bytes.div_ceil(UNIT).max(1);
        if bytes > MAX_BYTES || self.units.trailing_zeros() < directory.into() {
            return None;
        }
        let free = |unit: &u8| self.units >> unit & ((1 << units) - 1) == 0;
        let unit = (directory..=UNITS.checked_sub(units)?).rev().find(free)?;
        let place = Place { entry, number: n, unit, units };
        self.mark(place);
        Some(place)
    }
}

/// True if the key has no place for any field.
pub fn is_empty(key: &FlowKey) -> bool {
    key.words().get(WORDS).unwrap_or_default().iter().fold(0, |all, word| all | word) == 0
}

/// The places of a key, in the order of the directory.
pub fn places(key: &FlowKey) -> impl Iterator<Item = Place> + '_ {
    let words = if is_empty(key) { &[] } else { key.words().get(WORDS).unwrap_or_default() };
    // The entry to look at next, and the first unit of values of those before.
    let (mut next, mut values) = (0, UNITS);
    iter::from_fn(move || {
        while let Some(word) =
            words.get(usize::from(next / ENTRIES)).filter(|_| next / ENTRIES * 2 + 1 < values)
        {
            let entry = next;
            next += 1;
            let name = word >> (entry % ENTRIES * ENTRY_BITS);
            let (number, units, unit) = (name as u8 & (FIELDS - 1), name >> 6 & 31, name >> 11 & 63);
            if units != 0 {
                values = values.min(unit as u8);
                return Some(Place { entry, number, unit: unit as u8, units: units as u8 });
            }
        }
        None
    })
}

/// Where field `n` lies, if the key has a place for it.
pub fn place_of(key: &FlowKey, n: u8) -> Option<Place> {
    places(key).find(|place| place.number == n)
}

/// Gives a field its place of a key.
pub fn assign(key: &mut FlowKey, place: Place) {
    let Place { number, unit, units, .. } = place;
    key.set(place.name(), u128::from(unit) << 11 | u128::from(units) << 6 | u128::from(number));
}

/// The same in a match, which matches the directory's entry, too.
pub fn assign_in_match(m: &mut Match, place: Place) {
    look_at_entry(place, &mut m.wc);
    assign(&mut m.key, place);
}

/// The bytes of the value in a place, the highest first.
pub fn value(key: &FlowKey, place: Place) -> impl Iterator<Item = u8> + '_ {
    place.slots().flat_map(|unit| (key.get(unit) as u32).to_be_bytes())
}

/// Stores as many bytes in a place as it has; what is missing at the end is zero.
pub fn set_value(key: &mut FlowKey, place: Place, bytes: impl IntoIterator<Item = u8>) {
    let mut bytes = bytes.into_iter();
    for unit in place.slots() {
        let value = (0..UNIT).fold(0, |n, _| n << 8 | u128::from(bytes.next().unwrap_or(0)));
        key.set(unit, value);
    }
}

/// Makes place in a match for `bytes` bytes of field `n`, which matches nothing of it yet; `None`, and no change, if there is not
/// enough. Fields of matches that no bridge has placed lie in the order of their numbers, so that equal ones are equal.
pub fn reserve(m: &mut Match, n: u8, bytes: u8) -> Option<Place> {
    let before = *m;
    clear(&mut m.key);
    clear(&mut m.wc);
    let mut room = Room::default();
    let mut own = None;
    for number in 0..FIELDS {
        let old = place_of(&before.key, number).filter(|_| number != n);
        let Some(bytes) = old.map(Place::bytes).or((number == n).then_some(bytes)) else { continue };
        let Some(place) = room.take(number, bytes) else {
            *m = before;
            return None;
        };
        assign_in_match(m, place);
        if let Some(old) = old {
            set_value(&mut m.key, place, value(&before.key, old));
            set_value(&mut m.wc, place, value(&before.wc, old));
            set_says_mask(m, place, says_mask(&before, old));
        } else {
            own = Some(place);
        }
    }
    own
}

/// True if the match came with a mask for the field, be it all ones: a bridge's field may be wider than the match's.
pub fn says_mask(m: &Match, place: Place) -> bool {
    // What says in a packet's key that the option is there is free in a match.
    m.key.get(place.presence()) != 0
}

/// Says whether the match came with a mask for the field.
pub fn set_says_mask(m: &mut Match, place: Place, masked: bool) {
    m.key.set(place.presence(), masked.into());
    m.wc.set(place.presence(), masked.into());
}

/// True if the packet has the option of the field in this place.
pub fn is_present(key: &FlowKey, place: Place) -> bool {
    key.get(place.presence()) != 0
}

/// Says whether the packet has the option of field `n`; nothing of one without place.
pub fn set_present(key: &mut FlowKey, n: u8, present: bool) {
    if let Some(place) = place_of(key, n) {
        key.set(place.presence(), present.into());
    }
}

/// Makes it matter which field has a place.
pub fn look_at_entry(place: Place, wc: &mut Wildcards) {
    wc.unwildcard(place.name());
}

/// Makes the whole value in a place matter.
pub fn look_at_value(place: Place, wc: &mut Wildcards) {
    place.slots().for_each(|unit| wc.unwildcard(unit));
}

/// Sets in `to` what `from` has set in the words of options.
pub fn copy(from: &FlowKey, to: &mut FlowKey) {
    let words = to.words_mut().iter_mut().zip(from.words()).take(WORDS.end).skip(WORDS.start);
    words.for_each(|(to, from)| *to |= from);
    to.set_tun_opts_len(to.tun_opts_len() | from.tun_opts_len());
}

/// Forgets every field, and what options there were.
pub fn clear(key: &mut FlowKey) {
    key.words_mut().get_mut(WORDS).unwrap_or_default().fill(0);
    key.set_tun_opts_len(0);
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn bytes_of(n: u8, bytes: u8) -> Vec<u8> {
        (0..bytes).map(|i| n.wrapping_mul(7).wrapping_add(i) | 1).collect()
    }

    fn read(key: &FlowKey, n: u8) -> Option<Vec<u8>> {
        place_of(key, n).map(|place| value(key, place).collect())
    }

    #[test]
    fn values_of_a_match_have_places_in_the_order_of_their_numbers() {
        let sizes = [(5, 4), (63, 12), (0, 124), (7, 16), (9, 4), (1, 60)];
        let fill = |sizes: &[(u8, u8)]| {
            let mut m = Match::ANY;
            for &(n, bytes) in sizes {
                let place = reserve(&mut m, n, bytes).unwrap();
                assert_eq!((place.bytes(), place_of(&m.key, n)), (bytes, Some(place)));
                set_value(&mut m.key, place, bytes_of(n, bytes));
                set_value(&mut m.wc, place, vec![0xff; bytes.into()]);
                set_says_mask(&mut m, place, n == 7);
            }
            m
        };
        let m = fill(&sizes);
        for (n, bytes) in sizes {
            assert_eq!(read(&m.key, n), Some(bytes_of(n, bytes)));
            assert_eq!(says_mask(&m, place_of(&m.key, n).unwrap()), n == 7);
        }
        let numbers: Vec<_> = places(&m.key).map(Place::number).collect();
        assert_eq!(numbers, [0, 1, 5, 7, 9, 63]);
        let reversed: Vec<_> = sizes.into_iter().rev().collect();
        assert_eq!(fill(&reversed), m);
        let mut full = m;
        assert_eq!((reserve(&mut full, 2, 16), full), (None, m), "12 bytes are left");
        assert!(reserve(&mut full, 2, 12).is_some());
        clear(&mut full.key);
        assert_eq!((places(&full.key).count(), is_empty(&full.key)), (0, true));
    }

    #[test]
    fn how_many_fields_there_is_room_for() {
        let most = |bytes: u8| {
            let mut room = Room::default();
            (0..FIELDS).take_while(|n| room.take(*n, bytes).is_some()).count()
        };
        assert_eq!([4, 8, 16, 32, 60, 124].map(most), [38, 24, 13, 7, 4, 2]);
        assert_eq!(Room::default().take(0, MAX_BYTES + 1), None);
    }

    #[test]
    fn a_packet_has_the_options_that_are_there() {
        let (mut key, mut room) = (FlowKey::ZERO, Room::default());
        [3, 7, 63].into_iter().for_each(|n| assign(&mut key, room.take(n, 4).unwrap()));
        set_present(&mut key, 7, true);
        set_present(&mut key, 1, true);
        let present = |key: &FlowKey| {
            places(key).filter(|place| is_present(key, *place)).map(Place::number).collect::<Vec<_>>()
        };
        assert_eq!(present(&key), [7]);
        set_present(&mut key, 63, true);
        set_present(&mut key, 7, false);
        assert_eq!(present(&key), [63]);
        assert_eq!(places(&key).count(), 3, "they keep their places");
    }

    proptest! {
        /// Fields come and go, as a bridge maps them; those that stay are found with their values, alone in a match, too.
        #[test]
        fn fields_keep_their_places(steps in prop::collection::vec((0..FIELDS, 1..=31u8), 1..80)) {
            let mut mapped: Vec<Place> = Vec::new();
            for (n, units) in steps {
                if let Some(at) = mapped.iter().position(|place| place.number == n) {
                    mapped.remove(at);
                    continue;
                }
                let mut room = Room::default();
                mapped.iter().for_each(|place| room.mark(*place));
                mapped.extend(room.take(n, units * UNIT));
            }
            let mut key = FlowKey::ZERO;
            for place in &mapped {
                assign(&mut key, *place);
                set_value(&mut key, *place, bytes_of(place.number, place.bytes()));
                set_present(&mut key, place.number, place.number.is_multiple_of(2));
            }
            prop_assert_eq!(places(&key).count(), mapped.len());
            for place in mapped {
                let n = place.number;
                prop_assert_eq!(place_of(&key, n), Some(place));
                prop_assert_eq!(read(&key, n), Some(bytes_of(n, place.bytes())));
                prop_assert_eq!(is_present(&key, place), n.is_multiple_of(2));
                let mut m = Match::ANY;
                assign_in_match(&mut m, place);
                look_at_value(place, &mut m.wc);
                let m = Match::new(&key, &m.wc);
                prop_assert_eq!(places(&m.key).collect::<Vec<_>>(), vec![place]);
                prop_assert_eq!(read(&m.key, n), read(&key, n));
            }
        }
    }
}
