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
//! I2  Options leave in the order of their fields' numbers. All mapped fields together may make more than a header takes
//!     ([`TunnelOptions::MAX`]): a packet that has them all does not leave.
//!
//! Spec: ovs-fields(7), "Geneve Fields"; ovs-ofctl(8), "add-tlv-map".

use flow::extract::options_of;
use flow::tun_metadata::{self, Place, Room};
use flow::{FlowKey, Match, Wildcards, slot};
use openflow::msg::{TlvCommand, TlvMap, TlvTable, TlvTableMod};
use openflow::{Action, OfpError, actions, field};
use packet::{TunnelOption, TunnelOptions};

/// Bytes of an option before its value.
const HEADER: usize = 4;
/// Which option is which field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionMap {
    /// Each field's option and its place in keys, in the order of their numbers.
    rows: Vec<(Place, TlvMap)>,
}

impl OptionMap {
    /// The map after a change, or why there is none. `used` has a bit for each field that rules or groups name.
    pub fn changed(&self, change: &TlvTableMod, used: u64) -> Result<OptionMap, OfpError> {
        let mut map = self.clone();
        match change.command {
            TlvCommand::Add => change.maps.iter().try_for_each(|row| map.add(row))?,
            TlvCommand::Delete => change.maps.iter().try_for_each(|row| map.delete(row, used))?,
            TlvCommand::Clear if map.rows.iter().any(|(_, row)| used >> row.index & 1 != 0) => {
                return Err(OfpError::NXTTMFC_INVALID_TLV_DEL);
            }
            TlvCommand::Clear => map = OptionMap::default(),
        }
        Ok(map)
    }

    /// What `dump-tlv-map` shows.
    pub fn described(&self) -> TlvTable {
        TlvTable {
            max_option_space: tun_metadata::MAX_SPACE.into(),
            max_fields: tun_metadata::FIELDS.into(),
            maps: self.rows.iter().map(|(_, row)| *row).collect(),
        }
    }

    /// True if nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of a field of tunnel metadata.
    fn row(&self, n: u8) -> Option<&(Place, TlvMap)> {
        self.rows.iter().find(|(place, _)| place.number() == n)
    }

    /// The row of an option of a packet.
    fn row_of(&self, option: &TunnelOption<'_>) -> Option<&(Place, TlvMap)> {
        let same = |row: &TlvMap| {
            (row.class, row.kind, usize::from(row.len)) == (option.class, option.kind, option.data.len())
        };
        self.rows.iter().find(|(_, row)| same(row))
    }

    fn add(&mut self, new: &TlvMap) -> Result<(), OfpError> {
        if self.rows.iter().any(|(_, row)| row.index == new.index) {
            return Err(OfpError::NXTTMFC_ALREADY_MAPPED);
        }
        if self.rows.iter().any(|(_, row)| (row.class, row.kind) == (new.class, new.kind)) {
            return Err(OfpError::NXTTMFC_DUP_ENTRY);
        }
        if new.len == 0 {
            return Err(OfpError::NXTTMFC_BAD_OPT_LEN);
        }
        let mut room = Room::default();
        self.rows.iter().for_each(|(place, _)| room.mark(*place));
        let place = room.take(new.index as u8, new.len).ok_or(OfpError::NXTTMFC_TABLE_FULL)?;
        self.rows.push((place, *new));
        self.rows.sort_unstable_by_key(|(_, row)| row.index);
        Ok(())
    }

    /// Unmaps an option; one that is not mapped so is left alone.
    fn delete(&mut self, old: &TlvMap, used: u64) -> Result<(), OfpError> {
        let Some(at) = self.rows.iter().position(|(_, row)| row == old) else { return Ok(()) };
        if used >> old.index & 1 != 0 {
            return Err(OfpError::NXTTMFC_INVALID_TLV_DEL);
        }
        self.rows.remove(at);
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
            let (place, row) = self.row(n).ok_or(OfpError::NXFMFC_INVALID_TLV_FIELD)?;
            let (value, mask) = field::get_masked(f, m);
            if value.len() > u16::from(row.len) * 8 {
                return Err(OfpError::OFPBMC_BAD_VALUE);
            }
            tun_metadata::assign_in_match(&mut bound, *place);
            field::set_option(&mut bound.key, *place, &value);
            field::set_option(&mut bound.wc, *place, &mask);
        }
        Ok(Some(bound))
    }

    /// Refuses actions on fields that are not mapped, or on bits that they do not have.
    pub fn check(&self, list: &[Action]) -> Result<(), OfpError> {
        actions::options_named(list).iter().try_for_each(|(n, bits)| {
            let (_, row) = self.row(*n).ok_or(OfpError::NXFMFC_INVALID_TLV_FIELD)?;
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
        for (place, _) in &self.rows {
            tun_metadata::assign(key, *place);
            let old = tun_metadata::place_of(&before, place.number());
            if before.tun_opts_len() == 0
                && let Some(old) = old.filter(|old| tun_metadata::is_present(&before, *old))
            {
                field::set_option(key, *place, &field::option(&before, old));
                tun_metadata::set_present(key, place.number(), true);
            }
        }
        let received =
            if before.tun_opts_len() == 0 { TunnelOptions::default() } else { options_of(&before) };
        // Of several options that are the same, the first one counts.
        for option in received.iter() {
            if let Some((place, _)) = self.row_of(&option).filter(|(p, _)| !tun_metadata::is_present(key, *p))
            {
                tun_metadata::set_value(key, *place, option.data.iter().copied());
                tun_metadata::set_present(key, place.number(), true);
            }
        }
    }

    /// The options that a key's fields make; `None` if they are more than a header takes.
    pub fn options(&self, key: &FlowKey) -> Option<TunnelOptions> {
        let mut bytes = Vec::new();
        for (place, row) in self.rows.iter().filter(|(place, _)| tun_metadata::is_present(key, *place)) {
            bytes.extend(row.class.to_be_bytes());
            bytes.extend([row.kind, row.len / 4]);
            bytes.extend(tun_metadata::value(key, *place));
        }
        TunnelOptions::new(&bytes)
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
            match self.row_of(&option) {
                Some((place, _)) => mask.extend(tun_metadata::value(&seen, *place)),
                None => mask.resize(mask.len() + option.data.len(), 0),
            }
        }
        let masks = TunnelOptions::new(&mask).unwrap_or_default();
        for (slot, mask) in slot::TUN_OPTS.iter().zip(masks.words()) {
            wc.set(*slot, mask);
        }
    }

    /// Looks at every field that a key has, and at which it has.
    pub fn look_at_all(&self, key: &FlowKey, wc: &mut Wildcards) {
        for (place, _) in &self.rows {
            tun_metadata::look_at_entry(*place, wc);
            if tun_metadata::is_present(key, *place) {
                tun_metadata::look_at_value(*place, wc);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flow::Field;
    use openflow::Bits;

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
        let map = map(&[row(0x80, 4, 0), row(1, 16, 9), row(2, 8, 63), row(3, 124, 4)]).unwrap();
        let mut bytes = vec![1, 2, 0x80, 1, 0xde, 0xad, 0xbe, 0xef, 9, 9, 9, 1, 1, 1, 1, 1, 1, 2, 1, 4];
        bytes.extend(1..=16);
        let raw = received(&bytes);
        let mut key = raw;
        map.open(&mut key);
        let get = |key: &FlowKey, f| field::get(f, key);
        assert_eq!(get(&key, Field::TunMetadata0), 0xdead_beef);
        assert_eq!(get(&key, Field::TunMetadata9), 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        assert_eq!(get(&key, Field::TunMetadata63), 0, "not received");
        let sent = map.options(&key).unwrap();
        assert_eq!(sent.iter().map(|o| o.kind).collect::<Vec<_>>(), [0x80, 1], "of those that are mapped");
        field::set(Field::TunMetadata63, &mut key, 5_u8);
        field::set(Field::TunMetadata4, &mut key, Bits::ones(900));
        tun_metadata::set_present(&mut key, 0, false);
        let sent = map.options(&key).unwrap();
        let lengths: Vec<_> = sent.iter().map(|o| (o.kind, o.data.len())).collect();
        assert_eq!(lengths, [(3, 124), (1, 16), (2, 8)], "in the order of their fields");

        // What is looked at of a field is matched of its option, and all headers are.
        let mut wc = Wildcards::NONE;
        wc.set_tun_dst(3);
        map.close(&raw, &mut wc);
        assert_eq!((wc.tun_opts_len(), wc.tun_opts0(), wc.tun_dst()), (0, 0, 3));
        field::look_at(Field::TunMetadata0, &key, &0xff00_u16.into(), &mut wc);
        map.close(&raw, &mut wc);
        assert_eq!(wc.tun_opts_len(), 0xff);
        assert_eq!(wc.tun_opts0(), 0xffff_ffff_0000_ff00_ffff_ffff_0000_0000);
        assert_eq!(wc.tun_opts1(), 0xffff_ffff << 96);
    }

    #[test]
    fn a_match_gets_the_bridges_places() {
        let map = map(&[row(1, 4, 5), row(2, 8, 3)]).unwrap();
        let every = field::full_mask(Field::TunMetadata5);
        let mut m = Match::ANY;
        field::set_match(Field::TunMetadata3, &mut m, 0x1234_u16, 0xffff_u16);
        field::set_match(Field::TunMetadata5, &mut m, 7_u8, every.clone());
        let m = map.bound(&m).unwrap().unwrap();
        assert_eq!(map.bound(&Match::ANY), Ok(None));
        assert_eq!(field::get_masked(Field::TunMetadata3, &m), (0x1234_u16.into(), 0xffff_u16.into()));
        assert_eq!(field::get_masked(Field::TunMetadata5, &m), (7_u8.into(), every));
        let mut key = received(&[1, 2, 1, 1, 0, 0, 0, 7, 1, 2, 2, 2, 9, 9, 9, 9, 9, 9, 0x12, 0x34]);
        map.open(&mut key);
        assert!(m.wc.equal(&m.key, &key));
        field::set(Field::TunMetadata5, &mut key, 8_u8);
        assert!(!m.wc.equal(&m.key, &key));
        let mut wide = Match::ANY;
        field::set_match(Field::TunMetadata5, &mut wide, 1_u64 << 40, field::full_mask(Field::TunMetadata5));
        assert_eq!(map.bound(&wide), Err(OfpError::OFPBMC_BAD_VALUE));
        let mut unmapped = Match::ANY;
        field::set_match(Field::TunMetadata4, &mut unmapped, 1_u8, 1_u8);
        assert_eq!(map.bound(&unmapped), Err(OfpError::NXFMFC_INVALID_TLV_FIELD));
    }

    #[test]
    fn what_is_in_use_stays_and_what_does_not_fit_is_refused() {
        let full = OfpError::NXTTMFC_TABLE_FULL;
        let many = |fields: u8, len: u8| map(&(0..fields).map(|n| row(n, len, n.into())).collect::<Vec<_>>());
        for (fields, len) in [(38, 4), (13, 16), (7, 32), (2, 124)] {
            assert_eq!(many(fields + 1, len), Err(full));
            let map = many(fields, len).unwrap();
            let mut key = FlowKey::ZERO;
            map.open(&mut key);
            (0..fields).for_each(|n| tun_metadata::set_present(&mut key, n, true));
            let fits = usize::from(fields) * (HEADER + usize::from(len)) <= TunnelOptions::MAX;
            assert_eq!(map.options(&key).is_some(), fits, "{fields} of {len} bytes");
        }
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
