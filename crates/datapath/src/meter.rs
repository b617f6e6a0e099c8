//! Meters: rates that packets may not exceed, and what happens to those that do.
//!
//! Where it sits: commands make them, the `meter` action passes packets through them.
//!
//! Each band is a bucket of tokens that fills at the band's rate up to its burst; a packet takes its size out, or
//! exceeds the band. The bands are independent; of those exceeded, the one with the highest rate decides.
//!
//! I1  Tokens are counted in millionths of a bit (or thousand-millionths of a packet), and time in nanoseconds: nothing
//!     is rounded, however long it runs. The largest bucket (4.3 Tbit of burst) fits 63 bits.
//!
//! Spec: OpenFlow 1.5.1 section 5.11; ovs-ofctl(8), "Meter Table Commands".

use alloc::vec::Vec;

use hashbrown::HashTable;
use packet::Instant;
use sync::SpinLock;

use crate::CommandError;

/// Most meters.
pub const MAX_METERS: u32 = 1 << 18;
/// Most bands of a meter.
pub const MAX_BANDS: usize = 8;

/// What a meter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterUnit {
    /// Kilobits a second; bursts are kilobits.
    Kbps,
    /// Packets a second; bursts are packets.
    Pktps,
}

/// What happens to packets that exceed a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    /// They are dropped.
    Drop,
    /// The drop precedence in their DSCP grows by so much.
    DscpRemark(u8),
}

/// One rate of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterBand {
    /// What happens above it.
    pub kind: BandKind,
    /// The rate; not zero.
    pub rate: u32,
    /// The burst; zero is the amount of one second.
    pub burst: u32,
}

/// A meter as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// What it counts.
    pub unit: MeterUnit,
    /// Its rates.
    pub bands: Vec<MeterBand>,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterCount {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A meter as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterInfo {
    /// What passed through it, dropped packets included.
    pub total: MeterCount,
    /// What exceeded each band and was handled by it.
    pub bands: Vec<MeterCount>,
    /// Milliseconds (monotonic) of the last packet; zero if there was none.
    pub used_ms: u64,
}

/// What a packet is to do after a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeterVerdict {
    Pass,
    Drop,
    Remark(u8),
}

struct Band {
    kind: BandKind,
    rate: u32,
    capacity: u64,
    tokens: u64,
    count: MeterCount,
}

struct Meter {
    unit: MeterUnit,
    filled: Instant,
    started: bool,
    total: MeterCount,
    used_ms: u64,
    bands: Vec<Band>,
}

/// Tokens of a bit, where a kilobit a second is one token a nanosecond.
const BIT: u64 = 1_000_000;
/// Tokens of a packet, where a packet a second is one token a nanosecond.
const PACKET: u64 = 1_000_000_000;

impl Meter {
    fn try_new(config: &MeterConfig) -> Result<Meter, CommandError> {
        let fits = config.bands.len() <= MAX_BANDS && config.bands.iter().all(|b| b.rate != 0);
        if !fits {
            return Err(CommandError::InvalidMeter);
        }
        let mut bands = Vec::new();
        bands.try_reserve_exact(config.bands.len()).map_err(|_| CommandError::NoMemory)?;
        for b in &config.bands {
            let burst = if b.burst == 0 { b.rate } else { b.burst };
            let unit = match config.unit {
                MeterUnit::Kbps => 1000 * BIT,
                MeterUnit::Pktps => PACKET,
            };
            let capacity = u64::from(burst) * unit;
            bands.push(Band {
                kind: b.kind,
                rate: b.rate,
                capacity,
                tokens: capacity,
                count: MeterCount::default(),
            });
        }
        let (unit, total) = (config.unit, MeterCount::default());
        Ok(Meter { unit, filled: Instant::default(), started: false, total, used_ms: 0, bands })
    }

    fn pass(&mut self, now: Instant, bytes: usize) -> MeterVerdict {
        let bytes = bytes as u64;
        let elapsed = if self.started { now.0.saturating_sub(self.filled.0) } else { 0 };
        self.started = true;
        self.filled = self.filled.max(now);
        self.used_ms = now.as_millis();
        self.total.packets += 1;
        self.total.bytes += bytes;
        let cost = match self.unit {
            MeterUnit::Kbps => bytes.saturating_mul(8 * BIT),
            MeterUnit::Pktps => PACKET,
        };
        let mut exceeded: Option<&mut Band> = None;
        for band in &mut self.bands {
            let refill = u128::from(elapsed) * u128::from(band.rate) + u128::from(band.tokens);
            band.tokens = refill.min(u128::from(band.capacity)) as u64;
            match band.tokens.checked_sub(cost) {
                Some(rest) => band.tokens = rest,
                None if exceeded.as_ref().is_none_or(|e| e.rate < band.rate) => exceeded = Some(band),
                None => {}
            }
        }
        let Some(band) = exceeded else { return MeterVerdict::Pass };
        band.count.packets += 1;
        band.count.bytes += bytes;
        match band.kind {
            BandKind::Drop => MeterVerdict::Drop,
            BandKind::DscpRemark(by) => MeterVerdict::Remark(by),
        }
    }

    fn info(&self) -> Result<MeterInfo, CommandError> {
        let mut bands = Vec::new();
        bands.try_reserve_exact(self.bands.len()).map_err(|_| CommandError::NoMemory)?;
        bands.extend(self.bands.iter().map(|b| b.count));
        Ok(MeterInfo { total: self.total, bands, used_ms: self.used_ms })
    }
}

/// Every meter.
#[derive(Default)]
pub(crate) struct Meters(HashTable<(u32, SpinLock<Meter>)>);

fn hash(id: u32) -> u64 {
    u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Meters {
    fn find(&self, id: u32) -> Option<&SpinLock<Meter>> {
        self.0.find(hash(id), |(n, _)| *n == id).map(|(_, meter)| meter)
    }

    /// Makes a meter, or changes one; its counters begin at zero.
    pub fn set(&mut self, id: u32, config: &MeterConfig) -> Result<(), CommandError> {
        if id >= MAX_METERS {
            return Err(CommandError::Full);
        }
        let meter = Meter::try_new(config)?;
        if let Some((_, old)) = self.0.find_mut(hash(id), |(n, _)| *n == id) {
            *old.get_mut() = meter;
            return Ok(());
        }
        self.0.try_reserve(1, |(n, _)| hash(*n)).map_err(|_| CommandError::NoMemory)?;
        self.0.insert_unique(hash(id), (id, SpinLock::new(meter)), |(n, _)| hash(*n));
        Ok(())
    }

    pub fn get(&self, id: u32) -> Result<MeterInfo, CommandError> {
        self.find(id).ok_or(CommandError::NotFound)?.lock().info()
    }

    /// Removes a meter; returns its last counters.
    pub fn remove(&mut self, id: u32) -> Result<MeterInfo, CommandError> {
        let info = self.get(id)?;
        if let Ok(entry) = self.0.find_entry(hash(id), |(n, _)| *n == id) {
            entry.remove();
        }
        Ok(info)
    }

    /// Passes a packet through a meter. One that does not exist lets everything pass.
    pub fn pass(&self, id: u32, now: Instant, bytes: usize) -> MeterVerdict {
        self.find(id).map_or(MeterVerdict::Pass, |m| m.lock().pass(now, bytes))
    }
}

/// The TOS byte with the drop precedence of its assured-forwarding class raised by `by`; other classes are left alone.
pub(crate) fn remark(tos: u8, by: u8) -> u8 {
    let (class, precedence) = (tos >> 5, tos >> 3 & 3);
    if !(1..=4).contains(&class) || precedence == 0 || tos >> 2 & 1 != 0 {
        return tos;
    }
    tos & !0x18 | precedence.saturating_add(by).min(3) << 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn meter(unit: MeterUnit, rate: u32, burst: u32) -> Meter {
        let band = MeterBand { kind: BandKind::Drop, rate, burst };
        Meter::try_new(&MeterConfig { unit, bands: vec![band] }).unwrap()
    }

    #[test]
    fn a_long_run_passes_exactly_the_rate() {
        // 400 Gbit/s of 1500-byte frames offered to 100 Gbit/s, for ten seconds of virtual time in 1 ms steps.
        let mut m = meter(MeterUnit::Kbps, 100_000_000, 1000);
        let mut passed = 0u64;
        for ms in 0..10_000u64 {
            for at in 0..33_333u64 / 10 {
                let now = Instant(ms * 1_000_000 + at * 300);
                passed += u64::from(m.pass(now, 15_000) == MeterVerdict::Pass);
            }
        }
        let bits = passed * 15_000 * 8;
        let most = 100_000_000_000u64 * 10 + 1_000_000;
        assert!(bits <= most && bits > most - most / 1000, "{bits} of {most}");
        assert_eq!(m.total.packets, 10_000 * 3_333);
        assert_eq!(m.bands[0].count.packets + passed, m.total.packets);
    }

    #[test]
    fn packets_are_counted_without_a_remainder_lost() {
        // 3 a second, looked at every millisecond: 3 ms make no whole packet, 1000 ms exactly three.
        let mut m = meter(MeterUnit::Pktps, 3, 1);
        let passed =
            (0..=100_000u64).filter(|ms| m.pass(Instant::from_millis(*ms), 60) == MeterVerdict::Pass).count();
        assert_eq!(passed, 1 + 299, "a full bucket, and every 334 ms");
        let mut idle = meter(MeterUnit::Kbps, u32::MAX, u32::MAX);
        assert_eq!(idle.pass(Instant(0), 65_535), MeterVerdict::Pass);
        assert_eq!(idle.pass(Instant(u64::MAX), 65_535), MeterVerdict::Pass, "nothing overflows");
    }

    #[test]
    fn of_several_bands_the_highest_decides() {
        let band = |kind, rate| MeterBand { kind, rate, burst: 1 };
        let bands = vec![band(BandKind::DscpRemark(1), 1), band(BandKind::Drop, 2)];
        let mut m = Meter::try_new(&MeterConfig { unit: MeterUnit::Pktps, bands }).unwrap();
        let at = |m: &mut Meter, ms| m.pass(Instant::from_millis(ms), 60);
        assert_eq!(at(&mut m, 0), MeterVerdict::Pass);
        assert_eq!(at(&mut m, 500), MeterVerdict::Remark(1), "the second band has filled again");
        assert_eq!(at(&mut m, 600), MeterVerdict::Drop);
        let info = m.info().unwrap();
        assert_eq!((info.bands[0].packets, info.bands[1].packets, info.total.bytes), (1, 1, 180));
    }

    #[test]
    fn remarking_raises_the_drop_precedence_only() {
        // AF11 (10), AF12, AF13; EF (46) and best effort stay.
        assert_eq!([10u8 << 2, 12 << 2, 14 << 2, 46 << 2, 1].map(|tos| remark(tos, 1)), [48, 56, 56, 184, 1]);
    }
}
