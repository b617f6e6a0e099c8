//! `cargo xtask bench SUBJECT`: measurements that compare this switch with C Open vSwitch.
//!
//! Where it sits: called by people. Numbers are printed, never gated: machines are shared and noisy, so runs of the two
//! switches are interleaved and the ratio of the medians is what counts.

use std::str::FromStr;

use anyhow::{Result, bail};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// TCP between two namespaces over veth.
    Veth,
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "veth" => Ok(Self::Veth),
            other => Err(format!("no measurement is called '{other}'; there is: veth")),
        }
    }
}

/// Measures and prints.
pub fn run(subject: Subject) -> Result<()> {
    match subject {
        Subject::Veth => bail!("the switch cannot carry traffic yet"),
    }
}
