//! Meters (`OVS_METER_ATTR_*`).
//!
//! Where it sits: requests and replies of the meter family.

use netlink::{Attr, Attrs, Builder};

use super::{AttrError, nest, sized};

mod attr {
    pub const ID: u16 = 1;
    pub const KBPS: u16 = 2;
    pub const STATS: u16 = 3;
    pub const BANDS: u16 = 4;
    pub const USED: u16 = 5;
    pub const CLEAR: u16 = 6;
    pub const MAX_METERS: u16 = 7;
    pub const MAX_BANDS: u16 = 8;
}

mod band {
    pub const TYPE: u16 = 1;
    pub const RATE: u16 = 2;
    pub const BURST: u16 = 3;
    pub const STATS: u16 = 4;
}

/// The only type of band: what exceeds it is dropped.
pub const BAND_DROP: u32 = 1;

/// A band of a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Band {
    /// [`BAND_DROP`].
    pub kind: u32,
    /// Kilobits or packets per second.
    pub rate: u32,
    /// The same unit.
    pub burst: u32,
    /// Packets and bytes that exceeded it, in replies.
    pub stats: (u64, u64),
}

fn pair(a: Attr<'_>) -> Option<(u64, u64)> {
    let (first, second) = a.payload.split_at_checked(8)?;
    Some((u64::from_ne_bytes(first.try_into().ok()?), u64::from_ne_bytes(second.try_into().ok()?)))
}

/// The attributes of a message about a meter, as far as they are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeterAttrs<'a> {
    /// Its number.
    pub id: Option<u32>,
    /// Rates are in kilobits per second, not packets.
    pub kbps: bool,
    /// Nested list of bands.
    pub bands: Option<Attr<'a>>,
    /// Counters are to be zeroed.
    pub clear: bool,
    /// Packets and bytes that passed.
    pub stats: Option<(u64, u64)>,
    /// Monotonic milliseconds of the last packet.
    pub used_ms: Option<u64>,
    /// Most meters.
    pub max_meters: Option<u32>,
    /// Most bands of a meter.
    pub max_bands: Option<u32>,
}

impl<'a> MeterAttrs<'a> {
    /// Reads a message's attributes.
    pub fn decode(attrs: Attrs<'a>) -> Result<MeterAttrs<'a>, AttrError> {
        let mut out = MeterAttrs::default();
        for a in attrs {
            let a = a?;
            match a.kind {
                attr::ID => out.id = Some(sized(a, a.u32())?),
                attr::KBPS => out.kbps = true,
                attr::BANDS => out.bands = Some(a),
                attr::CLEAR => out.clear = true,
                attr::STATS => out.stats = Some(sized(a, pair(a))?),
                attr::USED => out.used_ms = Some(sized(a, a.u64())?),
                attr::MAX_METERS => out.max_meters = Some(sized(a, a.u32())?),
                attr::MAX_BANDS => out.max_bands = Some(sized(a, a.u32())?),
                _ => {}
            }
        }
        Ok(out)
    }
}

/// The bands of a list.
pub fn bands(list: Attr<'_>) -> impl Iterator<Item = Result<Band, AttrError>> {
    list.nested().map(|a| {
        let mut out = Band::default();
        for a in a?.nested() {
            let a = a?;
            match a.kind {
                band::TYPE => out.kind = sized(a, a.u32())?,
                band::RATE => out.rate = sized(a, a.u32())?,
                band::BURST => out.burst = sized(a, a.u32())?,
                band::STATS => out.stats = sized(a, pair(a))?,
                _ => {}
            }
        }
        Ok(out)
    })
}

/// Adds what a datapath's meters can do; without meters, no type of band.
pub fn put_features(b: &mut Builder, max_meters: u32, max_bands: u32) {
    b.put_u32(attr::MAX_METERS, max_meters);
    b.put_u32(attr::MAX_BANDS, max_bands);
    nest(b, attr::BANDS, |b| {
        if max_bands != 0 {
            nest(b, 0, |b| b.put_u32(band::TYPE, BAND_DROP));
        }
    });
}

/// Adds a meter's counters, packets and bytes, and those of its bands.
pub fn put_counters(
    b: &mut Builder,
    id: u32,
    total: (u64, u64),
    used_ms: u64,
    bands: impl Iterator<Item = (u64, u64)>,
) {
    let pair = |(packets, bytes): (u64, u64)| [packets.to_ne_bytes(), bytes.to_ne_bytes()];
    b.put_u32(attr::ID, id);
    b.put(attr::STATS, pair(total).as_flattened());
    nest(b, attr::BANDS, |b| {
        for band in bands {
            nest(b, 0, |b| b.put(band::STATS, pair(band).as_flattened()));
        }
    });
    if used_ms != 0 {
        b.put_u64(attr::USED, used_ms);
    }
}

/// Adds a meter's number.
pub fn put_id(b: &mut Builder, id: u32) {
    b.put_u32(attr::ID, id);
}

/// Adds a meter's definition.
pub fn put_meter(b: &mut Builder, id: u32, kbps: bool, list: &[Band]) {
    b.put_u32(attr::ID, id);
    if kbps {
        b.put_flag(attr::KBPS);
    }
    nest(b, attr::BANDS, |b| {
        for one in list {
            nest(b, 0, |b| {
                b.put_u32(band::TYPE, one.kind);
                b.put_u32(band::RATE, one.rate);
                b.put_u32(band::BURST, one.burst);
            });
        }
    });
}
