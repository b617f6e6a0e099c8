//! Actions that choose by hash: bundle, bundle_load, multipath.
//!
//! Where it sits: Nicira's extensions, the same in every version.

use std::fmt::Write;

use super::check::Checker;
use super::text::{ParseContext, Text};
use super::wire::{Encoder, Len, Raw, header32, nicira, zeros};
use super::{Act, Action, Family, Subfield};
use crate::text::{TextError, number, text_error, values};
use crate::{Names, OfpError, OfpPort, PutBytes};

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

/// NXM's number of `in_port`, which says that members are ports.
const MEMBER_TYPE: u32 = 0x0000_0002;
/// How many members a bundle may have.
const MAX_MEMBERS: usize = 2048;

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        nicira(12, Len::AtLeast(32), |r| decode_bundle(r, false)),
        nicira(13, Len::AtLeast(32), |r| decode_bundle(r, true)),
        nicira(10, Len::Exact(32), decode_multipath),
    ],
    text: &[
        Text { name: "bundle", parse: |arg, cx| parse_bundle(arg, cx, "bundle") },
        Text { name: "bundle_load", parse: |arg, cx| parse_bundle(arg, cx, "bundle_load") },
        Text { name: "multipath", parse: parse_multipath },
    ],
};

impl HashFields {
    const NAMES: [(&str, HashFields); 7] = [
        ("eth_src", HashFields::EthSrc),
        ("symmetric_l4", HashFields::SymmetricL4),
        ("symmetric_l3l4", HashFields::SymmetricL3L4),
        ("symmetric_l3l4+udp", HashFields::SymmetricL3L4Udp),
        ("nw_src", HashFields::NwSrc),
        ("nw_dst", HashFields::NwDst),
        ("symmetric_l3", HashFields::SymmetricL3),
    ];

    fn name(self) -> &'static str {
        HashFields::NAMES.iter().find(|(_, f)| *f == self).map_or("", |(name, _)| name)
    }

    fn from_wire(n: u16) -> Option<HashFields> {
        HashFields::NAMES.iter().map(|(_, f)| *f).find(|f| *f as u16 == n)
    }
}

impl MultipathAlgorithm {
    const NAMES: [(&str, MultipathAlgorithm); 4] = [
        ("modulo_n", MultipathAlgorithm::ModuloN),
        ("hash_threshold", MultipathAlgorithm::HashThreshold),
        ("hrw", MultipathAlgorithm::Hrw),
        ("iter_hash", MultipathAlgorithm::IterHash),
    ];
}

fn decode_bundle(r: &Raw, load: bool) -> Result<Action, OfpError> {
    let n = usize::from(r.u16(20));
    let bad = OfpError::OFPBAC_BAD_ARGUMENT;
    if n <= MAX_MEMBERS && 32 + 2 * n > r.bytes.len() {
        return Err(OfpError::OFPBAC_BAD_LEN);
    }
    let zero = |at: usize, end: usize| zeros(r.bytes.get(at..end).unwrap_or(&[]), bad);
    let algorithm = match r.u16(10) {
        0 => BundleAlgorithm::ActiveBackup,
        1 => BundleAlgorithm::Hrw,
        _ => return Err(bad),
    };
    let fields = HashFields::from_wire(r.u16(12)).ok_or(bad)?;
    if r.u32(16) != MEMBER_TYPE || n > MAX_MEMBERS {
        return Err(bad);
    }
    let dst = if load {
        let (dst, _) = r.subfield(24, 22)?;
        if dst.n_bits < 16 {
            return Err(bad);
        }
        Some(dst)
    } else {
        zero(22, 32)?;
        None
    };
    let members: Vec<_> = (0..n).map(|i| r.port16(32 + 2 * i)).collect();
    check_members(&members, OfpPort::MAX.0)?;
    Ok(Bundle { fields, basis: r.u16(14), algorithm, members, dst }.into())
}

fn decode_multipath(r: &Raw) -> Result<Action, OfpError> {
    let bad = OfpError::OFPBAC_BAD_ARGUMENT;
    let (dst, _) = r.subfield(28, 26)?;
    let algorithm = MultipathAlgorithm::NAMES.iter().map(|(_, a)| *a).find(|a| *a as u16 == r.u16(16));
    let multipath = Multipath {
        fields: HashFields::from_wire(r.u16(10)).ok_or(bad)?,
        basis: r.u16(12),
        algorithm: algorithm.ok_or(bad)?,
        max_link: r.u16(18),
        arg: r.u32(20),
        dst,
    };
    if dst.n_bits < 16 && multipath.max_link >= 1 << dst.n_bits { Err(bad) } else { Ok(multipath.into()) }
}

impl Act for Bundle {
    fn name(&self) -> &'static str {
        "bundle"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let n = u16::try_from(self.members.len()).map_err(|_| OfpError::OFPBAC_BAD_LEN)?;
        let dst = self.dst.map(|dst| header32(dst.field).map(|h| (dst.ofs_nbits(), h))).transpose()?;
        let (ofs_nbits, header) = dst.unwrap_or((0, 0));
        e.nicira(if self.dst.is_some() { 13 } else { 12 }, |b| {
            b.put_u16(self.algorithm as u16);
            b.put_u16(self.fields as u16);
            b.put_u16(self.basis);
            b.put_u32(MEMBER_TYPE);
            b.put_u16(n);
            b.put_u16(ofs_nbits);
            b.put_u32(header);
            b.put_zeros(4);
            self.members.iter().for_each(|port| b.put_u16(port.to_of10()));
        });
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        let algorithm = match self.algorithm {
            BundleAlgorithm::ActiveBackup => "active_backup",
            BundleAlgorithm::Hrw => "hrw",
        };
        let (load, dst) = match self.dst {
            Some(dst) => ("_load", format!("{dst},")),
            None => ("", String::new()),
        };
        let members: Vec<_> = self.members.iter().map(|port| names.port(*port)).collect();
        let _ = write!(
            out,
            "bundle{load}({},{},{algorithm},ofport,{dst}members:{})",
            self.fields.name(),
            self.basis,
            members.join(",")
        );
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        if let Some(dst) = self.dst {
            dst.check_dst(&cx.m)?;
        }
        check_members(&self.members, cx.max_ports)
    }
}

/// Members are ports that packets can be output to, or none.
fn check_members(members: &[OfpPort], max_ports: u32) -> Result<(), OfpError> {
    for port in members.iter().filter(|port| **port != OfpPort::NONE) {
        super::check::output_port(*port, max_ports)?;
        if *port == OfpPort::CONTROLLER {
            return Err(OfpError::OFPBAC_BAD_OUT_PORT);
        }
    }
    Ok(())
}

impl Act for Multipath {
    fn name(&self) -> &'static str {
        "multipath"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let header = header32(self.dst.field)?;
        e.nicira(10, |b| {
            b.put_u16(self.fields as u16);
            b.put_u16(self.basis);
            b.put_zeros(2);
            b.put_u16(self.algorithm as u16);
            b.put_u16(self.max_link);
            b.put_u32(self.arg);
            b.put_zeros(2);
            b.put_u16(self.dst.ofs_nbits());
            b.put_u32(header);
        });
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let algorithm = MultipathAlgorithm::NAMES.iter().find(|(_, a)| *a == self.algorithm);
        let _ = write!(
            out,
            "multipath({},{},{},{},{},{})",
            self.fields.name(),
            self.basis,
            algorithm.map_or("", |(name, _)| name),
            u32::from(self.max_link) + 1,
            self.arg,
            self.dst
        );
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.dst.check_dst(&cx.m)
    }
}

/// A number as C's atoi reads it: what is none is zero, what is too large loses its high bits.
fn lax(text: &str) -> i64 {
    let digits: String = text
        .trim()
        .chars()
        .enumerate()
        .take_while(|(i, c)| c.is_ascii_digit() || *i == 0 && *c == '-')
        .map(|(_, c)| c)
        .collect();
    digits.parse().unwrap_or(0)
}

fn hash_fields(name: &str, arg: &str) -> Result<HashFields, TextError> {
    let found = HashFields::NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, f)| *f).ok_or_else(|| text_error!("{arg}: unknown fields `{name}'"))
}

fn parse_bundle(arg: &str, cx: &mut ParseContext, action: &str) -> Result<(), TextError> {
    let load = action == "bundle_load";
    let mut parts = arg.split([',', ' ', ':']).filter(|p| !p.is_empty());
    let mut next = || parts.next();
    let few = || text_error!("{arg}: not enough arguments to {action} action");
    let (Some(fields), Some(basis), Some(algorithm), Some(kind)) = (next(), next(), next(), next()) else {
        return Err(few());
    };
    let dst = if load { Some(next().ok_or_else(few)?) } else { None };
    let delimiter = next().ok_or_else(few)?;
    if !["members", "slaves"].iter().any(|word| word.eq_ignore_ascii_case(delimiter)) {
        return Err(text_error!("{arg}: missing member delimiter, expected `members', got `{delimiter}'"));
    }
    let fields = hash_fields(fields, arg)?;
    let algorithm = match algorithm {
        _ if algorithm.eq_ignore_ascii_case("active_backup") => BundleAlgorithm::ActiveBackup,
        _ if algorithm.eq_ignore_ascii_case("hrw") => BundleAlgorithm::Hrw,
        _ => return Err(text_error!("{arg}: unknown algorithm `{algorithm}'")),
    };
    if !kind.eq_ignore_ascii_case("ofport") {
        return Err(text_error!("{arg}: unknown member_type `{kind}'"));
    }
    let mut members = Vec::new();
    for name in parts {
        members.push(values::port(name, cx.names).ok_or_else(|| text_error!("{name}: bad port number"))?);
    }
    if members.len() > MAX_MEMBERS {
        return Err(text_error!("{arg}: too many members"));
    }
    let dst = match dst {
        Some(text) => {
            let dst = Subfield::parse(text)?;
            if dst.n_bits < 16 {
                return Err(text_error!("{arg}: bundle_load action requires at least 16 bit destination."));
            }
            Some(dst)
        }
        None => None,
    };
    cx.push(Bundle { fields, basis: lax(basis) as u16, algorithm, members, dst });
    Ok(())
}

fn parse_multipath(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let parts: Vec<_> = arg.split([',', ' ']).filter(|p| !p.is_empty()).collect();
    let [fields, basis, algorithm, n_links, argument, dst, ..] = parts.as_slice() else {
        return Err(text_error!("{arg}: not enough arguments to multipath action"));
    };
    let fields = hash_fields(fields, arg)?;
    let found = MultipathAlgorithm::NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(algorithm));
    let algorithm =
        found.map(|(_, a)| *a).ok_or_else(|| text_error!("{arg}: unknown algorithm `{algorithm}'"))?;
    let n_links = lax(n_links);
    if !(1..=65536).contains(&n_links) {
        return Err(text_error!("{arg}: n_links {n_links} is not in valid range 1 to 65536"));
    }
    let dst = Subfield::parse(dst)?;
    if dst.n_bits < 16 && n_links > 1 << dst.n_bits {
        return Err(text_error!(
            "{arg}: {}-bit destination field has {} possible values, less than specified n_links {n_links}",
            dst.n_bits,
            1u32 << dst.n_bits
        ));
    }
    let arg = number::prefix(argument).map_or(0, |(n, _)| n as u32);
    cx.push(Multipath {
        fields,
        basis: lax(basis) as u16,
        algorithm,
        max_link: (n_links - 1) as u16,
        arg,
        dst,
    });
    Ok(())
}
