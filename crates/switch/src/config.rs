//! What a bridge and its ports are asked to be.
//!
//! Where it sits: made by `vswitchd` from the database's rows.

use std::time::Duration;

use openflow::OfpPort;
use openflow::msg::VersionSet;
use packet::OdpPort;
use wire::EthAddr;
use xlate::{Sampling, VlanMode};

/// What a bridge does while it has no controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailMode {
    /// It is a learning switch.
    #[default]
    Standalone,
    /// It has the rules that it is given.
    Secure,
}

/// Whether a standalone bridge does without its controllers, which cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeover {
    /// Controllers make the rules.
    #[default]
    Inactive,
    /// The bridge is a learning switch.
    Active,
}

/// What a bridge is asked to be.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgeConfig {
    /// Its name.
    pub name: String,
    /// Its datapath id.
    pub datapath_id: u64,
    /// Address of its own port.
    pub hw_addr: EthAddr,
    /// Without a controller.
    pub fail_mode: FailMode,
    /// Controllers are configured.
    pub has_controllers: bool,
    /// OpenFlow versions that it speaks.
    pub versions: VersionSet,
    /// NORMAL forwards reserved multicast addresses.
    pub forward_bpdu: bool,
    /// Time after which an address is forgotten.
    pub mac_aging: Duration,
    /// Most addresses remembered.
    pub mac_table_size: usize,
    /// What OpenFlow says of the datapath (`other_config:dp-desc`).
    pub dp_desc: String,
    /// Its serial number (`other_config:dp-sn`).
    pub dp_sn: String,
    /// Where samples go.
    pub sampling: Sampling,
    /// It takes actions for debugging; told once, when it is made.
    pub debugging: bool,
}

impl BridgeConfig {
    /// A standalone bridge with every default.
    pub fn new(name: &str, hw_addr: EthAddr) -> BridgeConfig {
        BridgeConfig {
            name: name.to_owned(),
            datapath_id: hw_addr.to_u64(),
            hw_addr,
            fail_mode: FailMode::Standalone,
            has_controllers: false,
            versions: VersionSet::ALL,
            forward_bpdu: false,
            mac_aging: Duration::from_secs(300),
            mac_table_size: 8192,
            dp_desc: "None".into(),
            dp_sn: "None".into(),
            sampling: Sampling::default(),
            debugging: false,
        }
    }
}

/// What a port is asked to be.
#[derive(Clone, Debug, PartialEq)]
pub struct PortConfig {
    /// Its name.
    pub name: String,
    /// Type of its device, as the datapath knows it; `patch` has none.
    pub kind: String,
    /// The number wanted.
    pub wanted: Option<OfpPort>,
    /// A patch port's peer, by name.
    pub peer: Option<String>,
    /// What tunnel it is.
    pub tunnel: Option<std::sync::Arc<xlate::Tunnel>>,
    /// Options as `dpif/show` has them.
    pub shown: String,
    /// Its address, if it has no device.
    pub hw_addr: EthAddr,
}

/// What is known of a port, for status and descriptions.
#[derive(Clone, Debug, PartialEq)]
pub struct PortStatus {
    /// Its name.
    pub name: String,
    /// Type of its device.
    pub kind: String,
    /// Its OpenFlow number.
    pub ofp: OfpPort,
    /// Its number in the datapath.
    pub odp: Option<OdpPort>,
    /// It has a carrier.
    pub up: bool,
}

/// One or more ports that act as one, and their VLANs.
#[derive(Clone, Debug, PartialEq)]
pub struct BundleConfig {
    /// Its name.
    pub name: String,
    /// How it treats tags.
    pub mode: VlanMode,
    /// The access or native VLAN.
    pub tag: u16,
    /// VLANs carried by a trunk; `None` is all.
    pub trunks: Option<Vec<u16>>,
    /// Priority tags are kept.
    pub priority_tags: bool,
    /// It never sends to other protected bundles.
    pub protected: bool,
    /// Names of its ports.
    pub ports: Vec<String>,
}

impl BundleConfig {
    /// A trunk of all VLANs over one port.
    pub fn trunk(name: &str) -> BundleConfig {
        BundleConfig {
            name: name.to_owned(),
            mode: VlanMode::Trunk,
            tag: 0,
            trunks: None,
            priority_tags: false,
            protected: false,
            ports: vec![name.to_owned()],
        }
    }
}
