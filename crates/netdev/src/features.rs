//! Speeds and modes of a link.
//!
//! Where it sits: devices report it, OpenFlow's port descriptions and `Interface.link_speed` show it. The bits are
//! OpenFlow's (`OFPPF_*`, 1.1 and later; 1.0 shifts some of them, which is its codec's matter).

/// Link features: OpenFlow's `OFPPF_*` bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u32);

impl Features {
    /// 10 Mb half-duplex.
    pub const F10M_HD: u32 = 1 << 0;
    /// 10 Mb full-duplex.
    pub const F10M_FD: u32 = 1 << 1;
    /// 100 Mb half-duplex.
    pub const F100M_HD: u32 = 1 << 2;
    /// 100 Mb full-duplex.
    pub const F100M_FD: u32 = 1 << 3;
    /// 1 Gb half-duplex.
    pub const F1G_HD: u32 = 1 << 4;
    /// 1 Gb full-duplex.
    pub const F1G_FD: u32 = 1 << 5;
    /// 10 Gb full-duplex.
    pub const F10G_FD: u32 = 1 << 6;
    /// 40 Gb full-duplex.
    pub const F40G_FD: u32 = 1 << 7;
    /// 100 Gb full-duplex.
    pub const F100G_FD: u32 = 1 << 8;
    /// 1 Tb full-duplex.
    pub const F1T_FD: u32 = 1 << 9;
    /// Another rate.
    pub const OTHER: u32 = 1 << 10;
    /// Copper.
    pub const COPPER: u32 = 1 << 11;
    /// Fibre.
    pub const FIBER: u32 = 1 << 12;
    /// Auto-negotiation.
    pub const AUTONEG: u32 = 1 << 13;

    /// The fastest rate among the bits, in Mb/s, zero if there is none.
    pub fn max_mbps(self) -> u32 {
        const RATES: [(u32, u32); 7] = [
            (Features::F1T_FD, 1_000_000),
            (Features::F100G_FD, 100_000),
            (Features::F40G_FD, 40_000),
            (Features::F10G_FD, 10_000),
            (Features::F1G_FD | Features::F1G_HD, 1_000),
            (Features::F100M_FD | Features::F100M_HD, 100),
            (Features::F10M_FD | Features::F10M_HD, 10),
        ];
        RATES.iter().find(|(bits, _)| self.0 & bits != 0).map_or(0, |(_, rate)| *rate)
    }

    /// The bit of a rate and duplex, [`Features::OTHER`] for a rate that has none.
    pub fn of_rate(mbps: u32, duplex: Duplex) -> Features {
        Features(match (mbps, duplex) {
            (10, Duplex::Half) => Features::F10M_HD,
            (10, Duplex::Full) => Features::F10M_FD,
            (100, Duplex::Half) => Features::F100M_HD,
            (100, Duplex::Full) => Features::F100M_FD,
            (1_000, Duplex::Half) => Features::F1G_HD,
            (1_000, Duplex::Full) => Features::F1G_FD,
            (10_000, _) => Features::F10G_FD,
            (40_000, _) => Features::F40G_FD,
            (100_000, _) => Features::F100G_FD,
            (1_000_000, _) => Features::F1T_FD,
            _ => Features::OTHER,
        })
    }
}

/// Whether both ends may send at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplex {
    /// One at a time.
    Half,
    /// Both at once.
    Full,
}

/// What is known of a link's speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkFeatures {
    /// In use.
    pub current: Features,
    /// Advertised by this end.
    pub advertised: Features,
    /// Possible at this end.
    pub supported: Features,
    /// Advertised by the other end.
    pub peer: Features,
    /// The rate in use in Mb/s, zero if unknown.
    pub speed_mbps: u32,
    /// The duplex in use, if known.
    pub duplex: Option<Duplex>,
}
