//! Ports of a datapath.
//!
//! Where it sits: part of [`crate::Dpif`].

use std::fmt;

use datapath::CommandError;
use packet::OdpPort;

/// A port of a datapath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub number: OdpPort,
    /// Its device's name.
    pub name: String,
    /// Its device's type: `system`, `tap`, `dummy`, ….
    pub kind: String,
    /// What was asked of the device, by name.
    pub config: Vec<(String, String)>,
}

/// A port's counters; `None` where the device does not keep one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it, and are those of Interface.statistics")]
pub struct PortStats {
    pub rx_packets: Option<u64>,
    pub rx_errors: Option<u64>,
    pub rx_dropped: Option<u64>,
    pub rx_over_err: Option<u64>,
    pub rx_frame_err: Option<u64>,
    pub tx_packets: Option<u64>,
    pub tx_errors: Option<u64>,
    pub tx_dropped: Option<u64>,
    pub collisions: Option<u64>,
    pub rx_bytes: Option<u64>,
    pub tx_bytes: Option<u64>,
}

impl PortStats {
    /// The counters that `find` knows by their names in `Interface.statistics`.
    pub fn named(find: impl Fn(&str) -> Option<u64>) -> PortStats {
        PortStats {
            rx_packets: find("rx_packets"),
            rx_errors: find("rx_errors"),
            rx_dropped: find("rx_dropped"),
            rx_over_err: find("rx_over_err"),
            rx_frame_err: find("rx_frame_err"),
            tx_packets: find("tx_packets"),
            tx_errors: find("tx_errors"),
            tx_dropped: find("tx_dropped"),
            collisions: find("collisions"),
            rx_bytes: find("rx_bytes"),
            tx_bytes: find("tx_bytes"),
        }
    }
}

/// Why a port could not be added, removed or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DpifError {
    /// The number, or the device, is in use (EBUSY).
    Busy,
    /// The port exists (EEXIST).
    Exists,
    /// A tunnel that another port is already (EEXIST).
    Duplicate,
    /// There is no such port (ENODEV).
    NoPort,
    /// Every number is in use (EFBIG).
    Full,
    /// The local port stays (EINVAL).
    Local,
    /// The device could not be opened: the system's error number and its text.
    Device {
        /// Error number.
        errno: i32,
        /// What it means.
        text: String,
    },
    /// The datapath refused.
    Command(CommandError),
}

impl fmt::Display for DpifError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DpifError::Busy => f.write_str("Device or resource busy"),
            DpifError::Exists | DpifError::Duplicate => f.write_str("File exists"),
            DpifError::NoPort => f.write_str("No such device"),
            DpifError::Full => f.write_str("File too large"),
            DpifError::Local => f.write_str("Invalid argument"),
            DpifError::Device { text, .. } => f.write_str(text),
            DpifError::Command(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for DpifError {}
