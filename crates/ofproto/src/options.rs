//! A bridge's map of tunnel options: which Geneve option is which field of tunnel metadata, and where its value lies in a key.
//!
//! Where it sits: controllers fill it (`add-tlv-map`); translation turns a packet's options into fields with it, and fields into options and
//! what was looked at of them into a megaflow's mask.
//!
//! ~~~text
//! datapath's key: options as on the wire ── open ──► OpenFlow's key: a place for each mapped field ── options ──► a tunnel's header
//! megaflow's mask: headers exact, values as ◄── close ── what was looked at of the places
//! ~~~
//!
//! I1  A field keeps its place while it is mapped, so that rules and keys agree.
//! I2  Options that all mapped fields make together fit a packet's metadata ([`TunnelOptions::MAX`]).
//!
//! Spec: ovs-fields(7), "Geneve Fields"; ovs-ofctl(8), "add-tlv-map".

use flow::extract::options_of;
use flow::tun_metadata::{self, MAX_BYTES, PLACES};
use flow::{FlowKey, Match, Wildcards, slot};
use openflow::msg::{TlvCommand, TlvMap, TlvTable, TlvTableMod};
use openflow::{Action, OfpError, actions, field};
use packet::TunnelOptions;

/// Bytes of an option before its value.
const HEADER: usize = 4;
/// Which option is which field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionMap {
    /// What each place holds; nothing also where it belongs to the place before.
    places: [Option<TlvMap>; PLACES as usize],
}

impl OptionMap {
    /// The map after a change, or why there is none. `used` has a bit for each field that rules or groups name.
    pub fn changed(&self, change: &TlvTableMod, used: u64) -> Result<OptionMap, OfpError> {
        let mut map = self.clone();
        match change.command {
            TlvCommand::Add => change.maps.iter().try_for_each(|row| map.add(row))?,
            TlvCommand::Delete => change.maps.iter().try_for_each(|row| map.delete(row, used))?,
            TlvCommand::Clear if map.rows().any(|(_, row)| used >> row.index & 1 != 0) => {
                return Err(OfpError::NXTTMFC_INVALID_TLV_DEL);
            }
            TlvCommand::Clear => map = OptionMap::default(),
        }
        Ok(map)
    }

    /// What `dump-tlv-map` shows.
    pub fn described(&self) -> TlvTable {
        let mut maps: Vec<TlvMap> = self.rows().map(|(_, row)| *row).collect();
        maps.sort_unstable_by_key(|row| row.index);
        TlvTable {
            max_option_space: u32::from(PLACES) * 8,
            max_fields: u16::from(tun_metadata::FIELDS),
            maps,
        }
    }

    /// True if nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }

    fn rows(&self) -> impl Iterator<Item = (u8, &TlvMap)> {
        (0..PLACES).zip(&self.places).filter_map(|(place, row)| Some((place, row.as_ref()?)))
    }

    fn add(&mut self, new: &TlvMap) -> Result<(), OfpError> {
        if self.rows().any(|(_, row)| row.index == new.index) {
            return Err(OfpError::NXTTMFC_ALREADY_MAPPED);
        }
        if self.rows().any(|(_, row)| (row.class, row.kind) == (new.class, new.kind)) {
            return Err(OfpError::NXTTMFC_DUP_ENTRY);
        }
        if new.len == 0 {
            return Err(OfpError::NXTTMFC_BAD_OPT_LEN);
        }
        let space: usize = self.rows().map(|(_, row)| HEADER + usize::from(row.len)).sum();
        if new.len > MAX_BYTES || space + HEADER + usize::from(new.len) > TunnelOptions::MAX {
            return Err(OfpError::NXTTMFC_TABLE_FULL);
        }
        let ones = |bytes: u8| (1u32 << tun_metadata::places_of(bytes)) - 1;
        let taken = self.rows().fold(0, |taken, (place, row)| taken | ones(row.len) << place);
        let free =
            (0..=PLACES - tun_metadata::places_of(new.len)).find(|at| taken & ones(new.len) << at == 0);
        let place = free.and_then(|at| self.places.get_mut(usize::from(at)));
        *place.ok_or(OfpError::NXTTMFC_TABLE_FULL)? = Some(*new);
        Ok(())
    }

    /// Unmaps an option; one that is not mapped so is left alone.
    fn delete(&mut self, old: &TlvMap, used: u64) -> Result<(), OfpError> {
        let Some(place) = self.places.iter_mut().find(|row| row.as_ref() == Some(old)) else { return Ok(()) };
        if used >> old.index & 1 != 0 {
            return Err(OfpError::NXTTMFC_INVALID_TLV_DEL);
        }
        *place = None;
        Ok(())
    }

    /// A match whose fields came with places of their own, with the bridge's places; `None` if it has no such fields.
    pub fn bound(&self, m: &Match) -> Result<Option<Match>, OfpError> {
        let mut named = field::options(m).peekable();
        if named.peek().is_none() {
            return Ok(None);
        }
        let mut bound = *m;
        tun_metadata::clear(&mut bound.key);
        tun_metadata::clear(&mut bound.wc);
        for f in named {
            let n = f.option().unwrap_or(0);
            let found = self.rows().find(|(_, row)| row.index == u16::from(n));
            let (place, row) = found.ok_or(OfpError::NXFMFC_INVALID_TLV_FIELD)?;
            let own = tun_metadata::assign_in_match(&mut bound, place, n, row.len);
            let (value, mask) = field::get_masked(f, m);
            if value & !own.max() != 0 {
                return Err(OfpError::OFPBMC_BAD_VALUE);
            }
            bound.set_masked(own, value, mask);
        }
        Ok(Some(bound))
    }

    /// Refuses actions on fields that are not mapped, or on bits that they do not have.
    pub fn check(&self, list: &[Action]) -> Result<(), OfpError> {
        actions::options_named(list).iter().try_for_each(|(n, bits)| {
            let row = self.rows().find(|(_, row)| row.index == u16::from(*n));
            let (_, row) = row.ok_or(OfpError::NXFMFC_INVALID_TLV_FIELD)?;
            if *bits > u16::from(row.len) * 8 { Err(OfpError::OFPBAC_BAD_SET_LEN) } else { Ok(()) }
        })
    }

    /// Gives a key the bridge's places: filled from the options that it has, or from places that it had in another order.
    pub fn open(&self, key: &mut FlowKey) {
        if key.tun_opts_len() == 0 && self.is_empty() && tun_metadata::is_empty(key) {
            return;
        }
        let before = *key;
        tun_metadata::clear(key);
        let options = options_of(&before);
        for (place, row) in self.rows() {
            let n = row.index as u8;
            let own = tun_metadata::assign(key, place, n, row.len);
            let value = if before.tun_opts_len() == 0 {
                let old = tun_metadata::fields(&before).find(|(_, number, _)| *number == n);
                old.filter(|(at, ..)| tun_metadata::is_present(&before, *at))
                    .map(|(.., slot)| before.get(slot))
            } else {
                let same = |o: &packet::TunnelOption<'_>| {
                    (o.class, o.kind, o.data.len()) == (row.class, row.kind, usize::from(row.len))
                };
                options.iter().find(same).map(|o| o.data.iter().fold(0, |n, b| n << 8 | u128::from(*b)))
            };
            if let Some(value) = value {
                key.set(own, value);
                tun_metadata::set_present(key, n, true);
            }
        }
    }

    /// The options that a key's fields make.
    pub fn options(&self, key: &FlowKey) -> TunnelOptions {
        let mut bytes = Vec::new();
        for (place, row) in self.rows().filter(|(place, _)| tun_metadata::is_present(key, *place)) {
            let value =
                tun_metadata::fields(key).find(|(at, ..)| *at == place).map_or(0, |(.., s)| key.get(s));
            bytes.extend(row.class.to_be_bytes());
            bytes.extend([row.kind, row.len / 4]);
            bytes.extend(value.to_be_bytes().iter().skip(16 - usize::from(row.len)));
        }
        // They fit (I2).
        TunnelOptions::new(&bytes).unwrap_or_default()
    }

    /// Turns what was looked at of the places into what a megaflow matches of the options of `key`, which the datapath has.
    /// Which options there are is then matched whole.
    pub fn close(&self, key: &FlowKey, wc: &mut Wildcards) {
        let looked_at = slot::TUN_OPTS.iter().any(|slot| wc.get(*slot) != 0);
        let seen = *wc;
        tun_metadata::clear(wc);
        if !looked_at {
            return;
        }
        wc.unwildcard(slot::tun_opts_len);
        let options = options_of(key);
        let mut mask = Vec::new();
        for option in options.iter() {
            mask.extend([0xff; HEADER]);
            let row = self.rows().find(|(_, r)| {
                (r.class, r.kind, usize::from(r.len)) == (option.class, option.kind, option.data.len())
            });
            let bits = row.map_or(0, |(place, r)| seen.get(tun_metadata::value_slot(place, r.len)));
            let bits = bits.to_be_bytes();
            mask.extend((0..option.data.len()).map(|i| match 16usize.checked_sub(option.data.len() - i) {
                Some(at) => bits.get(at).copied().unwrap_or(0),
                None => 0,
            }));
        }
        let masks = TunnelOptions::new(&mask).unwrap_or_default();
        for (slot, mask) in slot::TUN_OPTS.iter().zip(masks.words()) {
            wc.set(*slot, mask);
        }
    }

    /// Looks at every field that a key has, and at which it has.
    pub fn look_at_all(&self, key: &FlowKey, wc: &mut Wildcards) {
        for (place, row) in self.rows() {
            tun_metadata::look_at_entry(place, wc);
            if tun_metadata::is_present(key, place) {
                wc.unwildcard(tun_metadata::value_slot(place, row.len));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flow::Field;

    use super::*;

    fn row(kind: u8, len: u8, index: u16) -> TlvMap {
        TlvMap { class: 0x102, kind, len, index }
    }

    fn map(rows: &[TlvMap]) -> Result<OptionMap, OfpError> {
        let change = TlvTableMod { command: TlvCommand::Add, maps: rows.to_vec() };
        OptionMap::default().changed(&change, 0)
    }

    /// A key as the datapath has it, with these options.
    fn received(bytes: &[u8]) -> FlowKey {
        let mut key = FlowKey::ZERO;
        key.set_tun_dst(7);
        let options = TunnelOptions::new(bytes).unwrap();
        flow::extract::options(&options, &mut key);
        key
    }

    #[test]
    fn options_become_fields_and_options_again() {
        let map = map(&[row(0x80, 4, 0), row(1, 16, 9), row(2, 8, 63)]).unwrap();
        let mut bytes = vec![1, 2, 0x80, 1, 0xde, 0xad, 0xbe, 0xef, 9, 9, 9, 1, 1, 1, 1, 1, 1, 2, 1, 4];
        bytes.extend(1..=16);
        let raw = received(&bytes);
        let mut key = raw;
        map.open(&mut key);
        let get = |key: &FlowKey, f| field::get(f, key);
        assert_eq!(get(&key, Field::TunMetadata0), 0xdead_beef);
        assert_eq!(get(&key, Field::TunMetadata9), 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        assert_eq!(get(&key, Field::TunMetadata63), 0, "not received");
        let sent = map.options(&key);
        assert_eq!(sent.iter().map(|o| o.kind).collect::<Vec<_>>(), [0x80, 1], "of those that are mapped");
        field::set(Field::TunMetadata63, &mut key, 5);
        tun_metadata::set_present(&mut key, 0, false);
        let sent = map.options(&key);
        assert_eq!(sent.iter().map(|o| (o.kind, o.data.len())).collect::<Vec<_>>(), [(1, 16), (2, 8)]);

        // What is looked at of a field is matched of its option, and all headers are.
        let mut wc = Wildcards::NONE;
        wc.set_tun_dst(3);
        map.close(&raw, &mut wc);
        assert_eq!((wc.tun_opts_len(), wc.tun_opts0(), wc.tun_dst()), (0, 0, 3));
        let place = Field::TunMetadata0.slot_in(&key);
        wc.set(place, 0xff00);
        map.close(&raw, &mut wc);
        assert_eq!(wc.tun_opts_len(), 0xff);
        assert_eq!(wc.tun_opts0(), 0xffff_ffff_0000_ff00_ffff_ffff_0000_0000);
        assert_eq!(wc.tun_opts1(), 0xffff_ffff << 96);
    }

    #[test]
    fn a_match_gets_the_bridges_places() {
        let map = map(&[row(1, 4, 5), row(2, 8, 3)]).unwrap();
        let mut m = Match::ANY;
        field::set_match(Field::TunMetadata3, &mut m, 0x1234, 0xffff);
        field::set_match(Field::TunMetadata5, &mut m, 7, u128::MAX);
        let m = map.bound(&m).unwrap().unwrap();
        assert_eq!(map.bound(&Match::ANY), Ok(None));
        assert_eq!(field::get_masked(Field::TunMetadata3, &m), (0x1234, 0xffff));
        assert_eq!(field::get_masked(Field::TunMetadata5, &m), (7, u128::MAX));
        let mut key = received(&[1, 2, 1, 1, 0, 0, 0, 7, 1, 2, 2, 2, 9, 9, 9, 9, 9, 9, 0x12, 0x34]);
        map.open(&mut key);
        assert!(m.wc.equal(&m.key, &key));
        field::set(Field::TunMetadata5, &mut key, 8);
        assert!(!m.wc.equal(&m.key, &key));
        let mut wide = Match::ANY;
        field::set_match(Field::TunMetadata5, &mut wide, 1 << 40, u128::MAX);
        assert_eq!(map.bound(&wide), Err(OfpError::OFPBMC_BAD_VALUE));
        let mut unmapped = Match::ANY;
        field::set_match(Field::TunMetadata4, &mut unmapped, 1, u128::MAX);
        assert_eq!(map.bound(&unmapped), Err(OfpError::NXFMFC_INVALID_TLV_FIELD));
    }

    #[test]
    fn what_is_in_use_stays_and_what_does_not_fit_is_refused() {
        let full = OfpError::NXTTMFC_TABLE_FULL;
        assert_eq!(map(&[row(1, 20, 0)]), Err(full));
        assert_eq!(map(&(0..28).map(|n| row(n, 4, n.into())).collect::<Vec<_>>()), Err(full));
        assert_eq!(map(&(0..13).map(|n| row(n, 16, n.into())).collect::<Vec<_>>()), Err(full));
        assert_eq!(map(&[row(1, 4, 0), row(1, 4, 1)]), Err(OfpError::NXTTMFC_DUP_ENTRY));
        assert_eq!(map(&[row(1, 4, 0), row(2, 4, 0)]), Err(OfpError::NXTTMFC_ALREADY_MAPPED));
        let two = map(&[row(1, 4, 0), row(2, 16, 1)]).unwrap();
        let delete = |maps: Vec<TlvMap>| TlvTableMod { command: TlvCommand::Delete, maps };
        assert_eq!(two.changed(&delete(vec![row(1, 4, 0)]), 1), Err(OfpError::NXTTMFC_INVALID_TLV_DEL));
        let one = two.changed(&delete(vec![row(1, 4, 0), row(9, 4, 9)]), 2).unwrap();
        assert_eq!(one.described().maps, [row(2, 16, 1)]);
        let clear = TlvTableMod { command: TlvCommand::Clear, maps: vec![] };
        assert_eq!(one.changed(&clear, 2), Err(OfpError::NXTTMFC_INVALID_TLV_DEL));
        assert!(one.changed(&clear, 0).unwrap().is_empty());
    }
}
