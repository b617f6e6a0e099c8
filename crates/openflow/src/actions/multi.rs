//! Actions that choose by hash: bundle, bundle_load, multipath.

use super::Subfield;
use crate::OfpPort;

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum HashFields {
    /// The Ethernet source.
    EthSrc = 0,
    /// Addresses of L2 to L4, the same in both directions.
    SymmetricL4 = 1,
    /// L3 and L4 addresses of TCP and SCTP.
    SymmetricL3L4 = 2,
    /// The same, and UDP.
    SymmetricL3L4Udp = 3,
    /// The IP source.
    NwSrc = 4,
    /// The IP destination.
    NwDst = 5,
    /// L3 addresses.
    SymmetricL3 = 6,
}

/// How a [`Bundle`] chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum BundleAlgorithm {
    /// The first live member.
    ActiveBackup = 0,
    /// The live member of the highest random weight.
    Hrw = 1,
}

/// `bundle` and `bundle_load`: outputs to, or stores, one of several ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// What is hashed.
    pub fields: HashFields,
    /// A number that changes the hash.
    pub basis: u16,
    /// How to choose.
    pub algorithm: BundleAlgorithm,
    /// The ports.
    pub members: Vec<OfpPort>,
    /// Where the choice is stored; `None`: output to it.
    pub dst: Option<Subfield>,
}

/// How a [`Multipath`] chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum MultipathAlgorithm {
    /// The hash modulo the links.
    ModuloN = 0,
    /// Equal ranges of the hash.
    HashThreshold = 1,
    /// Highest random weight.
    Hrw = 2,
    /// Hash again until it fits.
    IterHash = 3,
}

/// `multipath`: stores the number of one of several links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multipath {
    /// What is hashed.
    pub fields: HashFields,
    /// A number that changes the hash.
    pub basis: u16,
    /// How to choose.
    pub algorithm: MultipathAlgorithm,
    /// The highest link.
    pub max_link: u16,
    /// An argument of the algorithm.
    pub arg: u32,
    /// Where the choice is stored.
    pub dst: Subfield,
}
