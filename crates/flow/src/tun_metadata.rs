//! Tunnel options as fields: where `tun_metadata0` to `tun_metadata63` lie in a key of OpenFlow's.
//!
//! Where it sits: below OpenFlow's fields; a bridge's map (`ofproto`) puts options of a packet into their places, and makes options of
//! what is in them.
//!
//! A key of the datapath's holds a tunnel's options as they are on the wire. In one of OpenFlow's, the same words hold what a
//! bridge has fields for: a directory, and seven places of a word each.
//!
//! ~~~text
//! word 39      directory, nine bits a place: words of 4 bytes (3) | number of the field (6); zero: free, or belongs to the place before
//! words 40-46  values, at the low end; more than 8 bytes take two places
//! ~~~
//!
//! I1  What a match says of a place, its directory says too: two keys whose directories differ there never match.
//!
//! Spec: ovs-fields(7), "Geneve Fields".

use crate::{FlowKey, Match, Slot, Wildcards, slot};

/// Places of 8 bytes.
pub const PLACES: u8 = 7;
/// How many fields there are to be mapped.
pub const FIELDS: u8 = 64;
/// Most bytes of one field.
pub const MAX_BYTES: u8 = 16;

/// Bits of the directory for a place.
const ENTRY_BITS: u8 = 9;

/// The entry of a place in the directory.
const fn entry(place: u8) -> Slot {
    Slot { word: slot::tun_opts0.word, shift: place * ENTRY_BITS, bits: ENTRY_BITS }
}

/// Where the value in a place lies, if it has so many bytes.
pub const fn value_slot(place: u8, bytes: u8) -> Slot {
    Slot { word: slot::tun_opts0.word + 1 + place, shift: 0, bits: bytes * 8 }
}

/// Places that a value of so many bytes takes.
pub const fn places_of(bytes: u8) -> u8 {
    bytes.div_ceil(8)
}

/// The fields that a key has places for: place, number of the field, and where its value is.
pub fn fields(key: &FlowKey) -> impl Iterator<Item = (u8, u8, Slot)> + '_ {
    (0..PLACES).filter_map(|place| {
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
    key.tun_opts_present() >> place & 1 != 0
}

/// Says whether the packet has the option of field `n`; nothing of one without place.
pub fn set_present(key: &mut FlowKey, n: u8, present: bool) {
    let Some((place, ..)) = fields(key).find(|(_, number, _)| *number == n) else { return };
    let bit = 1 << place;
    key.set_tun_opts_present(if present {
        key.tun_opts_present() | bit
    } else {
        key.tun_opts_present() & !bit
    });
}

/// Makes it matter which field has a place.
pub fn look_at_entry(place: u8, wc: &mut Wildcards) {
    wc.unwildcard(entry(place));
}

/// Sets in `to` what `from` has set in the words of options.
pub fn copy(from: &FlowKey, to: &mut FlowKey) {
    for slot in [
        slot::tun_opts0,
        slot::tun_opts1,
        slot::tun_opts2,
        slot::tun_opts3,
        slot::tun_opts_len,
        slot::tun_opts_present,
    ] {
        to.set(slot, to.get(slot) | from.get(slot));
    }
}

/// Forgets every field, and what options there were.
pub fn clear(key: &mut FlowKey) {
    for slot in [slot::tun_opts0, slot::tun_opts1, slot::tun_opts2, slot::tun_opts3] {
        key.set(slot, 0);
    }
    key.set_tun_opts_present(0);
    key.set_tun_opts_len(0);
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn values_have_places_of_their_own() {
        let mut m = Match::ANY;
        let sizes = [(5, 4), (63, 12), (0, 8), (7, 16), (9, 4)];
        for (n, bytes) in sizes {
            let slot = reserve(&mut m, n, bytes).unwrap();
            assert_eq!((slot.bits, slot_of(&m.key, n)), (bytes * 8, Some(slot)));
            m.set_masked(slot, u128::MAX - u128::from(n), u128::MAX);
        }
        let full = m;
        assert_eq!((reserve(&mut m, 1, 4), m), (None, full), "seven places are taken");
        assert_eq!(fields(&m.key).map(|(_, n, _)| n).collect::<Vec<_>>(), [0, 5, 7, 9, 63]);
        for (n, bytes) in sizes {
            let slot = slot_of(&m.key, n).unwrap();
            assert_eq!(m.key.get(slot), (u128::MAX - u128::from(n)) & slot.max(), "{bytes} bytes");
        }
        assert_eq!(slot_of(&m.key, 1), None);
        set_present(&mut m.key, 7, true);
        set_present(&mut m.key, 1, true);
        let present =
            |key: &FlowKey| fields(key).filter(|(place, ..)| is_present(key, *place)).map(|f| f.1).next();
        assert_eq!((present(&m.key), m.key.tun_opts_present().count_ones()), (Some(7), 1));
        clear(&mut m.key);
        assert_eq!(fields(&m.key).count(), 0);
    }
}
