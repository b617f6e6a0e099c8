//! OpenFlow versions, and the protocols (version, match form, table-id extension) that a request can be said in.
//!
//! Where it sits: below everything in this crate. Texts are parsed into version-free requests together with the set
//! of [`Protocols`] able to carry them; a connection then picks one.
//!
//! Spec: ovs-ofctl(8), `--flow-format` and `--protocols`.

use core::fmt;

/// A version of OpenFlow; the discriminant is its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// OpenFlow 1.0.
    V10 = 1,
    /// OpenFlow 1.1.
    V11 = 2,
    /// OpenFlow 1.2.
    V12 = 3,
    /// OpenFlow 1.3.
    V13 = 4,
    /// OpenFlow 1.4.
    V14 = 5,
    /// OpenFlow 1.5.
    V15 = 6,
}

impl Version {
    /// Every version, lowest first.
    pub const ALL: [Version; 6] =
        [Version::V10, Version::V11, Version::V12, Version::V13, Version::V14, Version::V15];

    /// The version with this number on the wire.
    pub fn from_wire(n: u8) -> Option<Version> {
        Version::ALL.into_iter().find(|v| *v as u8 == n)
    }

    /// Its number on the wire.
    pub const fn wire(self) -> u8 {
        self as u8
    }

    /// Position in tables with a column per version.
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// The name that configuration uses, such as `OpenFlow13`.
    pub const fn name(self) -> &'static str {
        match self {
            Version::V10 => "OpenFlow10",
            Version::V11 => "OpenFlow11",
            Version::V12 => "OpenFlow12",
            Version::V13 => "OpenFlow13",
            Version::V14 => "OpenFlow14",
            Version::V15 => "OpenFlow15",
        }
    }

    /// The version called `name`, as in `OpenFlow13` or `OpenFlow1.3`, in any case.
    pub fn from_name(name: &str) -> Option<Version> {
        let plain = name.replace('.', "");
        Version::ALL.into_iter().find(|v| v.name().eq_ignore_ascii_case(&plain))
    }
}

impl fmt::Display for Version {
    /// As in message headings: `OF1.3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OF1.{}", self.index())
    }
}

bitflags::bitflags! {
    /// A set of protocols.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Protocols: u32 {
        /// OpenFlow 1.0 with its own match.
        const OF10_STD = 1 << 0;
        /// The same with Nicira's table ids in flow mods.
        const OF10_STD_TID = 1 << 1;
        /// OpenFlow 1.0 with Nicira's extended match.
        const OF10_NXM = 1 << 2;
        /// The same with Nicira's table ids in flow mods.
        const OF10_NXM_TID = 1 << 3;
        /// OpenFlow 1.1.
        const OF11_STD = 1 << 4;
        /// OpenFlow 1.2 with OXM.
        const OF12_OXM = 1 << 5;
        /// OpenFlow 1.3 with OXM.
        const OF13_OXM = 1 << 6;
        /// OpenFlow 1.4 with OXM.
        const OF14_OXM = 1 << 7;
        /// OpenFlow 1.5 with OXM.
        const OF15_OXM = 1 << 8;

        /// OpenFlow 1.0 with its own match, either way.
        const OF10_STD_ANY = Self::OF10_STD.bits() | Self::OF10_STD_TID.bits();
        /// OpenFlow 1.0 with the extended match, either way.
        const OF10_NXM_ANY = Self::OF10_NXM.bits() | Self::OF10_NXM_TID.bits();
        /// OpenFlow 1.0.
        const OF10_ANY = Self::OF10_STD_ANY.bits() | Self::OF10_NXM_ANY.bits();
        /// OpenFlow 1.2 and later.
        const OXM_ANY = Self::OF12_OXM.bits() | Self::OF13_UP.bits();
        /// OpenFlow 1.3 and later.
        const OF13_UP = Self::OF13_OXM.bits() | Self::OF14_UP.bits();
        /// OpenFlow 1.4 and later.
        const OF14_UP = Self::OF14_OXM.bits() | Self::OF15_OXM.bits();
        /// OpenFlow 1.1 and later.
        const OF11_UP = Self::OF11_STD.bits() | Self::OXM_ANY.bits();
        /// What can name a table in a flow mod.
        const TID = Self::OF10_STD_TID.bits() | Self::OF10_NXM_TID.bits() | Self::OF11_UP.bits();
        /// What can carry any match.
        const NXM_OXM_ANY = Self::OF10_NXM_ANY.bits() | Self::OXM_ANY.bits();
        /// Every protocol.
        const ANY = Self::OF10_ANY.bits() | Self::OF11_UP.bits();
    }
}

/// Every protocol with its name, in the order of the bits.
const NAMES: [(Protocols, &str); 9] = [
    (Protocols::OF10_STD, "OpenFlow10-table_id"),
    (Protocols::OF10_STD_TID, "OpenFlow10+table_id"),
    (Protocols::OF10_NXM, "NXM-table_id"),
    (Protocols::OF10_NXM_TID, "NXM+table_id"),
    (Protocols::OF11_STD, "OpenFlow11"),
    (Protocols::OF12_OXM, "OXM-OpenFlow12"),
    (Protocols::OF13_OXM, "OXM-OpenFlow13"),
    (Protocols::OF14_OXM, "OXM-OpenFlow14"),
    (Protocols::OF15_OXM, "OXM-OpenFlow15"),
];

/// Names of several protocols together.
const GROUPS: [(Protocols, &str); 4] = [
    (Protocols::ANY, "any"),
    (Protocols::OF10_STD_ANY, "OpenFlow10"),
    (Protocols::OF10_NXM_ANY, "NXM"),
    (Protocols::OXM_ANY, "OXM"),
];

impl Protocols {
    /// The protocols of one version.
    pub const fn of_version(version: Version) -> Protocols {
        match version {
            Version::V10 => Protocols::OF10_ANY,
            Version::V11 => Protocols::OF11_STD,
            Version::V12 => Protocols::OF12_OXM,
            Version::V13 => Protocols::OF13_OXM,
            Version::V14 => Protocols::OF14_OXM,
            Version::V15 => Protocols::OF15_OXM,
        }
    }

    /// The version of the lowest protocol in the set.
    pub fn version(self) -> Option<Version> {
        Version::ALL.into_iter().find(|v| self.intersects(Protocols::of_version(*v)))
    }

    /// The name of a single protocol.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(p, _)| *p == self).map(|(_, name)| *name)
    }

    /// The protocols that a name of `--flow-format` means, in any case.
    pub fn from_format_name(name: &str) -> Option<Protocols> {
        let hit = |(_, n): &&(Protocols, &str)| n.eq_ignore_ascii_case(name);
        NAMES.iter().find(hit).or_else(|| GROUPS.iter().find(hit)).map(|(p, _)| *p)
    }
}

impl fmt::Display for Protocols {
    /// As `usable protocols` prints the set: group names where they fit, `none` for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut left = *self;
        let mut comma = "";
        for (protocols, name) in GROUPS {
            if left.contains(protocols) {
                left.remove(protocols);
                write!(f, "{comma}{name}")?;
                comma = ",";
            }
        }
        for (protocol, name) in NAMES {
            if left.contains(protocol) {
                write!(f, "{comma}{name}")?;
                comma = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_both_ways() {
        for v in Version::ALL {
            assert_eq!(Version::from_name(v.name()), Some(v));
            assert_eq!(Version::from_wire(v.wire()), Some(v));
        }
        for (p, name) in NAMES.into_iter().chain(GROUPS) {
            assert_eq!(Protocols::from_format_name(name), Some(p));
            assert_eq!(p.to_string(), name);
        }
        assert_eq!((Protocols::OXM_ANY | Protocols::OF10_NXM_TID).to_string(), "OXM,NXM+table_id");
        assert_eq!(Protocols::empty().to_string(), "none");
    }
}
