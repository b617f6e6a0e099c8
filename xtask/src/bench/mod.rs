//! `cargo xtask bench SUBJECT`: measurements that compare this switch with C Open vSwitch, one file a subject.
//!
//! Where it sits: called by people. Numbers are printed, never gated: machines are shared and noisy, so runs of the two
//! switches are interleaved and the ratio of the medians is what counts.

mod datapath;
mod hyperv;
mod ovsdb;
mod program;
mod table;
mod veth;

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The datapath: its core alone, and beside OVS-DPDK.
    Datapath,
    /// The same, in the sandbox that `Datapath` entered.
    DatapathInside,
    /// The Windows driver in the simulated switch.
    HyperV,
    /// The database server; its short cases alone, or all.
    Ovsdb(ovsdb::Extent),
    /// The same, told where everything is.
    OvsdbInside(ovsdb::Extent),
    /// What a transaction costs without a database, started by that process.
    OvsdbFloor,
    /// Two machines over veth: streams, round trips, connections, small packets.
    Veth,
    /// The same, in the sandbox that `Veth` entered.
    VethInside,
    /// A machine's own program there.
    VethEnd(String),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "datapath" => Ok(Self::Datapath),
            "datapath-inside" => Ok(Self::DatapathInside),
            "hyperv" => Ok(Self::HyperV),
            "ovsdb" => Ok(Self::Ovsdb(ovsdb::Extent::All)),
            "ovsdb-short" => Ok(Self::Ovsdb(ovsdb::Extent::Short)),
            "ovsdb-inside" => Ok(Self::OvsdbInside(ovsdb::Extent::All)),
            "ovsdb-floor" => Ok(Self::OvsdbFloor),
            "ovsdb-short-inside" => Ok(Self::OvsdbInside(ovsdb::Extent::Short)),
            "veth" => Ok(Self::Veth),
            "veth-inside" => Ok(Self::VethInside),
            other if other.starts_with("veth-end=") => Ok(Self::VethEnd(other.replacen("veth-end=", "", 1))),
            other => Err(format!(
                "no measurement is called '{other}'; there are: datapath, hyperv, ovsdb, ovsdb-short, veth"
            )),
        }
    }
}

/// Measures and prints.
pub fn run(subject: Subject) -> Result<ExitCode> {
    match subject {
        Subject::Datapath => datapath::outside(),
        Subject::DatapathInside => datapath::inside().map(|()| ExitCode::SUCCESS),
        Subject::HyperV => hyperv::run(),
        Subject::Ovsdb(extent) => ovsdb::outside(extent),
        Subject::OvsdbFloor => ovsdb::floor().map(|()| ExitCode::SUCCESS),
        Subject::OvsdbInside(extent) => ovsdb::inside(extent).map(|()| ExitCode::SUCCESS),
        Subject::Veth => veth::outside(),
        Subject::VethInside => veth::inside().map(|()| ExitCode::SUCCESS),
        Subject::VethEnd(what) => veth::end(&what).map(|()| ExitCode::SUCCESS),
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}
