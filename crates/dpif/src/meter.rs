//! Meters as a datapath has them: rates, and what was counted.
//!
//! Where it sits: the switch makes them of OpenFlow's; `meter` actions name them by number.

/// What a meter's rates count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterUnit {
    /// Kilobits a second; bursts are kilobits.
    Kilobits,
    /// Packets a second; bursts are packets.
    Packets,
}

/// A rate above which packets are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterRate {
    /// Per second.
    pub rate: u32,
    /// What may come at once; zero is a second's worth.
    pub burst: u32,
}

/// A meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// What its rates count.
    pub unit: MeterUnit,
    /// Its rates; of those that are exceeded, the highest decides.
    pub bands: Vec<MeterRate>,
}

/// What a meter counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterCounts {
    /// Packets that came to it.
    pub packets: u64,
    /// Bytes that came to it.
    pub bytes: u64,
    /// Packets and bytes that each band dropped.
    pub bands: Vec<(u64, u64)>,
}

/// What meters a datapath can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterLimits {
    /// How many; zero: it has none.
    pub max_meters: u32,
    /// Bands of each.
    pub max_bands: u8,
}
