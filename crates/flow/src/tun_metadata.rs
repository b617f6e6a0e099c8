//! Tunnel options as fields: where `tun_metadata0` to `tun_metadata63` lie in a key of OpenFlow's.
//!
//! Where it sits: below OpenFlow's fields; a bridge's map (`ofproto`) puts options of a packet into their places, and makes options of
//! what is in them.
//!
//! A key of the datapath's holds a tunnel's options as they are on the wire. In one of OpenFlow's, the same words hold what a
//! bridge has fields for: a directory, and places of a word each.
//!
//! ~~~text
//! words 39-43  directory, ten bits a place, six a word: is the option there (1) | words of 4 bytes (3) | number of the field (6);
//!              without a size the place is free, or belongs to the one before
//! words 44-70  values, at the low end; more than 8 bytes take two places
//! ~~~
//!
//! I1  What a match says of a place, its directory says too: two keys whose directories differ there never match.
//!
//! Spec: ovs-fields(7), "Geneve Fields".

use core::ops::Range;

use crate::{FlowKey, Match, Slot, Wildcards, slot};

/// Places of 8 bytes.
pub const PLACES: u8 = 27;
/// How many fields there are to be mapped.
pub const FIELDS: u8 = 64;
/// Most bytes of one field.
pub const MAX_BYTES: u8 = 16;

/// The words of options.
const WORDS: Range<usize> = slot::tun_opts0.word as usize..slot::STAGES[0];
/// Words of the directory, with so many entries each.
const DIRECTORY: u8 = 5;
const ENTRIES: u8 = 6;
/// Bits of an entry, and of them without the one that says that the option is there.
const ENTRY_BITS: u8 = 10;
const NAME_BITS: u8 = 9;

const _: () =
    assert!(PLACES <= DIRECTORY * ENTRIES && (DIRECTORY + PLACES) as usize <= WORDS.end - WORDS.start);

/// What the directory says of a place: which field has it, of what size.
const fn entry(place: u8) -> Slot {
    let word = slot::tun_opts0.word + place / ENTRIES;
    Slot { word, shift: place % ENTRIES * ENTRY_BITS, bits: NAME_BITS }
}

/// Whether the packet has the option of the field in this place.
const fn presence(place: u8) -> Slot {
    let Slot { word, shift, bits } = entry(place);
    Slot { word, shift: shift + bits, bits: 1 }
}

/// Where the value in a place lies, if it has so many bytes.
pub const fn value_slot(place: u8, bytes: u8) -> Slot {
    Slot { word: slot::tun_opts0.word + DIRECTORY + place, shift: 0, bits: bytes * 8 }
}

/// True if the key has no place for any field.
pub fn is_empty(key: &FlowKey) -> bool {
    let words = key.words().get(WORDS).unwrap_or_default();
    words.iter().take(DIRECTORY.into()).all(|word| *word == 0)
}

/// Places that a value of so many bytes takes.
pub const fn places_of(bytes: u8) -> u8 {
    bytes.div_ceil(8)
}

/// The fields that a key has places for: place, number of the field, and where its value is.
pub fn fields(key: &FlowKey) -> impl Iterator<Item = (u8, u8, Slot)> + '_ {
    let places = if is_empty(key) { 0..0 } else { 0..PLACES };
    places.filter_map(|place| {
        let entry = key.get(entry(place)) as u16;
        let bytes = (entry >> 6) as u8 * 4;
        (bytes != 0).then(|| (place, entry as u8 & (FIELDS - 1), value_slot(place, bytes)))
    })
}

/// Where field `n` lies, if the key has a place for it.
pub fn slot_of(key: &FlowKey, n: u8) -> Option<Slot> {
    fields(key).find(|(_, number, _)| *number == n).map(|(.., slot)| slot)
}

/// Gives field `n`, of `bytes` bytes (a multiple of 4, at most [`MAX_BYTES`]), a place of a key.
pub fn assign(key: &mut FlowKey, place: u8, n: u8, bytes: u8) -> Slot {
    key.set(entry(place), u128::from(bytes / 4) << 6 | u128::from(n));
    value_slot(place, bytes)
}

/// The same in a match, which matches the directory's entry, too.
pub fn assign_in_match(m: &mut Match, place: u8, n: u8, bytes: u8) -> Slot {
    m.wc.unwildcard(entry(place));
    assign(&mut m.key, place, n, bytes)
}

/// Makes place in a match for `bytes` bytes of field `n`, which matches nothing of it yet; `None`, and no change, if there is not
/// enough. Fields of matches that no bridge has placed lie in the order of their numbers, so that equal ones are equal.
pub fn reserve(m: &mut Match, n: u8, bytes: u8) -> Option<Slot> {
    let before = *m;
    clear(&mut m.key);
    clear(&mut m.wc);
    let mut place = 0;
    for number in 0..FIELDS {
        let old = slot_of(&before.key, number).filter(|_| number != n);
        let Some(bytes) = old.map(|slot| slot.bits / 8).or((number == n).then_some(bytes)) else { continue };
        if place + places_of(bytes) > PLACES {
            *m = before;
            return None;
        }
        let own = assign_in_match(m, place, number, bytes);
        if let Some(old) = old {
            m.key.set(own, before.key.get(old));
            m.wc.set(own, before.wc.get(old));
        }
        place += places_of(bytes);
    }
    slot_of(&m.key, n)
}

/// True if the packet has the option of the field in this place.
pub fn is_present(key: &FlowKey, place: u8) -> bool {
    key.get(presence(place)) != 0
}

/// Says whether the packet has the option of field `n`; nothing of one without place.
pub fn set_present(key: &mut FlowKey, n: u8, present: bool) {
    let place = fields(key).find(|(_, number, _)| *number == n).map(|(place, ..)| place);
    if let Some(place) = place {
        key.set(presence(place), present.into());
    }
}

/// Makes it matter which field has a place.
pub fn look_at_entry(place: u8, wc: &mut Wildcards) {
    wc.unwildcard(entry(place));
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

    use super::*;

    #[test]
    fn values_have_places_of_their_own() {
        let mut m = Match::ANY;
        let mut sizes = vec![(5, 4), (63, 12), (0, 8), (7, 16), (9, 4)];
        sizes.extend((20..40).map(|n| (n, 8)));
        for &(n, bytes) in &sizes {
            let slot = reserve(&mut m, n, bytes).unwrap();
            assert_eq!((slot.bits, slot_of(&m.key, n)), (bytes * 8, Some(slot)));
            m.set_masked(slot, u128::MAX - u128::from(n), u128::MAX);
        }
        let full = m;
        assert_eq!((reserve(&mut m, 1, 4), m), (None, full), "all places are taken");
        let numbers: Vec<_> = [0, 5, 7, 9].into_iter().chain(20..40).chain([63]).collect();
        assert_eq!(fields(&m.key).map(|(_, n, _)| n).collect::<Vec<_>>(), numbers);
        for (n, bytes) in sizes {
            let slot = slot_of(&m.key, n).unwrap();
            assert_eq!(m.key.get(slot), (u128::MAX - u128::from(n)) & slot.max(), "{bytes} bytes");
        }
        assert_eq!(slot_of(&m.key, 1), None);
        set_present(&mut m.key, 7, true);
        set_present(&mut m.key, 1, true);
        let present = |key: &FlowKey| {
            fields(key).filter(|(place, ..)| is_present(key, *place)).map(|f| f.1).collect::<Vec<_>>()
        };
        assert_eq!(present(&m.key), [7]);
        set_present(&mut m.key, 63, true);
        set_present(&mut m.key, 7, false);
        assert_eq!(present(&m.key), [63]);
        assert_eq!(fields(&m.key).count(), numbers.len(), "they keep their places");
        clear(&mut m.key);
        assert_eq!((fields(&m.key).count(), is_empty(&m.key)), (0, true));
    }
}
